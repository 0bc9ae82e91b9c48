"""A chart of the tests: what pods can have, with a program of busybox that serves what it was given."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path
from typing import Final

import pytest

__all__ = ["HELM_PATH", "needs_helm", "write_chart"]

#: Where helm is: beside the interpreter, or in the path.
HELM_PATH: Final = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
needs_helm: Final = pytest.mark.skipif(shutil.which("helm", path=HELM_PATH) is None, reason="helm is not installed")

_VALUES: Final = """\
image: ""
text: hello
replicas: 1
command: "cat /first/written /config/text; id; echo $(PASSWORD) at $(HOST); exec httpd -f -p 8080 -h /config"
fails: false
"""
_OBJECTS: Final = """\
apiVersion: v1
kind: ConfigMap
metadata: {name: "{{ .Release.Name }}-config"}
data: {text: "text: {{ .Values.text }}"}
---
apiVersion: v1
kind: Secret
metadata:
  name: "{{ .Release.Name }}-secret"
  annotations: {helm.sh/hook: "pre-install,pre-upgrade", helm.sh/hook-weight: "-5"}
stringData: {password: "not told"}
---
apiVersion: batch/v1
kind: Job
metadata:
  name: "{{ .Release.Name }}-before"
  annotations: {helm.sh/hook: "pre-install,pre-upgrade"}
spec:
  backoffLimit: 0
  template:
    spec:
      restartPolicy: Never
      containers:
        - name: before
          image: "{{ .Values.image }}"
          imagePullPolicy: IfNotPresent
          command: ["/bin/sh", "-c", "stat -c %a:%u /secret/password; exit {{ ternary 7 0 .Values.fails }}"]
          volumeMounts: [{name: secret, mountPath: /secret}]
      volumes: [{name: secret, secret: {secretName: "{{ .Release.Name }}-secret", defaultMode: 0400}}]
---
apiVersion: v1
kind: Service
metadata: {name: "{{ .Release.Name }}"}
spec: {selector: {app: "{{ .Release.Name }}"}, ports: [{port: 8080, targetPort: http}]}
---
apiVersion: v1
kind: PersistentVolumeClaim
metadata: {name: "{{ .Release.Name }}-data"}
spec: {accessModes: [ReadWriteOnce], resources: {requests: {storage: 1Gi}}}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: "{{ .Release.Name }}-web"}
spec:
  replicas: {{ .Values.replicas }}
  selector: {matchLabels: {app: "{{ .Release.Name }}"}}
  template:
    metadata: {labels: {app: "{{ .Release.Name }}"}}
    spec:
      terminationGracePeriodSeconds: 0
      securityContext: {fsGroup: 1234}
      initContainers:
        - name: first
          image: "{{ .Values.image }}"
          imagePullPolicy: IfNotPresent
          command: ["/bin/sh", "-c", "echo by the first > /first/written"]
          volumeMounts: [{name: first, mountPath: /first}]
      containers:
        - name: web
          image: "{{ .Values.image }}"
          imagePullPolicy: IfNotPresent
          command: ["/bin/sh", "-c"]
          args: [{{ .Values.command | quote }}]
          env:
            - name: PASSWORD
              valueFrom: {secretKeyRef: {name: "{{ .Release.Name }}-secret", key: password}}
            - name: HOST
              valueFrom: {fieldRef: {fieldPath: metadata.name}}
          ports: [{name: http, containerPort: 8080}]
          readinessProbe: {httpGet: {path: /text, port: http}}
          securityContext:
            runAsUser: 1000
            runAsNonRoot: true
            readOnlyRootFilesystem: true
            allowPrivilegeEscalation: false
            capabilities: {drop: [ALL]}
          resources: {limits: {cpu: 500m, memory: 64Mi}}
          volumeMounts:
            - {name: first, mountPath: /first}
            - {name: config, mountPath: /config}
            - {name: data, mountPath: /data}
      volumes:
        - {name: first, emptyDir: {}}
        - {name: config, configMap: {name: "{{ .Release.Name }}-config"}}
        - {name: data, persistentVolumeClaim: {claimName: "{{ .Release.Name }}-data"}}
"""
_STATEFUL: Final = """\
apiVersion: apps/v1
kind: StatefulSet
metadata: {name: "{{ .Release.Name }}-set"}
spec:
  replicas: 2
  serviceName: "{{ .Release.Name }}"
  selector: {matchLabels: {app: set}}
  template:
    metadata: {labels: {app: set}}
    spec:
      terminationGracePeriodSeconds: 0
      containers:
        - name: kept
          image: "{{ .Values.image }}"
          imagePullPolicy: IfNotPresent
          command: ["/bin/sh", "-c", "echo $(hostname) >> /data/starts; sort /data/starts | uniq -c; exec sleep 1000"]
          volumeMounts: [{name: data, mountPath: /data}]
  volumeClaimTemplates:
    - metadata: {name: data}
      spec: {accessModes: [ReadWriteOnce], resources: {requests: {storage: 1Gi}}}
"""


def write_chart(directory: Path, image: str, *, stateful: bool = False, more: str = "") -> Path:
    """Write the chart into a directory that is not there yet, and return that."""
    (directory / "templates").mkdir(parents=True)
    (directory / "Chart.yaml").write_text("apiVersion: v2\nname: demo\nversion: 0.1.0\n")
    (directory / "values.yaml").write_text(_VALUES.replace('image: ""', f"image: {image}"))
    (directory / "templates" / "objects.yaml").write_text(_STATEFUL if stateful else _OBJECTS)
    if more:
        (directory / "templates" / "more.yaml").write_text(more)
    return directory

{{- /* Every template is given the chart's own values as `root`, and a service as `name` and `service`. */ -}}
{{- define "mesh.fullname" -}}
{{- $plain := printf "%s-%s" .root.Release.Name .name }}
{{- if gt (len $plain) 52 }}
{{- /* What is cut off may be what tells two services apart. */ -}}
{{- $plain = printf "%s-%s" ($plain | trunc 43 | trimSuffix "-") (sha256sum $plain | trunc 8) }}
{{- end }}
{{- $plain }}
{{- end }}

{{- define "mesh.selector" -}}
app.kubernetes.io/name: {{ .name }}
app.kubernetes.io/instance: {{ .root.Release.Name }}
{{- end }}

{{- define "mesh.labels" -}}
{{ include "mesh.selector" . }}
app.kubernetes.io/part-of: {{ .root.Chart.Name }}
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .root.Chart.Name .root.Chart.Version | replace "+" "_" | trunc 63 | trimSuffix "-" }}
{{- end }}

{{- /* The variables by which the runtime finds its session. The application itself sees none of them. */ -}}
{{- define "mesh.env" -}}
- name: SCONE_CONFIG_ID
  value: {{ .service.configId | quote }}
- name: SCONE_CAS_ADDR
  value: {{ .root.Values.cas.address | quote }}
{{- with .root.Values.cas.key }}
- name: BANNOCK_CAS_KEY
  value: {{ . | quote }}
{{- end }}
- name: SCONE_LAS_ADDR
{{- if .root.Values.las.address }}
  value: {{ .root.Values.las.address | quote }}
{{- else }}
  valueFrom:
    fieldRef:
      fieldPath: status.hostIP
{{- end }}
{{- with .root.Values.log }}
- name: SCONE_LOG
  value: {{ . | quote }}
{{- end }}
- name: BANNOCK_MOUNT
  value: {{ .root.Values.mount | quote }}
{{- with .service.extraEnv }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{- /* What the runtime needs of an engine to mount what is protected, and no more than that. */ -}}
{{- define "mesh.securityContext" -}}
{{- $made := dict }}
{{- if eq .root.Values.mount "memory" }}
{{- $made = dict "allowPrivilegeEscalation" false "seccompProfile" (dict "type" "Unconfined") }}
{{- else if .root.Values.fuseResource }}
{{- $made = dict "capabilities" (dict "add" (list "SYS_ADMIN")) }}
{{- else }}
{{- $made = dict "privileged" true }}
{{- end }}
{{- if and .root.Values.appArmor (not $made.privileged) }}
{{- $_ := set $made "appArmorProfile" (dict "type" .root.Values.appArmor) }}
{{- end }}
{{- toYaml (mergeOverwrite $made (deepCopy .service.securityContext)) }}
{{- end }}

{{- /* The resource of the device plugin by which a node is chosen that can vouch for the service. */ -}}
{{- define "mesh.resources" -}}
{{- $names := dict "scone" "sgx.intel.com/enclave" "azure" "sgx.intel.com/epc" "tdx" "intel.com/tdx" "sev-snp" "amd.com/sev-snp" "tpm" "bannock.dev/tpm" }}
{{- $limits := dict }}
{{- with get $names .root.Values.useSGXDevPlugin }}
{{- $_ := set $limits . (ternary $.root.Values.sgxEpcMem "1" (eq $.root.Values.useSGXDevPlugin "azure")) }}
{{- end }}
{{- if and (eq .root.Values.mount "fuse") .root.Values.fuseResource }}
{{- $_ := set $limits .root.Values.fuseResource "1" }}
{{- end }}
{{- $made := deepCopy .service.resources }}
{{- if $limits }}
{{- $_ := set $made "limits" (merge (default (dict) $made.limits) $limits) }}
{{- end }}
{{- with $made }}
{{- toYaml . }}
{{- end }}
{{- end }}

{{- define "mesh.claim" -}}
accessModes:
  {{- toYaml .accessModes | nindent 2 }}
{{- with .storageClass }}
storageClassName: {{ . | quote }}
{{- end }}
resources:
  requests:
    storage: {{ .size | quote }}
{{- end }}

{{- define "mesh.image" -}}
{{- if .digest }}
{{- printf "%s@%s" .image .digest }}
{{- else }}
{{- .image }}
{{- end }}
{{- end }}

{{- /* A stateful set makes claims of its own; those are not among the volumes of its pods. */ -}}
{{- define "mesh.volumes" -}}
{{- $made := list }}
{{- range $name, $volume := .service.volumes }}
{{- $kept := $volume.persistence }}
{{- if not $kept.enabled }}
{{- $made = append $made (dict "name" $name "emptyDir" (dict)) }}
{{- else if $kept.existingClaim }}
{{- $made = append $made (dict "name" $name "persistentVolumeClaim" (dict "claimName" $kept.existingClaim)) }}
{{- else if ne $.service.type "statefulset" }}
{{- $claim := printf "%s-%s" (include "mesh.fullname" $) $name | trunc 63 | trimSuffix "-" }}
{{- $made = append $made (dict "name" $name "persistentVolumeClaim" (dict "claimName" $claim)) }}
{{- end }}
{{- end }}
{{- with $made }}
volumes:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}

{{- define "mesh.pod" -}}
metadata:
  labels:
    {{- include "mesh.selector" . | nindent 4 }}
    {{- with .service.podLabels }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
  {{- with .service.podAnnotations }}
  annotations:
    {{- toYaml . | nindent 4 }}
  {{- end }}
spec:
  serviceAccountName: {{ include "mesh.account" .root }}
  automountServiceAccountToken: false
  {{- with .root.Values.imagePullSecrets }}
  imagePullSecrets:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with .service.podSecurityContext }}
  securityContext:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  containers:
    - name: {{ .name }}
      image: {{ include "mesh.image" .service | quote }}
      imagePullPolicy: {{ .root.Values.imagePullPolicy }}
      env:
        {{- include "mesh.env" . | nindent 8 }}
      securityContext:
        {{- include "mesh.securityContext" . | nindent 8 }}
      {{- with .service.ports }}
      ports:
        {{- range . }}
        - name: port-{{ . }}
          containerPort: {{ . }}
        {{- end }}
      {{- end }}
      {{- if and .service.ports (eq .service.readyWhen "listening") (not .service.readinessProbe) }}
      readinessProbe:
        tcpSocket:
          port: port-{{ first .service.ports }}
        periodSeconds: 2
      {{- end }}
      {{- range $probe := list "startupProbe" "livenessProbe" "readinessProbe" }}
      {{- with get $.service $probe }}
      {{ $probe }}:
        {{- toYaml . | nindent 8 }}
      {{- end }}
      {{- end }}
      {{- with include "mesh.resources" . }}
      resources:
        {{- . | nindent 8 }}
      {{- end }}
      {{- if .service.volumes }}
      volumeMounts:
        {{- range $name, $volume := .service.volumes }}
        - name: {{ $name | quote }}
          mountPath: {{ $volume.mountPath | quote }}
        {{- end }}
      {{- end }}
  {{- with include "mesh.volumes" . | trim }}
  {{- . | nindent 2 }}
  {{- end }}
  {{- with .service.nodeSelector }}
  nodeSelector:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with .service.tolerations }}
  tolerations:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with .service.affinity }}
  affinity:
    {{- toYaml . | nindent 4 }}
  {{- end }}
{{- end }}

{{- define "mesh.account" -}}
{{- default (printf "%s-%s" .Release.Name .Chart.Name | trunc 52 | trimSuffix "-") .Values.serviceAccountName }}
{{- end }}

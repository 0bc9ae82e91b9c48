{{- define "workload.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 63 | trimSuffix "-" }}
{{- end }}

{{- define "workload.fullname" -}}
{{- if .Values.fullnameOverride }}
{{- .Values.fullnameOverride | trunc 52 | trimSuffix "-" }}
{{- else if contains (include "workload.name" .) .Release.Name }}
{{- .Release.Name | trunc 52 | trimSuffix "-" }}
{{- else }}
{{- printf "%s-%s" .Release.Name (include "workload.name" .) | trunc 52 | trimSuffix "-" }}
{{- end }}
{{- end }}

{{- define "workload.selector" -}}
app.kubernetes.io/name: {{ include "workload.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "workload.labels" -}}
{{ include "workload.selector" . }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" | trunc 63 | trimSuffix "-" }}
{{- end }}

{{- /* The variables by which the runtime finds its session. The application itself sees none of them. */ -}}
{{- define "workload.env" -}}
- name: SCONE_CONFIG_ID
  value: {{ .Values.scone.configId | quote }}
{{- with .Values.scone.cas }}
- name: SCONE_CAS_ADDR
  value: {{ . | quote }}
{{- end }}
{{- with .Values.scone.casKey }}
- name: BANNOCK_CAS_KEY
  value: {{ . | quote }}
{{- end }}
- name: SCONE_LAS_ADDR
{{- if .Values.scone.las }}
  value: {{ .Values.scone.las | quote }}
{{- else }}
  valueFrom:
    fieldRef:
      fieldPath: status.hostIP
{{- end }}
{{- with .Values.scone.log }}
- name: SCONE_LOG
  value: {{ . | quote }}
{{- end }}
- name: BANNOCK_MOUNT
  value: {{ .Values.scone.mount | quote }}
{{- with .Values.extraEnv }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{- /* What the runtime needs of an engine to mount what is protected, and no more than that. */ -}}
{{- define "workload.securityContext" -}}
{{- $made := dict }}
{{- if eq .Values.scone.mount "memory" }}
{{- $made = dict "allowPrivilegeEscalation" false "seccompProfile" (dict "type" "Unconfined") }}
{{- else if .Values.scone.fuseResource }}
{{- $made = dict "capabilities" (dict "add" (list "SYS_ADMIN")) }}
{{- else }}
{{- $made = dict "privileged" true }}
{{- end }}
{{- if and .Values.scone.appArmor (not $made.privileged) }}
{{- $_ := set $made "appArmorProfile" (dict "type" .Values.scone.appArmor) }}
{{- end }}
{{- toYaml (mergeOverwrite $made (deepCopy .Values.securityContext)) }}
{{- end }}

{{- define "workload.resources" -}}
{{- $made := deepCopy .Values.resources }}
{{- if and (eq .Values.scone.mount "fuse") .Values.scone.fuseResource }}
{{- $limits := merge (default (dict) $made.limits) (dict .Values.scone.fuseResource 1) }}
{{- $_ := set $made "limits" $limits }}
{{- end }}
{{- with $made }}
{{- toYaml . }}
{{- end }}
{{- end }}

{{- define "workload.claim" -}}
accessModes:
  {{- toYaml .accessModes | nindent 2 }}
{{- with .storageClass }}
storageClassName: {{ . | quote }}
{{- end }}
resources:
  requests:
    storage: {{ .size | quote }}
{{- end }}

{{- define "workload.pod" -}}
metadata:
  labels:
    {{- include "workload.selector" . | nindent 4 }}
    {{- with .Values.podLabels }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
  {{- with .Values.podAnnotations }}
  annotations:
    {{- toYaml . | nindent 4 }}
  {{- end }}
spec:
  {{- with .Values.imagePullSecrets }}
  imagePullSecrets:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with .Values.serviceAccountName }}
  serviceAccountName: {{ . | quote }}
  {{- end }}
  automountServiceAccountToken: false
  {{- if .restartPolicy }}
  restartPolicy: {{ .restartPolicy }}
  {{- end }}
  {{- with .Values.podSecurityContext }}
  securityContext:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  containers:
    - name: {{ include "workload.name" . }}
      image: {{ .Values.image | quote }}
      imagePullPolicy: {{ .Values.imagePullPolicy }}
      {{- with .Values.args }}
      command:
        - {{ $.Values.program | quote }}
      args:
        {{- range . }}
        - {{ . | toString | quote }}
        {{- end }}
      {{- end }}
      env:
        {{- include "workload.env" . | nindent 8 }}
      securityContext:
        {{- include "workload.securityContext" . | nindent 8 }}
      {{- with .Values.service.ports }}
      ports:
        {{- range . }}
        - name: port-{{ . }}
          containerPort: {{ . }}
        {{- end }}
      {{- end }}
      {{- with .Values.livenessProbe }}
      livenessProbe:
        {{- toYaml . | nindent 8 }}
      {{- end }}
      {{- if .Values.readinessProbe }}
      readinessProbe:
        {{- toYaml .Values.readinessProbe | nindent 8 }}
      {{- else if .Values.service.ports }}
      readinessProbe:
        tcpSocket:
          port: {{ first .Values.service.ports }}
      {{- end }}
      {{- with include "workload.resources" . }}
      resources:
        {{- . | nindent 8 }}
      {{- end }}
      {{- if .Values.volumes }}
      volumeMounts:
        {{- range $name, $volume := .Values.volumes }}
        - name: {{ $name | quote }}
          mountPath: {{ $volume.mountPath | quote }}
        {{- end }}
      {{- end }}
  {{- with include "workload.volumes" . | trim }}
  {{- . | nindent 2 }}
  {{- end }}
  {{- with .Values.nodeSelector }}
  nodeSelector:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with .Values.tolerations }}
  tolerations:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with .Values.affinity }}
  affinity:
    {{- toYaml . | nindent 4 }}
  {{- end }}
{{- end }}

{{- /* A stateful set makes claims of its own; those are not among the volumes of its pods. */ -}}
{{- define "workload.volumes" -}}
{{- $made := list }}
{{- range $name, $volume := .Values.volumes }}
{{- $kept := $volume.persistence }}
{{- if not $kept.enabled }}
{{- $made = append $made (dict "name" $name "emptyDir" (dict)) }}
{{- else if $kept.existingClaim }}
{{- $made = append $made (dict "name" $name "persistentVolumeClaim" (dict "claimName" $kept.existingClaim)) }}
{{- else if not $.claimsOfSet }}
{{- $claim := printf "%s-%s" (include "workload.fullname" $) $name | trunc 63 | trimSuffix "-" }}
{{- $made = append $made (dict "name" $name "persistentVolumeClaim" (dict "claimName" $claim)) }}
{{- end }}
{{- end }}
{{- with $made }}
volumes:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}

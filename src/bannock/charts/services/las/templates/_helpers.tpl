{{- define "las.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 63 | trimSuffix "-" }}
{{- end }}

{{- define "las.fullname" -}}
{{- if .Values.fullnameOverride }}
{{- .Values.fullnameOverride | trunc 52 | trimSuffix "-" }}
{{- else if contains (include "las.name" .) .Release.Name }}
{{- .Release.Name | trunc 52 | trimSuffix "-" }}
{{- else }}
{{- printf "%s-%s" .Release.Name (include "las.name" .) | trunc 52 | trimSuffix "-" }}
{{- end }}
{{- end }}

{{- define "las.selector" -}}
app.kubernetes.io/name: {{ include "las.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "las.labels" -}}
{{ include "las.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" | trunc 63 | trimSuffix "-" }}
{{- end }}

{{- /* What every pod may be given beside what this chart is about. */ -}}
{{- define "las.placement" -}}
{{- with .Values.imagePullSecrets }}
imagePullSecrets:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.nodeSelector }}
nodeSelector:
  {{- range $name, $value := . }}
  {{ $name }}: {{ tpl (toString $value) $ | quote }}
  {{- end }}
{{- end }}
{{- with .Values.tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.affinity }}
affinity:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}

{{- /* The resource of the device plugin by which the container gets what vouches for it. */ -}}
{{- define "las.resources" -}}
{{- $names := dict "scone" "sgx.intel.com/enclave" "azure" "sgx.intel.com/epc" "tdx" "intel.com/tdx" "sev-snp" "amd.com/sev-snp" "tpm" "bannock.dev/tpm" }}
{{- $made := deepCopy .Values.resources }}
{{- with get $names .Values.useSGXDevPlugin }}
{{- $amount := ternary $.Values.sgxEpcMem "1" (eq $.Values.useSGXDevPlugin "azure") }}
{{- $_ := set $made "limits" (merge (default (dict) $made.limits) (dict . $amount)) }}
{{- end }}
{{- with $made }}
{{- toYaml . }}
{{- end }}
{{- end }}

{{- /* Two capabilities to look into other processes; what nodes with AppArmor have by default forbids just that. */ -}}
{{- define "las.securityContext" -}}
{{- $made := dict "capabilities" (dict "add" (list "SYS_PTRACE" "SYS_ADMIN")) }}
{{- with .Values.appArmor }}
{{- $_ := set $made "appArmorProfile" (dict "type" .) }}
{{- end }}
{{- toYaml (mergeOverwrite $made (deepCopy .Values.securityContext)) }}
{{- end }}

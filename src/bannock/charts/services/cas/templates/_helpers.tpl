{{- define "cas.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 63 | trimSuffix "-" }}
{{- end }}

{{- define "cas.fullname" -}}
{{- if .Values.fullnameOverride }}
{{- .Values.fullnameOverride | trunc 52 | trimSuffix "-" }}
{{- else if contains (include "cas.name" .) .Release.Name }}
{{- .Release.Name | trunc 52 | trimSuffix "-" }}
{{- else }}
{{- printf "%s-%s" .Release.Name (include "cas.name" .) | trunc 52 | trimSuffix "-" }}
{{- end }}
{{- end }}

{{- define "cas.selector" -}}
app.kubernetes.io/name: {{ include "cas.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "cas.labels" -}}
{{ include "cas.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" | trunc 63 | trimSuffix "-" }}
{{- end }}

{{- /* What every pod may be given beside what this chart is about. */ -}}
{{- define "cas.placement" -}}
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
{{- define "cas.resources" -}}
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

{{- define "cas.isPostgresql" -}}
{{- if .Values.postgresql.url }}true{{ end }}
{{- end }}

{{- /* A password in it would be in the config map and in helm's own records: it comes from a secret. */ -}}
{{- define "cas.url" -}}
{{- $url := .Values.postgresql.url }}
{{- if not (regexMatch "^postgres(ql)?(\\+psycopg)?://" $url) }}
{{- fail "postgresql.url is postgresql://USER@HOST/DATABASE" }}
{{- end }}
{{- if regexMatch "^[^/]*//[^/@]*:[^/@]*@" $url }}
{{- fail "postgresql.url has a password in it: put it into a secret, and name that in postgresql.passwordSecret" }}
{{- end }}
{{- if not .Values.masterKey.secret }}
{{- fail "with PostgreSQL, masterKey.secret names the secret that has the master key, which all replicas share" }}
{{- end }}
{{- if and (gt (int .Values.replicas) 1) .Values.persistence.existingClaim }}
{{- fail "each replica has a counter of its own: persistence.existingClaim is for one" }}
{{- end }}
{{- $url }}
{{- end }}

{{- define "cas.config" -}}
{{- if include "cas.isPostgresql" . }}
database = {{ include "cas.url" . | toJson }}
peers = {{ printf "%s:%d" (include "cas.fullname" .) (int .Values.service.clientPort) | toJson }}
{{- else if gt (int .Values.replicas) 1 }}
{{- fail "replicas share a database: more than one needs postgresql.url" }}
{{- end }}
{{- if .Values.masterKey.secret }}
master_key = "/etc/bannock/keys/master.key"
rollback_counter = "/var/lib/bannock/conf/cas/master.key.counter"
{{- end }}
provisioning = {{ .Values.provisioning | toJson }}

[api]
listen = {{ printf "0.0.0.0:%d" (int .Values.service.clientPort) | toJson }}

[enclave]
listen = {{ printf "0.0.0.0:%d" (int .Values.service.enclavePort) | toJson }}

[certificate]
{{- $name := include "cas.fullname" . }}
{{- $space := .Release.Namespace }}
{{- $names := list $name (printf "%s.%s" $name $space) (printf "%s.%s.svc" $name $space) (printf "%s.%s.svc.cluster.local" $name $space) }}
names = {{ concat $names .Values.certificate.names | uniq | toJson }}
{{- with .Values.certificate.addresses }}
addresses = {{ . | toJson }}
{{- end }}
{{- with .Values.attestation.las }}

[attestation]
las = {{ . | toJson }}
{{- end }}
{{- if .Values.metrics.enabled }}

[metrics]
listen = {{ printf "0.0.0.0:%d" (int .Values.metrics.port) | toJson }}
{{- end }}
{{- with .Values.extraConfig }}

{{ . }}
{{- end }}
{{- end }}

{{- /* A master key from a secret is a file of root's that nobody else can read: that is what the CAS asks of it. */ -}}
{{- define "cas.podSecurityContext" -}}
{{- $made := dict "runAsNonRoot" true "runAsUser" 10001 "runAsGroup" 10001 "fsGroup" 10001 "fsGroupChangePolicy" "OnRootMismatch" }}
{{- if .Values.masterKey.secret }}
{{- $made = dict "runAsUser" 0 "runAsGroup" 0 }}
{{- end }}
{{- $_ := set $made "seccompProfile" (dict "type" "RuntimeDefault") }}
{{- toYaml (mergeOverwrite $made (deepCopy .Values.podSecurityContext)) }}
{{- end }}

{{- define "cas.securityContext" -}}
{{- $made := dict "allowPrivilegeEscalation" false "readOnlyRootFilesystem" true "capabilities" (dict "drop" (list "ALL")) }}
{{- toYaml (mergeOverwrite $made (deepCopy .Values.securityContext)) }}
{{- end }}

{{/* The name of what belongs to one release. */}}
{{- define "run-wasm.name" -}}
{{- $name := ternary .Release.Name (printf "%s-run-wasm" .Release.Name) (contains "run-wasm" .Release.Name) -}}
{{- $name | trunc 48 | trimSuffix "-" -}}
{{- end -}}

{{- define "run-wasm.labels" -}}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
{{ include "run-wasm.selector" . }}
{{- end -}}

{{- define "run-wasm.selector" -}}
app.kubernetes.io/name: run-wasm
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "run-wasm.image" -}}
{{- with .Values.image -}}
{{- if .digest -}}{{ .repository }}@{{ .digest }}
{{- else -}}{{ .repository }}:{{ .tag | default $.Chart.AppVersion }}
{{- end -}}
{{- end -}}
{{- end -}}

{{/* How everything in this release pulls its image. */}}
{{- define "run-wasm.pullSecrets" -}}
{{- with .Values.image.pullSecrets }}
imagePullSecrets:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}

{{/* What is enough for a container that only speaks to the API server. */}}
{{- define "run-wasm.restricted" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
runAsNonRoot: true
runAsUser: 65532
runAsGroup: 65532
capabilities:
  drop: [ALL]
seccompProfile:
  type: RuntimeDefault
{{- end -}}

{{/* A hook of `helm uninstall`, by its weight. What fails is kept, to be looked at. */}}
{{- define "run-wasm.hook" -}}
helm.sh/hook: pre-delete
helm.sh/hook-weight: {{ . | quote }}
helm.sh/hook-delete-policy: before-hook-creation,hook-succeeded
{{- end -}}

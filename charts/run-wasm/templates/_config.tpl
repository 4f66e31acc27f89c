{{/* config.toml: plain keys first, then tables, as TOML wants them. */}}
{{- define "run-wasm.config" -}}
{{- $config := deepCopy .Values.config -}}
{{- if .Values.metrics.enabled -}}
{{- $address := printf "%s:%d" .Values.metrics.address (int .Values.metrics.port) -}}
{{- $config = merge $config (dict "observe" (dict "metrics-address" $address)) -}}
{{- end -}}
{{- range $key, $value := $config }}
{{- if not (or (kindIs "map" $value) (kindIs "invalid" $value)) }}
{{ $key }} = {{ include "run-wasm.toml" $value }}
{{- end }}
{{- end }}
{{- range $table, $entries := $config }}
{{- if kindIs "map" $entries }}

[{{ $table }}]
{{- range $key, $value := $entries }}
{{- if not (kindIs "invalid" $value) }}
{{ $key }} = {{ include "run-wasm.toml" $value }}
{{- end }}
{{- end }}
{{- end }}
{{- end }}
{{- end -}}

{{/* A value in TOML. Helm reads numbers as floating point; the config has whole ones alone. */}}
{{- define "run-wasm.toml" -}}
{{- if or (kindIs "float64" .) (kindIs "int64" .) (kindIs "int" .) -}}{{ int64 . }}
{{- else -}}{{ toJson . }}
{{- end -}}
{{- end -}}

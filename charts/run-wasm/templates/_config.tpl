{{/* config.toml: plain keys first, then tables, as TOML wants them. */}}
{{- define "run-wasm.config" -}}
{{- $config := deepCopy .Values.config -}}
{{- if .Values.metrics.enabled -}}
{{- $address := printf "%s:%d" .Values.metrics.address (int .Values.metrics.port) -}}
{{- $config = merge $config (dict "observe" (dict "metrics-address" $address)) -}}
{{- end -}}
{{- $tables := dict -}}
{{- range $key, $value := $config }}
{{- if kindIs "map" $value }}
{{- $_ := set $tables (printf "[%s]" $key) (list $value) }}
{{- else if and (kindIs "slice" $value) $value (kindIs "map" (first $value)) }}
{{- $_ := set $tables (printf "[[%s]]" $key) $value }}
{{- else if not (kindIs "invalid" $value) }}
{{ $key }} = {{ include "run-wasm.toml" $value }}
{{- end }}
{{- end }}
{{- range $header, $each := $tables }}
{{- range $entries := $each }}

{{ $header }}
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

{{/* The values `policy.rules` as a literal of CEL: what is null there is left out. */}}
{{- define "run-wasm.rules" -}}
{{- $rules := dict -}}
{{- range $name, $rule := .Values.policy.rules -}}
{{- $bounds := dict -}}
{{- range $key, $bound := $rule -}}
{{- if not (kindIs "invalid" $bound) -}}{{- $_ := set $bounds $key $bound -}}{{- end -}}
{{- end -}}
{{- $_ := set $rules $name $bounds -}}
{{- end -}}
{{- toJson $rules -}}
{{- end -}}

{{/* Folders of the node that the installer writes to, as a list in JSON: its own, and where this kind of containerd has its config and
     drop-ins. `Directory` where the distribution makes it: elsewhere, the value `nodes.distro` is wrong, and the pod says so. */}}
{{- define "run-wasm.writes" -}}
{{- $usual := dict
  "plain" (dict "path" "/etc/containerd" "type" "DirectoryOrCreate")
  "k3s" (dict "path" "/var/lib/rancher/k3s/agent/etc/containerd" "type" "Directory")
  "rke2" (dict "path" "/var/lib/rancher/rke2/agent/etc/containerd" "type" "Directory")
  "k0s" (dict "path" "/etc/k0s" "type" "Directory")
  "microk8s" (dict "path" "/var/snap/microk8s/current/args" "type" "Directory") -}}
{{- $containerd := get $usual .Values.nodes.distro -}}
{{- $writes := list
  (dict "name" "programs" "path" "/opt/run-wasm" "type" "DirectoryOrCreate")
  (dict "name" "node-config" "path" "/etc/run-wasm" "type" "DirectoryOrCreate")
  (dict "name" "cache" "path" "/var/lib/run-wasm" "type" "DirectoryOrCreate")
  (merge (dict "name" "containerd") $containerd) -}}
{{- with .Values.nodes.containerd.config -}}
{{- if ne (dir .) $containerd.path -}}
{{- $writes = append $writes (dict "name" "containerd-config" "path" (dir .) "type" "Directory") -}}
{{- end -}}
{{- end -}}
{{- toJson $writes -}}
{{- end -}}

{{/* Which node it is about, and which containerd, for every command of the installer: a list in JSON. */}}
{{- define "run-wasm.host" -}}
{{- $args := list "--host-root" "/host" "--distro" .Values.nodes.distro "--restart-timeout" (.Values.installer.restartTimeout | int | toString) -}}
{{- range $option, $value := dict
  "--containerd-config" .Values.nodes.containerd.config
  "--containerd-socket" .Values.nodes.containerd.socket
  "--containerd" .Values.nodes.containerd.program
  "--restart-command" .Values.installer.restartCommand -}}
{{- if $value -}}{{- $args = concat $args (list $option $value) -}}{{- end -}}
{{- end -}}
{{- toJson $args -}}
{{- end -}}

{{/* Folders of the node that the installer writes to, as a list in JSON: its own, and the one where this kind of containerd has its
     config. `Directory` where the distribution makes it: elsewhere, the value `nodes.distro` is wrong, and the pod says so. */}}
{{- define "run-wasm.writes" -}}
{{- $config := dict
  "plain" (dict "path" "/etc/containerd" "type" "DirectoryOrCreate")
  "k3s" (dict "path" "/var/lib/rancher/k3s/agent/etc/containerd" "type" "Directory")
  "rke2" (dict "path" "/var/lib/rancher/rke2/agent/etc/containerd" "type" "Directory")
  "k0s" (dict "path" "/etc/k0s" "type" "Directory")
  "microk8s" (dict "path" "/var/snap/microk8s/current/args" "type" "Directory") -}}
{{- list
  (dict "name" "programs" "path" "/opt/run-wasm" "type" "DirectoryOrCreate")
  (dict "name" "node-config" "path" "/etc/run-wasm" "type" "DirectoryOrCreate")
  (dict "name" "cache" "path" "/var/lib/run-wasm" "type" "DirectoryOrCreate")
  (merge (dict "name" "containerd") (get $config .Values.nodes.distro)) | toJson -}}
{{- end -}}

{{/* What the installer is called with, first to install and in the end to uninstall. */}}
{{- define "run-wasm.agent" -}}
{{- $args := list "agent" "--host-root" "/host" "--config" "/config/config.toml" "--binaries" "/usr/local/bin" -}}
{{- with .Values.installer.restartCommand -}}
{{- $args = concat $args (list "--restart-command" (join " " .)) -}}
{{- end -}}
{{- toJson $args -}}
{{- end -}}

# The images that critest pulls. Theirs cannot be had without the internet, so these are others under the same names, which
# do what its specs ask of them: one layer for all, and for each a config of its own. Needs lib/common.sh and lib/native-image.sh.

REGISTRY=127.0.0.1:5000

# layer BUSYBOX FOLDER: FOLDER/layer.tar, a root file system out of Debian's busybox, with its libraries in BUSYBOX. (In the
# static one sh does not look for what is a part of busybox, so that nothing can be hidden from it.)
layer() {
  local root=$2/root applet
  mkdir -p "$root"/{bin,etc,proc,sys,dev,tmp,var/run,www}
  cp -a "$1"/lib* "$1/bin" "$root/"
  # Hard links: a spec hides one of them, and that must not hide the others.
  for applet in $("$1/bin/busybox" --list); do
    [ "$applet" = busybox ] || ln "$root/bin/busybox" "$root/bin/$applet"
  done
  users "$root/etc"
  programs "$root/bin"
  echo "critest was here" >"$root/www/index.html"
  tar -C "$root" --owner 0 --group 0 -cf "$2/layer.tar" .
}

# users FOLDER: those of image-predefined-group among them.
users() {
  printf '%s\n' root:x:0:0::/:/bin/sh default-user:x:1000:1000::/:/bin/sh www-data:x:33:33::/:/bin/sh nobody:x:65534:65534::/:/bin/sh >"$1/passwd"
  printf '%s\n' root:x:0: default-user:x:1000: group-defined-in-image:x:50000:default-user www-data:x:33: nogroup:x:65534: >"$1/group"
}

# programs FOLDER: what busybox lacks.
programs() {
  gcc -static -Os -o "$1/pause" "$ROOT/scripts/cluster/pause.c"
  gcc -static -Os -o "$1/effective-uid" "$ROOT/scripts/critest/effective-uid.c"
  chmod u+s "$1/effective-uid"
  script "$1/pgrep" 'exec pidof "$@"'
  script "$1/ipcs" 'exec cat /proc/sysvipc/shm'
  # A web server of this name, in no process but the first of this name, and with its pid where the real one has it.
  script "$1/nginx" 'echo $$ >/var/run/nginx.pid' 'echo "httpd listens at port $PORT"' 'httpd -f -p "$PORT" -h /www &' wait
}

# script FILE LINE...
script() {
  printf '%s\n' '#!/bin/sh' "${@:2}" >"$1"
  chmod 755 "$1"
}

# images FOLDER: pushes all of them. Of another name or tag is another image, but for those tags that are named together.
images() {
  local architecture server='{"Entrypoint": ["nginx", "master process"], "Env": ["PORT=%d"]}' tools=k8s-staging-cri-tools
  architecture=$(dpkg --print-architecture)
  image "$1" pause '{"Entrypoint": ["/bin/pause"]}' 3.10
  image "$1" pause '{"Entrypoint": ["/bin/pause"]}' 3.9
  image "$1" e2e-test-images/busybox '{"Cmd": ["sh"]}' 1.29-2
  # shellcheck disable=SC2059
  {
    image "$1" e2e-test-images/nginx "$(printf "$server" 80)" 1.14-2
    image "$1" e2e-test-images/httpd "$(printf "$server" 80)" 2.4.39-4
    image "$1" "$tools/hostnet-nginx-$architecture" "$(printf "$server" 12003)" latest
  }
  image "$1" e2e-test-images/nonewprivs '{"Entrypoint": ["effective-uid"]}' 1.3
  for name in test-image-1 test-image-2 test-image-3 test-image-latest; do
    image "$1" "$tools/$name" '{"Cmd": ["sh"]}' latest
  done
  image "$1" $tools/test-image-tag '{"Cmd": ["sh"]}' test
  image "$1" $tools/test-image-tag '{"Cmd": ["sh"]}' all
  image "$1" $tools/test-image-tags '{"Cmd": ["sh"]}' 1 2 3
  image "$1" $tools/test-image-user-uid '{"Cmd": ["sh"], "User": "1002"}' latest
  image "$1" $tools/test-image-user-uid-group '{"Cmd": ["sh"], "User": "1003:1004"}' latest
  image "$1" $tools/test-image-user-username '{"Cmd": ["sh"], "User": "www-data"}' latest
  image "$1" $tools/test-image-user-username-group '{"Cmd": ["sh"], "User": "www-data:1004"}' latest
  image "$1" $tools/test-image-predefined-group '{"Cmd": ["sh"], "User": "1000"}' latest
}

# image FOLDER REPOSITORY CONFIG TAG...: the layer in FOLDER with this config, pushed.
image() {
  local folder=$1 repository=$2 config=$3 tags=("${@:4}") tag type=application/vnd.oci.image.manifest.v1+json
  jq -n --arg name "$repository:${tags[0]}" --argjson config "$config" --arg architecture "$(dpkg --print-architecture)" \
    --arg layer "sha256:$(sha256sum "$folder/layer.tar" | cut -d ' ' -f 1)" '{
      architecture: $architecture, os: "linux", config: ($config + {Labels: {name: $name}}),
      rootfs: {type: "layers", diff_ids: [$layer]}}' >"$folder/config"
  jq -n --arg type "$type" --argjson config "$(descriptor "$folder/config" application/vnd.oci.image.config.v1+json)" \
    --argjson layer "$(descriptor "$folder/layer.tar" application/vnd.oci.image.layer.v1.tar)" \
    '{schemaVersion: 2, mediaType: $type, config: $config, layers: [$layer]}' >"$folder/manifest"
  push "$repository" "$folder/layer.tar"
  push "$repository" "$folder/config"
  for tag in "${tags[@]}"; do
    send "$folder/manifest" "http://$REGISTRY/v2/$repository/manifests/$tag" --header "Content-Type: $type"
  done
}

# push REPOSITORY FILE: as a blob.
push() {
  local place
  place=$(curl --silent --show-error --fail --request POST --output /dev/null --write-out '%header{location}' "http://$REGISTRY/v2/$1/blobs/uploads/")
  send "$2" "$place&digest=sha256:$(sha256sum "$2" | cut -d ' ' -f 1)"
}

# send FILE URL OPTION...
send() { curl --silent --show-error --fail --output /dev/null --upload-file "$1" "${@:3}" "$2"; }

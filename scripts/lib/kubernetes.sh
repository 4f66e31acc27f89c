# The programs of Kubernetes, built from the Go module in scripts/cluster/kubernetes. Needs lib/common.sh and lib/go.sh.

KUBERNETES_SOURCE=$ROOT/scripts/cluster/kubernetes
KUBERNETES_VERSION=$(awk '$1 == "k8s.io/kubernetes" { print substr($2, 2) }' "$KUBERNETES_SOURCE/go.mod")
# The hash stands for what the build depends on beside the version.
KUBERNETES_BIN=$CACHE/kubernetes-$KUBERNETES_VERSION-$(cat "$KUBERNETES_SOURCE"/{main.go,go.mod,go.sum} | sha256sum | cut -c 1-8)

# ensure_kubernetes: $KUBERNETES_BIN holds kube-apiserver, kubelet, kubectl and the others. The first time takes
# about six minutes of one processor.
ensure_kubernetes() { built_by_go "$KUBERNETES_BIN" build_kubernetes; }

# build_kubernetes FOLDER: on one processor and with low priority, because it runs beside other work.
build_kubernetes() {
  local folder=$1 program flags="-s -w" version=v$KUBERNETES_VERSION package
  for package in k8s.io/component-base/version k8s.io/client-go/pkg/version; do
    flags+=" -X $package.gitVersion=$version -X $package.gitMajor=${KUBERNETES_VERSION%%.*}"
    flags+=" -X $package.gitMinor=$(cut -d . -f 2 <<<"$KUBERNETES_VERSION")"
  done
  (cd "$KUBERNETES_SOURCE" && GOMAXPROCS=1 CGO_ENABLED=0 nice "$GO" build -p 1 -trimpath -buildvcs=false -ldflags "$flags" -o "$folder/kubernetes" .)
  for program in kube-apiserver kube-controller-manager kube-proxy kube-scheduler kubelet kubectl; do
    ln -s kubernetes "$folder/$program"
  done
}

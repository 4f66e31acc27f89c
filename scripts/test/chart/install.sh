# shellcheck shell=bash
# The chart on a real node: install, test, upgrade, uninstall. For chart.sh, which sets what is not set here.
# shellcheck disable=SC2154

# on_node COMMAND...: what changes there is the cluster's alone.
on_node() { "$scripts/cluster.sh" exec "$@"; }

# kube_helm ARGUMENT...: helm, as the cluster's admin.
kube_helm() { on_node "$HELM_BIN/helm" --namespace wasm "$@"; }

# bare_node: a node that knows nothing of run-wasm, with /etc and /opt of its own, and somebody who restarts its containerd: it has no systemd.
bare_node() {
  on_node bash "$scripts/test/chart/bare-node.sh" >"$work/bare-node.log" 2>&1 &
  await 60 on_node test -e /run/cluster/restarter || { cat "$work/bare-node.log"; return 1; }
  await 60 kubectl wait --for=condition=Ready --timeout=1s node/node
}

ready_label() { kubectl get node node -o 'jsonpath={.metadata.labels.node\.run\.wasm/ready}'; }
# handlers: the runtimes that the node's containerd knows.
handlers() { kubectl get node node -o json | jq --compact-output '[.status.runtimeHandlers[].name | select(. != "")] | sort'; }
containerd_config() { on_node cat /run/cluster/etc/containerd.toml; }
# left_behind: what an uninstalled node still has.
left_behind() { on_node find /opt/run-wasm /etc/run-wasm /var/lib/run-wasm -mindepth 1 -not -name lock; }
handlers_are() { [ "$(handlers)" = "$1" ]; }

part_install() {
  local before
  with_image
  check "a node without run-wasm is there" bare_node
  before=$(containerd_config)
  check "its containerd has no handler of ours" await 60 handlers_are '["runc"]'
  check "the chart is installed" kube_helm install run-wasm "$chart" --create-namespace --values "$scripts/test/chart/values/install.yaml" --set "nodes.containerd.program=$CONTAINERD_2_1/containerd" --wait --timeout 5m ||
    { kubectl --namespace wasm describe pods; kubectl --namespace wasm logs daemonset/run-wasm; }
  check "the node is labelled" same "$(ready_label)" true
  check "its containerd has our handlers" await 60 handlers_are '["run","run-shared","runc"]'
  check "helm test succeeds: a Wasm pod of each class" kube_helm test run-wasm --timeout 2m
  check "the node's config is the chart's" contains "$(on_node cat /etc/run-wasm/config.toml)" 'memory = "256MiB"'
  check "the chart is upgraded with another config" kube_helm upgrade run-wasm "$chart" --reuse-values --set config.limits.memory=128MiB --wait --timeout 5m
  # Without waiting: the new pod is ready when its config is the node's.
  check "which is then the node's" on_node grep 'memory = "128MiB"' /etc/run-wasm/config.toml
  check "pods run as before" kube_helm test run-wasm --timeout 2m
  check "the chart is uninstalled" kube_helm uninstall run-wasm --wait --timeout 5m || kubectl --namespace wasm logs job/run-wasm-uninstall
  check "the node's label is gone" same "$(ready_label)" ""
  check "containerd's config is as it was" same "$(containerd_config)" "$before"
  check "containerd knows nothing of us" await 60 handlers_are '["runc"]'
  check "nothing of ours is on the node" same "$(left_behind)" ""
  check "and nothing in the cluster" same "$(kubectl get runtimeclasses,validatingadmissionpolicies,clusterroles --output name | grep run-wasm)" ""
  check "nor in the namespace" same "$(kubectl --namespace wasm get daemonsets,jobs,configmaps,roles,rolebindings,serviceaccounts,services --output name | grep run-wasm)" ""
}

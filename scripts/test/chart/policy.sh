# shellcheck shell=bash
# The policy of annotations before a real API server: a table of pods, admitted or refused. For chart.sh, which sets what is not set here.
# shellcheck disable=SC2154

# pod_of CLASS ANNOTATIONS: a pod with these annotations, by ";", in JSON.
pod_of() {
  jq -n --arg class "$1" --arg annotations "$2" '{
    apiVersion: "v1", kind: "Pod",
    metadata: {name: "tried", annotations: ($annotations | split(";") | map(split("=") | {(.[0] | sub("^ +"; "")): (.[1:] | join("="))}) | add)},
    spec: ({containers: ["app", "sidecar"] | map({name: ., image: "localhost/none:1"}), initContainers: [{name: "early", image: "localhost/none:1"}]}
      + if $class == "" then {} else {runtimeClassName: $class} end)}'
}

# verdict NAMESPACE CLASS ANNOTATIONS: "admitted", or why not.
verdict() {
  local said
  if said=$(pod_of "$2" "$3" | kubectl --namespace "$1" create --dry-run=server -f - 2>&1); then echo admitted; else echo "$said"; fi
}

trimmed() { sed 's/^ *//;s/ *$//' <<<"$1"; }

# is_enforced, admits_all: the API server takes a moment to hear of a policy, and of its end.
admits_all() { [ "$(verdict mislabelled run-wasm "")$(verdict default run-wasm-shared "")" = admittedadmitted ]; }
is_enforced() { [ "$(verdict mislabelled run-wasm "")" != admitted ] && [[ $(verdict offline run-wasm run.wasm/egress=a.b) == *"no egress"* ]]; }

namespaces() {
  local name
  for name in other open closed nets offline labelled mislabelled; do kubectl create namespace "$name"; done
  kubectl label namespace labelled run.wasm/policy=nets
  kubectl label namespace mislabelled run.wasm/policy=lost
  for name in default other open closed nets offline labelled mislabelled; do await 60 kubectl --namespace "$name" get serviceaccount default; done
}

# patched NAMESPACE METADATA: what the API server says to a change of the metadata of the pod there.
patched() { kubectl --namespace "$1" patch pod asked --patch "{\"metadata\": $2}" 2>&1 || true; }

# asks_on_no_node NAMESPACE ANNOTATIONS [JQ]: a pod that stays, and that no node takes.
asks_on_no_node() { pod_of run-wasm "$2" | jq ".metadata.name = \"asked\" | .spec.nodeSelector = {none: \"none\"} | ${3-.}" | kubectl --namespace "$1" create -f -; }

part_policy() {
  local namespace class annotations wanted
  namespaces
  kubectl apply -f - <"$ROOT/runtimeclass.yaml"
  asks_on_no_node offline run.wasm/egress=a.b '.metadata.finalizers = ["example.com/held"]'
  helm template run-wasm "$chart" --values "$scripts/test/chart/values/policy.yaml" --show-only templates/policy.yaml --show-only templates/node-guard.yaml |
    kubectl apply -f -
  check "the policy is in force" await 30 is_enforced
  check "it has no expression that the API server doubts" same "$(kubectl get validatingadmissionpolicies -o 'jsonpath={..expressionWarnings}')" ""
  while IFS='|' read -r namespace class annotations wanted; do
    namespace=$(trimmed "$namespace") class=$(trimmed "$class") annotations=$(trimmed "$annotations") wanted=$(trimmed "$wanted")
    check "in $namespace, ${class:-no class}, ${annotations:-no annotation}: ${wanted%%:*}" contains "$(verdict "$namespace" "$class" "$annotations")" "$wanted"
  done < <(grep -v '^#\|^$' "$scripts/test/chart/pods.table")

  asks_on_no_node nets run.wasm/egress=db.internal:5432
  check "a pod's annotation cannot be widened later" contains "$(patched nets '{"annotations": {"run.wasm/egress": "evil.org:80"}}')" "may not connect to evil.org:80"
  check "nor can one be added" contains "$(patched nets '{"annotations": {"run.wasm/sidecar.egress": "evil.org:80"}}')" "may not connect to evil.org:80"
  check "it can be changed to what is allowed" contains "$(patched nets '{"annotations": {"run.wasm/egress": "https://any.org"}}')" "pod/asked patched"
  check "a pod from before the policy can be changed in other ways" contains "$(patched offline '{"labels": {"seen": "yes"}}')" "pod/asked patched"
  check "but not ask for something else" contains "$(patched offline '{"annotations": {"run.wasm/egress": "c.d"}}')" "may not connect to c.d"
  check "and it can go" contains "$(patched offline '{"finalizers": null}')" "pod/asked patched"
  guard_is_enforced
  kubectl delete validatingadmissionpolicies,validatingadmissionpolicybindings --all
  check "without it all pods are admitted" await 30 admits_all
  kubectl delete -f - <"$ROOT/runtimeclass.yaml"
  kubectl delete namespace other open closed nets offline labelled mislabelled --wait=false
}

# node_patch TOKEN NODE PATCH: what the API server says to a change of a node by whoever has the token.
node_patch() { kubectl --kubeconfig /dev/null --server https://127.0.0.1:6443 --certificate-authority /run/cluster/pki/ca.crt --token "$1" patch node "$2" --patch "$3" 2>&1 || true; }

# The installer's account may patch nodes, by RBAC all of them.
guard_is_enforced() {
  local token unbound
  kubectl create serviceaccount run-wasm
  kubectl create clusterrole run-wasm --verb get,patch --resource nodes
  kubectl create clusterrolebinding run-wasm --clusterrole run-wasm --serviceaccount default:run-wasm
  kubectl create -f - <"$scripts/test/chart/other-node.yaml"
  kubectl run holder --image localhost/none:1 --image-pull-policy Never --overrides '{"spec": {"serviceAccountName": "run-wasm"}}'
  await 60 holder_has_node
  token=$(kubectl create token run-wasm --bound-object-kind Pod --bound-object-name holder)
  unbound=$(kubectl create token run-wasm)
  check "the installer labels its own node" contains "$(node_patch "$token" node '{"metadata": {"labels": {"node.run.wasm/ready": "true"}}}')" "node/node patched"
  check "and no other" contains "$(node_patch "$token" other '{"metadata": {"labels": {"node.run.wasm/ready": "true"}}}')" "may not change other: its token is of another node"
  check "it sets no label of others" contains "$(node_patch "$token" node '{"metadata": {"labels": {"pool": "gold"}}}')" "may only change labels of a node that begin with node.run.wasm/"
  check "it takes none away" contains "$(node_patch "$token" node '{"metadata": {"labels": {"kubernetes.io/os": null}}}')" "may only change labels"
  check "it taints nothing" contains "$(node_patch "$token" node '{"spec": {"unschedulable": true}}')" "may only change labels"
  check "its token without a node is good for nothing" contains "$(node_patch "$unbound" node '{"metadata": {"labels": {"node.run.wasm/ready": "true"}}}')" "its token is of another node"
  kubectl label node node node.run.wasm/ready-
  kubectl delete pod holder --grace-period=0 --force
  kubectl delete node other
  kubectl delete clusterrolebinding,clusterrole,serviceaccount run-wasm
}
holder_has_node() { [ -n "$(kubectl get pod holder -o 'jsonpath={.spec.nodeName}')" ]; }

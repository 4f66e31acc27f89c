# shellcheck shell=bash
# The policy of annotations before a real API server: a table of pods, admitted or refused. For chart.sh.

# pod_of CLASS ANNOTATIONS: a pod with these annotations, by ";", in JSON.
pod_of() {
  jq -n --arg class "$1" --arg annotations "$2" '{
    apiVersion: "v1", kind: "Pod",
    metadata: {name: "asked", annotations: ($annotations | split(";") | map(split("=") | {(.[0] | sub("^ +"; "")): (.[1:] | join("="))}) | add)},
    spec: ({containers: ["app", "sidecar"] | map({name: ., image: "localhost/none:1"}), initContainers: [{name: "early", image: "localhost/none:1"}]}
      + if $class == "" then {} else {runtimeClassName: $class} end)}'
}

# verdict NAMESPACE CLASS ANNOTATIONS: "admitted", or why not.
verdict() {
  local said
  if said=$(pod_of "$2" "$3" | kubectl --namespace "$1" create --dry-run=server -f - 2>&1); then echo admitted; else echo "$said"; fi
}

trimmed() { sed 's/^ *//;s/ *$//' <<<"$1"; }

# is_enforced: the API server takes a moment to hear of a policy.
is_enforced() { [ "$(verdict mislabelled run-wasm "")" != admitted ] && [[ $(verdict offline run-wasm run.wasm/egress=a.b) == *"no egress"* ]]; }

namespaces() {
  local name
  for name in other open closed nets offline labelled mislabelled; do kubectl create namespace "$name"; done
  kubectl label namespace labelled run.wasm/policy=nets
  kubectl label namespace mislabelled run.wasm/policy=lost
}

# patched POD PATCH: what the API server says to a change of the pod's metadata.
patched() { kubectl --namespace nets patch pod "$1" --patch "{\"metadata\": $2}" 2>&1 || true; }

policy_is_enforced() {
  local namespace class annotations wanted
  namespaces
  check "the policy has no expression that the API server doubts" same "$(kubectl get validatingadmissionpolicies -o 'jsonpath={..expressionWarnings}')" ""
  check "the policy is in force" await 30 is_enforced
  while IFS='|' read -r namespace class annotations wanted; do
    namespace=$(trimmed "$namespace") class=$(trimmed "$class") annotations=$(trimmed "$annotations") wanted=$(trimmed "$wanted")
    check "in $namespace, ${class:-no class}, ${annotations:-no annotation}: ${wanted%%:*}" contains "$(verdict "$namespace" "$class" "$annotations")" "$wanted"
  done < <(grep -v '^#\|^$' "$scripts/test/chart/pods.table")

  # Of pods that are there: no node takes this one.
  pod_of run-wasm run.wasm/egress=db.internal:5432 | jq '.spec.nodeSelector = {none: "none"}' | kubectl --namespace nets create -f -
  check "a pod's annotation cannot be widened" contains "$(patched asked '{"annotations": {"run.wasm/egress": "evil.org:80"}}')" "may not connect to evil.org:80"
  check "nor can one be added" contains "$(patched asked '{"annotations": {"run.wasm/sidecar.egress": "evil.org:80"}}')" "may not connect to evil.org:80"
  check "it can be changed to another that is allowed" contains "$(patched asked '{"annotations": {"run.wasm/egress": "https://any.org"}}')" "pod/asked patched"
  kubectl label --overwrite namespace nets run.wasm/policy=offline
  kubectl --namespace nets delete pod asked --wait=false
}

# A pod from before the policy.
old_pods_stay_movable() {
  pod_of run-wasm run.wasm/egress=a.b | jq '.spec.nodeSelector = {none: "none"} | .metadata.finalizers = ["example.com/held"]' | kubectl --namespace labelled create -f -
}

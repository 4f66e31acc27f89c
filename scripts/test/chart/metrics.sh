# shellcheck shell=bash
# The dashboard asks for metrics that there are: those of a real manager that has created, served, failed and denied. For chart.sh, which sets what is not set here.
# shellcheck disable=SC2154

# shared_pod NAME ANNOTATIONS [COMMAND...]: a pod of the shared mode whose image is called as it is.
shared_pod() {
  jq -n --arg name "$1" --argjson annotations "$2" '{
    apiVersion: "v1", kind: "Pod", metadata: {name: $name, annotations: $annotations},
    spec: {runtimeClassName: "run-wasm-shared", restartPolicy: "Never", containers: [
      {name: "guest", image: "localhost/\($name):1", imagePullPolicy: "Never", args: $ARGS.positional}]}}' --args "${@:3}" | kubectl create -f -
}

scrape() { "$scripts/cluster.sh" exec sh -c 'for socket in /run/run-wasm/metrics/*.sock; do curl --silent --unix-socket "$socket" http://localhost/metrics; done'; }

# answered POD: the server in it has been asked something.
answered() { "$scripts/cluster.sh" exec curl --silent --output /dev/null "http://$(kubectl get pod "$1" -o 'jsonpath={.status.podIP}'):8080/"; }

# missing_metrics: what the dashboard asks for and nobody tells.
missing_metrics() {
  local told name
  told=$(scrape)
  for name in $(grep -o 'run_wasm_[a-z_]*' "$chart/dashboards/run-wasm.json" | sort -u); do
    grep -q "^${name}[{ ]" <<<"$told" || echo "$name"
  done
}
all_are_told() { [ -z "$(missing_metrics)" ]; }

part_metrics() {
  local guest
  check "the dashboard is JSON" jq --exit-status '.panels | length > 5' "$chart/dashboards/run-wasm.json"
  kubectl apply -f - <"$ROOT/runtimeclass.yaml"
  for guest in serve sockets; do
    wasm_image "localhost/$guest:1" "$ROOT/target/guests/$guest.wasm" "$work/$guest.tar"
    "$scripts/cluster.sh" import "$work/$guest.tar"
  done
  shared_pod serve '{"run.wasm/http-port": "8080"}'
  shared_pod sockets '{}' connect 10.0.0.1:80
  await 60 answered serve || kubectl describe pod serve
  await 60 pod_has_ended sockets || kubectl describe pod sockets
  check "every metric of the dashboard is one that a manager tells" await 30 all_are_told || { missing_metrics; scrape | grep '^# TYPE'; }
  kubectl delete pod serve sockets --grace-period=1
  kubectl delete -f - <"$ROOT/runtimeclass.yaml"
}

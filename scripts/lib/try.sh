# shellcheck shell=bash
# What kind.sh and k3d.sh have in common: the chart in a cluster that runs in Docker, and a Wasm pod in it. Needs lib/common.sh.

TRY_NAME=run-wasm
TRY_IMAGE=localhost/run-wasm:dev

# needs_programs PROGRAM...
needs_programs() {
  local program
  for program in "$@"; do
    command -v "$program" >/dev/null || die "$program is missing: install it and put it on PATH"
  done
}

# try_image: the installer's image, compiled in Docker, or what IMAGE names, which is there already.
try_image() {
  if [ -n "${IMAGE-}" ]; then
    docker tag "$IMAGE" "$TRY_IMAGE"
  else
    docker build --tag "$TRY_IMAGE" "$ROOT"
  fi
}

# try_chart CONTEXT OPTION...: installs the chart, tests it, and runs a pod whose log it then looks at.
try_chart() {
  local context=$1
  helm --kube-context "$context" upgrade --install run-wasm "$ROOT/charts/run-wasm" --namespace run-wasm --create-namespace --wait --timeout 10m \
    --set image.repository="${TRY_IMAGE%:*}",image.tag="${TRY_IMAGE##*:}",image.pullPolicy=Never "${@:2}"
  helm --kube-context "$context" test run-wasm --namespace run-wasm
  kubectl --context "$context" apply -f - <<YAML
apiVersion: v1
kind: Pod
metadata: {name: hello}
spec:
  runtimeClassName: run-wasm
  restartPolicy: Never
  containers:
    - {name: hello, image: "$TRY_IMAGE", imagePullPolicy: Never, command: [/hello.wat]}
YAML
  kubectl --context "$context" wait --for=jsonpath='{.status.phase}'=Succeeded --timeout=120s pod/hello
  [ "$(kubectl --context "$context" logs hello)" = "hello from wat" ] || die "the pod hello ran, and said something else"
  kubectl --context "$context" delete pod hello
  say "a Wasm pod ran: kubectl --context $context get runtimeclasses"
}

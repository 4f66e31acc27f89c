# shellcheck shell=bash
# What the chart renders, and what its schema refuses. For chart.sh, which sets what is not set here.
# shellcheck disable=SC2154

# rendered OPTION...: the manifests of a release called run-wasm.
rendered() { helm template run-wasm "$chart" --namespace wasm "$@"; }

# served OPTION...: the same as the API server understands them, a list in JSON. Nothing is kept.
served() { rendered --no-hooks "$@" | kubectl apply --dry-run=server -o json -f -; }

# of KIND NAME FILTER: what jq's FILTER says of one object of $work/served.json.
of() { jq --compact-output --raw-output --arg kind "$1" --arg name "$2" ".items[] | select(.kind == \$kind and .metadata.name == \$name) | $3" "$work/served.json"; }

# refusal OPTION...: what helm says of values that it does not take.
refusal() {
  local said
  if said=$(rendered "$@" 2>&1); then echo "they were taken"; else echo "$said"; fi
}

chart_is_well_formed() {
  local values
  check "helm lint has nothing to say of the chart as it is" helm lint --strict --quiet "$chart"
  for values in "$scripts"/test/chart/values/*.yaml; do
    check "nor of $(basename "$values")" helm lint --strict --quiet "$chart" --values "$values"
  done
  check "a value that does not exist is named" contains "$(refusal --set nodes.distribution=k3s)" "additional properties 'distribution' not allowed"
  check "a distribution that does not exist is named, with those that do" contains "$(refusal --set nodes.distro=openshift)" "'plain', 'k3s', 'rke2', 'k0s', 'microk8s'"
  check "so is a key of the node's config" contains "$(refusal --set config.limits.memroy=1GiB)" "additional properties 'memroy' not allowed"
  check "a size that is none is refused" contains "$(refusal --set config.limits.memory=1GB)" "'1GB' does not match pattern"
  check "so is a time" contains "$(refusal --set config.limits.timeout=soon)" "'soon' does not match pattern"
  check "so is a network" contains "$(refusal --set 'config.egress.deny-cidrs={example.com}')" "'example.com' does not match pattern"
  check "no mode at all is refused" contains "$(refusal --set-json config.modes=[])" "minItems"
  check "an annotation in a rule that does not exist is refused" contains "$(refusal --set 'policy.rules.a.annotations={egres}')" "policy/rules/a/annotations/0"
  check "so is an egress rule in a rule" contains "$(refusal --set-json 'policy.rules.a.egress=["http:/x"]')" "policy/rules/a/egress/0"
  check "a rule's name is a namespace's" contains "$(refusal --set 'policy.rules.A_b.annotations={egress}')" "'A_b' does not match pattern"
  check "the rule for all others cannot be taken away" contains "$(refusal --set-json 'policy.rules={"default":null}')" "default"
  check "helm test has a pod for each mode that the node's config leaves" same "$(rendered --set 'config.modes={shared}' --show-only templates/tests/pods.yaml | grep '^  name:')" "  name: run-wasm-test-shared"
  check "a digest that is none is refused" contains "$(refusal --set image.digest=latest)" "'latest' does not match pattern"
  check "a port that is none is refused" contains "$(refusal --set metrics.port=0)" "metrics/port"
}

# keys_of_toml: TABLE.KEY for each line of TOML that is read.
keys_of_toml() { awk '/^\[/ { gsub(/^\[+|\].*/, ""); table = $0 "."; next } /^[a-z]/ { print table $1 }' | sort; }

# What is written in two places says the same.
chart_is_consistent() {
  local known
  # `prewarm` is the agent's: no pod may say it.
  known=$(sed -n 's/^const [A-Z_]*: &str = "\([a-z-]*\)";$/\1/p' "$ROOT/crates/grants/src/annotations.rs" | grep -vx prewarm | sort)
  check "the schema knows the annotations that the shim does" same "$(jq -r '.definitions.annotation.enum[]' "$chart/values.schema.json" | sort)" "$known"
  check "and so does the policy" same \
    "$(rendered --show-only templates/policy.yaml | awk '/- name: known/ { inside = 1; next } /- name:/ { inside = 0 } inside' | grep -o "'[a-z-]*'" | tr -d "'" | sort)" "$known"
  check "the schema knows all keys of the node's config that the docs have" same \
    "$(jq -r '.properties.config.properties | to_entries[] | (.value.properties // .value.items.properties) as $inner | if $inner then .key + "." + ($inner | keys[]) else .key end' "$chart/values.schema.json" | sort)" \
    "$(awk '/^## The node.s config/ { inside = 1 } inside && /^```/ { code = !code; next } inside && code' "$ROOT/docs/grants.md" | keys_of_toml)"
  check "every value is in the schema, and every value of the schema has a default" same \
    "$(helm install run-wasm "$chart" --dry-run=client --output json 2>/dev/null | jq --sort-keys --compact-output '.chart.values | del(.config) | map_values(keys)')" \
    "$(jq --sort-keys --compact-output '.properties | del(.global, .config) | map_values(.properties | keys)' "$chart/values.schema.json")"
  check "the chart's version is the project's" same "$(helm show chart "$chart" | sed -n 's/^appVersion: //p')" "$(sed -n 's/^version = "\(.*\)"/\1/p' "$ROOT/Cargo.toml" | head -1)"
}

# classes: names, handlers and overheads of the RuntimeClasses in a list.
classes() { jq --sort-keys --compact-output '.items[] | select(.kind == "RuntimeClass") | [.metadata.name, .handler, .overhead]' "$1" | sort; }

# probe NAME: what it runs.
probe() { of DaemonSet run-wasm ".spec.template.spec.containers[0].$1.exec.command"; }

# installs: what the probe of an agent has to run.
installs() { of DaemonSet run-wasm '.spec.template.spec.containers[0].args | ["run-wasm-node", "verify", "--quiet"] + .[1:5] + .[(index("--host-root")):]'; }

# writable: where the installer may write.
writable() { of DaemonSet run-wasm '[.spec.template.spec.containers[0].volumeMounts[] | select(.readOnly != true) | .mountPath] | sort'; }

chart_is_accepted() {
  kubectl create namespace wasm
  await 60 kubectl --namespace wasm get serviceaccount default
  kubectl create -f - <"$scripts/test/chart/servicemonitor-crd.yaml"
  await 30 kubectl get servicemonitors
  kubectl apply --dry-run=server -o json -f - <"$ROOT/runtimeclass.yaml" >"$work/classes.json"

  served >"$work/served.json"
  check "the API server takes the chart as it is" test -s "$work/served.json"
  check "its RuntimeClasses are those of runtimeclass.yaml" same "$(classes "$work/served.json")" "$(classes "$work/classes.json")"
  check "they are for nodes with the ready label" same "$(of RuntimeClass run-wasm-shared .scheduling.nodeSelector)" '{"node.run.wasm/ready":"true"}'
  check "the installer writes to four folders of the node" same "$(writable)" \
    '["/host/etc/containerd","/host/etc/run-wasm","/host/opt/run-wasm","/host/var/lib/run-wasm"]'
  check "it has two capabilities, and no way to more" same \
    "$(of DaemonSet run-wasm '.spec.template.spec.containers[0].securityContext | [.privileged, .allowPrivilegeEscalation, .readOnlyRootFilesystem, .capabilities, .seccompProfile.type]')" \
    '[false,false,true,{"add":["CHOWN","SYS_CHROOT"],"drop":["ALL"]},"RuntimeDefault"]'
  check "its probes know what it is to install" same "$(probe startupProbe)" "$(installs)"
  check "at its start and later" same "$(probe readinessProbe)" "$(installs)"
  check "its config changes with the pod alone" same "$(of DaemonSet run-wasm '.spec.template.spec.containers[0].volumeMounts[] | select(.name == "config") | [.mountPath, .subPath]')" \
    '["/config/config.toml","config.toml"]'
  check "a step that was begun has time to end" same "$(of DaemonSet run-wasm .spec.template.spec.terminationGracePeriodSeconds)" 1560
  check "it shares no namespace with the node" same "$(of DaemonSet run-wasm '.spec.template.spec | [.hostPID, .hostIPC, .hostNetwork]')" '[null,null,null]'
  check "it may read and label nodes, and nothing else of the cluster" same "$(of ClusterRole run-wasm '.rules')" '[{"apiGroups":[""],"resources":["nodes"],"verbs":["get","patch"]}]'
  check "one node at a time" same "$(of DaemonSet run-wasm .spec.updateStrategy.rollingUpdate.maxUnavailable)" 1

  served --values "$scripts/test/chart/values/full.yaml" >"$work/served.json"
  check "it takes every value at once" test -s "$work/served.json"
  check "the node's config is what the values say" same "$(of ConfigMap run-wasm '.data["config.toml"]')" "$(cat "$scripts/test/chart/values/full.toml")"
  check "with all of its keys" same "$(keys_of_toml <"$scripts/test/chart/values/full.toml" | wc -l)" "$(jq '[.properties.config.properties[] | .properties // .items.properties // {"": 1} | length] | add' "$chart/values.schema.json")"
  check "a tainted node's pods tolerate it by their class" same "$(of RuntimeClass run-wasm '.scheduling.tolerations[].key')" wasm
  check "with metrics, the installer's pod has the node's address" same "$(of DaemonSet run-wasm '.spec.template.spec | [.hostNetwork, .containers[0].ports[0].hostPort]')" '[true,9500]'
  check "where containerd's config is elsewhere, the installer may write there" same "$(writable)" \
    '["/host/etc/k0s","/host/etc/other","/host/etc/run-wasm","/host/opt/run-wasm","/host/var/lib/run-wasm"]'
  check "containerd has the time to restart that the values say" contains "$(probe readinessProbe)" '"--restart-timeout","900"'
  check "and the way back, too" same "$(of DaemonSet run-wasm .spec.template.spec.terminationGracePeriodSeconds)" 4560
  check "the nodes have the time to be cleaned that the values say, and their Job a little more" same \
    "$(rendered --values "$scripts/test/chart/values/full.yaml" --show-only templates/uninstall.yaml | grep -o 'activeDeadlineSeconds: .*\|--timeout, .*]')" \
    "$(printf 'activeDeadlineSeconds: 3900\n--timeout, 3600s]')"
  check "the Job runs where no node has the labels any more" same \
    "$(rendered --values "$scripts/test/chart/values/full.yaml" --show-only templates/uninstall.yaml | grep -A1 nodeSelector: | tail -1)" "        kubernetes.io/os: linux"
  check "a digest names the image" same "$(of DaemonSet run-wasm '.spec.template.spec.containers[0].image')" \
    registry.example/team/run-wasm@sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef
  check "the service monitor asks the service" same "$(of ServiceMonitor run-wasm '.spec.selector.matchLabels["app.kubernetes.io/component"]')" metrics

  served --set nodes.distro=k3s >"$work/served.json"
  check "on k3s it writes to k3s' folder in place of containerd's" same "$(writable)" \
    '["/host/etc/run-wasm","/host/opt/run-wasm","/host/var/lib/rancher/k3s/agent/etc/containerd","/host/var/lib/run-wasm"]'

  served --set installer.enabled=false >"$work/served.json"
  check "without the installer there are RuntimeClasses for any node, and the policy" same \
    "$(jq --compact-output '[.items[] | .kind + " " + .metadata.name + (.scheduling.nodeSelector // "" | tostring)] | sort' "$work/served.json")" \
    '["RuntimeClass run-wasm","RuntimeClass run-wasm-shared","ValidatingAdmissionPolicy run-wasm","ValidatingAdmissionPolicyBinding run-wasm"]'

  kubectl apply -f - <"$ROOT/runtimeclass.yaml"
  kubectl create namespace restricted
  await 60 kubectl --namespace restricted get serviceaccount default
  kubectl label namespace restricted pod-security.kubernetes.io/enforce=restricted
  check "the pods of helm test, and the hook's, are such as a restricted namespace takes" restricted_takes
  kubectl delete -f - <"$ROOT/runtimeclass.yaml"
}

# restricted_takes: what is not the installer.
restricted_takes() {
  local said
  said=$(rendered --namespace restricted --show-only templates/tests/pods.yaml --show-only templates/uninstall.yaml | kubectl apply --dry-run=server -f - 2>&1) ||
    { echo "$said"; return 1; }
  [[ $said != *Warning* ]] || { echo "$said"; return 1; }
}

part_render() {
  chart_is_well_formed
  chart_is_consistent
  chart_is_accepted
}

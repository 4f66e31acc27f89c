#!/bin/bash
# keys.sh FOLDER: a certificate authority, certificates, tokens and kubeconfigs for one cluster, below FOLDER. The paths
# in them are those that the node's programs see.
set -euo pipefail
cd "$1"
mkdir -p pki kubeconfig

new_key=(-newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes)

# certificate NAME SUBJECT ALTERNATIVE_NAMES
certificate() {
  openssl req "${new_key[@]}" -subj "$2" -keyout "pki/$1.key" -out "pki/$1.request"
  openssl x509 -req -in "pki/$1.request" -CA pki/ca.crt -CAkey pki/ca.key -CAcreateserial -days 3650 \
    -extfile <(echo "subjectAltName=$3") -out "pki/$1.crt"
}

# account FILE USER [GROUP]: a token, and the kubeconfig that logs in with it.
account() {
  local token
  token=$(openssl rand -hex 16)
  echo "$token,$2,$2,\"${3:-}\"" >>pki/tokens.csv
  cat >"kubeconfig/$1" <<CONFIG
apiVersion: v1
kind: Config
clusters: [{name: cluster, cluster: {server: "https://10.99.0.2:6443", certificate-authority: /run/cluster/pki/ca.crt}}]
users: [{name: user, user: {token: $token}}]
contexts: [{name: context, context: {cluster: cluster, user: user}}]
current-context: context
CONFIG
}

{
  openssl req -x509 "${new_key[@]}" -days 3650 -subj /CN=cluster -keyout pki/ca.key -out pki/ca.crt
  certificate apiserver /CN=kube-apiserver \
    DNS:localhost,DNS:kubernetes,DNS:kubernetes.default,DNS:kubernetes.default.svc,IP:127.0.0.1,IP:10.96.0.1,IP:10.99.0.2
  certificate kubelet /O=system:nodes/CN=system:node:node DNS:node,IP:10.99.0.2
  certificate kubelet-of-worker /O=system:nodes/CN=system:node:worker DNS:worker,IP:10.99.0.3
  certificate apiserver-to-kubelet /O=system:masters/CN=apiserver-to-kubelet DNS:apiserver
  openssl ecparam -name prime256v1 -genkey -noout -out pki/accounts.key
  openssl ec -in pki/accounts.key -pubout -out pki/accounts.pub
} 2>openssl.log || { cat openssl.log >&2; exit 1; }

account admin admin system:masters
account controller-manager system:kube-controller-manager
account scheduler system:kube-scheduler
account proxy system:kube-proxy
account dns system:coredns
account kubelet system:node:node system:nodes
account kubelet-of-worker system:node:worker system:nodes

# shellcheck shell=bash
# A Node.js that can build the JavaScript guests. Needs lib/common.sh and lib/debian.sh.

NODE_NEEDED=20.0
# What takes the place of an older one: Node.js and npm as npm's registry has them.
NODE_RELEASE=24.21.0
NPM_RELEASE=11.19.1

# ensure_node: `node` and `npm` on PATH are new enough: the machine's own, else those of npm's registry in the cache.
ensure_node() {
  command -v npm >/dev/null || install_packages nodejs npm
  local found
  found=$(node --version)
  at_least "${found#v}" "$NODE_NEEDED" && return
  say "Node.js is ${found#v}, older than the $NODE_NEEDED that componentize-js needs"
  cached "node-$NODE_RELEASE" unpack_node
  PATH=$CACHE/node-$NODE_RELEASE/node_modules/.bin:$PATH
}

# unpack_node FOLDER: by the npm that is there.
unpack_node() {
  local architecture=x64
  [ "$(uname -m)" = x86_64 ] || architecture=arm64
  npm install --prefix "$1" --no-save --ignore-scripts --no-audit --no-fund --loglevel=error \
    "node-linux-$architecture@$NODE_RELEASE" "npm@$NPM_RELEASE" >&2
}

# Shared by every script: where things are, how they speak, and a cache that is never half full.
# Sourced after `set -euo pipefail`.

ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
CACHE=${RUN_WASM_CACHE:-$HOME/.cache/run-wasm}
# What cargo puts where, for every script: one profile, one explicit target.
PROFILE=e2e
TARGET_DIR=${CARGO_TARGET_DIR:-$ROOT/target}
BUILT=$TARGET_DIR/$(uname -m)-unknown-linux-gnu/$PROFILE

say() { printf '==> %s\n' "$*" >&2; }

die() {
  printf 'error: %s\n' "$*" >&2
  exit 1
}

# milliseconds: the clock that durations are taken from.
milliseconds() { echo $((${EPOCHREALTIME/[.,]/} / 1000)); }

# seconds_since START: what has gone by since `milliseconds` said START, as "12.3".
seconds_since() {
  local gone=$(($(milliseconds) - $1))
  printf '%d.%d' $((gone / 1000)) $((gone % 1000 / 100))
}

# timed WHAT COMMAND...: says WHAT, runs COMMAND, says what it took.
timed() {
  local what=$1 start
  shift
  start=$(milliseconds)
  say "$what"
  "$@"
  say "$what: $(seconds_since "$start") s"
}

# await SECONDS COMMAND...: until COMMAND succeeds; fails when SECONDS have gone by.
await() {
  local limit=$(($(milliseconds) + $1 * 1000))
  shift
  until "$@" >/dev/null 2>&1; do
    [ "$(milliseconds)" -lt "$limit" ] || return 1
    sleep 0.1
  done
}

# cached NAME MAKER...: makes $CACHE/NAME once. `MAKER... FOLDER` fills an empty folder, which gets its name only
# when it is complete; a second caller waits for the first.
cached() {
  local name=$1 folder=$CACHE/$1
  shift
  [ -d "$folder" ] && return
  mkdir -p "$CACHE"
  (
    flock 9
    [ -d "$folder" ] && exit
    rm -rf "$folder.partial"
    mkdir "$folder.partial"
    timed "fetch or build $name, kept in $CACHE" "$@" "$folder.partial"
    mv "$folder.partial" "$folder"
  ) 9>"$CACHE/$name.lock"
}

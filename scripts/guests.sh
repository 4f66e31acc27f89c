#!/usr/bin/env bash
# scripts/guests.sh [--list] [NAME...]: builds the guests of test-images/ into target/guests, all or those named (`hello`
# stands for hello.wasm, hello.p1.wasm and hello.p3.wasm), and prints each file with its size. `--list` prints the names alone.
# A family of guests is built again only when its sources or the way of building it have changed.
set -euo pipefail
. "$(dirname "$0")/lib/common.sh"
. "$ROOT/scripts/lib/debian.sh"
. "$ROOT/scripts/lib/rust.sh"
. "$ROOT/scripts/lib/node.sh"
. "$ROOT/scripts/lib/go.sh"
. "$ROOT/scripts/lib/guest-rust.sh"
. "$ROOT/scripts/lib/guest-go.sh"
. "$ROOT/scripts/lib/guest-families.sh"

# Rust's release and cargo's settings are looked up from here.
cd "$ROOT"

FAMILIES=(rust rust_p3 wat c javascript assemblyscript python go polyglot)
GUESTS=$ROOT/target/guests

# files_of FAMILY: what it makes, one file a line.
files_of() { "files_of_$1" | sort; }

# wanted FAMILY NAME...: those of its files that the names mean; without names, all.
wanted() {
  local family=$1 file name
  shift
  for file in $(files_of "$family"); do
    [ $# = 0 ] && echo "$file"
    for name in "$@"; do
      case $file in "$name" | "$name.wasm" | "$name.p1.wasm" | "$name.p3.wasm") echo "$file" ;; esac
    done
  done
}

# state_of FAMILY: a hash of its sources and of these scripts, which name or lock every version that matters. Not of the project
# that packs what it makes, nor of the lock beside it, which a build writes.
state_of() {
  local sources
  mapfile -t sources < <("sources_of_$1" | sed 's,^,test-images/,')
  find "${sources[@]}" scripts/guests.sh scripts/lib/guest-{rust,go,families}.sh rust-toolchain.toml -type f \
    -not -path '*/target/*' -not -path '*/node_modules/*' -not -path '*/__pycache__/*' -not -name 'run*.toml' -print0 |
    sort -z | xargs -0 sha256sum | sha256sum | cut -c 1-16
}

# build FAMILY STATE: fills $CACHE/guests/FAMILY-STATE. One build of a family at a time, whatever the state: the folders of
# intermediate files are shared. What no checkout has asked for in two weeks goes.
build() {
  mkdir -p "$CACHE/guests"
  (
    flock 8
    find "$CACHE/guests" -maxdepth 1 -name "$1-*" -mtime +14 -exec rm -rf {} +
    cached "guests/$1-$2" "build_$1"
  ) 8>"$CACHE/guests/$1.lock"
}

# install_files FAMILY STATE FILE...: from the cache into target/guests, each file whole at every moment.
install_files() {
  local from=$CACHE/guests/$1-$2 file
  shift 2
  for file in "$@"; do
    cmp -s "$from/$file" "$GUESTS/$file" && continue
    install -m 644 "$from/$file" "$GUESTS/.$file.$$"
    mv "$GUESTS/.$file.$$" "$GUESTS/$file"
  done
}

# known NAME...: fails at the first that no family makes.
known() {
  local name family found
  for name in "$@"; do
    found=
    for family in "${FAMILIES[@]}"; do found+=$(wanted "$family" "$name"); done
    [ -n "$found" ] || die "there is no guest $name: scripts/guests.sh --list prints them all"
  done
}

# make FAMILY FILE...: the files in target/guests are those of today's sources.
make() {
  local family=$1 state
  shift
  state=$(state_of "$family")
  [ -d "$CACHE/guests/$family-$state" ] || build "$family" "$state"
  install_files "$family" "$state" "$@"
  (cd "$GUESTS" && stat --format '%s %n' "$@" | awk '{ printf "%10d  %s\n", $1, $2 }')
}

action="make"
[ "${1-}" = --list ] && { action="list"; shift; }
known "$@"
mkdir -p "$GUESTS"
for family in "${FAMILIES[@]}"; do
  mapfile -t files < <(wanted "$family" "$@")
  case $action,${#files[@]} in
    *,0) ;;
    list,*) printf '%s\n' "${files[@]}" ;;
    make,*) make "$family" "${files[@]}" ;;
  esac
done

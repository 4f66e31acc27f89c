# shellcheck shell=bash
# The families of guests. For each: `sources_of_FAMILY` (what it is made from, in test-images), `files_of_FAMILY` (what it
# makes), and `build_FAMILY FOLDER` (makes it). Needs lib/common.sh, lib/debian.sh, lib/rust.sh, lib/node.sh, lib/go.sh,
# lib/guest-rust.sh and lib/guest-go.sh.

TEST_IMAGES=$ROOT/test-images

# names_in FOLDER EXTENSION: the names of the sources there, without their extension.
names_in() {
  local source
  for source in "$TEST_IMAGES/$1"/*."$2"; do basename "$source" ".$2"; done
}

# both_forms: of each name read, the component's file and the module's.
both_forms() { sed 's/.*/&.wasm\n&.p1.wasm/'; }

# hash_of FILE...: names a cache entry after what the files say.
hash_of() { cat "$@" | sha256sum | cut -c 1-16; }

# --- the helper of test-images/tools

build_guest_tools() {
  local target=$CACHE/guests/target-tools
  CARGO_TARGET_DIR=$target cargo build --quiet --locked --release --manifest-path "$TEST_IMAGES/tools/Cargo.toml"
  cp "$target/$(uname -m)-unknown-linux-gnu/release/guest-tools" "$1/"
}

# guest_tools ARGUMENT...: runs it, built when it is first needed.
guest_tools() {
  local name
  name=guests/tools-$(hash_of "$TEST_IMAGES"/tools/{Cargo.toml,Cargo.lock,src/*})
  if [ ! -d "$CACHE/$name" ]; then
    ensure_rust
    cached "$name" build_guest_tools
  fi
  "$CACHE/$name/guest-tools" "$@"
}

# --- Rust: `commands` as components and as modules, `components`, `compute`, `serve` and `configured` as components alone, and two libraries

sources_of_rust() { echo rust; }

files_of_rust() {
  names_in rust/commands/src/bin rs | both_forms
  names_in rust/components/src/bin rs | sed 's/$/.wasm/'
  echo compute.wasm
  echo library | both_forms
  printf '%s\n' serve.wasm configured.wasm
}

build_rust() {
  local target=$CACHE/guests/target-rust manifest=$TEST_IMAGES/rust/Cargo.toml file name
  ensure_guest_rust
  export CARGO_TARGET_DIR=$target
  guest_cargo build --quiet --locked --release --target wasm32-wasip2 --manifest-path "$manifest"
  guest_cargo build --quiet --locked --release --target wasm32-wasip1 --manifest-path "$manifest" -p commands -p library
  for file in $(files_of_rust); do
    name=${file%.wasm}
    case $file in
      *.p1.wasm) cp "$target/wasm32-wasip1/release/${name%.p1}.wasm" "$1/$file" ;;
      # The one component that has a crate of another name.
      fail.wasm) cp "$target/wasm32-wasip2/release/failing_run.wasm" "$1/$file" ;;
      *) cp "$target/wasm32-wasip2/release/$file" "$1/$file" ;;
    esac
  done
}

# --- Rust for WASI 0.3: components alone

sources_of_rust_p3() { echo rust-p3; }

files_of_rust_p3() { names_in rust-p3/examples rs | sed 's/$/.p3.wasm/'; }

build_rust_p3() {
  local target=$CACHE/guests/target-rust-p3 name
  ensure_guest_rust forky
  # The target is WASI 0.2's: what std asks of the host is of that release still, as in any such guest today.
  CARGO_TARGET_DIR=$target guest_cargo build --quiet --locked --release --examples --target wasm32-wasip2 \
    --manifest-path "$TEST_IMAGES/rust-p3/Cargo.toml"
  for name in $(names_in rust-p3/examples rs); do
    cp "$target/wasm32-wasip2/release/examples/${name//-/_}.wasm" "$1/$name.p3.wasm"
  done
}

# --- WAT: NAME.wat becomes NAME.wasm; the one whose name a Rust guest has becomes hello-wat.p1.wasm

sources_of_wat() { printf '%s\n' wat tools; }

wat_file() {
  case $1 in
    hello) echo hello-wat.p1.wasm ;;
    *) echo "$1.wasm" ;;
  esac
}

files_of_wat() {
  local name
  for name in $(names_in wat wat); do wat_file "$name"; done
}

build_wat() {
  local name
  for name in $(names_in wat wat); do
    guest_tools wat "$TEST_IMAGES/wat/$name.wat" "$1/$(wat_file "$name")"
  done
}

# --- C: a module by clang and wasi-libc, and the component around it

C_PACKAGES=(clang lld wasi-libc libclang-rt-dev-wasm32)

sources_of_c() { printf '%s\n' c tools; }

files_of_c() { names_in c c | both_forms; }

# NAME-g keeps its line numbers.
build_c() {
  local name debug
  install_packages "${C_PACKAGES[@]}"
  for name in $(names_in c c); do
    case $name in *-g) debug=-g1 ;; *) debug=-Wl,--strip-debug ;; esac
    clang --target=wasm32-wasi -Os -Wall -Wextra -Werror "$debug" -o "$1/$name.p1.wasm" "$TEST_IMAGES/c/$name.c"
    guest_tools component "$1/$name.p1.wasm" "$1/$name.wasm"
  done
}

# world_of NAME: that of test-images/wit of which a guest in JavaScript or Python is.
world_of() { case $1 in serve*) echo server ;; *) echo guest ;; esac }

# --- JavaScript: components by componentize-js

sources_of_javascript() { printf '%s\n' javascript wit; }

files_of_javascript() { names_in javascript js | sed 's/$/.wasm/'; }

unpack_componentize_js() {
  cp "$TEST_IMAGES"/javascript/{package.json,package-lock.json,build.mjs} "$1/"
  # `npm ci` would insist that the lock names the optional packages of every other platform.
  npm install --prefix "$1" --no-save --ignore-scripts --no-audit --no-fund --loglevel=error >&2
}

build_javascript() {
  local name tool
  ensure_node
  tool=guests/componentize-js-$(hash_of "$TEST_IMAGES"/javascript/{package.json,package-lock.json,build.mjs} "$ROOT/scripts/lib/node.sh")
  cached "$tool" unpack_componentize_js
  for name in $(names_in javascript js); do
    node "$CACHE/$tool/build.mjs" "$TEST_IMAGES/javascript/$name.js" "$TEST_IMAGES/wit" "$(world_of "$name")" "$1/$name.wasm"
  done
}

# --- AssemblyScript: a module by its compiler and the component around it

sources_of_assemblyscript() { printf '%s\n' assemblyscript tools; }

files_of_assemblyscript() { names_in assemblyscript ts | both_forms; }

unpack_assemblyscript() {
  cp "$TEST_IMAGES"/assemblyscript/package{,-lock}.json "$1/"
  npm ci --prefix "$1" --ignore-scripts --no-audit --no-fund --loglevel=error >&2
}

build_assemblyscript() {
  local name tool
  ensure_node
  tool=guests/assemblyscript-$(hash_of "$TEST_IMAGES"/assemblyscript/package{,-lock}.json "$ROOT/scripts/lib/node.sh")
  cached "$tool" unpack_assemblyscript
  for name in $(names_in assemblyscript ts); do
    node "$CACHE/$tool/node_modules/assemblyscript/bin/asc.js" "$TEST_IMAGES/assemblyscript/$name.ts" \
      --config "$TEST_IMAGES/assemblyscript/asconfig.json" --outFile "$1/$name.p1.wasm"
    guest_tools component "$1/$name.p1.wasm" "$1/$name.wasm"
  done
}

# --- Python: components by componentize-py; hello_py.py, a module's name, becomes hello-py.wasm

sources_of_python() { printf '%s\n' python wit; }

files_of_python() { names_in python py | tr _ - | sed 's/$/.wasm/'; }

unpack_componentize_py() {
  python3 -m venv "$1/venv"
  "$1/venv/bin/python" -m pip install --quiet --disable-pip-version-check -r "$TEST_IMAGES/python/requirements.txt"
}

# componentize_py WIT WORLD FOLDER MODULE OUT: the Python module in FOLDER as a component.
componentize_py() {
  local tool
  python3 -c 'import ensurepip' 2>/dev/null || install_packages python3 python3-venv
  tool=guests/componentize-py-$(hash_of "$TEST_IMAGES/python/requirements.txt")
  cached "$tool" unpack_componentize_py
  # By its function: the program that pip makes knows only the folder of before the cache's rename.
  "$CACHE/$tool/venv/bin/python" -c 'import componentize_py; componentize_py.script()' --quiet --wit-path "$1" --world "$2" \
    componentize --python-path "$3" "$4" --output "$5"
}

build_python() {
  local name
  for name in $(names_in python py); do
    componentize_py "$TEST_IMAGES/wit" "$(world_of "$name")" "$TEST_IMAGES/python" "$name" "$1/${name//_/-}.wasm"
  done
}

# --- Go: a module by its own compiler and the component around it, and a server

sources_of_go() { printf '%s\n' go wit tools; }

files_of_go() {
  names_in go go | both_forms
  echo serve-go.wasm
}

build_go() {
  local name
  ensure_go
  for name in $(names_in go go); do
    guest_go "$1/$name.p1.wasm" "$TEST_IMAGES/go/$name.go"
    guest_tools component "$1/$name.p1.wasm" "$1/$name.wasm"
  done
  go_component "$TEST_IMAGES/go/serve" "$TEST_IMAGES/wit" server "$1/serve-go.wasm"
}

# --- one application in three languages, as its three components

sources_of_polyglot() { printf '%s\n' polyglot python/requirements.txt tools; }

files_of_polyglot() { printf '%s\n' polyglot-auth.wasm polyglot-pages.wasm polyglot-router.wasm; }

build_polyglot() {
  local source=$TEST_IMAGES/polyglot target=$CACHE/guests/target-polyglot
  ensure_guest_rust
  CARGO_TARGET_DIR=$target guest_cargo build --quiet --locked --release --target wasm32-wasip2 --manifest-path "$source/router/Cargo.toml"
  cp "$target/wasm32-wasip2/release/polyglot_router.wasm" "$1/polyglot-router.wasm"
  ensure_go
  go_component "$source/auth" "$source/wit" authenticator "$1/polyglot-auth.wasm"
  componentize_py "$source/wit" renderer "$source/pages" app "$1/polyglot-pages.wasm"
}

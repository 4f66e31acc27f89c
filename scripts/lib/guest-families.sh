# The families of guests: for each, `files_of_FAMILY` (what it makes) and `build_FAMILY FOLDER` (makes it).
# Needs lib/common.sh, lib/debian.sh and lib/guest-rust.sh.

TEST_IMAGES=$ROOT/test-images

# names_in FOLDER EXTENSION: the names of the sources there, without their extension.
names_in() { (cd "$1" && for source in *."$2"; do echo "${source%."$2"}"; done); }

# build_guest_tools FOLDER: puts the helper of test-images/tools there; its intermediate files stay in the cache.
build_guest_tools() {
  local target=$CACHE/guests/target-tools
  (cd "$TEST_IMAGES/tools" && CARGO_TARGET_DIR=$target cargo build --quiet --locked --release)
  cp "$target"/*/release/guest-tools "$1/"
}

# guest_tools ARGUMENT...: that helper, built when it is first needed.
guest_tools() {
  local name
  name=guests/tools-$(cat "$TEST_IMAGES"/tools/{Cargo.toml,Cargo.lock,src/main.rs} | sha256sum | cut -c 1-16)
  ensure_rust
  cached "$name" build_guest_tools
  "$CACHE/$name/guest-tools" "$@"
}

# Rust: `commands` as components and as p1 modules, `components` as components alone, and two libraries.
files_of_rust() {
  names_in "$TEST_IMAGES/rust/commands/src/bin" rs | sed 's/.*/&.wasm\n&.p1.wasm/'
  names_in "$TEST_IMAGES/rust/components/src/bin" rs | sed 's/$/.wasm/'
  printf '%s\n' library.wasm library.p1.wasm
}

build_rust() {
  local target=$CACHE/guests/target-rust file name
  ensure_guest_rust
  (
    cd "$TEST_IMAGES/rust"
    export CARGO_TARGET_DIR=$target
    guest_cargo build --quiet --locked --release --target wasm32-wasip2
    guest_cargo build --quiet --locked --release --target wasm32-wasip1 -p commands -p library
  )
  for file in $(files_of_rust); do
    name=${file%.wasm}
    case $file in
      *.p1.wasm) cp "$target/wasm32-wasip1/release/${name%.p1}.wasm" "$1/$file" ;;
      # The one component that another crate makes.
      fail.wasm) cp "$target/wasm32-wasip2/release/failing_run.wasm" "$1/$file" ;;
      *) cp "$target/wasm32-wasip2/release/$file" "$1/$file" ;;
    esac
  done
}

# WAT: NAME.wat becomes NAME.wasm; the one whose name a Rust guest has is hello-wat.
wat_file() { [ "$1" = hello ] && echo hello-wat.p1.wasm || echo "$1.wasm"; }

files_of_wat() {
  local name
  for name in $(names_in "$TEST_IMAGES/wat" wat); do wat_file "$name"; done
}

build_wat() {
  local name
  for name in $(names_in "$TEST_IMAGES/wat" wat); do
    guest_tools wat "$TEST_IMAGES/wat/$name.wat" "$1/$(wat_file "$name")"
  done
}

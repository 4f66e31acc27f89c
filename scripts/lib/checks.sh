# Tests in shell that read as sentences and count as cargo's do.

checks_passed=0 checks_failed=0

# check SENTENCE COMMAND...: the sentence holds when COMMAND succeeds.
check() {
  local sentence=$1
  shift
  if "$@"; then
    echo "test $sentence ... ok"
    checks_passed=$((checks_passed + 1))
  else
    echo "test $sentence ... FAILED"
    checks_failed=$((checks_failed + 1))
  fi
}

# same GOT WANTED: shows both when they differ.
same() {
  [ "$1" = "$2" ] || { printf '  got:    %s\n  wanted: %s\n' "$1" "$2"; false; }
}

# contains TEXT PART: shows the text when PART is not in it.
contains() {
  [[ $1 == *"$2"* ]] || { printf '  got:    %s\n  wanted to contain: %s\n' "$1" "$2"; false; }
}

# checks_result: the line that the sum is made of, in cargo's form; fails when a check has.
checks_result() {
  local word=ok
  [ $checks_failed = 0 ] || word=FAILED
  echo "test result: $word. $checks_passed passed; $checks_failed failed"
  [ $checks_failed = 0 ]
}

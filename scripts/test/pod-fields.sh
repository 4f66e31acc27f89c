#!/bin/bash
# pod-fields.sh: docs/pod-spec.md has a verdict on every field of a pod that this Kubernetes has, and on no other.
set -euo pipefail
here=$(cd "$(dirname "$0")/.." && pwd)
for part in common debian go kubernetes; do . "$here/lib/$part.sh"; done
ensure_go
page=$ROOT/docs/pod-spec.md
types=$(cd "$KUBERNETES_SOURCE" && "$GO" mod download k8s.io/api && "$GO" list -m -f '{{.Dir}}' k8s.io/api)/core/v1/types.go

# fields_of_type TYPE: the JSON names of a struct's fields; embedded structs have rows of their own.
fields_of_type() {
  awk -v type="$1" '$1 == "type" && $2 == type && $3 == "struct" { inside = 1; next } inside && /^}/ { exit } inside && $1 !~ /^\/\// && match($0, /json:"[^",]+/) { print substr($0, RSTART + 6, RLENGTH - 6) }' "$types" | sort
}

# fields_of_page TYPE: the fields that its table has.
fields_of_page() {
  awk -v heading="## \`$1\`" '/^## / { inside = $0 == heading; next } inside && /^\| `/ { gsub(/`/, "", $2); print $2 }' "$page" | sort
}

failed=0 passed=0
while read -r type; do
  if [ -z "$(fields_of_page "$type")" ]; then
    continue # Text in place of a table: the verdicts are another type's.
  elif diff <(fields_of_type "$type") <(fields_of_page "$type"); then
    passed=$((passed + 1))
  else
    echo "the table of $type in docs/pod-spec.md is not its fields: < is missing, > is too many"
    failed=$((failed + 1))
  fi
done < <(sed -n 's/^## `\(.*\)`$/\1/p' "$page")
echo "test result: pod fields. $passed passed; $failed failed;"
[ "$failed" = 0 ] && [ "$passed" -gt 5 ]

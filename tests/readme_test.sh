#!/bin/bash
# Runs the commands of a README: its ```sh blocks after a line <!-- test -->, in an empty folder
# that has only a model called `model`. A line "$ command" is run; lines under it that begin with
# "> " must each be found in its output. Usage: readme_test.sh README TERN MAKE_TINY_MODEL
set -eu
readme=$(realpath "$1")
PATH=$(dirname "$(realpath "$2")"):$PATH
export PATH
maker=$(realpath "$3")
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
python3 "$maker" model

ran=0
output=
while IFS= read -r line; do
  case $line in
    '$ '*)
      command=${line#'$ '}
      output=$(timeout 120 bash -euo pipefail -c "$command" 2>&1 </dev/null) || {
        printf 'failed: %s\n%s\n' "$command" "$output"
        exit 1
      }
      ran=$((ran + 1))
      ;;
    '> '*)
      grep -qF -- "${line#> }" <<<"$output" || {
        printf 'after: %s\nexpected: %s\nfound: %s\n' "$command" "${line#> }" "$output"
        exit 1
      }
      ;;
  esac
done < <(awk '/^<!-- test -->/ {marked = 1; next}
              /^```/ {inside = !inside && marked; if (!inside) marked = 0; next}
              inside' "$readme")
[ "$ran" -ge 5 ] || { echo "only $ran commands found in $readme"; exit 1; }
echo "$ran commands of $(basename "$readme") ran"

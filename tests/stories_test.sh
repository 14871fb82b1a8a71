#!/bin/bash
# A real trained model writes its known text, on every instruction set of this CPU, from the HF
# folder and from a GGUF made of it. Skipped (77) without TERN_TEST_DATA. Usage: stories_test.sh TERN
set -eu
tern=$(realpath "$1")
model=${TERN_TEST_DATA:-}/models/stories260K
[ -n "${TERN_TEST_DATA:-}" ] && [ -d "$model" ] || { echo "no TERN_TEST_DATA"; exit 77; }
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
"$tern" convert "$model" "$work/stories.gguf" --type F32 --embedding-type F32

usable=$("$tern" cpu | awk '/ (in use|usable)$/ {print $1}')
for isa in $usable; do
  for source in "$model" "$work/stories.gguf"; do
    TERN_ISA=$isa "$tern" run -m "$source" -p "" -n 256 --temp 0 >"$work/text" 2>"$work/errors" ||
      { cat "$work/errors"; exit 1; }
    cmp "$work/text" "$model/GOLDEN_greedy_n256.txt" || { echo "$isa, $source differs"; exit 1; }
  done
  echo "$isa writes the golden text"
done
"$tern" verify "$model"

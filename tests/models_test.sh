#!/bin/sh
# The models that ship: small enough, whole, found by their names, and each writes its language.
# Usage: models_test.sh TERN MODELS_FOLDER
set -eu

tern=$1
models=$2
fail() {
  echo "models_test: $*" >&2
  exit 1
}

for name in en ja; do
  file=$models/$name.gguf
  [ -e "$file" ] || fail "$file is missing"
  [ "$(wc -c <"$file")" -le 8388608 ] || fail "$file is larger than 8 MB"
  "$tern" verify "$name" >/dev/null || fail "verify $name"
  head -c 1000 "$file" | tr -d '\0' | grep -aq "tern $name" || fail "$file is called otherwise"
  twin=$models/$name-fp.gguf
  [ "$(wc -c <"$twin")" -le 41943040 ] || fail "$twin is larger than 40 MB"
  "$tern" verify "$twin" >/dev/null || fail "verify $name-fp"
done

# Without -m it is en. A seed gives the same text on every machine.
en=$("$tern" run -p "Once upon a time" -n 40 --seed 1)
[ "$en" = "$("$tern" run en -p "Once upon a time" -n 40 --seed 1)" ] || fail "en is not the default"
[ "$(printf %s "$en" | grep -oE '[a-z]{2,}' | wc -l)" -ge 15 ] || fail "en wrote no words: $en"
ja=$("$tern" run ja -p "吾輩は猫である。" -n 80 --seed 1)
kana=$(printf %s "$ja" | python3 -c '
import sys
text = sys.stdin.buffer.read().decode()
print(sum("\u3041" <= c <= "\u30ff" for c in text))')
[ "$kana" -ge 40 ] || fail "ja wrote $kana kana: $ja"

#!/bin/bash
# Turns a full-precision model into a ternary one in several ways, with the same tokens each, and
# compares them with a ternary model of the same shape that starts from random weights.
# Usage: run.sh MODEL TEXT OUT [KEY=VALUE...]     MODEL: a Hugging Face folder; TEXT: a text file;
#        OUT: a folder for the runs; KEY=VALUE: keys of the config, for all runs
# TERN names the program (default: tern). A run that is there already goes on or is left alone.
set -euo pipefail
[ $# -ge 3 ] || { sed -n '4,6s/^# //p' "$0" >&2; exit 2; }
here=$(cd "$(dirname "$0")" && pwd)
tern=${TERN:-tern}
model=$(realpath "$1") text=$(realpath "$2")
mkdir -p "$3"
out=$(realpath "$3")
shift 3

common=()
for pair in "$@"; do common+=(--set "$pair"); done

# run NAME KEY=VALUE...
run() {
  local name=$1 keys=()
  shift
  for pair in "$@"; do keys+=(--set "$pair"); done
  echo "== $name"
  "$tern" train "$here/convert.toml" --resume --set "start.model=$model" \
    --set "data.train=[\"$text\"]" --set "training.out=$out/$name" "${common[@]}" "${keys[@]}"
}

# Steps of the whole run, for warm-ups over half of it.
value() {  # value KEY: of the config with the common keys
  local found
  found=$(sed -n "s/^$1 = //p" "$here/convert.toml")
  for pair in "${common[@]}"; do
    case $pair in *".$1="*) found=${pair#*=} ;; esac
  done
  echo "${found//_/}"
}
steps=$(($(value tokens) / ($(value sequence) * $(value batch))))
half=$((steps / 2))

run full-precision model.weights=fp
run abrupt
run linear quantization.warmup=linear quantization.warmup_steps=$half
run exponential quantization.warmup=exponential quantization.warmup_steps=$half
run sigmoid quantization.warmup=sigmoid quantization.warmup_steps=$half
run distilled "distil.teacher=$model"
run distilled-linear "distil.teacher=$model" quantization.warmup=linear quantization.warmup_steps=$half
run distilled-relations "distil.teacher=$model" distil.attention=10
if ! grep -q '"Bit[Nn]etForCausalLM"' "$model/config.json"; then
  run sub-norms start.sub_norms=true
  run distilled-sub-norms start.sub_norms=true "distil.teacher=$model" distil.attention=10
fi
run scratch start.random=true

python3 "$here/table.py" "$out" "$out/conversion.md" "$out/conversion.svg"
"$tern" train report "$out"/*/ -o "$out/conversion.html"

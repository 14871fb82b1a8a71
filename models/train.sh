#!/bin/sh
# Makes a model that ships with tern again: its vocabulary, the model, its full-precision twin, GGUF.
# Usage: models/train.sh en|ja TEXT...
#   TEXT are the files of the model's card; what is made lies in $TERN_RUNS (default: runs).
#   A run that was stopped goes on where it was. $TERN_BIN holds tern and tern-train (default:
#   build/train/bin, from cmake --preset train). The model and its twin train side by side, one thread each.
set -eu

here=$(cd "$(dirname "$0")" && pwd)
name=${1:-}
case $name in
  en) vocabulary='--size 4096 --coverage 0.9995' ;;
  ja) vocabulary='--size 6144 --coverage 0.995' ;;
  *) sed -n '3,6s/^# //p' "$0" >&2; exit 2 ;;
esac
shift
[ $# -gt 0 ] || { echo "train.sh: no text was given" >&2; exit 2; }
bin=${TERN_BIN:-$here/../build/train/bin}
runs=${TERN_RUNS:-runs}
mkdir -p "$runs"

files=
for file; do files="$files${files:+, }\"$(realpath "$file")\""; done
if [ ! -d "$runs/$name-vocabulary" ]; then
  "$bin/tern" tokenizer train "$@" $vocabulary --separator '<|doc|>' \
    --separator '<|endoftext|>' --out "$runs/$name-vocabulary"
fi

train() {
  exec "$bin/tern" train "$here/$name.toml" --resume --set "model.weights=$1" \
    --set "training.out=$(realpath "$runs")/$2" --set "data.train=[$files]" \
    --set "tokenizer.path=$(realpath "$runs/$name-vocabulary")"
}
train fp "$name-fp" >"$runs/$name-fp.log" 2>&1 &
twin=$!
trap 'kill $twin 2>/dev/null || true' EXIT
(train b1.58 "$name")
wait $twin
trap - EXIT
for run in "$name" "$name-fp"; do  # A run that was stopped ends without an error.
  grep -q '"kind":"final"' "$runs/$run/metrics.jsonl" || {
    echo "train.sh: $runs/$run was stopped before its end; the same command goes on" >&2
    exit 1
  }
done

"$bin/tern" convert "$runs/$name/checkpoints/latest" "$runs/$name.gguf" --type TQ2_0 --embedding-type F16 \
  --name "tern $name"
"$bin/tern" convert "$runs/$name-fp/checkpoints/latest" "$runs/$name-fp.gguf" --type F16 --embedding-type F16 \
  --name "tern $name, full precision"
"$bin/tern" train report "$runs/$name" "$runs/$name-fp" -o "$runs/$name.html"

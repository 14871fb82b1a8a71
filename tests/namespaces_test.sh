#!/bin/sh
# Two machines, as near as one can come: two network namespaces with an address each, one process
# in each. Usage: namespaces_test.sh TERN. Skipped (77) without root or iproute2.
set -eu

tern=$1
a=tern-a-$$ b=tern-b-$$ # The kernel cuts names of interfaces at 15 characters.
folder=$(mktemp -d)
cleanup() {
  ip netns del "$a" 2>/dev/null || true
  ip netns del "$b" 2>/dev/null || true
  rm -rf "$folder"
}
trap cleanup EXIT

command -v ip >/dev/null || { echo "no iproute2: skipped"; exit 77; }
ip netns add "$a" 2>/dev/null || { echo "no network namespaces here: skipped"; exit 77; }
ip netns add "$b"
ip netns exec "$a" true 2>/dev/null || { echo "nothing can be run in a namespace here: skipped"; exit 77; }
ip link add "ta$$" netns "$a" type veth peer name "tb$$" netns "$b" 2>/dev/null || {
  echo "no veth here: skipped"
  exit 77
}
ip -n "$a" addr add 10.77.0.1/24 dev "ta$$"
ip -n "$b" addr add 10.77.0.2/24 dev "tb$$"
for end in "$a ta$$" "$b tb$$"; do
  ip -n "${end% *}" link set "${end#* }" up
  ip -n "${end% *}" link set lo up
done

python3 - "$folder/text.txt" <<'END'
import random, sys
draw = random.Random(3)
words = "the a cat dog moon ball sees finds likes red old small two birds".split()
with open(sys.argv[1], "w") as file:
    for _ in range(300):
        file.write(" ".join(draw.choice(words) for _ in range(40)) + ".\n<|end|>\n")
END
"$tern" tokenizer train "$folder/text.txt" --size 300 --separator "<|end|>" --coverage 1.0 \
  --out "$folder/vocabulary" 2>/dev/null >/dev/null
cat > "$folder/run.toml" <<'END'
[model]
architecture = "bitnet-b1.58"
weights = "fp"
hidden = 32
ffn = 64
layers = 2
heads = 4
[tokenizer]
path = "vocabulary"
[data]
train = ["text.txt"]
separator = "<|end|>"
[training]
out = "two"
sequence = 32
batch = 4
tokens = 2048
threads = 1
precision = "f32"
[distributed]
join = 20
silence = 4
END

# Runs rank $1 of two in namespace $2; the words after that are the trainer's.
rank() {
  number=$1 where=$2
  shift 2
  ip netns exec "$where" env RANK="$number" WORLD_SIZE=2 MASTER_ADDR=10.77.0.1 MASTER_PORT=29400 \
    "$tern" train "$folder/run.toml" "$@"
}

rank 0 "$a" > "$folder/out" 2> "$folder/log0" &
first=$!
rank 1 "$b" > "$folder/out1" 2> "$folder/log1" || { cat "$folder/log1"; exit 1; }
wait "$first" || { cat "$folder/log0"; exit 1; }
[ ! -s "$folder/out1" ] || { echo "rank 1 wrote to stdout"; exit 1; }
"$tern" train "$folder/run.toml" --set training.out="$folder/one" --set training.batch=8 \
  > "$folder/alone" 2>/dev/null
python3 - "$folder" <<'END'
import json, sys
def losses(run):
    lines = map(json.loads, open(f"{sys.argv[1]}/{run}/metrics.jsonl"))
    return [x["loss"] for x in lines if x["kind"] == "step"]
two, one = losses("two"), losses("one")
assert len(two) == len(one) == 8, (two, one)
assert all(abs(a - b) < 1e-5 * b for a, b in zip(two, one)), (two, one)
END

# The wire is cut in the middle of a run: both ends notice.
rank 0 "$a" --set training.out="$folder/cut" --set training.tokens=1e9 > /dev/null \
  2> "$folder/log0" &
first=$!
rank 1 "$b" --set training.out="$folder/cut" --set training.tokens=1e9 > /dev/null \
  2> "$folder/log1" &
second=$!
tries=0
while ! grep -q '"step":3,' "$folder/cut/metrics.jsonl" 2>/dev/null; do
  tries=$((tries + 1))
  [ "$tries" -lt 600 ] || { echo "no steps"; cat "$folder/log0" "$folder/log1"; exit 1; }
  sleep 0.1
done
begun=$(date +%s)
ip -n "$a" link set "ta$$" down
status0=0 status1=0
wait "$first" || status0=$?
wait "$second" || status1=$?
[ "$status0 $status1" = "1 1" ] || { echo "ended with $status0 and $status1"; exit 1; }
[ $(($(date +%s) - begun)) -le 30 ] || { echo "it took more than 30 s"; exit 1; }
grep -q "tern-train: rank 1 " "$folder/log0" || { cat "$folder/log0"; exit 1; }
grep -q "tern-train: .*rank 0 " "$folder/log1" || { cat "$folder/log1"; exit 1; }
echo "two namespaces train as one process does, and end when the wire is cut"

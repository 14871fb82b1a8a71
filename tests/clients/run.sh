#!/bin/bash
# Real clients against a server: the openai and @anthropic-ai/sdk packages, and Chromium on the page.
# Usage: run.sh SERVER_BINARY MODELS_DIR WORK_DIR [SCREENSHOTS_DIR]
# Writes into WORK_DIR alone. Exits 0 if all passed, 77 if node, npm or chromium is not there (with
# CI=true that is a failure too), else 1.
set -euo pipefail

if [ $# -lt 3 ] || [ $# -gt 4 ]; then
  sed -n '3,5s/^# //p' "$0" >&2
  exit 2
fi
server=$(realpath "$1")
models=$(realpath "$2")
mkdir -p "$3" "${4:-$3}"
work=$(realpath "$3")
screenshots=${4:+$(realpath "$4")}
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)

for program in node npm "${CHROMIUM:-chromium}"; do
  if ! command -v "$program" >/dev/null; then
    echo "run.sh: $program is not installed"
    [ "${CI:-}" = true ] && exit 1
    exit 77
  fi
done

# Node looks at its own list of certificates alone; a network's proxy may be in the system's.
if [ -z "${NODE_EXTRA_CA_CERTS:-}" ] && [ -e /etc/ssl/certs/ca-certificates.crt ]; then
  export NODE_EXTRA_CA_CERTS=/etc/ssl/certs/ca-certificates.crt
fi

cp "$here"/*.mjs "$here"/package.json "$here"/package-lock.json "$work"
cd "$work"
# The packages of this very lock file may lie here from the last time.
if ! cmp -s package-lock.json node_modules/.installed-lock; then
  npm ci --no-audit --no-fund --ignore-scripts
  cp package-lock.json node_modules/.installed-lock
fi

pid=
trap '[ -z "$pid" ] || kill -9 "$pid" 2>/dev/null || true' EXIT
failed=0

# A model whose template writes tool calls: the one that ships, with a template of the goldens.
rm -rf en-tools
"$server" convert "$models/en.gguf" en-tools
node - "$here/../golden/chat/templates/im_markers.jinja" en-tools/tokenizer_config.json <<'END'
const fs = require("fs");
const [template, file] = process.argv.slice(2);
const config = JSON.parse(fs.readFileSync(file));
fs.writeFileSync(file, JSON.stringify({ ...config, chat_template: fs.readFileSync(template, "utf8") }));
END

# start MODEL [FLAG...]: sets url.
start() {
  local model=$models/$1
  [ -e "$model" ] || model=$work/$1
  rm -f port
  "$server" serve "$model" --port 0 --port-file "$work/port" "${@:2}" >"server-$1.log" 2>&1 &
  pid=$!
  if ! url=$(node ready.mjs port "$pid"); then
    cat "server-$1.log"
    exit 1
  fi
  printf '\n== %s at %s\n' "$1" "$url"
}

# stop MODEL: a server that is told to end does so, with status 0.
stop() {
  local status=0
  kill -TERM "$pid"
  timeout 30 tail --pid="$pid" -f /dev/null || kill -9 "$pid"
  wait "$pid" || status=$?
  pid=
  if [ "$status" -ne 0 ]; then
    echo "FAILED  the server ended with status $status on SIGTERM"
    cat "server-$1.log"
    failed=1
  fi
}

try() {
  timeout 300 node "$@" || failed=1
}

start en.gguf
try openai_test.mjs "$url"
try anthropic_test.mjs "$url"
try page_test.mjs "$url" ${screenshots:+--screenshots "$screenshots"}
stop en.gguf

start ja.gguf --api-key secret
try openai_test.mjs "$url" --api-key secret
try anthropic_test.mjs "$url" --api-key secret
stop ja.gguf

start en-tools
try openai_test.mjs "$url"
try anthropic_test.mjs "$url"
stop en-tools

exit "$failed"

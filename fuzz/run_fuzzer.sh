#!/bin/sh
# Runs a fuzzer for some seconds on a copy of its corpus. Usage: run_fuzzer.sh FUZZER CORPUS SECONDS
# What it finds is printed as base64, so that a log is enough to make the corpus file of the fix.
set -eu
fuzzer=$1 corpus=$2 seconds=$3

[ -n "$(ls -A "$corpus" 2>/dev/null)" ] || { echo "$corpus: no first inputs" >&2; exit 1; }
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir "$work/corpus" "$work/found"
cp -R "$corpus/." "$work/corpus"

limit="-max_total_time=$seconds"
[ "$seconds" != 0 ] || limit=-runs=0
status=0
"$fuzzer" $limit -timeout=25 -rss_limit_mb=2560 -malloc_limit_mb=1024 -print_final_stats=1 \
  -verbosity=1 -artifact_prefix="$work/found/" "$work/corpus" >"$work/log" 2>&1 || status=$?
if [ $status -ne 0 ]; then
  cat "$work/log"
  for file in "$work"/found/*; do
    [ ! -f "$file" ] || { echo "-- $(basename "$file")"; base64 "$file"; }
  done
  exit 1
fi
tail -n 12 "$work/log"

#!/bin/sh
# Usage: check_isa_objects.sh libtern_kernels.a
# Fails if an object built with instruction-set flags defines a weak or unique symbol: the linker may
# take such a function for the whole program, and then it runs on CPUs that lack the instructions.
set -eu
[ $# -eq 1 ] || { echo "usage: $0 libtern_kernels.a" >&2; exit 2; }
symbols=$("${NM:-nm}" -A -C --defined-only "$1" | grep -E ':(avx|neon)[a-z0-9_]*\.cpp\.o:' || true)
[ -n "$symbols" ] || { echo "$1 has no objects of instruction sets (avx*, neon*)" >&2; exit 1; }
bad=$(printf '%s\n' "$symbols" | grep -E ' [VWuvw] ' || true)
[ -z "$bad" ] || { echo "weak symbols in objects with instruction-set flags:" >&2; printf '%s\n' "$bad" >&2; exit 1; }

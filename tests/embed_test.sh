#!/bin/sh
# Installs a build, compiles examples/embed against what was installed, and runs it.
# Usage: embed_test.sh SOURCE BUILD
set -eu
source=$1 build=$2
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

DESTDIR= cmake --install "$build" --prefix "$work/prefix" >/dev/null
# The package must work from where it stands, without a look at sources or build.
cp -R "$source/examples/embed" "$work/embed"
cmake -S "$work/embed" -B "$work/embed-build" -G Ninja -DCMAKE_BUILD_TYPE=Release \
  -DCMAKE_PREFIX_PATH="$work/prefix" >/dev/null
cmake --build "$work/embed-build" >"$work/log" || { cat "$work/log"; exit 1; }

python3 "$source/tests/make_tiny_model.py" "$work/model"
"$work/prefix/bin/tern" run -m "$work/model" -p "and then" -n 24 --temp 0 >"$work/expected"
"$work/embed-build/embed" "$work/model" "and then" >"$work/found"
[ "$(wc -c <"$work/found")" -gt 8 ] || { echo "embed wrote nothing"; exit 1; }
# tern cuts no character in two, embed writes bytes: compare what survives in both.
for file in expected found; do
  iconv -c -f utf-8 -t ascii "$work/$file" | tr -d '\000' >"$work/$file.ascii"
done
cmp "$work/expected.ascii" "$work/found.ascii"

# The same program in C against the shared library, by pkg-config.
pc=$(dirname "$(find "$work/prefix" -name tern.pc)")
flags=$(PKG_CONFIG_PATH=$pc pkg-config --cflags --libs tern)
cc -std=c11 -Wall -Wextra -Werror "$source/examples/embed/main.c" $flags -o "$work/embed_shared"
LD_LIBRARY_PATH=$(dirname "$pc") "$work/embed_shared" "$work/model" "and then" >"$work/shared"
cmp "$work/found" "$work/shared"

# libtern.so shows tern.h and nothing else.
shown=$(nm -D --defined-only "$(dirname "$pc")/libtern.so" | awk '$2 != "A" {print $3}' | sort)
listed=$(grep -o 'tern_[a-z_]*(' "$source/tern/capi/tern.h" | tr -d '(' | sort -u |
  grep -vx -e tern_load_options -e tern_session_options || true)
missing=$(printf '%s\n' "$shown" | grep -vxF "$listed" || true)
[ -z "$missing" ] || { echo "libtern.so shows what tern.h does not name: $missing"; exit 1; }
[ "$(printf '%s\n' "$shown" | wc -l)" -ge 18 ] || { echo "libtern.so shows only: $shown"; exit 1; }

if "$work/embed-build/embed" "$work/no such model" x 2>"$work/error"; then exit 1; fi
grep -q "no such model" "$work/error"

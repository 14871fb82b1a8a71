#!/bin/sh
# Makes the .deb and the .tar.gz of a build and tries what is in them. Usage: package_test.sh BUILD
set -eu
build=$1
models=$(cd "$(dirname "$0")/.." && pwd)/models
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

(cd "$build" && cpack -G "DEB;TGZ" -B "$work/packages" >"$work/log" 2>&1) ||
  { cat "$work/log"; exit 1; }
deb=$(ls "$work"/packages/*.deb)
tgz=$(ls "$work"/packages/*.tar.gz)

mkdir "$work/deb" "$work/tgz"
dpkg-deb -x "$deb" "$work/deb"
tar -xzf "$tgz" -C "$work/tgz" --strip-components=1
for root in "$work/deb/usr" "$work/tgz"; do
  "$root/bin/tern" --version | grep -q '^tern [0-9.]* (commit ' ||
    { echo "$root: bin/tern --version does not say its version"; exit 1; }
  for file in share/bash-completion/completions/tern share/zsh/vendor-completions/_tern \
    share/fish/vendor_completions.d/tern.fish share/doc/tern/copyright; do
    [ -s "$root/$file" ] || { echo "$root: $file is missing"; exit 1; }
  done
  # Those models that the source tree has, and nothing else of its folder.
  found=$(ls "$root/share/tern/models" 2>/dev/null || true)
  expected=$(cd "$models" 2>/dev/null && ls en.gguf ja.gguf 2>/dev/null || true)
  [ "$found" = "$expected" ] ||
    { echo "$root: models '$found' found, expected '$expected'"; exit 1; }
  # The inference binary alone: no library, no headers, no training.
  extra=$(find "$root" -name '*.a' -o -name '*.h' -o -name '*.so*')
  [ -z "$extra" ] || { echo "not for this package: $extra"; exit 1; }
done
dpkg-deb -f "$deb" Depends | grep -q 'libc6' ||
  { echo "the .deb does not say that it needs libc6"; exit 1; }

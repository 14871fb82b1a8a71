#!/bin/bash
# Asks each shell that is here to complete "tern ins" and "tern run --te". Usage: completion_test.sh TERN
set -eu
tern=$1
PATH=$(dirname "$tern"):$PATH
export PATH
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
expect() {  # expect SHELL FOUND WORD
  grep -qw -- "$3" <<<"$2" || { echo "$1: found '$2', expected $3"; exit 1; }
}

source <("$tern" completion bash)
complete_in_bash() {
  COMP_WORDS=("$@")
  COMP_CWORD=$(($# - 1))
  COMPREPLY=()
  _tern
  echo "${COMPREPLY[*]}"
}
expect bash "$(complete_in_bash tern ins)" inspect
expect bash "$(complete_in_bash tern run --te)" --temp
expect bash "$(complete_in_bash tern tokenizer tr)" train
expect bash "$(complete_in_bash tern train rep)" report

if command -v fish >/dev/null; then
  "$tern" completion fish >"$work/tern.fish"
  in_fish() { HOME=$work fish --no-config -c "source $work/tern.fish; complete -C '$1'"; }
  expect fish "$(in_fish 'tern ins')" inspect
  expect fish "$(in_fish 'tern run --te')" --temp
  expect fish "$(in_fish 'tern tokenizer tr')" train
fi

if command -v zsh >/dev/null; then
  "$tern" completion zsh >"$work/_tern"
  # As zsh finds it in its function path; compadd tells what it would offer.
  in_zsh() {
    HOME=$work zsh -f -c "
      compadd() { print -r -- \"\$@\"; }
      compdef() { :; }
      _files() { :; }
      words=($1) CURRENT=$2
      source $work/_tern
      _tern"
  }
  expect zsh "$(in_zsh 'tern ins' 2)" inspect
  expect zsh "$(in_zsh 'tern run --te' 3)" --temp
  expect zsh "$(in_zsh 'tern tokenizer tr' 3)" train
  expect zsh "$(in_zsh 'tern train rep' 3)" report
fi

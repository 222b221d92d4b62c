#!/usr/bin/env bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# Whatever sha256sum prints for odd names and options, sum prints too: output, messages, status; in a locale of bytes
# and in one of UTF-8, before and after the ledger knows the files. (-c: it_sum_check.sh; what is no plain file:
# it_sum_special.sh)
source "$(dirname "$0")/lib.sh"
[[ $(sha256sum --version 2>/dev/null) == *GNU* ]] || skip "the sha256sum here is not that of GNU coreutils"

cd "$work" || exit 1
mkdir odd folder
names=(plain 'with space' $'new\nline' 'back\slash' $'carriage\rreturn' -dash '*star' $'\xff\xfe' "quote'" 'dq"uote'
  "both'\"" $'tab\t' $'esc\e[31m' 'ünïcode' $'bidi\xe2\x80\xae' 'a:b' ' lead' 'trail ' '#hash' '~tilde' 'dollar$' 'semi;'
  '[br]' 'a=b' '{' '}' "it's" "it's:x" "it's\$x" $'nl\n\'q' $'cut\xc3' "a'b!c" '^' '|' "ünï'x" $'\x7f' '%+,@' '\n' 'a\'
  $'\\\n' $'a\x01b' "~'" "a#'" $'it\'s\x7f' $'\'\n' '(x)' '-' '--')
for file in "${names[@]}"; do printf 'content of %s' "$file" >"odd/$file"; done
: >odd/empty
ln -s odd/plain link
ln -s nowhere dangling
ln -s loop loop

# The program's own name is the one thing that may differ.
same() { # ARGUMENTS...
  local want=0 got=0
  sha256sum "$@" >"$work/want" 2>"$work/want.err" <"$input" || want=$?
  ledger sum "$@" >"$work/got" 2>"$work/got.err" <"$input" || got=$?
  sed -i -e 's/^sha256sum: //' -e "s/^Try 'sha256sum /Try 'procledger sum /" "$work/want.err"
  sed -i 's/^procledger: //' "$work/got.err"
  cmp "$work/want" "$work/got" || fail "sum $*: expected $(cat -A "$work/want"), got $(cat -A "$work/got")"
  cmp "$work/want.err" "$work/got.err" ||
    fail "sum $*: expected on stderr $(cat -A "$work/want.err"), got $(cat -A "$work/got.err")"
  equal "status of sum $*" "$want" "$got"
}

same_everything() {
  input=$work/odd/plain
  same odd/*
  same -- odd/* link
  same --tag odd/*
  same -z odd/*
  same --zero --tag odd/*
  same -b odd/*
  same -t odd/*
  (cd odd && for file in *; do same -- "$file"; done) || exit 1
  # Missing ones: how names are quoted in messages.
  (cd folder && same -- "${names[@]}") || exit 1
  for file in "${names[@]}"; do same "no/$file"; done
  same missing odd/plain
  same '' odd/plain
  same dangling
  same loop
  same folder odd/plain
  same . .. / odd/ odd/plain/ odd/plain/x odd//plain
  same "$(printf '%0300d' 1)"
  same "$(printf '%05000d' 1)"
  # Standard input.
  same
  same -
  same - -
  same odd/plain - odd/empty
  input=$work/odd/empty
  same - odd/plain
  input=$work/folder
  same -
  # Options: those that contradict each other, abbreviations, and unknown ones.
  input=$work/odd/plain
  local options
  for options in -x -bx -h --nonsense --bin --tex --ta --zer --st --s --q --stat --stri --quiet --status -w --warn --strict \
    --ignore-missing --tag=x --zero=x '-b -t' '-t -b' '-t --tag' '--tag -t' '--tag --text' '--tag -b' '-b --tag' '-z -b' \
    '-cz' '-c --zero' '-c --tag' '-c -b' '-c -t' '--check --binary' '-bct' '-z -z --tag --tag'; do
    # shellcheck disable=SC2086
    same $options odd/plain
  done
  same odd/plain -b
  POSIXLY_CORRECT=1 same odd/plain -b
  same -- -dash
}

same_everything
if grep -qix 'C.utf-\?8' <(locale -a 2>/dev/null); then
  # By now the files are known.
  LC_ALL=C.UTF-8 same_everything
else
  printf 'there is no C.UTF-8: that locale was left out\n'
fi

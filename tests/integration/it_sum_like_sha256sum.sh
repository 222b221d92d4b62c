#!/usr/bin/env bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# Whatever sha256sum prints for odd input, sum prints too: names, messages, statuses.
source "$(dirname "$0")/lib.sh"

cd "$work" || exit 1
mkdir odd folder
for file in plain 'with space' $'new\nline' 'back\slash' $'carriage\rreturn' -dash '*star' $'\xff\xfe' "quote'"; do
  printf 'content of %s' "$file" >"odd/$file"
done
: >odd/empty
printf 'never mind' >dangling.target
ln -s odd/plain link
ln -s nowhere dangling

# The program's own name at the start of a message is the one thing that may differ.
same() { # ARGUMENTS...
  local want=0 got=0
  sha256sum "$@" >"$work/want" 2>"$work/want.err" <"$work/odd/plain" || want=$?
  ledger sum "$@" >"$work/got" 2>"$work/got.err" <"$work/odd/plain" || got=$?
  sed -i 's/^sha256sum: //' "$work/want.err"
  sed -i -E 's/^procledger( sum)?: //' "$work/got.err"
  cmp "$work/want" "$work/got" || fail "sum $*: expected $(cat -A "$work/want"), got $(cat -A "$work/got")"
  cmp "$work/want.err" "$work/got.err" || fail "sum $*: expected on stderr $(cat -A "$work/want.err"), got $(cat -A "$work/got.err")"
  equal "status of sum $*" "$want" "$got"
}
same odd/*
same -- odd/* link
same --tag odd/*
same -z odd/*
same --tag -z odd/*
same missing odd/plain
same dangling
same folder odd/plain
same -
same
same odd/plain - odd/empty
same -b odd/plain
same -t odd/plain
same missing "$(printf 'new\nline missing')"
(
  cd odd || exit 1
  sha256sum -- * >../sums
  sha256sum --tag -- * >../sums.tag
  sha256sum -z -- * >../sums.z
)
cd odd || exit 1
same -c ../sums
same -c ../sums.tag
same --quiet -c ../sums
same --status -c ../sums
printf changed >plain
rm empty
same -c ../sums
same -c ../sums.tag
same --ignore-missing -c ../sums
printf 'no sum at all\n' >../garbage
same -c ../garbage
same --warn -c ../garbage
same --strict -c ../garbage
same -c ../missing-list

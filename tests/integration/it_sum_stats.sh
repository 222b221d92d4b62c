#!/usr/bin/env bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# sum --stats: one line at the end that adds up; what is proven is served, by a new process too; on a terminal a progress
# line while something takes its time, and no trace of it in the output.
source "$(dirname "$0")/lib.sh"
need_cached_fs "$work"

cd "$work" || exit 1
for i in {1..40}; do head -c $((i * 1000)) /dev/urandom >"file-$i"; done
bytes=0
for i in {1..40}; do bytes=$((bytes + i * 1000)); done
: >empty
grown_up "$work"
stats() { # ARGUMENT...: the numbers of the line
  ledger sum --stats "$@" >"$work/got" 2>"$work/err" </dev/null
  tail -n 1 "$work/err" | sed -nE \
    's/^([0-9]+) files, ([0-9]+) hot, ([0-9]+) from the ledger, ([0-9]+) read, ([0-9]+) bytes read in [0-9.]+ s$/\1 \2 \3 \4 \5/p'
}
equal "the first time: all is read" "40 0 0 40 $bytes" "$(stats file-*)"
equal "lines on stderr" 1 "$(wc -l <"$work/err")"
sha256sum file-* | cmp - "$work/got" || fail "the first sum is wrong"
equal "the second time: nothing is" "40 0 40 0 0" "$(stats file-*)"
sha256sum file-* | cmp - "$work/got" || fail "the second sum is wrong"
equal "the same one twice: the second from memory" "2 1 1 0 0" "$(stats file-1 file-1)"
printf x >>file-1
grown_up "$work"
equal "a changed one is read" "40 0 39 1 1001" "$(stats file-*)"
sha256sum file-* | cmp - "$work/got" || fail "the sum of a changed file is wrong"
equal "missing ones count, and are not read" "3 0 1 0 0" "$(stats missing file-2 no/way)"
equal "standard input is read" "1 0 0 1 0" "$(stats -)"
sha256sum file-* >sums
equal "with -c: served as well" "40 0 40 0 0" "$(stats -c sums)"
equal "a folder is not read" "1 0 0 0 0" "$(stats .)"
# What the ledger does not prove is not served: a file whose bytes and times are as before, but not its identity.
cp -p file-3 copy
equal "a copy is read" "1 0 0 1 3000" "$(stats copy)"

command -v script >/dev/null || {
  printf 'no script(1): the progress on a terminal was left out\n'
  exit 0
}
# Something that takes its time: a pipe that the test keeps open until the line is there.
mkfifo slow
script -qfc "'$PROCLEDGER_BIN/procledger' --db '$db' sum file-2 slow file-3" /dev/null </dev/null >"$work/terminal" 2>&1 &
terminal=$!
keep "$terminal"
exec {pipe}>slow
head -c 3000000 /dev/zero >&"$pipe"
wait_until 60 grep -q '2\.9 MiB read' "$work/terminal" || fail "no progress: $(cat -A "$work/terminal")"
exec {pipe}>&-
wait "$terminal"
# What remains on the terminal when the escapes have done their work: each line from its last return on.
sed -E $'s/\r$//; s/.*\r\e\\[K//' "$work/terminal" >"$work/shown"
{
  sha256sum file-2
  head -c 3000000 /dev/zero | sha256sum | sed 's/-$/slow/'
  sha256sum file-3
} | cmp - "$work/shown" || fail "the terminal shows $(cat -A "$work/terminal")"
# Not on a terminal: nothing.
{ head -c 3000000 /dev/zero >slow & } 2>/dev/null
keep $!
ledger sum slow >"$work/got" 2>"$work/err" || fail "sum of a pipe"
[[ ! -s $work/err ]] || fail "progress without a terminal: $(cat -A "$work/err")"

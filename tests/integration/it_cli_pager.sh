#!/usr/bin/env bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# A table on a terminal goes through the pager, and nothing else does; colours are for terminals, and for nobody with
# NO_COLOR. The terminal is script(1)'s.
source "$(dirname "$0")/lib.sh"
command -v script >/dev/null || skip "needs script(1) for a terminal"

start_daemon
"$PROCLEDGER_HELPER" exit 1
wait_sql 60 "SELECT count(*) > 0 FROM process_events" 1
stop_daemon
cli="'$PROCLEDGER_BIN/procledger' --db '$db'"
export TERM=xterm PAGER="sed 's/^/paged:/'"

# on_terminal COMMAND-LINE: what the terminal shows, in $work/out; its status.
on_terminal() { script -qec "$1" /dev/null </dev/null >"$work/out" 2>"$work/err"; }
paged() { grep -q '^paged:' "$work/out"; }

on_terminal "$cli log" || fail "log on a terminal: status $?"
paged || fail "log on a terminal is not paged: $(head -n 3 "$work/out")"
grep -q $'^paged:\e\\[1m' "$work/out" || fail "no colours on a terminal: $(head -n 1 "$work/out" | cat -A)"
for command in ps files runs stats "show 1" "tree --eid 1" doctor; do
  on_terminal "$cli $command" || [[ $? == 1 && $command == doctor ]] || fail "$command on a terminal: status $?"
  paged || fail "$command on a terminal is not paged"
done
for flags in --no-pager --json --ndjson --csv; do
  on_terminal "$cli log $flags" || fail "log $flags on a terminal: status $?"
  paged && fail "log $flags is paged"
done
on_terminal "PAGER= $cli log" || fail "log without a pager: status $?"
paged && fail "log is paged with an empty PAGER"
on_terminal "$cli log | cat"
paged && fail "a pipe is paged"
on_terminal "$cli help log"
paged && fail "help is paged"
# Not through a pager, but coloured; and not with NO_COLOR, a terminal that is dumb, or on request.
on_terminal "$cli log --no-pager"
grep -q $'^\e\\[1m' "$work/out" || fail "no colours without a pager"
for how in "NO_COLOR=1 $cli log --no-pager" "TERM=dumb $cli log --no-pager" "$cli log --no-pager --color=never" \
  "$cli log --no-pager | cat" "$cli log --json"; do
  on_terminal "$how"
  grep -q $'\e' "$work/out" && fail "colours: $how"
done
on_terminal "NO_COLOR= $cli log --no-pager"
grep -q $'\e' "$work/out" || fail "an empty NO_COLOR means nothing"
on_terminal "NO_COLOR=1 $cli log --no-pager --color=always"
grep -q $'\e' "$work/out" || fail "--color=always is stronger than NO_COLOR"
# No terminal: neither.
ledger log >"$work/out" || fail "log: status $?"
grep -qE $'paged:|\e' "$work/out" && fail "log into a file is paged or coloured"
ledger log --color=always >"$work/out"
grep -q $'\e' "$work/out" || fail "--color=always into a file"
# A failure is said, whoever reads; a pager that does not run is one.
PAGER=/nowhere/pager on_terminal "$cli log"
equal "status without the pager" 2 $?
grep -q 'pager did not run' "$work/out" || fail "nothing was said of the pager: $(cat "$work/out")"
# A pager that leaves early is none.
PAGER='head -n 1' on_terminal "$cli log"
equal "status of a pager that was left" 0 $?
equal "its one line" 1 "$(wc -l <"$work/out")"
on_terminal "$cli log -S +1d"
equal "status of no match on a terminal" 1 $?
grep -q 'no match' "$work/out" || fail "no match is not said on a terminal"

#!/usr/bin/env bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# What the ledger knows of itself: runs that ended well or were killed, the gap between them, and the counters. By
# scanning, which cannot lose events and make gaps of its own, whatever else runs on the machine.
source "$(dirname "$0")/lib.sh"

status=0
start_daemon --source scan
wait_sql 60 "SELECT count(*) > 0 FROM process_events" 1
wait_sql 60 "SELECT count(*) > 0 FROM hash" 1
refuses 1 'no match' "$PROCLEDGER_BIN/procledger" --db "$db" gaps
ledger runs >"$work/out" || fail "runs: status $?"
equal "lines of runs" 2 "$(wc -l <"$work/out")"
sed -n 2p "$work/out" | grep -qE '^[0-9: -]+ +- +- +[0-9.]+ +(netlink|scan|bpf) ' || fail "a run that runs: $(cat "$work/out")"
ledger log --strict >"$work/out" 2>"$work/err" || fail "log --strict without a gap: status $?"
[[ ! -s $work/err ]] || fail "log --strict without a gap said $(cat "$work/err")"

kill -KILL "$daemon"
wait "$daemon" 2>/dev/null
start_daemon --source scan
wait_sql 60 "SELECT count(*) FROM gaps" 1
ledger gaps >"$work/out" || fail "gaps: status $?"
equal "lines of gaps" 2 "$(wc -l <"$work/out")"
ledger runs --json >"$work/json" || fail "runs --json"
equal "the first run was killed, the second runs" "0|" "$(sqlite3 -list :memory: "SELECT
  json_extract(CAST(readfile('$work/json') AS TEXT), '\$[0].clean'), json_extract(CAST(readfile('$work/json') AS TEXT), '\$[1].clean')")"
# Over the gap: a line on stderr, or the status.
ledger log >"$work/out" 2>"$work/err" || fail "log over a gap: status $?"
equal "lines about the gap" 1 "$(grep -c 'may be partial: 1 gap in its time' "$work/err")"
ledger log --strict >"$work/out" 2>"$work/err" || status=$?
equal "log --strict over a gap" 3 "$status"
[[ -s $work/out ]] || fail "log --strict prints nothing"
status=0
ledger log --strict --json >"$work/json" 2>/dev/null || status=$?
equal "log --strict --json over a gap" 3 "$status"
equal "and valid" 1 "$(sqlite3 :memory: "SELECT json_valid(CAST(readfile('$work/json') AS TEXT))")"
# 1 wins over 3.
status=0
ledger who --strict /never/ran >/dev/null 2>&1 || status=$?
equal "no match over a gap" 1 "$status"
# Beside the gap it is whole.
gap_end=$(sql "SELECT end_time FROM gaps")
past() { (($(date +%s) > gap_end + 1)); }
wait_until 30 past
"$PROCLEDGER_HELPER" nap 600000 &
keep $!
wait_sql 60 "SELECT count(*) > 0 FROM process_events WHERE time > $gap_end + 1" 1
ledger log --strict -S "@$((gap_end + 1))" >"$work/out" 2>"$work/err" || fail "log --strict behind the gap: $(cat "$work/err")"
refuses 1 'no match' "$PROCLEDGER_BIN/procledger" --db "$db" gaps -S "@$((gap_end + 1))"

# stats: of the newest run, and of the file.
ledger stats --json >"$work/json" || fail "stats: status $?"
stat_of() { sqlite3 :memory: "SELECT json_extract(CAST(readfile('$work/json') AS TEXT), '\$[0].$1')"; }
equal "stats is one row" 1 "$(sqlite3 :memory: "SELECT json_array_length(CAST(readfile('$work/json') AS TEXT))")"
equal "its run" 2 "$(stat_of run_id)"
equal "its gaps" 1 "$(stat_of gaps)"
at_least "bytes of the file" 4096 "$(stat_of database_bytes)"
at_least "files tracked" 1 "$(stat_of files_tracked)"
equal "states add up" "$(stat_of files_tracked)" "$(($(stat_of files_ok) + $(stat_of files_pending) +
  $(stat_of files_unreadable) + $(stat_of files_vanished) + $(stat_of files_too_big) + $(stat_of files_unstable)))"
grep -qE "^source +(netlink|scan|bpf)\$" <(ledger stats) || fail "stats does not say which source"
stop_daemon
ledger runs -n 1 >"$work/out" || fail "runs -n 1: status $?"
equal "lines of runs -n 1" 2 "$(wc -l <"$work/out")"
grep -qE ' 1  +[0-9.]+ +(netlink|scan|bpf) ' "$work/out" || fail "a clean end: $(cat "$work/out")"

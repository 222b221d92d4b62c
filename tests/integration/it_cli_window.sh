#!/usr/bin/env bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# -n, -r, -S and -U over executions of the real recorder, with the times that the ledger itself gives; and `ps --at`.
source "$(dirname "$0")/lib.sh"
need_connector

unique "$work/short"
unique "$work/long"
start_daemon
"$work/long" nap 600000 &
keep $!
long=$!
wait_sql 60 "SELECT count(*) FROM process_events WHERE path = '$work/long'" 1
# Long enough to be read from /proc by a recorder that has only that; each with a number as its last argument.
for i in {1..6}; do
  "$work/short" nap 50 "$i"
done
wait_sql 60 "SELECT count(*) FROM process_events WHERE path = '$work/short' AND end_time IS NOT NULL" 6

numbers() { # of what the command lists, in its order
  ledger "$@" --json >"$work/json" 2>"$work/err" || [[ $? == 1 ]] || fail "$*: $(cat "$work/err")"
  sqlite3 :memory: "SELECT group_concat(json_extract(value, '\$.argv[3]'), '') FROM json_each(CAST(readfile('$work/json') AS TEXT))"
}
equal "who" 123456 "$(numbers who "$work/short")"
equal "who -r" 654321 "$(numbers who "$work/short" -r)"
equal "who -n 2" 56 "$(numbers who "$work/short" -n 2)"
equal "who -n 2 -r" 65 "$(numbers who "$work/short" -rn2)"
equal "who -n 0" "" "$(numbers who "$work/short" -n 0)"
moment() { # of the execution with number $1, to the nanosecond
  sql "SELECT '@' || time || printf('.%09d', time_ns) FROM process_events WHERE path = '$work/short' AND json_extract(argv, '\$[3]') = '$1'"
}
third=$(moment 3) fifth=$(moment 5)
equal "-S" 3456 "$(numbers who "$work/short" -S "$third")"
equal "-U" 12345 "$(numbers who "$work/short" -U "$fifth")"
equal "-S -U" 345 "$(numbers who "$work/short" -S "$third" -U "$fifth")"
equal "-S -U -n" 45 "$(numbers who "$work/short" -S "$third" -U "$fifth" -n 2)"
equal "--since --until -r" 543 "$(numbers who "$work/short" --since="$third" --until "$fifth" --reverse)"
equal "in the future" "" "$(numbers who "$work/short" -S +1h)"
equal "-S -1h" 123456 "$(numbers who "$work/short" -S -1h)"
equal "-S of the same second as ISO 8601" 123456 \
  "$(numbers who "$work/short" -S "$(date -u -d "@$(sql "SELECT min(time) FROM process_events WHERE path = '$work/short'")" +%FT%TZ)")"
# log has the same rows among others.
ledger log -S "$third" -U "$fifth" --json >"$work/json" || fail "log -S -U"
equal "log -S -U" 345 "$(sqlite3 :memory: "SELECT group_concat(json_extract(value, '\$.argv[3]'), '')
  FROM json_each(CAST(readfile('$work/json') AS TEXT)) WHERE json_extract(value, '\$.path') = '$work/short'")"

# ps --at: the long one from its start to its end; the image before the exec is not alive at the same moment.
alive_at() {
  local status=0
  ledger ps --at "$1" --json >"$work/json" 2>"$work/err" || status=$?
  ((status < 2)) || fail "ps --at $1: $(cat "$work/err")"
  sqlite3 :memory: "SELECT count(*) FROM json_each(CAST(readfile('$work/json') AS TEXT)) WHERE json_extract(value, '\$.pid') = $long"
}
start=$(sql "SELECT '@' || time || printf('.%09d', time_ns) FROM process_events WHERE path = '$work/long'")
second=$(sql "SELECT time FROM process_events WHERE path = '$work/long'")
equal "at its start" 1 "$(alive_at "$start")"
equal "before it" 0 "$(alive_at "@$((second - 5))")"
equal "at the third" 1 "$(alive_at "$third")"
equal "in a year, as far as is known" 1 "$(alive_at +1y)"
equal "now" 1 "$(ledger ps --json | grep -c "\"pid\":$long,")"
kill -TERM "$long"
wait "$long" 2>/dev/null
wait_sql 60 "SELECT count(*) FROM process_events WHERE path = '$work/long' AND end_reason = 'exit'" 1
equal "then, though it has ended" 1 "$(alive_at "$third")"
equal "after its end" 0 "$(alive_at "@$(($(sql "SELECT end_time FROM process_events WHERE path = '$work/long'") + 2))")"
ledger ps --json >"$work/json"
grep -q "\"pid\":$long," "$work/json" && fail "ps shows what has ended"
alive
# ps is of the images that run, by pid, and says when nobody records any more.
ledger ps >"$work/out" 2>"$work/err" || fail "ps: status $?"
grep -q 'recorder is not running' "$work/err" && fail "ps beside the recorder: $(cat "$work/err")"
sed 1d "$work/out" | awk '{print $1}' >"$work/pids"
sort -n "$work/pids" | cmp - "$work/pids" || fail "ps is not in the order of pids"
grep -q "^ *$daemon .*procledgerd" "$work/out" || fail "ps does not show the recorder itself"
stop_daemon
ledger ps >"$work/out" 2>"$work/err" || fail "ps of the stopped recorder: status $?"
grep -q 'recorder is not running' "$work/err" || fail "ps does not say that nobody records"

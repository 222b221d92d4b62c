#!/usr/bin/env bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# kill -9 at any moment, 50 times, under load: the file is whole, nothing that a reader saw is missing, and the next
# start closes the run that had no end.
source "$(dirname "$0")/lib.sh"
rounds=${PROCLEDGER_KILLS:-50}

unique "$work/load"
while :; do "$work/load" spawn 100 "$work/load" exit 0 >/dev/null; done &
keep $!
# Something that the scan source sees as well.
"$work/load" nap 600000 &
keep $!
greatest() { sql "SELECT coalesce(max(eid), 0) FROM process_events"; }
grown() {
  local now
  now=$(greatest 2>/dev/null) && ((now >= before + wanted))
}
before=0
for ((round = 1; round <= rounds; round++)); do
  start_daemon
  if ((round > 1)); then
    equal "unclean runs before round $round" "$((round - 1))" "$(sql "SELECT count(*) FROM runs WHERE clean = 0 AND end_time IS NOT NULL")"
    at_least "gaps before round $round" $((round - 1)) "$(sql "SELECT count(*) FROM gaps")"
  fi
  # A different moment each time: from the first commit on to some hundred rows later.
  wanted=$((1 + round * 37 % 200))
  wait_until 60 grown || fail "round $round: only $(greatest) rows after $before"
  seen=$(greatest)
  kill -KILL "$daemon"
  wait "$daemon" 2>/dev/null
  daemon=
  equal "round $round: integrity" ok "$(sqlite3 "$db" "PRAGMA integrity_check" 2>&1)"
  equal "round $round: the row seen before the kill" 1 "$(sql "SELECT count(*) FROM process_events WHERE eid = $seen")"
  at_least "round $round: rows kept" "$before" "$seen"
  before=$(greatest)
done
start_daemon
stop_daemon
equal "runs" "$rounds|1" "$(sql "SELECT sum(clean = 0), sum(clean = 1) FROM runs")"
at_least "gaps" "$rounds" "$(sql "SELECT count(*) FROM gaps")"
equal "foreign keys" "" "$(sql "PRAGMA foreign_key_check")"
printf '%s kills, %s executions in the file\n' "$rounds" "$(greatest)"

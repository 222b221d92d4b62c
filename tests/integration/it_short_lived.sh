#!/usr/bin/env bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# Processes that die between any two reads: each one is a row, or is counted in gaps. A hash that could not be taken is
# a state of its own, never an empty text and never somebody else's digest.
source "$(dirname "$0")/lib.sh"
need_connector

unique "$work/quick"
want=$(sha256 "$work/quick")
start_daemon
"$work/quick" spawn 2000 "$work/quick" exit 3 >"$work/pids"
sentinel=$work/sentinel
unique "$sentinel"
"$sentinel" nap 100
settled "path = '$sentinel'" 1
first=$(sql "SELECT min(eid) FROM process_events WHERE path = '$work/quick'")
at_least "first row" 1 "$first"
sqlite3 "$work/pids.db" "CREATE TABLE pids (pid INTEGER)" ".import $work/pids pids"
# Pids are not reused that quickly: each must be there.
missing=$(sqlite3 -readonly "$db" "ATTACH '$work/pids.db' AS p" \
  "SELECT count(*) FROM p.pids WHERE pid NOT IN (SELECT pid FROM process_events WHERE eid >= $first)")
lost=$(sql "SELECT coalesce(sum(lost), 0) FROM gaps")
at_least "executions accounted for" 0 $((lost - missing))
wait_sql 60 "SELECT count(*) FROM process_events WHERE eid >= $first AND hash_state = 'pending'" 0
equal "digests other than the right one" 0 "$(sql "SELECT count(*) FROM process_events WHERE path = '$work/quick' AND sha256 IS NOT NULL AND sha256 <> '$want'")"
equal "rows with a digest and no ok, or the reverse" 0 "$(sql "SELECT count(*) FROM process_events WHERE (sha256 IS NULL) = (hash_state IS 'ok')")"
equal "empty texts" 0 "$(sql "SELECT count(*) FROM process_events WHERE path = '' OR sha256 = '' OR hash_state = ''")"
wait_sql 30 "SELECT count(*) FROM process_events e WHERE e.eid >= $first AND e.path = '$work/quick' AND e.end_reason IS NULL" 0
alive
printf '%s without path of 2000, %s lost\n' \
  "$(sqlite3 -readonly "$db" "ATTACH '$work/pids.db' AS p" "SELECT count(*) FROM process_events WHERE eid >= $first AND path IS NULL AND pid IN (SELECT pid FROM p.pids)")" "$lost"
stop_daemon

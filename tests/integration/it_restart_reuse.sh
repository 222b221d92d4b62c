#!/usr/bin/env bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# Stopped and started again: no binary that did not change is read a second time, and one that did is.
source "$(dirname "$0")/lib.sh"
need_connector
need_cached_fs "$work"
need_cached_fs /usr/bin

mkdir "$work/bin"
for i in {1..10}; do
  unique "$work/bin/b$i"
done
grown_up "$work/bin"
run() {
  for i in {1..10}; do
    "$work/bin/b$i" nap 100
  done
}
nothing_pending() { sql_is "SELECT count(*) FROM process_events WHERE hash_state = 'pending'" 0; }
last_run() { sql "SELECT $1 FROM runs ORDER BY time DESC, rowid DESC LIMIT 1" 2>/dev/null || sql "SELECT $1 FROM runs ORDER BY time DESC LIMIT 1"; }

start_daemon
run
settled "path GLOB '$work/bin/*'" 10
wait_until 120 nothing_pending || fail "hashes stay pending"
stop_daemon
at_least "bytes hashed by the first run" 1 "$(sql "SELECT sum(bytes_hashed) FROM runs")"

# What other programs of this machine start meanwhile is rightly read if it is new: all but ours is left out.
ignore_elsewhere
hashed_before=$(sql "SELECT count(*) FROM file_history WHERE path GLOB '$work/bin/*'")
start_daemon "${elsewhere[@]}"
run
settled "path GLOB '$work/bin/*'" 20
wait_until 120 nothing_pending || fail "hashes stay pending"
stop_daemon
equal "versions of the ten" "$hashed_before" "$(sql "SELECT count(*) FROM file_history WHERE path GLOB '$work/bin/*'")"
equal "bytes read after the restart" 0 "$(last_run bytes_hashed)"
equal "files read after the restart" 0 "$(last_run files_hashed)"
at_least "hits of the run" 10 "$(last_run "hits_hot + hits_ledger")"
ledger stats >"$work/stats" || fail "stats: status $?"
grep -qiE 'bytes' "$work/stats" || fail "stats does not speak of bytes: $(cat "$work/stats")"

# Changed while nothing ran: read again, and right.
printf x >>"$work/bin/b1"
start_daemon
run
wait_sql 60 "SELECT sha256 FROM process_events WHERE path = '$work/bin/b1' ORDER BY eid DESC LIMIT 1" "$(sha256 "$work/bin/b1")"
wait_sql 60 "SELECT count(DISTINCT sha256) FROM file_history WHERE path = '$work/bin/b1'" 2
stop_daemon
at_least "bytes read after the change" 1 "$(last_run bytes_hashed)"

#!/usr/bin/env bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# What a process runs is what was executed: deleted, replaced or renamed over while it runs changes nothing of its row;
# the next process of that path has the new bytes.
source "$(dirname "$0")/lib.sh"
need_connector

start_daemon
unique "$work/gone"
gone=$(sha256 "$work/gone")
"$work/gone" unlink-nap "$work/gone" 500
settled "path = '$work/gone'" 1
equal "unlinked while it ran" "ok|$gone" "$(sql "SELECT hash_state, sha256 FROM process_events WHERE path = '$work/gone'")"

unique "$work/swapped"
old=$(sha256 "$work/swapped")
"$work/swapped" nap 60000 &
keep $!
settled "path = '$work/swapped'" 1
unique "$work/new"
new=$(sha256 "$work/new")
mv "$work/new" "$work/swapped"
"$work/swapped" nap 100
settled "path = '$work/swapped'" 2
equal "old process, new process" "$old
$new" "$(sql "SELECT sha256 FROM process_events WHERE path = '$work/swapped' ORDER BY eid")"
# The new one has ended, which the file hears of a batch later.
wait_sql 30 "SELECT sha256 FROM processes WHERE path = '$work/swapped'" "$old"
wait_sql 30 "SELECT count(*) FROM file_history WHERE path = '$work/swapped'" 2
wait_sql 30 "SELECT sha256 FROM hash WHERE path = '$work/swapped'" "$new"
ledger history "$work/swapped" >"$work/history" || fail "history: status $?"
grep -q "${old:0:8}" "$work/history" && grep -q "${new:0:8}" "$work/history" || fail "history shows not both versions"

# A file whose name really ends in " (deleted)".
unique "$work/real (deleted)"
"$work/real (deleted)" nap 100
settled "path = '$work/real (deleted)'" 1
equal "hash" "$(sha256 "$work/real (deleted)")" "$(sql "SELECT sha256 FROM process_events WHERE path = '$work/real (deleted)'")"
stop_daemon

#!/usr/bin/env bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# How a process ended: exit code, signal, duration.
source "$(dirname "$0")/lib.sh"
need_connector

# Each lives long enough to be read: what is gone before that has no path with this source (it_short_lived).
start_daemon
unique "$work/ends"
"$work/ends" exit 0 300
"$work/ends" exit 7 300
"$work/ends" exit 255 300
"$work/ends" signal 9 300 2>/dev/null
"$work/ends" signal 11 300 2>/dev/null
"$work/ends" nap 300
where="path = '$work/ends'"
wait_sql 60 "SELECT count(*) FROM process_events WHERE $where AND end_reason = 'exit'" 6
equal "codes and signals in order" "0|
7|
255|
|9
|11
0|" "$(sql "SELECT exit_code, exit_signal FROM process_events WHERE $where ORDER BY eid")"
equal "the nap's duration" 1 \
  "$(sql "SELECT duration_ns BETWEEN 290000000 AND 60000000000 FROM process_events WHERE $where ORDER BY eid DESC LIMIT 1")"
# A process that runs has no end, and is in `processes`.
"$work/ends" nap 60000 &
running=$!
keep "$running"
wait_sql 60 "SELECT end_reason IS NULL, end_time IS NULL FROM processes WHERE pid = $running" "1|1"
kill -TERM "$running"
wait "$running" 2>/dev/null
wait_sql 60 "SELECT exit_signal, end_reason FROM process_events WHERE $where AND pid = $running" "15|exit"
wait_sql 10 "SELECT count(*) FROM processes WHERE pid = $running" 0
stop_daemon

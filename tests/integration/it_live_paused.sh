#!/usr/bin/env bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# A reader of --live that pauses costs lines, never rows: recording goes on, stopping works, and the lines that were left
# out are counted.
source "$(dirname "$0")/lib.sh"
need_connector

mkfifo "$work/lines"
exec {reader}<>"$work/lines" # open at both ends, so that nobody waits, and not read
touch "$work/daemon.err"
lines_before=0
"$PROCLEDGER_BIN/procledgerd" --db "$db" --watch none --live >"$work/lines" 2>>"$work/daemon.err" {never}>&- </dev/null &
daemon=$!
wait_until 60 ready_or_gone || fail "procledgerd was not ready within 60 s"
unique "$work/load"
# Some 120 bytes a line: more than a pipe holds (64 KiB), twice over.
"$work/load" spawn 1200 "$work/load" exit 0 >/dev/null
unique "$work/last"
"$work/last" nap 100
settled "path = '$work/last'" 1
at_least "rows while nobody reads" 1200 "$(sql "SELECT count(*) FROM process_events WHERE source <> 'snapshot'")"
# The reader goes on: the next line is preceded by the number of those that it missed.
# Other tests may write lines without end: it is over as soon as that one came.
read_on() {
  local line
  "$work/last" nap 20
  while IFS= read -rt 0.2 -u "$reader" line; do
    printf '%s\n' "$line" >>"$work/read"
    [[ $line == *'executions not shown' ]] && return 0
  done
  return 1
}
wait_until 60 read_on || fail "nobody says how many lines are missing: $(tail -n 3 "$work/read")"
"$work/load" spawn 1200 "$work/load" exit 0 >/dev/null
stop_daemon

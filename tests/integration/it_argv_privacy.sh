#!/usr/bin/env bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# --argv full, redact and off: what is kept of a command line, and that the choice stands in the file.
source "$(dirname "$0")/lib.sh"
need_connector

unique "$work/login"
run() { "$work/login" nap 100 --user=ana --password=hunter2 --token hunter2 "API_KEY=hunter2" plain; }
rows() { sql "SELECT argv FROM process_events WHERE path = '$work/login' ORDER BY eid DESC LIMIT 1"; }

start_daemon --argv redact
run
settled "path = '$work/login'" 1
equal "redacted" "[\"$work/login\",\"nap\",\"100\",\"--user=ana\",\"--password=***\",\"--token\",\"***\",\"API_KEY=***\",\"plain\"]" "$(rows)"
sql "SELECT key, value FROM about" | grep -q redact || fail "about does not say that arguments are redacted"
stop_daemon
! grep -qF hunter2 "$db" "$db"-wal 2>/dev/null || fail "the secret is in the file"

start_daemon --argv off
run
settled "path = '$work/login'" 2
equal "off" "" "$(rows)"
equal "off, as text" "" "$(sql "SELECT cmdline FROM process_events WHERE path = '$work/login' ORDER BY eid DESC LIMIT 1")"
sql "SELECT key, value FROM about" | grep -Eq 'argv.*off' || fail "about does not say that arguments are off"
stop_daemon

start_daemon
run
settled "path = '$work/login'" 3
equal "full" "[\"$work/login\",\"nap\",\"100\",\"--user=ana\",\"--password=hunter2\",\"--token\",\"hunter2\",\"API_KEY=hunter2\",\"plain\"]" "$(rows)"
stop_daemon
refuses 2 "some" "$PROCLEDGER_BIN/procledgerd" --db "$db" --argv some

#!/usr/bin/env bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# One recorder a file: the second one gets a clear line and exit 2, the first one does not notice.
source "$(dirname "$0")/lib.sh"

start_daemon
refuses 2 "recorder.*$db|$db.*recorder" "$PROCLEDGER_BIN/procledgerd" --db "$db"
ln -s "$db" "$work/other-name.db"
refuses 2 "" "$PROCLEDGER_BIN/procledgerd" --db "$work/other-name.db"
alive
stop_daemon
start_daemon
stop_daemon INT
equal "runs" "2|2" "$(sql "SELECT count(*), sum(clean) FROM runs")"

#!/usr/bin/env bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# A limit on the size of files (RLIMIT_FSIZE) is a full disk: said once, counted, and no end by SIGXFSZ.
source "$(dirname "$0")/lib.sh"
need_connector

unique "$work/load"
start_through bash -c 'ulimit -f 600; exec "$@"' limited --
full() {
  "$work/load" spawn-unique 50 30000 "$work/load"
  alive
  said 'writing failed'
}
wait_until 120 full || fail "600 KiB are never full"
alive
equal "integrity" ok "$(sql "PRAGMA integrity_check")"
kill -TERM "$daemon"
wait "$daemon" # what could not be written is lost; how it ends is not what is asked here
status=$?
daemon=
((status < 128)) || fail "ended by a signal: $status"
# Without the limit the same file goes on.
start_daemon
"$work/load" nap 100
settled "path = '$work/load' AND cmdline LIKE '%nap 100'" 1
stop_daemon
# sum in the same place: checksums are printed, what cannot be kept is not.
(ulimit -f 64; exec "$PROCLEDGER_BIN/procledger" --db "$work/small.db" sum /usr/bin/env) >"$work/sums" 2>"$work/sum.err"
status=$?
((status < 128)) || fail "sum was ended by a signal: $status"

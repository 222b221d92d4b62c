#!/usr/bin/env bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# A command line of 2 MiB: recorded, whole or marked as cut; and one under the limit is never cut.
source "$(dirname "$0")/lib.sh"
need_connector
(ulimit -Ss 32768) 2>/dev/null || skip "the stack limit cannot be raised to 32 MiB"

start_daemon
unique "$work/much"
(ulimit -Ss 32768 && exec "$work/much" argv-bytes 2097152 "$work/much") || fail "2 MiB of arguments could not be given"
"$work/much" nap 100 "$(printf '%01000d' 7)"
where="path = '$work/much' AND argv LIKE '%\"nap\"%'"
settled "$where" 2
equal "cut or whole" 1 "$(sql "SELECT length(argv) > 2097152 OR flags LIKE '%argv-cut%' FROM process_events WHERE $where ORDER BY eid LIMIT 1")"
at_least "kept of it" 4000 "$(sql "SELECT length(argv) FROM process_events WHERE $where ORDER BY eid LIMIT 1")"
equal "argv is JSON" 1 "$(sql "SELECT min(json_valid(argv)) FROM process_events WHERE $where")"
equal "an ordinary one" "0|1" "$(sql "SELECT coalesce(flags, '') LIKE '%argv-cut%', length(json_extract(argv, '\$[3]')) = 1000
  FROM process_events WHERE $where ORDER BY eid DESC LIMIT 1")"
ledger log --ndjson -n 20 >"$work/log" || fail "log: status $?"
ledger ps >/dev/null || fail "ps: status $?"
stop_daemon

#!/usr/bin/env bash
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# Programs that remove themselves as their first act, one after the other and all at once, and a storm of quick ones: each
# execution has a row, the checksum of the very bytes that ran, and its exit status.
source "$(dirname "$0")/lib.sh"
need_root

"$PROCLEDGER_BIN/procledgerd" --probe >"$work/probe" 2>&1 || fail "--probe: status $?"
grep -q '^source bpf yes' "$work/probe" || skip "$(grep '^source bpf' "$work/probe")"
mkdir "$work/bin"
for ((i = 0; i < 300; i++)); do
  unique "$work/bin/b$i"
done
(cd "$work/bin" && sha256sum b*) | sed 's,  b,|/b,' | sort >"$work/want"
start_daemon --source bpf
for ((i = 0; i < 150; i++)); do
  "$work/bin/b$i" unlink-nap "$work/bin/b$i" 0
done
running=()
for ((i = 150; i < 300; i++)); do
  "$work/bin/b$i" unlink-nap "$work/bin/b$i" 0 &
  running+=($!)
done
wait "${running[@]}"
"$PROCLEDGER_HELPER" spawn 2000 /bin/true argument >"$work/pids" || fail "the helper cannot spawn"
settled "path GLOB '$work/bin/b*'" 300
settled "filename = '/bin/true' AND cmdline = '/bin/true argument'" 2000
wait_sql 60 "SELECT count(*) FROM process_events WHERE path GLOB '$work/bin/b*' AND exit_code IS NULL" 0
wait_sql 60 "SELECT count(*) FROM process_events WHERE filename = '/bin/true' AND exit_code IS NULL" 0
stop_daemon
sql "SELECT sha256 || '|/' || replace(path, '$work/bin/', '') FROM process_events WHERE path GLOB '$work/bin/b*'" | sort >"$work/got"
cmp "$work/want" "$work/got" || fail "the checksums are not those of the bytes that ran: $(diff "$work/want" "$work/got" | head -n 4)"
equal "exit codes other than 0" 0 "$(sql "SELECT count(*) FROM process_events WHERE path GLOB '$work/bin/b*' AND exit_code <> 0")"
equal "quick ones without path, arguments or checksum" 0 "$(sql "SELECT count(*) FROM process_events
  WHERE filename = '/bin/true' AND cmdline = '/bin/true argument' AND (path IS NULL OR sha256 IS NULL OR argv IS NULL)")"
equal "their pids" "$(sort -n "$work/pids" | sha256sum)" "$(sql "SELECT pid FROM process_events
  WHERE filename = '/bin/true' AND cmdline = '/bin/true argument' ORDER BY pid" | sha256sum)"
equal "lost" 0 "$(sql "SELECT count(*) FROM gaps WHERE lost > 0")"

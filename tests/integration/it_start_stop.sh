#!/usr/bin/env bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# The start-up snapshot, what --probe and doctor say, and bad usage of both programs.
source "$(dirname "$0")/lib.sh"

unique "$work/before"
"$work/before" nap 60000 "was there first" &
keep $!
running=$!
start_daemon
settled "path = '$work/before'" 1
equal "snapshot" "snapshot|ok|$(sha256 "$work/before")|" \
  "$(sql "SELECT source, hash_state, sha256, end_reason FROM process_events WHERE pid = $running")"
ledger ps >"$work/ps" || fail "ps: status $?"
grep -qF "$work/before" "$work/ps" || fail "ps does not show a running program"
ledger show "$running" >"$work/show" || fail "show: status $?"
grep -qF "$(sha256 "$work/before")" "$work/show" || fail "show does not show the whole hash"
stop_daemon
# It still runs when the daemon comes back: one row, not two.
start_daemon
equal "adopted, not recorded twice" 1 "$(sql "SELECT count(*) FROM process_events WHERE pid = $running AND path = '$work/before'")"
stop_daemon
# It ends while nothing records: the next start says so.
kill "$running"
wait "$running" 2>/dev/null
start_daemon
wait_sql 30 "SELECT end_reason FROM process_events WHERE pid = $running AND path = '$work/before'" lost
stop_daemon

"$PROCLEDGER_BIN/procledgerd" --db "$db" --probe >"$work/probe" 2>&1 || fail "--probe: status $?"
grep -qi netlink "$work/probe" || fail "--probe does not speak of netlink: $(cat "$work/probe")"
ledger doctor >"$work/doctor" 2>&1 || (($? == 1)) || fail "doctor: status $?: $(cat "$work/doctor")"
grep -qi netlink "$work/doctor" || fail "doctor does not speak of netlink"

refuses 2 'no-such-flag' "$PROCLEDGER_BIN/procledgerd" --no-such-flag
refuses 2 'ebpf' "$PROCLEDGER_BIN/procledgerd" --db "$work/x.db" --source ebpf
refuses 2 '1fortnight' "$PROCLEDGER_BIN/procledgerd" --db "$work/x.db" --path-ttl 1fortnight
refuses 2 'crc32' "$PROCLEDGER_BIN/procledgerd" --db "$work/x.db" --algorithms sha256,crc32
refuses 2 'no-such-flag' "$PROCLEDGER_BIN/procledger" --db "$db" log --no-such-flag
refuses 2 'yesterdayish' "$PROCLEDGER_BIN/procledger" --db "$db" log --since yesterdayish
refuses 2 'dance' "$PROCLEDGER_BIN/procledger" --db "$db" dance
[[ ! -e $work/x.db ]] || fail "bad usage made a file"
for command in ps log show tree who history files gaps runs stats sum doctor; do
  "$PROCLEDGER_BIN/procledger" "$command" --help >"$work/help" 2>&1 || fail "$command --help: status $?"
  grep -qi 'example' "$work/help" || fail "$command --help shows no example"
done
"$PROCLEDGER_BIN/procledgerd" --help >"$work/help" || fail "procledgerd --help: status $?"
"$PROCLEDGER_BIN/procledgerd" --version | grep -q '[0-9]' || fail "procledgerd --version: status $?"
"$PROCLEDGER_BIN/procledger" --version | grep -q '[0-9]' || fail "procledger --version: status $?"
# No match is 1, and nothing is said on stdout.
status=0
ledger who /nowhere/at/all >"$work/out" 2>&1 || status=$?
equal "who of a path that never ran" 1 "$status"

#!/usr/bin/env bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# Case 39: twenty thousand events that procledgerd has not read (it is stopped), and one write among them. Whatever watches
# it has: the next look-up and the next execution are right. More than a queue of inotify holds, by the kernel's default.
source "$(dirname "$0")/../integration/lib.sh"
need_cached_fs "$work"

mkdir "$work/bin"
unique "$work/bin/program"
unique "$work/bin/noise"
grown_up "$work/bin"
start_daemon
for run in 1 2; do
  "$work/bin/program" nap 300
  "$work/bin/noise" nap 300
  settled "path = '$work/bin/program'" $((2 * run - 1))
  ledger sum "$work/bin/program" >"$work/got" || fail "sum: status $?"
  equal "before" "$(sha256sum "$work/bin/program")" "$(cat "$work/got")"

  kill -STOP "$daemon"
  stopped() { [[ $(cut -d' ' -f3 "/proc/$daemon/stat") == T ]]; }
  wait_until 10 stopped || fail "procledgerd does not stop"
  # Of two kinds in turn on two inodes, so that none of them is folded into the one before it.
  perl -e 'for (1 .. 10000) { chmod 0700 + $_ % 2, $ARGV[0]; utime undef, undef, $ARGV[1] }' \
    "$work/bin/program" "$work/bin/noise" 2>/dev/null || skip "there is no perl"
  printf 'written %s' "$run" >>"$work/bin/program"
  chmod 0755 "$work/bin/program"
  # Somebody else's look-up, while the recorder knows of nothing.
  ledger sum "$work/bin/program" >"$work/got" || fail "sum: status $?"
  equal "while it is stopped" "$(sha256sum "$work/bin/program")" "$(cat "$work/got")"
  kill -CONT "$daemon"

  "$work/bin/program" nap 300
  settled "path = '$work/bin/program'" $((2 * run))
  equal "executed after the write" "$(sha256 "$work/bin/program")" \
    "$(sql "SELECT sha256 FROM process_events WHERE path = '$work/bin/program' ORDER BY eid DESC LIMIT 1")"
  ledger sum "$work/bin/program" >"$work/got" || fail "sum: status $?"
  equal "asked after the write" "$(sha256sum "$work/bin/program")" "$(cat "$work/got")"
  grown_up "$work/bin"
done
wait_sql 30 "SELECT sha256 FROM hash WHERE path = '$work/bin/program'" "$(sha256 "$work/bin/program")"
stop_daemon

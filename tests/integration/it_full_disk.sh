#!/usr/bin/env bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# The disk fills up while recording: the daemon goes on, says it once, and when there is space again the loss stands in
# `gaps` and new executions are recorded.
source "$(dirname "$0")/lib.sh"
need_root
need_connector
own_mounts

mkdir "$work/disk"
mount -t tmpfs -o size=24m,mode=755 tmpfs "$work/disk" || skip "tmpfs cannot be mounted here"
# Also when it fails: a mounted folder cannot be removed.
trap 'status=$?; umount -l "$work/disk" 2>/dev/null; (exit "$status"); cleanup' EXIT
db=$work/disk/ledger.db
unique "$work/load"
start_daemon
"$work/load" nap 100
settled "path = '$work/load'" 1
gaps_before=$(sql "SELECT count(*) FROM gaps")
errors_before=$(grep -cEi 'full|space' "$work/daemon.err")
dd if=/dev/zero of="$work/disk/ballast" bs=64k status=none 2>/dev/null
equal "free blocks" 0 "$(stat -f -c %a "$work/disk")"
# Three times what the bounded queue (64 MiB) holds: command lines of 100 kB. Each process lives long enough for the
# recorder to read them, unless the machine is busy with others; hence three times.
printf -v long '%0100000d' 0
spawners=()
for part in 1 2 3 4 5 6 7 8; do
  "$work/load" spawn 250 "$work/load" nap 100 "$long" >/dev/null &
  spawners+=($!)
  keep $!
done
for pid in "${spawners[@]}"; do
  wait "$pid" || fail "a spawner ended with $?"
done
alive
wait_until 30 said '[Ff]ull|[Ss]pace' || fail "nothing was said about the full disk"
lines=$(($(grep -cEi 'full|space' "$work/daemon.err") - errors_before))
((lines <= 3)) || fail "the full disk was reported $lines times"
equal "a reader can still read" 1 "$(sql "SELECT count(*) > 0 FROM process_events")"
rm "$work/disk/ballast"
mount -o remount,size=256m "$work/disk"
more() { sql_is "SELECT count(*) > $gaps_before FROM gaps" 1; }
wait_until 60 more || fail "no row in gaps after there was space again: $(sql "SELECT * FROM gaps")"
unique "$work/after"
"$work/after" nap 100
settled "path = '$work/after'" 1
equal "hash" "$(sha256 "$work/after")" "$(sql "SELECT sha256 FROM process_events WHERE path = '$work/after'")"
# Nothing silently: what was run is there, or counted as lost.
wait_sql 60 "SELECT (SELECT count(*) FROM process_events WHERE path = '$work/load') +
  (SELECT sum(coalesce(lost, 0)) FROM gaps) >= 2001" 1
# The loss has a time, a number and a reason; before and after it things were recorded.
equal "gaps of the full disk" 1 "$(sql "SELECT count(*) > 0 AND min(lost > 0 AND end_time >= time) FROM gaps WHERE reason = 'disk full'")"
equal "said to work again" 1 "$(grep -c 'works again' "$work/daemon.err")"
stop_daemon
equal "integrity" ok "$(sql "PRAGMA integrity_check")"

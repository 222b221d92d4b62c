#!/usr/bin/env bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# Case 40: no inotify watch is to be had. procledgerd runs in a user namespace in which a handful is all there is, and many
# programs are executed, changed and executed again: no row is stale, and it goes on.
source "$(dirname "$0")/../integration/lib.sh"
need_cached_fs "$work"
PROGRAMS=12

# The limit counts for a user within a user namespace, so a namespace of its own has one of its own.
limit='echo 3 >/proc/sys/user/max_inotify_watches && exec "$@"'
unshare --user --map-root-user --mount bash -c "$limit" bash true 2>/dev/null ||
  skip "needs a user namespace whose limits it may set"

mkdir "$work/bin"
for ((i = 0; i < PROGRAMS; i++)); do
  unique "$work/bin/p$i"
done
grown_up "$work/bin"
start_through unshare --user --map-root-user --mount bash -c "$limit" bash -- --source scan
# Which limit it lives under is asked of the kernel.
equal "watches that it may have" 3 "$(nsenter --user --preserve-credentials --target "$daemon" cat /proc/sys/user/max_inotify_watches)"
run_all() { # all of them at once, where it may look at them, and long enough for the scan
  local i
  for ((i = 0; i < PROGRAMS; i++)); do
    nsenter --user --preserve-credentials --target "$daemon" "$work/bin/p$i" nap 1500 &
    keep $!
  done
  wait "${kept[@]}"
  kept=()
}
for run in 1 2 3; do
  run_all
  for ((i = 0; i < PROGRAMS; i++)); do
    # Its bytes are of this run alone: a stale row never becomes right.
    wait_sql 60 "SELECT sha256 FROM process_events WHERE path = '$work/bin/p$i' ORDER BY eid DESC LIMIT 1" \
      "$(sha256 "$work/bin/p$i")"
    equal "sum of p$i" "$(sha256sum "$work/bin/p$i")" "$(ledger sum "$work/bin/p$i")"
    printf 'run %s' "$run" >>"$work/bin/p$i" # changed, with times put back
    touch -m -d @1600000000 "$work/bin/p$i"
  done
  alive
  ledger sum "$work/bin/"p* >"$work/got" || fail "sum: status $?"
  sha256sum "$work/bin/"p* | cmp - "$work/got" || fail "sum differs after the change"
done
stop_daemon

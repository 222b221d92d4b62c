#!/usr/bin/env bash
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# No watches to be had, or no inotify at all: recording goes on, it is said once, and nobody gets an old checksum.
source "$(dirname "$0")/lib.sh"
need_cached_fs "$work"
unshare -Ur true 2>/dev/null || skip "needs a user namespace, whose limits are its own"
[[ -e /proc/sys/user/max_inotify_watches ]] || skip "this kernel has no limits for a user namespace"

mkdir "$work/bin"
for i in {1..20}; do
  unique "$work/bin/program$i"
done
grown_up "$work"
ignore_elsewhere
right() { # every program has the checksum that it has now, for whoever asks
  (cd "$work/bin" && sha256sum program*) >"$work/want"
  (cd "$work/bin" && ledger sum program* 2>/dev/null) >"$work/got"
  cmp -s "$work/want" "$work/got" || fail "$1: procledger sum is wrong"
}
limited() { # LIMIT VALUE: start it where the limit is VALUE
  start_through unshare -Ur bash -c "echo $2 >/proc/sys/user/$1 && exec \"\$@\"" - -- --source scan --watch "$work/bin" \
    "${elsewhere[@]}"
}
newest="FROM runs ORDER BY run_id DESC LIMIT 1"

limited max_inotify_watches 5
wait_sql 60 "SELECT start_done, start_total, watches, watches_refused > 0 $newest" "20|20|5|1"
equal "lines about it" 1 "$(grep -c 'files are watched' "$work/daemon.err")"
right "5 watches"
for i in {1..20}; do
  printf tampered >>"$work/bin/program$i"
done
right "5 watches, all changed"
alive
stop_daemon

grown_up "$work"
limited max_inotify_instances 0
said 'no inotify' || fail "nobody says that there is no inotify"
wait_sql 60 "SELECT start_done, start_total, watches $newest" "20|20|0"
for i in {1..20}; do
  printf tampered >>"$work/bin/program$i"
done
right "no inotify, all changed"
alive
stop_daemon

#!/usr/bin/env bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# sum works beside a running recorder on the same file, serves what that recorder hashed, and both stay right.
source "$(dirname "$0")/lib.sh"
need_connector
need_cached_fs "$work"

mkdir "$work/bin"
for i in {1..5}; do
  unique "$work/bin/b$i"
done
grown_up "$work/bin"
start_daemon
for i in {1..5}; do
  "$work/bin/b$i" nap 50
done
settled "path GLOB '$work/bin/*'" 5
wait_sql 30 "SELECT count(*) FROM hash WHERE path GLOB '$work/bin/*' AND sha256 IS NOT NULL" 5
ledger sum --stats "$work/bin/"* >"$work/got" 2>"$work/stats" || fail "sum: status $?: $(cat "$work/stats")"
sha256sum "$work/bin/"* | cmp - "$work/got" || fail "sum differs from sha256sum"
tail -n 1 "$work/stats" | grep -Eq '^5 files, 0 hot, 5 from the ledger, 0 read, 0 bytes read in ' ||
  fail "what the recorder hashed was not served: $(cat "$work/stats")"
# Many at once, with writers between.
workers=()
for i in {1..4}; do
  (for j in {1..5}; do
    printf '%s %s' "$i" "$j" >"$work/bin/file-$i"
    [[ $("$PROCLEDGER_BIN/procledger" --db "$db" sum "$work/bin/file-$i") == $(sha256sum "$work/bin/file-$i") ]] || exit 1
  done) &
  workers+=($!)
done
for pid in "${workers[@]}"; do
  wait "$pid" || fail "a sum beside the others was wrong"
done
alive
stop_daemon
equal "integrity" ok "$(sql "PRAGMA integrity_check")"

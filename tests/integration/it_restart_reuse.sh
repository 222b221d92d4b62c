#!/usr/bin/env bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# Stopped and started again: no binary that did not change is read a second time, and one that did is.
source "$(dirname "$0")/lib.sh"
need_connector
need_cached_fs "$work"
need_cached_fs /usr/bin

mkdir "$work/bin"
for i in {1..10}; do
  unique "$work/bin/b$i"
done
grown_up "$work/bin"
run() {
  for i in {1..10}; do
    "$work/bin/b$i" nap 100
  done
}
nothing_pending() { sql_is "SELECT count(*) FROM process_events WHERE hash_state = 'pending'" 0; }
last_run() { sql "SELECT $1 FROM runs ORDER BY time DESC, rowid DESC LIMIT 1" 2>/dev/null || sql "SELECT $1 FROM runs ORDER BY time DESC LIMIT 1"; }

start_daemon
run
settled "path GLOB '$work/bin/*'" 10
wait_until 120 nothing_pending || fail "hashes stay pending"
stop_daemon
at_least "bytes hashed by the first run" 1 "$(sql "SELECT sum(bytes_hashed) FROM runs")"

# Other programs of this machine may start something new meanwhile, which is rightly read: what was read must be what was
# new. A file that is read because somebody touched it is not new, hence three tries for a quiet one; our ten are held to
# it in each. Nor does a living memfd count: what no file system vouches for is never cached (tier C).
quiet=
for try in 1 2 3; do
  hashed_before=$(sql "SELECT count(*) FROM file_history WHERE path GLOB '$work/bin/*'")
  version_before=$(sql "SELECT max(version_id) FROM file_history")
  start_daemon --ignore '/memfd:*'
  run
  settled "path GLOB '$work/bin/*'" $((10 + try * 10))
  wait_until 120 nothing_pending || fail "hashes stay pending"
  stop_daemon
  equal "versions of the ten" "$hashed_before" "$(sql "SELECT count(*) FROM file_history WHERE path GLOB '$work/bin/*'")"
  bytes=$(last_run bytes_hashed)
  new=$(sql "SELECT coalesce(sum(size), 0) FROM (SELECT DISTINCT size, sha256 FROM file_history WHERE version_id > $version_before)")
  hits=$(last_run "hits_hot + hits_ledger")
  at_least "hits of the run" 10 "$hits"
  printf 'try %d: %s bytes read, %s of them of files that are new, %s hits\n' "$try" "$bytes" "$new" "$hits"
  if ((bytes == new)); then
    quiet=$try
    break
  fi
done
[[ $quiet ]] || fail "bytes of known files were read in each of three restarts"
ledger stats >"$work/stats" || fail "stats: status $?"
grep -qiE 'bytes' "$work/stats" || fail "stats does not speak of bytes: $(cat "$work/stats")"

# Changed while nothing ran: read again, and right.
printf x >>"$work/bin/b1"
start_daemon
run
wait_sql 60 "SELECT sha256 FROM process_events WHERE path = '$work/bin/b1' ORDER BY eid DESC LIMIT 1" "$(sha256 "$work/bin/b1")"
wait_sql 60 "SELECT count(DISTINCT sha256) FROM file_history WHERE path = '$work/bin/b1'" 2
stop_daemon
at_least "bytes read after the change" 1 "$(last_run bytes_hashed)"

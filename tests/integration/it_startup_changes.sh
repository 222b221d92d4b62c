#!/usr/bin/env bash
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# A thousand known programs: a restart reads nothing of them; ten that changed while nothing recorded are found when it
# starts again, and are right for whoever asks.
source "$(dirname "$0")/lib.sh"
need_cached_fs "$work"

count=1000
mkdir "$work/bin"
for ((i = 0; i < count; i++)); do
  printf '#!/bin/sh\n# %s\n' "$i" >"$work/bin/p$i"
done
chmod 755 "$work"/bin/*
grown_up "$work/bin"
ignore_elsewhere
options=(--watch "$work/bin" "${elsewhere[@]}")
newest="FROM runs ORDER BY run_id DESC LIMIT 1"
start_daemon "${options[@]}"
wait_sql 120 "SELECT start_done = start_total, files_hashed $newest" "1|$count"
stop_daemon

start_daemon "${options[@]}"
wait_sql 60 "SELECT start_done, start_total, watches >= $count $newest" "$count|$count|1"
stop_daemon
equal "read by a restart" "0|0" "$(sql "SELECT files_hashed, bytes_hashed $newest")"

asked_at=$(sql "SELECT max(last_time) FROM file_history")
for ((i = 0; i < 10; i++)); do
  printf 'tampered\n' >>"$work/bin/p$i"
done
grown_up "$work/bin"
start_daemon "${options[@]}"
wait_sql 60 "SELECT start_done, start_total, files_hashed $newest" "$count|$count|10"
equal "versions that ended meanwhile" "10|10|10|10" "$(sql "SELECT count(*), sum(detected_by = 'startup'),
  sum(end_reason = 'modified'), sum(last_time <= $asked_at AND end_time >= $asked_at)
  FROM file_history WHERE path LIKE '$work/bin/%' AND end_time IS NOT NULL")"
equal "versions that began" "10|10" "$(sql "SELECT count(*), sum(detected_by = 'startup' AND first_time >= $asked_at)
  FROM file_history WHERE end_time IS NULL AND path IN (SELECT path FROM file_history WHERE end_time IS NOT NULL)")"
(cd "$work/bin" && sha256sum p*) >"$work/want"
(cd "$work/bin" && ledger sum p* 2>"$work/note") >"$work/got"
cmp "$work/want" "$work/got" || fail "procledger sum is wrong about a file that changed while nothing ran"
alive
stop_daemon

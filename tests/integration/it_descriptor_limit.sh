#!/usr/bin/env bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# An exhausted descriptor limit: refused with one line, or recorded with what is left; never a crash, never pending for
# ever.
source "$(dirname "$0")/lib.sh"
need_connector

for limit in 6 8 10 12; do
  status=0
  (ulimit -n "$limit" && exec timeout -k 5 -s TERM 3 "$PROCLEDGER_BIN/procledgerd" --watch none --db "$work/limit-$limit.db") \
    >/dev/null 2>"$work/limit.err" {never}>&- </dev/null || status=$?
  # 124: it ran until it was stopped.
  case $status in
  1 | 2 | 3 | 4 | 127) [[ -s $work/limit.err ]] || fail "limit $limit: status $status without a word" ;;
  124) ;;
  *) fail "limit $limit: status $status: $(cat "$work/limit.err")" ;;
  esac
done

mkdir "$work/bin"
for i in {1..60}; do
  unique "$work/bin/b$i"
done
start_through bash -c 'ulimit -n 28; exec "$@"' limited --
pids=()
for i in {1..60}; do
  "$work/bin/b$i" nap 1000 &
  pids+=($!)
done
wait "${pids[@]}"
settled "path GLOB '$work/bin/*'" 60
equal "wrong hashes" 0 "$(
  for i in {1..60}; do
    got=$(sql "SELECT coalesce(sha256, hash_state) FROM process_events WHERE path = '$work/bin/b$i'")
    [[ $got == "$(sha256 "$work/bin/b$i")" || $got == unreadable || $got == vanished ]] || printf '%s\n' "$got"
  done | wc -l
)"
alive
stop_daemon

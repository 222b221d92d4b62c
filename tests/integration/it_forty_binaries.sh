#!/usr/bin/env bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# 40 unique binaries that live 0.1 s each: every one recorded with path, command line, hash and exit code.
source "$(dirname "$0")/lib.sh"
need_connector

start_daemon
said 'ready source=(bpf|netlink) db=' || fail "the proc connector works here, but neither it nor a better one is the source"
mkdir "$work/bin"
for i in {1..40}; do
  unique "$work/bin/program-$i"
done
for i in {1..40}; do
  "$work/bin/program-$i" nap 100 "argument $i"
done
settled "path GLOB '$work/bin/*'" 40
wait_sql 30 "SELECT count(*) FROM process_events WHERE path GLOB '$work/bin/*' AND end_reason IS NULL" 0
used=$(sql "SELECT source FROM runs")
for i in {1..40}; do
  path=$work/bin/program-$i
  equal "row of $path" "$path|$path nap 100 argument $i|[\"$path\",\"nap\",\"100\",\"argument $i\"]|ok|$(sha256 "$path")|0||exit|$used" \
    "$(sql "SELECT path, replace(replace(cmdline, '''', ''), '\"', ''), argv, hash_state, sha256, exit_code, exit_signal, end_reason, source
            FROM process_events WHERE path = '$path'")"
done
equal "filled columns" 40 "$(sql "SELECT count(*) FROM process_events WHERE path GLOB '$work/bin/*' AND eid > 0 AND
  time > 0 AND time_ns BETWEEN 0 AND 999999999 AND at GLOB '20*Z' AND pid > 0 AND ppid = $$ AND cwd = '$PWD' AND
  uid = $UID AND euid = $EUID AND gid IS NOT NULL AND egid IS NOT NULL AND suid = $EUID AND mode IS NOT NULL AND
  name IS NOT NULL AND duration_ns >= 90000000 AND end_time >= time AND boot_id = '$(cat /proc/sys/kernel/random/boot_id)'
  AND mnt_ns IS NOT NULL AND assurance IN ('probed', 'stat')")"
# The same 40 through the program that the ledger comes with.
for i in 1 40; do
  ledger who "$(sha256 "$work/bin/program-$i")" | grep -qF "program-$i" || fail "who SHA256 does not find program-$i"
  ledger who "$work/bin/program-$i" | grep -qF "program-$i" || fail "who PATH does not find program-$i"
done
stop_daemon
equal "clean" 1 "$(sql "SELECT clean FROM runs")"

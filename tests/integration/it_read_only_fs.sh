#!/usr/bin/env bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# A ledger on a read-only file system: the readers read, the recorder says why it cannot record.
source "$(dirname "$0")/lib.sh"
need_root
own_mounts

mkdir "$work/disk"
mount -t tmpfs -o size=64m,mode=755 tmpfs "$work/disk" || skip "tmpfs cannot be mounted here"
db=$work/disk/ledger.db
start_daemon
"$PROCLEDGER_HELPER" nap 300
wait_sql 60 "SELECT count(*) > 0 FROM process_events" 1
stop_daemon
rows=$(sql "SELECT count(*) FROM process_events")
mount -o remount,ro "$work/disk" || skip "tmpfs cannot be remounted read-only here"
before=$(sha256 "$db")
refuses fails 'read-only' "$PROCLEDGER_BIN/procledgerd" --db "$db"
equal "the file" "$before" "$(sha256 "$db")"
ledger runs >"$work/runs" || fail "runs on a read-only file system: status $?"
equal "rows that the shell reads" "$rows" "$(sql "SELECT count(*) FROM process_events")"
ledger log --ndjson >"$work/log" || fail "log on a read-only file system: status $?"
[[ -s $work/log ]] || fail "log is empty"
umount "$work/disk"

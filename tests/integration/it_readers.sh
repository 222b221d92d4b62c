#!/usr/bin/env bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# Plain `sqlite3 -readonly` reads every view with every promised column while the daemon writes.
source "$(dirname "$0")/lib.sh"

declare -A columns=(
  [process_events]="eid, time, time_ns, at, pid, ppid, parent_eid, parent_path, prev_eid, path, path_bytes, filename, name, cmdline, argv, cwd, uid, euid, gid, egid, suid, auid, session, tty, mode, sha256, hash_state, assurance, script_path, script_sha256, flags, exit_code, exit_signal, duration_ns, end_time, end_reason, source, boot_id, mnt_ns, cgroup, container"
  [process_forks]="pid, ppid, image_eid, time, end_time"
  [processes]="eid, time, time_ns, at, pid, ppid, parent_eid, parent_path, prev_eid, path, path_bytes, filename, name, cmdline, argv, cwd, uid, euid, gid, egid, suid, auid, session, tty, mode, sha256, hash_state, assurance, script_path, script_sha256, flags, exit_code, exit_signal, duration_ns, end_time, end_reason, source, boot_id, mnt_ns, cgroup, container"
  [hash]="path, mnt_ns, container, size, md5, sha1, sha256, sha512, hash_state, assurance"
  [binaries]="path, container, sha256, size, first_time, last_time, execs, package"
  [file_history]="path, mnt_ns, container, sha256, size, mode, uid, gid, inode, mtime_ns, ctime_ns, first_time, last_time, end_time, end_reason, detected_by"
  [changes]="change_id, time, at, path, container, class, attention, reasons, old_sha256, new_sha256, last_old_time, first_new_time, old_mode, new_mode, old_uid, new_uid, detected_by, package, package_old_version, package_new_version, runs_before, runs_after, acknowledged"
  [commands]="cmdline, execs, first_time, last_time"
  [gaps]="time, end_time, lost, source, reason"
  [runs]="time, end_time, clean, version, source, boot_id, hostname, machine_id, kernel, executions, lost, files_hashed, bytes_hashed, hits_hot, hits_ledger, watches"
  [about]="key, value"
)

start_daemon
while :; do "$PROCLEDGER_HELPER" spawn 50 "$PROCLEDGER_HELPER" exit 0 >/dev/null; done &
keep $!
# Ready means that events are recorded from now on; the first of them are committed a moment later.
wait_sql 60 "SELECT count(*) > 0 FROM processes" 1
wait_sql 60 "SELECT count(*) > 0 FROM commands" 1
equal "views" 11 "${#columns[@]}"
for round in 1 2 3; do
  for view in "${!columns[@]}"; do
    sql "SELECT ${columns[$view]} FROM $view" >"$work/rows" 2>"$work/error" || fail "$view: $(cat "$work/error")"
    sql "SELECT * FROM $view" >"$work/rows" 2>"$work/error" || fail "SELECT * FROM $view: $(cat "$work/error")"
    case $view in
    process_events | processes | runs | about | commands)
      [[ -s $work/rows ]] || fail "$view is empty while everything runs"
      ;;
    esac
  done
  if ((round == 1)); then
    wait_sql 60 "SELECT count(*) > 0 FROM hash WHERE sha256 IS NOT NULL" 1
    wait_sql 60 "SELECT count(*) > 0 FROM binaries WHERE execs > 0" 1
  fi
done
alive
equal "each view comments each of its columns" "" "$(sql "SELECT name FROM sqlite_schema WHERE type = 'view' AND sql NOT LIKE '%--%'")"
equal "views in the file" "$(printf '%s\n' "${!columns[@]}" | sort)" \
  "$(sql "SELECT name FROM sqlite_schema WHERE type = 'view' ORDER BY name")"
equal "tables that do not start with _" "" \
  "$(sql "SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE '\\_%' ESCAPE '\\' AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\'")"
equal "journal" wal "$(sql "PRAGMA journal_mode")"
equal "auto_vacuum incremental" 2 "$(sql "PRAGMA auto_vacuum")"
[[ $(sql "PRAGMA application_id") != 0 && $(sql "PRAGMA user_version") != 0 ]] || fail "application_id or user_version is 0"
equal "mode of the file" 640 "$(stat -c %a "$db")"
stop_daemon
equal "integrity" ok "$(sql "PRAGMA integrity_check")"

#!/usr/bin/env bash
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# A watched folder: its programs are in the ledger before anybody runs one, and so is whatever becomes of them.
source "$(dirname "$0")/lib.sh"
need_cached_fs "$work"
own_mounts

mkdir "$work/bin" "$work/lib"
for i in {1..40}; do
  unique "$work/bin/program$i"
done
unique "$work/lib/elsewhere"
ln -s ../lib/elsewhere "$work/bin/by-link"
ln -s loop "$work/bin/loop"
ln -s nothing "$work/bin/dangling"
ln -s bin "$work/sbin"
mkfifo "$work/bin/fifo"
mkdir -m 755 "$work/bin/folder"
printf 'no program\n' >"$work/bin/text"
unique "$work/bin/"$'odd\n\xff name'
grown_up "$work"
ignore_elsewhere
start_daemon --watch "$work/bin" --watch "$work/sbin" --watch "$work/nowhere" "${elsewhere[@]}"
wait_sql 60 "SELECT start_done FROM runs WHERE start_total = 42 AND start_done = 42" 42
said "$work/nowhere is not watched" || fail "nobody says that a folder is not there"
equal "stats" "42 42" "$(ledger stats --json | tr -d ' "' | tr ',{}' '\n' | sed -n 's/^start_\(total\|done\)://p' | xargs)"
for file in "$work"/bin/program* "$work/lib/elsewhere"; do
  equal "sha256 of $file" "$(sha256 "$file")|startup" \
    "$(sql "SELECT sha256, detected_by FROM file_history WHERE path = '$file'")"
done
equal "what is no program, or only another name" "42" "$(sql "SELECT count(*) FROM file_history WHERE path LIKE '$work/%'")"
equal "the odd name" 1 "$(sql "SELECT count(*) FROM file_history WHERE path LIKE '$work/bin/odd%' AND path_bytes IS NOT NULL")"

# Nobody runs any of them from here on.
holds() { # FILE REASON: its open version has the bytes that it has now, the one before ended for REASON
  wait_sql 60 "SELECT n.sha256, n.detected_by, o.end_reason FROM file_history n JOIN file_history o USING (path)
    WHERE path = '$1' AND n.end_time IS NULL AND o.end_time IS NOT NULL" "$(sha256 "$1")|inotify|$2"
}
printf tampered >>"$work/bin/program1"
unique "$work/new"
mv "$work/new" "$work/bin/program2"
chmod 4755 "$work/bin/program3"
printf tampered >>"$work/lib/elsewhere"
install -m 755 "$work/bin/program5" "$work/bin/brand-new"
rm "$work/bin/program4"
holds "$work/bin/program1" modified
holds "$work/bin/program2" replaced
holds "$work/bin/program3" modified
holds "$work/lib/elsewhere" modified
wait_sql 60 "SELECT end_reason, detected_by FROM file_history WHERE path = '$work/bin/program4'" "vanished|inotify"
wait_sql 60 "SELECT sha256, detected_by FROM file_history WHERE path = '$work/bin/brand-new'" \
  "$(sha256 "$work/bin/brand-new")|inotify"
equal "executions of them" 0 "$(sql "SELECT count(*) FROM process_events WHERE path LIKE '$work/%'")"

# The folder goes, and its file system with it: no harm.
mkdir "$work/mnt"
mount -t tmpfs none "$work/mnt" || fail "cannot mount a tmpfs"
stop_daemon
unique "$work/mnt/there"
start_daemon --watch "$work/mnt"
wait_sql 60 "SELECT count(*) FROM file_history WHERE path = '$work/mnt/there'" 1
umount "$work/mnt" || fail "the folder cannot be unmounted while it is watched"
wait_sql 60 "SELECT end_reason FROM file_history WHERE path = '$work/mnt/there'" vanished
alive
stop_daemon

#!/usr/bin/env bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# Parent links (kept when the parent is gone), the chain of images in one pid, scripts and their interpreters.
source "$(dirname "$0")/lib.sh"
need_connector

start_daemon
cp "$(readlink -f /bin/sh)" "$work/shell"
unique "$work/child"
# Parent and child: the shell must not turn its last command into an exec.
"$work/shell" -c "$work/child nap 100; exit 3"
settled "path = '$work/child'" 1
wait_sql 30 "SELECT count(*) FROM process_events c JOIN process_events p ON p.eid = c.parent_eid
  WHERE c.path = '$work/child' AND p.path = '$work/shell' AND p.pid = c.ppid AND c.parent_path = p.path" 1
# The test's own shell ran before the daemon did: the start-up snapshot knows it.
wait_sql 30 "SELECT count(*) FROM process_events c JOIN process_events p ON p.eid = c.parent_eid
  WHERE c.path = '$work/shell' AND p.pid = $$ AND p.source = 'snapshot'" 1

# One pid, three images.
for i in 1 2 3; do
  unique "$work/image-$i"
done
"$work/image-1" chain "$work/image-2" chain "$work/image-3" nap 100
settled "path GLOB '$work/image-?'" 3
wait_sql 30 "SELECT count(*) FROM process_events WHERE path GLOB '$work/image-?' AND end_reason IS NULL" 0
equal "the chain" "$work/image-1|exec|
$work/image-2|exec|$work/image-1
$work/image-3|exit|$work/image-2" "$(sql "SELECT e.path, e.end_reason, p.path FROM process_events e
  LEFT JOIN process_events p ON p.eid = e.prev_eid AND p.pid = e.pid WHERE e.path GLOB '$work/image-?' ORDER BY e.eid")"
equal "one pid, one parent" "1|1" "$(sql "SELECT count(DISTINCT pid), count(DISTINCT parent_eid) FROM process_events
  WHERE path GLOB '$work/image-?'")"

# A script: the image that runs is its interpreter, the script stands beside it with its own hash.
printf '#!%s\n%s nap 200\nexit 5\n' "$work/shell" "$work/child" >"$work/script"
chmod +x "$work/script"
"$work/script" one two
wait_sql 60 "SELECT script_path, script_sha256, path, sha256, exit_code FROM process_events
  WHERE path = '$work/shell' AND script_path IS NOT NULL" \
  "$work/script|$(sha256 "$work/script")|$work/shell|$(sha256 "$work/shell")|5"

# tree prints ancestors and descendants by name.
eid=$(sql "SELECT eid FROM process_events WHERE path = '$work/child' ORDER BY eid LIMIT 1")
ledger tree "$eid" >"$work/tree" || fail "tree $eid: status $?"
grep -qF "$work/child" "$work/tree" && grep -qF "$work/shell" "$work/tree" ||
  fail "tree shows not both parent and child: $(cat "$work/tree")"
stop_daemon

#!/usr/bin/env bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# show and tree on real processes: an execution by its number and by its pid; ancestors and descendants, also those
# whose parents are gone or have become another program.
source "$(dirname "$0")/lib.sh"
need_connector

unique "$work/leaf"
unique "$work/next"
# A grandparent that outlives nobody: it starts a child in the background and ends.
cat >"$work/parent" <<END
#!/bin/bash
"$work/leaf" nap 600000 &
echo \$! >"$work/leaf.pid"
END
# A process that starts a child and then becomes another program.
cat >"$work/changing" <<END
#!/bin/bash
"$work/leaf" nap 600000 &
echo \$! >"$work/early.pid"
exec "$work/next" nap 600000
END
chmod 755 "$work/parent" "$work/changing"
start_daemon
"$work/parent"
"$work/changing" &
keep $!
changing=$!
wait_until 60 test -s "$work/early.pid" || fail "the child did not start"
leaf=$(cat "$work/leaf.pid") early=$(cat "$work/early.pid")
keep "$leaf"
keep "$early"
settled "path = '$work/leaf'" 2
settled "path = '$work/next'" 1
wait_sql 60 "SELECT count(*) FROM process_events WHERE script_path = '$work/parent' AND end_time IS NOT NULL" 1

# show: the number of an execution, or of a process.
eid=$(sql "SELECT eid FROM process_events WHERE pid = $leaf AND path = '$work/leaf'")
for how in "--eid $eid" "--pid $leaf"; do
  read -ra words <<<"$how"
  ledger show "${words[@]}" >"$work/out" 2>"$work/err" || fail "show $how: status $?: $(cat "$work/err")"
  grep -qE "^path +$work/leaf\$" "$work/out" || fail "show $how has no path"
  grep -qE "^pid +$leaf\$" "$work/out" || fail "show $how has no pid"
  grep -qE "^sha256 +$(sha256 "$work/leaf")\$" "$work/out" || fail "show $how has no checksum"
  grep -qE "^uid +[0-9]+ \(.+\)\$" "$work/out" || fail "show $how has no user"
  grep -qE '^argv +\["' "$work/out" || fail "show $how has no arguments"
done
ledger show "$leaf" --json >"$work/json" || fail "show of a pid"
equal "the same by a number alone" "$eid" \
  "$(sqlite3 :memory: "SELECT json_extract(value, '\$.eid') FROM json_each(CAST(readfile('$work/json') AS TEXT))
     WHERE json_extract(value, '\$.path') = '$work/leaf'")"
# The process that became another program has one row for each.
ledger show --pid "$changing" --json >"$work/json" || fail "show of a process with two images"
equal "its images, newest first" "next,bash" "$(sqlite3 :memory: "SELECT group_concat(replace(replace(
  json_extract(value, '\$.path'), '$work/', ''), rtrim(json_extract(value, '\$.path'),
  replace(json_extract(value, '\$.path'), '/', '')), '')) FROM json_each(CAST(readfile('$work/json') AS TEXT))")"

# tree of the orphan: its parent is gone, and stands above it all the same.
ledger tree "$leaf" >"$work/out" 2>"$work/err" || fail "tree: status $?: $(cat "$work/err")"
tail -n 1 "$work/out" | grep -q "\`- $leaf $work/leaf " || fail "the orphan is not the leaf: $(cat "$work/out")"
tail -n 2 "$work/out" | head -n 1 | grep -q "ended: 0\].*$work/parent" || fail "its parent is not above it: $(cat "$work/out")"
grep -q "^1 " "$work/out" || fail "process 1 is not on top: $(head -n 1 "$work/out")"
# tree of the parent that is gone.
gone=$(sql "SELECT pid FROM process_events WHERE script_path = '$work/parent'")
grep -q "\`- $leaf $work/leaf " <(ledger tree --pid "$gone") || fail "the descendant does not outlive its parent"
# tree of the process that became another program: both images, and the child of the first.
ledger tree "$changing" >"$work/out" || fail "tree of the changed one"
grep -q "|- $changing .*ended: exec\].*$work/changing" "$work/out" || fail "no first image: $(cat "$work/out")"
grep -q "|  \`- $early $work/leaf " "$work/out" || fail "no child of the first image: $(cat "$work/out")"
grep -q "\`- $changing $work/next " "$work/out" || fail "no second image: $(cat "$work/out")"
# The tree from above holds them all, in JSON with depths.
ledger tree --pid $$ --json >"$work/json" || fail "tree of this script"
equal "depths of leaf, parent and us" "2,1,0" "$(sqlite3 :memory: "SELECT group_concat(d) FROM (
  SELECT json_extract(value, '\$.depth') AS d FROM json_each(CAST(readfile('$work/json') AS TEXT))
  WHERE json_extract(value, '\$.pid') IN ($leaf, $gone, $$) ORDER BY d DESC)")"
refuses 1 'no match' "$PROCLEDGER_BIN/procledger" --db "$db" tree --pid 2147483647
refuses 1 'no match' "$PROCLEDGER_BIN/procledger" --db "$db" show --eid 2147483647
stop_daemon

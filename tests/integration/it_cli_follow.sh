#!/usr/bin/env bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# log -f: shows what is recorded while it runs, each execution once, in whole lines; ends when its reader goes, also
# when nothing happens any more, and on SIGINT.
source "$(dirname "$0")/lib.sh"
need_connector

unique "$work/before"
unique "$work/during"
start_daemon
"$work/before" nap 50
settled "path = '$work/before'" 1
# Under job control, because a shell without it lets its children ignore SIGINT.
set -m
"$PROCLEDGER_BIN/procledger" --db "$db" log -f -S -1h --ndjson >"$work/followed" 2>"$work/err" &
follower=$!
set +m
keep "$follower"
has() { [[ $(grep -c "\"path\":\"$2\"" "$1") == "$3" ]]; }
wait_until 60 has "$work/followed" "$work/before" 1 || fail "what was there before is not shown"
for i in {1..25}; do
  "$work/during" nap 50 "$i"
done
wait_until 60 has "$work/followed" "$work/during" 25 || fail "what came in is not shown"
kill -0 "$follower" || fail "log -f ended by itself"
kill -INT "$follower"
status=0
wait "$follower" || status=$?
equal "status on SIGINT" 130 "$status"
[[ ! -s $work/err ]] || fail "log -f said $(cat "$work/err")"
equal "each once" 25 "$(grep "\"path\":\"$work/during\"" "$work/followed" | grep -o '"eid":[0-9]*' | sort -u | wc -l)"
has "$work/followed" "$work/before" 1 || fail "what was there before is shown twice"
while IFS= read -r line; do
  printf %s "$line" >"$work/line"
  equal "a line" 1 "$(sqlite3 :memory: "SELECT json_valid(CAST(readfile('$work/line') AS TEXT))")"
done < <(tail -n 30 "$work/followed")
[[ $(tail -c 1 "$work/followed" | od -An -tx1) == ' 0a' ]] || fail "the last line is cut"

# A reader that goes: found out by looking, since perhaps nothing comes in any more whose writing would find out; where
# something does, SIGPIPE.
timeout 120 "$PROCLEDGER_BIN/procledger" --db "$db" log -f -n 2 2>"$work/err" | head -n 1 >"$work/first"
status=${PIPESTATUS[0]}
((status == 0 || status == 141)) || fail "log -f | head: status $status"
[[ ! -s $work/err ]] || fail "log -f | head: $(cat "$work/err")"
grep -q '^TIME ' "$work/first" || fail "no header: $(cat "$work/first")"

# -n 0: nothing of before. The header comes with the first row.
"$PROCLEDGER_BIN/procledger" --db "$db" log -f -n 0 >"$work/new" 2>"$work/err" &
follower=$!
keep "$follower"
new() {
  "$work/during" nap 50
  grep -q "$work/during" "$work/new"
}
wait_until 60 new || fail "log -f -n 0 shows nothing"
# Its arguments too: commands of this test that name the program may be shown, they came later.
grep -q "$work/before nap 50" "$work/new" && fail "log -f -n 0 shows what was before"
equal "headers" 1 "$(grep -c '^TIME ' "$work/new")"
kill -TERM "$follower"
wait "$follower" 2>/dev/null
equal "status on SIGTERM" 143 $?
stop_daemon

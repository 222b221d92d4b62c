#!/usr/bin/env bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# Who ran a file: by its path, a path with links in it, its checksum and the beginning of it, as a program and as a
# script; and what a path held, before and after it was replaced.
source "$(dirname "$0")/lib.sh"
need_connector
need_cached_fs "$work"

mkdir "$work/real"
ln -s real "$work/way"
unique "$work/real/tool"
printf '#!/bin/sh\n%q nap 200 %s\n' "$PROCLEDGER_HELPER" "$RANDOM$RANDOM" >"$work/script"
chmod 755 "$work/script"
grown_up "$work"
first=$(sha256 "$work/real/tool") script=$(sha256 "$work/script")
start_daemon
"$work/real/tool" nap 100 1
"$work/way/tool" nap 100 2
cp "$work/real/tool" "$work/copy"
"$work/copy" nap 100 3
"$work/script"
settled "sha256 = '$first'" 3
wait_sql 60 "SELECT count(*) FROM process_events WHERE script_sha256 = '$script'" 1
wait_sql 60 "SELECT sha256 FROM hash WHERE path = '$work/real/tool'" "$first"

numbers() {
  ledger who "$@" --json >"$work/json" 2>"$work/err" || fail "who $*: status $?: $(cat "$work/err")"
  sqlite3 :memory: "SELECT group_concat(json_extract(value, '\$.argv[3]'), '') FROM json_each(CAST(readfile('$work/json') AS TEXT))"
}
wait_sql 60 "SELECT count(*) FROM process_events WHERE sha256 = '$first' AND end_time IS NOT NULL" 3
equal "by path" 12 "$(numbers "$work/real/tool")"
equal "by a path with a link" 12 "$(numbers "$work/way/tool")"
equal "by a relative path" 12 "$(cd "$work/real" && numbers tool)"
equal "by a path with dots" 12 "$(cd "$work/real" && numbers ../way/./tool)"
equal "by checksum, wherever it lay" 123 "$(numbers "$first")"
equal "by its beginning" 123 "$(numbers "${first:0:16}")"
equal "in capitals" 123 "$(numbers "${first^^}")"
ledger who "$work/script" >"$work/out" || fail "who of a script"
at_least "executions of the script" 1 "$(grep -c "$work/script" "$work/out")"
grep -q "$work/script" <(ledger who "$script") || fail "who by the checksum of a script"
grep -q "$first" <(ledger who "$work/real/tool") || fail "who does not show the checksum"
refuses 1 'no match' "$PROCLEDGER_BIN/procledger" --db "$db" who "$work/never"
refuses 1 'no match' "$PROCLEDGER_BIN/procledger" --db "$db" who 0123456789abcdef
refuses 2 "'' is no path" "$PROCLEDGER_BIN/procledger" --db "$db" who ''
# A file that is gone is found by the folder's links too.
rm "$work/copy"
equal "a file that is gone" 3 "$(numbers "$work/copy")"

# Replaced: two versions, the first of them ended.
unique "$work/new"
mv "$work/new" "$work/real/tool"
second=$(sha256 "$work/real/tool")
"$work/real/tool" nap 100 4
settled "sha256 = '$second'" 1
wait_sql 60 "SELECT sha256 FROM hash WHERE path = '$work/real/tool'" "$second"
ledger history "$work/way/tool" --json >"$work/json" || fail "history: status $?"
equal "versions, oldest first" "$first|0,$second|1" "$(sqlite3 :memory: "SELECT group_concat(json_extract(value, '\$.sha256')
  || '|' || (json_extract(value, '\$.end_time') IS NULL)) FROM json_each(CAST(readfile('$work/json') AS TEXT))")"
equal "history -n 1" "$second" "$(ledger history -n 1 --json "$work/real/tool" | grep -o "$second")"
grep -q "$work/real/tool" <(ledger history "$first") || fail "history by checksum"
grep -q "$work/real/tool" <(ledger history "${second:0:12}") || fail "history by the beginning of a checksum"
equal "who ran the second" 4 "$(numbers "$second")"
equal "who ran the path, whatever it held" 124 "$(numbers "$work/real/tool")"
refuses 1 'no match' "$PROCLEDGER_BIN/procledger" --db "$db" history "$work/never"
# files: the current version, by path.
ledger files --csv >"$work/csv" || fail "files"
equal "the tracked version" 1 "$(grep -c "^$work/real/tool,.*$second" "$work/csv")"
grep -q "^$work/real/tool,.*$first" "$work/csv" && fail "files shows an old version"
ledger files --json >"$work/json" || fail "files --json"
equal "paths of files that are not in order" 0 "$(sqlite3 :memory: "SELECT count(*) FROM (
  SELECT json_extract(value, '\$.path') AS path, lag(json_extract(value, '\$.path')) OVER (ORDER BY key) AS before
  FROM json_each(CAST(readfile('$work/json') AS TEXT))) WHERE before > path")"
stop_daemon

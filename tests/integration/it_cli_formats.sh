#!/usr/bin/env bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# Every list of procledger, in every format, over one ledger of the real recorder: the table has its header, JSON is one
# valid array, ndjson one valid object a line, CSV has as many fields in each row as in its header, and all four tell of
# the same rows.
source "$(dirname "$0")/lib.sh"
need_connector

unique "$work/program"
mkdir "$work/odd"
odd=$'with "quote", comma and\ttab'
unique "$work/odd/$odd"
start_daemon
"$work/program" nap 50
"$work/odd/$odd" nap 50 $'an\nargument'
wait_sql 60 "SELECT count(*) FROM process_events WHERE path LIKE '$work/%' AND end_time IS NOT NULL" 2
wait_sql 60 "SELECT count(*) FROM hash WHERE path LIKE '$work/%' AND sha256 IS NOT NULL" 2
# A recorder that is killed leaves a gap.
kill -KILL "$daemon"
wait "$daemon" 2>/dev/null
start_daemon
wait_sql 60 "SELECT count(*) FROM gaps" 1
wait_sql 60 "SELECT count(*) FROM runs" 2
# Whatever starts from here on is beside the window.
until_time=$(sql "SELECT max(time) FROM process_events")
stop_daemon
eid=$(sql "SELECT eid FROM process_events WHERE path = '$work/program'")

lists=(ps "log -U @$until_time" "show $eid" "tree --eid $eid" "who $work/program" "history $work/program" files gaps runs
  stats doctor)
headers=(PID TIME '' '' TIME FIRST SHA256 FROM START '' KIND)
count_json() { sqlite3 :memory: "SELECT json_array_length(CAST(readfile('$1') AS TEXT))"; }

for i in "${!lists[@]}"; do
  read -ra words <<<"${lists[i]}"
  what=${lists[i]}
  for format in '' --json --ndjson --csv; do
    status=0
    ledger "${words[@]}" ${format:+"$format"} >"$work/out$format" 2>"$work/err" || status=$?
    # doctor: 1 means that something is missing on this machine.
    ((status == 0 || (status == 1 && ${#words[@]} == 1 && i == ${#lists[@]} - 1))) ||
      fail "$what $format: status $status: $(cat "$work/err")"
    grep -qv 'answer may be partial\|recorder is not running' "$work/err" && fail "$what $format said $(cat "$work/err")"
    [[ -s $work/out$format ]] || fail "$what $format printed nothing"
  done
  if [[ ${headers[i]} ]]; then
    grep -qE "^ *${headers[i]} " "$work/out" || fail "$what: no header ${headers[i]}: $(head -n 1 "$work/out")"
  fi
  equal "$what --json is an array" array "$(sqlite3 :memory: "SELECT json_type(CAST(readfile('$work/out--json') AS TEXT))")"
  rows=$(count_json "$work/out--json")
  at_least "rows of $what" 1 "$rows"
  equal "$what: lines of --ndjson" "$rows" "$(wc -l <"$work/out--ndjson")"
  { printf '[' && paste -sd, "$work/out--ndjson" && printf ']'; } >"$work/joined"
  equal "$what: objects of --ndjson" "$rows" "$(count_json "$work/joined")"
  equal "$what: --ndjson and --json" 1 "$(sqlite3 :memory: \
    "SELECT json(CAST(readfile('$work/joined') AS TEXT)) = json(CAST(readfile('$work/out--json') AS TEXT))")"
  # The shell's own reader of CSV: a table of the same rows and columns.
  printf '.import --csv %s t\nSELECT count(*) FROM t;\nSELECT count(*) FROM pragma_table_info(%s);\n' \
    "$work/out--csv" "'t'" | sqlite3 -batch :memory: >"$work/imported" 2>"$work/err" || fail "$what --csv: $(cat "$work/err")"
  [[ ! -s $work/err ]] || fail "$what --csv is uneven: $(head -n 3 "$work/err")"
  equal "$what: rows of --csv" "$rows" "$(sed -n 1p "$work/imported")"
  equal "$what: columns of --csv" "$(sqlite3 :memory: \
    "SELECT count(*) FROM json_each(CAST(readfile('$work/out--json') AS TEXT), '\$[0]')")" "$(sed -n 2p "$work/imported")"
  equal "$what: lines of --csv that end in CR LF" "$((rows + 1))" "$(grep -c $'\r$' "$work/out--csv")"
  case $what in
  show* | tree* | stats) ;;
  *) equal "$what: lines of the table" "$((rows + 1))" "$(wc -l <"$work/out")" ;;
  esac
done

# The odd name and argument: exact in JSON, where SQLite itself reads them.
ledger who "$work/odd/$odd" --json >"$work/json" || fail "who of an odd name"
equal "argument in JSON" $'an\nargument' \
  "$(sqlite3 :memory: "SELECT json_extract(CAST(readfile('$work/json') AS TEXT), '\$[0].argv[3]')")"
# --utc says so, and local time follows TZ.
grep -qE '[0-9]{2}:[0-9]{2}:[0-9]{2}Z' <(ledger runs -n 1 --utc) || fail "--utc shows no Z"
start=$(sql "SELECT min(time) FROM runs")
shown=$(TZ=XYZ-3 "$PROCLEDGER_BIN/procledger" --db "$db" runs | sed -n 2p)
[[ $shown == "$(TZ=XYZ-3 date -d "@$start" '+%Y-%m-%d %H:%M:%S')"* ]] || fail "local time: $shown"

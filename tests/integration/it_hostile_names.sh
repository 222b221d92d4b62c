#!/usr/bin/env bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# Names and arguments with newline, ESC, bidi controls and invalid UTF-8: exact in the file, harmless on the terminal,
# valid in JSON.
source "$(dirname "$0")/lib.sh"
need_connector

mkdir "$work/bin"
names=($'new\nline' $'esc\e[31mred' $'bidi\u202egnp.exe' $'bad\xff\xfeutf8' $'c1\xc2\x9bcontrol' 'x (deleted)' 'tab	and space' "quote'\"")
# The shell may run in a locale without UTF-8: the bidi control by its bytes.
names[2]=$'bidi\xe2\x80\xaegnp.exe'
start_daemon
i=0
for odd in "${names[@]}"; do
  unique "$work/bin/$odd"
  "$work/bin/$odd" nap 60000 "argument $odd" &
  keep $!
  pids[i++]=$!
done
n=${#names[@]}
settled "path GLOB '$work/bin/*' OR CAST(path_bytes AS TEXT) GLOB '$work/bin/*'" "$n"
for ((i = 0; i < n; i++)); do
  exact=$(printf %s "$work/bin/${names[i]}" | od -An -v -tx1 | tr -d ' \n')
  equal "bytes, hash and argument of ${names[i]@Q}" "${exact^^}|$(sha256 "$work/bin/${names[i]}")|1" \
    "$(sql "SELECT hex(coalesce(path_bytes, path)), sha256, json_array_length(argv) = 4 FROM process_events WHERE pid = ${pids[i]}")"
done
# A name with nothing odd in it has no bytes beside it; one with a space is text as it is.
equal "x (deleted)" "$work/bin/x (deleted)|" "$(sql "SELECT path, path_bytes FROM process_events WHERE pid = ${pids[5]}")"

clean() { # FILE WHAT: nothing that a terminal obeys, and valid UTF-8
  ! grep -aqP '[\x00-\x08\x0b-\x1f\x7f]|\xe2\x80\xae|\xc2\x9b|\xff' "$1" || fail "$2 lets control characters through"
  iconv -f UTF-8 -t UTF-8 "$1" >/dev/null 2>&1 || fail "$2 is not valid UTF-8"
}
for command in ps log files "history $work/bin/x (deleted)"; do
  if [[ $command == history* ]]; then
    ledger history "$work/bin/x (deleted)" >"$work/out" || fail "$command: status $?"
  else
    ledger "$command" >"$work/out" || fail "$command: status $?"
  fi
  clean "$work/out" "$command"
done
for odd in "${names[@]}"; do
  ledger who "$work/bin/$odd" >"$work/out" || fail "who ${odd@Q}: status $?"
  clean "$work/out" "who ${odd@Q}"
  at_least "lines of who ${odd@Q}" 1 "$(wc -l <"$work/out")"
done
for pid in "${pids[@]}"; do
  ledger show "$pid" >"$work/out" || fail "show $pid: status $?"
  clean "$work/out" "show $pid"
done
ledger log --json >"$work/json" || fail "log --json: status $?"
equal "json is valid" 1 "$(sqlite3 :memory: "SELECT json_valid(CAST(readfile('$work/json') AS TEXT))")"
equal "json is an array" array "$(sqlite3 :memory: "SELECT json_type(CAST(readfile('$work/json') AS TEXT))")"
clean "$work/json" "log --json"
ledger log --ndjson >"$work/ndjson" || fail "log --ndjson: status $?"
clean "$work/ndjson" "log --ndjson"
while IFS= read -r line; do
  printf '%s' "$line" >"$work/line"
  equal "line of ndjson is valid" 1 "$(sqlite3 :memory: "SELECT json_valid(CAST(readfile('$work/line') AS TEXT))")"
done < <(grep -aF "$work/bin" "$work/ndjson")
ledger log --csv >"$work/csv" || fail "log --csv: status $?"
iconv -f UTF-8 -t UTF-8 "$work/csv" >/dev/null || fail "csv is not valid UTF-8"
stop_daemon

#!/usr/bin/env bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# The help of every command has an example, and the example runs.
source "$(dirname "$0")/lib.sh"

start_daemon
"$PROCLEDGER_HELPER" exit 0
wait_sql 60 "SELECT count(*) > 0 FROM process_events" 1
cd "$work" || exit 1
ledger --help >"$work/all" || fail "--help: status $?"
mapfile -t commands < <(sed -n 's/^  \([a-z][a-z]*\) .*/\1/p' "$work/all")
equal "commands" "ps log show tree who history files gaps runs stats sum doctor help" "${commands[*]}"

# The examples say "procledger".
mkdir "$work/bin"
ln -s "$PROCLEDGER_BIN/procledger" "$work/bin/procledger"
export PATH=$work/bin:$PATH PROCLEDGER_DB=$db
for command in "${commands[@]}"; do
  procledger help "$command" >"$work/help" || fail "help $command: status $?"
  procledger "$command" --help | cmp - "$work/help" || fail "$command --help is another text"
  grep -q "^Usage: procledger $command" "$work/help" || fail "help $command: no usage"
  mapfile -t examples < <(sed -n 's/^Example: //p' "$work/help")
  at_least "examples of $command" 1 "${#examples[@]}"
  for example in "${examples[@]}"; do
    [[ $example == "procledger $command"* ]] || fail "the example of $command is '$example'"
    status=0
    timeout 300 bash -c "$example" >"$work/out" 2>"$work/err" </dev/null || status=$?
    # 1: the example's pid or file may not be there.
    ((status == 0 || status == 1)) || fail "'$example': status $status: $(cat "$work/err")"
    grep -Eq 'unknown|means nothing|needs|takes no|Usage' "$work/err" && fail "'$example' said $(cat "$work/err")"
    # Nor is doctor's state that of this test, nor are there files alone in /usr/bin.
    if ((status == 1)) && [[ $command != doctor ]]; then
      grep -qE 'no match|Is a directory' "$work/err" || fail "'$example': status 1, and $(cat "$work/err")"
    fi
  done
done
[[ -s $work/files.csv ]] || fail "the example of files wrote no files.csv"
stop_daemon

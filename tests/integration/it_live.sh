#!/usr/bin/env bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# --live prints one line an execution as it happens; the ready line comes first; SIGINT ends it cleanly; a reader that
# goes away does not.
source "$(dirname "$0")/lib.sh"
need_connector

unique "$work/shown"
mkfifo "$work/pipe"
touch "$work/daemon.err"
"$PROCLEDGER_BIN/procledgerd" --db "$db" --watch none --live >"$work/pipe" 2>"$work/daemon.err" {never}>&- &
daemon=$!
exec {live}<"$work/pipe"
lines_before=0
wait_until 60 ready_or_gone || fail "not ready"
grep -qE "^procledgerd: ready source=(bpf|netlink) db=$db\$" "$work/daemon.err" || fail "no ready line"
"$work/shown" nap 500 'with two words' &
keep $!
found=
while IFS= read -rt 60 -u "$live" line; do
  case $line in
  *"$work/shown"*)
    found=$line
    break
    ;;
  esac
done
[[ $found ]] || fail "no line for the program that ran"
digest=$(sha256 "$work/shown")
[[ $found == *"${digest:0:8}"* ]] || fail "the line does not show the checksum: $found"
printf '%s\n' "$found"
# Nobody reads any more: recording goes on.
exec {live}<&-
unique "$work/unseen"
"$work/unseen" nap 100
settled "path = '$work/unseen'" 1
stop_daemon INT
equal "clean" 1 "$(sql "SELECT clean FROM runs")"

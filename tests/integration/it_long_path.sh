#!/usr/bin/env bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# A program whose absolute path has 4,095 bytes, started by a relative name.
source "$(dirname "$0")/lib.sh"
need_connector

start_daemon
mkdir "$work/deep"
unique "$work/helper"
length=$("$work/helper" deep "$work/deep" 4095) || fail "cannot make the path"
equal "length that was made" 4095 "$length"
where="path GLOB '$work/deep/*'"
settled "$where" 1
wait_sql 30 "SELECT end_reason FROM process_events WHERE $where" exit
equal "row" "4095|ok|$(sha256 "$work/helper")|0" \
  "$(sql "SELECT length(path), hash_state, sha256, exit_code FROM process_events WHERE $where")"
long=$(sql "SELECT path FROM process_events WHERE $where")
ledger who "$long" >"$work/who" || fail "who: status $?"
ledger log --ndjson >"$work/log" || fail "log: status $?"
grep -qF "$long" "$work/log" || fail "log --ndjson does not have the whole path"
stop_daemon

#!/usr/bin/env bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# --ignore PATTERN leaves paths out, and the file says that it does.
source "$(dirname "$0")/lib.sh"
need_connector

mkdir "$work/quiet" "$work/loud"
unique "$work/quiet/one"
unique "$work/loud/two"
start_daemon --ignore "$work/quiet/*" --ignore '/nowhere/*'
"$work/quiet/one" nap 100
"$work/loud/two" nap 100
settled "path GLOB '$work/loud/*'" 1
equal "ignored" 0 "$(sql "SELECT count(*) FROM process_events WHERE path GLOB '$work/quiet/*'")"
equal "ignored, as file" 0 "$(sql "SELECT count(*) FROM file_history WHERE path GLOB '$work/quiet/*'")"
sql "SELECT key, value FROM about" | grep -qF "$work/quiet/*" || fail "about does not name the ignored pattern"
stop_daemon

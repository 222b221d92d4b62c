#!/usr/bin/env bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# An exec that failed never enters the ledger, whatever it failed of.
source "$(dirname "$0")/lib.sh"
need_connector

start_daemon
unique "$work/tries"
unique "$work/no-permission" && chmod 644 "$work/no-permission"
printf '\177ELFgarbage' >"$work/no-elf" && chmod 755 "$work/no-elf"
printf '#!%s\n' "$work/missing-interpreter" >"$work/no-interpreter" && chmod 755 "$work/no-interpreter"
mkdir "$work/folder"
for file in missing no-permission no-elf no-interpreter folder; do
  "$work/tries" try-exec "$work/$file" 300 >"$work/why" || fail "the exec of $file did not fail"
done
settled "path = '$work/tries'" 5
equal "rows of what never ran" 0 "$(sql "SELECT count(*) FROM process_events WHERE path GLOB '$work/no-*' OR path = '$work/missing'
  OR path = '$work/folder' OR filename GLOB '$work/no-*' OR script_path GLOB '$work/no-*'")"
equal "none of the five was replaced" 0 "$(sql "SELECT count(*) FROM process_events WHERE path = '$work/tries' AND end_reason = 'exec'")"
stop_daemon

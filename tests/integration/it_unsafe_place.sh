#!/usr/bin/env bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# A folder or a file that others can write is refused: whoever could swap the ledger could forge it.
source "$(dirname "$0")/lib.sh"

mkdir "$work/open" && chmod 777 "$work/open"
refuses fails 'writ' "$PROCLEDGER_BIN/procledgerd" --db "$work/open/ledger.db"
[[ -z $(ls -A "$work/open") ]] || fail "something was made in the open folder: $(ls -A "$work/open")"
# With the sticky bit others cannot replace it.
chmod 1777 "$work/open"
db=$work/open/ledger.db
start_daemon
stop_daemon
equal "mode" 640 "$(stat -c %a "$db")"
chmod 777 "$work/open"
refuses 2 'writ' "$PROCLEDGER_BIN/procledger" --db "$db" log
chmod 755 "$work/open"
ledger runs >/dev/null || fail "runs: status $?"
chmod 666 "$db"
refuses 2 'writ' "$PROCLEDGER_BIN/procledger" --db "$db" log
refuses fails 'writ' "$PROCLEDGER_BIN/procledgerd" --db "$db"
chmod 640 "$db"
if ((EUID == 0)); then
  chown 12345 "$db"
  refuses 2 'own' "$PROCLEDGER_BIN/procledger" --db "$db" log
  refuses fails 'own' "$PROCLEDGER_BIN/procledgerd" --db "$db"
else
  printf 'not root: the case of a file that a third user owns was left out\n'
fi

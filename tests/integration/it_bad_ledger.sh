#!/usr/bin/env bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# Garbage, a truncated, damaged or newer ledger, a file that is none, no file, no permission: one clear line, the right
# status, and not one byte of the file changed.
source "$(dirname "$0")/lib.sh"

start_daemon
for i in {1..30}; do "$PROCLEDGER_HELPER" exit "$i"; done
wait_sql 60 "SELECT count(*) > 0 FROM process_events" 1
stop_daemon
good=$work/good.db
sqlite3 "$db" "VACUUM INTO '$good'" || fail "cannot copy the ledger"
size=$(stat -c %s "$good")
at_least "size of a ledger" 20000 "$size"

bad() { # WHAT FILE STATUS-OF-procledger REGEX
  local before
  chmod 640 "$2"
  before=$(sha256 "$2")
  refuses "$3" "$4" "$PROCLEDGER_BIN/procledger" --db "$2" log
  refuses "$3" "$4" "$PROCLEDGER_BIN/procledger" --db "$2" stats
  equal "$1: the file after procledger" "$before" "$(sha256 "$2")"
  refuses fails "$4" "$PROCLEDGER_BIN/procledgerd" --db "$2"
  equal "$1: the file after procledgerd" "$before" "$(sha256 "$2")"
  refuses fails "$4" "$PROCLEDGER_BIN/procledger" --db "$2" sum /bin/true
  equal "$1: the file after sum" "$before" "$(sha256 "$2")"
}

head -c 65536 /dev/urandom >"$work/garbage.db"
bad garbage "$work/garbage.db" 4 'garbage\.db.*(damaged|not a ledger)|(damaged|not a ledger).*garbage\.db'
printf 'just a text\n' >"$work/text.db"
bad text "$work/text.db" 4 'damaged|not a ledger|too short to be a ledger'
head -c $((size / 2 + 100)) "$good" >"$work/half.db"
bad "half a ledger" "$work/half.db" 4 'damaged|truncated'
head -c 60 "$good" >"$work/stub.db"
bad "a stub" "$work/stub.db" 4 'damaged|not a ledger|too short to be a ledger'
cp "$good" "$work/holes.db"
head -c $((size - 4096)) /dev/urandom | dd of="$work/holes.db" bs=4096 seek=1 conv=notrunc status=none
bad "overwritten behind the first page" "$work/holes.db" 4 'damaged|malformed'
cp "$good" "$work/newer.db"
sqlite3 "$work/newer.db" "PRAGMA user_version = 9999"
bad newer "$work/newer.db" 4 'newer'
sqlite3 "$work/foreign.db" "CREATE TABLE diary (day, text); INSERT INTO diary VALUES ('monday', 'rain')"
bad "another program's database" "$work/foreign.db" 4 'not a ledger|damaged'
equal "the diary" rain "$(sqlite3 "$work/foreign.db" "SELECT text FROM diary")"

refuses 2 'no such|missing\.db' "$PROCLEDGER_BIN/procledger" --db "$work/missing.db" log
[[ ! -e $work/missing.db ]] || fail "log made a file"
mkdir "$work/folder.db"
refuses 4 'folder\.db' "$PROCLEDGER_BIN/procledger" --db "$work/folder.db" log
refuses fails 'folder\.db' "$PROCLEDGER_BIN/procledgerd" --db "$work/folder.db"
refuses fails 'nowhere' "$PROCLEDGER_BIN/procledgerd" --db "$work/nowhere/ledger.db"
[[ ! -e $work/nowhere ]] || fail "a folder was made that nobody asked for"
if ((EUID == 0)); then
  # As somebody who may not read it.
  cp "$good" "$work/secret.db"
  chmod 600 "$work/secret.db"
  chmod 711 "$work"
  cp "$PROCLEDGER_BIN/procledger" "$work/procledger" && chmod 755 "$work/procledger"
  refuses 2 'permission' setpriv --reuid 65534 --regid 65534 --clear-groups "$work/procledger" --db "$work/secret.db" log
else
  printf 'not root: the case of a reader without permission was left out\n'
fi

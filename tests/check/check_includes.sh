#!/usr/bin/env bash
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# Includes run down only: tools > ledger > ledger/store > src/process > src/file > src/base > include. And: sqlite3.h
# stays in ledger/store, libinotifytools in the watcher, the own header comes first.
set -euo pipefail
cd "${PROCLEDGER_SOURCE:-$(dirname "$0")/../..}"

floor() { # PATH: the number of its floor, 0 at the bottom; nothing for what is on no floor
  case $1 in
  include/* | procledger/*) echo 0 ;;
  src/base/*) echo 1 ;;
  src/file/*) echo 2 ;;
  src/process/*) echo 3 ;;
  schema/*) echo 3 ;; # generated, includes nothing
  ledger/store/*) echo 4 ;;
  ledger/*) echo 5 ;;
  tools/*) echo 6 ;;
  esac
}

bad=0
say() {
  printf '%s\n' "$*"
  bad=$((bad + 1))
}

seen=0
while IFS=: read -r file line text; do
  included=$(sed -E 's/^[[:space:]]*#[[:space:]]*include[[:space:]]*["<]([^">]+)[">].*/\1/' <<<"$text")
  seen=$((seen + 1))
  case $included in
  sqlite3.h | sqlite3ext.h)
    [[ $file == ledger/store/* ]] || say "$file:$line: sqlite3.h outside of ledger/store"
    ;;
  inotifytools/*)
    [[ $file == src/file/watcher*.c ]] || say "$file:$line: libinotifytools outside of the watcher"
    ;;
  */*.h)
    to=$(floor "$included")
    from=$(floor "$file")
    if [[ -z $to ]]; then
      # A system header with a folder, or a path that is not from the root.
      if [[ $text == *\"* && $included != schema/* ]]; then
        say "$file:$line: \"$included\" does not carry its room"
      fi
    elif ((to > from)); then
      say "$file:$line: includes $included, which is above it"
    fi
    ;;
  *.h)
    [[ $text != *\"* ]] || say "$file:$line: \"$included\" does not carry its room"
    ;;
  esac
done < <(grep -rnE --include='*.[ch]' '^[[:space:]]*#[[:space:]]*include[[:space:]]*["<]' include src ledger tools)

# src/ and include/ must not even speak of SQLite's types.
while IFS= read -r hit; do
  say "$hit: a type of SQLite below ledger/store"
done < <(grep -rnE --include='*.[ch]' '\bsqlite3(_[a-z0-9]+)? \*' include src || true)
while IFS= read -r hit; do
  say "$hit: a type of SQLite in a header that others see"
done < <(grep -rnE '\bsqlite3(_[a-z0-9]+)? \*' ledger/*.h ledger/store/{store,writer,query,files,executions}.h || true)

# A .c file with a header of its own includes it before anything else.
while IFS= read -r source; do
  header=${source%.c}.h
  [[ -e $header ]] || continue
  first=$(grep -m1 -E '^[[:space:]]*#[[:space:]]*include' "$source" || true)
  [[ $first == *"\"$header\""* ]] || say "$source: its own header is not its first include"
done < <(find src ledger tools -name '*.c')

if ((seen < 50)); then
  say "only $seen includes found: this check looks in the wrong place"
fi
printf '%d includes read, %d against the rules\n' "$seen" "$bad"
exit $((bad != 0))

#!/usr/bin/env bash
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# What the house style rules out and grep can find: marks of unfinished work, sleeps, SQL outside of schema/, paths of
# somebody's machine, scripts that do not parse, and files that grew past all bounds.
set -euo pipefail
cd "${PROCLEDGER_SOURCE:-$(dirname "$0")/../..}"

bad=0
none() { # WHAT, then grep's arguments: no hit may come
  local what=$1 hits
  shift
  hits=$(grep -rnE "$@" || true)
  if [[ $hits ]]; then
    printf '%s:\n%s\n' "$what" "$hits"
    bad=$((bad + 1))
  fi
}

none "unfinished work" --include='*.[ch]' --include='*.sql' --include='*.sh' --include='CMakeLists.txt' \
  '\b(TODO|FIXME|XXX|HACK)\b' include src ledger schema tools tests --exclude=check_house.sh
none "sleeps in the product" --include='*.[ch]' '\b(usleep|sleep)\(' include src ledger tools
none "sleeps in the tests" --include='*.[ch]' '\b(usleep|sleep)\(' tests/unit tests/support
none "sleeps in the scripts" --include='*.sh' '^[^#]*\bsleep [0-9]' tests/integration
none "#ifdef for an optional part" --include='*.c' '^[[:space:]]*#[[:space:]]*if(def)? .*HAVE_' src ledger tools
none "system() and popen()" --include='*.c' '\b(system|popen)\(' include src ledger tools
none "a .c file included" --include='*.[ch]' '#[[:space:]]*include.*\.c"' include src ledger tools tests
none "gets, sprintf, strcpy, strcat" --include='*.[ch]' '\b(gets|sprintf|vsprintf|strcpy|strcat)\(' include src ledger tools

while IFS= read -r -d '' script; do
  if ! bash -n "$script"; then
    printf '%s: does not parse\n' "$script"
    bad=$((bad + 1))
  fi
done < <(find tests -name '*.sh' -print0; find tools/run tools/test tools/bench tools/fuzz-stale tools/setup .ci/run -print0)

while IFS= read -r -d '' file; do
  lines=$(wc -l <"$file")
  if ((lines > 1000)); then
    printf '%s: %d lines: it wants to be two rooms\n' "$file" "$lines"
    bad=$((bad + 1))
  fi
done < <(find src ledger tools include -name '*.[ch]' -print0)

# Every test that the table of SEED-BEHAVIOURS names exists, and none is named that does not.
while IFS= read -r word; do
  if ! grep -rqE "\b$word\b" tests/unit tests/integration && [[ ! -e tests/integration/$word.sh && ! -e tests/check/$word.sh ]]; then
    printf 'tests/README.md names %s, which no test is called\n' "$word"
    bad=$((bad + 1))
  fi
done < <(sed -n '/^## The seed/,/^## /p' tests/README.md | grep -oE '`(test|it|check)_[a-z0-9_]+`' | tr -d '`' | sort -u)
printf '%d rules broken\n' "$bad"
exit $((bad != 0))

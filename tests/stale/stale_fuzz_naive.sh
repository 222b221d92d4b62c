#!/usr/bin/env bash
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# The fuzzer sees what it is for: with a prober that trusts stat alone (tests/stale/fuzz/probe_naive.c) it finds a stale
# answer on ext4 and on tmpfs. How operations interleave is the kernel's affair, so a seed that finds nothing is followed
# by the next; one is enough as a rule, ten are never needed.
set -euo pipefail
name=stale_fuzz_naive
seeds=10
skip() {
  printf 'SKIPPED: %s: %s\n' "$name" "$*"
  exit 77
}
: "${PROCLEDGER_BUILD:?run the tests through ctest, or set PROCLEDGER_BUILD to the build folder}"
source=${PROCLEDGER_SOURCE:-$(dirname "$0")/../..}
((EUID == 0)) || skip "needs root"

for fs in ext4 tmpfs; do
  for ((seed = 1; ; seed++)); do
    status=0
    said=$("$source/tools/fuzz-stale" --naive --build "$PROCLEDGER_BUILD" --operations 20000 --fs "$fs" \
      --seed "$seed") || status=$?
    ((status != 77)) || skip "${said#*SKIPPED: } ($fs)"
    if ((status == 1)) && grep -q "^$fs: STALE " <<<"$said"; then
      grep "^$fs: " <<<"$said"
      break
    fi
    if ((status != 0 || seed == seeds)); then
      printf '%s\nFAILED: %s: status %d on %s with seed %d, and no stale answer\n' "$said" "$name" "$status" "$fs" "$seed"
      exit 1
    fi
  done
done

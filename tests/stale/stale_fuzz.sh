#!/usr/bin/env bash
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# Case 49 of the never-stale protocol, in short: 20,000 seeded operations on each of five file systems, and no stale
# answer. tools/fuzz-stale --operations 1000000 is the long one. On overlayfs files rest for 2 s before they are kept:
# three times as many there.
set -euo pipefail
name=stale_fuzz
skip() {
  printf 'SKIPPED: %s: %s\n' "$name" "$*"
  exit 77
}
: "${PROCLEDGER_BUILD:?run the tests through ctest, or set PROCLEDGER_BUILD to the build folder}"
source=${PROCLEDGER_SOURCE:-$(dirname "$0")/../..}
((EUID == 0)) || skip "needs root"

skipped=
for what in 20000:ext4 20000:xfs 20000:btrfs 60000:overlay 20000:tmpfs; do
  status=0
  said=$("$source/tools/fuzz-stale" --build "$PROCLEDGER_BUILD" --operations "${what%:*}" --fs "${what#*:}" --seed 1) ||
    status=$?
  printf '%s\n' "$said"
  case $status in
  0) ;;
  77) skipped+="; ${said#*SKIPPED: } (${what#*:})" ;;
  *)
    printf 'FAILED: %s: status %d on %s\n' "$name" "$status" "${what#*:}"
    exit 1
    ;;
  esac
done
[[ -z $skipped ]] || skip "no stale answer, but not everywhere${skipped}"

#!/usr/bin/env bash
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# Every C file is as .clang-format wants it.
set -euo pipefail
cd "${PROCLEDGER_SOURCE:-$(dirname "$0")/../..}"

if ! command -v clang-format >/dev/null; then
  printf 'SKIPPED: check_format: clang-format is not installed\n'
  exit 77
fi
mapfile -d '' files < <(find include src ledger tools tests -name '*.[ch]' -print0 | sort -z)
if ((${#files[@]} < 30)); then
  printf 'only %d files found: this check looks in the wrong place\n' "${#files[@]}"
  exit 1
fi
clang-format --version
# Names, not every column of every line: `clang-format -i` is the remedy anyway.
bad=0
for file in "${files[@]}"; do
  if ! clang-format --dry-run -Werror "$file" 2>/dev/null; then
    printf '%s: not as .clang-format wants it; clang-format -i %s\n' "$file" "$file"
    bad=$((bad + 1))
  fi
done
printf '%d files read, %d to be formatted\n' "${#files[@]}" "$bad"
exit $((bad != 0))

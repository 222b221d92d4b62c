#!/usr/bin/env bash
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# Every file of ours that can carry it has the SPDX line within its first three lines.
set -euo pipefail
cd "${PROCLEDGER_SOURCE:-$(dirname "$0")/../..}"

bad=0
seen=0
while IFS= read -r -d '' file; do
  case $file in
  ./LICENSE | *.json | *.md | ./.gitignore | ./.clang-format | ./.editorconfig) continue ;; # no comments, or no code
  esac
  seen=$((seen + 1))
  if ! head -n 3 "$file" | grep -q 'SPDX-License-Identifier: LGPL-2\.1-or-later'; then
    printf '%s: no SPDX line\n' "$file"
    bad=$((bad + 1))
  fi
done < <(find . \( -path ./build -o -path ./.git \) -prune -o -type f -print0)
if ((seen < 30)); then
  printf 'only %d files found: this check looks in the wrong place\n' "$seen"
  bad=$((bad + 1))
fi
printf '%d files read, %d without the line\n' "$seen" "$bad"
exit $((bad != 0))

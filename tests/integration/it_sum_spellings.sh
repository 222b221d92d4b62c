#!/usr/bin/env bash
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# A file that is asked for by many spellings of its path has one history, under its own name.
source "$(dirname "$0")/lib.sh"
need_cached_fs "$work"
unique "$work/program"
ln -s program "$work/link"
mkdir "$work/folder"
grown_up "$work"
ledger sum "$work/program" >/dev/null
ledger sum "$work/link" "$work/folder/../program" "$work/./program" >"$work/sums" || fail "sum: status $?"
equal "different sums" 1 "$(cut -d' ' -f1 "$work/sums" | sort -u | wc -l)"
equal "rows" "$work/program" "$(sql "SELECT group_concat(path, ' ') FROM file_history")"

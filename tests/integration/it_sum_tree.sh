#!/usr/bin/env bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# `procledger sum` over all of /usr/bin and /usr/sbin: sha256sum's output byte for byte; the second time, by a new
# process, nothing is read.
source "$(dirname "$0")/lib.sh"
need_cached_fs /usr/bin

mapfile -d '' files < <(find /usr/bin /usr/sbin -type f -print0 | sort -z)
at_least "files to sum" 100 "${#files[@]}"
sha256sum -- "${files[@]}" >"$work/want"
ledger sum --stats -- "${files[@]}" >"$work/got" 2>"$work/stats-1" || fail "sum: status $?: $(tail -n 3 "$work/stats-1")"
cmp "$work/want" "$work/got" || fail "the first sum differs from sha256sum"
ledger sum --stats -- "${files[@]}" >"$work/got" 2>"$work/stats-2" || fail "second sum: status $?"
cmp "$work/want" "$work/got" || fail "the second sum differs from sha256sum"
tail -n 1 "$work/stats-1" "$work/stats-2"
tail -n 1 "$work/stats-2" | grep -Eq "^${#files[@]} files, .*, 0 read, 0 bytes read in " || fail "the second sum read something"

# A copied one, changed: right each time, also when size and mtime are as before.
cp /usr/bin/sqlite3 "$work/copy"
one() {
  equal "sum of $1" "$(sha256sum "$work/copy")" "$(ledger sum "$work/copy")"
}
one "the copy"
grown_up "$work/copy"
one "the copy, grown up"
one "the copy, again"
printf x >>"$work/copy"
one "the copy with one byte more"
grown_up "$work/copy"
one "the same, grown up"
touch -r "$work/copy" "$work/times"
printf y | dd of="$work/copy" bs=1 seek=5000 conv=notrunc status=none
touch -r "$work/times" "$work/copy"
one "same size, same mtime, another byte"
cp /usr/bin/sqlite3 "$work/other"
mv "$work/other" "$work/copy"
one "renamed over"

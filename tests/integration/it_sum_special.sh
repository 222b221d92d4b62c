#!/usr/bin/env bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# What is no plain file, or none that may be read, or no place to write: sum and sha256sum agree. And the ledger: one
# that was named must serve; the default one may be missing; its own files can be summed like any other.
source "$(dirname "$0")/lib.sh"
[[ $(sha256sum --version 2>/dev/null) == *GNU* ]] || skip "the sha256sum here is not that of GNU coreutils"

cd "$work" || exit 1
printf abc >file
printf '%s  file\n' "$(sha256sum <file | cut -c1-64)" >list
mkfifo fifo
cli="$PROCLEDGER_BIN/procledger"

# both SNIPPET: the same with $S as the one program and the other.
both() {
  local want=0 got=0
  S=sha256sum timeout 120 bash -c "$1" >"$work/want" 2>"$work/want.err" || want=$?
  S="$cli --db $db sum" timeout 120 bash -c "$1" >"$work/got" 2>"$work/got.err" || got=$?
  sed -i 's/^sha256sum: //' "$work/want.err"
  sed -i 's/^procledger: //' "$work/got.err"
  cmp "$work/want" "$work/got" || fail "$1: expected $(cat -A "$work/want"), got $(cat -A "$work/got")"
  cmp "$work/want.err" "$work/got.err" || fail "$1: expected on stderr $(cat -A "$work/want.err"), got $(cat -A "$work/got.err")"
  equal "status of $1" "$want" "$got"
}
both '$S <(printf abc) file <(printf x)'
both 'printf later >fifo & $S file fifo file'
both '$S -c <(cat list)'
both '$S -c list <(cat list) -' </dev/null
both 'printf x | $S'
both 'printf x | $S /dev/stdin -'
both 'printf x | $S - /dev/stdin'
both '$S /dev/stdin <file'
both '$S /dev/fd/0 <file'
both '{ read -rn1 _; $S -; } <file'          # from where it stands
both '{ read -rn1 _; $S /dev/stdin; } <file' # from the beginning: opened anew
both '$S /dev/null'
both '$S /proc/version /proc/cmdline /proc/filesystems /proc/sys/kernel/ostype' # they say that they are empty
for file in /sys/kernel/mm/transparent_hugepage/enabled /sys/kernel/notes /proc/kallsyms; do
  [[ -r $file ]] && both "\$S $file" # or one page
done
both '$S / /proc /dev'
# Standard descriptors that are closed.
both '$S - file <&-'
both '$S -c <&-'
both '$S file <&-'
both '$S file >&-'
both '$S -c --status list >&-'
if [[ -w /dev/full ]]; then
  both '$S file >/dev/full'
  both '$S missing file file >/dev/full'
  both '$S -c list >/dev/full'
fi
# A pipe that nobody reads, for a child of somebody who ignores SIGPIPE, and of somebody who does not.
mkfifo unread
both 'exec 3<>unread 4>unread 3<&-; trap "" PIPE; $S file file missing >&4'
both 'exec 3<>unread 4>unread 3<&-; $S file file missing >&4'

# Permission, as somebody who has none.
if ((EUID == 0)) && command -v setpriv >/dev/null; then
  nobody='setpriv --reuid 65534 --regid 65534 --clear-groups --inh-caps=-all'
  chmod 711 "$work"
  cp "$cli" "$work/procledger" && chmod 755 "$work/procledger"
  cli=$work/procledger
  before=$db
  mkdir mine closed
  chown 65534 mine
  db=$work/mine/ledger.db
  printf mine >mine/readable
  printf secret >mine/secret
  printf x >closed/file
  chmod 600 mine/secret
  chmod 700 closed
  both "$nobody \$S mine/readable mine/secret file closed/file closed missing"
  # What somebody else's ledger knows is no way around the file's mode.
  db=$work/shared.db
  grown_up mine
  "$cli" --db "$db" sum mine/secret >/dev/null || fail "sum as root"
  chmod 644 "$db" "$db"-* # readable, not writable
  both "$nobody \$S mine/secret mine/readable"
  db=$before
  cli=$PROCLEDGER_BIN/procledger
else
  printf 'not root, or no setpriv: the cases of permission were left out\n'
fi

# The ledger's own files, while it is open for the others; and it is whole afterwards.
ledger sum --stats file "$db" "$db-wal" file >"$work/got" 2>"$work/got.err" || fail "sum of the ledger: $(cat "$work/got.err")"
equal "lines of the sum of the ledger" 4 "$(wc -l <"$work/got")"
equal "the files beside it" "$(sha256sum file)" "$(sed -n 4p "$work/got")"
equal "integrity" ok "$(sql "PRAGMA integrity_check")"

# Named and of no use: one line, no output, and not the status of a checksum.
head -c 65536 /dev/urandom >garbage.db
chmod 640 garbage.db
refuses 4 'garbage\.db' "$cli" --db garbage.db sum file
refuses 4 'garbage\.db' "$cli" sum --db=garbage.db file
refuses 4 'garbage\.db' "$cli" --db garbage.db sum -c list
PROCLEDGER_DB=garbage.db refuses 4 'garbage\.db' "$cli" sum file
refuses 2 'nowhere' "$cli" --db nowhere/ledger.db sum file
[[ ! -s $work/refused.out ]] || fail "a checksum was printed all the same"
# Not named: said, and done without.
if ((EUID != 0)) || command -v setpriv >/dev/null; then
  drop=()
  if ((EUID == 0)); then
    cp "$cli" "$work/procledger" && chmod 755 "$work/procledger"
    cli=$work/procledger
    drop=(setpriv --reuid 65534 --regid 65534 --clear-groups --inh-caps=-all)
  fi
  mkdir home
  chmod 555 home
  for home in "HOME=$work/home" "HOME=" "HOME=$work/home/nowhere" "XDG_STATE_HOME=$work/home"; do
    "${drop[@]}" env -u XDG_STATE_HOME -u HOME "$home" "$cli" sum file >"$work/got" 2>"$work/got.err" ||
      fail "sum without a ledger ($home): status $?: $(cat "$work/got.err")"
    equal "sum without a ledger ($home)" "$(sha256sum file)" "$(cat "$work/got")"
    equal "lines about it ($home)" 1 "$(grep -c 'without a ledger' "$work/got.err")"
  done
  # And where it can be made, it is.
  mkdir state
  ((EUID == 0)) && chown 65534 state
  "${drop[@]}" env XDG_STATE_HOME="$work/state" "$cli" sum file >"$work/got" 2>"$work/got.err" || fail "sum makes its ledger: $?"
  [[ -s $work/state/procledger/ledger.db && ! -s $work/got.err ]] || fail "no default ledger was made: $(cat "$work/got.err")"
fi

# SPDX-License-Identifier: LGPL-2.1-or-later
# shellcheck shell=bash
#
# Sourced by every integration test. A test is a bash script that drives the real procledgerd and procledger and reads
# with the real sqlite3 shell. It exits 0 (passed), 77 (skipped, after saying why) or anything else (failed).
#
# A test owns: $work (a folder of its own on the disk, 0700, removed at the end), $db in it, and the processes it
# started through start_daemon and keep; only those are ever killed. Nothing sleeps for a guessed time: wait_until asks
# for a condition, 20 times a second, within a bound that is only ever reached by a failing test.
set -uo pipefail
export LC_ALL=C
unset PROCLEDGER_DB PROCLEDGER_SOCKET NO_COLOR PAGER

name=$(basename "$0" .sh)
: "${PROCLEDGER_BIN:?run the tests through ctest, or set PROCLEDGER_BIN to the folder of the programs}"
: "${PROCLEDGER_HELPER:=$PROCLEDGER_BIN/../tests/helper}"

fail() {
  printf 'FAILED: %s\n' "$*"
  if [[ -s ${work:-}/daemon.err ]]; then
    printf -- '-- the end of what procledgerd said:\n'
    tail -n 40 "$work/daemon.err"
  fi
  exit 1
}

skip() {
  printf 'SKIPPED: %s: %s\n' "$name" "$*"
  exit 77
}

for program in "$PROCLEDGER_BIN/procledgerd" "$PROCLEDGER_BIN/procledger" "$PROCLEDGER_HELPER"; do
  [[ -x $program ]] || fail "there is no $program: build first"
done
command -v sqlite3 >/dev/null || fail "there is no sqlite3 shell"

# A mount namespace of its own for the whole test, where it asks for one: mounts vanish with it.
own_mounts() {
  if [[ -z ${PL_OWN_MOUNTS:-} ]]; then
    unshare -m --propagation unchanged true 2>/dev/null || skip "needs a mount namespace of its own (CAP_SYS_ADMIN)"
    rm -rf "$work" # the shell that follows makes its own
    PL_OWN_MOUNTS=1 exec unshare -m --propagation unchanged bash "$0"
  fi
  # In a chroot "/" is no mount; then the test's own folder is bound to itself and made private.
  if ! mount --make-rprivate / 2>/dev/null; then
    mount --bind "$work" "$work" && mount --make-private "$work" || skip "cannot have mounts of its own"
    bound=1
  fi
}

need_root() { ((EUID == 0)) || skip "needs root"; }

# Asks the kernel itself, not the product: where this says yes, anything but netlink is a failure.
need_connector() {
  local why
  why=$("$PROCLEDGER_HELPER" connector) || skip "${why:-no proc connector}"
}

# The never-stale protocol caches nothing on file systems that it cannot trust (tier C).
need_cached_fs() { # FILE
  local type
  type=$(stat -f -c %T "$1")
  case $type in
  ext2/ext3 | xfs | btrfs | f2fs | overlayfs | squashfs | erofs) ;;
  *) skip "$1 lies on $type, where hashes are never cached" ;;
  esac
}

work=$(mktemp -d "${TMPDIR:-/var/tmp}/procledger-$name.XXXXXX") || exit 1
db=$work/ledger.db
daemon=
bound=
kept=()
# A descriptor on which nothing ever arrives: the pause of wait_until.
exec {never}<> <(:)

cleanup() {
  local status=$? pid
  trap - EXIT
  for pid in ${daemon:+"$daemon"} "${kept[@]}"; do
    kill -KILL "$pid" 2>/dev/null
    wait "$pid" 2>/dev/null
  done
  [[ $bound ]] && umount -R -l "$work"
  rm -rf "$work"
  exit "$status"
}
trap cleanup EXIT
trap 'exit 143' TERM INT

pause() { read -rt 0.05 -u "$never" _ || true; }

# wait_until SECONDS COMMAND...: true as soon as COMMAND is.
wait_until() {
  local end=$((SECONDS + $1))
  shift
  until "$@"; do
    ((SECONDS < end)) || return 1
    pause
  done
}

equal() { # WHAT EXPECTED ACTUAL
  [[ $2 == "$3" ]] || fail "$1: expected '$2', got '$3'"
}

# at_least WHAT LEAST ACTUAL
at_least() {
  [[ $3 =~ ^-?[0-9]+$ ]] && (($3 >= $2)) || fail "$1: expected at least $2, got '$3'"
}

keep() { # a process of ours that ends with the test
  kept+=("$1")
}

# One statement through the real shell, read only, as an analyst would ask.
sql() { sqlite3 -readonly -batch -bail -cmd '.timeout 10000' "$db" "$1"; }

sql_is() { [[ $(sql "$1" 2>/dev/null) == "$2" ]]; }

# wait_sql SECONDS SELECT EXPECTED
wait_sql() {
  wait_until "$1" sql_is "$2" "$3" ||
    fail "after $1 s: $2: expected '$3', got '$(sql "$2" 2>&1)'"
}

ledger() { "$PROCLEDGER_BIN/procledger" --db "$db" "$@"; }

said() { grep -Eq -- "$1" "$work/daemon.err"; }

ready_or_gone() {
  tail -n "+$((lines_before + 1))" "$work/daemon.err" | grep -q '^procledgerd: ready source=' ||
    ! kill -0 "$daemon" 2>/dev/null
}

# start_daemon [OPTION...]: returns when events are being recorded. $daemon is its pid; what it says goes to
# $work/daemon.err and daemon.out, which grow from start to start. No folder is watched unless --watch names it, so that
# a test does not read all programs of the machine.
start_daemon() {
  start_through -- "$@"
}

# start_through COMMAND... -- OPTION...: the same, started by COMMAND (setpriv, env, ...), which must exec.
start_through() {
  local through=()
  while [[ $1 != -- ]]; do
    through+=("$1")
    shift
  done
  shift
  [[ " $* " == *" --watch "* ]] || set -- --watch none "$@"
  touch "$work/daemon.err"
  lines_before=$(wc -l <"$work/daemon.err")
  "${through[@]}" "$PROCLEDGER_BIN/procledgerd" --db "$db" "$@" >>"$work/daemon.out" 2>>"$work/daemon.err" \
    {never}>&- </dev/null &
  daemon=$!
  wait_until 60 ready_or_gone || fail "procledgerd was not ready within 60 s"
  kill -0 "$daemon" 2>/dev/null || fail "procledgerd ended before it was ready"
}

# stop_daemon [SIGNAL]: it must end with 0.
stop_daemon() {
  local status=0
  kill -"${1:-TERM}" "$daemon" || fail "procledgerd is gone before it was stopped"
  wait "$daemon" || status=$?
  daemon=
  equal "exit status of procledgerd" 0 "$status"
}

alive() { kill -0 "$daemon" 2>/dev/null || fail "procledgerd is gone"; }

# refuses STATUS REGEX COMMAND...: COMMAND ends with STATUS ("fails": anything but 0) within 60 s, and says on
# stderr, in one line, what REGEX wants.
refuses() {
  local want=$1 regex=$2 status=0
  shift 2
  timeout -k 5 60 "$@" >"$work/refused.out" 2>"$work/refused.err" </dev/null || status=$?
  if [[ $want == fails ]]; then
    ((status != 0 && status < 124)) || fail "$*: expected a refusal, got status $status"
  else
    [[ $status == "$want" ]] || fail "$*: expected status $want, got $status: $(cat "$work/refused.err")"
  fi
  equal "lines on stderr of $*: $(cat "$work/refused.err")" 1 "$(wc -l <"$work/refused.err")"
  grep -Eqi -- "$regex" "$work/refused.err" || fail "$*: '$(cat "$work/refused.err")' does not say '$regex'"
}

# A binary of its own at FILE: the helper with its own bytes behind it (see helper.c for what it can do).
unique() { # FILE
  cp -- "$PROCLEDGER_HELPER" "$1" && printf '\nunique %s %s' "$1" "$RANDOM$RANDOM" >>"$1" || fail "cannot make $1"
}

sha256() { sha256sum <"$1" | cut -d' ' -f1; }

nobody_younger() { [[ -z $(find "$1" -type f -newerct '3 seconds ago' -print -quit) ]]; }
# Until no file below DIR is young enough for the racy window, so that its next hash is cached.
grown_up() { wait_until 30 nobody_younger "$1" || fail "files below $1 stay young"; }

# What other programs of this machine do is theirs: $elsewhere are options that leave out all but what lies in $work.
ignore_elsewhere() {
  local i
  elsewhere=()
  for ((i = 1; i < ${#work} && i < 60; i++)); do
    elsewhere+=(--ignore "${work:0:i}[!${work:i:1}]*")
  done
}

# settled WHERE N: N rows of process_events match, none of them pending.
settled() {
  wait_sql 60 "SELECT count(*), coalesce(sum(hash_state = 'pending'), 0) FROM process_events WHERE $1" "$2|0"
}

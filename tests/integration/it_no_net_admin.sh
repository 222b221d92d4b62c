#!/usr/bin/env bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# Without the proc connector: auto takes the scan and says why; asked for netlink by name it says no. Also: an ordinary
# user with nothing at all, on the default file.
source "$(dirname "$0")/lib.sh"
need_root

# Nor may it load programs into the kernel, or the better source would be taken.
weak=(setpriv --bounding-set=-net_admin,-sys_admin,-bpf,-perfmon --inh-caps=-net_admin,-sys_admin,-bpf,-perfmon)
# From kernel 6.6 on the proc connector listens to everybody: the kernel itself is asked, and whatever it gives is taken.
if "${weak[@]}" "$PROCLEDGER_HELPER" connector >"$work/connector"; then
  start_through "${weak[@]}" -- --source auto
  said 'ready source=netlink db=' || fail "this kernel gives the connector, and auto does not take it"
  stop_daemon
  rm -f "$db"*
  # What no kernel gives: a connector in another network namespace.
  weak=(unshare -n "${weak[@]}")
  "${weak[@]}" "$PROCLEDGER_HELPER" connector >"$work/connector" && fail "a connector in a network namespace of its own?"
fi
start_through "${weak[@]}" -- --source auto
said 'ready source=scan db=' || fail "the source is not scan"
said 'netlink' || fail "nothing says why it is not netlink"
unique "$work/long"
"$work/long" nap 60000 &
keep $!
settled "path = '$work/long' AND source = 'scan'" 1
equal "hash" "$(sha256 "$work/long")" "$(sql "SELECT sha256 FROM process_events WHERE path = '$work/long'")"
kill "$!"
wait_sql 60 "SELECT end_reason FROM process_events WHERE path = '$work/long'" exit
equal "source of the run" scan "$(sql "SELECT source FROM runs")"
stop_daemon
refuses fails 'netlink|NET_ADMIN|permi' "${weak[@]}" "$PROCLEDGER_BIN/procledgerd" --db "$db" --source netlink

# An ordinary user. The programs are copied, because the tree may lie where that user cannot go.
chmod 711 "$work"
cp "$PROCLEDGER_BIN/procledgerd" "$PROCLEDGER_BIN/procledger" "$work/" && chmod 755 "$work"/procledger*
mkdir "$work/home" && chown 65534:65534 "$work/home"
PROCLEDGER_BIN=$work
as_user=(env -u XDG_STATE_HOME HOME="$work/home" setpriv --reuid 65534 --regid 65534 --clear-groups --bounding-set=-all --inh-caps=-all)
db=$work/home/.local/state/procledger/ledger.db
: >"$work/user.err"
"${as_user[@]}" "$work/procledgerd" --watch none >>"$work/daemon.out" 2>"$work/user.err" </dev/null &
daemon=$!
user_ready() { grep -q '^procledgerd: ready source=' "$work/user.err" || ! kill -0 "$daemon" 2>/dev/null; }
wait_until 60 user_ready
grep -Eq "ready source=(scan|netlink) db=$db\$" "$work/user.err" || fail "not ready on the default file: $(cat "$work/user.err")"
setpriv --reuid 65534 --regid 65534 --clear-groups "$work/long" nap 60000 &
keep $!
wait_sql 60 "SELECT count(*) FROM process_events WHERE path = '$work/long' AND uid = 65534" 1
"${as_user[@]}" "$work/procledger" ps >"$work/ps" || fail "ps as an ordinary user: status $?"
grep -qF "$work/long" "$work/ps" || fail "ps as an ordinary user does not show its process"
stop_daemon

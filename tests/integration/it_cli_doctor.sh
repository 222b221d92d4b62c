#!/usr/bin/env bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# doctor: what this machine and user can capture, what is missing and how to get it, as root and as nobody; it finds
# the running recorder and makes no file.
source "$(dirname "$0")/lib.sh"

findings() { # DOCTOR... : kind|name|state|remedy a line, in $work/findings; status in $status
  status=0
  "$@" doctor --json >"$work/json" 2>"$work/err" || status=$?
  [[ ! -s $work/err ]] || fail "doctor said $(cat "$work/err")"
  sqlite3 -list :memory: "SELECT json_extract(value, '\$.kind'), json_extract(value, '\$.name'), json_extract(value, '\$.state'),
    coalesce(json_extract(value, '\$.remedy'), '') FROM json_each(CAST(readfile('$work/json') AS TEXT))" >"$work/findings"
  at_least "findings" 8 "$(wc -l <"$work/findings")"
}
# Whatever is not fine has a way out, apart from what only informs.
check_remedies() {
  local lacking
  lacking=$(grep -E '\|(missing|error)\|$' "$work/findings")
  [[ -z $lacking ]] || fail "no remedy for $lacking"
}

findings "$PROCLEDGER_BIN/procledger" --db "$work/none.db"
[[ ! -e $work/none.db ]] || fail "doctor made a ledger"
equal "status without a ledger" 1 "$status"
grep -q "^ledger|$work/none.db|missing|.*procledgerd" "$work/findings" || fail "the ledger that is not there: $(cat "$work/findings")"
check_remedies

start_daemon
source=$(sql "SELECT source FROM runs")
findings ledger
grep -q "^ledger|$db|ok|" "$work/findings" || fail "the ledger is fine: $(cat "$work/findings")"
grep -q "^source|$source|ok|" "$work/findings" || fail "the recorder uses $source, doctor does not: $(cat "$work/findings")"
grep -q '^ledger|recorder|ok|' "$work/findings" || fail "the recorder runs: $(cat "$work/findings")"
grep -q "running, pid $daemon" <(ledger doctor) || fail "doctor does not name the recorder"
check_remedies
# It finds what procledgerd --probe finds.
"$PROCLEDGER_BIN/procledgerd" --probe >"$work/probe" 2>&1
while read -r _ name answer _; do
  state='(missing|optional)'
  [[ $answer == yes:* ]] && state=ok
  grep -qE "^source\|$name\|$state\|" "$work/findings" || fail "--probe says $name $answer: $(cat "$work/findings")"
done < <(grep '^source ' "$work/probe")
if ((EUID == 0)); then
  missing=$(grep -c '|missing|' "$work/findings")
  equal "status as root" "$((missing > 0))" "$status"
fi
stop_daemon
findings ledger
grep -q '^ledger|recorder|optional|start procledgerd' "$work/findings" || fail "nobody records: $(cat "$work/findings")"

head -c 65536 /dev/urandom >"$work/garbage.db"
chmod 640 "$work/garbage.db"
findings "$PROCLEDGER_BIN/procledger" --db "$work/garbage.db"
equal "status of a damaged ledger" 4 "$status"
grep -q "|$work/garbage.db|error|" "$work/findings" || fail "the damaged ledger: $(cat "$work/findings")"
check_remedies

# As somebody without any privilege.
if ((EUID == 0)) && command -v setpriv >/dev/null; then
  chmod 711 "$work"
  mkdir "$work/home"
  cp "$PROCLEDGER_BIN/procledger" "$work/procledger" && chmod 755 "$work/procledger"
  chown 65534:65534 "$work/home"
  export HOME=$work/home
  unset XDG_STATE_HOME
  as_nobody=(setpriv --reuid 65534 --regid 65534 --clear-groups --inh-caps=-all --bounding-set=-all "$work/procledger")
  findings "${as_nobody[@]}"
  equal "status as nobody" 1 "$status"
  grep -q "^ledger|$work/home/.local/state/procledger/ledger.db|missing|" "$work/findings" || fail "the default ledger: $(cat "$work/findings")"
  for capability in CAP_SYS_PTRACE CAP_DAC_READ_SEARCH CAP_LEASE CAP_SYS_NICE; do
    grep -qE "^capability\|$capability\|missing\|.*(root|setcap|AmbientCapabilities)" "$work/findings" ||
      fail "$capability is missing, and how to get it: $(cat "$work/findings")"
  done
  check_remedies
  [[ -z $(ls -A "$work/home") ]] || fail "doctor made files"
  findings "${as_nobody[@]}" --db "$db"
  equal "status of a ledger that cannot be read" 2 "$status"
  grep -q "|$db|error|.*\(owner\|group\)" "$work/findings" || fail "a ledger that cannot be read: $(cat "$work/findings")"
else
  printf 'not root, or no setpriv: the case of an ordinary user was left out\n'
fi

#!/usr/bin/env bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# Exit statuses 0, 1, 2 and 4 and the one line that goes with them; a wrong word is named. (3: it_cli_gaps_runs_stats.sh)
source "$(dirname "$0")/lib.sh"

# By scanning, which cannot lose events and make gaps.
start_daemon --source scan
wait_sql 60 "SELECT count(*) > 0 FROM process_events" 1
wait_sql 60 "SELECT count(*) > 0 FROM hash" 1
stop_daemon
cli="$PROCLEDGER_BIN/procledger"

# 0: with a row, nothing else on stderr.
for command in log files runs stats; do
  ledger $command >"$work/out" 2>"$work/err" || fail "$command: status $?"
  [[ -s $work/out && ! -s $work/err ]] || fail "$command: $(cat "$work/err")"
done
# 1: none.
refuses 1 'no match' "$cli" --db "$db" log -S +1d
refuses 1 'no match' "$cli" --db "$db" who /never/ran
refuses 1 'no match' "$cli" --db "$db" history /never/was
refuses 1 'no match' "$cli" --db "$db" show 999999999
refuses 1 'no match' "$cli" --db "$db" tree 999999999
refuses 1 'no match' "$cli" --db "$db" gaps
refuses 1 'no match' "$cli" --db "$db" files -U @1
# 2: the word that is wrong.
wrong() { # WORD ARGUMENT...
  local word=$1
  shift
  refuses 2 "$word" "$cli" --db "$db" "$@"
  [[ ! -s $work/refused.out ]] || fail "$*: printed something"
}
wrong "'--nonsense'" log --nonsense
wrong "'--nonsense=1'" log --nonsense=1
wrong "'-q'" log -q
wrong "'-q'" log -rq
wrong "'nonsense'" nonsense
wrong "'nonsense'" help nonsense
wrong "'someday'" log -S someday
wrong "'25:00'" log --until 25:00
wrong "'2026-02-30'" ps --at 2026-02-30
wrong "'-2 parsecs'" log -S '-2 parsecs'
wrong "'@x'" log -S @x
wrong "'x'" log -n x
wrong "'-5'" log -n -5
wrong "'pink'" log --color=pink
wrong "'--at'" log --at now
wrong "'--follow'" ps -f
wrong "'--json'" log -f --json
wrong "'12x'" show 12x
wrong "'0'" tree 0
wrong "'extra'" log extra
wrong "'b'" who a b
wrong 'EID.PID' show
wrong 'PATH.SHA256' who
wrong "'--db'" log --db=
wrong "'-S'" log -S
refuses 2 'no such|missing\.db' "$cli" --db "$work/missing.db" log
[[ ! -e $work/missing.db ]] || fail "a ledger was made"
# Before the command's name as well.
refuses 2 "'--nonsense'" "$cli" --nonsense log
refuses 2 "'--json'" "$cli" --json sum /bin/true
refuses 2 "'someday'" "$cli" --db "$db" -S someday log
# 2: output that cannot be written.
if [[ -w /dev/full ]]; then
  for command in log stats "log --json" help "help log"; do
    status=0
    # shellcheck disable=SC2086
    ledger $command >/dev/full 2>"$work/err" || status=$?
    equal "status of $command >/dev/full" 2 "$status"
    equal "lines of $command >/dev/full" 1 "$(wc -l <"$work/err")"
  done
fi
# 4: damaged, and newer.
head -c 65536 /dev/urandom >"$work/garbage.db"
chmod 640 "$work/garbage.db"
cp "$db" "$work/newer.db"
sqlite3 "$work/newer.db" "PRAGMA user_version = 9999" >/dev/null
for command in ps log "show 1" "tree 1" "who /bin/sh" "history /bin/sh" files gaps runs stats; do
  read -ra words <<<"$command"
  refuses 4 'garbage\.db' "$cli" --db "$work/garbage.db" "${words[@]}"
  refuses 4 'newer' "$cli" --db "$work/newer.db" "${words[@]}"
  PROCLEDGER_DB=$work/garbage.db refuses 4 'garbage\.db' "$cli" "${words[@]}"
done
# A closed pipe is no failure that anybody hears of, and no hanging.
for _ in {1..20}; do
  timeout 60 "$cli" --db "$db" log 2>>"$work/pipe.err" | true
  ((PIPESTATUS[0] == 0 || PIPESTATUS[0] == 141)) || fail "log | true: status ${PIPESTATUS[0]}"
done
[[ ! -s $work/pipe.err ]] || fail "log | true said $(cat "$work/pipe.err")"
# Also for a child of somebody who ignores SIGPIPE.
(
  trap '' PIPE
  timeout 60 "$cli" --db "$db" log 2>>"$work/pipe.err" | true
)
[[ ! -s $work/pipe.err ]] || fail "log | true, SIGPIPE ignored, said $(cat "$work/pipe.err")"

#!/usr/bin/env bash
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# A hundred thousand writes to one known program end in a handful of reads, and in its right checksum.
source "$(dirname "$0")/lib.sh"
need_cached_fs "$work"

mkdir "$work/bin"
unique "$work/bin/program"
grown_up "$work/bin"
ignore_elsewhere
start_daemon --watch "$work/bin" "${elsewhere[@]}"
wait_sql 60 "SELECT start_done FROM runs" 1
before=$(sql "SELECT files_hashed FROM runs")
"$PROCLEDGER_HELPER" scribble "$work/bin/program" 100000 || fail "the helper cannot write"
wait_sql 60 "SELECT sha256 FROM hash WHERE path = '$work/bin/program'" "$(sha256 "$work/bin/program")"
alive
stop_daemon
after=$(sql "SELECT files_hashed FROM runs")
((after - before <= 6)) || fail "100,000 writes cost $((after - before)) reads"
at_least "reads" 1 $((after - before))
equal "gaps of inotify" 0 "$(sql "SELECT count(*) FROM gaps WHERE source = 'inotify'")"

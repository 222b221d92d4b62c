#!/usr/bin/env bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# process_forks: processes that never executed, if they lived over 1 s or have an executing child; no others.
source "$(dirname "$0")/lib.sh"
need_connector

start_daemon
unique "$work/forks"
long=$("$work/forks" fork-nap 1500)
short=$("$work/forks" fork-nap 20)
parent=$("$work/forks" fork-exec-parent "$work/forks")
wait_sql 60 "SELECT count(*) FROM process_forks WHERE pid = $long AND end_time IS NOT NULL" 1
wait_sql 60 "SELECT count(*) FROM process_forks WHERE pid = $parent AND end_time IS NOT NULL" 1
equal "a short one without children" 0 "$(sql "SELECT count(*) FROM process_forks WHERE pid = $short")"
equal "what they run is their parent's image" "$work/forks
$work/forks" "$(sql "SELECT e.path FROM process_forks f JOIN process_events e ON e.eid = f.image_eid AND e.pid = f.ppid
  WHERE f.pid IN ($long, $parent)")"
# The grandchild's parent is the fork; the execution above it is still linked.
equal "the executing child" "$parent" "$(sql "SELECT ppid FROM process_events WHERE path = '$work/forks' AND cmdline LIKE '%nap%100%' AND ppid = $parent")"
equal "no execution for a fork" 0 "$(sql "SELECT count(*) FROM process_events WHERE pid IN ($long, $short, $parent)")"
stop_daemon

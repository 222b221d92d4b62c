#!/usr/bin/env bash
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# An independent witness: strace over the build of a C project, its scripts, make, compiler, assembler and linker. It and
# the ledger agree execution by execution: process, what execve was given, and the arguments.
source "$(dirname "$0")/lib.sh"
need_root
for tool in strace make cc; do
  command -v $tool >/dev/null || skip "there is no $tool"
done
"$PROCLEDGER_BIN/procledgerd" --probe >"$work/probe" 2>&1 || fail "--probe: status $?"
grep -q '^source bpf yes' "$work/probe" || skip "$(grep '^source bpf' "$work/probe")"

mkdir "$work/project" "$work/trace"
cd "$work/project" || exit 1
cat >Makefile <<'MAKE'
objects = $(patsubst %,part%.o,0 1 2 3 4 5 6 7)
program: $(objects) main.o
	$(CC) -o $@ $^
	./check.sh ./program
%.o: %.c
	./say.sh compiling $<
	$(CC) -O1 -c -o $@ $<
MAKE
for i in {0..7}; do
  printf 'int part%d(int x) { return x + %d; }\n' "$i" "$i" >"part$i.c"
done
{
  for i in {0..7}; do printf 'int part%d(int);\n' "$i"; done
  printf 'int main(void) { int x = 0;\n'
  for i in {0..7}; do printf 'x += part%d(x);\n' "$i"; done
  printf 'return x != 247; }\n'
} >main.c
printf '#!/bin/sh\nexec printf "%%s %%s\\n" "$1" "$2" >/dev/null\n' >say.sh
printf '#!/usr/bin/env bash\n"$1" && grep -c . main.c >/dev/null\n' >check.sh
chmod 755 say.sh check.sh

start_daemon --source bpf
strace -f -ff -qq -s 100000 -e trace=execve,execveat -e signal=none -o "$work/trace/t" make -j2 program >"$work/make.out" 2>&1 ||
  fail "the build: $(tail -n 5 "$work/make.out")"
root=$(basename "$(grep -l '^execve("[^"]*/make", ' "$work"/trace/t.* | head -n 1)")
# "PID|file|["argument",...]" of each that succeeded, in the order of each process.
perl -ne '
  ($pid) = $ARGV =~ /\.(\d+)$/;
  next unless /^execve\("((?:\\.|[^"\\])*)", \[(.*)\], 0x.* = 0$/;
  ($file, $list) = ($1, $2);
  print "$pid|$file|[", join(",", $list =~ /("(?:\\.|[^"\\])*")/g), "]\n";
' "$work"/trace/t.* | sort -s -t'|' -k1,1n >"$work/want"
at_least "executions that strace saw" 40 "$(wc -l <"$work/want")"
pids=$(cut -d'|' -f1 "$work/want" | sort -u | paste -sd,)
wait_sql 60 "SELECT count(*) FROM process_events WHERE pid IN ($pids) AND source = 'bpf' AND end_reason IS NULL" 0
stop_daemon
# What a script is given is put behind its interpreter and that one's argument: what #! says, not what execve was given.
sql "SELECT pid, filename, CASE WHEN script_path IS NULL THEN json(argv)
  WHEN name = 'check.sh' THEN json_remove(argv, '\$[0]', '\$[0]') ELSE json_remove(argv, '\$[0]') END FROM process_events WHERE pid IN ($pids) AND source = 'bpf' ORDER BY pid, eid" |
  sort -s -t'|' -k1,1n >"$work/all"
# strace itself was the first program of the process that became make.
grep -v '|\["strace",' "$work/all" >"$work/got"
cmp "$work/want" "$work/got" || fail "the ledger and strace (process ${root##*.} is make) disagree: $(diff "$work/want" "$work/got" | head -n 6)"
equal "without path or checksum" 0 "$(sql "SELECT count(*) FROM process_events WHERE pid IN ($pids) AND source = 'bpf'
  AND (path IS NULL OR sha256 IS NULL OR exit_code IS NULL AND end_reason = 'exit')")"
equal "scripts" 10 "$(sql "SELECT count(*) FROM process_events WHERE pid IN ($pids) AND script_path GLOB '$work/project/*.sh'
  AND script_sha256 IS NOT NULL")"

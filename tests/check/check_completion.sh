#!/usr/bin/env bash
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# tools/dist/procledger.bash completes every command, every option of every command and every word of the options that
# take one of a few, as the programs themselves list them; and nothing that they do not know. The package
# bash-completion is not needed.
set -euo pipefail
cd "${PROCLEDGER_SOURCE:-$(dirname "$0")/../..}"
unset PROCLEDGER_DB
export LC_ALL=C

bin=
for folder in ${PROCLEDGER_BIN:+"$PROCLEDGER_BIN"} build/dev/bin build/release/bin; do
  if [[ -x $folder/procledger && -x $folder/procledgerd ]]; then
    bin=$folder
    break
  fi
done
if [[ -z $bin ]]; then
  printf 'SKIPPED: check_completion: the programs are not built\n'
  exit 77
fi

# shellcheck source=tools/dist/procledger.bash
source tools/dist/procledger.bash

bad=0
say() {
  printf '%s\n' "$*"
  bad=$((bad + 1))
}

# completes WORD...: what is offered for the last word, sorted, one a line.
completes() {
  COMP_WORDS=("$@")
  COMP_CWORD=$(($# - 1))
  COMPREPLY=()
  "_$1"
  ((${#COMPREPLY[@]} == 0)) || printf '%s\n' "${COMPREPLY[@]}" | sort
}
lines() { printf '%s\n' "$@" | sort; }

equal() { # WHAT EXPECTED ACTUAL
  [[ $2 == "$3" ]] || say "$1: expected '${2//$'\n'/ }', got '${3//$'\n'/ }'"
}
# Lines of the first text that the second has not.
without() { comm -23 <(sort -u <<<"$1") <(sort -u <<<"$2"); }
flags() { grep -oE -- '--[a-z][a-z-]*' | sort -u; }
words() { tr -cs 'a-z0-9\n' '\n' | sed '/^$/d' | sort; }

# Options as the programs' own tables have them.
table() { grep -oE '^ *\{"[a-z-]+", *(no|required|optional)_argument' "$@" | sed -E 's/^[^"]*"([a-z-]+)".*/--\1/' | sort -u; }
client_table=$(table -h tools/procledger/options.c tools/procledger/cmd_sum.c)
daemon_table=$(table -h tools/procledgerd/options.c)

commands=$("$bin/procledger" help | sed -nE 's/^  ([a-z]+) .*/\1/p' | sort)
equal "commands" "$commands" "$(completes procledger '')"
equal "commands behind --db" "$commands" "$(completes procledger --db some.db '')"
equal "commands behind --db=" "$commands" "$(completes procledger --db = some.db '')"
equal "commands behind help" "$commands" "$(completes procledger help '')"
equal "the beginning of a command" $'show\nstats\nsum' "$(completes procledger s)"

offered=$(completes procledger -- | tr -d =)
seen=0
for command in $commands; do
  listed=$("$bin/procledger" help "$command" | sed '1,/^Options:/d' | flags)
  here=$(completes procledger "$command" -- | tr -d =)
  equal "options of $command that are not offered" "" "$(without "$listed" "$here")"
  equal "options offered for $command that nobody knows" "" "$(without "$here" "$client_table"$'\n'"$listed")"
  if [[ $command != sum ]]; then
    equal "options offered for $command that it does not take" "" "$(without "$here" "$listed")"
  fi
  offered+=$'\n'$here
  seen=$((seen + $(wc -l <<<"$listed")))
done
equal "options of procledger that are never offered" "" "$(without "$client_table" "$offered")"

listed=$("$bin/procledgerd" --help | sed '/^Example/,$d' | flags)
equal "options of procledgerd" "$listed" "$(completes procledgerd --)"
equal "options of procledgerd, by its table" "$daemon_table" "$(completes procledgerd --)"
equal "options of procledgerd, without a dash" "$daemon_table" "$(completes procledgerd '')"

# Words that an option takes, as the program names them when it is given another: "... is none of a, b, c".
refusal() { # MARKER PROGRAM...: the words behind the marker
  { "${@:2}" 2>&1 || true; } | sed -E "s/.*$1//" | words
}
equal "--source" "$(refusal 'none of' "$bin/procledgerd" --source '?')" "$(completes procledgerd --source '')"
equal "--argv" "$(refusal 'none of' "$bin/procledgerd" --argv '?')" "$(completes procledgerd --argv '')"
equal "--color=" "$(refusal "'[?]':" "$bin/procledger" log '--color=?')" "$(completes procledger log --color =)"
algorithms=$("$bin/procledgerd" --help | sed -nE 's/^  --algorithms LIST *([^(]*).*/\1/p' | sed 's/\bor\b//' | words)
equal "--algorithms" "$algorithms" "$(completes procledgerd --algorithms '')"
equal "--algorithms, the second" "$(lines sha512,md5)" "$(completes procledgerd --algorithms sha512,m)"
equal "--algorithms, none twice" "$(lines sha512,sha1 sha512,sha256)" "$(completes procledgerd --algorithms sha512,sha)"
equal "--source=, in one word" "$(lines --source=netlink)" "$(completes procledgerd --source=n)"
equal "--source=, taken apart" netlink "$(completes procledgerd --source = n)"
equal "--color=, in one word" "$(lines --color=always --color=auto)" "$(completes procledger ps --color=a)"
equal "--color=, taken apart" "$(lines always auto)" "$(completes procledger ps --color = a)"
equal "behind a whole --color" "" "$(completes procledger ps --color = never '')"
equal "--since" yesterday "$(completes procledger log --since y)"
equal "-S" yesterday "$(completes procledger log -S y)"
equal "-n" "" "$(completes procledger log -n '')"

# Files and folders.
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir "$work/folder"
: >"$work/file one"
both=$(lines "$work/file one" "$work/folder")
for words in "procledger who" "procledger history" "procledger sum" "procledger sum --stats" "procledger --db" \
  "procledger log --socket" "procledgerd --db" "procledgerd --config" "procledgerd --socket"; do
  read -ra line <<<"$words"
  equal "files behind $words" "$both" "$(completes "${line[@]}" "$work/f")"
done
equal "folders behind --watch" "$work/folder" "$(completes procledgerd --watch "$work/f")"
equal "no files behind log" "" "$(completes procledger log "$work/f")"

if ((seen < 100)); then
  say "only $seen options found: this check looks in the wrong place"
fi
printf '%d commands and %d options read, %d of the answers wrong\n' "$(wc -l <<<"$commands")" "$seen" "$bad"
exit $((bad != 0))

#!/usr/bin/env bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# sum -c says of every kind of line in a checksum file what sha256sum -c says, with every combination of its options; and
# answers a list that comes line by line as it comes.
source "$(dirname "$0")/lib.sh"
[[ $(sha256sum --version 2>/dev/null) == *GNU* ]] || skip "the sha256sum here is not that of GNU coreutils"

cd "$work" || exit 1
mkdir odd folder
for file in plain 'with space' $'new\nline' 'back\slash' $'carriage\rreturn' -dash '*star' $'\xff\xfe' "quote'" ' lead' \
  'trail ' 'paren) = x' ')' $'both\\\n' $'end\r'; do
  printf 'content of %s' "$file" >"odd/$file"
done
: >odd/empty
printf x >bin
printf x >' bin'
printf x >'*bin'
good=$(sha256sum <bin | cut -c1-64)
bad=$(sha256sum </dev/null | cut -c1-64)
(
  cd odd || exit 1
  sha256sum -- * >../sums
  sha256sum --tag -- * >../sums.tag
  sha256sum -z -- * >../sums.z
  sha256sum -b -- * >../sums.b
)
sed 's/$/\r/' sums >sums.crlf
sed 's/$/\r/' sums.tag >sums.tag.crlf
head -c -1 sums >sums.cut
cat sums sums.tag >sums.mixed

# One file each: the lines of printf, %s the checksum of "bin".
lines=("%s  bin\n" "%s bin\n" "%s *bin\n" "%s   bin\n" "%s\tbin\n" " %s  bin\n" "%s bin\n%s  bin\n" "%s  bin\n%s bin\n"
  "%s\n" "%s \n" "%s  \n" "%s b\n" "%sa  bin\n" "%s  bin" "%s  bin\r\n" "%s  bin\r\r\n" "\r%s  bin\n" "%s  bin \n" "%s *\n"
  "SHA256 (bin) = %s\n" "SHA256(bin)=%s\n" "SHA256  (bin) = %s\n" "sha256 (bin) = %s\n" "SHA256 (bin)\t=\t%s\n"
  "SHA256 (bin) = %s \n" "SHA256 (bin) = %s0\n" "SHA256 () = %s\n" "SHA512 (bin) = %s\n" "SHA256 (bin = %s\n"
  "SHA256 bin) = %s\n" "SHA256 (missing) = %s\n" "\\\\SHA256 (b\\\\nx) = %s\n" "\\\\SHA256 (b\\\\qx) = %s\n"
  "\\\\%s  b\\\\nx\n" "\\\\%s  b\\\\qx\n" "\\\\%s  bin\\\\\n" "\\\\%s  bin\n" "%s  b\\\\nx\n" "\\\\\\\\%s  bin\n"
  "\\\\%s  b\\\\rx\n\\\\%s  b\\\\\\\\x\n" "# comment\n\n%s  bin\n\n#x\n" "" "\n" "\r\n" "#only\n" " \n" "SHA256\n" "SHA256 (\n"
  "%s  -\n" "%s  bin\0x\n" "%s\0  bin\n" "garbage\n%s  bin\n" "%s  missing\n" "%s  folder\n" "%s  missing\n%s  bin\n"
  "%s  /proc/version\n" "%s  *bin\n%s **bin\n" "\xef\xbb\xbf%s  bin\n" "%s  a'b\n%s  \$x\n" "%s  nl\\\\nmissing\n")
lists=()
for i in "${!lines[@]}"; do
  line=${lines[i]//%s/$good}
  printf -- "$line" >"list-$i" # the format is the test's own
  lists+=("list-$i")
done
printf '%s  bin\n' "${good^^}" >upper
printf '%s  bin\n' "${good/[0-9]/g}" >no-hex
printf '%s  bin\n' "$bad" >wrong
printf '%s  bin\n%s  bin\n%s  missing\ngarbage\n%s  bin\nmore garbage\n' "$bad" "$good" "$good" "$bad" >several
lists+=(upper no-hex wrong several)

same() { # ARGUMENTS...
  local want=0 got=0
  sha256sum "$@" >"$work/want" 2>"$work/want.err" <"$input" || want=$?
  ledger sum "$@" >"$work/got" 2>"$work/got.err" <"$input" || got=$?
  sed -i 's/^sha256sum: //' "$work/want.err"
  sed -i 's/^procledger: //' "$work/got.err"
  cmp "$work/want" "$work/got" || fail "sum $*: expected $(cat -A "$work/want"), got $(cat -A "$work/got")"
  cmp "$work/want.err" "$work/got.err" ||
    fail "sum $*: expected on stderr $(cat -A "$work/want.err"), got $(cat -A "$work/got.err")"
  equal "status of sum $*" "$want" "$got"
}

for options in '' --quiet --status -w --strict --ignore-missing '--strict --quiet' '--ignore-missing --status' \
  '--ignore-missing -w' '--status -w' '-w --status' '--quiet --warn --strict' '--ignore-missing --strict -w'; do
  read -ra words <<<"$options"
  input=/dev/null
  # One by one for the options that decide most; all at once for the others.
  case $options in
  '' | -w | --ignore-missing)
    for list in "${lists[@]}"; do same -c "${words[@]}" "$list"; done
    ;;
  esac
  same -c "${words[@]}" "${lists[@]}"
  same -c "${words[@]}" list-1 list-0 several # the order of one file decides for the next
  same -c "${words[@]}" nowhere list-0
  same -c "${words[@]}" folder
  same -c "${words[@]}" /dev/null
  input=$work/several
  same -c "${words[@]}"
  same -c "${words[@]}" -
  same -c "${words[@]}" - list-0 -
  input=$work/bin
  for i in "${!lines[@]}"; do # "-" in a list is standard input
    [[ ${lines[i]} == *'  -\n' ]] && same -c "${words[@]}" "list-$i"
  done
  (
    cd odd || exit 1
    input=/dev/null
    for list in sums sums.tag sums.z sums.b sums.crlf sums.tag.crlf sums.cut sums.mixed; do
      same -c "${words[@]}" "../$list"
    done
  ) || exit 1
done
# Some changed, some gone.
cd odd || exit 1
printf changed >plain
rm -- empty -dash
input=/dev/null
for options in '' --quiet --status --ignore-missing '--ignore-missing --quiet'; do
  read -ra words <<<"$options"
  for list in sums sums.tag sums.crlf; do same -c "${words[@]}" "../$list"; done
done
# More lines than a batch takes.
cd "$work" || exit 1
for i in {1..300}; do printf '%s  bin\n%s  missing-%s\n%s  ./bin\n' "$good" "$good" "$i" "$bad"; done >long
same -c long
same -c -w --strict --ignore-missing long

# A list that comes line by line is answered line by line, like sha256sum's.
mkfifo questions
"$PROCLEDGER_BIN/procledger" --db "$db" sum -c - <questions >"$work/answers" 2>"$work/answers.err" &
checker=$!
keep "$checker"
exec {question}>questions
answered() { [[ $(wc -l <"$work/answers") == "$1" ]]; }
for i in 1 2 3; do
  printf '%s  bin\n' "$good" >&"$question"
  wait_until 60 answered "$i" || fail "line $i was not answered before the next one came"
done
exec {question}>&-
wait "$checker" || fail "status of a list that came slowly: $?"
equal "answers" $'bin: OK\nbin: OK\nbin: OK' "$(cat "$work/answers")"

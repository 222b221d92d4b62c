# SPDX-License-Identifier: LGPL-2.1-or-later
# shellcheck shell=bash
#
# Completion for procledger and procledgerd. Needs bash alone, not the package bash-completion.
# tests/check/check_completion.sh fails when a command or an option of the programs is missing here.

# What every command takes, apart from sum and help; and what some take besides.
_procledger_common='--json --ndjson --csv --utc --no-pager --color= --strict --db --socket --help'
_procledger_window='--since --until'
_procledger_limit='--lines --reverse'

_procledger_commands='ps log show tree who history files gaps runs stats sum doctor help'

_procledger_options() { # COMMAND: its options
  case $1 in
  ps) printf '%s' "$_procledger_common $_procledger_window $_procledger_limit --at" ;;
  log) printf '%s' "$_procledger_common $_procledger_window $_procledger_limit --follow" ;;
  show) printf '%s' "$_procledger_common $_procledger_window $_procledger_limit --eid --pid" ;;
  tree) printf '%s' "$_procledger_common --eid --pid" ;;
  who | history | files | gaps | runs) printf '%s' "$_procledger_common $_procledger_window $_procledger_limit" ;;
  stats | doctor) printf '%s' "$_procledger_common" ;;
  help) printf '%s' '--help' ;;
  sum)
    printf '%s' '--binary --text --tag --zero --check --ignore-missing --quiet --status --strict --warn --stats --db
      --socket --help --version'
    ;;
  *) printf '%s' '--db --socket --help --version' ;;
  esac
}

_procledgerd_options='--db --source --socket --path-ttl --pid-ttl --algorithms --watch --retain --max-db-size --argv
  --ignore --reuse-across-reboot --config --live --probe --verbose --help --version'

_procledger_reply_words() { # WORDS CURRENT
  local word
  COMPREPLY=()
  # Unquoted on purpose: the lists are words of ours.
  for word in $1; do
    [[ $word != "$2"* ]] || COMPREPLY+=("$word")
  done
}

_procledger_reply_files() { # f (files) or d (folders), CURRENT
  local file
  COMPREPLY=()
  while IFS= read -r file; do
    COMPREPLY+=("$file")
  done < <(compgen -"$1" -- "$2")
  compopt -o filenames 2>/dev/null || true # no readline: a test calls us
}

# The last one of a list with commas, each at most once; "none" stands alone.
_procledger_reply_list() { # WORDS CURRENT
  local before='' word
  COMPREPLY=()
  [[ $2 != *,* ]] || before=${2%,*},
  for word in $1; do
    if [[ $before && $word == none || ,$before == *,$word,* ]]; then
      continue
    fi
    if [[ $before$word == "$2"* ]]; then
      COMPREPLY+=("$before$word")
    fi
  done
  compopt -o nospace 2>/dev/null || true
}

# The value of an option: true when it has one that is known here, or that nobody can guess.
_procledger_value() { # OPTION CURRENT
  case $1 in
  --db | --socket | --config) _procledger_reply_files f "$2" ;;
  --watch) _procledger_reply_files d "$2" ;;
  --source) _procledger_reply_words 'auto bpf netlink scan' "$2" ;;
  --argv) _procledger_reply_words 'full redact off' "$2" ;;
  --algorithms) _procledger_reply_list 'sha256 md5 sha1 sha512 none' "$2" ;;
  --color) _procledger_reply_words 'auto always never' "$2" ;;
  -S | -U | --since | --until | --at) _procledger_reply_words 'now today yesterday -15min -1h -1d -1w' "$2" ;;
  -n | --lines | --path-ttl | --pid-ttl | --retain | --max-db-size | --ignore) COMPREPLY=() ;;
  *) return 1 ;;
  esac
}

# Sets current, previous and prefix from where the cursor stands. bash takes "--color=al" apart at the "=", unless the
# user has taken it out of COMP_WORDBREAKS; then the answer must repeat what stands before the value.
_procledger_words() {
  current=${COMP_WORDS[COMP_CWORD]}
  previous=
  prefix=
  ((COMP_CWORD == 0)) || previous=${COMP_WORDS[COMP_CWORD - 1]}
  if [[ $current == '=' && $previous == --* ]]; then
    current=
  elif [[ $previous == '=' ]] && ((COMP_CWORD > 1)); then
    previous=${COMP_WORDS[COMP_CWORD - 2]}
  elif [[ $current == --*=* ]]; then
    previous=${current%%=*}
    prefix=$previous=
    current=${current#*=}
  elif [[ $previous == --color ]]; then
    previous= # its value is optional and stands behind "=" alone
  fi
}

_procledger_finish() {
  local i
  if [[ -n $prefix ]]; then
    COMPREPLY=("${COMPREPLY[@]/#/$prefix}")
  fi
  for i in "${!COMPREPLY[@]}"; do
    [[ ${COMPREPLY[i]} != *= ]] || compopt -o nospace 2>/dev/null || true
  done
}

# The command of the line, "" before there is one.
_procledger_command() {
  local i word
  for ((i = 1; i < COMP_CWORD; i++)); do
    word=${COMP_WORDS[i]}
    case $word in
    --db | --socket | -S | -U | -n | --since | --until | --lines | --at)
      [[ ${COMP_WORDS[i + 1]} != '=' ]] || i=$((i + 1))
      i=$((i + 1))
      ;;
    -* | '=') ;;
    *)
      # Behind "--color=" comes its value.
      if [[ ${COMP_WORDS[i - 1]} != '=' ]]; then
        printf '%s' "$word"
        return
      fi
      ;;
    esac
  done
}

_procledger() {
  local current previous prefix command
  _procledger_words
  command=$(_procledger_command)
  if [[ -n $previous ]] && _procledger_value "$previous" "$current"; then
    _procledger_finish
    return
  fi
  if [[ $current == -* ]]; then
    _procledger_reply_words "$(_procledger_options "$command")" "$current"
  else
    case $command in
    '') _procledger_reply_words "$_procledger_commands" "$current" ;;
    help) _procledger_reply_words "$_procledger_commands" "$current" ;;
    who | history | sum) _procledger_reply_files f "$current" ;;
    *) COMPREPLY=() ;;
    esac
  fi
  _procledger_finish
}

_procledgerd() {
  local current previous prefix
  _procledger_words
  if [[ -z $previous ]] || ! _procledger_value "$previous" "$current"; then
    _procledger_reply_words "$_procledgerd_options" "$current"
  fi
  _procledger_finish
}

complete -F _procledger procledger
complete -F _procledgerd procledgerd

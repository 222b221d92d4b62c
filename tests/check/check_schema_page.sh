#!/usr/bin/env bash
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# procledger-schema(5) names every view of schema/views.sql, under its own ".Ss" line, and there every column of it
# (".It Va NAME", or ".Va NAME" in a list); and it explains no column that is not there. SQLite itself says what the
# views have.
set -euo pipefail
cd "${PROCLEDGER_SOURCE:-$(dirname "$0")/../..}"
page=tools/man/procledger-schema.5

if ! command -v sqlite3 >/dev/null; then
  printf 'SKIPPED: check_schema_page: sqlite3 is not installed\n'
  exit 77
fi

bad=0
say() {
  printf '%s\n' "$*"
  bad=$((bad + 1))
}

# One line "VIEW COLUMN" each, of the views and of the page; a view without columns on the page is "VIEW" alone.
views=$({
  cat schema/migrations/*.sql schema/views.sql
  printf "SELECT v.name || ' ' || c.name FROM sqlite_schema v, pragma_table_info(v.name) c WHERE v.type = 'view';\n"
} | sqlite3 -bail -batch :memory:)
named() { # PATTERN: with the view in front, the names that stand behind it
  awk -v pattern="$1" '
    /^\.Sh/ { views = $2 == "VIEWS"; view = "" }
    /^\.Ss/ && views { view = $2 }
    view && $0 ~ pattern { print view, $0 ~ /^\.It/ ? $3 : $2 }' "$page"
}
explained=$(named '^[.]It Va ')
all=$(named '^[.](It )?Va ')

while read -r view column; do
  grep -qx "$view $column" <<<"$all" || say "$page: column $column of view $view is not named"
done <<<"$views"
while read -r view column; do
  grep -qx "$view $column" <<<"$views" || say "$page: explains $column under $view, which has no such column"
done <<<"$explained"

seen=$(wc -l <<<"$views")
if ((seen < 100)); then
  say "only $seen columns found: this check looks in the wrong place"
fi
printf '%d columns read, %d against the page\n' "$seen" "$bad"
exit $((bad != 0))

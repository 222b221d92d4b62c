/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* procledger gaps: what the ledger knows it does not know. */
#include "tools/procledger/cli.h"

static const pl_column columns[] = {
    {"time", "FROM", PL_SHOW_TIME},     {"end_time", "TO", PL_SHOW_TIME},   {"lost", "LOST", PL_SHOW_INTEGER},
    {"source", "SOURCE", PL_SHOW_TEXT}, {"reason", "REASON", PL_SHOW_TEXT},
};
static const pl_layout layout = {columns, sizeof(columns) / sizeof(columns[0])};

static int run(pl_cli *cli)
{
    return pl_list_run(cli, &(pl_listing){.forward = PL_SQL_GAPS, .layout = &layout});
}

const pl_command pl_command_gaps = {
    .name = "gaps",
    .operands = "",
    .summary = "What is known to be missing",
    .help = "Oldest first. LOST is how many records, - where nobody can know. Without any gap the exit status is 1.\n\n"
            "Example: procledger gaps -S today\n",
    .takes = PL_TAKES_ROWS | PL_TAKES_WINDOW | PL_TAKES_LIMIT,
    .run = run,
};

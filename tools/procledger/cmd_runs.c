/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* procledger runs: when a recorder ran on this ledger, how it ended, and what it counted. */
#include "tools/procledger/cli.h"

static const pl_column columns[] = {
    {"time", "START", PL_SHOW_TIME},
    {"end_time", "END", PL_SHOW_TIME},
    {"clean", "CLEAN", PL_SHOW_INTEGER},
    {"version", "VERSION", PL_SHOW_TEXT},
    {"source", "SOURCE", PL_SHOW_TEXT},
    {"executions", "EXECUTIONS", PL_SHOW_INTEGER},
    {"lost", "LOST", PL_SHOW_INTEGER},
    {"files_hashed", "READ", PL_SHOW_INTEGER},
    {"bytes_hashed", "BYTES READ", PL_SHOW_BYTES},
    {"hits_hot", "HOT", PL_SHOW_INTEGER},
    {"hits_ledger", "LEDGER", PL_SHOW_INTEGER},
    {"kernel", "KERNEL", PL_SHOW_TEXT},
    {"hostname", "HOST", PL_SHOW_TEXT},
};
static const pl_layout layout = {columns, sizeof(columns) / sizeof(columns[0])};

static int run(pl_cli *cli)
{
    return pl_list_run(cli, &(pl_listing){.forward = PL_SQL_RUNS, .layout = &layout});
}

const pl_command pl_command_runs = {
    .name = "runs",
    .operands = "",
    .summary = "Runs of the recorder",
    .help = "Oldest first. CLEAN is 1 when it ended as asked, 0 when it was killed, - while it runs.\n\n"
            "Example: procledger runs -n 5\n",
    .takes = PL_TAKES_ROWS | PL_TAKES_WINDOW | PL_TAKES_LIMIT,
    .run = run,
};

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* procledger history: which bytes a path held from when to when, or which paths held these bytes. */
#include "tools/procledger/cli.h"

static const pl_column columns[] = {
    {"first_time", "FIRST", PL_SHOW_TIME}, {"last_time", "LAST", PL_SHOW_TIME}, {"end_time", "END", PL_SHOW_TIME},
    {"end_reason", "WHY", PL_SHOW_TEXT},   {"detected_by", "BY", PL_SHOW_TEXT}, {"size", "SIZE", PL_SHOW_BYTES},
    {"sha256", "SHA256", PL_SHOW_HASH},    {"path", "PATH", PL_SHOW_TEXT},
};
static const pl_layout layout = {columns, sizeof(columns) / sizeof(columns[0])};

static int run(pl_cli *cli)
{
    const pl_listing listing = {.forward = PL_SQL_HISTORY, .layout = &layout, .windowed = true};

    return pl_list_run_target(cli, &listing, cli->operands[0]);
}

const pl_command pl_command_history = {
    .name = "history",
    .operands = "PATH|SHA256",
    .summary = "Versions of a file, or the files that held a checksum",
    .help = "Oldest first. A version without END is the current one. -S and -U keep those that held at some moment "
            "between.\n\n"
            "Example: procledger history /usr/bin/curl\n",
    .takes = PL_TAKES_ROWS | PL_TAKES_WINDOW | PL_TAKES_LIMIT,
    .least = 1,
    .most = 1,
    .run = run,
};

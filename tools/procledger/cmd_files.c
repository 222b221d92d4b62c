/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* procledger files: the files that are tracked now, with their checksums. */
#include "tools/procledger/cli.h"

static const pl_column columns[] = {
    {"sha256", "SHA256", PL_SHOW_HASH},       {"size", "SIZE", PL_SHOW_BYTES}, {"assurance", "ASSURANCE", PL_SHOW_TEXT},
    {"last_time", "LAST SEEN", PL_SHOW_TIME}, {"path", "PATH", PL_SHOW_TEXT},
};
static const pl_layout layout = {columns, sizeof(columns) / sizeof(columns[0])};

static int run(pl_cli *cli)
{
    /* What is tracked now is no answer about a time, unless one was asked for. */
    bool windowed = cli->since || cli->until;

    return pl_list_run(cli, &(pl_listing){.forward = PL_SQL_FILES, .layout = &layout, .windowed = windowed});
}

const pl_command pl_command_files = {
    .name = "files",
    .operands = "",
    .summary = "Files that are tracked now, with their checksums",
    .help = "By path. -S and -U narrow it by when the file was last seen.\n\n"
            "Example: procledger files --csv > files.csv\n",
    .takes = PL_TAKES_ROWS | PL_TAKES_WINDOW | PL_TAKES_LIMIT,
    .run = run,
};

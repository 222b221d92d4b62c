/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* procledger who: who ran this path, or these bytes wherever they lay; as an image or as a script. */
#include "tools/procledger/cli.h"

static const pl_column columns[] = {
    {"time", "TIME", PL_SHOW_TIME_MS},    {"eid", "EID", PL_SHOW_INTEGER},         {"pid", "PID", PL_SHOW_INTEGER},
    {"uid", "USER", PL_SHOW_USER},        {"auid", "LOGIN", PL_SHOW_USER},         {"result", "END", PL_SHOW_RESULT},
    {"sha256", "SHA256", PL_SHOW_HASH},   {"parent_path", "PARENT", PL_SHOW_TEXT}, {"path", "PATH", PL_SHOW_TEXT},
    {"cmdline", "COMMAND", PL_SHOW_TEXT},
};
static const pl_layout layout = {columns, sizeof(columns) / sizeof(columns[0])};

static int run(pl_cli *cli)
{
    const pl_listing listing = {
        .forward = PL_SQL_WHO_FORWARD,
        .backward = PL_SQL_WHO_BACKWARD,
        .start = PL_SQL_WHO_START,
        .paged = true,
        .layout = &layout,
        .windowed = true,
    };

    return pl_list_run_target(cli, &listing, cli->operands[0]);
}

const pl_command pl_command_who = {
    .name = "who",
    .operands = "PATH|SHA256",
    .summary = "Executions of a file, or of a checksum",
    .help =
        "Also scripts, by the path or checksum of the script. Eight or more hex digits are a sha256 or the beginning\n"
        "of one; write ./ before a file with such a name. Links in PATH are resolved, if it is still there.\n\n"
        "Example: procledger who /usr/bin/curl -S yesterday\n",
    .takes = PL_TAKES_ROWS | PL_TAKES_WINDOW | PL_TAKES_LIMIT,
    .least = 1,
    .most = 1,
    .run = run,
};

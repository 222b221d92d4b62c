/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* procledger ps: what is alive as far as the ledger knows, or was at --at TIME. Memory, not /proc. */
#include "tools/procledger/cli.h"

#include "src/base/cleanup.h"
#include "src/base/clock.h"

static const pl_column columns[] = {
    {"pid", "PID", PL_SHOW_INTEGER},   {"ppid", "PPID", PL_SHOW_INTEGER},    {"euid", "USER", PL_SHOW_USER},
    {"time", "STARTED", PL_SHOW_TIME}, {"eid", "EID", PL_SHOW_INTEGER},      {"sha256", "SHA256", PL_SHOW_HASH12},
    {"path", "PATH", PL_SHOW_TEXT},    {"cmdline", "COMMAND", PL_SHOW_TEXT},
};
static const pl_layout layout = {columns, sizeof(columns) / sizeof(columns[0])};

static int bind_at(void *context, pl_query *query)
{
    const pl_cli *cli = context;
    int rc = pl_query_bind_integer(query, ":at", cli->at_ns / PL_NS_PER_S);

    return rc < 0 ? rc : pl_query_bind_integer(query, ":at_ns", cli->at_ns % PL_NS_PER_S);
}

/* A recorder that ended knows nothing of what came later; one that was killed did not say that it ended. */
static int warn_if_ended(pl_cli *cli)
{
    pl_auto_query pl_query *query = NULL;
    int rc = pl_query_new(cli->store, PL_SQL_PS_RECORDED_UNTIL, &query);

    if (rc == 0)
        rc = pl_query_step(query);
    if (rc == 1 && (pl_query_type(query, 0) == PL_CELL_INTEGER || pl_holder_of(pl_store_path(cli->store)) == 0))
        pl_cli_say("the recorder is not running: this is what was alive when it ended");
    return rc < 0 ? rc : 0;
}

static int run(pl_cli *cli)
{
    const pl_listing at = {.forward = PL_SQL_PS_AT, .layout = &layout, .bind = bind_at, .context = cli};
    const pl_listing now = {.forward = PL_SQL_PS_NOW, .layout = &layout};
    int rc = pl_cli_open(cli);

    if (rc == 0 && !cli->at)
        rc = warn_if_ended(cli);
    if (rc == 0)
        rc = pl_list_print(cli, cli->at ? &at : &now);
    if (rc < 0)
        return pl_cli_end_failed(cli, rc);
    int64_t moment_s = (cli->at ? cli->at_ns : cli->now_ns) / PL_NS_PER_S;
    return pl_cli_end_window(cli, moment_s, moment_s);
}

const pl_command pl_command_ps = {
    .name = "ps",
    .operands = "",
    .summary = "Processes that are alive, or were at a time",
    .help = "Shows the image that each process runs, by pid. -S and -U narrow it by the time of the exec.\n\n"
            "Example: procledger ps --at '2026-01-01 12:00'\n",
    .takes = PL_TAKES_ROWS | PL_TAKES_WINDOW | PL_TAKES_LIMIT | PL_TAKES_AT,
    .run = run,
};

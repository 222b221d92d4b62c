/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * procledger log: executions in the order of their time; -f goes on as they are recorded. Following asks for eids
 * above the last one shown, four times a second: that is one look into an index, and needs no cooperation of the
 * recorder.
 */
#include "tools/procledger/cli.h"

#include <poll.h>
#include <unistd.h>

#include "src/base/cleanup.h"
#include "src/base/error.h"

#define FOLLOW_MS 250
#define FOLLOW_ROWS 10 /* shown before following, unless -n or -S says otherwise */
#define FOLLOW_PAGE 1000

static const pl_column columns[] = {
    {"time", "TIME", PL_SHOW_TIME_MS}, {"eid", "EID", PL_SHOW_INTEGER},      {"pid", "PID", PL_SHOW_INTEGER},
    {"euid", "USER", PL_SHOW_USER},    {"result", "END", PL_SHOW_RESULT},    {"sha256", "SHA256", PL_SHOW_HASH12},
    {"path", "PATH", PL_SHOW_TEXT},    {"cmdline", "COMMAND", PL_SHOW_TEXT},
};
static const pl_layout layout = {columns, sizeof(columns) / sizeof(columns[0])};

static const pl_listing listing = {
    .forward = PL_SQL_LOG_FORWARD,
    .backward = PL_SQL_LOG_BACKWARD,
    .start = PL_SQL_LOG_START,
    .paged = true,
    .layout = &layout,
    .windowed = true,
};

static int last_eid(pl_cli *cli, int64_t *out)
{
    pl_auto_query pl_query *query = NULL;
    int rc = pl_query_new(cli->store, PL_SQL_LOG_LAST_EID, &query);

    if (rc == 0)
        rc = pl_query_step(query);
    if (rc < 0)
        return rc;
    *out = rc == 1 ? pl_query_integer(query, 0) : 0;
    return 0;
}

/* Rows behind *after, printed. 0 or negative. */
static int follow_once(pl_cli *cli, pl_query *query, int64_t *after)
{
    pl_row row;
    int64_t got = 0;
    int rc = pl_query_bind_integer(query, ":after_eid", *after);

    while (rc == 0 && (rc = pl_query_step(query)) == 1) {
        *after = pl_query_integer(query, 0);
        rc = pl_row_read(&row, query, pl_cli_wants_json(cli));
        if (rc == 0)
            pl_output_row(&cli->output, &row.record);
        got++;
    }
    pl_query_reset(query);
    if (rc < 0)
        return rc;
    rc = got > 0 ? pl_output_flush(&cli->output) : 0;
    return rc < 0 ? rc : got == FOLLOW_PAGE;
}

/* Until the reader of our output goes, or a signal ends us. */
static int follow(pl_cli *cli, int64_t after)
{
    pl_auto_query pl_query *query = NULL;
    int rc = pl_query_new(cli->store, PL_SQL_LOG_FOLLOW, &query);

    if (rc == 0)
        rc = pl_query_bind_integer(query, ":limit", FOLLOW_PAGE);
    while (rc >= 0) {
        struct pollfd reader = {.fd = STDOUT_FILENO};
        rc = follow_once(cli, query, &after);
        if (rc != 0)
            continue;
        if (poll(&reader, 1, FOLLOW_MS) > 0 && (reader.revents & (POLLERR | POLLHUP)))
            break;
    }
    return rc;
}

static int run_follow(pl_cli *cli)
{
    int64_t after = 0;
    int rc = pl_cli_open(cli);

    if (!cli->since && cli->limit < 0)
        cli->limit = FOLLOW_ROWS;
    if (rc == 0)
        rc = last_eid(cli, &after);
    cli->max_eid = after; /* so that what comes in meanwhile is not shown twice */
    if (rc == 0)
        rc = pl_list_print(cli, &listing);
    if (rc == 0)
        rc = follow(cli, after);
    return rc < 0 ? pl_cli_end_failed(cli, rc) : PL_EXIT_FINE;
}

static int run(pl_cli *cli)
{
    return cli->follow ? run_follow(cli) : pl_list_run(cli, &listing);
}

const pl_command pl_command_log = {
    .name = "log",
    .operands = "",
    .summary = "Executions, in the order of their time",
    .help =
        "Oldest first; -n N shows the last N, -r begins with the newest. -f shows the last ten, or those since -S,\n"
        "and goes on as executions are recorded. END is the exit code, a signal, or why no more is known.\n\n"
        "Example: procledger log -S -2h -n 20\n",
    .takes = PL_TAKES_ROWS | PL_TAKES_WINDOW | PL_TAKES_LIMIT | PL_TAKES_FOLLOW,
    .run = run,
};

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* procledger show: everything the ledger knows of an execution, or of those of a pid. */
#include "tools/procledger/cli.h"

#include "src/base/cleanup.h"

static const pl_layout layout = {0};

static int bind(void *context, pl_query *query)
{
    const pl_cli *cli = context;
    int64_t number = 0;
    int rc = pl_options_number(cli->operands[0], 1, &number);

    if (rc == 0 && cli->id_kind != PL_ID_PID)
        rc = pl_query_bind_integer(query, ":eid", number);
    if (rc == 0 && cli->id_kind != PL_ID_EID)
        rc = pl_query_bind_integer(query, ":pid", number);
    return rc;
}

/* One execution by its number is there or not; the list of a pid's may have holes. 1: may; 0; negative. */
static int may_have_holes(pl_cli *cli, int64_t number)
{
    pl_auto_query pl_query *query = NULL;

    if (cli->id_kind != PL_ID_ANY)
        return cli->id_kind == PL_ID_PID;
    int rc = pl_query_new(cli->store, PL_SQL_TREE_ROOT, &query);
    if (rc == 0)
        rc = pl_query_bind_integer(query, ":eid", number);
    if (rc == 0)
        rc = pl_query_step(query);
    return rc < 0 ? rc : rc == 0;
}

static int run(pl_cli *cli)
{
    int64_t number = 0;
    int rc = pl_options_number(cli->operands[0], 1, &number);

    if (rc == 0)
        rc = pl_cli_open(cli);
    if (rc == 0)
        rc = may_have_holes(cli, number);
    if (rc < 0)
        return pl_cli_fail(rc);
    return pl_list_run(
        cli, &(pl_listing){
                 .forward = PL_SQL_SHOW_ANY, .layout = &layout, .bind = bind, .context = cli, .windowed = rc == 1});
}

const pl_command pl_command_show = {
    .name = "show",
    .operands = "EID|PID",
    .summary = "All that is known of an execution, or of a pid",
    .help = "The execution with that number first, then those of the process id, newest first; --eid and --pid choose\n"
            "one of the two. -S and -U narrow the executions of a pid.\n\n"
            "Example: procledger show --pid 4711\n",
    .takes = PL_TAKES_ROWS | PL_TAKES_WINDOW | PL_TAKES_LIMIT | PL_TAKES_ID,
    .least = 1,
    .most = 1,
    .run = run,
};

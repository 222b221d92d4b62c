/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* procledger stats: the counters of the newest run up to its last commit, and what the file holds. */
#include "tools/procledger/cli.h"

static const pl_layout layout = {0};

static int bind(void *context, pl_query *query)
{
    const pl_cli *cli = context;
    uint64_t database = 0, wal = 0;
    int rc = pl_store_size(cli->store, &database, &wal);

    if (rc == 0)
        rc = pl_query_bind_integer(query, ":database_bytes", (int64_t)database);
    return rc < 0 ? rc : pl_query_bind_integer(query, ":wal_bytes", (int64_t)wal);
}

static int run(pl_cli *cli)
{
    return pl_list_run(cli, &(pl_listing){.forward = PL_SQL_STATS, .layout = &layout, .bind = bind, .context = cli});
}

const pl_command pl_command_stats = {
    .name = "stats",
    .operands = "",
    .summary = "Counters of the newest run, and what the file holds",
    .help =
        "files_hashed and bytes_hashed are what the recorder read, hits_hot and hits_ledger what it did not need to.\n"
        "'procledger runs' shows the counters of earlier runs.\n\n"
        "Example: procledger stats --json\n",
    .takes = PL_TAKES_ROWS,
    .run = run,
};

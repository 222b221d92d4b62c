/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * procledger tree: the ancestors and descendants of one execution. The query gives them in the order of drawing with
 * their depth; here they get their branches. Ancestors are a straight line down to the one that was asked for, beside
 * which stand the other images of the same process.
 */
#include "tools/procledger/cli.h"

#include <inttypes.h>
#include <langinfo.h>
#include <stdlib.h>
#include <string.h>

#include "src/base/cleanup.h"
#include "src/base/clock.h"
#include "src/base/error.h"

#define NODES_MAX 10000
#define DEPTH_MAX 512

typedef struct node {
    int64_t depth;
    size_t from, length; /* of its text */
    bool asked;
} node;

typedef struct drawing {
    node *nodes; /* owned */
    size_t count, size;
    pl_buffer text;
    int64_t eid;                   /* that was asked for */
    int64_t first_time, last_time; /* between which something may be missing */
} drawing;

static void drawing_deinit(drawing *d)
{
    free(d->nodes);
    pl_buffer_deinit(&d->text);
}

static void put_field(pl_buffer *out, const pl_record *record, const char *name)
{
    const pl_field *field = pl_record_find(record, name);

    if (field && field->type == PL_CELL_TEXT)
        pl_buffer_escaped(out, field->text, field->length);
    else
        pl_buffer_text(out, "?");
}

static int drawing_add(drawing *d, const pl_record *record)
{
    if (d->count == d->size) {
        size_t size = d->size ? d->size * 2 : 64;
        node *nodes = realloc(d->nodes, size * sizeof(*nodes));
        if (!nodes)
            return pl_error_nomem();
        d->nodes = nodes;
        d->size = size;
    }
    size_t from = d->text.length;
    const pl_field *cmdline = pl_record_find(record, "cmdline");
    pl_buffer_format(&d->text, "%" PRId64 " ", pl_record_integer(record, "pid", 0));
    put_field(&d->text, record, "path");
    pl_buffer_format(&d->text, "  [eid %" PRId64, pl_record_integer(record, "eid", 0));
    if (pl_record_integer(record, "end_time", -1) >= 0) {
        pl_buffer_text(&d->text, ", ended: ");
        pl_show_cell(NULL, &(pl_column){"result", "", PL_SHOW_RESULT}, record, &d->text);
    }
    pl_buffer_text(&d->text, "]");
    if (cmdline && cmdline->type == PL_CELL_TEXT) {
        pl_buffer_text(&d->text, "  ");
        pl_buffer_escaped(&d->text, cmdline->text, cmdline->length);
    }
    d->nodes[d->count++] = (node){.depth = pl_record_integer(record, "depth", 0),
                                  .from = from,
                                  .length = d->text.length - from,
                                  .asked = pl_record_integer(record, "eid", 0) == d->eid};
    return 0;
}

/* A sibling comes later, before the subtree is left. */
static bool has_next(const drawing *d, size_t i, int64_t depth)
{
    for (size_t k = i + 1; k < d->count && d->nodes[k].depth >= depth; k++)
        if (d->nodes[k].depth == depth)
            return true;
    return false;
}

static void draw(drawing *d, bool color, pl_buffer *out)
{
    bool utf8 = strcmp(nl_langinfo(CODESET), "UTF-8") == 0;
    const char *pass = utf8 ? "│  " : "|  ", *mid = utf8 ? "├─ " : "|- ", *last = utf8 ? "└─ " : "`- ";
    int64_t top = d->count ? d->nodes[0].depth : 0;
    bool open[DEPTH_MAX + 1] = {false}; /* at that depth another sibling is still to come */

    for (size_t i = 0; i < d->count; i++) {
        const node *n = &d->nodes[i];
        int64_t level = n->depth - top;
        if (level > DEPTH_MAX)
            continue;
        for (int64_t k = 1; k < level; k++)
            pl_buffer_text(out, open[k] ? pass : "   ");
        if (level > 0) {
            open[level] = has_next(d, i, n->depth);
            pl_buffer_text(out, open[level] ? mid : last);
        }
        pl_buffer_text(out, n->asked && color ? "\033[1m" : "");
        pl_buffer_append(out, d->text.bytes + n->from, n->length);
        pl_buffer_text(out, n->asked && color ? "\033[0m" : "");
        pl_buffer_text(out, "\n");
    }
}

/* 0 with the eid, PL_PENDING: no such execution. */
static int find_root(pl_cli *cli, int64_t number, int64_t *eid)
{
    pl_auto_query pl_query *query = NULL;
    int rc = pl_query_new(cli->store, PL_SQL_TREE_ROOT, &query);

    if (rc == 0 && cli->id_kind != PL_ID_EID)
        rc = pl_query_bind_integer(query, ":pid", number);
    if (rc == 0 && cli->id_kind != PL_ID_PID)
        rc = pl_query_bind_integer(query, ":eid", number);
    if (rc == 0)
        rc = pl_query_step(query);
    if (rc < 0)
        return rc;
    *eid = rc == 1 ? pl_query_integer(query, 0) : 0;
    return rc == 1 ? 0 : PL_PENDING;
}

/* A descendant may be missing from the start of the one that was asked for until the last of them ended. */
static void widen(drawing *d, const pl_record *record)
{
    int64_t time = pl_record_integer(record, "time", 0), end = pl_record_integer(record, "end_time", INT64_MAX);

    if (pl_record_integer(record, "depth", -1) < 0)
        return;
    if (time < d->first_time)
        d->first_time = time;
    if (end > d->last_time)
        d->last_time = end;
}

static int read_tree(pl_cli *cli, drawing *d)
{
    static const pl_layout layout = {0};
    pl_auto_query pl_query *query = NULL;
    bool table = cli->format == &pl_output_table;
    pl_row row;
    int rc = pl_query_new(cli->store, PL_SQL_TREE, &query);

    if (rc == 0)
        rc = pl_query_bind_integer(query, ":eid", d->eid);
    if (rc == 0)
        rc = pl_query_bind_integer(query, ":limit", NODES_MAX);
    if (rc < 0)
        return rc;
    pl_row_names(&row, query);
    rc = pl_cli_begin(cli, &layout, &row.record);
    while (rc == 0 && (rc = pl_query_step(query)) == 1) {
        rc = pl_row_read(&row, query, pl_cli_wants_json(cli));
        if (rc == 0)
            widen(d, &row.record);
        if (rc == 0 && table) {
            rc = drawing_add(d, &row.record);
            cli->output.rows++;
        } else if (rc == 0) {
            pl_output_row(&cli->output, &row.record);
        }
    }
    return rc;
}

static int run(pl_cli *cli)
{
    drawing d = {.first_time = INT64_MAX};
    int64_t number = 0;
    int rc = pl_options_number(cli->operands[0], 1, &number);

    if (rc == 0)
        rc = pl_cli_open(cli);
    if (rc == 0)
        rc = find_root(cli, number, &d.eid);
    if (rc >= 0)
        rc = read_tree(cli, &d);
    if (rc == 0 && cli->format == &pl_output_table) {
        draw(&d, cli->output.color, &cli->output.buffer);
        rc = d.text.failed ? pl_error_nomem() : 0;
    }
    bool cut = cli->output.rows >= NODES_MAX;
    drawing_deinit(&d);
    if (rc < 0)
        return pl_cli_end_failed(cli, rc);
    int status = pl_cli_end_window(cli, d.first_time, d.last_time);
    if (cut)
        pl_cli_say("the tree is larger: the first %d are shown", NODES_MAX);
    return status;
}

const pl_command pl_command_tree = {
    .name = "tree",
    .operands = "PID|EID",
    .summary = "Ancestors and descendants of a process",
    .help = "The newest execution of that pid, or else the execution with that number; --pid and --eid choose. What a\n"
            "process ran before and after in its place (exec) stands beside it. Other formats have the same rows in\n"
            "the order of the tree, with a column depth: below 0 for ancestors, above 0 for descendants.\n\n"
            "Example: procledger tree 4711\n",
    .takes = PL_TAKES_ROWS | PL_TAKES_ID,
    .least = 1,
    .most = 1,
    .run = run,
};

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * From a query's row to a record, and from a query to a printed list. A list that may be huge is read in pages, each
 * a read transaction of its own that is over before anything is written: a slow reader of ours never makes the WAL
 * of the recorder grow.
 */
#include "tools/procledger/cli.h"

#include <string.h>

#include "src/base/clock.h"
#include "src/base/cleanup.h"
#include "src/base/error.h"

#define PAGE_ROWS 1000

void pl_row_names(pl_row *row, const pl_query *query)
{
    int columns = pl_query_columns(query);
    size_t count = columns < PL_FIELDS_MAX ? (size_t)columns : PL_FIELDS_MAX;

    for (size_t i = 0; i < count; i++)
        row->fields[i] = (pl_field){.name = pl_query_column_name(query, (int)i), .type = PL_CELL_NULL};
    row->record = (pl_record){.fields = row->fields, .count = count};
}

int pl_row_read(pl_row *row, pl_query *query, bool json)
{
    pl_row_names(row, query);
    for (size_t i = 0; i < row->record.count; i++) {
        pl_field *field = &row->fields[i];
        field->type = pl_query_type(query, (int)i);
        switch (field->type) {
        case PL_CELL_NULL:
            break;
        case PL_CELL_INTEGER:
            field->integer = pl_query_integer(query, (int)i);
            break;
        case PL_CELL_REAL:
            field->real = pl_query_real(query, (int)i);
            break;
        case PL_CELL_TEXT:
            field->text = pl_query_text(query, (int)i, &field->length);
            break;
        case PL_CELL_BLOB:
            field->text = pl_query_blob(query, (int)i, &field->length);
            break;
        }
        bool bytes = field->type == PL_CELL_TEXT || field->type == PL_CELL_BLOB;
        if (bytes && !field->text && field->type == PL_CELL_TEXT)
            return pl_error_nomem();
        if (bytes && !field->text)
            field->length = 0;
    }
    if (json) {
        row->record.json = pl_query_row_json(query);
        if (!row->record.json)
            return pl_error_nomem();
    }
    return 0;
}

bool pl_cli_wants_json(const pl_cli *cli)
{
    return cli->format == &pl_output_json || cli->format == &pl_output_ndjson;
}

static int bind_if(pl_query *query, const char *name, int64_t value)
{
    return pl_query_has_parameter(query, name) ? pl_query_bind_integer(query, name, value) : 0;
}

int pl_bind_window(pl_query *query, const pl_cli *cli)
{
    const struct {
        const char *name;
        int64_t value;
    } values[] = {
        {":since", cli->since_ns / PL_NS_PER_S},
        {":since_ns", cli->since_ns % PL_NS_PER_S},
        {":until", cli->until_ns / PL_NS_PER_S},
        {":until_ns", cli->until_ns % PL_NS_PER_S},
        {":limit", cli->limit},
        {":reverse", cli->reverse},
        {":max_eid", cli->max_eid},
    };

    for (size_t i = 0; i < sizeof(values) / sizeof(values[0]); i++) {
        int rc = bind_if(query, values[i].name, values[i].value);
        if (rc < 0)
            return rc;
    }
    return 0;
}

static int list_query(pl_cli *cli, const pl_listing *listing, enum pl_sql name, pl_query **out)
{
    pl_auto_query pl_query *query = NULL;
    int rc = pl_query_new(cli->store, name, &query);

    if (rc == 0)
        rc = pl_bind_window(query, cli);
    if (rc == 0 && listing->bind)
        rc = listing->bind(listing->context, query);
    if (rc == 0)
        *out = pl_steal(&query);
    return rc;
}

/* Where paging goes on: the key of the last row. */
typedef struct cursor {
    int64_t time, eid;
} cursor;

/* With -n and without -r: the key just before the last :limit rows. */
static int find_start(pl_cli *cli, const pl_listing *listing, cursor *after)
{
    pl_auto_query pl_query *query = NULL;
    int rc = list_query(cli, listing, listing->start, &query);

    if (rc == 0)
        rc = pl_query_step(query);
    if (rc == 1) {
        *after = (cursor){pl_query_integer(query, 0), pl_query_integer(query, 1)};
        rc = 0;
    }
    return rc;
}

/* One page. 1: there may be more; 0: that was the last; negative. *left: rows still wanted, -1: all. */
static int list_page(pl_cli *cli, pl_query *query, cursor *after, int64_t *left)
{
    int64_t want = *left >= 0 && *left < PAGE_ROWS ? *left : PAGE_ROWS, got = 0;
    pl_row row;
    int rc = bind_if(query, ":after_time", after->time);

    if (rc == 0)
        rc = bind_if(query, ":after_eid", after->eid);
    if (rc == 0)
        rc = bind_if(query, ":limit", want);
    while (rc == 0 && (rc = pl_query_step(query)) == 1) {
        rc = pl_row_read(&row, query, pl_cli_wants_json(cli));
        if (rc < 0)
            break;
        *after = (cursor){pl_record_integer(&row.record, "time", 0), pl_record_integer(&row.record, "eid", 0)};
        pl_output_row(&cli->output, &row.record);
        got++;
    }
    pl_query_reset(query); /* the transaction ends before anything is written */
    if (rc == 0)
        rc = pl_output_flush(&cli->output);
    if (rc < 0)
        return rc;
    if (*left >= 0)
        *left -= got;
    return got == want && *left != 0;
}

static int list_pages(pl_cli *cli, const pl_listing *listing)
{
    pl_auto_query pl_query *query = NULL;
    cursor after = cli->reverse ? (cursor){INT64_MAX, INT64_MAX} : (cursor){INT64_MIN, INT64_MIN};
    int64_t left = cli->limit;
    pl_row row;
    int rc = cli->limit >= 0 && !cli->reverse ? find_start(cli, listing, &after) : 0;

    if (rc == 0)
        rc = list_query(cli, listing, cli->reverse ? listing->backward : listing->forward, &query);
    if (rc < 0)
        return rc;
    pl_row_names(&row, query);
    rc = pl_cli_begin(cli, listing->layout, &row.record);
    while (rc == 0 && (rc = list_page(cli, query, &after, &left)) == 1)
        rc = 0;
    return rc;
}

static int list_whole(pl_cli *cli, const pl_listing *listing)
{
    pl_auto_query pl_query *query = NULL;
    pl_row row;
    int rc = list_query(cli, listing, listing->forward, &query);

    if (rc < 0)
        return rc;
    pl_row_names(&row, query);
    rc = pl_cli_begin(cli, listing->layout, &row.record);
    while (rc == 0 && (rc = pl_query_step(query)) == 1) {
        rc = pl_row_read(&row, query, pl_cli_wants_json(cli));
        if (rc == 0)
            pl_output_row(&cli->output, &row.record);
    }
    return rc;
}

int pl_list_print(pl_cli *cli, const pl_listing *listing)
{
    return listing->paged ? list_pages(cli, listing) : list_whole(cli, listing);
}

int pl_list_run(pl_cli *cli, const pl_listing *listing)
{
    int rc = pl_cli_open(cli);

    if (rc == 0)
        rc = pl_list_print(cli, listing);
    if (rc < 0)
        return pl_cli_end_failed(cli, rc);
    if (!listing->windowed)
        return pl_cli_end(cli);
    return pl_cli_end_window(cli, cli->since_ns / PL_NS_PER_S, cli->until_ns / PL_NS_PER_S);
}

int pl_list_run_target(pl_cli *cli, const pl_listing *listing, const char *word)
{
    pl_listing bound = *listing;
    pl_target target = {0};
    int rc = pl_cli_open(cli);

    if (rc == 0)
        rc = pl_target_init(&target, cli, word);
    if (rc < 0) {
        pl_target_deinit(&target);
        return pl_cli_fail(rc);
    }
    /* An unknown digest binds nothing, so that the formats are the same with no row as with some. */
    bound.bind = pl_target_bind;
    bound.context = &target;
    int status = pl_list_run(cli, &bound);
    pl_target_deinit(&target);
    return status;
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * An array of rows and over it the eponymous virtual table batch_executions (SQLite's "The Virtual Table Mechanism", 2.1.2),
 * which exists in this one connection and in no file. Owns the array and the names in it; must not begin or end
 * transactions.
 *
 * Invariant: the array does not change while the statement runs, since one thread does both.
 */
#include "ledger/store/rows.h"

#include <stdlib.h>
#include <string.h>

#include "src/base/cleanup.h"
#include "src/base/error.h"

#define ROOM_MIN 64
#define ROOM_KEPT 4096 /* a storm's memory is given back */

struct pl_rows {
    pl_store *store; /* borrowed */
    pl_row *array;
    size_t count, room;
};

/* ---- the virtual table: a scan from the first row to the last ---- */

typedef struct table {
    sqlite3_vtab base;
    const pl_rows *rows;
} table;

typedef struct cursor {
    sqlite3_vtab_cursor base;
    const pl_rows *rows;
    size_t at;
} cursor;

static int on_connect(sqlite3 *db, void *rows, int argc, const char *const *argv, sqlite3_vtab **out, char **message)
{
    (void)argc;
    (void)argv;
    (void)message;
    table *t = calloc(1, sizeof(*t));
    if (!t)
        return SQLITE_NOMEM;
    int result = sqlite3_declare_vtab(
        db,
        "CREATE TABLE x(id, time, time_ns, pid, ppid, start_ticks, parent_id, prev_id, image_id, filename_id, "
        "command_id, cwd_id, cred_id, context_id, exit_code, exit_signal, duration_ns, end_time, name, end_reason)");
    if (result != SQLITE_OK) {
        free(t);
        return result;
    }
    t->rows = rows;
    *out = &t->base;
    return SQLITE_OK;
}

static int on_disconnect(sqlite3_vtab *t)
{
    free(t);
    return SQLITE_OK;
}

static int on_best_index(sqlite3_vtab *t, sqlite3_index_info *info)
{
    (void)t;
    info->estimatedCost = 1;
    return SQLITE_OK;
}

static int on_open(sqlite3_vtab *t, sqlite3_vtab_cursor **out)
{
    cursor *c = calloc(1, sizeof(*c));

    if (!c)
        return SQLITE_NOMEM;
    c->rows = ((const table *)t)->rows;
    *out = &c->base;
    return SQLITE_OK;
}

static int on_close(sqlite3_vtab_cursor *c)
{
    free(c);
    return SQLITE_OK;
}

static int on_filter(sqlite3_vtab_cursor *c, int index, const char *name, int argc, sqlite3_value **argv)
{
    (void)index;
    (void)name;
    (void)argc;
    (void)argv;
    ((cursor *)c)->at = 0;
    return SQLITE_OK;
}

static int on_next(sqlite3_vtab_cursor *c)
{
    ((cursor *)c)->at++;
    return SQLITE_OK;
}

static int on_eof(sqlite3_vtab_cursor *c)
{
    return ((cursor *)c)->at >= ((cursor *)c)->rows->count;
}

static int on_column(sqlite3_vtab_cursor *base, sqlite3_context *context, int column)
{
    const cursor *c = (const cursor *)base;
    const pl_row *row = &c->rows->array[c->at];

    if (column < PL_ROW_NUMBERS) {
        if (row->known >> column & 1)
            sqlite3_result_int64(context, row->numbers[column]);
        return SQLITE_OK; /* else NULL */
    }
    sqlite3_result_text(context, column == PL_ROW_NAME ? row->name : row->end_reason, -1, SQLITE_STATIC);
    return SQLITE_OK;
}

static int on_rowid(sqlite3_vtab_cursor *c, sqlite3_int64 *out)
{
    *out = (sqlite3_int64)((cursor *)c)->at;
    return SQLITE_OK;
}

static const sqlite3_module module = {
    .xConnect = on_connect, /* xCreate NULL: there without a CREATE VIRTUAL TABLE, and only so */
    .xDisconnect = on_disconnect,
    .xBestIndex = on_best_index,
    .xOpen = on_open,
    .xClose = on_close,
    .xFilter = on_filter,
    .xNext = on_next,
    .xEof = on_eof,
    .xColumn = on_column,
    .xRowid = on_rowid,
};

/* ---- the array ---- */

int pl_rows_new(pl_store *store, pl_rows **out)
{
    pl_auto_free pl_rows *rows = calloc(1, sizeof(*rows));

    if (!rows)
        return pl_error_nomem();
    rows->store = store;
    int result = sqlite3_create_module_v2(store->db, "batch_executions", &module, rows, NULL);
    if (result != SQLITE_OK)
        return pl_database_error(store, result, "making a virtual table");
    *out = pl_steal(&rows);
    return 0;
}

pl_rows *pl_rows_free(pl_rows *rows)
{
    if (!rows)
        return NULL;
    pl_rows_clear(rows);
    free(rows->array);
    free(rows);
    return NULL;
}

void pl_rows_clear(pl_rows *rows)
{
    for (size_t i = 0; i < rows->count; i++)
        free(rows->array[i].name);
    rows->count = 0;
    if (rows->room > ROOM_KEPT) {
        free(rows->array);
        rows->array = NULL;
        rows->room = 0;
    }
}

int pl_rows_add(pl_rows *rows, const pl_row *row)
{
    if (rows->count == rows->room) {
        size_t room = rows->room ? 2 * rows->room : ROOM_MIN;
        pl_row *array = realloc(rows->array, room * sizeof(*array));
        if (!array)
            return pl_error_nomem();
        rows->array = array;
        rows->room = room;
    }
    rows->array[rows->count++] = *row;
    return 0;
}

int pl_rows_insert(pl_rows *rows, uint64_t *rejected)
{
    int rc = 0;

    if (rows->count == 0)
        return 0;
    sqlite3_stmt *s = pl_database_statement(rows->store, PL_SQL_ST_EXECUTIONS_INSERT, &rc);
    if (!s)
        return rc;
    rc = pl_database_run(rows->store, s);
    if (rc < 0)
        return rc;
    *rejected += rows->count - (size_t)sqlite3_changes(rows->store->db);
    pl_rows_clear(rows);
    return 0;
}

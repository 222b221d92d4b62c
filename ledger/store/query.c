/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Reads for everybody above this floor. Owns one prepared statement a query (several may be open on one store) and the
 * buffer of its last JSON row. Must not let a type of SQLite out, and writes nothing.
 */
#include "ledger/store/query.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ledger/store/database.h"
#include "src/base/error.h"

struct pl_query {
    pl_store *store; /* borrowed */
    sqlite3_stmt *statement;
    sqlite3_stmt *quote; /* json_quote(?): made on first need */
    sqlite3_stmt *array; /* an argv as it is, or quoted where somebody made it no JSON */
    char *text;          /* json's, finished */
};

int pl_query_new(pl_store *store, enum pl_sql name, pl_query **out)
{
    pl_query *query = calloc(1, sizeof(*query));

    if (!query)
        return pl_error_nomem();
    query->store = store;
    errno = 0;
    int result = sqlite3_prepare_v2(store->db, pl_schema_sql[name].text, -1, &query->statement, NULL);
    if (result != SQLITE_OK) {
        int rc = pl_database_error(store, result, pl_schema_sql[name].name);
        free(query);
        return rc;
    }
    *out = query;
    return 0;
}

pl_query *pl_query_free(pl_query *query)
{
    if (query) {
        (void)sqlite3_finalize(query->statement);
        (void)sqlite3_finalize(query->quote);
        (void)sqlite3_finalize(query->array);
        sqlite3_free(query->text);
        free(query);
    }
    return NULL;
}

static int bind_result(const pl_query *query, const char *name, int result)
{
    return result == SQLITE_OK ? 0 : pl_database_error(query->store, result, name);
}

/* Its number, or PL_ERR_INVALID. */
static int parameter(const pl_query *query, const char *name)
{
    int index = sqlite3_bind_parameter_index(query->statement, name);

    return index > 0 ? index : pl_error_set(PL_ERR_INVALID, "the query has no parameter %s", name);
}

int pl_query_bind_integer(pl_query *query, const char *name, int64_t value)
{
    int index = parameter(query, name);

    return index < 0 ? index : bind_result(query, name, sqlite3_bind_int64(query->statement, index, value));
}

int pl_query_bind_text(pl_query *query, const char *name, const char *value)
{
    int index = parameter(query, name);

    if (index < 0)
        return index;
    return bind_result(query, name, sqlite3_bind_text(query->statement, index, value, -1, SQLITE_TRANSIENT));
}

int pl_query_bind_blob(pl_query *query, const char *name, const void *bytes, size_t length)
{
    int index = parameter(query, name);

    if (index < 0)
        return index;
    /* A NULL pointer would bind NULL; an empty blob is another thing. */
    return bind_result(query, name,
                       sqlite3_bind_blob64(query->statement, index, bytes ? bytes : "", length, SQLITE_TRANSIENT));
}

bool pl_query_has_parameter(const pl_query *query, const char *name)
{
    return sqlite3_bind_parameter_index(query->statement, name) > 0;
}

int pl_query_step(pl_query *query)
{
    return pl_database_step(query->store, query->statement);
}

void pl_query_reset(pl_query *query)
{
    (void)sqlite3_reset(query->statement);
}

int pl_query_columns(const pl_query *query)
{
    return sqlite3_column_count(query->statement);
}

const char *pl_query_column_name(const pl_query *query, int column)
{
    return sqlite3_column_name(query->statement, column);
}

pl_cell pl_query_type(const pl_query *query, int column)
{
    switch (sqlite3_column_type(query->statement, column)) {
    case SQLITE_INTEGER:
        return PL_CELL_INTEGER;
    case SQLITE_FLOAT:
        return PL_CELL_REAL;
    case SQLITE_TEXT:
        return PL_CELL_TEXT;
    case SQLITE_BLOB:
        return PL_CELL_BLOB;
    default:
        return PL_CELL_NULL;
    }
}

int64_t pl_query_integer(const pl_query *query, int column)
{
    return sqlite3_column_int64(query->statement, column);
}

double pl_query_real(const pl_query *query, int column)
{
    return sqlite3_column_double(query->statement, column);
}

const char *pl_query_text(const pl_query *query, int column, size_t *length)
{
    const char *text = (const char *)sqlite3_column_text(query->statement, column);

    if (length)
        *length = text ? (size_t)sqlite3_column_bytes(query->statement, column) : 0;
    return text;
}

const void *pl_query_blob(const pl_query *query, int column, size_t *length)
{
    /* Before the bytes, as SQLite asks. An empty blob is NULL to SQLite, and not to our callers. */
    const void *bytes = sqlite3_column_blob(query->statement, column);
    size_t n = (size_t)sqlite3_column_bytes(query->statement, column);

    if (length)
        *length = n;
    if (!bytes && sqlite3_column_type(query->statement, column) != SQLITE_NULL)
        return "";
    return bytes;
}

/* What a statement of one parameter, already bound, makes of it. */
static bool append_result(sqlite3_stmt *statement, sqlite3_str *json)
{
    bool fine = sqlite3_step(statement) == SQLITE_ROW;
    const char *text = fine ? (const char *)sqlite3_column_text(statement, 0) : NULL;

    if (text)
        sqlite3_str_append(json, text, sqlite3_column_bytes(statement, 0));
    (void)sqlite3_reset(statement);
    return text != NULL;
}

static bool append_by(sqlite3_stmt *statement, sqlite3_stmt *row, int column, sqlite3_str *json)
{
    return sqlite3_bind_value(statement, 1, sqlite3_column_value(row, column)) == SQLITE_OK &&
           append_result(statement, json);
}

static bool append_text(pl_query *query, sqlite3_str *json, const char *text)
{
    return sqlite3_bind_text(query->quote, 1, text, -1, SQLITE_STATIC) == SQLITE_OK &&
           append_result(query->quote, json);
}

static bool append_blob(sqlite3_str *json, const unsigned char *bytes, int length)
{
    static const char digits[] = "0123456789ABCDEF";

    sqlite3_str_appendchar(json, 1, '"');
    for (int i = 0; i < length; i++) {
        sqlite3_str_appendchar(json, 1, digits[bytes[i] >> 4]);
        sqlite3_str_appendchar(json, 1, digits[bytes[i] & 15]);
    }
    sqlite3_str_appendchar(json, 1, '"');
    return true;
}

static bool append_cell(pl_query *query, sqlite3_str *json, int column)
{
    sqlite3_stmt *row = query->statement;
    const char *name = sqlite3_column_name(row, column);

    if (!name)
        return false;
    switch (sqlite3_column_type(row, column)) {
    case SQLITE_NULL:
        sqlite3_str_appendall(json, "null");
        return true;
    case SQLITE_BLOB: {
        const unsigned char *bytes = sqlite3_column_blob(row, column);
        return append_blob(json, bytes, sqlite3_column_bytes(row, column));
    }
    case SQLITE_TEXT:
        if (strcmp(name, "argv") == 0)
            return append_by(query->array, row, column, json);
        __attribute__((fallthrough));
    default:
        return append_by(query->quote, row, column, json);
    }
}

static bool prepare_once(pl_query *query, enum pl_sql name, sqlite3_stmt **out)
{
    if (!*out && sqlite3_prepare_v2(query->store->db, pl_schema_sql[name].text, -1, out, NULL) != SQLITE_OK)
        (void)pl_error_nomem();
    return *out != NULL;
}

const char *pl_query_row_json(pl_query *query)
{
    bool fine = true;

    if (!prepare_once(query, PL_SQL_ST_JSON_QUOTE, &query->quote) ||
        !prepare_once(query, PL_SQL_ST_JSON_ARRAY, &query->array))
        return NULL;
    sqlite3_str *json = sqlite3_str_new(query->store->db);
    sqlite3_free(query->text);
    query->text = NULL;
    for (int i = 0, n = sqlite3_column_count(query->statement); fine && i < n; i++) {
        sqlite3_str_appendall(json, i == 0 ? "{" : ",");
        fine = append_text(query, json, sqlite3_column_name(query->statement, i));
        sqlite3_str_appendchar(json, 1, ':');
        fine = fine && append_cell(query, json, i);
    }
    sqlite3_str_appendchar(json, 1, '}');
    fine = fine && sqlite3_str_errcode(json) == SQLITE_OK;
    query->text = sqlite3_str_finish(json);
    if (!fine || !query->text) {
        (void)pl_error_nomem();
        return NULL;
    }
    return query->text;
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Every read: a named query of schema/ with bound parameters, row by row, without a type of SQLite. A pl_query belongs
 * to its store's thread; stepping to the end or freeing ends the read transaction: keep it short, the WAL grows while
 * it is open.
 */
#ifndef PL_STORE_QUERY_H
#define PL_STORE_QUERY_H

#include "ledger/store/store.h"
#include "schema/schema.h"

typedef struct pl_query pl_query;

typedef enum pl_cell { PL_CELL_NULL, PL_CELL_INTEGER, PL_CELL_REAL, PL_CELL_TEXT, PL_CELL_BLOB } pl_cell;

int pl_query_new(pl_store *store, enum pl_sql name, pl_query **out);
pl_query *pl_query_free(pl_query *query);
/* name with its colon: ":since". A parameter that the query does not have: PL_ERR_INVALID. Copies. */
int pl_query_bind_integer(pl_query *query, const char *name, int64_t value);
int pl_query_bind_text(pl_query *query, const char *name, const char *value); /* NULL binds NULL */
int pl_query_bind_blob(pl_query *query, const char *name, const void *bytes, size_t length);
bool pl_query_has_parameter(const pl_query *query, const char *name);
/* 1: a row; 0: the end; negative: failed (PL_ERR_DAMAGED, PL_ERR_BUSY, PL_ERR_IO, ...). */
int pl_query_step(pl_query *query);
/* Back to the start, bindings kept. */
void pl_query_reset(pl_query *query);

int pl_query_columns(const pl_query *query);
const char *pl_query_column_name(const pl_query *query, int column);
pl_cell pl_query_type(const pl_query *query, int column);
int64_t pl_query_integer(const pl_query *query, int column);
double pl_query_real(const pl_query *query, int column);
/* Valid until the next step. length may be NULL. NULL for a NULL cell. */
const char *pl_query_text(const pl_query *query, int column, size_t *length);
const void *pl_query_blob(const pl_query *query, int column, size_t *length);
/* The row as one JSON object text, made by SQLite: integers and reals as numbers, NULL as null, text as strings, blobs as
 * upper-case hex strings, a column called argv as the array that it is. Valid until the next step. NULL: out of memory. */
const char *pl_query_row_json(pl_query *query);

#endif

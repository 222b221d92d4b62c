/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The connection behind a pl_store, for the files of ledger/store alone: the only header that includes sqlite3.h.
 * Belongs to the thread that the store belongs to. Statements are prepared on first use and owned by the handle; whoever
 * gets one steps it to its end or resets it before the next call that commits.
 */
#ifndef PL_STORE_DATABASE_H
#define PL_STORE_DATABASE_H

#include "ledger/store/store.h"
#include "schema/schema.h"

#include <sqlite3.h>

#define PL_APPLICATION_ID 0x706c6564 /* "pled" */

/* A schema as a list of steps: what is embedded, or a test's own. */
typedef struct pl_schema_set {
    const char *const *migrations;
    int version; /* how many */
    const char *views;
} pl_schema_set;

struct pl_store {
    sqlite3 *db;
    char *path; /* absolute, its folder without symbolic links */
    pl_store_mode mode;
    int lock_fd; /* of FILE.lock while this handle holds it, else -1 */
    const pl_clock *clock;
    const pl_log *log;
    sqlite3_stmt *statements[PL_SQL_COUNT];
};

/* pl_store_open with a schema of one's own. */
int pl_store_open_schema(const char *path, const pl_store_options *options, const pl_schema_set *schema,
                         pl_store **out);

/* The code for SQLite's result, with this thread's message "PATH: what: SQLite's words". errno: of that very call (its
 * caller sets it to 0 before), since SQLite keeps it only for some. */
int pl_database_error(const pl_store *store, int result, const char *what);
/* Opens store->db. Asked to write and only able to read, as SQLite does in silence, it fails. */
int pl_database_open(pl_store *store, const char *name, int flags);
/* One or more statements without parameters. */
int pl_database_exec(pl_store *store, const char *sql);
/* First column of the first row of a statement without parameters; *out untouched when there is no row. */
int pl_database_integer(pl_store *store, const char *sql, int64_t *out);
/* Reset, unbound. NULL: failed, the message says why, *code (may be NULL) too. */
sqlite3_stmt *pl_database_statement(pl_store *store, enum pl_sql name, int *code);
/* 1: a row; 0: the end; negative. After the end or a failure the statement is reset. */
int pl_database_step(pl_store *store, sqlite3_stmt *statement);
/* Steps a statement that gives no rows. */
int pl_database_run(pl_store *store, sqlite3_stmt *statement);
/* Gives back the pages that SQLite keeps in memory; they are read again when they are needed. */
void pl_database_release(pl_store *store);
int pl_database_begin(pl_store *store); /* immediate */
int pl_database_commit(pl_store *store);
/* Never fails to leave the transaction: SQLite may have rolled back itself. */
void pl_database_rollback(pl_store *store);

#endif

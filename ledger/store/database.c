/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The few calls of SQLite that the rest of ledger/store is written in: results become our codes, statements are
 * prepared once and reset whenever they end. Owns the table of prepared statements inside the handle, nothing else.
 */
#include "ledger/store/database.h"

#include <errno.h>

#include "src/base/error.h"

static int code_of(int result)
{
    switch (result & 0xff) {
    case SQLITE_NOMEM:
        return PL_ERR_NOMEM;
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
    case SQLITE_PROTOCOL:
        return PL_ERR_BUSY;
    case SQLITE_FULL:
        return PL_ERR_FULL;
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB:
    case SQLITE_ERROR: /* a table or column that is not there: our own SQL is right, so the file is not */
    case SQLITE_SCHEMA:
        return PL_ERR_DAMAGED;
    case SQLITE_READONLY:
        return PL_ERR_READ_ONLY;
    case SQLITE_PERM:
    case SQLITE_AUTH:
    case SQLITE_CANTOPEN:
        return PL_ERR_PERMISSION;
    case SQLITE_RANGE:
    case SQLITE_MISUSE:
    case SQLITE_TOOBIG:
    case SQLITE_MISMATCH:
    case SQLITE_CONSTRAINT:
        return PL_ERR_INVALID;
    case SQLITE_IOERR:
        return result == SQLITE_IOERR_NOMEM ? PL_ERR_NOMEM : PL_ERR_IO;
    default:
        return PL_ERR_IO;
    }
}

/* SQLite says FULL only where write(2) said ENOSPC. A quota, or a WAL that could not be made, looks to it like any other
 * I/O error, so errnum, of the call that failed, is asked, too. */
static bool disk_was_full(int code, int errnum)
{
    return (code == PL_ERR_IO || code == PL_ERR_PERMISSION) &&
           (errnum == ENOSPC || errnum == EDQUOT || errnum == EFBIG);
}

int pl_database_error(const pl_store *store, int result, const char *what)
{
    const int errnum = errno;
    int code = code_of(result);

    if (disk_was_full(code, errnum))
        code = PL_ERR_FULL;
    if (code == PL_ERR_NOMEM)
        return pl_error_nomem();
    const char *words = store->db ? sqlite3_errmsg(store->db) : sqlite3_errstr(result);
    return pl_error_set(code, "%s: %s: %s (SQLite %d)", store->path, what, words, result);
}

int pl_database_open(pl_store *store, const char *name, int flags)
{
    errno = 0;
    int result = sqlite3_open_v2(name, &store->db, flags | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_NOFOLLOW, NULL);
    if (result != SQLITE_OK)
        return pl_database_error(store, result, "opening it");
    const int errnum = errno ? errno : EACCES;
    if ((flags & SQLITE_OPEN_READWRITE) && sqlite3_db_readonly(store->db, "main") == 1)
        return pl_error_errno(pl_error_code(errnum), errnum, "%s: cannot be written", store->path);
    (void)sqlite3_extended_result_codes(store->db, 1);
    return 0;
}

int pl_database_exec(pl_store *store, const char *sql)
{
    errno = 0;
    int result = sqlite3_exec(store->db, sql, NULL, NULL, NULL);

    return result == SQLITE_OK ? 0 : pl_database_error(store, result, "writing");
}

int pl_database_integer(pl_store *store, const char *sql, int64_t *out)
{
    sqlite3_stmt *statement = NULL;
    int64_t value = 0;

    errno = 0;
    int result = sqlite3_prepare_v2(store->db, sql, -1, &statement, NULL);

    if (result == SQLITE_OK)
        result = sqlite3_step(statement);
    if (result == SQLITE_ROW)
        value = sqlite3_column_int64(statement, 0);
    else if (result != SQLITE_DONE) {
        int rc = pl_database_error(store, result, "reading");
        (void)sqlite3_finalize(statement);
        return rc;
    }
    (void)sqlite3_finalize(statement);
    if (result == SQLITE_ROW)
        *out = value;
    return 0;
}

sqlite3_stmt *pl_database_statement(pl_store *store, enum pl_sql name, int *code)
{
    sqlite3_stmt **slot = &store->statements[name];

    if (*slot) {
        (void)sqlite3_reset(*slot);
        (void)sqlite3_clear_bindings(*slot);
        return *slot;
    }
    errno = 0;
    int result = sqlite3_prepare_v3(store->db, pl_schema_sql[name].text, -1, SQLITE_PREPARE_PERSISTENT, slot, NULL);
    if (result != SQLITE_OK) {
        int rc = pl_database_error(store, result, pl_schema_sql[name].name);
        if (code)
            *code = rc;
        return NULL;
    }
    return *slot;
}

int pl_database_step(pl_store *store, sqlite3_stmt *statement)
{
    errno = 0;
    int result = sqlite3_step(statement);
    if (result == SQLITE_ROW)
        return 1;
    int rc = result == SQLITE_DONE ? 0 : pl_database_error(store, result, "stepping");
    (void)sqlite3_reset(statement);
    return rc;
}

int pl_database_run(pl_store *store, sqlite3_stmt *statement)
{
    int rc = pl_database_step(store, statement);

    if (rc > 0)
        (void)sqlite3_reset(statement);
    return rc < 0 ? rc : 0;
}

int pl_database_begin(pl_store *store)
{
    return pl_database_exec(store, "BEGIN IMMEDIATE");
}

int pl_database_commit(pl_store *store)
{
    return pl_database_exec(store, "COMMIT");
}

void pl_database_rollback(pl_store *store)
{
    if (!sqlite3_get_autocommit(store->db))
        (void)sqlite3_exec(store->db, "ROLLBACK", NULL, NULL, NULL);
}

void pl_database_release(pl_store *store)
{
    (void)sqlite3_db_release_memory(store->db);
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Migrations. A file at user_version n has run migrations 1 to n; the views are made anew after the last one, in the
 * same transaction, so that a file is wholly of one version or wholly of the other.
 *
 * A new ledger is built under a name of its own and renamed without replacing: at its final name there is either no
 * file or a complete one, whatever kills us, and two creators cannot meet half way.
 */
#include "ledger/store/migrate.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "ledger/store/guard.h"
#include "src/base/cleanup.h"
#include "src/base/error.h"

#define LOCK_WAIT_MS 5000

static int set_version(pl_store *store, int version)
{
    char sql[160];

    /* A pragma takes no parameters; the number is ours. */
    (void)snprintf(sql, sizeof(sql),
                   "PRAGMA user_version = %d;"
                   "INSERT INTO _meta(key, value) VALUES('schema', '%d') "
                   "ON CONFLICT(key) DO UPDATE SET value = excluded.value;",
                   version, version);
    return pl_database_exec(store, sql);
}

/* Within a transaction. */
static int run_migrations(pl_store *store, const pl_schema_set *schema, int from)
{
    int rc = 0;

    for (int i = from; rc == 0 && i < schema->version; i++)
        rc = pl_database_exec(store, schema->migrations[i]);
    if (rc == 0)
        rc = pl_database_exec(store, schema->views);
    if (rc == 0)
        rc = set_version(store, schema->version);
    return rc;
}

static int build(pl_store *store, const pl_schema_set *schema)
{
    char sql[160];

    /* auto_vacuum before the first table, else never. */
    (void)snprintf(sql, sizeof(sql),
                   "PRAGMA page_size = 4096; PRAGMA auto_vacuum = INCREMENTAL; PRAGMA application_id = %d;",
                   PL_APPLICATION_ID);
    int rc = pl_database_exec(store, sql);
    if (rc == 0)
        rc = pl_database_begin(store);
    if (rc < 0)
        return rc;
    rc = run_migrations(store, schema, 0);
    if (rc == 0)
        rc = pl_database_commit(store);
    if (rc < 0) {
        pl_database_rollback(store);
        return rc;
    }
    /* Last: until here the file has no companions that could stay behind; closing takes the WAL away again. */
    return pl_database_exec(store, "PRAGMA journal_mode = WAL;");
}

static int build_file(char *name, const pl_schema_set *schema)
{
    pl_store store = {.path = name, .mode = PL_STORE_WRITE, .lock_fd = -1};
    int rc = pl_database_open(&store, name, SQLITE_OPEN_READWRITE);

    if (rc == 0)
        rc = build(&store, schema);
    if (sqlite3_close(store.db) != SQLITE_OK && rc == 0)
        rc = pl_error_set(PL_ERR_IO, "%s: closing it failed", name);
    return rc;
}

/* Puts the finished file at path, unless something is there. Not every file system knows RENAME_NOREPLACE; a hard link
 * does not replace either. */
static int publish(const char *name, const char *path)
{
    if (renameat2(AT_FDCWD, name, AT_FDCWD, path, RENAME_NOREPLACE) == 0 || errno == EEXIST)
        return 0;
    if (errno == EINVAL && (link(name, path) == 0 || errno == EEXIST))
        return 0;
    return pl_error_errno(pl_error_code(errno), errno, "%s", path);
}

int pl_migrate_create(const char *path, const pl_schema_set *schema)
{
    char suffix[40];
    uint64_t random = 0;

    if (getrandom(&random, sizeof(random), 0) != (ssize_t)sizeof(random))
        return pl_error_errno(PL_ERR_SYSTEM, errno, "getrandom");
    (void)snprintf(suffix, sizeof(suffix), ".new-%016llx", (unsigned long long)random);
    pl_auto_free char *name = pl_guard_name(path, suffix);
    pl_auto_free char *journal = name ? pl_guard_name(name, "-journal") : NULL;
    if (!journal)
        return pl_error_nomem();
    int fd = open(name, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0640);
    if (fd < 0)
        return pl_error_errno(pl_error_code(errno), errno, "%s", path);
    /* Whatever the umask: the group's analysts read it. SQLite gives its companions the same mode. */
    int rc = fchmod(fd, 0640) < 0 ? pl_error_errno(pl_error_code(errno), errno, "%s", name) : 0;
    (void)close(fd);
    if (rc == 0)
        rc = build_file(name, schema);
    if (rc == 0)
        rc = publish(name, path);
    /* Gone already when it was renamed. */
    (void)unlink(name);
    (void)unlink(journal);
    return rc;
}

/* A migration may rewrite the largest table: twice the file, once in the WAL and once in the file itself. */
static int check_space(const pl_store *store)
{
    struct stat status;
    struct statvfs fs;

    if (stat(store->path, &status) < 0 || statvfs(store->path, &fs) < 0)
        return pl_error_errno(pl_error_code(errno), errno, "%s", store->path);
    uint64_t need = 2 * (uint64_t)status.st_size + (UINT64_C(1) << 20);
    uint64_t have = (uint64_t)fs.f_bavail * fs.f_frsize;
    if (have < need)
        return pl_error_set(PL_ERR_FULL, "%s: migrating it needs %llu bytes, %llu are free", store->path,
                            (unsigned long long)need, (unsigned long long)have);
    return 0;
}

int pl_migrate_refuse_newer(const pl_store *store, int64_t version, const pl_schema_set *schema)
{
    return pl_error_set(PL_ERR_NEWER, "%s: has schema %lld, this program knows up to %d: use a newer procledger",
                        store->path, (long long)version, schema->version);
}

static int migrate(pl_store *store, const pl_schema_set *schema)
{
    int64_t version = 0;
    int rc = check_space(store);

    if (rc == 0)
        rc = pl_database_begin(store);
    if (rc < 0)
        return rc;
    /* Again, under the lock: somebody may have been quicker. */
    rc = pl_database_integer(store, "PRAGMA user_version", &version);
    if (rc == 0 && version > schema->version)
        rc = pl_migrate_refuse_newer(store, version, schema);
    if (rc == 0 && version < schema->version)
        rc = run_migrations(store, schema, (int)version);
    if (rc == 0)
        rc = pl_database_commit(store);
    if (rc < 0)
        pl_database_rollback(store);
    else if (version < schema->version)
        pl_log_write(store->log, PL_LOG_INFO, "%s: migrated from schema %lld to %d", store->path, (long long)version,
                     schema->version);
    return rc;
}

int pl_migrate_open(pl_store *store, const pl_schema_set *schema)
{
    int64_t version = -1;
    int rc = pl_database_integer(store, "PRAGMA user_version", &version);

    if (rc < 0)
        return rc;
    if (version > schema->version)
        return pl_migrate_refuse_newer(store, version, schema);
    if (version == schema->version)
        return 0;
    if (version < 0)
        return pl_error_set(PL_ERR_DAMAGED, "%s: schema %lld", store->path, (long long)version);
    if (store->mode == PL_STORE_READ)
        return pl_error_set(PL_ERR_UNSUPPORTED,
                            "%s: has schema %lld, this program reads %d: the next start of its recorder migrates it",
                            store->path, (long long)version, schema->version);
    bool held = store->lock_fd >= 0;
    if (!held)
        rc = pl_guard_lock(store->path, false, LOCK_WAIT_MS, &store->lock_fd);
    if (rc == 0)
        rc = migrate(store, schema);
    if (!held)
        store->lock_fd = pl_guard_unlock(store->lock_fd);
    return rc;
}

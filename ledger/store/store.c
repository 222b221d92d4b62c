/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Opening and closing a ledger. Owns the connection and, for a recorder, FILE.lock. Must not open the database file by
 * any other way than SQLite's (see guard.c), and must not write to a file before it is known to be a ledger.
 *
 * Order: trust (guard), lock, create, header, SQLite, settings, schema, a cheap look. Everything after the header may
 * assume that the file is ours.
 */
#include "ledger/store/store.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "ledger/store/database.h"
#include "ledger/store/guard.h"
#include "ledger/store/migrate.h"
#include "src/base/cleanup.h"
#include "src/base/error.h"
#include "src/file/identity.h"

#define DEFAULT_BUSY_MS 5000
#define DEFAULT_CACHE_KIB 2048
#define RECORDER_CACHE_KIB 16384
/* Fewer, larger checkpoints: a page that is changed by many batches is copied back once. */
#define CHECKPOINT_PAGES 4000
#define WAL_LIMIT_BYTES (64 << 20)
#define LOCK_WAIT_MS 2000
#define UNREAD "unable to get the page. error code="

static int connect_to(pl_store *store, const char *name, int flags, const pl_store_options *options)
{
    int rc = pl_database_open(store, name, flags);

    if (rc < 0)
        return rc;
    (void)sqlite3_busy_timeout(store->db, options->busy_ms > 0 ? options->busy_ms : DEFAULT_BUSY_MS);
    return 0;
}

/* Reads something, which is when SQLite really opens the WAL. */
static int first_look(pl_store *store)
{
    int64_t version = 0;

    return pl_database_integer(store, "PRAGMA user_version", &version);
}

/* file:PATH?immutable=1 with what a URI would take for itself escaped. */
static char *immutable_uri(const char *path)
{
    size_t length = strlen(path);
    char *uri = malloc(3 * length + 32), *at = uri;

    if (!uri)
        return NULL;
    at = stpcpy(at, "file:");
    for (size_t i = 0; i < length; i++) {
        if (strchr("%?#", path[i]))
            at += snprintf(at, 4, "%%%02x", (unsigned)(unsigned char)path[i]);
        else
            *at++ = path[i];
    }
    (void)stpcpy(at, "?immutable=1");
    return uri;
}

/*
 * A file whose WAL is missing, in a folder where this user cannot make one: copied or mounted read-only. Nobody can be
 * writing to it (our writers leave their WAL there for good), so it may be read without locks.
 */
static int connect_immutable(pl_store *store, const pl_store_options *options, int code)
{
    struct stat wal;
    pl_auto_free char *wal_name = pl_guard_name(store->path, "-wal"), *uri = immutable_uri(store->path);

    if (!wal_name || !uri)
        return pl_error_nomem();
    if (fstatat(AT_FDCWD, wal_name, &wal, AT_SYMLINK_NOFOLLOW) == 0 && wal.st_size > 0)
        return code;
    (void)sqlite3_close(store->db);
    store->db = NULL;
    int rc = connect_to(store, uri, SQLITE_OPEN_READONLY | SQLITE_OPEN_URI, options);
    return rc < 0 ? rc : first_look(store);
}

static int connect_reader(pl_store *store, const pl_store_options *options)
{
    int rc = connect_to(store, store->path, SQLITE_OPEN_READONLY, options);

    if (rc == 0)
        rc = first_look(store);
    if (rc == PL_ERR_PERMISSION || rc == PL_ERR_READ_ONLY)
        rc = connect_immutable(store, options, rc);
    return rc < 0 ? rc : pl_database_exec(store, "PRAGMA query_only = ON");
}

static int connect_writer(pl_store *store, const pl_store_options *options)
{
    char sql[256];
    int persist = 1, kib = options->cache_kib;
    int rc = connect_to(store, store->path, SQLITE_OPEN_READWRITE, options);

    if (rc < 0)
        return rc;
    (void)sqlite3_file_control(store->db, "main", SQLITE_FCNTL_PERSIST_WAL, &persist);
    if (kib <= 0)
        kib = store->mode == PL_STORE_RECORDER ? RECORDER_CACHE_KIB : DEFAULT_CACHE_KIB;
    (void)snprintf(sql, sizeof(sql),
                   "PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL; PRAGMA foreign_keys = OFF;"
                   "PRAGMA temp_store = MEMORY; PRAGMA cache_size = -%d; PRAGMA wal_autocheckpoint = %d;"
                   "PRAGMA journal_size_limit = %d;",
                   kib, CHECKPOINT_PAGES, WAL_LIMIT_BYTES);
    return pl_database_exec(store, sql);
}

/* The cheap look of each open: the tables are there and the ends of the largest can be read. All of it is
 * pl_store_check's, which takes as long as the file is large. */
static int glance(pl_store *store)
{
    int64_t value = 0;

    return pl_database_integer(store,
                               "SELECT (SELECT count(*) FROM _meta) + (SELECT count(*) FROM _path WHERE id = 0) +"
                               " (SELECT coalesce(max(time), 0) FROM _execution) +"
                               " (SELECT coalesce(max(id), 0) FROM _execution) +"
                               " (SELECT coalesce(max(id), 0) FROM _version) + (SELECT coalesce(max(id), 0) FROM _run)",
                               &value);
}

/* A newer ledger is left exactly as it is: connecting would already make a WAL, and closing would write it back. */
static int check_header(const pl_store *store, const pl_schema_set *schema)
{
    int64_t version = 0;
    int rc = pl_guard_header(store->path, &version);

    return rc == 0 && version > schema->version ? pl_migrate_refuse_newer(store, version, schema) : rc;
}

static int open_steps(pl_store *store, const pl_store_options *options, const pl_schema_set *schema)
{
    bool exists = false;
    int rc = pl_guard_check(store->path, &exists);

    if (rc < 0)
        return rc;
    if (!exists && store->mode == PL_STORE_READ)
        return pl_error_set(PL_ERR_NOT_FOUND, "%s: no such ledger", store->path);
    /* Of an existing file the header comes first: nothing is left beside what is not ours, not even a lock. */
    rc = exists ? check_header(store, schema) : 0;
    if (rc == 0 && store->mode == PL_STORE_RECORDER)
        rc = pl_guard_lock(store->path, true, LOCK_WAIT_MS, &store->lock_fd);
    if (rc == 0 && !exists) {
        rc = pl_migrate_create(store->path, schema);
        if (rc == 0)
            rc = pl_guard_check(store->path, &exists);
        if (rc == 0)
            rc = check_header(store, schema);
    }
    if (rc == 0)
        rc = store->mode == PL_STORE_READ ? connect_reader(store, options) : connect_writer(store, options);
    if (rc == 0)
        rc = pl_migrate_open(store, schema);
    return rc < 0 ? rc : glance(store);
}

int pl_store_open_schema(const char *path, const pl_store_options *options, const pl_schema_set *schema, pl_store **out)
{
    pl_store *store = calloc(1, sizeof(*store));

    if (!store)
        return pl_error_nomem();
    store->lock_fd = -1;
    store->mode = options->mode;
    store->clock = options->clock ? options->clock : pl_clock_system();
    store->log = options->log;
    int rc = pl_guard_resolve(path, &store->path);
    if (rc == 0)
        rc = open_steps(store, options, schema);
    if (rc < 0) {
        pl_store_close(store);
        return rc;
    }
    *out = store;
    return 0;
}

void pl_store_own_process(void)
{
    /* A lock around each allocation, for statistics. */
    (void)sqlite3_config(SQLITE_CONFIG_MEMSTATUS, 0);
}

int pl_store_open(const char *path, const pl_store_options *options, pl_store **out)
{
    const pl_schema_set schema = {pl_schema_migrations, PL_SCHEMA_VERSION, pl_schema_views};

    return pl_store_open_schema(path, options, &schema, out);
}

pl_store *pl_store_close(pl_store *store)
{
    if (!store)
        return NULL;
    for (size_t i = 0; i < PL_SQL_COUNT; i++)
        (void)sqlite3_finalize(store->statements[i]);
    /* _v2: a query that is still open keeps the connection until it is freed. */
    (void)sqlite3_close_v2(store->db);
    store->lock_fd = pl_guard_unlock(store->lock_fd);
    free(store->path);
    free(store);
    return NULL;
}

/* The default file of this user, whatever the environment names. */
static int standard_path(char **out)
{
    const char *state = secure_getenv("XDG_STATE_HOME"), *home = secure_getenv("HOME");
    char *path = NULL;

    if (geteuid() == 0)
        path = strdup("/var/lib/procledger/ledger.db");
    else if (state && *state == '/')
        path = pl_guard_name(state, "/procledger/ledger.db");
    else if (home && *home == '/')
        path = pl_guard_name(home, "/.local/state/procledger/ledger.db");
    else
        return pl_error_set(PL_ERR_INVALID, "no --db, no PROCLEDGER_DB, and HOME is not set");
    if (!path)
        return pl_error_nomem();
    *out = path;
    return 0;
}

int pl_store_default_path(char **out)
{
    const char *named = secure_getenv("PROCLEDGER_DB");

    if (!named || !*named)
        return standard_path(out);
    char *path = strdup(named);
    if (!path)
        return pl_error_nomem();
    *out = path;
    return 0;
}

int pl_store_prepare_folder(const char *path)
{
    pl_auto_free char *standard = NULL, *folder = NULL;

    /* No HOME: then this cannot be the default file. */
    if (standard_path(&standard) < 0 || strcmp(standard, path) != 0)
        return 0;
    folder = strndup(path, (size_t)(strrchr(path, '/') - path));
    if (!folder)
        return pl_error_nomem();
    for (char *at = folder + 1; at; at++) {
        at = strchr(at, '/');
        if (at)
            *at = '\0';
        if (mkdir(folder, 0750) < 0 && errno != EEXIST)
            return pl_error_errno(pl_error_code(errno), errno, "%s", folder);
        if (!at)
            break;
        *at = '/';
    }
    return 0;
}

const char *pl_store_path(const pl_store *store)
{
    return store->path;
}

size_t pl_store_own_files(const pl_store *store, pl_identity *out, size_t n)
{
    static const char *const suffixes[] = {"", "-wal", "-shm", ".lock"};
    char name[PATH_MAX + 8];
    size_t found = 0;

    for (size_t i = 0; i < sizeof(suffixes) / sizeof(suffixes[0]) && found < n; i++) {
        pl_identity identity;
        (void)snprintf(name, sizeof(name), "%s%s", store->path, suffixes[i]);
        if (pl_identity_of_path(AT_FDCWD, name, false, &identity) == 0)
            out[found++] = identity;
    }
    return found;
}

int pl_store_check(pl_store *store)
{
    sqlite3_stmt *statement = NULL;

    errno = 0;
    int result = sqlite3_prepare_v2(store->db, "PRAGMA quick_check(1)", -1, &statement, NULL);

    if (result == SQLITE_OK)
        result = sqlite3_step(statement);
    if (result != SQLITE_ROW) {
        int rc = pl_database_error(store, result, "checking it");
        (void)sqlite3_finalize(statement);
        return rc;
    }
    const char *text = (const char *)sqlite3_column_text(statement, 0);
    /* A page that could not be read, or had no room in memory, is a finding to SQLite, too. */
    const char *code = text ? strstr(text, UNREAD) : NULL;
    int rc = 0;
    if (!text)
        rc = pl_error_nomem();
    else if (code)
        rc = pl_database_error(store, (int)strtol(code + strlen(UNREAD), NULL, 10), "checking it");
    else if (strcmp(text, "ok") != 0)
        rc = pl_error_set(PL_ERR_DAMAGED, "%s: %s", store->path, text);
    (void)sqlite3_finalize(statement);
    return rc;
}

static int size_of(const char *path, const char *suffix, uint64_t *out)
{
    struct stat status;
    pl_auto_free char *name = pl_guard_name(path, suffix);

    if (!name)
        return pl_error_nomem();
    *out = 0;
    if (fstatat(AT_FDCWD, name, &status, 0) < 0)
        return errno == ENOENT ? 0 : pl_error_errno(pl_error_code(errno), errno, "%s", name);
    *out = (uint64_t)status.st_size;
    return 0;
}

int pl_store_size(const pl_store *store, uint64_t *database, uint64_t *wal)
{
    uint64_t sizes[2];
    int rc = size_of(store->path, "", &sizes[0]);

    if (rc == 0)
        rc = size_of(store->path, "-wal", &sizes[1]);
    if (rc < 0)
        return rc;
    *database = sizes[0];
    *wal = sizes[1];
    return 0;
}

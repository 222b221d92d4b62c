/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Retention. Owns two cursors: how far commands and how far executions were gone through in the current search for
 * rows without a reference. Such a search starts when enough executions went since the last one.
 *
 * Living executions are never deleted, whatever their age: their end is still to come. What the size of the file is
 * measured by is pages in use, free ones apart, so that one round of deleting suffices and vacuum follows at its ease.
 */
#include "ledger/store/retain.h"

#include <stdlib.h>
#include <sys/statvfs.h>

#include "ledger/store/guard.h"
#include "src/base/error.h"

#define STEP_ROWS 2000
#define VACUUM_PAGES "256"
#define SEARCH_AFTER 20000 /* executions deleted; before that the few orphans are not worth a search */
#define SEARCH_ROWS 20000  /* executions marked a step */
/* An execution may be committed after one with a greater id; the last mark of a search takes a second look at these. */
#define MARK_OVERLAP 100000
/* Deleting for the size of the file goes on until this share of it is free again, or each sweep would find one page. */
#define SIZE_SLACK 32

enum search { IDLE, COMMANDS, IMAGES, MARKING };

struct pl_retain {
    pl_retain_limits limits;
    enum search search;
    int64_t cursor;         /* greatest id that the search has gone through */
    uint64_t deleted_since; /* executions, since the last search began */
    bool shrinking;         /* the size or the disk was over its limit and is not yet well below */
    int64_t gap_id;         /* row of _gap that tells of this shortage of disk; 0: there is none */
};

int pl_retain_new(const pl_retain_limits *limits, pl_retain **out)
{
    pl_retain *retain = calloc(1, sizeof(*retain));

    if (!retain)
        return pl_error_nomem();
    retain->limits = *limits;
    if (retain->limits.step_rows <= 0)
        retain->limits.step_rows = STEP_ROWS;
    *out = retain;
    return 0;
}

pl_retain *pl_retain_free(pl_retain *retain)
{
    free(retain);
    return NULL;
}

/* Runs a statement with up to three integers; the number of rows that it changed, or negative. */
static int64_t run_with(pl_append *append, enum pl_sql name, int64_t a, int64_t b, int64_t c)
{
    const int64_t values[3] = {a, b, c};
    int rc = 0;
    sqlite3_stmt *s = pl_database_statement(append->store, name, &rc);

    if (!s)
        return rc;
    for (int i = 0; i < sqlite3_bind_parameter_count(s); i++)
        (void)sqlite3_bind_int64(s, i + 1, values[i]);
    rc = pl_database_run(append->store, s);
    return rc < 0 ? rc : sqlite3_changes64(append->store->db);
}

/* An integer of a one-row statement; -1 in *out for NULL or no row. */
static int ask(pl_append *append, enum pl_sql name, int64_t a, int64_t b, int64_t *out)
{
    const int64_t values[2] = {a, b};
    int rc = 0;
    sqlite3_stmt *s = pl_database_statement(append->store, name, &rc);

    if (!s)
        return rc;
    for (int i = 0; i < sqlite3_bind_parameter_count(s); i++)
        (void)sqlite3_bind_int64(s, i + 1, values[i]);
    rc = pl_database_step(append->store, s);
    if (rc < 0)
        return rc;
    *out = rc > 0 && sqlite3_column_type(s, 0) != SQLITE_NULL ? sqlite3_column_int64(s, 0) : -1;
    (void)sqlite3_reset(s);
    return 0;
}

static bool disk_is_full(const pl_retain *retain, const pl_store *store, unsigned slack_percent)
{
    struct statvfs fs;

    if (statvfs(store->path, &fs) < 0 || fs.f_blocks == 0)
        return false;
    return (uint64_t)fs.f_bavail * 100 < (uint64_t)fs.f_blocks * (retain->limits.min_free_percent + slack_percent);
}

/* 1: over one of the limits (or not yet well below since it was); *disk: because of the file system. */
static int is_too_big(pl_retain *retain, pl_append *append, bool *disk)
{
    int64_t pages = 0, free_pages = 0, page_size = 0;
    int rc = pl_database_integer(append->store, "PRAGMA page_count", &pages);

    if (rc == 0)
        rc = pl_database_integer(append->store, "PRAGMA freelist_count", &free_pages);
    if (rc == 0)
        rc = pl_database_integer(append->store, "PRAGMA page_size", &page_size);
    if (rc < 0)
        return rc;
    uint64_t used = (uint64_t)(pages - free_pages) * (uint64_t)page_size, limit = retain->limits.max_db_size;
    if (retain->shrinking)
        limit -= limit / SIZE_SLACK;
    /* Pages that wait for their vacuum are room too: only when there are hardly any left must more rows go. */
    *disk = free_pages < pages / SIZE_SLACK && disk_is_full(retain, append->store, retain->shrinking ? 1 : 0);
    retain->shrinking = used > limit || *disk;
    return retain->shrinking;
}

/* Says in gaps that executions from `from` on went early: one row for each shortage, which grows with every step. */
static int tell(pl_retain *retain, pl_append *append, int64_t from, int64_t gone, int64_t now_ns)
{
    int64_t to = -1;
    int rc = ask(append, PL_SQL_ST_EXECUTION_OLDEST, 0, 0, &to);

    if (rc < 0)
        return rc;
    if (to < 0)
        to = now_ns / PL_NS_PER_S;
    if (retain->gap_id)
        return run_with(append, PL_SQL_ST_GAP_GROW, retain->gap_id, to, gone) < 0 ? PL_ERR_IO : 0;
    rc = pl_append_gap(append, from * PL_NS_PER_S, to * PL_NS_PER_S, gone, "retention", "disk almost full");
    if (rc == 0)
        retain->gap_id = sqlite3_last_insert_rowid(append->store->db);
    return rc;
}

/* Executions, and when there are none, what is closed of the files' history: oldest first. */
static int delete_early(pl_retain *retain, pl_append *append, int64_t now_ns, int64_t *gone, bool *more)
{
    bool disk = false;
    int64_t oldest = -1, others = 0;
    int rc = is_too_big(retain, append, &disk);

    if (rc <= 0) {
        retain->gap_id = rc < 0 ? retain->gap_id : 0;
        return rc;
    }
    rc = ask(append, PL_SQL_ST_EXECUTION_OLDEST, 0, 0, &oldest);
    if (rc < 0)
        return rc;
    *gone = run_with(append, PL_SQL_ST_EXECUTION_DELETE, INT64_MAX, retain->limits.step_rows, 0);
    if (*gone < 0)
        return (int)*gone;
    others = run_with(append, PL_SQL_ST_FORK_DELETE, INT64_MAX, retain->limits.step_rows, 0);
    if (others == 0 && *gone == 0)
        others = run_with(append, PL_SQL_ST_VERSION_DELETE, retain->limits.step_rows, 0, 0);
    if (others < 0)
        return (int)others;
    *more = *gone > 0 || others > 0;
    return disk && *gone > 0 ? tell(retain, append, oldest, *gone, now_ns) : 0;
}

static int begin_search(pl_retain *retain, pl_append *append)
{
    retain->search = COMMANDS;
    retain->cursor = 0;
    retain->deleted_since = 0;
    return pl_database_exec(append->store, "CREATE TEMP TABLE IF NOT EXISTS used(kind INTEGER, id INTEGER,"
                                           " PRIMARY KEY(kind, id)) WITHOUT ROWID; DELETE FROM temp.used;");
}

static int search_commands(pl_retain *retain, pl_append *append)
{
    int64_t upto = -1;
    int rc = ask(append, PL_SQL_ST_COMMAND_LAST, retain->cursor, retain->limits.step_rows, &upto);

    if (rc < 0)
        return rc;
    if (upto < 0) {
        retain->search = IMAGES;
        return 0;
    }
    int64_t gone = run_with(append, PL_SQL_ST_COMMAND_DELETE, retain->cursor, upto, 0);
    retain->cursor = upto;
    return gone < 0 ? (int)gone : 0;
}

/* Working directories and contexts have no index of their own, so what is used is written down as the executions are gone
 * through, and the rest goes in the transaction that has seen the last of them. */
static int mark_and_sweep(pl_retain *retain, pl_append *append)
{
    int64_t upto = -1;
    int rc = ask(append, PL_SQL_ST_MARK_LAST, retain->cursor, SEARCH_ROWS, &upto);

    if (rc < 0)
        return rc;
    if (upto >= 0) {
        int64_t marked = run_with(append, PL_SQL_ST_MARK_PATHS, retain->cursor, upto, 0);
        retain->cursor = upto;
        return marked < 0 ? (int)marked : 0;
    }
    int64_t done = run_with(append, PL_SQL_ST_MARK_PATHS, retain->cursor - MARK_OVERLAP, INT64_MAX, 0);
    if (done >= 0)
        done = run_with(append, PL_SQL_ST_PATH_DELETE, 0, 0, 0);
    if (done >= 0)
        done = run_with(append, PL_SQL_ST_CONTEXT_DELETE, 0, 0, 0);
    retain->search = IDLE;
    return done < 0 ? (int)done : 0;
}

/* One step of the search. 1: it goes on; 0: there is none, or it ended. */
static int search_step(pl_retain *retain, pl_append *append)
{
    int rc = 0;

    if (retain->search == IDLE) {
        if (retain->deleted_since < SEARCH_AFTER)
            return 0;
        rc = begin_search(retain, append);
    } else if (retain->search == COMMANDS) {
        rc = search_commands(retain, append);
    } else if (retain->search == IMAGES) {
        int64_t gone = run_with(append, PL_SQL_ST_IMAGE_DELETE, 0, 0, 0);
        rc = gone < 0 ? (int)gone : 0;
        retain->search = MARKING;
        retain->cursor = 0;
    } else {
        rc = mark_and_sweep(retain, append);
    }
    /* The next batch asks the file again. */
    pl_interns_clear(append->interns);
    return rc < 0 ? rc : retain->search != IDLE;
}

/* What a step does between its begin and its commit. 1: more. */
static int step(pl_retain *retain, pl_append *append, int64_t now_ns, int64_t *gone)
{
    const int64_t rows = retain->limits.step_rows, now = now_ns / PL_NS_PER_S;
    int64_t forks = 0;
    int64_t expired =
        run_with(append, PL_SQL_ST_VERSION_EXPIRE, (now_ns - retain->limits.path_ttl_ns) / PL_NS_PER_S, now, rows);

    if (expired < 0)
        return (int)expired;
    int64_t limit = (now_ns - retain->limits.retain_ns) / PL_NS_PER_S;
    *gone = run_with(append, PL_SQL_ST_EXECUTION_DELETE, limit, rows, 0);
    if (*gone < 0)
        return (int)*gone;
    forks = run_with(append, PL_SQL_ST_FORK_DELETE, limit, rows, 0);
    if (forks < 0)
        return (int)forks;
    bool more = expired == rows || *gone == rows || forks == rows;
    if (*gone == 0) {
        bool early = false;
        int rc = delete_early(retain, append, now_ns, gone, &early);
        if (rc < 0)
            return rc;
        more = more || early;
    }
    retain->deleted_since += (uint64_t)*gone;
    int searching = search_step(retain, append);
    return searching < 0 ? searching : more || searching;
}

/* A few free pages back to the file system. 1: there are more. */
static int vacuum(pl_append *append)
{
    int64_t free_pages = 0;
    int rc = pl_database_exec(append->store, "PRAGMA incremental_vacuum(" VACUUM_PAGES ")");

    if (rc == 0)
        rc = pl_database_integer(append->store, "PRAGMA freelist_count", &free_pages);
    return rc < 0 ? rc : free_pages > 0;
}

static int locked_step(pl_retain *retain, pl_append *append, int64_t now_ns, uint64_t *deleted)
{
    const pl_retain before = *retain;
    int64_t gone = 0;
    int rc = pl_database_begin(append->store);

    if (rc < 0)
        return rc;
    int more = step(retain, append, now_ns, &gone);
    rc = more < 0 ? more : pl_database_commit(append->store);
    if (rc < 0) {
        pl_database_rollback(append->store);
        pl_interns_clear(append->interns);
        *retain = before;
        /* What was marked in an earlier transaction of the search is still there; what this one marked is not. */
        return rc;
    }
    *deleted += (uint64_t)gone;
    if (more > 0)
        return 1;
    return vacuum(append);
}

int pl_retain_step(pl_retain *retain, pl_append *append, int64_t now_ns, uint64_t *deleted)
{
    pl_store *store = append->store;
    const bool held = store->lock_fd >= 0;

    /* Whoever holds the lock sweeps for all. */
    if (!held && pl_guard_lock(store->path, false, 0, &store->lock_fd) < 0)
        return 0;
    int rc = locked_step(retain, append, now_ns, deleted);
    if (!held)
        store->lock_fd = pl_guard_unlock(store->lock_fd);
    return rc;
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Retention. Owns the state of two things that take many steps: giving room back, and the search for rows that nothing
 * refers to.
 *
 * Living executions are never deleted, whatever their age: their end is still to come. What the size of the file is
 * measured by is pages in use, free ones apart. Executions go in chunks, and each takes the command lines and images
 * along that only it had: those are most of the bytes, so the size falls as the rows go, and no more rows go than must.
 * A step ends early when its chunks freed many pages, so that long command lines do not make it a long one.
 *
 * Paths, contexts and contents have to be searched for. A search begins when enough rows went since the last one, or
 * when nothing else is left to delete. It lasts many transactions, between which executions are written: what those refer
 * to is marked, too, before anything of a later step goes (append->least_eid). That knowledge is the recorder's alone,
 * so nobody else searches.
 */
#include "ledger/store/retain.h"

#include <stdlib.h>
#include <sys/statvfs.h>

#include "ledger/store/guard.h"
#include "src/base/error.h"

#define STEP_ROWS 2000
#define CHUNK_ROWS 50
#define CHUNK_PAGES 1024 /* freed by the chunks of one step, then it ends */
#define VACUUM_PAGES "256"
#define SEARCH_AFTER UINT64_C(20000) /* rows deleted; before that the few orphans are not worth a search */
#define SEARCH_ROWS 20000            /* executions marked a step */
/* Deleting for the size of the file goes on until this share of it is free again, or each sweep would find one page. */
#define SIZE_SLACK 32

enum search { IDLE, COMMANDS, IMAGES, MARKING, PATHS, CONTEXTS, CONTENTS };

/* Why more must go than what is old: a limit was passed, and what is left is not yet well below it. */
struct excess {
    bool size; /* of the file */
    bool disk; /* of what fills the file system, ours or not */
};

struct pl_retain {
    pl_retain_limits limits;
    bool prepared; /* the temporary tables are there */
    enum search search;
    int64_t cursor;         /* greatest id that the search has gone through in its table */
    uint64_t deleted_since; /* rows, since the last search began */
    struct excess over;
    bool give_back; /* what was freed early is to leave the file, not only its tables */
    int64_t gap_id; /* row of _gap that tells of this shortage of disk; 0: there is none */
};

/* What a step has done. */
struct done {
    int64_t executions;
    bool more;    /* it stopped at a bound */
    bool starved; /* over a limit, and neither executions nor versions are left to go */
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

static int free_pages(pl_append *append, int64_t *out)
{
    return pl_database_integer(append->store, "PRAGMA freelist_count", out);
}

static bool disk_is_full(const pl_retain *retain, const pl_store *store, unsigned slack_percent)
{
    struct statvfs fs;

    if (statvfs(store->path, &fs) < 0 || fs.f_blocks == 0)
        return false;
    return (uint64_t)fs.f_bavail * 100 < (uint64_t)fs.f_blocks * (retain->limits.min_free_percent + slack_percent);
}

/* Fills in retain->over. */
static int measure(pl_retain *retain, pl_append *append)
{
    int64_t pages = 0, unused = 0, page_size = 0;
    uint64_t file = 0, wal = 0;
    int rc = pl_database_integer(append->store, "PRAGMA page_count", &pages);

    if (rc == 0)
        rc = free_pages(append, &unused);
    if (rc == 0)
        rc = pl_database_integer(append->store, "PRAGMA page_size", &page_size);
    if (rc == 0)
        rc = pl_store_size(append->store, &file, &wal);
    if (rc < 0)
        return rc;
    uint64_t used = (uint64_t)(pages - unused) * (uint64_t)page_size, limit = retain->limits.max_db_size;
    if (retain->over.size)
        limit -= limit / SIZE_SLACK;
    const bool full = disk_is_full(retain, append->store, retain->over.disk ? 1 : 0);
    /* What waits for its vacuum, or for the checkpoint that cuts the file, is room too: more rows go only when that is
     * given back and was not enough. */
    const bool cut = file <= (uint64_t)pages * (uint64_t)page_size;
    retain->over.size = used > limit;
    retain->over.disk = full && cut && unused < pages / SIZE_SLACK;
    retain->give_back = retain->give_back || (full && !cut);
    retain->gap_id = full ? retain->gap_id : 0;
    return 0;
}

/* Ended executions from before `limit`, the oldest first, with the command lines and images that nobody else has. The
 * number of executions, or negative. */
static int64_t delete_chunk(pl_append *append, int64_t limit, int64_t rows)
{
    static const enum pl_sql steps[] = {PL_SQL_ST_GONE_REFERENCES, PL_SQL_ST_GONE_DELETE_EXECUTIONS,
                                        PL_SQL_ST_GONE_DELETE_COMMANDS, PL_SQL_ST_GONE_DELETE_IMAGES};
    int64_t rc = run_with(append, PL_SQL_ST_GONE_CLEAR, 0, 0, 0);
    int64_t gone = rc < 0 ? rc : run_with(append, PL_SQL_ST_GONE_EXECUTIONS, limit, rows, 0);

    for (size_t i = 0; gone > 0 && i < sizeof(steps) / sizeof(steps[0]); i++) {
        rc = run_with(append, steps[i], 0, 0, 0);
        if (rc < 0)
            return rc;
    }
    return gone;
}

static int delete_executions(pl_retain *retain, pl_append *append, int64_t limit, struct done *done)
{
    const int64_t rows = retain->limits.step_rows;
    int64_t before = 0, now = 0;
    int rc = free_pages(append, &before);

    while (rc == 0 && done->executions < rows && now - before < CHUNK_PAGES) {
        const int64_t left = rows - done->executions, want = left < CHUNK_ROWS ? left : CHUNK_ROWS;
        int64_t gone = delete_chunk(append, limit, want);
        if (gone < 0)
            return (int)gone;
        done->executions += gone;
        retain->deleted_since += (uint64_t)gone;
        if (gone < want)
            return 0;
        rc = free_pages(append, &now);
    }
    done->more = true;
    return rc;
}

/* Says in gaps that executions from `from` on went early: one row for each shortage, which grows with every step. */
static int tell(pl_retain *retain, pl_append *append, int64_t from, int64_t gone, int64_t now_ns)
{
    int64_t to = -1, grown = 0;
    int rc = ask(append, PL_SQL_ST_EXECUTION_OLDEST, 0, 0, &to);

    if (rc < 0)
        return rc;
    if (to < 0)
        to = now_ns / PL_NS_PER_S;
    if (retain->gap_id) {
        grown = run_with(append, PL_SQL_ST_GAP_GROW, retain->gap_id, to, gone);
        return grown < 0 ? (int)grown : 0;
    }
    rc = pl_append_gap(append, from * PL_NS_PER_S, to * PL_NS_PER_S, gone, "retention", "disk almost full");
    if (rc == 0)
        retain->gap_id = sqlite3_last_insert_rowid(append->store->db);
    return rc;
}

/* When no execution is left to go: what is closed of the files' history, and at last the counters of binaries. */
static int64_t delete_others(pl_retain *retain, pl_append *append, struct done *done)
{
    const int64_t rows = retain->limits.step_rows;
    int64_t gone = run_with(append, PL_SQL_ST_VERSION_DELETE, rows, 0, 0);

    if (gone == 0) {
        /* First what a search would free. */
        done->starved = true;
        if (retain->search == IDLE && retain->deleted_since == 0)
            gone = run_with(append, PL_SQL_ST_BINARY_DELETE, rows, 0, 0);
    }
    if (gone > 0)
        retain->deleted_since += (uint64_t)gone;
    return gone;
}

/* While there is too much: executions whatever their age, oldest first. The rest only for the size of the file; a disk that
 * others fill must not cost the history of the files. */
static int delete_early(pl_retain *retain, pl_append *append, int64_t now_ns, struct done *done)
{
    int64_t oldest = -1;
    int rc = measure(retain, append);

    if (rc < 0 || (!retain->over.size && !retain->over.disk))
        return rc;
    rc = ask(append, PL_SQL_ST_EXECUTION_OLDEST, 0, 0, &oldest);
    if (rc == 0)
        rc = delete_executions(retain, append, INT64_MAX, done);
    if (rc < 0)
        return rc;
    int64_t others = run_with(append, PL_SQL_ST_FORK_DELETE, INT64_MAX, retain->limits.step_rows, 0);
    if (others == 0 && done->executions == 0 && retain->over.size)
        others = delete_others(retain, append, done);
    if (others < 0)
        return (int)others;
    done->more = done->executions > 0 || others > 0;
    retain->give_back = retain->give_back || done->more;
    return retain->over.disk && done->executions > 0 ? tell(retain, append, oldest, done->executions, now_ns) : 0;
}

/* Marks the paths and contexts of executions from id `from` + 1 to `upto`. */
static int mark(pl_append *append, int64_t from, int64_t upto)
{
    int64_t marked = run_with(append, PL_SQL_ST_MARK, from, upto, 0);

    return marked < 0 ? (int)marked : 0;
}

/* Those that were written since the last look: an execution may be written after one with a greater id. */
static int mark_new(pl_append *append)
{
    if (append->least_eid == INT64_MAX)
        return 0;
    int rc = mark(append, append->least_eid - 1, INT64_MAX);
    append->least_eid = INT64_MAX;
    return rc;
}

/* The next range of executions. 1: that was the last one. */
static int mark_range(pl_retain *retain, pl_append *append)
{
    int64_t upto = -1;
    int rc = ask(append, PL_SQL_ST_MARK_LAST, retain->cursor, SEARCH_ROWS, &upto);

    if (rc < 0 || upto < 0)
        return rc < 0 ? rc : 1;
    rc = mark(append, retain->cursor, upto);
    retain->cursor = upto;
    return rc;
}

/* The next range of a table's rows. 1: that was the last one. */
static int sweep_range(pl_retain *retain, pl_append *append)
{
    static const struct {
        enum pl_sql last, sweep;
    } tables[] = {
        [COMMANDS] = {PL_SQL_ST_COMMAND_LAST, PL_SQL_ST_COMMAND_SWEEP},
        [IMAGES] = {PL_SQL_ST_IMAGE_LAST, PL_SQL_ST_IMAGE_SWEEP},
        [PATHS] = {PL_SQL_ST_PATH_LAST, PL_SQL_ST_PATH_SWEEP},
        [CONTEXTS] = {PL_SQL_ST_CONTEXT_LAST, PL_SQL_ST_CONTEXT_SWEEP},
        [CONTENTS] = {PL_SQL_ST_CONTENT_LAST, PL_SQL_ST_CONTENT_SWEEP},
    };
    int64_t upto = -1;
    int rc = ask(append, tables[retain->search].last, retain->cursor, retain->limits.step_rows, &upto);

    if (rc < 0 || upto < 0)
        return rc < 0 ? rc : 1;
    int64_t gone = run_with(append, tables[retain->search].sweep, retain->cursor, upto, 0);
    retain->cursor = upto;
    return gone < 0 ? (int)gone : 0;
}

/* One step of the search. 1: it goes on; 0: there is none, or it ended. */
static int search_step(pl_retain *retain, pl_append *append, bool now)
{
    int64_t cleared = 0;

    if (retain->search == IDLE) {
        if (retain->deleted_since < (now ? UINT64_C(1) : SEARCH_AFTER))
            return 0;
        cleared = run_with(append, PL_SQL_ST_USED_CLEAR, 0, 0, 0);
        append->least_eid = INT64_MAX;
        retain->deleted_since = 0;
        retain->cursor = 0;
        retain->search = COMMANDS;
        return cleared < 0 ? (int)cleared : 1;
    }
    int rc = mark_new(append);
    if (rc == 0)
        rc = retain->search == MARKING ? mark_range(retain, append) : sweep_range(retain, append);
    if (rc > 0) {
        retain->search = retain->search == CONTENTS ? IDLE : retain->search + 1;
        retain->cursor = 0;
    }
    return rc < 0 ? rc : retain->search != IDLE;
}

/* What a step does between its begin and its commit. */
static int step(pl_retain *retain, pl_append *append, int64_t now_ns, bool recorder, struct done *done)
{
    const int64_t rows = retain->limits.step_rows, now = now_ns / PL_NS_PER_S;
    const int64_t limit = (now_ns - retain->limits.retain_ns) / PL_NS_PER_S;
    int64_t expired =
        run_with(append, PL_SQL_ST_VERSION_EXPIRE, (now_ns - retain->limits.path_ttl_ns) / PL_NS_PER_S, now, rows);

    if (expired < 0)
        return (int)expired;
    int rc = delete_executions(retain, append, limit, done);
    int64_t forks = rc < 0 ? rc : run_with(append, PL_SQL_ST_FORK_DELETE, limit, rows, 0);
    if (forks < 0)
        return (int)forks;
    done->more = done->more || expired == rows || forks == rows;
    if (done->executions == 0) {
        struct done early = {0};
        rc = delete_early(retain, append, now_ns, &early);
        if (rc < 0)
            return rc;
        done->executions = early.executions;
        done->more = done->more || early.more;
        done->starved = early.starved;
    }
    rc = recorder ? search_step(retain, append, done->starved) : 0;
    done->more = done->more || rc > 0;
    /* The next batch asks the file again. */
    if (done->executions > 0 || rc > 0)
        pl_interns_clear(append->interns);
    return rc < 0 ? rc : 0;
}

/* A few free pages back to the file system. 1: there are more, or may have to be. */
static int vacuum(pl_retain *retain, pl_append *append)
{
    int64_t left = 0;
    int frames = 0, copied = 0;
    int rc = pl_database_exec(append->store, "PRAGMA incremental_vacuum(" VACUUM_PAGES ")");

    if (rc == 0)
        rc = free_pages(append, &left);
    if (rc < 0 || left > 0 || !retain->give_back)
        return rc < 0 ? rc : left > 0;
    /* The file is cut when the WAL has been copied back. Passive: it waits for nobody; if a reader holds it up, the next
     * step tries again. */
    (void)sqlite3_wal_checkpoint_v2(append->store->db, "main", SQLITE_CHECKPOINT_PASSIVE, &frames, &copied);
    retain->give_back = copied < frames;
    /* Another look: it may not have been enough. */
    return !retain->give_back;
}

/* Outside of the transaction, so that no rollback takes them away. */
static int prepare(pl_retain *retain, pl_append *append)
{
    if (retain->prepared)
        return 0;
    int rc = pl_database_exec(append->store,
                              "CREATE TEMP TABLE IF NOT EXISTS used(kind INTEGER, id INTEGER, PRIMARY KEY(kind, id))"
                              " WITHOUT ROWID;"
                              "CREATE TEMP TABLE IF NOT EXISTS gone(kind INTEGER, id INTEGER, PRIMARY KEY(kind, id))"
                              " WITHOUT ROWID;");
    retain->prepared = rc == 0;
    return rc;
}

static int locked_step(pl_retain *retain, pl_append *append, int64_t now_ns, bool recorder, uint64_t *deleted)
{
    const int64_t least_eid = append->least_eid;
    struct done done = {0};
    int rc = prepare(retain, append);

    const pl_retain before = *retain;
    if (rc == 0)
        rc = pl_database_begin(append->store);
    if (rc < 0)
        return rc;
    rc = step(retain, append, now_ns, recorder, &done);
    if (rc == 0)
        rc = pl_database_commit(append->store);
    if (rc < 0) {
        /* What was marked in an earlier transaction of the search is still there; what this one marked is not. */
        pl_database_rollback(append->store);
        pl_interns_clear(append->interns);
        append->least_eid = least_eid;
        *retain = before;
        return rc;
    }
    *deleted += (uint64_t)done.executions;
    return done.more ? 1 : vacuum(retain, append);
}

int pl_retain_step(pl_retain *retain, pl_append *append, int64_t now_ns, uint64_t *deleted)
{
    pl_store *store = append->store;
    const bool held = store->lock_fd >= 0;

    /* Whoever holds the lock sweeps for all. */
    if (!held && pl_guard_lock(store->path, false, 0, &store->lock_fd) < 0)
        return 0;
    int rc = locked_step(retain, append, now_ns, held, deleted);
    if (!held)
        store->lock_fd = pl_guard_unlock(store->lock_fd);
    return rc;
}

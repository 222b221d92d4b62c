/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Rows about the recording itself: gaps, runs, and the one change that the store can judge alone. Owns nothing but the
 * list of executions that a beginning run adopts.
 *
 * What earlier runs left open is ended at the last moment of which the ledger knows that recording worked, never at a
 * guess of when it really ended; end_reason says so.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ledger/store/append.h"
#include "src/base/cleanup.h"
#include "src/base/error.h"
#include "src/base/text.h"

int pl_append_gap(pl_append *append, int64_t time_ns, int64_t end_time_ns, int64_t lost, const char *source,
                  const char *reason)
{
    int rc = 0;
    sqlite3_stmt *s = pl_database_statement(append->store, PL_SQL_ST_GAP_INSERT, &rc);

    if (!s)
        return rc;
    (void)sqlite3_bind_int64(s, 1, time_ns / PL_NS_PER_S);
    (void)sqlite3_bind_int64(s, 2, end_time_ns / PL_NS_PER_S);
    if (lost >= 0)
        (void)sqlite3_bind_int64(s, 3, lost);
    (void)sqlite3_bind_text(s, 4, source, -1, SQLITE_STATIC);
    (void)sqlite3_bind_text(s, 5, reason, -1, SQLITE_STATIC);
    return pl_database_run(append->store, s);
}

int pl_append_identity_alert(pl_append *append, const pl_sighting *now, const char *old_sha256)
{
    pl_digest_set old = {0};
    int64_t path_id = 0, old_id = 0, new_id = 0;
    int rc = pl_digest_from_hex(PL_SHA256, old_sha256, &old.digests[0]);

    if (rc == 0)
        rc = pl_intern_path(append->interns, now->path, &path_id);
    /* The identity is the same, so the size is. */
    if (rc == 0)
        rc = pl_intern_content(append->interns, &old, now->identity.size, &old_id);
    if (rc == 0)
        rc = pl_intern_content(append->interns, &now->digests, now->identity.size, &new_id);
    if (rc < 0)
        return rc;
    sqlite3_stmt *s = pl_database_statement(append->store, PL_SQL_ST_CHANGE_INSERT, &rc);
    if (!s)
        return rc;
    (void)sqlite3_bind_int64(s, 1, now->time_ns / PL_NS_PER_S);
    (void)sqlite3_bind_int64(s, 2, path_id);
    (void)sqlite3_bind_int64(s, 3, (int64_t)now->mnt_ns);
    (void)sqlite3_bind_text(s, 4, now->container, -1, SQLITE_STATIC);
    (void)sqlite3_bind_text(s, 5, "same identity, other digest", -1, SQLITE_STATIC);
    (void)sqlite3_bind_int64(s, 6, old_id);
    (void)sqlite3_bind_int64(s, 7, new_id);
    (void)sqlite3_bind_int64(s, 8, now->identity.mode);
    (void)sqlite3_bind_int64(s, 9, now->identity.uid);
    (void)sqlite3_bind_int64(s, 10, now->detected_by);
    return pl_database_run(append->store, s);
}

int pl_append_run_commit(pl_append *append, int64_t time_ns)
{
    int rc = 0;
    sqlite3_stmt *s = pl_database_statement(append->store, PL_SQL_ST_RUN_COMMIT, &rc);

    if (!s)
        return rc;
    (void)sqlite3_bind_int64(s, 1, append->run);
    (void)sqlite3_bind_int64(s, 2, time_ns / PL_NS_PER_S);
    return pl_database_run(append->store, s);
}

int pl_append_run_counters(pl_append *append, const pl_run_counters *c, int64_t time_ns)
{
    const uint64_t values[] = {c->executions,      c->lost,        c->files_hashed, c->bytes_hashed,
                               c->hits_hot,        c->hits_ledger, c->watches,      c->tracked,
                               c->watches_refused, c->overflows,   c->start_total,  c->start_done};
    const int count = (int)(sizeof(values) / sizeof(values[0]));
    int rc = 0;
    sqlite3_stmt *s = pl_database_statement(append->store, PL_SQL_ST_RUN_COUNTERS, &rc);

    if (!s)
        return rc;
    (void)sqlite3_bind_int64(s, 1, append->run);
    for (int i = 0; i < count; i++)
        (void)sqlite3_bind_int64(s, i + 2, (int64_t)values[i]);
    (void)sqlite3_bind_int64(s, count + 2, time_ns / PL_NS_PER_S);
    return pl_database_run(append->store, s);
}

int pl_append_run_end(pl_append *append, int64_t time_ns)
{
    int rc = 0;
    sqlite3_stmt *s = pl_database_statement(append->store, PL_SQL_ST_RUN_END, &rc);

    if (!s)
        return rc;
    (void)sqlite3_bind_int64(s, 1, append->run);
    (void)sqlite3_bind_int64(s, 2, time_ns / PL_NS_PER_S);
    return pl_database_run(append->store, s);
}

struct adopted {
    int64_t eid, parent_eid;
    char *path; /* exact bytes; NULL: not known */
    pid_t pid;
    uint64_t start_ticks;
};

struct adoption {
    struct adopted *list;
    size_t count, size;
};

/* Takes one->path over, also when it fails. */
static int remember(struct adoption *adoption, const struct adopted *one)
{
    if (adoption->count == adoption->size) {
        size_t size = adoption->size ? 2 * adoption->size : 256;
        struct adopted *list = realloc(adoption->list, size * sizeof(*list));
        if (!list) {
            free(one->path);
            return pl_error_nomem();
        }
        adoption->list = list;
        adoption->size = size;
    }
    adoption->list[adoption->count++] = *one;
    return 0;
}

static int end_execution(pl_append *append, int64_t eid, const char *reason, int64_t last)
{
    int rc = 0;
    sqlite3_stmt *s = pl_database_statement(append->store, PL_SQL_ST_EXECUTION_LOST, &rc);

    if (!s)
        return rc;
    (void)sqlite3_bind_int64(s, 1, eid);
    (void)sqlite3_bind_text(s, 2, reason, -1, SQLITE_STATIC);
    (void)sqlite3_bind_int64(s, 3, last);
    return pl_database_run(append->store, s);
}

/* Each execution without an end: adopted, lost, or gone with its boot. One row a query: ending a row takes it out of the
 * index that the query walks, which is in the order of pids. */
static int settle_executions(pl_append *append, const pl_run *run, int64_t last, struct adoption *adoption)
{
    int64_t after_pid = INT64_MIN, after_eid = 0;

    for (;;) {
        struct adopted one = {0};
        int rc = 0;
        sqlite3_stmt *s = pl_database_statement(append->store, PL_SQL_ST_EXECUTIONS_ALIVE, &rc);
        if (!s)
            return rc;
        (void)sqlite3_bind_int64(s, 1, after_pid);
        (void)sqlite3_bind_int64(s, 2, after_eid);
        rc = pl_database_step(append->store, s);
        if (rc <= 0)
            return rc;
        one.eid = after_eid = sqlite3_column_int64(s, 0);
        one.pid = sqlite3_column_int(s, 1);
        after_pid = one.pid;
        one.start_ticks = (uint64_t)sqlite3_column_int64(s, 2);
        one.parent_eid = sqlite3_column_int64(s, 3);
        bool same_boot = sqlite3_column_type(s, 4) == SQLITE_NULL || sqlite3_column_int64(s, 4) == append->boot;
        const void *path = sqlite3_column_blob(s, 5);
        one.path = path ? strndup(path, (size_t)sqlite3_column_bytes(s, 5)) : NULL;
        (void)sqlite3_reset(s);
        if (same_boot && run->alive && run->alive(run->context, one.pid, one.start_ticks)) {
            rc = path && !one.path ? pl_error_nomem() : remember(adoption, &one);
        } else {
            free(one.path);
            rc = end_execution(append, one.eid, same_boot ? "lost" : "reboot", last);
        }
        if (rc < 0)
            return rc;
    }
}

/* A hash that nobody will bring any more: the process is gone, and so is whoever was to hash its file. */
static int settle_hashes(pl_append *append)
{
    const pl_execution_hash vanished = {.hash_state = PL_HASH_VANISHED};

    for (;;) {
        pl_execution_hash one = vanished;
        int rc = 0;
        sqlite3_stmt *s = pl_database_statement(append->store, PL_SQL_ST_EXECUTIONS_PENDING, &rc);
        if (!s)
            return rc;
        rc = pl_database_step(append->store, s);
        if (rc <= 0)
            return rc;
        one.eid = sqlite3_column_int64(s, 0);
        (void)sqlite3_reset(s);
        rc = pl_append_hash(append, &one);
        if (rc < 0)
            return rc;
    }
}

static int settle_forks(pl_append *append, int64_t last)
{
    int rc = 0;
    sqlite3_stmt *s = pl_database_statement(append->store, PL_SQL_ST_FORKS_LOST, &rc);

    if (!s)
        return rc;
    (void)sqlite3_bind_int64(s, 1, last);
    return pl_database_run(append->store, s);
}

/* Ends unfinished runs and writes the gap since the last one. *last: until when recording is known to have worked, now if
 * there never was a run. */
static int settle_runs(pl_append *append, const pl_run *run, int64_t *last)
{
    int rc = 0;
    int64_t now = run->time_ns / PL_NS_PER_S;
    sqlite3_stmt *s = pl_database_statement(append->store, PL_SQL_ST_RUN_LAST, &rc);

    *last = now;
    if (!s)
        return rc;
    rc = pl_database_step(append->store, s);
    if (rc <= 0)
        return rc;
    *last = sqlite3_column_int64(s, 0);
    bool clean = sqlite3_column_int(s, 1), same_boot = sqlite3_column_int64(s, 2) == append->boot;
    (void)sqlite3_reset(s);
    if (!clean) {
        s = pl_database_statement(append->store, PL_SQL_ST_RUN_LOST, &rc);
        rc = s ? pl_database_run(append->store, s) : rc;
        if (rc < 0)
            return rc;
    }
    const char *reason = clean ? "recorder was stopped" : same_boot ? "recorder was killed" : "reboot or crash";
    int64_t end = now > *last ? now : *last;
    return pl_append_gap(append, *last * PL_NS_PER_S, end * PL_NS_PER_S, -1, "recorder", reason);
}

/* What uname(2) and the command line say may hold any byte. NULL stays NULL. */
static int escape_or_null(const char *value, char **out)
{
    if (!value)
        return 0;
    *out = pl_text_escape(value, strlen(value));
    return *out ? 0 : pl_error_nomem();
}

static int set_meta(pl_append *append, const char *key, const char *value)
{
    pl_auto_free char *text = NULL;
    int rc = escape_or_null(value, &text);
    sqlite3_stmt *s = rc == 0 ? pl_database_statement(append->store, PL_SQL_ST_META_SET, &rc) : NULL;

    if (!s)
        return rc;
    (void)sqlite3_bind_text(s, 1, key, -1, SQLITE_STATIC);
    (void)sqlite3_bind_text(s, 2, text, -1, SQLITE_STATIC);
    return pl_database_run(append->store, s);
}

static int insert_run(pl_append *append, const pl_run *run, int64_t *id)
{
    pl_auto_free char *hostname = NULL, *machine_id = NULL, *kernel = NULL;
    int rc = escape_or_null(run->hostname, &hostname);

    if (rc == 0)
        rc = escape_or_null(run->machine_id, &machine_id);
    if (rc == 0)
        rc = escape_or_null(run->kernel, &kernel);
    sqlite3_stmt *s = rc == 0 ? pl_database_statement(append->store, PL_SQL_ST_RUN_INSERT, &rc) : NULL;
    if (!s)
        return rc;
    const char *const texts[] = {run->version, run->source, NULL, hostname, machine_id, kernel};
    (void)sqlite3_bind_int64(s, 1, run->time_ns / PL_NS_PER_S);
    for (int i = 0; i < 6; i++)
        (void)sqlite3_bind_text(s, i + 2, texts[i], -1, SQLITE_STATIC);
    if (append->boot)
        (void)sqlite3_bind_int64(s, 4, append->boot);
    rc = pl_database_run(append->store, s);
    if (rc == 0)
        *id = sqlite3_last_insert_rowid(append->store->db);
    return rc;
}

static int begin_in_transaction(pl_append *append, const pl_run *run, struct adoption *adoption, int64_t *id)
{
    int64_t last = 0;
    int rc = run->boot_id && *run->boot_id ? pl_intern_boot(append->interns, run->boot_id, &append->boot) : 0;

    if (rc == 0)
        rc = settle_runs(append, run, &last);
    if (rc == 0)
        rc = settle_executions(append, run, last, adoption);
    if (rc == 0)
        rc = settle_forks(append, last);
    if (rc == 0)
        rc = settle_hashes(append);
    if (rc == 0)
        rc = pl_append_tallies(append);
    if (rc == 0)
        rc = insert_run(append, run, id);
    if (rc == 0)
        rc = set_meta(append, "host", run->hostname);
    if (rc == 0)
        rc = set_meta(append, "argv", run->argv_mode);
    if (rc == 0)
        rc = set_meta(append, "ignored", run->ignored);
    if (rc == 0)
        rc = set_meta(append, "algorithms", run->algorithms);
    return rc;
}

int pl_append_run_begin(pl_append *append, const pl_run *run)
{
    struct adoption adoption = {0};
    int64_t id = 0, boot = append->boot;
    int rc = pl_database_begin(append->store);

    if (rc < 0)
        return rc;
    rc = begin_in_transaction(append, run, &adoption, &id);
    if (rc == 0)
        rc = pl_database_commit(append->store);
    if (rc < 0) {
        pl_database_rollback(append->store);
        pl_interns_clear(append->interns);
        append->boot = boot;
    } else {
        append->run = id;
        for (size_t i = 0; run->adopt && i < adoption.count; i++) {
            const struct adopted *one = &adoption.list[i];
            run->adopt(run->context, one->eid, one->pid, one->start_ticks, one->parent_eid, one->path);
        }
    }
    pl_tally_clear(append->commands);
    pl_tally_clear(append->binaries);
    for (size_t i = 0; i < adoption.count; i++)
        free(adoption.list[i].path);
    free(adoption.list);
    return rc;
}

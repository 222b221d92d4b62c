/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What can fail, fails here: memory, reads, writes, locks, at every call of whole operations (open, create, migrate,
 * batch, run, retain), inside SQLite as well as outside; the disk that is full while the writer records; and kill -9 at
 * each write. What is asked for: an error that is called by its name, a file that is wholly before or wholly after, each
 * acknowledged row in it, and the loss counted and told once.
 */
#include "tests/unit/store/store_support.h"

#include <errno.h>
#include <pthread.h>
#include <sys/wait.h>

#include "ledger/store/batch.h"
#include "ledger/store/database.h"
#include "ledger/store/guard.h"
#include "ledger/store/query.h"
#include "ledger/store/retain.h"
#include "src/base/error.h"
#include "tests/unit/store/sqlite_faults.h"

/* Every one of the first calls, then fewer and fewer of them: an operation has thousands. */
#define EACH_POINT(n)                                                                                                  \
    unsigned n = 1;                                                                                                    \
    ;                                                                                                                  \
    (n) += 1 + (n) / 16

static const struct {
    pl_fault_kind kind;
    int errnum;
    const char *name;
} faults[] = {
    {PL_FAULT_ALLOC, ENOMEM, "malloc"},      {PL_FAULT_READ, EIO, "read, broken"}, {PL_FAULT_READ, ESTALE, "read"},
    {PL_FAULT_WRITE, ENOSPC, "write, full"}, {PL_FAULT_WRITE, EIO, "write"},       {PL_FAULT_OPEN, EMFILE, "open"},
};
#define EACH_FAULT(k)                                                                                                  \
    size_t k = 0;                                                                                                      \
    (k) < sizeof(faults) / sizeof(faults[0]);                                                                          \
    (k)++

/* An error must not be taken for another one: above all not for damage, which ends programs with status 4. */
static void assert_named_rightly(size_t fault, int code)
{
    bool fine = false;

    switch (faults[fault].kind) {
    case PL_FAULT_ALLOC:
        fine = code == PL_ERR_NOMEM;
        break;
    case PL_FAULT_WRITE:
        fine = code == (faults[fault].errnum == ENOSPC ? PL_ERR_FULL : PL_ERR_IO);
        break;
    case PL_FAULT_READ:
        /* To SQLite a disk that cannot read what it has is a damaged one. */
        fine = code == PL_ERR_IO || (code == PL_ERR_DAMAGED && faults[fault].errnum == EIO);
        break;
    default:
        fine = code == PL_ERR_SYSTEM || code == PL_ERR_PERMISSION || code == PL_ERR_IO;
    }
    if (!fine)
        fail_msg("%s: %s: %s", faults[fault].name, pl_strerror(code), pl_error_message());
}

static void assert_sound(const char *path)
{
    assert_answer(path, "PRAGMA integrity_check", "ok");
}

static int open_once(const char *path, pl_store_mode mode, const pl_schema_set *schema)
{
    const pl_store_options options = {.mode = mode, .busy_ms = 1};
    pl_store *store = NULL;
    int rc = schema ? pl_store_open_schema(path, &options, schema, &store) : pl_store_open(path, &options, &store);

    assert_true((rc == 0) == (store != NULL));
    (void)pl_store_close(store);
    return rc;
}

/* A test that failed must not leave its fault to the next one. */
static int calm_down(void **state)
{
    pl_fault_disarm();
    return tear_down(state);
}

/* --- open, create, migrate --- */

static void test_opening_survives_any_failure(void **state)
{
    static const pl_store_mode modes[] = {PL_STORE_READ, PL_STORE_RECORDER};
    const fixture *f = *state;

    assert_int_equal(open_once(f->path, PL_STORE_WRITE, NULL), 0);
    for (EACH_FAULT(k)) {
        for (int m = 0; m < 2; m++) {
            unsigned failures = 0;
            for (EACH_POINT(n)) {
                (void)pl_fault_arm(faults[k].kind, n, faults[k].errnum);
                int rc = open_once(f->path, modes[m], NULL);
                bool fired = pl_fault_fired();
                pl_fault_disarm();
                if (rc < 0) {
                    assert_named_rightly(k, rc);
                    failures++;
                }
                if (!fired)
                    break;
            }
            /* A reader writes nothing. */
            if (faults[k].kind != PL_FAULT_WRITE || modes[m] != PL_STORE_READ)
                assert_true(failures > 0);
        }
        assert_int_equal(open_once(f->path, PL_STORE_RECORDER, NULL), 0);
    }
    assert_sound(f->path);
}

static void test_creating_leaves_a_whole_file_or_none(void **state)
{
    const fixture *f = *state;

    for (EACH_FAULT(k)) {
        unsigned failures = 0;
        for (EACH_POINT(n)) {
            (void)pl_fault_arm(faults[k].kind, n, faults[k].errnum);
            int rc = open_once(f->path, PL_STORE_WRITE, NULL);
            bool fired = pl_fault_fired();
            pl_fault_disarm();
            if (rc < 0) {
                assert_named_rightly(k, rc);
                failures++;
            }
            char *listing = snapshot(f->dir);
            assert_null(strstr(listing, ".new-"));
            free(listing);
            if (access(f->path, F_OK) == 0) {
                assert_int_equal(open_once(f->path, PL_STORE_READ, NULL), 0);
                assert_sound(f->path);
            }
            static const char *const suffixes[] = {"", "-wal", "-shm", ".lock"};
            for (size_t i = 0; i < 4; i++) {
                char *name = pl_guard_name(f->path, suffixes[i]);
                (void)unlink(name);
                free(name);
            }
            if (!fired)
                break;
        }
        assert_true(failures > 0);
    }
}

static const char *const steps[] = {
    NULL, /* the embedded one, known at run time */
    "CREATE TABLE _extra(x); ALTER TABLE _gap ADD COLUMN extra INTEGER; UPDATE _gap SET extra = lost;",
};

static pl_schema_set schema(int version)
{
    static const char *all[2];

    all[0] = pl_schema_migrations[0];
    all[1] = steps[1];
    return (pl_schema_set){all, version, pl_schema_views};
}

static void test_migration_happens_wholly_or_not_at_all(void **state)
{
    const fixture *f = *state;
    const pl_schema_set one = schema(1), two = schema(2);
    char *backup = pl_temp_path(f->dir, "backup.db"), *into = NULL;

    assert_int_equal(open_once(f->path, PL_STORE_WRITE, &one), 0);
    force(f->path, "INSERT INTO _gap(time, end_time, lost, source, reason) VALUES(1, 2, 21, 'x', 'y')");
    assert_true(asprintf(&into, "VACUUM INTO '%s'", backup) > 0);
    for (EACH_FAULT(k)) {
        unsigned failures = 0;
        for (EACH_POINT(n)) {
            (void)unlink(backup);
            force(f->path, into);
            assert_return_code(chmod(backup, 0640), 0);
            (void)pl_fault_arm(faults[k].kind, n, faults[k].errnum);
            int rc = open_once(backup, PL_STORE_RECORDER, &two);
            bool fired = pl_fault_fired();
            pl_fault_disarm();
            int64_t version = ask_number(backup, "PRAGMA user_version");
            assert_true(version == 1 || version == 2);
            assert_int_equal(ask_number(backup, "SELECT count(*) FROM sqlite_master WHERE name = '_extra'"),
                             version - 1);
            assert_answer(backup, "SELECT lost FROM gaps", "21");
            assert_sound(backup);
            if (rc < 0) {
                assert_named_rightly(k, rc);
                failures++;
            } else {
                assert_int_equal(version, 2);
            }
            assert_int_equal(open_once(backup, PL_STORE_RECORDER, &two), 0);
            assert_answer(backup, "SELECT extra FROM _gap", "21");
            static const char *const suffixes[] = {"", "-wal", "-shm", ".lock"};
            for (size_t i = 0; i < 4; i++) {
                char *name = pl_guard_name(backup, suffixes[i]);
                (void)unlink(name);
                free(name);
            }
            if (!fired)
                break;
        }
        assert_true(failures > 0);
    }
    free(backup);
    free(into);
}

/* --- batches and retention, without the thread --- */

typedef struct room {
    fixture *f;
    pl_append append;
    pl_retain *retain;
} room;

static int open_room(void **state)
{
    room *r = calloc(1, sizeof(*r));
    void *f = NULL;
    const pl_retain_limits limits = {.retain_ns = SECOND, .path_ttl_ns = SECOND, .max_db_size = 1, .step_rows = 20};
    const pl_store_options options = {.mode = PL_STORE_RECORDER, .busy_ms = 1};

    assert_int_equal(set_up(&f), 0);
    r->f = f;
    r->append.least_eid = INT64_MAX;
    assert_int_equal(pl_store_open(r->f->path, &options, &r->append.store), 0);
    assert_int_equal(pl_interns_new(r->append.store, &r->append.interns), 0);
    assert_int_equal(pl_tally_new(&r->append.commands), 0);
    assert_int_equal(pl_tally_new(&r->append.binaries), 0);
    assert_int_equal(pl_rows_new(r->append.store, &r->append.rows), 0);
    assert_int_equal(pl_retain_new(&limits, &r->retain), 0);
    *state = r;
    return 0;
}

static int close_room(void **state)
{
    room *r = *state;
    void *f = r->f;

    pl_fault_disarm();
    (void)pl_retain_free(r->retain);
    (void)pl_rows_free(r->append.rows);
    (void)pl_interns_free(r->append.interns);
    (void)pl_tally_free(r->append.commands);
    (void)pl_tally_free(r->append.binaries);
    (void)pl_store_close(r->append.store);
    free(r);
    return tear_down(&f);
}

/* Ten executions that ended, with files, forks and names of their own. */
static void make_batch(pl_batch *batch, int64_t first)
{
    for (int64_t eid = first; eid < first + 10; eid++) {
        char name[40];
        const pl_digest_set set = digests_of((unsigned)eid);
        pl_execution e = execution_of(eid);
        (void)snprintf(name, sizeof(name), "/opt/%lld\xff", (long long)eid);
        e.path = e.cwd = name;
        e.argv = name;
        e.argv_length = strlen(name) + 1;
        e.hash_state = PL_HASH_OK;
        e.digests = &set;
        pl_batch_put(batch, pl_record_of_execution(&e));
        pl_record *end = pl_record_new(PL_RECORD_END);
        end->end = end_of(eid, 0);
        pl_batch_put(batch, end);
        pl_sighting v = sighting_of(name, (uint64_t)eid, (unsigned)eid, T0);
        pl_batch_put(batch, pl_record_of_sighting(PL_RECORD_SIGHTING, &v));
    }
    pl_batch_fold(batch);
}

static void drop(pl_batch *batch)
{
    for (pl_record *record; (record = pl_batch_take(batch));)
        free(record);
}

/* Each statement is prepared anew, which is where most of an operation's memory is asked for. */
static void forget_statements(pl_store *store)
{
    for (size_t i = 0; i < PL_SQL_COUNT; i++) {
        (void)sqlite3_finalize(store->statements[i]);
        store->statements[i] = NULL;
    }
}

/* A batch that failed left nothing, and is written as it is when it is tried again. */
static void test_batch_is_written_wholly_or_not_at_all(void **state)
{
    room *r = *state;
    int64_t written = 0;

    for (EACH_FAULT(k)) {
        unsigned failures = 0;
        for (EACH_POINT(n)) {
            pl_batch batch = {0};
            pl_batch_result result = {0};
            const pl_batch_loss loss = {.lost = 1, .since_ns = T0, .until_ns = T0, .reason = "test"};
            make_batch(&batch, written + 1);
            (void)pl_fault_arm(faults[k].kind, n, faults[k].errnum);
            int rc = pl_batch_write(&batch, &r->append, &loss, T0, &result);
            bool fired = pl_fault_fired();
            pl_fault_disarm();
            if (rc < 0) {
                assert_named_rightly(k, rc);
                assert_int_equal(result.executions, 0);
                assert_int_equal(ask_number(r->f->path, "SELECT count(*) FROM _execution"), written);
                rc = pl_batch_write(&batch, &r->append, &loss, T0, &result);
                failures++;
            }
            assert_int_equal(rc, 0);
            assert_int_equal(result.executions, 10);
            assert_int_equal(result.sightings, 10);
            assert_int_equal(result.rejected, 0);
            written += 10;
            drop(&batch);
            if (!fired)
                break;
        }
        /* What a batch reads is in memory by then, and no file is opened. */
        if (faults[k].kind == PL_FAULT_ALLOC || faults[k].kind == PL_FAULT_WRITE)
            assert_true(failures > 0);
    }
    char *expected = NULL;
    assert_true(asprintf(&expected, "%lld|%lld|%lld|%lld|%lld|%lld", (long long)written, (long long)written,
                         (long long)written, (long long)written, (long long)written / 10, (long long)written) > 0);
    assert_answer(r->f->path,
                  "SELECT (SELECT count(*) FROM process_events), (SELECT count(DISTINCT path_bytes) FROM"
                  " process_events), (SELECT sum(execs) FROM binaries), (SELECT sum(execs) FROM commands),"
                  " (SELECT sum(lost) FROM gaps), (SELECT count(*) FROM hash)",
                  expected);
    free(expected);
    assert_sound(r->f->path);
}

static void put(pl_batch *batch, enum pl_record_kind kind, pl_record *record)
{
    record->kind = kind;
    pl_batch_put(batch, record);
}

/* One of each kind, where the statements of each are: rows that are there and rows that are not, changes and none. */
static void make_all_kinds(pl_batch *batch, int64_t n)
{
    const pl_digest_set set = digests_of(1);
    const pl_execution_hash hash = hash_of(n - 1, (unsigned)n);
    pl_execution_hash script = hash_of(n - 1, (unsigned)n + 1000);
    pl_execution e = execution_of(n), known = execution_of(0x40000000 + n);
    pl_sighting changed = sighting_of("/changed", 5, (unsigned)n, T0 + n * SECOND), unreadable = changed;
    pl_sighting same = sighting_of("/same", 6, 1, T0), gone = sighting_of("/gone", 7, 1, T0);

    script.script = true;
    known.hash_state = PL_HASH_OK;
    known.digests = &set;
    known.container = "box\n";
    known.tty = "pts/1";
    known.script_path = "/script";
    unreadable.path = "/unreadable";
    unreadable.container = "box\n";
    unreadable.hash_state = PL_HASH_UNREADABLE;
    same.digests.digests[1] = (pl_digest){.algorithm = PL_MD5, .length = 16};
    put(batch, PL_RECORD_EXECUTION, pl_record_of_execution(&e));
    put(batch, PL_RECORD_EXECUTION, pl_record_of_execution(&known));
    put(batch, PL_RECORD_HASH, pl_record_of_hash(&hash));
    put(batch, PL_RECORD_HASH, pl_record_of_hash(&script));
    pl_record *record = pl_record_new(PL_RECORD_END);
    record->end = end_of(n - 1, 0);
    put(batch, PL_RECORD_END, record);
    record = pl_record_new(PL_RECORD_FORK);
    record->fork = (pl_fork_record){.fork_id = n, .time_ns = T0, .pid = 5};
    put(batch, PL_RECORD_FORK, record);
    put(batch, PL_RECORD_SIGHTING, pl_record_of_sighting(PL_RECORD_SIGHTING, &changed));
    put(batch, PL_RECORD_SIGHTING, pl_record_of_sighting(PL_RECORD_SIGHTING, &unreadable));
    put(batch, PL_RECORD_SIGHTING, pl_record_of_sighting(PL_RECORD_SIGHTING, &same));
    put(batch, PL_RECORD_SIGHTING, pl_record_of_sighting(PL_RECORD_SIGHTING, &gone));
    put(batch, PL_RECORD_SEEN, pl_record_of_version(PL_RECORD_SEEN, "/same", NULL));
    put(batch, PL_RECORD_CLOSE, pl_record_of_version(PL_RECORD_CLOSE, "/gone", "vanished"));
    put(batch, PL_RECORD_GAP, pl_record_of_gap("test", "because"));
    record = pl_record_of_sighting(PL_RECORD_ALERT, &changed);
    (void)memset(record->old_sha256, 'a', 64);
    put(batch, PL_RECORD_ALERT, record);
    put(batch, PL_RECORD_COUNTERS, pl_record_new(PL_RECORD_COUNTERS));
    put(batch, PL_RECORD_RUN_END, pl_record_new(PL_RECORD_RUN_END));
    for (record = batch->first; record; record = record->next) {
        if (record->kind == PL_RECORD_CLOSE || record->kind == PL_RECORD_SEEN)
            record->version.mnt_ns = 1;
    }
}

static void test_each_kind_of_record_survives_out_of_memory(void **state)
{
    static const char *const everything =
        "SELECT (SELECT count(*) FROM _execution), (SELECT count(*) FROM _image), (SELECT count(*) FROM _path),"
        " (SELECT count(*) FROM _command), (SELECT count(*) FROM _content), (SELECT count(*) FROM _context),"
        " (SELECT count(*) FROM _version), (SELECT count(*) FROM hash), (SELECT count(*) FROM _fork),"
        " (SELECT count(*) FROM _change), (SELECT count(*) FROM _gap), (SELECT sum(execs) FROM _binary),"
        " (SELECT sum(execs) FROM _command), (SELECT count(*) FROM _execution WHERE end_reason IS NULL),"
        " (SELECT max(last_time) FROM _run)";
    room *r = *state;
    const pl_run run = {.version = "1", .source = "scan", .boot_id = BOOT_A, .time_ns = T0};
    unsigned failures = 0;
    int64_t batches = 0;

    assert_int_equal(pl_append_run_begin(&r->append, &run), 0);
    for (unsigned n = 1;; n += 1 + n / 64) {
        pl_batch batch = {0};
        pl_batch_result result = {0};
        const pl_batch_loss none = {0};
        make_all_kinds(&batch, ++batches);
        char *before = ask(r->f->path, everything);
        pl_interns_clear(r->append.interns);
        forget_statements(r->append.store);
        (void)pl_fault_arm(PL_FAULT_ALLOC, n, ENOMEM);
        int rc = pl_batch_write(&batch, &r->append, &none, T0, &result);
        bool fired = pl_fault_fired();
        pl_fault_disarm();
        if (rc < 0) {
            assert_int_equal(rc, PL_ERR_NOMEM);
            assert_answer(r->f->path, everything, before);
            assert_int_equal(pl_batch_write(&batch, &r->append, &none, T0, &result), 0);
            failures++;
        }
        free(before);
        assert_int_equal(result.rejected, 0);
        assert_int_equal(result.executions, 2);
        drop(&batch);
        if (!fired)
            break;
    }
    assert_true(failures > 50);
    char *expected = NULL;
    assert_true(asprintf(&expected, "%lld|%lld|%lld|%lld|%lld|%lld", (long long)batches * 2, (long long)batches,
                         (long long)batches, (long long)batches, (long long)batches, (long long)batches - 1) > 0);
    assert_answer(r->f->path,
                  "SELECT (SELECT count(*) FROM process_events), (SELECT count(*) FROM process_forks),"
                  " (SELECT count(*) FROM changes), (SELECT count(*) FROM gaps),"
                  " (SELECT count(*) FROM file_history WHERE path = '/changed'),"
                  " (SELECT count(*) FROM process_events WHERE script_sha256 IS NOT NULL)",
                  expected);
    free(expected);
    assert_sound(r->f->path);
}

static void test_reading_survives_out_of_memory(void **state)
{
    room *r = *state;
    pl_batch batch = {0};
    pl_batch_result result = {0};
    const pl_batch_loss none = {0};
    const pl_sighting v = sighting_of("/same", 6, 1, T0);
    unsigned failures = 0;

    make_all_kinds(&batch, 1);
    assert_int_equal(pl_batch_write(&batch, &r->append, &none, T0, &result), 0);
    drop(&batch);
    pl_store *store = open_store(r->f->path, PL_STORE_READ);
    for (EACH_POINT(n)) {
        pl_known_file known = {0};
        pl_query *query = NULL;
        uint64_t database = 0, wal = 0;
        const char *json = NULL;
        forget_statements(store);
        (void)pl_fault_arm(PL_FAULT_ALLOC, n, ENOMEM);
        int rc = pl_files_find(store, &v.identity, BOOT_A, T0, 3600 * SECOND, &known);
        const bool found = rc == 0;
        if (rc == 0)
            rc = pl_query_new(store, PL_SQL_SHOW_ANY, &query);
        if (rc == 0)
            rc = pl_query_bind_text(query, ":eid", "1");
        if (rc == 0)
            rc = pl_query_bind_blob(query, ":limit", NULL, 0);
        if (rc == 0)
            rc = pl_query_bind_integer(query, ":limit", 5);
        if (rc == 0)
            rc = pl_query_step(query);
        if (rc == 1) {
            json = pl_query_row_json(query);
            rc = json ? pl_store_check(store) : PL_ERR_NOMEM;
        }
        if (rc == 0)
            rc = pl_store_size(store, &database, &wal);
        bool fired = pl_fault_fired();
        pl_fault_disarm();
        if (rc < 0) {
            assert_int_equal(rc, PL_ERR_NOMEM);
            failures++;
        } else {
            assert_int_equal(rc, found ? 0 : PL_PENDING);
        }
        if (found)
            assert_int_equal(known.digests.digests[0].bytes[0], 1);
        if (json)
            assert_non_null(strstr(json, "\"eid\":1,"));
        (void)pl_query_free(query);
        if (!fired) {
            assert_non_null(json);
            assert_true(database > 0);
            break;
        }
    }
    (void)pl_store_close(store);
    assert_true(failures > 20);
}

/* A step of retention that failed changed nothing, and what is deleted in the end is counted once. */
static void test_retention_goes_on_after_any_failure(void **state)
{
    room *r = *state;
    uint64_t deleted = 0;
    int64_t written = 0;

    for (EACH_FAULT(k)) {
        unsigned failures = 0;
        for (EACH_POINT(n)) {
            pl_batch batch = {0};
            pl_batch_result result = {0};
            const pl_batch_loss none = {0};
            make_batch(&batch, written + 1);
            assert_int_equal(pl_batch_write(&batch, &r->append, &none, T0, &result), 0);
            drop(&batch);
            written += 10;
            bool fired = false;
            /* A whole sweep under fire: rows, search, vacuum, checkpoint. */
            for (int i = 0, rc = 1; rc > 0 && i < 100; i++) {
                uint64_t before = deleted;
                if (faults[k].kind == PL_FAULT_ALLOC)
                    forget_statements(r->append.store);
                (void)pl_fault_arm(faults[k].kind, n, faults[k].errnum);
                rc = pl_retain_step(r->retain, &r->append, T0 + 100 * SECOND, &deleted);
                fired = fired || pl_fault_fired();
                pl_fault_disarm();
                if (rc < 0) {
                    assert_named_rightly(k, rc);
                    /* Rows may have gone and the vacuum behind them failed; else nothing was counted. */
                    assert_int_equal((int64_t)deleted,
                                     written - ask_number(r->f->path, "SELECT count(*) FROM _execution"));
                    assert_true(deleted == before || deleted == before + 10);
                    failures++;
                }
            }
            for (int i = 0; i < 200 && pl_retain_step(r->retain, &r->append, T0 + 100 * SECOND, &deleted) > 0; i++)
                ;
            assert_int_equal(deleted, written);
            if (!fired)
                break;
        }
        if (faults[k].kind == PL_FAULT_ALLOC || faults[k].kind == PL_FAULT_WRITE)
            assert_true(failures > 0);
    }
    assert_answer(r->f->path,
                  "SELECT (SELECT count(*) FROM _execution), (SELECT count(*) FROM _command WHERE id <> 0),"
                  " (SELECT count(*) FROM _image WHERE id <> 0)",
                  "0|0|0");
    assert_sound(r->f->path);
}

/* The row in gaps is of the transaction that deletes: what went is told to the last one, however often it failed. */
static void test_shortage_of_disk_is_told_whole_after_any_failure(void **state)
{
    room *r = *state;
    const pl_retain_limits limits = {.retain_ns = INT64_MAX / 2,
                                     .path_ttl_ns = INT64_MAX / 2,
                                     .max_db_size = UINT64_C(1) << 60,
                                     .min_free_percent = 100,
                                     .step_rows = 10};
    uint64_t deleted = 0;
    unsigned failures = 0;

    for (int64_t i = 0; i < 20; i++) {
        pl_batch batch = {0};
        pl_batch_result result = {0};
        const pl_batch_loss none = {0};
        make_batch(&batch, 10 * i + 1);
        assert_int_equal(pl_batch_write(&batch, &r->append, &none, T0, &result), 0);
        drop(&batch);
    }
    (void)sqlite3_wal_checkpoint_v2(r->append.store->db, "main", SQLITE_CHECKPOINT_PASSIVE, NULL, NULL);
    (void)pl_retain_free(r->retain);
    assert_int_equal(pl_retain_new(&limits, &r->retain), 0);
    /* Another write fails in each of two steps, the very first among them; none in the third. */
    for (unsigned i = 0; i < 300; i++) {
        if (i % 3 != 2)
            (void)pl_fault_arm(PL_FAULT_WRITE, 1 + (i * 7) % 31, ENOSPC);
        int rc = pl_retain_step(r->retain, &r->append, T0 + SECOND, &deleted);
        pl_fault_disarm();
        failures += rc < 0;
        assert_int_equal(deleted, 200 - ask_number(r->f->path, "SELECT count(*) FROM _execution"));
        assert_int_equal(deleted, ask_number(r->f->path, "SELECT coalesce(sum(lost), 0) FROM gaps"));
    }
    assert_true(failures > 5);
    assert_int_equal(deleted, 200);
    assert_sound(r->f->path);
}

static bool nobody(void *context, pid_t pid, uint64_t start_ticks)
{
    (void)context;
    (void)start_ticks;
    return pid % 2 == 0;
}

static void count_adopted(void *context, int64_t eid, pid_t pid, uint64_t start_ticks, int64_t parent_eid,
                          const char *path)
{
    (void)eid;
    (void)pid;
    (void)start_ticks;
    (void)parent_eid;
    (void)path;
    ++*(int *)context;
}

static void test_run_begins_wholly_or_not_at_all(void **state)
{
    room *r = *state;
    int adopted = 0;
    int64_t runs = 0;
    pl_run run = {.version = "1",
                  .source = "scan",
                  .boot_id = BOOT_A,
                  .hostname = "h",
                  .machine_id = "m",
                  .kernel = "k",
                  .argv_mode = "full",
                  .ignored = "",
                  .algorithms = "sha256",
                  .alive = nobody,
                  .adopt = count_adopted,
                  .context = &adopted};
    static const char *const summary = "SELECT (SELECT count(*) FROM runs), (SELECT count(*) FROM gaps),"
                                       " (SELECT count(*) FROM process_events WHERE end_reason IS NULL),"
                                       " (SELECT group_concat(value) FROM about WHERE key IN ('host', 'argv'))";

    for (EACH_POINT(n)) {
        pl_batch batch = {0};
        pl_batch_result result = {0};
        const pl_batch_loss none = {0};
        /* Two that live: one will be adopted and then ended here, the other one is lost. */
        for (int i = 0; i < 2; i++) {
            pl_execution e = execution_of(2 * runs + i + 1);
            e.pid = (pid_t)(1000 + i);
            pl_batch_put(&batch, pl_record_of_execution(&e));
        }
        assert_int_equal(pl_batch_write(&batch, &r->append, &none, T0, &result), 0);
        drop(&batch);
        run.time_ns = T0 + runs * SECOND;
        adopted = 0;
        char *before = ask(r->f->path, summary);
        forget_statements(r->append.store);
        (void)pl_fault_arm(PL_FAULT_ALLOC, n, ENOMEM);
        int rc = pl_append_run_begin(&r->append, &run);
        bool fired = pl_fault_fired();
        pl_fault_disarm();
        if (rc < 0) {
            assert_int_equal(rc, PL_ERR_NOMEM);
            assert_int_equal(adopted, 0);
            assert_answer(r->f->path, summary, before);
            assert_int_equal(pl_append_run_begin(&r->append, &run), 0);
        }
        free(before);
        runs++;
        assert_int_equal(adopted, 1);
        assert_int_equal(r->append.run, runs);
        assert_int_equal(ask_number(r->f->path, "SELECT count(*) FROM process_events WHERE end_reason IS NULL"), 1);
        force(r->f->path, "UPDATE _execution SET end_reason = 'exit' WHERE end_reason IS NULL");
        if (!fired)
            break;
    }
    assert_true(runs > 10);
    assert_sound(r->f->path);
}

/* --- the writer on a disk that is full or broken --- */

typedef struct journal {
    pthread_mutex_t lock;
    int lines, errors;
    char last[1024];
} journal;

static void note(void *context, pl_log_level level, const char *line)
{
    journal *j = context;

    (void)pthread_mutex_lock(&j->lock);
    j->lines++;
    j->errors += level == PL_LOG_ERROR;
    (void)snprintf(j->last, sizeof(j->last), "%s", line);
    (void)pthread_mutex_unlock(&j->lock);
}

static int lines_of(journal *j)
{
    (void)pthread_mutex_lock(&j->lock);
    int lines = j->lines;
    (void)pthread_mutex_unlock(&j->lock);
    return lines;
}

static void assert_last_line(journal *j, const char *words)
{
    (void)pthread_mutex_lock(&j->lock);
    if (!strstr(j->last, words))
        print_error("'%s' does not say '%s'\n", j->last, words);
    assert_non_null(strstr(j->last, words));
    (void)pthread_mutex_unlock(&j->lock);
}

#define QUEUE_BYTES (64 << 10)
/* Tries again at once; batches close only when somebody flushes. */
static const pl_writer_options small_queue = {
    .batch_ns = 3600 * SECOND, .batch_count = 1000000, .queue_bytes = QUEUE_BYTES, .retry_ns = 1};

static pl_writer *open_noted(const char *path, journal *j, pl_log *log, const pl_writer_options *options)
{
    const pl_store_options store_options = {.mode = PL_STORE_RECORDER, .log = log, .busy_ms = 1};
    pl_store *store = NULL;
    pl_writer *w = NULL;

    *j = (journal){.lock = PTHREAD_MUTEX_INITIALIZER};
    *log = (pl_log){.write = note, .context = j, .level = PL_LOG_DEBUG};
    assert_int_equal(pl_store_open(path, &store_options, &store), 0);
    assert_int_equal(pl_writer_new(store, options, &w), 0);
    return w;
}

/* How many of n the queue took. */
static int64_t record(pl_writer *w, int n)
{
    int64_t taken = 0;

    for (int i = 0; i < n; i++) {
        pl_execution e = execution_of(pl_writer_next_eid(w));
        int rc = pl_writer_execution(w, &e);
        assert_true(rc == 0 || rc == PL_ERR_QUEUE_FULL);
        taken += rc == 0;
    }
    return taken;
}

static void check_broken_disk(const char *path, int errnum, int code, const char *reason)
{
    journal j;
    pl_log log;
    pl_writer *w = open_noted(path, &j, &log, &small_queue);
    pl_writer_stats stats;

    int64_t kept = record(w, 10);
    assert_int_equal(pl_writer_flush(w), 0);
    pl_fault_arm_from(PL_FAULT_WRITE, 1, errnum);
    kept += record(w, 5);
    assert_int_equal(pl_writer_flush(w), code);
    kept += record(w, 1000);
    for (int i = 0; i < 5; i++)
        assert_int_equal(pl_writer_flush(w), code);
    pl_writer_stats_get(w, &stats);
    assert_true(stats.failures >= 6);
    assert_true(stats.queued_bytes <= QUEUE_BYTES);
    assert_int_equal(stats.queued, kept - 10);
    assert_int_equal(stats.lost, 1015 - kept);
    assert_true(stats.lost > 500);
    assert_int_equal(stats.executions, 10);
    /* Once, however often it failed. */
    assert_int_equal(lines_of(&j), 1);
    assert_last_line(&j, "writing failed, keeping what fits in memory");
    /* What was acknowledged can be read meanwhile. */
    pl_fault_disarm();
    assert_int_equal(pl_writer_flush(w), 0);
    assert_int_equal(lines_of(&j), 2);
    assert_last_line(&j, "writing works again");
    pl_writer_stats_get(w, &stats);
    assert_int_equal(stats.executions, kept);
    assert_int_equal(stats.queued, 0);
    (void)pl_writer_free(w);
    assert_int_equal(lines_of(&j), 2);
    assert_int_equal(ask_number(path, "SELECT count(*) FROM process_events"), kept);
    char *expected = NULL;
    assert_true(asprintf(&expected, "%llu|writer|%s|1", (unsigned long long)stats.lost, reason) > 0);
    assert_answer(path, "SELECT lost, source, reason, end_time >= time FROM gaps", expected);
    free(expected);
    assert_sound(path);
}

static void test_full_disk_is_counted_told_once_and_outlived(void **state)
{
    const fixture *f = *state;

    check_broken_disk(f->path, ENOSPC, PL_ERR_FULL, "disk full");
}

static void test_quota_is_a_full_disk(void **state)
{
    const fixture *f = *state;

    check_broken_disk(f->path, EDQUOT, PL_ERR_FULL, "disk full");
}

static void test_broken_disk_is_counted_told_once_and_outlived(void **state)
{
    const fixture *f = *state;

    check_broken_disk(f->path, EIO, PL_ERR_IO, "I/O error");
}

/* Not the disk, but the file's own limit: what SQLite itself calls full. */
static void test_file_that_may_not_grow_is_full(void **state)
{
    const fixture *f = *state;
    pl_store *store = open_store(f->path, PL_STORE_RECORDER);
    pl_writer *w = NULL;

    assert_int_equal(pl_database_exec(store, "PRAGMA max_page_count = 1"), 0); /* as many as there are */
    assert_int_equal(pl_writer_new(store, &small_queue, &w), 0);
    for (int i = 0; i < 60; i++) {
        char path[900];
        memset(path, 'p', sizeof(path));
        (void)snprintf(path, 16, "/opt/%010d", i);
        path[15] = 'p';
        path[sizeof(path) - 1] = '\0';
        pl_execution e = execution_of(pl_writer_next_eid(w));
        e.path = path;
        (void)pl_writer_execution(w, &e);
    }
    assert_int_equal(pl_writer_flush(w), PL_ERR_FULL);
    (void)pl_writer_free(w);
    assert_answer(f->path, "SELECT count(*) FROM process_events", "0");
    assert_sound(f->path);
}

static void test_busy_file_is_waited_for_and_then_counted(void **state)
{
    const fixture *f = *state;
    journal j;
    pl_log log;
    pl_writer *w = open_noted(f->path, &j, &log, &small_queue);
    sqlite3 *db = NULL;

    assert_int_equal(sqlite3_open(f->path, &db), SQLITE_OK);
    assert_int_equal(sqlite3_exec(db, "BEGIN IMMEDIATE", NULL, NULL, NULL), SQLITE_OK);
    int64_t kept = record(w, 1000);
    assert_int_equal(pl_writer_flush(w), PL_ERR_BUSY);
    assert_int_equal(lines_of(&j), 1);
    assert_int_equal(sqlite3_exec(db, "COMMIT", NULL, NULL, NULL), SQLITE_OK);
    (void)sqlite3_close(db);
    assert_int_equal(pl_writer_flush(w), 0);
    (void)pl_writer_free(w);
    assert_int_equal(ask_number(f->path, "SELECT count(*) + (SELECT sum(lost) FROM gaps) FROM process_events"), 1000);
    assert_true(kept < 1000);
    /* The queue filled before anything had failed. */
    assert_answer(f->path, "SELECT reason FROM gaps", "ledger busy");
}

/* The recorder's own words about losses are worth more than one record. */
static void test_gap_that_finds_no_room_is_told_by_the_one_that_does(void **state)
{
    const fixture *f = *state;
    journal j;
    pl_log log;
    pl_writer *w = open_noted(f->path, &j, &log, &small_queue);

    pl_fault_arm_from(PL_FAULT_WRITE, 1, ENOSPC);
    int64_t kept = record(w, 1000);
    assert_int_equal(pl_writer_flush(w), PL_ERR_FULL);
    /* Until not even a small record fits. */
    while (pl_writer_gap(w, T0, T0, 1, "netlink", "filler") == 0)
        kept++;
    assert_int_equal(pl_writer_gap(w, T0, T0, 5000, "netlink", "overrun"), PL_ERR_QUEUE_FULL);
    assert_int_equal(pl_writer_gap(w, T0, T0, -1, "netlink", "overrun"), PL_ERR_QUEUE_FULL);
    pl_fault_disarm();
    assert_int_equal(pl_writer_flush(w), 0);
    (void)pl_writer_free(w);
    /* 5,000, the filler that did not fit, the one that knew no number, and the executions. */
    int64_t executions = ask_number(f->path, "SELECT count(*) FROM process_events");
    assert_int_equal(ask_number(f->path, "SELECT sum(lost) FROM gaps WHERE source = 'writer'"),
                     1000 - executions + 1 + 5000 + 1);
    assert_int_equal(ask_number(f->path, "SELECT count(*) FROM gaps WHERE source = 'netlink'"), kept - executions);
}

/* A disk on the brink: it fails, recovers, fails. Each failure is outlived, the log does not repeat itself. */
static void test_flickering_disk_is_not_told_each_time(void **state)
{
    const fixture *f = *state;
    journal j;
    pl_log log;
    pl_writer *w = open_noted(f->path, &j, &log, &small_queue);
    pl_writer_stats stats;

    for (int i = 0; i < 20; i++) {
        assert_int_equal(record(w, 5), 5);
        pl_fault_arm_from(PL_FAULT_WRITE, 1, ENOSPC);
        assert_int_equal(pl_writer_flush(w), PL_ERR_FULL);
        pl_fault_disarm();
        assert_int_equal(pl_writer_flush(w), 0);
    }
    assert_int_equal(lines_of(&j), 2);
    pl_writer_stats_get(w, &stats);
    assert_true(stats.failures >= 20);
    assert_int_equal(stats.executions, 100);
    (void)pl_writer_free(w);
    assert_answer(f->path, "SELECT (SELECT count(*) FROM process_events), (SELECT count(*) FROM gaps)", "100|0");
}

/* Sweeps are asked for every ten seconds, also while nothing can be written. */
static void test_requests_for_retention_do_not_pile_up(void **state)
{
    const fixture *f = *state;
    journal j;
    pl_log log;
    pl_writer *w = open_noted(f->path, &j, &log, &small_queue);
    pl_writer_stats stats;

    pl_fault_arm_from(PL_FAULT_WRITE, 1, ENOSPC);
    assert_int_equal(record(w, 3), 3);
    assert_int_equal(pl_writer_flush(w), PL_ERR_FULL);
    for (int i = 0; i < 10000; i++)
        assert_int_equal(pl_writer_retain(w, T0 + i * SECOND), 0);
    pl_writer_stats_get(w, &stats);
    assert_int_equal(stats.queued, 4);
    pl_fault_disarm();
    assert_int_equal(pl_writer_flush(w), 0);
    pl_writer_stats_get(w, &stats);
    assert_int_equal(stats.queued, 0);
    assert_int_equal(stats.executions, 3);
    (void)pl_writer_free(w);
}

static void test_closing_on_a_full_disk_says_what_is_lost_and_ends(void **state)
{
    const fixture *f = *state;
    journal j;
    pl_log log;
    pl_writer *w = open_noted(f->path, &j, &log, &small_queue);

    assert_int_equal(record(w, 10), 10);
    assert_int_equal(pl_writer_flush(w), 0);
    pl_fault_arm_from(PL_FAULT_WRITE, 1, ENOSPC);
    assert_int_equal(record(w, 7), 7);
    (void)pl_writer_free(w);
    pl_fault_disarm();
    assert_last_line(&j, "closed with 7 records that could not be written");
    assert_answer(f->path, "SELECT count(*) FROM process_events", "10");
    assert_sound(f->path);
    assert_int_equal(open_once(f->path, PL_STORE_RECORDER, NULL), 0);
}

/* An idle recorder sweeps every ten seconds: a disk that is full is no news each time. */
static void test_retention_that_fails_is_told_once(void **state)
{
    const fixture *f = *state;
    journal j;
    pl_log log;
    pl_writer *w = open_noted(f->path, &j, &log, &small_queue);
    const pl_sighting v = sighting_of("/x", 5, 1, T0);

    for (int round = 1; round <= 2; round++) {
        assert_int_equal(pl_writer_sighting(w, &v), 0);
        assert_int_equal(pl_writer_flush(w), 0);
        pl_fault_arm_from(PL_FAULT_WRITE, 1, ENOSPC);
        for (int i = 0; i < 5; i++) {
            assert_int_equal(pl_writer_retain(w, T0 + 100000 * SECOND), 0);
            assert_int_equal(pl_writer_flush(w), 0);
        }
        pl_fault_disarm();
        assert_int_equal(lines_of(&j), round);
        assert_last_line(&j, "retention: ");
        assert_int_equal(ask_number(f->path, "SELECT count(*) FROM hash"), 1);
        /* When it works meanwhile, the next failure is news. */
        assert_int_equal(pl_writer_retain(w, T0 + 100000 * SECOND), 0);
        assert_int_equal(pl_writer_flush(w), 0);
        assert_int_equal(ask_number(f->path, "SELECT count(*) FROM hash"), 0);
    }
    (void)pl_writer_free(w);
}

/* Whatever is handed over: where there is no memory for it, the caller is told, and so is the analyst. */
static void test_record_without_memory_is_refused_and_counted(void **state)
{
    const fixture *f = *state;
    pl_writer *w = open_writer(f->path, PL_STORE_RECORDER, &small_queue);
    const pl_execution e = execution_of(1);
    const pl_execution_hash hash = hash_of(1, 1);
    const pl_execution_end end = end_of(1, 0);
    const pl_fork_record fork = {.fork_id = 1, .pid = 1};
    const pl_sighting v = sighting_of("/x", 1, 1, T0);
    const pl_run_counters counters = {0};
    const pl_run run = {.version = "1", .source = "scan", .time_ns = T0};
    char old[65] = "";
    pl_writer_stats stats;

    for (int call = 0; call < 12; call++) {
        (void)pl_fault_arm(PL_FAULT_ALLOC, 1, ENOMEM);
        int rc = call == 0    ? pl_writer_execution(w, &e)
                 : call == 1  ? pl_writer_hash(w, &hash)
                 : call == 2  ? pl_writer_end(w, &end)
                 : call == 3  ? pl_writer_fork(w, &fork)
                 : call == 4  ? pl_writer_sighting(w, &v)
                 : call == 5  ? pl_writer_seen(w, "/x", 1, T0)
                 : call == 6  ? pl_writer_close_version(w, "/x", 1, T0, "vanished", PL_DETECTED_SWEEP)
                 : call == 7  ? pl_writer_gap(w, T0, T0, 1, "x", "y")
                 : call == 8  ? pl_writer_identity_alert(w, &v, old)
                 : call == 9  ? pl_writer_run_counters(w, &counters, T0)
                 : call == 10 ? pl_writer_run_begin(w, &run)
                              : pl_writer_retain(w, T0);
        pl_fault_disarm();
        assert_int_equal(rc, PL_ERR_NOMEM);
    }
    (void)pl_fault_arm(PL_FAULT_ALLOC, 1, ENOMEM);
    int rc = pl_writer_run_end(w, T0);
    pl_fault_disarm();
    assert_int_equal(rc, PL_ERR_NOMEM);
    assert_int_equal(pl_writer_retain(w, T0), 0);
    pl_writer_stats_get(w, &stats);
    /* The two that somebody waits for lost nothing. */
    assert_int_equal(stats.lost, 11);
    (void)pl_writer_free(w);
    assert_answer(f->path, "SELECT sum(lost), min(reason), max(reason) FROM gaps", "11|out of memory|out of memory");
}

/* Folding is for speed: a batch that had no memory for it gives the same rows. */
static void test_batch_without_memory_to_fold_gives_the_same_rows(void **state)
{
    const fixture *f = *state;
    pl_writer *w = open_writer(f->path, PL_STORE_RECORDER, &small_queue);

    for (int64_t eid = 1; eid <= 20; eid++) {
        const pl_execution e = execution_of(eid);
        const pl_execution_hash hash = hash_of(eid, (unsigned)eid);
        const pl_execution_end end = end_of(eid, 7 << 8);
        assert_int_equal(pl_writer_execution(w, &e), 0);
        assert_int_equal(pl_writer_hash(w, &hash), 0);
        assert_int_equal(pl_writer_end(w, &end), 0);
        if (eid % 10)
            continue;
        /* The first call of the writer's thread is that for the fold. */
        (void)pl_fault_arm(PL_FAULT_ALLOC, eid == 10 ? 1 : 1000000, ENOMEM);
        int rc = pl_writer_flush(w);
        bool fired = pl_fault_fired();
        pl_fault_disarm();
        assert_int_equal(rc, 0);
        assert_int_equal(fired, eid == 10);
    }
    (void)pl_writer_free(w);
    assert_answer(f->path,
                  "SELECT count(*), sum(hash_state = 'ok'), sum(exit_code = 7), sum(end_time IS NOT NULL),"
                  " count(DISTINCT sha256), (SELECT sum(execs) FROM binaries) FROM process_events",
                  "20|20|20|20|20|20");
}

static void test_run_that_cannot_begin_says_why(void **state)
{
    const fixture *f = *state;
    journal j;
    pl_log log;
    pl_writer *w = open_noted(f->path, &j, &log, &small_queue);
    const pl_run run = {.version = "1", .source = "scan", .boot_id = BOOT_A, .time_ns = T0};

    pl_fault_arm_from(PL_FAULT_WRITE, 1, ENOSPC);
    int rc = pl_writer_run_begin(w, &run);
    pl_fault_disarm();
    assert_int_equal(rc, PL_ERR_FULL);
    assert_non_null(strstr(pl_error_message(), f->path));
    assert_int_equal(pl_writer_run_begin(w, &run), 0);
    (void)pl_writer_free(w);
    assert_answer(f->path, "SELECT count(*) FROM runs", "1");
}

static void test_writer_that_cannot_start_gives_the_store_back(void **state)
{
    const fixture *f = *state;

    for (EACH_POINT(n)) {
        pl_store *store = open_store(f->path, PL_STORE_RECORDER);
        pl_writer *w = NULL;
        (void)pl_fault_arm(PL_FAULT_ALLOC, n, ENOMEM);
        int rc = pl_writer_new(store, NULL, &w);
        bool fired = pl_fault_fired();
        pl_fault_disarm();
        if (rc < 0) {
            assert_int_equal(rc, PL_ERR_NOMEM);
            assert_null(w);
            (void)pl_store_close(store);
        }
        (void)pl_writer_free(w);
        if (!fired)
            break;
    }
    pl_store *store = open_store(f->path, PL_STORE_RECORDER);
    pl_writer *w = NULL;
    (void)pl_fault_arm(PL_FAULT_THREAD, 1, EAGAIN);
    int rc = pl_writer_new(store, NULL, &w);
    pl_fault_disarm();
    assert_int_equal(rc, PL_ERR_SYSTEM);
    assert_null(w);
    (void)pl_store_close(store);
}

/* --- kill -9 --- */

static void tell(void *context, int64_t eid)
{
    if (write(*(int *)context, &eid, sizeof(eid)) != (ssize_t)sizeof(eid))
        _exit(3);
}

/* Records batch after batch and says each time what is committed, until SQLite has written so often, and then it dies. */
static _Noreturn void record_until_killed(const char *path, int writes, int out)
{
    const pl_writer_options options = {.batch_ns = 3600 * SECOND, .batch_count = 5, .committed = tell, .context = &out};
    const pl_store_options store_options = {.mode = PL_STORE_RECORDER};
    pl_store *store = NULL;
    pl_writer *w = NULL;

    atomic_store(&sqlite_writes_to_live, writes);
    if (pl_store_open(path, &store_options, &store) < 0 || pl_writer_new(store, &options, &w) < 0)
        _exit(4);
    for (int i = 0; i < 6; i++) {
        pl_batch batch = {0};
        make_batch(&batch, pl_writer_next_eid(w));
        drop(&batch);
        for (int k = 0; k < 5; k++) {
            pl_execution e = execution_of(k == 0 ? 5 * i + 1 : 5 * i + k + 1);
            (void)pl_writer_execution(w, &e);
        }
        if (pl_writer_flush(w) < 0)
            _exit(5);
    }
    (void)pl_writer_free(w);
    _exit(0);
}

static void test_kill_9_at_any_write_keeps_what_was_acknowledged(void **state)
{
    const fixture *f = *state;
    unsigned killed = 0, partly = 0;

    for (EACH_POINT(n)) {
        int ends[2], status = 0;
        char name[32];
        (void)snprintf(name, sizeof(name), "%u.db", n);
        char *path = pl_temp_path(f->dir, name);
        assert_return_code(pipe2(ends, O_CLOEXEC), 0);
        pid_t pid = fork();
        assert_return_code(pid, 0);
        if (pid == 0)
            record_until_killed(path, (int)n - 1, ends[1]);
        (void)close(ends[1]);
        int64_t eid = 0, acknowledged = 0;
        while (read(ends[0], &eid, sizeof(eid)) == (ssize_t)sizeof(eid))
            acknowledged = eid;
        (void)close(ends[0]);
        assert_int_equal(waitpid(pid, &status, 0), pid);
        bool done = WIFEXITED(status);
        if (done)
            assert_int_equal(WEXITSTATUS(status), 0);
        else
            assert_int_equal(WTERMSIG(status), SIGKILL);
        killed += !done;
        if (access(path, F_OK) == 0) {
            /* As the next start finds it. */
            assert_int_equal(open_once(path, PL_STORE_RECORDER, NULL), 0);
            assert_sound(path);
            int64_t rows = ask_number(path, "SELECT count(*) FROM process_events");
            assert_true(rows >= acknowledged);
            assert_int_equal(rows % 5, 0);
            partly += rows > 0 && rows < 30;
        } else {
            assert_int_equal(acknowledged, 0);
        }
        free(path);
        if (done) {
            assert_int_equal(acknowledged, 30);
            break;
        }
    }
    /* Before, between and behind the batches. */
    assert_true(killed > 20);
    assert_true(partly > 5);
}

static void test_kill_9_in_a_migration_leaves_one_version(void **state)
{
    const fixture *f = *state;
    const pl_schema_set one = schema(1), two = schema(2);
    unsigned killed = 0;

    for (EACH_POINT(n)) {
        int status = 0;
        char name[32];
        (void)snprintf(name, sizeof(name), "%u.db", n);
        char *path = pl_temp_path(f->dir, name);
        assert_int_equal(open_once(path, PL_STORE_WRITE, &one), 0);
        force(path, "INSERT INTO _gap(time, end_time, lost, source, reason) VALUES(1, 2, 21, 'x', 'y')");
        pid_t pid = fork();
        assert_return_code(pid, 0);
        if (pid == 0) {
            atomic_store(&sqlite_writes_to_live, (int)n - 1);
            _exit(open_once(path, PL_STORE_RECORDER, &two) == 0 ? 0 : 1);
        }
        assert_int_equal(waitpid(pid, &status, 0), pid);
        int64_t version = ask_number(path, "PRAGMA user_version");
        assert_true(version == 1 || version == 2);
        assert_int_equal(ask_number(path, "SELECT count(*) FROM sqlite_master WHERE name = '_extra'"), version - 1);
        assert_answer(path, "SELECT lost FROM gaps", "21");
        assert_sound(path);
        assert_int_equal(open_once(path, PL_STORE_RECORDER, &two), 0);
        assert_answer(path, "SELECT extra FROM _gap", "21");
        free(path);
        if (WIFEXITED(status)) {
            assert_int_equal(WEXITSTATUS(status), 0);
            break;
        }
        assert_int_equal(WTERMSIG(status), SIGKILL);
        killed++;
    }
    assert_true(killed > 5);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_opening_survives_any_failure, set_up, calm_down),
        cmocka_unit_test_setup_teardown(test_creating_leaves_a_whole_file_or_none, set_up, calm_down),
        cmocka_unit_test_setup_teardown(test_migration_happens_wholly_or_not_at_all, set_up, calm_down),
        cmocka_unit_test_setup_teardown(test_batch_is_written_wholly_or_not_at_all, open_room, close_room),
        cmocka_unit_test_setup_teardown(test_each_kind_of_record_survives_out_of_memory, open_room, close_room),
        cmocka_unit_test_setup_teardown(test_reading_survives_out_of_memory, open_room, close_room),
        cmocka_unit_test_setup_teardown(test_retention_goes_on_after_any_failure, open_room, close_room),
        cmocka_unit_test_setup_teardown(test_shortage_of_disk_is_told_whole_after_any_failure, open_room, close_room),
        cmocka_unit_test_setup_teardown(test_run_begins_wholly_or_not_at_all, open_room, close_room),
        cmocka_unit_test_setup_teardown(test_full_disk_is_counted_told_once_and_outlived, set_up, calm_down),
        cmocka_unit_test_setup_teardown(test_quota_is_a_full_disk, set_up, calm_down),
        cmocka_unit_test_setup_teardown(test_broken_disk_is_counted_told_once_and_outlived, set_up, calm_down),
        cmocka_unit_test_setup_teardown(test_file_that_may_not_grow_is_full, set_up, calm_down),
        cmocka_unit_test_setup_teardown(test_busy_file_is_waited_for_and_then_counted, set_up, calm_down),
        cmocka_unit_test_setup_teardown(test_gap_that_finds_no_room_is_told_by_the_one_that_does, set_up, calm_down),
        cmocka_unit_test_setup_teardown(test_flickering_disk_is_not_told_each_time, set_up, calm_down),
        cmocka_unit_test_setup_teardown(test_requests_for_retention_do_not_pile_up, set_up, calm_down),
        cmocka_unit_test_setup_teardown(test_closing_on_a_full_disk_says_what_is_lost_and_ends, set_up, calm_down),
        cmocka_unit_test_setup_teardown(test_retention_that_fails_is_told_once, set_up, calm_down),
        cmocka_unit_test_setup_teardown(test_record_without_memory_is_refused_and_counted, set_up, calm_down),
        cmocka_unit_test_setup_teardown(test_batch_without_memory_to_fold_gives_the_same_rows, set_up, calm_down),
        cmocka_unit_test_setup_teardown(test_run_that_cannot_begin_says_why, set_up, calm_down),
        cmocka_unit_test_setup_teardown(test_writer_that_cannot_start_gives_the_store_back, set_up, calm_down),
        cmocka_unit_test_setup_teardown(test_kill_9_at_any_write_keeps_what_was_acknowledged, set_up, calm_down),
        cmocka_unit_test_setup_teardown(test_kill_9_in_a_migration_leaves_one_version, set_up, calm_down),
    };

    if (!sqlite_faults_init()) {
        print_message("SKIPPED-ALL: this SQLite lets nobody replace its system calls\n");
        return 0;
    }
    return cmocka_run_group_tests_name("store_faults", tests, NULL, NULL);
}

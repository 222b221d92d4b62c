/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Retention: what goes by age, by the size of the file and by the room on the disk; that it goes in small steps, that the
 * file really shrinks, that no more goes than must, and that nothing which is still referred to goes at all.
 */
#include "tests/unit/store/store_support.h"

#include <sys/statvfs.h>

#include "ledger/store/batch.h"
#include "ledger/store/guard.h"
#include "ledger/store/retain.h"
#include "src/base/error.h"

#define DAY (86400 * SECOND)
#define NEVER (INT64_C(100) * 365 * DAY)
#define ANY_SIZE (UINT64_C(1) << 60)

/* The writer's thread without the thread. */
typedef struct room {
    fixture *f;
    pl_append append;
    pl_retain *retain;
    pl_batch batch;
    int64_t eid;
    uint64_t deleted;
} room;

static const pl_retain_limits no_limits = {.retain_ns = NEVER, .path_ttl_ns = NEVER, .max_db_size = ANY_SIZE};

static void open_append(room *r, pl_store_mode mode)
{
    r->append = (pl_append){.store = open_store(r->f->path, mode), .least_eid = INT64_MAX};
    assert_int_equal(pl_interns_new(r->append.store, &r->append.interns), 0);
    assert_int_equal(pl_tally_new(&r->append.commands), 0);
    assert_int_equal(pl_tally_new(&r->append.binaries), 0);
    assert_int_equal(pl_rows_new(r->append.store, &r->append.rows), 0);
}

static void close_append(room *r)
{
    (void)pl_rows_free(r->append.rows);
    (void)pl_interns_free(r->append.interns);
    (void)pl_tally_free(r->append.commands);
    (void)pl_tally_free(r->append.binaries);
    (void)pl_store_close(r->append.store);
}

static int open_room(void **state)
{
    room *r = calloc(1, sizeof(*r));
    void *f = NULL;

    assert_int_equal(set_up(&f), 0);
    r->f = f;
    open_append(r, PL_STORE_RECORDER);
    *state = r;
    return 0;
}

static int close_room(void **state)
{
    room *r = *state;
    void *f = r->f;

    (void)pl_retain_free(r->retain);
    close_append(r);
    free(r);
    return tear_down(&f);
}

static void limit(room *r, pl_retain_limits limits)
{
    (void)pl_retain_free(r->retain);
    assert_int_equal(pl_retain_new(&limits, &r->retain), 0);
}

static void commit(room *r)
{
    const pl_batch_loss none = {0};
    pl_batch_result result = {0};

    pl_batch_fold(&r->batch);
    assert_int_equal(pl_batch_write(&r->batch, &r->append, &none, T0, &result), 0);
    assert_int_equal(result.rejected, 0);
    for (pl_record *record; (record = pl_batch_take(&r->batch));)
        free(record);
}

static void put(room *r, const pl_execution *e, bool ended)
{
    pl_batch_put(&r->batch, pl_record_of_execution(e));
    if (ended) {
        pl_record *end = pl_record_new(PL_RECORD_END);
        end->end = (pl_execution_end){
            .eid = e->eid, .time_ns = e->time_ns + SECOND, .duration_ns = SECOND, .reason = PL_END_EXIT};
        pl_batch_put(&r->batch, end);
    }
}

static pl_execution next_at(room *r, int64_t time_ns)
{
    pl_execution e = execution_of(++r->eid);

    e.time_ns = time_ns;
    return e;
}

static void see(room *r, const pl_sighting *v)
{
    pl_batch_put(&r->batch, pl_record_of_sighting(PL_RECORD_SIGHTING, v));
}

static int step(room *r, int64_t now_ns)
{
    int rc = pl_retain_step(r->retain, &r->append, now_ns, &r->deleted);

    if (rc < 0)
        print_error("%s\n", pl_error_message());
    assert_true(rc >= 0);
    return rc;
}

/* Until a step says that it is done; how many there were. */
static int steps(room *r, int64_t now_ns)
{
    int n = 1;

    while (step(r, now_ns) > 0) {
        n++;
        assert_true(n < 100000);
    }
    return n;
}

static int64_t executions(const room *r)
{
    return ask_number(r->f->path, "SELECT count(*) FROM _execution");
}

static int64_t used_bytes(const room *r)
{
    return 4096 *
           ask_number(r->f->path, "SELECT page_count - freelist_count FROM pragma_page_count, pragma_freelist_count");
}

static int64_t file_bytes(const room *r)
{
    struct stat status;

    assert_return_code(stat(r->f->path, &status), 0);
    return status.st_size;
}

/* Every number in every row leads to a row. */
static void assert_whole(const room *r)
{
    assert_answer(r->f->path,
                  "SELECT (SELECT count(*) FROM _execution WHERE image_id NOT IN (SELECT id FROM _image)),"
                  " (SELECT count(*) FROM _execution WHERE command_id NOT IN (SELECT id FROM _command)),"
                  " (SELECT count(*) FROM _execution WHERE cwd_id NOT IN (SELECT id FROM _path)),"
                  " (SELECT count(*) FROM _execution WHERE filename_id NOT IN (SELECT id FROM _path)),"
                  " (SELECT count(*) FROM _execution WHERE context_id NOT IN (SELECT id FROM _context)),"
                  " (SELECT count(*) FROM _execution WHERE cred_id NOT IN (SELECT id FROM _cred)),"
                  " (SELECT count(*) FROM _image WHERE path_id NOT IN (SELECT id FROM _path)),"
                  " (SELECT count(*) FROM _image WHERE script_path_id NOT IN (SELECT id FROM _path)),"
                  " (SELECT count(*) FROM _image WHERE content_id NOT IN (SELECT id FROM _content)),"
                  " (SELECT count(*) FROM _image WHERE script_content_id NOT IN (SELECT id FROM _content)),"
                  " (SELECT count(*) FROM _version WHERE path_id NOT IN (SELECT id FROM _path)),"
                  " (SELECT count(*) FROM _version WHERE content_id NOT IN (SELECT id FROM _content)),"
                  " (SELECT count(*) FROM _binary WHERE path_id NOT IN (SELECT id FROM _path)),"
                  " (SELECT count(*) FROM _binary WHERE content_id NOT IN (SELECT id FROM _content)),"
                  " (SELECT count(*) FROM _change WHERE path_id NOT IN (SELECT id FROM _path)),"
                  " (SELECT count(*) FROM _change WHERE old_content_id NOT IN (SELECT id FROM _content)),"
                  " (SELECT count(*) FROM _change WHERE new_content_id NOT IN (SELECT id FROM _content))",
                  "0|0|0|0|0|0|0|0|0|0|0|0|0|0|0|0|0");
    assert_answer(r->f->path, "PRAGMA integrity_check", "ok");
}

/* --- by age --- */

static void test_executions_past_their_time_go(void **state)
{
    room *r = *state;
    pl_retain_limits limits = no_limits;

    for (int day = 0; day < 10; day++) {
        pl_execution e = next_at(r, T0 + day * DAY);
        put(r, &e, true);
    }
    commit(r);
    limits.retain_ns = 3 * DAY;
    limit(r, limits);
    (void)steps(r, T0 + 3 * DAY);
    /* The oldest is three days old to the second: not past it. */
    assert_int_equal(executions(r), 10);
    (void)steps(r, T0 + 3 * DAY + SECOND);
    assert_answer(r->f->path, "SELECT count(*), min(eid) FROM process_events", "9|2");
    (void)steps(r, T0 + 9 * DAY);
    assert_answer(r->f->path, "SELECT group_concat(eid) FROM process_events", "7,8,9,10");
    (void)steps(r, T0 + 90 * DAY);
    assert_int_equal(executions(r), 0);
    assert_int_equal(r->deleted, 10);
    /* Their time was up: nothing is missing that was promised. */
    assert_answer(r->f->path, "SELECT count(*) FROM gaps", "0");
    /* The counters outlive what they counted. */
    assert_answer(r->f->path, "SELECT count(*) FROM _execution", "0");
    assert_whole(r);
}

static void test_living_executions_stay_whatever_their_age(void **state)
{
    room *r = *state;
    pl_retain_limits limits = no_limits;

    for (int i = 0; i < 10; i++) {
        pl_execution e = next_at(r, T0);
        put(r, &e, i % 2);
    }
    commit(r);
    limits.retain_ns = DAY;
    limits.max_db_size = 1;
    limits.min_free_percent = 100;
    limit(r, limits);
    (void)steps(r, T0 + 400 * DAY);
    assert_answer(r->f->path, "SELECT count(*), sum(end_reason IS NULL) FROM process_events", "5|5");
    assert_whole(r);
}

static void test_ended_forks_go_with_their_time(void **state)
{
    room *r = *state;
    pl_retain_limits limits = no_limits;

    for (int i = 0; i < 6; i++) {
        pl_record *fork = pl_record_new(PL_RECORD_FORK);
        fork->fork = (pl_fork_record){.fork_id = i + 1, .time_ns = T0 + (i / 2) * DAY, .pid = 5};
        fork->fork.end_time_ns = i % 2 ? T0 + 5 * DAY : 0;
        pl_batch_put(&r->batch, fork);
    }
    commit(r);
    limits.retain_ns = DAY;
    limit(r, limits);
    (void)steps(r, T0 + 2 * DAY + SECOND);
    assert_answer(r->f->path, "SELECT group_concat(fork_id) FROM process_forks", "1,3,5,6");
}

static void test_versions_that_nobody_saw_expire(void **state)
{
    room *r = *state;
    pl_retain_limits limits = no_limits;

    for (int i = 0; i < 25; i++) {
        char path[32];
        (void)snprintf(path, sizeof(path), "/bin/%02d", i);
        pl_sighting v = sighting_of(path, 100 + (uint64_t)i, 1, T0 + i * SECOND);
        see(r, &v);
    }
    commit(r);
    limits.path_ttl_ns = DAY;
    limits.step_rows = 10;
    limit(r, limits);
    assert_int_equal(steps(r, T0 + DAY), 1);
    assert_answer(r->f->path, "SELECT count(*) FROM hash", "25");
    /* Ten a step, the one that was seen longest ago first. */
    assert_int_equal(step(r, T0 + DAY + 24 * SECOND), 1);
    assert_answer(r->f->path, "SELECT count(*), min(path) FROM hash", "15|/bin/10");
    assert_int_equal(steps(r, T0 + DAY + 24 * SECOND), 2);
    assert_answer(r->f->path, "SELECT path FROM hash", "/bin/24");
    assert_answer(r->f->path,
                  "SELECT count(*), min(end_reason), max(end_reason), min(detected_by), max(end_time)"
                  " FROM file_history WHERE end_time IS NOT NULL",
                  "24|expired|expired|sweep|1700086424");
}

/* --- in steps --- */

static void test_a_step_deletes_no_more_than_its_bound(void **state)
{
    room *r = *state;
    pl_retain_limits limits = no_limits;

    for (int i = 0; i < 335; i++) {
        pl_execution e = next_at(r, T0 + i * SECOND);
        put(r, &e, true);
    }
    commit(r);
    limits.retain_ns = DAY;
    limits.step_rows = 100;
    limit(r, limits);
    for (int i = 1; i <= 3; i++) {
        assert_int_equal(step(r, T0 + 30 * DAY), 1);
        assert_int_equal(r->deleted, 100 * i);
        assert_int_equal(ask_number(r->f->path, "SELECT min(eid) FROM process_events"), 100 * i + 1);
    }
    (void)steps(r, T0 + 30 * DAY);
    assert_int_equal(r->deleted, 335);
    assert_int_equal(executions(r), 0);
}

/* Executions that differ in their command lines, each of `length` bytes. */
static void put_long(room *r, int n, size_t length)
{
    char *argv = malloc(length);

    memset(argv, 'x', length);
    argv[length - 1] = '\0';
    for (int i = 0; i < n; i++) {
        pl_execution e = next_at(r, T0 + i * SECOND);
        char number[24];
        int digits = snprintf(number, sizeof(number), "%08lld", (long long)e.eid);
        memcpy(argv, number, (size_t)digits);
        e.argv = argv;
        e.argv_length = length;
        put(r, &e, true);
        if (i % 20 == 19)
            commit(r);
    }
    commit(r);
    free(argv);
}

static void test_long_command_lines_end_a_step_early(void **state)
{
    room *r = *state;
    pl_retain_limits limits = no_limits;

    put_long(r, 120, 200000);
    limits.retain_ns = DAY;
    limit(r, limits);
    /* 50 of them are 2,450 pages. */
    assert_int_equal(step(r, T0 + 30 * DAY), 1);
    assert_int_equal(r->deleted, 50);
    assert_answer(r->f->path, "SELECT count(*) FROM commands", "70");
    (void)steps(r, T0 + 30 * DAY);
    assert_int_equal(r->deleted, 120);
    assert_answer(r->f->path, "SELECT count(*) FROM commands", "0");
}

static void test_vacuum_goes_in_small_steps_and_the_file_shrinks(void **state)
{
    room *r = *state;
    pl_retain_limits limits = no_limits;
    int vacuums = 0;

    put_long(r, 60, 200000);
    (void)sqlite3_wal_checkpoint_v2(r->append.store->db, "main", SQLITE_CHECKPOINT_PASSIVE, NULL, NULL);
    int64_t before = file_bytes(r), pages = before / 4096, more = 1;
    limits.max_db_size = 1 << 20;
    limit(r, limits);
    while (more > 0) {
        more = step(r, T0 + SECOND);
        int64_t now = ask_number(r->f->path, "PRAGMA page_count");
        /* 256, and what SQLite kept about them. */
        assert_true(pages - now <= 256 + 4);
        vacuums += now < pages;
        pages = now;
    }
    assert_true(vacuums >= 10);
    assert_true(before > 11 << 20);
    assert_true(file_bytes(r) <= 1 << 20);
    assert_true(file_bytes(r) >= used_bytes(r));
    assert_whole(r);
}

/* --- with their last execution --- */

static void test_command_lines_and_images_go_with_their_last_execution(void **state)
{
    room *r = *state;
    pl_retain_limits limits = no_limits;

    for (int i = 0; i < 4; i++) {
        pl_execution e = next_at(r, T0 + i * DAY);
        e.argv = i % 2 ? "odd\0" : "even\0";
        e.argv_length = i % 2 ? 4 : 5;
        e.path = i % 2 ? "/bin/odd" : "/bin/even";
        put(r, &e, true);
    }
    commit(r);
    limits.retain_ns = DAY;
    limit(r, limits);
    (void)steps(r, T0 + 2 * DAY + SECOND);
    /* The first two are gone; each command has one left. */
    assert_answer(r->f->path, "SELECT eid, path, cmdline FROM process_events", "3|/bin/even|even\n4|/bin/odd|odd");
    assert_answer(r->f->path, "SELECT cmdline, execs FROM commands", "even|2\nodd|2");
    (void)steps(r, T0 + 3 * DAY + SECOND);
    assert_answer(r->f->path, "SELECT cmdline, execs FROM commands", "odd|2");
    assert_answer(r->f->path, "SELECT count(*) FROM _image WHERE id <> 0", "1");
    /* It comes again: a new row with a new number, which nobody can take for the old one. */
    pl_execution e = next_at(r, T0 + 5 * DAY);
    e.argv = "even\0";
    e.argv_length = 5;
    e.path = "/bin/even";
    put(r, &e, false);
    commit(r);
    assert_answer(r->f->path, "SELECT path, cmdline, command_id FROM process_events WHERE eid = 5", "/bin/even|even|3");
    assert_whole(r);
}

/* --- by size --- */

static void test_file_over_its_size_loses_the_oldest_and_no_more_than_must(void **state)
{
    room *r = *state;
    pl_retain_limits limits = no_limits;

    /* Nearly all of it is command lines, as on a build machine. */
    put_long(r, 400, 20000);
    int64_t full = used_bytes(r), want = full * 3 / 4;
    limits.max_db_size = (uint64_t)want;
    limits.step_rows = 10;
    limit(r, limits);
    (void)steps(r, T0 + SECOND);
    int64_t left = executions(r);
    /* Well below, or the next execution would start it again. */
    assert_true(used_bytes(r) <= want - want / 32);
    assert_true(left > 270 && left < 310);
    assert_int_equal(ask_number(r->f->path, "SELECT max(eid) FROM process_events"), 400);
    assert_int_equal(ask_number(r->f->path, "SELECT min(eid) FROM process_events"), 401 - left);
    assert_int_equal(r->deleted, 400 - left);
    /* It was asked for, and no shortage: `gaps` is for what was lost against the will of its owner. */
    assert_answer(r->f->path, "SELECT count(*) FROM gaps", "0");
    /* A second look changes nothing. */
    (void)steps(r, T0 + SECOND);
    assert_int_equal(executions(r), left);
    assert_whole(r);
}

static void test_closed_versions_and_then_counters_go_when_no_execution_is_left(void **state)
{
    room *r = *state;
    pl_retain_limits limits = no_limits;
    const pl_digest_set set = digests_of(9);
    const pl_digest_set other = digests_of(10);

    pl_execution e = next_at(r, T0);
    e.path = "/ran/once";
    e.hash_state = PL_HASH_OK;
    e.digests = &set;
    put(r, &e, true);
    e = next_at(r, T0);
    e.path = "/still/runs";
    e.cwd = "/in/use";
    e.filename = "./runs";
    e.script_path = "/the/script";
    e.hash_state = PL_HASH_OK;
    e.digests = &other;
    put(r, &e, false);
    pl_sighting old = sighting_of("/file", 5, 1, T0), now = sighting_of("/file", 6, 2, T0 + SECOND);
    see(r, &old);
    see(r, &now);
    pl_sighting alone = sighting_of("/changed", 7, 3, T0);
    pl_record *alert = pl_record_of_sighting(PL_RECORD_ALERT, &alone);
    (void)memset(alert->old_sha256, 'e', 64);
    pl_batch_put(&r->batch, alert);
    commit(r);
    limits.max_db_size = 1;
    limit(r, limits);
    for (int sweep = 0; sweep < 6; sweep++)
        (void)steps(r, T0 + SECOND);
    assert_answer(r->f->path, "SELECT group_concat(eid) FROM process_events", "2");
    assert_answer(r->f->path, "SELECT count(*), sum(end_time IS NULL) FROM file_history", "1|1");
    assert_answer(r->f->path, "SELECT count(*) FROM binaries", "0");
    /* What nothing refers to any more is gone, all else is there. */
    assert_answer(r->f->path, "SELECT group_concat(text) FROM (SELECT text FROM _path WHERE id <> 0 ORDER BY text)",
                  "./runs,/changed,/file,/in/use,/still/runs,/the/script");
    assert_answer(r->f->path,
                  "SELECT group_concat(s) FROM (SELECT substr(sha256, 1, 2) AS s FROM _content WHERE id <> 0"
                  " ORDER BY 1)",
                  "02,03,0a,ee");
    assert_answer(r->f->path, "SELECT count(*) FROM changes WHERE old_sha256 IS NOT NULL AND new_sha256 IS NOT NULL",
                  "1");
    assert_whole(r);
}

static void test_counters_stay_when_a_search_frees_enough(void **state)
{
    room *r = *state;
    pl_retain_limits limits = no_limits;
    char cwd[3000];

    memset(cwd, 'd', sizeof(cwd));
    cwd[sizeof(cwd) - 1] = '\0';
    for (int i = 0; i < 300; i++) {
        pl_execution e = next_at(r, T0);
        (void)snprintf(cwd, 16, "/%014d", i);
        cwd[15] = 'd';
        e.cwd = cwd;
        e.hash_state = PL_HASH_UNREADABLE;
        put(r, &e, true);
    }
    commit(r);
    assert_true(used_bytes(r) > 1 << 20);
    limits.max_db_size = 1 << 19;
    limit(r, limits);
    for (int sweep = 0; sweep < 4; sweep++)
        (void)steps(r, T0 + SECOND);
    assert_true(used_bytes(r) < 1 << 19);
    assert_answer(r->f->path, "SELECT path, execs FROM binaries", "/usr/bin/true|300");
    assert_whole(r);
}

/* --- by the room on the disk --- */

static void test_full_disk_takes_the_oldest_early_and_says_so_once(void **state)
{
    room *r = *state;
    pl_retain_limits limits = no_limits;

    put_long(r, 200, 20000);
    pl_execution e = next_at(r, T0 + 5000 * SECOND);
    put(r, &e, false);
    pl_sighting before_it = sighting_of("/file", 5, 1, T0), now = sighting_of("/file", 6, 2, T0 + SECOND);
    see(r, &before_it);
    see(r, &now);
    commit(r);
    (void)sqlite3_wal_checkpoint_v2(r->append.store->db, "main", SQLITE_CHECKPOINT_PASSIVE, NULL, NULL);
    int64_t before = file_bytes(r);
    /* Whatever is free, it is too little. */
    limits.min_free_percent = 100;
    limits.step_rows = 20;
    limit(r, limits);
    (void)steps(r, T0 + 6000 * SECOND);
    (void)steps(r, T0 + 6010 * SECOND);
    assert_true(file_bytes(r) < before / 4);
    /* One shortage, one row, from the oldest that went to now, when nothing older is left. */
    assert_int_equal(r->deleted, 200 - (executions(r) - 1));
    char *expected = NULL;
    assert_true(asprintf(&expected, "%llu|retention|disk almost full|1700000000|1", (unsigned long long)r->deleted) >
                0);
    assert_answer(r->f->path, "SELECT lost, source, reason, time, end_time > time FROM gaps", expected);
    free(expected);
    assert_answer(r->f->path, "SELECT count(*) FROM process_events WHERE eid = 201", "1");
    /* Executions, and nothing of the files' history. */
    for (int sweep = 0; sweep < 5; sweep++)
        (void)steps(r, T0 + 6020 * SECOND);
    assert_answer(r->f->path, "SELECT count(*) FROM file_history", "2");
    assert_whole(r);
}

static void test_full_disk_is_left_alone_when_there_is_nothing_to_give(void **state)
{
    room *r = *state;
    pl_retain_limits limits = no_limits;

    for (int i = 0; i < 200; i++) {
        pl_execution e = next_at(r, T0);
        put(r, &e, false);
    }
    commit(r);
    limits.min_free_percent = 100;
    limit(r, limits);
    (void)steps(r, T0 + SECOND);
    assert_int_equal(executions(r), 200);
    assert_answer(r->f->path, "SELECT count(*) FROM gaps", "0");
}

/* A reader that holds up the checkpoint must not make retention think that deleting did not help. */
static void test_what_waits_for_a_reader_is_not_deleted_twice(void **state)
{
    room *r = *state;
    pl_retain_limits limits = no_limits;
    sqlite3 *reader = NULL;

    put_long(r, 400, 20000);
    (void)sqlite3_wal_checkpoint_v2(r->append.store->db, "main", SQLITE_CHECKPOINT_PASSIVE, NULL, NULL);
    assert_int_equal(sqlite3_open_v2(r->f->path, &reader, SQLITE_OPEN_READONLY, NULL), SQLITE_OK);
    assert_int_equal(sqlite3_exec(reader, "BEGIN; SELECT count(*) FROM _execution", NULL, NULL, NULL), SQLITE_OK);
    limits.min_free_percent = 100;
    limits.step_rows = 20;
    limit(r, limits);
    for (int sweep = 0; sweep < 5; sweep++)
        (void)steps(r, T0 + SECOND);
    /* About one part of SIZE_SLACK, and then it waits. */
    int64_t held_up = executions(r);
    assert_true(held_up >= 360 && held_up < 400);
    (void)sqlite3_close(reader);
    for (int sweep = 0; sweep < 5; sweep++)
        (void)steps(r, T0 + SECOND);
    assert_true(executions(r) < held_up);
    assert_answer(r->f->path, "SELECT count(*) FROM gaps", "1");
}

/* --- the search --- */

static void test_search_begins_by_itself_after_many_deletions(void **state)
{
    enum { MANY = 20500 };
    room *r = *state;
    pl_retain_limits limits = no_limits;

    for (int i = 0; i < MANY; i++) {
        char cwd[40], tty[16];
        pl_execution e = next_at(r, T0);
        (void)snprintf(cwd, sizeof(cwd), "/home/%d", i);
        (void)snprintf(tty, sizeof(tty), "pts/%d", i % 300);
        e.cwd = cwd;
        e.tty = tty;
        put(r, &e, true);
        if (i % 1000 == 999)
            commit(r);
    }
    pl_execution e = next_at(r, T0 + 30 * DAY);
    e.cwd = "/home/7";
    e.tty = "pts/7";
    put(r, &e, true);
    commit(r);
    limits.retain_ns = DAY;
    limit(r, limits);
    int n = steps(r, T0 + 30 * DAY);
    assert_int_equal(r->deleted, MANY);
    /* Small steps: ten of 2,000 to delete, as many to search the paths. */
    assert_true(n >= 20);
    assert_answer(r->f->path, "SELECT text FROM _path WHERE text LIKE '/home/%'", "/home/7");
    assert_answer(r->f->path, "SELECT tty FROM _context", "pts/7");
    assert_answer(r->f->path, "SELECT cwd, tty, path FROM process_events", "/home/7|pts/7|/usr/bin/true");
    assert_whole(r);
}

static int refuse(void *context)
{
    (void)context;
    return 1;
}

/* Between any two steps of a search an execution is written that uses what the search was about to take. Its number is
 * below those that the search has already gone through, and the first step after it fails when it is committed. */
static void test_search_spares_what_is_written_meanwhile(void **state)
{
    (void)state;
    for (int before = 0, searched = 1; searched; before++) {
        void *inner = NULL;
        assert_int_equal(open_room(&inner), 0);
        room *r = inner;
        pl_retain_limits limits = no_limits;
        r->eid = 100;
        for (int i = 0; i < 30; i++) {
            char name[40];
            pl_execution e = next_at(r, T0);
            (void)snprintf(name, sizeof(name), "/odd/%d", i);
            e.cwd = e.filename = e.tty = name;
            put(r, &e, i < 20);
        }
        commit(r);
        limits.max_db_size = 1;
        limits.step_rows = 5;
        limit(r, limits);
        for (int i = 0; i < before && searched; i++)
            searched = step(r, T0 + SECOND);
        pl_execution late = execution_of(before + 1);
        late.cwd = "/odd/3";
        late.filename = "/odd/19";
        late.tty = "/odd/0";
        put(r, &late, false);
        commit(r);
        (void)sqlite3_commit_hook(r->append.store->db, refuse, NULL);
        assert_true(pl_retain_step(r->retain, &r->append, T0 + SECOND, &r->deleted) < 0);
        (void)sqlite3_commit_hook(r->append.store->db, NULL, NULL);
        (void)steps(r, T0 + SECOND);
        (void)steps(r, T0 + SECOND);
        char *expected = NULL;
        assert_true(asprintf(&expected, "%d|/odd/3|/odd/19|/odd/0", before + 1) > 0);
        assert_answer(r->f->path, "SELECT eid, cwd, filename, tty FROM process_events WHERE eid < 100", expected);
        free(expected);
        assert_answer(r->f->path, "SELECT count(*) FROM process_events", "11");
        assert_whole(r);
        if (!searched) {
            assert_true(before > 10);
            /* The search did its work: of the twenty that went only what the late one uses is left. */
            assert_answer(r->f->path, "SELECT count(*) FROM _path WHERE text LIKE '/odd/%'", "12");
            assert_answer(r->f->path, "SELECT count(*) FROM _context", "11");
        }
        assert_int_equal(close_room(&inner), 0);
    }
}

/* --- who may --- */

static void test_without_the_lock_nothing_goes(void **state)
{
    room *r = *state;
    pl_retain_limits limits = no_limits;
    int lock = -1;

    for (int i = 0; i < 10; i++) {
        pl_execution e = next_at(r, T0);
        e.cwd = "/searched/for";
        put(r, &e, true);
    }
    commit(r);
    close_append(r);
    limits.retain_ns = DAY;
    limits.max_db_size = 1;
    limit(r, limits);
    assert_int_equal(pl_guard_lock(r->f->path, true, 0, &lock), 0);
    open_append(r, PL_STORE_WRITE);
    assert_int_equal(steps(r, T0 + 30 * DAY), 1);
    assert_int_equal(executions(r), 10);
    /* When no recorder runs, whoever comes may. */
    (void)pl_guard_unlock(lock);
    for (int sweep = 0; sweep < 4; sweep++)
        (void)steps(r, T0 + 30 * DAY);
    assert_int_equal(executions(r), 0);
    assert_int_equal(r->append.store->lock_fd, -1);
    assert_int_equal(pl_guard_lock(r->f->path, true, 0, &lock), 0);
    (void)pl_guard_unlock(lock);
    /* But only a recorder knows what is written during a search, so only it searches. */
    assert_answer(r->f->path, "SELECT count(*) FROM _path WHERE text = '/searched/for'", "1");
    close_append(r);
    open_append(r, PL_STORE_RECORDER);
    limit(r, limits);
    pl_execution e = next_at(r, T0);
    put(r, &e, true);
    commit(r);
    for (int sweep = 0; sweep < 4; sweep++)
        (void)steps(r, T0 + 30 * DAY);
    assert_answer(r->f->path, "SELECT count(*) FROM _path WHERE text = '/searched/for'", "0");
}

static void test_failed_step_changes_nothing(void **state)
{
    static const char *const triggers[] = {
        "CREATE TRIGGER stop BEFORE DELETE ON _execution BEGIN SELECT RAISE(ABORT, 'stop'); END",
        "CREATE TRIGGER stop BEFORE DELETE ON _command BEGIN SELECT RAISE(ABORT, 'stop'); END",
        "CREATE TRIGGER stop BEFORE DELETE ON _image BEGIN SELECT RAISE(ABORT, 'stop'); END",
        "CREATE TRIGGER stop BEFORE UPDATE ON _version BEGIN SELECT RAISE(ABORT, 'stop'); END",
        "CREATE TRIGGER stop BEFORE DELETE ON _fork BEGIN SELECT RAISE(ABORT, 'stop'); END",
    };
    room *r = *state;
    pl_retain_limits limits = no_limits;
    pl_sighting v = sighting_of("/bin/x", 5, 1, T0);
    pl_record *fork = pl_record_new(PL_RECORD_FORK);
    static const char *const everything = "SELECT (SELECT count(*) FROM _execution), (SELECT count(*) FROM _command),"
                                          " (SELECT count(*) FROM _image), (SELECT count(*) FROM _fork),"
                                          " (SELECT count(*) FROM hash)";

    fork->fork = (pl_fork_record){.fork_id = 1, .time_ns = T0, .end_time_ns = T0, .pid = 5};
    pl_batch_put(&r->batch, fork);
    see(r, &v);
    for (int i = 0; i < 10; i++) {
        pl_execution e = next_at(r, T0);
        put(r, &e, true);
    }
    commit(r);
    limits.retain_ns = limits.path_ttl_ns = DAY;
    limit(r, limits);
    for (size_t i = 0; i < sizeof(triggers) / sizeof(triggers[0]); i++) {
        force(r->f->path, triggers[i]);
        assert_true(pl_retain_step(r->retain, &r->append, T0 + 30 * DAY, &r->deleted) < 0);
        assert_int_equal(r->deleted, 0);
        assert_answer(r->f->path, everything, "10|2|2|1|1");
        force(r->f->path, "DROP TRIGGER stop");
    }
    (void)steps(r, T0 + 30 * DAY);
    assert_int_equal(r->deleted, 10);
    assert_answer(r->f->path, everything, "0|1|1|0|0");
    assert_whole(r);
}

/* --- through the writer --- */

static void test_numbers_of_what_went_are_not_given_again(void **state)
{
    const fixture *f = ((room *)*state)->f;
    room *r = *state;
    const pl_writer_options options = {.batch_ns = 3600 * SECOND, .retain_ns = DAY};
    pl_writer_stats stats;

    close_append(r);
    pl_writer *w = open_writer(f->path, PL_STORE_RECORDER, &options);
    for (int i = 0; i < 5; i++) {
        pl_execution e = execution_of(pl_writer_next_eid(w));
        pl_execution_end end = end_of(e.eid, 0);
        assert_int_equal(pl_writer_execution(w, &e), 0);
        assert_int_equal(pl_writer_end(w, &end), 0);
    }
    assert_int_equal(pl_writer_retain(w, T0 + 30 * DAY), 0);
    assert_int_equal(pl_writer_flush(w), 0);
    pl_writer_stats_get(w, &stats);
    assert_int_equal(stats.deleted, 5);
    assert_int_equal(pl_writer_next_eid(w), 6);
    (void)pl_writer_free(w);
    assert_answer(f->path, "SELECT count(*) FROM process_events", "0");
    w = open_writer(f->path, PL_STORE_RECORDER, &options);
    assert_int_equal(pl_writer_next_eid(w), 6);
    (void)pl_writer_free(w);
    open_append(r, PL_STORE_RECORDER);
}

static void hear(void *context, int64_t eid)
{
    *(int64_t *)context = eid;
}

/* One request starts a chain of steps; batches are written between them, none waits for its end. */
static void test_recording_goes_on_between_the_steps(void **state)
{
    room *r = *state;
    int64_t committed = 0;
    const pl_writer_options options = {
        .batch_ns = 3600 * SECOND, .batch_count = 50, .retain_ns = DAY, .committed = hear, .context = &committed};
    pl_writer_stats stats;

    for (int i = 0; i < 9000; i++) {
        pl_execution e = next_at(r, T0);
        put(r, &e, true);
    }
    commit(r);
    close_append(r);
    pl_writer *w = open_writer(r->f->path, PL_STORE_RECORDER, &options);
    for (int i = 0; i < 100; i++)
        assert_int_equal(pl_writer_retain(w, T0 + 30 * DAY), 0);
    for (int i = 0; i < 200; i++) {
        pl_execution e = execution_of(pl_writer_next_eid(w));
        e.time_ns = T0 + 30 * DAY;
        assert_int_equal(pl_writer_execution(w, &e), 0);
        assert_int_equal(pl_writer_flush(w), 0);
    }
    pl_writer_stats_get(w, &stats);
    assert_int_equal(stats.executions, 200);
    assert_int_equal(stats.failures, 0);
    /* Whatever is left of the old ones goes at the next request. */
    for (int i = 0; i < 10 && stats.deleted < 9000; i++) {
        assert_int_equal(pl_writer_retain(w, T0 + 30 * DAY), 0);
        assert_int_equal(pl_writer_flush(w), 0);
        pl_writer_stats_get(w, &stats);
    }
    assert_int_equal(stats.deleted, 9000);
    (void)pl_writer_free(w);
    assert_int_equal(committed, 9200);
    open_append(r, PL_STORE_RECORDER);
    assert_int_equal(executions(r), 200);
    assert_whole(r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_executions_past_their_time_go, open_room, close_room),
        cmocka_unit_test_setup_teardown(test_living_executions_stay_whatever_their_age, open_room, close_room),
        cmocka_unit_test_setup_teardown(test_ended_forks_go_with_their_time, open_room, close_room),
        cmocka_unit_test_setup_teardown(test_versions_that_nobody_saw_expire, open_room, close_room),
        cmocka_unit_test_setup_teardown(test_a_step_deletes_no_more_than_its_bound, open_room, close_room),
        cmocka_unit_test_setup_teardown(test_long_command_lines_end_a_step_early, open_room, close_room),
        cmocka_unit_test_setup_teardown(test_vacuum_goes_in_small_steps_and_the_file_shrinks, open_room, close_room),
        cmocka_unit_test_setup_teardown(test_command_lines_and_images_go_with_their_last_execution, open_room,
                                        close_room),
        cmocka_unit_test_setup_teardown(test_file_over_its_size_loses_the_oldest_and_no_more_than_must, open_room,
                                        close_room),
        cmocka_unit_test_setup_teardown(test_closed_versions_and_then_counters_go_when_no_execution_is_left, open_room,
                                        close_room),
        cmocka_unit_test_setup_teardown(test_counters_stay_when_a_search_frees_enough, open_room, close_room),
        cmocka_unit_test_setup_teardown(test_full_disk_takes_the_oldest_early_and_says_so_once, open_room, close_room),
        cmocka_unit_test_setup_teardown(test_full_disk_is_left_alone_when_there_is_nothing_to_give, open_room,
                                        close_room),
        cmocka_unit_test_setup_teardown(test_what_waits_for_a_reader_is_not_deleted_twice, open_room, close_room),
        cmocka_unit_test_setup_teardown(test_search_begins_by_itself_after_many_deletions, open_room, close_room),
        cmocka_unit_test(test_search_spares_what_is_written_meanwhile),
        cmocka_unit_test_setup_teardown(test_without_the_lock_nothing_goes, open_room, close_room),
        cmocka_unit_test_setup_teardown(test_failed_step_changes_nothing, open_room, close_room),
        cmocka_unit_test_setup_teardown(test_numbers_of_what_went_are_not_given_again, open_room, close_room),
        cmocka_unit_test_setup_teardown(test_recording_goes_on_between_the_steps, open_room, close_room),
    };

    return cmocka_run_group_tests_name("store_retain", tests, NULL, NULL);
}

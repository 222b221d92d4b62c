/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The writer: what goes in comes out of the views; folding, ids, several writers, runs. */
#include "tests/unit/store/store_support.h"

#include <pthread.h>

/* Batches close only when somebody flushes: nothing here depends on the clock. */
static const pl_writer_options by_hand = {.batch_ns = 3600 * SECOND, .batch_count = 1000000};

static void test_execution_comes_out_as_it_went_in(void **state)
{
    const fixture *f = *state;
    pl_writer *w = open_writer(f->path, PL_STORE_RECORDER, &by_hand);
    pl_execution e = execution_of(pl_writer_next_eid(w));
    pl_digest_set digests = digests_of(7);
    const pl_run run = {.version = "1", .source = "netlink", .boot_id = BOOT_A, .hostname = "host", .time_ns = T0};

    assert_int_equal(e.eid, 1);
    assert_int_equal(pl_writer_run_begin(w, &run), 0);
    e.filename = "./true";
    e.name = "other";
    e.tty = "pts/3";
    e.container = "c0ffee";
    e.script_path = "/tmp/script";
    e.flags = PL_IMAGE_SETUID | PL_IMAGE_ARGV_CUT | PL_IMAGE_KERNEL;
    e.argv = "true\0--x y\0";
    e.argv_length = 11;
    e.session = 4;
    e.auid = 1000;
    e.uid = 1000;
    e.parent_eid = 0;
    e.hash_state = PL_HASH_OK;
    e.assurance = PL_ASSURANCE_PROBED;
    e.digests = &digests;
    e.size = 42;
    assert_int_equal(pl_writer_execution(w, &e), 0);
    pl_execution child = execution_of(pl_writer_next_eid(w));
    child.parent_eid = 1;
    child.prev_eid = 1;
    assert_int_equal(pl_writer_execution(w, &child), 0);
    pl_execution_hash script = hash_of(1, 9);
    script.script = true;
    assert_int_equal(pl_writer_hash(w, &script), 0);
    assert_int_equal(pl_writer_flush(w), 0);
    assert_answer(
        f->path,
        "SELECT eid, time, time_ns, at, pid, ppid, parent_eid, path, path_bytes, filename, name, cmdline, argv,"
        " cwd, uid, auid, session, tty, mode, substr(sha256, 1, 8), hash_state, assurance, script_path,"
        " substr(script_sha256, 1, 8), flags, exit_code, end_time, end_reason, source, boot_id, mnt_ns, cgroup,"
        " container, start_ticks FROM process_events WHERE eid = 1",
        "1|1700000000|1000|2023-11-14T22:13:20.000Z|1001|1|NULL|/usr/bin/true|NULL|./true|other|true --x y|"
        "[\"true\",\"--x y\"]|/|1000|1000|4|pts/3|33261|07000000|ok|probed|/tmp/script|09000000|"
        "setuid,argv-cut|NULL|NULL|NULL|netlink|" BOOT_A "|4026531841|/system.slice|c0ffee|5001");
    assert_answer(f->path,
                  "SELECT parent_eid, parent_path, prev_eid, filename, name, argv, session, tty, sha256, hash_state,"
                  " assurance, script_path, flags, container FROM process_events WHERE eid = 2",
                  "1|/usr/bin/true|1|/usr/bin/true|true|[\"true\"]|NULL|NULL|NULL|pending|none|NULL||NULL");
    assert_answer(f->path, "SELECT count(*) FROM processes", "2");
    assert_answer(f->path, "SELECT path, container, size, execs, first_time FROM binaries",
                  "/usr/bin/true|c0ffee|42|1|1700000000");
    (void)pl_writer_free(w);
}

static void test_unknown_is_null(void **state)
{
    const fixture *f = *state;
    pl_writer *w = open_writer(f->path, PL_STORE_RECORDER, &by_hand);
    const pl_execution e = {.eid = pl_writer_next_eid(w),
                            .time_ns = T0,
                            .pid = 5,
                            .uid = PL_NO_ID,
                            .euid = PL_NO_ID,
                            .suid = PL_NO_ID,
                            .gid = PL_NO_ID,
                            .egid = PL_NO_ID,
                            .auid = PL_NO_ID,
                            .session = PL_NO_ID,
                            .source = PL_EVENTS_SCAN,
                            .hash_state = PL_HASH_NONE};

    assert_int_equal(pl_writer_execution(w, &e), 0);
    assert_int_equal(pl_writer_flush(w), 0);
    assert_answer(f->path,
                  "SELECT ppid, parent_eid, path, path_bytes, filename, name, cmdline, argv, cwd, uid, euid, suid, gid,"
                  " egid, auid, session, tty, mode, sha256, hash_state, script_path, boot_id, mnt_ns, cgroup, container"
                  " FROM process_events",
                  "NULL|NULL|NULL|NULL|NULL|NULL|NULL|NULL|NULL|NULL|NULL|NULL|NULL|NULL|NULL|NULL|NULL|NULL|NULL|NULL|"
                  "NULL|NULL|NULL|NULL|NULL");
    /* An execution that says nothing about its command line is none of a command. */
    assert_answer(f->path, "SELECT count(*) FROM commands", "0");
    (void)pl_writer_free(w);
}

/* The same events, once in one batch and once a batch each, give the same rows. */
static void test_folded_equals_updated(void **state)
{
    const fixture *f = *state;
    char *answers[2];

    for (int round = 0; round < 2; round++) {
        char *path = pl_temp_path(f->dir, round ? "one.db" : "many.db");
        pl_writer *w = open_writer(path, PL_STORE_RECORDER, &by_hand);
        for (int i = 0; i < 20; i++) {
            pl_execution e = execution_of(pl_writer_next_eid(w));
            e.container = i % 2 ? "box" : NULL;
            assert_int_equal(pl_writer_execution(w, &e), 0);
            assert_int_equal(round ? 0 : pl_writer_flush(w), 0);
            pl_execution_hash h = hash_of(e.eid, (unsigned)i % 3);
            if (i == 7)
                h.hash_state = PL_HASH_UNREADABLE;
            assert_int_equal(pl_writer_hash(w, &h), 0);
            assert_int_equal(round ? 0 : pl_writer_flush(w), 0);
            pl_execution_end end = end_of(e.eid, i == 3 ? 9 : i << 8);
            end.time_ns = i == 4 ? end.time_ns + SECOND : i == 5 ? 0 : end.time_ns;
            end.duration_ns = i == 5 || i == 6 ? -1 : end.duration_ns;
            end.reason = i == 8 ? PL_END_EXEC : PL_END_EXIT;
            assert_int_equal(pl_writer_end(w, &end), 0);
            end.reason = PL_END_LOST; /* the first end counts */
            assert_int_equal(pl_writer_end(w, &end), 0);
        }
        assert_int_equal(pl_writer_flush(w), 0);
        pl_writer_stats stats;
        pl_writer_stats_get(w, &stats);
        assert_int_equal(stats.executions, 20);
        assert_int_equal(stats.ends, 40);
        assert_int_equal(stats.lost, 0);
        if (round)
            assert_int_equal(stats.batches, 1);
        (void)pl_writer_free(w);
        char *rows = ask(path, "SELECT * FROM process_events ORDER BY eid"),
             *binaries = ask(path, "SELECT * FROM binaries ORDER BY path, container, sha256");
        assert_true(asprintf(&answers[round], "%s\n%s", rows, binaries) > 0);
        assert_answer(path,
                      "SELECT exit_code, exit_signal, duration_ns, end_time, end_reason FROM process_events"
                      " WHERE eid IN (4, 5, 6, 7, 9) ORDER BY eid",
                      "NULL|9|2000000000|1700000002|exit\n4|NULL|2000000000|1700000003|exit\n"
                      "5|NULL|NULL|NULL|exit\n6|NULL|NULL|1700000002|exit\n8|NULL|2000000000|1700000002|exec");
        assert_answer(path, "SELECT sum(execs) FROM binaries", "20");
        free(rows);
        free(binaries);
        free(path);
    }
    assert_string_equal(answers[0], answers[1]);
    free(answers[0]);
    free(answers[1]);
}

static void test_ids_are_never_reused(void **state)
{
    const fixture *f = *state;
    pl_writer *w = open_writer(f->path, PL_STORE_RECORDER, &by_hand);

    for (int i = 0; i < 5; i++) {
        pl_execution e = execution_of(pl_writer_next_eid(w));
        pl_fork_record fork = {
            .fork_id = pl_writer_next_fork_id(w), .time_ns = T0, .pid = 9, .ppid = 1, .image_eid = e.eid};
        assert_int_equal(pl_writer_execution(w, &e), 0);
        assert_int_equal(pl_writer_fork(w, &fork), 0);
        fork.end_time_ns = T0 + SECOND;
        assert_int_equal(pl_writer_fork(w, &fork), 0);
    }
    (void)pl_writer_free(w);
    assert_answer(f->path, "SELECT count(*), min(end_time) FROM process_forks", "5|1700000001");
    force(f->path, "DELETE FROM _execution; DELETE FROM _fork;");
    w = open_writer(f->path, PL_STORE_RECORDER, &by_hand);
    assert_int_equal(pl_writer_next_eid(w), 6);
    assert_int_equal(pl_writer_next_fork_id(w), 6);
    (void)pl_writer_free(w);
}

static void test_a_record_that_cannot_be_stored_does_not_hold_up_others(void **state)
{
    const fixture *f = *state;
    pl_writer *w = open_writer(f->path, PL_STORE_RECORDER, &by_hand);
    pl_writer_stats stats;

    pl_execution e = execution_of(pl_writer_next_eid(w));
    assert_int_equal(pl_writer_execution(w, &e), 0);
    assert_int_equal(pl_writer_execution(w, &e), 0); /* the same eid */
    e = execution_of(pl_writer_next_eid(w));
    assert_int_equal(pl_writer_execution(w, &e), 0);
    assert_int_equal(pl_writer_flush(w), 0);
    pl_writer_stats_get(w, &stats);
    assert_int_equal(stats.executions, 2);
    assert_int_equal(stats.lost, 1);
    (void)pl_writer_free(w);
    assert_answer(f->path, "SELECT count(*) FROM process_events", "2");
    assert_answer(f->path, "SELECT lost, source, reason FROM gaps", "1|writer|record could not be stored");
}

/* What comes after a flush began, or with no flush at all, is there after free. */
static void test_free_commits_what_is_queued(void **state)
{
    const fixture *f = *state;
    pl_writer *w = open_writer(f->path, PL_STORE_RECORDER, &by_hand);

    for (int i = 0; i < 100; i++) {
        pl_execution e = execution_of(pl_writer_next_eid(w));
        assert_int_equal(pl_writer_execution(w, &e), 0);
    }
    (void)pl_writer_free(w);
    assert_answer(f->path, "SELECT count(*) FROM process_events", "100");
}

/* What a storm left in memory goes once it is quiet; what is written then is none the worse for it. */
static void test_rows_go_on_right_after_memory_was_given_back(void **state)
{
    const fixture *f = *state;
    pl_writer *w = open_writer(f->path, PL_STORE_RECORDER, NULL);

    for (int round = 0; round < 2; round++) {
        for (int i = 0; i < 21000; i++) {
            pl_execution e = execution_of(pl_writer_next_eid(w));
            while (pl_writer_execution(w, &e) == PL_ERR_QUEUE_FULL)
                assert_int_equal(pl_writer_flush(w), 0);
        }
        assert_int_equal(pl_writer_flush(w), 0);
        for (int sweep = 0; sweep < 2; sweep++) { /* the first one sees the storm, the second one the quiet */
            assert_int_equal(pl_writer_retain(w, T0), 0);
            assert_int_equal(pl_writer_flush(w), 0);
        }
    }
    (void)pl_writer_free(w);
    assert_answer(f->path, "SELECT count(*), count(DISTINCT path), count(DISTINCT cmdline) FROM process_events",
                  "42000|1|1");
    assert_answer(f->path, "SELECT count(*) FROM _path WHERE id <> 0 GROUP BY text HAVING count(*) > 1", "");
    assert_answer(f->path, "SELECT execs FROM commands", "42000");
}

static void count_committed(void *context, int64_t eid)
{
    *(int64_t *)context = eid;
}

static void test_full_batch_needs_no_flush(void **state)
{
    const fixture *f = *state;
    int64_t committed = 0;
    pl_writer_options options = {
        .batch_ns = 3600 * SECOND, .batch_count = 10, .committed = count_committed, .context = &committed};
    pl_writer *w = open_writer(f->path, PL_STORE_RECORDER, &options);
    pl_writer_stats stats;

    for (int i = 0; i < 100; i++) {
        pl_execution e = execution_of(pl_writer_next_eid(w));
        assert_int_equal(pl_writer_execution(w, &e), 0);
    }
    assert_int_equal(pl_writer_flush(w), 0);
    pl_writer_stats_get(w, &stats);
    assert_true(stats.batches >= 10);
    assert_int_equal(stats.queued, 0);
    assert_int_equal(stats.queued_bytes, 0);
    (void)pl_writer_free(w);
    assert_int_equal(committed, 100);
}

static void *write_some(void *argument)
{
    pl_writer *w = argument;

    for (int i = 0; i < 500; i++) {
        char path[64];
        (void)snprintf(path, sizeof(path), "/opt/file-%d", i % 50);
        pl_sighting v = sighting_of(path, (uint64_t)(i % 50) + 1, (unsigned)(i % 50), T0 + i * SECOND);
        (void)pl_writer_sighting(w, &v);
        if (i % 50 == 0)
            (void)pl_writer_flush(w);
    }
    return NULL;
}

/* Two writers with their own caches, and readers between: no duplicates, no damage. */
static void test_two_writers_and_a_reader(void **state)
{
    const fixture *f = *state;
    pl_writer *a = open_writer(f->path, PL_STORE_RECORDER, NULL), *b = open_writer(f->path, PL_STORE_WRITE, NULL);
    pthread_t threads[2];

    assert_int_equal(pthread_create(&threads[0], NULL, write_some, a), 0);
    assert_int_equal(pthread_create(&threads[1], NULL, write_some, b), 0);
    for (int i = 0; i < 20; i++)
        assert_true(ask_number(f->path, "SELECT count(*) FROM file_history") <= 50);
    (void)pthread_join(threads[0], NULL);
    (void)pthread_join(threads[1], NULL);
    assert_int_equal(pl_writer_flush(a), 0);
    assert_int_equal(pl_writer_flush(b), 0);
    (void)pl_writer_free(a);
    (void)pl_writer_free(b);
    assert_answer(f->path, "SELECT count(*), count(DISTINCT path) FROM hash", "50|50");
    assert_answer(f->path, "SELECT count(*) FROM file_history", "50");
    assert_answer(f->path, "SELECT count(*) FROM _path WHERE id <> 0", "50");
    assert_answer(f->path, "PRAGMA integrity_check", "ok");
}

static bool is_even(void *context, pid_t pid, uint64_t start_ticks)
{
    (void)context;
    assert_int_equal(start_ticks, 5000 + (uint64_t)pid - 1000);
    return pid % 2 == 0;
}

struct adopted {
    int count;
    int64_t eids[10];
};

static void adopt(void *context, int64_t eid, pid_t pid, uint64_t start_ticks, int64_t parent_eid, const char *path)
{
    struct adopted *adopted = context;

    (void)start_ticks;
    assert_int_equal(pid, 1000 + eid);
    assert_int_equal(parent_eid, 0);
    assert_string_equal(path, "/usr/bin/tr\xffue");
    adopted->eids[adopted->count++] = eid;
}

/* A run that was killed: ended at its last commit, its executions lost, gone with the boot, or adopted. */
static void test_next_run_settles_the_last(void **state)
{
    const fixture *f = *state;
    struct adopted adopted = {0};
    pl_run run = {.version = "1",
                  .source = "scan",
                  .boot_id = BOOT_A,
                  .hostname = "host",
                  .machine_id = "m",
                  .kernel = "6.1",
                  .argv_mode = "full",
                  .ignored = "/tmp/*",
                  .algorithms = "sha256",
                  .time_ns = T0,
                  .alive = is_even,
                  .adopt = adopt,
                  .context = &adopted};
    pl_writer *w = open_writer(f->path, PL_STORE_RECORDER, &by_hand);
    const pl_run_counters counters = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12};

    assert_int_equal(pl_writer_run_begin(w, &run), 0);
    assert_answer(f->path, "SELECT count(*) FROM gaps", "0");
    for (int i = 0; i < 4; i++) {
        pl_execution e = execution_of(pl_writer_next_eid(w));
        e.path = "/usr/bin/tr\xffue";
        assert_int_equal(pl_writer_execution(w, &e), 0);
    }
    pl_fork_record fork = {.fork_id = pl_writer_next_fork_id(w), .time_ns = T0, .pid = 77};
    assert_int_equal(pl_writer_fork(w, &fork), 0);
    assert_int_equal(pl_writer_run_counters(w, &counters, T0 + 50 * SECOND), 0);
    /* Its clock says so: no run_end. */
    (void)pl_writer_free(w);
    force(f->path, "UPDATE _run SET last_time = 1700000050");

    w = open_writer(f->path, PL_STORE_RECORDER, &by_hand);
    run.time_ns = T0 + 80 * SECOND;
    assert_int_equal(pl_writer_run_begin(w, &run), 0);
    assert_int_equal(adopted.count, 2);
    assert_int_equal(adopted.eids[0], 2);
    assert_int_equal(adopted.eids[1], 4);
    assert_answer(f->path, "SELECT eid, end_reason, end_time, hash_state FROM process_events ORDER BY eid",
                  "1|lost|1700000050|vanished\n2|NULL|NULL|pending\n3|lost|1700000050|vanished\n4|NULL|NULL|pending");
    assert_answer(f->path,
                  "SELECT end_time, clean, executions, lost, files_hashed, bytes_hashed, hits_hot, hits_ledger,"
                  " watches, tracked, watches_refused, overflows, start_total, start_done, hostname, machine_id,"
                  " kernel, version, source, boot_id FROM runs ORDER BY run_id LIMIT 1",
                  "1700000050|0|1|2|3|4|5|6|7|8|9|10|11|12|host|m|6.1|1|scan|" BOOT_A);
    assert_answer(f->path, "SELECT time, end_time, lost, source, reason FROM gaps",
                  "1700000050|1700000080|NULL|recorder|recorder was killed");
    assert_answer(f->path, "SELECT end_time FROM process_forks", "1700000050");
    assert_answer(f->path,
                  "SELECT value FROM about WHERE key IN ('host', 'argv', 'ignored', 'algorithms') ORDER BY key",
                  "sha256\nfull\nhost\n/tmp/*");
    assert_int_equal(pl_writer_run_end(w, T0 + 90 * SECOND), 0);
    (void)pl_writer_free(w);

    w = open_writer(f->path, PL_STORE_RECORDER, &by_hand);
    run.boot_id = BOOT_B;
    run.time_ns = T0 + 200 * SECOND;
    assert_int_equal(pl_writer_run_begin(w, &run), 0);
    assert_int_equal(adopted.count, 2);
    assert_answer(f->path, "SELECT clean, end_time FROM runs WHERE run_id = 2", "1|1700000090");
    assert_answer(f->path, "SELECT eid, end_reason FROM process_events WHERE eid IN (2, 4) ORDER BY eid",
                  "2|reboot\n4|reboot");
    assert_answer(f->path, "SELECT count(*) FROM processes", "0");
    assert_answer(f->path, "SELECT reason, time, end_time FROM gaps ORDER BY gap_id DESC LIMIT 1",
                  "recorder was stopped|1700000090|1700000200");
    (void)pl_writer_free(w);
}

/* Each time anew: what is less than before, as the watches that are held, is written as it is. */
static void test_counters_of_a_run_are_those_of_the_last_word(void **state)
{
    const fixture *f = *state;
    const pl_run run = {.version = "1", .source = "scan", .boot_id = BOOT_A, .time_ns = T0};
    const pl_run_counters first = {.watches = 70,
                                   .tracked = 80,
                                   .watches_refused = 90,
                                   .overflows = 100,
                                   .start_total = INT64_MAX,
                                   .start_done = 120};
    const pl_run_counters last = {.watches = 7, .tracked = 8, .start_done = 12};
    const char *const sql = "SELECT watches, tracked, watches_refused, overflows, start_total, start_done"
                            " FROM runs";
    pl_writer *w = open_writer(f->path, PL_STORE_RECORDER, &by_hand);

    assert_int_equal(pl_writer_run_begin(w, &run), 0);
    assert_answer(f->path, sql, "0|0|0|0|0|0");
    assert_int_equal(pl_writer_run_counters(w, &first, T0 + 5 * SECOND), 0);
    assert_int_equal(pl_writer_flush(w), 0);
    assert_answer(f->path, sql, "70|80|90|100|9223372036854775807|120");
    assert_int_equal(pl_writer_run_counters(w, &first, T0 + 6 * SECOND), 0);
    assert_int_equal(pl_writer_run_counters(w, &last, T0 + 7 * SECOND), 0);
    assert_int_equal(pl_writer_flush(w), 0);
    assert_answer(f->path, sql, "7|8|0|0|0|12");
    (void)pl_writer_free(w);
}

static void test_gaps_and_alerts(void **state)
{
    const fixture *f = *state;
    pl_writer *w = open_writer(f->path, PL_STORE_RECORDER, &by_hand);
    pl_sighting v = sighting_of("/bin/x", 5, 1, T0);
    char old[65];

    (void)pl_hex(&v.digests.digests[0], (char[129]){0});
    memset(old, 'a', 64);
    old[64] = '\0';
    assert_int_equal(pl_writer_gap(w, T0, T0 + SECOND, -1, "netlink", "overrun"), 0);
    assert_int_equal(pl_writer_gap(w, T0, T0 + SECOND, 7, "netlink", "overrun"), 0);
    assert_int_equal(pl_writer_identity_alert(w, &v, old), 0);
    assert_int_equal(pl_writer_flush(w), 0);
    assert_answer(f->path, "SELECT lost, source, reason, time, end_time FROM gaps ORDER BY gap_id",
                  "NULL|netlink|overrun|1700000000|1700000001\n7|netlink|overrun|1700000000|1700000001");
    assert_answer(f->path,
                  "SELECT path, attention, reasons, substr(old_sha256, 1, 4), substr(new_sha256, 1, 4),"
                  " detected_by, at FROM changes",
                  "/bin/x|alert|same identity, other digest|aaaa|0100|exec|2023-11-14T22:13:20Z");
    (void)pl_writer_free(w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_execution_comes_out_as_it_went_in, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_unknown_is_null, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_folded_equals_updated, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_ids_are_never_reused, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_a_record_that_cannot_be_stored_does_not_hold_up_others, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_free_commits_what_is_queued, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_rows_go_on_right_after_memory_was_given_back, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_full_batch_needs_no_flush, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_two_writers_and_a_reader, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_next_run_settles_the_last, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_counters_of_a_run_are_those_of_the_last_word, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_gaps_and_alerts, set_up, tear_down),
    };

    return cmocka_run_group_tests_name("store_writer", tests, NULL, NULL);
}

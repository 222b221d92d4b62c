/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The whole daemon within the test's process, on the scan source: it starts, records, ends as asked; and every
 * allocation, descriptor, read and thread of its start fails once. Whatever fails, the ledger stays a ledger.
 */
#include "tools/procledgerd/daemon.h"

#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "tests/support/fault.h"
#include "tests/support/sqlite_shell.h"
#include "tests/support/temp_dir.h"

typedef struct fixture {
    char *dir, *db;
    char source[8];
    pl_daemon_options options;
} fixture;

static int set_up(void **state)
{
    fixture *f = test_calloc(1, sizeof(*f));

    f->dir = pl_temp_dir_new();
    f->db = pl_temp_path(f->dir, "ledger.db");
    strncpy(f->source, "scan", sizeof(f->source) - 1);
    f->options = (pl_daemon_options){
        .db = f->db, .source = f->source, .algorithms = PL_SHA256, .hashing = true, .no_watch = true};
    *state = f;
    return 0;
}

static int tear_down(void **state)
{
    fixture *f = *state;

    free(f->db);
    (void)pl_temp_dir_free(f->dir);
    test_free(f);
    return 0;
}

static void assert_sql(const fixture *f, const char *sql, const char *expected)
{
    char *got = pl_shell_query(f->db, sql);

    assert_string_equal(got, expected);
    free(got);
}

/* Ends the daemon as init would. */
static void stop(pl_daemon *daemon)
{
    assert_int_equal(raise(SIGTERM), 0); /* blocked: it waits in the signal descriptor */
    assert_int_equal(pl_daemon_run(daemon), 0);
    assert_null(pl_daemon_free(daemon));
}

static void test_a_run_is_clean_and_knows_what_lives(void **state)
{
    const fixture *f = *state;
    pl_daemon *daemon = NULL;
    char sql[128];

    assert_int_equal(pl_daemon_new(&f->options, NULL, &daemon), 0);
    stop(daemon);
    assert_sql(f, "SELECT count(*), clean, source FROM runs", "1|1|scan\n");
    (void)snprintf(sql, sizeof(sql), "SELECT source, hash_state, length(sha256) FROM process_events WHERE pid = %d",
                   (int)getpid());
    assert_sql(f, sql, "snapshot|ok|64\n");
    assert_sql(f, "PRAGMA integrity_check", "ok\n");
}

/* Nobody asked it to stop: the source died. The run stays open, the next one closes it and says so. */
static void test_a_run_that_was_not_asked_to_stop_is_not_clean(void **state)
{
    const fixture *f = *state;
    pl_daemon *daemon = NULL;

    assert_int_equal(pl_daemon_new(&f->options, NULL, &daemon), 0);
    assert_null(pl_daemon_free(daemon));
    assert_int_equal(pl_daemon_new(&f->options, NULL, &daemon), 0);
    stop(daemon);
    assert_sql(f, "SELECT clean FROM runs ORDER BY run_id", "0\n1\n");
    assert_sql(f, "SELECT count(*) > 0 FROM gaps", "1\n");
}

static void test_one_recorder_a_file(void **state)
{
    const fixture *f = *state;
    pl_daemon *first = NULL, *second = NULL;

    assert_int_equal(pl_daemon_new(&f->options, NULL, &first), 0);
    assert_int_equal(pl_daemon_new(&f->options, NULL, &second), PL_ERR_LOCKED);
    assert_null(second);
    stop(first);
}

static void test_unknown_source_and_folder_are_refused(void **state)
{
    fixture *f = *state;
    pl_daemon *daemon = NULL;

    strncpy(f->source, "none", sizeof(f->source) - 1);
    assert_int_equal(pl_daemon_new(&f->options, NULL, &daemon), PL_ERR_INVALID);
    char *nowhere = pl_temp_path(f->dir, "no/such/ledger.db");
    f->options.db = nowhere;
    assert_int_equal(pl_daemon_new(&f->options, NULL, &daemon), PL_ERR_NOT_FOUND);
    assert_null(daemon);
    free(nowhere);
}

/* The n-th call of a kind fails, for every n at first and in ever larger steps later: a machine with many processes
 * makes thousands of them, all alike. */
static void exhaust(fixture *f, pl_fault_kind kind, int errnum)
{
    bool fired = true;

    for (unsigned n = 1, tries = 0; fired; n += 1 + tries / 40, tries++) {
        pl_daemon *daemon = NULL;
        pl_fault_arm(kind, n, errnum);
        int rc = pl_daemon_new(&f->options, NULL, &daemon);
        fired = pl_fault_fired();
        pl_fault_disarm();
        assert_true((rc == 0) == (daemon != NULL));
        assert_true(rc <= 0);
        if (!fired)
            assert_int_equal(rc, 0);
        (void)pl_daemon_free(daemon);
    }
    assert_sql(f, "PRAGMA integrity_check", "ok\n");
    assert_sql(f, "SELECT count(*) > 0, count(*) FILTER (WHERE sha256 = '') FROM process_events", "1|0\n");
}

static void test_memory_fails_at_every_point(void **state)
{
    exhaust(*state, PL_FAULT_ALLOC, ENOMEM);
}

static void test_descriptors_fail_at_every_point(void **state)
{
    exhaust(*state, PL_FAULT_OPEN, EMFILE);
}

static void test_reads_fail_at_every_point(void **state)
{
    exhaust(*state, PL_FAULT_READ, EIO);
}

static void test_stats_fail_at_every_point(void **state)
{
    exhaust(*state, PL_FAULT_STAT, EIO);
}

static void test_threads_fail_at_every_point(void **state)
{
    exhaust(*state, PL_FAULT_THREAD, EAGAIN);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(test_a_run_is_clean_and_knows_what_lives),
        CASE(test_a_run_that_was_not_asked_to_stop_is_not_clean),
        CASE(test_one_recorder_a_file),
        CASE(test_unknown_source_and_folder_are_refused),
        CASE(test_memory_fails_at_every_point),
        CASE(test_descriptors_fail_at_every_point),
        CASE(test_reads_fail_at_every_point),
        CASE(test_stats_fail_at_every_point),
        CASE(test_threads_fail_at_every_point),
    };
    sigset_t signals;

    (void)sigemptyset(&signals);
    (void)sigaddset(&signals, SIGTERM);
    (void)sigaddset(&signals, SIGINT);
    (void)sigaddset(&signals, SIGHUP);
    (void)sigaddset(&signals, SIGPIPE);
    (void)sigprocmask(SIG_BLOCK, &signals, NULL); /* as main does */
    return cmocka_run_group_tests(tests, NULL, NULL);
}

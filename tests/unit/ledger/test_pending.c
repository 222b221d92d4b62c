/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Where hash workers and recorder meet: nothing that was asked for is lost, whatever becomes of it. */
#include "ledger/pending.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

#include "tests/support/fault.h"
#include "tests/support/sqlite_shell.h"
#include "tests/support/temp_dir.h"

typedef struct fixture {
    char *dir, *db, *file;
    pl_writer *writer;
    pl_resolve *resolve;
    pl_pending *pending;
} fixture;

static int set_up(void **state)
{
    fixture *f = test_calloc(1, sizeof(*f));
    pl_store_options recorder = {.mode = PL_STORE_RECORDER}, reader = {.mode = PL_STORE_READ};
    pl_resolve_options resolve = {.boot_id = "11111111-2222-3333-4444-555555555555"};
    pl_store *store = NULL;

    f->dir = pl_temp_dir_new();
    f->db = pl_temp_path(f->dir, "ledger.db");
    f->file = pl_temp_path(f->dir, "file");
    pl_temp_write(f->file, "abc", 3, 0755);
    assert_int_equal(pl_store_open(f->db, &recorder, &store), 0);
    assert_int_equal(pl_writer_new(store, NULL, &f->writer), 0);
    assert_int_equal(pl_store_open(f->db, &reader, &resolve.reader), 0);
    resolve.writer = f->writer;
    assert_int_equal(pl_resolve_new(&resolve, &f->resolve), 0);
    assert_int_equal(pl_pending_new(f->writer, &f->pending), 0);
    *state = f;
    return 0;
}

static int tear_down(void **state)
{
    fixture *f = *state;

    (void)pl_resolve_free(f->resolve);
    (void)pl_pending_free(f->pending);
    (void)pl_writer_free(f->writer);
    free(f->db);
    free(f->file);
    (void)pl_temp_dir_free(f->dir);
    test_free(f);
    return 0;
}

/* A pending row and its waiting execution. */
static pl_waiting *wait_for_hash(fixture *f)
{
    pl_execution execution = {.eid = pl_writer_next_eid(f->writer),
                              .time_ns = 1700000000 * PL_NS_PER_S,
                              .pid = 10,
                              .path = f->file,
                              .source = PL_EVENTS_NETLINK,
                              .hash_state = PL_HASH_PENDING};
    pl_waiting *w = pl_waiting_new(f->pending, execution.eid);

    assert_non_null(w);
    assert_int_equal(pl_writer_execution(f->writer, &execution), 0);
    return w;
}

static void assert_rows(fixture *f, const char *expected)
{
    assert_int_equal(pl_writer_flush(f->writer), 0);
    char *got = pl_shell_query(f->db, "SELECT hash_state, substr(sha256, 1, 8) FROM process_events ORDER BY eid");
    assert_string_equal(got, expected);
    free(got);
}

static void wait_readable(const fixture *f)
{
    struct pollfd fd = {.fd = pl_pending_fd(f->pending), .events = POLLIN};

    assert_int_equal(poll(&fd, 1, 60000), 1);
}

static void test_an_answer_completes_the_row_and_comes_back(void **state)
{
    fixture *f = *state;
    pl_place place = {.path = f->file};
    pl_waiting *w = wait_for_hash(f);
    int pin = open(f->file, O_PATH | O_CLOEXEC);

    pl_pending_ask(w, f->resolve, &pin, &place);
    assert_int_equal(pin, -1);
    wait_readable(f);
    pl_waiting *done = pl_pending_take(f->pending);
    assert_ptr_equal(done, w);
    assert_null(done->next);
    assert_int_equal(done->answer.outcome, PL_OK);
    (void)pl_waiting_free(done);
    assert_rows(f, "ok|ba7816bf\n");
    assert_null(pl_pending_take(f->pending));
}

static void test_what_cannot_be_asked_is_answered_all_the_same(void **state)
{
    fixture *f = *state;
    pl_place place = {.path = f->file};
    int none = -1, pin = open(f->file, O_PATH | O_CLOEXEC);

    pl_pending_ask(wait_for_hash(f), f->resolve, &none, &place);
    pl_waiting *w = wait_for_hash(f);
    pl_fault_arm(PL_FAULT_ALLOC, 1, ENOMEM);
    pl_pending_ask(w, f->resolve, &pin, &place);
    pl_fault_disarm();
    assert_int_equal(pin, -1); /* taken and closed */
    wait_readable(f);
    pl_waiting *first = pl_pending_take(f->pending);
    assert_non_null(first);
    assert_ptr_equal(first->next, w); /* in their order */
    assert_int_equal(first->answer.outcome, PL_UNREADABLE);
    assert_int_equal(first->answer.error, EAGAIN);
    (void)pl_waiting_free(w);
    (void)pl_waiting_free(first);
    assert_rows(f, "unreadable|~\nunreadable|~\n");
}

/* The script's column has no state: a failure says nothing, and never anything of the interpreter. */
static void test_a_failed_script_leaves_the_row_alone(void **state)
{
    fixture *f = *state;
    pl_answer failed = {.outcome = PL_UNREADABLE, .error = EIO};
    pl_waiting *w = wait_for_hash(f);

    w->script = true;
    pl_pending_done(w, &failed);
    (void)pl_waiting_free(pl_pending_take(f->pending));
    assert_rows(f, "pending|~\n");
}

/* Not read because the end came first: the row stays pending, the next run knows what to make of it. */
static void test_an_answer_that_is_none_leaves_the_row_pending(void **state)
{
    fixture *f = *state;
    pl_answer never = {.outcome = PL_PENDING};

    pl_pending_done(wait_for_hash(f), &never); /* and is freed with the rest */
    assert_rows(f, "pending|~\n");
}

static void test_every_failure_of_the_start(void **state)
{
    fixture *f = *state;
    pl_pending *pending = NULL;

    pl_fault_arm(PL_FAULT_ALLOC, 1, ENOMEM);
    assert_int_equal(pl_pending_new(f->writer, &pending), PL_ERR_NOMEM);
    pl_fault_arm(PL_FAULT_OPEN, 1, EMFILE);
    assert_int_equal(pl_pending_new(f->writer, &pending), PL_ERR_SYSTEM);
    pl_fault_arm(PL_FAULT_ALLOC, 1, ENOMEM);
    assert_null(pl_waiting_new(f->pending, 1));
    pl_fault_disarm();
    assert_null(pending);
    assert_null(pl_pending_free(NULL));
    assert_null(pl_waiting_free(NULL));
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(test_an_answer_completes_the_row_and_comes_back),
        CASE(test_what_cannot_be_asked_is_answered_all_the_same),
        CASE(test_a_failed_script_leaves_the_row_alone),
        CASE(test_an_answer_that_is_none_leaves_the_row_pending),
        CASE(test_every_failure_of_the_start),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

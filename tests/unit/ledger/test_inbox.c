/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The tracker's inbox: what is put comes out once, in its order, as a copy; what does not fit is counted; whoever waits
 * is woken.
 */
#include "ledger/inbox.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/support/fault.h"

#define THREADS 4
#define EACH 5000

static pl_inbox *start(size_t limit)
{
    pl_inbox *inbox = NULL;

    assert_int_equal(pl_inbox_new(limit, &inbox), 0);
    assert_non_null(inbox);
    return inbox;
}

static bool put(pl_inbox *inbox, pid_t pid)
{
    pl_inbox_message message = {.kind = PL_INBOX_LIVING, .pid = pid, .mnt_ns = 9};

    return pl_inbox_put(inbox, &message);
}

/* Takes all, which must be the pids from first on, n of them. */
static void take(pl_inbox *inbox, pid_t first, int n)
{
    int got = 0;

    for (pl_inbox_message *m = pl_inbox_take(inbox), *next; m; m = next) {
        next = m->next;
        assert_int_equal(m->pid, first + got++);
        pl_inbox_message_free(m);
    }
    assert_int_equal(got, n);
}

static bool readable(const pl_inbox *inbox)
{
    struct pollfd p = {.fd = pl_inbox_fd(inbox), .events = POLLIN};

    return poll(&p, 1, 0) == 1;
}

static void test_messages_come_out_once_and_in_their_order(void **state)
{
    pl_inbox *inbox = start(0);

    (void)state;
    assert_null(pl_inbox_take(inbox));
    for (pid_t pid = 1; pid <= 100; pid++)
        assert_true(put(inbox, pid));
    take(inbox, 1, 100);
    assert_null(pl_inbox_take(inbox));
    assert_true(put(inbox, 101)); /* and on from there */
    assert_true(put(inbox, 102));
    take(inbox, 101, 2);
    assert_null(pl_inbox_free(inbox));
}

static void test_a_message_is_a_copy_and_so_are_its_strings(void **state)
{
    pl_inbox *inbox = start(0);
    char path[] = "/bin/\xff\n", container[] = "box";
    pl_inbox_message message = {.kind = PL_INBOX_LEARNED,
                                .mnt_ns = UINT64_MAX,
                                .pid = 7,
                                .path = path,
                                .container = container,
                                .identity = {.inode = 5, .size = 6, .ctime_ns = -8},
                                .outcome = PL_UNREADABLE,
                                .tier = PL_TIER_B,
                                .proven = true,
                                .background = true,
                                .next = &message};

    (void)state;
    assert_true(pl_inbox_put(inbox, &message));
    memset(path, 'x', sizeof(path) - 1);
    memset(container, 'x', sizeof(container) - 1);
    pl_inbox_message *got = pl_inbox_take(inbox);
    assert_non_null(got);
    assert_null(got->next);
    assert_int_equal(got->kind, PL_INBOX_LEARNED);
    assert_true(got->mnt_ns == UINT64_MAX);
    assert_int_equal(got->pid, 7);
    assert_string_equal(got->path, "/bin/\xff\n");
    assert_string_equal(got->container, "box");
    assert_memory_equal(&got->identity, &message.identity, sizeof(message.identity));
    assert_int_equal(got->outcome, PL_UNREADABLE);
    assert_int_equal(got->tier, PL_TIER_B);
    assert_true(got->proven && got->background);
    pl_inbox_message_free(got);
    (void)pl_inbox_free(inbox);
}

static void test_no_string_stays_none(void **state)
{
    pl_inbox *inbox = start(0);
    pl_inbox_message no_path = {.container = "box"}, no_container = {.path = "/x"}, empty = {.path = ""};

    (void)state;
    assert_true(pl_inbox_put(inbox, &no_path));
    assert_true(pl_inbox_put(inbox, &no_container));
    assert_true(pl_inbox_put(inbox, &empty));
    pl_inbox_message *first = pl_inbox_take(inbox), *second = first->next, *third = second->next;
    assert_null(first->path);
    assert_string_equal(first->container, "box");
    assert_string_equal(second->path, "/x");
    assert_null(second->container);
    assert_string_equal(third->path, "");
    assert_null(third->next);
    pl_inbox_message_free(first);
    pl_inbox_message_free(second);
    pl_inbox_message_free(third);
    (void)pl_inbox_free(inbox);
}

static void test_what_does_not_fit_is_refused_and_counted(void **state)
{
    pl_inbox *inbox = start(3);

    (void)state;
    for (pid_t pid = 1; pid <= 3; pid++)
        assert_true(put(inbox, pid));
    assert_int_equal(pl_inbox_dropped(inbox), 0);
    assert_false(put(inbox, 4));
    assert_false(put(inbox, 5));
    assert_int_equal(pl_inbox_dropped(inbox), 2);
    take(inbox, 1, 3);
    assert_true(put(inbox, 6)); /* there is room again; what was dropped stays counted */
    assert_int_equal(pl_inbox_dropped(inbox), 2);
    take(inbox, 6, 1);
    (void)pl_inbox_free(inbox);
}

static void test_default_limit_is_16384(void **state)
{
    pl_inbox *inbox = start(0);

    (void)state;
    for (pid_t pid = 1; pid <= 16384; pid++)
        assert_true(put(inbox, pid));
    assert_false(put(inbox, 16385));
    assert_int_equal(pl_inbox_dropped(inbox), 1);
    (void)pl_inbox_free(inbox); /* with all that is in it */
}

static void test_put_wakes_until_the_next_take(void **state)
{
    pl_inbox *inbox = start(0);

    (void)state;
    assert_false(readable(inbox));
    assert_true(put(inbox, 1));
    assert_true(readable(inbox));
    assert_true(put(inbox, 2));
    assert_true(readable(inbox));
    take(inbox, 1, 2);
    assert_false(readable(inbox));
    assert_true(put(inbox, 3)); /* the first after a take wakes again */
    assert_true(readable(inbox));
    take(inbox, 3, 1);
    (void)pl_inbox_free(inbox);
}

static void test_poke_wakes_without_a_message(void **state)
{
    pl_inbox *inbox = start(0);

    (void)state;
    pl_inbox_poke(inbox);
    pl_inbox_poke(inbox);
    assert_true(readable(inbox));
    assert_null(pl_inbox_take(inbox));
    assert_false(readable(inbox)); /* one take is enough for any number of pokes */
    (void)pl_inbox_free(inbox);
}

static void test_a_message_that_was_refused_wakes_nobody(void **state)
{
    pl_inbox *inbox = start(0);

    (void)state;
    pl_fault_arm(PL_FAULT_ALLOC, 1, ENOMEM);
    bool taken = put(inbox, 1);
    pl_fault_disarm();
    assert_false(taken);
    assert_int_equal(pl_inbox_dropped(inbox), 1);
    assert_false(readable(inbox));
    assert_null(pl_inbox_take(inbox));
    assert_true(put(inbox, 2));
    take(inbox, 2, 1);
    (void)pl_inbox_free(inbox);
}

/* ---- several threads ---- */

typedef struct putter {
    pl_inbox *inbox;
    int number;
    unsigned taken; /* by the inbox */
} putter;

static void *put_many(void *context)
{
    putter *p = context;
    char path[32];

    for (int i = 0; i < EACH; i++) {
        (void)snprintf(path, sizeof(path), "/%d/%d", p->number, i);
        pl_inbox_message message = {.kind = PL_INBOX_SEEN, .path = path, .pid = p->number, .mnt_ns = (uint64_t)i};
        p->taken += pl_inbox_put(p->inbox, &message);
    }
    return NULL;
}

/* What one take gave: each thread's own in their order, and each string that of its message. */
static unsigned check_taken(pl_inbox_message *list, uint64_t *after)
{
    unsigned n = 0;
    char path[32];

    for (pl_inbox_message *m = list, *next; m; m = next, n++) {
        next = m->next;
        assert_true(m->mnt_ns >= after[m->pid]);
        after[m->pid] = m->mnt_ns + 1;
        (void)snprintf(path, sizeof(path), "/%d/%d", (int)m->pid, (int)m->mnt_ns);
        assert_string_equal(m->path, path);
        pl_inbox_message_free(m);
    }
    return n;
}

/* Waits on the descriptor alone, so a wake-up that is lost would let it wait for ever. */
static void run_threads(size_t limit)
{
    pl_inbox *inbox = start(limit);
    putter putters[THREADS];
    pthread_t threads[THREADS];
    uint64_t after[THREADS] = {0};
    unsigned taken = 0, got = 0;
    bool all_fit = limit >= THREADS * EACH;

    for (int i = 0; i < THREADS; i++) {
        putters[i] = (putter){.inbox = inbox, .number = i};
        assert_int_equal(pthread_create(&threads[i], NULL, put_many, &putters[i]), 0);
    }
    while (got + pl_inbox_dropped(inbox) < THREADS * EACH) {
        struct pollfd p = {.fd = pl_inbox_fd(inbox), .events = POLLIN};
        if (all_fit)
            assert_int_equal(poll(&p, 1, 60000), 1);
        got += check_taken(pl_inbox_take(inbox), after);
    }
    for (int i = 0; i < THREADS; i++) {
        assert_int_equal(pthread_join(threads[i], NULL), 0);
        taken += putters[i].taken;
    }
    assert_int_equal(got, taken);
    assert_int_equal(pl_inbox_dropped(inbox), THREADS * EACH - taken);
    if (all_fit)
        assert_int_equal(taken, THREADS * EACH);
    assert_null(pl_inbox_take(inbox));
    (void)pl_inbox_free(inbox);
}

static void test_of_many_threads_nothing_is_lost(void **state)
{
    (void)state;
    run_threads(THREADS * EACH);
}

static void test_of_many_threads_what_is_lost_is_counted(void **state)
{
    (void)state;
    run_threads(2);
}

/* ---- failures ---- */

static void test_start_fails_at_every_point_and_leaves_nothing(void **state)
{
    pl_inbox *const none = (pl_inbox *)(uintptr_t)16;
    pl_inbox *inbox = none;

    (void)state;
    pl_fault_arm(PL_FAULT_ALLOC, 1, ENOMEM);
    int rc = pl_inbox_new(0, &inbox);
    pl_fault_disarm();
    assert_int_equal(rc, PL_ERR_NOMEM);
    assert_ptr_equal(inbox, none);
    pl_fault_arm(PL_FAULT_OPEN, 1, EMFILE);
    rc = pl_inbox_new(0, &inbox);
    pl_fault_disarm();
    assert_int_equal(rc, PL_ERR_SYSTEM);
    assert_ptr_equal(inbox, none);
    assert_null(pl_inbox_free(NULL));
    pl_inbox_message_free(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_messages_come_out_once_and_in_their_order),
        cmocka_unit_test(test_a_message_is_a_copy_and_so_are_its_strings),
        cmocka_unit_test(test_no_string_stays_none),
        cmocka_unit_test(test_what_does_not_fit_is_refused_and_counted),
        cmocka_unit_test(test_default_limit_is_16384),
        cmocka_unit_test(test_put_wakes_until_the_next_take),
        cmocka_unit_test(test_poke_wakes_without_a_message),
        cmocka_unit_test(test_a_message_that_was_refused_wakes_nobody),
        cmocka_unit_test(test_of_many_threads_nothing_is_lost),
        cmocka_unit_test(test_of_many_threads_what_is_lost_is_counted),
        cmocka_unit_test(test_start_fails_at_every_point_and_leaves_nothing),
    };

    return cmocka_run_group_tests_name("inbox", tests, NULL, NULL);
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Executions of the last run that go on in this one. */
#include "ledger/adoption.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

#include <procledger/procledger.h>

#include "tests/support/fault.h"

static pl_adopted adopted_of(pid_t pid, uint64_t start, int64_t eid)
{
    return (pl_adopted){
        .pid = pid, .start_ticks = start, .eid = eid, .parent_eid = 7, .path = (char *)(uintptr_t) "/x"};
}

static int64_t add(pl_adoption *adoption, pid_t pid, uint64_t start, int64_t eid)
{
    pl_adopted adopted = adopted_of(pid, start, eid);

    return pl_adoption_add(adoption, &adopted);
}

static void test_the_very_process_is_taken_once(void **state)
{
    pl_adoption *adoption = NULL;
    pl_adopted got;

    (void)state;
    assert_int_equal(pl_adoption_new(&adoption), 0);
    assert_int_equal(add(adoption, 10, 100, 1), 0);
    assert_int_equal(pl_adoption_take(adoption, 11, 100, &got), 0);
    assert_int_equal(pl_adoption_take(adoption, 10, 101, &got), 0); /* another process has the pid */
    assert_int_equal(pl_adoption_take(adoption, 10, 100, &got), 1);
    assert_int_equal(got.eid, 1);
    assert_int_equal(got.parent_eid, 7);
    assert_string_equal(got.path, "/x");
    free(got.path);
    assert_int_equal(pl_adoption_take(adoption, 10, 100, &got), 0);
    assert_null(pl_adoption_free(adoption));
    assert_null(pl_adoption_free(NULL));
}

static void test_of_one_process_the_newest_image_runs(void **state)
{
    pl_adoption *adoption = NULL;
    pl_adopted got;

    (void)state;
    assert_int_equal(pl_adoption_new(&adoption), 0);
    assert_int_equal(add(adoption, 10, 100, 5), 0);
    assert_int_equal(add(adoption, 10, 100, 4), 4); /* this one ended unseen */
    assert_int_equal(add(adoption, 10, 100, 6), 5); /* and now the other one did */
    assert_int_equal(pl_adoption_take(adoption, 10, 100, &got), 1);
    assert_int_equal(got.eid, 6);
    free(got.path);
    (void)pl_adoption_free(adoption);
}

static void test_what_is_left_is_taken_to_the_last(void **state)
{
    pl_adoption *adoption = NULL;
    pl_adopted got;
    int64_t sum = 0;

    (void)state;
    assert_int_equal(pl_adoption_new(&adoption), 0);
    for (pid_t pid = 1; pid <= 100; pid++)
        assert_int_equal(add(adoption, pid, 1, pid), 0);
    while (pl_adoption_take_any(adoption, &got)) {
        sum += got.eid;
        free(got.path);
    }
    assert_int_equal(sum, 5050);
    assert_int_equal(add(adoption, 1, 1, 1), 0); /* freed with what it holds */
    (void)pl_adoption_free(adoption);
}

static void test_no_memory_enters_nothing_and_keeps_what_is_there(void **state)
{
    pl_adoption *adoption = NULL;
    pl_adopted got;

    (void)state;
    pl_fault_arm(PL_FAULT_ALLOC, 1, ENOMEM);
    assert_int_equal(pl_adoption_new(&adoption), PL_ERR_NOMEM);
    pl_fault_disarm();
    assert_null(adoption);
    for (unsigned n = 1; n <= 4; n++) {
        assert_int_equal(pl_adoption_new(&adoption), 0);
        pl_fault_arm(PL_FAULT_ALLOC, n, ENOMEM);
        (void)add(adoption, 10, 100, 1);
        bool fired = pl_fault_fired();
        pl_fault_disarm();
        assert_true(fired);
        int taken = pl_adoption_take(adoption, 10, 100, &got);
        assert_int_equal(taken, n == 2); /* only the path may be missing */
        if (taken)
            assert_null(got.path);
        (void)pl_adoption_free(adoption);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_very_process_is_taken_once),
        cmocka_unit_test(test_of_one_process_the_newest_image_runs),
        cmocka_unit_test(test_what_is_left_is_taken_to_the_last),
        cmocka_unit_test(test_no_memory_enters_nothing_and_keeps_what_is_there),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The counters of one batch: by exact key, with the first and last time of each, and bounded loss when memory ends. */
#include "tests/unit/store/store_support.h"

#include <errno.h>

#include "ledger/store/tally.h"
#include "tests/support/fault.h"

typedef struct sum {
    int keys, stop_after;
    int64_t count, first, last;
    const char *wanted; /* NULL: every key */
    size_t wanted_length;
} sum;

static int add_up(void *context, const void *key, size_t length, const pl_tally_count *count)
{
    sum *s = context;

    if (s->wanted && (s->wanted_length != length || memcmp(s->wanted, key, length) != 0))
        return 0;
    s->keys++;
    s->count += count->count;
    s->first = count->first;
    s->last = count->last;
    return s->stop_after && s->keys == s->stop_after ? -77 : 0;
}

static sum look(const pl_tally *tally, const char *key, size_t length)
{
    sum s = {.wanted = key, .wanted_length = length};

    assert_int_equal(pl_tally_each(tally, add_up, &s), 0);
    return s;
}

static void test_counts_first_and_last_time_by_key(void **state)
{
    static const int64_t times[] = {50, 40, 60, 45};
    pl_tally *tally = NULL;

    (void)state;
    assert_int_equal(pl_tally_new(&tally), 0);
    for (size_t i = 0; i < 4; i++)
        assert_int_equal(pl_tally_add(tally, "a", 1, times[i]), 0);
    assert_int_equal(pl_tally_add(tally, "b", 1, 7), 0);
    sum a = look(tally, "a", 1), b = look(tally, "b", 1), all = look(tally, NULL, 0);
    assert_int_equal(a.count, 4);
    assert_int_equal(a.first, 40);
    assert_int_equal(a.last, 60);
    assert_int_equal(b.count, 1);
    assert_int_equal(b.first, 7);
    assert_int_equal(b.last, 7);
    assert_int_equal(all.keys, 2);
    assert_int_equal(all.count, 5);
    tally = pl_tally_free(tally);
    assert_null(tally);
    assert_null(pl_tally_free(NULL));
}

static void test_key_is_its_bytes_and_their_number(void **state)
{
    static const struct {
        const char *bytes;
        size_t length;
    } keys[] = {{"", 0}, {"\0", 1}, {"\0\0", 2}, {"ab", 2}, {"ab\0", 3}, {"ab\0c", 4}, {"abc", 3}, {"AB", 2}};
    const int n = (int)(sizeof(keys) / sizeof(keys[0]));
    pl_tally *tally = NULL;

    (void)state;
    assert_int_equal(pl_tally_new(&tally), 0);
    for (int round = 0; round < 3; round++) {
        for (int i = 0; i <= round; i++) {
            for (int k = 0; k < n; k++)
                assert_int_equal(pl_tally_add(tally, keys[k].bytes, keys[k].length, k), 0);
        }
    }
    for (int k = 0; k < n; k++) {
        sum s = look(tally, keys[k].bytes, keys[k].length);
        assert_int_equal(s.keys, 1);
        assert_int_equal(s.count, 6);
        assert_int_equal(s.first, k);
    }
    assert_int_equal(look(tally, NULL, 0).keys, n);
    (void)pl_tally_free(tally);
}

static void test_keys_are_copies(void **state)
{
    char key[2] = "k";
    pl_tally *tally = NULL;

    (void)state;
    assert_int_equal(pl_tally_new(&tally), 0);
    assert_int_equal(pl_tally_add(tally, key, 1, 1), 0);
    key[0] = 'x';
    assert_int_equal(look(tally, "k", 1).count, 1);
    assert_int_equal(look(tally, "x", 1).keys, 0);
    (void)pl_tally_free(tally);
}

static void test_answer_other_than_0_ends_the_round(void **state)
{
    pl_tally *tally = NULL;
    sum s = {.stop_after = 2};

    (void)state;
    assert_int_equal(pl_tally_new(&tally), 0);
    for (int64_t i = 0; i < 5; i++)
        assert_int_equal(pl_tally_add(tally, &i, sizeof(i), i), 0);
    assert_int_equal(pl_tally_each(tally, add_up, &s), -77);
    assert_int_equal(s.keys, 2);
    (void)pl_tally_free(tally);
}

static void test_cleared_tally_starts_over(void **state)
{
    pl_tally *tally = NULL;

    (void)state;
    assert_int_equal(pl_tally_new(&tally), 0);
    assert_int_equal(look(tally, NULL, 0).keys, 0);
    pl_tally_clear(tally);
    for (int64_t i = 0; i < 1000; i++)
        assert_int_equal(pl_tally_add(tally, &i, sizeof(i), 5), 0);
    pl_tally_clear(tally);
    assert_int_equal(look(tally, NULL, 0).keys, 0);
    assert_int_equal(pl_tally_add(tally, "a", 1, 9), 0);
    assert_int_equal(look(tally, "a", 1).first, 9);
    assert_int_equal(look(tally, NULL, 0).keys, 1);
    (void)pl_tally_free(tally);
}

/* Whatever allocation fails: the call says so, and what was counted before stays right. */
static void test_out_of_memory_loses_only_that_key(void **state)
{
    unsigned failures = 0;

    (void)state;
    for (unsigned n = 1; pl_fault_arm(PL_FAULT_ALLOC, n, ENOMEM); n++) {
        pl_tally *tally = NULL;
        int64_t added = 0, refused = 0;
        int rc = pl_tally_new(&tally);
        for (int64_t i = 0; rc == 0 && i < 200; i++) {
            if (pl_tally_add(tally, &i, sizeof(i), i) == 0)
                added++;
            else
                refused++;
        }
        bool fired = pl_fault_fired();
        pl_fault_disarm();
        if (rc < 0) {
            assert_int_equal(rc, PL_ERR_NOMEM);
            assert_null(tally);
        } else {
            sum all = look(tally, NULL, 0);
            assert_int_equal(all.keys, added);
            assert_int_equal(all.count, added);
            assert_true(refused <= 1);
            (void)pl_tally_free(tally);
        }
        if (!fired)
            break;
        failures++;
    }
    /* One for each key, and those of the map itself. */
    assert_true(failures > 200);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_counts_first_and_last_time_by_key),
        cmocka_unit_test(test_key_is_its_bytes_and_their_number),
        cmocka_unit_test(test_keys_are_copies),
        cmocka_unit_test(test_answer_other_than_0_ends_the_round),
        cmocka_unit_test(test_cleared_tally_starts_over),
        cmocka_unit_test(test_out_of_memory_loses_only_that_key),
    };

    return cmocka_run_group_tests_name("store_tally", tests, NULL, NULL);
}

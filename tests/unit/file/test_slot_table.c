/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The table against a plain list that does the same, with tags chosen to collide and to run over the end; after each
 * step of a random walk whatever is stored must be found and nothing else. The table's own invariants are looked at
 * directly: its struct is visible.
 */
#include "src/file/slot_table.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "src/base/error.h"
#include "tests/support/fault.h"

#define MODEL_MAX 700

typedef struct model {
    uint32_t tags[MODEL_MAX], indexes[MODEL_MAX];
    size_t n;
    uint64_t random;
} model;

static uint32_t next_random(model *m, uint32_t below)
{
    m->random ^= m->random << 13;
    m->random ^= m->random >> 7;
    m->random ^= m->random << 17;
    return (uint32_t)((m->random >> 32) % below);
}

/* Tags of four kinds: all equal, next to each other, around the wrap of 32 bits, anything. */
static uint32_t random_tag(model *m)
{
    switch (next_random(m, 4)) {
    case 0:
        return 77;
    case 1:
        return next_random(m, 40);
    case 2:
        return UINT32_MAX - 20 + next_random(m, 40);
    default:
        return next_random(m, UINT32_MAX);
    }
}

static bool holds(const pl_slot_table *table, uint32_t tag, uint32_t index)
{
    uint32_t at = tag, found;

    while ((found = pl_slot_table_next(table, tag, &at)) != PL_SLOT_NONE)
        if (found == index)
            return true;
    return false;
}

static size_t count_tag(const pl_slot_table *table, uint32_t tag)
{
    uint32_t at = tag;
    size_t n = 0;

    while (pl_slot_table_next(table, tag, &at) != PL_SLOT_NONE)
        n++;
    return n;
}

/* As many slots as entries, each reachable from its home without a gap, at most half of the table in use. */
static void check_shape(const pl_slot_table *table)
{
    size_t used = 0;

    assert_int_equal((table->mask + 1) & table->mask, 0);
    for (uint32_t i = 0; i <= table->mask; i++) {
        if (!table->slots[i].value)
            continue;
        used++;
        for (uint32_t at = table->slots[i].tag & table->mask; at != i; at = (at + 1) & table->mask)
            assert_int_not_equal(table->slots[at].value, 0);
    }
    assert_int_equal(used, table->used);
    assert_true(2 * used <= (size_t)table->mask + 1);
    assert_int_equal(pl_slot_table_bytes(table), ((size_t)table->mask + 1) * sizeof(pl_slot));
}

static void check_same(const pl_slot_table *table, const model *m)
{
    check_shape(table);
    assert_int_equal(table->used, m->n);
    for (size_t i = 0; i < m->n; i++) {
        size_t same = 0;
        for (size_t j = 0; j < m->n; j++)
            same += m->tags[j] == m->tags[i];
        assert_true(holds(table, m->tags[i], m->indexes[i]));
        assert_int_equal(count_tag(table, m->tags[i]), same);
    }
}

static void test_random_walk_equals_a_list(void **state)
{
    pl_slot_table table = {0};
    model *m = test_calloc(1, sizeof(*m));
    uint32_t next_index = 0, grown = 0;

    (void)state;
    m->random = 0x9e3779b97f4a7c15u;
    for (unsigned step = 0; step < 40000; step++) {
        /* In waves: it fills, and it empties. */
        bool fill = m->n == 0 || (m->n < MODEL_MAX && next_random(m, 100) < ((step / 3000) % 2 ? 40u : 60u));
        if (fill) {
            uint32_t before = table.mask, tag = random_tag(m), index = next_index++;
            assert_int_equal(pl_slot_table_reserve(&table, m->n + 1), 0);
            grown += table.mask != before;
            pl_slot_table_insert(&table, tag, index);
            m->tags[m->n] = tag;
            m->indexes[m->n++] = index;
            assert_true(holds(&table, tag, index));
        } else {
            size_t victim = next_random(m, (uint32_t)m->n);
            uint32_t tag = m->tags[victim], index = m->indexes[victim];
            pl_slot_table_remove(&table, tag, index);
            m->tags[victim] = m->tags[--m->n];
            m->indexes[victim] = m->indexes[m->n];
            assert_false(holds(&table, tag, index));
        }
        if (step % 211 == 0)
            check_same(&table, m);
    }
    check_same(&table, m);
    assert_true(grown >= 4); /* 64, 128, 256, 512 at least */
    while (m->n > 0) {
        m->n--;
        pl_slot_table_remove(&table, m->tags[m->n], m->indexes[m->n]);
    }
    for (uint32_t i = 0; i <= table.mask; i++)
        assert_int_equal(table.slots[i].value, 0);
    pl_slot_table_deinit(&table);
    test_free(m);
}

/* Slots 62, 63, 0, 1 are one cluster over the end of 64: each one is taken out in turn. */
static void test_removal_closes_the_gap_over_the_end(void **state)
{
    static const uint32_t tags[] = {62, 62, 63, 62, 0, 1, 63};
    enum { N = sizeof(tags) / sizeof(*tags) };

    (void)state;
    for (uint32_t out = 0; out < N; out++) {
        pl_slot_table table = {0};
        assert_int_equal(pl_slot_table_reserve(&table, N), 0);
        assert_int_equal(table.mask, 63);
        for (uint32_t i = 0; i < N; i++)
            pl_slot_table_insert(&table, tags[i], i);
        pl_slot_table_remove(&table, tags[out], out);
        check_shape(&table);
        for (uint32_t i = 0; i < N; i++)
            assert_int_equal(holds(&table, tags[i], i), i != out);
        pl_slot_table_deinit(&table);
    }
}

static void test_removal_moves_nobody_before_its_home(void **state)
{
    pl_slot_table table = {0};

    (void)state;
    assert_int_equal(pl_slot_table_reserve(&table, 3), 0);
    pl_slot_table_insert(&table, 10, 0);
    pl_slot_table_insert(&table, 11, 1); /* stands at home, right behind */
    pl_slot_table_insert(&table, 10, 2); /* stands at 12, wants to be at 10 */
    pl_slot_table_remove(&table, 10, 0);
    check_shape(&table);
    assert_true(holds(&table, 11, 1));
    assert_true(holds(&table, 10, 2));
    assert_int_equal(table.slots[11].value, 2);
    assert_int_equal(table.slots[10].value, 3);
    assert_int_equal(table.slots[12].value, 0);
    pl_slot_table_deinit(&table);
}

static void test_tags_that_share_a_home_are_told_apart(void **state)
{
    pl_slot_table table = {0};

    (void)state;
    assert_int_equal(pl_slot_table_reserve(&table, 2), 0);
    pl_slot_table_insert(&table, 5, 1);
    pl_slot_table_insert(&table, 5 + 64, 2);
    assert_true(holds(&table, 5, 1));
    assert_false(holds(&table, 5, 2));
    assert_true(holds(&table, 5 + 64, 2));
    assert_false(holds(&table, 5 + 64, 1));
    pl_slot_table_deinit(&table);
}

static void test_growth_keeps_everything(void **state)
{
    enum { N = 5000 };
    pl_slot_table table = {0};

    (void)state;
    for (uint32_t i = 0; i < N; i++) {
        assert_int_equal(pl_slot_table_reserve(&table, i + 1), 0);
        pl_slot_table_insert(&table, i * 2654435761u, i);
    }
    check_shape(&table);
    for (uint32_t i = 0; i < N; i++)
        assert_true(holds(&table, i * 2654435761u, i));
    uint32_t mask = table.mask;
    assert_int_equal(pl_slot_table_reserve(&table, N), 0); /* there is room already */
    assert_int_equal(pl_slot_table_reserve(&table, 1), 0); /* and it never shrinks */
    assert_int_equal(table.mask, mask);
    assert_int_equal(table.used, N);
    pl_slot_table_deinit(&table);
}

static void test_clear_keeps_the_room(void **state)
{
    pl_slot_table table = {0};

    (void)state;
    assert_int_equal(pl_slot_table_reserve(&table, 100), 0);
    for (uint32_t i = 0; i < 100; i++)
        pl_slot_table_insert(&table, i, i);
    size_t bytes = pl_slot_table_bytes(&table);
    pl_slot_table_clear(&table);
    assert_int_equal(table.used, 0);
    assert_int_equal(pl_slot_table_bytes(&table), bytes);
    for (uint32_t i = 0; i < 100; i++)
        assert_false(holds(&table, i, i));
    pl_slot_table_insert(&table, 3, 9);
    check_shape(&table);
    assert_true(holds(&table, 3, 9));
    pl_slot_table_deinit(&table);
}

static void test_all_zero_is_an_empty_table(void **state)
{
    pl_slot_table table = {0};
    uint32_t at = 5;

    (void)state;
    assert_int_equal(pl_slot_table_next(&table, 5, &at), PL_SLOT_NONE);
    assert_int_equal(pl_slot_table_bytes(&table), 0);
    pl_slot_table_clear(&table);
    pl_slot_table_deinit(&table);
    assert_int_equal(pl_slot_table_reserve(&table, 0), 0);
    pl_slot_table_deinit(&table);
    pl_slot_table_deinit(&table);
    assert_null(table.slots);
}

static void test_out_of_memory_leaves_the_table(void **state)
{
    pl_slot_table table = {0};

    (void)state;
    for (uint32_t n = 1; n <= 1000; n++) {
        const pl_slot_table before = table;
        pl_fault_arm(PL_FAULT_ALLOC, 1, ENOMEM);
        int rc = pl_slot_table_reserve(&table, n);
        bool fired = pl_fault_fired();
        pl_fault_disarm();
        assert_int_equal(rc, fired ? PL_ERR_NOMEM : 0);
        assert_memory_equal(&table, &before, sizeof(table));
        for (uint32_t i = 0; i + 1 < n; i += 7)
            assert_true(holds(&table, i * 31, i));
        assert_int_equal(pl_slot_table_reserve(&table, n), 0); /* there is memory again */
        pl_slot_table_insert(&table, (n - 1) * 31, n - 1);
    }
    check_shape(&table);
    assert_int_equal(table.used, 1000);
    pl_slot_table_deinit(&table);
}

static void test_more_than_indexes_can_count_is_refused(void **state)
{
    pl_slot_table table = {0};

    (void)state;
    assert_int_equal(pl_slot_table_reserve(&table, 10), 0);
    const pl_slot_table before = table;
    pl_fault_arm_from(PL_FAULT_ALLOC, 1, ENOMEM); /* not even asked for */
    int rc = pl_slot_table_reserve(&table, ((size_t)1 << 31) + 1);
    bool fired = pl_fault_fired();
    pl_fault_disarm();
    assert_int_equal(rc, PL_ERR_NOMEM);
    assert_false(fired);
    assert_memory_equal(&table, &before, sizeof(table));
    pl_slot_table_deinit(&table);
}

static void test_aligned_memory(void **state)
{
    static const size_t sizes[] = {1, 63, 64, 65, 4096, (2u << 20) - 1, 2u << 20, (2u << 20) + 1};

    (void)state;
    for (size_t i = 0; i < sizeof(sizes) / sizeof(*sizes); i++) {
        unsigned char *memory = pl_aligned_new(sizes[i]);
        assert_non_null(memory);
        assert_int_equal((uintptr_t)memory % (sizes[i] >= (2u << 20) ? 2u << 20 : 64), 0);
        memory[0] = memory[sizes[i] - 1] = 7;
        free(memory);
        pl_fault_arm(PL_FAULT_ALLOC, 1, ENOMEM);
        memory = pl_aligned_new(sizes[i]);
        pl_fault_disarm();
        assert_null(memory);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_random_walk_equals_a_list),
        cmocka_unit_test(test_removal_closes_the_gap_over_the_end),
        cmocka_unit_test(test_removal_moves_nobody_before_its_home),
        cmocka_unit_test(test_tags_that_share_a_home_are_told_apart),
        cmocka_unit_test(test_growth_keeps_everything),
        cmocka_unit_test(test_clear_keeps_the_room),
        cmocka_unit_test(test_all_zero_is_an_empty_table),
        cmocka_unit_test(test_out_of_memory_leaves_the_table),
        cmocka_unit_test(test_more_than_indexes_can_count_is_refused),
        cmocka_unit_test(test_aligned_memory),
    };

    return cmocka_run_group_tests_name("slot_table", tests, NULL, NULL);
}

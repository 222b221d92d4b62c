/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Linear probing with backward-shift deletion, so that there are no tombstones and a table that churns stays as fast as
 * a new one. Owns the slots, nothing that they point at.
 *
 * Invariants: at most half of the slots are used; the home of a slot is its tag, so moving it needs no key.
 */
#include "src/file/slot_table.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "src/base/error.h"

#define SLOTS_MIN 64u
#define LINE ((size_t)64)
#define HUGE_PAGE ((size_t)2 << 20)

void *pl_aligned_new(size_t size)
{
    size_t unit = size >= HUGE_PAGE ? HUGE_PAGE : LINE;
    size_t rounded = (size + LINE - 1) & ~(LINE - 1);
    void *memory = aligned_alloc(unit, unit == LINE ? rounded : (size + unit - 1) & ~(unit - 1));

    if (memory && unit == HUGE_PAGE)
        (void)madvise(memory, size & ~(HUGE_PAGE - 1), MADV_HUGEPAGE); /* a wish: it works without, slower */
    return memory;
}

void pl_slot_table_deinit(pl_slot_table *table)
{
    free(table->slots);
    *table = (pl_slot_table){0};
}

size_t pl_slot_table_bytes(const pl_slot_table *table)
{
    return table->slots ? ((size_t)table->mask + 1) * sizeof(pl_slot) : 0;
}

void pl_slot_table_clear(pl_slot_table *table)
{
    if (table->slots)
        memset(table->slots, 0, pl_slot_table_bytes(table));
    table->used = 0;
}

int pl_slot_table_reserve(pl_slot_table *table, size_t n)
{
    size_t have = table->slots ? (size_t)table->mask + 1 : 0, want = have ? have : SLOTS_MIN;

    while (want < 2 * n)
        want *= 2;
    if (want == have)
        return 0;
    if (want - 1 > UINT32_MAX)
        return pl_error_nomem();
    pl_slot_table grown = {.slots = pl_aligned_new(want * sizeof(pl_slot)), .mask = (uint32_t)(want - 1)};
    if (!grown.slots)
        return pl_error_nomem();
    memset(grown.slots, 0, want * sizeof(pl_slot));
    for (size_t i = 0; i < have; i++)
        if (table->slots[i].value)
            pl_slot_table_insert(&grown, table->slots[i].tag, table->slots[i].value - 1);
    free(table->slots);
    *table = grown;
    return 0;
}

void pl_slot_table_insert(pl_slot_table *table, uint32_t tag, uint32_t index)
{
    uint32_t at = tag & table->mask;

    assert(table->used <= table->mask / 2);
    while (table->slots[at].value)
        at = (at + 1) & table->mask;
    table->slots[at] = (pl_slot){.tag = tag, .value = index + 1};
    table->used++;
}

void pl_slot_table_remove(pl_slot_table *table, uint32_t tag, uint32_t index)
{
    uint32_t hole = tag & table->mask;

    while (table->slots[hole].value != index + 1) {
        assert(table->slots[hole].value != 0);
        hole = (hole + 1) & table->mask;
    }
    /* Whoever stands behind the hole and has its home at or before it moves into it. */
    for (uint32_t at = (hole + 1) & table->mask; table->slots[at].value; at = (at + 1) & table->mask) {
        uint32_t home = table->slots[at].tag & table->mask;
        if (((at - home) & table->mask) >= ((at - hole) & table->mask)) {
            table->slots[hole] = table->slots[at];
            hole = at;
        }
    }
    table->slots[hole] = (pl_slot){0};
    table->used--;
}

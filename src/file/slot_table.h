/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Open addressing from a 32-bit tag to an index into an array of the owner's: eight bytes a slot, so that a lookup among
 * 100,000 costs one cache line here and one there (uthash follows three pointers). The owner compares the keys; the
 * table never sees them. Used by file_cache.c alone, whose lock it needs.
 */
#ifndef PL_FILE_SLOT_TABLE_H
#define PL_FILE_SLOT_TABLE_H

#include <stddef.h>
#include <stdint.h>

#define PL_SLOT_NONE UINT32_MAX

typedef struct pl_slot {
    uint32_t tag;
    uint32_t value; /* index + 1; 0: free */
} pl_slot;

typedef struct pl_slot_table {
    pl_slot *slots; /* NULL: none yet */
    uint32_t mask;  /* slots - 1 */
    uint32_t used;
} pl_slot_table; /* all zero is empty, and deinit takes it */

void pl_slot_table_deinit(pl_slot_table *table);
/* Room for n in all, never more than half full. 0, or PL_ERR_NOMEM with the table as it was. */
int pl_slot_table_reserve(pl_slot_table *table, size_t n);
/* There must be room. */
void pl_slot_table_insert(pl_slot_table *table, uint32_t tag, uint32_t index);
/* It must be there. */
void pl_slot_table_remove(pl_slot_table *table, uint32_t tag, uint32_t index);
void pl_slot_table_clear(pl_slot_table *table);
size_t pl_slot_table_bytes(const pl_slot_table *table);

/* Walks the indexes stored under tag: start with *at = tag, call until PL_SLOT_NONE. */
static inline uint32_t pl_slot_table_next(const pl_slot_table *table, uint32_t tag, uint32_t *at)
{
    if (!table->slots)
        return PL_SLOT_NONE;
    for (;;) {
        const pl_slot *slot = &table->slots[(*at)++ & table->mask];
        if (slot->value == 0)
            return PL_SLOT_NONE;
        if (slot->tag == tag)
            return slot->value - 1;
    }
}

/* Memory for `size` bytes on cache-line bounds; huge pages where it is large enough to profit: a random access to
 * megabytes of small pages costs a TLB miss besides the cache miss. NULL: none. Freed with free(). */
void *pl_aligned_new(size_t size);

#endif

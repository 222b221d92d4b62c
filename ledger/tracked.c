/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The set of tracked paths. Owns the entries, one heap block each, an array of them, two slot tables over its indexes
 * (by path and mount namespace; by device and inode, where several paths share a tag) and a binary heap by due_ns.
 *
 * Invariants: an entry's `at` is its index in the array; `by_inode` says whether it has an inode slot; an entry is in
 * the heap when it is due at all. Room for one more in all four is reserved before anything is added, so that adding
 * happens wholly or not at all.
 */
#include "ledger/tracked.h"

#include "src/base/error.h"
#include "src/base/mix.h"
#include "src/file/slot_table.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#define ROOM_MIN 64
#define NOT_DUE UINT32_MAX
/* Names of one inode that are found by it. Somebody may make a hundred thousand links to a file and run each: those
 * beyond are found by path alone, or every step through them would be a long one. */
#define NAMES_MAX 64u

struct pl_tracked_set {
    pl_tracked **list;
    pl_tracked **heap;
    uint32_t count, room, due;
    pl_slot_table by_path, by_inode;
    size_t bytes; /* of entries */
};

int pl_tracked_set_new(pl_tracked_set **out)
{
    pl_tracked_set *set = calloc(1, sizeof(*set));

    if (!set)
        return pl_error_nomem();
    *out = set;
    return 0;
}

static size_t bytes_of(const pl_tracked *one)
{
    return sizeof(*one) + strlen(one->path) + 1 + (one->container ? strlen(one->container) + 1 : 0);
}

static void entry_free(pl_tracked *one)
{
    free(one->container);
    free(one);
}

pl_tracked_set *pl_tracked_set_free(pl_tracked_set *set)
{
    if (!set)
        return NULL;
    for (uint32_t i = 0; i < set->count; i++)
        entry_free(set->list[i]);
    pl_slot_table_deinit(&set->by_path);
    pl_slot_table_deinit(&set->by_inode);
    free(set->list);
    free(set->heap);
    free(set);
    return NULL;
}

size_t pl_tracked_count(const pl_tracked_set *set)
{
    return set->count;
}

size_t pl_tracked_bytes(const pl_tracked_set *set)
{
    return sizeof(*set) + set->bytes + 2 * set->room * sizeof(pl_tracked *) + pl_slot_table_bytes(&set->by_path) +
           pl_slot_table_bytes(&set->by_inode);
}

static uint32_t tag_of_path(const char *path, uint64_t mnt_ns)
{
    return (uint32_t)pl_mix_bytes(path, strlen(path), mnt_ns);
}

static uint32_t tag_of_inode(const pl_identity *i)
{
    return (uint32_t)pl_mix(i->inode ^ UINT64_C(0xa0761d6478bd642f),
                            ((uint64_t)i->dev_major << 32 | i->dev_minor) ^ UINT64_C(0xe7037ed1a0b428db));
}

pl_tracked *pl_tracked_find(const pl_tracked_set *set, const char *path, uint64_t mnt_ns)
{
    uint32_t tag = tag_of_path(path, mnt_ns);

    for (uint32_t at = tag, i; (i = pl_slot_table_next(&set->by_path, tag, &at)) != PL_SLOT_NONE;)
        if (set->list[i]->mnt_ns == mnt_ns && strcmp(set->list[i]->path, path) == 0)
            return set->list[i];
    return NULL;
}

/* ---- the heap ---- */

static void heap_put(pl_tracked_set *set, uint32_t at, pl_tracked *one)
{
    set->heap[at] = one;
    one->heap_at = at;
}

static void heap_up(pl_tracked_set *set, uint32_t at, pl_tracked *one)
{
    while (at > 0 && set->heap[(at - 1) / 2]->due_ns > one->due_ns) {
        heap_put(set, at, set->heap[(at - 1) / 2]);
        at = (at - 1) / 2;
    }
    heap_put(set, at, one);
}

static void heap_down(pl_tracked_set *set, uint32_t at, pl_tracked *one)
{
    for (uint32_t child; (child = 2 * at + 1) < set->due; at = child) {
        if (child + 1 < set->due && set->heap[child + 1]->due_ns < set->heap[child]->due_ns)
            child++;
        if (set->heap[child]->due_ns >= one->due_ns)
            break;
        heap_put(set, at, set->heap[child]);
    }
    heap_put(set, at, one);
}

static void heap_remove(pl_tracked_set *set, pl_tracked *one)
{
    uint32_t at = one->heap_at;
    pl_tracked *last = set->heap[--set->due];

    one->heap_at = NOT_DUE;
    if (last == one)
        return;
    if (at > 0 && set->heap[(at - 1) / 2]->due_ns > last->due_ns)
        heap_up(set, at, last);
    else
        heap_down(set, at, last);
}

void pl_tracked_set_due(pl_tracked_set *set, pl_tracked *one, int64_t due_ns)
{
    if (one->heap_at != NOT_DUE)
        heap_remove(set, one);
    one->due_ns = due_ns;
    if (due_ns != PL_NEVER)
        heap_up(set, set->due++, one);
}

pl_tracked *pl_tracked_first_due(const pl_tracked_set *set)
{
    return set->due ? set->heap[0] : NULL;
}

/* ---- the list and its indexes ---- */

static int reserve(pl_tracked_set *set)
{
    int rc = pl_slot_table_reserve(&set->by_path, set->count + 1);

    if (rc == 0)
        rc = pl_slot_table_reserve(&set->by_inode, set->count + 1);
    if (rc < 0 || set->count < set->room)
        return rc;
    uint32_t room = set->room ? 2 * set->room : ROOM_MIN;
    pl_tracked **list = realloc(set->list, room * sizeof(*list));
    if (!list)
        return pl_error_nomem();
    set->list = list;
    pl_tracked **heap = realloc(set->heap, room * sizeof(*heap));
    if (!heap)
        return pl_error_nomem();
    set->heap = heap;
    set->room = room;
    return 0;
}

int pl_tracked_add(pl_tracked_set *set, const char *path, uint64_t mnt_ns, const char *container, pl_tracked **out)
{
    size_t length = strlen(path) + 1;
    int rc = reserve(set);

    if (rc < 0)
        return rc;
    pl_tracked *one = calloc(1, sizeof(*one) + length);
    if (!one)
        return pl_error_nomem();
    if (container && !(one->container = strdup(container))) {
        free(one);
        return pl_error_nomem();
    }
    memcpy(one->path, path, length);
    one->mnt_ns = mnt_ns;
    one->due_ns = PL_NEVER;
    one->heap_at = NOT_DUE;
    one->path_tag = tag_of_path(path, mnt_ns);
    one->at = set->count++;
    set->list[one->at] = one;
    pl_slot_table_insert(&set->by_path, one->path_tag, one->at);
    set->bytes += bytes_of(one);
    *out = one;
    return 0;
}

static void leave_slots(pl_tracked_set *set, const pl_tracked *one)
{
    pl_slot_table_remove(&set->by_path, one->path_tag, one->at);
    if (one->by_inode)
        pl_slot_table_remove(&set->by_inode, one->inode_tag, one->at);
}

void pl_tracked_remove(pl_tracked_set *set, pl_tracked *one)
{
    pl_tracked *last = set->list[set->count - 1];

    assert(!one->reading && !one->waiting);
    pl_tracked_set_due(set, one, PL_NEVER);
    leave_slots(set, one);
    if (last != one) {
        leave_slots(set, last);
        last->at = one->at;
        set->list[last->at] = last;
        pl_slot_table_insert(&set->by_path, last->path_tag, last->at);
        if (last->by_inode)
            pl_slot_table_insert(&set->by_inode, last->inode_tag, last->at);
    }
    set->count--;
    set->bytes -= bytes_of(one);
    entry_free(one);
}

void pl_tracked_set_identity(pl_tracked_set *set, pl_tracked *one, const pl_identity *identity)
{
    uint32_t walk = 0, names = 0;

    if (one->by_inode)
        pl_slot_table_remove(&set->by_inode, one->inode_tag, one->at);
    one->identity = *identity;
    one->inode_tag = tag_of_inode(identity);
    while (identity->inode && names < NAMES_MAX && pl_tracked_of_inode(set, identity, &walk))
        names++;
    one->by_inode = identity->inode && names < NAMES_MAX;
    if (one->by_inode)
        pl_slot_table_insert(&set->by_inode, one->inode_tag, one->at);
}

pl_tracked *pl_tracked_of_inode(const pl_tracked_set *set, const pl_identity *inode, uint32_t *walk)
{
    uint32_t tag = tag_of_inode(inode);

    /* The walk is kept as a distance, so that 0 is its beginning whatever the tag is. */
    for (uint32_t at = tag + *walk, i; (i = pl_slot_table_next(&set->by_inode, tag, &at)) != PL_SLOT_NONE;) {
        const pl_identity *other = &set->list[i]->identity;
        *walk = at - tag;
        if (other->inode == inode->inode && other->dev_major == inode->dev_major &&
            other->dev_minor == inode->dev_minor)
            return set->list[i];
    }
    return NULL;
}

pl_tracked *pl_tracked_at(const pl_tracked_set *set, size_t i)
{
    return set->list[i];
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A counting map. Owns its keys. Bounded by the batch that it counts.
 */
#include "ledger/store/tally.h"

#include <stdlib.h>
#include <string.h>

#include "src/base/mix.h"

#define HASH_NONFATAL_OOM 1
#define HASH_FUNCTION(key, length, hash) ((hash) = (unsigned)pl_mix_bytes((key), (length), 0))
#include <uthash.h>

#include "src/base/error.h"

typedef struct entry {
    UT_hash_handle hh;
    pl_tally_count count;
    char key[];
} entry;

struct pl_tally {
    entry *entries;
};

int pl_tally_new(pl_tally **out)
{
    pl_tally *tally = calloc(1, sizeof(*tally));

    if (!tally)
        return pl_error_nomem();
    *out = tally;
    return 0;
}

pl_tally *pl_tally_free(pl_tally *tally)
{
    if (tally) {
        pl_tally_clear(tally);
        free(tally);
    }
    return NULL;
}

void pl_tally_clear(pl_tally *tally)
{
    entry *e, *next;

    HASH_ITER (hh, tally->entries, e, next) {
        HASH_DEL(tally->entries, e);
        free(e);
    }
}

int pl_tally_add(pl_tally *tally, const void *key, size_t length, int64_t time)
{
    entry *e = NULL;

    HASH_FIND(hh, tally->entries, key, length, e);
    if (e) {
        e->count.count++;
        e->count.first = time < e->count.first ? time : e->count.first;
        e->count.last = time > e->count.last ? time : e->count.last;
        return 0;
    }
    e = malloc(sizeof(*e) + length);
    if (!e)
        return pl_error_nomem();
    e->count = (pl_tally_count){1, time, time};
    memcpy(e->key, key, length);
    HASH_ADD_KEYPTR(hh, tally->entries, e->key, length, e);
    if (!e->hh.tbl) {
        free(e);
        return pl_error_nomem();
    }
    return 0;
}

int pl_tally_each(const pl_tally *tally,
                  int (*each)(void *context, const void *key, size_t length, const pl_tally_count *count),
                  void *context)
{
    int rc = 0;

    for (entry *e = tally->entries; rc == 0 && e; e = e->hh.next)
        rc = each(context, e->key, e->hh.keylen, &e->count);
    return rc;
}

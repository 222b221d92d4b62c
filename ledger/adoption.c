/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A map from pid to the execution that it goes on with. Owns the entries and their paths; writes no row.
 *
 * Invariant: one entry a pid, the one with the greatest eid that was entered for it.
 */
#include "ledger/adoption.h"

#include "src/base/cleanup.h"
#include "src/base/error.h"

#include <string.h>

#define HASH_NONFATAL_OOM 1
#include <uthash.h>

typedef struct entry {
    pl_adopted adopted; /* key: its pid */
    UT_hash_handle hh;
} entry;

struct pl_adoption {
    entry *entries;
};

int pl_adoption_new(pl_adoption **out)
{
    pl_adoption *adoption = calloc(1, sizeof(*adoption));

    if (!adoption)
        return pl_error_nomem();
    *out = adoption;
    return 0;
}

static void take_out(pl_adoption *adoption, entry *e, pl_adopted *out)
{
    HASH_DEL(adoption->entries, e);
    *out = e->adopted;
    free(e);
}

pl_adoption *pl_adoption_free(pl_adoption *adoption)
{
    pl_adopted adopted;

    if (!adoption)
        return NULL;
    while (pl_adoption_take_any(adoption, &adopted))
        free(adopted.path);
    free(adoption);
    return NULL;
}

int64_t pl_adoption_add(pl_adoption *adoption, const pl_adopted *adopted)
{
    entry *old = NULL;
    int64_t older = 0;

    HASH_FIND(hh, adoption->entries, &adopted->pid, sizeof(adopted->pid), old);
    if (old && old->adopted.eid > adopted->eid)
        return adopted->eid;
    entry *e = calloc(1, sizeof(*e));
    if (!e)
        return 0;
    e->adopted = *adopted;
    e->adopted.path = adopted->path ? strdup(adopted->path) : NULL;
    if (old) {
        pl_adopted gone;
        take_out(adoption, old, &gone);
        free(gone.path);
        older = gone.eid;
    }
    HASH_ADD(hh, adoption->entries, adopted.pid, sizeof(e->adopted.pid), e);
    if (!e->hh.tbl) {
        free(e->adopted.path);
        free(e);
    }
    return older;
}

int pl_adoption_take(pl_adoption *adoption, pid_t pid, uint64_t start_ticks, pl_adopted *out)
{
    entry *e = NULL;

    HASH_FIND(hh, adoption->entries, &pid, sizeof(pid), e);
    if (!e || e->adopted.start_ticks != start_ticks)
        return 0;
    take_out(adoption, e, out);
    return 1;
}

int pl_adoption_take_any(pl_adoption *adoption, pl_adopted *out)
{
    if (!adoption->entries)
        return 0;
    take_out(adoption, adoption->entries, out);
    return 1;
}

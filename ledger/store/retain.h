/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What goes, and when: executions past their time or beyond the size of the file, versions that nobody saw for a day,
 * rows that nothing refers to any more, and the pages that all this frees. In steps so small that the writer never
 * stands still. Internal to ledger/store; the writer thread's.
 */
#ifndef PL_STORE_RETAIN_H
#define PL_STORE_RETAIN_H

#include "ledger/store/append.h"

typedef struct pl_retain pl_retain;

typedef struct pl_retain_limits {
    int64_t retain_ns, path_ttl_ns;
    uint64_t max_db_size;
    unsigned min_free_percent;
    int64_t step_rows; /* at most so many rows of a kind a step; 0: 2,000 */
} pl_retain_limits;

int pl_retain_new(const pl_retain_limits *limits, pl_retain **out);
pl_retain *pl_retain_free(pl_retain *retain);
/* One step, one transaction. 1: there is more to do now; 0: done for this time; negative: failed, nothing changed.
 * *deleted grows by the executions that went. Clears the interned ids when rows that they name may have gone. Without
 * FILE.lock (somebody else sweeps) it answers 0. */
int pl_retain_step(pl_retain *retain, pl_append *append, int64_t now_ns, uint64_t *deleted);

#endif

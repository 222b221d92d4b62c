/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A run of records and the transaction that writes it. Internal to ledger/store; the writer thread's.
 */
#ifndef PL_STORE_BATCH_H
#define PL_STORE_BATCH_H

#include "ledger/store/record.h"

typedef struct pl_batch {
    pl_record *first, *last;
    size_t count, bytes;
} pl_batch;

/* What a committed batch held. */
typedef struct pl_batch_result {
    uint64_t executions, forks, ends, sightings;
    uint64_t rejected; /* records that cannot be stored whatever is tried */
    int64_t max_eid;   /* 0: no execution */
} pl_batch_result;

/* What was lost before this batch, to be told in its transaction; lost 0: nothing. */
typedef struct pl_batch_loss {
    uint64_t lost;
    int64_t since_ns, until_ns;
    const char *reason;
} pl_batch_loss;

void pl_batch_put(pl_batch *batch, pl_record *record);
pl_record *pl_batch_take(pl_batch *batch); /* NULL: empty */
/* Lets executions carry the hashes and ends of the same batch. May be skipped (no memory): then they are updates. */
void pl_batch_fold(pl_batch *batch);
/* One transaction. Can be repeated after a failure, which leaves nothing behind. */
int pl_batch_write(const pl_batch *batch, pl_append *append, const pl_batch_loss *loss, int64_t now_ns,
                   pl_batch_result *result);

#endif

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Counters of one batch, by key, so that a row that counts is written once a batch and not once an execution. Internal
 * to ledger/store; the writer thread's.
 */
#ifndef PL_STORE_TALLY_H
#define PL_STORE_TALLY_H

#include <stddef.h>
#include <stdint.h>

typedef struct pl_tally pl_tally;

typedef struct pl_tally_count {
    int64_t count, first, last; /* times in the unit of the caller */
} pl_tally_count;

int pl_tally_new(pl_tally **out);
pl_tally *pl_tally_free(pl_tally *tally);
void pl_tally_clear(pl_tally *tally);
int pl_tally_add(pl_tally *tally, const void *key, size_t length, int64_t time);
/* each answers 0 to go on; anything else ends it and is returned. */
int pl_tally_each(const pl_tally *tally,
                  int (*each)(void *context, const void *key, size_t length, const pl_tally_count *count),
                  void *context);

#endif

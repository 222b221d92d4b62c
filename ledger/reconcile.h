/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Brings what is remembered and what is true together, all of it: at the start, with the rows that earlier runs left;
 * after events were lost; and, at an unhurried pace, always, for what no event tells of. Each step is bounded. The
 * tracker's thread calls.
 */
#ifndef PL_LEDGER_RECONCILE_H
#define PL_LEDGER_RECONCILE_H

#include "ledger/revisit.h"

typedef struct pl_reconcile pl_reconcile;

typedef struct pl_reconcile_options {
    pl_tracked_set *set; /* all four: not owned */
    pl_revisit *revisit;
    pl_resolve *resolve;
    pl_writer *writer; /* NULL: nothing is recorded */
    const pl_clock *clock;
    const pl_log *log;
    uint64_t mnt_ns;           /* our own */
    int64_t path_ttl_ns;       /* 0: one day */
    const char *const *ignore; /* paths that are not taken up again, NULL-ended; not owned; NULL: none */
} pl_reconcile_options;

int pl_reconcile_new(const pl_reconcile_options *options, pl_reconcile **out);
/* A gap that is open is written. */
pl_reconcile *pl_reconcile_free(pl_reconcile *reconcile);
/* Anything may have happened since since_ns (boottime) without an event: everything is looked at, and the gap (reason:
 * static) ends when that is done. */
void pl_reconcile_lost(pl_reconcile *reconcile, int64_t since_ns, const char *reason);
/* Something may have happened to many paths at once (a mount): everything is looked at. No gap. */
void pl_reconcile_hurry(pl_reconcile *reconcile);
/* A bounded part of what is to be done now. Returns the boottime of the next step; now or earlier: at once. */
int64_t pl_reconcile_step(pl_reconcile *reconcile);
/* The rows of earlier runs are in the set. */
bool pl_reconcile_loaded(const pl_reconcile *reconcile);

#endif

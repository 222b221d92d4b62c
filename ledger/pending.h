/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Executions that wait for their hash: from the moment it is asked for until the recorder's thread has seen the answer.
 * The row is completed at once, by whichever thread has the answer; what the recorder keeps in memory follows through a
 * descriptor. Everything but pl_pending_done belongs to the recorder's thread.
 */
#ifndef PL_LEDGER_PENDING_H
#define PL_LEDGER_PENDING_H

#include "ledger/resolve.h"

typedef struct pl_pending pl_pending;

typedef struct pl_waiting {
    pl_pending *pending; /* where it belongs */
    int64_t eid, time_ns;
    pid_t pid, ppid;
    uint32_t uid;
    char *path, *argv; /* for the listener; heap, NULL: not kept */
    size_t argv_length;
    bool quiet;       /* nothing for the listener */
    bool script;      /* the hash is that of its script */
    pl_answer answer; /* once it is done */
    struct pl_waiting *next;
} pl_waiting;

/* writer: borrowed, for the hashes of rows. */
int pl_pending_new(pl_writer *writer, pl_pending **out);
/* Nothing may be asked for any more: resolve drained or freed. NULL safe, returns NULL. */
pl_pending *pl_pending_free(pl_pending *pending);
/* NULL: out of memory. */
pl_waiting *pl_waiting_new(pl_pending *pending, int64_t eid);
pl_waiting *pl_waiting_free(pl_waiting *waiting);

/* Hands the file behind *pin (taken) to resolve, and the waiting execution with it. What cannot be asked is answered as
 * unreadable: the next execution of the file tries again. */
void pl_pending_ask(pl_waiting *waiting, pl_resolve *resolve, int *pin, const pl_place *place);
/* The answer, on any thread: completes the row and queues the waiting execution for pl_pending_take. A pl_answer_fn. */
void pl_pending_done(void *waiting, const pl_answer *answer);
/* Readable when something is done. */
int pl_pending_fd(const pl_pending *pending);
/* All that is done, in order, linked by next; the caller frees each. */
pl_waiting *pl_pending_take(pl_pending *pending);

#endif

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Looks at one tracked path again and does what follows: watches it, drops what the memory has of it, has it read when
 * it rests, ends its version when it is gone. A look never waits: it walks what the kernel remembers and asks no server;
 * what cannot be looked at like this, and every read, is a worker's. The tracker's thread calls.
 */
#ifndef PL_LEDGER_REVISIT_H
#define PL_LEDGER_REVISIT_H

#include "ledger/inbox.h"
#include "ledger/namespaces.h"
#include "ledger/resolve.h"
#include "ledger/tracked.h"
#include "src/file/watcher.h"

#define PL_REVISIT_SOON_NS (INT64_C(50) * PL_NS_PER_MS) /* from an event to the look: what follows it joins it */

typedef struct pl_revisit pl_revisit;

typedef struct pl_revisit_options {
    pl_tracked_set *set; /* all five: not owned */
    pl_resolve *resolve;
    pl_namespaces *namespaces;
    pl_inbox *inbox;     /* poked when a read has ended */
    pl_watcher *watcher; /* NULL: none to be had */
    const pl_clock *clock;
    size_t limit; /* paths; 0: 65,536 */
} pl_revisit_options;

typedef struct pl_revisit_stats {
    uint64_t looks, reads, changed, vanished, unstable, crowded_out;
    uint64_t work_total, work_done; /* files that the start had to look at, and has */
} pl_revisit_stats;

int pl_revisit_new(const pl_revisit_options *options, pl_revisit **out);
/* After resolve is freed: its last answers come here. */
pl_revisit *pl_revisit_free(pl_revisit *revisit);

/* The entry of path, made if it is not there; over the limit the one that was seen longest ago, of a few, makes room.
 * *added may be NULL. NULL: out of memory. */
pl_tracked *pl_revisit_admit(pl_revisit *revisit, const char *path, uint64_t mnt_ns, const char *container,
                             bool *added);
/* Part of the work of the start, until its first look has come to an end. */
void pl_revisit_count(pl_revisit *revisit, pl_tracked *one);
/* May remove it. */
void pl_revisit_look(pl_revisit *revisit, pl_tracked *one);
/* Those that are due. Returns the boottime of the next one, PL_NEVER: none. */
int64_t pl_revisit_look_at_due(pl_revisit *revisit);
/* Reads that have ended, and those that waited for a worker. */
void pl_revisit_collect(pl_revisit *revisit);
/* What the inode shows is no longer what is remembered of it: an event. */
void pl_revisit_touch_inode(pl_revisit *revisit, const pl_watch_key *key);
/* No longer tracked, if nobody reads it: its watch and what the memory has of the path go. */
void pl_revisit_forget(pl_revisit *revisit, pl_tracked *one);
void pl_revisit_stats_get(const pl_revisit *revisit, pl_revisit_stats *out);

#endif

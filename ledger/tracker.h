/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Keeps the history of tracked paths true between two executions: hears from resolve which paths are known, watches
 * their inodes, and has what changed read again. procledgerd's alone: the watcher is one a process.
 *
 * One thread owns a tracker and turns it; `told` calls come from any thread.
 */
#ifndef PL_LEDGER_TRACKER_H
#define PL_LEDGER_TRACKER_H

#include "ledger/resolve.h"
#include "src/file/watcher.h"

typedef struct pl_tracker pl_tracker;

typedef struct pl_tracker_options {
    pl_resolve *resolve; /* not owned; the tracker becomes its listener, and is freed after it */
    pl_writer *writer;   /* not owned; NULL: nothing is recorded */
    pl_watcher *watcher; /* taken over on success; NULL: none to be had, the clock alone finds what changed */
    const pl_clock *clock;
    const pl_log *log;
    const char *procfs; /* "/proc" */
    uint64_t mnt_ns;    /* our own mount namespace; 0: not known */
    int64_t path_ttl_ns;
    const char *const *folders; /* watched folders, NULL-ended; NULL: none */
    bool default_folders;       /* they are the system's: one that is missing is no news */
    const char *const *ignore;  /* not owned */
    size_t limit;               /* paths; 0: 65,536 */
} pl_tracker_options;

typedef struct pl_tracker_stats {
    uint64_t tracked;                              /* paths, now */
    uint64_t watches, watches_refused;             /* now; ever */
    uint64_t overflows;                            /* queue overflows and renewed instances */
    uint64_t changed, vanished, unstable;          /* found by looks */
    uint64_t reads, looks, dropped /* messages */; /* dropped: not heard of until they are executed again */
    uint64_t work_total, work_done; /* files that the start has to look at: rows of earlier runs, watched folders */
    bool settled;                   /* all rows and folders were gone through, and all that work is done */
} pl_tracker_stats;

int pl_tracker_new(const pl_tracker_options *options, pl_tracker **out);
/* Its thread has ended, and resolve is freed. NULL safe, returns NULL. */
pl_tracker *pl_tracker_free(pl_tracker *tracker);

/* Whatever there is to do, once. wait: first until there is something. Negative: poll(2) failed. */
int pl_tracker_turn(pl_tracker *tracker, bool wait);
/* Turns until pl_tracker_stop. For a thread of its own; context is the tracker. */
void *pl_tracker_run(void *context);

/* Any thread. */
void pl_tracker_stop(pl_tracker *tracker);
/* A process lives in a mount namespace: the way to its paths. */
void pl_tracker_living(pl_tracker *tracker, uint64_t mnt_ns, pid_t pid);
void pl_tracker_stats_get(pl_tracker *tracker, pl_tracker_stats *out);

#endif

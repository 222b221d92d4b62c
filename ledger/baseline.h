/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The watched folders: every program that lies in one of them, or that a link in it leads to, is tracked from the start,
 * and a new one from the moment that it appears. Sub-folders are not entered. The tracker's thread calls, apart from new
 * and free.
 */
#ifndef PL_LEDGER_BASELINE_H
#define PL_LEDGER_BASELINE_H

#include "ledger/revisit.h"

typedef struct pl_baseline pl_baseline;

typedef struct pl_baseline_options {
    const char *const *folders; /* NULL-ended; NULL: none. Strings are copied */
    bool quiet;                 /* one that is not there is no news */
    const char *const *ignore;  /* fnmatch patterns over the path, NULL-ended; not owned; NULL: none */
    pl_tracked_set *set;        /* as the next two: not owned */
    pl_revisit *revisit;
    pl_watcher *watcher; /* NULL: none to be had */
    uint64_t mnt_ns;     /* our own */
    const pl_clock *clock;
    const pl_log *log;
} pl_baseline_options;

int pl_baseline_new(const pl_baseline_options *options, pl_baseline **out);
pl_baseline *pl_baseline_free(pl_baseline *baseline);
/* All folders are gone through again, and watched again where they are not. */
void pl_baseline_scan(pl_baseline *baseline);
/* A bounded part of it. Returns the boottime of the next step; now or earlier: at once. */
int64_t pl_baseline_step(pl_baseline *baseline);
/* All folders were gone through once. */
bool pl_baseline_scanned(const pl_baseline *baseline);
/* Something happened to the inode of `key`. False: it is none of the folders; else it was moved or is gone, and what has
 * its name now is looked for. */
bool pl_baseline_touched(pl_baseline *baseline, const pl_watch_key *key);
/* `name` appeared in the folder of `key`. */
void pl_baseline_entry(pl_baseline *baseline, const pl_watch_key *key, const char *name);

#endif

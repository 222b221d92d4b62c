/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Hash workers: a bounded queue of open descriptors, N threads at low CPU and I/O priority, single flight by identity.
 * The lease probe itself runs at normal priority (a stopped holder blocks writers); only the reading is idle work.
 * A worker that makes no progress (FUSE, dead NFS: open, statx, read and close can each hang) is given up after
 * stall_ns: its job answers PL_UNREADABLE with ETIMEDOUT and another worker takes its place, up to a limit; it takes up
 * work again should the call ever come back. Calls: any thread. Callbacks: on a worker's or the monitor's thread.
 */
#ifndef PL_FILE_HASHER_H
#define PL_FILE_HASHER_H

#include "src/base/log.h"
#include "src/file/probe.h"

typedef struct pl_hasher pl_hasher;

typedef struct pl_hasher_options {
    unsigned workers;     /* 0: one a core */
    unsigned max_stalled; /* workers that may hang at one time and be replaced; 0: 8. More: the queue is refused */
    size_t queue_limit;   /* jobs waiting; 0: 4,096 */
    int64_t stall_ns;     /* without progress for this long a worker counts as hung; 0: 30 s */
    bool low_priority;    /* nice 19 and idle-class I/O while reading (daemon); false: caller's own (sum) */
    /* cancel, notify and their context are the hasher's own */
    pl_prober_options prober;
    const pl_log *log;
} pl_hasher_options;

typedef struct pl_hasher_stats {
    uint64_t files_hashed, bytes_hashed, failures, joined /* by single flight */, refused /* queue full */, stalled;
    uint64_t waiting, running; /* now */
} pl_hasher_stats;

/*
 * A job asks first, on the worker, whether somebody already knows this identity (the ledger): true: *result is filled
 * and nothing is read. Then reads, then calls done exactly once, also for jobs that never ran because of
 * pl_hasher_free (outcome PL_PENDING). `fd` belongs to the job from a successful submit on and is closed by it: either
 * O_PATH, which pins a file without asking its file system anything and is opened by the worker, or a readable
 * descriptor of the caller's own description. -1: the worker walks `path` itself, where it may hang.
 */
typedef struct pl_hash_job {
    int fd;
    const char *path; /* with fd -1, else NULL; copied */
    int root_fd; /* with a path: O_PATH descriptor of the root that it is seen from, -1: our own; as fd, the job's */
    uint32_t algorithms; /* 0: default */
    bool urgent;         /* goes before those that are not */
    bool force;          /* do not ask known(), do not join a running job: a re-read is wanted */
    /* Files that must not be opened (see pl_pin_named); may be NULL. Returns how many. */
    size_t (*forbidden)(void *context, pl_identity *out, size_t n);
    bool (*known)(void *context, const pl_identity *identity, int fd, pl_probe_result *result);
    void (*done)(void *context, const pl_probe_result *result, bool was_known);
    void *context;
} pl_hash_job;

int pl_hasher_new(const pl_hasher_options *options, pl_hasher **out);
/* Finishes running jobs, answers waiting ones with PL_PENDING; hung workers are abandoned (detached). NULL safe. */
pl_hasher *pl_hasher_free(pl_hasher *hasher);
/* 0: taken. PL_ERR_QUEUE_FULL (also when every worker hangs), PL_ERR_NOMEM: not taken, fd still the caller's, done will
 * not be called. */
int pl_hasher_submit(pl_hasher *hasher, const pl_hash_job *job);
void pl_hasher_stats_get(pl_hasher *hasher, pl_hasher_stats *out);
/* Waits until nothing waits or runs, hung workers apart. */
void pl_hasher_drain(pl_hasher *hasher);

#endif

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The hot process table: pid -> the image it runs. One thread owns it (the recorder's); no I/O: aliveness is
 * asked through a callback, the time is an argument. Behaviours after SEED-BEHAVIOURS.md; each has its test.
 *
 * Invariants: a pid names at most one live entry, and (pid, start_ticks) is what it is; events that are older
 * than the entry's image never replace it; the path entry of the file cache is not ours and outlives us.
 */
#ifndef PL_PROCESS_PROCESS_TABLE_H
#define PL_PROCESS_PROCESS_TABLE_H

#include "src/file/digest.h"
#include "src/process/image.h"

typedef struct pl_process_table pl_process_table;

typedef struct pl_process {
    pid_t pid, ppid;
    uint64_t start_ticks;
    int64_t exec_boottime_ns; /* of the image; 0: snapshot */
    int64_t eid;              /* execution row of the image; 0: none yet */
    int64_t prev_eid;         /* the image before it in the same process */
    int64_t parent_eid;       /* image that ran in the parent when this process was forked (or seen first) */
    bool forked;              /* runs its parent's image, never executed anything itself */
    int64_t fork_id;          /* row in process_forks, 0: not written */
    int64_t fork_boottime_ns; /* when it was forked; 0: not known */
    char *path;               /* of the image; "" for kernel threads and what could not be read */
    char *script_path;        /* that the image interprets, so that it counts as seen while this runs; NULL: none */
    uint64_t mnt_ns;
    bool has_identity;
    pl_identity identity;
    bool has_digest;
    pl_digest_set digests; /* a process keeps its checksum for life: bound to the executed identity, not to the path */
    int64_t last_seen_ns;  /* boottime; moves with every find */
    int64_t exited_ns;     /* boottime of the exit event; 0: runs */
} pl_process;

typedef struct pl_process_table_options {
    int64_t pid_ttl_ns;    /* no exit seen and not alive: dropped after this; 0: 3,600 s */
    int64_t exit_delay_ns; /* 0: 2 s */
    size_t limit;          /* entries; 0: 1 << 20 */
    /* that very process (pid, start) is there and no zombie */
    bool (*alive)(void *context, pid_t pid, uint64_t start_ticks);
    void *context;
} pl_process_table_options;

typedef enum pl_update {
    PL_UPDATE_ADDED = 0,
    PL_UPDATE_REPLACED = 1,  /* another image in the same process: prev_eid links them */
    PL_UPDATE_REUSED = 2,    /* the pid belongs to another process now; the old one was dropped */
    PL_UPDATE_UNCHANGED = 3, /* same image: nothing new */
    PL_UPDATE_STALE = 4,     /* older than what is known: ignored */
    PL_UPDATE_IGNORED = 5,   /* no path, or a kernel thread: kept by pid without path and digest */
} pl_update;

int pl_process_table_new(const pl_process_table_options *options, pl_process_table **out);
pl_process_table *pl_process_table_free(pl_process_table *table);

/* Enters an executed (or, in a snapshot, running) image. The entry copies what it needs. Returns a pl_update,
 * or negative. *out (may be NULL) is the table's own entry, valid until the next call that changes the table. */
int pl_process_table_exec(pl_process_table *table, const pl_image *image, int64_t now_ns, pl_process **out);
/* A fork: the child runs its parent's image (path, identity, digest, eid inherited). */
int pl_process_table_fork(pl_process_table *table, pid_t child, pid_t parent, int64_t at_boottime_ns, pl_process **out);
/* Marks the exit; the entry goes at a sweep exit_delay later if that very process is gone. NULL: unknown pid. */
pl_process *pl_process_table_exit(pl_process_table *table, pid_t pid, int64_t at_boottime_ns);
/* Finding touches last_seen. NULL: not there. */
pl_process *pl_process_table_find(pl_process_table *table, pid_t pid, int64_t now_ns);
/* Any live process of that path and namespace, its digest included: "reuse without reading" for a child of
 * the same binary still goes through the file cache by identity. NULL: none; kernel threads and empty paths
 * are never found. */
pl_process *pl_process_table_find_path(pl_process_table *table, const char *path, uint64_t mnt_ns, int64_t now_ns);
/* The image differs from what is known for pid: other path, or same path and other identity, or unknown pid. */
bool pl_process_table_needs_update(pl_process_table *table, pid_t pid, const pl_image *image);
/* Gives one process the digests, if it runs exactly this identity: the way of every execution, whose cost must not grow
 * with the number of processes that run the same file. False: it runs something else, or has another content already. */
bool pl_process_take_digest(pl_process *process, const pl_identity *identity, const pl_digest_set *digests);
/* Gives every process that runs exactly this identity its digests. Returns how many. Never overwrites one
 * that is set with another content: a process keeps its checksum for life; digests of more algorithms are
 * merged in. */
size_t pl_process_table_set_digest(pl_process_table *table, const pl_identity *identity, const pl_digest_set *digests);
/* Drops a pid on request, but only if that very process is gone; returns true if dropped. */
bool pl_process_table_remove(pl_process_table *table, pid_t pid);
/* Exits past their delay and TTLs. dropped (may be NULL) sees each entry before it goes. Returns how many
 * went. */
size_t pl_process_table_sweep(pl_process_table *table, int64_t now_ns,
                              void (*dropped)(void *context, const pl_process *process), void *context);
/* Every entry, any order; the callback must not change the table. */
void pl_process_table_each(pl_process_table *table, void (*each)(void *context, pl_process *process), void *context);
/* Parents nearest first up to pid 1: fills at most n pids, returns how many. Bounded against cycles. */
size_t pl_process_table_ancestors(pl_process_table *table, pid_t pid, pid_t *out, size_t n);
size_t pl_process_table_count(const pl_process_table *table); /* live entries: not exited */

#endif

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Descriptors of executed files, from fanotify (FAN_OPEN_EXEC): the kernel hands over a file that is being executed,
 * which can be read when the process is dead and the name is gone; nobody is held up by it. Each open for execution
 * gives one: of a script, of its interpreter, of the ELF interpreter, in this order.
 *
 * One thread's. Never blocks. Owns the descriptors until they are claimed; at most `limit` of them, for one second.
 */
#ifndef PL_PROCESS_PINNER_H
#define PL_PROCESS_PINNER_H

#include "src/base/clock.h"
#include "src/base/log.h"
#include "src/file/kernel_key.h"

#include <stdbool.h>
#include <sys/types.h>

typedef struct pl_pinner pl_pinner;

typedef struct pl_pinner_options {
    const char *procfs; /* "/proc" */
    const pl_clock *clock;
    const pl_log *log;
    size_t limit; /* descriptors held; 0: 1,024 */
} pl_pinner_options;

typedef struct pl_pinner_stats {
    uint64_t held;                       /* now */
    uint64_t events, claimed, unclaimed; /* unclaimed: closed after a second, or because there were too many */
    uint64_t overflows;                  /* of the kernel's queue */
    uint64_t quiet;                      /* inodes that were asked to be silent */
    uint64_t marks;                      /* file systems */
} pl_pinner_stats;

/* Marks every mounted local file system. PL_ERR_PERMISSION (CAP_SYS_ADMIN), PL_ERR_UNSUPPORTED, PL_ERR_SYSTEM. */
int pl_pinner_new(const pl_pinner_options *options, pl_pinner **out);
pl_pinner *pl_pinner_free(pl_pinner *pinner);
/* For poll(2): readable when there is something to take. */
int pl_pinner_fd(const pl_pinner *pinner);
/* Takes all that the kernel has queued; beyond the limit the oldest descriptors go. */
void pl_pinner_read(pl_pinner *pinner);
/* The descriptor that pid opened to execute this very inode, readable, the caller's; *identity is of it. Takes from the
 * kernel's queue what it needs for that: whoever has been told of an exec finds its descriptors. -1: none. */
int pl_pinner_claim(pl_pinner *pinner, pid_t pid, const pl_kernel_key *key, pl_identity *identity);
/* The first one that pid opened, if it is not that inode: the script of an exec of key. -1: none. */
int pl_pinner_claim_script(pl_pinner *pinner, pid_t pid, const pl_kernel_key *key, pl_identity *identity);
/* Nothing more of pid's last exec is wanted. known: the executed inode needs no descriptor until it is written to. */
void pl_pinner_settle(pl_pinner *pinner, pid_t pid, const pl_kernel_key *key, bool known);
/* Closes what nobody claimed. */
void pl_pinner_expire(pl_pinner *pinner);
/* The file system that a process sees at its root is marked, if it is not yet (a mount in its own namespace). */
void pl_pinner_mark_root(pl_pinner *pinner, pid_t pid);
/* Looks for file systems that were mounted since. */
void pl_pinner_mark_mounts(pl_pinner *pinner);
/* Readable with POLLPRI when mounts changed. -1: not known. */
int pl_pinner_mounts_fd(const pl_pinner *pinner);
void pl_pinner_stats_get(const pl_pinner *pinner, pl_pinner_stats *out);

#endif

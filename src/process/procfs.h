/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Reads one process out of /proc, quickly and in the order in which things vanish: exe and cmdline first.
 * Every read goes through one pinned /proc/PID directory, so that a reused pid cannot mix two processes. The
 * root of /proc is a parameter. A process that dies between two reads leaves a partly filled image and
 * outcome PL_VANISHED. Any thread; owns nothing between calls.
 */
#ifndef PL_PROCESS_PROCFS_H
#define PL_PROCESS_PROCFS_H

#include "src/process/image.h"

typedef struct pl_procfs {
    const char *root;  /* "/proc"; not owned */
    size_t argv_limit; /* bytes kept of the command line; more sets PL_IMAGE_ARGV_CUT; 0: 65,536 */
    bool pin;          /* pin executable and script (image->exe_fd, script_fd), else only the identity is taken */
} pl_procfs;

/* /proc/PID/stat, the fields that are used. */
typedef struct pl_proc_stat {
    char name[64];
    char state; /* 'Z', 'X': gone as far as we care */
    pid_t pid, ppid;
    uint32_t flags; /* PF_KTHREAD 0x200000 */
    uint32_t tty_nr;
    uint64_t start_ticks;
    uint64_t start_stack; /* where its stack begins: another one after each exec (address randomisation), the
                        parent's after a fork, untouched when a process renames itself; 0: not ours to see */
} pl_proc_stat;

/* The least that tells whether a process runs another image than before. */
typedef struct pl_proc_glance {
    pl_proc_stat stat;
    bool has_identity; /* of the executable; only device, inode and btime tell images apart */
    pl_identity identity;
    uint64_t argv_hash; /* of the command line, when there is no start_stack to go by; else 0 */
} pl_proc_glance;

/* 0, PL_VANISHED (no such process, or it died on the way: what was read until then is there), or negative. */
int pl_procfs_read_image(const pl_procfs *procfs, pid_t pid, pl_image *out);
/* 0, PL_VANISHED or negative. */
int pl_procfs_read_stat(const pl_procfs *procfs, pid_t pid, pl_proc_stat *out);
/* The same with the executable's identity, which is not opened. For polling. */
int pl_procfs_glance(const pl_procfs *procfs, pid_t pid, pl_proc_glance *out);
/* That very process lives: same start, no zombie. start_ticks 0: any. */
bool pl_procfs_is_alive(const pl_procfs *procfs, pid_t pid, uint64_t start_ticks);
/* Calls each for every pid in /proc, in the kernel's order; each returns nonzero to stop. 0, that value, or
 * negative. */
int pl_procfs_each_pid(const pl_procfs *procfs, int (*each)(void *context, pid_t pid), void *context);

/* A name that ends in " (deleted)" is stripped only when the inode it names is another one than the executed
 * one (or none): a file really called so is kept. Exposed for its tests. */
bool pl_procfs_strip_deleted(char *path, const pl_identity *executed);

#endif

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * "Taking a hash", steps 3 to 7 of the never-stale protocol, on one open descriptor: statx, writer probe by a read
 * lease, one read, statx again, racy window. Whatever can hang, hangs here: worker threads only.
 */
#ifndef PL_FILE_PROBE_H
#define PL_FILE_PROBE_H

#include "src/base/clock.h"
#include "src/file/digest.h"
#include "src/file/identity.h"

#include <stdatomic.h>

/* Why a hash that was taken must not be cached. */
typedef enum pl_uncached_reason {
    PL_CACHEABLE = 0,
    PL_UNCACHED_WRITER,   /* EAGAIN: somebody has it open for writing, or holds a writable mapping */
    PL_UNCACHED_NO_LEASE, /* EACCES, EINVAL: the probe could not be made */
    PL_UNCACHED_TIER,     /* tier C, or an overlay that cannot be written back: on tmpfs, say */
    PL_UNCACHED_UNLINKED, /* nlink == 0 */
    PL_UNCACHED_YOUNG,    /* inside the racy window: read again after retry_ns */
    PL_UNCACHED_FUTURE,   /* ctime or mtime lies in the future */
} pl_uncached_reason;

typedef struct pl_probe_result {
    int outcome; /* 0, PL_VANISHED, PL_UNREADABLE, PL_TOO_BIG, PL_UNSTABLE, PL_NOT_REGULAR */
    int error;   /* errno behind PL_UNREADABLE and PL_VANISHED, else 0 */
    pl_assurance assurance;
    pl_uncached_reason uncached;
    int64_t retry_ns; /* with PL_UNCACHED_YOUNG: a read this much later can be cached */
    pl_identity identity;
    pl_file_system fs;
    pl_digest_set digests; /* when outcome == 0 */
    int64_t hashed_ns;     /* wall clock at S1 */
    uint64_t bytes_read;   /* of all tries */
} pl_probe_result;

/* Where a run is, for an owner that sets priorities and looks for workers that hang (hasher.c). */
typedef enum pl_probe_event {
    PL_PROBE_PROBING, /* S1 and the writer probe come next: normal priority */
    PL_PROBE_READING, /* the reading comes next: may be idle work */
    PL_PROBE_STEP,    /* a call that may hang has come back */
} pl_probe_event;

typedef struct pl_prober pl_prober; /* one thread's: a digester, a buffer, the settings */

typedef struct pl_prober_options {
    const pl_clock *clock;     /* not owned; NULL: the system's */
    uint32_t algorithms;       /* default mask */
    uint64_t max_file_size;    /* 0: no limit */
    int lease_signal;          /* F_SETSIG; 0: SIGURG, which is ignored by default */
    bool fine_grained_times;   /* pl_kernel_has_fine_grained_times() */
    const atomic_bool *cancel; /* NULL, or: give up between blocks when it becomes true (outcome PL_PENDING) */
    /* Called between S1's probe and the first read, for tests that interleave writers. NULL in the product. */
    void (*before_read)(void *context);
    void (*before_s2)(void *context);
    void *hook_context;
    /* NULL, or: called at each event. After each PL_PROBE_STEP `cancel` is looked at before anything else of the
     * options is touched, so that a run that hung may outlive its options. */
    void (*notify)(void *context, pl_probe_event event);
    void *notify_context;
} pl_prober_options;

int pl_prober_new(const pl_prober_options *options, pl_prober **out);
pl_prober *pl_prober_free(pl_prober *prober);
/* fd: readable, of our own open file description (never a received one); offset untouched, not closed.
 * algorithms 0: the default mask. 0 with result filled, or negative (memory, OpenSSL) with result untouched. */
int pl_prober_run(pl_prober *prober, int fd, uint32_t algorithms, pl_probe_result *result);

/* O_RDONLY|O_NONBLOCK|O_NOCTTY|O_CLOEXEC and checks: a regular file, not one of the ledger's own (forbidden, n).
 * Never opens what is no regular file (a first O_PATH look decides, then /proc/self/fd/N is opened).
 * *outcome: 0 or PL_VANISHED, PL_UNREADABLE, PL_NOT_REGULAR; *error its errno: EPERM for a forbidden file, EISDIR for a
 * directory, ELOOP for a symbolic link not followed, EINVAL for what else is not regular. Returns fd or -1. */
int pl_pin_open(int dir_fd, const char *path, bool follow, const pl_identity *forbidden, size_t n, int *outcome,
                int *error);
/* The same for a descriptor of unknown origin (also O_PATH is refused, as PL_UNREADABLE): re-opened, so that the
 * description is ours. */
int pl_pin_reopen(int fd, const pl_identity *forbidden, size_t n, int *outcome, int *error);
/* The same for an O_PATH descriptor that we opened ourselves to pin a file: opened for reading. */
int pl_pin_named(int fd, const pl_identity *forbidden, size_t n, int *outcome, int *error);

/* An O_PATH descriptor of path as seen from root_fd (an O_PATH descriptor of a process's root; -1: our own root). Walks
 * like open(2), so it may hang: worker threads only. -1 with errno. */
int pl_pin_below(int root_fd, const char *path);

/* An O_PATH descriptor of path, found in what the kernel remembers alone, for threads that must not wait for a file
 * system (RESOLVE_CACHED, kernel 5.12; older ones: an ordinary walk); what memory cannot say is looked up within the
 * file system of dir_fd if that is local. flags: beside O_PATH and O_CLOEXEC; resolve: of
 * openat2(2). -1 with errno. */
int pl_pin_walk(int dir_fd, const char *path, int flags, uint64_t resolve);

#endif

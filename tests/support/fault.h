/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Countdown injection: the n-th call of a wrapped function fails. The product has no hook for it: the linker
 * redirects its calls (--wrap) in test programs only. Counting is atomic; a test arms, runs a whole operation, disarms.
 *
 *     for (unsigned n = 1; pl_fault_arm(PL_FAULT_ALLOC, n, ENOMEM); n++) {
 *         int rc = whole_operation();
 *         if (!pl_fault_fired())      // ran through without reaching the n-th call: done
 *             break;
 *         ... rc is an error, nothing leaked, outputs untouched ...
 *     }
 *     pl_fault_disarm();
 */
#ifndef PL_TESTS_FAULT_H
#define PL_TESTS_FAULT_H

#include <stdbool.h>

typedef enum pl_fault_kind {
    PL_FAULT_ALLOC, /* malloc, calloc, realloc, aligned_alloc, strdup, strndup */
    PL_FAULT_OPEN,  /* open, openat, socket, eventfd */
    PL_FAULT_READ,  /* read, pread, recvmsg */
    PL_FAULT_WRITE, /* write, pwrite, fsync, fdatasync, ftruncate, rename, mkdir */
    PL_FAULT_STAT,  /* statx, fstatfs */
    PL_FAULT_FCNTL,
    PL_FAULT_THREAD, /* pthread_create */
} pl_fault_kind;

/* From now on the n-th (1 = next) call of that kind fails once with errnum. Always true, for the loop above. */
bool pl_fault_arm(pl_fault_kind kind, unsigned n, int errnum);
/* Every call from the n-th on fails, until disarmed. */
void pl_fault_arm_from(pl_fault_kind kind, unsigned n, int errnum);
bool pl_fault_fired(void);
void pl_fault_disarm(void);

#endif

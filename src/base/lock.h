/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A mutex that the event loop takes: whoever holds it runs at the priority of the most urgent one who waits. The loop is
 * a real-time thread and its partners are not; without inheritance a hash worker that lost its core would hold it up for
 * as long as anything else wants to run.
 */
#ifndef PL_BASE_LOCK_H
#define PL_BASE_LOCK_H

#include <pthread.h>
#include <stdbool.h>

/* lend: the priority is lent, which makes taking the lock some 10 ns dearer; else an ordinary mutex. */
static inline void pl_lock_init(pthread_mutex_t *lock, bool lend)
{
    pthread_mutexattr_t attributes;

    (void)pthread_mutexattr_init(&attributes);
    if (lend)
        (void)pthread_mutexattr_setprotocol(&attributes, PTHREAD_PRIO_INHERIT);
    if (pthread_mutex_init(lock, &attributes) != 0) /* a kernel without PI futexes */
        (void)pthread_mutex_init(lock, NULL);
    (void)pthread_mutexattr_destroy(&attributes);
}

#endif

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The progress line: one thread that wakes five times a second, asks for the bytes that were read and rewrites one
 * line on stderr, beginning a second after the start. Owns the thread; pause wipes the line, stop joins the thread too.
 * Invariant: while paused nothing of it is on the terminal. It starts paused.
 */
#include "tools/procledger/sum.h"

#include <pthread.h>
#include <stdlib.h>
#include <time.h>

#include "src/base/clock.h"

#define FIRST_NS PL_NS_PER_S
#define NEXT_NS (200 * PL_NS_PER_MS)

struct pl_progress {
    pl_summer *summer; /* borrowed */
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    bool stop, paused, shown; /* guarded by lock */
};

static void add_ns(struct timespec *t, int64_t ns)
{
    int64_t sum = t->tv_nsec + ns;

    t->tv_sec += sum / PL_NS_PER_S;
    t->tv_nsec = sum % PL_NS_PER_S;
}

static void *run(void *context)
{
    struct pl_progress *p = context;
    struct timespec until;

    (void)clock_gettime(CLOCK_MONOTONIC, &until);
    add_ns(&until, FIRST_NS);
    pthread_mutex_lock(&p->lock);
    while (!p->stop) {
        if (pthread_cond_timedwait(&p->changed, &p->lock, &until) == 0)
            continue; /* stop, or a spurious wake-up: the loop looks */
        if (!p->paused) {
            (void)fprintf(stderr, "\r\033[K%.1f MiB read", (double)pl_summer_bytes(p->summer) / (1024 * 1024));
            p->shown = true;
        }
        add_ns(&until, NEXT_NS);
    }
    pthread_mutex_unlock(&p->lock);
    return NULL;
}

struct pl_progress *pl_progress_start(pl_summer *summer)
{
    struct pl_progress *p = calloc(1, sizeof(*p));
    pthread_condattr_t attributes;

    if (!p)
        return NULL; /* a progress line is not worth failing for */
    p->summer = summer;
    p->paused = true;
    (void)pthread_mutex_init(&p->lock, NULL);
    (void)pthread_condattr_init(&attributes);
    (void)pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    (void)pthread_cond_init(&p->changed, &attributes);
    (void)pthread_condattr_destroy(&attributes);
    if (pthread_create(&p->thread, NULL, run, p) != 0) {
        (void)pthread_cond_destroy(&p->changed);
        (void)pthread_mutex_destroy(&p->lock);
        free(p);
        return NULL;
    }
    return p;
}

static void wipe(struct pl_progress *p)
{
    if (p->shown)
        (void)fputs("\r\033[K", stderr);
    p->shown = false;
}

void pl_progress_resume(struct pl_progress *p)
{
    if (!p)
        return;
    pthread_mutex_lock(&p->lock);
    p->paused = false;
    pthread_mutex_unlock(&p->lock);
}

void pl_progress_pause(struct pl_progress *p)
{
    if (!p)
        return;
    pthread_mutex_lock(&p->lock);
    p->paused = true;
    wipe(p);
    pthread_mutex_unlock(&p->lock);
}

struct pl_progress *pl_progress_stop(struct pl_progress *p)
{
    if (!p)
        return NULL;
    pthread_mutex_lock(&p->lock);
    p->stop = true;
    pthread_cond_signal(&p->changed);
    pthread_mutex_unlock(&p->lock);
    (void)pthread_join(p->thread, NULL);
    wipe(p);
    (void)pthread_cond_destroy(&p->changed);
    (void)pthread_mutex_destroy(&p->lock);
    free(p);
    return NULL;
}

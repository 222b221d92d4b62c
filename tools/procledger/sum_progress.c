/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The progress line: one thread that wakes five times a second, asks the handle for its counters and rewrites one
 * line on stderr, beginning a second after the start. Owns the thread; stop joins it and wipes the line.
 */
#include "tools/procledger/sum.h"

#include <inttypes.h>
#include <stdlib.h>
#include <time.h>

#include "src/base/clock.h"

#define FIRST_NS PL_NS_PER_S
#define NEXT_NS (200 * PL_NS_PER_MS)

struct pl_progress {
    pl_ledger *ledger; /* borrowed */
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    bool stop, shown; /* guarded by lock */
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
        pl_stats stats = {.struct_size = sizeof(stats)};
        if (pl_stats_get(p->ledger, &stats) == 0) {
            (void)fprintf(stderr, "\r\033[K%" PRIu64 " files read, %.1f MiB", stats.files_hashed,
                          (double)stats.bytes_hashed / (1024 * 1024));
            p->shown = true;
        }
        add_ns(&until, NEXT_NS);
    }
    pthread_mutex_unlock(&p->lock);
    return NULL;
}

struct pl_progress *pl_progress_start(pl_ledger *ledger)
{
    struct pl_progress *p = calloc(1, sizeof(*p));
    pthread_condattr_t attributes;

    if (!p)
        return NULL; /* a progress line is not worth failing for */
    p->ledger = ledger;
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

struct pl_progress *pl_progress_stop(struct pl_progress *p)
{
    if (!p)
        return NULL;
    pthread_mutex_lock(&p->lock);
    p->stop = true;
    pthread_cond_signal(&p->changed);
    pthread_mutex_unlock(&p->lock);
    (void)pthread_join(p->thread, NULL);
    if (p->shown)
        (void)fputs("\r\033[K", stderr);
    (void)pthread_cond_destroy(&p->changed);
    (void)pthread_mutex_destroy(&p->lock);
    free(p);
    return NULL;
}

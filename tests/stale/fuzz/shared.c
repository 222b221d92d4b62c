/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Shared memory, barrier, counters. Owns no file and knows neither what is done to files nor who is asked.
 *
 * Invariant of the barrier: `frozen` is set before `parked` is read, and a mutator looks at `frozen` again after it has
 * left `parked`; so one that was counted as parked cannot go on before the thaw.
 */
#include "tests/stale/fuzz/shared.h"

#include <linux/futex.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define ATTENTION 48 /* mutations until it goes to another file */
#define SMALL_LEAST 1024
#define SMALL_MOST 65536
#define MIB (UINT64_C(1) << 20)
#define FREEZE_NS (INT64_C(120) * 1000000000) /* only a mutator that died or hangs takes longer */

fuzz_shared *fuzz_shared_new(const fuzz_options *options)
{
    static const uint64_t big[FUZZ_BIG] = {MIB, 2 * MIB, 3 * MIB, 9 * MIB}; /* the last one is read ahead */
    fuzz_shared *s = mmap(NULL, sizeof(*s) + options->files * sizeof(s->slots[0]), PROT_READ | PROT_WRITE,
                          MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    fuzz_random random = options->seed ^ UINT64_C(0x51d3);

    if (s == MAP_FAILED)
        return NULL;
    s->options = *options;
    s->start_ns = fuzz_now_ns();
    for (unsigned i = 0; i < options->files; i++) {
        uint64_t size = SMALL_LEAST + fuzz_below(&random, SMALL_MOST - SMALL_LEAST);
        if (i % 2)
            size = (size + 4095) & ~UINT64_C(4095);
        bool is_big = i + FUZZ_BIG >= options->files;
        s->slots[i].size = is_big ? big[i + FUZZ_BIG - options->files] : size;
        s->slots[i].direct = !is_big && i % 4 == 3;
    }
    return s;
}

int64_t fuzz_now_ns(void)
{
    struct timespec now = {0};

    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

void fuzz_pause(void)
{
    struct timespec pause = {.tv_nsec = 100000};

    (void)nanosleep(&pause, NULL);
}

bool fuzz_end(fuzz_shared *s, int why)
{
    int running = FUZZ_RUNNING;

    return atomic_compare_exchange_strong(&s->ending, &running, why);
}

void fuzz_wait(atomic_uint *word, unsigned value)
{
    struct timespec most = {.tv_nsec = 20000000};

    (void)syscall(SYS_futex, word, FUTEX_WAIT, value, &most, NULL, 0);
}

void fuzz_wake(atomic_uint *word)
{
    (void)syscall(SYS_futex, word, FUTEX_WAKE, INT32_MAX, NULL, NULL, 0);
}

void fuzz_park(fuzz_shared *s)
{
    while (atomic_load(&s->frozen)) {
        atomic_fetch_add(&s->parked, 1);
        fuzz_wake(&s->parked);
        while (atomic_load(&s->frozen))
            fuzz_wait(&s->frozen, 1);
        atomic_fetch_sub(&s->parked, 1);
    }
}

void fuzz_park_for_good(fuzz_shared *s)
{
    atomic_fetch_add(&s->parked, 1);
    fuzz_wake(&s->parked);
}

bool fuzz_freeze(fuzz_shared *s)
{
    int64_t until = fuzz_now_ns() + FREEZE_NS;

    atomic_store(&s->frozen, 1);
    for (;;) {
        unsigned parked = atomic_load(&s->parked);
        if (parked == s->options.mutators)
            break;
        if (!fuzz_running(s))
            return false;
        if (fuzz_now_ns() > until) {
            fprintf(stderr, "fuzz_stale: a mutator does not come to the barrier\n");
            (void)fuzz_end(s, FUZZ_TROUBLE);
            return false;
        }
        fuzz_wait(&s->parked, parked);
    }
    atomic_fetch_add(&s->freezes, 1);
    return fuzz_running(s);
}

void fuzz_thaw(fuzz_shared *s)
{
    atomic_store(&s->frozen, 0);
    fuzz_wake(&s->frozen);
}

bool fuzz_quiet(fuzz_slot *slot, uint64_t *at)
{
    uint64_t ended = atomic_load(&slot->ended); /* first: what is begun by then and ended is not under way */

    *at = atomic_load(&slot->begun);
    return ended == *at;
}

bool fuzz_still_quiet(fuzz_slot *slot, uint64_t at)
{
    atomic_thread_fence(memory_order_seq_cst);
    return atomic_load(&slot->begun) == at;
}

void fuzz_path(const fuzz_shared *s, unsigned slot, bool link, char out[static 4096])
{
    (void)snprintf(out, 4096, "%s/%s/%04u", s->options.dir, link ? "links" : "files", slot);
}

unsigned fuzz_attention(const fuzz_shared *s)
{
    fuzz_random random = s->options.seed + atomic_load(&s->mutations) / ATTENTION;
    unsigned small = s->options.files - FUZZ_BIG;

    return fuzz_percent(&random, 40) ? small + fuzz_below(&random, FUZZ_BIG) : fuzz_below(&random, small);
}

uint64_t fuzz_next(fuzz_random *random)
{
    uint64_t z = *random += UINT64_C(0x9e3779b97f4a7c15);

    z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
    return z ^ z >> 31;
}

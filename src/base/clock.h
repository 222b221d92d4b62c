/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The two clocks of the ledger, as a parameter, so that tests turn them. Reading is safe from any thread.
 */
#ifndef PL_BASE_CLOCK_H
#define PL_BASE_CLOCK_H

#include <stdint.h>

#define PL_NS_PER_S INT64_C(1000000000)
#define PL_NS_PER_MS INT64_C(1000000)
#define PL_BOOT_ID_SIZE 37 /* 36 characters and a NUL */

typedef struct pl_clock {
    int64_t (*realtime_ns)(void *context); /* since the epoch, UTC */
    int64_t (*boottime_ns)(void *context); /* since boot, suspend included */
    void *context;
} pl_clock;

const pl_clock *pl_clock_system(void);

static inline int64_t pl_clock_realtime_ns(const pl_clock *clock)
{
    return clock->realtime_ns(clock->context);
}

static inline int64_t pl_clock_boottime_ns(const pl_clock *clock)
{
    return clock->boottime_ns(clock->context);
}

/* PROC_ROOT/sys/kernel/random/boot_id. 0, or PL_ERR_SYSTEM with out untouched. */
int pl_boot_id_read(const char *proc_root, char out[PL_BOOT_ID_SIZE]);

#endif

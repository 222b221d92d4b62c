/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The clock that a test turns: two atomics behind the pl_clock interface. Owns nothing else; never moves by
 * itself. */
#include "tests/support/fake_clock.h"

static int64_t fake_realtime(void *context)
{
    return atomic_load(&((pl_fake_clock *)context)->realtime_ns);
}

static int64_t fake_boottime(void *context)
{
    return atomic_load(&((pl_fake_clock *)context)->boottime_ns);
}

void pl_fake_clock_init(pl_fake_clock *fake, int64_t realtime_ns, int64_t boottime_ns)
{
    fake->clock = (pl_clock){.realtime_ns = fake_realtime, .boottime_ns = fake_boottime, .context = fake};
    atomic_store(&fake->realtime_ns, realtime_ns);
    atomic_store(&fake->boottime_ns, boottime_ns);
}

void pl_fake_clock_advance(pl_fake_clock *fake, int64_t ns)
{
    atomic_fetch_add(&fake->realtime_ns, ns);
    if (ns > 0)
        atomic_fetch_add(&fake->boottime_ns, ns);
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A clock that a test turns. Atomic, so that threads of the code under test may read while the test turns it. */
#ifndef PL_TESTS_FAKE_CLOCK_H
#define PL_TESTS_FAKE_CLOCK_H

#include "src/base/clock.h"

#include <stdatomic.h>

typedef struct pl_fake_clock {
    pl_clock clock; /* pass &fake.clock */
    _Atomic int64_t realtime_ns, boottime_ns;
} pl_fake_clock;

void pl_fake_clock_init(pl_fake_clock *fake, int64_t realtime_ns, int64_t boottime_ns);
/* Both clocks forward (or, realtime only, back when negative). */
void pl_fake_clock_advance(pl_fake_clock *fake, int64_t ns);

#endif

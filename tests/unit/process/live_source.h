/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A source that listens to the kernel, and what it told. Where it cannot be had a case says so and is skipped. */
#ifndef PL_TESTS_LIVE_SOURCE_H
#define PL_TESTS_LIVE_SOURCE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "src/base/error.h"
#include "src/process/source.h"
#include "tests/support/temp_dir.h"
#include "tests/unit/process/recorded.h"

typedef struct fixture {
    char *dir;
    recorded recorded;
    pl_source_options options;
    pl_source *source;
} fixture;

static inline int set_up(void **state)
{
    fixture *f = test_calloc(1, sizeof(*f));

    f->dir = pl_temp_dir_new();
    f->options = (pl_source_options){.procfs = {.root = "/proc", .pin = true},
                                     .clock = pl_clock_system(),
                                     .event = recorded_event,
                                     .context = &f->recorded};
    *state = f;
    return 0;
}

static inline int tear_down(void **state)
{
    fixture *f = *state;

    recorded_clear(&f->recorded);
    if (f->source)
        assert_null(f->source->class->close(f->source));
    pl_temp_dir_free(f->dir);
    test_free(f);
    return 0;
}

static inline void open_or_skip(fixture *f, const pl_source_class *class)
{
    int rc = class->open(&f->options, &f->source);

    if (rc == PL_ERR_UNSUPPORTED || rc == PL_ERR_PERMISSION) {
        print_message("%s\n", pl_error_message());
        skip();
    }
    assert_int_equal(rc, 0);
}

static inline const pl_event *wait_for(fixture *f, pl_event_kind kind, pid_t pid, size_t i)
{
    const pl_event *event;

    while (!(event = recorded_find(&f->recorded, kind, pid, i)))
        assert_int_equal(recorded_turn(f->source), 0);
    return event;
}

#endif

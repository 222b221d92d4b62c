/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What a source delivered, kept for looking at. reallocarray: the faults of tests/support/fault.h do not
 * reach it. */
#ifndef PL_TESTS_RECORDED_H
#define PL_TESTS_RECORDED_H

#include <assert.h>
#include <poll.h>
#include <stdlib.h>

#include "src/process/source.h"

typedef struct recorded {
    pl_event *events; /* image: memory of its own, moved out of the source's */
    size_t n, size;
    bool keep_descriptors;
} recorded;

static inline void recorded_event(void *context, pl_event *event)
{
    recorded *r = context;

    if (r->n == r->size) {
        r->size = r->size ? r->size * 2 : 64;
        r->events = reallocarray(r->events, r->size, sizeof(*r->events));
        assert(r->events);
    }
    pl_event *kept = &r->events[r->n++];
    *kept = *event;
    if (event->image) {
        kept->image = reallocarray(NULL, 1, sizeof(*kept->image));
        assert(kept->image);
        pl_image_move(kept->image, event->image);
        if (!r->keep_descriptors && kept->image->exe_fd >= 0) {
            (void)close(kept->image->exe_fd);
            kept->image->exe_fd = -1;
        }
    }
}

static inline void recorded_clear(recorded *r)
{
    for (size_t i = 0; i < r->n; i++) {
        if (r->events[i].image) {
            pl_image_deinit(r->events[i].image);
            free(r->events[i].image);
        }
    }
    free(r->events);
    *r = (recorded){0};
}

/* The i-th event of that kind and number, or NULL. */
static inline const pl_event *recorded_find(const recorded *r, pl_event_kind kind, pid_t pid, size_t i)
{
    for (size_t at = 0; at < r->n; at++) {
        if (r->events[at].kind == kind && r->events[at].pid == pid && i-- == 0)
            return &r->events[at];
    }
    return NULL;
}

/* Waits until the source is due and lets it work, once. */
static inline int recorded_turn(pl_source *source)
{
    struct pollfd poll_fd = {.fd = source->class->fd(source), .events = POLLIN};
    int rc = poll(&poll_fd, 1, 60000);

    assert(rc == 1);
    return source->class->dispatch(source);
}

#endif

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The language of the kernel's proc connector (linux/cn_proc.h): datagrams to events, events to an order.
 * Pure: no socket, no /proc. Any thread.
 */
#ifndef PL_PROCESS_CONNECTOR_H
#define PL_PROCESS_CONNECTOR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

typedef enum pl_connector_kind {
    PL_CONNECTOR_NONE = 0, /* of no interest: a thread, a rename, not understood */
    PL_CONNECTOR_FORK,
    PL_CONNECTOR_EXEC,
    PL_CONNECTOR_EXIT,
    PL_CONNECTOR_ACK, /* answer to a request */
} pl_connector_kind;

typedef struct pl_connector_event {
    pl_connector_kind kind;
    pid_t pid, ppid;      /* thread group ids; ppid: of a fork the parent, else 0 */
    int status;           /* EXIT: as wait(2) gives it */
    int error;            /* ACK: an errno, or 0 */
    uint32_t ack;         /* ACK: that of its request + 1 (the seq is the kernel's own) */
    int64_t monotonic_ns; /* CLOCK_MONOTONIC: cn_proc stamps with ktime_get_ns() */
    size_t slot;          /* the caller's own; kept with the event */
    /* EXEC, by pl_connector_order: the batch holds a later life of this number. PL_CONNECTOR_NONE: it does
     * not. */
    pl_connector_kind next; /* PL_CONNECTOR_EXEC: the same process executed again; _FORK: the number was given again */
    int64_t next_ns;        /* monotonic_ns of that one */
    size_t next_slot;       /* and its slot */
} pl_connector_event;

#define PL_CONNECTOR_REQUEST_MAX 64

/* One datagram, whose sender the caller has checked. */
pl_connector_event pl_connector_parse(const void *datagram, size_t length);

/*
 * Sorts by time (the queues of several CPUs run into one socket out of order; equal times keep their order),
 * then
 *  - removes an exit that is followed by an exec of the same process: there another thread executed, and the
 * leader's end was the kernel's way to hand its number over;
 *  - tells every exec after which the same batch holds another exec of that pid, or a fork that made a new
 * process of that number: what /proc shows may be the later one. Returns how many are left.
 */
size_t pl_connector_order(pl_connector_event *events, size_t n);

/* A request into out (PL_CONNECTOR_REQUEST_MAX bytes): listen or not, with the event filter of kernel 6.6 or
 * without. Without the filter each kernel answers with `ack` + 1; with it an older one drops the request, and
 * a newer one filters out its own answer. Returns its length. */
size_t pl_connector_request(bool listen, bool filter, uint32_t port, uint32_t ack, void *out);

#endif

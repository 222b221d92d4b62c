/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The proc connector's messages: struct nlmsghdr, struct cn_msg, struct proc_event. Owns nothing.
 *
 * The structs have grown over the years and are read from a copy: what a kernel did not send is zero, what is
 * too short for the fields in use is no event. Threads are no processes: a fork whose child is a thread, an
 * exit of one that is not the leader, are of no interest.
 *
 * The sequence number in cn_msg counts what one CPU sent, wanted or not: with the kernel's event filter its
 * holes are no losses, without it they would count renames and threads too. So it is not used to count what
 * was lost.
 */
#include "src/process/connector.h"

#include <linux/cn_proc.h>
#include <linux/connector.h>
#include <linux/netlink.h>
#include <stdlib.h>
#include <string.h>

/* struct proc_input of linux/cn_proc.h since 6.6; older headers lack it. */
struct filter_input {
    uint32_t op, events;
};

/* From the start of proc_event to the end of the last field that is read. */
#define NEEDS(member) (offsetof(struct proc_event, event_data) + sizeof(((struct proc_event *)NULL)->event_data.member))
#define NEEDS_UNTIL(field) (offsetof(struct proc_event, event_data.field) + sizeof(uint32_t))

static void parse_event(const struct proc_event *from, size_t length, pl_connector_event *out)
{
    out->monotonic_ns = (int64_t)from->timestamp_ns;
    switch ((uint32_t)from->what) {
    case PROC_EVENT_NONE:
        if (length < NEEDS(ack))
            return;
        out->kind = PL_CONNECTOR_ACK;
        out->error = (int)from->event_data.ack.err;
        return;
    case PROC_EVENT_FORK:
        if (length < NEEDS(fork) || from->event_data.fork.child_pid != from->event_data.fork.child_tgid)
            return;
        out->kind = PL_CONNECTOR_FORK;
        out->pid = from->event_data.fork.child_tgid;
        out->ppid = from->event_data.fork.parent_tgid;
        return;
    case PROC_EVENT_EXEC:
        if (length < NEEDS(exec))
            return;
        out->kind = PL_CONNECTOR_EXEC;
        out->pid = from->event_data.exec.process_tgid;
        return;
    case PROC_EVENT_EXIT:
        if (length < NEEDS_UNTIL(exit.exit_code) ||
            from->event_data.exit.process_pid != from->event_data.exit.process_tgid)
            return;
        out->kind = PL_CONNECTOR_EXIT;
        out->pid = from->event_data.exit.process_tgid;
        out->status = (int)from->event_data.exit.exit_code;
        return;
    default:
        return;
    }
}

pl_connector_event pl_connector_parse(const void *datagram, size_t length)
{
    pl_connector_event out = {.kind = PL_CONNECTOR_NONE};
    const unsigned char *bytes = datagram;
    struct nlmsghdr header;
    struct cn_msg message;
    struct proc_event event = {0};

    if (length < NLMSG_HDRLEN + sizeof(message))
        return out;
    memcpy(&header, bytes, sizeof(header));
    memcpy(&message, bytes + NLMSG_HDRLEN, sizeof(message));
    if (header.nlmsg_len > length || header.nlmsg_len < NLMSG_HDRLEN + sizeof(message) ||
        header.nlmsg_type == NLMSG_ERROR || header.nlmsg_type == NLMSG_NOOP || message.id.idx != CN_IDX_PROC ||
        message.id.val != CN_VAL_PROC)
        return out;
    size_t room = header.nlmsg_len - NLMSG_HDRLEN - sizeof(message);
    size_t size = message.len;
    if (size > room || size < offsetof(struct proc_event, event_data))
        return out;
    memcpy(&event, bytes + NLMSG_HDRLEN + sizeof(message), size < sizeof(event) ? size : sizeof(event));
    out.ack = message.ack;
    parse_event(&event, size, &out);
    return out;
}

/* Insertion: batches are small and nearly sorted; equal times keep their order. */
static void sort_by_time(pl_connector_event *events, size_t n)
{
    for (size_t i = 1; i < n; i++) {
        pl_connector_event moving = events[i];
        size_t at = i;
        for (; at > 0 && events[at - 1].monotonic_ns > moving.monotonic_ns; at--)
            events[at] = events[at - 1];
        events[at] = moving;
    }
}

/* The next exec of that pid, or fork that made it, in events[from..n); else n. */
static size_t next_life(const pl_connector_event *events, size_t from, size_t n, pid_t pid)
{
    while (from < n && !(events[from].pid == pid &&
                         (events[from].kind == PL_CONNECTOR_EXEC || events[from].kind == PL_CONNECTOR_FORK)))
        from++;
    return from;
}

size_t pl_connector_order(pl_connector_event *events, size_t n)
{
    size_t left = 0;

    sort_by_time(events, n);
    for (size_t i = 0; i < n; i++) {
        pl_connector_event event = events[i];
        if (event.kind == PL_CONNECTOR_EXEC || event.kind == PL_CONNECTOR_EXIT) {
            size_t next = next_life(events, i + 1, n, event.pid);
            bool again = next < n && events[next].kind == PL_CONNECTOR_EXEC;
            if (event.kind == PL_CONNECTOR_EXIT && again)
                continue;
            if (event.kind == PL_CONNECTOR_EXEC && next < n) {
                event.next = events[next].kind;
                event.next_ns = events[next].monotonic_ns;
                event.next_slot = events[next].slot;
            }
        }
        events[left++] = event;
    }
    return left;
}

size_t pl_connector_request(bool listen, bool filter, uint32_t port, uint32_t ack, void *out)
{
    struct filter_input input = {
        .op = listen ? PROC_CN_MCAST_LISTEN : PROC_CN_MCAST_IGNORE,
        .events = (uint32_t)PROC_EVENT_FORK | (uint32_t)PROC_EVENT_EXEC | (uint32_t)PROC_EVENT_EXIT,
    };
    size_t size = filter ? sizeof(input) : sizeof(input.op);
    struct cn_msg message = {.id = {.idx = CN_IDX_PROC, .val = CN_VAL_PROC}, .ack = ack, .len = (uint16_t)size};
    struct nlmsghdr header = {
        .nlmsg_len = (uint32_t)(NLMSG_HDRLEN + sizeof(message) + size), .nlmsg_type = NLMSG_DONE, .nlmsg_pid = port};
    unsigned char *bytes = out;

    _Static_assert(NLMSG_HDRLEN + sizeof(struct cn_msg) + sizeof(struct filter_input) <= PL_CONNECTOR_REQUEST_MAX,
                   "the request must fit");
    memset(bytes, 0, PL_CONNECTOR_REQUEST_MAX);
    memcpy(bytes, &header, sizeof(header));
    memcpy(bytes + NLMSG_HDRLEN, &message, sizeof(message));
    memcpy(bytes + NLMSG_HDRLEN + sizeof(message), &input, size);
    return header.nlmsg_len;
}

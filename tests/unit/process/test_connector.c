/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Datagrams made by hand: what counts as an event, and in which order a batch comes out. */
#include "src/process/connector.h"

#include <linux/cn_proc.h>
#include <linux/connector.h>
#include <linux/netlink.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

typedef struct datagram {
    unsigned char bytes[256];
    size_t length;
} datagram;

static datagram make(const struct proc_event *event, size_t size)
{
    datagram out = {.length = NLMSG_HDRLEN + sizeof(struct cn_msg) + size};
    struct nlmsghdr header = {.nlmsg_len = (uint32_t)out.length, .nlmsg_type = NLMSG_DONE};
    struct cn_msg message = {.id = {CN_IDX_PROC, CN_VAL_PROC}, .seq = 5, .ack = 1, .len = (uint16_t)size};

    memcpy(out.bytes, &header, sizeof(header));
    memcpy(out.bytes + NLMSG_HDRLEN, &message, sizeof(message));
    memcpy(out.bytes + NLMSG_HDRLEN + sizeof(message), event, size);
    return out;
}

static pl_connector_event parse(const struct proc_event *event)
{
    datagram it = make(event, sizeof(*event));

    return pl_connector_parse(it.bytes, it.length);
}

static struct proc_event exec_of(pid_t pid)
{
    struct proc_event event = {.what = PROC_EVENT_EXEC, .timestamp_ns = 42};

    event.event_data.exec.process_pid = event.event_data.exec.process_tgid = pid;
    return event;
}

static void test_fork_exec_exit(void **state)
{
    struct proc_event event = exec_of(7);

    (void)state;
    pl_connector_event got = parse(&event);
    assert_int_equal(got.kind, PL_CONNECTOR_EXEC);
    assert_int_equal(got.pid, 7);
    assert_int_equal(got.monotonic_ns, 42);

    event = (struct proc_event){.what = PROC_EVENT_FORK};
    event.event_data.fork.child_pid = event.event_data.fork.child_tgid = 9;
    event.event_data.fork.parent_pid = 8; /* a thread forks: the process is the parent */
    event.event_data.fork.parent_tgid = 7;
    got = parse(&event);
    assert_int_equal(got.kind, PL_CONNECTOR_FORK);
    assert_int_equal(got.pid, 9);
    assert_int_equal(got.ppid, 7);

    event = (struct proc_event){.what = PROC_EVENT_EXIT};
    event.event_data.exit.process_pid = event.event_data.exit.process_tgid = 9;
    event.event_data.exit.exit_code = 0x0300;
    got = parse(&event);
    assert_int_equal(got.kind, PL_CONNECTOR_EXIT);
    assert_int_equal(got.pid, 9);
    assert_int_equal(got.status, 0x0300);
}

static void test_threads_are_no_processes(void **state)
{
    struct proc_event event = {.what = PROC_EVENT_FORK};

    (void)state;
    event.event_data.fork.child_pid = 10;
    event.event_data.fork.child_tgid = 7;
    assert_int_equal(parse(&event).kind, PL_CONNECTOR_NONE);
    event = (struct proc_event){.what = PROC_EVENT_EXIT};
    event.event_data.exit.process_pid = 10;
    event.event_data.exit.process_tgid = 7;
    assert_int_equal(parse(&event).kind, PL_CONNECTOR_NONE);
    event = (struct proc_event){.what = PROC_EVENT_COMM};
    assert_int_equal(parse(&event).kind, PL_CONNECTOR_NONE);
}

static void test_answer(void **state)
{
    struct proc_event event = {.what = PROC_EVENT_NONE};

    (void)state;
    event.event_data.ack.err = 1;
    pl_connector_event got = parse(&event);
    assert_int_equal(got.kind, PL_CONNECTOR_ACK);
    assert_int_equal(got.error, 1);
    assert_int_equal(got.ack, 1);
}

/* Every cut of a message, and garbage in its lengths: no event, no byte read beyond the end (ASan). */
static void test_garbage(void **state)
{
    struct proc_event event = exec_of(7);

    (void)state;
    datagram it = make(&event, sizeof(event));
    for (size_t n = 0; n < it.length; n++) {
        unsigned char *cut = test_malloc(n ? n : 1);
        memcpy(cut, it.bytes, n);
        assert_int_equal(pl_connector_parse(cut, n).kind, PL_CONNECTOR_NONE);
        test_free(cut);
    }
    datagram bad = it;
    ((struct cn_msg *)(void *)(bad.bytes + NLMSG_HDRLEN))->len = 60000;
    assert_int_equal(pl_connector_parse(bad.bytes, bad.length).kind, PL_CONNECTOR_NONE);
    bad = it;
    ((struct cn_msg *)(void *)(bad.bytes + NLMSG_HDRLEN))->id.idx = 77;
    assert_int_equal(pl_connector_parse(bad.bytes, bad.length).kind, PL_CONNECTOR_NONE);
    bad = it;
    ((struct nlmsghdr *)(void *)bad.bytes)->nlmsg_len = 8;
    assert_int_equal(pl_connector_parse(bad.bytes, bad.length).kind, PL_CONNECTOR_NONE);
    bad = it;
    ((struct nlmsghdr *)(void *)bad.bytes)->nlmsg_type = NLMSG_ERROR;
    assert_int_equal(pl_connector_parse(bad.bytes, bad.length).kind, PL_CONNECTOR_NONE);
}

/* Too short for its own fields: an exec with a header alone. A longer one than we know is fine. */
static void test_sizes_of_other_kernels(void **state)
{
    struct proc_event event = exec_of(7);
    struct {
        struct proc_event event;
        char more[40];
    } longer = {.event = event};

    (void)state;
    datagram it = make(&event, offsetof(struct proc_event, event_data) + 4);
    assert_int_equal(pl_connector_parse(it.bytes, it.length).kind, PL_CONNECTOR_NONE);
    it = make((const struct proc_event *)(const void *)&longer, sizeof(longer));
    assert_int_equal(pl_connector_parse(it.bytes, it.length).kind, PL_CONNECTOR_EXEC);
}

static void test_batch_is_ordered_by_time(void **state)
{
    pl_connector_event events[] = {
        {.kind = PL_CONNECTOR_EXIT, .pid = 1, .monotonic_ns = 30},
        {.kind = PL_CONNECTOR_FORK, .pid = 1, .monotonic_ns = 10},
        {.kind = PL_CONNECTOR_EXEC, .pid = 1, .monotonic_ns = 20},
        {.kind = PL_CONNECTOR_FORK, .pid = 2, .monotonic_ns = 10},
    };

    (void)state;
    assert_int_equal(pl_connector_order(events, 4), 4);
    assert_int_equal(events[0].pid, 1); /* equal times keep their order */
    assert_int_equal(events[1].pid, 2);
    assert_int_equal(events[2].kind, PL_CONNECTOR_EXEC);
    assert_int_equal(events[2].next, PL_CONNECTOR_NONE);
    assert_int_equal(events[3].kind, PL_CONNECTOR_EXIT);
}

static void test_second_exec_is_told_to_the_first(void **state)
{
    pl_connector_event events[] = {
        {.kind = PL_CONNECTOR_EXEC, .pid = 5, .monotonic_ns = 20, .slot = 1},
        {.kind = PL_CONNECTOR_EXEC, .pid = 5, .monotonic_ns = 10, .slot = 0},
        {.kind = PL_CONNECTOR_EXEC, .pid = 6, .monotonic_ns = 15, .slot = 2},
    };

    (void)state;
    assert_int_equal(pl_connector_order(events, 3), 3);
    assert_int_equal(events[0].next, PL_CONNECTOR_EXEC);
    assert_int_equal(events[0].next_ns, 20);
    assert_int_equal(events[0].next_slot, 1);
    assert_int_equal(events[1].next, PL_CONNECTOR_NONE);
    assert_int_equal(events[2].next, PL_CONNECTOR_NONE);
}

static void test_reused_number_in_one_batch(void **state)
{
    pl_connector_event events[] = {
        {.kind = PL_CONNECTOR_EXEC, .pid = 5, .monotonic_ns = 10},
        {.kind = PL_CONNECTOR_EXIT, .pid = 5, .monotonic_ns = 11},
        {.kind = PL_CONNECTOR_FORK, .pid = 5, .monotonic_ns = 12},
        {.kind = PL_CONNECTOR_EXEC, .pid = 5, .monotonic_ns = 13},
    };

    (void)state;
    assert_int_equal(pl_connector_order(events, 4), 4); /* the exit is a real one */
    assert_int_equal(events[0].next, PL_CONNECTOR_FORK);
    assert_int_equal(events[1].kind, PL_CONNECTOR_EXIT);
    assert_int_equal(events[3].next, PL_CONNECTOR_NONE);
}

static void test_exec_by_a_thread_is_no_exit(void **state)
{
    pl_connector_event events[] = {
        {.kind = PL_CONNECTOR_EXIT, .pid = 5, .monotonic_ns = 10},
        {.kind = PL_CONNECTOR_EXEC, .pid = 5, .monotonic_ns = 11},
    };

    (void)state;
    assert_int_equal(pl_connector_order(events, 2), 1);
    assert_int_equal(events[0].kind, PL_CONNECTOR_EXEC);
}

static void test_requests(void **state)
{
    unsigned char bytes[PL_CONNECTOR_REQUEST_MAX];

    (void)state;
    size_t plain = pl_connector_request(true, false, 9, 9, bytes);
    assert_int_equal(plain, NLMSG_HDRLEN + sizeof(struct cn_msg) + 4);
    struct cn_msg message;
    uint32_t input[2];
    memcpy(&message, bytes + NLMSG_HDRLEN, sizeof(message));
    assert_int_equal(message.len, 4);
    assert_int_equal(message.ack, 9);
    size_t filtered = pl_connector_request(true, true, 9, 9, bytes);
    assert_int_equal(filtered, plain + 4);
    memcpy(input, bytes + NLMSG_HDRLEN + sizeof(message), sizeof(input));
    assert_int_equal(input[0], PROC_CN_MCAST_LISTEN);
    assert_int_equal(input[1], 0x80000003u);
    (void)pl_connector_request(false, false, 9, 9, bytes);
    memcpy(input, bytes + NLMSG_HDRLEN + sizeof(message), sizeof(uint32_t));
    assert_int_equal(input[0], PROC_CN_MCAST_IGNORE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_fork_exec_exit),
        cmocka_unit_test(test_threads_are_no_processes),
        cmocka_unit_test(test_answer),
        cmocka_unit_test(test_garbage),
        cmocka_unit_test(test_sizes_of_other_kernels),
        cmocka_unit_test(test_batch_is_ordered_by_time),
        cmocka_unit_test(test_second_exec_is_told_to_the_first),
        cmocka_unit_test(test_reused_number_in_one_batch),
        cmocka_unit_test(test_exec_by_a_thread_is_no_exit),
        cmocka_unit_test(test_requests),
    };

    return cmocka_run_group_tests_name("connector", tests, NULL, NULL);
}

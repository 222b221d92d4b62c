/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The real proc connector. Where it cannot be had every case says so and is skipped, apart from those that
 * need none. */
#include "src/process/source.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <setjmp.h>
#include <linux/connector.h>
#include <linux/cn_proc.h>
#include <linux/netlink.h>
#include <pthread.h>
#include <stdarg.h>
#include <string.h>
#include <sys/socket.h>

#include <cmocka.h>

#include "src/base/error.h"
#include "tests/support/fault.h"
#include "tests/unit/process/live.h"
#include "tests/unit/process/live_source.h"
#include "tests/unit/process/recorded.h"

static size_t index_of(const fixture *f, const pl_event *event)
{
    return (size_t)(event - f->recorded.events);
}

static void test_fork_exec_exit(void **state)
{
    fixture *f = *state;
    char *argv[] = {(char *)"sh", (char *)"-c", (char *)"read x; exit 3", NULL};

    open_or_skip(f, &pl_source_netlink);
    int64_t before = pl_clock_boottime_ns(f->options.clock);
    live child = live_start("/bin/sh", argv, NULL, NULL);
    (void)wait_for(f, PL_EVENT_EXEC, child.pid, 0);
    assert_int_equal(WEXITSTATUS(live_end(&child)), 3);
    size_t exited = index_of(f, wait_for(f, PL_EVENT_EXIT, child.pid, 0));
    int64_t after = pl_clock_boottime_ns(f->options.clock);
    const pl_event *fork_event = recorded_find(&f->recorded, PL_EVENT_FORK, child.pid, 0);
    const pl_event *exec_event = recorded_find(&f->recorded, PL_EVENT_EXEC, child.pid, 0);
    const pl_event *exit_event = &f->recorded.events[exited];
    assert_non_null(fork_event);
    assert_int_equal(fork_event->ppid, getpid());
    assert_true(fork_event < exec_event && exec_event < exit_event);
    assert_true(before - PL_NS_PER_MS <= fork_event->boottime_ns && exit_event->boottime_ns <= after + PL_NS_PER_MS);
    assert_true(fork_event->boottime_ns <= exec_event->boottime_ns);
    assert_true(exec_event->boottime_ns <= exit_event->boottime_ns);
    assert_false(exec_event->vanished);
    assert_int_equal(exec_event->image->exec_boottime_ns, exec_event->boottime_ns);
    assert_int_equal(exec_event->image->ppid, getpid());
    assert_true(exec_event->image->has_identity);
    assert_memory_equal(exec_event->image->argv, "sh\0-c\0", 6);
    assert_true(exit_event->has_status);
    assert_true(WIFEXITED(exit_event->status));
    assert_int_equal(WEXITSTATUS(exit_event->status), 3);
}

static void test_death_by_signal(void **state)
{
    fixture *f = *state;

    open_or_skip(f, &pl_source_netlink);
    live child = live_shell("/bin/sh");
    assert_int_equal(kill(child.pid, SIGKILL), 0);
    (void)live_end(&child);
    const pl_event *event = wait_for(f, PL_EVENT_EXIT, child.pid, 0);
    assert_true(WIFSIGNALED(event->status));
    assert_int_equal(WTERMSIG(event->status), SIGKILL);
}

static void test_failed_exec_is_no_exec(void **state)
{
    fixture *f = *state;

    open_or_skip(f, &pl_source_netlink);
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        (void)execl("/nonexistent/program", "program", (char *)NULL);
        _exit(127);
    }
    (void)waitpid(pid, NULL, 0);
    (void)wait_for(f, PL_EVENT_EXIT, pid, 0);
    assert_non_null(recorded_find(&f->recorded, PL_EVENT_FORK, pid, 0));
    assert_null(recorded_find(&f->recorded, PL_EVENT_EXEC, pid, 0));
}

static void test_exec_of_a_process_that_is_gone(void **state)
{
    fixture *f = *state;

    open_or_skip(f, &pl_source_netlink);
    live child = live_shell("/bin/sh");
    (void)live_end(&child); /* reaped before anything is read */
    const pl_event *event = wait_for(f, PL_EVENT_EXEC, child.pid, 0);
    assert_true(event->vanished);
    assert_int_equal(event->image->pid, child.pid);
    assert_int_equal(event->image->exe_fd, -1);
    assert_true(event->image->exe_errno == ENOENT || event->image->exe_errno == ESRCH);
    assert_null(event->image->exe);
    assert_true(event->boottime_ns > 0 && event->image->exec_boottime_ns == event->boottime_ns);
}

/* Two execs of one process before anything is read: /proc shows the second, and only the second gets it. */
static void test_later_image_is_not_given_to_the_earlier_exec(void **state)
{
    fixture *f = *state;
    char *second = pl_temp_path(f->dir, "second");
    char *argv[] = {(char *)"sh", (char *)"-c", (char *)"exec \"$0\" -c 'echo; read x'", second, NULL};
    int out[2];
    char line;

    open_or_skip(f, &pl_source_netlink);
    live_copy("/bin/sh", second, 0755);
    assert_int_equal(pipe2(out, O_CLOEXEC), 0);
    int saved = dup(1);
    assert_int_equal(dup2(out[1], 1), 1);
    live child = live_start("/bin/sh", argv, NULL, NULL);
    assert_int_equal(dup2(saved, 1), 1);
    (void)close(saved);
    (void)close(out[1]);
    assert_int_equal(read(out[0], &line, 1), 1); /* the second one speaks */
    (void)close(out[0]);
    const pl_event *last = wait_for(f, PL_EVENT_EXEC, child.pid, 1);
    const pl_event *first = recorded_find(&f->recorded, PL_EVENT_EXEC, child.pid, 0);
    assert_true(first->vanished);
    assert_null(first->image->exe);
    assert_false(first->image->has_identity);
    assert_false(last->vanished);
    assert_string_equal(last->image->exe, second);
    (void)live_end(&child);
    free(second);
}

static void *nothing(void *context)
{
    return context;
}

static void test_threads_are_not_told(void **state)
{
    fixture *f = *state;

    open_or_skip(f, &pl_source_netlink);
    for (int i = 0; i < 8; i++) {
        pthread_t thread;
        assert_int_equal(pthread_create(&thread, NULL, nothing, NULL), 0);
        assert_int_equal(pthread_join(thread, NULL), 0);
    }
    live child = live_shell("/bin/sh");
    (void)live_end(&child);
    (void)wait_for(f, PL_EVENT_EXIT, child.pid, 0);
    size_t forks = 0;
    for (size_t i = 0; i < f->recorded.n; i++) {
        forks += f->recorded.events[i].kind == PL_EVENT_FORK && f->recorded.events[i].ppid == getpid();
        assert_true(f->recorded.events[i].kind != PL_EVENT_EXIT || f->recorded.events[i].pid != getpid());
    }
    assert_int_equal(forks, 1);
}

static void test_overrun_is_a_loss(void **state)
{
    fixture *f = *state;

    f->options.receive_buffer = 4096;
    open_or_skip(f, &pl_source_netlink);
    int64_t opened = pl_clock_boottime_ns(f->options.clock);
    for (int i = 0; i < 100; i++) {
        pid_t pid = fork();
        assert_true(pid >= 0);
        if (pid == 0)
            _exit(0);
        (void)waitpid(pid, NULL, 0);
    }
    assert_int_equal(recorded_turn(f->source), 0);
    const pl_event *lost = recorded_find(&f->recorded, PL_EVENT_LOST, 0, 0);
    assert_non_null(lost);
    assert_int_equal(lost->lost, -1);
    assert_string_equal(lost->reason, "receive buffer overrun");
    assert_true(lost->lost_since_ns <= opened);
    assert_true(lost->boottime_ns >= opened);
    assert_true(f->recorded.n > 1);     /* what came before the overrun is delivered */
    live child = live_shell("/bin/sh"); /* and it goes on */
    (void)wait_for(f, PL_EVENT_FORK, child.pid, 0);
    (void)live_end(&child);
}

static void test_dispatch_is_bounded_and_ordered(void **state)
{
    fixture *f = *state;

    open_or_skip(f, &pl_source_netlink);
    for (int i = 0; i < 600; i++) {
        pid_t pid = fork();
        assert_true(pid >= 0);
        if (pid == 0)
            _exit(0);
        (void)waitpid(pid, NULL, 0);
    }
    assert_int_equal(recorded_turn(f->source), 0);
    assert_true(f->recorded.n > 0 && f->recorded.n <= 512);
    for (size_t i = 1; i < f->recorded.n; i++)
        assert_true(f->recorded.events[i - 1].boottime_ns <= f->recorded.events[i].boottime_ns);
    assert_int_equal(recorded_turn(f->source), 0); /* the rest is still due */
    assert_int_equal(f->source->class->dispatch(f->source), 0);
    assert_int_equal(f->source->class->dispatch(f->source), 0); /* nothing there: it does not block */
}

/* Somebody who knows our port sends an exec of his own making. */
static void test_only_the_kernel_is_believed(void **state)
{
    fixture *f = *state;
    struct sockaddr_nl to = {.nl_family = AF_NETLINK};
    socklen_t size = sizeof(to);
    struct {
        struct nlmsghdr header;
        struct cn_msg message;
        struct proc_event event;
    } __attribute__((packed)) forged = {.header.nlmsg_len = sizeof(forged), .header.nlmsg_type = NLMSG_DONE};

    open_or_skip(f, &pl_source_netlink);
    assert_int_equal(getsockname(f->source->class->fd(f->source), (struct sockaddr *)&to, &size), 0);
    to.nl_groups = 0;
    forged.message.id.idx = CN_IDX_PROC;
    forged.message.id.val = CN_VAL_PROC;
    forged.message.len = sizeof(forged.event);
    forged.event.what = PROC_EVENT_EXIT;
    forged.event.event_data.exit.process_pid = forged.event.event_data.exit.process_tgid = 1;
    int fd = socket(AF_NETLINK, SOCK_DGRAM | SOCK_CLOEXEC, NETLINK_CONNECTOR);
    assert_true(fd >= 0);
    ssize_t n = sendto(fd, &forged, sizeof(forged), 0, (struct sockaddr *)&to, sizeof(to));
    (void)close(fd);
    if (n < 0) {
        print_message("the kernel lets nobody send to us: %s\n", strerror(errno));
        skip();
    }
    live child = live_shell("/bin/sh");
    (void)live_end(&child);
    (void)wait_for(f, PL_EVENT_EXIT, child.pid, 0);
    assert_null(recorded_find(&f->recorded, PL_EVENT_EXIT, 1, 0));
}

/* Each allocation and open of reading a process fails once: the exec is told all the same, and not as
 * vanished. */
static void test_failure_to_read_is_not_vanishing(void **state)
{
    fixture *f = *state;
    const pl_fault_kind kinds[] = {PL_FAULT_ALLOC, PL_FAULT_OPEN};
    const int errnums[] = {ENOMEM, EMFILE};

    open_or_skip(f, &pl_source_netlink);
    for (size_t k = 0; k < 2; k++) {
        live child = live_shell("/bin/sh");
        struct pollfd due = {.fd = f->source->class->fd(f->source), .events = POLLIN};
        assert_int_equal(poll(&due, 1, 60000), 1);
        size_t fds = live_count_fds();
        recorded_clear(&f->recorded);
        /* The record itself allocates through the C library's own calls only in reallocarray: not redirected. */
        pl_fault_arm_from(kinds[k], 1, errnums[k]);
        int rc = 0;
        const pl_event *event = NULL;
        while (rc == 0 && !event && poll(&due, 1, 60000) == 1) {
            rc = f->source->class->dispatch(f->source);
            event = recorded_find(&f->recorded, PL_EVENT_EXEC, child.pid, 0);
        }
        pl_fault_disarm();
        assert_int_equal(rc, 0);
        assert_non_null(event);
        assert_false(event->vanished);
        assert_int_equal(event->image->pid, child.pid);
        assert_null(event->image->exe);
        assert_int_equal(event->image->exe_errno, errnums[k]);
        assert_int_equal(live_count_fds(), fds);
        (void)live_end(&child);
    }
}

static void test_dead_socket_is_a_failure(void **state)
{
    fixture *f = *state;

    open_or_skip(f, &pl_source_netlink);
    int null = open("/dev/null", O_RDONLY | O_CLOEXEC);
    int fd = f->source->class->fd(f->source);
    assert_int_equal(dup3(null, fd, O_CLOEXEC), fd);
    (void)close(null);
    assert_true(f->source->class->dispatch(f->source) < 0);
    assert_non_null(strstr(pl_error_message(), "cannot receive"));
}

static void test_no_connector_in_the_kernel(void **state)
{
    fixture *f = *state;
    pl_source *source = (pl_source *)-1;

    pl_fault_arm(PL_FAULT_OPEN, 1, EPROTONOSUPPORT);
    int rc = pl_source_netlink.open(&f->options, &source);
    pl_fault_disarm();
    assert_int_equal(rc, PL_ERR_UNSUPPORTED);
    assert_non_null(strstr(pl_error_message(), "CONFIG_CONNECTOR"));
    pl_fault_arm(PL_FAULT_OPEN, 1, EMFILE);
    rc = pl_source_netlink.open(&f->options, &source);
    pl_fault_disarm();
    assert_int_equal(rc, PL_ERR_SYSTEM);
    pl_fault_arm(PL_FAULT_OPEN, 1, EPERM);
    rc = pl_source_netlink.open(&f->options, &source);
    pl_fault_disarm();
    assert_int_equal(rc, PL_ERR_PERMISSION);
    assert_ptr_equal(source, (pl_source *)-1);
}

/* Without CAP_NET_ADMIN: refused with a message that names it, or (kernel 6.6 and later) allowed. */
static void test_without_privileges(void **state)
{
    fixture *f = *state;
    int told[2], status;
    char message[512] = "";

    if (geteuid() != 0) {
        print_message("not root: the other cases run without privileges already\n");
        skip();
    }
    assert_int_equal(pipe2(told, O_CLOEXEC), 0);
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        pl_source *source = NULL;
        if (setgroups(0, NULL) != 0 || setresgid(65534, 65534, 65534) != 0 || setresuid(65534, 65534, 65534) != 0)
            _exit(9);
        int rc = pl_source_netlink.open(&f->options, &source);
        if (rc == 0) {
            (void)source->class->close(source);
            _exit(0);
        }
        (void)!write(told[1], pl_error_message(), strlen(pl_error_message()));
        _exit(rc == PL_ERR_PERMISSION || rc == PL_ERR_UNSUPPORTED ? 1 : 2);
    }
    (void)close(told[1]);
    (void)!read(told[0], message, sizeof(message) - 1);
    (void)close(told[0]);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status));
    assert_true(WEXITSTATUS(status) <= 1);
    if (WEXITSTATUS(status) == 1)
        assert_true(strstr(message, "CAP_NET_ADMIN") || strstr(message, "CONFIG_"));
    else
        print_message("this kernel gives process events to everybody\n");
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(test_fork_exec_exit),
        CASE(test_death_by_signal),
        CASE(test_failed_exec_is_no_exec),
        CASE(test_exec_of_a_process_that_is_gone),
        CASE(test_later_image_is_not_given_to_the_earlier_exec),
        CASE(test_threads_are_not_told),
        CASE(test_overrun_is_a_loss),
        CASE(test_dispatch_is_bounded_and_ordered),
        CASE(test_only_the_kernel_is_believed),
        CASE(test_failure_to_read_is_not_vanishing),
        CASE(test_dead_socket_is_a_failure),
        CASE(test_no_connector_in_the_kernel),
        CASE(test_without_privileges),
    };

    return cmocka_run_group_tests_name("source netlink", tests, NULL, NULL);
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Polling: a /proc of the test's own, changed between two scans. */
#include "src/process/source.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "tests/support/fake_clock.h"
#include "tests/support/fault.h"
#include "tests/unit/process/fake_proc.h"
#include "tests/unit/process/live.h"
#include "tests/unit/process/recorded.h"

#define S PL_NS_PER_S

typedef struct fixture {
    char *root, *program, *other;
    pl_fake_clock clock;
    recorded recorded;
    pl_source_options options;
    pl_source *source;
} fixture;

static int set_up(void **state)
{
    fixture *f = test_calloc(1, sizeof(*f));

    f->root = pl_temp_dir_new();
    f->program = pl_temp_path(f->root, "program");
    f->other = pl_temp_path(f->root, "other");
    pl_temp_write(f->program, "bytes", 5, 0755);
    pl_temp_write(f->other, "bytes", 5, 0755);
    pl_fake_clock_init(&f->clock, 1700000000 * S, 1000 * S);
    f->options = (pl_source_options){.procfs = {.root = f->root, .pin = true},
                                     .clock = &f->clock.clock,
                                     .scan_interval_ns = PL_NS_PER_MS,
                                     .event = recorded_event,
                                     .context = &f->recorded};
    *state = f;
    return 0;
}

static int tear_down(void **state)
{
    fixture *f = *state;

    recorded_clear(&f->recorded);
    if (f->source)
        assert_null(f->source->class->close(f->source));
    pl_temp_dir_free(f->root);
    free(f->program);
    free(f->other);
    test_free(f);
    return 0;
}

/* start in ticks of 1/100 s; the fake clock stands at tick 100,000 */
static fake_process process_of(const fixture *f, int pid, int ppid)
{
    return (fake_process){.pid = pid,
                          .ppid = ppid,
                          .start_ticks = 90000,
                          .start_stack = (unsigned)pid,
                          .exe = f->program,
                          .cmdline = "p"};
}

static void open_source(fixture *f)
{
    assert_int_equal(pl_source_scan.open(&f->options, &f->source), 0);
    assert_int_equal(f->recorded.n, 0); /* what is there is the snapshot's to tell */
}

/* One scan, alone in the record. */
static const recorded *scan(fixture *f)
{
    recorded_clear(&f->recorded);
    assert_int_equal(recorded_turn(f->source), 0);
    return &f->recorded;
}

static void test_quiet_while_nothing_changes(void **state)
{
    fixture *f = *state;
    fake_process p = process_of(f, 10, 1);

    fake_add(f->root, &p);
    open_source(f);
    assert_int_equal(scan(f)->n, 0);
    assert_int_equal(scan(f)->n, 0);
}

static void test_new_process_is_an_exec(void **state)
{
    fixture *f = *state;
    fake_process p = process_of(f, 10, 1);

    open_source(f);
    fake_add(f->root, &p);
    const recorded *r = scan(f);
    assert_int_equal(r->n, 1);
    assert_int_equal(r->events[0].kind, PL_EVENT_EXEC);
    assert_int_equal(r->events[0].pid, 10);
    assert_int_equal(r->events[0].boottime_ns, 900 * S); /* its start, as the kernel says */
    assert_int_equal(r->events[0].image->exec_boottime_ns, 900 * S);
    assert_string_equal(r->events[0].image->exe, f->program);
    assert_false(r->events[0].vanished);
    assert_int_equal(scan(f)->n, 0);
}

static void test_child_on_its_parents_image_is_a_fork(void **state)
{
    fixture *f = *state;
    fake_process parent = process_of(f, 10, 1), child = process_of(f, 11, 10);

    fake_add(f->root, &parent);
    open_source(f);
    child.start_stack = parent.start_stack;
    child.start_ticks = 90001;
    child.cmdline = "p: worker"; /* has renamed itself already */
    fake_add(f->root, &child);
    const recorded *r = scan(f);
    assert_int_equal(r->n, 1);
    assert_int_equal(r->events[0].kind, PL_EVENT_FORK);
    assert_int_equal(r->events[0].pid, 11);
    assert_int_equal(r->events[0].ppid, 10);
    assert_int_equal(r->events[0].boottime_ns, 90001 * (S / 100));
    /* and executes later */
    child.exe = f->other;
    child.start_stack = 99;
    fake_add(f->root, &child);
    pl_fake_clock_advance(&f->clock, 5 * S);
    r = scan(f);
    assert_int_equal(r->n, 1);
    assert_int_equal(r->events[0].kind, PL_EVENT_EXEC);
    assert_int_equal(r->events[0].boottime_ns, 1005 * S);
    assert_string_equal(r->events[0].image->exe, f->other);
}

static void test_same_binary_on_another_stack_is_an_exec(void **state)
{
    fixture *f = *state;
    fake_process parent = process_of(f, 10, 1), child = process_of(f, 11, 10);

    fake_add(f->root, &parent);
    open_source(f);
    fake_add(f->root, &child);
    assert_non_null(recorded_find(scan(f), PL_EVENT_EXEC, 11, 0));
    parent.start_stack = 4711; /* the parent executes itself again */
    fake_add(f->root, &parent);
    const recorded *r = scan(f);
    assert_int_equal(r->n, 1);
    assert_int_equal(r->events[0].pid, 10);
    assert_int_equal(r->events[0].kind, PL_EVENT_EXEC);
}

static void test_renaming_is_no_exec(void **state)
{
    fixture *f = *state;
    fake_process p = process_of(f, 10, 1);

    fake_add(f->root, &p);
    open_source(f);
    p.cmdline = "p: idle";
    p.comm = "renamed";
    fake_add(f->root, &p);
    assert_int_equal(scan(f)->n, 0);
}

/* Other people's processes: neither stack nor executable can be seen. */
static void test_hidden_stack_goes_by_the_command_line(void **state)
{
    fixture *f = *state;
    fake_process parent = process_of(f, 10, 1), child = process_of(f, 11, 10);

    parent.exe = child.exe = NULL;
    parent.start_stack = child.start_stack = 0;
    fake_add(f->root, &parent);
    open_source(f);
    fake_add(f->root, &child);
    assert_non_null(recorded_find(scan(f), PL_EVENT_FORK, 11, 0));
    child.cmdline = "something else";
    fake_add(f->root, &child);
    const recorded *r = scan(f);
    assert_int_equal(r->n, 1);
    assert_int_equal(r->events[0].kind, PL_EVENT_EXEC);
    assert_int_equal(r->events[0].pid, 11);
}

static void test_gone_and_zombie_are_exits_without_status(void **state)
{
    fixture *f = *state;
    fake_process a = process_of(f, 10, 1), b = process_of(f, 11, 1);

    fake_add(f->root, &a);
    fake_add(f->root, &b);
    open_source(f);
    fake_kill(f->root, 10);
    b.state = 'Z';
    fake_add(f->root, &b);
    const recorded *r = scan(f);
    assert_int_equal(r->n, 2);
    for (pid_t pid = 10; pid <= 11; pid++) {
        const pl_event *event = recorded_find(r, PL_EVENT_EXIT, pid, 0);
        assert_non_null(event);
        assert_false(event->has_status);
    }
    assert_int_equal(scan(f)->n, 0); /* the zombie is not told twice */
}

static void test_reused_number_is_exit_then_exec(void **state)
{
    fixture *f = *state;
    fake_process p = process_of(f, 10, 1);

    fake_add(f->root, &p);
    open_source(f);
    p.start_ticks = 95000;
    fake_add(f->root, &p);
    const recorded *r = scan(f);
    assert_int_equal(r->n, 2);
    assert_int_equal(r->events[0].kind, PL_EVENT_EXIT);
    assert_int_equal(r->events[1].kind, PL_EVENT_EXEC);
    assert_int_equal(r->events[1].image->start_ticks, 95000);
}

static void test_kernel_threads_are_left_out(void **state)
{
    fixture *f = *state;
    fake_process p = {.pid = 10, .ppid = 2, .flags = 0x00200000, .start_ticks = 90000};

    open_source(f);
    fake_add(f->root, &p);
    assert_int_equal(scan(f)->n, 0);
    fake_kill(f->root, 10);
    assert_int_equal(scan(f)->n, 0);
}

static void test_start_in_the_future_is_now(void **state)
{
    fixture *f = *state;
    fake_process p = process_of(f, 10, 1);

    open_source(f);
    p.start_ticks = 900000;
    fake_add(f->root, &p);
    assert_int_equal(scan(f)->events[0].boottime_ns, 1000 * S);
}

/* No scan is better than a wrong one: nobody is told dead because /proc could not be listed. */
static void test_failed_scan_is_reported_when_it_works_again(void **state)
{
    fixture *f = *state;
    fake_process p = process_of(f, 10, 1);

    fake_add(f->root, &p);
    open_source(f);
    assert_int_equal(scan(f)->n, 0);
    pl_fake_clock_advance(&f->clock, S);
    pl_fault_arm(PL_FAULT_OPEN, 1, EMFILE);
    const recorded *r = scan(f);
    pl_fault_disarm();
    assert_int_equal(r->n, 0);
    pl_fake_clock_advance(&f->clock, S);
    r = scan(f);
    assert_int_equal(r->n, 1);
    assert_int_equal(r->events[0].kind, PL_EVENT_LOST);
    assert_int_equal(r->events[0].lost, -1);
    assert_int_equal(r->events[0].lost_since_ns, 1000 * S);
    assert_int_equal(r->events[0].boottime_ns, 1002 * S);
    assert_string_equal(r->events[0].reason, "scans of /proc failed");
    assert_int_equal(scan(f)->n, 0);
}

/* Every allocation, open and read of a scan fails once: no exit of a living process, and the new one is told
 * then or by the next scan, once. */
static void test_every_failure_of_a_scan(void **state)
{
    fixture *f = *state;
    const pl_fault_kind kinds[] = {PL_FAULT_ALLOC, PL_FAULT_OPEN, PL_FAULT_READ};
    const int errnums[] = {ENOMEM, EMFILE, EIO};
    fake_process old = process_of(f, 10, 1), new = process_of(f, 11, 1);
    size_t fds = 0;

    fake_add(f->root, &old);
    for (size_t k = 0; k < 3; k++) {
        for (unsigned n = 1; n < 200; n++) {
            open_source(f);
            if (!fds)
                fds = live_count_fds();
            fake_add(f->root, &new);
            struct pollfd due = {.fd = f->source->class->fd(f->source), .events = POLLIN};
            assert_int_equal(poll(&due, 1, 60000), 1);
            pl_fault_arm(kinds[k], n, errnums[k]);
            int rc = f->source->class->dispatch(f->source);
            bool fired = pl_fault_fired();
            pl_fault_disarm();
            /* Only the timer's own read ends the source. */
            assert_true(rc == 0 || (kinds[k] == PL_FAULT_READ && n == 1));
            assert_int_equal(live_count_fds(), fds);
            if (rc == 0)
                assert_int_equal(recorded_turn(f->source), 0);
            for (size_t i = 0; i < f->recorded.n; i++)
                assert_int_not_equal(f->recorded.events[i].kind, PL_EVENT_EXIT);
            if (rc == 0)
                assert_non_null(recorded_find(&f->recorded, PL_EVENT_EXEC, 11, 0));
            assert_null(recorded_find(&f->recorded, PL_EVENT_EXEC, 11, 1));
            assert_null(recorded_find(&f->recorded, PL_EVENT_EXEC, 10, 0));
            f->source = f->source->class->close(f->source);
            recorded_clear(&f->recorded);
            fake_kill(f->root, 11);
            if (!fired)
                break;
        }
    }
}

static void test_open_failures(void **state)
{
    fixture *f = *state;
    pl_source *source = (pl_source *)-1;

    f->options.procfs.root = "/nonexistent";
    assert_true(pl_source_scan.open(&f->options, &source) < 0);
    assert_ptr_equal(source, (pl_source *)-1);
}

static void test_nothing_due_is_no_scan(void **state)
{
    fixture *f = *state;
    fake_process p = process_of(f, 10, 1);

    f->options.scan_interval_ns = 3600 * S;
    open_source(f);
    fake_add(f->root, &p);
    assert_int_equal(f->source->class->dispatch(f->source), 0);
    assert_int_equal(f->recorded.n, 0);
}

static void test_real_child_is_seen(void **state)
{
    fixture *f = *state;

    f->options.procfs.root = "/proc";
    f->options.clock = pl_clock_system();
    assert_int_equal(pl_source_scan.open(&f->options, &f->source), 0);
    live child = live_shell("/bin/sh");
    while (!recorded_find(&f->recorded, PL_EVENT_EXEC, child.pid, 0))
        assert_int_equal(recorded_turn(f->source), 0);
    const pl_event *event = recorded_find(&f->recorded, PL_EVENT_EXEC, child.pid, 0);
    assert_int_equal(event->image->ppid, getpid());
    (void)live_end(&child);
    while (!recorded_find(&f->recorded, PL_EVENT_EXIT, child.pid, 0))
        assert_int_equal(recorded_turn(f->source), 0);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(test_quiet_while_nothing_changes),
        CASE(test_new_process_is_an_exec),
        CASE(test_child_on_its_parents_image_is_a_fork),
        CASE(test_same_binary_on_another_stack_is_an_exec),
        CASE(test_renaming_is_no_exec),
        CASE(test_hidden_stack_goes_by_the_command_line),
        CASE(test_gone_and_zombie_are_exits_without_status),
        CASE(test_reused_number_is_exit_then_exec),
        CASE(test_kernel_threads_are_left_out),
        CASE(test_start_in_the_future_is_now),
        CASE(test_failed_scan_is_reported_when_it_works_again),
        CASE(test_every_failure_of_a_scan),
        CASE(test_open_failures),
        CASE(test_nothing_due_is_no_scan),
        CASE(test_real_child_is_seen),
    };

    return cmocka_run_group_tests_name("source scan", tests, NULL, NULL);
}

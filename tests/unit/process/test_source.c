/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Which source is taken, and the snapshot. */
#include "src/process/source.h"

#include <errno.h>
#include <linux/capability.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <sys/syscall.h>

#include <cmocka.h>

#include "src/base/error.h"
#include "tests/support/fault.h"
#include "tests/unit/process/fake_proc.h"
#include "tests/unit/process/live.h"
#include "tests/unit/process/recorded.h"

typedef struct fixture {
    char *root, *program;
    recorded recorded;
    pl_source_options options;
} fixture;

static int set_up(void **state)
{
    fixture *f = test_calloc(1, sizeof(*f));

    f->root = pl_temp_dir_new();
    f->program = pl_temp_path(f->root, "program");
    pl_temp_write(f->program, "bytes", 5, 0755);
    f->options = (pl_source_options){.procfs = {.root = f->root, .pin = true},
                                     .clock = pl_clock_system(),
                                     .event = recorded_event,
                                     .context = &f->recorded};
    *state = f;
    return 0;
}

static int tear_down(void **state)
{
    fixture *f = *state;

    recorded_clear(&f->recorded);
    pl_temp_dir_free(f->root);
    free(f->program);
    test_free(f);
    return 0;
}

static void test_classes_best_first(void **state)
{
    const pl_source_class *const *classes = pl_source_classes();

    (void)state;
    assert_string_equal(classes[0]->name, "bpf");
    assert_string_equal(classes[1]->name, "netlink");
    assert_string_equal(classes[2]->name, "scan");
    assert_null(classes[3]);
    assert_true(classes[1]->abilities & PL_SOURCE_TELLS_STATUS);
    assert_false(classes[1]->abilities & PL_SOURCE_TELLS_IDENTITY);
    assert_false(classes[2]->abilities & PL_SOURCE_TELLS_EXEC);
    for (size_t i = 0; i < 3; i++)
        assert_true(classes[i]->lacks[0]);
}

/* From here on this process may not load programs, as most may not: bpf is the first that does not work. For good: these
 * cases are the last ones. */
static void give_up_bpf(void)
{
    struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct data[2];

    if (syscall(SYS_capget, &header, data) != 0)
        return;
    for (int i = 0; i < 2; i++)
        data[i].effective = data[i].permitted = data[i].inheritable = 0;
    data[0].effective = data[0].permitted = 1u << CAP_DAC_READ_SEARCH | 1u << CAP_DAC_OVERRIDE | 1u << CAP_SYS_PTRACE;
    assert_return_code(syscall(SYS_capset, &header, data), errno);
}

static void test_auto_falls_back_and_says_why(void **state)
{
    const fixture *f = *state;
    pl_source *source = NULL;
    char why[256];

    give_up_bpf();
    pl_fault_arm(PL_FAULT_OPEN, 1, EPROTONOSUPPORT); /* a kernel without the connector */
    int rc = pl_source_open("auto", &f->options, &source, why, sizeof(why));
    pl_fault_disarm();
    assert_int_equal(rc, 0);
    assert_string_equal(source->class->name, "scan");
    assert_non_null(strstr(why, "no netlink: "));
    assert_non_null(strstr(why, "CONFIG_CONNECTOR"));
    assert_non_null(strstr(why, "scan: the best that works here"));
    assert_null(source->class->close(source));
}

static void test_why_is_bounded(void **state)
{
    const fixture *f = *state;
    char why[24];

    give_up_bpf();
    for (size_t size = 0; size <= sizeof(why); size += 6) {
        pl_source *source = NULL;
        memset(why, '#', sizeof(why));
        pl_fault_arm(PL_FAULT_OPEN, 1, EACCES);
        assert_int_equal(pl_source_open("auto", &f->options, &source, why, size), 0);
        pl_fault_disarm();
        assert_true(size == 0 || memchr(why, '\0', size));
        assert_true(size == sizeof(why) || why[size] == '#');
        assert_null(source->class->close(source));
    }
}

static void test_auto_with_nothing_that_works(void **state)
{
    fixture *f = *state;
    pl_source *source = (pl_source *)-1;
    char why[256];

    give_up_bpf();
    f->options.procfs.root = "/nonexistent";
    pl_fault_arm(PL_FAULT_OPEN, 1, EMFILE);
    int rc = pl_source_open("auto", &f->options, &source, why, sizeof(why));
    pl_fault_disarm();
    assert_true(rc < 0);
    assert_ptr_equal(source, (pl_source *)-1);
    assert_non_null(strstr(why, "no netlink"));
    assert_non_null(strstr(why, "no scan: cannot open /nonexistent"));
}

static void test_by_name(void **state)
{
    const fixture *f = *state;
    pl_source *source = NULL;
    char why[64];
    int rc;

    assert_int_equal(pl_source_open("scan", &f->options, &source, why, sizeof(why)), 0);
    assert_string_equal(source->class->name, "scan");
    assert_string_equal(why, "scan: asked for");
    assert_null(source->class->close(source));
    rc = pl_source_open("bpf", &f->options, &source, why, sizeof(why)); /* as far as this build and this user can */
    if (rc == 0)
        assert_null(source->class->close(source));
    else
        assert_non_null(strstr(pl_error_message(), "source bpf"));
    assert_int_equal(pl_source_open("ebpf", &f->options, &source, why, sizeof(why)), PL_ERR_INVALID);
    assert_non_null(strstr(pl_error_message(), "\"ebpf\""));
    pl_fault_arm(PL_FAULT_OPEN, 1, EMFILE); /* asked for by name: nothing else is tried */
    rc = pl_source_open("netlink", &f->options, &source, why, sizeof(why));
    pl_fault_disarm();
    assert_true(rc < 0);
}

static void test_no_memory_for_a_source(void **state)
{
    const fixture *f = *state;
    char why[64];

    for (size_t i = 0; i < 3; i++) {
        pl_source *source = (pl_source *)-1;
        pl_fault_arm(PL_FAULT_ALLOC, 1, ENOMEM);
        int rc = pl_source_open(pl_source_classes()[i]->name, &f->options, &source, why, sizeof(why));
        pl_fault_disarm();
        assert_true(rc == PL_ERR_NOMEM || (i == 0 && rc == PL_ERR_UNSUPPORTED));
        assert_ptr_equal(source, (pl_source *)-1);
        assert_null(pl_source_classes()[i]->close(NULL));
    }
}

static void add(const fixture *f, int pid, int ppid, unsigned long long start)
{
    fake_process p = {.pid = pid, .ppid = ppid, .start_ticks = start, .exe = f->program, .cmdline = "p"};

    fake_add(f->root, &p);
}

static void test_snapshot_parents_before_children(void **state)
{
    fixture *f = *state;
    /* Numbers have wrapped, and half of them started in one tick. */
    static const int pids[] = {1, 4000, 500, 30, 20, 900};

    add(f, 1, 0, 1);
    add(f, 900, 4000, 9);
    add(f, 20, 30, 7);
    add(f, 30, 500, 7);
    add(f, 500, 4000, 7);
    add(f, 4000, 1, 7);
    fake_process zombie = {.pid = 600, .ppid = 1, .state = 'Z', .start_ticks = 8};
    fake_add(f->root, &zombie);
    assert_int_equal(pl_source_snapshot(&f->options), 0);
    assert_int_equal(f->recorded.n, 6);
    for (size_t i = 0; i < 6; i++) {
        const pl_event *event = &f->recorded.events[i];
        assert_int_equal(event->kind, PL_EVENT_EXEC);
        assert_int_equal(event->pid, pids[i]);
        assert_int_equal(event->image->exec_boottime_ns, 0);
        assert_string_equal(event->image->exe, f->program);
        assert_false(event->vanished);
    }
}

static void test_snapshot_with_a_circle_of_parents_ends(void **state)
{
    fixture *f = *state;

    add(f, 10, 11, 7);
    add(f, 11, 10, 7);
    add(f, 12, 12, 7);
    assert_int_equal(pl_source_snapshot(&f->options), 0);
    assert_int_equal(f->recorded.n, 3);
}

static void look_without_taking(void *context, pl_event *event)
{
    size_t *n = context;

    ++*n;
    assert_true(event->image->exe_fd >= 0);
}

static void test_snapshot_keeps_no_descriptor(void **state)
{
    fixture *f = *state;
    size_t n = 0, fds = live_count_fds();

    for (int pid = 10; pid < 60; pid++)
        add(f, pid, 1, 7);
    f->options.event = look_without_taking;
    f->options.context = &n;
    assert_int_equal(pl_source_snapshot(&f->options), 0);
    assert_int_equal(n, 50);
    assert_int_equal(live_count_fds(), fds);
}

/* Each allocation, open and read fails once: an error, or everything was delivered; nothing leaks (ASan). One process that
 * cannot be read, for whatever but memory, is left out. */
static void test_snapshot_failures(void **state)
{
    fixture *f = *state;
    const pl_fault_kind kinds[] = {PL_FAULT_ALLOC, PL_FAULT_OPEN, PL_FAULT_READ};
    const int errnums[] = {ENOMEM, EMFILE, EIO};

    add(f, 10, 1, 7);
    add(f, 11, 10, 8);
    for (size_t k = 0; k < 3; k++) {
        size_t fds = live_count_fds(), failures = 0;
        for (unsigned n = 1;; n++) {
            size_t delivered = 0;
            pl_source_options options = f->options;
            recorded r = {0};
            options.context = &r;
            pl_fault_arm(kinds[k], n, errnums[k]);
            int rc = pl_source_snapshot(&options);
            bool fired = pl_fault_fired();
            pl_fault_disarm();
            delivered = r.n;
            recorded_clear(&r);
            assert_true(rc <= 0);
            failures += rc < 0;
            assert_true(rc < 0 || delivered == 2 || (delivered == 1 && kinds[k] != PL_FAULT_ALLOC));
            assert_int_equal(live_count_fds(), fds);
            if (!fired)
                break;
        }
        assert_true(failures > 0);
    }
}

static void test_snapshot_of_this_machine(void **state)
{
    fixture *f = *state;

    f->options.procfs.root = "/proc";
    assert_int_equal(pl_source_snapshot(&f->options), 0);
    const pl_event *own = recorded_find(&f->recorded, PL_EVENT_EXEC, getpid(), 0);
    assert_non_null(own);
    assert_int_equal(own->image->ppid, getppid());
    for (size_t i = 1; i < f->recorded.n; i++)
        assert_true(f->recorded.events[i - 1].image->start_ticks <= f->recorded.events[i].image->start_ticks);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(test_classes_best_first),
        CASE(test_by_name),
        CASE(test_no_memory_for_a_source),
        CASE(test_snapshot_parents_before_children),
        CASE(test_snapshot_with_a_circle_of_parents_ends),
        CASE(test_snapshot_keeps_no_descriptor),
        CASE(test_snapshot_failures),
        CASE(test_snapshot_of_this_machine),
        CASE(test_auto_falls_back_and_says_why),
        CASE(test_why_is_bounded),
        CASE(test_auto_with_nothing_that_works),
    };

    return cmocka_run_group_tests_name("source", tests, NULL, NULL);
}

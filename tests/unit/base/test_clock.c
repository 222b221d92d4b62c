/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The system's clocks, held between two readings of the same clock; and the boot id, from a /proc of the test's own:
 * there, missing, short, long, unreadable.
 */
#include "src/base/clock.h"

#include <dirent.h>
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include <cmocka.h>

#include "src/base/error.h"
#include "tests/support/fake_clock.h"
#include "tests/support/fault.h"
#include "tests/support/temp_dir.h"

#define BOOT_ID "01234567-89ab-cdef-0123-456789abcdef"
#define UNTOUCHED "untouched"

typedef struct fixture {
    char *root, *file;
} fixture;

static void make_folder(const fixture *f, const char *name)
{
    char *path = pl_temp_path(f->root, name);

    assert_int_equal(mkdir(path, 0700), 0);
    free(path);
}

static int set_up(void **state)
{
    fixture *f = test_calloc(1, sizeof(*f));

    f->root = pl_temp_dir_new();
    make_folder(f, "sys");
    make_folder(f, "sys/kernel");
    make_folder(f, "sys/kernel/random");
    f->file = pl_temp_path(f->root, "sys/kernel/random/boot_id");
    *state = f;
    return 0;
}

static int tear_down(void **state)
{
    fixture *f = *state;

    pl_temp_dir_free(f->root);
    free(f->file);
    test_free(f);
    return 0;
}

static size_t count_fds(void)
{
    DIR *dir = opendir("/proc/self/fd");
    size_t n = 0;

    assert_non_null(dir);
    while (readdir(dir))
        n++;
    (void)closedir(dir);
    return n;
}

static void check_refused(const char *root, const char *named)
{
    char out[PL_BOOT_ID_SIZE] = UNTOUCHED;
    size_t fds = count_fds();

    assert_int_equal(pl_boot_id_read(root, out), PL_ERR_SYSTEM);
    assert_string_equal(out, UNTOUCHED);
    assert_non_null(strstr(pl_error_message(), named));
    assert_int_equal(count_fds(), fds);
}

static void check_read(const fixture *f, const char *contents)
{
    char out[PL_BOOT_ID_SIZE];
    size_t fds = count_fds();

    memset(out, 'x', sizeof(out));
    pl_temp_write(f->file, contents, strlen(contents), 0644);
    assert_int_equal(pl_boot_id_read(f->root, out), 0);
    assert_string_equal(out, BOOT_ID);
    assert_int_equal(count_fds(), fds);
}

static void test_boot_id_is_read(void **state)
{
    const fixture *f = *state;

    check_read(f, BOOT_ID "\n");
    check_read(f, BOOT_ID);                                /* no newline, as some containers' copies */
    check_read(f, BOOT_ID "\n" BOOT_ID "\n" BOOT_ID "\n"); /* more than asked for */
}

static void test_missing_boot_id_is_named(void **state)
{
    const fixture *f = *state;

    check_refused(f->root, f->file);
    check_refused("/nonexistent/proc", "/nonexistent/proc/sys/kernel/random/boot_id");
}

static void test_short_boot_id_is_refused(void **state)
{
    const fixture *f = *state;

    pl_temp_write(f->file, "", 0, 0644);
    check_refused(f->root, f->file);
    pl_temp_write(f->file, BOOT_ID, strlen(BOOT_ID) - 1, 0644);
    check_refused(f->root, f->file);
}

static void test_unreadable_boot_id_is_refused(void **state)
{
    const fixture *f = *state;
    char out[PL_BOOT_ID_SIZE] = UNTOUCHED;

    make_folder(f, "sys/kernel/random/boot_id"); /* opens, and every read is EISDIR */
    check_refused(f->root, f->file);
    assert_int_equal(remove(f->file), 0);

    pl_temp_write(f->file, BOOT_ID "\n", strlen(BOOT_ID) + 1, 0644);
    pl_fault_arm(PL_FAULT_OPEN, 1, EMFILE);
    int opened = pl_boot_id_read(f->root, out);
    pl_fault_arm(PL_FAULT_READ, 1, EIO);
    int read = pl_boot_id_read(f->root, out);
    pl_fault_disarm();
    assert_int_equal(opened, PL_ERR_SYSTEM);
    assert_int_equal(read, PL_ERR_SYSTEM);
    assert_string_equal(out, UNTOUCHED);
}

static void test_boot_id_needs_no_memory(void **state)
{
    const fixture *f = *state;
    char out[PL_BOOT_ID_SIZE] = UNTOUCHED;

    pl_temp_write(f->file, BOOT_ID "\n", strlen(BOOT_ID) + 1, 0644);
    pl_fault_arm_from(PL_FAULT_ALLOC, 1, ENOMEM);
    int good = pl_boot_id_read(f->root, out), bad = pl_boot_id_read("/nonexistent", (char[PL_BOOT_ID_SIZE]){0});
    bool fired = pl_fault_fired();
    pl_fault_disarm();
    assert_int_equal(good, 0);
    assert_int_equal(bad, PL_ERR_SYSTEM);
    assert_string_equal(out, BOOT_ID);
    assert_false(fired);
}

static void test_this_boot_has_one_id(void **state)
{
    char a[PL_BOOT_ID_SIZE], b[PL_BOOT_ID_SIZE];

    (void)state;
    assert_int_equal(pl_boot_id_read("/proc", a), 0);
    assert_int_equal(pl_boot_id_read("/proc", b), 0);
    assert_string_equal(a, b);
    assert_int_equal(strlen(a), PL_BOOT_ID_SIZE - 1);
    assert_int_equal(strspn(a, "0123456789abcdef-"), PL_BOOT_ID_SIZE - 1);
}

static int64_t now(clockid_t id)
{
    struct timespec t;

    assert_int_equal(clock_gettime(id, &t), 0);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

static void test_system_clock_reads_realtime_and_boottime(void **state)
{
    const pl_clock *clock = pl_clock_system();
    int64_t before, read, after;

    (void)state;
    before = now(CLOCK_REALTIME);
    read = pl_clock_realtime_ns(clock);
    after = now(CLOCK_REALTIME);
    assert_true(before <= read && read <= after);
    before = now(CLOCK_BOOTTIME);
    read = pl_clock_boottime_ns(clock);
    after = now(CLOCK_BOOTTIME);
    assert_true(before <= read && read <= after);
    assert_ptr_equal(pl_clock_system(), clock); /* one for all */
}

static void test_clock_is_a_parameter(void **state)
{
    pl_fake_clock fake;

    (void)state;
    pl_fake_clock_init(&fake, 100 * PL_NS_PER_S, 7 * PL_NS_PER_S);
    pl_fake_clock_advance(&fake, PL_NS_PER_MS);
    assert_int_equal(pl_clock_realtime_ns(&fake.clock), 100 * PL_NS_PER_S + PL_NS_PER_MS);
    assert_int_equal(pl_clock_boottime_ns(&fake.clock), 7 * PL_NS_PER_S + PL_NS_PER_MS);
    pl_fake_clock_advance(&fake, -50 * PL_NS_PER_S); /* somebody sets the clock: the time since boot goes on */
    assert_int_equal(pl_clock_realtime_ns(&fake.clock), 50 * PL_NS_PER_S + PL_NS_PER_MS);
    assert_int_equal(pl_clock_boottime_ns(&fake.clock), 7 * PL_NS_PER_S + PL_NS_PER_MS);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(test_boot_id_is_read),
        CASE(test_missing_boot_id_is_named),
        CASE(test_short_boot_id_is_refused),
        CASE(test_unreadable_boot_id_is_refused),
        CASE(test_boot_id_needs_no_memory),
        cmocka_unit_test(test_this_boot_has_one_id),
        cmocka_unit_test(test_system_clock_reads_realtime_and_boottime),
        cmocka_unit_test(test_clock_is_a_parameter),
    };

    return cmocka_run_group_tests_name("clock", tests, NULL, NULL);
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The name of what is open: of files as they are called now, and of what has none. */
#include "src/base/fd.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "src/base/error.h"
#include "tests/support/fault.h"
#include "tests/support/temp_dir.h"

static void check_name(int fd, const char *expected)
{
    char *name = NULL;

    assert_int_equal(pl_fd_name(fd, &name), 0);
    if (expected)
        assert_string_equal(name, expected);
    else
        assert_null(name);
    free(name);
}

static void test_file_is_called_what_it_is_called_now(void **state)
{
    char *dir = pl_temp_dir_new(), *first = pl_temp_path(dir, "a \n\xff (deleted)"), *second = pl_temp_path(dir, "b");
    char unlinked[PATH_MAX];

    (void)state;
    pl_temp_write(first, "x", 1, 0600);
    int fd = open(first, O_PATH | O_CLOEXEC);
    assert_true(fd >= 0);
    check_name(fd, first);
    assert_int_equal(rename(first, second), 0);
    check_name(fd, second);
    assert_int_equal(unlink(second), 0);
    (void)snprintf(unlinked, sizeof(unlinked), "%s (deleted)", second);
    check_name(fd, unlinked);
    assert_int_equal(close(fd), 0);
    free(first);
    free(second);
    pl_temp_dir_free(dir);
}

static void test_what_has_no_name(void **state)
{
    int ends[2];
    char *name = (char *)"of before";

    (void)state;
    assert_int_equal(pipe(ends), 0);
    assert_int_equal(pl_fd_name(ends[0], &name), 0);
    assert_null(name);
    assert_int_equal(close(ends[0]), 0);
    assert_int_equal(close(ends[1]), 0);
    check_name(ends[0], NULL); /* not open any more */
    check_name(-1, NULL);
}

/* Deeper than PATH_MAX the kernel tells no name. */
static void test_a_cut_name_is_not_told(void **state)
{
    char *dir = pl_temp_dir_new(), part[NAME_MAX + 1];
    int fds[PATH_MAX / NAME_MAX + 2], depth = sizeof(fds) / sizeof(fds[0]), i;

    (void)state;
    memset(part, 'd', NAME_MAX);
    part[NAME_MAX] = '\0';
    int at = open(dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
    for (i = 0; i < depth; i++) {
        assert_int_equal(mkdirat(i ? fds[i - 1] : at, part, 0700), 0);
        fds[i] = openat(i ? fds[i - 1] : at, part, O_PATH | O_DIRECTORY | O_CLOEXEC);
        assert_true(fds[i] >= 0);
    }
    check_name(fds[depth - 1], NULL);
    while (i-- > 0) {
        assert_int_equal(close(fds[i]), 0);
        assert_int_equal(unlinkat(i ? fds[i - 1] : at, part, AT_REMOVEDIR), 0);
    }
    assert_int_equal(close(at), 0);
    pl_temp_dir_free(dir);
}

static void test_no_memory(void **state)
{
    char *name = (char *)"untouched";
    int fd = open("/", O_PATH | O_CLOEXEC);

    (void)state;
    pl_fault_arm(PL_FAULT_ALLOC, 1, ENOMEM);
    assert_int_equal(pl_fd_name(fd, &name), PL_ERR_NOMEM);
    assert_true(pl_fault_fired());
    pl_fault_disarm();
    assert_string_equal(name, "untouched");
    assert_int_equal(close(fd), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_file_is_called_what_it_is_called_now),
        cmocka_unit_test(test_what_has_no_name),
        cmocka_unit_test(test_a_cut_name_is_not_told),
        cmocka_unit_test(test_no_memory),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

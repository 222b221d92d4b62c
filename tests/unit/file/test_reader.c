/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Reading ahead: the bytes in their order, the end, failures, and leaving in the middle. */
#include "src/file/reader.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include <procledger/procledger.h>

#include "tests/support/fault.h"
#include "tests/support/temp_dir.h"

#define SIZE 10007 /* of the file: no multiple of any block */

typedef struct fixture {
    char *dir, *path;
    unsigned char bytes[SIZE];
    int fd;
} fixture;

static int set_up(void **state)
{
    fixture *f = test_calloc(1, sizeof(*f));

    f->dir = pl_temp_dir_new();
    f->path = pl_temp_path(f->dir, "file");
    for (size_t i = 0; i < SIZE; i++)
        f->bytes[i] = (unsigned char)(i * 31 + i / 251);
    pl_temp_write(f->path, f->bytes, SIZE, 0600);
    f->fd = open(f->path, O_RDONLY | O_CLOEXEC);
    assert_true(f->fd >= 0);
    *state = f;
    return 0;
}

static int tear_down(void **state)
{
    fixture *f = *state;

    (void)close(f->fd);
    pl_temp_dir_free(f->dir);
    free(f->path);
    test_free(f);
    return 0;
}

/* Reads to the end and compares; returns how many bytes came. */
static size_t read_all(const fixture *f, pl_reader *reader)
{
    size_t at = 0;
    const void *bytes;
    int errnum;
    ssize_t n;

    while ((n = pl_reader_next(reader, &bytes, &errnum)) > 0) {
        assert_true(at + (size_t)n <= SIZE);
        assert_memory_equal(bytes, f->bytes + at, (size_t)n);
        at += (size_t)n;
    }
    assert_int_equal(n, 0);
    assert_int_equal(pl_reader_next(reader, &bytes, &errnum), 0); /* the end stays the end */
    return at;
}

static void test_bytes_come_in_their_order(void **state)
{
    static const size_t sizes[] = {1, 7, 100, 5003, SIZE, 3 * SIZE};
    fixture *f = *state;

    for (size_t i = 0; i < sizeof(sizes) / sizeof(*sizes); i++) {
        pl_reader *reader = NULL;
        assert_int_equal(pl_reader_new(f->fd, SIZE, sizes[i], &reader), 0);
        assert_int_equal(read_all(f, reader), SIZE);
        assert_null(pl_reader_free(reader));
    }
    assert_int_equal(lseek(f->fd, 0, SEEK_CUR), 0); /* the offset is nobody's */
}

/* A file that grows for ever is read one block beyond its limit, no more. */
static void test_reading_ends_behind_the_limit(void **state)
{
    fixture *f = *state;
    pl_reader *reader = NULL;

    assert_int_equal(pl_reader_new(f->fd, 1000, 100, &reader), 0);
    assert_int_equal(read_all(f, reader), 1100);
    (void)pl_reader_free(reader);
}

static void test_empty_file_is_its_end(void **state)
{
    fixture *f = *state;
    pl_reader *reader = NULL;

    assert_int_equal(truncate(f->path, 0), 0);
    assert_int_equal(pl_reader_new(f->fd, 0, 100, &reader), 0);
    assert_int_equal(read_all(f, reader), 0);
    (void)pl_reader_free(reader);
}

static void test_owner_may_leave_at_any_point(void **state)
{
    fixture *f = *state;
    const void *bytes;
    int errnum;

    for (int taken = 0; taken < 6; taken++) {
        pl_reader *reader = NULL;
        assert_int_equal(pl_reader_new(f->fd, SIZE, 1000, &reader), 0);
        for (int i = 0; i < taken; i++)
            assert_int_equal(pl_reader_next(reader, &bytes, &errnum), 1000);
        (void)pl_reader_free(reader);
    }
    assert_null(pl_reader_free(NULL));
}

static void test_failed_read_is_told_after_what_came_before(void **state)
{
    fixture *f = *state;
    pl_reader *reader = NULL;
    const void *bytes;
    int errnum = 0;

    pl_fault_arm(PL_FAULT_READ, 3, EIO);
    assert_int_equal(pl_reader_new(f->fd, SIZE, 1000, &reader), 0);
    assert_int_equal(pl_reader_next(reader, &bytes, &errnum), 1000);
    assert_int_equal(pl_reader_next(reader, &bytes, &errnum), 1000);
    assert_int_equal(pl_reader_next(reader, &bytes, &errnum), -1);
    assert_int_equal(errnum, EIO);
    assert_int_equal(pl_reader_next(reader, &bytes, &errnum), -1);
    assert_true(pl_fault_fired());
    (void)pl_reader_free(reader);
    pl_fault_disarm();
}

static void test_interrupted_read_goes_on(void **state)
{
    fixture *f = *state;
    pl_reader *reader = NULL;

    pl_fault_arm(PL_FAULT_READ, 2, EINTR);
    assert_int_equal(pl_reader_new(f->fd, SIZE, 1000, &reader), 0);
    assert_int_equal(read_all(f, reader), SIZE);
    assert_true(pl_fault_fired());
    (void)pl_reader_free(reader);
    pl_fault_disarm();
}

static void test_no_memory_and_no_thread(void **state)
{
    fixture *f = *state;

    for (unsigned n = 1; n <= 3; n++) {
        pl_reader *reader = NULL;
        pl_fault_arm(PL_FAULT_ALLOC, n, ENOMEM);
        int rc = pl_reader_new(f->fd, SIZE, 100, &reader);
        pl_fault_disarm();
        assert_int_equal(rc, PL_ERR_NOMEM);
        assert_null(reader);
    }
    pl_reader *reader = NULL;
    pl_fault_arm(PL_FAULT_THREAD, 1, EAGAIN);
    int rc = pl_reader_new(f->fd, SIZE, 100, &reader);
    pl_fault_disarm();
    assert_int_equal(rc, PL_ERR_SYSTEM);
    assert_null(reader);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(test_bytes_come_in_their_order),
        CASE(test_reading_ends_behind_the_limit),
        CASE(test_empty_file_is_its_end),
        CASE(test_owner_may_leave_at_any_point),
        CASE(test_failed_read_is_told_after_what_came_before),
        CASE(test_interrupted_read_goes_on),
        CASE(test_no_memory_and_no_thread),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

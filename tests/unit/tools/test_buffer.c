/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Bytes that grow: what is appended comes out whole, or the failure does, once, where it is written. */
#include "tools/procledger/buffer.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <procledger/procledger.h>

#include "tests/support/fault.h"

static void holds(const pl_buffer *buffer, const char *text)
{
    assert_int_equal(buffer->length, strlen(text));
    assert_memory_equal(buffer->bytes ? buffer->bytes : "", text, strlen(text));
}

static void test_appends(void **state)
{
    pl_buffer buffer = {0};

    (void)state;
    pl_buffer_append(&buffer, "", 0);
    assert_null(buffer.bytes); /* nothing was needed */
    pl_buffer_text(&buffer, "one ");
    pl_buffer_append(&buffer, "two\0x", 3);
    pl_buffer_fill(&buffer, '.', 3);
    pl_buffer_fill(&buffer, '!', 0);
    pl_buffer_format(&buffer, " %d %s", 4, "five");
    holds(&buffer, "one two... 4 five");
    pl_buffer_clear(&buffer);
    holds(&buffer, "");
    pl_buffer_deinit(&buffer);
    pl_buffer_deinit(&buffer); /* its null value */
}

static void test_grows(void **state)
{
    pl_buffer buffer = {0};
    size_t length = 0;
    char block[1000];

    (void)state;
    memset(block, 'x', sizeof(block));
    for (int i = 0; i < 200; i++) {
        pl_buffer_append(&buffer, block, sizeof(block));
        pl_buffer_format(&buffer, "%0*d", 333, i);
        length += sizeof(block) + 333;
    }
    assert_false(buffer.failed);
    assert_int_equal(buffer.length, length);
    for (size_t i = 0; i < 200; i++) {
        assert_memory_equal(buffer.bytes + i * 1333, block, sizeof(block));
        assert_int_equal(strtol(buffer.bytes + i * 1333 + 1000 + 330, NULL, 10) % 1000, i);
    }
    pl_buffer_deinit(&buffer);
}

/* A format that ends exactly at the end of what is there. */
static void test_format_at_the_edge(void **state)
{
    (void)state;
    for (size_t at = 4080; at <= 4100; at++) {
        pl_buffer buffer = {0};
        pl_buffer_fill(&buffer, 'a', at);
        pl_buffer_format(&buffer, "%s", "0123456789");
        assert_int_equal(buffer.length, at + 10);
        assert_memory_equal(buffer.bytes + at, "0123456789", 10);
        pl_buffer_deinit(&buffer);
    }
}

static void test_escapes(void **state)
{
    pl_buffer buffer = {0};

    (void)state;
    pl_buffer_escaped(&buffer, "plain", 5);
    pl_buffer_escaped(&buffer, "\x1b[31m\n\xff\xe2\x80\xae\xc2\x9b\xc3\xa9", 14);
    holds(&buffer, "plain\\x1b[31m\\n\\xff\\u202e\\u009b\xc3\xa9");
    pl_buffer_deinit(&buffer);
}

static void test_writes_all(void **state)
{
    pl_buffer buffer = {0};
    char back[16] = "";
    int ends[2];

    (void)state;
    assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
    assert_int_equal(pl_buffer_write(&buffer, -1), 0); /* nothing to write */
    pl_buffer_text(&buffer, "to the pipe");
    pl_fault_arm(PL_FAULT_WRITE, 1, EINTR);
    assert_int_equal(pl_buffer_write(&buffer, ends[1]), 0);
    assert_true(pl_fault_fired());
    pl_fault_disarm();
    assert_int_equal(read(ends[0], back, sizeof(back)), 11);
    assert_string_equal(back, "to the pipe");
    holds(&buffer, "");
    assert_false(buffer.reader_gone);
    pl_buffer_deinit(&buffer);
    (void)close(ends[0]);
    (void)close(ends[1]);
}

/* More than a pipe holds, in as many writes as it takes. */
static void test_writes_in_parts(void **state)
{
    pl_buffer buffer = {0};
    int ends[2];
    char block[4096];
    size_t got = 0;

    (void)state;
    assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
    pl_buffer_fill(&buffer, 'p', 1 << 20);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        (void)close(ends[0]);
        _exit(pl_buffer_write(&buffer, ends[1]) == 0 ? 0 : 1);
    }
    (void)close(ends[1]);
    for (ssize_t n; (n = read(ends[0], block, sizeof(block))) > 0; got += (size_t)n)
        for (ssize_t i = 0; i < n; i++)
            assert_int_equal(block[i], 'p');
    assert_int_equal(got, 1 << 20);
    (void)close(ends[0]);
    pl_buffer_deinit(&buffer);
}

static void test_a_failed_write_is_told(void **state)
{
    pl_buffer buffer = {0};
    int ends[2];

    (void)state;
    pl_buffer_text(&buffer, "text");
    pl_fault_arm(PL_FAULT_WRITE, 1, ENOSPC);
    assert_int_equal(pl_buffer_write(&buffer, STDOUT_FILENO), PL_ERR_FULL);
    pl_fault_disarm();
    assert_non_null(strstr(pl_error_message(), "No space left"));
    assert_false(buffer.reader_gone);
    assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
    (void)close(ends[0]);
    void (*before)(int) = signal(SIGPIPE, SIG_IGN);
    assert_true(pl_buffer_write(&buffer, ends[1]) < 0);
    assert_true(buffer.reader_gone);
    (void)signal(SIGPIPE, before);
    (void)close(ends[1]);
    pl_buffer_deinit(&buffer);
}

/* After a failure nothing is appended any more, so that no output has holes. */
static void test_a_failed_append_is_told(void **state)
{
    (void)state;
    for (int kind = 0; kind < 4; kind++) {
        pl_buffer buffer = {0};
        pl_fault_arm(PL_FAULT_ALLOC, 1, ENOMEM);
        if (kind == 0)
            pl_buffer_text(&buffer, "first");
        else if (kind == 1)
            pl_buffer_fill(&buffer, 'x', 5);
        else if (kind == 2)
            pl_buffer_format(&buffer, "%d", 5);
        else
            pl_buffer_escaped(&buffer, "\x1b", 1);
        assert_true(pl_fault_fired());
        pl_fault_disarm();
        pl_buffer_text(&buffer, "second");
        pl_buffer_fill(&buffer, 'x', 5);
        pl_buffer_format(&buffer, "%d", 5);
        pl_buffer_escaped(&buffer, "\x1b", 1);
        holds(&buffer, "");
        assert_true(buffer.failed);
        assert_int_equal(pl_buffer_write(&buffer, STDOUT_FILENO), PL_ERR_NOMEM);
        pl_buffer_deinit(&buffer);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_appends),
        cmocka_unit_test(test_grows),
        cmocka_unit_test(test_format_at_the_edge),
        cmocka_unit_test(test_escapes),
        cmocka_unit_test(test_writes_all),
        cmocka_unit_test(test_writes_in_parts),
        cmocka_unit_test(test_a_failed_write_is_told),
        cmocka_unit_test(test_a_failed_append_is_told),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

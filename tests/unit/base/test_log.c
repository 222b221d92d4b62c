/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The log as an object: what its owner's callback gets, and what never reaches it. The callback here keeps the last
 * line and counts. Standard error goes into a file for the one test that looks at it.
 */
#include "src/base/log.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "src/base/text.h"
#include "tests/support/fault.h"
#include "tests/support/temp_dir.h"

#define LINE_MAX_BYTES 1023

typedef struct kept {
    unsigned lines;
    pl_log_level level;
    char text[2048];
} kept;

static void keep(void *context, pl_log_level level, const char *line)
{
    kept *k = context;

    k->lines++;
    k->level = level;
    assert_true(strlen(line) < sizeof(k->text));
    (void)stpcpy(k->text, line);
}

static void test_level_filters(void **state)
{
    (void)state;
    for (pl_log_level limit = PL_LOG_ERROR; limit <= PL_LOG_DEBUG; limit++)
        for (pl_log_level level = PL_LOG_ERROR; level <= PL_LOG_DEBUG; level++) {
            kept k = {0};
            pl_log log = {.write = keep, .context = &k, .level = limit};
            pl_log_write(&log, level, "line %d", 7);
            assert_int_equal(k.lines, level <= limit);
            if (k.lines) {
                assert_int_equal(k.level, level);
                assert_string_equal(k.text, "line 7");
            }
        }
}

/* Whoever formats it dies of the pointer. */
static void test_what_is_filtered_is_not_formatted(void **state)
{
    kept k = {0};
    pl_log log = {.write = keep, .context = &k, .level = PL_LOG_WARNING};

    (void)state;
    pl_log_write(&log, PL_LOG_INFO, "%s", (const char *)(uintptr_t)16);
    pl_log_write(NULL, PL_LOG_ERROR, "%s", (const char *)(uintptr_t)16);
    assert_int_equal(k.lines, 0);
}

static void test_no_log_no_callback_nothing_happens(void **state)
{
    pl_log silent = {.level = PL_LOG_DEBUG};

    (void)state;
    pl_log_write(NULL, PL_LOG_ERROR, "to nobody");
    pl_log_write(&silent, PL_LOG_ERROR, "to nobody");
}

static void test_lines_are_escaped(void **state)
{
    kept k = {0};
    pl_log log = {.write = keep, .context = &k, .level = PL_LOG_DEBUG};

    (void)state;
    pl_log_write(&log, PL_LOG_ERROR, "%s", "two\nlines \x1b[2J \xe2\x80\xae \xff \xc3\xa4\n");
    assert_string_equal(k.text, "two\\nlines \\x1b[2J \\u202e \\xff \xc3\xa4\\n");
    assert_int_equal(k.lines, 1);
    pl_log_write(&log, PL_LOG_ERROR, "%s", "");
    assert_string_equal(k.text, "");
    assert_int_equal(k.lines, 2);
}

static void check_cut(const char *unit, const char *escaped)
{
    kept k = {0};
    pl_log log = {.write = keep, .context = &k, .level = PL_LOG_DEBUG};
    size_t n = strlen(unit), length = 3000 / n * n;
    char text[3001], whole[3000 * 4 + 1];

    for (size_t i = 0; i < length; i += n)
        memcpy(text + i, unit, n);
    text[length] = '\0';
    pl_log_write(&log, PL_LOG_INFO, "%s", text);
    assert_int_equal(k.lines, 1);
    /* As many units as fit: none is torn, none is missing. */
    assert_int_equal(strlen(k.text), LINE_MAX_BYTES / strlen(escaped) * strlen(escaped));
    (void)pl_text_escape_into(text, length, whole, sizeof(whole));
    assert_memory_equal(k.text, whole, strlen(k.text));
}

static void test_lines_are_cut_at_1023_bytes(void **state)
{
    (void)state;
    check_cut("a", "a");
    check_cut("\n", "\\n");
    check_cut("\x1b", "\\x1b");
    check_cut("\xe2\x80\xae", "\\u202e");
    check_cut("\xc3\xa4", "\xc3\xa4"); /* a character that the first cut tears does not come out as garbage */
    check_cut("\xe2\x82\xac", "\xe2\x82\xac");
    check_cut("\xf0\x9f\x98\x80", "\xf0\x9f\x98\x80");
}

static void test_a_torn_last_character_is_left_out(void **state)
{
    (void)state;
    for (size_t before = LINE_MAX_BYTES - 8; before <= LINE_MAX_BYTES; before++) {
        kept k = {0};
        pl_log log = {.write = keep, .context = &k, .level = PL_LOG_DEBUG};
        char text[LINE_MAX_BYTES + 16];
        memset(text, 'x', before);
        (void)stpcpy(text + before, "\xf0\x9f\x98\x80");
        pl_log_write(&log, PL_LOG_INFO, "%s", text);
        assert_int_equal(strlen(k.text), before + 4 <= LINE_MAX_BYTES ? before + 4 : before);
        assert_memory_equal(k.text, text, strlen(k.text));
    }
}

static void test_logging_needs_no_memory(void **state)
{
    kept k = {0};
    pl_log log = {.write = keep, .context = &k, .level = PL_LOG_DEBUG};

    (void)state;
    pl_fault_arm_from(PL_FAULT_ALLOC, 1, ENOMEM);
    pl_log_write(&log, PL_LOG_ERROR, "%s %d\n", "out of memory", 12);
    bool fired = pl_fault_fired();
    pl_fault_disarm();
    assert_false(fired);
    assert_string_equal(k.text, "out of memory 12\\n");
}

static void test_stderr_lines_name_program_and_urgency(void **state)
{
    static const char expected[] = "prog: error: one\n"
                                   "prog: warning: two\\n\n"
                                   "prog: three\n"
                                   "prog: debug: four\n";
    char *dir = pl_temp_dir_new(), *path = pl_temp_path(dir, "stderr"), text[256] = "";
    pl_log log, quiet;

    (void)state;
    pl_log_init_stderr(&log, "prog", PL_LOG_DEBUG);
    pl_log_init_stderr(&quiet, "prog", PL_LOG_ERROR);
    pl_temp_write(path, "", 0, 0600);
    int file = open(path, O_RDWR | O_CLOEXEC), saved = dup(STDERR_FILENO);
    assert_true(file >= 0 && saved >= 0);
    (void)fflush(stderr);
    assert_int_equal(dup2(file, STDERR_FILENO), STDERR_FILENO);
    pl_log_write(&log, PL_LOG_ERROR, "one");
    pl_log_write(&log, PL_LOG_WARNING, "two\n");
    pl_log_write(&log, PL_LOG_INFO, "three");
    pl_log_write(&log, PL_LOG_DEBUG, "four");
    pl_log_write(&quiet, PL_LOG_WARNING, "five");
    (void)fflush(stderr);
    int back = dup2(saved, STDERR_FILENO);
    assert_int_equal(back, STDERR_FILENO);
    ssize_t n = pread(file, text, sizeof(text) - 1, 0);
    assert_int_equal(n, sizeof(expected) - 1);
    assert_string_equal(text, expected);
    (void)close(saved);
    (void)close(file);
    free(path);
    pl_temp_dir_free(dir);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_level_filters),
        cmocka_unit_test(test_what_is_filtered_is_not_formatted),
        cmocka_unit_test(test_no_log_no_callback_nothing_happens),
        cmocka_unit_test(test_lines_are_escaped),
        cmocka_unit_test(test_lines_are_cut_at_1023_bytes),
        cmocka_unit_test(test_a_torn_last_character_is_left_out),
        cmocka_unit_test(test_logging_needs_no_memory),
        cmocka_unit_test(test_stderr_lines_name_program_and_urgency),
    };

    return cmocka_run_group_tests_name("log", tests, NULL, NULL);
}

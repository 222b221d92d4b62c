/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The pager as a child between stdout and where it led: what it reads, how it ends, and what is as before afterwards. */
#include "tests/unit/tools/cli_support.h"

#include <signal.h>
#include <sys/wait.h>

static int prepare(void **state)
{
    set_environment();
    return set_up(state);
}

/* $PAGER that copies its input to a file of the test's. */
static void page_into(const char *file)
{
    char command[512];

    (void)snprintf(command, sizeof(command), "cat > '%s'", file);
    assert_int_equal(setenv("PAGER", command, 1), 0);
}

static void holds(const char *file, const char *expected)
{
    char text[256] = "";
    int fd = open(file, O_RDONLY | O_CLOEXEC);

    assert_true(fd >= 0);
    assert_true(read(fd, text, sizeof(text) - 1) >= 0);
    assert_string_equal(text, expected);
    assert_int_equal(close(fd), 0);
}

static void say(const char *text)
{
    assert_int_equal(write(STDOUT_FILENO, text, strlen(text)), strlen(text));
}

/* stdout goes somewhere that the test can look at. */
typedef struct redirect {
    int saved, file;
} redirect;

static redirect redirect_stdout(void)
{
    (void)fflush(stdout);
    redirect r = {dup(STDOUT_FILENO), scratch_file()};
    assert_true(dup2(r.file, STDOUT_FILENO) >= 0);
    return r;
}

static char *restore_stdout(redirect r)
{
    assert_true(dup2(r.saved, STDOUT_FILENO) >= 0);
    assert_int_equal(close(r.saved), 0);
    return read_back(r.file, NULL);
}

static void test_output_goes_through_it(void **state)
{
    const fixture *f = *state;
    pl_cli cli = {0};
    char *file = pl_temp_path(f->dir, "seen");

    page_into(file);
    redirect r = redirect_stdout();
    assert_int_equal(pl_pager_start(&cli), 0);
    assert_true(cli.pager > 0);
    assert_ptr_equal(signal(SIGINT, SIG_IGN), SIG_IGN); /* it is the pager's */
    say("to the pager\n");
    assert_int_equal(pl_pager_stop(&cli), 0);
    assert_int_equal(cli.pager, 0);
    assert_int_equal(waitpid(-1, NULL, WNOHANG), -1); /* waited for */
    say("behind it\n");
    char *rest = restore_stdout(r);
    assert_string_equal(rest, "behind it\n");
    holds(file, "to the pager\n");
    assert_ptr_equal(signal(SIGINT, SIG_DFL), SIG_DFL);
    assert_int_equal(pl_pager_stop(&cli), 0); /* once is enough */
    free(rest);
    free(file);
}

static void test_no_pager_wanted(void **state)
{
    static const char *const none[] = {"", "cat"};
    pl_cli cli = {0};

    (void)state;
    for (size_t i = 0; i < sizeof(none) / sizeof(none[0]); i++) {
        assert_int_equal(setenv("PAGER", none[i], 1), 0);
        assert_int_equal(pl_pager_start(&cli), 0);
        assert_int_equal(cli.pager, 0);
        assert_int_equal(pl_pager_stop(&cli), 0);
    }
}

static void test_options_of_less(void **state)
{
    const fixture *f = *state;
    pl_cli cli = {0};
    char *file = pl_temp_path(f->dir, "seen"), command[512];

    (void)snprintf(command, sizeof(command), "printf %%s \"$LESS\" > '%s'; cat > /dev/null", file);
    assert_int_equal(setenv("PAGER", command, 1) | unsetenv("LESS"), 0);
    assert_int_equal(pl_pager_start(&cli), 0);
    assert_int_equal(pl_pager_stop(&cli), 0);
    holds(file, "FRSXMK");
    assert_int_equal(setenv("LESS", "-X", 1), 0);
    assert_int_equal(pl_pager_start(&cli), 0);
    assert_int_equal(pl_pager_stop(&cli), 0);
    holds(file, "-X");
    free(file);
}

/* Nobody saw the output: that is no success. */
static void test_a_pager_that_is_not_there(void **state)
{
    pl_cli cli = {0};

    (void)state;
    assert_int_equal(setenv("PAGER", "/nowhere/pager 2>/dev/null", 1), 0);
    assert_int_equal(pl_pager_start(&cli), 0);
    assert_int_equal(pl_pager_stop(&cli), PL_ERR_SYSTEM);
    assert_non_null(strstr(pl_error_message(), "PAGER"));
    /* One that ends badly by itself was there. */
    assert_int_equal(setenv("PAGER", "exit 3", 1), 0);
    assert_int_equal(pl_pager_start(&cli), 0);
    assert_int_equal(pl_pager_stop(&cli), 0);
}

/* Leaving it early is no failure, and ends no process by SIGPIPE. */
static void test_left_early(void **state)
{
    static const pl_column column[] = {{"pid", "PID", PL_SHOW_INTEGER}};
    static const pl_layout layout = {column, 1};
    pl_field field = {.name = "pid", .type = PL_CELL_INTEGER, .integer = 1};
    const pl_record record = {.fields = &field, .count = 1};
    pl_cli cli = {.format = &pl_output_table};
    int rc = 0;

    (void)state;
    assert_int_equal(setenv("PAGER", "head -n 1 >/dev/null", 1), 0);
    assert_int_equal(pl_cli_begin(&cli, &layout, &record), 0); /* stdout is no terminal: no pager yet */
    assert_int_equal(cli.pager, 0);
    assert_int_equal(pl_pager_start(&cli), 0);
    for (int i = 0; i < 1000000 && rc == 0; i++) {
        pl_output_row(&cli.output, &record);
        rc = i % 1000 == 999 ? pl_output_flush(&cli.output) : 0;
    }
    assert_true(rc < 0);
    assert_true(cli.output.buffer.reader_gone);
    assert_int_equal(pl_cli_end_failed(&cli, rc), PL_EXIT_FINE);
    assert_int_equal(cli.pager, 0);
    pl_output_deinit(&cli.output);
}

/* The same without a pager is one. */
static void test_a_failed_write_without_a_pager(void **state)
{
    int full = open("/dev/full", O_WRONLY | O_CLOEXEC);
    pl_cli cli = {.format = &pl_output_json};

    (void)state;
    assert_true(full >= 0);
    pl_output_init(&cli.output, cli.format, &(pl_layout){0}, full);
    pl_output_begin(&cli.output, &(pl_record){0});
    int saved = dup(STDERR_FILENO), file = scratch_file();
    assert_true(dup2(file, STDERR_FILENO) >= 0);
    int status = pl_cli_end(&cli);
    assert_true(dup2(saved, STDERR_FILENO) >= 0);
    char *text = read_back(file, NULL);
    assert_int_equal(status, PL_EXIT_FAILED);
    assert_non_null(strstr(text, "No space left"));
    free(text);
    (void)close(saved);
    (void)close(full);
    pl_output_deinit(&cli.output);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_output_goes_through_it, prepare, tear_down),
        cmocka_unit_test_setup_teardown(test_no_pager_wanted, prepare, tear_down),
        cmocka_unit_test_setup_teardown(test_options_of_less, prepare, tear_down),
        cmocka_unit_test_setup_teardown(test_a_pager_that_is_not_there, prepare, tear_down),
        cmocka_unit_test_setup_teardown(test_left_early, prepare, tear_down),
        cmocka_unit_test_setup_teardown(test_a_failed_write_without_a_pager, prepare, tear_down),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

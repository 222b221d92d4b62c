/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What execve was given and the script behind an interpreter: hostile and missing memory against a /proc of the test's
 * own, the rest with real scripts.
 */
#include "src/process/exec_name.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include <cmocka.h>

#include "src/process/procfs.h"
#include "tests/support/fault.h"
#include "tests/unit/process/fake_proc.h"
#include "tests/unit/process/live.h"
#include "tests/unit/process/pinned.h"

typedef struct fixture {
    char *dir, *shell;
    pl_procfs fake, real;
} fixture;

static int set_up(void **state)
{
    fixture *f = test_calloc(1, sizeof(*f));

    f->dir = pl_temp_dir_new();
    f->shell = pl_temp_path(f->dir, "shell");
    live_copy("/bin/sh", f->shell, 0755);
    f->fake = (pl_procfs){.root = f->dir, .pin = true};
    f->real = (pl_procfs){.root = "/proc", .pin = true};
    *state = f;
    return 0;
}

static int tear_down(void **state)
{
    fixture *f = *state;

    pl_temp_dir_free(f->dir);
    free(f->shell);
    test_free(f);
    return 0;
}

static pl_image read_image(const pl_procfs *procfs, pid_t pid)
{
    pl_image image = PL_IMAGE_NULL;

    assert_int_equal(pl_procfs_read_image(procfs, pid, &image), 0);
    return image;
}

/* A fake process 100 that runs the shell, was called `name` and has these arguments. */
static void add(const fixture *f, const char *name, const char *argv, size_t length)
{
    fake_process p = {
        .pid = 100, .ppid = 1, .start_ticks = 1, .exe = f->shell, .cmdline = argv, .cmdline_length = length};

    fake_add(f->dir, &p);
    if (name)
        fake_exec_name(f->dir, 100, name);
}

static char *script(const fixture *f, const char *name, const char *interpreter, const char *body)
{
    char *path = pl_temp_path(f->dir, name), *text = NULL;

    int n = asprintf(&text, "#!%s\n%s\n", interpreter, body);
    assert_true(n > 0);
    pl_temp_write(path, text, (size_t)n, 0755);
    free(text);
    return path;
}

static void test_name_of_a_program(void **state)
{
    const fixture *f = *state;

    add(f, "./shell", "sh\0-c\0x\0", 8);
    pl_image image = read_image(&f->fake, 100);
    assert_string_equal(image.filename, "./shell");
    assert_null(image.script_path);
    assert_int_equal(image.script_fd, -1);
    pl_image_deinit(&image);
}

static void test_missing_or_broken_memory_is_not_known(void **state)
{
    const fixture *f = *state;
    const unsigned long no_name[] = {6, 4096, 0, 0}, outside[] = {31, 1ul << 40, 0, 0}, negative[] = {31, ~0ul, 0, 0};

    add(f, NULL, "sh", 0);
    pl_image image = read_image(&f->fake, 100);
    assert_null(image.filename);
    pl_image_deinit(&image);
    fake_exec_name(f->dir, 100, "x");
    fake_write(f->dir, 100, "auxv", no_name, sizeof(no_name));
    image = read_image(&f->fake, 100);
    assert_null(image.filename);
    pl_image_deinit(&image);
    fake_write(f->dir, 100, "auxv", outside, sizeof(outside));
    image = read_image(&f->fake, 100);
    assert_null(image.filename);
    pl_image_deinit(&image);
    fake_write(f->dir, 100, "auxv", negative, sizeof(negative));
    image = read_image(&f->fake, 100);
    assert_null(image.filename);
    pl_image_deinit(&image);
    fake_write(f->dir, 100, "auxv", "odd", 3);
    image = read_image(&f->fake, 100);
    assert_null(image.filename);
    pl_image_deinit(&image);
}

static void test_name_without_end_is_not_known(void **state)
{
    const fixture *f = *state;
    char memory[512 + 4096];

    add(f, "x", "sh", 0);
    memset(memory, 'a', sizeof(memory));
    fake_write(f->dir, 100, "mem", memory, sizeof(memory));
    pl_image image = read_image(&f->fake, 100);
    assert_null(image.filename);
    pl_image_deinit(&image);
    fake_write(f->dir, 100, "mem", "", 0);
    image = read_image(&f->fake, 100);
    assert_null(image.filename);
    pl_image_deinit(&image);
}

static void test_vector_of_a_32_bit_process(void **state)
{
    const fixture *f = *state;
    const uint32_t vector[] = {6, 4096, 31, 512, 0, 0};

    add(f, "/bin/thirty-two", "sh", 0);
    fake_write(f->dir, 100, "auxv", vector, sizeof(vector));
    pl_image image = read_image(&f->fake, 100);
    assert_string_equal(image.filename, "/bin/thirty-two");
    pl_image_deinit(&image);
}

/* Its own bytes, found by its absolute name, and pinned. */
static void test_script_by_absolute_name(void **state)
{
    const fixture *f = *state;
    char *path = script(f, "script", f->shell, "read x"), bytes[64];
    char *argv[] = {path, (char *)"one", NULL};

    live child = live_start(path, argv, NULL, NULL);
    pl_image image = read_image(&f->real, child.pid);
    assert_string_equal(image.exe, f->shell);
    assert_string_equal(image.filename, path);
    assert_string_equal(image.script_path, path);
    ssize_t n = pinned_read(image.script_fd, bytes, sizeof(bytes));
    assert_true(n > 2);
    assert_memory_equal(bytes, "#!", 2);
    assert_int_equal(image.script_identity.size, n);
    assert_int_equal(fcntl(image.script_fd, F_GETFD) & FD_CLOEXEC, FD_CLOEXEC);
    pl_image_deinit(&image);
    (void)live_end(&child);
    free(path);
}

static void into_folder(void *context)
{
    if (chdir(context) != 0)
        _exit(99);
}

static void test_script_by_relative_name_with_an_option(void **state)
{
    const fixture *f = *state;
    char *path = script(f, "script", f->shell, "read x"), *with_option = NULL;
    char *argv[] = {(char *)"script", NULL};

    assert_true(asprintf(&with_option, "#!%s -e\nread x\n", f->shell) > 0);
    pl_temp_write(path, with_option, strlen(with_option), 0755);
    live child = live_start("./script", argv, into_folder, f->dir);
    pl_image image = read_image(&f->real, child.pid);
    assert_string_equal(image.filename, "./script");
    assert_string_equal(image.script_path, path);
    assert_true(image.script_fd >= 0);
    pl_image_deinit(&image);
    (void)live_end(&child);
    free(with_option);
    free(path);
}

static void test_script_that_interprets_a_script(void **state)
{
    const fixture *f = *state;
    char *inner = script(f, "inner", f->shell, "read x"), *outer = script(f, "outer", inner, "");
    char *argv[] = {outer, NULL};

    live child = live_start(outer, argv, NULL, NULL);
    pl_image image = read_image(&f->real, child.pid);
    assert_string_equal(image.exe, f->shell);
    assert_string_equal(image.script_path, outer);
    pl_image_deinit(&image);
    (void)live_end(&child);
    free(inner);
    free(outer);
}

/* Its name is gone or another file's: what is pinned is what was found, nothing is made up. */
static void test_script_that_is_gone(void **state)
{
    const fixture *f = *state;
    char *path = script(f, "script", f->shell, "read x");
    char *argv[] = {path, NULL};

    live child = live_start(path, argv, NULL, NULL);
    assert_int_equal(unlink(path), 0);
    pl_image image = read_image(&f->real, child.pid);
    assert_string_equal(image.filename, path);
    assert_null(image.script_path);
    assert_int_equal(image.script_fd, -1);
    pl_image_deinit(&image);
    (void)live_end(&child);
    free(path);
}

/* fexecve(3): the name is that of a descriptor. */
static void test_script_by_descriptor(void **state)
{
    const fixture *f = *state;
    char *path = script(f, "script", f->shell, "read x");
    int fd = open(path, O_RDONLY); /* inherited: the interpreter reads the script through it */
    char name[32];

    assert_true(fd >= 0);
    (void)snprintf(name, sizeof(name), "/dev/fd/%d", fd);
    char *argv[] = {name, NULL};
    live child = live_start(name, argv, NULL, NULL);
    pl_image image = read_image(&f->real, child.pid);
    assert_string_equal(image.filename, name);
    assert_string_equal(image.script_path, path);
    pl_image_deinit(&image);
    (void)live_end(&child);
    (void)close(fd);
    free(path);
}

/* Whatever the memory claims: only a regular file beside the executable counts, and nothing is opened or waited for. */
static void test_what_is_no_script(void **state)
{
    const fixture *f = *state;
    char *pipe = pl_temp_path(f->dir, "pipe"), *again = pl_temp_path(f->dir, "again"),
         *link = pl_temp_path(f->dir, "link");
    const char *const names[] = {pipe, f->dir, again, link, "/nowhere/at/all", "relative", "/dev/null"};
    char argv[4200];

    assert_int_equal(mkfifo(pipe, 0600), 0);
    assert_int_equal(symlink(f->shell, link), 0);
    assert_int_equal(rename(f->shell, again), 0);
    assert_int_equal(symlink(again, f->shell), 0);
    for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++) {
        int n = snprintf(argv, sizeof(argv), "sh%c%s", 0, names[i]);
        add(f, names[i], argv, (size_t)n + 1);
        pl_image image = read_image(&f->fake, 100);
        assert_string_equal(image.filename, names[i]);
        assert_null(image.script_path);
        assert_int_equal(image.script_fd, -1);
        pl_image_deinit(&image);
    }
    free(pipe);
    free(again);
    free(link);
}

/* A name that is not among the arguments is not what the kernel started the interpreter with. */
static void test_name_must_be_an_argument(void **state)
{
    const fixture *f = *state;
    char *path = script(f, "script", f->shell, "read x"), argv[4200];

    add(f, path, "sh\0other\0", 9);
    pl_image image = read_image(&f->fake, 100);
    assert_null(image.script_path);
    pl_image_deinit(&image);
    int n = snprintf(argv, sizeof(argv), "%s%c-c", path, 0); /* argv[0] alone is no proof */
    add(f, path, argv, (size_t)n + 1);
    image = read_image(&f->fake, 100);
    assert_null(image.script_path);
    pl_image_deinit(&image);
    n = snprintf(argv, sizeof(argv), "sh%c%s", 0, path);
    add(f, path, argv, (size_t)n + 1);
    image = read_image(&f->fake, 100);
    assert_string_equal(image.script_path, path);
    pl_image_deinit(&image);
    free(path);
}

static void test_not_pinned_names_the_script_only(void **state)
{
    const fixture *f = *state;
    char *path = script(f, "script", f->shell, "read x"), argv[4200];
    pl_procfs procfs = {.root = f->dir};

    int n = snprintf(argv, sizeof(argv), "sh%c%s", 0, path);
    add(f, path, argv, (size_t)n + 1);
    pl_image image = read_image(&procfs, 100);
    assert_string_equal(image.script_path, path);
    assert_int_equal(image.script_fd, -1);
    pl_image_deinit(&image);
    free(path);
}

/* Memory is the only thing that may fail the call; descriptors, reads and stats cost the script and nothing else. */
static void test_every_failure(void **state)
{
    static const struct {
        pl_fault_kind kind;
        int errnum;
        int expected;
    } faults[] = {{PL_FAULT_ALLOC, ENOMEM, PL_ERR_NOMEM},
                  {PL_FAULT_OPEN, EMFILE, 0},
                  {PL_FAULT_READ, EIO, 0},
                  {PL_FAULT_READ, EINTR, 0},
                  {PL_FAULT_STAT, EIO, 0}};
    const fixture *f = *state;
    char *path = script(f, "script", f->shell, "read x"), argv[4200];
    pl_image base = PL_IMAGE_NULL;

    int n = snprintf(argv, sizeof(argv), "sh%c%s", 0, path);
    add(f, path, argv, (size_t)n + 1);
    char *folder = fake_path(f->dir, 100, "");
    int dir_fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    assert_true(dir_fd >= 0);
    base = read_image(&f->fake, 100);
    free(base.filename);
    free(base.script_path);
    (void)close(base.script_fd);
    base.filename = base.script_path = NULL;
    base.script_fd = -1;
    size_t fds = live_count_fds();
    for (size_t i = 0; i < sizeof(faults) / sizeof(*faults); i++) {
        bool fired = true;
        for (unsigned at = 1; fired; at++) {
            pl_fault_arm(faults[i].kind, at, faults[i].errnum);
            int rc = pl_exec_name_read(dir_fd, &base);
            if (rc == 0)
                rc = pl_exec_name_find_script(dir_fd, true, &base);
            fired = pl_fault_fired();
            pl_fault_disarm();
            assert_int_equal(rc, fired ? faults[i].expected : 0);
            if (!fired)
                assert_true(base.script_fd >= 0);
            free(base.filename);
            free(base.script_path);
            if (base.script_fd >= 0)
                (void)close(base.script_fd);
            base.filename = base.script_path = NULL;
            base.script_fd = -1;
            assert_int_equal(live_count_fds(), fds);
        }
    }
    pl_image_deinit(&base);
    (void)close(dir_fd);
    free(folder);
    free(path);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(test_name_of_a_program),
        CASE(test_missing_or_broken_memory_is_not_known),
        CASE(test_name_without_end_is_not_known),
        CASE(test_vector_of_a_32_bit_process),
        CASE(test_script_by_absolute_name),
        CASE(test_script_by_relative_name_with_an_option),
        CASE(test_script_that_interprets_a_script),
        CASE(test_script_that_is_gone),
        CASE(test_script_by_descriptor),
        CASE(test_what_is_no_script),
        CASE(test_name_must_be_an_argument),
        CASE(test_not_pinned_names_the_script_only),
        CASE(test_every_failure),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Parsing and failing, against a /proc of the test's own. */
#include "src/process/procfs.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <sys/stat.h>

#include <cmocka.h>

#include "src/file/identity.h"
#include "tests/support/fault.h"
#include "tests/unit/process/fake_proc.h"
#include "tests/unit/process/live.h"
#include "tests/unit/process/pinned.h"

#define DOCKER_ID "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

typedef struct fixture {
    char *root, *program;
    pl_procfs procfs;
} fixture;

static int set_up(void **state)
{
    fixture *f = test_calloc(1, sizeof(*f));

    f->root = pl_temp_dir_new();
    f->program = pl_temp_path(f->root, "program");
    pl_temp_write(f->program, "bytes", 5, 0755);
    f->procfs = (pl_procfs){.root = f->root, .pin = true};
    *state = f;
    return 0;
}

static int tear_down(void **state)
{
    fixture *f = *state;

    pl_temp_dir_free(f->root);
    free(f->program);
    test_free(f);
    return 0;
}

static fake_process simple(const fixture *f)
{
    return (fake_process){.pid = 100, .ppid = 1, .start_ticks = 4711, .exe = f->program, .cmdline = "program"};
}

static pl_image read_image(const fixture *f, int expected)
{
    pl_image image = PL_IMAGE_NULL;

    assert_int_equal(pl_procfs_read_image(&f->procfs, 100, &image), expected);
    return image;
}

static void test_everything_is_read(void **state)
{
    const fixture *f = *state;
    fake_process p = simple(f);
    pl_identity identity;

    p.tty_nr = (136 << 8) | 3;
    p.cmdline = "program\0-v\0";
    p.cmdline_length = 11;
    p.cgroup = "4:memory:/other\n0::/system.slice/docker-" DOCKER_ID ".scope\n";
    fake_add(f->root, &p);
    pl_image image = read_image(f, 0);
    assert_int_equal(image.pid, 100);
    assert_int_equal(image.ppid, 1);
    assert_int_equal(image.start_ticks, 4711);
    assert_int_equal(image.exec_boottime_ns, 0);
    assert_string_equal(image.exe, f->program);
    assert_string_equal(image.name, "name");
    assert_int_equal(image.argv_length, 11);
    assert_memory_equal(image.argv, "program\0-v\0", 11);
    assert_string_equal(image.cwd, "/home/somebody");
    assert_string_equal(image.tty, "pts/3");
    assert_string_equal(image.cgroup, "/system.slice/docker-" DOCKER_ID ".scope");
    assert_string_equal(image.container, DOCKER_ID);
    assert_null(image.filename);
    assert_null(image.script_path);
    assert_int_equal(image.uid, 1000);
    assert_int_equal(image.euid, 1001);
    assert_int_equal(image.suid, 1002);
    assert_int_equal(image.gid, 2000);
    assert_int_equal(image.egid, 2001);
    assert_int_equal(image.auid, 1000);
    assert_int_equal(image.session, 7);
    assert_int_equal(image.mnt_ns, 4026531841u);
    assert_int_equal(image.flags, 0);
    assert_true(image.has_identity);
    assert_int_equal(pl_identity_of_path(AT_FDCWD, f->program, true, &identity), 0);
    assert_true(pl_identity_equal(&identity, &image.identity));
    assert_true(image.exe_fd >= 0);
    assert_int_equal(fcntl(image.exe_fd, F_GETFD) & FD_CLOEXEC, FD_CLOEXEC);
    char bytes[8];
    assert_int_equal(pinned_read(image.exe_fd, bytes, sizeof(bytes)), 5);
    pl_image_deinit(&image);
}

static void test_not_pinned_has_identity_only(void **state)
{
    fixture *f = *state;
    fake_process p = simple(f);

    f->procfs.pin = false;
    fake_add(f->root, &p);
    pl_image image = read_image(f, 0);
    assert_true(image.has_identity);
    assert_int_equal(image.exe_fd, -1);
    pl_image_deinit(&image);
}

static void test_comm_with_parentheses_and_newlines(void **state)
{
    const fixture *f = *state;
    fake_process p = simple(f);

    p.comm = "a) R 9 (\n\xff b";
    fake_add(f->root, &p);
    pl_image image = read_image(f, 0);
    assert_string_equal(image.name, "a) R 9 (\n\xff b");
    assert_int_equal(image.ppid, 1);
    assert_int_equal(image.start_ticks, 4711);
    pl_image_deinit(&image);
}

static void test_long_comm_is_cut(void **state)
{
    const fixture *f = *state;
    fake_process p = simple(f);
    char comm[201];

    memset(comm, 'c', sizeof(comm) - 1);
    comm[sizeof(comm) - 1] = '\0';
    p.comm = comm; /* kworker names are longer than TASK_COMM_LEN */
    fake_add(f->root, &p);
    pl_image image = read_image(f, 0);
    assert_int_equal(strlen(image.name), 63);
    pl_image_deinit(&image);
}

static void check_argv(const fixture *f, const char *bytes, size_t length, const char *expected, size_t expected_length,
                       bool cut)
{
    fake_process p = simple(f);

    fake_add(f->root, &p);
    fake_write(f->root, 100, "cmdline", bytes, length);
    pl_image image = read_image(f, 0);
    assert_int_equal(image.argv_length, expected_length);
    if (expected)
        assert_memory_equal(image.argv, expected, expected_length);
    else
        assert_null(image.argv);
    assert_int_equal(!!(image.flags & PL_IMAGE_ARGV_CUT), cut);
    pl_image_deinit(&image);
}

static void test_command_line_is_cut_cleanly(void **state)
{
    fixture *f = *state;

    f->procfs.argv_limit = 8;
    check_argv(f, "abc\0def\0", 8, "abc\0def\0", 8, false);
    check_argv(f, "abc\0defg\0", 9, "abc\0def\0", 8, true);
    check_argv(f, "abc\0de\xc3\xa4x\0", 10, "abc\0de\0", 7, true); /* no half character */
    check_argv(f, "\xbf\xbf\xbf\xbf\xbf\xbf\xbf\xbf\xbf\xbf", 10, "\0", 1, true);
    check_argv(f, "abc", 3, "abc\0", 4, false); /* overwritten arguments */
    check_argv(f, "", 0, NULL, 0, false);
}

static void test_command_line_of_2_mib(void **state)
{
    const fixture *f = *state;
    size_t size = 2u << 20;
    char *bytes = test_malloc(size), *expected = test_malloc(65536);

    memset(bytes, 'x', size);
    memset(expected, 'x', 65536);
    expected[65535] = '\0';
    check_argv(f, bytes, size, expected, 65536, true);
    test_free(bytes);
    test_free(expected);
}

static void test_no_command_line_is_cut_at_its_growth(void **state)
{
    const fixture *f = *state;

    for (size_t n = 4094; n <= 4098; n++) { /* around the first buffer */
        char *bytes = test_calloc(1, n);
        memset(bytes, 'y', n - 1);
        check_argv(f, bytes, n, bytes, n, false);
        test_free(bytes);
    }
}

static void check_tty(const fixture *f, unsigned number, const char *expected)
{
    fake_process p = simple(f);

    p.tty_nr = number;
    fake_add(f->root, &p);
    pl_image image = read_image(f, 0);
    if (expected)
        assert_string_equal(image.tty, expected);
    else
        assert_null(image.tty);
    pl_image_deinit(&image);
}

static void test_tty_names(void **state)
{
    const fixture *f = *state;

    check_tty(f, 0, NULL);
    check_tty(f, (4 << 8) | 1, "tty1");
    check_tty(f, (4 << 8) | 64, "ttyS0");
    check_tty(f, (5 << 8) | 1, "console");
    check_tty(f, (136 << 8) | 255, "pts/255");
    check_tty(f, (136 << 8) | (1 << 20), "pts/256");
    check_tty(f, (137 << 8) | 1, "pts/257");
    check_tty(f, (166 << 8) | 2, "ttyACM2");
    check_tty(f, (188 << 8) | 2, "ttyUSB2");
    check_tty(f, (204 << 8) | 64, "ttyAMA0");
    check_tty(f, (229 << 8) | 0, "hvc0");
    check_tty(f, (99 << 8) | 4, "99:4");
}

static void check_cgroup(const fixture *f, const char *text, const char *expected)
{
    fake_process p = simple(f);

    p.cgroup = text;
    fake_add(f->root, &p);
    pl_image image = read_image(f, 0);
    if (expected)
        assert_string_equal(image.cgroup, expected);
    else
        assert_null(image.cgroup);
    assert_null(image.container);
    pl_image_deinit(&image);
}

static void test_cgroup_choice(void **state)
{
    const fixture *f = *state;

    check_cgroup(f, "0::/user.slice\n", "/user.slice");
    check_cgroup(f, "9:name=systemd:/\n4:memory:/a:b\n3:cpu:/c\n0::/\n", "/a:b");
    check_cgroup(f, "4:memory:/a\n0::/user.slice\n", "/user.slice");
    check_cgroup(f, "0::/\n", "/");
    check_cgroup(f, "garbage\n", NULL);
    check_cgroup(f, "", NULL);
}

/* A kernel without audit, without namespaces: not known, and no death. */
static void test_optional_files_may_be_absent(void **state)
{
    const fixture *f = *state;
    fake_process p = simple(f);
    const char *const names[] = {"loginuid", "sessionid", "ns/mnt", "cgroup", "cwd"};

    fake_add(f->root, &p);
    for (size_t i = 0; i < 5; i++)
        fake_remove(f->root, 100, names[i]);
    pl_image image = read_image(f, 0);
    assert_int_equal(image.auid, PL_NO_ID);
    assert_int_equal(image.session, PL_NO_ID);
    assert_int_equal(image.mnt_ns, 0);
    assert_null(image.cgroup);
    assert_null(image.cwd);
    pl_image_deinit(&image);
}

static void test_unset_ids_of_audit(void **state)
{
    const fixture *f = *state;
    fake_process p = simple(f);

    fake_add(f->root, &p);
    fake_write(f->root, 100, "loginuid", "4294967295", 10);
    fake_write(f->root, 100, "sessionid", "x", 1);
    pl_image image = read_image(f, 0);
    assert_int_equal(image.auid, PL_NO_ID);
    assert_int_equal(image.session, PL_NO_ID);
    pl_image_deinit(&image);
}

static void test_kernel_thread_is_never_opened(void **state)
{
    const fixture *f = *state;
    fake_process p = {.pid = 100, .ppid = 2, .comm = "kworker/0:1", .flags = 0x00200040, .start_ticks = 5};

    fake_add(f->root, &p);
    pl_image image = read_image(f, 0);
    assert_int_equal(image.flags, PL_IMAGE_KERNEL);
    assert_null(image.exe);
    assert_null(image.argv);
    assert_false(image.has_identity);
    assert_int_equal(image.exe_fd, -1);
    assert_int_equal(image.start_ticks, 5);
    pl_image_deinit(&image);
}

static void test_unknown_pid_has_vanished(void **state)
{
    const fixture *f = *state;
    pl_proc_stat stat = {.pid = 77};
    pl_proc_glance glance = {.argv_hash = 77};

    pl_image image = read_image(f, PL_VANISHED);
    assert_int_equal(image.pid, 100);
    assert_int_equal(image.exe_errno, ENOENT);
    assert_null(image.exe);
    pl_image_deinit(&image);
    assert_int_equal(pl_procfs_read_stat(&f->procfs, 100, &stat), PL_VANISHED);
    assert_int_equal(stat.pid, 77);
    assert_int_equal(pl_procfs_glance(&f->procfs, 100, &glance), PL_VANISHED);
    assert_int_equal(glance.argv_hash, 77);
}

/* Dying is losing the link first, then everything: what had been read stays. */
static void test_death_between_reads(void **state)
{
    const fixture *f = *state;
    fake_process p = simple(f);

    fake_add(f->root, &p);
    fake_remove(f->root, 100, "status");
    pl_image image = read_image(f, PL_VANISHED);
    assert_string_equal(image.exe, f->program);
    assert_true(image.has_identity && image.exe_fd >= 0);
    assert_string_equal(image.argv, "program");
    assert_int_equal(image.start_ticks, 4711);
    assert_int_equal(image.uid, PL_NO_ID);
    pl_image_deinit(&image);

    fake_remove(f->root, 100, "stat");
    image = read_image(f, PL_VANISHED);
    assert_true(image.has_identity && image.exe_fd >= 0);
    assert_int_equal(image.start_ticks, 0);
    pl_image_deinit(&image);

    fake_remove(f->root, 100, "cmdline");
    image = read_image(f, PL_VANISHED);
    assert_true(image.has_identity);
    assert_null(image.argv);
    pl_image_deinit(&image);

    fake_remove(f->root, 100, "exe");
    image = read_image(f, PL_VANISHED);
    assert_false(image.has_identity);
    assert_int_equal(image.exe_errno, ENOENT);
    pl_image_deinit(&image);
}

/* The n-th read answers ESRCH, as for a process that has just been reaped: each n. */
static void test_death_at_every_read(void **state)
{
    const fixture *f = *state;
    fake_process p = simple(f);
    unsigned vanished = 0, n;

    fake_add(f->root, &p);
    size_t fds = live_count_fds();
    for (n = 1; pl_fault_arm(PL_FAULT_READ, n, ESRCH); n++) {
        pl_image image = PL_IMAGE_NULL;
        int rc = pl_procfs_read_image(&f->procfs, 100, &image);
        bool fired = pl_fault_fired();
        pl_fault_disarm();
        assert_true(rc == 0 || rc == PL_VANISHED);
        assert_true(image.has_identity && image.exe_fd >= 0);
        vanished += rc == PL_VANISHED;
        pl_image_deinit(&image);
        assert_int_equal(live_count_fds(), fds);
        if (!fired)
            break;
    }
    assert_int_equal(vanished, 4); /* stat and status: text and end of file of each */
    assert_true(n > 10);
}

static void test_zombie_has_vanished(void **state)
{
    const fixture *f = *state;
    fake_process p = {.pid = 100, .ppid = 1, .state = 'Z', .start_ticks = 9};

    fake_add(f->root, &p);
    pl_image image = read_image(f, PL_VANISHED);
    assert_int_equal(image.start_ticks, 9);
    assert_string_equal(image.name, "name");
    assert_int_equal(image.uid, 1000);
    pl_image_deinit(&image);
    assert_false(pl_procfs_is_alive(&f->procfs, 100, 9));
}

static void test_alive_is_pid_and_start(void **state)
{
    const fixture *f = *state;
    fake_process p = simple(f);

    fake_add(f->root, &p);
    assert_true(pl_procfs_is_alive(&f->procfs, 100, 4711));
    assert_true(pl_procfs_is_alive(&f->procfs, 100, 0));
    assert_false(pl_procfs_is_alive(&f->procfs, 100, 4712));
    assert_false(pl_procfs_is_alive(&f->procfs, 101, 0));
    p.state = 'X';
    fake_add(f->root, &p);
    assert_false(pl_procfs_is_alive(&f->procfs, 100, 4711));
    pl_fault_arm(PL_FAULT_OPEN, 1, EMFILE);
    bool alive = pl_procfs_is_alive(&f->procfs, 100, 4711);
    pl_fault_disarm();
    assert_true(alive); /* nobody is declared dead for want of a descriptor */
}

static void test_garbage_in_stat(void **state)
{
    const fixture *f = *state;
    fake_process p = simple(f);
    const char *const bad[] = {"", "100", "100 (x", "100 )x(", "100 (x) S 1 2 3\n"};

    fake_add(f->root, &p);
    for (size_t i = 0; i < 5; i++) {
        pl_image image = PL_IMAGE_NULL;
        fake_write(f->root, 100, "stat", bad[i], strlen(bad[i]));
        assert_int_equal(pl_procfs_read_image(&f->procfs, 100, &image), PL_ERR_SYSTEM);
        assert_int_equal(image.pid, 0);
    }
}

static void test_status_without_ids(void **state)
{
    const fixture *f = *state;
    fake_process p = simple(f);

    fake_add(f->root, &p);
    fake_write(f->root, 100, "status", "Name:\tx\nUid:\tbad\n", 17);
    pl_image image = read_image(f, 0);
    assert_int_equal(image.uid, PL_NO_ID);
    assert_int_equal(image.gid, PL_NO_ID);
    pl_image_deinit(&image);
}

/* Memory, descriptors, reads, stats fail at every point: a failure leaves the output alone, and no descriptor
 * leaks. */
static unsigned exhaust(const fixture *f, pl_fault_kind kind, int errnum, unsigned *failures)
{
    unsigned n;

    size_t fds = live_count_fds();
    *failures = 0;
    for (n = 1; pl_fault_arm(kind, n, errnum); n++) {
        pl_image image = PL_IMAGE_NULL;
        int rc = pl_procfs_read_image(&f->procfs, 100, &image);
        bool fired = pl_fault_fired();
        pl_fault_disarm();
        assert_true(rc <= 0); /* never taken for a death */
        if (rc < 0) {
            ++*failures;
            assert_int_equal(image.pid, 0);
            assert_null(image.exe);
            assert_int_equal(image.exe_fd, -1);
        }
        pl_image_deinit(&image);
        assert_int_equal(live_count_fds(), fds);
        if (!fired)
            break;
    }
    return n - 1;
}

static void test_every_failure(void **state)
{
    const fixture *f = *state;
    fake_process p = simple(f);
    unsigned failures;

    p.tty_nr = (4 << 8) | 1;
    p.cgroup = "0::/docker/" DOCKER_ID "\n";
    fake_add(f->root, &p);
    unsigned n = exhaust(f, PL_FAULT_ALLOC, ENOMEM, &failures);
    assert_true(n >= 7);
    assert_int_equal(failures, n); /* no allocation is optional */
    n = exhaust(f, PL_FAULT_OPEN, EMFILE, &failures);
    assert_true(n >= 8);
    assert_int_equal(failures, 2); /* the folder, and stat: without them no name for the process */
    n = exhaust(f, PL_FAULT_READ, EIO, &failures);
    assert_true(n >= 10);
    assert_int_equal(failures, 2);
    n = exhaust(f, PL_FAULT_READ, EINTR, &failures);
    assert_int_equal(failures, 0);
    n = exhaust(f, PL_FAULT_STAT, EIO, &failures);
    assert_int_equal(failures, 0);
    assert_true(n >= 1);
}

static void test_unreadable_executable_still_has_identity(void **state)
{
    const fixture *f = *state;
    fake_process p = simple(f);

    fake_add(f->root, &p);
    pl_fault_arm(PL_FAULT_OPEN, 2, EACCES); /* after the folder */
    pl_image image = read_image(f, 0);
    pl_fault_disarm();
    assert_int_equal(image.exe_fd, -1);
    assert_int_equal(image.exe_errno, EACCES);
    assert_true(image.has_identity);
    assert_string_equal(image.exe, f->program);
    pl_image_deinit(&image);
}

static void test_path_of_4095_bytes(void **state)
{
    const fixture *f = *state;
    fake_process p = simple(f);
    char path[4096];

    path[0] = '/';
    memset(path + 1, 'p', 4094);
    path[4095] = '\0';
    p.exe = path;
    fake_add(f->root, &p);
    pl_image image = read_image(f, 0); /* names nothing: no identity, but the path is whole */
    assert_int_equal(strlen(image.exe), 4095);
    assert_false(image.has_identity);
    pl_image_deinit(&image);
}

static void test_odd_bytes_in_paths_are_kept(void **state)
{
    const fixture *f = *state;
    fake_process p = simple(f);

    p.exe = "/a\nb\x1b[31m\xff\xe2\x80\xae";
    fake_add(f->root, &p);
    pl_image image = read_image(f, 0);
    assert_string_equal(image.exe, p.exe);
    pl_image_deinit(&image);
}

static void test_strip_deleted(void **state)
{
    const fixture *f = *state;
    char *real = pl_temp_path(f->root, "x (deleted)"), *gone = pl_temp_path(f->root, "gone (deleted)");
    char *twice = pl_temp_path(f->root, "x (deleted) (deleted)"), *plain = pl_temp_path(f->root, "program");
    char bare[] = " (deleted)";
    pl_identity executed, other;

    pl_temp_write(real, "x", 1, 0755);
    assert_int_equal(pl_identity_of_path(AT_FDCWD, real, false, &executed), 0);
    assert_int_equal(pl_identity_of_path(AT_FDCWD, f->program, false, &other), 0);
    assert_false(pl_procfs_strip_deleted(real, &executed)); /* a file really called so */
    assert_non_null(strstr(real, "x (deleted)"));
    assert_true(pl_procfs_strip_deleted(gone, &executed));
    assert_null(strstr(gone, "deleted"));
    assert_true(pl_procfs_strip_deleted(twice, &executed)); /* that file, deleted: one suffix goes */
    assert_string_equal(twice, real);
    assert_false(pl_procfs_strip_deleted(plain, &executed));
    assert_false(pl_procfs_strip_deleted(bare, NULL));  /* no name would be left */
    assert_true(pl_procfs_strip_deleted(real, &other)); /* another file has the name by now */
    assert_true(pl_procfs_strip_deleted(twice, NULL));
    free(real);
    free(gone);
    free(twice);
    free(plain);
}

static int collect(void *context, pid_t pid)
{
    int *sum = context;

    *sum += pid;
    return pid == 300 ? 5 : 0;
}

static void test_each_pid(void **state)
{
    const fixture *f = *state;
    pl_procfs missing = {.root = "/nonexistent/proc"};
    int sum = 0;

    fake_mkdir(f->root, 100, "");
    fake_mkdir(f->root, 200, "");
    fake_write(f->root, 12, "", "", 0);
    char *odd = pl_temp_path(f->root, "99999999999999999999");
    pl_temp_write(odd, "", 0, 0600);
    assert_int_equal(pl_procfs_each_pid(&f->procfs, collect, &sum), 0);
    assert_int_equal(sum, 312);
    fake_mkdir(f->root, 300, "");
    assert_int_equal(pl_procfs_each_pid(&f->procfs, collect, &sum), 5);
    assert_true(pl_procfs_each_pid(&missing, collect, &sum) < 0);
    pl_fault_arm(PL_FAULT_OPEN, 1, EMFILE);
    int rc = pl_procfs_each_pid(&f->procfs, collect, &sum);
    pl_fault_disarm();
    assert_true(rc < 0);
    free(odd);
}

static void test_glance_tells_stack_or_arguments(void **state)
{
    const fixture *f = *state;
    fake_process p = simple(f);
    pl_proc_glance a, b;

    fake_add(f->root, &p);
    assert_int_equal(pl_procfs_glance(&f->procfs, 100, &a), 0);
    assert_int_equal(a.stat.start_stack, 0);
    assert_true(a.has_identity && a.argv_hash != 0);
    p.cmdline = "other";
    fake_add(f->root, &p);
    assert_int_equal(pl_procfs_glance(&f->procfs, 100, &b), 0);
    assert_true(a.argv_hash != b.argv_hash);
    p.start_stack = 77;
    fake_add(f->root, &p);
    assert_int_equal(pl_procfs_glance(&f->procfs, 100, &b), 0);
    assert_int_equal(b.stat.start_stack, 77);
    assert_int_equal(b.argv_hash, 0);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(test_everything_is_read),
        CASE(test_not_pinned_has_identity_only),
        CASE(test_comm_with_parentheses_and_newlines),
        CASE(test_long_comm_is_cut),
        CASE(test_command_line_is_cut_cleanly),
        CASE(test_command_line_of_2_mib),
        CASE(test_no_command_line_is_cut_at_its_growth),
        CASE(test_tty_names),
        CASE(test_cgroup_choice),
        CASE(test_optional_files_may_be_absent),
        CASE(test_unset_ids_of_audit),
        CASE(test_kernel_thread_is_never_opened),
        CASE(test_unknown_pid_has_vanished),
        CASE(test_death_between_reads),
        CASE(test_death_at_every_read),
        CASE(test_zombie_has_vanished),
        CASE(test_alive_is_pid_and_start),
        CASE(test_garbage_in_stat),
        CASE(test_status_without_ids),
        CASE(test_every_failure),
        CASE(test_unreadable_executable_still_has_identity),
        CASE(test_path_of_4095_bytes),
        CASE(test_odd_bytes_in_paths_are_kept),
        CASE(test_strip_deleted),
        CASE(test_each_pid),
        CASE(test_glance_tells_stack_or_arguments),
    };

    return cmocka_run_group_tests_name("procfs", tests, NULL, NULL);
}

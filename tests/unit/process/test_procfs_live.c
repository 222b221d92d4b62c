/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The real /proc, and real children held by a pipe. */
#include "src/process/procfs.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/xattr.h>

#include <cmocka.h>

#include "src/file/identity.h"
#include "tests/support/own_mounts.h"
#include "tests/unit/process/live.h"
#include "tests/unit/process/pinned.h"

#define SHELL "/bin/sh"

static const pl_procfs procfs = {.root = "/proc", .pin = true};

typedef struct fixture {
    char *dir, *shell; /* a copy of the shell */
} fixture;

static int set_up(void **state)
{
    fixture *f = test_calloc(1, sizeof(*f));

    f->dir = pl_temp_dir_new();
    assert_int_equal(chmod(f->dir, 0711), 0);
    f->shell = pl_temp_path(f->dir, "shell");
    live_copy(SHELL, f->shell, 0755);
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

static pl_image read_image(pid_t pid, int expected)
{
    pl_image image = PL_IMAGE_NULL;

    assert_int_equal(pl_procfs_read_image(&procfs, pid, &image), expected);
    return image;
}

static void test_own_process(void **state)
{
    char own[4096];

    (void)state;
    ssize_t n = readlink("/proc/self/exe", own, sizeof(own) - 1);
    assert_true(n > 0);
    own[n] = '\0';
    pl_image image = read_image(getpid(), 0);
    assert_string_equal(image.exe, own);
    assert_int_equal(image.ppid, getppid());
    assert_int_equal(image.uid, getuid());
    assert_int_equal(image.egid, getegid());
    assert_true(image.start_ticks > 0 && image.mnt_ns != 0 && image.has_identity && image.exe_fd >= 0);
    assert_non_null(image.cwd);
    assert_true(pl_procfs_is_alive(&procfs, getpid(), image.start_ticks));
    assert_false(pl_procfs_is_alive(&procfs, getpid(), image.start_ticks + 1));
    pl_image_deinit(&image);
}

static void test_child_and_its_arguments(void **state)
{
    const fixture *f = *state;
    live child = live_shell(f->shell);

    pl_image image = read_image(child.pid, 0);
    assert_string_equal(image.exe, f->shell);
    assert_int_equal(image.ppid, getpid());
    assert_int_equal(image.argv_length, 13);
    assert_memory_equal(image.argv, "sh\0-c\0read x\0", 13);
    assert_string_equal(image.name, "shell");
    assert_int_equal(image.flags, 0);
    pl_image_deinit(&image);
    (void)live_end(&child);
}

/* The name of the executable is taken over by another file while it runs. */
static void test_replaced_while_running(void **state)
{
    const fixture *f = *state;
    char *other = pl_temp_path(f->dir, "other");
    pl_identity before, replaced;

    assert_int_equal(pl_identity_of_path(AT_FDCWD, f->shell, false, &before), 0);
    live child = live_shell(f->shell);
    pl_temp_write(other, "new bytes", 9, 0755);
    assert_int_equal(rename(other, f->shell), 0);
    assert_int_equal(pl_identity_of_path(AT_FDCWD, f->shell, false, &replaced), 0);
    pl_image image = read_image(child.pid, 0);
    assert_string_equal(image.exe, f->shell); /* without the suffix */
    assert_int_equal(image.identity.inode, before.inode);
    assert_int_not_equal(image.identity.inode, replaced.inode);
    assert_int_equal(image.flags, PL_IMAGE_DELETED);
    char bytes[4];
    assert_int_equal(pinned_read(image.exe_fd, bytes, 4), 4);
    assert_memory_equal(bytes,
                        "\x7f"
                        "ELF",
                        4);
    pl_image_deinit(&image);
    (void)live_end(&child);
    free(other);
}

static void test_unlinked_name_with_another_link(void **state)
{
    const fixture *f = *state;
    char *other = pl_temp_path(f->dir, "other");
    live child = live_shell(f->shell);

    assert_int_equal(link(f->shell, other), 0);
    assert_int_equal(unlink(f->shell), 0);
    pl_image image = read_image(child.pid, 0);
    assert_string_equal(image.exe, f->shell);
    assert_int_equal(image.flags, 0); /* the file is not gone */
    pl_image_deinit(&image);
    (void)live_end(&child);
    free(other);
}

static void test_file_named_deleted(void **state)
{
    const fixture *f = *state;
    char *odd = pl_temp_path(f->dir, "x (deleted)");

    assert_int_equal(rename(f->shell, odd), 0);
    live child = live_shell(odd);
    pl_image image = read_image(child.pid, 0);
    assert_string_equal(image.exe, odd);
    assert_int_equal(image.flags, 0);
    pl_image_deinit(&image);
    assert_int_equal(unlink(odd), 0);
    image = read_image(child.pid, 0);
    assert_string_equal(image.exe, odd); /* the kernel's own suffix went, not the name's */
    assert_int_equal(image.flags, PL_IMAGE_DELETED);
    pl_image_deinit(&image);
    (void)live_end(&child);
    free(odd);
}

typedef struct hidden {
    const char *dir, *shell;
    char odd[256];
} hidden;

static void exec_in_own_namespace(void *context)
{
    const hidden *h = context;

    if (!pl_own_mounts(h->dir) || mount("none", h->dir, "tmpfs", 0, NULL) != 0)
        _exit(99);
    int in = open(h->shell, O_RDONLY | O_CLOEXEC), out = open(h->odd, O_WRONLY | O_CREAT | O_CLOEXEC, 0755);
    char bytes[4096];
    for (ssize_t n; (n = read(in, bytes, sizeof(bytes))) > 0;) {
        if (write(out, bytes, (size_t)n) != n)
            _exit(98);
    }
    (void)close(out);
}

/* The name is looked for where the process sees it: in our namespace nothing is called so. */
static void test_file_named_deleted_in_another_namespace(void **state)
{
    const fixture *f = *state;
    struct stat own, other;
    hidden h = {.dir = pl_temp_path(f->dir, "mnt"), .shell = f->shell};
    char *argv[] = {(char *)"sh", (char *)"-c", (char *)"read x", NULL};

    if (geteuid() != 0) {
        print_message("not root: no mount namespace of its own\n");
        free((char *)h.dir);
        skip();
    }
    if (stat("/", &own) != 0 || stat("/proc/1/root/", &other) != 0 || own.st_ino != other.st_ino ||
        own.st_dev != other.st_dev) {
        print_message("in a chroot: links of another mount namespace show the way from elsewhere\n");
        free((char *)h.dir);
        skip();
    }
    assert_int_equal(mkdir(h.dir, 0755), 0);
    (void)snprintf(h.odd, sizeof(h.odd), "%s/x (deleted)", h.dir);
    live child = live_start(h.odd, argv, exec_in_own_namespace, &h);
    pl_image image = read_image(child.pid, 0);
    assert_string_equal(image.exe, h.odd);
    assert_int_equal(image.flags, 0);
    assert_int_not_equal(access(h.odd, F_OK), 0);
    assert_int_equal(stat("/proc/self/ns/mnt", &own), 0);
    char path[64];
    (void)snprintf(path, sizeof(path), "/proc/%d/ns/mnt", (int)child.pid);
    assert_int_equal(stat(path, &other), 0);
    assert_int_equal(image.mnt_ns, other.st_ino);
    assert_int_not_equal(image.mnt_ns, own.st_ino);
    pl_image_deinit(&image);
    (void)live_end(&child);
    free((char *)h.dir);
}

static void test_memfd(void **state)
{
    const fixture *f = *state;
    char path[64];
    char *argv[] = {(char *)"sh", (char *)"-c", (char *)"read x", NULL};
    int fd = (int)syscall(SYS_memfd_create, "loader", MFD_CLOEXEC);
    int in = open(f->shell, O_RDONLY | O_CLOEXEC);
    char bytes[4096];

    assert_true(fd >= 0 && in >= 0);
    for (ssize_t n; (n = read(in, bytes, sizeof(bytes))) > 0;)
        assert_int_equal(write(fd, bytes, (size_t)n), n);
    (void)close(in);
    (void)snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
    live child = live_start(path, argv, NULL, NULL);
    pl_image image = read_image(child.pid, 0);
    assert_string_equal(image.exe, "/memfd:loader");
    assert_int_equal(image.flags, PL_IMAGE_MEMFD | PL_IMAGE_DELETED);
    assert_true(image.exe_fd >= 0);
    pl_image_deinit(&image);
    (void)live_end(&child);
    (void)close(fd);
}

static void become_nobody(void *context)
{
    (void)context;
    if (setgroups(0, NULL) != 0 || setresgid(65534, 65534, 65534) != 0 || setresuid(65534, 65534, 65534) != 0)
        _exit(99);
}

static void check_privileges(const fixture *f, unsigned mode, void (*prepare)(void *), uint32_t expected)
{
    char *argv[] = {(char *)"sh", (char *)"-p", (char *)"-c", (char *)"read x", NULL};

    assert_int_equal(chmod(f->shell, mode), 0);
    live child = live_start(f->shell, argv, prepare, NULL);
    pl_image image = read_image(child.pid, 0);
    assert_int_equal(image.flags, expected);
    if (expected & PL_IMAGE_SETUID) {
        assert_int_equal(image.uid, 65534);
        assert_int_equal(image.euid, 0);
    }
    pl_image_deinit(&image);
    (void)live_end(&child);
}

static void test_setuid_and_setgid_when_they_mattered(void **state)
{
    const fixture *f = *state;

    if (geteuid() != 0) {
        print_message("not root: no set-id files\n");
        skip();
    }
    check_privileges(f, 0755, become_nobody, 0);
    check_privileges(f, 04755, become_nobody, PL_IMAGE_SETUID);
    check_privileges(f, 02755, become_nobody, PL_IMAGE_SETGID);
    check_privileges(f, 06755, NULL, 0); /* root runs root's file: nothing was gained */
}

static void test_file_capabilities(void **state)
{
    const fixture *f = *state;
    /* struct vfs_cap_data, revision 2, CAP_NET_BIND_SERVICE permitted */
    static const unsigned char caps[20] = {0, 0, 0, 2, 0, 4};

    if (setxattr(f->shell, "security.capability", caps, sizeof(caps), 0) != 0) {
        print_message("no file capabilities here: %s\n", strerror(errno));
        skip();
    }
    live child = live_shell(f->shell);
    pl_image image = read_image(child.pid, 0);
    assert_int_equal(image.flags, PL_IMAGE_FILECAPS);
    pl_image_deinit(&image);
    (void)live_end(&child);
}

static void more_stack(void *context)
{
    struct rlimit limit = {64u << 20, RLIM_INFINITY};

    (void)context;
    if (setrlimit(RLIMIT_STACK, &limit) != 0) {
        limit.rlim_max = 64u << 20;
        if (setrlimit(RLIMIT_STACK, &limit) != 0)
            _exit(99);
    }
}

static void test_command_line_of_2_mib(void **state)
{
    const fixture *f = *state;
    char *argv[3 + 17 + 1] = {(char *)"sh", (char *)"-c", (char *)"read x"};
    size_t size = (2u << 20) / 17;
    char *word = test_malloc(size + 1);

    memset(word, 'w', size);
    word[size] = '\0';
    for (int i = 3; i < 20; i++)
        argv[i] = word;
    live child = live_start(f->shell, argv, more_stack, NULL);
    pl_image image = read_image(child.pid, 0);
    assert_int_equal(image.argv_length, 65536);
    assert_int_equal(image.argv[65535], '\0');
    assert_int_equal(image.argv[65534], 'w');
    assert_int_equal(image.flags, PL_IMAGE_ARGV_CUT);
    pl_image_deinit(&image);
    pl_procfs all = {.root = "/proc", .argv_limit = 4u << 20};
    pl_image whole = PL_IMAGE_NULL;
    assert_int_equal(pl_procfs_read_image(&all, child.pid, &whole), 0);
    assert_int_equal(whole.argv_length, 13 + 17 * (size + 1));
    assert_int_equal(whole.flags, 0);
    pl_image_deinit(&whole);
    (void)live_end(&child);
    test_free(word);
}

static void test_zombie_then_reaped(void **state)
{
    const fixture *f = *state;
    live child = live_shell(f->shell);
    siginfo_t info;

    pl_image image = read_image(child.pid, 0);
    uint64_t start = image.start_ticks;
    pl_image_deinit(&image);
    assert_int_equal(kill(child.pid, SIGKILL), 0);
    assert_int_equal(waitid(P_PID, (id_t)child.pid, &info, WEXITED | WNOWAIT), 0);
    image = read_image(child.pid, PL_VANISHED);
    assert_null(image.exe);
    assert_int_equal(image.exe_fd, -1);
    assert_int_equal(image.ppid, getpid());
    assert_int_equal(image.start_ticks, start);
    assert_string_equal(image.name, "shell");
    pl_image_deinit(&image);
    assert_false(pl_procfs_is_alive(&procfs, child.pid, start));
    (void)live_end(&child);
    image = read_image(child.pid, PL_VANISHED);
    assert_int_equal(image.start_ticks, 0);
    pl_image_deinit(&image);
}

static void test_descriptor_outlives_the_process(void **state)
{
    const fixture *f = *state;
    char bytes[4];

    live child = live_shell(f->shell);
    pl_image image = read_image(child.pid, 0);
    assert_int_equal(unlink(f->shell), 0);
    (void)live_end(&child);
    assert_int_equal(pinned_read(image.exe_fd, bytes, 4), 4);
    assert_memory_equal(bytes,
                        "\x7f"
                        "ELF",
                        4);
    pl_image_deinit(&image);
}

static void test_start_stack_tells_exec_from_fork(void **state)
{
    const fixture *f = *state;
    pl_proc_stat own, forked, executed;
    int hold[2];

    if (pl_procfs_read_stat(&procfs, getpid(), &own) != 0 || own.start_stack == 0) {
        print_message("this kernel does not show the stack\n");
        skip();
    }
    assert_int_equal(pipe2(hold, O_CLOEXEC), 0);
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        char c;
        (void)close(hold[1]);
        (void)!read(hold[0], &c, 1);
        _exit(0);
    }
    assert_int_equal(pl_procfs_read_stat(&procfs, pid, &forked), 0);
    assert_int_equal(forked.start_stack, own.start_stack);
    (void)close(hold[0]);
    (void)close(hold[1]);
    (void)waitpid(pid, NULL, 0);
    live child = live_shell(f->shell);
    assert_int_equal(pl_procfs_read_stat(&procfs, child.pid, &executed), 0);
    assert_int_not_equal(executed.start_stack, own.start_stack);
    (void)live_end(&child);
}

static void test_kernel_thread(void **state)
{
    pl_proc_stat stat;

    (void)state;
    if (pl_procfs_read_stat(&procfs, 2, &stat) != 0 || strcmp(stat.name, "kthreadd") != 0) {
        print_message("no kernel threads in this pid namespace\n");
        skip();
    }
    pl_image image = read_image(2, 0);
    assert_int_equal(image.flags, PL_IMAGE_KERNEL);
    assert_null(image.exe);
    assert_null(image.argv);
    assert_int_equal(image.exe_fd, -1);
    pl_image_deinit(&image);
}

static int is_self(void *context, pid_t pid)
{
    (void)context;
    return pid == getpid() ? 1 : 0;
}

static void test_each_pid_meets_us(void **state)
{
    (void)state;
    assert_int_equal(pl_procfs_each_pid(&procfs, is_self, NULL), 1);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(test_own_process),
        CASE(test_child_and_its_arguments),
        CASE(test_replaced_while_running),
        CASE(test_unlinked_name_with_another_link),
        CASE(test_file_named_deleted),
        CASE(test_file_named_deleted_in_another_namespace),
        CASE(test_memfd),
        CASE(test_setuid_and_setgid_when_they_mattered),
        CASE(test_file_capabilities),
        CASE(test_command_line_of_2_mib),
        CASE(test_zombie_then_reaped),
        CASE(test_descriptor_outlives_the_process),
        CASE(test_start_stack_tells_exec_from_fork),
        CASE(test_kernel_thread),
        CASE(test_each_pid_meets_us),
    };

    return cmocka_run_group_tests_name("procfs on the real /proc", tests, NULL, NULL);
}

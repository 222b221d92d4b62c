/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The way into other mount namespaces: through a real process that lives in one, and through a made-up /proc whose
 * processes are reused, gone or half there.
 */
#include "ledger/namespaces.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include <procledger/procledger.h>

#include "tests/support/fault.h"
#include "tests/support/temp_dir.h"

#define OWN 4026531841u
#define LIMIT 4096

typedef struct fixture {
    char *dir, *file;
    int dir_fd;
    char proc[32]; /* the folder as a made-up /proc, by a short name */
    unsigned open_before;
    pl_namespaces *namespaces;
} fixture;

static unsigned open_descriptors(void)
{
    DIR *list = opendir("/proc/self/fd");
    unsigned n = 0;

    assert_non_null(list);
    while (readdir(list))
        n++;
    (void)closedir(list);
    return n;
}

static void start(fixture *f, const char *procfs, uint64_t own)
{
    pl_namespaces *namespaces = NULL;

    assert_int_equal(pl_namespaces_new(procfs, own, &namespaces), 0);
    assert_non_null(namespaces);
    f->namespaces = namespaces;
}

static int set_up(void **state)
{
    fixture *f = calloc(1, sizeof(*f));

    assert_non_null(f);
    f->dir = pl_temp_dir_new();
    f->file = pl_temp_path(f->dir, "file");
    pl_temp_write(f->file, "ours", 4, 0600);
    f->dir_fd = open(f->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    assert_return_code(f->dir_fd, errno);
    (void)snprintf(f->proc, sizeof(f->proc), "/proc/self/fd/%d", f->dir_fd);
    start(f, f->proc, OWN);
    f->open_before = open_descriptors();
    *state = f;
    return 0;
}

static int tear_down(void **state)
{
    fixture *f = *state;

    pl_fault_disarm();
    assert_int_equal(open_descriptors(), f->open_before); /* none is kept, whatever happened */
    assert_null(pl_namespaces_free(f->namespaces));
    (void)close(f->dir_fd);
    free(f->file);
    (void)pl_temp_dir_free(f->dir);
    free(f);
    return 0;
}

/* A process of the made-up /proc. Returns the number of its mount namespace: the inode that its link leads to. */
static uint64_t make_process(const fixture *f, pid_t pid)
{
    char path[64];
    struct stat status;

    (void)snprintf(path, sizeof(path), "%s/%d", f->proc, (int)pid);
    assert_return_code(mkdir(path, 0700), errno);
    (void)snprintf(path, sizeof(path), "%s/%d/root", f->proc, (int)pid);
    assert_return_code(mkdir(path, 0700), errno);
    (void)snprintf(path, sizeof(path), "%s/%d/ns", f->proc, (int)pid);
    assert_return_code(mkdir(path, 0700), errno);
    (void)snprintf(path, sizeof(path), "%s/%d/ns/mnt", f->proc, (int)pid);
    pl_temp_write(path, "", 0, 0600);
    assert_return_code(stat(path, &status), errno);
    return status.st_ino;
}

static void remove_of(const fixture *f, pid_t pid, const char *what, int flags)
{
    char path[64];

    (void)snprintf(path, sizeof(path), "%d/%s", (int)pid, what);
    assert_return_code(unlinkat(f->dir_fd, path, flags), errno);
}

/* The root of mnt_ns is that of pid. */
static void assert_found(const fixture *f, uint64_t mnt_ns, pid_t pid)
{
    char path[64];
    struct stat root, got;
    int fd = -7;

    assert_int_equal(pl_namespaces_open(f->namespaces, mnt_ns, &fd), 0);
    assert_true(fd >= 0);
    (void)snprintf(path, sizeof(path), "%s/%d/root", f->proc, (int)pid);
    assert_return_code(stat(path, &root), errno);
    assert_return_code(fstat(fd, &got), errno);
    assert_int_equal(got.st_ino, root.st_ino);
    assert_int_equal(fcntl(fd, F_GETFL) & O_PATH, O_PATH);
    assert_int_equal(fcntl(fd, F_GETFD), FD_CLOEXEC);
    (void)close(fd);
}

static void assert_vanished(const fixture *f, uint64_t mnt_ns)
{
    int fd = -7;

    assert_int_equal(pl_namespaces_open(f->namespaces, mnt_ns, &fd), PL_VANISHED);
    assert_int_equal(fd, -7);
}

static void test_our_own_needs_no_way(void **state)
{
    fixture *f = *state;
    int fd = -7;

    assert_int_equal(pl_namespaces_open(f->namespaces, OWN, &fd), 0);
    assert_int_equal(fd, -1);
    fd = -7;
    assert_int_equal(pl_namespaces_open(f->namespaces, 0, &fd), 0); /* 0: the namespace was not known */
    assert_int_equal(fd, -1);
    pl_namespaces_living(f->namespaces, OWN, 1); /* no reason to go through /proc */
    fd = -7;
    assert_int_equal(pl_namespaces_open(f->namespaces, OWN, &fd), 0);
    assert_int_equal(fd, -1);
}

static void test_one_that_nobody_was_seen_in_has_vanished(void **state)
{
    const fixture *f = *state;
    uint64_t ns = make_process(f, 42);

    assert_vanished(f, ns);
    pl_namespaces_living(f->namespaces, 0, 42);
    assert_vanished(f, ns);
}

static void test_the_root_is_that_of_who_lives_there(void **state)
{
    const fixture *f = *state;
    uint64_t first = make_process(f, 42), second = make_process(f, 43);

    pl_namespaces_living(f->namespaces, first, 42);
    pl_namespaces_living(f->namespaces, second, 43);
    for (int round = 0; round < 2; round++) {
        assert_found(f, first, 42);
        assert_found(f, second, 43);
    }
}

static void test_the_last_one_seen_is_asked(void **state)
{
    const fixture *f = *state;
    uint64_t ns = make_process(f, 42);
    char path[64], same[64];

    (void)make_process(f, 43); /* of the same namespace: a hard link is the same inode */
    remove_of(f, 43, "ns/mnt", 0);
    (void)snprintf(path, sizeof(path), "%s/42/ns/mnt", f->proc);
    (void)snprintf(same, sizeof(same), "%s/43/ns/mnt", f->proc);
    assert_return_code(link(path, same), errno);
    pl_namespaces_living(f->namespaces, ns, 42);
    assert_found(f, ns, 42);
    pl_namespaces_living(f->namespaces, ns, 43);
    assert_found(f, ns, 43);
}

static void test_a_process_that_is_gone_is_forgotten(void **state)
{
    const fixture *f = *state;
    uint64_t ns = make_process(f, 42);

    pl_namespaces_living(f->namespaces, ns, 41); /* there is no such process */
    assert_vanished(f, ns);
    assert_vanished(f, ns);
    pl_namespaces_living(f->namespaces, ns, 42);
    assert_found(f, ns, 42);
}

/* Its number went to a process of another namespace, whose root would show other files under the same names. */
static void test_a_number_that_was_reused_elsewhere_is_refused(void **state)
{
    const fixture *f = *state;
    uint64_t here = make_process(f, 42), gone = here + 1000000;

    pl_namespaces_living(f->namespaces, gone, 42);
    assert_vanished(f, gone);
    pl_namespaces_living(f->namespaces, here, 42);
    assert_found(f, here, 42);
}

static void test_a_process_without_root_or_namespace_is_refused(void **state)
{
    const fixture *f = *state;
    uint64_t first = make_process(f, 42), second = make_process(f, 43), third = make_process(f, 44);
    char path[64];

    remove_of(f, 42, "root", AT_REMOVEDIR);
    remove_of(f, 43, "ns/mnt", 0);
    remove_of(f, 44, "root", AT_REMOVEDIR);
    (void)snprintf(path, sizeof(path), "%s/44/root", f->proc);
    pl_temp_write(path, "no folder", 9, 0600);
    pl_namespaces_living(f->namespaces, first, 42);
    pl_namespaces_living(f->namespaces, second, 43);
    pl_namespaces_living(f->namespaces, third, 44);
    assert_vanished(f, first);
    assert_vanished(f, second);
    assert_vanished(f, third);
}

/* Whoever makes namespaces for the sake of it gets no more memory than that: the one that was known longest goes. */
static void test_the_oldest_goes_when_there_are_too_many(void **state)
{
    const fixture *f = *state;
    uint64_t ns = make_process(f, 42);

    pl_namespaces_living(f->namespaces, ns, 42);
    for (unsigned i = 1; i < LIMIT; i++)
        pl_namespaces_living(f->namespaces, UINT64_MAX - i, 1);
    assert_found(f, ns, 42); /* as many as there may be */
    pl_namespaces_living(f->namespaces, UINT64_MAX - LIMIT, 1);
    assert_vanished(f, ns);
    pl_namespaces_living(f->namespaces, ns, 42); /* it comes back when somebody is seen in it */
    assert_found(f, ns, 42);
}

static void test_failed_allocations_forget_and_no_more(void **state)
{
    const fixture *f = *state;
    uint64_t first = make_process(f, 42), second = make_process(f, 43);
    unsigned failures = 0;

    pl_namespaces_living(f->namespaces, first, 42);
    for (unsigned n = 1; pl_fault_arm(PL_FAULT_ALLOC, n, ENOMEM); n++) {
        pl_namespaces_living(f->namespaces, second, 43);
        bool fired = pl_fault_fired();
        pl_fault_disarm();
        assert_found(f, first, 42);
        if (!fired)
            break;
        failures++;
        assert_vanished(f, second);
    }
    assert_found(f, second, 43);
    assert_true(failures >= 1);
    /* Also where the table has to grow, and where it is made. */
    for (unsigned i = 0; i < 300; i++) {
        pl_fault_arm(PL_FAULT_ALLOC, 1 + i % 3, ENOMEM);
        pl_namespaces_living(f->namespaces, 5000000000 + i, 1);
        pl_fault_disarm();
    }
    assert_found(f, first, 42);
    assert_found(f, second, 43);
}

static void test_the_first_entry_fails_at_every_point(void **state)
{
    fixture *f = *state;
    uint64_t ns = make_process(f, 42);

    for (unsigned n = 1; pl_fault_arm(PL_FAULT_ALLOC, n, ENOMEM); n++) {
        pl_namespaces_living(f->namespaces, ns, 42);
        bool fired = pl_fault_fired();
        pl_fault_disarm();
        if (!fired)
            break;
        assert_vanished(f, ns);
        assert_true(n < 10);
    }
    assert_found(f, ns, 42);
}

static void test_failed_opens_are_a_way_that_is_not_there(void **state)
{
    const fixture *f = *state;
    uint64_t ns = make_process(f, 42);
    unsigned failures = 0;

    for (unsigned n = 1;; n++) {
        int fd = -7;
        pl_namespaces_living(f->namespaces, ns, 42);
        pl_fault_arm(PL_FAULT_OPEN, n, EMFILE);
        int rc = pl_namespaces_open(f->namespaces, ns, &fd);
        bool fired = pl_fault_fired();
        pl_fault_disarm();
        if (!fired) {
            assert_int_equal(rc, 0);
            (void)close(fd);
            break;
        }
        failures++;
        assert_int_equal(rc, PL_VANISHED);
        assert_int_equal(fd, -7);
        assert_int_equal(open_descriptors(), f->open_before);
    }
    assert_int_equal(failures, 2);
}

static void test_no_memory_for_the_room_is_an_error(void **state)
{
    pl_namespaces *namespaces = NULL;

    (void)state;
    pl_fault_arm(PL_FAULT_ALLOC, 1, ENOMEM);
    int rc = pl_namespaces_new("/proc", OWN, &namespaces);
    pl_fault_disarm();
    assert_int_equal(rc, PL_ERR_NOMEM);
    assert_null(namespaces);
    assert_null(pl_namespaces_free(NULL));
}

/* ---- a real one ---- */

/* Lives in a mount namespace of its own, in which `file` shows the bytes of `theirs`, until the pipe is closed. */
static _Noreturn void live_elsewhere(const char *file, const char *theirs, int ready, int end)
{
    char byte = 'n';

    if (unshare(CLONE_NEWNS) == 0 && mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0 &&
        mount(theirs, file, NULL, MS_BIND, NULL) == 0)
        byte = 'y';
    if (write(ready, &byte, 1) == 1 && byte == 'y')
        (void)!read(end, &byte, 1);
    _exit(0);
}

typedef struct child {
    pid_t pid;
    int end;
    uint64_t mnt_ns;
} child;

static uint64_t mnt_ns_of(pid_t pid)
{
    char path[64];
    struct stat status;

    (void)snprintf(path, sizeof(path), "/proc/%d/ns/mnt", (int)pid);
    assert_return_code(stat(path, &status), errno);
    return status.st_ino;
}

static void end_child(child *c)
{
    int status;

    (void)close(c->end);
    while (waitpid(c->pid, &status, 0) < 0)
        assert_int_equal(errno, EINTR);
}

/* False: no mount namespaces here. */
static bool begin_child(const fixture *f, child *c)
{
    char *theirs = pl_temp_path(f->dir, "theirs"), byte = 'n';
    int ready[2], end[2];

    pl_temp_write(theirs, "theirs", 6, 0600);
    assert_return_code(pipe2(ready, O_CLOEXEC), errno);
    assert_return_code(pipe2(end, O_CLOEXEC), errno);
    c->pid = fork();
    assert_return_code(c->pid, errno);
    if (c->pid == 0) {
        (void)close(end[1]);
        live_elsewhere(f->file, theirs, ready[1], end[0]);
    }
    (void)close(ready[1]);
    (void)close(end[0]);
    c->end = end[1];
    assert_int_equal(read(ready[0], &byte, 1), 1);
    (void)close(ready[0]);
    free(theirs);
    if (byte != 'y') {
        end_child(c);
        return false;
    }
    c->mnt_ns = mnt_ns_of(c->pid);
    return true;
}

static void restart(fixture *f)
{
    f->namespaces = pl_namespaces_free(f->namespaces);
    start(f, "/proc", mnt_ns_of(getpid()));
}

static void test_the_root_shows_the_file_that_they_see(void **state)
{
    fixture *f = *state;
    child c;
    int root = -7;
    char bytes[16] = "";

    restart(f);
    if (!begin_child(f, &c)) {
        print_message("SKIPPED: no mount namespace to be had\n");
        skip();
    }
    assert_int_not_equal(c.mnt_ns, mnt_ns_of(getpid()));
    pl_namespaces_living(f->namespaces, c.mnt_ns, c.pid);
    assert_int_equal(pl_namespaces_open(f->namespaces, c.mnt_ns, &root), 0);
    int fd = openat(root, f->file + 1, O_RDONLY | O_CLOEXEC);
    assert_return_code(fd, errno);
    assert_int_equal(read(fd, bytes, sizeof(bytes)), 6);
    assert_memory_equal(bytes, "theirs", 6);
    (void)close(fd);
    (void)close(root);
    end_child(&c);
    assert_vanished(f, c.mnt_ns); /* with its last process */
}

/* A child that is a zombie has no root any more, and its number still stands in /proc. */
static void test_a_zombie_is_nobody(void **state)
{
    fixture *f = *state;
    child c;
    siginfo_t info;

    restart(f);
    if (!begin_child(f, &c)) {
        print_message("SKIPPED: no mount namespace to be had\n");
        skip();
    }
    pl_namespaces_living(f->namespaces, c.mnt_ns, c.pid);
    (void)close(c.end);
    while (waitid(P_PID, (id_t)c.pid, &info, WEXITED | WNOWAIT) < 0)
        assert_int_equal(errno, EINTR);
    assert_vanished(f, c.mnt_ns);
    while (waitpid(c.pid, NULL, 0) < 0)
        assert_int_equal(errno, EINTR);
}

/* Between living and open, the number belongs to a process of our own namespace: this one. */
static void test_our_own_process_is_no_way_into_another(void **state)
{
    fixture *f = *state;
    child c;

    restart(f);
    if (!begin_child(f, &c)) {
        print_message("SKIPPED: no mount namespace to be had\n");
        skip();
    }
    pl_namespaces_living(f->namespaces, c.mnt_ns, getpid());
    assert_vanished(f, c.mnt_ns);
    end_child(&c);
}

/* Without an own number nothing is taken for ours but 0. */
static void test_own_that_is_not_known_is_any_other(void **state)
{
    fixture *f = *state;
    uint64_t here = mnt_ns_of(getpid());
    int fd = -7;

    f->namespaces = pl_namespaces_free(f->namespaces);
    start(f, "/proc", 0);
    assert_vanished(f, here);
    pl_namespaces_living(f->namespaces, here, getpid());
    assert_int_equal(pl_namespaces_open(f->namespaces, here, &fd), 0);
    assert_true(fd >= 0);
    (void)close(fd);
    assert_int_equal(pl_namespaces_open(f->namespaces, 0, &fd), 0);
    assert_int_equal(fd, -1);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(test_our_own_needs_no_way),
        CASE(test_one_that_nobody_was_seen_in_has_vanished),
        CASE(test_the_root_is_that_of_who_lives_there),
        CASE(test_the_last_one_seen_is_asked),
        CASE(test_a_process_that_is_gone_is_forgotten),
        CASE(test_a_number_that_was_reused_elsewhere_is_refused),
        CASE(test_a_process_without_root_or_namespace_is_refused),
        CASE(test_the_oldest_goes_when_there_are_too_many),
        CASE(test_failed_allocations_forget_and_no_more),
        CASE(test_the_first_entry_fails_at_every_point),
        CASE(test_failed_opens_are_a_way_that_is_not_there),
        CASE(test_no_memory_for_the_room_is_an_error),
        CASE(test_the_root_shows_the_file_that_they_see),
        CASE(test_a_zombie_is_nobody),
        CASE(test_our_own_process_is_no_way_into_another),
        CASE(test_own_that_is_not_known_is_any_other),
    };

    return cmocka_run_group_tests_name("namespaces", tests, NULL, NULL);
}

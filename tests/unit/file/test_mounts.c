/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * When a device number still means the file system that it meant: real mounts in a namespace of the test's own. tmpfs
 * gets the number of the one that was unmounted just before, as a rule, which is the case that matters.
 */
#include "src/file/mounts.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "tests/support/fault.h"
#include "tests/support/own_mounts.h"
#include "tests/support/temp_dir.h"

typedef struct fixture {
    char *dir, *a, *b;
    pl_mounts *mounts;
} fixture;

static int setup(void **state)
{
    fixture *f = calloc(1, sizeof(*f));

    assert_non_null(f);
    f->dir = pl_temp_dir_new();
    f->a = pl_temp_path(f->dir, "a");
    f->b = pl_temp_path(f->dir, "b");
    assert_return_code(mkdir(f->a, 0700), errno);
    assert_return_code(mkdir(f->b, 0700), errno);
    assert_int_equal(pl_mounts_new(&f->mounts), 0);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    fixture *f = *state;

    (void)umount2(f->a, MNT_DETACH);
    (void)umount2(f->b, MNT_DETACH);
    (void)pl_mounts_free(f->mounts);
    pl_own_mounts_end(f->dir);
    free(f->a);
    free(f->b);
    (void)pl_temp_dir_free(f->dir);
    free(f);
    return 0;
}

static void need_mounts(fixture *f)
{
    pl_identity identity;

    if (!pl_own_mounts(f->dir))
        skip();
    assert_int_equal(pl_identity_of_path(AT_FDCWD, f->dir, true, &identity), 0);
    if (identity.mount_id == 0) {
        print_message("this kernel does not number mounts\n");
        skip();
    }
}

static pl_identity look(const char *path)
{
    pl_identity identity;

    assert_int_equal(pl_identity_of_path(AT_FDCWD, path, true, &identity), 0);
    return identity;
}

static void mount_tmpfs(const char *path)
{
    assert_return_code(mount("none", path, "tmpfs", 0, NULL), errno);
}

/* The same device number, whatever the next tmpfs gets. */
static pl_identity on_device_of(pl_identity now, const pl_identity *then)
{
    now.dev_major = then->dev_major;
    now.dev_minor = then->dev_minor;
    return now;
}

static void test_one_mount_is_one_file_system(void **state)
{
    fixture *f = *state;

    need_mounts(f);
    mount_tmpfs(f->a);
    pl_identity then = look(f->a), now = look(f->a);
    assert_true(pl_mounts_same(f->mounts, &then, &now));
    assert_true(pl_mounts_same(f->mounts, &then, &now));
}

static void test_mounted_again_it_is_another_one(void **state)
{
    fixture *f = *state;

    need_mounts(f);
    mount_tmpfs(f->a);
    pl_identity then = look(f->a);
    pl_mounts_note(f->mounts, &then);
    assert_return_code(umount(f->a), errno);
    mount_tmpfs(f->a);
    pl_identity now = on_device_of(look(f->a), &then);
    assert_false(pl_mounts_same(f->mounts, &then, &now));
    assert_false(pl_mounts_same(f->mounts, &then, &now)); /* and stays so */
}

/* From here on statmount(2) is the end of the caller. */
static void forbid_statmount(void)
{
    struct sock_filter code[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, 457, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    struct sock_fprog program = {.len = sizeof(code) / sizeof(code[0]), .filter = code};

    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 || prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) != 0)
        _exit(9);
}

/* How a child ends that may not ask the kernel: minus the signal, or whether it is the same file system. */
static int end_of_asking(pl_mounts *mounts, const pl_identity *then, const pl_identity *now)
{
    int status;
    pid_t child = fork();

    assert_return_code(child, errno);
    if (child == 0) {
        forbid_statmount();
        _exit(pl_mounts_same(mounts, then, now) ? 1 : 0);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
}

static void test_what_is_known_is_not_asked_about_again(void **state)
{
    fixture *f = *state;

    need_mounts(f);
    mount_tmpfs(f->a);
    assert_return_code(mount(f->a, f->b, NULL, MS_BIND, NULL), errno);
    pl_identity then = look(f->a), now = look(f->b);
    assert_int_equal(end_of_asking(f->mounts, &then, &now), -SIGSYS);
    assert_true(pl_mounts_same(f->mounts, &then, &now));
    assert_int_equal(end_of_asking(f->mounts, &then, &now), 1);
    assert_return_code(umount(f->a), errno); /* b keeps the file system */
    assert_int_equal(end_of_asking(f->mounts, &then, &now), 1);
}

static void test_a_row_of_our_own_namespace_ends_with_its_mount(void **state)
{
    fixture *f = *state;

    need_mounts(f);
    mount_tmpfs(f->a);
    pl_identity then = look(f->a);
    assert_return_code(umount(f->a), errno);
    mount_tmpfs(f->a);
    pl_identity now = on_device_of(look(f->a), &then);
    assert_false(pl_mounts_same(f->mounts, &then, &now)); /* never noted: it is asked about */
}

static void test_what_another_namespace_mounted_is_not_believed(void **state)
{
    fixture *f = *state;

    need_mounts(f);
    mount_tmpfs(f->a);
    pl_identity now = look(f->a), then = now;
    then.mount_id += 1000000; /* nobody here can ask about it */
    assert_false(pl_mounts_same(f->mounts, &then, &now));
    pl_mounts_note(f->mounts, &then); /* but seen just now, beside ours, it is ours */
    assert_true(pl_mounts_same(f->mounts, &then, &then));
}

static void test_seen_beside_ours_it_is_the_same(void **state)
{
    fixture *f = *state;

    need_mounts(f);
    mount_tmpfs(f->a);
    pl_identity ours = look(f->a), theirs = ours;
    theirs.mount_id += 1000000;
    pl_mounts_note(f->mounts, &ours);
    assert_true(pl_mounts_same(f->mounts, &ours, &theirs));
}

static void test_a_bind_mount_shares_it_while_the_first_is_there(void **state)
{
    fixture *f = *state;

    need_mounts(f);
    mount_tmpfs(f->a);
    pl_identity then = look(f->a);
    pl_mounts_note(f->mounts, &then);
    assert_return_code(mount(f->a, f->b, NULL, MS_BIND, NULL), errno);
    pl_identity now = look(f->b);
    assert_int_not_equal(then.mount_id, now.mount_id);
    assert_true(pl_mounts_same(f->mounts, &then, &now));
    assert_return_code(umount(f->a), errno);
    assert_true(pl_mounts_same(f->mounts, &then, &now)); /* it was seen to be there beside it */
    pl_identity other = now;
    assert_return_code(mount(f->b, f->a, NULL, MS_BIND, NULL), errno);
    other = look(f->a);
    assert_true(pl_mounts_same(f->mounts, &then, &other)); /* by way of the second */
}

static void test_a_kernel_that_numbers_no_mounts_is_believed(void **state)
{
    fixture *f = *state;
    pl_identity then = look(f->a), now = then;

    then.mount_id = 0;
    assert_true(pl_mounts_same(f->mounts, &then, &now));
    then.mount_id = 7;
    now.mount_id = 0;
    assert_true(pl_mounts_same(f->mounts, &then, &now));
}

static void test_no_memory_is_no_proof(void **state)
{
    fixture *f = *state;

    need_mounts(f);
    mount_tmpfs(f->a);
    pl_identity then = look(f->a);
    assert_return_code(mount(f->a, f->b, NULL, MS_BIND, NULL), errno);
    pl_identity now = look(f->b);
    for (unsigned n = 1; pl_fault_arm(PL_FAULT_ALLOC, n, ENOMEM); n++) {
        pl_mounts *mounts = NULL;
        bool same = false;
        int r = pl_mounts_new(&mounts);
        if (r == 0)
            same = pl_mounts_same(mounts, &then, &now);
        bool fired = pl_fault_fired();
        pl_fault_disarm();
        (void)pl_mounts_free(mounts);
        if (!fired) {
            assert_true(same);
            break;
        }
        assert_false(same);
    }
}

static void test_thousands_of_mounts_are_bounded(void **state)
{
    fixture *f = *state;
    pl_identity now;

    need_mounts(f);
    now = look(f->dir);
    pl_identity made_up = now;
    for (uint64_t i = 1; i < 10000; i++) {
        made_up.mount_id = UINT64_C(1) << 40 | i;
        made_up.dev_minor = (uint32_t)i; /* each on a device of its own: nothing to compare it with */
        pl_mounts_note(f->mounts, &made_up);
    }
    assert_true(pl_mounts_same(f->mounts, &now, &now));
}

int main(void)
{
#define CASE(test) cmocka_unit_test_setup_teardown(test, setup, teardown)
    const struct CMUnitTest tests[] = {
        CASE(test_one_mount_is_one_file_system),
        CASE(test_mounted_again_it_is_another_one),
        CASE(test_what_is_known_is_not_asked_about_again),
        CASE(test_a_row_of_our_own_namespace_ends_with_its_mount),
        CASE(test_what_another_namespace_mounted_is_not_believed),
        CASE(test_seen_beside_ours_it_is_the_same),
        CASE(test_a_bind_mount_shares_it_while_the_first_is_there),
        CASE(test_a_kernel_that_numbers_no_mounts_is_believed),
        CASE(test_no_memory_is_no_proof),
        CASE(test_thousands_of_mounts_are_bounded),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Cases 16 to 23: names. A path says nothing about bytes: it is renamed over, unlinked, linked elsewhere, flipped, moved
 * with its folder and mounted over, while what runs goes on. Programs are asked by /proc/PID/exe, which is the executed
 * inode whatever its name does.
 */
#include "tests/stale/stale.h"

#include "src/base/cleanup.h"
#include "src/file/probe.h"
#include "tests/support/temp_dir.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <signal.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define PLACES (STALE_TRUE_DISKS | STALE_OVERLAY | STALE_TMPFS)
#define REUSE_TRIES 200

static void rename_into_place(const char *from, const char *to)
{
    assert_return_code(rename(from, to), errno);
}

/* --- 16, 17: what runs, and its name ------------------------------------------------------------------------------ */

static void rename_over_running(stale *s)
{
    const char *path = stale_program(s, "program", 1), *next = stale_program(s, "next", 2);
    uint8_t old[32], new[32];

    stale_digest(path, old);
    stale_digest(next, new);
    pid_t first = stale_start(s, path, NULL);
    stale_cached(s, path);
    (void)stale_ask(s, stale_exe(s, first));
    rename_into_place(next, path);
    pl_checksum of_path = stale_ask(s, path);
    assert_memory_equal(of_path.digests[0].bytes, new, 32);
    pl_checksum of_old = stale_ask(s, stale_exe(s, first));
    assert_memory_equal(of_old.digests[0].bytes, old, 32);
    pid_t second = stale_start(s, path, NULL);
    pl_checksum of_new = stale_ask(s, stale_exe(s, second));
    assert_memory_equal(of_new.digests[0].bytes, new, 32);
    stale_restart(s);
    of_old = stale_ask(s, stale_exe(s, first));
    assert_memory_equal(of_old.digests[0].bytes, old, 32);
    stale_right(s, path);
}

static void test_case_16_rename_over_while_running(void **state)
{
    stale_each(state, STALE_TRUE_DISKS | STALE_TMPFS, rename_over_running);
}

static void unlinked_while_running(stale *s)
{
    const char *path = stale_program(s, "program", 1);
    uint8_t old[32];
    pl_checksum sum = {.struct_size = sizeof(sum)};

    stale_digest(path, old);
    pid_t pid = stale_start(s, path, NULL);
    const char *exe = stale_exe(s, pid);
    assert_return_code(unlink(path), errno);
    assert_int_equal(pl_checksum_path(s->ledger, path, 0, &sum), PL_VANISHED);
    stale_settle(exe);
    stale_uncached(s, exe);
    sum = stale_ask(s, exe);
    assert_memory_equal(sum.digests[0].bytes, old, 32);
    assert_int_equal(sum.identity.nlink, 0);
    /* Another one of its name. */
    (void)stale_program(s, "program", 2);
    (void)stale_ask(s, path);
    sum = stale_ask(s, exe);
    assert_memory_equal(sum.digests[0].bytes, old, 32);
}

static void test_case_17_unlinked_while_running(void **state)
{
    stale_each(state, STALE_TRUE_DISKS | STALE_TMPFS, unlinked_while_running);
}

/* --- 18, 19: inodes and links ------------------------------------------------------------------------------------- */

static ino_t inode_of(const char *path)
{
    struct stat st;

    assert_return_code(stat(path, &st), errno);
    return st.st_ino;
}

static void inode_reused(stale *s)
{
    const char *path = stale_file(s, "f", 1), *other = stale_path(s, s->folder, "f");
    struct stat before;
    bool reused = false;

    stale_cached(s, path);
    assert_return_code(stat(path, &before), errno);
    assert_return_code(unlink(path), errno);
    for (unsigned i = 0; i < REUSE_TRIES && !reused; i++) {
        char name[512];
        (void)snprintf(name, sizeof(name), "%s/n%u", s->folder, i);
        pl_temp_write(name, "", 0, 0755);
        reused = inode_of(name) == before.st_ino;
        assert_return_code(reused ? rename(name, other) : 0, errno);
    }
    if (!reused) {
        print_message("inode numbers are not used again on %s\n", s->where);
        pl_temp_write(other, "", 0, 0755);
    }
    assert_return_code(truncate(other, STALE_SIZE), errno); /* of equal size, with other bytes and the old mtime */
    stale_poke(other, 0, STALE_SIZE, 2);
    struct timespec times[] = {before.st_atim, before.st_mtim};
    assert_return_code(utimensat(AT_FDCWD, other, times, 0), errno);
    stale_changed(s, other);
    stale_cached(s, other);
}

static void test_case_18_inode_number_reused_with_equal_size(void **state)
{
    stale_each(state, STALE_TRUE_DISKS | STALE_TMPFS, inode_reused);
}

static void write_through_hard_link(stale *s)
{
    const char *a = stale_folder(s, s->folder, "a"), *b = stale_folder(s, s->folder, "b"),
               *path = stale_file(s, "a/f", 1), *other = stale_path(s, b, "g");

    (void)a;
    assert_return_code(link(path, other), errno);
    stale_cached(s, path);
    (void)stale_ask(s, other);
    for (unsigned i = 0; i < 3; i++) {
        stale_poke_hidden(other, i * 100, 50, i);
        stale_changed(s, path);
        stale_right(s, other);
    }
    stale_cached(s, other);
    stale_poke_hidden(path, 0, 1, 9);
    stale_changed(s, other);
    stale_right(s, path);
}

static void test_case_19_write_through_a_hard_link_in_another_directory(void **state)
{
    stale_each(state, PLACES, write_through_hard_link);
}

/* --- 20, 21, 22: the path means something else -------------------------------------------------------------------- */

typedef struct flip {
    const char *link, *to, *spare;
} flip;

static void flip_link(const flip *f)
{
    assert_return_code(symlink(f->to, f->spare), errno);
    rename_into_place(f->spare, f->link);
}

static void flip_hook(void *context)
{
    flip_link(context);
}

static void symlink_flipped(stale *s)
{
    const char *a = stale_file(s, "a", 1), *b = stale_file(s, "b", 2), *link = stale_path(s, s->folder, "link"),
               *spare = stale_path(s, s->folder, "spare");
    flip to_a = {link, a, spare}, to_b = {link, b, spare};
    int outcome = 0, error = 0;

    flip_link(&to_a);
    /* Between open and S2, as a worker does it: what was opened is what was answered. */
    pl_prober_options options = {.algorithms = PL_SHA256, .before_s2 = flip_hook, .hook_context = &to_b};
    pl_prober *prober = NULL;
    pl_probe_result result;
    assert_int_equal(pl_prober_new(&options, &prober), 0);
    pl_auto_close int fd = pl_pin_open(AT_FDCWD, link, true, NULL, 0, &outcome, &error);
    assert_true(fd >= 0);
    int rc = pl_prober_run(prober, fd, 0, &result);
    (void)pl_prober_free(prober);
    assert_int_equal(rc, 0);
    assert_int_equal(result.outcome, 0);
    assert_true(stale_is_right(&result.digests.digests[0], a));
    assert_int_equal(result.identity.inode, inode_of(a));
    /* And around look-ups, with both of them known. */
    stale_cached(s, a);
    stale_cached(s, b);
    for (int i = 0; i < 5; i++) {
        flip_link(i % 2 ? &to_b : &to_a);
        stale_right(s, link);
    }
}

static void test_case_20_symlink_flipped_between_open_and_s2(void **state)
{
    stale_each(state, PLACES, symlink_flipped);
}

static void parent_renamed(stale *s)
{
    const char *here = stale_folder(s, s->folder, "here"), *top = stale_folder(s, here, "top"),
               *path = stale_file(s, "here/top/f", 1), *away = stale_path(s, s->folder, "away"),
               *moved = stale_path(s, s->folder, "away/top/f");
    struct stat before;

    (void)top;
    stale_cached(s, path);
    assert_return_code(stat(path, &before), errno);
    rename_into_place(here, away);
    assert_return_code(mkdir(here, 0755), errno);
    assert_return_code(mkdir(top, 0755), errno);
    (void)stale_file(s, "here/top/f", 2);
    struct timespec times[] = {before.st_atim, before.st_mtim};
    assert_return_code(utimensat(AT_FDCWD, path, times, 0), errno);
    stale_changed(s, path);
    stale_right(s, moved);
    stale_cached(s, path);
}

static void test_case_21_parent_renamed_and_another_file_at_the_old_path(void **state)
{
    stale_each(state, PLACES, parent_renamed);
}

static void named_deleted(stale *s)
{
    const char *x = stale_program(s, "x", 1), *named = stale_program(s, "x (deleted)", 2),
               *kept = stale_path(s, s->folder, "kept");
    uint8_t of_x[32], of_named[32];

    stale_digest(x, of_x);
    stale_digest(named, of_named);
    pid_t pid = stale_start(s, x, NULL), other = stale_start(s, named, NULL);
    stale_cached(s, named);
    assert_return_code(link(x, kept), errno); /* so that it stays a file whose checksum is kept */
    assert_return_code(unlink(x), errno);
    /* The kernel calls the first one "x (deleted)" now. */
    stale_settle(stale_exe(s, pid));
    pl_checksum sum = stale_ask(s, stale_exe(s, pid));
    assert_memory_equal(sum.digests[0].bytes, of_x, 32);
    pl_auto_close int fd = stale_open(stale_exe(s, pid), O_RDONLY);
    assert_int_equal(pl_checksum_fd(s->ledger, fd, 0, &sum), 0);
    assert_memory_equal(sum.digests[0].bytes, of_x, 32);
    sum = stale_ask(s, stale_exe(s, other));
    assert_memory_equal(sum.digests[0].bytes, of_named, 32);
    sum = stale_ask(s, named);
    assert_memory_equal(sum.digests[0].bytes, of_named, 32);
    stale_restart(s);
    stale_right(s, named);
    stale_right(s, kept);
}

static void test_case_22_a_file_named_deleted(void **state)
{
    stale_each(state, STALE_TRUE_DISKS | STALE_TMPFS, named_deleted);
}

/* What an analyst reads under that path is that file's, also when a descriptor of the other one was asked for last. */
static void history_of_named_deleted(stale *s)
{
    const char *x = stale_file(s, "x", 1), *named = stale_file(s, "x (deleted)", 2),
               *kept = stale_path(s, s->folder, "kept");
    pl_auto_free char *sql = NULL, *want = NULL;
    pl_digest digest = {.algorithm = PL_SHA256, .length = 32};
    pl_checksum sum = {.struct_size = sizeof(sum)};
    char hex[129];

    stale_digest(named, digest.bytes);
    (void)pl_hex(&digest, hex);
    pl_auto_close int fd = stale_open(x, O_RDONLY);
    assert_return_code(link(x, kept), errno);
    assert_return_code(unlink(x), errno);
    stale_settle(kept);
    stale_cached(s, named);
    assert_int_equal(pl_checksum_fd(s->ledger, fd, 0, &sum), 0);
    assert_true(stale_is_right(&sum.digests[0], kept));
    s->ledger = pl_close(s->ledger);
    assert_true(asprintf(&sql, "SELECT sha256 FROM hash WHERE path = '%s'", named) > 0);
    assert_true(asprintf(&want, "%s\n", hex) > 0);
    stale_sql(s, sql, want);
}

static void test_case_22_history_of_a_file_named_deleted(void **state)
{
    stale_each(state, STALE_TRUE_DISKS, history_of_named_deleted);
}

/* --- 23: mounts --------------------------------------------------------------------------------------------------- */

/* A child in a mount namespace of its own, where `from` lies over `to`; it says so by ending its output. */
static pid_t start_in_namespace(stale *s, const char *from, const char *to)
{
    int ready[2], hold[2];
    char byte;

    assert_return_code(pipe2(ready, O_CLOEXEC) | pipe2(hold, O_CLOEXEC), errno);
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
        (void)close(hold[1]);
        if (unshare(CLONE_NEWNS) == 0 && mount(from, to, NULL, MS_BIND, NULL) == 0)
            (void)!write(ready[1], "y", 1);
        (void)!read(hold[0], &byte, 1);
        _exit(0);
    }
    s->children[s->n_children] = pid;
    s->holds[s->n_children++] = hold[1];
    (void)close(hold[0]);
    (void)close(ready[1]);
    ssize_t n = read(ready[0], &byte, 1);
    (void)close(ready[0]);
    assert_int_equal(n, 1);
    return pid;
}

static void mounted_over(stale *s)
{
    const char *path = stale_file(s, "f", 1), *other = stale_file(s, "other", 2);
    char there[4096];

    stale_cached(s, path);
    stale_cached(s, other);
    for (int i = 0; i < 2; i++) {
        assert_return_code(mount(other, path, NULL, MS_BIND, NULL), errno);
        (void)stale_ask(s, path);
        pl_checksum sum = stale_ask(s, path);
        bool right = stale_is_right(&sum.digests[0], other);
        stale_unmount(path);
        assert_true(right);
        sum = stale_ask(s, path);
        assert_false(stale_is_right(&sum.digests[0], other));
        stale_right(s, path);
    }
    pid_t pid = start_in_namespace(s, other, path);
    (void)snprintf(there, sizeof(there), "/proc/%d/root%s", (int)pid, path);
    for (int i = 0; i < 2; i++) {
        pl_checksum sum = stale_ask(s, there);
        assert_true(stale_is_right(&sum.digests[0], other));
        sum = stale_ask(s, path);
        assert_false(stale_is_right(&sum.digests[0], other));
        stale_poke_hidden(there, 0, 10, 3); /* the other file, by the name of this one */
        stale_changed(s, other);
        stale_right(s, path);
    }
}

static void test_case_23_bind_mount_and_two_namespaces_with_one_path(void **state)
{
    stale_need_root("mounts");
    stale_each(state, STALE_EXT4 | STALE_XFS | STALE_BTRFS | STALE_TMPFS, mounted_over);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        STALE_CASE(test_case_16_rename_over_while_running),
        STALE_CASE(test_case_17_unlinked_while_running),
        STALE_CASE(test_case_18_inode_number_reused_with_equal_size),
        STALE_CASE(test_case_19_write_through_a_hard_link_in_another_directory),
        STALE_CASE(test_case_20_symlink_flipped_between_open_and_s2),
        STALE_CASE(test_case_21_parent_renamed_and_another_file_at_the_old_path),
        STALE_CASE(test_case_22_a_file_named_deleted),
        STALE_CASE(test_case_22_history_of_a_file_named_deleted),
        STALE_CASE(test_case_23_bind_mount_and_two_namespaces_with_one_path),
    };

    return cmocka_run_group_tests_name("stale names", tests, stale_group_setup, stale_group_teardown);
}

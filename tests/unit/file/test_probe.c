/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * "Taking a hash" on real files: who writes, who maps, what is young, what changes meanwhile, what must never be
 * opened. Time is a fake clock, an hour after the file's last change unless a test says otherwise; writers come in
 * through the prober's hooks, so nothing waits. Digests are compared with those of sha256sum(1) and its sisters, which
 * share no code with OpenSSL. Opening is watched with inotify: O_PATH does not show there.
 *
 * What needs a file system of tier A or B, root, or a lease is skipped aloud where that is missing.
 */
#include "src/file/probe.h"

#include <openssl/crypto.h>

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/fiemap.h>
#include <linux/openat2.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <spawn.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/un.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "src/base/error.h"
#include "tests/support/fake_clock.h"
#include "tests/support/fault.h"
#include "tests/support/fuse_file.h"
#include "tests/support/own_mounts.h"
#include "tests/support/temp_dir.h"

#define HOUR_NS (3600 * PL_NS_PER_S)
#define CONTENTS "#!/bin/true\n"
#define LENGTH ((uint64_t)12)
#define LARGE ((size_t)8 << 20) /* a second thread reads ahead from here on */
#define NOBODY 65534

/* f_type of statfs(2) */
enum { EXT = 0xef53, XFS = 0x58465342, TMPFS = 0x01021994, FUSE = 0x65735546, OVERLAY = 0x794c7630 };
#define BTRFS 0x9123683eu
#define F2FS 0xf2f52010u

extern char **environ;

typedef struct fixture {
    char *dir, *path;
    char *owned[16]; /* more names, freed in the end */
    size_t n_owned;
    const char *mounted[4]; /* of them, unmounted in the end */
    size_t n_mounted;
    bool own_mounts;
    int fd; /* of path, for reading */
    pl_fake_clock clock;
    pl_prober_options options;
    uint64_t magic; /* of the file's file system */
} fixture;

static int open_file(const char *path, int flags)
{
    int fd = open(path, flags | O_CLOEXEC);

    assert_true(fd >= 0);
    return fd;
}

static pl_identity identity_of(int fd)
{
    pl_identity identity;

    assert_int_equal(pl_identity_of_fd(fd, &identity), 0);
    return identity;
}

static int64_t newest_of(int fd)
{
    pl_identity identity = identity_of(fd);

    return identity.ctime_ns > identity.mtime_ns ? identity.ctime_ns : identity.mtime_ns;
}

static uint64_t magic_of(int fd)
{
    struct statfs s;

    assert_int_equal(fstatfs(fd, &s), 0);
    return (uint64_t)s.f_type & UINT32_MAX;
}

static void set_clock(fixture *f, int64_t realtime_ns)
{
    pl_fake_clock_init(&f->clock, realtime_ns, HOUR_NS);
}

static int set_up(void **state)
{
    fixture *f = test_calloc(1, sizeof(*f));

    f->dir = pl_temp_dir_new();
    f->path = pl_temp_path(f->dir, "program");
    pl_temp_write(f->path, CONTENTS, LENGTH, 0755);
    f->fd = open_file(f->path, O_RDONLY | O_NONBLOCK);
    f->magic = magic_of(f->fd);
    set_clock(f, newest_of(f->fd) + HOUR_NS);
    f->options = (pl_prober_options){.clock = &f->clock.clock, .algorithms = PL_SHA256};
    *state = f;
    return 0;
}

static int tear_down(void **state)
{
    fixture *f = *state;

    (void)close(f->fd);
    while (f->n_mounted > 0)
        (void)umount2(f->mounted[--f->n_mounted], MNT_DETACH);
    if (f->own_mounts)
        pl_own_mounts_end(f->dir);
    pl_temp_dir_free(f->dir);
    free(f->path);
    while (f->n_owned > 0)
        free(f->owned[--f->n_owned]);
    test_free(f);
    return 0;
}

/* A name that lives as long as the fixture, also when the test is skipped. */
static const char *name_in(fixture *f, const char *folder, const char *name)
{
    assert_true(f->n_owned < sizeof(f->owned) / sizeof(*f->owned));
    f->owned[f->n_owned] = pl_temp_path(folder, name);
    return f->owned[f->n_owned++];
}

static const char *folder_in(fixture *f, const char *folder, const char *name)
{
    const char *path = name_in(f, folder, name);

    assert_int_equal(mkdir(path, 0755), 0);
    return path;
}

static pl_prober *new_prober(const pl_prober_options *options)
{
    pl_prober *prober = NULL;

    assert_int_equal(pl_prober_new(options, &prober), 0);
    assert_non_null(prober);
    return prober;
}

static pl_probe_result run_fd(const pl_prober_options *options, int fd, uint32_t algorithms)
{
    pl_prober *prober = new_prober(options);
    pl_probe_result result;

    memset(&result, 0xa5, sizeof(result));
    assert_int_equal(pl_prober_run(prober, fd, algorithms, &result), 0);
    assert_null(pl_prober_free(prober));
    return result;
}

static pl_probe_result run(const fixture *f)
{
    return run_fd(&f->options, f->fd, 0);
}

/* What program(1) prints for the file: digits up to a blank. */
static void oracle(const char *program, const char *path, char hex[129])
{
    int out[2], status = -1;
    posix_spawn_file_actions_t actions;
    pid_t pid;
    char *argv[] = {(char *)(uintptr_t)program, (char *)(uintptr_t)path, NULL};
    size_t n = 0;

    assert_return_code(pipe2(out, O_CLOEXEC), errno);
    assert_int_equal(posix_spawn_file_actions_init(&actions), 0);
    assert_int_equal(posix_spawn_file_actions_adddup2(&actions, out[1], 1), 0);
    assert_int_equal(posix_spawnp(&pid, program, &actions, NULL, argv, environ), 0);
    (void)posix_spawn_file_actions_destroy(&actions);
    (void)close(out[1]);
    while (n < 128 && read(out[0], hex + n, 1) == 1 && hex[n] != ' ')
        n++;
    hex[n] = '\0';
    while (read(out[0], &(char){0}, 1) == 1)
        ;
    (void)close(out[0]);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
    assert_true(n >= 32);
}

static void check_digest(const pl_digest_set *set, pl_algorithm algorithm, const char *program, const char *path)
{
    const pl_digest *digest = pl_digest_find(set, algorithm);
    char expected[129], hex[129];

    assert_non_null(digest);
    (void)pl_hex(digest, hex);
    oracle(program, path, expected);
    assert_string_equal(hex, expected);
}

static void check_sha256(const pl_probe_result *result, const char *path)
{
    assert_int_equal(result->outcome, 0);
    assert_int_equal(result->error, 0);
    check_digest(&result->digests, PL_SHA256, "sha256sum", path);
}

/* The sha256 of other bytes than are in a file any more. */
static void check_sha256_of(const pl_probe_result *result, const fixture *f, const void *bytes, size_t length)
{
    char *path = pl_temp_path(f->dir, "expected");

    pl_temp_write(path, bytes, length, 0600);
    check_sha256(result, path);
    free(path);
}

static void check_no_digest(const pl_probe_result *result)
{
    static const pl_digest_set none;

    assert_memory_equal(&result->digests, &none, sizeof(none));
}

static void check_uncached(const pl_probe_result *result, pl_uncached_reason reason, pl_assurance assurance)
{
    assert_int_equal(result->outcome, 0);
    assert_int_equal(result->uncached, reason);
    assert_int_equal(result->assurance, assurance);
    assert_true(pl_digest_find(&result->digests, PL_SHA256)); /* answered all the same */
}

static void check_cacheable(const pl_probe_result *result)
{
    check_uncached(result, PL_CACHEABLE, PL_ASSURANCE_PROBED);
    assert_int_equal(result->retry_ns, 0);
}

/* What this machine can do is asked of the kernel, never of the code under test: where it says yes, tests must pass. */

static bool has_fine_grained_times(const fixture *f)
{
    struct utsname name;
    char *rest;

    assert_int_equal(uname(&name), 0);
    unsigned long major = strtoul(name.release, &rest, 10), minor = strtoul(rest + 1, NULL, 10);
    return major * 1000 + minor >= 6013 && (f->magic == EXT || f->magic == XFS || f->magic == BTRFS);
}

static bool is_on_disk(const fixture *f)
{
    return f->magic == EXT || f->magic == XFS || f->magic == BTRFS || f->magic == F2FS;
}

static bool has_leases(const fixture *f)
{
    int fd = open_file(f->path, O_RDONLY);
    bool granted = fcntl(fd, F_SETLEASE, F_RDLCK) == 0 && fcntl(fd, F_SETLEASE, F_UNLCK) == 0;

    (void)close(fd);
    return granted;
}

/* FIEMAP: there is a disk below an overlay. */
static bool has_extents(const fixture *f)
{
    struct fiemap map = {.fm_length = 1};

    return ioctl(f->fd, _IOWR('f', 11, struct fiemap), &map) == 0;
}

/* Tests that want a hash to be cacheable begin with this. */
static void need_cacheable(const fixture *f)
{
    if (!is_on_disk(f) && !(f->magic == OVERLAY && has_extents(f))) {
        print_message("%s lies on a file system of which nothing is cached; set TMPDIR\n", f->dir);
        skip();
    }
    if (!has_leases(f)) {
        print_message("no leases here (fs.leases-enable, or the file system has none)\n");
        skip();
    }
    pl_probe_result result = run(f);
    check_cacheable(&result);
}

static void need_fine_grained(const fixture *f)
{
    if (!has_fine_grained_times(f)) {
        print_message("no fine-grained times on this kernel and file system\n");
        skip();
    }
}

static void need_root(const char *why)
{
    if (geteuid() != 0) {
        print_message("not root: %s\n", why);
        skip();
    }
}

static size_t count_fds(void)
{
    DIR *dir = opendir("/proc/self/fd");
    size_t n = 0;

    assert_non_null(dir);
    while (readdir(dir))
        n++;
    (void)closedir(dir);
    return n;
}

/* --- what is answered ------------------------------------------------------------------------------------------- */

/* Bytes that differ from block to block. */
static void fill_file(fixture *f, size_t length)
{
    unsigned char *bytes = malloc(length + 1);
    uint64_t random = 88172645463325252u;

    assert_non_null(bytes);
    for (size_t n = 0; n < length; n++) {
        random ^= random << 13, random ^= random >> 7, random ^= random << 17;
        bytes[n] = (unsigned char)(random >> 32);
    }
    pl_temp_write(f->path, bytes, length, 0755);
    free(bytes);
    set_clock(f, newest_of(f->fd) + HOUR_NS);
}

/* Lengths around the blocks in which a file is read, and around the one from which on a second thread helps. */
static void test_digest_is_that_of_sha256sum(void **state)
{
    static const size_t lengths[] = {0, 1, 4096, 262143, 262144, 262145, 1000000, LARGE - 1, LARGE, LARGE + 1};
    fixture *f = *state;

    for (size_t i = 0; i < sizeof(lengths) / sizeof(*lengths); i++) {
        fill_file(f, lengths[i]);
        pl_identity before = identity_of(f->fd);
        pl_probe_result result = run(f);
        check_sha256(&result, f->path);
        assert_int_equal(pl_digest_set_algorithms(&result.digests), PL_SHA256);
        assert_int_equal(result.bytes_read, lengths[i]);
        assert_int_equal(result.hashed_ns, before.ctime_ns + HOUR_NS);
        assert_memory_equal(&result.identity, &before, sizeof(before));
        assert_int_equal(result.fs.magic, f->magic);
    }
}

static void take_all_memory(void *context)
{
    (void)context;
    pl_fault_arm_from(PL_FAULT_ALLOC, 1, ENOMEM);
}

static void give_memory_back(void *context)
{
    bool *asked = context;

    *asked = pl_fault_fired();
    pl_fault_disarm();
}

static void test_large_file_needs_no_help(void **state)
{
    fixture *f = *state;

    fill_file(f, LARGE + 12345);
    pl_fault_arm_from(PL_FAULT_THREAD, 1, EAGAIN);
    pl_probe_result result = run(f);
    bool asked = pl_fault_fired();
    pl_fault_disarm();
    assert_true(asked);
    check_sha256(&result, f->path);
    asked = false;
    f->options.before_read = take_all_memory; /* OpenSSL has begun, and has what it needs */
    f->options.before_s2 = give_memory_back;
    f->options.hook_context = &asked;
    result = run(f);
    assert_true(asked);
    check_sha256(&result, f->path);
    assert_int_equal(result.bytes_read, LARGE + 12345);
}

static void test_every_read_of_a_large_file_may_fail(void **state)
{
    static const int errors[] = {EIO, EINTR, ESTALE};
    fixture *f = *state;

    fill_file(f, LARGE + 1);
    for (size_t i = 0; i < 3; i++) {
        bool fired = true;
        unsigned n;
        for (n = 1; fired; n++) {
            pl_fault_arm(PL_FAULT_READ, n, errors[i]);
            pl_probe_result result = run(f);
            fired = pl_fault_fired();
            pl_fault_disarm();
            if (!fired || errors[i] == EINTR) {
                check_uncached(&result, result.uncached, result.assurance);
                assert_int_equal(result.bytes_read, LARGE + 1);
                continue;
            }
            assert_int_equal(result.outcome, errors[i] == ESTALE ? PL_VANISHED : PL_UNREADABLE);
            assert_int_equal(result.error, errors[i]);
            check_no_digest(&result);
        }
        assert_true(n > 3);
    }
}

static void test_all_algorithms_in_one_read(void **state)
{
    fixture *f = *state;
    pl_probe_result result = run_fd(&f->options, f->fd, PL_MD5 | PL_SHA1 | PL_SHA512);

    check_digest(&result.digests, PL_SHA256, "sha256sum", f->path);
    check_digest(&result.digests, PL_MD5, "md5sum", f->path);
    check_digest(&result.digests, PL_SHA1, "sha1sum", f->path);
    check_digest(&result.digests, PL_SHA512, "sha512sum", f->path);
    assert_int_equal(result.bytes_read, LENGTH);
}

static void test_default_algorithms_are_the_options(void **state)
{
    fixture *f = *state;

    f->options.algorithms = PL_MD5;
    pl_probe_result result = run_fd(&f->options, f->fd, 0);
    assert_int_equal(pl_digest_set_algorithms(&result.digests), PL_SHA256 | PL_MD5);
    result = run_fd(&f->options, f->fd, PL_SHA1); /* instead of them */
    assert_int_equal(pl_digest_set_algorithms(&result.digests), PL_SHA256 | PL_SHA1);
    f->options.algorithms = 0;
    result = run_fd(&f->options, f->fd, 0);
    assert_int_equal(pl_digest_set_algorithms(&result.digests), PL_SHA256);
}

static void test_descriptor_is_neither_moved_nor_closed(void **state)
{
    fixture *f = *state;
    size_t fds = count_fds();

    assert_int_equal(lseek(f->fd, 5, SEEK_SET), 5);
    pl_probe_result result = run(f);
    check_sha256(&result, f->path);
    assert_int_equal(lseek(f->fd, 0, SEEK_CUR), 5);
    assert_int_equal(count_fds(), fds);
}

static void test_prober_is_used_again_and_again(void **state)
{
    fixture *f = *state;
    char *other = pl_temp_path(f->dir, "other");
    pl_probe_result result;

    pl_temp_write(other, "other bytes", 11, 0755);
    pl_prober *prober = new_prober(&f->options);
    int fd = open_file(other, O_RDONLY), dir = open_file(f->dir, O_RDONLY | O_DIRECTORY);
    for (int round = 0; round < 3; round++) { /* also after a failure and with a leftover of another file */
        assert_int_equal(pl_prober_run(prober, f->fd, 0, &result), 0);
        check_sha256(&result, f->path);
        assert_int_equal(pl_prober_run(prober, dir, 0, &result), 0);
        assert_int_equal(result.outcome, PL_NOT_REGULAR);
        pl_fault_arm(PL_FAULT_READ, 2, EIO);
        int rc = pl_prober_run(prober, f->fd, 0, &result);
        pl_fault_disarm();
        assert_int_equal(rc, 0);
        assert_int_equal(result.outcome, PL_UNREADABLE);
        assert_int_equal(pl_prober_run(prober, fd, 0, &result), 0);
        check_sha256(&result, other);
        assert_int_equal(result.bytes_read, 11);
    }
    pl_prober_free(prober);
    (void)close(dir);
    (void)close(fd);
    free(other);
}

static void test_too_big_is_not_read(void **state)
{
    fixture *f = *state;

    f->options.max_file_size = LENGTH - 1;
    pl_fault_arm(PL_FAULT_FCNTL, 1, EIO); /* nor is anybody kept from writing to it */
    pl_probe_result result = run(f);
    bool asked = pl_fault_fired();
    pl_fault_disarm();
    assert_false(asked);
    assert_int_equal(result.outcome, PL_TOO_BIG);
    assert_int_equal(result.error, 0);
    assert_int_equal(result.bytes_read, 0);
    assert_int_equal(result.identity.size, LENGTH);
    check_no_digest(&result);
    f->options.max_file_size = LENGTH;
    result = run(f);
    check_sha256(&result, f->path);
}

static void test_not_regular_is_not_read(void **state)
{
    fixture *f = *state;
    int ends[2], dir = open_file(f->dir, O_RDONLY | O_DIRECTORY), null = open_file("/dev/null", O_RDONLY);

    assert_return_code(pipe2(ends, O_CLOEXEC), errno); /* a read without data would block */
    const int fds[] = {dir, null, ends[0]};
    for (size_t i = 0; i < 3; i++) {
        pl_probe_result result = run_fd(&f->options, fds[i], 0);
        assert_int_equal(result.outcome, PL_NOT_REGULAR);
        assert_int_equal(result.bytes_read, 0);
        check_no_digest(&result);
    }
    for (size_t i = 0; i < 2; i++)
        (void)close(fds[i]);
    (void)close(ends[0]);
    (void)close(ends[1]);
}

static void test_descriptor_that_cannot_be_read(void **state)
{
    fixture *f = *state;
    int fd = open_file(f->path, O_WRONLY);
    pl_probe_result result = run_fd(&f->options, fd, 0);

    assert_int_equal(result.outcome, PL_UNREADABLE);
    assert_int_equal(result.error, EBADF);
    check_no_digest(&result);
    (void)close(fd);
    result = run_fd(&f->options, -1, 0);
    assert_int_equal(result.outcome, PL_UNREADABLE);
    assert_int_equal(result.error, EBADF);
}

/* --- who writes ------------------------------------------------------------------------------------------------- */

static void test_open_writer_makes_it_uncached(void **state)
{
    fixture *f = *state;
    static const int flags[] = {O_WRONLY, O_RDWR, O_WRONLY | O_APPEND};

    need_cacheable(f);
    for (size_t i = 0; i < 3; i++) {
        int writer = open_file(f->path, flags[i]);
        pl_probe_result result = run(f);
        check_uncached(&result, PL_UNCACHED_WRITER, PL_ASSURANCE_STAT);
        check_sha256(&result, f->path);
        (void)close(writer);
        result = run(f);
        check_cacheable(&result);
    }
}

static void test_writer_through_a_hard_link_is_seen(void **state)
{
    fixture *f = *state;
    const char *other = name_in(f, f->dir, "link");

    need_cacheable(f);
    assert_int_equal(link(f->path, other), 0);
    set_clock(f, newest_of(f->fd) + HOUR_NS);
    int writer = open_file(other, O_WRONLY);
    pl_probe_result result = run(f);
    check_uncached(&result, PL_UNCACHED_WRITER, PL_ASSURANCE_STAT);
    (void)close(writer);
}

static void test_readers_do_not_matter(void **state)
{
    fixture *f = *state;

    need_cacheable(f);
    int reader = open_file(f->path, O_RDONLY), pinned = open_file(f->path, O_PATH);
    void *map = mmap(NULL, LENGTH, PROT_READ, MAP_SHARED, reader, 0);
    void *private = mmap(NULL, LENGTH, PROT_READ | PROT_WRITE, MAP_PRIVATE, reader, 0);
    assert_true(map != MAP_FAILED && private != MAP_FAILED);
    pl_probe_result result = run(f);
    check_cacheable(&result);
    (void)munmap(map, LENGTH);
    (void)munmap(private, LENGTH);
    (void)close(pinned);
    (void)close(reader);
}

/* The first of the four ways to a stale hash: the page is dirty already, so a store moves no time stamp. */
static void test_writable_mapping_kept_after_close_makes_it_uncached(void **state)
{
    fixture *f = *state;

    need_cacheable(f);
    if (!is_on_disk(f)) {
        print_message("an overlay need not see mappings; what it does about them has tests of its own\n");
        skip();
    }
    int writer = open_file(f->path, O_RDWR);
    char *map = mmap(NULL, LENGTH, PROT_READ | PROT_WRITE, MAP_SHARED, writer, 0);
    assert_true(map != MAP_FAILED);
    (void)close(writer);
    map[0] = 'A';
    set_clock(f, newest_of(f->fd) + HOUR_NS);
    pl_probe_result result = run(f);
    check_uncached(&result, PL_UNCACHED_WRITER, PL_ASSURANCE_STAT);
    check_sha256(&result, f->path);
    map[0] = 'B'; /* what would have become stale */
    result = run(f);
    check_uncached(&result, PL_UNCACHED_WRITER, PL_ASSURANCE_STAT);
    check_sha256(&result, f->path);
    (void)munmap(map, LENGTH);
    set_clock(f, newest_of(f->fd) + HOUR_NS);
    result = run(f);
    check_cacheable(&result);
    check_sha256(&result, f->path);
}

static void test_no_lease_is_left_behind(void **state)
{
    fixture *f = *state;

    need_cacheable(f);
    assert_int_equal(fcntl(f->fd, F_GETLEASE), F_UNLCK);
    int writer = open(f->path, O_WRONLY | O_NONBLOCK | O_CLOEXEC); /* would be EAGAIN */
    assert_true(writer >= 0);
    (void)close(writer);
}

/* With a writer there, so that no lease is granted: giving one back makes the kernel forget the signal. */
static void test_signal_of_a_lease_break_is_set(void **state)
{
    fixture *f = *state;

    need_cacheable(f);
    int writer = open_file(f->path, O_WRONLY);
    (void)run(f);
    assert_int_equal(fcntl(f->fd, F_GETSIG), SIGURG); /* ignored by default */
    f->options.lease_signal = SIGRTMIN + 3;
    (void)run(f);
    assert_int_equal(fcntl(f->fd, F_GETSIG), SIGRTMIN + 3);
    (void)close(writer);
}

/* fcntl(2) fails in each place: SETSIG, SETLEASE, and the two attempts to give the lease back. */
static void test_every_failure_of_the_lease(void **state)
{
    static const struct {
        unsigned nth;
        bool from;
        int errnum;
        pl_uncached_reason reason;
    } cases[] = {
        {1, false, EINVAL, PL_UNCACHED_NO_LEASE}, {2, false, EAGAIN, PL_UNCACHED_WRITER},
        {2, false, EACCES, PL_UNCACHED_NO_LEASE}, {2, false, EINVAL, PL_UNCACHED_NO_LEASE},
        {2, false, ENOLCK, PL_UNCACHED_NO_LEASE}, {2, false, ENOMEM, PL_UNCACHED_NO_LEASE},
        {3, true, EAGAIN, PL_UNCACHED_NO_LEASE},
    };
    fixture *f = *state;

    need_cacheable(f);
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        int fd = open_file(f->path, O_RDONLY); /* closing it gives back what the last case could not */
        if (cases[i].from)
            pl_fault_arm_from(PL_FAULT_FCNTL, cases[i].nth, cases[i].errnum);
        else
            pl_fault_arm(PL_FAULT_FCNTL, cases[i].nth, cases[i].errnum);
        pl_probe_result result = run_fd(&f->options, fd, 0);
        bool fired = pl_fault_fired();
        pl_fault_disarm();
        assert_true(fired);
        check_uncached(&result, cases[i].reason, PL_ASSURANCE_STAT);
        check_sha256(&result, f->path);
        (void)close(fd);
    }
}

static void test_giving_the_lease_back_is_tried_twice(void **state)
{
    fixture *f = *state;

    need_cacheable(f);
    pl_fault_arm(PL_FAULT_FCNTL, 3, EINTR);
    pl_probe_result result = run(f);
    bool fired = pl_fault_fired();
    pl_fault_disarm();
    assert_true(fired);
    check_cacheable(&result);
    assert_int_equal(fcntl(f->fd, F_GETLEASE), F_UNLCK);
}

/* Runs `body` in a child as nobody; its exit status. */
static int as_nobody(int (*body)(const fixture *f), const fixture *f)
{
    int status = -1;
    pid_t pid = fork();

    assert_true(pid >= 0);
    if (pid == 0) {
        if (setresgid(NOBODY, NOBODY, NOBODY) != 0 || setresuid(NOBODY, NOBODY, NOBODY) != 0)
            _exit(99);
        _exit(body(f));
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status));
    return WEXITSTATUS(status);
}

static int probe_without_lease(const fixture *f)
{
    pl_prober *prober = NULL;
    pl_probe_result result;

    if (pl_prober_new(&f->options, &prober) != 0 || pl_prober_run(prober, f->fd, 0, &result) != 0)
        return 98;
    bool right = result.outcome == 0 && result.uncached == PL_UNCACHED_NO_LEASE &&
                 result.assurance == PL_ASSURANCE_STAT && pl_digest_find(&result.digests, PL_SHA256);
    pl_prober_free(prober);
    return right ? 0 : 1;
}

static void test_somebody_elses_file_without_the_capability(void **state)
{
    const fixture *f = *state;

    need_cacheable(f);
    need_root("cannot become somebody who owns nothing");
    assert_int_equal(as_nobody(probe_without_lease, f), 0);
}

/* Probes until `stop` ends: 0; or until something is wrong. */
static void keep_probing(const fixture *f, int stop)
{
    struct pollfd end = {.fd = stop, .events = POLLIN};
    int fd = open(f->path, O_RDONLY | O_NONBLOCK | O_CLOEXEC); /* not the description of the parent */
    pl_prober *prober = NULL;
    pl_probe_result result;

    if (fd < 0 || pl_prober_new(&f->options, &prober) != 0)
        _exit(98);
    while (poll(&end, 1, 0) == 0)
        if (pl_prober_run(prober, fd, 0, &result) != 0 || result.outcome != 0 ||
            (result.uncached != PL_CACHEABLE && result.uncached != PL_UNCACHED_WRITER))
            _exit(1);
    _exit(0);
}

/* Opens the file for writing while a child probes it, until a lease was in the way: the child was sent its signal
 * then. Returns how the child ended. */
static int open_during_a_probe(const fixture *f)
{
    int stop[2], status = -1;
    bool conflict = false;

    assert_return_code(pipe2(stop, O_CLOEXEC), errno);
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        (void)close(stop[1]);
        keep_probing(f, stop[0]);
    }
    (void)close(stop[0]);
    for (long tries = 0; tries < 200000000 && !conflict; tries++) {
        int writer = open(f->path, O_WRONLY | O_NONBLOCK | O_CLOEXEC);
        conflict = writer < 0;
        if (conflict)
            assert_int_equal(errno, EWOULDBLOCK);
        else
            (void)close(writer);
    }
    (void)close(stop[1]);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(conflict);
    return status;
}

static void test_writer_that_opens_during_the_probe_kills_nobody(void **state)
{
    fixture *f = *state;

    need_cacheable(f);
    int status = open_during_a_probe(f);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
    /* With a signal that kills, it does kill: so there was a break, and the signal was the one of the options. */
    f->options.lease_signal = SIGUSR1;
    status = open_during_a_probe(f);
    assert_true(WIFSIGNALED(status));
    assert_int_equal(WTERMSIG(status), SIGUSR1);
}

/* --- what is young ---------------------------------------------------------------------------------------------- */

static void check_window(fixture *f, int64_t window)
{
    int64_t newest = newest_of(f->fd);

    set_clock(f, newest + window);
    pl_probe_result result = run(f);
    check_cacheable(&result);
    set_clock(f, newest + window - 1);
    result = run(f);
    check_uncached(&result, PL_UNCACHED_YOUNG, PL_ASSURANCE_PROBED);
    assert_int_equal(result.retry_ns, 1);
    set_clock(f, newest); /* now is not the future */
    result = run(f);
    check_uncached(&result, PL_UNCACHED_YOUNG, PL_ASSURANCE_PROBED);
    assert_int_equal(result.retry_ns, window);
    check_sha256(&result, f->path);
    pl_fake_clock_advance(&f->clock, result.retry_ns); /* as promised */
    result = run(f);
    check_cacheable(&result);
    set_clock(f, newest - 1);
    result = run(f);
    check_uncached(&result, PL_UNCACHED_FUTURE, PL_ASSURANCE_PROBED);
    assert_int_equal(result.retry_ns, 0);
}

static void test_young_is_two_seconds_without_fine_grained_times(void **state)
{
    fixture *f = *state;

    need_cacheable(f);
    check_window(f, 2 * PL_NS_PER_S);
    pl_probe_result result = run(f);
    assert_false(result.fs.fine_grained);
}

static void test_young_is_20_ms_with_fine_grained_times(void **state)
{
    fixture *f = *state;

    need_cacheable(f);
    need_fine_grained(f);
    f->options.fine_grained_times = true;
    check_window(f, 20 * PL_NS_PER_MS);
    pl_probe_result result = run(f);
    assert_true(result.fs.fine_grained);
}

/* After S1 whichever is the later one counts; the ctime cannot be set, so mtime moves around it. */
static void test_later_of_ctime_and_mtime_counts(void **state)
{
    fixture *f = *state;
    struct timespec times[2] = {{.tv_nsec = UTIME_OMIT}, {.tv_sec = 1000000000, .tv_nsec = 1}};

    need_cacheable(f);
    assert_int_equal(utimensat(AT_FDCWD, f->path, times, 0), 0); /* as unpacked from an archive */
    assert_true(newest_of(f->fd) == identity_of(f->fd).ctime_ns);
    check_window(f, 2 * PL_NS_PER_S);
    times[1].tv_sec = 4000000000; /* the year 2096 */
    assert_int_equal(utimensat(AT_FDCWD, f->path, times, 0), 0);
    assert_true(newest_of(f->fd) == identity_of(f->fd).mtime_ns);
    check_window(f, 2 * PL_NS_PER_S);
}

static void test_time_that_64_bits_cannot_hold_is_future(void **state)
{
    fixture *f = *state;
    const struct timespec times[2] = {{.tv_nsec = UTIME_OMIT}, {.tv_sec = 10413792000, .tv_nsec = 1}}; /* 2300 */

    need_cacheable(f);
    assert_int_equal(utimensat(AT_FDCWD, f->path, times, 0), 0);
    set_clock(f, identity_of(f->fd).ctime_ns + HOUR_NS);
    pl_probe_result result = run(f);
    check_uncached(&result, PL_UNCACHED_FUTURE, PL_ASSURANCE_PROBED);
    check_sha256(&result, f->path);
}

typedef struct mover {
    fixture *f;
    unsigned steps;
} mover;

/* 10 ns pass while S1 is taken: the second call that may hang. */
static void move_clock_during_s1(void *context, pl_probe_event event)
{
    mover *m = context;

    if (event == PL_PROBE_STEP && ++m->steps == 2)
        pl_fake_clock_advance(&m->f->clock, 10);
}

static void test_file_changed_while_the_clock_was_read_is_young(void **state)
{
    fixture *f = *state;
    mover m = {.f = f};
    int64_t newest = newest_of(f->fd);

    need_cacheable(f);
    f->options.notify = move_clock_during_s1;
    f->options.notify_context = &m;
    set_clock(f, newest - 5); /* before S1; after it newest + 5 */
    pl_probe_result result = run(f);
    check_uncached(&result, PL_UNCACHED_YOUNG, PL_ASSURANCE_PROBED);
    assert_int_equal(result.retry_ns, 2 * PL_NS_PER_S + 5);
    assert_int_equal(result.hashed_ns, newest - 5);
    /* The window counts from the earlier reading. */
    m.steps = 0;
    set_clock(f, newest + 2 * PL_NS_PER_S - 1);
    result = run(f);
    check_uncached(&result, PL_UNCACHED_YOUNG, PL_ASSURANCE_PROBED);
    assert_int_equal(result.retry_ns, 1);
}

/* --- what changes meanwhile ------------------------------------------------------------------------------------- */

typedef struct intruder {
    fixture *f;
    void (*change)(fixture *f);
    unsigned times, calls; /* changes the first `times` tries */
} intruder;

static void intrude(void *context)
{
    intruder *i = context;

    if (i->calls++ < i->times)
        i->change(i->f);
}

static void append_byte(fixture *f)
{
    int fd = open_file(f->path, O_WRONLY | O_APPEND);

    assert_int_equal(write(fd, "+", 1), 1);
    (void)close(fd);
}

static void write_same_size(fixture *f)
{
    int fd = open_file(f->path, O_WRONLY);

    assert_int_equal(pwrite(fd, "!", 1, 2), 1);
    (void)close(fd);
}

static void write_and_restore_mtime(fixture *f)
{
    pl_identity before = identity_of(f->fd);
    const struct timespec times[2] = {{.tv_nsec = UTIME_OMIT},
                                      {before.mtime_ns / PL_NS_PER_S, before.mtime_ns % PL_NS_PER_S}};

    write_same_size(f);
    assert_int_equal(utimensat(AT_FDCWD, f->path, times, 0), 0);
    assert_int_equal(identity_of(f->fd).mtime_ns, before.mtime_ns);
}

static void cut_to_three(fixture *f)
{
    assert_int_equal(truncate(f->path, 3), 0);
}

static void grow_by_8_mib(fixture *f)
{
    assert_int_equal(truncate(f->path, (off_t)(LENGTH + (8u << 20))), 0);
}

static void rename_over(fixture *f)
{
    char *other = pl_temp_path(f->dir, "new");

    pl_temp_write(other, "new bytes", 9, 0755);
    assert_int_equal(rename(other, f->path), 0);
    free(other);
}

static pl_probe_result run_intruded(fixture *f, bool before_s2, void (*change)(fixture *), unsigned times,
                                    unsigned expected_tries)
{
    intruder i = {.f = f, .change = change, .times = times};

    f->options.hook_context = &i;
    f->options.before_read = before_s2 ? NULL : intrude;
    f->options.before_s2 = before_s2 ? intrude : NULL;
    pl_probe_result result = run(f);
    f->options.before_read = f->options.before_s2 = NULL;
    assert_int_equal(i.calls, expected_tries);
    return result;
}

static void test_change_before_the_read_is_read_again(void **state)
{
    fixture *f = *state;
    pl_probe_result result = run_intruded(f, false, append_byte, 1, 2);

    check_sha256(&result, f->path);
    assert_int_equal(result.identity.size, LENGTH + 1);
    assert_int_equal(result.bytes_read, 2 * (LENGTH + 1)); /* S1 saw 12, the read found 13 */
    result = run_intruded(f, false, cut_to_three, 1, 2);
    check_sha256(&result, f->path);
    assert_int_equal(result.bytes_read, 3 + 3);
}

static void test_change_after_the_read_is_read_again(void **state)
{
    fixture *f = *state;
    pl_probe_result result = run_intruded(f, true, append_byte, 2, 3);

    check_sha256(&result, f->path);
    assert_int_equal(result.identity.size, LENGTH + 2);
    assert_int_equal(result.bytes_read, LENGTH + (LENGTH + 1) + (LENGTH + 2));
    result = run_intruded(f, true, cut_to_three, 1, 2);
    check_sha256(&result, f->path);
}

static void test_change_of_the_same_size_is_read_again(void **state)
{
    fixture *f = *state;

    need_fine_grained(f);
    for (int when = 0; when < 2; when++) {
        pl_probe_result result = run_intruded(f, when, write_same_size, 1, 2);
        check_sha256(&result, f->path);
        result = run_intruded(f, when, write_and_restore_mtime, 1, 2);
        check_sha256(&result, f->path);
        assert_int_equal(result.bytes_read, 2 * LENGTH);
    }
}

static void test_three_changes_are_endured(void **state)
{
    fixture *f = *state;
    pl_probe_result result = run_intruded(f, true, append_byte, 3, 4);

    check_sha256(&result, f->path);
    assert_int_equal(result.identity.size, LENGTH + 3);
}

static void test_four_changes_are_unstable(void **state)
{
    fixture *f = *state;
    pl_probe_result result = run_intruded(f, true, append_byte, 100, 4);

    assert_int_equal(result.outcome, PL_UNSTABLE);
    assert_int_equal(result.error, 0);
    assert_int_equal(result.assurance, PL_ASSURANCE_NONE);
    assert_int_equal(result.bytes_read, 4 * LENGTH + 1 + 2 + 3);
    check_no_digest(&result);
}

/* Made by the kernel as it is read: neither ctime nor size tell that the bytes are others. */
static void test_file_that_is_longer_than_its_size_is_unstable(void **state)
{
    fixture *f = *state;
    int fd = open_file("/proc/version", O_RDONLY);
    pl_probe_result result = run_fd(&f->options, fd, 0);

    assert_int_equal(result.outcome, PL_UNSTABLE);
    assert_int_equal(result.identity.size, 0);
    assert_true(result.bytes_read > 0);
    check_no_digest(&result);
    (void)close(fd);
}

static void test_growth_is_not_followed_to_its_end(void **state)
{
    fixture *f = *state;
    pl_probe_result result = run_intruded(f, false, grow_by_8_mib, 1, 2);

    check_sha256(&result, f->path);
    assert_int_equal(result.identity.size, LENGTH + (8u << 20));
    /* One block past what S1 promised at most, then from the start. */
    assert_in_range(result.bytes_read, result.identity.size + 1, result.identity.size + (1u << 20));
}

static void test_file_replaced_meanwhile_is_answered_by_its_old_bytes(void **state)
{
    fixture *f = *state;
    intruder i = {.f = f, .change = rename_over, .times = 1};

    f->options.hook_context = &i;
    f->options.before_read = intrude;
    pl_probe_result result = run(f);
    check_sha256_of(&result, f, CONTENTS, LENGTH);
    if (has_fine_grained_times(f)) {
        assert_int_equal(i.calls, 2); /* losing a name moves ctime */
        check_uncached(&result, PL_UNCACHED_UNLINKED, PL_ASSURANCE_PROBED);
    }
}

static int kept_writer = -1;

static void open_writer(fixture *f)
{
    kept_writer = open_file(f->path, O_WRONLY);
}

/* The probe cannot see who comes after it; whoever does moves ctime with the first byte. */
static void test_writer_that_comes_after_the_probe_cannot_make_it_stale(void **state)
{
    fixture *f = *state;

    need_cacheable(f);
    need_fine_grained(f);
    pl_probe_result result = run_intruded(f, false, open_writer, 1, 1);
    check_cacheable(&result);
    assert_int_equal(pwrite(kept_writer, "!", 1, 0), 1);
    (void)close(kept_writer);
    pl_identity after = identity_of(f->fd);
    assert_false(pl_identity_equal(&result.identity, &after));
}

/* --- what is never cached --------------------------------------------------------------------------------------- */

static void test_unlinked_file_is_answered_and_not_cached(void **state)
{
    fixture *f = *state;

    need_cacheable(f);
    assert_int_equal(unlink(f->path), 0);
    set_clock(f, newest_of(f->fd) + HOUR_NS);
    pl_probe_result result = run(f);
    check_uncached(&result, PL_UNCACHED_UNLINKED, PL_ASSURANCE_PROBED);
    assert_int_equal(result.identity.nlink, 0);
    check_sha256_of(&result, f, CONTENTS, LENGTH);
}

static void check_tier_c(const fixture *f, int fd)
{
    pl_fault_arm(PL_FAULT_FCNTL, 1, EIO); /* a lease there would prove nothing */
    pl_probe_result result = run_fd(&f->options, fd, 0);
    bool asked = pl_fault_fired();
    pl_fault_disarm();
    assert_false(asked);
    check_uncached(&result, PL_UNCACHED_TIER, PL_ASSURANCE_STAT);
    assert_int_equal(result.fs.tier, PL_TIER_C);
    check_sha256_of(&result, f, CONTENTS, LENGTH);
}

static void test_tmpfs_is_never_cached(void **state)
{
    fixture *f = *state;
    char path[] = "/dev/shm/pl-test-XXXXXX";
    int fd = mkostemp(path, O_CLOEXEC);

    if (fd < 0 || magic_of(fd) != TMPFS) {
        print_message("/dev/shm is no tmpfs of ours\n");
        if (fd >= 0)
            (void)unlink(path), (void)close(fd);
        skip();
    }
    ssize_t n = write(fd, CONTENTS, LENGTH);
    (void)close(fd);
    fd = open(path, O_RDONLY | O_CLOEXEC);
    (void)unlink(path); /* whatever happens from here on */
    assert_int_equal(n, LENGTH);
    assert_true(fd >= 0);
    check_tier_c(f, fd);
    (void)close(fd);
}

static void test_memfd_is_never_cached(void **state)
{
    const fixture *f = *state;
    int fd = memfd_create("probe", MFD_CLOEXEC), outcome = -1, error = -1;

    assert_true(fd >= 0);
    assert_int_equal(write(fd, CONTENTS, LENGTH), LENGTH);
    check_tier_c(f, fd); /* still writable: nobody can tell */
    int own = pl_pin_reopen(fd, NULL, 0, &outcome, &error);
    assert_true(own >= 0);
    check_tier_c(f, own);
    (void)close(own);
    (void)close(fd);
}

/* While its server runs nothing is asserted: a process that dies with such a file open waits for its own server. */
static void test_fuse_is_never_cached(void **state)
{
    static const char contents[] = "bytes behind a server\n"; /* of tests/support/fuse_file.c */
    fixture *f = *state;
    const char *folder = folder_in(f, f->dir, "fuse"), *path = name_in(f, folder, "file");
    pl_prober *prober = new_prober(&f->options);
    pl_fuse_file *server = pl_fuse_file_new(folder, 0);
    pl_probe_result result = {0};

    if (!server) {
        print_message("FUSE cannot be had here: %s\n", strerror(errno));
        pl_prober_free(prober);
        skip();
    }
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    int rc = fd < 0 ? -99 : pl_prober_run(prober, fd, 0, &result);
    if (fd >= 0)
        (void)close(fd);
    pl_fuse_file_free(server);
    pl_prober_free(prober);
    assert_int_equal(rc, 0);
    check_uncached(&result, PL_UNCACHED_TIER, PL_ASSURANCE_STAT);
    assert_int_equal(result.fs.magic, FUSE);
    check_sha256_of(&result, f, contents, sizeof(contents) - 1);
}

/* Where only this process sees it. */
static void mount_or_skip(fixture *f, const char *type, const char *folder, const char *options)
{
    const char *failed = NULL;

    if (f->n_mounted == 0 && !(f->own_mounts = pl_own_mounts(f->dir)))
        failed = "private mounts";
    else if (mount(type, folder, type, 0, options) != 0)
        failed = type;
    if (failed) {
        print_message("%s cannot be had here: %s\n", failed, strerror(errno));
        skip();
    }
    f->mounted[f->n_mounted++] = folder;
}

/* An overlay with the file in its upper layer; from here on it is the fixture's. */
static void need_overlay(fixture *f, const char *layers, const char *more_options)
{
    const char *lower = folder_in(f, layers, "lower"), *upper = folder_in(f, layers, "upper"),
               *work = folder_in(f, layers, "work"), *merged = folder_in(f, layers, "merged");
    char options[4096];

    pl_temp_write(name_in(f, lower, "below"), CONTENTS, LENGTH, 0755);
    (void)snprintf(options, sizeof(options), "lowerdir=%s,upperdir=%s,workdir=%s%s", lower, upper, work, more_options);
    mount_or_skip(f, "overlay", merged, options);
    free(f->path);
    f->path = pl_temp_path(merged, "program");
    pl_temp_write(f->path, CONTENTS, LENGTH, 0755);
    (void)close(f->fd);
    f->fd = open_file(f->path, O_RDONLY | O_NONBLOCK);
    f->magic = magic_of(f->fd);
    assert_int_equal(f->magic, OVERLAY);
    set_clock(f, newest_of(f->fd) + HOUR_NS);
}

/* And one below which there is a disk. */
static void need_overlay_on_disk(fixture *f, const char *more_options)
{
    if (!is_on_disk(f)) {
        print_message("%s lies on nothing that an overlay may be put on; set TMPDIR\n", f->dir);
        skip();
    }
    need_overlay(f, f->dir, more_options);
}

typedef struct trace {
    char text[256]; /* P, R and S; ! after the first of them that saw the armed fault fired */
    size_t n;
    bool fired;
} trace;

static void keep_trace(void *context, pl_probe_event event)
{
    trace *t = context;

    assert_true(t->n + 3 < sizeof(t->text));
    t->text[t->n++] = event == PL_PROBE_PROBING ? 'P' : event == PL_PROBE_READING ? 'R' : 'S';
    if (!t->fired && pl_fault_fired()) {
        t->fired = true;
        t->text[t->n++] = '!';
    }
    t->text[t->n] = '\0';
}

static void test_overlay_is_cached_after_writing_back(void **state)
{
    static const char *const names[] = {"below", "program", "empty"};
    fixture *f = *state;

    need_overlay_on_disk(f, "");
    pl_temp_write(name_in(f, f->mounted[0], "empty"), "", 0, 0755);
    for (size_t i = 0; i < 3; i++) {
        const char *path = name_in(f, f->mounted[0], names[i]);
        int fd = open_file(path, O_RDONLY);
        set_clock(f, newest_of(fd) + HOUR_NS);
        pl_probe_result result = run_fd(&f->options, fd, 0);
        (void)close(fd);
        check_cacheable(&result);
        check_sha256(&result, path);
        assert_int_equal(result.fs.tier, PL_TIER_B);
    }
}

/* Before S1 would leave a gap in which a page becomes dirty behind an unchanged ctime; after the read is too late. */
static void test_overlay_writes_back_between_s1_and_the_read(void **state)
{
    fixture *f = *state;
    trace t = {0};

    need_overlay_on_disk(f, "");
    f->options.notify = keep_trace;
    f->options.notify_context = &t;
    pl_fault_arm(PL_FAULT_WRITE, 1, EIO);
    pl_probe_result result = run(f);
    bool fired = pl_fault_fired();
    pl_fault_disarm();
    assert_true(fired);
    assert_string_equal(t.text, "SPSSRS!SSS");                    /* statfs; S1, lease; write back; two reads, S2 */
    check_uncached(&result, PL_UNCACHED_TIER, PL_ASSURANCE_STAT); /* it could not be written back */
    check_sha256(&result, f->path);
}

/* A writable mapping of the file whose page is dirty. Kernels differ in whether its lease shows that. */
static char *map_and_store(fixture *f)
{
    int writer = open_file(f->path, O_RDWR);
    char *map = mmap(NULL, LENGTH, PROT_READ | PROT_WRITE, MAP_SHARED, writer, 0);

    assert_true(map != MAP_FAILED);
    (void)close(writer);
    map[0] = 'A';
    set_clock(f, newest_of(f->fd) + HOUR_NS);
    return map;
}

/* Each time that a hash may be cached, the next store moves ctime. */
static void check_never_stale(fixture *f, char *map, bool on_fine_disk)
{
    if (!on_fine_disk) {
        (void)munmap(map, LENGTH);
        print_message("coarse times: it takes the racy window as well, and this clock is an hour ahead\n");
        skip();
    }
    for (int i = 0; i < 20; i++) {
        pl_probe_result result = run(f);
        check_sha256(&result, f->path);
        map[i % (int)LENGTH] = (char)('a' + i);
        pl_identity after = identity_of(f->fd);
        assert_true(result.uncached != PL_CACHEABLE || !pl_identity_equal(&result.identity, &after));
        set_clock(f, newest_of(f->fd) + HOUR_NS);
    }
    (void)munmap(map, LENGTH);
}

static void test_mapping_through_an_overlay_makes_nothing_stale(void **state)
{
    fixture *f = *state;
    bool fine = has_fine_grained_times(f);

    need_overlay_on_disk(f, "");
    check_never_stale(f, map_and_store(f), fine);
}

/* Mounted volatile, an overlay answers fdatasync(2) with success and does nothing. */
static void test_mapping_through_a_volatile_overlay_makes_nothing_stale(void **state)
{
    fixture *f = *state;
    bool fine = has_fine_grained_times(f);

    need_overlay_on_disk(f, ",volatile");
    check_never_stale(f, map_and_store(f), fine);
}

/* There is nothing to write back to: the page stays writable, and a store moves no time stamp. */
static void test_overlay_on_tmpfs_is_never_cached(void **state)
{
    fixture *f = *state;
    const char *ram = folder_in(f, f->dir, "ram");

    mount_or_skip(f, "tmpfs", ram, "");
    need_overlay(f, ram, "");
    pl_probe_result result = run(f);
    check_uncached(&result, PL_UNCACHED_TIER, PL_ASSURANCE_STAT);
    check_sha256(&result, f->path);
    char *map = map_and_store(f);
    result = run(f);
    (void)munmap(map, LENGTH);
    check_uncached(&result, PL_UNCACHED_TIER, PL_ASSURANCE_STAT);
}

static void test_only_overlays_are_written_back(void **state)
{
    fixture *f = *state;

    need_cacheable(f);
    if (!is_on_disk(f)) {
        print_message("the folder of the tests is on an overlay\n");
        skip();
    }
    pl_fault_arm(PL_FAULT_WRITE, 1, EIO);
    pl_probe_result result = run(f);
    bool fired = pl_fault_fired();
    pl_fault_disarm();
    assert_false(fired);
    check_cacheable(&result);
}

/* --- failures --------------------------------------------------------------------------------------------------- */

static int outcome_of(int errnum)
{
    return errnum == ESTALE || errnum == ENOENT ? PL_VANISHED : PL_UNREADABLE;
}

static void test_every_failure_of_a_system_call(void **state)
{
    static const int errors[] = {EIO, ESTALE, ENOENT, EACCES, ETIMEDOUT};
    static const struct {
        pl_fault_kind kind;
        unsigned nth;
    } calls[] = {
        {PL_FAULT_STAT, 1},                     /* fstatfs */
        {PL_FAULT_STAT, 2},                     /* S1 */
        {PL_FAULT_READ, 1}, {PL_FAULT_READ, 2}, /* the bytes, the end of the file */
        {PL_FAULT_STAT, 3},                     /* S2 */
    };
    const fixture *f = *state;
    size_t fds = count_fds();

    for (size_t call = 0; call < sizeof(calls) / sizeof(*calls); call++)
        for (size_t i = 0; i < sizeof(errors) / sizeof(*errors); i++) {
            pl_fault_arm(calls[call].kind, calls[call].nth, errors[i]);
            pl_probe_result result = run(f);
            bool fired = pl_fault_fired();
            pl_fault_disarm();
            assert_true(fired);
            assert_int_equal(result.outcome, outcome_of(errors[i]));
            assert_int_equal(result.error, errors[i]);
            assert_int_equal(result.assurance, PL_ASSURANCE_NONE);
            check_no_digest(&result);
            assert_int_equal(result.hashed_ns, pl_clock_realtime_ns(&f->clock.clock));
        }
    assert_int_equal(count_fds(), fds);
}

static void test_interrupted_read_goes_on(void **state)
{
    const fixture *f = *state;

    for (unsigned n = 1; n <= 2; n++) {
        pl_fault_arm(PL_FAULT_READ, n, EINTR);
        pl_probe_result result = run(f);
        bool fired = pl_fault_fired();
        pl_fault_disarm();
        assert_true(fired);
        check_sha256(&result, f->path);
        assert_int_equal(result.bytes_read, LENGTH);
    }
}

/* Ours and OpenSSL's (see main), from the making of a prober to the end of a run. */
static void test_every_allocation_may_fail(void **state)
{
    const fixture *f = *state;
    unsigned n, failed_new = 0, failed_run = 0;

    for (n = 1; pl_fault_arm(PL_FAULT_ALLOC, n, ENOMEM); n++) {
        pl_prober *prober = NULL;
        pl_probe_result result, before;
        memset(&result, 0xa5, sizeof(result));
        before = result;
        int made = pl_prober_new(&f->options, &prober);
        int rc = made == 0 ? pl_prober_run(prober, f->fd, PL_MD5 | PL_SHA512, &result) : made;
        bool fired = pl_fault_fired();
        pl_fault_disarm();
        assert_int_equal(made < 0, prober == NULL);
        if (rc != 0) {
            assert_true(fired && (rc == PL_ERR_NOMEM || rc == PL_ERR_SYSTEM));
            assert_memory_equal(&result, &before, sizeof(result));
            made < 0 ? failed_new++ : failed_run++;
        } else {
            check_sha256(&result, f->path);
        }
        if (prober) { /* it goes on once there is memory */
            assert_int_equal(pl_prober_run(prober, f->fd, 0, &result), 0);
            check_sha256(&result, f->path);
        }
        pl_prober_free(prober);
        if (!fired)
            break;
    }
    pl_fault_disarm();
    assert_true(failed_new >= 3); /* the prober, its buffer, the digester */
    assert_true(failed_run >= 3); /* a context for each algorithm */
}

static void test_unknown_algorithms_leave_the_result_alone(void **state)
{
    fixture *f = *state;
    pl_prober *prober = new_prober(&f->options);
    pl_probe_result result, before;

    memset(&result, 0xa5, sizeof(result));
    before = result;
    assert_int_equal(pl_prober_run(prober, f->fd, 64, &result), PL_ERR_INVALID);
    assert_memory_equal(&result, &before, sizeof(result));
    assert_null(pl_prober_free(prober));
    assert_null(pl_prober_free(NULL));
}

/* --- giving up, and being watched ------------------------------------------------------------------------------- */

static void test_events_come_in_their_order(void **state)
{
    fixture *f = *state;
    const char *per_try = f->magic == OVERLAY ? "PSSRSSSS" : "PSSRSSS"; /* S1, lease; two reads, S2 */
    trace t = {0};
    char expected[64];

    f->options.notify = keep_trace;
    f->options.notify_context = &t;
    (void)run(f);
    (void)snprintf(expected, sizeof(expected), "S%s", per_try); /* fstatfs comes once, before all */
    assert_string_equal(t.text, expected);

    t = (trace){0};
    pl_probe_result result = run_intruded(f, true, append_byte, 2, 3);
    (void)snprintf(expected, sizeof(expected), "S%s%s%s", per_try, per_try, per_try); /* each try probes again */
    assert_string_equal(t.text, expected);
    check_sha256(&result, f->path);

    t = (trace){0};
    f->options.max_file_size = 1;
    (void)run(f);
    assert_string_equal(t.text, "SPS"); /* never READING, never a lease */
}

typedef struct canceller {
    atomic_bool cancel;
    unsigned at, steps, later; /* cancels at this step; whatever is called afterwards */
    fixture *f;
} canceller;

static void cancel_at_step(void *context, pl_probe_event event)
{
    canceller *c = context;

    c->later += atomic_load(&c->cancel);
    if (event == PL_PROBE_STEP && ++c->steps == c->at)
        atomic_store(&c->cancel, true);
}

static int64_t count_clock(void *context)
{
    canceller *c = context;

    c->later += atomic_load(&c->cancel);
    return pl_clock_realtime_ns(&c->f->clock.clock);
}

static void count_hook(void *context)
{
    canceller *c = context;

    c->later += atomic_load(&c->cancel);
}

/* Cancels at each step in turn; returns how many there were. */
static unsigned cancel_everywhere(fixture *f)
{
    for (unsigned at = 1;; at++) {
        canceller c = {.at = at, .f = f};
        pl_clock clock = {.realtime_ns = count_clock, .boottime_ns = count_clock, .context = &c};
        f->options = (pl_prober_options){.clock = &clock,
                                         .cancel = &c.cancel,
                                         .notify = cancel_at_step,
                                         .notify_context = &c,
                                         .before_read = count_hook,
                                         .before_s2 = count_hook,
                                         .hook_context = &c};
        pl_probe_result result = run(f);
        if (!atomic_load(&c.cancel)) {
            check_sha256(&result, f->path);
            return at - 1;
        }
        assert_int_equal(result.outcome, PL_PENDING);
        assert_int_equal(c.later, 0);
        check_no_digest(&result);
        assert_int_equal(c.steps, at);
    }
}

/* Whatever the call that hung: once it is back, nothing of the options is touched. */
static void test_cancelled_run_is_pending_and_touches_nothing(void **state)
{
    fixture *f = *state;
    unsigned write_back = f->magic == OVERLAY;

    assert_int_equal(cancel_everywhere(f), 7 + write_back); /* fstatfs, S1, lease, hook, two reads, S2 */
}

static void test_large_file_is_cancelled_between_its_blocks(void **state)
{
    fixture *f = *state;

    fill_file(f, LARGE + 1);
    assert_in_range(cancel_everywhere(f), 7 + 4, 7 + 64);
}

static void test_cancelled_beforehand_reads_nothing(void **state)
{
    fixture *f = *state;
    atomic_bool cancel = true;

    f->options.cancel = &cancel;
    pl_probe_result result = run(f);
    assert_int_equal(result.outcome, PL_PENDING);
    assert_int_equal(result.bytes_read, 0);
    atomic_store(&cancel, false);
    result = run(f);
    check_sha256(&result, f->path);
}

/* --- pinning ---------------------------------------------------------------------------------------------------- */

static int watch(const char *path)
{
    int fd = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);

    assert_true(fd >= 0);
    assert_true(inotify_add_watch(fd, path, IN_OPEN | IN_ACCESS) > 0);
    return fd;
}

static bool was_opened(int watcher)
{
    char events[4096] __attribute__((aligned(8)));

    return read(watcher, events, sizeof(events)) > 0;
}

typedef struct pin {
    int fd, outcome, error;
} pin;

static pin pin_path(const char *path, bool follow, const pl_identity *forbidden, size_t n)
{
    pin p = {-2, -2, -2};

    p.fd = pl_pin_open(AT_FDCWD, path, follow, forbidden, n, &p.outcome, &p.error);
    return p;
}

static pin pin_fd(int fd, const pl_identity *forbidden, size_t n)
{
    pin p = {-2, -2, -2};

    p.fd = pl_pin_reopen(fd, forbidden, n, &p.outcome, &p.error);
    return p;
}

static void check_refused(pin p, int outcome, int error)
{
    assert_int_equal(p.fd, -1);
    assert_int_equal(p.outcome, outcome);
    assert_int_equal(p.error, error);
}

static void check_pinned_and_close(pin p, const fixture *f)
{
    pl_identity expected = identity_of(f->fd);
    char bytes[LENGTH + 1];

    assert_true(p.fd >= 0);
    assert_int_equal(p.outcome, 0);
    assert_int_equal(p.error, 0);
    pl_identity identity = identity_of(p.fd);
    assert_memory_equal(&identity, &expected, sizeof(identity));
    int flags = fcntl(p.fd, F_GETFL);
    assert_int_equal(flags & O_ACCMODE, O_RDONLY);
    assert_int_equal(flags & (O_PATH | O_NONBLOCK), O_NONBLOCK);
    assert_int_equal(fcntl(p.fd, F_GETFD), FD_CLOEXEC);
    assert_int_equal(read(p.fd, bytes, sizeof(bytes)), LENGTH);
    assert_memory_equal(bytes, CONTENTS, LENGTH);
    (void)close(p.fd);
}

static void test_regular_file_is_pinned(void **state)
{
    const fixture *f = *state;
    int dir = open_file(f->dir, O_PATH | O_DIRECTORY), watcher = watch(f->path);
    size_t fds = count_fds();
    pin p = pin_path(f->path, false, NULL, 0);

    assert_true(was_opened(watcher)); /* so that "never opened" below means something */
    check_pinned_and_close(p, f);
    p.fd = pl_pin_open(dir, "program", true, NULL, 0, &p.outcome, &p.error);
    check_pinned_and_close(p, f);
    assert_int_equal(count_fds(), fds);
    (void)close(watcher);
    (void)close(dir);
}

static void test_pinned_file_can_be_probed(void **state)
{
    fixture *f = *state;

    need_cacheable(f);
    pin p = pin_path(f->path, false, NULL, 0);
    pl_probe_result result = run_fd(&f->options, p.fd, 0);
    check_cacheable(&result);
    check_sha256(&result, f->path);
    (void)close(p.fd);
}

/* The ledger's own files: closing any descriptor of one would drop this process's locks on it. */
static void test_forbidden_file_is_never_opened(void **state)
{
    const fixture *f = *state;
    char *hard = pl_temp_path(f->dir, "hard"), *symbolic = pl_temp_path(f->dir, "symbolic"),
         *other = pl_temp_path(f->dir, "other");

    pl_temp_write(other, CONTENTS, LENGTH, 0755);
    assert_int_equal(link(f->path, hard), 0);
    assert_int_equal(symlink("program", symbolic), 0);
    pl_identity forbidden[3] = {identity_of(f->fd), identity_of(f->fd), identity_of(f->fd)};
    forbidden[0].inode ^= UINT64_C(1) << 40; /* a number that no neighbour has */
    forbidden[1].dev_minor ^= 1u << 19;
    forbidden[2].size = 77; /* written to since it was put on the list: the same file all the same */
    forbidden[2].ctime_ns = 1;
    int watcher = watch(f->path), pinned = open_file(f->path, O_PATH);
    size_t fds = count_fds();
    check_refused(pin_path(f->path, true, forbidden, 3), PL_UNREADABLE, EPERM);
    check_refused(pin_path(hard, true, forbidden, 3), PL_UNREADABLE, EPERM);
    check_refused(pin_path(symbolic, true, forbidden, 3), PL_UNREADABLE, EPERM);
    check_refused(pin_fd(f->fd, forbidden, 3), PL_UNREADABLE, EPERM);
    pin named = {-2, -2, -2};
    named.fd = pl_pin_named(pinned, forbidden, 3, &named.outcome, &named.error);
    check_refused(named, PL_UNREADABLE, EPERM);
    assert_false(was_opened(watcher));
    assert_int_equal(count_fds(), fds);
    pin p = pin_path(f->path, true, forbidden, 2); /* neither inode nor device alone forbids */
    assert_true(was_opened(watcher));
    check_pinned_and_close(p, f);
    p = pin_path(other, true, forbidden, 3);
    assert_true(p.fd >= 0);
    (void)close(p.fd);
    (void)close(pinned);
    (void)close(watcher);
    free(other);
    free(symbolic);
    free(hard);
}

static void test_directory_and_link_are_refused_by_name(void **state)
{
    const fixture *f = *state;
    char *symbolic = pl_temp_path(f->dir, "symbolic");
    int watcher = watch(f->path), dir = open_file(f->dir, O_RDONLY | O_DIRECTORY);

    assert_int_equal(symlink("program", symbolic), 0);
    check_refused(pin_path(f->dir, true, NULL, 0), PL_NOT_REGULAR, EISDIR);
    check_refused(pin_path(f->dir, false, NULL, 0), PL_NOT_REGULAR, EISDIR);
    check_refused(pin_fd(dir, NULL, 0), PL_NOT_REGULAR, EISDIR);
    check_refused(pin_path(symbolic, false, NULL, 0), PL_NOT_REGULAR, ELOOP);
    assert_false(was_opened(watcher));
    check_pinned_and_close(pin_path(symbolic, true, NULL, 0), f);
    (void)close(dir);
    (void)close(watcher);
    free(symbolic);
}

static void test_what_is_not_there_has_vanished(void **state)
{
    const fixture *f = *state;
    char *missing = pl_temp_path(f->dir, "missing"), *below = pl_temp_path(f->path, "x"),
         *dangling = pl_temp_path(f->dir, "dangling"), *circle = pl_temp_path(f->dir, "circle"), *name = malloc(5001);

    assert_non_null(name);
    memset(name, 'n', 5000);
    name[5000] = '\0';
    assert_int_equal(symlink("missing", dangling), 0);
    assert_int_equal(symlink("circle", circle), 0);
    size_t fds = count_fds();
    check_refused(pin_path(missing, true, NULL, 0), PL_VANISHED, ENOENT);
    check_refused(pin_path(missing, false, NULL, 0), PL_VANISHED, ENOENT);
    check_refused(pin_path(below, true, NULL, 0), PL_VANISHED, ENOTDIR);
    check_refused(pin_path(dangling, true, NULL, 0), PL_VANISHED, ENOENT);
    check_refused(pin_path(dangling, false, NULL, 0), PL_NOT_REGULAR, ELOOP);
    check_refused(pin_path(circle, true, NULL, 0), PL_UNREADABLE, ELOOP);
    check_refused(pin_path(name, true, NULL, 0), PL_UNREADABLE, ENAMETOOLONG);
    check_refused(pin_path("", true, NULL, 0), PL_VANISHED, ENOENT);
    assert_int_equal(count_fds(), fds);
    free(name);
    free(circle);
    free(dangling);
    free(below);
    free(missing);
}

static int pin_unreadable(const fixture *f)
{
    pin p = pin_path(f->path, true, NULL, 0);

    return p.fd == -1 && p.outcome == PL_UNREADABLE && p.error == EACCES ? 0 : 1;
}

static void test_file_without_permission_is_unreadable(void **state)
{
    const fixture *f = *state;

    assert_int_equal(chmod(f->dir, 0711), 0);
    assert_int_equal(chmod(f->path, 0111), 0); /* executable, and no more */
    assert_int_equal(geteuid() == 0 ? as_nobody(pin_unreadable, f) : pin_unreadable(f), 0);
}

static void check_never_opened(const char *path)
{
    int watcher = watch(path), pinned = open_file(path, O_PATH);
    size_t fds = count_fds();
    pin named = {-2, -2, -2};

    check_refused(pin_path(path, true, NULL, 0), PL_NOT_REGULAR, EINVAL);
    check_refused(pin_path(path, false, NULL, 0), PL_NOT_REGULAR, EINVAL);
    named.fd = pl_pin_named(pinned, NULL, 0, &named.outcome, &named.error);
    check_refused(named, PL_NOT_REGULAR, EINVAL);
    assert_false(was_opened(watcher));
    assert_int_equal(count_fds(), fds);
    (void)close(pinned);
    (void)close(watcher);
}

static void test_fifo_is_never_opened(void **state)
{
    const fixture *f = *state;
    char *path = pl_temp_path(f->dir, "fifo");

    assert_int_equal(mkfifo(path, 0600), 0);
    check_never_opened(path);
    int watcher = watch(path), fd = open_file(path, O_RDONLY | O_NONBLOCK);
    assert_true(was_opened(watcher)); /* it would have been seen */
    check_refused(pin_fd(fd, NULL, 0), PL_NOT_REGULAR, EINVAL);
    assert_false(was_opened(watcher));
    (void)close(fd);
    (void)close(watcher);
    free(path);
}

static void test_socket_is_never_opened(void **state)
{
    const fixture *f = *state;
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    assert_true(fd >= 0);
    int n = snprintf(address.sun_path, sizeof(address.sun_path), "%s/socket", f->dir);
    if (n >= (int)sizeof(address.sun_path)) {
        print_message("%s is too long a name for a socket below it\n", f->dir);
        (void)close(fd);
        skip();
    }
    assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof(address)), 0);
    check_never_opened(address.sun_path);
    check_refused(pin_fd(fd, NULL, 0), PL_NOT_REGULAR, EINVAL);
    (void)close(fd);
}

static void test_device_is_never_opened(void **state)
{
    const fixture *f = *state;
    char *character = pl_temp_path(f->dir, "character"), *block = pl_temp_path(f->dir, "block");

    check_refused(pin_path("/dev/null", true, NULL, 0), PL_NOT_REGULAR, EINVAL);
    bool made =
        mknod(character, S_IFCHR | 0600, makedev(1, 3)) == 0 && mknod(block, S_IFBLK | 0600, makedev(7, 0)) == 0;
    int errnum = errno;
    if (made) {
        check_never_opened(character);
        check_never_opened(block);
    }
    free(block);
    free(character);
    if (!made) {
        print_message("no device nodes can be made here: %s\n", strerror(errnum));
        skip();
    }
}

/* Re-opening either would read for its sender what the sender could not read. */
static void test_received_descriptor_that_proves_nothing_is_refused(void **state)
{
    const fixture *f = *state;
    int pinned = open_file(f->path, O_PATH), writer = open_file(f->path, O_WRONLY), watcher = watch(f->path);
    size_t fds = count_fds();

    check_refused(pin_fd(pinned, NULL, 0), PL_UNREADABLE, EBADF);
    check_refused(pin_fd(writer, NULL, 0), PL_UNREADABLE, EBADF);
    check_refused(pin_fd(-1, NULL, 0), PL_UNREADABLE, EBADF);
    check_refused(pin_fd(1 << 20, NULL, 0), PL_UNREADABLE, EBADF);
    assert_false(was_opened(watcher));
    assert_int_equal(count_fds(), fds);
    (void)close(watcher);
    (void)close(writer);
    (void)close(pinned);
}

static void test_reopened_descriptor_is_a_description_of_its_own(void **state)
{
    fixture *f = *state;
    int received = open_file(f->path, O_RDWR);

    assert_int_equal(lseek(received, 7, SEEK_SET), 7);
    assert_int_equal(fcntl(received, F_SETSIG, SIGKILL), 0); /* what a malicious sender would set */
    size_t fds = count_fds();
    pin p = pin_fd(received, NULL, 0);
    assert_true(p.fd >= 0 && p.fd != received);
    assert_int_equal(fcntl(p.fd, F_GETSIG), 0);
    pl_probe_result result = run_fd(&f->options, p.fd, 0);
    check_sha256(&result, f->path);
    if (is_on_disk(f)) /* elsewhere a lease may not even be asked for */
        assert_int_equal(fcntl(p.fd, F_GETSIG), SIGURG);
    assert_int_equal(fcntl(received, F_GETSIG), SIGKILL); /* neither is seen by the other */
    assert_int_equal(fcntl(received, F_GETFL) & O_NONBLOCK, 0);
    check_pinned_and_close(p, f); /* reads from its own start */
    assert_int_equal(lseek(received, 0, SEEK_CUR), 7);
    assert_int_equal(count_fds(), fds);
    (void)close(received);
}

static void test_reopening_takes_the_file_not_its_path(void **state)
{
    fixture *f = *state;

    rename_over(f);
    check_pinned_and_close(pin_fd(f->fd, NULL, 0), f); /* the one that was replaced */
    int pinned = open_file(f->path, O_PATH);
    assert_int_equal(unlink(f->path), 0);
    pin p = {-2, -2, -2};
    p.fd = pl_pin_named(pinned, NULL, 0, &p.outcome, &p.error);
    assert_true(p.fd >= 0);
    pl_identity named = identity_of(pinned), opened = identity_of(p.fd);
    assert_true(pl_identity_equal(&named, &opened));
    (void)close(p.fd);
    (void)close(pinned);
}

static void test_pinned_by_name_is_opened_for_reading(void **state)
{
    const fixture *f = *state;
    int pinned = open_file(f->path, O_PATH);
    size_t fds = count_fds();
    pin p = {-2, -2, -2};

    p.fd = pl_pin_named(pinned, NULL, 0, &p.outcome, &p.error);
    check_pinned_and_close(p, f);
    p.fd = pl_pin_named(-1, NULL, 0, &p.outcome, &p.error);
    check_refused(p, PL_UNREADABLE, EBADF);
    assert_int_equal(count_fds(), fds);
    (void)close(pinned);
}

static void test_every_failure_of_pinning(void **state)
{
    static const int errors[] = {EIO, EMFILE, ESTALE, EACCES};
    static const pl_fault_kind kinds[] = {PL_FAULT_OPEN, PL_FAULT_STAT};
    const fixture *f = *state;
    size_t fds = count_fds();

    for (size_t kind = 0; kind < 2; kind++)
        for (size_t i = 0; i < 4; i++) {
            bool fired = true;
            unsigned n;
            for (n = 1; fired; n++) {
                pl_fault_arm(kinds[kind], n, errors[i]);
                pin p = pin_path(f->path, true, NULL, 0);
                fired = pl_fault_fired();
                pl_fault_disarm();
                if (fired)
                    check_refused(p, errors[i] == ESTALE ? PL_VANISHED : PL_UNREADABLE, errors[i]);
                else
                    check_pinned_and_close(p, f);
                assert_int_equal(count_fds(), fds);
            }
            assert_true(n > 2); /* fortified builds have a call that the linker does not redirect */
        }
    pl_fault_arm(PL_FAULT_FCNTL, 1, EIO);
    pin p = pin_fd(f->fd, NULL, 0);
    pl_fault_disarm();
    check_refused(p, PL_UNREADABLE, EIO);
}

static void check_walked(int fd, const pl_identity *expected)
{
    assert_true(fd >= 0);
    pl_identity identity = identity_of(fd);
    assert_true(pl_identity_equal(&identity, expected));
    assert_int_equal(fcntl(fd, F_GETFL) & O_PATH, O_PATH);
    assert_int_equal(fcntl(fd, F_GETFD), FD_CLOEXEC);
    (void)close(fd);
}

static void test_walk_pins_without_opening(void **state)
{
    const fixture *f = *state;
    int dir = open_file(f->dir, O_PATH | O_DIRECTORY), watcher = watch(f->path);
    pl_identity expected = identity_of(f->fd);

    check_walked(pl_pin_walk(AT_FDCWD, f->path, 0, 0), &expected);
    check_walked(pl_pin_walk(dir, "program", O_NOFOLLOW, 0), &expected);
    assert_false(was_opened(watcher));
    (void)close(watcher);
    (void)close(dir);
}

static void test_walk_follows_links_on_request(void **state)
{
    const fixture *f = *state;
    char *symbolic = pl_temp_path(f->dir, "symbolic");
    pl_identity followed = identity_of(f->fd), link_itself;

    assert_int_equal(symlink("program", symbolic), 0);
    /* Under relatime the first to follow a link writes its atime, which is no walk in memory alone. */
    const struct timespec read_later[2] = {{.tv_sec = followed.ctime_ns / PL_NS_PER_S + 60}, {.tv_nsec = UTIME_OMIT}};
    assert_int_equal(utimensat(AT_FDCWD, symbolic, read_later, AT_SYMLINK_NOFOLLOW), 0);
    assert_int_equal(pl_identity_of_path(AT_FDCWD, symbolic, false, &link_itself), 0);
    check_walked(pl_pin_walk(AT_FDCWD, symbolic, O_NOFOLLOW, 0), &link_itself);
    struct open_how how = {.flags = O_PATH | O_CLOEXEC, .resolve = 0x20}; /* RESOLVE_CACHED */
    int by_kernel = (int)syscall(SYS_openat2, AT_FDCWD, symbolic, &how, sizeof(how));
    if (by_kernel < 0 && errno == EAGAIN) {
        free(symbolic);
        print_message("following a link is no walk in memory alone on this file system\n");
        skip();
    }
    if (by_kernel >= 0)
        (void)close(by_kernel);
    check_walked(pl_pin_walk(AT_FDCWD, symbolic, 0, 0), &followed);
    free(symbolic);
}

/* An overlay follows no link from memory (/bin of a container): then its own file system is asked, and no other. */
static void test_walk_follows_links_within_an_overlay(void **state)
{
    fixture *f = *state;

    need_overlay_on_disk(f, "");
    const char *folder = f->mounted[0];
    int root = open_file(folder, O_PATH | O_DIRECTORY);
    assert_int_equal(mkdir(name_in(f, folder, "usr"), 0755), 0);
    assert_int_equal(rename(f->path, name_in(f, folder, "usr/program")), 0);
    assert_int_equal(symlink("/usr", name_in(f, folder, "bin")), 0);
    pl_identity expected = identity_of(f->fd);
    check_walked(pl_pin_walk(root, "/bin/program", 0, RESOLVE_IN_ROOT), &expected);
    assert_int_equal(mount("tmpfs", name_in(f, folder, "usr"), "tmpfs", 0, ""), 0);
    pl_temp_write(name_in(f, folder, "usr/program"), "another", 7, 0755);
    assert_int_equal(pl_pin_walk(root, "/bin/program", 0, RESOLVE_IN_ROOT), -1);
    assert_int_equal(errno, EXDEV); /* whoever serves that mount is not waited for */
    assert_int_equal(umount2(name_in(f, folder, "usr"), MNT_DETACH), 0);
    (void)close(root);
}

static void test_walk_tells_what_is_missing(void **state)
{
    const fixture *f = *state;
    char *missing = pl_temp_path(f->dir, "missing");
    pl_identity identity;

    assert_int_equal(pl_identity_of_path(AT_FDCWD, missing, true, &identity), ENOENT); /* remembered as missing */
    errno = 0;
    assert_int_equal(pl_pin_walk(AT_FDCWD, missing, 0, 0), -1);
    assert_true(errno == ENOENT || errno == EAGAIN); /* tmpfs does not remember what is missing */
    assert_int_equal(pl_pin_walk(-1, "program", 0, 0), -1);
    assert_int_equal(errno, EBADF);
    free(missing);
}

/* Calls that the linker redirects, unlike those inside of libcrypto. */
static void *counted_malloc(size_t size, const char *file, int line)
{
    (void)file;
    (void)line;
    return malloc(size);
}

static void *counted_realloc(void *memory, size_t size, const char *file, int line)
{
    (void)file;
    (void)line;
    return realloc(memory, size);
}

static void counted_free(void *memory, const char *file, int line)
{
    (void)file;
    (void)line;
    free(memory);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(test_digest_is_that_of_sha256sum),
        CASE(test_large_file_needs_no_help),
        CASE(test_every_read_of_a_large_file_may_fail),
        CASE(test_all_algorithms_in_one_read),
        CASE(test_default_algorithms_are_the_options),
        CASE(test_descriptor_is_neither_moved_nor_closed),
        CASE(test_prober_is_used_again_and_again),
        CASE(test_too_big_is_not_read),
        CASE(test_not_regular_is_not_read),
        CASE(test_descriptor_that_cannot_be_read),
        CASE(test_open_writer_makes_it_uncached),
        CASE(test_writer_through_a_hard_link_is_seen),
        CASE(test_readers_do_not_matter),
        CASE(test_writable_mapping_kept_after_close_makes_it_uncached),
        CASE(test_no_lease_is_left_behind),
        CASE(test_signal_of_a_lease_break_is_set),
        CASE(test_every_failure_of_the_lease),
        CASE(test_giving_the_lease_back_is_tried_twice),
        CASE(test_somebody_elses_file_without_the_capability),
        CASE(test_writer_that_opens_during_the_probe_kills_nobody),
        CASE(test_young_is_two_seconds_without_fine_grained_times),
        CASE(test_young_is_20_ms_with_fine_grained_times),
        CASE(test_later_of_ctime_and_mtime_counts),
        CASE(test_time_that_64_bits_cannot_hold_is_future),
        CASE(test_file_changed_while_the_clock_was_read_is_young),
        CASE(test_change_before_the_read_is_read_again),
        CASE(test_change_after_the_read_is_read_again),
        CASE(test_change_of_the_same_size_is_read_again),
        CASE(test_three_changes_are_endured),
        CASE(test_four_changes_are_unstable),
        CASE(test_file_that_is_longer_than_its_size_is_unstable),
        CASE(test_growth_is_not_followed_to_its_end),
        CASE(test_file_replaced_meanwhile_is_answered_by_its_old_bytes),
        CASE(test_writer_that_comes_after_the_probe_cannot_make_it_stale),
        CASE(test_unlinked_file_is_answered_and_not_cached),
        CASE(test_tmpfs_is_never_cached),
        CASE(test_memfd_is_never_cached),
        CASE(test_fuse_is_never_cached),
        CASE(test_overlay_is_cached_after_writing_back),
        CASE(test_overlay_writes_back_between_s1_and_the_read),
        CASE(test_mapping_through_an_overlay_makes_nothing_stale),
        CASE(test_mapping_through_a_volatile_overlay_makes_nothing_stale),
        CASE(test_overlay_on_tmpfs_is_never_cached),
        CASE(test_only_overlays_are_written_back),
        CASE(test_every_failure_of_a_system_call),
        CASE(test_interrupted_read_goes_on),
        CASE(test_every_allocation_may_fail),
        CASE(test_unknown_algorithms_leave_the_result_alone),
        CASE(test_events_come_in_their_order),
        CASE(test_cancelled_run_is_pending_and_touches_nothing),
        CASE(test_large_file_is_cancelled_between_its_blocks),
        CASE(test_cancelled_beforehand_reads_nothing),
        CASE(test_regular_file_is_pinned),
        CASE(test_pinned_file_can_be_probed),
        CASE(test_forbidden_file_is_never_opened),
        CASE(test_directory_and_link_are_refused_by_name),
        CASE(test_what_is_not_there_has_vanished),
        CASE(test_file_without_permission_is_unreadable),
        CASE(test_fifo_is_never_opened),
        CASE(test_socket_is_never_opened),
        CASE(test_device_is_never_opened),
        CASE(test_received_descriptor_that_proves_nothing_is_refused),
        CASE(test_reopened_descriptor_is_a_description_of_its_own),
        CASE(test_reopening_takes_the_file_not_its_path),
        CASE(test_pinned_by_name_is_opened_for_reading),
        CASE(test_every_failure_of_pinning),
        CASE(test_walk_pins_without_opening),
        CASE(test_walk_follows_links_on_request),
        CASE(test_walk_follows_links_within_an_overlay),
        CASE(test_walk_tells_what_is_missing),
    };

    if (CRYPTO_set_mem_functions(counted_malloc, counted_realloc, counted_free) != 1) {
        (void)fprintf(stderr, "OpenSSL has allocated already: its failures cannot be counted\n");
        return 1;
    }
    return cmocka_run_group_tests_name("probe", tests, NULL, NULL);
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What makes two files the same, and how far a file system is trusted. Fields one by one on invented identities, then
 * real files, where stat(2) is the witness.
 */
#include "src/file/identity.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/personality.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/sysmacros.h>
#include <sys/utsname.h>
#include <unistd.h>

#include <cmocka.h>

#include "src/base/clock.h"
#include "tests/support/fault.h"
#include "tests/support/temp_dir.h"

#define YEAR_2300 INT64_C(10413792000)

static const pl_identity sample = {
    .inode = 4711,
    .size = 8192,
    .mtime_ns = INT64_C(1700000000123456789),
    .ctime_ns = INT64_C(1700000001987654321),
    .btime_ns = INT64_C(1600000000111111111),
    .dev_major = 8,
    .dev_minor = 1,
    .mode = S_IFREG | 0755,
    .nlink = 1,
    .uid = 1000,
    .gid = 1000,
};

/* Where a field lies, so that all are treated alike. */
static const struct field {
    const char *name;
    size_t offset, size;
    bool compared;
} fields[] = {
#define FIELD(name, compared)                                                                                          \
    {                                                                                                                  \
#name, offsetof(pl_identity, name), sizeof(((pl_identity *)0)->name), compared                                 \
    }
    FIELD(inode, true),    FIELD(size, true),      FIELD(mtime_ns, true),  FIELD(ctime_ns, true),
    FIELD(btime_ns, true), FIELD(dev_major, true), FIELD(dev_minor, true), FIELD(mode, false),
    FIELD(nlink, false),   FIELD(uid, false),      FIELD(gid, false),      FIELD(mount_id, false),
#undef FIELD
};
#define N_FIELDS (sizeof(fields) / sizeof(*fields))

static pl_identity with_bit_flipped(const struct field *field, size_t bit)
{
    pl_identity changed = sample;

    ((unsigned char *)&changed)[field->offset + bit / 8] ^= (unsigned char)(1u << bit % 8);
    return changed;
}

static void test_no_field_is_forgotten(void **state)
{
    size_t total = 0;

    (void)state;
    for (size_t i = 0; i < N_FIELDS; i++)
        total += fields[i].size;
    assert_int_equal(total, sizeof(pl_identity)); /* a new field must be put on the list above */
}

static void test_each_compared_field_alone_makes_it_unequal(void **state)
{
    pl_identity same = sample;

    (void)state;
    assert_true(pl_identity_equal(&sample, &same));
    for (size_t i = 0; i < N_FIELDS; i++)
        for (size_t bit = 0; bit < 8 * fields[i].size; bit++) {
            pl_identity changed = with_bit_flipped(&fields[i], bit);
            if (pl_identity_equal(&sample, &changed) == fields[i].compared ||
                pl_identity_equal(&changed, &sample) == fields[i].compared)
                fail_msg("bit %zu of %s", bit, fields[i].name);
        }
}

/* Both halves: the cache's table keeps the lower one. */
static void test_hash_differs_with_each_bit_that_is_compared(void **state)
{
    uint64_t hash = pl_identity_hash(&sample);

    (void)state;
    for (size_t i = 0; i < N_FIELDS; i++)
        for (size_t bit = 0; bit < 8 * fields[i].size; bit++) {
            pl_identity changed = with_bit_flipped(&fields[i], bit);
            uint64_t other = pl_identity_hash(&changed);
            if (((uint32_t)other != (uint32_t)hash) != fields[i].compared ||
                (other >> 32 != hash >> 32) != fields[i].compared)
                fail_msg("bit %zu of %s", bit, fields[i].name);
        }
}

/* Files of one package differ in little: their inodes follow each other and so do their times. */
static void test_hash_spreads_neighbours(void **state)
{
    enum { N = 16384, BUCKETS = 1024 };
    unsigned buckets[BUCKETS] = {0}, most = 0;
    pl_identity identity = sample;

    (void)state;
    for (unsigned i = 0; i < N; i++) {
        identity.inode++;
        identity.size += 512;
        identity.ctime_ns += PL_NS_PER_MS;
        unsigned n = ++buckets[pl_identity_hash(&identity) % BUCKETS];
        most = n > most ? n : most;
    }
    assert_in_range(most, N / BUCKETS, 3 * N / BUCKETS); /* 16 on average; chance alone puts 33 into the fullest */
}

static void test_hash_is_of_values_not_of_places(void **state)
{
    pl_identity a = sample, b = sample;

    (void)state;
    assert_true(pl_identity_hash(&a) == pl_identity_hash(&b));
    b.size = (uint64_t)a.mtime_ns; /* two fields changed places */
    b.mtime_ns = (int64_t)a.size;
    assert_true(pl_identity_hash(&a) != pl_identity_hash(&b));
    b = a;
    b.ctime_ns = a.btime_ns;
    b.btime_ns = a.ctime_ns;
    assert_true(pl_identity_hash(&a) != pl_identity_hash(&b));
    b = a;
    b.dev_major = a.dev_minor;
    b.dev_minor = a.dev_major;
    assert_true(pl_identity_hash(&a) != pl_identity_hash(&b));
}

static void test_tiers_by_magic(void **state)
{
    static const struct {
        const char *name;
        uint64_t magic;
        pl_tier writable, read_only;
    } cases[] = {
        {"ext4", 0xef53, PL_TIER_A, PL_TIER_A},
        {"xfs", 0x58465342, PL_TIER_A, PL_TIER_A},
        {"btrfs", 0x9123683e, PL_TIER_A, PL_TIER_A},
        {"f2fs", 0xf2f52010, PL_TIER_A, PL_TIER_A},
        {"overlay", 0x794c7630, PL_TIER_B, PL_TIER_B},
        {"squashfs", 0x73717368, PL_TIER_C, PL_TIER_A}, /* a writable one is none that we know */
        {"erofs", 0xe0f5e1e2, PL_TIER_C, PL_TIER_A},
        {"iso9660", 0x9660, PL_TIER_C, PL_TIER_A},
        {"cramfs", 0x28cd3d45, PL_TIER_C, PL_TIER_A},
        {"romfs", 0x7275, PL_TIER_C, PL_TIER_A},
        {"tmpfs", 0x01021994, PL_TIER_C, PL_TIER_C},
        {"ramfs", 0x858458f6, PL_TIER_C, PL_TIER_C},
        {"fuse", 0x65735546, PL_TIER_C, PL_TIER_C}, /* read-only here is not read-only there */
        {"nfs", 0x6969, PL_TIER_C, PL_TIER_C},
        {"9p", 0x01021997, PL_TIER_C, PL_TIER_C},
        {"cifs", 0xff534d42, PL_TIER_C, PL_TIER_C},
        {"smb2", 0xfe534d42, PL_TIER_C, PL_TIER_C},
        {"ceph", 0x00c36400, PL_TIER_C, PL_TIER_C},
        {"vfat", 0x4d44, PL_TIER_C, PL_TIER_C},
        {"hugetlbfs", 0x958458f6, PL_TIER_C, PL_TIER_C},
        {"proc", 0x9fa0, PL_TIER_C, PL_TIER_C},
        {"none", 0, PL_TIER_C, PL_TIER_C},
        {"sign-extended btrfs", 0xffffffff9123683e, PL_TIER_C, PL_TIER_C}, /* whoever asks masks it */
        {"unknown", 0x12345678, PL_TIER_C, PL_TIER_C},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++)
        if (pl_tier_of_magic(cases[i].magic, false) != cases[i].writable ||
            pl_tier_of_magic(cases[i].magic, true) != cases[i].read_only)
            fail_msg("%s", cases[i].name);
}

static void test_racy_window(void **state)
{
    const pl_file_system fine = {.fine_grained = true}, coarse = {.fine_grained = false};
    pl_identity identity = sample;

    (void)state;
    assert_int_equal(pl_racy_window_ns(&identity, &fine), 20 * PL_NS_PER_MS);
    assert_int_equal(pl_racy_window_ns(&identity, &coarse), 2 * PL_NS_PER_S);
    identity.btime_ns = 0; /* an inode without room for it has none for nanoseconds either */
    assert_int_equal(pl_racy_window_ns(&identity, &fine), 2 * PL_NS_PER_S);
    identity = sample;
    identity.mtime_ns = identity.ctime_ns = 1700000000 * PL_NS_PER_S; /* whole seconds: the clock has no finer ones */
    assert_int_equal(pl_racy_window_ns(&identity, &fine), 2 * PL_NS_PER_S);
    assert_int_equal(pl_racy_window_ns(&identity, &coarse), 2 * PL_NS_PER_S);
    identity.ctime_ns++; /* unpacked from an archive: mtime is whole, ctime is not */
    assert_int_equal(pl_racy_window_ns(&identity, &fine), 20 * PL_NS_PER_MS);
}

/* What this machine can do is asked of the kernel, never of the code under test. */
static bool kernel_is_6_13(void)
{
    struct utsname name;
    char *rest;

    assert_int_equal(uname(&name), 0);
    unsigned long major = strtoul(name.release, &rest, 10), minor = strtoul(rest + 1, NULL, 10);
    return major * 1000 + minor >= 6013;
}

static bool has_fine_grained_times(int fd)
{
    struct statfs s;

    assert_int_equal(fstatfs(fd, &s), 0);
    uint64_t magic = (uint64_t)s.f_type & UINT32_MAX;
    return kernel_is_6_13() && (magic == 0xef53 || magic == 0x58465342 || magic == 0x9123683e);
}

static void test_kernel_version_decides_on_fine_grained_times(void **state)
{
    int persona = personality(0xffffffff);

    (void)state;
    assert_int_equal(pl_kernel_has_fine_grained_times(), kernel_is_6_13());
    /* The same kernel, saying 2.6.x. */
    if (persona < 0 || personality((unsigned long)persona | UNAME26) < 0) {
        print_message("personality(2) is not allowed: no older kernel to look at\n");
        skip();
    }
    bool old = pl_kernel_has_fine_grained_times();
    assert_true(personality((unsigned long)persona) >= 0);
    assert_false(old);
}

typedef struct fixture {
    char *dir, *file, *link;
} fixture;

static int set_up(void **state)
{
    fixture *f = test_calloc(1, sizeof(*f));

    f->dir = pl_temp_dir_new();
    f->file = pl_temp_path(f->dir, "file");
    f->link = pl_temp_path(f->dir, "link");
    pl_temp_write(f->file, "some bytes", 10, 0640);
    *state = f;
    return 0;
}

static int tear_down(void **state)
{
    fixture *f = *state;

    pl_temp_dir_free(f->dir);
    free(f->file);
    free(f->link);
    test_free(f);
    return 0;
}

static int open_file(const char *path, int flags)
{
    int fd = open(path, flags | O_CLOEXEC);

    assert_true(fd >= 0);
    return fd;
}

static int64_t ns_of(struct timespec t)
{
    return (int64_t)t.tv_sec * PL_NS_PER_S + t.tv_nsec;
}

static void check_equals_stat(const pl_identity *identity, const struct stat *s)
{
    assert_int_equal(identity->inode, s->st_ino);
    assert_int_equal(identity->size, s->st_size);
    assert_int_equal(identity->mtime_ns, ns_of(s->st_mtim));
    assert_int_equal(identity->ctime_ns, ns_of(s->st_ctim));
    assert_int_equal(identity->dev_major, major(s->st_dev));
    assert_int_equal(identity->dev_minor, minor(s->st_dev));
    assert_int_equal(identity->mode, s->st_mode);
    assert_int_equal(identity->nlink, s->st_nlink);
    assert_int_equal(identity->uid, s->st_uid);
    assert_int_equal(identity->gid, s->st_gid);
    assert_true(identity->btime_ns <= identity->ctime_ns); /* 0 where there is none */
}

static void test_real_file_agrees_with_stat(void **state)
{
    const fixture *f = *state;
    const struct timespec times[2] = {{.tv_sec = 1500000000, .tv_nsec = 5},
                                      {.tv_sec = 1500000001, .tv_nsec = 123456789}};
    pl_identity by_fd, by_path, by_name;
    struct stat s;

    assert_int_equal(link(f->file, f->link), 0);
    int fd = open_file(f->file, O_RDONLY), dir = open_file(f->dir, O_PATH | O_DIRECTORY);
    assert_int_equal(futimens(fd, times), 0);
    assert_int_equal(fstat(fd, &s), 0);
    assert_int_equal(pl_identity_of_fd(fd, &by_fd), 0);
    assert_int_equal(pl_identity_of_path(AT_FDCWD, f->file, true, &by_path), 0);
    assert_int_equal(pl_identity_of_path(dir, "file", false, &by_name), 0);
    check_equals_stat(&by_fd, &s);
    check_equals_stat(&by_path, &s);
    check_equals_stat(&by_name, &s);
    assert_int_equal(by_fd.nlink, 2);
    assert_int_equal(by_fd.size, 10);
    assert_int_equal(by_fd.mode, S_IFREG | 0640);
    assert_true(pl_identity_equal(&by_fd, &by_path) && pl_identity_equal(&by_fd, &by_name));
    (void)close(dir);
    (void)close(fd);
}

static void test_what_pins_without_reading_has_identity(void **state)
{
    const fixture *f = *state;
    pl_identity readable, pinned;
    int fd = open_file(f->file, O_RDONLY), path = open_file(f->file, O_PATH);

    assert_int_equal(pl_identity_of_fd(fd, &readable), 0);
    assert_int_equal(pl_identity_of_fd(path, &pinned), 0);
    assert_true(pl_identity_equal(&readable, &pinned));
    (void)close(path);
    (void)close(fd);
}

/* Threads that must not wait ask so; where nothing has to be asked the answer is the same. */
static void test_pinned_identity_is_the_same_on_local_files(void **state)
{
    const fixture *f = *state;
    pl_identity opened, pinned, linked, of_link;
    int fd = open_file(f->file, O_RDONLY), path = open_file(f->file, O_PATH), self = open_file("/proc/self", O_PATH);

    assert_int_equal(pl_identity_of_fd(fd, &opened), 0);
    assert_int_equal(pl_identity_of_pinned(path, "", &pinned), 0);
    assert_memory_equal(&pinned, &opened, sizeof(opened));
    assert_int_equal(pl_identity_of_path(AT_FDCWD, "/proc/self/exe", true, &linked), 0);
    assert_int_equal(pl_identity_of_pinned(self, "exe", &of_link), 0); /* the program, not the link */
    assert_int_equal(of_link.inode, linked.inode);
    assert_int_equal(of_link.size, linked.size);
    assert_int_equal(of_link.ctime_ns, linked.ctime_ns);
    assert_int_equal(of_link.mode, linked.mode);
    (void)close(self);
    (void)close(path);
    (void)close(fd);
}

/* proc(5), like FUSE, does not know of immutable files: the other way through the function. */
static void test_pinned_identity_without_a_birth_time(void **state)
{
    pl_identity opened, pinned;
    struct stat s;
    int fd = open_file("/proc/version", O_RDONLY);

    (void)state;
    assert_int_equal(pl_identity_of_fd(fd, &opened), 0);
    assert_int_equal(pl_identity_of_pinned(fd, "", &pinned), 0);
    assert_int_equal(fstat(fd, &s), 0);
    assert_int_equal(pinned.btime_ns, 0);
    assert_int_equal(pinned.inode, s.st_ino);
    assert_int_equal(pinned.mode, s.st_mode);
    assert_int_equal(pinned.dev_minor, minor(s.st_dev));
    (void)close(fd);
}

static void test_symbolic_links_are_followed_on_request(void **state)
{
    const fixture *f = *state;
    pl_identity file, followed, link_itself;
    struct stat s;

    assert_int_equal(symlink("file", f->link), 0);
    assert_int_equal(pl_identity_of_path(AT_FDCWD, f->file, false, &file), 0);
    assert_int_equal(pl_identity_of_path(AT_FDCWD, f->link, true, &followed), 0);
    assert_int_equal(pl_identity_of_path(AT_FDCWD, f->link, false, &link_itself), 0);
    assert_true(pl_identity_equal(&file, &followed));
    assert_false(pl_identity_equal(&file, &link_itself));
    assert_int_equal(lstat(f->link, &s), 0);
    check_equals_stat(&link_itself, &s);
    assert_true(S_ISLNK(link_itself.mode));
    assert_int_equal(unlink(f->file), 0);
    assert_int_equal(pl_identity_of_path(AT_FDCWD, f->link, true, &followed), ENOENT);
    assert_int_equal(pl_identity_of_path(AT_FDCWD, f->link, false, &link_itself), 0);
}

static void test_each_kind_of_change_changes_the_identity(void **state)
{
    const fixture *f = *state;
    pl_identity before, after;
    int fd = open_file(f->file, O_RDWR);

    if (!has_fine_grained_times(fd)) {
        print_message("coarse times: two changes within a tick have one ctime\n");
        (void)close(fd);
        skip();
    }
    for (int change = 0; change < 7; change++) {
        assert_int_equal(pl_identity_of_fd(fd, &before), 0);
        int rc = change == 0   ? (int)pwrite(fd, "x", 1, 0) - 1
                 : change == 1 ? ftruncate(fd, 5)
                 : change == 2 ? fchmod(fd, 0600)
                 : change == 3 ? link(f->file, f->link)
                 : change == 4 ? unlink(f->link)
                 : change == 5 ? futimens(fd, (const struct timespec[2]){{0, UTIME_OMIT}, {1, 1}})
                               : rename(f->file, f->link);
        assert_int_equal(rc, 0);
        assert_int_equal(pl_identity_of_fd(fd, &after), 0);
        if (pl_identity_equal(&before, &after))
            fail_msg("change %d does not show", change);
    }
    (void)close(fd);
}

/* "statx must ask for CTIME": whoever looked gets a ctime of its own for the next change, however soon it comes. */
static void test_looking_arms_fine_grained_times(void **state)
{
    const fixture *f = *state;
    pl_identity before, after;
    int fd = open_file(f->file, O_RDWR);

    if (!has_fine_grained_times(fd)) {
        print_message("no fine-grained times on this kernel and file system\n");
        (void)close(fd);
        skip();
    }
    assert_int_equal(pl_identity_of_fd(fd, &before), 0);
    for (int i = 0; i < 2000; i++) {
        assert_int_equal(pwrite(fd, "y", 1, i % 10), 1); /* never the size */
        assert_int_equal(i % 2 ? pl_identity_of_fd(fd, &after) : pl_identity_of_path(AT_FDCWD, f->file, true, &after),
                         0);
        assert_int_equal(after.size, before.size);
        assert_true(after.ctime_ns > before.ctime_ns);
        before = after;
    }
    (void)close(fd);
}

static void test_reading_changes_nothing(void **state)
{
    const fixture *f = *state;
    pl_identity before, after;
    char bytes[16];
    int fd = open_file(f->file, O_RDONLY);

    assert_int_equal(pl_identity_of_fd(fd, &before), 0);
    assert_int_equal(read(fd, bytes, sizeof(bytes)), 10);
    assert_int_equal(pl_identity_of_fd(fd, &after), 0);
    assert_true(pl_identity_equal(&before, &after));
    (void)close(fd);
}

/* Anybody may give his file such a time; a clamped one still lies in the future and is never cached. */
static void test_times_beyond_64_bits_of_nanoseconds(void **state)
{
    const fixture *f = *state;
    const struct timespec times[2] = {{.tv_nsec = UTIME_OMIT}, {.tv_sec = YEAR_2300, .tv_nsec = 5}};
    pl_identity identity;
    struct stat s;
    int fd = open_file(f->file, O_RDWR);

    assert_int_equal(futimens(fd, times), 0);
    assert_int_equal(fstat(fd, &s), 0);
    if (s.st_mtim.tv_sec != YEAR_2300) {
        print_message("this file system does not keep the year 2300\n");
        (void)close(fd);
        skip();
    }
    assert_int_equal(pl_identity_of_fd(fd, &identity), 0);
    assert_true(identity.mtime_ns == INT64_MAX);
    (void)close(fd);
}

static void check_error(int fd, int expected_by_fd, const char *path, int expected_by_path)
{
    pl_identity out, before;

    memset(&out, 0xa5, sizeof(out));
    before = out;
    assert_int_equal(pl_identity_of_fd(fd, &out), expected_by_fd);
    assert_int_equal(pl_identity_of_path(AT_FDCWD, path, true, &out), expected_by_path);
    assert_int_equal(pl_identity_of_pinned(fd, "", &out), expected_by_fd);
    assert_memory_equal(&out, &before, sizeof(out));
}

static void test_errors_leave_the_output_alone(void **state)
{
    const fixture *f = *state;
    char *below_file = pl_temp_path(f->file, "x");
    pl_identity out = sample;

    check_error(-1, EBADF, "", ENOENT);
    check_error(-1, EBADF, f->link, ENOENT);
    check_error(-1, EBADF, below_file, ENOTDIR);
    free(below_file);
    assert_int_equal(symlink("link", f->link), 0);
    check_error(-1, EBADF, f->link, ELOOP);
    pl_fault_arm(PL_FAULT_STAT, 1, EIO);
    int by_fd = pl_identity_of_fd(0, &out);
    pl_fault_arm(PL_FAULT_STAT, 1, ESTALE);
    int by_path = pl_identity_of_path(AT_FDCWD, f->file, true, &out);
    pl_fault_arm(PL_FAULT_STAT, 1, EACCES);
    int pinned = pl_identity_of_pinned(AT_FDCWD, f->file, &out);
    pl_fault_arm(PL_FAULT_STAT, 2, ETIMEDOUT); /* it looks twice at a local file */
    pl_identity twice = sample;
    int pinned_again = pl_identity_of_pinned(AT_FDCWD, f->file, &twice);
    bool fired = pl_fault_fired();
    pl_fault_disarm();
    assert_int_equal(by_fd, EIO);
    assert_int_equal(by_path, ESTALE);
    assert_int_equal(pinned, EACCES);
    assert_int_equal(pinned_again, fired ? ETIMEDOUT : 0);
    if (fired)
        assert_memory_equal(&twice, &sample, sizeof(twice));
    assert_memory_equal(&out, &sample, sizeof(out));
}

static void test_file_system_agrees_with_statfs(void **state)
{
    const fixture *f = *state;
    pl_file_system fs, again;
    struct statfs s;
    int fd = open_file(f->file, O_RDONLY);

    memset(&fs, 0xa5, sizeof(fs));
    assert_int_equal(pl_file_system_of_fd(fd, &fs), 0);
    assert_int_equal(fstatfs(fd, &s), 0);
    assert_int_equal(fs.magic, (uint64_t)s.f_type & UINT32_MAX);
    assert_memory_equal(&fs.fsid, &s.f_fsid, sizeof(fs.fsid));
    assert_int_equal(fs.tier, pl_tier_of_magic(fs.magic, fs.read_only));
    assert_false(fs.read_only); /* we have just written there */
    assert_int_equal(fs.fine_grained, has_fine_grained_times(fd));
    assert_int_equal(pl_file_system_of_fd(fd, &again), 0);
    assert_int_equal(again.fsid, fs.fsid);
    assert_int_equal(again.generation, fs.generation);
    assert_memory_equal(again.uuid, fs.uuid, sizeof(fs.uuid));
    (void)close(fd);
}

/* An inode number that is used again comes with another generation, where the file system tells it. */
static void test_generation_tells_a_reused_inode(void **state)
{
    const fixture *f = *state;
    pl_identity a, b;
    pl_file_system fs_a, fs_b;
    int fd = open_file(f->file, O_RDONLY), told = 0;

    assert_int_equal(pl_identity_of_fd(fd, &a), 0);
    assert_int_equal(pl_file_system_of_fd(fd, &fs_a), 0);
    bool tells = ioctl(fd, _IOR('v', 1, long), &told) == 0; /* FS_IOC_GETVERSION writes an int */
    (void)close(fd);
    if (fs_a.tier != PL_TIER_C)
        assert_int_equal(fs_a.generation, tells ? (uint64_t)(unsigned)told : 0);
    if (fs_a.magic != 0xef53 || !tells) {
        print_message("no ext4: inode numbers are not used again at once\n");
        skip();
    }
    for (int i = 0; i < 100; i++) {
        assert_int_equal(unlink(f->file), 0);
        pl_temp_write(f->file, "other byte", 10, 0640);
        fd = open_file(f->file, O_RDONLY);
        assert_int_equal(pl_identity_of_fd(fd, &b), 0);
        assert_int_equal(pl_file_system_of_fd(fd, &fs_b), 0);
        (void)close(fd);
        if (b.inode != a.inode)
            continue;
        assert_true(fs_a.generation != fs_b.generation);
        assert_false(pl_identity_equal(&a, &b));
        return;
    }
    print_message("the inode number was not used again in 100 tries\n");
    skip();
}

static void test_memory_is_tier_c(void **state)
{
    static const uint8_t none[16];
    pl_file_system fs;
    int fd = memfd_create("identity", MFD_CLOEXEC);

    (void)state;
    assert_true(fd >= 0);
    assert_int_equal(pl_file_system_of_fd(fd, &fs), 0);
    assert_int_equal(fs.magic, 0x01021994);
    assert_int_equal(fs.tier, PL_TIER_C);
    assert_false(fs.fine_grained);
    assert_memory_equal(fs.uuid, none, sizeof(none)); /* nothing there is kept, nothing is asked */
    assert_int_equal(fs.generation, 0);
    (void)close(fd);
}

static void test_file_system_errors_leave_the_output_alone(void **state)
{
    pl_file_system out, before;

    (void)state;
    memset(&out, 0xa5, sizeof(out));
    before = out;
    assert_int_equal(pl_file_system_of_fd(-1, &out), EBADF);
    pl_fault_arm(PL_FAULT_STAT, 1, EIO);
    int rc = pl_file_system_of_fd(0, &out);
    pl_fault_disarm();
    assert_int_equal(rc, EIO);
    assert_memory_equal(&out, &before, sizeof(out));
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_no_field_is_forgotten),
        cmocka_unit_test(test_each_compared_field_alone_makes_it_unequal),
        cmocka_unit_test(test_hash_differs_with_each_bit_that_is_compared),
        cmocka_unit_test(test_hash_spreads_neighbours),
        cmocka_unit_test(test_hash_is_of_values_not_of_places),
        cmocka_unit_test(test_tiers_by_magic),
        cmocka_unit_test(test_racy_window),
        cmocka_unit_test(test_kernel_version_decides_on_fine_grained_times),
        CASE(test_real_file_agrees_with_stat),
        CASE(test_what_pins_without_reading_has_identity),
        CASE(test_pinned_identity_is_the_same_on_local_files),
        CASE(test_pinned_identity_without_a_birth_time),
        CASE(test_symbolic_links_are_followed_on_request),
        CASE(test_each_kind_of_change_changes_the_identity),
        CASE(test_looking_arms_fine_grained_times),
        CASE(test_reading_changes_nothing),
        CASE(test_times_beyond_64_bits_of_nanoseconds),
        CASE(test_errors_leave_the_output_alone),
        CASE(test_file_system_agrees_with_statfs),
        CASE(test_generation_tells_a_reused_inode),
        cmocka_unit_test(test_memory_is_tier_c),
        cmocka_unit_test(test_file_system_errors_leave_the_output_alone),
    };

    return cmocka_run_group_tests_name("identity", tests, NULL, NULL);
}

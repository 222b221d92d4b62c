/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Cases 27, 28 and 35: mounted again. Device and inode numbers come back with other bytes behind them: other layers of an
 * overlay, a new tmpfs, another image on the same device, an ext4 that lost its journal and kept its data. The loop device
 * is held over the unmount, so that st_dev is the same.
 */
#include "tests/stale/stale.h"

#include "tests/support/temp_dir.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/btrfs.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#define HOUR_NS (3600 * PL_NS_PER_S)
#define EXT4_SHUTDOWN _IOR('X', 125, uint32_t) /* fs/ext4/ext4.h */
#define NO_LOG_FLUSH 2u

/* --- 27, 28: mounted again ---------------------------------------------------------------------------------------- */

/* A lower folder in whose file the number of an unlinked one comes again. */
static void remounted_with_other_layers(stale *s)
{
    const char *layers = stale_folder(s, s->folder, "layers"), *one = stale_folder(s, layers, "one"),
               *two = stale_folder(s, layers, "two"), *path = stale_path(s, layers, "merged/f"),
               *merged = stale_path(s, layers, "merged"), *f1 = stale_file(s, "layers/one/f", 1),
               *f2 = stale_path(s, two, "f");
    struct stat before, after;

    assert_true(pl_overlay_mount(layers, one, true, NULL));
    s->overlays[s->n_overlays++] = (char *)(uintptr_t)merged;
    stale_cached(s, path);
    assert_return_code(stat(path, &before), errno);
    stale_unmount(merged);
    s->n_overlays--;
    (void)unlink(f1);
    (void)stale_file(s, "layers/two/f", 2);
    struct timespec times[] = {before.st_atim, before.st_mtim};
    assert_return_code(utimensat(AT_FDCWD, f2, times, 0), errno);
    assert_true(pl_overlay_mount(layers, two, true, NULL));
    s->overlays[s->n_overlays++] = (char *)(uintptr_t)merged;
    assert_return_code(stat(path, &after), errno);
    if (after.st_dev != before.st_dev || after.st_ino != before.st_ino)
        print_message("device or inode is another one here\n");
    stale_changed(s, path);
}

static void test_case_27_overlay_remounted_with_other_layers(void **state)
{
    stale_each(state, STALE_EXT4 | STALE_XFS, remounted_with_other_layers);
}

/*
 * Two images made alike, one after the other on one device: inode, size and all times are equal, device numbers too.
 * So it is with images of a reproducible build, with what is built within one second, and with copies that were
 * changed apart from each other.
 */
static void other_image(stale *s)
{
    static const char *const names[] = {"one", "two"};
    static const struct timespec times[] = {{.tv_sec = 1600000000}, {.tv_sec = 1600000000}};
    pl_loop_fs *fs[2];
    struct stat st[2];

    assert_return_code(setenv("SOURCE_DATE_EPOCH", "1600000000", 1), errno);
    assert_return_code(setenv("E2FSPROGS_FAKE_TIME", "1600000000", 1), errno);
    for (int tries = 0; tries < 5; tries++) { /* both within one second */
        char name[64];
        for (unsigned i = 0; i < 2; i++) {
            (void)snprintf(name, sizeof(name), "%s-%d", names[i], tries);
            (void)stale_folder(s, s->folder, name);
            (void)snprintf(name, sizeof(name), "%s-%d/f", names[i], tries);
            const char *file = stale_file(s, name, i + 1);
            assert_return_code(utimensat(AT_FDCWD, file, times, 0), errno);
            assert_return_code(stat(file, &st[i]), errno);
        }
        if (st[0].st_ctim.tv_sec != st[1].st_ctim.tv_sec)
            continue;
        for (unsigned i = 0; i < 2; i++) {
            (void)snprintf(name, sizeof(name), "%s-%d", names[i], tries);
            pl_loop_fs_options options = {.type = "ext4", .from = stale_path(s, s->folder, name), .read_only = true};
            fs[i] = stale_own_fs(s, &options);
        }
        break;
    }
    (void)unsetenv("SOURCE_DATE_EPOCH");
    (void)unsetenv("E2FSPROGS_FAKE_TIME");
    assert_int_equal(s->n_own, 2);
    const char *path = stale_path(s, pl_loop_fs_top(fs[0]), "f");
    stale_cached(s, path);
    assert_return_code(stat(path, &st[0]), errno);
    assert_true(pl_loop_fs_unmount(fs[0]));
    assert_true(pl_loop_fs_unmount(fs[1]));
    assert_true(pl_loop_fs_exchange(fs[0], fs[1]));
    assert_true(pl_loop_fs_mount(fs[0]));
    assert_return_code(stat(path, &st[1]), errno);
    assert_int_equal(st[1].st_dev, st[0].st_dev);
    assert_int_equal(st[1].st_ino, st[0].st_ino);
    stale_right(s, path);
}

static void test_case_27_another_image_on_the_same_device(void **state)
{
    stale_each(state, STALE_DISK, other_image);
}

/*
 * A subvolume and its snapshot: one inode number and one birth time in two trees. Written to within one tick, they have
 * equal times too; what tells them apart is a device number that is dealt anew at each mount, first come first served.
 */
static void other_subvolume(stale *s)
{
    pl_loop_fs_options options = {.type = "btrfs"};
    pl_loop_fs *fs = stale_own_fs(s, &options);
    const char *top = pl_loop_fs_top(fs), *a = stale_path(s, top, "a/f"), *b = stale_path(s, top, "b/f");
    struct btrfs_ioctl_vol_args create = {.name = "a"}, snapshot = {.name = "b"};
    struct stat st[2] = {0};

    int folder = stale_open(top, O_RDONLY | O_DIRECTORY);
    assert_return_code(ioctl(folder, BTRFS_IOC_SUBVOL_CREATE, &create), errno);
    pl_temp_write(a, "old", 3, 0755);
    int source = stale_open(stale_path(s, top, "a"), O_RDONLY | O_DIRECTORY);
    snapshot.fd = source;
    assert_return_code(syncfs(folder), errno);
    assert_return_code(ioctl(folder, BTRFS_IOC_SNAP_CREATE, &snapshot), errno);
    (void)close(source);
    (void)close(folder);
    for (int tries = 0; tries < 200; tries++) {
        int fd[2] = {stale_open(a, O_WRONLY), stale_open(b, O_WRONLY)};
        for (int i = 0; i < 3; i++) { /* the first of them may get a time of its own, since somebody has looked */
            assert_int_equal(pwrite(fd[0], "one", 3, 0), 3);
            assert_int_equal(pwrite(fd[1], "two", 3, 0), 3);
        }
        (void)close(fd[0]);
        (void)close(fd[1]);
        assert_return_code(stat(a, &st[0]) | stat(b, &st[1]), errno);
        if (memcmp(&st[0].st_ctim, &st[1].st_ctim, sizeof(st[0].st_ctim)) == 0 &&
            memcmp(&st[0].st_mtim, &st[1].st_mtim, sizeof(st[0].st_mtim)) == 0)
            break;
    }
    assert_int_equal(st[0].st_ino, st[1].st_ino);
    assert_true(pl_loop_fs_unmount(fs) && pl_loop_fs_mount(fs));
    assert_return_code(stat(a, &st[0]), errno);
    stale_cached(s, a);
    assert_true(pl_loop_fs_unmount(fs) && pl_loop_fs_mount(fs));
    assert_return_code(stat(b, &st[1]), errno);
    if (st[0].st_dev != st[1].st_dev || st[0].st_ctim.tv_nsec != st[1].st_ctim.tv_nsec)
        print_message("the snapshot did not get the device number, or the times, of the subvolume\n");
    stale_right(s, b);
    stale_right(s, a);
}

static void test_case_27_another_subvolume_under_the_same_device(void **state)
{
    stale_each(state, STALE_DISK, other_subvolume);
}

static void tmpfs_remounted(stale *s)
{
    pl_loop_fs_options options = {.type = "tmpfs"};
    pl_loop_fs *fs = stale_own_fs(s, &options);
    const char *path = stale_path(s, pl_loop_fs_top(fs), "f");
    unsigned char bytes[STALE_SIZE];
    struct stat st[2];

    for (unsigned i = 0; i < 2; i++) {
        stale_fill(bytes, sizeof(bytes), i);
        pl_temp_write(path, bytes, sizeof(bytes), 0755);
        assert_return_code(stat(path, &st[i]), errno);
        stale_settle_long(path);
        stale_uncached(s, path);
        stale_right(s, path);
        if (i == 0)
            assert_true(pl_loop_fs_unmount(fs) && pl_loop_fs_mount(fs));
    }
    assert_int_equal(st[1].st_ino, st[0].st_ino);
}

static void test_case_28_tmpfs_remounted_with_the_same_inode(void **state)
{
    stale_each(state, STALE_DISK, tmpfs_remounted);
}

/* --- 35: a crash that keeps data and loses times ------------------------------------------------------------------ */

/* A known file, then new bytes on the disk of which the journal does not tell. Returns its path. */
static const char *crash(stale *s, const char *boot_id)
{
    pl_loop_fs_options options = {.type = "ext4", .data = "commit=300"};
    pl_loop_fs *fs = stale_own_fs(s, &options);
    const char *path = stale_path(s, pl_loop_fs_top(fs), "f");
    unsigned char bytes[STALE_SIZE];
    struct stat before, after;
    uint32_t how = NO_LOG_FLUSH;
    uint8_t old[32], new[32];

    stale_fill(bytes, sizeof(bytes), 1);
    pl_temp_write(path, bytes, sizeof(bytes), 0755);
    int fd = stale_open(path, O_RDWR);
    assert_return_code(syncfs(fd), errno);
    (void)close(fd);
    assert_return_code(stat(path, &before), errno);
    pl_fake_clock_init(&s->clock, before.st_ctim.tv_sec * PL_NS_PER_S + HOUR_NS, HOUR_NS);
    stale_resolve_open(s, boot_id, 0, &s->clock.clock);
    assert_int_equal(stale_resolve_ask(s, path).source, PL_SOURCE_COMPUTED);
    assert_int_equal(stale_resolve_ask(s, path).source, PL_SOURCE_HOT);
    stale_digest(path, old);
    stale_poke(path, 0, STALE_SIZE, 2);
    fd = stale_open(path, O_RDWR);
    assert_return_code(
        sync_file_range(fd, 0, 0, SYNC_FILE_RANGE_WAIT_BEFORE | SYNC_FILE_RANGE_WRITE | SYNC_FILE_RANGE_WAIT_AFTER),
        errno);
    if (ioctl(fd, EXT4_SHUTDOWN, &how) != 0) {
        print_message("ext4 cannot be shut down: %s\n", strerror(errno));
        (void)close(fd);
        skip();
    }
    (void)close(fd);
    assert_true(pl_loop_fs_unmount(fs));
    assert_true(pl_loop_fs_mount(fs));
    assert_return_code(stat(path, &after), errno);
    stale_digest(path, new);
    if (memcmp(old, new, 32) == 0 || after.st_ctim.tv_sec != before.st_ctim.tv_sec ||
        after.st_ctim.tv_nsec != before.st_ctim.tv_nsec) {
        print_message("this crash kept the times, or lost the data\n");
        skip();
    }
    return path;
}

static void crash_and_boot(stale *s)
{
    const char *path = crash(s, STALE_BOOT_A);

    stale_resolve_open(s, STALE_BOOT_B, 0, &s->clock.clock);
    assert_int_equal(stale_resolve_ask(s, path).source, PL_SOURCE_COMPUTED);
    stale_sql(s, "SELECT attention, count(*) FROM changes GROUP BY 1", "alert|1\n");
    assert_int_equal(stale_resolve_ask(s, path).source, PL_SOURCE_HOT);
    stale_resolve_open(s, STALE_BOOT_B, 0, &s->clock.clock);
    assert_int_equal(stale_resolve_ask(s, path).source, PL_SOURCE_LEDGER);
}

static void test_case_35_ext4_shut_down_without_log_flush_then_a_new_boot(void **state)
{
    stale_each(state, STALE_DISK, crash_and_boot);
}

/* The same without a boot between: a disk that was pulled out and plugged in again. */
static void crash_and_remount(stale *s)
{
    const char *path = crash(s, STALE_BOOT_A);

    (void)stale_resolve_ask(s, path);
    stale_resolve_open(s, STALE_BOOT_A, 0, &s->clock.clock);
    (void)stale_resolve_ask(s, path);
}

static void test_case_35_ext4_shut_down_and_remounted_in_one_boot(void **state)
{
    stale_each(state, STALE_DISK, crash_and_remount);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        STALE_CASE(test_case_27_overlay_remounted_with_other_layers),
        STALE_CASE(test_case_27_another_image_on_the_same_device),
        STALE_CASE(test_case_27_another_subvolume_under_the_same_device),
        STALE_CASE(test_case_28_tmpfs_remounted_with_the_same_inode),
        STALE_CASE(test_case_35_ext4_shut_down_without_log_flush_then_a_new_boot),
        STALE_CASE(test_case_35_ext4_shut_down_and_remounted_in_one_boot),
    };

    return cmocka_run_group_tests_name("stale remount", tests, stale_group_setup, stale_group_teardown);
}

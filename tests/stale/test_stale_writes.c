/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Cases 1 to 15: every way in which bytes come into a file. By write(2), before, after and while it is hashed; through a
 * shared mapping, which moves no time stamp while its page is dirty; asynchronously, around the page cache, and by
 * calls that write nothing and change what is there. A case first proves that the checksum was kept where the place
 * keeps any (else nothing could be stale), then changes the bytes, then asks.
 */
#include "tests/stale/stale.h"

#include "src/base/cleanup.h"
#include "tests/support/temp_dir.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/aio_abi.h>
#include <linux/fs.h>
#include <linux/io_uring.h>
#include <linux/userfaultfd.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

/* --- 1: twice within a millisecond, around a hash ----------------------------------------------------------------- */

static void write_twice(stale *s)
{
    const char *path = stale_file(s, "f", 1);

    for (unsigned i = 0; i < 40; i++) {
        stale_poke(path, 0, STALE_SIZE, 2 * i);
        (void)stale_ask(s, path);
        stale_poke(path, 0, STALE_SIZE, 2 * i + 1);
        (void)stale_ask(s, path);
    }
    stale_right(s, path);
    /* What was answered last was young: whoever kept it must not believe it after one more write. */
    stale_poke_hidden(path, STALE_PAGE, 1, 7);
    stale_right(s, path);
    stale_cached(s, path);
}

static void test_case_01_write_twice_around_a_hash(void **state)
{
    stale_each(state, STALE_EVERYWHERE | STALE_EXT3, write_twice);
}

/* --- 2: equal size, mtime put back -------------------------------------------------------------------------------- */

static void write_and_restore_mtime(stale *s)
{
    const char *path = stale_file(s, "f", 1);

    stale_cached(s, path);
    for (unsigned i = 0; i < 5; i++) {
        stale_poke_hidden(path, i, 1, i);
        stale_changed(s, path);
    }
    stale_cached(s, path);
}

static void test_case_02_same_size_write_with_mtime_restored(void **state)
{
    stale_each(state, STALE_EVERYWHERE, write_and_restore_mtime);
}

/* --- 3 to 7: mappings --------------------------------------------------------------------------------------------- */

static void store_hash_store(stale *s)
{
    const char *path = stale_file(s, "f", 1);
    char *map = stale_map(s, path);

    map[0] ^= 1; /* the page is dirty and writable from here on: no fault tells of the next store */
    stale_settle(path);
    stale_uncached(s, path);
    for (size_t i = 1; i < 4; i++) {
        map[i] ^= 1;
        stale_right(s, path);
    }
    stale_settle(path);
    stale_uncached(s, path);
    stale_unmap(s);
    stale_cached(s, path);
}

static void test_case_03_store_hash_store_into_one_mapped_page(void **state)
{
    stale_each(state, STALE_TRUE_DISKS | STALE_EXT3 | STALE_TMPFS, store_hash_store);
}

/* The overlay may see the mapping (U) or write-protect its pages: the answers are right either way. */
static void store_hash_store_above(stale *s)
{
    const char *path = stale_file(s, "f", 1);
    char *map = stale_map(s, path);

    map[0] ^= 1;
    stale_settle(path);
    (void)stale_ask(s, path);
    (void)stale_ask(s, path);
    for (size_t i = 1; i < 4; i++) {
        map[i] ^= 1;
        stale_right(s, path);
    }
    stale_unmap(s);
    stale_cached(s, path);
}

static void test_case_03_store_hash_store_through_an_overlay(void **state)
{
    stale_each(state, STALE_OVERLAY, store_hash_store_above);
}

static void mapping_outlives_its_descriptor(stale *s)
{
    const char *path = stale_file(s, "f", 1);
    char *map = stale_map(s, path); /* never stored into: only the mapping is there */

    stale_settle(path);
    stale_uncached(s, path);
    map[STALE_PAGE] ^= 1;
    stale_right(s, path);
    stale_unmap(s);
    stale_cached(s, path);
}

static void test_case_04_writable_mapping_kept_after_close(void **state)
{
    stale_each(state, STALE_TRUE_DISKS | STALE_TMPFS, mapping_outlives_its_descriptor);
}

static void populate_hash_store(stale *s)
{
    const char *path = stale_file(s, "f", 1);
    int fd = stale_open(path, O_RDWR);

    s->map = mmap(NULL, STALE_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, fd, 0);
    assert_true(s->map != MAP_FAILED);
    s->map_length = STALE_SIZE;
    (void)close(fd);
    stale_settle(path);
    stale_uncached(s, path);
    ((char *)s->map)[5] ^= 1;
    stale_right(s, path);
    ((char *)s->map)[6] ^= 1;
    stale_right(s, path);
    stale_unmap(s);
    stale_settle_long(path); /* nobody has it open and it is old: the tier alone says no */
    stale_uncached(s, path);
}

static void test_case_05_tmpfs_mapping_populated_hash_store(void **state)
{
    stale_each(state, STALE_TMPFS, populate_hash_store);
}

static void neighbouring_page(stale *s)
{
    const char *path = stale_file(s, "f", 1);
    char *map = stale_map(s, path);

    map[STALE_PAGE] ^= 1; /* the one in the middle */
    stale_settle(path);
    (void)stale_ask(s, path);
    map[0] ^= 1;
    stale_right(s, path);
    stale_settle(path);
    (void)stale_ask(s, path);
    map[2 * STALE_PAGE] ^= 1;
    stale_right(s, path);
    stale_unmap(s);
    stale_cached(s, path);
}

static void test_case_06_neighbouring_page_of_a_dirty_mapping(void **state)
{
    stale_each(state, STALE_TRUE_DISKS | STALE_TMPFS, neighbouring_page);
}

static void store_after_msync(stale *s)
{
    const char *path = stale_file(s, "f", 1);
    char *map = stale_map(s, path);

    for (unsigned i = 0; i < 3; i++) {
        map[i] ^= 1;
        assert_return_code(msync(map, STALE_SIZE, MS_SYNC), errno);
        stale_settle(path);
        (void)stale_ask(s, path);
        map[i] ^= 2;
        stale_right(s, path);
        map[i] ^= 4;
        stale_right(s, path);
    }
    stale_unmap(s);
    stale_cached(s, path);
}

static void test_case_07_store_after_msync(void **state)
{
    stale_each(state, STALE_TRUE_DISKS, store_after_msync);
}

/* --- 8, 9: a write(2) in flight ----------------------------------------------------------------------------------- */

typedef struct writing {
    int fd;
    void *bytes;
    size_t length;
    atomic_bool ended;
    ssize_t result;
} writing;

static void *write_all(void *context)
{
    writing *w = context;

    w->result = pwrite(w->fd, w->bytes, w->length, 0);
    atomic_store(&w->ended, true);
    return NULL;
}

/* A buffer whose last page is not there until somebody gives it. */
static int withhold_last_page(char *bytes, size_t length)
{
    int fd = (int)syscall(SYS_userfaultfd, O_CLOEXEC | O_NONBLOCK);
    struct uffdio_api api = {.api = UFFD_API};
    struct uffdio_register area = {.range = {(uintptr_t)bytes + length - STALE_PAGE, STALE_PAGE},
                                   .mode = UFFDIO_REGISTER_MODE_MISSING};

    if (fd < 0 || ioctl(fd, UFFDIO_API, &api) != 0 || ioctl(fd, UFFDIO_REGISTER, &area) != 0) {
        print_message("userfaultfd: %s\n", strerror(errno));
        skip();
    }
    return fd;
}

static void give_last_page(int fd, char *bytes, size_t length)
{
    static _Alignas(4096) unsigned char page[STALE_PAGE];
    struct uffdio_copy copy = {
        .dst = (uintptr_t)bytes + length - STALE_PAGE, .src = (uintptr_t)page, .len = STALE_PAGE};

    stale_fill(page, sizeof(page), 99);
    assert_return_code(ioctl(fd, UFFDIO_COPY, &copy), errno);
}

/* ctime moves when the write begins; the bytes of its second half come long after. Large, so that the first half has
 * been copied whatever the size of the kernel's steps. */
static void stalled_write(stale *s)
{
    enum { LENGTH = 8 << 20 };
    const char *path = stale_file(s, "f", 1);
    pthread_t thread;
    char *bytes = mmap(NULL, LENGTH, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    assert_true(bytes != MAP_FAILED);
    stale_fill(bytes, LENGTH - STALE_PAGE, 3);
    int fault = s->guard = withhold_last_page(bytes, LENGTH);
    assert_return_code(truncate(path, LENGTH), errno);
    stale_cached(s, path);
    static writing w; /* outlives a case that fails while it is written to */
    w = (writing){.fd = stale_open(path, O_WRONLY), .bytes = bytes, .length = LENGTH};
    assert_int_equal(pthread_create(&thread, NULL, write_all, &w), 0);
    struct pollfd stalled = {.fd = fault, .events = POLLIN};
    assert_int_equal(poll(&stalled, 1, 60000), 1);
    stale_settle(path);
    stale_uncached(s, path);
    assert_false(atomic_load(&w.ended));
    give_last_page(fault, bytes, LENGTH);
    assert_int_equal(pthread_join(thread, NULL), 0);
    assert_int_equal(w.result, LENGTH);
    stale_right(s, path);
    assert_return_code(close(w.fd), errno);
    stale_cached(s, path);
    (void)munmap(bytes, LENGTH);
}

/* Not on xfs, whose reader waits for the writer's lock, nor on an overlay, whose FIEMAP does: there it cannot happen. */
static void test_case_08_write_stalled_half_way_by_userfaultfd(void **state)
{
    stale_need_root("userfaultfd has to see faults of the kernel");
    stale_each(state, STALE_DISK | STALE_EXT4 | STALE_BTRFS | STALE_TMPFS, stalled_write);
}

static void large_write(stale *s)
{
    const size_t length = (size_t)256 << 20; /* of the gigabyte only the duration matters, and a quarter lasts enough */
    const char *path = stale_file(s, "f", 1);
    pl_checksum sum = {.struct_size = sizeof(sum)};
    pthread_t thread;
    char seen = 0;
    char *bytes = mmap(NULL, length, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    assert_true(bytes != MAP_FAILED);
    memset(bytes, 'x', length);
    assert_return_code(truncate(path, (off_t)length), errno);
    writing w = {.fd = stale_open(path, O_RDWR), .bytes = bytes, .length = length};
    assert_int_equal(pthread_create(&thread, NULL, write_all, &w), 0);
    while (seen != 'x' && !atomic_load(&w.ended)) /* until a quarter is there */
        assert_int_equal(pread(w.fd, &seen, 1, (off_t)length / 4), 1);
    bool in_the_middle = !atomic_load(&w.ended);
    int code = pl_checksum_path(s->ledger, path, 0, &sum);
    assert_true(code == 0 || code == PL_UNSTABLE);
    assert_int_equal(pthread_join(thread, NULL), 0);
    assert_int_equal(w.result, length);
    assert_return_code(close(w.fd), errno);
    (void)munmap(bytes, length);
    if (!in_the_middle)
        print_message("the write had ended before the hash began\n");
    stale_right(s, path);
    stale_cached(s, path);
}

static void test_case_09_hash_in_the_middle_of_a_large_write(void **state)
{
    stale_each(state, STALE_DISK, large_write);
}

/* --- 10, 11, 12: asynchronous and direct writes ------------------------------------------------------------------- */

static void aio_write(int fd, const void *bytes, size_t length, off_t at)
{
    aio_context_t context = 0;
    struct iocb cb = {.aio_lio_opcode = IOCB_CMD_PWRITE,
                      .aio_fildes = (unsigned)fd,
                      .aio_buf = (uintptr_t)bytes,
                      .aio_nbytes = length,
                      .aio_offset = at};
    struct iocb *list[] = {&cb};
    struct io_event event;

    assert_return_code((int)syscall(SYS_io_setup, 4, &context), errno);
    assert_int_equal(syscall(SYS_io_submit, context, 1, list), 1);
    assert_int_equal(syscall(SYS_io_getevents, context, 1, 1, &event, NULL), 1);
    assert_int_equal(event.res, length);
    (void)syscall(SYS_io_destroy, context);
}

/* One request through the rings, as io_uring(7) has it. */
static void uring_write(int fd, const void *bytes, size_t length, off_t at)
{
    struct io_uring_params p = {0};
    pl_auto_close int ring = (int)syscall(SYS_io_uring_setup, 2, &p);

    if (ring < 0) {
        print_message("io_uring: %s\n", strerror(errno));
        skip();
    }
    size_t sq_size = p.sq_off.array + p.sq_entries * sizeof(unsigned);
    size_t cq_size = p.cq_off.cqes + p.cq_entries * sizeof(struct io_uring_cqe);
    size_t entries_size = p.sq_entries * sizeof(struct io_uring_sqe);
    char *sq = mmap(NULL, sq_size, PROT_READ | PROT_WRITE, MAP_SHARED, ring, IORING_OFF_SQ_RING);
    char *cq = mmap(NULL, cq_size, PROT_READ | PROT_WRITE, MAP_SHARED, ring, IORING_OFF_CQ_RING);
    struct io_uring_sqe *entry = mmap(NULL, entries_size, PROT_READ | PROT_WRITE, MAP_SHARED, ring, IORING_OFF_SQES);
    assert_true(sq != MAP_FAILED && cq != MAP_FAILED && (void *)entry != MAP_FAILED);
    *entry = (struct io_uring_sqe){
        .opcode = IORING_OP_WRITE, .fd = fd, .off = (uint64_t)at, .addr = (uintptr_t)bytes, .len = (unsigned)length};
    ((unsigned *)(void *)(sq + p.sq_off.array))[0] = 0;
    atomic_store((_Atomic unsigned *)(void *)(sq + p.sq_off.tail), 1u);
    assert_int_equal(syscall(SYS_io_uring_enter, ring, 1, 1, IORING_ENTER_GETEVENTS, NULL, 0), 1);
    struct io_uring_cqe *done = (struct io_uring_cqe *)(void *)(cq + p.cq_off.cqes);
    assert_int_equal(done->res, length);
    (void)munmap(sq, sq_size);
    (void)munmap(cq, cq_size);
    (void)munmap(entry, entries_size);
}

static void plain_write(int fd, const void *bytes, size_t length, off_t at)
{
    assert_int_equal(pwrite(fd, bytes, length, at), length);
}

/* After the hash; the descriptor is closed each time, so that the next hash is kept. */
static void after_the_hash(stale *s, void (*write_one)(int fd, const void *bytes, size_t length, off_t at), int flags)
{
    static _Alignas(4096) unsigned char bytes[STALE_PAGE];
    const char *path = stale_file(s, "f", 1);

    for (unsigned i = 0; i < 3; i++) {
        stale_cached(s, path);
        int fd = open(path, O_WRONLY | O_CLOEXEC | flags);
        if (fd < 0 && errno == EINVAL && flags) {
            print_message("no O_DIRECT on %s\n", s->where);
            return;
        }
        assert_return_code(fd, errno);
        stale_fill(bytes, sizeof(bytes), 10 + i);
        write_one(fd, bytes, sizeof(bytes), (off_t)(i * STALE_PAGE));
        stale_changed(s, path); /* with the writer still there */
        assert_return_code(close(fd), errno);
        stale_right(s, path);
    }
}

static void aio_buffered(stale *s)
{
    after_the_hash(s, aio_write, 0);
}

static void aio_direct(stale *s)
{
    after_the_hash(s, aio_write, O_DIRECT);
}

static void test_case_10_libaio_write_after_the_hash(void **state)
{
    stale_each(state, STALE_TRUE_DISKS, aio_buffered);
    stale_each(state, STALE_TRUE_DISKS, aio_direct);
}

static void uring_buffered(stale *s)
{
    after_the_hash(s, uring_write, 0);
}

static void uring_direct(stale *s)
{
    after_the_hash(s, uring_write, O_DIRECT);
}

static void test_case_11_io_uring_write(void **state)
{
    stale_each(state, STALE_TRUE_DISKS | STALE_TMPFS, uring_buffered);
    stale_each(state, STALE_TRUE_DISKS, uring_direct);
}

static void direct(stale *s)
{
    after_the_hash(s, plain_write, O_DIRECT);
}

static void test_case_12_o_direct_write(void **state)
{
    stale_each(state, STALE_TRUE_DISKS | STALE_TMPFS, direct);
}

/* --- 13, 14, 15: what changes without a write --------------------------------------------------------------------- */

static void allocate(stale *s, const char *path, int mode, off_t at, off_t length)
{
    pl_auto_close int fd = stale_open(path, O_RDWR);

    if (fallocate(fd, mode, at, length) == 0)
        return;
    assert_true(errno == EOPNOTSUPP);
    print_message("fallocate(%#x) not on %s\n", (unsigned)mode, s->where);
    stale_poke(path, 0, 1, 77); /* so that something has changed all the same */
}

static void holes(stale *s)
{
    const char *path = stale_file(s, "f", 1);

    stale_cached(s, path);
    allocate(s, path, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, STALE_PAGE, STALE_PAGE);
    stale_changed(s, path);
    stale_cached(s, path);
    allocate(s, path, FALLOC_FL_COLLAPSE_RANGE, 0, STALE_PAGE);
    assert_return_code(truncate(path, STALE_SIZE), errno); /* of equal size again */
    stale_changed(s, path);
    stale_cached(s, path);
    allocate(s, path, FALLOC_FL_INSERT_RANGE, 0, STALE_PAGE);
    assert_return_code(truncate(path, STALE_SIZE), errno);
    stale_changed(s, path);
    stale_cached(s, path);
    stale_poke(path, STALE_PAGE, 100, 5);
    stale_cached(s, path);
    allocate(s, path, FALLOC_FL_ZERO_RANGE, STALE_PAGE, 100);
    stale_changed(s, path);
}

static void test_case_13_punch_hole_collapse_range(void **state)
{
    stale_each(state, STALE_TRUE_DISKS | STALE_TMPFS, holes);
}

static void truncate_and_regrow(stale *s)
{
    const char *path = stale_file(s, "f", 1);

    stale_cached(s, path);
    assert_return_code(truncate(path, 100), errno);
    assert_return_code(truncate(path, STALE_SIZE), errno);
    stale_changed(s, path);
    stale_cached(s, path);
    (void)stale_file(s, "f", 2); /* O_TRUNC and a write of as many bytes */
    stale_changed(s, path);
    stale_cached(s, path);
}

static void test_case_14_truncate_and_regrow_to_the_same_size(void **state)
{
    stale_each(state, STALE_TRUE_DISKS | STALE_TMPFS, truncate_and_regrow);
}

static void copy_into(stale *s)
{
    const char *path = stale_file(s, "f", 1), *other = stale_file(s, "other", 2), *third = stale_file(s, "third", 3);
    off_t from_at = 0, to_at = 0;

    stale_cached(s, path);
    pl_auto_close int from = stale_open(other, O_RDONLY);
    int to = stale_open(path, O_WRONLY);
    assert_int_equal(copy_file_range(from, &from_at, to, &to_at, STALE_SIZE, 0), STALE_SIZE);
    assert_return_code(close(to), errno);
    stale_changed(s, path);
    assert_true(stale_is_right(&stale_ask(s, path).digests[0], other));
    stale_cached(s, path);
    pl_auto_close int clone_from = stale_open(third, O_RDONLY);
    to = stale_open(path, O_WRONLY);
    int cloned = ioctl(to, FICLONE, clone_from);
    int error = errno;
    assert_return_code(close(to), errno);
    if (cloned != 0) {
        assert_true(error == EOPNOTSUPP || error == ENOTTY || error == EINVAL);
        print_message("no reflink on %s\n", s->where);
        return;
    }
    stale_changed(s, path);
    assert_true(stale_is_right(&stale_ask(s, path).digests[0], third));
    stale_cached(s, path);
}

static void test_case_15_copy_file_range_and_reflink_into_it(void **state)
{
    stale_each(state, STALE_TRUE_DISKS | STALE_TMPFS, copy_into);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        STALE_CASE(test_case_01_write_twice_around_a_hash),
        STALE_CASE(test_case_02_same_size_write_with_mtime_restored),
        STALE_CASE(test_case_03_store_hash_store_into_one_mapped_page),
        STALE_CASE(test_case_03_store_hash_store_through_an_overlay),
        STALE_CASE(test_case_04_writable_mapping_kept_after_close),
        STALE_CASE(test_case_05_tmpfs_mapping_populated_hash_store),
        STALE_CASE(test_case_06_neighbouring_page_of_a_dirty_mapping),
        STALE_CASE(test_case_07_store_after_msync),
        STALE_CASE(test_case_08_write_stalled_half_way_by_userfaultfd),
        STALE_CASE(test_case_09_hash_in_the_middle_of_a_large_write),
        STALE_CASE(test_case_10_libaio_write_after_the_hash),
        STALE_CASE(test_case_11_io_uring_write),
        STALE_CASE(test_case_12_o_direct_write),
        STALE_CASE(test_case_13_punch_hole_collapse_range),
        STALE_CASE(test_case_14_truncate_and_regrow_to_the_same_size),
        STALE_CASE(test_case_15_copy_file_range_and_reflink_into_it),
    };

    return cmocka_run_group_tests_name("stale writes", tests, stale_group_setup, stale_group_teardown);
}

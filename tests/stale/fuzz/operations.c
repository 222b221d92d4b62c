/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The operations. Each opens what it needs and closes it again, but for mappings, which are held over many operations.
 * When one returns, nothing that it began is still under way. Most of them leave a file as long as it was, so that size
 * says nothing.
 */
#include "tests/stale/fuzz/operations.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <setjmp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "src/base/cleanup.h"

#define POOL ((size_t)1 << 20)
#define WRITE_MOST ((size_t)1 << 17)
#define PAGE ((uint64_t)4096)

typedef fuzz_mutator mutator;
typedef fuzz_mapping mapping;
typedef fuzz_effect effect;

static sigjmp_buf beyond_the_end;

/* A store beyond the end of a file that somebody truncated. */
static void on_sigbus(int signal)
{
    (void)signal;
    siglongjmp(beyond_the_end, 1);
}

/* ---- what operations are made of ---- */

static unsigned below(mutator *m, unsigned n)
{
    return fuzz_below(&m->random, n);
}

static int open_slot(mutator *m, unsigned slot, bool link, int flags, effect *e)
{
    char path[4096];
    struct stat st;

    fuzz_path(m->s, slot, link, path);
    int fd = open(path, flags | O_CLOEXEC);
    if (fd < 0)
        return -errno;
    if (fstat(fd, &st) == 0)
        e->inode = st.st_ino;
    return fd;
}

/* n bytes that were never written before. */
static const unsigned char *fresh(mutator *m, size_t n)
{
    memcpy(m->buffer, m->pool + below(m, (unsigned)(POOL - n)), n);
    m->stamp++;
    memcpy(m->buffer, &m->stamp, n < sizeof(m->stamp) ? n : sizeof(m->stamp));
    return m->buffer;
}

/* A range within the file's size: all of it, a piece, or a few bytes. */
static void choose_range(mutator *m, unsigned slot, effect *e)
{
    uint64_t size = m->s->slots[slot].size;
    unsigned how = below(m, 4);

    e->at = how == 0 ? 0 : below(m, (unsigned)size);
    e->length = how == 0 ? size : how == 1 ? 1 + below(m, 64) : 1 + below(m, (unsigned)size);
    if (e->length > size - e->at)
        e->length = size - e->at;
    if (e->length > WRITE_MOST)
        e->length = WRITE_MOST;
}

/* The same in whole pages; false: the file has none. */
static bool choose_pages(mutator *m, unsigned slot, effect *e)
{
    unsigned pages = (unsigned)(m->s->slots[slot].size / PAGE);

    if (pages == 0)
        return false;
    unsigned first = below(m, pages), n = 1 + below(m, pages - first);
    e->at = first * PAGE;
    e->length = n * PAGE < WRITE_MOST ? n * PAGE : WRITE_MOST;
    return true;
}

static ssize_t pwrite_all(int fd, const unsigned char *bytes, size_t n, uint64_t at)
{
    ssize_t written = pwrite(fd, bytes, n, (off_t)at);

    return written < 0 ? -errno : written;
}

/* The whole of a new file, or of what a hole was cut into. 0 or -errno. */
ssize_t fuzz_fill(mutator *m, int fd, uint64_t at, uint64_t end)
{
    while (at < end) {
        size_t n = end - at < WRITE_MOST ? (size_t)(end - at) : WRITE_MOST;
        ssize_t written = pwrite_all(fd, fresh(m, n), n, at);
        if (written < 0)
            return written;
        at += (uint64_t)written;
    }
    return 0;
}

/* ---- mappings ---- */

static void drop_mapping(mutator *m, mapping *held)
{
    atomic_fetch_sub(&m->s->slots[held->slot].mapped, 1);
    (void)munmap(held->bytes, held->length);
    *held = m->held[--m->held_count];
}

static ssize_t store(mutator *m, mapping *held, effect *e)
{
    volatile unsigned char *bytes = held->bytes;

    e->inode = held->inode;
    e->at = below(m, (unsigned)held->length);
    e->length = 1 + below(m, 16);
    if (e->length > held->length - e->at)
        e->length = held->length - e->at;
    if (sigsetjmp(beyond_the_end, 1) != 0)
        return -EFAULT;
    if (below(m, 3) == 0)
        held->rests_until = atomic_load(&m->s->mutations) + (UINT64_C(32) << below(m, 8));
    for (uint64_t i = 0; i < e->length; i++)
        bytes[e->at + i] = (unsigned char)(bytes[e->at + i] + 1 + fuzz_next(&m->random) % 255);
    return (ssize_t)e->length;
}

static ssize_t do_store(mutator *m, unsigned slot, effect *e)
{
    (void)slot;
    return store(m, m->chosen, e);
}

static ssize_t do_map(mutator *m, unsigned slot, effect *e)
{
    pl_auto_close int fd = open_slot(m, slot, fuzz_percent(&m->random, 5), O_RDWR, e);
    struct stat st;

    if (fd < 0)
        return fd;
    if (fstat(fd, &st) != 0 || st.st_size == 0)
        return 0;
    if (m->held_count == FUZZ_HELD)
        drop_mapping(m, &m->held[below(m, FUZZ_HELD)]);
    int flags = MAP_SHARED | (below(m, 3) == 0 ? MAP_POPULATE : 0);
    mapping new = {.length = (size_t)st.st_size, .slot = slot, .inode = st.st_ino};
    new.bytes = mmap(NULL, new.length, PROT_READ | PROT_WRITE, flags, fd, 0);
    if (new.bytes == MAP_FAILED)
        return -errno;
    mapping *held = &m->held[m->held_count++];
    *held = new;
    atomic_fetch_add(&m->s->slots[slot].mapped, 1);
    return below(m, 3) ? store(m, held, e) : 0;
}

static ssize_t do_unmap(mutator *m, unsigned slot, effect *e)
{
    (void)slot;
    e->inode = m->chosen->inode;
    drop_mapping(m, m->chosen);
    return 0;
}

static ssize_t do_msync(mutator *m, unsigned slot, effect *e)
{
    (void)slot;
    e->inode = m->chosen->inode;
    return msync(m->chosen->bytes, m->chosen->length, below(m, 2) ? MS_SYNC : MS_ASYNC) == 0 ? 0 : -errno;
}

/* ---- writes ---- */

static ssize_t write_by(mutator *m, int fd, effect *e)
{
    ssize_t half = (ssize_t)(e->length / 2);
    const unsigned char *bytes = fresh(m, e->length);

    if (lseek(fd, (off_t)e->at, SEEK_SET) < 0)
        return -errno;
    if (half && write(fd, bytes, (size_t)half) != half)
        return -errno;
    return write(fd, bytes + half, e->length - (size_t)half) < 0 ? -errno : (ssize_t)e->length;
}

static ssize_t do_write(mutator *m, unsigned slot, effect *e)
{
    pl_auto_close int fd = open_slot(m, slot, false, O_WRONLY, e);

    choose_range(m, slot, e);
    return fd < 0 ? fd : write_by(m, fd, e);
}

static ssize_t do_pwrite(mutator *m, unsigned slot, effect *e)
{
    pl_auto_close int fd = open_slot(m, slot, false, O_RDWR, e);

    choose_range(m, slot, e);
    return fd < 0 ? fd : pwrite_all(fd, fresh(m, e->length), e->length, e->at);
}

/* Opens for a write of whole pages past the page cache, or of any range through it. */
static int open_direct(mutator *m, unsigned slot, bool direct, effect *e)
{
    if (direct && m->s->slots[slot].direct && choose_pages(m, slot, e))
        return open_slot(m, slot, false, O_RDWR | O_DIRECT, e);
    choose_range(m, slot, e);
    return open_slot(m, slot, false, O_RDWR, e);
}

static ssize_t do_direct(mutator *m, unsigned slot, effect *e)
{
    pl_auto_close int fd = open_direct(m, slot, true, e);

    return fd < 0 ? fd : pwrite_all(fd, fresh(m, e->length), e->length, e->at);
}

static ssize_t do_aio(mutator *m, unsigned slot, effect *e)
{
    pl_auto_close int fd = open_direct(m, slot, below(m, 2), e);

    return fd < 0 ? fd : fuzz_async_aio(m->async, fd, fresh(m, e->length), e->length, e->at);
}

static ssize_t do_uring(mutator *m, unsigned slot, effect *e)
{
    pl_auto_close int fd = open_direct(m, slot, below(m, 2), e);

    return fd < 0 ? fd : fuzz_async_uring(m->async, fd, fresh(m, e->length), e->length, e->at);
}

static ssize_t do_old_mtime(mutator *m, unsigned slot, effect *e)
{
    pl_auto_close int fd = open_slot(m, slot, false, O_RDWR, e);
    struct stat before;

    if (fd < 0)
        return fd;
    choose_range(m, slot, e);
    if (fstat(fd, &before) != 0)
        return -errno;
    ssize_t written = pwrite_all(fd, fresh(m, e->length), e->length, e->at);
    struct timespec times[] = {{.tv_nsec = UTIME_OMIT}, before.st_mtim};
    return futimens(fd, times) == 0 ? written : -errno;
}

/* ---- names ---- */

/* A new file over the old one, sometimes with the old one's mtime, as dpkg leaves it. */
static ssize_t do_rename(mutator *m, unsigned slot, effect *e)
{
    char path[4096], new[4096];
    struct stat before, st;

    fuzz_path(m->s, slot, false, path);
    if (snprintf(new, sizeof(new), "%s/new/%u", m->s->options.dir, m->id) >= (int)sizeof(new))
        return -ENAMETOOLONG;
    pl_auto_close int fd = open(new, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0755);
    if (fd < 0)
        return -errno;
    e->length = m->s->slots[slot].size;
    ssize_t written = fuzz_fill(m, fd, 0, e->length);
    if (written < 0)
        return written;
    if (fstat(fd, &st) == 0)
        e->inode = st.st_ino;
    if (below(m, 2) && stat(path, &before) == 0) {
        struct timespec times[] = {{.tv_nsec = UTIME_OMIT}, before.st_mtim};
        (void)futimens(fd, times);
    }
    return rename(new, path) == 0 ? 0 : -errno;
}

static ssize_t do_link(mutator *m, unsigned slot, effect *e)
{
    char path[4096], name[4096];

    (void)e;
    fuzz_path(m->s, slot, false, path);
    fuzz_path(m->s, slot, true, name);
    (void)unlink(name);
    return link(path, name) == 0 ? 0 : -errno;
}

/* The other name may be that of a file that was replaced: then another inode is written. */
static ssize_t do_link_write(mutator *m, unsigned slot, effect *e)
{
    pl_auto_close int fd = open_slot(m, slot, true, O_WRONLY, e);

    if (fd == -ENOENT && do_link(m, slot, e) == 0)
        fd = open_slot(m, slot, true, O_WRONLY, e);
    choose_range(m, slot, e);
    return fd < 0 ? fd : write_by(m, fd, e);
}

static ssize_t do_unlink(mutator *m, unsigned slot, effect *e)
{
    char name[4096];

    (void)e;
    fuzz_path(m->s, slot, true, name);
    return unlink(name) == 0 || errno == ENOENT ? 0 : -errno;
}

static ssize_t do_chmod(mutator *m, unsigned slot, effect *e)
{
    char path[4096];

    (void)e;
    fuzz_path(m->s, slot, false, path);
    return chmod(path, below(m, 2) ? 0755 : 0700) == 0 ? 0 : -errno;
}

/* ---- what changes a file without writing into it ---- */

static ssize_t do_regrow(mutator *m, unsigned slot, effect *e)
{
    pl_auto_close int fd = open_slot(m, slot, false, O_RDWR, e);

    if (fd < 0)
        return fd;
    e->length = m->s->slots[slot].size;
    e->at = below(m, 4) ? below(m, (unsigned)e->length) : 0;
    if (ftruncate(fd, (off_t)e->at) != 0)
        return -errno;
    if (below(m, 2))
        return fuzz_fill(m, fd, e->at, e->length);
    return ftruncate(fd, (off_t)e->length) == 0 ? 0 : -errno;
}

/* Another slot's file, to copy from. */
static int open_other(mutator *m, unsigned slot)
{
    effect other;
    unsigned n = m->s->options.files - FUZZ_BIG;

    return open_slot(m, (slot + 1 + below(m, n - 1)) % n, false, O_RDONLY, &other);
}

static ssize_t do_copy_range(mutator *m, unsigned slot, effect *e)
{
    pl_auto_close int to = open_slot(m, slot, false, O_RDWR, e);
    pl_auto_close int from = open_other(m, slot);

    if (to < 0 || from < 0)
        return to < 0 ? to : from;
    if (!below(m, 2) || !choose_pages(m, slot, e))
        choose_range(m, slot, e);
    off_t source = 0, target = (off_t)e->at;
    ssize_t n = copy_file_range(from, &source, to, &target, e->length, 0);
    return n < 0 ? -errno : n;
}

static ssize_t do_clone(mutator *m, unsigned slot, effect *e)
{
    pl_auto_close int to = open_slot(m, slot, false, O_RDWR, e);
    pl_auto_close int from = open_other(m, slot);

    if (to < 0 || from < 0)
        return to < 0 ? to : from;
    e->length = m->s->slots[slot].size;
    if (ioctl(to, FICLONE, from) != 0)
        return -errno;
    return ftruncate(to, (off_t)e->length) == 0 ? 0 : -errno;
}

static ssize_t allocate(int fd, int mode, const effect *e)
{
    return fallocate(fd, mode, (off_t)e->at, (off_t)e->length) == 0 ? 0 : -errno;
}

static ssize_t do_punch(mutator *m, unsigned slot, effect *e)
{
    pl_auto_close int fd = open_slot(m, slot, false, O_RDWR, e);

    choose_range(m, slot, e);
    return fd < 0 ? fd : allocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, e);
}

static ssize_t do_zero(mutator *m, unsigned slot, effect *e)
{
    pl_auto_close int fd = open_slot(m, slot, false, O_RDWR, e);

    choose_range(m, slot, e);
    return fd < 0 ? fd : allocate(fd, FALLOC_FL_ZERO_RANGE, e);
}

/* Takes one block out and grows to the old size again. */
static ssize_t do_collapse(mutator *m, unsigned slot, effect *e)
{
    uint64_t size = m->s->slots[slot].size;

    if (size <= 2 * PAGE)
        return do_punch(m, slot, e);
    pl_auto_close int fd = open_slot(m, slot, false, O_RDWR, e);
    if (fd < 0)
        return fd;
    e->at = below(m, (unsigned)(size / PAGE - 1)) * PAGE;
    e->length = PAGE;
    ssize_t result = allocate(fd, FALLOC_FL_COLLAPSE_RANGE, e);
    if (result == 0 && ftruncate(fd, (off_t)size) != 0)
        result = -errno;
    return result;
}

static ssize_t do_sync(mutator *m, unsigned slot, effect *e)
{
    pl_auto_close int fd = open_slot(m, slot, false, O_RDONLY, e);

    return fd < 0 ? fd : fdatasync(fd) == 0 ? 0 : -errno;
}

/* ---- all of them ---- */

const fuzz_operation fuzz_operations[FUZZ_KIND_COUNT] = {
    [FUZZ_STORE] = {30, do_store},
    [FUZZ_MAP] = {9, do_map},
    [FUZZ_UNMAP] = {5, do_unmap},
    [FUZZ_MSYNC] = {2, do_msync},
    [FUZZ_WRITE] = {7, do_write},
    [FUZZ_PWRITE] = {7, do_pwrite},
    [FUZZ_DIRECT] = {5, do_direct},
    [FUZZ_AIO] = {5, do_aio},
    [FUZZ_URING] = {5, do_uring},
    [FUZZ_RENAME] = {6, do_rename},
    [FUZZ_LINK] = {3, do_link},
    [FUZZ_LINK_WRITE] = {3, do_link_write},
    [FUZZ_UNLINK] = {2, do_unlink},
    [FUZZ_REGROW] = {4, do_regrow},
    [FUZZ_COPY_RANGE] = {4, do_copy_range},
    [FUZZ_CLONE] = {3, do_clone},
    [FUZZ_PUNCH] = {3, do_punch},
    [FUZZ_COLLAPSE] = {3, do_collapse},
    [FUZZ_ZERO] = {3, do_zero},
    [FUZZ_OLD_MTIME] = {5, do_old_mtime},
    [FUZZ_CHMOD] = {2, do_chmod},
    [FUZZ_SYNC] = {1, do_sync},
};

bool fuzz_mutator_init(mutator *m, fuzz_shared *s, unsigned id)
{
    struct sigaction bus = {.sa_handler = on_sigbus};

    *m = (mutator){.s = s, .id = id, .random = s->options.seed * UINT64_C(0x2545f4914f6cdd1d) + id + 1};
    m->stamp = (uint64_t)(id + 1) << 56;
    m->async = fuzz_async_new();
    m->pool = malloc(POOL);
    if (!m->async || !m->pool || posix_memalign((void **)&m->buffer, PAGE, WRITE_MOST) != 0)
        return false;
    for (size_t i = 0; i < POOL; i += sizeof(uint64_t)) {
        uint64_t random = fuzz_next(&m->random);
        memcpy(m->pool + i, &random, sizeof(random));
    }
    return sigaction(SIGBUS, &bus, NULL) == 0;
}

void fuzz_mutator_deinit(mutator *m)
{
    while (m->held_count)
        drop_mapping(m, &m->held[0]);
    (void)fuzz_async_free(m->async);
    free(m->pool);
    free(m->buffer);
}

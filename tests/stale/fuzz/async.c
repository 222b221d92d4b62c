/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * libaio and io_uring by hand: a context and a ring of four entries, of which one is ever used. Invariant: whoever
 * submitted waits for the completion, whatever signal comes.
 */
#include "tests/stale/fuzz/async.h"

#include <errno.h>
#include <linux/aio_abi.h>
#include <linux/io_uring.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#define ENTRIES 4

struct fuzz_async {
    aio_context_t aio;
    int aio_error;
    int ring, ring_error;
    struct io_uring_params params;
    unsigned char *submissions, *completions; /* the two rings of indices */
    struct io_uring_sqe *entries;
};

static void *map_ring(int fd, size_t size, off_t what)
{
    return mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, fd, what);
}

static int ring_new(fuzz_async *a)
{
    a->ring = (int)syscall(SYS_io_uring_setup, ENTRIES, &a->params);
    if (a->ring < 0)
        return errno;
    a->submissions =
        map_ring(a->ring, a->params.sq_off.array + a->params.sq_entries * sizeof(uint32_t), IORING_OFF_SQ_RING);
    a->completions = map_ring(a->ring, a->params.cq_off.cqes + a->params.cq_entries * sizeof(struct io_uring_cqe),
                              IORING_OFF_CQ_RING);
    a->entries = map_ring(a->ring, a->params.sq_entries * sizeof(*a->entries), IORING_OFF_SQES);
    return a->submissions == MAP_FAILED || a->completions == MAP_FAILED || a->entries == MAP_FAILED ? ENOMEM : 0;
}

fuzz_async *fuzz_async_new(void)
{
    fuzz_async *a = calloc(1, sizeof(*a));

    if (!a)
        return NULL;
    a->aio_error = syscall(SYS_io_setup, ENTRIES, &a->aio) == 0 ? 0 : errno;
    a->ring_error = ring_new(a);
    return a;
}

/* The mappings of the ring go with the process. */
fuzz_async *fuzz_async_free(fuzz_async *a)
{
    if (!a)
        return NULL;
    if (a->aio_error == 0)
        (void)syscall(SYS_io_destroy, a->aio);
    if (a->ring >= 0)
        (void)close(a->ring);
    free(a);
    return NULL;
}

ssize_t fuzz_async_aio(fuzz_async *a, int fd, const void *bytes, size_t n, uint64_t at)
{
    struct iocb block = {.aio_lio_opcode = IOCB_CMD_PWRITE,
                         .aio_fildes = (uint32_t)fd,
                         .aio_buf = (uint64_t)(uintptr_t)bytes,
                         .aio_nbytes = n,
                         .aio_offset = (int64_t)at};
    struct iocb *list[] = {&block};
    struct io_event event = {0};
    long got;

    if (a->aio_error)
        return -a->aio_error;
    if (syscall(SYS_io_submit, a->aio, 1, list) != 1)
        return -errno;
    do {
        got = syscall(SYS_io_getevents, a->aio, 1, 1, &event, NULL);
    } while (got == 0 || (got < 0 && errno == EINTR));
    return got == 1 ? (ssize_t)event.res : -errno;
}

static _Atomic uint32_t *word(unsigned char *ring, uint32_t offset)
{
    return (_Atomic uint32_t *)(void *)(ring + offset);
}

ssize_t fuzz_async_uring(fuzz_async *a, int fd, const void *bytes, size_t n, uint64_t at)
{
    if (a->ring_error)
        return -a->ring_error;
    _Atomic uint32_t *tail = word(a->submissions, a->params.sq_off.tail);
    _Atomic uint32_t *done = word(a->completions, a->params.cq_off.head);
    uint32_t index = atomic_load(tail) & (a->params.sq_entries - 1), seen = atomic_load(done);
    unsigned to_submit = 1;

    a->entries[index] = (struct io_uring_sqe){
        .opcode = IORING_OP_WRITE, .fd = fd, .addr = (uint64_t)(uintptr_t)bytes, .len = (uint32_t)n, .off = at};
    atomic_store(word(a->submissions, a->params.sq_off.array + index * (uint32_t)sizeof(uint32_t)), index);
    atomic_fetch_add(tail, 1);
    while (atomic_load(word(a->completions, a->params.cq_off.tail)) == seen) {
        long taken = syscall(SYS_io_uring_enter, a->ring, to_submit, 1, IORING_ENTER_GETEVENTS, NULL, 0);
        if (taken < 0 && errno != EINTR && errno != EAGAIN && errno != EBUSY) {
            a->ring_error = errno; /* the entry stays behind: this ring is not used again */
            return -errno;
        }
        if (taken > 0)
            to_submit = 0;
    }
    struct io_uring_cqe *answers = (void *)(a->completions + a->params.cq_off.cqes);
    ssize_t result = answers[seen & (a->params.cq_entries - 1)].res;
    atomic_store(done, seen + 1);
    return result;
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * One write at a time through libaio's and io_uring's system calls, waited for: nothing is in flight when a call here
 * returns. Owned by one mutator, its thread alone. Raw system calls: neither library is a dependency of the tests.
 */
#ifndef PL_STALE_FUZZ_ASYNC_H
#define PL_STALE_FUZZ_ASYNC_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

typedef struct fuzz_async fuzz_async;

fuzz_async *fuzz_async_new(void); /* NULL: no memory. What the kernel does not offer shows at each write. */
fuzz_async *fuzz_async_free(fuzz_async *async);
/* Bytes written, or -errno; -ENOSYS, -EPERM: not to be had here. */
ssize_t fuzz_async_aio(fuzz_async *async, int fd, const void *bytes, size_t n, uint64_t at);
ssize_t fuzz_async_uring(fuzz_async *async, int fd, const void *bytes, size_t n, uint64_t at);

#endif

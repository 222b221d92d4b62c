/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A second pair of hands for a large file: one thread reads the next block while its owner hashes this one. The copy out
 * of the page cache is a fifth of the time of a sha256 in hardware; with a core to spare it costs nothing.
 *
 * Owned by one thread (a prober's), which alone calls everything here; one reader a file. The reading thread inherits
 * the owner's signal mask and priority of the moment of its birth.
 */
#ifndef PL_FILE_READER_H
#define PL_FILE_READER_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

typedef struct pl_reader pl_reader;

/* Begins to read fd, which stays the owner's, from its start with pread in blocks of `size` bytes: until its end, a
 * failure, or a block that reaches beyond `limit`. 0, PL_ERR_NOMEM, or PL_ERR_SYSTEM (no thread). */
int pl_reader_new(int fd, uint64_t limit, size_t size, pl_reader **out);
/* Waits for a read that is under way; fd is not touched any more when it returns. NULL safe, returns NULL. */
pl_reader *pl_reader_free(pl_reader *reader);
/* The next bytes in order, valid until the next call: how many, 0 at the end, -1 with *errnum. EINTR is not seen. */
ssize_t pl_reader_next(pl_reader *reader, const void **bytes, int *errnum);

#endif

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What a mutator is, and what it can do to a file. One mutator is one process with one thread.
 */
#ifndef PL_STALE_FUZZ_OPERATIONS_H
#define PL_STALE_FUZZ_OPERATIONS_H

#include "tests/stale/fuzz/async.h"
#include "tests/stale/fuzz/shared.h"

#define FUZZ_HELD 24 /* mappings that one mutator holds at most */

typedef struct fuzz_mapping {
    unsigned char *bytes;
    size_t length;
    unsigned slot;
    uint64_t inode;
    uint64_t rests_until; /* count of all mutations: dirty and left alone, long enough for its file to be kept */
} fuzz_mapping;

typedef struct fuzz_mutator {
    fuzz_shared *s;
    unsigned id;
    fuzz_random random;
    fuzz_async *async;
    unsigned char *pool, *buffer; /* random bytes to write from; what is written next, page-aligned */
    uint64_t stamp;               /* makes every write differ from all before it */
    fuzz_mapping held[FUZZ_HELD];
    unsigned held_count;
    fuzz_mapping *chosen; /* by the operation under way, of STORE, UNMAP, MSYNC */
    unsigned last_slot;   /* of the operation before */
} fuzz_mutator;

/* What an operation did, for the ring. */
typedef struct fuzz_effect {
    uint64_t at, length, inode;
} fuzz_effect;

typedef struct fuzz_operation {
    unsigned weight;
    /* 0 or bytes, or -errno. */
    ssize_t (*run)(fuzz_mutator *m, unsigned slot, fuzz_effect *e);
} fuzz_operation;

/* By kind. */
extern const fuzz_operation fuzz_operations[FUZZ_KIND_COUNT];

bool fuzz_mutator_init(fuzz_mutator *m, fuzz_shared *s, unsigned id);
void fuzz_mutator_deinit(fuzz_mutator *m);
/* Writes random bytes from `at` to `end`. 0 or -errno. */
ssize_t fuzz_fill(fuzz_mutator *m, int fd, uint64_t at, uint64_t end);

#endif

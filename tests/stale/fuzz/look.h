/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Look-ups, the independent digest that they are compared with, and the threads that look up beside the mutators.
 */
#ifndef PL_STALE_FUZZ_LOOK_H
#define PL_STALE_FUZZ_LOOK_H

#include <openssl/evp.h>
#include <procledger/procledger.h>
#include <pthread.h>

#include "tests/stale/fuzz/shared.h"

/* How a file is asked for. */
typedef enum fuzz_way {
    FUZZ_BY_PATH,
    FUZZ_BY_LINK, /* its other name; PL_VANISHED when it has none just now */
    FUZZ_BY_FD,
} fuzz_way;

/* One process's handle. Look-ups hold the lock shared, re-opening holds it alone. */
typedef struct fuzz_handle {
    pthread_rwlock_t lock;
    pl_ledger *ledger;
} fuzz_handle;

/* One thread's. */
typedef struct fuzz_looker {
    fuzz_shared *s;
    fuzz_handle *of; /* not owned */
    unsigned handle; /* 0 or 1 */
    unsigned who;    /* for the ring */
    fuzz_random random;
    EVP_MD *sha256;
    EVP_MD_CTX *digester;
    unsigned char *buffer;
} fuzz_looker;

int fuzz_looker_init(fuzz_looker *l, fuzz_shared *s, fuzz_handle *of, unsigned handle, unsigned number);
void fuzz_looker_deinit(fuzz_looker *l);

/* Asks the product once and counts it. fd: of FUZZ_BY_FD. Negative: the run ends. */
int fuzz_ask(fuzz_looker *l, unsigned slot, fuzz_way way, int fd, pl_checksum *out);
/* For answers of pl_checksum_paths: counts and remembers one. */
void fuzz_count(fuzz_looker *l, unsigned slot, int code, const pl_checksum *sum, int64_t begin_ns);
/* Closes the handle and opens it again: what was hot is served from the ledger now. False: the run ends. */
bool fuzz_reopen(fuzz_looker *l);
/* sha256 of what pread(2) gives, by nobody's code but OpenSSL's. 0 or -errno. */
int fuzz_digest(fuzz_looker *l, int fd, uint8_t out[static 32]);
/* An answer with a digest that is not `digest`: reported, the run ends. True: it was right, or none. */
bool fuzz_judge(fuzz_looker *l, unsigned slot, int code, const pl_checksum *sum, const uint8_t digest[static 32],
                const char *when);
/* A slot to look up: rather one of the few, now and then one that was just changed. */
unsigned fuzz_choose_look(fuzz_looker *l);
/* Looks up beside the mutators until the run ends. Whenever the file stood still all the while, judges. */
void *fuzz_look_thread(void *looker);

#endif

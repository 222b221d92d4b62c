/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * One pass over bytes, any set of algorithms, through OpenSSL's EVP. A pl_digester is owned by one thread and reused
 * from file to file; fetching the algorithms costs more than a small file.
 */
#ifndef PL_FILE_DIGEST_H
#define PL_FILE_DIGEST_H

#include <procledger/procledger.h>

typedef struct pl_digester pl_digester;

/* The digests of one content; slots with algorithm 0 are empty, [0] is sha256. */
typedef struct pl_digest_set {
    pl_digest digests[PL_ALGORITHM_COUNT];
} pl_digest_set;

int pl_digester_new(pl_digester **out);
pl_digester *pl_digester_free(pl_digester *digester);
/* Before a detached thread that digested ends: OpenSSL's memory for the thread must not be cleaned up while the process
 * is on its way out. */
void pl_digest_thread_stop(void);
/* algorithms: mask of pl_algorithm, sha256 is added. Starts over. */
int pl_digester_start(pl_digester *digester, uint32_t algorithms);
int pl_digester_update(pl_digester *digester, const void *bytes, size_t length);
int pl_digester_finish(pl_digester *digester, pl_digest_set *out);

const pl_digest *pl_digest_find(const pl_digest_set *set, pl_algorithm algorithm); /* NULL: not in the set */
uint32_t pl_digest_set_algorithms(const pl_digest_set *set);                       /* mask */
const char *pl_algorithm_name(pl_algorithm algorithm);                             /* "sha256", ...; NULL */
/* "sha256,md5" to a mask. 0, or PL_ERR_INVALID naming the word. */
int pl_algorithms_parse(const char *list, uint32_t *out);
/* Lower-case hex of exactly length bytes into out; PL_ERR_INVALID for anything else. Upper case is taken too. */
int pl_digest_from_hex(pl_algorithm algorithm, const char *hex, pl_digest *out);

#endif

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Hashing for tables in memory: fast, well spread, worth nothing against somebody who looks for collisions (who would
 * cost us time, never a wrong answer: keys are compared) and never written to disk.
 */
#ifndef PL_BASE_MIX_H
#define PL_BASE_MIX_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* Both halves of a 128-bit product, folded: each input bit reaches each output bit. */
static inline uint64_t pl_mix(uint64_t a, uint64_t b)
{
    __extension__ unsigned __int128 product = (unsigned __int128)a * b;

    return (uint64_t)product ^ (uint64_t)(product >> 64);
}

static inline uint64_t pl_mix_bytes(const void *bytes, size_t length, uint64_t seed)
{
    const unsigned char *at = bytes;
    uint64_t hash = seed ^ length * UINT64_C(0x9e3779b97f4a7c15), word;

    for (; length > 8; length -= 8, at += 8) {
        memcpy(&word, at, 8);
        hash = pl_mix(hash ^ word, UINT64_C(0xa0761d6478bd642f));
    }
    word = 0;
    memcpy(&word, at, length);
    return pl_mix(hash ^ word, UINT64_C(0xe7037ed1a0b428db));
}

#endif

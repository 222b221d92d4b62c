/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Digests through OpenSSL's EVP: several algorithms in one pass over the bytes. A digester owns the fetched algorithms
 * and their contexts, made at first use and kept from file to file. Knows names, lengths and hex of algorithms; must not
 * know where bytes come from.
 *
 * Invariant: the table below is the only list of algorithms here; sha256 is its first row and slot 0 of each set.
 */
#include "src/file/digest.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <stdlib.h>
#include <string.h>

#include "src/base/cleanup.h"
#include "src/base/error.h"

/* With several algorithms each slice is still in the nearest cache when the next one reads it. */
#define SLICE 16384

static const struct algorithm {
    pl_algorithm algorithm;
    uint32_t length;
    const char *name;
} algorithms_known[PL_ALGORITHM_COUNT] = {
    {PL_SHA256, 32, "sha256"},
    {PL_MD5, 16, "md5"},
    {PL_SHA1, 20, "sha1"},
    {PL_SHA512, 64, "sha512"},
};

#define ALL_ALGORITHMS ((uint32_t)(PL_SHA256 | PL_MD5 | PL_SHA1 | PL_SHA512))

struct pl_digester {
    EVP_MD *methods[PL_ALGORITHM_COUNT];
    EVP_MD_CTX *contexts[PL_ALGORITHM_COUNT];
    size_t active[PL_ALGORITHM_COUNT]; /* rows of the table that this pass computes */
    size_t n_active;
};

static const struct algorithm *find_algorithm(uint32_t algorithm)
{
    for (size_t i = 0; i < PL_ALGORITHM_COUNT; i++)
        if ((uint32_t)algorithms_known[i].algorithm == algorithm)
            return &algorithms_known[i];
    return NULL;
}

/* The algorithm and its context, both or neither. */
static int prepare(pl_digester *digester, size_t i)
{
    if (digester->contexts[i])
        return 0;
    EVP_MD *method = EVP_MD_fetch(NULL, algorithms_known[i].name, NULL);
    if (!method)
        return pl_error_set(PL_ERR_UNSUPPORTED, "OpenSSL offers no %s", algorithms_known[i].name);
    EVP_MD_CTX *context = EVP_MD_CTX_new();
    if (!context) {
        EVP_MD_free(method);
        return pl_error_nomem();
    }
    digester->methods[i] = method;
    digester->contexts[i] = context;
    return 0;
}

int pl_digester_new(pl_digester **out)
{
    pl_digester *digester = calloc(1, sizeof(*digester));

    if (!digester)
        return pl_error_nomem();
    int rc = prepare(digester, 0);
    if (rc < 0) {
        pl_digester_free(digester);
        return rc;
    }
    *out = digester;
    return 0;
}

pl_digester *pl_digester_free(pl_digester *digester)
{
    if (!digester)
        return NULL;
    for (size_t i = 0; i < PL_ALGORITHM_COUNT; i++) {
        EVP_MD_CTX_free(digester->contexts[i]);
        EVP_MD_free(digester->methods[i]);
    }
    free(digester);
    return NULL;
}

void pl_digest_thread_stop(void)
{
    OPENSSL_thread_stop();
}

int pl_digester_start(pl_digester *digester, uint32_t algorithms)
{
    if (algorithms & ~ALL_ALGORITHMS)
        return pl_error_set(PL_ERR_INVALID, "unknown digest algorithm in mask %#x", algorithms);
    algorithms |= PL_SHA256;
    digester->n_active = 0;
    for (size_t i = 0; i < PL_ALGORITHM_COUNT; i++) {
        if (!(algorithms & (uint32_t)algorithms_known[i].algorithm))
            continue;
        int rc = prepare(digester, i);
        if (rc < 0)
            return rc;
        if (EVP_DigestInit_ex2(digester->contexts[i], digester->methods[i], NULL) != 1)
            return pl_error_set(PL_ERR_SYSTEM, "OpenSSL cannot start %s", algorithms_known[i].name);
        digester->active[digester->n_active++] = i;
    }
    return 0;
}

int pl_digester_update(pl_digester *digester, const void *bytes, size_t length)
{
    const unsigned char *at = bytes;
    size_t slice = digester->n_active > 1 ? SLICE : length;

    while (length > 0) {
        size_t n = length < slice ? length : slice;
        for (size_t i = 0; i < digester->n_active; i++)
            if (EVP_DigestUpdate(digester->contexts[digester->active[i]], at, n) != 1)
                return pl_error_set(PL_ERR_SYSTEM, "OpenSSL cannot digest");
        at += n;
        length -= n;
    }
    return 0;
}

int pl_digester_finish(pl_digester *digester, pl_digest_set *out)
{
    pl_digest_set set = {0};

    for (size_t i = 0; i < digester->n_active; i++) {
        const struct algorithm *known = &algorithms_known[digester->active[i]];
        unsigned length = 0;
        if (EVP_DigestFinal_ex(digester->contexts[digester->active[i]], set.digests[i].bytes, &length) != 1 ||
            length != known->length)
            return pl_error_set(PL_ERR_SYSTEM, "OpenSSL cannot finish %s", known->name);
        set.digests[i].algorithm = (uint32_t)known->algorithm;
        set.digests[i].length = known->length;
    }
    digester->n_active = 0;
    *out = set;
    return 0;
}

const pl_digest *pl_digest_find(const pl_digest_set *set, pl_algorithm algorithm)
{
    for (size_t i = 0; i < PL_ALGORITHM_COUNT; i++)
        if (set->digests[i].algorithm == (uint32_t)algorithm && algorithm != 0)
            return &set->digests[i];
    return NULL;
}

uint32_t pl_digest_set_algorithms(const pl_digest_set *set)
{
    uint32_t mask = 0;

    for (size_t i = 0; i < PL_ALGORITHM_COUNT; i++)
        mask |= set->digests[i].algorithm;
    return mask;
}

const char *pl_algorithm_name(pl_algorithm algorithm)
{
    const struct algorithm *known = find_algorithm((uint32_t)algorithm);

    return known ? known->name : NULL;
}

int pl_algorithms_parse(const char *list, uint32_t *out)
{
    uint32_t mask = 0;

    for (const char *word = list;;) {
        size_t length = strcspn(word, ","), i = 0;
        while (i < PL_ALGORITHM_COUNT &&
               (strlen(algorithms_known[i].name) != length || strncmp(algorithms_known[i].name, word, length) != 0))
            i++;
        if (i == PL_ALGORITHM_COUNT)
            return pl_error_set(PL_ERR_INVALID, "unknown digest algorithm '%.*s'", (int)(length < 64 ? length : 64),
                                word);
        mask |= (uint32_t)algorithms_known[i].algorithm;
        if (word[length] == '\0')
            break;
        word += length + 1;
    }
    *out = mask;
    return 0;
}

int pl_hex(const pl_digest *digest, char out[129])
{
    static const char digits[] = "0123456789abcdef";
    uint32_t n = digest->length < PL_DIGEST_MAX ? digest->length : PL_DIGEST_MAX;

    for (uint32_t i = 0; i < n; i++) {
        out[2 * i] = digits[digest->bytes[i] >> 4];
        out[2 * i + 1] = digits[digest->bytes[i] & 15];
    }
    out[2 * n] = '\0';
    return (int)(2 * n);
}

static int hex_value(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    if (c >= 'A' && c <= 'F')
        return c - 'A' + 10;
    return -1;
}

int pl_digest_from_hex(pl_algorithm algorithm, const char *hex, pl_digest *out)
{
    const struct algorithm *known = find_algorithm((uint32_t)algorithm);
    pl_digest digest = {0};

    if (!known)
        return pl_error_set(PL_ERR_INVALID, "unknown digest algorithm %d", (int)algorithm);
    digest.algorithm = (uint32_t)algorithm;
    digest.length = known->length;
    if (strnlen(hex, 2 * PL_DIGEST_MAX + 1) != 2 * (size_t)known->length)
        return pl_error_set(PL_ERR_INVALID, "a %s has %u hex digits", known->name, 2 * known->length);
    for (uint32_t i = 0; i < known->length; i++) {
        int high = hex_value(hex[2 * i]), low = hex_value(hex[2 * i + 1]);
        if (high < 0 || low < 0)
            return pl_error_set(PL_ERR_INVALID, "not a hex digit in a %s", known->name);
        digest.bytes[i] = (uint8_t)(high << 4 | low);
    }
    *out = digest;
    return 0;
}

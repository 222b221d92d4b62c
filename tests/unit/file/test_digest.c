/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Digests against the published vectors (FIPS 180-4 and its examples, RFC 1321, RFC 6234), in one pass and in pieces;
 * names and hex. OpenSSL's own allocations are led through the countdown too, so that each of them fails once.
 */
#include "src/file/digest.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>

#include <ctype.h>
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "src/base/error.h"
#include "tests/support/fault.h"

#define ALL (PL_SHA256 | PL_MD5 | PL_SHA1 | PL_SHA512)
#define TWO_BLOCKS "abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq"
#define MILLION 1000000

static const pl_algorithm algorithms[] = {PL_SHA256, PL_MD5, PL_SHA1, PL_SHA512};
static const char *const names[] = {"sha256", "md5", "sha1", "sha512"};
static const uint32_t lengths[] = {32, 16, 20, 64};

typedef struct vector {
    const char *text; /* NULL: a million times "a" */
    const char *hex[4];
} vector;

static const vector vectors[] = {
    {"",
     {"e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855", "d41d8cd98f00b204e9800998ecf8427e",
      "da39a3ee5e6b4b0d3255bfef95601890afd80709",
      "cf83e1357eefb8bdf1542850d66d8007d620e4050b5715dc83f4a921d36ce9ce"
      "47d0d13c5d85f2b0ff8318d2877eec2f63b931bd47417a81a538327af927da3e"}},
    {"abc",
     {"ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad", "900150983cd24fb0d6963f7d28e17f72",
      "a9993e364706816aba3e25717850c26c9cd0d89d",
      "ddaf35a193617abacc417349ae20413112e6fa4e89a97ea20a9eeee64b55d39a"
      "2192992a274fc1a836ba3c23a3feebbd454d4423643ce80e2a9ac94fa54ca49f"}},
    {TWO_BLOCKS,
     {"248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1", "8215ef0796a20bcaaae116d3876c664a",
      "84983e441c3bd26ebaae4aa1f95129e5e54670f1",
      "204a8fc6dda82f0a0ced7beb8e08a41657c16ef468b228a8279be331a703c335"
      "96fd15c13b1b07f9aa1d3bea57789ca031ad85c7a71dd70354ec631238ca3445"}},
    {NULL,
     {"cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0", "7707d6ae4e027c70eea2a935c2296f21",
      "34aa973cd4c4daa4f61eeb2bdbad27316534016f",
      "e718483d0ce769644e2e42c7bc15b4638e1f98b13b2044285632a803afa973eb"
      "de0ff244877ea60a4cb0432ce577c31beb009c5c2c49aa2e4eadb217ad8cc09b"}},
};
#define N_VECTORS (sizeof(vectors) / sizeof(*vectors))

static char *million_times_a;

/* The bytes of a vector. */
static const char *bytes_of(const vector *v, size_t *length)
{
    *length = v->text ? strlen(v->text) : MILLION;
    return v->text ? v->text : million_times_a;
}

static pl_digester *new_digester(void)
{
    pl_digester *digester = NULL;

    assert_int_equal(pl_digester_new(&digester), 0);
    assert_non_null(digester);
    return digester;
}

static pl_digest_set digest_in_pieces(pl_digester *digester, uint32_t mask, const char *bytes, size_t length,
                                      size_t piece)
{
    pl_digest_set set;

    memset(&set, 0xa5, sizeof(set));
    assert_int_equal(pl_digester_start(digester, mask), 0);
    for (size_t at = 0; at < length; at += piece)
        assert_int_equal(pl_digester_update(digester, bytes + at, length - at < piece ? length - at : piece), 0);
    assert_int_equal(pl_digester_finish(digester, &set), 0);
    return set;
}

/* The set holds the algorithms of mask and sha256, in slots of their own, sha256 first, the other slots all zero. */
static void check_set(const pl_digest_set *set, uint32_t mask, const vector *v)
{
    static const pl_digest none;
    size_t filled = 0;

    mask |= PL_SHA256;
    assert_int_equal(pl_digest_set_algorithms(set), mask);
    assert_int_equal(set->digests[0].algorithm, PL_SHA256);
    for (size_t i = 0; i < PL_ALGORITHM_COUNT; i++)
        if (set->digests[i].algorithm == 0)
            assert_memory_equal(&set->digests[i], &none, sizeof(none));
        else
            filled++;
    for (size_t i = 0; i < 4; i++) {
        const pl_digest *digest = pl_digest_find(set, algorithms[i]);
        char hex[129];
        if (!(mask & algorithms[i])) {
            assert_null(digest);
            continue;
        }
        filled--;
        assert_non_null(digest);
        assert_int_equal(digest->length, lengths[i]);
        assert_int_equal(pl_hex(digest, hex), 2 * lengths[i]);
        assert_string_equal(hex, v->hex[i]);
    }
    assert_int_equal(filled, 0);
}

static void test_published_vectors(void **state)
{
    pl_digester *digester = new_digester();

    (void)state;
    for (size_t i = 0; i < N_VECTORS; i++) {
        size_t length;
        const char *bytes = bytes_of(&vectors[i], &length);
        pl_digest_set set = digest_in_pieces(digester, ALL, bytes, length, length ? length : 1);
        check_set(&set, ALL, &vectors[i]);
    }
    pl_digester_free(digester);
}

static void test_every_mask_in_one_pass(void **state)
{
    pl_digester *digester = new_digester();

    (void)state;
    for (uint32_t mask = 0; mask <= ALL; mask++)
        for (size_t i = 0; i < 3; i++) {
            pl_digest_set set = digest_in_pieces(digester, mask, vectors[i].text, strlen(vectors[i].text), 1000);
            check_set(&set, mask, &vectors[i]);
        }
    pl_digester_free(digester);
}

/* Pieces around the slice in which several algorithms take turns, and around their blocks. */
static void test_pieces_make_the_same_digest(void **state)
{
    static const size_t pieces[] = {7, 63, 64, 65, 4096, 16383, 16384, 16385, 65536, 262144, 999999};
    pl_digester *digester = new_digester();

    (void)state;
    for (size_t i = 0; i < sizeof(pieces) / sizeof(*pieces); i++)
        for (uint32_t mask = PL_SHA256; mask <= ALL; mask += ALL - PL_SHA256) {
            pl_digest_set set = digest_in_pieces(digester, mask, million_times_a, MILLION, pieces[i]);
            check_set(&set, mask, &vectors[3]);
        }
    pl_digest_set set = digest_in_pieces(digester, ALL, TWO_BLOCKS, strlen(TWO_BLOCKS), 1);
    check_set(&set, ALL, &vectors[2]);
    pl_digester_free(digester);
}

/* Bytes that differ from slice to slice: in one piece, in which the algorithms take turns, and in small ones. */
static void test_every_slice_is_digested_once_and_in_order(void **state)
{
    pl_digester *digester = new_digester();
    size_t n = 3 * 16384 + 5;
    char *bytes = malloc(n);

    (void)state;
    assert_non_null(bytes);
    for (size_t i = 0; i < n; i++)
        bytes[i] = (char)(i / 251);
    pl_digest_set pieces = digest_in_pieces(digester, ALL, bytes, n, 1000),
                  whole = digest_in_pieces(digester, ALL, bytes, n, n),
                  alone = digest_in_pieces(digester, PL_SHA256, bytes, n, n);
    assert_memory_equal(&whole, &pieces, sizeof(whole));
    assert_memory_equal(&alone.digests[0], &pieces.digests[0], sizeof(pl_digest));
    free(bytes);
    pl_digester_free(digester);
}

static void test_empty_updates_change_nothing(void **state)
{
    pl_digester *digester = new_digester();
    pl_digest_set set;

    (void)state;
    assert_int_equal(pl_digester_start(digester, ALL), 0);
    assert_int_equal(pl_digester_update(digester, "", 0), 0);
    assert_int_equal(pl_digester_update(digester, "abc", 3), 0);
    assert_int_equal(pl_digester_update(digester, "", 0), 0);
    assert_int_equal(pl_digester_finish(digester, &set), 0);
    check_set(&set, ALL, &vectors[1]);
    pl_digester_free(digester);
}

static void test_start_begins_anew(void **state)
{
    pl_digester *digester = new_digester();
    pl_digest_set set;

    (void)state;
    assert_int_equal(pl_digester_start(digester, ALL), 0);
    assert_int_equal(pl_digester_update(digester, "given up", 8), 0);
    set = digest_in_pieces(digester, PL_SHA1, "abc", 3, 3); /* nothing of the pass before, and fewer algorithms */
    check_set(&set, PL_SHA1, &vectors[1]);
    set = digest_in_pieces(digester, ALL, "abc", 3, 3);
    check_set(&set, ALL, &vectors[1]);
    pl_digester_free(digester);
}

static void test_unknown_algorithms_are_refused(void **state)
{
    pl_digester *digester = new_digester();

    (void)state;
    assert_int_equal(pl_digester_start(digester, 16), PL_ERR_INVALID);
    assert_non_null(strstr(pl_error_message(), "0x10"));
    assert_int_equal(pl_digester_start(digester, ALL | 0x80000000u), PL_ERR_INVALID);
    pl_digest_set set = digest_in_pieces(digester, PL_MD5, "abc", 3, 3);
    check_set(&set, PL_MD5, &vectors[1]);
    pl_digester_free(digester);
}

/* As on a machine in FIPS mode: what OpenSSL does not offer is said by name, the rest goes on. */
static void test_what_openssl_does_not_offer_is_unsupported(void **state)
{
    pl_digester *digester = new_digester(), *none = (pl_digester *)(uintptr_t)16;

    (void)state;
    assert_int_equal(EVP_set_default_properties(NULL, "provider=nosuch"), 1);
    int md5 = pl_digester_start(digester, PL_MD5);
    bool named = strstr(pl_error_message(), "md5") != NULL;
    int sha256 = pl_digester_start(digester, PL_SHA256); /* was fetched before */
    int fresh = pl_digester_new(&none);
    assert_int_equal(EVP_set_default_properties(NULL, NULL), 1);
    assert_int_equal(md5, PL_ERR_UNSUPPORTED);
    assert_true(named);
    assert_int_equal(sha256, 0);
    assert_int_equal(fresh, PL_ERR_UNSUPPORTED);
    assert_ptr_equal(none, (void *)(uintptr_t)16);
    pl_digest_set set = digest_in_pieces(digester, ALL, "abc", 3, 3);
    check_set(&set, ALL, &vectors[1]);
    pl_digester_free(digester);
}

static void test_free_takes_null_and_unused_ones(void **state)
{
    (void)state;
    assert_null(pl_digester_free(NULL));
    assert_null(pl_digester_free(new_digester()));
    pl_digester *started = new_digester();
    assert_int_equal(pl_digester_start(started, ALL), 0);
    assert_null(pl_digester_free(started));
}

/* From the making of a digester to its result; the code of the step that failed, or 0. */
static int whole_run(pl_digester **digester, pl_digest_set *set)
{
    int rc = pl_digester_new(digester);

    if (rc == 0)
        rc = pl_digester_start(*digester, ALL);
    if (rc == 0)
        rc = pl_digester_update(*digester, "abc", 3);
    return rc == 0 ? pl_digester_finish(*digester, set) : rc;
}

/* Ours and OpenSSL's allocations fail in turn. */
static void test_every_allocation_may_fail(void **state)
{
    unsigned n, failures = 0;

    (void)state;
    for (n = 1; pl_fault_arm(PL_FAULT_ALLOC, n, ENOMEM); n++) {
        pl_digester *digester = NULL;
        pl_digest_set set, before;
        memset(&set, 0xa5, sizeof(set));
        before = set;
        int rc = whole_run(&digester, &set);
        bool fired = pl_fault_fired();
        pl_fault_disarm();
        if (rc == 0) {
            check_set(&set, ALL, &vectors[1]);
        } else {
            failures++;
            assert_true(fired);
            assert_memory_equal(&set, &before, sizeof(set));
            /* Of its own allocations OpenSSL 3.0 says no more than that it could not start. */
            assert_true(rc == PL_ERR_NOMEM || (n > 1 && rc == PL_ERR_SYSTEM));
        }
        if (digester) { /* it can be used once there is memory */
            pl_digest_set again = digest_in_pieces(digester, ALL, TWO_BLOCKS, strlen(TWO_BLOCKS), 9);
            check_set(&again, ALL, &vectors[2]);
            pl_digester_free(digester);
        }
        if (!fired)
            break;
    }
    pl_fault_disarm();
    assert_true(n > 5); /* the digester and a context for each algorithm, at least */
    assert_true(failures > 4);
}

static void test_names_of_algorithms(void **state)
{
    (void)state;
    for (size_t i = 0; i < 4; i++)
        assert_string_equal(pl_algorithm_name(algorithms[i]), names[i]);
    assert_null(pl_algorithm_name((pl_algorithm)0));
    assert_null(pl_algorithm_name((pl_algorithm)3)); /* a mask is no algorithm */
    assert_null(pl_algorithm_name((pl_algorithm)16));
}

static void test_empty_slots_are_never_found(void **state)
{
    const pl_digest_set empty = {0};

    (void)state;
    assert_null(pl_digest_find(&empty, (pl_algorithm)0));
    assert_null(pl_digest_find(&empty, PL_SHA256));
    assert_int_equal(pl_digest_set_algorithms(&empty), 0);
}

static void test_lists_are_parsed(void **state)
{
    static const struct {
        const char *list;
        uint32_t mask;
    } cases[] = {{"sha256", PL_SHA256},
                 {"md5", PL_MD5},
                 {"sha256,md5", PL_SHA256 | PL_MD5},
                 {"sha512,sha1,md5,sha256", ALL},
                 {"md5,md5", PL_MD5}};

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        uint32_t mask = 77;
        assert_int_equal(pl_algorithms_parse(cases[i].list, &mask), 0);
        assert_int_equal(mask, cases[i].mask);
    }
}

static void test_errors_in_lists_name_the_word(void **state)
{
    static const struct {
        const char *list, *word;
    } cases[] = {{"", "''"},
                 {"sha3", "'sha3'"},
                 {"sha256,crc32,md5", "'crc32'"},
                 {"sha256,", "''"},
                 {",sha256", "''"},
                 {"sha256,,md5", "''"},
                 {"sha25", "'sha25'"},
                 {"sha2566", "'sha2566'"},
                 {"SHA256", "'SHA256'"},
                 {"sha256, md5", "' md5'"}};
    char longword[200], cut[70];
    uint32_t mask = 77;

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        assert_int_equal(pl_algorithms_parse(cases[i].list, &mask), PL_ERR_INVALID);
        assert_int_equal(mask, 77);
        assert_non_null(strstr(pl_error_message(), cases[i].word));
    }
    memset(longword, 'w', sizeof(longword) - 1);
    longword[sizeof(longword) - 1] = '\0';
    assert_int_equal(pl_algorithms_parse(longword, &mask), PL_ERR_INVALID);
    (void)snprintf(cut, sizeof(cut), "'%.64s'", longword);
    assert_non_null(strstr(pl_error_message(), cut)); /* a word of kilobytes does not fill the message */
}

static void test_hex_there_and_back(void **state)
{
    (void)state;
    for (size_t v = 0; v < N_VECTORS; v++)
        for (size_t i = 0; i < 4; i++) {
            pl_digest lower = {0}, upper = {0}, mixed = {0};
            char text[129], hex[129];
            assert_int_equal(pl_digest_from_hex(algorithms[i], vectors[v].hex[i], &lower), 0);
            assert_int_equal(lower.algorithm, algorithms[i]);
            assert_int_equal(lower.length, lengths[i]);
            (void)stpcpy(text, vectors[v].hex[i]);
            for (char *p = text; *p; p++)
                if (p - text > 5)
                    *p = (char)toupper((unsigned char)*p);
            assert_int_equal(pl_digest_from_hex(algorithms[i], text, &mixed), 0);
            for (char *p = text; *p; p++)
                *p = (char)toupper((unsigned char)*p);
            assert_int_equal(pl_digest_from_hex(algorithms[i], text, &upper), 0);
            assert_memory_equal(&lower, &upper, sizeof(lower));
            assert_memory_equal(&lower, &mixed, sizeof(lower));
            assert_int_equal(pl_hex(&lower, hex), 2 * lengths[i]);
            assert_string_equal(hex, vectors[v].hex[i]); /* always lower case */
        }
}

static void test_hex_of_wrong_length_is_refused(void **state)
{
    char text[200];
    pl_digest digest, before;

    (void)state;
    memset(&digest, 0xa5, sizeof(digest));
    before = digest;
    for (size_t i = 0; i < 4; i++)
        for (size_t n = 0; n < sizeof(text); n++) {
            memset(text, 'a', n);
            text[n] = '\0';
            if (n == 2 * lengths[i])
                continue;
            assert_int_equal(pl_digest_from_hex(algorithms[i], text, &digest), PL_ERR_INVALID);
            assert_non_null(strstr(pl_error_message(), names[i]));
        }
    assert_memory_equal(&digest, &before, sizeof(digest));
}

static void test_every_bad_digit_is_refused(void **state)
{
    char text[33];
    pl_digest digest, before;
    unsigned good = 0;

    (void)state;
    memset(&digest, 0xa5, sizeof(digest));
    before = digest;
    for (int c = 1; c < 256; c++)
        for (size_t at = 0; at < 32; at += 31) { /* the first digit and the last, a high and a low one */
            (void)stpcpy(text, vectors[0].hex[1]);
            text[at] = (char)c;
            pl_digest out = before;
            int rc = pl_digest_from_hex(PL_MD5, text, &out);
            assert_int_equal(rc, isxdigit(c) ? 0 : PL_ERR_INVALID);
            good += rc == 0;
            if (rc != 0)
                assert_memory_equal(&out, &before, sizeof(out));
        }
    assert_int_equal(good, 2 * 22);
}

static void test_hex_of_no_known_algorithm_is_refused(void **state)
{
    pl_digest digest, before;

    (void)state;
    memset(&digest, 0xa5, sizeof(digest));
    before = digest;
    assert_int_equal(pl_digest_from_hex((pl_algorithm)0, "", &digest), PL_ERR_INVALID);
    assert_int_equal(pl_digest_from_hex((pl_algorithm)3, vectors[0].hex[1], &digest), PL_ERR_INVALID);
    assert_memory_equal(&digest, &before, sizeof(digest));
}

static void test_hex_stays_within_its_buffer(void **state)
{
    char *out = malloc(129); /* of the promised size exactly, for the sanitizer */
    pl_digest digest = {.algorithm = PL_SHA512, .length = 64};

    (void)state;
    assert_non_null(out);
    memset(digest.bytes, 0xf0, sizeof(digest.bytes));
    assert_int_equal(pl_hex(&digest, out), 128);
    assert_int_equal(strspn(out, "f0"), 128);
    digest.length = UINT32_MAX; /* from whoever filled it */
    assert_int_equal(pl_hex(&digest, out), 128);
    digest.length = 0;
    assert_int_equal(pl_hex(&digest, out), 0);
    assert_string_equal(out, "");
    free(out);
}

/* Calls that the linker redirects, unlike those inside of libcrypto. */
static void *counted_malloc(size_t size, const char *file, int line)
{
    (void)file;
    (void)line;
    return malloc(size);
}

static void *counted_realloc(void *memory, size_t size, const char *file, int line)
{
    (void)file;
    (void)line;
    return realloc(memory, size);
}

static void counted_free(void *memory, const char *file, int line)
{
    (void)file;
    (void)line;
    free(memory);
}

static int set_up_all(void **state)
{
    (void)state;
    million_times_a = malloc(MILLION);
    if (!million_times_a)
        return -1;
    memset(million_times_a, 'a', MILLION);
    return 0;
}

static int tear_down_all(void **state)
{
    (void)state;
    free(million_times_a);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_published_vectors),
        cmocka_unit_test(test_every_mask_in_one_pass),
        cmocka_unit_test(test_pieces_make_the_same_digest),
        cmocka_unit_test(test_every_slice_is_digested_once_and_in_order),
        cmocka_unit_test(test_empty_updates_change_nothing),
        cmocka_unit_test(test_start_begins_anew),
        cmocka_unit_test(test_unknown_algorithms_are_refused),
        cmocka_unit_test(test_what_openssl_does_not_offer_is_unsupported),
        cmocka_unit_test(test_free_takes_null_and_unused_ones),
        cmocka_unit_test(test_every_allocation_may_fail),
        cmocka_unit_test(test_names_of_algorithms),
        cmocka_unit_test(test_empty_slots_are_never_found),
        cmocka_unit_test(test_lists_are_parsed),
        cmocka_unit_test(test_errors_in_lists_name_the_word),
        cmocka_unit_test(test_hex_there_and_back),
        cmocka_unit_test(test_hex_of_wrong_length_is_refused),
        cmocka_unit_test(test_every_bad_digit_is_refused),
        cmocka_unit_test(test_hex_of_no_known_algorithm_is_refused),
        cmocka_unit_test(test_hex_stays_within_its_buffer),
    };

    if (CRYPTO_set_mem_functions(counted_malloc, counted_realloc, counted_free) != 1) {
        (void)fprintf(stderr, "OpenSSL has allocated already: its failures cannot be counted\n");
        return 1;
    }
    return cmocka_run_group_tests_name("digest", tests, set_up_all, tear_down_all);
}

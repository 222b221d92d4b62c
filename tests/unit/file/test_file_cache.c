/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The hot cache: exact counts of what happened, limits and who goes first, days of paths, failures of memory at every
 * point; and a random walk, with a fixed seed, next to a cache made of two plain lists. The lists cannot know which
 * entry a full cache evicts: they look which one is gone, and that one only may be.
 */
#include "src/file/file_cache.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "src/base/error.h"
#include "tests/support/fault.h"

#define NEVER INT64_MIN /* looks without moving last_seen */
#define NS 7u           /* a mount namespace */

static pl_file_cache *new_cache(size_t limit)
{
    pl_file_cache *cache = NULL;

    assert_int_equal(pl_file_cache_new(limit, &cache), 0);
    assert_non_null(cache);
    return cache;
}

static pl_identity identity_of(unsigned n)
{
    return (pl_identity){.inode = n, .size = 100, .mtime_ns = 5, .ctime_ns = 1000 + (int64_t)n, .dev_major = 8};
}

/* A file whose bytes tell n and version. */
static pl_cached_file file_of(unsigned n, unsigned version)
{
    pl_cached_file file = {
        .identity = identity_of(n), .assurance = PL_ASSURANCE_PROBED, .tier = n % 2 ? PL_TIER_A : PL_TIER_B};
    pl_digest *sha256 = &file.digests.digests[0];

    *sha256 = (pl_digest){.algorithm = PL_SHA256, .length = 32};
    memcpy(sha256->bytes, &n, sizeof(n));
    memcpy(sha256->bytes + 28, &version, sizeof(version));
    return file;
}

static void add_digest(pl_cached_file *file, size_t slot, pl_algorithm algorithm, uint32_t length)
{
    file->digests.digests[slot] = (pl_digest){.algorithm = algorithm, .length = length};
    memset(file->digests.digests[slot].bytes, (int)algorithm, length);
}

static void insert(pl_file_cache *cache, unsigned n, int64_t now)
{
    const pl_cached_file file = file_of(n, 0);

    assert_int_equal(pl_file_cache_insert(cache, &file, now), 0);
}

static void bind_to(pl_file_cache *cache, const char *path, unsigned n, int64_t now)
{
    const pl_identity identity = identity_of(n);

    assert_int_equal(pl_file_cache_bind(cache, path, NS, &identity, now), 0);
}

static bool has(pl_file_cache *cache, unsigned n)
{
    const pl_identity identity = identity_of(n);
    pl_cached_file out;

    return pl_file_cache_find(cache, &identity, NEVER, &out);
}

static bool has_path(pl_file_cache *cache, const char *path)
{
    pl_cached_file out;

    return pl_file_cache_find_path(cache, path, NS, &out);
}

static pl_file_cache_stats stats_of(const pl_file_cache *cache)
{
    pl_file_cache_stats stats;

    pl_file_cache_stats_get(cache, &stats);
    return stats;
}

/* The whole of it except bytes: whatever is not named is 0. */
static void check_stats(const pl_file_cache *cache, pl_file_cache_stats expected)
{
    pl_file_cache_stats stats = stats_of(cache);

    assert_int_equal(stats.hits_identity, expected.hits_identity);
    assert_int_equal(stats.hits_path, expected.hits_path);
    assert_int_equal(stats.misses, expected.misses);
    assert_int_equal(stats.stale, expected.stale);
    assert_int_equal(stats.inserted, expected.inserted);
    assert_int_equal(stats.evicted, expected.evicted);
    assert_int_equal(stats.rotated, expected.rotated);
    assert_int_equal(stats.dropped, expected.dropped);
    assert_int_equal(stats.entries, expected.entries);
    assert_int_equal(stats.paths, expected.paths);
    assert_int_equal(stats.expired, expected.expired);
    assert_int_equal(stats.evicted_paths, expected.evicted_paths);
    assert_int_equal(stats.inserted, stats.evicted + stats.dropped + stats.expired + stats.entries);
}

static void check_same_file(const pl_cached_file *a, const pl_cached_file *b)
{
    assert_memory_equal(&a->identity, &b->identity, sizeof(a->identity));
    assert_memory_equal(&a->digests, &b->digests, sizeof(a->digests));
    assert_int_equal(a->assurance, b->assurance);
    assert_int_equal(a->tier, b->tier);
}

static void test_hits_and_misses_are_counted(void **state)
{
    pl_file_cache *cache = new_cache(10);

    (void)state;
    check_stats(cache, (pl_file_cache_stats){0});
    assert_false(has(cache, 1));
    assert_false(has_path(cache, "/a"));
    check_stats(cache, (pl_file_cache_stats){.misses = 2});
    insert(cache, 1, 0);
    assert_true(has(cache, 1));
    assert_true(has(cache, 1));
    assert_false(has_path(cache, "/a")); /* known by identity alone */
    bind_to(cache, "/a", 1, 0);
    assert_true(has_path(cache, "/a"));
    assert_false(has_path(cache, "/b"));
    assert_false(has(cache, 2));
    check_stats(cache, (pl_file_cache_stats){
                           .hits_identity = 2, .hits_path = 1, .misses = 5, .inserted = 1, .entries = 1, .paths = 1});
    pl_file_cache_free(cache);
}

static void test_answer_is_what_was_put_in(void **state)
{
    pl_file_cache *cache = new_cache(10);
    pl_cached_file in = file_of(1, 9), out;

    (void)state;
    in.identity.mode = 0100755;
    in.identity.nlink = 3;
    in.identity.uid = 4;
    in.identity.gid = 5;
    in.assurance = PL_ASSURANCE_STAT;
    add_digest(&in, 1, PL_MD5, 16);
    add_digest(&in, 2, PL_SHA1, 20);
    add_digest(&in, 3, PL_SHA512, 64);
    assert_int_equal(pl_file_cache_insert(cache, &in, 0), 0);
    bind_to(cache, "/a", 1, 0);
    memset(&out, 0xa5, sizeof(out));
    assert_true(pl_file_cache_find(cache, &in.identity, 0, &out));
    check_same_file(&out, &in);
    memset(&out, 0xa5, sizeof(out));
    assert_true(pl_file_cache_find_path(cache, "/a", NS, &out));
    check_same_file(&out, &in);

    /* With sha256 alone the other slots come out empty, whatever lay in *out. */
    in = file_of(2, 1);
    assert_int_equal(pl_file_cache_insert(cache, &in, 0), 0);
    memset(&out, 0xa5, sizeof(out));
    assert_true(pl_file_cache_find(cache, &in.identity, 0, &out));
    check_same_file(&out, &in);
    pl_file_cache_free(cache);
}

static void test_sha256_is_found_in_any_slot(void **state)
{
    pl_file_cache *cache = new_cache(10);
    pl_cached_file in = file_of(1, 0), out;

    (void)state;
    in.digests.digests[2] = in.digests.digests[0];
    in.digests.digests[0] = (pl_digest){0};
    add_digest(&in, 0, PL_MD5, 16);
    assert_int_equal(pl_file_cache_insert(cache, &in, 0), 0);
    assert_true(pl_file_cache_find(cache, &in.identity, 0, &out));
    assert_int_equal(out.digests.digests[0].algorithm, PL_SHA256);
    assert_memory_equal(&out.digests.digests[0], &in.digests.digests[2], sizeof(pl_digest));
    assert_memory_equal(pl_digest_find(&out.digests, PL_MD5), &in.digests.digests[0], sizeof(pl_digest));
    pl_file_cache_free(cache);
}

static void test_attributes_are_no_part_of_the_key(void **state)
{
    pl_file_cache *cache = new_cache(10);
    pl_identity asked = identity_of(1);
    pl_cached_file in = file_of(1, 0), out;

    (void)state;
    insert(cache, 1, 0);
    asked.uid = 1000;
    asked.mode = 0100755;
    asked.nlink = 2;
    assert_true(pl_file_cache_find(cache, &asked, 0, &out));
    /* Put in again, the newer attributes are kept; it is no new entry. */
    in.identity.uid = 1000;
    assert_int_equal(pl_file_cache_insert(cache, &in, 0), 0);
    assert_true(pl_file_cache_find(cache, &asked, 0, &out));
    assert_int_equal(out.identity.uid, 1000);
    check_stats(cache, (pl_file_cache_stats){.hits_identity = 2, .inserted = 1, .entries = 1});
    asked.ctime_ns++;
    assert_false(pl_file_cache_find(cache, &asked, 0, &out));
    pl_file_cache_free(cache);
}

static void test_replacing_keeps_the_paths(void **state)
{
    pl_file_cache *cache = new_cache(10);
    pl_cached_file more = file_of(1, 2), less = file_of(1, 3), out;

    (void)state;
    insert(cache, 1, 0);
    bind_to(cache, "/a", 1, 0);
    bind_to(cache, "/b", 1, 0);
    add_digest(&more, 1, PL_MD5, 16);
    assert_int_equal(pl_file_cache_insert(cache, &more, 0), 0);
    assert_true(pl_file_cache_find_path(cache, "/a", NS, &out));
    check_same_file(&out, &more);
    uint64_t bytes = stats_of(cache).bytes;
    assert_int_equal(pl_file_cache_insert(cache, &less, 0), 0);
    assert_true(pl_file_cache_find_path(cache, "/b", NS, &out));
    check_same_file(&out, &less);
    assert_true(stats_of(cache).bytes < bytes); /* the other digests went */
    check_stats(cache, (pl_file_cache_stats){.hits_path = 2, .inserted = 1, .entries = 1, .paths = 2});
    pl_file_cache_free(cache);
}

static void test_file_without_sha256_is_refused(void **state)
{
    pl_file_cache *cache = new_cache(10);
    const pl_identity first_identity = identity_of(1);
    pl_cached_file bad = file_of(1, 1), out;

    (void)state;
    insert(cache, 1, 0);
    bad.digests.digests[0].algorithm = PL_MD5;
    assert_int_equal(pl_file_cache_insert(cache, &bad, 0), PL_ERR_INVALID);
    bad.identity.inode = 2;
    assert_int_equal(pl_file_cache_insert(cache, &bad, 0), PL_ERR_INVALID);
    assert_false(has(cache, 2));
    assert_true(pl_file_cache_find(cache, &first_identity, 0, &out));
    pl_cached_file first = file_of(1, 0);
    check_same_file(&out, &first);
    pl_file_cache_free(cache);
}

static void test_binding_needs_the_entry(void **state)
{
    pl_file_cache *cache = new_cache(10);
    const pl_identity unknown = identity_of(2);

    (void)state;
    insert(cache, 1, 0);
    bind_to(cache, "/a", 1, 0);
    assert_int_equal(pl_file_cache_bind(cache, "/a", NS, &unknown, 0), PL_ERR_INVALID);
    assert_int_equal(pl_file_cache_bind(cache, "/b", NS, &unknown, 0), PL_ERR_INVALID);
    pl_cached_file out;
    assert_true(pl_file_cache_find_path(cache, "/a", NS, &out)); /* still bound as it was */
    assert_int_equal(out.identity.inode, 1);
    check_stats(cache, (pl_file_cache_stats){.hits_path = 1, .inserted = 1, .entries = 1, .paths = 1});
    pl_file_cache_free(cache);
}

static void test_path_bound_to_another_file_was_stale(void **state)
{
    pl_file_cache *cache = new_cache(10);
    const pl_identity first_identity = identity_of(1);
    pl_cached_file out;

    (void)state;
    insert(cache, 1, 0);
    insert(cache, 2, 0);
    bind_to(cache, "/a", 1, 0);
    bind_to(cache, "/a", 1, 0); /* proven again: nothing stale in it */
    assert_int_equal(stats_of(cache).stale, 0);
    bind_to(cache, "/a", 2, 0);
    assert_true(pl_file_cache_find_path(cache, "/a", NS, &out));
    assert_int_equal(out.identity.inode, 2);
    assert_true(has(cache, 1)); /* a running copy of it may still be asked for */
    check_stats(cache, (pl_file_cache_stats){
                           .hits_identity = 1, .hits_path = 1, .stale = 1, .inserted = 2, .entries = 2, .paths = 1});
    /* It hangs on the second file alone now. */
    assert_true(pl_file_cache_drop(cache, &first_identity));
    assert_true(has_path(cache, "/a"));
    pl_file_cache_free(cache);
}

static void test_one_path_in_two_namespaces_is_two(void **state)
{
    pl_file_cache *cache = new_cache(10);
    const pl_identity first = identity_of(1), second = identity_of(2);
    pl_cached_file out;

    (void)state;
    insert(cache, 1, 0);
    insert(cache, 2, 0);
    assert_int_equal(pl_file_cache_bind(cache, "/a", 1, &first, 0), 0);
    assert_int_equal(pl_file_cache_bind(cache, "/a", 2, &second, 0), 0);
    assert_true(pl_file_cache_find_path(cache, "/a", 1, &out));
    assert_int_equal(out.identity.inode, 1);
    assert_true(pl_file_cache_find_path(cache, "/a", 2, &out));
    assert_int_equal(out.identity.inode, 2);
    assert_false(pl_file_cache_find_path(cache, "/a", 3, &out));
    assert_true(pl_file_cache_drop_path(cache, "/a", 1));
    assert_false(pl_file_cache_drop_path(cache, "/a", 1));
    assert_true(pl_file_cache_find_path(cache, "/a", 2, &out));
    assert_int_equal(stats_of(cache).stale, 0);
    pl_file_cache_free(cache);
}

/* So many that some share the 32 bits under which the tables keep them: about five pairs of each kind. */
static void test_what_shares_a_tag_is_told_apart(void **state)
{
    enum { N = 200000 };
    pl_file_cache *cache = new_cache(N);
    const pl_identity first = identity_of(0), second = identity_of(1);
    pl_cached_file out;

    (void)state;
    for (unsigned n = 0; n < N; n++)
        insert(cache, n, 0);
    for (unsigned ns = 0; ns < N; ns++)
        assert_int_equal(pl_file_cache_bind(cache, "/a", ns, ns % 2 ? &second : &first, 0), 0);
    check_stats(cache, (pl_file_cache_stats){.inserted = N, .entries = N, .paths = N});
    for (unsigned n = 0; n < N; n++) {
        const pl_cached_file expected = file_of(n, 0);
        assert_true(pl_file_cache_find(cache, &expected.identity, NEVER, &out));
        assert_true(pl_file_cache_find_path(cache, "/a", n, &out));
        assert_int_equal(out.identity.inode, n % 2);
    }
    pl_file_cache_free(cache);
}

static void test_paths_are_bytes_of_any_length(void **state)
{
    pl_file_cache *cache = new_cache(10);
    char *path = test_malloc(4096);
    const pl_identity first = identity_of(1);

    (void)state;
    insert(cache, 1, 0);
    memset(path, 'x', 4095);
    path[4095] = '\0';
    bind_to(cache, path, 1, 0);
    bind_to(cache, "", 1, 0);
    bind_to(cache, "/\xff\n", 1, 0);
    assert_true(has_path(cache, path) && has_path(cache, "") && has_path(cache, "/\xff\n"));
    path[4094] = 'y'; /* a copy was taken */
    assert_false(has_path(cache, path));
    assert_true(pl_file_cache_drop(cache, &first));
    assert_int_equal(stats_of(cache).paths, 0);
    pl_file_cache_free(cache);
    test_free(path);
}

static void test_drop_takes_the_paths_along(void **state)
{
    pl_file_cache *cache = new_cache(10);
    const pl_identity first = identity_of(1);

    (void)state;
    insert(cache, 1, 0);
    insert(cache, 2, 0);
    bind_to(cache, "/a", 1, 0);
    bind_to(cache, "/b", 2, 0);
    bind_to(cache, "/c", 1, 0);
    assert_true(pl_file_cache_drop(cache, &first));
    assert_false(pl_file_cache_drop(cache, &first));
    assert_false(has(cache, 1) || has_path(cache, "/a") || has_path(cache, "/c"));
    assert_true(has(cache, 2) && has_path(cache, "/b"));
    check_stats(
        cache,
        (pl_file_cache_stats){
            .hits_identity = 1, .hits_path = 1, .misses = 3, .inserted = 2, .dropped = 1, .entries = 1, .paths = 1});
    pl_file_cache_free(cache);
}

static void test_dropping_a_path_leaves_its_entry(void **state)
{
    pl_file_cache *cache = new_cache(10);

    (void)state;
    insert(cache, 1, 0);
    bind_to(cache, "/a", 1, 0);
    assert_true(pl_file_cache_drop_path(cache, "/a", NS));
    assert_false(pl_file_cache_drop_path(cache, "/a", NS));
    assert_true(has(cache, 1));
    check_stats(cache, (pl_file_cache_stats){.hits_identity = 1, .inserted = 1, .entries = 1});
    pl_file_cache_free(cache);
}

static void test_clock_stepped_back_drops_newer_entries(void **state)
{
    pl_file_cache *cache = new_cache(100);
    char path[16];

    (void)state;
    for (unsigned n = 0; n < 10; n++) { /* ctime 1000 to 1009 */
        insert(cache, n, 0);
        (void)snprintf(path, sizeof(path), "/%u", n);
        bind_to(cache, path, n, 0);
    }
    assert_int_equal(pl_file_cache_drop_newer(cache, 1007), 3); /* at or after */
    assert_int_equal(pl_file_cache_drop_newer(cache, 1007), 0);
    for (unsigned n = 0; n < 10; n++) {
        (void)snprintf(path, sizeof(path), "/%u", n);
        assert_int_equal(has(cache, n), n < 7);
        assert_int_equal(has_path(cache, path), n < 7);
    }
    pl_file_cache_stats stats = stats_of(cache);
    assert_int_equal(stats.dropped, 3);
    assert_int_equal(stats.entries, 7);
    assert_int_equal(stats.paths, 7);
    assert_int_equal(pl_file_cache_drop_newer(cache, INT64_MIN), 7);
    assert_int_equal(stats_of(cache).paths, 0);
    pl_file_cache_free(cache);
}

static void test_clear_empties_and_can_be_filled_again(void **state)
{
    pl_file_cache *cache = new_cache(100);
    pl_cached_file rich = file_of(3, 0);

    (void)state;
    insert(cache, 1, 0);
    insert(cache, 2, 0);
    add_digest(&rich, 1, PL_SHA512, 64);
    assert_int_equal(pl_file_cache_insert(cache, &rich, 0), 0);
    bind_to(cache, "/a", 1, 0);
    bind_to(cache, "/b", 1, 0);
    assert_true(pl_file_cache_drop_path(cache, "/b", NS)); /* leaves a hole */
    pl_file_cache_clear(cache);
    pl_file_cache_clear(cache);
    assert_false(has(cache, 1) || has(cache, 2) || has_path(cache, "/a"));
    check_stats(cache, (pl_file_cache_stats){.misses = 3, .inserted = 3, .dropped = 3});
    for (unsigned n = 0; n < 100; n++)
        insert(cache, n, 0);
    bind_to(cache, "/a", 7, 0);
    assert_true(has(cache, 99) && has_path(cache, "/a"));
    assert_int_equal(stats_of(cache).entries, 100);
    pl_file_cache_free(cache);
}

/* Paths that a callback was told of, in any order. */
typedef struct told {
    char text[256];
    unsigned n;
} told;

static void tell_rotated(void *context, const char *path, uint64_t mnt_ns)
{
    told *t = context;

    assert_int_equal(mnt_ns, NS);
    assert_true(strlen(t->text) + strlen(path) < sizeof(t->text));
    (void)stpcpy(t->text + strlen(t->text), path);
    t->n++;
}

static void test_sweep_rotates_paths_by_their_own_day(void **state)
{
    pl_file_cache *cache = new_cache(10);
    told t = {0};

    (void)state;
    insert(cache, 1, 10);
    insert(cache, 2, 10);
    bind_to(cache, "/old", 1, 10);
    bind_to(cache, "/new", 1, 20); /* the same file by another name, seen later */
    bind_to(cache, "/touched", 2, 10);
    pl_file_cache_touch(cache, "/touched", NS, 19);
    assert_int_equal(pl_file_cache_sweep(cache, 10, tell_rotated, &t), 0); /* seen at the limit is not before it */
    assert_int_equal(pl_file_cache_sweep(cache, 19, tell_rotated, &t), 1);
    assert_string_equal(t.text, "/old");
    assert_false(has_path(cache, "/old"));
    assert_true(has_path(cache, "/new") && has_path(cache, "/touched") && has(cache, 1));
    assert_int_equal(pl_file_cache_sweep(cache, 20, tell_rotated, &t), 1);
    assert_string_equal(t.text, "/old/touched");
    assert_false(has(cache, 2)); /* without a path, and last seen at 19 */
    assert_int_equal(pl_file_cache_sweep(cache, 21, NULL, NULL), 1);
    check_stats(cache, (pl_file_cache_stats){
                           .hits_identity = 1, .hits_path = 2, .misses = 2, .inserted = 2, .rotated = 3, .expired = 2});
    pl_file_cache_free(cache);
}

static void test_sweep_spares_what_was_seen_by_identity(void **state)
{
    pl_file_cache *cache = new_cache(10);
    const pl_identity first = identity_of(1);
    pl_cached_file out;

    (void)state;
    insert(cache, 1, 10);
    insert(cache, 2, 10);
    bind_to(cache, "/a", 1, 10);
    assert_true(pl_file_cache_find(cache, &first, 50, &out));
    assert_int_equal(pl_file_cache_sweep(cache, 30, NULL, NULL), 1); /* a hit by identity proves no path */
    assert_true(has(cache, 1));
    assert_false(has(cache, 2) || has_path(cache, "/a"));
    assert_int_equal(stats_of(cache).expired, 1);
    assert_int_equal(pl_file_cache_sweep(cache, 51, NULL, NULL), 0);
    assert_int_equal(stats_of(cache).entries, 0);
    pl_file_cache_free(cache);
}

static void test_finding_a_path_does_not_touch_it(void **state)
{
    pl_file_cache *cache = new_cache(10);

    (void)state;
    insert(cache, 1, 10);
    bind_to(cache, "/a", 1, 10);
    assert_true(has_path(cache, "/a")); /* a claim, not yet proven */
    assert_int_equal(pl_file_cache_sweep(cache, 11, NULL, NULL), 1);
    assert_int_equal(stats_of(cache).entries, 0);
    pl_file_cache_free(cache);
}

static void test_proof_needs_path_and_identity(void **state)
{
    pl_file_cache *cache = new_cache(10);
    const pl_identity first = identity_of(1), second = identity_of(2), unknown = identity_of(3);
    const pl_cached_file expected = file_of(1, 0);
    pl_identity newer = first, chmodded = first;
    pl_cached_file out, before;

    (void)state;
    newer.ctime_ns++;
    chmodded.mode = 0100700;
    insert(cache, 1, 0);
    insert(cache, 2, 0);
    bind_to(cache, "/a", 1, 0);
    memset(&out, 0xa5, sizeof(out));
    before = out;
    assert_false(pl_file_cache_prove(cache, "/a", NS, &newer, 5, &out));  /* written to since */
    assert_false(pl_file_cache_prove(cache, "/a", NS, &second, 5, &out)); /* known, but not there */
    assert_false(pl_file_cache_prove(cache, "/a", NS, &unknown, 5, &out));
    assert_false(pl_file_cache_prove(cache, "/b", NS, &first, 5, &out));
    assert_false(pl_file_cache_prove(cache, "/a", NS + 1, &first, 5, &out));
    assert_memory_equal(&out, &before, sizeof(out));
    check_stats(cache, (pl_file_cache_stats){.misses = 5, .inserted = 2, .entries = 2, .paths = 1});
    assert_true(pl_file_cache_prove(cache, "/a", NS, &first, 5, &out));
    check_same_file(&out, &expected);
    assert_true(pl_file_cache_prove(cache, "/a", NS, &chmodded, 5, &out));
    check_stats(cache, (pl_file_cache_stats){.hits_path = 2, .misses = 5, .inserted = 2, .entries = 2, .paths = 1});
    pl_file_cache_free(cache);
}

static void test_proof_moves_last_seen_and_a_failed_one_does_not(void **state)
{
    pl_file_cache *cache = new_cache(10);
    const pl_identity first = identity_of(1), second = identity_of(2);
    pl_cached_file out;

    (void)state;
    insert(cache, 1, 10);
    insert(cache, 2, 10);
    bind_to(cache, "/a", 1, 10);
    bind_to(cache, "/b", 2, 10);
    assert_true(pl_file_cache_prove(cache, "/a", NS, &first, 50, &out));
    assert_true(pl_file_cache_prove(cache, "/a", NS, &first, 20, &out));
    assert_false(pl_file_cache_prove(cache, "/b", NS, &first, 50, &out));
    assert_int_equal(pl_file_cache_sweep(cache, 50, NULL, NULL), 1);
    assert_true(has_path(cache, "/a"));
    assert_false(has_path(cache, "/b") || pl_file_cache_find(cache, &second, NEVER, &out));
    assert_true(pl_file_cache_drop_path(cache, "/a", NS));
    assert_int_equal(pl_file_cache_sweep(cache, 50, NULL, NULL), 0);
    assert_true(has(cache, 1)); /* the entry moved with its path */
    pl_file_cache_free(cache);
}

static void test_last_seen_never_moves_back(void **state)
{
    pl_file_cache *cache = new_cache(10);
    const pl_identity first = identity_of(1);
    const pl_cached_file again = file_of(1, 1);
    pl_cached_file out;

    (void)state;
    insert(cache, 1, 50);
    bind_to(cache, "/a", 1, 50);
    bind_to(cache, "/a", 1, 10);
    pl_file_cache_touch(cache, "/a", NS, 20);
    assert_true(pl_file_cache_find(cache, &first, 30, &out));
    assert_int_equal(pl_file_cache_insert(cache, &again, 40), 0);
    assert_int_equal(pl_file_cache_sweep(cache, 50, NULL, NULL), 0);
    assert_true(pl_file_cache_drop_path(cache, "/a", NS));
    assert_int_equal(pl_file_cache_sweep(cache, 50, NULL, NULL), 0);
    assert_true(has(cache, 1));
    /* Bound to another file a path keeps its day. */
    insert(cache, 2, 1);
    bind_to(cache, "/b", 1, 60);
    bind_to(cache, "/b", 2, 1);
    assert_int_equal(pl_file_cache_sweep(cache, 60, NULL, NULL), 0);
    assert_true(has_path(cache, "/b"));
    assert_int_equal(pl_file_cache_sweep(cache, 61, NULL, NULL), 1);
    pl_file_cache_free(cache);
}

static void test_touch_of_an_unknown_path_is_nothing(void **state)
{
    pl_file_cache *cache = new_cache(10);

    (void)state;
    pl_file_cache_touch(cache, "/a", NS, 5);
    insert(cache, 1, 0);
    bind_to(cache, "/a", 1, 0);
    pl_file_cache_touch(cache, "/a", NS + 1, 5);
    assert_int_equal(pl_file_cache_sweep(cache, 1, NULL, NULL), 1);
    pl_file_cache_free(cache);
}

static void test_touch_says_whether_the_path_is_here(void **state)
{
    pl_file_cache *cache = new_cache(10);

    (void)state;
    assert_false(pl_file_cache_touch(cache, "/a", NS, 5));
    insert(cache, 1, 0);
    bind_to(cache, "/a", 1, 0);
    assert_true(pl_file_cache_touch(cache, "/a", NS, 5));
    assert_true(pl_file_cache_touch(cache, "/a", NS, 1)); /* found, though its time does not move back */
    assert_false(pl_file_cache_touch(cache, "/a", NS + 1, 5));
    assert_false(pl_file_cache_touch(cache, "/aa", NS, 5));
    assert_true(pl_file_cache_drop_path(cache, "/a", NS));
    assert_false(pl_file_cache_touch(cache, "/a", NS, 5));
    pl_file_cache_free(cache);
}

static void test_last_seen_is_that_of_the_path(void **state)
{
    pl_file_cache *cache = new_cache(10);
    const pl_identity first = identity_of(1);
    pl_cached_file out;

    (void)state;
    assert_true(pl_file_cache_last_seen(cache, "/a", NS) == INT64_MIN);
    insert(cache, 1, 5);
    bind_to(cache, "/a", 1, 10);
    bind_to(cache, "/b", 1, 20);
    assert_int_equal(pl_file_cache_last_seen(cache, "/a", NS), 10);
    assert_int_equal(pl_file_cache_last_seen(cache, "/b", NS), 20);
    assert_true(pl_file_cache_last_seen(cache, "/a", NS + 1) == INT64_MIN);
    assert_true(pl_file_cache_find(cache, &first, 70, &out)); /* of the entry, not of its paths */
    assert_int_equal(pl_file_cache_last_seen(cache, "/a", NS), 10);
    assert_true(pl_file_cache_touch(cache, "/a", NS, 30));
    assert_int_equal(pl_file_cache_last_seen(cache, "/a", NS), 30);
    assert_true(pl_file_cache_prove(cache, "/a", NS, &first, 40, &out));
    assert_int_equal(pl_file_cache_last_seen(cache, "/a", NS), 40);
    assert_int_equal(pl_file_cache_last_seen(cache, "/b", NS), 20);
    assert_true(pl_file_cache_drop_path(cache, "/a", NS));
    assert_true(pl_file_cache_last_seen(cache, "/a", NS) == INT64_MIN);
    pl_file_cache_free(cache);
}

static void test_asking_for_last_seen_touches_and_counts_nothing(void **state)
{
    pl_file_cache *cache = new_cache(10);

    (void)state;
    insert(cache, 1, 0);
    bind_to(cache, "/a", 1, 0);
    pl_file_cache_stats before = stats_of(cache);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(pl_file_cache_last_seen(cache, "/a", NS), 0);
        assert_true(pl_file_cache_last_seen(cache, "/none", NS) == INT64_MIN);
    }
    check_stats(cache, before);
    assert_int_equal(pl_file_cache_sweep(cache, 1, NULL, NULL), 1);
    pl_file_cache_free(cache);
}

static void test_negative_times_are_times(void **state)
{
    pl_file_cache *cache = new_cache(10);

    (void)state;
    insert(cache, 1, -100); /* a machine whose clock says 1969 */
    bind_to(cache, "/a", 1, -100);
    assert_int_equal(pl_file_cache_sweep(cache, -100, NULL, NULL), 0);
    pl_file_cache_touch(cache, "/a", NS, -90);
    assert_int_equal(pl_file_cache_sweep(cache, -90, NULL, NULL), 0);
    assert_int_equal(pl_file_cache_sweep(cache, -89, NULL, NULL), 1);
    pl_file_cache_free(cache);
}

typedef struct seen {
    unsigned n;
    struct {
        char path[16];
        int64_t last_seen_ns;
    } rows[8];
} seen;

static void keep_seen(void *context, const char *path, uint64_t mnt_ns, int64_t last_seen_ns)
{
    seen *s = context;

    assert_int_equal(mnt_ns, NS);
    assert_true(s->n < 8);
    (void)snprintf(s->rows[s->n].path, sizeof(s->rows[s->n].path), "%s", path);
    s->rows[s->n++].last_seen_ns = last_seen_ns;
}

static void test_each_seen_tells_paths_seen_since(void **state)
{
    pl_file_cache *cache = new_cache(10);
    seen s = {0};

    (void)state;
    insert(cache, 1, 10);
    insert(cache, 2, 90); /* without a path: nothing to tell */
    insert(cache, 3, 10);
    bind_to(cache, "/a", 1, 10);
    bind_to(cache, "/b", 3, 20);
    bind_to(cache, "/c", 1, 30);
    pl_file_cache_each_seen(cache, 20, keep_seen, &s);
    assert_int_equal(s.n, 2);
    for (unsigned i = 0; i < 2; i++) {
        bool b = strcmp(s.rows[i].path, "/b") == 0;
        assert_true(b || strcmp(s.rows[i].path, "/c") == 0);
        assert_int_equal(s.rows[i].last_seen_ns, b ? 20 : 30);
    }
    assert_string_not_equal(s.rows[0].path, s.rows[1].path);
    s.n = 0;
    pl_file_cache_each_seen(cache, 31, keep_seen, &s);
    assert_int_equal(s.n, 0);
    pl_file_cache_each_seen(cache, INT64_MIN, keep_seen, &s);
    assert_int_equal(s.n, 3);
    pl_file_cache_free(cache);
}

static void test_limit_holds_and_evictions_are_counted(void **state)
{
    pl_file_cache *cache = new_cache(16);

    (void)state;
    for (unsigned n = 0; n < 100; n++) {
        insert(cache, n, n);
        check_stats(cache, (pl_file_cache_stats){
                               .inserted = n + 1, .evicted = n < 16 ? 0 : n - 15, .entries = n < 16 ? n + 1 : 16});
    }
    unsigned there = 0;
    for (unsigned n = 0; n < 100; n++)
        there += has(cache, n);
    assert_int_equal(there, 16);
    assert_true(has(cache, 99)); /* whoever comes is not the one that goes */
    insert(cache, 99, 100);      /* replacing needs no room */
    assert_int_equal(stats_of(cache).evicted, 84);
    pl_file_cache_free(cache);
}

static void test_limit_of_one(void **state)
{
    pl_file_cache *cache = new_cache(1);

    (void)state;
    for (unsigned n = 0; n < 5; n++) {
        insert(cache, n, 0);
        bind_to(cache, "/a", n, 0);
        bind_to(cache, "/b", n, 0);
        assert_true(has(cache, n) && has_path(cache, "/a") && has_path(cache, "/b"));
    }
    pl_file_cache_stats stats = stats_of(cache);
    assert_int_equal(stats.evicted, 4);
    assert_int_equal(stats.paths, 2);
    assert_int_equal(stats.stale, 0); /* the paths went with their entries */
    bind_to(cache, "/c", 4, 9);
    assert_int_equal(stats_of(cache).paths, 2);
    assert_int_equal(stats_of(cache).evicted_paths, 1);
    assert_true(has_path(cache, "/c"));
    pl_file_cache_free(cache);
}

static void test_eviction_takes_the_paths_along(void **state)
{
    pl_file_cache *cache = new_cache(8);
    char path[16];

    (void)state;
    for (unsigned n = 0; n < 50; n++) {
        insert(cache, n, n);
        (void)snprintf(path, sizeof(path), "/%u", n);
        bind_to(cache, path, n, n);
    }
    assert_int_equal(stats_of(cache).paths, 8);
    for (unsigned n = 0; n < 50; n++) {
        (void)snprintf(path, sizeof(path), "/%u", n);
        assert_int_equal(has(cache, n), has_path(cache, path));
    }
    pl_file_cache_free(cache);
}

/*
 * Of a sample of eight the least recently seen goes, so that the oldest tenths hardly live on and the newest hardly
 * die. By pure chance about 37 of the 100 survivors would be older than the hundred that came last, and 5 older than
 * the last three hundred.
 */
static void test_least_recently_seen_goes_first(void **state)
{
    pl_file_cache *cache = new_cache(100);
    unsigned old = 0, very_old = 0;

    (void)state;
    for (unsigned n = 0; n < 2000; n++)
        insert(cache, n, n);
    for (unsigned n = 0; n < 1700; n++)
        very_old += has(cache, n);
    for (unsigned n = 1700; n < 1900; n++)
        old += has(cache, n);
    assert_int_equal(very_old, 0);
    assert_in_range(old, 0, 20);
    for (unsigned n = 1990; n < 2000; n++)
        assert_true(has(cache, n));
    pl_file_cache_free(cache);
}

static void test_what_is_seen_again_stays(void **state)
{
    pl_file_cache *cache = new_cache(100);
    const pl_identity by_identity = identity_of(0);
    pl_cached_file out;

    (void)state;
    insert(cache, 0, 0);
    insert(cache, 1, 0);
    bind_to(cache, "/by-path", 1, 0);
    for (unsigned n = 2; n < 3000; n++) {
        insert(cache, n, n);
        assert_true(pl_file_cache_find(cache, &by_identity, n, &out));
        assert_true(has_path(cache, "/by-path"));
        pl_file_cache_touch(cache, "/by-path", NS, n);
    }
    assert_int_equal(stats_of(cache).evicted, 2900);
    pl_file_cache_free(cache);
}

static void test_paths_have_a_limit_of_their_own(void **state)
{
    pl_file_cache *cache = new_cache(50);
    char path[16];
    unsigned old = 0;

    (void)state;
    insert(cache, 1, 0);
    for (unsigned n = 0; n < 1000; n++) { /* one file with a thousand names */
        (void)snprintf(path, sizeof(path), "/%u", n);
        bind_to(cache, path, 1, n);
        assert_true(has_path(cache, path));
        assert_int_equal(stats_of(cache).paths, n < 100 ? n + 1 : 100);
    }
    pl_file_cache_stats stats = stats_of(cache);
    assert_int_equal(stats.evicted_paths, 900);
    assert_int_equal(stats.evicted, 0);
    assert_int_equal(stats.entries, 1);
    for (unsigned n = 0; n < 700; n++) {
        (void)snprintf(path, sizeof(path), "/%u", n);
        old += has_path(cache, path);
    }
    assert_int_equal(old, 0);
    pl_file_cache_free(cache);
}

static void test_limits_of_the_limit(void **state)
{
    pl_file_cache *untouched = (pl_file_cache *)(uintptr_t)16, *cache = untouched;

    (void)state;
    assert_int_equal(pl_file_cache_new(((size_t)1 << 28) + 1, &cache), PL_ERR_INVALID);
    assert_int_equal(pl_file_cache_new(SIZE_MAX, &cache), PL_ERR_INVALID);
    pl_fault_arm(PL_FAULT_ALLOC, 1, ENOMEM);
    int rc = pl_file_cache_new(5, &cache);
    pl_fault_disarm();
    assert_int_equal(rc, PL_ERR_NOMEM);
    assert_ptr_equal(cache, untouched);
    cache = new_cache((size_t)1 << 28); /* room is taken as it is needed */
    assert_true(stats_of(cache).bytes < 4096);
    assert_null(pl_file_cache_free(cache));
    assert_null(pl_file_cache_free(NULL));
}

static void test_default_limit_is_65536(void **state)
{
    pl_file_cache *cache = new_cache(0);

    (void)state;
    for (unsigned n = 0; n < 65536 + 10; n++)
        insert(cache, n, n);
    check_stats(cache, (pl_file_cache_stats){.inserted = 65546, .evicted = 10, .entries = 65536});
    pl_file_cache_free(cache);
}

/* Worst just after the arrays have doubled. */
static void test_entry_with_a_path_takes_512_bytes_at_most(void **state)
{
    static const unsigned sizes[] = {65, 129, 1000, 1025, 4096, 4097, 20000, 32769, 65536};
    char path[80];

    (void)state;
    for (size_t i = 0; i < sizeof(sizes) / sizeof(*sizes); i++) {
        pl_file_cache *cache = new_cache(0);
        for (unsigned n = 0; n < sizes[i]; n++) {
            insert(cache, n, n);
            (void)snprintf(path, sizeof(path), "/usr/lib/x86_64-linux-gnu/some-package/libexec/program-%08u", n);
            bind_to(cache, path, n, n);
        }
        assert_true(strlen(path) > 60);
        pl_file_cache_stats stats = stats_of(cache);
        assert_int_equal(stats.paths, sizes[i]);
        if (stats.bytes > 512 * (uint64_t)sizes[i])
            fail_msg("%u entries take %llu bytes", sizes[i], (unsigned long long)stats.bytes);
        assert_true(stats.bytes > 200 * (uint64_t)sizes[i]); /* an entry, its path and its text are in it */
        pl_file_cache_free(cache);
    }
}

static void test_bytes_return_when_things_leave(void **state)
{
    pl_file_cache *cache = new_cache(100);
    const pl_identity first = identity_of(1);
    pl_cached_file rich = file_of(1, 0);

    (void)state;
    insert(cache, 1, 0);
    bind_to(cache, "/short", 1, 0);
    pl_file_cache_drop(cache, &first);
    uint64_t empty = stats_of(cache).bytes;
    add_digest(&rich, 1, PL_SHA512, 64);
    for (int round = 0; round < 100; round++) {
        assert_int_equal(pl_file_cache_insert(cache, &rich, 0), 0);
        bind_to(cache, "/some/longer/path", 1, 0);
        assert_true(stats_of(cache).bytes >= empty + sizeof("/some/longer/path") + 64);
        if (round % 3 == 0)
            pl_file_cache_clear(cache);
        else if (round % 3 == 1)
            assert_true(pl_file_cache_drop(cache, &first));
        else
            assert_int_equal(pl_file_cache_sweep(cache, 1, NULL, NULL), 1);
        assert_int_equal(stats_of(cache).bytes, empty);
    }
    pl_file_cache_free(cache);
}

/* n entries with a path each. */
static pl_file_cache *filled(unsigned n)
{
    pl_file_cache *cache = new_cache(1000);
    char path[16];

    for (unsigned i = 0; i < n; i++) {
        insert(cache, i, 5);
        (void)snprintf(path, sizeof(path), "/%u", i);
        bind_to(cache, path, i, 5);
    }
    return cache;
}

static void check_filled(pl_file_cache *cache, unsigned n, uint64_t entries, uint64_t paths)
{
    pl_cached_file by_identity, by_path, expected;
    char path[16];

    pl_file_cache_stats stats = stats_of(cache);
    assert_int_equal(stats.entries, entries);
    assert_int_equal(stats.inserted, entries);
    assert_int_equal(stats.paths, paths);
    assert_int_equal(stats.stale + stats.evicted + stats.evicted_paths + stats.dropped, 0);
    for (unsigned i = 0; i < n; i++) {
        expected = file_of(i, 0);
        (void)snprintf(path, sizeof(path), "/%u", i);
        assert_true(pl_file_cache_find(cache, &expected.identity, NEVER, &by_identity));
        assert_true(pl_file_cache_find_path(cache, path, NS, &by_path));
        check_same_file(&by_identity, &expected);
        check_same_file(&by_path, &expected);
    }
}

/* Sizes at which the tables grow (32), the arrays grow (64, 128), and where there is room. Returns the failures. */
static unsigned exhaust(unsigned n, bool bind)
{
    pl_cached_file new_file = file_of(5000, 1), out;
    const pl_identity first = identity_of(0);
    unsigned failures = 0;

    add_digest(&new_file, 2, PL_SHA1, 20);
    for (unsigned nth = 1;; nth++) {
        pl_file_cache *cache = filled(n);
        pl_fault_arm(PL_FAULT_ALLOC, nth, ENOMEM);
        int rc = bind ? pl_file_cache_bind(cache, "/new", NS, &first, 9) : pl_file_cache_insert(cache, &new_file, 9);
        bool fired = pl_fault_fired();
        pl_fault_disarm();
        assert_int_equal(rc, fired ? PL_ERR_NOMEM : 0);
        if (fired) {
            failures++;
            check_filled(cache, n, n, n);
            assert_false(bind ? has_path(cache, "/new") : has(cache, 5000));
            rc = bind ? pl_file_cache_bind(cache, "/new", NS, &first, 9) : pl_file_cache_insert(cache, &new_file, 9);
            assert_int_equal(rc, 0);
        }
        check_filled(cache, n, n + !bind, n + bind);
        if (bind) {
            assert_true(has_path(cache, "/new"));
        } else {
            assert_true(pl_file_cache_find(cache, &new_file.identity, NEVER, &out));
            assert_memory_equal(pl_digest_find(&out.digests, PL_SHA1), &new_file.digests.digests[2], sizeof(pl_digest));
        }
        pl_file_cache_free(cache);
        if (!fired)
            return failures;
    }
}

static void test_failed_insertion_leaves_the_cache_as_it_was(void **state)
{
    (void)state;
    assert_int_equal(exhaust(0, false), 3); /* the other digests, the table, the array */
    assert_int_equal(exhaust(31, false), 1);
    assert_int_equal(exhaust(32, false), 2);
    assert_int_equal(exhaust(64, false), 3);
    assert_int_equal(exhaust(100, false), 1);
    assert_int_equal(exhaust(128, false), 3);
}

static void test_failed_binding_leaves_the_cache_as_it_was(void **state)
{
    (void)state;
    assert_int_equal(exhaust(1, true), 1); /* the text */
    assert_int_equal(exhaust(31, true), 1);
    assert_int_equal(exhaust(32, true), 2); /* the table */
    assert_int_equal(exhaust(64, true), 3); /* and the array */
    assert_int_equal(exhaust(128, true), 3);
}

static void test_failed_replacing_keeps_the_old_digests(void **state)
{
    pl_file_cache *cache = new_cache(10);
    pl_cached_file old = file_of(1, 1), new_one = file_of(1, 2), out;

    (void)state;
    add_digest(&old, 1, PL_MD5, 16);
    add_digest(&new_one, 1, PL_SHA512, 64);
    assert_int_equal(pl_file_cache_insert(cache, &old, 0), 0);
    pl_fault_arm(PL_FAULT_ALLOC, 1, ENOMEM);
    int rc = pl_file_cache_insert(cache, &new_one, 9);
    bool fired = pl_fault_fired();
    pl_fault_disarm();
    assert_true(fired);
    assert_int_equal(rc, PL_ERR_NOMEM);
    assert_true(pl_file_cache_find(cache, &old.identity, NEVER, &out));
    check_same_file(&out, &old);
    assert_int_equal(pl_file_cache_sweep(cache, 1, NULL, NULL), 0);
    assert_int_equal(stats_of(cache).entries, 0); /* not even its day has moved */
    pl_file_cache_free(cache);
}

static void test_a_full_cache_needs_memory_for_texts_alone(void **state)
{
    pl_file_cache *cache = new_cache(64);
    const pl_cached_file more = file_of(100, 0);
    const pl_identity last = identity_of(100);

    (void)state;
    for (unsigned n = 0; n < 64; n++)
        insert(cache, n, n);
    pl_fault_arm_from(PL_FAULT_ALLOC, 1, ENOMEM);
    int inserted = pl_file_cache_insert(cache, &more, 100);
    int bound = pl_file_cache_bind(cache, "/a", NS, &last, 100);
    pl_fault_disarm();
    assert_int_equal(inserted, 0);
    assert_int_equal(bound, PL_ERR_NOMEM);
    assert_true(has(cache, 100));
    assert_false(has_path(cache, "/a"));
    check_stats(cache,
                (pl_file_cache_stats){.hits_identity = 1, .misses = 1, .inserted = 65, .evicted = 1, .entries = 64});
    pl_file_cache_free(cache);
}

/* --- the random walk --------------------------------------------------------------------------------------------- */

#define FILES 60 /* different identities */
#define PATHS 90 /* different names, half of them in another namespace */

typedef struct model {
    struct {
        bool live;
        unsigned version;
        int64_t last_seen;
    } entries[FILES];
    struct {
        bool live;
        unsigned entry;
        int64_t last_seen;
    } paths[PATHS];
    unsigned limit;
    pl_file_cache_stats stats;
    uint64_t random;
    unsigned evictions_seen, paths_evicted_seen;
} model;

static unsigned any(model *m, unsigned below)
{
    m->random ^= m->random << 13;
    m->random ^= m->random >> 7;
    m->random ^= m->random << 17;
    return (unsigned)((m->random >> 32) % below);
}

static const char *name_of(unsigned p, char out[40])
{
    (void)snprintf(out, 40, "/bin/%.*s%u", (int)(p % 20), "aaaaaaaaaaaaaaaaaaaa", p / 2);
    return out;
}

static uint64_t ns_of(unsigned p)
{
    return 1 + p % 2;
}

static pl_cached_file model_file(unsigned n, unsigned version)
{
    pl_cached_file file = file_of(n, version);

    for (size_t slot = 1; slot <= version % 4; slot++)
        add_digest(&file, slot,
                   slot == 1   ? PL_MD5
                   : slot == 2 ? PL_SHA1
                               : PL_SHA512,
                   slot == 1   ? 16
                   : slot == 2 ? 20
                               : 64);
    return file;
}

static void see(int64_t *last_seen, int64_t now)
{
    if (now > *last_seen)
        *last_seen = now;
}

static void model_remove_path(model *m, unsigned p)
{
    m->paths[p].live = false;
    m->stats.paths--;
}

static void model_remove_entry(model *m, unsigned n)
{
    m->entries[n].live = false;
    m->stats.entries--;
    for (unsigned p = 0; p < PATHS; p++)
        if (m->paths[p].live && m->paths[p].entry == n)
            model_remove_path(m, p);
}

/* Asks for everything: what the lists hold and nothing else is there, with the right contents. */
static void compare(pl_file_cache *cache, model *m)
{
    pl_cached_file out;
    char name[40];

    for (unsigned n = 0; n < FILES; n++) {
        const pl_cached_file expected = model_file(n, m->entries[n].version);
        bool found = pl_file_cache_find(cache, &expected.identity, NEVER, &out);
        assert_int_equal(found, m->entries[n].live);
        found ? m->stats.hits_identity++ : m->stats.misses++;
        if (found)
            check_same_file(&out, &expected);
    }
    for (unsigned p = 0; p < PATHS; p++) {
        bool found = pl_file_cache_find_path(cache, name_of(p, name), ns_of(p), &out);
        assert_int_equal(found, m->paths[p].live);
        found ? m->stats.hits_path++ : m->stats.misses++;
        if (found) {
            const pl_cached_file expected = model_file(m->paths[p].entry, m->entries[m->paths[p].entry].version);
            check_same_file(&out, &expected);
        }
    }
    check_stats(cache, m->stats);
}

static void step_insert(pl_file_cache *cache, model *m, int64_t now)
{
    unsigned n = any(m, FILES), version = any(m, 1000);
    const pl_cached_file file = model_file(n, version);
    bool is_new = !m->entries[n].live, full = is_new && m->stats.entries == m->limit;

    assert_int_equal(pl_file_cache_insert(cache, &file, now), 0);
    if (is_new) {
        m->entries[n].live = true;
        m->entries[n].last_seen = INT64_MIN;
        m->stats.inserted++;
        m->stats.entries++;
    }
    m->entries[n].version = version;
    see(&m->entries[n].last_seen, now);
    if (!full)
        return;
    /* One has gone, and it is not the one that came. The counts are right once it has gone from the lists as well. */
    int gone = -1;
    for (unsigned i = 0; i < FILES; i++) {
        const pl_identity identity = identity_of(i);
        pl_cached_file out;
        bool found = pl_file_cache_find(cache, &identity, NEVER, &out);
        found ? m->stats.hits_identity++ : m->stats.misses++;
        if (!found && m->entries[i].live) {
            assert_int_equal(gone, -1);
            gone = (int)i;
        }
    }
    assert_true(gone >= 0 && gone != (int)n);
    model_remove_entry(m, (unsigned)gone);
    m->stats.evicted++;
    m->evictions_seen++;
}

static void step_bind(pl_file_cache *cache, model *m, int64_t now)
{
    unsigned n = any(m, FILES), p = any(m, PATHS);
    for (unsigned tries = 0; tries < 8 && !m->entries[n].live; tries++)
        n = any(m, FILES); /* as a rule one that is there */
    const pl_identity identity = identity_of(n);
    char name[40];
    int rc = pl_file_cache_bind(cache, name_of(p, name), ns_of(p), &identity, now);

    assert_int_equal(rc, m->entries[n].live ? 0 : PL_ERR_INVALID);
    if (rc != 0)
        return;
    bool is_new = !m->paths[p].live, full = is_new && m->stats.paths == 2 * m->limit;
    if (is_new) {
        m->paths[p].live = true;
        m->paths[p].last_seen = INT64_MIN;
        m->stats.paths++;
    } else if (m->paths[p].entry != n) {
        m->stats.stale++;
    }
    m->paths[p].entry = n;
    see(&m->paths[p].last_seen, now);
    see(&m->entries[n].last_seen, now);
    if (!full)
        return;
    int gone = -1;
    for (unsigned i = 0; i < PATHS; i++) {
        pl_cached_file out;
        bool found = pl_file_cache_find_path(cache, name_of(i, name), ns_of(i), &out);
        found ? m->stats.hits_path++ : m->stats.misses++;
        if (!found && m->paths[i].live) {
            assert_int_equal(gone, -1);
            gone = (int)i;
        }
    }
    assert_true(gone >= 0 && gone != (int)p);
    model_remove_path(m, (unsigned)gone);
    m->stats.evicted_paths++;
    m->paths_evicted_seen++;
}

static void step_find(pl_file_cache *cache, model *m, int64_t now)
{
    unsigned n = any(m, FILES);
    const pl_identity identity = identity_of(n);
    pl_cached_file out;
    bool found = pl_file_cache_find(cache, &identity, now, &out);

    assert_int_equal(found, m->entries[n].live);
    if (found) {
        m->stats.hits_identity++;
        see(&m->entries[n].last_seen, now);
    } else {
        m->stats.misses++;
    }
}

static void step_prove(pl_file_cache *cache, model *m, int64_t now)
{
    unsigned p = any(m, PATHS), n = any(m, 2) ? m->paths[p].entry : any(m, FILES);
    const pl_identity identity = identity_of(n);
    char name[40];
    pl_cached_file out;
    bool found = pl_file_cache_prove(cache, name_of(p, name), ns_of(p), &identity, now, &out);

    assert_int_equal(found, m->paths[p].live && m->paths[p].entry == n);
    found ? m->stats.hits_path++ : m->stats.misses++;
    if (!found)
        return;
    const pl_cached_file expected = model_file(n, m->entries[n].version);
    check_same_file(&out, &expected);
    see(&m->paths[p].last_seen, now);
    see(&m->entries[n].last_seen, now);
}

static void step_touch(pl_file_cache *cache, model *m, int64_t now)
{
    unsigned p = any(m, PATHS);
    char name[40];

    pl_file_cache_touch(cache, name_of(p, name), ns_of(p), now);
    if (m->paths[p].live) {
        see(&m->paths[p].last_seen, now);
        see(&m->entries[m->paths[p].entry].last_seen, now);
    }
}

static void step_drop(pl_file_cache *cache, model *m)
{
    unsigned n = any(m, FILES), p = any(m, PATHS);
    const pl_identity identity = identity_of(n);
    char name[40];

    assert_int_equal(pl_file_cache_drop_path(cache, name_of(p, name), ns_of(p)), m->paths[p].live);
    if (m->paths[p].live)
        model_remove_path(m, p);
    assert_int_equal(pl_file_cache_drop(cache, &identity), m->entries[n].live);
    if (m->entries[n].live) {
        model_remove_entry(m, n);
        m->stats.dropped++;
    }
}

static void step_drop_newer(pl_file_cache *cache, model *m)
{
    unsigned from = any(m, FILES), expected = 0; /* ctime goes with n */

    for (unsigned n = from; n < FILES; n++)
        if (m->entries[n].live) {
            model_remove_entry(m, n);
            m->stats.dropped++;
            expected++;
        }
    assert_int_equal(pl_file_cache_drop_newer(cache, 1000 + (int64_t)from), expected);
}

static void step_sweep(pl_file_cache *cache, model *m, int64_t limit)
{
    unsigned expected = 0;

    for (unsigned p = 0; p < PATHS; p++)
        if (m->paths[p].live && m->paths[p].last_seen < limit) {
            model_remove_path(m, p);
            m->stats.rotated++;
            expected++;
        }
    for (unsigned n = 0; n < FILES; n++) {
        bool has_paths = false;
        for (unsigned p = 0; p < PATHS; p++)
            has_paths |= m->paths[p].live && m->paths[p].entry == n;
        if (m->entries[n].live && !has_paths && m->entries[n].last_seen < limit) {
            model_remove_entry(m, n);
            m->stats.expired++;
        }
    }
    assert_int_equal(pl_file_cache_sweep(cache, limit, NULL, NULL), expected);
}

typedef struct seen_count {
    const model *m;
    int64_t since;
    unsigned n;
} seen_count;

static void check_seen(void *context, const char *path, uint64_t mnt_ns, int64_t last_seen_ns)
{
    seen_count *s = context;
    char name[40];

    for (unsigned p = 0; p < PATHS; p++) {
        if (ns_of(p) != mnt_ns || strcmp(name_of(p, name), path) != 0)
            continue;
        assert_true(s->m->paths[p].live && s->m->paths[p].last_seen >= s->since);
        assert_int_equal(last_seen_ns, s->m->paths[p].last_seen);
        s->n++;
        return;
    }
    fail_msg("%s was never bound", path);
}

static void step_each_seen(pl_file_cache *cache, model *m, int64_t since)
{
    seen_count s = {.m = m, .since = since};
    unsigned expected = 0;

    for (unsigned p = 0; p < PATHS; p++)
        expected += m->paths[p].live && m->paths[p].last_seen >= since;
    pl_file_cache_each_seen(cache, since, check_seen, &s);
    assert_int_equal(s.n, expected);
}

static void step_clear(pl_file_cache *cache, model *m)
{
    pl_file_cache_clear(cache);
    m->stats.dropped += m->stats.entries;
    for (unsigned n = 0; n < FILES; n++)
        if (m->entries[n].live)
            model_remove_entry(m, n);
}

/* Of 700 steps that put something in, `inserting` put in files, the others names. */
static void walk(unsigned limit, unsigned inserting, unsigned steps, model *m)
{
    pl_file_cache *cache = new_cache(limit);

    *m = (model){.limit = limit, .random = UINT64_C(88172645463325252) + limit};
    for (unsigned i = 0; i < steps; i++) {
        int64_t now = (int64_t)i + (int64_t)any(m, 40) - 20; /* callers do not agree on the time */
        unsigned what = any(m, 1000);
        if (what < inserting)
            step_insert(cache, m, now);
        else if (what < 700)
            step_bind(cache, m, now);
        else if (what < 750)
            step_find(cache, m, now);
        else if (what < 850)
            step_prove(cache, m, now);
        else if (what < 900)
            step_touch(cache, m, now);
        else if (what < 960)
            step_drop(cache, m);
        else if (what < 970)
            step_each_seen(cache, m, now - (int64_t)any(m, 100));
        else if (what < 985)
            step_sweep(cache, m, now - (int64_t)any(m, 600));
        else if (what < 990)
            step_drop_newer(cache, m);
        else if (what >= 999)
            step_clear(cache, m);
        check_stats(cache, m->stats);
        if (i % 7 == 0)
            compare(cache, m);
    }
    compare(cache, m);
    pl_file_cache_free(cache);
}

static void test_random_walk_without_a_limit_equals_lists(void **state)
{
    model *m = test_malloc(sizeof(*m));

    (void)state;
    walk(1000, 350, 20000, m);
    assert_int_equal(m->stats.evicted + m->stats.evicted_paths, 0);
    assert_true(m->stats.stale > 500 && m->stats.rotated > 500 && m->stats.expired > 100 && m->stats.dropped > 500);
    test_free(m);
}

static void test_random_walk_at_the_limit_equals_lists(void **state)
{
    model *m = test_malloc(sizeof(*m));

    (void)state;
    walk(20, 350, 20000, m);
    assert_true(m->evictions_seen > 1000);
    walk(10, 50, 20000, m); /* more names than files */
    assert_true(m->evictions_seen > 100 && m->paths_evicted_seen > 1000);
    walk(3, 200, 5000, m);
    assert_true(m->evictions_seen > 200 && m->paths_evicted_seen > 20);
    test_free(m);
}

/* ---- by the kernel's key ---- */

static pl_kernel_key key_of(unsigned n)
{
    pl_identity identity = identity_of(n);

    return (pl_kernel_key){.inode = identity.inode,
                           .size = identity.size,
                           .mtime_ns = identity.mtime_ns,
                           .ctime_ns = identity.ctime_ns,
                           .dev = 0x800001,
                           .generation = 7 + n,
                           .uuid = {1, 2, 3}};
}

static bool finds_key(pl_file_cache *cache, const pl_kernel_key *key, unsigned n)
{
    pl_identity identity = identity_of(n);
    pl_cached_file file;

    return pl_file_cache_find_key(cache, key, 1, &file) && pl_identity_equal(&file.identity, &identity);
}

static void test_a_bound_key_finds_its_entry_field_by_field(void **state)
{
    pl_file_cache *cache = new_cache(10);
    pl_kernel_key key = key_of(1), other;
    pl_identity identity = identity_of(1);
    pl_file_cache_stats stats;

    (void)state;
    insert(cache, 1, 10);
    assert_false(finds_key(cache, &key, 1));
    assert_true(pl_file_cache_bind_key(cache, &key, &identity));
    assert_true(finds_key(cache, &key, 1));
    other = key, other.inode++;
    assert_false(finds_key(cache, &other, 1));
    other = key, other.size++;
    assert_false(finds_key(cache, &other, 1));
    other = key, other.mtime_ns++;
    assert_false(finds_key(cache, &other, 1));
    other = key, other.ctime_ns++;
    assert_false(finds_key(cache, &other, 1));
    other = key, other.dev++;
    assert_false(finds_key(cache, &other, 1));
    other = key, other.generation++;
    assert_false(finds_key(cache, &other, 1));
    other = key, other.uuid[15]++;
    assert_false(finds_key(cache, &other, 1));
    pl_file_cache_stats_get(cache, &stats);
    assert_int_equal(stats.hits_key, 1);
    (void)pl_file_cache_free(cache);
}

static void test_a_key_that_does_not_agree_is_not_bound(void **state)
{
    pl_file_cache *cache = new_cache(10);
    pl_kernel_key key = key_of(1);
    pl_identity identity = identity_of(1), absent = identity_of(2);

    (void)state;
    insert(cache, 1, 10);
    key.ctime_ns--;
    assert_false(pl_file_cache_bind_key(cache, &key, &identity));
    assert_false(finds_key(cache, &key, 1));
    key = key_of(2);
    assert_false(pl_file_cache_bind_key(cache, &key, &absent));
    (void)pl_file_cache_free(cache);
}

static void test_a_key_goes_with_its_entry(void **state)
{
    enum { LIMIT = 40 };
    pl_file_cache *cache = new_cache(LIMIT);

    (void)state;
    for (unsigned n = 1; n <= 10 * LIMIT; n++) { /* most are evicted, and their places taken again */
        pl_kernel_key key = key_of(n);
        pl_identity identity = identity_of(n);
        insert(cache, n, n);
        assert_true(pl_file_cache_bind_key(cache, &key, &identity));
        assert_true(pl_file_cache_bind_key(cache, &key, &identity)); /* again: no second slot */
    }
    unsigned found = 0;
    for (unsigned n = 1; n <= 10 * LIMIT; n++) {
        pl_kernel_key key = key_of(n);
        pl_identity identity = identity_of(n);
        bool here = finds_key(cache, &key, n);
        found += here;
        assert_int_equal(here, pl_file_cache_drop(cache, &identity));
        assert_false(finds_key(cache, &key, n));
    }
    assert_int_equal(found, LIMIT);
    insert(cache, 1, 1);
    pl_kernel_key key = key_of(1);
    pl_identity identity = identity_of(1);
    assert_true(pl_file_cache_bind_key(cache, &key, &identity));
    pl_file_cache_clear(cache);
    assert_false(finds_key(cache, &key, 1));
    (void)pl_file_cache_free(cache);
}

static void test_a_later_key_of_an_entry_replaces_the_one_before(void **state)
{
    pl_file_cache *cache = new_cache(10);
    pl_kernel_key old = key_of(1), now = key_of(1);
    pl_identity identity = identity_of(1);

    (void)state;
    insert(cache, 1, 10);
    now.generation++;
    assert_true(pl_file_cache_bind_key(cache, &old, &identity));
    assert_true(pl_file_cache_bind_key(cache, &now, &identity));
    assert_false(finds_key(cache, &old, 1));
    assert_true(finds_key(cache, &now, 1));
    (void)pl_file_cache_free(cache);
}

static void test_no_memory_for_keys_leaves_the_cache_as_it_was(void **state)
{
    (void)state;
    for (unsigned fail = 1;; fail++) {
        pl_file_cache *cache = new_cache(10);
        pl_kernel_key key = key_of(1);
        pl_identity identity = identity_of(1);
        insert(cache, 1, 10);
        (void)pl_fault_arm(PL_FAULT_ALLOC, fail, ENOMEM);
        assert_true(pl_file_cache_bind_key(cache, &key, &identity));
        bool fired = pl_fault_fired();
        pl_fault_disarm();
        assert_int_equal(finds_key(cache, &key, 1), !fired);
        assert_true(pl_file_cache_bind_key(cache, &key, &identity));
        assert_true(finds_key(cache, &key, 1));
        (void)pl_file_cache_free(cache);
        if (!fired)
            break;
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_hits_and_misses_are_counted),
        cmocka_unit_test(test_answer_is_what_was_put_in),
        cmocka_unit_test(test_sha256_is_found_in_any_slot),
        cmocka_unit_test(test_attributes_are_no_part_of_the_key),
        cmocka_unit_test(test_replacing_keeps_the_paths),
        cmocka_unit_test(test_file_without_sha256_is_refused),
        cmocka_unit_test(test_binding_needs_the_entry),
        cmocka_unit_test(test_path_bound_to_another_file_was_stale),
        cmocka_unit_test(test_one_path_in_two_namespaces_is_two),
        cmocka_unit_test(test_what_shares_a_tag_is_told_apart),
        cmocka_unit_test(test_paths_are_bytes_of_any_length),
        cmocka_unit_test(test_drop_takes_the_paths_along),
        cmocka_unit_test(test_dropping_a_path_leaves_its_entry),
        cmocka_unit_test(test_clock_stepped_back_drops_newer_entries),
        cmocka_unit_test(test_clear_empties_and_can_be_filled_again),
        cmocka_unit_test(test_sweep_rotates_paths_by_their_own_day),
        cmocka_unit_test(test_sweep_spares_what_was_seen_by_identity),
        cmocka_unit_test(test_finding_a_path_does_not_touch_it),
        cmocka_unit_test(test_proof_needs_path_and_identity),
        cmocka_unit_test(test_proof_moves_last_seen_and_a_failed_one_does_not),
        cmocka_unit_test(test_last_seen_never_moves_back),
        cmocka_unit_test(test_touch_of_an_unknown_path_is_nothing),
        cmocka_unit_test(test_touch_says_whether_the_path_is_here),
        cmocka_unit_test(test_last_seen_is_that_of_the_path),
        cmocka_unit_test(test_asking_for_last_seen_touches_and_counts_nothing),
        cmocka_unit_test(test_negative_times_are_times),
        cmocka_unit_test(test_each_seen_tells_paths_seen_since),
        cmocka_unit_test(test_a_bound_key_finds_its_entry_field_by_field),
        cmocka_unit_test(test_a_key_that_does_not_agree_is_not_bound),
        cmocka_unit_test(test_a_key_goes_with_its_entry),
        cmocka_unit_test(test_a_later_key_of_an_entry_replaces_the_one_before),
        cmocka_unit_test(test_no_memory_for_keys_leaves_the_cache_as_it_was),
        cmocka_unit_test(test_limit_holds_and_evictions_are_counted),
        cmocka_unit_test(test_limit_of_one),
        cmocka_unit_test(test_eviction_takes_the_paths_along),
        cmocka_unit_test(test_least_recently_seen_goes_first),
        cmocka_unit_test(test_what_is_seen_again_stays),
        cmocka_unit_test(test_paths_have_a_limit_of_their_own),
        cmocka_unit_test(test_limits_of_the_limit),
        cmocka_unit_test(test_default_limit_is_65536),
        cmocka_unit_test(test_entry_with_a_path_takes_512_bytes_at_most),
        cmocka_unit_test(test_bytes_return_when_things_leave),
        cmocka_unit_test(test_failed_insertion_leaves_the_cache_as_it_was),
        cmocka_unit_test(test_failed_binding_leaves_the_cache_as_it_was),
        cmocka_unit_test(test_failed_replacing_keeps_the_old_digests),
        cmocka_unit_test(test_a_full_cache_needs_memory_for_texts_alone),
        cmocka_unit_test(test_random_walk_without_a_limit_equals_lists),
        cmocka_unit_test(test_random_walk_at_the_limit_equals_lists),
    };

    return cmocka_run_group_tests_name("file_cache", tests, NULL, NULL);
}

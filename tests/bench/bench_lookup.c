/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Rows 3, 4 and 5 (the look-ups alone).
 *
 *   bench_lookup identity ENTRIES ROUNDS  the hot cache by identity, random order
 *   bench_lookup path LEDGER ROUNDS        pl_checksum_path of hot files against bare statx of the same paths
 *   bench_lookup restart LEDGER            pl_checksum_paths of all names by this new process: seconds, bytes read
 *
 * Names come on standard input, one a line.
 */
#include "src/file/file_cache.h"
#include "tests/bench/bench.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

static _Noreturn void die(const char *what)
{
    fprintf(stderr, "bench_lookup: %s: %s\n", what, pl_error_message());
    exit(2);
}

static uint64_t mix(uint64_t x)
{
    x ^= x >> 30;
    x *= 0xbf58476d1ce4e5b9u;
    x ^= x >> 27;
    x *= 0x94d049bb133111ebu;
    return x ^ x >> 31;
}

static pl_identity identity_of(uint64_t n)
{
    int64_t time = 1700000000000000000 + (int64_t)(mix(n) % 1000000000000000);
    return (pl_identity){.inode = 1000 + n,
                         .size = 4096 + mix(n) % 1000000,
                         .mtime_ns = time,
                         .ctime_ns = time + 5,
                         .btime_ns = time - 9,
                         .dev_major = 8,
                         .dev_minor = 1,
                         .mode = 0100755,
                         .nlink = 1};
}

static int by_identity(uint64_t entries, long rounds)
{
    pl_file_cache *cache = NULL;
    uint32_t *order = calloc(entries, sizeof(*order));
    pl_identity *keys = calloc(entries, sizeof(*keys));
    if (!order || !keys || pl_file_cache_new((size_t)entries + 1, &cache) < 0)
        die("cache");
    for (uint64_t i = 0; i < entries; i++) {
        pl_cached_file file = {.identity = identity_of(i), .assurance = PL_ASSURANCE_PROBED, .tier = PL_TIER_A};
        keys[i] = file.identity;
        file.digests.digests[0] = (pl_digest){.algorithm = PL_SHA256, .length = 32};
        if (pl_file_cache_insert(cache, &file, 1) < 0)
            die("insert");
        order[i] = (uint32_t)i;
    }
    for (uint64_t i = entries; i > 1; i--) {
        uint64_t j = mix(i) % i;
        uint32_t swap = order[i - 1];
        order[i - 1] = order[j];
        order[j] = swap;
    }
    double best = 1e9;
    uint64_t found = 0;
    pl_cached_file out;
    for (long round = 0; round < rounds; round++) {
        int64_t start = bench_now_ns();
        for (uint64_t i = 0; i < entries; i++)
            found += pl_file_cache_find(cache, &keys[order[i]], 2, &out);
        double each = (double)(bench_now_ns() - start) / (double)entries;
        best = each < best ? each : best;
    }
    if (found != entries * (uint64_t)rounds)
        die("not every entry was found");
    pl_file_cache_stats stats;
    pl_file_cache_stats_get(cache, &stats);
    bench_row(3, "look-up by identity, random order", best, "ns", 60, true);
    bench_row(10, "heap of a hot entry (no path)", (double)stats.bytes / (double)stats.entries, "B", 512, true);
    pl_file_cache_free(cache);
    free(order);
    free(keys);
    return 0;
}

static char **names(size_t *n)
{
    char **list = NULL, *line = NULL;
    size_t size = 0, room = 0;
    ssize_t length;
    *n = 0;
    while ((length = getline(&line, &size, stdin)) > 0) {
        if (line[length - 1] == '\n')
            line[length - 1] = 0;
        if (*n == room) {
            room = room ? room * 2 : 256;
            list = realloc(list, room * sizeof(*list));
            if (!list)
                die("memory");
        }
        list[(*n)++] = strdup(line);
    }
    free(line);
    if (*n == 0)
        die("no names on standard input");
    return list;
}

static int by_path(const char *file, long rounds)
{
    size_t n;
    char **list = names(&n);
    pl_ledger *ledger = NULL;
    pl_checksum sum = {.struct_size = sizeof(sum)};
    pl_stats stats = {.struct_size = sizeof(stats)};
    if (pl_open(file, NULL, &ledger) < 0)
        die(file);
    for (size_t i = 0; i < n; i++)
        if (pl_checksum_path(ledger, list[i], 0, &sum) != 0)
            die(list[i]);
    pl_stats_get(ledger, &stats);
    uint64_t hot = stats.hits_hot;
    double bare = 1e9, proven = 1e9;
    for (long round = 0; round < rounds; round++) {
        int64_t start = bench_now_ns();
        for (size_t i = 0; i < n; i++) {
            struct statx st;
            if (statx(AT_FDCWD, list[i], 0, STATX_BASIC_STATS | STATX_BTIME, &st) < 0)
                die(list[i]);
        }
        double each = (double)(bench_now_ns() - start) / (double)n;
        bare = each < bare ? each : bare;
        start = bench_now_ns();
        for (size_t i = 0; i < n; i++)
            if (pl_checksum_path(ledger, list[i], 0, &sum) != 0)
                die(list[i]);
        each = (double)(bench_now_ns() - start) / (double)n;
        proven = each < proven ? each : proven;
    }
    pl_stats_get(ledger, &stats);
    bench_row(4, "bare statx of a path", bare, "ns", NAN, true);
    bench_row(4, "look-up by path, proven", proven, "ns", NAN, true);
    bench_row(4, "proven / bare", proven / bare, "x", 1.5, true);
    bench_row(4, "of them served hot", (double)(stats.hits_hot - hot) / (double)n / (double)rounds * 100, "%", 100,
              false);
    pl_close(ledger);
    return 0;
}

static int restart(const char *file)
{
    size_t n;
    char **list = names(&n);
    pl_checksum *sums = calloc(n, sizeof(*sums));
    int *codes = calloc(n, sizeof(*codes));
    pl_ledger *ledger = NULL;
    pl_stats stats = {.struct_size = sizeof(stats)};
    if (!sums || !codes)
        die("memory");
    for (size_t i = 0; i < n; i++)
        sums[i].struct_size = sizeof(sums[i]);
    if (pl_open(file, NULL, &ledger) < 0)
        die(file);
    int64_t start = bench_now_ns();
    if (pl_checksum_paths(ledger, (const char *const *)list, n, 0, sums, codes) < 0)
        die("checksums");
    double took = (double)(bench_now_ns() - start) / 1e9;
    pl_stats_get(ledger, &stats);
    /* For tools/bench, which knows how long sha256sum took. */
    printf("%.9f %llu\n", took, (unsigned long long)stats.bytes_hashed);
    pl_close(ledger);
    return 0;
}

int main(int argc, char **argv)
{
    if (argc == 4 && !strcmp(argv[1], "identity"))
        return by_identity(strtoull(argv[2], NULL, 10), strtol(argv[3], NULL, 10));
    if (argc == 4 && !strcmp(argv[1], "path"))
        return by_path(argv[2], strtol(argv[3], NULL, 10));
    if (argc == 3 && !strcmp(argv[1], "restart"))
        return restart(argv[2]);
    fprintf(stderr, "usage: bench_lookup identity ENTRIES ROUNDS | path LEDGER ROUNDS | restart LEDGER\n");
    return 2;
}

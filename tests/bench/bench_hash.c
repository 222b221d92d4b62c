/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Row 6: one large file through the whole protocol (statx, lease, read, statx) against EVP over the same
 * amount of memory, in turns; and that n algorithms cost one read.
 *
 *   bench_hash FILE ROUNDS
 */
#include "src/file/probe.h"
#include "tests/bench/bench.h"

#include <fcntl.h>
#include <openssl/evp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { BLOCK = 1 << 18 };

static double evp_seconds(uint64_t size, const uint8_t *block)
{
    uint8_t digest[EVP_MAX_MD_SIZE];
    unsigned length;
    EVP_MD_CTX *context = EVP_MD_CTX_new();
    if (!context || !EVP_DigestInit_ex(context, EVP_sha256(), NULL))
        exit(2);
    int64_t start = bench_now_ns();
    for (uint64_t left = size; left > 0;) {
        size_t take = left < BLOCK ? (size_t)left : BLOCK;
        EVP_DigestUpdate(context, block, take);
        left -= take;
    }
    EVP_DigestFinal_ex(context, digest, &length);
    double took = (double)(bench_now_ns() - start) / 1e9;
    EVP_MD_CTX_free(context);
    return took;
}

static double file_seconds(pl_prober *prober, int fd, uint32_t algorithms, pl_probe_result *result)
{
    int64_t start = bench_now_ns();
    if (pl_prober_run(prober, fd, algorithms, result) != 0 || result->outcome != 0) {
        fprintf(stderr, "bench_hash: the file could not be hashed\n");
        exit(2);
    }
    return (double)(bench_now_ns() - start) / 1e9;
}

int main(int argc, char **argv)
{
    if (argc < 3) {
        fprintf(stderr, "usage: bench_hash FILE ROUNDS\n");
        return 2;
    }
    int fd = open(argv[1], O_RDONLY | O_CLOEXEC);
    struct stat st;
    if (fd < 0 || fstat(fd, &st) < 0) {
        perror(argv[1]);
        return 2;
    }
    pl_prober_options options = {.fine_grained_times = pl_kernel_has_fine_grained_times()};
    pl_prober *prober = NULL;
    uint8_t *block = malloc(BLOCK);
    if (!block || pl_prober_new(&options, &prober) < 0)
        return 2;
    memset(block, 0x5a, BLOCK);
    uint64_t size = (uint64_t)st.st_size;
    double best_memory = 1e9, best_file = 1e9;
    pl_probe_result result;
    file_seconds(prober, fd, 0, &result); /* into the page cache */
    for (long i = strtol(argv[2], NULL, 10); i > 0; i--) {
        double memory = evp_seconds(size, block), file = file_seconds(prober, fd, 0, &result);
        best_memory = memory < best_memory ? memory : best_memory;
        best_file = file < best_file ? file : best_file;
    }
    bench_row(6, "EVP sha256 in memory", (double)size / best_memory / 1e9, "GB/s", NAN, false);
    bench_row(6, "one large file, sha256", (double)size / best_file / 1e9, "GB/s", NAN, false);
    bench_row(6, "file / EVP speed", best_memory / best_file * 100, "%", 95, false);
    file_seconds(prober, fd, PL_MD5 | PL_SHA1 | PL_SHA512, &result);
    bench_row(6, "reads for four algorithms", (double)result.bytes_read / (double)size, "x file", 1, true);
    pl_prober_free(prober);
    free(block);
    close(fd);
    return 0;
}

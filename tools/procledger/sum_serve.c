/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Answers for `sum`. A batch of names goes through the public library in one call, which serves what is proven and
 * hashes the rest in parallel. What it does not serve (no regular file, unreadable, changing, gone) is opened and read
 * here the plain way, which also finds the errno that sha256sum would have printed. Without a ledger all goes that
 * way. Owns the handle, a digester and a read buffer, each made on first need, so that `sum -` starts at once.
 */
#include "tools/procledger/sum.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "src/base/cleanup.h"
#include "src/base/error.h"
#include "tools/procledger/cli.h"

#define BLOCK (256 * 1024)

int pl_summer_init(pl_summer *summer, const char *db)
{
    *summer = (pl_summer){.db = db};
    return 0;
}

void pl_summer_deinit(pl_summer *summer)
{
    summer->progress = pl_progress_stop(summer->progress);
    summer->ledger = pl_close(summer->ledger);
    summer->digester = pl_digester_free(summer->digester);
    free(summer->block);
    free(summer->checksums);
    free(summer->codes);
    *summer = (pl_summer){0};
}

static bool is_stdin(const char *name)
{
    return strcmp(name, "-") == 0;
}

/* Once; a ledger that cannot be had is said once and missed from then on. */
static void open_ledger(pl_summer *summer)
{
    if (summer->tried)
        return;
    summer->tried = true;
    int rc = pl_open(summer->db, NULL, &summer->ledger);
    if (rc != 0) {
        pl_cli_say("without a ledger: %s", *pl_error_message() ? pl_error_message() : pl_strerror(rc));
        return;
    }
    if (isatty(STDERR_FILENO))
        summer->progress = pl_progress_start(summer->ledger);
}

static int reserve(pl_summer *summer)
{
    if (!summer->checksums)
        summer->checksums = calloc(PL_SUM_BATCH, sizeof(*summer->checksums));
    if (!summer->codes)
        summer->codes = calloc(PL_SUM_BATCH, sizeof(*summer->codes));
    return summer->checksums && summer->codes ? 0 : pl_error_nomem();
}

int pl_summer_batch(pl_summer *summer, const char *const *names, size_t n)
{
    pl_auto_free const char **asked = NULL;
    size_t files = 0;

    for (size_t i = 0; i < n; i++)
        files += !is_stdin(names[i]);
    summer->names = names;
    if (files > 0)
        open_ledger(summer);
    int rc = reserve(summer);
    if (rc < 0)
        return rc;
    for (size_t i = 0; i < n; i++) {
        summer->checksums[i] = (pl_checksum){.struct_size = sizeof(pl_checksum)};
        summer->codes[i] = PL_PENDING;
    }
    if (!summer->ledger || files == 0)
        return 0;
    asked = malloc(n * sizeof(*asked));
    if (!asked)
        return pl_error_nomem();
    /* Never opened by the library because it is no regular file: so the places stay the same. */
    for (size_t i = 0; i < n; i++)
        asked[i] = is_stdin(names[i]) ? "/dev/null" : names[i];
    rc = pl_checksum_paths(summer->ledger, asked, n, 0, summer->checksums, summer->codes);
    if (rc < 0) {
        pl_cli_say("without a ledger: %s", *pl_error_message() ? pl_error_message() : pl_strerror(rc));
        for (size_t i = 0; i < n; i++)
            summer->codes[i] = PL_PENDING;
    }
    return 0;
}

/* All of fd. 0; an errno in *error; negative. *bytes counts on. */
static int digest_fd(pl_summer *summer, int fd, pl_sum_answer *out, uint64_t *bytes)
{
    pl_digest_set set;
    int rc = summer->digester ? 0 : pl_digester_new(&summer->digester);

    if (rc == 0 && !summer->block && !(summer->block = malloc(BLOCK)))
        rc = pl_error_nomem();
    if (rc == 0)
        rc = pl_digester_start(summer->digester, PL_SHA256);
    while (rc == 0) {
        ssize_t n = read(fd, summer->block, BLOCK);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0) {
            out->error = errno;
            return 0;
        }
        if (n == 0)
            break;
        *bytes += (uint64_t)n;
        rc = pl_digester_update(summer->digester, summer->block, (size_t)n);
    }
    if (rc == 0)
        rc = pl_digester_finish(summer->digester, &set);
    if (rc == 0)
        memcpy(out->digest, set.digests[0].bytes, PL_SUM_BYTES);
    return rc;
}

static int read_directly(pl_summer *summer, const char *name, pl_sum_answer *out, uint64_t *bytes)
{
    if (is_stdin(name)) {
        summer->stdin_read = true;
        return digest_fd(summer, STDIN_FILENO, out, bytes);
    }
    pl_auto_close int fd = open(name, O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        out->error = errno;
        return 0;
    }
    return digest_fd(summer, fd, out, bytes);
}

static void count(pl_summer *summer, uint32_t source)
{
    summer->hot += source == PL_SOURCE_HOT;
    summer->known += source == PL_SOURCE_LEDGER;
    summer->read += source == PL_SOURCE_COMPUTED;
}

int pl_summer_answer(pl_summer *summer, size_t i, pl_sum_answer *out)
{
    const pl_checksum *served = &summer->checksums[i];
    pl_sum_answer answer = {0};
    uint64_t bytes = 0;
    bool fine = summer->codes[i] == 0 && served->digests[0].length == PL_SUM_BYTES;

    /* Files of /proc and /sys say that they are empty and are not. Really empty ones cost one open more. */
    if (fine && served->identity.size > 0) {
        memcpy(answer.digest, served->digests[0].bytes, PL_SUM_BYTES);
        count(summer, served->source);
    } else {
        int rc = read_directly(summer, summer->names[i], &answer, &bytes);
        if (rc < 0)
            return rc;
        if (answer.error == 0)
            count(summer, fine && bytes == 0 ? served->source : PL_SOURCE_COMPUTED);
    }
    summer->files++;
    summer->bytes += bytes;
    *out = answer;
    return 0;
}

uint64_t pl_summer_bytes(pl_summer *summer)
{
    pl_stats stats = {.struct_size = sizeof(stats)};

    if (!summer->ledger || pl_stats_get(summer->ledger, &stats) != 0)
        return summer->bytes;
    return summer->bytes + stats.bytes_hashed;
}

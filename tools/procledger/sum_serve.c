/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Answers for `sum`. A batch of names goes through the public library in one call, which serves what is proven and
 * hashes the rest in parallel. What it does not serve (no regular file, unreadable, changing, gone) is opened and read
 * here the plain way, which also finds the errno that sha256sum would have printed. Without a ledger all goes that
 * way. Owns the handle, a digester and a read buffer, each made on first need, so that `sum -` starts at once.
 *
 * Invariant: no file of the ledger itself is opened while the handle is: closing such a descriptor would drop the locks
 * that SQLite holds for this process.
 */
#include "tools/procledger/sum.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "ledger/store/store.h"
#include "src/base/cleanup.h"
#include "src/base/error.h"
#include "tools/procledger/cli.h"

#define BLOCK (256 * 1024)

void pl_summer_init(pl_summer *summer, const char *db)
{
    *summer = (pl_summer){.db = db};
}

/* Its counters stay. */
static void close_ledger(pl_summer *summer)
{
    uint64_t bytes = pl_summer_bytes(summer);

    summer->progress = pl_progress_stop(summer->progress);
    summer->ledger = pl_close(summer->ledger);
    summer->bytes = bytes;
}

void pl_summer_deinit(pl_summer *summer)
{
    close_ledger(summer);
    summer->digester = pl_digester_free(summer->digester);
    free(summer->path);
    free(summer->block);
    free(summer->checksums);
    free(summer->codes);
    *summer = (pl_summer){0};
}

static bool is_stdin(const char *name)
{
    return strcmp(name, "-") == 0;
}

int pl_summer_open(pl_summer *summer)
{
    if (summer->tried)
        return 0;
    summer->tried = true;
    if (!summer->path && summer->db && !(summer->path = strdup(summer->db)))
        return pl_error_nomem();
    int rc = summer->path ? 0 : pl_store_default_path(&summer->path);
    return rc == 0 ? pl_open(summer->db, NULL, &summer->ledger) : rc;
}

static void say_without(int code)
{
    pl_cli_say("without a ledger: %s", *pl_error_message() ? pl_error_message() : pl_strerror(code));
}

static int reserve(pl_summer *summer)
{
    if (!summer->checksums)
        summer->checksums = calloc(PL_SUM_BATCH, sizeof(*summer->checksums));
    if (!summer->codes)
        summer->codes = calloc(PL_SUM_BATCH, sizeof(*summer->codes));
    return summer->checksums && summer->codes ? 0 : pl_error_nomem();
}

static void prepare(pl_summer *summer, size_t files)
{
    int rc = files > 0 ? pl_summer_open(summer) : 0;

    if (rc < 0)
        say_without(rc);
    if (!summer->progress && isatty(STDERR_FILENO))
        summer->progress = pl_progress_start(summer);
}

int pl_summer_batch(pl_summer *summer, const char *const *names, size_t n)
{
    pl_auto_free const char **asked = NULL;
    size_t files = 0;

    for (size_t i = 0; i < n; i++)
        files += !is_stdin(names[i]);
    summer->names = names;
    prepare(summer, files);
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
    pl_progress_resume(summer->progress);
    rc = pl_checksum_paths(summer->ledger, asked, n, 0, summer->checksums, summer->codes);
    pl_progress_pause(summer->progress);
    if (rc < 0) {
        say_without(rc);
        close_ledger(summer);
        for (size_t i = 0; i < n; i++)
            summer->codes[i] = PL_PENDING;
    }
    return 0;
}

static bool is_ledger_file(const pl_summer *summer, const char *name)
{
    static const char *const suffixes[] = {"", "-wal", "-shm", ".lock"};
    struct stat asked, own;
    char path[PATH_MAX + 8];

    if (!summer->path || stat(name, &asked) < 0 || !S_ISREG(asked.st_mode))
        return false;
    for (size_t i = 0; i < sizeof(suffixes) / sizeof(suffixes[0]); i++) {
        (void)snprintf(path, sizeof(path), "%s%s", summer->path, suffixes[i]);
        if (stat(path, &own) == 0 && own.st_ino == asked.st_ino && own.st_dev == asked.st_dev)
            return true;
    }
    return false;
}

int pl_summer_file(pl_summer *summer, const char *name, int *error)
{
    if (summer->ledger && is_ledger_file(summer, name)) {
        close_ledger(summer);
        summer->tried = false; /* the next batch opens it again */
    }
    int fd = open(name, O_RDONLY | O_CLOEXEC | O_NOCTTY);
    *error = fd < 0 ? errno : 0;
    return fd;
}

/* All of fd. 0; an errno in out->error; negative. *bytes counts on. */
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
        summer->bytes += (uint64_t)n;
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
    pl_auto_close int opened = is_stdin(name) ? -1 : pl_summer_file(summer, name, &out->error);
    int fd = is_stdin(name) ? STDIN_FILENO : opened;

    if (fd < 0)
        return 0;
    pl_progress_resume(summer->progress);
    int rc = digest_fd(summer, fd, out, bytes);
    pl_progress_pause(summer->progress);
    summer->stdin_closed |= fd == STDIN_FILENO && out->error == EBADF;
    return rc;
}

static void count(pl_summer *summer, uint32_t source)
{
    summer->hot += source == PL_SOURCE_HOT;
    summer->known += source == PL_SOURCE_LEDGER;
    summer->read += source == PL_SOURCE_COMPUTED;
}

/* What is known is known without opening the file; who may not read it gets sha256sum's answer all the same. */
static bool may_read(const char *name, const pl_checksum *served)
{
    return served->source == PL_SOURCE_COMPUTED || faccessat(AT_FDCWD, name, R_OK, AT_EACCESS) == 0;
}

int pl_summer_answer(pl_summer *summer, size_t i, pl_sum_answer *out)
{
    const pl_checksum *served = &summer->checksums[i];
    const char *name = summer->names[i];
    pl_sum_answer answer = {0};
    uint64_t bytes = 0;
    bool fine = summer->codes[i] == 0 && served->digests[0].length == PL_SUM_BYTES && may_read(name, served);

    /* Files of /proc and /sys say that they are empty and are not. Really empty ones cost one open more. */
    if (fine && served->identity.size > 0) {
        memcpy(answer.digest, served->digests[0].bytes, PL_SUM_BYTES);
        count(summer, served->source);
    } else {
        int rc = read_directly(summer, name, &answer, &bytes);
        if (rc < 0)
            return rc;
        if (answer.error == 0)
            count(summer, fine && bytes == 0 ? served->source : PL_SOURCE_COMPUTED);
    }
    summer->files++;
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

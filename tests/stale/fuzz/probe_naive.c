/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What everybody would write first: stat, read, stat, and whatever agrees is kept. No lease, no racy window, no tiers,
 * nothing written back. The same header as src/file/probe.c; the linker puts it in the prober's place (--wrap, as in
 * tests/support/fault.h) in the one program fuzz_stale_naive, in which the fuzzer must find stale answers: a fuzzer that
 * cannot see this one is none. The functions that open files are the product's own.
 */
#include "src/file/probe.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "src/base/error.h"

#define BUFFER ((size_t)256 * 1024)
#define TRIES 4

struct pl_prober {
    uint32_t algorithms;
    pl_digester *digester;
    unsigned char *buffer;
};

int __wrap_pl_prober_new(const pl_prober_options *options, pl_prober **out);
pl_prober *__wrap_pl_prober_free(pl_prober *prober);
int __wrap_pl_prober_run(pl_prober *prober, int fd, uint32_t algorithms, pl_probe_result *result);

int __wrap_pl_prober_new(const pl_prober_options *options, pl_prober **out)
{
    pl_prober *prober = calloc(1, sizeof(*prober));

    if (!prober)
        return pl_error_nomem();
    prober->algorithms = options->algorithms;
    prober->buffer = malloc(BUFFER);
    int rc = prober->buffer ? pl_digester_new(&prober->digester) : pl_error_nomem();
    if (rc < 0)
        (void)__wrap_pl_prober_free(prober);
    else
        *out = prober;
    return rc;
}

pl_prober *__wrap_pl_prober_free(pl_prober *prober)
{
    if (!prober)
        return NULL;
    pl_digester_free(prober->digester);
    free(prober->buffer);
    free(prober);
    return NULL;
}

static int read_all(pl_prober *prober, int fd, uint64_t *total)
{
    ssize_t n;

    *total = 0;
    while ((n = pread(fd, prober->buffer, BUFFER, (off_t)*total)) > 0) {
        int rc = pl_digester_update(prober->digester, prober->buffer, (size_t)n);
        if (rc < 0)
            return rc;
        *total += (uint64_t)n;
    }
    return n < 0 ? errno : 0;
}

int __wrap_pl_prober_run(pl_prober *prober, int fd, uint32_t algorithms, pl_probe_result *result)
{
    pl_probe_result own = {.outcome = PL_UNSTABLE, .assurance = PL_ASSURANCE_PROBED};
    pl_identity after;

    if (pl_file_system_of_fd(fd, &own.fs) != 0)
        own.outcome = PL_UNREADABLE;
    own.hashed_ns = pl_clock_realtime_ns(pl_clock_system());
    for (int n = 0; n < TRIES && own.outcome == PL_UNSTABLE; n++) {
        uint64_t total = 0;
        int rc = pl_digester_start(prober->digester, algorithms ? algorithms : prober->algorithms);
        if (rc < 0)
            return rc;
        int error = pl_identity_of_fd(fd, &own.identity);
        rc = error ? error : read_all(prober, fd, &total);
        if (rc < 0)
            return rc;
        if (rc == 0)
            rc = pl_identity_of_fd(fd, &after);
        own.bytes_read += total;
        if (rc > 0) {
            own.outcome = PL_UNREADABLE;
            own.error = rc;
        } else if (total == own.identity.size && pl_identity_equal(&own.identity, &after)) {
            own.outcome = PL_OK;
            rc = pl_digester_finish(prober->digester, &own.digests);
            if (rc < 0)
                return rc;
        }
    }
    *result = own;
    return 0;
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Text for people. Owns nothing. A stale answer is printed with the last operations and look-ups of its file in the
 * order in which they began, times in microseconds before the answer, so that one can see between which two of them
 * the ledger went wrong.
 */
#include "tests/stale/fuzz/report.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "tests/stale/fuzz/mutate.h"

static const char *const sources[] = {"none", "hot", "ledger", "computed"};

static double percent(uint64_t part, uint64_t of)
{
    return of ? 100.0 * (double)part / (double)of : 0;
}

void fuzz_report(const fuzz_shared *s, int64_t took_ns)
{
    const char *fs = s->options.fs;
    uint64_t looks = s->looks, hot = s->by_source[PL_SOURCE_HOT], ledger = s->by_source[PL_SOURCE_LEDGER];

    printf("%s: seed %" PRIu64 ", %" PRIu64 " operations in %.1f s: %" PRIu64 " mutations, %" PRIu64
           " look-ups (%.1f %% of them after a mutation, %.1f %% under a writable mapping)\n",
           fs, s->options.seed, s->mutations + looks, (double)took_ns / 1e9, s->mutations, looks,
           percent(s->after_mutation, looks), percent(s->held_dirty, looks));
    printf("%s: hits: hot %" PRIu64 ", ledger %" PRIu64 "; re-reads %" PRIu64 "; without an answer %" PRIu64
           "; served without reading %.1f %%\n",
           fs, hot, ledger, s->by_source[PL_SOURCE_COMPUTED], s->by_source[PL_SOURCE_NONE],
           percent(hot + ledger, looks));
    printf("%s: judged: %" PRIu64 " in %" PRIu64 " freezes, %" PRIu64 " beside the mutators, %" PRIu64
           " of them without an answer; stale %d\n",
           fs, s->judged_frozen, s->freezes, s->judged_running, s->unanswered, s->ending == FUZZ_STALE);
    printf("%s: done:", fs);
    for (unsigned i = 0; i < FUZZ_KIND_COUNT; i++) {
        printf(" %s %" PRIu64, fuzz_kind_name(i), s->kinds[i]);
        if (s->refused[i])
            printf(" (%" PRIu64 " failed, %s)", s->refused[i], strerrorname_np(s->refused_errno[i]));
    }
    printf("\n");
    fflush(stdout);
}

/* A copy that stands still. */
typedef struct line {
    int64_t begin_ns, end_ns, ctime_ns;
    uint32_t kind, who, source;
    int32_t result;
    uint64_t at, length, inode, digest;
} line;

static int by_begin(const void *a, const void *b)
{
    const line *x = a, *y = b;

    return x->begin_ns < y->begin_ns ? -1 : x->begin_ns > y->begin_ns;
}

static size_t copy_ring(const fuzz_event *ring, line *out)
{
    size_t n = 0;

    for (size_t i = 0; i < FUZZ_RING; i++)
        if (ring[i].begin_ns)
            out[n++] =
                (line){ring[i].begin_ns, ring[i].end_ns, ring[i].ctime_ns, ring[i].kind,  ring[i].who,   ring[i].source,
                       ring[i].result,   ring[i].at,     ring[i].length,   ring[i].inode, ring[i].digest};
    return n;
}

static void print_line(const line *l, int64_t now_ns)
{
    printf("  %10.1f us +%7.1f  ", (double)(l->begin_ns - now_ns) / 1e3, (double)(l->end_ns - l->begin_ns) / 1e3);
    if (l->kind == FUZZ_LOOK)
        printf("look-up  by %3u: code %d, %s%s, inode %" PRIu64 ", ctime %" PRId64 ", digest %016" PRIx64 "\n", l->who,
               l->result, sources[l->source & 3], l->at == PL_ASSURANCE_PROBED ? ", probed" : "", l->inode, l->ctime_ns,
               __builtin_bswap64(l->digest));
    else
        printf("mutation by %3u: %s, at %" PRIu64 ", length %" PRIu64 ", inode %" PRIu64 ": %s%d\n", l->who,
               fuzz_kind_name(l->kind), l->at, l->length, l->inode, l->result < 0 ? strerrorname_np(-l->result) : "",
               l->result);
}

void fuzz_report_stale(const fuzz_shared *s, unsigned slot, const pl_checksum *answer, const uint8_t digest[static 32],
                       unsigned who, const char *when)
{
    pl_digest right = {.algorithm = PL_SHA256, .length = 32};
    char path[4096], answered[129], expected[129];
    line lines[2 * FUZZ_RING];
    struct statx now = {0};
    int64_t now_ns = fuzz_now_ns();

    size_t n = copy_ring(s->slots[slot].mutations, lines);
    n += copy_ring(s->slots[slot].looks, lines + n);
    qsort(lines, n, sizeof(lines[0]), by_begin);
    memcpy(right.bytes, digest, 32);
    (void)pl_hex(&right, expected);
    (void)pl_hex(&answer->digests[0], answered);
    fuzz_path(s, slot, false, path);
    (void)statx(AT_FDCWD, path, 0, STATX_BASIC_STATS | STATX_BTIME, &now);
    printf("%s: STALE after %.3f s, seed %" PRIu64 ", operation %" PRIu64 ": %s, asked by %u (%s)\n", s->options.fs,
           (double)(now_ns - s->start_ns) / 1e9, s->options.seed, s->mutations + s->looks, path, who, when);
    printf("  answered %s (%s%s)\n  right is %s\n", answered, sources[answer->source & 3],
           answer->assurance == PL_ASSURANCE_PROBED ? ", probed" : "", expected);
    printf("  answered for inode %" PRIu64 ", size %" PRIu64 ", mtime %" PRId64 ", ctime %" PRId64 "\n",
           answer->identity.inode, answer->identity.size, answer->identity.mtime_ns, answer->identity.ctime_ns);
    printf("  the path is    inode %llu, size %llu, mtime %lld%09u, ctime %lld%09u; %u mappings held\n",
           (unsigned long long)now.stx_ino, (unsigned long long)now.stx_size, (long long)now.stx_mtime.tv_sec,
           now.stx_mtime.tv_nsec, (long long)now.stx_ctime.tv_sec, now.stx_ctime.tv_nsec,
           (unsigned)s->slots[slot].mapped);
    printf("  the last of what was done to it, in the order in which it began:\n");
    for (size_t i = 0; i < n; i++)
        print_line(&lines[i], now_ns);
    fflush(stdout);
}

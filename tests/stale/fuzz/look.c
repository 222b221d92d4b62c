/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Asking, and judging what comes. Owns no handle and no slot.
 *
 * The independent digest reads with pread(2) through the page cache, as every program would that runs the file; it
 * neither writes back nor drops anything, opens for reading only, and so changes nothing that decides whether the
 * product may keep an answer.
 *
 * Beside the mutators an answer is judged only if nothing was done to the file from before the question until after
 * the digest (shared.h: begun and ended): then the bytes were the same all the while. Whatever races is asked all the
 * same, and fills the caches with whatever races allow; those answers are judged by the next that is not.
 */
#include "tests/stale/fuzz/look.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "src/base/cleanup.h"
#include "tests/stale/fuzz/mutate.h"
#include "tests/stale/fuzz/report.h"

#define BUFFER ((size_t)256 * 1024)
#define AHEAD 24 /* mutations that look-ups may be ahead of the mix: some for a freeze */

int fuzz_looker_init(fuzz_looker *l, fuzz_shared *s, fuzz_handle *of, unsigned handle, unsigned number)
{
    *l = (fuzz_looker){.s = s, .of = of, .handle = handle, .who = handle * 100 + number};
    l->random = (s->options.seed ^ UINT64_C(0xa5a5)) * UINT64_C(0x9e3779b97f4a7c15) + l->who;
    l->sha256 = EVP_MD_fetch(NULL, "SHA256", NULL);
    l->digester = EVP_MD_CTX_new();
    l->buffer = malloc(BUFFER);
    return l->sha256 && l->digester && l->buffer ? 0 : -ENOMEM;
}

void fuzz_looker_deinit(fuzz_looker *l)
{
    EVP_MD_free(l->sha256);
    EVP_MD_CTX_free(l->digester);
    free(l->buffer);
}

static void remember(fuzz_looker *l, unsigned slot, int code, const pl_checksum *sum, int64_t begin_ns)
{
    fuzz_slot *of = &l->s->slots[slot];
    fuzz_event *event = &of->looks[atomic_fetch_add(&of->look_head, 1) % FUZZ_RING];
    uint64_t digest;

    memcpy(&digest, sum->digests[0].bytes, sizeof(digest));
    atomic_store(&event->begin_ns, begin_ns);
    atomic_store(&event->end_ns, fuzz_now_ns());
    atomic_store(&event->kind, FUZZ_LOOK);
    atomic_store(&event->who, l->who);
    atomic_store(&event->result, code);
    atomic_store(&event->source, sum->source);
    atomic_store(&event->at, sum->assurance);
    atomic_store(&event->inode, sum->identity.inode);
    atomic_store(&event->ctime_ns, sum->identity.ctime_ns);
    atomic_store(&event->digest, digest);
}

void fuzz_count(fuzz_looker *l, unsigned slot, int code, const pl_checksum *sum, int64_t begin_ns)
{
    fuzz_shared *s = l->s;
    uint64_t begun = atomic_load(&s->slots[slot].begun);

    atomic_fetch_add(&s->by_source[code == PL_OK ? sum->source : PL_SOURCE_NONE], 1);
    if (atomic_exchange(&s->slots[slot].asked[l->handle], begun) != begun)
        atomic_fetch_add(&s->after_mutation, 1);
    if (atomic_load(&s->slots[slot].mapped))
        atomic_fetch_add(&s->held_dirty, 1);
    remember(l, slot, code, sum, begin_ns);
    if (atomic_fetch_add(&s->looks, 1) + atomic_load(&s->mutations) + 1 >= s->options.operations)
        (void)fuzz_end(s, FUZZ_DONE);
}

int fuzz_ask(fuzz_looker *l, unsigned slot, fuzz_way way, int fd, pl_checksum *out)
{
    char path[4096];
    int64_t begin_ns = fuzz_now_ns();
    int code;

    *out = (pl_checksum){.struct_size = sizeof(*out)};
    fuzz_path(l->s, slot, way == FUZZ_BY_LINK, path);
    (void)pthread_rwlock_rdlock(&l->of->lock);
    code =
        way == FUZZ_BY_FD ? pl_checksum_fd(l->of->ledger, fd, 0, out) : pl_checksum_path(l->of->ledger, path, 0, out);
    (void)pthread_rwlock_unlock(&l->of->lock);
    if (code < 0) {
        fprintf(stderr, "fuzz_stale: the product failed: %s: %s\n", pl_strerror(code), pl_error_message());
        (void)fuzz_end(l->s, FUZZ_TROUBLE);
        return code;
    }
    fuzz_count(l, slot, code, out, begin_ns);
    return code;
}

bool fuzz_reopen(fuzz_looker *l)
{
    (void)pthread_rwlock_wrlock(&l->of->lock);
    l->of->ledger = pl_close(l->of->ledger);
    int r = pl_open(l->s->options.ledger, NULL, &l->of->ledger);
    (void)pthread_rwlock_unlock(&l->of->lock);
    if (r < 0) {
        fprintf(stderr, "fuzz_stale: %s: %s\n", l->s->options.ledger, pl_error_message());
        (void)fuzz_end(l->s, FUZZ_TROUBLE);
    }
    return r == 0;
}

int fuzz_digest(fuzz_looker *l, int fd, uint8_t out[static 32])
{
    off_t at = 0;
    ssize_t n;

    if (EVP_DigestInit_ex2(l->digester, l->sha256, NULL) != 1)
        return -ENOMEM;
    while ((n = pread(fd, l->buffer, BUFFER, at)) > 0) {
        if (EVP_DigestUpdate(l->digester, l->buffer, (size_t)n) != 1)
            return -ENOMEM;
        at += n;
    }
    if (n < 0)
        return -errno;
    return EVP_DigestFinal_ex(l->digester, out, NULL) == 1 ? 0 : -ENOMEM;
}

bool fuzz_judge(fuzz_looker *l, unsigned slot, int code, const pl_checksum *sum, const uint8_t digest[static 32],
                const char *when)
{
    if (code != PL_OK) {
        atomic_fetch_add(&l->s->unanswered, 1);
        return true;
    }
    if (memcmp(sum->digests[0].bytes, digest, 32) == 0)
        return true;
    if (fuzz_end(l->s, FUZZ_STALE))
        fuzz_report_stale(l->s, slot, sum, digest, l->who, when);
    return false;
}

unsigned fuzz_choose_look(fuzz_looker *l)
{
    unsigned small = l->s->options.files - FUZZ_BIG;
    unsigned how = fuzz_below(&l->random, 1000);

    if (how < 4)
        return small + fuzz_below(&l->random, FUZZ_BIG);
    if (how < 44)
        return fuzz_attention(l->s);
    if (how < 64) {
        unsigned head = atomic_load(&l->s->recent_head);
        return atomic_load(&l->s->recent[(head - 1 - fuzz_below(&l->random, 8)) % FUZZ_RECENT]);
    }
    if (how < 400) { /* a third of them for a sixteenth of the files, spread over all groups */
        unsigned few = small / 16;
        return fuzz_below(&l->random, few) * 16;
    }
    return fuzz_below(&l->random, small);
}

/* One look-up, judged if it can be. */
static void look_once(fuzz_looker *l)
{
    unsigned slot = fuzz_choose_look(l), how = fuzz_below(&l->random, 100);
    fuzz_slot *of = &l->s->slots[slot];
    fuzz_way way = how < 25 ? FUZZ_BY_FD : how < 30 ? FUZZ_BY_LINK : FUZZ_BY_PATH;
    bool wanted = fuzz_percent(&l->random, of->size >= (1u << 20) ? 25 : 50);
    char path[4096];
    uint8_t digest[32];
    uint64_t at;
    pl_checksum sum;

    bool quiet = fuzz_quiet(of, &at) && wanted;
    fuzz_path(l->s, slot, way == FUZZ_BY_LINK, path);
    pl_auto_close int fd = quiet || way != FUZZ_BY_PATH ? open(path, O_RDONLY | O_CLOEXEC) : -1;
    if (fd < 0 && way == FUZZ_BY_LINK) { /* no second name just now */
        way = FUZZ_BY_PATH;
        fuzz_path(l->s, slot, false, path);
        fd = open(path, O_RDONLY | O_CLOEXEC);
    }
    if (fd < 0 && way != FUZZ_BY_PATH)
        return;
    bool before = quiet && fuzz_percent(&l->random, 50); /* digest first, or answer first */
    if (before && (fd < 0 || fuzz_digest(l, fd, digest) < 0))
        quiet = false;
    int code = fuzz_ask(l, slot, way, fd, &sum);
    if (code < 0 || !quiet || fd < 0)
        return;
    if ((!before && fuzz_digest(l, fd, digest) < 0) || !fuzz_still_quiet(of, at))
        return;
    atomic_fetch_add(&l->s->judged_running, 1);
    (void)fuzz_judge(l, slot, code, &sum, digest, before ? "running, after the digest" : "running, before the digest");
}

void *fuzz_look_thread(void *looker)
{
    fuzz_looker *l = looker;

    while (fuzz_running(l->s)) {
        if (atomic_load(&l->s->looks) > (atomic_load(&l->s->mutations) + AHEAD) * FUZZ_LOOKS_PER_MUTATION)
            fuzz_pause();
        else
            look_once(l);
    }
    return NULL;
}

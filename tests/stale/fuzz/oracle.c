/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The oracle. A round:
 *
 *   1. freeze: every mutator is between two operations. Mappings stay held and dirty; nothing is stored, no write is in
 *      flight. Look-ups beside go on: an answer may be shared with one that began before the freeze.
 *   2. the product is asked (in one call or one by one), 3. the files are digested, 4. the product is asked again, by
 *      path or descriptor, 5. the other process asks its own handle.
 *   6. thaw.
 *
 * All answers of 2, 4 and 5 must be the digest of 3. The first question comes before the oracle has touched the file,
 * the second after its own answer may have been kept, so that neither a digest that makes the product look nor one
 * that the product kept wrongly goes unseen. A few descriptors are held over many rounds, so that files that were
 * replaced or unlinked meanwhile are asked for as well. The second process re-opens its handle every few rounds: a
 * restart, after which the ledger answers.
 *
 * Invariant: nobody's counters moved in a round; if they did, the barrier is broken and the run is worth nothing.
 */
#include "tests/stale/fuzz/oracle.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "src/base/cleanup.h"

#define LOOKS_PER_ROUND 150 /* from one freeze to the next */
#define REOPEN_ROUNDS 10    /* after so many the second process starts anew, from the ledger */
#define HELD 8              /* descriptors */

typedef struct held_fd {
    int fd; /* -1: none */
    unsigned slot;
} held_fd;

typedef struct round {
    fuzz_looker *l;
    unsigned slots[FUZZ_BATCH];
    uint64_t at[FUZZ_BATCH];
    unsigned count;
    held_fd held[HELD];
} round;

static void trouble(fuzz_shared *s, const char *what)
{
    if (fuzz_end(s, FUZZ_TROUBLE))
        fprintf(stderr, "fuzz_stale: %s\n", what);
}

/* First the one that many are at, then half of them changed a moment ago and half as look-ups choose. None twice. */
static void choose(round *r)
{
    fuzz_shared *s = r->l->s;
    unsigned head = atomic_load(&s->recent_head);

    r->count = 0;
    for (unsigned i = 0; i < FUZZ_BATCH; i++) {
        unsigned slot = fuzz_choose_look(r->l);
        if (i == 0)
            slot = fuzz_attention(s);
        else if (i % 2 && head > i)
            slot = atomic_load(&s->recent[(head - 1 - i / 2) % FUZZ_RECENT]);
        bool twice = false;
        for (unsigned j = 0; j < r->count; j++)
            twice = twice || r->slots[j] == slot;
        if (twice)
            continue;
        if (!fuzz_quiet(&s->slots[slot], &r->at[r->count]))
            trouble(s, "an operation is under way behind the barrier");
        r->slots[r->count++] = slot;
    }
}

/* Step 2 as one call of the product. */
static bool ask_all(round *r, int *codes, pl_checksum *sums)
{
    char paths[FUZZ_BATCH][4096];
    const char *list[FUZZ_BATCH];
    int64_t begin_ns = fuzz_now_ns();

    for (unsigned i = 0; i < r->count; i++) {
        fuzz_path(r->l->s, r->slots[i], false, paths[i]);
        list[i] = paths[i];
        sums[i] = (pl_checksum){.struct_size = sizeof(sums[i])};
    }
    if (pl_checksum_paths(r->l->of->ledger, list, r->count, 0, sums, codes) < 0) {
        trouble(r->l->s, pl_error_message());
        return false;
    }
    for (unsigned i = 0; i < r->count; i++)
        fuzz_count(r->l, r->slots[i], codes[i], &sums[i], begin_ns);
    return true;
}

static bool ask_each(round *r, int *codes, pl_checksum *sums)
{
    for (unsigned i = 0; i < r->count; i++)
        if ((codes[i] = fuzz_ask(r->l, r->slots[i], FUZZ_BY_PATH, -1, &sums[i])) < 0)
            return false;
    return true;
}

static bool judge(round *r, unsigned i, int code, const pl_checksum *sum, const char *when)
{
    atomic_fetch_add(&r->l->s->judged_frozen, 1);
    return fuzz_judge(r->l, r->slots[i], code, sum, r->l->s->digests[i], when);
}

/* Steps 3 and 4 for one file. */
static bool judge_file(round *r, unsigned i, int code, const pl_checksum *first)
{
    fuzz_looker *l = r->l;
    fuzz_way way = fuzz_percent(&l->random, 30) ? FUZZ_BY_FD : FUZZ_BY_PATH;
    char path[4096];
    pl_checksum sum;

    fuzz_path(l->s, r->slots[i], false, path);
    pl_auto_close int fd = open(path, O_RDONLY | O_CLOEXEC);
    int error = fd < 0 ? errno : -fuzz_digest(l, fd, l->s->digests[i]);
    if (error) {
        trouble(l->s, "a file cannot be read");
        return false;
    }
    if (!judge(r, i, code, first, "frozen, before the digest"))
        return false;
    code = fuzz_ask(l, r->slots[i], way, fd, &sum);
    return code >= 0 && judge(r, i, code, &sum, "frozen, after the digest");
}

/* Files that may have lost their names, by descriptors that are held. */
static bool judge_held(round *r)
{
    fuzz_looker *l = r->l;
    held_fd *one = &r->held[fuzz_below(&l->random, HELD)];
    uint8_t digest[32];
    char path[4096];
    pl_checksum sum;

    if (one->fd >= 0 && fuzz_percent(&l->random, 20)) {
        (void)close(one->fd);
        one->fd = -1;
    }
    if (one->fd < 0) {
        one->slot = fuzz_choose_look(l);
        fuzz_path(l->s, one->slot, false, path);
        one->fd = open(path, O_RDONLY | O_CLOEXEC);
        return true;
    }
    int code = fuzz_ask(l, one->slot, FUZZ_BY_FD, one->fd, &sum);
    if (code < 0 || fuzz_digest(l, one->fd, digest) < 0)
        return false;
    atomic_fetch_add(&l->s->judged_frozen, 1);
    return fuzz_judge(l, one->slot, code, &sum, digest, "frozen, by a descriptor that was held");
}

/* Step 5: the second process looks at s->batch and s->digests. */
static void let_second_judge(round *r)
{
    fuzz_shared *s = r->l->s;

    for (unsigned i = 0; i < r->count; i++)
        atomic_store(&s->batch[i], r->slots[i]);
    atomic_store(&s->batch_count, r->count);
    unsigned number = atomic_fetch_add(&s->round, 1) + 1;
    fuzz_wake(&s->round);
    for (unsigned done; (done = atomic_load(&s->done)) != number && fuzz_running(s);)
        fuzz_wait(&s->done, done);
}

static bool run_round(round *r)
{
    fuzz_shared *s = r->l->s;
    pl_checksum sums[FUZZ_BATCH];
    int codes[FUZZ_BATCH];

    choose(r);
    if (!(fuzz_percent(&r->l->random, 50) ? ask_all(r, codes, sums) : ask_each(r, codes, sums)))
        return false;
    for (unsigned i = 0; i < r->count; i++)
        if (!judge_file(r, i, codes[i], &sums[i]))
            return false;
    let_second_judge(r);
    if (!judge_held(r))
        return false;
    for (unsigned i = 0; i < r->count; i++)
        if (!fuzz_still_quiet(&s->slots[r->slots[i]], r->at[i]))
            trouble(s, "a file was changed behind the barrier");
    return fuzz_running(s);
}

void fuzz_oracle(fuzz_looker *l)
{
    fuzz_shared *s = l->s;
    round r = {.l = l};
    uint64_t next = 0;

    for (unsigned i = 0; i < HELD; i++)
        r.held[i].fd = -1;
    while (fuzz_running(s)) {
        if (atomic_load(&s->looks) < next) {
            fuzz_pause();
            continue;
        }
        if (fuzz_freeze(s))
            (void)run_round(&r);
        fuzz_thaw(s);
        next = atomic_load(&s->looks) + LOOKS_PER_ROUND;
    }
    for (unsigned i = 0; i < HELD; i++)
        if (r.held[i].fd >= 0)
            (void)close(r.held[i].fd);
}

void fuzz_oracle_second(fuzz_looker *l)
{
    fuzz_shared *s = l->s;
    unsigned done = 0;

    while (fuzz_running(s)) {
        unsigned number = atomic_load(&s->round);
        if (number == done) {
            fuzz_wait(&s->round, done);
            continue;
        }
        unsigned count = atomic_load(&s->batch_count);
        for (unsigned i = 0; i < count && fuzz_running(s); i++) {
            pl_checksum sum;
            unsigned slot = atomic_load(&s->batch[i]);
            int code = fuzz_ask(l, slot, FUZZ_BY_PATH, -1, &sum);
            atomic_fetch_add(&s->judged_frozen, 1);
            if (code < 0 || !fuzz_judge(l, slot, code, &sum, s->digests[i], "frozen, by the other process"))
                break;
        }
        done = number;
        atomic_store(&s->done, done);
        fuzz_wake(&s->done);
        if (done % REOPEN_ROUNDS == 0 && !fuzz_reopen(l))
            return;
    }
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A mutator: one operation after the other on files that it chooses by its own random numbers, so that a seed means the
 * same choices in the same order as far as they depend on nobody else; how those of several mutators interleave is the
 * kernel's affair. Owns its mappings, which it holds over many operations, dirty or not, also across the barrier; while
 * parked it stores and writes nothing and has nothing in flight.
 *
 * Whatever is done to a file lies between the two counters of its slot (mutate_once). O_DIRECT and a mapping of one file
 * are not coherent (open(2)), hence the `direct` slots, which are never mapped and are one mutator's own.
 *
 * Where it happens: half of the operations go to a group of files that moves on, so that others rest, as files do that
 * an update has left behind; some to the file of the operation before, while that is young; some to the one file at
 * which look-ups crowd (fuzz_attention), above all stores, which nobody is told of.
 */
#include "tests/stale/fuzz/mutate.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "src/base/cleanup.h"
#include "tests/stale/fuzz/operations.h"

#define GROUP_OPERATIONS 512 /* until the working set moves on */
#define AHEAD 16             /* operations that mutators may be ahead of the mix */

typedef fuzz_mutator mutator;
typedef fuzz_mapping mapping;

static unsigned below(mutator *m, unsigned n)
{
    return fuzz_below(&m->random, n);
}

const char *fuzz_kind_name(unsigned kind)
{
    static const char *const names[] = {
#define FUZZ_KIND_NAME(name, text) text,
        FUZZ_KINDS(FUZZ_KIND_NAME)
#undef FUZZ_KIND_NAME
    };

    return kind < FUZZ_KIND_COUNT ? names[kind] : "look-up";
}

static unsigned choose_kind(mutator *m)
{
    unsigned sum = 0, kind = 0;

    for (unsigned i = 0; i < FUZZ_KIND_COUNT; i++)
        sum += fuzz_operations[i].weight;
    unsigned n = below(m, sum);
    while (n >= fuzz_operations[kind].weight)
        n -= fuzz_operations[kind++].weight;
    return kind;
}

/* The slot itself, or its neighbour, which is anybody's. */
static unsigned allowed(const mutator *m, unsigned slot)
{
    return m->s->slots[slot].direct && slot / 4 % m->s->options.mutators != m->id ? slot - 1 : slot;
}

static unsigned choose_slot(mutator *m)
{
    fuzz_shared *s = m->s;
    unsigned small = s->options.files - FUZZ_BIG, group = small / 8, slot;
    unsigned how = below(m, 100);

    if (how < 1)
        slot = small + below(m, FUZZ_BIG);
    else if (how < 9)
        slot = fuzz_attention(s);
    else if (how < 34)
        slot = m->last_slot; /* another change while the first is young */
    else if (how < 80)
        slot = (unsigned)(atomic_load(&s->mutations) / GROUP_OPERATIONS % 8) * group + below(m, group);
    else
        slot = below(m, small);
    return allowed(m, slot);
}

/* One of this mutator's own files near `slot` that are never mapped. */
static unsigned choose_direct(const mutator *m, unsigned slot)
{
    unsigned n = m->s->options.mutators, own = (slot / (4 * n) * n + m->id) * 4 + 3;

    return own < m->s->options.files - FUZZ_BIG ? own : slot;
}

/* A mapping that is held and does not rest, rather one of `slot`. NULL: none. */
static mapping *choose_mapping(mutator *m, unsigned slot)
{
    uint64_t now = atomic_load(&m->s->mutations);
    unsigned first = m->held_count ? below(m, m->held_count) : 0;
    mapping *found = NULL;

    for (unsigned i = 0; i < m->held_count; i++) {
        mapping *one = &m->held[(first + i) % m->held_count];
        if (one->rests_until <= now && (!found || (one->slot == slot && found->slot != slot)))
            found = one;
    }
    return found;
}

/* What is done next, and to which file. */
static unsigned choose(mutator *m, unsigned *slot)
{
    unsigned kind = choose_kind(m);
    bool attended = kind == FUZZ_STORE && below(m, 4) == 0; /* silent changes of what is being read just now */

    *slot = attended ? allowed(m, fuzz_attention(m->s)) : choose_slot(m);
    if (kind == FUZZ_DIRECT || ((kind == FUZZ_AIO || kind == FUZZ_URING) && below(m, 2)))
        *slot = choose_direct(m, *slot);
    if (kind == FUZZ_STORE || kind == FUZZ_UNMAP || kind == FUZZ_MSYNC) {
        m->chosen = choose_mapping(m, attended || below(m, 2) ? *slot : m->last_slot);
        if (m->chosen && (!attended || m->chosen->slot == *slot)) {
            *slot = m->chosen->slot;
            return kind;
        }
        kind = FUZZ_MAP;
    }
    return kind == FUZZ_MAP && m->s->slots[*slot].direct ? FUZZ_PWRITE : kind;
}

static void remember(mutator *m, unsigned kind, unsigned slot, const fuzz_effect *e, ssize_t result, int64_t begin_ns)
{
    fuzz_slot *of = &m->s->slots[slot];
    fuzz_event *event = &of->mutations[atomic_fetch_add(&of->mutation_head, 1) % FUZZ_RING];

    atomic_store(&event->begin_ns, begin_ns);
    atomic_store(&event->end_ns, fuzz_now_ns());
    atomic_store(&event->kind, kind);
    atomic_store(&event->who, m->id);
    atomic_store(&event->result, (int32_t)result);
    atomic_store(&event->at, e->at);
    atomic_store(&event->length, e->length);
    atomic_store(&event->inode, e->inode);
}

static void mutate_once(mutator *m)
{
    fuzz_shared *s = m->s;
    fuzz_effect e = {0};
    unsigned slot, kind = choose(m, &slot);

    /* do_map may let go of the oldest mapping, of another file: letting go changes nothing. */
    atomic_fetch_add(&s->slots[slot].begun, 1);
    int64_t begin_ns = fuzz_now_ns();
    ssize_t result = fuzz_operations[kind].run(m, slot, &e);
    remember(m, kind, slot, &e, result, begin_ns);
    atomic_fetch_add(&s->slots[slot].ended, 1);

    atomic_fetch_add(&s->kinds[kind], 1);
    if (result < 0) {
        atomic_fetch_add(&s->refused[kind], 1);
        atomic_store(&s->refused_errno[kind], (int)-result);
    }
    atomic_store(&s->recent[atomic_fetch_add(&s->recent_head, 1) % FUZZ_RECENT], slot);
    m->last_slot = slot;
    atomic_fetch_add(&s->mutations, 1);
}

int fuzz_mutate(fuzz_shared *s, unsigned id)
{
    mutator m;

    if (!fuzz_mutator_init(&m, s, id)) {
        fuzz_mutator_deinit(&m);
        return 2;
    }
    while (fuzz_running(s)) {
        fuzz_park(s);
        if (atomic_load(&s->mutations) > atomic_load(&s->looks) / FUZZ_LOOKS_PER_MUTATION + AHEAD)
            fuzz_pause();
        else
            mutate_once(&m);
    }
    fuzz_mutator_deinit(&m);
    fuzz_park_for_good(s);
    return 0;
}

int fuzz_populate(const fuzz_shared *s)
{
    static const char *const folders[] = {"files", "links", "new"};
    char path[4096];
    mutator m;
    int error = 0;

    for (size_t i = 0; i < sizeof(folders) / sizeof(folders[0]); i++)
        if (snprintf(path, sizeof(path), "%s/%s", s->options.dir, folders[i]) >= (int)sizeof(path) ||
            (mkdir(path, 0755) != 0 && errno != EEXIST))
            return errno;
    if (!fuzz_mutator_init(&m, (fuzz_shared *)s, FUZZ_MUTATORS))
        return ENOMEM;
    for (unsigned i = 0; i < s->options.files && error == 0; i++) {
        fuzz_path(s, i, false, path);
        pl_auto_close int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0755);
        if (fd >= 0)
            error = (int)-fuzz_fill(&m, fd, 0, s->slots[i].size);
        else if (errno != EEXIST)
            error = errno;
    }
    fuzz_mutator_deinit(&m);
    return error;
}

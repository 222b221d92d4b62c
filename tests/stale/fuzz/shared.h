/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What all processes of one fuzz run share: the files under test ("slots"), the counters that make an answer judgeable,
 * the barrier at which mutators stop, and the last operations on each file. One anonymous shared mapping, made before
 * the first fork, never unmapped. Any process, any thread; all fields that change are atomic.
 */
#ifndef PL_STALE_FUZZ_SHARED_H
#define PL_STALE_FUZZ_SHARED_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

enum {
    FUZZ_RING = 64,     /* operations remembered for a file, and as many look-ups */
    FUZZ_MUTATORS = 16, /* most of them */
    FUZZ_BIG = 4,       /* slots of MiB, the last ones */
    FUZZ_BATCH = 24,    /* files judged in one freeze */
    FUZZ_RECENT = 256,  /* slots that were mutated last */
    FUZZ_HANDLES = 2,   /* handles on the one ledger, a process each */
};

/* What is done to a file. */
#define FUZZ_KINDS(X)                                                                                                  \
    X(STORE, "store")                                                                                                  \
    X(MAP, "map")                                                                                                      \
    X(UNMAP, "unmap")                                                                                                  \
    X(MSYNC, "msync")                                                                                                  \
    X(WRITE, "write")                                                                                                  \
    X(PWRITE, "pwrite")                                                                                                \
    X(DIRECT, "direct")                                                                                                \
    X(AIO, "libaio")                                                                                                   \
    X(URING, "io_uring")                                                                                               \
    X(RENAME, "rename-over")                                                                                           \
    X(LINK, "link")                                                                                                    \
    X(LINK_WRITE, "write-by-link")                                                                                     \
    X(UNLINK, "unlink")                                                                                                \
    X(REGROW, "truncate-regrow")                                                                                       \
    X(COPY_RANGE, "copy_file_range")                                                                                   \
    X(CLONE, "clone")                                                                                                  \
    X(PUNCH, "punch-hole")                                                                                             \
    X(COLLAPSE, "collapse")                                                                                            \
    X(ZERO, "zero-range")                                                                                              \
    X(OLD_MTIME, "old-mtime")                                                                                          \
    X(CHMOD, "chmod")                                                                                                  \
    X(SYNC, "fdatasync")

typedef enum fuzz_kind {
#define FUZZ_KIND_ENUM(name, text) FUZZ_##name,
    FUZZ_KINDS(FUZZ_KIND_ENUM)
#undef FUZZ_KIND_ENUM
        FUZZ_KIND_COUNT,
    FUZZ_LOOK = FUZZ_KIND_COUNT, /* in the ring of look-ups */
} fuzz_kind;

/* One remembered operation or look-up. Written by one, read when a stale answer is explained. */
typedef struct fuzz_event {
    _Atomic int64_t begin_ns, end_ns; /* CLOCK_MONOTONIC */
    _Atomic uint32_t kind, who;       /* who: a mutator's number, or handle * 100 + a look-up thread's */
    _Atomic int32_t result;           /* bytes or 0, else -errno; of a look-up: its code */
    _Atomic uint32_t source;          /* of a look-up */
    _Atomic uint64_t at, length;
    _Atomic uint64_t inode;
    _Atomic int64_t ctime_ns; /* of a look-up's answer */
    _Atomic uint64_t digest;  /* its first 8 bytes */
} fuzz_event;

typedef struct fuzz_slot {
    /* Operations that were begun and that have ended, counted just before and just after anything is done to the file
     * under any of its names: equal and unchanged means that the bytes stood still. */
    _Atomic uint64_t begun, ended;
    uint64_t size;      /* to which most operations return */
    atomic_uint mapped; /* writable mappings that are held */
    bool direct;        /* never mapped, one mutator's own: page cache and O_DIRECT are not coherent with a mapping */
    _Atomic uint64_t asked[FUZZ_HANDLES]; /* begun, at the last look-up through that handle */
    atomic_uint mutation_head, look_head;
    fuzz_event mutations[FUZZ_RING], looks[FUZZ_RING];
} fuzz_slot;

typedef struct fuzz_options {
    const char *dir, *ledger, *fs; /* fs: a name for the output */
    uint64_t operations, seed;
    unsigned files, mutators, readers;
    bool populate; /* make the files and end */
} fuzz_options;

enum { FUZZ_RUNNING = 0, FUZZ_DONE, FUZZ_STALE, FUZZ_TROUBLE };

typedef struct fuzz_shared {
    fuzz_options options;
    int64_t start_ns;
    _Atomic int ending; /* FUZZ_RUNNING, or why all stop */
    _Atomic uint64_t mutations, looks;

    /* The barrier. */
    atomic_uint frozen, parked;

    /* The second process: 0 before the first handle is there; round: its oracle has work; done: the last it did. */
    atomic_uint ready, round, done;
    atomic_uint batch_count;
    atomic_uint batch[FUZZ_BATCH];
    uint8_t digests[FUZZ_BATCH][32]; /* written and read in frozen rounds, ordered by round and done */

    /* Slots that look-ups prefer now and then: what was mutated last. */
    atomic_uint recent[FUZZ_RECENT];
    atomic_uint recent_head;

    /* What is printed. */
    _Atomic uint64_t by_source[4], unanswered, after_mutation, judged_frozen, judged_running, freezes, held_dirty;
    _Atomic uint64_t kinds[FUZZ_KIND_COUNT], refused[FUZZ_KIND_COUNT];
    _Atomic int refused_errno[FUZZ_KIND_COUNT];

    fuzz_slot slots[];
} fuzz_shared;

/* NULL: no memory. The files' sizes follow from the seed. */
fuzz_shared *fuzz_shared_new(const fuzz_options *options);

int64_t fuzz_now_ns(void);
/* About 0.1 ms: the pace of those who are ahead of the mix, never more. */
void fuzz_pause(void);
/* Why everybody stops; the first reason stays. True: this was the first. */
bool fuzz_end(fuzz_shared *s, int why);
static inline bool fuzz_running(fuzz_shared *s)
{
    return atomic_load(&s->ending) == FUZZ_RUNNING;
}

/* A mutator between two operations: waits here while frozen. */
void fuzz_park(fuzz_shared *s);
/* A mutator that ends is parked for good. */
void fuzz_park_for_good(fuzz_shared *s);
/* Waits until no operation is under way. False: the run ends instead. Whatever it says, fuzz_thaw follows. */
bool fuzz_freeze(fuzz_shared *s);
void fuzz_thaw(fuzz_shared *s);
/* Waits until *word differs from `value`, at most 20 ms. */
void fuzz_wait(atomic_uint *word, unsigned value);
void fuzz_wake(atomic_uint *word);

/* True and *at when nothing is being done to the file now; still_quiet: nothing began since. */
bool fuzz_quiet(fuzz_slot *slot, uint64_t *at);
bool fuzz_still_quiet(fuzz_slot *slot, uint64_t at);

/* DIR/files/NNNN, or DIR/links/NNNN: a second name of the same file, at times. */
void fuzz_path(const fuzz_shared *s, unsigned slot, bool link, char out[static 4096]);

/* The slot at which many look for a moment: for look-ups that meet an operation, or one another, in the same file. */
unsigned fuzz_attention(const fuzz_shared *s);

/* splitmix64: a seed, the same numbers. */
typedef uint64_t fuzz_random;
uint64_t fuzz_next(fuzz_random *random);
static inline unsigned fuzz_below(fuzz_random *random, unsigned n)
{
    return (unsigned)((fuzz_next(random) >> 32) * n >> 32);
}
static inline bool fuzz_percent(fuzz_random *random, unsigned percent)
{
    return fuzz_below(random, 100) < percent;
}

#endif

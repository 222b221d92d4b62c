/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The public handle: the local engine behind include/procledger/procledger.h. Owns one writer, one resolve
 * and what they stand on; adds nothing to the protocol but the caller's point of view: paths, descriptors,
 * waiting.
 *
 * A ledger that this user cannot write is still served from: then nothing that is learned is kept.
 */
#include "ledger/resolve.h"

#include "src/base/cleanup.h"
#include "src/base/error.h"
#include "src/base/fd.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/stat.h>

#define OWN_FILES_MAX 8
#define IN_FLIGHT_MAX 64 /* files that one call holds open: far below the usual limit of 1,024 descriptors   \ */
#define SWEEP_NS (INT64_C(10) * PL_NS_PER_S)
#define SWEEP_LOOK 64
#define DELETED " (deleted)"

struct pl_ledger {
    pl_writer *writer; /* NULL: the ledger is served from, not written */
    pl_resolve *resolve;
    const pl_clock *clock;
    pid_t owner; /* a forked child has neither the threads nor the locks */
    uint64_t mnt_ns;
    _Atomic int64_t swept_ns;
    atomic_uint calls; /* hot look-ups; every SWEEP_LOOK-th looks at the clock */
};

/* Waits for the answers of one call. */
typedef struct gathering {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    size_t open;
} gathering;

typedef struct slot {
    gathering *gathering;
    pl_checksum *out;
    int *code;
} slot;

static void fill(const pl_answer *answer, pl_checksum *out)
{
    size_t struct_size = out->struct_size;

    *out = (pl_checksum){.struct_size = struct_size,
                         .source = answer->source,
                         .assurance = answer->assurance,
                         .identity = answer->identity};
    memcpy(out->digests, answer->digests.digests, sizeof(out->digests));
}

static void slot_done(void *context, const pl_answer *answer)
{
    slot *s = context;

    fill(answer, s->out);
    *s->code = answer->outcome;
    pthread_mutex_lock(&s->gathering->lock);
    s->gathering->open--;
    pthread_cond_signal(&s->gathering->changed);
    pthread_mutex_unlock(&s->gathering->lock);
}

static void gathering_add(gathering *g, int n)
{
    pthread_mutex_lock(&g->lock);
    g->open += (size_t)n;
    pthread_mutex_unlock(&g->lock);
}

static void gathering_wait(gathering *g, size_t most)
{
    pthread_mutex_lock(&g->lock);
    while (g->open > most)
        pthread_cond_wait(&g->changed, &g->lock);
    pthread_mutex_unlock(&g->lock);
}

static int outcome_of_errno(int error)
{
    return error == ENOENT || error == ENOTDIR || error == ESRCH ? PL_VANISHED : PL_UNREADABLE;
}

/* The name under which the kernel knows a descriptor; NULL: it has none. To the name of one that was unlinked the kernel
 * adds " (deleted)", which may be the name of another file. */
static char *name_of_fd(int fd)
{
    pl_auto_free char *name = NULL;
    pl_identity opened, named;

    (void)pl_fd_name(fd, &name);
    size_t n = name ? strlen(name) : 0;
    if (n > strlen(DELETED) && strcmp(name + n - strlen(DELETED), DELETED) == 0 &&
        (pl_identity_of_fd(fd, &opened) != 0 || pl_identity_of_path(AT_FDCWD, name, false, &named) != 0 ||
         !pl_identity_equal(&opened, &named)))
        return NULL;
    return pl_steal(&name);
}

/* The sweep of a handle that has no event loop: done by whoever comes by when it is due. */
static void maintain(pl_ledger *ledger)
{
    int64_t now = pl_clock_boottime_ns(ledger->clock);

    int64_t swept = atomic_load_explicit(&ledger->swept_ns, memory_order_relaxed);

    if (now - swept < SWEEP_NS || !atomic_compare_exchange_strong(&ledger->swept_ns, &swept, now))
        return; /* not due, or somebody else does it */
    pl_resolve_sweep(ledger->resolve);
    pl_resolve_flush_seen(ledger->resolve);
}

/* Answers what needs no read: from memory, from the ledger, or with the reason why there is no answer. False: it has to
 * be read. */
static bool answer_at_once(pl_ledger *ledger, const char *path, uint32_t flags, pl_checksum *out, int *code)
{
    pl_place place = {.mnt_ns = ledger->mnt_ns, .detected_by = PL_DETECTED_REQUEST};
    pl_auto_free char *name = NULL;
    pl_identity identity;
    pl_answer answer;
    int error = pl_identity_of_path(AT_FDCWD, path, !(flags & PL_NOFOLLOW), &identity);

    *code = error ? outcome_of_errno(error) : S_ISREG(identity.mode) ? PL_OK : PL_NOT_REGULAR;
    if (*code == PL_OK && pl_resolve_prove(ledger->resolve, &identity, path, ledger->mnt_ns, &answer)) {
        fill(&answer, out);
        return true;
    }
    /* The history knows a file by its own name, whichever way it was asked for. */
    if (*code == PL_OK)
        place.path = name = realpath(path, NULL);
    if (*code == PL_OK && pl_resolve_recall(ledger->resolve, &identity, &place, &answer)) {
        fill(&answer, out);
        return true;
    }
    if (*code == PL_OK && !(flags & PL_NOREAD))
        return false;
    if (*code == PL_OK)
        *code = PL_PENDING;
    answer = (pl_answer){.error = error};
    if (!error)
        answer.identity = identity;
    fill(&answer, out);
    return true;
}

/* Those of one call that have to be read. */
typedef struct read_call {
    pl_ledger *ledger;
    gathering gathering;
    uint32_t flags;
    size_t own_count; /* 0: not looked at yet */
    pl_identity own[OWN_FILES_MAX];
} read_call;

/* Has one file read. 0: slot_done will tell, or *s->code says why not; negative: the call has failed. */
static int submit_read(read_call *r, const char *path, slot *s)
{
    pl_answer none = {0};
    int error = 0;

    if (r->own_count == 0)
        r->own_count = pl_resolve_forbidden(r->ledger->resolve, r->own, OWN_FILES_MAX);
    int fd = pl_pin_open(AT_FDCWD, path, !(r->flags & PL_NOFOLLOW), r->own, r->own_count, s->code, &error);
    if (fd < 0) {
        fill(&none, s->out);
        return 0;
    }
    pl_auto_free char *name = name_of_fd(fd);
    pl_place place = {.path = name, .mnt_ns = r->ledger->mnt_ns, .detected_by = PL_DETECTED_REQUEST};
    int result;
    gathering_wait(&r->gathering, IN_FLIGHT_MAX - 1);
    gathering_add(&r->gathering, 1);
    while ((result = pl_resolve_submit(r->ledger->resolve, fd, &place, true, slot_done, s)) == PL_ERR_QUEUE_FULL)
        pl_resolve_drain(r->ledger->resolve); /* other threads filled it: the caller waits anyway */
    if (result < 0) {
        (void)close(fd);
        gathering_add(&r->gathering, -1);
    }
    return result;
}

int pl_checksum_paths(pl_ledger *ledger, const char *const *paths, size_t n, uint32_t flags, pl_checksum *out,
                      int *codes)
{
    read_call r = {.ledger = ledger,
                   .flags = flags,
                   .gathering = {.lock = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER}};

    if (!ledger || (n && (!paths || !out || !codes)))
        return pl_error_set(PL_ERR_INVALID, "pl_checksum_paths: a required argument is NULL");
    for (size_t i = 0; i < n; i++)
        if (!paths[i] || out[i].struct_size != sizeof(pl_checksum))
            return pl_error_set(PL_ERR_INVALID, "pl_checksum_paths: entry %zu has no path or an unknown struct_size",
                                i);
    pl_auto_free slot *slots = calloc(n ? n : 1, sizeof(*slots));
    if (!slots)
        return pl_error_nomem();
    maintain(ledger);
    int result = 0;
    for (size_t i = 0; i < n && result == 0; i++) {
        if (answer_at_once(ledger, paths[i], flags, &out[i], &codes[i]))
            continue;
        slots[i] = (slot){.gathering = &r.gathering, .out = &out[i], .code = &codes[i]};
        result = submit_read(&r, paths[i], &slots[i]);
    }
    gathering_wait(&r.gathering, 0);
    return result;
}

int pl_checksum_path(pl_ledger *ledger, const char *path, uint32_t flags, pl_checksum *out)
{
    pl_checksum sum;
    int code = 0;

    if (!ledger || !path || !out || out->struct_size != sizeof(*out))
        return pl_error_set(PL_ERR_INVALID, "pl_checksum_path: an argument is NULL or has an unknown struct_size");
    if (atomic_fetch_add_explicit(&ledger->calls, 1, memory_order_relaxed) % SWEEP_LOOK == 0)
        maintain(ledger);
    if (answer_at_once(ledger, path, flags, out, &code))
        return code;
    sum.struct_size = sizeof(sum);
    int r = pl_checksum_paths(ledger, &path, 1, flags, &sum, &code);
    if (r < 0)
        return r;
    *out = sum;
    return code;
}

int pl_checksum_fd(pl_ledger *ledger, int fd, uint32_t flags, pl_checksum *out)
{
    gathering g = {.lock = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER, .open = 1};
    pl_checksum sum = {.struct_size = sizeof(sum)};
    pl_identity own[OWN_FILES_MAX], identity;
    int code = 0;
    slot s = {.gathering = &g, .out = &sum, .code = &code};

    if (!ledger || !out || out->struct_size != sizeof(*out))
        return pl_error_set(PL_ERR_INVALID, "pl_checksum_fd: an argument is NULL or has an unknown struct_size");
    int error = pl_identity_of_fd(fd, &identity);
    if (error == EBADF)
        return pl_error_set(PL_ERR_INVALID, "pl_checksum_fd: %d is no open descriptor", fd);
    maintain(ledger);
    size_t own_count = pl_resolve_forbidden(ledger->resolve, own, OWN_FILES_MAX);
    /* Re-opened before anything is answered: whoever cannot read the file does not learn its digest. */
    pl_auto_close int pinned = pl_pin_reopen(fd, own, own_count, &code, &error);
    if (pinned < 0) {
        *out = sum;
        return code;
    }
    pl_auto_free char *name = name_of_fd(pinned);
    pl_place place = {.path = name, .mnt_ns = ledger->mnt_ns, .detected_by = PL_DETECTED_REQUEST};
    pl_answer answer = {0};
    if (pl_identity_of_fd(pinned, &identity) == 0 && pl_resolve_recall(ledger->resolve, &identity, &place, &answer)) {
        fill(&answer, out);
        return 0;
    }
    if (flags & PL_NOREAD) {
        *out = sum;
        return PL_PENDING;
    }
    int r = pl_resolve_submit(ledger->resolve, pinned, &place, true, slot_done, &s);
    if (r < 0)
        return r;
    (void)pl_steal_fd(&pinned);
    gathering_wait(&g, 0);
    *out = sum;
    return code;
}

int pl_stats_get(pl_ledger *ledger, pl_stats *out)
{
    if (!ledger || !out || out->struct_size != sizeof(*out))
        return pl_error_set(PL_ERR_INVALID, "pl_stats_get: an argument is NULL or has an unknown struct_size");
    pl_resolve_stats_get(ledger->resolve, out);
    return 0;
}

/* The writer where this user may write, else none; *path is the file that is served. */
static int open_writer(const char *path, const pl_clock *clock, pl_writer **out)
{
    pl_store_options options = {.mode = PL_STORE_WRITE, .clock = clock};
    pl_store *store = NULL;
    int r = pl_store_open(path, &options, &store);

    if (r == PL_ERR_READ_ONLY || r == PL_ERR_PERMISSION)
        return 0; /* the reader's answer decides */
    if (r < 0)
        return r;
    r = pl_writer_new(store, NULL, out);
    if (r < 0)
        (void)pl_store_close(store);
    return r;
}

static int open_engine(pl_ledger *ledger, const char *path, const pl_options *options)
{
    pl_store_options reading = {.mode = PL_STORE_READ, .clock = ledger->clock};
    pl_resolve_options resolve = {
        .clock = ledger->clock,
        .algorithms = options ? options->algorithms : 0,
        .min_assurance = options ? (pl_assurance)options->min_assurance : PL_ASSURANCE_NONE,
        .workers = options ? options->workers : 0,
        .max_file_size = options ? options->max_file_size : 0,
    };
    pl_identity ns;

    int r = pl_boot_id_read("/proc", resolve.boot_id);
    if (r == 0)
        r = open_writer(path, ledger->clock, &ledger->writer);
    if (r == 0)
        r = pl_store_open(path, &reading, &resolve.reader);
    if (r < 0)
        return r;
    resolve.writer = ledger->writer;
    if (pl_identity_of_path(AT_FDCWD, "/proc/self/ns/mnt", true, &ns) == 0)
        ledger->mnt_ns = ns.inode;
    r = pl_resolve_new(&resolve, &ledger->resolve);
    if (r < 0)
        (void)pl_store_close(resolve.reader);
    return r;
}

int pl_open(const char *path, const pl_options *options, pl_ledger **out)
{
    pl_auto_free char *chosen = NULL;
    int r = 0;

    if (!out || (options && options->struct_size != sizeof(*options)))
        return pl_error_set(PL_ERR_INVALID, "pl_open: out is NULL or options have an unknown struct_size");
    if (!path) {
        r = pl_store_default_path(&chosen);
        if (r == 0)
            r = pl_store_prepare_folder(chosen);
        if (r < 0)
            return r;
        path = chosen;
    }
    pl_ledger *ledger = calloc(1, sizeof(*ledger));
    if (!ledger)
        return pl_error_nomem();
    ledger->clock = pl_clock_system();
    ledger->owner = getpid();
    ledger->swept_ns = pl_clock_boottime_ns(ledger->clock);
    r = open_engine(ledger, path, options);
    if (r < 0) {
        (void)pl_close(ledger);
        return r;
    }
    *out = ledger;
    return 0;
}

pl_ledger *pl_close(pl_ledger *ledger)
{
    if (!ledger || ledger->owner != getpid())
        return NULL;
    if (ledger->resolve)
        pl_resolve_flush_seen(ledger->resolve);
    (void)pl_resolve_free(ledger->resolve);
    (void)pl_writer_free(ledger->writer);
    free(ledger);
    return NULL;
}

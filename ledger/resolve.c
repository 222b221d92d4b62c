/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The serving protocol. Owns the hot cache, the hasher, the connection for ledger lookups and the list of
 * files that were too young to be cached. Must not own the writer (the recorder and the handle do) and knows
 * no process.
 *
 * Locks, never nested: cache_lock (cache, mounts), store_lock (reader connection; the only one held over disk reads,
 * and only by threads that may block), retry_lock (retry list). The event path takes cache_lock and
 * retry_lock alone.
 *
 * Invariants: only what the probe calls cacheable, with at least min_assurance, enters the cache; what the
 * ledger gives is served under an identity that was seen just now, in the boot in which it was hashed (or
 * after one re-read).
 */
#include "ledger/resolve.h"

#include "src/base/cleanup.h"
#include "src/base/error.h"
#include "src/base/lock.h"
#include "src/file/mounts.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>

#define DEFAULT_PATH_TTL_NS (INT64_C(86400) * PL_NS_PER_S)
/* Step 7's long window: after a step of the clock nothing younger than this is believed. */
#define CLOCK_WINDOW_NS (2 * PL_NS_PER_S)

/* One submitted lookup, from submit to its last read. */
typedef struct job {
    pl_resolve *resolve;
    char *path, *container;
    pl_place place; /* strings point at the two above, key at the one below */
    pl_kernel_key key;
    pl_answer_fn done; /* NULL once called */
    void *context;
    int fd;              /* our own duplicate, for a second read; -1 */
    bool known_hot;      /* known() answered from the cache, else from the ledger */
    bool known_recorded; /* the cache has this very path: no sighting is due */
    bool had_other_boot; /* the ledger knows this identity from another boot */
    pl_digest_set other_boot;
    int64_t due_ns; /* boottime of the second read */
    struct job *next;
} job;

struct pl_resolve {
    pl_resolve_options options;
    pl_resolve_listener listener; /* set before the first look-up */
    pl_hasher *hasher;
    pthread_mutex_t cache_lock;
    pl_file_cache *cache;
    pl_mounts *mounts; /* guarded by cache_lock */
    pthread_mutex_t store_lock;
    pl_store *reader;
    pthread_mutex_t retry_lock;
    job *retries; /* by due_ns, soonest first */
    size_t retry_count;
    int64_t flushed_ns; /* boottime of the last flush of last_seen; guarded by cache_lock */
    atomic_uint_fast64_t hits_hot, hits_ledger, failures;
};

static job *job_free(job *j)
{
    if (!j)
        return NULL;
    free(j->path);
    free(j->container);
    pl_cleanup_close(&j->fd);
    free(j);
    return NULL;
}

static int64_t wall_minus_boot(const pl_resolve *resolve)
{
    return pl_clock_realtime_ns(resolve->options.clock) - pl_clock_boottime_ns(resolve->options.clock);
}

static void answer_from_cache(const pl_cached_file *file, pl_answer_source source, pl_answer *out)
{
    *out = (pl_answer){
        .source = source, .assurance = file->assurance, .identity = file->identity, .digests = file->digests};
}

/* When a look at place counts as having seen it. */
static int64_t seen_at(const pl_resolve *resolve, const pl_place *place)
{
    return place && place->background ? place->seen_ns : pl_clock_boottime_ns(resolve->options.clock);
}

static void tell(const pl_resolve *resolve, const pl_place *place, const pl_identity *identity, int outcome,
                 bool proven, pl_tier tier)
{
    pl_learned learned = {.place = place, .identity = identity, .outcome = outcome, .proven = proven, .tier = tier};

    if (resolve->listener.learned && place && place->path)
        resolve->listener.learned(resolve->listener.context, &learned);
}

/* The part of a sighting that every kind has. */
static void sighting_init(const pl_resolve *resolve, const pl_place *place, pl_sighting *out)
{
    *out = (pl_sighting){
        .path = place->path,
        .mnt_ns = place->mnt_ns,
        .container = place->container,
        .time_ns = pl_clock_realtime_ns(resolve->options.clock),
        .detected_by = place->detected_by,
        .unseen = place->background,
        .wall_minus_boot_ns = wall_minus_boot(resolve),
    };
    memcpy(out->boot_id, resolve->options.boot_id, sizeof(out->boot_id));
    out->hashed_ns = out->time_ns;
}

/* A path that is new for an identity whose digest is known: its own version row, bound to the same proof. */
static void record_alias(pl_resolve *resolve, const pl_cached_file *file, const pl_place *place)
{
    pl_sighting sighting;

    if (!resolve->options.writer || !place->path)
        return;
    sighting_init(resolve, place, &sighting);
    sighting.hash_state = PL_HASH_OK;
    sighting.assurance = file->assurance;
    sighting.cacheable = true;
    sighting.identity = file->identity;
    sighting.fs.tier = file->tier;
    sighting.digests = file->digests;
    (void)pl_writer_sighting(resolve->options.writer, &sighting);
}

static bool has_algorithms(const pl_resolve *resolve, const pl_digest_set *digests)
{
    return (pl_digest_set_algorithms(digests) & resolve->options.algorithms) == resolve->options.algorithms;
}

/* Looks in the cache and binds the path. *path_known: the cache had this path for this identity already. */
static bool find_hot(pl_resolve *resolve, const pl_identity *identity, const pl_place *place, pl_cached_file *out,
                     bool *path_known)
{
    int64_t now = seen_at(resolve, place);
    const char *path = place ? place->path : NULL;
    bool found;

    pthread_mutex_lock(&resolve->cache_lock);
    *path_known = path && pl_file_cache_prove(resolve->cache, path, place->mnt_ns, identity, now, out);
    found = *path_known || pl_file_cache_find(resolve->cache, identity, now, out);
    if (found && !pl_mounts_same(resolve->mounts, &out->identity, identity)) {
        (void)pl_file_cache_drop(resolve->cache, &out->identity); /* of a file system that was unmounted */
        found = *path_known = false;
    }
    found = found && has_algorithms(resolve, &out->digests);
    if (found && place && place->key)
        (void)pl_file_cache_bind_key(resolve->cache, place->key, identity);
    if (found && path && !*path_known) /* out of memory: the path stays unbound and is recorded again next time */
        (void)pl_file_cache_bind(resolve->cache, path, place->mnt_ns, identity, now);
    pthread_mutex_unlock(&resolve->cache_lock);
    *path_known = *path_known || !path;
    return found;
}

bool pl_resolve_key(pl_resolve *resolve, const pl_kernel_key *key, pl_identity *out)
{
    int64_t now = pl_clock_boottime_ns(resolve->options.clock);
    pl_cached_file file = {.identity = {0}};

    pthread_mutex_lock(&resolve->cache_lock);
    bool found = pl_file_cache_find_key(resolve->cache, key, now, &file);
    pl_identity seen = file.identity;
    seen.mount_id = key->mount_id;
    found = found && pl_mounts_same(resolve->mounts, &file.identity, &seen);
    pthread_mutex_unlock(&resolve->cache_lock);
    if (found)
        *out = seen;
    return found;
}

bool pl_resolve_hot(pl_resolve *resolve, const pl_identity *identity, const pl_place *place, pl_answer *out)
{
    pl_cached_file file;
    bool path_known;

    if (!find_hot(resolve, identity, place, &file, &path_known))
        return false;
    if (!path_known) {
        record_alias(resolve, &file, place);
        tell(resolve, place, identity, PL_OK, true, file.tier);
    }
    atomic_fetch_add_explicit(&resolve->hits_hot, 1, memory_order_relaxed);
    answer_from_cache(&file, PL_SOURCE_HOT, out);
    return true;
}

bool pl_resolve_prove(pl_resolve *resolve, const pl_identity *identity, const char *path, uint64_t mnt_ns,
                      pl_answer *out)
{
    int64_t now = pl_clock_boottime_ns(resolve->options.clock);
    pl_cached_file file;

    pthread_mutex_lock(&resolve->cache_lock);
    bool proven = pl_file_cache_prove(resolve->cache, path, mnt_ns, identity, now, &file) &&
                  pl_mounts_same(resolve->mounts, &file.identity, identity) && has_algorithms(resolve, &file.digests);
    pthread_mutex_unlock(&resolve->cache_lock);
    if (!proven)
        return false;
    atomic_fetch_add_explicit(&resolve->hits_hot, 1, memory_order_relaxed);
    answer_from_cache(&file, PL_SOURCE_HOT, out);
    return true;
}

/* Enters what was proven into the cache. Failure to remember is not a failure to answer. */
static void learn(pl_resolve *resolve, const pl_cached_file *file, const pl_place *place)
{
    int64_t now = seen_at(resolve, place);

    pthread_mutex_lock(&resolve->cache_lock);
    pl_mounts_note(resolve->mounts, &file->identity);
    int r = pl_file_cache_insert(resolve->cache, file, now);
    if (r == 0 && place->path)
        (void)pl_file_cache_bind(resolve->cache, place->path, place->mnt_ns, &file->identity, now);
    if (r == 0 && place->key)
        (void)pl_file_cache_bind_key(resolve->cache, place->key, &file->identity);
    pthread_mutex_unlock(&resolve->cache_lock);
}

/* Asks the ledger. 0: *out may be served. PL_PENDING: not known, or not to be believed yet; *out is filled
 * when the identity is known from another boot (same_boot false). */
static int find_in_ledger(pl_resolve *resolve, const pl_identity *identity, pl_known_file *out)
{
    int64_t now = pl_clock_realtime_ns(resolve->options.clock);
    int r = PL_PENDING;

    out->version_id = 0;
    pthread_mutex_lock(&resolve->store_lock);
    if (resolve->reader)
        r = pl_files_find(resolve->reader, identity, resolve->options.boot_id, now, resolve->options.path_ttl_ns, out);
    pthread_mutex_unlock(&resolve->store_lock);
    if (r != 0)
        return r < 0 ? PL_PENDING : r; /* an unreadable ledger costs a re-read, never an answer */
    pthread_mutex_lock(&resolve->cache_lock);
    bool same_file_system = !out->same_boot || pl_mounts_same(resolve->mounts, &out->identity, identity);
    pthread_mutex_unlock(&resolve->cache_lock);
    if (!same_file_system)
        out->same_boot = false; /* what it had before it was mounted again is as good as another boot's */
    if (!out->same_boot && (!resolve->options.reuse_across_reboot || !same_file_system))
        return PL_PENDING;
    /* Step 16: with the clock set back, a file written now could carry this ctime again. */
    if (identity->ctime_ns > now - CLOCK_WINDOW_NS && out->wall_minus_boot_ns > wall_minus_boot(resolve) + PL_NS_PER_S)
        return PL_PENDING;
    if (!has_algorithms(resolve, &out->digests))
        return PL_PENDING;
    return out->assurance >= resolve->options.min_assurance ? 0 : PL_PENDING;
}

static void cached_from_known(const pl_known_file *known, const pl_identity *identity, pl_cached_file *out)
{
    *out = (pl_cached_file){
        .identity = *identity,
        .digests = known->digests,
        .assurance = known->assurance,
        .tier = known->fs.tier,
    };
}

bool pl_resolve_recall(pl_resolve *resolve, const pl_identity *identity, const pl_place *place, pl_answer *out)
{
    pl_known_file known;
    pl_cached_file file;

    if (pl_resolve_hot(resolve, identity, place, out))
        return true;
    if (find_in_ledger(resolve, identity, &known) != 0 || !known.same_boot)
        return false; /* of another boot (reuse_across_reboot): a worker compares the file system too */
    cached_from_known(&known, identity, &file);
    learn(resolve, &file, place);
    tell(resolve, place, identity, PL_OK, true, file.tier);
    atomic_fetch_add_explicit(&resolve->hits_ledger, 1, memory_order_relaxed);
    answer_from_cache(&file, PL_SOURCE_LEDGER, out);
    return true;
}

/* Device numbers mean nothing across boots: the file system's own name and the inode's generation stand in for them.
 * 1: the same place, 0: another one, -1: nobody can tell. */
static int same_place(const pl_file_system *then, int fd)
{
    static const uint8_t none[sizeof(then->uuid)];
    pl_file_system now;

    if (pl_file_system_of_fd(fd, &now) != 0)
        return -1;
    if (then->generation && now.generation && then->generation != now.generation)
        return 0;
    if (memcmp(then->uuid, none, sizeof(none)) != 0 && memcmp(now.uuid, none, sizeof(none)) != 0)
        return memcmp(then->uuid, now.uuid, sizeof(none)) == 0;
    return then->fsid && now.fsid ? then->fsid == now.fsid : -1;
}

/* What the ledger knows of this identity. True: *known may be served; else what another boot knew is kept for the
 * comparison after the read (step 15). */
static bool known_to_ledger(job *j, const pl_identity *identity, int fd, pl_known_file *known)
{
    bool found = find_in_ledger(j->resolve, identity, known) == 0;
    bool other_boot = known->version_id != 0 && !known->same_boot;
    int place = other_boot ? same_place(&known->fs, fd) : 1;

    j->had_other_boot = other_boot && place != 0;
    if (j->had_other_boot)
        j->other_boot = known->digests;
    return found && place == 1;
}

/* The hasher asks on a worker, before it reads. */
static bool job_known(void *context, const pl_identity *identity, int fd, pl_probe_result *result)
{
    job *j = context;
    pl_resolve *resolve = j->resolve;
    pl_known_file known;
    pl_cached_file file;
    bool path_known = true;

    j->known_hot = find_hot(resolve, identity, &j->place, &file, &path_known);
    if (!j->known_hot) {
        if (!known_to_ledger(j, identity, fd, &known))
            return false;
        cached_from_known(&known, identity, &file);
        learn(resolve, &file, &j->place);
    }
    if (!path_known || !j->known_hot) {
        record_alias(resolve, &file, &j->place);
        tell(resolve, &j->place, identity, PL_OK, true, file.tier);
    }
    *result = (pl_probe_result){
        .assurance = file.assurance, .identity = *identity, .fs.tier = file.tier, .digests = file.digests};
    return true;
}

pl_hash_state pl_hash_state_of(int outcome)
{
    switch (outcome) {
    case PL_OK:
        return PL_HASH_OK;
    case PL_VANISHED:
        return PL_HASH_VANISHED;
    case PL_TOO_BIG:
        return PL_HASH_TOO_BIG;
    case PL_UNSTABLE:
        return PL_HASH_UNSTABLE;
    case PL_PENDING:
        return PL_HASH_PENDING;
    default:
        return PL_HASH_UNREADABLE;
    }
}

/* Writes what a read found into the history. */
static void record_read(job *j, const pl_probe_result *result, bool cacheable)
{
    pl_resolve *resolve = j->resolve;
    pl_sighting sighting;
    char old_hex[129];

    if (!resolve->options.writer || !j->place.path || result->outcome == PL_PENDING || result->identity.nlink == 0)
        return;
    sighting_init(resolve, &j->place, &sighting);
    sighting.hash_state = pl_hash_state_of(result->outcome);
    sighting.assurance = result->assurance;
    sighting.cacheable = cacheable;
    sighting.identity = result->identity;
    sighting.fs = result->fs;
    sighting.hashed_ns = result->hashed_ns;
    sighting.digests = result->digests;
    (void)pl_writer_sighting(resolve->options.writer, &sighting);
    if (j->had_other_boot && result->outcome == PL_OK &&
        memcmp(j->other_boot.digests[0].bytes, result->digests.digests[0].bytes, 32) != 0) {
        (void)pl_hex(&j->other_boot.digests[0], old_hex);
        (void)pl_writer_identity_alert(resolve->options.writer, &sighting, old_hex);
    }
}

static void retry_insert(pl_resolve *resolve, job *j)
{
    pthread_mutex_lock(&resolve->retry_lock);
    if (resolve->retry_count < resolve->options.retry_limit) {
        job **at = &resolve->retries;
        while (*at && (*at)->due_ns <= j->due_ns)
            at = &(*at)->next;
        j->next = *at;
        *at = j;
        resolve->retry_count++;
        j = NULL;
    }
    pthread_mutex_unlock(&resolve->retry_lock);
    (void)job_free(j);
}

static void job_done(void *context, const pl_probe_result *result, bool was_known)
{
    job *j = context;
    pl_resolve *resolve = j->resolve;
    bool cacheable = result->outcome == PL_OK && result->uncached == PL_CACHEABLE &&
                     result->assurance >= resolve->options.min_assurance;
    pl_answer answer = {
        .outcome = result->outcome,
        .error = result->error,
        .source = result->outcome != PL_OK ? PL_SOURCE_NONE
                  : !was_known             ? PL_SOURCE_COMPUTED
                  : j->known_hot           ? PL_SOURCE_HOT
                                           : PL_SOURCE_LEDGER,
        .assurance = result->assurance,
        .identity = result->identity,
        .digests = result->digests,
        .proven = was_known || cacheable,
        .retry_ns = result->outcome == PL_OK && result->uncached == PL_UNCACHED_YOUNG ? result->retry_ns : 0,
        .tier = result->fs.tier,
    };

    if (was_known) {
        atomic_fetch_add_explicit(j->known_hot ? &resolve->hits_hot : &resolve->hits_ledger, 1, memory_order_relaxed);
    } else {
        pl_cached_file file = {.identity = result->identity,
                               .digests = result->digests,
                               .assurance = result->assurance,
                               .tier = result->fs.tier};
        if (cacheable)
            learn(resolve, &file, &j->place);
        record_read(j, result, cacheable);
        if (result->outcome != PL_PENDING && result->identity.nlink)
            tell(resolve, &j->place, &result->identity, result->outcome, cacheable, result->fs.tier);
    }
    if (result->outcome != PL_OK)
        atomic_fetch_add_explicit(&resolve->failures, 1, memory_order_relaxed);
    if (j->done)
        j->done(j->context, &answer);
    j->done = NULL;
    if (!was_known && result->outcome == PL_OK && result->uncached == PL_UNCACHED_YOUNG && j->fd >= 0) {
        j->due_ns = pl_clock_boottime_ns(resolve->options.clock) + result->retry_ns;
        retry_insert(resolve, j);
        return;
    }
    (void)job_free(j);
}

/* The hasher asks on a worker, before it opens a pinned file. */
static size_t job_forbidden(void *context, pl_identity *out, size_t n)
{
    const job *j = context;

    return pl_resolve_forbidden(j->resolve, out, n);
}

/* Hands the job to the hasher with a descriptor of its own, or (fd -1) as a path below root_fd. The job stays the
 * caller's on failure. */
static int job_start(job *j, int fd, int root_fd, bool urgent)
{
    pl_hash_job hash = {
        .fd = fd,
        .path = fd < 0 ? j->path : NULL,
        .root_fd = root_fd,
        .algorithms = j->resolve->options.algorithms,
        .urgent = urgent,
        .forbidden = job_forbidden,
        .known = job_known,
        .done = job_done,
        .context = j,
    };

    return pl_hasher_submit(j->resolve->hasher, &hash);
}

/* NULL: out of memory. */
static job *job_new(pl_resolve *resolve, const pl_place *place, pl_answer_fn done, void *context)
{
    job *j = calloc(1, sizeof(*j));

    if (!j)
        return NULL;
    *j = (job){.resolve = resolve, .place = *place, .done = done, .context = context, .fd = -1};
    j->path = place->path ? strdup(place->path) : NULL;
    j->container = place->container ? strdup(place->container) : NULL;
    if ((place->path && !j->path) || (place->container && !j->container))
        return job_free(j);
    j->place.path = j->path;
    j->place.container = j->container;
    if (place->key) {
        j->key = *place->key;
        j->place.key = &j->key;
    }
    return j;
}

int pl_resolve_submit(pl_resolve *resolve, int fd, const pl_place *place, bool urgent, pl_answer_fn done, void *context)
{
    job *j = job_new(resolve, place, done, context);

    if (!j)
        return pl_error_nomem();
    /* No descriptor left: the file is read all the same, and once more when it is next asked for. */
    if (resolve->options.retry_limit)
        j->fd = fcntl(fd, F_DUPFD_CLOEXEC, 3);
    int r = job_start(j, fd, -1, urgent);
    if (r < 0)
        (void)job_free(j);
    return r;
}

int pl_resolve_submit_path(pl_resolve *resolve, int root_fd, const pl_place *place, pl_answer_fn done, void *context)
{
    job *j = job_new(resolve, place, done, context);

    if (!j)
        return pl_error_nomem();
    int r = job_start(j, -1, root_fd, false);
    if (r < 0)
        (void)job_free(j);
    return r;
}

int64_t pl_resolve_retry(pl_resolve *resolve)
{
    for (;;) {
        int64_t now = pl_clock_boottime_ns(resolve->options.clock), wait = -1;
        job *due = NULL;

        pthread_mutex_lock(&resolve->retry_lock);
        if (resolve->retries && resolve->retries->due_ns <= now) {
            due = resolve->retries;
            resolve->retries = due->next;
            resolve->retry_count--;
        } else if (resolve->retries) {
            wait = resolve->retries->due_ns - now;
        }
        pthread_mutex_unlock(&resolve->retry_lock);
        if (!due)
            return wait;
        due->next = NULL;
        int fd = pl_steal_fd(&due->fd);
        if (job_start(due, fd, -1, false) < 0) {
            pl_cleanup_close(&fd);
            (void)job_free(due);
        }
    }
}

void pl_resolve_listen(pl_resolve *resolve, const pl_resolve_listener *listener)
{
    resolve->listener = listener ? *listener : (pl_resolve_listener){0};
}

void pl_resolve_touch(pl_resolve *resolve, const char *path, uint64_t mnt_ns)
{
    pthread_mutex_lock(&resolve->cache_lock);
    bool found = pl_file_cache_touch(resolve->cache, path, mnt_ns, pl_clock_boottime_ns(resolve->options.clock));
    pthread_mutex_unlock(&resolve->cache_lock);
    if (!found && resolve->listener.seen)
        resolve->listener.seen(resolve->listener.context, path, mnt_ns);
}

void pl_resolve_drop(pl_resolve *resolve, const pl_identity *identity)
{
    pthread_mutex_lock(&resolve->cache_lock);
    (void)pl_file_cache_drop(resolve->cache, identity);
    pthread_mutex_unlock(&resolve->cache_lock);
}

int pl_resolve_live(pl_resolve *resolve, int64_t after_id, pl_live_version *out, size_t n)
{
    int64_t since = pl_clock_realtime_ns(resolve->options.clock) - resolve->options.path_ttl_ns;
    int r = 0;

    pthread_mutex_lock(&resolve->store_lock);
    if (resolve->reader)
        r = pl_files_live(resolve->reader, after_id, resolve->options.boot_id, since, out, n);
    pthread_mutex_unlock(&resolve->store_lock);
    return r;
}

void pl_resolve_forget(pl_resolve *resolve, const char *path, uint64_t mnt_ns)
{
    pthread_mutex_lock(&resolve->cache_lock);
    (void)pl_file_cache_drop_path(resolve->cache, path, mnt_ns);
    pthread_mutex_unlock(&resolve->cache_lock);
}

int64_t pl_resolve_seen_ns(pl_resolve *resolve, const char *path, uint64_t mnt_ns)
{
    pthread_mutex_lock(&resolve->cache_lock);
    int64_t seen = pl_file_cache_last_seen(resolve->cache, path, mnt_ns);
    pthread_mutex_unlock(&resolve->cache_lock);
    return seen;
}

void pl_resolve_gone(pl_resolve *resolve, const pl_place *place)
{
    pl_resolve_forget(resolve, place->path, place->mnt_ns);
    if (resolve->options.writer)
        (void)pl_writer_close_version(resolve->options.writer, place->path, place->mnt_ns,
                                      pl_clock_realtime_ns(resolve->options.clock), "vanished", place->detected_by);
}

void pl_resolve_unstable(pl_resolve *resolve, const pl_place *place, const pl_identity *identity, pl_tier tier)
{
    pl_sighting sighting;

    if (!resolve->options.writer)
        return;
    sighting_init(resolve, place, &sighting);
    sighting.hash_state = PL_HASH_UNSTABLE;
    sighting.identity = *identity;
    sighting.fs.tier = tier;
    (void)pl_writer_sighting(resolve->options.writer, &sighting);
}

void pl_resolve_sweep(pl_resolve *resolve)
{
    int64_t limit = pl_clock_boottime_ns(resolve->options.clock) - resolve->options.path_ttl_ns;

    pthread_mutex_lock(&resolve->cache_lock);
    (void)pl_file_cache_sweep(resolve->cache, limit, NULL, NULL);
    pthread_mutex_unlock(&resolve->cache_lock);
}

typedef struct seen_flush {
    pl_writer *writer;
    int64_t wall_minus_boot_ns;
} seen_flush;

static void flush_one(void *context, const char *path, uint64_t mnt_ns, int64_t last_seen_ns)
{
    seen_flush *flush = context;

    (void)pl_writer_seen(flush->writer, path, mnt_ns, last_seen_ns + flush->wall_minus_boot_ns);
}

void pl_resolve_flush_seen(pl_resolve *resolve)
{
    seen_flush flush = {.writer = resolve->options.writer, .wall_minus_boot_ns = wall_minus_boot(resolve)};

    if (!flush.writer)
        return;
    pthread_mutex_lock(&resolve->cache_lock);
    int64_t since = resolve->flushed_ns;
    resolve->flushed_ns = pl_clock_boottime_ns(resolve->options.clock);
    pl_file_cache_each_seen(resolve->cache, since, flush_one, &flush);
    pthread_mutex_unlock(&resolve->cache_lock);
}

void pl_resolve_clock_changed(pl_resolve *resolve)
{
    int64_t limit = pl_clock_realtime_ns(resolve->options.clock) - CLOCK_WINDOW_NS;

    pthread_mutex_lock(&resolve->cache_lock);
    size_t dropped = pl_file_cache_drop_newer(resolve->cache, limit);
    pthread_mutex_unlock(&resolve->cache_lock);
    pl_log_write(resolve->options.log, PL_LOG_INFO, "the clock was set: %zu hashes will be taken again", dropped);
}

size_t pl_resolve_forbidden(pl_resolve *resolve, pl_identity *out, size_t n)
{
    size_t count = 0;

    pthread_mutex_lock(&resolve->store_lock);
    if (resolve->reader)
        count = pl_store_own_files(resolve->reader, out, n);
    pthread_mutex_unlock(&resolve->store_lock);
    return count;
}

void pl_resolve_stats_get(pl_resolve *resolve, pl_stats *out)
{
    pl_hasher_stats hasher;
    pl_file_cache_stats cache;

    pl_hasher_stats_get(resolve->hasher, &hasher);
    pthread_mutex_lock(&resolve->cache_lock);
    pl_file_cache_stats_get(resolve->cache, &cache);
    pthread_mutex_unlock(&resolve->cache_lock);
    size_t struct_size = out->struct_size;
    *out = (pl_stats){
        .struct_size = struct_size,
        .hits_hot = atomic_load_explicit(&resolve->hits_hot, memory_order_relaxed),
        .hits_ledger = atomic_load_explicit(&resolve->hits_ledger, memory_order_relaxed),
        .failures = atomic_load_explicit(&resolve->failures, memory_order_relaxed),
        .files_hashed = hasher.files_hashed,
        .bytes_hashed = hasher.bytes_hashed,
        .evictions = cache.evicted + cache.rotated,
        .entries = cache.entries,
    };
}

size_t pl_resolve_backlog(pl_resolve *resolve)
{
    pl_hasher_stats stats;

    pl_hasher_stats_get(resolve->hasher, &stats);
    return (size_t)(stats.waiting + stats.running);
}

void pl_resolve_drain(pl_resolve *resolve)
{
    pl_hasher_drain(resolve->hasher);
}

int pl_resolve_new(const pl_resolve_options *options, pl_resolve **out)
{
    pl_auto_free pl_resolve *resolve = calloc(1, sizeof(*resolve));
    int r;

    if (!resolve)
        return pl_error_nomem();
    resolve->options = *options;
    resolve->options.algorithms |= PL_SHA256;
    if (resolve->options.path_ttl_ns == 0)
        resolve->options.path_ttl_ns = DEFAULT_PATH_TTL_NS;
    if (resolve->options.min_assurance == PL_ASSURANCE_NONE)
        resolve->options.min_assurance = PL_ASSURANCE_PROBED;
    if (!resolve->options.clock)
        resolve->options.clock = pl_clock_system();
    r = pl_file_cache_new(options->cache_limit, &resolve->cache);
    if (r == 0 && (r = pl_mounts_new(&resolve->mounts)) < 0)
        (void)pl_file_cache_free(resolve->cache);
    if (r < 0)
        return r;
    pl_hasher_options hasher = {
        .workers = options->workers,
        .queue_limit = options->queue_limit,
        .low_priority = options->event_path,
        .log = options->log,
        .prober = {.clock = resolve->options.clock,
                   .algorithms = resolve->options.algorithms,
                   .max_file_size = options->max_file_size,
                   .fine_grained_times = pl_kernel_has_fine_grained_times()},
    };
    r = pl_hasher_new(&hasher, &resolve->hasher);
    if (r < 0) {
        (void)pl_mounts_free(resolve->mounts);
        (void)pl_file_cache_free(resolve->cache);
        return r;
    }
    pl_lock_init(&resolve->cache_lock, options->event_path);
    (void)pthread_mutex_init(&resolve->store_lock, NULL);
    pl_lock_init(&resolve->retry_lock, options->event_path);
    resolve->reader = options->reader;
    resolve->flushed_ns = pl_clock_boottime_ns(resolve->options.clock);
    *out = pl_steal(&resolve);
    return 0;
}

pl_resolve *pl_resolve_free(pl_resolve *resolve)
{
    if (!resolve)
        return NULL;
    (void)pl_hasher_free(resolve->hasher); /* first: its callbacks use all the rest */
    while (resolve->retries) {
        job *j = resolve->retries;
        resolve->retries = j->next;
        (void)job_free(j);
    }
    (void)pl_file_cache_free(resolve->cache);
    (void)pl_mounts_free(resolve->mounts);
    (void)pl_store_close(resolve->reader);
    (void)pthread_mutex_destroy(&resolve->cache_lock);
    (void)pthread_mutex_destroy(&resolve->store_lock);
    (void)pthread_mutex_destroy(&resolve->retry_lock);
    free(resolve);
    return NULL;
}

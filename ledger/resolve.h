/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The serving protocol of NEVER-STALE: hot cache, then ledger, then a fresh hash; the one coordinator of
 * cache, hasher and store. An answer is always bound to an identity that was seen at the time of asking; the
 * path is an attribute that is recorded with it.
 *
 * Any thread. Callbacks run on a hash worker, or on the caller's thread when the answer was hot.
 */
#ifndef PL_LEDGER_RESOLVE_H
#define PL_LEDGER_RESOLVE_H

#include "ledger/store/writer.h"
#include "src/file/file_cache.h"
#include "src/file/hasher.h"

typedef struct pl_resolve pl_resolve;
typedef struct pl_place pl_place;

/* A path and what is known of its bytes now, for whoever keeps an eye on paths (ledger/tracker.h). Borrowed. */
typedef struct pl_learned {
    const pl_place *place;
    const pl_identity *identity;
    int outcome; /* 0, PL_UNREADABLE, ... */
    bool proven; /* its digest may be served again: only another identity makes a read due */
    pl_tier tier;
} pl_learned;

/* Who wants to know. Any thread calls; must not block. */
typedef struct pl_resolve_listener {
    void (*learned)(void *context, const pl_learned *learned);
    /* A living process runs a path that the cache does not have. */
    void (*seen)(void *context, const char *path, uint64_t mnt_ns);
    void *context;
} pl_resolve_listener;

typedef struct pl_resolve_options {
    pl_store *reader;  /* for ledger lookups; taken over on success; NULL: none */
    pl_writer *writer; /* for what is learned; not owned, must outlive; NULL: nothing is recorded */
    const pl_clock *clock;
    const pl_log *log;
    char boot_id[PL_BOOT_ID_SIZE];
    int64_t path_ttl_ns;        /* 0: one day */
    uint32_t algorithms;        /* sha256 is added */
    pl_assurance min_assurance; /* least that is cached; NONE means PROBED */
    unsigned workers;           /* 0: one a core */
    uint64_t max_file_size;     /* 0: no limit */
    size_t cache_limit;         /* 0: file_cache's own */
    bool event_path; /* an event loop calls: hash at idle priority, lend its priority to whoever holds a lock */
    bool reuse_across_reboot; /* step 15: explicit choice */
    size_t queue_limit;       /* files that wait to be read, a descriptor each; 0: hasher's own */
    size_t retry_limit;       /* files too young to be cached that are kept open for pl_resolve_retry; 0: none */
} pl_resolve_options;

typedef struct pl_answer {
    int outcome; /* 0, PL_VANISHED, ... */
    int error;   /* errno behind it, 0: none */
    pl_answer_source source;
    pl_assurance assurance;
    pl_identity identity;
    pl_digest_set digests; /* with outcome 0 */
    bool proven;           /* may be served again; only set where done is called */
    int64_t retry_ns;      /* above 0: it was too young, a read this much later can be proven */
    pl_tier tier;          /* only set where done is called */
} pl_answer;

/* Where the asked-for bytes were seen. Strings are borrowed. */
struct pl_place {
    const char *path; /* absolute; NULL: nameless (memfd, a passed descriptor): nothing is recorded */
    uint64_t mnt_ns;
    const char *container;
    pl_detected_by detected_by;
    bool background;          /* a look of our own: does not count as seen */
    int64_t seen_ns;          /* with background: boottime when the path was seen */
    const pl_kernel_key *key; /* of the very execution that is asked for; NULL: none, or remembered already */
};

/* The state of a row for an outcome of its hash. */
pl_hash_state pl_hash_state_of(int outcome);

typedef void (*pl_answer_fn)(void *context, const pl_answer *answer);

int pl_resolve_new(const pl_resolve_options *options, pl_resolve **out);
/* Waits for running hashes; waiting ones are answered with PL_PENDING. NULL safe, returns NULL. */
pl_resolve *pl_resolve_free(pl_resolve *resolve);

/* Step 9: from memory alone, no system call, no disk. True: *out is the answer, place is bound and seen. */
bool pl_resolve_hot(pl_resolve *resolve, const pl_identity *identity, const pl_place *place, pl_answer *out);
/* Step 10 at its cheapest: path is known, and identity is a statx of it. */
bool pl_resolve_prove(pl_resolve *resolve, const pl_identity *identity, const char *path, uint64_t mnt_ns,
                      pl_answer *out);
/* Step 9: what an equal key of the kernel was bound to, if that is still in memory. */
bool pl_resolve_key(pl_resolve *resolve, const pl_kernel_key *key, pl_identity *out);
/* Hot, else the ledger: may read the disk, never the file. */
bool pl_resolve_recall(pl_resolve *resolve, const pl_identity *identity, const pl_place *place, pl_answer *out);
/* Queues a lookup that may read the file. fd: the pinned file, O_PATH or readable (of our own description), taken over
 * on success (0). done is called exactly once, from a worker. PL_ERR_QUEUE_FULL, PL_ERR_NOMEM: not taken. */
int pl_resolve_submit(pl_resolve *resolve, int fd, const pl_place *place, bool urgent, pl_answer_fn done,
                      void *context);
/* Waits until nothing is queued or being read. */
void pl_resolve_drain(pl_resolve *resolve);

/* Once, before any look-up: from now on `listener` (copied) hears of each path whose bytes become known. NULL: nobody. */
void pl_resolve_listen(pl_resolve *resolve, const pl_resolve_listener *listener);
/* As submit, for a path that a worker walks, seen from root_fd (O_PATH descriptor of another process's root, taken over
 * on success; -1: our own). Not urgent, and not read a second time when it was too young. */
int pl_resolve_submit_path(pl_resolve *resolve, int root_fd, const pl_place *place, pl_answer_fn done, void *context);
/* The file changed, or may have: its digest leaves the memory. What the ledger knows is still bound to its identity. */
void pl_resolve_drop(pl_resolve *resolve, const pl_identity *identity);
/* The path names no file any more: it leaves the memory and its version ends as vanished. */
void pl_resolve_gone(pl_resolve *resolve, const pl_place *place);
/* Its bytes do not rest for long enough to be read: the history says unstable from now on. */
void pl_resolve_unstable(pl_resolve *resolve, const pl_place *place, const pl_identity *identity, pl_tier tier);
/* pl_files_live through the connection that look-ups use: worker threads and the tracker's, never the event path. */
int pl_resolve_live(pl_resolve *resolve, int64_t after_id, pl_live_version *out, size_t n);
/* The path is no longer tracked: it leaves the memory. Its row is left to whoever rotates rows. */
void pl_resolve_forget(pl_resolve *resolve, const char *path, uint64_t mnt_ns);
/* Boottime at which the path was seen last, INT64_MIN: the cache does not have it. */
int64_t pl_resolve_seen_ns(pl_resolve *resolve, const char *path, uint64_t mnt_ns);

/* A living process runs it: its path is seen. */
void pl_resolve_touch(pl_resolve *resolve, const char *path, uint64_t mnt_ns);
/* Re-reads what was too young to be cached and is due. Returns nanoseconds until the next one is due, -1:
 * none. */
int64_t pl_resolve_retry(pl_resolve *resolve);
/* Rotates what is past its TTL. Any interval. */
void pl_resolve_sweep(pl_resolve *resolve);
/* Tells the ledger which paths were seen since the last flush. */
void pl_resolve_flush_seen(pl_resolve *resolve);
/* Step 16: the wall clock was set. */
void pl_resolve_clock_changed(pl_resolve *resolve);
/* Identities that are never opened: the ledger's own files, as they are now. Returns how many. */
size_t pl_resolve_forbidden(pl_resolve *resolve, pl_identity *out, size_t n);

void pl_resolve_stats_get(pl_resolve *resolve, pl_stats *out);
size_t pl_resolve_backlog(pl_resolve *resolve);

#endif

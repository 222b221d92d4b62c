/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The hot cache: identity -> digests, and (path, mount namespace) -> entry. No I/O, no lock, no clock of its own:
 * its owner serialises the calls and says what time it is. An answer by path is a claim that the owner proves with one
 * statx (step 10); an answer by identity is the proof.
 *
 * Invariants: one entry an identity; a path points at no more than one entry; an entry without a path lives until the
 * sweep; a path's day is its own (last_seen moves with the path, not with a pid). At most `limit` entries: beyond it
 * the least recently seen of a small sample goes. At most 2 * limit paths, by the same rule. last_seen never moves back.
 * Callbacks must not call the cache.
 */
#ifndef PL_FILE_FILE_CACHE_H
#define PL_FILE_FILE_CACHE_H

#include "src/file/digest.h"
#include "src/file/identity.h"
#include "src/file/kernel_key.h"

typedef struct pl_file_cache pl_file_cache;

typedef struct pl_cached_file {
    pl_identity identity;
    pl_digest_set digests;
    pl_assurance assurance;
    pl_tier tier;
} pl_cached_file;

typedef struct pl_file_cache_stats {
    uint64_t hits_identity;         /* find said true */
    uint64_t hits_key;              /* find_key said true */
    uint64_t hits_path;             /* find_path said true */
    uint64_t misses;                /* either said false */
    uint64_t stale;                 /* by path, identity differed: bind moved a path to another identity */
    uint64_t inserted;              /* new entries; replacing one is none */
    uint64_t evicted;               /* entries that went because of the limit */
    uint64_t rotated;               /* paths that a sweep rotated */
    uint64_t dropped;               /* entries that drop, drop_newer and clear removed */
    uint64_t entries, paths, bytes; /* now; bytes: of heap */
    uint64_t expired;       /* entries that left in a sweep: inserted == evicted + dropped + expired + entries */
    uint64_t evicted_paths; /* paths that went because of the limit, their entries staying */
} pl_file_cache_stats;

int pl_file_cache_new(size_t limit /* entries; 0: 65,536 */, pl_file_cache **out);
pl_file_cache *pl_file_cache_free(pl_file_cache *cache);

/* By identity, no system call: true and *out (a copy), else false. Touches the entry. */
bool pl_file_cache_find(pl_file_cache *cache, const pl_identity *identity, int64_t now_ns, pl_cached_file *out);
/* What path was bound to when last proven: true and *out; the owner compares out->identity with a fresh statx. */
bool pl_file_cache_find_path(pl_file_cache *cache, const char *path, uint64_t mnt_ns, pl_cached_file *out);
/* When path was last seen; INT64_MIN: it is not here. Touches nothing. */
int64_t pl_file_cache_last_seen(const pl_file_cache *cache, const char *path, uint64_t mnt_ns);
/* By the key that the kernel has for an executed inode: as find, when a key that is equal field by field was bound. */
bool pl_file_cache_find_key(pl_file_cache *cache, const pl_kernel_key *key, int64_t now_ns, pl_cached_file *out);
/* From now on key finds the entry of identity. The two must agree (pl_kernel_key_agrees) and be of one execution: that is
 * the caller's to know. False: they do not, or the entry is not there; without memory the key stays unbound. */
bool pl_file_cache_bind_key(pl_file_cache *cache, const pl_kernel_key *key, const pl_identity *identity);
/* Both in one look: true when path is bound to exactly this identity; touches the two. Counts as find_path does. */
bool pl_file_cache_prove(pl_file_cache *cache, const char *path, uint64_t mnt_ns, const pl_identity *identity,
                         int64_t now_ns, pl_cached_file *out);
/* Adds or replaces (its paths stay). PL_ERR_NOMEM, or PL_ERR_INVALID for a file without sha256, leaves the cache as it
 * was. */
int pl_file_cache_insert(pl_file_cache *cache, const pl_cached_file *file, int64_t now_ns);
/* Binds path to the entry of identity (which must be there, else PL_ERR_INVALID) and moves its last_seen. */
int pl_file_cache_bind(pl_file_cache *cache, const char *path, uint64_t mnt_ns, const pl_identity *identity,
                       int64_t now_ns);
/* A proven hit: moves last_seen of path (and its entry). False: it is not here. */
bool pl_file_cache_touch(pl_file_cache *cache, const char *path, uint64_t mnt_ns, int64_t now_ns);
bool pl_file_cache_drop(pl_file_cache *cache, const pl_identity *identity); /* with the paths bound to it */
bool pl_file_cache_drop_path(pl_file_cache *cache, const char *path, uint64_t mnt_ns);
/* Step 16: drops entries with ctime >= limit_ns. Returns how many. */
size_t pl_file_cache_drop_newer(pl_file_cache *cache, int64_t ctime_limit_ns);
void pl_file_cache_clear(pl_file_cache *cache);
/* Rotates paths last seen before limit_ns, then entries without a path and older. rotated (may be NULL) is called for
 * each path. Returns the number of paths. */
size_t pl_file_cache_sweep(pl_file_cache *cache, int64_t limit_ns,
                           void (*rotated)(void *context, const char *path, uint64_t mnt_ns), void *context);
/* For each path seen since since_ns: (path, mnt_ns, last_seen_ns), for the lazy flush of last_seen. */
void pl_file_cache_each_seen(pl_file_cache *cache, int64_t since_ns,
                             void (*each)(void *context, const char *path, uint64_t mnt_ns, int64_t last_seen_ns),
                             void *context);
void pl_file_cache_stats_get(const pl_file_cache *cache, pl_file_cache_stats *out);

#endif

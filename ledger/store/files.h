/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Contents (what bytes) and versions (which path held which bytes from when to when). A version is closed and the next
 * one opened in one compare-and-set transaction; equal contents only move last_time. See schema/ for the columns.
 */
#ifndef PL_STORE_FILES_H
#define PL_STORE_FILES_H

#include "ledger/store/executions.h"
#include "ledger/store/store.h"
#include "src/file/identity.h"

typedef enum pl_detected_by {
    PL_DETECTED_EXEC = 1,
    PL_DETECTED_INOTIFY,
    PL_DETECTED_SWEEP,
    PL_DETECTED_STARTUP,
    PL_DETECTED_REQUEST,
} pl_detected_by;

/* What was seen of one path at one moment. Strings are borrowed. */
typedef struct pl_sighting {
    const char *path; /* exact bytes, absolute */
    uint64_t mnt_ns;
    const char *container; /* NULL: none */
    int64_t time_ns;       /* wall clock */
    pl_detected_by detected_by;
    bool unseen; /* a look of the recorder's own: an open version that it refreshes does not count as seen */
    pl_hash_state hash_state;
    pl_assurance assurance;
    bool cacheable; /* may be served again from the ledger under step 10 */
    pl_identity identity;
    pl_file_system fs;
    int64_t hashed_ns;             /* wall clock at S1 */
    int64_t wall_minus_boot_ns;    /* CLOCK_REALTIME - CLOCK_BOOTTIME when hashed */
    char boot_id[PL_BOOT_ID_SIZE]; /* boot in which it was hashed */
    pl_digest_set digests;         /* with PL_HASH_OK */
} pl_sighting;

/* What the ledger knows of an identity. */
typedef struct pl_known_file {
    int64_t version_id;
    pl_identity identity;
    pl_file_system fs; /* fsid, uuid, generation, tier */
    pl_assurance assurance;
    bool same_boot; /* hashed in the boot that was asked with */
    int64_t hashed_ns, wall_minus_boot_ns;
    pl_digest_set digests;
} pl_known_file;

/* The open, cacheable version with this identity, hashed in boot_id if there is one (else of another boot, same_boot
 * false). Expired and closed versions are never found: not seen for path_ttl_ns by last_time is expired when read.
 * 0 found, PL_PENDING not known, negative failed. Through a connection of the calling thread. */
int pl_files_find(pl_store *store, const pl_identity *identity, const char *boot_id, int64_t now_ns,
                  int64_t path_ttl_ns, pl_known_file *out);

/* An open version, for whoever keeps an eye on its path. */
typedef struct pl_live_version {
    int64_t version_id;
    char *path, *container; /* exact bytes of the path; heap, the caller's */
    uint64_t mnt_ns;
    pl_identity identity;
    pl_tier tier;
    bool hashed;          /* it has a digest */
    bool cacheable;       /* which may be served again */
    bool same_boot;       /* hashed in boot_id, so the device of identity means something */
    int64_t last_time_ns; /* wall clock: when it was last seen */
} pl_live_version;

/* Open versions with an id above after_id that were seen since since_ns, by id, at most n. Returns how many, 0: no more,
 * or negative (nothing is the caller's then). Through a connection of the calling thread. */
int pl_files_live(pl_store *store, int64_t after_id, const char *boot_id, int64_t since_ns, pl_live_version *out,
                  size_t n);
void pl_live_version_deinit(pl_live_version *version);

#endif

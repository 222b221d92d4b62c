/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * One connection to one ledger file: where it is, whether it may be trusted, who may write, what schema it has. The
 * only floor that knows SQLite; no type of SQLite leaves it. A pl_store belongs to one thread at a time.
 */
#ifndef PL_STORE_STORE_H
#define PL_STORE_STORE_H

#include "src/base/clock.h"
#include "src/base/log.h"

#include <procledger/procledger.h>

#include <stdbool.h>

typedef struct pl_store pl_store;

typedef enum pl_store_mode {
    PL_STORE_READ,     /* must exist; query only; works on a file that this user cannot write */
    PL_STORE_WRITE,    /* created if missing; short immediate transactions beside other writers */
    PL_STORE_RECORDER, /* the same, and holds FILE.lock: the one recorder; else PL_ERR_LOCKED */
} pl_store_mode;

typedef struct pl_store_options {
    pl_store_mode mode;
    int busy_ms;           /* busy time-out; 0: 5,000 */
    int cache_kib;         /* page cache; 0: 2,048, a recorder 16,384 */
    const pl_clock *clock; /* NULL: the system's */
    const pl_log *log;
} pl_store_options;

/* Once, before anything of SQLite's is used in this process, by a program that has the process to itself: leaves out
 * counters of SQLite's that nobody reads. A library must not decide that for its host. */
void pl_store_own_process(void);

/*
 * Opens, checks (owner, modes of file and folder, application_id, schema version), creates or migrates. Answers
 * PL_ERR_NOT_FOUND, PL_ERR_UNSAFE, PL_ERR_LOCKED, PL_ERR_DAMAGED, PL_ERR_NEWER, PL_ERR_READ_ONLY, PL_ERR_PERMISSION,
 * PL_ERR_FULL (not enough space for a migration), PL_ERR_BUSY, ... A file that is not a ledger is never touched.
 * A file from an older schema is migrated in one transaction by whoever gets FILE.lock; read-only openers of an older
 * file get PL_ERR_DAMAGED's sibling: PL_ERR_UNSUPPORTED with a message that says who migrates.
 */
int pl_store_open(const char *path, const pl_store_options *options, pl_store **out);
pl_store *pl_store_close(pl_store *store);

/* $PROCLEDGER_DB, else the default file of this user; heap. 0, PL_ERR_NOMEM, PL_ERR_INVALID (no HOME). */
int pl_store_default_path(char **out);
/* Creates the folder of the default file (0750) where it is missing; others' folders are never created. */
int pl_store_prepare_folder(const char *path);

const char *pl_store_path(const pl_store *store);
/* Identities of the ledger's own files (database, WAL, shm, lock) as they are now, so that nobody opens one of them
 * beside SQLite (closing any descriptor drops this process's POSIX locks on it). Returns how many, at most n. */
size_t pl_store_own_files(const pl_store *store, pl_identity *out, size_t n);
/* PRAGMA quick_check(1). 0, PL_ERR_DAMAGED, ... */
int pl_store_check(pl_store *store);
/* Bytes of the database file and of its WAL. */
int pl_store_size(const pl_store *store, uint64_t *database, uint64_t *wal);

#endif

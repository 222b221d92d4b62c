/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What is looked at before SQLite opens a file: may its folder and the file be trusted, is it a ledger at all; and the
 * lock that makes one recorder of many. Internal to ledger/store. Any thread.
 */
#ifndef PL_STORE_GUARD_H
#define PL_STORE_GUARD_H

#include "ledger/store/store.h"

/* path made absolute, its folder's symbolic links resolved; heap. PL_ERR_NOT_FOUND: no such folder. */
int pl_guard_resolve(const char *path, char **out);
/* path with suffix; heap, NULL: out of memory. */
char *pl_guard_name(const char *path, const char *suffix);
/* The folder, the file and its companions (-wal, -shm, .lock) as far as they exist. PL_ERR_UNSAFE, PL_ERR_DAMAGED (not a
 * regular file). 0 with *exists; a missing file whose WAL is still there is PL_ERR_DAMAGED. */
int pl_guard_check(const char *path, bool *exists);
/* The first bytes, read through SQLite's own file layer, which keeps the locks that another handle of this process has
 * on the same file. 0: a ledger, of the schema *version (a WAL may hold a later word on that); PL_ERR_DAMAGED: garbage,
 * truncated, or another program's database. */
int pl_guard_header(const char *path, int64_t *version);
/* flock on FILE.lock. 0 and *fd; PL_ERR_LOCKED (the message names the pid of the holder); ... wait_ms: how long to try
 * again while somebody who is no recorder holds it (a sweep or a migration, short). */
int pl_guard_lock(const char *path, bool recorder, int wait_ms, int *fd);
/* Gives the lock back; -1 is fine. Returns -1. */
int pl_guard_unlock(int fd);

#endif

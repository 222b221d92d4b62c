/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A ledger's schema: making a new file, taking an older one forward, refusing a newer one. Internal to ledger/store.
 */
#ifndef PL_STORE_MIGRATE_H
#define PL_STORE_MIGRATE_H

#include "ledger/store/database.h"

/* Puts a whole new ledger at path, or nothing: built beside it under another name, then renamed without replacing. 0 also
 * when somebody else put one there meanwhile. */
int pl_migrate_create(const char *path, const pl_schema_set *schema);
/* Compares the open file's version with the schema's and migrates an older one, in one transaction, under FILE.lock
 * (taken for it unless held). PL_ERR_NEWER, PL_ERR_FULL, PL_ERR_UNSUPPORTED (read only), PL_ERR_LOCKED, ... */
int pl_migrate_open(pl_store *store, const pl_schema_set *schema);
/* PL_ERR_NEWER and its words. */
int pl_migrate_refuse_newer(const pl_store *store, int64_t version, const pl_schema_set *schema);

#endif

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Row numbers of what repeats: paths, command lines, credentials, contexts, contents, images. Each answers the id of the
 * row with exactly this value, adding it where it is missing; to be called inside a transaction of the writer. Ids come
 * from a bounded memory; forget everything (pl_interns_clear) whenever a transaction was rolled back, rows were deleted,
 * or somebody else may have deleted some. Internal to ledger/store; the writer thread's.
 */
#ifndef PL_STORE_INTERN_H
#define PL_STORE_INTERN_H

#include "ledger/store/database.h"
#include "ledger/store/executions.h"

typedef struct pl_interns pl_interns;

/* A row of _image. */
typedef struct pl_image_row {
    int64_t path_id, content_id, hash_state, assurance, mode, flags, script_path_id, script_content_id;
} pl_image_row;

int pl_interns_new(pl_store *store, pl_interns **out);
pl_interns *pl_interns_free(pl_interns *interns);
void pl_interns_clear(pl_interns *interns);

/* bytes NULL: id 0. */
int pl_intern_path(pl_interns *interns, const char *bytes, int64_t *id);
/* argv NULL: id 0. */
int pl_intern_command(pl_interns *interns, const char *argv, size_t length, int64_t *id);
int pl_intern_boot(pl_interns *interns, const char *boot_id, int64_t *id);
int pl_intern_cred(pl_interns *interns, const pl_execution *execution, int64_t *id);
/* boot: row of _boot, 0: not known. */
int pl_intern_context(pl_interns *interns, int64_t boot, const pl_execution *execution, int64_t *id);
/* Fills in the algorithms that the row lacked. A set without sha256: PL_ERR_INVALID. */
int pl_intern_content(pl_interns *interns, const pl_digest_set *digests, uint64_t size, int64_t *id);
int pl_intern_image(pl_interns *interns, const pl_image_row *image, int64_t *id);

#endif

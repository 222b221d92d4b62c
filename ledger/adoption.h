/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Executions of the last run whose process was still alive when this run began: until the snapshot has met each of them,
 * or has not. Owned by the recorder's thread.
 */
#ifndef PL_LEDGER_ADOPTION_H
#define PL_LEDGER_ADOPTION_H

#include <stdint.h>
#include <sys/types.h>

typedef struct pl_adoption pl_adoption;

typedef struct pl_adopted {
    pid_t pid;
    uint64_t start_ticks; /* (pid, start_ticks) names the process within a boot */
    int64_t eid, parent_eid;
    char *path; /* exact bytes; NULL: not known. Heap: whoever takes it frees it */
} pl_adopted;

/* 0 or PL_ERR_NOMEM. */
int pl_adoption_new(pl_adoption **out);
pl_adoption *pl_adoption_free(pl_adoption *adoption);
/* Enters a copy. One process has one image that runs, the newest: the eid of an older one of the same process is
 * returned (it ended unseen), 0: there was none. Without memory the execution is not entered: its process gets a second
 * row and nothing is lost; 0 then. */
int64_t pl_adoption_add(pl_adoption *adoption, const pl_adopted *adopted);
/* Takes out what was entered for that very process. 1 and *out, or 0. */
int pl_adoption_take(pl_adoption *adoption, pid_t pid, uint64_t start_ticks, pl_adopted *out);
/* Takes out any. 1 and *out, 0: there is none left. */
int pl_adoption_take_any(pl_adoption *adoption, pl_adopted *out);

#endif

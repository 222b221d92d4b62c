/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Records to rows, one function a kind, inside the transaction that the caller (batch.c) has begun. Nothing here begins,
 * commits or remembers anything across transactions apart from the interned ids. PL_ERR_INVALID means that this record
 * cannot be stored, whatever is tried; everything else that is negative concerns the whole transaction. Internal to
 * ledger/store; the writer thread's.
 */
#ifndef PL_STORE_APPEND_H
#define PL_STORE_APPEND_H

#include "ledger/store/files.h"
#include "ledger/store/intern.h"
#include "ledger/store/rows.h"
#include "ledger/store/tally.h"
#include "ledger/store/writer.h"

typedef struct pl_append {
    pl_store *store; /* borrowed */
    pl_interns *interns;
    pl_rows *rows;      /* executions of this transaction that are not in the file yet */
    uint64_t rejected;  /* of them, in this transaction */
    pl_tally *commands; /* key: int64_t command_id */
    pl_tally *binaries; /* key: int64_t path_id, int64_t content_id, container without its NUL */
    int64_t boot;       /* row of _boot that executions belong to; 0: no run has begun */
    int64_t run;        /* row of _run of this recorder; 0: none */
    int64_t least_eid;  /* of the executions written since retention last looked; INT64_MAX: none */
} pl_append;

/* What the batch knows of an execution by the time it is written. */
typedef struct pl_execution_row {
    const pl_execution *execution;
    const pl_execution_end *end;          /* NULL: runs */
    const pl_execution_hash *hash;        /* replaces that of the execution; NULL: none came */
    const pl_execution_hash *script_hash; /* NULL: none came */
} pl_execution_row;

/* Collects the row; pl_append_rows, and whatever else looks at executions, writes it. */
int pl_append_execution(pl_append *append, const pl_execution_row *row);
int pl_append_rows(pl_append *append);
int pl_append_hash(pl_append *append, const pl_execution_hash *hash);
int pl_append_end(pl_append *append, const pl_execution_end *end);
int pl_append_fork(pl_append *append, const pl_fork_record *record);
/* Adds what the tallies counted to the rows. */
int pl_append_tallies(pl_append *append);

int pl_append_sighting(pl_append *append, const pl_sighting *sighting);
int pl_append_seen(pl_append *append, const char *path, uint64_t mnt_ns, int64_t time_ns);
int pl_append_close_version(pl_append *append, const char *path, uint64_t mnt_ns, int64_t time_ns,
                            const char *end_reason, pl_detected_by detected_by);

int pl_append_gap(pl_append *append, int64_t time_ns, int64_t end_time_ns, int64_t lost, const char *source,
                  const char *reason);
int pl_append_identity_alert(pl_append *append, const pl_sighting *now, const char *old_sha256);
int pl_append_run_commit(pl_append *append, int64_t time_ns);
int pl_append_run_counters(pl_append *append, const pl_run_counters *counters, int64_t time_ns);
int pl_append_run_end(pl_append *append, int64_t time_ns);
/* Its own transaction; calls run->alive inside and run->adopt after the commit. Sets boot and run. */
int pl_append_run_begin(pl_append *append, const pl_run *run);

#endif

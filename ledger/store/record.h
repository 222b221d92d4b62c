/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What waits in the writer's queue: one heap block a record, strings and digests behind it. Internal to ledger/store.
 * Made by any thread, then owned by the queue.
 */
#ifndef PL_STORE_RECORD_H
#define PL_STORE_RECORD_H

#include "ledger/store/append.h"

enum pl_record_kind {
    PL_RECORD_EXECUTION,
    PL_RECORD_HASH,
    PL_RECORD_END,
    PL_RECORD_FORK,
    PL_RECORD_SIGHTING,
    PL_RECORD_SEEN,
    PL_RECORD_CLOSE,
    PL_RECORD_GAP,
    PL_RECORD_ALERT,
    PL_RECORD_COUNTERS,
    PL_RECORD_RUN_END,
    PL_RECORD_RUN_BEGIN, /* a batch of its own */
    PL_RECORD_RETAIN,    /* a batch of its own */
};

/* The caller's, who waits until it is done. */
typedef struct pl_run_request {
    const pl_run *run;
    int code; /* what became of it */
    char message[512];
    bool done;
} pl_run_request;

typedef struct pl_record {
    struct pl_record *next;
    enum pl_record_kind kind;
    bool folded;  /* its execution in the same batch carries it */
    size_t bytes; /* of heap, this struct included */
    union {
        pl_execution_row row; /* EXECUTION: its execution lies behind; end and hashes point into other records */
        const pl_execution_hash *hash;
        pl_execution_end end;
        pl_fork_record fork;
        const pl_sighting *sighting; /* SIGHTING, ALERT */
        struct {
            const char *path;
            uint64_t mnt_ns;
            int64_t time_ns;
            const char *end_reason;
            pl_detected_by detected_by;
        } version; /* SEEN, CLOSE */
        struct {
            int64_t time_ns, end_time_ns, lost;
            const char *source, *reason;
        } gap;
        struct {
            pl_run_counters counters;
            int64_t time_ns;
        } run; /* COUNTERS, RUN_END */
        struct pl_run_request *begin;
    };
    char old_sha256[65]; /* ALERT */
} pl_record;

/* Each: NULL when there is no memory for it. */
pl_record *pl_record_new(enum pl_record_kind kind);
pl_record *pl_record_of_execution(const pl_execution *execution);
pl_record *pl_record_of_hash(const pl_execution_hash *hash);
pl_record *pl_record_of_sighting(enum pl_record_kind kind, const pl_sighting *sighting);
/* SEEN, CLOSE */
pl_record *pl_record_of_version(enum pl_record_kind kind, const char *path, const char *end_reason);
pl_record *pl_record_of_gap(const char *source, const char *reason);

#endif

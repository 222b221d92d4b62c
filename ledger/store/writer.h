/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The batch writer: a bounded queue in front of the one thread of this process that writes. One transaction a batch,
 * by time or count, whichever is first. Updates that meet their own row in the batch are folded into it, so that a
 * quick process costs one INSERT.
 *
 * When writing fails (disk full, I/O error) the batch is kept and tried again with growing pauses; the queue fills;
 * what no longer fits is counted, and becomes a row in gaps when writing works again. The log says it once.
 *
 * Calls: any thread, never block on the disk (flush apart). Strings of records are copied.
 */
#ifndef PL_STORE_WRITER_H
#define PL_STORE_WRITER_H

#include "ledger/store/files.h"

typedef struct pl_writer pl_writer;

typedef struct pl_writer_options {
    size_t batch_count;        /* records; 0: 32,768 */
    int64_t batch_ns;          /* oldest record's wait; 0: 200 ms */
    size_t queue_bytes;        /* memory of what waits; 0: 64 MiB */
    int64_t retry_ns;          /* first pause after a failure, doubled up to 5 s; 0: 100 ms */
    int64_t retain_ns;         /* executions older than this go; 0: 90 days */
    uint64_t max_db_size;      /* bytes; 0: 2 GiB */
    unsigned min_free_percent; /* of the file system; below it the oldest executions go early; 0: 5 */
    int64_t path_ttl_ns;       /* 0: one day */
    /* Called on the writer thread after each commit with the greatest eid in the file; may be NULL. */
    void (*committed)(void *context, int64_t eid);
    void *context;
} pl_writer_options;

typedef struct pl_writer_stats {
    uint64_t executions, forks, ends, sightings; /* committed */
    uint64_t batches, failures, lost;            /* lost: records that did not fit while writing failed */
    uint64_t queued, queued_bytes;               /* now */
    uint64_t deleted;                            /* executions, by retention */
} pl_writer_stats;

/* Takes the store over on success (closed by free). Starts the thread, all signals blocked in it. */
int pl_writer_new(pl_store *store, const pl_writer_options *options, pl_writer **out);
/* Commits what is queued, if writing works; then joins and closes. Returns NULL. */
pl_writer *pl_writer_free(pl_writer *writer);

/* Ids follow the greatest ever used in the file; only the recorder may use them. */
int64_t pl_writer_next_eid(pl_writer *writer);
int64_t pl_writer_next_fork_id(pl_writer *writer);

/* Each: 0, PL_ERR_QUEUE_FULL (counted as lost), PL_ERR_NOMEM (counted as lost). */
int pl_writer_execution(pl_writer *writer, const pl_execution *execution);
int pl_writer_hash(pl_writer *writer, const pl_execution_hash *hash);
int pl_writer_end(pl_writer *writer, const pl_execution_end *end);
int pl_writer_fork(pl_writer *writer, const pl_fork_record *fork); /* inserts, or updates end_time of that fork_id */
int pl_writer_sighting(pl_writer *writer, const pl_sighting *sighting);
/* last_time of the open version of path moves to time_ns: "seen"; folded, lazily. */
int pl_writer_seen(pl_writer *writer, const char *path, uint64_t mnt_ns, int64_t time_ns);
/* Closes the open version: vanished, expired (PL_VANISHED / expired by reason text of the view). */
int pl_writer_close_version(pl_writer *writer, const char *path, uint64_t mnt_ns, int64_t time_ns,
                            const char *end_reason, pl_detected_by detected_by);
/* A row in gaps. lost -1: unknown. end_time_ns 0: still open is not a thing: pass now. source and reason: static or copied. */
int pl_writer_gap(pl_writer *writer, int64_t time_ns, int64_t end_time_ns, int64_t lost, const char *source,
                  const char *reason);
/* A row in changes for "same identity, other digest" (NEVER-STALE step 15): alert. */
int pl_writer_identity_alert(pl_writer *writer, const pl_sighting *now, const char old_sha256[65]);

/* This recorder's row in runs. Begin closes what earlier runs left open: an unclean run is ended at its last commit,
 * its executions without an end get end_reason lost (same boot; those in `alive`, by pid and start_ticks, stay open),
 * or reboot (another boot), and the time between is a gap row. Blocks until committed. */
typedef struct pl_run {
    const char *version, *source, *boot_id, *hostname, *machine_id, *kernel;
    const char *argv_mode, *ignored, *algorithms; /* for about */
    int64_t time_ns;
    /* that very process is alive: asked for executions without an end of this boot */
    bool (*alive)(void *context, pid_t pid, uint64_t start_ticks);
    /* called for each execution that stays open, so that the process table starts with it; path: exact bytes */
    void (*adopt)(void *context, int64_t eid, pid_t pid, uint64_t start_ticks, int64_t parent_eid, const char *path);
    void *context;
} pl_run;
typedef struct pl_run_counters {
    uint64_t executions, lost, files_hashed, bytes_hashed, hits_hot, hits_ledger, watches;
    uint64_t tracked, watches_refused, overflows, start_total, start_done;
} pl_run_counters;
int pl_writer_run_begin(pl_writer *writer, const pl_run *run);
int pl_writer_run_counters(pl_writer *writer, const pl_run_counters *counters, int64_t time_ns); /* folded */
int pl_writer_run_end(pl_writer *writer, int64_t time_ns);                                       /* clean = 1 */

/* One small step of retention, rotation (versions past path_ttl become expired) and incremental vacuum, on the writer
 * thread between batches, and further ones while there is more to do. The recorder's sweep asks for it each 10 s; a
 * request that meets one that still waits becomes part of it. */
int pl_writer_retain(pl_writer *writer, int64_t now_ns);
/* Waits until everything queued before is committed. 0, PL_ERR_CLOSED, or the code of the failure that holds it up. */
int pl_writer_flush(pl_writer *writer);
void pl_writer_stats_get(pl_writer *writer, pl_writer_stats *out);

#endif

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Events in, rows out. Owned by the event loop's thread; hash completions come back to it through a
 * descriptor. It never blocks on a hash or a disk: an execution goes in at once with hash_state pending and
 * is filled later.
 */
#ifndef PL_LEDGER_RECORDER_H
#define PL_LEDGER_RECORDER_H

#include "ledger/resolve.h"
#include "ledger/tracker.h"
#include "src/process/process_table.h"
#include "src/process/source.h"

typedef struct pl_recorder pl_recorder;

typedef enum pl_argv_mode { PL_ARGV_FULL, PL_ARGV_REDACT, PL_ARGV_OFF } pl_argv_mode;

/* What a listener (procledgerd --live) sees of an execution: when its hash is there, or cannot be had. */
typedef struct pl_live_execution {
    int64_t eid, time_ns;
    pid_t pid, ppid;
    uint32_t uid;
    const char *path, *argv; /* argv: NUL after each; NULL: not recorded */
    size_t argv_length;
    pl_hash_state hash_state;
    pl_digest_set digests;
} pl_live_execution;

typedef struct pl_recorder_options {
    pl_resolve *resolve; /* not owned */
    pl_writer *writer;   /* not owned */
    pl_tracker *tracker; /* not owned; NULL: files are not tracked */
    const pl_clock *clock;
    const pl_log *log;
    pl_procfs procfs;
    pl_argv_mode argv_mode;
    const char *const *ignore; /* fnmatch patterns over the path, NULL-ended; not owned */
    bool hashing;              /* false: no checksum is computed and none is served */
    int64_t pid_ttl_ns;
    void (*live)(void *context, const pl_live_execution *execution); /* on the recorder's thread; may be NULL */
    void *context;
} pl_recorder_options;

int pl_recorder_new(const pl_recorder_options *options, pl_recorder **out);
/* The hasher must be drained or freed before: its callbacks come here. */
pl_recorder *pl_recorder_free(pl_recorder *recorder);

/* The next events come from this source; PL_EVENTS_SNAPSHOT while a snapshot is delivered. */
void pl_recorder_set_source(pl_recorder *recorder, pl_event_source source, const char *name);
/* For pl_source_options.event; the context is the recorder. */
void pl_recorder_event(void *context, pl_event *event);
/* For pl_source_options.known. */
bool pl_recorder_known(void *context, const pl_kernel_key *key, pl_identity *identity);
/* For pl_run.alive and pl_run.adopt: executions of the last run that still go on, before the snapshot. */
bool pl_recorder_is_alive(void *context, pid_t pid, uint64_t start_ticks);
void pl_recorder_adopt(void *context, int64_t eid, pid_t pid, uint64_t start_ticks, int64_t parent_eid,
                       const char *path);
/* After the snapshot: what was adopted and is not there any more ends as lost. */
void pl_recorder_adoption_done(pl_recorder *recorder);

/* Readable when hashes came back: call dispatch. */
int pl_recorder_fd(const pl_recorder *recorder);
void pl_recorder_dispatch(pl_recorder *recorder);
/* Each 10 s: process table, rotation, counters, retention. */
void pl_recorder_sweep(pl_recorder *recorder);
/* Counters of this run into the ledger, and what is seen; before the end of the run. */
void pl_recorder_flush(pl_recorder *recorder);
/* The counters alone, when they changed. */
void pl_recorder_count(pl_recorder *recorder);
void pl_recorder_counters(pl_recorder *recorder, pl_run_counters *out);

#endif

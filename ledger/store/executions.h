/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Rows of executions and forks as the recorder hands them over. Plain values; strings are borrowed and copied by the
 * call that takes the record. NULL strings and PL_NO_ID mean "not known" and become NULL.
 */
#ifndef PL_STORE_EXECUTIONS_H
#define PL_STORE_EXECUTIONS_H

#include "src/file/digest.h"
#include "src/process/image.h"

/* process_events.hash_state; stored as these numbers. */
typedef enum pl_hash_state {
    PL_HASH_PENDING = 0,
    PL_HASH_OK = 1,
    PL_HASH_UNREADABLE = 2,
    PL_HASH_VANISHED = 3,
    PL_HASH_TOO_BIG = 4,
    PL_HASH_UNSTABLE = 5,
    PL_HASH_NONE = 6, /* hashing is off: nothing was computed; shown as NULL */
} pl_hash_state;

/* process_events.end_reason. */
typedef enum pl_end_reason { PL_END_NONE = 0, PL_END_EXIT, PL_END_EXEC, PL_END_REBOOT, PL_END_LOST } pl_end_reason;

/* process_events.source. */
typedef enum pl_event_source {
    PL_EVENTS_BPF = 1,
    PL_EVENTS_NETLINK = 2,
    PL_EVENTS_SCAN = 3,
    PL_EVENTS_SNAPSHOT = 4,
} pl_event_source;

typedef struct pl_execution {
    int64_t eid;     /* given by the recorder: pl_writer_next_eid */
    int64_t time_ns; /* wall clock since the epoch: seconds and nanoseconds of the view come from it */
    pid_t pid, ppid;
    uint64_t start_ticks;
    int64_t parent_eid, prev_eid; /* 0: none */
    const char *path;             /* exact bytes; NULL: not known */
    const char *filename, *name, *cwd, *tty, *cgroup, *container, *script_path;
    const char *argv; /* NUL after each */
    size_t argv_length;
    uint32_t uid, euid, suid, gid, egid, auid, session;
    uint32_t mode;  /* st_mode; 0: not known */
    uint32_t flags; /* pl_image_flag */
    uint64_t mnt_ns;
    pl_event_source source;
    pl_hash_state hash_state;
    pl_assurance assurance;
    const pl_digest_set *digests; /* with PL_HASH_OK; borrowed */
    uint64_t size;                /* of the content, with PL_HASH_OK */
} pl_execution;

/* The hash of an execution that went in as pending. */
typedef struct pl_execution_hash {
    int64_t eid;
    pl_hash_state hash_state;
    pl_assurance assurance;
    pl_digest_set digests; /* with PL_HASH_OK */
    uint64_t size;
    bool script; /* of its script: becomes script_sha256, leaves hash_state and assurance alone */
} pl_execution_hash;

typedef struct pl_execution_end {
    int64_t eid;
    int64_t time_ns;     /* wall clock of the end; 0: not known */
    int64_t duration_ns; /* -1: not known */
    pl_end_reason reason;
    bool has_status;
    int status; /* as wait(2) gives it: becomes exit_code or exit_signal */
} pl_execution_end;

typedef struct pl_fork_record {
    int64_t fork_id;     /* given by the recorder: pl_writer_next_fork_id */
    int64_t time_ns;     /* wall clock of the fork */
    int64_t end_time_ns; /* 0: runs */
    pid_t pid, ppid;
    int64_t image_eid; /* the image it runs, its parent's; 0: not known */
} pl_fork_record;

#endif

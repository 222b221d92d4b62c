/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Where events come from: one vtable, siblings source_bpf.c, source_netlink.c, source_scan.c. A
 * source is owned by the event loop's thread; it never blocks in dispatch and never hashes. It opens its own
 * descriptor, which the loop polls.
 */
#ifndef PL_PROCESS_SOURCE_H
#define PL_PROCESS_SOURCE_H

#include "src/base/clock.h"
#include "src/base/log.h"
#include "src/process/procfs.h"

typedef enum pl_event_kind {
    PL_EVENT_FORK,
    PL_EVENT_EXEC,
    PL_EVENT_EXIT,
    PL_EVENT_LOST, /* the source dropped events */
} pl_event_kind;

typedef struct pl_event {
    pl_event_kind kind;
    pid_t pid, ppid;       /* thread group ids; ppid: of a fork the parent, else 0 */
    int64_t boottime_ns;   /* when it happened, by the kernel where it says so, else when it was read */
    pl_image *image;       /* EXEC: what could be captured; the callee may move it away (pl_image_move) */
    bool vanished;         /* EXEC: the process was gone before it could be read; image holds pid and little else */
    bool has_status;       /* EXIT */
    int status;            /* EXIT: as wait(2) gives it */
    int64_t lost;          /* LOST: how many; -1: unknown */
    int64_t lost_since_ns; /* LOST: boottime from which on */
    const char *reason;    /* LOST: "receive buffer overrun", ... */
} pl_event;

typedef struct pl_source pl_source;

typedef struct pl_source_options {
    pl_procfs procfs;
    const pl_clock *clock;
    const pl_log *log;
    int64_t scan_interval_ns; /* source scan; 0: 200 ms */
    size_t receive_buffer;    /* source netlink, bytes; 0: 8 MiB */
    size_t pins;              /* images, a descriptor or two each, that one dispatch may hold at a time; 0: 512 */
    void (*event)(void *context, pl_event *event); /* called from dispatch */
    /* Source bpf: is this key remembered? Then *identity is that of the inode. NULL: nothing is. */
    bool (*known)(void *context, const pl_kernel_key *key, pl_identity *identity);
    void *context;
} pl_source_options;

/* What a source can tell, bits. */
enum pl_source_ability {
    PL_SOURCE_TELLS_EXEC = 1, /* each one, not only what is still there */
    PL_SOURCE_TELLS_EXIT = 2,
    PL_SOURCE_TELLS_STATUS = 4,
    PL_SOURCE_TELLS_FORK = 8,
    PL_SOURCE_TELLS_LOSS = 16,
    PL_SOURCE_TELLS_IDENTITY = 32, /* of the executed inode as the kernel saw it */
};

typedef struct pl_source_class {
    const char *name; /* "netlink", "scan", "bpf" */
    uint32_t abilities;
    const char *lacks; /* one line for doctor */
    /* 0, or negative with pl_error_message saying what is missing */
    int (*open)(const pl_source_options *options, pl_source **out);
    int (*fd)(const pl_source *source); /* readable: dispatch is due */
    /* Delivers what is there, at most a bounded number of events. Negative: the source is dead. */
    int (*dispatch)(pl_source *source);
    pl_source *(*close)(pl_source *source);
} pl_source_class;

struct pl_source { /* first member of each source's own struct */
    const pl_source_class *class;
};

extern const pl_source_class pl_source_bpf; /* source_bpf.c, or source_bpf_none.c in a build without libbpf */
extern const pl_source_class pl_source_scan;
extern const pl_source_class pl_source_netlink;

/* name: "auto", "bpf", "netlink", "scan". auto takes the best that opens
 * and says in why (bounded) which and why the better ones did not. */
int pl_source_open(const char *name, const pl_source_options *options, pl_source **out, char *why, size_t why_size);
/* All classes this build has, best first, NULL-ended. */
const pl_source_class *const *pl_source_classes(void);

/* A snapshot of all live processes, as EXEC events with image->exec_boottime_ns == 0, parents before
 * children. */
int pl_source_snapshot(const pl_source_options *options);

#endif

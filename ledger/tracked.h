/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The set of paths whose history is kept: found by path, by inode, by when they are to be looked at next, or one after
 * the other. No I/O, no lock, no clock: one owner (ledger/tracker.c), which decides what the fields mean and changes
 * them itself, apart from those that an index stands on.
 */
#ifndef PL_LEDGER_TRACKED_H
#define PL_LEDGER_TRACKED_H

#include "src/file/identity.h"

#include <stdbool.h>

#define PL_NEVER INT64_MAX

/* One path of one mount namespace. */
typedef struct pl_tracked {
    pl_identity identity; /* as last hashed, or last looked at; inode 0: not yet. Set by pl_tracked_set_identity */
    int64_t due_ns;       /* boottime of the next look, PL_NEVER: none. Set by pl_tracked_set_due */
    int64_t seen_ns;      /* boottime: executed, asked for, found changed */
    int64_t written_ns;   /* boottime: when the ledger was last told that it was seen */
    int64_t read_ns;      /* boottime of the last read that a look began; 0: none */
    int64_t since_ns;     /* boottime since when it does not rest, or is gone; 0: neither */
    uint64_t mnt_ns;
    struct pl_tracked *prev, *next;            /* of those that wait */
    char *container;                           /* NULL: none; owned */
    uint32_t pause_ms;                         /* least time between two reads, or two looks while it does not rest */
    uint32_t at, heap_at, path_tag, inode_tag; /* the set's own */
    uint8_t why;                               /* pl_detected_by of what the next look finds */
    uint8_t tier;                              /* pl_tier */
    bool proven;                               /* its digest may be served again */
    bool present;                              /* it was there at the last look */
    bool reread;     /* read it, whether it changed or not: it is of another boot, or was too young */
    bool other_boot; /* the device of identity means nothing */
    bool touched;    /* an event named its inode since the last look */
    bool reading;    /* a worker has it: must not be removed */
    bool waiting;    /* for a worker: in the list of ledger/revisit.c, must not be removed */
    bool by_worker;  /* what is being read was only to be looked at */
    bool told;       /* the history says that it is unstable */
    bool in_folder;  /* of a watched folder: stays live while it is there */
    bool counted;    /* part of the work of the start that is not done yet */
    bool by_inode;   /* the set's own */
    char path[];     /* absolute, as seen in its mount namespace */
} pl_tracked;

typedef struct pl_tracked_set pl_tracked_set;

/* 0, PL_ERR_NOMEM. */
int pl_tracked_set_new(pl_tracked_set **out);
pl_tracked_set *pl_tracked_set_free(pl_tracked_set *set);
size_t pl_tracked_count(const pl_tracked_set *set);
/* Bytes of heap, for the figures. */
size_t pl_tracked_bytes(const pl_tracked_set *set);

/* NULL: not there. */
pl_tracked *pl_tracked_find(const pl_tracked_set *set, const char *path, uint64_t mnt_ns);
/* It must not be there. Not due. 0 or PL_ERR_NOMEM with the set as it was. */
int pl_tracked_add(pl_tracked_set *set, const char *path, uint64_t mnt_ns, const char *container, pl_tracked **out);
void pl_tracked_remove(pl_tracked_set *set, pl_tracked *one);
void pl_tracked_set_identity(pl_tracked_set *set, pl_tracked *one, const pl_identity *identity);
void pl_tracked_set_due(pl_tracked_set *set, pl_tracked *one, int64_t due_ns);
/* The one that is due first; NULL: none is due at all. */
pl_tracked *pl_tracked_first_due(const pl_tracked_set *set);
/* Those of one inode (64 at most, whatever its links): *walk 0 at first; NULL: no more. The set must not be changed in
 * between. */
pl_tracked *pl_tracked_of_inode(const pl_tracked_set *set, const pl_identity *inode, uint32_t *walk);
/* i below pl_tracked_count, in an order of its own. Removing one moves the last into its place, so whoever removes
 * while going through them goes from the last to the first. */
pl_tracked *pl_tracked_at(const pl_tracked_set *set, size_t i);

#endif

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Watches on inodes, through libinotifytools: the one room that touches it. It is one global instance a process, so
 * there is at most one pl_watcher; everything is called by one thread, its owner. A watch belongs to an inode (device
 * and number), never to a path: the owner opens the file, and the watch is bound to what was opened.
 *
 * Events are hints: they come early or twice, and after an overflow not at all. Whoever gets one looks at the file.
 *
 * A forked child shares the kernel's queue with its parent: it must not poll the descriptor. There add and read fail,
 * remove does nothing, and free gives back memory alone; no other watcher can be made.
 */
#ifndef PL_FILE_WATCHER_H
#define PL_FILE_WATCHER_H

#include "src/base/log.h"
#include "src/file/identity.h"

typedef struct pl_watcher pl_watcher;

typedef enum pl_watch_kind {
    PL_WATCH_FILE,   /* bytes, attributes, names of a file: MODIFY, CLOSE_WRITE, ATTRIB, MOVE_SELF, DELETE_SELF */
    PL_WATCH_FOLDER, /* what appears in a folder: CREATE, MOVED_TO, and the end of the folder itself. Never what happens
                        to the files in it: that would break the coalescing of their own events. */
} pl_watch_kind;

/* What a watch stands for. */
typedef struct pl_watch_key {
    uint32_t dev_major, dev_minor;
    uint64_t inode;
} pl_watch_key;

typedef enum pl_watch_what {
    PL_WATCH_TOUCHED, /* something happened to the inode, which is still watched */
    PL_WATCH_GONE,    /* the watch has ended: the inode is deleted, or its file system unmounted. Not said of a key that
                         is watched (the next inode of that number): that one is touched. */
    PL_WATCH_ENTRY,   /* `name` appeared in the folder */
    PL_WATCH_LOST,    /* the queue overflowed: any event may be missing. The watches stand, but for those of which a
                         PL_WATCH_GONE follows in the same read. No key. */
    PL_WATCH_RENEWED, /* the instance was replaced: no watch stands, and any event may be missing. No key. Where there was
                         none to be had it comes twice: then, and when there is one again. */
} pl_watch_what;

typedef struct pl_watch_event {
    pl_watch_what what;
    pl_watch_key key;
    const char *name; /* PL_WATCH_ENTRY: without a slash, borrowed for the call; else NULL */
} pl_watch_event;

typedef void (*pl_watch_fn)(void *context, const pl_watch_event *event);

typedef struct pl_watcher_options {
    const pl_log *log;
    size_t limit;      /* watches of ours; 0: 65,536 */
    size_t dead_limit; /* records of ended watches that the library cannot free, from which on the instance is replaced;
                          0: 4,096. The count of live watches is the limit where that is more. */
} pl_watcher_options;

typedef struct pl_watcher_stats {
    uint64_t watches; /* now */
    uint64_t dead;    /* records of ended watches in the library, now */
    uint64_t added, refused, events, overflows, renewals;
} pl_watcher_stats;

/* What pl_watcher_add came to, beside negative codes. */
enum {
    PL_WATCH_ADDED = 0, /* or there already */
    PL_WATCH_REFUSED,   /* the limit, max_user_watches or kernel memory: go on without; said in the log once */
    PL_WATCH_CANNOT,    /* this file cannot be watched (permission, file system, a folder that is not one) */
};

/* While the process has one thread: the library hides its descriptor, which is found by comparing /proc/self/fd.
 * PL_ERR_SYSTEM (no instance to be had, a descriptor of 1,024 or above, which the library cannot take),
 * PL_ERR_BUSY (there is a watcher already), PL_ERR_NOMEM. */
int pl_watcher_new(const pl_watcher_options *options, pl_watcher **out);
/* Nobody may be reading. NULL safe, returns NULL. */
pl_watcher *pl_watcher_free(pl_watcher *watcher);
/* For poll(2): readable when there are events. Another number after PL_WATCH_RENEWED. -1: there is no instance (renewing
 * failed); pl_watcher_read tries again. */
int pl_watcher_fd(const pl_watcher *watcher);
/* Watches the inode behind fd (O_PATH will do; closed by the caller). identity: of that descriptor; where its birth time
 * differs from that of the watched inode of this number, it replaces that one. 0, PL_WATCH_REFUSED, PL_WATCH_CANNOT,
 * PL_ERR_NOMEM, PL_ERR_INVALID (in a forked child); nothing is delivered. */
int pl_watcher_add(pl_watcher *watcher, int fd, const pl_identity *identity, pl_watch_kind kind);
/* The inode is no longer of interest. False: it was not watched. */
bool pl_watcher_remove(pl_watcher *watcher, const pl_watch_key *key);
bool pl_watcher_has(const pl_watcher *watcher, const pl_watch_key *key);
/* Delivers what is pending, all of it, without waiting, then replaces the instance if it is due. What comes in meanwhile
 * is delivered too, within bounds: whatever is left makes the descriptor readable. The callback (NULL: none) may call
 * add, remove and has. Returns the number of events, or negative. */
int pl_watcher_read(pl_watcher *watcher, pl_watch_fn each, void *context);
void pl_watcher_stats_get(const pl_watcher *watcher, pl_watcher_stats *out);

static inline pl_watch_key pl_watch_key_of(const pl_identity *identity)
{
    return (pl_watch_key){.dev_major = identity->dev_major, .dev_minor = identity->dev_minor, .inode = identity->inode};
}

#endif

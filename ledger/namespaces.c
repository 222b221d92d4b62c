/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Mount namespaces and who lives in them. Owns the table, no descriptor: an open root would pin the mounts of a
 * container.
 *
 * Invariant: a root is handed out only after the process behind it was seen to be in that namespace, through a
 * descriptor of its /proc folder, which stays that process's whatever becomes of its number.
 */
#include "ledger/namespaces.h"

#include "src/base/cleanup.h"
#include "src/base/error.h"

#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define HASH_NONFATAL_OOM 1
#include <uthash.h>

#define LIMIT 4096 /* namespaces; more come from somebody who makes them for the sake of it */

typedef struct entry {
    uint64_t mnt_ns; /* key */
    pid_t pid;
    UT_hash_handle hh;
} entry;

struct pl_namespaces {
    const char *procfs;
    uint64_t own;
    entry *entries;
};

int pl_namespaces_new(const char *procfs, uint64_t own, pl_namespaces **out)
{
    pl_namespaces *namespaces = calloc(1, sizeof(*namespaces));

    if (!namespaces)
        return pl_error_nomem();
    namespaces->procfs = procfs;
    namespaces->own = own;
    *out = namespaces;
    return 0;
}

static void forget(pl_namespaces *namespaces, entry *e)
{
    HASH_DEL(namespaces->entries, e);
    free(e);
}

pl_namespaces *pl_namespaces_free(pl_namespaces *namespaces)
{
    if (!namespaces)
        return NULL;
    while (namespaces->entries)
        forget(namespaces, namespaces->entries);
    free(namespaces);
    return NULL;
}

void pl_namespaces_living(pl_namespaces *namespaces, uint64_t mnt_ns, pid_t pid)
{
    entry *e = NULL;

    if (mnt_ns == 0 || mnt_ns == namespaces->own)
        return;
    HASH_FIND(hh, namespaces->entries, &mnt_ns, sizeof(mnt_ns), e);
    if (e) {
        e->pid = pid;
        return;
    }
    if (HASH_COUNT(namespaces->entries) >= LIMIT)
        forget(namespaces, namespaces->entries); /* the oldest; it comes back when somebody is seen in it */
    e = calloc(1, sizeof(*e));
    if (!e)
        return;
    e->mnt_ns = mnt_ns;
    e->pid = pid;
    HASH_ADD(hh, namespaces->entries, mnt_ns, sizeof(e->mnt_ns), e);
    if (!e->hh.tbl)
        free(e);
}

/* The same folder as our own root: we are in that chroot, too. */
static bool is_as_ours(int root)
{
    struct stat ours, theirs;

    return stat("/", &ours) == 0 && fstat(root, &theirs) == 0 && ours.st_ino == theirs.st_ino &&
           ours.st_dev == theirs.st_dev;
}

int pl_namespaces_open(pl_namespaces *namespaces, uint64_t mnt_ns, int *root_fd)
{
    entry *e = NULL;
    struct stat ns;
    char folder[64];

    if (mnt_ns == 0 || mnt_ns == namespaces->own) {
        *root_fd = -1;
        return 0;
    }
    HASH_FIND(hh, namespaces->entries, &mnt_ns, sizeof(mnt_ns), e);
    if (!e)
        return PL_VANISHED;
    (void)snprintf(folder, sizeof(folder), "%s/%d", namespaces->procfs, (int)e->pid);
    pl_auto_close int process = open(folder, O_PATH | O_DIRECTORY | O_CLOEXEC);
    pl_auto_close int root = process < 0 ? -1 : openat(process, "root", O_PATH | O_DIRECTORY | O_CLOEXEC);
    /* A chroot is not the root of its namespace: the same path means another file there. */
    char seen[2] = "";
    bool real = strcmp(namespaces->procfs, "/proc") == 0; /* a made-up one has links of its own */
    if (real && root >= 0 && (readlinkat(process, "root", seen, sizeof(seen)) != 1 || seen[0] != '/') &&
        !is_as_ours(root))
        return PL_VANISHED;
    if (root < 0 || fstatat(process, "ns/mnt", &ns, 0) < 0 || ns.st_ino != mnt_ns) {
        forget(namespaces, e); /* it left; the next sweep names another one, if there is any */
        return PL_VANISHED;
    }
    *root_fd = pl_steal_fd(&root);
    return 0;
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Mounts and the file systems behind them. Owns a table from (mount, device) to a file system's number, which is ours:
 * two entries have the same one when both mounts were seen to exist at the same time with the same device number.
 *
 * Invariant: an entry is made only for a mount that exists at that moment, or with a number of its own; so one that was
 * gone already is never taken for what has its device number now.
 */
#include "src/file/mounts.h"

#include "src/base/error.h"

#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#define HASH_NONFATAL_OOM 1
#include <uthash.h>

#ifndef SYS_statmount
#define SYS_statmount 457
#endif
#define STATMOUNT_SB_BASIC UINT64_C(1)
#define LIMIT 4096 /* mounts; with more of them all are learned anew */

struct key {
    uint64_t mount;
    uint32_t dev_major, dev_minor;
};

struct entry {
    struct key key;
    uint64_t file_system;
    UT_hash_handle hh;
};

struct pl_mounts {
    struct entry *entries;
    uint64_t next;
};

int pl_mounts_new(pl_mounts **out)
{
    pl_mounts *mounts = calloc(1, sizeof(*mounts));

    if (!mounts)
        return pl_error_nomem();
    *out = mounts;
    return 0;
}

static void clear(pl_mounts *mounts)
{
    for (struct entry *e = mounts->entries, *next; e; e = next) {
        next = e->hh.next;
        HASH_DEL(mounts->entries, e);
        free(e);
    }
}

pl_mounts *pl_mounts_free(pl_mounts *mounts)
{
    if (!mounts)
        return NULL;
    clear(mounts);
    free(mounts);
    return NULL;
}

/* That very mount is there. One that cannot be asked about (of another namespace, without CAP_SYS_ADMIN) is not. */
static bool exists(uint64_t mount)
{
    const struct {
        uint32_t size, spare;
        uint64_t mount, param;
    } request = {.size = 24, .mount = mount, .param = STATMOUNT_SB_BASIC}; /* struct mnt_id_req, version 0 */
    _Alignas(uint64_t) char answer[1024];

    return syscall(SYS_statmount, &request, answer, sizeof(answer), 0) == 0;
}

static struct entry *find(const pl_mounts *mounts, const struct key *key)
{
    struct entry *e = NULL;

    HASH_FIND(hh, mounts->entries, key, sizeof(*key), e);
    return e;
}

/* The number of the file system that exists now on this device, by any mount that can be asked about; 0: none can. Mounts
 * that are gone are forgotten on the way: who refers to one is compared anew, at the price of a read. */
static uint64_t file_system_of(pl_mounts *mounts, const struct key *key)
{
    for (struct entry *e = mounts->entries, *next; e; e = next) {
        next = e->hh.next;
        if (e->key.dev_major != key->dev_major || e->key.dev_minor != key->dev_minor)
            continue;
        if (exists(e->key.mount))
            return e->file_system;
        HASH_DEL(mounts->entries, e);
        free(e);
    }
    return 0;
}

/* 0: out of memory. A mount that exists, because it was seen just now or says so, shares the file system of any other
 * that does. One that is known is not asked again: this is on the path of every hit. */
static uint64_t learn(pl_mounts *mounts, const struct key *key, bool was_seen)
{
    struct entry *e = find(mounts, key);

    if (e)
        return e->file_system;
    uint64_t file_system = was_seen || exists(key->mount) ? file_system_of(mounts, key) : 0;
    if (HASH_COUNT(mounts->entries) >= LIMIT)
        clear(mounts);
    e = calloc(1, sizeof(*e));
    if (!e)
        return 0;
    e->key = *key;
    e->file_system = file_system ? file_system : ++mounts->next;
    HASH_ADD(hh, mounts->entries, key, sizeof(e->key), e);
    if (e->hh.tbl)
        return e->file_system;
    free(e);
    return 0;
}

static struct key key_of(const pl_identity *identity)
{
    return (struct key){identity->mount_id, identity->dev_major, identity->dev_minor};
}

void pl_mounts_note(pl_mounts *mounts, const pl_identity *identity)
{
    const struct key key = key_of(identity);

    if (key.mount)
        (void)learn(mounts, &key, true);
}

bool pl_mounts_same(pl_mounts *mounts, const pl_identity *then, const pl_identity *now)
{
    const struct key was = key_of(then), is = key_of(now);

    if (was.mount == is.mount || was.mount == 0 || is.mount == 0)
        return true;
    /* The older one first: learned now, it finds the other only if it is still there itself. */
    const uint64_t a = learn(mounts, &was, false), b = learn(mounts, &is, true);

    return a && a == b;
}

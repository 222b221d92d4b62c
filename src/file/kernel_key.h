/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What the kernel says of an inode that it executes (step 9 of the never-stale protocol): read out of its memory, where
 * there is no birth time and the device number is another one than stat(2) shows, so it is no pl_identity. Two equal keys
 * are the same bytes for the same reason: the ctime moves with every change.
 */
#ifndef PL_FILE_KERNEL_KEY_H
#define PL_FILE_KERNEL_KEY_H

#include "src/base/mix.h"

#include <procledger/procledger.h>

#include <stdbool.h>

typedef struct pl_kernel_key {
    uint64_t inode, size;
    int64_t mtime_ns, ctime_ns;
    uint32_t dev;        /* s_dev: major << 20 | minor */
    uint32_t generation; /* of the inode; 0 on overlayfs */
    uint8_t uuid[16];    /* of the file system; zero where it has none */
    uint64_t mount_id;   /* as in pl_identity: an attribute, see mounts.h; 0: not known */
} pl_kernel_key;

/* A statx of the same file at that moment would look like this. The device is no part of it: on btrfs the two have
 * different ones. */
static inline bool pl_kernel_key_agrees(const pl_kernel_key *key, const pl_identity *identity)
{
    return key->inode == identity->inode && key->size == identity->size && key->mtime_ns == identity->mtime_ns &&
           key->ctime_ns == identity->ctime_ns;
}

/* The same inode with the same bytes, though it may have lost its name or changed its mode since. */
static inline bool pl_kernel_key_is_of(const pl_kernel_key *key, const pl_identity *identity)
{
    return key->inode == identity->inode && key->size == identity->size && key->mtime_ns == identity->mtime_ns;
}

/* For a slot table. */
static inline uint32_t pl_kernel_key_tag(const pl_kernel_key *key)
{
    return (uint32_t)pl_mix(key->inode ^ UINT64_C(0xa0761d6478bd642f),
                            (uint64_t)key->ctime_ns ^ (uint64_t)key->dev << 32 ^ key->generation);
}

#endif

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * File systems of a test's own: an image in a folder, made by mkfs, mounted through a loop device; an overlay above such
 * an image; a tmpfs. The caller has pl_own_mounts and one thread that calls. Whatever happens to the test, nothing
 * stays: the mounts end with its mount namespace, and the loop device detaches itself when its last user is gone.
 */
#ifndef PL_TESTS_LOOP_FS_H
#define PL_TESTS_LOOP_FS_H

#include <stdbool.h>
#include <stddef.h>

typedef struct pl_loop_fs pl_loop_fs;

typedef struct pl_loop_fs_options {
    const char
        *type; /* ext4, ext3 (128-byte inodes: whole seconds, no birth time), xfs, btrfs, squashfs, overlay, tmpfs */
    const char *from; /* NULL, or a folder whose contents the image begins with: ext4 and squashfs alone */
    const char *data; /* more options of mount(2), or NULL */
    bool read_only;   /* the device too */
} pl_loop_fs_options;

/* folder: an empty one of the test's own. NULL: mounted, *out is to be freed. Else why it cannot be had here, valid
 * until the next call. */
const char *pl_loop_fs_new(const char *folder, const pl_loop_fs_options *options, pl_loop_fs **out);
/* Unmounts, and lets go of the device. NULL safe, returns NULL. */
pl_loop_fs *pl_loop_fs_free(pl_loop_fs *fs);
/* Where it is mounted. */
const char *pl_loop_fs_top(const pl_loop_fs *fs);
/* Both keep the device, so that st_dev is the same afterwards (not of an overlay and a tmpfs). False with errno. */
bool pl_loop_fs_unmount(pl_loop_fs *fs);
bool pl_loop_fs_mount(pl_loop_fs *fs);
/* Unmounted and read-only: the contents of the device become those of other's image, which has the same size. */
bool pl_loop_fs_exchange(pl_loop_fs *fs, const pl_loop_fs *other);
/* Unmounted: replaces the bytes `from` on the device itself, which no time stamp tells of. How often they were found. */
size_t pl_loop_fs_patch(pl_loop_fs *fs, const void *from, const void *to, size_t length);

/* An overlay with its layers in `folder`: lower, upper, work, merged (made where they are missing). upper false: of
 * lower layers alone. False with errno. Unmounted by the caller, or with the namespace. */
bool pl_overlay_mount(const char *folder, const char *lower, bool upper, const char *data);

#endif

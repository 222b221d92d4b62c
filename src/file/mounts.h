/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Whether a device number means what it meant. It names a file system only while that is mounted: afterwards the next one
 * may get it, or the same one may come back with other bytes under old times (an image changed offline, a crash that lost
 * the journal). A mount has a number that is never used again in a boot (statx(2), STATX_MNT_ID_UNIQUE, Linux 6.8): what
 * was seen through one mount and is seen through the same one lies on the same, never unmounted, file system; through
 * another one it does while the first, or any that is known to stand for it, still exists (statmount(2)).
 *
 * The owner serialises the calls. No disk is touched; a mount that is new costs a few system calls, once.
 */
#ifndef PL_FILE_MOUNTS_H
#define PL_FILE_MOUNTS_H

#include "src/file/identity.h"

typedef struct pl_mounts pl_mounts;

int pl_mounts_new(pl_mounts **out);
pl_mounts *pl_mounts_free(pl_mounts *mounts);
/* identity was seen just now: its mount stands for the file system of every other that exists now on its device. */
void pl_mounts_note(pl_mounts *mounts, const pl_identity *identity);
/* then: an identity of this boot; now: one of just now, on the same device. False: they may be of two file systems, so
 * that equal numbers prove nothing; also where nobody can tell, because then was seen through a mount of another namespace
 * that is not the one of now. True where the kernel does not number mounts. */
bool pl_mounts_same(pl_mounts *mounts, const pl_identity *then, const pl_identity *now);

#endif

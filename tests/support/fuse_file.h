/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A FUSE file system with one file, "file", whose server can be told never to answer one kind of request: the shortest
 * way to a file that blocks. A server process of its own speaks to /dev/fuse; needs CAP_SYS_ADMIN. Owned by the test's thread.
 */
#ifndef PL_TESTS_FUSE_FILE_H
#define PL_TESTS_FUSE_FILE_H

#include <stdint.h>

typedef struct pl_fuse_file pl_fuse_file;

/* folder: an empty one of the test's own. silent: opcode of linux/fuse.h that is never answered; 0: all are. NULL: FUSE
 * cannot be had here (errno says why). */
pl_fuse_file *pl_fuse_file_new(const char *folder, uint32_t silent);
/* Aborts the connection, which ends whoever hangs on it with ENOTCONN, and unmounts. NULL safe. */
void pl_fuse_file_free(pl_fuse_file *file);
/* Waits until a request of the silent kind has come in: somebody hangs. */
void pl_fuse_file_wait(pl_fuse_file *file);
/* Answers what is held back and all that follows. */
void pl_fuse_file_release(pl_fuse_file *file);

#endif

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What the kernel says about an open descriptor. Any thread; nothing is kept.
 */
#ifndef PL_BASE_FD_H
#define PL_BASE_FD_H

/* The name under which the kernel knows what is open (O_PATH will do), seen from this process's root. *out: the
 * caller's to free; NULL: it has none (a pipe, a socket, beyond our root). To the name of what was unlinked the kernel
 * adds " (deleted)", which stays: whether a file is called that is for who knows the inode. 0 or PL_ERR_NOMEM with *out
 * untouched. One readlink in /proc: asks no file system. */
int pl_fd_name(int fd, char **out);

#endif

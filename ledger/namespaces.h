/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The way into other mount namespaces: a process that lives there, and its root below /proc. Nothing is held open, so
 * that no unmount waits for us. One thread.
 */
#ifndef PL_LEDGER_NAMESPACES_H
#define PL_LEDGER_NAMESPACES_H

#include <stdint.h>
#include <sys/types.h>

typedef struct pl_namespaces pl_namespaces;

/* procfs: "/proc", borrowed. own: the mount namespace that needs no way; 0: not known. */
int pl_namespaces_new(const char *procfs, uint64_t own, pl_namespaces **out);
pl_namespaces *pl_namespaces_free(pl_namespaces *namespaces);
/* pid was seen in mnt_ns. Out of memory: forgotten. */
void pl_namespaces_living(pl_namespaces *namespaces, uint64_t mnt_ns, pid_t pid);
/* The root of mnt_ns. 0: *root_fd is an O_PATH descriptor of the caller's, or -1 for our own namespace; PL_VANISHED:
 * nobody is known to live there. */
int pl_namespaces_open(pl_namespaces *namespaces, uint64_t mnt_ns, int *root_fd);

#endif

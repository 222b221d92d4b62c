/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Container ids from cgroup paths: docker, containerd, cri-o, podman (64 hex digits in a component, with
 * their prefixes and .scope), lxc, systemd-nspawn (machine-NAME.scope). Pure text.
 */
#ifndef PL_PROCESS_CONTAINER_H
#define PL_PROCESS_CONTAINER_H

#include <stddef.h>

/* The id (64 hex digits are kept whole) in memory of its own; NULL with 0: none. Negative: PL_ERR_NOMEM. */
int pl_container_of_cgroup(const char *cgroup, char **out);

#endif

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Mounts that are the test's alone: a mount namespace for the process, from which nothing spreads. Call while the
 * process has one thread, once for each folder below which something will be mounted.
 */
#ifndef PL_TESTS_OWN_MOUNTS_H
#define PL_TESTS_OWN_MOUNTS_H

#include <stdbool.h>

/* False: not to be had here (errno says why): the test skips and says so. */
bool pl_own_mounts(const char *folder);
/* Before the folder is removed; also when pl_own_mounts was never called for it. */
void pl_own_mounts_end(const char *folder);

#endif

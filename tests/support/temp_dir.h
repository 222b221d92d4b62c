/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A folder of a test's own, mode 0700, removed with all that is in it. Lies on the disk ($TMPDIR, else /var/tmp: a
 * tier A file system as a rule; /tmp may be tmpfs). */
#ifndef PL_TESTS_TEMP_DIR_H
#define PL_TESTS_TEMP_DIR_H

#include <stddef.h>

char *pl_temp_dir_new(void);                           /* heap; asserts on failure */
char *pl_temp_dir_free(char *dir);                     /* removes the tree; returns NULL; NULL safe */
char *pl_temp_path(const char *dir, const char *name); /* heap */
void pl_temp_write(const char *path, const void *bytes, size_t length,
                   unsigned mode); /* creates or replaces contents */

#endif

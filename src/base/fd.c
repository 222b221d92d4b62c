/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Descriptors as the kernel shows them. Owns nothing; must not look at the file itself (src/file does).
 *
 * Invariant: a name is whole or is not told.
 */
#include "src/base/fd.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "src/base/error.h"

int pl_fd_name(int fd, char **out)
{
    char link[32], name[PATH_MAX + 1], *copy = NULL;

    (void)snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
    ssize_t n = readlink(link, name, sizeof(name));
    if (n > 0 && (size_t)n < sizeof(name) && name[0] == '/') {
        copy = strndup(name, (size_t)n);
        if (!copy)
            return pl_error_nomem();
    }
    *out = copy;
    return 0;
}

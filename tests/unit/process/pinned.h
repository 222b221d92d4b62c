/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What is behind a descriptor that only pins a file. */
#ifndef PL_TESTS_PINNED_H
#define PL_TESTS_PINNED_H

#include <unistd.h>

#include "src/file/probe.h"

/* Bytes read from the start of the pinned file, -1: it cannot be opened. */
static inline ssize_t pinned_read(int pin, char *out, size_t size)
{
    int outcome, error, fd = pl_pin_named(pin, NULL, 0, &outcome, &error);

    if (fd < 0)
        return -1;
    ssize_t n = pread(fd, out, size, 0);
    (void)close(fd);
    return n;
}

#endif

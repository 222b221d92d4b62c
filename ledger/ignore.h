/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What --ignore leaves out: patterns of fnmatch(3) over the whole path. Any thread. */
#ifndef PL_LEDGER_IGNORE_H
#define PL_LEDGER_IGNORE_H

#include <fnmatch.h>
#include <stdbool.h>

/* patterns: NULL-ended; NULL: none. path NULL is never ignored. */
static inline bool pl_is_ignored(const char *const *patterns, const char *path)
{
    for (const char *const *p = patterns; path && p && *p; p++)
        if (fnmatch(*p, path, 0) == 0)
            return true;
    return false;
}

#endif

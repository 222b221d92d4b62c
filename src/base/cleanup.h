/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Cleanup attributes: a local owns what it points at until pl_steal hands it on.
 */
#ifndef PL_BASE_CLEANUP_H
#define PL_BASE_CLEANUP_H

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define pl_cleanup(function) __attribute__((cleanup(function)))

static inline void pl_cleanup_free(void *pointer)
{
    free(*(void **)pointer);
}

static inline void pl_cleanup_close(int *fd)
{
    if (*fd >= 0)
        (void)close(*fd);
}

static inline void pl_cleanup_closedir(DIR **dir)
{
    if (*dir)
        (void)closedir(*dir);
}

static inline void pl_cleanup_fclose(FILE **file)
{
    if (*file)
        (void)fclose(*file);
}

#define pl_auto_free pl_cleanup(pl_cleanup_free)
#define pl_auto_close pl_cleanup(pl_cleanup_close)
#define pl_auto_closedir pl_cleanup(pl_cleanup_closedir)
#define pl_auto_fclose pl_cleanup(pl_cleanup_fclose)

/* Takes the value out of an owning local, leaving its null value behind. */
#define pl_steal(pointer)                                                                                              \
    __extension__({                                                                                                    \
        __typeof__(*(pointer)) pl_stolen_ = *(pointer);                                                                \
        *(pointer) = NULL;                                                                                             \
        pl_stolen_;                                                                                                    \
    })

static inline int pl_steal_fd(int *fd)
{
    int stolen = *fd;

    *fd = -1;
    return stolen;
}

#endif

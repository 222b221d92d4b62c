/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Lets SQLite run out of memory and disk at any call. The countdown of tests/support/fault.h reaches calls that the linker
 * saw, and SQLite is a shared library; so its own tables of system calls and allocators, which it lets everybody
 * replace, get functions of this program. Those are redirected like all others.
 *
 * And a call that kills the process instead of failing: what a power button for one process does, at each write in turn.
 */
#ifndef PL_TESTS_SQLITE_FAULTS_H
#define PL_TESTS_SQLITE_FAULTS_H

#include <errno.h>
#include <fcntl.h>
#include <malloc.h>
#include <signal.h>
#include <sqlite3.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <unistd.h>

#include "tests/support/fault.h"

#define SQLITE_FAULTS __attribute__((unused)) static

/* Writes until the process dies; negative: it does not. */
SQLITE_FAULTS atomic_int sqlite_writes_to_live = -1;

SQLITE_FAULTS void sqlite_count_write(void)
{
    if (atomic_load(&sqlite_writes_to_live) >= 0 && atomic_fetch_sub(&sqlite_writes_to_live, 1) == 0)
        (void)raise(SIGKILL);
}

SQLITE_FAULTS int sqlite_via_open(const char *path, int flags, int mode)
{
    return open(path, flags, mode);
}

SQLITE_FAULTS ssize_t sqlite_via_read(int fd, void *bytes, size_t n)
{
    return read(fd, bytes, n);
}

SQLITE_FAULTS ssize_t sqlite_via_pread(int fd, void *bytes, size_t n, off_t at)
{
    return pread(fd, bytes, n, at);
}

SQLITE_FAULTS ssize_t sqlite_via_write(int fd, const void *bytes, size_t n)
{
    sqlite_count_write();
    return write(fd, bytes, n);
}

SQLITE_FAULTS ssize_t sqlite_via_pwrite(int fd, const void *bytes, size_t n, off_t at)
{
    sqlite_count_write();
    return pwrite(fd, bytes, n, at);
}

SQLITE_FAULTS int sqlite_via_ftruncate(int fd, off_t length)
{
    sqlite_count_write();
    return ftruncate(fd, length);
}

SQLITE_FAULTS int sqlite_via_fcntl(int fd, int command, ...)
{
    va_list args;

    va_start(args, command);
    void *argument = va_arg(args, void *);
    va_end(args);
    return fcntl(fd, command, argument);
}

SQLITE_FAULTS void *sqlite_via_malloc(int size)
{
    return malloc((size_t)size);
}

SQLITE_FAULTS void sqlite_via_free(void *p)
{
    free(p);
}

SQLITE_FAULTS void *sqlite_via_realloc(void *p, int size)
{
    return realloc(p, (size_t)size);
}

SQLITE_FAULTS int sqlite_via_size(void *p)
{
    return (int)malloc_usable_size(p);
}

SQLITE_FAULTS int sqlite_via_roundup(int size)
{
    return (size + 7) & ~7;
}

SQLITE_FAULTS int sqlite_via_init(void *context)
{
    (void)context;
    return SQLITE_OK;
}

SQLITE_FAULTS void sqlite_via_shutdown(void *context)
{
    (void)context;
}

/* Before the first use of SQLite in the program. False: this SQLite does not let itself be redirected. */
SQLITE_FAULTS bool sqlite_faults_init(void)
{
    static const sqlite3_mem_methods memory = {
        sqlite_via_malloc,  sqlite_via_free, sqlite_via_realloc,  sqlite_via_size,
        sqlite_via_roundup, sqlite_via_init, sqlite_via_shutdown, NULL};
    const struct {
        const char *name;
        sqlite3_syscall_ptr call;
    } calls[] = {
        {"open", (sqlite3_syscall_ptr)sqlite_via_open},           {"read", (sqlite3_syscall_ptr)sqlite_via_read},
        {"pread", (sqlite3_syscall_ptr)sqlite_via_pread},         {"pread64", (sqlite3_syscall_ptr)sqlite_via_pread},
        {"write", (sqlite3_syscall_ptr)sqlite_via_write},         {"pwrite", (sqlite3_syscall_ptr)sqlite_via_pwrite},
        {"pwrite64", (sqlite3_syscall_ptr)sqlite_via_pwrite},     {"fcntl", (sqlite3_syscall_ptr)sqlite_via_fcntl},
        {"ftruncate", (sqlite3_syscall_ptr)sqlite_via_ftruncate},
    };

    if (sqlite3_config(SQLITE_CONFIG_MALLOC, &memory) != SQLITE_OK || sqlite3_initialize() != SQLITE_OK)
        return false;
    sqlite3_vfs *vfs = sqlite3_vfs_find(NULL);
    if (!vfs || vfs->iVersion < 3 || !vfs->xSetSystemCall)
        return false;
    for (size_t i = 0; i < sizeof(calls) / sizeof(calls[0]); i++) {
        if (vfs->xSetSystemCall(vfs, calls[i].name, calls[i].call) != SQLITE_OK)
            return false;
    }
    return true;
}

#endif

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The countdown behind fault.h, and the functions to which the linker's --wrap redirects. The list of wrapped
 * functions stands in tests/CMakeLists.txt; each has its __wrap_ here. Owns the one armed fault of the
 * process: a global, because the calls it redirects have no context to pass. All of it is atomic: the code
 * under test has threads.
 *
 * Invariants: disarmed, every wrapper is a plain pass-through. A fault touches only calls that the linker
 * saw: those made inside shared libraries (libc, SQLite, OpenSSL) go through untouched.
 */
#include "tests/support/fault.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/types.h>
#include <unistd.h>

#define DISARMED (-1)

static struct {
    atomic_int kind, errnum;
    atomic_llong left;
    atomic_bool from, fired;
} armed = {.kind = DISARMED};

static void arm(pl_fault_kind kind, unsigned n, int errnum, bool from)
{
    atomic_store(&armed.kind, DISARMED);
    atomic_store(&armed.errnum, errnum);
    atomic_store(&armed.left, (long long)n);
    atomic_store(&armed.from, from);
    atomic_store(&armed.fired, false);
    atomic_store(&armed.kind, (int)kind);
}

bool pl_fault_arm(pl_fault_kind kind, unsigned n, int errnum)
{
    arm(kind, n, errnum, false);
    return true;
}

void pl_fault_arm_from(pl_fault_kind kind, unsigned n, int errnum)
{
    arm(kind, n, errnum, true);
}

bool pl_fault_fired(void)
{
    return atomic_load(&armed.fired);
}

void pl_fault_disarm(void)
{
    atomic_store(&armed.kind, DISARMED);
}

/* Counts one call of that kind: the errno with which it has to fail, or 0. */
static int fault(pl_fault_kind kind)
{
    if (atomic_load(&armed.kind) != (int)kind)
        return 0;
    long long left = atomic_fetch_sub(&armed.left, 1);
    if (left != 1 && (left > 1 || !atomic_load(&armed.from)))
        return 0;
    atomic_store(&armed.fired, true);
    return atomic_load(&armed.errnum);
}

/* As fault(), with errno set. */
static bool fails(pl_fault_kind kind)
{
    int errnum = fault(kind);

    if (errnum)
        errno = errnum;
    return errnum != 0;
}

/* type name(parameters) is replaced by one that fails with `failure`, else calls the real one. */
#define WRAP(kind, type, failure, name, parameters, arguments)                                                         \
    type __real_##name parameters;                                                                                     \
    type __wrap_##name parameters;                                                                                     \
    type __wrap_##name parameters                                                                                      \
    {                                                                                                                  \
        return fails(kind) ? (failure) : __real_##name arguments;                                                      \
    }

WRAP(PL_FAULT_ALLOC, void *, NULL, malloc, (size_t size), (size))
WRAP(PL_FAULT_ALLOC, void *, NULL, calloc, (size_t n, size_t size), (n, size))
WRAP(PL_FAULT_ALLOC, void *, NULL, realloc, (void *old, size_t size), (old, size))
WRAP(PL_FAULT_ALLOC, void *, NULL, aligned_alloc, (size_t alignment, size_t size), (alignment, size))
WRAP(PL_FAULT_ALLOC, char *, NULL, strdup, (const char *text), (text))
WRAP(PL_FAULT_ALLOC, char *, NULL, strndup, (const char *text, size_t length), (text, length))

WRAP(PL_FAULT_STAT, int, -1, statx, (int dir, const char *path, int flags, unsigned mask, struct statx *out),
     (dir, path, flags, mask, out))
WRAP(PL_FAULT_STAT, int, -1, fstatfs, (int fd, struct statfs *out), (fd, out))

WRAP(PL_FAULT_READ, ssize_t, -1, read, (int fd, void *bytes, size_t n), (fd, bytes, n))
WRAP(PL_FAULT_READ, ssize_t, -1, pread, (int fd, void *bytes, size_t n, off_t at), (fd, bytes, n, at))
WRAP(PL_FAULT_READ, ssize_t, -1, recvmsg, (int fd, struct msghdr *message, int flags), (fd, message, flags))

WRAP(PL_FAULT_WRITE, ssize_t, -1, write, (int fd, const void *bytes, size_t n), (fd, bytes, n))
WRAP(PL_FAULT_WRITE, ssize_t, -1, pwrite, (int fd, const void *bytes, size_t n, off_t at), (fd, bytes, n, at))
WRAP(PL_FAULT_WRITE, int, -1, fsync, (int fd), (fd))
WRAP(PL_FAULT_WRITE, int, -1, fdatasync, (int fd), (fd))
WRAP(PL_FAULT_WRITE, int, -1, ftruncate, (int fd, off_t length), (fd, length))
WRAP(PL_FAULT_WRITE, int, -1, rename, (const char *from, const char *to), (from, to))
WRAP(PL_FAULT_WRITE, int, -1, mkdir, (const char *path, mode_t mode), (path, mode))

WRAP(PL_FAULT_OPEN, int, -1, socket, (int domain, int type, int protocol), (domain, type, protocol))
WRAP(PL_FAULT_OPEN, int, -1, eventfd, (unsigned value, int flags), (value, flags))

int __real_open(const char *path, int flags, ...);
int __wrap_open(const char *path, int flags, ...);
int __real_openat(int dir, const char *path, int flags, ...);
int __wrap_openat(int dir, const char *path, int flags, ...);
int __real_fcntl(int fd, int command, ...);
int __wrap_fcntl(int fd, int command, ...);
int __real_pthread_create(pthread_t *out, const pthread_attr_t *attributes, void *(*run)(void *), void *argument);
int __wrap_pthread_create(pthread_t *out, const pthread_attr_t *attributes, void *(*run)(void *), void *argument);

/* A mode was passed only with these. */
static bool has_mode(int flags)
{
    return (flags & O_CREAT) || (flags & O_TMPFILE) == O_TMPFILE;
}

int __wrap_open(const char *path, int flags, ...)
{
    mode_t mode = 0;

    if (has_mode(flags)) {
        va_list args;
        va_start(args, flags);
        mode = va_arg(args, mode_t);
        va_end(args);
    }
    return fails(PL_FAULT_OPEN) ? -1 : __real_open(path, flags, mode);
}

int __wrap_openat(int dir, const char *path, int flags, ...)
{
    mode_t mode = 0;

    if (has_mode(flags)) {
        va_list args;
        va_start(args, flags);
        mode = va_arg(args, mode_t);
        va_end(args);
    }
    return fails(PL_FAULT_OPEN) ? -1 : __real_openat(dir, path, flags, mode);
}

/* The argument is an int, a pointer or absent; taken as a pointer, as the C library itself does. */
int __wrap_fcntl(int fd, int command, ...)
{
    va_list args;

    va_start(args, command);
    void *argument = va_arg(args, void *);
    va_end(args);
    return fails(PL_FAULT_FCNTL) ? -1 : __real_fcntl(fd, command, argument);
}

int __wrap_pthread_create(pthread_t *out, const pthread_attr_t *attributes, void *(*run)(void *), void *argument)
{
    int errnum = fault(PL_FAULT_THREAD);

    return errnum ? errnum : __real_pthread_create(out, attributes, run, argument);
}

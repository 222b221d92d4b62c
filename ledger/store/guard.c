/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Before SQLite opens a ledger. Owns nothing but the lock's descriptor, which it hands out.
 *
 * It must never open the database file itself: closing any descriptor of a file drops this process's POSIX locks on
 * it, and another handle of the process may hold some. So files are judged by fstatat, and the header is read through
 * SQLite's own VFS, which defers such a close.
 *
 * "Others" who may not write: everybody for whom the mode's last three bits count, and the group, unless it is root's
 * or the caller's own (user-private groups make 0775 folders that nobody else can write). A folder with the sticky bit
 * is fine, since there nobody can replace what is not his; what he put there beforehand is seen by its owner. And the
 * owner of a folder can write it, whatever its mode says now: he must be root or the caller, as the file's must.
 */
#include "ledger/store/guard.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "ledger/store/database.h"
#include "src/base/cleanup.h"
#include "src/base/error.h"

#define HEADER_SIZE 100

static int no_folder(const char *folder, int errnum)
{
    int code = errnum == ENOENT || errnum == ENOTDIR ? PL_ERR_NOT_FOUND : pl_error_code(errnum);

    return pl_error_errno(code, errnum, "%s", folder);
}

int pl_guard_resolve(const char *path, char **out)
{
    const char *slash = strrchr(path, '/');
    const char *base = slash ? slash + 1 : path;
    pl_auto_free char *folder = NULL, *real = NULL;
    char *whole = NULL;

    if (*base == '\0' || strcmp(base, ".") == 0 || strcmp(base, "..") == 0)
        return pl_error_set(PL_ERR_INVALID, "%s: not the name of a file", path);
    if (!slash)
        folder = strdup(".");
    else if (slash == path)
        folder = strdup("/");
    else
        folder = strndup(path, (size_t)(slash - path));
    if (!folder)
        return pl_error_nomem();
    real = realpath(folder, NULL);
    if (!real)
        return no_folder(folder, errno);
    size_t length = strlen(real) + strlen(base) + 2;
    whole = malloc(length);
    if (!whole)
        return pl_error_nomem();
    (void)snprintf(whole, length, "%s/%s", strcmp(real, "/") == 0 ? "" : real, base);
    *out = whole;
    return 0;
}

char *pl_guard_name(const char *path, const char *suffix)
{
    size_t length = strlen(path) + strlen(suffix) + 1;
    char *name = malloc(length);

    if (name)
        (void)snprintf(name, length, "%s%s", path, suffix);
    return name;
}

static bool others_write(const struct stat *status)
{
    return (status->st_mode & S_IWOTH) ||
           ((status->st_mode & S_IWGRP) && status->st_gid != 0 && status->st_gid != getegid());
}

static int check_owner(const char *name, const struct stat *status)
{
    if (status->st_uid == 0 || status->st_uid == geteuid())
        return 0;
    return pl_error_set(PL_ERR_UNSAFE, "%s: owned by user %u, neither root nor you", name, (unsigned)status->st_uid);
}

static int check_folder(const char *path)
{
    struct stat status;
    pl_auto_free char *folder = strndup(path, (size_t)(strrchr(path, '/') - path) + 1);

    if (!folder)
        return pl_error_nomem();
    if (fstatat(AT_FDCWD, folder, &status, 0) < 0)
        return no_folder(folder, errno);
    if (others_write(&status) && !(status.st_mode & S_ISVTX))
        return pl_error_set(PL_ERR_UNSAFE, "%s: others can write this folder (mode %04o)", folder,
                            (unsigned)(status.st_mode & 07777));
    return check_owner(folder, &status);
}

/* 0 with *exists and *size, or what is wrong with the file of that name. */
static int check_file(const char *path, const char *suffix, bool *exists, off_t *size)
{
    struct stat status;
    pl_auto_free char *name = pl_guard_name(path, suffix);

    if (!name)
        return pl_error_nomem();
    if (fstatat(AT_FDCWD, name, &status, AT_SYMLINK_NOFOLLOW) < 0) {
        if (errno != ENOENT)
            return pl_error_errno(pl_error_code(errno), errno, "%s", name);
        *exists = false;
        *size = 0;
        return 0;
    }
    if (S_ISLNK(status.st_mode))
        return pl_error_set(PL_ERR_UNSAFE, "%s: a symbolic link; name the file itself", name);
    if (!S_ISREG(status.st_mode))
        return pl_error_set(PL_ERR_DAMAGED, "%s: not a regular file", name);
    if (others_write(&status))
        return pl_error_set(PL_ERR_UNSAFE, "%s: others can write this file (mode %04o)", name,
                            (unsigned)(status.st_mode & 07777));
    int rc = check_owner(name, &status);
    if (rc < 0)
        return rc;
    *exists = true;
    *size = status.st_size;
    return 0;
}

int pl_guard_check(const char *path, bool *exists)
{
    static const char *const companions[] = {"-wal", "-shm", ".lock"};
    bool there = false, companion = false, wal = false;
    off_t size = 0, companion_size = 0;
    int rc = check_folder(path);

    if (rc < 0)
        return rc;
    for (size_t i = 0; i < sizeof(companions) / sizeof(companions[0]); i++) {
        rc = check_file(path, companions[i], &companion, &companion_size);
        if (rc < 0)
            return rc;
        if (i == 0)
            wal = companion && companion_size > 0;
    }
    /* After its companions: whoever creates a ledger puts the whole file there before its WAL exists. */
    rc = check_file(path, "", &there, &size);
    if (rc < 0)
        return rc;
    if (!there && wal)
        return pl_error_set(PL_ERR_DAMAGED,
                            "%s is gone but its %s-wal is there: a new ledger would swallow it; move it away", path,
                            path);
    *exists = there;
    return 0;
}

static uint32_t big_endian(const unsigned char *p)
{
    return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

static int judge_header(const char *path, const unsigned char *header, sqlite3_int64 size)
{
    struct stat wal;
    pl_auto_free char *wal_name = NULL;

    if (memcmp(header, "SQLite format 3", 16) != 0)
        return pl_error_set(PL_ERR_DAMAGED, "%s: not a ledger (no SQLite header)", path);
    if (big_endian(header + 68) != PL_APPLICATION_ID)
        return pl_error_set(PL_ERR_DAMAGED, "%s: a database of another program, not a ledger", path);
    uint32_t page_size = (uint32_t)header[16] << 8 | header[17];
    page_size = page_size == 1 ? 65536 : page_size;
    if (page_size < 512 || (page_size & (page_size - 1)))
        return pl_error_set(PL_ERR_DAMAGED, "%s: damaged (page size %u)", path, (unsigned)page_size);
    /* With a WAL the pages may still be there, and SQLite knows better. */
    wal_name = pl_guard_name(path, "-wal");
    if (!wal_name)
        return pl_error_nomem();
    if (fstatat(AT_FDCWD, wal_name, &wal, AT_SYMLINK_NOFOLLOW) == 0 && wal.st_size > 0)
        return 0;
    if (size < (sqlite3_int64)big_endian(header + 28) * page_size)
        return pl_error_set(PL_ERR_DAMAGED, "%s: truncated: %lld bytes instead of %lld", path, (long long)size,
                            (long long)big_endian(header + 28) * page_size);
    return 0;
}

int pl_guard_header(const char *path, int64_t *version)
{
    sqlite3_vfs *vfs = sqlite3_vfs_find(NULL);
    unsigned char header[HEADER_SIZE];
    sqlite3_int64 size = 0;
    int flags = 0;

    if (!vfs)
        return pl_error_set(PL_ERR_SYSTEM, "SQLite could not be initialised");
    pl_auto_free sqlite3_file *file = calloc(1, (size_t)vfs->szOsFile);
    sqlite3_filename name = sqlite3_create_filename(path, "", "", 0, NULL);
    if (!file || !name) {
        sqlite3_free_filename(name);
        return pl_error_nomem();
    }
    int rc = vfs->xOpen(vfs, name, file, SQLITE_OPEN_READONLY | SQLITE_OPEN_MAIN_DB | SQLITE_OPEN_NOFOLLOW, &flags);
    if (rc != SQLITE_OK) {
        int errnum = errno;
        sqlite3_free_filename(name);
        if (rc == SQLITE_NOMEM)
            return pl_error_nomem();
        return pl_error_errno(errnum ? pl_error_code(errnum) : PL_ERR_IO, errnum, "%s", path);
    }
    rc = file->pMethods->xFileSize(file, &size);
    if (rc == SQLITE_OK && size >= HEADER_SIZE)
        rc = file->pMethods->xRead(file, header, HEADER_SIZE, 0);
    (void)file->pMethods->xClose(file);
    sqlite3_free_filename(name);
    if (rc != SQLITE_OK)
        return pl_error_set(PL_ERR_IO, "%s: reading its header: %s", path, sqlite3_errstr(rc));
    if (size < HEADER_SIZE)
        return pl_error_set(PL_ERR_DAMAGED, "%s: %s", path,
                            size == 0 ? "empty, not a ledger" : "too short to be a ledger");
    rc = judge_header(path, header, size);
    if (rc == 0)
        *version = (int32_t)big_endian(header + 60);
    return rc;
}

/* The pid in a lock file; 0: none, its holder is no recorder. */
static long holder(int fd)
{
    char text[24];
    ssize_t n = pread(fd, text, sizeof(text) - 1, 0);

    if (n <= 0)
        return 0;
    text[n] = '\0';
    return strtol(text, NULL, 10);
}

/* Who holds it from now on; nothing for somebody who is no recorder, so that the pid of one that was killed goes. */
static int write_pid(int fd, const char *name, bool recorder)
{
    char text[24];
    int length = snprintf(text, sizeof(text), "%ld\n", (long)getpid());

    if (ftruncate(fd, 0) < 0 || (recorder && pwrite(fd, text, (size_t)length, 0) != length))
        return pl_error_errno(pl_error_code(errno), errno, "%s", name);
    return 0;
}

int pl_guard_lock(const char *path, bool recorder, int wait_ms, int *fd)
{
    pl_auto_free char *name = pl_guard_name(path, ".lock");
    const int pause_ms = 10;

    if (!name)
        return pl_error_nomem();
    pl_auto_close int lock = open(name, O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0640);
    if (lock < 0)
        return pl_error_errno(pl_error_code(errno), errno, "%s", name);
    while (flock(lock, LOCK_EX | LOCK_NB) < 0) {
        if (errno == EINTR)
            continue;
        if (errno != EWOULDBLOCK)
            return pl_error_errno(pl_error_code(errno), errno, "%s: flock", name);
        long pid = holder(lock);
        if (pid > 0)
            return pl_error_set(PL_ERR_LOCKED, "%s: another recorder (process %ld) has this ledger", path, pid);
        if (wait_ms <= 0)
            return pl_error_set(PL_ERR_LOCKED, "%s: another process holds %s", path, name);
        /* A sweep or a migration: flock has no time-out, and a signal for one is not a library's to take. */
        (void)poll(NULL, 0, pause_ms);
        wait_ms -= pause_ms;
    }
    int rc = write_pid(lock, name, recorder);
    if (rc < 0)
        return rc;
    *fd = pl_steal_fd(&lock);
    return 0;
}

int pl_guard_unlock(int fd)
{
    if (fd >= 0) {
        /* Emptied first: who comes next and has written no pid yet must not be taken for us. */
        (void)!ftruncate(fd, 0);
        (void)close(fd);
    }
    return -1;
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Taking a hash: statx, writer probe, one read, statx again, racy window. A prober owns a digester and a buffer and is
 * used by one thread. Must not cache anything and must not know the ledger: it says whether the hash may be cached and
 * why not.
 *
 * Invariants: the writer probe lies between S1 and the first read of every try. On tier B the dirty pages below are
 * write-protected (write_back) between the same two points. The signal of a lease break is set before the lease is
 * taken, never after: the default one kills. Nothing of the options is touched between a call that may hang and the
 * look at `cancel` that follows it.
 */
#include "src/file/probe.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/fiemap.h>
#include <linux/fs.h>
#include <linux/openat2.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "src/base/cleanup.h"
#include "src/base/error.h"
#include "src/file/reader.h"

#define BUFFER_SIZE ((size_t)256 * 1024) /* stays in a second-level cache; larger ones measured no faster */
#define AHEAD_BLOCK ((size_t)1 << 20)    /* large enough that handing over does not count */
#define AHEAD_SIZE ((uint64_t)8 << 20)   /* from here on a second thread reads ahead */
#define WALK_TRIES 3                     /* a walk in memory alone also fails when something is renamed meanwhile */
#define TRIES 4                          /* the first and three more */

struct pl_prober {
    pl_prober_options options;
    pl_digester *digester;
    unsigned char *buffer;
};

#ifndef RESOLVE_CACHED
#define RESOLVE_CACHED 0x20
#endif

/* What one try came to. */
enum { TRY_DONE, TRY_AGAIN };

int pl_prober_new(const pl_prober_options *options, pl_prober **out)
{
    pl_prober *prober = calloc(1, sizeof(*prober));

    if (!prober)
        return pl_error_nomem();
    prober->options = *options;
    if (!prober->options.clock)
        prober->options.clock = pl_clock_system();
    if (!prober->options.lease_signal)
        prober->options.lease_signal = SIGURG;
    prober->buffer = malloc(BUFFER_SIZE);
    int rc = prober->buffer ? pl_digester_new(&prober->digester) : pl_error_nomem();
    if (rc < 0) {
        pl_prober_free(prober);
        return rc;
    }
    *out = prober;
    return 0;
}

pl_prober *pl_prober_free(pl_prober *prober)
{
    if (!prober)
        return NULL;
    pl_digester_free(prober->digester);
    free(prober->buffer);
    free(prober);
    return NULL;
}

static void notify(const pl_prober *prober, pl_probe_event event)
{
    if (prober->options.notify)
        prober->options.notify(prober->options.notify_context, event);
}

/* After each call that may hang. False: the run was given up, and its options may be gone. */
static bool step(const pl_prober *prober, pl_probe_result *result)
{
    notify(prober, PL_PROBE_STEP);
    if (!prober->options.cancel || !atomic_load(prober->options.cancel))
        return true;
    result->outcome = PL_PENDING;
    return false;
}

static int failed(pl_probe_result *result, int errnum)
{
    result->outcome = errnum == ESTALE || errnum == ENOENT ? PL_VANISHED : PL_UNREADABLE;
    result->error = errnum;
    return TRY_DONE;
}

/*
 * A read lease is granted only while nobody has the file open for writing or holds a writable mapping of it (fcntl(2)).
 * F_UNLCK that fails leaves a lease that blocks writers until the descriptor is closed; it is asked twice.
 */
static pl_uncached_reason probe_writers(const pl_prober *prober, int fd)
{
    if (fcntl(fd, F_SETSIG, prober->options.lease_signal) != 0)
        return PL_UNCACHED_NO_LEASE;
    if (fcntl(fd, F_SETLEASE, F_RDLCK) != 0)
        return errno == EAGAIN ? PL_UNCACHED_WRITER : PL_UNCACHED_NO_LEASE;
    if (fcntl(fd, F_SETLEASE, F_UNLCK) != 0 && fcntl(fd, F_SETLEASE, F_UNLCK) != 0)
        return PL_UNCACHED_NO_LEASE;
    return PL_CACHEABLE;
}

/*
 * Write-protects the dirty pages below an overlay, so that every later store faults and moves ctime. fdatasync(2) does
 * it on an ordinary one; it does nothing, successfully, on one mounted volatile and with tmpfs below (a stale hash was
 * reproduced on both). FIEMAP reaches the real file, whose file system writes back first whatever the overlay was
 * mounted with; where there is no disk to write to it does not exist.
 */
static bool write_back(int fd)
{
    struct fiemap map = {.fm_length = 1, .fm_flags = FIEMAP_FLAG_SYNC};

    return fdatasync(fd) == 0 && ioctl(fd, FS_IOC_FIEMAP, &map) == 0;
}

/* The next bytes at `at`, through the reader when there is one. As pl_reader_next. */
static ssize_t next_bytes(pl_prober *prober, pl_reader *reader, int fd, uint64_t at, const void **bytes, int *errnum)
{
    ssize_t n;

    if (reader)
        return pl_reader_next(reader, bytes, errnum);
    do {
        n = pread(fd, prober->buffer, BUFFER_SIZE, (off_t)at);
    } while (n < 0 && errno == EINTR);
    *errnum = errno;
    *bytes = prober->buffer;
    return n;
}

/* Reads all of it into the digester. 0: *total bytes were read, one block past expected at most; a negative code; or 1
 * with result->outcome set. */
static int read_blocks(pl_prober *prober, pl_reader *reader, int fd, uint64_t expected, uint64_t *total,
                       pl_probe_result *result)
{
    uint64_t at = 0;

    while (at <= expected) {
        const void *bytes = NULL;
        int errnum = 0;
        ssize_t n = next_bytes(prober, reader, fd, at, &bytes, &errnum);
        if (!step(prober, result))
            return 1;
        if (n < 0) {
            (void)failed(result, errnum);
            return 1;
        }
        if (n == 0)
            break;
        at += (uint64_t)n;
        result->bytes_read += (uint64_t)n;
        int rc = pl_digester_update(prober->digester, bytes, (size_t)n);
        if (rc < 0)
            return rc;
    }
    *total = at;
    return 0;
}

static int read_all(pl_prober *prober, int fd, uint64_t expected, uint64_t *total, pl_probe_result *result)
{
    if (expected > BUFFER_SIZE)
        (void)posix_fadvise(fd, 0, 0, POSIX_FADV_SEQUENTIAL); /* advice: nothing to do when it is not taken */
    pl_reader *reader = NULL;
    if (expected >= AHEAD_SIZE)
        (void)pl_reader_new(fd, expected, AHEAD_BLOCK, &reader); /* without one: slower, no more */
    int rc = read_blocks(prober, reader, fd, expected, total, result);
    (void)pl_reader_free(reader);
    return rc;
}

/* Step 7 and the rules of the tiers; before_ns and after_ns: the wall clock just before and after S1. */
static void judge(pl_probe_result *result, pl_uncached_reason probed, int64_t before_ns, int64_t after_ns)
{
    const pl_identity *s1 = &result->identity;
    int64_t newest = s1->ctime_ns > s1->mtime_ns ? s1->ctime_ns : s1->mtime_ns;
    int64_t window = pl_racy_window_ns(s1, &result->fs);

    result->assurance = probed == PL_CACHEABLE ? PL_ASSURANCE_PROBED : PL_ASSURANCE_STAT;
    result->uncached = PL_CACHEABLE;
    if (result->fs.tier == PL_TIER_C)
        result->uncached = PL_UNCACHED_TIER;
    else if (s1->nlink == 0)
        result->uncached = PL_UNCACHED_UNLINKED;
    else if (probed != PL_CACHEABLE)
        result->uncached = probed;
    else if (newest > after_ns)
        result->uncached = PL_UNCACHED_FUTURE;
    else if (newest > before_ns - window) {
        result->uncached = PL_UNCACHED_YOUNG;
        result->retry_ns = newest + window - before_ns;
    }
}

/* Steps 3 and 4. TRY_AGAIN: go on to the read; TRY_DONE: result->outcome says why not. */
static int look(pl_prober *prober, int fd, pl_probe_result *result, pl_uncached_reason *probed, int64_t *after_ns)
{
    notify(prober, PL_PROBE_PROBING);
    result->hashed_ns = pl_clock_realtime_ns(prober->options.clock);
    int errnum = pl_identity_of_fd(fd, &result->identity);
    if (!step(prober, result))
        return TRY_DONE;
    if (errnum)
        return failed(result, errnum);
    *after_ns = pl_clock_realtime_ns(prober->options.clock);
    if (!S_ISREG(result->identity.mode)) {
        result->outcome = PL_NOT_REGULAR;
        return TRY_DONE;
    }
    if (prober->options.max_file_size && result->identity.size > prober->options.max_file_size) {
        result->outcome = PL_TOO_BIG;
        return TRY_DONE;
    }
    /* On tier C a granted lease proves nothing (a memfd's writers are not seen), and asking may hang on a network. */
    *probed = result->fs.tier == PL_TIER_C ? PL_UNCACHED_TIER : probe_writers(prober, fd);
    if (!step(prober, result))
        return TRY_DONE;
    notify(prober, PL_PROBE_READING);
    if (result->fs.tier == PL_TIER_B) {
        if (!write_back(fd))
            *probed = PL_UNCACHED_TIER;
        if (!step(prober, result))
            return TRY_DONE;
    }
    return TRY_AGAIN;
}

/* One try, steps 3 to 7: TRY_DONE (outcome set), TRY_AGAIN (it changed meanwhile) or a negative code. */
static int try_once(pl_prober *prober, int fd, uint32_t algorithms, pl_probe_result *result)
{
    const pl_prober_options *options = &prober->options;
    pl_uncached_reason probed = PL_CACHEABLE;
    int64_t after_ns = 0;
    uint64_t total = 0;

    int rc = pl_digester_start(prober->digester, algorithms);
    if (rc < 0)
        return rc;
    if (look(prober, fd, result, &probed, &after_ns) == TRY_DONE)
        return TRY_DONE;
    if (options->before_read) {
        options->before_read(options->hook_context);
        if (!step(prober, result))
            return TRY_DONE;
    }
    rc = read_all(prober, fd, result->identity.size, &total, result);
    if (rc != 0)
        return rc < 0 ? rc : TRY_DONE;
    if (options->before_s2)
        options->before_s2(options->hook_context);
    pl_identity s2;
    int errnum = pl_identity_of_fd(fd, &s2);
    if (!step(prober, result))
        return TRY_DONE;
    if (errnum)
        return failed(result, errnum);
    if (total != result->identity.size || !pl_identity_equal(&result->identity, &s2))
        return TRY_AGAIN;
    rc = pl_digester_finish(prober->digester, &result->digests);
    if (rc < 0)
        return rc;
    judge(result, probed, result->hashed_ns, after_ns);
    return TRY_DONE;
}

int pl_prober_run(pl_prober *prober, int fd, uint32_t algorithms, pl_probe_result *result)
{
    pl_probe_result own = {0};
    int rc = TRY_DONE, errnum = pl_file_system_of_fd(fd, &own.fs);

    if (!step(prober, &own)) {
        *result = own;
        return 0;
    }
    if (errnum) {
        own.hashed_ns = pl_clock_realtime_ns(prober->options.clock);
        (void)failed(&own, errnum);
    } else {
        own.fs.fine_grained = own.fs.fine_grained && prober->options.fine_grained_times;
        rc = TRY_AGAIN;
    }
    for (int n = 0; n < TRIES && rc == TRY_AGAIN; n++)
        rc = try_once(prober, fd, algorithms ? algorithms : prober->options.algorithms, &own);
    if (rc < 0)
        return rc;
    if (rc == TRY_AGAIN)
        own.outcome = PL_UNSTABLE;
    *result = own;
    return 0;
}

static int refuse(int *outcome, int *error, int code, int errnum)
{
    *outcome = code;
    *error = errnum;
    return -1;
}

/* Opens the file behind `fd` (O_PATH will do) as a description of our own, if it is regular and not forbidden. The
 * forbidden ones are never opened: closing any descriptor of an SQLite file drops this process's locks on it, but
 * closing an O_PATH descriptor does not. */
static int open_behind(int fd, const pl_identity *forbidden, size_t n, int *outcome, int *error)
{
    pl_identity seen, opened;
    char link[32];
    int errnum = pl_identity_of_fd(fd, &seen);

    if (errnum)
        return refuse(outcome, error, errnum == ESTALE ? PL_VANISHED : PL_UNREADABLE, errnum);
    if (!S_ISREG(seen.mode))
        return refuse(outcome, error, PL_NOT_REGULAR,
                      S_ISDIR(seen.mode)   ? EISDIR
                      : S_ISLNK(seen.mode) ? ELOOP
                                           : EINVAL);
    for (size_t i = 0; i < n; i++)
        if (forbidden[i].inode == seen.inode && forbidden[i].dev_major == seen.dev_major &&
            forbidden[i].dev_minor == seen.dev_minor)
            return refuse(outcome, error, PL_UNREADABLE, EPERM);
    (void)snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
    pl_auto_close int own = open(link, O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
    if (own < 0)
        return refuse(outcome, error, errno == ESTALE ? PL_VANISHED : PL_UNREADABLE, errno);
    errnum = pl_identity_of_fd(own, &opened);
    if (errnum)
        return refuse(outcome, error, errnum == ESTALE ? PL_VANISHED : PL_UNREADABLE, errnum);
    if (opened.inode != seen.inode || opened.dev_major != seen.dev_major || opened.dev_minor != seen.dev_minor)
        return refuse(outcome, error, PL_VANISHED, ESTALE);
    *outcome = 0;
    *error = 0;
    return pl_steal_fd(&own);
}

int pl_pin_open(int dir_fd, const char *path, bool follow, const pl_identity *forbidden, size_t n, int *outcome,
                int *error)
{
    pl_auto_close int seen = openat(dir_fd, path, O_PATH | O_CLOEXEC | (follow ? 0 : O_NOFOLLOW));

    if (seen < 0)
        return refuse(outcome, error,
                      errno == ENOENT || errno == ENOTDIR || errno == ESTALE ? PL_VANISHED : PL_UNREADABLE, errno);
    return open_behind(seen, forbidden, n, outcome, error);
}

int pl_pin_reopen(int fd, const pl_identity *forbidden, size_t n, int *outcome, int *error)
{
    int flags = fcntl(fd, F_GETFL);

    if (flags < 0)
        return refuse(outcome, error, PL_UNREADABLE, errno);
    /* Re-opening either would read for its sender what the sender could not read. */
    if ((flags & O_PATH) || (flags & O_ACCMODE) == O_WRONLY)
        return refuse(outcome, error, PL_UNREADABLE, EBADF);
    return open_behind(fd, forbidden, n, outcome, error);
}

int pl_pin_named(int fd, const pl_identity *forbidden, size_t n, int *outcome, int *error)
{
    return open_behind(fd, forbidden, n, outcome, error);
}

static int walk(int dir_fd, const char *path, int flags, uint64_t resolve)
{
    struct open_how how = {.flags = (uint64_t)(unsigned)(flags | O_PATH | O_CLOEXEC), .resolve = resolve};

    return (int)syscall(SYS_openat2, dir_fd, path, &how, sizeof(how));
}

int pl_pin_below(int root_fd, const char *path)
{
    if (root_fd < 0)
        return open(path, O_PATH | O_CLOEXEC);
    return walk(root_fd, path, 0, RESOLVE_IN_ROOT);
}

/* One name in a folder: from memory, or by looking into the folder, if that is a local file system's. */
static int step_into(int dir_fd, const char *name, int flags, uint64_t resolve)
{
    int fd = walk(dir_fd, name, flags, resolve | RESOLVE_CACHED);

    /* An overlay never follows a symbolic link from memory. */
    if (fd < 0 && errno == EAGAIN && pl_identity_is_local(dir_fd))
        fd = walk(dir_fd, name, flags, resolve | RESOLVE_NO_XDEV);
    return fd;
}

/* Name by name: what is mounted somewhere is always in memory, so that only folders of local file systems have to be
 * looked into. Below another root a link would be taken for one below its own folder; it is left to whoever may wait. */
static int walk_in_steps(int dir_fd, const char *path, int flags, uint64_t resolve)
{
    bool own_root = !(resolve & RESOLVE_IN_ROOT);
    pl_auto_close int at = openat(dir_fd, own_root && *path == '/' ? "/" : ".", O_PATH | O_DIRECTORY | O_CLOEXEC);
    char name[NAME_MAX + 1];

    resolve = (resolve & ~(uint64_t)RESOLVE_IN_ROOT) | (own_root ? 0 : RESOLVE_NO_SYMLINKS);
    while (at >= 0) {
        path += strspn(path, "/");
        size_t length = strcspn(path, "/");
        if (length == 0)
            return pl_steal_fd(&at);
        if (length >= sizeof(name)) {
            errno = ENAMETOOLONG;
            return -1;
        }
        memcpy(name, path, length);
        name[length] = '\0';
        path += length;
        bool last = path[strspn(path, "/")] == '\0';
        int next = step_into(at, name, last ? flags : O_DIRECTORY, resolve);
        int error = errno;
        (void)close(at);
        at = next;
        errno = error == ELOOP && !own_root ? EXDEV : error;
    }
    return -1;
}

int pl_pin_walk(int dir_fd, const char *path, int flags, uint64_t resolve)
{
    int fd = -1;

    for (int tries = 0; tries < WALK_TRIES; tries++) {
        fd = walk(dir_fd, path, flags, resolve | RESOLVE_CACHED);
        if (fd >= 0 || errno != EAGAIN)
            break;
    }
    if (fd < 0 && errno == EAGAIN && dir_fd != AT_FDCWD && pl_identity_is_local(dir_fd))
        fd = walk(dir_fd, path, flags, resolve | RESOLVE_NO_XDEV);
    if (fd < 0 && (errno == EAGAIN || errno == EXDEV))
        fd = walk_in_steps(dir_fd, path, flags, resolve);
    /* EINVAL: a kernel without RESOLVE_CACHED. ENOSYS: one without openat2, or a filter that hides it. */
    if (fd < 0 && errno == EINVAL)
        fd = walk(dir_fd, path, flags, resolve);
    if (fd < 0 && errno == ENOSYS && !(resolve & RESOLVE_IN_ROOT))
        return openat(dir_fd, path, flags | O_PATH | O_CLOEXEC);
    return fd;
}

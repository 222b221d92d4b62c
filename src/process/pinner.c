/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Executed files, pinned. Owns the fanotify group and the descriptors that nobody has claimed yet.
 *
 * Descriptors of one process lie in the order in which it opened them. Only the kernel's word says whose they are; which
 * of them is the executed file is found by comparing inode, size and times with what the exec event says.
 *
 * A known program needs no descriptor, so its inode is asked to be silent (an ignoring mark), which the next write to it
 * undoes. A store through a mapping does not; so silence proves nothing: it only means that there is no descriptor, and
 * whoever misses one reads /proc/PID/exe. The marks are evictable: they hold no inode in memory.
 *
 * Invariant: a file system is marked once, by its device; those that would have to ask a server are not marked at all,
 * since opening a file for its event could hang.
 */
#include "src/process/pinner.h"

#include "src/base/cleanup.h"
#include "src/base/error.h"
#include "src/file/identity.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/fanotify.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <unistd.h>

#define HASH_NONFATAL_OOM 1
#include <uthash.h>

#ifndef FAN_MARK_EVICTABLE
#define FAN_MARK_EVICTABLE 0x00000200
#endif
#define DEFAULT_LIMIT 1024
#define BUFFER 16384
#define KEEP_NS PL_NS_PER_S

typedef struct pin {
    int fd;
    pid_t pid;
    int64_t at_ns;
    struct pin *next; /* of the same process, in its order */
} pin;

/* What one process opened. */
typedef struct opener {
    pid_t pid; /* key */
    pin *pins, **tail;
    UT_hash_handle hh;
} opener;

typedef struct marked {
    uint64_t dev; /* key */
    UT_hash_handle hh;
} marked;

struct pl_pinner {
    pl_pinner_options options;
    int fd, mounts_fd;
    opener *openers; /* in the order of their first pin: the oldest first */
    marked *file_systems;
    bool evictable, warned;
    pl_pinner_stats stats;
    _Alignas(struct fanotify_event_metadata) char buffer[BUFFER];
};

/* ---- marks ---- */

static void mark_file_system(pl_pinner *p, const char *path)
{
    struct stat st;
    marked *m = NULL;
    pl_auto_close int fd = open(path, O_PATH | O_CLOEXEC);

    if (fd < 0 || !pl_identity_is_local(fd) || fstat(fd, &st) < 0)
        return;
    uint64_t dev = st.st_dev;
    HASH_FIND(hh, p->file_systems, &dev, sizeof(dev), m);
    if (m)
        return;
    if (fanotify_mark(p->fd, FAN_MARK_ADD | FAN_MARK_FILESYSTEM, FAN_OPEN_EXEC, fd, ".") < 0 &&
        fanotify_mark(p->fd, FAN_MARK_ADD | FAN_MARK_FILESYSTEM, FAN_OPEN_EXEC, AT_FDCWD, path) < 0)
        return; /* one that gives no events (proc, sysfs): executed files of it are read through /proc */
    m = calloc(1, sizeof(*m));
    if (!m)
        return;
    m->dev = dev;
    HASH_ADD(hh, p->file_systems, dev, sizeof(m->dev), m);
    if (!m->hh.tbl)
        free(m);
    p->stats.marks++;
}

/* The mount point of a line of mountinfo, its escapes undone, in place. NULL: no such line. */
static char *mount_point(char *line)
{
    char *save = NULL, *field = strtok_r(line, " ", &save), *out;

    for (int i = 0; field && i < 4; i++)
        field = strtok_r(NULL, " ", &save);
    if (!field)
        return NULL;
    out = field;
    for (char *in = field; *in; in++) {
        if (in[0] == '\\' && in[1] && in[2] && in[3]) {
            *out++ = (char)((in[1] - '0') * 64 + (in[2] - '0') * 8 + (in[3] - '0'));
            in += 3;
        } else {
            *out++ = *in;
        }
    }
    *out = '\0';
    return field;
}

void pl_pinner_mark_mounts(pl_pinner *p)
{
    char path[64];
    pl_auto_free char *line = NULL;
    size_t size = 0;

    (void)snprintf(path, sizeof(path), "%s/self/mountinfo", p->options.procfs);
    pl_auto_fclose FILE *file = fopen(path, "re");
    while (file && getline(&line, &size, file) > 0) {
        const char *point = mount_point(line);
        if (point)
            mark_file_system(p, point);
    }
}

void pl_pinner_mark_root(pl_pinner *p, pid_t pid)
{
    char path[64];

    (void)snprintf(path, sizeof(path), "%s/%d/root", p->options.procfs, (int)pid);
    mark_file_system(p, path);
}

/* ---- pins ---- */

static void drop_pin(pl_pinner *p, pin *one)
{
    if (one->fd >= 0) {
        (void)close(one->fd);
        p->stats.unclaimed++;
    }
    p->stats.held--;
    free(one);
}

static void drop_opener(pl_pinner *p, opener *o)
{
    for (pin *one = o->pins, *next; one; one = next) {
        next = one->next;
        drop_pin(p, one);
    }
    HASH_DEL(p->openers, o);
    free(o);
}

static void keep(pl_pinner *p, pid_t pid, int fd)
{
    opener *o = NULL;
    pin *one = calloc(1, sizeof(*one));

    HASH_FIND(hh, p->openers, &pid, sizeof(pid), o);
    if (one && !o && (o = calloc(1, sizeof(*o)))) {
        o->pid = pid;
        o->tail = &o->pins;
        HASH_ADD(hh, p->openers, pid, sizeof(o->pid), o);
        if (!o->hh.tbl) {
            free(o);
            o = NULL;
        }
    }
    if (!one || !o) {
        free(one);
        (void)close(fd);
        p->stats.unclaimed++;
        return;
    }
    *one = (pin){.fd = fd, .pid = pid, .at_ns = pl_clock_boottime_ns(p->options.clock)};
    *o->tail = one;
    o->tail = &one->next;
    p->stats.held++;
    while (p->stats.held > p->options.limit)
        drop_opener(p, p->openers);
}

/* One buffer of events. False: there is none. */
static bool read_some(pl_pinner *p)
{
    ssize_t n;

    do
        n = read(p->fd, p->buffer, sizeof(p->buffer));
    while (n < 0 && errno == EINTR);
    if (n < 0 && errno != EAGAIN && !p->warned) {
        p->warned = true;
        pl_log_write(p->options.log, PL_LOG_WARNING, "fanotify: %s", strerror(errno));
    }
    if (n <= 0)
        return false;
    const struct fanotify_event_metadata *event = (const void *)p->buffer;
    for (; FAN_EVENT_OK(event, n); event = FAN_EVENT_NEXT(event, n)) {
        p->stats.events++;
        if (event->mask & FAN_Q_OVERFLOW)
            p->stats.overflows++;
        else if (event->fd >= 0)
            keep(p, event->pid, event->fd);
    }
    return true;
}

void pl_pinner_read(pl_pinner *p)
{
    while (read_some(p))
        ;
}

static opener *opener_of(pl_pinner *p, pid_t pid)
{
    opener *o = NULL;

    HASH_FIND(hh, p->openers, &pid, sizeof(pid), o);
    return o;
}

static int take(pl_pinner *p, pin *one)
{
    p->stats.claimed++;
    return pl_steal_fd(&one->fd);
}

static pin *find(pl_pinner *p, pid_t pid, const pl_kernel_key *key, pl_identity *identity)
{
    opener *o = opener_of(p, pid);

    for (pin *one = o ? o->pins : NULL; one; one = one->next)
        if (one->fd >= 0 && pl_identity_of_pinned(one->fd, "", identity) == 0 && pl_kernel_key_is_of(key, identity))
            return one;
    return NULL;
}

/* Events are read no further than to the one that is asked for: after a pause there may be more of them than descriptors
 * can be held, and exec events are asked for in the same order. */
int pl_pinner_claim(pl_pinner *p, pid_t pid, const pl_kernel_key *key, pl_identity *identity)
{
    pl_identity seen;
    pin *one;

    while (!(one = find(p, pid, key, &seen)))
        if (!read_some(p))
            return -1;
    *identity = seen;
    return take(p, one);
}

int pl_pinner_claim_script(pl_pinner *p, pid_t pid, const pl_kernel_key *key, pl_identity *identity)
{
    pl_identity seen;
    opener *o;

    while (!(o = opener_of(p, pid)))
        if (!read_some(p))
            return -1;
    pin *first = o->pins;
    if (first->fd < 0 || pl_identity_of_pinned(first->fd, "", &seen) != 0 || pl_kernel_key_is_of(key, &seen))
        return -1;
    *identity = seen;
    return take(p, first);
}

static void silence(pl_pinner *p, int fd)
{
    unsigned flags = FAN_MARK_ADD | FAN_MARK_IGNORED_MASK | (p->evictable ? FAN_MARK_EVICTABLE : 0u);

    if (fanotify_mark(p->fd, flags, FAN_OPEN_EXEC, fd, NULL) == 0)
        p->stats.quiet++;
    else if (errno == EINVAL && p->evictable)
        p->evictable = false; /* before Linux 5.19: an inode that is asked to be silent would stay in memory */
}

void pl_pinner_settle(pl_pinner *p, pid_t pid, const pl_kernel_key *key, bool known)
{
    opener *o = opener_of(p, pid);
    bool image = false;

    if (!o)
        return;
    /* From the executed inode on, what follows is the ELF interpreter. A script before it goes on being reported: its
     * descriptor is the only proof of it. */
    for (const pin *one = o->pins; one && known && p->evictable; one = one->next) {
        pl_identity seen;
        if (one->fd < 0 || pl_identity_of_pinned(one->fd, "", &seen) != 0)
            continue;
        image = image || pl_kernel_key_agrees(key, &seen);
        if (image)
            silence(p, one->fd);
    }
    drop_opener(p, o);
}

void pl_pinner_expire(pl_pinner *p)
{
    int64_t limit = pl_clock_boottime_ns(p->options.clock) - KEEP_NS;

    while (p->openers && (!p->openers->pins || p->openers->pins->at_ns < limit))
        drop_opener(p, p->openers);
}

/* ---- */

int pl_pinner_fd(const pl_pinner *p)
{
    return p->fd;
}

int pl_pinner_mounts_fd(const pl_pinner *p)
{
    return p->mounts_fd;
}

void pl_pinner_stats_get(const pl_pinner *p, pl_pinner_stats *out)
{
    *out = p->stats;
}

int pl_pinner_new(const pl_pinner_options *options, pl_pinner **out)
{
    pl_pinner *p = calloc(1, sizeof(*p));
    char path[64];

    if (!p)
        return pl_error_nomem();
    p->options = *options;
    if (p->options.limit == 0)
        p->options.limit = DEFAULT_LIMIT;
    p->evictable = true;
    p->mounts_fd = -1;
    p->fd = fanotify_init(FAN_CLASS_NOTIF | FAN_CLOEXEC | FAN_NONBLOCK | FAN_UNLIMITED_QUEUE | FAN_UNLIMITED_MARKS,
                          O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_LARGEFILE);
    if (p->fd < 0) {
        int error = errno;
        free(p);
        return pl_error_errno(error == ENOSYS ? PL_ERR_UNSUPPORTED : pl_error_code(error), error, "fanotify");
    }
    (void)snprintf(path, sizeof(path), "%s/self/mountinfo", options->procfs);
    p->mounts_fd = open(path, O_RDONLY | O_CLOEXEC);
    pl_pinner_mark_mounts(p);
    if (p->stats.marks == 0) {
        (void)pl_pinner_free(p);
        return pl_error_set(PL_ERR_UNSUPPORTED, "fanotify: no file system can be marked for FAN_OPEN_EXEC");
    }
    *out = p;
    return 0;
}

pl_pinner *pl_pinner_free(pl_pinner *p)
{
    if (!p)
        return NULL;
    while (p->openers)
        drop_opener(p, p->openers);
    for (marked *m = p->file_systems, *next; m; m = next) {
        next = m->hh.next;
        HASH_DEL(p->file_systems, m);
        free(m);
    }
    pl_cleanup_close(&p->fd);
    pl_cleanup_close(&p->mounts_fd);
    free(p);
    return NULL;
}

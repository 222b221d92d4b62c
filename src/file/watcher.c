/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Watches on inodes. Owns the one libinotifytools instance of the process, the descriptor that the library hides, and
 * two maps over the watches: by inode and by watch descriptor. One thread's.
 *
 * Must not own: paths, descriptors of files, what an event means for a checksum.
 *
 * The library keeps a record of each watch and frees it only where we remove the watch ourselves; the record of an inode
 * that died stays. So dead records are counted, and when there are too many the whole instance is replaced.
 *
 * Its reader keeps up to 64 KiB of events in a static buffer that outlives even the instance: events of one instance
 * would be given to the watches of the next. Before an instance ends, its descriptor number is therefore made to stand
 * for a descriptor that is never readable, and the buffer is emptied: that ends, however fast events come in.
 *
 * Invariants:
 * - Every wanted watch is in both maps. A name that the library has been given is never used twice in an instance.
 * - A watch descriptor that no entry has is not ours any more; the kernel does not use it again, so its events are
 *   dropped.
 * - PL_WATCH_GONE is said of a key only while no watch stands on it.
 * - Nothing here asks the library about paths, filters or limits, and nothing waits.
 */
#include "src/file/watcher.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/inotify.h>
#include <sys/ioctl.h>
#include <sys/queue.h>
#include <sys/stat.h>

#include <inotifytools/inotifytools.h>
#define HASH_NONFATAL_OOM 1
#include <uthash.h>

#include "src/base/cleanup.h"
#include "src/base/error.h"

#define DEFAULT_LIMIT 65536
#define DEFAULT_DEAD_LIMIT 4096
#define DESCRIPTORS 1024      /* FD_SETSIZE: the library uses select(2) */
#define LIBRARY_BUFFER 65536u /* bytes of events that it may read ahead */
#define NAME_SIZE 160         /* two bytes for each bit of a generation, and the rest */

/* Never ATTRIB of a folder: the kernel reports that of the files in it too. IN_MASK_CREATE: the library leaks a record
 * when an inode is watched twice, so the kernel is told to refuse that. */
#define FILE_MASK (IN_MODIFY | IN_CLOSE_WRITE | IN_ATTRIB | IN_MOVE_SELF | IN_DELETE_SELF | IN_MASK_CREATE)
#define FOLDER_MASK (IN_CREATE | IN_MOVED_TO | IN_MOVE_SELF | IN_DELETE_SELF | IN_ONLYDIR | IN_MASK_CREATE)

typedef enum entry_state {
    WANTED,
    UNWANTED,   /* removed by the owner; the kernel hears of it when no event is pending. In both maps still. */
    SUPERSEDED, /* its inode number has got another inode: found by wd alone, until the kernel ends it */
} entry_state;

typedef struct entry {
    pl_watch_key key;
    int64_t btime_ns;
    int wd;
    pl_watch_kind kind;
    entry_state state;
    bool seen;              /* by a sweep */
    LIST_ENTRY(entry) link; /* of the unwanted, or of those that a sweep found gone */
    UT_hash_handle by_key, by_wd;
} entry;

LIST_HEAD(entry_list, entry);
static_assert(sizeof(pl_watch_key) == 16, "it is hashed as bytes: no padding");

struct pl_watcher {
    pl_watcher_options options;
    int fd;    /* the library's, which closes it; -1: no instance */
    int quiet; /* never readable: takes the place of fd when the instance ends */
    pid_t pid;
    uint64_t generation; /* of the last name */
    entry *by_key, *by_wd;
    struct entry_list unwanted;
    bool reading;
    bool unread;    /* the library's buffer may hold events */
    bool sweep_due; /* the end of a watch may have been lost in an overflow */
    bool said_refused, said_down;
    pl_watcher_stats stats;
};

/* The library's instance is global, and so is that it is taken. Not given back by a forked child. */
static bool instance_taken;

/* ---- the instance ---- */

static bool is_inotify(int fd)
{
    static const char wanted[] = "anon_inode:inotify";
    char path[32], target[sizeof(wanted)];

    (void)snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
    return readlink(path, target, sizeof(target)) == (ssize_t)sizeof(wanted) - 1 &&
           memcmp(target, wanted, sizeof(wanted) - 1) == 0;
}

/* The one inotify descriptor that select(2) can take and that was not there before. -1: none. */
static int find_new_descriptor(const bool before[DESCRIPTORS])
{
    for (int fd = 0; fd < DESCRIPTORS; fd++)
        if (!before[fd] && is_inotify(fd))
            return fd;
    return -1;
}

/* Nothing has been read from the new instance yet, so that the library's buffer is as empty as before. */
static int instance_start(pl_watcher *w)
{
    bool before[DESCRIPTORS];

    if (access("/proc/self/fd", X_OK) != 0)
        return pl_error_errno(PL_ERR_SYSTEM, errno, "cannot look for the inotify descriptor in /proc/self/fd");
    for (int fd = 0; fd < DESCRIPTORS; fd++)
        before[fd] = is_inotify(fd);
    if (!inotifytools_initialize())
        return pl_error_errno(PL_ERR_SYSTEM, inotifytools_error(), "cannot get an inotify instance");
    int fd = find_new_descriptor(before);
    if (fd < 0) {
        inotifytools_cleanup();
        return pl_error_set(PL_ERR_SYSTEM,
                            "the inotify descriptor would be %d or above, which libinotifytools cannot take",
                            DESCRIPTORS);
    }
    if (fcntl(fd, F_SETFD, FD_CLOEXEC) != 0 || fcntl(fd, F_SETFL, O_RDONLY | O_NONBLOCK) != 0) {
        int error = errno;
        inotifytools_cleanup();
        return pl_error_errno(PL_ERR_SYSTEM, error, "cannot set up the inotify descriptor");
    }
    w->fd = fd;
    w->generation = 0;
    w->unread = w->sweep_due = false;
    w->stats.dead = 0;
    return 0;
}

/* NULL: nothing is pending (*error is 0), or reading failed. */
static struct inotify_event *next_event(int *error)
{
    struct inotify_event *event;

    do {
        event = inotifytools_next_events(0, 1);
        *error = event ? 0 : inotifytools_error();
    } while (!event && *error == EINTR);
    if (*error == EAGAIN)
        *error = 0;
    return event;
}

static void instance_stop(pl_watcher *w)
{
    int error;

    if (w->fd < 0)
        return;
    while (dup3(w->quiet, w->fd, O_CLOEXEC) < 0 && (errno == EINTR || errno == EBUSY))
        ;
    while (next_event(&error))
        ;
    inotifytools_cleanup();
    w->fd = -1;
    w->unread = false;
}

/* Bytes of events that the kernel holds. */
static size_t bytes_waiting(const pl_watcher *w)
{
    int bytes = 0;

    return ioctl(w->fd, FIONREAD, &bytes) == 0 && bytes > 0 ? (size_t)bytes : 0;
}

/* ---- the maps ---- */

static entry *find_key(const pl_watcher *w, const pl_watch_key *key)
{
    entry *found;

    HASH_FIND(by_key, w->by_key, key, sizeof(*key), found);
    return found;
}

static entry *find_wd(const pl_watcher *w, int wd)
{
    entry *found;

    HASH_FIND(by_wd, w->by_wd, &wd, sizeof(wd), found);
    return found;
}

static bool stands(const pl_watcher *w, const pl_watch_key *key)
{
    const entry *found = find_key(w, key);

    return found && found->state == WANTED;
}

/* Takes e out of all that it is in; the caller frees it. */
static void detach(pl_watcher *w, entry *e)
{
    HASH_DELETE(by_wd, w->by_wd, e);
    if (e->state != SUPERSEDED)
        HASH_DELETE(by_key, w->by_key, e);
    if (e->state == UNWANTED)
        LIST_REMOVE(e, link);
    w->stats.watches -= e->state == WANTED;
}

/* The kernel has ended the watch of e, and the library keeps its record. */
static void detach_dead(pl_watcher *w, entry *e)
{
    w->stats.dead += e->state != SUPERSEDED; /* that was counted when it was superseded */
    detach(w, e);
}

static void forget_all(pl_watcher *w)
{
    entry *e, *next;

    HASH_ITER (by_wd, w->by_wd, e, next) {
        detach(w, e);
        free(e);
    }
}

/* A new wanted entry. old: the one that the same key had, or NULL. NULL: no memory, and nothing has changed. */
static entry *attach(pl_watcher *w, entry *old, const entry *values)
{
    entry *new = malloc(sizeof(*new));

    if (!new)
        return NULL;
    *new = *values;
    HASH_ADD(by_wd, w->by_wd, wd, sizeof(new->wd), new);
    if (!new->by_wd.tbl) {
        free(new);
        return NULL;
    }
    HASH_ADD(by_key, w->by_key, key, sizeof(new->key), new);
    if (!new->by_key.tbl) {
        HASH_DELETE(by_wd, w->by_wd, new);
        free(new);
        return NULL;
    }
    if (old) {
        HASH_DELETE(by_key, w->by_key, old);
        if (old->state == UNWANTED)
            LIST_REMOVE(old, link);
        w->stats.watches -= old->state == WANTED;
        old->state = SUPERSEDED;
        w->stats.dead++;
    }
    w->stats.watches++;
    w->stats.added++;
    return new;
}

/* ---- adding ---- */

static void revive(pl_watcher *w, entry *e)
{
    if (e->state != UNWANTED)
        return;
    LIST_REMOVE(e, link);
    e->state = WANTED;
    w->stats.watches++;
}

static int refuse(pl_watcher *w, const char *why)
{
    w->stats.refused++;
    if (!w->said_refused)
        pl_log_write(w->options.log, PL_LOG_WARNING, "no more files are watched: %s", why);
    w->said_refused = true;
    return PL_WATCH_REFUSED;
}

static int refuse_errno(pl_watcher *w, int error)
{
    switch (error) {
    case ENOSPC:
        return refuse(w, "fs.inotify.max_user_watches is reached");
    case ENOMEM:
        return refuse(w, "no kernel memory for watches");
    case EMFILE:
        return refuse(w, "the limit of descriptors is reached");
    default:
        return PL_WATCH_CANNOT;
    }
}

/* A path to what fd is open on that this instance has not seen yet: the generation in binary, "./" for 1 and "/" for 0,
 * from its highest bit, which makes the path differ and name the same. */
static void unique_name(uint64_t generation, int fd, char out[NAME_SIZE])
{
    size_t at = (size_t)snprintf(out, NAME_SIZE, "/proc/self/fd/");

    for (int bit = 63 - __builtin_clzll(generation); bit >= 0; bit--) {
        if (generation >> bit & 1)
            out[at++] = '.';
        out[at++] = '/';
    }
    (void)snprintf(out + at, NAME_SIZE - at, "%d", fd);
}

/* The watch descriptor, or a negative errno. */
static int watch_descriptor(pl_watcher *w, int fd, pl_watch_kind kind)
{
    char name[NAME_SIZE];

    unique_name(++w->generation, fd, name);
    if (!inotifytools_watch_file(name, kind == PL_WATCH_FILE ? FILE_MASK : FOLDER_MASK)) {
        int error = inotifytools_error();
        return error > 0 ? -error : -EIO;
    }
    int wd = inotifytools_wd_from_filename(name);
    if (wd > 0)
        return wd;
    w->stats.dead++; /* it had no memory for its record: nobody can remove this watch but a new instance */
    return -ENOMEM;
}

/* Without a birth time nobody can tell: then it is taken for the same. If it is not, the end of the old watch is on its
 * way and the owner will be told before he reads any later event. */
static bool same_inode(const entry *e, const pl_identity *identity, pl_watch_kind kind)
{
    return e->kind == kind && (!e->btime_ns || !identity->btime_ns || e->btime_ns == identity->btime_ns);
}

int pl_watcher_add(pl_watcher *w, int fd, const pl_identity *identity, pl_watch_kind kind)
{
    pl_watch_key key = pl_watch_key_of(identity);

    if (getpid() != w->pid)
        return pl_error_set(PL_ERR_INVALID, "a forked child has no watches");
    entry *old = find_key(w, &key);
    if (old && same_inode(old, identity, kind)) {
        revive(w, old);
        return PL_WATCH_ADDED;
    }
    /* The mask for files would report every write to any file in a folder. */
    if (S_ISDIR(identity->mode) != (kind == PL_WATCH_FOLDER))
        return PL_WATCH_CANNOT;
    if (w->fd < 0)
        return refuse(w, "there is no inotify instance");
    if (w->stats.watches - (old && old->state == WANTED) >= w->options.limit)
        return refuse(w, "the limit of watches is reached");
    int wd = watch_descriptor(w, fd, kind);
    if (wd == -EEXIST && old) {
        old->btime_ns = identity->btime_ns; /* the same inode after all, with another birth time */
        revive(w, old);
        return PL_WATCH_ADDED;
    }
    if (wd < 0)
        return refuse_errno(w, -wd);
    if (find_wd(w, wd)) {
        w->stats.dead++; /* a second record of one watch, which is not this key's; the first one stays as it is */
        return PL_WATCH_CANNOT;
    }
    entry values = {.key = key, .btime_ns = identity->btime_ns, .wd = wd, .kind = kind};
    if (!attach(w, old, &values)) {
        (void)inotifytools_remove_watch_by_wd(wd);
        return pl_error_nomem();
    }
    return PL_WATCH_ADDED;
}

bool pl_watcher_has(const pl_watcher *w, const pl_watch_key *key)
{
    return stands(w, key);
}

/* ---- removing ---- */

/* This frees the library's record, and the kernel answers with IN_IGNORED of a wd that is not ours any more. */
static void unwatch(pl_watcher *w, entry *e)
{
    if (inotifytools_remove_watch_by_wd(e->wd))
        detach(w, e);
    else
        detach_dead(w, e);
    free(e);
}

bool pl_watcher_remove(pl_watcher *w, const pl_watch_key *key)
{
    entry *e = find_key(w, key);

    if (getpid() != w->pid || !e || e->state != WANTED)
        return false;
    /* Its end may be among the pending events, and of a watch that has ended the library would complain on stderr. Who
     * looks at pending events is woken anyway, so the removal does not wait long. */
    if (w->unread || bytes_waiting(w) > 0) {
        e->state = UNWANTED;
        w->stats.watches--;
        LIST_INSERT_HEAD(&w->unwanted, e, link);
        return true;
    }
    unwatch(w, e);
    return true;
}

/* ---- reading ---- */

typedef struct sink {
    pl_watch_fn each;
    void *context;
    int n;
} sink;

static void tell(pl_watcher *w, sink *to, const pl_watch_event *event)
{
    w->stats.events++;
    to->n++;
    if (to->each)
        to->each(to->context, event);
}

/* The watch on key has ended; there may be another one by now, on the next inode of that number. */
static void tell_end(pl_watcher *w, sink *to, const pl_watch_key *key)
{
    pl_watch_event event = {.what = stands(w, key) ? PL_WATCH_TOUCHED : PL_WATCH_GONE, .key = *key};

    tell(w, to, &event);
}

static void watch_ended(pl_watcher *w, sink *to, entry *e)
{
    pl_watch_key key = e->key;
    bool matters = e->state == WANTED || (e->state == SUPERSEDED && stands(w, &key));

    detach_dead(w, e);
    free(e);
    if (matters)
        tell_end(w, to, &key);
}

static void on_event(pl_watcher *w, sink *to, const struct inotify_event *event)
{
    pl_watch_event out = {.what = PL_WATCH_TOUCHED};

    if (event->mask & IN_Q_OVERFLOW) {
        w->stats.overflows++;
        w->sweep_due = true;
        out.what = PL_WATCH_LOST;
        tell(w, to, &out);
        return;
    }
    entry *e = find_wd(w, event->wd);
    if (!e)
        return;
    if (event->mask & IN_IGNORED) {
        watch_ended(w, to, e);
        return;
    }
    if (e->state != WANTED && !(e->state == SUPERSEDED && stands(w, &e->key)))
        return;
    if (event->mask & IN_UNMOUNT) /* its end is told, which follows */
        return;
    out.key = e->key;
    if (e->kind == PL_WATCH_FOLDER && e->state == WANTED && event->len && (event->mask & (IN_CREATE | IN_MOVED_TO))) {
        out.what = PL_WATCH_ENTRY;
        out.name = event->name;
    }
    tell(w, to, &out);
}

/* Delivers what is pending. It leaves more only under a flood, where the kernel's queue is never empty: then the
 * descriptor is readable, and the caller gets to do something else in between. */
static int read_events(pl_watcher *w, sink *to)
{
    struct pollfd poll_fd = {.fd = w->fd, .events = POLLIN};
    struct inotify_event *event;
    int error;

    if (!w->unread && poll(&poll_fd, 1, 0) <= 0)
        return 0;
    size_t due = bytes_waiting(w) + LIBRARY_BUFFER, done = 0;
    w->unread = true;
    while ((event = next_event(&error))) {
        done += sizeof(*event) + event->len;
        on_event(w, to, event);
        if (done >= due && bytes_waiting(w) > 0)
            return 0;
    }
    if (error)
        return pl_error_errno(PL_ERR_SYSTEM, error, "cannot read inotify events");
    w->unread = false;
    return 0;
}

/* Marks the entries that the kernel still watches. False: it does not say. */
static bool mark_seen(pl_watcher *w)
{
    char path[40], line[1024];
    unsigned wd;

    (void)snprintf(path, sizeof(path), "/proc/self/fdinfo/%d", w->fd);
    pl_auto_fclose FILE *file = fopen(path, "re");
    if (!file)
        return false;
    for (entry *e = w->by_wd; e; e = e->by_wd.next)
        e->seen = false;
    while (fgets(line, sizeof(line), file)) {
        entry *e = sscanf(line, "inotify wd:%x", &wd) == 1 ? find_wd(w, (int)wd) : NULL;
        if (e)
            e->seen = true;
    }
    return !ferror(file);
}

/* After an overflow: whose IN_IGNORED was lost is found by asking the kernel what it watches. False: it does not say. */
static bool sweep(pl_watcher *w, sink *to)
{
    struct entry_list gone = LIST_HEAD_INITIALIZER(gone);
    entry *e, *next;

    if (!mark_seen(w))
        return false;
    w->sweep_due = false;
    HASH_ITER (by_wd, w->by_wd, e, next) {
        if (e->seen)
            continue;
        bool wanted = e->state == WANTED;
        detach_dead(w, e);
        if (wanted)
            LIST_INSERT_HEAD(&gone, e, link);
        else
            free(e);
    }
    while ((e = LIST_FIRST(&gone))) {
        LIST_REMOVE(e, link);
        tell_end(w, to, &e->key);
        free(e);
    }
    return true;
}

/* Tells also when there is no new instance: that no watch stands must be known at once. */
static void renew(pl_watcher *w, sink *to)
{
    pl_watch_event event = {.what = PL_WATCH_RENEWED};
    bool had_one = w->fd >= 0;

    instance_stop(w);
    forget_all(w);
    if (instance_start(w) == 0) {
        w->stats.renewals++;
        w->said_down = false;
    } else if (!w->said_down) {
        pl_log_write(w->options.log, PL_LOG_WARNING, "nothing is watched for now: %s", pl_error_message());
        w->said_down = true;
    }
    if (had_one || w->fd >= 0)
        tell(w, to, &event);
}

static bool too_many_dead(const pl_watcher *w)
{
    uint64_t bound = w->options.dead_limit > w->stats.watches ? w->options.dead_limit : w->stats.watches;

    return w->stats.dead > bound;
}

int pl_watcher_read(pl_watcher *w, pl_watch_fn each, void *context)
{
    sink to = {.each = each, .context = context};
    bool must_renew = w->fd < 0;
    entry *e;
    int r = 0;

    if (getpid() != w->pid || w->reading)
        return pl_error_set(PL_ERR_INVALID, "events are read by the owner, one call at a time");
    w->reading = true;
    if (!must_renew)
        r = read_events(w, &to);
    if (r == 0 && w->sweep_due)
        must_renew = !sweep(w, &to);
    while (r == 0 && !must_renew && !w->unread && (e = LIST_FIRST(&w->unwanted)))
        unwatch(w, e);
    if (r == 0 && (must_renew || too_many_dead(w)))
        renew(w, &to);
    w->reading = false;
    return r < 0 ? r : to.n;
}

/* ---- the watcher ---- */

int pl_watcher_new(const pl_watcher_options *options, pl_watcher **out)
{
    if (instance_taken)
        return pl_error_set(PL_ERR_BUSY, "there is a watcher in this process already");
    pl_watcher *w = calloc(1, sizeof(*w));
    if (!w)
        return pl_error_nomem();
    w->options = *options;
    if (w->options.limit == 0)
        w->options.limit = DEFAULT_LIMIT;
    if (w->options.dead_limit == 0)
        w->options.dead_limit = DEFAULT_DEAD_LIMIT;
    w->fd = -1;
    w->pid = getpid();
    LIST_INIT(&w->unwanted);
    w->quiet = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    int r = w->quiet < 0 ? pl_error_errno(PL_ERR_SYSTEM, errno, "cannot make an eventfd") : instance_start(w);
    if (r < 0) {
        pl_cleanup_close(&w->quiet);
        free(w);
        return r;
    }
    instance_taken = true;
    *out = w;
    return 0;
}

pl_watcher *pl_watcher_free(pl_watcher *w)
{
    if (!w)
        return NULL;
    assert(!w->reading);
    if (getpid() == w->pid) {
        instance_stop(w);
        instance_taken = false;
    }
    forget_all(w);
    pl_cleanup_close(&w->quiet);
    free(w);
    return NULL;
}

int pl_watcher_fd(const pl_watcher *w)
{
    return w->fd;
}

void pl_watcher_stats_get(const pl_watcher *w, pl_watcher_stats *out)
{
    *out = w->stats;
}

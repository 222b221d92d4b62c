/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A watcher, a folder with files, and what the watcher said. The library is a shared one: its calls of the C library and
 * ours of it find the functions of this program first, which so can refuse or count them. One test's at a time.
 */
#ifndef PL_TESTS_WATCH_SUPPORT_H
#define PL_TESTS_WATCH_SUPPORT_H

#include "src/file/watcher.h"

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/select.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cmocka.h>

#include "src/base/error.h"
#include "tests/support/fault.h"
#include "tests/support/temp_dir.h"

#define SAID_MAX 512
#define EXPORTED __attribute__((visibility("default")))

/* ---- what the library meets ---- */

static struct {
    int add_error;     /* inotify_add_watch fails with it */
    bool add_again;    /* inotify_add_watch is not told to refuse an inode twice */
    int init_error;    /* inotify_init fails with it */
    int init_from;     /* inotify_init gives a descriptor from there on */
    int select_errors; /* so many calls of select fail */
    int select_error;  /* with this */
    bool no_record;    /* the library knows no name */
    void (*on_add)(const char *path);
    void (*on_select)(void *context);
    void *context;
    unsigned selects; /* calls so far */
} library;

EXPORTED int inotify_add_watch(int fd, const char *path, uint32_t mask);
EXPORTED int inotify_add_watch(int fd, const char *path, uint32_t mask)
{
    if (library.on_add)
        library.on_add(path);
    if (library.add_error) {
        errno = library.add_error;
        return -1;
    }
    return (int)syscall(SYS_inotify_add_watch, fd, path, library.add_again ? mask & ~(uint32_t)IN_MASK_CREATE : mask);
}

EXPORTED int inotify_init(void);
EXPORTED int inotify_init(void)
{
    if (library.init_error) {
        errno = library.init_error;
        return -1;
    }
    int fd = (int)syscall(SYS_inotify_init1, 0);
    if (fd < 0 || !library.init_from)
        return fd;
    int high = fcntl(fd, F_DUPFD, library.init_from);
    (void)close(fd);
    return high;
}

EXPORTED int select(int n, fd_set *in, fd_set *out, fd_set *other, struct timeval *timeout);
EXPORTED int select(int n, fd_set *in, fd_set *out, fd_set *other, struct timeval *timeout)
{
    library.selects++;
    if (library.on_select)
        library.on_select(library.context);
    if (library.select_errors > 0) {
        library.select_errors--;
        errno = library.select_error;
        return -1;
    }
    assert_non_null(timeout); /* else it would wait for ever */
    assert_int_equal(timeout->tv_sec, 0);
    return (int)syscall(SYS_pselect6, n, in, out, other, &(struct timespec){0}, NULL);
}

EXPORTED int inotifytools_wd_from_filename(const char *name);
EXPORTED int inotifytools_wd_from_filename(const char *name)
{
    void *real = dlsym(RTLD_NEXT, "inotifytools_wd_from_filename");
    int (*call)(const char *);

    assert_non_null(real);
    memcpy(&call, &real, sizeof(call));
    return library.no_record ? -1 : call(name);
}

/* ---- what the watcher says ---- */

typedef struct said {
    pl_watch_what what;
    pl_watch_key key;
    char name[256];
} said;

typedef struct fixture {
    char *dir, *file, *other;
    pl_log log;
    unsigned logged;
    char line[512];
    pl_watcher *watcher;
    said said[SAID_MAX]; /* the first ones of the last read */
    size_t n;
    void (*hook)(struct fixture *f, const pl_watch_event *event);
    void *hook_data;
} fixture;

static void on_log(void *context, pl_log_level level, const char *line)
{
    fixture *f = context;

    (void)level;
    f->logged++;
    (void)snprintf(f->line, sizeof(f->line), "%s", line);
}

static void on_watch(void *context, const pl_watch_event *event)
{
    fixture *f = context;

    if (f->n < SAID_MAX) {
        said *s = &f->said[f->n];
        s->what = event->what;
        s->key = event->key;
        (void)snprintf(s->name, sizeof(s->name), "%s", event->name ? event->name : "");
    }
    f->n++;
    if (f->hook)
        f->hook(f, event);
}

static int read_all(fixture *f)
{
    f->n = 0;
    int r = pl_watcher_read(f->watcher, on_watch, f);
    if (r >= 0)
        assert_int_equal(r, f->n);
    return r;
}

static bool same_key(const pl_watch_key *a, const pl_watch_key *b)
{
    return a->dev_major == b->dev_major && a->dev_minor == b->dev_minor && a->inode == b->inode;
}

/* key NULL: any. */
static size_t count(const fixture *f, pl_watch_what what, const pl_watch_key *key)
{
    size_t n = 0;

    for (size_t i = 0; i < f->n && i < SAID_MAX; i++)
        n += f->said[i].what == what && (!key || same_key(key, &f->said[i].key));
    return n;
}

static pl_watcher_stats stats_of(const fixture *f)
{
    pl_watcher_stats stats;

    pl_watcher_stats_get(f->watcher, &stats);
    return stats;
}

static bool readable(const fixture *f)
{
    struct pollfd p = {.fd = pl_watcher_fd(f->watcher), .events = POLLIN};

    return poll(&p, 1, 0) == 1;
}

/* ---- files ---- */

static int open_at(const char *path, int flags)
{
    int fd = open(path, flags | O_CLOEXEC, 0640);

    if (fd < 0)
        fail_msg("cannot open %s: %s", path, strerror(errno));
    return fd;
}

static pl_identity identity_at(const char *path)
{
    pl_identity identity;

    assert_int_equal(pl_identity_of_path(AT_FDCWD, path, false, &identity), 0);
    return identity;
}

static pl_watch_key key_at(const char *path)
{
    pl_identity identity = identity_at(path);

    return pl_watch_key_of(&identity);
}

/* What path names is watched as if it had that identity. */
static int add_as(fixture *f, const char *path, const pl_identity *identity, pl_watch_kind kind)
{
    int fd = open_at(path, O_PATH | O_NOFOLLOW);
    int r = pl_watcher_add(f->watcher, fd, identity, kind);

    (void)close(fd);
    return r;
}

static int add_path(fixture *f, const char *path, pl_watch_kind kind)
{
    pl_identity identity = identity_at(path);

    return add_as(f, path, &identity, kind);
}

static pl_watch_key watch_file(fixture *f, const char *path)
{
    assert_int_equal(add_path(f, path, PL_WATCH_FILE), PL_WATCH_ADDED);
    pl_watch_key key = key_at(path);
    assert_true(pl_watcher_has(f->watcher, &key));
    return key;
}

static void append(const char *path)
{
    int fd = open_at(path, O_WRONLY | O_APPEND);

    assert_int_equal(write(fd, "x", 1), 1);
    (void)close(fd);
}

/* Puts a new file in the place of path. */
static void replace(const fixture *f, const char *path)
{
    char *temporary = pl_temp_path(f->dir, ".new");

    (void)close(open_at(temporary, O_WRONLY | O_CREAT | O_EXCL));
    assert_int_equal(rename(temporary, path), 0);
    free(temporary);
}

/* Watches of a descriptor, as the kernel counts them. */
static unsigned kernel_watches(int fd)
{
    char path[64], line[1024];
    unsigned n = 0;

    (void)snprintf(path, sizeof(path), "/proc/self/fdinfo/%d", fd);
    FILE *file = fopen(path, "re");
    assert_non_null(file);
    while (fgets(line, sizeof(line), file))
        n += strncmp(line, "inotify ", 8) == 0;
    (void)fclose(file);
    return n;
}

static unsigned max_queued_events(void)
{
    unsigned n = 0;
    FILE *file = fopen("/proc/sys/fs/inotify/max_queued_events", "re");

    assert_non_null(file);
    assert_int_equal(fscanf(file, "%u", &n), 1);
    (void)fclose(file);
    return n;
}

/* n events of two watched files, none of which is like the one before it. */
static void make_events(const fixture *f, unsigned n)
{
    int fds[2] = {open_at(f->file, O_RDWR), open_at(f->other, O_RDWR)};

    for (unsigned i = 0; i < n; i++)
        assert_int_equal(pwrite(fds[i % 2], "y", 1, 0), 1);
    (void)close(fds[0]);
    (void)close(fds[1]);
}

/* ---- set-up ---- */

static void start(fixture *f, size_t limit, size_t dead_limit)
{
    pl_watcher_options options = {.log = &f->log, .limit = limit, .dead_limit = dead_limit};
    pl_watcher *watcher = NULL;

    assert_int_equal(pl_watcher_new(&options, &watcher), 0);
    assert_non_null(watcher);
    f->watcher = watcher;
}

static void restart(fixture *f, size_t limit, size_t dead_limit)
{
    f->watcher = pl_watcher_free(f->watcher);
    start(f, limit, dead_limit);
}

/* No watcher yet. */
static int set_up_files(void **state)
{
    fixture *f = calloc(1, sizeof(*f));

    assert_non_null(f);
    memset(&library, 0, sizeof(library));
    f->log = (pl_log){.write = on_log, .context = f, .level = PL_LOG_DEBUG};
    f->dir = pl_temp_dir_new();
    f->file = pl_temp_path(f->dir, "file");
    f->other = pl_temp_path(f->dir, "other");
    pl_temp_write(f->file, "ten bytes.", 10, 0640);
    pl_temp_write(f->other, "ten others", 10, 0640);
    *state = f;
    return 0;
}

static int set_up(void **state)
{
    (void)set_up_files(state);
    start(*state, 0, 0);
    return 0;
}

static int tear_down(void **state)
{
    fixture *f = *state;

    memset(&library, 0, sizeof(library));
    pl_fault_disarm();
    (void)pl_watcher_free(f->watcher);
    free(f->file);
    free(f->other);
    (void)pl_temp_dir_free(f->dir);
    free(f);
    return 0;
}

#endif

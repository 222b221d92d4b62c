/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The watched folders. Owns their paths and the one that is being read.
 *
 * A program is tracked under the name that its process would have: a link is followed, and the name is the kernel's for
 * what it leads to. So one that is known by many names is read once, and executing it finds it.
 *
 * What the folder's watch cannot tell (it may be refused, and a file may become executable without being moved) the next
 * scan finds; it costs a lookup in memory for each name that is known already.
 */
#include "ledger/baseline.h"

#include "ledger/ignore.h"
#include "src/base/cleanup.h"
#include "src/base/error.h"
#include "src/base/fd.h"
#include "src/file/probe.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define NAMES 128 /* of one step */
#define SCAN_NS (INT64_C(600) * PL_NS_PER_S)

typedef struct folder {
    char *path; /* as the kernel names it; NULL: not there yet */
    char *asked;
    pl_watch_key key;
    bool missing; /* said already */
} folder;

struct pl_baseline {
    pl_baseline_options options;
    folder *folders;
    size_t count;
    size_t at;    /* the folder that is being read; count: none */
    DIR *reading; /* NULL: it is not open yet */
    bool first;   /* what is found was there before the start */
    int64_t scan_ns;
};

int pl_baseline_new(const pl_baseline_options *options, pl_baseline **out)
{
    pl_baseline *b = calloc(1, sizeof(*b));
    size_t n = 0;

    if (!b)
        return pl_error_nomem();
    b->options = *options;
    while (options->folders && options->folders[n])
        n++;
    b->folders = calloc(n ? n : 1, sizeof(*b->folders));
    while (b->folders && b->count < n && (b->folders[b->count].asked = strdup(options->folders[b->count])))
        b->count++;
    if (!b->folders || b->count < n) {
        (void)pl_baseline_free(b);
        return pl_error_nomem();
    }
    b->first = true;
    *out = b;
    return 0;
}

pl_baseline *pl_baseline_free(pl_baseline *b)
{
    if (!b)
        return NULL;
    pl_cleanup_closedir(&b->reading);
    for (size_t i = 0; i < b->count; i++) {
        free(b->folders[i].path);
        free(b->folders[i].asked);
    }
    free(b->folders);
    free(b);
    return NULL;
}

void pl_baseline_scan(pl_baseline *b)
{
    pl_cleanup_closedir(&b->reading);
    b->reading = NULL;
    b->at = 0;
}

static void admit(pl_baseline *b, const char *path, pl_detected_by why, int64_t due_ns)
{
    bool added = false;
    pl_tracked *one = pl_is_ignored(b->options.ignore, path)
                          ? NULL
                          : pl_revisit_admit(b->options.revisit, path, b->options.mnt_ns, NULL, &added);

    if (!one)
        return;
    one->in_folder = true;
    if (!added && one->present && why != PL_DETECTED_INOTIFY)
        return;
    one->why = (uint8_t)why;
    if (added && why == PL_DETECTED_STARTUP)
        pl_revisit_count(b->options.revisit, one);
    if (!one->reading && !one->waiting)
        pl_tracked_set_due(b->options.set, one, due_ns);
}

/* A name of a folder: the program that it leads to is tracked, if it is one. */
static void consider(pl_baseline *b, const char *path, pl_detected_by why)
{
    const pl_tracked *known = pl_tracked_find(b->options.set, path, b->options.mnt_ns);
    pl_identity identity;

    if (known && known->in_folder)
        return;
    pl_auto_close int fd = pl_pin_walk(AT_FDCWD, path, 0, 0);
    if (fd < 0 || pl_identity_of_pinned(fd, "", &identity) != 0 || !S_ISREG(identity.mode) || !(identity.mode & 0111))
        return;
    pl_auto_free char *name = NULL;
    (void)pl_fd_name(fd, &name);
    if (name)
        admit(b, name, why, pl_clock_boottime_ns(b->options.clock));
}

static char *join(const folder *f, const char *name)
{
    char *path = NULL;

    return asprintf(&path, "%s/%s", strcmp(f->path, "/") == 0 ? "" : f->path, name) < 0 ? NULL : path;
}

static bool is_key_of(const folder *f, const pl_watch_key *key)
{
    return f->path && f->key.inode == key->inode && f->key.dev_major == key->dev_major &&
           f->key.dev_minor == key->dev_minor;
}

bool pl_baseline_scanned(const pl_baseline *b)
{
    return !b->first || b->count == 0;
}

bool pl_baseline_touched(pl_baseline *b, const pl_watch_key *key)
{
    for (size_t i = 0; i < b->count; i++) {
        folder *f = &b->folders[i];
        if (!is_key_of(f, key))
            continue;
        if (b->options.watcher)
            (void)pl_watcher_remove(b->options.watcher, key);
        free(f->path);
        f->path = NULL;
        pl_baseline_scan(b);
        return true;
    }
    return false;
}

void pl_baseline_entry(pl_baseline *b, const pl_watch_key *key, const char *name)
{
    pl_identity identity;

    for (size_t i = 0; i < b->count; i++) {
        const folder *f = &b->folders[i];
        if (!is_key_of(f, key))
            continue;
        pl_auto_free char *path = join(f, name);
        if (!path)
            return; /* the next scan finds it */
        pl_auto_close int fd = pl_pin_walk(AT_FDCWD, path, O_NOFOLLOW, 0);
        bool there = fd >= 0 && pl_identity_of_pinned(fd, "", &identity) == 0;
        if (there && S_ISLNK(identity.mode))
            consider(b, path, PL_DETECTED_INOTIFY);
        else if (there && S_ISREG(identity.mode)) /* being written, as a rule: looked at when it may be whole */
            admit(b, path, PL_DETECTED_INOTIFY, pl_clock_boottime_ns(b->options.clock) + PL_REVISIT_SOON_NS);
        return;
    }
}

/* ---- the scan ---- */

static bool is_double(const pl_baseline *b, size_t at, const char *path)
{
    for (size_t i = 0; i < at; i++)
        if (b->folders[i].path && strcmp(b->folders[i].path, path) == 0)
            return true;
    return false;
}

static void cannot(pl_baseline *b, folder *f, const char *why)
{
    if (!f->missing && !b->options.quiet)
        pl_log_write(b->options.log, PL_LOG_WARNING, "folder %s is not watched: %s", f->asked, why);
    f->missing = true;
}

/* Opens and watches the folder whose turn it is. NULL: it is skipped. */
static DIR *open_folder(pl_baseline *b)
{
    folder *f = &b->folders[b->at];
    pl_identity identity = {0};
    pl_auto_close int pinned = pl_pin_walk(AT_FDCWD, f->asked, O_DIRECTORY, 0);
    pl_auto_free char *path = NULL;

    if (pinned >= 0)
        (void)pl_fd_name(pinned, &path);
    /* Whatever it is that asks a server: it might never answer, and all tracking would wait for it. */
    bool waits = pinned < 0 ? errno == EAGAIN || errno == EXDEV : !pl_identity_is_local(pinned);
    pl_auto_close int fd = path && !waits ? openat(pinned, ".", O_RDONLY | O_DIRECTORY | O_NONBLOCK | O_CLOEXEC) : -1;
    if (fd < 0 || pl_identity_of_pinned(fd, "", &identity) != 0) {
        cannot(b, f, waits ? "it is on a network or in a user's own file system" : strerror(errno));
        return NULL;
    }
    free(f->path);
    f->path = NULL;
    if (is_double(b, b->at, path))
        return NULL;
    f->path = pl_steal(&path);
    f->key = pl_watch_key_of(&identity);
    f->missing = false;
    if (b->options.watcher)
        (void)pl_watcher_add(b->options.watcher, fd, &identity, PL_WATCH_FOLDER);
    DIR *dir = fdopendir(fd);
    if (dir)
        (void)pl_steal_fd(&fd);
    return dir;
}

static void next_folder(pl_baseline *b)
{
    pl_cleanup_closedir(&b->reading);
    b->reading = NULL;
    if (++b->at < b->count)
        return;
    b->first = false;
    b->scan_ns = pl_clock_boottime_ns(b->options.clock) + SCAN_NS;
}

int64_t pl_baseline_step(pl_baseline *b)
{
    int64_t now = pl_clock_boottime_ns(b->options.clock);

    if (b->count == 0)
        return PL_NEVER;
    if (b->at == b->count) {
        if (now < b->scan_ns)
            return b->scan_ns;
        pl_baseline_scan(b);
    }
    if (!b->reading && !(b->reading = open_folder(b))) {
        next_folder(b);
        return b->at < b->count ? now : b->scan_ns;
    }
    for (int n = 0; n < NAMES; n++) {
        const struct dirent *entry = readdir(b->reading);
        if (!entry) {
            next_folder(b);
            return b->at < b->count ? now : b->scan_ns;
        }
        if (entry->d_type != DT_REG && entry->d_type != DT_LNK && entry->d_type != DT_UNKNOWN)
            continue;
        pl_auto_free char *path = join(&b->folders[b->at], entry->d_name);
        if (path)
            consider(b, path, b->first ? PL_DETECTED_STARTUP : PL_DETECTED_SWEEP);
    }
    return now;
}

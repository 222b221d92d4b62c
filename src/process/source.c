/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Which source there is, and the snapshot that each run begins with. Owns the order of preference, no events.
 * A class is a sibling file; this one knows them by their vtable alone.
 *
 * The snapshot reads all of /proc into memory first and then delivers: parents before children. A parent
 * never starts after its child, so start_ticks order it; within one tick (10 ms) the parent link does.
 * Only (pid, start) is collected; the image is read and its descriptor opened for one delivery at a time,
 * because a machine may run more processes than we may open files. Whoever keeps the descriptor moves it
 * away.
 */
#include "src/process/source.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "src/base/cleanup.h"
#include "src/base/error.h"

static const pl_source_class *const classes[] = {&pl_source_bpf, &pl_source_netlink, &pl_source_scan, NULL};

const pl_source_class *const *pl_source_classes(void)
{
    return classes;
}

static void append(char *out, size_t size, const char *first, const char *second)
{
    size_t used = size ? strlen(out) : 0;

    if (used + 1 < size)
        (void)snprintf(out + used, size - used, "%s%s%s", used ? "; " : "", first, second);
}

static int open_best(const pl_source_options *options, pl_source **out, char *why, size_t why_size)
{
    int rc = PL_ERR_UNSUPPORTED;

    for (size_t i = 0; classes[i]; i++) {
        rc = classes[i]->open(options, out);
        if (rc == 0) {
            append(why, why_size, classes[i]->name,
                   i == 0 ? ": the best source of this build" : ": the best that works here");
            return 0;
        }
        append(why, why_size, "no ", classes[i]->name);
        if (why_size > 0) {
            size_t used = strlen(why);
            (void)snprintf(why + used, why_size - used, ": %s", pl_error_message());
        }
    }
    return rc;
}

int pl_source_open(const char *name, const pl_source_options *options, pl_source **out, char *why, size_t why_size)
{
    if (why_size > 0)
        why[0] = '\0';
    if (strcmp(name, "auto") == 0)
        return open_best(options, out, why, why_size);
    for (size_t i = 0; classes[i]; i++) {
        if (strcmp(name, classes[i]->name) != 0)
            continue;
        int rc = classes[i]->open(options, out);
        if (rc == 0)
            append(why, why_size, name, ": asked for");
        return rc;
    }
    return pl_error_set(PL_ERR_INVALID, "unknown source \"%.64s\"; known are auto, bpf, netlink and scan", name);
}

/* ---- snapshot ---- */

typedef struct snapshot_entry {
    pid_t pid, ppid;
    uint64_t start_ticks;
    uint32_t depth; /* number of ancestors that started in the same tick */
} snapshot_entry;

typedef struct snapshot {
    const pl_procfs *procfs;
    snapshot_entry *entries;
    size_t n, size;
} snapshot;

static int collect(void *context, pid_t pid)
{
    snapshot *all = context;
    pl_proc_stat stat;

    int rc = pl_procfs_read_stat(all->procfs, pid, &stat);
    if (rc == PL_VANISHED || (rc == 0 && (stat.state == 'Z' || stat.state == 'X' || stat.state == 'x')))
        return 0;
    if (rc < 0)
        return rc;
    if (all->n == all->size) {
        size_t size = all->size ? all->size * 2 : 256;
        snapshot_entry *bigger = realloc(all->entries, size * sizeof(*bigger));
        if (!bigger)
            return pl_error_nomem();
        all->entries = bigger;
        all->size = size;
    }
    all->entries[all->n++] = (snapshot_entry){pid, stat.ppid, stat.start_ticks, 0};
    return 0;
}

static int compare_pids(const void *a, const void *b)
{
    const snapshot_entry *x = a, *y = b;

    return x->pid < y->pid ? -1 : x->pid > y->pid;
}

static int compare_starts(const void *a, const void *b)
{
    const snapshot_entry *x = a, *y = b;

    if (x->start_ticks != y->start_ticks)
        return x->start_ticks < y->start_ticks ? -1 : 1;
    if (x->depth != y->depth)
        return x->depth < y->depth ? -1 : 1;
    return compare_pids(a, b);
}

/* Numbers wrap around, so within one tick a child may have the smaller one: count parents of the same tick. */
static void find_depths(snapshot *all)
{
    qsort(all->entries, all->n, sizeof(*all->entries), compare_pids);
    for (size_t i = 0; i < all->n; i++) {
        snapshot_entry *entry = &all->entries[i];
        const snapshot_entry *at = entry;
        while (entry->depth < all->n) {
            snapshot_entry wanted = {.pid = at->ppid};
            at = bsearch(&wanted, all->entries, all->n, sizeof(wanted), compare_pids);
            if (!at || at->start_ticks != entry->start_ticks || at == entry)
                break;
            entry->depth++;
        }
    }
    qsort(all->entries, all->n, sizeof(*all->entries), compare_starts);
}

static void free_image(pl_image *image)
{
    pl_image_deinit(image);
}

static int deliver(const pl_source_options *options, const snapshot_entry *entry)
{
    pl_cleanup(free_image) pl_image image = PL_IMAGE_NULL;

    int rc = pl_procfs_read_image(&options->procfs, entry->pid, &image);
    if (rc < 0)
        return rc;
    if (rc == PL_VANISHED || image.start_ticks != entry->start_ticks)
        return 0; /* gone, or another one by now: its own events tell of it */
    pl_event event = {.kind = PL_EVENT_EXEC,
                      .pid = entry->pid,
                      .ppid = image.ppid,
                      .boottime_ns = pl_clock_boottime_ns(options->clock),
                      .image = &image};
    options->event(options->context, &event);
    return 0;
}

int pl_source_snapshot(const pl_source_options *options)
{
    snapshot all = {.procfs = &options->procfs};

    int rc = pl_procfs_each_pid(&options->procfs, collect, &all);
    if (rc == 0 && all.n > 0)
        find_depths(&all);
    bool warned = false;
    for (size_t i = 0; rc == 0 && i < all.n; i++) {
        rc = deliver(options, &all.entries[i]);
        if (rc < 0 && rc != PL_ERR_NOMEM) { /* one process that cannot be read is no reason to go without the others */
            if (!warned)
                pl_log_write(options->log, PL_LOG_WARNING, "snapshot: %s", pl_error_message());
            warned = true;
            rc = 0;
        }
    }
    free(all.entries);
    return rc;
}

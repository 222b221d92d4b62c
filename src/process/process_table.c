/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The hot process table. Owns its entries and three indexes over them: by pid (one entry each), by path and
 * mount namespace, and by the hash of the executed identity (groups: many processes run one file). One
 * thread's; makes no system call itself: aliveness is a callback, time an argument.
 *
 * Must not own: the checksum of a path (that is the file cache), rows, files.
 *
 * Order. Every entry says as of when it is known: the time of its exec, of its fork, or (snapshot) of the
 * reading. What is older than that changes nothing but blanks. An unknown exec time (0) never beats a known
 * one. A process is named by (pid, start_ticks); 0 ticks (a fork event has none) means "whoever it is".
 *
 * An exec of which no path could be read takes the old path and digest away: what ran before is known to run
 * no longer, and a table that still answered with it would be stale.
 */
#include "src/process/process_table.h"

#include <stdlib.h>
#include <string.h>

#define HASH_NONFATAL_OOM 1
#include <uthash.h>

#include "src/base/clock.h"
#include "src/base/error.h"
#include "src/file/identity.h"

#define DEFAULT_TTL_NS (INT64_C(3600) * PL_NS_PER_S)
#define DEFAULT_DELAY_NS (2 * PL_NS_PER_S)
#define DEFAULT_LIMIT ((size_t)1 << 20)

struct entry;

/* All entries with one key, newest first. Lives as long as it has entries. */
typedef struct group {
    struct entry *first;
    UT_hash_handle hh;
    unsigned char key[];
} group;

enum { BY_PATH, BY_IDENTITY, INDEXES };

typedef struct link {
    group *group; /* NULL: not in this index */
    struct entry *next, *previous;
} link;

typedef struct entry {
    pl_process process;
    int64_t as_of_ns; /* nothing older than this changes the entry */
    link links[INDEXES];
    UT_hash_handle hh;
} entry;

struct pl_process_table {
    pl_process_table_options options;
    entry *by_pid;
    group *groups[INDEXES];
    size_t live;
};

/* ---- groups ---- */

static int group_add(pl_process_table *table, int index, entry *item, const void *key, size_t length)
{
    link *at = &item->links[index];
    group *found = NULL;

    HASH_FIND(hh, table->groups[index], key, length, found);
    if (!found) {
        found = calloc(1, sizeof(*found) + length);
        if (!found)
            return pl_error_nomem();
        memcpy(found->key, key, length);
        HASH_ADD_KEYPTR(hh, table->groups[index], found->key, length, found);
        if (!found->hh.tbl) {
            free(found);
            return pl_error_nomem();
        }
    }
    *at = (link){.group = found, .next = found->first};
    if (found->first)
        found->first->links[index].previous = item;
    found->first = item;
    return 0;
}

static void group_remove(pl_process_table *table, int index, entry *item)
{
    link *at = &item->links[index];
    group *from = at->group;

    if (!from)
        return;
    if (at->next)
        at->next->links[index].previous = at->previous;
    if (at->previous)
        at->previous->links[index].next = at->next;
    else
        from->first = at->next;
    if (!from->first) {
        HASH_DELETE(hh, table->groups[index], from);
        free(from);
    }
    *at = (link){0};
}

/* namespace number, then the bytes of the path. NULL: out of memory. */
static void *path_key(const char *path, uint64_t mnt_ns, size_t *length)
{
    size_t n = strlen(path);
    unsigned char *key = malloc(sizeof(mnt_ns) + n);

    if (!key)
        return NULL;
    memcpy(key, &mnt_ns, sizeof(mnt_ns));
    memcpy(key + sizeof(mnt_ns), path, n);
    *length = sizeof(mnt_ns) + n;
    return key;
}

static void unlink_image(pl_process_table *table, entry *item)
{
    for (int i = 0; i < INDEXES; i++)
        group_remove(table, i, item);
}

static int link_image(pl_process_table *table, entry *item)
{
    const pl_process *process = &item->process;
    int rc = 0;

    if (process->path[0]) {
        size_t length = 0;
        void *key = path_key(process->path, process->mnt_ns, &length);
        rc = key ? group_add(table, BY_PATH, item, key, length) : pl_error_nomem();
        free(key);
    }
    if (rc == 0 && process->has_identity) {
        uint64_t key = pl_identity_hash(&process->identity);
        rc = group_add(table, BY_IDENTITY, item, &key, sizeof(key));
    }
    if (rc < 0)
        unlink_image(table, item);
    return rc;
}

/* ---- entries ---- */

static entry *find(const pl_process_table *table, pid_t pid)
{
    entry *item = NULL;

    HASH_FIND(hh, table->by_pid, &pid, sizeof(pid), item);
    return item;
}

static void entry_free(entry *item)
{
    if (item) {
        free(item->process.path);
        free(item->process.script_path);
    }
    free(item);
}

static void drop(pl_process_table *table, entry *item)
{
    unlink_image(table, item);
    HASH_DELETE(hh, table->by_pid, item);
    if (item->process.exited_ns == 0)
        table->live--;
    entry_free(item);
}

static entry *entry_new(pid_t pid, const char *path, const char *script_path)
{
    entry *item = calloc(1, sizeof(*item));

    if (!item)
        return NULL;
    item->process.pid = pid;
    item->process.path = strdup(path);
    item->process.script_path = script_path ? strdup(script_path) : NULL;
    if (!item->process.path || (script_path && !item->process.script_path)) {
        entry_free(item);
        return NULL;
    }
    return item;
}

/* The table's entry `to` takes over all that the new one holds; `from` is freed. */
static void replace(pl_process_table *table, entry *to, entry *from)
{
    unlink_image(table, to);
    if (to->process.exited_ns != 0)
        table->live++;
    free(to->process.path);
    free(to->process.script_path);
    to->process = from->process;
    to->as_of_ns = from->as_of_ns;
    for (int i = 0; i < INDEXES; i++) {
        link *at = &to->links[i];
        *at = from->links[i];
        if (!at->group)
            continue;
        if (at->next)
            at->next->links[i].previous = to;
        if (at->previous)
            at->previous->links[i].next = to;
        else
            at->group->first = to;
    }
    free(from);
}

/* Enters a complete entry, or puts it in the place of `old`. On failure the table is as it was, and *item is
 * still the caller's. Else *item is the table's entry. */
static int insert(pl_process_table *table, entry **item, entry *old)
{
    entry *new = *item;

    if (!old && HASH_COUNT(table->by_pid) >= table->options.limit)
        return pl_error_set(PL_ERR_QUEUE_FULL, "the process table is full (%zu entries)", table->options.limit);
    int rc = link_image(table, new);
    if (rc < 0)
        return rc;
    if (old) {
        replace(table, old, new);
        *item = old;
        return 0;
    }
    HASH_ADD(hh, table->by_pid, process.pid, sizeof(new->process.pid), new);
    if (!new->hh.tbl) {
        unlink_image(table, new);
        return pl_error_nomem();
    }
    table->live++;
    return 0;
}

static int64_t later(int64_t a, int64_t b)
{
    return a > b ? a : b;
}

static void set_live(pl_process_table *table, entry *item)
{
    if (item->process.exited_ns != 0)
        table->live++;
    item->process.exited_ns = 0;
}

static bool is_pathless(const pl_image *image)
{
    return !image->exe || !image->exe[0] || (image->flags & PL_IMAGE_KERNEL);
}

static bool same_image(const pl_process *process, const pl_image *image)
{
    if (strcmp(process->path, is_pathless(image) ? "" : image->exe) != 0)
        return false;
    if (!image->has_identity)
        return true; /* nothing says that it is another one */
    return process->has_identity && pl_identity_equal(&process->identity, &image->identity);
}

static int64_t eid_of(const pl_process_table *table, pid_t pid)
{
    const entry *item = find(table, pid);

    return item ? item->process.eid : 0;
}

/* ---- exec ---- */

/* What an image means for the entry of its pid. */
static pl_update judge(const entry *item, const pl_image *image)
{
    const pl_process *known = &item->process;

    if (image->start_ticks && known->start_ticks && image->start_ticks != known->start_ticks)
        return image->start_ticks < known->start_ticks ? PL_UPDATE_STALE : PL_UPDATE_REUSED;
    if (image->exec_boottime_ns == 0) {
        if (same_image(known, image))
            return PL_UPDATE_UNCHANGED;
        /* The second of two snapshots is the newer one; against an event nobody can tell. */
        return known->exec_boottime_ns == 0 && !known->forked && !is_pathless(image) ? PL_UPDATE_REPLACED
                                                                                     : PL_UPDATE_STALE;
    }
    if (image->exec_boottime_ns <= item->as_of_ns) {
        if (same_image(known, image) &&
            (known->exec_boottime_ns == 0 || known->exec_boottime_ns == image->exec_boottime_ns))
            return PL_UPDATE_UNCHANGED;
        return PL_UPDATE_STALE;
    }
    return known->forked ? PL_UPDATE_ADDED : PL_UPDATE_REPLACED;
}

static void fill_image(entry *item, const pl_image *image, int64_t now_ns)
{
    pl_process *process = &item->process;

    if (image->start_ticks)
        process->start_ticks = image->start_ticks;
    if (process->ppid == 0 && image->ppid != image->pid)
        process->ppid = image->ppid; /* else the one that forked it is known: /proc shows a reaper once that is gone */
    process->exec_boottime_ns = image->exec_boottime_ns;
    process->mnt_ns = image->mnt_ns;
    process->last_seen_ns = now_ns;
    item->as_of_ns = image->exec_boottime_ns ? image->exec_boottime_ns : now_ns;
    process->has_identity = image->has_identity && process->path[0];
    if (process->has_identity)
        process->identity = image->identity;
}

/* A new image in the process of `old`: what belongs to the process is handed on, what belongs to the image is
 * not. */
static void inherit_process(entry *item, const entry *old)
{
    const pl_process *from = &old->process;
    pl_process *to = &item->process;

    to->start_ticks = from->start_ticks;
    to->ppid = from->ppid;
    to->parent_eid = from->parent_eid;
    to->fork_id = from->fork_id;
    to->fork_boottime_ns = from->fork_boottime_ns;
    to->prev_eid = from->forked ? 0 : from->eid;
}

/* UNCHANGED: blanks are filled, nothing else moves. */
static void refresh(pl_process_table *table, entry *item, const pl_image *image, int64_t now_ns)
{
    pl_process *process = &item->process;

    if (process->start_ticks == 0)
        process->start_ticks = image->start_ticks;
    if (process->ppid == 0 && image->ppid != image->pid)
        process->ppid = image->ppid;
    if (process->exec_boottime_ns == 0 && !process->forked)
        process->exec_boottime_ns = image->exec_boottime_ns;
    process->last_seen_ns = later(process->last_seen_ns, now_ns);
    if (image->exec_boottime_ns == 0 && process->exited_ns != 0 && process->exited_ns < now_ns)
        set_live(table, item); /* a snapshot has seen it run after its supposed exit */
}

int pl_process_table_exec(pl_process_table *table, const pl_image *image, int64_t now_ns, pl_process **out)
{
    if (image->pid <= 0)
        return pl_error_set(PL_ERR_INVALID, "%d is no process id", (int)image->pid);
    entry *old = find(table, image->pid);
    pl_update update = old ? judge(old, image) : PL_UPDATE_ADDED;
    if (update == PL_UPDATE_UNCHANGED || update == PL_UPDATE_STALE) {
        if (update == PL_UPDATE_UNCHANGED)
            refresh(table, old, image, now_ns);
        if (out)
            *out = &old->process;
        return is_pathless(image) ? PL_UPDATE_IGNORED : (int)update;
    }
    entry *item = entry_new(image->pid, is_pathless(image) ? "" : image->exe, image->script_path);
    if (!item)
        return pl_error_nomem();
    if (old && update != PL_UPDATE_REUSED)
        inherit_process(item, old);
    fill_image(item, image, now_ns);
    if (!old || update == PL_UPDATE_REUSED || item->process.parent_eid == 0)
        item->process.parent_eid = eid_of(table, item->process.ppid);
    int rc = insert(table, &item, old);
    if (rc < 0) {
        entry_free(item);
        return rc;
    }
    if (out)
        *out = &item->process;
    return is_pathless(image) ? PL_UPDATE_IGNORED : (int)update;
}

/* ---- fork and exit ---- */

static entry *forked_entry(const entry *parent, pid_t child, pid_t parent_pid, int64_t at_ns)
{
    entry *item =
        parent ? entry_new(child, parent->process.path, parent->process.script_path) : entry_new(child, "", NULL);

    if (!item)
        return NULL;
    pl_process *process = &item->process;
    if (parent) {
        process->mnt_ns = parent->process.mnt_ns;
        process->has_identity = parent->process.has_identity;
        process->identity = parent->process.identity;
        process->has_digest = parent->process.has_digest;
        process->digests = parent->process.digests;
        process->eid = process->parent_eid = parent->process.eid;
    }
    process->ppid = parent_pid == child ? 0 : parent_pid;
    process->forked = true;
    process->fork_boottime_ns = process->last_seen_ns = item->as_of_ns = at_ns;
    return item;
}

int pl_process_table_fork(pl_process_table *table, pid_t child, pid_t parent, int64_t at_boottime_ns, pl_process **out)
{
    if (child <= 0)
        return pl_error_set(PL_ERR_INVALID, "%d is no process id", (int)child);
    entry *old = find(table, child);
    if (old && at_boottime_ns <= old->as_of_ns) {
        /* The exec or the snapshot of this process came first. */
        pl_process *known = &old->process;
        bool again = known->fork_boottime_ns == at_boottime_ns;
        if (known->fork_boottime_ns == 0)
            known->fork_boottime_ns = at_boottime_ns;
        if (known->ppid == 0 && parent != child)
            known->ppid = parent;
        if (known->parent_eid == 0)
            known->parent_eid = eid_of(table, known->ppid);
        if (out)
            *out = known;
        return again ? PL_UPDATE_UNCHANGED : PL_UPDATE_STALE;
    }
    entry *item = forked_entry(parent == child ? NULL : find(table, parent), child, parent, at_boottime_ns);
    if (!item)
        return pl_error_nomem();
    pl_update update = old ? PL_UPDATE_REUSED : PL_UPDATE_ADDED;
    int rc = insert(table, &item, old);
    if (rc < 0) {
        entry_free(item);
        return rc;
    }
    if (out)
        *out = &item->process;
    return update;
}

pl_process *pl_process_table_exit(pl_process_table *table, pid_t pid, int64_t at_boottime_ns)
{
    entry *item = find(table, pid);

    if (!item || at_boottime_ns < item->as_of_ns)
        return NULL; /* unknown, or the exit of one that had the number before */
    if (item->process.exited_ns == 0) {
        item->process.exited_ns = at_boottime_ns > 0 ? at_boottime_ns : 1;
        table->live--;
    }
    return &item->process;
}

/* ---- questions ---- */

pl_process *pl_process_table_find(pl_process_table *table, pid_t pid, int64_t now_ns)
{
    entry *item = find(table, pid);

    if (!item)
        return NULL;
    item->process.last_seen_ns = later(item->process.last_seen_ns, now_ns);
    return &item->process;
}

pl_process *pl_process_table_find_path(pl_process_table *table, const char *path, uint64_t mnt_ns, int64_t now_ns)
{
    size_t length = 0;
    group *found = NULL;

    if (!path[0])
        return NULL;
    void *key = path_key(path, mnt_ns, &length);
    if (!key)
        return NULL;
    HASH_FIND(hh, table->groups[BY_PATH], key, length, found);
    free(key);
    for (entry *item = found ? found->first : NULL; item; item = item->links[BY_PATH].next) {
        if (item->process.exited_ns == 0) {
            item->process.last_seen_ns = later(item->process.last_seen_ns, now_ns);
            return &item->process;
        }
    }
    return NULL;
}

bool pl_process_table_needs_update(pl_process_table *table, pid_t pid, const pl_image *image)
{
    const entry *item = find(table, pid);

    if (!item)
        return true;
    if (is_pathless(image))
        return false;
    if (image->start_ticks && item->process.start_ticks && image->start_ticks != item->process.start_ticks)
        return true;
    return !same_image(&item->process, image);
}

/* Adds the algorithms that are missing. False, and nothing changed, when one that is there says otherwise. */
static bool merge_digests(pl_process *process, const pl_digest_set *digests)
{
    pl_digest_set merged = process->has_digest ? process->digests : (pl_digest_set){0};

    for (int i = 0; i < PL_ALGORITHM_COUNT; i++) {
        const pl_digest *one = &digests->digests[i];
        pl_digest *blank = NULL;
        bool there = false;
        if (one->algorithm == 0)
            continue;
        for (int j = 0; j < PL_ALGORITHM_COUNT; j++) {
            pl_digest *mine = &merged.digests[j];
            if (mine->algorithm == one->algorithm) {
                if (mine->length != one->length || memcmp(mine->bytes, one->bytes, one->length) != 0)
                    return false;
                there = true;
            } else if (mine->algorithm == 0 && !blank && (j != 0 || one->algorithm == PL_SHA256)) {
                blank = mine; /* the first slot is sha256's */
            }
        }
        if (!there && blank)
            *blank = *one;
    }
    process->digests = merged;
    process->has_digest = true;
    return true;
}

bool pl_process_take_digest(pl_process *process, const pl_identity *identity, const pl_digest_set *digests)
{
    return process->has_identity && pl_identity_equal(&process->identity, identity) && merge_digests(process, digests);
}

size_t pl_process_table_set_digest(pl_process_table *table, const pl_identity *identity, const pl_digest_set *digests)
{
    uint64_t key = pl_identity_hash(identity);
    group *found = NULL;
    size_t n = 0;

    HASH_FIND(hh, table->groups[BY_IDENTITY], &key, sizeof(key), found);
    for (entry *item = found ? found->first : NULL; item; item = item->links[BY_IDENTITY].next) {
        if (pl_identity_equal(&item->process.identity, identity) && merge_digests(&item->process, digests))
            n++;
    }
    return n;
}

void pl_process_table_each(pl_process_table *table, void (*each)(void *context, pl_process *process), void *context)
{
    entry *item, *next;

    HASH_ITER (hh, table->by_pid, item, next)
        each(context, &item->process);
}

size_t pl_process_table_ancestors(pl_process_table *table, pid_t pid, pid_t *out, size_t n)
{
    size_t used = 0;
    const entry *item = find(table, pid);

    while (item && used < n) {
        pid_t parent = item->process.ppid;
        if (parent <= 0 || parent == pid)
            break;
        for (size_t i = 0; i < used; i++) {
            if (out[i] == parent)
                return used; /* numbers that were given again can close a circle */
        }
        out[used++] = parent;
        item = find(table, parent);
    }
    return used;
}

size_t pl_process_table_count(const pl_process_table *table)
{
    return table->live;
}

/* ---- leaving ---- */

static bool is_alive(const pl_process_table *table, const entry *item)
{
    return table->options.alive(table->options.context, item->process.pid, item->process.start_ticks);
}

bool pl_process_table_remove(pl_process_table *table, pid_t pid)
{
    entry *item = find(table, pid);

    if (!item || is_alive(table, item))
        return false;
    drop(table, item);
    return true;
}

size_t pl_process_table_sweep(pl_process_table *table, int64_t now_ns,
                              void (*dropped)(void *context, const pl_process *process), void *context)
{
    const pl_process_table_options *options = &table->options;
    entry *item, *next;
    size_t n = 0;

    HASH_ITER (hh, table->by_pid, item, next) {
        const pl_process *process = &item->process;
        bool exited = process->exited_ns != 0;
        if (exited ? now_ns - process->exited_ns < options->exit_delay_ns
                   : now_ns - process->last_seen_ns < options->pid_ttl_ns)
            continue;
        if (is_alive(table, item)) {
            set_live(table, item);
            continue;
        }
        if (dropped)
            dropped(context, process);
        drop(table, item);
        n++;
    }
    return n;
}

int pl_process_table_new(const pl_process_table_options *options, pl_process_table **out)
{
    if (!options->alive)
        return pl_error_set(PL_ERR_INVALID, "a process table needs to be told who is alive");
    pl_process_table *table = calloc(1, sizeof(*table));
    if (!table)
        return pl_error_nomem();
    table->options = *options;
    if (table->options.pid_ttl_ns == 0)
        table->options.pid_ttl_ns = DEFAULT_TTL_NS;
    if (table->options.exit_delay_ns == 0)
        table->options.exit_delay_ns = DEFAULT_DELAY_NS;
    if (table->options.limit == 0)
        table->options.limit = DEFAULT_LIMIT;
    *out = table;
    return 0;
}

pl_process_table *pl_process_table_free(pl_process_table *table)
{
    entry *item, *next;

    if (!table)
        return NULL;
    HASH_ITER (hh, table->by_pid, item, next)
        drop(table, item);
    free(table);
    return NULL;
}

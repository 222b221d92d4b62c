/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * One look at one tracked path. Owns the reads in flight and the list of those that wait for one; the entries are the
 * set's, their fields changed here and by the tracker alone.
 *
 * What a look finds:
 *   what is remembered       it rests: watched, if it is not yet, and compared once more, since it may have changed
 *                            between the read and the watch
 *   something else           the memory drops the old bytes at once. It is read when its ctime is older than the racy
 *                            window, so that a burst of writes costs one read after its end, which can be cached; one
 *                            that never rests is looked at ever more rarely, is said to be unstable, and is never read
 *   nothing, or no file      its version ends; looked for again for a minute, since many programs remove a file and then
 *                            write it anew
 *
 * Invariants: at most READS are with the workers, so that whoever executes something does not wait behind them; an entry
 * that is being read or waits for it stays in the set; two reads of one path are pause_ms apart, and pause_ms doubles
 * while reads keep finding changes.
 */
#include "ledger/revisit.h"

#include "src/base/cleanup.h"
#include "src/base/error.h"
#include "src/file/probe.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/openat2.h>
#include <stdatomic.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <utlist.h>

#define READS 2
#define DEFAULT_LIMIT 65536
#define SAMPLE 8
#define PAUSE_MIN_MS 100u
#define PAUSE_MAX_MS 60000u
#define WINDOW_FINE_NS (INT64_C(25) * PL_NS_PER_MS)     /* step 7: 20 ms, and a bit for the clock's grain */
#define WINDOW_COARSE_NS (INT64_C(2005) * PL_NS_PER_MS) /* 2 s */
#define UNWATCH_NS PL_NS_PER_S                          /* of unrest: its events only cost; the clock looks instead */
#define UNSTABLE_NS (10 * PL_NS_PER_S)                  /* of unrest: the history says so */
#define ABSENT_NS (60 * PL_NS_PER_S)                    /* a path that is gone is looked for */
#define REFUSED_NS PL_NS_PER_S                          /* the hash queue was full */

/* One read in flight. */
typedef struct ticket {
    pl_revisit *revisit;
    pl_tracked *one; /* NULL: free */
    atomic_bool done;
    pl_answer answer; /* before done */
} ticket;

struct pl_revisit {
    pl_revisit_options options;
    bool fine_grained;
    ticket tickets[READS];
    pl_tracked *waiting;
    uint64_t random;
    pl_revisit_stats stats;
};

static int64_t now_ns(const pl_revisit *r)
{
    return pl_clock_boottime_ns(r->options.clock);
}

int pl_revisit_new(const pl_revisit_options *options, pl_revisit **out)
{
    pl_revisit *r = calloc(1, sizeof(*r));

    if (!r)
        return pl_error_nomem();
    r->options = *options;
    if (r->options.limit == 0)
        r->options.limit = DEFAULT_LIMIT;
    r->fine_grained = pl_kernel_has_fine_grained_times();
    r->random = 0x9e3779b97f4a7c15;
    for (size_t i = 0; i < READS; i++)
        r->tickets[i].revisit = r;
    *out = r;
    return 0;
}

pl_revisit *pl_revisit_free(pl_revisit *r)
{
    free(r); /* reads have ended with resolve; nobody looks at what they found any more */
    return NULL;
}

/* ---- who is in the set ---- */

static void unwatch(pl_revisit *r, const pl_tracked *one)
{
    pl_watch_key key = pl_watch_key_of(&one->identity);
    uint32_t walk = 0;

    if (!r->options.watcher || !one->identity.inode)
        return;
    for (const pl_tracked *other; (other = pl_tracked_of_inode(r->options.set, &one->identity, &walk));)
        if (other != one)
            return; /* another name of it is tracked */
    (void)pl_watcher_remove(r->options.watcher, &key);
}

static void settle(pl_revisit *r, pl_tracked *one)
{
    r->stats.work_done += one->counted;
    one->counted = false;
}

static void remove_entry(pl_revisit *r, pl_tracked *one)
{
    settle(r, one);
    unwatch(r, one);
    pl_tracked_remove(r->options.set, one);
}

void pl_revisit_forget(pl_revisit *r, pl_tracked *one)
{
    if (one->reading || one->waiting)
        return;
    pl_resolve_forget(r->options.resolve, one->path, one->mnt_ns);
    remove_entry(r, one);
}

/* A victim is picked by chance out of a few; that is no secret, so a small xorshift will do. */
static void make_room(pl_revisit *r)
{
    pl_tracked *oldest = NULL;
    size_t count = pl_tracked_count(r->options.set);

    for (int n = 0; n < SAMPLE; n++) {
        r->random ^= r->random << 13;
        r->random ^= r->random >> 7;
        r->random ^= r->random << 17;
        pl_tracked *one = pl_tracked_at(r->options.set, (size_t)((r->random >> 32) % count));
        if (!one->reading && !one->waiting && (!one->in_folder || !one->present) &&
            (!oldest || one->seen_ns < oldest->seen_ns))
            oldest = one;
    }
    if (!oldest)
        return;
    remove_entry(r, oldest);
    r->stats.crowded_out++;
}

pl_tracked *pl_revisit_admit(pl_revisit *r, const char *path, uint64_t mnt_ns, const char *container, bool *added)
{
    pl_tracked *one = pl_tracked_find(r->options.set, path, mnt_ns);

    if (added)
        *added = !one;
    if (one)
        return one;
    if (pl_tracked_count(r->options.set) >= r->options.limit)
        make_room(r);
    if (pl_tracked_add(r->options.set, path, mnt_ns, container, &one) < 0)
        return NULL;
    one->pause_ms = PAUSE_MIN_MS;
    one->seen_ns = one->written_ns = now_ns(r);
    one->why = PL_DETECTED_SWEEP;
    return one;
}

void pl_revisit_count(pl_revisit *r, pl_tracked *one)
{
    r->stats.work_total += !one->counted;
    one->counted = true;
}

/* ---- reads ---- */

/* A worker's thread. */
static void read_done(void *context, const pl_answer *answer)
{
    ticket *t = context;

    t->answer = *answer;
    atomic_store(&t->done, true);
    pl_inbox_poke(t->revisit->options.inbox);
}

static ticket *free_ticket(pl_revisit *r)
{
    for (size_t i = 0; i < READS; i++)
        if (!r->tickets[i].one)
            return &r->tickets[i];
    return NULL;
}

static void wait_for_worker(pl_revisit *r, pl_tracked *one, bool changed)
{
    one->waiting = true;
    if (changed)
        DL_PREPEND(r->waiting, one); /* news go before what only has to be proven again */
    else
        DL_APPEND(r->waiting, one);
}

static void longer_pause(pl_tracked *one)
{
    one->pause_ms = one->pause_ms < PAUSE_MAX_MS / 2 ? 2 * one->pause_ms : PAUSE_MAX_MS;
}

/* Has it read by a worker, or looked at by one when this thread could not. changed: it counts as seen. */
static void ask_worker(pl_revisit *r, pl_tracked *one, int *root_fd, bool changed)
{
    int64_t now = now_ns(r), pause_ns = (int64_t)one->pause_ms * PL_NS_PER_MS;
    ticket *t = free_ticket(r);

    if (one->read_ns && now - one->read_ns < pause_ns) {
        pl_tracked_set_due(r->options.set, one, one->read_ns + pause_ns);
        return;
    }
    if (!t) {
        wait_for_worker(r, one, changed);
        return;
    }
    if (changed)
        one->seen_ns = now;
    pl_place place = {.path = one->path,
                      .mnt_ns = one->mnt_ns,
                      .container = one->container,
                      .detected_by = (pl_detected_by)one->why,
                      .background = !changed,
                      .seen_ns = one->seen_ns};
    t->one = one;
    atomic_store(&t->done, false);
    if (pl_resolve_submit_path(r->options.resolve, *root_fd, &place, read_done, t) < 0) {
        t->one = NULL;
        pl_tracked_set_due(r->options.set, one, now + REFUSED_NS);
        return;
    }
    *root_fd = -1;
    if (one->read_ns && now - one->read_ns < 4 * pause_ns)
        longer_pause(one);
    else
        one->pause_ms = PAUSE_MIN_MS;
    one->read_ns = now;
    one->reading = true;
    r->stats.reads++;
}

static void read_ended(pl_revisit *r, pl_tracked *one, const pl_answer *answer)
{
    int64_t due = now_ns(r); /* another look: it is to be watched, and may have changed already */

    one->reading = false;
    if (answer->outcome == PL_PENDING)
        return; /* everything ends */
    if (answer->outcome == PL_UNSTABLE) {
        one->told = true;
        one->since_ns = one->since_ns ? one->since_ns : due;
        longer_pause(one);
        due += (int64_t)one->pause_ms * PL_NS_PER_MS;
    } else if (answer->outcome != PL_VANISHED) {
        if (answer->identity.inode) {
            pl_tracked_set_identity(r->options.set, one, &answer->identity);
            one->other_boot = false;
        }
        one->present = true;
        one->tier = (uint8_t)answer->tier;
        one->proven = answer->outcome == PL_OK && answer->proven;
        one->reread = answer->retry_ns > 0;
        due += answer->retry_ns;
        if (answer->outcome != PL_OK) /* nobody knows better than the clock when it is worth another try */
            one->pause_ms = PAUSE_MAX_MS;
        if (answer->outcome != PL_OK || one->by_worker) {
            one->touched = false;
            due = PL_NEVER;
            settle(r, one);
        }
    }
    one->by_worker = false;
    pl_tracked_set_due(r->options.set, one, due);
}

void pl_revisit_collect(pl_revisit *r)
{
    for (size_t i = 0; i < READS; i++) {
        ticket *t = &r->tickets[i];
        if (t->one && atomic_load(&t->done))
            read_ended(r, pl_steal(&t->one), &t->answer);
    }
    while (r->waiting && free_ticket(r)) {
        pl_tracked *one = r->waiting;
        DL_DELETE(r->waiting, one);
        one->waiting = false;
        pl_revisit_look(r, one);
    }
}

/* ---- what a look finds ---- */

static void absent(pl_revisit *r, pl_tracked *one)
{
    static const pl_identity nothing;
    int64_t now = now_ns(r);
    pl_place place = {.path = one->path, .mnt_ns = one->mnt_ns, .detected_by = (pl_detected_by)one->why};

    if (one->present) {
        pl_resolve_drop(r->options.resolve, &one->identity);
        pl_resolve_gone(r->options.resolve, &place);
        unwatch(r, one);
        pl_tracked_set_identity(r->options.set, one, &nothing);
        one->present = one->proven = one->reread = one->told = one->touched = false;
        one->since_ns = 0;
        one->pause_ms = PAUSE_MIN_MS;
        one->why = PL_DETECTED_SWEEP;
        r->stats.vanished++;
    }
    settle(r, one);
    if (one->since_ns == 0)
        one->since_ns = now;
    if (now - one->since_ns >= ABSENT_NS) {
        remove_entry(r, one);
        return;
    }
    pl_tracked_set_due(r->options.set, one, now + (int64_t)one->pause_ms * PL_NS_PER_MS);
    longer_pause(one);
}

/* False: it changed between its last read and the watch, and is due again. */
static bool watch(pl_revisit *r, pl_tracked *one, int fd)
{
    pl_watch_key key = pl_watch_key_of(&one->identity);
    pl_identity again;

    if (!r->options.watcher || pl_watcher_has(r->options.watcher, &key) ||
        pl_watcher_add(r->options.watcher, fd, &one->identity, PL_WATCH_FILE) != PL_WATCH_ADDED ||
        pl_identity_of_pinned(fd, "", &again) != 0 || pl_identity_equal(&one->identity, &again))
        return true;
    pl_tracked_set_due(r->options.set, one, now_ns(r));
    return false;
}

/* As remembered. */
static void rests(pl_revisit *r, pl_tracked *one, int fd, const pl_identity *now, int *root_fd)
{
    if (one->other_boot)
        pl_tracked_set_identity(r->options.set, one, now);
    one->other_boot = false;
    one->present = true;
    one->told = false;
    one->since_ns = 0;
    if (!watch(r, one, fd))
        return;
    bool touched = one->touched;
    one->touched = false;
    /* Nothing proves that bytes which could not be cached are still the same: somebody may have had them mapped. */
    if (touched && !one->proven) {
        ask_worker(r, one, root_fd, true);
        return;
    }
    one->why = PL_DETECTED_SWEEP;
    settle(r, one);
}

/* 0: it rests; else how long it must be left alone. */
static int64_t unrest_ns(const pl_revisit *r, const pl_tracked *one, const pl_identity *now)
{
    int64_t window = r->fine_grained && one->tier == PL_TIER_A ? WINDOW_FINE_NS : WINDOW_COARSE_NS;
    int64_t age = pl_clock_realtime_ns(r->options.clock) - now->ctime_ns;

    return age >= 0 && age < window ? window - age : 0; /* a ctime that lies ahead says nothing */
}

static void changed(pl_revisit *r, pl_tracked *one, int fd, const pl_identity *now, int *root_fd)
{
    struct statfs fs;

    if (one->identity.inode)
        pl_resolve_drop(r->options.resolve, &one->identity);
    else if (pl_identity_is_local(fd) && fstatfs(fd, &fs) == 0) /* never read */
        one->tier = (uint8_t)pl_tier_of_magic((uint64_t)fs.f_type, false);
    int64_t at = now_ns(r), left = unrest_ns(r, one, now);
    one->proven = false;
    if (!one->present)
        one->since_ns = 0;
    one->present = true;
    if (left == 0) {
        r->stats.changed++;
        one->touched = false;
        ask_worker(r, one, root_fd, true);
        return;
    }
    if (one->since_ns == 0)
        one->since_ns = at;
    if (at - one->since_ns >= UNWATCH_NS) {
        unwatch(r, one);
        longer_pause(one);
        if (left < (int64_t)one->pause_ms * PL_NS_PER_MS)
            left = (int64_t)one->pause_ms * PL_NS_PER_MS;
    }
    if (at - one->since_ns >= UNSTABLE_NS && !one->told) {
        pl_place place = {.path = one->path,
                          .mnt_ns = one->mnt_ns,
                          .container = one->container,
                          .detected_by = (pl_detected_by)one->why};
        pl_resolve_unstable(r->options.resolve, &place, now, (pl_tier)one->tier);
        one->told = true;
        r->stats.unstable++;
        settle(r, one);
    }
    pl_tracked_set_due(r->options.set, one, at + left);
}

static bool as_remembered(const pl_tracked *one, const pl_identity *now)
{
    pl_identity was = one->identity;

    if (one->other_boot) {
        was.dev_major = now->dev_major;
        was.dev_minor = now->dev_minor;
    }
    if (now->btime_ns == 0) /* a look may not be told what a read is told */
        was.btime_ns = 0;
    return pl_identity_equal(&was, now);
}

/* Seen through another mount: a worker looks whether it is another file system's, and only then reads. */
static bool is_mounted_anew(const pl_tracked *one, const pl_identity *now)
{
    return one->identity.mount_id && now->mount_id && one->identity.mount_id != now->mount_id;
}

static bool is_absence(int error)
{
    return error == ENOENT || error == ENOTDIR || error == ELOOP || error == ESTALE;
}

/* The kernel would have to ask a disk or a server for it. Where nothing is ever cached, a look would be a read. */
static void look_by_worker(pl_revisit *r, pl_tracked *one, int *root_fd)
{
    if (one->identity.inode && one->tier == PL_TIER_C) {
        settle(r, one);
        return;
    }
    one->by_worker = true;
    ask_worker(r, one, root_fd, !one->present);
}

void pl_revisit_look(pl_revisit *r, pl_tracked *one)
{
    pl_identity now;
    pl_auto_close int root_fd = -1;

    if (one->reading || one->waiting)
        return;
    r->stats.looks++;
    pl_tracked_set_due(r->options.set, one, PL_NEVER);
    if (pl_namespaces_open(r->options.namespaces, one->mnt_ns, &root_fd) != 0) {
        settle(r, one); /* there is no way to it; when it is executed it is known again */
        return;
    }
    pl_auto_close int fd =
        pl_pin_walk(root_fd < 0 ? AT_FDCWD : root_fd, one->path, 0, root_fd < 0 ? 0 : RESOLVE_IN_ROOT);
    int error = fd < 0 ? errno : pl_identity_of_pinned(fd, "", &now);
    if (error == EAGAIN || error == EXDEV) {
        look_by_worker(r, one, &root_fd);
    } else if (is_absence(error) || (!error && !S_ISREG(now.mode))) {
        absent(r, one);
    } else if (error || (now.btime_ns == 0 && one->identity.btime_ns != 0 && !pl_identity_is_local(fd))) {
        settle(r, one); /* not to be looked at, or only by asking a server */
    } else if (!one->identity.inode && one->in_folder && !(now.mode & 0111)) {
        absent(r, one); /* a new file of a watched folder that is no program, or not yet */
    } else if (!as_remembered(one, &now)) {
        changed(r, one, fd, &now, &root_fd);
    } else if (one->reread || (!one->other_boot && is_mounted_anew(one, &now))) {
        ask_worker(r, one, &root_fd, false);
    } else {
        rests(r, one, fd, &now, &root_fd);
    }
}

int64_t pl_revisit_look_at_due(pl_revisit *r)
{
    int64_t now = now_ns(r);

    for (pl_tracked *one; (one = pl_tracked_first_due(r->options.set));) {
        if (one->due_ns > now)
            return one->due_ns;
        pl_revisit_look(r, one);
    }
    return PL_NEVER;
}

void pl_revisit_touch_inode(pl_revisit *r, const pl_watch_key *key)
{
    pl_identity inode = {.inode = key->inode, .dev_major = key->dev_major, .dev_minor = key->dev_minor};
    int64_t soon = now_ns(r) + PL_REVISIT_SOON_NS;
    uint32_t walk = 0;

    for (pl_tracked *one; (one = pl_tracked_of_inode(r->options.set, &inode, &walk));) {
        pl_resolve_drop(r->options.resolve, &one->identity);
        one->touched = true;
        if (one->reading || one->waiting)
            continue;
        one->why = PL_DETECTED_INOTIFY;
        if (one->due_ns == PL_NEVER) /* one that does not rest has its time already */
            pl_tracked_set_due(r->options.set, one, soon);
    }
}

void pl_revisit_stats_get(const pl_revisit *r, pl_revisit_stats *out)
{
    *out = r->stats;
}

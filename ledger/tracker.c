/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The tracker's crank. Owns the set of tracked paths, the rooms that work on it (revisit: one path; reconcile: all of
 * them; baseline: watched folders), the watcher, the inbox, and a descriptor that tells of mounts. Decides only who is
 * heard next.
 *
 * No answer depends on it: whoever asks for a checksum is answered under an identity that was seen at that moment. What
 * the tracker adds is that memory forgets early, that the history knows when a file changed and not only when it was next
 * executed, and that what changed is read before somebody waits for it.
 *
 * Events are read at most every LISTEN_NS, so that the kernel can fold those of a busy file into one.
 */
#include "ledger/tracker.h"

#include "ledger/baseline.h"
#include "ledger/inbox.h"
#include "ledger/reconcile.h"
#include "ledger/revisit.h"
#include "src/base/cleanup.h"
#include "src/base/error.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

#define LISTEN_NS (10 * PL_NS_PER_MS)
#define RENEW_NS (10 * PL_NS_PER_S)          /* from one try to get an instance again to the next */
#define SEEN_NS (INT64_C(300) * PL_NS_PER_S) /* the ledger hears that lazily that an uncached path is seen */

enum { POLL_INBOX, POLL_EVENTS, POLL_MOUNTS, POLL_COUNT };

struct pl_tracker {
    pl_tracker_options options;
    pl_tracked_set *set;
    pl_inbox *inbox;
    pl_namespaces *namespaces;
    pl_revisit *revisit;
    pl_reconcile *reconcile;
    pl_baseline *baseline;
    int mounts_fd;
    int64_t listen_ns; /* boottime from which on events are read again */
    int64_t heard_ns;  /* boottime at which all events so far were read */
    int64_t next_ns;   /* boottime of what is due next */
    atomic_bool stop;
    pthread_mutex_t stats_lock;
    pl_tracker_stats stats; /* guarded by it */
};

static int64_t now_ns(const pl_tracker *t)
{
    return pl_clock_boottime_ns(t->options.clock);
}

/* ---- what other threads say ---- */

static void on_learned(void *context, const pl_learned *learned)
{
    pl_tracker *t = context;
    pl_inbox_message message = {
        .kind = PL_INBOX_LEARNED,
        .mnt_ns = learned->place->mnt_ns,
        .path = learned->place->path,
        .container = learned->place->container,
        .identity = *learned->identity,
        .outcome = learned->outcome,
        .tier = learned->tier,
        .proven = learned->proven,
        .background = learned->place->background,
    };

    (void)pl_inbox_put(t->inbox, &message);
}

static void on_seen(void *context, const char *path, uint64_t mnt_ns)
{
    pl_tracker *t = context;
    pl_inbox_message message = {.kind = PL_INBOX_SEEN, .path = path, .mnt_ns = mnt_ns};

    (void)pl_inbox_put(t->inbox, &message);
}

void pl_tracker_living(pl_tracker *t, uint64_t mnt_ns, pid_t pid)
{
    pl_inbox_message message = {.kind = PL_INBOX_LIVING, .pid = pid, .mnt_ns = mnt_ns};

    if (mnt_ns && mnt_ns != t->options.mnt_ns)
        (void)pl_inbox_put(t->inbox, &message);
}

void pl_tracker_stop(pl_tracker *t)
{
    atomic_store(&t->stop, true);
    pl_inbox_poke(t->inbox);
}

static void learned(pl_tracker *t, const pl_inbox_message *m)
{
    bool added = false;
    pl_tracked *one = pl_revisit_admit(t->revisit, m->path, m->mnt_ns, m->container, &added);

    if (!one)
        return;
    if (!m->background)
        one->seen_ns = now_ns(t);
    if (one->reading)
        return; /* its own answer comes, and says more */
    bool same = !added && one->present && pl_identity_equal(&one->identity, &m->identity);
    if (!same)
        pl_tracked_set_identity(t->set, one, &m->identity);
    one->tier = (uint8_t)m->tier;
    one->proven = m->outcome == PL_OK && m->proven;
    one->reread = one->reread && !one->proven;
    one->other_boot = false;
    one->present = true;
    pl_watch_key key = pl_watch_key_of(&m->identity);
    bool watched = t->options.watcher && pl_watcher_has(t->options.watcher, &key);
    if ((!same || !watched) && !one->waiting && one->due_ns == PL_NEVER)
        pl_tracked_set_due(t->set, one, now_ns(t));
}

/* Only what the cache does not have is told of here; what it has, it flushes itself. */
static void seen(pl_tracker *t, const pl_inbox_message *m)
{
    pl_tracked *one = pl_tracked_find(t->set, m->path, m->mnt_ns);
    int64_t now = now_ns(t);

    if (!one)
        return;
    one->seen_ns = now;
    if (!t->options.writer || now - one->written_ns < SEEN_NS)
        return;
    one->written_ns = now;
    (void)pl_writer_seen(t->options.writer, m->path, m->mnt_ns, pl_clock_realtime_ns(t->options.clock));
}

static void read_inbox(pl_tracker *t)
{
    for (pl_inbox_message *m = pl_inbox_take(t->inbox), *next; m; m = next) {
        next = m->next;
        if (m->kind == PL_INBOX_LEARNED)
            learned(t, m);
        else if (m->kind == PL_INBOX_SEEN)
            seen(t, m);
        else
            pl_namespaces_living(t->namespaces, m->mnt_ns, m->pid);
        pl_inbox_message_free(m);
    }
}

/* ---- what inotify says ---- */

static void on_event(void *context, const pl_watch_event *event)
{
    pl_tracker *t = context;

    switch (event->what) {
    case PL_WATCH_TOUCHED:
    case PL_WATCH_GONE:
        if (!pl_baseline_touched(t->baseline, &event->key))
            pl_revisit_touch_inode(t->revisit, &event->key);
        break;
    case PL_WATCH_ENTRY:
        pl_baseline_entry(t->baseline, &event->key, event->name);
        break;
    case PL_WATCH_LOST:
        pl_reconcile_lost(t->reconcile, t->heard_ns, "queue overflow");
        pl_baseline_scan(t->baseline);
        break;
    case PL_WATCH_RENEWED:
        pl_reconcile_lost(t->reconcile, t->heard_ns, "watches renewed");
        pl_baseline_scan(t->baseline);
        break;
    }
}

static void read_events(pl_tracker *t)
{
    int64_t now = now_ns(t);

    if (pl_watcher_read(t->options.watcher, on_event, t) < 0)
        pl_log_write(t->options.log, PL_LOG_WARNING, "inotify: %s", pl_error_message());
    t->heard_ns = now;
    t->listen_ns = now + (pl_watcher_fd(t->options.watcher) < 0 ? RENEW_NS : LISTEN_NS);
}

/* ---- the crank ---- */

static void count(pl_tracker *t)
{
    pl_watcher_stats watcher = {0};
    pl_revisit_stats revisit;

    if (t->options.watcher)
        pl_watcher_stats_get(t->options.watcher, &watcher);
    pl_revisit_stats_get(t->revisit, &revisit);
    pthread_mutex_lock(&t->stats_lock);
    t->stats = (pl_tracker_stats){
        .tracked = pl_tracked_count(t->set),
        .watches = watcher.watches,
        .watches_refused = watcher.refused,
        .overflows = watcher.overflows + watcher.renewals,
        .changed = revisit.changed,
        .vanished = revisit.vanished,
        .unstable = revisit.unstable,
        .reads = revisit.reads,
        .looks = revisit.looks,
        .dropped = pl_inbox_dropped(t->inbox) + revisit.crowded_out,
        .work_total = revisit.work_total,
        .work_done = revisit.work_done,
        .settled = pl_reconcile_loaded(t->reconcile) && pl_baseline_scanned(t->baseline) &&
                   revisit.work_done == revisit.work_total,
    };
    pthread_mutex_unlock(&t->stats_lock);
}

static int64_t earlier(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

/* Work that comes in steps. Returns the boottime of the next one. */
static int64_t step(pl_tracker *t)
{
    int64_t next = pl_reconcile_step(t->reconcile);

    /* The rows first: what the ledger knows need not be asked of the folders. */
    if (!pl_reconcile_loaded(t->reconcile))
        return next;
    return earlier(next, pl_baseline_step(t->baseline));
}

static int wait_for_work(pl_tracker *t, bool wait)
{
    int64_t now = now_ns(t), next = t->next_ns;
    struct pollfd polls[POLL_COUNT] = {
        [POLL_INBOX] = {.fd = pl_inbox_fd(t->inbox), .events = POLLIN},
        [POLL_EVENTS] = {.fd = -1, .events = POLLIN},
        [POLL_MOUNTS] = {.fd = t->mounts_fd, .events = POLLPRI},
    };

    bool listens = t->options.watcher && t->listen_ns <= now;
    if (listens)
        polls[POLL_EVENTS].fd = pl_watcher_fd(t->options.watcher);
    else if (t->options.watcher)
        next = earlier(next, t->listen_ns);
    if (listens && polls[POLL_EVENTS].fd < 0)
        read_events(t); /* it has no instance, and tries to get one */
    struct timespec left = {0};
    if (wait && next > now) {
        left.tv_sec = (next - now) / PL_NS_PER_S;
        left.tv_nsec = (next - now) % PL_NS_PER_S;
    }
    if (ppoll(polls, POLL_COUNT, wait && next == PL_NEVER ? NULL : &left, NULL) < 0 && errno != EINTR)
        return pl_error_errno(PL_ERR_SYSTEM, errno, "poll");
    if (polls[POLL_EVENTS].revents)
        read_events(t);
    if (polls[POLL_MOUNTS].revents & (POLLPRI | POLLERR))
        pl_reconcile_hurry(t->reconcile);
    return 0;
}

int pl_tracker_turn(pl_tracker *t, bool wait)
{
    int r = wait_for_work(t, wait);

    if (r < 0)
        return r;
    read_inbox(t);
    pl_revisit_collect(t->revisit);
    int64_t stepped = step(t);
    t->next_ns = earlier(pl_revisit_look_at_due(t->revisit), stepped);
    count(t);
    return 0;
}

void *pl_tracker_run(void *context)
{
    pl_tracker *t = context;

    while (!atomic_load(&t->stop)) {
        if (pl_tracker_turn(t, true) < 0) {
            pl_log_write(t->options.log, PL_LOG_ERROR, "files are no longer tracked: %s", pl_error_message());
            break;
        }
    }
    return NULL;
}

void pl_tracker_stats_get(pl_tracker *t, pl_tracker_stats *out)
{
    pthread_mutex_lock(&t->stats_lock);
    *out = t->stats;
    pthread_mutex_unlock(&t->stats_lock);
}

static int make_rooms(pl_tracker *t)
{
    const pl_tracker_options *o = &t->options;
    int r = pl_tracked_set_new(&t->set);

    if (r == 0)
        r = pl_inbox_new(0, &t->inbox);
    if (r == 0)
        r = pl_namespaces_new(o->procfs, o->mnt_ns, &t->namespaces);
    pl_revisit_options revisit = {.set = t->set,
                                  .resolve = o->resolve,
                                  .namespaces = t->namespaces,
                                  .inbox = t->inbox,
                                  .watcher = o->watcher,
                                  .clock = o->clock,
                                  .limit = o->limit};
    if (r == 0)
        r = pl_revisit_new(&revisit, &t->revisit);
    pl_reconcile_options reconcile = {.set = t->set,
                                      .revisit = t->revisit,
                                      .resolve = o->resolve,
                                      .writer = o->writer,
                                      .clock = o->clock,
                                      .log = o->log,
                                      .mnt_ns = o->mnt_ns,
                                      .path_ttl_ns = o->path_ttl_ns,
                                      .ignore = o->ignore};
    if (r == 0)
        r = pl_reconcile_new(&reconcile, &t->reconcile);
    pl_baseline_options baseline = {.folders = o->folders,
                                    .quiet = o->default_folders,
                                    .ignore = o->ignore,
                                    .set = t->set,
                                    .revisit = t->revisit,
                                    .watcher = o->watcher,
                                    .mnt_ns = o->mnt_ns,
                                    .clock = o->clock,
                                    .log = o->log};
    return r < 0 ? r : pl_baseline_new(&baseline, &t->baseline);
}

int pl_tracker_new(const pl_tracker_options *options, pl_tracker **out)
{
    pl_tracker *t = calloc(1, sizeof(*t));
    char mounts[64];

    if (!t)
        return pl_error_nomem();
    t->options = *options;
    (void)pthread_mutex_init(&t->stats_lock, NULL);
    (void)snprintf(mounts, sizeof(mounts), "%s/self/mountinfo", options->procfs);
    t->mounts_fd = open(mounts, O_RDONLY | O_CLOEXEC); /* without it, mounts are found by the rounds */
    int r = make_rooms(t);
    if (r < 0) {
        t->options.watcher = NULL; /* still the caller's */
        (void)pl_tracker_free(t);
        return r;
    }
    t->heard_ns = now_ns(t);
    pl_resolve_listener listener = {.learned = on_learned, .seen = on_seen, .context = t};
    pl_resolve_listen(options->resolve, &listener);
    *out = t;
    return 0;
}

pl_tracker *pl_tracker_free(pl_tracker *t)
{
    if (!t)
        return NULL;
    (void)pl_baseline_free(t->baseline);
    (void)pl_reconcile_free(t->reconcile);
    (void)pl_revisit_free(t->revisit);
    (void)pl_namespaces_free(t->namespaces);
    (void)pl_inbox_free(t->inbox);
    (void)pl_tracked_set_free(t->set);
    (void)pl_watcher_free(t->options.watcher);
    pl_cleanup_close(&t->mounts_fd);
    (void)pthread_mutex_destroy(&t->stats_lock);
    free(t);
    return NULL;
}

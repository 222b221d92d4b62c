/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Start-up, overflow, down time. Owns where it is in the rows of the ledger, where it is in the set, and the gap that is
 * open; the entries are the set's.
 *
 * Three things go through many paths, one step of bounded length after the other:
 *   rows     open versions of earlier runs and of other processes that write this ledger become tracked. At the start
 *            all of them, afterwards those with greater ids, before each round.
 *   rounds   every tracked path is looked at: what no event tells of (a symbolic link set to something else, a mount, a
 *            layer below an overlay) is found within a minute or so. A round also rotates.
 *   hurry    a round without pauses, after which a gap ends.
 *
 * A version of another boot is read once before it is served, here, by idle workers, unless somebody asks for it first.
 * What a version without a proof holds is only compared: nobody is served from it.
 */
#include "ledger/reconcile.h"

#include "ledger/ignore.h"
#include "src/base/error.h"

#include <stdlib.h>

#define DEFAULT_PATH_TTL_NS (INT64_C(86400) * PL_NS_PER_S)
#define ROWS 256u            /* of one step */
#define LOOKS 512u           /* of one hurried step, some half millisecond */
#define HURRY_NS PL_NS_PER_S /* between two hurried rounds, and they take a tenth of the time at most */
#define HURRY_SHARE 10
#define TICK_NS (10 * PL_NS_PER_S)
#define TICK_LOOKS 2000u /* of one tick: 10,000 paths are looked at within a minute, for 0.03 % of a core */
#define ROUND_NS (60 * PL_NS_PER_S)
#define WRITE_SEEN_DIVISOR 4 /* a file of a watched folder is written to be seen four times a day */

struct pl_reconcile {
    pl_reconcile_options options;
    int64_t after_id; /* of versions: rows up to here were taken */
    bool loading;     /* rows are being taken */
    bool first;       /* they are those that the start found */
    size_t left;      /* entries of the round that are still to be looked at: those below */
    bool hurried;     /* the round makes no pauses */
    int64_t began_ns; /* boottime at which the hurried round began; 0: it has not yet */
    int64_t rest_ns;  /* boottime before which no other one begins */
    bool again;       /* another hurried round is due when this one is over */
    int64_t round_ns; /* boottime at which it began */
    int64_t tick_ns;  /* boottime of the next part of it */
    int64_t gap_ns;   /* boottime since which events are missing; 0: no gap is open */
    const char *reason;
};

static int64_t now_ns(const pl_reconcile *r)
{
    return pl_clock_boottime_ns(r->options.clock);
}

static int64_t wall_minus_boot(const pl_reconcile *r)
{
    return pl_clock_realtime_ns(r->options.clock) - now_ns(r);
}

int pl_reconcile_new(const pl_reconcile_options *options, pl_reconcile **out)
{
    pl_reconcile *r = calloc(1, sizeof(*r));

    if (!r)
        return pl_error_nomem();
    r->options = *options;
    if (r->options.path_ttl_ns == 0)
        r->options.path_ttl_ns = DEFAULT_PATH_TTL_NS;
    r->loading = r->first = true;
    r->round_ns = now_ns(r);
    *out = r;
    return 0;
}

static void end_gap(pl_reconcile *r)
{
    int64_t offset = wall_minus_boot(r);

    if (r->gap_ns && r->options.writer)
        (void)pl_writer_gap(r->options.writer, r->gap_ns + offset, now_ns(r) + offset, -1, "inotify", r->reason);
    r->gap_ns = 0;
}

pl_reconcile *pl_reconcile_free(pl_reconcile *r)
{
    if (!r)
        return NULL;
    end_gap(r);
    free(r);
    return NULL;
}

bool pl_reconcile_loaded(const pl_reconcile *r)
{
    return !r->first;
}

void pl_reconcile_hurry(pl_reconcile *r)
{
    /* What was looked at before now proves nothing: a round that is under way is followed by another one. */
    r->again = r->again || r->left > 0;
    r->hurried = true;
    if (r->left == 0)
        r->left = pl_tracked_count(r->options.set);
}

void pl_reconcile_lost(pl_reconcile *r, int64_t since_ns, const char *reason)
{
    if (r->gap_ns == 0) {
        r->gap_ns = since_ns > 0 ? since_ns : 1;
        r->reason = reason;
        pl_log_write(r->options.log, PL_LOG_WARNING, "inotify: %s; every tracked file is looked at", reason);
    }
    pl_reconcile_hurry(r);
}

/* ---- rows ---- */

static void take_row(pl_reconcile *r, const pl_live_version *row)
{
    bool added = false;
    /* A namespace's number of another boot may be that of any other now. */
    bool unknown = !row->same_boot && row->mnt_ns && row->mnt_ns != r->options.mnt_ns;
    pl_tracked *one = unknown || pl_is_ignored(r->options.ignore, row->path)
                          ? NULL
                          : pl_revisit_admit(r->options.revisit, row->path, row->mnt_ns, row->container, &added);

    if (!one || !added)
        return; /* somebody who knows better was faster */
    pl_tracked_set_identity(r->options.set, one, &row->identity);
    one->seen_ns = one->written_ns = row->last_time_ns - wall_minus_boot(r);
    one->tier = (uint8_t)row->tier;
    one->present = true;
    one->other_boot = !row->same_boot;
    one->proven = row->cacheable && row->hashed && row->same_boot;
    one->reread = row->cacheable && row->hashed && !row->same_boot;
    one->why = r->first ? PL_DETECTED_STARTUP : PL_DETECTED_SWEEP;
    if (r->first)
        pl_revisit_count(r->options.revisit, one);
    pl_tracked_set_due(r->options.set, one, now_ns(r));
}

static void take_rows(pl_reconcile *r)
{
    pl_live_version rows[ROWS];
    int n = pl_resolve_live(r->options.resolve, r->after_id, rows, ROWS);

    for (int i = 0; i < n; i++) {
        take_row(r, &rows[i]);
        r->after_id = rows[i].version_id;
        pl_live_version_deinit(&rows[i]);
    }
    if (n < 0)
        pl_log_write(r->options.log, PL_LOG_WARNING, "what earlier runs tracked cannot be read: %s",
                     pl_error_message());
    if (n < (int)ROWS)
        r->loading = r->first = false;
}

/* ---- rounds ---- */

/* Its day is over. A file of a watched folder stays live while it is there; the ledger hears of it now and then. */
static bool is_expired(pl_reconcile *r, pl_tracked *one, int64_t now)
{
    int64_t ttl = r->options.path_ttl_ns, seen;

    if (one->in_folder && one->present) {
        if (now - one->written_ns < ttl / WRITE_SEEN_DIVISOR)
            return false;
        one->seen_ns = one->written_ns = now;
        pl_resolve_touch(r->options.resolve, one->path, one->mnt_ns);
        if (r->options.writer)
            (void)pl_writer_seen(r->options.writer, one->path, one->mnt_ns, now + wall_minus_boot(r));
        return false;
    }
    if (now - one->seen_ns <= ttl)
        return false;
    seen = pl_resolve_seen_ns(r->options.resolve, one->path, one->mnt_ns);
    if (seen > one->seen_ns)
        one->seen_ns = seen;
    return now - one->seen_ns > ttl;
}

static void visit(pl_reconcile *r, int64_t now)
{
    pl_tracked *one = pl_tracked_at(r->options.set, r->left);

    if (is_expired(r, one, now))
        pl_revisit_forget(r->options.revisit, one);
    else if (one->due_ns == PL_NEVER)
        pl_revisit_look(r->options.revisit, one);
}

static void visit_some(pl_reconcile *r, size_t most)
{
    int64_t now = now_ns(r);

    /* From the last to the first, since a removal moves the last into the hole. */
    if (r->left > pl_tracked_count(r->options.set))
        r->left = pl_tracked_count(r->options.set);
    for (size_t n = 0; n < most && r->left > 0; n++) {
        r->left--;
        visit(r, now);
        if (r->left > pl_tracked_count(r->options.set))
            r->left = pl_tracked_count(r->options.set);
    }
    if (r->left > 0)
        return;
    if (r->hurried) {
        int64_t end = now_ns(r), took = end - r->began_ns;
        r->rest_ns = end + (took > HURRY_NS / HURRY_SHARE ? took * HURRY_SHARE : HURRY_NS);
        r->began_ns = 0;
    }
    if (r->again) {
        r->again = false;
        r->left = pl_tracked_count(r->options.set);
        return;
    }
    if (r->hurried)
        end_gap(r);
    r->hurried = false;
}

int64_t pl_reconcile_step(pl_reconcile *r)
{
    int64_t now = now_ns(r);

    if (r->loading) {
        take_rows(r);
        return now;
    }
    if (r->hurried) {
        if (r->began_ns == 0 && now < r->rest_ns)
            return r->rest_ns; /* somebody mounts all day long */
        if (r->began_ns == 0)
            r->began_ns = now;
        visit_some(r, LOOKS);
        return r->hurried ? now : r->tick_ns;
    }
    if (now < r->tick_ns)
        return r->tick_ns;
    r->tick_ns = now + TICK_NS;
    if (r->left == 0 && now - r->round_ns >= ROUND_NS) {
        r->round_ns = now;
        r->loading = true; /* what others have written meanwhile */
        r->left = pl_tracked_count(r->options.set);
        return now;
    }
    visit_some(r, TICK_LOOKS);
    return r->tick_ns;
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Turns events into rows. Owns the process table, the executions that wait for their hash (pending) and those of the
 * last run that go on (adoption); borrows resolve and writer. One thread calls everything here.
 *
 * Invariants: an execution's row is queued before its hash is asked for, so that the hash finds it; a process keeps the
 * digest of the identity that it executed.
 */
#include "ledger/recorder.h"

#include "ledger/adoption.h"
#include "ledger/ignore.h"
#include "ledger/pending.h"
#include "ledger/redact.h"
#include "src/base/cleanup.h"
#include "src/base/error.h"

#include <errno.h>
#include <string.h>

#define FORK_WORTH_NS PL_NS_PER_S                 /* a process that never executed is recorded if it lived longer */
#define COUNTERS_NS (INT64_C(200) * PL_NS_PER_MS) /* as often as a batch is committed */
#define SUSPEND_NS (INT64_C(60) * PL_NS_PER_S)    /* between two sweeps: we did not run */
#define HOLD_NS (INT64_C(600) * PL_NS_PER_S)
#define SEEN_FLUSH_NS (INT64_C(300) * PL_NS_PER_S) /* last_seen reaches the disk lazily */

struct pl_recorder {
    pl_recorder_options options;
    pl_process_table *table;
    pl_adoption *adoption;
    pl_event_source source;
    const char *source_name;
    pl_pending *pending;
    uint64_t executions, lost;
    int64_t seen_flushed_ns;
    int64_t swept_ns, hold_ns; /* boottime of the last sweep, and until when no row expires */
    pl_run_counters written;   /* what runs has */
    int64_t counted_ns;        /* boottime of the last look at them */
};

static int64_t wall_of_boottime(const pl_recorder *recorder, int64_t boottime_ns)
{
    const pl_clock *clock = recorder->options.clock;

    return boottime_ns + pl_clock_realtime_ns(clock) - pl_clock_boottime_ns(clock);
}

static int64_t boottime_of_ticks(uint64_t ticks)
{
    long hz = sysconf(_SC_CLK_TCK);

    return (int64_t)ticks * (PL_NS_PER_S / (hz > 0 ? hz : 100));
}

static void tell_live(pl_recorder *recorder, const pl_waiting *w)
{
    pl_live_execution live = {
        .eid = w->eid,
        .time_ns = w->time_ns,
        .pid = w->pid,
        .ppid = w->ppid,
        .uid = w->uid,
        .path = w->path,
        .argv = w->argv,
        .argv_length = w->argv_length,
        .hash_state = pl_hash_state_of(w->answer.outcome),
        .digests = w->answer.digests,
    };

    if (recorder->options.live && !w->quiet)
        recorder->options.live(recorder->options.context, &live);
}

void pl_recorder_dispatch(pl_recorder *recorder)
{
    int64_t now = pl_clock_boottime_ns(recorder->options.clock);

    for (pl_waiting *w = pl_pending_take(recorder->pending), *next; w; w = next) {
        next = w->next;
        pl_process *process =
            w->answer.outcome == PL_OK && !w->script ? pl_process_table_find(recorder->table, w->pid, now) : NULL;
        if (process && process->eid == w->eid)
            (void)pl_process_take_digest(process, &w->answer.identity, &w->answer.digests);
        tell_live(recorder, w);
        (void)pl_waiting_free(w);
    }
}

/* The argv as the chosen mode lets it through. Out of memory: none at all rather than an unmasked one. */
static void choose_argv(const pl_recorder *recorder, pl_image *image)
{
    char *masked = NULL;
    size_t length = 0;

    if (!image->argv || recorder->options.argv_mode == PL_ARGV_FULL)
        return;
    if (recorder->options.argv_mode == PL_ARGV_REDACT)
        (void)pl_redact_argv(image->argv, image->argv_length, &masked, &length);
    free(image->argv);
    image->argv = masked;
    image->argv_length = length;
}

static void write_fork(pl_recorder *recorder, pl_process *process, int64_t end_boottime_ns)
{
    if (process->fork_id == 0)
        process->fork_id = pl_writer_next_fork_id(recorder->options.writer);
    pl_fork_record fork = {
        .fork_id = process->fork_id,
        .time_ns = wall_of_boottime(recorder, process->fork_boottime_ns),
        .end_time_ns = end_boottime_ns ? wall_of_boottime(recorder, end_boottime_ns) : 0,
        .pid = process->pid,
        .ppid = process->ppid,
        .image_eid = process->eid,
    };
    (void)pl_writer_fork(recorder->options.writer, &fork);
}

static void end_execution(pl_recorder *recorder, int64_t eid, pl_end_reason reason, int64_t from_ns, int64_t to_ns,
                          const pl_event *event)
{
    pl_execution_end end = {
        .eid = eid,
        .time_ns = to_ns ? wall_of_boottime(recorder, to_ns) : 0,
        .duration_ns = from_ns && to_ns >= from_ns ? to_ns - from_ns : -1,
        .reason = reason,
        .has_status = event && event->has_status,
        .status = event ? event->status : 0,
    };

    (void)pl_writer_end(recorder->options.writer, &end);
}

/* What was known before an exec about the process and its parent. */
typedef struct lineage {
    int64_t parent_eid, prev_eid;
    int64_t prev_started_ns;
    bool known; /* a snapshot or scan met an image that is recorded already */
} lineage;

static void find_lineage(pl_recorder *recorder, const pl_image *image, int64_t now, lineage *out)
{
    pl_process *self = pl_process_table_find(recorder->table, image->pid, now);

    *out = (lineage){0};
    /* start_ticks 0: it died before it could be read; the fork event says who it was. */
    if (self && (image->start_ticks == 0 || self->start_ticks == 0 || self->start_ticks == image->start_ticks)) {
        out->parent_eid = self->parent_eid;
        if (!self->forked && self->eid) {
            out->prev_eid = self->eid;
            out->prev_started_ns = self->exec_boottime_ns;
        } else if (self->fork_id) {
            write_fork(recorder, self, image->exec_boottime_ns);
        }
    }
    pid_t ppid = image->ppid ? image->ppid : self ? self->ppid : 0;
    pl_process *parent = ppid ? pl_process_table_find(recorder->table, ppid, now) : NULL;
    if (!parent)
        return;
    if (out->parent_eid == 0)
        out->parent_eid = parent->eid;
    if (parent->forked && parent->fork_id == 0 && parent->fork_boottime_ns)
        write_fork(recorder, parent, 0); /* a forked process is worth a row once a child of it executes */
}

/* A name that is gone from its folder names nothing: what was pinned is hashed and not recorded as a file. */
static const char *lasting_path(const char *path, const pl_identity *identity)
{
    return identity->nlink ? path : NULL;
}

/* The script's own hash for the row eid. Takes the image's descriptor. */
static void ask_script_hash(pl_recorder *recorder, pl_image *image, int64_t eid, pl_detected_by detected_by)
{
    pl_place place = {.path = lasting_path(image->script_path, &image->script_identity),
                      .mnt_ns = image->mnt_ns,
                      .container = image->container,
                      .detected_by = detected_by};
    pl_answer answer;

    if (image->script_fd < 0 || !recorder->options.hashing)
        return;
    pl_waiting *w = pl_waiting_new(recorder->pending, eid);
    if (!w)
        return; /* the row stays without it; the next execution of the script tries again */
    w->quiet = w->script = true;
    if (pl_resolve_hot(recorder->options.resolve, &image->script_identity, &place, &answer))
        pl_pending_done(w, &answer);
    else
        pl_pending_ask(w, recorder->options.resolve, &image->script_fd, &place);
}

/* Builds and queues the row. Fills *w for the listener. */
static void write_execution(pl_recorder *recorder, const pl_image *image, const lineage *line, pl_hash_state state,
                            const pl_answer *answer, pl_waiting *w)
{
    pl_execution execution = {
        .eid = w->eid,
        .time_ns = w->time_ns,
        .pid = image->pid,
        .ppid = w->ppid,
        .start_ticks = image->start_ticks,
        .parent_eid = line->parent_eid,
        .prev_eid = line->prev_eid,
        .path = image->exe,
        .filename = image->filename,
        .name = image->name,
        .cwd = image->cwd,
        .tty = image->tty,
        .cgroup = image->cgroup,
        .container = image->container,
        .script_path = image->script_path,
        .argv = image->argv,
        .argv_length = image->argv_length,
        .uid = image->uid,
        .euid = image->euid,
        .suid = image->suid,
        .gid = image->gid,
        .egid = image->egid,
        .auid = image->auid,
        .session = image->session,
        .mode = image->has_identity ? image->identity.mode : 0,
        .flags = image->flags,
        .mnt_ns = image->mnt_ns,
        .source = recorder->source,
        .hash_state = state,
        .assurance = answer->assurance,
        .digests = state == PL_HASH_OK ? &answer->digests : NULL,
        .size = answer->identity.size,
    };

    if (pl_writer_execution(recorder->options.writer, &execution) == 0)
        recorder->executions++;
    else
        recorder->lost++;
}

/* What can be said about the hash at once: hot, off, or the reason why it will never be there. */
static pl_hash_state first_state(pl_recorder *recorder, const pl_event *event, const pl_place *place, pl_answer *answer)
{
    const pl_image *image = event->image;

    *answer = (pl_answer){0};
    if (!recorder->options.hashing)
        return PL_HASH_NONE;
    if (image->has_identity && pl_resolve_hot(recorder->options.resolve, &image->identity, place, answer))
        return PL_HASH_OK;
    if (image->exe_fd >= 0)
        return PL_HASH_PENDING;
    answer->outcome =
        event->vanished || image->exe_errno == ENOENT || image->exe_errno == ESRCH || image->exe_errno == 0
            ? PL_VANISHED
            : PL_UNREADABLE;
    answer->error = image->exe_errno;
    return pl_hash_state_of(answer->outcome);
}

static pl_waiting *waiting_of(pl_recorder *recorder, const pl_image *image, int64_t time_ns)
{
    pl_waiting *w = pl_waiting_new(recorder->pending, pl_writer_next_eid(recorder->options.writer));

    if (!w)
        return NULL;
    w->time_ns = time_ns;
    w->pid = image->pid;
    w->ppid = image->ppid;
    w->uid = image->uid;
    if (!recorder->options.live)
        return w;
    w->path = image->exe ? strdup(image->exe) : NULL; /* a listener's line may lack what memory was short for */
    w->argv = image->argv ? malloc(image->argv_length) : NULL;
    if (w->argv) {
        memcpy(w->argv, image->argv, image->argv_length);
        w->argv_length = image->argv_length;
    }
    return w;
}

/* Enters the image into the table; false: there is nothing to record. */
static bool enter_table(pl_recorder *recorder, const pl_image *image, int64_t now, pl_process **process)
{
    int update = pl_process_table_exec(recorder->table, image, now, process);

    if (update < 0) {
        pl_log_write(recorder->options.log, PL_LOG_WARNING, "process table: %s", pl_error_message());
        *process = NULL; /* recorded all the same; its children lose one link */
        return true;
    }
    if (image->flags & PL_IMAGE_KERNEL)
        return false;
    /* A snapshot or scan that meets what an exec event already brought has nothing new. */
    return update != PL_UPDATE_STALE && !(update == PL_UPDATE_UNCHANGED && image->exec_boottime_ns == 0);
}

/* The image of a process that the last run recorded already continues its row: the eid; 0: a new row is due. */
static int64_t continue_adopted(pl_recorder *recorder, const pl_image *image, pl_process *process, lineage *line)
{
    pl_adopted adopted;

    if (!pl_adoption_take(recorder->adoption, image->pid, image->start_ticks, &adopted))
        return 0;
    pl_auto_free char *path = adopted.path;
    /* Of an executable that cannot be read neither look knows the path. */
    if (path && image->exe ? strcmp(path, image->exe) == 0 : !path && !image->exe) {
        if (process) {
            process->eid = adopted.eid;
            process->parent_eid = adopted.parent_eid;
        }
        return adopted.eid;
    }
    /* It executed something else while nobody recorded. */
    end_execution(recorder, adopted.eid, PL_END_LOST, 0, 0, NULL);
    line->prev_eid = 0; /* that row ended already */
    line->parent_eid = adopted.parent_eid;
    return 0;
}

/* A living process of the last run: its binary is tracked, and its row completed if the last run ended
 * before. */
static void track_adopted(pl_recorder *recorder, const pl_event *event, const pl_place *place, int64_t eid)
{
    pl_answer answer;
    pl_hash_state state = first_state(recorder, event, place, &answer);
    pl_waiting *w = state == PL_HASH_NONE ? NULL : pl_waiting_new(recorder->pending, eid);

    if (!w)
        return;
    w->pid = event->pid;
    w->quiet = true;
    if (state == PL_HASH_PENDING)
        pl_pending_ask(w, recorder->options.resolve, &event->image->exe_fd, place);
    else
        pl_pending_done(w, &answer);
}

/* What is left out has no row, yet what ran before it in the process has ended; and children of it have no parent row. */
static void forget_ignored(pl_recorder *recorder, const pl_image *image, pl_process *process, const lineage *line,
                           int64_t started_ns)
{
    pl_adopted adopted;

    if (line->prev_eid)
        end_execution(recorder, line->prev_eid, PL_END_EXEC, line->prev_started_ns, started_ns, NULL);
    if (pl_adoption_take(recorder->adoption, image->pid, image->start_ticks, &adopted)) {
        /* Recorded by a run that did not leave it out. */
        end_execution(recorder, adopted.eid, PL_END_LOST, 0, 0, NULL);
        free(adopted.path);
    }
    if (process)
        process->eid = 0;
}

static void on_exec(pl_recorder *recorder, pl_event *event)
{
    pl_image *image = event->image;
    int64_t now = pl_clock_boottime_ns(recorder->options.clock);
    bool snapshot = image->exec_boottime_ns == 0;
    int64_t started = snapshot ? boottime_of_ticks(image->start_ticks) : image->exec_boottime_ns;
    pl_process *process = NULL;
    lineage line;
    pl_answer answer;

    if (recorder->options.tracker)
        pl_tracker_living(recorder->options.tracker, image->mnt_ns, image->pid);
    find_lineage(recorder, image, now, &line);
    if (!enter_table(recorder, image, now, &process))
        return;
    pl_place place = {.path = (image->flags & (PL_IMAGE_MEMFD | PL_IMAGE_DELETED)) ? NULL : image->exe,
                      .mnt_ns = image->mnt_ns,
                      .container = image->container,
                      .detected_by = snapshot ? PL_DETECTED_STARTUP : PL_DETECTED_EXEC,
                      .key = image->has_key ? &image->key : NULL};
    if (pl_is_ignored(recorder->options.ignore, image->exe)) {
        forget_ignored(recorder, image, process, &line, started);
        return;
    }
    int64_t adopted_eid = snapshot ? continue_adopted(recorder, image, process, &line) : 0;
    if (adopted_eid) {
        track_adopted(recorder, event, &place, adopted_eid);
        ask_script_hash(recorder, image, adopted_eid, place.detected_by);
        return;
    }
    choose_argv(recorder, image);
    pl_waiting *w = waiting_of(recorder, image, wall_of_boottime(recorder, started));
    if (!w) {
        recorder->lost++;
        return;
    }
    if (w->ppid == 0 && process)
        w->ppid = process->ppid;
    if (line.prev_eid)
        end_execution(recorder, line.prev_eid, PL_END_EXEC, line.prev_started_ns, started, NULL);
    pl_hash_state state = first_state(recorder, event, &place, &answer);
    write_execution(recorder, image, &line, state, &answer, w);
    if (process) {
        process->eid = w->eid;
        process->prev_eid = line.prev_eid;
        process->parent_eid = line.parent_eid;
        process->forked = false;
    }
    ask_script_hash(recorder, image, w->eid, place.detected_by);
    if (state == PL_HASH_OK && process)
        (void)pl_process_take_digest(process, &image->identity, &answer.digests);
    if (state == PL_HASH_PENDING) {
        pl_pending_ask(w, recorder->options.resolve, &image->exe_fd, &place);
        return;
    }
    w->answer = answer;
    if (state == PL_HASH_NONE)
        w->answer.outcome = PL_PENDING;
    tell_live(recorder, w);
    (void)pl_waiting_free(w);
}

static void on_fork(pl_recorder *recorder, const pl_event *event)
{
    pl_process *child = NULL;

    if (pl_process_table_fork(recorder->table, event->pid, event->ppid, event->boottime_ns, &child) < 0)
        pl_log_write(recorder->options.log, PL_LOG_WARNING, "process table: %s", pl_error_message());
}

static void on_exit_event(pl_recorder *recorder, const pl_event *event)
{
    pl_process *process = pl_process_table_exit(recorder->table, event->pid, event->boottime_ns);

    if (!process)
        return;
    if (!process->forked && process->eid)
        end_execution(recorder, process->eid, PL_END_EXIT, process->exec_boottime_ns, event->boottime_ns, event);
    if (process->forked && process->fork_boottime_ns &&
        (process->fork_id || event->boottime_ns - process->fork_boottime_ns > FORK_WORTH_NS))
        write_fork(recorder, process, event->boottime_ns);
}

static void on_lost(pl_recorder *recorder, const pl_event *event)
{
    int64_t now = pl_clock_realtime_ns(recorder->options.clock);

    if (event->lost > 0)
        recorder->lost += (uint64_t)event->lost;
    (void)pl_writer_gap(recorder->options.writer, wall_of_boottime(recorder, event->lost_since_ns), now, event->lost,
                        recorder->source_name, event->reason);
    pl_log_write(recorder->options.log, PL_LOG_WARNING, "%s: events were lost (%s)", recorder->source_name,
                 event->reason);
}

void pl_recorder_count(pl_recorder *recorder)
{
    pl_run_counters counters;

    pl_recorder_counters(recorder, &counters);
    if (memcmp(&counters, &recorder->written, sizeof(counters)) == 0)
        return; /* an idle machine writes nothing */
    if (pl_writer_run_counters(recorder->options.writer, &counters, pl_clock_realtime_ns(recorder->options.clock)) == 0)
        recorder->written = counters;
}

/* The counters of the run follow what is committed, not the sweep. */
static void count_now_and_then(pl_recorder *recorder, int64_t now_ns)
{
    if (now_ns - recorder->counted_ns < COUNTERS_NS)
        return;
    recorder->counted_ns = now_ns;
    pl_recorder_count(recorder);
}

void pl_recorder_event(void *context, pl_event *event)
{
    pl_recorder *recorder = context;

    count_now_and_then(recorder, pl_clock_boottime_ns(recorder->options.clock));

    switch (event->kind) {
    case PL_EVENT_FORK:
        on_fork(recorder, event);
        break;
    case PL_EVENT_EXEC:
        on_exec(recorder, event);
        break;
    case PL_EVENT_EXIT:
        on_exit_event(recorder, event);
        break;
    case PL_EVENT_LOST:
        on_lost(recorder, event);
        break;
    }
}

bool pl_recorder_known(void *context, const pl_kernel_key *key, pl_identity *identity)
{
    const pl_recorder *recorder = context;

    return recorder->options.hashing && pl_resolve_key(recorder->options.resolve, key, identity);
}

bool pl_recorder_is_alive(void *context, pid_t pid, uint64_t start_ticks)
{
    pl_recorder *recorder = context;

    return pl_procfs_is_alive(&recorder->options.procfs, pid, start_ticks);
}

void pl_recorder_adopt(void *context, int64_t eid, pid_t pid, uint64_t start_ticks, int64_t parent_eid,
                       const char *path)
{
    pl_recorder *recorder = context;
    pl_adopted adopted = {
        .pid = pid, .start_ticks = start_ticks, .eid = eid, .parent_eid = parent_eid, .path = (char *)(uintptr_t)path};
    int64_t older = pl_adoption_add(recorder->adoption, &adopted);

    if (older)
        end_execution(recorder, older, PL_END_LOST, 0, 0, NULL);
}

void pl_recorder_adoption_done(pl_recorder *recorder)
{
    pl_adopted adopted;

    while (pl_adoption_take_any(recorder->adoption, &adopted)) {
        end_execution(recorder, adopted.eid, PL_END_LOST, 0, 0, NULL);
        free(adopted.path);
    }
}

void pl_recorder_set_source(pl_recorder *recorder, pl_event_source source, const char *name)
{
    recorder->source = source;
    recorder->source_name = name;
}

int pl_recorder_fd(const pl_recorder *recorder)
{
    return pl_pending_fd(recorder->pending);
}

typedef struct sweep_context {
    pl_recorder *recorder;
    int64_t now_ns;
} sweep_context;

/* An entry that goes without an exit event: its end was missed. */
static void swept(void *context, const pl_process *process)
{
    pl_recorder *recorder = ((sweep_context *)context)->recorder;

    if (process->exited_ns == 0 && process->eid && !process->forked)
        end_execution(recorder, process->eid, PL_END_LOST, 0, 0, NULL);
}

static void visit_living(void *context, pl_process *process)
{
    sweep_context *sweep = context;

    if (process->exited_ns)
        return;
    if (sweep->recorder->options.tracker)
        pl_tracker_living(sweep->recorder->options.tracker, process->mnt_ns, process->pid);
    if (process->path && *process->path)
        pl_resolve_touch(sweep->recorder->options.resolve, process->path, process->mnt_ns);
    if (process->script_path)
        pl_resolve_touch(sweep->recorder->options.resolve, process->script_path, process->mnt_ns);
    if (process->forked && process->fork_id == 0 && process->fork_boottime_ns &&
        sweep->now_ns - process->fork_boottime_ns > FORK_WORTH_NS)
        write_fork(sweep->recorder, process, 0);
}

void pl_recorder_counters(pl_recorder *recorder, pl_run_counters *out)
{
    pl_stats stats = {.struct_size = sizeof(stats)};
    pl_writer_stats writer;
    pl_tracker_stats tracker = {0};

    if (recorder->options.tracker)
        pl_tracker_stats_get(recorder->options.tracker, &tracker);
    pl_resolve_stats_get(recorder->options.resolve, &stats);
    pl_writer_stats_get(recorder->options.writer, &writer);
    *out = (pl_run_counters){
        .executions = recorder->executions,
        .lost = recorder->lost + writer.lost,
        .files_hashed = stats.files_hashed,
        .bytes_hashed = stats.bytes_hashed,
        .hits_hot = stats.hits_hot,
        .hits_ledger = stats.hits_ledger,
        .watches = tracker.watches,
        .tracked = tracker.tracked,
        .watches_refused = tracker.watches_refused,
        .overflows = tracker.overflows,
        .start_total = tracker.work_total,
        .start_done = tracker.work_done,
    };
}

void pl_recorder_flush(pl_recorder *recorder)
{
    pl_resolve_flush_seen(recorder->options.resolve);
    recorder->seen_flushed_ns = pl_clock_boottime_ns(recorder->options.clock);
    pl_recorder_count(recorder);
}

void pl_recorder_sweep(pl_recorder *recorder)
{
    sweep_context sweep = {.recorder = recorder, .now_ns = pl_clock_boottime_ns(recorder->options.clock)};

    (void)pl_process_table_sweep(recorder->table, sweep.now_ns, swept, &sweep);
    pl_process_table_each(recorder->table, visit_living, &sweep);
    pl_resolve_sweep(recorder->options.resolve);
    if (sweep.now_ns - recorder->seen_flushed_ns >= SEEN_FLUSH_NS)
        pl_recorder_flush(recorder);
    pl_recorder_count(recorder);
    /* After a suspend all paths look unseen: first those that are there are looked at. */
    if (recorder->swept_ns && sweep.now_ns - recorder->swept_ns > SUSPEND_NS)
        recorder->hold_ns = sweep.now_ns + HOLD_NS;
    recorder->swept_ns = sweep.now_ns;
    if (sweep.now_ns >= recorder->hold_ns)
        (void)pl_writer_retain(recorder->options.writer, pl_clock_realtime_ns(recorder->options.clock));
}

int pl_recorder_new(const pl_recorder_options *options, pl_recorder **out)
{
    pl_recorder *recorder = calloc(1, sizeof(*recorder));

    if (!recorder)
        return pl_error_nomem();
    recorder->options = *options;
    recorder->source_name = "none";
    recorder->seen_flushed_ns = pl_clock_boottime_ns(options->clock);
    pl_process_table_options table = {
        .pid_ttl_ns = options->pid_ttl_ns, .alive = pl_recorder_is_alive, .context = recorder};
    int r = pl_process_table_new(&table, &recorder->table);
    if (r == 0)
        r = pl_adoption_new(&recorder->adoption);
    if (r == 0)
        r = pl_pending_new(options->writer, &recorder->pending);
    if (r < 0) {
        (void)pl_recorder_free(recorder);
        return r;
    }
    *out = recorder;
    return 0;
}

pl_recorder *pl_recorder_free(pl_recorder *recorder)
{
    if (!recorder)
        return NULL;
    (void)pl_pending_free(recorder->pending);
    (void)pl_adoption_free(recorder->adoption);
    (void)pl_process_table_free(recorder->table);
    free(recorder);
    return NULL;
}

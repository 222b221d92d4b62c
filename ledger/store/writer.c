/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The writer: a queue under a mutex, one thread that empties it. Owns the store, the queue, and the batch in hand.
 *
 * Everything below `lock` in the struct is guarded by it; what stands above belongs to the writer thread once it runs.
 * The thread never holds the lock while it writes, so a caller never waits for the disk.
 *
 * Records are numbered as they are queued, and are committed in that order; a flush waits for a number. A batch that
 * cannot be written stays in hand and is tried again; what does not fit behind it meanwhile is counted, and the count
 * goes into the first transaction that succeeds. Batches have a bound in bytes, too: little free space is still good for
 * a small one.
 */
#include "ledger/store/writer.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <malloc.h>
#include <string.h>
#include <time.h>

#include "ledger/store/batch.h"
#include "ledger/store/retain.h"
#include "src/base/cleanup.h"
#include "src/base/error.h"

#define DAY_NS (INT64_C(86400) * PL_NS_PER_S)
#define RETRY_MAX_NS (5 * PL_NS_PER_S)
#define QUIET_RECORDS 2000  /* between two sweeps, 10 s */
#define WORTH_RECORDS 20000 /* a storm */
#define BATCH_BYTES ((size_t)16 << 20)
/* A disk on the brink fails and recovers many times; the log tells of it once in so long. */
#define QUIET_NS (60 * PL_NS_PER_S)

struct pl_writer {
    pl_writer_options options; /* defaults filled in; never changes */
    pl_store *store;
    pl_append append;
    pl_retain *retain;
    int64_t retain_now_ns; /* of the request at work */
    bool retain_told;      /* the log knows that retention fails */
    bool told;             /* the log knows that writing fails */
    int64_t quiet_until_ns;
    int64_t max_eid; /* committed */
    _Atomic int64_t next_eid, next_fork_id;
    pthread_t thread;

    pthread_mutex_t lock;
    pthread_cond_t work; /* for the thread */
    pthread_cond_t done; /* for those who wait for it */
    pl_batch queue;
    pl_batch current;        /* in hand; its links are the thread's, its count and bytes are read under the lock */
    int64_t oldest_ns;       /* monotonic, when the queue's first record came */
    uint64_t queued_number;  /* of the last record queued */
    uint64_t settled_number; /* of the last record that is committed or was given up */
    uint64_t wanted_number;  /* somebody waits for this one */
    bool closing, retain_more;
    bool retain_queued; /* a request waits; it will be answered for the latest time asked for */
    int64_t retain_asked_ns;
    int64_t pause_ns;  /* after a failure; 0: all is well */
    uint64_t attempts; /* that ended */
    bool attempting;   /* one is under way */
    int failure;
    char failure_message[512];
    bool try_now;
    uint64_t lost_untold;
    int64_t lost_since_ns, lost_until_ns; /* wall clock */
    int lost_code;
    pl_writer_stats stats;
    uint64_t written, written_at_sweep, to_give_back; /* records; see give_memory_back */
};

static int64_t monotonic_ns(void)
{
    struct timespec now;

    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * PL_NS_PER_S + now.tv_nsec;
}

static void wait_until(pl_writer *w, int64_t deadline_ns)
{
    struct timespec deadline = {deadline_ns / PL_NS_PER_S, deadline_ns % PL_NS_PER_S};

    (void)pthread_cond_timedwait(&w->work, &w->lock, &deadline);
}

/* --- the thread; each with the lock held unless it says otherwise --- */

static bool is_alone(const pl_record *record)
{
    return record->kind == PL_RECORD_RUN_BEGIN || record->kind == PL_RECORD_RETAIN;
}

static bool queue_is_due(const pl_writer *w, int64_t now_ns)
{
    return w->queue.count >= w->options.batch_count || w->queue.bytes >= BATCH_BYTES || w->closing ||
           w->wanted_number > w->settled_number ||
           (w->queue.first && (is_alone(w->queue.first) || now_ns - w->oldest_ns >= w->options.batch_ns));
}

/* Waits until there is something to do. False: closing, and nothing is left. */
static bool wait_for_work(pl_writer *w)
{
    for (;;) {
        if (w->current.count)
            return true;
        if (!w->queue.count) {
            if (w->lost_untold || w->retain_more)
                return !w->closing || w->lost_untold;
            if (w->closing)
                return false;
            (void)pthread_cond_wait(&w->work, &w->lock);
            continue;
        }
        if (queue_is_due(w, monotonic_ns()) || w->retain_more)
            return true;
        wait_until(w, w->oldest_ns + w->options.batch_ns);
    }
}

/* Takes the next batch in hand: as many as fit, or one that goes alone. */
static void take_batch(pl_writer *w)
{
    while (w->queue.first && w->current.count < w->options.batch_count && w->current.bytes < BATCH_BYTES) {
        bool alone = is_alone(w->queue.first);
        if (alone && w->current.count)
            break;
        pl_batch_put(&w->current, pl_batch_take(&w->queue));
        if (alone)
            break;
    }
    w->oldest_ns = monotonic_ns();
}

static const char *reason_of(int code)
{
    switch (code) {
    case PL_ERR_FULL:
        return "disk full";
    case PL_ERR_IO:
        return "I/O error";
    case PL_ERR_BUSY:
        return "ledger busy";
    case PL_ERR_DAMAGED:
        return "ledger damaged";
    case PL_ERR_NOMEM:
        return "out of memory";
    case PL_ERR_QUEUE_FULL:
        return "queue full";
    case PL_ERR_INVALID:
        return "record could not be stored";
    default:
        return "writing failed";
    }
}

/* n records; events: what they stood for, which is what gaps tells. */
static void count_loss(pl_writer *w, uint64_t n, uint64_t events, int code)
{
    int64_t now = pl_clock_realtime_ns(w->store->clock);

    if (w->lost_untold == 0) {
        w->lost_since_ns = now;
        w->lost_code = code;
    }
    w->lost_until_ns = now;
    w->lost_untold += events;
    w->stats.lost += n;
}

/* The batch in hand is done with. */
static void settle(pl_writer *w)
{
    w->settled_number += w->current.count;
    for (pl_record *r; (r = pl_batch_take(&w->current));)
        free(r);
    (void)pthread_cond_broadcast(&w->done);
}

/* The log has its line before anybody who waits has his answer. */
static void note_failure(pl_writer *w, int code, const char *message)
{
    if (!w->told && monotonic_ns() >= w->quiet_until_ns) {
        w->told = true;
        (void)pthread_mutex_unlock(&w->lock);
        pl_log_write(w->store->log, PL_LOG_ERROR, "writing failed, keeping what fits in memory: %s", message);
        (void)pthread_mutex_lock(&w->lock);
    }
    w->stats.failures++;
    w->attempts++;
    w->attempting = false;
    w->failure = code;
    (void)stpncpy(w->failure_message, message, sizeof(w->failure_message) - 1);
    w->pause_ns = w->pause_ns == 0 ? w->options.retry_ns : 2 * w->pause_ns;
    if (w->pause_ns > RETRY_MAX_NS)
        w->pause_ns = RETRY_MAX_NS;
    (void)pthread_cond_broadcast(&w->done);
}

static void note_success(pl_writer *w)
{
    const uint64_t lost = w->stats.lost;

    w->attempts++;
    w->attempting = false;
    if (w->pause_ns == 0)
        return;
    w->pause_ns = 0;
    w->failure = 0;
    if (!w->told)
        return;
    w->told = false;
    w->quiet_until_ns = monotonic_ns() + QUIET_NS;
    (void)pthread_mutex_unlock(&w->lock);
    pl_log_write(w->store->log, PL_LOG_WARNING, "writing works again; %llu records lost since the start",
                 (unsigned long long)lost);
    (void)pthread_mutex_lock(&w->lock);
}

/* Sleeps as long as the last failure asks for, unless somebody wants an answer now. */
static void pause_after_failure(pl_writer *w)
{
    const int64_t until = monotonic_ns() + w->pause_ns;

    while (w->pause_ns && !w->closing && !w->try_now && monotonic_ns() < until)
        wait_until(w, until);
    w->try_now = false;
}

static void add_result(pl_writer *w, const pl_batch_result *result)
{
    w->stats.executions += result->executions;
    w->stats.forks += result->forks;
    w->stats.ends += result->ends;
    w->stats.sightings += result->sightings;
    w->stats.batches++;
    if (result->max_eid > w->max_eid)
        w->max_eid = result->max_eid;
    if (result->rejected)
        count_loss(w, result->rejected, result->rejected, PL_ERR_INVALID);
}

/* Writes what is in hand, with a word about what was lost. Leaves the lock meanwhile. */
static void write_current(pl_writer *w)
{
    const pl_batch_loss loss = {w->lost_untold, w->lost_since_ns, w->lost_until_ns,
                                reason_of(w->failure && w->lost_code == PL_ERR_QUEUE_FULL ? w->failure : w->lost_code)};
    pl_batch_result result = {0};

    w->attempting = true;
    (void)pthread_mutex_unlock(&w->lock);
    int rc = pl_batch_write(&w->current, &w->append, &loss, pl_clock_realtime_ns(w->store->clock), &result);
    (void)pthread_mutex_lock(&w->lock);
    if (rc < 0) {
        note_failure(w, rc, pl_error_message());
        return;
    }
    w->lost_untold -= loss.lost;
    w->lost_since_ns = w->lost_until_ns;
    w->written += w->current.count;
    add_result(w, &result);
    if (w->options.committed) {
        (void)pthread_mutex_unlock(&w->lock);
        w->options.committed(w->options.context, w->max_eid);
        (void)pthread_mutex_lock(&w->lock);
    }
    note_success(w);
    settle(w);
}

/* Asked for by somebody who waits: answered once, not tried again. */
static void begin_run(pl_writer *w, pl_run_request *request)
{
    (void)pthread_mutex_unlock(&w->lock);
    int rc = pl_append_run_begin(&w->append, request->run);
    (void)pthread_mutex_lock(&w->lock);
    request->code = rc;
    if (rc < 0)
        (void)stpncpy(request->message, pl_error_message(), sizeof(request->message) - 1);
    request->done = true;
    settle(w);
}

/* After a storm, once little is written: ids of interned values, pages that SQLite cached, what the heap holds free. The
 * daemon's memory is then what it needs, not what it once needed. */
static void give_memory_back(pl_writer *w)
{
    uint64_t since = w->written - w->written_at_sweep;

    w->written_at_sweep = w->written;
    w->to_give_back += since;
    if (w->retain_more || since > QUIET_RECORDS || w->to_give_back < WORTH_RECORDS)
        return;
    w->to_give_back = 0;
    (void)pthread_mutex_unlock(&w->lock);
    pl_interns_clear(w->append.interns);
    pl_database_release(w->store);
    (void)malloc_trim(0);
    (void)pthread_mutex_lock(&w->lock);
}

static void retain_step(pl_writer *w)
{
    uint64_t deleted = 0;

    (void)pthread_mutex_unlock(&w->lock);
    int rc = pl_retain_step(w->retain, &w->append, w->retain_now_ns, &deleted);
    /* A failure is not retried here: the next sweep does. */
    if (rc < 0 && !w->retain_told && !w->told)
        pl_log_write(w->store->log, PL_LOG_WARNING, "retention: %s", pl_error_message());
    (void)pthread_mutex_lock(&w->lock);
    w->retain_told = rc < 0;
    w->retain_more = rc > 0;
    w->stats.deleted += deleted;
    give_memory_back(w);
}

static void work_once(pl_writer *w)
{
    const pl_record *first = w->current.first;

    if (first && first->kind == PL_RECORD_RUN_BEGIN) {
        begin_run(w, first->begin);
    } else if (first && first->kind == PL_RECORD_RETAIN) {
        w->retain_now_ns = w->retain_asked_ns;
        w->retain_queued = false;
        retain_step(w);
        settle(w);
    } else {
        write_current(w);
    }
}

static void *writer_main(void *argument)
{
    pl_writer *w = argument;

    (void)pthread_mutex_lock(&w->lock);
    while (wait_for_work(w)) {
        bool fresh = w->current.count == 0;
        if (fresh && queue_is_due(w, monotonic_ns()))
            take_batch(w);
        if (fresh && w->current.count) {
            (void)pthread_mutex_unlock(&w->lock);
            pl_batch_fold(&w->current);
            (void)pthread_mutex_lock(&w->lock);
        }
        if (w->current.count || w->lost_untold)
            work_once(w);
        if (w->pause_ns && w->closing)
            break;
        if (w->pause_ns)
            pause_after_failure(w);
        else if (w->retain_more && !w->closing)
            retain_step(w);
    }
    (void)pthread_mutex_unlock(&w->lock);
    return NULL;
}

/* --- making and ending --- */

static void fill_defaults(pl_writer_options *o)
{
    o->batch_count = o->batch_count ? o->batch_count : 32768;
    o->batch_ns = o->batch_ns ? o->batch_ns : 200 * PL_NS_PER_MS;
    o->queue_bytes = o->queue_bytes ? o->queue_bytes : (size_t)64 << 20;
    o->retry_ns = o->retry_ns ? o->retry_ns : 100 * PL_NS_PER_MS;
    o->retain_ns = o->retain_ns ? o->retain_ns : 90 * DAY_NS;
    o->max_db_size = o->max_db_size ? o->max_db_size : UINT64_C(2) << 30;
    o->min_free_percent = o->min_free_percent ? o->min_free_percent : 5;
    o->path_ttl_ns = o->path_ttl_ns ? o->path_ttl_ns : DAY_NS;
}

static int read_sequence(pl_store *store, const char *table, int64_t *out)
{
    int rc = 0;
    sqlite3_stmt *s = pl_database_statement(store, PL_SQL_ST_SEQUENCE, &rc);

    if (!s)
        return rc;
    (void)sqlite3_bind_text(s, 1, table, -1, SQLITE_STATIC);
    rc = pl_database_step(store, s);
    *out = rc > 0 ? sqlite3_column_int64(s, 0) : 0;
    (void)sqlite3_reset(s);
    return rc < 0 ? rc : 0;
}

static int prepare(pl_writer *w)
{
    const pl_retain_limits limits = {w->options.retain_ns, w->options.path_ttl_ns, w->options.max_db_size,
                                     w->options.min_free_percent, 0};
    int64_t eid = 0, fork_id = 0;
    int rc = pl_interns_new(w->store, &w->append.interns);

    if (rc == 0)
        rc = pl_tally_new(&w->append.commands);
    if (rc == 0)
        rc = pl_tally_new(&w->append.binaries);
    if (rc == 0)
        rc = pl_rows_new(w->store, &w->append.rows);
    if (rc == 0)
        rc = pl_retain_new(&limits, &w->retain);
    if (rc == 0)
        rc = read_sequence(w->store, "_execution", &eid);
    if (rc == 0)
        rc = read_sequence(w->store, "_fork", &fork_id);
    if (rc < 0)
        return rc;
    w->max_eid = eid;
    atomic_init(&w->next_eid, eid + 1);
    atomic_init(&w->next_fork_id, fork_id + 1);
    return 0;
}

/* All but the store, which is still the caller's when making a writer fails. */
static void dispose(pl_writer *w)
{
    for (pl_record *r; (r = pl_batch_take(&w->current));)
        free(r);
    for (pl_record *r; (r = pl_batch_take(&w->queue));)
        free(r);
    (void)pl_retain_free(w->retain);
    (void)pl_tally_free(w->append.binaries);
    (void)pl_tally_free(w->append.commands);
    (void)pl_rows_free(w->append.rows);
    (void)pl_interns_free(w->append.interns);
    (void)pthread_cond_destroy(&w->done);
    (void)pthread_cond_destroy(&w->work);
    (void)pthread_mutex_destroy(&w->lock);
    free(w);
}

static int start_thread(pl_writer *w)
{
    sigset_t all, before;

    (void)sigfillset(&all);
    (void)pthread_sigmask(SIG_SETMASK, &all, &before);
    int errnum = pthread_create(&w->thread, NULL, writer_main, w);
    (void)pthread_sigmask(SIG_SETMASK, &before, NULL);
    return errnum ? pl_error_errno(pl_error_code(errnum), errnum, "starting the writer") : 0;
}

int pl_writer_new(pl_store *store, const pl_writer_options *options, pl_writer **out)
{
    pthread_condattr_t monotonic;
    pl_writer *w = calloc(1, sizeof(*w));

    if (!w)
        return pl_error_nomem();
    w->options = options ? *options : (pl_writer_options){0};
    fill_defaults(&w->options);
    w->store = w->append.store = store;
    w->append.least_eid = INT64_MAX;
    (void)pthread_mutex_init(&w->lock, NULL);
    (void)pthread_condattr_init(&monotonic);
    (void)pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    (void)pthread_cond_init(&w->work, &monotonic);
    (void)pthread_cond_init(&w->done, NULL);
    (void)pthread_condattr_destroy(&monotonic);
    int rc = prepare(w);
    if (rc == 0)
        rc = start_thread(w);
    if (rc < 0) {
        dispose(w);
        return rc;
    }
    *out = w;
    return 0;
}

pl_writer *pl_writer_free(pl_writer *w)
{
    if (!w)
        return NULL;
    (void)pthread_mutex_lock(&w->lock);
    w->closing = true;
    (void)pthread_cond_signal(&w->work);
    (void)pthread_mutex_unlock(&w->lock);
    (void)pthread_join(w->thread, NULL);
    uint64_t left = w->current.count + w->queue.count + w->lost_untold;
    if (left)
        pl_log_write(w->store->log, PL_LOG_ERROR, "closed with %llu records that could not be written: %s",
                     (unsigned long long)left, w->failure_message);
    pl_store *store = w->store;
    dispose(w);
    (void)pl_store_close(store);
    return NULL;
}

/* --- calls --- */

int64_t pl_writer_next_eid(pl_writer *w)
{
    return atomic_fetch_add(&w->next_eid, 1);
}

int64_t pl_writer_next_fork_id(pl_writer *w)
{
    return atomic_fetch_add(&w->next_fork_id, 1);
}

/* With the lock held. */
static void put(pl_writer *w, pl_record *record)
{
    const size_t before = w->queue.bytes;

    if (!w->queue.count)
        w->oldest_ns = monotonic_ns();
    pl_batch_put(&w->queue, record);
    w->queued_number++;
    /* The first starts its wait, the last of a full batch ends it: no wake-up for those between. */
    if (w->queue.count == 1 || w->queue.count == w->options.batch_count || is_alone(record) ||
        (before < BATCH_BYTES && w->queue.bytes >= BATCH_BYTES))
        (void)pthread_cond_signal(&w->work);
}

/* Control records (run begin, retention) are few and small, and somebody waits for them: the bound is not for them. */
static int enqueue(pl_writer *w, pl_record *record)
{
    int rc = 0;

    (void)pthread_mutex_lock(&w->lock);
    if (!record) {
        count_loss(w, 1, 1, PL_ERR_NOMEM);
        rc = pl_error_nomem();
    } else if (!is_alone(record) && w->queue.bytes + w->current.bytes + record->bytes > w->options.queue_bytes) {
        /* A gap that does not fit becomes part of the one that tells of it. */
        const bool gap = record->kind == PL_RECORD_GAP && record->gap.lost > 0;
        count_loss(w, 1, gap ? (uint64_t)record->gap.lost : 1, PL_ERR_QUEUE_FULL);
        rc = pl_error_set(PL_ERR_QUEUE_FULL, "the writer's queue is full");
        free(record);
    } else {
        put(w, record);
    }
    (void)pthread_mutex_unlock(&w->lock);
    return rc;
}

int pl_writer_execution(pl_writer *w, const pl_execution *execution)
{
    return enqueue(w, pl_record_of_execution(execution));
}

int pl_writer_hash(pl_writer *w, const pl_execution_hash *hash)
{
    return enqueue(w, pl_record_of_hash(hash));
}

int pl_writer_end(pl_writer *w, const pl_execution_end *end)
{
    pl_record *record = pl_record_new(PL_RECORD_END);

    if (record)
        record->end = *end;
    return enqueue(w, record);
}

int pl_writer_fork(pl_writer *w, const pl_fork_record *fork)
{
    pl_record *record = pl_record_new(PL_RECORD_FORK);

    if (record)
        record->fork = *fork;
    return enqueue(w, record);
}

int pl_writer_sighting(pl_writer *w, const pl_sighting *sighting)
{
    return enqueue(w, pl_record_of_sighting(PL_RECORD_SIGHTING, sighting));
}

int pl_writer_seen(pl_writer *w, const char *path, uint64_t mnt_ns, int64_t time_ns)
{
    pl_record *record = pl_record_of_version(PL_RECORD_SEEN, path, NULL);

    if (record) {
        record->version.mnt_ns = mnt_ns;
        record->version.time_ns = time_ns;
    }
    return enqueue(w, record);
}

int pl_writer_close_version(pl_writer *w, const char *path, uint64_t mnt_ns, int64_t time_ns, const char *end_reason,
                            pl_detected_by detected_by)
{
    pl_record *record = pl_record_of_version(PL_RECORD_CLOSE, path, end_reason);

    if (record) {
        record->version.mnt_ns = mnt_ns;
        record->version.time_ns = time_ns;
        record->version.detected_by = detected_by;
    }
    return enqueue(w, record);
}

int pl_writer_gap(pl_writer *w, int64_t time_ns, int64_t end_time_ns, int64_t lost, const char *source,
                  const char *reason)
{
    pl_record *record = pl_record_of_gap(source, reason);

    if (record) {
        record->gap.time_ns = time_ns;
        record->gap.end_time_ns = end_time_ns;
        record->gap.lost = lost;
    }
    return enqueue(w, record);
}

int pl_writer_identity_alert(pl_writer *w, const pl_sighting *now, const char old_sha256[65])
{
    pl_record *record = pl_record_of_sighting(PL_RECORD_ALERT, now);

    if (record)
        (void)stpncpy(record->old_sha256, old_sha256, sizeof(record->old_sha256) - 1);
    return enqueue(w, record);
}

int pl_writer_run_counters(pl_writer *w, const pl_run_counters *counters, int64_t time_ns)
{
    pl_record *record = pl_record_new(PL_RECORD_COUNTERS);

    if (record) {
        record->run.counters = *counters;
        record->run.time_ns = time_ns;
    }
    return enqueue(w, record);
}

int pl_writer_run_end(pl_writer *w, int64_t time_ns)
{
    pl_record *record = pl_record_new(PL_RECORD_RUN_END);

    if (record)
        record->run.time_ns = time_ns;
    return enqueue(w, record);
}

int pl_writer_run_begin(pl_writer *w, const pl_run *run)
{
    pl_run_request request = {.run = run};
    pl_record *record = pl_record_new(PL_RECORD_RUN_BEGIN);

    if (!record)
        return pl_error_nomem();
    record->begin = &request;
    int rc = enqueue(w, record);
    if (rc < 0)
        return rc;
    (void)pthread_mutex_lock(&w->lock);
    /* Behind a batch that cannot be written this waits until it can: the order of records is the order of rows. */
    w->wanted_number = w->queued_number;
    (void)pthread_cond_signal(&w->work);
    while (!request.done)
        (void)pthread_cond_wait(&w->done, &w->lock);
    (void)pthread_mutex_unlock(&w->lock);
    return request.code < 0 ? pl_error_set(request.code, "%s", request.message) : 0;
}

int pl_writer_retain(pl_writer *w, int64_t now_ns)
{
    int rc = 0;

    (void)pthread_mutex_lock(&w->lock);
    w->retain_asked_ns = now_ns;
    /* One request is enough, however long a broken disk lets it wait. */
    if (!w->retain_queued) {
        pl_record *record = pl_record_new(PL_RECORD_RETAIN);
        w->retain_queued = record != NULL;
        if (record)
            put(w, record);
        else
            rc = pl_error_nomem();
    }
    (void)pthread_mutex_unlock(&w->lock);
    return rc;
}

int pl_writer_flush(pl_writer *w)
{
    int rc = 0;

    (void)pthread_mutex_lock(&w->lock);
    /* One that is under way says nothing about what is queued now. */
    const uint64_t number = w->queued_number, attempts = w->attempts + (w->attempting ? 1 : 0);
    if (number > w->wanted_number)
        w->wanted_number = number;
    w->try_now = w->pause_ns != 0;
    (void)pthread_cond_signal(&w->work);
    while (w->settled_number < number && rc == 0) {
        (void)pthread_cond_wait(&w->done, &w->lock);
        /* An attempt that began after this call has failed: that is the answer. */
        if (w->settled_number < number && w->attempts > attempts && w->pause_ns)
            rc = pl_error_set(w->failure, "%s", w->failure_message);
    }
    (void)pthread_mutex_unlock(&w->lock);
    return rc;
}

void pl_writer_stats_get(pl_writer *w, pl_writer_stats *out)
{
    (void)pthread_mutex_lock(&w->lock);
    *out = w->stats;
    out->queued = w->queue.count + w->current.count;
    out->queued_bytes = w->queue.bytes + w->current.bytes;
    (void)pthread_mutex_unlock(&w->lock);
}

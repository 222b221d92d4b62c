/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The hash workers. Owns threads, queue and the descriptors of queued jobs; knows no path, no cache, no ledger.
 *
 * Threads are detached and counted: one that hangs in the kernel (FUSE, dead NFS) cannot be joined, so whoever leaves
 * last frees the pool. A monitor wakes when the oldest read is overdue, answers that job in the worker's place and
 * starts another worker.
 *
 * Invariants: every submitted job is answered exactly once; a job is in one place: queue, running list, or joined to a
 * running job; callbacks run without the lock. `lock` guards every field below it.
 */
#include "src/file/hasher.h"

#include "src/base/cleanup.h"
#include "src/base/error.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/syscall.h>

#define DEFAULT_QUEUE_LIMIT 4096
#define DEFAULT_MAX_STALLED 8
#define DEFAULT_STALL_NS (30 * PL_NS_PER_S)
/* A slow disk is no dead one: a read may take this long for each byte before it counts as hung (5 MB/s). */
#define NS_PER_BYTE 200
#define IOPRIO_WHO_PROCESS 1
#define IOPRIO_IDLE (3 << 13) /* ioprio_set(2): class idle */
#define IOPRIO_NONE 0

typedef struct job {
    pl_hash_job ask;
    pl_identity identity;
    int64_t deadline_ns; /* while it runs; boottime of the system's clock, as the monitor waits on that */
    bool abandoned;      /* the monitor answered it: the worker only cleans up */
    struct job *joined;  /* jobs that share the result, linked by next */
    struct job *next;
} job;

struct pl_hasher {
    pl_hasher_options options;
    pthread_mutex_t lock;
    pthread_cond_t work;    /* queue or stopping changed */
    pthread_cond_t monitor; /* running list or stopping changed */
    pthread_cond_t idle;    /* a job or a thread ended */
    job *queue, **queue_tail, **urgent_tail;
    job *running;
    bool stopping;
    unsigned threads; /* workers and monitor that are not given up */
    unsigned held;    /* threads of any kind that still touch this memory, and the owner */
    pl_hasher_stats stats;
};

/* One worker's view for the prober's hooks: reading is idle work, probing is not. */
typedef struct worker {
    pl_hasher *hasher;
    pl_prober *prober;
    pid_t tid;
    int nice; /* at normal priority */
    bool may_renice;
} worker;

static int64_t monotonic_ns(void)
{
    struct timespec now;

    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * PL_NS_PER_S + now.tv_nsec;
}

static void set_priority(const worker *w, bool low)
{
    if (!w->hasher->options.low_priority)
        return;
    if (w->may_renice)
        (void)setpriority(PRIO_PROCESS, (id_t)w->tid, low ? 19 : w->nice);
    (void)syscall(SYS_ioprio_set, IOPRIO_WHO_PROCESS, w->tid, low ? IOPRIO_IDLE : IOPRIO_NONE);
}

static void before_read(void *context)
{
    worker *w = context;
    const pl_prober_options *asked = &w->hasher->options.prober;

    set_priority(w, true);
    if (asked->before_read)
        asked->before_read(asked->hook_context);
}

static void before_s2(void *context)
{
    worker *w = context;
    const pl_prober_options *asked = &w->hasher->options.prober;

    set_priority(w, false); /* also for the lease of a second try */
    if (asked->before_s2)
        asked->before_s2(asked->hook_context);
}

/* Lowering is always allowed, coming back takes CAP_SYS_NICE: tried once, by one step. */
static void learn_priority(worker *w)
{
    w->tid = (pid_t)syscall(SYS_gettid);
    if (!w->hasher->options.low_priority)
        return;
    w->nice = getpriority(PRIO_PROCESS, (id_t)w->tid);
    w->may_renice = w->nice < 19 && setpriority(PRIO_PROCESS, (id_t)w->tid, w->nice + 1) == 0 &&
                    setpriority(PRIO_PROCESS, (id_t)w->tid, w->nice) == 0;
}

static void answer(job *j, const pl_probe_result *result, bool was_known)
{
    pl_probe_result own;

    /* Who joined a job that needed no read asks for itself: its own path is news to whoever remembers. */
    if (was_known && j->ask.known && j->ask.known(j->ask.context, &result->identity, j->ask.fd, &own))
        result = &own;
    if (j->ask.done)
        j->ask.done(j->ask.context, result, was_known);
    pl_cleanup_close(&j->ask.fd);
    free(j);
}

static void answer_all(job *list, const pl_probe_result *result, bool was_known)
{
    while (list) {
        job *next = list->next;
        answer(list, result, was_known);
        list = next;
    }
}

static void unlink_running(pl_hasher *h, const job *j)
{
    for (job **at = &h->running; *at; at = &(*at)->next) {
        if (*at == j) {
            *at = j->next;
            return;
        }
    }
}

/* True: j shares the result of a running job of the same bytes. Holds the lock. */
static bool join_running(pl_hasher *h, job *j)
{
    for (job *r = h->running; r && !j->ask.force; r = r->next) {
        if (r->abandoned || r->ask.force || r->ask.algorithms != j->ask.algorithms ||
            !pl_identity_equal(&r->identity, &j->identity))
            continue;
        j->next = r->joined;
        r->joined = j;
        h->stats.joined++;
        return true;
    }
    return false;
}

static void run_prober(worker *w, job *j, pl_probe_result *result)
{
    if (!w->prober || pl_prober_run(w->prober, j->ask.fd, j->ask.algorithms, result) < 0)
        *result = (pl_probe_result){.outcome = PL_UNREADABLE, .error = ENOMEM, .identity = j->identity};
    set_priority(w, false);
}

/* Reads one job and answers it and all that joined it. False: the monitor gave this worker up. */
static bool work_on(worker *w, job *j)
{
    pl_hasher *h = w->hasher;
    pl_probe_result result = {.outcome = PL_UNREADABLE};
    int error = pl_identity_of_fd(j->ask.fd, &j->identity);
    bool known = false;

    pthread_mutex_lock(&h->lock);
    if (!error && join_running(h, j)) {
        h->stats.running--;
        pthread_mutex_unlock(&h->lock);
        return true;
    }
    j->deadline_ns =
        monotonic_ns() + h->options.stall_ns + (int64_t)(j->identity.size % (UINT64_C(1) << 50)) * NS_PER_BYTE;
    j->next = h->running;
    h->running = j;
    pthread_cond_signal(&h->monitor);
    pthread_mutex_unlock(&h->lock);

    if (error)
        result.error = error;
    else if (!j->ask.force && j->ask.known && j->ask.known(j->ask.context, &j->identity, j->ask.fd, &result))
        known = true;
    else
        run_prober(w, j, &result);

    pthread_mutex_lock(&h->lock);
    unlink_running(h, j);
    bool abandoned = j->abandoned;
    job *joined = j->joined;
    if (!abandoned && !known) {
        h->stats.files_hashed += result.outcome == PL_OK;
        h->stats.failures += result.outcome != PL_OK;
        h->stats.bytes_hashed += result.bytes_read;
    }
    pthread_mutex_unlock(&h->lock);
    if (abandoned) {
        pl_cleanup_close(&j->ask.fd);
        free(j);
        return false;
    }
    answer_all(joined, &result, known);
    if (j->ask.done)
        j->ask.done(j->ask.context, &result, known);
    pl_cleanup_close(&j->ask.fd);
    free(j);
    pthread_mutex_lock(&h->lock);
    h->stats.running--;
    pthread_cond_broadcast(&h->idle);
    pthread_mutex_unlock(&h->lock);
    return true;
}

static job *take_job(pl_hasher *h)
{
    job *j = h->queue;

    h->queue = j->next;
    if (h->urgent_tail == &j->next)
        h->urgent_tail = &h->queue;
    if (h->queue_tail == &j->next)
        h->queue_tail = &h->queue;
    j->next = NULL;
    h->stats.waiting--;
    h->stats.running++;
    return j;
}

static void hasher_destroy(pl_hasher *h)
{
    (void)pthread_mutex_destroy(&h->lock);
    (void)pthread_cond_destroy(&h->work);
    (void)pthread_cond_destroy(&h->monitor);
    (void)pthread_cond_destroy(&h->idle);
    free(h);
}

/* Leaves the pool; holds the lock on entry, not afterwards. */
static void leave(pl_hasher *h, bool counted)
{
    h->threads -= counted;
    bool last = --h->held == 0;
    pthread_cond_broadcast(&h->idle);
    pthread_mutex_unlock(&h->lock);
    if (last)
        hasher_destroy(h);
}

static void *worker_main(void *context)
{
    worker w = {.hasher = context};
    pl_hasher *h = w.hasher;
    pl_prober_options prober = h->options.prober;
    bool mine = true;

    prober.before_read = before_read;
    prober.before_s2 = before_s2;
    prober.hook_context = &w;
    learn_priority(&w);
    (void)pl_prober_new(&prober, &w.prober); /* without one, each job says so */
    pthread_mutex_lock(&h->lock);
    while (mine) {
        while (!h->queue && !h->stopping)
            pthread_cond_wait(&h->work, &h->lock);
        if (!h->queue)
            break;
        job *j = take_job(h);
        pthread_mutex_unlock(&h->lock);
        mine = work_on(&w, j);
        pthread_mutex_lock(&h->lock);
        pthread_cond_broadcast(&h->idle);
    }
    pthread_mutex_unlock(&h->lock);
    (void)pl_prober_free(w.prober);
    pthread_mutex_lock(&h->lock);
    leave(h, mine);
    return NULL;
}

/* Starts one detached thread with every signal blocked. Holds the lock. */
static int start_thread(pl_hasher *h, void *(*run)(void *))
{
    sigset_t all, before;
    pthread_t thread;

    (void)sigfillset(&all);
    (void)pthread_sigmask(SIG_SETMASK, &all, &before);
    int error = pthread_create(&thread, NULL, run, h);
    (void)pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (error)
        return pl_error_errno(PL_ERR_SYSTEM, error, "cannot start a hash thread");
    (void)pthread_detach(thread);
    h->threads++;
    h->held++;
    return 0;
}

/* Answers an overdue job in its worker's place. Holds the lock, drops it for the callbacks. */
static void give_up(pl_hasher *h, job *j)
{
    pl_probe_result result = {.outcome = PL_UNREADABLE, .error = ETIMEDOUT, .identity = j->identity};
    job *joined = j->joined;
    void (*done)(void *, const pl_probe_result *, bool) = j->ask.done;
    void *context = j->ask.context;

    j->abandoned = true; /* from here on the worker frees it and touches nothing of its context */
    j->joined = NULL;
    h->threads--;
    h->stats.running--;
    h->stats.stalled++;
    h->stats.failures++;
    if (h->stats.stalled <= h->options.max_stalled)
        (void)start_thread(h, worker_main);
    pthread_mutex_unlock(&h->lock);
    pl_log_write(h->options.log, PL_LOG_WARNING, "a file of %u:%u inode %llu does not answer: given up",
                 result.identity.dev_major, result.identity.dev_minor, (unsigned long long)result.identity.inode);
    if (done)
        done(context, &result, false);
    answer_all(joined, &result, false);
    pthread_mutex_lock(&h->lock);
    pthread_cond_broadcast(&h->idle);
}

static void *monitor_main(void *context)
{
    pl_hasher *h = context;

    pthread_mutex_lock(&h->lock);
    while (!h->stopping || h->threads > 1) { /* the other one is itself */
        job *oldest = NULL;
        for (job *j = h->running; j; j = j->next)
            if (!j->abandoned && (!oldest || j->deadline_ns < oldest->deadline_ns))
                oldest = j;
        if (oldest && oldest->deadline_ns <= monotonic_ns()) {
            give_up(h, oldest);
            continue;
        }
        if (oldest) {
            struct timespec until = {.tv_sec = oldest->deadline_ns / PL_NS_PER_S,
                                     .tv_nsec = oldest->deadline_ns % PL_NS_PER_S};
            (void)pthread_cond_clockwait(&h->monitor, &h->lock, CLOCK_MONOTONIC, &until);
        } else {
            pthread_cond_wait(h->stopping ? &h->idle : &h->monitor, &h->lock);
        }
    }
    leave(h, true);
    return NULL;
}

int pl_hasher_new(const pl_hasher_options *options, pl_hasher **out)
{
    pl_hasher *h = calloc(1, sizeof(*h));
    long cores = sysconf(_SC_NPROCESSORS_ONLN);
    int r = 0;

    if (!h)
        return pl_error_nomem();
    h->options = *options;
    if (h->options.workers == 0)
        h->options.workers = cores > 0 ? (unsigned)cores : 1;
    if (h->options.max_stalled == 0)
        h->options.max_stalled = DEFAULT_MAX_STALLED;
    if (h->options.queue_limit == 0)
        h->options.queue_limit = DEFAULT_QUEUE_LIMIT;
    if (h->options.stall_ns == 0)
        h->options.stall_ns = DEFAULT_STALL_NS;
    h->queue_tail = h->urgent_tail = &h->queue;
    h->held = 1;
    (void)pthread_mutex_init(&h->lock, NULL);
    (void)pthread_cond_init(&h->work, NULL);
    (void)pthread_cond_init(&h->monitor, NULL);
    (void)pthread_cond_init(&h->idle, NULL);
    pthread_mutex_lock(&h->lock);
    r = start_thread(h, monitor_main);
    for (unsigned i = 0; r == 0 && i < h->options.workers; i++)
        r = start_thread(h, worker_main);
    pthread_mutex_unlock(&h->lock);
    if (r < 0) {
        (void)pl_hasher_free(h);
        return r;
    }
    *out = h;
    return 0;
}

pl_hasher *pl_hasher_free(pl_hasher *h)
{
    static const pl_probe_result never = {.outcome = PL_PENDING};

    if (!h)
        return NULL;
    pthread_mutex_lock(&h->lock);
    h->stopping = true;
    job *waiting = h->queue;
    h->queue = NULL;
    h->queue_tail = h->urgent_tail = &h->queue;
    h->stats.waiting = 0;
    pthread_cond_broadcast(&h->work);
    pthread_cond_broadcast(&h->monitor);
    pthread_mutex_unlock(&h->lock);
    answer_all(waiting, &never, false);
    pthread_mutex_lock(&h->lock);
    while (h->threads > 0)
        pthread_cond_wait(&h->idle, &h->lock);
    leave(h, false);
    return NULL;
}

int pl_hasher_submit(pl_hasher *h, const pl_hash_job *ask)
{
    job *j = calloc(1, sizeof(*j));
    int r = 0;

    if (!j)
        return pl_error_nomem();
    j->ask = *ask;
    pthread_mutex_lock(&h->lock);
    if (h->stats.waiting >= h->options.queue_limit || h->stopping) {
        h->stats.refused++;
        r = PL_ERR_QUEUE_FULL;
    } else {
        job **at = ask->urgent ? h->urgent_tail : h->queue_tail;
        j->next = *at;
        *at = j;
        if (h->queue_tail == at)
            h->queue_tail = &j->next;
        if (ask->urgent)
            h->urgent_tail = &j->next;
        h->stats.waiting++;
        pthread_cond_signal(&h->work);
    }
    pthread_mutex_unlock(&h->lock);
    if (r < 0) {
        free(j);
        return pl_error_set(r, "the hash queue is full");
    }
    return 0;
}

void pl_hasher_stats_get(pl_hasher *h, pl_hasher_stats *out)
{
    pthread_mutex_lock(&h->lock);
    *out = h->stats;
    pthread_mutex_unlock(&h->lock);
}

void pl_hasher_drain(pl_hasher *h)
{
    pthread_mutex_lock(&h->lock);
    while (h->stats.waiting || h->stats.running)
        pthread_cond_wait(&h->idle, &h->lock);
    pthread_mutex_unlock(&h->lock);
}

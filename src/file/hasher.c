/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The hash workers. Owns threads, queue and the descriptors of queued jobs; knows a path only as what a
 * worker is to open; no cache, no ledger.
 *
 * Threads are detached and counted: one that hangs in the kernel (FUSE, dead NFS) cannot be joined, so whoever leaves
 * last frees the pool. A monitor wakes when the oldest silence is due, answers that job in the worker's place and
 * starts another worker. What may hang lies between enter_call and leave_call, and nowhere else; in between a worker
 * touches neither the job's context nor anything of the owner's.
 *
 * Invariants: every submitted job is answered exactly once; a job is in one place: queue, running list, or joined to a
 * running job; nobody is given bytes that were read before he asked, unless they are proven to be those of the identity
 * that he saw; callbacks run without the lock. `lock` guards every field below it and those of running jobs.
 */
#include "src/file/hasher.h"

#include "src/base/cleanup.h"
#include "src/base/error.h"
#include "src/base/lock.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <time.h>

#define DEFAULT_QUEUE_LIMIT 4096
#define DEFAULT_MAX_STALLED 8
#define DEFAULT_STALL_NS (30 * PL_NS_PER_S)
#define FORBIDDEN_MAX 8
#define IOPRIO_WHO_PROCESS 1
#define IOPRIO_IDLE (3 << 13) /* ioprio_set(2): class idle */
#define IOPRIO_NONE 0

typedef struct job {
    pl_hash_job ask;
    char *path; /* our own, not the caller's: a worker that hangs in a walk keeps it */
    pl_identity identity;
    int64_t asked_ns;   /* CLOCK_MONOTONIC of the question */
    int64_t reading_ns; /* and of the beginning of the read */
    bool identified;    /* identity is there: others may join */
    bool calling;       /* in a call that may hang */
    bool answered;      /* done was called; only closing is left */
    bool abandoned;     /* the monitor gave its worker up: nothing of ask.context may be touched any more */
    struct job *joined; /* jobs that share the result, linked by next */
    struct job *next;
    struct worker *worker; /* while it runs */
} job;

struct pl_hasher {
    pl_hasher_options options;
    pthread_mutex_t lock;
    pthread_cond_t work;    /* queue or stopping changed */
    pthread_cond_t monitor; /* somebody runs again, stopping, or the last worker left */
    pthread_cond_t idle;    /* a job or a thread ended */
    job *queue, **queue_tail, **urgent_tail;
    job *running;
    bool stopping, monitor_rests;
    unsigned workers; /* that are not given up */
    unsigned hung;    /* given up and not back yet */
    unsigned held;    /* threads of any kind that still touch this memory, and the owner */
    pl_hasher_stats stats;
};

/* One worker's own; the monitor looks at the two atomics of one that runs. */
typedef struct worker {
    pl_hasher *hasher;
    pl_prober *prober;
    atomic_bool cancel;
    _Atomic int64_t progress_ns; /* CLOCK_MONOTONIC, as the monitor waits on that */
    pid_t tid;
    int nice; /* at normal priority */
    bool may_renice, low;
} worker;

static int64_t monotonic_ns(void)
{
    struct timespec now = {0};

    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * PL_NS_PER_S + now.tv_nsec;
}

/* ---- priority ---- */

static void set_priority(worker *w, bool low)
{
    if (!w->hasher->options.low_priority || w->low == low)
        return;
    if (w->may_renice)
        (void)setpriority(PRIO_PROCESS, (id_t)w->tid, low ? 19 : w->nice);
    (void)syscall(SYS_ioprio_set, IOPRIO_WHO_PROCESS, w->tid, low ? IOPRIO_IDLE : IOPRIO_NONE);
    w->low = low;
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

static void on_probe(void *context, pl_probe_event event)
{
    worker *w = context;

    switch (event) {
    case PL_PROBE_PROBING:
        set_priority(w, false); /* a stopped holder of a lease blocks writers */
        break;
    case PL_PROBE_READING:
        set_priority(w, true);
        break;
    case PL_PROBE_STEP:
        atomic_store_explicit(&w->progress_ns, monotonic_ns(), memory_order_relaxed);
        break;
    }
}

/* ---- one job ---- */

/* From here on the worker may hang, and the monitor watches it. */
static void enter_call(worker *w, job *j)
{
    pl_hasher *h = w->hasher;

    pthread_mutex_lock(&h->lock);
    atomic_store_explicit(&w->progress_ns, monotonic_ns(), memory_order_relaxed);
    j->calling = true;
    if (h->monitor_rests) {
        h->monitor_rests = false;
        pthread_cond_signal(&h->monitor);
    }
    pthread_mutex_unlock(&h->lock);
}

/* False: given up meanwhile; only the job's own memory and descriptor are left to be cleaned up. */
static bool leave_call(worker *w, job *j)
{
    pl_hasher *h = w->hasher;

    pthread_mutex_lock(&h->lock);
    j->calling = false;
    bool mine = !j->abandoned;
    pthread_mutex_unlock(&h->lock);
    return mine;
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
        if (r == j || !r->identified || r->answered || r->abandoned || r->ask.force ||
            r->ask.algorithms != j->ask.algorithms || !pl_identity_equal(&r->identity, &j->identity))
            continue;
        unlink_running(h, j);
        j->next = r->joined;
        r->joined = j;
        h->stats.joined++;
        h->stats.running--;
        return true;
    }
    j->identified = true;
    return false;
}

static void answer(const job *j, const pl_probe_result *result, bool was_known)
{
    pl_probe_result own;

    /* Who joined a job that needed no read asks for itself: its own path is news to whoever remembers. */
    if (was_known && j->ask.known && j->ask.known(j->ask.context, &result->identity, j->ask.fd, &own))
        result = &own;
    if (j->ask.done)
        j->ask.done(j->ask.context, result, was_known);
}

static void job_free(job *j)
{
    pl_cleanup_close(&j->ask.fd);
    pl_cleanup_close(&j->ask.root_fd);
    free(j->path);
    free(j);
}

static void close_all(job *list)
{
    while (list) {
        job *next = list->next;
        job_free(list);
        list = next;
    }
}

static void answer_and_close(job *list, const pl_probe_result *result)
{
    for (const job *j = list; j; j = j->next)
        answer(j, result, false);
    close_all(list);
}

/* Opens what a path or an O_PATH descriptor names. A descriptor, -1 when ask.fd can be read as it is, or -2: result says
 * why not. */
static int open_pinned(const job *j, const pl_identity *forbidden, size_t n, pl_probe_result *result)
{
    pl_auto_close int walked = j->path ? pl_pin_below(j->ask.root_fd, j->path) : -1;
    int pinned = j->path ? walked : j->ask.fd;

    if (j->path && walked < 0) {
        result->outcome = errno == ENOENT || errno == ENOTDIR || errno == ESTALE ? PL_VANISHED : PL_UNREADABLE;
        result->error = errno;
        return -2;
    }
    int flags = fcntl(pinned, F_GETFL);
    if (flags < 0 || !(flags & O_PATH))
        return -1;
    int fd = pl_pin_named(pinned, forbidden, n, &result->outcome, &result->error);
    return fd >= 0 ? fd : -2;
}

/* Opens and identifies the file. 1: go on; 0: *result is the answer; -1: given up. */
static int find_out(worker *w, job *j, pl_probe_result *result)
{
    pl_identity forbidden[FORBIDDEN_MAX], identity = {0};
    size_t n = j->ask.forbidden ? j->ask.forbidden(j->ask.context, forbidden, FORBIDDEN_MAX) : 0;

    enter_call(w, j); /* from here to leave_call the monitor may read *j: nothing of it is written */
    pl_auto_close int opened = open_pinned(j, forbidden, n, result);
    int error = opened == -2 ? 0 : pl_identity_of_fd(opened >= 0 ? opened : j->ask.fd, &identity);
    if (!leave_call(w, j))
        return -1;
    if (opened == -2)
        return 0;
    j->identity = identity;
    if (opened >= 0) {
        pl_cleanup_close(&j->ask.fd); /* O_PATH: closing it asks nobody */
        j->ask.fd = pl_steal_fd(&opened);
    }
    if (error)
        *result = (pl_probe_result){.outcome = PL_UNREADABLE, .error = error};
    return !error;
}

/* Reads the file. False: given up. */
static bool read_file(worker *w, job *j, pl_probe_result *result)
{
    int rc = PL_ERR_NOMEM;

    j->reading_ns = monotonic_ns();
    enter_call(w, j);
    if (w->prober)
        rc = pl_prober_run(w->prober, j->ask.fd, j->ask.algorithms, result);
    if (!leave_call(w, j))
        return false;
    set_priority(w, false);
    if (rc < 0)
        *result = (pl_probe_result){.outcome = PL_UNREADABLE, .error = ENOMEM, .identity = j->identity};
    return true;
}

static void put_first(pl_hasher *h, job *j)
{
    j->next = h->queue;
    h->queue = j;
    if (h->queue_tail == &h->queue)
        h->queue_tail = &j->next;
    if (j->ask.urgent && h->urgent_tail == &h->queue)
        h->urgent_tail = &j->next;
    h->stats.waiting++;
    pthread_cond_signal(&h->work);
}

/*
 * Of those that joined j, the ones that may have its result; the others go back to the head of the queue, for a read of
 * their own. Without a proof an equal identity is not enough: a store through a mapping that was dirty already moves no
 * ctime, so bytes that were read before the question may be older than what the questioner had seen written. A read that
 * began after the question is the questioner's own. Holds the lock.
 */
static job *take_joined(pl_hasher *h, job *j, const pl_probe_result *result)
{
    bool proven = result->outcome != PL_OK || result->uncached == PL_CACHEABLE;
    job *joined = j->joined;

    j->joined = NULL;
    for (job **at = &joined; !proven && *at;) {
        job *other = *at;
        if (other->asked_ns < j->reading_ns) {
            at = &other->next;
            continue;
        }
        *at = other->next;
        other->identified = false;
        put_first(h, other);
    }
    return joined;
}

static void close_descriptors(job *j, job *joined)
{
    int fd = pl_steal_fd(&j->ask.fd);

    pl_cleanup_close(&fd);
    for (job *other = joined; other; other = other->next) {
        fd = pl_steal_fd(&other->ask.fd);
        pl_cleanup_close(&fd);
    }
}

/* Answers j and all that joined it, then closes. False: closing hung and the worker was given up. */
static bool finish(worker *w, job *j, const pl_probe_result *result, bool known)
{
    static const pl_probe_result proven = {.uncached = PL_CACHEABLE};
    pl_hasher *h = w->hasher;
    /* Who has the answer may unmount the file system. Only where closing could hang does the answer come first. */
    bool close_first = result->fs.tier != PL_TIER_C || result->fs.magic == TMPFS_MAGIC;

    pthread_mutex_lock(&h->lock);
    if (!known) {
        h->stats.files_hashed += result->outcome == PL_OK;
        h->stats.failures += result->outcome != PL_OK;
        h->stats.bytes_hashed += result->bytes_read;
    }
    pthread_mutex_unlock(&h->lock);
    if (close_first)
        close_descriptors(j, NULL);
    if (j->ask.done)
        j->ask.done(j->ask.context, result, known);
    /* Only now: who comes while the answer is being remembered joins, and does not read again. */
    pthread_mutex_lock(&h->lock);
    j->answered = true;
    job *joined = take_joined(h, j, known ? &proven : result);
    pthread_mutex_unlock(&h->lock);
    if (close_first)
        close_descriptors(j, joined);
    for (const job *other = joined; other; other = other->next)
        answer(other, result, known);
    int fd = pl_steal_fd(&j->ask.fd), root_fd = pl_steal_fd(&j->ask.root_fd);
    enter_call(w, j);
    close_all(joined);
    pl_cleanup_close(&fd);
    pl_cleanup_close(&root_fd);
    if (!leave_call(w, j))
        return false;
    pthread_mutex_lock(&h->lock);
    unlink_running(h, j);
    h->stats.running--;
    pthread_cond_broadcast(&h->idle);
    pthread_mutex_unlock(&h->lock);
    job_free(j);
    return true;
}

/* Works on one job to its end. False: the monitor gave this worker up and answered in its place. */
static bool work_on(worker *w, job *j)
{
    pl_hasher *h = w->hasher;
    pl_probe_result result = {.outcome = PL_UNREADABLE};
    bool known = false;
    int found = find_out(w, j, &result);

    if (found > 0) {
        pthread_mutex_lock(&h->lock);
        bool joined = join_running(h, j);
        pthread_mutex_unlock(&h->lock);
        if (joined)
            return true;
        known = !j->ask.force && j->ask.known && j->ask.known(j->ask.context, &j->identity, j->ask.fd, &result);
        if (!known && !read_file(w, j, &result))
            found = -1;
    }
    if (found >= 0 && finish(w, j, &result, known))
        return true;
    pthread_mutex_lock(&h->lock);
    unlink_running(h, j);
    pthread_mutex_unlock(&h->lock);
    job_free(j);
    return false;
}

/* ---- threads ---- */

static job *take_job(pl_hasher *h, worker *w)
{
    job *j = h->queue;

    h->queue = j->next;
    if (h->urgent_tail == &j->next)
        h->urgent_tail = &h->queue;
    if (h->queue_tail == &j->next)
        h->queue_tail = &h->queue;
    j->worker = w;
    j->next = h->running;
    h->running = j;
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
static void leave(pl_hasher *h)
{
    bool last = --h->held == 0;

    pthread_cond_broadcast(&h->idle);
    pthread_cond_signal(&h->monitor);
    pthread_mutex_unlock(&h->lock);
    if (last)
        hasher_destroy(h);
}

/* A worker that was given up and came back: its place may be free. Holds the lock. */
static bool take_up_again(pl_hasher *h, worker *w)
{
    h->hung--;
    atomic_store(&w->cancel, false);
    if (h->stopping || h->workers >= h->options.workers)
        return false;
    h->workers++;
    return true;
}

static void *worker_main(void *context)
{
    worker w = {.hasher = context};
    pl_hasher *h = w.hasher;
    pl_prober_options prober = h->options.prober;
    bool mine = true;

    prober.cancel = &w.cancel;
    prober.notify = on_probe;
    prober.notify_context = &w;
    learn_priority(&w);
    (void)pl_prober_new(&prober, &w.prober); /* without one, each job says so */
    pthread_mutex_lock(&h->lock);
    while (mine) {
        while (!h->queue && !h->stopping)
            pthread_cond_wait(&h->work, &h->lock);
        if (!h->queue)
            break;
        job *j = take_job(h, &w);
        pthread_mutex_unlock(&h->lock);
        mine = work_on(&w, j);
        pthread_mutex_lock(&h->lock);
        if (!mine)
            mine = take_up_again(h, &w);
    }
    pthread_mutex_unlock(&h->lock);
    (void)pl_prober_free(w.prober);
    pl_digest_thread_stop();
    pthread_mutex_lock(&h->lock);
    h->workers -= mine;
    leave(h);
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
    h->held++;
    return 0;
}

static int start_worker(pl_hasher *h)
{
    int r = start_thread(h, worker_main);

    h->workers += r == 0;
    return r;
}

/* Gives the worker of j up and answers in its place; with nobody left to work, answers all that waits too. Holds the
 * lock, drops it for the callbacks. */
static void give_up(pl_hasher *h, job *j)
{
    pl_probe_result result = {.outcome = PL_UNREADABLE, .error = ETIMEDOUT, .identity = j->identity};
    job *others = j->joined, *waiting = NULL;
    job asked = {.ask = j->ask};
    bool answered = j->answered;

    atomic_store(&j->worker->cancel, true);
    j->abandoned = true;
    j->joined = NULL;
    h->workers--;
    h->hung++;
    h->stats.running--;
    h->stats.stalled++;
    h->stats.failures += !answered;
    if (h->hung <= h->options.max_stalled)
        (void)start_worker(h); /* without memory for one: the others go on alone */
    if (h->workers == 0) {
        waiting = h->queue;
        h->queue = NULL;
        h->queue_tail = h->urgent_tail = &h->queue;
        h->stats.failures += h->stats.waiting;
        h->stats.waiting = 0;
    }
    pthread_mutex_unlock(&h->lock);
    pl_log_write(h->options.log, PL_LOG_WARNING, "a file of device %u:%u, inode %llu does not answer: given up",
                 result.identity.dev_major, result.identity.dev_minor, (unsigned long long)result.identity.inode);
    if (!answered)
        answer(&asked, &result, false);
    answer_and_close(others, &result);
    result.identity = (pl_identity){0};
    answer_and_close(waiting, &result);
    pthread_mutex_lock(&h->lock);
    pthread_cond_broadcast(&h->idle);
}

/* The running job that has been silent for longest; NULL: none is in a call. Holds the lock. */
static job *most_silent(const pl_hasher *h, int64_t *since_ns)
{
    job *oldest = NULL;

    for (job *j = h->running; j; j = j->next) {
        if (!j->calling || j->abandoned)
            continue;
        int64_t progress = atomic_load_explicit(&j->worker->progress_ns, memory_order_relaxed);
        if (!oldest || progress < *since_ns) {
            oldest = j;
            *since_ns = progress;
        }
    }
    return oldest;
}

static void *monitor_main(void *context)
{
    pl_hasher *h = context;

    pthread_mutex_lock(&h->lock);
    while (!h->stopping || h->workers > 0) {
        int64_t since = 0;
        job *oldest = most_silent(h, &since);
        if (!oldest) {
            h->monitor_rests = true;
            pthread_cond_wait(&h->monitor, &h->lock);
            h->monitor_rests = false;
            continue;
        }
        /* Whoever makes a call after this one is due later: nobody needs to wake the monitor for it. */
        int64_t due = since + h->options.stall_ns;
        if (due <= monotonic_ns()) {
            give_up(h, oldest);
            continue;
        }
        struct timespec until = {.tv_sec = due / PL_NS_PER_S, .tv_nsec = due % PL_NS_PER_S};
        (void)pthread_cond_clockwait(&h->monitor, &h->lock, CLOCK_MONOTONIC, &until);
    }
    leave(h);
    return NULL;
}

/* ---- the public face ---- */

int pl_hasher_new(const pl_hasher_options *options, pl_hasher **out)
{
    pl_hasher *h = calloc(1, sizeof(*h));
    long cores = sysconf(_SC_NPROCESSORS_ONLN);

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
    pl_lock_init(&h->lock, h->options.low_priority);
    (void)pthread_cond_init(&h->work, NULL);
    (void)pthread_cond_init(&h->monitor, NULL);
    (void)pthread_cond_init(&h->idle, NULL);
    pthread_mutex_lock(&h->lock);
    int r = start_thread(h, monitor_main);
    for (unsigned i = 0; r == 0 && i < h->options.workers; i++)
        r = start_worker(h);
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
    pthread_cond_signal(&h->monitor);
    pthread_mutex_unlock(&h->lock);
    answer_and_close(waiting, &never);
    pthread_mutex_lock(&h->lock);
    /* Everybody but the owner and those who hang: they find their way out alone. */
    while (h->held > 1 + h->hung)
        pthread_cond_wait(&h->idle, &h->lock);
    leave(h);
    return NULL;
}

int pl_hasher_submit(pl_hasher *h, const pl_hash_job *ask)
{
    job *j = calloc(1, sizeof(*j));

    if (!j)
        return pl_error_nomem();
    if (ask->path && !(j->path = strdup(ask->path))) {
        free(j);
        return pl_error_nomem();
    }
    j->ask = *ask;
    j->asked_ns = monotonic_ns();
    j->ask.path = NULL;
    if (!ask->path)
        j->ask.root_fd = -1;
    pthread_mutex_lock(&h->lock);
    bool taken = h->stats.waiting < h->options.queue_limit && !h->stopping && h->workers > 0;
    if (taken) {
        job **at = ask->urgent ? h->urgent_tail : h->queue_tail;
        j->next = *at;
        *at = j;
        if (h->queue_tail == at)
            h->queue_tail = &j->next;
        if (ask->urgent)
            h->urgent_tail = &j->next;
        h->stats.waiting++;
        pthread_cond_signal(&h->work);
    } else {
        h->stats.refused++;
    }
    pthread_mutex_unlock(&h->lock);
    if (taken)
        return 0;
    free(j->path);
    free(j);
    return pl_error_set(PL_ERR_QUEUE_FULL, "the hash queue is full");
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

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Puts the rooms together and turns the crank. Owns the writer, resolve, tracker (with a thread of its own), recorder and
 * source, in this order of birth and the reverse order of death: resolve's callbacks need recorder, tracker and writer,
 * the recorder needs the writer.
 *
 * The order at the start keeps the record whole: the source is opened first (events queue up in the kernel),
 * then the last run is closed, then what lives already is recorded, then the queued events are read; what
 * both saw is recognised by process and image.
 */
#include "tools/procledgerd/daemon.h"

#include "src/base/cleanup.h"
#include "src/base/error.h"
#include "src/base/notify.h"
#include "src/base/text.h"
#include "tools/procledgerd/live.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/timerfd.h>
#include <sys/utsname.h>

#define SWEEP_S 10
#define DESCRIPTORS_WANTED 65536 /* pinned executables wait for their hash */
#define DESCRIPTORS_OWN 32       /* of the daemon itself and for reading one process */
#define PINS_MAX 4096

#define MAX_FILE_SIZE (UINT64_C(4) << 30) /* a sparse file of terabytes costs its maker nothing, and a worker days */
#define TRACKER_END_S 10
#define DAY_NS (INT64_C(86400) * PL_NS_PER_S)
/* That a path was seen reaches the ledger minutes later, after a suspend at the next look at all paths: until then its
 * row is not ended. It is not served either: that is judged when it is read. */
#define EXPIRY_SLACK_NS (INT64_C(1200) * PL_NS_PER_S)
#define PROGRESS_NS (INT64_C(200) * PL_NS_PER_MS)

enum { POLL_SOURCE, POLL_HASHES, POLL_SIGNAL, POLL_SWEEP, POLL_RETRY, POLL_CLOCK, POLL_PROGRESS, POLL_COUNT };

/* The PATH that a Debian system, and systemd, give to everybody: not the one of whoever started us. */
static const char *const system_path[] = {"/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin",
                                          "/sbin",           "/bin",           NULL};

struct pl_daemon {
    const pl_daemon_options *options;
    const pl_log *log;
    char *db;
    char boot_id[PL_BOOT_ID_SIZE];
    uint64_t mnt_ns; /* our own mount namespace; 0: not known */
    pl_writer *writer;
    pl_resolve *resolve;
    pl_watcher *watcher; /* until the tracker takes it over */
    pl_tracker *tracker; /* NULL: no checksums, nothing to track */
    pthread_t tracking;
    bool is_tracking; /* the thread runs */
    bool shows_progress;
    pl_recorder *recorder;
    pl_source *source;
    struct pollfd polls[POLL_COUNT];
    size_t pins; /* files that may wait for their hash: each takes two descriptors at most */
    pl_live live;
    bool run_open, stopped;
};

static int timer_new(clockid_t clock, int flags, time_t first_s, time_t interval_s)
{
    struct itimerspec spec = {.it_value.tv_sec = first_s, .it_interval.tv_sec = interval_s};
    pl_auto_close int fd = timerfd_create(clock, TFD_CLOEXEC | TFD_NONBLOCK);

    if (fd < 0 || timerfd_settime(fd, flags, &spec, NULL) < 0)
        return -1;
    return pl_steal_fd(&fd);
}

static int arm_clock_watch(int fd)
{
    /* Fires never; its read fails with ECANCELED when somebody sets the clock (timerfd_create(2)). */
    struct itimerspec spec = {.it_value.tv_sec = INT32_MAX};

    return timerfd_settime(fd, TFD_TIMER_ABSTIME | TFD_TIMER_CANCEL_ON_SET, &spec, NULL);
}

static int open_descriptors(pl_daemon *d)
{
    sigset_t signals;

    (void)sigemptyset(&signals);
    (void)sigaddset(&signals, SIGTERM);
    (void)sigaddset(&signals, SIGINT);
    (void)sigaddset(&signals, SIGHUP);
    d->polls[POLL_SIGNAL].fd = signalfd(-1, &signals, SFD_CLOEXEC | SFD_NONBLOCK);
    d->polls[POLL_SWEEP].fd = timer_new(CLOCK_BOOTTIME, 0, SWEEP_S, SWEEP_S);
    d->polls[POLL_RETRY].fd = timer_new(CLOCK_BOOTTIME, 0, 0, 0);
    d->polls[POLL_CLOCK].fd = timerfd_create(CLOCK_REALTIME, TFD_CLOEXEC | TFD_NONBLOCK);
    d->polls[POLL_PROGRESS].fd = timer_new(CLOCK_MONOTONIC, 0, 0, 0);
    if (d->polls[POLL_PROGRESS].fd < 0 || d->polls[POLL_SIGNAL].fd < 0 || d->polls[POLL_SWEEP].fd < 0 ||
        d->polls[POLL_RETRY].fd < 0 || d->polls[POLL_CLOCK].fd < 0 || arm_clock_watch(d->polls[POLL_CLOCK].fd) < 0)
        return pl_error_errno(PL_ERR_SYSTEM, errno, "cannot open the event loop's descriptors");
    return 0;
}

static int open_ledger(pl_daemon *d)
{
    pl_store_options recording = {.mode = PL_STORE_RECORDER, .log = d->log};
    int64_t path_ttl_ns = d->options->path_ttl_ns ? d->options->path_ttl_ns : DAY_NS;
    /* A miss of the hot cache reads a handful of pages, which the kernel has. */
    pl_store_options reading = {.mode = PL_STORE_READ, .cache_kib = 256, .log = d->log};
    pl_writer_options writer = {.retain_ns = d->options->retain_ns,
                                .max_db_size = d->options->max_db_size,
                                .path_ttl_ns = path_ttl_ns + EXPIRY_SLACK_NS};
    pl_resolve_options resolve = {
        .log = d->log,
        .path_ttl_ns = d->options->path_ttl_ns,
        .algorithms = d->options->algorithms,
        .event_path = true,
        .reuse_across_reboot = d->options->reuse_across_reboot,
        .max_file_size = MAX_FILE_SIZE,
        .queue_limit = d->pins,
        .retry_limit = d->pins / 8,
    };
    pl_store *store = NULL;

    int r = pl_store_open(d->db, &recording, &store);
    if (r < 0)
        return r;
    r = pl_writer_new(store, &writer, &d->writer);
    if (r < 0) {
        (void)pl_store_close(store);
        return r;
    }
    r = pl_store_open(d->db, &reading, &resolve.reader);
    if (r < 0)
        return r;
    resolve.writer = d->writer;
    memcpy(resolve.boot_id, d->boot_id, sizeof(resolve.boot_id));
    r = pl_resolve_new(&resolve, &d->resolve);
    if (r < 0)
        (void)pl_store_close(resolve.reader);
    return r;
}

/* While there is one thread: see pl_watcher_new. */
static void open_watcher(pl_daemon *d)
{
    pl_watcher_options watcher = {.log = d->log};

    if (d->options->hashing && pl_watcher_new(&watcher, &d->watcher) < 0)
        pl_log_write(d->log, PL_LOG_WARNING, "no inotify (%s): changes are found within a minute", pl_error_message());
}

static int open_tracker(pl_daemon *d)
{
    bool asked = d->options->watch[0] || d->options->no_watch;

    if (!d->options->hashing)
        return 0;
    pl_tracker_options tracker = {
        .resolve = d->resolve,
        .writer = d->writer,
        .watcher = d->watcher,
        .clock = pl_clock_system(),
        .log = d->log,
        .procfs = "/proc",
        .mnt_ns = d->mnt_ns,
        .path_ttl_ns = d->options->path_ttl_ns,
        .folders = asked ? (const char *const *)d->options->watch : system_path,
        .default_folders = !asked,
        .ignore = (const char *const *)d->options->ignore,
    };
    int r = pl_tracker_new(&tracker, &d->tracker);
    if (r == 0)
        d->watcher = NULL;
    return r;
}

static void arm_progress(pl_daemon *d)
{
    struct itimerspec spec = {.it_value.tv_nsec = PROGRESS_NS};

    (void)timerfd_settime(d->polls[POLL_PROGRESS].fd, 0, &spec, NULL);
}

static int start_tracking(pl_daemon *d)
{
    sigset_t all, before;

    if (!d->tracker)
        return 0;
    (void)sigfillset(&all);
    (void)pthread_sigmask(SIG_SETMASK, &all, &before);
    int error = pthread_create(&d->tracking, NULL, pl_tracker_run, d->tracker);
    (void)pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (error)
        return pl_error_errno(PL_ERR_SYSTEM, error, "cannot start the tracker's thread");
    d->is_tracking = true;
    arm_progress(d);
    return 0;
}

static void stop_tracking(pl_daemon *d)
{
    if (!d->is_tracking)
        return;
    struct timespec until = {0};
    pl_tracker_stop(d->tracker);
    (void)clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += TRACKER_END_S;
    if (pthread_timedjoin_np(d->tracking, NULL, &until) == 0) {
        d->is_tracking = false;
        return;
    }
    /* It hangs in a file system that answers nobody. All that is to be committed does not need it; its memory is left to
     * the end of the process. */
    pl_log_write(d->log, PL_LOG_WARNING, "the tracker does not answer and is left behind");
    (void)pthread_detach(d->tracking);
}

static void source_options(pl_daemon *d, pl_source_options *out)
{
    *out = (pl_source_options){
        .procfs = {.root = "/proc", .pin = d->options->hashing},
        .clock = pl_clock_system(),
        .log = d->log,
        .pins = d->pins,
        .event = pl_recorder_event,
        .known = pl_recorder_known,
        .context = d->recorder,
    };
}

static int open_recorder(pl_daemon *d)
{
    pl_recorder_options recorder = {
        .resolve = d->resolve,
        .writer = d->writer,
        .tracker = d->tracker,
        .clock = pl_clock_system(),
        .log = d->log,
        .procfs = {.root = "/proc"},
        .argv_mode = d->options->argv_mode,
        .ignore = (const char *const *)d->options->ignore,
        .hashing = d->options->hashing,
        .pid_ttl_ns = d->options->pid_ttl_ns,
        .live = d->options->live ? pl_live_print : NULL,
        .context = &d->live,
    };
    pl_source_options source;
    char why[512] = "";

    int r = pl_recorder_new(&recorder, &d->recorder);
    if (r < 0)
        return r;
    source_options(d, &source);
    r = pl_source_open(d->options->source, &source, &d->source, why, sizeof(why));
    if (r == 0)
        pl_log_write(d->log, PL_LOG_INFO, "source %s", why[0] ? why : d->source->class->name);
    return r;
}

/* The list as one text for `about`, a line each; "" for none. */
static char *join(char *const *list)
{
    size_t size = 1;

    for (size_t i = 0; list[i]; i++)
        size += strlen(list[i]) + 1;
    char *text = calloc(1, size), *at = text;
    for (size_t i = 0; text && list[i]; i++) {
        if (i)
            *at++ = '\n';
        at = stpcpy(at, list[i]);
    }
    return text;
}

static void read_line(const char *path, char *out, size_t size)
{
    pl_auto_fclose FILE *file = fopen(path, "re");

    out[0] = '\0';
    if (file && fgets(out, (int)size, file))
        out[strcspn(out, "\n")] = '\0';
}

static int begin_run(pl_daemon *d)
{
    static const char *const modes[] = {[PL_ARGV_FULL] = "full", [PL_ARGV_REDACT] = "redact", [PL_ARGV_OFF] = "off"};
    static const pl_algorithm all[] = {PL_SHA256, PL_MD5, PL_SHA1, PL_SHA512};
    char machine_id[64], algorithms[64] = "", *at = algorithms;
    struct utsname host;
    pl_auto_free char *ignored = join(d->options->ignore);

    if (!ignored)
        return pl_error_nomem();
    read_line("/etc/machine-id", machine_id, sizeof(machine_id));
    (void)uname(&host);
    for (size_t i = 0; d->options->hashing && i < sizeof(all) / sizeof(*all); i++)
        if ((d->options->algorithms | PL_SHA256) & all[i])
            at += snprintf(at, sizeof(algorithms) - (size_t)(at - algorithms), "%s%s", i ? "," : "",
                           pl_algorithm_name(all[i]));
    pl_run run = {
        .version = PROCLEDGER_VERSION,
        .source = d->source->class->name,
        .boot_id = d->boot_id,
        .hostname = host.nodename,
        .machine_id = machine_id,
        .kernel = host.release,
        .argv_mode = modes[d->options->argv_mode],
        .ignored = ignored,
        .algorithms = algorithms[0] ? algorithms : "none",
        .time_ns = pl_clock_realtime_ns(pl_clock_system()),
        .alive = pl_recorder_is_alive,
        .adopt = pl_recorder_adopt,
        .context = d->recorder,
    };
    int r = pl_writer_run_begin(d->writer, &run);
    d->run_open = r == 0;
    return r;
}

/* Nothing is in a hurry yet: with the queue full, what lives already waits its turn. */
static void on_snapshot(void *context, pl_event *event)
{
    pl_daemon *d = context;

    if (pl_resolve_backlog(d->resolve) >= d->pins)
        pl_resolve_drain(d->resolve);
    pl_recorder_event(d->recorder, event);
}

static int take_snapshot(pl_daemon *d)
{
    pl_source_options source;

    source_options(d, &source);
    source.event = on_snapshot;
    source.context = d;
    pl_recorder_set_source(d->recorder, PL_EVENTS_SNAPSHOT, "snapshot");
    int r = pl_source_snapshot(&source);
    pl_recorder_adoption_done(d->recorder);
    const pl_source_class *class = d->source->class;
    pl_recorder_set_source(d->recorder,
                           class == &pl_source_bpf    ? PL_EVENTS_BPF
                           : class == &pl_source_scan ? PL_EVENTS_SCAN
                                                      : PL_EVENTS_NETLINK,
                           class->name);
    return r;
}

/* Raises the limit as far as allowed. Returns how many files may be pinned within it. */
static size_t raise_descriptor_limit(const pl_log *log)
{
    struct rlimit limit = {0};

    (void)getrlimit(RLIMIT_NOFILE, &limit);
    rlim_t now = limit.rlim_cur;
    limit.rlim_cur = limit.rlim_max < DESCRIPTORS_WANTED ? limit.rlim_max : DESCRIPTORS_WANTED;
    if (now < limit.rlim_cur && setrlimit(RLIMIT_NOFILE, &limit) < 0)
        pl_log_write(log, PL_LOG_WARNING, "cannot raise the descriptor limit: %s", strerror(errno));
    else if (now < limit.rlim_cur)
        now = limit.rlim_cur;
    size_t pins = now > DESCRIPTORS_OWN ? (size_t)(now - DESCRIPTORS_OWN) / 2 : 0;
    return pins < 1 ? 1 : pins < PINS_MAX ? pins : PINS_MAX;
}

/*
 * What is not read from /proc within the life of a process is never known. At normal priority the event loop is woken
 * on the very core that the new process runs on and waits its turn: of 3,000 runs of /bin/true half were gone, and the
 * storm took half as long again; as the least of the real-time threads it missed none, at no measurable cost. Threads
 * started from here on (a hash worker in place of a hung one) do not inherit it. It never waits for disks or hashes, so
 * it cannot hold a core.
 */
static void raise_priority(const pl_log *log)
{
    struct sched_param least = {.sched_priority = sched_get_priority_min(SCHED_FIFO)};

    if (sched_setscheduler(0, SCHED_FIFO | SCHED_RESET_ON_FORK, &least) == 0)
        return;
    int error = errno;
    if (setpriority(PRIO_PROCESS, 0, -10) < 0)
        pl_log_write(log, PL_LOG_INFO, "no real-time priority (%s): quick processes may be gone before they are read",
                     strerror(error));
}

static int choose_db(pl_daemon *d)
{
    if (!d->options->db) {
        int r = pl_store_default_path(&d->db);
        return r < 0 ? r : pl_store_prepare_folder(d->db);
    }
    d->db = strdup(d->options->db);
    return d->db ? 0 : pl_error_nomem();
}

int pl_daemon_new(const pl_daemon_options *options, const pl_log *log, pl_daemon **out)
{
    pl_daemon *d = calloc(1, sizeof(*d));

    if (!d)
        return pl_error_nomem();
    d->options = options;
    d->log = log;
    for (size_t i = 0; i < POLL_COUNT; i++)
        d->polls[i] = (struct pollfd){.fd = -1, .events = POLLIN};
    d->pins = raise_descriptor_limit(log);
    pl_identity ns = {0};
    (void)pl_identity_of_path(AT_FDCWD, "/proc/self/ns/mnt", true, &ns);
    d->mnt_ns = ns.inode;
    int r = choose_db(d);
    if (r == 0)
        r = pl_boot_id_read("/proc", d->boot_id);
    if (r == 0)
        r = open_descriptors(d);
    if (r == 0)
        open_watcher(d);
    if (r == 0)
        r = open_ledger(d);
    if (r == 0)
        r = open_tracker(d);
    if (r == 0)
        r = open_recorder(d);
    if (r == 0)
        r = begin_run(d);
    if (r == 0)
        r = start_tracking(d);
    if (r == 0)
        r = take_snapshot(d);
    if (r < 0) {
        (void)pl_daemon_free(d);
        return r;
    }
    d->polls[POLL_SOURCE].fd = d->source->class->fd(d->source);
    d->polls[POLL_HASHES].fd = pl_recorder_fd(d->recorder);
    /* A source that has the executed file in its hands is in no hurry. */
    if ((d->source->class->abilities & (PL_SOURCE_TELLS_EXEC | PL_SOURCE_TELLS_IDENTITY)) == PL_SOURCE_TELLS_EXEC)
        raise_priority(log);
    *out = d;
    return 0;
}

static void arm_retry(pl_daemon *d, int64_t wait_ns)
{
    struct itimerspec spec = {0};

    if (wait_ns >= 0) {
        spec.it_value.tv_sec = wait_ns / PL_NS_PER_S;
        spec.it_value.tv_nsec = wait_ns % PL_NS_PER_S + 1;
    }
    (void)timerfd_settime(d->polls[POLL_RETRY].fd, 0, &spec, NULL);
}

static void drain_timer(int fd)
{
    uint64_t ticks;

    (void)!read(fd, &ticks, sizeof(ticks));
}

static void on_clock(pl_daemon *d)
{
    uint64_t ticks;

    if (read(d->polls[POLL_CLOCK].fd, &ticks, sizeof(ticks)) < 0 && errno == ECANCELED)
        pl_resolve_clock_changed(d->resolve);
    (void)arm_clock_watch(d->polls[POLL_CLOCK].fd);
}

/* The work of the start, for the ledger and for who looks at a terminal. */
static void on_progress(pl_daemon *d)
{
    pl_tracker_stats stats;

    pl_tracker_stats_get(d->tracker, &stats);
    pl_recorder_count(d->recorder);
    if (!stats.settled)
        arm_progress(d);
    if (!isatty(STDERR_FILENO) || (stats.settled && !d->shows_progress))
        return;
    if (stats.settled)
        (void)fprintf(stderr, "\r\033[K");
    else
        (void)fprintf(stderr, "\rprocledgerd: looked at %llu of %llu files\033[K", (unsigned long long)stats.work_done,
                      (unsigned long long)stats.work_total);
    d->shows_progress = !stats.settled;
}

/* Whatever is ready, once. Negative: the source is dead. */
static int turn(pl_daemon *d)
{
    int r = 0;

    if (d->polls[POLL_CLOCK].revents)
        on_clock(d);
    if (d->polls[POLL_SOURCE].revents)
        r = d->source->class->dispatch(d->source);
    if (d->polls[POLL_HASHES].revents) {
        pl_recorder_dispatch(d->recorder);
        arm_retry(d, pl_resolve_retry(d->resolve));
    }
    if (d->polls[POLL_RETRY].revents) {
        drain_timer(d->polls[POLL_RETRY].fd);
        arm_retry(d, pl_resolve_retry(d->resolve));
    }
    if (d->polls[POLL_SWEEP].revents) {
        drain_timer(d->polls[POLL_SWEEP].fd);
        pl_recorder_sweep(d->recorder);
        arm_retry(d, pl_resolve_retry(d->resolve));
    }
    if (d->polls[POLL_PROGRESS].revents) {
        drain_timer(d->polls[POLL_PROGRESS].fd);
        on_progress(d);
    }
    if (d->polls[POLL_SIGNAL].revents)
        d->stopped = true;
    return r;
}

int pl_daemon_run(pl_daemon *d)
{
    char db[4 * PATH_MAX]; /* escaped: one line, whatever the file is called */

    (void)pl_text_escape_into(d->db, strlen(d->db), db, sizeof(db));
    (void)fprintf(stderr, "procledgerd: ready source=%s db=%s\n", d->source->class->name, db);
    pl_notify_ready();
    while (!d->stopped) {
        if (poll(d->polls, POLL_COUNT, -1) < 0 && errno != EINTR)
            return pl_error_errno(PL_ERR_SYSTEM, errno, "poll");
        int r = turn(d);
        if (r < 0)
            return r;
    }
    return 0;
}

/* Events that the kernel has queued already belong to this run. */
static void drain_source(pl_daemon *d)
{
    struct pollfd *source = &d->polls[POLL_SOURCE];
    int rounds = 0;

    do /* the first one unasked: what is read at intervals does not say that there is something */
        if (d->source->class->dispatch(d->source) < 0)
            return;
    while (++rounds < 1024 && poll(source, 1, 0) > 0 && (source->revents & POLLIN));
}

pl_daemon *pl_daemon_free(pl_daemon *d)
{
    if (!d)
        return NULL;
    stop_tracking(d);
    if (d->source && d->stopped)
        drain_source(d);
    if (d->source)
        (void)d->source->class->close(d->source);
    if (d->stopped)
        pl_resolve_drain(d->resolve);
    if (d->recorder) {
        pl_recorder_dispatch(d->recorder);
        pl_recorder_flush(d->recorder);
    }
    if (d->run_open && d->stopped)
        (void)pl_writer_run_end(d->writer, pl_clock_realtime_ns(pl_clock_system()));
    if (d->is_tracking) {
        (void)pl_writer_flush(d->writer);
        return NULL; /* a thread that hangs may still look at all that is here */
    }
    (void)pl_resolve_free(d->resolve); /* its last answers go to the recorder */
    if (d->recorder)
        pl_recorder_dispatch(d->recorder);
    (void)pl_recorder_free(d->recorder);
    (void)pl_tracker_free(d->tracker);
    (void)pl_watcher_free(d->watcher);
    (void)pl_writer_free(d->writer);
    d->polls[POLL_SOURCE].fd = d->polls[POLL_HASHES].fd = -1; /* their owners closed them */
    for (size_t i = 0; i < POLL_COUNT; i++)
        pl_cleanup_close(&d->polls[i].fd);
    free(d->db);
    free(d);
    return NULL;
}

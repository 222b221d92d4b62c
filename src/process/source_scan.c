/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Polling /proc as a source, for those who may do nothing else. Owns a timer and what it saw the last time:
 * for each process its number, start, executable and stack. A tick looks at every process once and tells the
 * difference.
 *
 *  - a new (pid, start): FORK if it still runs on its parent's stack and executable, else EXEC with the image
 *  - the same process on another stack or executable: EXEC. A process that renames itself (its command line
 *    changes, its stack does not) has executed nothing. Where the kernel hides the stack (other people's
 *    processes) and the executable, a changed command line counts.
 *  - gone, a zombie, or another start: EXIT without a status
 *
 * What is there when it opens is the snapshot's to tell, and is only remembered. Kernel threads are left out.
 * What lives shorter than the interval is never seen, and is no loss that could be counted. A scan that fails
 * leaves all as it was; the events of that time are reported as lost when it works again.
 */
#include "src/process/source.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/timerfd.h>

#define HASH_NONFATAL_OOM 1
#include <uthash.h>

#include "src/base/cleanup.h"
#include "src/base/error.h"

#define INTERVAL_DEFAULT_NS (200 * PL_NS_PER_MS)
#define PROC_KTHREAD 0x00200000u

typedef struct known {
    pid_t pid;
    uint64_t tick; /* of the scan that saw it last */
    pl_proc_glance glance;
    UT_hash_handle hh;
} known;

typedef struct scan_source {
    pl_source base;
    pl_source_options options;
    int fd;
    int64_t tick_ns; /* of start_ticks */
    known *processes;
    uint64_t tick;
    bool quiet;          /* the first scan only remembers */
    bool failing;        /* since good_ns */
    int64_t good_ns;     /* boottime of the last scan that saw everything */
    unsigned unreadable; /* processes of this scan */
} scan_source;

/* ---- what a glance says ---- */

static bool same_file(const pl_proc_glance *a, const pl_proc_glance *b)
{
    return a->has_identity == b->has_identity &&
           (!a->has_identity ||
            (a->identity.inode == b->identity.inode && a->identity.dev_major == b->identity.dev_major &&
             a->identity.dev_minor == b->identity.dev_minor && a->identity.btime_ns == b->identity.btime_ns));
}

static bool same_image(const pl_proc_glance *a, const pl_proc_glance *b)
{
    if (!same_file(a, b) || a->stat.start_stack != b->stat.start_stack)
        return false;
    return a->stat.start_stack != 0 || a->argv_hash == b->argv_hash;
}

static bool is_gone(const pl_proc_glance *glance)
{
    return glance->stat.state == 'Z' || glance->stat.state == 'X' || glance->stat.state == 'x';
}

static known *find(const scan_source *source, pid_t pid)
{
    known *found = NULL;

    HASH_FIND(hh, source->processes, &pid, sizeof(pid), found);
    return found;
}

static int64_t started_ns(const scan_source *source, const pl_proc_glance *glance)
{
    int64_t now = pl_clock_boottime_ns(source->options.clock);
    int64_t at = (int64_t)glance->stat.start_ticks * source->tick_ns;

    return at < now ? at : now;
}

/* ---- events ---- */

static void emit(scan_source *source, pl_event *event)
{
    if (!source->quiet)
        source->options.event(source->options.context, event);
}

static void emit_exit(scan_source *source, pid_t pid)
{
    pl_event event = {.kind = PL_EVENT_EXIT, .pid = pid, .boottime_ns = pl_clock_boottime_ns(source->options.clock)};

    emit(source, &event);
}

static void free_image(pl_image *image)
{
    pl_image_deinit(image);
}

/* 0, or negative: nothing was told, the next scan sees the same difference again. */
static int emit_exec(scan_source *source, const pl_proc_glance *glance, int64_t at_ns)
{
    pl_cleanup(free_image) pl_image image = PL_IMAGE_NULL;
    pid_t pid = glance->stat.pid;

    if (source->quiet)
        return 0;
    int rc = pl_procfs_read_image(&source->options.procfs, pid, &image);
    if (rc < 0)
        return rc;
    bool other = image.start_ticks != glance->stat.start_ticks;
    if (other) {
        pl_image_deinit(&image);
        image.pid = pid;
        image.exe_errno = ESRCH;
    }
    image.exec_boottime_ns = at_ns;
    pl_event event = {.kind = PL_EVENT_EXEC,
                      .pid = pid,
                      .boottime_ns = at_ns,
                      .image = &image,
                      .vanished = other || (rc == PL_VANISHED && !image.has_identity)};
    emit(source, &event);
    return 0;
}

static void emit_fork(scan_source *source, const pl_proc_glance *glance)
{
    pl_event event = {.kind = PL_EVENT_FORK,
                      .pid = glance->stat.pid,
                      .ppid = glance->stat.ppid,
                      .boottime_ns = started_ns(source, glance)};

    emit(source, &event);
}

static void emit_lost(scan_source *source, const char *reason)
{
    pl_event event = {.kind = PL_EVENT_LOST,
                      .boottime_ns = pl_clock_boottime_ns(source->options.clock),
                      .lost = -1,
                      .lost_since_ns = source->good_ns,
                      .reason = reason};

    emit(source, &event);
}

/* ---- a scan ---- */

static void forget(scan_source *source, known *process)
{
    HASH_DELETE(hh, source->processes, process);
    free(process);
}

static int meet(scan_source *source, const pl_proc_glance *glance)
{
    const known *parent = find(source, glance->stat.ppid);
    known *process = calloc(1, sizeof(*process));

    if (!process)
        return pl_error_nomem();
    process->pid = glance->stat.pid;
    process->tick = source->tick;
    process->glance = *glance;
    HASH_ADD(hh, source->processes, pid, sizeof(process->pid), process);
    if (!process->hh.tbl) {
        free(process);
        return pl_error_nomem();
    }
    if (parent && same_image(&parent->glance, glance)) {
        emit_fork(source, glance);
        return 0;
    }
    int rc = emit_exec(source, glance, started_ns(source, glance));
    if (rc < 0)
        forget(source, process);
    return rc;
}

static int see(scan_source *source, pid_t pid)
{
    pl_proc_glance glance;
    known *process = find(source, pid);

    int rc = pl_procfs_glance(&source->options.procfs, pid, &glance);
    if (rc == PL_VANISHED || (rc == 0 && (is_gone(&glance) || (glance.stat.flags & PROC_KTHREAD))))
        return 0; /* if it was known, the end of the scan tells its exit */
    if (rc < 0) {
        if (process)
            process->tick = source->tick; /* not seen, but not known to be gone */
        return rc;
    }
    glance.stat.pid = pid;
    if (process && process->glance.stat.start_ticks != glance.stat.start_ticks) {
        forget(source, process);
        emit_exit(source, pid);
        process = NULL;
    }
    if (!process)
        return meet(source, &glance);
    process->tick = source->tick;
    if (!same_image(&process->glance, &glance)) {
        rc = emit_exec(source, &glance, pl_clock_boottime_ns(source->options.clock));
        if (rc < 0)
            return rc;
    }
    process->glance = glance;
    return 0;
}

static int visit(void *context, pid_t pid)
{
    scan_source *source = context;

    if (see(source, pid) < 0)
        source->unreadable++;
    return 0;
}

static int scan(scan_source *source)
{
    known *process, *next;

    source->tick++;
    source->unreadable = 0;
    int rc = pl_procfs_each_pid(&source->options.procfs, visit, source);
    if (rc < 0)
        return rc; /* who was not listed is not known to be gone */
    HASH_ITER (hh, source->processes, process, next) {
        if (process->tick != source->tick) {
            pid_t pid = process->pid;
            forget(source, process);
            emit_exit(source, pid);
        }
    }
    return 0;
}

/* A scan, and what its failure or the end of failures has to say. */
static void scan_and_account(scan_source *source)
{
    int64_t began_ns = pl_clock_boottime_ns(source->options.clock);
    int rc = scan(source);

    if (rc < 0 || source->unreadable > 0) {
        if (!source->failing)
            pl_log_write(source->options.log, PL_LOG_WARNING, "source scan: %s", pl_error_message());
        source->failing = true;
        return;
    }
    if (source->failing)
        emit_lost(source, "scans of /proc failed");
    source->failing = false;
    source->good_ns = began_ns;
}

/* ---- the class ---- */

static pl_source *scan_close(pl_source *base)
{
    scan_source *source = (scan_source *)base;
    known *process, *next;

    if (!source)
        return NULL;
    HASH_ITER (hh, source->processes, process, next)
        forget(source, process);
    pl_cleanup_close(&source->fd);
    free(source);
    return NULL;
}

static int start_timer(scan_source *source)
{
    int64_t interval = source->options.scan_interval_ns > 0 ? source->options.scan_interval_ns : INTERVAL_DEFAULT_NS;
    struct timespec every = {.tv_sec = interval / PL_NS_PER_S, .tv_nsec = interval % PL_NS_PER_S};
    struct itimerspec timer = {.it_interval = every, .it_value = every};

    source->fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
    if (source->fd < 0 || timerfd_settime(source->fd, 0, &timer, NULL) < 0)
        return pl_error_errno(PL_ERR_SYSTEM, errno, "source scan: cannot make a timer");
    return 0;
}

static int scan_open(const pl_source_options *options, pl_source **out)
{
    scan_source *source = calloc(1, sizeof(*source));
    long hertz = sysconf(_SC_CLK_TCK);

    if (!source)
        return pl_error_nomem();
    source->base.class = &pl_source_scan;
    source->options = *options;
    source->fd = -1;
    source->tick_ns = PL_NS_PER_S / (hertz > 0 ? hertz : 100);
    int rc = start_timer(source);
    if (rc == 0) {
        source->quiet = true;
        source->good_ns = pl_clock_boottime_ns(options->clock);
        rc = scan(source);
        source->failing = source->unreadable > 0;
        source->quiet = false;
    }
    if (rc < 0) {
        (void)scan_close(&source->base);
        return rc;
    }
    *out = &source->base;
    return 0;
}

static int scan_fd(const pl_source *base)
{
    return ((const scan_source *)base)->fd;
}

static int scan_dispatch(pl_source *base)
{
    scan_source *source = (scan_source *)base;
    uint64_t ticks;

    if (read(source->fd, &ticks, sizeof(ticks)) < 0) {
        if (errno == EAGAIN || errno == EINTR)
            return 0;
        return pl_error_errno(pl_error_code(errno), errno, "source scan: cannot read the timer");
    }
    scan_and_account(source);
    return 0;
}

const pl_source_class pl_source_scan = {
    .name = "scan",
    .abilities = PL_SOURCE_TELLS_EXIT | PL_SOURCE_TELLS_FORK,
    .lacks = "whatever lives shorter than the interval, and exit statuses",
    .open = scan_open,
    .fd = scan_fd,
    .dispatch = scan_dispatch,
    .close = scan_close,
};

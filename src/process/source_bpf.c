/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * eBPF as a source: every exec, exit and fork of a process, with the identity of the executed inode as the kernel saw it
 * (exec.bpf.c), and the executed file itself, pinned by fanotify (pinner.c) where its bytes are not known yet. Owns the
 * loaded programs, the ring buffer's reading end, the pinner and the timer by which the ring is read.
 *
 * When it is read: while anything happens, each TICK_NS, by a timer, without being woken; after a tick without a record it
 * says that it sleeps, and the next record wakes it. So a storm costs fifty wake-ups a second and an idle machine none.
 *
 * Invariants
 *  - What the kernel found no room for is delivered as lost, with its exact number.
 *  - An image that has an identity was either compared with a descriptor of the executed inode, or is what was remembered
 *    under an equal kernel key (options.known). One that can be had in neither way has none, and no descriptor.
 *  - A descriptor is looked for only where the key is not known: known programs cost no system call.
 */
#include "src/process/source.h"

#include <bpf/libbpf.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/stat.h>
#include <sys/timerfd.h>

#include "src/base/cleanup.h"
#include "src/base/error.h"
#include "src/base/fd.h"
#include "src/file/identity.h"
#include "src/process/container.h"
#include "src/process/exec_record.h"
#include "src/process/pinner.h"

#include "src/process/exec.skel.h" /* made by bpftool out of exec.bpf.c */

#define TICK_NS (20 * PL_NS_PER_MS)
#define RING_DEFAULT (8u << 20)
#define MEMFD "memfd:"
#define INITIAL_PIDS 0xEFFFFFFCu /* PROC_PID_INIT_INO of the kernel's include/linux/proc_ns.h */

typedef struct bpf_source {
    pl_source base;
    pl_source_options options;
    struct exec_bpf *skeleton;
    struct ring_buffer *ring;
    pl_pinner *pinner; /* NULL: none to be had; executed files are read through /proc */
    int epoll_fd, timer_fd;
    bool ticking, warned;
    uint64_t tick_of_start_ns; /* of start_ticks */
    uint64_t lost;             /* as delivered */
    int64_t read_ns;           /* boottime when the ring was last read to its end */
    size_t records;            /* of the dispatch under way */
} bpf_source;

/* ---- a record's strings ---- */

/* "/a/b" out of "b\0a\0". 0, or negative. */
static int join_reversed(const char *parts, size_t length, char **out)
{
    char *path = malloc(length + 2), *at = path;
    size_t end = length;

    if (!path)
        return pl_error_nomem();
    while (end > 0) {
        size_t begin = end - 1; /* its NUL */
        while (begin > 0 && parts[begin - 1] != '\0')
            begin--;
        *at++ = '/';
        at = mempcpy(at, parts + begin, end - 1 - begin);
        end = begin;
    }
    if (at == path)
        *at++ = '/';
    *at = '\0';
    *out = path;
    return 0;
}

static int copy_string(const char *from, size_t length, char **out)
{
    char *copy = strndup(from, length);

    if (!copy)
        return pl_error_nomem();
    *out = copy;
    return 0;
}

/* Each argument ended by NUL, also the last of a cut list. */
static int copy_argv(const char *from, size_t length, pl_image *image)
{
    bool ended = length == 0 || from[length - 1] == '\0';

    if (length == 0)
        return 0;
    image->argv = malloc(length + 1);
    if (!image->argv)
        return pl_error_nomem();
    memcpy(image->argv, from, length);
    image->argv[length] = '\0';
    image->argv_length = length + !ended;
    return 0;
}

static int take_exe(const struct pl_record_exec *r, const char *parts, pl_image *image)
{
    if (!(r->head.flags & PL_RECORD_EXE_CUT))
        return join_reversed(parts, r->exe_length, &image->exe);
    if (r->exe_length > strlen(MEMFD) && strncmp(parts, MEMFD, strlen(MEMFD)) == 0 && r->inode.nlink == 0) {
        image->flags |= PL_IMAGE_MEMFD;
        return join_reversed(parts, strnlen(parts, r->exe_length) + 1, &image->exe);
    }
    return 0; /* the name of its descriptor has to do, if there is one */
}

/* Everything but the identity. 0, or negative. */
static int take_record(bpf_source *source, const struct pl_record_exec *r, pl_image *image)
{
    const char *at = (const char *)(r + 1), *interp = at + r->filename_length;
    const char *exe = interp + r->interp_length, *cwd = exe + r->exe_length, *cgroup = cwd + r->cwd_length;
    char tty[PL_TTY_NAME_SIZE];

    image->pid = r->head.pid;
    image->ppid = r->head.ppid;
    image->start_ticks = r->head.start_ns / source->tick_of_start_ns;
    image->exec_boottime_ns = (int64_t)r->head.boottime_ns;
    image->uid = r->uid;
    image->euid = r->euid;
    image->suid = r->suid;
    image->gid = r->gid;
    image->egid = r->egid;
    image->auid = r->auid;
    image->session = r->session;
    image->mnt_ns = r->mnt_ns;
    image->flags |= (r->head.flags & PL_RECORD_ARGV_CUT ? PL_IMAGE_ARGV_CUT : 0u) |
                    (r->head.flags & PL_RECORD_UNLINKED || r->inode.nlink == 0 ? PL_IMAGE_DELETED : 0u);
    int rc = take_exe(r, exe, image);
    if (rc == 0 && r->filename_length)
        rc = copy_string(at, r->filename_length, &image->filename);
    if (rc == 0)
        rc = copy_string(r->comm, sizeof(r->comm), &image->name);
    if (rc == 0 && !(r->head.flags & PL_RECORD_CWD_CUT))
        rc = join_reversed(cwd, r->cwd_length, &image->cwd);
    if (rc == 0)
        rc = join_reversed(cgroup, r->cgroup_length, &image->cgroup);
    if (rc == 0)
        rc = pl_container_of_cgroup(image->cgroup, &image->container);
    if (rc == 0)
        rc = copy_argv(cgroup + r->cgroup_length, r->argv_length, image);
    if (rc == 0 && r->tty) {
        pl_tty_name(r->tty, tty);
        rc = copy_string(tty, sizeof(tty), &image->tty);
    }
    return rc;
}

static void take_key(const struct pl_record_inode *inode, pl_kernel_key *out)
{
    *out = (pl_kernel_key){
        .inode = inode->inode,
        .size = inode->size,
        .mtime_ns = (int64_t)inode->mtime_s * PL_NS_PER_S + inode->mtime_ns,
        .ctime_ns = (int64_t)inode->ctime_s * PL_NS_PER_S + inode->ctime_ns,
        .dev = inode->dev,
        .generation = inode->generation,
        .mount_id = inode->mount_id,
    };
    memcpy(out->uuid, inode->uuid, sizeof(out->uuid));
}

/* ---- the executed file ---- */

/* The inode behind /proc/PID/exe, if it is the one of key: of a memfd, or of a file system that is not marked. */
static int open_through_proc(const bpf_source *source, pid_t pid, const pl_kernel_key *key, pl_identity *identity,
                             int *error)
{
    char path[64];
    pl_identity seen;

    (void)snprintf(path, sizeof(path), "%s/%d/exe", source->options.procfs.root, (int)pid);
    pl_auto_close int fd = open(path, O_PATH | O_CLOEXEC);
    *error = fd < 0 ? errno : pl_identity_of_pinned(fd, "", &seen);
    if (*error)
        return -1;
    if (!pl_kernel_key_is_of(key, &seen)) {
        *error = ESRCH; /* it executes something else by now, or the file was changed */
        return -1;
    }
    *identity = seen;
    return pl_steal_fd(&fd);
}

/* The script of an exec whose image is its interpreter. */
static void pin_script(bpf_source *source, const struct pl_record_exec *r, const pl_kernel_key *key, pl_image *image)
{
    const char *filename = (const char *)(r + 1), *interp = filename + r->filename_length;

    if (r->interp_length == 0 || r->filename_length == 0 || strcmp(filename, interp) == 0)
        return;
    pl_auto_close int fd = pl_pinner_claim_script(source->pinner, r->head.pid, key, &image->script_identity);
    if (fd < 0)
        return;
    (void)pl_fd_name(fd, &image->script_path);
    if (image->script_path)
        image->script_fd = pl_steal_fd(&fd);
}

static void pin_image(bpf_source *source, const struct pl_record_exec *r, const pl_kernel_key *key, pl_image *image)
{
    pid_t pid = r->head.pid;

    if (source->pinner)
        image->exe_fd = pl_pinner_claim(source->pinner, pid, key, &image->identity);
    if (image->exe_fd < 0)
        image->exe_fd = open_through_proc(source, pid, key, &image->identity, &image->exe_errno);
    image->has_identity = image->exe_fd >= 0;
    if (source->pinner && image->exe_fd < 0)
        pl_pinner_mark_root(source->pinner, pid);
    if (!image->exe && image->has_identity)
        (void)pl_fd_name(image->exe_fd, &image->exe);
}

static void identify(bpf_source *source, const struct pl_record_exec *r, pl_image *image)
{
    pl_kernel_key key;
    bool gained = r->head.flags & PL_RECORD_CAPS;

    take_key(&r->inode, &key);
    bool known = source->options.known && image->exe && !gained &&
                 source->options.known(source->options.context, &key, &image->identity);
    image->has_identity = known;
    if (source->pinner)
        pin_script(source, r, &key, image);
    if (!known) {
        image->has_key = true;
        image->key = key;
        if (source->options.procfs.pin)
            pin_image(source, r, &key, image);
    }
    /* Attributes are what they were at the exec, whatever they are by now. */
    image->identity.mode = r->inode.mode;
    image->identity.nlink = r->inode.nlink;
    image->identity.uid = r->inode.uid;
    image->identity.gid = r->inode.gid;
    bool has_identity = image->has_identity;
    image->has_identity = true;
    pl_image_flag_privileges(image, gained);
    image->has_identity = has_identity;
    if (source->pinner)
        pl_pinner_settle(source->pinner, r->head.pid, &key, known);
}

/* ---- delivering ---- */

static void deliver_exec(bpf_source *source, const struct pl_record_exec *r)
{
    pl_image image = PL_IMAGE_NULL;
    pl_event event = {.kind = PL_EVENT_EXEC,
                      .pid = r->head.pid,
                      .ppid = r->head.ppid,
                      .boottime_ns = (int64_t)r->head.boottime_ns,
                      .image = &image};

    if (take_record(source, r, &image) == 0)
        identify(source, r, &image);
    else
        image.exe_errno = ENOMEM;
    event.vanished = image.exe_fd < 0 && !image.has_identity && image.exe_errno != ENOMEM;
    source->options.event(source->options.context, &event);
    pl_image_deinit(&image);
}

static bool is_whole(const struct pl_record_exec *r, size_t size)
{
    uint64_t data = (uint64_t)r->filename_length + r->interp_length + r->exe_length + r->cwd_length + r->cgroup_length +
                    r->argv_length;

    return size >= sizeof(*r) && size - sizeof(*r) >= data;
}

static int on_record(void *context, void *data, size_t size)
{
    bpf_source *source = context;
    const struct pl_record_head *head = data;
    pl_event event = {.boottime_ns = 0};

    source->records++;
    if (size < sizeof(*head))
        return 0;
    event.pid = head->pid;
    event.boottime_ns = (int64_t)head->boottime_ns;
    if (head->kind == PL_RECORD_EXEC && is_whole(data, size)) {
        deliver_exec(source, data);
    } else if (head->kind == PL_RECORD_EXIT && size >= sizeof(struct pl_record_exit)) {
        event.kind = PL_EVENT_EXIT;
        event.has_status = true;
        event.status = ((const struct pl_record_exit *)data)->status;
        source->options.event(source->options.context, &event);
    } else if (head->kind == PL_RECORD_FORK) {
        event.kind = PL_EVENT_FORK;
        event.ppid = head->ppid;
        source->options.event(source->options.context, &event);
    }
    return 0;
}

static void deliver_lost(bpf_source *source)
{
    uint64_t lost = __atomic_load_n(&source->skeleton->bss->lost, __ATOMIC_RELAXED);

    if (lost == source->lost)
        return;
    pl_event event = {.kind = PL_EVENT_LOST,
                      .boottime_ns = pl_clock_boottime_ns(source->options.clock),
                      .lost = (int64_t)(lost - source->lost),
                      .lost_since_ns = source->read_ns,
                      .reason = "ring buffer full"};
    source->lost = lost;
    source->options.event(source->options.context, &event);
}

static void set_ticking(bpf_source *source, bool ticking)
{
    struct itimerspec spec = {0};

    if (source->ticking == ticking)
        return;
    if (ticking)
        spec.it_interval.tv_nsec = spec.it_value.tv_nsec = TICK_NS;
    (void)timerfd_settime(source->timer_fd, 0, &spec, NULL);
    source->ticking = ticking;
}

static void consume(bpf_source *source)
{
    int64_t now = pl_clock_boottime_ns(source->options.clock);
    int rc = ring_buffer__consume(source->ring);

    if (rc < 0 && !source->warned) {
        source->warned = true;
        pl_log_write(source->options.log, PL_LOG_WARNING, "source bpf: cannot read the ring buffer: %s", strerror(-rc));
    }
    deliver_lost(source);
    source->read_ns = now;
}

static void look_at_mounts(bpf_source *source)
{
    struct pollfd mounts = {.events = POLLPRI};

    if (!source->pinner)
        return;
    mounts.fd = pl_pinner_mounts_fd(source->pinner);
    if (mounts.fd >= 0 && poll(&mounts, 1, 0) > 0 && (mounts.revents & (POLLPRI | POLLERR)))
        pl_pinner_mark_mounts(source->pinner);
}

/* Whether descriptors wait for somebody who claims them, or for their second to end. */
static bool read_pins(bpf_source *source)
{
    pl_pinner_stats stats;

    if (!source->pinner)
        return false;
    pl_pinner_read(source->pinner);
    pl_pinner_expire(source->pinner);
    pl_pinner_stats_get(source->pinner, &stats);
    return stats.held > 0;
}

/* An exec that fails leaves a descriptor and no record; while it is not read, it holds the file's mount. */
static void listen_to_pinner(bpf_source *source)
{
    struct epoll_event event = {.events = EPOLLIN | EPOLLONESHOT};

    if (source->pinner)
        (void)epoll_ctl(source->epoll_fd, EPOLL_CTL_MOD, pl_pinner_fd(source->pinner), &event);
}

static int bpf_dispatch(pl_source *base)
{
    bpf_source *source = (bpf_source *)base;
    uint64_t ticks;

    (void)!read(source->timer_fd, &ticks, sizeof(ticks));
    look_at_mounts(source);
    source->records = 0;
    consume(source);
    if (read_pins(source) || source->records > 0) {
        set_ticking(source, true);
        return 0;
    }
    /* Nothing came: the next record shall wake us. One that came before it could know is read now. */
    __atomic_store_n(&source->skeleton->bss->reader_sleeps, 1, __ATOMIC_SEQ_CST);
    consume(source);
    set_ticking(source, source->records > 0);
    listen_to_pinner(source);
    return 0;
}

/* ---- opening ---- */

static int quiet(enum libbpf_print_level level, const char *format, va_list arguments)
{
    (void)level, (void)format, (void)arguments;
    return 0;
}

static pl_source *bpf_close(pl_source *base)
{
    bpf_source *source = (bpf_source *)base;

    if (!source)
        return NULL;
    ring_buffer__free(source->ring);
    exec_bpf__destroy(source->skeleton);
    (void)pl_pinner_free(source->pinner);
    pl_cleanup_close(&source->epoll_fd);
    pl_cleanup_close(&source->timer_fd);
    free(source);
    return NULL;
}

static int load(bpf_source *source)
{
    int processors = libbpf_num_possible_cpus();

    (void)libbpf_set_print(quiet); /* what goes wrong is said by us */
    source->skeleton = exec_bpf__open();
    if (!source->skeleton)
        return pl_error_errno(pl_error_code(errno), errno, "source bpf: cannot open the programs");
    size_t ring = source->options.receive_buffer ? source->options.receive_buffer : RING_DEFAULT;
    (void)bpf_map__set_max_entries(source->skeleton->maps.ring, (uint32_t)ring);
    (void)bpf_map__set_max_entries(source->skeleton->maps.scratches, processors > 0 ? (uint32_t)processors : 1u);
    source->skeleton->data->wake_above = ring / 4;
    int rc = exec_bpf__load(source->skeleton);
    if (rc == 0)
        rc = exec_bpf__attach(source->skeleton);
    if (rc < 0 && access("/sys/kernel/btf/vmlinux", R_OK) < 0)
        return pl_error_errno(PL_ERR_UNSUPPORTED, -rc, "source bpf: this kernel has no BTF");
    if (rc < 0)
        return pl_error_errno(
            pl_error_code(-rc), -rc,
            "source bpf: the kernel does not take the programs (it needs CAP_BPF and CAP_PERFMON, and "
            "Linux 5.8)");
    source->ring = ring_buffer__new(bpf_map__fd(source->skeleton->maps.ring), on_record, source, NULL);
    if (!source->ring)
        return pl_error_errno(pl_error_code(errno), errno, "source bpf: cannot map the ring buffer");
    return 0;
}

static int watch_descriptors(bpf_source *source)
{
    const struct {
        int fd;
        uint32_t events;
    } wanted[] = {
        {ring_buffer__epoll_fd(source->ring), EPOLLIN},
        {source->timer_fd, EPOLLIN},
        {source->pinner ? pl_pinner_mounts_fd(source->pinner) : -1, EPOLLPRI},
        {source->pinner ? pl_pinner_fd(source->pinner) : -1, EPOLLIN | EPOLLONESHOT},
    };

    source->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    bool all = source->epoll_fd >= 0;
    for (size_t i = 0; all && i < sizeof(wanted) / sizeof(*wanted); i++) {
        struct epoll_event event = {.events = wanted[i].events};
        all = wanted[i].fd < 0 || epoll_ctl(source->epoll_fd, EPOLL_CTL_ADD, wanted[i].fd, &event) == 0;
    }
    return !all ? pl_error_errno(PL_ERR_SYSTEM, errno, "source bpf: epoll") : 0;
}

/* The kernel's records speak of pids of the initial namespace, and of paths from the root of the mount namespace: of
 * those that /proc shows here, too? */
static int check_point_of_view(void)
{
    struct stat pids, root, first;
    struct statx here;

    if (stat("/proc/self/ns/pid", &pids) == 0 && pids.st_ino != INITIAL_PIDS)
        return pl_error_set(PL_ERR_UNSUPPORTED, "source bpf: not in the initial pid namespace");
    bool foreign = stat("/", &root) == 0 && stat("/proc/1/root", &first) == 0 &&
                   (root.st_ino != first.st_ino || root.st_dev != first.st_dev);
    /* Process 1 may not be looked at everywhere: a chroot is seldom a mount of its own. */
    if (foreign ||
        (statx(AT_FDCWD, "/", 0, STATX_TYPE, &here) == 0 && (here.stx_attributes_mask & STATX_ATTR_MOUNT_ROOT) &&
         !(here.stx_attributes & STATX_ATTR_MOUNT_ROOT)))
        return pl_error_set(PL_ERR_UNSUPPORTED, "source bpf: in a chroot, or another mount namespace than process 1");
    return 0;
}

static int bpf_open(const pl_source_options *options, pl_source **out)
{
    int view = check_point_of_view();
    bpf_source *source = view < 0 ? NULL : calloc(1, sizeof(*source));
    long hertz = sysconf(_SC_CLK_TCK);

    if (view < 0)
        return view;
    if (!source)
        return pl_error_nomem();
    source->base.class = &pl_source_bpf;
    source->options = *options;
    source->epoll_fd = -1;
    source->tick_of_start_ns = (uint64_t)PL_NS_PER_S / (uint64_t)(hertz > 0 ? hertz : 100);
    source->timer_fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
    int rc = source->timer_fd < 0 ? pl_error_errno(PL_ERR_SYSTEM, errno, "source bpf: timerfd") : 0;
    pl_pinner_options pinner = {.procfs = options->procfs.root, .clock = options->clock, .log = options->log};
    /* Before the programs: an exec that they tell of has its descriptor here. */
    if (rc == 0 && options->procfs.pin && pl_pinner_new(&pinner, &source->pinner) < 0)
        pl_log_write(options->log, PL_LOG_WARNING,
                     "no descriptors of executed files (%s): what is gone at once has no checksum", pl_error_message());
    if (rc == 0)
        rc = load(source);
    if (rc == 0)
        rc = watch_descriptors(source);
    if (rc < 0) {
        (void)bpf_close(&source->base);
        return rc;
    }
    source->read_ns = pl_clock_boottime_ns(options->clock);
    source->skeleton->bss->reader_sleeps = 1;
    *out = &source->base;
    return 0;
}

static int bpf_fd(const pl_source *base)
{
    return ((const bpf_source *)base)->epoll_fd;
}

const pl_source_class pl_source_bpf = {
    .name = "bpf",
    .abilities = PL_SOURCE_TELLS_EXEC | PL_SOURCE_TELLS_EXIT | PL_SOURCE_TELLS_STATUS | PL_SOURCE_TELLS_FORK |
                 PL_SOURCE_TELLS_LOSS | PL_SOURCE_TELLS_IDENTITY,
    .lacks =
        "nothing of an exec; the bytes of a program that is gone at once need fanotify (CAP_SYS_ADMIN), and of one on "
        "a memfd or in a private mount namespace /proc",
    .open = bpf_open,
    .fd = bpf_fd,
    .dispatch = bpf_dispatch,
    .close = bpf_close,
};

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The proc connector as a source: the kernel multicasts fork, exec and exit; what was executed is read from
 * /proc at once. Owns its socket and its buffers; reading is procfs's work, the message format connector's.
 *
 * Invariants
 *  - dispatch never blocks and takes at most BATCH events.
 *  - An image is given to an exec only if nothing says that /proc showed a later one. After images were
 *    read, the queue is read again until it is empty (or the batch full). An exec after which the same
 * receive brought another of that process is not read at all. If the other one came while it was read, the
 * image counts only if it was complete well before, or if the later one turned out to be another file. A
 * process that started after the event is another one of that number. What fails these tests is delivered as
 * vanished. Left over: an exec whose event comes after the batch although /proc showed its image already; the
 * kernel queues the event some 100 us after that.
 *  - Events of one batch are delivered in the order in which they happened. Between two batches the table
 *    above sorts it out by their times.
 *  - Only the kernel is believed (port 0): any process may send to a port it knows.
 *
 * Times of the kernel are CLOCK_MONOTONIC, ours CLOCK_BOOTTIME: the difference is measured and kept until a
 * suspend moves it, so that it adds no jitter. An event from before a suspend that is read after it comes out
 * late by the length of the suspend.
 *
 * How many events an overrun cost is not known (see connector.c): lost is -1.
 */
#include "src/process/source.h"

#include <errno.h>
#include <linux/cn_proc.h>
#include <linux/connector.h>
#include <linux/netlink.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>

#include "src/base/cleanup.h"
#include "src/base/error.h"
#include "src/process/connector.h"

#define BATCH 512u
#define VECTOR 64u
#define DATAGRAM_SIZE 256u /* today's are below 100 bytes */
#define RECEIVE_BUFFER_DEFAULT (8u << 20)
#define ANSWER_TRIES 4096 /* messages looked at for the answer to a request */
#define OFFSET_SLACK_NS PL_NS_PER_MS
#define SETTLE_NS PL_NS_PER_MS /* /proc shows an image at most this long before its exec event's time */

typedef struct netlink_source {
    pl_source base;
    pl_source_options options;
    int fd;
    uint32_t port;
    int64_t boot_offset_ns; /* CLOCK_BOOTTIME - CLOCK_MONOTONIC */
    int64_t tick_ns;        /* of start_ticks */
    int64_t drained_ns;     /* boottime when the queue was last seen empty */
    bool warned;
    size_t n;      /* events of the batch */
    size_t images; /* used of images[] */
    pl_connector_event events[BATCH];
    pl_image image[BATCH]; /* by slot: one for each exec of the batch */
    bool vanished[BATCH];
    int64_t read_ns[BATCH]; /* CLOCK_MONOTONIC, when the image was complete */
    unsigned char bytes[VECTOR][DATAGRAM_SIZE];
    struct sockaddr_nl senders[VECTOR];
    struct iovec pieces[VECTOR];
    struct mmsghdr messages[VECTOR];
} netlink_source;

/* ---- time ---- */

static int64_t monotonic_ns(void)
{
    struct timespec now = {0};

    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * PL_NS_PER_S + now.tv_nsec;
}

static void measure_offset(netlink_source *source)
{
    int64_t first = monotonic_ns();
    int64_t boot = pl_clock_boottime_ns(source->options.clock);
    int64_t last = monotonic_ns();
    int64_t offset = boot - (first + (last - first) / 2);
    int64_t moved = offset - source->boot_offset_ns;
    if (moved > OFFSET_SLACK_NS || moved < -OFFSET_SLACK_NS)
        source->boot_offset_ns = offset;
}

/* ---- opening ---- */

static int send_request(netlink_source *source, bool listen, bool filter)
{
    unsigned char request[PL_CONNECTOR_REQUEST_MAX];
    struct sockaddr_nl kernel = {.nl_family = AF_NETLINK};

    size_t length = pl_connector_request(listen, filter, source->port, source->port, request);
    if (sendto(source->fd, request, length, 0, (const struct sockaddr *)&kernel, sizeof(kernel)) < 0)
        return pl_error_errno(pl_error_code(errno), errno, "source netlink: cannot ask the proc connector");
    return 0;
}

/* The kernel answers before sendto returns: 0, the errno it answered with, or ENOMSG. Events before the
 * answer are dropped: whoever opens a source takes a snapshot after that. */
static int read_answer(netlink_source *source)
{
    for (int i = 0; i < ANSWER_TRIES; i++) {
        struct sockaddr_nl sender = {0};
        socklen_t size = sizeof(sender);
        ssize_t n =
            recvfrom(source->fd, source->bytes[0], DATAGRAM_SIZE, MSG_DONTWAIT, (struct sockaddr *)&sender, &size);
        if (n < 0 && (errno == EINTR || errno == ENOBUFS))
            continue;
        if (n < 0)
            break;
        if (sender.nl_pid != 0)
            continue;
        pl_connector_event answer = pl_connector_parse(source->bytes[0], (size_t)n);
        if (answer.kind == PL_CONNECTOR_ACK && answer.ack == source->port + 1)
            return answer.error;
    }
    return ENOMSG;
}

/* First the request that every kernel answers, then the one with a filter: kernels from 6.6 on narrow the
 * subscription down, older ones do not know its length and drop it, which costs some events of no interest. */
static int subscribe(netlink_source *source)
{
    int rc = send_request(source, true, false);

    if (rc < 0)
        return rc;
    int answer = read_answer(source);
    if (answer == ENOMSG)
        return pl_error_set(PL_ERR_UNSUPPORTED, "source netlink: the proc connector does not answer (a kernel without "
                                                "CONFIG_PROC_EVENTS, or not the initial pid and user namespace)");
    if (answer != 0)
        return pl_error_errno(pl_error_code(answer), answer,
                              "source netlink: the proc connector refuses (before kernel 6.6 it needs CAP_NET_ADMIN)");
    return send_request(source, true, true);
}

static int open_socket(netlink_source *source)
{
    struct sockaddr_nl address = {.nl_family = AF_NETLINK, .nl_groups = CN_IDX_PROC};
    socklen_t size = sizeof(address);
    size_t wanted = source->options.receive_buffer ? source->options.receive_buffer : RECEIVE_BUFFER_DEFAULT;
    int bytes = (int)(wanted > (1u << 30) ? 1u << 30 : wanted);

    source->fd = socket(AF_NETLINK, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, NETLINK_CONNECTOR);
    if (source->fd < 0 && (errno == EPROTONOSUPPORT || errno == EAFNOSUPPORT))
        return pl_error_errno(PL_ERR_UNSUPPORTED, errno, "source netlink: this kernel has no CONFIG_CONNECTOR");
    if (source->fd < 0)
        return pl_error_errno(pl_error_code(errno), errno, "source netlink: cannot make a socket");
    if (setsockopt(source->fd, SOL_SOCKET, SO_RCVBUFFORCE, &bytes, sizeof(bytes)) < 0 &&
        setsockopt(source->fd, SOL_SOCKET, SO_RCVBUF, &bytes, sizeof(bytes)) < 0)
        return pl_error_errno(PL_ERR_SYSTEM, errno, "source netlink: cannot set the receive buffer");
    if (bind(source->fd, (const struct sockaddr *)&address, sizeof(address)) < 0)
        return pl_error_errno(
            pl_error_code(errno), errno,
            "source netlink: cannot join the group of the proc connector (before kernel 6.6 it needs CAP_NET_ADMIN)");
    if (getsockname(source->fd, (struct sockaddr *)&address, &size) < 0)
        return pl_error_errno(PL_ERR_SYSTEM, errno, "source netlink: cannot read the socket's address");
    source->port = address.nl_pid;
    return 0;
}

static void set_up_buffers(netlink_source *source)
{
    for (size_t i = 0; i < VECTOR; i++) {
        source->pieces[i] = (struct iovec){source->bytes[i], DATAGRAM_SIZE};
        source->messages[i].msg_hdr.msg_iov = &source->pieces[i];
        source->messages[i].msg_hdr.msg_iovlen = 1;
        source->messages[i].msg_hdr.msg_name = &source->senders[i];
    }
}

static void free_source(netlink_source *source)
{
    pl_cleanup_close(&source->fd);
    free(source);
}

static int netlink_open(const pl_source_options *options, pl_source **out)
{
    netlink_source *source = calloc(1, sizeof(*source));
    long hertz = sysconf(_SC_CLK_TCK);

    if (!source)
        return pl_error_nomem();
    source->base.class = &pl_source_netlink;
    source->options = *options;
    if (source->options.pins == 0 || source->options.pins > BATCH)
        source->options.pins = BATCH;
    source->fd = -1;
    source->tick_ns = PL_NS_PER_S / (hertz > 0 ? hertz : 100);
    set_up_buffers(source);
    int rc = open_socket(source);
    if (rc == 0)
        rc = subscribe(source);
    if (rc < 0) {
        free_source(source);
        return rc;
    }
    measure_offset(source);
    source->drained_ns = pl_clock_boottime_ns(options->clock);
    *out = &source->base;
    return 0;
}

static int netlink_fd(const pl_source *base)
{
    return ((const netlink_source *)base)->fd;
}

static pl_source *netlink_close(pl_source *base)
{
    netlink_source *source = (netlink_source *)base;

    if (!source)
        return NULL;
    /* Before 6.6 the kernel counts listeners by these messages alone and would go on building events for
     * nobody. */
    (void)send_request(source, false, false);
    free_source(source);
    return NULL;
}

/* ---- dispatching ---- */

/* Takes what is there into the batch. Returns how many datagrams came, or negative; *overrun is set, never
 * cleared. */
static int receive(netlink_source *source, bool *overrun)
{
    size_t room = BATCH - source->n, pins = source->options.pins - source->images;

    if (room > pins) /* each may be an exec */
        room = pins;
    for (size_t i = 0; i < VECTOR; i++)
        source->messages[i].msg_hdr.msg_namelen = sizeof(source->senders[i]);
    int n = recvmmsg(source->fd, source->messages, (unsigned)(room < VECTOR ? room : VECTOR), MSG_DONTWAIT, NULL);
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return 0;
    if (n < 0 && errno == ENOBUFS) {
        *overrun = true;
        return 1; /* what was queued before the overrun is still there */
    }
    if (n < 0)
        return pl_error_errno(pl_error_code(errno), errno, "source netlink: cannot receive");
    for (int i = 0; i < n; i++) {
        const struct msghdr *header = &source->messages[i].msg_hdr;
        if (source->senders[i].nl_pid != 0 || (header->msg_flags & MSG_TRUNC))
            continue;
        pl_connector_event event = pl_connector_parse(source->bytes[i], source->messages[i].msg_len);
        if (event.kind != PL_CONNECTOR_NONE && event.kind != PL_CONNECTOR_ACK)
            source->events[source->n++] = event;
    }
    return n;
}

/* Nothing of it is known but the number; errnum says why. */
static void forget_image(pl_image *image, pid_t pid, int errnum)
{
    pl_image_deinit(image);
    image->pid = pid;
    image->exe_errno = errnum;
}

static void read_image(netlink_source *source, const pl_connector_event *event)
{
    pl_image *image = &source->image[event->slot];

    errno = 0;
    int rc = pl_procfs_read_image(&source->options.procfs, event->pid, image);
    source->read_ns[event->slot] = monotonic_ns();
    if (rc < 0) {
        int errnum = rc == PL_ERR_NOMEM ? ENOMEM : errno ? errno : EIO;
        if (!source->warned)
            pl_log_write(source->options.log, PL_LOG_WARNING, "cannot read an executed process: %s",
                         pl_error_message());
        source->warned = true;
        forget_image(image, event->pid, errnum);
        return;
    }
    int64_t happened_ns = event->monotonic_ns + source->boot_offset_ns;
    bool other = (int64_t)image->start_ticks * source->tick_ns > happened_ns;
    if (other)
        forget_image(image, event->pid, ESRCH); /* it started later: another process has the number now */
    source->vanished[event->slot] = other || (rc == PL_VANISHED && !image->has_identity);
}

/* Reads the images of the execs that came with the last receive, unless a later one has come with them. */
static void read_images(netlink_source *source, size_t from)
{
    for (size_t i = from; i < source->n; i++) {
        pl_connector_event *event = &source->events[i];
        bool later = false;
        if (event->kind != PL_CONNECTOR_EXEC)
            continue;
        event->slot = source->images++;
        for (size_t j = i + 1; j < source->n && !later; j++)
            later = source->events[j].pid == event->pid && source->events[j].kind != PL_CONNECTOR_EXIT &&
                    source->events[j].monotonic_ns >= event->monotonic_ns;
        pl_image_init(&source->image[event->slot]);
        source->vanished[event->slot] = later;
        source->read_ns[event->slot] = event->monotonic_ns;
        if (later)
            forget_image(&source->image[event->slot], event->pid, ESRCH);
        else
            read_image(source, event);
    }
}

/* The image may be that of a later exec: see the invariants. */
static bool is_doubtful(const netlink_source *source, const pl_connector_event *event)
{
    const pl_image *image = &source->image[event->slot], *next = &source->image[event->next_slot];

    if (event->next == PL_CONNECTOR_NONE || source->read_ns[event->slot] < event->next_ns - SETTLE_NS)
        return false;
    return event->next != PL_CONNECTOR_EXEC || !image->has_identity || !next->has_identity ||
           (image->identity.inode == next->identity.inode && image->identity.dev_major == next->identity.dev_major &&
            image->identity.dev_minor == next->identity.dev_minor);
}

static void deliver(netlink_source *source, pl_connector_event *from)
{
    pl_event event = {.pid = from->pid, .ppid = from->ppid, .boottime_ns = from->monotonic_ns + source->boot_offset_ns};

    switch (from->kind) {
    case PL_CONNECTOR_FORK:
        event.kind = PL_EVENT_FORK;
        break;
    case PL_CONNECTOR_EXIT:
        event.kind = PL_EVENT_EXIT;
        event.has_status = true;
        event.status = from->status;
        break;
    default:
        event.kind = PL_EVENT_EXEC;
        event.image = &source->image[from->slot];
        event.vanished = source->vanished[from->slot];
        if (!event.vanished && is_doubtful(source, from)) {
            forget_image(event.image, from->pid, ESRCH);
            event.vanished = true;
        }
        event.image->exec_boottime_ns = event.boottime_ns;
        break;
    }
    source->options.event(source->options.context, &event);
}

static void deliver_overrun(netlink_source *source)
{
    pl_event event = {.kind = PL_EVENT_LOST,
                      .boottime_ns = pl_clock_boottime_ns(source->options.clock),
                      .lost = -1,
                      .lost_since_ns = source->drained_ns,
                      .reason = "receive buffer overrun"};

    source->options.event(source->options.context, &event);
}

static int netlink_dispatch(pl_source *base)
{
    netlink_source *source = (netlink_source *)base;
    bool overrun = false;
    int rc = 1;

    source->n = source->images = 0;
    measure_offset(source);
    int64_t began_ns = pl_clock_boottime_ns(source->options.clock);
    for (size_t datagrams = 0; source->n < BATCH && source->images < source->options.pins && datagrams < 2 * BATCH;
         datagrams += (size_t)rc) {
        size_t before = source->n;
        rc = receive(source, &overrun);
        if (rc <= 0)
            break;
        read_images(source, before);
    }
    size_t left = pl_connector_order(source->events, source->n);
    for (size_t i = 0; i < left; i++)
        deliver(source, &source->events[i]);
    for (size_t i = 0; i < source->images; i++)
        pl_image_deinit(&source->image[i]);
    if (overrun)
        deliver_overrun(source);
    if (rc == 0)
        source->drained_ns = began_ns;
    return rc < 0 ? rc : 0;
}

const pl_source_class pl_source_netlink = {
    .name = "netlink",
    .abilities = PL_SOURCE_TELLS_EXEC | PL_SOURCE_TELLS_EXIT | PL_SOURCE_TELLS_STATUS | PL_SOURCE_TELLS_FORK |
                 PL_SOURCE_TELLS_LOSS,
    .lacks = "path and arguments of a process that is gone before /proc can be read: next to none with real-time "
             "priority (CAP_SYS_NICE), up to half of the quickest without; needs CAP_NET_ADMIN before kernel 6.6",
    .open = netlink_open,
    .fd = netlink_fd,
    .dispatch = netlink_dispatch,
    .close = netlink_close,
};

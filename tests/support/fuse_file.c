/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The server end of one FUSE connection, as little of fuse(4) as a single readable file needs. A process of its own
 * serves, because one that dies with a file of its own file system open waits in the kernel for an answer of its own:
 * when the test is gone, however it went, its end of the pipe is closed, the server ends, and the kernel answers everybody
 * with ENOTCONN. A request of the silent kind is kept back until release. Attributes are never remembered by the kernel
 * (their time is zero), so that every stat asks.
 */
#include "tests/support/fuse_file.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/fuse.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define FILE_NODE 2
#define HELD_MAX 64
#define REQUEST_SIZE (1u << 17)

static const char contents[] = "bytes behind a server\n";

struct pl_fuse_file {
    char *folder;
    pid_t pid;
    int control;  /* a byte: release; closed: end */
    int hangings; /* a byte for each request that is held back */
};

/* The server's own. */
typedef struct server {
    int fd, hangings;
    uint32_t silent;
    struct fuse_in_header held[HELD_MAX];
    size_t n_held;
} server;

static void reply(const server *file, uint64_t unique, int error, const void *body, size_t length)
{
    unsigned char bytes[sizeof(struct fuse_out_header) + 4096];
    struct fuse_out_header header = {.len = (uint32_t)(sizeof(header) + length), .error = -error, .unique = unique};

    assert(length <= 4096);
    memcpy(bytes, &header, sizeof(header));
    if (length)
        memcpy(bytes + sizeof(header), body, length);
    (void)!write(file->fd, bytes, sizeof(header) + length); /* ENOENT: whoever asked is gone */
}

static struct fuse_attr attributes(uint64_t node)
{
    return (struct fuse_attr){.ino = node,
                              .size = node == FILE_NODE ? sizeof(contents) - 1 : 0,
                              .mode = node == FILE_NODE ? S_IFREG | 0755 : S_IFDIR | 0755,
                              .nlink = 1,
                              .mtime = 1000000000,
                              .ctime = 1000000000,
                              .blksize = 4096};
}

static void answer(const server *file, const struct fuse_in_header *in)
{
    struct fuse_init_out init = {.major = FUSE_KERNEL_VERSION, .minor = 31, .max_write = 4096};
    struct fuse_entry_out entry = {.nodeid = FILE_NODE, .attr = attributes(FILE_NODE)};
    struct fuse_attr_out attr = {.attr = attributes(in->nodeid)};
    struct fuse_open_out opened = {.open_flags = FOPEN_DIRECT_IO};
    struct fuse_statfs_out statfs = {.st = {.bsize = 4096, .namelen = 255}};

    switch (in->opcode) {
    case FUSE_INIT:
        reply(file, in->unique, 0, &init, sizeof(init));
        break;
    case FUSE_LOOKUP:
        reply(file, in->unique, 0, &entry, sizeof(entry));
        break;
    case FUSE_GETATTR:
        reply(file, in->unique, 0, &attr, sizeof(attr));
        break;
    case FUSE_OPEN:
    case FUSE_OPENDIR:
        reply(file, in->unique, 0, &opened, sizeof(opened));
        break;
    case FUSE_STATFS:
        reply(file, in->unique, 0, &statfs, sizeof(statfs));
        break;
    case FUSE_FLUSH:
    case FUSE_RELEASE:
    case FUSE_RELEASEDIR:
        reply(file, in->unique, 0, NULL, 0);
        break;
    case FUSE_FORGET:
    case FUSE_BATCH_FORGET:
    case FUSE_INTERRUPT:
        break; /* these want no answer */
    default:
        reply(file, in->unique, ENOSYS, NULL, 0);
    }
}

/* READ apart: it carries an offset. */
static void answer_read(const server *file, const struct fuse_in_header *in, uint64_t offset)
{
    size_t size = sizeof(contents) - 1, at = offset < size ? (size_t)offset : size;

    reply(file, in->unique, 0, contents + at, size - at);
}

static void release(server *file)
{
    file->silent = 0;
    for (size_t i = 0; i < file->n_held; i++) {
        if (file->held[i].opcode == FUSE_READ)
            answer_read(file, &file->held[i], 0);
        else
            answer(file, &file->held[i]);
    }
    file->n_held = 0;
}

/* One request. False: the file system is unmounted. */
static bool serve_one(server *file, unsigned char *request)
{
    struct fuse_in_header in;
    struct fuse_read_in ask;

    ssize_t n = read(file->fd, request, REQUEST_SIZE);
    if (n < (ssize_t)sizeof(in))
        return n < 0 && (errno == EINTR || errno == ENOENT || errno == EAGAIN);
    memcpy(&in, request, sizeof(in));
    if (file->silent && in.opcode == file->silent && file->n_held < HELD_MAX) {
        file->held[file->n_held++] = in;
        (void)!write(file->hangings, "h", 1);
        return true;
    }
    if (in.opcode == FUSE_READ) {
        memcpy(&ask, request + sizeof(in), sizeof(ask));
        answer_read(file, &in, ask.offset);
    } else {
        answer(file, &in);
    }
    return true;
}

static _Noreturn void serve(int fd, int control, int hangings, uint32_t silent)
{
    static unsigned char request[REQUEST_SIZE];
    server file = {.fd = fd, .hangings = hangings, .silent = silent};
    struct pollfd polls[] = {{.fd = fd, .events = POLLIN}, {.fd = control, .events = POLLIN}};
    char byte;

    while (poll(polls, 2, -1) > 0 || errno == EINTR) {
        if (polls[1].revents) {
            if (read(control, &byte, 1) != 1)
                break;
            release(&file);
        }
        if (polls[0].revents && ((polls[0].revents & POLLERR) || !serve_one(&file, request)))
            break;
    }
    _exit(0);
}

/* In the child: nothing of the test's is kept open but these three. */
static _Noreturn void become_server(int fd, int control, int hangings, uint32_t silent)
{
    int kept[] = {fd, control, hangings};

    for (int i = 0; i < 3; i++)
        kept[i] = fcntl(kept[i], F_DUPFD, 200);
    (void)close_range(0, 199, 0);
    (void)close_range((unsigned)kept[2] + 1, ~0u, 0);
    serve(kept[0], kept[1], kept[2], silent);
}

pl_fuse_file *pl_fuse_file_new(const char *folder, uint32_t silent)
{
    pl_fuse_file *file = calloc(1, sizeof(*file));
    int control[2], hangings[2];
    char options[128];

    assert(file);
    if (pipe2(control, O_CLOEXEC) != 0 || pipe2(hangings, O_CLOEXEC) != 0)
        abort();
    int fd = open("/dev/fuse", O_RDWR | O_CLOEXEC);
    (void)snprintf(options, sizeof(options), "fd=%d,rootmode=40755,user_id=0,group_id=0,allow_other", fd);
    if (fd < 0 || mount("pl-test", folder, "fuse", MS_NODEV, options) != 0) {
        int error = errno;
        for (int i = 0; i < 2; i++) {
            (void)close(control[i]);
            (void)close(hangings[i]);
        }
        if (fd >= 0)
            (void)close(fd);
        free(file);
        errno = error;
        return NULL;
    }
    file->pid = fork();
    assert(file->pid >= 0);
    if (file->pid == 0)
        become_server(fd, control[0], hangings[1], silent);
    (void)close(fd); /* the server's death is the connection's */
    (void)close(control[0]);
    (void)close(hangings[1]);
    file->control = control[1];
    file->hangings = hangings[0];
    file->folder = strdup(folder);
    return file;
}

void pl_fuse_file_wait(pl_fuse_file *file)
{
    char byte;

    while (read(file->hangings, &byte, 1) < 0 && errno == EINTR)
        ;
}

void pl_fuse_file_release(pl_fuse_file *file)
{
    (void)!write(file->control, "r", 1);
}

void pl_fuse_file_free(pl_fuse_file *file)
{
    int status;

    if (!file)
        return;
    (void)umount2(file->folder, MNT_FORCE | MNT_DETACH); /* aborts the connection */
    (void)close(file->control);
    (void)close(file->hangings);
    while (waitpid(file->pid, &status, 0) < 0 && errno == EINTR)
        ;
    free(file->folder);
    free(file);
}

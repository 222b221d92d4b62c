/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The server end of one FUSE connection, as little of fuse(4) as a single readable file needs. One thread answers; a
 * request of the silent kind is kept back until release. Attributes are never remembered by the kernel (their time is
 * zero), so that every stat asks.
 */
#include "tests/support/fuse_file.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/fuse.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#define FILE_NODE 2
#define HELD_MAX 64
#define REQUEST_SIZE (1u << 17)

static const char contents[] = "bytes behind a server\n";

struct pl_fuse_file {
    int fd;
    char *folder;
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t held_changed;
    uint32_t silent;
    struct fuse_in_header held[HELD_MAX];
    size_t n_held;
};

static void reply(const pl_fuse_file *file, uint64_t unique, int error, const void *body, size_t length)
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

static void answer(const pl_fuse_file *file, const struct fuse_in_header *in)
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
static void answer_read(const pl_fuse_file *file, const struct fuse_in_header *in, uint64_t offset)
{
    size_t size = sizeof(contents) - 1, at = offset < size ? (size_t)offset : size;

    reply(file, in->unique, 0, contents + at, size - at);
}

static void *serve(void *context)
{
    pl_fuse_file *file = context;
    unsigned char *request = malloc(REQUEST_SIZE);

    assert(request);
    for (;;) {
        ssize_t n = read(file->fd, request, REQUEST_SIZE);
        if (n < 0 && (errno == EINTR || errno == ENOENT || errno == EAGAIN))
            continue;
        if (n < (ssize_t)sizeof(struct fuse_in_header))
            break; /* ENODEV: unmounted */
        struct fuse_in_header in;
        memcpy(&in, request, sizeof(in));
        pthread_mutex_lock(&file->lock);
        if (file->silent && in.opcode == file->silent && file->n_held < HELD_MAX) {
            file->held[file->n_held++] = in;
            pthread_cond_broadcast(&file->held_changed);
            pthread_mutex_unlock(&file->lock);
            continue;
        }
        pthread_mutex_unlock(&file->lock);
        if (in.opcode == FUSE_READ) {
            struct fuse_read_in ask;
            memcpy(&ask, request + sizeof(in), sizeof(ask));
            answer_read(file, &in, ask.offset);
        } else {
            answer(file, &in);
        }
    }
    free(request);
    return NULL;
}

pl_fuse_file *pl_fuse_file_new(const char *folder, uint32_t silent)
{
    pl_fuse_file *file = calloc(1, sizeof(*file));
    char options[128];

    assert(file);
    file->fd = open("/dev/fuse", O_RDWR | O_CLOEXEC);
    file->folder = strdup(folder);
    file->silent = silent;
    (void)pthread_mutex_init(&file->lock, NULL);
    (void)pthread_cond_init(&file->held_changed, NULL);
    (void)snprintf(options, sizeof(options), "fd=%d,rootmode=40755,user_id=0,group_id=0,allow_other", file->fd);
    if (file->fd < 0 || mount("pl-test", folder, "fuse", MS_NODEV, options) != 0) {
        int error = errno;
        if (file->fd >= 0)
            (void)close(file->fd);
        free(file->folder);
        free(file);
        errno = error;
        return NULL;
    }
    int rc = pthread_create(&file->thread, NULL, serve, file);
    assert(rc == 0);
    (void)rc;
    return file;
}

void pl_fuse_file_wait(pl_fuse_file *file)
{
    pthread_mutex_lock(&file->lock);
    while (file->n_held == 0)
        pthread_cond_wait(&file->held_changed, &file->lock);
    pthread_mutex_unlock(&file->lock);
}

void pl_fuse_file_release(pl_fuse_file *file)
{
    pthread_mutex_lock(&file->lock);
    file->silent = 0;
    for (size_t i = 0; i < file->n_held; i++) {
        if (file->held[i].opcode == FUSE_READ)
            answer_read(file, &file->held[i], 0);
        else
            answer(file, &file->held[i]);
    }
    file->n_held = 0;
    pthread_mutex_unlock(&file->lock);
}

void pl_fuse_file_free(pl_fuse_file *file)
{
    if (!file)
        return;
    pl_fuse_file_release(file);
    (void)umount2(file->folder, MNT_FORCE | MNT_DETACH);
    (void)pthread_join(file->thread, NULL); /* its read ends with ENODEV: the connection is aborted */
    (void)close(file->fd);
    (void)pthread_mutex_destroy(&file->lock);
    (void)pthread_cond_destroy(&file->held_changed);
    free(file->folder);
    free(file);
}

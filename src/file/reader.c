/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Two blocks between two threads. Owns the thread and the blocks; not the descriptor, which it only borrows.
 *
 * Invariants: `lock` guards all fields but the bytes of the blocks; a block belongs to the reading thread while it is
 * empty and to the owner while it is full, and changes hands under the lock. Full blocks are consumed in the order in
 * which they were filled: 0, 1, 0, 1, ...
 */
#include "src/file/reader.h"

#include "src/base/error.h"

#include <errno.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>
#include <unistd.h>

#define BLOCKS 2

typedef struct block {
    unsigned char *bytes;
    bool full;
    ssize_t length; /* 0: the end; -1: errnum */
    int errnum;
} block;

struct pl_reader {
    pthread_t thread;
    int fd; /* fd, limit and size: never written once the thread runs */
    uint64_t limit;
    size_t size;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    block blocks[BLOCKS];
    unsigned next; /* that the owner gets */
    bool taken;    /* the owner still looks at it */
    bool stopping;
};

static ssize_t read_block(int fd, unsigned char *bytes, size_t size, uint64_t at, int *errnum)
{
    ssize_t n;

    do {
        n = pread(fd, bytes, size, (off_t)at);
    } while (n < 0 && errno == EINTR);
    *errnum = n < 0 ? errno : 0;
    return n;
}

static void *reader_main(void *context)
{
    pl_reader *r = context;
    uint64_t at = 0;
    ssize_t n = 1;

    pthread_mutex_lock(&r->lock);
    for (unsigned i = 0; n > 0; i = (i + 1) % BLOCKS) {
        block *b = &r->blocks[i];
        while (b->full && !r->stopping)
            pthread_cond_wait(&r->changed, &r->lock);
        if (r->stopping)
            break;
        pthread_mutex_unlock(&r->lock);
        int errnum = 0;
        n = at > r->limit ? 0 : read_block(r->fd, b->bytes, r->size, at, &errnum);
        pthread_mutex_lock(&r->lock);
        b->length = n;
        b->errnum = errnum;
        b->full = true;
        pthread_cond_signal(&r->changed);
        at += (uint64_t)n;
    }
    pthread_mutex_unlock(&r->lock);
    return NULL;
}

static void free_memory(pl_reader *r)
{
    for (int i = 0; i < BLOCKS; i++)
        free(r->blocks[i].bytes);
    (void)pthread_mutex_destroy(&r->lock);
    (void)pthread_cond_destroy(&r->changed);
    free(r);
}

int pl_reader_new(int fd, uint64_t limit, size_t size, pl_reader **out)
{
    pl_reader *r = calloc(1, sizeof(*r));
    bool memory = r != NULL;

    if (!r)
        return pl_error_nomem();
    r->fd = fd;
    r->limit = limit;
    r->size = size;
    (void)pthread_mutex_init(&r->lock, NULL);
    (void)pthread_cond_init(&r->changed, NULL);
    for (int i = 0; i < BLOCKS; i++)
        memory = (r->blocks[i].bytes = malloc(size)) && memory;
    int error = memory ? pthread_create(&r->thread, NULL, reader_main, r) : 0;
    if (memory && error == 0) {
        *out = r;
        return 0;
    }
    free_memory(r);
    return memory ? pl_error_errno(PL_ERR_SYSTEM, error, "cannot start a reading thread") : pl_error_nomem();
}

pl_reader *pl_reader_free(pl_reader *r)
{
    if (!r)
        return NULL;
    pthread_mutex_lock(&r->lock);
    r->stopping = true;
    pthread_cond_signal(&r->changed);
    pthread_mutex_unlock(&r->lock);
    (void)pthread_join(r->thread, NULL);
    free_memory(r);
    return NULL;
}

ssize_t pl_reader_next(pl_reader *r, const void **bytes, int *errnum)
{
    pthread_mutex_lock(&r->lock);
    if (r->taken) {
        r->blocks[r->next].full = false;
        r->next = (r->next + 1) % BLOCKS;
        pthread_cond_signal(&r->changed);
    }
    const block *b = &r->blocks[r->next];
    while (!b->full)
        pthread_cond_wait(&r->changed, &r->lock);
    r->taken = b->length > 0; /* the end and a failure stay where they are */
    *bytes = b->bytes;
    *errnum = b->errnum;
    ssize_t n = b->length;
    pthread_mutex_unlock(&r->lock);
    return n;
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Where the hash workers meet the recorder. Owns the list of what is done, its lock and an eventfd; knows no process.
 *
 * Invariants: an execution's row is queued before its hash is asked for, so that the hash finds it; the writer gets the
 * hash before the recorder hears of it.
 */
#include "ledger/pending.h"

#include "src/base/cleanup.h"
#include "src/base/error.h"
#include "src/base/lock.h"

#include <errno.h>
#include <sys/eventfd.h>

struct pl_pending {
    pl_writer *writer;
    int event_fd;
    pthread_mutex_t lock;
    pl_waiting *done, **tail; /* guarded by lock */
};

int pl_pending_new(pl_writer *writer, pl_pending **out)
{
    pl_auto_free pl_pending *pending = calloc(1, sizeof(*pending));

    if (!pending)
        return pl_error_nomem();
    pending->writer = writer;
    pending->tail = &pending->done;
    pending->event_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (pending->event_fd < 0)
        return pl_error_errno(PL_ERR_SYSTEM, errno, "eventfd");
    pl_lock_init(&pending->lock, true);
    *out = pl_steal(&pending);
    return 0;
}

pl_pending *pl_pending_free(pl_pending *pending)
{
    if (!pending)
        return NULL;
    for (pl_waiting *w = pl_pending_take(pending), *next; w; w = next) {
        next = w->next;
        (void)pl_waiting_free(w);
    }
    (void)pthread_mutex_destroy(&pending->lock);
    pl_cleanup_close(&pending->event_fd);
    free(pending);
    return NULL;
}

pl_waiting *pl_waiting_new(pl_pending *pending, int64_t eid)
{
    pl_waiting *w = calloc(1, sizeof(*w));

    if (w) {
        w->pending = pending;
        w->eid = eid;
    }
    return w;
}

pl_waiting *pl_waiting_free(pl_waiting *w)
{
    if (!w)
        return NULL;
    free(w->path);
    free(w->argv);
    free(w);
    return NULL;
}

void pl_pending_done(void *waiting, const pl_answer *answer)
{
    pl_waiting *w = waiting;
    pl_pending *pending = w->pending;
    pl_execution_hash hash = {
        .eid = w->eid,
        .hash_state = pl_hash_state_of(answer->outcome),
        .assurance = answer->assurance,
        .digests = answer->digests,
        .size = answer->identity.size,
        .script = w->script,
    };

    /* A script has no state of its own: without a digest its column stays empty. */
    if (hash.hash_state == PL_HASH_OK || (hash.hash_state != PL_HASH_PENDING && !w->script))
        (void)pl_writer_hash(pending->writer, &hash);
    w->answer = *answer;
    pthread_mutex_lock(&pending->lock);
    *pending->tail = w;
    pending->tail = &w->next;
    pthread_mutex_unlock(&pending->lock);
    (void)eventfd_write(pending->event_fd, 1);
}

void pl_pending_ask(pl_waiting *w, pl_resolve *resolve, int *pin, const pl_place *place)
{
    int fd = pl_steal_fd(pin);

    if (fd >= 0 && pl_resolve_submit(resolve, fd, place, false, pl_pending_done, w) == 0)
        return;
    pl_cleanup_close(&fd);
    pl_answer answer = {.outcome = PL_UNREADABLE, .error = EAGAIN};
    pl_pending_done(w, &answer);
}

int pl_pending_fd(const pl_pending *pending)
{
    return pending->event_fd;
}

pl_waiting *pl_pending_take(pl_pending *pending)
{
    eventfd_t value;

    (void)eventfd_read(pending->event_fd, &value);
    pthread_mutex_lock(&pending->lock);
    pl_waiting *list = pending->done;
    pending->done = NULL;
    pending->tail = &pending->done;
    pthread_mutex_unlock(&pending->lock);
    return list;
}

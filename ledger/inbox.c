/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The tracker's inbox. Owns the messages that wait, their lock and an eventfd. The event path puts, too, so the lock
 * lends its priority and is never held over anything but a few pointers.
 */
#include "ledger/inbox.h"

#include "src/base/cleanup.h"
#include "src/base/error.h"
#include "src/base/lock.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>

#define DEFAULT_LIMIT 16384

struct pl_inbox {
    size_t limit, count;
    int event_fd;
    pthread_mutex_t lock;
    pl_inbox_message *first, **tail; /* guarded by lock, as count and dropped */
    uint64_t dropped;
};

int pl_inbox_new(size_t limit, pl_inbox **out)
{
    pl_auto_free pl_inbox *inbox = calloc(1, sizeof(*inbox));

    if (!inbox)
        return pl_error_nomem();
    inbox->limit = limit ? limit : DEFAULT_LIMIT;
    inbox->tail = &inbox->first;
    inbox->event_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (inbox->event_fd < 0)
        return pl_error_errno(PL_ERR_SYSTEM, errno, "eventfd");
    pl_lock_init(&inbox->lock, true);
    *out = pl_steal(&inbox);
    return 0;
}

pl_inbox *pl_inbox_free(pl_inbox *inbox)
{
    if (!inbox)
        return NULL;
    for (pl_inbox_message *m = pl_inbox_take(inbox), *next; m; m = next) {
        next = m->next;
        pl_inbox_message_free(m);
    }
    (void)pthread_mutex_destroy(&inbox->lock);
    pl_cleanup_close(&inbox->event_fd);
    free(inbox);
    return NULL;
}

/* One block: the message and its strings behind it. */
static pl_inbox_message *copy(const pl_inbox_message *message)
{
    size_t path = message->path ? strlen(message->path) + 1 : 0;
    size_t container = message->container ? strlen(message->container) + 1 : 0;
    pl_inbox_message *own = malloc(sizeof(*own) + path + container);

    if (!own)
        return NULL;
    char *strings = (char *)(own + 1);
    *own = *message;
    own->next = NULL;
    if (path)
        own->path = memcpy(strings, message->path, path);
    if (container)
        own->container = memcpy(strings + path, message->container, container);
    return own;
}

bool pl_inbox_put(pl_inbox *inbox, const pl_inbox_message *message)
{
    pl_inbox_message *own = copy(message);

    pthread_mutex_lock(&inbox->lock);
    bool taken = own && inbox->count < inbox->limit;
    bool first = taken && inbox->count == 0;
    if (taken) {
        *inbox->tail = own;
        inbox->tail = &own->next;
        inbox->count++;
    } else {
        inbox->dropped++;
    }
    pthread_mutex_unlock(&inbox->lock);
    if (first)
        pl_inbox_poke(inbox);
    if (!taken)
        free(own);
    return taken;
}

void pl_inbox_poke(pl_inbox *inbox)
{
    (void)eventfd_write(inbox->event_fd, 1);
}

int pl_inbox_fd(const pl_inbox *inbox)
{
    return inbox->event_fd;
}

pl_inbox_message *pl_inbox_take(pl_inbox *inbox)
{
    eventfd_t value;

    (void)eventfd_read(inbox->event_fd, &value);
    pthread_mutex_lock(&inbox->lock);
    pl_inbox_message *list = inbox->first;
    inbox->first = NULL;
    inbox->tail = &inbox->first;
    inbox->count = 0;
    pthread_mutex_unlock(&inbox->lock);
    return list;
}

void pl_inbox_message_free(pl_inbox_message *message)
{
    free(message);
}

uint64_t pl_inbox_dropped(pl_inbox *inbox)
{
    pthread_mutex_lock(&inbox->lock);
    uint64_t dropped = inbox->dropped;
    pthread_mutex_unlock(&inbox->lock);
    return dropped;
}

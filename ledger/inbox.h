/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What other threads tell the tracker: a bounded list of messages and a descriptor that wakes its thread. Any thread
 * puts and never waits; one thread takes.
 */
#ifndef PL_LEDGER_INBOX_H
#define PL_LEDGER_INBOX_H

#include "src/file/identity.h"

#include <stdbool.h>
#include <sys/types.h>

typedef enum pl_inbox_kind {
    PL_INBOX_LEARNED, /* path, identity, outcome, proven, tier, background */
    PL_INBOX_SEEN,    /* path: a living process runs it */
    PL_INBOX_LIVING,  /* pid lives in mnt_ns */
} pl_inbox_kind;

/* One message. Strings are copied when it is put, and the inbox's when it is taken. */
typedef struct pl_inbox_message {
    pl_inbox_kind kind;
    uint64_t mnt_ns;
    pid_t pid;
    const char *path, *container; /* NULL: none */
    pl_identity identity;
    int outcome;
    pl_tier tier;
    bool proven, background;
    struct pl_inbox_message *next;
} pl_inbox_message;

typedef struct pl_inbox pl_inbox;

int pl_inbox_new(size_t limit /* messages; 0: 16,384 */, pl_inbox **out);
pl_inbox *pl_inbox_free(pl_inbox *inbox);
/* False: full or out of memory, and counted. Whoever is not heard of is looked at when it is next executed. */
bool pl_inbox_put(pl_inbox *inbox, const pl_inbox_message *message);
/* Wakes the taker without a message. */
void pl_inbox_poke(pl_inbox *inbox);
/* For poll(2): readable after put or poke, until the next take. */
int pl_inbox_fd(const pl_inbox *inbox);
/* All of them, oldest first; each is freed with pl_inbox_message_free. */
pl_inbox_message *pl_inbox_take(pl_inbox *inbox);
void pl_inbox_message_free(pl_inbox_message *message);
uint64_t pl_inbox_dropped(pl_inbox *inbox);

#endif

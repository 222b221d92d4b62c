/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Copies of what callers hand over, each in one block: a record costs one allocation, is freed with one call, and its
 * size is known to the byte for the bound of the queue.
 */
#include "ledger/store/record.h"

#include <stdlib.h>
#include <string.h>

static pl_record *allocate(enum pl_record_kind kind, size_t behind)
{
    pl_record *record = malloc(sizeof(*record) + behind);

    if (record) {
        memset(record, 0, sizeof(*record));
        record->kind = kind;
        record->bytes = sizeof(*record) + behind;
    }
    return record;
}

static size_t room(const char *text)
{
    return text ? strlen(text) + 1 : 0;
}

/* Copies text to *at, which moves on. */
static const char *place(char **at, const char *text)
{
    char *here = *at;

    if (!text)
        return NULL;
    *at = stpcpy(here, text) + 1;
    return here;
}

pl_record *pl_record_new(enum pl_record_kind kind)
{
    return allocate(kind, 0);
}

/* Multiples of the strictest alignment, so that structs may follow one another. */
#define ALIGNED(size) (((size) + 15) & ~(size_t)15)

pl_record *pl_record_of_execution(const pl_execution *e)
{
    const size_t digests = e->digests ? ALIGNED(sizeof(*e->digests)) : 0;
    const size_t text = room(e->path) + room(e->filename) + room(e->name) + room(e->cwd) + room(e->tty) +
                        room(e->cgroup) + room(e->container) + room(e->script_path) + (e->argv ? e->argv_length : 0) +
                        1;
    pl_record *record = allocate(PL_RECORD_EXECUTION, 16 + ALIGNED(sizeof(*e)) + digests + text);

    if (!record)
        return NULL;
    char *at = (char *)record + ALIGNED(sizeof(*record));
    pl_execution *copy = (pl_execution *)(void *)at;
    *copy = *e;
    at += ALIGNED(sizeof(*e));
    if (e->digests) {
        memcpy(at, e->digests, sizeof(*e->digests));
        copy->digests = (const pl_digest_set *)(const void *)at;
        at += digests;
    }
    copy->path = place(&at, e->path);
    copy->filename = place(&at, e->filename);
    copy->name = place(&at, e->name);
    copy->cwd = place(&at, e->cwd);
    copy->tty = place(&at, e->tty);
    copy->cgroup = place(&at, e->cgroup);
    copy->container = place(&at, e->container);
    copy->script_path = place(&at, e->script_path);
    if (e->argv) {
        memcpy(at, e->argv, e->argv_length);
        copy->argv = at;
    }
    record->row.execution = copy;
    return record;
}

pl_record *pl_record_of_hash(const pl_execution_hash *hash)
{
    pl_record *record = allocate(PL_RECORD_HASH, 16 + sizeof(*hash));

    if (record) {
        pl_execution_hash *copy = (pl_execution_hash *)(void *)((char *)record + ALIGNED(sizeof(*record)));
        *copy = *hash;
        record->hash = copy;
    }
    return record;
}

pl_record *pl_record_of_sighting(enum pl_record_kind kind, const pl_sighting *sighting)
{
    pl_record *record =
        allocate(kind, 16 + ALIGNED(sizeof(*sighting)) + room(sighting->path) + room(sighting->container));

    if (record) {
        char *at = (char *)record + ALIGNED(sizeof(*record));
        pl_sighting *copy = (pl_sighting *)(void *)at;
        *copy = *sighting;
        at += ALIGNED(sizeof(*sighting));
        copy->path = place(&at, sighting->path);
        copy->container = place(&at, sighting->container);
        record->sighting = copy;
    }
    return record;
}

pl_record *pl_record_of_version(enum pl_record_kind kind, const char *path, const char *end_reason)
{
    pl_record *record = allocate(kind, room(path) + room(end_reason));

    if (record) {
        char *at = (char *)record + sizeof(*record);
        record->version.path = place(&at, path);
        record->version.end_reason = place(&at, end_reason);
    }
    return record;
}

pl_record *pl_record_of_gap(const char *source, const char *reason)
{
    pl_record *record = allocate(PL_RECORD_GAP, room(source) + room(reason));

    if (record) {
        char *at = (char *)record + sizeof(*record);
        record->gap.source = place(&at, source);
        record->gap.reason = place(&at, reason);
    }
    return record;
}

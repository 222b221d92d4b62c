/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Batches: folding and writing. Owns the records that it links. A batch that failed is written again as it is, so
 * nothing here changes a record while writing it.
 */
#include "ledger/store/batch.h"

#include <stdlib.h>

#include "src/base/cleanup.h"
#include "src/base/error.h"

void pl_batch_put(pl_batch *batch, pl_record *record)
{
    record->next = NULL;
    if (batch->last)
        batch->last->next = record;
    else
        batch->first = record;
    batch->last = record;
    batch->count++;
    batch->bytes += record->bytes;
}

pl_record *pl_batch_take(pl_batch *batch)
{
    pl_record *record = batch->first;

    if (record) {
        batch->first = record->next;
        if (!batch->first)
            batch->last = NULL;
        batch->count--;
        batch->bytes -= record->bytes;
        record->next = NULL;
    }
    return record;
}

static int64_t eid_of(const pl_record *record)
{
    return record->row.execution->eid;
}

static int compare(const void *a, const void *b)
{
    int64_t x = eid_of(*(pl_record *const *)a), y = eid_of(*(pl_record *const *)b);

    return (x > y) - (x < y);
}

/* The executions of the batch by eid; they nearly always lie in that order already. */
static size_t index_executions(const pl_batch *batch, pl_record **index)
{
    size_t n = 0;
    bool sorted = true;

    for (pl_record *r = batch->first; r; r = r->next) {
        if (r->kind != PL_RECORD_EXECUTION)
            continue;
        sorted = sorted && (n == 0 || eid_of(index[n - 1]) < eid_of(r));
        index[n++] = r;
    }
    if (!sorted)
        qsort(index, n, sizeof(*index), compare);
    return n;
}

static pl_record *find(pl_record **index, size_t n, int64_t eid)
{
    size_t low = 0, high = n;

    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (eid_of(index[middle]) < eid)
            low = middle + 1;
        else
            high = middle;
    }
    return low < n && eid_of(index[low]) == eid ? index[low] : NULL;
}

static void fold_one(pl_record *record, pl_record **index, size_t n)
{
    int64_t eid = record->kind == PL_RECORD_HASH ? record->hash->eid : record->end.eid;
    pl_record *execution = find(index, n, eid);

    if (!execution)
        return;
    if (record->kind == PL_RECORD_END) {
        /* Of two ends the first one counts, as it does among rows. */
        if (!execution->row.end)
            execution->row.end = &record->end;
    } else if (record->hash->script) {
        execution->row.script_hash = record->hash;
    } else {
        execution->row.hash = record->hash;
    }
    record->folded = true;
}

void pl_batch_fold(pl_batch *batch)
{
    pl_auto_free pl_record **index = malloc((batch->count + 1) * sizeof(pl_record *));

    if (!index)
        return;
    size_t n = index_executions(batch, index);
    for (pl_record *r = batch->first; n > 0 && r; r = r->next) {
        if (r->kind == PL_RECORD_HASH || r->kind == PL_RECORD_END)
            fold_one(r, index, n);
    }
}

static int write_record(const pl_record *r, pl_append *append)
{
    switch (r->kind) {
    case PL_RECORD_EXECUTION:
        return pl_append_execution(append, &r->row);
    case PL_RECORD_HASH:
        return pl_append_hash(append, r->hash);
    case PL_RECORD_END:
        return pl_append_end(append, &r->end);
    case PL_RECORD_FORK:
        return pl_append_fork(append, &r->fork);
    case PL_RECORD_SIGHTING:
        return pl_append_sighting(append, r->sighting);
    case PL_RECORD_SEEN:
        return pl_append_seen(append, r->version.path, r->version.mnt_ns, r->version.time_ns);
    case PL_RECORD_CLOSE:
        return pl_append_close_version(append, r->version.path, r->version.mnt_ns, r->version.time_ns,
                                       r->version.end_reason, r->version.detected_by);
    case PL_RECORD_GAP:
        return pl_append_gap(append, r->gap.time_ns, r->gap.end_time_ns, r->gap.lost, r->gap.source, r->gap.reason);
    case PL_RECORD_ALERT:
        return pl_append_identity_alert(append, r->sighting, r->old_sha256);
    case PL_RECORD_COUNTERS:
        return pl_append_run_counters(append, &r->run.counters, r->run.time_ns);
    case PL_RECORD_RUN_END:
        return pl_append_run_end(append, r->run.time_ns);
    case PL_RECORD_RUN_BEGIN:
    case PL_RECORD_RETAIN:
        break; /* the writer's own, never in a batch */
    }
    return pl_error_set(PL_ERR_INVALID, "not a record of a batch");
}

static void count(const pl_record *r, pl_batch_result *result)
{
    switch (r->kind) {
    case PL_RECORD_EXECUTION:
        result->executions++;
        if (eid_of(r) > result->max_eid)
            result->max_eid = eid_of(r);
        break;
    case PL_RECORD_END:
        result->ends++;
        break;
    case PL_RECORD_FORK:
        result->forks++;
        break;
    case PL_RECORD_SIGHTING:
        result->sightings++;
        break;
    default:
        break;
    }
}

static int write_records(const pl_batch *batch, pl_append *append, pl_batch_result *result)
{
    for (const pl_record *r = batch->first; r; r = r->next) {
        int rc = r->folded ? 0 : write_record(r, append);
        if (rc == PL_ERR_INVALID) {
            result->rejected++;
            continue;
        }
        if (rc < 0)
            return rc;
        count(r, result);
    }
    int rc = pl_append_rows(append);
    if (rc < 0)
        return rc;
    result->rejected += append->rejected;
    result->executions -= append->rejected;
    return pl_append_tallies(append);
}

static int write_rest(pl_append *append, const pl_batch_loss *loss, int64_t now_ns)
{
    int rc = 0;

    if (loss->lost)
        rc = pl_append_gap(append, loss->since_ns, loss->until_ns, (int64_t)loss->lost, "writer", loss->reason);
    if (rc == 0 && append->run)
        rc = pl_append_run_commit(append, now_ns);
    return rc;
}

int pl_batch_write(const pl_batch *batch, pl_append *append, const pl_batch_loss *loss, int64_t now_ns,
                   pl_batch_result *result)
{
    pl_batch_result written = {0};
    int rc = pl_database_begin(append->store);

    if (rc < 0)
        return rc;
    /* Beside a recorder, which deletes what nothing refers to, no id outlives its transaction. */
    if (append->store->mode != PL_STORE_RECORDER)
        pl_interns_clear(append->interns);
    append->rejected = 0;
    rc = write_records(batch, append, &written);
    if (rc == 0)
        rc = write_rest(append, loss, now_ns);
    if (rc == 0)
        rc = pl_database_commit(append->store);
    if (rc < 0) {
        pl_database_rollback(append->store);
        pl_interns_clear(append->interns);
    }
    pl_rows_clear(append->rows);
    pl_tally_clear(append->commands);
    pl_tally_clear(append->binaries);
    if (rc == 0)
        *result = written;
    return rc;
}

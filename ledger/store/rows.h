/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The executions of a batch on their way into the file: one statement inserts all of them, out of a virtual table that
 * reads this memory. A statement for each row opens and closes seven B-trees every time; that was a third of what an
 * execution cost. Internal to ledger/store; the writer thread's.
 */
#ifndef PL_STORE_ROWS_H
#define PL_STORE_ROWS_H

#include <stddef.h>
#include <stdint.h>

#include "ledger/store/database.h"

/* In the order of st_executions_insert's columns. */
enum pl_row_column {
    PL_ROW_ID,
    PL_ROW_TIME,
    PL_ROW_TIME_NS,
    PL_ROW_PID,
    PL_ROW_PPID,
    PL_ROW_START_TICKS,
    PL_ROW_PARENT,
    PL_ROW_PREV,
    PL_ROW_IMAGE,
    PL_ROW_FILENAME,
    PL_ROW_COMMAND,
    PL_ROW_CWD,
    PL_ROW_CRED,
    PL_ROW_CONTEXT,
    PL_ROW_EXIT_CODE,
    PL_ROW_EXIT_SIGNAL,
    PL_ROW_DURATION_NS,
    PL_ROW_END_TIME,
    PL_ROW_NUMBERS, /* how many of them; two texts follow */
    PL_ROW_NAME = PL_ROW_NUMBERS,
    PL_ROW_END_REASON,
    PL_ROW_COLUMNS
};

typedef struct pl_row {
    int64_t numbers[PL_ROW_NUMBERS];
    uint32_t known;         /* a bit for each number that is not NULL */
    const char *end_reason; /* static; NULL: runs */
    char *name;             /* heap; NULL: as the path says */
} pl_row;

typedef struct pl_rows pl_rows;

/* Makes the virtual table in the store's connection, which must outlive it. */
int pl_rows_new(pl_store *store, pl_rows **out);
pl_rows *pl_rows_free(pl_rows *rows);
void pl_rows_clear(pl_rows *rows);

static inline void pl_row_set(pl_row *row, enum pl_row_column column, int64_t value)
{
    row->numbers[column] = value;
    row->known |= 1u << column;
}

/* Copies the row; its name is taken over on success. */
int pl_rows_add(pl_rows *rows, const pl_row *row);
/* Inserts all that were added, inside the caller's transaction, and forgets them. *rejected (added to): rows that the
 * table does not take, whatever is tried. */
int pl_rows_insert(pl_rows *rows, uint64_t *rejected);

#endif

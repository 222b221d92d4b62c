/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Rows out: one vtable, a class for each format. Rows are rendered into memory and written by flush, so that no read
 * transaction stays open while a pager or a pipe is slow. Whatever the ledger holds, what leaves here is valid UTF-8
 * without control or bidi characters.
 */
#ifndef PL_CLI_OUTPUT_H
#define PL_CLI_OUTPUT_H

#include <stdint.h>

#include "ledger/store/query.h"
#include "tools/procledger/buffer.h"

/* One value; text and blobs are borrowed from whoever made the record. */
typedef struct pl_field {
    const char *name;
    pl_cell type;
    int64_t integer;
    double real;
    const char *text; /* TEXT and BLOB */
    size_t length;
} pl_field;

typedef struct pl_record {
    const pl_field *fields;
    size_t count;
    const char *json; /* the whole record as SQLite wrote it; NULL: made from fields */
} pl_record;

/* NULL: no such field. */
const pl_field *pl_record_find(const pl_record *record, const char *name);
/* An integer field; fallback where it is missing, NULL or no integer. */
int64_t pl_record_integer(const pl_record *record, const char *name, int64_t fallback);

typedef struct pl_output pl_output;

/* How a cell of a table is made from a record. */
typedef enum pl_cell_kind {
    PL_SHOW_TEXT,
    PL_SHOW_INTEGER,  /* to the right */
    PL_SHOW_TIME,     /* seconds */
    PL_SHOW_TIME_MS,  /* seconds, with the record's time_ns */
    PL_SHOW_DURATION, /* nanoseconds */
    PL_SHOW_BYTES,    /* with a unit, to the right */
    PL_SHOW_USER,     /* uid to name */
    PL_SHOW_HASH12,   /* the first 12 digits; `who` and `history` take them */
    PL_SHOW_HASH,     /* in full; else the record's hash_state in parentheses */
    PL_SHOW_RESULT,   /* exit code, signal or end_reason of an execution */
} pl_cell_kind;

typedef struct pl_column {
    const char *field;
    const char *header;
    pl_cell_kind kind;
} pl_column;

/* What a table shows of each record; the other formats show everything. No columns: one "name  value" line a field. */
typedef struct pl_layout {
    const pl_column *columns;
    size_t count;
} pl_layout;

typedef struct pl_output_class {
    const char *name;
    void (*begin)(pl_output *output, const pl_record *names);
    void (*row)(pl_output *output, const pl_record *record);
    void (*page)(pl_output *output); /* rows so far go into the buffer; NULL: they are there already */
    void (*end)(pl_output *output);
} pl_output_class;

extern const pl_output_class pl_output_table, pl_output_json, pl_output_ndjson, pl_output_csv;

#define PL_COLUMNS_MAX 16
#define PL_USERS_KEPT 16

/* A name of the user data base, which may be as slow as a network. */
typedef struct pl_user_name {
    int64_t uid;
    bool asked, found;
    char name[64];
} pl_user_name;

struct pl_output {
    const pl_output_class *class;
    const pl_layout *layout;
    int fd; /* not owned */
    bool utc, color;
    uint64_t rows;
    pl_buffer buffer; /* rendered */
    /* of the table: cells of the rows of this page, one after the other, and how they are cut */
    pl_buffer cells;
    struct pl_cell_mark *marks; /* owned; count * columns */
    size_t mark_count, mark_size;
    size_t widths[PL_COLUMNS_MAX]; /* never narrower than on the page before */
    bool headed;
    pl_user_name users[PL_USERS_KEPT]; /* by uid modulo */
};

void pl_output_init(pl_output *output, const pl_output_class *class, const pl_layout *layout, int fd);
void pl_output_deinit(pl_output *output);
/* names: a record whose values are not looked at. */
void pl_output_begin(pl_output *output, const pl_record *names);
void pl_output_row(pl_output *output, const pl_record *record);
/* Writes what is there. 0, PL_ERR_NOMEM, or the code of the failed write. */
int pl_output_flush(pl_output *output);
/* Closes brackets, then flushes. */
int pl_output_end(pl_output *output);

/* For the classes. */
void pl_show_cell(pl_output *output, const pl_column *column, const pl_record *record, pl_buffer *out);
/* "name: value" for people: times, durations and users by the field's name. false: nothing to show. */
bool pl_show_field(pl_output *output, const pl_field *field, const pl_record *record, pl_buffer *out);
/* A JSON text of unknown origin made safe for a terminal, still the same JSON value. */
void pl_json_safe(pl_buffer *out, const char *json, size_t length);
/* A quoted JSON string. */
void pl_json_string(pl_buffer *out, const char *text, size_t length);

#endif

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What the formats share: the calls behind the vtable, and how one value looks to people. Owns the buffers of a
 * pl_output; the descriptor stays the caller's. Allocation failures are kept in the buffers and come out at flush.
 */
#include "tools/procledger/output.h"

#include <inttypes.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "src/base/error.h"
#include "tools/procledger/when.h"

const pl_field *pl_record_find(const pl_record *record, const char *name)
{
    for (size_t i = 0; i < record->count; i++)
        if (strcmp(record->fields[i].name, name) == 0)
            return &record->fields[i];
    return NULL;
}

int64_t pl_record_integer(const pl_record *record, const char *name, int64_t fallback)
{
    const pl_field *field = pl_record_find(record, name);

    return field && field->type == PL_CELL_INTEGER ? field->integer : fallback;
}

void pl_output_init(pl_output *output, const pl_output_class *class, const pl_layout *layout, int fd)
{
    *output = (pl_output){.class = class, .layout = layout, .fd = fd};
}

void pl_output_deinit(pl_output *output)
{
    pl_buffer_deinit(&output->buffer);
    pl_buffer_deinit(&output->cells);
    free(output->marks);
    *output = (pl_output){.fd = -1};
}

void pl_output_begin(pl_output *output, const pl_record *names)
{
    output->class->begin(output, names);
}

void pl_output_row(pl_output *output, const pl_record *record)
{
    output->class->row(output, record);
    output->rows++;
}

int pl_output_flush(pl_output *output)
{
    if (output->class->page)
        output->class->page(output);
    return pl_buffer_write(&output->buffer, output->fd);
}

int pl_output_end(pl_output *output)
{
    if (output->class->page)
        output->class->page(output);
    output->class->end(output);
    return pl_buffer_write(&output->buffer, output->fd);
}

static void show_time(const pl_output *output, int64_t seconds, int64_t ns, bool with_ms, pl_buffer *out)
{
    char text[PL_WHEN_SIZE];

    pl_buffer_append(out, text, pl_when_format(seconds, ns, with_ms, output->utc, text));
}

static void show_bytes(int64_t bytes, pl_buffer *out)
{
    static const char *const names[] = {"B", "KiB", "MiB", "GiB", "TiB"};
    double value = (double)bytes;
    size_t unit = 0;

    for (; value >= 1024 && unit + 1 < sizeof(names) / sizeof(names[0]); unit++)
        value /= 1024;
    if (unit == 0)
        pl_buffer_format(out, "%" PRId64 " B", bytes);
    else
        pl_buffer_format(out, "%.1f %s", value, names[unit]);
}

/* The name where the user data base has one; only root is known without asking it. */
static bool show_user_name(pl_output *output, int64_t uid, pl_buffer *out)
{
    if (uid < 0 || uid > UINT32_MAX)
        return false;
    if (uid == 0) {
        pl_buffer_text(out, "root");
        return true;
    }
    pl_user_name *user = &output->users[uid % PL_USERS_KEPT];
    if (!user->asked || user->uid != uid) {
        struct passwd entry, *found = NULL;
        char text[1024];
        *user = (pl_user_name){.uid = uid, .asked = true};
        user->found = getpwuid_r((uid_t)uid, &entry, text, sizeof(text), &found) == 0 && found &&
                      snprintf(user->name, sizeof(user->name), "%s", found->pw_name) > 0;
    }
    if (user->found)
        pl_buffer_escaped(out, user->name, strlen(user->name));
    return user->found;
}

static void show_plain(const pl_field *field, pl_buffer *out)
{
    static const char hex[] = "0123456789abcdef";

    switch (field->type) {
    case PL_CELL_NULL:
        break;
    case PL_CELL_INTEGER:
        pl_buffer_format(out, "%" PRId64, field->integer);
        break;
    case PL_CELL_REAL:
        pl_buffer_format(out, "%.15g", field->real);
        break;
    case PL_CELL_TEXT:
        pl_buffer_escaped(out, field->text, field->length);
        break;
    case PL_CELL_BLOB:
        for (size_t i = 0; i < field->length; i++) {
            unsigned char byte = (unsigned char)field->text[i];
            pl_buffer_append(out, (char[]){hex[byte >> 4], hex[byte & 15]}, 2);
        }
        break;
    }
}

static void show_hash(const pl_field *field, const pl_record *record, size_t digits, pl_buffer *out)
{
    const pl_field *state = pl_record_find(record, "hash_state");

    if (field->type == PL_CELL_TEXT) {
        pl_buffer_escaped(out, field->text, field->length < digits ? field->length : digits);
    } else if (state && state->type == PL_CELL_TEXT) {
        pl_buffer_text(out, "(");
        pl_buffer_escaped(out, state->text, state->length);
        pl_buffer_text(out, ")");
    } else {
        pl_buffer_text(out, "-");
    }
}

/* "0", "sig 9", "exec", "lost"; "runs" while there is no end. */
static void show_result(const pl_record *record, pl_buffer *out)
{
    const pl_field *signal = pl_record_find(record, "exit_signal");
    const pl_field *code = pl_record_find(record, "exit_code");
    const pl_field *reason = pl_record_find(record, "end_reason");

    if (signal && signal->type == PL_CELL_INTEGER)
        pl_buffer_format(out, "sig %" PRId64, signal->integer);
    else if (code && code->type == PL_CELL_INTEGER)
        pl_buffer_format(out, "%" PRId64, code->integer);
    else if (reason && reason->type == PL_CELL_TEXT)
        pl_buffer_escaped(out, reason->text, reason->length);
    else
        pl_buffer_text(out, "runs");
}

void pl_show_cell(pl_output *output, const pl_column *column, const pl_record *record, pl_buffer *out)
{
    const pl_field *field = pl_record_find(record, column->field);
    char text[PL_WHEN_SIZE];

    if (column->kind == PL_SHOW_RESULT) {
        show_result(record, out);
        return;
    }
    if (field && (column->kind == PL_SHOW_HASH || column->kind == PL_SHOW_HASH12)) {
        show_hash(field, record, column->kind == PL_SHOW_HASH ? 64 : 12, out);
        return;
    }
    if (!field || field->type == PL_CELL_NULL) {
        pl_buffer_text(out, "-");
        return;
    }
    bool number = field->type == PL_CELL_INTEGER;
    if (number && column->kind == PL_SHOW_TIME)
        show_time(output, field->integer, 0, false, out);
    else if (number && column->kind == PL_SHOW_TIME_MS)
        show_time(output, field->integer, pl_record_integer(record, "time_ns", 0), true, out);
    else if (number && column->kind == PL_SHOW_DURATION)
        pl_buffer_append(out, text, pl_duration_format(field->integer, text));
    else if (number && column->kind == PL_SHOW_BYTES)
        show_bytes(field->integer, out);
    else if (number && column->kind == PL_SHOW_USER && show_user_name(output, field->integer, out))
        return;
    else
        show_plain(field, out);
}

static bool is_one_of(const char *name, const char *const *names)
{
    for (; *names; names++)
        if (strcmp(name, *names) == 0)
            return true;
    return false;
}

bool pl_show_field(pl_output *output, const pl_field *field, const pl_record *record, pl_buffer *out)
{
    static const char *const told_by_time[] = {"at", "time_ns", NULL};
    static const char *const times[] = {"time", "end_time", "first_time", "last_time", NULL};
    static const char *const users[] = {"uid", "euid", "suid", "auid", NULL};
    static const char *const sizes[] = {"size", "bytes_hashed", "database_bytes", "wal_bytes", NULL};
    char text[PL_WHEN_SIZE];

    if (field->type == PL_CELL_NULL || is_one_of(field->name, told_by_time))
        return false;
    if (field->type == PL_CELL_TEXT && field->length == 0)
        return false;
    if (field->type != PL_CELL_INTEGER) {
        show_plain(field, out);
        return true;
    }
    if (is_one_of(field->name, times)) {
        bool start = strcmp(field->name, "time") == 0 && pl_record_find(record, "time_ns");
        show_time(output, field->integer, start ? pl_record_integer(record, "time_ns", 0) : 0, start, out);
        return true;
    }
    if (strcmp(field->name, "duration_ns") == 0) {
        pl_buffer_append(out, text, pl_duration_format(field->integer, text));
        return true;
    }
    if (strcmp(field->name, "mode") == 0) {
        pl_buffer_format(out, "%04" PRIo64, (uint64_t)field->integer & 07777);
        return true;
    }
    show_plain(field, out);
    if (is_one_of(field->name, users)) {
        pl_buffer_text(out, " (");
        if (!show_user_name(output, field->integer, out))
            pl_buffer_text(out, "no name");
        pl_buffer_text(out, ")");
    } else if (is_one_of(field->name, sizes) && field->integer >= 1024) {
        pl_buffer_text(out, " (");
        show_bytes(field->integer, out);
        pl_buffer_text(out, ")");
    }
    return true;
}

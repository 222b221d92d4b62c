/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The format for people: aligned columns, or, for a layout without columns, one "name  value" line a field. Columns
 * are as wide as the widest cell of the page (in terminal columns, not bytes), and never narrower than before, so that
 * `log -f` does not wobble. The last column is not padded. Nothing is cut: a pager or the terminal does that.
 */
#include "tools/procledger/output.h"

#include <stdlib.h>
#include <string.h>

#include "src/base/text.h"

#define BOLD "\033[1m"
#define RED "\033[31m"
#define PLAIN "\033[0m"

struct pl_cell_mark {
    size_t length; /* bytes in output->cells */
    bool bad;      /* shown in red */
};

static bool right_aligned(pl_cell_kind kind)
{
    return kind == PL_SHOW_INTEGER || kind == PL_SHOW_BYTES || kind == PL_SHOW_DURATION;
}

static void table_begin(pl_output *output, const pl_record *names)
{
    (void)names;
    for (size_t i = 0; i < output->layout->count; i++)
        if (output->widths[i] < strlen(output->layout->columns[i].header))
            output->widths[i] = strlen(output->layout->columns[i].header);
}

static void vertical_row(pl_output *output, const pl_record *record)
{
    size_t width = 0;

    for (size_t i = 0; i < record->count; i++)
        if (strlen(record->fields[i].name) > width)
            width = strlen(record->fields[i].name);
    if (output->rows > 0)
        pl_buffer_text(&output->buffer, "\n");
    for (size_t i = 0; i < record->count; i++) {
        const pl_field *field = &record->fields[i];
        pl_buffer_clear(&output->cells);
        if (!pl_show_field(output, field, record, &output->cells))
            continue;
        pl_buffer_text(&output->buffer, output->color ? BOLD : "");
        pl_buffer_escaped(&output->buffer, field->name, strlen(field->name));
        pl_buffer_text(&output->buffer, output->color ? PLAIN : "");
        pl_buffer_fill(&output->buffer, ' ', width - strlen(field->name) + 2);
        pl_buffer_append(&output->buffer, output->cells.bytes, output->cells.length);
        pl_buffer_text(&output->buffer, "\n");
    }
    output->buffer.failed |= output->cells.failed;
    pl_buffer_clear(&output->cells);
}

/* An end that somebody may want to look at. */
static bool is_bad(const pl_column *column, const pl_record *record)
{
    const pl_field *state = pl_record_find(record, "state");

    if (column->kind == PL_SHOW_RESULT)
        return pl_record_integer(record, "exit_code", 0) != 0 || pl_record_integer(record, "exit_signal", 0) != 0;
    return strcmp(column->field, "state") == 0 && state && state->type == PL_CELL_TEXT &&
           (strcmp(state->text, "missing") == 0 || strcmp(state->text, "error") == 0);
}

static bool reserve_marks(pl_output *output, size_t count)
{
    if (output->mark_count + count <= output->mark_size)
        return true;
    size_t size = output->mark_size ? output->mark_size * 2 : 1024;
    struct pl_cell_mark *marks = realloc(output->marks, size * sizeof(*marks));
    if (!marks) {
        output->buffer.failed = true;
        return false;
    }
    output->marks = marks;
    output->mark_size = size;
    return true;
}

static void table_row(pl_output *output, const pl_record *record)
{
    const pl_layout *layout = output->layout;

    if (layout->count == 0) {
        vertical_row(output, record);
        return;
    }
    if (!reserve_marks(output, layout->count))
        return;
    for (size_t i = 0; i < layout->count; i++) {
        size_t from = output->cells.length;
        pl_show_cell(output, &layout->columns[i], record, &output->cells);
        if (output->cells.failed) {
            output->buffer.failed = true;
            return;
        }
        size_t length = output->cells.length - from;
        size_t columns = pl_text_columns(output->cells.bytes + from, length);
        output->marks[output->mark_count++] =
            (struct pl_cell_mark){.length = length, .bad = is_bad(&layout->columns[i], record)};
        if (columns > output->widths[i])
            output->widths[i] = columns;
    }
}

static void put_header(pl_output *output)
{
    const pl_layout *layout = output->layout;

    pl_buffer_text(&output->buffer, output->color ? BOLD : "");
    for (size_t i = 0; i < layout->count; i++) {
        size_t length = strlen(layout->columns[i].header);
        bool right = right_aligned(layout->columns[i].kind), last = i + 1 == layout->count;
        pl_buffer_fill(&output->buffer, ' ', right ? output->widths[i] - length : 0);
        pl_buffer_append(&output->buffer, layout->columns[i].header, length);
        pl_buffer_fill(&output->buffer, ' ', (right || last ? 0 : output->widths[i] - length) + (last ? 0 : 2));
    }
    pl_buffer_text(&output->buffer, output->color ? PLAIN "\n" : "\n");
    output->headed = true;
}

static void put_cell(pl_output *output, size_t i, const char *bytes, const struct pl_cell_mark *mark)
{
    bool right = right_aligned(output->layout->columns[i].kind), last = i + 1 == output->layout->count;
    size_t padding = output->widths[i] - pl_text_columns(bytes, mark->length);
    bool red = mark->bad && output->color;

    pl_buffer_fill(&output->buffer, ' ', right ? padding : 0);
    pl_buffer_text(&output->buffer, red ? RED : "");
    pl_buffer_append(&output->buffer, bytes, mark->length);
    pl_buffer_text(&output->buffer, red ? PLAIN : "");
    pl_buffer_fill(&output->buffer, ' ', (right || last ? 0 : padding) + (last ? 0 : 2));
    if (last)
        pl_buffer_text(&output->buffer, "\n");
}

static void table_page(pl_output *output)
{
    size_t at = 0;

    if (output->layout->count == 0 || output->mark_count == 0 || output->buffer.failed)
        return;
    if (!output->headed)
        put_header(output);
    for (size_t i = 0; i < output->mark_count; i++) {
        put_cell(output, i % output->layout->count, output->cells.bytes + at, &output->marks[i]);
        at += output->marks[i].length;
    }
    output->mark_count = 0;
    pl_buffer_clear(&output->cells);
}

static void table_end(pl_output *output)
{
    (void)output;
}

const pl_output_class pl_output_table = {
    .name = "table",
    .begin = table_begin,
    .row = table_row,
    .page = table_page,
    .end = table_end,
};

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * CSV after RFC 4180: a header line, CRLF, quotes around what needs them and doubled inside. NULL is an empty field,
 * an empty text is "", blobs are lower-case hex. Text is escaped for terminals first, so a row is always one line.
 */
#include "tools/procledger/output.h"

#include <inttypes.h>
#include <string.h>

#include "src/base/text.h"

static void put_text(pl_buffer *out, const char *text, size_t length)
{
    bool quote = length == 0;

    for (size_t i = 0; i < length && !quote; i++)
        quote = text[i] == '"' || text[i] == ',' || text[i] == ' ';
    if (!quote) {
        pl_buffer_escaped(out, text, length);
        return;
    }
    pl_buffer_text(out, "\"");
    for (size_t i = 0; i < length;) {
        const char *next = memchr(text + i, '"', length - i);
        size_t n = next ? (size_t)(next - text) - i : length - i;
        pl_buffer_escaped(out, text + i, n);
        i += n;
        if (next) {
            pl_buffer_text(out, "\"\"");
            i++;
        }
    }
    pl_buffer_text(out, "\"");
}

static void csv_begin(pl_output *output, const pl_record *names)
{
    for (size_t i = 0; i < names->count; i++) {
        pl_buffer_text(&output->buffer, i ? "," : "");
        put_text(&output->buffer, names->fields[i].name, strlen(names->fields[i].name));
    }
    pl_buffer_text(&output->buffer, "\r\n");
}

static void csv_row(pl_output *output, const pl_record *record)
{
    pl_buffer *out = &output->buffer;

    for (size_t i = 0; i < record->count; i++) {
        const pl_field *field = &record->fields[i];
        pl_buffer_text(out, i ? "," : "");
        switch (field->type) {
        case PL_CELL_NULL:
            break;
        case PL_CELL_INTEGER:
            pl_buffer_format(out, "%" PRId64, field->integer);
            break;
        case PL_CELL_REAL:
            pl_buffer_format(out, "%.17g", field->real);
            break;
        case PL_CELL_TEXT:
            put_text(out, field->text, field->length);
            break;
        case PL_CELL_BLOB:
            for (size_t b = 0; b < field->length; b++)
                pl_buffer_format(out, "%02x", (unsigned char)field->text[b]);
            break;
        }
    }
    pl_buffer_text(out, "\r\n");
}

static void csv_end(pl_output *output)
{
    (void)output;
}

const pl_output_class pl_output_csv = {.name = "csv", .begin = csv_begin, .row = csv_row, .end = csv_end};

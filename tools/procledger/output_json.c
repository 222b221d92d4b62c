/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * JSON: one array, or one object a line (ndjson). Rows of the ledger come as SQLite wrote them; rows made by this
 * program (doctor) are written here. A ledger may come from anywhere, so what is hostile on a terminal is turned into
 * \u escapes, and bytes that are no UTF-8 into U+FFFD: the result is always valid JSON, one line a row.
 */
#include "tools/procledger/output.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "src/base/text.h"

/* Bytes that the lead byte announces, as far as they are there. */
static size_t announced(const char *p, size_t left)
{
    unsigned char c = (unsigned char)p[0];
    size_t n = c < 0xc2 ? 1 : c < 0xe0 ? 2 : c < 0xf0 ? 3 : c < 0xf5 ? 4 : 1;

    return n < left ? n : left;
}

void pl_json_safe(pl_buffer *out, const char *json, size_t length)
{
    if (pl_text_escaped_length(json, length) == length) {
        pl_buffer_append(out, json, length);
        return;
    }
    for (size_t i = 0; i < length;) {
        char escape[64];
        size_t n = announced(json + i, length - i);
        size_t got = pl_text_escape_into(json + i, n, escape, sizeof(escape));
        unsigned char c = (unsigned char)json[i];
        if (got == n && memcmp(escape, json + i, n) == 0) {
            pl_buffer_append(out, json + i, n);
            i += n;
        } else if (c < 0x80) {
            pl_buffer_format(out, "\\u%04x", c);
            i++;
        } else if (strncmp(escape, "\\u", 2) == 0) { /* a hostile character: the same escape is JSON's */
            pl_buffer_append(out, escape, got);
            i += n;
        } else {
            pl_buffer_text(out, "\\ufffd");
            i++;
        }
    }
}

void pl_json_string(pl_buffer *out, const char *text, size_t length)
{
    pl_buffer_text(out, "\"");
    for (size_t i = 0; i < length;) {
        size_t n = 0;
        while (i + n < length && text[i + n] != '"' && text[i + n] != '\\')
            n++;
        pl_json_safe(out, text + i, n);
        i += n;
        if (i < length) {
            pl_buffer_append(out, "\\", 1);
            pl_buffer_append(out, text + i++, 1);
        }
    }
    pl_buffer_text(out, "\"");
}

static void put_value(pl_buffer *out, const pl_field *field)
{
    switch (field->type) {
    case PL_CELL_NULL:
        pl_buffer_text(out, "null");
        break;
    case PL_CELL_INTEGER:
        pl_buffer_format(out, "%" PRId64, field->integer);
        break;
    case PL_CELL_REAL:
        pl_buffer_format(out, "%.17g", field->real);
        break;
    case PL_CELL_TEXT:
        pl_json_string(out, field->text, field->length);
        break;
    case PL_CELL_BLOB:
        pl_buffer_text(out, "\"");
        for (size_t i = 0; i < field->length; i++)
            pl_buffer_format(out, "%02X", (unsigned char)field->text[i]);
        pl_buffer_text(out, "\"");
        break;
    }
}

static void put_object(pl_buffer *out, const pl_record *record)
{
    if (record->json) {
        pl_json_safe(out, record->json, strlen(record->json));
        return;
    }
    pl_buffer_text(out, "{");
    for (size_t i = 0; i < record->count; i++) {
        pl_buffer_text(out, i ? "," : "");
        pl_json_string(out, record->fields[i].name, strlen(record->fields[i].name));
        pl_buffer_text(out, ":");
        put_value(out, &record->fields[i]);
    }
    pl_buffer_text(out, "}");
}

static void json_begin(pl_output *output, const pl_record *names)
{
    (void)names;
    pl_buffer_text(&output->buffer, "[");
}

static void json_row(pl_output *output, const pl_record *record)
{
    pl_buffer_text(&output->buffer, output->rows ? ",\n" : "\n");
    put_object(&output->buffer, record);
}

static void json_end(pl_output *output)
{
    pl_buffer_text(&output->buffer, output->rows ? "\n]\n" : "]\n");
}

static void ndjson_begin(pl_output *output, const pl_record *names)
{
    (void)output;
    (void)names;
}

static void ndjson_row(pl_output *output, const pl_record *record)
{
    put_object(&output->buffer, record);
    pl_buffer_text(&output->buffer, "\n");
}

static void ndjson_end(pl_output *output)
{
    (void)output;
}

const pl_output_class pl_output_json = {.name = "json", .begin = json_begin, .row = json_row, .end = json_end};
const pl_output_class pl_output_ndjson = {
    .name = "ndjson", .begin = ndjson_begin, .row = ndjson_row, .end = ndjson_end};

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Rows made by hand, printed by one format into memory. */
#ifndef PL_TESTS_OUTPUT_SUPPORT_H
#define PL_TESTS_OUTPUT_SUPPORT_H

#include "src/base/text.h"
#include "tests/unit/tools/cli_support.h"
#include "tools/procledger/output.h"

#define NONE(n) ((pl_field){.name = (n), .type = PL_CELL_NULL})
#define INTEGER(n, v) ((pl_field){.name = (n), .type = PL_CELL_INTEGER, .integer = (v)})
#define REAL(n, v) ((pl_field){.name = (n), .type = PL_CELL_REAL, .real = (v)})
#define TEXT(n, v) ((pl_field){.name = (n), .type = PL_CELL_TEXT, .text = (v), .length = sizeof(v) - 1})
#define BLOB(n, v) ((pl_field){.name = (n), .type = PL_CELL_BLOB, .text = (v), .length = sizeof(v) - 1})
#define RECORD(...)                                                                                                    \
    (&(pl_record){.fields = (const pl_field[]){__VA_ARGS__},                                                           \
                  .count = sizeof((const pl_field[]){__VA_ARGS__}) / sizeof(pl_field)})

/* What a class writes for these records. Heap. */
HELPER char *print_records(pl_output *output, const pl_record *const *records)
{
    output->fd = scratch_file();
    pl_output_begin(output, records[0] ? records[0] : &(pl_record){0});
    for (; *records; records++)
        pl_output_row(output, *records);
    assert_int_equal(pl_output_end(output), 0);
    char *text = read_back(output->fd, NULL);
    pl_output_deinit(output);
    return text;
}

#define RECORDS(...) ((const pl_record *const[]){__VA_ARGS__, NULL})

HELPER void prints(pl_output *output, const pl_record *const *records, const char *expected)
{
    char *text = print_records(output, records);

    assert_string_equal(text, expected);
    free(text);
}

/* No control character but newline, none that turns the direction, and valid UTF-8. */
HELPER bool is_harmless(const char *text)
{
    for (const char *end; *text; text = *end ? end + 1 : end) {
        end = strchr(text, '\n') ? strchr(text, '\n') : text + strlen(text);
        size_t length = (size_t)(end - text);
        length -= length > 0 && end[-1] == '\r' && *end == '\n'; /* the end of a line of CSV */
        if (pl_text_escaped_length(text, length) != length)
            return false;
    }
    return true;
}

/* Numbers that are the same on each run. */
HELPER unsigned next_random(uint64_t *state)
{
    *state = *state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return (unsigned)(*state >> 33);
}

/* A text of odd bytes: ASCII, quotes, controls, pieces of UTF-8. Its length. */
HELPER size_t random_text(uint64_t *state, char *out, size_t most)
{
    static const char *const pieces[] = {
        "\"", "\\", ",", "\n", "\r\n", ESC, BIDI, C1, "\xc3\xa9", "a", "\xe2", "\xff", "\x7f", "/", "\xf0\x9f\x98\x80",
        "'"};
    size_t length = 0, count = next_random(state) % 12;

    for (size_t i = 0; i < count; i++) {
        const char *piece = pieces[next_random(state) % (sizeof(pieces) / sizeof(pieces[0]))];
        size_t n = strlen(piece);
        if (length + n >= most)
            break;
        memcpy(out + length, piece, n);
        length += n;
    }
    out[length] = '\0';
    return length;
}

#endif

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * JSON: SQLite must accept whatever comes out, and read back the value that went in; one line a row; nothing in it that
 * a terminal would obey.
 */
#include "tests/unit/tools/output_support.h"

static pl_output json(const pl_output_class *class)
{
    static const pl_layout layout = {0};
    pl_output output;

    pl_output_init(&output, class, &layout, -1);
    return output;
}

static void test_array(void **state)
{
    pl_output output = json(&pl_output_json);

    (void)state;
    prints(&output, RECORDS(RECORD(INTEGER("a", 1)), RECORD(TEXT("a", "x"), NONE("b"))),
           "[\n{\"a\":1},\n{\"a\":\"x\",\"b\":null}\n]\n");
    output = json(&pl_output_json);
    prints(&output, (const pl_record *const[]){NULL}, "[]\n");
}

static void test_objects_on_lines(void **state)
{
    pl_output output = json(&pl_output_ndjson);

    (void)state;
    prints(&output, RECORDS(RECORD(INTEGER("a", 1)), RECORD(TEXT("a", "x"))), "{\"a\":1}\n{\"a\":\"x\"}\n");
    output = json(&pl_output_ndjson);
    prints(&output, (const pl_record *const[]){NULL}, "");
}

static void test_types(void **state)
{
    pl_output output = json(&pl_output_ndjson);

    (void)state;
    prints(
        &output,
        RECORDS(RECORD(INTEGER("i", INT64_MIN), REAL("r", 0.1), BLOB("b", "\x00\xfe"), TEXT("t", ""),
                       TEXT("q\"", "\"\\/"))),
        "{\"i\":-9223372036854775808,\"r\":0.10000000000000001,\"b\":\"00FE\",\"t\":\"\",\"q\\\"\":\"\\\"\\\\/\"}\n");
}

static void test_hostile_strings(void **state)
{
    pl_output output = json(&pl_output_json);
    char *text;

    (void)state;
    text = print_records(&output, RECORDS(RECORD(TEXT(HOSTILE, HOSTILE))));
    assert_true(is_json(text));
    assert_true(is_harmless(text));
    assert_non_null(strstr(text, "\"a\\u001b[31m\\u202e\\u009b\\u000a\\ufffd\\u0009'\\\"\\\\,b\""));
    free(text);
}

/* Rows come from SQLite as JSON already; only what is hostile on a terminal is replaced, by what means the same. */
static void test_rows_made_by_sqlite(void **state)
{
    pl_output output = json(&pl_output_json);
    pl_record record = {.json = "{\"a\":\"" BIDI C1 "\x7f\xc3\xa9\\n\",\"argv\":[\"x\",\"\\u001b\"]}"};

    (void)state;
    char *text = print_records(&output, RECORDS(&record));
    assert_string_equal(text, "[\n{\"a\":\"\\u202e\\u009b\\u007f\xc3\xa9\\n\",\"argv\":[\"x\",\"\\u001b\"]}\n]\n");
    assert_true(is_json(text));
    free(text);
}

/* The value of $.t, from SQLite. Heap. */
static char *value_of(const char *text)
{
    sqlite3 *db = NULL;
    sqlite3_stmt *s = NULL;

    assert_int_equal(sqlite3_open(":memory:", &db), SQLITE_OK);
    assert_int_equal(sqlite3_prepare_v2(db, "SELECT json_extract(?1, '$[0].t')", -1, &s, NULL), SQLITE_OK);
    assert_int_equal(sqlite3_bind_text(s, 1, text, -1, SQLITE_STATIC), SQLITE_OK);
    assert_int_equal(sqlite3_step(s), SQLITE_ROW);
    char *value = strdup((const char *)sqlite3_column_text(s, 0));
    assert_int_equal(sqlite3_finalize(s), SQLITE_OK);
    assert_int_equal(sqlite3_close(db), SQLITE_OK);
    return value;
}

/* Bytes that are no UTF-8 become U+FFFD; all else is the value that went in. */
static void test_random_strings_come_back(void **state)
{
    uint64_t seed = 7;
    char raw[64];

    (void)state;
    for (int i = 0; i < 1000; i++) {
        pl_output output = json(&pl_output_json);
        pl_field field = TEXT("t", "");
        field.text = raw;
        field.length = random_text(&seed, raw, sizeof(raw));
        char *text = print_records(&output, RECORDS(&(pl_record){.fields = &field, .count = 1}));
        if (!is_json(text) || !is_harmless(text))
            fail_msg("no JSON, or not harmless: %s", text);
        char *value = value_of(text);
        size_t odd = 0;
        char *expected = calloc(1, 3 * sizeof(raw));
        for (const char *p = raw; *p;) {
            char escaped[16];
            size_t n = (unsigned char)*p < 0x80 ? 1 : (unsigned char)*p == 0xff ? 1 : 0;
            if (n == 0) /* pieces of two, three and four bytes, or a lone lead of three */
                n = strncmp(p, BIDI, 3) == 0                 ? 3
                    : strncmp(p, "\xf0\x9f\x98\x80", 4) == 0 ? 4
                    : (unsigned char)*p == 0xe2              ? 1
                                                             : 2;
            (void)pl_text_escape_into(p, n, escaped, sizeof(escaped));
            if (strncmp(escaped, "\\x", 2) == 0 && (unsigned char)*p >= 0x80) {
                memcpy(expected + odd, "\xef\xbf\xbd", 3);
                odd += 3;
            } else {
                memcpy(expected + odd, p, n);
                odd += n;
            }
            p += n;
        }
        assert_string_equal(value, expected);
        free(expected);
        free(value);
        free(text);
    }
}

/* Whatever bytes a ledger holds: one line a row. */
static void test_one_line_a_row(void **state)
{
    uint64_t seed = 99;
    char raw[64];

    (void)state;
    for (int i = 0; i < 500; i++) {
        pl_output output = json(&pl_output_ndjson);
        pl_field field = TEXT("t", "");
        field.text = raw;
        field.length = random_text(&seed, raw, sizeof(raw));
        char *text = print_records(&output, RECORDS(&(pl_record){.fields = &field, .count = 1}));
        assert_ptr_equal(strchr(text, '\n'), text + strlen(text) - 1);
        free(text);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_array),
        cmocka_unit_test(test_objects_on_lines),
        cmocka_unit_test(test_types),
        cmocka_unit_test(test_hostile_strings),
        cmocka_unit_test(test_rows_made_by_sqlite),
        cmocka_unit_test(test_random_strings_come_back),
        cmocka_unit_test(test_one_line_a_row),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

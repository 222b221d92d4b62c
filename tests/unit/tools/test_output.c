/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The table: columns that stand under each other in terminal columns, cells as people read them, colours only where
 * they were asked for, and nothing of a hostile ledger that a terminal would obey.
 */
#include "tests/unit/tools/output_support.h"

#include "tests/support/fault.h"

#include <errno.h>

static const pl_column columns[] = {
    {"pid", "PID", PL_SHOW_INTEGER},
    {"name", "NAME", PL_SHOW_TEXT},
    {"size", "SIZE", PL_SHOW_BYTES},
    {"path", "PATH", PL_SHOW_TEXT},
};
static const pl_layout layout = {columns, 4};
static const pl_layout vertical = {0};

static pl_output table(const pl_layout *of)
{
    pl_output output;

    pl_output_init(&output, &pl_output_table, of, -1);
    output.utc = true;
    return output;
}

static int prepare(void **state)
{
    (void)state;
    set_environment();
    return 0;
}

static void test_alignment(void **state)
{
    pl_output output = table(&layout);

    (void)state;
    prints(&output,
           RECORDS(RECORD(INTEGER("pid", 1), TEXT("name", "a"), INTEGER("size", 5), TEXT("path", "/x")),
                   RECORD(INTEGER("pid", 12345), TEXT("name", "longer"), INTEGER("size", 1536), TEXT("path", "/yy"))),
           "  PID  NAME       SIZE  PATH\n"
           "    1  a           5 B  /x\n"
           "12345  longer  1.5 KiB  /yy\n");
}

/* In columns of the terminal: two for CJK, none for a combining mark. */
static void test_alignment_of_wide_characters(void **state)
{
    pl_output output = table(&layout);

    (void)state;
    prints(&output,
           RECORDS(RECORD(INTEGER("pid", 1), TEXT("name", "\xe6\xbc\xa2\xe5\xad\x97"), INTEGER("size", 1),
                          TEXT("path", "/wide")),
                   RECORD(INTEGER("pid", 1), TEXT("name", "e\xcc\x81"), INTEGER("size", 1), TEXT("path", "/mark")),
                   RECORD(INTEGER("pid", 1), TEXT("name", "abcd"), INTEGER("size", 1), TEXT("path", "/ascii"))),
           "PID  NAME  SIZE  PATH\n"
           "  1  \xe6\xbc\xa2\xe5\xad\x97   1 B  /wide\n"
           "  1  e\xcc\x81      1 B  /mark\n"
           "  1  abcd   1 B  /ascii\n");
}

/* A page that comes later is never narrower, and has no second header. */
static void test_pages(void **state)
{
    pl_output output = table(&layout);

    (void)state;
    output.fd = scratch_file();
    pl_output_begin(&output, &(pl_record){0});
    pl_output_row(&output, RECORD(INTEGER("pid", 1234567), TEXT("name", "n"), NONE("size"), TEXT("path", "/")));
    assert_int_equal(pl_output_flush(&output), 0);
    pl_output_row(&output, RECORD(INTEGER("pid", 1), TEXT("name", "n"), NONE("size"), TEXT("path", "/")));
    assert_int_equal(pl_output_flush(&output), 0);
    assert_int_equal(pl_output_end(&output), 0);
    assert_int_equal(output.rows, 2);
    char *text = read_back(output.fd, NULL);
    assert_string_equal(text, "    PID  NAME  SIZE  PATH\n"
                              "1234567  n        -  /\n"
                              "      1  n        -  /\n");
    free(text);
    pl_output_deinit(&output);
}

static void test_no_rows_no_header(void **state)
{
    pl_output output = table(&layout);

    (void)state;
    prints(&output, (const pl_record *const[]){NULL}, "");
}

static void test_missing_values(void **state)
{
    pl_output output = table(&layout);

    (void)state;
    prints(&output, RECORDS(RECORD(NONE("pid"), TEXT("name", ""), TEXT("size", "text"))),
           "PID  NAME  SIZE  PATH\n"
           "  -        text  -\n");
}

/* More rows than the first allocation of marks. */
static void test_many_rows(void **state)
{
    pl_output output = table(&layout);

    (void)state;
    output.fd = scratch_file();
    pl_output_begin(&output, &(pl_record){0});
    for (int i = 0; i < 5000; i++)
        pl_output_row(&output, RECORD(INTEGER("pid", i), TEXT("name", "x"), INTEGER("size", i), TEXT("path", "/p")));
    assert_int_equal(pl_output_end(&output), 0);
    char *text = read_back(output.fd, NULL);
    int lines = 0;
    for (const char *p = text; (p = strchr(p, '\n')); p++)
        lines++;
    assert_int_equal(lines, 5001);
    assert_non_null(strstr(text, "\n4999  x     4.9 KiB  /p\n"));
    free(text);
    pl_output_deinit(&output);
}

static char *cell(pl_cell_kind kind, const char *field, const pl_record *record)
{
    const pl_column column = {field, "X", kind};
    pl_output output = table(&(pl_layout){&column, 1});
    pl_buffer buffer = {0};

    pl_show_cell(&output, &column, record, &buffer);
    pl_buffer_append(&buffer, "", 1);
    pl_output_deinit(&output);
    return buffer.bytes;
}

static void shows(pl_cell_kind kind, const char *field, const pl_record *record, const char *expected)
{
    char *text = cell(kind, field, record);

    assert_string_equal(text, expected);
    free(text);
}

static void test_cells(void **state)
{
    (void)state;
    shows(PL_SHOW_TIME, "t", RECORD(INTEGER("t", 1767268800)), "2026-01-01 12:00:00Z");
    shows(PL_SHOW_TIME_MS, "t", RECORD(INTEGER("t", 1767268800), INTEGER("time_ns", 5000000)),
          "2026-01-01 12:00:00.005Z");
    shows(PL_SHOW_TIME_MS, "t", RECORD(INTEGER("t", 1767268800)), "2026-01-01 12:00:00.000Z");
    shows(PL_SHOW_DURATION, "d", RECORD(INTEGER("d", 1234000000)), "1.234s");
    shows(PL_SHOW_BYTES, "b", RECORD(INTEGER("b", 0)), "0 B");
    shows(PL_SHOW_BYTES, "b", RECORD(INTEGER("b", 1023)), "1023 B");
    shows(PL_SHOW_BYTES, "b", RECORD(INTEGER("b", 1024)), "1.0 KiB");
    shows(PL_SHOW_BYTES, "b", RECORD(INTEGER("b", INT64_MAX)), "8388608.0 TiB");
    shows(PL_SHOW_BYTES, "b", RECORD(INTEGER("b", -1)), "-1 B");
    shows(PL_SHOW_USER, "u", RECORD(INTEGER("u", 0)), "root");
    shows(PL_SHOW_USER, "u", RECORD(INTEGER("u", 3999999999)), "3999999999");
    shows(PL_SHOW_USER, "u", RECORD(INTEGER("u", -1)), "-1");
    shows(PL_SHOW_USER, "u", RECORD(NONE("u")), "-");
    shows(PL_SHOW_TEXT, "x", RECORD(REAL("x", 0.5)), "0.5");
    shows(PL_SHOW_TEXT, "x", RECORD(BLOB("x", "\x01\xab")), "01ab");
    shows(PL_SHOW_TEXT, "x", RECORD(TEXT("y", "other")), "-");
    /* A column of another type than the schema promises: as it is. */
    shows(PL_SHOW_TIME, "t", RECORD(TEXT("t", "soon")), "soon");
    shows(PL_SHOW_USER, "u", RECORD(TEXT("u", "who")), "who");
}

static void test_hash_cells(void **state)
{
    static const char digest[] = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

    (void)state;
    shows(PL_SHOW_HASH, "sha256", RECORD(TEXT("sha256", digest)), digest);
    shows(PL_SHOW_HASH12, "sha256", RECORD(TEXT("sha256", digest)), "0123456789ab");
    shows(PL_SHOW_HASH12, "sha256", RECORD(TEXT("sha256", "0123")), "0123");
    shows(PL_SHOW_HASH, "sha256", RECORD(NONE("sha256"), TEXT("hash_state", "vanished")), "(vanished)");
    shows(PL_SHOW_HASH12, "sha256", RECORD(NONE("sha256"), TEXT("hash_state", ESC)), "(\\x1b)");
    shows(PL_SHOW_HASH, "sha256", RECORD(NONE("sha256"), NONE("hash_state")), "-");
    shows(PL_SHOW_HASH, "sha256", RECORD(NONE("other")), "-");
}

static void test_result_cells(void **state)
{
    (void)state;
    shows(PL_SHOW_RESULT, "", RECORD(INTEGER("exit_code", 0), TEXT("end_reason", "exit")), "0");
    shows(PL_SHOW_RESULT, "", RECORD(INTEGER("exit_code", 7), TEXT("end_reason", "exit")), "7");
    shows(PL_SHOW_RESULT, "", RECORD(NONE("exit_code"), INTEGER("exit_signal", 9), TEXT("end_reason", "exit")),
          "sig 9");
    shows(PL_SHOW_RESULT, "", RECORD(NONE("exit_code"), TEXT("end_reason", "exec")), "exec");
    shows(PL_SHOW_RESULT, "", RECORD(NONE("exit_code"), TEXT("end_reason", "lost")), "lost");
    shows(PL_SHOW_RESULT, "", RECORD(NONE("exit_code"), NONE("end_reason")), "runs");
}

/* Each uid is asked for once; two that meet in one place do not take each other's names. */
static void test_user_names_do_not_mix(void **state)
{
    static const pl_column column[] = {{"uid", "USER", PL_SHOW_USER}};
    pl_output output = table(&(pl_layout){column, 1});

    (void)state;
    output.users[5] = (pl_user_name){.uid = 5, .asked = true, .found = true, .name = "five" ESC};
    prints(&output,
           RECORDS(RECORD(INTEGER("uid", 5)), RECORD(INTEGER("uid", INT64_C(3999999989))), RECORD(INTEGER("uid", 0))),
           "USER\nfive\\x1b\n3999999989\nroot\n");
}

static void test_colors(void **state)
{
    static const pl_column with_end[] = {{"result", "END", PL_SHOW_RESULT}, {"state", "STATE", PL_SHOW_TEXT}};
    const pl_layout ends = {with_end, 2};
    pl_output output = table(&ends);

    (void)state;
    output.color = true;
    prints(&output,
           RECORDS(RECORD(INTEGER("exit_code", 0), TEXT("state", "ok")),
                   RECORD(INTEGER("exit_code", 1), TEXT("state", "missing"))),
           ESC "[1mEND  STATE" ESC "[0m\n"
               "0    ok\n" ESC "[31m1" ESC "[0m    " ESC "[31mmissing" ESC "[0m\n");
    output = table(&ends);
    prints(&output, RECORDS(RECORD(INTEGER("exit_code", 1), TEXT("state", "missing"))), "END  STATE\n1    missing\n");
}

static void test_vertical(void **state)
{
    pl_output output = table(&vertical);

    (void)state;
    prints(&output,
           RECORDS(RECORD(INTEGER("time", 1767268800), INTEGER("time_ns", 7000000), TEXT("at", "not shown"),
                          INTEGER("uid", 0), INTEGER("euid", 3999999999), INTEGER("mode", 0100755),
                          INTEGER("size", 2048), INTEGER("duration_ns", 1500000), NONE("empty"), TEXT("nothing", ""),
                          INTEGER("end_time", 1767268801), TEXT("path", "/x"), BLOB("path_bytes", "/\xff")),
                   RECORD(INTEGER("eid", 5))),
           "time         2026-01-01 12:00:00.007Z\n"
           "uid          0 (root)\n"
           "euid         3999999999 (no name)\n"
           "mode         0755\n"
           "size         2048 (2.0 KiB)\n"
           "duration_ns  1.5ms\n"
           "end_time     2026-01-01 12:00:01Z\n"
           "path         /x\n"
           "path_bytes   2fff\n"
           "\n"
           "eid  5\n");
}

static void test_hostile_text_is_harmless(void **state)
{
    pl_output output = table(&layout);
    char *text;

    (void)state;
    text = print_records(&output, RECORDS(RECORD(TEXT("pid", HOSTILE), TEXT("name", HOSTILE), TEXT("size", HOSTILE),
                                                 TEXT("path", HOSTILE))));
    assert_true(is_harmless(text));
    assert_non_null(strstr(text, "a\\x1b[31m\\u202e\\u009b\\n\\xff\\t'\"\\,b"));
    free(text);
    output = table(&vertical);
    text = print_records(&output, RECORDS(RECORD(TEXT(HOSTILE, HOSTILE), TEXT("time", HOSTILE))));
    assert_true(is_harmless(text));
    free(text);
}

static void test_random_text_is_harmless_and_aligned(void **state)
{
    uint64_t seed = 1;
    char a[64], b[64];

    (void)state;
    for (int i = 0; i < 500; i++) {
        pl_output output = table(&layout);
        pl_field fields[] = {INTEGER("pid", 1), TEXT("name", ""), INTEGER("size", 1), TEXT("path", "")};
        pl_field second[] = {INTEGER("pid", 1), TEXT("name", ""), INTEGER("size", 1), TEXT("path", "|")};
        fields[1].text = a;
        fields[1].length = random_text(&seed, a, sizeof(a));
        second[1].text = b;
        second[1].length = random_text(&seed, b, sizeof(b));
        fields[3] = TEXT("path", "|");
        char *text = print_records(
            &output, RECORDS(&(pl_record){.fields = fields, .count = 4}, &(pl_record){.fields = second, .count = 4}));
        assert_true(is_harmless(text));
        /* The bar stands in the same column of both lines. */
        char *one = strchr(text, '\n') + 1, *two = strchr(one, '\n') + 1;
        size_t length_one = (size_t)(two - 2 - one), length_two = strlen(two) - 2;
        assert_int_equal(one[length_one], '|');
        assert_int_equal(two[length_two], '|');
        assert_int_equal(pl_text_columns(one, length_one), pl_text_columns(two, length_two));
        free(text);
    }
}

static void test_failures_come_out_at_the_end(void **state)
{
    (void)state;
    for (unsigned n = 1;; n++) {
        pl_output output = table(n % 2 ? &layout : &vertical);
        output.fd = scratch_file();
        pl_fault_arm(PL_FAULT_ALLOC, (n + 1) / 2, ENOMEM);
        pl_output_begin(&output, &(pl_record){0});
        for (int i = 0; i < 2000; i++)
            pl_output_row(&output, RECORD(INTEGER("pid", i), TEXT("name", "x"), NONE("size"), TEXT("path", HOSTILE)));
        int rc = pl_output_end(&output);
        bool fired = pl_fault_fired();
        pl_fault_disarm();
        assert_int_equal(rc, fired ? PL_ERR_NOMEM : 0);
        assert_int_equal(close(output.fd), 0);
        pl_output_deinit(&output);
        if (!fired && n > 20)
            break;
        assert_true(n < 1000);
    }
}

static void test_record_look_up(void **state)
{
    const pl_record *record = RECORD(INTEGER("a", 1), NONE("b"), TEXT("c", "x"));

    (void)state;
    assert_ptr_equal(pl_record_find(record, "c"), &record->fields[2]);
    assert_null(pl_record_find(record, "d"));
    assert_int_equal(pl_record_integer(record, "a", 9), 1);
    assert_int_equal(pl_record_integer(record, "b", 9), 9);
    assert_int_equal(pl_record_integer(record, "c", 9), 9);
    assert_int_equal(pl_record_integer(record, "d", 9), 9);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_alignment, prepare),
        cmocka_unit_test_setup(test_alignment_of_wide_characters, prepare),
        cmocka_unit_test_setup(test_pages, prepare),
        cmocka_unit_test_setup(test_no_rows_no_header, prepare),
        cmocka_unit_test_setup(test_missing_values, prepare),
        cmocka_unit_test_setup(test_many_rows, prepare),
        cmocka_unit_test_setup(test_cells, prepare),
        cmocka_unit_test_setup(test_hash_cells, prepare),
        cmocka_unit_test_setup(test_result_cells, prepare),
        cmocka_unit_test_setup(test_user_names_do_not_mix, prepare),
        cmocka_unit_test_setup(test_colors, prepare),
        cmocka_unit_test_setup(test_vertical, prepare),
        cmocka_unit_test_setup(test_hostile_text_is_harmless, prepare),
        cmocka_unit_test_setup(test_random_text_is_harmless_and_aligned, prepare),
        cmocka_unit_test_setup(test_failures_come_out_at_the_end, prepare),
        cmocka_unit_test_setup(test_record_look_up, prepare),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

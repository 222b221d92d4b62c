/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* CSV after RFC 4180, read back by a reader of this test's own. */
#include "tests/unit/tools/output_support.h"

static pl_output csv(void)
{
    static const pl_layout layout = {0};
    pl_output output;

    pl_output_init(&output, &pl_output_csv, &layout, -1);
    return output;
}

static void test_header_and_rows(void **state)
{
    pl_output output = csv();

    (void)state;
    prints(&output, RECORDS(RECORD(INTEGER("a", -1), TEXT("b", "x"), REAL("c", 0.5), BLOB("d", "\x01\xff"), NONE("e"))),
           "a,b,c,d,e\r\n-1,x,0.5,01ff,\r\n");
}

static void test_header_without_rows(void **state)
{
    pl_output output = csv();

    (void)state;
    output.fd = scratch_file();
    pl_output_begin(&output, RECORD(NONE("a"), NONE("b,c")));
    assert_int_equal(pl_output_end(&output), 0);
    char *text = read_back(output.fd, NULL);
    assert_string_equal(text, "a,\"b,c\"\r\n");
    free(text);
    pl_output_deinit(&output);
}

static void test_quotes(void **state)
{
    pl_output output = csv();

    (void)state;
    prints(&output,
           RECORDS(RECORD(TEXT("a", ""), TEXT("b", "with space"), TEXT("c", "a,b"), TEXT("d", "say \"hi\""),
                          TEXT("e", "\""), TEXT("f", "\"\""))),
           "a,b,c,d,e,f\r\n\"\",\"with space\",\"a,b\",\"say \"\"hi\"\"\",\"\"\"\",\"\"\"\"\"\"\r\n");
}

static void test_hostile_text(void **state)
{
    pl_output output = csv();
    char *text;

    (void)state;
    text = print_records(&output, RECORDS(RECORD(TEXT("a", HOSTILE), TEXT("b", ESC), TEXT("c", "x\r\ny"))));
    assert_true(is_harmless(text));
    assert_non_null(strstr(text, ",\\x1b,x\\r\\ny\r\n"));
    free(text);
}

/* One field at *p, unquoted, into out; *p behind its comma or at the end of the line. */
static void read_field(const char **p, char *out)
{
    bool quoted = **p == '"';

    for (*p += quoted; **p && (quoted || (**p != ',' && **p != '\r')); (*p)++) {
        if (quoted && **p == '"' && (*p)[1] != '"')
            break;
        if (quoted && **p == '"')
            (*p)++;
        *out++ = **p;
    }
    *out = '\0';
    *p += quoted;
    if (**p == ',')
        (*p)++;
    else
        assert_true(strncmp(*p, "\r\n", 2) == 0);
}

static void test_random_text_comes_back(void **state)
{
    uint64_t seed = 3;
    char raw[2][64], got[256], escaped[256];

    (void)state;
    for (int i = 0; i < 1000; i++) {
        pl_output output = csv();
        pl_field fields[] = {TEXT("a", ""), TEXT("b", "")};
        for (int k = 0; k < 2; k++) {
            fields[k].text = raw[k];
            fields[k].length = random_text(&seed, raw[k], sizeof(raw[k]));
        }
        char *text = print_records(&output, RECORDS(&(pl_record){.fields = fields, .count = 2}));
        const char *p = text + strlen("a,b\r\n");
        assert_true(is_harmless(text));
        for (int k = 0; k < 2; k++) {
            read_field(&p, got);
            (void)pl_text_escape_into(raw[k], fields[k].length, escaped, sizeof(escaped));
            assert_string_equal(got, escaped);
        }
        assert_string_equal(p, "\r\n");
        free(text);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_header_and_rows),
        cmocka_unit_test(test_header_without_rows),
        cmocka_unit_test(test_quotes),
        cmocka_unit_test(test_hostile_text),
        cmocka_unit_test(test_random_text_comes_back),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Command lines as text. The one promise: the exact arguments come back, from cmdline split at its spaces where there is
 * no JSON, else from the JSON array, else (no valid UTF-8) from the bytes kept beside it; and no text holds a byte that a
 * terminal obeys. SQLite's own JSON functions are the judge of the JSON.
 */
#include "tests/unit/store/store_support.h"

#include <errno.h>

#include "ledger/store/argv_text.h"
#include "tests/support/fault.h"

#define ARGS(text)                                                                                                     \
    {                                                                                                                  \
        text, sizeof(text) - 1                                                                                         \
    }

typedef struct args {
    const char *bytes; /* a NUL after each */
    size_t length;
} args;

/* The judge: opened once, by the group's set-up. */
static sqlite3 *memory_db;

static int open_judge(void **state)
{
    (void)state;
    return sqlite3_open(":memory:", &memory_db);
}

static int close_judge(void **state)
{
    (void)state;
    return sqlite3_close(memory_db);
}

/* Arguments out of a JSON array, a NUL after each. Heap. */
static char *decode(const char *json, size_t *length)
{
    sqlite3_stmt *s = NULL;
    char *out = NULL;
    int rc;

    *length = 0;
    assert_int_equal(sqlite3_prepare_v2(memory_db, "SELECT value FROM json_each(?1)", -1, &s, NULL), SQLITE_OK);
    assert_int_equal(sqlite3_bind_text(s, 1, json, -1, SQLITE_STATIC), SQLITE_OK);
    FILE *file = open_memstream(&out, length);
    assert_non_null(file);
    bool texts = true;
    while ((rc = sqlite3_step(s)) == SQLITE_ROW) {
        texts = texts && sqlite3_column_type(s, 0) == SQLITE_TEXT;
        (void)fwrite(sqlite3_column_text(s, 0), 1, (size_t)sqlite3_column_bytes(s, 0), file);
        (void)putc('\0', file);
    }
    assert_int_equal(rc, SQLITE_DONE);
    assert_true(texts);
    assert_int_equal(fclose(file), 0);
    (void)sqlite3_finalize(s);
    return out;
}

/* What the view makes of a row without argv. */
static char *split(const char *cmdline, size_t *length)
{
    char *out = strdup(cmdline);

    *length = strlen(cmdline) + 1;
    for (char *at = out; (at = strchr(at, ' ')) != NULL;)
        *at++ = '\0';
    return out;
}

static void assert_harmless(const char *text)
{
    bool harmless = true;

    for (const unsigned char *p = (const unsigned char *)text; *p; p++) {
        bool control = *p < 0x20 || *p == 0x7f, c1 = *p == 0xc2 && p[1] >= 0x80 && p[1] < 0xa0;
        bool bidi = *p == 0xe2 && p[1] == 0x80 && p[2] >= 0xa8 && p[2] <= 0xae;
        harmless = harmless && !control && !c1 && !bidi;
    }
    assert_true(harmless);
}

/* The texts of these arguments give them back. Returns whether they could be plain. */
static bool check(args a)
{
    pl_argv_text text;
    size_t length = 0;

    assert_int_equal(pl_argv_text_init(&text, a.bytes, a.length), 0);
    assert_harmless(text.cmdline);
    bool plain = text.json == NULL;
    if (plain)
        assert_true(text.exact);
    else
        assert_harmless(text.json);
    char *back = plain ? split(text.cmdline, &length) : decode(text.json, &length);
    if (text.exact) {
        assert_int_equal(length, a.length);
        assert_memory_equal(back, a.bytes, length);
    } else {
        /* Of the same number of arguments, and something had to be escaped. */
        size_t n = 0, m = 0;
        for (size_t i = 0; i < length; i++)
            n += back[i] == '\0';
        for (size_t i = 0; i < a.length; i++)
            m += a.bytes[i] == '\0';
        assert_int_equal(n, m);
        assert_non_null(strstr(text.cmdline, "\\x"));
    }
    free(back);
    pl_argv_text_deinit(&text);
    return plain;
}

static void assert_texts(args a, const char *cmdline, const char *json, bool exact)
{
    pl_argv_text text;

    assert_int_equal(pl_argv_text_init(&text, a.bytes, a.length), 0);
    assert_string_equal(text.cmdline, cmdline);
    if (json) {
        assert_non_null(text.json);
        assert_string_equal(text.json, json);
    } else {
        assert_null(text.json);
    }
    assert_int_equal(text.exact, exact);
    pl_argv_text_deinit(&text);
    assert_null(text.cmdline);
    pl_argv_text_deinit(&text);
}

static void test_plain_arguments_need_no_array(void **state)
{
    static const args plain[] = {ARGS("true\0"), ARGS("ls\0-l\0--color=auto\0/usr/bin\0"), ARGS("gr\xc3\xbc\xc3\x9f\0"),
                                 ARGS("\xf0\x9f\x98\x80\0'$(x)`;&|*?\0")};

    (void)state;
    for (size_t i = 0; i < sizeof(plain) / sizeof(plain[0]); i++)
        assert_true(check(plain[i]));
    assert_texts(plain[1], "ls -l --color=auto /usr/bin", NULL, true);
}

static void test_what_splitting_would_break_has_an_array(void **state)
{
    static const struct {
        args args;
        const char *cmdline, *json;
    } odd[] = {
        {ARGS("sh\0-c\0echo a  b\0"), "sh -c echo a  b", "[\"sh\",\"-c\",\"echo a  b\"]"},
        {ARGS("a\0\0b\0"), "a  b", "[\"a\",\"\",\"b\"]"},
        {ARGS("\0"), "", "[\"\"]"},
        {ARGS("\0\0\0"), "  ", "[\"\",\"\",\"\"]"},
        {ARGS(""), "", "[]"},
        {ARGS(" \0"), " ", "[\" \"]"},
        {ARGS("say\0\"hi\"\0"), "say \"hi\"", "[\"say\",\"\\\"hi\\\"\"]"},
        {ARGS("back\\slash\0"), "back\\slash", "[\"back\\\\slash\"]"},
        {ARGS("two\nlines\t\r\0"), "two\\nlines\\t\\r", "[\"two\\nlines\\t\\r\"]"},
        {ARGS("\x01\x1b[31m\x7f\0"), "\\x01\\x1b[31m\\x7f", "[\"\\u0001\\u001b[31m\\u007f\"]"},
        {ARGS("c1\xc2\x9b\0"), "c1\\u009b", "[\"c1\\u009b\"]"},
        {ARGS("a\xe2\x80\xae\xe2\x81\xa6z\0"), "a\\u202e\\u2066z", "[\"a\\u202e\\u2066z\"]"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(odd) / sizeof(odd[0]); i++) {
        assert_texts(odd[i].args, odd[i].cmdline, odd[i].json, true);
        assert_false(check(odd[i].args));
    }
}

static void test_bytes_that_are_no_text_are_said_to_be_inexact(void **state)
{
    static const struct {
        args args;
        const char *cmdline, *json;
    } bad[] = {
        {ARGS("\xff\0"), "\\xff", "[\"\\\\xff\"]"},
        {ARGS("cut\xe2\x80\0"), "cut\\xe2\\x80", "[\"cut\\\\xe2\\\\x80\"]"},
        {ARGS("\xc0\xaf\0"), "\\xc0\\xaf", "[\"\\\\xc0\\\\xaf\"]"},                 /* overlong */
        {ARGS("\xed\xa0\x80\0"), "\\xed\\xa0\\x80", "[\"\\\\xed\\\\xa0\\\\x80\"]"}, /* surrogate */
        {ARGS("\xf4\x90\x80\x80\0"), "\\xf4\\x90\\x80\\x80",
         "[\"\\\\xf4\\\\x90\\\\x80\\\\x80\"]"}, /* beyond U+10FFFF */
        {ARGS("\x80x\0\xc3\xa9\xc3\0"), "\\x80x \xc3\xa9\\xc3", "[\"\\\\x80x\",\"\xc3\xa9\\\\xc3\"]"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        assert_texts(bad[i].args, bad[i].cmdline, bad[i].json, false);
        assert_false(check(bad[i].args));
    }
    /* The same characters, typed: another command line, and an exact one. */
    assert_texts((args)ARGS("\\xff\0"), "\\xff", "[\"\\\\xff\"]", true);
}

static void test_last_argument_may_lack_its_end(void **state)
{
    (void)state;
    assert_texts((args)ARGS("true"), "true", NULL, true);
    assert_texts((args)ARGS("a\0b c"), "a b c", "[\"a\",\"b c\"]", true);
    assert_texts((args)ARGS("x\0\xc3"), "x \\xc3", "[\"x\",\"\\\\xc3\"]", false);
}

static void test_two_mebibytes(void **state)
{
    const size_t length = 2 << 20;
    char *bytes = malloc(length);

    (void)state;
    assert_non_null(bytes);
    memset(bytes, 'x', length);
    bytes[length - 1] = '\0';
    assert_true(check((args){bytes, length}));
    /* The worst growth: every byte six times as long. */
    memset(bytes, 1, length - 1);
    assert_false(check((args){bytes, length}));
    const size_t some = length / 8;
    memset(bytes, 0xff, some - 1);
    bytes[some - 1] = '\0';
    assert_false(check((args){bytes, some}));
    /* As many arguments as can be: nothing but ends. */
    memset(bytes, 0, length);
    assert_false(check((args){bytes, length}));
    free(bytes);
}

static uint64_t next_random(uint64_t *seed)
{
    *seed = *seed * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return *seed >> 33;
}

/* Pieces that meet each other's rules, in every order. */
static void test_any_mixture_comes_back(void **state)
{
    static const args pieces[] = {ARGS("\0"),
                                  ARGS(" "),
                                  ARGS("\""),
                                  ARGS("\\"),
                                  ARGS("\\u0041"),
                                  ARGS("abc"),
                                  ARGS("\n"),
                                  ARGS("\x1b"),
                                  ARGS("\xc3\xa9"),
                                  ARGS("\xe2\x82\xac"),
                                  ARGS("\xe2\x80\xae"),
                                  ARGS("\xf0\x9f\x98\x80"),
                                  ARGS("\xc2\x85"),
                                  ARGS("\x7f"),
                                  ARGS("\\x41"),
                                  ARGS(","),
                                  ARGS("["),
                                  ARGS("\xff"),
                                  ARGS("\xe2\x82"),
                                  ARGS("\xf0\x9f")};
    const size_t kinds = sizeof(pieces) / sizeof(pieces[0]);
    uint64_t seed = 20230615;

    (void)state;
    for (int round = 0; round < 1500; round++) {
        char bytes[256];
        size_t length = 0, n = 1 + next_random(&seed) % 16;
        /* Every other round without what is no UTF-8, so that the exact ones are many. */
        size_t use = round % 2 ? kinds : kinds - 3;
        for (size_t i = 0; i < n; i++) {
            const args *piece = &pieces[next_random(&seed) % use];
            memcpy(bytes + length, piece->bytes, piece->length);
            length += piece->length;
        }
        bytes[length++] = '\0';
        (void)check((args){bytes, length});
    }
}

static void test_every_allocation_may_fail(void **state)
{
    static const args both[] = {ARGS("plain\0"), ARGS("with space \0")};
    unsigned failures = 0;

    (void)state;
    for (size_t i = 0; i < 2; i++) {
        for (unsigned n = 1; pl_fault_arm(PL_FAULT_ALLOC, n, ENOMEM); n++) {
            pl_argv_text text = {.exact = true};
            int rc = pl_argv_text_init(&text, both[i].bytes, both[i].length);
            bool fired = pl_fault_fired();
            pl_fault_disarm();
            if (!fired) {
                assert_int_equal(rc, 0);
                pl_argv_text_deinit(&text);
                break;
            }
            assert_int_equal(rc, PL_ERR_NOMEM);
            assert_null(text.cmdline);
            assert_null(text.json);
            failures++;
        }
    }
    assert_int_equal(failures, 3);
}

/* Through the file, and what the two views show. */
static void test_views_give_the_arguments_back(void **state)
{
    static const args lines[] = {ARGS("ls\0-l\0"), ARGS("sh\0-c\0a \"b\"\\\n\0"), ARGS("\xff\0\xc3\xa9\0"), ARGS("\0"),
                                 ARGS("\\xff\0\xc3\xa9\0")};
    const size_t n = sizeof(lines) / sizeof(lines[0]);
    const fixture *f = *state;
    pl_writer *w = open_writer(f->path, PL_STORE_RECORDER, NULL);

    for (size_t i = 0; i < 2 * n; i++) {
        pl_execution e = execution_of(pl_writer_next_eid(w));
        e.argv = lines[i % n].bytes;
        e.argv_length = lines[i % n].length;
        assert_int_equal(pl_writer_execution(w, &e), 0);
    }
    (void)pl_writer_free(w);
    assert_answer(f->path, "SELECT cmdline, argv FROM process_events ORDER BY eid LIMIT 5",
                  "ls -l|[\"ls\",\"-l\"]\n"
                  "sh -c a \"b\"\\\\n|[\"sh\",\"-c\",\"a \\\"b\\\"\\\\\\n\"]\n"
                  "\\xff \xc3\xa9|[\"\\\\xff\",\"\xc3\xa9\"]\n"
                  "|[\"\"]\n"
                  "\\xff \xc3\xa9|[\"\\\\xff\",\"\xc3\xa9\"]");
    assert_answer(f->path, "SELECT count(*), min(json_valid(argv)), count(DISTINCT command_id) FROM process_events",
                  "10|1|5");
    assert_answer(f->path, "SELECT execs, argv, hex(bytes) FROM commands ORDER BY command_id LIMIT 3 OFFSET 2",
                  "2|[\"\\\\xff\",\"\xc3\xa9\"]|FF00C3A900\n2|[\"\"]|\n2|[\"\\\\xff\",\"\xc3\xa9\"]|");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_plain_arguments_need_no_array),
        cmocka_unit_test(test_what_splitting_would_break_has_an_array),
        cmocka_unit_test(test_bytes_that_are_no_text_are_said_to_be_inexact),
        cmocka_unit_test(test_last_argument_may_lack_its_end),
        cmocka_unit_test(test_two_mebibytes),
        cmocka_unit_test(test_any_mixture_comes_back),
        cmocka_unit_test(test_every_allocation_may_fail),
        cmocka_unit_test_setup_teardown(test_views_give_the_arguments_back, set_up, tear_down),
    };

    return cmocka_run_group_tests_name("store_argv", tests, open_judge, close_judge);
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Escaping of hostile bytes: what is kept, what is escaped and how, where it is cut. Besides examples on both sides of
 * each border, all code points are counted, and random bytes must come out as something that needs no more escaping.
 */
#include "src/base/text.h"

#include <errno.h>
#include <locale.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <wchar.h>

#include <cmocka.h>

#include "tests/support/fault.h"

/* All three functions agree on what `length` bytes become. */
static void check_bytes(const char *bytes, size_t length, const char *expected)
{
    size_t need = strlen(expected);
    char *whole = pl_text_escape(bytes, length), *exact = malloc(need + 1);

    assert_non_null(exact);
    assert_string_equal(whole, expected);
    assert_int_equal(pl_text_escaped_length(bytes, length), need);
    assert_int_equal(pl_text_escape_into(bytes, length, exact, need + 1), need);
    assert_string_equal(exact, expected);
    free(whole);
    free(exact);
}

static void check(const char *text, const char *expected)
{
    check_bytes(text, strlen(text), expected);
}

static void check_kept(const char *text)
{
    check(text, text);
}

/* Generalised UTF-8, surrogates included, of up to 4 bytes and a NUL; returns the length. */
static size_t encode(uint32_t c, char out[5])
{
    size_t n = c < 0x80 ? 1 : c < 0x800 ? 2 : c < 0x10000 ? 3 : 4;
    static const unsigned char lead[] = {0, 0, 0xc0, 0xe0, 0xf0};

    for (size_t i = n - 1; i > 0; i--, c >>= 6)
        out[i] = (char)(0x80 | (c & 0x3f));
    out[0] = (char)(lead[n] | c);
    out[n] = '\0';
    return n;
}

static void check_point_kept(uint32_t c)
{
    char text[5];

    (void)encode(c, text);
    check_kept(text);
}

static void check_point_escaped(uint32_t c)
{
    char text[5], expected[16];

    (void)encode(c, text);
    (void)snprintf(expected, sizeof(expected), "\\u%04x", (unsigned)c);
    check(text, expected);
}

static void test_printable_ascii_is_kept(void **state)
{
    char text[96];

    (void)state;
    for (int c = 0x20; c < 0x7f; c++)
        text[c - 0x20] = (char)c;
    text[95] = '\0';
    check_kept(text);
    check_kept("");
    check_kept("C:\\new \\x1b \\u202e"); /* a backslash is no escape of ours */
}

static void test_valid_utf8_is_kept(void **state)
{
    static const uint32_t points[] = {0xa0,   0xe4,   0x7ff,   0x800,   0x20ac,  0x301,   0xd7ff,  0xe000,
                                      0xfeff, 0xffff, 0x10000, 0x1f600, 0x3ffff, 0x40000, 0xfffff, 0x10ffff};

    (void)state;
    for (size_t i = 0; i < sizeof(points) / sizeof(*points); i++)
        check_point_kept(points[i]);
    check_kept("/opt/Gr\xc3\xb6\xc3\x9f"
               "e/\xe4\xb8\xad\xe6\x96\x87/\xf0\x9f\x98\x80");
}

static void test_c0_and_del_are_escaped(void **state)
{
    (void)state;
    for (int c = 0; c < 0x80; c = c == 0x1f ? 0x7f : c + 1) {
        char text[3] = {'a', (char)c, 'b'}, expected[16];
        if (c == '\n' || c == '\t' || c == '\r')
            (void)snprintf(expected, sizeof(expected), "a\\%cb", c == '\n' ? 'n' : c == '\t' ? 't' : 'r');
        else
            (void)snprintf(expected, sizeof(expected), "a\\x%02xb", (unsigned)c);
        check_bytes(text, 3, expected);
    }
    check("\x1b[31mred\x1b[0m\a", "\\x1b[31mred\\x1b[0m\\x07");
}

static void test_nul_is_a_byte_like_others(void **state)
{
    (void)state;
    check_bytes("a\0b\0", 4, "a\\x00b\\x00");
    check_bytes("\0", 1, "\\x00");
}

static void test_c1_is_escaped(void **state)
{
    (void)state;
    for (uint32_t c = 0x80; c < 0xa0; c++)
        check_point_escaped(c);
    check_point_kept(0xa0);
    check("\xc2\x9b"
          "31m",
          "\\u009b31m"); /* the one-character CSI */
    check("\x9b"
          "31m",
          "\\x9b31m"); /* and as the byte that an 8-bit terminal takes for it */
}

static void test_bidi_controls_and_line_separators_are_escaped(void **state)
{
    static const uint32_t hostile[] = {0x61c,  0x200e, 0x200f, 0x2028, 0x2029, 0x202a, 0x202b,
                                       0x202c, 0x202d, 0x202e, 0x2066, 0x2067, 0x2068, 0x2069};
    static const uint32_t neighbours[] = {0x61b, 0x61d, 0x200d, 0x2010, 0x2027, 0x202f, 0x2065, 0x206a};

    (void)state;
    for (size_t i = 0; i < sizeof(hostile) / sizeof(*hostile); i++)
        check_point_escaped(hostile[i]);
    for (size_t i = 0; i < sizeof(neighbours) / sizeof(*neighbours); i++)
        check_point_kept(neighbours[i]);
    check("gpj\xe2\x80\xae.exe", "gpj\\u202e.exe");
}

static void test_invalid_bytes_are_escaped_one_by_one(void **state)
{
    (void)state;
    for (unsigned c = 0x80; c < 0x100; c++) { /* no byte above ASCII stands alone */
        char text[2] = {(char)c, '.'}, expected[16];
        (void)snprintf(expected, sizeof(expected), "\\x%02x.", c);
        check_bytes(text, 2, expected);
        check_bytes(text, 1, (expected[4] = '\0', expected));
    }
    check("\xe2\x82", "\\xe2\\x82"); /* the text ends within a character */
    check("\xf0\x9f\x98", "\\xf0\\x9f\\x98");
    check("\xe2\x82Z", "\\xe2\\x82Z"); /* what follows is not swallowed */
    check("\xc3\xc3\xa4", "\\xc3\xc3\xa4");
    check("\xf0\x9f\xe2\x82\xac", "\\xf0\\x9f\xe2\x82\xac");
    check("\xc3\xa4\xa4", "\xc3\xa4\\xa4");
    check("\xe4\n", "\\xe4\\n");
}

static void test_a_character_cut_by_the_length_is_invalid(void **state)
{
    (void)state;
    check_bytes("\xe2\x82\xac", 2, "\\xe2\\x82"); /* the byte behind the end would complete it */
    check_bytes("\xf0\x9f\x98\x80", 3, "\\xf0\\x9f\\x98");
}

static void test_overlong_forms_are_invalid(void **state)
{
    (void)state;
    check("\xc0\x80", "\\xc0\\x80");
    check("\xc0\xaf", "\\xc0\\xaf"); /* a slash in disguise */
    check("\xc1\xbf", "\\xc1\\xbf");
    check("\xe0\x80\xaf", "\\xe0\\x80\\xaf");
    check("\xe0\x9f\xbf", "\\xe0\\x9f\\xbf");
    check("\xf0\x80\x80\xaf", "\\xf0\\x80\\x80\\xaf");
    check("\xf0\x8f\xbf\xbf", "\\xf0\\x8f\\xbf\\xbf");
}

static void test_surrogates_and_beyond_unicode_are_invalid(void **state)
{
    (void)state;
    check("\xed\xa0\x80", "\\xed\\xa0\\x80");
    check("\xed\xbf\xbf", "\\xed\\xbf\\xbf");
    check_kept("\xed\x9f\xbf");
    check_kept("\xee\x80\x80");
    check("\xf4\x90\x80\x80", "\\xf4\\x90\\x80\\x80");
    check("\xf5\x80\x80\x80", "\\xf5\\x80\\x80\\x80");
    check("\xf8\x88\x80\x80\x80", "\\xf8\\x88\\x80\\x80\\x80");
    check_kept("\xf4\x8f\xbf\xbf");
}

/* 32 C0, DEL, 32 C1, U+061C, 2 marks, 7 of U+2028-2E, 4 isolates; the 2,048 surrogates are no characters. */
static void test_no_other_code_point_is_touched(void **state)
{
    unsigned escaped = 0, invalid = 0;
    char text[5];

    (void)state;
    for (uint32_t c = 0; c <= 0x10ffff; c++) {
        size_t n = encode(c, text), length = pl_text_escaped_length(text, n);
        if (c >= 0xd800 && c <= 0xdfff)
            invalid += length == 12;
        else
            escaped += length != n;
    }
    assert_int_equal(escaped, 79);
    assert_int_equal(invalid, 2048);
}

/* Whatever comes in: the answer needs no escaping, is as long as was said, and differs where the length does. */
static void test_random_bytes_become_safe_text(void **state)
{
    uint64_t random = 88172645463325252u;
    unsigned plain = 0;

    (void)state;
    for (int round = 0; round < 20000; round++) {
        char bytes[24];
        size_t length = (size_t)round % sizeof(bytes);
        for (size_t i = 0; i < length; i++) {
            static const unsigned char likely[] = "\xe2\x80\xae\xc2\x85\xed\xa0\x9f\xf0\x98\x1b\x7f";
            random ^= random << 13, random ^= random >> 7, random ^= random << 17;
            bytes[i] = (char)(random & 0x100   ? (unsigned)random & 0xff
                              : random & 0x200 ? likely[(random >> 16) % (sizeof(likely) - 1)]
                                               : 'a');
        }
        char *once = pl_text_escape(bytes, length);
        assert_non_null(once);
        size_t n = strlen(once);
        assert_int_equal(n, pl_text_escaped_length(bytes, length));
        bool same = n == length && memcmp(once, bytes, n) == 0;
        assert_int_equal(same, n == length);
        plain += same;
        check_bytes(once, n, once);
        free(once);
    }
    assert_in_range(plain, 1000, 19000); /* both kinds were among them */
}

/* Units that must not be torn; every size of the output cuts between two of them. */
static void test_cut_falls_before_what_does_not_fit(void **state)
{
    static const char *const in[] = {"a", "\n", "\xc3\xa4", "\x1b", "\xe2\x80\xae", "\xf0\x9f\x98\x80", "\xff", "z"};
    static const char *const out[] = {"a", "\\n", "\xc3\xa4", "\\x1b", "\\u202e", "\xf0\x9f\x98\x80", "\\xff", "z"};
    char bytes[64] = "", expected[64];
    size_t total = 0;

    (void)state;
    for (size_t i = 0; i < 8; i++) {
        (void)stpcpy(bytes + strlen(bytes), in[i]);
        total += strlen(out[i]);
    }
    for (size_t size = 1; size <= total + 2; size++) {
        char *cut = malloc(size); /* of that size exactly: one byte more is an error that the sanitizer sees */
        assert_non_null(cut);
        size_t fits = 0;
        for (size_t i = 0; i < 8 && fits + strlen(out[i]) < size; i++)
            fits = (size_t)(stpcpy(expected + fits, out[i]) - expected);
        expected[fits] = '\0';
        assert_int_equal(pl_text_escape_into(bytes, strlen(bytes), cut, size), fits);
        assert_string_equal(cut, expected);
        free(cut);
    }
}

static void test_escape_out_of_memory_is_null(void **state)
{
    (void)state;
    pl_fault_arm(PL_FAULT_ALLOC, 1, ENOMEM);
    char *text = pl_text_escape("a\n", 2);
    bool fired = pl_fault_fired();
    pl_fault_disarm();
    assert_true(fired);
    assert_null(text);
}

static void test_only_escape_allocates(void **state)
{
    char out[16];

    (void)state;
    pl_fault_arm_from(PL_FAULT_ALLOC, 1, ENOMEM);
    size_t length = pl_text_escaped_length("a\n\xff", 3), written = pl_text_escape_into("a\n\xff", 3, out, sizeof(out)),
           columns = pl_text_columns("a", 1);
    bool fired = pl_fault_fired();
    pl_fault_disarm();
    assert_false(fired);
    assert_int_equal(length, 7);
    assert_int_equal(written, 7);
    assert_int_equal(columns, 1);
}

static void check_columns(const char *text, size_t expected)
{
    assert_int_equal(pl_text_columns(text, strlen(text)), expected);
}

static void test_columns_of_narrow_wide_and_combining(void **state)
{
    (void)state;
    check_columns("", 0);
    check_columns("plain", 5);
    check_columns("Gr\xc3\xb6\xc3\x9f"
                  "e",
                  5);
    check_columns("o\xcc\x88", 1);                /* o and a combining diaeresis */
    check_columns("\xe4\xb8\xad\xe6\x96\x87", 4); /* two ideographs */
    check_columns("\xed\x95\x9c", 2);             /* a Hangul syllable */
    check_columns("\xef\xbc\xa1", 2);             /* a full-width A */
    check_columns("\xef\xbd\xb1", 1);             /* a half-width Katakana */
    check_columns("\xf0\x9f\x98\x80", 2);         /* a face */
    check_columns("\xf0\xa0\x80\x80", 2);         /* an ideograph of plane 2 */
    check_columns("a\xe2\x80\x8d"
                  "b",
                  2);                                           /* a zero width joiner */
    check_columns("x\xef\xb8\x8f", 1);                          /* a variation selector */
    check_columns("\xff\xfe", 2);                               /* never valid: one each, and it ends */
    assert_int_equal(pl_text_columns("\xe4\xb8\xad", 2), 2);    /* cut: two invalid bytes */
    assert_int_equal(pl_text_columns("abc\xe4\xb8\xad", 3), 3); /* no look behind the end */
}

static void test_columns_agree_with_the_c_library(void **state)
{
    static const uint32_t points[] = {'a',    '~',    0xa0,   0xe4,   0x300,  0x36f,  0x370,   0x10ff,  0x1100, 0x115f,
                                      0x20ac, 0x20d0, 0x3042, 0x4e2d, 0x9fff, 0xac00, 0xd7a3,  0xf900,  0xfe0f, 0xff01,
                                      0xff60, 0xff61, 0xffe6, 0xffe8, 0x200b, 0x200d, 0x1f600, 0x20000, 0x10300};
    char text[5];

    (void)state;
    if (!setlocale(LC_CTYPE, "C.UTF-8")) {
        print_message("no locale C.UTF-8 to compare with\n");
        skip();
    }
    for (size_t i = 0; i < sizeof(points) / sizeof(*points); i++) {
        size_t n = encode(points[i], text);
        int width = wcwidth((wchar_t)points[i]);
        if (width < 0 || pl_text_columns(text, n) != (size_t)width)
            fail_msg("U+%04X takes %zu columns, the C library says %d", (unsigned)points[i], pl_text_columns(text, n),
                     width);
    }
    (void)setlocale(LC_CTYPE, "C");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_printable_ascii_is_kept),
        cmocka_unit_test(test_valid_utf8_is_kept),
        cmocka_unit_test(test_c0_and_del_are_escaped),
        cmocka_unit_test(test_nul_is_a_byte_like_others),
        cmocka_unit_test(test_c1_is_escaped),
        cmocka_unit_test(test_bidi_controls_and_line_separators_are_escaped),
        cmocka_unit_test(test_invalid_bytes_are_escaped_one_by_one),
        cmocka_unit_test(test_a_character_cut_by_the_length_is_invalid),
        cmocka_unit_test(test_overlong_forms_are_invalid),
        cmocka_unit_test(test_surrogates_and_beyond_unicode_are_invalid),
        cmocka_unit_test(test_no_other_code_point_is_touched),
        cmocka_unit_test(test_random_bytes_become_safe_text),
        cmocka_unit_test(test_cut_falls_before_what_does_not_fit),
        cmocka_unit_test(test_escape_out_of_memory_is_null),
        cmocka_unit_test(test_only_escape_allocates),
        cmocka_unit_test(test_columns_of_narrow_wide_and_combining),
        cmocka_unit_test(test_columns_agree_with_the_c_library),
    };

    return cmocka_run_group_tests_name("text", tests, NULL, NULL);
}

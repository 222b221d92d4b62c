/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Lines of checksum files: which are well-formed, which name and digest they give, and what the lines before decide. */
#include "tools/procledger/sum.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#define HEX "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff"
#define UPPER "00112233445566778899AABBCCDDEEFF00112233445566778899AABBCCDDEEFF"

static const uint8_t digest[PL_SUM_BYTES] = {0x00, 0x11, 0x22, 0x33, 0x44, 0x55, 0x66, 0x77, 0x88, 0x99, 0xaa,
                                             0xbb, 0xcc, 0xdd, 0xee, 0xff, 0x00, 0x11, 0x22, 0x33, 0x44, 0x55,
                                             0x66, 0x77, 0x88, 0x99, 0xaa, 0xbb, 0xcc, 0xdd, 0xee, 0xff};

/* In memory of exactly its size, so that the sanitizer sees a look beyond the end. */
static char *exact(const char *line, size_t length)
{
    char *copy = malloc(length + 1);

    assert_non_null(copy);
    memcpy(copy, line, length);
    copy[length] = '\0';
    return copy;
}

static void names_after(int *reversed, const char *line, size_t length, const char *name)
{
    pl_sum_line parsed = {0};
    char *copy = exact(line, length);

    if (!pl_sum_line_parse(copy, length, reversed, &parsed))
        fail_msg("refused: %s", line);
    assert_string_equal(parsed.name, name);
    assert_memory_equal(parsed.digest, digest, sizeof(digest));
    free(copy);
}

static void names(const char *line, const char *name)
{
    int reversed = -1;

    names_after(&reversed, line, strlen(line), name);
}

static void refused_after(int *reversed, const char *line, size_t length)
{
    pl_sum_line parsed = {0};
    char *copy = exact(line, length);

    if (pl_sum_line_parse(copy, length, reversed, &parsed))
        fail_msg("taken for '%s': %s", parsed.name, line);
    free(copy);
}

static void refused(const char *line)
{
    int reversed = -1;

    refused_after(&reversed, line, strlen(line));
}

static void test_plain_lines(void **state)
{
    (void)state;
    names(HEX "  name", "name");
    names(HEX " *name", "name");
    names(UPPER "  name", "name");
    names(HEX "   name", " name");
    names(HEX "  *name", "*name");
    names(HEX "\t name", "name");
    names(" \t" HEX "  name", "name");
    names(HEX "  name ", "name ");
    names(HEX "  with space", "with space");
    names(HEX "  a\\nb", "a\\nb"); /* not said to be escaped */
}

static void test_lines_in_the_old_order(void **state)
{
    (void)state;
    names(HEX " name", "name");
    names(HEX "\tname", "name");
    names(HEX " ab", "ab");
}

/* One file is in one order: a name with a blank in front must not pass for another one. */
static void test_orders_do_not_mix(void **state)
{
    int reversed = -1;

    (void)state;
    names_after(&reversed, HEX "  name", 70, "name");
    assert_int_equal(reversed, 0);
    refused_after(&reversed, HEX " name", 69);
    names_after(&reversed, HEX "  name", 70, "name");
    reversed = -1;
    names_after(&reversed, HEX " name", 69, "name");
    assert_int_equal(reversed, 1);
    names_after(&reversed, HEX "  name", 70, " name");
    /* Tagged lines go with both. */
    names_after(&reversed, "SHA256 (name) = " HEX, 80, "name");
    assert_int_equal(reversed, 1);
}

static void test_tagged_lines(void **state)
{
    (void)state;
    names("SHA256 (name) = " HEX, "name");
    names("SHA256(name)=" HEX, "name");
    names("SHA256 (name)\t=\t" UPPER, "name");
    names("SHA256 (a) = b) = " HEX, "a) = b");
    names("SHA256 ()) = " HEX, ")");
    names("SHA256 () = " HEX, "");
    names("  SHA256 (name) = " HEX, "name");
    names("\\SHA256 (a\\nb\\rc\\\\d) = " HEX, "a\nb\rc\\d");
    refused("SHA256");
    refused("SHA256 ");
    refused("SHA256 (");
    refused("SHA256 (name");
    refused("SHA256 (name)");
    refused("SHA256 (name) ");
    refused("SHA256 (name) =");
    refused("SHA256 (name) = ");
    refused("SHA256  (name) = " HEX);
    refused("sha256 (name) = " HEX);
    refused("SHA512 (name) = " HEX);
    refused("SHA256 name) = " HEX);
    refused("SHA256 (name = " HEX);
    refused("SHA256 (name) " HEX);
    refused("SHA256 (name) = " HEX "0");
    refused("SHA256 (name) = " HEX " ");
    refused("\\SHA256 (a\\qb) = " HEX);
}

static void test_escaped_lines(void **state)
{
    (void)state;
    names("\\" HEX "  a\\nb", "a\nb");
    names("\\" HEX "  a\\rb", "a\rb");
    names("\\" HEX "  a\\\\b", "a\\b");
    names("\\" HEX "  plain", "plain");
    names("\\" HEX " *a\\n", "a\n");
    refused("\\" HEX "  a\\qb");
    refused("\\" HEX "  a\\");
    refused("\\\\" HEX "  a");
    refused("\\");
}

static void test_nul_in_a_line(void **state)
{
    static const char in_name[] = HEX "  na\0me", in_digest[] = "0011\0", escaped[] = "\\" HEX "  na\0me";
    int reversed = -1;

    (void)state;
    names_after(&reversed, in_name, sizeof(in_name) - 1, "na");
    refused_after(&reversed, in_digest, sizeof(in_digest) - 1);
    refused_after(&reversed, escaped, sizeof(escaped) - 1);
}

static void test_what_is_no_line(void **state)
{
    (void)state;
    refused("");
    refused(" ");
    refused("garbage");
    refused(HEX);
    refused(HEX " ");
    refused(HEX "0  name");
    refused(HEX "a");
    refused("0011223344556677889gaabbccddeeff00112233445566778899aabbccddeeff  name");
    refused("00112233445566778899aabbccddeeff00112233445566778899aabbccddeef   name");
    refused("\xef\xbb\xbf" HEX "  name"); /* a byte order mark */
    refused("\r" HEX "  name");
}

/* No prefix of a good line makes it look beyond its end. */
static void test_every_prefix(void **state)
{
    static const char *const lines[] = {HEX "  name", HEX " name", "SHA256 (name) = " HEX, "\\" HEX "  a\\nb",
                                        "\\SHA256 (a\\nb) = " HEX};

    (void)state;
    for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++) {
        for (size_t n = 0; n < strlen(lines[i]); n++) {
            int reversed = -1;
            pl_sum_line parsed = {0};
            char *copy = exact(lines[i], n);
            if (pl_sum_line_parse(copy, n, &reversed, &parsed))
                assert_memory_equal(parsed.digest, digest, sizeof(digest));
            free(copy);
        }
    }
}

static void test_batches_grow(void **state)
{
    size_t batch = PL_SUM_FIRST_BATCH;

    (void)state;
    for (int i = 0; i < 20; i++) {
        size_t next = pl_sum_next_batch(batch);
        assert_true(next > batch || next == PL_SUM_BATCH);
        assert_true(next <= PL_SUM_BATCH);
        batch = next;
    }
    assert_int_equal(batch, PL_SUM_BATCH);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_plain_lines),       cmocka_unit_test(test_lines_in_the_old_order),
        cmocka_unit_test(test_orders_do_not_mix), cmocka_unit_test(test_tagged_lines),
        cmocka_unit_test(test_escaped_lines),     cmocka_unit_test(test_nul_in_a_line),
        cmocka_unit_test(test_what_is_no_line),   cmocka_unit_test(test_every_prefix),
        cmocka_unit_test(test_batches_grow),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

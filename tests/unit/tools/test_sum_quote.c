/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Names as coreutils writes them. What is expected was printed by sha256sum 9.1, in messages ("NAME: No such file or
 * directory") and in output lines; it_sum_like_sha256sum.sh asks the sha256sum of the machine.
 */
#include "tools/procledger/sum.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#include <errno.h>
#include <locale.h>
#include <stdlib.h>
#include <string.h>

#include "tests/support/fault.h"

static void quotes(const char *name, const char *expected)
{
    char *text = pl_sum_quote(name);

    assert_non_null(text);
    assert_string_equal(text, expected);
    free(text);
}

static int in_c(void **state)
{
    (void)state;
    return setlocale(LC_CTYPE, "C") ? 0 : -1;
}

static int in_utf8(void **state)
{
    (void)state;
    return setlocale(LC_CTYPE, "C.UTF-8") ? 0 : -1;
}

static void test_plain_names(void **state)
{
    (void)state;
    quotes("plain", "plain");
    quotes("/usr/bin/a-b_c.d+e,f@g%h", "/usr/bin/a-b_c.d+e,f@g%h");
    quotes("a#b", "a#b");
    quotes("a~b", "a~b");
    quotes("{a", "{a");
    quotes("a]b", "a]b");
    quotes("-dash", "-dash");
}

static void test_names_in_single_quotes(void **state)
{
    (void)state;
    quotes("", "''");
    quotes("with space", "'with space'");
    quotes("a:b", "'a:b'");
    quotes("back\\slash", "'back\\slash'");
    quotes("dq\"uote", "'dq\"uote'");
    quotes("dollar$", "'dollar$'");
    quotes("*star", "'*star'");
    quotes("a=b", "'a=b'");
    quotes("[br]", "'[br]'");
    quotes("a^b`c|d;e&f(g)h<i>j?k!l", "'a^b`c|d;e&f(g)h<i>j?k!l'");
    quotes("#hash", "'#hash'");
    quotes("~tilde", "'~tilde'");
    quotes("{", "'{'");
    quotes("}", "'}'");
}

static void test_apostrophes(void **state)
{
    (void)state;
    quotes("it's", "\"it's\"");
    quotes("it's:x", "\"it's:x\"");
    quotes("a'b c", "\"a'b c\"");
    quotes("~'", "\"~'\"");
    quotes("a@b'", "\"a@b'\"");
    quotes("it's$x", "'it'\\''s$x'");
    quotes("both'\"", "'both'\\''\"'");
    quotes("a#'", "'a#'\\'''");
    quotes("a'b!c", "'a'\\''b!c'");
}

static void test_controls(void **state)
{
    (void)state;
    quotes("new\nline", "'new'$'\\n''line'");
    quotes("tab\t", "'tab'$'\\t'");
    quotes("\a\b\f\n\r\t\v", "''$'\\a\\b\\f\\n\\r\\t\\v'");
    quotes("a\x01z", "'a'$'\\001''z'");
    quotes("esc\x1b[31m", "'esc'$'\\033''[31m'");
    quotes("\x7f", "''$'\\177'");
    quotes("a\n\nb", "'a'$'\\n\\n''b'");
    /* The second look of gnulib begins where the first one ended. */
    quotes("miss-t^'C>M\x7f", "'''miss-t^'\\''C>M'$'\\177'");
    quotes("a'\n", "'''a'\\'''$'\\n'");
    quotes("\x1bh[\"'9\x01", "'\\033''h[\"'\\''9'$'\\001'");
}

static void test_foreign_bytes_in_c(void **state)
{
    (void)state;
    quotes("\xff\xfe", "''$'\\377\\376'");
    quotes("\xc3\xa9", "''$'\\303\\251'");
    quotes("\xc3\xa9'x", "''$'\\303\\251'\\''x'");
}

static void test_foreign_characters_in_utf8(void **state)
{
    (void)state;
    quotes("\xc3\xa9", "\xc3\xa9");
    quotes("\xc3\xa9 x", "'\xc3\xa9 x'");
    quotes("\xc3\xa9'x", "\"\xc3\xa9'x\"");
    quotes("\xff", "''$'\\377'");
    quotes("a\xc3", "'a'$'\\303'");
    quotes("\xc2\x85", "''$'\\302\\205'");
}

static void test_no_memory(void **state)
{
    (void)state;
    pl_fault_arm(PL_FAULT_ALLOC, 1, ENOMEM);
    assert_null(pl_sum_quote("name"));
    assert_true(pl_fault_fired());
    pl_fault_disarm();
}

static void writes(const char *name, bool escape, const char *expected)
{
    char *text = NULL;
    size_t length = 0;
    FILE *out = open_memstream(&text, &length);

    assert_non_null(out);
    pl_sum_put_name(out, name, escape);
    assert_int_equal(fclose(out), 0);
    assert_string_equal(text, expected);
    free(text);
}

static void test_names_in_output_lines(void **state)
{
    (void)state;
    assert_false(pl_sum_needs_escape("plain"));
    assert_false(pl_sum_needs_escape("\x1b\t\xff"));
    assert_true(pl_sum_needs_escape("new\nline"));
    assert_true(pl_sum_needs_escape("carriage\rreturn"));
    assert_true(pl_sum_needs_escape("back\\slash"));
    writes("a\nb\rc\\d\x1b", true, "a\\nb\\rc\\\\d\x1b");
    writes("a\nb\rc\\d\x1b", false, "a\nb\rc\\d\x1b");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_plain_names, in_c),
        cmocka_unit_test_setup(test_plain_names, in_utf8),
        cmocka_unit_test_setup(test_names_in_single_quotes, in_c),
        cmocka_unit_test_setup(test_names_in_single_quotes, in_utf8),
        cmocka_unit_test_setup(test_apostrophes, in_c),
        cmocka_unit_test_setup(test_apostrophes, in_utf8),
        cmocka_unit_test_setup(test_controls, in_c),
        cmocka_unit_test_setup(test_controls, in_utf8),
        cmocka_unit_test_setup(test_foreign_bytes_in_c, in_c),
        cmocka_unit_test_setup(test_foreign_characters_in_utf8, in_utf8),
        cmocka_unit_test_setup(test_no_memory, in_c),
        cmocka_unit_test_setup(test_names_in_output_lines, in_c),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* --argv redact: what is masked, what is kept, and memory that runs out. */
#include "ledger/redact.h"

#include "tests/support/fault.h"

#include <procledger/procledger.h>

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define WORDS(literal) literal, sizeof(literal) /* the literal's own NUL ends the last argument */

static void check(const char *in, size_t in_length, const char *want, size_t want_length)
{
    char *out = NULL;
    size_t length = 0;

    assert_int_equal(pl_redact_argv(in, in_length, &out, &length), 0);
    assert_int_equal(length, want_length);
    assert_memory_equal(out, want, want_length);
    free(out);
}

static void test_values_of_secrets_are_masked(void **state)
{
    (void)state;
    check(WORDS("curl\0--password=hunter2\0x"), WORDS("curl\0--password=***\0x"));
    check(WORDS("a\0--token\0abc\0d"), WORDS("a\0--token\0***\0d"));
    check(WORDS("env\0AWS_SECRET_ACCESS_KEY=1\0ls"), WORDS("env\0AWS_SECRET_ACCESS_KEY=***\0ls"));
    check(WORDS("a\0--api-key\0k\0--Credentials=c"), WORDS("a\0--api-key\0***\0--Credentials=***"));
    check(WORDS("a\0PASSWORD="), WORDS("a\0PASSWORD=***"));
    check(WORDS("a\0--keys=b"), WORDS("a\0--keys=***"));
}

/* Nothing tells "monkey" from "sshkey": then it is masked. */
static void test_doubt_is_masked(void **state)
{
    (void)state;
    check(WORDS("a\0--password\0-hunter10"), WORDS("a\0--password\0***"));
    check(WORDS("a\0A=b --password=hunter4"), WORDS("a\0A=b --password=***"));
    check(WORDS("curl\0https://x/?a=1&token=hunter6"), WORDS("curl\0https://x/?a=1&token=***"));
    check(WORDS("a\0--token="), WORDS("a\0--token=***"));
    check(WORDS("a\0sshkey=1\0monkey-wrench=1"), WORDS("a\0sshkey=***\0monkey-wrench=***"));
}

static void test_everything_else_is_kept(void **state)
{
    (void)state;
    check(WORDS("tokenize\0file"), WORDS("tokenize\0file"));
    check(WORDS("a\0--keyboard=us\0keyword=1"), WORDS("a\0--keyboard=us\0keyword=1"));
    check(WORDS("a\0--token\0--verbose\0x"), WORDS("a\0--token\0--verbose\0x"));
    check(WORDS("a\0\0b"), WORDS("a\0\0b"));
    check("", 0, "", 0);
    check("no-nul", 6, "no-nul\0", 7);
}

static void test_no_memory_is_an_error_and_leaves_the_output(void **state)
{
    char *out = (char *)1;
    size_t length = 7;

    (void)state;
    pl_fault_arm(PL_FAULT_ALLOC, 1, ENOMEM);
    assert_int_equal(pl_redact_argv(WORDS("a\0--token\0x"), &out, &length), PL_ERR_NOMEM);
    pl_fault_disarm();
    assert_ptr_equal(out, (char *)1);
    assert_int_equal(length, 7);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_values_of_secrets_are_masked),
        cmocka_unit_test(test_doubt_is_masked),
        cmocka_unit_test(test_everything_else_is_kept),
        cmocka_unit_test(test_no_memory_is_an_error_and_leaves_the_output),
    };

    return cmocka_run_group_tests_name("redact", tests, NULL, NULL);
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Failure messages: each thread has its own, none is longer than promised, none needs memory; and the table of codes
 * answers for each of them.
 */
#include "src/base/error.h"

#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "tests/support/fault.h"

#define LIMIT 511

static const struct code {
    const char *name;
    int value;
    const char *text;
} codes[] = {
#define CODE(name, value, text) {#name, value, text},
    PL_CODES(CODE)
#undef CODE
};
#define N_CODES (sizeof(codes) / sizeof(*codes))

static void test_failure_is_one_line(void **state)
{
    (void)state;
    assert_int_equal(pl_error_set(PL_ERR_INVALID, "bad %s %d", "word", 7), PL_ERR_INVALID);
    assert_string_equal(pl_error_message(), "bad word 7");
    assert_int_equal(pl_error_set(PL_ERR_IO, "%s", ""), PL_ERR_IO);
    assert_string_equal(pl_error_message(), "");
}

static void test_errno_text_is_appended(void **state)
{
    (void)state;
    errno = EIO; /* not this one: the argument counts */
    assert_int_equal(pl_error_errno(PL_ERR_SYSTEM, ENOENT, "cannot open %s", "/x"), PL_ERR_SYSTEM);
    assert_string_equal(pl_error_message(), "cannot open /x: No such file or directory");
    assert_int_equal(pl_error_errno(PL_ERR_FULL, ENOSPC, "100 %%"), PL_ERR_FULL);
    assert_string_equal(pl_error_message(), "100 %: No space left on device");
    (void)pl_error_errno(PL_ERR_SYSTEM, 99999, "odd");
    assert_string_equal(pl_error_message(), "odd: Unknown error 99999");
}

/* Messages around the limit: whole below it, cut at it, and a cut one ends nowhere else. */
static void test_messages_are_cut_at_511_bytes(void **state)
{
    static const char suffix[] = ": No such file or directory";
    char text[LIMIT + 64], expected[sizeof(text) + sizeof(suffix)];

    (void)state;
    for (size_t length = LIMIT - 40; length < LIMIT + 40; length++) {
        memset(text, 'x', length);
        text[length] = '\0';
        (void)pl_error_set(PL_ERR_IO, "%s", text);
        assert_int_equal(strlen(pl_error_message()), length < LIMIT ? length : LIMIT);
        assert_memory_equal(pl_error_message(), text, length < LIMIT ? length : LIMIT);

        (void)stpcpy(stpcpy(expected, text), suffix);
        expected[LIMIT] = '\0'; /* harmless where it is shorter: the NUL came before */
        (void)pl_error_errno(PL_ERR_IO, ENOENT, "%s", text);
        assert_string_equal(pl_error_message(), expected);
    }
}

static void test_messages_need_no_memory(void **state)
{
    (void)state;
    pl_fault_arm_from(PL_FAULT_ALLOC, 1, ENOMEM);
    int nomem = pl_error_nomem();
    bool said = strcmp(pl_error_message(), "out of memory") == 0;
    int other = pl_error_errno(PL_ERR_SYSTEM, EIO, "%s %d", "x", 5);
    bool fired = pl_fault_fired();
    pl_fault_disarm();
    assert_int_equal(nomem, PL_ERR_NOMEM);
    assert_true(said);
    assert_int_equal(other, PL_ERR_SYSTEM);
    assert_string_equal(pl_error_message(), "x 5: Input/output error");
    assert_false(fired);
}

typedef struct speaker {
    pthread_barrier_t *all_spoke;
    int number;
    bool empty_first, own_after, kept;
} speaker;

static void *speak(void *argument)
{
    speaker *s = argument;
    char own[16];

    s->empty_first = pl_error_message()[0] == '\0';
    (void)pl_error_set(PL_ERR_IO, "thread %d", s->number);
    (void)memcpy(own, pl_error_message(), sizeof(own));
    (void)pthread_barrier_wait(s->all_spoke);
    s->kept = strncmp(own, pl_error_message(), sizeof(own)) == 0;
    s->own_after = pl_error_message()[strlen("thread ")] == (char)('0' + s->number);
    return NULL;
}

static void test_each_thread_has_its_own_message(void **state)
{
    enum { N = 4 };
    pthread_barrier_t all_spoke;
    pthread_t threads[N];
    speaker speakers[N];

    (void)state;
    (void)pl_error_set(PL_ERR_INVALID, "of the main thread");
    assert_int_equal(pthread_barrier_init(&all_spoke, NULL, N), 0);
    for (int i = 0; i < N; i++) {
        speakers[i] = (speaker){.all_spoke = &all_spoke, .number = i};
        assert_int_equal(pthread_create(&threads[i], NULL, speak, &speakers[i]), 0);
    }
    for (int i = 0; i < N; i++) {
        assert_int_equal(pthread_join(threads[i], NULL), 0);
        assert_true(speakers[i].empty_first);
        assert_true(speakers[i].own_after);
        assert_true(speakers[i].kept);
    }
    assert_string_equal(pl_error_message(), "of the main thread");
    assert_int_equal(pthread_barrier_destroy(&all_spoke), 0);
}

static void test_every_code_has_a_text_of_its_own(void **state)
{
    (void)state;
    assert_true(N_CODES > 20);
    for (size_t i = 0; i < N_CODES; i++) {
        assert_string_equal(pl_strerror(codes[i].value), codes[i].text);
        assert_true(strlen(codes[i].text) > 0);
        for (size_t j = 0; j < i; j++) {
            assert_int_not_equal(codes[i].value, codes[j].value);
            assert_string_not_equal(codes[i].text, codes[j].text);
        }
        /* The two families never mix. */
        assert_int_equal(strncmp(codes[i].name, "PL_ERR_", 7) == 0, codes[i].value < 0);
    }
}

static void test_unknown_codes_have_a_text_too(void **state)
{
    static const int unknown[] = {7, -17, 1000, -1000, INT32_MAX, INT32_MIN};

    (void)state;
    for (size_t i = 0; i < sizeof(unknown) / sizeof(*unknown); i++)
        assert_string_equal(pl_strerror(unknown[i]), "unknown code");
    for (size_t i = 0; i < N_CODES; i++)
        assert_string_not_equal(codes[i].text, "unknown code");
}

static void test_code_of_an_errno(void **state)
{
    static const struct {
        int errnum, code;
    } special[] = {
        {EACCES, PL_ERR_PERMISSION}, {EPERM, PL_ERR_PERMISSION}, {ENOSPC, PL_ERR_FULL},  {EDQUOT, PL_ERR_FULL},
        {EFBIG, PL_ERR_FULL},        {EROFS, PL_ERR_READ_ONLY},  {ENOMEM, PL_ERR_NOMEM}, {EIO, PL_ERR_IO},
    };

    (void)state;
    for (int errnum = 0; errnum < 200; errnum++) {
        int expected = PL_ERR_SYSTEM;
        for (size_t i = 0; i < sizeof(special) / sizeof(*special); i++)
            if (special[i].errnum == errnum)
                expected = special[i].code;
        assert_int_equal(pl_error_code(errnum), expected);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_failure_is_one_line),
        cmocka_unit_test(test_errno_text_is_appended),
        cmocka_unit_test(test_messages_are_cut_at_511_bytes),
        cmocka_unit_test(test_messages_need_no_memory),
        cmocka_unit_test(test_each_thread_has_its_own_message),
        cmocka_unit_test(test_every_code_has_a_text_of_its_own),
        cmocka_unit_test(test_unknown_codes_have_a_text_too),
        cmocka_unit_test(test_code_of_an_errno),
    };

    return cmocka_run_group_tests_name("error", tests, NULL, NULL);
}

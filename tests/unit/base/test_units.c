/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Durations and sizes: what people write, and what must be refused with the word that is wrong. */
#include "src/base/units.h"

#include "src/base/error.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

static void test_durations_are_read(void **state)
{
    static const struct {
        const char *text;
        int64_t ns;
    } cases[] = {
        {"45", INT64_C(45000000000)},
        {"1d", INT64_C(86400000000000)},
        {"90d", INT64_C(7776000000000000)},
        {"1h30m", INT64_C(5400000000000)},
        {"250ms", 250000000},
        {"2w", INT64_C(1209600000000000)},
        {"7us", 7000},
        {"0", 0},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        int64_t ns = -1;
        assert_int_equal(pl_duration_parse(cases[i].text, &ns), 0);
        assert_int_equal(ns, cases[i].ns);
    }
}

static void test_sizes_are_read(void **state)
{
    static const struct {
        const char *text;
        uint64_t bytes;
    } cases[] = {{"4096", 4096},
                 {"2G", UINT64_C(2) << 30},
                 {"512M", UINT64_C(512) << 20},
                 {"1KiB", 1024},
                 {"3T", UINT64_C(3) << 40}};

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        uint64_t bytes = 0;
        assert_int_equal(pl_size_parse(cases[i].text, &bytes), 0);
        assert_int_equal(bytes, cases[i].bytes);
    }
}

static void test_nonsense_is_refused_and_named(void **state)
{
    static const char *const durations[] = {"",           "d",   "1x", "-1d", "1.5h", "99999999999999999999d",
                                            "999999999w", " 1d", "1d "};
    static const char *const sizes[] = {"", "G", "2X", "-1", "1G1M", "99999999999999999999", "99999999999T"};

    (void)state;
    for (size_t i = 0; i < sizeof(durations) / sizeof(*durations); i++) {
        int64_t ns = 77;
        assert_int_equal(pl_duration_parse(durations[i], &ns), PL_ERR_INVALID);
        assert_int_equal(ns, 77);
        assert_non_null(strstr(pl_error_message(), durations[i]));
    }
    for (size_t i = 0; i < sizeof(sizes) / sizeof(*sizes); i++) {
        uint64_t bytes = 77;
        assert_int_equal(pl_size_parse(sizes[i], &bytes), PL_ERR_INVALID);
        assert_int_equal(bytes, 77);
        assert_non_null(strstr(pl_error_message(), sizes[i]));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_durations_are_read),
        cmocka_unit_test(test_sizes_are_read),
        cmocka_unit_test(test_nonsense_is_refused_and_named),
    };

    return cmocka_run_group_tests_name("units", tests, NULL, NULL);
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Points in time as people write them: every form of systemd.time(7), in zones that the test chooses, against a clock
 * that the test sets. What is expected are numbers from date(1), not from the code under test.
 */
#include "tools/procledger/when.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "src/base/clock.h"
#include "src/base/error.h"

#define S PL_NS_PER_S
/* Thursday 2026-01-15 11:30:00 UTC */
#define NOW (INT64_C(1768476600) * S)
#define MIDNIGHT INT64_C(1768435200)

/* Zones with their rules, which need no data base. */
#define BERLIN "CET-1CEST,M3.5.0,M10.5.0/3"
#define NEW_YORK "EST5EDT,M3.2.0,M11.1.0"
#define TOKYO "JST-9"
#define KOLKATA "IST-5:30"
#define LORD_HOWE "<+1030>-10:30<+11>-11,M10.1.0,M4.1.0"

static void zone(const char *name)
{
    assert_int_equal(setenv("TZ", name, 1), 0);
    tzset();
}

static int in_utc(void **state)
{
    (void)state;
    zone("UTC");
    return 0;
}

static void check_ns(const char *text, int64_t now_ns, bool utc, int64_t expected_ns)
{
    int64_t ns = -1;

    if (pl_when_parse(text, now_ns, utc, &ns) != 0)
        fail_msg("'%s': %s", text, pl_error_message());
    if (ns != expected_ns)
        fail_msg("'%s': %lld instead of %lld", text, (long long)ns, (long long)expected_ns);
}

static void check(const char *text, int64_t expected_s)
{
    check_ns(text, NOW, false, expected_s * S);
}

/* Refused, with the word in the message, and the output untouched. */
static void refused(const char *text)
{
    int64_t ns = 4711;

    if (pl_when_parse(text, NOW, false, &ns) != PL_ERR_INVALID)
        fail_msg("'%s' was taken for %lld", text, (long long)ns);
    assert_int_equal(ns, 4711);
    char quoted[256];
    (void)snprintf(quoted, sizeof(quoted), "'%s'", text);
    if (!strstr(pl_error_message(), quoted))
        fail_msg("the message does not name %s: %s", quoted, pl_error_message());
}

static void test_words(void **state)
{
    (void)state;
    check("now", NOW / S);
    check("NOW", NOW / S);
    check("today", MIDNIGHT);
    check("yesterday", MIDNIGHT - 86400);
    check("tomorrow", MIDNIGHT + 86400);
    check("Yesterday", MIDNIGHT - 86400);
    check_ns("now", NOW + 123456789, false, NOW + 123456789);
}

static void test_spans(void **state)
{
    (void)state;
    check("-2h", NOW / S - 7200);
    check("2h ago", NOW / S - 7200);
    check("2h", NOW / S - 7200);
    check("+2h", NOW / S + 7200);
    check("2h left", NOW / S + 7200);
    check("+3h30min", NOW / S + 12600);
    check("1d 2h30m ago", NOW / S - 86400 - 9000);
    check("- 1 day 2 hours", NOW / S - 86400 - 7200);
    check("-1.5h", NOW / S - 5400);
    check("11min ago", NOW / S - 660);
    check("-5", NOW / S - 5);
    check("+5", NOW / S + 5);
    check("5 ago", NOW / S - 5);
    check("-2h30", NOW / S - 7230);
}

static void test_units(void **state)
{
    static const struct {
        const char *text;
        int64_t ns;
    } cases[] = {
        {"-1us", 1000},
        {"-1usec", 1000},
        {"-1\xc2\xb5s", 1000},
        {"-1\xce\xbcs", 1000},
        {"-1ms", 1000000},
        {"-1msec", 1000000},
        {"-0.5ms", 500000},
        {"-1s", S},
        {"-1sec", S},
        {"-1second", S},
        {"-2seconds", 2 * S},
        {"-0.000000001s", 1},
        {"-1m", 60 * S},
        {"-1min", 60 * S},
        {"-1minute", 60 * S},
        {"-2minutes", 120 * S},
        {"-1hr", 3600 * S},
        {"-1hour", 3600 * S},
        {"-2hours", 7200 * S},
        {"-1day", 86400 * S},
        {"-2days", 172800 * S},
        {"-1w", 604800 * S},
        {"-1week", 604800 * S},
        {"-2weeks", 1209600 * S},
        {"-1M", INT64_C(2629800) * S},
        {"-1month", INT64_C(2629800) * S},
        {"-2months", INT64_C(5259600) * S},
        {"-1y", INT64_C(31557600) * S},
        {"-1year", INT64_C(31557600) * S},
        {"-2years", INT64_C(63115200) * S},
        {"-55s500ms", 55 * S + 500000000},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
        check_ns(cases[i].text, NOW, false, NOW - cases[i].ns);
}

static void test_dates_and_clocks(void **state)
{
    (void)state;
    check("2026-01-01", 1767225600);
    check("2026-01-01 12:00", 1767268800);
    check("2026-01-01 12:00:30", 1767268830);
    check("2026-01-01  12:00", 1767268800);
    check("2026-01-01T12:00", 1767268800);
    check("2026-01-01t12:00:00", 1767268800);
    check("2026-1-1 9:5", 1767258300);
    check("26-01-01", 1767225600);
    check("70-01-02", 86400);
    check("68-12-31", INT64_C(3124137600));
    check("Thu 2026-01-01", 1767225600);
    check("thursday 2026-01-01 12:00", 1767268800);
    check("12:00", MIDNIGHT + 43200);
    check("23:59:59", MIDNIGHT + 86399);
    check("Thu 12:00", MIDNIGHT + 43200);
    check("2024-02-29", 1709164800);
    check("2016-12-31 23:59:60", 1483228800);
    check_ns("2026-01-01 12:00:30.25", NOW, false, INT64_C(1767268830) * S + 250000000);
    check_ns("2026-01-01T12:00:30.123456789Z", NOW, false, INT64_C(1767268830) * S + 123456789);
    check_ns("12:00:00.001", NOW, false, (MIDNIGHT + 43200) * S + 1000000);
}

static void test_zones_behind(void **state)
{
    (void)state;
    zone(NEW_YORK);
    check("2026-01-01T12:00:00Z", 1767268800);
    check("2026-01-01 12:00 UTC", 1767268800);
    check("2026-01-01 12:00 utc", 1767268800);
    check("2026-01-01T12:00:00+02:00", 1767261600);
    check("2026-01-01 12:00 -0330", 1767281400);
    check("2026-01-01 12:00 +02", 1767261600);
    check("2026-01-01 UTC", 1767225600);
    check("2026-01-01 12:00", 1767286800);
    check("2026-07-01 12:00", 1782921600);
    check("2026-01-01 12:00 EST", 1767286800);
    check("2026-01-01 12:00 EDT", 1767283200); /* said so, though it is winter */
    check("today UTC", MIDNIGHT);
    check("yesterday UTC", MIDNIGHT - 86400);
    check("12:00 UTC", MIDNIGHT + 43200);
}

static void test_named_zones(void **state)
{
    (void)state;
    if (access("/usr/share/zoneinfo/Pacific/Kiritimati", R_OK) < 0) {
        print_message("skipped: no time zone data base\n");
        skip();
    }
    check("2026-01-01 12:00 Europe/Berlin", 1767265200);
    check("2026-07-01 12:00 Europe/Berlin", 1782900000);
    check("2026-01-01 Asia/Tokyo", 1767193200);
    /* In Tokyo it is 20:30 of the same day, in Kiritimati already tomorrow. */
    check("today Asia/Tokyo", MIDNIGHT - 9 * 3600);
    check("today Pacific/Kiritimati", MIDNIGHT + 86400 - 14 * 3600);
    /* And the process's own zone is what it was. */
    assert_string_equal(getenv("TZ"), "UTC");
    check("12:00", MIDNIGHT + 43200);
    assert_int_equal(unsetenv("TZ"), 0);
    check("2026-01-01 12:00 Europe/Berlin", 1767265200);
    assert_null(getenv("TZ"));
}

static void test_utc_flag(void **state)
{
    (void)state;
    zone(TOKYO);
    check("2026-01-01 12:00", 1767236400);
    check_ns("2026-01-01 12:00", NOW, true, INT64_C(1767268800) * S);
    check_ns("today", NOW, true, MIDNIGHT * S);
    check_ns("12:00", NOW, true, (MIDNIGHT + 43200) * S);
    check_ns("2026-01-01 12:00 +02:00", NOW, true, INT64_C(1767261600) * S);
}

/* Local days have 23 or 25 hours, spans have not. */
static void test_daylight_saving(void **state)
{
    (void)state;
    zone(BERLIN);
    int64_t spring = INT64_C(1774778400) * S; /* 2026-03-29 12:00 CEST */
    check_ns("today", spring, false, INT64_C(1774738800) * S);
    check_ns("yesterday", spring, false, INT64_C(1774652400) * S);
    check_ns("tomorrow", spring, false, INT64_C(1774821600) * S); /* 23 hours after today */
    check_ns("-1d", spring, false, spring - 86400 * S);
    int64_t autumn = INT64_C(1792926000) * S; /* 2026-10-25 12:00 CET */
    check_ns("today", autumn, false, INT64_C(1792879200) * S);
    check_ns("tomorrow", autumn, false, INT64_C(1792969200) * S); /* 25 hours after today */
    check("2026-10-25 02:30 CEST", 1792888200);
    check("2026-10-25 02:30 CET", 1792891800);
    check("2026-03-29 01:59:59", 1774745999);
    check("2026-03-29 03:00", 1774746000);
    zone(LORD_HOWE); /* half an hour */
    check("2026-04-04 12:00", 1775264400);
    check("2026-04-05 12:00", 1775352600);
}

static void test_epoch(void **state)
{
    (void)state;
    check("@0", 0);
    check("@1767268800", 1767268800);
    check_ns("@1767268800.25", NOW, false, INT64_C(1767268800) * S + 250000000);
    check_ns("@1767268800.0000000019", NOW, false, INT64_C(1767268800) * S + 1);
}

static void test_before_1970_is_the_beginning(void **state)
{
    (void)state;
    check("-80y", 0);
    zone(TOKYO);
    check("1970-01-01", 0);
}

static void test_refused(void **state)
{
    static const char *const words[] = {
        "",
        " ",
        "nonsense",
        "2h ago x",
        "-",
        "+",
        "--2h",
        "5",
        "2",
        "2h30",
        "2x",
        "2H",
        "-2 parsecs",
        "2h ago ago",
        "@",
        "@-5",
        "@x",
        "@1.",
        "@1 ",
        "@99999999999999999999",
        "@9223372037",
        "2026",
        "2026-01",
        "2026-13-01",
        "2026-00-01",
        "2026-01-32",
        "2026-01-00",
        "2025-02-29",
        "2100-02-29",
        "1969-12-31",
        "69-12-31",
        "2262-01-01",
        "226-01-01",
        "02026-01-01",
        "2026-01-01T",
        "2026-01-01T ",
        "2026-01-01 24:00",
        "2026-01-01 12",
        "2026-01-01 12:60",
        "2026-01-01 12:00:61",
        "2026-01-01 12:00:",
        "2026-01-01 12:00:00.",
        "2026-01-01x",
        "2026-01-01 12:00 +2",
        "2026-01-01 12:00 +02:",
        "2026-01-01 12:00 +02:3",
        "2026-01-01 12:00 +16:00",
        "2026-01-01 12:00 +02:60",
        "2026-01-01 12:00 Nowhere/Land",
        "2026-01-01 12:00 ../../etc/passwd",
        "2026-01-01 12:00 /etc/localtime",
        "2026-01-01 12:00 Europe",
        "2026-01-01 12:00EST",
        "Fri 2026-01-01",
        "Fri 12:00",
        "Thu",
        "Thursd 2026-01-01",
        "yesterday 12:00",
        "todays",
        "-9999999999y",
        "-99999999999999999999s",
        "12:00 12:00",
        "\x1b[31m",
    };

    (void)state;
    for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
        refused(words[i]);
}

static void test_format(void **state)
{
    char text[PL_WHEN_SIZE];

    (void)state;
    zone(BERLIN);
    assert_int_equal(pl_when_format(1767268800, 0, false, true, text), 20);
    assert_string_equal(text, "2026-01-01 12:00:00Z");
    (void)pl_when_format(1767268800, 7999999, true, true, text);
    assert_string_equal(text, "2026-01-01 12:00:00.007Z");
    (void)pl_when_format(1767268800, 0, false, false, text);
    assert_string_equal(text, "2026-01-01 13:00:00");
    (void)pl_when_format(1782900000, 999000000, true, false, text);
    assert_string_equal(text, "2026-07-01 12:00:00.999");
    (void)pl_when_format(0, 0, false, true, text);
    assert_string_equal(text, "1970-01-01 00:00:00Z");
    /* Damaged rows. */
    (void)pl_when_format(INT64_MAX, 0, false, true, text);
    assert_string_equal(text, "@9223372036854775807");
    (void)pl_when_format(INT64_MIN, 999999999, true, false, text);
    assert_string_equal(text, "@-9223372036854775808");
}

static void test_duration(void **state)
{
    static const struct {
        int64_t ns;
        const char *text;
    } cases[] = {
        {0, "0us"},
        {999, "0us"},
        {12345, "12us"},
        {3400000, "3.4ms"},
        {1234000000, "1.234s"},
        {59 * S, "59.000s"},
        {61 * S, "1min 1s"},
        {306 * S, "5min 6s"},
        {7380 * S, "2h 3min"},
        {363600 * S, "4d 5h"},
        {-1, "?"},
        {INT64_MAX, "106751d 23h"},
    };
    char text[PL_WHEN_SIZE];

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        assert_int_equal(pl_duration_format(cases[i].ns, text), strlen(cases[i].text));
        assert_string_equal(text, cases[i].text);
    }
}

/* What is printed can be given back. */
static void test_round_trip(void **state)
{
    static const char *const zones[] = {"UTC", BERLIN, NEW_YORK, KOLKATA};
    char text[PL_WHEN_SIZE];

    (void)state;
    for (size_t z = 0; z < sizeof(zones) / sizeof(zones[0]); z++) {
        zone(zones[z]);
        for (int64_t s = 1767268800; s < 1767268800 + 400 * INT64_C(86400); s += 86400 * 3 + 3607) {
            (void)pl_when_format(s, 250000000, true, false, text);
            check_ns(text, NOW, false, s * S + 250000000);
            (void)pl_when_format(s, 0, false, true, text);
            check_ns(text, NOW, false, s * S);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_words, in_utc),
        cmocka_unit_test_setup(test_spans, in_utc),
        cmocka_unit_test_setup(test_units, in_utc),
        cmocka_unit_test_setup(test_dates_and_clocks, in_utc),
        cmocka_unit_test_setup(test_zones_behind, in_utc),
        cmocka_unit_test_setup(test_named_zones, in_utc),
        cmocka_unit_test_setup(test_utc_flag, in_utc),
        cmocka_unit_test_setup(test_daylight_saving, in_utc),
        cmocka_unit_test_setup(test_epoch, in_utc),
        cmocka_unit_test_setup(test_before_1970_is_the_beginning, in_utc),
        cmocka_unit_test_setup(test_refused, in_utc),
        cmocka_unit_test_setup(test_format, in_utc),
        cmocka_unit_test_setup(test_duration, in_utc),
        cmocka_unit_test_setup(test_round_trip, in_utc),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

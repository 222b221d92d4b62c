/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The time syntax of -S, -U and --at. A hand-written reader over one cursor: each piece either takes what it knows
 * or leaves the cursor where it was. Owns nothing. Invariant: text that is not understood to its last character is
 * refused; no guess is made.
 */
#include "tools/procledger/when.h"

#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <time.h>

#include "src/base/clock.h"
#include "src/base/error.h"

#define NS_PER_US INT64_C(1000)
#define MINUTE (60 * PL_NS_PER_S)
#define HOUR (60 * MINUTE)
#define DAY (24 * HOUR)
/* systemd's: a year of 365.25 days, a month its twelfth. */
#define YEAR (INT64_C(31557600) * PL_NS_PER_S)
#define MONTH (YEAR / 12)
#define LAST_YEAR 2261 /* nanoseconds since the epoch end in April 2262 */

static const struct {
    const char *name;
    int64_t ns;
} units[] = {
    {"us", NS_PER_US},
    {"usec", NS_PER_US},
    {"ms", PL_NS_PER_MS},
    {"msec", PL_NS_PER_MS},
    {"s", PL_NS_PER_S},
    {"sec", PL_NS_PER_S},
    {"second", PL_NS_PER_S},
    {"seconds", PL_NS_PER_S},
    {"m", MINUTE},
    {"min", MINUTE},
    {"minute", MINUTE},
    {"minutes", MINUTE},
    {"h", HOUR},
    {"hr", HOUR},
    {"hour", HOUR},
    {"hours", HOUR},
    {"d", DAY},
    {"day", DAY},
    {"days", DAY},
    {"w", 7 * DAY},
    {"week", 7 * DAY},
    {"weeks", 7 * DAY},
    {"M", MONTH},
    {"month", MONTH},
    {"months", MONTH},
    {"y", YEAR},
    {"year", YEAR},
    {"years", YEAR},
};

static void skip_spaces(const char **p)
{
    while (**p == ' ')
        (*p)++;
}

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

/* Exactly count digits. */
static bool take_digits(const char **p, int count, int *out)
{
    int value = 0;

    for (int i = 0; i < count; i++) {
        if (!is_digit((*p)[i]))
            return false;
        value = value * 10 + ((*p)[i] - '0');
    }
    *p += count;
    *out = value;
    return true;
}

static bool take_word(const char **p, const char *word)
{
    size_t n = strlen(word);

    if (strncasecmp(*p, word, n) != 0)
        return false;
    *p += n;
    return true;
}

/* Digits behind a dot, as nanoseconds; what is finer is cut. */
static int64_t take_fraction(const char **p)
{
    int64_t ns = 0, scale = PL_NS_PER_S / 10;

    for (; is_digit(**p); (*p)++, scale /= 10)
        ns += scale * (**p - '0');
    return ns;
}

/* number[.fraction]: whole and the fraction as parts of 10^9. */
static bool take_number(const char **p, int64_t *whole, int64_t *fraction)
{
    int64_t value = 0;

    if (!is_digit(**p))
        return false;
    for (; is_digit(**p); (*p)++)
        if (__builtin_mul_overflow(value, 10, &value) || __builtin_add_overflow(value, **p - '0', &value))
            return false;
    *fraction = 0;
    if (**p == '.' && is_digit((*p)[1])) {
        (*p)++;
        *fraction = take_fraction(p);
    }
    *whole = value;
    return true;
}

/* One "2h" or "1.5 days", added to *total. */
static bool take_span_part(const char **p, int64_t *total)
{
    int64_t whole = 0, fraction = 0, ns = 0;

    if (!take_number(p, &whole, &fraction))
        return false;
    skip_spaces(p);
    size_t n = strspn(*p, "abcdefghijklmnopqrstuvwxyzM");
    for (size_t i = 0; i < sizeof(units) / sizeof(units[0]); i++) {
        if (strlen(units[i].name) != n || strncmp(*p, units[i].name, n) != 0)
            continue;
        *p += n;
        /* split, because unit times fraction alone would leave 64 bits */
        int64_t part = units[i].ns / PL_NS_PER_S * fraction + units[i].ns % PL_NS_PER_S * fraction / PL_NS_PER_S;
        return !__builtin_mul_overflow(whole, units[i].ns, &ns) && !__builtin_add_overflow(ns, part, &ns) &&
               !__builtin_add_overflow(*total, ns, total);
    }
    return false;
}

/* -span, +span, span ago, span. */
static bool parse_relative(const char *p, int64_t now_ns, int64_t *out)
{
    char sign = *p == '-' || *p == '+' ? *p++ : 0;
    int64_t span = 0;

    skip_spaces(&p);
    do {
        if (!take_span_part(&p, &span))
            return false;
        skip_spaces(&p);
    } while (is_digit(*p));
    if (!sign && take_word(&p, "ago"))
        sign = '-';
    if (*p)
        return false;
    if (sign == '+')
        return !__builtin_add_overflow(now_ns, span, out);
    return !__builtin_sub_overflow(now_ns, span, out);
}

static bool parse_epoch(const char *p, int64_t *out)
{
    int64_t seconds = 0, ns = 0;

    p++;
    return take_number(&p, &seconds, &ns) && !*p && !__builtin_mul_overflow(seconds, PL_NS_PER_S, out) &&
           !__builtin_add_overflow(*out, ns, out);
}

static bool is_leap(int year)
{
    return (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
}

static bool take_date(const char **p, struct tm *tm)
{
    static const int days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    const char *q = *p;
    int year = 0, month = 0, day = 0;

    if (!take_digits(&q, 4, &year) || *q++ != '-' || !take_digits(&q, 2, &month) || *q++ != '-' ||
        !take_digits(&q, 2, &day))
        return false;
    if (year < 1970 || year > LAST_YEAR || month < 1 || month > 12 || day < 1 ||
        day > days[month - 1] + (month == 2 && is_leap(year)))
        return false;
    tm->tm_year = year - 1900;
    tm->tm_mon = month - 1;
    tm->tm_mday = day;
    *p = q;
    return true;
}

/* HH:MM[:SS[.frac]] */
static bool take_clock(const char **p, struct tm *tm, int64_t *ns)
{
    const char *q = *p;
    int hour = 0, minute = 0, second = 0;

    if (!take_digits(&q, 2, &hour) || *q++ != ':' || !take_digits(&q, 2, &minute))
        return false;
    if (*q == ':') {
        q++;
        if (!take_digits(&q, 2, &second))
            return false;
        if (*q == '.' && is_digit(q[1])) {
            q++;
            *ns = take_fraction(&q);
        }
    }
    if (hour > 23 || minute > 59 || second > 59)
        return false;
    tm->tm_hour = hour;
    tm->tm_min = minute;
    tm->tm_sec = second;
    *p = q;
    return true;
}

/* Z, UTC, +HH:MM, +HHMM, +HH. zoned: there was one. */
static bool take_zone(const char **p, bool *zoned, int *offset_s)
{
    const char *q = *p;

    skip_spaces(&q);
    if (take_word(&q, "UTC") || take_word(&q, "Z")) {
        *zoned = true;
    } else if (*q == '+' || *q == '-') {
        int sign = *q++ == '-' ? -1 : 1, hours = 0, minutes = 0;
        if (!take_digits(&q, 2, &hours))
            return false;
        if (*q == ':')
            q++;
        if (is_digit(*q) && !take_digits(&q, 2, &minutes))
            return false;
        if (hours > 15 || minutes > 59)
            return false;
        *zoned = true;
        *offset_s = sign * (hours * 3600 + minutes * 60);
    }
    *p = q;
    return true;
}

static void today_of(int64_t now_ns, bool utc, struct tm *tm)
{
    time_t now = (time_t)(now_ns / PL_NS_PER_S);

    if (utc)
        (void)gmtime_r(&now, tm);
    else
        (void)localtime_r(&now, tm);
    tm->tm_hour = tm->tm_min = tm->tm_sec = 0;
}

static bool parse_calendar(const char *p, int64_t now_ns, bool utc, int64_t *out)
{
    struct tm tm = {0};
    int64_t ns = 0;
    int offset_s = 0;
    bool dated = take_date(&p, &tm), zoned = false;

    if (dated && (*p == 'T' || *p == 't' || *p == ' ')) {
        bool strict = *p++ != ' ';
        const char *rest = p;
        skip_spaces(&p);
        if (!take_clock(&p, &tm, &ns)) {
            if (strict)
                return false;
            p = rest; /* a zone may follow the date alone */
        }
    } else if (!dated) {
        today_of(now_ns, utc, &tm);
        if (!take_clock(&p, &tm, &ns))
            return false;
    }
    if (!take_zone(&p, &zoned, &offset_s) || *p)
        return false;
    tm.tm_isdst = -1;
    int64_t seconds = zoned || utc ? (int64_t)timegm(&tm) - offset_s : (int64_t)mktime(&tm);
    *out = seconds * PL_NS_PER_S + ns;
    return true;
}

static bool parse_word(const char *text, int64_t now_ns, bool utc, int64_t *out)
{
    static const struct {
        const char *word;
        int days;
    } words[] = {{"today", 0}, {"yesterday", -1}, {"tomorrow", 1}};
    struct tm tm;

    if (strcasecmp(text, "now") == 0) {
        *out = now_ns;
        return true;
    }
    for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
        if (strcasecmp(text, words[i].word) != 0)
            continue;
        today_of(now_ns, utc, &tm);
        tm.tm_mday += words[i].days; /* timegm and mktime carry it over */
        tm.tm_isdst = -1;
        *out = (int64_t)(utc ? timegm(&tm) : mktime(&tm)) * PL_NS_PER_S;
        return true;
    }
    return false;
}

int pl_when_parse(const char *text, int64_t now_ns, bool utc, int64_t *out_ns)
{
    int64_t ns = 0;
    bool fine = *text == '@' ? parse_epoch(text, &ns)
                             : parse_word(text, now_ns, utc, &ns) || parse_calendar(text, now_ns, utc, &ns) ||
                                   parse_relative(text, now_ns, &ns);

    if (!fine)
        return pl_error_set(PL_ERR_INVALID,
                            "unknown time '%s'; examples: -2h, \"2h ago\", yesterday, "
                            "\"2026-01-01 12:00\", 2026-01-01T12:00:00Z, @1767268800",
                            text);
    *out_ns = ns < 0 ? 0 : ns;
    return 0;
}

size_t pl_when_format(int64_t seconds, int64_t ns, bool with_ms, bool utc, char out[PL_WHEN_SIZE])
{
    time_t time = (time_t)seconds;
    struct tm tm;
    struct tm *fine = utc ? gmtime_r(&time, &tm) : localtime_r(&time, &tm);
    /* Years of five digits come from damaged rows only; shown as they are, they are found. */
    if (!fine || tm.tm_year > 9999 - 1900 || tm.tm_year < -1900) {
        (void)snprintf(out, PL_WHEN_SIZE, "@%" PRId64, seconds);
        return strlen(out);
    }
    size_t n = strftime(out, PL_WHEN_SIZE, "%Y-%m-%d %H:%M:%S", &tm);
    if (with_ms)
        (void)snprintf(out + n, PL_WHEN_SIZE - n, ".%03d%s", (int)(ns / PL_NS_PER_MS % 1000), utc ? "Z" : "");
    else
        (void)snprintf(out + n, PL_WHEN_SIZE - n, "%s", utc ? "Z" : "");
    return strlen(out);
}

size_t pl_duration_format(int64_t ns, char out[PL_WHEN_SIZE])
{
    int64_t s = ns / PL_NS_PER_S;

    if (ns < 0)
        (void)snprintf(out, PL_WHEN_SIZE, "?");
    else if (ns < PL_NS_PER_MS)
        (void)snprintf(out, PL_WHEN_SIZE, "%" PRId64 "us", ns / NS_PER_US);
    else if (ns < PL_NS_PER_S)
        (void)snprintf(out, PL_WHEN_SIZE, "%.1fms", (double)ns / (double)PL_NS_PER_MS);
    else if (ns < MINUTE)
        (void)snprintf(out, PL_WHEN_SIZE, "%.3fs", (double)ns / (double)PL_NS_PER_S);
    else if (ns < HOUR)
        (void)snprintf(out, PL_WHEN_SIZE, "%" PRId64 "min %" PRId64 "s", s / 60, s % 60);
    else if (ns < DAY)
        (void)snprintf(out, PL_WHEN_SIZE, "%" PRId64 "h %" PRId64 "min", s / 3600, s / 60 % 60);
    else
        (void)snprintf(out, PL_WHEN_SIZE, "%" PRId64 "d %" PRId64 "h", s / 86400, s / 3600 % 24);
    return strlen(out);
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The time syntax of -S, -U and --at. A hand-written reader over one cursor: each piece either takes what it knows
 * or leaves the cursor where it was. First the pieces, then the zone, then what they mean there: which day "today" is
 * depends on it. Owns nothing. Invariant: text that is not understood to its last character is refused; no guess is
 * made.
 */
#include "tools/procledger/when.h"

#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <time.h>

#include "src/base/cleanup.h"
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
#define ZONES "/usr/share/zoneinfo/"
#define ZONE_SIZE 64

static const struct {
    const char *name;
    int64_t ns;
} units[] = {
    {"us", NS_PER_US},
    {"usec", NS_PER_US},
    {"\xc2\xb5s", NS_PER_US}, /* both of Unicode's */
    {"\xce\xbcs", NS_PER_US},
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

/* One to most digits. */
static bool take_digits(const char **p, int most, int *out)
{
    int value = 0, n = 0;

    for (; n < most && is_digit((*p)[n]); n++)
        value = value * 10 + ((*p)[n] - '0');
    if (n == 0)
        return false;
    *p += n;
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

/* One "2h" or "1.5 days", added to *total; a number alone is seconds, and *bare is set. */
static bool take_span_part(const char **p, int64_t *total, bool *bare)
{
    int64_t whole = 0, fraction = 0, ns = 0, unit = 0;

    if (!take_number(p, &whole, &fraction))
        return false;
    skip_spaces(p);
    size_t n = strspn(*p, "abcdefghijklmnopqrstuvwxyzM\xc2\xb5\xce\xbc");
    for (size_t i = 0; i < sizeof(units) / sizeof(units[0]) && unit == 0; i++)
        if (strlen(units[i].name) == n && strncmp(*p, units[i].name, n) == 0)
            unit = units[i].ns;
    if (unit != 0) {
        *p += n;
    } else if (n == 0 || strcmp(*p, "ago") == 0 || strcmp(*p, "left") == 0) {
        unit = PL_NS_PER_S;
        *bare = true;
    } else {
        return false;
    }
    /* split, because unit times fraction alone would leave 64 bits */
    int64_t part = unit / PL_NS_PER_S * fraction + unit % PL_NS_PER_S * fraction / PL_NS_PER_S;
    return !__builtin_mul_overflow(whole, unit, &ns) && !__builtin_add_overflow(ns, part, &ns) &&
           !__builtin_add_overflow(*total, ns, total);
}

/* -span, +span, span ago, span left, span. */
static bool parse_relative(const char *p, int64_t now_ns, int64_t *out)
{
    char sign = *p == '-' || *p == '+' ? *p++ : 0;
    int64_t span = 0;
    bool bare = false;

    skip_spaces(&p);
    do {
        if (!take_span_part(&p, &span, &bare))
            return false;
        skip_spaces(&p);
    } while (is_digit(*p));
    if (!sign && take_word(&p, "ago"))
        sign = '-';
    else if (!sign && take_word(&p, "left"))
        sign = '+';
    if (*p || (!sign && bare))
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

/* The pieces of a point in time, as they were written. */
typedef struct point {
    int weekday; /* 0: Sunday; -1: not said */
    bool dated;
    int year, month, day; /* of the date */
    int days;             /* else: from today */
    int hour, minute, second;
    int64_t ns;
} point;

typedef struct zone {
    enum { ZONE_LOCAL, ZONE_FIXED, ZONE_NAMED } kind;
    int offset_s;         /* of a fixed one, to the east */
    int is_dst;           /* as mktime wants it */
    char name[ZONE_SIZE]; /* of a named one */
} zone;

static void take_weekday(const char **p, point *out)
{
    static const char *const names[] = {"Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"};

    for (int i = 0; i < 7; i++) {
        size_t n = strcspn(*p, " ");
        if ((n != 3 && n != strlen(names[i])) || strncasecmp(*p, names[i], n) != 0)
            continue;
        *p += n;
        skip_spaces(p);
        out->weekday = i;
        return;
    }
}

/* YYYY-MM-DD, or with two digits for a year from 1969 to 2068. */
static bool take_date(const char **p, point *out)
{
    static const int days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    const char *q = *p;
    int year = 0, month = 0, day = 0;
    size_t digits = strspn(q, "0123456789");

    if ((digits != 4 && digits != 2) || !take_digits(&q, 4, &year) || *q++ != '-' || !take_digits(&q, 2, &month) ||
        *q++ != '-' || !take_digits(&q, 2, &day))
        return false;
    if (digits == 2)
        year += year < 69 ? 2000 : 1900;
    if (year < 1970 || year > LAST_YEAR || month < 1 || month > 12 || day < 1 ||
        day > days[month - 1] + (month == 2 && is_leap(year)))
        return false;
    out->dated = true;
    out->year = year;
    out->month = month;
    out->day = day;
    *p = q;
    return true;
}

/* today, yesterday, tomorrow */
static bool take_day(const char **p, point *out)
{
    return take_word(p, "today") || (take_word(p, "yesterday") && (out->days = -1)) ||
           (take_word(p, "tomorrow") && (out->days = 1));
}

/* HH:MM[:SS[.frac]] */
static bool take_clock(const char **p, point *out)
{
    const char *q = *p;
    int hour = 0, minute = 0, second = 0;
    int64_t ns = 0;

    if (!take_digits(&q, 2, &hour) || *q++ != ':' || !take_digits(&q, 2, &minute))
        return false;
    if (*q == ':') {
        q++;
        if (!take_digits(&q, 2, &second))
            return false;
        if (*q == '.' && is_digit(q[1])) {
            q++;
            ns = take_fraction(&q);
        }
    }
    if (hour > 23 || minute > 59 || second > 60) /* 60: a leap second */
        return false;
    out->hour = hour;
    out->minute = minute;
    out->second = second;
    out->ns = ns;
    *p = q;
    return true;
}

/* +HH:MM, +HHMM, +HH */
static bool take_offset(const char **p, zone *out)
{
    const char *q = *p;
    int sign = *q++ == '-' ? -1 : 1, hours = 0, minutes = 0;

    if (!is_digit(q[0]) || !is_digit(q[1]) || !take_digits(&q, 2, &hours))
        return false;
    if (*q == ':')
        q++;
    if (is_digit(*q) && (!is_digit(q[1]) || !take_digits(&q, 2, &minutes)))
        return false;
    if (q[-1] == ':' || hours > 15 || minutes > 59)
        return false;
    out->kind = ZONE_FIXED;
    out->offset_s = sign * (hours * 3600 + minutes * 60);
    *p = q;
    return true;
}

/* The short name of the local zone, or one of the data base. All of the rest. */
static bool take_zone_name(const char **p, zone *out)
{
    char path[sizeof(ZONES) + ZONE_SIZE];
    size_t n = strlen(*p);
    struct stat st;

    tzset();
    for (int i = 0; i < 2; i++) {
        if (n > 0 && strcasecmp(*p, tzname[i]) == 0) {
            out->is_dst = i;
            *p += n;
            return true;
        }
    }
    if (n == 0 || n >= ZONE_SIZE || **p == '/' || strstr(*p, "..") ||
        strspn(*p, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_+-/") != n)
        return false;
    (void)snprintf(path, sizeof(path), "%s%s", ZONES, *p);
    if (stat(path, &st) < 0 || !S_ISREG(st.st_mode))
        return false;
    out->kind = ZONE_NAMED;
    memcpy(out->name, *p, n + 1);
    *p += n;
    return true;
}

/* What stands at the end, if anything does. */
static bool take_zone(const char **p, zone *out)
{
    bool apart = **p == ' ';

    skip_spaces(p);
    if (!**p)
        return true;
    if (strcasecmp(*p, "UTC") == 0 || strcasecmp(*p, "Z") == 0) {
        out->kind = ZONE_FIXED;
        *p += strlen(*p);
        return true;
    }
    if (**p == '+' || **p == '-')
        return take_offset(p, out);
    return apart && take_zone_name(p, out);
}

/* false: not on that weekday. */
static bool seconds_of(const point *at, const zone *in, int64_t now_ns, int64_t *out)
{
    bool fixed = in->kind == ZONE_FIXED;
    time_t now = (time_t)(now_ns / PL_NS_PER_S) + (fixed ? in->offset_s : 0);
    struct tm tm, noon;

    if (fixed)
        (void)gmtime_r(&now, &tm);
    else
        (void)localtime_r(&now, &tm);
    tm.tm_mday += at->days; /* timegm and mktime carry it over */
    if (at->dated) {
        tm.tm_year = at->year - 1900;
        tm.tm_mon = at->month - 1;
        tm.tm_mday = at->day;
    }
    noon = (struct tm){.tm_year = tm.tm_year, .tm_mon = tm.tm_mon, .tm_mday = tm.tm_mday, .tm_hour = 12};
    (void)timegm(&noon);
    if (at->weekday >= 0 && at->weekday != noon.tm_wday)
        return false;
    tm.tm_hour = at->hour;
    tm.tm_min = at->minute;
    tm.tm_sec = at->second;
    tm.tm_isdst = in->is_dst;
    *out = fixed ? (int64_t)timegm(&tm) - in->offset_s : (int64_t)mktime(&tm);
    return true;
}

static void set_zone(const char *name)
{
    if (name)
        (void)setenv("TZ", name, 1);
    else
        (void)unsetenv("TZ");
    tzset();
}

static bool parse_point(const char *p, int64_t now_ns, bool utc, int64_t *out)
{
    point at = {.weekday = -1};
    zone in = {.kind = utc ? ZONE_FIXED : ZONE_LOCAL, .is_dst = -1};
    int64_t seconds = 0;

    take_weekday(&p, &at);
    if (take_date(&p, &at)) {
        bool strict = *p == 'T' || *p == 't';
        const char *rest = p;
        if (strict)
            p++;
        else
            skip_spaces(&p);
        if (!take_clock(&p, &at)) {
            if (strict)
                return false;
            p = rest; /* a zone may follow the date alone */
        }
    } else if (!take_day(&p, &at) && !take_clock(&p, &at)) {
        return false;
    }
    if (!take_zone(&p, &in) || *p)
        return false;
    const char *tz = getenv("TZ");
    pl_auto_free char *before = tz ? strdup(tz) : NULL;
    if (in.kind == ZONE_NAMED)
        set_zone(in.name);
    bool fine = seconds_of(&at, &in, now_ns, &seconds);
    if (in.kind == ZONE_NAMED)
        set_zone(before);
    *out = seconds * PL_NS_PER_S + at.ns;
    return fine;
}

int pl_when_parse(const char *text, int64_t now_ns, bool utc, int64_t *out_ns)
{
    int64_t ns = now_ns;
    bool fine = strcasecmp(text, "now") == 0 ||
                (*text == '@' ? parse_epoch(text, &ns)
                              : parse_point(text, now_ns, utc, &ns) || parse_relative(text, now_ns, &ns));

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

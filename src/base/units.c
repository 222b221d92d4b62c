/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Parsing of durations and sizes. Whole numbers only: a fraction of a unit is written in the next smaller
 * one.
 */
#include "src/base/units.h"

#include "src/base/error.h"

#include <ctype.h>
#include <stdbool.h>
#include <stddef.h>
#include <string.h>

typedef struct unit {
    const char *name;
    uint64_t factor;
} unit;

static const unit duration_units[] = {
    {"ns", 1},
    {"us", 1000},
    {"ms", 1000000},
    {"s", 1000000000},
    {"m", UINT64_C(60) * 1000000000},
    {"h", UINT64_C(3600) * 1000000000},
    {"d", UINT64_C(86400) * 1000000000},
    {"w", UINT64_C(604800) * 1000000000},
};

static const unit size_units[] = {
    {"B", 1},
    {"K", UINT64_C(1) << 10},
    {"M", UINT64_C(1) << 20},
    {"G", UINT64_C(1) << 30},
    {"T", UINT64_C(1) << 40},
    {"KiB", UINT64_C(1) << 10},
    {"MiB", UINT64_C(1) << 20},
    {"GiB", UINT64_C(1) << 30},
    {"TiB", UINT64_C(1) << 40},
};

/* One "digits letters" pair at *at, or digits alone with the unit `bare`. */
static bool parse_pair(const char **at, const unit *units, size_t n, uint64_t bare, uint64_t *out)
{
    const char *p = *at;
    uint64_t value = 0;

    if (!isdigit((unsigned char)*p))
        return false;
    for (; isdigit((unsigned char)*p); p++)
        if (__builtin_mul_overflow(value, UINT64_C(10), &value) ||
            __builtin_add_overflow(value, (uint64_t)(*p - '0'), &value))
            return false;
    size_t letters = 0;
    while (isalpha((unsigned char)p[letters]))
        letters++;
    uint64_t factor = letters ? 0 : bare;
    for (size_t i = 0; i < n; i++)
        if (letters && strlen(units[i].name) == letters && strncmp(units[i].name, p, letters) == 0)
            factor = units[i].factor;
    *at = p + letters;
    return factor != 0 && !__builtin_mul_overflow(value, factor, out);
}

int pl_duration_parse(const char *text, int64_t *out_ns)
{
    const char *at = text;
    uint64_t total = 0, part = 0;

    do {
        if (!parse_pair(&at, duration_units, sizeof(duration_units) / sizeof(*duration_units), 1000000000, &part) ||
            __builtin_add_overflow(total, part, &total) || total > INT64_MAX)
            return pl_error_set(PL_ERR_INVALID, "'%s' is not a duration such as 90d, 1h30m or 250ms", text);
    } while (*at);
    *out_ns = (int64_t)total;
    return 0;
}

int pl_size_parse(const char *text, uint64_t *out_bytes)
{
    const char *at = text;
    uint64_t value = 0;

    if (!parse_pair(&at, size_units, sizeof(size_units) / sizeof(*size_units), 1, &value) || *at)
        return pl_error_set(PL_ERR_INVALID, "'%s' is not a size such as 2G, 512M or 4096", text);
    *out_bytes = value;
    return 0;
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Escaping of hostile bytes; see text.h for the rule and its reason. Owns nothing. The fast path, plain
 * ASCII, is a scan that touches each byte once. UTF-8 validity as in RFC 3629: no overlong forms, no
 * surrogates, up to U+10FFFF.
 */
#include "src/base/text.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ESCAPE_MAX 8 /* "\u202e" and its NUL, rounded up */

/* Bytes of the valid character at p, its code point in *point; 0: not valid UTF-8. */
static size_t decode(const unsigned char *p, size_t left, uint32_t *point)
{
    static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
    size_t n = p[0] < 0x80                   ? 1
               : p[0] >= 0xc2 && p[0] < 0xe0 ? 2
               : (p[0] & 0xf0) == 0xe0       ? 3
               : p[0] >= 0xf0 && p[0] < 0xf5 ? 4
                                             : 0;

    if (n == 0 || n > left)
        return 0;
    uint32_t c = n == 1 ? p[0] : (uint32_t)(p[0] & (0xff >> (n + 1)));
    for (size_t i = 1; i < n; i++) {
        if ((p[i] & 0xc0) != 0x80)
            return 0;
        c = c << 6 | (p[i] & 0x3f);
    }
    if (c < least[n] || c > 0x10ffff || (c >= 0xd800 && c <= 0xdfff))
        return 0;
    *point = c;
    return n;
}

static bool is_hostile(uint32_t c)
{
    return c < 0x20 || (c >= 0x7f && c < 0xa0) || c == 0x61c || c == 0x200e || c == 0x200f ||
           (c >= 0x2028 && c <= 0x202e) || (c >= 0x2066 && c <= 0x2069);
}

/* Looks at the character at p: *taken bytes of input, and its escape in out (returns its length), or 0: keep
 * it. */
static size_t escape_one(const unsigned char *p, size_t left, char out[ESCAPE_MAX], size_t *taken)
{
    uint32_t c = 0;

    *taken = decode(p, left, &c);
    if (*taken == 0) {
        *taken = 1;
        return (size_t)snprintf(out, ESCAPE_MAX, "\\x%02x", p[0]);
    }
    if (!is_hostile(c))
        return 0;
    if (c == '\n' || c == '\t' || c == '\r')
        return (size_t)snprintf(out, ESCAPE_MAX, "\\%c", c == '\n' ? 'n' : c == '\t' ? 't' : 'r');
    return (size_t)snprintf(out, ESCAPE_MAX, c < 0x80 ? "\\x%02x" : "\\u%04x", (unsigned)c & 0xffff);
}

size_t pl_text_escaped_length(const char *bytes, size_t length)
{
    const unsigned char *p = (const unsigned char *)bytes;
    char escape[ESCAPE_MAX];
    size_t total = 0, taken = 1;

    for (size_t i = 0; i < length; i += taken) {
        if (p[i] >= 0x20 && p[i] < 0x7f) {
            taken = 1;
            total++;
            continue;
        }
        size_t n = escape_one(p + i, length - i, escape, &taken);
        total += n ? n : taken;
    }
    return total;
}

size_t pl_text_escape_into(const char *bytes, size_t length, char *out, size_t size)
{
    const unsigned char *p = (const unsigned char *)bytes;
    char escape[ESCAPE_MAX];
    size_t at = 0, taken = 1;

    for (size_t i = 0; i < length; i += taken) {
        size_t n = escape_one(p + i, length - i, escape, &taken);
        const char *from = n ? escape : bytes + i;
        if (n == 0)
            n = taken;
        if (at + n >= size)
            break;
        memcpy(out + at, from, n);
        at += n;
    }
    out[at] = '\0';
    return at;
}

char *pl_text_escape(const char *bytes, size_t length)
{
    size_t need = pl_text_escaped_length(bytes, length) + 1;
    char *out = malloc(need);

    if (out)
        (void)pl_text_escape_into(bytes, length, out, need);
    return out;
}

/* Ranges after Unicode's East Asian Width W and F, and the common combining blocks; a terminal's own table
 * may differ by a column for rare characters, which costs alignment and nothing else. */
static size_t columns_of(uint32_t c)
{
    if ((c >= 0x300 && c <= 0x36f) || (c >= 0x1ab0 && c <= 0x1aff) || (c >= 0x20d0 && c <= 0x20ff) ||
        (c >= 0xfe00 && c <= 0xfe0f) || (c >= 0xfe20 && c <= 0xfe2f) || c == 0x200b || c == 0x200c || c == 0x200d)
        return 0;
    if ((c >= 0x1100 && c <= 0x115f) || (c >= 0x2e80 && c <= 0xa4cf) || (c >= 0xac00 && c <= 0xd7a3) ||
        (c >= 0xf900 && c <= 0xfaff) || (c >= 0xfe30 && c <= 0xfe6f) || (c >= 0xff00 && c <= 0xff60) ||
        (c >= 0xffe0 && c <= 0xffe6) || (c >= 0x1f300 && c <= 0x1faff) || (c >= 0x20000 && c <= 0x3fffd))
        return 2;
    return 1;
}

size_t pl_text_columns(const char *text, size_t length)
{
    const unsigned char *p = (const unsigned char *)text;
    size_t columns = 0;

    for (size_t i = 0; i < length;) {
        uint32_t c = 0;
        size_t n = decode(p + i, length - i, &c);
        columns += n ? columns_of(c) : 1;
        i += n ? n : 1;
    }
    return columns;
}

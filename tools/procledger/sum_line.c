/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * One line of a checksum file: "digest  name", "digest *name", "digest name" (the old BSD order, not mixed with the
 * first two), "SHA256 (name) = digest"; a backslash in front says that the name is escaped. As coreutils 9.1 reads
 * them. Works inside the caller's line.
 */
#include "tools/procledger/sum.h"

#include <string.h>

#define DIGITS (2 * PL_SUM_BYTES)

static bool is_blank(char c)
{
    return c == ' ' || c == '\t';
}

static int digit(char c)
{
    return c >= '0' && c <= '9'   ? c - '0'
           : c >= 'a' && c <= 'f' ? c - 'a' + 10
           : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                  : -1;
}

/* Exactly DIGITS digits, then `end`. */
static bool read_digest(const char *hex, char end, uint8_t out[PL_SUM_BYTES])
{
    uint8_t bytes[PL_SUM_BYTES];

    for (size_t i = 0; i < PL_SUM_BYTES; i++) {
        int high = digit(hex[2 * i]), low = high < 0 ? -1 : digit(hex[2 * i + 1]);
        if (low < 0)
            return false;
        bytes[i] = (uint8_t)(high << 4 | low);
    }
    if (hex[DIGITS] != end)
        return false;
    memcpy(out, bytes, sizeof(bytes));
    return true;
}

/* In place; false for an escape that sha256sum never writes, or a NUL in the name. */
static bool unescape(char *name, size_t length)
{
    char *to = name;

    for (size_t i = 0; i < length; i++) {
        if (name[i] == '\0')
            return false;
        if (name[i] != '\\') {
            *to++ = name[i];
            continue;
        }
        if (++i == length)
            return false;
        if (name[i] == 'n')
            *to++ = '\n';
        else if (name[i] == 'r')
            *to++ = '\r';
        else if (name[i] == '\\')
            *to++ = '\\';
        else
            return false;
    }
    *to = '\0';
    return true;
}

/* Behind "SHA256 (". */
static bool parse_tagged(char *s, size_t length, bool escaped, pl_sum_line *out)
{
    size_t end = length;

    while (end > 0 && s[end - 1] != ')')
        end--;
    if (end == 0)
        return false;
    end--;
    char *after = s + end + 1;
    if (escaped && !unescape(s, end))
        return false;
    s[end] = '\0';
    while (is_blank(*after))
        after++;
    if (*after++ != '=')
        return false;
    while (is_blank(*after))
        after++;
    out->name = s;
    return read_digest(after, '\0', out->digest);
}

bool pl_sum_line_parse(char *line, size_t length, int *reversed, pl_sum_line *out)
{
    char *s = line;
    const char *const end = line + length;

    while (is_blank(*s))
        s++;
    bool escaped = *s == '\\';
    if (escaped)
        s++;
    if (strncmp(s, "SHA256", 6) == 0) {
        s += 6;
        if (*s == ' ')
            s++;
        return *s == '(' && parse_tagged(s + 1, (size_t)(end - s) - 1, escaped, out);
    }
    /* The digest, two separators, and a name of one byte at least; the old order needs one separator less, yet
     * coreutils asks for the same length. */
    if (end - s < DIGITS + 2 + (*s == '\\'))
        return false;
    char separator = s[DIGITS];
    if (!is_blank(separator) || !read_digest(s, separator, out->digest))
        return false;
    s += DIGITS + 1;
    if (end - s == 1 || (*s != ' ' && *s != '*')) {
        if (*reversed == 0)
            return false;
        *reversed = 1;
    } else if (*reversed != 1) {
        *reversed = 0;
        s++;
    }
    out->name = s;
    return !escaped || unescape(s, (size_t)(end - s));
}

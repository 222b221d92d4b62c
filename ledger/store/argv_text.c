/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Exact argument bytes to the two texts that the ledger keeps. Owns nothing beyond its result.
 *
 * The JSON is not made by SQLite's json_quote, because that leaves C1 and bidirectional controls as they are, and
 * plain sqlite3 would send them to the analyst's terminal. Valid UTF-8 survives exactly (as \uXXXX where src/base/text
 * calls it hostile); a byte that is no UTF-8 becomes the four characters \xHH, and `exact` says so.
 */
#include "ledger/store/argv_text.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "src/base/cleanup.h"
#include "src/base/error.h"
#include "src/base/text.h"

#define JSON_GROWTH 6 /* one byte to at most \u001b */

/* An argument that comes back when the escaped line is split at its spaces and put between quotes. escaped: its length
 * when escaped. */
static bool is_plain(const char *bytes, size_t length, size_t escaped)
{
    for (size_t i = 0; i < length; i++) {
        unsigned char c = (unsigned char)bytes[i];
        if (c <= 0x20 || c == '"' || c == '\\' || c == 0x7f)
            return false;
    }
    return length > 0 && escaped == length;
}

static char *append_hex(char *out, unsigned char byte)
{
    static const char digits[] = "0123456789abcdef";

    *out++ = digits[byte >> 4];
    *out++ = digits[byte & 15];
    return out;
}

static size_t expected_length(unsigned char lead)
{
    return lead < 0xe0 ? 2 : lead < 0xf0 ? 3 : 4;
}

/* The character at p, 0x80 or above, into out. Returns the bytes taken. */
static size_t append_high(const char *p, size_t left, char **out, bool *exact)
{
    char escape[40];
    size_t n = expected_length((unsigned char)*p);

    if (n <= left) {
        size_t length = pl_text_escape_into(p, n, escape, sizeof(escape));
        bool kept = length == n && memcmp(escape, p, n) == 0;
        bool hostile = length == 6 && escape[0] == '\\' && escape[1] == 'u';
        if (kept || hostile) {
            /* The escape of a hostile character is JSON's own. */
            memcpy(*out, escape, length);
            *out += length;
            return n;
        }
    }
    *exact = false;
    *out = append_hex(stpcpy(*out, "\\\\x"), (unsigned char)*p);
    return 1;
}

static char *append_json(const char *bytes, size_t length, char *out, bool *exact)
{
    *out++ = '"';
    for (size_t i = 0, taken; i < length; i += taken) {
        unsigned char c = (unsigned char)bytes[i];
        taken = 1;
        if (c == '"' || c == '\\') {
            *out++ = '\\';
            *out++ = (char)c;
        } else if (c == '\n' || c == '\t' || c == '\r') {
            *out++ = '\\';
            *out++ = c == '\n' ? 'n' : c == '\t' ? 't' : 'r';
        } else if (c < 0x20 || c == 0x7f) {
            out = append_hex(stpcpy(out, "\\u00"), c);
        } else if (c < 0x80) {
            *out++ = (char)c;
        } else {
            taken = append_high(bytes + i, length - i, &out, exact);
        }
    }
    *out++ = '"';
    return out;
}

/* Length of the argument at argv. */
static size_t argument(const char *argv, size_t left)
{
    const char *end = memchr(argv, '\0', left);

    return end ? (size_t)(end - argv) : left;
}

static char *make_json(const char *argv, size_t length, size_t count, bool *exact)
{
    char *json = malloc(JSON_GROWTH * length + 3 * count + 3), *out = json;

    if (!json)
        return NULL;
    *out++ = '[';
    for (size_t i = 0, n; i < length; i += n + 1) {
        n = argument(argv + i, length - i);
        if (i > 0)
            *out++ = ',';
        out = append_json(argv + i, n, out, exact);
    }
    *out++ = ']';
    *out = '\0';
    return json;
}

int pl_argv_text_init(pl_argv_text *text, const char *argv, size_t length)
{
    bool plain = length > 0, exact = true;
    size_t need = 1, count = 0;

    for (size_t i = 0, n; i < length; i += n + 1, count++) {
        n = argument(argv + i, length - i);
        const size_t escaped = pl_text_escaped_length(argv + i, n);
        plain = plain && is_plain(argv + i, n, escaped);
        need += escaped + 1;
    }
    pl_auto_free char *cmdline = malloc(need);
    pl_auto_free char *json = plain ? NULL : make_json(argv, length, count, &exact);
    if (!cmdline || (!plain && !json))
        return pl_error_nomem();
    size_t at = 0;
    for (size_t i = 0, n; i < length; i += n + 1) {
        n = argument(argv + i, length - i);
        if (i > 0)
            cmdline[at++] = ' ';
        at += pl_text_escape_into(argv + i, n, cmdline + at, need - at);
    }
    cmdline[at] = '\0';
    text->cmdline = pl_steal(&cmdline);
    text->json = pl_steal(&json);
    text->exact = exact;
    return 0;
}

void pl_argv_text_deinit(pl_argv_text *text)
{
    free(text->cmdline);
    free(text->json);
    *text = (pl_argv_text){.exact = true};
}

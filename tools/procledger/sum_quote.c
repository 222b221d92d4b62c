/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Names as coreutils writes them: in messages quoted for a shell (gnulib's shell-escape style, colons quoted too), in
 * the output with a leading backslash and \n \r \\ when they are odd. Written from the documented behaviour and
 * compared with the real sha256sum by the tests. Owns nothing.
 */
#include "tools/procledger/sum.h"

#include <stdlib.h>
#include <string.h>
#include <wchar.h>
#include <wctype.h>

#include "tools/procledger/buffer.h"

/* Bytes of the character at p, at least 1, and whether it can be printed in this locale. A cut-off character takes
 * the rest of the name with it. */
static size_t character(const char *p, bool *printable)
{
    mbstate_t state = {0};
    wchar_t wide = 0;
    size_t left = strlen(p), n = mbrtowc(&wide, p, left, &state);

    *printable = n != (size_t)-1 && n != (size_t)-2 && iswprint((wint_t)wide);
    return n == (size_t)-1 || n == 0 ? 1 : n == (size_t)-2 ? left : n;
}

static char letter_of(char c)
{
    static const char from[] = "\a\b\f\n\r\t\v", to[] = "abfnrtv";
    const char *at = strchr(from, c);

    return at && c ? to[at - from] : '\0';
}

static bool needs_quotes(const char *name)
{
    bool printable = true;

    if (!*name || strcmp(name, "{") == 0 || strcmp(name, "}") == 0 || *name == '#' || *name == '~')
        return true;
    for (const char *p = name; *p; p += character(p, &printable))
        if (strchr("?\\ !\"$&()*;<=>[^`|':", *p) || (character(p, &printable), !printable))
            return true;
    return false;
}

/* Only what double quotes leave alone in a shell and in C: then an apostrophe needs no more than those. */
static bool fits_double_quotes(const char *name)
{
    bool apostrophe = false, printable = true;

    for (const char *p = name; *p;) {
        size_t n = character(p, &printable);
        bool first_only = (*p == '#' || *p == '~') && p == name;
        bool letter = (*p >= '0' && *p <= '9') || (*p >= 'A' && *p <= 'Z') || (*p >= 'a' && *p <= 'z');
        bool foreign = (unsigned char)*p >= 0x80 && printable;
        apostrophe |= *p == '\'';
        if (!letter && !first_only && !foreign && !strchr("'%+,-./:@]_ ", *p))
            return false;
        p += n;
    }
    return apostrophe;
}

static bool ends_escaped(const char *name)
{
    bool printable = true;

    for (; *name; name += character(name, &printable))
        if (!name[1] && letter_of(*name))
            return true;
    return !printable;
}

/*
 * Inside single quotes; what cannot be printed leaves them for $'...'. gnulib reads a name with an apostrophe twice
 * and begins the second time in the state in which the first one ended, so that a name with an apostrophe and an odd
 * last character begins as if it had left the quotes: what a shell reads is another name then, but it is what
 * sha256sum prints.
 */
static void put_single_quoted(pl_buffer *out, const char *name)
{
    bool escaped = strchr(name, '\'') && ends_escaped(name), printable = true;

    pl_buffer_text(out, "'");
    for (const char *p = name; *p;) {
        size_t n = character(p, &printable);
        char letter = letter_of(*p);
        if (letter || !printable) {
            pl_buffer_text(out, escaped ? "" : "'$'");
            escaped = true;
            for (size_t i = 0; i < (letter ? 1 : n); i++) {
                if (letter)
                    pl_buffer_format(out, "\\%c", letter);
                else
                    pl_buffer_format(out, "\\%03o", (unsigned char)p[i]);
            }
        } else if (*p == '\'') {
            pl_buffer_text(out, "'\\''");
            escaped = false;
        } else {
            pl_buffer_text(out, escaped ? "''" : "");
            escaped = false;
            pl_buffer_append(out, p, n);
        }
        p += letter ? 1 : n;
    }
    pl_buffer_text(out, "'");
}

char *pl_sum_quote(const char *name)
{
    pl_buffer out = {0};

    if (!needs_quotes(name)) {
        pl_buffer_text(&out, name);
    } else if (fits_double_quotes(name)) {
        pl_buffer_text(&out, "\"");
        pl_buffer_text(&out, name);
        pl_buffer_text(&out, "\"");
    } else {
        put_single_quoted(&out, name);
    }
    pl_buffer_append(&out, "", 1);
    if (out.failed)
        pl_buffer_deinit(&out);
    return out.bytes;
}

void pl_sum_complain(const char *name, int errnum)
{
    char *quoted = pl_sum_quote(name);

    (void)fflush(stdout); /* as error(3) does: the order on a terminal is that of the names */
    (void)fprintf(stderr, "procledger: %s%s%s\n", quoted ? quoted : "(out of memory)", errnum ? ": " : "",
                  errnum ? strerror(errnum) : "");
    free(quoted);
}

bool pl_sum_needs_escape(const char *name)
{
    return strpbrk(name, "\\\n\r") != NULL;
}

void pl_sum_put_name(FILE *out, const char *name, bool escape)
{
    if (!escape) {
        (void)fputs(name, out);
        return;
    }
    for (; *name; name++) {
        if (*name == '\n')
            (void)fputs("\\n", out);
        else if (*name == '\r')
            (void)fputs("\\r", out);
        else if (*name == '\\')
            (void)fputs("\\\\", out);
        else
            (void)putc(*name, out);
    }
}

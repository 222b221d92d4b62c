/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Masking of secrets in command lines before they reach the ledger. Pure: bytes in, bytes out. Errs on the
 * side of masking: a false positive costs an analyst one value, a false negative writes a secret to disk.
 */
#include "ledger/redact.h"

#include "src/base/cleanup.h"
#include "src/base/error.h"

#include <ctype.h>
#include <stdbool.h>
#include <string.h>
#include <strings.h>

#define MASK "***"

/* "key" alone is too common inside other words (keyboard, monkey): it counts at the end of a word only. */
static bool ends_word(const char *name, size_t length, size_t at)
{
    return at == length || !isalpha((unsigned char)name[at]) ||
           ((name[at] == 's' || name[at] == 'S') && (at + 1 == length || !isalpha((unsigned char)name[at + 1])));
}

static bool name_is_secret(const char *name, size_t length)
{
    static const char *const words[] = {"password", "passwd", "passphrase", "secret", "token", "credential"};

    for (size_t i = 0; i < length; i++) {
        for (size_t w = 0; w < sizeof(words) / sizeof(*words); w++) {
            size_t n = strlen(words[w]);
            if (length - i >= n && strncasecmp(name + i, words[w], n) == 0)
                return true;
        }
        if (length - i >= 3 && strncasecmp(name + i, "key", 3) == 0 && ends_word(name, length, i + 3))
            return true;
    }
    return false;
}

/* Where the value of the first secret name in "a=1&token=x" or "A=1 B --password=y" begins; more than length: there is
 * none. */
static size_t secret_value(const char *arg, size_t length)
{
    size_t name = 0;

    for (size_t i = 0; i < length; i++) {
        if (arg[i] != '=')
            continue;
        if (name_is_secret(arg + name, i - name))
            return i + 1;
        name = i + 1;
    }
    return length + 1;
}

int pl_redact_argv(const char *argv, size_t length, char **out, size_t *out_length)
{
    /* Each argument grows by at most the mask: an empty value becomes "***". Two bytes are the least argument
     * that can be masked as a value on its own ("" plus its NUL is one). */
    size_t room = length + 1;
    for (size_t i = 0; i < length; i++)
        room += argv[i] == '\0' ? sizeof(MASK) : 0;
    pl_auto_free char *text = malloc(room);
    if (!text)
        return pl_error_nomem();

    size_t at = 0;
    bool mask_next = false, first = true;
    for (size_t i = 0; i < length;) {
        const char *arg = argv + i;
        size_t n = strnlen(arg, length - i);
        bool masked = false;
        size_t keep = n;

        if (mask_next && !(n > 1 && arg[0] == '-' && arg[1] == '-')) {
            keep = 0;
            masked = true;
        } else if (!first) {
            size_t value = secret_value(arg, n);
            masked = value <= n;
            keep = masked ? value : n;
        }
        mask_next = !first && n > 0 && arg[0] == '-' && !memchr(arg, '=', n) && name_is_secret(arg, n);
        memcpy(text + at, arg, keep);
        at += keep;
        if (masked) {
            memcpy(text + at, MASK, sizeof(MASK) - 1);
            at += sizeof(MASK) - 1;
        }
        text[at++] = '\0';
        i += n + 1;
        first = false;
    }
    *out = pl_steal(&text);
    *out_length = at;
    return 0;
}

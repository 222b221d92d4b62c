/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Container ids out of cgroup paths. Pure text: no file is read, nothing is kept. Owns only the string it returns.
 *
 * Known forms, by component, the innermost one wins (a container within a container is the inner one):
 *   64 hex digits, alone, or after a prefix that ends in '-' or ':' and before nothing or ".scope"
 *       docker-ID.scope, cri-containerd-ID.scope, crio-ID.scope, libpod-ID.scope, ...slice:cri-containerd:ID
 *       (but not libpod-conmon-ID: the monitor runs outside the container)
 *   lxc/NAME, lxc.payload/NAME, lxc.payload.NAME
 *   machine-NAME.scope (systemd-nspawn; virtual machines of libvirt, "qemu-", are none), systemd-nspawn@NAME.service
 * The names of systemd units are escaped (\x2d for '-'); they are returned as the administrator wrote them.
 */
#include "src/process/container.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "src/base/cleanup.h"
#include "src/base/error.h"

#define ID_LENGTH 64

typedef struct span {
    const char *start;
    size_t length;
    bool escaped; /* by systemd's rules */
} span;

static bool is_hex(char c)
{
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f');
}

static bool has_suffix(span text, const char *suffix)
{
    size_t n = strlen(suffix);

    return text.length >= n && memcmp(text.start + text.length - n, suffix, n) == 0;
}

static bool has_prefix(span text, const char *prefix)
{
    size_t n = strlen(prefix);

    return text.length >= n && memcmp(text.start, prefix, n) == 0;
}

static bool equals(span text, const char *word)
{
    return text.length == strlen(word) && memcmp(text.start, word, text.length) == 0;
}

/* What stands between prefix and suffix of a component, if both are there and something is left. */
static bool between(span text, const char *prefix, const char *suffix, bool escaped, span *out)
{
    size_t before = strlen(prefix), after = strlen(suffix);

    if (text.length <= before + after || !has_prefix(text, prefix) || !has_suffix(text, suffix))
        return false;
    *out = (span){text.start + before, text.length - before - after, escaped};
    return true;
}

static bool hex_id(span text, span *out)
{
    if (has_suffix(text, ".scope"))
        text.length -= strlen(".scope");
    if (text.length < ID_LENGTH)
        return false;
    span id = {text.start + text.length - ID_LENGTH, ID_LENGTH, false};
    for (size_t i = 0; i < ID_LENGTH; i++) {
        if (!is_hex(id.start[i]))
            return false;
    }
    span prefix = {text.start, text.length - ID_LENGTH, false};
    if (prefix.length > 0 && prefix.start[prefix.length - 1] != '-' && prefix.start[prefix.length - 1] != ':')
        return false; /* a longer number, no id */
    if (has_suffix(prefix, "conmon-"))
        return false;
    *out = id;
    return true;
}

static bool component_id(span previous, span text, span *out)
{
    if (hex_id(text, out))
        return true;
    if (text.length > 0 && (equals(previous, "lxc") || equals(previous, "lxc.payload"))) {
        *out = text;
        return true;
    }
    if (between(text, "lxc.payload.", "", false, out))
        return true;
    if (between(text, "systemd-nspawn@", ".service", true, out))
        return true;
    return !has_prefix(text, "machine-qemu") && between(text, "machine-", ".scope", true, out);
}

static int hex_value(char c)
{
    return c <= '9' ? c - '0' : c - 'a' + 10;
}

/* A copy, with \xHH undone where systemd escaped. NULL: out of memory. */
static char *copy_name(span name)
{
    char *out = malloc(name.length + 1);
    size_t length = 0;

    if (!out)
        return NULL;
    for (size_t i = 0; i < name.length; i++) {
        const char *at = name.start + i;
        if (name.escaped && name.length - i >= 4 && at[0] == '\\' && at[1] == 'x' && is_hex(at[2]) && is_hex(at[3]) &&
            !(at[2] == '0' && at[3] == '0')) {
            out[length++] = (char)(hex_value(at[2]) * 16 + hex_value(at[3]));
            i += 3;
        } else {
            out[length++] = *at;
        }
    }
    out[length] = '\0';
    return out;
}

int pl_container_of_cgroup(const char *cgroup, char **out)
{
    span previous = {"", 0, false}, found = {NULL, 0, false};

    for (const char *at = cgroup; at && *at;) {
        at += strspn(at, "/");
        span text = {at, strcspn(at, "/"), false};
        if (text.length > 0)
            (void)component_id(previous, text, &found);
        previous = text;
        at += text.length;
    }
    char *name = NULL;
    if (found.start) {
        name = copy_name(found);
        if (!name)
            return pl_error_nomem();
    }
    *out = name;
    return 0;
}

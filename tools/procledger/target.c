/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * PATH|SHA256 as `who` and `history` take it. Eight to 64 hex digits without a slash are a digest or the beginning of
 * one; a prefix must name one content. All else is a path: made absolute, and also looked up with its links
 * resolved, since the ledger holds the path that the kernel ran. Owns its two paths.
 */
#include "tools/procledger/cli.h"

#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "src/base/cleanup.h"
#include "src/base/error.h"
#include "src/base/text.h"

#define PREFIX_LEAST 8
#define DIGITS 64

static bool is_digest(const char *word)
{
    size_t n = strlen(word);

    return n >= PREFIX_LEAST && n <= DIGITS && strspn(word, "0123456789abcdefABCDEF") == n;
}

/* The one content whose digest starts so. */
static int find_digest(pl_target *target, pl_cli *cli, const char *word)
{
    pl_auto_query pl_query *query = NULL;
    char prefix[DIGITS + 1];
    size_t n = strlen(word), length = 0;

    for (size_t i = 0; i <= n; i++)
        prefix[i] = (char)tolower((unsigned char)word[i]);
    int rc = pl_query_new(cli->store, PL_SQL_TARGET_DIGEST, &query);
    if (rc == 0)
        rc = pl_query_bind_text(query, ":prefix", prefix);
    if (rc == 0)
        rc = pl_query_step(query);
    if (rc <= 0)
        return rc < 0 ? rc : PL_PENDING;
    const char *text = pl_query_text(query, 0, &length);
    if (!text || length != DIGITS)
        return pl_error_set(PL_ERR_DAMAGED, "a digest of %zu characters in the ledger", length);
    char found[DIGITS + 1];
    memcpy(found, text, DIGITS + 1);
    rc = pl_query_step(query);
    if (rc == 1)
        return pl_error_set(PL_ERR_INVALID, "'%s' is the beginning of more than one digest: give more digits", word);
    if (rc == 0)
        memcpy(target->sha256, found, sizeof(found));
    return rc;
}

/* In place: what names the same file whatever the links are, so not "..". */
static void tidy(char *path)
{
    char *to = path;

    for (const char *from = path; *from;) {
        size_t n = strcspn(from + 1, "/");
        bool nothing = n == 0 || (n == 1 && from[1] == '.');
        if (!nothing) {
            memmove(to, from, n + 1);
            to += n + 1;
        }
        from += n + 1;
    }
    if (to == path)
        *to++ = '/';
    *to = '\0';
}

/* Links resolved, of a file that is gone those of its folder; NULL: that is gone too, or no memory. */
static char *resolve(const char *path)
{
    char *real = realpath(path, NULL);

    if (real)
        return real;
    pl_auto_free char *folder = strdup(path);
    char *slash = folder ? strrchr(folder, '/') : NULL;
    if (!slash || strcmp(slash, "/..") == 0)
        return NULL;
    *slash = '\0';
    pl_auto_free char *real_folder = realpath(*folder ? folder : "/", NULL);
    if (!real_folder)
        return NULL;
    const char *between = strcmp(real_folder, "/") != 0 ? "/" : "";
    return asprintf(&real, "%s%s%s", real_folder, between, slash + 1) < 0 ? NULL : real;
}

static int find_path(pl_target *target, const char *word)
{
    pl_auto_free char *here = NULL;

    if (!*word)
        return pl_error_set(PL_ERR_INVALID, "'' is no path");
    if (word[0] != '/') {
        here = getcwd(NULL, 0);
        if (!here) {
            int error = errno;
            return pl_error_errno(pl_error_code(error), error, "working directory for '%s'", word);
        }
    }
    if (asprintf(&target->path, "%s%s%s", here ? here : "", here ? "/" : "", word) < 0) {
        target->path = NULL;
        return pl_error_nomem();
    }
    tidy(target->path);
    target->real = resolve(target->path); /* NULL is no reason not to ask for it */
    return 0;
}

int pl_target_init(pl_target *target, pl_cli *cli, const char *word)
{
    *target = (pl_target){0};
    return is_digest(word) ? find_digest(target, cli, word) : find_path(target, word);
}

void pl_target_deinit(pl_target *target)
{
    free(target->path);
    free(target->real);
    *target = (pl_target){0};
}

/* Text as the ledger keeps it, and the exact bytes where that differs. */
static int bind_path(pl_query *query, const char *text_name, const char *bytes_name, const char *path)
{
    if (!path)
        return 0;
    size_t length = strlen(path);
    pl_auto_free char *text = pl_text_escape(path, length);
    if (!text)
        return pl_error_nomem();
    int rc = pl_query_bind_text(query, text_name, text);
    if (rc < 0)
        return rc;
    return pl_query_bind_blob(query, bytes_name, path, strcmp(text, path) == 0 ? 0 : length);
}

int pl_target_bind(void *context, pl_query *query)
{
    const pl_target *target = context;
    int rc = target->sha256[0] ? pl_query_bind_text(query, ":sha256", target->sha256) : 0;

    if (rc == 0)
        rc = bind_path(query, ":path", ":path_bytes", target->path);
    if (rc == 0)
        rc = bind_path(query, ":real", ":real_bytes", target->real);
    return rc;
}

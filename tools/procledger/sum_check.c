/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * sum -c: reads a list of checksums and says of each file whether it still has it. Lines are taken in batches, so that
 * the ledger is asked for many files at once, and a list that comes slowly (a pipe, a terminal) is answered as far as
 * it is there; messages come in the order of the lines, and are those of sha256sum 9.1. Owns the lines of its batch.
 */
#include "tools/procledger/sum.h"

#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "src/base/cleanup.h"
#include "tools/procledger/cli.h"

#define BLOCK 65536

typedef struct entry {
    char *line; /* owned; name points into it */
    uint64_t number;
    bool bad;
    pl_sum_line parsed;
} entry;

/* The list, read ahead of its lines. */
typedef struct source {
    int fd;
    char *bytes;         /* owned */
    size_t from, length; /* what is left: bytes[from..length) */
    size_t size;
    bool ended, failed; /* nothing more can be read; because of an error */
} source;

typedef struct check {
    pl_summer *summer;
    const pl_sum_settings *settings;
    const char *label; /* of the list, in messages */
    bool is_stdin;
    int *reversed;
    entry *entries; /* owned, PL_SUM_BATCH */
    size_t count, batch;
    uint64_t malformed, unreadable, mismatched;
    bool any_formatted, any_matched;
} check;

static void label_message(const check *c, const char *text)
{
    char *quoted = pl_sum_quote(c->label);

    (void)fflush(stdout);
    (void)fprintf(stderr, "procledger: %s: %s\n", quoted ? quoted : "(out of memory)", text);
    free(quoted);
}

static void put_result(const char *name, bool escape, const char *text)
{
    if (escape)
        (void)putchar('\\');
    pl_sum_put_name(stdout, name, escape);
    (void)printf(": %s\n", text);
}

static void verify(check *c, const entry *e, const pl_sum_answer *answer)
{
    const pl_sum_settings *s = c->settings;
    /* Only what would make two lines of the answer; the list itself escapes more. */
    bool escape = strchr(e->parsed.name, '\n') != NULL;

    c->any_formatted = true;
    if (answer->error == ENOENT && s->ignore_missing)
        return;
    if (answer->error != 0) {
        pl_sum_complain(e->parsed.name, answer->error);
        c->unreadable++;
        if (!s->status)
            put_result(e->parsed.name, escape, "FAILED open or read");
        return;
    }
    bool match = memcmp(answer->digest, e->parsed.digest, PL_SUM_BYTES) == 0;
    c->any_matched |= match;
    c->mismatched += !match;
    if (!s->status && (!match || !s->quiet))
        put_result(e->parsed.name, escape, match ? "OK" : "FAILED");
}

/* What is in the batch, in the order of its lines. */
static int flush_batch(check *c)
{
    pl_auto_free const char **names = malloc((c->count + 1) * sizeof(*names));
    size_t n = 0;
    int rc = names ? 0 : PL_ERR_NOMEM;

    for (size_t i = 0; rc == 0 && i < c->count; i++)
        if (!c->entries[i].bad)
            names[n++] = c->entries[i].parsed.name;
    if (rc == 0 && n > 0)
        rc = pl_summer_batch(c->summer, names, n);
    n = 0;
    for (size_t i = 0; rc == 0 && i < c->count; i++) {
        const entry *e = &c->entries[i];
        pl_sum_answer answer;
        char text[80];
        (void)snprintf(text, sizeof(text), "%" PRIu64 ": improperly formatted SHA256 checksum line", e->number);
        if (e->bad)
            label_message(c, text);
        else if ((rc = pl_summer_answer(c->summer, n++, &answer)) == 0)
            verify(c, e, &answer);
    }
    for (size_t i = 0; i < c->count; i++)
        free(c->entries[i].line);
    c->count = 0;
    return rc;
}

/* Takes the line over. */
static int add_line(check *c, char *line, size_t length, uint64_t number)
{
    entry e = {.line = line, .number = number};

    e.bad =
        !pl_sum_line_parse(line, length, c->reversed, &e.parsed) || (c->is_stdin && strcmp(e.parsed.name, "-") == 0);
    c->malformed += e.bad;
    if (e.bad && !c->settings->warn) {
        free(line);
        return 0;
    }
    c->entries[c->count++] = e;
    if (c->count < c->batch)
        return 0;
    c->batch = pl_sum_next_batch(c->batch);
    return flush_batch(c);
}

static int read_more(check *c, source *in)
{
    ssize_t n;

    if (in->from > 0) {
        memmove(in->bytes, in->bytes + in->from, in->length - in->from);
        in->length -= in->from;
        in->from = 0;
    }
    if (in->length == in->size) {
        size_t size = in->size ? in->size * 2 : BLOCK;
        char *bytes = realloc(in->bytes, size);
        if (!bytes)
            return PL_ERR_NOMEM;
        in->bytes = bytes;
        in->size = size;
    }
    while ((n = read(in->fd, in->bytes + in->length, in->size - in->length)) < 0 && errno == EINTR)
        ;
    c->summer->stdin_closed |= n < 0 && errno == EBADF;
    in->failed = n < 0;
    in->ended = n <= 0;
    in->length += n > 0 ? (size_t)n : 0;
    return 0;
}

static bool would_block(int fd)
{
    struct pollfd ready = {.fd = fd, .events = POLLIN};

    return poll(&ready, 1, 0) == 0;
}

/* 1: a line in *line, without its newline and with a NUL, the caller's; 0: the end; negative. */
static int next_line(check *c, source *in, char **line, size_t *length)
{
    char *end = NULL;

    for (size_t searched = 0; !end;) {
        char *first = in->bytes + in->from;
        size_t left = in->length - in->from;
        end = left > searched ? memchr(first + searched, '\n', left - searched) : NULL;
        if (end || in->ended) {
            *length = end ? (size_t)(end - first) : left;
            break;
        }
        searched = left;
        int rc = c->count > 0 && would_block(in->fd) ? flush_batch(c) : 0;
        if (rc == 0)
            rc = read_more(c, in);
        if (rc < 0)
            return rc;
    }
    if (!end && *length == 0)
        return 0;
    *line = malloc(*length + 1);
    if (!*line)
        return PL_ERR_NOMEM;
    memcpy(*line, in->bytes + in->from, *length);
    (*line)[*length] = '\0';
    in->from += *length + (end != NULL);
    return 1;
}

static int read_list(check *c, source *in)
{
    uint64_t number = 0;
    size_t length = 0;
    char *line = NULL;
    int rc;

    while ((rc = next_line(c, in, &line, &length)) == 1) {
        number++;
        length -= length > 0 && line[length - 1] == '\r';
        line[length] = '\0';
        if (length == 0 || line[0] == '#')
            free(line);
        else if ((rc = add_line(c, line, length, number)) < 0)
            break;
    }
    int last = flush_batch(c);
    return rc < 0 ? rc : last;
}

static void warn_count(uint64_t n, const char *one, const char *many)
{
    (void)fflush(stdout);
    if (n > 0)
        (void)fprintf(stderr, "procledger: WARNING: %" PRIu64 " %s\n", n, n == 1 ? one : many);
}

static bool judge(check *c)
{
    const pl_sum_settings *s = c->settings;

    if (!c->any_formatted) {
        label_message(c, "no properly formatted checksum lines found");
        return false;
    }
    if (!s->status) {
        warn_count(c->malformed, "line is improperly formatted", "lines are improperly formatted");
        warn_count(c->unreadable, "listed file could not be read", "listed files could not be read");
        warn_count(c->mismatched, "computed checksum did NOT match", "computed checksums did NOT match");
        if (s->ignore_missing && !c->any_matched)
            label_message(c, "no file was verified");
    }
    return c->any_matched && c->mismatched == 0 && c->unreadable == 0 && (!s->strict || c->malformed == 0);
}

bool pl_sum_check(pl_summer *summer, const pl_sum_settings *settings, const char *name, int *reversed)
{
    bool from_stdin = strcmp(name, "-") == 0;
    int error = 0;
    pl_auto_close int opened = from_stdin ? -1 : pl_summer_file(summer, name, &error);
    source in = {.fd = from_stdin ? STDIN_FILENO : opened};
    pl_auto_free entry *entries = NULL;
    check c = {.summer = summer, .settings = settings, .is_stdin = from_stdin, .reversed = reversed};

    if (in.fd < 0) {
        pl_sum_complain(name, error);
        return false;
    }
    entries = calloc(PL_SUM_BATCH, sizeof(*entries));
    c.label = from_stdin ? "standard input" : name;
    c.entries = entries;
    c.batch = PL_SUM_FIRST_BATCH;
    int rc = entries ? read_list(&c, &in) : PL_ERR_NOMEM;
    free(in.bytes);
    if (rc < 0) {
        pl_cli_say("%s", rc == PL_ERR_NOMEM ? pl_strerror(rc) : pl_error_message());
        return false;
    }
    if (in.failed) {
        label_message(&c, "read error");
        return false;
    }
    return judge(&c);
}

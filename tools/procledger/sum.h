/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The parts of `procledger sum`: answers (from the ledger, or read), names as coreutils writes them, lines of
 * checksum files. One thread, apart from the progress line.
 */
#ifndef PL_CLI_SUM_H
#define PL_CLI_SUM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <procledger/procledger.h>

#include "src/file/digest.h"

/* Names that the ledger is asked for at once: few at first, so that the first lines come soon. */
#define PL_SUM_FIRST_BATCH 64
#define PL_SUM_BATCH 4096
#define PL_SUM_BYTES 32

static inline size_t pl_sum_next_batch(size_t batch)
{
    return batch * 2 < PL_SUM_BATCH ? batch * 2 : PL_SUM_BATCH;
}

/* sum_quote.c */
/* A name in a message, quoted as a shell would need it, byte for byte as coreutils does (quotef). NULL: no memory. */
char *pl_sum_quote(const char *name);
/* The name holds what sha256sum escapes with a backslash in front of the line. */
bool pl_sum_needs_escape(const char *name);
void pl_sum_put_name(FILE *out, const char *name, bool escape);
/* "procledger: NAME: error" on stderr, or without ": error" for errnum 0. */
void pl_sum_complain(const char *name, int errnum);

/* sum_line.c */
typedef struct pl_sum_line {
    char *name; /* inside the parsed line */
    uint8_t digest[PL_SUM_BYTES];
} pl_sum_line;
/* line: length bytes and a NUL, changed by it. *reversed: the state over all lines, -1 at first. */
bool pl_sum_line_parse(char *line, size_t length, int *reversed, pl_sum_line *out);

/* sum_serve.c */
typedef struct pl_sum_answer {
    int error; /* errno; 0: fine */
    uint8_t digest[PL_SUM_BYTES];
} pl_sum_answer;

struct pl_progress;

typedef struct pl_summer {
    const char *db;         /* NULL: default; borrowed */
    char *path;             /* of the ledger that is open or was; owned */
    bool tried;             /* to open it */
    pl_ledger *ledger;      /* NULL: hashes without it */
    pl_digester *digester;  /* made on first need */
    char *block;            /* for direct reads, on first need */
    pl_checksum *checksums; /* of the batch, PL_SUM_BATCH */
    int *codes;
    const char *const *names; /* of the batch; borrowed */
    bool stdin_closed;        /* found when it was read */
    uint64_t files, hot, known, read;
    _Atomic uint64_t bytes;       /* read directly, or by a handle that is closed */
    struct pl_progress *progress; /* NULL: nobody looks */
} pl_summer;

void pl_summer_init(pl_summer *summer, const char *db);
void pl_summer_deinit(pl_summer *summer);
/* Opens the ledger, if that was not tried yet. 0 or negative; without it all is read directly. */
int pl_summer_open(pl_summer *summer);
/* Asks the ledger for n <= PL_SUM_BATCH names at once, all regular files among them; "-" is left alone. 0 or
 * PL_ERR_NOMEM: a ledger that fails is said and done without. */
int pl_summer_batch(pl_summer *summer, const char *const *names, size_t n);
/* The answer for names[i] of the batch; what the ledger could not serve is read now, as sha256sum reads it. Negative:
 * no memory, or OpenSSL failed. */
int pl_summer_answer(pl_summer *summer, size_t i, pl_sum_answer *out);
/* A descriptor for reading a file that may be the ledger itself; -1: see *error (an errno). */
int pl_summer_file(pl_summer *summer, const char *name, int *error);
/* Bytes read from files so far, by whomever. Any thread, while the ledger stays open. */
uint64_t pl_summer_bytes(pl_summer *summer);

/* sum_progress.c: a line on stderr while the work goes on, from a second after the start. Between pause and resume
 * nothing of it is on the terminal, so that lines on stdout do not mix with it. All NULL safe. */
struct pl_progress *pl_progress_start(pl_summer *summer);
void pl_progress_resume(struct pl_progress *progress);
void pl_progress_pause(struct pl_progress *progress);
struct pl_progress *pl_progress_stop(struct pl_progress *progress); /* returns NULL */

/* sum_check.c: -c */
typedef struct pl_sum_settings {
    bool check, tag, zero, quiet, status, strict, warn, ignore_missing, stats;
    int binary; /* -1: not said, 0: -t, 1: -b */
} pl_sum_settings;
/* true: all of the file is verified, as sha256sum judges it. */
bool pl_sum_check(pl_summer *summer, const pl_sum_settings *settings, const char *list, int *reversed);

#endif

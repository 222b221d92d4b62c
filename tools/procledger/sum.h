/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The parts of `procledger sum`: answers (from the ledger, or read), names as coreutils writes them, lines of
 * checksum files. One thread, apart from the progress line.
 */
#ifndef PL_CLI_SUM_H
#define PL_CLI_SUM_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <procledger/procledger.h>

#include "src/file/digest.h"

#define PL_SUM_BATCH 4096
#define PL_SUM_BYTES 32

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

typedef struct pl_summer {
    const char *db;         /* NULL: default; borrowed */
    bool tried;             /* to open the ledger */
    pl_ledger *ledger;      /* NULL: hashes without it */
    pl_digester *digester;  /* made on first need */
    char *block;            /* for direct reads, on first need */
    pl_checksum *checksums; /* of the batch, PL_SUM_BATCH */
    int *codes;
    const char *const *names; /* of the batch; borrowed */
    bool stdin_read;
    uint64_t files, hot, known, read, bytes; /* bytes: read directly */
    struct pl_progress *progress;            /* NULL: nobody looks */
} pl_summer;

/* 0, or PL_ERR_NOMEM. */
int pl_summer_init(pl_summer *summer, const char *db);
void pl_summer_deinit(pl_summer *summer);
/* Asks the ledger for n <= PL_SUM_BATCH names at once, all regular files among them; "-" is left alone. */
int pl_summer_batch(pl_summer *summer, const char *const *names, size_t n);
/* The answer for names[i] of the batch; what the ledger could not serve is read now, as sha256sum reads it. Negative:
 * no memory, or OpenSSL failed. */
int pl_summer_answer(pl_summer *summer, size_t i, pl_sum_answer *out);
/* Bytes read from files so far, by whomever. */
uint64_t pl_summer_bytes(pl_summer *summer);

/* sum_progress.c: a line on stderr when it is a terminal and the work takes over a second. */
struct pl_progress *pl_progress_start(pl_ledger *ledger);
struct pl_progress *pl_progress_stop(struct pl_progress *progress); /* wipes the line; NULL safe; returns NULL */

/* sum_check.c: -c */
typedef struct pl_sum_settings {
    bool check, tag, zero, quiet, status, strict, warn, ignore_missing, stats;
    int binary; /* -1: not said, 0: -t, 1: -b */
} pl_sum_settings;
/* true: all of the file is verified, as sha256sum judges it. */
bool pl_sum_check(pl_summer *summer, const pl_sum_settings *settings, const char *list, int *reversed);

#endif

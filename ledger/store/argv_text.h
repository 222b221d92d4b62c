/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A command line as text: what _command keeps of the exact argument bytes. Internal to ledger/store. Any thread.
 */
#ifndef PL_STORE_ARGV_TEXT_H
#define PL_STORE_ARGV_TEXT_H

#include <stdbool.h>
#include <stddef.h>

typedef struct pl_argv_text {
    char *cmdline; /* arguments joined by a space, escaped; heap */
    char *json;    /* JSON array, heap; NULL: splitting cmdline at its spaces gives it */
    bool exact;    /* false: some bytes are no valid UTF-8, and neither text says which */
} pl_argv_text;

/* Arguments, a NUL after each. 0 or PL_ERR_NOMEM. */
int pl_argv_text_init(pl_argv_text *text, const char *argv, size_t length);
void pl_argv_text_deinit(pl_argv_text *text);

#endif

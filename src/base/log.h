/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The log is an object that is passed down; the library itself never writes to a descriptor. Any thread: the
 * callback must be safe to call from several.
 */
#ifndef PL_BASE_LOG_H
#define PL_BASE_LOG_H

#include <stdbool.h>

typedef enum pl_log_level { PL_LOG_ERROR, PL_LOG_WARNING, PL_LOG_INFO, PL_LOG_DEBUG } pl_log_level;

typedef struct pl_log {
    /* line: no newline, at most 1,023 bytes, already escaped for a terminal */
    void (*write)(void *context, pl_log_level level, const char *line);
    void *context;
    pl_log_level level; /* what is less urgent is not formatted */
} pl_log;

/* log may be NULL: then nothing happens. */
void pl_log_write(const pl_log *log, pl_log_level level, const char *format, ...) __attribute__((format(printf, 3, 4)));
/* Lines "program: text" to stderr. */
void pl_log_init_stderr(pl_log *log, const char *program, pl_log_level level);

#endif

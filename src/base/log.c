/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Formats log lines and hands them to whoever the owner of the log chose. Owns nothing but the stack it
 * formats on.
 */
#include "src/base/log.h"

#include "src/base/text.h"

#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

void pl_log_write(const pl_log *log, pl_log_level level, const char *format, ...)
{
    char line[1024], safe[1024];
    va_list args;

    if (!log || !log->write || level > log->level)
        return;
    va_start(args, format);
    (void)vsnprintf(line, sizeof(line), format, args);
    va_end(args);
    pl_text_escape_into(line, strlen(line), safe, sizeof(safe));
    log->write(log->context, level, safe);
}

static void write_stderr(void *context, pl_log_level level, const char *line)
{
    static const char *const prefix[] = {"error: ", "warning: ", "", "debug: "};

    (void)fprintf(stderr, "%s: %s%s\n", (const char *)context, prefix[level], line);
}

void pl_log_init_stderr(pl_log *log, const char *program, pl_log_level level)
{
    *log = (pl_log){.write = write_stderr, .context = (void *)(uintptr_t)program, .level = level};
}

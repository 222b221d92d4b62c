/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The message of a thread's last failure. The only thread-local of the library: the public contract promises
 * pl_error_message() also after a pl_open that returned no handle to ask. Nothing here allocates.
 */
#include "src/base/error.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define MESSAGE_SIZE 512

static _Thread_local char last_message[MESSAGE_SIZE];

int pl_error_set(int code, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    (void)vsnprintf(last_message, sizeof(last_message), format, args);
    va_end(args);
    return code;
}

int pl_error_errno(int code, int errnum, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    int n = vsnprintf(last_message, sizeof(last_message), format, args);
    va_end(args);
    if (n >= 0 && (size_t)n < sizeof(last_message)) {
        char text[128];
        (void)snprintf(last_message + n, sizeof(last_message) - (size_t)n, ": %s",
                       strerror_r(errnum, text, sizeof(text)));
    }
    return code;
}

int pl_error_nomem(void)
{
    return pl_error_set(PL_ERR_NOMEM, "out of memory");
}

int pl_error_code(int errnum)
{
    switch (errnum) {
    case EACCES:
    case EPERM:
        return PL_ERR_PERMISSION;
    case ENOSPC:
    case EDQUOT:
    case EFBIG: /* RLIMIT_FSIZE */
        return PL_ERR_FULL;
    case EROFS:
        return PL_ERR_READ_ONLY;
    case ENOMEM:
        return PL_ERR_NOMEM;
    case EIO:
        return PL_ERR_IO;
    default:
        return PL_ERR_SYSTEM;
    }
}

const char *pl_error_message(void)
{
    return last_message;
}

const char *pl_strerror(int code)
{
    switch (code) {
#define CODE_TEXT(name, value, text)                                                                                   \
    case value:                                                                                                        \
        return text;
        PL_CODES(CODE_TEXT)
#undef CODE_TEXT
    default:
        return "unknown code";
    }
}

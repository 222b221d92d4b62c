/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Failure messages of this thread, behind pl_strerror and pl_error_message of the public header. Codes come
 * from PL_CODES there. Any thread.
 */
#ifndef PL_BASE_ERROR_H
#define PL_BASE_ERROR_H

#include <procledger/procledger.h>

/* Sets this thread's message (cut at 511 bytes) and returns code, so that a failure is one line: return
 * pl_error_set(...). */
int pl_error_set(int code, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* The same, with ": " and the text of errnum appended. */
int pl_error_errno(int code, int errnum, const char *format, ...) __attribute__((format(printf, 3, 4)));
/* PL_ERR_NOMEM with a message that needs no memory. */
int pl_error_nomem(void);
/* The negative code that fits an errno: EACCES and EPERM, ENOSPC and EDQUOT, EROFS, ENOMEM, EIO; else
 * PL_ERR_SYSTEM. */
int pl_error_code(int errnum);

#endif

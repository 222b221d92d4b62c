/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * --argv redact: masks the values of arguments whose name says password, secret, token, key or credential. It
 * knows names, not meanings: a secret that is a bare argument stays. Any thread; nothing is kept.
 */
#ifndef PL_LEDGER_REDACT_H
#define PL_LEDGER_REDACT_H

#include <stddef.h>

/*
 * argv: arguments, each ended by NUL, length bytes in all. "--password=x", "DB_PASSWORD=x" and "--token x"
 * keep their name and get the value "***". The result (heap, *out_length bytes) may be longer or shorter. 0
 * or PL_ERR_NOMEM.
 */
int pl_redact_argv(const char *argv, size_t length, char **out, size_t *out_length);

#endif

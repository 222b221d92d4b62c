/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Bytes that grow. A failed append leaves the buffer marked and swallows what follows, so that a renderer checks once,
 * where it writes. Null value: {0}. One thread.
 */
#ifndef PL_CLI_BUFFER_H
#define PL_CLI_BUFFER_H

#include <stdbool.h>
#include <stddef.h>

typedef struct pl_buffer {
    char *bytes; /* owned; not NUL-terminated */
    size_t length, size;
    bool failed;
    bool reader_gone; /* a write said EPIPE */
} pl_buffer;

void pl_buffer_deinit(pl_buffer *buffer);
void pl_buffer_append(pl_buffer *buffer, const char *bytes, size_t length);
void pl_buffer_text(pl_buffer *buffer, const char *text);
void pl_buffer_fill(pl_buffer *buffer, char byte, size_t count);
void pl_buffer_format(pl_buffer *buffer, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* Through pl_text_escape, so that it is safe on a terminal and one line. */
void pl_buffer_escaped(pl_buffer *buffer, const char *bytes, size_t length);
void pl_buffer_clear(pl_buffer *buffer);
/* Writes all to fd and clears. 0, PL_ERR_NOMEM (an append had failed), or PL_ERR_IO and its siblings. */
int pl_buffer_write(pl_buffer *buffer, int fd);

#endif

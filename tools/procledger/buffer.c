/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The growing bytes behind every output format. Owns its memory, knows nothing of formats. Invariant: after a failure
 * nothing is appended any more, and pl_buffer_write says so instead of writing a part.
 */
#include "tools/procledger/buffer.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "src/base/error.h"
#include "src/base/text.h"

#define FIRST_SIZE 4096

void pl_buffer_deinit(pl_buffer *buffer)
{
    free(buffer->bytes);
    *buffer = (pl_buffer){0};
}

/* Room for length more bytes. */
static bool reserve(pl_buffer *buffer, size_t length)
{
    if (buffer->failed)
        return false;
    if (length <= buffer->size - buffer->length)
        return true;
    size_t size = buffer->size ? buffer->size : FIRST_SIZE;
    while (size - buffer->length < length)
        size *= 2;
    char *bytes = realloc(buffer->bytes, size);
    if (!bytes) {
        buffer->failed = true;
        return false;
    }
    buffer->bytes = bytes;
    buffer->size = size;
    return true;
}

void pl_buffer_append(pl_buffer *buffer, const char *bytes, size_t length)
{
    if (length == 0 || !reserve(buffer, length))
        return;
    memcpy(buffer->bytes + buffer->length, bytes, length);
    buffer->length += length;
}

void pl_buffer_text(pl_buffer *buffer, const char *text)
{
    pl_buffer_append(buffer, text, strlen(text));
}

void pl_buffer_fill(pl_buffer *buffer, char byte, size_t count)
{
    if (count == 0 || !reserve(buffer, count))
        return;
    memset(buffer->bytes + buffer->length, byte, count);
    buffer->length += count;
}

void pl_buffer_format(pl_buffer *buffer, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    int n = vsnprintf(NULL, 0, format, args);
    va_end(args);
    if (n < 0 || !reserve(buffer, (size_t)n + 1))
        return;
    va_start(args, format);
    (void)vsnprintf(buffer->bytes + buffer->length, (size_t)n + 1, format, args);
    va_end(args);
    buffer->length += (size_t)n;
}

void pl_buffer_escaped(pl_buffer *buffer, const char *bytes, size_t length)
{
    size_t need = pl_text_escaped_length(bytes, length);

    if (need == length) {
        pl_buffer_append(buffer, bytes, length);
        return;
    }
    if (reserve(buffer, need + 1))
        buffer->length += pl_text_escape_into(bytes, length, buffer->bytes + buffer->length, need + 1);
}

void pl_buffer_clear(pl_buffer *buffer)
{
    buffer->length = 0;
}

int pl_buffer_write(pl_buffer *buffer, int fd)
{
    if (buffer->failed)
        return pl_error_nomem();
    for (size_t at = 0; at < buffer->length;) {
        ssize_t n = write(fd, buffer->bytes + at, buffer->length - at);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0) {
            int error = errno;
            buffer->reader_gone |= error == EPIPE;
            return pl_error_errno(pl_error_code(error), error, "write error");
        }
        at += (size_t)n;
    }
    buffer->length = 0;
    return 0;
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Bytes of unknown origin to text that is safe to store as UTF-8 and to print on a terminal. One rule for
 * both, so that plain sqlite3 is as safe to look through as our own programs.
 *
 * Kept: valid UTF-8. Escaped: C0 and DEL (\n \t \r, else \x1b), bytes that are no valid UTF-8 (\xff), C1
 * controls
 * (\u0085), bidirectional controls and line separators (\u202e: U+061C, U+200E-F, U+2028-2E, U+2066-9). A
 * backslash is kept as it is, so the text alone is not reversible: whoever needs the exact bytes keeps them
 * beside it where the two differ. Any thread; nothing is kept.
 */
#ifndef PL_BASE_TEXT_H
#define PL_BASE_TEXT_H

#include <stdbool.h>
#include <stddef.h>

/* Length of the escaped text without its NUL; equal to length exactly when nothing needs escaping. */
size_t pl_text_escaped_length(const char *bytes, size_t length);
/* Escapes into out, always NUL-terminated (size > 0), cut before an escape or character that would not fit.
 * Returns the length written. */
size_t pl_text_escape_into(const char *bytes, size_t length, char *out, size_t size);
/* The escaped text in memory of its own, freed by the caller; NULL: out of memory. */
char *pl_text_escape(const char *bytes, size_t length);
/* Columns of a terminal that a valid UTF-8 text takes, by wcwidth's rules for the C.UTF-8 locale, roughly:
 * combining marks 0, East Asian wide 2. */
size_t pl_text_columns(const char *text, size_t length);

#endif

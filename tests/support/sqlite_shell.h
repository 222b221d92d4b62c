/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Asks the real sqlite3 shell, so that a test sees what an analyst sees and shares no code with what it
 * tests. */
#ifndef PL_TESTS_SQLITE_SHELL_H
#define PL_TESTS_SQLITE_SHELL_H

/* Runs `sqlite3 -readonly` in list mode ("a|b" a row, rows ended by newline, NULL shown as ~). Heap; asserts
 * that the shell said no error. */
char *pl_shell_query(const char *db, const char *sql);

#endif

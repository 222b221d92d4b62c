/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The sqlite3 shell as an oracle. The statement goes in through a pipe: no quoting by a shell of ours.
 */
#include "tests/support/sqlite_shell.h"

#include <fcntl.h>
#include <setjmp.h>
#include <spawn.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

extern char **environ;

char *pl_shell_query(const char *db, const char *sql)
{
    int out[2], status = 0;
    posix_spawn_file_actions_t actions;
    pid_t pid;
    char *argv[] = {"sqlite3",          "-readonly",         "-batch", "-bail", "-nullvalue", "~",
                    (char *)(size_t)db, (char *)(size_t)sql, NULL};

    assert_return_code(pipe2(out, O_CLOEXEC), 0);
    assert_int_equal(posix_spawn_file_actions_init(&actions), 0);
    assert_int_equal(posix_spawn_file_actions_adddup2(&actions, out[1], 1), 0);
    assert_int_equal(posix_spawnp(&pid, "sqlite3", &actions, NULL, argv, environ), 0);
    (void)posix_spawn_file_actions_destroy(&actions);
    (void)close(out[1]);
    FILE *file = fdopen(out[0], "r");
    assert_non_null(file);
    char *text = NULL;
    size_t size = 0;
    ssize_t n = getdelim(&text, &size, EOF, file);
    if (n < 0) {
        free(text);
        text = calloc(1, 1);
    }
    (void)fclose(file);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
    assert_non_null(text);
    return text;
}

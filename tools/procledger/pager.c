/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A pager between stdout and the terminal: $PAGER, else less, more, cat, whichever is there. Only for tables on a
 * terminal. Owns the child; stop closes its input and waits, so that the shell's prompt comes after it.
 */
#include "tools/procledger/cli.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "src/base/cleanup.h"
#include "src/base/error.h"

/* Of a shell that cannot run its command. */
#define NOT_EXECUTABLE 126
#define NOT_FOUND 127

__attribute__((noreturn)) static void run_pager(const char *pager)
{
    /* Quit when it fits, colours, chopped lines: what systemctl and git ask of less. */
    (void)setenv("LESS", "FRSXMK", 0);
    if (pager)
        (void)execl("/bin/sh", "sh", "-c", pager, (char *)NULL);
    (void)execlp("less", "less", (char *)NULL);
    (void)execlp("more", "more", (char *)NULL);
    (void)execlp("cat", "cat", (char *)NULL);
    _exit(NOT_FOUND);
}

int pl_pager_start(pl_cli *cli)
{
    const char *pager = secure_getenv("PAGER");
    int ends[2];

    if (pager && (!*pager || strcmp(pager, "cat") == 0))
        return 0;
    if (pipe2(ends, O_CLOEXEC) < 0) {
        int error = errno;
        return pl_error_errno(pl_error_code(error), error, "pipe for the pager");
    }
    pl_auto_close int reader = ends[0];
    pl_auto_close int writer = ends[1];
    pl_auto_close int saved = fcntl(STDOUT_FILENO, F_DUPFD_CLOEXEC, 3);
    pid_t pid = saved < 0 ? -1 : fork();
    if (pid < 0) {
        int error = errno;
        return pl_error_errno(pl_error_code(error), error, "cannot start a pager");
    }
    if (pid == 0) {
        (void)dup2(reader, STDIN_FILENO);
        run_pager(pager);
    }
    if (dup2(writer, STDOUT_FILENO) < 0) {
        int error = errno;
        return pl_error_errno(pl_error_code(error), error, "pipe for the pager");
    }
    /* Ctrl-C belongs to the pager now: less uses it to stop searching, and we would leave it without a terminal. */
    (void)signal(SIGINT, SIG_IGN);
    /* And leaving it early is no accident that a status should tell of. */
    (void)signal(SIGPIPE, SIG_IGN);
    cli->pager = pid;
    cli->saved_stdout = pl_steal_fd(&saved);
    return 0;
}

int pl_pager_stop(pl_cli *cli)
{
    int status = 0;

    if (cli->pager <= 0)
        return 0;
    (void)dup2(cli->saved_stdout, STDOUT_FILENO); /* closes our end of the pipe */
    (void)close(cli->saved_stdout);
    while (waitpid(cli->pager, &status, 0) < 0 && errno == EINTR)
        ;
    cli->pager = 0;
    (void)signal(SIGINT, SIG_DFL);
    (void)signal(SIGPIPE, SIG_DFL);
    if (WIFEXITED(status) && WEXITSTATUS(status) >= NOT_EXECUTABLE && WEXITSTATUS(status) <= NOT_FOUND)
        return pl_error_set(PL_ERR_SYSTEM, "the pager did not run: set PAGER, or use --no-pager");
    return 0;
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A crowd: N live processes of one program, for the size of the process table. Says "there" when all of them
 * run, and ends them when standard input ends.
 *
 *   bench_crowd N PROGRAM ARG...
 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

int main(int argc, char **argv)
{
    if (argc < 3) {
        fprintf(stderr, "usage: bench_crowd N PROGRAM ARG...\n");
        return 2;
    }
    size_t n = (size_t)strtoull(argv[1], NULL, 10), there = 0;
    pid_t *pids = calloc(n ? n : 1, sizeof(*pids));
    if (!pids)
        return 2;
    for (; there < n; there++) {
        pid_t pid = fork();
        if (pid < 0) {
            fprintf(stderr, "bench_crowd: fork: %s: only %zu of %zu\n", strerror(errno), there, n);
            break;
        }
        if (pid == 0) {
            prctl(PR_SET_PDEATHSIG, SIGKILL);
            execv(argv[2], argv + 2);
            _exit(127);
        }
        pids[there] = pid;
    }
    printf("there %zu\n", there);
    fflush(stdout);
    char byte;
    while (read(STDIN_FILENO, &byte, 1) > 0)
        ;
    for (size_t i = 0; i < there; i++)
        kill(pids[i], SIGKILL);
    for (size_t i = 0; i < there; i++)
        waitpid(pids[i], NULL, 0);
    free(pids);
    return 0;
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The spawn storm: posix_spawn and waitpid in a loop. Prints the nanoseconds it took; the pids go to FILE, so
 * that what was lost can be counted.
 *
 *   bench_spawn N PROGRAM [FILE]
 */
#include "tests/bench/bench.h"

#include <errno.h>
#include <spawn.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>

extern char **environ;

int main(int argc, char **argv)
{
    if (argc < 3) {
        fprintf(stderr, "usage: bench_spawn N PROGRAM [FILE]\n");
        return 2;
    }
    size_t n = (size_t)strtoull(argv[1], NULL, 10);
    pid_t *pids = calloc(n ? n : 1, sizeof(*pids));
    char *arguments[] = {argv[2], NULL};
    if (!pids)
        return 2;
    int64_t start = bench_now_ns();
    for (size_t i = 0; i < n; i++) {
        int status, error = posix_spawn(&pids[i], argv[2], NULL, NULL, arguments, environ);
        if (error) {
            fprintf(stderr, "bench_spawn: %s: %s\n", argv[2], strerror(error));
            return 2;
        }
        while (waitpid(pids[i], &status, 0) < 0 && errno == EINTR)
            ;
    }
    int64_t took = bench_now_ns() - start;
    if (argc > 3) {
        FILE *file = fopen(argv[3], "we");
        if (!file)
            return 2;
        for (size_t i = 0; i < n; i++)
            fprintf(file, "%d\n", pids[i]);
        if (fclose(file) != 0)
            return 2;
    }
    free(pids);
    printf("%lld\n", (long long)took);
    return 0;
}

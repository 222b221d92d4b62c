/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Real children that have executed for certain and live until a pipe is closed; never a sleep. */
#ifndef PL_TESTS_LIVE_H
#define PL_TESTS_LIVE_H

#include <assert.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/support/temp_dir.h"

typedef struct live {
    pid_t pid;
    int hold; /* its standard input ends when this is closed */
} live;

/* `prepare` (may be NULL) runs in the child before exec. The child is `path` executed when this returns. */
static inline live live_start(const char *path, char *const *argv, void (*prepare)(void *context), void *context)
{
    int hold[2], ready[2];
    char failed;

    int rc = pipe2(hold, O_CLOEXEC) | pipe2(ready, O_CLOEXEC);
    assert(rc == 0);
    pid_t pid = fork();
    assert(pid >= 0);
    if (pid == 0) {
        if (prepare)
            prepare(context);
        if (dup2(hold[0], 0) == 0)
            (void)execv(path, argv);
        (void)!write(ready[1], "x", 1);
        _exit(127);
    }
    (void)close(hold[0]);
    (void)close(ready[1]);
    ssize_t n = read(ready[0], &failed, 1); /* end of file: closed by the exec */
    assert(n == 0);
    (void)close(ready[0]);
    return (live){pid, hold[1]};
}

/* A shell that waits for its input to end; "$@" is ignored. */
static inline live live_shell(const char *path)
{
    char *argv[] = {(char *)"sh", (char *)"-c", (char *)"read x", NULL};

    return live_start(path, argv, NULL, NULL);
}

static inline int live_end(live *child)
{
    int status = -1;

    (void)close(child->hold);
    pid_t pid = waitpid(child->pid, &status, 0);
    assert(pid == child->pid);
    return status;
}

/* A copy of a program under another name. */
static inline void live_copy(const char *from, const char *to, unsigned mode)
{
    int fd = open(from, O_RDONLY | O_CLOEXEC);
    off_t size = lseek(fd, 0, SEEK_END);
    char *bytes = malloc((size_t)size);
    ssize_t n = pread(fd, bytes, (size_t)size, 0);

    assert(fd >= 0 && n == size);
    pl_temp_write(to, bytes, (size_t)size, mode);
    free(bytes);
    (void)close(fd);
}

static inline size_t live_count_fds(void)
{
    DIR *dir = opendir("/proc/self/fd");
    size_t n = 0;

    assert(dir);
    while (readdir(dir))
        n++;
    (void)closedir(dir);
    return n;
}

#endif

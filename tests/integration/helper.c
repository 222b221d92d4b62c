/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The program that the integration tests watch. Tests copy it under names of their own and append bytes, so that each
 * copy is a binary of its own with a life that is known exactly. It uses libc alone and is built without sanitizers:
 * what it does must be all that the kernel sees.
 *
 *   helper nap MS                live for MS ms, exit 0
 *   helper exit N [MS]           live for MS ms (else as short as can be), exit N
 *   helper signal N [MS]         the same, die of signal N, without a core
 *   helper fork-nap MS           a child that never executes lives for MS ms; the parent reaps it
 *   helper fork-exec-parent FILE a forked child that never executes spawns FILE nap 100 and reaps it
 *   helper chain FILE ARG...     execv FILE (a new image in this very process)
 *   helper try-exec FILE [MS]    execve FILE, which must fail; print the errno's text; live for MS ms; exit 0
 *   helper unlink-nap FILE MS    unlink FILE, then live for MS ms
 *   helper deep DIR LENGTH       copy itself to the end of a chain of folders below DIR, so that the absolute path has
 *                                LENGTH bytes, and run it there by a relative name; prints the path's length
 *   helper argv-bytes N FILE     run FILE with arguments of N bytes in all; print how many it gave
 *   helper spawn N FILE ARG...   posix_spawn FILE N times, one after the other; print each pid
 *   helper spawn-unique N SIZE FILE  the same with "exit 0" and an argument of SIZE bytes that differs each time
 *   helper scribble FILE N       N writes of one byte over the last bytes of FILE, one after the other
 *   helper connector             exit 0 if this kernel's proc connector answers us, else 1 and say why
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/cn_proc.h>
#include <linux/connector.h>
#include <linux/netlink.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

extern char **environ;

static _Noreturn void die(const char *what)
{
    fprintf(stderr, "helper: %s: %s\n", what, strerror(errno));
    exit(99);
}

static void nap(long ms)
{
    struct timespec left = {.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000};
    while (nanosleep(&left, &left) < 0 && errno == EINTR)
        ;
}

static void reap(pid_t pid)
{
    int status;
    while (waitpid(pid, &status, 0) < 0)
        if (errno != EINTR)
            die("waitpid");
}

static pid_t spawn(char **argv)
{
    pid_t pid;
    int error = posix_spawn(&pid, argv[0], NULL, NULL, argv, environ);
    if (error) {
        errno = error;
        die(argv[0]);
    }
    return pid;
}

static int die_of(int number)
{
    struct rlimit none = {0, 0};
    setrlimit(RLIMIT_CORE, &none);
    prctl(PR_SET_DUMPABLE, 0);
    signal(number, SIG_DFL);
    raise(number);
    return 98;
}

static int fork_nap(long ms)
{
    pid_t pid = fork();
    if (pid < 0)
        die("fork");
    if (pid == 0) {
        nap(ms);
        _exit(0);
    }
    printf("%d\n", pid);
    fflush(stdout);
    reap(pid);
    return 0;
}

static int fork_exec_parent(char *file)
{
    pid_t pid = fork();
    if (pid < 0)
        die("fork");
    if (pid == 0) {
        char *argv[] = {file, "nap", "100", NULL};
        reap(spawn(argv));
        _exit(0);
    }
    printf("%d\n", pid);
    fflush(stdout);
    reap(pid);
    return 0;
}

static void copy_self(const char *name)
{
    int from = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
    int to = open(name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0755);
    char block[65536];
    ssize_t n;
    if (from < 0 || to < 0)
        die(name);
    while ((n = read(from, block, sizeof(block))) > 0)
        if (write(to, block, (size_t)n) != n)
            die(name);
    if (n < 0 || close(to) < 0)
        die(name);
    close(from);
}

/* The absolute path of what runs is `length` bytes long; it cannot be given to a system call as a whole any more
 * once it has PATH_MAX, so every step is relative. */
static int deep(const char *dir, size_t length)
{
    char folder[256], name[256];
    size_t at = strlen(dir);
    if (chdir(dir) < 0)
        die(dir);
    memset(folder, 'd', sizeof(folder));
    while (length - at > 256) { /* leave at least "/x" for the program, at most "/" and 255 */
        size_t rest = length - at;
        size_t take = rest - 2 > 201 ? 200 : rest - 256;
        if (take < 1)
            take = 1;
        folder[take] = 0;
        if (mkdir(folder, 0755) < 0 || chdir(folder) < 0)
            die("a deep folder");
        folder[take] = 'd';
        at += 1 + take;
    }
    memset(name, 'p', sizeof(name));
    name[length - at - 1] = 0;
    copy_self(name);
    char *argv[] = {name, "nap", "100", NULL};
    reap(spawn(argv));
    printf("%zu\n", at + 1 + strlen(name));
    return 0;
}

static int argv_bytes(size_t bytes, char *file)
{
    enum { PIECE = 100000 };
    size_t pieces = bytes / PIECE + 1, given = 0;
    char **argv = calloc(pieces + 4, sizeof(*argv));
    if (!argv)
        die("calloc");
    argv[0] = file;
    argv[1] = "nap";
    argv[2] = "200";
    for (size_t i = 0; i < pieces; i++) {
        size_t size = bytes - given < PIECE ? bytes - given : PIECE;
        char *piece = malloc(size + 1);
        if (!piece)
            die("malloc");
        memset(piece, 'a' + (int)(i % 26), size);
        piece[size] = 0;
        argv[3 + i] = piece;
        given += size;
    }
    fflush(stdout);
    execv(file, argv);
    die(file);
}

static int spawn_many(long n, char **argv)
{
    for (long i = 0; i < n; i++) {
        pid_t pid = spawn(argv);
        reap(pid);
        printf("%d\n", pid);
    }
    return 0;
}

static int spawn_unique(long n, size_t size, char *file)
{
    char *text = malloc(size + 32);
    if (!text)
        die("malloc");
    char *argv[] = {file, "exit", "0", text, NULL};
    memset(text, 'u', size + 31);
    text[size] = 0;
    for (long i = 0; i < n; i++) {
        int used = snprintf(text, size, "%ld", i);
        if (used > 0 && (size_t)used < size)
            text[used] = 'u';
        reap(spawn(argv));
    }
    free(text);
    return 0;
}

/* Independent of the product: what this kernel and these capabilities give. */
static int connector(void)
{
    struct {
        struct nlmsghdr header;
        struct cn_msg message;
        enum proc_cn_mcast_op op;
    } __attribute__((packed)) ask = {
        .header = {.nlmsg_len = sizeof(ask), .nlmsg_type = NLMSG_DONE, .nlmsg_pid = (unsigned)getpid()},
        .message = {.id = {.idx = CN_IDX_PROC, .val = CN_VAL_PROC}, .len = sizeof(enum proc_cn_mcast_op)},
        .op = PROC_CN_MCAST_LISTEN,
    };
    struct sockaddr_nl address = {.nl_family = AF_NETLINK, .nl_groups = CN_IDX_PROC};
    int fd = socket(AF_NETLINK, SOCK_DGRAM | SOCK_CLOEXEC, NETLINK_CONNECTOR);
    if (fd < 0 || bind(fd, (struct sockaddr *)&address, sizeof(address)) < 0 || send(fd, &ask, sizeof(ask), 0) < 0) {
        printf("proc connector: %s\n", strerror(errno));
        return 1;
    }
    struct pollfd wait = {.fd = fd, .events = POLLIN};
    pid_t pid = fork();
    if (pid == 0)
        _exit(0);
    if (pid > 0)
        reap(pid);
    if (poll(&wait, 1, 2000) != 1) {
        puts("proc connector: nothing heard");
        return 1;
    }
    close(fd);
    return 0;
}

static int scribble(const char *path, long n)
{
    struct stat st;
    int fd = open(path, O_WRONLY | O_CLOEXEC);

    if (fd < 0 || fstat(fd, &st) < 0)
        die(path);
    for (long i = 0; i < n; i++)
        if (pwrite(fd, "0123456789" + i % 10, 1, st.st_size - 1 - i % 10) != 1)
            die(path);
    close(fd);
    return 0;
}

int main(int argc, char **argv)
{
    const char *what = argc > 1 ? argv[1] : "";
    if (!strcmp(what, "connector"))
        return connector();
    if (argc < 3) {
        fprintf(stderr, "usage: helper WHAT ARG...: see helper.c\n");
        return 2;
    }
    long linger = argc > 3 ? atol(argv[3]) : 0;
    if (!strcmp(what, "nap"))
        return nap(atol(argv[2])), 0;
    if (!strcmp(what, "exit")) {
        nap(linger);
        return atoi(argv[2]);
    }
    if (!strcmp(what, "signal")) {
        nap(linger);
        return die_of(atoi(argv[2]));
    }
    if (!strcmp(what, "fork-nap"))
        return fork_nap(atol(argv[2]));
    if (!strcmp(what, "fork-exec-parent"))
        return fork_exec_parent(argv[2]);
    if (!strcmp(what, "chain")) {
        execv(argv[2], argv + 2);
        die(argv[2]);
    }
    if (!strcmp(what, "try-exec")) {
        char *none[] = {argv[2], NULL};
        execve(argv[2], none, environ);
        puts(strerror(errno));
        nap(linger);
        return 0;
    }
    if (argc < 4) {
        fprintf(stderr, "usage: helper WHAT ARG...: see helper.c\n");
        return 2;
    }
    if (!strcmp(what, "unlink-nap")) {
        if (unlink(argv[2]) < 0)
            die(argv[2]);
        return nap(atol(argv[3])), 0;
    }
    if (!strcmp(what, "scribble"))
        return scribble(argv[2], atol(argv[3]));
    if (!strcmp(what, "deep"))
        return deep(argv[2], (size_t)atol(argv[3]));
    if (!strcmp(what, "argv-bytes"))
        return argv_bytes((size_t)atol(argv[2]), argv[3]);
    if (!strcmp(what, "spawn"))
        return spawn_many(atol(argv[2]), argv + 3);
    if (!strcmp(what, "spawn-unique") && argc > 4)
        return spawn_unique(atol(argv[2]), (size_t)atol(argv[3]), argv[4]);
    fprintf(stderr, "helper: unknown word '%s'\n", what);
    return 2;
}

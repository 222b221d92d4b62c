/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The never-stale fuzzer, on one file system:
 *
 *   fuzz_stale --dir DIR --ledger FILE [--fs NAME] [--operations N] [--seed S] [--files N] [--mutators N]
 *              [--readers N] [--populate]
 *
 * DIR lies on the file system under test and is the fuzzer's alone; the ledger lies elsewhere. Processes: the mutators
 * (mutate.c), a second one with a handle of its own on the same ledger, and this one: a handle, look-up threads
 * (look.c) and the oracle (oracle.c). --populate only makes the files, for the lower layer of an overlay.
 *
 * Exit status: 0: no stale answer; 1: one, and it is explained; 2: the run itself failed. tools/fuzz-stale makes the
 * file systems.
 */
#include <errno.h>
#include <getopt.h>
#include <procledger/procledger.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/stale/fuzz/look.h"
#include "tests/stale/fuzz/mutate.h"
#include "tests/stale/fuzz/oracle.h"
#include "tests/stale/fuzz/report.h"
#include "tests/stale/fuzz/shared.h"

#define READERS_MOST 16
#define SECOND_READERS 1

static fuzz_shared *shared; /* for the signal handler */

static void on_signal(int signal)
{
    (void)signal;
    (void)fuzz_end(shared, FUZZ_TROUBLE);
}

static bool parse_number(const char *text, uint64_t least, uint64_t most, uint64_t *out)
{
    char *end;

    errno = 0;
    unsigned long long n = strtoull(text, &end, 10);
    if (errno || end == text || *end || n < least || n > most)
        return false;
    *out = n;
    return true;
}

static bool parse(int argc, char **argv, fuzz_options *o)
{
    static const struct option options[] = {
        {"dir", required_argument, NULL, 'd'},      {"ledger", required_argument, NULL, 'l'},
        {"fs", required_argument, NULL, 'f'},       {"operations", required_argument, NULL, 'n'},
        {"seed", required_argument, NULL, 's'},     {"files", required_argument, NULL, 'c'},
        {"mutators", required_argument, NULL, 'm'}, {"readers", required_argument, NULL, 'r'},
        {"populate", no_argument, NULL, 'p'},       {0}};
    uint64_t files = o->files, mutators = o->mutators, readers = o->readers;
    bool fine = true;

    for (int c; fine && (c = getopt_long(argc, argv, "", options, NULL)) != -1;) {
        switch (c) {
        case 'd':
            o->dir = optarg;
            break;
        case 'l':
            o->ledger = optarg;
            break;
        case 'f':
            o->fs = optarg;
            break;
        case 'n':
            fine = parse_number(optarg, 1, UINT64_MAX, &o->operations);
            break;
        case 's':
            fine = parse_number(optarg, 0, UINT64_MAX, &o->seed);
            break;
        case 'c':
            fine = parse_number(optarg, 64, 9999, &files);
            break;
        case 'm':
            fine = parse_number(optarg, 1, FUZZ_MUTATORS, &mutators);
            break;
        case 'r':
            fine = parse_number(optarg, 1, READERS_MOST, &readers);
            break;
        case 'p':
            o->populate = true;
            break;
        default:
            fine = false;
        }
    }
    o->files = (unsigned)files;
    o->mutators = (unsigned)mutators;
    o->readers = (unsigned)readers;
    return fine && optind == argc && o->dir && (o->ledger || o->populate) && strlen(o->dir) < 4000;
}

/* A child that ends with its parent and leaves Ctrl-C to it. */
static pid_t start(int (*run)(fuzz_shared *, unsigned), fuzz_shared *s, unsigned id)
{
    pid_t parent = getpid(), pid = fork();

    if (pid != 0)
        return pid;
    (void)signal(SIGINT, SIG_IGN);
    if (prctl(PR_SET_PDEATHSIG, SIGKILL) != 0 || getppid() != parent)
        _exit(2);
    exit(run(s, id));
}

/* A handle, its look-up threads and, on this thread, its part of the oracle. Returns an exit status. */
static int run_handle(fuzz_shared *s, unsigned handle, unsigned readers, void (*judge)(fuzz_looker *))
{
    fuzz_handle of = {.lock = PTHREAD_RWLOCK_INITIALIZER};
    fuzz_looker lookers[READERS_MOST + 1];
    pthread_t threads[READERS_MOST];
    unsigned started = 0, made = 0;

    int r = pl_open(s->options.ledger, NULL, &of.ledger);
    if (r < 0) {
        fprintf(stderr, "fuzz_stale: %s: %s\n", s->options.ledger, pl_error_message());
        (void)fuzz_end(s, FUZZ_TROUBLE);
    }
    atomic_store(&s->ready, 1);
    fuzz_wake(&s->ready);
    for (; r == 0 && made <= readers; made++)
        r = fuzz_looker_init(&lookers[made], s, &of, handle, made);
    for (; r == 0 && started < readers; started++)
        r = -pthread_create(&threads[started], NULL, fuzz_look_thread, &lookers[started + 1]);
    if (r == 0)
        judge(&lookers[0]);
    else
        (void)fuzz_end(s, FUZZ_TROUBLE);
    for (unsigned i = 0; i < started; i++)
        (void)pthread_join(threads[i], NULL);
    for (unsigned i = 0; i < made; i++)
        fuzz_looker_deinit(&lookers[i]);
    (void)pl_close(of.ledger);
    return r == 0 ? 0 : 2;
}

static int run_second(fuzz_shared *s, unsigned id)
{
    (void)id;
    while (fuzz_running(s) && !atomic_load(&s->ready))
        fuzz_wait(&s->ready, 0);
    return run_handle(s, 1, SECOND_READERS, fuzz_oracle_second);
}

/* Waits for the children. False: one of them failed. */
static bool gather(const pid_t *children, unsigned n)
{
    bool fine = true;

    for (unsigned i = 0; i < n; i++) {
        int status = 0;
        if (waitpid(children[i], &status, 0) != children[i] || status != 0) {
            fprintf(stderr, "fuzz_stale: process %u ended with wait status 0x%x\n", i, (unsigned)status);
            fine = false;
        }
    }
    return fine;
}

static int run(fuzz_shared *s)
{
    struct sigaction action = {.sa_handler = on_signal};
    pid_t children[FUZZ_MUTATORS + 1];
    unsigned n = 0;

    shared = s;
    (void)prctl(PR_SET_PDEATHSIG, SIGTERM); /* a script that is killed leaves nothing behind */
    for (; n < s->options.mutators && (children[n] = start(fuzz_mutate, s, n)) > 0; n++)
        ;
    if (n == s->options.mutators && (children[n] = start(run_second, s, 0)) > 0)
        n++;
    if (n != s->options.mutators + 1) {
        fprintf(stderr, "fuzz_stale: cannot start a process: %s\n", strerror(errno));
        (void)fuzz_end(s, FUZZ_TROUBLE);
    }
    (void)sigaction(SIGINT, &action, NULL);
    (void)sigaction(SIGTERM, &action, NULL);
    s->start_ns = fuzz_now_ns();
    int status = run_handle(s, 0, s->options.readers, fuzz_oracle);
    int64_t took_ns = fuzz_now_ns() - s->start_ns;
    if (!gather(children, n))
        status = 2;
    fuzz_report(s, took_ns);
    return s->ending == FUZZ_STALE ? 1 : s->ending == FUZZ_DONE ? status : 2;
}

int main(int argc, char **argv)
{
    fuzz_options options = {.fs = "fuzz", .operations = 20000, .seed = 1, .files = 1024, .mutators = 4, .readers = 3};

    if (!parse(argc, argv, &options)) {
        fprintf(stderr, "usage: fuzz_stale --dir DIR --ledger FILE [--fs NAME] [--operations N] [--seed S] [--files N] "
                        "[--mutators N] [--readers N] [--populate]\n");
        return 2;
    }
    fuzz_shared *s = fuzz_shared_new(&options);
    int error = s ? fuzz_populate(s) : ENOMEM;
    if (error) {
        fprintf(stderr, "fuzz_stale: %s: %s\n", options.dir, strerror(error));
        return 2;
    }
    return options.populate ? 0 : run(s);
}

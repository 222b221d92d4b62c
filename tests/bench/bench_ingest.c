/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Rows 8 and 9: synthetic executions through the writer to a committed file, on one core, and the bytes that each takes
 * there with all indexes. Each is what a quick process is: image, arguments, credentials, its hash known, its end in the
 * same batch. The mix: 3,000 binaries of which few run most of the time, 40 folders, 12 users, 30 contexts; command
 * lines of 100 bytes, of which one in ten (or as many as the curve says) was never seen before and the others repeat a
 * few most of the time.
 *
 *   bench_ingest EXECUTIONS FOLDER
 */
#include "ledger/store/writer.h"
#include "src/base/cleanup.h"
#include "tests/bench/bench.h"

#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define BINARIES 3000
#define COMMAND_BYTES 100
#define BOOT "11111111-2222-3333-4444-555555555555"

static _Noreturn void die(const char *what)
{
    fprintf(stderr, "bench_ingest: %s: %s\n", what, pl_error_message());
    exit(2);
}

static uint64_t next(uint64_t *state)
{
    *state += 0x9e3779b97f4a7c15u;
    uint64_t x = *state;
    x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9u;
    x = (x ^ x >> 27) * 0x94d049bb133111ebu;
    return x ^ x >> 31;
}

/* A few take most of it: the square of a uniform number, twice. */
static uint64_t skewed(uint64_t *state, uint64_t n)
{
    double u = (double)(next(state) >> 11) / 9007199254740992.0;

    return (uint64_t)(u * u * u * u * (double)n);
}

typedef struct mix {
    uint64_t random;
    double fresh;      /* of the command lines, as a part of 1 */
    uint64_t commands; /* so far */
    char path[64], cwd[64], argv[COMMAND_BYTES + 1], cgroup[64];
    pl_digest_set digests;
} mix;

static void fill(mix *m, pl_execution *e, uint64_t i)
{
    uint64_t binary = skewed(&m->random, BINARIES), command;
    double dice = (double)(next(&m->random) >> 11) / 9007199254740992.0;

    command = dice < m->fresh || m->commands == 0 ? m->commands++ : skewed(&m->random, m->commands);

    (void)snprintf(m->path, sizeof(m->path), "/usr/bin/program-%llu", (unsigned long long)binary);
    (void)snprintf(m->cwd, sizeof(m->cwd), "/home/user/folder-%llu", (unsigned long long)(next(&m->random) % 40));
    (void)snprintf(m->cgroup, sizeof(m->cgroup), "/system.slice/unit-%llu",
                   (unsigned long long)(next(&m->random) % 30));
    memset(m->argv, 'a', COMMAND_BYTES);
    int n = snprintf(m->argv, sizeof(m->argv), "program%c--option=%llu", 0, (unsigned long long)command);
    m->argv[n] = 'a';
    m->argv[COMMAND_BYTES - 1] = '\0';
    m->digests.digests[0] = (pl_digest){.algorithm = PL_SHA256, .length = 32};
    for (size_t b = 0; b < 32; b += 8) {
        uint64_t seed = binary * 4 + b, word = next(&seed);
        memcpy(m->digests.digests[0].bytes + b, &word, 8);
    }
    *e = (pl_execution){
        .time_ns = 1700000000 * PL_NS_PER_S + (int64_t)i * PL_NS_PER_MS,
        .pid = (pid_t)(2 + i % 4000000),
        .ppid = (pid_t)(2 + next(&m->random) % 4000),
        .start_ticks = i,
        .parent_eid = i > 100 ? (int64_t)(i - next(&m->random) % 100) : 0,
        .path = m->path,
        .filename = m->path,
        .cwd = m->cwd,
        .cgroup = m->cgroup,
        .argv = m->argv,
        .argv_length = COMMAND_BYTES,
        .uid = (uint32_t)(1000 + next(&m->random) % 12),
        .mode = 0100755,
        .mnt_ns = 4026531841,
        .source = PL_EVENTS_NETLINK,
        .hash_state = PL_HASH_OK,
        .assurance = PL_ASSURANCE_PROBED,
        .digests = &m->digests,
        .size = 100000 + binary,
    };
    e->euid = e->suid = e->uid;
    e->gid = e->egid = 100;
    e->auid = e->session = PL_NO_ID;
}

static void put(pl_writer *writer, mix *m, uint64_t i)
{
    pl_execution e;

    fill(m, &e, i);
    e.eid = pl_writer_next_eid(writer);
    pl_execution_end end = {.eid = e.eid,
                            .duration_ns = 20 * PL_NS_PER_MS,
                            .time_ns = e.time_ns + 20 * PL_NS_PER_MS,
                            .reason = PL_END_EXIT,
                            .has_status = true};
    while (pl_writer_execution(writer, &e) == PL_ERR_QUEUE_FULL)
        if (pl_writer_flush(writer) < 0) /* the queue is bounded: a storm would lose here, a benchmark waits */
            die("flush");
    while (pl_writer_end(writer, &end) == PL_ERR_QUEUE_FULL)
        if (pl_writer_flush(writer) < 0)
            die("flush");
}

/* Seconds; *bytes: of the committed file. */
static double ingest(const char *folder, uint64_t executions, double fresh, uint64_t *bytes)
{
    char path[4096];
    pl_store *store = NULL;
    pl_writer *writer = NULL;
    pl_store_options recorder = {.mode = PL_STORE_RECORDER}, reader = {.mode = PL_STORE_READ};
    pl_run run = {.version = "bench", .source = "netlink", .boot_id = BOOT, .time_ns = 1700000000 * PL_NS_PER_S};
    mix m = {.random = 42, .fresh = fresh};
    uint64_t wal;

    (void)snprintf(path, sizeof(path), "%s/ingest-%g.db", folder, fresh);
    if (pl_store_open(path, &recorder, &store) < 0 || pl_writer_new(store, NULL, &writer) < 0)
        die(path);
    if (pl_writer_run_begin(writer, &run) < 0)
        die("run");
    int64_t start = bench_now_ns();
    for (uint64_t i = 0; i < executions; i++)
        put(writer, &m, i);
    if (pl_writer_flush(writer) < 0)
        die("flush");
    double took = (double)(bench_now_ns() - start) / 1e9;
    pl_writer_free(writer);
    store = NULL;
    if (pl_store_open(path, &reader, &store) < 0 || pl_store_size(store, bytes, &wal) < 0)
        die(path);
    pl_store_close(store);
    (void)unlink(path);
    return took;
}

int main(int argc, char **argv)
{
    if (argc < 3) {
        fprintf(stderr, "usage: bench_ingest EXECUTIONS FOLDER\n");
        return 2;
    }
    uint64_t executions = strtoull(argv[1], NULL, 10), bytes = 0;
    static const struct {
        double fresh;
        const char *what;
    } curve[] = {{0.1, "bytes an execution, one new command line in ten"},
                 {0.003, "the same, 3 in a thousand"},
                 {0.4, "the same, four in ten"},
                 {1, "the same, each is new"}};
    cpu_set_t one;

    pl_store_own_process(); /* as the daemon does */
    CPU_ZERO(&one);
    CPU_SET(0, &one);
    (void)sched_setaffinity(0, sizeof(one), &one);                 /* producer and writer share one core */
    size_t points = argc > 3 ? 1 : sizeof(curve) / sizeof(*curve); /* a third word: the first alone, for profiling */
    for (size_t i = 0; i < points; i++) {
        double took = ingest(argv[2], executions, curve[i].fresh, &bytes);
        if (i == 0)
            bench_row(8, "executions a second to a committed file, one core", (double)executions / took, "/s", 100000,
                      false);
        bench_row(9, curve[i].what, (double)bytes / (double)executions, "B", i < 2 ? 180 : NAN, true);
    }
    return 0;
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Row 4, what the watcher adds to it: reading events when there are none, beside a bare poll(2); and when one file
 * after the other of DIR was written to.
 *
 *   bench_watch DIR FILES
 *
 * Makes FILES files in DIR (a folder of its own, on the disk) and leaves them there.
 */
#include "src/file/watcher.h"
#include "tests/bench/bench.h"

#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define ROUNDS 11
#define EMPTY 100000

static _Noreturn void die(const char *what)
{
    fprintf(stderr, "bench_watch: %s: %s\n", what, pl_error_message());
    exit(2);
}

static void ignore(void *context, const pl_watch_event *event)
{
    *(uint64_t *)context += event->what == PL_WATCH_TOUCHED;
}

static int by_size(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;

    return (x > y) - (x < y);
}

static double median(double *values)
{
    qsort(values, ROUNDS, sizeof(*values), by_size);
    return values[ROUNDS / 2];
}

int main(int argc, char **argv)
{
    pl_watcher_options options = {.limit = 1000000};
    pl_watcher *watcher = NULL;
    uint64_t touched = 0;
    double add[ROUNDS] = {0}, empty[ROUNDS], bare[ROUNDS], pending[ROUNDS];
    size_t n = argc == 3 ? strtoul(argv[2], NULL, 10) : 0;
    char path[4096];

    if (n == 0 || pl_watcher_new(&options, &watcher) < 0)
        die("needs DIR and FILES, and an inotify instance");
    int64_t spent = 0;
    for (size_t i = 0; i < n; i++) {
        pl_identity identity;
        (void)snprintf(path, sizeof(path), "%s/%zu", argv[1], i);
        int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
        if (fd < 0 || pl_identity_of_fd(fd, &identity) != 0)
            die(path);
        int64_t start = bench_now_ns();
        if (pl_watcher_add(watcher, fd, &identity, PL_WATCH_FILE) != PL_WATCH_ADDED)
            die("watch");
        spent += bench_now_ns() - start;
        (void)close(fd);
    }
    add[0] = (double)spent / (double)n;
    for (int round = 0; round < ROUNDS; round++) {
        struct pollfd one = {.fd = pl_watcher_fd(watcher), .events = POLLIN};
        int64_t start = bench_now_ns();
        for (int i = 0; i < EMPTY; i++)
            (void)poll(&one, 1, 0);
        bare[round] = (double)(bench_now_ns() - start) / EMPTY;
        start = bench_now_ns();
        for (int i = 0; i < EMPTY; i++)
            (void)pl_watcher_read(watcher, ignore, &touched);
        empty[round] = (double)(bench_now_ns() - start) / EMPTY;
        for (size_t i = 0; i < n; i++) {
            (void)snprintf(path, sizeof(path), "%s/%zu", argv[1], i);
            if (truncate(path, (off_t)round + 1) < 0)
                die(path);
        }
        uint64_t before = touched;
        start = bench_now_ns();
        if (pl_watcher_read(watcher, ignore, &touched) < 0)
            die("read");
        pending[round] = (double)(bench_now_ns() - start) / 1e6;
        if (touched - before < n)
            die("events are missing");
    }
    double quiet = median(empty), peer = median(bare);
    bench_row(4, "watching one more file", add[0] / 1000, "us", NAN, true);
    bench_row(4, "reading events when there are none", quiet, "ns", NAN, true);
    bench_row(4, "bare poll of the same descriptor", peer, "ns", NAN, true);
    char what[80];
    (void)snprintf(what, sizeof(what), "reading the events of %zu written files", n);
    bench_row(4, what, median(pending), "ms", NAN, true);
    (void)pl_watcher_free(watcher);
    return 0;
}

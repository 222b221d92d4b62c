/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A tracker and all that it stands on, turned by the test: a ledger in a folder of its own, a clock that the test moves,
 * and the real inotify. Programs that include this are one tracker after the other (the watcher is one a process).
 */
#ifndef PL_TESTS_TRACKING_H
#define PL_TESTS_TRACKING_H

#include "ledger/tracker.h"

#include "src/base/cleanup.h"
#include "tests/support/fake_clock.h"
#include "tests/support/sqlite_shell.h"
#include "tests/support/temp_dir.h"

#include <errno.h>
#include <fcntl.h>
#include <semaphore.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#define HELPER __attribute__((unused)) static
#define S PL_NS_PER_S
#define MS PL_NS_PER_MS
#define DAY (INT64_C(86400) * S)
#define BOOT_A "aaaaaaaa-2222-3333-4444-555555555555"
#define BOOT_B "bbbbbbbb-2222-3333-4444-555555555555"

typedef struct fixture {
    char *dir, *db, *file;
    pl_fake_clock clock;
    pl_log log;
    pl_writer *writer;
    pl_resolve *resolve;
    pl_tracker *tracker;
    const char *folders[4]; /* watched; NULL-ended */
    bool no_watcher;
    size_t watch_limit, path_limit;
    uint64_t mnt_ns;
} fixture;

HELPER void open_rooms(fixture *f, const char *boot_id)
{
    pl_store_options writing = {.mode = PL_STORE_WRITE}, reading = {.mode = PL_STORE_READ};
    pl_resolve_options options = {.clock = &f->clock.clock, .retry_limit = 512};
    pl_watcher_options watching = {.log = &f->log, .limit = f->watch_limit};
    pl_watcher *watcher = NULL;
    pl_store *store = NULL;

    if (!f->no_watcher)
        assert_int_equal(pl_watcher_new(&watching, &watcher), 0);
    assert_int_equal(pl_store_open(f->db, &writing, &store), 0);
    assert_int_equal(pl_writer_new(store, NULL, &f->writer), 0);
    assert_int_equal(pl_store_open(f->db, &reading, &options.reader), 0);
    memcpy(options.boot_id, boot_id, PL_BOOT_ID_SIZE);
    options.writer = f->writer;
    assert_int_equal(pl_resolve_new(&options, &f->resolve), 0);
    pl_tracker_options tracking = {.resolve = f->resolve,
                                   .writer = f->writer,
                                   .watcher = watcher,
                                   .clock = &f->clock.clock,
                                   .log = &f->log,
                                   .procfs = "/proc",
                                   .mnt_ns = f->mnt_ns,
                                   .folders = f->folders,
                                   .limit = f->path_limit};
    assert_int_equal(pl_tracker_new(&tracking, &f->tracker), 0);
}

HELPER void close_rooms(fixture *f)
{
    if (f->resolve)
        pl_resolve_flush_seen(f->resolve);
    f->resolve = pl_resolve_free(f->resolve);
    f->tracker = pl_tracker_free(f->tracker);
    f->writer = pl_writer_free(f->writer);
}

HELPER int set_up_closed(void **state)
{
    fixture *f = calloc(1, sizeof(*f));

    assert_non_null(f);
    f->dir = pl_temp_dir_new();
    f->db = pl_temp_path(f->dir, "ledger.db");
    f->file = pl_temp_path(f->dir, "file");
    f->mnt_ns = 1;
    pl_log_init_stderr(&f->log, "test", PL_LOG_ERROR);
    pl_temp_write(f->file, "hello", 5, 0755);
    pl_fake_clock_init(&f->clock, pl_clock_realtime_ns(pl_clock_system()) + 10 * S,
                       pl_clock_boottime_ns(pl_clock_system()) + 10 * S);
    *state = f;
    return 0;
}

HELPER int set_up(void **state)
{
    (void)set_up_closed(state);
    open_rooms(*state, BOOT_A);
    return 0;
}

HELPER int tear_down(void **state)
{
    fixture *f = *state;

    close_rooms(f);
    free(f->db);
    free(f->file);
    (void)pl_temp_dir_free(f->dir);
    free(f);
    return 0;
}

HELPER void turn(fixture *f)
{
    assert_int_equal(pl_tracker_turn(f->tracker, false), 0);
}

HELPER pl_tracker_stats stats_of(fixture *f)
{
    pl_tracker_stats stats;

    pl_tracker_stats_get(f->tracker, &stats);
    return stats;
}

HELPER uint64_t bytes_read(fixture *f)
{
    pl_stats stats = {.struct_size = sizeof(stats)};

    pl_resolve_stats_get(f->resolve, &stats);
    return stats.bytes_hashed;
}

HELPER uint64_t files_read(fixture *f)
{
    pl_stats stats = {.struct_size = sizeof(stats)};

    pl_resolve_stats_get(f->resolve, &stats);
    return stats.files_hashed;
}

/* Turns, and moves the clock on by `ns` in steps of 20 ms at least, until all that is due by then is done. */
HELPER void pass(fixture *f, int64_t ns)
{
    int64_t step = ns / 50 > 20 * MS ? ns / 50 : 20 * MS;

    for (int64_t gone = 0; gone < ns; gone += step) {
        pl_fake_clock_advance(&f->clock, step);
        for (uint64_t looks = UINT64_MAX; looks != stats_of(f).looks;) {
            looks = stats_of(f).looks;
            turn(f);
            pl_resolve_drain(f->resolve);
            turn(f);
        }
    }
    assert_int_equal(pl_writer_flush(f->writer), 0);
}

/* Long enough for an event, the look that follows it and the read that follows that. */
HELPER void settle(fixture *f)
{
    pass(f, 400 * MS);
}

typedef struct got {
    sem_t there;
    pl_answer answer;
} got;

HELPER void take(void *context, const pl_answer *answer)
{
    got *g = context;

    g->answer = *answer;
    (void)sem_post(&g->there);
}

/* As somebody who executes path. */
HELPER pl_answer ask(fixture *f, const char *path)
{
    got g;
    pl_place place = {.path = path, .mnt_ns = f->mnt_ns, .detected_by = PL_DETECTED_EXEC};
    int fd = open(path, O_RDONLY | O_CLOEXEC);

    assert_return_code(fd, errno);
    assert_return_code(sem_init(&g.there, 0, 0), errno);
    assert_int_equal(pl_resolve_submit(f->resolve, fd, &place, false, take, &g), 0);
    while (sem_wait(&g.there) < 0)
        assert_int_equal(errno, EINTR);
    (void)sem_destroy(&g.there);
    pl_resolve_drain(f->resolve);
    assert_int_equal(pl_writer_flush(f->writer), 0);
    return g.answer;
}

HELPER void check_sql(fixture *f, const char *sql, const char *want)
{
    char *rows = pl_shell_query(f->db, sql);

    assert_string_equal(rows, want);
    free(rows);
}

/* The history of f->file: one line a version. */
HELPER void check_history(fixture *f, const char *want)
{
    check_sql(f,
              "select coalesce(substr(sha256,1,4), hash_state), coalesce(end_reason, 'open'), detected_by "
              "from file_history where path like '%/file' order by version_id",
              want);
}

/* Another inode under the same name. */
HELPER void replace_with(fixture *f, const char *path, const char *bytes)
{
    char *other = pl_temp_path(f->dir, "other");

    pl_temp_write(other, bytes, strlen(bytes), 0755);
    assert_return_code(rename(other, path), errno);
    free(other);
}

HELPER void append(const char *path, const char *bytes)
{
    int fd = open(path, O_WRONLY | O_APPEND | O_CLOEXEC);

    assert_return_code(fd, errno);
    assert_int_equal(write(fd, bytes, strlen(bytes)), (ssize_t)strlen(bytes));
    (void)close(fd);
}

/* The fake clock's wall clock is the real one's from here on, until it is turned again: files just written are young. */
HELPER void be_now(fixture *f)
{
    atomic_store(&f->clock.realtime_ns, pl_clock_realtime_ns(pl_clock_system()));
}

#endif

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What a tracker finds between two executions, and what it costs: each case is a change of a tracked file, then the
 * history that follows, the number of reads, and what is still held.
 */
#include "tests/unit/ledger/tracking.h"

#include "tests/support/fault.h"
#include "tests/support/own_mounts.h"

#include <pthread.h>
#include <sys/mount.h>
#include <sys/wait.h>

static void test_what_was_read_is_watched(void **state)
{
    fixture *f = *state;

    (void)ask(f, f->file);
    settle(f);
    assert_int_equal(stats_of(f).tracked, 1);
    assert_int_equal(stats_of(f).watches, 1);
    assert_int_equal(files_read(f), 1); /* the look reads nothing */
}

static void test_a_write_is_read_before_anybody_asks(void **state)
{
    fixture *f = *state;

    (void)ask(f, f->file);
    settle(f);
    append(f->file, "x");
    settle(f);
    assert_int_equal(files_read(f), 2);
    assert_int_equal(ask(f, f->file).source, PL_SOURCE_HOT);
    check_history(f, "2cf2|modified|inotify\n1a6b|open|inotify\n");
}

static void test_memory_forgets_at_the_event(void **state)
{
    fixture *f = *state;
    pl_identity old;
    pl_answer answer;

    (void)ask(f, f->file);
    settle(f);
    assert_int_equal(pl_identity_of_path(AT_FDCWD, f->file, true, &old), 0);
    assert_true(pl_resolve_hot(f->resolve, &old, NULL, &answer));
    append(f->file, "x");
    pl_fake_clock_advance(&f->clock, 20 * MS); /* less than until the look */
    turn(f);
    assert_false(pl_resolve_hot(f->resolve, &old, NULL, &answer));
}

static void test_a_rename_over_it_is_a_replacement(void **state)
{
    fixture *f = *state;

    (void)ask(f, f->file);
    settle(f);
    replace_with(f, f->file, "world");
    settle(f);
    assert_int_equal(ask(f, f->file).source, PL_SOURCE_HOT);
    check_history(f, "2cf2|replaced|inotify\n486e|open|inotify\n");
    assert_int_equal(stats_of(f).watches, 1); /* the new one's */
}

static void test_equal_bytes_of_another_inode_are_a_replacement_too(void **state)
{
    fixture *f = *state;

    (void)ask(f, f->file);
    settle(f);
    replace_with(f, f->file, "hello");
    settle(f);
    check_history(f, "2cf2|replaced|inotify\n2cf2|open|inotify\n");
}

static void test_a_removal_ends_the_version(void **state)
{
    fixture *f = *state;

    (void)ask(f, f->file);
    settle(f);
    assert_return_code(unlink(f->file), errno);
    settle(f);
    check_history(f, "2cf2|vanished|inotify\n");
    assert_int_equal(stats_of(f).watches, 0);
    pass(f, 260 * S);
    assert_int_equal(stats_of(f).tracked, 0);
}

static void test_a_file_that_moved_away_is_not_watched_there(void **state)
{
    fixture *f = *state;
    char *other = pl_temp_path(f->dir, "away");

    (void)ask(f, f->file);
    settle(f);
    assert_return_code(rename(f->file, other), errno);
    settle(f);
    check_history(f, "2cf2|vanished|inotify\n");
    assert_int_equal(stats_of(f).watches, 0);
    free(other);
}

static void test_one_name_less_leaves_the_others_watched(void **state)
{
    fixture *f = *state;
    char *other = pl_temp_path(f->dir, "name");

    assert_return_code(link(f->file, other), errno);
    (void)ask(f, f->file);
    (void)ask(f, other);
    settle(f);
    assert_return_code(unlink(other), errno);
    settle(f);
    assert_int_equal(stats_of(f).watches, 1);
    append(f->file, "x");
    settle(f);
    check_sql(f,
              "select count(*) from file_history where path like '%/file' and substr(sha256,1,4) = '1a6b' and "
              "detected_by = 'inotify'",
              "1\n");
    free(other);
}

static void test_what_could_not_be_proven_is_read_again_when_its_writer_leaves(void **state)
{
    fixture *f = *state;
    int writer = open(f->file, O_WRONLY | O_CLOEXEC);

    assert_return_code(writer, errno);
    assert_int_equal(ask(f, f->file).assurance, PL_ASSURANCE_STAT);
    settle(f);
    assert_int_equal(files_read(f), 1);
    (void)close(writer);
    settle(f);
    assert_int_equal(files_read(f), 2);
    assert_int_equal(ask(f, f->file).source, PL_SOURCE_HOT);
}

static void test_a_file_that_is_written_anew_within_a_minute_is_found(void **state)
{
    fixture *f = *state;

    (void)ask(f, f->file);
    settle(f);
    assert_return_code(unlink(f->file), errno);
    settle(f);
    pl_temp_write(f->file, "world", 5, 0755);
    pass(f, 50 * S);
    check_history(f, "2cf2|vanished|inotify\n486e|open|sweep\n");
}

static void test_something_else_than_a_file_is_a_removal(void **state)
{
    fixture *f = *state;

    (void)ask(f, f->file);
    settle(f);
    assert_return_code(unlink(f->file), errno);
    assert_return_code(mkfifo(f->file, 0600), errno);
    settle(f);
    check_history(f, "2cf2|vanished|inotify\n");
    assert_return_code(unlink(f->file), errno);
    assert_return_code(symlink(f->file, f->file), errno);
    pass(f, 260 * S);
    check_history(f, "2cf2|vanished|inotify\n");
    assert_int_equal(stats_of(f).tracked, 0);
}

static void test_chmod_is_a_version_of_its_own(void **state)
{
    fixture *f = *state;

    (void)ask(f, f->file);
    settle(f);
    assert_return_code(chmod(f->file, 04755), errno);
    settle(f);
    check_history(f, "2cf2|modified|inotify\n2cf2|open|inotify\n");
}

static void test_a_burst_of_writes_costs_one_read(void **state)
{
    fixture *f = *state;

    (void)ask(f, f->file);
    settle(f);
    be_now(f);
    int fd = open(f->file, O_WRONLY | O_CLOEXEC);
    assert_return_code(fd, errno);
    for (int i = 0; i < 100000; i++) {
        assert_int_equal(pwrite(fd, "abcde" + i % 5, 1, i % 5), 1);
        if (i % 1000 == 0) {
            be_now(f);
            turn(f);
        }
    }
    (void)close(fd);
    be_now(f);
    settle(f);
    assert_int_equal(files_read(f), 2);
    assert_int_equal(ask(f, f->file).source, PL_SOURCE_HOT);
    pass(f, 70 * S);
    assert_int_equal(files_read(f), 2);
}

/* Moves on as the clock does: the boot time turns, and the file is younger than any window at each look. */
static void keep_writing(fixture *f, int64_t ns)
{
    for (int64_t gone = 0; gone < ns; gone += 100 * MS) {
        append(f->file, "x");
        be_now(f);
        atomic_fetch_add(&f->clock.boottime_ns, 100 * MS);
        turn(f);
        turn(f);
    }
}

static void test_a_file_that_never_rests_is_unstable_and_never_read(void **state)
{
    fixture *f = *state;

    (void)ask(f, f->file);
    settle(f);
    uint64_t looks = stats_of(f).looks;
    keep_writing(f, 120 * S);
    assert_int_equal(files_read(f), 1);
    assert_int_equal(stats_of(f).unstable, 1);
    assert_int_equal(stats_of(f).watches, 0); /* its events would only cost */
    assert_true(stats_of(f).looks - looks < 40);
    assert_int_equal(pl_writer_flush(f->writer), 0);
    check_history(f, "2cf2|modified|inotify\nunstable|open|inotify\n");
    pl_fake_clock_advance(&f->clock, 10 * S);
    pass(f, 130 * S);
    assert_int_equal(files_read(f), 2);
    assert_int_equal(stats_of(f).watches, 1);
    assert_int_equal(ask(f, f->file).source, PL_SOURCE_HOT);
}

static void test_one_that_never_rests_starves_nobody(void **state)
{
    fixture *f = *state;
    char *other = pl_temp_path(f->dir, "calm");

    pl_temp_write(other, "hello", 5, 0755);
    (void)ask(f, f->file);
    (void)ask(f, other);
    settle(f);
    keep_writing(f, 20 * S);
    append(other, "x");
    int64_t written = pl_clock_realtime_ns(pl_clock_system());
    while (pl_clock_realtime_ns(pl_clock_system()) < written + 100 * MS)
        ; /* its ctime is the real clock's: until it is older than the racy window there */
    keep_writing(f, 5 * S);
    pl_resolve_drain(f->resolve);
    turn(f);
    assert_int_equal(pl_writer_flush(f->writer), 0);
    check_sql(f, "select count(*) from file_history where path like '%/calm' and substr(sha256,1,4) = '1a6b'", "1\n");
    free(other);
}

static void test_reads_of_a_file_that_changes_now_and_then_grow_rarer(void **state)
{
    fixture *f = *state;

    (void)ask(f, f->file);
    settle(f);
    for (int i = 0; i < 1000; i++) { /* a write each 100 ms, each of them at rest when it is looked at */
        append(f->file, "x");
        pass(f, 100 * MS);
    }
    assert_true(files_read(f) < 40);
    pass(f, 130 * S);
    assert_int_equal(ask(f, f->file).source, PL_SOURCE_HOT);
}

static void test_an_overflow_is_a_gap_and_everything_is_looked_at(void **state)
{
    fixture *f = *state;
    char *busy = pl_temp_path(f->dir, "busy");

    pl_temp_write(busy, "1", 1, 0755);
    (void)ask(f, f->file);
    (void)ask(f, busy);
    settle(f);
    for (int i = 0; i < 10001; i++) { /* two kinds of events in turns: none is folded into the one before */
        assert_return_code(chmod(busy, 0755), errno);
        append(busy, "");
        int fd = open(busy, O_WRONLY | O_CLOEXEC);
        (void)close(fd);
    }
    append(f->file, "x"); /* too late for the queue */
    settle(f);
    assert_true(stats_of(f).overflows >= 1);
    assert_int_equal(ask(f, f->file).source, PL_SOURCE_HOT);
    check_sql(f, "select count(*) >= 1, min(lost is null), min(source), min(reason) from gaps",
              "1|1|inotify|queue overflow\n");
    check_history(f, "2cf2|modified|sweep\n1a6b|open|sweep\n");
    free(busy);
}

static void test_what_no_event_tells_of_is_found_within_two_minutes(void **state)
{
    fixture *f = *state;
    char *folder = pl_temp_path(f->dir, "folder"), *moved = pl_temp_path(f->dir, "moved");
    char *link = pl_temp_path(f->dir, "link"), *target = pl_temp_path(f->dir, "target");
    char *inside = pl_temp_path(f->dir, "folder/inside"), *first = pl_temp_path(f->dir, "first");

    assert_return_code(mkdir(folder, 0755), errno);
    pl_temp_write(inside, "hello", 5, 0755);
    pl_temp_write(first, "hello", 5, 0755);
    pl_temp_write(target, "world", 5, 0755);
    assert_return_code(symlink(first, link), errno);
    (void)ask(f, inside);
    (void)ask(f, link);
    settle(f);
    assert_return_code(rename(folder, moved), errno); /* a parent, by another file at the old path */
    assert_return_code(mkdir(folder, 0755), errno);
    pl_temp_write(inside, "world", 5, 0755);
    assert_return_code(unlink(link), errno);
    assert_return_code(symlink(target, link), errno);
    pass(f, 130 * S);
    check_sql(f,
              "select count(*) from file_history where substr(sha256,1,4) = '486e' and detected_by = 'sweep' and "
              "end_time is null",
              "2\n");
    free(folder), free(moved), free(link), free(target), free(inside), free(first);
}

static void test_without_a_watcher_the_clock_finds_it(void **state)
{
    fixture *f = *state;

    f->no_watcher = true;
    open_rooms(f, BOOT_A);
    (void)ask(f, f->file);
    settle(f);
    append(f->file, "x");
    pass(f, 130 * S);
    check_history(f, "2cf2|modified|sweep\n1a6b|open|sweep\n");
}

static void test_refused_watches_are_counted_and_cost_nothing_but_time(void **state)
{
    fixture *f = *state;

    f->watch_limit = 1;
    open_rooms(f, BOOT_A);
    char *other = pl_temp_path(f->dir, "second");
    pl_temp_write(other, "hello", 5, 0755);
    (void)ask(f, f->file);
    settle(f);
    (void)ask(f, other);
    settle(f);
    assert_int_equal(stats_of(f).watches, 1);
    assert_true(stats_of(f).watches_refused >= 1);
    append(other, "x");
    pass(f, 130 * S);
    check_sql(f, "select count(*) from file_history where path like '%/second' and substr(sha256,1,4) = '1a6b'", "1\n");
    free(other);
}

static void test_a_hard_link_elsewhere_changes_every_name(void **state)
{
    fixture *f = *state;
    char *other = pl_temp_path(f->dir, "name");

    assert_return_code(link(f->file, other), errno);
    (void)ask(f, f->file);
    (void)ask(f, other);
    settle(f);
    assert_int_equal(files_read(f), 1);
    assert_int_equal(stats_of(f).watches, 1);
    append(other, "x");
    settle(f);
    check_history(f, "2cf2|modified|inotify\n1a6b|open|inotify\n");
    check_sql(f, "select count(*) from file_history where path like '%/name' and substr(sha256,1,4) = '1a6b'", "1\n");
    assert_int_equal(files_read(f), 2); /* the second name needs no read of its own */
    free(other);
}

/* ---- rotation ---- */

static void test_an_expired_path_loses_watch_memory_and_claim(void **state)
{
    fixture *f = *state;
    pl_stats stats = {.struct_size = sizeof(stats)};

    (void)ask(f, f->file);
    settle(f);
    pass(f, DAY + 200 * S);
    pl_resolve_sweep(f->resolve);
    assert_int_equal(stats_of(f).tracked, 0);
    assert_int_equal(stats_of(f).watches, 0);
    pl_resolve_stats_get(f->resolve, &stats);
    assert_int_equal(stats.entries, 0);
    assert_int_equal(pl_writer_retain(f->writer, pl_clock_realtime_ns(&f->clock.clock)), 0);
    assert_int_equal(pl_writer_flush(f->writer), 0);
    check_history(f, "2cf2|expired|sweep\n");
    assert_int_equal(ask(f, f->file).source, PL_SOURCE_COMPUTED); /* read again, and no change */
    check_history(f, "2cf2|expired|sweep\n2cf2|open|exec\n");
    check_sql(f, "select count(*) from changes", "0\n");
}

static void test_what_a_living_process_runs_does_not_expire(void **state)
{
    fixture *f = *state;

    (void)ask(f, f->file);
    settle(f);
    for (int hours = 0; hours < 30; hours++) {
        pass(f, 3600 * S);
        pl_resolve_touch(f->resolve, f->file, f->mnt_ns);
        pl_resolve_sweep(f->resolve);
    }
    assert_int_equal(stats_of(f).tracked, 1);
    assert_int_equal(ask(f, f->file).source, PL_SOURCE_HOT);
}

static void test_a_path_that_cannot_be_cached_lives_as_long_as_its_process(void **state)
{
    fixture *f = *state;
    int writer = open(f->file, O_WRONLY | O_CLOEXEC); /* no proof is to be had */

    assert_return_code(writer, errno);
    assert_int_equal(ask(f, f->file).assurance, PL_ASSURANCE_STAT);
    settle(f);
    for (int hours = 0; hours < 30; hours++) {
        pl_resolve_touch(f->resolve, f->file, f->mnt_ns);
        pass(f, 3600 * S);
        assert_int_equal(pl_writer_retain(f->writer, pl_clock_realtime_ns(&f->clock.clock)), 0);
    }
    assert_int_equal(stats_of(f).tracked, 1);
    assert_int_equal(pl_writer_flush(f->writer), 0);
    check_history(f, "2cf2|open|exec\n");
    (void)close(writer);
}

static void test_each_execution_begins_the_day_anew(void **state)
{
    fixture *f = *state;
    int writer = open(f->file, O_WRONLY | O_CLOEXEC);

    assert_return_code(writer, errno);
    for (int hours = 0; hours < 30; hours++) {
        (void)ask(f, f->file);
        pass(f, 3600 * S);
    }
    assert_int_equal(stats_of(f).tracked, 1);
    pass(f, DAY + 200 * S);
    assert_int_equal(stats_of(f).tracked, 0);
    (void)close(writer);
}

static void test_a_file_of_a_watched_folder_stays_live_while_it_is_there(void **state)
{
    fixture *f = *state;

    f->folders[0] = f->dir;
    open_rooms(f, BOOT_A);
    settle(f);
    assert_int_equal(stats_of(f).tracked, 1); /* the ledger is no program */
    assert_true(stats_of(f).settled);
    for (int hours = 0; hours < 50; hours++) {
        pass(f, 3600 * S);
        pl_resolve_sweep(f->resolve);
        assert_int_equal(pl_writer_retain(f->writer, pl_clock_realtime_ns(&f->clock.clock)), 0);
    }
    check_history(f, "2cf2|open|startup\n");
    assert_int_equal(files_read(f), 1);
    assert_int_equal(stats_of(f).tracked, 1);
}

static void test_a_new_program_of_a_watched_folder_is_known_before_it_runs(void **state)
{
    fixture *f = *state;

    f->folders[0] = f->dir;
    open_rooms(f, BOOT_A);
    settle(f);
    char *fresh = pl_temp_path(f->dir, "fresh"), *text = pl_temp_path(f->dir, "text");
    pl_temp_write(fresh, "world", 5, 0600); /* as install(1) does */
    pl_temp_write(text, "world", 5, 0644);
    pass(f, 200 * MS);
    assert_return_code(chmod(fresh, 0755), errno);
    pass(f, 3 * S);
    check_sql(f, "select substr(sha256,1,4), detected_by from file_history where path like '%/fresh'",
              "486e|inotify\n");
    check_sql(f, "select count(*) from file_history where path like '%/text'", "0\n");
    pass(f, 130 * S);
    assert_int_equal(stats_of(f).tracked, 2);
    free(fresh), free(text);
}

static void test_a_watched_folder_that_goes_is_no_harm(void **state)
{
    fixture *f = *state;
    char *folder = pl_temp_path(f->dir, "bin"), *inside = pl_temp_path(f->dir, "bin/inside");

    assert_return_code(mkdir(folder, 0755), errno);
    pl_temp_write(inside, "hello", 5, 0755);
    f->folders[0] = folder;
    open_rooms(f, BOOT_A);
    settle(f);
    assert_int_equal(stats_of(f).watches, 2);
    assert_return_code(unlink(inside), errno);
    assert_return_code(rmdir(folder), errno);
    pass(f, 260 * S);
    assert_int_equal(stats_of(f).tracked, 0);
    assert_int_equal(stats_of(f).watches, 0);
    assert_return_code(mkdir(folder, 0755), errno); /* and is found when it comes back */
    pl_temp_write(inside, "world", 5, 0755);
    pass(f, 1300 * S);
    assert_int_equal(stats_of(f).watches, 2);
    free(folder), free(inside);
}

static void test_many_replaced_files_leave_nothing_behind(void **state)
{
    fixture *f = *state;
    const char *contents[] = {"one", "two", "three"};
    const int times = 3000; /* the watcher's own test does a hundred thousand */

    (void)ask(f, f->file);
    settle(f);
    for (int i = 0; i < times; i++) {
        replace_with(f, f->file, contents[i % 3]);
        pl_fake_clock_advance(&f->clock, 60 * MS);
        turn(f);
        if (i % 100 == 0)
            pass(f, 2 * S);
    }
    pass(f, 130 * S);
    assert_int_equal(stats_of(f).tracked, 1);
    assert_int_equal(stats_of(f).watches, 1);
}

static void test_the_limit_of_paths_holds(void **state)
{
    fixture *f = *state;

    f->path_limit = 16;
    open_rooms(f, BOOT_A);
    for (int i = 0; i < 64; i++) {
        char name[16];
        (void)snprintf(name, sizeof(name), "p%d", i);
        char *path = pl_temp_path(f->dir, name);
        pl_temp_write(path, name, strlen(name), 0755);
        (void)ask(f, path);
        pl_fake_clock_advance(&f->clock, 20 * MS);
        turn(f);
        free(path);
    }
    settle(f);
    assert_true(stats_of(f).tracked <= 16);
    assert_true(stats_of(f).watches <= 16);
    assert_true(stats_of(f).dropped >= 48);
}

/* ---- start ---- */

static void make_files(fixture *f, int n, const char *bytes)
{
    for (int i = 0; i < n; i++) {
        char name[16], text[32];
        (void)snprintf(name, sizeof(name), "bin%d", i);
        (void)snprintf(text, sizeof(text), "%s%d", bytes, i);
        char *path = pl_temp_path(f->dir, name);
        replace_with(f, path, text);
        free(path);
    }
}

static void ask_files(fixture *f, int n, pl_answer_source source)
{
    for (int i = 0; i < n; i++) {
        char name[16];
        (void)snprintf(name, sizeof(name), "bin%d", i);
        char *path = pl_temp_path(f->dir, name);
        pl_answer answer = ask(f, path);
        assert_int_equal(answer.source, source);
        free(path);
    }
}

static void test_a_restart_reads_nothing_and_watches_everything(void **state)
{
    fixture *f = *state;

    make_files(f, 40, "a");
    ask_files(f, 40, PL_SOURCE_COMPUTED);
    settle(f);
    close_rooms(f);
    open_rooms(f, BOOT_A);
    settle(f);
    assert_int_equal(bytes_read(f), 0);
    assert_int_equal(stats_of(f).tracked, 40);
    assert_int_equal(stats_of(f).watches, 40);
    assert_true(stats_of(f).settled);
    assert_int_equal(stats_of(f).work_done, 40);
    ask_files(f, 40, PL_SOURCE_LEDGER);
    assert_int_equal(bytes_read(f), 0);
}

static void test_what_changed_while_nothing_ran_is_found_at_the_start(void **state)
{
    fixture *f = *state;

    make_files(f, 20, "a");
    ask_files(f, 20, PL_SOURCE_COMPUTED);
    settle(f);
    close_rooms(f);
    pl_fake_clock_advance(&f->clock, 3600 * S);
    make_files(f, 10, "b");
    char *gone = pl_temp_path(f->dir, "bin19");
    assert_return_code(unlink(gone), errno);
    free(gone);
    open_rooms(f, BOOT_A);
    pass(f, 2 * S);
    assert_int_equal(files_read(f), 10);
    check_sql(f,
              "select count(*), count(distinct path) from file_history where detected_by = 'startup' and "
              "end_reason = 'replaced' and end_time - last_time between 3590 and 3700",
              "10|10\n");
    check_sql(f, "select count(*) from file_history where detected_by = 'startup' and end_time is null", "10\n");
    check_sql(f, "select count(*) from file_history where end_reason = 'vanished' and detected_by = 'startup'", "1\n");
    ask_files(f, 10, PL_SOURCE_HOT);
}

static void test_a_new_boot_reads_each_served_entry_once(void **state)
{
    fixture *f = *state;

    make_files(f, 20, "a");
    ask_files(f, 20, PL_SOURCE_COMPUTED);
    int writer = open(f->file, O_WRONLY | O_CLOEXEC);
    (void)ask(f, f->file); /* no proof: nobody is served from it, so it is not read for its own sake */
    (void)close(writer);
    settle(f);
    close_rooms(f);
    open_rooms(f, BOOT_B);
    pass(f, 5 * S);
    assert_int_equal(files_read(f), 20);
    assert_true(stats_of(f).settled);
    assert_int_equal(stats_of(f).work_done, 21);
    ask_files(f, 20, PL_SOURCE_HOT);
    pass(f, 300 * S);
    assert_int_equal(files_read(f), 20);
    check_sql(f, "select count(*) from file_history where path like '%/bin%'", "20\n");
    close_rooms(f);
    open_rooms(f, BOOT_B);
    pass(f, 5 * S);
    assert_int_equal(files_read(f), 0);
}

static void test_device_numbers_of_another_boot_mean_nothing(void **state)
{
    fixture *f = *state;
    pl_auto_free char *command = NULL;
    int writer = open(f->file, O_WRONLY | O_CLOEXEC);

    make_files(f, 1, "a");
    ask_files(f, 1, PL_SOURCE_COMPUTED);
    (void)ask(f, f->file);
    (void)close(writer);
    settle(f);
    close_rooms(f);
    assert_true(asprintf(&command,
                         "sqlite3 '%s' 'update _version set dev_minor = dev_minor + 7, cacheable = "
                         "cacheable AND path_id <> (select id from _path where text like \"%%/file\")'",
                         f->db) > 0);
    assert_int_equal(system(command), 0);
    open_rooms(f, BOOT_B);
    pass(f, 5 * S);
    assert_int_equal(files_read(f), 1); /* the one that is served; the other is as it was */
    check_sql(f, "select count(*) from file_history where end_time is not null", "0\n");
    assert_int_equal(stats_of(f).watches, 2);
}

static void test_who_asks_first_in_a_new_boot_reads_for_everybody(void **state)
{
    fixture *f = *state;

    make_files(f, 20, "a");
    ask_files(f, 20, PL_SOURCE_COMPUTED);
    settle(f);
    close_rooms(f);
    open_rooms(f, BOOT_B);
    ask_files(f, 20, PL_SOURCE_COMPUTED);
    pass(f, 5 * S);
    assert_int_equal(files_read(f), 20);
}

static void test_a_re_read_of_a_new_boot_does_not_count_as_seen(void **state)
{
    fixture *f = *state;

    (void)ask(f, f->file);
    settle(f);
    close_rooms(f);
    pl_fake_clock_advance(&f->clock, DAY / 2);
    open_rooms(f, BOOT_B);
    pass(f, 2 * S);
    assert_int_equal(files_read(f), 1);
    pl_resolve_flush_seen(f->resolve);
    assert_int_equal(pl_writer_flush(f->writer), 0);
    check_sql(f, "select last_time - first_time < 100 from file_history", "1\n");
    pass(f, DAY / 2 + 300 * S);
    assert_int_equal(stats_of(f).tracked, 0);
}

static void test_rows_of_other_processes_become_tracked(void **state)
{
    fixture *f = *state;
    pl_store_options writing = {.mode = PL_STORE_WRITE};
    pl_store *store = NULL;
    pl_writer *other = NULL;

    settle(f);
    pl_sighting sighting = {.path = f->file,
                            .mnt_ns = f->mnt_ns,
                            .time_ns = pl_clock_realtime_ns(&f->clock.clock),
                            .detected_by = PL_DETECTED_REQUEST,
                            .hash_state = PL_HASH_UNREADABLE,
                            .boot_id = BOOT_A};
    assert_int_equal(pl_identity_of_path(AT_FDCWD, f->file, true, &sighting.identity), 0);
    assert_int_equal(pl_store_open(f->db, &writing, &store), 0);
    assert_int_equal(pl_writer_new(store, NULL, &other), 0);
    assert_int_equal(pl_writer_sighting(other, &sighting), 0);
    (void)pl_writer_free(other);
    pass(f, 130 * S);
    assert_int_equal(stats_of(f).tracked, 1);
    append(f->file, "x");
    settle(f);
    check_sql(f, "select count(*) from file_history where substr(sha256,1,4) = '1a6b'", "1\n");
}

/* ---- mounts ---- */

static void test_an_unmounted_file_system_is_a_removal(void **state)
{
    fixture *f = *state;
    char *mount_point = pl_temp_path(f->dir, "mnt"), *inside = pl_temp_path(f->dir, "mnt/inside");

    if (!pl_own_mounts(f->dir)) {
        free(mount_point), free(inside);
        skip();
    }
    assert_return_code(mkdir(mount_point, 0755), errno);
    assert_return_code(mount("none", mount_point, "tmpfs", 0, NULL), errno);
    pl_temp_write(inside, "hello", 5, 0755);
    (void)ask(f, inside);
    pass(f, 3 * S);
    assert_int_equal(stats_of(f).watches, 1);
    assert_return_code(umount(mount_point), errno); /* nothing of ours holds it */
    pass(f, 3 * S);
    check_sql(f, "select end_reason from file_history where path like '%/inside'", "vanished\n");
    assert_int_equal(stats_of(f).watches, 0);
    pl_own_mounts_end(f->dir);
    free(mount_point), free(inside);
}

static void test_a_mount_over_it_is_found_at_once(void **state)
{
    fixture *f = *state;
    char *folder = pl_temp_path(f->dir, "covered"), *inside = pl_temp_path(f->dir, "covered/inside");

    if (!pl_own_mounts(f->dir)) {
        free(folder), free(inside);
        skip();
    }
    close_rooms(f); /* the descriptor that tells of mounts must be of this namespace */
    open_rooms(f, BOOT_A);
    assert_return_code(mkdir(folder, 0755), errno);
    pl_temp_write(inside, "hello", 5, 0755);
    (void)ask(f, inside);
    settle(f);
    assert_return_code(mount("none", folder, "tmpfs", 0, NULL), errno);
    pl_temp_write(inside, "world", 5, 0755);
    pass(f, 3 * S); /* no event of the file, and no round is due yet */
    check_sql(f, "select substr(sha256,1,4) from file_history where path like '%/inside' order by version_id",
              "2cf2\n486e\n");
    assert_return_code(umount(folder), errno);
    pl_own_mounts_end(f->dir);
    free(folder), free(inside);
}

/* A child in a mount namespace of its own, where f->file is another file; lives until its pipe is closed. */
typedef struct elsewhere {
    pid_t pid;
    int hold;
    uint64_t mnt_ns;
} elsewhere;

static bool live_elsewhere(fixture *f, const char *other, elsewhere *out)
{
    int hold[2], ready[2];
    char link[64], byte = 0;
    struct stat st;

    assert_return_code(pipe(hold), errno);
    assert_return_code(pipe(ready), errno);
    pid_t pid = fork();
    if (pid == 0) {
        (void)close(hold[1]);
        byte = pl_own_mounts(f->dir) && mount(other, f->file, NULL, MS_BIND, NULL) == 0;
        (void)!write(ready[1], &byte, 1);
        (void)!read(hold[0], &byte, 1);
        _exit(0);
    }
    (void)close(hold[0]);
    (void)close(ready[1]);
    assert_int_equal(read(ready[0], &byte, 1), 1);
    (void)close(ready[0]);
    (void)snprintf(link, sizeof(link), "/proc/%d/ns/mnt", (int)pid);
    assert_return_code(stat(link, &st), errno);
    *out = (elsewhere){.pid = pid, .hold = hold[1], .mnt_ns = st.st_ino};
    return byte;
}

static void leave_elsewhere(elsewhere *e)
{
    (void)close(e->hold);
    (void)waitpid(e->pid, NULL, 0);
}

static void test_one_path_in_two_namespaces_is_two_histories(void **state)
{
    fixture *f = *state;
    char *other = pl_temp_path(f->dir, "theirs"), theirs[4096];
    elsewhere e;

    pl_temp_write(other, "world", 5, 0755);
    if (!live_elsewhere(f, other, &e)) {
        leave_elsewhere(&e);
        free(other);
        skip();
    }
    (void)ask(f, f->file);
    (void)snprintf(theirs, sizeof(theirs), "/proc/%d/root%s", (int)e.pid, f->file);
    got g;
    pl_place place = {.path = f->file, .mnt_ns = e.mnt_ns, .detected_by = PL_DETECTED_EXEC};
    int fd = open(theirs, O_RDONLY | O_CLOEXEC);
    assert_return_code(fd, errno);
    assert_return_code(sem_init(&g.there, 0, 0), errno);
    assert_int_equal(pl_resolve_submit(f->resolve, fd, &place, false, take, &g), 0);
    while (sem_wait(&g.there) < 0)
        assert_int_equal(errno, EINTR);
    (void)sem_destroy(&g.there);
    pl_tracker_living(f->tracker, e.mnt_ns, e.pid);
    settle(f);
    assert_int_equal(stats_of(f).tracked, 2);
    assert_int_equal(stats_of(f).watches, 2);
    append(other, "x"); /* theirs alone */
    settle(f);
    assert_int_equal(pl_writer_flush(f->writer), 0);
    check_sql(f,
              "select substr(sha256,1,4), mnt_ns = 1, coalesce(end_reason, 'open') from file_history "
              "where path like '%/file' order by version_id",
              "2cf2|1|open\n486e|0|modified\nba39|0|open\n");
    leave_elsewhere(&e);
    pass(f, 200 * S); /* nobody lives there: no way to it, and no end of it either */
    check_sql(f, "select count(*) from file_history where end_reason = 'vanished'", "0\n");
    free(other);
}

static void test_a_bind_mount_is_one_hash(void **state)
{
    fixture *f = *state;
    char *other = pl_temp_path(f->dir, "bound");

    if (!pl_own_mounts(f->dir)) {
        free(other);
        skip();
    }
    pl_temp_write(other, "", 0, 0755);
    assert_return_code(mount(f->file, other, NULL, MS_BIND, NULL), errno);
    (void)ask(f, f->file);
    assert_int_equal(ask(f, other).source, PL_SOURCE_HOT);
    settle(f);
    assert_int_equal(files_read(f), 1);
    assert_int_equal(stats_of(f).watches, 1);
    assert_int_equal(stats_of(f).tracked, 2);
    assert_return_code(umount(other), errno);
    pl_own_mounts_end(f->dir);
    free(other);
}

/* ---- failures ---- */

static void test_whatever_fails_the_next_round_finds_it(void **state)
{
    static const struct {
        pl_fault_kind kind;
        int error;
    } faults[] = {{PL_FAULT_ALLOC, ENOMEM}, {PL_FAULT_OPEN, EMFILE}, {PL_FAULT_STAT, EIO}, {PL_FAULT_READ, EIO}};
    fixture *f = *state;
    char text[16];
    int version = 0;

    (void)ask(f, f->file);
    settle(f);
    for (size_t i = 0; i < sizeof(faults) / sizeof(*faults); i++) {
        for (unsigned n = 1; n < 60; n++) {
            (void)snprintf(text, sizeof(text), "%d", version++);
            replace_with(f, f->file, text);
            pl_fake_clock_advance(&f->clock, 60 * S);
            (void)pl_fault_arm(faults[i].kind, n, faults[i].error);
            for (int k = 0; k < 4; k++) {
                (void)pl_tracker_turn(f->tracker, false);
                pl_resolve_drain(f->resolve);
                pl_fake_clock_advance(&f->clock, 100 * MS);
            }
            bool fired = pl_fault_fired();
            pl_fault_disarm();
            if (!fired)
                break;
        }
        pass(f, 200 * S);
        pl_answer answer = ask(f, f->file);
        assert_int_equal(answer.outcome, 0);
        pl_resolve_flush_seen(f->resolve);
    }
    assert_true(version > 8);
    assert_int_equal(stats_of(f).tracked, 1);
}

/* At the end of a run reads are under way and others wait for them. */
static void test_it_may_end_at_any_moment(void **state)
{
    fixture *f = *state;

    for (int turns = 0; turns < 12; turns++) {
        make_files(f, 12, "a");
        f->folders[0] = f->dir;
        close_rooms(f);
        open_rooms(f, turns % 2 ? BOOT_A : BOOT_B);
        for (int i = 0; i < turns; i++) {
            pl_fake_clock_advance(&f->clock, 100 * MS);
            turn(f);
        }
    }
}

static void test_a_thread_turns_it_and_stops(void **state)
{
    fixture *f = *state;
    pthread_t thread;

    assert_int_equal(pthread_create(&thread, NULL, pl_tracker_run, f->tracker), 0);
    (void)ask(f, f->file);
    append(f->file, "x");
    for (int i = 0; i < 50; i++)
        pl_tracker_living(f->tracker, 4711, 1);
    pl_tracker_stop(f->tracker);
    assert_int_equal(pthread_join(thread, NULL), 0);
}

int main(void)
{
#define T(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)
#define CLOSED(test) cmocka_unit_test_setup_teardown(test, set_up_closed, tear_down)
    const struct CMUnitTest tests[] = {
        T(test_what_was_read_is_watched),
        T(test_a_write_is_read_before_anybody_asks),
        T(test_memory_forgets_at_the_event),
        T(test_a_rename_over_it_is_a_replacement),
        T(test_equal_bytes_of_another_inode_are_a_replacement_too),
        T(test_a_removal_ends_the_version),
        T(test_a_file_that_moved_away_is_not_watched_there),
        T(test_one_name_less_leaves_the_others_watched),
        T(test_what_could_not_be_proven_is_read_again_when_its_writer_leaves),
        T(test_a_file_that_is_written_anew_within_a_minute_is_found),
        T(test_something_else_than_a_file_is_a_removal),
        T(test_chmod_is_a_version_of_its_own),
        T(test_a_burst_of_writes_costs_one_read),
        T(test_a_file_that_never_rests_is_unstable_and_never_read),
        T(test_one_that_never_rests_starves_nobody),
        T(test_reads_of_a_file_that_changes_now_and_then_grow_rarer),
        T(test_an_overflow_is_a_gap_and_everything_is_looked_at),
        T(test_what_no_event_tells_of_is_found_within_two_minutes),
        CLOSED(test_without_a_watcher_the_clock_finds_it),
        CLOSED(test_refused_watches_are_counted_and_cost_nothing_but_time),
        T(test_a_hard_link_elsewhere_changes_every_name),
        T(test_an_expired_path_loses_watch_memory_and_claim),
        T(test_what_a_living_process_runs_does_not_expire),
        T(test_a_path_that_cannot_be_cached_lives_as_long_as_its_process),
        T(test_each_execution_begins_the_day_anew),
        CLOSED(test_a_file_of_a_watched_folder_stays_live_while_it_is_there),
        CLOSED(test_a_new_program_of_a_watched_folder_is_known_before_it_runs),
        CLOSED(test_a_watched_folder_that_goes_is_no_harm),
        T(test_many_replaced_files_leave_nothing_behind),
        CLOSED(test_the_limit_of_paths_holds),
        T(test_a_restart_reads_nothing_and_watches_everything),
        T(test_what_changed_while_nothing_ran_is_found_at_the_start),
        T(test_a_new_boot_reads_each_served_entry_once),
        T(test_device_numbers_of_another_boot_mean_nothing),
        T(test_who_asks_first_in_a_new_boot_reads_for_everybody),
        T(test_a_re_read_of_a_new_boot_does_not_count_as_seen),
        T(test_rows_of_other_processes_become_tracked),
        T(test_one_path_in_two_namespaces_is_two_histories),
        T(test_an_unmounted_file_system_is_a_removal),
        T(test_a_mount_over_it_is_found_at_once),
        T(test_a_bind_mount_is_one_hash),
        T(test_whatever_fails_the_next_round_finds_it),
        T(test_it_may_end_at_any_moment),
        T(test_a_thread_turns_it_and_stops),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

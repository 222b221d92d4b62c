/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Events in, rows out: synthetic events with real files behind them, read back with the sqlite3 shell. The
 * clock is a fake that runs ten seconds ahead, so that files made a moment ago are old enough to be cached.
 */
#include "ledger/recorder.h"

#include "src/base/cleanup.h"
#include "tests/support/fake_clock.h"
#include "tests/support/fault.h"
#include "tests/support/sqlite_shell.h"
#include "tests/support/temp_dir.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#define S PL_NS_PER_S
#define BOOT "11111111-2222-3333-4444-555555555555"
#define ABC_SHA256 "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
#define HELLO_SHA256 "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824"

typedef struct fixture {
    char *dir, *db, *hello;
    pl_fake_clock clock;
    pl_writer *writer;
    pl_resolve *resolve;
    pl_recorder *recorder;
    size_t live;
} fixture;

static void count_live(void *context, const pl_live_execution *execution)
{
    (void)execution;
    ((fixture *)context)->live++;
}

static void open_rooms(fixture *f, pl_argv_mode mode, const char *const *ignore, bool hashing)
{
    pl_store_options recording = {.mode = PL_STORE_RECORDER}, reading = {.mode = PL_STORE_READ};
    pl_resolve_options resolve = {.clock = &f->clock.clock, .boot_id = BOOT, .retry_limit = 512};
    pl_store *store = NULL;

    assert_int_equal(pl_store_open(f->db, &recording, &store), 0);
    assert_int_equal(pl_writer_new(store, NULL, &f->writer), 0);
    assert_int_equal(pl_store_open(f->db, &reading, &resolve.reader), 0);
    resolve.writer = f->writer;
    assert_int_equal(pl_resolve_new(&resolve, &f->resolve), 0);
    pl_recorder_options options = {
        .resolve = f->resolve,
        .writer = f->writer,
        .clock = &f->clock.clock,
        .procfs = {.root = "/proc"},
        .argv_mode = mode,
        .ignore = ignore,
        .hashing = hashing,
        .live = count_live,
        .context = f,
    };
    assert_int_equal(pl_recorder_new(&options, &f->recorder), 0);
    pl_recorder_set_source(f->recorder, PL_EVENTS_NETLINK, "netlink");
}

static void close_rooms(fixture *f)
{
    f->resolve = pl_resolve_free(f->resolve);
    f->recorder = pl_recorder_free(f->recorder);
    f->writer = pl_writer_free(f->writer);
}

static fixture *fixture_new(pl_argv_mode mode, const char *const *ignore, bool hashing)
{
    fixture *f = calloc(1, sizeof(*f));

    assert_non_null(f);
    f->dir = pl_temp_dir_new();
    f->db = pl_temp_path(f->dir, "ledger.db");
    f->hello = pl_temp_path(f->dir, "hello");
    pl_temp_write(f->hello, "hello", 5, 0755);
    pl_fake_clock_init(&f->clock, pl_clock_realtime_ns(pl_clock_system()) + 10 * S,
                       pl_clock_boottime_ns(pl_clock_system()) + 10 * S);
    open_rooms(f, mode, ignore, hashing);
    return f;
}

static void fixture_free(fixture *f)
{
    close_rooms(f);
    free(f->db);
    free(f->hello);
    (void)pl_temp_dir_free(f->dir);
    free(f);
}

/* Everything that was sent is committed, hashes included. */
static void settle(fixture *f)
{
    pl_resolve_drain(f->resolve);
    pl_recorder_dispatch(f->recorder);
    assert_int_equal(pl_writer_flush(f->writer), 0);
}

static void check_sql(fixture *f, const char *sql, const char *want)
{
    settle(f);
    char *got = pl_shell_query(f->db, sql);
    assert_string_equal(got, want);
    free(got);
}

static int64_t boot_now(fixture *f)
{
    return pl_clock_boottime_ns(&f->clock.clock);
}

static void image_of(fixture *f, pl_image *image, pid_t pid, pid_t ppid, const char *path)
{
    pl_image_init(image);
    image->pid = pid;
    image->ppid = ppid;
    image->start_ticks = (uint64_t)pid * 10;
    image->exec_boottime_ns = boot_now(f);
    image->exe = strdup(path);
    image->name = strdup("hello");
    image->argv_length = sizeof("hello\0--token=abc\0x");
    image->argv = malloc(image->argv_length);
    assert_non_null(image->argv);
    memcpy(image->argv, "hello\0--token=abc\0x", image->argv_length);
    image->uid = image->euid = image->suid = 1000;
    image->gid = image->egid = 100;
    image->mnt_ns = 7;
    image->exe_fd = open(path, O_RDONLY | O_CLOEXEC);
    image->exe_errno = image->exe_fd < 0 ? errno : 0;
    image->has_identity = image->exe_fd >= 0 && pl_identity_of_fd(image->exe_fd, &image->identity) == 0;
}

static void send_exec(fixture *f, pid_t pid, pid_t ppid, const char *path)
{
    pl_image image;

    image_of(f, &image, pid, ppid, path);
    pl_event event = {.kind = PL_EVENT_EXEC, .pid = pid, .boottime_ns = image.exec_boottime_ns, .image = &image};
    pl_recorder_event(f->recorder, &event);
    pl_image_deinit(&image);
}

static void send_fork(fixture *f, pid_t pid, pid_t ppid)
{
    pl_event event = {.kind = PL_EVENT_FORK, .pid = pid, .ppid = ppid, .boottime_ns = boot_now(f)};

    pl_recorder_event(f->recorder, &event);
}

static void send_exit(fixture *f, pid_t pid, int status)
{
    pl_event event = {
        .kind = PL_EVENT_EXIT, .pid = pid, .boottime_ns = boot_now(f), .has_status = true, .status = status};

    pl_recorder_event(f->recorder, &event);
}

static void test_an_execution_becomes_a_complete_row(void **state)
{
    fixture *f = fixture_new(PL_ARGV_FULL, NULL, true);

    (void)state;
    send_exec(f, 101, 100, f->hello);
    check_sql(f,
              "select pid,ppid,name,cmdline,argv,uid,gid,euid,egid,suid,sha256,hash_state,assurance,source,mnt_ns,"
              "end_reason,exit_code from process_events",
              "101|100|hello|hello --token=abc "
              "x|[\"hello\",\"--token=abc\",\"x\"]|1000|100|1000|100|1000|" HELLO_SHA256 "|ok|probed|netlink|7|~|~\n");
    char *path = pl_shell_query(f->db, "select path from process_events");
    assert_memory_equal(path, f->hello, strlen(f->hello));
    free(path);
    assert_int_equal(f->live, 1);
    fixture_free(f);
}

/* The interpreter `hello` runs this script. */
static void send_script(fixture *f, pid_t pid, const char *script)
{
    pl_image image;

    image_of(f, &image, pid, 1, f->hello);
    image.filename = strdup(script);
    image.script_path = strdup(script);
    image.script_fd = open(script, O_PATH | O_CLOEXEC);
    assert_true(image.script_fd >= 0);
    assert_int_equal(pl_identity_of_fd(image.script_fd, &image.script_identity), 0);
    pl_event event = {.kind = PL_EVENT_EXEC, .pid = pid, .boottime_ns = image.exec_boottime_ns, .image = &image};
    pl_recorder_event(f->recorder, &event);
    pl_image_deinit(&image);
}

static void test_a_script_has_its_own_hash_beside_its_interpreter(void **state)
{
    fixture *f = fixture_new(PL_ARGV_FULL, NULL, true);
    char *script = pl_temp_path(f->dir, "script");
    pl_stats stats = {.struct_size = sizeof(stats)};

    (void)state;
    pl_temp_write(script, "abc", 3, 0755);
    send_script(f, 110, script);
    settle(f);
    send_script(f, 111, script); /* from memory now */
    check_sql(f, "select pid, sha256, hash_state, script_sha256, script_path = filename from process_events",
              "110|" HELLO_SHA256 "|ok|" ABC_SHA256 "|1\n111|" HELLO_SHA256 "|ok|" ABC_SHA256 "|1\n");
    check_sql(f, "select count(*), count(sha256) from file_history", "2|2\n"); /* both are tracked */
    pl_resolve_stats_get(f->resolve, &stats);
    assert_int_equal(stats.files_hashed, 2);
    assert_int_equal(stats.hits_hot, 2);
    assert_int_equal(f->live, 2);
    free(script);
    fixture_free(f);
}

static void test_a_script_that_is_gone_leaves_its_interpreter_alone(void **state)
{
    fixture *f = fixture_new(PL_ARGV_FULL, NULL, true);
    char *script = pl_temp_path(f->dir, "script");
    pl_image image;

    (void)state;
    pl_temp_write(script, "abc", 3, 0755);
    image_of(f, &image, 112, 1, f->hello);
    image.script_path = strdup(script); /* named, and not to be pinned any more */
    pl_event event = {.kind = PL_EVENT_EXEC, .pid = 112, .boottime_ns = image.exec_boottime_ns, .image = &image};
    pl_recorder_event(f->recorder, &event);
    pl_image_deinit(&image);
    check_sql(f, "select sha256, hash_state, script_sha256, script_path is not null from process_events",
              HELLO_SHA256 "|ok|~|1\n");
    free(script);
    fixture_free(f);
}

static void test_an_unlinked_script_is_hashed_and_is_no_file_of_the_history(void **state)
{
    fixture *f = fixture_new(PL_ARGV_FULL, NULL, true);
    char *script = pl_temp_path(f->dir, "script");
    pl_image image;

    (void)state;
    pl_temp_write(script, "abc", 3, 0755);
    image_of(f, &image, 113, 1, f->hello);
    image.script_path = strdup(script);
    image.script_fd = open(script, O_PATH | O_CLOEXEC);
    assert_int_equal(unlink(script), 0);
    assert_int_equal(pl_identity_of_fd(image.script_fd, &image.script_identity), 0);
    pl_event event = {.kind = PL_EVENT_EXEC, .pid = 113, .boottime_ns = image.exec_boottime_ns, .image = &image};
    pl_recorder_event(f->recorder, &event);
    pl_image_deinit(&image);
    check_sql(f, "select script_sha256 from process_events", ABC_SHA256 "\n");
    check_sql(f, "select count(*) from file_history where path like '%script%'", "0\n");
    free(script);
    fixture_free(f);
}

static bool is_hot(fixture *f, const char *path)
{
    pl_identity identity;
    pl_answer answer;

    assert_int_equal(pl_identity_of_path(AT_FDCWD, path, true, &identity), 0);
    return pl_resolve_hot(f->resolve, &identity, NULL, &answer);
}

static void sweep(fixture *f)
{
    settle(f);
    pl_recorder_sweep(f->recorder);
    settle(f);
}

/* One day after its last run a file leaves the cache and its row is closed; what a living process runs stays, its script
 * too. */
static void test_what_a_living_process_runs_is_seen_and_other_paths_rotate(void **state)
{
    fixture *f = fixture_new(PL_ARGV_FULL, NULL, true);
    char *script = pl_temp_path(f->dir, "script"), *once = pl_temp_path(f->dir, "once");
    pl_procfs procfs = {.root = "/proc"};
    pl_proc_stat me;
    pl_image image;

    (void)state;
    pl_temp_write(script, "abc", 3, 0755);
    pl_temp_write(once, "once", 4, 0755);
    assert_int_equal(pl_procfs_read_stat(&procfs, getpid(), &me), 0);
    image_of(f, &image, getpid(), 1, f->hello);
    image.start_ticks = me.start_ticks;
    image.script_path = strdup(script);
    image.script_fd = open(script, O_PATH | O_CLOEXEC);
    assert_int_equal(pl_identity_of_fd(image.script_fd, &image.script_identity), 0);
    pl_event event = {.kind = PL_EVENT_EXEC, .pid = getpid(), .boottime_ns = image.exec_boottime_ns, .image = &image};
    pl_recorder_event(f->recorder, &event);
    pl_image_deinit(&image);
    send_exec(f, 901, 1, once);
    send_exit(f, 901, 0);
    sweep(f);
    pl_fake_clock_advance(&f->clock, 23 * 3600 * S);
    sweep(f);
    assert_true(is_hot(f, once)); /* this look-up by identity alone is no sighting of its path */
    pl_fake_clock_advance(&f->clock, 2 * 3600 * S);
    sweep(f);
    check_sql(f, "select count(*) from hash", "3\n"); /* as after a suspend: nothing expires before all was looked at */
    for (int i = 0; i < 13; i++) {
        pl_fake_clock_advance(&f->clock, 50 * S);
        sweep(f);
    }
    sweep(f); /* the ledger follows: last_seen first, then what expired */
    assert_true(is_hot(f, f->hello));
    assert_true(is_hot(f, script));
    check_sql(f, "select count(*) from hash", "2\n");
    check_sql(f, "select end_reason, path like '%once' from file_history where end_reason is not null", "expired|1\n");
    free(script);
    free(once);
    fixture_free(f);
}

static void test_many_processes_of_one_binary_cost_one_hash(void **state)
{
    fixture *f = fixture_new(PL_ARGV_FULL, NULL, true);
    pl_stats stats = {.struct_size = sizeof(stats)};

    (void)state;
    for (pid_t pid = 200; pid < 300; pid++)
        send_exec(f, pid, 1, f->hello);
    check_sql(f, "select count(*), count(sha256), count(distinct sha256) from process_events", "100|100|1\n");
    pl_resolve_stats_get(f->resolve, &stats);
    assert_int_equal(stats.files_hashed, 1);
    assert_int_equal(stats.bytes_hashed, 5);
    assert_int_equal(f->live, 100);
    fixture_free(f);
}

static void test_exit_status_and_signal_are_told_apart(void **state)
{
    fixture *f = fixture_new(PL_ARGV_FULL, NULL, true);

    (void)state;
    send_exec(f, 301, 1, f->hello);
    send_exec(f, 302, 1, f->hello);
    pl_fake_clock_advance(&f->clock, 3 * S);
    send_exit(f, 301, 7 << 8);
    send_exit(f, 302, 9);
    check_sql(f, "select pid,exit_code,exit_signal,duration_ns,end_reason from process_events order by pid",
              "301|7|~|3000000000|exit\n302|~|9|3000000000|exit\n");
    fixture_free(f);
}

static void test_exec_replaces_the_image_and_links_back(void **state)
{
    fixture *f = fixture_new(PL_ARGV_FULL, NULL, true);

    (void)state;
    char *other = pl_temp_path(f->dir, "other");
    pl_temp_write(other, "other bytes", 11, 0755);
    send_exec(f, 401, 1, f->hello);
    pl_fake_clock_advance(&f->clock, S);
    send_exec(f, 401, 1, other);
    pl_fake_clock_advance(&f->clock, S);
    send_exit(f, 401, 0);
    check_sql(f,
              "select n.pid, n.prev_eid = p.eid, p.end_reason, p.duration_ns, n.end_reason, p.sha256 <> n.sha256 "
              "from process_events n join process_events p on p.eid = n.prev_eid",
              "401|1|exec|1000000000|exit|1\n");
    free(other);
    fixture_free(f);
}

static void test_parents_are_found_after_they_are_gone_and_their_pid_is_reused(void **state)
{
    fixture *f = fixture_new(PL_ARGV_FULL, NULL, true);

    (void)state;
    send_exec(f, 500, 1, f->hello);
    send_fork(f, 501, 500);
    send_exit(f, 500, 0);
    send_exec(f, 501, 1, f->hello); /* reparented, yet its parent image is the one that forked it */
    pl_fake_clock_advance(&f->clock, 5 * S);
    send_fork(f, 500, 1); /* the pid again, another process */
    send_exec(f, 500, 1, f->hello);
    check_sql(f,
              "select c.pid, p.pid, p.eid < c.eid from process_events c join process_events p on p.eid = "
              "c.parent_eid",
              "501|500|1\n");
    fixture_free(f);
}

static void test_forks_that_matter_are_recorded_and_others_are_not(void **state)
{
    fixture *f = fixture_new(PL_ARGV_FULL, NULL, true);

    (void)state;
    send_exec(f, 600, 1, f->hello);
    send_fork(f, 601, 600); /* quick, no child: no row */
    send_exit(f, 601, 0);
    send_fork(f, 602, 600); /* lives two seconds */
    send_fork(f, 603, 600); /* has an executing child */
    send_fork(f, 604, 603);
    send_exec(f, 604, 603, f->hello);
    pl_fake_clock_advance(&f->clock, 2 * S);
    send_exit(f, 602, 0);
    check_sql(f, "select pid, ppid, image_eid is not null, end_time is null from process_forks order by pid",
              "602|600|1|0\n603|600|1|1\n");
    fixture_free(f);
}

static void test_ignored_paths_and_kernel_threads_have_no_row(void **state)
{
    const char *const ignore[] = {"*/hel*", NULL};
    fixture *f = fixture_new(PL_ARGV_FULL, ignore, true);
    pl_image image;

    (void)state;
    send_exec(f, 701, 1, f->hello);
    pl_image_init(&image);
    image.pid = 2;
    image.flags = PL_IMAGE_KERNEL;
    image.name = strdup("kthreadd");
    pl_event event = {.kind = PL_EVENT_EXEC, .pid = 2, .image = &image};
    pl_recorder_event(f->recorder, &event);
    pl_image_deinit(&image);
    check_sql(f, "select count(*) from process_events", "0\n");
    fixture_free(f);
}

/* The row before it ends, and does not stand among the living for ever. */
static void test_an_ignored_image_ends_the_one_before_it(void **state)
{
    const char *const ignore[] = {"*/secret", NULL};
    fixture *f = fixture_new(PL_ARGV_FULL, ignore, true);
    char *secret = pl_temp_path(f->dir, "secret");

    (void)state;
    pl_temp_write(secret, "secret", 6, 0755);
    send_exec(f, 705, 1, f->hello);
    pl_fake_clock_advance(&f->clock, S);
    send_exec(f, 705, 1, secret);
    send_fork(f, 706, 705);
    pl_fake_clock_advance(&f->clock, S);
    send_exec(f, 706, 705, f->hello);
    send_exit(f, 705, 0);
    check_sql(f, "select pid, end_reason, duration_ns, parent_eid from process_events order by eid",
              "705|exec|1000000000|~\n706|~|~|~\n");
    free(secret);
    fixture_free(f);
}

static void test_argv_is_masked_or_left_out_as_asked(void **state)
{
    fixture *masked = fixture_new(PL_ARGV_REDACT, NULL, true);

    (void)state;
    send_exec(masked, 801, 1, masked->hello);
    check_sql(masked, "select cmdline from process_events", "hello --token=*** x\n");
    fixture_free(masked);
    fixture *off = fixture_new(PL_ARGV_OFF, NULL, true);
    send_exec(off, 802, 1, off->hello);
    check_sql(off, "select cmdline, argv from process_events", "~|~\n");
    fixture_free(off);
}

static void test_a_missing_hash_is_a_state_and_never_text(void **state)
{
    fixture *f = fixture_new(PL_ARGV_FULL, NULL, true);
    pl_image image;

    (void)state;
    send_exec(f, 901, 1, "/no/such/binary");
    image_of(f, &image, 902, 1, "/no/such/other");
    image.exe_errno = EACCES;
    pl_event event = {.kind = PL_EVENT_EXEC, .pid = 902, .boottime_ns = image.exec_boottime_ns, .image = &image};
    pl_recorder_event(f->recorder, &event);
    pl_image_deinit(&image);
    check_sql(f, "select pid, hash_state, sha256 from process_events order by pid",
              "901|vanished|~\n902|unreadable|~\n");
    assert_int_equal(f->live, 2);
    fixture_free(f);
}

static void test_hashing_off_computes_and_serves_none(void **state)
{
    fixture *f = fixture_new(PL_ARGV_FULL, NULL, false);
    pl_stats stats = {.struct_size = sizeof(stats)};

    (void)state;
    send_exec(f, 1001, 1, f->hello);
    check_sql(f, "select hash_state, sha256 from process_events", "~|~\n");
    pl_resolve_stats_get(f->resolve, &stats);
    assert_int_equal(stats.files_hashed, 0);
    fixture_free(f);
}

/* Switched on again: what still runs gets its hash in the background, in the row that it has. */
static void test_hashing_on_again_fills_in_what_is_missing(void **state)
{
    fixture *f = fixture_new(PL_ARGV_FULL, NULL, false);
    pl_stats stats = {.struct_size = sizeof(stats)};
    pl_image image;

    (void)state;
    send_exec(f, 1001, 1, f->hello);
    settle(f);
    close_rooms(f);
    open_rooms(f, PL_ARGV_FULL, NULL, true);
    pl_recorder_set_source(f->recorder, PL_EVENTS_SNAPSHOT, "snapshot");
    pl_recorder_adopt(f->recorder, 1, 1001, 10010, 0, f->hello);
    image_of(f, &image, 1001, 1, f->hello);
    image.exec_boottime_ns = 0;
    pl_event event = {.kind = PL_EVENT_EXEC, .pid = 1001, .image = &image};
    pl_recorder_event(f->recorder, &event);
    pl_image_deinit(&image);
    check_sql(f, "select eid, hash_state, sha256 from process_events", "1|ok|" HELLO_SHA256 "\n");
    pl_resolve_stats_get(f->resolve, &stats);
    assert_int_equal(stats.files_hashed, 1);
    fixture_free(f);
}

/* A restart, or whoever else asks again, never puts another binary's checksum into an old row. */
static void test_a_row_keeps_the_checksum_that_it_has(void **state)
{
    fixture *f = fixture_new(PL_ARGV_FULL, NULL, true);
    pl_image image;

    (void)state;
    send_exec(f, 1001, 1, f->hello);
    settle(f);
    close_rooms(f);
    pl_temp_write(f->hello, "other bytes under the same name", 31, 0755);
    open_rooms(f, PL_ARGV_FULL, NULL, true);
    pl_recorder_set_source(f->recorder, PL_EVENTS_SNAPSHOT, "snapshot");
    pl_recorder_adopt(f->recorder, 1, 1001, 10010, 0, f->hello);
    image_of(f, &image, 1001, 1, f->hello);
    image.exec_boottime_ns = 0;
    pl_event event = {.kind = PL_EVENT_EXEC, .pid = 1001, .image = &image};
    pl_recorder_event(f->recorder, &event);
    pl_image_deinit(&image);
    check_sql(f, "select eid, hash_state, sha256 from process_events", "1|ok|" HELLO_SHA256 "\n");
    fixture_free(f);
}

/* What cannot be read twice is not two processes. */
static void test_an_unreadable_process_of_the_last_run_keeps_its_row(void **state)
{
    fixture *f = fixture_new(PL_ARGV_FULL, NULL, true);
    pl_image image;

    (void)state;
    pl_recorder_set_source(f->recorder, PL_EVENTS_SNAPSHOT, "snapshot");
    pl_recorder_adopt(f->recorder, 77, 1, 5, 0, NULL);
    pl_image_init(&image);
    image.pid = 1;
    image.start_ticks = 5;
    image.name = strdup("init");
    image.exe_errno = EACCES;
    pl_event event = {.kind = PL_EVENT_EXEC, .pid = 1, .image = &image};
    pl_recorder_event(f->recorder, &event);
    pl_image_deinit(&image);
    check_sql(f, "select count(*) from process_events", "0\n"); /* no second row */
    fixture_free(f);
}

static void test_lost_events_become_a_gap(void **state)
{
    fixture *f = fixture_new(PL_ARGV_FULL, NULL, true);

    (void)state;
    pl_event event = {
        .kind = PL_EVENT_LOST, .lost = 12, .lost_since_ns = boot_now(f) - S, .reason = "receive buffer overrun"};
    pl_recorder_event(f->recorder, &event);
    event.lost = -1;
    pl_recorder_event(f->recorder, &event);
    check_sql(f, "select lost, source, reason, end_time - time from gaps order by lost desc",
              "12|netlink|receive buffer overrun|1\n~|netlink|receive buffer overrun|1\n");
    fixture_free(f);
}

static void test_a_snapshot_adds_what_no_event_told_and_nothing_twice(void **state)
{
    fixture *f = fixture_new(PL_ARGV_FULL, NULL, true);
    pl_image image;

    (void)state;
    send_exec(f, 1101, 1, f->hello);
    pl_recorder_set_source(f->recorder, PL_EVENTS_SNAPSHOT, "snapshot");
    for (pid_t pid = 1101; pid <= 1102; pid++) {
        image_of(f, &image, pid, 1, f->hello);
        image.exec_boottime_ns = 0;
        pl_event event = {.kind = PL_EVENT_EXEC, .pid = pid, .image = &image};
        pl_recorder_event(f->recorder, &event);
        pl_image_deinit(&image);
    }
    check_sql(f, "select pid, source from process_events order by pid", "1101|netlink\n1102|snapshot\n");
    fixture_free(f);
}

static void test_a_process_of_the_last_run_keeps_its_row(void **state)
{
    fixture *f = fixture_new(PL_ARGV_FULL, NULL, true);
    pl_image image;

    (void)state;
    send_exec(f, 1201, 1, f->hello);
    settle(f);
    close_rooms(f);
    open_rooms(f, PL_ARGV_FULL, NULL, true);
    pl_recorder_set_source(f->recorder, PL_EVENTS_SNAPSHOT, "snapshot");
    pl_recorder_adopt(f->recorder, 1, 1201, 12010, 0, f->hello);
    pl_recorder_adopt(f->recorder, 99, 1299, 1, 0, "/gone");
    image_of(f, &image, 1201, 1, f->hello);
    image.exec_boottime_ns = 0;
    pl_event event = {.kind = PL_EVENT_EXEC, .pid = 1201, .image = &image};
    pl_recorder_event(f->recorder, &event);
    pl_image_deinit(&image);
    pl_recorder_adoption_done(f->recorder);
    send_fork(f, 1202, 1201);
    send_exec(f, 1202, 1201, f->hello);
    check_sql(f, "select eid, pid, parent_eid from process_events order by eid", "1|1201|~\n2|1202|1\n");
    fixture_free(f);
}

static void test_one_failure_of_memory_loses_no_more_than_it_counts(void **state)
{
    (void)state;
    for (unsigned n = 1;; n++) {
        fixture *f = fixture_new(PL_ARGV_REDACT, NULL, true);
        pl_run_counters counters;
        pl_image image;

        image_of(f, &image, 1301, 1, f->hello);
        pl_event event = {.kind = PL_EVENT_EXEC, .pid = 1301, .boottime_ns = image.exec_boottime_ns, .image = &image};
        pl_fault_arm(PL_FAULT_ALLOC, n, ENOMEM);
        pl_recorder_event(f->recorder, &event);
        bool fired = pl_fault_fired();
        pl_fault_disarm();
        pl_image_deinit(&image);
        settle(f);
        pl_recorder_counters(f->recorder, &counters);
        char want[32];
        (void)snprintf(want, sizeof(want), "%d\n", counters.executions ? 1 : 0);
        check_sql(f, "select count(*) from process_events", want);
        assert_true(counters.executions == 1 || counters.lost >= 1);
        fixture_free(f);
        if (!fired)
            break;
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_an_execution_becomes_a_complete_row),
        cmocka_unit_test(test_a_script_has_its_own_hash_beside_its_interpreter),
        cmocka_unit_test(test_a_script_that_is_gone_leaves_its_interpreter_alone),
        cmocka_unit_test(test_an_unlinked_script_is_hashed_and_is_no_file_of_the_history),
        cmocka_unit_test(test_what_a_living_process_runs_is_seen_and_other_paths_rotate),
        cmocka_unit_test(test_many_processes_of_one_binary_cost_one_hash),
        cmocka_unit_test(test_exit_status_and_signal_are_told_apart),
        cmocka_unit_test(test_exec_replaces_the_image_and_links_back),
        cmocka_unit_test(test_parents_are_found_after_they_are_gone_and_their_pid_is_reused),
        cmocka_unit_test(test_forks_that_matter_are_recorded_and_others_are_not),
        cmocka_unit_test(test_ignored_paths_and_kernel_threads_have_no_row),
        cmocka_unit_test(test_an_ignored_image_ends_the_one_before_it),
        cmocka_unit_test(test_argv_is_masked_or_left_out_as_asked),
        cmocka_unit_test(test_a_missing_hash_is_a_state_and_never_text),
        cmocka_unit_test(test_hashing_off_computes_and_serves_none),
        cmocka_unit_test(test_hashing_on_again_fills_in_what_is_missing),
        cmocka_unit_test(test_a_row_keeps_the_checksum_that_it_has),
        cmocka_unit_test(test_an_unreadable_process_of_the_last_run_keeps_its_row),
        cmocka_unit_test(test_lost_events_become_a_gap),
        cmocka_unit_test(test_a_snapshot_adds_what_no_event_told_and_nothing_twice),
        cmocka_unit_test(test_a_process_of_the_last_run_keeps_its_row),
        cmocka_unit_test(test_one_failure_of_memory_loses_no_more_than_it_counts),
    };

    return cmocka_run_group_tests_name("recorder", tests, NULL, NULL);
}

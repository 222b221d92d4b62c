/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The serving protocol with a clock and a boot id that the test turns: restart, new boot, clock set back,
 * expiry, files that are too young, aliases and namespaces.
 */
#include "ledger/resolve.h"

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
#include <string.h>
#include <sys/stat.h>

#include <cmocka.h>

#define S PL_NS_PER_S
#define DAY (INT64_C(86400) * S)
#define BOOT_A "aaaaaaaa-2222-3333-4444-555555555555"
#define BOOT_B "bbbbbbbb-2222-3333-4444-555555555555"

typedef struct fixture {
    char *dir, *db, *file;
    pl_fake_clock clock;
    pl_writer *writer;
    pl_resolve *resolve;
} fixture;

static void open_rooms(fixture *f, const char *boot_id, bool reuse)
{
    pl_store_options writing = {.mode = PL_STORE_WRITE}, reading = {.mode = PL_STORE_READ};
    pl_resolve_options options = {.clock = &f->clock.clock, .reuse_across_reboot = reuse, .retry_limit = 512};
    pl_store *store = NULL;

    assert_int_equal(pl_store_open(f->db, &writing, &store), 0);
    assert_int_equal(pl_writer_new(store, NULL, &f->writer), 0);
    assert_int_equal(pl_store_open(f->db, &reading, &options.reader), 0);
    memcpy(options.boot_id, boot_id, PL_BOOT_ID_SIZE);
    options.writer = f->writer;
    assert_int_equal(pl_resolve_new(&options, &f->resolve), 0);
}

static void close_rooms(fixture *f)
{
    f->resolve = pl_resolve_free(f->resolve);
    f->writer = pl_writer_free(f->writer);
}

static void reopen(fixture *f, const char *boot_id, bool reuse)
{
    close_rooms(f);
    open_rooms(f, boot_id, reuse);
}

static int setup(void **state)
{
    fixture *f = calloc(1, sizeof(*f));

    assert_non_null(f);
    f->dir = pl_temp_dir_new();
    f->db = pl_temp_path(f->dir, "ledger.db");
    f->file = pl_temp_path(f->dir, "file");
    pl_temp_write(f->file, "hello", 5, 0755);
    pl_fake_clock_init(&f->clock, pl_clock_realtime_ns(pl_clock_system()) + 10 * S,
                       pl_clock_boottime_ns(pl_clock_system()) + 10 * S);
    open_rooms(f, BOOT_A, false);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    fixture *f = *state;

    close_rooms(f);
    free(f->db);
    free(f->file);
    (void)pl_temp_dir_free(f->dir);
    free(f);
    return 0;
}

typedef struct got {
    sem_t there;
    pl_answer answer;
} got;

static void take(void *context, const pl_answer *answer)
{
    got *g = context;

    g->answer = *answer;
    (void)sem_post(&g->there);
}

/* Opens path as a pinned file, asks, waits; everything learned is committed afterwards. */
static pl_answer ask(fixture *f, const char *path, uint64_t mnt_ns)
{
    got g;
    pl_place place = {.path = path, .mnt_ns = mnt_ns, .detected_by = PL_DETECTED_EXEC};
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

static void check_source(fixture *f, const char *path, pl_answer_source source)
{
    pl_answer answer = ask(f, path, 1);

    assert_int_equal(answer.outcome, 0);
    assert_int_equal(answer.source, source);
    assert_int_equal(answer.digests.digests[0].bytes[0], 0x2c);
}

static void check_sql(fixture *f, const char *sql, const char *want)
{
    char *rows = pl_shell_query(f->db, sql);

    assert_string_equal(rows, want);
    free(rows);
}

static void test_same_boot_serves_without_reading(void **state)
{
    fixture *f = *state;

    check_source(f, f->file, PL_SOURCE_COMPUTED);
    check_source(f, f->file, PL_SOURCE_HOT);
    reopen(f, BOOT_A, false);
    check_source(f, f->file, PL_SOURCE_LEDGER);
    check_source(f, f->file, PL_SOURCE_HOT);
}

static void test_a_new_boot_reads_once_and_then_serves(void **state)
{
    fixture *f = *state;

    check_source(f, f->file, PL_SOURCE_COMPUTED);
    reopen(f, BOOT_B, false);
    check_source(f, f->file, PL_SOURCE_COMPUTED);
    reopen(f, BOOT_B, false);
    check_source(f, f->file, PL_SOURCE_LEDGER);
    check_sql(f, "select count(*) from file_history", "1\n");
}

static void test_reuse_across_reboot_is_an_explicit_choice(void **state)
{
    fixture *f = *state;

    check_source(f, f->file, PL_SOURCE_COMPUTED);
    reopen(f, BOOT_B, true);
    check_source(f, f->file, PL_SOURCE_LEDGER);
}

/* Changes the ledger behind the back of everybody. */
static void tamper(const fixture *f, const char *sql)
{
    pl_auto_free char *command = NULL;

    assert_true(asprintf(&command, "sqlite3 '%s' \"%s\"", f->db, sql) > 0);
    assert_int_equal(system(command), 0);
}

/* Device numbers mean nothing across boots: an equal inode, size and equal times on another file system are another
 * file, neither served nor worth an alert. */
static void test_another_file_system_in_another_boot_is_another_file(void **state)
{
    static const char *const elsewhere[] = {"update _version set uuid = randomblob(16), fsid = 12345",
                                            "update _version set generation = generation + 77 where generation <> 0"};
    fixture *f = *state;

    for (size_t i = 0; i < 2; i++) {
        check_source(f, f->file, PL_SOURCE_COMPUTED);
        close_rooms(f);
        char *generation = pl_shell_query(f->db, "select max(generation) from _version");
        tamper(f, elsewhere[i]);
        tamper(f, "update _content set sha256 = printf('%064d', id) where id <> 0");
        open_rooms(f, BOOT_B, true);
        if (i == 0 || strcmp(generation, "0\n") != 0)
            check_source(f, f->file, PL_SOURCE_COMPUTED);
        else
            print_message("no inode generations here: not compared\n");
        free(generation);
        check_sql(f, "select count(*) from changes where attention = 'alert'", "0\n");
        close_rooms(f);
        (void)unlink(f->db);
        open_rooms(f, BOOT_A, false);
    }
}

/* What the ledger cannot place is no reason to skip the read that a new boot costs. */
static void test_unknown_file_system_is_not_reused_across_a_reboot(void **state)
{
    fixture *f = *state;

    check_source(f, f->file, PL_SOURCE_COMPUTED);
    close_rooms(f);
    tamper(f, "update _version set uuid = NULL, fsid = 0, generation = 0");
    open_rooms(f, BOOT_B, true);
    check_source(f, f->file, PL_SOURCE_COMPUTED);
}

/* Finding moves last_seen in memory; the disk hears of it once, when the time for that has come. */
static void test_a_look_up_writes_nothing(void **state)
{
    fixture *f = *state;
    pl_place place = {.path = f->file, .mnt_ns = 1, .detected_by = PL_DETECTED_EXEC};
    pl_identity identity;
    pl_answer answer;
    pl_writer_stats before, after;

    check_source(f, f->file, PL_SOURCE_COMPUTED);
    assert_int_equal(pl_identity_of_path(AT_FDCWD, f->file, true, &identity), 0);
    pl_writer_stats_get(f->writer, &before);
    for (int i = 0; i < 1000; i++)
        assert_true(pl_resolve_recall(f->resolve, &identity, &place, &answer));
    pl_writer_stats_get(f->writer, &after);
    assert_int_equal(after.queued, 0);
    assert_int_equal(after.batches, before.batches);
    pl_fake_clock_advance(&f->clock, 60 * S);
    assert_true(pl_resolve_recall(f->resolve, &identity, &place, &answer));
    pl_resolve_flush_seen(f->resolve);
    assert_int_equal(pl_writer_flush(f->writer), 0);
    pl_writer_stats_get(f->writer, &after);
    assert_int_equal(after.batches, before.batches + 1);
    check_sql(f, "select last_time - first_time >= 60 from file_history", "1\n");
}

static void test_other_bytes_under_an_old_identity_are_an_alert(void **state)
{
    fixture *f = *state;

    /* The crash that keeps data and loses metadata cannot be had here: the ledger is told other bytes
     * instead. */
    check_source(f, f->file, PL_SOURCE_COMPUTED);
    close_rooms(f);
    tamper(f, "update _content set sha256='ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff' "
              "where id <> 0");
    open_rooms(f, BOOT_B, false);
    check_source(f, f->file, PL_SOURCE_COMPUTED);
    check_sql(f, "select attention, substr(old_sha256,1,4), substr(new_sha256,1,4) from changes", "alert|ffff|2cf2\n");
}

static void test_a_path_expires_after_its_day(void **state)
{
    fixture *f = *state;

    check_source(f, f->file, PL_SOURCE_COMPUTED);
    pl_fake_clock_advance(&f->clock, DAY - S);
    check_source(f, f->file, PL_SOURCE_HOT); /* seen: its day begins anew */
    pl_resolve_flush_seen(f->resolve);
    pl_fake_clock_advance(&f->clock, DAY - S);
    pl_resolve_sweep(f->resolve);
    check_source(f, f->file, PL_SOURCE_HOT);
    pl_resolve_flush_seen(f->resolve);
    pl_fake_clock_advance(&f->clock, DAY + S);
    pl_resolve_sweep(f->resolve);
    check_source(f, f->file, PL_SOURCE_COMPUTED); /* neither hot nor from the ledger */
}

static void test_a_file_that_is_too_young_is_read_again_before_it_is_cached(void **state)
{
    fixture *f = *state;
    char *young = pl_temp_path(f->dir, "young");

    pl_temp_write(young, "hello", 5, 0755);
    atomic_store(&f->clock.realtime_ns, pl_clock_realtime_ns(pl_clock_system()));
    check_source(f, young, PL_SOURCE_COMPUTED);
    int64_t wait = pl_resolve_retry(f->resolve);
    assert_true(wait > 0 && wait <= 2 * S);
    pl_fake_clock_advance(&f->clock, wait);
    assert_int_equal(pl_resolve_retry(f->resolve), -1);
    pl_resolve_drain(f->resolve);
    check_source(f, young, PL_SOURCE_HOT);
    free(young);
}

static void test_a_clock_set_back_drops_what_is_newer(void **state)
{
    fixture *f = *state;

    check_source(f, f->file, PL_SOURCE_COMPUTED);
    atomic_fetch_sub(&f->clock.realtime_ns, 3600 * S);
    pl_resolve_clock_changed(f->resolve);
    pl_answer answer = ask(f, f->file, 1);
    assert_int_equal(answer.source, PL_SOURCE_COMPUTED); /* its ctime lies in the future now: never cached */
    answer = ask(f, f->file, 1);
    assert_int_equal(answer.source, PL_SOURCE_COMPUTED);
}

static void test_the_clock_set_back_while_nothing_ran_is_noticed(void **state)
{
    fixture *f = *state;

    check_source(f, f->file, PL_SOURCE_COMPUTED);
    atomic_fetch_sub(&f->clock.realtime_ns, 3600 * S);
    reopen(f, BOOT_A, false);
    check_source(f, f->file, PL_SOURCE_COMPUTED);
}

static void test_a_hard_link_is_one_hash_and_two_histories(void **state)
{
    fixture *f = *state;
    char *other = pl_temp_path(f->dir, "other");

    assert_return_code(link(f->file, other), errno);
    check_source(f, f->file, PL_SOURCE_COMPUTED);
    check_source(f, other, PL_SOURCE_HOT);
    assert_int_equal(ask(f, f->file, 2).source, PL_SOURCE_HOT); /* the same path in another mount namespace */
    assert_int_equal(pl_writer_flush(f->writer), 0);
    check_sql(f, "select count(*), count(distinct sha256), count(distinct mnt_ns) from file_history", "3|1|2\n");
    free(other);
}

/* Bytes that became setuid were not so since they were first seen. */
static void test_another_mode_of_the_same_bytes_is_another_version(void **state)
{
    fixture *f = *state;

    check_source(f, f->file, PL_SOURCE_COMPUTED);
    assert_return_code(chmod(f->file, 04755), errno);
    atomic_store(&f->clock.realtime_ns, pl_clock_realtime_ns(pl_clock_system()) + 20 * S);
    check_source(f, f->file, PL_SOURCE_COMPUTED);
    check_source(f, f->file, PL_SOURCE_HOT);
    check_sql(f, "select mode & 4095, end_reason, count(*) over () from file_history order by version_id",
              "493|modified|2\n2541|~|2\n");
    check_sql(f, "select count(distinct sha256) from file_history", "1\n");
}

static void test_a_file_with_a_writer_is_answered_and_not_kept(void **state)
{
    fixture *f = *state;
    pl_auto_close int writer = open(f->file, O_WRONLY | O_CLOEXEC);

    assert_return_code(writer, errno);
    pl_answer answer = ask(f, f->file, 1);
    assert_int_equal(answer.outcome, 0);
    assert_int_equal(answer.assurance, PL_ASSURANCE_STAT);
    assert_int_equal(ask(f, f->file, 1).source, PL_SOURCE_COMPUTED);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_same_boot_serves_without_reading, setup, teardown),
        cmocka_unit_test_setup_teardown(test_a_new_boot_reads_once_and_then_serves, setup, teardown),
        cmocka_unit_test_setup_teardown(test_reuse_across_reboot_is_an_explicit_choice, setup, teardown),
        cmocka_unit_test_setup_teardown(test_another_file_system_in_another_boot_is_another_file, setup, teardown),
        cmocka_unit_test_setup_teardown(test_unknown_file_system_is_not_reused_across_a_reboot, setup, teardown),
        cmocka_unit_test_setup_teardown(test_a_look_up_writes_nothing, setup, teardown),
        cmocka_unit_test_setup_teardown(test_other_bytes_under_an_old_identity_are_an_alert, setup, teardown),
        cmocka_unit_test_setup_teardown(test_a_path_expires_after_its_day, setup, teardown),
        cmocka_unit_test_setup_teardown(test_a_file_that_is_too_young_is_read_again_before_it_is_cached, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(test_a_clock_set_back_drops_what_is_newer, setup, teardown),
        cmocka_unit_test_setup_teardown(test_the_clock_set_back_while_nothing_ran_is_noticed, setup, teardown),
        cmocka_unit_test_setup_teardown(test_a_hard_link_is_one_hash_and_two_histories, setup, teardown),
        cmocka_unit_test_setup_teardown(test_another_mode_of_the_same_bytes_is_another_version, setup, teardown),
        cmocka_unit_test_setup_teardown(test_a_file_with_a_writer_is_answered_and_not_kept, setup, teardown),
    };

    return cmocka_run_group_tests_name("resolve", tests, NULL, NULL);
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Schemas: making a file, taking an older one forward, leaving a newer one alone. The steps beyond the embedded one are
 * the test's own. What is asked for throughout: a file is wholly of one version or wholly of the other.
 */
#include "tests/unit/store/store_support.h"

#include <errno.h>
#include <pthread.h>
#include <sys/statvfs.h>

#include "ledger/store/database.h"
#include "ledger/store/guard.h"
#include "src/base/error.h"

#define SECOND_STEP                                                                                                    \
    "CREATE TABLE _extra(id INTEGER PRIMARY KEY, note TEXT);"                                                          \
    "ALTER TABLE _gap ADD COLUMN extra INTEGER;"                                                                       \
    "UPDATE _gap SET extra = 2 * lost;"
#define THIRD_STEP "INSERT INTO _extra(note) VALUES('third'); ALTER TABLE _extra ADD COLUMN more TEXT;"
#define BROKEN_STEP "INSERT INTO _extra(note) VALUES('lost'); INSERT INTO _nowhere VALUES(1);"
#define EXTRA_VIEW "DROP VIEW IF EXISTS extras; CREATE VIEW extras AS SELECT g.extra AS extra FROM _gap g;"

#define SCHEMA(name, ...)                                                                                              \
    static pl_schema_set name(void)                                                                                    \
    {                                                                                                                  \
        static const char *steps[4];                                                                                   \
        const char *const own[] = {pl_schema_migrations[0], __VA_ARGS__};                                              \
        memcpy(steps, own, sizeof(own));                                                                               \
        return (pl_schema_set){steps, sizeof(own) / sizeof(own[0]), views_of_two()};                                   \
    }

static const char *views_of_two(void)
{
    static char text[65536];

    assert_true((size_t)snprintf(text, sizeof(text), "%s%s", pl_schema_views, EXTRA_VIEW) < sizeof(text));
    return text;
}

static pl_schema_set one(void)
{
    return (pl_schema_set){pl_schema_migrations, 1, pl_schema_views};
}
SCHEMA(two, SECOND_STEP)
SCHEMA(three, SECOND_STEP, THIRD_STEP)
SCHEMA(broken, SECOND_STEP, BROKEN_STEP)

static pl_schema_set embedded(void)
{
    return (pl_schema_set){pl_schema_migrations, PL_SCHEMA_VERSION, pl_schema_views};
}

/* A file as the first release made it; of its views, the one that says more by now. */
static pl_schema_set first_release(void)
{
    return (pl_schema_set){pl_schema_migrations, 1,
                           "DROP VIEW IF EXISTS runs; CREATE VIEW runs AS SELECT r.time AS time, r.watches AS watches"
                           " FROM _run r;"};
}

static int open_with(const char *path, pl_store_mode mode, pl_schema_set schema, pl_store **out)
{
    const pl_store_options options = {.mode = mode};

    return pl_store_open_schema(path, &options, &schema, out);
}

/* Opens and closes; what opening said. */
static int touch(const char *path, pl_store_mode mode, pl_schema_set schema)
{
    pl_store *store = NULL;
    int rc = open_with(path, mode, schema, &store);

    assert_true((rc == 0) == (store != NULL));
    (void)pl_store_close(store);
    return rc;
}

static void make_old(const fixture *f)
{
    assert_int_equal(touch(f->path, PL_STORE_WRITE, one()), 0);
    force(f->path, "INSERT INTO _gap(time, end_time, lost, source, reason) VALUES(1, 2, 21, 'test', 'because')");
}

static void assert_still_old(const fixture *f)
{
    assert_answer(f->path, "PRAGMA user_version", "1");
    assert_answer(f->path, "SELECT value FROM about WHERE key = 'schema'", "1");
    assert_answer(f->path, "SELECT count(*) FROM sqlite_master WHERE name IN ('_extra', 'extras')", "0");
    assert_answer(f->path, "SELECT count(*) FROM pragma_table_info('_gap') WHERE name = 'extra'", "0");
    assert_answer(f->path, "SELECT time, end_time, lost, source, reason FROM gaps", "1|2|21|test|because");
    assert_answer(f->path, "PRAGMA integrity_check", "ok");
}

static void test_new_file_runs_every_step(void **state)
{
    const fixture *f = *state;

    assert_int_equal(touch(f->path, PL_STORE_WRITE, three()), 0);
    assert_answer(f->path, "PRAGMA user_version", "3");
    assert_answer(f->path, "SELECT value FROM about WHERE key = 'schema'", "3");
    assert_answer(f->path, "SELECT note, more FROM _extra", "third|NULL");
    assert_answer(f->path, "SELECT count(*) FROM extras", "0");
    assert_answer(f->path, "SELECT * FROM pragma_auto_vacuum, pragma_journal_mode", "2|wal");
    assert_int_equal(touch(f->path, PL_STORE_READ, three()), 0);
}

static void test_file_that_could_not_be_made_leaves_nothing(void **state)
{
    const fixture *f = *state;
    char *before = snapshot(f->dir);

    assert_int_equal(touch(f->path, PL_STORE_WRITE, broken()), PL_ERR_DAMAGED);
    char *after = snapshot(f->dir);
    assert_string_equal(before, after);
    free(before);
    free(after);
    assert_int_equal(touch(f->path, PL_STORE_WRITE, one()), 0);
}

static void test_older_file_is_taken_forward_with_its_rows(void **state)
{
    const fixture *f = *state;

    make_old(f);
    assert_int_equal(touch(f->path, PL_STORE_WRITE, two()), 0);
    assert_answer(f->path, "PRAGMA user_version", "2");
    assert_answer(f->path, "SELECT value FROM about WHERE key = 'schema'", "2");
    assert_answer(f->path, "SELECT lost, reason FROM gaps", "21|because");
    assert_answer(f->path, "SELECT extra FROM extras", "42");
    /* A step that ran does not run again. */
    assert_int_equal(touch(f->path, PL_STORE_RECORDER, three()), 0);
    assert_answer(f->path, "PRAGMA user_version", "3");
    assert_answer(f->path, "SELECT note FROM _extra", "third");
    assert_answer(f->path, "SELECT extra FROM extras", "42");
    assert_answer(f->path, "PRAGMA integrity_check", "ok");
}

static void test_several_versions_are_skipped_at_once(void **state)
{
    const fixture *f = *state;

    make_old(f);
    assert_int_equal(touch(f->path, PL_STORE_RECORDER, three()), 0);
    assert_answer(f->path, "SELECT user_version, note, extra FROM pragma_user_version, _extra, extras", "3|third|42");
}

/* A reader of the old version sees all of the old one until it looks again, and then all of the new one. */
static void test_migration_is_one_transaction(void **state)
{
    const fixture *f = *state;
    sqlite3 *db = NULL;
    sqlite3_stmt *s = NULL;

    make_old(f);
    assert_int_equal(sqlite3_open_v2(f->path, &db, SQLITE_OPEN_READONLY, NULL), SQLITE_OK);
    assert_int_equal(sqlite3_exec(db, "BEGIN; SELECT count(*) FROM gaps", NULL, NULL, NULL), SQLITE_OK);
    assert_int_equal(touch(f->path, PL_STORE_WRITE, three()), 0);
    const char *const sql = "SELECT user_version || (SELECT count(*) FROM sqlite_master WHERE name IN ('_extra', "
                            "'extras')) FROM pragma_user_version";
    for (int round = 0; round < 2; round++) {
        assert_int_equal(sqlite3_prepare_v2(db, sql, -1, &s, NULL), SQLITE_OK);
        assert_int_equal(sqlite3_step(s), SQLITE_ROW);
        assert_string_equal(sqlite3_column_text(s, 0), round ? "32" : "10");
        (void)sqlite3_finalize(s);
        if (round == 0)
            assert_int_equal(sqlite3_exec(db, "COMMIT", NULL, NULL, NULL), SQLITE_OK);
    }
    (void)sqlite3_close(db);
}

static void test_failure_in_the_middle_takes_everything_back(void **state)
{
    const fixture *f = *state;
    pl_schema_set no_views = two();

    make_old(f);
    assert_int_equal(touch(f->path, PL_STORE_WRITE, broken()), PL_ERR_DAMAGED);
    assert_non_null(strstr(pl_error_message(), "_nowhere"));
    assert_still_old(f);
    /* Also when it is the views that fail, after all steps. */
    no_views.views = "DROP VIEW gaps; CREATE VIEW gaps AS SELECT 1; CREATE VIEW gaps AS SELECT 2;";
    assert_int_equal(touch(f->path, PL_STORE_RECORDER, no_views), PL_ERR_DAMAGED);
    assert_still_old(f);
    /* Whoever failed let go of the lock. */
    assert_int_equal(touch(f->path, PL_STORE_RECORDER, one()), 0);
    assert_int_equal(touch(f->path, PL_STORE_WRITE, two()), 0);
    assert_answer(f->path, "SELECT extra FROM extras", "42");
}

static void test_newer_file_is_opened_by_nobody_and_stays_as_it_is(void **state)
{
    static const pl_store_mode modes[] = {PL_STORE_READ, PL_STORE_WRITE, PL_STORE_RECORDER};
    const fixture *f = *state;

    make_old(f);
    assert_int_equal(touch(f->path, PL_STORE_WRITE, two()), 0);
    char *before = snapshot(f->dir);
    for (size_t i = 0; i < 3; i++) {
        assert_int_equal(touch(f->path, modes[i], one()), PL_ERR_NEWER);
        assert_non_null(strstr(pl_error_message(), "has schema 2, this program knows up to 1"));
    }
    char *after = snapshot(f->dir);
    assert_string_equal(before, after);
    free(before);
    free(after);
}

/* Also when no checkpoint has put the new version into the file's header yet. */
static void test_newer_version_in_the_wal_is_seen(void **state)
{
    static const pl_store_mode modes[] = {PL_STORE_READ, PL_STORE_WRITE, PL_STORE_RECORDER};
    const fixture *f = *state;
    pl_store *newer = NULL;
    int64_t version = 0;

    make_old(f);
    assert_int_equal(open_with(f->path, PL_STORE_WRITE, two(), &newer), 0);
    assert_int_equal(pl_guard_header(f->path, &version), 0);
    assert_int_equal(version, 1);
    for (size_t i = 0; i < 3; i++)
        assert_int_equal(touch(f->path, modes[i], one()), PL_ERR_NEWER);
    (void)pl_store_close(newer);
    assert_answer(f->path, "SELECT extra FROM extras", "42");
}

static void test_reader_of_an_older_file_is_told_who_migrates(void **state)
{
    const fixture *f = *state;

    make_old(f);
    assert_int_equal(touch(f->path, PL_STORE_READ, two()), PL_ERR_UNSUPPORTED);
    assert_non_null(strstr(pl_error_message(), "the next start of its recorder migrates it"));
    assert_still_old(f);
    assert_int_equal(touch(f->path, PL_STORE_RECORDER, two()), 0);
    assert_int_equal(touch(f->path, PL_STORE_READ, two()), 0);
}

static void test_version_that_none_of_us_wrote_is_damage(void **state)
{
    const fixture *f = *state;

    make_old(f);
    force(f->path, "PRAGMA user_version = -5");
    assert_int_equal(touch(f->path, PL_STORE_READ, one()), PL_ERR_DAMAGED);
    assert_int_equal(touch(f->path, PL_STORE_WRITE, one()), PL_ERR_DAMAGED);
}

/* A file with a hole as large as what is free needs twice that. */
static void test_no_migration_without_space_for_it(void **state)
{
    const fixture *f = *state;
    struct statvfs fs;
    struct stat status;

    make_old(f);
    assert_return_code(stat(f->path, &status), 0);
    assert_return_code(statvfs(f->path, &fs), 0);
    off_t size = (off_t)((uint64_t)fs.f_bavail * fs.f_frsize);
    size -= size % 4096;
    if (truncate(f->path, status.st_size + size) < 0) {
        print_message("no file of %lld bytes here: %s\n", (long long)size, strerror(errno));
        skip();
    }
    assert_int_equal(touch(f->path, PL_STORE_WRITE, two()), PL_ERR_FULL);
    assert_non_null(strstr(pl_error_message(), "migrating it needs"));
    assert_int_equal(touch(f->path, PL_STORE_RECORDER, two()), PL_ERR_FULL);
    assert_return_code(truncate(f->path, status.st_size), 0);
    assert_still_old(f);
    assert_int_equal(touch(f->path, PL_STORE_WRITE, two()), 0);
}

static void test_nobody_migrates_under_a_recorder(void **state)
{
    const fixture *f = *state;
    pl_store *recorder = NULL;

    assert_int_equal(open_with(f->path, PL_STORE_RECORDER, one(), &recorder), 0);
    force(f->path, "INSERT INTO _gap(time, end_time, lost, source, reason) VALUES(1, 2, 21, 'test', 'because')");
    assert_int_equal(touch(f->path, PL_STORE_WRITE, two()), PL_ERR_LOCKED);
    assert_non_null(strstr(pl_error_message(), "another recorder"));
    assert_still_old(f);
    (void)pl_store_close(recorder);
    assert_int_equal(touch(f->path, PL_STORE_WRITE, two()), 0);
}

typedef struct opener {
    const char *path;
    pl_schema_set schema;
    int code;
} opener;

static void *open_once(void *argument)
{
    opener *o = argument;

    o->code = touch(o->path, PL_STORE_WRITE, o->schema);
    return NULL;
}

static void open_at_once(const char *path, pl_schema_set schema)
{
    opener openers[4];
    pthread_t threads[4];

    for (int i = 0; i < 4; i++) {
        openers[i] = (opener){path, schema, -1};
        assert_int_equal(pthread_create(&threads[i], NULL, open_once, &openers[i]), 0);
    }
    for (int i = 0; i < 4; i++) {
        assert_int_equal(pthread_join(threads[i], NULL), 0);
        assert_int_equal(openers[i].code, 0);
    }
}

/* The step adds a column, so it would fail for whoever ran it a second time. */
static void test_of_many_openers_one_migrates(void **state)
{
    const fixture *f = *state;

    make_old(f);
    open_at_once(f->path, two());
    assert_answer(f->path, "SELECT user_version, extra FROM pragma_user_version, extras", "2|42");
}

static void test_of_many_creators_one_makes_the_file(void **state)
{
    const fixture *f = *state;

    open_at_once(f->path, one());
    assert_answer(f->path, "PRAGMA integrity_check", "ok");
    /* None left what it did not get to use. */
    char *listing = snapshot(f->dir);
    assert_null(strstr(listing, ".new-"));
    free(listing);
}

/* ---- the embedded steps ---- */

/* One row at least of what a recorder of the first release had written. */
static void make_first_release(const fixture *f)
{
    assert_int_equal(touch(f->path, PL_STORE_RECORDER, first_release()), 0);
    assert_answer(f->path, "PRAGMA user_version", "1");
    assert_answer(f->path, "SELECT group_concat(name) FROM pragma_table_info('runs')", "time,watches");
    force(f->path,
          "INSERT INTO _boot(id, boot_id) VALUES(1, '" BOOT_A "');"
          "INSERT INTO _path(id, text, bytes) VALUES(1, '/bin/x', x''), (2, '/bin/\\xff', x'2f62696e2fff');"
          "INSERT INTO _content(id, sha256, size) VALUES(1, '" /* of four bytes */
          "2c26b46b68ffc68ff99b453c1d30413413422d706483bfa0f98a5e886266e7ae', 4);"
          "INSERT INTO _version(path_id, mnt_ns, content_id, hash_state, assurance, cacheable, size, inode, ctime_ns,"
          " boot_id, first_time, last_time, detected_by) VALUES(1, 7, 1, 1, 1, 1, 4, 99, 123456789, 1, 10, 20, 1),"
          " (2, 7, 1, 1, 1, 0, 4, 98, 123456788, 1, 11, 21, 1);"
          "INSERT INTO _gap(time, end_time, lost, source, reason) VALUES(1, 2, 21, 'test', 'because');"
          "INSERT INTO _run(time, last_time, end_time, clean, version, source, boot_id, hostname, executions, lost,"
          " files_hashed, bytes_hashed, hits_hot, hits_ledger, watches)"
          " VALUES(10, 20, 20, 1, '0.1', 'netlink', 1, 'host', 1, 2, 3, 4, 5, 6, 7);");
}

#define OLD_RUN                                                                                                        \
    "SELECT time, last_time, end_time, clean, version, source, hostname, executions, lost, files_hashed,"              \
    " bytes_hashed, hits_hot, hits_ledger, watches FROM _run WHERE id = 1"

static void test_a_file_of_version_1_is_migrated_and_keeps_its_rows(void **state)
{
    const fixture *f = *state;
    char version[16];

    make_first_release(f);
    (void)snprintf(version, sizeof(version), "%d", PL_SCHEMA_VERSION);
    assert_int_equal(touch(f->path, PL_STORE_RECORDER, embedded()), 0);
    assert_answer(f->path, "PRAGMA user_version", version);
    assert_answer(f->path, "SELECT value FROM about WHERE key = 'schema'", version);
    assert_answer(f->path, OLD_RUN, "10|20|20|1|0.1|netlink|host|1|2|3|4|5|6|7");
    /* What was not counted then is 0. */
    assert_answer(f->path, "SELECT watches, tracked, watches_refused, overflows, start_total, start_done FROM runs",
                  "7|0|0|0|0|0");
    assert_answer(f->path,
                  "SELECT path, mnt_ns, substr(sha256, 1, 4), size, inode, ctime_ns, first_time, last_time, end_time"
                  " FROM file_history ORDER BY version_id",
                  "/bin/x|7|2c26|4|99|123456789|10|20|NULL\n/bin/\\xff|7|2c26|4|98|123456788|11|21|NULL");
    assert_answer(f->path, "SELECT time, end_time, lost, source, reason FROM gaps", "1|2|21|test|because");
    assert_answer(f->path, "PRAGMA integrity_check", "ok");
    assert_answer(f->path, "SELECT count(*) FROM pragma_foreign_key_check", "0");
    assert_int_equal(touch(f->path, PL_STORE_READ, embedded()), 0);
}

static void test_a_migrated_file_is_made_as_a_new_one(void **state)
{
    const fixture *f = *state;
    const char *const sql = "SELECT type, name, tbl_name, sql FROM sqlite_master ORDER BY type, name";
    char *fresh = pl_temp_path(f->dir, "fresh.db");

    make_first_release(f);
    assert_int_equal(touch(f->path, PL_STORE_WRITE, embedded()), 0);
    assert_int_equal(touch(fresh, PL_STORE_WRITE, embedded()), 0);
    char *new = ask(fresh, sql);
    assert_answer(f->path, sql, new);
    free(new);
    free(fresh);
}

static void test_a_recorder_goes_on_in_a_migrated_file(void **state)
{
    const fixture *f = *state;
    const pl_run run = {.version = "2", .source = "scan", .boot_id = BOOT_A, .time_ns = T0};
    const pl_run_counters counters = {.tracked = 8, .watches_refused = 9, .overflows = 10, .start_total = 11};

    make_first_release(f);
    pl_writer *w = open_writer(f->path, PL_STORE_RECORDER, NULL);
    assert_int_equal(pl_writer_run_begin(w, &run), 0);
    assert_int_equal(pl_writer_run_counters(w, &counters, T0 + SECOND), 0);
    assert_int_equal(pl_writer_run_end(w, T0 + 2 * SECOND), 0);
    (void)pl_writer_free(w);
    assert_answer(f->path, "SELECT version, tracked, watches_refused, overflows, start_total FROM runs ORDER BY run_id",
                  "0.1|0|0|0|0\n2|8|9|10|11");
    assert_answer(f->path, OLD_RUN, "10|20|20|1|0.1|netlink|host|1|2|3|4|5|6|7");
}

static void test_a_reader_leaves_a_file_of_version_1_alone(void **state)
{
    const fixture *f = *state;

    make_first_release(f);
    assert_int_equal(touch(f->path, PL_STORE_READ, embedded()), PL_ERR_UNSUPPORTED);
    assert_answer(f->path, "PRAGMA user_version", "1");
    assert_answer(f->path, "SELECT count(*) FROM pragma_table_info('_run') WHERE name = 'tracked'", "0");
}

static void test_the_first_release_refuses_a_migrated_file(void **state)
{
    const fixture *f = *state;

    make_first_release(f);
    assert_int_equal(touch(f->path, PL_STORE_WRITE, embedded()), 0);
    assert_int_equal(touch(f->path, PL_STORE_RECORDER, first_release()), PL_ERR_NEWER);
    assert_answer(f->path, "SELECT count(*) FROM pragma_table_info('runs') WHERE name = 'tracked'", "1");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_new_file_runs_every_step, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_file_that_could_not_be_made_leaves_nothing, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_older_file_is_taken_forward_with_its_rows, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_several_versions_are_skipped_at_once, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_migration_is_one_transaction, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_failure_in_the_middle_takes_everything_back, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_newer_file_is_opened_by_nobody_and_stays_as_it_is, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_newer_version_in_the_wal_is_seen, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_reader_of_an_older_file_is_told_who_migrates, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_version_that_none_of_us_wrote_is_damage, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_no_migration_without_space_for_it, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_nobody_migrates_under_a_recorder, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_of_many_openers_one_migrates, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_of_many_creators_one_makes_the_file, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_a_file_of_version_1_is_migrated_and_keeps_its_rows, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_a_migrated_file_is_made_as_a_new_one, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_a_recorder_goes_on_in_a_migrated_file, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_a_reader_leaves_a_file_of_version_1_alone, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_the_first_release_refuses_a_migrated_file, set_up, tear_down),
    };

    return cmocka_run_group_tests_name("store_migrate", tests, NULL, NULL);
}

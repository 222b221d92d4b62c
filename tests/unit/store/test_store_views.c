/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The analyst's questions: each point query that the manual promises walks an index, before and after ANALYZE, and
 * answers the same both times. What is judged is the plan, never the time. (The columns and their comments are
 * test_store_schema.c's.)
 */
#include "tests/unit/store/store_support.h"

#include "ledger/store/query.h"

#define EXECUTIONS 6000
#define PATHS 300
#define COMMANDS 1500

static const pl_writer_options by_hand = {.batch_ns = 3600 * SECOND, .batch_count = 1000000};

/* Filled once; the tests only read, and one of them runs ANALYZE on a copy. */
static fixture *filled;

static void put_execution(pl_writer *w, int i)
{
    char path[40], argv[60];
    pl_execution e = execution_of(pl_writer_next_eid(w));
    const pl_digest_set set = digests_of((unsigned)(i % PATHS) + 1);
    const pl_execution_end end = end_of(e.eid, (i % 3) << 8);

    (void)snprintf(path, sizeof(path), "/usr/bin/p%d", i % PATHS);
    int length = snprintf(argv, sizeof(argv), "p%d", i % PATHS) + 1;
    length += snprintf(argv + length, sizeof(argv) - (size_t)length, "word%d", i % COMMANDS) + 1;
    e.time_ns = T0 + i * SECOND;
    e.pid = 1000 + i % 3000;
    e.path = path;
    e.filename = path;
    e.name = path + 9;
    e.argv = argv;
    e.argv_length = (size_t)length;
    e.uid = (uint32_t)(i % 7) * 1000;
    e.parent_eid = i / 2;
    e.hash_state = PL_HASH_OK;
    e.digests = &set;
    assert_int_equal(pl_writer_execution(w, &e), 0);
    if (i % 10)
        assert_int_equal(pl_writer_end(w, &end), 0);
}

static void put_file(pl_writer *w, int i)
{
    char path[40], old[65];
    pl_fork_record fork = {.fork_id = pl_writer_next_fork_id(w),
                           .time_ns = T0 + i * SECOND,
                           .pid = 1000 + i,
                           .ppid = 1,
                           .image_eid = i + 1};

    (void)snprintf(path, sizeof(path), "/usr/bin/p%d", i % PATHS);
    pl_sighting v = sighting_of(path, (uint64_t)i + 1, (unsigned)i + 1, T0 + i * SECOND);
    assert_int_equal(pl_writer_sighting(w, &v), 0);
    assert_int_equal(pl_writer_fork(w, &fork), 0);
    memset(old, 'a', 64);
    old[64] = '\0';
    assert_int_equal(pl_writer_identity_alert(w, &v, old), 0);
}

static int fill(void **state)
{
    void *f = NULL;
    const pl_run run = {.version = "1", .source = "scan", .boot_id = BOOT_A, .time_ns = T0};

    (void)state;
    assert_int_equal(set_up(&f), 0);
    filled = f;
    pl_writer *w = open_writer(filled->path, PL_STORE_RECORDER, &by_hand);
    assert_int_equal(pl_writer_run_begin(w, &run), 0);
    for (int i = 0; i < EXECUTIONS; i++)
        put_execution(w, i);
    for (int i = 0; i < 3 * PATHS; i++)
        put_file(w, i);
    (void)pl_writer_free(w);
    return 0;
}

static int empty(void **state)
{
    void *f = filled;

    (void)state;
    return tear_down(&f);
}

/* Lines of EXPLAIN QUERY PLAN, joined by newlines. Heap. */
static char *plan_of(sqlite3 *db, const char *sql)
{
    char *explain = NULL, *text = NULL;
    size_t size = 0;
    sqlite3_stmt *s = NULL;
    FILE *out = open_memstream(&text, &size);

    assert_true(asprintf(&explain, "EXPLAIN QUERY PLAN %s", sql) > 0);
    if (sqlite3_prepare_v2(db, explain, -1, &s, NULL) != SQLITE_OK)
        fail_msg("%s: %s", sql, sqlite3_errmsg(db));
    while (sqlite3_step(s) == SQLITE_ROW)
        (void)fprintf(out, "%s\n", (const char *)sqlite3_column_text(s, 3));
    (void)sqlite3_finalize(s);
    (void)fclose(out);
    free(explain);
    return text;
}

/* "SCAN e" and no more is a walk over the whole table; "SCAN e USING INDEX" is one in an order that may end early.
 * Subqueries and the few rows of runs are walked by all. */
static const char *whole_table(const char *plan, const char *tables)
{
    static char found[64];
    const char *line = plan;

    for (const char *end; (end = strchr(line, '\n')) != NULL; line = end + 1) {
        if (strncmp(line, "SCAN ", 5) != 0 || end - line != 6 || !strchr(tables, line[5]))
            continue;
        (void)snprintf(found, sizeof(found), "%.*s", (int)(end - line), line);
        return found;
    }
    return NULL;
}

/* Aliases of the large tables in the views: _execution, _version, _path, _command, _image, _content, _binary, _fork,
 * _change. */
#define LARGE "evpkidbfgl"

#define OF_TIME "_execution_time"

static const struct {
    const char *sql;
    const char *uses[3]; /* of the plan, each must be there */
} questions[] = {
    {"SELECT * FROM process_events WHERE pid = 1004", {"_execution_pid"}},
    {"SELECT * FROM process_events WHERE eid = 77", {"SEARCH e USING INTEGER PRIMARY KEY"}},
    {"SELECT * FROM process_events WHERE parent_eid = 50", {"_execution_parent"}},
    {"SELECT * FROM process_events WHERE time BETWEEN 1700000100 AND 1700000200", {OF_TIME}},
    {"SELECT * FROM process_events WHERE time > 1700005990 ORDER BY time", {OF_TIME}},
    {"SELECT * FROM process_events ORDER BY time DESC LIMIT 20", {OF_TIME}},
    {"SELECT * FROM process_events WHERE uid = 1000 ORDER BY time DESC LIMIT 20", {OF_TIME}},
    {"SELECT * FROM process_events WHERE container IS NULL ORDER BY time DESC LIMIT 20", {OF_TIME}},
    {"SELECT * FROM process_events WHERE exit_code = 2 ORDER BY time DESC LIMIT 20", {OF_TIME}},
    {"SELECT * FROM process_events WHERE path = '/usr/bin/p7'",
     {"sqlite_autoindex__path_1", "sqlite_autoindex__image_1", "_execution_image"}},
    {"SELECT * FROM process_events WHERE sha256 = '0700000000000000000000000000000000000000000000000000000000000000'",
     {"sqlite_autoindex__content_1", "_image_content", "_execution_image"}},
    {"SELECT * FROM process_events WHERE path = '/usr/bin/p7' AND time > 1700000000", {"_execution_image"}},
    {"SELECT count(*) FROM process_events WHERE command_id IN (SELECT command_id FROM commands WHERE cmdline LIKE"
     " '%word77%')",
     {"_execution_command"}},
    {"SELECT * FROM processes", {"_execution_alive"}},
    {"SELECT * FROM processes WHERE pid = 1010", {"_execution_alive"}},
    {"SELECT * FROM process_forks WHERE pid = 1010", {"_fork_pid"}},
    {"SELECT * FROM process_forks WHERE image_eid = 10", {"_fork_image"}},
    {"SELECT * FROM process_forks WHERE time > 1700000890", {"_fork_time"}},
    {"SELECT * FROM hash WHERE path = '/usr/bin/p7'", {"sqlite_autoindex__path_1", "SEARCH v USING INDEX _version_"}},
    {"SELECT * FROM hash WHERE sha256 = '5902000000000000000000000000000000000000000000000000000000000000'",
     {"sqlite_autoindex__content_1", "_version_content"}},
    {"SELECT * FROM file_history WHERE path = '/usr/bin/p7'", {"sqlite_autoindex__path_1", "_version_path"}},
    {"SELECT * FROM file_history WHERE sha256 = '0700000000000000000000000000000000000000000000000000000000000000'",
     {"sqlite_autoindex__content_1", "_version_content"}},
    {"SELECT * FROM binaries WHERE path = '/usr/bin/p7'", {"sqlite_autoindex__path_1", "PRIMARY KEY"}},
    {"SELECT * FROM binaries WHERE sha256 = '0700000000000000000000000000000000000000000000000000000000000000'",
     {"sqlite_autoindex__content_1", "_binary_content"}},
    {"SELECT * FROM binaries ORDER BY execs LIMIT 20", {"_binary_execs"}},
    {"SELECT * FROM changes WHERE time > 1700000890", {"_change_time"}},
    {"SELECT * FROM changes WHERE path = '/usr/bin/p7'", {"sqlite_autoindex__path_1", "_change_path"}},
    {"SELECT * FROM commands WHERE command_id = 7", {"INTEGER PRIMARY KEY"}},
    {"SELECT * FROM gaps WHERE time > 1700000000", {"_gap_time"}},
};

/* Named queries that list or count everything there is of a small table, or end after the first row of a large one. */
static bool needs_no_index(const char *name)
{
    static const char *const names[] = {
        "stats", "files", "runs", "gaps", "gaps_overlap", "log_last_eid", "ps_recorded_until"};

    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        if (strcmp(name, names[i]) == 0)
            return true;
    }
    return strncmp(name, "st_", 3) == 0;
}

static void check_questions(const char *path)
{
    sqlite3 *db = NULL;

    assert_int_equal(sqlite3_open_v2(path, &db, SQLITE_OPEN_READONLY, NULL), SQLITE_OK);
    for (size_t i = 0; i < sizeof(questions) / sizeof(questions[0]); i++) {
        char *plan = plan_of(db, questions[i].sql);
        /* The text search reads each command line once: that is its point. */
        bool text_search = strstr(questions[i].sql, "LIKE") != NULL;
        const char *whole = whole_table(plan, text_search ? "evpidbfgl" : LARGE);
        if (whole)
            fail_msg("%s: %s\n%s", questions[i].sql, whole, plan);
        for (int k = 0; k < 3 && questions[i].uses[k]; k++) {
            if (!strstr(plan, questions[i].uses[k]))
                fail_msg("%s: does not use %s\n%s", questions[i].sql, questions[i].uses[k], plan);
        }
        /* In the order of the index: sorting all of them first is a walk, too. */
        if (strstr(questions[i].sql, "LIMIT") && strstr(plan, "TEMP B-TREE FOR ORDER BY"))
            fail_msg("%s: sorts\n%s", questions[i].sql, plan);
        free(plan);
    }
    for (enum pl_sql name = 0; name < PL_SQL_COUNT; name++) {
        if (needs_no_index(pl_schema_sql[name].name))
            continue;
        char *plan = plan_of(db, pl_schema_sql[name].text);
        const char *whole = whole_table(plan, LARGE);
        /* Nor one of its indexes from end to end: all of these have bounds. */
        if (whole || strstr(plan, "SCAN e ") || strstr(plan, "SCAN _execution") || strstr(plan, "SCAN _version"))
            fail_msg("%s: %s\n%s", pl_schema_sql[name].name, whole ? whole : "walks a whole table", plan);
        free(plan);
    }
    (void)sqlite3_close(db);
}

static void test_each_question_walks_an_index(void **state)
{
    (void)state;
    check_questions(filled->path);
}

static void test_each_question_still_does_after_analyze(void **state)
{
    char *copy = pl_temp_path(filled->dir, "analyzed.db"), *sql = NULL;

    (void)state;
    assert_true(asprintf(&sql, "VACUUM INTO '%s'", copy) > 0);
    force(filled->path, sql);
    force(copy, "ANALYZE");
    assert_true(ask_number(copy, "SELECT count(*) FROM sqlite_stat1") > 10);
    check_questions(copy);
    for (size_t i = 0; i < sizeof(questions) / sizeof(questions[0]); i++) {
        char *before = ask(filled->path, questions[i].sql), *after = ask(copy, questions[i].sql);
        /* Nobody promised an order where none was asked for, so: as many bytes. */
        assert_int_equal(strlen(before), strlen(after));
        /* A question that nothing answers proves nothing. */
        if (!strstr(questions[i].sql, "gaps"))
            assert_true(strlen(before) > 0);
        free(before);
        free(after);
    }
    free(copy);
    free(sql);
}

/* The judge must be able to say no: questions that have no index are found out. */
static void test_question_without_an_index_is_found_out(void **state)
{
    static const char *const bad[] = {
        "SELECT * FROM process_events WHERE cmdline LIKE '%x%'",
        "SELECT count(*) FROM process_events WHERE exit_code = 1",
        "SELECT * FROM file_history WHERE size = 5",
        "SELECT * FROM commands WHERE cmdline = 'x'",
    };
    sqlite3 *db = NULL;

    (void)state;
    assert_int_equal(sqlite3_open_v2(filled->path, &db, SQLITE_OPEN_READONLY, NULL), SQLITE_OK);
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        char *plan = plan_of(db, bad[i]);
        if (!whole_table(plan, LARGE))
            fail_msg("%s:\n%s", bad[i], plan);
        free(plan);
    }
    (void)sqlite3_close(db);
}

/* All eleven can be read whole, and each has rows here but gaps. */
static void test_every_view_can_be_read_whole(void **state)
{
    static const struct {
        const char *view;
        int64_t rows;
    } views[] = {
        {"process_events", EXECUTIONS},
        {"process_forks", 3 * PATHS},
        {"processes", EXECUTIONS / 10},
        {"hash", PATHS},
        {"binaries", PATHS},
        {"file_history", 3 * PATHS},
        {"changes", 3 * PATHS},
        {"commands", COMMANDS},
        {"gaps", 0},
        {"runs", 1},
        {"about", 8},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(views) / sizeof(views[0]); i++) {
        char sql[100];
        (void)snprintf(sql, sizeof(sql), "SELECT count(*) FROM (SELECT * FROM %s)", views[i].view);
        if (ask_number(filled->path, sql) != views[i].rows)
            fail_msg("%s: %lld rows", views[i].view, (long long)ask_number(filled->path, sql));
        (void)snprintf(sql, sizeof(sql), "SELECT * FROM %s", views[i].view);
        free(ask(filled->path, sql));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_each_question_walks_an_index),
        cmocka_unit_test(test_each_question_still_does_after_analyze),
        cmocka_unit_test(test_question_without_an_index_is_found_out),
        cmocka_unit_test(test_every_view_can_be_read_whole),
    };

    return cmocka_run_group_tests_name("store_views", tests, fill, empty);
}

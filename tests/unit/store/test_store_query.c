/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Reads: every named query prepares, takes each of its parameters and runs; a row as JSON has the types of its cells;
 * pages meet without a gap or an overlap; a damaged file is called damaged and never shown as an empty one.
 */
#include "tests/unit/store/store_support.h"

#include <errno.h>

#include "ledger/store/database.h"
#include "ledger/store/query.h"
#include "src/base/error.h"
#include "tests/support/fault.h"

static const pl_writer_options by_hand = {.batch_ns = 3600 * SECOND, .batch_count = 1000000};

typedef struct room {
    fixture *f;
    pl_store *store;
} room;

#define LONG_AGO INT64_C(0)
#define FAR_AWAY INT64_C(4000000000)

/* Executions: three in each second, so that pages end in the middle of one; every third of /usr/bin/b; each the child of
 * the one before; odd eids ended after 10 s. */
static void fill(const char *path, int executions)
{
    pl_writer *w = open_writer(path, PL_STORE_RECORDER, &by_hand);
    const pl_run run = {
        .version = "1", .source = "scan", .boot_id = BOOT_A, .hostname = "host", .machine_id = "m", .time_ns = T0};
    const pl_digest_set digests[] = {digests_of(1), digests_of(2)};

    assert_int_equal(pl_writer_run_begin(w, &run), 0);
    for (int i = 0; i < executions; i++) {
        pl_execution e = execution_of(pl_writer_next_eid(w));
        bool b = i % 3 == 2;
        e.time_ns = T0 + i / 3 * SECOND + i % 3;
        e.path = b ? "/usr/bin/b\xff" : "/usr/bin/a";
        e.argv = b ? "b\0two words\0" : "a\0";
        e.argv_length = b ? 12 : 2;
        e.parent_eid = i;
        e.hash_state = PL_HASH_OK;
        e.digests = &digests[b];
        assert_int_equal(pl_writer_execution(w, &e), 0);
        pl_execution_end end = end_of(e.eid, 0);
        end.time_ns = e.time_ns + 10 * SECOND;
        end.duration_ns = 10 * SECOND;
        if (e.eid % 2)
            assert_int_equal(pl_writer_end(w, &end), 0);
    }
    pl_sighting v = sighting_of("/usr/bin/a", 5, 1, T0), alias = sighting_of("/bin/a", 5, 1, T0 + SECOND);
    pl_sighting next = sighting_of("/usr/bin/a", 6, 2, T0 + 5 * SECOND);
    assert_int_equal(pl_writer_sighting(w, &v), 0);
    assert_int_equal(pl_writer_sighting(w, &alias), 0);
    assert_int_equal(pl_writer_sighting(w, &next), 0);
    assert_int_equal(pl_writer_gap(w, T0 + 100 * SECOND, T0 + 200 * SECOND, 7, "netlink", "overrun"), 0);
    (void)pl_writer_free(w);
}

static int open_room(void **state)
{
    room *r = calloc(1, sizeof(*r));
    void *f = NULL;

    assert_int_equal(set_up(&f), 0);
    r->f = f;
    fill(r->f->path, 20);
    r->store = open_store(r->f->path, PL_STORE_READ);
    *state = r;
    return 0;
}

static int close_room(void **state)
{
    room *r = *state;
    void *f = r->f;

    (void)pl_store_close(r->store);
    free(r);
    return tear_down(&f);
}

static pl_query *query_of(room *r, enum pl_sql name)
{
    pl_query *query = NULL;

    assert_int_equal(pl_query_new(r->store, name, &query), 0);
    return query;
}

static void set(pl_query *query, const char *name, int64_t value)
{
    assert_int_equal(pl_query_bind_integer(query, name, value), 0);
}

/* The widest window, as the programs bind it when nobody asked for less. */
static void set_window(pl_query *query)
{
    static const struct {
        const char *name;
        int64_t value;
    } all[] = {{":since", LONG_AGO},    {":since_ns", 0}, {":until", FAR_AWAY}, {":until_ns", 0},
               {":max_eid", INT64_MAX}, {":reverse", 0},  {":limit", -1}};

    for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
        if (pl_query_has_parameter(query, all[i].name))
            set(query, all[i].name, all[i].value);
    }
}

/* First column of all rows, joined by commas. Frees the query. */
static char *column(pl_query *query, int index)
{
    char *text = NULL;
    size_t size = 0;
    int rc;
    FILE *out = open_memstream(&text, &size);

    for (int row = 0; (rc = pl_query_step(query)) > 0; row++) {
        const char *cell = pl_query_text(query, index, NULL);
        (void)fprintf(out, "%s%s", row ? "," : "", cell ? cell : "NULL");
    }
    assert_int_equal(rc, 0);
    assert_int_equal(fclose(out), 0);
    (void)pl_query_free(query);
    return text;
}

static void assert_rows(pl_query *query, const char *expected)
{
    char *rows = column(query, 0);

    assert_string_equal(rows, expected);
    free(rows);
}

static bool is_of_the_store(enum pl_sql name)
{
    return strncmp(pl_schema_sql[name].name, "st_", 3) == 0;
}

static void test_every_query_takes_each_of_its_parameters(void **state)
{
    room *r = *state;
    sqlite3 *db = NULL;
    unsigned queries = 0, parameters = 0;

    assert_int_equal(sqlite3_open_v2(r->f->path, &db, SQLITE_OPEN_READONLY, NULL), SQLITE_OK);
    for (enum pl_sql name = 0; name < PL_SQL_COUNT; name++) {
        sqlite3_stmt *s = NULL;
        if (is_of_the_store(name))
            continue;
        pl_query *query = query_of(r, name);
        assert_int_equal(sqlite3_prepare_v2(db, pl_schema_sql[name].text, -1, &s, NULL), SQLITE_OK);
        assert_true(sqlite3_stmt_readonly(s));
        for (int i = 1; i <= sqlite3_bind_parameter_count(s); i++) {
            const char *parameter = sqlite3_bind_parameter_name(s, i);
            /* By name alone: a number would break with the next edit. */
            assert_non_null(parameter);
            assert_int_equal(parameter[0], ':');
            assert_true(pl_query_has_parameter(query, parameter));
            assert_int_equal(pl_query_bind_text(query, parameter, "x"), 0);
            assert_int_equal(pl_query_bind_text(query, parameter, NULL), 0);
            assert_int_equal(pl_query_bind_blob(query, parameter, "y", 1), 0);
            assert_int_equal(pl_query_bind_blob(query, parameter, NULL, 0), 0);
            assert_int_equal(pl_query_bind_integer(query, parameter, 1), 0);
            parameters++;
        }
        (void)sqlite3_finalize(s);
        assert_false(pl_query_has_parameter(query, ":nonsense"));
        assert_int_equal(pl_query_bind_integer(query, ":nonsense", 1), PL_ERR_INVALID);
        assert_int_equal(pl_query_bind_text(query, ":nonsense", "x"), PL_ERR_INVALID);
        assert_int_equal(pl_query_bind_blob(query, ":nonsense", "x", 1), PL_ERR_INVALID);
        assert_non_null(strstr(pl_error_message(), ":nonsense"));
        int rc;
        while ((rc = pl_query_step(query)) > 0)
            ;
        assert_int_equal(rc, 0);
        (void)pl_query_free(query);
        queries++;
    }
    (void)sqlite3_close(db);
    assert_true(queries >= 20);
    assert_true(parameters >= 80);
    assert_null(pl_query_free(NULL));
}

/* Those that change the file are the store's alone, and a reader cannot run them. */
static void test_reader_cannot_write(void **state)
{
    room *r = *state;
    pl_query *query = query_of(r, PL_SQL_ST_META_SET);

    assert_int_equal(pl_query_step(query), PL_ERR_READ_ONLY);
    (void)pl_query_free(query);
    assert_answer(r->f->path, "SELECT count(*) FROM about WHERE key IS NULL", "0");
}

static void test_cells_have_their_types(void **state)
{
    room *r = *state;
    pl_query *query = query_of(r, PL_SQL_SHOW_ANY);
    size_t length = 99;
    unsigned seen = 0;

    set_window(query);
    set(query, ":eid", 3);
    assert_int_equal(pl_query_step(query), 1);
    for (int i = 0; i < pl_query_columns(query); i++) {
        const char *name = pl_query_column_name(query, i);
        if (strcmp(name, "eid") == 0) {
            assert_int_equal(pl_query_type(query, i), PL_CELL_INTEGER);
            assert_int_equal(pl_query_integer(query, i), 3);
            assert_true(pl_query_real(query, i) > 2.9 && pl_query_real(query, i) < 3.1);
            seen |= 1;
        } else if (strcmp(name, "path") == 0) {
            assert_int_equal(pl_query_type(query, i), PL_CELL_TEXT);
            assert_string_equal(pl_query_text(query, i, &length), "/usr/bin/b\\xff");
            assert_int_equal(length, 14);
            seen |= 2;
        } else if (strcmp(name, "path_bytes") == 0) {
            assert_int_equal(pl_query_type(query, i), PL_CELL_BLOB);
            assert_memory_equal(pl_query_blob(query, i, &length), "/usr/bin/b\xff", 11);
            assert_int_equal(length, 11);
            seen |= 4;
        } else if (strcmp(name, "tty") == 0) {
            assert_int_equal(pl_query_type(query, i), PL_CELL_NULL);
            assert_null(pl_query_text(query, i, &length));
            assert_int_equal(length, 0);
            assert_null(pl_query_blob(query, i, &length));
            assert_int_equal(length, 0);
            seen |= 8;
        }
    }
    assert_int_equal(seen, 15);
    assert_int_equal(pl_query_step(query), 0);
    (void)pl_query_free(query);
}

/* Judged by SQLite's own JSON functions, from outside. */
static void test_row_as_json_has_the_types_of_its_cells(void **state)
{
    room *r = *state;
    pl_query *query = query_of(r, PL_SQL_SHOW_ANY);
    char *sql = NULL;

    set_window(query);
    set(query, ":eid", 3);
    assert_int_equal(pl_query_step(query), 1);
    const char *json = pl_query_row_json(query);
    assert_non_null(json);
    assert_non_null(strstr(json, "\"path_bytes\":\"2F7573722F62696E2F62FF\""));
    assert_true(asprintf(&sql,
                         "SELECT json_valid(j), json_type(j, '$.eid'), json_type(j, '$.path'), json_type(j, '$.tty'),"
                         " json_type(j, '$.argv'), json_extract(j, '$.argv[1]'), json_extract(j, '$.path'),"
                         " (SELECT count(*) FROM json_each(j)) FROM (SELECT '%s' AS j)",
                         json) > 0);
    char *expected = NULL;
    assert_true(asprintf(&expected, "1|integer|text|null|array|two words|/usr/bin/b\\xff|%d", pl_query_columns(query)) >
                0);
    assert_answer(r->f->path, sql, expected);
    /* The same row twice is the same text. */
    char *first = strdup(json);
    assert_string_equal(pl_query_row_json(query), first);
    free(first);
    free(sql);
    free(expected);
    (void)pl_query_free(query);
}

static void test_text_that_json_must_escape(void **state)
{
    room *r = *state;
    pl_query *query = query_of(r, PL_SQL_STATS);

    assert_int_equal(pl_query_bind_text(query, ":database_bytes", "a\"b\\c\n\x01"), 0);
    assert_int_equal(pl_query_bind_blob(query, ":wal_bytes", "\x00\xab", 2), 0);
    assert_int_equal(pl_query_step(query), 1);
    const char *json = pl_query_row_json(query);
    assert_non_null(strstr(json, "\"database_bytes\":\"a\\\"b\\\\c\\n\\u0001\","));
    assert_non_null(strstr(json, "\"wal_bytes\":\"00AB\""));
    (void)pl_query_free(query);
    query = query_of(r, PL_SQL_STATS);
    assert_int_equal(pl_query_bind_blob(query, ":wal_bytes", NULL, 0), 0);
    assert_int_equal(pl_query_step(query), 1);
    assert_non_null(strstr(pl_query_row_json(query), "\"wal_bytes\":\"\""));
    /* Empty is not NULL. */
    int column_of_wal = 0;
    while (strcmp(pl_query_column_name(query, column_of_wal), "wal_bytes") != 0)
        column_of_wal++;
    size_t length = 9;
    assert_int_equal(pl_query_type(query, column_of_wal), PL_CELL_BLOB);
    assert_non_null(pl_query_blob(query, column_of_wal, &length));
    assert_int_equal(length, 0);
    (void)pl_query_free(query);
}

/* None of our columns holds one, but a file may have been in other hands. */
static void test_real_number_stays_one(void **state)
{
    room *r = *state;

    force(r->f->path, "UPDATE _run SET executions = 1.5, watches = -2.5e10");
    pl_query *query = query_of(r, PL_SQL_RUNS);
    set_window(query);
    assert_int_equal(pl_query_step(query), 1);
    int executions = 0;
    while (strcmp(pl_query_column_name(query, executions), "executions") != 0)
        executions++;
    assert_int_equal(pl_query_type(query, executions), PL_CELL_REAL);
    assert_true(pl_query_real(query, executions) > 1.4 && pl_query_real(query, executions) < 1.6);
    assert_non_null(strstr(pl_query_row_json(query), "\"executions\":1.5,"));
    (void)pl_query_free(query);
}

static void test_bound_values_are_copies_and_survive_a_reset(void **state)
{
    room *r = *state;
    pl_query *query = query_of(r, PL_SQL_TARGET_DIGEST);
    char prefix[] = "01";

    assert_int_equal(pl_query_bind_text(query, ":prefix", prefix), 0);
    prefix[1] = '9';
    for (int round = 0; round < 3; round++) {
        assert_int_equal(pl_query_step(query), 1);
        assert_memory_equal(pl_query_text(query, 0, NULL), "0100", 4);
        /* From the middle and from the end. */
        if (round == 1)
            assert_int_equal(pl_query_step(query), 0);
        pl_query_reset(query);
    }
    (void)pl_query_free(query);
}

static void test_two_queries_of_one_store_do_not_disturb_each_other(void **state)
{
    room *r = *state;
    pl_query *a = query_of(r, PL_SQL_LOG_FOLLOW), *b = query_of(r, PL_SQL_LOG_FOLLOW);

    set_window(a);
    set_window(b);
    set(a, ":after_eid", 0);
    set(b, ":after_eid", 10);
    for (int i = 1; i <= 5; i++) {
        assert_int_equal(pl_query_step(a), 1);
        assert_int_equal(pl_query_step(b), 1);
        assert_int_equal(pl_query_integer(a, 0), i);
        assert_int_equal(pl_query_integer(b, 0), 10 + i);
    }
    (void)pl_query_free(a);
    assert_rows(b, "16,17,18,19,20");
}

/* --- pages --- */

/* Walks in pages of `size`; the eids, joined. */
static char *walk(room *r, enum pl_sql name, bool backward, int64_t size, int64_t since, int64_t until)
{
    char *text = NULL;
    size_t length = 0;
    FILE *out = open_memstream(&text, &length);
    int64_t time = backward ? INT64_MAX : INT64_MIN, eid = backward ? INT64_MAX : 0;
    int rows = 0;

    do {
        pl_query *query = query_of(r, name);
        set_window(query);
        set(query, ":since", since);
        set(query, ":until", until);
        set(query, ":until_ns", 999999999);
        set(query, ":limit", size);
        set(query, ":after_eid", eid);
        if (pl_query_has_parameter(query, ":after_time"))
            set(query, ":after_time", time);
        for (rows = 0; pl_query_step(query) > 0; rows++) {
            eid = pl_query_integer(query, 0);
            time = pl_query_integer(query, 1);
            (void)fprintf(out, "%s%lld", ftell(out) > 0 ? "," : "", (long long)eid);
        }
        (void)pl_query_free(query);
    } while (rows > 0);
    assert_int_equal(fclose(out), 0);
    return text;
}

static void test_pages_meet_without_gap_or_overlap(void **state)
{
    static const char forward[] = "1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20";
    static const char backward[] = "20,19,18,17,16,15,14,13,12,11,10,9,8,7,6,5,4,3,2,1";
    room *r = *state;

    for (int64_t size = 1; size <= 21; size += 2) {
        char *f = walk(r, PL_SQL_LOG_FORWARD, false, size, LONG_AGO, FAR_AWAY);
        char *b = walk(r, PL_SQL_LOG_BACKWARD, true, size, LONG_AGO, FAR_AWAY);
        assert_string_equal(f, forward);
        assert_string_equal(b, backward);
        free(f);
        free(b);
        /* In a window that begins and ends within the list. */
        f = walk(r, PL_SQL_LOG_FORWARD, false, size, 1700000001, 1700000002);
        b = walk(r, PL_SQL_LOG_BACKWARD, true, size, 1700000001, 1700000002);
        assert_string_equal(f, "4,5,6,7,8,9");
        assert_string_equal(b, "9,8,7,6,5,4");
        free(f);
        free(b);
    }
}

static void test_window_is_exact_to_the_nanosecond(void **state)
{
    room *r = *state;
    static const struct {
        int64_t since_ns, until_ns;
        const char *eids;
    } windows[] = {{0, 2, "4,5,6,7,8,9"}, {1, 1, "5,6,7,8"}, {2, 0, "6,7"}, {3, 0, "7"}};

    for (int i = 0; i < 4; i++) {
        pl_query *query = query_of(r, PL_SQL_LOG_FORWARD);
        set_window(query);
        set(query, ":after_time", INT64_MIN);
        set(query, ":after_eid", 0);
        set(query, ":since", 1700000001);
        set(query, ":since_ns", windows[i].since_ns);
        set(query, ":until", 1700000002);
        set(query, ":until_ns", windows[i].until_ns);
        assert_rows(query, windows[i].eids);
    }
}

/* What comes in while somebody pages through stays out. */
static void test_pages_end_at_the_greatest_eid_of_their_beginning(void **state)
{
    room *r = *state;
    pl_query *query = query_of(r, PL_SQL_LOG_FORWARD);

    set_window(query);
    set(query, ":after_time", INT64_MIN);
    set(query, ":after_eid", 0);
    set(query, ":max_eid", 4);
    assert_rows(query, "1,2,3,4");
    assert_rows(query_of(r, PL_SQL_LOG_LAST_EID), "20");
}

static void test_start_is_the_key_before_the_last_rows(void **state)
{
    room *r = *state;
    pl_query *query = query_of(r, PL_SQL_LOG_START);

    set_window(query);
    set(query, ":limit", 5);
    assert_int_equal(pl_query_step(query), 1);
    assert_int_equal(pl_query_integer(query, 0), 1700000004);
    assert_int_equal(pl_query_integer(query, 1), 15);
    pl_query_reset(query);
    /* More than there are: no key, begin at the first. */
    set(query, ":limit", 20);
    assert_int_equal(pl_query_step(query), 0);
    (void)pl_query_free(query);
}

static void test_who_finds_image_and_content_in_pages(void **state)
{
    room *r = *state;
    static const char *const expected[2] = {"3,6,9,12,15,18", "18,15,12,9,6,3"};

    for (int backward = 0; backward < 2; backward++) {
        for (int by_digest = 0; by_digest < 2; by_digest++) {
            char *text = NULL;
            size_t length = 0;
            FILE *out = open_memstream(&text, &length);
            int64_t after = backward ? INT64_MAX : 0;
            const pl_digest_set second = digests_of(2);
            char hex[129];
            (void)pl_hex(&second.digests[0], hex);
            for (bool more = true; more;) {
                pl_query *query = query_of(r, backward ? PL_SQL_WHO_BACKWARD : PL_SQL_WHO_FORWARD);
                set_window(query);
                set(query, ":limit", 4);
                set(query, ":after_eid", after);
                if (by_digest) {
                    assert_int_equal(pl_query_bind_text(query, ":sha256", hex), 0);
                } else {
                    assert_int_equal(pl_query_bind_text(query, ":path", "/usr/bin/b\\xff"), 0);
                    assert_int_equal(pl_query_bind_blob(query, ":path_bytes", "/usr/bin/b\xff", 11), 0);
                }
                for (more = false; pl_query_step(query) > 0; more = true) {
                    after = pl_query_integer(query, 0);
                    (void)fprintf(out, "%s%lld", ftell(out) > 0 ? "," : "", (long long)after);
                }
                (void)pl_query_free(query);
            }
            assert_int_equal(fclose(out), 0);
            assert_string_equal(text, expected[backward]);
            free(text);
        }
    }
    /* The text alone is another path: one that was typed like that. */
    pl_query *query = query_of(r, PL_SQL_WHO_FORWARD);
    set_window(query);
    set(query, ":after_eid", 0);
    assert_int_equal(pl_query_bind_text(query, ":path", "/usr/bin/b\\xff"), 0);
    assert_int_equal(pl_query_bind_blob(query, ":path_bytes", NULL, 0), 0);
    assert_rows(query, "");
}

/* --- what the others answer --- */

static void test_alive_now_and_alive_then(void **state)
{
    room *r = *state;
    pl_query *query = query_of(r, PL_SQL_PS_NOW);

    set_window(query);
    assert_rows(query, "2,4,6,8,10,12,14,16,18,20");
    query = query_of(r, PL_SQL_PS_NOW);
    set_window(query);
    set(query, ":reverse", 1);
    set(query, ":limit", 3);
    assert_rows(query, "6,4,2");
    /* The moment of an exec counts, that of an end does not. */
    static const struct {
        int64_t at, at_ns;
        const char *eids;
    } moments[] = {
        {1699999999, 999999999, ""},
        {1700000000, 0, "1"},
        {1700000001, 0, "1,2,3,4"},
        {1700000009, 999999999, "1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20"},
        {1700000010, 0, "2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20"},
        {1700000012, 0, "2,4,6,8,9,10,11,12,13,14,15,16,17,18,19,20"},
        {1700009999, 0, "2,4,6,8,10,12,14,16,18,20"},
    };
    for (size_t i = 0; i < sizeof(moments) / sizeof(moments[0]); i++) {
        query = query_of(r, PL_SQL_PS_AT);
        set_window(query);
        set(query, ":at", moments[i].at);
        set(query, ":at_ns", moments[i].at_ns);
        assert_rows(query, moments[i].eids);
    }
    assert_rows(query_of(r, PL_SQL_PS_RECORDED_UNTIL), "NULL");
}

static void test_number_may_be_an_eid_or_a_pid(void **state)
{
    room *r = *state;
    pl_query *query = query_of(r, PL_SQL_SHOW_ANY);

    set_window(query);
    set(query, ":eid", 1005);
    set(query, ":pid", 1005);
    assert_rows(query, "5");
    /* The eid first, then whoever had that pid. */
    force(r->f->path, "UPDATE _execution SET pid = 7 WHERE id IN (3, 9)");
    query = query_of(r, PL_SQL_SHOW_ANY);
    set_window(query);
    set(query, ":eid", 7);
    set(query, ":pid", 7);
    assert_rows(query, "7,9,3");
    query = query_of(r, PL_SQL_TREE_ROOT);
    set(query, ":eid", 7);
    set(query, ":pid", 7);
    assert_rows(query, "9");
}

static void test_tree_has_ancestors_and_descendants(void **state)
{
    room *r = *state;
    pl_query *query = query_of(r, PL_SQL_TREE);

    set(query, ":eid", 3);
    set(query, ":limit", 3);
    char *depths = column(query, 0);
    assert_string_equal(depths, "-2,-1,0,1,2");
    free(depths);
    query = query_of(r, PL_SQL_TREE);
    set(query, ":eid", 20);
    set(query, ":limit", 3);
    char *eids = column(query, 1);
    assert_string_equal(eids, "1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20");
    free(eids);
}

/* A damaged link makes a tree no endless one. */
static void test_tree_with_a_circle_ends(void **state)
{
    room *r = *state;
    pl_query *query;
    int rows = 0, rc;

    force(r->f->path, "UPDATE _execution SET parent_id = 20 WHERE id = 1");
    query = query_of(r, PL_SQL_TREE);
    set(query, ":eid", 3);
    set(query, ":limit", 1000);
    while ((rc = pl_query_step(query)) > 0)
        rows++;
    assert_int_equal(rc, 0);
    assert_true(rows > 20 && rows < 1000);
    (void)pl_query_free(query);
}

static void test_history_by_path_by_its_other_name_and_by_content(void **state)
{
    room *r = *state;
    const pl_digest_set first = digests_of(1);
    char hex[129];
    static const char *const keys[][2] = {{":path", ":path_bytes"}, {":real", ":real_bytes"}};

    (void)pl_hex(&first.digests[0], hex);
    for (int i = 0; i < 2; i++) {
        pl_query *query = query_of(r, PL_SQL_HISTORY);
        set_window(query);
        assert_int_equal(pl_query_bind_text(query, keys[i][0], "/usr/bin/a"), 0);
        assert_int_equal(pl_query_bind_blob(query, keys[i][1], NULL, 0), 0);
        char *sizes = column(query, 4);
        assert_string_equal(sizes, "101,102");
        free(sizes);
    }
    pl_query *query = query_of(r, PL_SQL_HISTORY);
    set_window(query);
    assert_int_equal(pl_query_bind_text(query, ":sha256", hex), 0);
    assert_rows(query, "/usr/bin/a,/bin/a");
    query = query_of(r, PL_SQL_FILES);
    set_window(query);
    assert_rows(query, "/bin/a,/usr/bin/a");
}

static void test_gaps_overlap_a_window_or_do_not(void **state)
{
    room *r = *state;
    static const struct {
        int64_t since, until, count;
    } windows[] = {{0, 99, 0}, {0, 100, 1}, {150, 160, 1}, {200, 300, 1}, {201, 300, 0}};

    for (int i = 0; i < 5; i++) {
        pl_query *query = query_of(r, PL_SQL_GAPS_OVERLAP);
        set(query, ":since", 1700000000 + windows[i].since);
        set(query, ":until", 1700000000 + windows[i].until);
        assert_int_equal(pl_query_step(query), 1);
        assert_int_equal(pl_query_integer(query, 0), windows[i].count);
        (void)pl_query_free(query);
    }
    pl_query *query = query_of(r, PL_SQL_GAPS);
    set_window(query);
    assert_rows(query, "1700000100");
    query = query_of(r, PL_SQL_RUNS);
    set_window(query);
    assert_rows(query, "1700000000");
}

static void test_digest_prefix_matches_whole_digits_only(void **state)
{
    room *r = *state;
    static const struct {
        const char *prefix;
        int rows;
    } prefixes[] = {{"01", 1}, {"0", 2}, {"", 2}, {"02000", 1}, {"03", 0}, {"0g", 0}};

    for (int i = 0; i < 6; i++) {
        pl_query *query = query_of(r, PL_SQL_TARGET_DIGEST);
        int rows = 0;
        assert_int_equal(pl_query_bind_text(query, ":prefix", prefixes[i].prefix), 0);
        while (pl_query_step(query) > 0)
            rows++;
        assert_int_equal(rows, prefixes[i].rows);
        (void)pl_query_free(query);
    }
}

static void test_stats_is_one_row_also_without_a_run(void **state)
{
    room *r = *state;
    char *empty = pl_temp_path(r->f->dir, "empty.db");
    pl_store *store = NULL;

    pl_query *query = query_of(r, PL_SQL_STATS);
    assert_int_equal(pl_query_step(query), 1);
    assert_int_equal(pl_query_type(query, 0), PL_CELL_INTEGER);
    assert_int_equal(pl_query_step(query), 0);
    (void)pl_query_free(query);
    (void)pl_store_close(open_store(empty, PL_STORE_WRITE));
    store = open_store(empty, PL_STORE_READ);
    assert_int_equal(pl_query_new(store, PL_SQL_STATS, &query), 0);
    assert_int_equal(pl_query_step(query), 1);
    assert_int_equal(pl_query_type(query, 0), PL_CELL_NULL);
    assert_int_equal(pl_query_step(query), 0);
    (void)pl_query_free(query);
    (void)pl_store_close(store);
    free(empty);
}

/* --- failures --- */

static void test_size_and_check_of_a_sound_file(void **state)
{
    room *r = *state;
    uint64_t database = 0, wal = 1;
    struct stat status;

    assert_int_equal(pl_store_check(r->store), 0);
    assert_int_equal(pl_store_size(r->store, &database, &wal), 0);
    assert_return_code(stat(r->f->path, &status), 0);
    assert_int_equal(database, status.st_size);
    assert_int_equal(wal, 0);
}

/* Noise over all pages but the first one, behind the store's back. */
static void spoil(const char *path)
{
    struct stat status;
    char noise[4096];
    int fd = open(path, O_WRONLY | O_CLOEXEC);

    assert_return_code(fd, 0);
    assert_return_code(fstat(fd, &status), 0);
    for (size_t i = 0; i < sizeof(noise); i++)
        noise[i] = (char)(i * 31 + 7);
    for (off_t at = 4096; at < status.st_size; at += 4096)
        assert_int_equal(pwrite(fd, noise, sizeof(noise), at), (ssize_t)sizeof(noise));
    (void)close(fd);
}

static void test_damaged_file_is_said_to_be_damaged(void **state)
{
    static const pl_store_mode modes[] = {PL_STORE_READ, PL_STORE_WRITE, PL_STORE_RECORDER};
    room *r = *state;

    (void)pl_store_close(r->store);
    r->store = NULL;
    spoil(r->f->path);
    for (size_t i = 0; i < 3; i++) {
        const pl_store_options options = {.mode = modes[i]};
        pl_store *store = NULL;
        assert_int_equal(pl_store_open(r->f->path, &options, &store), PL_ERR_DAMAGED);
        assert_null(store);
    }
}

/* Damage that a look at the ends does not see: the query that meets it says so, and no row is made up. */
static void test_damage_in_the_middle_is_met_by_the_query(void **state)
{
    room *r = *state;
    char sql[200];

    (void)pl_store_close(r->store);
    r->store = NULL;
    int64_t root = ask_number(r->f->path, "SELECT rootpage FROM sqlite_master WHERE name = '_execution_parent'");
    int fd = open(r->f->path, O_WRONLY | O_CLOEXEC);
    assert_return_code(fd, 0);
    assert_int_equal(pwrite(fd, "\x07garbage", 8, (root - 1) * 4096), 8);
    (void)close(fd);
    r->store = open_store(r->f->path, PL_STORE_READ);
    pl_query *query = query_of(r, PL_SQL_TREE);
    set(query, ":eid", 3);
    set(query, ":limit", 100);
    int rc;
    while ((rc = pl_query_step(query)) > 0)
        ;
    assert_int_equal(rc, PL_ERR_DAMAGED);
    (void)snprintf(sql, sizeof(sql), "%s", pl_error_message());
    assert_non_null(strstr(sql, r->f->path));
    (void)pl_query_free(query);
    assert_int_equal(pl_store_check(r->store), PL_ERR_DAMAGED);
}

static void test_schema_that_somebody_took_apart_is_damage(void **state)
{
    room *r = *state;
    pl_query *query = query_of(r, PL_SQL_GAPS), *none = NULL;

    force(r->f->path, "DROP VIEW gaps");
    /* A query that was prepared before, and one that was not. */
    set_window(query);
    assert_int_equal(pl_query_step(query), PL_ERR_DAMAGED);
    (void)pl_query_free(query);
    assert_int_equal(pl_query_new(r->store, PL_SQL_GAPS, &none), PL_ERR_DAMAGED);
    assert_non_null(strstr(pl_error_message(), "gaps"));
    assert_null(none);
}

static void test_writer_that_holds_the_file_does_not_hold_up_a_reader(void **state)
{
    room *r = *state;
    pl_store *writer = open_store(r->f->path, PL_STORE_WRITE);

    assert_int_equal(pl_database_begin(writer), 0);
    assert_int_equal(pl_database_exec(writer, "DELETE FROM _execution"), 0);
    assert_rows(query_of(r, PL_SQL_LOG_LAST_EID), "20");
    assert_int_equal(pl_database_commit(writer), 0);
    assert_rows(query_of(r, PL_SQL_LOG_LAST_EID), "");
    (void)pl_store_close(writer);
}

static void test_query_without_memory_says_so(void **state)
{
    room *r = *state;
    pl_query *query = NULL;

    (void)pl_fault_arm(PL_FAULT_ALLOC, 1, ENOMEM);
    int rc = pl_query_new(r->store, PL_SQL_RUNS, &query);
    pl_fault_disarm();
    assert_int_equal(rc, PL_ERR_NOMEM);
    assert_null(query);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_every_query_takes_each_of_its_parameters, open_room, close_room),
        cmocka_unit_test_setup_teardown(test_reader_cannot_write, open_room, close_room),
        cmocka_unit_test_setup_teardown(test_cells_have_their_types, open_room, close_room),
        cmocka_unit_test_setup_teardown(test_row_as_json_has_the_types_of_its_cells, open_room, close_room),
        cmocka_unit_test_setup_teardown(test_text_that_json_must_escape, open_room, close_room),
        cmocka_unit_test_setup_teardown(test_real_number_stays_one, open_room, close_room),
        cmocka_unit_test_setup_teardown(test_bound_values_are_copies_and_survive_a_reset, open_room, close_room),
        cmocka_unit_test_setup_teardown(test_two_queries_of_one_store_do_not_disturb_each_other, open_room, close_room),
        cmocka_unit_test_setup_teardown(test_pages_meet_without_gap_or_overlap, open_room, close_room),
        cmocka_unit_test_setup_teardown(test_window_is_exact_to_the_nanosecond, open_room, close_room),
        cmocka_unit_test_setup_teardown(test_pages_end_at_the_greatest_eid_of_their_beginning, open_room, close_room),
        cmocka_unit_test_setup_teardown(test_start_is_the_key_before_the_last_rows, open_room, close_room),
        cmocka_unit_test_setup_teardown(test_who_finds_image_and_content_in_pages, open_room, close_room),
        cmocka_unit_test_setup_teardown(test_alive_now_and_alive_then, open_room, close_room),
        cmocka_unit_test_setup_teardown(test_number_may_be_an_eid_or_a_pid, open_room, close_room),
        cmocka_unit_test_setup_teardown(test_tree_has_ancestors_and_descendants, open_room, close_room),
        cmocka_unit_test_setup_teardown(test_tree_with_a_circle_ends, open_room, close_room),
        cmocka_unit_test_setup_teardown(test_history_by_path_by_its_other_name_and_by_content, open_room, close_room),
        cmocka_unit_test_setup_teardown(test_gaps_overlap_a_window_or_do_not, open_room, close_room),
        cmocka_unit_test_setup_teardown(test_digest_prefix_matches_whole_digits_only, open_room, close_room),
        cmocka_unit_test_setup_teardown(test_stats_is_one_row_also_without_a_run, open_room, close_room),
        cmocka_unit_test_setup_teardown(test_size_and_check_of_a_sound_file, open_room, close_room),
        cmocka_unit_test_setup_teardown(test_damaged_file_is_said_to_be_damaged, open_room, close_room),
        cmocka_unit_test_setup_teardown(test_damage_in_the_middle_is_met_by_the_query, open_room, close_room),
        cmocka_unit_test_setup_teardown(test_schema_that_somebody_took_apart_is_damage, open_room, close_room),
        cmocka_unit_test_setup_teardown(test_writer_that_holds_the_file_does_not_hold_up_a_reader, open_room,
                                        close_room),
        cmocka_unit_test_setup_teardown(test_query_without_memory_says_so, open_room, close_room),
    };

    return cmocka_run_group_tests_name("store_query", tests, NULL, NULL);
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A batch of executions through the virtual table: every column, NULLs, what the table refuses, and no memory. */
#include "ledger/store/rows.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/support/fault.h"
#include "tests/support/sqlite_shell.h"
#include "tests/support/temp_dir.h"

typedef struct room {
    char *dir, *db;
    pl_store *store;
    pl_rows *rows;
} room;

static int open_room(void **state)
{
    room *r = test_calloc(1, sizeof(*r));
    pl_store_options options = {.mode = PL_STORE_RECORDER};

    r->dir = pl_temp_dir_new();
    r->db = pl_temp_path(r->dir, "ledger.db");
    assert_int_equal(pl_store_open(r->db, &options, &r->store), 0);
    assert_int_equal(pl_rows_new(r->store, &r->rows), 0);
    *state = r;
    return 0;
}

static int close_room(void **state)
{
    room *r = *state;

    assert_null(pl_rows_free(r->rows));
    (void)pl_store_close(r->store);
    free(r->db);
    (void)pl_temp_dir_free(r->dir);
    test_free(r);
    return 0;
}

static pl_row row_of(int64_t eid)
{
    pl_row row = {0};

    for (int column = 0; column < PL_ROW_NUMBERS; column++)
        pl_row_set(&row, (enum pl_row_column)column, 1000 + column);
    pl_row_set(&row, PL_ROW_ID, eid);
    return row;
}

static uint64_t insert(room *r)
{
    uint64_t rejected = 0;

    assert_int_equal(pl_database_begin(r->store), 0);
    assert_int_equal(pl_rows_insert(r->rows, &rejected), 0);
    assert_int_equal(pl_database_commit(r->store), 0);
    return rejected;
}

static void assert_sql(const room *r, const char *sql, const char *expected)
{
    char *got = pl_shell_query(r->db, sql);

    assert_string_equal(got, expected);
    free(got);
}

static void test_each_value_lands_in_its_column(void **state)
{
    room *r = *state;
    pl_row full = row_of(7), bare = {0};

    full.name = strdup("name");
    full.end_reason = "exit";
    assert_int_equal(pl_rows_add(r->rows, &full), 0);
    static const enum pl_row_column needed[] = {PL_ROW_ID,  PL_ROW_TIME,  PL_ROW_TIME_NS,
                                                PL_ROW_PID, PL_ROW_IMAGE, PL_ROW_COMMAND};
    for (size_t i = 0; i < sizeof(needed) / sizeof(*needed); i++)
        pl_row_set(&bare, needed[i], -8);
    assert_int_equal(pl_rows_add(r->rows, &bare), 0);
    assert_int_equal(insert(r), 0);
    assert_sql(
        r,
        "SELECT id, time, time_ns, pid, ppid, start_ticks, parent_id, prev_id, image_id, filename_id, command_id, "
        "cwd_id, cred_id, context_id, exit_code, exit_signal, duration_ns, end_time, name, end_reason "
        "FROM _execution ORDER BY id DESC",
        "7|1001|1002|1003|1004|1005|1006|1007|1008|1009|1010|1011|1012|1013|1014|1015|1016|1017|name|exit\n"
        "-8|-8|-8|-8|~|~|~|~|-8|~|-8|~|~|~|~|~|~|~|~|~\n");
}

static void test_many_batches_follow_each_other(void **state)
{
    room *r = *state;

    assert_int_equal(insert(r), 0); /* of nothing */
    for (int64_t eid = 1; eid <= 20000; eid++) {
        pl_row row = row_of(eid);
        assert_int_equal(pl_rows_add(r->rows, &row), 0);
        if (eid % 5000 == 0)
            assert_int_equal(insert(r), 0);
    }
    assert_sql(r, "SELECT count(*), max(id), count(DISTINCT id) FROM _execution", "20000|20000|20000\n");
    assert_sql(r, "SELECT seq FROM sqlite_sequence WHERE name = '_execution'", "20000\n"); /* ids are never reused */
}

/* One row that breaks a rule of the table takes no other with it. */
static void test_what_the_table_refuses_is_counted(void **state)
{
    room *r = *state;
    pl_row row = row_of(1), no_time = row_of(3);

    no_time.known &= ~(1u << PL_ROW_TIME);
    assert_int_equal(pl_rows_add(r->rows, &row), 0);
    assert_int_equal(pl_rows_add(r->rows, &row), 0);
    assert_int_equal(pl_rows_add(r->rows, &no_time), 0);
    row = row_of(2);
    assert_int_equal(pl_rows_add(r->rows, &row), 0);
    assert_int_equal(insert(r), 2);
    assert_sql(r, "SELECT group_concat(id) FROM _execution", "1,2\n");
}

static void test_cleared_rows_are_not_inserted(void **state)
{
    room *r = *state;
    pl_row row = row_of(1);

    row.name = strdup("freed with it");
    assert_int_equal(pl_rows_add(r->rows, &row), 0);
    pl_rows_clear(r->rows);
    assert_int_equal(insert(r), 0);
    assert_sql(r, "SELECT count(*) FROM _execution", "0\n");
}

static void test_no_memory(void **state)
{
    room *r = *state;
    pl_row row = row_of(1);
    pl_rows *rows = NULL;

    pl_fault_arm(PL_FAULT_ALLOC, 1, ENOMEM);
    assert_int_equal(pl_rows_new(r->store, &rows), PL_ERR_NOMEM);
    pl_fault_arm(PL_FAULT_ALLOC, 1, ENOMEM);
    assert_int_equal(pl_rows_add(r->rows, &row), PL_ERR_NOMEM);
    pl_fault_disarm();
    assert_null(rows);
    assert_int_equal(pl_rows_add(r->rows, &row), 0);
    uint64_t rejected = 0;
    for (unsigned n = 1; n <= 2; n++) { /* the table, then its cursor */
        pl_fault_arm(PL_FAULT_ALLOC, n, ENOMEM);
        int rc = pl_rows_insert(r->rows, &rejected);
        bool fired = pl_fault_fired();
        pl_fault_disarm();
        assert_true(fired);
        assert_int_equal(rc, PL_ERR_NOMEM);
    }
    assert_int_equal(insert(r), 0); /* nothing was lost */
    assert_sql(r, "SELECT count(*) FROM _execution", "1\n");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_each_value_lands_in_its_column, open_room, close_room),
        cmocka_unit_test_setup_teardown(test_many_batches_follow_each_other, open_room, close_room),
        cmocka_unit_test_setup_teardown(test_what_the_table_refuses_is_counted, open_room, close_room),
        cmocka_unit_test_setup_teardown(test_cleared_rows_are_not_inserted, open_room, close_room),
        cmocka_unit_test_setup_teardown(test_no_memory, open_room, close_room),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

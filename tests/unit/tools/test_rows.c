/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Lists: which rows a window, a limit and a reversal leave, in which order, over the borders of pages and of seconds;
 * and what the exit status says of them.
 */
#include "tests/unit/tools/cli_support.h"

#define T(s) (1700000000 + (s))

static int prepare(void **state)
{
    set_environment();
    return set_up(state);
}

/* The numbers of a column in the order of the rows, joined by commas. Heap. */
static char *column_of(const char *csv, const char *name)
{
    char *text = calloc(1, strlen(csv) + 1), *at = text;
    char field[32];
    int place = 0, i = 0;

    (void)snprintf(field, sizeof(field), "%s,", name);
    for (const char *p = csv; strncmp(p, field, strlen(field)) != 0; p++) {
        assert_true(*p && *p != '\r');
        place += *p == ',';
    }
    for (const char *line = strchr(csv, '\n') + 1; *line; line = strchr(line, '\n') + 1) {
        const char *p = line;
        for (i = 0; i < place; i++)
            p = strchr(p, ',') + 1;
        size_t n = strspn(p, "0123456789-");
        if (at != text)
            *at++ = ',';
        memcpy(at, p, n);
        at += n;
    }
    return text;
}

static void eids_are(ran r, const char *expected)
{
    char *eids = column_of(r.out, "eid");

    if (strcmp(eids, expected) != 0)
        fail_msg("eids %s, expected %s (%s)", eids, expected, r.err);
    assert_int_equal(r.status, *expected ? PL_EXIT_FINE : PL_EXIT_NO_MATCH);
    free(eids);
    done(&r);
}

/* Five executions, two of them in one second, of two files. */
static const life five[] = {
    {.eid = 1, .pid = 50, .path = "/bin/a", .start_s = 10, .end_s = 20},
    {.eid = 2, .pid = 40, .path = "/bin/b", .start_s = 20, .end_s = 40},
    {.eid = 3, .pid = 60, .path = "/bin/a", .start_s = 30},
    {.eid = 4, .pid = 50, .path = "/bin/a", .start_s = 30, .end_s = 60},
    {.eid = 5, .pid = 70, .path = "/bin/b", .start_s = 50, .end_s = 51},
};

static int with_five(void **state)
{
    assert_int_equal(prepare(state), 0);
    add_lives(((const fixture *)*state)->path, five, 5);
    return 0;
}

static void test_log(void **state)
{
    const char *db = ((const fixture *)*state)->path;

    eids_are(run(db, "log", "--csv"), "1,2,3,4,5");
    eids_are(run(db, "log", "--csv", "-r"), "5,4,3,2,1");
    eids_are(run(db, "log", "--csv", "-n", "2"), "4,5");
    eids_are(run(db, "log", "--csv", "-n", "2", "-r"), "5,4");
    eids_are(run(db, "log", "--csv", "-n", "99"), "1,2,3,4,5");
    eids_are(run(db, "log", "--csv", "-n", "0"), "");
}

/* Executions begin 5 ms behind their second: both ends of a window count, to the nanosecond. */
static void test_windows(void **state)
{
    const char *db = ((const fixture *)*state)->path;

    eids_are(run(db, "log", "--csv", "-S", "@1700000020"), "2,3,4,5");
    eids_are(run(db, "log", "--csv", "-S", "@1700000020.005"), "2,3,4,5");
    eids_are(run(db, "log", "--csv", "-S", "@1700000020.005000001"), "3,4,5");
    eids_are(run(db, "log", "--csv", "-U", "@1700000030"), "1,2");
    eids_are(run(db, "log", "--csv", "-U", "@1700000030.005"), "1,2,3,4");
    eids_are(run(db, "log", "--csv", "-U", "@1700000030.004999999"), "1,2");
    eids_are(run(db, "log", "--csv", "-S", "@1700000020", "-U", "@1700000031", "-n", "2"), "3,4");
    eids_are(run(db, "log", "--csv", "-S", "@1700000020", "-U", "@1700000031", "-r"), "4,3,2");
    eids_are(run(db, "log", "--csv", "-S", "@1700000060"), "");
    eids_are(run(db, "log", "--csv", "-S", "2023-11-14 22:13:50", "-U", "2023-11-14T22:13:51Z"), "3,4");
}

static void test_who(void **state)
{
    const char *db = ((const fixture *)*state)->path;

    eids_are(run(db, "who", "/bin/a", "--csv"), "1,3,4");
    eids_are(run(db, "who", "--csv", "-n", "2", "/bin/a"), "3,4");
    eids_are(run(db, "who", "--csv", "-r", "-n", "2", "/bin/a"), "4,3");
    eids_are(run(db, "who", "--csv", "-S", "@1700000015", "/bin/b"), "2,5");
    eids_are(run(db, "who", "--csv", "/bin/c"), "");
    eids_are(run(db, "who", "--csv", "02000000"), "2");
    eids_are(run(db, "who", "--csv", "ffffffff"), "");
}

static void test_show(void **state)
{
    const char *db = ((const fixture *)*state)->path;

    eids_are(run(db, "show", "--csv", "5"), "5");
    eids_are(run(db, "show", "--csv", "50"), "4,1");
    eids_are(run(db, "show", "--csv", "--pid", "50", "-r"), "1,4");
    eids_are(run(db, "show", "--csv", "--pid", "50", "-n", "1"), "4");
    eids_are(run(db, "show", "--csv", "--pid", "50", "-U", "@1700000011"), "1");
    eids_are(run(db, "show", "--csv", "--eid", "50"), "");
    eids_are(run(db, "show", "--csv", "--pid", "5"), "");
    force(db, "UPDATE _execution SET pid = 5 WHERE id = 1");
    eids_are(run(db, "show", "--csv", "5"), "5,1"); /* the eid first */
}

static void test_ps(void **state)
{
    const char *db = ((const fixture *)*state)->path;

    eids_are(run(db, "ps", "--csv"), "3");
    eids_are(run(db, "ps", "--csv", "--at", "@1700000009"), "");
    eids_are(run(db, "ps", "--csv", "--at", "@1700000010"), ""); /* it began 5 ms later */
    eids_are(run(db, "ps", "--csv", "--at", "@1700000010.005"), "1");
    eids_are(run(db, "ps", "--csv", "--at", "@1700000020"), "1");
    eids_are(run(db, "ps", "--csv", "--at", "@1700000020.005"), "2"); /* one ends, the other begins */
    eids_are(run(db, "ps", "--csv", "--at", "@1700000035"), "2,4,3"); /* by pid */
    eids_are(run(db, "ps", "--csv", "--at", "@1700000035", "-r"), "3,4,2");
    eids_are(run(db, "ps", "--csv", "--at", "@1700000035", "-n", "2"), "2,4");
    eids_are(run(db, "ps", "--csv", "--at", "@1700000035", "-n", "2", "-r"), "4,2");
    eids_are(run(db, "ps", "--csv", "--at", "@1700000035", "-S", "@1700000025"), "4,3");
    eids_are(run(db, "ps", "--csv", "--at", "@1700000060.004"), "4,3");
    eids_are(run(db, "ps", "--csv", "--at", "@1700000061"), "3");
}

/* Nobody records into it any more: said once, in words. */
static void test_ps_without_a_recorder(void **state)
{
    const char *db = ((const fixture *)*state)->path;

    expect(run(db, "ps"), PL_EXIT_FINE, "/bin/a", "the recorder is not running");
    expect(run(db, "ps", "--at", "@1700000035"), PL_EXIT_FINE, "/bin/b", NULL);
    pl_store *recorder = open_store(db, PL_STORE_RECORDER);
    force(db, "UPDATE _run SET end_time = NULL, clean = NULL");
    expect(run(db, "ps"), PL_EXIT_FINE, "/bin/a", NULL);
    assert_null(pl_store_close(recorder));
    expect(run(db, "ps"), PL_EXIT_FINE, "/bin/a", "the recorder is not running");
}

/* Rows of one second on both sides of the border of a page, and pages that are exactly full. */
static void test_pages(void **state)
{
    const char *db = ((const fixture *)*state)->path;
    static const int64_t counts[] = {999, 1000, 1001, 2000, 2500};
    int64_t n = 0;

    pl_writer *writer = open_writer(db, PL_STORE_RECORDER, NULL);
    for (size_t c = 0; c < sizeof(counts) / sizeof(counts[0]); c++) {
        for (; n < counts[c]; n++) {
            pl_execution execution = execution_of(n + 1);
            execution.time_ns = T0 + n / 7 * SECOND; /* seven a second */
            assert_int_equal(pl_writer_execution(writer, &execution), 0);
        }
        assert_int_equal(pl_writer_flush(writer), 0);
        static const char *const orders[] = {"--utc", "-r"};
        static const char *const commands[] = {"log", "who"};
        for (int k = 0; k < 4; k++) {
            ran r = k < 2 ? run(db, commands[0], "--csv", orders[k])
                          : run(db, commands[1], "--csv", orders[k - 2], "/usr/bin/true");
            char *eids = column_of(r.out, "eid"), *p = eids;
            for (int64_t i = 0; i < n; i++, p += *p == ',') {
                int64_t eid = strtoll(p, &p, 10);
                if (eid != (k % 2 ? n - i : i + 1))
                    fail_msg("%s, %lld rows: row %lld is %lld", k < 2 ? "log" : "who", (long long)n, (long long)i,
                             (long long)eid);
            }
            assert_string_equal(p, "");
            free(eids);
            done(&r);
        }
    }
    assert_null(pl_writer_free(writer));
    ran r = run(db, "log", "--csv", "-n", "1500");
    char *eids = column_of(r.out, "eid");
    assert_int_equal(strncmp(eids, "1001,1002,", 10), 0);
    assert_string_equal(eids + strlen(eids) - 10, ",2499,2500");
    free(eids);
    done(&r);
    r = run(db, "log", "--json");
    assert_true(is_json(r.out));
    done(&r);
}

/* log -f whose reader has gone ends, though nothing comes in whose writing would find out. */
static void test_follow_without_a_reader(void **state)
{
    const char *db = ((const fixture *)*state)->path;
    char *argv[] = {(char *)"procledger", (char *)"--db", (char *)db, (char *)"log", (char *)"-f", (char *)"-n0", NULL};
    int ends[2];

    assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
    assert_int_equal(close(ends[0]), 0);
    (void)fflush(NULL);
    int saved = dup(STDOUT_FILENO);
    assert_true(dup2(ends[1], STDOUT_FILENO) >= 0);
    int status = pl_cli_main(6, argv);
    assert_true(dup2(saved, STDOUT_FILENO) >= 0);
    assert_int_equal(close(saved) | close(ends[1]), 0);
    assert_int_equal(status, PL_EXIT_FINE);
}

static void test_gaps_and_status(void **state)
{
    const char *db = ((const fixture *)*state)->path;

    expect(run(db, "gaps"), PL_EXIT_NO_MATCH, NULL, "no match");
    expect(run(db, "gaps", "--json"), PL_EXIT_NO_MATCH, "[]\n", NULL);
    expect(run(db, "log", "--strict"), PL_EXIT_FINE, "/bin/a", NULL);
    force(db, "INSERT INTO _gap(time, end_time, lost, source, reason) VALUES(1700000045, 1700000047, 5, 'netlink',"
              " 'overrun'), (1700000100, 1700000200, NULL, 'recorder', 'not running')");
    expect(run(db, "gaps"), PL_EXIT_FINE, "netlink", NULL);
    /* Where the window meets one, a line says so, and with --strict the status. */
    expect(run(db, "log"), PL_EXIT_FINE, "/bin/a", "the answer may be partial: 2 gaps in its time");
    expect(run(db, "log", "--strict"), PL_EXIT_PARTIAL, "/bin/a", "2 gaps");
    expect(run(db, "log", "--strict", "--json"), PL_EXIT_PARTIAL, "/bin/a", "2 gaps");
    expect(run(db, "log", "--strict", "-U", "@1700000046"), PL_EXIT_PARTIAL, "/bin/a", "1 gap in");
    expect(run(db, "log", "--strict", "-U", "@1700000044"), PL_EXIT_FINE, "/bin/a", NULL);
    expect(run(db, "log", "--strict", "-S", "@1700000048", "-U", "@1700000099"), PL_EXIT_FINE, "/bin/b", NULL);
    expect(run(db, "who", "--strict", "/bin/a"), PL_EXIT_PARTIAL, "/bin/a", "2 gaps");
    expect(run(db, "ps", "--strict", "--at", "@1700000046"), PL_EXIT_PARTIAL, "/bin/a", "1 gap");
    expect(run(db, "ps", "--strict", "--at", "@1700000048"), PL_EXIT_FINE, "/bin/a", NULL);
    expect(run(db, "show", "--strict", "--pid", "50"), PL_EXIT_PARTIAL, "/bin/a", "2 gaps");
    expect(run(db, "show", "--strict", "50"), PL_EXIT_PARTIAL, "/bin/a", "2 gaps");
    expect(run(db, "show", "--strict", "5"), PL_EXIT_FINE, "/bin/b", NULL); /* it is there: nothing is missing */
    /* No match wins over a gap; what went wrong wins over both. */
    expect(run(db, "who", "--strict", "/bin/c"), PL_EXIT_NO_MATCH, NULL, "2 gaps");
    expect(run(db, "log", "--strict", "-S", "@1700000150", "-U", "@1700000160"), PL_EXIT_NO_MATCH, NULL, "1 gap");
}

static void test_order_of_gaps_and_runs(void **state)
{
    const char *db = ((const fixture *)*state)->path;

    force(db, "INSERT INTO _gap(id, time, end_time, source, reason) VALUES(1, 1700000010, 1700000011, 'a', 'b'),"
              " (2, 1700000020, 1700000021, 'a', 'b'), (3, 1700000030, 1700000031, 'a', 'b')");
    static const struct {
        const char *flags[4], *times;
    } cases[] = {
        {{"--utc"}, "1700000010,1700000020,1700000030"},
        {{"-r"}, "1700000030,1700000020,1700000010"},
        {{"-n2"}, "1700000020,1700000030"},
        {{"-rn2"}, "1700000030,1700000020"},
        {{"-S", "@1700000021", "-U", "@1700000029"}, "1700000020"},
        {{"-S", "@1700000022", "-U", "@1700000029"}, ""},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        const char *words[9] = {"--db", db, "gaps", "--csv"};
        memcpy(words + 4, cases[i].flags, sizeof(cases[i].flags));
        ran r = run_words(words);
        char *times = column_of(r.out, "time");
        assert_string_equal(times, cases[i].times);
        free(times);
        done(&r);
    }
    force(db, "INSERT INTO _run(time, last_time, end_time, clean) VALUES(1700000500, 1700000600, 1700000600, 1)");
    ran r = run(db, "runs", "--csv", "-r");
    char *times = column_of(r.out, "time");
    assert_string_equal(times, "1700000500,1700000000");
    free(times);
    done(&r);
    r = run(db, "runs", "--csv", "-n", "1");
    times = column_of(r.out, "time");
    assert_string_equal(times, "1700000500");
    free(times);
    done(&r);
}

static void test_files_and_history(void **state)
{
    const char *db = ((const fixture *)*state)->path;
    pl_writer *writer = open_writer(db, PL_STORE_RECORDER, NULL);
    static const char *const paths[] = {"/usr/bin/b", "/usr/bin/a", "/usr/bin/c"};

    for (unsigned i = 0; i < 3; i++) {
        pl_sighting s = sighting_of(paths[i], 100 + i, 200 + i, T0 + i * SECOND);
        assert_int_equal(pl_writer_sighting(writer, &s), 0);
        assert_int_equal(pl_writer_flush(writer), 0);
    }
    pl_sighting changed = sighting_of("/usr/bin/a", 101, 250, T0 + 10 * SECOND);
    assert_int_equal(pl_writer_sighting(writer, &changed), 0);
    assert_null(pl_writer_free(writer));
    ran r = run(db, "files", "--csv");
    const char *a = strstr(r.out, "\n/usr/bin/a,"), *b = strstr(r.out, "\n/usr/bin/b,"),
               *c = strstr(r.out, "\n/usr/bin/c,");
    assert_true(a && a < b && b < c);
    done(&r);
    r = run(db, "files", "--csv", "-n", "2", "-r"); /* the first two, the other way round */
    a = strstr(r.out, "\n/usr/bin/a,");
    b = strstr(r.out, "\n/usr/bin/b,");
    assert_true(b && b < a && !strstr(r.out, "/usr/bin/c"));
    done(&r);
    expect(run(db, "files", "-S", "@1700000005"), PL_EXIT_FINE, "/usr/bin/a", NULL);
    expect(run(db, "files", "-S", "@1700000011"), PL_EXIT_NO_MATCH, NULL, "no match");
    r = run(db, "history", "--csv", "/usr/bin/a");
    a = strstr(r.out, "c9000000"); /* the digest of seed 201 */
    b = strstr(r.out, "fa000000");
    assert_true(a && b && a < b);
    assert_int_equal(r.status, PL_EXIT_FINE);
    done(&r);
    expect(run(db, "history", "-n", "1", "/usr/bin/a"), PL_EXIT_FINE, "fa000000", NULL);
    expect(run(db, "history", "c8000000"), PL_EXIT_FINE, "/usr/bin/b", NULL);
    expect(run(db, "history", "/usr/bin/d"), PL_EXIT_NO_MATCH, NULL, "no match");
    /* A gap concerns files only where a time was asked for. */
    force(db, "INSERT INTO _gap(time, end_time, source, reason) VALUES(1700000000, 1700000001, 'a', 'b')");
    expect(run(db, "files", "--strict"), PL_EXIT_FINE, "/usr/bin/a", NULL);
    expect(run(db, "files", "--strict", "-S", "@1700000000"), PL_EXIT_PARTIAL, "/usr/bin/a", "1 gap");
}

static void test_stats_is_one_row(void **state)
{
    const char *db = ((const fixture *)*state)->path;

    expect(run(db, "stats"), PL_EXIT_FINE, "last_eid          5\n", NULL);
    ran r = run(db, "stats", "--json");
    assert_true(is_json(r.out));
    assert_non_null(strstr(r.out, "\"last_eid\":5,"));
    done(&r);
}

/* A ledger in which nothing was ever recorded is no error. */
static void test_empty_ledger(void **state)
{
    const char *db = ((const fixture *)*state)->path;

    (void)pl_store_close(open_store(db, PL_STORE_WRITE));
    expect(run(db, "log"), PL_EXIT_NO_MATCH, NULL, "no match");
    expect(run(db, "ps", "--csv"), PL_EXIT_NO_MATCH, "eid,time,", NULL);
    expect(run(db, "files", "--ndjson"), PL_EXIT_NO_MATCH, NULL, NULL);
    expect(run(db, "runs"), PL_EXIT_NO_MATCH, NULL, "no match");
    expect(run(db, "stats"), PL_EXIT_FINE, "gaps              0\n", NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_log, with_five, tear_down),
        cmocka_unit_test_setup_teardown(test_windows, with_five, tear_down),
        cmocka_unit_test_setup_teardown(test_who, with_five, tear_down),
        cmocka_unit_test_setup_teardown(test_show, with_five, tear_down),
        cmocka_unit_test_setup_teardown(test_ps, with_five, tear_down),
        cmocka_unit_test_setup_teardown(test_ps_without_a_recorder, with_five, tear_down),
        cmocka_unit_test_setup_teardown(test_pages, prepare, tear_down),
        cmocka_unit_test_setup_teardown(test_follow_without_a_reader, with_five, tear_down),
        cmocka_unit_test_setup_teardown(test_gaps_and_status, with_five, tear_down),
        cmocka_unit_test_setup_teardown(test_order_of_gaps_and_runs, with_five, tear_down),
        cmocka_unit_test_setup_teardown(test_files_and_history, with_five, tear_down),
        cmocka_unit_test_setup_teardown(test_stats_is_one_row, with_five, tear_down),
        cmocka_unit_test_setup_teardown(test_empty_ledger, prepare, tear_down),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

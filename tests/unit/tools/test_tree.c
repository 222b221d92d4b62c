/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * procledger tree, the whole way from a ledger to what is drawn: ancestors and descendants of processes that are long
 * gone, the images of one process beside each other, and names that want to be more than names.
 *
 *     10 init (1)            runs
 *       20 shell (100)       replaced itself by 21
 *       21 server (100)      runs
 *         30 early (200)     a child of 20, ended
 *         31 late (201)      a child of 21, ended
 *           40 orphan (300)  a child of 31, outlived it
 *       22 other (101)       another child of 10
 */
#include "tests/unit/tools/cli_support.h"

#define HOSTILE_PATH "/tmp/" ESC "[2J" BIDI "x"

static const life lives[] = {
    {.eid = 10, .pid = 1, .path = "/sbin/init", .start_s = 1},
    {.eid = 20, .pid = 100, .parent_eid = 10, .path = "/bin/shell", .start_s = 10, .end_s = 20, .reason = PL_END_EXEC},
    {.eid = 21, .pid = 100, .parent_eid = 10, .prev_eid = 20, .path = "/bin/server", .start_s = 20},
    {.eid = 22, .pid = 101, .parent_eid = 10, .path = "/bin/other", .start_s = 21},
    {.eid = 30, .pid = 200, .parent_eid = 20, .path = "/bin/early", .start_s = 15, .end_s = 30},
    {.eid = 31, .pid = 201, .parent_eid = 21, .path = "/bin/late", .start_s = 25, .end_s = 30},
    {.eid = 40,
     .pid = 300,
     .parent_eid = 31,
     .path = HOSTILE_PATH,
     .argument = HOSTILE_PATH,
     .start_s = 26,
     .end_s = 90},
};

static int prepare(void **state)
{
    set_environment();
    assert_int_equal(set_up(state), 0);
    const fixture *f = *state;
    add_lives(f->path, lives, sizeof(lives) / sizeof(lives[0]));
    return 0;
}

static const char whole[] = "1 /sbin/init  [eid 10]  /sbin/init -v\n"
                            "|- 100 /bin/shell  [eid 20, ended: exec]  /bin/shell -v\n"
                            "|  `- 200 /bin/early  [eid 30, ended: 0]  /bin/early -v\n"
                            "`- 100 /bin/server  [eid 21]  /bin/server -v\n"
                            "   `- 201 /bin/late  [eid 31, ended: 0]  /bin/late -v\n"
                            "      `- 300 /tmp/\\x1b[2J\\u202ex  [eid 40, ended: 0]  /tmp/\\x1b[2J\\u202ex "
                            "/tmp/\\x1b[2J\\u202ex\n";

/* Asked for by pid, by its last image or by its first: the same process. */
static void test_ancestors_and_descendants(void **state)
{
    const fixture *f = *state;
    static const char *const words[][2] = {{"--pid", "100"}, {"--eid", "21"}, {"--eid", "20"}};

    for (size_t i = 0; i < 3; i++) {
        ran r = run(f->path, "tree", words[i][0], words[i][1]);
        assert_int_equal(r.status, PL_EXIT_FINE);
        assert_string_equal(r.out, whole);
        assert_string_equal(r.err, "");
        done(&r);
    }
}

static void test_from_the_leaf(void **state)
{
    const fixture *f = *state;
    ran r = run(f->path, "tree", "300");

    assert_int_equal(r.status, PL_EXIT_FINE);
    /* The parents are gone, and what they were is not; other children of theirs are not asked for. */
    assert_string_equal(r.out, "1 /sbin/init  [eid 10]  /sbin/init -v\n"
                               "`- 100 /bin/server  [eid 21]  /bin/server -v\n"
                               "   `- 201 /bin/late  [eid 31, ended: 0]  /bin/late -v\n"
                               "      `- 300 /tmp/\\x1b[2J\\u202ex  [eid 40, ended: 0]  /tmp/\\x1b[2J\\u202ex "
                               "/tmp/\\x1b[2J\\u202ex\n");
    done(&r);
}

static void test_from_the_root(void **state)
{
    const fixture *f = *state;
    ran r = run(f->path, "tree", "1");

    assert_non_null(strstr(r.out, "\n|- 100 /bin/server"));
    assert_non_null(strstr(r.out, "\n|  `- 201 /bin/late"));
    assert_non_null(strstr(r.out, "\n`- 101 /bin/other"));
    done(&r);
}

/* A number is a pid first; an eid when there is no such pid. */
static void test_pid_or_eid(void **state)
{
    const fixture *f = *state;

    expect(run(f->path, "tree", "101"), PL_EXIT_FINE, "101 /bin/other  [eid 22]", NULL);
    expect(run(f->path, "tree", "22"), PL_EXIT_FINE, "101 /bin/other  [eid 22]", NULL);
    expect(run(f->path, "tree", "--pid", "22"), PL_EXIT_NO_MATCH, NULL, "no match");
    expect(run(f->path, "tree", "--eid", "101"), PL_EXIT_NO_MATCH, NULL, "no match");
    expect(run(f->path, "tree", "--json", "4711"), PL_EXIT_NO_MATCH, "[]\n", NULL);
}

static void test_lines_of_unicode(void **state)
{
    const fixture *f = *state;

    assert_int_equal(setenv("LC_ALL", "C.UTF-8", 1), 0);
    expect(run(f->path, "tree", "100"), PL_EXIT_FINE,
           "\xe2\x94\x9c\xe2\x94\x80 100 /bin/shell  [eid 20, ended: exec]  /bin/shell -v\n"
           "\xe2\x94\x82  \xe2\x94\x94\xe2\x94\x80 200 /bin/early",
           NULL);
}

static void test_the_one_asked_for_stands_out(void **state)
{
    const fixture *f = *state;
    ran r = run(f->path, "tree", "--color=always", "--eid", "21");
    int bold = 0;

    assert_non_null(strstr(r.out, "`- " ESC "[1m100 /bin/server  [eid 21]  /bin/server -v" ESC "[0m\n"));
    for (const char *p = r.out; (p = strstr(p, ESC "[1m")); p++)
        bold++;
    assert_int_equal(bold, 1);
    done(&r);
}

static void test_other_formats(void **state)
{
    const fixture *f = *state;
    ran r = run(f->path, "tree", "--json", "100");

    assert_int_equal(r.status, PL_EXIT_FINE);
    assert_true(is_json(r.out));
    const char *init = strstr(r.out, "{\"depth\":-1,\"eid\":10,"), *shell = strstr(r.out, "{\"depth\":0,\"eid\":20,");
    const char *early = strstr(r.out, "{\"depth\":1,\"eid\":30,"), *server = strstr(r.out, "{\"depth\":0,\"eid\":21,");
    const char *orphan = strstr(r.out, "{\"depth\":2,\"eid\":40,");
    assert_true(init && init < shell && shell < early && early < server && server < orphan);
    done(&r);
    expect(run(f->path, "tree", "--csv", "100"), PL_EXIT_FINE, "\r\n-1,10,", NULL);
    expect(run(f->path, "tree", "--csv", "4711"), PL_EXIT_NO_MATCH, "depth,eid,time,", NULL);
}

/* 31 lived from 25 to 30, its child until 90: a gap then may hide another descendant, one before or behind cannot. */
static void test_gaps(void **state)
{
    static const struct {
        int from_s, to_s, status;
    } cases[] = {{5, 9, PL_EXIT_FINE},      {20, 24, PL_EXIT_FINE},    {24, 26, PL_EXIT_PARTIAL},
                 {40, 41, PL_EXIT_PARTIAL}, {89, 95, PL_EXIT_PARTIAL}, {91, 95, PL_EXIT_FINE},
                 {1, 100, PL_EXIT_PARTIAL}};
    const fixture *f = *state;
    char sql[128];

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        const char *partial = cases[i].status == PL_EXIT_PARTIAL ? "partial: 1 gap in" : NULL;
        force(f->path, "DELETE FROM _gap");
        (void)snprintf(sql, sizeof(sql), "INSERT INTO _gap(time, end_time, source, reason) VALUES(%d, %d, 'x', 'y')",
                       1700000000 + cases[i].from_s, 1700000000 + cases[i].to_s);
        force(f->path, sql);
        expect(run(f->path, "tree", "--strict", "201"), cases[i].status, "/bin/late", partial);
        expect(run(f->path, "tree", "201"), PL_EXIT_FINE, "/bin/late", partial);
        expect(run(f->path, "tree", "--strict", "4711"), PL_EXIT_NO_MATCH, NULL, "no match");
    }
}

/* Links that lead in circles or nowhere: damaged, or deleted by age. */
static void test_broken_links(void **state)
{
    const fixture *f = *state;

    force(f->path, "UPDATE _execution SET parent_id = 40 WHERE id = 10");
    ran r = run(f->path, "tree", "--json", "--eid", "31");
    assert_true(is_json(r.out));
    assert_true(r.status == PL_EXIT_FINE);
    done(&r);
    force(f->path, "UPDATE _execution SET prev_id = 21 WHERE id = 20");
    r = run(f->path, "tree", "--json", "--eid", "20");
    assert_true(is_json(r.out));
    done(&r);
    force(f->path, "UPDATE _execution SET parent_id = 9, prev_id = 8 WHERE id = 20");
    force(f->path, "DELETE FROM _execution WHERE id = 10");
    expect(run(f->path, "tree", "--eid", "30"), PL_EXIT_FINE,
           "100 /bin/shell  [eid 20, ended: exec]  /bin/shell -v\n`- 200 /bin/early", NULL);
    expect(run(f->path, "tree", "--eid", "20"), PL_EXIT_FINE,
           "100 /bin/shell  [eid 20, ended: exec]  /bin/shell -v\n`- 200 /bin/early", NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_ancestors_and_descendants, prepare, tear_down),
        cmocka_unit_test_setup_teardown(test_from_the_leaf, prepare, tear_down),
        cmocka_unit_test_setup_teardown(test_from_the_root, prepare, tear_down),
        cmocka_unit_test_setup_teardown(test_pid_or_eid, prepare, tear_down),
        cmocka_unit_test_setup_teardown(test_lines_of_unicode, prepare, tear_down),
        cmocka_unit_test_setup_teardown(test_the_one_asked_for_stands_out, prepare, tear_down),
        cmocka_unit_test_setup_teardown(test_other_formats, prepare, tear_down),
        cmocka_unit_test_setup_teardown(test_gaps, prepare, tear_down),
        cmocka_unit_test_setup_teardown(test_broken_links, prepare, tear_down),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

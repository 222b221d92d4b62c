/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The flags: each value lands where it belongs, in any order and before or behind the command; whatever is not
 * understood is refused with the word that was wrong; times are counted from the clock that the caller gives.
 */
#include <time.h>

#include "tests/unit/tools/cli_support.h"

#define NOW (INT64_C(1768476600) * SECOND) /* 2026-01-15 11:30 UTC */

typedef struct parsed {
    pl_cli cli;
    char *argv[16];
    int argc, first;
} parsed;

static pl_cli fresh(void)
{
    return (pl_cli){
        .until_ns = INT64_MAX, .limit = -1, .format = &pl_output_table, .now_ns = NOW, .command = &pl_command_log};
}

/* words: NULL-ended. What pl_options_parse answered. */
static int parse(parsed *p, bool stop, const char *const *words)
{
    *p = (parsed){.cli = fresh(), .argv = {(char *)"log"}, .argc = 1};
    for (; words[p->argc - 1]; p->argc++)
        p->argv[p->argc] = (char *)words[p->argc - 1];
    return pl_options_parse(&p->cli, p->argc, p->argv, stop, &p->first);
}

#define PARSE(p, ...) parse((p), false, (const char *const[]){__VA_ARGS__, NULL})

/* All of the way that a command's flags go. */
static int parse_for(const pl_command *command, const char *const *words)
{
    parsed p;
    int rc = parse(&p, false, words);

    if (rc == 0)
        rc = pl_options_check(&p.cli, command);
    return rc == 0 ? pl_options_finish(&p.cli) : rc;
}

static void refuses_all(const pl_command *command, const char *word, const char *const *words)
{
    assert_int_equal(parse_for(command, words), PL_ERR_INVALID);
    if (!strstr(pl_error_message(), word))
        fail_msg("'%s' does not name %s", pl_error_message(), word);
}

#define REFUSED(command, word, ...) refuses_all(&(command), (word), (const char *const[]){__VA_ARGS__, NULL})

static int prepare(void **state)
{
    (void)state;
    set_environment();
    tzset();
    return 0;
}

static void test_every_flag(void **state)
{
    parsed p;

    (void)state;
    assert_int_equal(PARSE(&p, "-S", "-2h", "-U", "now", "-n", "12", "-r", "-f", "-h"), 0);
    assert_string_equal(p.cli.since, "-2h");
    assert_string_equal(p.cli.until, "now");
    assert_int_equal(p.cli.limit, 12);
    assert_true(p.cli.reverse && p.cli.follow && p.cli.help);
    assert_int_equal(PARSE(&p, "--since=-2h", "--until", "now", "--lines=0", "--reverse", "--follow", "--help"), 0);
    assert_string_equal(p.cli.since, "-2h");
    assert_string_equal(p.cli.until, "now");
    assert_int_equal(p.cli.limit, 0);
    assert_true(p.cli.reverse && p.cli.follow && p.cli.help);
    assert_int_equal(PARSE(&p, "--utc", "--no-pager", "--strict", "--version", "--db", "a", "--socket=b"), 0);
    assert_true(p.cli.utc && p.cli.no_pager && p.cli.strict && p.cli.version);
    assert_string_equal(p.cli.db, "a");
    assert_string_equal(p.cli.socket, "b");
    assert_int_equal(PARSE(&p, "--at", "yesterday", "--eid"), 0);
    assert_string_equal(p.cli.at, "yesterday");
    assert_int_equal(p.cli.id_kind, PL_ID_EID);
    assert_int_equal(PARSE(&p, "--pid"), 0);
    assert_int_equal(p.cli.id_kind, PL_ID_PID);
    assert_int_equal(PARSE(&p, "-rn5"), 0);
    assert_true(p.cli.reverse);
    assert_int_equal(p.cli.limit, 5);
    assert_int_equal(PARSE(&p, "--rev"), 0); /* as getopt_long completes it */
    assert_true(p.cli.reverse);
}

static void test_formats(void **state)
{
    parsed p;

    (void)state;
    assert_int_equal(PARSE(&p, "--json"), 0);
    assert_ptr_equal(p.cli.format, &pl_output_json);
    assert_int_equal(PARSE(&p, "--ndjson"), 0);
    assert_ptr_equal(p.cli.format, &pl_output_ndjson);
    assert_int_equal(PARSE(&p, "--json", "--csv"), 0); /* the last one counts */
    assert_ptr_equal(p.cli.format, &pl_output_csv);
}

static void test_colors(void **state)
{
    parsed p;

    (void)state;
    assert_int_equal(PARSE(&p, "--color=never"), 0);
    assert_int_equal(p.cli.color, PL_COLOR_NEVER);
    assert_int_equal(PARSE(&p, "--color=auto"), 0);
    assert_int_equal(p.cli.color, PL_COLOR_AUTO);
    assert_int_equal(PARSE(&p, "--color=always"), 0);
    assert_int_equal(p.cli.color, PL_COLOR_ALWAYS);
    assert_int_equal(PARSE(&p, "--color"), 0);
    assert_int_equal(p.cli.color, PL_COLOR_ALWAYS);
}

static void test_operands(void **state)
{
    parsed p;

    (void)state;
    assert_int_equal(PARSE(&p, "one", "-r", "two", "--utc"), 0);
    assert_int_equal(p.argc - p.first, 2);
    assert_string_equal(p.argv[p.first], "one");
    assert_string_equal(p.argv[p.first + 1], "two");
    assert_true(p.cli.reverse && p.cli.utc);
    assert_int_equal(PARSE(&p, "--", "-r"), 0);
    assert_string_equal(p.argv[p.first], "-r");
    assert_false(p.cli.reverse);
    /* Before the command's name only what stands before it. */
    assert_int_equal(parse(&p, true, (const char *const[]){"--utc", "log", "-r", NULL}), 0);
    assert_string_equal(p.argv[p.first], "log");
    assert_true(p.cli.utc);
    assert_false(p.cli.reverse);
}

static void test_unknown_flags(void **state)
{
    (void)state;
    REFUSED(pl_command_log, "'--nonsense'", "--nonsense");
    REFUSED(pl_command_log, "'--nonsense=5'", "--nonsense=5");
    REFUSED(pl_command_log, "'-q'", "-q");
    REFUSED(pl_command_log, "'-q'", "-rq");
    REFUSED(pl_command_log, "'-q'", "-qr");
    REFUSED(pl_command_log, "'--s'", "--s"); /* --since, --socket, --strict */
}

static void test_missing_and_needless_values(void **state)
{
    (void)state;
    REFUSED(pl_command_log, "'-S'", "-S");
    REFUSED(pl_command_log, "'-S'", "-rS");
    REFUSED(pl_command_log, "'--since'", "--since");
    REFUSED(pl_command_log, "'--lines'", "-r", "--lines");
    REFUSED(pl_command_log, "'--json=x'", "--json=x");
    REFUSED(pl_command_log, "'--db'", "--db=");
    REFUSED(pl_command_log, "'--socket'", "--socket", "");
}

static void test_bad_values(void **state)
{
    (void)state;
    REFUSED(pl_command_log, "'x'", "-n", "x");
    REFUSED(pl_command_log, "'-1'", "-n", "-1");
    REFUSED(pl_command_log, "'5x'", "-n5x");
    REFUSED(pl_command_log, "' 5'", "-n", " 5");
    REFUSED(pl_command_log, "'+5'", "-n", "+5");
    REFUSED(pl_command_log, "''", "-n", "");
    REFUSED(pl_command_log, "'99999999999999999999'", "-n", "99999999999999999999");
    REFUSED(pl_command_log, "'pink'", "--color=pink");
    REFUSED(pl_command_log, "'someday'", "-S", "someday");
    REFUSED(pl_command_log, "'someday'", "--until=someday");
    REFUSED(pl_command_ps, "'someday'", "--at", "someday");
    REFUSED(pl_command_log, "''", "-S", "");
}

/* A flag that means nothing to a command is refused, wherever it stands. */
static void test_flags_of_other_commands(void **state)
{
    (void)state;
    REFUSED(pl_command_ps, "'--follow'", "-f");
    REFUSED(pl_command_log, "'--at'", "--at", "now");
    REFUSED(pl_command_log, "'--eid'", "--eid");
    REFUSED(pl_command_stats, "'--since'", "-S", "now");
    REFUSED(pl_command_stats, "'--lines'", "-n", "5");
    REFUSED(pl_command_tree, "'--reverse'", "-r");
    REFUSED(pl_command_help, "'--json'", "--json");
    REFUSED(pl_command_sum, "'--utc'", "--utc");
    expect(run_words((const char *const[]){"-f", "ps", NULL}), PL_EXIT_FAILED, NULL,
           "'--follow' means nothing to 'ps'");
    expect(run_words((const char *const[]){"--json", "sum", "x", NULL}), PL_EXIT_FAILED, NULL,
           "'--json' means nothing to 'sum'");
    expect(run_words((const char *const[]){"-q", "ps", NULL}), PL_EXIT_FAILED, NULL, "'-q'");
}

static void test_times_from_the_clock_that_is_given(void **state)
{
    parsed p;

    (void)state;
    assert_int_equal(PARSE(&p, "-S", "-2h", "-U", "2026-01-15 11:00", "--at", "today"), 0);
    assert_int_equal(pl_options_finish(&p.cli), 0);
    assert_int_equal(p.cli.since_ns, NOW - 7200 * SECOND);
    assert_int_equal(p.cli.until_ns, NOW - 1800 * SECOND);
    assert_int_equal(p.cli.at_ns, INT64_C(1768435200) * SECOND);
    /* --utc may stand behind the time that it concerns. */
    assert_int_equal(setenv("TZ", "JST-9", 1), 0);
    tzset();
    assert_int_equal(PARSE(&p, "-S", "2026-01-01", "--utc"), 0);
    assert_int_equal(pl_options_finish(&p.cli), 0);
    assert_int_equal(p.cli.since_ns, INT64_C(1767225600) * SECOND);
    assert_int_equal(PARSE(&p, "-S", "2026-01-01"), 0);
    assert_int_equal(pl_options_finish(&p.cli), 0);
    assert_int_equal(p.cli.since_ns, INT64_C(1767193200) * SECOND);
}

static void test_contradictions(void **state)
{
    (void)state;
    REFUSED(pl_command_log, "'now' lies after --until 'yesterday'", "-S", "now", "-U", "yesterday");
    REFUSED(pl_command_log, "'--follow'", "-f", "-r");
    REFUSED(pl_command_log, "'--follow'", "-f", "-U", "now");
    REFUSED(pl_command_log, "'--json'", "-f", "--json");
    assert_int_equal(parse_for(&pl_command_log, (const char *const[]){"-f", "--ndjson", "-n", "0", NULL}), 0);
    assert_int_equal(parse_for(&pl_command_log, (const char *const[]){"-S", "now", "-U", "now", NULL}), 0);
}

/* Words that go to a terminal go there escaped. */
static void test_hostile_words(void **state)
{
    (void)state;
    expect(run_words((const char *const[]){"log", "-S", ESC "]0;x" BIDI, NULL}), PL_EXIT_FAILED, NULL,
           "'\\x1b]0;x\\u202e'");
    expect(run_words((const char *const[]){"log", "--" ESC, NULL}), PL_EXIT_FAILED, NULL, "'--\\x1b'");
    expect(run_words((const char *const[]){ESC "[2J", NULL}), PL_EXIT_FAILED, NULL, "unknown command '\\x1b[2J'");
    expect(run_words((const char *const[]){"log", ESC, NULL}), PL_EXIT_FAILED, NULL, "'\\x1b'");
    expect(run_words((const char *const[]){"help", C1, NULL}), PL_EXIT_FAILED, NULL, "'\\u009b'");
}

static void test_operand_counts(void **state)
{
    (void)state;
    expect(run_words((const char *const[]){"log", "extra", NULL}), PL_EXIT_FAILED, NULL, "'extra'");
    expect(run_words((const char *const[]){"show", NULL}), PL_EXIT_FAILED, NULL, "EID|PID");
    expect(run_words((const char *const[]){"who", "a", "b", NULL}), PL_EXIT_FAILED, NULL, "'b'");
    expect(run_words((const char *const[]){"show", "12x", NULL}), PL_EXIT_FAILED, NULL, "'12x'");
    expect(run_words((const char *const[]){"show", "0", NULL}), PL_EXIT_FAILED, NULL, "'0'");
    expect(run_words((const char *const[]){"tree", "-1", NULL}), PL_EXIT_FAILED, NULL, "'-1'");
    expect(run_words((const char *const[]){"tree", "--", "-1", NULL}), PL_EXIT_FAILED, NULL, "'-1'");
}

static void test_number(void **state)
{
    int64_t number = 7;

    (void)state;
    assert_int_equal(pl_options_number("9223372036854775807", 1, &number), 0);
    assert_int_equal(number, INT64_MAX);
    assert_int_equal(pl_options_number("0", 0, &number), 0);
    assert_int_equal(number, 0);
    number = 7;
    assert_int_equal(pl_options_number("0", 1, &number), PL_ERR_INVALID);
    assert_int_equal(pl_options_number("9223372036854775808", 0, &number), PL_ERR_INVALID);
    assert_int_equal(pl_options_number("0x10", 0, &number), PL_ERR_INVALID);
    assert_int_equal(number, 7);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_every_flag, prepare),
        cmocka_unit_test_setup(test_formats, prepare),
        cmocka_unit_test_setup(test_colors, prepare),
        cmocka_unit_test_setup(test_operands, prepare),
        cmocka_unit_test_setup(test_unknown_flags, prepare),
        cmocka_unit_test_setup(test_missing_and_needless_values, prepare),
        cmocka_unit_test_setup(test_bad_values, prepare),
        cmocka_unit_test_setup(test_flags_of_other_commands, prepare),
        cmocka_unit_test_setup(test_times_from_the_clock_that_is_given, prepare),
        cmocka_unit_test_setup(test_contradictions, prepare),
        cmocka_unit_test_setup(test_hostile_words, prepare),
        cmocka_unit_test_setup(test_operand_counts, prepare),
        cmocka_unit_test_setup(test_number, prepare),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

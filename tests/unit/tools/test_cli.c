/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The program as a whole: each exit status, help for every command, what it says when the ledger or the output fails,
 * and that a ledger in which every text is hostile comes out harmless, by every command in every format.
 */
#include "tests/unit/tools/output_support.h"

#include "tests/support/fault.h"

#include <errno.h>

static const life lives[] = {
    {.eid = 1, .pid = 50, .path = "/bin/a", .start_s = 10, .end_s = 20},
    {.eid = 2, .pid = 51, .parent_eid = 1, .path = "/bin/b", .start_s = 15},
};

static int prepare(void **state)
{
    set_environment();
    assert_int_equal(set_up(state), 0);
    const fixture *f = *state;
    add_lives(f->path, lives, 2);
    pl_writer *writer = open_writer(f->path, PL_STORE_RECORDER, NULL);
    pl_sighting sighting = sighting_of("/bin/a", 100, 1, T0 + SECOND);
    assert_int_equal(pl_writer_sighting(writer, &sighting), 0);
    assert_int_equal(pl_writer_gap(writer, T0 + SECOND, T0 + 2 * SECOND, 3, "netlink", "overrun"), 0);
    assert_null(pl_writer_free(writer));
    return 0;
}

static void test_help_of_every_command(void **state)
{
    char word[64];

    (void)state;
    for (size_t i = 0; pl_commands[i]; i++) {
        const pl_command *command = pl_commands[i];
        (void)snprintf(word, sizeof(word), "Usage: procledger %s ", command->name);
        ran r = run_words((const char *const[]){"help", command->name, NULL});
        assert_int_equal(r.status, PL_EXIT_FINE);
        assert_int_equal(strncmp(r.out, word, strlen(word)), 0);
        (void)snprintf(word, sizeof(word), "\nExample: procledger %s", command->name);
        assert_non_null(strstr(r.out, word));
        assert_string_equal(r.err, "");
        /* The same text by each way to it. */
        ran same = run_words((const char *const[]){command->name, "--help", NULL});
        assert_string_equal(same.out, r.out);
        assert_int_equal(same.status, PL_EXIT_FINE);
        done(&same);
        same = run_words((const char *const[]){"--help", command->name, NULL});
        assert_string_equal(same.out, r.out);
        done(&same);
        for (const char *line = r.out; *line; line = strchr(line, '\n') + 1)
            if (strchr(line, '\n') - line > 110)
                fail_msg("a line of the help of %s is too long", command->name);
        done(&r);
        ran all = run_words((const char *const[]){"--help", NULL});
        (void)snprintf(word, sizeof(word), "\n  %s ", command->name);
        assert_non_null(strstr(all.out, word));
        done(&all);
    }
}

/* A flag that a command takes is in its help, and no other. */
static void test_help_lists_what_is_taken(void **state)
{
    static const struct {
        uint32_t bit;
        const char *text;
    } flags[] = {{PL_TAKES_WINDOW, "--since="}, {PL_TAKES_LIMIT, "--lines="}, {PL_TAKES_FOLLOW, "--follow"},
                 {PL_TAKES_AT, "--at="},        {PL_TAKES_ID, "--eid, "},     {PL_TAKES_ROWS, "--ndjson"}};

    (void)state;
    for (size_t i = 0; pl_commands[i]; i++) {
        ran r = run_words((const char *const[]){"help", pl_commands[i]->name, NULL});
        for (size_t k = 0; k < sizeof(flags) / sizeof(flags[0]); k++)
            if ((strstr(r.out, flags[k].text) != NULL) != ((pl_commands[i]->takes & flags[k].bit) != 0))
                fail_msg("%s and %s", pl_commands[i]->name, flags[k].text);
        done(&r);
    }
}

static void test_without_a_command(void **state)
{
    (void)state;
    expect(run_words((const char *const[]){NULL}), PL_EXIT_FAILED, NULL, "Usage: procledger");
    expect(run_words((const char *const[]){"--help", NULL}), PL_EXIT_FINE, "Usage: procledger", NULL);
    expect(run_words((const char *const[]){"help", NULL}), PL_EXIT_FINE, "Usage: procledger", NULL);
    expect(run_words((const char *const[]){"--version", NULL}), PL_EXIT_FINE, "procledger " PROCLEDGER_VERSION "\n",
           NULL);
    expect(run_words((const char *const[]){"log", "--version", NULL}), PL_EXIT_FINE,
           "procledger " PROCLEDGER_VERSION "\n", NULL);
    expect(run_words((const char *const[]){"nonsense", NULL}), PL_EXIT_FAILED, NULL, "'nonsense'");
    expect(run_words((const char *const[]){"help", "nonsense", NULL}), PL_EXIT_FAILED, NULL, "'nonsense'");
}

static const char *const every_list[][3] = {{"log"},           {"ps"},   {"show", "1"}, {"tree", "50"},
                                            {"who", "/bin/a"}, {"gaps"}, {"runs"},      {"history", "/bin/a"},
                                            {"files"},         {"stats"}};
#define LISTS (sizeof(every_list) / sizeof(every_list[0]))

static ran run_list(const char *db, size_t i, const char *format)
{
    return every_list[i][1] ? run(db, every_list[i][0], format, every_list[i][1]) : run(db, every_list[i][0], format);
}

static void test_no_ledger(void **state)
{
    const fixture *f = *state;
    char *missing = pl_temp_path(f->dir, "missing.db");

    for (size_t i = 0; i < LISTS; i++) {
        expect(run_list(missing, i, "--utc"), PL_EXIT_FAILED, NULL, "missing.db");
        expect(run_list(f->dir, i, "--json"), PL_EXIT_DAMAGED, NULL, "not a regular file");
    }
    assert_int_equal(access(missing, F_OK), -1); /* and none is made */
    free(missing);
}

static void test_damaged_or_newer(void **state)
{
    const fixture *f = *state;
    char *garbage = pl_temp_path(f->dir, "garbage.db");
    char bytes[8192];

    memset(bytes, 'g', sizeof(bytes));
    pl_temp_write(garbage, bytes, sizeof(bytes), 0640);
    for (size_t i = 0; i < LISTS; i++)
        expect(run_list(garbage, i, "--utc"), PL_EXIT_DAMAGED, NULL, "garbage.db");
    expect(run(garbage, "sum", "/bin/true"), PL_EXIT_DAMAGED, NULL, "garbage.db");
    expect(run(garbage, "doctor"), PL_EXIT_DAMAGED, "garbage.db", NULL);
    free(garbage);
    force(f->path, "PRAGMA user_version = 9999");
    for (size_t i = 0; i < LISTS; i++)
        expect(run_list(f->path, i, "--utc"), PL_EXIT_DAMAGED, NULL, "newer");
}

/* What an environment variable names is named as well. */
static void test_which_ledger(void **state)
{
    const fixture *f = *state;
    char *garbage = pl_temp_path(f->dir, "garbage.db");

    pl_temp_write(garbage, "garbage, and more of it", 23, 0640);
    assert_int_equal(setenv("PROCLEDGER_DB", f->path, 1), 0);
    expect(run_words((const char *const[]){"log", NULL}), PL_EXIT_FINE, "/bin/a", "1 gap");
    assert_int_equal(setenv("PROCLEDGER_DB", garbage, 1), 0);
    expect(run_words((const char *const[]){"log", NULL}), PL_EXIT_DAMAGED, NULL, "garbage.db");
    expect(run_words((const char *const[]){"sum", "/bin/true", NULL}), PL_EXIT_DAMAGED, NULL, "garbage.db");
    expect(run(f->path, "log"), PL_EXIT_FINE, "/bin/a", "1 gap"); /* the flag wins */
    expect(run_words((const char *const[]){"log", "--db", f->path, NULL}), PL_EXIT_FINE, "/bin/a", "1 gap");
    free(garbage);
}

static void test_output_that_fails(void **state)
{
    const fixture *f = *state;

    for (size_t i = 0; i < LISTS; i++) {
        char *argv[] = {(char *)"procledger",     (char *)"--db",           f->path,
                        (char *)every_list[i][0], (char *)every_list[i][1], NULL};
        int full = open("/dev/full", O_WRONLY | O_CLOEXEC), file = scratch_file();
        int out = dup(STDOUT_FILENO), err = dup(STDERR_FILENO);
        (void)fflush(NULL);
        assert_true(dup2(full, STDOUT_FILENO) >= 0 && dup2(file, STDERR_FILENO) >= 0);
        int status = pl_cli_main(every_list[i][1] ? 5 : 4, argv);
        assert_true(dup2(out, STDOUT_FILENO) >= 0 && dup2(err, STDERR_FILENO) >= 0);
        char *text = read_back(file, NULL);
        assert_int_equal(status, PL_EXIT_FAILED);
        assert_non_null(strstr(text, "No space left"));
        free(text);
        assert_int_equal(close(full) | close(out) | close(err), 0);
    }
}

/* X: a text that colours, turns, breaks the line, and is no UTF-8. In every column that a command shows. */
static void make_hostile(const char *db)
{
    static const char *const updates[] = {
        "UPDATE _path SET text = X || id WHERE id > 0",
        "UPDATE _command SET cmdline = X, argv = json_array(X, X)",
        "UPDATE _context SET tty = X, cgroup = X, container = X",
        "UPDATE _execution SET name = X, end_reason = CASE WHEN end_reason IS NULL THEN NULL ELSE X END",
        "UPDATE _content SET sha256 = X || id WHERE id > 0",
        "UPDATE _version SET container = X",
        "UPDATE _gap SET source = X, reason = X",
        "UPDATE _run SET version = X, source = X, hostname = X, machine_id = X, kernel = X",
        "UPDATE _boot SET boot_id = X",
    };
    for (size_t i = 0; i < sizeof(updates) / sizeof(updates[0]); i++) {
        char sql[1024];
        char *to = sql;
        for (const char *p = updates[i]; *p; p++) {
            if (*p == 'X' && (p == updates[i] || p[-1] == ' ' || p[-1] == '('))
                to += snprintf(to, 128, "(char(27) || '[31m' || char(8238, 155, 10, 34, 92) || CAST(x'ff' AS TEXT))");
            else
                *to++ = *p;
        }
        *to = '\0';
        force(db, sql);
    }
}

static void test_hostile_ledger(void **state)
{
    static const char *const formats[] = {"--no-pager", "--csv", "--json", "--ndjson"};
    const fixture *f = *state;

    make_hostile(f->path);
    for (size_t i = 0; i < LISTS; i++) {
        for (size_t k = 0; k < 4; k++) {
            ran r = run_list(f->path, i, formats[k]);
            if (!is_harmless(r.out) || !is_harmless(r.err))
                fail_msg("%s %s lets something through: %s", every_list[i][0], formats[k], r.out);
            if (k == 2 && !is_json(r.out))
                fail_msg("%s: no JSON: %s", every_list[i][0], r.out);
            /* Lists by a path that has another name now are empty; all others show the hostile text. */
            bool by_path = strcmp(every_list[i][0], "who") == 0 || strcmp(every_list[i][0], "history") == 0;
            assert_int_equal(r.status, by_path ? PL_EXIT_NO_MATCH : PL_EXIT_FINE);
            if (!by_path && k < 2)
                assert_non_null(strstr(r.out, "\\x1b[31m\\u202e"));
            done(&r);
        }
    }
}

static void test_colors(void **state)
{
    const fixture *f = *state;

    /* auto: this is no terminal */
    ran r = run(f->path, "log");
    assert_null(strstr(r.out, ESC));
    done(&r);
    r = run(f->path, "log", "--color=never");
    assert_null(strstr(r.out, ESC));
    done(&r);
    assert_int_equal(setenv("NO_COLOR", "1", 1), 0);
    r = run(f->path, "log", "--color");
    assert_non_null(strstr(r.out, ESC "[1m"));
    done(&r);
    r = run(f->path, "log", "--color=always", "--json");
    assert_null(strstr(r.out, ESC));
    done(&r);
}

/* Wherever memory fails: a status, a message, nothing lost. The sanitizer looks at the rest. */
static void test_no_memory(void **state)
{
    static const char *const formats[] = {"--utc", "--csv", "--json"};
    const fixture *f = *state;

    for (size_t i = 0; i < LISTS; i++) {
        bool fired = true;
        for (unsigned n = 1; fired; n++) {
            pl_fault_arm(PL_FAULT_ALLOC, n, ENOMEM);
            const char *words[] = {"--db", f->path, every_list[i][0], formats[n % 3], every_list[i][1], NULL};
            int out = scratch_file(), err = scratch_file(), saved_out = dup(1), saved_err = dup(2);
            char *argv[8] = {(char *)"procledger"};
            int argc = 1;
            for (; words[argc - 1]; argc++)
                argv[argc] = (char *)words[argc - 1];
            (void)dup2(out, 1);
            (void)dup2(err, 2);
            int status = pl_cli_main(argc, argv);
            fired = pl_fault_fired();
            pl_fault_disarm();
            (void)fflush(NULL);
            (void)dup2(saved_out, 1);
            (void)dup2(saved_err, 2);
            char *text = read_back(err, NULL);
            if (fired && status == PL_EXIT_FAILED && !*text)
                fail_msg("%s, allocation %u: nothing was said", every_list[i][0], n);
            if (!fired && status != PL_EXIT_FINE)
                fail_msg("%s: status %d", every_list[i][0], status);
            free(text);
            assert_int_equal(close(out) | close(saved_out) | close(saved_err), 0);
            assert_true(n < 1000);
        }
    }
}

static void test_doctor_rows(void **state)
{
    const fixture *f = *state;
    ran r = run(f->path, "doctor", "--json");

    assert_true(is_json(r.out));
    assert_non_null(strstr(r.out, "\"kind\":\"ledger\""));
    assert_non_null(strstr(r.out, "nobody records into this ledger now"));
    assert_true(r.status == PL_EXIT_FINE || r.status == PL_EXIT_NO_MATCH);
    done(&r);
    pl_store *recorder = open_store(f->path, PL_STORE_RECORDER);
    char running[64];
    (void)snprintf(running, sizeof(running), "running, pid %d", (int)getpid());
    r = run(f->path, "doctor", "--csv");
    assert_non_null(strstr(r.out, running));
    assert_int_equal(strncmp(r.out, "kind,name,state,detail,remedy\r\n", 31), 0);
    done(&r);
    assert_null(pl_store_close(recorder));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_help_of_every_command),
        cmocka_unit_test(test_help_lists_what_is_taken),
        cmocka_unit_test_setup_teardown(test_without_a_command, prepare, tear_down),
        cmocka_unit_test_setup_teardown(test_no_ledger, prepare, tear_down),
        cmocka_unit_test_setup_teardown(test_damaged_or_newer, prepare, tear_down),
        cmocka_unit_test_setup_teardown(test_which_ledger, prepare, tear_down),
        cmocka_unit_test_setup_teardown(test_output_that_fails, prepare, tear_down),
        cmocka_unit_test_setup_teardown(test_hostile_ledger, prepare, tear_down),
        cmocka_unit_test_setup_teardown(test_colors, prepare, tear_down),
        cmocka_unit_test_setup_teardown(test_no_memory, prepare, tear_down),
        cmocka_unit_test_setup_teardown(test_doctor_rows, prepare, tear_down),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A ledger with a few executions of known shape, and the whole program run on it inside the test: argv in, status,
 * stdout and stderr out. The environment that matters is set, not inherited.
 */
#ifndef PL_TESTS_CLI_SUPPORT_H
#define PL_TESTS_CLI_SUPPORT_H

#include "tests/unit/store/store_support.h"
#include "tools/procledger/cli.h"

#define ESC "\x1b"
#define BIDI "\xe2\x80\xae" /* U+202E, right-to-left override */
#define C1 "\xc2\x9b"       /* U+009B, control sequence introducer */
#define HOSTILE "a" ESC "[31m" BIDI C1 "\n\xff\t'\"\\,b"

typedef struct ran {
    int status;
    char *out, *err; /* owned; NUL-terminated */
    size_t out_length;
} ran;

HELPER char *read_back(int fd, size_t *length)
{
    off_t size = lseek(fd, 0, SEEK_END);
    char *text = calloc(1, (size_t)size + 1);

    assert_non_null(text);
    assert_int_equal(pread(fd, text, (size_t)size, 0), size);
    if (length)
        *length = (size_t)size;
    assert_int_equal(close(fd), 0);
    return text;
}

HELPER int scratch_file(void)
{
    char name[] = "/tmp/procledger-test.XXXXXX";
    int fd = mkstemp(name);

    assert_true(fd >= 0);
    assert_int_equal(unlink(name), 0);
    return fd;
}

/* procledger WORD... with a NULL at the end. */
HELPER ran run_words(const char *const *words)
{
    char *argv[32] = {(char *)"procledger"};
    int argc = 1, out = scratch_file(), err = scratch_file();
    ran result = {0};

    for (; words[argc - 1]; argc++)
        argv[argc] = (char *)words[argc - 1];
    (void)fflush(NULL);
    int saved_out = dup(STDOUT_FILENO), saved_err = dup(STDERR_FILENO);
    assert_true(saved_out >= 0 && saved_err >= 0);
    assert_true(dup2(out, STDOUT_FILENO) >= 0 && dup2(err, STDERR_FILENO) >= 0);
    result.status = pl_cli_main(argc, argv);
    (void)fflush(NULL);
    assert_true(dup2(saved_out, STDOUT_FILENO) >= 0 && dup2(saved_err, STDERR_FILENO) >= 0);
    assert_int_equal(close(saved_out) | close(saved_err), 0);
    result.out = read_back(out, &result.out_length);
    result.err = read_back(err, NULL);
    return result;
}

/* run(db, "log", "--json"): the same with --db. */
#define run(db, ...) run_words((const char *const[]){"--db", (db), __VA_ARGS__, NULL})

HELPER void done(ran *r)
{
    free(r->out);
    free(r->err);
    *r = (ran){0};
}

/* Runs, expects status and that stdout and stderr hold these texts (NULL: nothing is there at all). */
HELPER void expect(ran r, int status, const char *out, const char *err)
{
    if (r.status != status || (out ? !strstr(r.out, out) : *r.out != '\0') ||
        (err ? !strstr(r.err, err) : *r.err != '\0'))
        fail_msg("status %d, expected %d\nout: %s\nexpected: %s\nerr: %s\nexpected: %s", r.status, status, r.out,
                 out ? out : "(nothing)", r.err, err ? err : "(nothing)");
    done(&r);
}

HELPER void set_environment(void)
{
    assert_int_equal(setenv("TZ", "UTC", 1) | setenv("LC_ALL", "C", 1) | setenv("TERM", "xterm", 1), 0);
    assert_int_equal(unsetenv("PAGER") | unsetenv("NO_COLOR") | unsetenv("PROCLEDGER_DB"), 0);
}

/* What SQLite says of a text. */
HELPER bool is_json(const char *text)
{
    sqlite3 *db = NULL;
    sqlite3_stmt *s = NULL;

    assert_int_equal(sqlite3_open(":memory:", &db), SQLITE_OK);
    assert_int_equal(sqlite3_prepare_v2(db, "SELECT json_valid(?1)", -1, &s, NULL), SQLITE_OK);
    assert_int_equal(sqlite3_bind_text(s, 1, text, -1, SQLITE_STATIC), SQLITE_OK);
    assert_int_equal(sqlite3_step(s), SQLITE_ROW);
    bool valid = sqlite3_column_int(s, 0) == 1;
    assert_int_equal(sqlite3_finalize(s), SQLITE_OK);
    assert_int_equal(sqlite3_close(db), SQLITE_OK);
    return valid;
}

/* An image of a process; end_s 0: it runs. Times are seconds behind T0. */
typedef struct life {
    int64_t eid;
    pid_t pid;
    int64_t parent_eid, prev_eid;
    const char *path, *argument;
    int64_t start_s, end_s;
    pl_end_reason reason;
} life;

HELPER void add_lives(const char *path, const life *lives, size_t n)
{
    pl_writer *writer = open_writer(path, PL_STORE_RECORDER, NULL);
    const pl_run begin = {.version = "0", .source = "netlink", .boot_id = BOOT_A, .time_ns = T0};

    assert_int_equal(pl_writer_run_begin(writer, &begin), 0);
    for (size_t i = 0; i < n; i++) {
        const life *l = &lives[i];
        char argv[256];
        int length = snprintf(argv, sizeof(argv), "%s%c%s", l->path, 0, l->argument ? l->argument : "-v");
        pl_execution execution = execution_of(l->eid);
        execution.time_ns = T0 + l->start_s * SECOND + 5 * PL_NS_PER_MS;
        execution.pid = l->pid;
        execution.parent_eid = l->parent_eid;
        execution.prev_eid = l->prev_eid;
        execution.path = l->path;
        execution.filename = l->path;
        execution.argv = argv;
        execution.argv_length = (size_t)length + 1;
        assert_int_equal(pl_writer_execution(writer, &execution), 0);
        pl_execution_hash hash = hash_of(l->eid, (unsigned)l->eid);
        assert_int_equal(pl_writer_hash(writer, &hash), 0);
        if (l->end_s == 0)
            continue;
        pl_execution_end end = {.eid = l->eid,
                                .time_ns = T0 + l->end_s * SECOND + 5 * PL_NS_PER_MS,
                                .duration_ns = (l->end_s - l->start_s) * SECOND,
                                .reason = l->reason ? l->reason : PL_END_EXIT,
                                .has_status = !l->reason || l->reason == PL_END_EXIT};
        assert_int_equal(pl_writer_end(writer, &end), 0);
    }
    assert_int_equal(pl_writer_flush(writer), 0);
    assert_null(pl_writer_free(writer));
}

#endif

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Flags and configuration of procledgerd: what is taken, what wins, and that what is refused is named. */
#include "tools/procledgerd/options.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "tests/support/fault.h"
#include "tests/support/temp_dir.h"

#define S PL_NS_PER_S

/* Parses "procledgerd" and these words. */
#define PARSE(options, ...) parse(options, (const char *[]){"procledgerd", __VA_ARGS__, NULL})

static int parse(pl_daemon_options *options, const char *const *words)
{
    char *argv[16];
    int argc = 0;

    for (; words[argc]; argc++)
        argv[argc] = (char *)(uintptr_t)words[argc];
    argv[argc] = NULL;
    return pl_daemon_options_parse(argc, argv, options);
}

static void assert_refused(const char *word, const char *const *words)
{
    pl_daemon_options options;

    assert_int_equal(parse(&options, words), PL_ERR_INVALID);
    if (!strstr(pl_error_message(), word))
        fail_msg("'%s' does not name '%s'", pl_error_message(), word);
    pl_daemon_options_deinit(&options);
}

#define REFUSED(word, ...) assert_refused(word, (const char *[]){"procledgerd", __VA_ARGS__, NULL})

static void test_defaults(void **state)
{
    pl_daemon_options o;

    (void)state;
    assert_int_equal(parse(&o, (const char *[]){"procledgerd", NULL}), PL_DAEMON_RUN);
    assert_null(o.db);
    assert_string_equal(o.source, "auto");
    assert_int_equal(o.algorithms, PL_SHA256);
    assert_true(o.hashing);
    assert_int_equal(o.argv_mode, PL_ARGV_FULL);
    assert_null(o.ignore[0]);
    assert_false(o.live || o.probe || o.verbose || o.reuse_across_reboot);
    pl_daemon_options_deinit(&o);
}

static void test_every_flag(void **state)
{
    pl_daemon_options o;

    (void)state;
    assert_int_equal(PARSE(&o, "--db=/x/y.db", "--source", "scan", "--path-ttl=2d", "--pid-ttl", "90m",
                           "--algorithms=md5,sha512", "--retain=1w", "--max-db-size", "512M", "--argv=redact", "--live",
                           "--reuse-across-reboot"),
                     PL_DAEMON_RUN);
    assert_string_equal(o.db, "/x/y.db");
    assert_string_equal(o.source, "scan");
    assert_int_equal(o.path_ttl_ns, 2 * 86400 * S);
    assert_int_equal(o.pid_ttl_ns, 5400 * S);
    assert_int_equal(o.algorithms, PL_MD5 | PL_SHA512);
    assert_int_equal(o.retain_ns, 7 * 86400 * S);
    assert_int_equal(o.max_db_size, (uint64_t)512 << 20);
    assert_int_equal(o.argv_mode, PL_ARGV_REDACT);
    assert_true(o.live && o.reuse_across_reboot && o.hashing);
    pl_daemon_options_deinit(&o);
    assert_int_equal(PARSE(&o, "--ignore=/a/*", "--ignore", "/b", "--watch=/opt/bin", "--socket=/s", "--probe",
                           "--verbose", "--algorithms", "none"),
                     PL_DAEMON_RUN);
    assert_string_equal(o.ignore[0], "/a/*");
    assert_string_equal(o.ignore[1], "/b");
    assert_null(o.ignore[2]);
    assert_string_equal(o.watch[0], "/opt/bin");
    assert_string_equal(o.socket, "/s");
    assert_true(o.probe && o.verbose);
    assert_false(o.hashing);
    pl_daemon_options_deinit(&o);
}

static void test_bad_words_are_named(void **state)
{
    (void)state;
    REFUSED("--wath", "--wath");
    REFUSED("-x", "-x");
    REFUSED("stray", "stray");
    REFUSED("--db", "--db");
    REFUSED("audit", "--source=audit");
    REFUSED("1fortnight", "--path-ttl=1fortnight");
    REFUSED("soon", "--pid-ttl", "soon");
    REFUSED("md6", "--algorithms=sha256,md6");
    REFUSED("-1d", "--retain=-1d");
    REFUSED("2X", "--max-db-size=2X");
    REFUSED("some", "--argv=some");
    REFUSED("--live", "--live=yes");
    REFUSED("--retain: '0'", "--retain=0");
    REFUSED("--path-ttl: '0d'", "--path-ttl=0d");
    REFUSED("--max-db-size: '0G'", "--max-db-size=0G");
}

static void test_list_has_a_bound(void **state)
{
    char *argv[PL_DAEMON_LIST_MAX + 3] = {(char *)(uintptr_t) "procledgerd"};
    pl_daemon_options o;

    (void)state;
    for (int i = 0; i <= PL_DAEMON_LIST_MAX; i++)
        argv[i + 1] = (char *)(uintptr_t) "--ignore=/x";
    assert_int_equal(pl_daemon_options_parse(PL_DAEMON_LIST_MAX + 1, argv, &o), PL_DAEMON_RUN);
    pl_daemon_options_deinit(&o);
    assert_int_equal(pl_daemon_options_parse(PL_DAEMON_LIST_MAX + 2, argv, &o), PL_ERR_INVALID);
    assert_non_null(strstr(pl_error_message(), "--ignore"));
    pl_daemon_options_deinit(&o);
}

/* A configuration file with this text, as --config=FILE; *folder is to be freed. */
static char *config(char **folder, const char *text)
{
    *folder = pl_temp_dir_new();
    char *path = pl_temp_path(*folder, "procledgerd.conf"), *flag = NULL;

    pl_temp_write(path, text, strlen(text), 0600);
    assert_true(asprintf(&flag, "--config=%s", path) > 0);
    free(path);
    return flag;
}

static void test_file_means_what_flags_mean_and_flags_win(void **state)
{
    char *folder, *flag = config(&folder, "# a comment\n\n  retain = 30d  \nargv=off\nlive\nignore = /a b/*\n"
                                          "ignore = /c\npid-ttl = 5m");
    pl_daemon_options o;

    (void)state;
    assert_int_equal(PARSE(&o, "--retain=1d", flag, "--ignore=/d"), PL_DAEMON_RUN);
    assert_int_equal(o.retain_ns, 86400 * S);
    assert_int_equal(o.pid_ttl_ns, 300 * S);
    assert_int_equal(o.argv_mode, PL_ARGV_OFF);
    assert_true(o.live);
    assert_string_equal(o.ignore[0], "/a b/*");
    assert_string_equal(o.ignore[1], "/c");
    assert_string_equal(o.ignore[2], "/d");
    pl_daemon_options_deinit(&o);
    free(flag);
    (void)pl_temp_dir_free(folder);
}

static void test_bad_lines_are_named_with_their_number(void **state)
{
    static const struct {
        const char *text, *word;
    } bad[] = {{"live\nretian = 30d\n", ":2: unknown option 'retian'"}, {"retain\n", ":1: 'retain' needs a value"},
               {"live = yes\n", ":1: 'live' takes no value"},           {"retain = x\n", "'x'"},
               {"config = /y\n", ":1: unknown option 'config'"},        {"help\n", ":1: unknown option 'help'"}};
    pl_daemon_options o;

    (void)state;
    for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
        char *folder, *flag = config(&folder, bad[i].text);
        assert_int_equal(PARSE(&o, flag), PL_ERR_INVALID);
        if (!strstr(pl_error_message(), bad[i].word))
            fail_msg("'%s' does not say '%s'", pl_error_message(), bad[i].word);
        pl_daemon_options_deinit(&o);
        free(flag);
        (void)pl_temp_dir_free(folder);
    }
    REFUSED("/nowhere/at/all", "--config=/nowhere/at/all");
    REFUSED("/", "--config=/");
}

static void test_help_and_version_end_it(void **state)
{
    pl_daemon_options o;

    (void)state;
    assert_int_equal(PARSE(&o, "--version"), PL_DAEMON_DONE);
    pl_daemon_options_deinit(&o);
    assert_int_equal(PARSE(&o, "--help"), PL_DAEMON_DONE);
    pl_daemon_options_deinit(&o);
}

static void test_no_memory(void **state)
{
    pl_daemon_options o;
    unsigned n = 1;

    (void)state;
    for (bool fired = true; fired; n++) {
        pl_fault_arm(PL_FAULT_ALLOC, n, ENOMEM);
        int rc = PARSE(&o, "--db=/x", "--ignore=/a", "--socket=/s", "--source=scan");
        fired = pl_fault_fired();
        pl_fault_disarm();
        assert_int_equal(rc, fired ? PL_ERR_NOMEM : 0);
        pl_daemon_options_deinit(&o);
    }
    assert_int_equal(n, 6); /* one for each of the four strings, then none */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_defaults),
        cmocka_unit_test(test_every_flag),
        cmocka_unit_test(test_bad_words_are_named),
        cmocka_unit_test(test_list_has_a_bound),
        cmocka_unit_test(test_file_means_what_flags_mean_and_flags_win),
        cmocka_unit_test(test_bad_lines_are_named_with_their_number),
        cmocka_unit_test(test_help_and_version_end_it),
        cmocka_unit_test(test_no_memory),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

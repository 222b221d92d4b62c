/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* PATH|SHA256: which of the two a word is, which content a prefix names, and which paths a path may have run under. */
#include "tests/unit/tools/cli_support.h"

#include "tests/support/fault.h"

#include <errno.h>

#define DIGEST_A "aaaaaaaa0000000000000000000000000000000000000000000000000000000a"
#define DIGEST_B "aaaaaaaa1111111111111111111111111111111111111111111111111111111b"
#define DIGEST_C "cccccccc0000000000000000000000000000000000000000000000000000000c"

static int set_up_ledger(void **state)
{
    set_environment();
    assert_int_equal(set_up(state), 0);
    const fixture *f = *state;
    (void)pl_store_close(open_store(f->path, PL_STORE_WRITE));
    force(f->path,
          "INSERT INTO _content(sha256, size) VALUES('" DIGEST_A "', 1), ('" DIGEST_B "', 2), ('" DIGEST_C "', 3)");
    return 0;
}

/* What the word means; the target is the caller's. */
static int look(const fixture *f, const char *word, pl_target *target)
{
    pl_cli cli = {.store = open_store(f->path, PL_STORE_READ)};
    int rc = pl_target_init(target, &cli, word);

    assert_null(pl_store_close(cli.store));
    return rc;
}

static void is_content(const fixture *f, const char *word, int code, const char *digest)
{
    pl_target target;

    assert_int_equal(look(f, word, &target), code);
    assert_string_equal(target.sha256, digest);
    assert_null(target.path);
    pl_target_deinit(&target);
}

/* real NULL: whatever. */
static void is_path(const fixture *f, const char *word, const char *path, const char *real)
{
    pl_target target;

    assert_int_equal(look(f, word, &target), 0);
    assert_string_equal(target.sha256, "");
    assert_string_equal(target.path, path);
    if (real)
        assert_string_equal(target.real, real);
    pl_target_deinit(&target);
}

static void test_digests(void **state)
{
    const fixture *f = *state;

    is_content(f, DIGEST_A, 0, DIGEST_A);
    is_content(f, "aaaaaaaa0", 0, DIGEST_A);
    is_content(f, "aaaaaaaa1", 0, DIGEST_B);
    is_content(f, "cccccccc", 0, DIGEST_C);
    is_content(f, "CCCCCCCC0", 0, DIGEST_C);
    is_content(f, "dddddddd", PL_PENDING, "");
    is_content(f, "cccccccc00000000000000000000000000000000000000000000000000000000", PL_PENDING, "");
}

static void test_ambiguous_prefix(void **state)
{
    const fixture *f = *state;

    is_content(f, "aaaaaaaa", PL_ERR_INVALID, "");
    assert_non_null(strstr(pl_error_message(), "'aaaaaaaa'"));
    assert_non_null(strstr(pl_error_message(), "more than one"));
}

/* What has too few or too many digits, or another character, is a path. */
static void test_what_is_no_digest(void **state)
{
    const fixture *f = *state;
    char path[512];

    assert_int_equal(chdir(f->dir), 0);
    static const char *const words[] = {"aaaaaaa", DIGEST_A "0", "aaaaaaag", "./aaaaaaaa", "aaaaaaaa.so"};
    for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
        const char *word = words[i];
        (void)snprintf(path, sizeof(path), "%s/%s", f->dir, strncmp(word, "./", 2) == 0 ? word + 2 : word);
        is_path(f, word, path, path);
    }
}

static void test_a_digest_that_is_none(void **state)
{
    const fixture *f = *state;
    pl_target target;

    force(f->path, "UPDATE _content SET sha256 = 'eeeeeeee00' WHERE sha256 = '" DIGEST_C "'");
    assert_int_equal(look(f, "eeeeeeee", &target), PL_ERR_DAMAGED);
    pl_target_deinit(&target);
    assert_int_equal(look(f, "eeeeeeee00", &target), PL_ERR_DAMAGED);
    pl_target_deinit(&target);
}

static void test_paths_are_made_absolute(void **state)
{
    const fixture *f = *state;
    char path[512];

    assert_int_equal(chdir(f->dir), 0);
    (void)snprintf(path, sizeof(path), "%s/program", f->dir);
    is_path(f, "program", path, NULL);
    is_path(f, "./program", path, NULL);
    is_path(f, ".//./program", path, NULL);
    is_path(f, "program/", path, NULL);
    is_path(f, path, path, NULL);
    is_path(f, "/", "/", "/");
    is_path(f, "//usr/./lib//x/.", "/usr/lib/x", NULL);
    is_path(f, ".", f->dir, f->dir);
    assert_int_equal(chdir("/"), 0);
    is_path(f, "usr/bin/env", "/usr/bin/env", NULL);
}

static void test_links_are_resolved(void **state)
{
    const fixture *f = *state;
    char path[512], real[512];
    char *file = pl_temp_path(f->dir, "file"), *link_name = pl_temp_path(f->dir, "link"),
         *folder = pl_temp_path(f->dir, "folder"), *way = pl_temp_path(f->dir, "way");

    pl_temp_write(file, "x", 1, 0755);
    assert_int_equal(symlink(file, link_name), 0);
    assert_int_equal(mkdir(folder, 0700), 0);
    assert_int_equal(symlink(folder, way), 0);
    is_path(f, link_name, link_name, file);
    /* A file that is gone, behind a link that is not. */
    (void)snprintf(path, sizeof(path), "%s/gone", way);
    (void)snprintf(real, sizeof(real), "%s/gone", folder);
    is_path(f, path, path, real);
    (void)snprintf(path, sizeof(path), "%s/../gone", way);
    (void)snprintf(real, sizeof(real), "%s/gone", f->dir);
    is_path(f, path, path, real);
    /* A folder that is gone too. */
    pl_target target;
    (void)snprintf(path, sizeof(path), "%s/no/where", f->dir);
    assert_int_equal(look(f, path, &target), 0);
    assert_string_equal(target.path, path);
    assert_null(target.real);
    pl_target_deinit(&target);
    free(file);
    free(link_name);
    free(folder);
    free(way);
}

static void test_no_path(void **state)
{
    const fixture *f = *state;
    pl_target target;
    char *folder = pl_temp_path(f->dir, "gone");

    assert_int_equal(look(f, "", &target), PL_ERR_INVALID);
    pl_target_deinit(&target);
    assert_int_equal(mkdir(folder, 0700), 0);
    assert_int_equal(chdir(folder), 0);
    assert_int_equal(rmdir(folder), 0);
    assert_true(look(f, "relative", &target) < 0);
    assert_non_null(strstr(pl_error_message(), "'relative'"));
    pl_target_deinit(&target);
    is_path(f, "/absolute", "/absolute", "/absolute");
    assert_int_equal(chdir("/"), 0);
    free(folder);
}

static void test_no_memory(void **state)
{
    const fixture *f = *state;
    pl_cli cli = {.store = open_store(f->path, PL_STORE_READ)};
    bool fired = true;

    assert_int_equal(chdir("/"), 0);
    for (unsigned n = 1; fired; n++) {
        pl_target target;
        pl_fault_arm(PL_FAULT_ALLOC, n, ENOMEM);
        int rc = pl_target_init(&target, &cli, n % 2 ? "etc/x" : DIGEST_A);
        fired = pl_fault_fired();
        pl_fault_disarm();
        assert_true(rc == 0 || rc == PL_ERR_NOMEM);
        pl_target_deinit(&target);
        assert_true(n < 100);
    }
    assert_null(pl_store_close(cli.store));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_digests, set_up_ledger, tear_down),
        cmocka_unit_test_setup_teardown(test_ambiguous_prefix, set_up_ledger, tear_down),
        cmocka_unit_test_setup_teardown(test_what_is_no_digest, set_up_ledger, tear_down),
        cmocka_unit_test_setup_teardown(test_a_digest_that_is_none, set_up_ledger, tear_down),
        cmocka_unit_test_setup_teardown(test_paths_are_made_absolute, set_up_ledger, tear_down),
        cmocka_unit_test_setup_teardown(test_links_are_resolved, set_up_ledger, tear_down),
        cmocka_unit_test_setup_teardown(test_no_path, set_up_ledger, tear_down),
        cmocka_unit_test_setup_teardown(test_no_memory, set_up_ledger, tear_down),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Interned values: one row for each exact value, however often it comes, whatever the memory in front of the table has
 * forgotten, and never a number that stood for something else.
 */
#include "tests/unit/store/store_support.h"

#include <errno.h>

#include "ledger/store/database.h"
#include "ledger/store/intern.h"
#include "tests/support/fault.h"

typedef struct room {
    fixture *f;
    pl_store *store;
    pl_interns *interns;
} room;

static int open_room(void **state)
{
    room *r = calloc(1, sizeof(*r));
    void *f = NULL;

    assert_int_equal(set_up(&f), 0);
    r->f = f;
    r->store = open_store(r->f->path, PL_STORE_RECORDER);
    assert_int_equal(pl_interns_new(r->store, &r->interns), 0);
    assert_int_equal(pl_database_begin(r->store), 0);
    *state = r;
    return 0;
}

static int close_room(void **state)
{
    room *r = *state;
    void *f = r->f;

    pl_database_rollback(r->store);
    (void)pl_interns_free(r->interns);
    (void)pl_store_close(r->store);
    free(r);
    return tear_down(&f);
}

static void next_transaction(room *r)
{
    assert_int_equal(pl_database_commit(r->store), 0);
    assert_int_equal(pl_database_begin(r->store), 0);
}

static int64_t path_id(room *r, const char *bytes)
{
    int64_t id = -1;

    assert_int_equal(pl_intern_path(r->interns, bytes, &id), 0);
    return id;
}

static int64_t command_id(room *r, const char *argv, size_t length)
{
    int64_t id = -1;

    assert_int_equal(pl_intern_command(r->interns, argv, length, &id), 0);
    return id;
}

static int64_t context_id(room *r, int64_t boot, const pl_execution *e)
{
    int64_t id = -1;

    assert_int_equal(pl_intern_context(r->interns, boot, e, &id), 0);
    return id;
}

static int64_t content_id(room *r, const pl_digest_set *set, uint64_t size)
{
    int64_t id = -1;

    assert_int_equal(pl_intern_content(r->interns, set, size, &id), 0);
    return id;
}

static int64_t cred_id(room *r, const pl_execution *e)
{
    int64_t id = -1;

    assert_int_equal(pl_intern_cred(r->interns, e, &id), 0);
    return id;
}

static void test_what_is_not_known_is_row_0(void **state)
{
    room *r = *state;

    assert_int_equal(path_id(r, NULL), 0);
    assert_int_equal(command_id(r, NULL, 0), 0);
    next_transaction(r);
    assert_answer(r->f->path, "SELECT (SELECT count(*) FROM _path), (SELECT count(*) FROM _command)", "1|1");
}

static void test_equal_paths_share_a_row_also_after_forgetting(void **state)
{
    room *r = *state;
    int64_t a = path_id(r, "/bin/a"), b = path_id(r, "/bin/b");

    assert_true(a > 0 && b > 0 && a != b);
    for (int round = 0; round < 2; round++) {
        assert_int_equal(path_id(r, "/bin/a"), a);
        assert_int_equal(path_id(r, "/bin/b"), b);
        pl_interns_clear(r->interns);
    }
    next_transaction(r);
    assert_int_equal(path_id(r, "/bin/a"), a);
    assert_answer(r->f->path, "SELECT text, hex(bytes) FROM _path WHERE id <> 0 ORDER BY id", "/bin/a|\n/bin/b|");
}

/* Three names with one text: only the bytes tell them apart. */
static void test_paths_with_one_text_are_told_apart_by_their_bytes(void **state)
{
    static const char *const names[] = {"/a\xff", "/a\\xff", "/tab\tx", "/tab\\tx", "/\xc2\x85", "/\\u0085"};
    room *r = *state;
    int64_t ids[6];

    for (int i = 0; i < 6; i++)
        ids[i] = path_id(r, names[i]);
    pl_interns_clear(r->interns);
    for (int i = 0; i < 6; i++) {
        assert_int_equal(path_id(r, names[i]), ids[i]);
        for (int k = 0; k < i; k++)
            assert_int_not_equal(ids[i], ids[k]);
    }
    next_transaction(r);
    assert_answer(r->f->path, "SELECT text, hex(bytes), typeof(bytes) FROM _path WHERE id <> 0 ORDER BY id",
                  "/a\\xff|2F61FF|blob\n/a\\xff||blob\n/tab\\tx|2F7461620978|blob\n/tab\\tx||blob\n"
                  "/\\u0085|2FC285|blob\n/\\u0085||blob");
}

static void test_longest_path_is_kept_whole(void **state)
{
    char path[4096];
    room *r = *state;

    memset(path, 0xfe, sizeof(path));
    path[0] = '/';
    path[sizeof(path) - 1] = '\0';
    int64_t id = path_id(r, path);
    pl_interns_clear(r->interns);
    assert_int_equal(path_id(r, path), id);
    next_transaction(r);
    assert_answer(r->f->path, "SELECT length(bytes), length(text) FROM _path WHERE id <> 0", "4095|16377");
}

static void test_command_lines_are_told_apart_by_their_exact_bytes(void **state)
{
    static const struct {
        const char *argv;
        size_t length;
    } lines[] = {
        {"a\0b\0", 4}, {"a b\0", 4}, {"a\0b", 3}, {"a\0\0b\0", 5}, {"a  b\0", 5}, {"\xff\0", 2}, {"\\xff\0", 5},
        {"\n\0", 2},   {"\\n\0", 3}, {"", 0},     {"\0", 1},       {" \0", 2},    {"\0\0", 2},
    };
    const int n = (int)(sizeof(lines) / sizeof(lines[0]));
    room *r = *state;
    int64_t ids[20];

    for (int i = 0; i < n; i++)
        ids[i] = command_id(r, lines[i].argv, lines[i].length);
    pl_interns_clear(r->interns);
    for (int i = 0; i < n; i++) {
        assert_int_equal(command_id(r, lines[i].argv, lines[i].length), ids[i]);
        for (int k = 0; k < i; k++)
            assert_int_not_equal(ids[i], ids[k]);
    }
    next_transaction(r);
    assert_answer(r->f->path, "SELECT count(*), sum(bytes IS NOT NULL), hex(max(bytes)) FROM commands", "13|1|FF00");
}

/* Two lines whose hashes are made equal by hand are still two. */
static void test_equal_hash_is_not_taken_for_equality(void **state)
{
    room *r = *state;
    int64_t a = command_id(r, "first\0", 6);

    assert_int_equal(pl_database_exec(r->store, "UPDATE _command SET cmdline = 'other' WHERE id <> 0"), 0);
    pl_interns_clear(r->interns);
    int64_t b = command_id(r, "first\0", 6);
    assert_int_not_equal(a, b);
    pl_interns_clear(r->interns);
    assert_int_equal(command_id(r, "first\0", 6), b);
}

static void test_long_command_line_is_found_without_memory(void **state)
{
    const size_t length = 2 << 20;
    room *r = *state;
    char *argv = calloc(1, length);

    memset(argv, 'v', length - 1);
    int64_t id = command_id(r, argv, length);
    assert_int_equal(command_id(r, argv, length), id);
    argv[length - 2] = 'w';
    assert_int_not_equal(command_id(r, argv, length), id);
    free(argv);
    next_transaction(r);
    assert_answer(r->f->path, "SELECT count(*), max(length(cmdline)) FROM commands", "2|2097151");
}

static void test_unknown_ids_are_null_and_no_number(void **state)
{
    room *r = *state;
    pl_execution e = {.uid = 1, .euid = 2, .suid = 3, .gid = 4, .egid = 5, .auid = PL_NO_ID, .session = PL_NO_ID};
    int64_t a = cred_id(r, &e);

    e.auid = 0;
    int64_t b = cred_id(r, &e);
    e.uid = PL_NO_ID - 1;
    int64_t c = cred_id(r, &e);
    assert_true(a != b && b != c);
    pl_interns_clear(r->interns);
    assert_int_equal(cred_id(r, &e), c);
    e.uid = 1;
    assert_int_equal(cred_id(r, &e), b);
    e.auid = PL_NO_ID;
    assert_int_equal(cred_id(r, &e), a);
    next_transaction(r);
    assert_answer(r->f->path, "SELECT uid, euid, suid, gid, egid, auid FROM _cred ORDER BY id",
                  "1|2|3|4|5|NULL\n1|2|3|4|5|0\n4294967294|2|3|4|5|0");
}

static void test_contexts_differ_in_any_of_their_parts(void **state)
{
    room *r = *state;
    const pl_execution base = {.session = PL_NO_ID, .source = PL_EVENTS_SCAN};
    pl_execution all[9];
    int64_t ids[10];

    for (int i = 0; i < 9; i++)
        all[i] = base;
    all[1].session = 0;
    all[2].mnt_ns = 7;
    all[3].source = PL_EVENTS_BPF;
    all[4].tty = "";
    all[5].tty = "x";
    all[6].cgroup = "x";
    all[7].container = "x";
    all[8].tty = "x\ny";
    for (int i = 0; i < 9; i++)
        ids[i] = context_id(r, 0, &all[i]);
    int64_t boot = -1;
    assert_int_equal(pl_intern_boot(r->interns, BOOT_A, &boot), 0);
    assert_int_equal(pl_intern_boot(r->interns, BOOT_A, &boot), 0);
    ids[9] = context_id(r, boot, &base);
    pl_interns_clear(r->interns);
    for (int i = 0; i < 9; i++) {
        assert_int_equal(context_id(r, 0, &all[i]), ids[i]);
        for (int k = 0; k < i; k++)
            assert_int_not_equal(ids[i], ids[k]);
    }
    assert_int_equal(context_id(r, boot, &base), ids[9]);
    next_transaction(r);
    assert_answer(r->f->path, "SELECT count(*), count(DISTINCT tty), max(tty), sum(session IS NULL) FROM _context",
                  "10|3|x\\ny|9");
}

/* Too long for the memory in front: looked up in the table each time. */
static void test_context_of_any_length(void **state)
{
    room *r = *state;
    char cgroup[4096];
    pl_execution e = {.session = PL_NO_ID, .source = PL_EVENTS_SCAN, .cgroup = cgroup};

    memset(cgroup, 'c', sizeof(cgroup));
    cgroup[sizeof(cgroup) - 1] = '\0';
    int64_t id = context_id(r, 0, &e);
    assert_int_equal(context_id(r, 0, &e), id);
    cgroup[sizeof(cgroup) - 2] = 'd';
    assert_int_not_equal(context_id(r, 0, &e), id);
}

static pl_digest_set with(pl_digest_set set, pl_algorithm algorithm, uint32_t length)
{
    for (int i = 0; i < PL_ALGORITHM_COUNT; i++) {
        if (!set.digests[i].algorithm) {
            set.digests[i] = (pl_digest){.algorithm = algorithm, .length = length};
            memset(set.digests[i].bytes, (int)length, length);
            break;
        }
    }
    return set;
}

static void test_content_gathers_the_algorithms_that_come(void **state)
{
    room *r = *state;
    pl_digest_set plain = digests_of(1), md5 = with(plain, PL_MD5, 16), sha1 = with(plain, PL_SHA1, 20);
    pl_digest_set full = with(sha1, PL_SHA512, 64);
    int64_t id = content_id(r, &plain, 9);

    assert_int_equal(content_id(r, &md5, 9), id);
    assert_int_equal(content_id(r, &full, 9), id);
    assert_int_equal(content_id(r, &plain, 9), id);
    pl_interns_clear(r->interns);
    assert_int_equal(content_id(r, &md5, 9), id);
    pl_digest_set other = digests_of(2);
    assert_int_not_equal(content_id(r, &other, 9), id);
    next_transaction(r);
    assert_answer(r->f->path,
                  "SELECT substr(sha256, 1, 4), size, md5, sha1, substr(sha512, 1, 4) || length(sha512) FROM _content"
                  " WHERE id <> 0 ORDER BY id",
                  "0100|9|10101010101010101010101010101010|1414141414141414141414141414141414141414|4040128\n"
                  "0200|9|NULL|NULL|NULL");
}

static void test_content_without_a_sha256_is_refused(void **state)
{
    room *r = *state;
    const pl_digest_set none = {0}, md5 = with(none, PL_MD5, 16);
    int64_t id = -7;

    assert_int_equal(pl_intern_content(r->interns, &none, 1, &id), PL_ERR_INVALID);
    assert_int_equal(pl_intern_content(r->interns, &md5, 1, &id), PL_ERR_INVALID);
    assert_int_equal(id, -7);
}

static void test_images_differ_in_any_of_their_parts(void **state)
{
    room *r = *state;
    pl_image_row image = {0};
    int64_t *const parts[] = {&image.path_id, &image.content_id, &image.hash_state,     &image.assurance,
                              &image.mode,    &image.flags,      &image.script_path_id, &image.script_content_id};
    int64_t ids[9], again = -1;

    image.hash_state = PL_HASH_NONE;
    assert_int_equal(pl_intern_image(r->interns, &image, &ids[8]), 0);
    /* All parts as in row 0. */
    assert_int_equal(ids[8], 0);
    for (int i = 0; i < 8; i++) {
        *parts[i] += 1;
        assert_int_equal(pl_intern_image(r->interns, &image, &ids[i]), 0);
        pl_interns_clear(r->interns);
        assert_int_equal(pl_intern_image(r->interns, &image, &again), 0);
        assert_int_equal(again, ids[i]);
        for (int k = 0; k < i; k++)
            assert_int_not_equal(ids[i], ids[k]);
    }
}

/* More values than the memory holds: it is emptied on the way, and every id stays what it was. */
static void test_full_memory_is_emptied_and_nothing_is_lost(void **state)
{
    enum { MANY = 70000 };
    room *r = *state;
    int64_t *ids = calloc(MANY, sizeof(*ids));
    pl_execution e = {0};

    for (uint32_t i = 0; i < MANY; i++) {
        e.uid = i;
        ids[i] = cred_id(r, &e);
    }
    for (uint32_t i = 0; i < MANY; i += 97) {
        e.uid = i;
        assert_int_equal(cred_id(r, &e), ids[i]);
    }
    free(ids);
    next_transaction(r);
    assert_int_equal(ask_number(r->f->path, "SELECT count(*) FROM _cred"), MANY);
}

static void test_rolled_back_ids_are_not_remembered(void **state)
{
    room *r = *state;
    int64_t kept = path_id(r, "/kept");

    next_transaction(r);
    int64_t lost = path_id(r, "/lost");
    pl_database_rollback(r->store);
    pl_interns_clear(r->interns);
    assert_int_equal(pl_database_begin(r->store), 0);
    int64_t other = path_id(r, "/other");
    /* The number is free again, since nobody ever saw it: what it names must be what the file says. */
    assert_int_equal(other, lost);
    assert_int_equal(path_id(r, "/kept"), kept);
    assert_int_not_equal(path_id(r, "/lost"), other);
    next_transaction(r);
    assert_answer(r->f->path, "SELECT text FROM _path WHERE id <> 0 ORDER BY id", "/kept\n/other\n/lost");
}

static void test_committed_ids_are_never_used_twice(void **state)
{
    room *r = *state;
    pl_digest_set set = digests_of(3);
    pl_execution e = {.session = PL_NO_ID};
    int64_t ids[4] = {path_id(r, "/x"), command_id(r, "x\0", 2), content_id(r, &set, 1), context_id(r, 0, &e)};

    next_transaction(r);
    assert_int_equal(pl_database_exec(r->store, "DELETE FROM _path WHERE id <> 0; DELETE FROM _command WHERE id <> 0;"
                                                "DELETE FROM _content WHERE id <> 0; DELETE FROM _context;"),
                     0);
    pl_interns_clear(r->interns);
    next_transaction(r);
    assert_true(path_id(r, "/x") > ids[0]);
    assert_true(command_id(r, "x\0", 2) > ids[1]);
    assert_true(content_id(r, &set, 1) > ids[2]);
    assert_true(context_id(r, 0, &e) > ids[3]);
}

/* One of each; the first failure. */
static int intern_one_of_each(room *r, int64_t ids[6])
{
    const pl_digest_set set = with(digests_of(5), PL_MD5, 16);
    const pl_execution e = {.uid = 5, .session = 5, .tty = "pts/5", .cgroup = "/five\n", .source = PL_EVENTS_BPF};
    const pl_image_row image = {.path_id = 5, .mode = 5};
    int rc = pl_intern_path(r->interns, "/five\xff", &ids[0]);

    if (rc == 0)
        rc = pl_intern_command(r->interns, "five five\0\xff\0", 12, &ids[1]);
    if (rc == 0)
        rc = pl_intern_cred(r->interns, &e, &ids[2]);
    if (rc == 0)
        rc = pl_intern_context(r->interns, 0, &e, &ids[3]);
    if (rc == 0)
        rc = pl_intern_content(r->interns, &set, 5, &ids[4]);
    if (rc == 0)
        rc = pl_intern_image(r->interns, &image, &ids[5]);
    return rc;
}

static void test_every_allocation_may_fail(void **state)
{
    room *r = *state;
    int64_t first[6], ids[6];
    unsigned failures = 0, survived = 0;

    assert_int_equal(intern_one_of_each(r, first), 0);
    next_transaction(r);
    for (unsigned n = 1;; n++) {
        pl_interns_clear(r->interns);
        (void)pl_fault_arm(PL_FAULT_ALLOC, n, ENOMEM);
        int rc = intern_one_of_each(r, ids);
        bool fired = pl_fault_fired();
        pl_fault_disarm();
        if (rc < 0) {
            assert_int_equal(rc, PL_ERR_NOMEM);
            failures++;
            continue;
        }
        /* Memory that could not be kept costs a look at the file, no more. */
        assert_memory_equal(ids, first, sizeof(ids));
        if (!fired)
            break;
        survived++;
    }
    assert_true(failures >= 5);
    assert_true(survived >= 5);
    next_transaction(r);
    assert_answer(r->f->path,
                  "SELECT (SELECT count(*) FROM _path), (SELECT count(*) FROM _command), (SELECT count(*) FROM _cred),"
                  " (SELECT count(*) FROM _context), (SELECT count(*) FROM _content), (SELECT count(*) FROM _image)",
                  "2|2|1|1|2|2");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_what_is_not_known_is_row_0, open_room, close_room),
        cmocka_unit_test_setup_teardown(test_equal_paths_share_a_row_also_after_forgetting, open_room, close_room),
        cmocka_unit_test_setup_teardown(test_paths_with_one_text_are_told_apart_by_their_bytes, open_room, close_room),
        cmocka_unit_test_setup_teardown(test_longest_path_is_kept_whole, open_room, close_room),
        cmocka_unit_test_setup_teardown(test_command_lines_are_told_apart_by_their_exact_bytes, open_room, close_room),
        cmocka_unit_test_setup_teardown(test_equal_hash_is_not_taken_for_equality, open_room, close_room),
        cmocka_unit_test_setup_teardown(test_long_command_line_is_found_without_memory, open_room, close_room),
        cmocka_unit_test_setup_teardown(test_unknown_ids_are_null_and_no_number, open_room, close_room),
        cmocka_unit_test_setup_teardown(test_contexts_differ_in_any_of_their_parts, open_room, close_room),
        cmocka_unit_test_setup_teardown(test_context_of_any_length, open_room, close_room),
        cmocka_unit_test_setup_teardown(test_content_gathers_the_algorithms_that_come, open_room, close_room),
        cmocka_unit_test_setup_teardown(test_content_without_a_sha256_is_refused, open_room, close_room),
        cmocka_unit_test_setup_teardown(test_images_differ_in_any_of_their_parts, open_room, close_room),
        cmocka_unit_test_setup_teardown(test_full_memory_is_emptied_and_nothing_is_lost, open_room, close_room),
        cmocka_unit_test_setup_teardown(test_rolled_back_ids_are_not_remembered, open_room, close_room),
        cmocka_unit_test_setup_teardown(test_committed_ids_are_never_used_twice, open_room, close_room),
        cmocka_unit_test_setup_teardown(test_every_allocation_may_fail, open_room, close_room),
    };

    return cmocka_run_group_tests_name("store_intern", tests, NULL, NULL);
}

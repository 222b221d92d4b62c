/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What the tests of ledger/store share: opening ledgers in folders of their own, records with sensible contents, and a
 * look into a file through a plain SQLite connection, which is what an analyst has.
 */
#ifndef PL_TESTS_STORE_SUPPORT_H
#define PL_TESTS_STORE_SUPPORT_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <dirent.h>
#include <fcntl.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "ledger/store/writer.h"
#include "tests/support/temp_dir.h"

#define HELPER __attribute__((unused)) static
#define SECOND PL_NS_PER_S
#define T0 (INT64_C(1700000000) * SECOND)
#define BOOT_A "aaaaaaaa-aaaa-4aaa-8aaa-aaaaaaaaaaaa"
#define BOOT_B "bbbbbbbb-bbbb-4bbb-8bbb-bbbbbbbbbbbb"

typedef struct fixture {
    char *dir, *path;
} fixture;

HELPER int set_up(void **state)
{
    fixture *f = calloc(1, sizeof(*f));

    f->dir = pl_temp_dir_new();
    f->path = pl_temp_path(f->dir, "ledger.db");
    *state = f;
    return 0;
}

HELPER int tear_down(void **state)
{
    fixture *f = *state;

    free(f->path);
    (void)pl_temp_dir_free(f->dir);
    free(f);
    return 0;
}

HELPER pl_store *open_store(const char *path, pl_store_mode mode)
{
    const pl_store_options options = {.mode = mode};
    pl_store *store = NULL;
    int rc = pl_store_open(path, &options, &store);

    if (rc < 0)
        print_error("%s\n", pl_error_message());
    assert_int_equal(rc, 0);
    return store;
}

HELPER pl_writer *open_writer(const char *path, pl_store_mode mode, const pl_writer_options *options)
{
    pl_writer *writer = NULL;

    assert_int_equal(pl_writer_new(open_store(path, mode), options, &writer), 0);
    return writer;
}

/* Rows joined by \n, columns by |, NULL as "NULL". Heap. */
HELPER char *ask(const char *path, const char *sql)
{
    sqlite3 *db = NULL;
    sqlite3_stmt *s = NULL;
    sqlite3_str *out = sqlite3_str_new(NULL);
    int rc = sqlite3_open_v2(path, &db, SQLITE_OPEN_READONLY, NULL);

    assert_int_equal(rc, SQLITE_OK);
    (void)sqlite3_busy_timeout(db, 10000);
    rc = sqlite3_prepare_v2(db, sql, -1, &s, NULL);
    if (rc != SQLITE_OK)
        print_error("%s: %s\n", sql, sqlite3_errmsg(db));
    assert_int_equal(rc, SQLITE_OK);
    for (int row = 0; (rc = sqlite3_step(s)) == SQLITE_ROW; row++) {
        sqlite3_str_appendall(out, row ? "\n" : "");
        for (int i = 0; i < sqlite3_column_count(s); i++) {
            const char *text = (const char *)sqlite3_column_text(s, i);
            sqlite3_str_appendf(out, "%s%s", i ? "|" : "", text ? text : "NULL");
        }
    }
    if (rc != SQLITE_DONE)
        print_error("%s: %s\n", sql, sqlite3_errmsg(db));
    assert_int_equal(rc, SQLITE_DONE);
    (void)sqlite3_finalize(s);
    (void)sqlite3_close(db);
    char *text = sqlite3_str_finish(out);
    char *copy = strdup(text ? text : "");
    sqlite3_free(text);
    return copy;
}

HELPER void assert_answer(const char *path, const char *sql, const char *expected)
{
    char *answer = ask(path, sql);

    if (strcmp(answer, expected) != 0)
        print_error("%s\n", sql);
    assert_string_equal(answer, expected);
    free(answer);
}

HELPER int64_t ask_number(const char *path, const char *sql)
{
    char *answer = ask(path, sql);
    int64_t number = strtoll(answer, NULL, 10);

    free(answer);
    return number;
}

/* Runs SQL on a file behind the store's back. */
HELPER void force(const char *path, const char *sql)
{
    sqlite3 *db = NULL;
    char *message = NULL;

    assert_int_equal(sqlite3_open_v2(path, &db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE, NULL), SQLITE_OK);
    (void)sqlite3_busy_timeout(db, 10000);
    int rc = sqlite3_exec(db, sql, NULL, NULL, &message);
    if (rc != SQLITE_OK)
        print_error("%s: %s\n", sql, message);
    assert_int_equal(rc, SQLITE_OK);
    (void)sqlite3_close(db);
}

/* Everything in a folder: names, modes, owners, sizes, times and a hash of the bytes, a line each. Heap. Not while a
 * handle of this process is open on a file in it: closing a descriptor of a database drops its locks. */
HELPER char *snapshot(const char *dir)
{
    struct dirent **list = NULL;
    int n = scandir(dir, &list, NULL, alphasort);
    char *text = NULL;
    size_t size = 0;
    FILE *out = open_memstream(&text, &size);

    assert_true(n >= 2);
    assert_non_null(out);
    for (int i = 0; i < n; i++) {
        struct stat status;
        uint64_t hash = UINT64_C(0xcbf29ce484222325);
        char *path = pl_temp_path(dir, list[i]->d_name);
        assert_return_code(lstat(path, &status), 0);
        FILE *file = S_ISREG(status.st_mode) ? fopen(path, "re") : NULL;
        for (int c; file && (c = getc(file)) != EOF;)
            hash = (hash ^ (unsigned)c) * UINT64_C(0x100000001b3);
        if (file)
            (void)fclose(file);
        if (!S_ISDIR(status.st_mode))
            (void)fprintf(out, "%s %o %u %lld %lld.%09ld %016llx\n", list[i]->d_name, (unsigned)status.st_mode,
                          (unsigned)status.st_uid, (long long)status.st_size, (long long)status.st_mtim.tv_sec,
                          status.st_mtim.tv_nsec, (unsigned long long)hash);
        free(path);
        free(list[i]);
    }
    free(list);
    assert_int_equal(fclose(out), 0);
    return text;
}

/* A statement of a part that this user or machine cannot test. */
#define LEAVE_OUT(...) print_message("left out: " __VA_ARGS__)

HELPER pl_digest_set digests_of(unsigned seed)
{
    pl_digest_set set = {0};

    set.digests[0].algorithm = PL_SHA256;
    set.digests[0].length = 32;
    memset(set.digests[0].bytes, 0, 32);
    for (unsigned i = 0; i < 4; i++)
        set.digests[0].bytes[i] = (uint8_t)(seed >> (8 * i));
    return set;
}

/* A plain execution: /usr/bin/true as root. Digests are the caller's matter. */
HELPER pl_execution execution_of(int64_t eid)
{
    return (pl_execution){
        .eid = eid,
        .time_ns = T0 + eid * 1000,
        .pid = (pid_t)(1000 + eid),
        .ppid = 1,
        .start_ticks = 5000 + (uint64_t)eid,
        .path = "/usr/bin/true",
        .filename = "/usr/bin/true",
        .name = "true",
        .cwd = "/",
        .argv = "true",
        .argv_length = 5,
        .auid = PL_NO_ID,
        .session = PL_NO_ID,
        .mode = S_IFREG | 0755,
        .mnt_ns = 4026531841,
        .cgroup = "/system.slice",
        .source = PL_EVENTS_NETLINK,
        .hash_state = PL_HASH_PENDING,
    };
}

HELPER pl_execution_end end_of(int64_t eid, int status)
{
    return (pl_execution_end){.eid = eid,
                              .time_ns = T0 + eid * 1000 + 2 * SECOND,
                              .duration_ns = 2 * SECOND,
                              .reason = PL_END_EXIT,
                              .has_status = true,
                              .status = status};
}

HELPER pl_execution_hash hash_of(int64_t eid, unsigned seed)
{
    return (pl_execution_hash){.eid = eid,
                               .hash_state = PL_HASH_OK,
                               .assurance = PL_ASSURANCE_PROBED,
                               .digests = digests_of(seed),
                               .size = 100 + seed};
}

HELPER pl_sighting sighting_of(const char *path, uint64_t inode, unsigned seed, int64_t time_ns)
{
    return (pl_sighting){
        .path = path,
        .mnt_ns = 1,
        .time_ns = time_ns,
        .detected_by = PL_DETECTED_EXEC,
        .hash_state = PL_HASH_OK,
        .assurance = PL_ASSURANCE_PROBED,
        .cacheable = true,
        .identity = {.inode = inode,
                     .size = 100 + seed,
                     .mtime_ns = T0 - SECOND,
                     .ctime_ns = T0 - SECOND + seed,
                     .btime_ns = T0 - 2 * SECOND,
                     .dev_major = 8,
                     .dev_minor = 1,
                     .mode = S_IFREG | 0755,
                     .nlink = 1},
        .fs =
            {.magic = 0xef53, .fsid = 77, .uuid = {1, 2, 3}, .generation = 9, .tier = PL_TIER_A, .fine_grained = true},
        .hashed_ns = time_ns,
        .wall_minus_boot_ns = T0,
        .boot_id = BOOT_A,
        .digests = digests_of(seed),
    };
}

#endif

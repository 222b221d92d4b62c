/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The serving protocol with a clock and a boot id that the test turns: restart, new boot, clock set back,
 * expiry, files that are too young, aliases and namespaces.
 */
#include "ledger/resolve.h"

#include "src/base/cleanup.h"
#include "tests/support/fake_clock.h"
#include "tests/support/fault.h"
#include "tests/support/sqlite_shell.h"
#include "tests/support/temp_dir.h"

#include <errno.h>
#include <fcntl.h>
#include <semaphore.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <sys/stat.h>

#include <cmocka.h>

#define S PL_NS_PER_S
#define DAY (INT64_C(86400) * S)
#define MS PL_NS_PER_MS
#define BOOT_A "aaaaaaaa-2222-3333-4444-555555555555"
#define BOOT_B "bbbbbbbb-2222-3333-4444-555555555555"

typedef struct fixture {
    char *dir, *db, *file;
    pl_fake_clock clock;
    pl_writer *writer;
    pl_resolve *resolve;
} fixture;

static void open_rooms(fixture *f, const char *boot_id, bool reuse)
{
    pl_store_options writing = {.mode = PL_STORE_WRITE}, reading = {.mode = PL_STORE_READ};
    pl_resolve_options options = {.clock = &f->clock.clock, .reuse_across_reboot = reuse, .retry_limit = 512};
    pl_store *store = NULL;

    assert_int_equal(pl_store_open(f->db, &writing, &store), 0);
    assert_int_equal(pl_writer_new(store, NULL, &f->writer), 0);
    assert_int_equal(pl_store_open(f->db, &reading, &options.reader), 0);
    memcpy(options.boot_id, boot_id, PL_BOOT_ID_SIZE);
    options.writer = f->writer;
    assert_int_equal(pl_resolve_new(&options, &f->resolve), 0);
}

static void close_rooms(fixture *f)
{
    f->resolve = pl_resolve_free(f->resolve);
    f->writer = pl_writer_free(f->writer);
}

static void reopen(fixture *f, const char *boot_id, bool reuse)
{
    close_rooms(f);
    open_rooms(f, boot_id, reuse);
}

static int setup(void **state)
{
    fixture *f = calloc(1, sizeof(*f));

    assert_non_null(f);
    f->dir = pl_temp_dir_new();
    f->db = pl_temp_path(f->dir, "ledger.db");
    f->file = pl_temp_path(f->dir, "file");
    pl_temp_write(f->file, "hello", 5, 0755);
    pl_fake_clock_init(&f->clock, pl_clock_realtime_ns(pl_clock_system()) + 10 * S,
                       pl_clock_boottime_ns(pl_clock_system()) + 10 * S);
    open_rooms(f, BOOT_A, false);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    fixture *f = *state;

    close_rooms(f);
    free(f->db);
    free(f->file);
    (void)pl_temp_dir_free(f->dir);
    free(f);
    return 0;
}

typedef struct got {
    sem_t there;
    pl_answer answer;
} got;

static void take(void *context, const pl_answer *answer)
{
    got *g = context;

    g->answer = *answer;
    (void)sem_post(&g->there);
}

/* Opens path as a pinned file, asks, waits; everything learned is committed afterwards. */
static pl_answer ask(fixture *f, const char *path, uint64_t mnt_ns)
{
    got g;
    pl_place place = {.path = path, .mnt_ns = mnt_ns, .detected_by = PL_DETECTED_EXEC};
    int fd = open(path, O_RDONLY | O_CLOEXEC);

    assert_return_code(fd, errno);
    assert_return_code(sem_init(&g.there, 0, 0), errno);
    assert_int_equal(pl_resolve_submit(f->resolve, fd, &place, false, take, &g), 0);
    while (sem_wait(&g.there) < 0)
        assert_int_equal(errno, EINTR);
    (void)sem_destroy(&g.there);
    pl_resolve_drain(f->resolve);
    assert_int_equal(pl_writer_flush(f->writer), 0);
    return g.answer;
}

static void check_source(fixture *f, const char *path, pl_answer_source source)
{
    pl_answer answer = ask(f, path, 1);

    assert_int_equal(answer.outcome, 0);
    assert_int_equal(answer.source, source);
    assert_int_equal(answer.digests.digests[0].bytes[0], 0x2c);
}

static void check_sql(fixture *f, const char *sql, const char *want)
{
    char *rows = pl_shell_query(f->db, sql);

    assert_string_equal(rows, want);
    free(rows);
}

static void test_same_boot_serves_without_reading(void **state)
{
    fixture *f = *state;

    check_source(f, f->file, PL_SOURCE_COMPUTED);
    check_source(f, f->file, PL_SOURCE_HOT);
    reopen(f, BOOT_A, false);
    check_source(f, f->file, PL_SOURCE_LEDGER);
    check_source(f, f->file, PL_SOURCE_HOT);
}

static void test_a_new_boot_reads_once_and_then_serves(void **state)
{
    fixture *f = *state;

    check_source(f, f->file, PL_SOURCE_COMPUTED);
    reopen(f, BOOT_B, false);
    check_source(f, f->file, PL_SOURCE_COMPUTED);
    reopen(f, BOOT_B, false);
    check_source(f, f->file, PL_SOURCE_LEDGER);
    check_sql(f, "select count(*) from file_history", "1\n");
}

static void test_reuse_across_reboot_is_an_explicit_choice(void **state)
{
    fixture *f = *state;

    check_source(f, f->file, PL_SOURCE_COMPUTED);
    reopen(f, BOOT_B, true);
    check_source(f, f->file, PL_SOURCE_LEDGER);
}

/* Changes the ledger behind the back of everybody. */
static void tamper(const fixture *f, const char *sql)
{
    pl_auto_free char *command = NULL;

    assert_true(asprintf(&command, "sqlite3 '%s' \"%s\"", f->db, sql) > 0);
    assert_int_equal(system(command), 0);
}

/* Device numbers mean nothing across boots: an equal inode, size and equal times on another file system are another
 * file, neither served nor worth an alert. */
static void test_another_file_system_in_another_boot_is_another_file(void **state)
{
    static const char *const elsewhere[] = {"update _version set uuid = randomblob(16), fsid = 12345",
                                            "update _version set generation = generation + 77 where generation <> 0"};
    fixture *f = *state;

    for (size_t i = 0; i < 2; i++) {
        check_source(f, f->file, PL_SOURCE_COMPUTED);
        close_rooms(f);
        char *generation = pl_shell_query(f->db, "select max(generation) from _version");
        tamper(f, elsewhere[i]);
        tamper(f, "update _content set sha256 = printf('%064d', id) where id <> 0");
        open_rooms(f, BOOT_B, true);
        if (i == 0 || strcmp(generation, "0\n") != 0)
            check_source(f, f->file, PL_SOURCE_COMPUTED);
        else
            print_message("no inode generations here: not compared\n");
        free(generation);
        check_sql(f, "select count(*) from changes where attention = 'alert'", "0\n");
        close_rooms(f);
        (void)unlink(f->db);
        open_rooms(f, BOOT_A, false);
    }
}

/* What the ledger cannot place is no reason to skip the read that a new boot costs. */
static void test_unknown_file_system_is_not_reused_across_a_reboot(void **state)
{
    fixture *f = *state;

    check_source(f, f->file, PL_SOURCE_COMPUTED);
    close_rooms(f);
    tamper(f, "update _version set uuid = NULL, fsid = 0, generation = 0");
    open_rooms(f, BOOT_B, true);
    check_source(f, f->file, PL_SOURCE_COMPUTED);
}

/* Finding moves last_seen in memory; the disk hears of it once, when the time for that has come. */
static void test_a_look_up_writes_nothing(void **state)
{
    fixture *f = *state;
    pl_place place = {.path = f->file, .mnt_ns = 1, .detected_by = PL_DETECTED_EXEC};
    pl_identity identity;
    pl_answer answer;
    pl_writer_stats before, after;

    check_source(f, f->file, PL_SOURCE_COMPUTED);
    assert_int_equal(pl_identity_of_path(AT_FDCWD, f->file, true, &identity), 0);
    pl_writer_stats_get(f->writer, &before);
    for (int i = 0; i < 1000; i++)
        assert_true(pl_resolve_recall(f->resolve, &identity, &place, &answer));
    pl_writer_stats_get(f->writer, &after);
    assert_int_equal(after.queued, 0);
    assert_int_equal(after.batches, before.batches);
    pl_fake_clock_advance(&f->clock, 60 * S);
    assert_true(pl_resolve_recall(f->resolve, &identity, &place, &answer));
    pl_resolve_flush_seen(f->resolve);
    assert_int_equal(pl_writer_flush(f->writer), 0);
    pl_writer_stats_get(f->writer, &after);
    assert_int_equal(after.batches, before.batches + 1);
    check_sql(f, "select last_time - first_time >= 60 from file_history", "1\n");
}

static void test_other_bytes_under_an_old_identity_are_an_alert(void **state)
{
    fixture *f = *state;

    /* The crash that keeps data and loses metadata cannot be had here: the ledger is told other bytes
     * instead. */
    check_source(f, f->file, PL_SOURCE_COMPUTED);
    close_rooms(f);
    tamper(f, "update _content set sha256='ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff' "
              "where id <> 0");
    open_rooms(f, BOOT_B, false);
    check_source(f, f->file, PL_SOURCE_COMPUTED);
    check_sql(f, "select attention, substr(old_sha256,1,4), substr(new_sha256,1,4) from changes", "alert|ffff|2cf2\n");
}

static void test_a_path_expires_after_its_day(void **state)
{
    fixture *f = *state;

    check_source(f, f->file, PL_SOURCE_COMPUTED);
    pl_fake_clock_advance(&f->clock, DAY - S);
    check_source(f, f->file, PL_SOURCE_HOT); /* seen: its day begins anew */
    pl_resolve_flush_seen(f->resolve);
    pl_fake_clock_advance(&f->clock, DAY - S);
    pl_resolve_sweep(f->resolve);
    check_source(f, f->file, PL_SOURCE_HOT);
    pl_resolve_flush_seen(f->resolve);
    pl_fake_clock_advance(&f->clock, DAY + S);
    pl_resolve_sweep(f->resolve);
    check_source(f, f->file, PL_SOURCE_COMPUTED); /* neither hot nor from the ledger */
}

static void test_a_file_that_is_too_young_is_read_again_before_it_is_cached(void **state)
{
    fixture *f = *state;
    char *young = pl_temp_path(f->dir, "young");

    pl_temp_write(young, "hello", 5, 0755);
    atomic_store(&f->clock.realtime_ns, pl_clock_realtime_ns(pl_clock_system()));
    check_source(f, young, PL_SOURCE_COMPUTED);
    int64_t wait = pl_resolve_retry(f->resolve);
    assert_true(wait > 0 && wait <= 2 * S);
    pl_fake_clock_advance(&f->clock, wait);
    assert_int_equal(pl_resolve_retry(f->resolve), -1);
    pl_resolve_drain(f->resolve);
    check_source(f, young, PL_SOURCE_HOT);
    free(young);
}

static void test_a_clock_set_back_drops_what_is_newer(void **state)
{
    fixture *f = *state;

    check_source(f, f->file, PL_SOURCE_COMPUTED);
    atomic_fetch_sub(&f->clock.realtime_ns, 3600 * S);
    pl_resolve_clock_changed(f->resolve);
    pl_answer answer = ask(f, f->file, 1);
    assert_int_equal(answer.source, PL_SOURCE_COMPUTED); /* its ctime lies in the future now: never cached */
    answer = ask(f, f->file, 1);
    assert_int_equal(answer.source, PL_SOURCE_COMPUTED);
}

static void test_the_clock_set_back_while_nothing_ran_is_noticed(void **state)
{
    fixture *f = *state;

    check_source(f, f->file, PL_SOURCE_COMPUTED);
    atomic_fetch_sub(&f->clock.realtime_ns, 3600 * S);
    reopen(f, BOOT_A, false);
    check_source(f, f->file, PL_SOURCE_COMPUTED);
}

static void test_a_hard_link_is_one_hash_and_two_histories(void **state)
{
    fixture *f = *state;
    char *other = pl_temp_path(f->dir, "other");

    assert_return_code(link(f->file, other), errno);
    check_source(f, f->file, PL_SOURCE_COMPUTED);
    check_source(f, other, PL_SOURCE_HOT);
    assert_int_equal(ask(f, f->file, 2).source, PL_SOURCE_HOT); /* the same path in another mount namespace */
    assert_int_equal(pl_writer_flush(f->writer), 0);
    check_sql(f, "select count(*), count(distinct sha256), count(distinct mnt_ns) from file_history", "3|1|2\n");
    free(other);
}

/* Bytes that became setuid were not so since they were first seen. */
static void test_another_mode_of_the_same_bytes_is_another_version(void **state)
{
    fixture *f = *state;

    check_source(f, f->file, PL_SOURCE_COMPUTED);
    assert_return_code(chmod(f->file, 04755), errno);
    atomic_store(&f->clock.realtime_ns, pl_clock_realtime_ns(pl_clock_system()) + 20 * S);
    check_source(f, f->file, PL_SOURCE_COMPUTED);
    check_source(f, f->file, PL_SOURCE_HOT);
    check_sql(f, "select mode & 4095, end_reason, count(*) over () from file_history order by version_id",
              "493|modified|2\n2541|~|2\n");
    check_sql(f, "select count(distinct sha256) from file_history", "1\n");
}

static void test_a_file_with_a_writer_is_answered_and_not_kept(void **state)
{
    fixture *f = *state;
    pl_auto_close int writer = open(f->file, O_WRONLY | O_CLOEXEC);

    assert_return_code(writer, errno);
    pl_answer answer = ask(f, f->file, 1);
    assert_int_equal(answer.outcome, 0);
    assert_int_equal(answer.assurance, PL_ASSURANCE_STAT);
    assert_int_equal(ask(f, f->file, 1).source, PL_SOURCE_COMPUTED);
}

/* ---- what is told ---- */

/* The last thing heard, and how many. Workers tell before they answer, so whoever waited for the answer may look. */
typedef struct heard {
    unsigned learned, seen;
    char path[256], container[64];
    uint64_t mnt_ns;
    pl_identity identity;
    int outcome;
    bool proven, background;
    pl_tier tier;
} heard;

static void on_learned(void *context, const pl_learned *learned)
{
    heard *h = context;

    h->learned++;
    (void)snprintf(h->path, sizeof(h->path), "%s", learned->place->path);
    (void)snprintf(h->container, sizeof(h->container), "%s",
                   learned->place->container ? learned->place->container : "");
    h->mnt_ns = learned->place->mnt_ns;
    h->background = learned->place->background;
    h->identity = *learned->identity;
    h->outcome = learned->outcome;
    h->proven = learned->proven;
    h->tier = learned->tier;
}

static void on_seen(void *context, const char *path, uint64_t mnt_ns)
{
    heard *h = context;

    h->seen++;
    (void)snprintf(h->path, sizeof(h->path), "%s", path);
    h->mnt_ns = mnt_ns;
}

static void listen_to(const fixture *f, heard *h)
{
    pl_resolve_listener listener = {.learned = on_learned, .seen = on_seen, .context = h};

    *h = (heard){0};
    pl_resolve_listen(f->resolve, &listener);
}

/* The last thing heard is that path, known by this proof, and it was the n-th. */
static void check_heard(const heard *h, unsigned n, const char *path, bool proven)
{
    pl_identity identity;

    assert_int_equal(h->learned, n);
    assert_string_equal(h->path, path);
    assert_int_equal(pl_identity_of_path(AT_FDCWD, path, true, &identity), 0);
    assert_true(pl_identity_equal(&h->identity, &identity));
    assert_int_equal(h->proven, proven);
}

static pl_identity identity_at(const char *path)
{
    pl_identity identity;

    assert_int_equal(pl_identity_of_path(AT_FDCWD, path, true, &identity), 0);
    return identity;
}

/* Asks for a place by path, below root_fd. */
static pl_answer ask_place(fixture *f, int root_fd, const pl_place *place)
{
    got g;

    assert_return_code(sem_init(&g.there, 0, 0), errno);
    assert_int_equal(pl_resolve_submit_path(f->resolve, root_fd, place, take, &g), 0);
    while (sem_wait(&g.there) < 0)
        assert_int_equal(errno, EINTR);
    (void)sem_destroy(&g.there);
    pl_resolve_drain(f->resolve);
    assert_int_equal(pl_writer_flush(f->writer), 0);
    return g.answer;
}

/* A look of the tracker's own, at a path that was seen at that boottime. */
static pl_answer look(fixture *f, const char *path, int64_t seen_ns)
{
    pl_place place = {
        .path = path, .mnt_ns = 1, .detected_by = PL_DETECTED_SWEEP, .background = true, .seen_ns = seen_ns};

    return ask_place(f, -1, &place);
}

static int64_t now_ns(const fixture *f)
{
    return pl_clock_boottime_ns(&f->clock.clock);
}

static uint64_t files_hashed(const fixture *f)
{
    pl_stats stats = {.struct_size = sizeof(stats)};

    pl_resolve_stats_get(f->resolve, &stats);
    return stats.files_hashed;
}

static void test_a_read_is_told(void **state)
{
    fixture *f = *state;
    pl_place place = {.path = f->file, .mnt_ns = 7, .container = "box", .detected_by = PL_DETECTED_EXEC};
    heard h;

    listen_to(f, &h);
    pl_answer answer = ask_place(f, -1, &place);
    check_heard(&h, 1, f->file, true);
    assert_int_equal(h.outcome, PL_OK);
    assert_string_equal(h.container, "box");
    assert_int_equal(h.mnt_ns, 7);
    assert_int_equal(h.tier, answer.tier);
    assert_int_not_equal(h.tier, PL_TIER_C);
    assert_false(h.background);
    assert_true(answer.proven);
    assert_int_equal(answer.retry_ns, 0);
}

static void test_a_hot_hit_of_a_known_path_is_not_told(void **state)
{
    fixture *f = *state;
    pl_identity identity = identity_at(f->file);
    pl_place place = {.path = f->file, .mnt_ns = 1};
    pl_answer answer;
    heard h;

    check_source(f, f->file, PL_SOURCE_COMPUTED);
    listen_to(f, &h);
    check_source(f, f->file, PL_SOURCE_HOT);
    assert_true(pl_resolve_hot(f->resolve, &identity, &place, &answer));
    assert_true(pl_resolve_recall(f->resolve, &identity, &place, &answer));
    assert_true(pl_resolve_hot(f->resolve, &identity, NULL, &answer));
    assert_int_equal(h.learned + h.seen, 0);
    answer = look(f, f->file, 0);
    assert_true(answer.proven); /* its own answer says so all the same */
    assert_int_not_equal(answer.tier, PL_TIER_C);
    assert_int_equal(h.learned, 0);
}

static void test_what_the_ledger_knows_is_told(void **state)
{
    fixture *f = *state;
    pl_identity identity = identity_at(f->file);
    pl_place place = {.path = f->file, .mnt_ns = 1};
    pl_answer answer;
    heard h;

    check_source(f, f->file, PL_SOURCE_COMPUTED);
    reopen(f, BOOT_A, false);
    listen_to(f, &h);
    check_source(f, f->file, PL_SOURCE_LEDGER);
    check_heard(&h, 1, f->file, true);
    assert_int_not_equal(h.tier, PL_TIER_C);
    reopen(f, BOOT_A, false);
    listen_to(f, &h);
    assert_true(pl_resolve_recall(f->resolve, &identity, &place, &answer));
    assert_int_equal(answer.source, PL_SOURCE_LEDGER);
    check_heard(&h, 1, f->file, true);
    assert_int_equal(files_hashed(f), 0);
}

static void test_an_alias_is_told(void **state)
{
    fixture *f = *state;
    char *names[] = {pl_temp_path(f->dir, "by-worker"), pl_temp_path(f->dir, "by-identity")};
    pl_place place = {.path = names[1], .mnt_ns = 1};
    pl_answer answer;
    heard h;

    for (size_t i = 0; i < 2; i++)
        assert_return_code(link(f->file, names[i]), errno);
    check_source(f, f->file, PL_SOURCE_COMPUTED);
    listen_to(f, &h);
    check_source(f, names[0], PL_SOURCE_HOT);
    check_heard(&h, 1, names[0], true);
    pl_identity identity = identity_at(names[1]);
    assert_true(pl_resolve_hot(f->resolve, &identity, &place, &answer));
    check_heard(&h, 2, names[1], true);
    assert_int_equal(h.outcome, PL_OK);
    assert_int_not_equal(h.tier, PL_TIER_C);
    assert_int_equal(ask(f, f->file, 2).source, PL_SOURCE_HOT); /* the first path in another mount namespace */
    check_heard(&h, 3, f->file, true);
    assert_int_equal(h.mnt_ns, 2);
    for (size_t i = 0; i < 2; i++)
        free(names[i]);
}

static void test_what_could_not_be_proven_is_told_as_such(void **state)
{
    fixture *f = *state;
    heard h;

    listen_to(f, &h);
    pl_auto_close int writer = open(f->file, O_WRONLY | O_CLOEXEC);
    assert_return_code(writer, errno);
    pl_answer answer = ask(f, f->file, 1);
    check_heard(&h, 1, f->file, false);
    assert_int_equal(h.outcome, PL_OK);
    assert_false(answer.proven);
}

static void test_what_has_no_name_or_no_link_is_not_told(void **state)
{
    fixture *f = *state;
    pl_auto_close int fd = open(f->file, O_RDONLY | O_CLOEXEC);
    pl_place nameless = {.mnt_ns = 1}, unlinked = {.path = f->file, .mnt_ns = 1};
    const pl_place *const places[] = {&nameless, &unlinked};
    heard h;

    assert_return_code(fd, errno);
    listen_to(f, &h);
    for (size_t i = 0; i < 2; i++) {
        got g;
        assert_return_code(sem_init(&g.there, 0, 0), errno);
        if (i == 1)
            assert_return_code(unlink(f->file), errno);
        int copy = fcntl(fd, F_DUPFD_CLOEXEC, 3);
        assert_int_equal(pl_resolve_submit(f->resolve, copy, places[i], false, take, &g), 0);
        while (sem_wait(&g.there) < 0)
            assert_int_equal(errno, EINTR);
        (void)sem_destroy(&g.there);
        pl_resolve_drain(f->resolve);
        assert_int_equal(g.answer.outcome, PL_OK);
        assert_int_equal(h.learned, 0);
    }
}

static void test_nobody_is_told_any_more_when_nobody_listens(void **state)
{
    fixture *f = *state;
    heard h;

    listen_to(f, &h);
    pl_resolve_listen(f->resolve, NULL);
    check_source(f, f->file, PL_SOURCE_COMPUTED);
    pl_resolve_touch(f->resolve, "/none", 1);
    assert_int_equal(h.learned + h.seen, 0);
}

static void test_a_living_path_that_the_cache_does_not_have_is_told(void **state)
{
    fixture *f = *state;
    heard h;

    check_source(f, f->file, PL_SOURCE_COMPUTED);
    listen_to(f, &h);
    pl_fake_clock_advance(&f->clock, 5 * S);
    pl_resolve_touch(f->resolve, f->file, 1);
    assert_int_equal(h.seen, 0);
    assert_true(pl_resolve_seen_ns(f->resolve, f->file, 1) == now_ns(f));
    pl_resolve_touch(f->resolve, f->file, 2);
    assert_int_equal(h.seen, 1);
    assert_int_equal(h.mnt_ns, 2);
    assert_string_equal(h.path, f->file);
    pl_resolve_touch(f->resolve, "/none", 1);
    assert_int_equal(h.seen, 2);
    assert_string_equal(h.path, "/none");
    assert_int_equal(h.learned, 0);
}

/* ---- looks of the tracker's own ---- */

static void test_a_look_does_not_count_as_seen_in_memory(void **state)
{
    fixture *f = *state;
    int64_t seen = now_ns(f);
    heard h;

    listen_to(f, &h);
    pl_fake_clock_advance(&f->clock, 3600 * S);
    assert_int_equal(look(f, f->file, seen).source, PL_SOURCE_COMPUTED);
    assert_true(h.background);
    assert_true(pl_resolve_seen_ns(f->resolve, f->file, 1) == seen);
    assert_int_equal(look(f, f->file, seen).source, PL_SOURCE_HOT);
    assert_int_equal(look(f, f->file, seen - S).source, PL_SOURCE_HOT);
    assert_true(pl_resolve_seen_ns(f->resolve, f->file, 1) == seen);
    check_source(f, f->file, PL_SOURCE_HOT); /* this one does */
    assert_true(pl_resolve_seen_ns(f->resolve, f->file, 1) == now_ns(f));
}

static void test_a_look_does_not_prolong_a_day(void **state)
{
    fixture *f = *state;
    int64_t seen = now_ns(f);

    check_source(f, f->file, PL_SOURCE_COMPUTED);
    pl_fake_clock_advance(&f->clock, DAY - S);
    assert_int_equal(look(f, f->file, seen).source, PL_SOURCE_HOT);
    pl_fake_clock_advance(&f->clock, 2 * S);
    pl_resolve_sweep(f->resolve);
    assert_true(pl_resolve_seen_ns(f->resolve, f->file, 1) == INT64_MIN);
    check_source(f, f->file, PL_SOURCE_COMPUTED);
}

static void test_a_look_does_not_count_as_seen_in_the_ledger(void **state)
{
    fixture *f = *state;
    const char *const sql = "select last_time - first_time from file_history";
    int64_t seen = now_ns(f);

    check_source(f, f->file, PL_SOURCE_COMPUTED);
    reopen(f, BOOT_B, false);
    pl_fake_clock_advance(&f->clock, 3600 * S);
    assert_int_equal(look(f, f->file, seen).source, PL_SOURCE_COMPUTED); /* a new boot reads once */
    pl_resolve_flush_seen(f->resolve);
    assert_int_equal(pl_writer_flush(f->writer), 0);
    check_sql(f, sql, "0\n");
    reopen(f, BOOT_B, false);
    assert_int_equal(look(f, f->file, seen).source, PL_SOURCE_LEDGER); /* what it read is proven in this boot */
    check_sql(f, sql, "0\n");
    check_source(f, f->file, PL_SOURCE_HOT);
    pl_resolve_flush_seen(f->resolve);
    assert_int_equal(pl_writer_flush(f->writer), 0);
    check_sql(f, sql, "3600\n");
}

/* ---- by path ---- */

static void test_a_path_is_read_by_a_worker(void **state)
{
    fixture *f = *state;
    char *copy = strdup(f->file), container[] = "box";
    pl_place place = {.path = copy, .mnt_ns = 1, .container = container, .detected_by = PL_DETECTED_INOTIFY};
    got g;

    assert_return_code(sem_init(&g.there, 0, 0), errno);
    assert_int_equal(pl_resolve_submit_path(f->resolve, -1, &place, take, &g), 0);
    memset(copy, 'x', strlen(copy)); /* strings are copied */
    memset(container, 'x', 3);
    free(copy);
    while (sem_wait(&g.there) < 0)
        assert_int_equal(errno, EINTR);
    (void)sem_destroy(&g.there);
    assert_int_equal(g.answer.outcome, PL_OK);
    assert_int_equal(g.answer.digests.digests[0].bytes[0], 0x2c);
    pl_resolve_drain(f->resolve);
    assert_int_equal(pl_writer_flush(f->writer), 0);
    check_sql(f, "select container, detected_by, substr(sha256,1,4) from file_history", "box|inotify|2cf2\n");
}

static void test_a_path_below_another_root_is_read_there(void **state)
{
    fixture *f = *state;
    pl_place place = {.path = "/file", .mnt_ns = 9, .detected_by = PL_DETECTED_SWEEP};
    int root = open(f->dir, O_PATH | O_DIRECTORY | O_CLOEXEC);

    assert_return_code(root, errno);
    assert_int_equal(ask_place(f, root, &place).outcome, PL_OK);
    check_sql(f, "select path, mnt_ns, substr(sha256,1,4) from file_history", "/file|9|2cf2\n");
    f->resolve = pl_resolve_free(f->resolve);
    assert_int_equal(fcntl(root, F_GETFD), -1); /* taken over */
}

static void test_a_path_that_is_not_there_has_vanished_and_leaves_no_row(void **state)
{
    fixture *f = *state;
    char *missing = pl_temp_path(f->dir, "missing");
    heard h;

    listen_to(f, &h);
    pl_answer answer = look(f, missing, 0);
    assert_int_equal(answer.outcome, PL_VANISHED);
    assert_int_equal(answer.error, ENOENT);
    assert_false(answer.proven);
    assert_int_equal(h.learned, 0);
    check_sql(f, "select count(*) from file_history", "0\n");
    free(missing);
}

static void test_the_ledgers_own_files_are_not_opened_by_path(void **state)
{
    fixture *f = *state;
    pl_answer answer = look(f, f->db, 0);

    assert_int_equal(answer.outcome, PL_UNREADABLE);
    assert_int_equal(answer.error, EPERM);
}

/* Its owner knows when to try again. */
static void test_a_path_that_is_too_young_is_not_kept_open(void **state)
{
    fixture *f = *state;
    char *young = pl_temp_path(f->dir, "young");

    pl_temp_write(young, "hello", 5, 0755);
    atomic_store(&f->clock.realtime_ns, pl_clock_realtime_ns(pl_clock_system()));
    pl_answer answer = look(f, young, 0);
    assert_int_equal(answer.outcome, PL_OK);
    assert_false(answer.proven);
    assert_true(answer.retry_ns > 0 && answer.retry_ns <= 2 * S + 20 * MS);
    assert_int_equal(pl_resolve_retry(f->resolve), -1);
    pl_fake_clock_advance(&f->clock, answer.retry_ns);
    answer = look(f, young, 0);
    assert_int_equal(answer.source, PL_SOURCE_COMPUTED);
    assert_true(answer.proven);
    assert_int_equal(answer.retry_ns, 0);
    free(young);
}

static void test_a_path_that_cannot_be_queued_takes_nothing(void **state)
{
    fixture *f = *state;
    pl_place place = {.path = "/file", .mnt_ns = 1, .container = "box"};
    int root = open(f->dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
    got g = {.answer.outcome = -7};

    assert_return_code(root, errno);
    for (unsigned n = 1; n <= 5; n++) { /* the job and its two strings, the worker's and its path */
        pl_fault_arm(PL_FAULT_ALLOC, n, ENOMEM);
        int rc = pl_resolve_submit_path(f->resolve, root, &place, take, &g);
        pl_fault_disarm();
        assert_int_equal(rc, PL_ERR_NOMEM);
        assert_true(fcntl(root, F_GETFD) >= 0);
    }
    pl_resolve_drain(f->resolve);
    assert_int_equal(g.answer.outcome, -7);
    assert_int_equal(ask_place(f, root, &place).outcome, PL_OK);
}

/* ---- what the tracker finds ---- */

static void test_what_was_dropped_comes_from_the_ledger_without_reading(void **state)
{
    fixture *f = *state;
    pl_identity identity = identity_at(f->file), other = identity;
    pl_answer answer;

    check_source(f, f->file, PL_SOURCE_COMPUTED);
    other.size++;
    pl_resolve_drop(f->resolve, &other); /* another file's */
    assert_true(pl_resolve_hot(f->resolve, &identity, NULL, &answer));
    pl_resolve_drop(f->resolve, &identity);
    assert_false(pl_resolve_hot(f->resolve, &identity, NULL, &answer));
    assert_true(pl_resolve_seen_ns(f->resolve, f->file, 1) == INT64_MIN);
    check_source(f, f->file, PL_SOURCE_LEDGER);
    assert_int_equal(files_hashed(f), 1);
    check_source(f, f->file, PL_SOURCE_HOT);
    check_sql(f, "select count(*) from file_history", "1\n");
}

static void test_what_is_gone_ends_as_vanished(void **state)
{
    fixture *f = *state;
    char *other = pl_temp_path(f->dir, "other");
    pl_identity identity;
    pl_answer answer;

    assert_return_code(link(f->file, other), errno);
    check_source(f, f->file, PL_SOURCE_COMPUTED);
    check_source(f, other, PL_SOURCE_HOT);
    identity = identity_at(other);
    pl_place place = {.path = f->file, .mnt_ns = 1, .detected_by = PL_DETECTED_INOTIFY};
    pl_fake_clock_advance(&f->clock, 5 * S);
    pl_resolve_gone(f->resolve, &place);
    assert_int_equal(pl_writer_flush(f->writer), 0);
    assert_true(pl_resolve_seen_ns(f->resolve, f->file, 1) == INT64_MIN);
    assert_true(pl_resolve_hot(f->resolve, &identity, NULL, &answer)); /* by its other name it is still there */
    check_sql(f, "select end_time - first_time, end_reason, detected_by from file_history order by version_id",
              "5|vanished|inotify\n~|~|exec\n");
    free(other);
}

static void test_what_does_not_rest_is_unstable(void **state)
{
    fixture *f = *state;
    pl_identity identity = identity_at(f->file);
    pl_place place = {.path = f->file, .mnt_ns = 1, .container = "box", .detected_by = PL_DETECTED_INOTIFY};

    pl_resolve_unstable(f->resolve, &place, &identity, PL_TIER_A); /* never hashed */
    assert_int_equal(pl_writer_flush(f->writer), 0);
    check_sql(f, "select sha256, size, container, detected_by, end_time from file_history", "~|5|box|inotify|~\n");
    check_sql(f, "select hash_state from hash", "unstable\n");
}

static void test_what_no_longer_rests_is_another_version(void **state)
{
    fixture *f = *state;
    pl_place place = {.path = f->file, .mnt_ns = 1, .detected_by = PL_DETECTED_INOTIFY};

    check_source(f, f->file, PL_SOURCE_COMPUTED);
    pl_identity now = identity_at(f->file);
    now.ctime_ns += S;
    pl_fake_clock_advance(&f->clock, 5 * S);
    pl_resolve_unstable(f->resolve, &place, &now, PL_TIER_A);
    assert_int_equal(pl_writer_flush(f->writer), 0);
    check_sql(f,
              "select substr(sha256,1,4), end_time - first_time, end_reason, detected_by from file_history"
              " order by version_id",
              "2cf2|5|modified|inotify\n~|~|~|inotify\n");
    check_sql(f, "select hash_state from hash", "unstable\n");
}

static void test_what_is_forgotten_keeps_its_row(void **state)
{
    fixture *f = *state;
    pl_identity identity = identity_at(f->file);
    pl_answer answer;

    check_source(f, f->file, PL_SOURCE_COMPUTED);
    pl_resolve_forget(f->resolve, f->file, 2); /* of another namespace: nothing */
    assert_true(pl_resolve_seen_ns(f->resolve, f->file, 1) == now_ns(f));
    pl_resolve_forget(f->resolve, f->file, 1);
    assert_true(pl_resolve_seen_ns(f->resolve, f->file, 1) == INT64_MIN);
    assert_true(pl_resolve_hot(f->resolve, &identity, NULL, &answer));
    assert_int_equal(pl_writer_flush(f->writer), 0);
    check_sql(f, "select end_time from file_history", "~\n");
}

static void test_live_rows_are_those_of_the_last_day(void **state)
{
    fixture *f = *state;
    pl_live_version list[4];

    check_source(f, f->file, PL_SOURCE_COMPUTED);
    reopen(f, BOOT_B, false);
    assert_int_equal(pl_resolve_live(f->resolve, 0, list, 4), 1);
    assert_string_equal(list[0].path, f->file);
    assert_false(list[0].same_boot);
    int64_t id = list[0].version_id;
    pl_live_version_deinit(&list[0]);
    assert_int_equal(pl_resolve_live(f->resolve, id, list, 4), 0);
    pl_fake_clock_advance(&f->clock, DAY + 2 * S);
    assert_int_equal(pl_resolve_live(f->resolve, 0, list, 4), 0);
}

static void test_without_a_ledger_nothing_is_written_or_remembered_there(void **state)
{
    fixture *f = *state;
    pl_resolve_options options = {.clock = &f->clock.clock, .boot_id = BOOT_A};
    pl_place place = {.path = f->file, .mnt_ns = 1};
    pl_identity identity = identity_at(f->file);
    pl_resolve *resolve = NULL;
    pl_live_version list[1];

    assert_int_equal(pl_resolve_new(&options, &resolve), 0);
    assert_int_equal(pl_resolve_live(resolve, 0, list, 1), 0);
    pl_resolve_gone(resolve, &place);
    pl_resolve_unstable(resolve, &place, &identity, PL_TIER_A);
    pl_resolve_drop(resolve, &identity);
    (void)pl_resolve_free(resolve);
    check_sql(f, "select count(*) from file_history", "0\n");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_same_boot_serves_without_reading, setup, teardown),
        cmocka_unit_test_setup_teardown(test_a_new_boot_reads_once_and_then_serves, setup, teardown),
        cmocka_unit_test_setup_teardown(test_reuse_across_reboot_is_an_explicit_choice, setup, teardown),
        cmocka_unit_test_setup_teardown(test_another_file_system_in_another_boot_is_another_file, setup, teardown),
        cmocka_unit_test_setup_teardown(test_unknown_file_system_is_not_reused_across_a_reboot, setup, teardown),
        cmocka_unit_test_setup_teardown(test_a_look_up_writes_nothing, setup, teardown),
        cmocka_unit_test_setup_teardown(test_other_bytes_under_an_old_identity_are_an_alert, setup, teardown),
        cmocka_unit_test_setup_teardown(test_a_path_expires_after_its_day, setup, teardown),
        cmocka_unit_test_setup_teardown(test_a_file_that_is_too_young_is_read_again_before_it_is_cached, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(test_a_clock_set_back_drops_what_is_newer, setup, teardown),
        cmocka_unit_test_setup_teardown(test_the_clock_set_back_while_nothing_ran_is_noticed, setup, teardown),
        cmocka_unit_test_setup_teardown(test_a_hard_link_is_one_hash_and_two_histories, setup, teardown),
        cmocka_unit_test_setup_teardown(test_another_mode_of_the_same_bytes_is_another_version, setup, teardown),
        cmocka_unit_test_setup_teardown(test_a_file_with_a_writer_is_answered_and_not_kept, setup, teardown),
        cmocka_unit_test_setup_teardown(test_a_read_is_told, setup, teardown),
        cmocka_unit_test_setup_teardown(test_a_hot_hit_of_a_known_path_is_not_told, setup, teardown),
        cmocka_unit_test_setup_teardown(test_what_the_ledger_knows_is_told, setup, teardown),
        cmocka_unit_test_setup_teardown(test_an_alias_is_told, setup, teardown),
        cmocka_unit_test_setup_teardown(test_what_could_not_be_proven_is_told_as_such, setup, teardown),
        cmocka_unit_test_setup_teardown(test_what_has_no_name_or_no_link_is_not_told, setup, teardown),
        cmocka_unit_test_setup_teardown(test_nobody_is_told_any_more_when_nobody_listens, setup, teardown),
        cmocka_unit_test_setup_teardown(test_a_living_path_that_the_cache_does_not_have_is_told, setup, teardown),
        cmocka_unit_test_setup_teardown(test_a_look_does_not_count_as_seen_in_memory, setup, teardown),
        cmocka_unit_test_setup_teardown(test_a_look_does_not_prolong_a_day, setup, teardown),
        cmocka_unit_test_setup_teardown(test_a_look_does_not_count_as_seen_in_the_ledger, setup, teardown),
        cmocka_unit_test_setup_teardown(test_a_path_is_read_by_a_worker, setup, teardown),
        cmocka_unit_test_setup_teardown(test_a_path_below_another_root_is_read_there, setup, teardown),
        cmocka_unit_test_setup_teardown(test_a_path_that_is_not_there_has_vanished_and_leaves_no_row, setup, teardown),
        cmocka_unit_test_setup_teardown(test_the_ledgers_own_files_are_not_opened_by_path, setup, teardown),
        cmocka_unit_test_setup_teardown(test_a_path_that_is_too_young_is_not_kept_open, setup, teardown),
        cmocka_unit_test_setup_teardown(test_a_path_that_cannot_be_queued_takes_nothing, setup, teardown),
        cmocka_unit_test_setup_teardown(test_what_was_dropped_comes_from_the_ledger_without_reading, setup, teardown),
        cmocka_unit_test_setup_teardown(test_what_is_gone_ends_as_vanished, setup, teardown),
        cmocka_unit_test_setup_teardown(test_what_does_not_rest_is_unstable, setup, teardown),
        cmocka_unit_test_setup_teardown(test_what_no_longer_rests_is_another_version, setup, teardown),
        cmocka_unit_test_setup_teardown(test_what_is_forgotten_keeps_its_row, setup, teardown),
        cmocka_unit_test_setup_teardown(test_live_rows_are_those_of_the_last_day, setup, teardown),
        cmocka_unit_test_setup_teardown(test_without_a_ledger_nothing_is_written_or_remembered_there, setup, teardown),
    };

    return cmocka_run_group_tests_name("resolve", tests, NULL, NULL);
}

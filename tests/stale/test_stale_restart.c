/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Cases 33, 34, 36, 39 and 50: what a ledger says to whoever opens it next, or opens it too. Changed while nothing ran;
 * killed between a hash and its commit; another boot; far more inotify events than a queue holds; two processes that
 * write one ledger while files change under both. (39 and 40 with the daemon: stale_case_39.sh and stale_case_40.sh.)
 */
#include "tests/stale/stale.h"

#include "src/base/cleanup.h"
#include "tests/support/sqlite_shell.h"
#include "tests/support/temp_dir.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/inotify.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define S PL_NS_PER_S
#define HOUR_NS (3600 * S)
#define FILES 8
#define KILLS 12
#define ROUNDS 250 /* of each of the two agents */
#define EVENTS 20000

/* --- 33: changed while nothing ran -------------------------------------------------------------------------------- */

static void changed_while_nothing_ran(stale *s)
{
    const char *f[5] = {stale_file(s, "written", 1), stale_file(s, "replaced", 2), stale_file(s, "mapped", 3),
                        stale_file(s, "same", 4), stale_file(s, "moved", 5)};
    const char *next = stale_file(s, "next", 6);

    for (size_t i = 0; i < 5; i++)
        stale_cached(s, f[i]);
    s->ledger = pl_close(s->ledger);
    stale_poke_hidden(f[0], 0, 10, 1);
    assert_return_code(rename(next, f[1]), errno);
    stale_map(s, f[2])[7] ^= 1;
    stale_unmap(s);
    stale_settle(f[2]); /* as if it had been long ago */
    assert_return_code(rename(f[4], next), errno);
    (void)stale_file(s, "moved", 7);
    stale_restart(s);
    for (size_t i = 0; i < 5; i++) {
        bool same = i == 3 && s->cached;
        assert_int_equal(stale_ask(s, f[i]).source, same ? PL_SOURCE_LEDGER : PL_SOURCE_COMPUTED);
        stale_right(s, f[i]);
    }
    stale_right(s, next);
}

static void test_case_33_changed_while_nothing_ran(void **state)
{
    stale_each(state, STALE_EVERYWHERE & ~(unsigned)STALE_OVERLAY, changed_while_nothing_ran);
}

/* --- 34: killed between hash and commit --------------------------------------------------------------------------- */

/* Hashes all, then says so; lives until it is killed. */
static _Noreturn void hash_and_wait(const stale *s, const char *const *files, int ready)
{
    pl_options options = {.struct_size = sizeof(options), .workers = 1};
    pl_ledger *ledger = NULL;
    pl_checksum sum = {.struct_size = sizeof(sum)};

    (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (pl_open(s->db, &options, &ledger) != 0)
        _exit(1);
    for (size_t i = 0; i < FILES; i++)
        if (pl_checksum_path(ledger, files[i], 0, &sum) != 0)
            _exit(2);
    (void)!write(ready, "r", 1);
    for (;;)
        (void)pause();
}

/* Each row that says it knows a file knows it. */
static void rows_are_right(stale *s, const char *const *files)
{
    for (size_t i = 0; i < FILES; i++) {
        pl_auto_free char *sql = NULL;
        uint8_t want[32];
        char hex[129], line[131];
        pl_digest digest = {.algorithm = PL_SHA256, .length = 32};
        assert_true(asprintf(&sql, "SELECT sha256 FROM hash WHERE path = '%s'", files[i]) > 0);
        pl_auto_free char *row = pl_shell_query(s->db, sql);
        stale_digest(files[i], want);
        memcpy(digest.bytes, want, 32);
        (void)pl_hex(&digest, hex);
        (void)snprintf(line, sizeof(line), "%s\n", hex);
        if (*row)
            assert_string_equal(row, line);
    }
}

static void killed(stale *s)
{
    const char *files[FILES];
    char name[16];

    for (unsigned i = 0; i < FILES; i++) {
        (void)snprintf(name, sizeof(name), "f%u", i);
        files[i] = stale_file(s, name, i);
    }
    for (unsigned round = 0; round < KILLS; round++) {
        int ready[2];
        char byte;
        stale_settle(files[0]);
        s->ledger = pl_close(s->ledger);
        assert_return_code(pipe2(ready, O_CLOEXEC), errno);
        pid_t pid = fork();
        assert_true(pid >= 0);
        if (pid == 0)
            hash_and_wait(s, files, ready[1]);
        (void)close(ready[1]);
        ssize_t n = read(ready[0], &byte, 1);
        struct pollfd never = {.fd = ready[0]};
        (void)poll(&never, 1, (int)round * 25); /* before, within and after the commit that is due in 200 ms */
        (void)kill(pid, SIGKILL);
        assert_int_equal(waitpid(pid, NULL, 0), pid);
        (void)close(ready[0]);
        assert_int_equal(n, 1);
        rows_are_right(s, files);
        stale_poke_hidden(files[round % FILES], round, 1, round);
        stale_restart(s);
        for (size_t i = 0; i < FILES; i++)
            stale_right(s, files[i]);
    }
}

static void test_case_34_killed_between_hash_and_commit(void **state)
{
    stale_each(state, STALE_DISK, killed);
}

/* --- 36: another boot --------------------------------------------------------------------------------------------- */

static void another_boot(stale *s)
{
    const char *files[FILES];
    char name[16];
    pl_stats stats = {.struct_size = sizeof(stats)};

    pl_fake_clock_init(&s->clock, pl_clock_realtime_ns(pl_clock_system()) + HOUR_NS, HOUR_NS);
    stale_resolve_open(s, STALE_BOOT_A, 0, &s->clock.clock);
    for (unsigned i = 0; i < FILES; i++) {
        (void)snprintf(name, sizeof(name), "f%u", i);
        files[i] = stale_file(s, name, i);
        assert_int_equal(stale_resolve_ask(s, files[i]).source, PL_SOURCE_COMPUTED);
    }
    stale_resolve_open(s, STALE_BOOT_B, 0, &s->clock.clock);
    for (int round = 0; round < 3; round++)
        for (size_t i = 0; i < FILES; i++)
            assert_int_equal(stale_resolve_ask(s, files[i]).source, round == 0 ? PL_SOURCE_COMPUTED : PL_SOURCE_HOT);
    pl_resolve_stats_get(s->resolve, &stats);
    assert_int_equal(stats.files_hashed, FILES); /* exactly one re-read each */
    assert_int_equal(stats.hits_hot, 2 * FILES);
    stale_resolve_open(s, STALE_BOOT_B, 0, &s->clock.clock);
    stale_poke_hidden(files[0], 0, 1, 9);
    for (size_t i = 0; i < FILES; i++)
        assert_int_equal(stale_resolve_ask(s, files[i]).source, i == 0 ? PL_SOURCE_COMPUTED : PL_SOURCE_LEDGER);
    stale_sql(s, "SELECT count(*) FROM changes WHERE attention = 'alert'", "0\n");
}

static void test_case_36_other_boot_id_is_one_re_read_then_hits(void **state)
{
    stale_each(state, STALE_TRUE_DISKS | STALE_OVERLAY, another_boot);
}

/* --- 39: a queue that overflows ----------------------------------------------------------------------------------- */

/* Somebody's watch of ours is full: what the last write was is asked of the file, not of events. */
static void queue_overflows(stale *s)
{
    const char *path = stale_file(s, "f", 1), *noise = stale_file(s, "noise", 2);
    pl_auto_close int watch = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);

    stale_cached(s, path);
    assert_true(watch >= 0);
    assert_true(inotify_add_watch(watch, path, IN_ALL_EVENTS) >= 0);
    assert_true(inotify_add_watch(watch, noise, IN_ATTRIB) >= 0);
    assert_true(inotify_add_watch(watch, s->folder, IN_ATTRIB) >= 0);
    for (int i = 0; i < EVENTS / 2; i++)
        assert_return_code(chmod(noise, i % 2 ? 0755 : 0700), errno);
    stale_poke_hidden(path, 0, 1, 3);
    stale_changed(s, path);
    stale_cached(s, path);
}

static void test_case_39_twenty_thousand_queued_events_plus_one_write(void **state)
{
    stale_each(state, STALE_DISK, queue_overflows);
}

/* --- 50: two agents on one ledger --------------------------------------------------------------------------------- */

typedef struct agent {
    uint64_t hits, reads, wrong;
} agent;

/* Nobody changes a file between a look-up and the independent read: each file has a lock beside it. */
static void one_round(pl_ledger *ledger, const char *const *files, const char *const *locks, uint64_t *random, agent *a)
{
    *random ^= *random << 13, *random ^= *random >> 7, *random ^= *random << 17;
    size_t i = *random % FILES;
    int lock = open(locks[i], O_RDWR | O_CLOEXEC);
    pl_checksum sum = {.struct_size = sizeof(sum)};

    (void)flock(lock, LOCK_EX);
    if (*random >> 16 & 1 && (*random >> 17 & 7) == 0)
        stale_poke_hidden(files[i], *random >> 32 & 4095, 1, (unsigned)*random);
    int code = pl_checksum_path(ledger, files[i], 0, &sum);
    a->wrong += code != 0 || !stale_is_right(&sum.digests[0], files[i]);
    a->hits += sum.source == PL_SOURCE_HOT || sum.source == PL_SOURCE_LEDGER;
    a->reads += sum.source == PL_SOURCE_COMPUTED;
    (void)close(lock);
}

static _Noreturn void run_agent(const stale *s, const char *const *files, const char *const *locks, uint64_t random,
                                int out)
{
    pl_options options = {.struct_size = sizeof(options), .workers = 1};
    pl_ledger *ledger = NULL;
    agent a = {0};

    (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
    for (int i = 0; i < ROUNDS; i++) {
        if (i % 50 == 0) { /* and forgets now and then */
            (void)pl_close(ledger);
            if (pl_open(s->db, &options, &ledger) != 0)
                _exit(1);
        }
        struct pollfd never = {.fd = -1};
        (void)poll(&never, 1, 3); /* the racy window has to pass for something to be kept */
        one_round(ledger, files, locks, &random, &a);
    }
    (void)pl_close(ledger);
    (void)!write(out, &a, sizeof(a));
    _exit(0);
}

static void two_agents(stale *s)
{
    const char *files[FILES], *locks[FILES];
    char name[16];
    agent sum = {0};
    int out[2];

    for (unsigned i = 0; i < FILES; i++) {
        (void)snprintf(name, sizeof(name), "f%u", i);
        files[i] = stale_file(s, name, i);
        (void)snprintf(name, sizeof(name), "lock%u", i);
        locks[i] = stale_file(s, name, i);
    }
    s->ledger = pl_close(s->ledger);
    assert_return_code(pipe2(out, O_CLOEXEC), errno);
    for (unsigned i = 0; i < 2; i++) {
        pid_t pid = fork();
        assert_true(pid >= 0);
        if (pid == 0)
            run_agent(s, files, locks, UINT64_C(0x9e3779b97f4a7c15) * (i + 1), out[1]);
        s->children[s->n_children] = pid;
        s->holds[s->n_children++] = fcntl(out[0], F_DUPFD_CLOEXEC, 3);
    }
    (void)close(out[1]);
    for (int i = 0; i < 2; i++) {
        agent a = {0};
        assert_int_equal(read(out[0], &a, sizeof(a)), sizeof(a));
        sum.hits += a.hits;
        sum.reads += a.reads;
        sum.wrong += a.wrong;
    }
    (void)close(out[0]);
    assert_int_equal(sum.wrong, 0);
    assert_int_equal(sum.hits + sum.reads, 2 * ROUNDS);
    assert_true(sum.reads > FILES);
    if (s->cached)
        assert_true(sum.hits > ROUNDS / 2);
    stale_restart(s);
    for (size_t i = 0; i < FILES; i++)
        stale_right(s, files[i]);
}

static void test_case_50_two_agents_on_one_ledger(void **state)
{
    stale_each(state, STALE_DISK | STALE_XFS | STALE_BTRFS, two_agents);
}

/* What one agent saw before a change it may commit after the other has committed what it saw after it: the row that is
 * there in the end is that of the later look-up. */
static void older_row_is_committed_later(stale *s)
{
    const char *files[FILES];
    char name[16];
    pl_options options = {.struct_size = sizeof(options), .workers = 1};
    pl_checksum sum = {.struct_size = sizeof(sum)};

    for (unsigned i = 0; i < FILES; i++) {
        (void)snprintf(name, sizeof(name), "f%u", i);
        files[i] = stale_file(s, name, i);
    }
    stale_settle(files[FILES - 1]);
    assert_int_equal(pl_open(s->db, &options, &s->fresh), 0);
    for (size_t i = 0; i < FILES; i++)
        (void)stale_ask(s, files[i]); /* queued */
    for (size_t i = 0; i < FILES; i++) {
        stale_poke_hidden(files[i], 0, 9, 3);
        assert_int_equal(pl_checksum_path(s->fresh, files[i], 0, &sum), 0);
        assert_true(stale_is_right(&sum.digests[0], files[i]));
    }
    s->fresh = pl_close(s->fresh);   /* committed */
    s->ledger = pl_close(s->ledger); /* and now the older ones */
    rows_are_right(s, files);
}

static void test_case_50_older_row_is_committed_later(void **state)
{
    stale_each(state, STALE_DISK, older_row_is_committed_later);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        STALE_CASE(test_case_33_changed_while_nothing_ran),
        STALE_CASE(test_case_34_killed_between_hash_and_commit),
        STALE_CASE(test_case_36_other_boot_id_is_one_re_read_then_hits),
        STALE_CASE(test_case_39_twenty_thousand_queued_events_plus_one_write),
        STALE_CASE(test_case_50_two_agents_on_one_ledger),
        STALE_CASE(test_case_50_older_row_is_committed_later),
    };

    return cmocka_run_group_tests_name("stale restart", tests, stale_group_setup, stale_group_teardown);
}

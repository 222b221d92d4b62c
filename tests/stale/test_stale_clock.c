/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Cases 37, 38 and 48: the clock. The kernel's clock is everybody's and cannot be set here, so what a clock that was set
 * back makes possible, other bytes under the very same times, is done on the device below the unmounted file system,
 * where no time stamp moves. A file that was known under those times must be read again; with the clock never set it
 * would rightly not be (writes to the raw device are the documented exception).
 */
#include "tests/stale/stale.h"

#include "tests/support/temp_dir.h"

#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define S PL_NS_PER_S
#define HOUR_NS (3600 * S)
#define DAY_NS (24 * HOUR_NS)
#define JUMPS_MAX 60

static int64_t ctime_ns(const char *path)
{
    struct stat st;

    assert_return_code(stat(path, &st), errno);
    return st.st_ctim.tv_sec * S + st.st_ctim.tv_nsec;
}

/* --- 37: set back by an hour, then written to --------------------------------------------------------------------- */

typedef struct patched {
    pl_loop_fs *fs;
    const char *path;
    unsigned char old[STALE_SIZE], new[STALE_SIZE];
} patched;

static void patched_init(stale *s, patched *p)
{
    pl_loop_fs_options options = {.type = "ext4"};

    p->fs = stale_own_fs(s, &options);
    p->path = stale_path(s, pl_loop_fs_top(p->fs), "f");
    stale_fill(p->old, sizeof(p->old), 1);
    stale_fill(p->new, sizeof(p->new), 2);
    pl_temp_write(p->path, p->old, sizeof(p->old), 0755);
    int fd = stale_open(p->path, O_RDONLY);
    assert_return_code(syncfs(fd), errno);
    (void)close(fd);
    pl_fake_clock_init(&s->clock, ctime_ns(p->path) + 10 * S, DAY_NS);
}

/* Other bytes, equal times: a page at a time, since nobody promises that the three lie together. */
static void write_at_the_same_time(patched *p)
{
    int64_t before = ctime_ns(p->path);

    assert_true(pl_loop_fs_unmount(p->fs));
    for (size_t at = 0; at < STALE_SIZE; at += STALE_PAGE)
        assert_int_equal(pl_loop_fs_patch(p->fs, p->old + at, p->new + at, STALE_PAGE), 1);
    assert_true(pl_loop_fs_mount(p->fs));
    assert_int_equal(ctime_ns(p->path), before);
}

static void clock_back_while_running(stale *s)
{
    patched p;

    patched_init(s, &p);
    stale_resolve_open(s, STALE_BOOT_A, 0, &s->clock.clock);
    assert_int_equal(stale_resolve_ask(s, p.path).source, PL_SOURCE_COMPUTED);
    assert_int_equal(stale_resolve_ask(s, p.path).source, PL_SOURCE_HOT);
    atomic_fetch_sub(&s->clock.realtime_ns, HOUR_NS);
    pl_resolve_clock_changed(s->resolve);
    write_at_the_same_time(&p);
    for (int i = 0; i < 2; i++) /* its ctime lies in the future now: never cached */
        assert_int_equal(stale_resolve_ask(s, p.path).source, PL_SOURCE_COMPUTED);
    /* A plain write, and time goes on until it is past. */
    stale_poke_hidden(p.path, 0, 10, 3);
    assert_int_equal(stale_resolve_ask(s, p.path).source, PL_SOURCE_COMPUTED);
    pl_fake_clock_advance(&s->clock, 2 * HOUR_NS);
    assert_int_equal(stale_resolve_ask(s, p.path).source, PL_SOURCE_COMPUTED);
    assert_int_equal(stale_resolve_ask(s, p.path).source, PL_SOURCE_HOT);
}

static void clock_back_while_nothing_ran(stale *s)
{
    patched p;

    patched_init(s, &p);
    stale_resolve_open(s, STALE_BOOT_A, 0, &s->clock.clock);
    assert_int_equal(stale_resolve_ask(s, p.path).source, PL_SOURCE_COMPUTED);
    stale_resolve_close(s);
    atomic_fetch_sub(&s->clock.realtime_ns, HOUR_NS);
    write_at_the_same_time(&p);
    stale_resolve_open(s, STALE_BOOT_A, 0, &s->clock.clock);
    assert_int_equal(stale_resolve_ask(s, p.path).source, PL_SOURCE_COMPUTED);
}

static void test_case_37_clock_back_one_hour_then_write(void **state)
{
    stale_each(state, STALE_DISK, clock_back_while_running);
    stale_each(state, STALE_DISK, clock_back_while_nothing_ran);
}

/* --- 38: ctime, or mtime, in the future --------------------------------------------------------------------------- */

static void future(stale *s)
{
    const char *path = stale_file(s, "f", 1);
    struct timespec times[] = {{.tv_nsec = UTIME_NOW}, {.tv_sec = time(NULL) + 86400}};

    /* ctime: the clock of whoever asks is behind. */
    pl_fake_clock_init(&s->clock, ctime_ns(path) - S, HOUR_NS);
    stale_resolve_open(s, STALE_BOOT_A, 0, &s->clock.clock);
    for (int i = 0; i < 2; i++)
        assert_int_equal(stale_resolve_ask(s, path).source, PL_SOURCE_COMPUTED);
    pl_fake_clock_advance(&s->clock, S / 2); /* still */
    assert_int_equal(stale_resolve_ask(s, path).source, PL_SOURCE_COMPUTED);
    stale_resolve_open(s, STALE_BOOT_A, 0, &s->clock.clock);
    assert_int_equal(stale_resolve_ask(s, path).source, PL_SOURCE_COMPUTED);
    stale_poke_hidden(path, 0, 10, 2);
    (void)stale_resolve_ask(s, path);
    pl_fake_clock_init(&s->clock, ctime_ns(path) + HOUR_NS, HOUR_NS);
    assert_int_equal(stale_resolve_ask(s, path).source, PL_SOURCE_COMPUTED);
    assert_int_equal(stale_resolve_ask(s, path).source, s->cached ? PL_SOURCE_HOT : PL_SOURCE_COMPUTED);
    stale_resolve_close(s);
    /* mtime: anybody may set that. */
    assert_return_code(utimensat(AT_FDCWD, path, times, 0), errno);
    stale_restart(s);
    stale_uncached(s, path);
    stale_poke_hidden(path, 0, 10, 3);
    stale_changed(s, path);
}

static void test_case_38_ctime_in_the_future(void **state)
{
    stale_each(state, STALE_EVERYWHERE, future);
}

/* --- 48: the TTL passes in the middle of a request ---------------------------------------------------------------- */

/* Jumps by more than the TTL at its n-th reading. */
typedef struct jumping {
    pl_clock clock;
    stale *s;
    atomic_int until; /* readings */
    atomic_bool jumped;
} jumping;

static void jump_when_due(jumping *j)
{
    if (atomic_fetch_sub(&j->until, 1) != 1)
        return;
    pl_fake_clock_advance(&j->s->clock, 3 * HOUR_NS);
    atomic_store(&j->jumped, true);
}

static int64_t jumping_realtime(void *context)
{
    jumping *j = context;

    jump_when_due(j);
    return atomic_load(&j->s->clock.realtime_ns);
}

static int64_t jumping_boottime(void *context)
{
    jumping *j = context;

    jump_when_due(j);
    return atomic_load(&j->s->clock.boottime_ns);
}

static void ttl_passes(stale *s)
{
    const char *path = stale_file(s, "f", 1);
    jumping j = {.clock = {jumping_realtime, jumping_boottime, &j}, .s = s};
    int n, computed = 0;

    pl_fake_clock_init(&s->clock, ctime_ns(path) + DAY_NS, DAY_NS);
    for (n = 1; n < JUMPS_MAX; n++) {
        atomic_store(&j.until, 0);
        atomic_store(&j.jumped, false);
        stale_resolve_open(s, STALE_BOOT_A, HOUR_NS, &j.clock);
        (void)stale_resolve_ask(s, path);
        (void)stale_resolve_ask(s, path);
        if (n % 3 == 1)
            stale_poke_hidden(path, (size_t)n, 1, (unsigned)n);
        if (n % 3 == 2)
            stale_resolve_open(s, STALE_BOOT_A, HOUR_NS, &j.clock); /* only the ledger knows it */
        atomic_store(&j.until, n);
        computed += stale_resolve_ask(s, path).source == PL_SOURCE_COMPUTED;
        bool jumped = atomic_load(&j.jumped);
        atomic_store(&j.until, 0);
        pl_resolve_sweep(s->resolve);
        (void)stale_resolve_ask(s, path);
        stale_poke_hidden(path, (size_t)n, 1, (unsigned)n + 1);
        (void)stale_resolve_ask(s, path);
        if (!jumped && n % 3 == 0)
            break; /* the request has no n-th reading */
    }
    assert_true(n > 2 && n < JUMPS_MAX);
    assert_true(computed > 0);
    stale_resolve_close(s);
}

static void test_case_48_ttl_passes_in_the_middle_of_a_request(void **state)
{
    stale_each(state, STALE_TRUE_DISKS, ttl_passes);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        STALE_CASE(test_case_37_clock_back_one_hour_then_write),
        STALE_CASE(test_case_38_ctime_in_the_future),
        STALE_CASE(test_case_48_ttl_passes_in_the_middle_of_a_request),
    };

    return cmocka_run_group_tests_name("stale clock", tests, stale_group_setup, stale_group_teardown);
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The behaviours of the hot process table, and the faults of its ancestor shown absent. */
#include "src/process/process_table.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "src/base/clock.h"
#include "src/process/procfs.h"
#include "tests/support/fake_clock.h"
#include "tests/support/fault.h"
#include "tests/unit/process/live.h"

#define S PL_NS_PER_S
#define NS_A 4026531841u
#define NS_B 4026532000u

/* Who is alive: numbers and starts, as a test says. */
typedef struct world {
    struct {
        pid_t pid;
        uint64_t start;
    } living[16];
    size_t n, asked;
} world;

typedef struct fixture {
    world world;
    pl_fake_clock clock;
    pl_process_table *table;
} fixture;

static bool fake_alive(void *context, pid_t pid, uint64_t start_ticks)
{
    world *w = context;

    w->asked++;
    for (size_t i = 0; i < w->n; i++) {
        if (w->living[i].pid == pid && (start_ticks == 0 || w->living[i].start == start_ticks))
            return true;
    }
    return false;
}

static bool real_alive(void *context, pid_t pid, uint64_t start_ticks)
{
    static const pl_procfs procfs = {.root = "/proc"};

    (void)context;
    return pl_procfs_is_alive(&procfs, pid, start_ticks);
}

static void born(fixture *f, pid_t pid, uint64_t start)
{
    f->world.living[f->world.n].pid = pid;
    f->world.living[f->world.n++].start = start;
}

static int64_t now(const fixture *f)
{
    return pl_clock_boottime_ns(&f->clock.clock);
}

static int set_up_with(void **state, bool (*alive)(void *, pid_t, uint64_t), size_t limit)
{
    fixture *f = test_calloc(1, sizeof(*f));
    pl_process_table_options options = {.alive = alive, .context = &f->world, .limit = limit};

    pl_fake_clock_init(&f->clock, 1700000000 * S, 1000 * S);
    assert_int_equal(pl_process_table_new(&options, &f->table), 0);
    *state = f;
    return 0;
}

static int set_up(void **state)
{
    return set_up_with(state, fake_alive, 0);
}

static int set_up_real(void **state)
{
    return set_up_with(state, real_alive, 0);
}

static int set_up_small(void **state)
{
    return set_up_with(state, fake_alive, 3);
}

static int tear_down(void **state)
{
    fixture *f = *state;

    assert_null(pl_process_table_free(f->table));
    test_free(f);
    return 0;
}

static pl_image image_of(pid_t pid, uint64_t start, const char *path, uint64_t inode, int64_t exec_ns)
{
    pl_image image = PL_IMAGE_NULL;

    image.pid = pid;
    image.ppid = 1;
    image.start_ticks = start;
    image.exe = (char *)path;
    image.mnt_ns = NS_A;
    image.exec_boottime_ns = exec_ns;
    image.has_identity = inode != 0;
    image.identity.inode = inode;
    image.identity.ctime_ns = 77;
    return image;
}

static int exec_image(fixture *f, const pl_image *image, pl_process **out)
{
    return pl_process_table_exec(f->table, image, now(f), out);
}

static int enter(fixture *f, pid_t pid, uint64_t start, const char *path, uint64_t inode, int64_t exec_ns)
{
    pl_image image = image_of(pid, start, path, inode, exec_ns);

    return exec_image(f, &image, NULL);
}

static pl_process *find(fixture *f, pid_t pid)
{
    return pl_process_table_find(f->table, pid, now(f));
}

static size_t sweep(fixture *f)
{
    return pl_process_table_sweep(f->table, now(f), NULL, NULL);
}

static pl_identity identity_of(uint64_t inode)
{
    return (pl_identity){.inode = inode, .ctime_ns = 77};
}

static pl_digest_set digest_of(pl_algorithm algorithm, uint8_t byte)
{
    pl_digest_set set = {0};
    size_t slot = algorithm == PL_SHA256 ? 0 : 1;

    set.digests[slot] = (pl_digest){.algorithm = algorithm, .length = 32, .bytes = {byte}};
    return set;
}

static bool has(const pl_process *process, pl_algorithm algorithm, uint8_t byte)
{
    for (int i = 0; process->has_digest && i < PL_ALGORITHM_COUNT; i++) {
        if (process->digests.digests[i].algorithm == algorithm)
            return process->digests.digests[i].bytes[0] == byte;
    }
    return false;
}

static size_t set_digest(fixture *f, uint64_t inode, pl_algorithm algorithm, uint8_t byte)
{
    pl_identity identity = identity_of(inode);
    pl_digest_set digests = digest_of(algorithm, byte);

    return pl_process_table_set_digest(f->table, &identity, &digests);
}

/* ---- cases of the ancestor, on the real /proc ---- */

static pl_image read_real(pid_t pid)
{
    pl_procfs procfs = {.root = "/proc"};
    pl_image image = PL_IMAGE_NULL;

    assert_int_equal(pl_procfs_read_image(&procfs, pid, &image), 0);
    return image;
}

static void test_own_live_pid_is_found(void **state)
{
    fixture *f = *state;
    pl_image image = read_real(getpid());

    assert_int_equal(exec_image(f, &image, NULL), PL_UPDATE_ADDED);
    pl_process *process = find(f, getpid());
    assert_non_null(process);
    assert_string_equal(process->path, image.exe);
    assert_int_equal(process->start_ticks, image.start_ticks);
    assert_int_equal(process->ppid, getppid());
    assert_ptr_equal(pl_process_table_find_path(f->table, image.exe, image.mnt_ns, now(f)), process);
    assert_false(pl_process_table_needs_update(f->table, getpid(), &image));
    pl_image_deinit(&image);
}

static void test_delete_on_a_live_pid_keeps_it(void **state)
{
    fixture *f = *state;
    pl_image image = read_real(getpid());

    assert_int_equal(exec_image(f, &image, NULL), PL_UPDATE_ADDED);
    assert_false(pl_process_table_remove(f->table, getpid()));
    assert_non_null(pl_process_table_exit(f->table, getpid(), now(f)));
    assert_int_equal(sweep(f), 0);
    pl_fake_clock_advance(&f->clock, 3 * S); /* after the delay */
    assert_int_equal(sweep(f), 0);
    assert_non_null(find(f, getpid()));
    assert_int_equal(find(f, getpid())->exited_ns, 0);
    assert_int_equal(pl_process_table_count(f->table), 1);
    pl_image_deinit(&image);
}

static void test_dead_pid_is_found_then_gone_2_s_after_its_exit(void **state)
{
    fixture *f = *state;
    live child = live_shell("/bin/sh");
    pl_image image = read_real(child.pid);

    assert_int_equal(exec_image(f, &image, NULL), PL_UPDATE_ADDED);
    (void)live_end(&child);
    assert_non_null(find(f, child.pid));
    assert_non_null(pl_process_table_exit(f->table, child.pid, now(f)));
    assert_int_equal(pl_process_table_count(f->table), 0);
    pl_fake_clock_advance(&f->clock, 2 * S - 1);
    assert_int_equal(sweep(f), 0);
    assert_non_null(find(f, child.pid));
    pl_fake_clock_advance(&f->clock, 1);
    assert_int_equal(sweep(f), 1);
    assert_null(find(f, child.pid));
    pl_image_deinit(&image);
}

static void test_zombie_counts_as_gone(void **state)
{
    fixture *f = *state;
    live child = live_shell("/bin/sh");
    pl_image image = read_real(child.pid);
    siginfo_t info;

    assert_int_equal(exec_image(f, &image, NULL), PL_UPDATE_ADDED);
    assert_int_equal(kill(child.pid, SIGKILL), 0);
    assert_int_equal(waitid(P_PID, (id_t)child.pid, &info, WEXITED | WNOWAIT), 0);
    assert_non_null(pl_process_table_exit(f->table, child.pid, now(f)));
    pl_fake_clock_advance(&f->clock, 3 * S);
    assert_int_equal(sweep(f), 1); /* /proc/PID is still there */
    (void)live_end(&child);
    pl_image_deinit(&image);
}

static void test_delete_of_a_dead_pid_drops_it(void **state)
{
    fixture *f = *state;
    live child = live_shell("/bin/sh");
    pl_image image = read_real(child.pid);

    assert_int_equal(exec_image(f, &image, NULL), PL_UPDATE_ADDED);
    assert_false(pl_process_table_remove(f->table, child.pid));
    (void)live_end(&child);
    assert_true(pl_process_table_remove(f->table, child.pid));
    assert_false(pl_process_table_remove(f->table, child.pid));
    assert_null(find(f, child.pid));
    pl_image_deinit(&image);
}

static void test_delete_after_replacement_on_a_live_pid_keeps_it(void **state)
{
    fixture *f = *state;
    pl_image image = read_real(getpid());

    assert_int_equal(exec_image(f, &image, NULL), PL_UPDATE_ADDED);
    pl_image other = image_of(getpid(), image.start_ticks, "/other", 9, now(f) + 1);
    assert_int_equal(exec_image(f, &other, NULL), PL_UPDATE_REPLACED);
    assert_false(pl_process_table_remove(f->table, getpid()));
    assert_non_null(pl_process_table_exit(f->table, getpid(), now(f) + 2));
    pl_fake_clock_advance(&f->clock, 3 * S);
    assert_int_equal(sweep(f), 0);
    assert_string_equal(find(f, getpid())->path, "/other");
    pl_image_deinit(&image);
}

/* ---- finding ---- */

static void test_found_without_a_process(void **state)
{
    fixture *f = *state;

    assert_int_equal(enter(f, 4000000, 5, "/bin/a", 1, 10), PL_UPDATE_ADDED); /* no such process is alive */
    assert_non_null(find(f, 4000000));
    assert_non_null(pl_process_table_find_path(f->table, "/bin/a", NS_A, now(f)));
    assert_null(find(f, 4000001));
    assert_null(pl_process_table_find_path(f->table, "/bin/b", NS_A, now(f)));
    assert_int_equal(f->world.asked, 0); /* a lookup asks nobody */
}

static void test_find_touches_the_entry_itself(void **state)
{
    fixture *f = *state;

    assert_int_equal(enter(f, 10, 5, "/bin/a", 1, 10), PL_UPDATE_ADDED);
    int64_t first = find(f, 10)->last_seen_ns;
    pl_fake_clock_advance(&f->clock, 7 * S);
    const pl_process *process = find(f, 10);
    assert_int_equal(process->last_seen_ns, first + 7 * S);
    pl_fake_clock_advance(&f->clock, 7 * S);
    (void)pl_process_table_find_path(f->table, "/bin/a", NS_A, now(f));
    assert_int_equal(process->last_seen_ns, first + 14 * S);
    (void)pl_process_table_find(f->table, 10, 1); /* never backwards */
    assert_int_equal(process->last_seen_ns, first + 14 * S);
}

static void test_second_process_of_a_binary_is_found_by_path(void **state)
{
    fixture *f = *state;

    assert_int_equal(enter(f, 10, 5, "/bin/a", 1, 10), PL_UPDATE_ADDED);
    assert_int_equal(set_digest(f, 1, PL_SHA256, 0xaa), 1);
    assert_int_equal(enter(f, 11, 6, "/bin/a", 1, 20), PL_UPDATE_ADDED);
    assert_int_equal(pl_process_table_find_path(f->table, "/bin/a", NS_A, now(f))->pid, 11); /* the newest */
    assert_non_null(pl_process_table_exit(f->table, 11, 30));
    const pl_process *left = pl_process_table_find_path(f->table, "/bin/a", NS_A, now(f));
    assert_int_equal(left->pid, 10); /* the path did not die with its last pid */
    assert_true(has(left, PL_SHA256, 0xaa));
    assert_non_null(pl_process_table_exit(f->table, 10, 30));
    assert_null(pl_process_table_find_path(f->table, "/bin/a", NS_A, now(f))); /* nobody lives */
}

static void test_two_namespaces_are_two_paths(void **state)
{
    fixture *f = *state;
    pl_image inside = image_of(11, 6, "/bin/a", 2, 20);

    inside.mnt_ns = NS_B;
    assert_int_equal(enter(f, 10, 5, "/bin/a", 1, 10), PL_UPDATE_ADDED);
    assert_int_equal(exec_image(f, &inside, NULL), PL_UPDATE_ADDED);
    assert_int_equal(pl_process_table_find_path(f->table, "/bin/a", NS_A, now(f))->pid, 10);
    assert_int_equal(pl_process_table_find_path(f->table, "/bin/a", NS_B, now(f))->pid, 11);
    assert_int_equal(set_digest(f, 1, PL_SHA256, 0xaa), 1);
    assert_false(find(f, 11)->has_digest);
}

static void test_kernel_threads_and_empty_paths(void **state)
{
    fixture *f = *state;
    pl_image kernel = image_of(2, 1, "/looks/like/one", 3, 10);
    pl_image empty = image_of(3, 1, "", 3, 10), none = image_of(4, 1, NULL, 3, 10);

    kernel.flags = PL_IMAGE_KERNEL;
    assert_int_equal(exec_image(f, &kernel, NULL), PL_UPDATE_IGNORED);
    assert_int_equal(exec_image(f, &empty, NULL), PL_UPDATE_IGNORED);
    assert_int_equal(exec_image(f, &none, NULL), PL_UPDATE_IGNORED);
    for (pid_t pid = 2; pid <= 4; pid++) {
        assert_string_equal(find(f, pid)->path, "");
        assert_false(find(f, pid)->has_identity);
    }
    assert_null(pl_process_table_find_path(f->table, "", NS_A, now(f)));
    assert_null(pl_process_table_find_path(f->table, "/looks/like/one", NS_A, now(f)));
    assert_int_equal(set_digest(f, 3, PL_SHA256, 1), 0);
    assert_false(pl_process_table_needs_update(f->table, 2, &kernel));
}

/* ---- updating ---- */

static void test_same_pid_and_new_path_needs_update(void **state)
{
    fixture *f = *state;
    pl_image same = image_of(10, 5, "/bin/a", 1, 20), path = image_of(10, 5, "/bin/b", 1, 20);
    pl_image identity = image_of(10, 5, "/bin/a", 2, 20), reused = image_of(10, 6, "/bin/a", 1, 20);
    pl_image unread = image_of(10, 5, "/bin/a", 0, 20), unknown = image_of(11, 5, "/bin/a", 1, 20);
    pl_image empty = image_of(10, 5, "", 0, 20);

    assert_int_equal(enter(f, 10, 5, "/bin/a", 1, 10), PL_UPDATE_ADDED);
    assert_false(pl_process_table_needs_update(f->table, 10, &same));
    assert_true(pl_process_table_needs_update(f->table, 10, &path));
    assert_true(pl_process_table_needs_update(f->table, 10, &identity));
    assert_true(pl_process_table_needs_update(f->table, 10, &reused));
    assert_false(pl_process_table_needs_update(f->table, 10, &unread));
    assert_true(pl_process_table_needs_update(f->table, 11, &unknown));
    assert_false(pl_process_table_needs_update(f->table, 10, &empty));
}

static void test_update_replaces_and_links(void **state)
{
    fixture *f = *state;
    pl_process *process = NULL;
    pl_image second = image_of(10, 5, "/bin/b", 2, 20);

    assert_int_equal(enter(f, 1, 1, "/init", 9, 1), PL_UPDATE_ADDED);
    find(f, 1)->eid = 70;
    assert_int_equal(enter(f, 10, 5, "/bin/a", 1, 10), PL_UPDATE_ADDED);
    find(f, 10)->eid = 71;
    assert_int_equal(find(f, 10)->parent_eid, 70);
    assert_int_equal(set_digest(f, 1, PL_SHA256, 0xaa), 1);
    assert_int_equal(exec_image(f, &second, &process), PL_UPDATE_REPLACED);
    assert_ptr_equal(process, find(f, 10));
    assert_string_equal(process->path, "/bin/b");
    assert_int_equal(process->prev_eid, 71);
    assert_int_equal(process->parent_eid, 70);
    assert_int_equal(process->eid, 0);
    assert_int_equal(process->start_ticks, 5);
    assert_false(process->has_digest); /* the old image's digest went with it */
    assert_null(pl_process_table_find_path(f->table, "/bin/a", NS_A, now(f)));
    assert_ptr_equal(pl_process_table_find_path(f->table, "/bin/b", NS_A, now(f)), process);
    assert_int_equal(pl_process_table_count(f->table), 2);
}

static void test_replaced_binary_re_executed(void **state)
{
    fixture *f = *state;

    assert_int_equal(enter(f, 10, 5, "/bin/a", 1, 10), PL_UPDATE_ADDED);
    find(f, 10)->eid = 71;
    assert_int_equal(set_digest(f, 1, PL_SHA256, 0xaa), 1);
    assert_int_equal(enter(f, 10, 5, "/bin/a", 2, 20), PL_UPDATE_REPLACED); /* same pid, same path, new file */
    assert_false(find(f, 10)->has_digest);
    assert_int_equal(find(f, 10)->prev_eid, 71);
    assert_int_equal(set_digest(f, 1, PL_SHA256, 0xaa), 0);
    assert_int_equal(set_digest(f, 2, PL_SHA256, 0xbb), 1);
    assert_true(has(find(f, 10), PL_SHA256, 0xbb));
}

static void test_replaced_while_running_keeps_its_digest(void **state)
{
    fixture *f = *state;

    assert_int_equal(enter(f, 10, 5, "/bin/a", 1, 10), PL_UPDATE_ADDED);
    assert_int_equal(set_digest(f, 1, PL_SHA256, 0xaa), 1);
    assert_int_equal(enter(f, 11, 6, "/bin/a", 2, 20), PL_UPDATE_ADDED); /* the upgraded one */
    assert_int_equal(set_digest(f, 2, PL_SHA256, 0xbb), 1);
    assert_true(has(find(f, 10), PL_SHA256, 0xaa));
    assert_true(has(find(f, 11), PL_SHA256, 0xbb));
}

static void test_same_binary_executed_again_is_a_new_image(void **state)
{
    fixture *f = *state;

    assert_int_equal(enter(f, 10, 5, "/bin/a", 1, 10), PL_UPDATE_ADDED);
    find(f, 10)->eid = 71;
    assert_int_equal(enter(f, 10, 5, "/bin/a", 1, 20), PL_UPDATE_REPLACED);
    assert_int_equal(find(f, 10)->prev_eid, 71);
    assert_int_equal(enter(f, 10, 5, "/bin/a", 1, 20), PL_UPDATE_UNCHANGED); /* the same event twice */
    assert_int_equal(find(f, 10)->prev_eid, 71);
}

static void test_empty_path_is_ignored(void **state)
{
    fixture *f = *state;

    assert_int_equal(enter(f, 10, 5, "/bin/a", 1, 10), PL_UPDATE_ADDED);
    assert_int_equal(enter(f, 10, 5, "", 0, 0), PL_UPDATE_IGNORED);
    assert_string_equal(find(f, 10)->path, "/bin/a");
    assert_int_equal(enter(f, 10, 5, NULL, 0, 5), PL_UPDATE_IGNORED); /* older than the image */
    assert_string_equal(find(f, 10)->path, "/bin/a");
}

/* It executed something that nobody could read: the old path and digest must not be answered any more. */
static void test_unreadable_exec_takes_the_old_image_away(void **state)
{
    fixture *f = *state;

    assert_int_equal(enter(f, 10, 5, "/bin/a", 1, 10), PL_UPDATE_ADDED);
    find(f, 10)->eid = 71;
    assert_int_equal(set_digest(f, 1, PL_SHA256, 0xaa), 1);
    assert_int_equal(enter(f, 10, 0, NULL, 0, 20), PL_UPDATE_IGNORED);
    const pl_process *process = find(f, 10);
    assert_string_equal(process->path, "");
    assert_false(process->has_digest);
    assert_int_equal(process->prev_eid, 71);
    assert_int_equal(process->start_ticks, 5);
    assert_null(pl_process_table_find_path(f->table, "/bin/a", NS_A, now(f)));
}

static void test_out_of_order_never_replaces_a_newer_image(void **state)
{
    fixture *f = *state;

    assert_int_equal(enter(f, 10, 5, "/bin/new", 2, 20), PL_UPDATE_ADDED);
    assert_int_equal(enter(f, 10, 5, "/bin/old", 1, 10), PL_UPDATE_STALE);
    assert_string_equal(find(f, 10)->path, "/bin/new");
    assert_int_equal(enter(f, 10, 4, "/bin/older", 1, 30), PL_UPDATE_STALE); /* the number's earlier owner */
    assert_string_equal(find(f, 10)->path, "/bin/new");
    assert_int_equal(enter(f, 10, 5, "/bin/snapshot", 3, 0), PL_UPDATE_STALE); /* nobody knows since when */
    assert_string_equal(find(f, 10)->path, "/bin/new");
    assert_null(pl_process_table_exit(f->table, 10, 19)); /* the exit of the number's earlier owner */
    assert_int_equal(find(f, 10)->exited_ns, 0);
}

static void test_pid_reuse(void **state)
{
    fixture *f = *state;
    pl_process *process = NULL;
    pl_image image = image_of(10, 6, "/bin/a", 1, 20);

    assert_int_equal(enter(f, 10, 5, "/bin/a", 1, 10), PL_UPDATE_ADDED);
    find(f, 10)->eid = 71;
    assert_int_equal(set_digest(f, 1, PL_SHA256, 0xaa), 1);
    assert_int_equal(exec_image(f, &image, &process), PL_UPDATE_REUSED);
    assert_int_equal(process->prev_eid, 0); /* nothing of the old one */
    assert_int_equal(process->eid, 0);
    assert_int_equal(process->start_ticks, 6);
    assert_false(process->has_digest);
    assert_int_equal(pl_process_table_count(f->table), 1);
    born(f, 10, 6); /* the new owner lives; the old one's exit is late */
    assert_null(pl_process_table_exit(f->table, 10, 15));
    assert_int_equal(pl_process_table_count(f->table), 1);
}

/* The number of an exited process belongs to somebody else when the delay is over. */
static void test_reused_pid_does_not_keep_the_dead(void **state)
{
    fixture *f = *state;

    assert_int_equal(enter(f, 10, 5, "/bin/a", 1, 10), PL_UPDATE_ADDED);
    assert_non_null(pl_process_table_exit(f->table, 10, now(f)));
    born(f, 10, 6);
    pl_fake_clock_advance(&f->clock, 2 * S);
    assert_int_equal(sweep(f), 1);
}

static void test_exec_after_a_supposed_exit(void **state)
{
    fixture *f = *state;

    assert_int_equal(enter(f, 10, 5, "/bin/a", 1, 10), PL_UPDATE_ADDED);
    assert_non_null(pl_process_table_exit(f->table, 10, 15)); /* the leader ended, another thread executes */
    assert_int_equal(pl_process_table_count(f->table), 0);
    assert_int_equal(enter(f, 10, 5, "/bin/b", 2, 16), PL_UPDATE_REPLACED);
    assert_int_equal(find(f, 10)->exited_ns, 0);
    assert_int_equal(pl_process_table_count(f->table), 1);
}

static void test_snapshot_and_events_meet(void **state)
{
    fixture *f = *state;
    int64_t taken = now(f);

    assert_int_equal(enter(f, 10, 5, "/bin/a", 1, 0), PL_UPDATE_ADDED);
    assert_int_equal(enter(f, 10, 5, "/bin/a", 1, 0), PL_UPDATE_UNCHANGED);
    /* Its exec had been queued before the snapshot was taken: the time is filled in, no second image. */
    assert_int_equal(enter(f, 10, 5, "/bin/a", 1, taken - 5), PL_UPDATE_UNCHANGED);
    assert_int_equal(find(f, 10)->exec_boottime_ns, taken - 5);
    assert_int_equal(enter(f, 11, 5, "/bin/a", 1, 0), PL_UPDATE_ADDED);
    assert_int_equal(enter(f, 11, 5, "/bin/b", 2, taken - 5), PL_UPDATE_STALE);
    assert_int_equal(enter(f, 11, 5, "/bin/b", 2, taken + 5), PL_UPDATE_REPLACED);
    /* A second snapshot is newer than the first one. */
    assert_int_equal(enter(f, 12, 5, "/bin/a", 1, 0), PL_UPDATE_ADDED);
    assert_int_equal(enter(f, 12, 5, "/bin/c", 3, 0), PL_UPDATE_REPLACED);
    assert_null(pl_process_table_exit(f->table, 12, taken - 1));
    assert_int_equal(pl_process_table_fork(f->table, 12, 1, taken - 1, NULL), PL_UPDATE_STALE);
    assert_string_equal(find(f, 12)->path, "/bin/c");
    assert_int_equal(find(f, 12)->fork_boottime_ns, taken - 1);
}

/* ---- digests ---- */

static void test_digest_back_fill(void **state)
{
    fixture *f = *state;

    assert_int_equal(enter(f, 10, 5, "/bin/a", 1, 10), PL_UPDATE_ADDED);
    assert_int_equal(enter(f, 11, 6, "/bin/link", 1, 10), PL_UPDATE_ADDED); /* a hard link: one identity */
    assert_int_equal(enter(f, 12, 7, "/bin/b", 2, 10), PL_UPDATE_ADDED);
    assert_int_equal(set_digest(f, 1, PL_SHA256, 0xaa), 2);
    assert_int_equal(set_digest(f, 1, PL_MD5, 0x55), 2); /* an algorithm that was added later */
    assert_true(has(find(f, 10), PL_SHA256, 0xaa) && has(find(f, 10), PL_MD5, 0x55));
    assert_true(has(find(f, 11), PL_SHA256, 0xaa) && has(find(f, 11), PL_MD5, 0x55));
    assert_int_equal(find(f, 10)->digests.digests[0].algorithm, PL_SHA256);
    assert_false(find(f, 12)->has_digest);
    pl_identity moved = identity_of(1);
    moved.ctime_ns++;
    pl_digest_set digests = digest_of(PL_SHA256, 0xcc);
    assert_int_equal(pl_process_table_set_digest(f->table, &moved, &digests), 0);
}

static void test_digest_of_md5_first_leaves_the_slot_of_sha256(void **state)
{
    fixture *f = *state;

    assert_int_equal(enter(f, 10, 5, "/bin/a", 1, 10), PL_UPDATE_ADDED);
    assert_int_equal(set_digest(f, 1, PL_MD5, 0x55), 1);
    assert_int_equal(set_digest(f, 1, PL_SHA256, 0xaa), 1);
    assert_int_equal(find(f, 10)->digests.digests[0].algorithm, PL_SHA256);
    assert_true(has(find(f, 10), PL_MD5, 0x55));
}

static void test_process_keeps_its_checksum_for_life(void **state)
{
    fixture *f = *state;

    assert_int_equal(enter(f, 10, 5, "/bin/a", 1, 10), PL_UPDATE_ADDED);
    assert_int_equal(set_digest(f, 1, PL_SHA256, 0xaa), 1);
    assert_int_equal(set_digest(f, 1, PL_SHA256, 0xaa), 1);
    assert_int_equal(set_digest(f, 1, PL_SHA256, 0xbb), 0); /* the same identity with other bytes */
    assert_true(has(find(f, 10), PL_SHA256, 0xaa));
}

static void test_missing_digest_is_no_digest(void **state)
{
    fixture *f = *state;

    assert_int_equal(enter(f, 10, 5, "/bin/a", 1, 10), PL_UPDATE_ADDED);
    assert_int_equal(enter(f, 11, 6, "/bin/b", 0, 10), PL_UPDATE_ADDED); /* identity unknown: matches nothing */
    assert_false(find(f, 10)->has_digest);
    pl_identity zero = {0};
    pl_digest_set digests = digest_of(PL_SHA256, 1);
    assert_int_equal(pl_process_table_set_digest(f->table, &zero, &digests), 0);
}

/* ---- forks ---- */

static void test_fork_inherits(void **state)
{
    fixture *f = *state;
    pl_process *child = NULL;

    assert_int_equal(enter(f, 10, 5, "/bin/a", 1, 10), PL_UPDATE_ADDED);
    find(f, 10)->eid = 71;
    assert_int_equal(set_digest(f, 1, PL_SHA256, 0xaa), 1);
    assert_int_equal(pl_process_table_fork(f->table, 11, 10, 20, &child), PL_UPDATE_ADDED);
    assert_true(child->forked);
    assert_string_equal(child->path, "/bin/a");
    assert_int_equal(child->eid, 71);
    assert_int_equal(child->parent_eid, 71);
    assert_int_equal(child->ppid, 10);
    assert_int_equal(child->fork_boottime_ns, 20);
    assert_true(has(child, PL_SHA256, 0xaa)); /* the child of the same binary: nothing is read */
    assert_int_equal(pl_process_table_fork(f->table, 11, 10, 20, NULL), PL_UPDATE_UNCHANGED);
    assert_int_equal(pl_process_table_count(f->table), 2);
}

static void test_exec_after_fork(void **state)
{
    fixture *f = *state;
    pl_process *child = NULL;
    pl_image image = image_of(11, 7, "/bin/b", 2, 30);

    assert_int_equal(enter(f, 10, 5, "/bin/a", 1, 10), PL_UPDATE_ADDED);
    find(f, 10)->eid = 71;
    assert_int_equal(pl_process_table_fork(f->table, 11, 10, 20, NULL), PL_UPDATE_ADDED);
    find(f, 11)->fork_id = 3;
    image.ppid = 1; /* /proc shows the reaper: its parent has ended meanwhile */
    assert_int_equal(exec_image(f, &image, &child), PL_UPDATE_ADDED);
    assert_false(child->forked);
    assert_int_equal(child->ppid, 10);
    assert_int_equal(child->parent_eid, 71);
    assert_int_equal(child->prev_eid, 0); /* the image before was the parent's */
    assert_int_equal(child->fork_id, 3);
    assert_int_equal(child->fork_boottime_ns, 20);
    assert_int_equal(child->start_ticks, 7);
}

static void test_parent_image_is_that_of_the_fork(void **state)
{
    fixture *f = *state;

    assert_int_equal(enter(f, 10, 5, "/bin/a", 1, 10), PL_UPDATE_ADDED);
    find(f, 10)->eid = 71;
    assert_int_equal(pl_process_table_fork(f->table, 11, 10, 20, NULL), PL_UPDATE_ADDED);
    assert_int_equal(enter(f, 10, 5, "/bin/c", 3, 25), PL_UPDATE_REPLACED);
    find(f, 10)->eid = 72;
    assert_int_equal(enter(f, 11, 7, "/bin/b", 2, 30), PL_UPDATE_ADDED);
    assert_int_equal(find(f, 11)->parent_eid, 71);
}

static void test_fork_after_its_exec_is_late(void **state)
{
    fixture *f = *state;

    assert_int_equal(enter(f, 10, 5, "/bin/a", 1, 10), PL_UPDATE_ADDED);
    find(f, 10)->eid = 71;
    pl_image image = image_of(11, 7, "/bin/b", 2, 30);
    image.ppid = 0;
    assert_int_equal(exec_image(f, &image, NULL), PL_UPDATE_ADDED);
    assert_int_equal(pl_process_table_fork(f->table, 11, 10, 20, NULL), PL_UPDATE_STALE);
    const pl_process *child = find(f, 11);
    assert_string_equal(child->path, "/bin/b");
    assert_int_equal(child->ppid, 10);
    assert_int_equal(child->parent_eid, 71);
    assert_int_equal(child->fork_boottime_ns, 20);
}

static void test_fork_reuses_a_number(void **state)
{
    fixture *f = *state;
    pl_process *child = NULL;

    assert_int_equal(enter(f, 11, 5, "/bin/a", 1, 10), PL_UPDATE_ADDED);
    assert_non_null(pl_process_table_exit(f->table, 11, 15));
    assert_int_equal(pl_process_table_fork(f->table, 11, 999, 20, &child), PL_UPDATE_REUSED);
    assert_string_equal(child->path, ""); /* its parent is not known */
    assert_int_equal(child->exited_ns, 0);
    assert_int_equal(pl_process_table_count(f->table), 1);
    assert_null(pl_process_table_find_path(f->table, "/bin/a", NS_A, now(f)));
}

/* ---- leaving ---- */

static void test_count_returns_to_0(void **state)
{
    fixture *f = *state;

    for (pid_t pid = 10; pid < 110; pid++)
        assert_int_equal(enter(f, pid, 5, pid % 2 ? "/bin/a" : "/bin/b", (uint64_t)(pid % 2 + 1), 10), PL_UPDATE_ADDED);
    assert_int_equal(pl_process_table_count(f->table), 100);
    for (pid_t pid = 10; pid < 110; pid++) {
        assert_non_null(pl_process_table_exit(f->table, pid, now(f)));
        assert_non_null(pl_process_table_exit(f->table, pid, now(f))); /* twice counts once */
    }
    assert_int_equal(pl_process_table_count(f->table), 0);
    pl_fake_clock_advance(&f->clock, 2 * S);
    assert_int_equal(sweep(f), 100);
    assert_int_equal(sweep(f), 0);
    assert_null(pl_process_table_find_path(f->table, "/bin/a", NS_A, now(f)));
    assert_null(pl_process_table_exit(f->table, 10, now(f)));
}

static void count_dropped(void *context, const pl_process *process)
{
    *(pid_t *)context += process->pid;
}

static void test_ttl_sweep(void **state)
{
    fixture *f = *state;
    pid_t dropped = 0;

    assert_int_equal(enter(f, 10, 5, "/bin/a", 1, 10), PL_UPDATE_ADDED); /* dead, no exit seen */
    assert_int_equal(enter(f, 11, 5, "/bin/a", 1, 10), PL_UPDATE_ADDED); /* alive */
    assert_int_equal(enter(f, 12, 5, "/bin/a", 1, 10), PL_UPDATE_ADDED); /* dead, but asked for */
    born(f, 11, 5);
    pl_fake_clock_advance(&f->clock, 3599 * S);
    assert_int_equal(sweep(f), 0);
    assert_int_equal(f->world.asked, 0); /* nobody is looked at before its time */
    (void)find(f, 12);
    pl_fake_clock_advance(&f->clock, 1 * S);
    assert_int_equal(pl_process_table_sweep(f->table, now(f), count_dropped, &dropped), 1);
    assert_int_equal(dropped, 10);
    assert_null(find(f, 10));
    assert_non_null(find(f, 11));
    assert_non_null(find(f, 12));
    assert_int_equal(pl_process_table_count(f->table), 2);
}

static void test_two_tables_sweep_for_themselves(void **state)
{
    fixture *f = *state;
    void *second = NULL;

    assert_int_equal(set_up(&second), 0);
    fixture *g = second;
    assert_int_equal(enter(f, 10, 5, "/bin/a", 1, 10), PL_UPDATE_ADDED);
    assert_int_equal(enter(g, 10, 5, "/bin/a", 1, 10), PL_UPDATE_ADDED);
    assert_non_null(pl_process_table_exit(f->table, 10, now(f)));
    pl_fake_clock_advance(&f->clock, 2 * S);
    assert_int_equal(sweep(f), 1);
    assert_int_equal(pl_process_table_count(g->table), 1);
    (void)tear_down(&second);
}

static void sum_pids(void *context, pl_process *process)
{
    *(pid_t *)context += process->pid;
}

static void test_each(void **state)
{
    fixture *f = *state;
    pid_t sum = 0;

    (void)enter(f, 10, 5, "/bin/a", 1, 10);
    (void)enter(f, 11, 5, "/bin/a", 1, 10);
    pl_process_table_each(f->table, sum_pids, &sum);
    assert_int_equal(sum, 21);
}

/* ---- trees and chains ---- */

static void add_child(fixture *f, pid_t pid, pid_t ppid)
{
    pl_image image = image_of(pid, 5, "/bin/a", 1, 10);

    image.ppid = ppid;
    assert_true(exec_image(f, &image, NULL) >= 0);
}

static void test_ancestors_nearest_first(void **state)
{
    fixture *f = *state;
    pid_t out[8];

    add_child(f, 1, 0);
    add_child(f, 20, 1);
    add_child(f, 30, 20);
    add_child(f, 40, 30);
    assert_int_equal(pl_process_table_ancestors(f->table, 40, out, 8), 3);
    assert_int_equal(out[0], 30);
    assert_int_equal(out[1], 20);
    assert_int_equal(out[2], 1);
    assert_int_equal(pl_process_table_ancestors(f->table, 40, out, 2), 2);
    assert_int_equal(pl_process_table_ancestors(f->table, 999, out, 8), 0);
    add_child(f, 50, 777); /* a parent that is not known is still named */
    assert_int_equal(pl_process_table_ancestors(f->table, 50, out, 8), 1);
    assert_int_equal(out[0], 777);
}

static void test_ppid_cycles_end(void **state)
{
    fixture *f = *state;
    pid_t out[8];

    add_child(f, 20, 30);
    add_child(f, 30, 20);
    assert_int_equal(pl_process_table_ancestors(f->table, 20, out, 8), 1);
    add_child(f, 40, 20); /* hangs on a circle of which it is no part */
    assert_int_equal(pl_process_table_ancestors(f->table, 40, out, 8), 2);
    add_child(f, 50, 50); /* its own parent */
    assert_int_equal(find(f, 50)->ppid, 0);
    assert_int_equal(pl_process_table_ancestors(f->table, 50, out, 8), 0);
    assert_int_equal(pl_process_table_fork(f->table, 60, 60, 5, NULL), PL_UPDATE_ADDED);
    assert_int_equal(find(f, 60)->ppid, 0);
}

/* A process that executes for ever: one entry, one link back, no memory (ASan counts). */
static void test_chain_is_bounded(void **state)
{
    fixture *f = *state;

    for (int64_t i = 1; i <= 10000; i++) {
        assert_int_equal(enter(f, 10, 5, i % 2 ? "/bin/a" : "/bin/b", (uint64_t)(i % 2 + 1), i * 10),
                         i == 1 ? PL_UPDATE_ADDED : PL_UPDATE_REPLACED);
        assert_int_equal(find(f, 10)->prev_eid, i - 1);
        find(f, 10)->eid = i;
    }
    assert_int_equal(pl_process_table_count(f->table), 1);
}

/* ---- limits and failures ---- */

static void test_limit(void **state)
{
    fixture *f = *state;

    for (pid_t pid = 10; pid < 13; pid++)
        assert_int_equal(enter(f, pid, 5, "/bin/a", 1, 10), PL_UPDATE_ADDED);
    assert_int_equal(enter(f, 13, 5, "/bin/a", 1, 10), PL_ERR_QUEUE_FULL);
    assert_int_equal(pl_process_table_fork(f->table, 13, 10, 20, NULL), PL_ERR_QUEUE_FULL);
    assert_null(find(f, 13));
    assert_int_equal(enter(f, 12, 5, "/bin/b", 2, 20), PL_UPDATE_REPLACED); /* no new entry */
    assert_non_null(pl_process_table_exit(f->table, 12, now(f)));
    pl_fake_clock_advance(&f->clock, 2 * S);
    assert_int_equal(sweep(f), 1);
    assert_int_equal(enter(f, 13, 5, "/bin/a", 1, 10), PL_UPDATE_ADDED);
}

static void test_invalid_arguments(void **state)
{
    fixture *f = *state;
    pl_process_table_options nobody = {0};
    pl_process_table *table = NULL;

    assert_int_equal(enter(f, 0, 5, "/bin/a", 1, 10), PL_ERR_INVALID);
    assert_int_equal(pl_process_table_fork(f->table, -1, 10, 20, NULL), PL_ERR_INVALID);
    assert_int_equal(pl_process_table_new(&nobody, &table), PL_ERR_INVALID);
    assert_null(table);
    assert_null(pl_process_table_free(NULL));
}

static void test_no_memory_for_a_table(void **state)
{
    fixture *f = *state;
    pl_process_table_options options = {.alive = fake_alive};
    pl_process_table *table = NULL;

    (void)f;
    pl_fault_arm(PL_FAULT_ALLOC, 1, ENOMEM);
    int rc = pl_process_table_new(&options, &table);
    pl_fault_disarm();
    assert_int_equal(rc, PL_ERR_NOMEM);
    assert_null(table);
}

/* Every allocation of add, replace and fork fails once; what was there before stays, whole. */
static void test_no_memory_leaves_the_table_as_it_was(void **state)
{
    unsigned n, failures = 0;

    (void)state;
    for (n = 1; n < 100; n++) {
        void *fresh = NULL;
        pl_process *out = (pl_process *)-1;
        assert_int_equal(set_up(&fresh), 0);
        fixture *f = fresh;
        pl_image replaced = image_of(10, 5, "/bin/b", 2, 20), added = image_of(11, 5, "/bin/c", 3, 20);
        bool before = n % 2; /* also into an empty table */
        if (before)
            assert_int_equal(enter(f, 10, 5, "/bin/a", 1, 10), PL_UPDATE_ADDED);
        pl_fault_arm(PL_FAULT_ALLOC, (n + 1) / 2, ENOMEM);
        int rc = exec_image(f, &replaced, &out);
        if (rc >= 0)
            rc = exec_image(f, &added, NULL);
        if (rc >= 0)
            rc = pl_process_table_fork(f->table, 12, 11, 30, NULL);
        bool fired = pl_fault_fired();
        pl_fault_disarm();
        if (fired) {
            failures++;
            assert_int_equal(rc, PL_ERR_NOMEM);
            if (before) {
                const pl_process *process = find(f, 10);
                assert_non_null(process);
                assert_string_equal(process->path, out == (pl_process *)-1 ? "/bin/a" : "/bin/b");
                assert_ptr_equal(pl_process_table_find_path(f->table, process->path, NS_A, now(f)), process);
            }
            assert_null(find(f, 12));
        }
        /* It still works. */
        assert_true(exec_image(f, &replaced, NULL) >= 0);
        assert_true(exec_image(f, &added, NULL) >= 0);
        assert_true(pl_process_table_fork(f->table, 12, 11, 30, NULL) >= 0);
        assert_int_equal(pl_process_table_count(f->table), 3);
        (void)tear_down(&fresh);
        if (!fired && !before)
            break;
    }
    assert_true(failures > 12 && n < 100);
}

/* The hash tables grow: an allocation inside uthash fails, too. */
static void test_no_memory_while_growing(void **state)
{
    unsigned failures = 0;

    (void)state;
    for (unsigned from = 1; from < 40; from++) {
        void *fresh = NULL;
        size_t entered = 0;
        char path[32];
        assert_int_equal(set_up(&fresh), 0);
        fixture *f = fresh;
        for (pid_t pid = 10; pid < 2010; pid++) {
            (void)snprintf(path, sizeof(path), "/bin/%d", (int)pid);
            if (pid % 50 == 0)
                pl_fault_arm(PL_FAULT_ALLOC, from, ENOMEM);
            int rc = enter(f, pid, 5, path, (uint64_t)pid, 10);
            assert_true(rc == PL_UPDATE_ADDED || rc == PL_ERR_NOMEM);
            entered += rc == PL_UPDATE_ADDED;
            failures += rc == PL_ERR_NOMEM;
            assert_int_equal(find(f, pid) != NULL, rc == PL_UPDATE_ADDED);
        }
        pl_fault_disarm();
        assert_int_equal(pl_process_table_count(f->table), entered);
        (void)tear_down(&fresh);
    }
    assert_true(failures > 100);
}

static void test_no_memory_while_looking_up(void **state)
{
    fixture *f = *state;

    assert_int_equal(enter(f, 10, 5, "/bin/a", 1, 10), PL_UPDATE_ADDED);
    pl_fault_arm(PL_FAULT_ALLOC, 1, ENOMEM);
    const pl_process *process = pl_process_table_find_path(f->table, "/bin/a", NS_A, now(f));
    pl_fault_disarm();
    assert_null(process);
    assert_non_null(pl_process_table_find_path(f->table, "/bin/a", NS_A, now(f)));
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
#define REAL(name) cmocka_unit_test_setup_teardown(name, set_up_real, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        REAL(test_own_live_pid_is_found),
        REAL(test_delete_on_a_live_pid_keeps_it),
        REAL(test_dead_pid_is_found_then_gone_2_s_after_its_exit),
        REAL(test_zombie_counts_as_gone),
        REAL(test_delete_of_a_dead_pid_drops_it),
        REAL(test_delete_after_replacement_on_a_live_pid_keeps_it),
        CASE(test_found_without_a_process),
        CASE(test_find_touches_the_entry_itself),
        CASE(test_second_process_of_a_binary_is_found_by_path),
        CASE(test_two_namespaces_are_two_paths),
        CASE(test_kernel_threads_and_empty_paths),
        CASE(test_same_pid_and_new_path_needs_update),
        CASE(test_update_replaces_and_links),
        CASE(test_replaced_binary_re_executed),
        CASE(test_replaced_while_running_keeps_its_digest),
        CASE(test_same_binary_executed_again_is_a_new_image),
        CASE(test_empty_path_is_ignored),
        CASE(test_unreadable_exec_takes_the_old_image_away),
        CASE(test_out_of_order_never_replaces_a_newer_image),
        CASE(test_pid_reuse),
        CASE(test_reused_pid_does_not_keep_the_dead),
        CASE(test_exec_after_a_supposed_exit),
        CASE(test_snapshot_and_events_meet),
        CASE(test_digest_back_fill),
        CASE(test_digest_of_md5_first_leaves_the_slot_of_sha256),
        CASE(test_process_keeps_its_checksum_for_life),
        CASE(test_missing_digest_is_no_digest),
        CASE(test_fork_inherits),
        CASE(test_exec_after_fork),
        CASE(test_parent_image_is_that_of_the_fork),
        CASE(test_fork_after_its_exec_is_late),
        CASE(test_fork_reuses_a_number),
        CASE(test_count_returns_to_0),
        CASE(test_ttl_sweep),
        CASE(test_two_tables_sweep_for_themselves),
        CASE(test_each),
        CASE(test_ancestors_nearest_first),
        CASE(test_ppid_cycles_end),
        CASE(test_chain_is_bounded),
        cmocka_unit_test_setup_teardown(test_limit, set_up_small, tear_down),
        CASE(test_invalid_arguments),
        CASE(test_no_memory_for_a_table),
        cmocka_unit_test(test_no_memory_leaves_the_table_as_it_was),
        cmocka_unit_test(test_no_memory_while_growing),
        CASE(test_no_memory_while_looking_up),
    };

    return cmocka_run_group_tests_name("process table", tests, NULL, NULL);
}

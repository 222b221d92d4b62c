/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The hash workers: who is asked, who shares, who waits, who is given up. Threads meet at semaphores, never at times; a
 * file that hangs is a real one, behind a FUSE server that does not answer.
 */
#include "src/file/hasher.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fuse.h>
#include <pthread.h>
#include <sched.h>
#include <semaphore.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "tests/support/fake_clock.h"
#include "tests/support/fault.h"
#include "tests/support/fuse_file.h"
#include "tests/support/own_mounts.h"
#include "tests/support/temp_dir.h"

#define MANY 16

/* Where a worker is held until the test lets it go. */
typedef struct gate {
    sem_t reached, open;
    atomic_bool used;
    atomic_int nice_reading; /* seen while reading */
} gate;

typedef struct reply {
    sem_t done;
    atomic_uint calls;
    pl_probe_result result;
    bool was_known;
    atomic_uint order; /* among the replies of a test, 1 is first */
    atomic_uint *counter;
    bool known; /* what known() answers */
    atomic_uint asked;
    int nice_after;
    pl_identity forbidden;
} reply;

typedef struct fixture {
    char *dir, *file, *other;
    gate gate;
    atomic_uint counter;
    reply replies[MANY];
} fixture;

static int set_up(void **state)
{
    fixture *f = test_calloc(1, sizeof(*f));

    f->dir = pl_temp_dir_new();
    f->file = pl_temp_path(f->dir, "file");
    f->other = pl_temp_path(f->dir, "other");
    pl_temp_write(f->file, "abc", 3, 0600);
    pl_temp_write(f->other, "other", 5, 0600);
    (void)sem_init(&f->gate.reached, 0, 0);
    (void)sem_init(&f->gate.open, 0, 0);
    for (size_t i = 0; i < MANY; i++) {
        (void)sem_init(&f->replies[i].done, 0, 0);
        f->replies[i].counter = &f->counter;
    }
    *state = f;
    return 0;
}

static int tear_down(void **state)
{
    fixture *f = *state;

    for (size_t i = 0; i < MANY; i++)
        (void)sem_destroy(&f->replies[i].done);
    (void)sem_destroy(&f->gate.reached);
    (void)sem_destroy(&f->gate.open);
    free(f->file);
    free(f->other);
    char *folder = pl_temp_path(f->dir, "fuse");
    pl_own_mounts_end(folder);
    free(folder);
    pl_temp_dir_free(f->dir);
    test_free(f);
    return 0;
}

static void wait_for(sem_t *semaphore)
{
    while (sem_wait(semaphore) != 0)
        assert_int_equal(errno, EINTR);
}

/* before_read: the first to come stays until the gate is opened. */
static void hold(void *context)
{
    gate *g = context;

    if (atomic_exchange(&g->used, true))
        return;
    atomic_store(&g->nice_reading, getpriority(PRIO_PROCESS, (id_t)gettid()));
    (void)sem_post(&g->reached);
    while (sem_wait(&g->open) != 0)
        ;
}

static void done(void *context, const pl_probe_result *result, bool was_known)
{
    reply *r = context;

    r->result = *result;
    r->was_known = was_known;
    r->nice_after = getpriority(PRIO_PROCESS, (id_t)gettid());
    atomic_store(&r->order, atomic_fetch_add(r->counter, 1) + 1);
    atomic_fetch_add(&r->calls, 1);
    (void)sem_post(&r->done);
}

static bool known(void *context, const pl_identity *identity, int fd, pl_probe_result *result)
{
    reply *r = context;

    (void)fd;
    atomic_fetch_add(&r->asked, 1);
    if (r->known)
        *result = (pl_probe_result){.identity = *identity, .assurance = PL_ASSURANCE_PROBED};
    return r->known;
}

static size_t forbidden(void *context, pl_identity *out, size_t n)
{
    const reply *r = context;

    assert_true(n > 0);
    out[0] = r->forbidden;
    return 1;
}

static pl_hasher *start(fixture *f, unsigned workers, bool held)
{
    pl_hasher_options options = {.workers = workers, .stall_ns = 600 * PL_NS_PER_S};
    pl_hasher *hasher = NULL;

    if (held)
        options.prober = (pl_prober_options){.before_read = hold, .hook_context = &f->gate};
    assert_int_equal(pl_hasher_new(&options, &hasher), 0);
    return hasher;
}

static pl_hash_job job_of(reply *r, const char *path, int flags)
{
    int fd = open(path, flags | O_CLOEXEC);

    assert_true(fd >= 0);
    return (pl_hash_job){.fd = fd, .known = known, .done = done, .context = r};
}

static void submit(pl_hasher *hasher, reply *r, const char *path)
{
    pl_hash_job job = job_of(r, path, O_PATH);

    assert_int_equal(pl_hasher_submit(hasher, &job), 0);
}

/* A job for a path as seen from a root, which is the job's (-1: ours). */
static pl_hash_job path_job_of(reply *r, int root_fd, const char *path)
{
    return (pl_hash_job){.fd = -1, .path = path, .root_fd = root_fd, .known = known, .done = done, .context = r};
}

static void submit_path(pl_hasher *hasher, reply *r, int root_fd, const char *path)
{
    pl_hash_job job = path_job_of(r, root_fd, path);

    assert_int_equal(pl_hasher_submit(hasher, &job), 0);
}

static int open_root(const char *folder)
{
    int fd = open(folder, O_PATH | O_DIRECTORY | O_CLOEXEC);

    assert_return_code(fd, errno);
    return fd;
}

static bool is_open(int fd)
{
    return fcntl(fd, F_GETFD) >= 0;
}

static void assert_abc(const reply *r)
{
    pl_digest expected;

    assert_int_equal(r->result.outcome, PL_OK);
    assert_int_equal(
        pl_digest_from_hex(PL_SHA256, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad", &expected),
        0);
    assert_memory_equal(r->result.digests.digests[0].bytes, expected.bytes, 32);
}

static void test_pinned_file_is_opened_and_read_by_a_worker(void **state)
{
    fixture *f = *state;
    pl_hasher *hasher = start(f, 1, false);
    pl_hasher_stats stats;

    submit(hasher, &f->replies[0], f->file);
    wait_for(&f->replies[0].done);
    assert_abc(&f->replies[0]);
    assert_false(f->replies[0].was_known);
    pl_hasher_drain(hasher);
    pl_hasher_stats_get(hasher, &stats);
    assert_int_equal(stats.files_hashed, 1);
    assert_int_equal(stats.bytes_hashed, 3);
    assert_int_equal(stats.failures, 0);
    assert_int_equal(stats.waiting + stats.running, 0);
    assert_null(pl_hasher_free(hasher));
    assert_int_equal(f->replies[0].calls, 1);
}

static void test_readable_descriptor_is_read_and_closed(void **state)
{
    fixture *f = *state;
    pl_hasher *hasher = start(f, 1, false);
    pl_hash_job job = job_of(&f->replies[0], f->file, O_RDONLY);

    assert_int_equal(pl_hasher_submit(hasher, &job), 0);
    wait_for(&f->replies[0].done);
    assert_abc(&f->replies[0]);
    pl_hasher_drain(hasher);
    assert_int_equal(fcntl(job.fd, F_GETFD), -1);
    assert_int_equal(errno, EBADF);
    (void)pl_hasher_free(hasher);
}

static void test_unlinked_file_is_still_what_was_pinned(void **state)
{
    fixture *f = *state;
    pl_hasher *hasher = start(f, 1, false);
    pl_hash_job job = job_of(&f->replies[0], f->file, O_PATH);

    assert_int_equal(unlink(f->file), 0);
    pl_temp_write(f->file, "another file of that name", 25, 0600);
    assert_int_equal(pl_hasher_submit(hasher, &job), 0);
    wait_for(&f->replies[0].done);
    assert_abc(&f->replies[0]);
    assert_int_equal(f->replies[0].result.uncached, PL_UNCACHED_UNLINKED);
    (void)pl_hasher_free(hasher);
}

static void test_forbidden_file_is_not_opened(void **state)
{
    fixture *f = *state;
    pl_hasher *hasher = start(f, 1, false);
    pl_hash_job job = job_of(&f->replies[0], f->file, O_PATH);

    assert_int_equal(pl_identity_of_fd(job.fd, &f->replies[0].forbidden), 0);
    job.forbidden = forbidden;
    assert_int_equal(pl_hasher_submit(hasher, &job), 0);
    wait_for(&f->replies[0].done);
    assert_int_equal(f->replies[0].result.outcome, PL_UNREADABLE);
    assert_int_equal(f->replies[0].result.error, EPERM);
    assert_int_equal(f->replies[0].asked, 0);
    (void)pl_hasher_free(hasher);
}

static void test_what_is_known_is_not_read(void **state)
{
    fixture *f = *state;
    pl_hasher *hasher = start(f, 1, false);
    pl_hasher_stats stats;

    f->replies[0].known = true;
    submit(hasher, &f->replies[0], f->file);
    wait_for(&f->replies[0].done);
    assert_true(f->replies[0].was_known);
    pl_hash_job job = job_of(&f->replies[0], f->file, O_PATH);
    job.force = true; /* a re-read is wanted: nobody is asked */
    assert_int_equal(pl_hasher_submit(hasher, &job), 0);
    wait_for(&f->replies[0].done);
    assert_false(f->replies[0].was_known);
    assert_abc(&f->replies[0]);
    assert_int_equal(f->replies[0].asked, 1);
    pl_hasher_drain(hasher);
    pl_hasher_stats_get(hasher, &stats);
    assert_int_equal(stats.files_hashed, 1);
    (void)pl_hasher_free(hasher);
}

/* Many ask for one file while it is read: one read, everybody answered once, with the same. */
/* Files of now are past any racy window. */
static const pl_clock *later(void)
{
    static pl_fake_clock clock;

    pl_fake_clock_init(&clock, pl_clock_realtime_ns(pl_clock_system()) + 10 * PL_NS_PER_S,
                       pl_clock_boottime_ns(pl_clock_system()) + 10 * PL_NS_PER_S);
    return &clock.clock;
}

static void test_single_flight(void **state)
{
    fixture *f = *state;
    pl_hasher_options options = {.workers = 3,
                                 .stall_ns = 600 * PL_NS_PER_S,
                                 .prober = {.clock = later(), .before_read = hold, .hook_context = &f->gate}};
    pl_hasher *hasher = NULL;
    pl_hasher_stats stats;

    assert_int_equal(pl_hasher_new(&options, &hasher), 0);

    submit(hasher, &f->replies[0], f->file);
    wait_for(&f->gate.reached);
    for (size_t i = 1; i < MANY; i++)
        submit(hasher, &f->replies[i], f->file);
    do
        pl_hasher_stats_get(hasher, &stats);
    while (stats.joined < MANY - 1 && sched_yield() == 0);
    (void)sem_post(&f->gate.open);
    for (size_t i = 0; i < MANY; i++) {
        wait_for(&f->replies[i].done);
        assert_abc(&f->replies[i]);
        assert_int_equal(f->replies[i].calls, 1);
    }
    pl_hasher_drain(hasher);
    pl_hasher_stats_get(hasher, &stats);
    assert_int_equal(stats.files_hashed, 1);
    assert_int_equal(stats.bytes_hashed, 3);
    assert_int_equal(stats.joined, MANY - 1);
    (void)pl_hasher_free(hasher);
}

/* The store is finished before the second question, and moves nothing in the identity: bytes that were read before it are
 * no answer. */
static void test_a_read_that_proves_nothing_is_not_shared_with_a_later_question(void **state)
{
    fixture *f = *state;
    pl_hasher_options options = {.workers = 2,
                                 .stall_ns = 600 * PL_NS_PER_S,
                                 .prober = {.clock = later(), .before_s2 = hold, .hook_context = &f->gate}};
    pl_hasher *hasher = NULL;
    pl_hasher_stats stats;
    int fd = open(f->file, O_RDWR | O_CLOEXEC);

    assert_true(fd >= 0);
    char *map = mmap(NULL, 3, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    assert_ptr_not_equal(map, MAP_FAILED);
    map[0] = 'x'; /* dirty: the next store faults no more */
    assert_int_equal(pl_hasher_new(&options, &hasher), 0);
    submit(hasher, &f->replies[0], f->file);
    wait_for(&f->gate.reached); /* read to its end */
    map[0] = 'a';
    for (size_t i = 1; i < MANY; i++)
        submit(hasher, &f->replies[i], f->file);
    do
        pl_hasher_stats_get(hasher, &stats);
    while (stats.joined < MANY - 1 && sched_yield() == 0);
    (void)sem_post(&f->gate.open);
    for (size_t i = 0; i < MANY; i++)
        wait_for(&f->replies[i].done);
    for (size_t i = 1; i < MANY; i++) {
        assert_abc(&f->replies[i]);
        assert_int_equal(f->replies[i].calls, 1);
    }
    assert_int_equal(f->replies[0].result.digests.digests[0].bytes[0], 0x11); /* of "xbc" */
    pl_hasher_drain(hasher);
    pl_hasher_stats_get(hasher, &stats);
    assert_true(stats.files_hashed >= 2);
    assert_int_equal(munmap(map, 3), 0);
    (void)close(fd);
    (void)pl_hasher_free(hasher);
}

static void test_forced_and_other_algorithms_do_not_join(void **state)
{
    fixture *f = *state;
    pl_hasher *hasher = start(f, 2, true);
    pl_hasher_stats stats;

    submit(hasher, &f->replies[0], f->file);
    wait_for(&f->gate.reached);
    pl_hash_job forced = job_of(&f->replies[1], f->file, O_PATH), md5 = job_of(&f->replies[2], f->file, O_PATH);
    forced.force = true;
    md5.algorithms = PL_SHA256 | PL_MD5;
    assert_int_equal(pl_hasher_submit(hasher, &forced), 0);
    assert_int_equal(pl_hasher_submit(hasher, &md5), 0);
    wait_for(&f->replies[1].done);
    wait_for(&f->replies[2].done);
    assert_non_null(pl_digest_find(&f->replies[2].result.digests, PL_MD5));
    (void)sem_post(&f->gate.open);
    wait_for(&f->replies[0].done);
    pl_hasher_drain(hasher);
    pl_hasher_stats_get(hasher, &stats);
    assert_int_equal(stats.joined, 0);
    assert_int_equal(stats.files_hashed, 3);
    (void)pl_hasher_free(hasher);
}

static void test_full_queue_refuses_and_takes_nothing(void **state)
{
    fixture *f = *state;
    pl_hasher_options options = {
        .workers = 1, .queue_limit = 2, .prober = {.before_read = hold, .hook_context = &f->gate}};
    pl_hasher *hasher = NULL;
    pl_hasher_stats stats;

    assert_int_equal(pl_hasher_new(&options, &hasher), 0);
    submit(hasher, &f->replies[0], f->file);
    wait_for(&f->gate.reached);
    submit(hasher, &f->replies[1], f->other);
    submit(hasher, &f->replies[2], f->other);
    pl_hash_job job = job_of(&f->replies[3], f->other, O_PATH);
    assert_int_equal(pl_hasher_submit(hasher, &job), PL_ERR_QUEUE_FULL);
    assert_true(fcntl(job.fd, F_GETFD) >= 0); /* still ours */
    assert_int_equal(close(job.fd), 0);
    (void)sem_post(&f->gate.open);
    pl_hasher_drain(hasher);
    pl_hasher_stats_get(hasher, &stats);
    assert_int_equal(stats.refused, 1);
    assert_int_equal(f->replies[3].calls, 0);
    assert_int_equal(f->replies[1].calls + f->replies[2].calls, 2);
    (void)pl_hasher_free(hasher);
}

static void test_urgent_ones_come_first_in_their_order(void **state)
{
    fixture *f = *state;
    pl_hasher *hasher = start(f, 1, true);

    submit(hasher, &f->replies[0], f->file);
    wait_for(&f->gate.reached);
    for (size_t i = 1; i < 5; i++) {
        pl_hash_job job = job_of(&f->replies[i], f->other, O_PATH);
        job.urgent = i >= 3;
        assert_int_equal(pl_hasher_submit(hasher, &job), 0);
    }
    (void)sem_post(&f->gate.open);
    pl_hasher_drain(hasher);
    assert_int_equal(f->replies[0].order, 1);
    assert_int_equal(f->replies[3].order, 2);
    assert_int_equal(f->replies[4].order, 3);
    assert_int_equal(f->replies[1].order, 4);
    assert_int_equal(f->replies[2].order, 5);
    (void)pl_hasher_free(hasher);
}

static void *free_in_a_thread(void *hasher)
{
    return pl_hasher_free(hasher);
}

static void test_free_answers_those_who_wait_and_finishes_those_who_run(void **state)
{
    fixture *f = *state;
    pl_hasher *hasher = start(f, 1, true);
    pthread_t thread;

    submit(hasher, &f->replies[0], f->file);
    wait_for(&f->gate.reached);
    submit(hasher, &f->replies[1], f->other);
    assert_int_equal(pthread_create(&thread, NULL, free_in_a_thread, hasher), 0);
    wait_for(&f->replies[1].done);
    assert_int_equal(f->replies[1].result.outcome, PL_PENDING);
    assert_int_equal(f->replies[0].calls, 0);
    (void)sem_post(&f->gate.open);
    assert_int_equal(pthread_join(thread, NULL), 0);
    assert_abc(&f->replies[0]);
    assert_int_equal(f->replies[0].calls, 1);
    assert_int_equal(f->replies[1].calls, 1);
}

/* The reading is idle work; the probe and the callbacks are not. */
static void test_priority_is_low_while_reading_only(void **state)
{
    fixture *f = *state;
    pl_hasher_options options = {
        .workers = 1, .low_priority = true, .prober = {.before_read = hold, .hook_context = &f->gate}};
    pl_hasher *hasher = NULL;
    int normal = getpriority(PRIO_PROCESS, 0);

    assert_int_equal(pl_hasher_new(&options, &hasher), 0);
    submit(hasher, &f->replies[0], f->file);
    wait_for(&f->gate.reached);
    (void)sem_post(&f->gate.open);
    wait_for(&f->replies[0].done);
    (void)pl_hasher_free(hasher);
    if (geteuid() == 0) {
        assert_int_equal(f->gate.nice_reading, 19);
        assert_int_equal(f->replies[0].nice_after, normal);
    } else {
        /* Coming back takes CAP_SYS_NICE: without it a worker does not go down, or the probe would be idle work too. */
        assert_true(f->gate.nice_reading <= normal + 1);
    }
}

/* ---- paths, which a worker walks ---- */

static void test_path_is_walked_and_read_by_a_worker(void **state)
{
    fixture *f = *state;
    pl_hasher *hasher = start(f, 1, true);
    char *path = strdup(f->file);

    submit(hasher, &f->replies[0], f->other);
    wait_for(&f->gate.reached);
    submit_path(hasher, &f->replies[1], -1, path);
    memset(path, 'x', strlen(path)); /* it was copied */
    free(path);
    (void)sem_post(&f->gate.open);
    wait_for(&f->replies[1].done);
    assert_abc(&f->replies[1]);
    assert_int_equal(f->replies[1].asked, 1);
    pl_identity identity;
    assert_int_equal(pl_identity_of_path(AT_FDCWD, f->file, true, &identity), 0);
    assert_true(pl_identity_equal(&identity, &f->replies[1].result.identity));
    (void)pl_hasher_free(hasher);
}

/* What the path names when the worker comes to it, and no earlier. */
static void test_path_is_walked_when_its_turn_comes(void **state)
{
    fixture *f = *state;
    pl_hasher *hasher = start(f, 1, true);

    submit(hasher, &f->replies[0], f->file);
    wait_for(&f->gate.reached);
    submit_path(hasher, &f->replies[1], -1, f->other);
    submit_path(hasher, &f->replies[2], -1, f->file);
    assert_return_code(rename(f->file, f->other), errno);
    (void)sem_post(&f->gate.open);
    wait_for(&f->replies[1].done);
    wait_for(&f->replies[2].done);
    assert_abc(&f->replies[1]);
    assert_int_equal(f->replies[2].result.outcome, PL_VANISHED);
    (void)pl_hasher_free(hasher);
}

static void test_path_that_names_no_file_says_so(void **state)
{
    static const struct {
        const char *name;
        int outcome, error;
    } cases[] = {{"missing", PL_VANISHED, ENOENT}, {"file/below", PL_VANISHED, ENOTDIR},
                 {"", PL_NOT_REGULAR, EISDIR},     {"fifo", PL_NOT_REGULAR, EINVAL},
                 {"itself", PL_UNREADABLE, ELOOP}, {"dangling", PL_VANISHED, ENOENT}};
    fixture *f = *state;
    pl_hasher *hasher = start(f, 1, false);
    char *fifo = pl_temp_path(f->dir, "fifo"), *itself = pl_temp_path(f->dir, "itself"),
         *dangling = pl_temp_path(f->dir, "dangling");
    pl_hasher_stats stats;
    const size_t n = sizeof(cases) / sizeof(cases[0]);

    assert_return_code(mkfifo(fifo, 0600), errno);
    assert_return_code(symlink("itself", itself), errno);
    assert_return_code(symlink("missing", dangling), errno);
    for (size_t i = 0; i < 2 * n; i++) { /* from our own root, and from another one */
        char *path = i < n ? pl_temp_path(f->dir, cases[i].name) : pl_temp_path("", cases[i - n].name);
        reply *r = &f->replies[i];
        submit_path(hasher, r, i < n ? -1 : open_root(f->dir), path);
        wait_for(&r->done);
        assert_int_equal(r->result.outcome, cases[i % n].outcome);
        assert_int_equal(r->result.error, cases[i % n].error);
        assert_int_equal(r->asked, 0);
        assert_int_equal(r->calls, 1);
        free(path);
    }
    pl_hasher_drain(hasher);
    pl_hasher_stats_get(hasher, &stats);
    assert_int_equal(stats.failures, 2 * n);
    assert_int_equal(stats.files_hashed, 0);
    (void)pl_hasher_free(hasher);
    free(fifo);
    free(itself);
    free(dangling);
}

/* A root of another process: its paths and the links in it are followed as that process would. */
static void test_path_below_another_root_never_leaves_it(void **state)
{
    static const char *const paths[] = {"/file",     "file",   "/absolute",         "/up",
                                        "/in/inner", "//file", "/in/../../../file", "/in/away/file"};
    fixture *f = *state;
    pl_hasher *hasher = start(f, 1, false);
    char *root = pl_temp_path(f->dir, "root"), *in = pl_temp_path(root, "in"), *file = pl_temp_path(root, "file");
    static const char *const links[][2] = {
        {"/file", "absolute"}, {"../../../../../file", "up"}, {"../../file", "in/inner"}, {"/..", "in/away"}};

    assert_return_code(mkdir(root, 0700), errno);
    assert_return_code(mkdir(in, 0700), errno);
    pl_temp_write(file, "abc", 3, 0600);
    pl_temp_write(f->file, "what lies outside", 17, 0600);
    for (size_t i = 0; i < sizeof(links) / sizeof(links[0]); i++) {
        char *name = pl_temp_path(root, links[i][1]);
        assert_return_code(symlink(links[i][0], name), errno);
        free(name);
    }
    for (size_t i = 0; i < sizeof(paths) / sizeof(paths[0]); i++) {
        submit_path(hasher, &f->replies[i], open_root(root), paths[i]);
        wait_for(&f->replies[i].done);
        assert_abc(&f->replies[i]);
    }
    (void)pl_hasher_free(hasher);
    free(root);
    free(in);
    free(file);
}

static void test_forbidden_file_is_not_opened_by_path_either(void **state)
{
    fixture *f = *state;
    pl_hasher *hasher = start(f, 1, false);
    char *link = pl_temp_path(f->dir, "link");

    assert_return_code(symlink("file", link), errno);
    for (size_t i = 0; i < 3; i++) {
        reply *r = &f->replies[i];
        pl_hash_job job = path_job_of(r, i == 2 ? open_root(f->dir) : -1, i == 0 ? f->file : i == 1 ? link : "/link");
        assert_int_equal(pl_identity_of_path(AT_FDCWD, f->file, true, &r->forbidden), 0);
        job.forbidden = forbidden;
        assert_int_equal(pl_hasher_submit(hasher, &job), 0);
        wait_for(&r->done);
        assert_int_equal(r->result.outcome, PL_UNREADABLE);
        assert_int_equal(r->result.error, EPERM);
        assert_int_equal(r->asked, 0);
    }
    (void)pl_hasher_free(hasher);
    free(link);
}

/* Whatever becomes of the job: read, known, joined, not there, forbidden, never begun. */
static void test_root_is_closed_in_every_outcome(void **state)
{
    fixture *f = *state;
    pl_hasher *hasher = start(f, 2, true);
    int roots[6];
    pl_hasher_stats stats;
    pthread_t thread;

    for (size_t i = 0; i < 6; i++)
        roots[i] = open_root(f->dir);
    submit_path(hasher, &f->replies[0], roots[0], "/file"); /* held */
    wait_for(&f->gate.reached);
    submit_path(hasher, &f->replies[1], roots[1], "/file"); /* joins it */
    do
        pl_hasher_stats_get(hasher, &stats);
    while (stats.joined < 1 && sched_yield() == 0);
    f->replies[2].known = true;
    submit_path(hasher, &f->replies[2], roots[2], "/other");
    wait_for(&f->replies[2].done);
    assert_true(f->replies[2].was_known);
    submit_path(hasher, &f->replies[3], roots[3], "/missing");
    wait_for(&f->replies[3].done);
    pl_hash_job job = path_job_of(&f->replies[4], roots[4], "/file");
    assert_int_equal(pl_identity_of_path(AT_FDCWD, f->file, true, &f->replies[4].forbidden), 0);
    job.forbidden = forbidden;
    assert_int_equal(pl_hasher_submit(hasher, &job), 0);
    wait_for(&f->replies[4].done);
    (void)sem_post(&f->gate.open);
    (void)pl_hasher_free(hasher);
    assert_abc(&f->replies[0]);
    assert_abc(&f->replies[1]);
    for (size_t i = 0; i < 5; i++)
        assert_false(is_open(roots[i]));

    atomic_store(&f->gate.used, false);
    hasher = start(f, 1, true);
    submit(hasher, &f->replies[6], f->file);
    wait_for(&f->gate.reached);
    submit_path(hasher, &f->replies[5], roots[5], "/file");
    assert_int_equal(pthread_create(&thread, NULL, free_in_a_thread, hasher), 0);
    wait_for(&f->replies[5].done);
    assert_int_equal(f->replies[5].result.outcome, PL_PENDING);
    (void)sem_post(&f->gate.open);
    assert_int_equal(pthread_join(thread, NULL), 0);
    assert_false(is_open(roots[5]));
}

static void test_root_of_a_job_that_is_refused_stays_the_callers(void **state)
{
    fixture *f = *state;
    pl_hasher_options options = {
        .workers = 1, .queue_limit = 1, .prober = {.before_read = hold, .hook_context = &f->gate}};
    pl_hasher *hasher = NULL;
    int root = open_root(f->dir);

    assert_int_equal(pl_hasher_new(&options, &hasher), 0);
    submit(hasher, &f->replies[0], f->file);
    wait_for(&f->gate.reached);
    pl_hash_job job = path_job_of(&f->replies[2], root, "/file");
    for (unsigned n = 1; n <= 2; n++) { /* the job, its path */
        pl_fault_arm(PL_FAULT_ALLOC, n, ENOMEM);
        int rc = pl_hasher_submit(hasher, &job);
        pl_fault_disarm();
        assert_int_equal(rc, PL_ERR_NOMEM);
        assert_true(is_open(root));
    }
    submit(hasher, &f->replies[1], f->other);
    assert_int_equal(pl_hasher_submit(hasher, &job), PL_ERR_QUEUE_FULL);
    assert_true(is_open(root));
    (void)sem_post(&f->gate.open);
    pl_hasher_drain(hasher);
    assert_int_equal(f->replies[2].calls, 0);
    assert_int_equal(pl_hasher_submit(hasher, &job), 0); /* it is good for another try */
    wait_for(&f->replies[2].done);
    assert_abc(&f->replies[2]);
    (void)pl_hasher_free(hasher);
    assert_false(is_open(root));
}

static void test_root_without_a_path_means_nothing(void **state)
{
    fixture *f = *state;
    pl_hasher *hasher = start(f, 1, false);
    pl_hash_job job = job_of(&f->replies[0], f->file, O_PATH);
    int root = open_root(f->dir);

    job.root_fd = root;
    assert_int_equal(pl_hasher_submit(hasher, &job), 0);
    wait_for(&f->replies[0].done);
    assert_abc(&f->replies[0]);
    (void)pl_hasher_free(hasher);
    assert_true(is_open(root));
    (void)close(root);
}

static void test_path_that_cannot_be_opened_says_why(void **state)
{
    fixture *f = *state;
    pl_hasher *hasher = start(f, 1, false);

    for (unsigned n = 1; n <= 2; n++) { /* the walk, the file */
        reply *r = &f->replies[n];
        pl_fault_arm(PL_FAULT_OPEN, n, EMFILE);
        submit_path(hasher, r, -1, f->file);
        wait_for(&r->done);
        pl_fault_disarm();
        assert_int_equal(r->result.outcome, PL_UNREADABLE);
        assert_int_equal(r->result.error, EMFILE);
    }
    (void)pl_hasher_free(hasher);
}

/* ---- files that block ---- */

static pl_fuse_file *silent_file(const fixture *f, uint32_t opcode)
{
    pl_fuse_file *file = NULL;
    char *folder = pl_temp_path(f->dir, "fuse");

    assert_int_equal(mkdir(folder, 0755), 0);
    if (pl_own_mounts(folder))
        file = pl_fuse_file_new(folder, opcode);
    if (!file)
        print_message("SKIPPED: no FUSE here: %s\n", strerror(errno));
    free(folder);
    return file;
}

/* A request of this kind is never answered: the job is given up, others go on, and the worker comes back. */
static void hang_in(fixture *f, uint32_t opcode, bool answered_before, bool by_path)
{
    pl_hasher_options options = {.workers = 1, .stall_ns = 500 * PL_NS_PER_MS};
    pl_hasher *hasher = NULL;
    pl_hasher_stats stats;
    pl_fuse_file *fuse = silent_file(f, opcode);

    if (!fuse)
        skip();
    char *path = pl_temp_path(f->dir, "fuse/file");
    int root = by_path ? open_root(f->dir) : -1;
    assert_int_equal(pl_hasher_new(&options, &hasher), 0);
    if (by_path)
        submit_path(hasher, &f->replies[0], root, "/fuse/file");
    else
        submit(hasher, &f->replies[0], path);
    wait_for(&f->replies[0].done);
    if (answered_before) {
        assert_int_equal(f->replies[0].result.outcome, PL_OK);
        assert_int_equal(f->replies[0].result.uncached, PL_UNCACHED_TIER);
    } else {
        assert_int_equal(f->replies[0].result.outcome, PL_UNREADABLE);
        assert_int_equal(f->replies[0].result.error, ETIMEDOUT);
    }
    submit(hasher, &f->replies[1], f->file); /* by the worker in its place */
    wait_for(&f->replies[1].done);
    assert_abc(&f->replies[1]);
    pl_hasher_drain(hasher); /* does not wait for who hangs */
    pl_hasher_stats_get(hasher, &stats);
    assert_int_equal(stats.stalled, 1);
    assert_int_equal(stats.waiting + stats.running, 0);
    assert_int_equal(f->replies[0].calls, 1);
    pl_fuse_file_release(fuse);
    (void)pl_hasher_free(hasher);
    assert_int_equal(f->replies[0].calls, 1);
    pl_fuse_file_free(fuse);
    while (by_path && is_open(root)) /* until who hung has come back */
        (void)sched_yield();
    free(path);
}

static void test_file_that_hangs_when_opened(void **state)
{
    hang_in(*state, FUSE_OPEN, false, false);
}

static void test_file_that_hangs_when_read(void **state)
{
    hang_in(*state, FUSE_READ, false, false);
}

static void test_file_that_hangs_when_its_file_system_is_asked(void **state)
{
    hang_in(*state, FUSE_STATFS, false, false);
}

static void test_file_that_hangs_when_closed(void **state)
{
    hang_in(*state, FUSE_FLUSH, true, false);
}

static void test_path_that_hangs_when_walked(void **state)
{
    hang_in(*state, FUSE_LOOKUP, false, true);
}

static void test_path_whose_file_hangs_when_opened(void **state)
{
    hang_in(*state, FUSE_OPEN, false, true);
}

static void test_path_whose_file_hangs_when_looked_at(void **state)
{
    hang_in(*state, FUSE_GETATTR, false, true);
}

static void test_path_whose_file_hangs_when_read(void **state)
{
    hang_in(*state, FUSE_READ, false, true);
}

static void test_path_whose_file_hangs_when_closed(void **state)
{
    hang_in(*state, FUSE_FLUSH, true, true);
}

/* Pinning and identifying on a thread that must not wait does not ask the server. */
static void test_pinning_asks_no_server(void **state)
{
    fixture *f = *state;
    pl_identity identity;
    pl_fuse_file *fuse = silent_file(f, 0);

    if (!fuse)
        skip();
    char *path = pl_temp_path(f->dir, "fuse/file");
    int first = open(path, O_PATH | O_CLOEXEC); /* the name is looked up */
    assert_true(first >= 0);
    pl_fuse_file_free(fuse); /* the server is gone for good: whatever asks it fails */
    char link[32];
    (void)snprintf(link, sizeof(link), "/proc/self/fd/%d", first);
    int pin = open(link, O_PATH | O_CLOEXEC);
    assert_true(pin >= 0);
    assert_int_equal(pl_identity_of_pinned(pin, "", &identity), 0);
    assert_int_equal(identity.inode, 2);
    assert_int_equal(identity.btime_ns, 0);
    assert_int_equal(pl_identity_of_fd(pin, &identity), ENOTCONN); /* it would have asked */
    (void)close(pin);
    (void)close(first);
    free(path);
}

/* Everybody hangs and nobody may be added: those who wait are told, new ones are refused, and it all goes on once the
 * server answers again. */
static void test_all_workers_hang(void **state)
{
    fixture *f = *state;
    pl_hasher_options options = {.workers = 1, .max_stalled = 1, .stall_ns = 500 * PL_NS_PER_MS};
    pl_hasher *hasher = NULL;
    pl_hasher_stats stats;
    pl_fuse_file *fuse = silent_file(f, FUSE_OPEN);

    if (!fuse)
        skip();
    char *path = pl_temp_path(f->dir, "fuse/file");
    assert_int_equal(pl_hasher_new(&options, &hasher), 0);
    for (size_t i = 0; i < 3; i++)
        submit(hasher, &f->replies[i], path);
    for (size_t i = 0; i < 3; i++) {
        wait_for(&f->replies[i].done);
        assert_int_equal(f->replies[i].result.outcome, PL_UNREADABLE);
        assert_int_equal(f->replies[i].result.error, ETIMEDOUT);
    }
    pl_hasher_stats_get(hasher, &stats);
    assert_int_equal(stats.stalled, 2); /* the first and the one in its place */
    pl_hash_job job = job_of(&f->replies[3], f->file, O_PATH);
    assert_int_equal(pl_hasher_submit(hasher, &job), PL_ERR_QUEUE_FULL);
    pl_fuse_file_release(fuse);
    while (pl_hasher_submit(hasher, &job) == PL_ERR_QUEUE_FULL) /* until one of the two is back */
        (void)sched_yield();
    wait_for(&f->replies[3].done);
    assert_abc(&f->replies[3]);
    (void)pl_hasher_free(hasher);
    pl_fuse_file_free(fuse);
    free(path);
}

/* The owner does not wait for who hangs, and whoever hangs touches nothing of the owner's when it comes back. */
static void leave_while_it_hangs(fixture *f, uint32_t opcode, bool by_path)
{
    pl_hasher_options options = {.workers = 1, .stall_ns = 500 * PL_NS_PER_MS};
    pl_hasher *hasher = NULL;
    pl_fuse_file *fuse = silent_file(f, opcode);
    reply *gone = test_calloc(1, sizeof(*gone));

    if (!fuse) {
        test_free(gone);
        skip();
    }
    (void)sem_init(&gone->done, 0, 0);
    gone->counter = &f->counter;
    char *path = pl_temp_path(f->dir, "fuse/file");
    int root = by_path ? open_root("/") : -1;
    assert_int_equal(pl_hasher_new(&options, &hasher), 0);
    if (by_path)
        submit_path(hasher, gone, root, path);
    else
        submit(hasher, gone, path);
    memset(path, 'x', strlen(path));
    free(path);
    wait_for(&gone->done);
    assert_null(pl_hasher_free(hasher));
    (void)sem_destroy(&gone->done);
    test_free(gone);
    pl_fuse_file_free(fuse); /* answers: the worker comes back and finds its way out */
    while (by_path && is_open(root))
        (void)sched_yield();
}

static void test_owner_leaves_before_a_hung_worker_returns(void **state)
{
    leave_while_it_hangs(*state, FUSE_READ, false);
}

static void test_owner_leaves_before_a_hung_walk_returns(void **state)
{
    leave_while_it_hangs(*state, FUSE_LOOKUP, true);
}

static void test_owner_leaves_before_a_hung_opening_returns(void **state)
{
    leave_while_it_hangs(*state, FUSE_OPEN, true);
}

/* ---- failures ---- */

static void test_memory_and_threads_fail_at_every_point_of_the_start(void **state)
{
    static const pl_fault_kind kinds[] = {PL_FAULT_ALLOC, PL_FAULT_THREAD};
    pl_hasher_options options = {.workers = 2};

    (void)state;
    for (size_t k = 0; k < 2; k++) {
        unsigned failures = 0;
        for (unsigned n = 1; n <= 3; n++) {
            pl_hasher *hasher = NULL;
            pl_fault_arm(kinds[k], n, k == 0 ? ENOMEM : EAGAIN);
            int rc = pl_hasher_new(&options, &hasher);
            pl_fault_disarm();
            failures += rc < 0;
            if (rc < 0)
                assert_null(hasher);
            (void)pl_hasher_free(hasher);
        }
        assert_int_equal(failures, k == 0 ? 1 : 3); /* a worker without a prober starts, and says so with each job */
    }
}

static void test_no_memory_for_a_job_takes_nothing(void **state)
{
    fixture *f = *state;
    pl_hasher *hasher = start(f, 1, false);
    pl_hash_job job = job_of(&f->replies[0], f->file, O_PATH);

    pl_fault_arm(PL_FAULT_ALLOC, 1, ENOMEM);
    int rc = pl_hasher_submit(hasher, &job);
    pl_fault_disarm();
    assert_int_equal(rc, PL_ERR_NOMEM);
    assert_int_equal(close(job.fd), 0);
    (void)pl_hasher_free(hasher);
    assert_int_equal(f->replies[0].calls, 0);
}

static void test_worker_without_a_prober_answers_unreadable(void **state)
{
    fixture *f = *state;
    pl_hasher_options options = {.workers = 1};
    pl_hasher *hasher = NULL;

    pl_fault_arm_from(PL_FAULT_ALLOC, 2, ENOMEM); /* the hasher itself is the first */
    assert_int_equal(pl_hasher_new(&options, &hasher), 0);
    while (!pl_fault_fired())
        (void)sched_yield();
    pl_fault_disarm();
    submit(hasher, &f->replies[0], f->file);
    wait_for(&f->replies[0].done);
    assert_int_equal(f->replies[0].result.outcome, PL_UNREADABLE);
    assert_int_equal(f->replies[0].result.error, ENOMEM);
    (void)pl_hasher_free(hasher);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(test_pinned_file_is_opened_and_read_by_a_worker),
        CASE(test_readable_descriptor_is_read_and_closed),
        CASE(test_unlinked_file_is_still_what_was_pinned),
        CASE(test_forbidden_file_is_not_opened),
        CASE(test_what_is_known_is_not_read),
        CASE(test_single_flight),
        CASE(test_a_read_that_proves_nothing_is_not_shared_with_a_later_question),
        CASE(test_forced_and_other_algorithms_do_not_join),
        CASE(test_full_queue_refuses_and_takes_nothing),
        CASE(test_urgent_ones_come_first_in_their_order),
        CASE(test_free_answers_those_who_wait_and_finishes_those_who_run),
        CASE(test_priority_is_low_while_reading_only),
        CASE(test_path_is_walked_and_read_by_a_worker),
        CASE(test_path_is_walked_when_its_turn_comes),
        CASE(test_path_that_names_no_file_says_so),
        CASE(test_path_below_another_root_never_leaves_it),
        CASE(test_forbidden_file_is_not_opened_by_path_either),
        CASE(test_root_is_closed_in_every_outcome),
        CASE(test_root_of_a_job_that_is_refused_stays_the_callers),
        CASE(test_root_without_a_path_means_nothing),
        CASE(test_path_that_cannot_be_opened_says_why),
        CASE(test_file_that_hangs_when_opened),
        CASE(test_file_that_hangs_when_read),
        CASE(test_file_that_hangs_when_its_file_system_is_asked),
        CASE(test_file_that_hangs_when_closed),
        CASE(test_path_that_hangs_when_walked),
        CASE(test_path_whose_file_hangs_when_opened),
        CASE(test_path_whose_file_hangs_when_looked_at),
        CASE(test_path_whose_file_hangs_when_read),
        CASE(test_path_whose_file_hangs_when_closed),
        CASE(test_pinning_asks_no_server),
        CASE(test_all_workers_hang),
        CASE(test_owner_leaves_before_a_hung_worker_returns),
        CASE(test_owner_leaves_before_a_hung_walk_returns),
        CASE(test_owner_leaves_before_a_hung_opening_returns),
        CASE(test_memory_and_threads_fail_at_every_point_of_the_start),
        CASE(test_no_memory_for_a_job_takes_nothing),
        CASE(test_worker_without_a_prober_answers_unreadable),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

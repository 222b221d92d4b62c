/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Cases 44 to 47: what happens while a file is being hashed. The prober's hooks put a writer at one exact point, between
 * the lease probe and the first read, or between the last read and S2; the look-up that follows goes through a handle. A
 * lease that is broken ends in a signal, so what could kill a process is done in a child.
 */
#include "tests/stale/stale.h"

#include "src/base/cleanup.h"
#include "src/file/probe.h"
#include "tests/support/fault.h"
#include "tests/support/temp_dir.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define HOUR_NS (3600 * PL_NS_PER_S)
#define LEASE_CAP 28 /* CAP_LEASE */
#define STRESS_NS (PL_NS_PER_S / 2)

/* One writer at one point of a run. */
typedef struct writer_at {
    const char *path;
    unsigned times, left; /* how often it writes: once, or at each try */
    size_t at;
    bool mapped;
} writer_at;

static void write_now(void *context)
{
    writer_at *w = context;

    if (w->left == 0)
        return;
    w->left--;
    stale_poke_hidden(w->path, (w->at * 37) % (STALE_SIZE - 16), 16, (unsigned)w->at);
    w->at++;
}

/* An hour after the last change, so that only the writer decides. */
static pl_probe_result probe(stale *s, const char *path, pl_prober_options options)
{
    pl_prober *prober = NULL;
    pl_probe_result result;
    struct stat st;

    pl_auto_close int fd = stale_open(path, O_RDONLY | O_NONBLOCK);
    assert_return_code(fstat(fd, &st), errno);
    pl_fake_clock_init(&s->clock, st.st_ctim.tv_sec * PL_NS_PER_S + HOUR_NS, HOUR_NS);
    options.clock = &s->clock.clock;
    options.algorithms = PL_SHA256;
    options.fine_grained_times = pl_kernel_has_fine_grained_times();
    assert_int_equal(pl_prober_new(&options, &prober), 0);
    int rc = pl_prober_run(prober, fd, 0, &result);
    (void)pl_prober_free(prober);
    assert_int_equal(rc, 0);
    return result;
}

/* What may be kept is what is there, under the identity that is there. */
static void never_kept_wrong(const pl_probe_result *result, const char *path)
{
    pl_identity now;

    assert_int_equal(pl_identity_of_path(AT_FDCWD, path, true, &now), 0);
    if (result->outcome == 0 && pl_identity_equal(&result->identity, &now))
        assert_true(stale_is_right(&result->digests.digests[0], path));
}

/* --- 44: a write at some offset while it is hashed ---------------------------------------------------------------- */

typedef struct scribbler {
    const char *path;
    atomic_bool stop;
    atomic_uint writes;
    size_t length;
} scribbler;

static void *scribble(void *context)
{
    scribbler *c = context;
    uint64_t random = 88172645463325252u;
    int fd = open(c->path, O_WRONLY | O_CLOEXEC);

    while (fd >= 0 && !atomic_load(&c->stop)) {
        random ^= random << 13, random ^= random >> 7, random ^= random << 17;
        if (pwrite(fd, &random, sizeof(random), (off_t)(random % (c->length - 8))) == sizeof(random))
            atomic_fetch_add(&c->writes, 1);
    }
    if (fd >= 0)
        (void)close(fd);
    return NULL;
}

static void write_while_hashing(stale *s)
{
    const char *path = stale_file(s, "f", 1);
    pl_checksum sum = {.struct_size = sizeof(sum)};
    pthread_t thread;

    for (unsigned i = 0; i < 12; i++) {
        writer_at w = {.path = path, .left = i % 3 == 2 ? 100 : 1, .at = i * 11};
        pl_prober_options options = {.hook_context = &w};
        *(i % 2 ? &options.before_read : &options.before_s2) = write_now;
        pl_probe_result result = probe(s, path, options);
        never_kept_wrong(&result, path);
        assert_int_equal(result.outcome, i % 3 == 2 ? PL_UNSTABLE : 0);
        stale_right(s, path);
    }
    /* And a writer that nobody waits for, through the handle. */
    scribbler c = {.path = path, .length = (size_t)1 << 20};
    assert_return_code(truncate(path, (off_t)c.length), errno);
    assert_int_equal(pthread_create(&thread, NULL, scribble, &c), 0);
    bool fine = true;
    for (unsigned i = 0; i < 10; i++) {
        unsigned before = atomic_load(&c.writes);
        while (atomic_load(&c.writes) == before)
            (void)sched_yield();
        int code = pl_checksum_path(s->ledger, path, 0, &sum);
        fine = fine && (code == 0 || code == PL_UNSTABLE);
    }
    atomic_store(&c.stop, true);
    assert_int_equal(pthread_join(thread, NULL), 0);
    assert_true(fine);
    stale_right(s, path);
    stale_cached(s, path);
}

static void test_case_44_write_at_a_random_offset_while_hashing(void **state)
{
    stale_each(state, STALE_TRUE_DISKS | STALE_TMPFS, write_while_hashing);
}

/* --- 45: stopped between the last read and S2 --------------------------------------------------------------------- */

/* The hook stands for the five seconds: what counts is what was done meanwhile. */
static void stopped_before_s2(stale *s)
{
    const char *path = stale_file(s, "f", 1);
    writer_at once = {.path = path, .left = 1, .at = 3}, always = {.path = path, .left = 100, .at = 7};
    pl_prober_options options = {.before_s2 = write_now, .hook_context = &once};

    stale_cached(s, path);
    pl_probe_result result = probe(s, path, options);
    assert_int_equal(result.outcome, 0);
    assert_int_equal(result.bytes_read, 2 * STALE_SIZE); /* it began again */
    assert_true(stale_is_right(&result.digests.digests[0], path));
    options.hook_context = &always;
    result = probe(s, path, options);
    assert_int_equal(result.outcome, PL_UNSTABLE);
    assert_int_equal(result.bytes_read, 4 * STALE_SIZE); /* and three times more */
    assert_int_equal(always.left, 96);
    stale_changed(s, path);
    stale_cached(s, path);
}

static void test_case_45_stopped_between_read_and_s2_while_a_writer_writes(void **state)
{
    stale_each(state, STALE_TRUE_DISKS | STALE_TMPFS, stopped_before_s2);
}

/* --- 46: without CAP_LEASE ---------------------------------------------------------------------------------------- */

/* Of this thread, and so of the threads of a handle that is opened next. Given back: as it was. */
static void lease_capability(bool have)
{
    static uint32_t before; /* effective ones, 0: as they are */
    struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct data[2];

    if (have && !before)
        return;
    assert_return_code((int)syscall(SYS_capget, &header, data), errno);
    if (!have)
        before = data[0].effective;
    data[0].effective = have ? before : before & ~(1u << LEASE_CAP);
    assert_return_code((int)syscall(SYS_capset, &header, data), errno);
    if (have)
        before = 0;
}

static void without_the_capability(stale *s)
{
    const char *path = stale_file(s, "f", 1), *own = stale_file(s, "own", 2);

    assert_return_code(chown(path, 65534, 65534), errno);
    stale_settle(path);
    stale_cached(s, own);
    stale_uncached(s, path);
    pl_checksum sum = stale_ask(s, path);
    assert_int_equal(sum.assurance, PL_ASSURANCE_STAT);
    for (unsigned i = 0; i < 3; i++) {
        stale_poke_hidden(path, i, 1, i);
        stale_right(s, path);
    }
    char *map = stale_map(s, path);
    map[0] ^= 1;
    stale_settle(path);
    stale_uncached(s, path);
    map[1] ^= 1;
    stale_right(s, path);
    stale_unmap(s);
    stale_settle(path);
    stale_uncached(s, path);
}

static void test_case_46_no_cap_lease(void **state)
{
    stale_need_root("to give a file to somebody else");
    lease_capability(false);
    stale_each(state, STALE_TRUE_DISKS, without_the_capability);
    lease_capability(true);
}

/* A failed assertion must not leave the program without it. */
static int end_of_46(void **state)
{
    lease_capability(true);
    return stale_test_end(state);
}

/* --- 47: a writer opens during the probe -------------------------------------------------------------------------- */

static bool lease_is_breaking(pid_t pid)
{
    char line[256], want[32];
    bool breaking = false;
    pl_auto_fclose FILE *locks = fopen("/proc/locks", "re");

    (void)snprintf(want, sizeof(want), " %d ", (int)pid);
    while (locks && fgets(line, sizeof(line), locks))
        breaking = breaking || (strstr(line, "LEASE  BREAKING") && strstr(line, want));
    return breaking;
}

/* The child: its prober is made to leave its lease behind, as if it had been stopped within the probe. Tells `ready`
 * when it holds it; ends 0 when it is told to go on and is still there. */
static _Noreturn void hold_the_lease(const char *path, int ready, int go_on)
{
    pl_prober_options options = {.algorithms = PL_SHA256};
    pl_prober *prober = NULL;
    pl_probe_result result;
    char byte;

    (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
    int fd = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
    if (fd < 0 || pl_prober_new(&options, &prober) != 0)
        _exit(1);
    pl_fault_arm_from(PL_FAULT_FCNTL, 3, EINTR); /* F_SETSIG, F_SETLEASE, and from here on F_UNLCK */
    int rc = pl_prober_run(prober, fd, 0, &result);
    pl_fault_disarm();
    if (rc != 0 || result.outcome != 0 || result.uncached != PL_UNCACHED_NO_LEASE)
        _exit(2);
    (void)!write(ready, "r", 1);
    (void)!read(go_on, &byte, 1); /* restarted, should a handled signal arrive */
    (void)close(fd);
    (void)pl_prober_free(prober);
    _exit(0);
}

static void *open_for_writing(void *context)
{
    int fd = open(context, O_WRONLY | O_CLOEXEC); /* waits for the lease */

    return (void *)(intptr_t)fd;
}

static void writer_meets_the_lease(stale *s)
{
    const char *path = stale_file(s, "f", 1);
    int ready[2], go_on[2], status = -1;
    pthread_t writer;
    char byte;
    void *fd;

    stale_cached(s, path);
    assert_return_code(pipe2(ready, O_CLOEXEC) | pipe2(go_on, O_CLOEXEC), errno);
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        (void)close(go_on[1]);
        hold_the_lease(path, ready[1], go_on[0]);
    }
    (void)close(ready[1]);
    (void)close(go_on[0]);
    assert_int_equal(read(ready[0], &byte, 1), 1);
    assert_int_equal(open(path, O_WRONLY | O_NONBLOCK | O_CLOEXEC), -1);
    assert_int_equal(errno, EAGAIN); /* documented: who will not wait is told so, and has broken the lease */
    assert_int_equal(pthread_create(&writer, NULL, open_for_writing, (void *)(uintptr_t)path), 0);
    struct pollfd never = {.fd = -1};
    while (!lease_is_breaking(pid))
        (void)poll(&never, 1, 1);
    (void)close(go_on[1]); /* the signal of the break has been sent: it goes on, if it lives */
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(pthread_join(writer, &fd), 0);
    (void)close(ready[0]);
    assert_int_equal(status, 0);
    assert_true((intptr_t)fd >= 0);
    assert_int_equal(pwrite((int)(intptr_t)fd, "changed", 7, 5), 7);
    assert_return_code(close((int)(intptr_t)fd), errno);
    stale_changed(s, path);
    stale_cached(s, path);
}

/* And without help: one that opens, writes and closes as fast as it can. */
static void writer_meets_the_probe(stale *s)
{
    const char *path = stale_file(s, "f", 1);
    int status = -1;

    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
        for (;;) {
            int fd = open(path, O_WRONLY | O_CLOEXEC);
            if (fd < 0)
                _exit(1);
            (void)!pwrite(fd, "w", 1, 77);
            (void)close(fd);
        }
    }
    int64_t end = pl_clock_boottime_ns(pl_clock_system()) + STRESS_NS;
    unsigned probes = 0;
    while (pl_clock_boottime_ns(pl_clock_system()) < end) {
        pl_checksum sum = {.struct_size = sizeof(sum)};
        int code = pl_checksum_path(s->ledger, path, 0, &sum);
        if (code != 0 && code != PL_UNSTABLE)
            break;
        probes++;
    }
    (void)kill(pid, SIGKILL);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFSIGNALED(status)); /* it never failed */
    assert_true(probes > 10);
    stale_right(s, path);
    stale_cached(s, path);
}

static void test_case_47_writer_opens_during_the_probe(void **state)
{
    stale_each(state, STALE_TRUE_DISKS, writer_meets_the_lease);
    stale_each(state, STALE_TRUE_DISKS, writer_meets_the_probe);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        STALE_CASE(test_case_44_write_at_a_random_offset_while_hashing),
        STALE_CASE(test_case_45_stopped_between_read_and_s2_while_a_writer_writes),
        cmocka_unit_test_teardown(test_case_46_no_cap_lease, end_of_46),
        STALE_CASE(test_case_47_writer_opens_during_the_probe),
    };

    return cmocka_run_group_tests_name("stale probe", tests, stale_group_setup, stale_group_teardown);
}

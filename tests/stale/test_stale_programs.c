/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Cases 29 to 32, 41 and 42: what runs while its bytes change, and who is gone. ETXTBSY protects an executed ELF; nothing
 * protects a script, a shared object, what ld.so was given, or a memfd. A pid is no name either: what was pinned by it
 * stays what it was.
 */
#include "tests/stale/stale.h"

#include "src/base/cleanup.h"
#include "src/process/procfs.h"
#include "tests/support/temp_dir.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/sched.h>
#include <semaphore.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define SCRIPT "#!/bin/sh\nread x\n# "
#define REUSE_TRIES 20

/* --- 29: a memfd -------------------------------------------------------------------------------------------------- */

static void memfd_executed(stale *s)
{
    char name[64], there[64];
    unsigned char bytes[STALE_SIZE];

    pl_auto_close int fd = memfd_create("stale", 0); /* a script needs its descriptor after the exec */
    assert_return_code(fd, errno);
    stale_fill(bytes, sizeof(bytes), 1);
    memcpy(bytes, SCRIPT, sizeof(SCRIPT) - 1);
    for (size_t i = sizeof(SCRIPT) - 1; i < sizeof(bytes); i++)
        bytes[i] |= 0x80; /* no NUL and no newline */
    assert_int_equal(write(fd, bytes, sizeof(bytes)), sizeof(bytes));
    assert_return_code(fchmod(fd, 0755), errno);
    s->map = mmap(NULL, STALE_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, fd, 0);
    assert_true(s->map != MAP_FAILED);
    s->map_length = STALE_SIZE;
    char *map = s->map;
    (void)snprintf(name, sizeof(name), "/proc/self/fd/%d", fd);
    pid_t pid = stale_start(s, name, NULL);
    (void)snprintf(there, sizeof(there), "/proc/%d/fd/%d", (int)pid, fd);
    stale_settle(there);
    stale_uncached(s, there);
    for (size_t i = 1; i < 4; i++) {
        map[STALE_SIZE - i] ^= 1; /* the lease would not see this one, and no time moves */
        stale_right(s, there);
        (void)stale_ask(s, name);
    }
    assert_int_equal(pwrite(fd, "y", 1, STALE_SIZE - 9), 1);
    stale_right(s, there);
    stale_settle(there);
    stale_uncached(s, there);
}

static void test_case_29_memfd_executed_while_writable(void **state)
{
    stale_each(state, STALE_DISK, memfd_executed);
}

/* --- 30, 31, 32: what nothing protects ---------------------------------------------------------------------------- */

static void script_edited(stale *s)
{
    const char *path = stale_path(s, s->folder, "script");

    pl_temp_write(path, SCRIPT "one\n", sizeof(SCRIPT) + 3, 0755);
    stale_cached(s, path);
    (void)stale_start(s, path, NULL);
    (void)stale_ask(s, path);
    for (unsigned i = 0; i < 3; i++) {
        int fd = stale_open(path, O_WRONLY); /* in place: not refused */
        assert_int_equal(pwrite(fd, i % 2 ? "one" : "two", 3, sizeof(SCRIPT) - 1), 3);
        assert_return_code(close(fd), errno);
        stale_changed(s, path);
        (void)stale_start(s, path, NULL);
        stale_right(s, path);
    }
    stale_cached(s, path);
}

static void test_case_30_script_edited_while_running(void **state)
{
    stale_each(state, STALE_TRUE_DISKS | STALE_TMPFS, script_edited);
}

static void shared_object_overwritten(stale *s)
{
    const char *path = stale_program(s, "library.so", 1); /* an ELF that nobody executes: mapped as ld.so maps one */
    struct stat st;

    stale_cached(s, path);
    assert_return_code(stat(path, &st), errno);
    int fd = stale_open(path, O_RDONLY);
    s->map_length = (size_t)st.st_size;
    s->map = mmap(NULL, s->map_length, PROT_READ | PROT_EXEC, MAP_PRIVATE, fd, 0);
    assert_true(s->map != MAP_FAILED);
    (void)close(fd);
    (void)stale_ask(s, path);
    for (unsigned i = 0; i < 3; i++) {
        stale_poke_hidden(path, s->map_length - 20, 10, i);
        stale_changed(s, path);
    }
    stale_cached(s, path); /* a private mapping is no writer */
    stale_poke_hidden(path, s->map_length - 20, 10, 9);
    stale_changed(s, path);
}

static void test_case_31_shared_object_overwritten_in_place(void **state)
{
    stale_each(state, STALE_TRUE_DISKS | STALE_OVERLAY, shared_object_overwritten);
}

/* The interpreter that /bin/cat names. */
static const char *dynamic_linker(void)
{
    static const char *const names[] = {"/lib64/ld-linux-x86-64.so.2", "/lib/ld-linux-aarch64.so.1",
                                        "/lib/ld-linux-armhf.so.3",    "/lib64/ld64.so.2",
                                        "/lib/ld-musl-x86_64.so.1",    "/lib/ld-musl-aarch64.so.1"};

    for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++)
        if (access(names[i], X_OK) == 0)
            return names[i];
    return NULL;
}

static void given_to_the_linker(stale *s)
{
    const char *linker = dynamic_linker(), *path = stale_program(s, "program", 1);
    char *argv[] = {(char *)(uintptr_t)linker, (char *)(uintptr_t)path, NULL};
    struct stat st;

    if (!linker) {
        print_message("no dynamic linker is known here\n");
        skip();
    }
    assert_return_code(stat(path, &st), errno);
    stale_cached(s, path);
    pid_t pid = stale_start(s, linker, argv);
    pl_checksum sum = stale_ask(s, stale_exe(s, pid));
    assert_true(stale_is_right(&sum.digests[0], linker)); /* what the kernel executed is the linker */
    (void)stale_ask(s, path);
    for (unsigned i = 0; i < 3; i++) {
        stale_poke_hidden(path, (size_t)st.st_size - 20, 10, i); /* no ETXTBSY: the kernel did not execute it */
        stale_changed(s, path);
        sum = stale_ask(s, stale_exe(s, pid));
        assert_true(stale_is_right(&sum.digests[0], linker));
    }
    stale_cached(s, path);
}

static void test_case_32_program_given_to_ld_so(void **state)
{
    stale_each(state, STALE_TRUE_DISKS | STALE_TMPFS, given_to_the_linker);
}

/* --- 41: a pid that is used again --------------------------------------------------------------------------------- */

/* A child with that very number, executing path. -1: somebody else has it. */
static pid_t start_with_pid(stale *s, pid_t pid, const char *path)
{
    struct clone_args args = {.exit_signal = SIGCHLD, .set_tid = (uintptr_t)&pid, .set_tid_size = 1};
    int hold[2], ready[2];
    char byte;

    assert_return_code(pipe2(hold, O_CLOEXEC) | pipe2(ready, O_CLOEXEC), errno);
    pid_t child = (pid_t)syscall(SYS_clone3, &args, sizeof(args));
    if (child == 0) {
        (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
        if (dup2(hold[0], 0) == 0)
            (void)execl(path, "cat", NULL);
        _exit(127);
    }
    int error = errno;
    (void)close(hold[0]);
    (void)close(ready[1]);
    if (child > 0) {
        s->children[s->n_children] = child;
        s->holds[s->n_children++] = hold[1];
        (void)!read(ready[0], &byte, 1); /* until the exec has closed it */
    } else {
        (void)close(hold[1]);
    }
    (void)close(ready[0]);
    errno = error;
    return child;
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

/* What a source hands over: the descriptor that it pinned when it was told of the exec. */
static pl_answer ask_pinned(stale *s, int *fd)
{
    pl_place place = {.detected_by = PL_DETECTED_EXEC};
    got g;

    assert_return_code(sem_init(&g.there, 0, 0), errno);
    assert_int_equal(pl_resolve_submit(s->resolve, pl_steal_fd(fd), &place, false, take, &g), 0);
    while (sem_wait(&g.there) < 0)
        assert_int_equal(errno, EINTR);
    (void)sem_destroy(&g.there);
    assert_int_equal(g.answer.outcome, 0);
    return g.answer;
}

static void pid_reused(stale *s)
{
    const char *a = stale_program(s, "a", 1), *b = stale_program(s, "b", 2);
    pl_procfs procfs = {.root = "/proc", .pin = true};
    pl_image first = PL_IMAGE_NULL, second = PL_IMAGE_NULL;
    pl_checksum sum = {.struct_size = sizeof(sum)};
    char pinned[64];
    pid_t pid = -1;
    int folder = -1;

    for (int tries = 0; pid < 0; tries++) {
        assert_true(tries < REUSE_TRIES);
        pid_t old = stale_start(s, a, NULL);
        assert_int_equal(pl_procfs_read_image(&procfs, old, &first), 0);
        (void)snprintf(pinned, sizeof(pinned), "/proc/%d", (int)old);
        folder = stale_open(pinned, O_PATH | O_DIRECTORY);
        stale_stop(s, old);
        pid = start_with_pid(s, old, b);
        if (pid < 0 && errno == EPERM) {
            print_message("may not choose a pid here\n");
            skip();
        }
        if (pid < 0) {
            pl_image_deinit(&first);
            (void)close(folder);
        }
    }
    /* Through the pinned directory: gone, whoever has the number now. */
    (void)snprintf(pinned, sizeof(pinned), "/proc/self/fd/%d/exe", folder);
    assert_int_equal(pl_checksum_path(s->ledger, pinned, 0, &sum), PL_VANISHED);
    (void)close(folder);
    /* By its number: the one that has it now. */
    sum = stale_ask(s, stale_exe(s, pid));
    assert_true(stale_is_right(&sum.digests[0], b));
    /* Through what was pinned of the first, and of the second. */
    assert_int_equal(pl_procfs_read_image(&procfs, pid, &second), 0);
    assert_true(second.start_ticks >= first.start_ticks);
    stale_resolve_open(s, STALE_BOOT_A, 0, NULL);
    assert_true(stale_is_right(&ask_pinned(s, &first.exe_fd).digests.digests[0], a));
    assert_true(stale_is_right(&ask_pinned(s, &second.exe_fd).digests.digests[0], b));
    pl_image_deinit(&first);
    pl_image_deinit(&second);
}

static void test_case_41_pid_reused_between_event_and_open(void **state)
{
    stale_need_root("to choose a pid");
    stale_each(state, STALE_TRUE_DISKS, pid_reused);
}

/* --- 42: a zombie ------------------------------------------------------------------------------------------------- */

static void zombie(stale *s)
{
    const char *path = stale_program(s, "program", 1);
    pid_t pid = stale_start(s, path, NULL);
    pl_checksum sum = {.struct_size = sizeof(sum)};
    pl_procfs procfs = {.root = "/proc", .pin = true};
    pl_image image = PL_IMAGE_NULL;
    siginfo_t info;

    stale_cached(s, path);
    assert_true(stale_is_right(&stale_ask(s, stale_exe(s, pid)).digests[0], path));
    assert_return_code(kill(pid, SIGKILL), errno);
    assert_return_code(waitid(P_PID, (id_t)pid, &info, WEXITED | WNOWAIT), errno);
    assert_int_equal(pl_checksum_path(s->ledger, stale_exe(s, pid), 0, &sum), PL_VANISHED);
    assert_int_equal(sum.digests[0].algorithm, 0);
    int code = pl_procfs_read_image(&procfs, pid, &image);
    assert_int_equal(code, PL_VANISHED);
    pl_image_deinit(&image);
    stale_poke_hidden(path, 9, 1, 3); /* nobody runs it any more */
    stale_changed(s, path);
    stale_stop(s, pid);
    stale_right(s, path);
}

static void test_case_42_zombie(void **state)
{
    stale_each(state, STALE_TRUE_DISKS, zombie);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        STALE_CASE(test_case_29_memfd_executed_while_writable),
        STALE_CASE(test_case_30_script_edited_while_running),
        STALE_CASE(test_case_31_shared_object_overwritten_in_place),
        STALE_CASE(test_case_32_program_given_to_ld_so),
        STALE_CASE(test_case_41_pid_reused_between_event_and_open),
        STALE_CASE(test_case_42_zombie),
    };

    return cmocka_run_group_tests_name("stale programs", tests, stale_group_setup, stale_group_teardown);
}

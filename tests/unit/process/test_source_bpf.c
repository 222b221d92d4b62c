/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The real eBPF programs and fanotify, on real children. Where they cannot be had every case says so and is skipped. */
#include "src/process/source.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include <cmocka.h>

#include "src/base/error.h"
#include "src/file/identity.h"
#include "tests/support/fault.h"
#include "tests/unit/process/live.h"
#include "tests/unit/process/live_source.h"
#include "tests/unit/process/recorded.h"

static int set_up_keeping(void **state)
{
    (void)set_up(state);
    fixture *f = *state;
    f->recorded.keep_descriptors = true;
    return 0;
}

static void test_fork_exec_exit(void **state)
{
    fixture *f = *state;
    char *argv[] = {(char *)"sh", (char *)"-c", (char *)"read x; exit 3", NULL};
    pl_image seen = PL_IMAGE_NULL;
    pl_identity identity;

    open_or_skip(f, &pl_source_bpf);
    int64_t before = pl_clock_boottime_ns(f->options.clock);
    live child = live_start("/bin/sh", argv, NULL, NULL);
    assert_int_equal(pl_procfs_read_image(&f->options.procfs, child.pid, &seen), 0);
    assert_int_equal(pl_identity_of_path(AT_FDCWD, "/bin/sh", true, &identity), 0);
    assert_int_equal(WEXITSTATUS(live_end(&child)), 3);
    (void)wait_for(f, PL_EVENT_EXIT, child.pid, 0);
    int64_t after = pl_clock_boottime_ns(f->options.clock);
    const pl_event *fork_event = recorded_find(&f->recorded, PL_EVENT_FORK, child.pid, 0);
    const pl_event *exec_event = recorded_find(&f->recorded, PL_EVENT_EXEC, child.pid, 0);
    const pl_event *exit_event = recorded_find(&f->recorded, PL_EVENT_EXIT, child.pid, 0);
    assert_non_null(fork_event);
    assert_non_null(exec_event);
    assert_int_equal(fork_event->ppid, getpid());
    assert_true(fork_event < exec_event && exec_event < exit_event);
    assert_true(before <= fork_event->boottime_ns && fork_event->boottime_ns <= exec_event->boottime_ns);
    assert_true(exec_event->boottime_ns <= exit_event->boottime_ns && exit_event->boottime_ns <= after);
    assert_true(WIFEXITED(exit_event->status));
    assert_int_equal(WEXITSTATUS(exit_event->status), 3);
    /* The kernel's records say what /proc said while it lived. */
    const pl_image *image = exec_event->image;
    assert_string_equal(image->exe, seen.exe);
    assert_string_equal(image->filename, "/bin/sh");
    assert_string_equal(image->name, seen.name);
    assert_string_equal(image->cwd, seen.cwd);
    assert_int_equal(image->argv_length, seen.argv_length);
    assert_memory_equal(image->argv, seen.argv, seen.argv_length);
    assert_int_equal(image->start_ticks, seen.start_ticks);
    assert_int_equal(image->ppid, seen.ppid);
    assert_int_equal(image->uid, seen.uid);
    assert_int_equal(image->euid, seen.euid);
    assert_int_equal(image->suid, seen.suid);
    assert_int_equal(image->gid, seen.gid);
    assert_int_equal(image->egid, seen.egid);
    assert_int_equal(image->auid, seen.auid);
    assert_int_equal(image->session, seen.session);
    assert_int_equal(image->mnt_ns, seen.mnt_ns);
    assert_int_equal(image->flags, seen.flags);
    assert_int_equal(!image->tty, !seen.tty);
    assert_true(!image->tty || strcmp(image->tty, seen.tty) == 0);
    assert_true(image->has_identity && image->exe_fd >= 0);
    assert_true(pl_identity_equal(&image->identity, &identity));
    assert_true(image->has_key && pl_kernel_key_agrees(&image->key, &identity));
    assert_true(identity.mount_id == 0 || image->key.mount_id == identity.mount_id);
    pl_image_deinit(&seen);
}

static void test_death_by_signal(void **state)
{
    fixture *f = *state;

    open_or_skip(f, &pl_source_bpf);
    live child = live_shell("/bin/sh");
    assert_int_equal(kill(child.pid, SIGKILL), 0);
    (void)live_end(&child);
    const pl_event *event = wait_for(f, PL_EVENT_EXIT, child.pid, 0);
    assert_true(WIFSIGNALED(event->status));
    assert_int_equal(WTERMSIG(event->status), SIGKILL);
}

static void test_failed_exec_is_no_exec(void **state)
{
    fixture *f = *state;

    open_or_skip(f, &pl_source_bpf);
    char *broken = pl_temp_path(f->dir, "broken");

    pl_temp_write(broken, "\177ELF but not really", 18, 0755);
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        (void)execl("/nonexistent/program", "program", (char *)NULL);
        (void)execl(broken, "broken", (char *)NULL);
        _exit(127);
    }
    (void)waitpid(pid, NULL, 0);
    (void)wait_for(f, PL_EVENT_EXIT, pid, 0);
    assert_non_null(recorded_find(&f->recorded, PL_EVENT_FORK, pid, 0));
    assert_null(recorded_find(&f->recorded, PL_EVENT_EXEC, pid, 0));
    free(broken);
}

/* Many that are gone before anybody looks, their files too: each descriptor still reads what ran. */
static void test_what_is_gone_at_once_can_still_be_read(void **state)
{
    enum { COUNT = 100 };
    fixture *f = *state;
    pid_t pids[COUNT];

    open_or_skip(f, &pl_source_bpf);
    for (int i = 0; i < COUNT; i++) {
        char name[16], text[64];
        (void)snprintf(name, sizeof(name), "s%d", i);
        char *path = pl_temp_path(f->dir, name);
        live_copy("/bin/true", path, 0755);
        int fd = open(path, O_WRONLY | O_APPEND | O_CLOEXEC);
        int n = snprintf(text, sizeof(text), "number %d", i);
        assert_int_equal(write(fd, text, (size_t)n), n);
        (void)close(fd);
        pids[i] = fork();
        assert_true(pids[i] >= 0);
        if (pids[i] == 0) {
            (void)execl(path, path, (char *)NULL);
            _exit(127);
        }
        assert_int_equal(waitpid(pids[i], NULL, 0), pids[i]);
        assert_return_code(unlink(path), errno);
        free(path);
    }
    for (int i = 0; i < COUNT; i++) {
        char text[64], got[64] = "";
        int n = snprintf(text, sizeof(text), "number %d", i);
        const pl_image *image = wait_for(f, PL_EVENT_EXEC, pids[i], 0)->image;
        assert_true(image->has_identity);
        assert_int_equal(pread(image->exe_fd, got, (size_t)n, (off_t)image->identity.size - n), n);
        assert_string_equal(got, text);
    }
}

typedef struct knowing {
    fixture *f;
    unsigned asked;
    pl_identity identity;
} knowing;

static knowing the_known; /* options.context is that of the events */

static bool known(void *context, const pl_kernel_key *key, pl_identity *identity)
{
    (void)context;
    the_known.asked++;
    if (!pl_kernel_key_agrees(key, &the_known.identity))
        return false;
    *identity = the_known.identity;
    return true;
}

static void test_what_is_known_needs_no_descriptor(void **state)
{
    fixture *f = *state;

    the_known = (knowing){.f = f};
    assert_int_equal(pl_identity_of_path(AT_FDCWD, "/bin/true", true, &the_known.identity), 0);
    f->options.known = known;
    open_or_skip(f, &pl_source_bpf);
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        (void)execl("/bin/true", "true", (char *)NULL);
        _exit(127);
    }
    (void)waitpid(pid, NULL, 0);
    const pl_image *image = wait_for(f, PL_EVENT_EXEC, pid, 0)->image;
    assert_true(the_known.asked > 0);
    assert_true(image->has_identity && image->exe_fd < 0 && !image->has_key);
    assert_true(pl_identity_equal(&image->identity, &the_known.identity));
}

static void test_a_script_comes_with_its_own_bytes(void **state)
{
    static const char text[] = "#!/bin/sh\nrm -- \"$0\"\n";
    fixture *f = *state;

    open_or_skip(f, &pl_source_bpf);
    char *script = pl_temp_path(f->dir, "script"), got[64] = "";

    pl_temp_write(script, text, strlen(text), 0755);
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        (void)execl(script, "script", "argument", (char *)NULL);
        _exit(127);
    }
    (void)waitpid(pid, NULL, 0);
    const pl_image *image = wait_for(f, PL_EVENT_EXEC, pid, 0)->image;
    assert_string_equal(image->filename, script);
    assert_true(image->script_fd >= 0);
    assert_int_equal(pread(image->script_fd, got, sizeof(got), 0), (ssize_t)strlen(text));
    assert_memory_equal(got, text, strlen(text));
    free(script);
}

static void test_a_memfd_is_named_and_flagged(void **state)
{
    fixture *f = *state;

    open_or_skip(f, &pl_source_bpf);
    char *copy = pl_temp_path(f->dir, "copy");

    live_copy("/bin/sh", copy, 0755);
    int from = open(copy, O_RDONLY | O_CLOEXEC), to = memfd_create("hidden", MFD_CLOEXEC);
    assert_true(from >= 0 && to >= 0);
    struct stat st;
    assert_return_code(fstat(from, &st), errno);
    for (off_t at = 0; at < st.st_size;) {
        char bytes[65536];
        ssize_t n = pread(from, bytes, sizeof(bytes), at);
        assert_true(n > 0 && write(to, bytes, (size_t)n) == n);
        at += n;
    }
    (void)close(from);
    int hold[2];
    assert_return_code(pipe2(hold, O_CLOEXEC), errno);
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        char *argv[] = {(char *)"sh", (char *)"-c", (char *)"read x", NULL}, *none[] = {NULL};
        if (dup2(hold[0], 0) == 0)
            (void)syscall(SYS_execveat, to, "", argv, none, AT_EMPTY_PATH);
        _exit(127);
    }
    (void)close(to);
    const pl_image *image = wait_for(f, PL_EVENT_EXEC, pid, 0)->image;
    assert_string_equal(image->exe, "/memfd:hidden");
    assert_true((image->flags & PL_IMAGE_MEMFD) && (image->flags & PL_IMAGE_DELETED));
    assert_true(image->exe_fd >= 0); /* through /proc: it lives */
    (void)close(hold[0]);
    (void)close(hold[1]);
    (void)waitpid(pid, NULL, 0);
    free(copy);
}

static void *stay(void *context)
{
    char byte;

    (void)!read(*(int *)context, &byte, 1);
    return NULL;
}

/* The process is over when its last thread is, and its status is what wait(2) gives. */
static void test_a_leader_that_ends_first_does_not_end_the_process(void **state)
{
    fixture *f = *state;
    int hold[2], status;

    open_or_skip(f, &pl_source_bpf);
    assert_return_code(pipe2(hold, O_CLOEXEC), errno);
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        pthread_t thread;
        (void)close(hold[1]);
        if (pthread_create(&thread, NULL, stay, &hold[0]) != 0)
            _exit(127);
        (void)syscall(SYS_exit, 5); /* this thread alone */
    }
    live other = live_shell("/bin/sh");
    (void)live_end(&other);
    (void)wait_for(f, PL_EVENT_EXIT, other.pid, 0); /* all that came before it has been read */
    assert_null(recorded_find(&f->recorded, PL_EVENT_EXIT, pid, 0));
    (void)close(hold[0]);
    (void)close(hold[1]);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    const pl_event *event = wait_for(f, PL_EVENT_EXIT, pid, 0);
    assert_int_equal(event->status, status);
}

static void *exec_from_thread(void *context)
{
    char *argv[] = {(char *)"true", NULL}, *none[] = {NULL};

    (void)execve(context, argv, none);
    return NULL;
}

static void test_a_thread_that_executes_is_its_process(void **state)
{
    fixture *f = *state;

    open_or_skip(f, &pl_source_bpf);
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        pthread_t thread;
        if (pthread_create(&thread, NULL, exec_from_thread, (void *)(uintptr_t) "/bin/true") == 0)
            (void)pthread_join(thread, NULL);
        _exit(127);
    }
    (void)waitpid(pid, NULL, 0);
    const pl_event *event = wait_for(f, PL_EVENT_EXEC, pid, 0);
    (void)wait_for(f, PL_EVENT_EXIT, pid, 0);
    assert_true(event->image->has_identity);
    assert_null(recorded_find(&f->recorded, PL_EVENT_EXIT, pid, 1));
}

static void test_long_arguments_are_cut_and_say_so(void **state)
{
    fixture *f = *state;

    open_or_skip(f, &pl_source_bpf);
    size_t length = 100000;
    char *longest = malloc(length + 1);

    assert_non_null(longest);
    memset(longest, 'a', length);
    longest[length] = '\0';
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        (void)execl("/bin/true", "true", longest, (char *)NULL);
        _exit(127);
    }
    (void)waitpid(pid, NULL, 0);
    const pl_image *image = wait_for(f, PL_EVENT_EXEC, pid, 0)->image;
    assert_true(image->flags & PL_IMAGE_ARGV_CUT);
    assert_int_equal(image->argv_length, 65537);
    assert_memory_equal(image->argv, "true\0aaaa", 9);
    free(longest);
}

static void test_no_arguments_at_all(void **state)
{
    fixture *f = *state;

    open_or_skip(f, &pl_source_bpf);
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        char *none[] = {NULL};
        (void)execve("/bin/true", none, none);
        _exit(127);
    }
    (void)waitpid(pid, NULL, 0);
    const pl_image *image = wait_for(f, PL_EVENT_EXEC, pid, 0)->image;
    assert_true(image->argv_length <= 1); /* since Linux 5.18 an empty one is put there */
    assert_string_equal(image->filename, "/bin/true");
}

/* With room for little, what is lost is told, to the last record. */
static void test_a_full_ring_is_counted(void **state)
{
    enum { COUNT = 400 };
    fixture *f = *state;
    pid_t pids[COUNT];
    size_t told = 0, lost = 0;

    f->options.receive_buffer = 4096;
    open_or_skip(f, &pl_source_bpf);
    for (int i = 0; i < COUNT; i++) {
        pids[i] = fork();
        assert_true(pids[i] >= 0);
        if (pids[i] == 0)
            _exit(0);
        (void)waitpid(pids[i], NULL, 0);
    }
    f->options.receive_buffer = 0;
    while (f->source->class->dispatch(f->source) == 0 && lost == 0) /* reads all there is */
        for (size_t i = 0; i < f->recorded.n; i++)
            if (f->recorded.events[i].kind == PL_EVENT_LOST)
                lost += (size_t)f->recorded.events[i].lost;
    for (int i = 0; i < COUNT; i++)
        told += (size_t) !!recorded_find(&f->recorded, PL_EVENT_FORK, pids[i], 0) +
                (size_t) !!recorded_find(&f->recorded, PL_EVENT_EXIT, pids[i], 0);
    assert_true(lost > 0);
    assert_true(told + lost >= 2 * COUNT); /* others on this machine may have lost some, too */
}

static void test_it_sleeps_when_nothing_happens(void **state)
{
    fixture *f = *state;

    f->options.procfs.pin = false; /* so that executed files of others do not wake it either */
    open_or_skip(f, &pl_source_bpf);
    live child = live_shell("/bin/sh");
    (void)wait_for(f, PL_EVENT_EXEC, child.pid, 0); /* woken by the record alone: nothing was ticking */
    (void)live_end(&child);
    (void)wait_for(f, PL_EVENT_EXIT, child.pid, 0);
}

static void test_failures_to_open_leave_nothing(void **state)
{
    static const pl_fault_kind kinds[] = {PL_FAULT_ALLOC, PL_FAULT_OPEN};
    fixture *f = *state;

    open_or_skip(f, &pl_source_bpf);
    assert_null(f->source->class->close(f->source));
    f->source = NULL;
    size_t before = live_count_fds();
    for (size_t k = 0; k < sizeof(kinds) / sizeof(*kinds); k++) {
        for (unsigned n = 1; pl_fault_arm(kinds[k], n, k ? EMFILE : ENOMEM); n++) {
            pl_source *source = NULL;
            int rc = pl_source_bpf.open(&f->options, &source);
            bool fired = pl_fault_fired();
            pl_fault_disarm();
            if (rc == 0)
                assert_null(source->class->close(source));
            else
                assert_null(source);
            assert_int_equal(live_count_fds(), before);
            if (!fired)
                break;
        }
    }
}

static void test_no_memory_for_an_image_is_an_event_all_the_same(void **state)
{
    fixture *f = *state;

    open_or_skip(f, &pl_source_bpf);
    for (unsigned n = 1; n < 12; n++) {
        pid_t pid = fork();
        assert_true(pid >= 0);
        if (pid == 0) {
            (void)execl("/bin/true", "true", (char *)NULL);
            _exit(127);
        }
        (void)waitpid(pid, NULL, 0);
        (void)pl_fault_arm(PL_FAULT_ALLOC, n, ENOMEM);
        (void)f->source->class->dispatch(f->source);
        pl_fault_disarm();
        (void)wait_for(f, PL_EVENT_EXEC, pid, 0);
    }
}

int main(void)
{
#define CASE(test) cmocka_unit_test_setup_teardown(test, set_up_keeping, tear_down)
    const struct CMUnitTest tests[] = {
        CASE(test_fork_exec_exit),
        CASE(test_death_by_signal),
        CASE(test_failed_exec_is_no_exec),
        CASE(test_what_is_gone_at_once_can_still_be_read),
        CASE(test_what_is_known_needs_no_descriptor),
        CASE(test_a_script_comes_with_its_own_bytes),
        CASE(test_a_memfd_is_named_and_flagged),
        CASE(test_a_leader_that_ends_first_does_not_end_the_process),
        CASE(test_a_thread_that_executes_is_its_process),
        CASE(test_long_arguments_are_cut_and_say_so),
        CASE(test_no_arguments_at_all),
        CASE(test_a_full_ring_is_counted),
        CASE(test_it_sleeps_when_nothing_happens),
        CASE(test_failures_to_open_leave_nothing),
        CASE(test_no_memory_for_an_image_is_an_event_all_the_same),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

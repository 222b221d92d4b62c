/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The ready message, received by a real socket. A datagram between local sockets is there when sendto(2) has returned,
 * so "nothing came" is a look, not a wait.
 */
#include "src/base/notify.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cmocka.h>

#include "tests/support/fault.h"
#include "tests/support/temp_dir.h"

#define PATH_BYTES sizeof(((struct sockaddr_un *)0)->sun_path)

typedef struct fixture {
    char *dir;
} fixture;

static int set_up(void **state)
{
    fixture *f = test_calloc(1, sizeof(*f));

    f->dir = pl_temp_dir_new();
    (void)unsetenv("NOTIFY_SOCKET");
    *state = f;
    return 0;
}

static int tear_down(void **state)
{
    fixture *f = *state;

    (void)unsetenv("NOTIFY_SOCKET");
    pl_temp_dir_free(f->dir);
    test_free(f);
    return 0;
}

/* Bound to exactly these bytes, which may begin with a NUL. */
static int listen_at(const char *name, size_t length)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);

    assert_true(fd >= 0);
    assert_true(length <= sizeof(address.sun_path));
    memcpy(address.sun_path, name, length);
    assert_return_code(
        bind(fd, (struct sockaddr *)&address, (socklen_t)(offsetof(struct sockaddr_un, sun_path) + length)), errno);
    return fd;
}

static size_t count_fds(void)
{
    DIR *dir = opendir("/proc/self/fd");
    size_t n = 0;

    assert_non_null(dir);
    while (readdir(dir))
        n++;
    (void)closedir(dir);
    return n;
}

/* Says ready with NOTIFY_SOCKET as given (NULL: unset) and tells whether it arrived at fd, once and exactly. */
static bool arrives(int fd, const char *value)
{
    char text[64];
    size_t fds = count_fds();

    if (value)
        assert_int_equal(setenv("NOTIFY_SOCKET", value, 1), 0);
    else
        assert_int_equal(unsetenv("NOTIFY_SOCKET"), 0);
    pl_notify_ready();
    assert_int_equal(count_fds(), fds);
    ssize_t n = recv(fd, text, sizeof(text), MSG_DONTWAIT);
    if (n < 0)
        return false;
    assert_int_equal(n, 7);
    assert_memory_equal(text, "READY=1", 7);
    assert_true(recv(fd, text, sizeof(text), MSG_DONTWAIT) < 0);
    return true;
}

/* dir, a slash and as many letters as make it `length` bytes long. */
static char *name_of_length(const fixture *f, size_t length)
{
    char *name = malloc(length + 1);
    size_t n = strlen(f->dir);

    assert_non_null(name);
    if (n + 2 > length) {
        print_message("%s is too long a name for a socket below it\n", f->dir);
        free(name);
        skip();
    }
    memcpy(name, f->dir, n);
    name[n] = '/';
    memset(name + n + 1, 's', length - n - 1);
    name[length] = '\0';
    return name;
}

static void test_ready_arrives_at_a_path(void **state)
{
    const fixture *f = *state;
    char *name = name_of_length(f, strlen(f->dir) + 7);
    int fd = listen_at(name, strlen(name));

    assert_true(arrives(fd, name));
    assert_true(arrives(fd, name)); /* each time it is said */
    (void)close(fd);
    free(name);
}

static void test_ready_arrives_at_an_abstract_socket(void **state)
{
    char name[64];

    (void)state;
    int n = snprintf(name, sizeof(name), "@procledger-test-notify-%ld", (long)getpid());
    name[0] = '\0';
    int fd = listen_at(name, (size_t)n);
    name[0] = '@';
    assert_true(arrives(fd, name));
    (void)close(fd);
}

static void test_nothing_without_the_variable(void **state)
{
    const fixture *f = *state;
    char *name = name_of_length(f, strlen(f->dir) + 7);
    int fd = listen_at(name, strlen(name));

    assert_false(arrives(fd, NULL));
    assert_false(arrives(fd, ""));
    assert_true(arrives(fd, name)); /* it would have been seen */
    (void)close(fd);
    free(name);
}

static void test_longest_path_is_taken_and_no_longer_one(void **state)
{
    const fixture *f = *state;
    char *longest = name_of_length(f, PATH_BYTES - 1), *longer = name_of_length(f, PATH_BYTES);
    int fd = listen_at(longest, PATH_BYTES - 1);

    assert_true(arrives(fd, longest));
    assert_false(arrives(fd, longer)); /* and is not cut to the one that is there */
    /* The kernel would take 108 bytes without a NUL; the limit is ours. */
    int full = listen_at(longer, PATH_BYTES);
    assert_false(arrives(full, longer));
    (void)close(full);
    (void)close(fd);
    free(longest);
    free(longer);
}

static void test_relative_paths_are_not_taken(void **state)
{
    const fixture *f = *state;
    char *name = name_of_length(f, strlen(f->dir) + 2);
    int fd = listen_at(name, strlen(name)), here = open(".", O_PATH | O_DIRECTORY | O_CLOEXEC);

    assert_true(here >= 0);
    assert_int_equal(chdir(f->dir), 0);
    bool plain = arrives(fd, "s"), dotted = arrives(fd, "./s");
    int back = fchdir(here);
    assert_int_equal(back, 0);
    assert_false(plain);
    assert_false(dotted);
    assert_true(arrives(fd, name));
    (void)close(here);
    (void)close(fd);
    free(name);
}

static void test_failure_is_silent(void **state)
{
    const fixture *f = *state;
    char *name = name_of_length(f, strlen(f->dir) + 7), *gone = name_of_length(f, strlen(f->dir) + 8);
    int fd = listen_at(name, strlen(name));

    assert_false(arrives(fd, gone));   /* nobody listens: no signal, no message */
    assert_false(arrives(fd, f->dir)); /* not a socket */
    assert_int_equal(setenv("NOTIFY_SOCKET", name, 1), 0);
    pl_fault_arm(PL_FAULT_OPEN, 1, EMFILE);
    pl_notify_ready();
    bool fired = pl_fault_fired();
    pl_fault_disarm();
    assert_true(fired);
    char text[8];
    assert_true(recv(fd, text, sizeof(text), MSG_DONTWAIT) < 0);
    assert_true(arrives(fd, name));
    (void)close(fd);
    free(name);
    free(gone);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(test_ready_arrives_at_a_path),      CASE(test_ready_arrives_at_an_abstract_socket),
        CASE(test_nothing_without_the_variable), CASE(test_longest_path_is_taken_and_no_longer_one),
        CASE(test_relative_paths_are_not_taken), CASE(test_failure_is_silent),
    };

    return cmocka_run_group_tests_name("notify", tests, NULL, NULL);
}

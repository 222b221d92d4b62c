/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Which files are opened and which are refused, before SQLite sees one: folders and files that others can write, foreign
 * owners, links, what is no file, what is no ledger. A refusal leaves everything as it was. And the one lock of the one
 * recorder, whose holder may be killed at any moment.
 */
#include "tests/unit/store/store_support.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>

#include "ledger/store/database.h"
#include "ledger/store/guard.h"
#include "ledger/store/query.h"
#include "src/base/error.h"
#include "tests/support/fault.h"

#define STRANGER 12345

static const pl_store_mode modes[] = {PL_STORE_READ, PL_STORE_WRITE, PL_STORE_RECORDER};
#define EACH_MODE(m)                                                                                                   \
    size_t m = 0;                                                                                                      \
    (m) < sizeof(modes) / sizeof(modes[0]);                                                                            \
    (m)++

static void make_ledger(const fixture *f)
{
    pl_writer *w = open_writer(f->path, PL_STORE_RECORDER, NULL);
    pl_execution e = execution_of(pl_writer_next_eid(w));

    assert_int_equal(pl_writer_execution(w, &e), 0);
    (void)pl_writer_free(w);
}

static int try_open(const char *path, pl_store_mode mode)
{
    const pl_store_options options = {.mode = mode, .busy_ms = 1};
    pl_store *store = NULL;
    int rc = pl_store_open(path, &options, &store);

    assert_true((rc == 0) == (store != NULL));
    (void)pl_store_close(store);
    return rc;
}

/* Refused in every mode, with these words, and nothing in the folder is other than before. */
static void assert_refused(const fixture *f, int code, const char *words)
{
    char *before = snapshot(f->dir);

    for (EACH_MODE(m)) {
        int rc = try_open(f->path, modes[m]);
        if (rc != code)
            print_error("mode %d: %d, %s\n", (int)modes[m], rc, pl_error_message());
        assert_int_equal(rc, code);
        if (!strstr(pl_error_message(), words))
            print_error("'%s' does not say '%s'\n", pl_error_message(), words);
        assert_non_null(strstr(pl_error_message(), words));
    }
    char *after = snapshot(f->dir);
    assert_string_equal(before, after);
    free(before);
    free(after);
}

static void assert_accepted(const fixture *f)
{
    for (EACH_MODE(m))
        assert_int_equal(try_open(f->path, modes[m]), 0);
}

static void test_folder_that_others_can_write_is_refused(void **state)
{
    const fixture *f = *state;

    make_ledger(f);
    assert_return_code(chmod(f->dir, 0777), 0);
    assert_refused(f, PL_ERR_UNSAFE, "others can write this folder (mode 0777)");
    /* Nor is anything made in it. */
    char *name = pl_temp_path(f->dir, "fresh.db");
    const fixture fresh = {f->dir, name};
    assert_refused(&fresh, PL_ERR_UNSAFE, "others can write this folder");
    free(name);
    assert_return_code(chmod(f->dir, 0755), 0);
    assert_accepted(f);
}

static void test_folder_of_a_group_is_refused_unless_it_is_ones_own(void **state)
{
    const fixture *f = *state;

    make_ledger(f);
    assert_return_code(chmod(f->dir, 0775), 0);
    assert_accepted(f);
    if (chown(f->dir, (uid_t)-1, STRANGER) < 0) {
        LEAVE_OUT("a folder of another group: needs root\n");
        return;
    }
    assert_return_code(chmod(f->dir, 0775), 0);
    assert_refused(f, PL_ERR_UNSAFE, "others can write this folder (mode 0775)");
    assert_return_code(chmod(f->dir, 0755), 0);
    assert_accepted(f);
}

static void test_folder_with_the_sticky_bit_is_accepted(void **state)
{
    const fixture *f = *state;

    assert_return_code(chmod(f->dir, 01777), 0);
    make_ledger(f);
    assert_accepted(f);
}

static void test_file_that_others_can_write_is_refused(void **state)
{
    static const char *const suffixes[] = {"", "-wal", "-shm", ".lock"};
    const fixture *f = *state;

    make_ledger(f);
    for (size_t i = 0; i < sizeof(suffixes) / sizeof(suffixes[0]); i++) {
        char *name = pl_guard_name(f->path, suffixes[i]);
        assert_return_code(chmod(name, 0642), 0);
        assert_refused(f, PL_ERR_UNSAFE, "others can write this file (mode 0642)");
        assert_non_null(strstr(pl_error_message(), name));
        assert_return_code(chmod(name, 0640), 0);
        assert_accepted(f);
        free(name);
    }
}

static void test_foreign_owner_is_refused(void **state)
{
    static const char *const suffixes[] = {"", "-wal", "-shm", ".lock"};
    const fixture *f = *state;

    make_ledger(f);
    if (geteuid() != 0) {
        LEAVE_OUT("files of another user: needs root\n");
        skip();
    }
    for (size_t i = 0; i < sizeof(suffixes) / sizeof(suffixes[0]); i++) {
        char *name = pl_guard_name(f->path, suffixes[i]);
        assert_return_code(chown(name, STRANGER, (gid_t)-1), 0);
        assert_refused(f, PL_ERR_UNSAFE, ": owned by user 12345, neither root nor you");
        assert_return_code(chown(name, 0, (gid_t)-1), 0);
        free(name);
    }
    assert_accepted(f);
    /* The owner of a folder can put what he likes in it, whatever its mode says today, sticky or not. */
    assert_return_code(chown(f->dir, STRANGER, (gid_t)-1), 0);
    assert_refused(f, PL_ERR_UNSAFE, ": owned by user 12345, neither root nor you");
    assert_return_code(chmod(f->dir, 01777), 0);
    assert_refused(f, PL_ERR_UNSAFE, ": owned by user 12345, neither root nor you");
}

static void test_what_root_owns_is_accepted_from_everybody(void **state)
{
    const fixture *f = *state;
    int status = 0;

    make_ledger(f);
    if (geteuid() != 0) {
        LEAVE_OUT("becoming another user: needs root\n");
        skip();
    }
    assert_return_code(chmod(f->dir, 0755), 0);
    assert_return_code(chmod(f->path, 0644), 0);
    pid_t pid = fork();
    assert_return_code(pid, 0);
    if (pid == 0) {
        bool exists = false;
        _exit(setegid(STRANGER) < 0 || seteuid(STRANGER) < 0    ? 2
              : pl_guard_check(f->path, &exists) == 0 && exists ? 0
                                                                : 1);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
}

static void test_symbolic_link_is_refused_in_place_of_a_file(void **state)
{
    static const char *const suffixes[] = {"", "-wal", "-shm", ".lock"};
    const fixture *f = *state;

    make_ledger(f);
    for (size_t i = 0; i < sizeof(suffixes) / sizeof(suffixes[0]); i++) {
        char *name = pl_guard_name(f->path, suffixes[i]), *moved = pl_temp_path(f->dir, "moved");
        assert_return_code(rename(name, moved), 0);
        assert_return_code(symlink(moved, name), 0);
        assert_refused(f, PL_ERR_UNSAFE, ": a symbolic link; name the file itself");
        assert_return_code(unlink(name), 0);
        /* One that leads nowhere is no invitation to make a file there either. */
        assert_return_code(symlink("nowhere", name), 0);
        assert_refused(f, PL_ERR_UNSAFE, ": a symbolic link");
        assert_return_code(rename(moved, name), 0);
        free(name);
        free(moved);
    }
    assert_accepted(f);
}

static void test_links_of_the_folder_are_resolved(void **state)
{
    const fixture *f = *state;
    const pl_store_options options = {.mode = PL_STORE_WRITE};
    pl_store *store = NULL;
    char *folder = pl_temp_path(f->dir, "folder"), *link_name = pl_temp_path(f->dir, "link");
    char *through = pl_temp_path(link_name, "x.db"), *real = pl_temp_path(folder, "x.db");

    assert_return_code(mkdir(folder, 0755), 0);
    assert_return_code(symlink("folder", link_name), 0);
    assert_int_equal(pl_store_open(through, &options, &store), 0);
    assert_string_equal(pl_store_path(store), real);
    (void)pl_store_close(store);
    assert_return_code(access(real, F_OK), 0);
    free(folder);
    free(link_name);
    free(through);
    free(real);
}

static void test_missing_folder_is_not_found(void **state)
{
    const fixture *f = *state;
    char *below = pl_temp_path(f->dir, "none/ledger.db"), *file = pl_temp_path(f->dir, "file");
    char *inside = pl_temp_path(file, "ledger.db");

    pl_temp_write(file, "x", 1, 0644);
    for (EACH_MODE(m)) {
        assert_int_equal(try_open(below, modes[m]), PL_ERR_NOT_FOUND);
        assert_int_equal(try_open(inside, modes[m]), PL_ERR_NOT_FOUND);
    }
    assert_int_equal(try_open(f->path, PL_STORE_READ), PL_ERR_NOT_FOUND);
    assert_non_null(strstr(pl_error_message(), "no such ledger"));
    free(below);
    free(file);
    free(inside);
}

/* The file itself could be made, its WAL could not. */
static void test_name_too_long_for_its_companions_is_refused(void **state)
{
    const fixture *f = *state;
    char name[256];

    memset(name, 'n', sizeof(name));
    name[254] = '\0';
    char *path = pl_temp_path(f->dir, name);
    const fixture too_long = {f->dir, path};
    assert_refused(&too_long, PL_ERR_SYSTEM, "File name too long");
    free(path);
}

/* What a child found out, as somebody who is not root: 0, or the number of what was wrong. */
static int status_of(pid_t pid)
{
    int status = 0;

    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status));
    return WEXITSTATUS(status);
}

/* A copy for evidence: one file without a WAL, in a folder where its reader can make none, with a name that a URI would
 * take for something else. And one whose WAL holds rows that cannot be reached: no half of it is shown. */
static void test_copy_without_its_wal_is_read_where_nothing_can_be_written(void **state)
{
    const fixture *f = *state;
    char *folder = pl_temp_path(f->dir, "evidence"), *copy = pl_temp_path(folder, "50%25?mode=rw#1.db"), *sql = NULL;
    char *wal = pl_guard_name(copy, "-wal");

    if (geteuid() != 0) {
        LEAVE_OUT("becoming another user: needs root\n");
        free(folder);
        free(copy);
        free(wal);
        skip();
    }
    make_ledger(f);
    assert_return_code(mkdir(folder, 0755), 0);
    assert_return_code(chmod(f->dir, 0755), 0);
    assert_true(asprintf(&sql, "VACUUM INTO '%s'; ", copy) > 0);
    force(f->path, sql);
    /* What it was before it was copied: SQLite must want a WAL. */
    assert_int_equal(try_open(copy, PL_STORE_WRITE), 0);
    for (int round = 0; round < 2; round++) {
        static const char *const suffixes[] = {"-wal", "-shm", ".lock"};
        for (size_t i = 0; i < 3; i++) {
            char *name = pl_guard_name(copy, suffixes[i]);
            assert_true(unlink(name) == 0 || errno == ENOENT);
            free(name);
        }
        if (round == 1)
            pl_temp_write(wal, "rows", 4, 0644);
        assert_return_code(chmod(copy, 0644), 0);
        pid_t pid = fork();
        assert_return_code(pid, 0);
        if (pid == 0) {
            const pl_store_options options = {.mode = PL_STORE_READ};
            pl_store *store = NULL;
            pl_query *query = NULL;
            if (setegid(STRANGER) < 0 || seteuid(STRANGER) < 0)
                _exit(10);
            int rc = pl_store_open(copy, &options, &store);
            if (round == 1)
                _exit(rc == PL_ERR_PERMISSION ? 0 : 11);
            if (rc < 0 || pl_query_new(store, PL_SQL_LOG_LAST_EID, &query) < 0 || pl_query_step(query) != 1)
                _exit(12);
            _exit(pl_query_integer(query, 0) == 1 ? 0 : 13);
        }
        assert_int_equal(status_of(pid), 0);
        assert_int_equal(access(wal, F_OK), round == 0 ? -1 : 0);
    }
    free(folder);
    free(copy);
    free(wal);
    free(sql);
}

static void test_name_of_no_file_is_invalid(void **state)
{
    static const char *const names[] = {"", "/", ".", "..", "./", "x/.", "x/..", "/tmp/"};

    (void)state;
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
        assert_int_equal(try_open(names[i], PL_STORE_WRITE), PL_ERR_INVALID);
}

static void test_relative_name_is_made_absolute(void **state)
{
    char *out = NULL, *here = getcwd(NULL, 0), *want = NULL;

    (void)state;
    assert_int_equal(pl_guard_resolve("ledger.db", &out), 0);
    assert_true(asprintf(&want, "%s/ledger.db", here) > 0);
    assert_string_equal(out, want);
    free(out);
    assert_int_equal(pl_guard_resolve("/ledger.db", &out), 0);
    assert_string_equal(out, "/ledger.db");
    free(out);
    free(here);
    free(want);
}

static void test_wal_without_its_file_is_not_swallowed(void **state)
{
    const fixture *f = *state;
    char *wal = pl_guard_name(f->path, "-wal");

    pl_temp_write(wal, "what is left", 12, 0640);
    assert_refused(f, PL_ERR_DAMAGED, "a new ledger would swallow it");
    /* An empty one holds nothing. */
    pl_temp_write(wal, "", 0, 0640);
    assert_int_equal(try_open(f->path, PL_STORE_WRITE), 0);
    free(wal);
}

static void make_socket(const char *path)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    assert_return_code(fd, 0);
    assert_true(strlen(path) < sizeof(address.sun_path));
    (void)stpcpy(address.sun_path, path);
    assert_return_code(bind(fd, (struct sockaddr *)&address, sizeof(address)), 0);
    (void)close(fd);
}

/* A FIFO would hold up whoever opens it, a device might do worse. */
static void test_what_is_no_regular_file_is_damaged(void **state)
{
    static const char *const suffixes[] = {"", "-wal", "-shm", ".lock"};
    const fixture *f = *state;

    for (size_t i = 0; i < sizeof(suffixes) / sizeof(suffixes[0]); i++) {
        char *name = pl_guard_name(f->path, suffixes[i]);
        if (i == 1)
            make_ledger(f);
        assert_true(unlink(name) == 0 || errno == ENOENT);
        assert_return_code(mkfifo(name, 0640), 0);
        assert_refused(f, PL_ERR_DAMAGED, ": not a regular file");
        assert_return_code(unlink(name), 0);
        assert_return_code(mkdir(name, 0750), 0);
        assert_refused(f, PL_ERR_DAMAGED, ": not a regular file");
        assert_return_code(rmdir(name), 0);
        make_socket(name);
        assert_refused(f, PL_ERR_DAMAGED, ": not a regular file");
        assert_return_code(unlink(name), 0);
        if (mknod(name, S_IFCHR | 0600, (1 << 8) | 5) == 0) {
            assert_refused(f, PL_ERR_DAMAGED, ": not a regular file");
            assert_return_code(unlink(name), 0);
        } else if (i == 0) {
            LEAVE_OUT("a device: cannot be made here\n");
        }
        free(name);
    }
}

static void test_what_is_no_ledger_is_left_alone(void **state)
{
    const fixture *f = *state;
    char garbage[8192];

    for (size_t i = 0; i < sizeof(garbage); i++)
        garbage[i] = (char)(i * 7 + i / 251);
    pl_temp_write(f->path, garbage, sizeof(garbage), 0640);
    assert_refused(f, PL_ERR_DAMAGED, "no SQLite header");
    pl_temp_write(f->path, garbage, 50, 0640);
    assert_refused(f, PL_ERR_DAMAGED, "too short");
    pl_temp_write(f->path, "SQLite format 3", 16, 0640);
    assert_refused(f, PL_ERR_DAMAGED, "too short");
    pl_temp_write(f->path, "", 0, 0640);
    assert_refused(f, PL_ERR_DAMAGED, "empty");
    assert_return_code(unlink(f->path), 0);
    force(f->path, "CREATE TABLE mine(x); INSERT INTO mine VALUES(1);");
    assert_refused(f, PL_ERR_DAMAGED, "another program");
    assert_answer(f->path, "SELECT x FROM mine", "1");
}

static void patch(const char *path, off_t at, const void *bytes, size_t length)
{
    int fd = open(path, O_WRONLY | O_CLOEXEC);

    assert_return_code(fd, 0);
    assert_int_equal(pwrite(fd, bytes, length, at), (ssize_t)length);
    (void)close(fd);
}

static void test_damaged_header_is_refused(void **state)
{
    static const unsigned char sizes[][2] = {{0, 0}, {1, 0}, {3, 0}, {0x10, 1}};
    const fixture *f = *state;

    make_ledger(f);
    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        patch(f->path, 16, sizes[i], 2);
        assert_refused(f, PL_ERR_DAMAGED, "damaged (page size");
    }
    patch(f->path, 16, (unsigned char[]){0x10, 0}, 2);
    assert_accepted(f);
}

static void test_truncated_ledger_is_refused(void **state)
{
    const fixture *f = *state;
    struct stat status;

    make_ledger(f);
    assert_return_code(stat(f->path, &status), 0);
    assert_return_code(truncate(f->path, status.st_size - 4096), 0);
    assert_refused(f, PL_ERR_DAMAGED, "truncated");
    assert_return_code(truncate(f->path, 100), 0);
    assert_refused(f, PL_ERR_DAMAGED, "truncated");
}

static void test_permissions_do_not_depend_on_the_umask(void **state)
{
    static const mode_t masks[] = {0, 022, 077};
    static const char *const suffixes[] = {"", "-wal", "-shm"};
    const fixture *f = *state;

    for (size_t i = 0; i < sizeof(masks) / sizeof(masks[0]); i++) {
        char name[20];
        struct stat status;
        (void)snprintf(name, sizeof(name), "%zu.db", i);
        char *path = pl_temp_path(f->dir, name);
        mode_t before = umask(masks[i]);
        pl_store *store = open_store(path, PL_STORE_RECORDER);
        (void)umask(before);
        for (size_t k = 0; k < sizeof(suffixes) / sizeof(suffixes[0]); k++) {
            char *file = pl_guard_name(path, suffixes[k]);
            assert_return_code(stat(file, &status), 0);
            assert_int_equal(status.st_mode & 07777, 0640);
            free(file);
        }
        char *lock = pl_guard_name(path, ".lock");
        assert_return_code(stat(lock, &status), 0);
        assert_int_equal(status.st_mode & 027, 0);
        free(lock);
        (void)pl_store_close(store);
        free(path);
    }
}

/* --- the lock --- */

static void test_second_recorder_of_one_process_is_told_who_has_it(void **state)
{
    const fixture *f = *state;
    char words[64];
    pl_store *first = open_store(f->path, PL_STORE_RECORDER);

    (void)snprintf(words, sizeof(words), "another recorder (process %ld) has this ledger", (long)getpid());
    assert_int_equal(try_open(f->path, PL_STORE_RECORDER), PL_ERR_LOCKED);
    assert_non_null(strstr(pl_error_message(), words));
    assert_non_null(strstr(pl_error_message(), f->path));
    /* Others may read and write beside it, and the refused one took nothing away. */
    assert_int_equal(try_open(f->path, PL_STORE_READ), 0);
    assert_int_equal(try_open(f->path, PL_STORE_WRITE), 0);
    assert_int_equal(try_open(f->path, PL_STORE_RECORDER), PL_ERR_LOCKED);
    (void)pl_store_close(first);
    /* Nothing of it stays for the next one to be mistaken for. */
    struct stat status;
    char *lock = pl_guard_name(f->path, ".lock");
    assert_return_code(stat(lock, &status), 0);
    assert_int_equal(status.st_size, 0);
    free(lock);
    assert_int_equal(try_open(f->path, PL_STORE_RECORDER), 0);
}

/* A child that holds the lock until it is killed or told to give it back. */
typedef struct holder {
    pid_t pid;
    int to, from;
} holder;

static void say(int fd)
{
    assert_int_equal(write(fd, "x", 1), 1);
}

static void hear(int fd)
{
    char c;

    assert_int_equal(read(fd, &c, 1), 1);
}

static holder start_holder(const char *path, bool recorder)
{
    int to[2], from[2];

    assert_return_code(pipe2(to, O_CLOEXEC), 0);
    assert_return_code(pipe2(from, O_CLOEXEC), 0);
    pid_t pid = fork();
    assert_return_code(pid, 0);
    if (pid == 0) {
        int fd = -1;
        char c = 0;
        (void)close(to[1]);
        if (pl_guard_lock(path, recorder, 0, &fd) < 0 || write(from[1], "x", 1) != 1 || read(to[0], &c, 1) != 1)
            _exit(1);
        (void)pl_guard_unlock(fd);
        _exit(0);
    }
    (void)close(to[0]);
    (void)close(from[1]);
    hear(from[0]);
    return (holder){pid, to[1], from[0]};
}

static void end_holder(holder *h, bool by_force)
{
    int status = 0;

    if (by_force)
        assert_return_code(kill(h->pid, SIGKILL), 0);
    else
        say(h->to);
    assert_int_equal(waitpid(h->pid, &status, 0), h->pid);
    assert_int_equal(status, by_force ? SIGKILL : 0);
    (void)close(h->to);
    (void)close(h->from);
}

static void test_recorder_of_another_process_is_named(void **state)
{
    const fixture *f = *state;
    char words[64];
    int fd = -1;

    make_ledger(f);
    holder h = start_holder(f->path, true);
    (void)snprintf(words, sizeof(words), "another recorder (process %ld) has this ledger", (long)h.pid);
    assert_int_equal(try_open(f->path, PL_STORE_RECORDER), PL_ERR_LOCKED);
    assert_non_null(strstr(pl_error_message(), words));
    assert_int_equal(pl_guard_lock(f->path, false, 0, &fd), PL_ERR_LOCKED);
    assert_int_equal(fd, -1);
    end_holder(&h, false);
    assert_int_equal(try_open(f->path, PL_STORE_RECORDER), 0);
}

static void test_kill_9_gives_the_lock_back(void **state)
{
    const fixture *f = *state;
    int fd = -1;

    make_ledger(f);
    holder h = start_holder(f->path, true);
    assert_int_equal(pl_guard_lock(f->path, true, 0, &fd), PL_ERR_LOCKED);
    end_holder(&h, true);
    assert_int_equal(pl_guard_lock(f->path, true, 0, &fd), 0);
    (void)pl_guard_unlock(fd);
    assert_int_equal(try_open(f->path, PL_STORE_RECORDER), 0);
}

/* The pid of a recorder that was killed stays in the lock file; nobody may be told that it records. */
static void test_pid_of_a_killed_recorder_is_not_told(void **state)
{
    const fixture *f = *state;
    int fd = -1;

    make_ledger(f);
    holder killed = start_holder(f->path, true);
    end_holder(&killed, true);
    holder sweeper = start_holder(f->path, false);
    assert_int_equal(pl_guard_lock(f->path, false, 0, &fd), PL_ERR_LOCKED);
    assert_non_null(strstr(pl_error_message(), "another process holds"));
    assert_null(strstr(pl_error_message(), "recorder"));
    end_holder(&sweeper, false);
}

static void *give_back(void *argument)
{
    *(int *)argument = pl_guard_unlock(*(int *)argument);
    return NULL;
}

/* A sweep or a migration is short: whoever comes meanwhile waits for it. */
static void test_short_holder_is_waited_for(void **state)
{
    const fixture *f = *state;
    int held = -1, fd = -1;
    pthread_t thread;

    assert_int_equal(pl_guard_lock(f->path, false, 0, &held), 0);
    assert_int_equal(pl_guard_lock(f->path, true, 0, &fd), PL_ERR_LOCKED);
    assert_int_equal(pl_guard_lock(f->path, true, 25, &fd), PL_ERR_LOCKED);
    assert_int_equal(pthread_create(&thread, NULL, give_back, &held), 0);
    assert_int_equal(pl_guard_lock(f->path, true, 60000, &fd), 0);
    assert_int_equal(pthread_join(thread, NULL), 0);
    assert_int_equal(held, -1);
    (void)pl_guard_unlock(fd);
    assert_int_equal(pl_guard_unlock(-1), -1);
}

static void test_lock_that_cannot_be_written_is_given_back(void **state)
{
    const fixture *f = *state;
    int fd = -1;

    make_ledger(f);
    for (unsigned n = 1; n <= 2; n++) {
        (void)pl_fault_arm(PL_FAULT_WRITE, n, ENOSPC);
        int rc = pl_guard_lock(f->path, true, 0, &fd);
        pl_fault_disarm();
        assert_int_equal(rc, PL_ERR_FULL);
        assert_int_equal(fd, -1);
    }
    (void)pl_fault_arm(PL_FAULT_OPEN, 1, EACCES);
    int rc = pl_guard_lock(f->path, true, 0, &fd);
    pl_fault_disarm();
    assert_int_equal(rc, PL_ERR_PERMISSION);
    assert_int_equal(pl_guard_lock(f->path, true, 0, &fd), 0);
    (void)pl_guard_unlock(fd);
}

static void test_every_allocation_may_fail(void **state)
{
    const fixture *f = *state;
    unsigned failures = 0;

    make_ledger(f);
    for (unsigned n = 1; pl_fault_arm(PL_FAULT_ALLOC, n, ENOMEM); n++) {
        bool exists = false;
        char *path = NULL;
        int64_t version = 0;
        int fd = -1, rc = pl_guard_resolve(f->path, &path);
        if (rc == 0)
            rc = pl_guard_check(path, &exists);
        if (rc == 0)
            rc = pl_guard_header(path, &version);
        if (rc == 0)
            rc = pl_guard_lock(path, true, 0, &fd);
        bool fired = pl_fault_fired();
        pl_fault_disarm();
        free(path);
        if (!fired) {
            assert_int_equal(rc, 0);
            assert_true(exists);
            assert_int_equal(version, PL_SCHEMA_VERSION);
            (void)pl_guard_unlock(fd);
            break;
        }
        assert_int_equal(rc, PL_ERR_NOMEM);
        assert_int_equal(fd, -1);
        failures++;
    }
    assert_true(failures >= 8);
}

/* --- the default file --- */

/* In a child, as somebody who is not root. Its status: 0 fine, else the line that was not. */
static void test_default_file_of_a_user(void **state)
{
    const fixture *f = *state;
    pid_t pid = fork();

    assert_return_code(pid, 0);
    if (pid == 0) {
        char *path = NULL, *want = NULL, *again = NULL;
        struct stat made;
        /* Its folder is made for it; the tree above it is the test's. */
        if (geteuid() == 0 && (chown(f->dir, STRANGER, STRANGER) < 0 || setegid(STRANGER) < 0 || seteuid(STRANGER) < 0))
            _exit(10);
        (void)unsetenv("PROCLEDGER_DB");
        (void)setenv("XDG_STATE_HOME", f->dir, 1);
        if (pl_store_default_path(&path) < 0 || asprintf(&want, "%s/procledger/ledger.db", f->dir) < 0 ||
            strcmp(path, want) != 0)
            _exit(11);
        if (pl_store_prepare_folder(path) < 0 || pl_store_prepare_folder(path) < 0)
            _exit(12);
        *strrchr(path, '/') = '\0';
        if (stat(path, &made) < 0 || (made.st_mode & 07777) != 0750)
            _exit(13);
        /* A relative one is none, as the specification of that variable says. */
        (void)setenv("XDG_STATE_HOME", "relative", 1);
        (void)setenv("HOME", f->dir, 1);
        free(want);
        if (pl_store_default_path(&again) < 0 || asprintf(&want, "%s/.local/state/procledger/ledger.db", f->dir) < 0 ||
            strcmp(again, want) != 0)
            _exit(14);
        if (pl_store_prepare_folder(again) < 0)
            _exit(15);
        (void)unsetenv("XDG_STATE_HOME");
        (void)unsetenv("HOME");
        if (pl_store_default_path(&path) != PL_ERR_INVALID)
            _exit(16);
        _exit(0);
    }
    assert_int_equal(status_of(pid), 0);
}

static void test_default_file_is_what_the_environment_names(void **state)
{
    const fixture *f = *state;
    char *path = NULL, *below = pl_temp_path(f->dir, "deep/er/ledger.db"), *folder = pl_temp_path(f->dir, "deep");

    (void)setenv("PROCLEDGER_DB", below, 1);
    assert_int_equal(pl_store_default_path(&path), 0);
    assert_string_equal(path, below);
    /* Named by somebody: his folders are his own matter. */
    assert_int_equal(pl_store_prepare_folder(path), 0);
    assert_int_equal(access(folder, F_OK), -1);
    free(path);
    path = NULL;
    (void)pl_fault_arm(PL_FAULT_ALLOC, 1, ENOMEM);
    int rc = pl_store_default_path(&path);
    pl_fault_disarm();
    assert_int_equal(rc, PL_ERR_NOMEM);
    assert_null(path);
    (void)unsetenv("PROCLEDGER_DB");
    if (geteuid() == 0) {
        assert_int_equal(pl_store_default_path(&path), 0);
        assert_string_equal(path, "/var/lib/procledger/ledger.db");
        free(path);
    } else {
        LEAVE_OUT("the default file of root: needs root\n");
    }
    free(below);
    free(folder);
}

static void test_own_files_are_named_by_identity(void **state)
{
    static const char *const suffixes[] = {"", "-wal", "-shm", ".lock"};
    const fixture *f = *state;
    pl_store *store = open_store(f->path, PL_STORE_RECORDER);
    pl_identity own[8];

    assert_int_equal(pl_store_own_files(store, own, 8), 4);
    for (size_t i = 0; i < 4; i++) {
        struct stat status;
        char *name = pl_guard_name(f->path, suffixes[i]);
        assert_return_code(stat(name, &status), 0);
        assert_int_equal(own[i].inode, status.st_ino);
        free(name);
    }
    assert_int_equal(pl_store_own_files(store, own, 2), 2);
    (void)pl_store_close(store);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_folder_that_others_can_write_is_refused, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_folder_of_a_group_is_refused_unless_it_is_ones_own, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_folder_with_the_sticky_bit_is_accepted, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_file_that_others_can_write_is_refused, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_foreign_owner_is_refused, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_what_root_owns_is_accepted_from_everybody, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_symbolic_link_is_refused_in_place_of_a_file, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_links_of_the_folder_are_resolved, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_missing_folder_is_not_found, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_name_too_long_for_its_companions_is_refused, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_copy_without_its_wal_is_read_where_nothing_can_be_written, set_up,
                                        tear_down),
        cmocka_unit_test(test_name_of_no_file_is_invalid),
        cmocka_unit_test(test_relative_name_is_made_absolute),
        cmocka_unit_test_setup_teardown(test_wal_without_its_file_is_not_swallowed, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_what_is_no_regular_file_is_damaged, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_what_is_no_ledger_is_left_alone, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_damaged_header_is_refused, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_truncated_ledger_is_refused, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_permissions_do_not_depend_on_the_umask, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_second_recorder_of_one_process_is_told_who_has_it, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_recorder_of_another_process_is_named, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_kill_9_gives_the_lock_back, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_pid_of_a_killed_recorder_is_not_told, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_short_holder_is_waited_for, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_lock_that_cannot_be_written_is_given_back, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_every_allocation_may_fail, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_default_file_of_a_user, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_default_file_is_what_the_environment_names, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_own_files_are_named_by_identity, set_up, tear_down),
    };

    return cmocka_run_group_tests_name("store_guard", tests, NULL, NULL);
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The public calls against the local engine: same bytes as an independent digest (sha256sum), zero reads
 * after a restart, right again after a change, and every kind of file that is none.
 */
#include <procledger/procledger.h>

#include "src/base/cleanup.h"
#include "tests/support/fault.h"
#include "tests/support/sqlite_shell.h"
#include "tests/support/temp_dir.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#define HELLO_SHA256 "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824"
#define HELLO_MD5 "5d41402abc4b2a76b9719d911017c592"

typedef struct fixture {
    char *dir, *db, *file;
} fixture;

/* Old enough for the racy window: ctime cannot be set, so it is waited for, on the file's own clock and
 * bounded. */
static void wait_until_old(const char *path)
{
    struct statx sx;
    struct timespec now, pause = {.tv_nsec = 5000000};

    for (int i = 0; i < 1000; i++) {
        assert_return_code(statx(AT_FDCWD, path, 0, STATX_BASIC_STATS, &sx), errno);
        (void)clock_gettime(CLOCK_REALTIME, &now);
        if ((now.tv_sec - sx.stx_ctime.tv_sec) * 1000000000L + now.tv_nsec - (long)sx.stx_ctime.tv_nsec > 2100000000L)
            return;
        (void)clock_nanosleep(CLOCK_MONOTONIC, 0, &pause, NULL);
    }
    fail_msg("the clock does not advance");
}

static int setup(void **state)
{
    fixture *f = calloc(1, sizeof(*f));

    assert_non_null(f);
    f->dir = pl_temp_dir_new();
    f->db = pl_temp_path(f->dir, "ledger.db");
    f->file = pl_temp_path(f->dir, "hello");
    pl_temp_write(f->file, "hello", 5, 0755);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    fixture *f = *state;

    free(f->db);
    free(f->file);
    (void)pl_temp_dir_free(f->dir);
    free(f);
    return 0;
}

static void check_sha256(const pl_checksum *sum, const char *want)
{
    char hex[129];

    assert_int_equal(sum->digests[0].algorithm, PL_SHA256);
    assert_int_equal(pl_hex(&sum->digests[0], hex), 64);
    assert_string_equal(hex, want);
}

static pl_ledger *open_ledger(const fixture *f)
{
    pl_ledger *ledger = NULL;

    assert_int_equal(pl_open(f->db, NULL, &ledger), 0);
    return ledger;
}

static pl_stats stats_of(pl_ledger *ledger)
{
    pl_stats stats = {.struct_size = sizeof(stats)};

    assert_int_equal(pl_stats_get(ledger, &stats), 0);
    return stats;
}

static void test_a_known_file_is_never_read_again(void **state)
{
    fixture *f = *state;
    pl_checksum sum = {.struct_size = sizeof(sum)};

    wait_until_old(f->file);
    pl_ledger *ledger = open_ledger(f);
    assert_int_equal(pl_checksum_path(ledger, f->file, PL_NOREAD, &sum), PL_PENDING);
    assert_int_equal(pl_checksum_path(ledger, f->file, 0, &sum), 0);
    assert_int_equal(sum.source, PL_SOURCE_COMPUTED);
    assert_int_equal(sum.assurance, PL_ASSURANCE_PROBED);
    check_sha256(&sum, HELLO_SHA256);
    assert_int_equal(pl_checksum_path(ledger, f->file, 0, &sum), 0);
    assert_int_equal(sum.source, PL_SOURCE_HOT);
    check_sha256(&sum, HELLO_SHA256);
    assert_int_equal(stats_of(ledger).bytes_hashed, 5);
    (void)pl_close(ledger);

    ledger = open_ledger(f); /* a restart */
    assert_int_equal(pl_checksum_path(ledger, f->file, PL_NOREAD, &sum), 0);
    assert_int_equal(sum.source, PL_SOURCE_LEDGER);
    check_sha256(&sum, HELLO_SHA256);
    assert_int_equal(stats_of(ledger).bytes_hashed, 0);
    assert_int_equal(stats_of(ledger).hits_ledger, 1);
    (void)pl_close(ledger);
}

static void test_a_changed_file_is_read_again_and_its_history_kept(void **state)
{
    fixture *f = *state;
    pl_checksum sum = {.struct_size = sizeof(sum)};
    pl_ledger *ledger = open_ledger(f);

    assert_int_equal(pl_checksum_path(ledger, f->file, 0, &sum), 0);
    pl_temp_write(f->file, "HELLO", 5, 0755);
    assert_int_equal(pl_checksum_path(ledger, f->file, 0, &sum), 0);
    assert_int_equal(sum.source, PL_SOURCE_COMPUTED);
    check_sha256(&sum, "3733cd977ff8eb18b987357e22ced99f46097f31ecb239e878ae63760e83e4d5");
    (void)pl_close(ledger);
    char *rows =
        pl_shell_query(f->db, "select substr(sha256,1,8), detected_by, end_reason from file_history order by rowid");
    assert_string_equal(rows, "2cf24dba|request|modified\n3733cd97|request|~\n");
    free(rows);
}

static void test_descriptors_are_answered_like_paths(void **state)
{
    fixture *f = *state;
    pl_checksum sum = {.struct_size = sizeof(sum)};
    pl_ledger *ledger = open_ledger(f);
    pl_auto_close int fd = open(f->file, O_RDONLY | O_CLOEXEC);
    pl_auto_close int memory = memfd_create("x", MFD_CLOEXEC);
    pl_auto_close int opath = open(f->file, O_PATH | O_CLOEXEC);

    assert_int_equal(pl_checksum_fd(ledger, fd, 0, &sum), 0);
    check_sha256(&sum, HELLO_SHA256);
    assert_int_equal(lseek(fd, 0, SEEK_CUR), 0);
    assert_int_equal(write(memory, "hello", 5), 5);
    assert_int_equal(pl_checksum_fd(ledger, memory, 0, &sum), 0);
    check_sha256(&sum, HELLO_SHA256);
    assert_int_equal(pl_checksum_fd(ledger, opath, 0, &sum), PL_UNREADABLE); /* no oracle for unreadable files */
    assert_int_equal(pl_checksum_fd(ledger, -1, 0, &sum), PL_ERR_INVALID);
    (void)pl_close(ledger);
}

static void test_what_is_no_regular_file_is_an_outcome(void **state)
{
    fixture *f = *state;
    char *fifo = pl_temp_path(f->dir, "fifo"), *gone = pl_temp_path(f->dir, "gone"),
         *link = pl_temp_path(f->dir, "link");
    const char *paths[] = {f->dir, fifo, gone, link, "/dev/null", f->db};
    const int want[] = {PL_NOT_REGULAR, PL_NOT_REGULAR, PL_VANISHED, 0, PL_NOT_REGULAR, PL_UNREADABLE};
    pl_checksum sums[6];
    int codes[6];
    pl_ledger *ledger = open_ledger(f);

    assert_return_code(mkfifo(fifo, 0600), errno);
    assert_return_code(symlink(f->file, link), errno);
    for (size_t i = 0; i < 6; i++)
        sums[i].struct_size = sizeof(sums[i]);
    assert_int_equal(pl_checksum_paths(ledger, paths, 6, 0, sums, codes), 0);
    for (size_t i = 0; i < 6; i++)
        assert_int_equal(codes[i], want[i]);
    assert_int_equal(pl_checksum_path(ledger, link, PL_NOFOLLOW, &sums[0]), PL_NOT_REGULAR);
    (void)pl_close(ledger);
    free(fifo);
    free(gone);
    free(link);
}

static void test_algorithms_are_filled_in_for_what_is_known(void **state)
{
    fixture *f = *state;
    pl_checksum sum = {.struct_size = sizeof(sum)};
    pl_options options = {.struct_size = sizeof(options), .algorithms = PL_MD5};
    pl_ledger *ledger = open_ledger(f);
    char hex[129] = "";

    wait_until_old(f->file);
    assert_int_equal(pl_checksum_path(ledger, f->file, 0, &sum), 0);
    (void)pl_close(ledger);
    assert_int_equal(pl_open(f->db, &options, &ledger), 0);
    assert_int_equal(pl_checksum_path(ledger, f->file, 0, &sum), 0);
    assert_int_equal(sum.source, PL_SOURCE_COMPUTED); /* one more read, for all that is missing */
    for (size_t i = 0; i < PL_ALGORITHM_COUNT; i++)
        if (sum.digests[i].algorithm == PL_MD5)
            (void)pl_hex(&sum.digests[i], hex);
    assert_string_equal(hex, HELLO_MD5);
    (void)pl_close(ledger);
    char *row = pl_shell_query(f->db, "select md5, substr(sha256,1,8) from hash");
    assert_string_equal(row, HELLO_MD5 "|2cf24dba\n");
    free(row);
}

static void test_wrong_arguments_fail_and_leave_the_output(void **state)
{
    fixture *f = *state;
    pl_checksum sum = {.struct_size = 3};
    pl_options options = {.struct_size = 1};
    pl_ledger *ledger = (pl_ledger *)1;
    pl_stats stats = {.struct_size = 0};

    assert_int_equal(pl_open(f->db, &options, &ledger), PL_ERR_INVALID);
    assert_ptr_equal(ledger, (pl_ledger *)1);
    ledger = open_ledger(f);
    assert_int_equal(pl_checksum_path(ledger, f->file, 0, &sum), PL_ERR_INVALID);
    assert_int_equal(sum.struct_size, 3);
    assert_int_equal(pl_checksum_path(ledger, f->file, 0, NULL), PL_ERR_INVALID);
    assert_int_equal(pl_stats_get(ledger, &stats), PL_ERR_INVALID);
    assert_true(strlen(pl_error_message()) > 0);
    (void)pl_close(ledger);
    assert_null(pl_close(NULL));
    assert_string_equal(pl_strerror(12345), "unknown code");
}

static void *ask_often(void *context)
{
    pl_ledger *ledger = ((void **)context)[0];
    const char *path = ((void **)context)[1];
    pl_checksum sum = {.struct_size = sizeof(sum)};
    size_t wrong = 0;

    for (int i = 0; i < 200; i++)
        wrong += pl_checksum_path(ledger, path, 0, &sum) != 0 || sum.digests[0].bytes[0] != 0x2c;
    return (void *)wrong;
}

static void test_any_thread_may_call(void **state)
{
    fixture *f = *state;
    pl_ledger *ledger = open_ledger(f);
    void *context[] = {ledger, f->file};
    pthread_t threads[4];
    void *wrong;

    for (size_t i = 0; i < 4; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, ask_often, context), 0);
    for (size_t i = 0; i < 4; i++) {
        assert_int_equal(pthread_join(threads[i], &wrong), 0);
        assert_null(wrong);
    }
    (void)pl_close(ledger);
}

static void test_two_ledgers_in_one_process_do_not_mix(void **state)
{
    fixture *f = *state;
    char *second = pl_temp_path(f->dir, "second.db");
    pl_ledger *a = open_ledger(f), *b = NULL;
    pl_checksum sum = {.struct_size = sizeof(sum)};

    assert_int_equal(pl_open(second, NULL, &b), 0);
    assert_int_equal(pl_checksum_path(a, f->file, 0, &sum), 0);
    assert_int_equal(pl_checksum_path(b, f->file, PL_NOREAD, &sum), PL_PENDING);
    assert_int_equal(stats_of(b).files_hashed, 0);
    (void)pl_close(a);
    assert_int_equal(pl_checksum_path(b, f->file, 0, &sum), 0);
    check_sha256(&sum, HELLO_SHA256);
    (void)pl_close(b);
    free(second);
}

static void test_failures_of_memory_and_threads_are_clean(void **state)
{
    static const pl_fault_kind kinds[] = {PL_FAULT_ALLOC, PL_FAULT_THREAD};
    fixture *f = *state;

    for (size_t k = 0; k < sizeof(kinds) / sizeof(*kinds); k++) {
        for (unsigned n = 1;; n++) {
            pl_ledger *ledger = NULL;
            pl_checksum sum = {.struct_size = sizeof(sum)};
            pl_fault_arm(kinds[k], n, kinds[k] == PL_FAULT_ALLOC ? ENOMEM : EAGAIN);
            int r = pl_open(f->db, NULL, &ledger);
            if (r == 0)
                r = pl_checksum_path(ledger, f->file, 0, &sum);
            bool fired = pl_fault_fired();
            pl_fault_disarm();
            if (r == 0)
                check_sha256(&sum, HELLO_SHA256);
            else
                assert_true(fired);
            (void)pl_close(ledger);
            if (!fired)
                break;
        }
    }
}

/* Threads and locks are the parent's: the child lets go of nothing, and the parent goes on. */
static void test_a_forked_child_may_close(void **state)
{
    const fixture *f = *state;
    pl_ledger *ledger = open_ledger(f);
    pl_checksum sum = {.struct_size = sizeof(sum)};
    int status = -1;

    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0)
        _exit(pl_close(ledger) == NULL ? 0 : 1);
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    assert_int_equal(pl_checksum_path(ledger, f->file, 0, &sum), 0);
    check_sha256(&sum, HELLO_SHA256);
    assert_null(pl_close(ledger));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_a_forked_child_may_close, setup, teardown),
        cmocka_unit_test_setup_teardown(test_a_known_file_is_never_read_again, setup, teardown),
        cmocka_unit_test_setup_teardown(test_a_changed_file_is_read_again_and_its_history_kept, setup, teardown),
        cmocka_unit_test_setup_teardown(test_descriptors_are_answered_like_paths, setup, teardown),
        cmocka_unit_test_setup_teardown(test_what_is_no_regular_file_is_an_outcome, setup, teardown),
        cmocka_unit_test_setup_teardown(test_algorithms_are_filled_in_for_what_is_known, setup, teardown),
        cmocka_unit_test_setup_teardown(test_wrong_arguments_fail_and_leave_the_output, setup, teardown),
        cmocka_unit_test_setup_teardown(test_any_thread_may_call, setup, teardown),
        cmocka_unit_test_setup_teardown(test_two_ledgers_in_one_process_do_not_mix, setup, teardown),
        cmocka_unit_test_setup_teardown(test_failures_of_memory_and_threads_are_clean, setup, teardown),
    };

    return cmocka_run_group_tests_name("handle", tests, NULL, NULL);
}

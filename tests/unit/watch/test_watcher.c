/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The watcher on real files and the real library: what inotify tells of each kind of change, and for each trap of
 * libinotifytools that it is not stepped in. Events are in the queue when the system call that causes them returns, so
 * nothing here waits.
 */
#include "tests/unit/watch/watch_support.h"

#include <malloc.h>
#include <sched.h>
#include <spawn.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/wait.h>

#include "tests/support/own_mounts.h"

/* ---- what inotify tells ---- */

static void test_a_write_touches_its_file_alone(void **state)
{
    fixture *f = *state;
    pl_watch_key key = watch_file(f, f->file), other = watch_file(f, f->other);

    assert_int_equal(read_all(f), 0);
    assert_false(readable(f));
    append(f->file);
    assert_true(readable(f));
    assert_true(read_all(f) > 0);
    assert_int_equal(count(f, PL_WATCH_TOUCHED, &key), f->n);
    assert_int_equal(count(f, PL_WATCH_TOUCHED, &other), 0);
    assert_true(pl_watcher_has(f->watcher, &key));
    assert_false(readable(f));
    assert_int_equal(read_all(f), 0);
}

static void test_each_change_of_a_file_touches_it(void **state)
{
    fixture *f = *state;
    pl_watch_key key = watch_file(f, f->file);
    char *moved = pl_temp_path(f->dir, "moved");
    int fd = open_at(f->file, O_RDWR);

    for (int change = 0; change < 6; change++) {
        int rc = change == 0   ? ftruncate(fd, 3)
                 : change == 1 ? fchmod(fd, 0600)
                 : change == 2 ? fchown(fd, getuid(), getgid())
                 : change == 3 ? futimens(fd, (const struct timespec[2]){{0, UTIME_OMIT}, {1, 1}})
                 : change == 4 ? link(f->file, moved)
                               : unlink(f->file);
        assert_int_equal(rc, 0);
        if (read_all(f) == 0 || count(f, PL_WATCH_TOUCHED, &key) != f->n)
            fail_msg("change %d is not told", change);
    }
    assert_int_equal(rename(moved, f->file), 0);
    assert_int_equal(read_all(f), 1);
    assert_int_equal(count(f, PL_WATCH_TOUCHED, &key), 1);
    assert_true(pl_watcher_has(f->watcher, &key));
    (void)close(fd);
    free(moved);
}

static void test_reading_a_file_touches_nothing(void **state)
{
    fixture *f = *state;
    char bytes[8];

    (void)watch_file(f, f->file);
    int fd = open_at(f->file, O_RDONLY);
    assert_int_equal(read(fd, bytes, sizeof(bytes)), sizeof(bytes));
    (void)close(fd);
    assert_int_equal(read_all(f), 0);
}

static void test_a_write_through_a_hard_link_elsewhere_touches(void **state)
{
    fixture *f = *state;
    char *folder = pl_temp_path(f->dir, "folder"), *elsewhere = pl_temp_path(folder, "link");

    assert_int_equal(mkdir(folder, 0700), 0);
    assert_int_equal(link(f->file, elsewhere), 0);
    pl_watch_key key = watch_file(f, f->file);
    append(elsewhere);
    assert_true(read_all(f) > 0);
    assert_int_equal(count(f, PL_WATCH_TOUCHED, &key), f->n);
    /* One inode, one watch, whichever name it was opened by. */
    assert_int_equal(add_path(f, elsewhere, PL_WATCH_FILE), PL_WATCH_ADDED);
    assert_int_equal(stats_of(f).watches, 1);
    assert_int_equal(stats_of(f).added, 1);
    assert_int_equal(kernel_watches(pl_watcher_fd(f->watcher)), 1);
    free(elsewhere);
    free(folder);
}

static void test_a_rename_over_an_idle_file_ends_its_watch(void **state)
{
    fixture *f = *state;
    pl_watch_key key = watch_file(f, f->file);

    replace(f, f->file);
    assert_true(read_all(f) >= 2);
    assert_int_equal(count(f, PL_WATCH_GONE, &key), 1);
    assert_int_equal(f->said[f->n - 1].what, PL_WATCH_GONE);
    assert_int_equal(count(f, PL_WATCH_TOUCHED, &key), f->n - 1);
    assert_false(pl_watcher_has(f->watcher, &key));
    assert_false(pl_watcher_remove(f->watcher, &key));
    assert_int_equal(stats_of(f).watches, 0);
    assert_int_equal(stats_of(f).dead, 1);
}

static void test_a_rename_over_a_running_file_ends_its_watch_when_it_ends(void **state)
{
    fixture *f = *state;
    char *copy[] = {(char *)"cp", (char *)"/bin/cat", f->file, NULL}, *run[] = {f->file, NULL};
    posix_spawn_file_actions_t actions;
    pid_t pid;
    int input[2], status;

    assert_int_equal(posix_spawnp(&pid, "cp", NULL, NULL, copy, environ), 0);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
    assert_int_equal(chmod(f->file, 0700), 0);
    assert_int_equal(pipe2(input, O_CLOEXEC), 0);
    assert_int_equal(posix_spawn_file_actions_init(&actions), 0);
    assert_int_equal(posix_spawn_file_actions_adddup2(&actions, input[0], 0), 0);
    assert_int_equal(posix_spawn(&pid, f->file, &actions, NULL, run, environ), 0); /* returns behind execve */
    (void)posix_spawn_file_actions_destroy(&actions);
    (void)close(input[0]);
    pl_watch_key key = watch_file(f, f->file);
    replace(f, f->file);
    assert_int_equal(read_all(f), 1);
    assert_int_equal(count(f, PL_WATCH_TOUCHED, &key), 1);
    assert_true(pl_watcher_has(f->watcher, &key));
    (void)close(input[1]);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
    /* Somebody else on this machine may look at that process, and so hold its file for a moment. */
    while (pl_watcher_has(f->watcher, &key)) {
        struct pollfd p = {.fd = pl_watcher_fd(f->watcher), .events = POLLIN};
        assert_int_equal(poll(&p, 1, 60000), 1);
        (void)read_all(f);
    }
    assert_int_equal(count(f, PL_WATCH_GONE, &key), 1);
}

static void test_a_folder_tells_what_appears_in_it(void **state)
{
    fixture *f = *state;
    char *folder = pl_temp_path(f->dir, "folder"), *made = pl_temp_path(folder, "made"),
         *moved = pl_temp_path(folder, "moved in"), *below = pl_temp_path(folder, "below"), longest[256];

    assert_int_equal(mkdir(folder, 0700), 0);
    assert_int_equal(add_path(f, folder, PL_WATCH_FOLDER), PL_WATCH_ADDED);
    pl_watch_key key = key_at(folder);
    (void)close(open_at(made, O_WRONLY | O_CREAT));
    assert_int_equal(rename(f->file, moved), 0);
    assert_int_equal(mkdir(below, 0700), 0);
    memset(longest, 'n', 255);
    longest[255] = '\0';
    char *path = pl_temp_path(folder, longest);
    (void)close(open_at(path, O_WRONLY | O_CREAT));
    assert_int_equal(read_all(f), 4);
    assert_int_equal(count(f, PL_WATCH_ENTRY, &key), 4);
    assert_string_equal(f->said[0].name, "made");
    assert_string_equal(f->said[1].name, "moved in");
    assert_string_equal(f->said[2].name, "below");
    assert_string_equal(f->said[3].name, longest);
    free(path);
    free(below);
    free(moved);
    free(made);
    free(folder);
}

static void test_a_folder_tells_nothing_of_what_happens_to_its_files(void **state)
{
    fixture *f = *state;

    assert_int_equal(add_path(f, f->dir, PL_WATCH_FOLDER), PL_WATCH_ADDED);
    append(f->file);
    assert_int_equal(chmod(f->file, 0600), 0);
    assert_int_equal(unlink(f->file), 0);
    assert_int_equal(read_all(f), 0);
    assert_int_equal(stats_of(f).watches, 1);
}

static void test_the_end_of_a_folder_is_told(void **state)
{
    fixture *f = *state;
    char *folder = pl_temp_path(f->dir, "folder"), *moved = pl_temp_path(f->dir, "moved");

    assert_int_equal(mkdir(folder, 0700), 0);
    assert_int_equal(add_path(f, folder, PL_WATCH_FOLDER), PL_WATCH_ADDED);
    pl_watch_key key = key_at(folder);
    assert_int_equal(rename(folder, moved), 0);
    assert_int_equal(read_all(f), 1);
    assert_int_equal(count(f, PL_WATCH_TOUCHED, &key), 1);
    assert_int_equal(rmdir(moved), 0);
    (void)read_all(f);
    assert_int_equal(count(f, PL_WATCH_GONE, &key), 1);
    assert_false(pl_watcher_has(f->watcher, &key));
    free(moved);
    free(folder);
}

static void test_a_kind_that_does_not_fit_cannot_be_watched(void **state)
{
    fixture *f = *state;

    assert_int_equal(add_path(f, f->dir, PL_WATCH_FILE), PL_WATCH_CANNOT);
    assert_int_equal(add_path(f, f->file, PL_WATCH_FOLDER), PL_WATCH_CANNOT);
    assert_int_equal(stats_of(f).refused, 0);
    assert_int_equal(kernel_watches(pl_watcher_fd(f->watcher)), 0);
}

static void test_many_writes_are_few_events_also_beside_a_folder_watch(void **state)
{
    fixture *f = *state;

    assert_int_equal(add_path(f, f->dir, PL_WATCH_FOLDER), PL_WATCH_ADDED);
    pl_watch_key key = watch_file(f, f->file);
    int fd = open_at(f->file, O_RDWR);
    for (int i = 0; i < 100000; i++)
        assert_int_equal(pwrite(fd, "z", 1, 0), 1);
    (void)close(fd);
    assert_in_range(read_all(f), 1, 3);
    assert_int_equal(count(f, PL_WATCH_TOUCHED, &key), f->n);
}

static void test_an_overflow_is_told_and_then_it_works_again(void **state)
{
    fixture *f = *state;
    unsigned limit = max_queued_events();
    pl_watch_key key = watch_file(f, f->file), other = watch_file(f, f->other);

    make_events(f, limit + 3616); /* 20,000 as a rule */
    assert_int_equal(read_all(f), limit + 1);
    assert_int_equal(stats_of(f).overflows, 1);
    assert_int_equal(stats_of(f).watches, 2);
    assert_true(pl_watcher_has(f->watcher, &key) && pl_watcher_has(f->watcher, &other));
    assert_false(readable(f));
    append(f->other);
    assert_true(read_all(f) > 0);
    assert_int_equal(count(f, PL_WATCH_TOUCHED, &other), f->n);
    assert_int_equal(stats_of(f).renewals, 0);
}

static void hook_count_ends(fixture *f, const pl_watch_event *event)
{
    said *all = f->hook_data; /* LOST, then what followed */

    if (event->what == PL_WATCH_LOST || event->what == PL_WATCH_GONE)
        for (int i = 0; i < 4; i++)
            if (all[i].name[0] == '\0') {
                all[i] = (said){.what = event->what, .key = event->key, .name = "taken"};
                return;
            }
}

static void test_an_end_that_an_overflow_swallowed_is_found(void **state)
{
    fixture *f = *state;
    said ends[4] = {0};
    char *early = pl_temp_path(f->dir, "early"), *late = pl_temp_path(f->dir, "late"),
         *unwanted = pl_temp_path(f->dir, "unwanted");

    pl_temp_write(early, "", 0, 0600);
    pl_temp_write(late, "", 0, 0600);
    pl_temp_write(unwanted, "", 0, 0600);
    pl_watch_key key = watch_file(f, f->file), other = watch_file(f, f->other), key_early = watch_file(f, early),
                 key_late = watch_file(f, late), key_unwanted = watch_file(f, unwanted);
    assert_int_equal(unlink(early), 0);
    make_events(f, max_queued_events());
    assert_int_equal(unlink(late), 0);
    assert_int_equal(unlink(unwanted), 0);
    assert_true(pl_watcher_remove(f->watcher, &key_unwanted));
    f->hook = hook_count_ends;
    f->hook_data = ends;
    assert_true(read_all(f) > 0);
    assert_int_equal(ends[0].what, PL_WATCH_GONE); /* before the overflow, by its own event */
    assert_true(same_key(&ends[0].key, &key_early));
    assert_int_equal(ends[1].what, PL_WATCH_LOST);
    assert_int_equal(ends[2].what, PL_WATCH_GONE);
    assert_true(same_key(&ends[2].key, &key_late));
    assert_string_equal(ends[3].name, "");
    assert_true(pl_watcher_has(f->watcher, &key) && pl_watcher_has(f->watcher, &other));
    assert_false(pl_watcher_has(f->watcher, &key_late));
    assert_int_equal(stats_of(f).watches, 2);
    assert_int_equal(stats_of(f).dead, 3);
    free(unwanted);
    free(late);
    free(early);
}

static void test_an_unmount_ends_a_watch_once(void **state)
{
    fixture *f = *state;
    char *folder = pl_temp_path(f->dir, "mount"), *file = pl_temp_path(folder, "file");

    assert_int_equal(mkdir(folder, 0700), 0);
    if (!pl_own_mounts(folder) || mount("none", folder, "tmpfs", 0, NULL) != 0) {
        print_message("no mounts of our own: %s\n", strerror(errno));
        pl_own_mounts_end(folder);
        free(file);
        free(folder);
        skip();
    }
    pl_temp_write(file, "x", 1, 0600);
    pl_watch_key key = watch_file(f, file);
    assert_int_equal(umount(folder), 0); /* a watch does not hold the mount */
    assert_int_equal(read_all(f), 1);
    assert_int_equal(count(f, PL_WATCH_GONE, &key), 1);
    assert_false(pl_watcher_has(f->watcher, &key));
    assert_int_equal(read_all(f), 0);
    pl_own_mounts_end(folder);
    free(file);
    free(folder);
}

/* ---- inode numbers ---- */

static void test_an_inode_number_that_is_used_again_is_watched_again(void **state)
{
    fixture *f = *state;
    pl_identity first = identity_at(f->file), second = first;
    pl_watch_key key = pl_watch_key_of(&first);

    if (first.btime_ns == 0) {
        print_message("no birth times here\n");
        skip();
    }
    second.btime_ns++; /* what another file of that number has */
    assert_int_equal(add_as(f, f->file, &first, PL_WATCH_FILE), PL_WATCH_ADDED);
    assert_int_equal(unlink(f->file), 0);
    assert_int_equal(add_as(f, f->other, &second, PL_WATCH_FILE), PL_WATCH_ADDED);
    assert_int_equal(f->n, 0); /* adding delivers nothing */
    assert_int_equal(stats_of(f).watches, 1);
    assert_int_equal(stats_of(f).dead, 1);
    /* The events of the first one are not lost, but it is not told that the watch has ended: there is one. */
    assert_int_equal(read_all(f), 3); /* ATTRIB, DELETE_SELF, IGNORED */
    assert_int_equal(count(f, PL_WATCH_TOUCHED, &key), f->n);
    assert_true(pl_watcher_has(f->watcher, &key));
    assert_int_equal(stats_of(f).dead, 1);
    append(f->other);
    assert_true(read_all(f) > 0);
    assert_int_equal(count(f, PL_WATCH_TOUCHED, &key), f->n);
    assert_int_equal(unlink(f->other), 0);
    (void)read_all(f);
    assert_int_equal(count(f, PL_WATCH_GONE, &key), 1);
    assert_int_equal(stats_of(f).dead, 2);
    assert_int_equal(stats_of(f).watches, 0);
}

static void test_the_next_inode_of_a_number_on_a_real_file_system(void **state)
{
    fixture *f = *state;
    pl_identity first = identity_at(f->file), second;

    (void)watch_file(f, f->file);
    assert_int_equal(unlink(f->file), 0);
    for (int i = 0; i < 100; i++) {
        pl_temp_write(f->file, "again", 5, 0600);
        second = identity_at(f->file);
        if (second.inode == first.inode && second.btime_ns != first.btime_ns && first.btime_ns)
            break;
        assert_int_equal(unlink(f->file), 0);
        second.inode = 0;
    }
    if (second.inode != first.inode) {
        print_message("the inode number was not used again in 100 tries\n");
        skip();
    }
    pl_watch_key key = watch_file(f, f->file);
    (void)read_all(f);
    assert_int_equal(count(f, PL_WATCH_GONE, NULL), 0);
    assert_true(pl_watcher_has(f->watcher, &key));
    append(f->file);
    assert_true(read_all(f) > 0);
    assert_int_equal(count(f, PL_WATCH_TOUCHED, &key), f->n);
}

static void test_without_a_birth_time_it_is_the_same_inode_until_told_otherwise(void **state)
{
    fixture *f = *state;
    pl_identity identity = identity_at(f->file);
    pl_watch_key key = pl_watch_key_of(&identity);

    identity.btime_ns = 0;
    assert_int_equal(add_as(f, f->file, &identity, PL_WATCH_FILE), PL_WATCH_ADDED);
    assert_int_equal(add_path(f, f->file, PL_WATCH_FILE), PL_WATCH_ADDED);
    assert_int_equal(stats_of(f).added, 1);
    assert_int_equal(unlink(f->file), 0);
    assert_int_equal(add_as(f, f->other, &identity, PL_WATCH_FILE), PL_WATCH_ADDED);
    assert_int_equal(stats_of(f).added, 1);
    (void)read_all(f);
    assert_int_equal(count(f, PL_WATCH_GONE, &key), 1);
    assert_false(pl_watcher_has(f->watcher, &key));
    assert_int_equal(add_as(f, f->other, &identity, PL_WATCH_FILE), PL_WATCH_ADDED);
    append(f->other);
    assert_true(read_all(f) > 0);
}

static void test_another_birth_time_of_a_living_inode_changes_nothing(void **state)
{
    fixture *f = *state;
    pl_identity identity = identity_at(f->file);
    pl_watch_key key = watch_file(f, f->file);

    for (int i = 0; i < 3; i++) {
        identity.btime_ns += 1000;
        assert_int_equal(add_as(f, f->file, &identity, PL_WATCH_FILE), PL_WATCH_ADDED);
    }
    assert_int_equal(stats_of(f).watches, 1);
    assert_int_equal(stats_of(f).dead, 0);
    assert_int_equal(kernel_watches(pl_watcher_fd(f->watcher)), 1);
    append(f->file);
    assert_true(read_all(f) > 0);
    assert_int_equal(count(f, PL_WATCH_TOUCHED, &key), f->n);
    assert_true(pl_watcher_remove(f->watcher, &key));
    assert_int_equal(kernel_watches(pl_watcher_fd(f->watcher)), 0);
}

void __lsan_disable(void) __attribute__((weak));
void __lsan_enable(void) __attribute__((weak));

static void lsan_off(void)
{
    if (__lsan_disable)
        __lsan_disable();
}

static void lsan_on(void)
{
    if (__lsan_enable)
        __lsan_enable();
}

/* again: also where the kernel does not refuse to watch an inode twice. */
static void one_inode_two_keys(fixture *f, bool again)
{
    pl_identity identity = identity_at(f->file);
    pl_watch_key key = watch_file(f, f->file);

    identity.inode += 1000000;
    pl_watch_key wrong = pl_watch_key_of(&identity);
    library.add_again = again;
    lsan_off(); /* the library leaks the second record, which is why it is not made outside of this test */
    assert_int_equal(add_as(f, f->file, &identity, PL_WATCH_FILE), PL_WATCH_CANNOT);
    lsan_on();
    assert_false(pl_watcher_has(f->watcher, &wrong));
    assert_true(pl_watcher_has(f->watcher, &key));
    assert_int_equal(stats_of(f).watches, 1);
    assert_int_equal(stats_of(f).dead, again);
    append(f->file);
    assert_true(read_all(f) > 0);
    assert_int_equal(count(f, PL_WATCH_TOUCHED, &key), f->n);
    assert_true(pl_watcher_remove(f->watcher, &key));
    assert_int_equal(kernel_watches(pl_watcher_fd(f->watcher)), 0);
}

static void test_an_inode_of_another_key_is_left_alone(void **state)
{
    one_inode_two_keys(*state, false);
}

static void test_a_watch_descriptor_of_another_key_is_left_alone(void **state)
{
    one_inode_two_keys(*state, true);
}

/* ---- what can be watched ---- */

static void test_an_unlinked_file_is_watched_by_its_descriptor(void **state)
{
    fixture *f = *state;
    pl_identity identity = identity_at(f->file);
    pl_watch_key key = pl_watch_key_of(&identity);
    int fd = open_at(f->file, O_RDWR);

    assert_int_equal(unlink(f->file), 0);
    assert_int_equal(pl_watcher_add(f->watcher, fd, &identity, PL_WATCH_FILE), PL_WATCH_ADDED);
    assert_int_equal(write(fd, "x", 1), 1);
    assert_int_equal(read_all(f), 1);
    assert_int_equal(count(f, PL_WATCH_TOUCHED, &key), 1);
    (void)close(fd);
    (void)read_all(f);
    assert_int_equal(count(f, PL_WATCH_GONE, &key), 1);
}

static void test_a_symbolic_link_itself_is_watched(void **state)
{
    fixture *f = *state;
    char *name = pl_temp_path(f->dir, "link"), *next = pl_temp_path(f->dir, "next");

    assert_int_equal(symlink("file", name), 0);
    pl_watch_key key = watch_file(f, name); /* O_PATH | O_NOFOLLOW */
    append(f->file);
    assert_int_equal(read_all(f), 0);
    assert_int_equal(symlink("other", next), 0);
    assert_int_equal(rename(next, name), 0);
    assert_true(read_all(f) > 0);
    assert_int_equal(count(f, PL_WATCH_GONE, &key), 1);
    free(next);
    free(name);
}

static void test_a_closed_descriptor_cannot_be_watched(void **state)
{
    fixture *f = *state;
    pl_identity identity = identity_at(f->file);

    assert_int_equal(pl_watcher_add(f->watcher, 1000, &identity, PL_WATCH_FILE), PL_WATCH_CANNOT);
    assert_int_equal(pl_watcher_add(f->watcher, -1, &identity, PL_WATCH_FILE), PL_WATCH_CANNOT);
    assert_int_equal(stats_of(f).refused, 0);
    assert_int_equal(f->logged, 0);
}

static void test_what_the_kernel_refuses(void **state)
{
    static const int refused[] = {ENOSPC, ENOMEM, EMFILE}, cannot[] = {EACCES, ENOENT, EINVAL, EEXIST, EIO};
    fixture *f = *state;

    for (size_t i = 0; i < sizeof(refused) / sizeof(*refused); i++) {
        library.add_error = refused[i];
        assert_int_equal(add_path(f, f->file, PL_WATCH_FILE), PL_WATCH_REFUSED);
        assert_int_equal(stats_of(f).refused, i + 1);
        assert_int_equal(f->logged, 1); /* once */
    }
    for (size_t i = 0; i < sizeof(cannot) / sizeof(*cannot); i++) {
        library.add_error = cannot[i];
        assert_int_equal(add_path(f, f->file, PL_WATCH_FILE), PL_WATCH_CANNOT);
        assert_int_equal(stats_of(f).refused, 3);
    }
    assert_non_null(strstr(f->line, "max_user_watches"));
    library.add_error = 0;
    assert_int_equal(stats_of(f).watches, 0);
    assert_int_equal(add_path(f, f->file, PL_WATCH_FILE), PL_WATCH_ADDED);
    assert_int_equal(f->logged, 1);
}

static void test_our_own_limit(void **state)
{
    fixture *f = *state;

    restart(f, 2, 0);
    pl_watch_key key = watch_file(f, f->file);
    (void)watch_file(f, f->other);
    assert_int_equal(add_path(f, f->dir, PL_WATCH_FOLDER), PL_WATCH_REFUSED);
    assert_int_equal(add_path(f, f->file, PL_WATCH_FILE), PL_WATCH_ADDED); /* there already */
    assert_int_equal(stats_of(f).refused, 1);
    assert_int_equal(f->logged, 1);
    assert_true(pl_watcher_remove(f->watcher, &key));
    assert_int_equal(add_path(f, f->dir, PL_WATCH_FOLDER), PL_WATCH_ADDED);
    assert_int_equal(add_path(f, f->file, PL_WATCH_FILE), PL_WATCH_REFUSED);
    assert_int_equal(stats_of(f).watches, 2);
}

/* ---- removing ---- */

static void test_who_removes_a_watch_hears_no_more_of_it(void **state)
{
    fixture *f = *state;
    size_t heap = 0;

    for (int i = 0; i < 1000; i++) {
        if (i == 100)
            heap = mallinfo2().uordblks;
        pl_watch_key key = watch_file(f, f->file);
        assert_true(pl_watcher_remove(f->watcher, &key));
        assert_false(pl_watcher_has(f->watcher, &key));
        assert_false(pl_watcher_remove(f->watcher, &key));
        append(f->file);
        assert_int_equal(read_all(f), 0);
    }
    assert_int_equal(stats_of(f).watches, 0);
    assert_int_equal(stats_of(f).dead, 0); /* these records the library frees */
    assert_true(mallinfo2().uordblks < heap + 4096);
    assert_int_equal(stats_of(f).added, 1000);
    assert_int_equal(kernel_watches(pl_watcher_fd(f->watcher)), 0);
}

static void test_pending_events_of_a_removed_watch_are_dropped(void **state)
{
    fixture *f = *state;
    pl_watch_key key = watch_file(f, f->file), other = watch_file(f, f->other);

    append(f->file);
    append(f->other);
    assert_true(pl_watcher_remove(f->watcher, &key));
    assert_false(pl_watcher_has(f->watcher, &key));
    assert_int_equal(stats_of(f).watches, 1);
    assert_true(read_all(f) > 0);
    assert_int_equal(count(f, PL_WATCH_TOUCHED, &other), f->n);
    assert_int_equal(kernel_watches(pl_watcher_fd(f->watcher)), 1);
    assert_int_equal(read_all(f), 0);
    assert_int_equal(stats_of(f).dead, 0);
}

/* stderr of what happens in between, as a number of bytes. */
static int stderr_to_file(const fixture *f)
{
    char *path = pl_temp_path(f->dir, "stderr");
    int saved = fcntl(2, F_DUPFD_CLOEXEC, 3), fd = open_at(path, O_RDWR | O_CREAT | O_TRUNC);

    assert_true(saved >= 0 && dup2(fd, 2) == 2);
    (void)close(fd);
    free(path);
    return saved;
}

static off_t stderr_back(int saved)
{
    struct stat s;

    assert_int_equal(fstat(2, &s), 0);
    assert_int_equal(dup2(saved, 2), 2);
    (void)close(saved);
    return s.st_size;
}

static void hook_remove(fixture *f, const pl_watch_event *event)
{
    (void)pl_watcher_remove(f->watcher, &event->key);
}

static void test_removing_what_has_just_ended_is_quiet(void **state)
{
    fixture *f = *state;
    pl_watch_key key = watch_file(f, f->file), other = watch_file(f, f->other);

    int saved = stderr_to_file(f);
    replace(f, f->other);
    bool removed = pl_watcher_remove(f->watcher, &other); /* its end is in the queue */
    replace(f, f->file);
    f->hook = hook_remove; /* its end is in the library's buffer */
    int n = read_all(f);
    off_t bytes = stderr_back(saved);
    assert_true(removed);
    assert_int_equal(n, 1);
    assert_int_equal(count(f, PL_WATCH_TOUCHED, &key), 1);
    assert_int_equal(bytes, 0);
    assert_int_equal(stats_of(f).dead, 2);
    assert_int_equal(stats_of(f).watches, 0);
    f->hook = NULL;
    (void)watch_file(f, f->file);
    assert_int_equal(read_all(f), 0);
}

static void hook_remove_and_add(fixture *f, const pl_watch_event *event)
{
    if (!pl_watcher_remove(f->watcher, &event->key))
        return;
    assert_false(pl_watcher_has(f->watcher, &event->key));
    assert_int_equal(add_path(f, f->file, PL_WATCH_FILE), PL_WATCH_ADDED);
}

static void test_a_watch_that_is_wanted_again_at_once_stands(void **state)
{
    fixture *f = *state;
    pl_watch_key key = watch_file(f, f->file);

    append(f->file);
    f->hook = hook_remove_and_add;
    assert_true(read_all(f) > 0);
    f->hook = NULL;
    assert_true(pl_watcher_has(f->watcher, &key));
    assert_int_equal(stats_of(f).watches, 1);
    assert_int_equal(stats_of(f).added, 1);
    append(f->file);
    assert_true(read_all(f) > 0);
    assert_int_equal(count(f, PL_WATCH_TOUCHED, &key), f->n);
}

/* ---- the callback ---- */

static void hook_watch_entry(fixture *f, const pl_watch_event *event)
{
    if (event->what == PL_WATCH_ENTRY) {
        char *path = pl_temp_path(f->dir, event->name);
        pl_watch_key key = watch_file(f, path);
        append(path);
        assert_true(pl_watcher_has(f->watcher, &key));
        free(path);
    } else if (event->what == PL_WATCH_TOUCHED) {
        assert_true(pl_watcher_remove(f->watcher, &event->key)); /* no second event comes of it */
    }
}

static void test_the_callback_adds_and_removes(void **state)
{
    fixture *f = *state;
    char name[16];

    assert_int_equal(add_path(f, f->dir, PL_WATCH_FOLDER), PL_WATCH_ADDED);
    for (int i = 0; i < 50; i++) {
        (void)snprintf(name, sizeof(name), "new%d", i);
        char *path = pl_temp_path(f->dir, name);
        pl_temp_write(path, "", 0, 0600);
        free(path);
    }
    f->hook = hook_watch_entry;
    assert_int_equal(read_all(f), 100);
    assert_int_equal(count(f, PL_WATCH_ENTRY, NULL), 50);
    assert_int_equal(count(f, PL_WATCH_TOUCHED, NULL), 50);
    assert_int_equal(stats_of(f).watches, 1);
    assert_int_equal(stats_of(f).dead, 0);
    assert_int_equal(kernel_watches(pl_watcher_fd(f->watcher)), 1);
}

static void hook_read(fixture *f, const pl_watch_event *event)
{
    (void)event;
    assert_int_equal(pl_watcher_read(f->watcher, NULL, NULL), PL_ERR_INVALID);
}

static void test_the_callback_cannot_read(void **state)
{
    fixture *f = *state;

    (void)watch_file(f, f->file);
    append(f->file);
    f->hook = hook_read;
    assert_true(read_all(f) > 0);
    append(f->file);
    assert_true(pl_watcher_read(f->watcher, NULL, NULL) > 0); /* without a callback they are dropped */
    assert_false(readable(f));
}

/* Three more events for each one: the queue is never empty. */
static void hook_flood(fixture *f, const pl_watch_event *event)
{
    if (event->what == PL_WATCH_TOUCHED)
        make_events(f, 2);
}

static void flood(fixture *f)
{
    (void)watch_file(f, f->file);
    (void)watch_file(f, f->other);
    append(f->file);
    f->hook = hook_flood;
    int n = read_all(f);
    f->hook = NULL;
    assert_in_range(n, 4096, 8 * 4096); /* 64 KiB of events are 4,096 */
    assert_true(readable(f));
}

static void test_a_flood_does_not_hold_the_reader(void **state)
{
    fixture *f = *state;

    flood(f);
    assert_true(read_all(f) > 0); /* the rest */
    assert_false(readable(f));
    assert_int_equal(read_all(f), 0);
    assert_int_equal(stats_of(f).overflows, 0);
}

/* ---- the instance ---- */

static void test_the_descriptor_is_found_and_set_up(void **state)
{
    fixture *f = *state;
    int before[2] = {inotify_init1(IN_CLOEXEC), inotify_init1(IN_CLOEXEC)};
    char event[sizeof(struct inotify_event)];

    assert_true(before[0] >= 0 && before[1] >= 0);
    start(f, 0, 0); /* there are others in the process already */
    int fd = pl_watcher_fd(f->watcher);
    assert_true(fd >= 0 && fd != before[0] && fd != before[1]);
    assert_int_equal(fcntl(fd, F_GETFD), FD_CLOEXEC);
    assert_true(fcntl(fd, F_GETFL) & O_NONBLOCK);
    pl_watch_key key = watch_file(f, f->file);
    assert_int_equal(kernel_watches(fd), 1);
    assert_int_equal(inotify_add_watch(before[0], f->file, IN_MODIFY), 1);
    append(f->file);
    assert_true(read_all(f) > 0);
    assert_int_equal(count(f, PL_WATCH_TOUCHED, &key), f->n);
    assert_int_equal(read(before[0], event, sizeof(event)), sizeof(event)); /* theirs is theirs */
    (void)close(before[0]);
    (void)close(before[1]);
}

static void test_a_second_watcher_is_busy(void **state)
{
    fixture *f = *state;
    pl_watcher_options options = {.log = &f->log};
    pl_watcher *second = (pl_watcher *)f;

    assert_int_equal(pl_watcher_new(&options, &second), PL_ERR_BUSY);
    assert_ptr_equal(second, f);
    (void)watch_file(f, f->file);
    append(f->file);
    assert_true(read_all(f) > 0);
    restart(f, 0, 0);
    assert_int_equal(stats_of(f).watches, 0);
    assert_null(pl_watcher_free(NULL));
}

static unsigned names_seen;
static char *names[4096];

static void remember_name(const char *path)
{
    assert_true(names_seen < 4096);
    names[names_seen] = strdup(path);
    assert_non_null(names[names_seen++]);
}

static int by_text(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static void test_no_name_is_used_twice_and_all_are_short(void **state)
{
    fixture *f = *state;
    size_t longest = 0;

    names_seen = 0;
    library.on_add = remember_name;
    for (int i = 0; i < 4096; i++) {
        pl_watch_key key = watch_file(f, i % 2 ? f->file : f->other);
        assert_true(pl_watcher_remove(f->watcher, &key));
        assert_int_equal(read_all(f), 0);
    }
    library.on_add = NULL;
    qsort(names, names_seen, sizeof(*names), by_text);
    for (unsigned i = 0; i < names_seen; i++) {
        assert_true(i == 0 || strcmp(names[i - 1], names[i]) != 0);
        longest = strlen(names[i]) > longest ? strlen(names[i]) : longest;
    }
    for (unsigned i = 0; i < names_seen; i++)
        free(names[i]);
    assert_int_equal(names_seen, 4096);
    assert_true(longest < 50);
}

static void test_events_of_a_past_instance_reach_nobody(void **state)
{
    fixture *f = *state;

    flood(f); /* leaves events in the library's own buffer, for its watches 1 and 2 */
    restart(f, 0, 0);
    pl_watch_key key = watch_file(f, f->other);
    (void)watch_file(f, f->file);
    assert_false(readable(f));
    assert_int_equal(read_all(f), 0);
    append(f->other);
    assert_true(read_all(f) > 0);
    assert_int_equal(count(f, PL_WATCH_TOUCHED, &key), f->n);
}

static void write_meanwhile(void *context)
{
    const fixture *f = context;

    if (library.selects < 1000)
        make_events(f, 2);
}

static void test_an_instance_ends_however_fast_events_come_in(void **state)
{
    fixture *f = *state;

    (void)watch_file(f, f->file);
    (void)watch_file(f, f->other);
    make_events(f, 2);
    library.on_select = write_meanwhile;
    library.context = f;
    library.selects = 0;
    f->watcher = pl_watcher_free(f->watcher);
    library.on_select = NULL;
    assert_int_equal(library.selects, 1); /* it looks once more at nothing */
}

static void test_too_many_dead_records_renew_the_instance(void **state)
{
    fixture *f = *state;

    restart(f, 0, 3);
    pl_watch_key other = watch_file(f, f->other);
    for (int i = 0; i < 4; i++) {
        (void)watch_file(f, f->file);
        replace(f, f->file);
        if (i == 3)
            append(f->other);
        (void)read_all(f);
        assert_int_equal(count(f, PL_WATCH_RENEWED, NULL), i == 3);
        assert_int_equal(stats_of(f).dead, i == 3 ? 0 : i + 1);
    }
    assert_int_equal(f->said[f->n - 1].what, PL_WATCH_RENEWED); /* behind all events of the old one */
    assert_true(count(f, PL_WATCH_TOUCHED, &other) > 0);
    assert_int_equal(stats_of(f).renewals, 1);
    assert_int_equal(stats_of(f).watches, 0);
    assert_false(pl_watcher_has(f->watcher, &other));
    int fd = pl_watcher_fd(f->watcher);
    assert_int_equal(fcntl(fd, F_GETFD), FD_CLOEXEC);
    assert_true(fcntl(fd, F_GETFL) & O_NONBLOCK);
    append(f->other);
    assert_int_equal(read_all(f), 0);
    (void)watch_file(f, f->other);
    assert_int_equal(read_all(f), 0);
    append(f->other);
    assert_true(read_all(f) > 0);
    assert_int_equal(count(f, PL_WATCH_TOUCHED, &other), f->n);
}

static void test_more_live_watches_allow_more_dead_records(void **state)
{
    fixture *f = *state;

    restart(f, 0, 1);
    (void)watch_file(f, f->other);
    assert_int_equal(add_path(f, f->dir, PL_WATCH_FOLDER), PL_WATCH_ADDED);
    for (int i = 0; i < 3; i++) {
        (void)watch_file(f, f->file);
        replace(f, f->file);
        (void)read_all(f);
        assert_int_equal(count(f, PL_WATCH_RENEWED, NULL), i == 2);
    }
}

static void hook_flood_and_end(fixture *f, const pl_watch_event *event)
{
    hook_flood(f, event);
    if (event->what == PL_WATCH_GONE)
        make_events(f, 2);
}

static void test_a_renewal_amid_a_flood_leaves_nothing_behind(void **state)
{
    fixture *f = *state;
    char *gone[2] = {pl_temp_path(f->dir, "gone0"), pl_temp_path(f->dir, "gone1")};

    restart(f, 0, 1);
    for (int i = 0; i < 2; i++) {
        pl_temp_write(gone[i], "", 0, 0600);
        (void)watch_file(f, gone[i]);
    }
    (void)watch_file(f, f->file);
    assert_int_equal(unlink(gone[0]), 0);
    assert_int_equal(unlink(gone[1]), 0);
    f->hook = hook_flood_and_end;
    (void)watch_file(f, f->other);
    append(f->file);
    while (stats_of(f).renewals == 0) { /* two dead and two live ones: the third does it */
        pl_temp_write(gone[0], "", 0, 0600);
        (void)watch_file(f, gone[0]);
        assert_int_equal(unlink(gone[0]), 0);
        assert_true(read_all(f) > 4000);
    }
    f->hook = NULL;
    assert_false(readable(f));
    (void)watch_file(f, f->file);
    (void)watch_file(f, f->other);
    assert_int_equal(read_all(f), 0);
    free(gone[0]);
    free(gone[1]);
}

static void end_one(fixture *f)
{
    (void)watch_file(f, f->file);
    replace(f, f->file);
    (void)read_all(f);
}

static void check_down(fixture *f)
{
    assert_int_equal(count(f, PL_WATCH_RENEWED, NULL), 1); /* that no watch stands is told at once */
    assert_int_equal(pl_watcher_fd(f->watcher), -1);
    assert_int_equal(stats_of(f).renewals, 0);
    assert_int_equal(stats_of(f).watches, 0);
    assert_int_equal(f->logged, 1);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(read_all(f), 0);
        assert_int_equal(pl_watcher_fd(f->watcher), -1);
    }
    assert_int_equal(f->logged, 1);
}

static void check_up_again(fixture *f)
{
    assert_int_equal(read_all(f), 1);
    assert_int_equal(count(f, PL_WATCH_RENEWED, NULL), 1);
    assert_true(pl_watcher_fd(f->watcher) >= 0);
    assert_int_equal(stats_of(f).renewals, 1);
    pl_watch_key key = watch_file(f, f->file);
    append(f->file);
    assert_true(read_all(f) > 0);
    assert_int_equal(count(f, PL_WATCH_TOUCHED, &key), f->n);
}

static void test_a_renewal_that_fails_is_tried_again(void **state)
{
    fixture *f = *state;

    restart(f, 0, 1);
    end_one(f);
    pl_watch_key other = watch_file(f, f->other);
    library.init_error = EMFILE;
    end_one(f);
    check_down(f);
    assert_false(pl_watcher_has(f->watcher, &other));
    assert_false(pl_watcher_remove(f->watcher, &other));
    assert_int_equal(add_path(f, f->other, PL_WATCH_FILE), PL_WATCH_REFUSED);
    library.init_error = 0;
    check_up_again(f);
}

static void test_a_renewal_with_too_high_a_descriptor_is_tried_again(void **state)
{
    fixture *f = *state;
    struct rlimit limit;

    assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit), 0);
    if (limit.rlim_cur < 1100) {
        if (limit.rlim_max < 1100)
            skip();
        limit.rlim_cur = 1100;
        assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
    }
    restart(f, 0, 1);
    end_one(f);
    library.init_from = 1024;
    end_one(f);
    check_down(f);
    assert_non_null(strstr(f->line, "1024"));
    assert_int_equal(fcntl(1024, F_GETFD), -1); /* given back */
    library.init_from = 0;
    check_up_again(f);
}

static void test_without_descriptors_after_an_overflow_nothing_stands(void **state)
{
    fixture *f = *state;
    struct rlimit before, few;

    (void)watch_file(f, f->file);
    (void)watch_file(f, f->other);
    make_events(f, max_queued_events() + 1);
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
    few = before;
    few.rlim_cur = 3;
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &few), 0);
    f->n = 0;
    int n = pl_watcher_read(f->watcher, NULL, NULL); /* the kernel cannot be asked what it watches */
    int fd = pl_watcher_fd(f->watcher);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
    assert_int_equal(n, max_queued_events() + 2);
    assert_int_equal(fd, -1);
    assert_int_equal(stats_of(f).overflows, 1);
    assert_int_equal(stats_of(f).watches, 0);
    check_up_again(f);
}

static void test_a_record_that_the_library_could_not_keep_is_refused(void **state)
{
    fixture *f = *state;
    pl_watch_key key = key_at(f->file);

    library.no_record = true;
    assert_int_equal(add_path(f, f->file, PL_WATCH_FILE), PL_WATCH_REFUSED);
    library.no_record = false;
    assert_false(pl_watcher_has(f->watcher, &key));
    assert_int_equal(stats_of(f).dead, 1);
    append(f->file);
    assert_int_equal(read_all(f), 0); /* a watch of nobody */
    assert_int_equal(add_path(f, f->file, PL_WATCH_FILE), PL_WATCH_CANNOT);
    assert_int_equal(add_path(f, f->other, PL_WATCH_FILE), PL_WATCH_ADDED);
}

static void test_an_interrupted_read_goes_on(void **state)
{
    fixture *f = *state;
    pl_watch_key key = watch_file(f, f->file);

    append(f->file);
    library.select_error = EINTR;
    library.select_errors = 5;
    assert_true(read_all(f) > 0);
    assert_int_equal(count(f, PL_WATCH_TOUCHED, &key), f->n);
    assert_int_equal(library.select_errors, 0);
    assert_false(readable(f));
}

static void test_a_failed_read_is_said(void **state)
{
    fixture *f = *state;

    (void)watch_file(f, f->file);
    append(f->file);
    library.select_error = EBADF;
    library.select_errors = 1;
    assert_int_equal(read_all(f), PL_ERR_SYSTEM);
    assert_int_equal(f->n, 0);
    assert_true(read_all(f) > 0);
}

/* ---- in a child of our own, because the process is changed ---- */

#define CHECK(condition)                                                                                               \
    do {                                                                                                               \
        if (!(condition)) {                                                                                            \
            (void)fprintf(stderr, "line %d: %s\n", __LINE__, #condition);                                              \
            return 1;                                                                                                  \
        }                                                                                                              \
    } while (0)
#define CANNOT_HERE 77

static int in_child(fixture *f, int (*body)(fixture *f))
{
    int status;
    pid_t pid = fork();

    assert_true(pid >= 0);
    if (pid == 0)
        _exit(body(f));
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status));
    return WEXITSTATUS(status);
}

static void check_in_child(fixture *f, int (*body)(fixture *f))
{
    int status = in_child(f, body);

    if (status == CANNOT_HERE) {
        print_message("this machine does not allow it\n");
        skip();
    }
    assert_int_equal(status, 0);
}

static int with_full_descriptors(fixture *f)
{
    struct rlimit limit;
    pl_watcher_options options = {.log = &f->log};
    pl_watcher *watcher = NULL;
    int fd;

    CHECK(getrlimit(RLIMIT_NOFILE, &limit) == 0);
    if (limit.rlim_max < 2048)
        return CANNOT_HERE;
    limit.rlim_cur = 2048;
    CHECK(setrlimit(RLIMIT_NOFILE, &limit) == 0);
    do
        fd = dup(0);
    while (fd >= 0 && fd < 1023);
    CHECK(fd == 1023);
    CHECK(close(1000) == 0 && dup(0) == 1000);
    CHECK(pl_watcher_new(&options, &watcher) == PL_ERR_SYSTEM);
    CHECK(watcher == NULL);
    CHECK(strstr(pl_error_message(), "1024"));
    CHECK(fcntl(1024, F_GETFD) == -1 && fcntl(1025, F_GETFD) == -1); /* nothing is left open */
    CHECK(close(1023) == 0);
    CHECK(close(1000) == 0); /* quiet and inotify take one each */
    CHECK(pl_watcher_new(&options, &watcher) == 0);
    CHECK(pl_watcher_fd(watcher) == 1023);
    f->watcher = watcher;
    CHECK(add_path(f, f->file, PL_WATCH_FILE) == PL_WATCH_ADDED);
    append(f->file);
    CHECK(pl_watcher_read(watcher, NULL, NULL) > 0);
    (void)pl_watcher_free(watcher);
    return 0;
}

static void test_a_descriptor_of_1024_is_refused(void **state)
{
    check_in_child(*state, with_full_descriptors);
}

static bool set_limit(const char *name, int value)
{
    char path[64], text[16];

    (void)snprintf(path, sizeof(path), "/proc/sys/user/%s", name);
    int length = snprintf(text, sizeof(text), "%d", value), fd = open(path, O_WRONLY | O_CLOEXEC);
    bool done = fd >= 0 && write(fd, text, (size_t)length) == length;
    if (fd >= 0)
        (void)close(fd);
    return done;
}

static int with_few_watches(fixture *f)
{
    if (unshare(CLONE_NEWUSER) != 0 || !set_limit("max_inotify_watches", 1))
        return CANNOT_HERE;
    start(f, 0, 0);
    CHECK(add_path(f, f->file, PL_WATCH_FILE) == PL_WATCH_ADDED);
    CHECK(add_path(f, f->other, PL_WATCH_FILE) == PL_WATCH_REFUSED);
    CHECK(add_path(f, f->other, PL_WATCH_FILE) == PL_WATCH_REFUSED);
    CHECK(stats_of(f).refused == 2 && stats_of(f).watches == 1 && f->logged == 1);
    pl_watch_key key = key_at(f->file);
    CHECK(pl_watcher_remove(f->watcher, &key));
    CHECK(add_path(f, f->other, PL_WATCH_FILE) == PL_WATCH_ADDED);
    append(f->other);
    CHECK(pl_watcher_read(f->watcher, NULL, NULL) > 0);
    (void)pl_watcher_free(f->watcher);
    return 0;
}

static void test_the_kernels_limit_of_watches(void **state)
{
    check_in_child(*state, with_few_watches);
}

static int with_few_instances(fixture *f)
{
    pl_watcher_options options = {.log = &f->log};
    pl_watcher *watcher = NULL;

    if (unshare(CLONE_NEWUSER) != 0 || !set_limit("max_inotify_instances", 0))
        return CANNOT_HERE;
    CHECK(pl_watcher_new(&options, &watcher) == PL_ERR_SYSTEM);
    CHECK(watcher == NULL);
    CHECK(strstr(pl_error_message(), "inotify instance"));
    CHECK(set_limit("max_inotify_instances", 1));
    CHECK(pl_watcher_new(&options, &watcher) == 0);
    (void)pl_watcher_free(watcher);
    CHECK(pl_watcher_new(&options, &watcher) == 0); /* free gives it back */
    (void)pl_watcher_free(watcher);
    return 0;
}

static void test_the_kernels_limit_of_instances(void **state)
{
    check_in_child(*state, with_few_instances);
}

static int as_forked_child(fixture *f)
{
    pl_identity identity = identity_at(f->other);
    pl_watch_key key = key_at(f->file);
    pl_watcher_options options = {.log = &f->log};
    pl_watcher *watcher = NULL;
    int fd = open_at(f->other, O_PATH);

    CHECK(pl_watcher_read(f->watcher, NULL, NULL) == PL_ERR_INVALID);
    CHECK(pl_watcher_add(f->watcher, fd, &identity, PL_WATCH_FILE) == PL_ERR_INVALID);
    CHECK(!pl_watcher_remove(f->watcher, &key));
    CHECK(pl_watcher_free(f->watcher) == NULL);
    CHECK(pl_watcher_new(&options, &watcher) == PL_ERR_BUSY);
    return 0;
}

static void test_a_forked_child_takes_nothing_from_its_parent(void **state)
{
    fixture *f = *state;
    pl_watch_key key = watch_file(f, f->file);

    append(f->file);
    assert_int_equal(in_child(f, as_forked_child), 0);
    assert_true(read_all(f) > 0);
    assert_int_equal(count(f, PL_WATCH_TOUCHED, &key), f->n);
    append(f->file);
    assert_true(read_all(f) > 0);
    assert_int_equal(stats_of(f).watches, 1);
}

/* ---- memory ---- */

static void try_to_start(fixture *f, pl_fault_kind kind, int expected)
{
    pl_watcher_options options = {.log = &f->log};
    unsigned n;

    for (n = 1; pl_fault_arm(kind, n, ENOMEM); n++) {
        pl_watcher *watcher = (pl_watcher *)f;
        int rc = pl_watcher_new(&options, &watcher);
        bool fired = pl_fault_fired();
        pl_fault_disarm();
        if (!fired) {
            assert_int_equal(rc, 0);
            (void)pl_watcher_free(watcher);
            break;
        }
        assert_int_equal(rc, expected);
        assert_ptr_equal(watcher, f);
    }
    assert_true(n > 1);
}

static void test_every_failure_to_start_leaves_nothing(void **state)
{
    fixture *f = *state;
    int before = dup(0);

    (void)close(before);
    try_to_start(f, PL_FAULT_ALLOC, PL_ERR_NOMEM);
    try_to_start(f, PL_FAULT_OPEN, PL_ERR_SYSTEM);
    try_to_start(f, PL_FAULT_FCNTL, PL_ERR_SYSTEM);
    library.init_error = EMFILE;
    pl_watcher *watcher = NULL;
    assert_int_equal(pl_watcher_new(&(pl_watcher_options){.log = NULL}, &watcher), PL_ERR_SYSTEM);
    library.init_error = 0;
    int after = dup(0);
    (void)close(after);
    assert_int_equal(after, before); /* no descriptor is left open */
}

static void test_every_failure_to_add_leaves_nothing(void **state)
{
    fixture *f = *state;
    unsigned n;

    for (n = 1; pl_fault_arm(PL_FAULT_ALLOC, n, ENOMEM); n++) {
        int rc = add_path(f, f->file, PL_WATCH_FILE);
        bool fired = pl_fault_fired();
        pl_fault_disarm();
        if (!fired) {
            assert_int_equal(rc, PL_WATCH_ADDED);
            break;
        }
        if (rc == PL_WATCH_ADDED) { /* what failed was not needed */
            pl_watch_key key = key_at(f->file);
            assert_true(pl_watcher_remove(f->watcher, &key));
            continue;
        }
        assert_int_equal(rc, PL_ERR_NOMEM);
        assert_int_equal(stats_of(f).watches, 0);
        assert_int_equal(stats_of(f).dead, 0);
        assert_int_equal(kernel_watches(pl_watcher_fd(f->watcher)), 0);
        append(f->file);
        assert_int_equal(read_all(f), 0);
    }
    assert_true(n > 3);
}

static void test_a_failure_to_add_the_next_inode_keeps_the_first(void **state)
{
    fixture *f = *state;
    pl_identity first = identity_at(f->file), second = first;

    first.btime_ns = 1;
    second.btime_ns = 2;
    pl_watch_key key = pl_watch_key_of(&first);
    assert_int_equal(add_as(f, f->file, &first, PL_WATCH_FILE), PL_WATCH_ADDED);
    pl_fault_arm(PL_FAULT_ALLOC, 1, ENOMEM);
    int rc = add_as(f, f->other, &second, PL_WATCH_FILE);
    pl_fault_disarm();
    assert_int_equal(rc, PL_ERR_NOMEM);
    assert_int_equal(stats_of(f).watches, 1);
    append(f->other);
    assert_int_equal(read_all(f), 0);
    assert_int_equal(unlink(f->file), 0);
    (void)read_all(f);
    assert_int_equal(count(f, PL_WATCH_GONE, &key), 1);
}

static void test_a_hundred_thousand_replaced_files_cost_bounded_memory(void **state)
{
    fixture *f = *state;
    size_t most = 0, most_used = 0, before = mallinfo2().uordblks;
    uint64_t gone = 0, renewed = 0;

    for (int i = 0; i < 100000; i++) {
        (void)watch_file(f, f->file);
        replace(f, f->file);
        (void)read_all(f);
        gone += count(f, PL_WATCH_GONE, NULL);
        renewed += count(f, PL_WATCH_RENEWED, NULL);
        pl_watcher_stats stats = stats_of(f);
        most = stats.dead > most ? stats.dead : most;
        size_t used = mallinfo2().uordblks;
        most_used = used > most_used ? used : most_used;
    }
    size_t after = mallinfo2().uordblks;
    print_message("heap %zu before, at most %zu, %zu after; at most %zu dead records, %llu renewals\n", before,
                  most_used, after, most, (unsigned long long)renewed);
    assert_int_equal(gone, 100000);
    assert_int_equal(most, 4096);
    assert_int_equal(renewed, 100000 / 4097);
    assert_int_equal(stats_of(f).renewals, renewed);
    assert_true(most_used - before < 2 << 20); /* 0 where a sanitizer allocates */
    restart(f, 0, 0);
    after = mallinfo2().uordblks;
    assert_true(after < before + 4096);
}

static void test_many_watches_are_found_again(void **state)
{
    fixture *f = *state;
    pl_watch_key keys[2000];
    char name[16];

    for (int i = 0; i < 2000; i++) {
        (void)snprintf(name, sizeof(name), "f%d", i);
        char *path = pl_temp_path(f->dir, name);
        pl_temp_write(path, "", 0, 0600);
        keys[i] = watch_file(f, path);
        free(path);
    }
    assert_int_equal(stats_of(f).watches, 2000);
    for (int i = 0; i < 2000; i += 7) {
        (void)snprintf(name, sizeof(name), "f%d", i);
        char *path = pl_temp_path(f->dir, name);
        append(path);
        assert_true(read_all(f) > 0);
        assert_int_equal(count(f, PL_WATCH_TOUCHED, &keys[i]), f->n);
        free(path);
    }
    for (int i = 0; i < 2000; i++)
        assert_true(pl_watcher_remove(f->watcher, &keys[i]));
    assert_int_equal(stats_of(f).watches, 0);
    assert_int_equal(read_all(f), 0);
    assert_int_equal(kernel_watches(pl_watcher_fd(f->watcher)), 0);
}

#define WATCHED(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
#define FILES(name) cmocka_unit_test_setup_teardown(name, set_up_files, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        WATCHED(test_a_write_touches_its_file_alone),
        WATCHED(test_each_change_of_a_file_touches_it),
        WATCHED(test_reading_a_file_touches_nothing),
        WATCHED(test_a_write_through_a_hard_link_elsewhere_touches),
        WATCHED(test_a_rename_over_an_idle_file_ends_its_watch),
        WATCHED(test_a_rename_over_a_running_file_ends_its_watch_when_it_ends),
        WATCHED(test_a_folder_tells_what_appears_in_it),
        WATCHED(test_a_folder_tells_nothing_of_what_happens_to_its_files),
        WATCHED(test_the_end_of_a_folder_is_told),
        WATCHED(test_a_kind_that_does_not_fit_cannot_be_watched),
        WATCHED(test_many_writes_are_few_events_also_beside_a_folder_watch),
        WATCHED(test_an_overflow_is_told_and_then_it_works_again),
        WATCHED(test_an_end_that_an_overflow_swallowed_is_found),
        WATCHED(test_an_unmount_ends_a_watch_once),
        WATCHED(test_an_inode_number_that_is_used_again_is_watched_again),
        WATCHED(test_the_next_inode_of_a_number_on_a_real_file_system),
        WATCHED(test_without_a_birth_time_it_is_the_same_inode_until_told_otherwise),
        WATCHED(test_another_birth_time_of_a_living_inode_changes_nothing),
        WATCHED(test_an_inode_of_another_key_is_left_alone),
        WATCHED(test_a_watch_descriptor_of_another_key_is_left_alone),
        WATCHED(test_an_unlinked_file_is_watched_by_its_descriptor),
        WATCHED(test_a_symbolic_link_itself_is_watched),
        WATCHED(test_a_closed_descriptor_cannot_be_watched),
        WATCHED(test_what_the_kernel_refuses),
        WATCHED(test_our_own_limit),
        WATCHED(test_who_removes_a_watch_hears_no_more_of_it),
        WATCHED(test_pending_events_of_a_removed_watch_are_dropped),
        WATCHED(test_removing_what_has_just_ended_is_quiet),
        WATCHED(test_a_watch_that_is_wanted_again_at_once_stands),
        WATCHED(test_the_callback_adds_and_removes),
        WATCHED(test_the_callback_cannot_read),
        WATCHED(test_a_flood_does_not_hold_the_reader),
        FILES(test_the_descriptor_is_found_and_set_up),
        WATCHED(test_a_second_watcher_is_busy),
        WATCHED(test_no_name_is_used_twice_and_all_are_short),
        WATCHED(test_events_of_a_past_instance_reach_nobody),
        WATCHED(test_an_instance_ends_however_fast_events_come_in),
        WATCHED(test_too_many_dead_records_renew_the_instance),
        WATCHED(test_more_live_watches_allow_more_dead_records),
        WATCHED(test_a_renewal_amid_a_flood_leaves_nothing_behind),
        WATCHED(test_a_renewal_that_fails_is_tried_again),
        WATCHED(test_a_renewal_with_too_high_a_descriptor_is_tried_again),
        WATCHED(test_without_descriptors_after_an_overflow_nothing_stands),
        WATCHED(test_a_record_that_the_library_could_not_keep_is_refused),
        WATCHED(test_an_interrupted_read_goes_on),
        WATCHED(test_a_failed_read_is_said),
        FILES(test_a_descriptor_of_1024_is_refused),
        FILES(test_the_kernels_limit_of_watches),
        FILES(test_the_kernels_limit_of_instances),
        WATCHED(test_a_forked_child_takes_nothing_from_its_parent),
        FILES(test_every_failure_to_start_leaves_nothing),
        WATCHED(test_every_failure_to_add_leaves_nothing),
        WATCHED(test_a_failure_to_add_the_next_inode_keeps_the_first),
        WATCHED(test_a_hundred_thousand_replaced_files_cost_bounded_memory),
        WATCHED(test_many_watches_are_found_again),
    };

    return cmocka_run_group_tests_name("watcher", tests, NULL, NULL);
}

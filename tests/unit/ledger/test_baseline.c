/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The watched folders: which of the names that lie in them are tracked, under which name, and when. Nothing is looked
 * at here, so what is tracked and due is all there is to see.
 */
#include "ledger/baseline.h"

#include "tests/support/fake_clock.h"
#include "tests/support/fault.h"
#include "tests/support/fuse_file.h"
#include "tests/support/own_mounts.h"
#include "tests/support/temp_dir.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fuse.h>
#include <pthread.h>
#include <semaphore.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#define S PL_NS_PER_S
#define START (1000 * S)
#define SCAN (600 * S) /* from one scan to the next */
#define STEP 128       /* names of one step */
#define OWN_NS 4026531841u

typedef struct fixture {
    char *dir, *in, *out; /* a watched folder, and one that is not */
    const char *folders[4];
    const char *ignore[3];
    pl_fake_clock clock;
    pl_log log;
    char said[512];
    unsigned lines;
    pl_tracked_set *set;
    pl_inbox *inbox;
    pl_namespaces *namespaces;
    pl_resolve *resolve;
    pl_revisit *revisit;
    pl_watcher *watcher;
    pl_baseline *baseline;
} fixture;

static void on_log(void *context, pl_log_level level, const char *line)
{
    fixture *f = context;

    assert_int_equal(level, PL_LOG_WARNING);
    f->lines++;
    (void)snprintf(f->said, sizeof(f->said), "%s", line);
}

static int set_up(void **state)
{
    fixture *f = calloc(1, sizeof(*f));

    assert_non_null(f);
    f->dir = pl_temp_dir_new();
    f->in = pl_temp_path(f->dir, "in");
    f->out = pl_temp_path(f->dir, "out");
    assert_return_code(mkdir(f->in, 0700), errno);
    assert_return_code(mkdir(f->out, 0700), errno);
    f->folders[0] = f->in;
    f->log = (pl_log){.write = on_log, .context = f, .level = PL_LOG_WARNING};
    pl_fake_clock_init(&f->clock, START, START);
    *state = f;
    return 0;
}

static pl_baseline_options options_of(fixture *f)
{
    return (pl_baseline_options){.folders = f->folders,
                                 .ignore = f->ignore,
                                 .set = f->set,
                                 .revisit = f->revisit,
                                 .watcher = f->watcher,
                                 .mnt_ns = OWN_NS,
                                 .clock = &f->clock.clock,
                                 .log = &f->log};
}

/* The rooms below it, and the watched folders themselves when `folders` stand. */
static void make_rooms(fixture *f, bool watched)
{
    pl_watcher_options watcher = {.log = &f->log};
    pl_resolve_options resolve = {.clock = &f->clock.clock, .log = &f->log, .workers = 1};

    if (watched) /* while there is one thread */
        assert_int_equal(pl_watcher_new(&watcher, &f->watcher), 0);
    assert_int_equal(pl_tracked_set_new(&f->set), 0);
    assert_int_equal(pl_inbox_new(0, &f->inbox), 0);
    assert_int_equal(pl_namespaces_new("/proc", OWN_NS, &f->namespaces), 0);
    assert_int_equal(pl_resolve_new(&resolve, &f->resolve), 0);
    pl_revisit_options revisit = {.set = f->set,
                                  .resolve = f->resolve,
                                  .namespaces = f->namespaces,
                                  .inbox = f->inbox,
                                  .watcher = f->watcher,
                                  .clock = &f->clock.clock};
    assert_int_equal(pl_revisit_new(&revisit, &f->revisit), 0);
}

static void start_as(fixture *f, bool watched, bool quiet)
{
    make_rooms(f, watched);
    pl_baseline_options options = options_of(f);
    options.quiet = quiet;
    assert_int_equal(pl_baseline_new(&options, &f->baseline), 0);
}

static void start(fixture *f)
{
    start_as(f, false, false);
}

static int tear_down(void **state)
{
    fixture *f = *state;

    pl_fault_disarm();
    assert_null(pl_baseline_free(f->baseline));
    (void)pl_resolve_free(f->resolve);
    (void)pl_revisit_free(f->revisit);
    (void)pl_namespaces_free(f->namespaces);
    (void)pl_inbox_free(f->inbox);
    (void)pl_tracked_set_free(f->set);
    (void)pl_watcher_free(f->watcher);
    pl_own_mounts_end(f->in);
    free(f->in);
    free(f->out);
    (void)pl_temp_dir_free(f->dir);
    free(f);
    return 0;
}

static int64_t now_of(const fixture *f)
{
    return pl_clock_boottime_ns(&f->clock.clock);
}

/* Steps until there is nothing to do for now. Returns how many steps it took. */
static unsigned scan(fixture *f)
{
    unsigned steps = 1;

    while (pl_baseline_step(f->baseline) <= now_of(f))
        steps++;
    return steps;
}

static void make(const char *folder, const char *name, unsigned mode)
{
    char *path = pl_temp_path(folder, name);

    pl_temp_write(path, "#!", 2, mode);
    assert_return_code(chmod(path, mode), errno);
    free(path);
}

static void make_many(const char *folder, unsigned n)
{
    char name[16];

    for (unsigned i = 0; i < n; i++) {
        (void)snprintf(name, sizeof(name), "p%u", i);
        make(folder, name, 0755);
    }
}

static void make_link(const char *target, const char *folder, const char *name)
{
    char *path = pl_temp_path(folder, name);

    assert_return_code(symlink(target, path), errno);
    free(path);
}

static pl_tracked *find(const fixture *f, const char *folder, const char *name)
{
    char *path = pl_temp_path(folder, name);
    pl_tracked *one = pl_tracked_find(f->set, path, OWN_NS);

    free(path);
    return one;
}

static bool has(const fixture *f, const char *folder, const char *name)
{
    return find(f, folder, name) != NULL;
}

/* Nobody looks at them here: as if they had been, and rested. */
static void rest_all(const fixture *f)
{
    for (size_t i = pl_tracked_count(f->set); i-- > 0;) {
        pl_tracked *one = pl_tracked_at(f->set, i);
        one->present = true;
        one->why = PL_DETECTED_SWEEP;
        pl_tracked_set_due(f->set, one, PL_NEVER);
    }
}

static uint64_t work_of(const fixture *f)
{
    pl_revisit_stats stats;

    pl_revisit_stats_get(f->revisit, &stats);
    return stats.work_total;
}

static pl_watch_key key_of(const char *path)
{
    pl_identity identity;

    assert_int_equal(pl_identity_of_path(AT_FDCWD, path, true, &identity), 0);
    return pl_watch_key_of(&identity);
}

static void enter(fixture *f, const char *name)
{
    pl_watch_key key = key_of(f->in);

    pl_baseline_entry(f->baseline, &key, name);
}

/* ---- what a scan finds ---- */

static void test_programs_are_tracked_and_nothing_else(void **state)
{
    fixture *f = *state;

    make(f->in, "all", 0755);
    make(f->in, "owner", 0100);
    make(f->in, "group", 0010);
    make(f->in, "others", 0001);
    make(f->in, "setuid", 04755);
    make(f->in, "text", 0644);
    make(f->in, "none", 0);
    start(f);
    (void)scan(f);
    assert_int_equal(pl_tracked_count(f->set), 5);
    assert_true(has(f, f->in, "all") && has(f, f->in, "owner") && has(f, f->in, "group") && has(f, f->in, "others") &&
                has(f, f->in, "setuid"));
    assert_int_equal(f->lines, 0);
}

static void test_what_the_start_finds_is_due_at_once_and_part_of_its_work(void **state)
{
    fixture *f = *state;

    make(f->in, "a", 0755);
    make(f->in, "b", 0755);
    start(f);
    (void)scan(f);
    const pl_tracked *one = find(f, f->in, "a");
    assert_non_null(one);
    assert_true(one->in_folder && one->counted);
    assert_false(one->present);
    assert_int_equal(one->why, PL_DETECTED_STARTUP);
    assert_int_equal(one->due_ns, START);
    assert_null(one->container);
    assert_int_equal(work_of(f), 2);
}

static void test_what_is_no_file_is_no_program(void **state)
{
    fixture *f = *state;
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    char *fifo = pl_temp_path(f->in, "fifo"), *folder = pl_temp_path(f->in, "folder"),
         *device = pl_temp_path(f->in, "device");

    assert_return_code(mkfifo(fifo, 0755), errno);
    assert_return_code(mkdir(folder, 0755), errno);
    make(folder, "inner", 0755); /* sub-folders are not entered */
    if (mknod(device, S_IFCHR | 0755, makedev(1, 3)) < 0)
        print_message("left out: a device, which this user may not make\n");
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_return_code(fd, errno);
    (void)snprintf(address.sun_path, sizeof(address.sun_path), "%.90s/s", f->in);
    if (bind(fd, (struct sockaddr *)&address, sizeof(address)) < 0)
        print_message("left out: a socket, for its path is too long\n");
    make_link("fifo", f->in, "to-fifo");
    make_link("folder", f->in, "to-folder");
    make_link("device", f->in, "to-device");
    start(f);
    (void)scan(f);
    assert_int_equal(pl_tracked_count(f->set), 0);
    assert_int_equal(f->lines, 0);
    (void)close(fd);
    free(fifo);
    free(folder);
    free(device);
}

static void test_links_that_lead_nowhere_are_passed_over(void **state)
{
    fixture *f = *state;

    make_link("itself", f->in, "itself");
    make_link("pong", f->in, "ping");
    make_link("ping", f->in, "pong");
    make_link("no such file", f->in, "dangling");
    make_link("../in/../in/dangling", f->in, "longer");
    make(f->in, "program", 0755);
    start(f);
    (void)scan(f);
    assert_int_equal(pl_tracked_count(f->set), 1);
    assert_true(has(f, f->in, "program"));
}

static void test_a_link_is_tracked_under_the_name_of_what_it_leads_to(void **state)
{
    fixture *f = *state;

    make(f->out, "real", 0755);
    make(f->out, "text", 0644);
    make_link("../out/real", f->in, "first");
    make_link("first", f->in, "second");
    make_link("../out/text", f->in, "third");
    start(f);
    (void)scan(f);
    assert_int_equal(pl_tracked_count(f->set), 1);
    const pl_tracked *one = find(f, f->out, "real");
    assert_non_null(one);
    assert_true(one->in_folder && one->counted);
    assert_int_equal(work_of(f), 1); /* counted once, though two names lead to it */
}

static void test_hard_links_are_two_names(void **state)
{
    fixture *f = *state;
    char *a = pl_temp_path(f->in, "a"), *b = pl_temp_path(f->in, "b");

    make(f->in, "a", 0755);
    assert_return_code(link(a, b), errno);
    start(f);
    (void)scan(f);
    assert_int_equal(pl_tracked_count(f->set), 2);
    free(a);
    free(b);
}

/* /bin is a link to /usr/bin as a rule. */
static void test_a_folder_of_two_names_is_gone_through_once(void **state)
{
    fixture *f = *state;
    char *other = pl_temp_path(f->dir, "other"), *dotted = pl_temp_path(f->in, "../in/.");

    make_many(f->in, STEP + 72);
    assert_return_code(symlink("in", other), errno);
    f->folders[0] = other;
    f->folders[1] = f->in;
    f->folders[2] = dotted;
    start_as(f, true, false);
    assert_int_equal(scan(f), 2 + 1 + 1); /* two for its names, one each to see that it is known */
    assert_int_equal(pl_tracked_count(f->set), STEP + 72);
    assert_true(has(f, f->in, "p7")); /* the kernel's name of the folder, not the one that was asked for */
    assert_int_equal(work_of(f), STEP + 72);
    assert_int_equal(f->lines, 0); /* and that is no news */
    pl_watcher_stats stats;
    pl_watcher_stats_get(f->watcher, &stats);
    assert_int_equal(stats.watches, 1);
    make(f->in, "new", 0755);
    enter(f, "new");
    assert_int_equal(pl_tracked_count(f->set), STEP + 73);
    free(other);
    free(dotted);
}

static void test_several_folders_are_gone_through_one_after_the_other(void **state)
{
    fixture *f = *state;

    make(f->in, "a", 0755);
    make(f->out, "b", 0755);
    f->folders[1] = f->out;
    start(f);
    assert_int_equal(pl_baseline_step(f->baseline), START); /* the first is done, the second is to be done now */
    assert_true(has(f, f->in, "a"));
    assert_false(has(f, f->out, "b"));
    (void)scan(f);
    assert_true(has(f, f->out, "b"));
    assert_int_equal(work_of(f), 2);
}

static void test_what_is_ignored_is_not_tracked(void **state)
{
    fixture *f = *state;

    make(f->in, "kept", 0755);
    make(f->in, "skipped", 0755);
    make(f->out, "real", 0755);
    make_link("../out/real", f->in, "by-link");
    make_link("kept", f->in, "skip-this-name"); /* the pattern is of the name that its process would have */
    f->ignore[0] = "*/skip*";
    f->ignore[1] = "*/out/*";
    start(f);
    (void)scan(f);
    enter(f, "skipped-later");
    assert_int_equal(pl_tracked_count(f->set), 1);
    assert_true(has(f, f->in, "kept"));
}

static void test_names_of_any_bytes_are_tracked_as_they_are(void **state)
{
    static const char *const names[] = {"new\nline", "\xff\xfe\x80", " ", "x (deleted)", "%s%n",
                                        "*",         "back\\slash",  "-"};
    fixture *f = *state;
    char longest[256];

    memset(longest, 'l', 255);
    longest[255] = '\0';
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
        make(f->in, names[i], 0755);
    make(f->in, longest, 0755);
    make(f->out, "tar\nget\xff", 0755);
    make_link("../out/tar\nget\xff", f->in, "li\nnk");
    start(f);
    (void)scan(f);
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
        assert_true(has(f, f->in, names[i]));
    assert_true(has(f, f->in, longest));
    assert_true(has(f, f->out, "tar\nget\xff"));
    assert_int_equal(pl_tracked_count(f->set), sizeof(names) / sizeof(names[0]) + 2);
}

static void test_no_folders_are_no_work(void **state)
{
    fixture *f = *state;

    f->folders[0] = NULL;
    make_rooms(f, false);
    pl_baseline_options options = options_of(f);
    assert_int_equal(pl_baseline_new(&options, &f->baseline), 0);
    assert_true(pl_baseline_step(f->baseline) == PL_NEVER);
    enter(f, "x");
    f->baseline = pl_baseline_free(f->baseline);
    options.folders = NULL;
    options.ignore = NULL;
    assert_int_equal(pl_baseline_new(&options, &f->baseline), 0);
    pl_baseline_scan(f->baseline);
    assert_true(pl_baseline_step(f->baseline) == PL_NEVER);
    assert_int_equal(pl_tracked_count(f->set), 0);
}

static void test_the_names_of_the_folders_are_copies(void **state)
{
    fixture *f = *state;
    char *name = strdup(f->in);

    assert_non_null(name);
    make(f->in, "program", 0755);
    f->folders[0] = name;
    start(f);
    memset(name, 'x', strlen(name));
    free(name);
    (void)scan(f);
    assert_true(has(f, f->in, "program"));
}

static void test_the_root_is_a_folder_like_any(void **state)
{
    fixture *f = *state;
    pl_watch_key key = key_of("/");

    f->folders[0] = "/";
    start(f);
    (void)scan(f);
    pl_baseline_entry(f->baseline, &key, "no such name at all"); /* gone again: nothing to keep an eye on */
    assert_null(pl_tracked_find(f->set, "/no such name at all", OWN_NS));
}

/* ---- folders that are not there ---- */

static void test_a_missing_folder_is_said_once(void **state)
{
    fixture *f = *state;
    char *missing = pl_temp_path(f->dir, "missing"), expected[512];

    make(f->in, "program", 0755);
    f->folders[0] = missing;
    f->folders[1] = f->in;
    start(f);
    (void)scan(f);
    (void)snprintf(expected, sizeof(expected), "folder %s is not watched: No such file or directory", missing);
    assert_int_equal(f->lines, 1);
    assert_non_null(strstr(f->said, expected));
    assert_true(has(f, f->in, "program")); /* the others are gone through */
    pl_baseline_scan(f->baseline);
    (void)scan(f);
    assert_int_equal(f->lines, 1);
    free(missing);
}

static void test_a_file_is_no_folder(void **state)
{
    fixture *f = *state;
    char *file = pl_temp_path(f->out, "file");

    make(f->out, "file", 0755);
    f->folders[0] = file;
    start(f);
    (void)scan(f);
    assert_int_equal(f->lines, 1);
    assert_non_null(strstr(f->said, "is not watched: Not a directory"));
    assert_int_equal(pl_tracked_count(f->set), 0);
    free(file);
}

static void test_a_missing_folder_of_the_system_is_no_news(void **state)
{
    fixture *f = *state;
    char *missing = pl_temp_path(f->dir, "missing");

    f->folders[0] = missing;
    start_as(f, false, true);
    (void)scan(f);
    assert_int_equal(f->lines, 0);
    free(missing);
}

static void test_a_folder_that_appears_is_found_by_the_next_scan(void **state)
{
    fixture *f = *state;
    char *late = pl_temp_path(f->dir, "late"), *program = pl_temp_path(late, "program");

    f->folders[0] = late;
    start_as(f, true, false);
    (void)scan(f);
    assert_int_equal(f->lines, 1);
    assert_return_code(mkdir(late, 0700), errno);
    make(late, "program", 0755);
    pl_fake_clock_advance(&f->clock, SCAN);
    (void)scan(f);
    pl_watch_key key = key_of(late);
    assert_true(has(f, late, "program"));
    assert_int_equal(find(f, late, "program")->why, PL_DETECTED_SWEEP);
    assert_true(pl_watcher_has(f->watcher, &key));
    assert_int_equal(f->lines, 1);
    assert_return_code(unlink(program), errno); /* when it goes again, that is news again */
    assert_return_code(rmdir(late), errno);
    pl_fake_clock_advance(&f->clock, SCAN);
    (void)scan(f);
    assert_int_equal(f->lines, 2);
    free(late);
    free(program);
}

static bool fuse_at(const fixture *f, const char *folder, uint32_t silent, pl_fuse_file **out)
{
    if (pl_own_mounts(f->in))
        *out = pl_fuse_file_new(folder, silent);
    if (!*out)
        print_message("SKIPPED: no FUSE here: %s\n", strerror(errno));
    return *out != NULL;
}

static void test_a_folder_behind_a_server_is_not_gone_through(void **state)
{
    fixture *f = *state;
    pl_fuse_file *fuse = NULL;

    if (!fuse_at(f, f->in, 0, &fuse))
        skip();
    start_as(f, true, false);
    (void)scan(f);
    pl_watcher_stats stats;
    pl_watcher_stats_get(f->watcher, &stats);
    assert_int_equal(stats.watches, 0);
    assert_int_equal(f->lines, 1);
    assert_non_null(strstr(f->said, "it is on a network or in a user's own file system"));
    pl_fuse_file_free(fuse);
}

/* Of squashfs, erofs, ext4 with small inodes and images without a time of their own no birth time is known, and they
 * ask nobody all the same. Here ramfs stands for them. */
static void test_a_local_folder_without_a_birth_time_is_gone_through(void **state)
{
    fixture *f = *state;

    if (!pl_own_mounts(f->in) || mount("none", f->in, "ramfs", 0, NULL) != 0) {
        print_message("SKIPPED: no ramfs here: %s\n", strerror(errno));
        skip();
    }
    make(f->in, "program", 0755);
    start(f);
    (void)scan(f);
    bool found = has(f, f->in, "program");
    assert_return_code(umount2(f->in, MNT_DETACH), errno);
    assert_string_equal(f->said, "");
    assert_true(found);
}

typedef struct stepper {
    pl_baseline *baseline;
    sem_t done;
} stepper;

static void *step_once(void *context)
{
    stepper *s = context;

    (void)pl_baseline_step(s->baseline);
    (void)sem_post(&s->done);
    return NULL;
}

/* Whether a step ends by itself. A server that is asked never answers; after a time that only a failing test needs the
 * connection is ended instead. */
static bool step_ends(fixture *f, pl_fuse_file *fuse)
{
    stepper s = {.baseline = f->baseline};
    pthread_t thread;
    struct timespec until;
    int r;

    (void)sem_init(&s.done, 0, 0);
    assert_int_equal(pthread_create(&thread, NULL, step_once, &s), 0);
    (void)clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += 10;
    while ((r = sem_timedwait(&s.done, &until)) < 0 && errno == EINTR)
        ;
    pl_fuse_file_free(fuse);
    assert_int_equal(pthread_join(thread, NULL), 0);
    (void)sem_destroy(&s.done);
    return r == 0;
}

/* All tracking would wait for it: it is known whether a folder has a server before it is opened. */
static void test_a_server_that_never_answers_does_not_hold_up_the_scan(void **state)
{
    static const uint32_t requests[] = {FUSE_OPENDIR, FUSE_GETATTR, FUSE_STATFS};
    fixture *f = *state;

    start(f);
    for (size_t i = 0; i < sizeof(requests) / sizeof(requests[0]); i++) {
        pl_fuse_file *fuse = NULL;
        if (!fuse_at(f, f->in, requests[i], &fuse))
            skip();
        pl_baseline_scan(f->baseline);
        if (!step_ends(f, fuse))
            fail_msg("the folder's server was asked (request %u), and waited for", requests[i]);
        pl_own_mounts_end(f->in); /* each of them began with one */
    }
}

/* A link to a file whose server does not answer: the name is not asked for. */
static void test_a_link_to_a_silent_server_does_not_hold_up_the_scan(void **state)
{
    fixture *f = *state;
    pl_fuse_file *fuse = NULL;

    make_link("../out/file", f->in, "link");
    start(f);
    if (!fuse_at(f, f->out, FUSE_LOOKUP, &fuse))
        skip();
    assert_true(step_ends(f, fuse));
}

/* /usr is a mount of its own on many machines, and after a boot nobody remembers the names in it. */
static void test_programs_of_another_mount_are_found_though_nobody_remembers_their_names(void **state)
{
    fixture *f = *state;
    char options[512], *upper = pl_temp_path(f->dir, "upper"), *work = pl_temp_path(f->dir, "work");

    make(f->out, "program", 0755);
    make_link("program", f->out, "link");
    assert_return_code(mkdir(upper, 0700), errno);
    assert_return_code(mkdir(work, 0700), errno);
    (void)snprintf(options, sizeof(options), "lowerdir=%s,upperdir=%s,workdir=%s", f->out, upper, work);
    free(upper);
    free(work);
    /* A fresh mount of an overlay: none of its names are in the kernel's memory. */
    if (!pl_own_mounts(f->in) || mount("overlay", f->in, "overlay", 0, options) != 0) {
        print_message("SKIPPED: no overlay here: %s\n", strerror(errno));
        skip();
    }
    start(f);
    (void)scan(f);
    bool found = has(f, f->in, "program");
    assert_int_equal(f->lines, 0);
    assert_return_code(umount2(f->in, MNT_DETACH), errno);
    assert_true(found);
}

/* ---- again ---- */

static void test_a_scan_comes_every_ten_minutes(void **state)
{
    fixture *f = *state;

    start(f);
    assert_int_equal(pl_baseline_step(f->baseline), START + SCAN);
    make(f->in, "late", 0755);
    pl_fake_clock_advance(&f->clock, SCAN - 1);
    assert_int_equal(pl_baseline_step(f->baseline), START + SCAN);
    assert_int_equal(pl_tracked_count(f->set), 0);
    pl_fake_clock_advance(&f->clock, 1);
    assert_int_equal(pl_baseline_step(f->baseline), START + 2 * SCAN);
    const pl_tracked *one = find(f, f->in, "late");
    assert_non_null(one);
    assert_int_equal(one->why, PL_DETECTED_SWEEP);
    assert_int_equal(one->due_ns, START + SCAN);
    assert_int_equal(work_of(f), 0); /* no work of the start */
    assert_false(one->counted);
}

static void test_a_file_that_became_a_program_is_found_by_the_next_scan(void **state)
{
    fixture *f = *state;
    char *path = pl_temp_path(f->in, "file");

    make(f->in, "file", 0644);
    start(f);
    (void)scan(f);
    assert_false(has(f, f->in, "file"));
    assert_return_code(chmod(path, 0755), errno);
    pl_baseline_scan(f->baseline);
    (void)scan(f);
    assert_true(has(f, f->in, "file"));
    free(path);
}

static void test_a_scan_in_the_middle_of_one_begins_anew(void **state)
{
    fixture *f = *state;

    make_many(f->in, 200);
    start(f);
    (void)pl_baseline_step(f->baseline);
    pl_baseline_scan(f->baseline);
    (void)scan(f);
    assert_int_equal(pl_tracked_count(f->set), 200);
    assert_int_equal(work_of(f), 200); /* it is still the start's */
}

static void test_what_is_known_and_there_is_left_alone(void **state)
{
    fixture *f = *state;

    make(f->in, "plain", 0755);
    make(f->out, "real", 0755);
    make_link("../out/real", f->in, "link");
    start(f);
    (void)scan(f);
    rest_all(f);
    pl_baseline_scan(f->baseline);
    (void)scan(f);
    assert_null(pl_tracked_first_due(f->set));
    assert_int_equal(find(f, f->out, "real")->why, PL_DETECTED_SWEEP);
    find(f, f->out, "real")->present = false; /* it was gone when it was last looked at: the link leads to it again */
    pl_baseline_scan(f->baseline);
    (void)scan(f);
    assert_ptr_equal(pl_tracked_first_due(f->set), find(f, f->out, "real"));
}

/* What was executed before the scan came to it becomes one of the folder. */
static void test_what_is_tracked_already_belongs_to_the_folder_from_then_on(void **state)
{
    fixture *f = *state;
    char *path = pl_temp_path(f->in, "program");

    make(f->in, "program", 0755);
    start(f);
    pl_tracked *one = pl_revisit_admit(f->revisit, path, OWN_NS, NULL, NULL);
    assert_non_null(one);
    rest_all(f);
    (void)scan(f);
    assert_true(one->in_folder);
    assert_null(pl_tracked_first_due(f->set)); /* it is known: no look for that */
    assert_int_equal(work_of(f), 0);
    free(path);
}

static void test_one_that_is_being_read_keeps_its_time(void **state)
{
    fixture *f = *state;

    make(f->in, "reading", 0755);
    make(f->in, "waiting", 0755);
    start(f);
    (void)scan(f);
    rest_all(f);
    find(f, f->in, "reading")->reading = true;
    find(f, f->in, "waiting")->waiting = true;
    enter(f, "reading");
    enter(f, "waiting");
    assert_null(pl_tracked_first_due(f->set));
    find(f, f->in, "reading")->reading = false;
    find(f, f->in, "waiting")->waiting = false;
}

static void test_a_step_is_bounded(void **state)
{
    fixture *f = *state;
    size_t before = 0;
    unsigned steps = 0;

    make_many(f->in, 3 * STEP);
    start(f);
    for (int64_t next = START; next <= START; steps++) {
        next = pl_baseline_step(f->baseline);
        assert_true(pl_tracked_count(f->set) - before <= STEP);
        before = pl_tracked_count(f->set);
    }
    assert_int_equal(pl_tracked_count(f->set), 3 * STEP);
    assert_int_equal(steps, 4); /* with "." and "..", and the end of the folder */
}

/* ---- events ---- */

static void test_a_new_file_is_looked_at_when_it_may_be_whole(void **state)
{
    fixture *f = *state;

    start(f);
    (void)scan(f);
    make(f->in, "program", 0755);
    make(f->in, "not-yet", 0644); /* its mode comes last, as a rule */
    enter(f, "program");
    enter(f, "not-yet");
    enter(f, "renamed-away"); /* and gone already */
    assert_int_equal(pl_tracked_count(f->set), 2);
    for (size_t i = 0; i < 2; i++) {
        const pl_tracked *one = pl_tracked_at(f->set, i);
        assert_true(one->in_folder);
        assert_false(one->counted);
        assert_int_equal(one->why, PL_DETECTED_INOTIFY);
        assert_int_equal(one->due_ns, START + PL_REVISIT_SOON_NS);
    }
    assert_int_equal(work_of(f), 0);
}

static void test_a_new_file_in_the_place_of_a_known_one_is_looked_at(void **state)
{
    fixture *f = *state;

    make(f->in, "program", 0755);
    start(f);
    (void)scan(f);
    rest_all(f);
    enter(f, "program");
    assert_int_equal(pl_tracked_count(f->set), 1);
    assert_int_equal(find(f, f->in, "program")->due_ns, START + PL_REVISIT_SOON_NS);
    assert_int_equal(find(f, f->in, "program")->why, PL_DETECTED_INOTIFY);
}

static void test_a_new_link_is_followed_at_once(void **state)
{
    fixture *f = *state;

    make(f->out, "real", 0755);
    start(f);
    (void)scan(f);
    make_link("../out/real", f->in, "link");
    make_link("nowhere", f->in, "dangling");
    enter(f, "link");
    enter(f, "dangling");
    assert_int_equal(pl_tracked_count(f->set), 1);
    const pl_tracked *one = find(f, f->out, "real");
    assert_non_null(one);
    assert_int_equal(one->why, PL_DETECTED_INOTIFY);
    assert_int_equal(one->due_ns, START);
}

static void test_a_new_folder_or_fifo_is_nothing(void **state)
{
    fixture *f = *state;
    char *fifo = pl_temp_path(f->in, "fifo"), *folder = pl_temp_path(f->in, "folder");

    start(f);
    (void)scan(f);
    assert_return_code(mkfifo(fifo, 0755), errno);
    assert_return_code(mkdir(folder, 0755), errno);
    enter(f, "fifo");
    enter(f, "folder");
    assert_int_equal(pl_tracked_count(f->set), 0);
    free(fifo);
    free(folder);
}

static void test_an_event_of_another_folder_is_nothing(void **state)
{
    fixture *f = *state;
    pl_watch_key keys[] = {key_of(f->out), key_of(f->in), key_of(f->in), key_of(f->in)};

    make(f->in, "program", 0755);
    start(f);
    enter(f, "program"); /* it was not gone through yet, so nobody watches it */
    assert_int_equal(pl_tracked_count(f->set), 0);
    (void)scan(f);
    rest_all(f);
    keys[1].dev_major++;
    keys[2].dev_minor++;
    keys[3].inode++;
    for (size_t i = 0; i < 4; i++)
        pl_baseline_entry(f->baseline, &keys[i], "program");
    assert_int_equal(pl_tracked_count(f->set), 1);
    assert_null(pl_tracked_first_due(f->set));
}

static void on_event(void *context, const pl_watch_event *event)
{
    fixture *f = context;

    if (event->what == PL_WATCH_ENTRY)
        pl_baseline_entry(f->baseline, &event->key, event->name);
}

static void test_the_kernel_tells_of_what_appears(void **state)
{
    fixture *f = *state;
    char *from = pl_temp_path(f->out, "from"), *to = pl_temp_path(f->in, "moved");

    make(f->out, "from", 0755);
    start_as(f, true, false);
    (void)scan(f);
    pl_watch_key key = key_of(f->in);
    assert_true(pl_watcher_has(f->watcher, &key));
    make(f->in, "cre\nated\xff", 0755);
    assert_return_code(rename(from, to), errno);
    make_link("moved", f->in, "link");
    assert_true(pl_watcher_read(f->watcher, on_event, f) >= 3);
    assert_int_equal(pl_tracked_count(f->set), 2);
    assert_true(has(f, f->in, "cre\nated\xff") && has(f, f->in, "moved"));
    free(from);
    free(to);
}

static void test_a_folder_that_was_replaced_is_watched_by_the_next_scan(void **state)
{
    fixture *f = *state;
    char *old = pl_temp_path(f->dir, "old");

    start_as(f, true, false);
    (void)scan(f);
    assert_return_code(rename(f->in, old), errno);
    assert_return_code(mkdir(f->in, 0700), errno);
    pl_baseline_scan(f->baseline);
    (void)scan(f);
    pl_watch_key key = key_of(f->in);
    assert_true(pl_watcher_has(f->watcher, &key));
    make(f->in, "program", 0755);
    assert_true(pl_watcher_read(f->watcher, on_event, f) >= 1);
    assert_true(has(f, f->in, "program"));
    free(old);
}

/* ---- failures ---- */

static void test_start_fails_at_every_point_and_leaves_nothing(void **state)
{
    fixture *f = *state;
    pl_baseline *const none = (pl_baseline *)(uintptr_t)16;
    unsigned failures = 0;

    f->folders[1] = f->out;
    make_rooms(f, false);
    pl_baseline_options options = options_of(f);
    for (unsigned n = 1; pl_fault_arm(PL_FAULT_ALLOC, n, ENOMEM); n++) {
        pl_baseline *baseline = none;
        int rc = pl_baseline_new(&options, &baseline);
        bool fired = pl_fault_fired();
        pl_fault_disarm();
        if (!fired) {
            assert_int_equal(rc, 0);
            (void)pl_baseline_free(baseline);
            break;
        }
        failures++;
        assert_int_equal(rc, PL_ERR_NOMEM);
        assert_ptr_equal(baseline, none);
    }
    assert_int_equal(failures, 4); /* the room, its list, two names */
    assert_null(pl_baseline_free(NULL));
}

/* Whatever fails in one scan, the next one finds what is missing. */
static void fail_scans(fixture *f, pl_fault_kind kind, int errnum, unsigned least)
{
    unsigned failures = 0;

    make(f->in, "a", 0755);
    make(f->out, "b", 0755);
    make_link("../out/b", f->in, "link");
    make_rooms(f, false);
    pl_baseline_options options = options_of(f);
    for (unsigned n = 1;; n++) {
        assert_int_equal(pl_baseline_new(&options, &f->baseline), 0);
        pl_fault_arm(kind, n, errnum);
        (void)scan(f);
        bool fired = pl_fault_fired();
        pl_fault_disarm();
        failures += fired;
        assert_true(pl_tracked_count(f->set) <= 2);
        pl_baseline_scan(f->baseline);
        (void)scan(f);
        assert_int_equal(pl_tracked_count(f->set), 2);
        assert_true(has(f, f->in, "a") && has(f, f->out, "b"));
        f->baseline = pl_baseline_free(f->baseline);
        for (size_t i = pl_tracked_count(f->set); i-- > 0;)
            pl_tracked_remove(f->set, pl_tracked_at(f->set, i));
        if (!fired)
            break;
    }
    assert_true(failures >= least);
}

static void test_a_scan_without_memory_is_made_good_by_the_next(void **state)
{
    fail_scans(*state, PL_FAULT_ALLOC, ENOMEM, 4); /* names, entries */
}

static void test_a_scan_without_descriptors_is_made_good_by_the_next(void **state)
{
    fixture *f = *state;

    fail_scans(f, PL_FAULT_OPEN, EMFILE, 1);
    assert_true(f->lines >= 1);
    assert_non_null(strstr(f->said, "is not watched: Too many open files"));
}

static void test_a_scan_that_cannot_look_is_made_good_by_the_next(void **state)
{
    fail_scans(*state, PL_FAULT_STAT, EIO, 3);
}

static void test_an_event_without_memory_is_made_good_by_the_next_scan(void **state)
{
    fixture *f = *state;
    unsigned n = 1;

    start(f);
    (void)scan(f);
    make(f->in, "program", 0755);
    for (bool fired = true; fired && n < 100; n += fired) {
        pl_fault_arm(PL_FAULT_ALLOC, n, ENOMEM);
        enter(f, "program");
        fired = pl_fault_fired();
        pl_fault_disarm();
        assert_int_equal(pl_tracked_count(f->set), !fired);
    }
    assert_true(n > 1);
    pl_tracked_remove(f->set, pl_tracked_at(f->set, 0));
    pl_baseline_scan(f->baseline);
    (void)scan(f);
    assert_true(has(f, f->in, "program"));
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(test_programs_are_tracked_and_nothing_else),
        CASE(test_what_the_start_finds_is_due_at_once_and_part_of_its_work),
        CASE(test_what_is_no_file_is_no_program),
        CASE(test_links_that_lead_nowhere_are_passed_over),
        CASE(test_a_link_is_tracked_under_the_name_of_what_it_leads_to),
        CASE(test_hard_links_are_two_names),
        CASE(test_a_folder_of_two_names_is_gone_through_once),
        CASE(test_several_folders_are_gone_through_one_after_the_other),
        CASE(test_what_is_ignored_is_not_tracked),
        CASE(test_names_of_any_bytes_are_tracked_as_they_are),
        CASE(test_no_folders_are_no_work),
        CASE(test_the_names_of_the_folders_are_copies),
        CASE(test_the_root_is_a_folder_like_any),
        CASE(test_a_missing_folder_is_said_once),
        CASE(test_a_file_is_no_folder),
        CASE(test_a_missing_folder_of_the_system_is_no_news),
        CASE(test_a_folder_that_appears_is_found_by_the_next_scan),
        CASE(test_a_folder_behind_a_server_is_not_gone_through),
        CASE(test_a_local_folder_without_a_birth_time_is_gone_through),
        CASE(test_a_server_that_never_answers_does_not_hold_up_the_scan),
        CASE(test_a_link_to_a_silent_server_does_not_hold_up_the_scan),
        CASE(test_programs_of_another_mount_are_found_though_nobody_remembers_their_names),
        CASE(test_a_scan_comes_every_ten_minutes),
        CASE(test_a_file_that_became_a_program_is_found_by_the_next_scan),
        CASE(test_a_scan_in_the_middle_of_one_begins_anew),
        CASE(test_what_is_known_and_there_is_left_alone),
        CASE(test_what_is_tracked_already_belongs_to_the_folder_from_then_on),
        CASE(test_one_that_is_being_read_keeps_its_time),
        CASE(test_a_step_is_bounded),
        CASE(test_a_new_file_is_looked_at_when_it_may_be_whole),
        CASE(test_a_new_file_in_the_place_of_a_known_one_is_looked_at),
        CASE(test_a_new_link_is_followed_at_once),
        CASE(test_a_new_folder_or_fifo_is_nothing),
        CASE(test_an_event_of_another_folder_is_nothing),
        CASE(test_the_kernel_tells_of_what_appears),
        CASE(test_a_folder_that_was_replaced_is_watched_by_the_next_scan),
        CASE(test_start_fails_at_every_point_and_leaves_nothing),
        CASE(test_a_scan_without_memory_is_made_good_by_the_next),
        CASE(test_a_scan_without_descriptors_is_made_good_by_the_next),
        CASE(test_a_scan_that_cannot_look_is_made_good_by_the_next),
        CASE(test_an_event_without_memory_is_made_good_by_the_next_scan),
    };

    return cmocka_run_group_tests_name("baseline", tests, NULL, NULL);
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Places are made when the first case asks for them and live as long as the program, in its own mount namespace. Each
 * run of a case has a folder there, and a ledger of its own on the disk. stale_test_end runs after every test, failed or
 * not: it ends the children, unmounts what the case mounted and closes its handle.
 */
#include "tests/stale/stale.h"

#include "src/base/cleanup.h"
#include "tests/support/own_mounts.h"
#include "tests/support/sqlite_shell.h"
#include "tests/support/temp_dir.h"
#include "tests/unit/process/live.h"

#include <openssl/evp.h>

#include <errno.h>
#include <fcntl.h>
#include <semaphore.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define MS INT64_C(1000000)
#define S (1000 * MS)
#define SETTLE_TRIES 4000 /* of 2 ms: far longer than the longest window */

enum { PLACES = 7, EXT = 0xef53, XFS = 0x58465342, F2FS = (int)0xf2f52010, TMPFS = 0x01021994, OVERLAYFS = 0x794c7630 };
#define BTRFS 0x9123683eu

typedef struct place {
    const char *name, *type; /* type NULL: the disk */
    bool tried;
    char *folder; /* runs get a folder below it; NULL: not to be had */
    char *why;
    bool cached;
    pl_loop_fs *fs;
} place;

static place places[PLACES] = {
    {.name = "disk"},
    {.name = "ext4", .type = "ext4"},
    {.name = "ext4 with 128-byte inodes", .type = "ext3"},
    {.name = "xfs", .type = "xfs"},
    {.name = "btrfs", .type = "btrfs"},
    {.name = "overlay", .type = "overlay"},
    {.name = "tmpfs", .type = "tmpfs"},
};
static unsigned run_number;
static bool has_mounts;

/* --- the life of a program, a test, a run ------------------------------------------------------------------------- */

int stale_group_setup(void **state)
{
    static stale s;

    s.dir = pl_temp_dir_new();
    has_mounts = geteuid() == 0 && pl_own_mounts(s.dir);
    *state = &s;
    return 0;
}

int stale_group_teardown(void **state)
{
    stale *s = *state;

    for (size_t i = 0; i < PLACES; i++) {
        places[i].fs = pl_loop_fs_free(places[i].fs);
        free(places[i].folder);
        free(places[i].why);
    }
    pl_own_mounts_end(s->dir);
    s->dir = pl_temp_dir_free(s->dir);
    return 0;
}

static void run_end(stale *s)
{
    if (s->guard)
        (void)close(s->guard);
    s->guard = 0;
    while (s->n_children > 0) {
        s->n_children--;
        (void)close(s->holds[s->n_children]);
        (void)kill(s->children[s->n_children], SIGKILL);
        while (waitpid(s->children[s->n_children], NULL, 0) < 0 && errno == EINTR)
            ;
    }
    stale_unmap(s);
    stale_resolve_close(s);
    s->fresh = pl_close(s->fresh);
    s->ledger = pl_close(s->ledger);
    while (s->n_overlays > 0)
        stale_unmount(s->overlays[--s->n_overlays]);
    while (s->n_own > 0)
        (void)pl_loop_fs_free(s->own[--s->n_own]);
    while (s->n_owned > 0)
        free(s->owned[--s->n_owned]);
    s->folder = pl_temp_dir_free(s->folder);
    free(s->db);
    s->db = NULL;
    s->where = NULL;
}

int stale_test_end(void **state)
{
    stale *s = *state;

    if (s->where)
        print_message("that was on %s\n", s->where);
    run_end(s);
    return 0;
}

static void make_place(stale *s, place *p)
{
    struct statfs fs;
    pl_loop_fs_options options = {.type = p->type};

    p->tried = true;
    if (!p->type) {
        assert_return_code(statfs(s->dir, &fs), errno);
        unsigned long magic = (unsigned long)fs.f_type & UINT32_MAX;
        p->folder = strdup(s->dir);
        p->cached = magic == EXT || magic == XFS || magic == BTRFS || magic == (unsigned)F2FS || magic == OVERLAYFS;
        return;
    }
    if (!has_mounts) {
        p->why = strdup("needs root and a mount namespace of its own");
        return;
    }
    pl_auto_free char *folder = pl_temp_path(s->dir, p->type);
    assert_return_code(mkdir(folder, 0755), errno);
    const char *why = pl_loop_fs_new(folder, &options, &p->fs);
    if (why)
        p->why = strdup(why);
    else
        p->folder = strdup(pl_loop_fs_top(p->fs));
    p->cached = strcmp(p->type, "tmpfs") != 0;
}

static void run_begin(stale *s, const place *p)
{
    run_number++;
    s->where = p->name;
    s->cached = p->cached;
    assert_true(asprintf(&s->folder, "%s/run-%u", p->folder, run_number) > 0);
    assert_true(asprintf(&s->db, "%s/ledger-%u.db", s->dir, run_number) > 0);
    assert_return_code(mkdir(s->folder, 0755), errno);
    stale_restart(s);
}

void stale_each(void **state, unsigned wanted, void (*run)(stale *s))
{
    stale *s = *state;
    unsigned ran = 0;

    for (size_t i = 0; i < PLACES; i++) {
        if (!(wanted >> i & 1))
            continue;
        if (!places[i].tried)
            make_place(s, &places[i]);
        if (!places[i].folder) {
            print_message("not on %s: %s\n", places[i].name, places[i].why);
            continue;
        }
        run_begin(s, &places[i]);
        run(s);
        run_end(s);
        ran++;
    }
    if (ran == 0)
        skip();
}

pl_loop_fs *stale_own_fs(stale *s, const pl_loop_fs_options *options)
{
    char name[32];

    (void)snprintf(name, sizeof(name), "own-%u-%zu", run_number, s->n_own);
    const char *folder = stale_folder(s, s->dir, name);
    const char *why = has_mounts ? pl_loop_fs_new(folder, options, &s->own[s->n_own]) : "no mounts of its own";
    if (why) {
        print_message("%s: %s\n", options->type, why);
        skip();
    }
    return s->own[s->n_own++];
}

void stale_need_root(const char *why)
{
    if (geteuid() != 0) {
        print_message("not root: %s\n", why);
        skip();
    }
}

/* --- files -------------------------------------------------------------------------------------------------------- */

static const char *own(stale *s, char *path)
{
    assert_true(s->n_owned < sizeof(s->owned) / sizeof(*s->owned));
    s->owned[s->n_owned] = path;
    return s->owned[s->n_owned++];
}

const char *stale_path(stale *s, const char *folder, const char *name)
{
    return own(s, pl_temp_path(folder, name));
}

const char *stale_folder(stale *s, const char *folder, const char *name)
{
    const char *path = stale_path(s, folder, name);

    assert_return_code(mkdir(path, 0755), errno);
    return path;
}

void stale_fill(void *bytes, size_t length, unsigned seed)
{
    uint64_t random = UINT64_C(88172645463325252) + seed;
    unsigned char *at = bytes;

    for (size_t i = 0; i < length; i++) {
        random ^= random << 13, random ^= random >> 7, random ^= random << 17;
        at[i] = (unsigned char)(random >> 32);
    }
}

const char *stale_file(stale *s, const char *name, unsigned seed)
{
    unsigned char bytes[STALE_SIZE];
    const char *path = stale_path(s, s->folder, name);

    stale_fill(bytes, sizeof(bytes), seed);
    pl_temp_write(path, bytes, sizeof(bytes), 0755);
    return path;
}

const char *stale_overlay(stale *s, const char *name)
{
    const char *folder = stale_folder(s, s->folder, name);

    (void)stale_folder(s, folder, "lower");
    const char *merged = stale_path(s, folder, "merged");
    if (!pl_overlay_mount(folder, NULL, true, NULL)) {
        print_message("overlay: %s\n", strerror(errno));
        skip();
    }
    assert_true(s->n_overlays < sizeof(s->overlays) / sizeof(*s->overlays));
    s->overlays[s->n_overlays++] = (char *)(uintptr_t)merged;
    return folder;
}

void stale_unmount(const char *path)
{
    if (umount2(path, 0) != 0)
        (void)umount2(path, MNT_DETACH);
}

int stale_open(const char *path, int flags)
{
    int fd = open(path, flags | O_CLOEXEC, 0755);

    assert_return_code(fd, errno);
    return fd;
}

void stale_poke(const char *path, size_t at, size_t length, unsigned seed)
{
    unsigned char bytes[STALE_SIZE];
    int fd = stale_open(path, O_WRONLY);

    assert_true(length <= sizeof(bytes));
    stale_fill(bytes, length, seed);
    assert_int_equal(pwrite(fd, bytes, length, (off_t)at), length);
    assert_return_code(close(fd), errno);
}

void stale_poke_hidden(const char *path, size_t at, size_t length, unsigned seed)
{
    struct stat before;

    assert_return_code(stat(path, &before), errno);
    stale_poke(path, at, length, seed);
    struct timespec times[] = {before.st_atim, before.st_mtim};
    assert_return_code(utimensat(AT_FDCWD, path, times, 0), errno);
}

char *stale_map(stale *s, const char *path)
{
    struct stat st;
    int fd = stale_open(path, O_RDWR);

    assert_null(s->map);
    assert_return_code(fstat(fd, &st), errno);
    void *map = mmap(NULL, (size_t)st.st_size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    assert_true(map != MAP_FAILED);
    assert_return_code(close(fd), errno);
    s->map = map;
    s->map_length = (size_t)st.st_size;
    return map;
}

void stale_unmap(stale *s)
{
    if (s->map)
        (void)munmap(s->map, s->map_length);
    s->map = NULL;
}

static bool has_fine_grained_times(const struct statx *sx, const char *path)
{
    struct utsname name;
    struct statfs fs;
    char *rest;

    assert_return_code(uname(&name), errno);
    assert_return_code(statfs(path, &fs), errno);
    unsigned long major = strtoul(name.release, &rest, 10), minor = strtoul(rest + 1, NULL, 10),
                  magic = (unsigned long)fs.f_type & UINT32_MAX;
    return major * 1000 + minor >= 6013 && (magic == EXT || magic == XFS || magic == BTRFS || magic == TMPFS) &&
           sx->stx_mask & STATX_BTIME && (sx->stx_ctime.tv_nsec != 0 || sx->stx_mtime.tv_nsec != 0);
}

static void settle(const char *path, bool always_long)
{
    struct statx sx;
    struct timespec now, pause = {.tv_nsec = 2 * MS};

    for (int i = 0; i < SETTLE_TRIES; i++) {
        assert_return_code(statx(AT_FDCWD, path, 0, STATX_BASIC_STATS | STATX_BTIME, &sx), errno);
        int64_t window = !always_long && has_fine_grained_times(&sx, path) ? 21 * MS : 2 * S + MS;
        int64_t changed = sx.stx_ctime.tv_sec * S + sx.stx_ctime.tv_nsec;
        int64_t modified = sx.stx_mtime.tv_sec * S + sx.stx_mtime.tv_nsec;
        (void)clock_gettime(CLOCK_REALTIME, &now);
        if (now.tv_sec * S + now.tv_nsec - (changed > modified ? changed : modified) > window)
            return;
        (void)clock_nanosleep(CLOCK_MONOTONIC, 0, &pause, NULL);
    }
    fail_msg("%s stays young", path);
}

void stale_settle(const char *path)
{
    settle(path, false);
}

void stale_settle_long(const char *path)
{
    settle(path, true);
}

/* --- programs ----------------------------------------------------------------------------------------------------- */

const char *stale_program(stale *s, const char *name, unsigned seed)
{
    const char *path = stale_path(s, s->folder, name);
    unsigned char bytes[65536], own_bytes[64];
    ssize_t n;
    int from = stale_open("/bin/cat", O_RDONLY), to = stale_open(path, O_WRONLY | O_CREAT | O_TRUNC);

    while ((n = read(from, bytes, sizeof(bytes))) > 0)
        assert_int_equal(write(to, bytes, (size_t)n), n);
    stale_fill(own_bytes, sizeof(own_bytes), seed);
    assert_int_equal(write(to, own_bytes, sizeof(own_bytes)), sizeof(own_bytes));
    (void)close(from);
    assert_return_code(close(to), errno);
    return path;
}

static void die_with_parent(void *context)
{
    (void)context;
    (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
}

pid_t stale_start(stale *s, const char *path, char *const argv[])
{
    char *plain[] = {(char *)(uintptr_t) "cat", NULL};

    assert_true(s->n_children < sizeof(s->children) / sizeof(*s->children));
    live child = live_start(path, argv ? argv : plain, die_with_parent, NULL);
    s->children[s->n_children] = child.pid;
    s->holds[s->n_children++] = child.hold;
    return child.pid;
}

void stale_stop(stale *s, pid_t pid)
{
    for (size_t i = 0; i < s->n_children; i++) {
        if (s->children[i] != pid)
            continue;
        (void)close(s->holds[i]);
        (void)kill(pid, SIGKILL);
        assert_int_equal(waitpid(pid, NULL, 0), pid);
        s->n_children--;
        s->children[i] = s->children[s->n_children];
        s->holds[i] = s->holds[s->n_children];
        return;
    }
    fail_msg("%d is no child of the case", (int)pid);
}

const char *stale_exe(stale *s, pid_t pid)
{
    char *path = NULL;

    assert_true(asprintf(&path, "/proc/%d/exe", (int)pid) > 0);
    return own(s, path);
}

/* --- questions ---------------------------------------------------------------------------------------------------- */

void stale_digest(const char *path, uint8_t out[32])
{
    static unsigned char bytes[1 << 16];
    EVP_MD_CTX *context = EVP_MD_CTX_new();
    int fd = stale_open(path, O_RDONLY);
    ssize_t n;

    assert_non_null(context);
    assert_int_equal(EVP_DigestInit_ex(context, EVP_sha256(), NULL), 1);
    while ((n = read(fd, bytes, sizeof(bytes))) > 0)
        assert_int_equal(EVP_DigestUpdate(context, bytes, (size_t)n), 1);
    assert_int_equal(n, 0);
    assert_int_equal(EVP_DigestFinal_ex(context, out, NULL), 1);
    EVP_MD_CTX_free(context);
    (void)close(fd);
}

bool stale_is_right(const pl_digest *digest, const char *path)
{
    uint8_t want[32];

    stale_digest(path, want);
    return digest->algorithm == PL_SHA256 && digest->length == 32 && memcmp(digest->bytes, want, 32) == 0;
}

static void check_right(const stale *s, const pl_digest *digest, const char *path, unsigned source, const char *how)
{
    static const char *const names[] = {"nowhere", "memory", "the ledger", "a read"};

    if (!stale_is_right(digest, path))
        fail_msg("WRONG ANSWER about %s on %s: from %s, asked by %s", path, s->where, names[source & 3], how);
}

static pl_checksum ask_handle(const stale *s, pl_ledger *ledger, const char *path, const char *how)
{
    pl_checksum sum = {.struct_size = sizeof(sum)};

    assert_int_equal(pl_checksum_path(ledger, path, 0, &sum), 0);
    check_right(s, &sum.digests[0], path, sum.source, how);
    return sum;
}

pl_checksum stale_ask(stale *s, const char *path)
{
    return ask_handle(s, s->ledger, path, "path");
}

static pl_ledger *open_handle(const stale *s)
{
    pl_options options = {.struct_size = sizeof(options), .workers = 1};
    pl_ledger *ledger = NULL;

    assert_int_equal(pl_open(s->db, &options, &ledger), 0);
    return ledger;
}

/* The source of a fresh handle's answer: what the ledger says, with nothing in memory. */
static unsigned ask_ledger(stale *s, const char *path)
{
    s->fresh = open_handle(s);
    pl_checksum sum = ask_handle(s, s->fresh, path, "a fresh handle");

    s->fresh = pl_close(s->fresh);
    return sum.source;
}

static void ask_everywhere(stale *s, const char *path, bool changed)
{
    pl_checksum sum = {.struct_size = sizeof(sum)};
    unsigned source = ask_ledger(s, path);

    if (changed)
        assert_int_equal(source, PL_SOURCE_COMPUTED);
    (void)stale_ask(s, path);
    pl_auto_close int fd = stale_open(path, O_RDONLY);
    assert_int_equal(pl_checksum_fd(s->ledger, fd, 0, &sum), 0);
    check_right(s, &sum.digests[0], path, sum.source, "descriptor");
}

void stale_right(stale *s, const char *path)
{
    ask_everywhere(s, path, false);
}

void stale_changed(stale *s, const char *path)
{
    ask_everywhere(s, path, true);
}

pl_stats stale_stats(stale *s)
{
    pl_stats stats = {.struct_size = sizeof(stats)};

    assert_int_equal(pl_stats_get(s->ledger, &stats), 0);
    return stats;
}

void stale_restart(stale *s)
{
    s->ledger = pl_close(s->ledger);
    s->ledger = open_handle(s);
}

void stale_cached(stale *s, const char *path)
{
    stale_settle(path);
    stale_restart(s); /* commits what it knew of younger days before the ledger hears of the file again */
    (void)stale_ask(s, path);
    if (!s->cached) {
        stale_uncached(s, path);
        return;
    }
    pl_stats before = stale_stats(s);
    pl_checksum sum = stale_ask(s, path);
    pl_stats after = stale_stats(s);
    assert_int_equal(sum.source, PL_SOURCE_HOT);
    assert_int_equal(sum.assurance, PL_ASSURANCE_PROBED);
    assert_int_equal(after.files_hashed, before.files_hashed);
    assert_int_equal(after.hits_hot, before.hits_hot + 1);
    stale_restart(s);
    assert_int_equal(stale_ask(s, path).source, PL_SOURCE_LEDGER);
    after = stale_stats(s);
    assert_int_equal(after.files_hashed, 0);
    assert_int_equal(after.hits_ledger, 1);
}

void stale_uncached(stale *s, const char *path)
{
    pl_checksum sum = {.struct_size = sizeof(sum)};
    pl_stats before = stale_stats(s);

    for (int i = 0; i < 2; i++)
        assert_int_equal(stale_ask(s, path).source, PL_SOURCE_COMPUTED);
    pl_stats after = stale_stats(s);
    assert_int_equal(after.files_hashed, before.files_hashed + 2);
    assert_int_equal(after.hits_hot, before.hits_hot);
    assert_int_equal(after.hits_ledger, before.hits_ledger);
    stale_restart(s);
    assert_int_equal(pl_checksum_path(s->ledger, path, PL_NOREAD, &sum), PL_PENDING);
}

/* --- below the handle --------------------------------------------------------------------------------------------- */

void stale_resolve_close(stale *s)
{
    s->resolve = pl_resolve_free(s->resolve);
    s->writer = pl_writer_free(s->writer);
}

void stale_resolve_open(stale *s, const char *boot_id, int64_t ttl_ns, const pl_clock *clock)
{
    pl_store_options writing = {.mode = PL_STORE_WRITE}, reading = {.mode = PL_STORE_READ};
    pl_resolve_options options = {.clock = clock, .workers = 1, .path_ttl_ns = ttl_ns};
    pl_store *store = NULL;

    s->ledger = pl_close(s->ledger);
    stale_resolve_close(s);
    assert_int_equal(pl_store_open(s->db, &writing, &store), 0);
    assert_int_equal(pl_writer_new(store, NULL, &s->writer), 0);
    assert_int_equal(pl_store_open(s->db, &reading, &options.reader), 0);
    memcpy(options.boot_id, boot_id, PL_BOOT_ID_SIZE);
    options.writer = s->writer;
    assert_int_equal(pl_resolve_new(&options, &s->resolve), 0);
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

pl_answer stale_resolve_ask(stale *s, const char *path)
{
    got g;
    pl_place where = {.path = path, .mnt_ns = 1, .detected_by = PL_DETECTED_EXEC};
    int fd = stale_open(path, O_RDONLY);

    assert_return_code(sem_init(&g.there, 0, 0), errno);
    assert_int_equal(pl_resolve_submit(s->resolve, fd, &where, false, take, &g), 0);
    while (sem_wait(&g.there) < 0)
        assert_int_equal(errno, EINTR);
    (void)sem_destroy(&g.there);
    pl_resolve_drain(s->resolve);
    assert_int_equal(pl_writer_flush(s->writer), 0);
    assert_int_equal(g.answer.outcome, 0);
    check_right(s, &g.answer.digests.digests[0], path, g.answer.source, "resolve");
    return g.answer;
}

void stale_sql(stale *s, const char *sql, const char *want)
{
    pl_auto_free char *rows = pl_shell_query(s->db, sql);

    assert_string_equal(rows, want);
}

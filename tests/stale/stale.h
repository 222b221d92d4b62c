/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What the tests of the fifty cases share: places (file systems), files in them, a handle on a ledger, and the four
 * questions that a case ends with. A digest that is compared is taken here, by EVP over a read of the file, never by the
 * product. What a place caches is asked of the kernel's facts, never of the product.
 *
 * One thread. Everything below belongs to the case that runs, and is gone when it ends, however it ends.
 */
#ifndef PL_TESTS_STALE_H
#define PL_TESTS_STALE_H

#include <procledger/procledger.h>

#include "ledger/resolve.h"
#include "tests/support/fake_clock.h"
#include "tests/support/loop_fs.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include <cmocka.h>

#define STALE_PAGE ((size_t)4096)
#define STALE_SIZE (3 * STALE_PAGE) /* of a file of stale_file */
#define STALE_BOOT_A "aaaaaaaa-1111-2222-3333-444444444444"
#define STALE_BOOT_B "bbbbbbbb-1111-2222-3333-444444444444"

/* Places, as bits. */
enum {
    STALE_DISK = 1, /* $TMPDIR, else /var/tmp, whatever it is */
    STALE_EXT4 = 2,
    STALE_EXT3 = 4, /* whole seconds, no birth time */
    STALE_XFS = 8,
    STALE_BTRFS = 16,
    STALE_OVERLAY = 32,
    STALE_TMPFS = 64,
    STALE_TRUE_DISKS = STALE_DISK | STALE_EXT4 | STALE_XFS | STALE_BTRFS,
    STALE_EVERYWHERE = STALE_TRUE_DISKS | STALE_OVERLAY | STALE_TMPFS,
};

typedef struct stale {
    char *dir;         /* of the program, on the disk */
    char *folder;      /* of the running case, on its place */
    char *db;          /* of the running case */
    const char *where; /* name of the place; NULL: none runs */
    bool cached;       /* checksums are kept there */
    pl_ledger *ledger; /* open on db */
    pl_ledger *fresh;  /* a second one, for one question */
    pl_writer *writer; /* instead of it, after stale_resolve_open */
    pl_resolve *resolve;
    pl_fake_clock clock; /* of resolve */
    pl_loop_fs *own[4];  /* file systems of the case's own */
    size_t n_own;
    char *owned[64]; /* paths */
    size_t n_owned;
    char *overlays[8]; /* mounted */
    size_t n_overlays;
    pid_t children[32];
    int holds[32]; /* ends the child's input */
    size_t n_children;
    void *map; /* a mapping of the case, unmapped when it ends */
    size_t map_length;
    int guard; /* 0: none; closed first when the case ends, because somebody waits for it in the kernel */
} stale;

/* For cmocka: one state a program. */
int stale_group_setup(void **state);
int stale_group_teardown(void **state);
int stale_test_end(void **state);
#define STALE_CASE(function) cmocka_unit_test_teardown(function, stale_test_end)

/* Runs a case on each of the places that can be had; says which cannot, and skips when none can. */
void stale_each(void **state, unsigned places, void (*run)(stale *s));
/* A file system of the case's own below the program's folder; skips when it cannot be had. */
pl_loop_fs *stale_own_fs(stale *s, const pl_loop_fs_options *options);
/* Skips the test, saying why, unless root. */
void stale_need_root(const char *why);

/* Paths live as long as the case. */
const char *stale_path(stale *s, const char *folder, const char *name);
const char *stale_folder(stale *s, const char *folder, const char *name);
/* STALE_SIZE bytes that depend on seed. */
const char *stale_file(stale *s, const char *name, unsigned seed);
void stale_fill(void *bytes, size_t length, unsigned seed);
/* An overlay in a folder of the case's own (layers: lower, upper; merged). Returns that folder. */
const char *stale_overlay(stale *s, const char *name);
void stale_unmount(const char *path);
/* One write(2) at `at` of bytes that depend on seed; the file is closed again. Size and name stay. */
void stale_poke(const char *path, size_t at, size_t length, unsigned seed);
/* The same, and mtime put back to what it was. */
void stale_poke_hidden(const char *path, size_t at, size_t length, unsigned seed);
/* A writable shared mapping of the whole file, whose descriptor is closed; the case's one. */
char *stale_map(stale *s, const char *path);
void stale_unmap(stale *s);
int stale_open(const char *path, int flags);
/* Waits until the file's times are older than the racy window of its file system, by statx and the clock. */
void stale_settle(const char *path);
/* The same with the long window, whatever the file system: for what only a rule of its tier may keep from being kept. */
void stale_settle_long(const char *path);

/* A copy of a real program with bytes of its own behind it. */
const char *stale_program(stale *s, const char *name, unsigned seed);
/* Executes it; it lives until stale_stop or the end of the case. argv NULL: its name alone. */
pid_t stale_start(stale *s, const char *path, char *const argv[]);
void stale_stop(stale *s, pid_t pid);
/* "/proc/PID/exe", living as long as the case. */
const char *stale_exe(stale *s, pid_t pid);

/* --- questions ---------------------------------------------------------------------------------------------------- */

/* The independent digest of what is in the file now. */
void stale_digest(const char *path, uint8_t out[32]);
/* False: the answer is not what is in the file now. */
bool stale_is_right(const pl_digest *digest, const char *path);
/* Asks the handle, which must answer with the bytes that are there now. */
pl_checksum stale_ask(stale *s, const char *path);
/* As a fresh handle on the ledger, this handle, and this handle through a descriptor are asked: all right. */
void stale_right(stale *s, const char *path);
/* The same, and the first of them had to read: nothing that was known was taken for it. */
void stale_changed(stale *s, const char *path);
/* Settles; the next answer is right, and where the place caches, the one after it is served without a read, by this
 * handle and by one that is opened then. */
void stale_cached(stale *s, const char *path);
/* "U": right twice, read twice, and not in the ledger after a restart. Times must be settled where the case is not about
 * them. */
void stale_uncached(stale *s, const char *path);
/* pl_close and pl_open. */
void stale_restart(stale *s);
pl_stats stale_stats(stale *s);

/* --- the protocol below the handle, with a clock and a boot id that the test turns -------------------------------- */

/* Opens db again through pl_resolve; ttl_ns 0: a day. Closes what was open. */
void stale_resolve_open(stale *s, const char *boot_id, int64_t ttl_ns, const pl_clock *clock);
void stale_resolve_close(stale *s);
/* Asks it: right, committed. */
pl_answer stale_resolve_ask(stale *s, const char *path);
/* Exactly that row of the ledger; see tests/support/sqlite_shell.h. */
void stale_sql(stale *s, const char *sql, const char *want);

#endif

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Versions of files: what a sighting does to the open version of its path, who wins of two writers, and which identities
 * the ledger answers for. What must never happen is an answer for bytes that may be others: expired, closed, of another
 * device, unproven.
 */
#include "tests/unit/store/store_support.h"

#include <errno.h>
#include <pthread.h>

#include "ledger/store/database.h"
#include "src/base/error.h"
#include "tests/support/fault.h"

#define DAY (86400 * SECOND)

static const pl_writer_options by_hand = {.batch_ns = 3600 * SECOND, .batch_count = 1000000};

typedef struct room {
    fixture *f;
    pl_writer *w;
    pl_store *reader;
} room;

static int open_room(void **state)
{
    room *r = calloc(1, sizeof(*r));
    void *f = NULL;

    assert_int_equal(set_up(&f), 0);
    r->f = f;
    r->w = open_writer(r->f->path, PL_STORE_RECORDER, &by_hand);
    r->reader = open_store(r->f->path, PL_STORE_READ);
    *state = r;
    return 0;
}

static int close_room(void **state)
{
    room *r = *state;
    void *f = r->f;

    (void)pl_store_close(r->reader);
    (void)pl_writer_free(r->w);
    free(r);
    return tear_down(&f);
}

static void flush(room *r)
{
    assert_int_equal(pl_writer_flush(r->w), 0);
}

static void see(room *r, const pl_sighting *v)
{
    assert_int_equal(pl_writer_sighting(r->w, v), 0);
    flush(r);
}

/* What the ledger says of an identity at a moment, in a boot. */
static int find(room *r, const pl_identity *identity, const char *boot, int64_t now_ns, pl_known_file *out)
{
    memset(out, 0, sizeof(*out));
    return pl_files_find(r->reader, identity, boot, now_ns, DAY, out);
}

static void assert_known(room *r, const pl_sighting *v, const char *boot, int64_t now_ns, unsigned seed)
{
    pl_known_file known;
    const pl_digest_set want = digests_of(seed);

    assert_int_equal(find(r, &v->identity, boot, now_ns, &known), 0);
    assert_memory_equal(&known.digests.digests[0], &want.digests[0], sizeof(want.digests[0]));
}

static void assert_not_known(room *r, const pl_sighting *v, const char *boot, int64_t now_ns)
{
    pl_known_file known, untouched;

    memset(&untouched, 0, sizeof(untouched));
    assert_int_equal(find(r, &v->identity, boot, now_ns, &known), PL_PENDING);
    assert_memory_equal(&known, &untouched, sizeof(known));
}

#define HISTORY                                                                                                        \
    "SELECT substr(sha256, 1, 2), hash_state, first_time - 1700000000, last_time - 1700000000,"                        \
    " end_time - 1700000000, end_reason, detected_by FROM file_history ORDER BY version_id"

static void test_first_sighting_opens_a_version(void **state)
{
    room *r = *state;
    pl_sighting v = sighting_of("/bin/x", 5, 1, T0);

    v.container = "box";
    v.identity.uid = 3;
    v.identity.gid = 4;
    see(r, &v);
    assert_answer(r->f->path, HISTORY, "01|ok|0|0|NULL|NULL|exec");
    assert_answer(r->f->path,
                  "SELECT path, mnt_ns, container, size, mode, uid, gid, inode, mtime_ns, ctime_ns FROM file_history",
                  "/bin/x|1|box|101|33261|3|4|5|1699999999000000000|1699999999000000001");
    assert_answer(r->f->path,
                  "SELECT path, mnt_ns, container, size, substr(sha256, 1, 2), hash_state, assurance, md5, last_time"
                  " FROM hash",
                  "/bin/x|1|box|101|01|ok|probed|NULL|1700000000");
}

static void test_everything_of_an_identity_comes_back(void **state)
{
    room *r = *state;
    pl_sighting v = sighting_of("/bin/x", UINT64_MAX, 1, T0);
    pl_known_file known;

    v.identity.btime_ns = -5;
    v.identity.uid = UINT32_MAX - 1;
    v.fs = (pl_file_system){.magic = UINT64_C(0x9123683e),
                            .fsid = UINT64_MAX - 9,
                            .uuid = {9, 8, 7},
                            .generation = UINT64_MAX,
                            .tier = PL_TIER_B,
                            .read_only = true,
                            .fine_grained = true};
    v.digests.digests[1] = (pl_digest){.algorithm = PL_MD5, .length = 16, .bytes = {1}};
    v.digests.digests[2] = (pl_digest){.algorithm = PL_SHA1, .length = 20, .bytes = {2}};
    v.digests.digests[3] = (pl_digest){.algorithm = PL_SHA512, .length = 64, .bytes = {3}};
    see(r, &v);
    assert_int_equal(find(r, &v.identity, BOOT_A, T0, &known), 0);
    assert_memory_equal(&known.identity, &v.identity, sizeof(v.identity));
    assert_memory_equal(&known.fs, &v.fs, sizeof(v.fs));
    assert_memory_equal(&known.digests, &v.digests, sizeof(v.digests));
    assert_int_equal(known.assurance, PL_ASSURANCE_PROBED);
    assert_true(known.same_boot);
    assert_int_equal(known.hashed_ns, v.hashed_ns);
    assert_int_equal(known.wall_minus_boot_ns, v.wall_minus_boot_ns);
    assert_int_equal(known.version_id, 1);
}

static void test_same_bytes_seen_again_only_move_the_time(void **state)
{
    room *r = *state;
    pl_sighting v = sighting_of("/bin/x", 5, 1, T0);

    see(r, &v);
    v.time_ns = T0 + 7 * SECOND;
    v.detected_by = PL_DETECTED_SWEEP;
    see(r, &v);
    assert_answer(r->f->path, HISTORY, "01|ok|0|7|NULL|NULL|exec");
    /* An older word does not move it back. */
    v.time_ns = T0 + 3 * SECOND;
    see(r, &v);
    assert_answer(r->f->path, HISTORY, "01|ok|0|7|NULL|NULL|exec");
}

static void test_chmod_and_chown_begin_a_version(void **state)
{
    room *r = *state;
    pl_sighting v = sighting_of("/bin/x", 5, 1, T0), before = v;

    see(r, &v);
    v.identity.mode = S_IFREG | 0700;
    v.identity.ctime_ns += SECOND;
    see(r, &v);
    assert_known(r, &v, BOOT_A, T0, 1);
    assert_not_known(r, &before, BOOT_A, T0);
    v.identity.uid++;
    v.identity.ctime_ns += SECOND;
    see(r, &v);
    v.identity.ctime_ns += SECOND; /* something else of it changed */
    see(r, &v);
    assert_answer(r->f->path, "SELECT mode, end_reason, count(*) OVER () FROM file_history ORDER BY version_id LIMIT 1",
                  "33261|modified|3");
    assert_answer(r->f->path, "SELECT mode, end_reason FROM file_history ORDER BY version_id DESC LIMIT 1",
                  "33216|NULL");
}

static void test_other_bytes_in_the_same_inode_are_modified(void **state)
{
    room *r = *state;
    pl_sighting v = sighting_of("/bin/x", 5, 1, T0), w = sighting_of("/bin/x", 5, 2, T0 + 9 * SECOND);

    w.detected_by = PL_DETECTED_INOTIFY;
    see(r, &v);
    see(r, &w);
    assert_answer(r->f->path, HISTORY, "01|ok|0|0|9|modified|inotify\n02|ok|9|9|NULL|NULL|inotify");
    assert_known(r, &w, BOOT_A, T0, 2);
    assert_not_known(r, &v, BOOT_A, T0);
}

static void test_another_inode_is_replaced_even_by_equal_bytes(void **state)
{
    room *r = *state;
    pl_sighting v = sighting_of("/bin/x", 5, 1, T0), same = sighting_of("/bin/x", 6, 1, T0 + SECOND);
    pl_sighting other = sighting_of("/bin/x", 7, 2, T0 + 2 * SECOND);

    see(r, &v);
    see(r, &same);
    see(r, &other);
    assert_answer(r->f->path, HISTORY,
                  "01|ok|0|0|1|replaced|exec\n01|ok|1|1|2|replaced|exec\n02|ok|2|2|NULL|NULL|exec");
}

/* An inode number that was given to a new file: the birth time tells. */
static void test_inode_used_again_is_another_file(void **state)
{
    room *r = *state;
    pl_sighting v = sighting_of("/bin/x", 5, 1, T0), w = sighting_of("/bin/x", 5, 1, T0 + SECOND);

    w.identity.btime_ns += SECOND;
    see(r, &v);
    see(r, &w);
    assert_answer(r->f->path, HISTORY, "01|ok|0|0|1|replaced|exec\n01|ok|1|1|NULL|NULL|exec");
}

static void test_failure_to_read_is_no_change(void **state)
{
    room *r = *state;
    pl_sighting v = sighting_of("/bin/x", 5, 1, T0), bad = v;

    see(r, &v);
    bad.hash_state = PL_HASH_UNREADABLE;
    bad.time_ns = T0 + 4 * SECOND;
    see(r, &bad);
    assert_answer(r->f->path, HISTORY, "01|ok|0|4|NULL|NULL|exec");
    assert_known(r, &v, BOOT_A, T0, 1);
}

static void test_unreadable_with_another_identity_is_a_change(void **state)
{
    room *r = *state;
    pl_sighting v = sighting_of("/bin/x", 5, 1, T0), bad = sighting_of("/bin/x", 5, 2, T0 + SECOND);

    see(r, &v);
    bad.hash_state = PL_HASH_TOO_BIG;
    see(r, &bad);
    assert_answer(r->f->path, HISTORY, "01|ok|0|0|1|modified|exec\nNULL|too-big|1|1|NULL|NULL|exec");
    assert_not_known(r, &bad, BOOT_A, T0 + SECOND);
    /* It changes again while nobody can read it: the same version of unknown bytes. */
    bad.identity.mtime_ns++;
    bad.time_ns += SECOND;
    bad.hash_state = PL_HASH_UNSTABLE;
    see(r, &bad);
    assert_answer(r->f->path, HISTORY, "01|ok|0|0|1|modified|exec\nNULL|unstable|1|2|NULL|NULL|exec");
    /* And then somebody can. */
    pl_sighting good = sighting_of("/bin/x", 5, 3, T0 + 3 * SECOND);
    see(r, &good);
    assert_answer(r->f->path, HISTORY, "01|ok|0|0|1|modified|exec\n03|ok|1|3|NULL|NULL|exec");
}

static void test_unproven_re_read_leaves_the_proof(void **state)
{
    room *r = *state;
    pl_sighting v = sighting_of("/bin/x", 5, 1, T0), unproven = v;

    see(r, &v);
    unproven.cacheable = false;
    unproven.assurance = PL_ASSURANCE_STAT;
    unproven.time_ns += SECOND;
    see(r, &unproven);
    assert_known(r, &v, BOOT_A, T0, 1);
    assert_answer(r->f->path, "SELECT assurance, last_time - 1700000000 FROM hash", "probed|1");
    /* Unless the identity is another one by now. */
    unproven.identity.ctime_ns++;
    see(r, &unproven);
    assert_not_known(r, &v, BOOT_A, T0);
    assert_not_known(r, &unproven, BOOT_A, T0);
    assert_answer(r->f->path, "SELECT assurance FROM hash", "stat");
}

static void test_unproven_hash_is_never_served(void **state)
{
    room *r = *state;
    pl_sighting v = sighting_of("/bin/x", 5, 1, T0);

    v.cacheable = false;
    see(r, &v);
    assert_not_known(r, &v, BOOT_A, T0);
    assert_answer(r->f->path, "SELECT substr(sha256, 1, 2) FROM hash", "01");
    v.cacheable = true;
    see(r, &v);
    assert_known(r, &v, BOOT_A, T0, 1);
}

static void test_vanished_version_is_closed_and_forgotten(void **state)
{
    room *r = *state;
    pl_sighting v = sighting_of("/bin/x", 5, 1, T0);

    see(r, &v);
    assert_int_equal(pl_writer_close_version(r->w, "/bin/x", 1, T0 + 5 * SECOND, "vanished", PL_DETECTED_SWEEP), 0);
    /* Somebody else's namespace, and a path that nobody knows: nothing. */
    assert_int_equal(pl_writer_close_version(r->w, "/bin/x", 2, T0 + 6 * SECOND, "vanished", PL_DETECTED_SWEEP), 0);
    assert_int_equal(pl_writer_close_version(r->w, "/none", 1, T0 + 6 * SECOND, "vanished", PL_DETECTED_SWEEP), 0);
    flush(r);
    assert_answer(r->f->path, HISTORY, "01|ok|0|0|5|vanished|sweep");
    assert_answer(r->f->path, "SELECT count(*) FROM hash", "0");
    assert_not_known(r, &v, BOOT_A, T0);
}

static void test_seen_moves_the_time_of_an_open_version_only(void **state)
{
    room *r = *state;
    pl_sighting v = sighting_of("/bin/x", 5, 1, T0), w = sighting_of("/bin/x", 5, 2, T0 + 10 * SECOND);

    see(r, &v);
    assert_int_equal(pl_writer_seen(r->w, "/bin/x", 1, T0 + 4 * SECOND), 0);
    assert_int_equal(pl_writer_seen(r->w, "/bin/x", 2, T0 + 5 * SECOND), 0);
    flush(r);
    assert_answer(r->f->path, HISTORY, "01|ok|0|4|NULL|NULL|exec");
    assert_int_equal(pl_writer_seen(r->w, "/bin/x", 1, T0 + 6 * SECOND), 0);
    flush(r);
    assert_answer(r->f->path, HISTORY, "01|ok|0|6|NULL|NULL|exec");
    see(r, &w);
    assert_int_equal(pl_writer_seen(r->w, "/bin/x", 1, T0 + 90 * SECOND), 0);
    flush(r);
    assert_answer(r->f->path, HISTORY, "01|ok|0|6|10|modified|exec\n02|ok|10|90|NULL|NULL|exec");
}

/* --- which answers are given --- */

static void test_expiry_is_judged_when_read(void **state)
{
    room *r = *state;
    pl_sighting v = sighting_of("/bin/x", 5, 1, T0);

    see(r, &v);
    /* Nobody swept: the row is open, and the last moment of its day is its last. */
    assert_known(r, &v, BOOT_A, T0 + DAY, 1);
    assert_not_known(r, &v, BOOT_A, T0 + DAY + SECOND);
    assert_answer(r->f->path, "SELECT count(*) FROM hash", "1");
    /* Seen again, it lives another day. */
    assert_int_equal(pl_writer_seen(r->w, "/bin/x", 1, T0 + 1000 * SECOND), 0);
    flush(r);
    assert_known(r, &v, BOOT_A, T0 + DAY + 1000 * SECOND, 1);
    assert_not_known(r, &v, BOOT_A, T0 + DAY + 1001 * SECOND);
}

static void test_swept_version_is_expired_and_its_return_is_no_change(void **state)
{
    room *r = *state;
    pl_sighting v = sighting_of("/bin/x", 5, 1, T0), again = sighting_of("/bin/x", 5, 1, T0 + 2 * DAY);

    see(r, &v);
    assert_int_equal(pl_writer_retain(r->w, T0 + DAY), 0);
    flush(r);
    assert_answer(r->f->path, HISTORY, "01|ok|0|0|NULL|NULL|exec");
    assert_int_equal(pl_writer_retain(r->w, T0 + DAY + SECOND), 0);
    flush(r);
    assert_answer(r->f->path, HISTORY, "01|ok|0|0|86401|expired|sweep");
    assert_not_known(r, &v, BOOT_A, T0);
    see(r, &again);
    assert_answer(r->f->path, HISTORY, "01|ok|0|0|86401|expired|sweep\n01|ok|172800|172800|NULL|NULL|exec");
    assert_answer(r->f->path, "SELECT count(*) FROM changes", "0");
}

static void test_device_counts_within_one_boot_only(void **state)
{
    room *r = *state;
    pl_sighting v = sighting_of("/bin/x", 5, 1, T0), moved = v;
    pl_known_file known;

    see(r, &v);
    moved.identity.dev_minor++;
    assert_not_known(r, &moved, BOOT_A, T0);
    moved.identity.dev_major++;
    assert_not_known(r, &moved, BOOT_A, T0);
    /* After a boot devices have other numbers; the caller is told that it must look closer. */
    assert_int_equal(find(r, &moved.identity, BOOT_B, T0, &known), 0);
    assert_false(known.same_boot);
    assert_int_equal(find(r, &v.identity, BOOT_A, T0, &known), 0);
    assert_true(known.same_boot);
}

static void test_file_is_the_same_after_a_boot_whatever_its_device(void **state)
{
    room *r = *state;
    pl_sighting v = sighting_of("/bin/x", 5, 1, T0), later = sighting_of("/bin/x", 5, 1, T0 + 60 * SECOND);

    see(r, &v);
    later.identity.dev_major = 259;
    later.identity.dev_minor = 7;
    memcpy(later.boot_id, BOOT_B, sizeof(later.boot_id));
    see(r, &later);
    assert_answer(r->f->path, HISTORY, "01|ok|0|60|NULL|NULL|exec");
    assert_known(r, &later, BOOT_B, T0, 1);
    /* In one boot another device is another file. */
    later.identity.dev_minor = 8;
    later.time_ns += SECOND;
    see(r, &later);
    assert_answer(r->f->path, HISTORY, "01|ok|0|60|61|replaced|exec\n01|ok|61|61|NULL|NULL|exec");
}

static void test_each_field_of_the_identity_counts(void **state)
{
    room *r = *state;
    pl_sighting v = sighting_of("/bin/x", 5, 1, T0);
    pl_sighting other[5];

    see(r, &v);
    for (int i = 0; i < 5; i++)
        other[i] = v;
    other[0].identity.inode++;
    other[1].identity.size++;
    other[2].identity.mtime_ns++;
    other[3].identity.ctime_ns++;
    other[4].identity.btime_ns++;
    for (int i = 0; i < 5; i++) {
        assert_not_known(r, &other[i], BOOT_A, T0);
        assert_not_known(r, &other[i], BOOT_B, T0);
    }
    /* Attributes are no proof of anything. */
    v.identity.mode = v.identity.uid = v.identity.gid = v.identity.nlink = 77;
    assert_known(r, &v, BOOT_A, T0, 1);
}

static void test_hash_of_this_boot_comes_before_one_of_another(void **state)
{
    room *r = *state;
    pl_sighting old = sighting_of("/old", 5, 1, T0), now = sighting_of("/now", 5, 2, T0);
    pl_known_file known;

    /* Two file systems with one identity, down to the nanosecond. */
    now.identity = old.identity;
    now.hashed_ns = T0 - 10 * SECOND;
    memcpy(now.boot_id, BOOT_B, sizeof(now.boot_id));
    see(r, &old);
    see(r, &now);
    assert_int_equal(find(r, &old.identity, BOOT_B, T0, &known), 0);
    assert_true(known.same_boot);
    assert_int_equal(known.digests.digests[0].bytes[0], 2);
    assert_int_equal(find(r, &old.identity, BOOT_A, T0, &known), 0);
    assert_true(known.same_boot);
    assert_int_equal(known.digests.digests[0].bytes[0], 1);
    /* In a third one: what was hashed last. */
    assert_int_equal(find(r, &old.identity, "cccccccc-cccc-4ccc-8ccc-cccccccccccc", T0, &known), 0);
    assert_false(known.same_boot);
    assert_int_equal(known.digests.digests[0].bytes[0], 1);
}

static void test_two_names_of_one_file_have_two_histories(void **state)
{
    room *r = *state;
    pl_sighting bin = sighting_of("/bin/x", 5, 1, T0), usr = sighting_of("/usr/bin/x", 5, 1, T0);

    see(r, &bin);
    see(r, &usr);
    assert_answer(r->f->path, "SELECT path FROM hash ORDER BY path", "/bin/x\n/usr/bin/x");
    assert_int_equal(pl_writer_close_version(r->w, "/bin/x", 1, T0 + SECOND, "vanished", PL_DETECTED_SWEEP), 0);
    flush(r);
    /* The file is still known by its other name. */
    assert_known(r, &usr, BOOT_A, T0, 1);
    assert_answer(r->f->path, "SELECT path FROM hash", "/usr/bin/x");
}

static void test_one_path_in_two_mount_namespaces_is_two_files(void **state)
{
    room *r = *state;
    pl_sighting host = sighting_of("/bin/x", 5, 1, T0), box = sighting_of("/bin/x", 6, 2, T0 + SECOND);

    box.mnt_ns = 2;
    box.container = "box";
    see(r, &host);
    see(r, &box);
    assert_answer(r->f->path, "SELECT mnt_ns, container, substr(sha256, 1, 2) FROM hash ORDER BY mnt_ns",
                  "1|NULL|01\n2|box|02");
    assert_answer(r->f->path, "SELECT count(*) FROM file_history WHERE end_time IS NOT NULL", "0");
}

static void test_row_that_somebody_edited_proves_nothing(void **state)
{
    static const char *const edits[] = {
        "UPDATE _content SET sha256 = 'short' WHERE id <> 0",
        "UPDATE _content SET sha256 = replace(sha256, '0', 'x') WHERE id <> 0",
        "UPDATE _version SET content_id = 0",
        "UPDATE _version SET content_id = 999",
        "UPDATE _version SET hash_state = 2",
    };

    for (size_t i = 0; i < sizeof(edits) / sizeof(edits[0]); i++) {
        void *inner = NULL;
        assert_int_equal(open_room(&inner), 0);
        room *r = inner;
        pl_sighting v = sighting_of("/bin/x", 5, 1, T0);
        see(r, &v);
        assert_known(r, &v, BOOT_A, T0, 1);
        force(r->f->path, edits[i]);
        assert_not_known(r, &v, BOOT_A, T0);
        assert_int_equal(close_room(&inner), 0);
    }
    (void)state;
}

/* --- two writers --- */

static void test_later_writer_sees_what_the_earlier_did(void **state)
{
    room *r = *state;
    pl_writer *other = open_writer(r->f->path, PL_STORE_WRITE, &by_hand);
    pl_sighting first = sighting_of("/bin/x", 5, 1, T0), second = sighting_of("/bin/x", 5, 2, T0 + SECOND);
    pl_sighting third = sighting_of("/bin/x", 6, 3, T0 + 2 * SECOND);

    see(r, &first);
    assert_int_equal(pl_writer_sighting(other, &second), 0);
    assert_int_equal(pl_writer_flush(other), 0);
    see(r, &third);
    /* Both saw the same: the second one finds it done. */
    assert_int_equal(pl_writer_sighting(other, &third), 0);
    assert_int_equal(pl_writer_flush(other), 0);
    assert_answer(r->f->path, HISTORY,
                  "01|ok|0|0|1|modified|exec\n02|ok|1|1|2|replaced|exec\n03|ok|2|2|NULL|NULL|exec");
    /* Closed by one, seen by the other: nothing is opened again. */
    assert_int_equal(pl_writer_close_version(other, "/bin/x", 1, T0 + 3 * SECOND, "vanished", PL_DETECTED_SWEEP), 0);
    assert_int_equal(pl_writer_flush(other), 0);
    assert_int_equal(pl_writer_seen(r->w, "/bin/x", 1, T0 + 4 * SECOND), 0);
    assert_int_equal(pl_writer_seen(r->w, "/bin/x", 1, T0 + 4 * SECOND), 0);
    flush(r);
    assert_answer(r->f->path, "SELECT count(*), max(last_time) - 1700000000 FROM file_history", "3|2");
    (void)pl_writer_free(other);
}

typedef struct contender {
    pl_writer *w;
    unsigned seed;
} contender;

static void *contend(void *argument)
{
    const contender *c = argument;

    for (unsigned i = 0; i < 200; i++) {
        pl_sighting v = sighting_of("/bin/x", 5, 2 * i + c->seed, T0 + i * SECOND);
        (void)pl_writer_sighting(c->w, &v);
        if (i % 3 == 0)
            (void)pl_writer_flush(c->w);
    }
    return NULL;
}

/* Two writers that never agree about one path: whatever the order, one version is open and each closed one was closed
 * once. */
static void test_of_two_writers_one_version_stays_open(void **state)
{
    room *r = *state;
    pl_writer *other = open_writer(r->f->path, PL_STORE_WRITE, NULL);
    contender contenders[2] = {{r->w, 0}, {other, 1}};
    pthread_t threads[2];

    for (int i = 0; i < 2; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, contend, &contenders[i]), 0);
    for (int i = 0; i < 2; i++)
        assert_int_equal(pthread_join(threads[i], NULL), 0);
    flush(r);
    assert_int_equal(pl_writer_flush(other), 0);
    (void)pl_writer_free(other);
    /* What one of them saw before the other is over when it comes late. */
    assert_answer(
        r->f->path,
        "SELECT count(*) BETWEEN 200 AND 400, sum(end_time IS NULL), sum(end_reason IS NULL) FROM file_history",
        "1|1|1");
    assert_answer(r->f->path, "SELECT count(*) FROM hash", "1");
    assert_answer(r->f->path, "SELECT count(*) FROM file_history WHERE end_time < first_time", "0");
    assert_answer(r->f->path, "PRAGMA integrity_check", "ok");
}

/* --- what is live --- */

#define LIVE_MAX 8

static int live(room *r, int64_t after_id, int64_t since_ns, pl_live_version *out, size_t n)
{
    return pl_files_live(r->reader, after_id, BOOT_A, since_ns, out, n);
}

/* Paths of the live versions, a line each, in their order. */
static void assert_live(room *r, int64_t after_id, int64_t since_ns, size_t limit, const char *expected)
{
    pl_live_version list[LIVE_MAX];
    char text[1024] = "";
    size_t length = 0;
    int n = live(r, after_id, since_ns, list, limit);

    assert_true(n >= 0 && (size_t)n <= limit);
    for (int i = 0; i < n; i++) {
        length += (size_t)snprintf(text + length, sizeof(text) - length, "%s%s", i ? " " : "", list[i].path);
        assert_true(length < sizeof(text));
        pl_live_version_deinit(&list[i]);
        assert_null(list[i].path);
    }
    assert_string_equal(text, expected);
}

static void see_five(room *r)
{
    static const char *const paths[] = {"/e", "/d", "/c", "/b", "/a"};

    for (unsigned i = 0; i < 5; i++) {
        pl_sighting v = sighting_of(paths[i], 10 + i, i, T0 + i * SECOND);
        see(r, &v);
    }
}

static void test_live_versions_come_in_the_order_of_their_ids(void **state)
{
    room *r = *state;

    assert_live(r, 0, 0, LIVE_MAX, "");
    see_five(r);
    assert_live(r, 0, 0, LIVE_MAX, "/e /d /c /b /a");
    assert_live(r, -1, 0, LIVE_MAX, "/e /d /c /b /a");
}

static void test_live_versions_come_a_few_at_a_time(void **state)
{
    room *r = *state;

    see_five(r);
    assert_live(r, 0, 0, 2, "/e /d");
    assert_live(r, 2, 0, 2, "/c /b"); /* above the last id, not from it on */
    assert_live(r, 4, 0, 2, "/a");
    assert_live(r, 5, 0, 2, "");
    assert_live(r, 0, 0, 5, "/e /d /c /b /a");
    assert_live(r, 0, 0, 0, "");
}

static void test_what_was_not_seen_since_is_not_live(void **state)
{
    room *r = *state;

    see_five(r);
    assert_live(r, 0, T0 + 3 * SECOND, LIVE_MAX, "/b /a"); /* the very second counts */
    assert_live(r, 0, T0 + 5 * SECOND, LIVE_MAX, "");
    assert_int_equal(pl_writer_seen(r->w, "/e", 1, T0 + 9 * SECOND), 0);
    flush(r);
    assert_live(r, 0, T0 + 5 * SECOND, LIVE_MAX, "/e");
}

static void test_what_is_closed_is_not_live(void **state)
{
    room *r = *state;
    pl_sighting again = sighting_of("/d", 11, 7, T0 + 20 * SECOND);

    see_five(r);
    assert_int_equal(pl_writer_close_version(r->w, "/e", 1, T0 + 9 * SECOND, "vanished", PL_DETECTED_SWEEP), 0);
    flush(r);
    assert_live(r, 0, 0, LIVE_MAX, "/d /c /b /a");
    see(r, &again); /* other bytes: the open version is the new one */
    assert_live(r, 0, 0, LIVE_MAX, "/c /b /a /d");
}

static void test_a_live_version_has_what_a_look_needs(void **state)
{
    room *r = *state;
    pl_sighting v = sighting_of("/bin/x", UINT64_MAX, 1, T0 + 5 * SECOND);
    pl_live_version got;

    v.mnt_ns = UINT64_MAX - 1;
    v.container = "box";
    v.identity.btime_ns = -5;
    v.identity.uid = UINT32_MAX - 1;
    v.identity.gid = 77;
    v.identity.mode = S_IFREG | 04755;
    v.fs.tier = PL_TIER_B;
    see(r, &v);
    assert_int_equal(live(r, 0, 0, &got, 1), 1);
    assert_int_equal(got.version_id, 1);
    assert_string_equal(got.path, "/bin/x");
    assert_string_equal(got.container, "box");
    assert_true(got.mnt_ns == UINT64_MAX - 1);
    assert_true(pl_identity_equal(&got.identity, &v.identity));
    assert_int_equal(got.identity.mode, v.identity.mode);
    assert_int_equal(got.identity.uid, v.identity.uid);
    assert_int_equal(got.identity.gid, v.identity.gid);
    assert_int_equal(got.tier, PL_TIER_B);
    assert_true(got.hashed && got.cacheable && got.same_boot);
    assert_true(got.last_time_ns == T0 + 5 * SECOND);
    pl_live_version_deinit(&got);
    assert_null(got.container);
}

static void test_paths_of_live_versions_are_their_exact_bytes(void **state)
{
    static const char *const paths[] = {"/new\nline", "/\xff\xfe", "/\xe2\x80\xae", "/a\\xffb", "/\xc3\xa9", "/ "};
    room *r = *state;
    pl_live_version list[LIVE_MAX];
    const size_t count = sizeof(paths) / sizeof(paths[0]);

    for (unsigned i = 0; i < count; i++) {
        pl_sighting v = sighting_of(paths[i], 10 + i, i, T0);
        see(r, &v);
    }
    assert_int_equal(live(r, 0, 0, list, LIVE_MAX), count);
    for (size_t i = 0; i < count; i++) {
        assert_string_equal(list[i].path, paths[i]);
        assert_null(list[i].container);
        pl_live_version_deinit(&list[i]);
    }
}

static void test_a_live_version_of_another_boot_says_so(void **state)
{
    room *r = *state;
    pl_sighting a = sighting_of("/a", 1, 1, T0), b = sighting_of("/b", 2, 2, T0), unknown = sighting_of("/c", 3, 3, T0);
    pl_live_version list[LIVE_MAX];

    memcpy(b.boot_id, BOOT_B, sizeof(BOOT_B));
    unknown.boot_id[0] = '\0';
    see(r, &a);
    see(r, &b);
    see(r, &unknown);
    assert_int_equal(live(r, 0, 0, list, LIVE_MAX), 3);
    for (size_t i = 0; i < 3; i++) {
        assert_int_equal(list[i].same_boot, i == 0);
        pl_live_version_deinit(&list[i]);
    }
}

static void test_a_live_version_without_a_digest_or_proof_says_so(void **state)
{
    room *r = *state;
    pl_sighting unreadable = sighting_of("/a", 1, 1, T0), unproven = sighting_of("/b", 2, 2, T0);
    pl_live_version list[LIVE_MAX];

    unreadable.hash_state = PL_HASH_UNSTABLE;
    unreadable.cacheable = false;
    unproven.cacheable = false;
    see(r, &unreadable);
    see(r, &unproven);
    assert_int_equal(live(r, 0, 0, list, LIVE_MAX), 2);
    assert_false(list[0].hashed || list[0].cacheable);
    assert_true(list[1].hashed);
    assert_false(list[1].cacheable);
    pl_live_version_deinit(&list[0]);
    pl_live_version_deinit(&list[1]);
}

static void test_live_versions_without_memory_are_nobodys(void **state)
{
    room *r = *state;
    pl_sighting boxed = sighting_of("/f", 6, 6, T0);
    unsigned n = 1;

    boxed.container = "box";
    see_five(r);
    see(r, &boxed);
    assert_live(r, 0, 0, LIVE_MAX, "/e /d /c /b /a /f"); /* the statement is prepared */
    for (;; n++) {
        pl_live_version list[LIVE_MAX];
        pl_fault_arm(PL_FAULT_ALLOC, n, ENOMEM);
        int rc = live(r, 0, 0, list, LIVE_MAX);
        bool fired = pl_fault_fired();
        pl_fault_disarm();
        assert_int_equal(rc, fired ? PL_ERR_NOMEM : 6);
        if (!fired) {
            for (size_t i = 0; i < 6; i++)
                pl_live_version_deinit(&list[i]);
            break;
        }
        assert_live(r, 4, 0, LIVE_MAX, "/a /f"); /* and it goes on afterwards */
    }
    assert_int_equal(n - 1, 7); /* six paths and a container */
}

static void test_live_versions_of_a_damaged_file_are_an_error(void **state)
{
    room *r = *state;
    pl_live_version list[LIVE_MAX];

    see_five(r);
    force(r->f->path, "ALTER TABLE _version RENAME TO _elsewhere");
    assert_int_equal(live(r, 0, 0, list, LIVE_MAX), PL_ERR_DAMAGED);
    force(r->f->path, "ALTER TABLE _elsewhere RENAME TO _version");
    assert_live(r, 3, 0, LIVE_MAX, "/b /a");
}

/* --- looks of our own --- */

static int64_t last_time(const room *r)
{
    return ask_number(r->f->path, "SELECT max(last_time) - 1700000000 FROM file_history");
}

static void test_a_look_of_our_own_is_not_being_seen(void **state)
{
    room *r = *state;
    pl_sighting v = sighting_of("/bin/x", 5, 1, T0), failed = v;

    v.cacheable = false;
    see(r, &v);
    failed.hash_state = PL_HASH_UNREADABLE;
    for (int unseen = 1; unseen >= 0; unseen--) { /* the first changes nothing, the second moves the time */
        failed.unseen = unseen;
        failed.time_ns = T0 + 7 * SECOND;
        see(r, &failed);
        assert_int_equal(last_time(r), unseen ? 0 : 7);
    }
    assert_answer(r->f->path, HISTORY, "01|ok|0|7|NULL|NULL|exec");
}

static void test_a_proof_of_our_own_is_written_and_does_not_move_the_time(void **state)
{
    room *r = *state;
    pl_sighting v = sighting_of("/bin/x", 5, 1, T0), proven = v;

    v.cacheable = false;
    v.assurance = PL_ASSURANCE_STAT;
    see(r, &v);
    assert_not_known(r, &v, BOOT_A, T0);
    proven.unseen = true;
    proven.time_ns = proven.hashed_ns = T0 + 7 * SECOND;
    proven.identity.ctime_ns++;
    see(r, &proven);
    assert_int_equal(last_time(r), 0);
    assert_known(r, &proven, BOOT_A, T0, 1); /* all but the time */
    assert_answer(r->f->path, "SELECT assurance, count(*) FROM hash", "probed|1");
    proven.unseen = false;
    see(r, &proven);
    assert_int_equal(last_time(r), 7);
}

/* Its day goes on from when it was really seen: a new boot reads everything again. */
static void test_re_read_after_a_boot_does_not_prolong_its_day(void **state)
{
    room *r = *state;
    pl_sighting v = sighting_of("/bin/x", 5, 1, T0), again = v;

    see(r, &v);
    memcpy(again.boot_id, BOOT_B, sizeof(BOOT_B));
    again.unseen = true;
    again.time_ns = T0 + DAY;
    see(r, &again);
    assert_known(r, &again, BOOT_B, T0 + DAY, 1);
    assert_not_known(r, &again, BOOT_B, T0 + DAY + SECOND);
}

static void test_a_change_that_a_look_of_our_own_finds_begins_a_version(void **state)
{
    room *r = *state;
    pl_sighting v = sighting_of("/bin/x", 5, 1, T0), w = sighting_of("/bin/x", 5, 2, T0 + 9 * SECOND);

    w.unseen = true;
    w.detected_by = PL_DETECTED_INOTIFY;
    see(r, &v);
    see(r, &w);
    assert_answer(r->f->path, HISTORY, "01|ok|0|0|9|modified|inotify\n02|ok|9|9|NULL|NULL|inotify");
}

/* --- failures --- */

static void test_finding_without_memory_or_file_says_so(void **state)
{
    room *r = *state;
    pl_sighting v = sighting_of("/bin/x", 5, 1, T0);
    pl_known_file known;

    see(r, &v);
    force(r->f->path, "ALTER TABLE _version RENAME TO _elsewhere");
    assert_int_equal(find(r, &v.identity, BOOT_A, T0, &known), PL_ERR_DAMAGED);
    force(r->f->path, "ALTER TABLE _elsewhere RENAME TO _version");
    assert_known(r, &v, BOOT_A, T0, 1);
}

static void test_sighting_that_has_no_memory_is_counted(void **state)
{
    room *r = *state;
    pl_sighting v = sighting_of("/bin/x", 5, 1, T0);
    pl_writer_stats stats;

    (void)pl_fault_arm(PL_FAULT_ALLOC, 1, ENOMEM);
    int rc = pl_writer_sighting(r->w, &v);
    pl_fault_disarm();
    assert_int_equal(rc, PL_ERR_NOMEM);
    flush(r);
    pl_writer_stats_get(r->w, &stats);
    assert_int_equal(stats.lost, 1);
    see(r, &v);
    assert_answer(r->f->path, "SELECT lost, source, reason FROM gaps", "1|writer|out of memory");
    assert_known(r, &v, BOOT_A, T0, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_first_sighting_opens_a_version, open_room, close_room),
        cmocka_unit_test_setup_teardown(test_everything_of_an_identity_comes_back, open_room, close_room),
        cmocka_unit_test_setup_teardown(test_same_bytes_seen_again_only_move_the_time, open_room, close_room),
        cmocka_unit_test_setup_teardown(test_chmod_and_chown_begin_a_version, open_room, close_room),
        cmocka_unit_test_setup_teardown(test_other_bytes_in_the_same_inode_are_modified, open_room, close_room),
        cmocka_unit_test_setup_teardown(test_another_inode_is_replaced_even_by_equal_bytes, open_room, close_room),
        cmocka_unit_test_setup_teardown(test_inode_used_again_is_another_file, open_room, close_room),
        cmocka_unit_test_setup_teardown(test_failure_to_read_is_no_change, open_room, close_room),
        cmocka_unit_test_setup_teardown(test_unreadable_with_another_identity_is_a_change, open_room, close_room),
        cmocka_unit_test_setup_teardown(test_unproven_re_read_leaves_the_proof, open_room, close_room),
        cmocka_unit_test_setup_teardown(test_unproven_hash_is_never_served, open_room, close_room),
        cmocka_unit_test_setup_teardown(test_vanished_version_is_closed_and_forgotten, open_room, close_room),
        cmocka_unit_test_setup_teardown(test_seen_moves_the_time_of_an_open_version_only, open_room, close_room),
        cmocka_unit_test_setup_teardown(test_expiry_is_judged_when_read, open_room, close_room),
        cmocka_unit_test_setup_teardown(test_swept_version_is_expired_and_its_return_is_no_change, open_room,
                                        close_room),
        cmocka_unit_test_setup_teardown(test_device_counts_within_one_boot_only, open_room, close_room),
        cmocka_unit_test_setup_teardown(test_file_is_the_same_after_a_boot_whatever_its_device, open_room, close_room),
        cmocka_unit_test_setup_teardown(test_each_field_of_the_identity_counts, open_room, close_room),
        cmocka_unit_test_setup_teardown(test_hash_of_this_boot_comes_before_one_of_another, open_room, close_room),
        cmocka_unit_test_setup_teardown(test_two_names_of_one_file_have_two_histories, open_room, close_room),
        cmocka_unit_test_setup_teardown(test_one_path_in_two_mount_namespaces_is_two_files, open_room, close_room),
        cmocka_unit_test(test_row_that_somebody_edited_proves_nothing),
        cmocka_unit_test_setup_teardown(test_later_writer_sees_what_the_earlier_did, open_room, close_room),
        cmocka_unit_test_setup_teardown(test_of_two_writers_one_version_stays_open, open_room, close_room),
        cmocka_unit_test_setup_teardown(test_live_versions_come_in_the_order_of_their_ids, open_room, close_room),
        cmocka_unit_test_setup_teardown(test_live_versions_come_a_few_at_a_time, open_room, close_room),
        cmocka_unit_test_setup_teardown(test_what_was_not_seen_since_is_not_live, open_room, close_room),
        cmocka_unit_test_setup_teardown(test_what_is_closed_is_not_live, open_room, close_room),
        cmocka_unit_test_setup_teardown(test_a_live_version_has_what_a_look_needs, open_room, close_room),
        cmocka_unit_test_setup_teardown(test_paths_of_live_versions_are_their_exact_bytes, open_room, close_room),
        cmocka_unit_test_setup_teardown(test_a_live_version_of_another_boot_says_so, open_room, close_room),
        cmocka_unit_test_setup_teardown(test_a_live_version_without_a_digest_or_proof_says_so, open_room, close_room),
        cmocka_unit_test_setup_teardown(test_live_versions_without_memory_are_nobodys, open_room, close_room),
        cmocka_unit_test_setup_teardown(test_live_versions_of_a_damaged_file_are_an_error, open_room, close_room),
        cmocka_unit_test_setup_teardown(test_a_look_of_our_own_is_not_being_seen, open_room, close_room),
        cmocka_unit_test_setup_teardown(test_a_proof_of_our_own_is_written_and_does_not_move_the_time, open_room,
                                        close_room),
        cmocka_unit_test_setup_teardown(test_re_read_after_a_boot_does_not_prolong_its_day, open_room, close_room),
        cmocka_unit_test_setup_teardown(test_a_change_that_a_look_of_our_own_finds_begins_a_version, open_room,
                                        close_room),
        cmocka_unit_test_setup_teardown(test_finding_without_memory_or_file_says_so, open_room, close_room),
        cmocka_unit_test_setup_teardown(test_sighting_that_has_no_memory_is_counted, open_room, close_room),
    };

    return cmocka_run_group_tests_name("store_files", tests, NULL, NULL);
}

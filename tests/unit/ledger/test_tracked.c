/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The set of tracked paths against a list that is searched from its beginning to its end: what it finds by path, by
 * inode and by time is what stands there, whatever was added, removed and changed before.
 */
#include "ledger/tracked.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/support/fault.h"

#define NAMES 400
#define INODES 40
#define STEPS 20000
#define LINKS 100000
#define FOUND_BY_INODE 64 /* names of one inode, as the header says */

static int make_set(void **state)
{
    pl_tracked_set *set = NULL;

    assert_int_equal(pl_tracked_set_new(&set), 0);
    *state = set;
    return 0;
}

static int free_set(void **state)
{
    pl_fault_disarm();
    assert_null(pl_tracked_set_free(*state));
    return 0;
}

static pl_tracked *add(pl_tracked_set *set, const char *path, uint64_t mnt_ns, const char *container)
{
    pl_tracked *one = NULL;

    assert_int_equal(pl_tracked_add(set, path, mnt_ns, container, &one), 0);
    assert_non_null(one);
    return one;
}

static pl_tracked *add_number(pl_tracked_set *set, unsigned number)
{
    char path[32];

    (void)snprintf(path, sizeof(path), "/n/%u", number);
    return add(set, path, 1, NULL);
}

static pl_identity inode_of(uint64_t inode, uint32_t major, uint32_t minor)
{
    return (pl_identity){.inode = inode, .dev_major = major, .dev_minor = minor, .size = 5};
}

static void set_inode(pl_tracked_set *set, pl_tracked *one, uint64_t inode)
{
    pl_identity identity = inode_of(inode, 8, 1);

    pl_tracked_set_identity(set, one, &identity);
}

/* How many names of an inode are found by it; each of them must really be of it. */
static unsigned names_of(const pl_tracked_set *set, const pl_identity *inode)
{
    uint32_t walk = 0;
    unsigned n = 0;

    for (const pl_tracked *one; (one = pl_tracked_of_inode(set, inode, &walk)); n++) {
        assert_int_equal(one->identity.inode, inode->inode);
        assert_int_equal(one->identity.dev_major, inode->dev_major);
        assert_int_equal(one->identity.dev_minor, inode->dev_minor);
    }
    return n;
}

static unsigned names_of_inode(const pl_tracked_set *set, uint64_t inode)
{
    pl_identity identity = inode_of(inode, 8, 1);

    return names_of(set, &identity);
}

/* ---- one fact each ---- */

static void test_an_empty_set_has_nothing(void **state)
{
    const pl_tracked_set *set = *state;
    pl_identity nothing = {0};

    assert_int_equal(pl_tracked_count(set), 0);
    assert_null(pl_tracked_find(set, "/bin/x", 1));
    assert_null(pl_tracked_first_due(set));
    assert_int_equal(names_of(set, &nothing), 0);
    assert_int_equal(names_of_inode(set, 7), 0);
}

static void test_what_is_added_is_found_and_is_not_due(void **state)
{
    pl_tracked_set *set = *state;
    char path[] = "/bin/x", container[] = "box";
    const pl_tracked *one = add(set, path, 5, container);

    memset(path, 'z', 3); /* both are copies */
    memset(container, 'z', 2);
    assert_ptr_equal(pl_tracked_find(set, "/bin/x", 5), one);
    assert_string_equal(one->path, "/bin/x");
    assert_string_equal(one->container, "box");
    assert_int_equal(one->mnt_ns, 5);
    assert_true(one->due_ns == PL_NEVER);
    assert_int_equal(one->identity.inode, 0);
    assert_false(one->present || one->proven || one->reading || one->waiting || one->counted || one->in_folder);
    assert_null(pl_tracked_first_due(set));
    assert_ptr_equal(pl_tracked_at(set, 0), one);
    assert_null(add(set, "/bin/y", 5, NULL)->container);
}

static void test_one_path_in_two_namespaces_is_two(void **state)
{
    pl_tracked_set *set = *state;
    pl_tracked *ours = add(set, "/bin/x", 1, NULL);
    const pl_tracked *theirs = add(set, "/bin/x", 2, NULL);

    assert_ptr_not_equal(ours, theirs);
    assert_ptr_equal(pl_tracked_find(set, "/bin/x", 1), ours);
    assert_ptr_equal(pl_tracked_find(set, "/bin/x", 2), theirs);
    assert_null(pl_tracked_find(set, "/bin/x", 3));
    pl_tracked_remove(set, ours);
    assert_null(pl_tracked_find(set, "/bin/x", 1));
    assert_ptr_equal(pl_tracked_find(set, "/bin/x", 2), theirs);
}

static void test_paths_are_bytes_of_any_length(void **state)
{
    pl_tracked_set *set = *state;
    char *path = malloc(70001);

    assert_non_null(path);
    memset(path, '\xff', 70000);
    path[0] = '/';
    path[70000] = '\0';
    const pl_tracked *whole = add(set, path, 1, NULL);
    path[69999] = '\0';
    const pl_tracked *shorter = add(set, path, 1, NULL);
    assert_ptr_equal(pl_tracked_find(set, path, 1), shorter);
    path[69999] = '\xff';
    assert_ptr_equal(pl_tracked_find(set, path, 1), whole);
    free(path);
}

static void test_all_names_of_an_inode_are_found_by_it(void **state)
{
    pl_tracked_set *set = *state;
    pl_identity here = inode_of(7, 8, 1), other_major = inode_of(7, 9, 1), other_minor = inode_of(7, 8, 2);
    pl_tracked *names[5];

    for (unsigned i = 0; i < 5; i++)
        names[i] = add_number(set, i);
    for (unsigned i = 0; i < 3; i++)
        pl_tracked_set_identity(set, names[i], &here);
    pl_tracked_set_identity(set, names[3], &other_major);
    pl_tracked_set_identity(set, names[4], &other_minor);
    assert_int_equal(names_of(set, &here), 3);
    assert_int_equal(names_of(set, &other_major), 1);
    assert_int_equal(names_of(set, &other_minor), 1);
    pl_tracked_remove(set, names[1]);
    assert_int_equal(names_of(set, &here), 2);
}

static void test_another_identity_moves_it_to_another_inode(void **state)
{
    pl_tracked_set *set = *state;
    pl_tracked *one = add_number(set, 1);
    pl_identity changed = inode_of(7, 8, 1);

    set_inode(set, one, 7);
    changed.ctime_ns = 99;
    pl_tracked_set_identity(set, one, &changed);
    assert_int_equal(names_of_inode(set, 7), 1); /* once, though it was set twice */
    assert_int_equal(one->identity.ctime_ns, 99);
    set_inode(set, one, 8);
    assert_int_equal(names_of_inode(set, 7), 0);
    assert_int_equal(names_of_inode(set, 8), 1);
}

static void test_inode_zero_is_no_inode(void **state)
{
    pl_tracked_set *set = *state;
    pl_tracked *one = add_number(set, 1);
    pl_identity nothing = {0};

    set_inode(set, one, 7);
    pl_tracked_set_identity(set, one, &nothing);
    assert_int_equal(names_of_inode(set, 7), 0);
    assert_int_equal(names_of(set, &nothing), 0);
    pl_tracked_set_identity(set, one, &nothing);
    set_inode(set, one, 7);
    assert_int_equal(names_of_inode(set, 7), 1);
}

static void test_the_earliest_is_due_first(void **state)
{
    static const int64_t dues[] = {50, 10, INT64_MIN, 40, 10, 0, -7, 30};
    static const int64_t order[] = {INT64_MIN, -7, 0, 10, 10, 30, 40, 50};
    pl_tracked_set *set = *state;

    for (unsigned i = 0; i < 8; i++)
        pl_tracked_set_due(set, add_number(set, i), dues[i]);
    (void)add_number(set, 8); /* not due at all */
    for (unsigned i = 0; i < 8; i++) {
        pl_tracked *first = pl_tracked_first_due(set);
        assert_non_null(first);
        assert_true(first->due_ns == order[i]);
        pl_tracked_set_due(set, first, PL_NEVER);
    }
    assert_null(pl_tracked_first_due(set));
}

static void test_being_due_can_be_moved_both_ways(void **state)
{
    pl_tracked_set *set = *state;
    pl_tracked *a = add_number(set, 1), *b = add_number(set, 2), *c = add_number(set, 3);

    pl_tracked_set_due(set, a, 10);
    pl_tracked_set_due(set, b, 20);
    pl_tracked_set_due(set, c, 30);
    pl_tracked_set_due(set, a, 40);
    assert_ptr_equal(pl_tracked_first_due(set), b);
    pl_tracked_set_due(set, c, 5);
    assert_ptr_equal(pl_tracked_first_due(set), c);
    pl_tracked_set_due(set, c, 5);
    assert_ptr_equal(pl_tracked_first_due(set), c);
    pl_tracked_remove(set, c);
    assert_ptr_equal(pl_tracked_first_due(set), b);
}

/* Somebody made a hundred thousand links to one file and ran each. What is bounded is the walk through its names:
 * without the bound this takes five thousand million steps, and the time of the whole test runs out. */
static void test_of_very_many_links_to_one_inode_64_are_found_by_it(void **state)
{
    pl_tracked_set *set = *state;

    for (unsigned i = 0; i < LINKS; i++)
        set_inode(set, add_number(set, i), 7);
    assert_int_equal(pl_tracked_count(set), LINKS);
    assert_int_equal(names_of_inode(set, 7), FOUND_BY_INODE);
    for (unsigned i = LINKS; i-- > 0;) {
        pl_tracked_remove(set, pl_tracked_at(set, i));
        assert_int_equal(pl_tracked_count(set), i);
        if (i % 997 == 0 || i < 100)
            assert_true(names_of_inode(set, 7) <= (i < FOUND_BY_INODE ? i : FOUND_BY_INODE));
    }
    assert_int_equal(names_of_inode(set, 7), 0);
}

static void test_a_place_among_the_64_becomes_free_when_one_leaves(void **state)
{
    pl_tracked_set *set = *state;
    pl_tracked *names[FOUND_BY_INODE + 2];

    for (unsigned i = 0; i < FOUND_BY_INODE + 2; i++)
        set_inode(set, names[i] = add_number(set, i), 7);
    pl_tracked_set_due(set, names[FOUND_BY_INODE], 1); /* one that is not found by inode is due like any other */
    assert_ptr_equal(pl_tracked_first_due(set), names[FOUND_BY_INODE]);
    set_inode(set, names[FOUND_BY_INODE + 1], 7);
    assert_int_equal(names_of_inode(set, 7), FOUND_BY_INODE);
    pl_tracked_remove(set, names[FOUND_BY_INODE]); /* was none of them */
    assert_int_equal(names_of_inode(set, 7), FOUND_BY_INODE);
    set_inode(set, names[3], 8);
    assert_int_equal(names_of_inode(set, 7), FOUND_BY_INODE - 1);
    set_inode(set, names[FOUND_BY_INODE + 1], 7);
    assert_int_equal(names_of_inode(set, 7), FOUND_BY_INODE);
}

/* Of so many some share the 32 bits by which they are found (five pairs, as a rule), so all that makes a key has to be
 * compared. */
#define CROWD 200000u

/* Another number for each i but 0; numbers in a row share nothing. */
static uint32_t scattered(uint32_t i)
{
    i ^= i << 13;
    i ^= i >> 17;
    return i ^ i << 5;
}

static pl_identity one_of_crowd(unsigned kind, unsigned i)
{
    uint32_t number = scattered(i + 1);

    return inode_of(kind == 0 ? number : 7, kind == 1 ? number : 8, kind == 2 ? number : 1);
}

static void test_what_shares_a_tag_is_told_apart(void **state)
{
    pl_tracked_set *set = *state;

    for (unsigned i = 0; i < CROWD; i++)
        (void)add_number(set, i);
    for (unsigned i = 0; i < CROWD; i++)
        (void)add(set, "/n/0", 1 + (uint64_t)scattered(i + 1), NULL);
    for (unsigned i = 0; i < CROWD; i++) {
        char path[32];
        (void)snprintf(path, sizeof(path), "/n/%u", i);
        assert_string_equal(pl_tracked_find(set, path, 1)->path, path);
        uint64_t mnt_ns = 1 + (uint64_t)scattered(i + 1);
        assert_int_equal(pl_tracked_find(set, "/n/0", mnt_ns)->mnt_ns, mnt_ns);
    }
    for (unsigned kind = 0; kind < 3; kind++) {
        for (unsigned i = 0; i < CROWD; i++) {
            pl_identity identity = one_of_crowd(kind, i);
            pl_tracked_set_identity(set, pl_tracked_at(set, i), &identity);
        }
        for (unsigned i = 0; i < CROWD; i++) {
            pl_identity identity = one_of_crowd(kind, i);
            assert_int_equal(names_of(set, &identity), 1);
        }
    }
}

static void test_removing_from_last_to_first_meets_everyone_once(void **state)
{
    pl_tracked_set *set = *state;
    bool met[NAMES] = {false};
    unsigned kept = 0, number = 0;

    for (unsigned i = 0; i < NAMES; i++) {
        pl_tracked *one = add_number(set, i);
        set_inode(set, one, 1 + i % 7);
        pl_tracked_set_due(set, one, (int64_t)((i * 7919u) % NAMES));
    }
    for (size_t i = pl_tracked_count(set); i-- > 0;) {
        pl_tracked *one = pl_tracked_at(set, i);
        assert_int_equal(sscanf(one->path, "/n/%u", &number), 1);
        assert_false(met[number]);
        met[number] = true;
        if (number % 3 == 0)
            pl_tracked_remove(set, one);
    }
    for (unsigned i = 0; i < NAMES; i++) {
        char path[32];
        assert_true(met[i]);
        (void)snprintf(path, sizeof(path), "/n/%u", i);
        const pl_tracked *one = pl_tracked_find(set, path, 1);
        assert_int_equal(one != NULL, i % 3 != 0);
        kept += one != NULL;
    }
    assert_int_equal(pl_tracked_count(set), kept);
}

static void test_bytes_are_those_of_the_entries_and_come_back(void **state)
{
    pl_tracked_set *set = *state;

    (void)add_number(set, 0); /* the first makes room for more */
    size_t before = pl_tracked_bytes(set);
    assert_true(before > sizeof(pl_tracked));
    pl_tracked *plain = add(set, "/bin/x", 1, NULL);
    assert_int_equal(pl_tracked_bytes(set), before + sizeof(pl_tracked) + sizeof("/bin/x"));
    pl_tracked *boxed = add(set, "/bin/xyz", 1, "box");
    assert_int_equal(pl_tracked_bytes(set),
                     before + 2 * sizeof(pl_tracked) + sizeof("/bin/x") + sizeof("/bin/xyz") + sizeof("box"));
    pl_tracked_remove(set, boxed);
    pl_tracked_remove(set, plain);
    assert_int_equal(pl_tracked_bytes(set), before);
}

static void test_bytes_grow_with_the_room(void **state)
{
    pl_tracked_set *set = *state;
    size_t empty = pl_tracked_bytes(set), entries = 0;

    assert_true(empty >= sizeof(void *));
    for (unsigned i = 0; i < 1000; i++)
        entries += sizeof(pl_tracked) + strlen(add_number(set, i)->path) + 1;
    /* A list and a heap of 8 bytes for each, and two tables of 16 at least. */
    assert_true(pl_tracked_bytes(set) >= empty + entries + (size_t)1000 * (2 * 8 + 2 * 16));
}

/* ---- memory ---- */

static void fill(pl_tracked_set *set, unsigned have)
{
    for (unsigned i = 0; i < have; i++) {
        pl_tracked *one = add_number(set, i);
        set_inode(set, one, 7);
        pl_tracked_set_due(set, one, (int64_t)(have - i));
    }
}

static void assert_filled(const pl_tracked_set *set, unsigned have)
{
    assert_int_equal(pl_tracked_count(set), have);
    assert_null(pl_tracked_find(set, "/new", 1));
    assert_int_equal(names_of_inode(set, 7), have < FOUND_BY_INODE ? have : FOUND_BY_INODE);
    for (unsigned i = 0; i < have; i++) {
        char path[32];
        (void)snprintf(path, sizeof(path), "/n/%u", i);
        assert_non_null(pl_tracked_find(set, path, 1));
        assert_ptr_equal(pl_tracked_at(set, i), pl_tracked_find(set, path, 1));
    }
    assert_int_equal(pl_tracked_first_due(set) != NULL, have > 0);
    if (have)
        assert_int_equal(pl_tracked_first_due(set)->due_ns, 1);
}

/* The n-th allocation of adding one to `have` fails, in a set of its own. False: there is no n-th. */
static bool fails_at(unsigned have, unsigned n)
{
    pl_tracked *const none = (pl_tracked *)(uintptr_t)16;
    pl_tracked_set *set = NULL;
    pl_tracked *one = none;

    assert_int_equal(pl_tracked_set_new(&set), 0);
    fill(set, have);
    pl_fault_arm(PL_FAULT_ALLOC, n, ENOMEM);
    int rc = pl_tracked_add(set, "/new", 1, "box", &one);
    bool fired = pl_fault_fired();
    pl_fault_disarm();
    assert_int_equal(rc, fired ? PL_ERR_NOMEM : 0);
    if (fired) {
        assert_ptr_equal(one, none);
        assert_filled(set, have);
        one = add(set, "/new", 1, "box"); /* and it can be added afterwards */
    }
    pl_tracked_set_due(set, one, 5000); /* there is room for it in the heap, too */
    set_inode(set, one, 8);
    assert_ptr_equal(pl_tracked_find(set, "/new", 1), one);
    pl_tracked_remove(set, one);
    assert_filled(set, have);
    (void)pl_tracked_set_free(set);
    return fired;
}

static void test_failed_adding_leaves_the_set_as_it_was(void **state)
{
    /* At the start and with 64 there all four grow, with 32 the two tables. */
    static const struct {
        unsigned have, points;
    } cases[] = {{0, 6}, {10, 2}, {32, 4}, {64, 6}};

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        unsigned n = 1;
        while (fails_at(cases[i].have, n))
            n++;
        assert_int_equal(n - 1, cases[i].points);
    }
}

static void test_no_memory_for_a_set_is_an_error(void **state)
{
    pl_tracked_set *set = NULL;

    (void)state;
    pl_fault_arm(PL_FAULT_ALLOC, 1, ENOMEM);
    int rc = pl_tracked_set_new(&set);
    pl_fault_disarm();
    assert_int_equal(rc, PL_ERR_NOMEM);
    assert_null(set);
    assert_null(pl_tracked_set_free(NULL));
}

/* ---- the same as a list ---- */

typedef struct model {
    pl_tracked *one; /* NULL: not there */
    char path[24];
    uint64_t mnt_ns;
    pl_identity identity;
    int64_t due_ns;
    size_t bytes;
} model;

static uint64_t random_number(uint64_t *seed)
{
    *seed ^= *seed << 13;
    *seed ^= *seed >> 7;
    *seed ^= *seed << 17;
    return *seed >> 16;
}

static pl_identity model_inode(uint64_t number)
{
    return inode_of(number % (INODES / 4), (uint32_t)(number / (INODES / 4) % 2), (uint32_t)(number / (INODES / 2)));
}

static bool same_inode(const pl_identity *a, const pl_identity *b)
{
    return a->inode == b->inode && a->dev_major == b->dev_major && a->dev_minor == b->dev_minor;
}

static void check_inode(const pl_tracked_set *set, const model *list, const pl_identity *inode)
{
    uint32_t walk = 0;
    unsigned expected = 0, n = 0;
    bool met[NAMES] = {false};

    for (unsigned i = 0; i < NAMES; i++)
        expected += list[i].one && inode->inode && same_inode(&list[i].identity, inode);
    for (const pl_tracked *one; (one = pl_tracked_of_inode(set, inode, &walk)); n++) {
        unsigned i = (unsigned)strtoul(one->path + 3, NULL, 10);
        assert_ptr_equal(list[i].one, one);
        assert_false(met[i]);
        met[i] = true;
        assert_true(same_inode(&list[i].identity, inode));
    }
    assert_int_equal(n, expected);
}

static void check_due(const pl_tracked_set *set, const model *list)
{
    int64_t first = PL_NEVER;

    for (unsigned i = 0; i < NAMES; i++)
        if (list[i].one && list[i].due_ns < first)
            first = list[i].due_ns;
    const pl_tracked *one = pl_tracked_first_due(set);
    assert_int_equal(one != NULL, first != PL_NEVER);
    if (one)
        assert_true(one->due_ns == first);
}

static void check_all(const pl_tracked_set *set, const model *list, size_t bytes_of_room)
{
    size_t count = 0, bytes = 0;
    bool met[NAMES] = {false};

    for (unsigned i = 0; i < NAMES; i++) {
        const pl_tracked *found = pl_tracked_find(set, list[i].path, list[i].mnt_ns);
        assert_ptr_equal(found, list[i].one);
        assert_null(pl_tracked_find(set, list[i].path, list[i].mnt_ns + 1));
        if (!found)
            continue;
        count++;
        bytes += list[i].bytes;
        assert_true(found->due_ns == list[i].due_ns);
        assert_true(same_inode(&found->identity, &list[i].identity));
    }
    assert_int_equal(pl_tracked_count(set), count);
    assert_int_equal(pl_tracked_bytes(set), bytes_of_room + bytes);
    for (size_t i = 0; i < count; i++) {
        unsigned number = (unsigned)strtoul(pl_tracked_at(set, i)->path + 3, NULL, 10);
        assert_ptr_equal(pl_tracked_at(set, i), list[number].one);
        assert_false(met[number]);
        met[number] = true;
    }
    for (unsigned i = 0; i < INODES; i++) {
        pl_identity inode = model_inode(i);
        check_inode(set, list, &inode);
    }
}

static void random_step(pl_tracked_set *set, model *m, uint64_t *seed)
{
    uint64_t what = random_number(seed) % 8;
    const char *container = what == 1 ? "a container" : NULL;

    if (!m->one && what < 4) {
        assert_int_equal(pl_tracked_add(set, m->path, m->mnt_ns, container, &m->one), 0);
        m->identity = (pl_identity){0};
        m->due_ns = PL_NEVER;
        m->bytes = sizeof(pl_tracked) + strlen(m->path) + 1 + (container ? strlen(container) + 1 : 0);
    } else if (m->one && what == 0) {
        pl_tracked_remove(set, m->one);
        m->one = NULL;
    } else if (m->one && what < 4) {
        m->identity = model_inode(random_number(seed) % INODES);
        m->identity.size = random_number(seed);
        pl_tracked_set_identity(set, m->one, &m->identity);
    } else if (m->one) {
        m->due_ns = what == 4 ? PL_NEVER : (int64_t)(random_number(seed) % 1000) - 500;
        pl_tracked_set_due(set, m->one, m->due_ns);
    }
}

static void test_random_walk_equals_a_list(void **state)
{
    pl_tracked_set *set = *state;
    model *list = calloc(NAMES, sizeof(*list));
    uint64_t seed = UINT64_C(0x2545f4914f6cdd1d);
    size_t bytes = 0;

    assert_non_null(list);
    for (unsigned i = 0; i < NAMES; i++) {
        (void)snprintf(list[i].path, sizeof(list[i].path), "/n/%u", i);
        list[i].mnt_ns = 10 + 10 * (i % 3);
        list[i].one = add(set, list[i].path, list[i].mnt_ns, NULL);
        list[i].due_ns = PL_NEVER;
        list[i].bytes = sizeof(pl_tracked) + strlen(list[i].path) + 1;
        bytes += list[i].bytes;
    }
    size_t room = pl_tracked_bytes(set) - bytes;
    for (unsigned step = 0; step < STEPS; step++) {
        random_step(set, &list[random_number(&seed) % NAMES], &seed);
        check_due(set, list);
        if (step % 100 == 0)
            check_all(set, list, room);
    }
    check_all(set, list, room);
    int64_t last = INT64_MIN;
    for (pl_tracked *one; (one = pl_tracked_first_due(set));) {
        assert_true(one->due_ns >= last);
        last = one->due_ns;
        pl_tracked_remove(set, one);
    }
    for (size_t i = pl_tracked_count(set); i-- > 0;)
        pl_tracked_remove(set, pl_tracked_at(set, i));
    assert_int_equal(pl_tracked_bytes(set), room);
    free(list);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, make_set, free_set)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(test_an_empty_set_has_nothing),
        CASE(test_what_is_added_is_found_and_is_not_due),
        CASE(test_one_path_in_two_namespaces_is_two),
        CASE(test_paths_are_bytes_of_any_length),
        CASE(test_all_names_of_an_inode_are_found_by_it),
        CASE(test_another_identity_moves_it_to_another_inode),
        CASE(test_inode_zero_is_no_inode),
        CASE(test_the_earliest_is_due_first),
        CASE(test_being_due_can_be_moved_both_ways),
        CASE(test_of_very_many_links_to_one_inode_64_are_found_by_it),
        CASE(test_a_place_among_the_64_becomes_free_when_one_leaves),
        CASE(test_what_shares_a_tag_is_told_apart),
        CASE(test_removing_from_last_to_first_meets_everyone_once),
        CASE(test_bytes_are_those_of_the_entries_and_come_back),
        CASE(test_bytes_grow_with_the_room),
        CASE(test_failed_adding_leaves_the_set_as_it_was),
        CASE(test_no_memory_for_a_set_is_an_error),
        CASE(test_random_walk_equals_a_list),
    };

    return cmocka_run_group_tests_name("tracked", tests, NULL, NULL);
}

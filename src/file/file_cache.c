/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The hot cache: identity -> digests, (path, mount namespace) -> entry. Owns its entries and path strings; must not do
 * I/O, ask a clock or vouch for a path.
 *
 * An entry is two cache lines, in one array, found through a table of eight-byte slots; digests other than sha256 are
 * rare and lie in a block of their own. Paths are a second array with a table of their own, chained to their entry.
 * Both arrays keep indexes stable and reuse holes.
 *
 * Invariants: `live` entries are exactly those in the table; a path record's `entry` is live and its chain contains it;
 * when the limit is reached the array has no holes, so a random index is a random entry.
 */
#include "src/file/file_cache.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "src/base/cleanup.h"
#include "src/base/error.h"
#include "src/base/mix.h"
#include "src/file/slot_table.h"

#define LIMIT_DEFAULT 65536u
#define LIMIT_MAX ((size_t)1 << 28) /* indexes of 2 * limit paths fit 32 bits */
#define ROOM_MIN 64u
#define SAMPLE 8
#define NONE PL_SLOT_NONE
#define OTHER_ALGORITHMS (PL_ALGORITHM_COUNT - 1)

/* Digests other than sha256. */
struct others {
    pl_digest digests[OTHER_ALGORITHMS];
};

struct entry {
    pl_identity identity;
    uint8_t sha256[32];
    struct others *others; /* NULL: none */
    int64_t last_seen_ns;
    uint32_t first_path; /* while free: the next free one */
    uint8_t assurance, tier;
    bool live;
};
_Static_assert(sizeof(struct entry) == 128, "an entry is two cache lines");

/* What a kernel's key has beside what it shares with the identity. A column of its own: only who is asked by key needs
 * it. */
struct key {
    uint8_t uuid[16];
    uint32_t dev, generation;
    uint32_t tag;
    bool bound;
};

struct path {
    char *text; /* NULL: free */
    uint64_t mnt_ns;
    int64_t last_seen_ns;
    uint32_t tag;
    uint32_t entry;          /* while free: the next free one */
    uint32_t previous, next; /* of the same entry */
};

struct pl_file_cache {
    struct entry *entries;
    struct path *paths;
    struct key *keys; /* one for each of entries, or NULL: no key was ever bound */
    uint32_t key_room;
    pl_slot_table by_identity, by_path, by_key;
    uint32_t limit, path_limit;
    uint32_t entry_room, entry_top, entry_free; /* allocated, ever used, first hole */
    uint32_t path_room, path_top, path_free;
    uint64_t random;
    uint64_t loose_bytes; /* of path strings and struct others */
    pl_file_cache_stats stats;
};

int pl_file_cache_new(size_t limit, pl_file_cache **out)
{
    if (limit > LIMIT_MAX)
        return pl_error_set(PL_ERR_INVALID, "a cache of %zu entries is too large", limit);
    pl_file_cache *cache = calloc(1, sizeof(*cache));
    if (!cache)
        return pl_error_nomem();
    cache->limit = limit ? (uint32_t)limit : LIMIT_DEFAULT;
    cache->path_limit = 2 * cache->limit;
    cache->entry_free = cache->path_free = NONE;
    cache->random = UINT64_C(0x9e3779b97f4a7c15);
    *out = cache;
    return 0;
}

static void free_contents(pl_file_cache *cache)
{
    for (uint32_t i = 0; i < cache->entry_top; i++)
        if (cache->entries[i].live)
            free(cache->entries[i].others);
    for (uint32_t i = 0; i < cache->path_top; i++)
        free(cache->paths[i].text);
}

pl_file_cache *pl_file_cache_free(pl_file_cache *cache)
{
    if (!cache)
        return NULL;
    free_contents(cache);
    pl_slot_table_deinit(&cache->by_identity);
    pl_slot_table_deinit(&cache->by_path);
    pl_slot_table_deinit(&cache->by_key);
    free(cache->keys);
    free(cache->entries);
    free(cache->paths);
    free(cache);
    return NULL;
}

/* A victim is picked by chance; that is no secret, so a small xorshift will do. */
static uint32_t random_below(pl_file_cache *cache, uint32_t n)
{
    cache->random ^= cache->random << 13;
    cache->random ^= cache->random >> 7;
    cache->random ^= cache->random << 17;
    return (uint32_t)(((cache->random >> 32) * n) >> 32);
}

static uint32_t find_entry(const pl_file_cache *cache, const pl_identity *identity, uint32_t *tag)
{
    *tag = (uint32_t)pl_identity_hash(identity);
    for (uint32_t at = *tag, i; (i = pl_slot_table_next(&cache->by_identity, *tag, &at)) != NONE;)
        if (pl_identity_equal(&cache->entries[i].identity, identity))
            return i;
    return NONE;
}

static uint32_t path_tag(const char *text, uint64_t mnt_ns)
{
    return (uint32_t)pl_mix_bytes(text, strlen(text), mnt_ns);
}

static uint32_t find_path(const pl_file_cache *cache, const char *text, uint64_t mnt_ns, uint32_t *tag)
{
    *tag = path_tag(text, mnt_ns);
    for (uint32_t at = *tag, i; (i = pl_slot_table_next(&cache->by_path, *tag, &at)) != NONE;)
        if (cache->paths[i].mnt_ns == mnt_ns && strcmp(cache->paths[i].text, text) == 0)
            return i;
    return NONE;
}

static void see(int64_t *last_seen_ns, int64_t now_ns)
{
    if (now_ns > *last_seen_ns)
        *last_seen_ns = now_ns;
}

/* Field by field: an initializer of this size becomes "rep stos", which keeps the processor from going on to the next
 * lookup while this one waits for memory. */
static void copy_out(const struct entry *entry, pl_cached_file *out)
{
    pl_digest *sha256 = &out->digests.digests[0];

    out->identity = entry->identity;
    sha256->algorithm = PL_SHA256;
    sha256->length = sizeof(entry->sha256);
    memcpy(sha256->bytes, entry->sha256, sizeof(entry->sha256));
    memset(sha256->bytes + sizeof(entry->sha256), 0, sizeof(sha256->bytes) - sizeof(entry->sha256));
    for (size_t i = 0; i < OTHER_ALGORITHMS; i++) {
        if (entry->others)
            out->digests.digests[i + 1] = entry->others->digests[i];
        else
            memset(&out->digests.digests[i + 1], 0, sizeof(pl_digest));
    }
    out->assurance = (pl_assurance)entry->assurance;
    out->tier = (pl_tier)entry->tier;
}

bool pl_file_cache_find(pl_file_cache *cache, const pl_identity *identity, int64_t now_ns, pl_cached_file *out)
{
    uint32_t tag, i = find_entry(cache, identity, &tag);

    if (i == NONE) {
        cache->stats.misses++;
        return false;
    }
    cache->stats.hits_identity++;
    see(&cache->entries[i].last_seen_ns, now_ns);
    copy_out(&cache->entries[i], out);
    return true;
}

static void unbind_key(pl_file_cache *cache, uint32_t i)
{
    if (i >= cache->key_room || !cache->keys[i].bound)
        return;
    pl_slot_table_remove(&cache->by_key, cache->keys[i].tag, i);
    cache->keys[i].bound = false;
}

bool pl_file_cache_find_key(pl_file_cache *cache, const pl_kernel_key *key, int64_t now_ns, pl_cached_file *out)
{
    uint32_t tag = pl_kernel_key_tag(key);

    for (uint32_t at = tag, i; (i = pl_slot_table_next(&cache->by_key, tag, &at)) != NONE;) {
        const struct key *k = &cache->keys[i];
        if (k->dev != key->dev || k->generation != key->generation ||
            memcmp(k->uuid, key->uuid, sizeof(k->uuid)) != 0 || !pl_kernel_key_agrees(key, &cache->entries[i].identity))
            continue;
        cache->stats.hits_key++;
        see(&cache->entries[i].last_seen_ns, now_ns);
        copy_out(&cache->entries[i], out);
        return true;
    }
    cache->stats.misses++;
    return false;
}

/* A column as long as that of the entries. */
static int reserve_keys(pl_file_cache *cache)
{
    int rc = pl_slot_table_reserve(&cache->by_key, cache->stats.entries + 1);

    if (rc < 0 || cache->key_room == cache->entry_room)
        return rc;
    struct key *keys = realloc(cache->keys, cache->entry_room * sizeof(*keys));
    if (!keys)
        return pl_error_nomem();
    for (uint32_t i = cache->key_room; i < cache->entry_room; i++)
        keys[i].bound = false;
    cache->keys = keys;
    cache->key_room = cache->entry_room;
    return 0;
}

bool pl_file_cache_bind_key(pl_file_cache *cache, const pl_kernel_key *key, const pl_identity *identity)
{
    uint32_t tag, i = find_entry(cache, identity, &tag);

    if (i == NONE || !pl_kernel_key_agrees(key, identity))
        return false;
    if (reserve_keys(cache) < 0)
        return true;
    unbind_key(cache, i);
    struct key *k = &cache->keys[i];
    *k = (struct key){.dev = key->dev, .generation = key->generation, .tag = pl_kernel_key_tag(key), .bound = true};
    memcpy(k->uuid, key->uuid, sizeof(k->uuid));
    pl_slot_table_insert(&cache->by_key, k->tag, i);
    return true;
}

bool pl_file_cache_find_path(pl_file_cache *cache, const char *path, uint64_t mnt_ns, pl_cached_file *out)
{
    uint32_t tag, i = find_path(cache, path, mnt_ns, &tag);

    if (i == NONE) {
        cache->stats.misses++;
        return false;
    }
    cache->stats.hits_path++;
    copy_out(&cache->entries[cache->paths[i].entry], out);
    return true;
}

int64_t pl_file_cache_last_seen(const pl_file_cache *cache, const char *path, uint64_t mnt_ns)
{
    uint32_t tag, i = find_path(cache, path, mnt_ns, &tag);

    return i == NONE ? INT64_MIN : cache->paths[i].last_seen_ns;
}

bool pl_file_cache_prove(pl_file_cache *cache, const char *path, uint64_t mnt_ns, const pl_identity *identity,
                         int64_t now_ns, pl_cached_file *out)
{
    uint32_t tag, i = find_path(cache, path, mnt_ns, &tag);
    struct entry *entry = i == NONE ? NULL : &cache->entries[cache->paths[i].entry];

    if (!entry || !pl_identity_equal(&entry->identity, identity)) {
        cache->stats.misses++;
        return false;
    }
    cache->stats.hits_path++;
    see(&cache->paths[i].last_seen_ns, now_ns);
    see(&entry->last_seen_ns, now_ns);
    copy_out(entry, out);
    return true;
}

static void unchain_path(pl_file_cache *cache, uint32_t i)
{
    struct path *path = &cache->paths[i];

    if (path->previous != NONE)
        cache->paths[path->previous].next = path->next;
    else
        cache->entries[path->entry].first_path = path->next;
    if (path->next != NONE)
        cache->paths[path->next].previous = path->previous;
}

static void chain_path(pl_file_cache *cache, uint32_t i, uint32_t entry)
{
    struct path *path = &cache->paths[i];

    path->entry = entry;
    path->previous = NONE;
    path->next = cache->entries[entry].first_path;
    if (path->next != NONE)
        cache->paths[path->next].previous = i;
    cache->entries[entry].first_path = i;
}

static void remove_path(pl_file_cache *cache, uint32_t i)
{
    struct path *path = &cache->paths[i];

    unchain_path(cache, i);
    pl_slot_table_remove(&cache->by_path, path->tag, i);
    cache->loose_bytes -= strlen(path->text) + 1;
    free(path->text);
    *path = (struct path){.entry = cache->path_free};
    cache->path_free = i;
    cache->stats.paths--;
}

static void set_others(pl_file_cache *cache, struct entry *entry, struct others *others)
{
    if (entry->others)
        cache->loose_bytes -= sizeof(*others);
    free(entry->others);
    entry->others = others;
    if (others)
        cache->loose_bytes += sizeof(*others);
}

static void remove_entry(pl_file_cache *cache, uint32_t i)
{
    struct entry *entry = &cache->entries[i];

    unbind_key(cache, i);

    while (entry->first_path != NONE)
        remove_path(cache, entry->first_path);
    pl_slot_table_remove(&cache->by_identity, (uint32_t)pl_identity_hash(&entry->identity), i);
    set_others(cache, entry, NULL);
    *entry = (struct entry){.first_path = cache->entry_free};
    cache->entry_free = i;
    cache->stats.entries--;
}

static void evict_entry(pl_file_cache *cache)
{
    uint32_t oldest = random_below(cache, cache->entry_top);

    for (int n = 1; n < SAMPLE; n++) {
        uint32_t i = random_below(cache, cache->entry_top);
        assert(cache->entries[i].live);
        if (cache->entries[i].last_seen_ns < cache->entries[oldest].last_seen_ns)
            oldest = i;
    }
    remove_entry(cache, oldest);
    cache->stats.evicted++;
}

static void evict_path(pl_file_cache *cache)
{
    uint32_t oldest = random_below(cache, cache->path_top);

    for (int n = 1; n < SAMPLE; n++) {
        uint32_t i = random_below(cache, cache->path_top);
        assert(cache->paths[i].text);
        if (cache->paths[i].last_seen_ns < cache->paths[oldest].last_seen_ns)
            oldest = i;
    }
    remove_path(cache, oldest);
    cache->stats.evicted_paths++;
}

/* Grows an array so that one more fits, up to limit. */
static int make_room(void **array, uint32_t *room, uint32_t top, uint32_t limit, size_t size)
{
    if (top < *room || *room == limit)
        return 0;
    uint32_t grown = *room ? 2 * *room : ROOM_MIN;
    if (grown > limit)
        grown = limit;
    void *memory = pl_aligned_new(grown * size);
    if (!memory)
        return pl_error_nomem();
    if (*array)
        memcpy(memory, *array, *room * size);
    free(*array);
    *array = memory;
    *room = grown;
    return 0;
}

/* Memory for one more of both kinds of bookkeeping; afterwards an insertion cannot fail. */
static int reserve_entry(pl_file_cache *cache)
{
    if (cache->entry_free != NONE || cache->stats.entries == cache->limit)
        return 0;
    int rc = pl_slot_table_reserve(&cache->by_identity, cache->stats.entries + 1);
    if (rc < 0)
        return rc;
    void *array = cache->entries;
    rc = make_room(&array, &cache->entry_room, cache->entry_top, cache->limit, sizeof(struct entry));
    cache->entries = array;
    return rc;
}

static int reserve_path(pl_file_cache *cache)
{
    if (cache->path_free != NONE || cache->stats.paths == cache->path_limit)
        return 0;
    int rc = pl_slot_table_reserve(&cache->by_path, cache->stats.paths + 1);
    if (rc < 0)
        return rc;
    void *array = cache->paths;
    rc = make_room(&array, &cache->path_room, cache->path_top, cache->path_limit, sizeof(struct path));
    cache->paths = array;
    return rc;
}

/* sha256 aside, whatever the set holds. *out NULL: nothing. */
static int copy_others(const pl_digest_set *set, struct others **out)
{
    struct others *others = NULL;
    size_t n = 0;

    for (size_t i = 0; i < PL_ALGORITHM_COUNT; i++) {
        const pl_digest *digest = &set->digests[i];
        if (digest->algorithm == 0 || digest->algorithm == PL_SHA256 || n == OTHER_ALGORITHMS)
            continue;
        if (!others)
            others = calloc(1, sizeof(*others));
        if (!others)
            return pl_error_nomem();
        others->digests[n++] = *digest;
    }
    *out = others;
    return 0;
}

static uint32_t take_entry(pl_file_cache *cache, const pl_identity *identity, uint32_t tag)
{
    if (cache->stats.entries == cache->limit)
        evict_entry(cache);
    uint32_t i = cache->entry_free;
    if (i != NONE)
        cache->entry_free = cache->entries[i].first_path;
    else
        i = cache->entry_top++;
    cache->entries[i] =
        (struct entry){.identity = *identity, .first_path = NONE, .live = true, .last_seen_ns = INT64_MIN};
    pl_slot_table_insert(&cache->by_identity, tag, i);
    cache->stats.entries++;
    cache->stats.inserted++;
    return i;
}

int pl_file_cache_insert(pl_file_cache *cache, const pl_cached_file *file, int64_t now_ns)
{
    const pl_digest *sha256 = pl_digest_find(&file->digests, PL_SHA256);
    pl_auto_free struct others *others = NULL;
    uint32_t tag, i = find_entry(cache, &file->identity, &tag);

    if (!sha256)
        return pl_error_set(PL_ERR_INVALID, "a cached file needs its sha256");
    int rc = copy_others(&file->digests, &others);
    if (rc == 0 && i == NONE)
        rc = reserve_entry(cache);
    if (rc < 0)
        return rc;
    if (i == NONE)
        i = take_entry(cache, &file->identity, tag);
    struct entry *entry = &cache->entries[i];
    entry->identity = file->identity; /* the attributes beside the proof may be newer */
    memcpy(entry->sha256, sha256->bytes, sizeof(entry->sha256));
    set_others(cache, entry, pl_steal(&others));
    entry->assurance = (uint8_t)file->assurance;
    entry->tier = (uint8_t)file->tier;
    see(&entry->last_seen_ns, now_ns);
    return 0;
}

int pl_file_cache_bind(pl_file_cache *cache, const char *path, uint64_t mnt_ns, const pl_identity *identity,
                       int64_t now_ns)
{
    uint32_t identity_tag, tag, entry = find_entry(cache, identity, &identity_tag);

    if (entry == NONE)
        return pl_error_set(PL_ERR_INVALID, "a path is bound to a file that is not in the cache");
    uint32_t i = find_path(cache, path, mnt_ns, &tag);
    if (i == NONE) {
        pl_auto_free char *text = strdup(path);
        if (!text)
            return pl_error_nomem();
        int rc = reserve_path(cache);
        if (rc < 0)
            return rc;
        if (cache->stats.paths == cache->path_limit)
            evict_path(cache);
        i = cache->path_free;
        if (i != NONE)
            cache->path_free = cache->paths[i].entry;
        else
            i = cache->path_top++;
        cache->loose_bytes += strlen(text) + 1;
        cache->paths[i] =
            (struct path){.text = pl_steal(&text), .mnt_ns = mnt_ns, .tag = tag, .last_seen_ns = INT64_MIN};
        pl_slot_table_insert(&cache->by_path, tag, i);
        cache->stats.paths++;
        chain_path(cache, i, entry);
    } else if (cache->paths[i].entry != entry) {
        cache->stats.stale++;
        unchain_path(cache, i);
        chain_path(cache, i, entry);
    }
    see(&cache->paths[i].last_seen_ns, now_ns);
    see(&cache->entries[entry].last_seen_ns, now_ns);
    return 0;
}

bool pl_file_cache_touch(pl_file_cache *cache, const char *path, uint64_t mnt_ns, int64_t now_ns)
{
    uint32_t tag, i = find_path(cache, path, mnt_ns, &tag);

    if (i == NONE)
        return false;
    see(&cache->paths[i].last_seen_ns, now_ns);
    see(&cache->entries[cache->paths[i].entry].last_seen_ns, now_ns);
    return true;
}

bool pl_file_cache_drop(pl_file_cache *cache, const pl_identity *identity)
{
    uint32_t tag, i = find_entry(cache, identity, &tag);

    if (i == NONE)
        return false;
    remove_entry(cache, i);
    cache->stats.dropped++;
    return true;
}

bool pl_file_cache_drop_path(pl_file_cache *cache, const char *path, uint64_t mnt_ns)
{
    uint32_t tag, i = find_path(cache, path, mnt_ns, &tag);

    if (i == NONE)
        return false;
    remove_path(cache, i);
    return true;
}

size_t pl_file_cache_drop_newer(pl_file_cache *cache, int64_t ctime_limit_ns)
{
    size_t n = 0;

    for (uint32_t i = 0; i < cache->entry_top; i++) {
        if (!cache->entries[i].live || cache->entries[i].identity.ctime_ns < ctime_limit_ns)
            continue;
        remove_entry(cache, i);
        cache->stats.dropped++;
        n++;
    }
    return n;
}

/* Keeps the memory: a cache that was full will be again. */
void pl_file_cache_clear(pl_file_cache *cache)
{
    free_contents(cache);
    pl_slot_table_clear(&cache->by_identity);
    pl_slot_table_clear(&cache->by_path);
    pl_slot_table_clear(&cache->by_key);
    for (uint32_t i = 0; i < cache->key_room; i++)
        cache->keys[i].bound = false;
    cache->entry_top = cache->path_top = 0;
    cache->entry_free = cache->path_free = NONE;
    cache->loose_bytes = 0;
    cache->stats.dropped += cache->stats.entries;
    cache->stats.entries = cache->stats.paths = 0;
}

size_t pl_file_cache_sweep(pl_file_cache *cache, int64_t limit_ns,
                           void (*rotated)(void *context, const char *path, uint64_t mnt_ns), void *context)
{
    size_t n = 0;

    for (uint32_t i = 0; i < cache->path_top; i++) {
        struct path *path = &cache->paths[i];
        if (!path->text || path->last_seen_ns >= limit_ns)
            continue;
        if (rotated)
            rotated(context, path->text, path->mnt_ns);
        remove_path(cache, i);
        cache->stats.rotated++;
        n++;
    }
    for (uint32_t i = 0; i < cache->entry_top; i++) {
        struct entry *entry = &cache->entries[i];
        if (!entry->live || entry->first_path != NONE || entry->last_seen_ns >= limit_ns)
            continue;
        remove_entry(cache, i);
        cache->stats.expired++;
    }
    return n;
}

void pl_file_cache_each_seen(pl_file_cache *cache, int64_t since_ns,
                             void (*each)(void *context, const char *path, uint64_t mnt_ns, int64_t last_seen_ns),
                             void *context)
{
    for (uint32_t i = 0; i < cache->path_top; i++) {
        const struct path *path = &cache->paths[i];
        if (path->text && path->last_seen_ns >= since_ns)
            each(context, path->text, path->mnt_ns, path->last_seen_ns);
    }
}

void pl_file_cache_stats_get(const pl_file_cache *cache, pl_file_cache_stats *out)
{
    *out = cache->stats;
    out->bytes = sizeof(*cache) + cache->entry_room * sizeof(struct entry) + cache->path_room * sizeof(struct path) +
                 pl_slot_table_bytes(&cache->by_identity) + pl_slot_table_bytes(&cache->by_path) +
                 pl_slot_table_bytes(&cache->by_key) + cache->key_room * sizeof(struct key) + cache->loose_bytes;
}

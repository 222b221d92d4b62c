/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Versions: which path held which bytes from when to when. Owns nothing. At most one version of a path and mount
 * namespace is open; closing it and opening the next happens in the caller's one immediate transaction, after a look at
 * what is open, so that of two writers the later one sees what the earlier one did.
 *
 * What a sighting means for the open version:
 *   same bytes, same inode            it is seen again; its identity and proof are refreshed (chmod, a re-read after a boot)
 *   same bytes, another inode         replaced, by equal bytes
 *   other bytes, same inode           modified
 *   other bytes, another inode        replaced
 *   no hash, identity as it was       seen; a failure to read is no change
 *   no hash, another identity         as other bytes; the new version says in hash_state why it has none
 *   looked at before the open one was nothing, or seen
 */
#include "ledger/store/files.h"

#include <stdlib.h>
#include <string.h>

#include "ledger/store/append.h"
#include "src/base/cleanup.h"
#include "src/base/error.h"
#include "src/base/text.h"

#define FS_READ_ONLY 1
#define FS_FINE_GRAINED 2

/* The open version, as far as the decision needs it. */
struct open_version {
    int64_t content_id, hash_state, cacheable, boot;
    int64_t hashed_boottime_ns; /* of its boot, when its bytes were about to be read */
    pl_identity identity;
};

/* 1: there is one; 0: none. */
static int read_open(pl_append *append, int64_t path_id, uint64_t mnt_ns, struct open_version *out)
{
    int rc = 0;
    sqlite3_stmt *s = pl_database_statement(append->store, PL_SQL_ST_VERSION_OPEN, &rc);

    if (!s)
        return rc;
    (void)sqlite3_bind_int64(s, 1, path_id);
    (void)sqlite3_bind_int64(s, 2, (int64_t)mnt_ns);
    rc = pl_database_step(append->store, s);
    if (rc <= 0)
        return rc;
    *out = (struct open_version){
        .content_id = sqlite3_column_int64(s, 0),
        .hash_state = sqlite3_column_int64(s, 1),
        .cacheable = sqlite3_column_int64(s, 2),
        .boot = sqlite3_column_int64(s, 3),
        .identity = {.inode = (uint64_t)sqlite3_column_int64(s, 4),
                     .dev_major = (uint32_t)sqlite3_column_int64(s, 5),
                     .dev_minor = (uint32_t)sqlite3_column_int64(s, 6),
                     .size = (uint64_t)sqlite3_column_int64(s, 7),
                     .mtime_ns = sqlite3_column_int64(s, 8),
                     .ctime_ns = sqlite3_column_int64(s, 9),
                     .btime_ns = sqlite3_column_int64(s, 10),
                     .mode = (uint32_t)sqlite3_column_int64(s, 11),
                     .uid = (uint32_t)sqlite3_column_int64(s, 12),
                     .gid = (uint32_t)sqlite3_column_int64(s, 13)},
        .hashed_boottime_ns = sqlite3_column_int64(s, 14),
    };
    (void)sqlite3_reset(s);
    return 1;
}

static void bind_text_or_null(sqlite3_stmt *s, int index, const char *text)
{
    (void)sqlite3_bind_text(s, index, text, -1, SQLITE_STATIC);
}

/* st_version_insert and st_version_refresh have the same columns, the latter from hash_state on one earlier row. */
static int put_version(pl_append *append, enum pl_sql name, int64_t path_id, const pl_sighting *v,
                       const char *container, int64_t content_id, int64_t boot)
{
    static const uint8_t no_uuid[16];
    const pl_identity *i = &v->identity;
    const int64_t time = v->time_ns / PL_NS_PER_S;
    const int64_t numbers[] = {content_id,
                               v->hash_state,
                               v->assurance,
                               v->cacheable && v->hash_state == PL_HASH_OK,
                               (int64_t)i->size,
                               i->mode,
                               i->uid,
                               i->gid,
                               i->nlink,
                               i->dev_major,
                               i->dev_minor,
                               (int64_t)i->inode,
                               (int64_t)v->fs.generation,
                               i->btime_ns,
                               i->mtime_ns,
                               i->ctime_ns,
                               (int64_t)v->fs.magic,
                               (int64_t)v->fs.fsid};
    const int first_number = 4, after = first_number + (int)(sizeof(numbers) / sizeof(numbers[0]));
    int rc = 0;
    sqlite3_stmt *s = pl_database_statement(append->store, name, &rc);

    if (!s)
        return rc;
    (void)sqlite3_bind_int64(s, 1, path_id);
    (void)sqlite3_bind_int64(s, 2, (int64_t)v->mnt_ns);
    bind_text_or_null(s, 3, container);
    for (int k = first_number; k < after; k++)
        (void)sqlite3_bind_int64(s, k, numbers[k - first_number]);
    if (memcmp(v->fs.uuid, no_uuid, sizeof(no_uuid)) != 0)
        (void)sqlite3_bind_blob(s, after, v->fs.uuid, sizeof(v->fs.uuid), SQLITE_STATIC);
    (void)sqlite3_bind_int64(s, after + 1, v->fs.tier);
    (void)sqlite3_bind_int64(s, after + 2,
                             (v->fs.read_only ? FS_READ_ONLY : 0) | (v->fs.fine_grained ? FS_FINE_GRAINED : 0));
    if (boot)
        (void)sqlite3_bind_int64(s, after + 3, boot);
    (void)sqlite3_bind_int64(s, after + 4, v->hashed_ns);
    (void)sqlite3_bind_int64(s, after + 5, v->wall_minus_boot_ns);
    (void)sqlite3_bind_int64(s, after + 6, v->unseen && name == PL_SQL_ST_VERSION_REFRESH ? 0 : time);
    if (name == PL_SQL_ST_VERSION_INSERT)
        (void)sqlite3_bind_int64(s, after + 7, v->detected_by);
    (void)sqlite3_bind_int64(s, after + 8, (int64_t)i->mount_id);
    return pl_database_run(append->store, s);
}

static int close_open(pl_append *append, int64_t path_id, uint64_t mnt_ns, int64_t time_ns, const char *end_reason,
                      pl_detected_by detected_by, bool replaced)
{
    int rc = 0;
    sqlite3_stmt *s = pl_database_statement(append->store, PL_SQL_ST_VERSION_CLOSE, &rc);

    if (!s)
        return rc;
    (void)sqlite3_bind_int64(s, 1, path_id);
    (void)sqlite3_bind_int64(s, 2, (int64_t)mnt_ns);
    (void)sqlite3_bind_int64(s, 3, time_ns / PL_NS_PER_S);
    bind_text_or_null(s, 4, end_reason);
    (void)sqlite3_bind_int64(s, 5, detected_by);
    /* What was read after it had been found to be gone is another one. */
    (void)sqlite3_bind_int64(s, 6, replaced ? INT64_MAX : time_ns);
    return pl_database_run(append->store, s);
}

static int touch_open(pl_append *append, int64_t path_id, uint64_t mnt_ns, int64_t time_ns)
{
    int rc = 0;
    sqlite3_stmt *s = pl_database_statement(append->store, PL_SQL_ST_VERSION_SEEN, &rc);

    if (!s)
        return rc;
    (void)sqlite3_bind_int64(s, 1, path_id);
    (void)sqlite3_bind_int64(s, 2, (int64_t)mnt_ns);
    (void)sqlite3_bind_int64(s, 3, time_ns / PL_NS_PER_S);
    return pl_database_run(append->store, s);
}

enum step { STALE, TOUCH, REFRESH, MODIFIED, REPLACED };

/* st_dev is compared within one boot only; boot 0: not known. */
static enum step judge(const struct open_version *open, const pl_sighting *v, int64_t content_id, int64_t boot)
{
    const bool same_boot = open->boot == boot;
    pl_identity was = open->identity;

    if (!same_boot) {
        was.dev_major = v->identity.dev_major;
        was.dev_minor = v->identity.dev_minor;
    }
    const bool same_identity = pl_identity_equal(&was, &v->identity);
    const bool same_inode = was.inode == v->identity.inode && was.dev_major == v->identity.dev_major &&
                            was.dev_minor == v->identity.dev_minor && was.btime_ns == v->identity.btime_ns;

    /* Of two writers the one that looked earlier may come later. What it saw is over. */
    if (same_boot && open->hashed_boottime_ns > v->hashed_ns - v->wall_minus_boot_ns)
        return same_identity ? TOUCH : STALE;
    if (v->hash_state != PL_HASH_OK) {
        if (same_identity)
            return TOUCH;
        if (open->hash_state == PL_HASH_OK)
            return same_inode ? MODIFIED : REPLACED;
        return same_inode ? REFRESH : REPLACED;
    }
    if (open->hash_state != PL_HASH_OK || open->content_id == content_id) {
        if (!same_inode)
            return REPLACED;
        /* The same bytes for other people, or with other rights: since when is history, too. */
        if (open->hash_state == PL_HASH_OK &&
            (was.mode != v->identity.mode || was.uid != v->identity.uid || was.gid != v->identity.gid))
            return MODIFIED;
        /* Read again without proof: what was proven of this identity in this boot still is. */
        return same_identity && same_boot && open->cacheable && !v->cacheable ? TOUCH : REFRESH;
    }
    return same_inode ? MODIFIED : REPLACED;
}

int pl_append_sighting(pl_append *append, const pl_sighting *v)
{
    int64_t path_id = 0, content_id = 0, boot = 0;
    struct open_version open = {0};
    pl_auto_free char *container = NULL;
    int rc = pl_intern_path(append->interns, v->path, &path_id);

    if (rc == 0 && v->boot_id[0])
        rc = pl_intern_boot(append->interns, v->boot_id, &boot);
    if (rc == 0 && v->hash_state == PL_HASH_OK)
        rc = pl_intern_content(append->interns, &v->digests, v->identity.size, &content_id);
    if (rc < 0)
        return rc;
    if (v->container) {
        container = pl_text_escape(v->container, strlen(v->container));
        if (!container)
            return pl_error_nomem();
    }
    rc = read_open(append, path_id, v->mnt_ns, &open);
    if (rc < 0)
        return rc;
    if (rc > 0) {
        enum step step = judge(&open, v, content_id, boot);
        if (step == STALE)
            return 0;
        if (step == TOUCH)
            return v->unseen ? 0 : touch_open(append, path_id, v->mnt_ns, v->time_ns);
        if (step == REFRESH)
            return put_version(append, PL_SQL_ST_VERSION_REFRESH, path_id, v, container, content_id, boot);
        rc = close_open(append, path_id, v->mnt_ns, v->time_ns, step == MODIFIED ? "modified" : "replaced",
                        v->detected_by, true);
        if (rc < 0)
            return rc;
    }
    return put_version(append, PL_SQL_ST_VERSION_INSERT, path_id, v, container, content_id, boot);
}

int pl_append_seen(pl_append *append, const char *path, uint64_t mnt_ns, int64_t time_ns)
{
    int64_t path_id = 0;
    int rc = pl_intern_path(append->interns, path, &path_id);

    return rc < 0 ? rc : touch_open(append, path_id, mnt_ns, time_ns);
}

int pl_append_close_version(pl_append *append, const char *path, uint64_t mnt_ns, int64_t time_ns,
                            const char *end_reason, pl_detected_by detected_by)
{
    int64_t path_id = 0;
    int rc = pl_intern_path(append->interns, path, &path_id);

    return rc < 0 ? rc : close_open(append, path_id, mnt_ns, time_ns, end_reason, detected_by, false);
}

static void read_digest(sqlite3_stmt *s, int column, pl_algorithm algorithm, pl_digest_set *set, size_t *slot)
{
    const char *hex = (const char *)sqlite3_column_text(s, column);

    if (hex && pl_digest_from_hex(algorithm, hex, &set->digests[*slot]) == 0)
        (*slot)++;
}

static void read_known(sqlite3_stmt *s, const char *boot_id, pl_known_file *out)
{
    const void *uuid = sqlite3_column_blob(s, 15);
    const int fs_flags = sqlite3_column_int(s, 17);
    const char *boot = (const char *)sqlite3_column_text(s, 21);
    size_t slot = 0;

    out->version_id = sqlite3_column_int64(s, 0);
    out->identity = (pl_identity){
        .size = (uint64_t)sqlite3_column_int64(s, 1),
        .mode = (uint32_t)sqlite3_column_int64(s, 2),
        .uid = (uint32_t)sqlite3_column_int64(s, 3),
        .gid = (uint32_t)sqlite3_column_int64(s, 4),
        .nlink = (uint32_t)sqlite3_column_int64(s, 5),
        .dev_major = (uint32_t)sqlite3_column_int64(s, 6),
        .dev_minor = (uint32_t)sqlite3_column_int64(s, 7),
        .inode = (uint64_t)sqlite3_column_int64(s, 8),
        .btime_ns = sqlite3_column_int64(s, 10),
        .mtime_ns = sqlite3_column_int64(s, 11),
        .ctime_ns = sqlite3_column_int64(s, 12),
        .mount_id = (uint64_t)sqlite3_column_int64(s, 26),
    };
    out->fs = (pl_file_system){
        .generation = (uint64_t)sqlite3_column_int64(s, 9),
        .magic = (uint64_t)sqlite3_column_int64(s, 13),
        .fsid = (uint64_t)sqlite3_column_int64(s, 14),
        .tier = (pl_tier)sqlite3_column_int(s, 16),
        .read_only = fs_flags & FS_READ_ONLY,
        .fine_grained = fs_flags & FS_FINE_GRAINED,
    };
    if (uuid && sqlite3_column_bytes(s, 15) == (int)sizeof(out->fs.uuid))
        memcpy(out->fs.uuid, uuid, sizeof(out->fs.uuid));
    out->assurance = (pl_assurance)sqlite3_column_int(s, 18);
    out->hashed_ns = sqlite3_column_int64(s, 19);
    out->wall_minus_boot_ns = sqlite3_column_int64(s, 20);
    out->same_boot = boot && strcmp(boot, boot_id) == 0;
    read_digest(s, 22, PL_SHA256, &out->digests, &slot);
    read_digest(s, 23, PL_MD5, &out->digests, &slot);
    read_digest(s, 24, PL_SHA1, &out->digests, &slot);
    read_digest(s, 25, PL_SHA512, &out->digests, &slot);
}

void pl_live_version_deinit(pl_live_version *version)
{
    free(version->path);
    free(version->container);
    *version = (pl_live_version){0};
}

/* False: out of memory. */
static bool read_live(sqlite3_stmt *s, const char *boot_id, pl_live_version *out)
{
    const char *path = sqlite3_column_blob(s, 1), *container = (const char *)sqlite3_column_text(s, 3);
    const char *boot = (const char *)sqlite3_column_text(s, 17);

    *out = (pl_live_version){
        .version_id = sqlite3_column_int64(s, 0),
        .path = strndup(path ? path : "", (size_t)sqlite3_column_bytes(s, 1)),
        .mnt_ns = (uint64_t)sqlite3_column_int64(s, 2),
        .container = container ? strdup(container) : NULL,
        .hashed = sqlite3_column_int(s, 4) == PL_HASH_OK,
        .cacheable = sqlite3_column_int(s, 5),
        .tier = (pl_tier)sqlite3_column_int(s, 6),
        .identity = {.size = (uint64_t)sqlite3_column_int64(s, 7),
                     .mode = (uint32_t)sqlite3_column_int64(s, 8),
                     .uid = (uint32_t)sqlite3_column_int64(s, 9),
                     .gid = (uint32_t)sqlite3_column_int64(s, 10),
                     .dev_major = (uint32_t)sqlite3_column_int64(s, 11),
                     .dev_minor = (uint32_t)sqlite3_column_int64(s, 12),
                     .inode = (uint64_t)sqlite3_column_int64(s, 13),
                     .btime_ns = sqlite3_column_int64(s, 14),
                     .mtime_ns = sqlite3_column_int64(s, 15),
                     .ctime_ns = sqlite3_column_int64(s, 16),
                     .mount_id = (uint64_t)sqlite3_column_int64(s, 19)},
        .same_boot = boot && strcmp(boot, boot_id) == 0,
        .last_time_ns = sqlite3_column_int64(s, 18) * PL_NS_PER_S,
    };
    return out->path && (out->container || !container);
}

int pl_files_live(pl_store *store, int64_t after_id, const char *boot_id, int64_t since_ns, pl_live_version *out,
                  size_t n)
{
    size_t count = 0;
    int rc = 0;
    sqlite3_stmt *s = pl_database_statement(store, PL_SQL_ST_VERSIONS_LIVE, &rc);

    if (!s)
        return rc;
    (void)sqlite3_bind_int64(s, 1, after_id);
    (void)sqlite3_bind_int64(s, 2, since_ns / PL_NS_PER_S);
    (void)sqlite3_bind_int64(s, 3, (int64_t)n);
    while (count < n && (rc = pl_database_step(store, s)) > 0) {
        if (!read_live(s, boot_id, &out[count++])) {
            rc = pl_error_nomem();
            break;
        }
    }
    (void)sqlite3_reset(s);
    if (rc >= 0)
        return (int)count;
    for (size_t i = 0; i < count; i++)
        pl_live_version_deinit(&out[i]);
    return rc;
}

int pl_files_find(pl_store *store, const pl_identity *identity, const char *boot_id, int64_t now_ns,
                  int64_t path_ttl_ns, pl_known_file *out)
{
    pl_known_file known = {0};
    int rc = 0;
    sqlite3_stmt *s = pl_database_statement(store, PL_SQL_ST_VERSION_FIND, &rc);

    if (!s)
        return rc;
    (void)sqlite3_bind_int64(s, 1, (int64_t)identity->inode);
    (void)sqlite3_bind_int64(s, 2, identity->ctime_ns);
    (void)sqlite3_bind_int64(s, 3, (int64_t)identity->size);
    (void)sqlite3_bind_int64(s, 4, identity->mtime_ns);
    (void)sqlite3_bind_int64(s, 5, identity->btime_ns);
    (void)sqlite3_bind_int64(s, 6, (now_ns - path_ttl_ns) / PL_NS_PER_S);
    (void)sqlite3_bind_text(s, 7, boot_id, -1, SQLITE_STATIC);
    (void)sqlite3_bind_int64(s, 8, identity->dev_major);
    (void)sqlite3_bind_int64(s, 9, identity->dev_minor);
    rc = pl_database_step(store, s);
    if (rc <= 0)
        return rc < 0 ? rc : PL_PENDING;
    read_known(s, boot_id, &known);
    (void)sqlite3_reset(s);
    /* A row without a sha256 that can be read (edited by hand, or memory ran out while reading) proves nothing. */
    if (known.digests.digests[0].algorithm != PL_SHA256)
        return PL_PENDING;
    *out = known;
    return 0;
}

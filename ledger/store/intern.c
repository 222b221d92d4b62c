/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Interning. Owns a map a kind, from the exact bytes of a value to the id of its row, and a digester for the hash by which
 * command lines are found. Must not begin or end transactions.
 *
 * The maps are memory of what the file says, so they may be emptied at any moment; one that reaches its bound is emptied
 * whole, which costs one lookup in the file for each value that is still in use.
 */
#include "ledger/store/intern.h"

#include <stdlib.h>
#include <string.h>

#include "src/base/mix.h"

#define HASH_NONFATAL_OOM 1
#define HASH_FUNCTION(key, length, hash) ((hash) = (unsigned)pl_mix_bytes((key), (length), 0))
#include <uthash.h>

#include "ledger/store/argv_text.h"
#include "src/base/cleanup.h"
#include "src/base/error.h"
#include "src/base/text.h"

#define MAP_ENTRIES 65536
#define MAP_BYTES (8u << 20)
#define COMMAND_CACHED 4096 /* longer command lines are looked up in the file each time */
#define KEY_SIZE 1024       /* of a context; longer ones are looked up in the file */

typedef struct entry {
    UT_hash_handle hh;
    int64_t id;
    char key[];
} entry;

typedef struct map {
    entry *entries;
    size_t bytes;
} map;

enum kind { PATHS, COMMANDS, BOOTS, CREDS, CONTEXTS, CONTENTS, IMAGES, KINDS };

struct pl_interns {
    pl_store *store; /* borrowed */
    pl_digester *digester;
    map maps[KINDS];
};

static void map_clear(map *m)
{
    entry *e, *next;

    HASH_ITER (hh, m->entries, e, next) {
        HASH_DEL(m->entries, e);
        free(e);
    }
    m->bytes = 0;
}

static bool map_find(const map *m, const void *key, size_t length, int64_t *id)
{
    entry *e = NULL;

    HASH_FIND(hh, m->entries, key, length, e);
    if (e)
        *id = e->id;
    return e != NULL;
}

/* A memory that could not be kept costs a lookup later, no more. */
static void map_put(map *m, const void *key, size_t length, int64_t id)
{
    if (HASH_COUNT(m->entries) >= MAP_ENTRIES || m->bytes > MAP_BYTES)
        map_clear(m);
    entry *e = malloc(sizeof(*e) + length);
    if (!e)
        return;
    e->id = id;
    memcpy(e->key, key, length);
    HASH_ADD_KEYPTR(hh, m->entries, e->key, length, e);
    if (!e->hh.tbl) {
        free(e);
        return;
    }
    m->bytes += sizeof(*e) + length;
}

int pl_interns_new(pl_store *store, pl_interns **out)
{
    pl_interns *interns = calloc(1, sizeof(*interns));

    if (!interns)
        return pl_error_nomem();
    interns->store = store;
    int rc = pl_digester_new(&interns->digester);
    if (rc < 0) {
        free(interns);
        return rc;
    }
    *out = interns;
    return 0;
}

pl_interns *pl_interns_free(pl_interns *interns)
{
    if (interns) {
        pl_interns_clear(interns);
        (void)pl_digester_free(interns->digester);
        free(interns);
    }
    return NULL;
}

void pl_interns_clear(pl_interns *interns)
{
    for (int i = 0; i < KINDS; i++)
        map_clear(&interns->maps[i]);
}

/* Binds the same values to find and, when that has no row, to insert. */
typedef void bind_fn(sqlite3_stmt *statement, const void *value);

static int find_or_insert(pl_interns *interns, enum pl_sql find, enum pl_sql insert, bind_fn *bind, const void *value,
                          int64_t *id)
{
    int rc = 0;
    sqlite3_stmt *statement = pl_database_statement(interns->store, find, &rc);

    if (!statement)
        return rc;
    bind(statement, value);
    rc = pl_database_step(interns->store, statement);
    if (rc > 0) {
        *id = sqlite3_column_int64(statement, 0);
        (void)sqlite3_reset(statement);
    }
    if (rc != 0)
        return rc < 0 ? rc : 0;
    statement = pl_database_statement(interns->store, insert, &rc);
    if (!statement)
        return rc;
    bind(statement, value);
    rc = pl_database_run(interns->store, statement);
    if (rc == 0)
        *id = sqlite3_last_insert_rowid(interns->store->db);
    return rc;
}

struct path_value {
    const char *text, *bytes;
    size_t length;
};

static void bind_path(sqlite3_stmt *statement, const void *value)
{
    const struct path_value *v = value;

    (void)sqlite3_bind_text(statement, 1, v->text, -1, SQLITE_STATIC);
    if (v->bytes)
        (void)sqlite3_bind_blob64(statement, 2, v->bytes, v->length, SQLITE_STATIC);
    else
        (void)sqlite3_bind_zeroblob(statement, 2, 0);
}

int pl_intern_path(pl_interns *interns, const char *bytes, int64_t *id)
{
    size_t length = bytes ? strlen(bytes) : 0;
    int64_t found = 0;

    if (!bytes) {
        *id = 0;
        return 0;
    }
    if (map_find(&interns->maps[PATHS], bytes, length, id))
        return 0;
    pl_auto_free char *text = pl_text_escape(bytes, length);
    if (!text)
        return pl_error_nomem();
    bool same = strcmp(text, bytes) == 0;
    struct path_value value = {text, same ? NULL : bytes, length};
    int rc = find_or_insert(interns, PL_SQL_ST_PATH_FIND, PL_SQL_ST_PATH_INSERT, bind_path, &value, &found);
    if (rc < 0)
        return rc;
    map_put(&interns->maps[PATHS], bytes, length, found);
    *id = found;
    return 0;
}

static void bind_boot(sqlite3_stmt *statement, const void *value)
{
    (void)sqlite3_bind_text(statement, 1, value, -1, SQLITE_STATIC);
}

int pl_intern_boot(pl_interns *interns, const char *boot_id, int64_t *id)
{
    size_t length = strlen(boot_id);
    int64_t found = 0;

    if (map_find(&interns->maps[BOOTS], boot_id, length, id))
        return 0;
    int rc = find_or_insert(interns, PL_SQL_ST_BOOT_FIND, PL_SQL_ST_BOOT_INSERT, bind_boot, boot_id, &found);
    if (rc < 0)
        return rc;
    map_put(&interns->maps[BOOTS], boot_id, length, found);
    *id = found;
    return 0;
}

struct command_value {
    int64_t hash;
    pl_argv_text text;
    const char *bytes; /* NULL: the text is exact */
    size_t length;
};

static void bind_command(sqlite3_stmt *statement, const void *value)
{
    const struct command_value *v = value;

    (void)sqlite3_bind_int64(statement, 1, v->hash);
    (void)sqlite3_bind_text(statement, 2, v->text.cmdline, -1, SQLITE_STATIC);
    (void)sqlite3_bind_text(statement, 3, v->text.json, -1, SQLITE_STATIC);
    (void)sqlite3_bind_blob64(statement, 4, v->bytes, v->length, SQLITE_STATIC);
}

static int hash_of(pl_interns *interns, const char *argv, size_t length, int64_t *hash)
{
    pl_digest_set set;
    uint64_t value = 0;
    int rc = pl_digester_start(interns->digester, PL_SHA256);

    if (rc == 0)
        rc = pl_digester_update(interns->digester, argv, length);
    if (rc == 0)
        rc = pl_digester_finish(interns->digester, &set);
    if (rc < 0)
        return rc;
    for (size_t i = 0; i < sizeof(value); i++)
        value = value << 8 | set.digests[0].bytes[i];
    *hash = (int64_t)value;
    return 0;
}

int pl_intern_command(pl_interns *interns, const char *argv, size_t length, int64_t *id)
{
    struct command_value value = {.length = length};
    int64_t found = 0;

    if (!argv) {
        *id = 0;
        return 0;
    }
    if (length <= COMMAND_CACHED && map_find(&interns->maps[COMMANDS], argv, length, id))
        return 0;
    int rc = hash_of(interns, argv, length, &value.hash);
    if (rc == 0)
        rc = pl_argv_text_init(&value.text, argv, length);
    if (rc < 0)
        return rc;
    value.bytes = value.text.exact ? NULL : argv;
    rc = find_or_insert(interns, PL_SQL_ST_COMMAND_FIND, PL_SQL_ST_COMMAND_INSERT, bind_command, &value, &found);
    pl_argv_text_deinit(&value.text);
    if (rc < 0)
        return rc;
    if (length <= COMMAND_CACHED)
        map_put(&interns->maps[COMMANDS], argv, length, found);
    *id = found;
    return 0;
}

static void bind_ids(sqlite3_stmt *statement, const void *value)
{
    const uint32_t *ids = value;

    for (int i = 0; i < 6; i++) {
        if (ids[i] != PL_NO_ID)
            (void)sqlite3_bind_int64(statement, i + 1, ids[i]);
    }
}

int pl_intern_cred(pl_interns *interns, const pl_execution *e, int64_t *id)
{
    const uint32_t ids[6] = {e->uid, e->euid, e->suid, e->gid, e->egid, e->auid};
    int64_t found = 0;

    if (map_find(&interns->maps[CREDS], ids, sizeof(ids), id))
        return 0;
    int rc = find_or_insert(interns, PL_SQL_ST_CRED_FIND, PL_SQL_ST_CRED_INSERT, bind_ids, ids, &found);
    if (rc < 0)
        return rc;
    map_put(&interns->maps[CREDS], ids, sizeof(ids), found);
    *id = found;
    return 0;
}

struct context_value {
    int64_t boot, mnt_ns, session, source;
    const char *texts[3]; /* tty, cgroup, container; escaped */
};

static void bind_context(sqlite3_stmt *statement, const void *value)
{
    const struct context_value *v = value;

    if (v->boot)
        (void)sqlite3_bind_int64(statement, 1, v->boot);
    if (v->session != PL_NO_ID)
        (void)sqlite3_bind_int64(statement, 2, v->session);
    (void)sqlite3_bind_text(statement, 3, v->texts[0], -1, SQLITE_STATIC);
    if (v->mnt_ns)
        (void)sqlite3_bind_int64(statement, 4, v->mnt_ns);
    (void)sqlite3_bind_text(statement, 5, v->texts[1], -1, SQLITE_STATIC);
    (void)sqlite3_bind_text(statement, 6, v->texts[2], -1, SQLITE_STATIC);
    (void)sqlite3_bind_int64(statement, 7, v->source);
}

/* Everything of a context in one run of bytes; 0: too long for one. */
static size_t context_key(const struct context_value *v, const char *const raw[3], char key[KEY_SIZE])
{
    const int64_t numbers[4] = {v->boot, v->mnt_ns, v->session, v->source};
    size_t at = sizeof(numbers);

    memcpy(key, numbers, sizeof(numbers));
    for (int i = 0; i < 3; i++) {
        /* A text that is there starts with 1, so that NULL and "" differ. */
        size_t length = raw[i] ? strlen(raw[i]) + 2 : 1;
        if (at + length > KEY_SIZE)
            return 0;
        key[at] = raw[i] ? 1 : 0;
        if (raw[i])
            memcpy(key + at + 1, raw[i], length - 1);
        at += length;
    }
    return at;
}

int pl_intern_context(pl_interns *interns, int64_t boot, const pl_execution *e, int64_t *id)
{
    const char *const raw[3] = {e->tty, e->cgroup, e->container};
    struct context_value value = {boot, (int64_t)e->mnt_ns, e->session, e->source, {NULL, NULL, NULL}};
    char key[KEY_SIZE];
    size_t length = context_key(&value, raw, key);
    pl_auto_free char *tty = NULL, *cgroup = NULL, *container = NULL;
    char **const texts[3] = {&tty, &cgroup, &container};
    int64_t found = 0;

    if (length && map_find(&interns->maps[CONTEXTS], key, length, id))
        return 0;
    for (int i = 0; i < 3; i++) {
        *texts[i] = raw[i] ? pl_text_escape(raw[i], strlen(raw[i])) : NULL;
        if (raw[i] && !*texts[i])
            return pl_error_nomem();
        value.texts[i] = *texts[i];
    }
    int rc = find_or_insert(interns, PL_SQL_ST_CONTEXT_FIND, PL_SQL_ST_CONTEXT_INSERT, bind_context, &value, &found);
    if (rc < 0)
        return rc;
    if (length)
        map_put(&interns->maps[CONTEXTS], key, length, found);
    *id = found;
    return 0;
}

/* Binds the hex of an algorithm, or leaves NULL. hex must live until the step. */
static void bind_digest(sqlite3_stmt *statement, int index, const pl_digest_set *set, pl_algorithm algorithm,
                        char hex[129])
{
    const pl_digest *digest = pl_digest_find(set, algorithm);

    if (digest)
        (void)sqlite3_bind_text(statement, index, hex, pl_hex(digest, hex), SQLITE_STATIC);
}

static int insert_content(pl_interns *interns, const pl_digest_set *set, uint64_t size, int64_t *id)
{
    char hex[4][129];
    int rc = 0;
    sqlite3_stmt *statement = pl_database_statement(interns->store, PL_SQL_ST_CONTENT_INSERT, &rc);

    if (!statement)
        return rc;
    bind_digest(statement, 1, set, PL_SHA256, hex[0]);
    (void)sqlite3_bind_int64(statement, 2, (int64_t)size);
    bind_digest(statement, 3, set, PL_MD5, hex[1]);
    bind_digest(statement, 4, set, PL_SHA1, hex[2]);
    bind_digest(statement, 5, set, PL_SHA512, hex[3]);
    rc = pl_database_run(interns->store, statement);
    if (rc == 0)
        *id = sqlite3_last_insert_rowid(interns->store->db);
    return rc;
}

static int fill_content(pl_interns *interns, const pl_digest_set *set, int64_t id)
{
    char hex[3][129];
    int rc = 0;
    sqlite3_stmt *statement = pl_database_statement(interns->store, PL_SQL_ST_CONTENT_FILL, &rc);

    if (!statement)
        return rc;
    (void)sqlite3_bind_int64(statement, 1, id);
    bind_digest(statement, 2, set, PL_MD5, hex[0]);
    bind_digest(statement, 3, set, PL_SHA1, hex[1]);
    bind_digest(statement, 4, set, PL_SHA512, hex[2]);
    return pl_database_run(interns->store, statement);
}

static int find_content(pl_interns *interns, const pl_digest_set *set, uint64_t size, int64_t *id)
{
    char hex[129];
    int rc = 0;
    uint32_t have = PL_SHA256;
    sqlite3_stmt *statement = pl_database_statement(interns->store, PL_SQL_ST_CONTENT_FIND, &rc);

    if (!statement)
        return rc;
    bind_digest(statement, 1, set, PL_SHA256, hex);
    rc = pl_database_step(interns->store, statement);
    if (rc == 0)
        return insert_content(interns, set, size, id);
    if (rc < 0)
        return rc;
    *id = sqlite3_column_int64(statement, 0);
    have |= sqlite3_column_int(statement, 1) ? (uint32_t)PL_MD5 : 0;
    have |= sqlite3_column_int(statement, 2) ? (uint32_t)PL_SHA1 : 0;
    have |= sqlite3_column_int(statement, 3) ? (uint32_t)PL_SHA512 : 0;
    (void)sqlite3_reset(statement);
    return pl_digest_set_algorithms(set) & ~have ? fill_content(interns, set, *id) : 0;
}

int pl_intern_content(pl_interns *interns, const pl_digest_set *set, uint64_t size, int64_t *id)
{
    const pl_digest *sha256 = pl_digest_find(set, PL_SHA256);
    unsigned char key[33];
    int64_t found = 0;

    if (!sha256)
        return pl_error_set(PL_ERR_INVALID, "a content without a sha256");
    /* With the algorithms in the key, a set that brings a new one meets the file once. */
    memcpy(key, sha256->bytes, 32);
    key[32] = (unsigned char)pl_digest_set_algorithms(set);
    if (map_find(&interns->maps[CONTENTS], key, sizeof(key), id))
        return 0;
    int rc = find_content(interns, set, size, &found);
    if (rc < 0)
        return rc;
    map_put(&interns->maps[CONTENTS], key, sizeof(key), found);
    *id = found;
    return 0;
}

static void bind_image(sqlite3_stmt *statement, const void *value)
{
    const pl_image_row *v = value;
    const int64_t values[8] = {v->path_id, v->content_id, v->hash_state,     v->assurance,
                               v->mode,    v->flags,      v->script_path_id, v->script_content_id};

    for (int i = 0; i < 8; i++)
        (void)sqlite3_bind_int64(statement, i + 1, values[i]);
}

int pl_intern_image(pl_interns *interns, const pl_image_row *image, int64_t *id)
{
    int64_t found = 0;

    if (map_find(&interns->maps[IMAGES], image, sizeof(*image), id))
        return 0;
    int rc = find_or_insert(interns, PL_SQL_ST_IMAGE_FIND, PL_SQL_ST_IMAGE_INSERT, bind_image, image, &found);
    if (rc < 0)
        return rc;
    map_put(&interns->maps[IMAGES], image, sizeof(*image), found);
    *id = found;
    return 0;
}

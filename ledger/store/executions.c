/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Rows of executions and forks. Owns nothing. An execution counts for `binaries` once, at the moment when its hash state
 * is no longer pending; for `commands` when it is written.
 */
#include "ledger/store/executions.h"

#include <string.h>
#include <sys/wait.h>

#include "ledger/store/append.h"
#include "src/base/cleanup.h"
#include "src/base/error.h"
#include "src/base/text.h"

#define NAME_MAX_SHOWN 15  /* TASK_COMM_LEN without its NUL */
#define CONTAINER_MAX 1024 /* a name of 255 bytes with each of them escaped, and a NUL */

static const char *reason_text(pl_end_reason reason)
{
    static const char *const texts[] = {NULL, "exit", "exec", "reboot", "lost"};

    return (size_t)reason < sizeof(texts) / sizeof(texts[0]) ? texts[reason] : NULL;
}

/* comm is what the view shows anyway: the last component of the path, cut. Plain ASCII only, where bytes are characters. */
static bool name_is_implied(const char *name, const char *path)
{
    const char *slash = path ? strrchr(path, '/') : NULL;
    const char *base = slash ? slash + 1 : path;

    if (!base || !*base)
        return false;
    size_t length = strlen(base);
    for (size_t i = 0; i < length; i++) {
        if (base[i] < 0x20 || base[i] > 0x7e)
            return false;
    }
    length = length < NAME_MAX_SHOWN ? length : NAME_MAX_SHOWN;
    return strlen(name) == length && memcmp(name, base, length) == 0;
}

/* container: escaped, as _context has it. */
static int count_binary(pl_append *append, int64_t path_id, int64_t content_id, const char container[CONTAINER_MAX],
                        int64_t time)
{
    char key[2 * sizeof(int64_t) + CONTAINER_MAX];
    size_t length = strlen(container);

    memcpy(key, &path_id, sizeof(path_id));
    memcpy(key + sizeof(path_id), &content_id, sizeof(content_id));
    memcpy(key + 2 * sizeof(int64_t), container, length);
    return pl_tally_add(append->binaries, key, 2 * sizeof(int64_t) + length, time);
}

static int content_of(pl_append *append, pl_hash_state state, const pl_digest_set *digests, uint64_t size,
                      int64_t *content_id)
{
    if (state == PL_HASH_OK && digests)
        return pl_intern_content(append->interns, digests, size, content_id);
    *content_id = 0;
    return 0;
}

/* The image of an execution with the newest hashes that the batch has. */
static int image_of(pl_append *append, const pl_execution_row *row, pl_image_row *image)
{
    const pl_execution *e = row->execution;
    const pl_execution_hash *h = row->hash, *s = row->script_hash;
    int rc = pl_intern_path(append->interns, e->path, &image->path_id);

    if (rc == 0)
        rc = pl_intern_path(append->interns, e->script_path, &image->script_path_id);
    image->hash_state = h ? h->hash_state : e->hash_state;
    image->assurance = h ? h->assurance : e->assurance;
    image->mode = e->mode;
    image->flags = e->flags & ~(uint32_t)PL_IMAGE_KERNEL;
    if (rc == 0)
        rc = content_of(append, (pl_hash_state)image->hash_state, h ? &h->digests : e->digests, h ? h->size : e->size,
                        &image->content_id);
    if (rc == 0 && s)
        rc = content_of(append, s->hash_state, &s->digests, s->size, &image->script_content_id);
    return rc;
}

static void bind_known(sqlite3_stmt *statement, int index, int64_t value)
{
    if (value)
        (void)sqlite3_bind_int64(statement, index, value);
}

/* Parameters of the end, from `at` on: exit_code, exit_signal, duration_ns. */
static void bind_status(sqlite3_stmt *statement, int at, const pl_execution_end *end)
{
    if (end->has_status && WIFEXITED(end->status))
        (void)sqlite3_bind_int(statement, at, WEXITSTATUS(end->status));
    if (end->has_status && WIFSIGNALED(end->status))
        (void)sqlite3_bind_int(statement, at + 1, WTERMSIG(end->status));
    if (end->duration_ns >= 0)
        (void)sqlite3_bind_int64(statement, at + 2, end->duration_ns);
}

/* Whether time plus duration gives the same second, so that end_time need not be kept. */
static bool end_is_implied(const pl_execution *e, const pl_execution_end *end)
{
    return end->duration_ns >= 0 && (e->time_ns + end->duration_ns) / PL_NS_PER_S == end->time_ns / PL_NS_PER_S;
}

struct ids {
    int64_t image, filename, command, cwd, cred, context;
};

static int intern_all(pl_append *append, const pl_execution_row *row, pl_image_row *image, struct ids *ids)
{
    const pl_execution *e = row->execution;
    int rc = image_of(append, row, image);

    if (rc == 0)
        rc = pl_intern_image(append->interns, image, &ids->image);
    if (rc == 0 && e->filename && e->path && strcmp(e->filename, e->path) == 0)
        ids->filename = image->path_id; /* as a rule */
    else if (rc == 0)
        rc = pl_intern_path(append->interns, e->filename, &ids->filename);
    if (rc == 0)
        rc = pl_intern_path(append->interns, e->cwd, &ids->cwd);
    if (rc == 0)
        rc = pl_intern_command(append->interns, e->argv, e->argv_length, &ids->command);
    if (rc == 0)
        rc = pl_intern_cred(append->interns, e, &ids->cred);
    if (rc == 0)
        rc = pl_intern_context(append->interns, append->boot, e, &ids->context);
    return rc;
}

static void set_known(pl_row *row, enum pl_row_column column, int64_t value)
{
    if (value)
        pl_row_set(row, column, value);
}

static void set_end(pl_row *row, const pl_execution *e, const pl_execution_end *end)
{
    if (end->has_status && WIFEXITED(end->status))
        pl_row_set(row, PL_ROW_EXIT_CODE, WEXITSTATUS(end->status));
    if (end->has_status && WIFSIGNALED(end->status))
        pl_row_set(row, PL_ROW_EXIT_SIGNAL, WTERMSIG(end->status));
    if (end->duration_ns >= 0)
        pl_row_set(row, PL_ROW_DURATION_NS, end->duration_ns);
    if (end->time_ns && !end_is_implied(e, end))
        pl_row_set(row, PL_ROW_END_TIME, end->time_ns / PL_NS_PER_S);
    row->end_reason = reason_text(end->reason);
}

static pl_row row_of(const pl_execution_row *from, const pl_image_row *image, const struct ids *ids)
{
    const pl_execution *e = from->execution;
    pl_row row = {0};

    pl_row_set(&row, PL_ROW_ID, e->eid);
    pl_row_set(&row, PL_ROW_TIME, e->time_ns / PL_NS_PER_S);
    pl_row_set(&row, PL_ROW_TIME_NS, e->time_ns % PL_NS_PER_S);
    pl_row_set(&row, PL_ROW_PID, e->pid);
    /* Nothing started pid 1, and that is known. */
    if (e->ppid > 0 || (e->ppid == 0 && e->pid == 1))
        pl_row_set(&row, PL_ROW_PPID, e->ppid);
    set_known(&row, PL_ROW_START_TICKS, (int64_t)e->start_ticks);
    set_known(&row, PL_ROW_PARENT, e->parent_eid);
    set_known(&row, PL_ROW_PREV, e->prev_eid);
    pl_row_set(&row, PL_ROW_IMAGE, ids->image);
    /* NULL says "as the path": what is not known and has a path must be row 0 instead. */
    if (ids->filename != image->path_id)
        pl_row_set(&row, PL_ROW_FILENAME, ids->filename);
    pl_row_set(&row, PL_ROW_COMMAND, ids->command);
    set_known(&row, PL_ROW_CWD, ids->cwd);
    pl_row_set(&row, PL_ROW_CRED, ids->cred);
    pl_row_set(&row, PL_ROW_CONTEXT, ids->context);
    if (from->end)
        set_end(&row, e, from->end);
    return row;
}

int pl_append_execution(pl_append *append, const pl_execution_row *row)
{
    const pl_execution *e = row->execution;
    pl_image_row image = {0};
    struct ids ids = {0};
    pl_auto_free char *name = NULL;
    int rc = intern_all(append, row, &image, &ids);

    if (rc < 0)
        return rc;
    if (!e->name || !name_is_implied(e->name, e->path)) {
        const char *raw = e->name ? e->name : "";
        name = pl_text_escape(raw, strlen(raw));
        if (!name)
            return pl_error_nomem();
    }
    pl_row added = row_of(row, &image, &ids);
    added.name = name;
    rc = pl_rows_add(append->rows, &added);
    if (rc < 0)
        return rc;
    (void)pl_steal(&name);
    append->least_eid = e->eid < append->least_eid ? e->eid : append->least_eid;
    if (rc == 0 && ids.command)
        rc = pl_tally_add(append->commands, &ids.command, sizeof(ids.command), e->time_ns / PL_NS_PER_S);
    if (rc == 0 && image.path_id && image.hash_state != PL_HASH_PENDING) {
        char container[CONTAINER_MAX] = "";
        if (e->container)
            (void)pl_text_escape_into(e->container, strlen(e->container), container, sizeof(container));
        rc = count_binary(append, image.path_id, image.content_id, container, e->time_ns / PL_NS_PER_S);
    }
    return rc;
}

int pl_append_rows(pl_append *append)
{
    return pl_rows_insert(append->rows, &append->rejected);
}

/* 1: *image, *time and container are what the row has now; 0: no such row (lost, or deleted long ago). */
static int read_image(pl_append *append, int64_t eid, pl_image_row *image, int64_t *time, char container[CONTAINER_MAX])
{
    int rc = 0;
    sqlite3_stmt *s = pl_database_statement(append->store, PL_SQL_ST_EXECUTION_IMAGE, &rc);

    if (!s)
        return rc;
    (void)sqlite3_bind_int64(s, 1, eid);
    rc = pl_database_step(append->store, s);
    if (rc <= 0)
        return rc;
    int64_t *const fields[8] = {&image->path_id, &image->content_id, &image->hash_state,     &image->assurance,
                                &image->mode,    &image->flags,      &image->script_path_id, &image->script_content_id};
    for (int i = 0; i < 8; i++)
        *fields[i] = sqlite3_column_int64(s, i);
    *time = sqlite3_column_int64(s, 8);
    const char *text = (const char *)sqlite3_column_text(s, 9);
    container[0] = '\0';
    if (text)
        (void)stpncpy(container, text, CONTAINER_MAX - 1);
    container[CONTAINER_MAX - 1] = '\0';
    (void)sqlite3_reset(s);
    return 1;
}

int pl_append_hash(pl_append *append, const pl_execution_hash *hash)
{
    pl_image_row image = {0};
    int64_t time = 0, content = 0, id = 0;
    char container[CONTAINER_MAX];
    int rc = pl_append_rows(append); /* it may be among them: folding is not a must */

    if (rc == 0)
        rc = read_image(append, hash->eid, &image, &time, container);
    if (rc <= 0)
        return rc;
    rc = content_of(append, hash->hash_state, &hash->digests, hash->size, &content);
    if (rc < 0)
        return rc;
    /* What ran is what was executed: a digest that is there is never replaced by another, whoever asks again. */
    if (!hash->script && image.hash_state == PL_HASH_OK &&
        (hash->hash_state != PL_HASH_OK || content != image.content_id))
        return 0;
    bool settles = !hash->script && image.hash_state == PL_HASH_PENDING && hash->hash_state != PL_HASH_PENDING;
    if (hash->script) {
        image.script_content_id = content;
    } else {
        image.content_id = content;
        image.hash_state = hash->hash_state;
        image.assurance = hash->assurance;
    }
    rc = pl_intern_image(append->interns, &image, &id);
    if (rc < 0)
        return rc;
    sqlite3_stmt *s = pl_database_statement(append->store, PL_SQL_ST_EXECUTION_SET_IMAGE, &rc);
    if (!s)
        return rc;
    (void)sqlite3_bind_int64(s, 1, hash->eid);
    (void)sqlite3_bind_int64(s, 2, id);
    rc = pl_database_run(append->store, s);
    if (rc == 0 && settles && image.path_id)
        rc = count_binary(append, image.path_id, content, container, time);
    return rc;
}

int pl_append_end(pl_append *append, const pl_execution_end *end)
{
    int rc = pl_append_rows(append);

    if (rc < 0)
        return rc;
    sqlite3_stmt *s = pl_database_statement(append->store, PL_SQL_ST_EXECUTION_END, &rc);
    if (!s)
        return rc;
    (void)sqlite3_bind_int64(s, 1, end->eid);
    bind_status(s, 2, end);
    if (end->time_ns)
        (void)sqlite3_bind_int64(s, 5, end->time_ns / PL_NS_PER_S);
    (void)sqlite3_bind_text(s, 6, reason_text(end->reason), -1, SQLITE_STATIC);
    return pl_database_run(append->store, s);
}

int pl_append_fork(pl_append *append, const pl_fork_record *record)
{
    int rc = 0;
    sqlite3_stmt *s = pl_database_statement(append->store, PL_SQL_ST_FORK_PUT, &rc);

    if (!s)
        return rc;
    (void)sqlite3_bind_int64(s, 1, record->fork_id);
    (void)sqlite3_bind_int64(s, 2, record->time_ns / PL_NS_PER_S);
    (void)sqlite3_bind_int(s, 3, record->pid);
    bind_known(s, 4, record->ppid);
    bind_known(s, 5, record->image_eid);
    if (record->end_time_ns)
        (void)sqlite3_bind_int64(s, 6, record->end_time_ns / PL_NS_PER_S);
    return pl_database_run(append->store, s);
}

static int put_command(void *context, const void *key, size_t length, const pl_tally_count *count)
{
    pl_append *append = context;
    int64_t id = 0;
    int rc = 0;
    sqlite3_stmt *s = pl_database_statement(append->store, PL_SQL_ST_COMMAND_COUNT, &rc);

    if (!s)
        return rc;
    memcpy(&id, key, length);
    (void)sqlite3_bind_int64(s, 1, id);
    (void)sqlite3_bind_int64(s, 2, count->count);
    (void)sqlite3_bind_int64(s, 3, count->first);
    (void)sqlite3_bind_int64(s, 4, count->last);
    return pl_database_run(append->store, s);
}

static int put_binary(void *context, const void *key, size_t length, const pl_tally_count *count)
{
    pl_append *append = context;
    const char *bytes = key;
    int64_t ids[2];
    int rc = 0;
    sqlite3_stmt *s = pl_database_statement(append->store, PL_SQL_ST_BINARY_COUNT, &rc);

    if (!s)
        return rc;
    memcpy(ids, bytes, sizeof(ids));
    (void)sqlite3_bind_int64(s, 1, ids[0]);
    (void)sqlite3_bind_text(s, 2, bytes + sizeof(ids), (int)(length - sizeof(ids)), SQLITE_STATIC);
    (void)sqlite3_bind_int64(s, 3, ids[1]);
    (void)sqlite3_bind_int64(s, 4, count->first);
    (void)sqlite3_bind_int64(s, 5, count->last);
    (void)sqlite3_bind_int64(s, 6, count->count);
    return pl_database_run(append->store, s);
}

int pl_append_tallies(pl_append *append)
{
    int rc = pl_tally_each(append->commands, put_command, append);

    return rc == 0 ? pl_tally_each(append->binaries, put_binary, append) : rc;
}

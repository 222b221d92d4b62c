/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The file that is made: what a program that never heard of us finds in it. */
#include "tests/unit/store/store_support.h"

#include "ledger/store/database.h"

static const struct {
    const char *view, *columns;
} promised[] = {
    {"process_events",
     "eid,time,time_ns,at,pid,ppid,parent_eid,parent_path,prev_eid,path,path_bytes,filename,name,cmdline,argv,cwd,uid,"
     "euid,gid,egid,suid,auid,session,tty,mode,sha256,hash_state,assurance,script_path,script_sha256,flags,exit_code,"
     "exit_signal,duration_ns,end_time,end_reason,source,boot_id,mnt_ns,cgroup,container"},
    {"process_forks", "pid,ppid,image_eid,time,end_time"},
    {"processes",
     "eid,time,time_ns,at,pid,ppid,parent_eid,parent_path,prev_eid,path,path_bytes,filename,name,cmdline,argv,cwd,uid,"
     "euid,gid,egid,suid,auid,session,tty,mode,sha256,hash_state,assurance,script_path,script_sha256,flags,exit_code,"
     "exit_signal,duration_ns,end_time,end_reason,source,boot_id,mnt_ns,cgroup,container"},
    {"hash", "path,mnt_ns,container,size,md5,sha1,sha256,sha512,hash_state,assurance"},
    {"binaries", "path,container,sha256,size,first_time,last_time,execs,package"},
    {"file_history",
     "path,mnt_ns,container,sha256,size,mode,uid,gid,inode,mtime_ns,ctime_ns,first_time,last_time,end_time,end_reason,"
     "detected_by"},
    {"changes",
     "change_id,time,at,path,container,class,attention,reasons,old_sha256,new_sha256,last_old_time,first_new_time,"
     "old_mode,new_mode,old_uid,new_uid,detected_by,package,package_old_version,package_new_version,runs_before,"
     "runs_after,acknowledged"},
    {"commands", "cmdline,execs,first_time,last_time"},
    {"gaps", "time,end_time,lost,source,reason"},
    {"runs",
     "time,end_time,clean,version,source,boot_id,hostname,machine_id,kernel,executions,lost,files_hashed,bytes_hashed,"
     "hits_hot,hits_ledger,watches,last_time,run_id,tracked,watches_refused,overflows,start_total,start_done"},
    {"about", "key,value"},
};

static void test_promised_columns_come_first(void **state)
{
    const fixture *f = *state;

    (void)pl_store_close(open_store(f->path, PL_STORE_WRITE));
    for (size_t i = 0; i < sizeof(promised) / sizeof(promised[0]); i++) {
        char sql[200];
        (void)snprintf(sql, sizeof(sql), "SELECT group_concat(name) FROM pragma_table_info('%s')", promised[i].view);
        char *columns = ask(f->path, sql);
        size_t length = strlen(promised[i].columns);
        assert_memory_equal(columns, promised[i].columns, length);
        assert_true(columns[length] == '\0' || columns[length] == ',');
        free(columns);
        (void)snprintf(sql, sizeof(sql), "SELECT * FROM \"%s\"", promised[i].view);
        free(ask(f->path, sql));
    }
    assert_answer(f->path, "SELECT count(*) FROM sqlite_master WHERE type = 'view'", "11");
}

/* What a later step adds to a table has its words in that step, which SQLite does not keep. */
static bool is_commented_in_a_later_step(const char *table, const char *column)
{
    char needle[200];

    (void)snprintf(needle, sizeof(needle), "ALTER TABLE %s ADD COLUMN %s ", table, column);
    for (size_t i = 1; i < PL_SCHEMA_VERSION; i++) {
        const char *at = strstr(pl_schema_migrations[i], needle), *end = at ? strchr(at, '\n') : NULL;
        const char *comment = at ? strstr(at, "-- ") : NULL;
        if (comment && (!end || comment < end))
            return true;
    }
    return false;
}

/* Each column has a line of its CREATE VIEW that names it last and then says what it is. */
static void test_every_column_is_commented(void **state)
{
    const fixture *f = *state;
    unsigned checked = 0;

    (void)pl_store_close(open_store(f->path, PL_STORE_WRITE));
    char *list = ask(f->path, "SELECT m.name, c.name FROM sqlite_master m, pragma_table_info(m.name) c"
                              " WHERE m.type IN ('view', 'table') AND m.name NOT LIKE 'sqlite%'");
    for (char *save = NULL, *line = strtok_r(list, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
        char *column = strchr(line, '|'), sql[200], needle[2][100];
        *column++ = '\0';
        (void)snprintf(sql, sizeof(sql), "SELECT sql FROM sqlite_master WHERE name = '%s'", line);
        char *text = ask(f->path, sql);
        (void)snprintf(needle[0], sizeof(needle[0]), " AS %s", column);
        (void)snprintf(needle[1], sizeof(needle[1]), "\n  %s ", column);
        const char *at = strstr(text, line[0] == '_' ? needle[1] : needle[0]);
        for (; at && line[0] != '_' && strchr(", ", at[strlen(needle[0])]) == NULL; at = strstr(at + 1, needle[0]))
            ;
        const char *end = at ? strchr(at + 1, '\n') : NULL;
        const char *comment = at ? strstr(at, "-- ") : NULL;
        bool fine = (comment && (!end || comment < end)) || is_commented_in_a_later_step(line, column);
        /* Row numbers that nothing but the schema itself speaks of need no words. */
        if (!fine && !(line[0] == '_' && strcmp(column, "id") == 0))
            fail_msg("%s.%s has no comment", line, column);
        checked++;
        free(text);
    }
    assert_true(checked > 250);
    free(list);
}

static void test_file_says_what_it_is(void **state)
{
    const fixture *f = *state;
    char version[16], head[64];

    (void)snprintf(version, sizeof(version), "%d", PL_SCHEMA_VERSION);
    (void)snprintf(head, sizeof(head), "1886152036|%s|2|wal", version);
    (void)pl_store_close(open_store(f->path, PL_STORE_WRITE));
    assert_answer(f->path,
                  "SELECT * FROM pragma_application_id, pragma_user_version, pragma_auto_vacuum,"
                  " pragma_journal_mode",
                  head);
    assert_answer(f->path, "SELECT count(*) FROM sqlite_master WHERE sql LIKE '%STRICT%' AND type = 'table'", "0");
    assert_answer(f->path,
                  "SELECT count(*) FROM sqlite_master WHERE type = 'table' AND name NOT LIKE '\\_%' ESCAPE '\\'"
                  " AND name NOT LIKE 'sqlite%'",
                  "0");
    assert_answer(f->path, "SELECT value FROM about WHERE key = 'schema'", version);
    assert_answer(f->path, "SELECT count(*) FROM about WHERE key = 'documentation'", "1");
}

/* The WAL stays after the last close, so that a reader who cannot write the folder can open the file. */
static void test_wal_stays(void **state)
{
    const fixture *f = *state;
    struct stat status;
    char *wal = pl_temp_path(f->dir, "ledger.db-wal"), *shm = pl_temp_path(f->dir, "ledger.db-shm");

    (void)pl_store_close(open_store(f->path, PL_STORE_RECORDER));
    assert_int_equal(stat(wal, &status), 0);
    assert_int_equal(status.st_mode & 07777, 0640);
    assert_int_equal(stat(shm, &status), 0);
    assert_int_equal(stat(f->path, &status), 0);
    assert_int_equal(status.st_mode & 07777, 0640);
    free(wal);
    free(shm);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_promised_columns_come_first, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_every_column_is_commented, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_file_says_what_it_is, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_wal_stays, set_up, tear_down),
    };

    return cmocka_run_group_tests_name("store_schema", tests, NULL, NULL);
}

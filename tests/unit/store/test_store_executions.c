/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Rows of executions and forks: each field of a record in its column, each code as its word, what is not known as NULL;
 * hashes and ends that come with the execution or long after it. test_store_writer.c has the whole row and folding; here
 * are the fields one by one and the odd orders.
 */
#include "tests/unit/store/store_support.h"

#include <signal.h>

/* Batches close only when somebody flushes. */
static const pl_writer_options by_hand = {.batch_ns = 3600 * SECOND, .batch_count = 1000000};

typedef struct room {
    fixture *f;
    pl_writer *w;
} room;

static int open_room(void **state)
{
    room *r = calloc(1, sizeof(*r));
    void *f = NULL;

    assert_int_equal(set_up(&f), 0);
    r->f = f;
    r->w = open_writer(r->f->path, PL_STORE_RECORDER, &by_hand);
    *state = r;
    return 0;
}

static int close_room(void **state)
{
    room *r = *state;
    void *f = r->f;

    (void)pl_writer_free(r->w);
    free(r);
    return tear_down(&f);
}

static void flush(room *r)
{
    assert_int_equal(pl_writer_flush(r->w), 0);
}

static void put(room *r, const pl_execution *e)
{
    assert_int_equal(pl_writer_execution(r->w, e), 0);
}

static pl_execution next(room *r)
{
    return execution_of(pl_writer_next_eid(r->w));
}

static void test_each_id_goes_into_its_own_column(void **state)
{
    room *r = *state;
    pl_execution e = next(r);

    e.uid = 11;
    e.euid = 12;
    e.suid = 13;
    e.gid = 14;
    e.egid = 15;
    e.auid = 16;
    e.session = 17;
    e.pid = 18;
    e.ppid = 19;
    e.parent_eid = 20;
    e.prev_eid = 21;
    e.start_ticks = 22;
    e.mnt_ns = 23;
    e.mode = 24;
    put(r, &e);
    flush(r);
    assert_answer(r->f->path,
                  "SELECT uid, euid, suid, gid, egid, auid, session, pid, ppid, parent_eid, prev_eid, start_ticks,"
                  " mnt_ns, mode FROM process_events",
                  "11|12|13|14|15|16|17|18|19|20|21|22|23|24");
}

static void test_largest_numbers_are_kept(void **state)
{
    room *r = *state;
    pl_execution e = next(r);

    e.uid = e.gid = PL_NO_ID - 1;
    e.session = PL_NO_ID - 1;
    e.mnt_ns = UINT32_MAX;
    e.start_ticks = INT64_MAX;
    e.time_ns = INT64_MAX;
    e.pid = INT32_MAX;
    put(r, &e);
    flush(r);
    assert_answer(r->f->path, "SELECT uid, gid, session, mnt_ns, start_ticks, pid, time, time_ns FROM process_events",
                  "4294967294|4294967294|4294967294|4294967295|9223372036854775807|2147483647|9223372036|854775807");
}

static void test_nothing_started_pid_1(void **state)
{
    room *r = *state;
    pl_execution e = next(r);

    e.pid = 1;
    e.ppid = 0;
    put(r, &e);
    e = next(r);
    e.ppid = 0;
    put(r, &e);
    flush(r);
    assert_answer(r->f->path, "SELECT ppid FROM process_events ORDER BY eid", "0\nNULL");
}

static void test_each_code_is_shown_as_its_word(void **state)
{
    static const struct {
        const char *column, *words;
    } expected[] = {
        {"hash_state", "pending,ok,unreadable,vanished,too-big,unstable,NULL"},
        {"assurance", "none,stat,probed,none,none,none,none"},
        {"source", "bpf,netlink,scan,snapshot,bpf,bpf,bpf"},
        {"flags", "memfd,deleted,overlay-upper,setuid,setgid,filecaps,argv-cut"},
    };
    room *r = *state;
    const pl_digest_set digests = digests_of(1);

    for (int i = 0; i < 7; i++) {
        pl_execution e = next(r);
        e.hash_state = (pl_hash_state)i;
        e.digests = i == PL_HASH_OK ? &digests : NULL;
        e.assurance = i < 3 ? (pl_assurance)i : PL_ASSURANCE_NONE;
        e.source = i < 4 ? (pl_event_source)(i + 1) : PL_EVENTS_BPF;
        e.flags = UINT32_C(1) << i;
        put(r, &e);
    }
    pl_execution all = next(r), kernel = next(r);
    all.flags = (1 << 7) - 1;
    kernel.flags = PL_IMAGE_KERNEL;
    put(r, &all);
    put(r, &kernel);
    flush(r);
    for (size_t i = 0; i < sizeof(expected) / sizeof(expected[0]); i++) {
        char sql[200];
        (void)snprintf(sql, sizeof(sql), "SELECT group_concat(ifnull(%s, 'NULL')) FROM process_events WHERE eid <= 7",
                       expected[i].column);
        assert_answer(r->f->path, sql, expected[i].words);
    }
    assert_answer(r->f->path, "SELECT flags FROM process_events WHERE eid > 7",
                  "memfd,deleted,overlay-upper,setuid,setgid,filecaps,argv-cut\n");
    /* Only what was hashed has a digest. */
    assert_answer(r->f->path, "SELECT group_concat(eid) FROM process_events WHERE sha256 IS NOT NULL", "2");
}

static void test_each_end_has_its_reason_and_its_status(void **state)
{
    static const struct {
        pl_end_reason reason;
        bool has_status;
        int status;
    } ends[] = {
        {PL_END_EXIT, true, 0},       {PL_END_EXIT, true, 255 << 8},
        {PL_END_EXIT, true, SIGKILL}, {PL_END_EXIT, true, SIGSEGV | 0x80 /* with a core */},
        {PL_END_EXEC, false, 0},      {PL_END_REBOOT, false, 7 << 8},
        {PL_END_LOST, false, 0},
    };
    room *r = *state;

    for (int i = 0; i < 7; i++) {
        pl_execution e = next(r);
        pl_execution_end end = end_of(e.eid, ends[i].status);
        end.reason = ends[i].reason;
        end.has_status = ends[i].has_status;
        put(r, &e);
        assert_int_equal(pl_writer_end(r->w, &end), 0);
        /* Every other one as an update of its row. */
        if (i % 2)
            flush(r);
    }
    flush(r);
    assert_answer(r->f->path, "SELECT exit_code, exit_signal, end_reason FROM process_events ORDER BY eid",
                  "0|NULL|exit\n255|NULL|exit\nNULL|9|exit\nNULL|11|exit\nNULL|NULL|exec\nNULL|NULL|reboot\n"
                  "NULL|NULL|lost");
}

/* Time and duration give the end where they can, and it is kept where they cannot. */
static void test_end_time_is_right_however_it_is_kept(void **state)
{
    static const struct {
        int64_t start_ns, duration_ns, end_ns;
        const char *end;
    } cases[] = {
        {T0, 2 * SECOND, T0 + 2 * SECOND, "1700000002"},
        {T0 + 999999999, 1, T0 + SECOND, "1700000001"},
        {T0 + 999999998, 1, T0 + 999999999, "1700000000"},
        {T0, 2 * SECOND, T0 + 3600 * SECOND, "1700003600"}, /* somebody set the clock meanwhile */
        {T0, 2 * SECOND, T0 - 10 * SECOND, "1699999990"},
        {T0, -1, T0 + 5 * SECOND, "1700000005"},
        {T0, 4 * SECOND, 0, "1700000004"},
        {T0, -1, 0, "NULL"},
        {T0, 0, T0, "1700000000"},
    };
    const int n = (int)(sizeof(cases) / sizeof(cases[0]));
    room *r = *state;

    for (int round = 0; round < 2; round++) {
        for (int i = 0; i < n; i++) {
            pl_execution e = next(r);
            pl_execution_end end = {.eid = e.eid, .reason = PL_END_EXIT};
            e.time_ns = cases[i].start_ns;
            end.duration_ns = cases[i].duration_ns;
            end.time_ns = cases[i].end_ns;
            put(r, &e);
            if (round)
                flush(r);
            assert_int_equal(pl_writer_end(r->w, &end), 0);
            flush(r);
            char sql[200];
            (void)snprintf(sql, sizeof(sql), "SELECT end_time FROM process_events WHERE eid = %lld", (long long)e.eid);
            assert_answer(r->f->path, sql, cases[i].end);
        }
    }
}

static void test_first_end_counts(void **state)
{
    room *r = *state;
    pl_execution e = next(r);
    pl_execution_end end = end_of(e.eid, 3 << 8);

    put(r, &e);
    flush(r);
    assert_int_equal(pl_writer_end(r->w, &end), 0);
    flush(r);
    end.status = 4 << 8;
    end.reason = PL_END_LOST;
    assert_int_equal(pl_writer_end(r->w, &end), 0);
    flush(r);
    assert_answer(r->f->path, "SELECT exit_code, end_reason FROM process_events", "3|exit");
}

/* The short name is not kept where the view can make it of the path. */
static void test_name_is_what_was_given_in_every_case(void **state)
{
    static const struct {
        const char *path, *name, *shown;
    } cases[] = {
        {"/usr/bin/true", "true", "true"},
        {"/usr/bin/a-name-longer-than-comm", "a-name-longer-t", "a-name-longer-t"},
        {"/usr/bin/a-name-longer-than-comm", "a-name-longer-", "a-name-longer-"},
        {"/usr/bin/python3", "worker", "worker"},
        {"/usr/bin/python3", "", "NULL"},
        {"/usr/bin/python3", NULL, "NULL"},
        {NULL, "kworker", "kworker"},
        {"/odd/na\nme", "na\nme", "na\\nme"},
        {"/odd\xff/plain", "plain", "plain"},
        {"/odd/gr\xc3\xbc\xc3\x9f", "gr\xc3\xbc\xc3\x9f", "gr\xc3\xbc\xc3\x9f"},
        {"/odd/cut-in-a-char\xc3\xbc", "cut-in-a-char\xc3", "cut-in-a-char\\xc3"},
        {"memfd:x", "memfd:x", "memfd:x"},
        {"/", "x", "x"},
    };
    room *r = *state;

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        pl_execution e = next(r);
        char sql[100];
        e.path = cases[i].path;
        e.name = cases[i].name;
        put(r, &e);
        flush(r);
        (void)snprintf(sql, sizeof(sql), "SELECT name FROM process_events WHERE eid = %lld", (long long)e.eid);
        assert_answer(r->f->path, sql, cases[i].shown);
    }
    assert_true(ask_number(r->f->path, "SELECT count(*) FROM _execution WHERE name IS NULL") >= 4);
}

static void test_filename_is_the_path_or_its_own_or_not_known(void **state)
{
    room *r = *state;
    static const struct {
        const char *path, *filename, *shown;
    } cases[] = {{"/bin/x", "/bin/x", "/bin/x"},
                 {"/bin/x", "./x", "./x"},
                 {"/bin/x", NULL, "NULL"},
                 {NULL, "./x", "./x"},
                 {NULL, NULL, "NULL"}};

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        pl_execution e = next(r);
        char sql[100];
        e.path = cases[i].path;
        e.filename = cases[i].filename;
        put(r, &e);
        flush(r);
        (void)snprintf(sql, sizeof(sql), "SELECT filename FROM process_events WHERE eid = %lld", (long long)e.eid);
        assert_answer(r->f->path, sql, cases[i].shown);
    }
}

/* Names chosen to do harm: to the file, to the terminal, to SQL, to whoever splits text. */
static void test_hostile_names_are_text_beside_their_exact_bytes(void **state)
{
    room *r = *state;
    pl_execution e = next(r);

    e.path = "/tmp/\x1b[2J\xff'; DROP TABLE _execution; --\n";
    e.filename = "\xe2\x80\xae";
    e.cwd = "/tmp/\xc2\x9b";
    e.tty = "pts/\x07";
    e.cgroup = "/a\tb";
    e.container = "con\x1btainer";
    e.script_path = "/tmp/\xfe";
    put(r, &e);
    flush(r);
    assert_answer(r->f->path,
                  "SELECT path, hex(path_bytes), filename, cwd, tty, cgroup, container, script_path, typeof(path),"
                  " typeof(path_bytes) FROM process_events",
                  "/tmp/\\x1b[2J\\xff'; DROP TABLE _execution; --\\n|"
                  "2F746D702F1B5B324AFF273B2044524F50205441424C45205F657865637574696F6E3B202D2D0A|\\u202e|"
                  "/tmp/\\u009b|pts/\\x07|/a\\tb|con\\x1btainer|/tmp/\\xfe|text|blob");
}

static void test_longest_path_is_kept_whole(void **state)
{
    room *r = *state;
    pl_execution e = next(r);
    char path[4096];

    memset(path, 'p', sizeof(path));
    path[0] = '/';
    path[4095] = '\0';
    e.path = e.filename = e.cwd = path;
    put(r, &e);
    flush(r);
    assert_answer(r->f->path,
                  "SELECT length(path), length(filename), length(cwd), path_bytes, length(name) FROM process_events",
                  "4095|4095|4095|NULL|4");
}

static void test_hash_may_come_long_after(void **state)
{
    room *r = *state;
    pl_execution e = next(r);
    pl_execution_hash h = hash_of(e.eid, 0x2a);

    put(r, &e);
    flush(r);
    assert_answer(r->f->path, "SELECT hash_state, sha256, assurance FROM process_events", "pending|NULL|none");
    assert_answer(r->f->path, "SELECT count(*) FROM binaries", "0");
    assert_int_equal(pl_writer_hash(r->w, &h), 0);
    flush(r);
    assert_answer(r->f->path, "SELECT hash_state, substr(sha256, 1, 2), length(sha256), assurance FROM process_events",
                  "ok|2a|64|probed");
    assert_answer(r->f->path, "SELECT path, substr(sha256, 1, 2), size, execs FROM binaries", "/usr/bin/true|2a|142|1");
    /* Once is once. */
    assert_int_equal(pl_writer_hash(r->w, &h), 0);
    flush(r);
    assert_answer(r->f->path, "SELECT execs FROM binaries", "1");
}

static void test_hash_that_could_not_be_taken_says_why(void **state)
{
    static const pl_hash_state states[] = {PL_HASH_UNREADABLE, PL_HASH_VANISHED, PL_HASH_TOO_BIG, PL_HASH_UNSTABLE};
    room *r = *state;

    for (int i = 0; i < 4; i++) {
        pl_execution e = next(r);
        pl_execution_hash h = {.eid = e.eid, .hash_state = states[i]};
        put(r, &e);
        if (i % 2)
            flush(r);
        assert_int_equal(pl_writer_hash(r->w, &h), 0);
        flush(r);
    }
    assert_answer(r->f->path, "SELECT hash_state, sha256 FROM process_events ORDER BY eid",
                  "unreadable|NULL\nvanished|NULL\ntoo-big|NULL\nunstable|NULL");
    assert_answer(r->f->path, "SELECT sha256, size, execs FROM binaries", "NULL|NULL|4");
}

static void test_hash_of_the_script_is_a_thing_of_its_own(void **state)
{
    room *r = *state;

    for (int order = 0; order < 4; order++) {
        pl_execution e = next(r);
        pl_execution_hash own = hash_of(e.eid, 1), script = hash_of(e.eid, 2);
        e.script_path = "/opt/script";
        script.script = true;
        put(r, &e);
        if (order & 1)
            flush(r);
        assert_int_equal(pl_writer_hash(r->w, order & 2 ? &script : &own), 0);
        if (order & 1)
            flush(r);
        assert_int_equal(pl_writer_hash(r->w, order & 2 ? &own : &script), 0);
        flush(r);
    }
    pl_execution e = next(r);
    pl_execution_hash unreadable = {.eid = e.eid, .hash_state = PL_HASH_UNREADABLE, .script = true};
    e.script_path = "/opt/script";
    put(r, &e);
    assert_int_equal(pl_writer_hash(r->w, &unreadable), 0);
    flush(r);
    assert_answer(r->f->path,
                  "SELECT DISTINCT script_path, substr(script_sha256, 1, 2), hash_state, substr(sha256, 1, 2)"
                  " FROM process_events WHERE eid < 5",
                  "/opt/script|02|ok|01");
    /* What is not known of the script says nothing about the interpreter. */
    assert_answer(r->f->path, "SELECT script_sha256, hash_state, sha256 FROM process_events WHERE eid = 5",
                  "NULL|pending|NULL");
    assert_answer(r->f->path, "SELECT execs, substr(sha256, 1, 2) FROM binaries", "4|01");
}

static void test_what_concerns_no_row_changes_nothing(void **state)
{
    room *r = *state;
    pl_writer_stats stats;
    const pl_execution_hash h = hash_of(77, 1);
    const pl_execution_end end = end_of(77, 0);

    assert_int_equal(pl_writer_hash(r->w, &h), 0);
    assert_int_equal(pl_writer_end(r->w, &end), 0);
    flush(r);
    pl_writer_stats_get(r->w, &stats);
    assert_int_equal(stats.lost, 0);
    assert_int_equal(stats.failures, 0);
    assert_answer(r->f->path, "SELECT (SELECT count(*) FROM process_events), (SELECT count(*) FROM binaries)", "0|0");
}

/* Records of one batch in an order that no recorder would give them. */
static void test_order_within_a_batch_does_not_matter(void **state)
{
    room *r = *state;
    pl_execution a = next(r), b = next(r), c = next(r);
    const pl_execution_hash h = hash_of(a.eid, 3);
    const pl_execution_end end = end_of(b.eid, 5 << 8);

    assert_int_equal(pl_writer_end(r->w, &end), 0);
    put(r, &c);
    assert_int_equal(pl_writer_hash(r->w, &h), 0);
    put(r, &b);
    put(r, &a);
    flush(r);
    assert_answer(r->f->path, "SELECT eid, hash_state, exit_code FROM process_events ORDER BY eid",
                  "1|ok|NULL\n2|pending|5\n3|pending|NULL");
}

/* A container's name goes through the same hands whether its hash comes with the execution or later. */
static void test_odd_container_is_one_container(void **state)
{
    room *r = *state;
    char longest[256];

    memset(longest, 0x01, sizeof(longest));
    longest[255] = '\0';
    for (int i = 0; i < 4; i++) {
        pl_execution e = next(r);
        const pl_execution_hash h = hash_of(e.eid, 1);
        e.container = i < 2 ? "b\xffx\n" : longest;
        put(r, &e);
        if (i % 2)
            flush(r);
        assert_int_equal(pl_writer_hash(r->w, &h), 0);
        flush(r);
    }
    assert_answer(r->f->path, "SELECT length(container), execs FROM binaries ORDER BY 1", "8|2\n1020|2");
    assert_answer(r->f->path,
                  "SELECT count(*) FROM process_events e JOIN binaries b ON b.container = e.container"
                  " AND b.path = e.path",
                  "4");
}

static void test_commands_count_their_executions(void **state)
{
    static const int seconds[] = {5, 3, 9};
    room *r = *state;

    for (int i = 0; i < 3; i++) {
        pl_execution e = next(r);
        e.time_ns = T0 + seconds[i] * SECOND;
        put(r, &e);
        if (i == 0)
            flush(r);
    }
    pl_execution other = next(r);
    other.argv = "true\0-x\0";
    other.argv_length = 8;
    put(r, &other);
    flush(r);
    assert_answer(r->f->path, "SELECT cmdline, execs, first_time - 1700000000, last_time - 1700000000 FROM commands",
                  "true|3|3|9\ntrue -x|1|0|0");
}

static void test_binaries_count_by_path_content_and_container(void **state)
{
    static const struct {
        const char *path, *container;
        unsigned seed;
    } runs[] = {{"/a", NULL, 1}, {"/a", NULL, 1}, {"/a", NULL, 2}, {"/b", NULL, 1}, {"/a", "c", 1}, {"/a", NULL, 1}};
    room *r = *state;

    for (int i = 0; i < 6; i++) {
        pl_execution e = next(r);
        const pl_digest_set set = digests_of(runs[i].seed);
        e.path = runs[i].path;
        e.container = runs[i].container;
        e.hash_state = PL_HASH_OK;
        e.digests = &set;
        e.time_ns = T0 + i * SECOND;
        put(r, &e);
        flush(r);
    }
    assert_answer(r->f->path,
                  "SELECT path, container, substr(sha256, 1, 2), execs, first_time - 1700000000,"
                  " last_time - 1700000000 FROM binaries ORDER BY path, container, sha256",
                  "/a|NULL|01|3|0|5\n/a|NULL|02|1|2|2\n/a|c|01|1|4|4\n/b|NULL|01|1|3|3");
}

static void test_forks_are_put_and_then_ended(void **state)
{
    room *r = *state;
    pl_fork_record fork = {.fork_id = pl_writer_next_fork_id(r->w), .time_ns = T0, .pid = 70, .ppid = 7};

    assert_int_equal(pl_writer_fork(r->w, &fork), 0);
    flush(r);
    assert_answer(r->f->path, "SELECT pid, ppid, image_eid, time, end_time FROM process_forks",
                  "70|7|NULL|1700000000|NULL");
    fork.image_eid = 5;
    fork.end_time_ns = T0 + 9 * SECOND;
    assert_int_equal(pl_writer_fork(r->w, &fork), 0);
    flush(r);
    /* What a later word does not know stays known. */
    fork.image_eid = 0;
    assert_int_equal(pl_writer_fork(r->w, &fork), 0);
    flush(r);
    assert_answer(r->f->path, "SELECT pid, ppid, image_eid, time, end_time FROM process_forks",
                  "70|7|5|1700000000|1700000009");
}

static void test_processes_are_the_living_of_this_boot(void **state)
{
    room *r = *state;
    pl_run run = {.version = "1", .source = "scan", .boot_id = BOOT_A, .time_ns = T0};

    assert_int_equal(pl_writer_run_begin(r->w, &run), 0);
    for (int i = 0; i < 3; i++) {
        pl_execution e = next(r);
        put(r, &e);
    }
    const pl_execution_end end = end_of(2, 0);
    assert_int_equal(pl_writer_end(r->w, &end), 0);
    flush(r);
    assert_answer(r->f->path, "SELECT eid, boot_id FROM processes ORDER BY eid", "1|" BOOT_A "\n3|" BOOT_A);
    /* Those of another boot are none, also if nobody ended them. */
    force(r->f->path, "INSERT INTO _boot(boot_id) VALUES('" BOOT_B "'); INSERT INTO _run(time, last_time, boot_id)"
                      " SELECT 1, 1, id FROM _boot WHERE boot_id = '" BOOT_B "'");
    assert_answer(r->f->path, "SELECT count(*) FROM processes", "0");
}

static void test_hostile_host_is_text(void **state)
{
    room *r = *state;
    const pl_run run = {.version = "1",
                        .source = "scan",
                        .hostname = "h\xff\x1b",
                        .machine_id = "m\n",
                        .kernel = "6\xc2\x85",
                        .ignored = "/tmp/\x01*",
                        .time_ns = T0};

    assert_int_equal(pl_writer_run_begin(r->w, &run), 0);
    assert_answer(r->f->path, "SELECT hostname, machine_id, kernel, boot_id FROM runs",
                  "h\\xff\\x1b|m\\n|6\\u0085|NULL");
    assert_answer(r->f->path, "SELECT value FROM about WHERE key IN ('host', 'ignored') ORDER BY key",
                  "h\\xff\\x1b\n/tmp/\\x01*");
}

/* Nothing was hashed and nothing is named: the interned rows stay few however many come. */
static void test_what_repeats_is_written_once(void **state)
{
    room *r = *state;

    for (int i = 0; i < 1000; i++) {
        pl_execution e = next(r);
        put(r, &e);
        if (i % 100 == 0)
            flush(r);
    }
    flush(r);
    assert_answer(r->f->path,
                  "SELECT (SELECT count(*) FROM process_events), (SELECT count(*) FROM _path WHERE id <> 0),"
                  " (SELECT count(*) FROM _command WHERE id <> 0), (SELECT count(*) FROM _image WHERE id <> 0),"
                  " (SELECT count(*) FROM _context), (SELECT count(*) FROM _cred)",
                  "1000|2|1|1|1|1");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_each_id_goes_into_its_own_column, open_room, close_room),
        cmocka_unit_test_setup_teardown(test_largest_numbers_are_kept, open_room, close_room),
        cmocka_unit_test_setup_teardown(test_nothing_started_pid_1, open_room, close_room),
        cmocka_unit_test_setup_teardown(test_each_code_is_shown_as_its_word, open_room, close_room),
        cmocka_unit_test_setup_teardown(test_each_end_has_its_reason_and_its_status, open_room, close_room),
        cmocka_unit_test_setup_teardown(test_end_time_is_right_however_it_is_kept, open_room, close_room),
        cmocka_unit_test_setup_teardown(test_first_end_counts, open_room, close_room),
        cmocka_unit_test_setup_teardown(test_name_is_what_was_given_in_every_case, open_room, close_room),
        cmocka_unit_test_setup_teardown(test_filename_is_the_path_or_its_own_or_not_known, open_room, close_room),
        cmocka_unit_test_setup_teardown(test_hostile_names_are_text_beside_their_exact_bytes, open_room, close_room),
        cmocka_unit_test_setup_teardown(test_longest_path_is_kept_whole, open_room, close_room),
        cmocka_unit_test_setup_teardown(test_hash_may_come_long_after, open_room, close_room),
        cmocka_unit_test_setup_teardown(test_hash_that_could_not_be_taken_says_why, open_room, close_room),
        cmocka_unit_test_setup_teardown(test_hash_of_the_script_is_a_thing_of_its_own, open_room, close_room),
        cmocka_unit_test_setup_teardown(test_what_concerns_no_row_changes_nothing, open_room, close_room),
        cmocka_unit_test_setup_teardown(test_order_within_a_batch_does_not_matter, open_room, close_room),
        cmocka_unit_test_setup_teardown(test_odd_container_is_one_container, open_room, close_room),
        cmocka_unit_test_setup_teardown(test_commands_count_their_executions, open_room, close_room),
        cmocka_unit_test_setup_teardown(test_binaries_count_by_path_content_and_container, open_room, close_room),
        cmocka_unit_test_setup_teardown(test_forks_are_put_and_then_ended, open_room, close_room),
        cmocka_unit_test_setup_teardown(test_processes_are_the_living_of_this_boot, open_room, close_room),
        cmocka_unit_test_setup_teardown(test_hostile_host_is_text, open_room, close_room),
        cmocka_unit_test_setup_teardown(test_what_repeats_is_written_once, open_room, close_room),
    };

    return cmocka_run_group_tests_name("store_executions", tests, NULL, NULL);
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * procledger doctor: what this machine and this user can capture, what is missing, and how to get it. Every finding is
 * one row {kind, name, state, detail, remedy}. It opens what the recorder would open, and closes it again; it changes
 * nothing and makes no file.
 */
#include "tools/procledger/cli.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <libgen.h>
#include <limits.h>
#include <linux/capability.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "src/base/cleanup.h"
#include "src/base/error.h"
#include "src/file/identity.h"
#include "src/process/source.h"

static const pl_column columns[] = {
    {"kind", "KIND", PL_SHOW_TEXT},     {"name", "NAME", PL_SHOW_TEXT},     {"state", "STATE", PL_SHOW_TEXT},
    {"detail", "DETAIL", PL_SHOW_TEXT}, {"remedy", "REMEDY", PL_SHOW_TEXT},
};
#define WATCHES_ENOUGH 65536
#define FIELDS (sizeof(columns) / sizeof(columns[0]))
static const pl_layout layout = {columns, FIELDS};

typedef struct doctor {
    pl_cli *cli;
    bool each;    /* some source tells of each exec */
    bool missing; /* something that matters */
    int failed;   /* the ledger's error, or 0 */
} doctor;

static void set_text(pl_field *field, const char *text)
{
    field->type = text ? PL_CELL_TEXT : PL_CELL_NULL;
    field->text = text;
    field->length = text ? strlen(text) : 0;
}

static void name_fields(pl_field fields[FIELDS])
{
    for (size_t i = 0; i < FIELDS; i++)
        fields[i] = (pl_field){.name = columns[i].field, .type = PL_CELL_NULL};
}

static void finding(doctor *d, const char *kind, const char *name, const char *state, const char *detail,
                    const char *remedy)
{
    pl_field fields[FIELDS];
    const char *const texts[FIELDS] = {kind, name, state, detail, remedy};

    name_fields(fields);
    for (size_t i = 0; i < FIELDS; i++)
        set_text(&fields[i], texts[i]);
    pl_output_row(&d->cli->output, &(pl_record){.fields = fields, .count = FIELDS});
}

static void ignore_event(void *context, pl_event *event)
{
    (void)context;
    (void)event;
}

static void check_sources(doctor *d)
{
    const pl_source_options options = {.procfs = {.root = "/proc"}, .clock = pl_clock_system(), .event = ignore_event};
    char text[512];

    for (const pl_source_class *const *c = pl_source_classes(); *c; c++) {
        pl_source *source = NULL;
        int rc = (*c)->open(&options, &source);
        bool tells_each = (*c)->abilities & PL_SOURCE_TELLS_EXEC;
        if (rc == 0) {
            source = (*c)->close(source);
            d->each |= tells_each;
            (void)snprintf(text, sizeof(text), "works; lacks: %s", (*c)->lacks ? (*c)->lacks : "nothing");
            finding(d, "source", (*c)->name, "ok", text, NULL);
        } else {
            finding(d, "source", (*c)->name, *c == &pl_source_bpf ? "optional" : "missing", pl_error_message(),
                    rc == PL_ERR_UNSUPPORTED ? "not in this build or kernel"
                    : *c == &pl_source_bpf   ? "run as root, or with CAP_BPF, CAP_PERFMON and CAP_SYS_ADMIN"
                                             : "run as root, or with CAP_NET_ADMIN");
        }
    }
    if (!d->each) {
        d->missing = true;
        finding(d, "source", "every exec", "missing", "only what is alive at a scan would be recorded",
                "run procledgerd as root, or with CAP_NET_ADMIN");
    }
}

/* CapEff of /proc/self/status. */
static bool read_capabilities(uint64_t *out)
{
    pl_auto_fclose FILE *status = fopen("/proc/self/status", "re");
    char line[256];

    while (status && fgets(line, sizeof(line), status))
        if (sscanf(line, "CapEff: %" SCNx64, out) == 1)
            return true;
    return false;
}

static void check_capabilities(doctor *d)
{
    static const struct {
        int number;
        const char *name, *gives;
        bool matters;
    } wanted[] = {
        {CAP_NET_ADMIN, "CAP_NET_ADMIN", "the kernel's exec, fork and exit events", true},
        {CAP_SYS_PTRACE, "CAP_SYS_PTRACE", "executables and arguments of other users' processes", true},
        {CAP_DAC_READ_SEARCH, "CAP_DAC_READ_SEARCH", "executables that only their owner can read", true},
        {CAP_LEASE, "CAP_LEASE", "proof that nobody writes while a file is hashed", true},
        {CAP_SYS_NICE, "CAP_SYS_NICE", "quick processes looked at before they are gone", true},
        {CAP_SYS_ADMIN, "CAP_SYS_ADMIN", "descriptors of files at the moment they are executed", false},
    };
    uint64_t held = 0;

    if (!read_capabilities(&held)) {
        d->missing = true;
        finding(d, "capability", "all", "error", "cannot read /proc/self/status", "mount /proc");
        return;
    }
    for (size_t i = 0; i < sizeof(wanted) / sizeof(wanted[0]); i++) {
        bool here = held >> wanted[i].number & 1;
        /* Since Linux 6.6 anybody may listen: what was asked of the kernel is the answer, not the rule. */
        bool matters = wanted[i].matters && !(wanted[i].number == CAP_NET_ADMIN && d->each);
        char remedy[128];
        d->missing |= !here && matters;
        (void)snprintf(remedy, sizeof(remedy), "run as root, or with AmbientCapabilities=%s or setcap", wanted[i].name);
        finding(d, "capability", wanted[i].name,
                here      ? "ok"
                : matters ? "missing"
                          : "optional",
                wanted[i].gives, here ? NULL : remedy);
    }
}

static const char *ledger_remedy(int code)
{
    switch (code) {
    case PL_ERR_NOT_FOUND:
        return "start procledgerd: it makes one";
    case PL_ERR_PERMISSION:
        return "run as its owner, or join its group";
    case PL_ERR_UNSAFE:
        return "take the write permission of others from the file and its folder";
    case PL_ERR_DAMAGED:
        return "keep a copy; start a new ledger with --db";
    case PL_ERR_NEWER:
        return "use the program that made it";
    default:
        return NULL;
    }
}

static void check_ledger(doctor *d, const char *path)
{
    char text[PATH_MAX + 64];
    uint64_t database = 0, wal = 0;
    int rc = pl_cli_open(d->cli);

    if (rc == 0)
        rc = pl_store_check(d->cli->store);
    if (rc == 0)
        rc = pl_store_size(d->cli->store, &database, &wal);
    if (rc == PL_ERR_NOT_FOUND)
        d->missing = true; /* no failure: this is what a fresh machine looks like */
    else if (rc < 0)
        d->failed = rc;
    if (rc < 0) {
        finding(d, "ledger", path, rc == PL_ERR_NOT_FOUND ? "missing" : "error", pl_error_message(), ledger_remedy(rc));
        return;
    }
    (void)snprintf(text, sizeof(text), "%" PRIu64 " bytes, and %" PRIu64 " in its write-ahead log", database, wal);
    finding(d, "ledger", path, "ok", text, NULL);
    pid_t holder = pl_holder_of(path);
    if (holder > 0)
        (void)snprintf(text, sizeof(text), "running, pid %d", (int)holder);
    else
        (void)snprintf(text, sizeof(text), "nobody records into this ledger now");
    finding(d, "ledger", "recorder", holder > 0 ? "ok" : "optional", text, holder > 0 ? NULL : "start procledgerd");
}

static void check_file_system(doctor *d, const char *folder)
{
    static const char *const tiers[] = {
        [PL_TIER_A] = "checksums are kept",
        [PL_TIER_B] = "checksums are kept, after a flush before each read",
        [PL_TIER_C] = "files here are read again each time",
    };
    pl_auto_close int fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    pl_file_system fs = {0};
    int error = fd < 0 ? errno : pl_file_system_of_fd(fd, &fs);
    char text[160];

    if (error != 0) {
        finding(d, "file system", folder, "optional", strerror(error), NULL);
        return;
    }
    (void)snprintf(text, sizeof(text), "type 0x%" PRIx64 ", tier %c: %s; %s time stamps", fs.magic, "CAB"[fs.tier],
                   tiers[fs.tier], fs.fine_grained ? "fine-grained" : "coarse");
    finding(d, "file system", folder, fs.tier == PL_TIER_C ? "optional" : "ok", text,
            fs.tier == PL_TIER_C ? "ext4, xfs and btrfs keep them" : NULL);
}

/* How many files the watcher may watch; what is beyond that is looked at about once a minute. */
static void check_watches(doctor *d)
{
    pl_auto_fclose FILE *file = fopen("/proc/sys/fs/inotify/max_user_watches", "re");
    uint64_t most = 0;
    char text[96];

    if (!file || fscanf(file, "%" SCNu64, &most) != 1)
        return;
    (void)snprintf(text, sizeof(text), "%" PRIu64 " files may be watched for changes; others are looked at each minute",
                   most);
    finding(d, "kernel", "inotify watches", most < WATCHES_ENOUGH ? "optional" : "ok", text,
            most < WATCHES_ENOUGH ? "sysctl fs.inotify.max_user_watches=524288" : NULL);
}

/* Process 1 belongs to somebody else unless we are root. */
static void check_proc(doctor *d)
{
    if (access("/proc/1/stat", R_OK) == 0)
        return;
    d->missing = true;
    finding(d, "kernel", "/proc", "missing", "processes of other users are hidden (hidepid)",
            "run as root, or mount /proc with hidepid=0");
}

static void check_kernel(doctor *d)
{
    bool fine = pl_kernel_has_fine_grained_times();

    finding(d, "kernel", "fine-grained times", fine ? "ok" : "optional",
            fine ? "a file can be kept 20 ms after its last change" : "a file can be kept 2 s after its last change",
            fine ? NULL : "Linux 6.13 or later");
}

static int run(pl_cli *cli)
{
    doctor d = {.cli = cli};
    pl_field fields[FIELDS];
    pl_auto_free char *chosen = NULL;
    int rc = cli->db ? 0 : pl_store_default_path(&chosen);

    if (rc < 0)
        return pl_cli_fail(rc);
    const char *path = cli->db ? cli->db : chosen;
    pl_auto_free char *copy = strdup(path);
    if (!copy)
        return pl_cli_fail(pl_error_nomem());
    name_fields(fields);
    rc = pl_cli_begin(cli, &layout, &(pl_record){.fields = fields, .count = FIELDS});
    if (rc < 0)
        return pl_cli_fail(rc);
    check_sources(&d);
    check_capabilities(&d);
    check_ledger(&d, path);
    check_file_system(&d, dirname(copy));
    check_file_system(&d, "/usr/bin");
    check_kernel(&d);
    check_watches(&d);
    check_proc(&d);
    int status = pl_cli_end(cli);
    if (status != PL_EXIT_FINE)
        return status;
    if (d.failed == PL_ERR_DAMAGED || d.failed == PL_ERR_NEWER)
        return PL_EXIT_DAMAGED;
    return d.failed ? PL_EXIT_FAILED : d.missing ? PL_EXIT_NO_MATCH : PL_EXIT_FINE;
}

const pl_command pl_command_doctor = {
    .name = "doctor",
    .operands = "",
    .summary = "What this machine and user can capture, and what is missing",
    .help = "Run it as the user that will run procledgerd. The exit status is 0 when all that matters works, 1 when\n"
            "something is missing, 2 when the ledger cannot be opened, 4 when it is damaged or newer.\n\n"
            "Example: procledger doctor\n",
    .takes = PL_TAKES_ROWS,
    .run = run,
};

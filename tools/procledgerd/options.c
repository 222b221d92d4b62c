/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Flags and configuration of procledgerd. One table of names serves both: a line "retain = 30d" of --config
 * FILE means what --retain 30d means; flags win over the file, whatever their order. Owns its strings.
 */
#include "tools/procledgerd/options.h"

#include "src/base/cleanup.h"
#include "src/base/error.h"
#include "src/base/units.h"

#include <ctype.h>
#include <errno.h>
#include <getopt.h>
#include <string.h>

typedef enum key {
    KEY_DB = 256,
    KEY_SOURCE,
    KEY_SOCKET,
    KEY_PATH_TTL,
    KEY_PID_TTL,
    KEY_ALGORITHMS,
    KEY_WATCH,
    KEY_RETAIN,
    KEY_MAX_DB_SIZE,
    KEY_ARGV,
    KEY_IGNORE,
    KEY_REUSE,
    KEY_LIVE,
    KEY_PROBE,
    KEY_VERBOSE,
    KEY_CONFIG,
    KEY_HELP,
    KEY_VERSION,
} key;

static const struct option flags[] = {
    {"db", required_argument, NULL, KEY_DB},
    {"source", required_argument, NULL, KEY_SOURCE},
    {"socket", required_argument, NULL, KEY_SOCKET},
    {"path-ttl", required_argument, NULL, KEY_PATH_TTL},
    {"pid-ttl", required_argument, NULL, KEY_PID_TTL},
    {"algorithms", required_argument, NULL, KEY_ALGORITHMS},
    {"watch", required_argument, NULL, KEY_WATCH},
    {"retain", required_argument, NULL, KEY_RETAIN},
    {"max-db-size", required_argument, NULL, KEY_MAX_DB_SIZE},
    {"argv", required_argument, NULL, KEY_ARGV},
    {"ignore", required_argument, NULL, KEY_IGNORE},
    {"reuse-across-reboot", no_argument, NULL, KEY_REUSE},
    {"live", no_argument, NULL, KEY_LIVE},
    {"probe", no_argument, NULL, KEY_PROBE},
    {"verbose", no_argument, NULL, KEY_VERBOSE},
    {"config", required_argument, NULL, KEY_CONFIG},
    {"help", no_argument, NULL, KEY_HELP},
    {"version", no_argument, NULL, KEY_VERSION},
    {NULL, 0, NULL, 0},
};

static const char usage[] =
    "Usage: procledgerd [OPTION]...\n"
    "Records what ran on this machine, and exactly which bytes ran, in one SQLite file.\n"
    "\n"
    "  --db FILE             the ledger (default: /var/lib/procledger/ledger.db for root)\n"
    "  --source NAME         auto, bpf, netlink or scan (default: auto, the best that works)\n"
    "  --socket FILE         socket for clients (taken, but not served in this version)\n"
    "  --path-ttl TIME       rotate a path's hash this long after it was last seen (default: 1d)\n"
    "  --pid-ttl TIME        forget a process whose exit was missed (default: 1h)\n"
    "  --algorithms LIST     sha256, md5, sha1, sha512, or none (sha256 is always among them)\n"
    "  --watch DIR           folder whose programs are tracked from the start; may be repeated; or 'none'\n"
    "                        (default: the folders of the system's PATH)\n"
    "  --retain TIME         keep executions this long (default: 90d)\n"
    "  --max-db-size SIZE    bound of the file (default: 2G)\n"
    "  --argv MODE           full, redact (mask secrets) or off (default: full)\n"
    "  --ignore PATTERN      leave out paths that match (fnmatch); may be repeated\n"
    "  --reuse-across-reboot serve hashes of an earlier boot without one re-read\n"
    "  --config FILE         lines 'name = value' with the names above; flags win\n"
    "  --live                print one line per execution\n"
    "  --probe               say what this machine and user can capture, and exit\n"
    "  --verbose             say more on stderr\n"
    "  --help, --version\n"
    "\n"
    "Example: procledgerd --live --argv redact --ignore '/usr/lib/git-core/*'\n";

static int set_string(char **slot, const char *value)
{
    char *copy = strdup(value);

    if (!copy)
        return pl_error_nomem();
    free(*slot);
    *slot = copy;
    return 0;
}

static int append_string(char **list, const char *name, const char *value)
{
    for (size_t i = 0; i < PL_DAEMON_LIST_MAX; i++)
        if (!list[i])
            return set_string(&list[i], value);
    return pl_error_set(PL_ERR_INVALID, "--%s: more than %d of them", name, PL_DAEMON_LIST_MAX);
}

static int set_source(pl_daemon_options *o, const char *value)
{
    static const char *const names[] = {"auto", "bpf", "netlink", "scan"};

    for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++)
        if (strcmp(value, names[i]) == 0)
            return set_string(&o->source, value);
    return pl_error_set(PL_ERR_INVALID, "--source: '%s' is none of auto, bpf, netlink, scan", value);
}

static int set_argv_mode(pl_daemon_options *o, const char *value)
{
    static const char *const names[] = {[PL_ARGV_FULL] = "full", [PL_ARGV_REDACT] = "redact", [PL_ARGV_OFF] = "off"};

    for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++) {
        if (strcmp(value, names[i]) == 0) {
            o->argv_mode = (pl_argv_mode)i;
            return 0;
        }
    }
    return pl_error_set(PL_ERR_INVALID, "--argv: '%s' is none of full, redact, off", value);
}

static int set_algorithms(pl_daemon_options *o, const char *value)
{
    o->hashing = strcmp(value, "none") != 0;
    return o->hashing ? pl_algorithms_parse(value, &o->algorithms) : 0;
}

static int set_watch(pl_daemon_options *o, const char *value)
{
    if (strcmp(value, "none") == 0) {
        o->no_watch = true;
        return 0;
    }
    if (value[0] != '/')
        return pl_error_set(PL_ERR_INVALID, "--watch: '%s' is no absolute path, and not 'none'", value);
    return append_string(o->watch, "watch", value);
}

/* Nothing may be kept for no time at all, and 0 would read as "the default" further down. */
static int set_duration(const char *name, const char *value, int64_t *out_ns)
{
    int64_t ns = 0;
    int r = pl_duration_parse(value, &ns);

    if (r == 0 && ns == 0)
        return pl_error_set(PL_ERR_INVALID, "--%s: '%s' is no time at all", name, value);
    if (r == 0)
        *out_ns = ns;
    return r;
}

static int set_size(const char *name, const char *value, uint64_t *out)
{
    uint64_t size = 0;
    int r = pl_size_parse(value, &size);

    if (r == 0 && size == 0)
        return pl_error_set(PL_ERR_INVALID, "--%s: '%s' leaves no room at all", name, value);
    if (r == 0)
        *out = size;
    return r;
}

static int set_one(pl_daemon_options *o, int which, const char *value)
{
    switch (which) {
    case KEY_DB:
        return set_string(&o->db, value);
    case KEY_SOCKET:
        return set_string(&o->socket, value);
    case KEY_SOURCE:
        return set_source(o, value);
    case KEY_PATH_TTL:
        return set_duration("path-ttl", value, &o->path_ttl_ns);
    case KEY_PID_TTL:
        return set_duration("pid-ttl", value, &o->pid_ttl_ns);
    case KEY_RETAIN:
        return set_duration("retain", value, &o->retain_ns);
    case KEY_MAX_DB_SIZE:
        return set_size("max-db-size", value, &o->max_db_size);
    case KEY_ALGORITHMS:
        return set_algorithms(o, value);
    case KEY_ARGV:
        return set_argv_mode(o, value);
    case KEY_IGNORE:
        return append_string(o->ignore, "ignore", value);
    case KEY_WATCH:
        return set_watch(o, value);
    case KEY_REUSE:
        o->reuse_across_reboot = true;
        return 0;
    case KEY_LIVE:
        o->live = true;
        return 0;
    case KEY_PROBE:
        o->probe = true;
        return 0;
    case KEY_VERBOSE:
        o->verbose = true;
        return 0;
    default:
        return 0; /* --config, --help, --version: handled where they are met */
    }
}

static char *trim(char *text)
{
    while (isspace((unsigned char)*text))
        text++;
    size_t n = strlen(text);
    while (n > 0 && isspace((unsigned char)text[n - 1]))
        text[--n] = '\0';
    return text;
}

/* One line of the file: "name = value", "name" for a switch, '#' starts a comment line. */
static int parse_line(pl_daemon_options *o, const char *file, unsigned number, char *line)
{
    char *name = trim(line), *value = strchr(name, '=');

    if (*name == '\0' || *name == '#')
        return 0;
    if (value) {
        *value++ = '\0';
        name = trim(name);
        value = trim(value);
    }
    for (const struct option *f = flags; f->name; f++) {
        if (strcmp(f->name, name) != 0 || f->val == KEY_CONFIG || f->val == KEY_HELP || f->val == KEY_VERSION)
            continue;
        if ((f->has_arg == required_argument) != (value != NULL))
            return pl_error_set(PL_ERR_INVALID, "%s:%u: '%s' %s", file, number, name,
                                value ? "takes no value" : "needs a value");
        return set_one(o, f->val, value);
    }
    return pl_error_set(PL_ERR_INVALID, "%s:%u: unknown option '%s'", file, number, name);
}

static int parse_file(pl_daemon_options *o, const char *path)
{
    pl_auto_fclose FILE *file = fopen(path, "re");
    pl_auto_free char *line = NULL;
    size_t size = 0;

    if (!file)
        return pl_error_errno(PL_ERR_INVALID, errno, "--config %s", path);
    for (unsigned number = 1; getline(&line, &size, file) >= 0; number++) {
        int r = parse_line(o, path, number, line);
        if (r < 0)
            return r;
    }
    return ferror(file) ? pl_error_errno(PL_ERR_INVALID, errno, "--config %s", path) : 0;
}

/* The first pass reads --config alone, so that flags win over the file. */
static int parse_flags(int argc, char **argv, pl_daemon_options *o, bool config_pass)
{
    int which;

    optind = 0;
    opterr = 0;
    while ((which = getopt_long(argc, argv, ":", flags, NULL)) != -1) {
        int r = 0;
        if (which == '?' || which == ':')
            return pl_error_set(PL_ERR_INVALID, "%s '%s'", which == '?' ? "unknown option" : "no value for",
                                argv[optind - 1]);
        if (config_pass)
            r = which == KEY_CONFIG ? parse_file(o, optarg) : 0;
        else if (which == KEY_HELP || which == KEY_VERSION) {
            (void)fputs(which == KEY_HELP ? usage : "procledgerd " PROCLEDGER_VERSION "\n", stdout);
            return PL_DAEMON_DONE;
        } else
            r = set_one(o, which, optarg);
        if (r < 0)
            return r;
    }
    if (optind < argc)
        return pl_error_set(PL_ERR_INVALID, "unexpected argument '%s'", argv[optind]);
    return PL_DAEMON_RUN;
}

int pl_daemon_options_parse(int argc, char **argv, pl_daemon_options *out)
{
    *out = (pl_daemon_options){.hashing = true, .algorithms = PL_SHA256};
    int r = parse_flags(argc, argv, out, true);

    if (r == 0)
        r = parse_flags(argc, argv, out, false);
    if (r == 0 && out->no_watch && out->watch[0])
        r = pl_error_set(PL_ERR_INVALID, "--watch: 'none' beside '%s'", out->watch[0]);
    if (r == 0 && !out->source)
        r = set_string(&out->source, "auto");
    return r;
}

void pl_daemon_options_deinit(pl_daemon_options *options)
{
    free(options->db);
    free(options->socket);
    free(options->source);
    for (size_t i = 0; i < PL_DAEMON_LIST_MAX; i++) {
        free(options->ignore[i]);
        free(options->watch[i]);
    }
    *options = (pl_daemon_options){0};
}

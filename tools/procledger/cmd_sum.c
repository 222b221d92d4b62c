/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * procledger sum: sha256sum that does not read what is proven. Flags, output, messages and exit status are those of
 * sha256sum (coreutils 9.1), with "procledger" for the program's name on stderr; --db, --socket and --stats are ours.
 */
#include "tools/procledger/cli.h"

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "src/base/clock.h"
#include "src/base/error.h"
#include "tools/procledger/sum.h"

enum { OPT_TAG = 256, OPT_QUIET, OPT_STATUS, OPT_STRICT, OPT_IGNORE_MISSING, OPT_HELP, OPT_VERSION };

static const struct option flags[] = {
    {"binary", no_argument, NULL, 'b'},
    {"check", no_argument, NULL, 'c'},
    {"ignore-missing", no_argument, NULL, OPT_IGNORE_MISSING},
    {"quiet", no_argument, NULL, OPT_QUIET},
    {"status", no_argument, NULL, OPT_STATUS},
    {"text", no_argument, NULL, 't'},
    {"warn", no_argument, NULL, 'w'},
    {"strict", no_argument, NULL, OPT_STRICT},
    {"tag", no_argument, NULL, OPT_TAG},
    {"zero", no_argument, NULL, 'z'},
    {"help", no_argument, NULL, OPT_HELP},
    {"version", no_argument, NULL, OPT_VERSION},
    {NULL, 0, NULL, 0},
};

static int usage(const char *message)
{
    if (message)
        (void)fprintf(stderr, "procledger: %s\n", message);
    (void)fputs("Try 'procledger sum --help' for more information.\n", stderr);
    return EXIT_FAILURE;
}

/* --NAME=VALUE or --NAME VALUE at argv[*i]. A value that is missing is NULL. */
static bool is_ours(char **argv, int *i, const char *name, const char **value)
{
    size_t n = strlen(name);

    if (strncmp(argv[*i], name, n) != 0 || (argv[*i][n] != '=' && argv[*i][n] != '\0'))
        return false;
    *value = argv[*i][n] == '=' ? argv[*i] + n + 1 : argv[*i + 1] ? argv[++*i] : NULL;
    return true;
}

/* Takes our own options out of argv, so that getopt knows those of sha256sum alone, also when it completes an
 * abbreviation or lists the possibilities. Returns the new argc, or 0 after a complaint. */
static int take_ours(pl_cli *cli, pl_sum_settings *s, int argc, char **argv)
{
    int kept = 1, i = 1;

    for (; i < argc && strcmp(argv[i], "--") != 0; i++) {
        const char **place = strncmp(argv[i], "--db", 4) == 0 ? &cli->db : &cli->socket;
        const char *value = NULL;
        if (strcmp(argv[i], "--stats") == 0) {
            s->stats = true;
        } else if (is_ours(argv, &i, "--db", &value) || is_ours(argv, &i, "--socket", &value)) {
            if (!value || !*value) {
                (void)usage(place == &cli->db ? "option '--db' needs a file name"
                                              : "option '--socket' needs a file name");
                return 0;
            }
            *place = value;
        } else {
            argv[kept++] = argv[i];
        }
    }
    for (; i < argc; i++)
        argv[kept++] = argv[i];
    argv[kept] = NULL;
    return kept;
}

/* 0; else what is wrong was said by getopt, which takes the program's name from argv[0]. Later ones of -w, --status,
 * --quiet win, as in sha256sum. */
static int parse(pl_cli *cli, pl_sum_settings *s, int argc, char **argv)
{
    int flag;

    opterr = 1;
    optind = 0;
    while ((flag = getopt_long(argc, argv, "bctwz", flags, NULL)) != -1) {
        switch (flag) {
        case 'b':
        case 't':
            s->binary = flag == 'b';
            break;
        case 'c':
            s->check = true;
            break;
        case 'w':
        case OPT_STATUS:
        case OPT_QUIET:
            s->warn = flag == 'w';
            s->status = flag == OPT_STATUS;
            s->quiet = flag == OPT_QUIET;
            break;
        case 'z':
            s->zero = true;
            break;
        case OPT_TAG:
            s->tag = true;
            s->binary = 1;
            break;
        case OPT_STRICT:
            s->strict = true;
            break;
        case OPT_IGNORE_MISSING:
            s->ignore_missing = true;
            break;
        case OPT_HELP:
            cli->help = true;
            return 0;
        case OPT_VERSION:
            cli->version = true;
            return 0;
        default:
            return usage(NULL);
        }
    }
    return 0;
}

/* In the order in which sha256sum looks. NULL: fine. */
static const char *contradiction(const pl_sum_settings *s)
{
    if (s->tag && s->binary == 0)
        return "--tag does not support --text mode";
    if (s->zero && s->check)
        return "the --zero option is not supported when verifying checksums";
    if (s->tag && s->check)
        return "the --tag option is meaningless when verifying checksums";
    if (s->binary >= 0 && s->check)
        return "the --binary and --text options are meaningless when verifying checksums";
    if (s->ignore_missing && !s->check)
        return "the --ignore-missing option is meaningful only when verifying checksums";
    if (s->status && !s->check)
        return "the --status option is meaningful only when verifying checksums";
    if (s->warn && !s->check)
        return "the --warn option is meaningful only when verifying checksums";
    if (s->quiet && !s->check)
        return "the --quiet option is meaningful only when verifying checksums";
    if (s->strict && !s->check)
        return "the --strict option is meaningful only when verifying checksums";
    return NULL;
}

static void put_line(const pl_sum_settings *s, const char *name, const uint8_t digest[PL_SUM_BYTES])
{
    static const char digits[] = "0123456789abcdef";
    char hex[2 * PL_SUM_BYTES + 1];
    bool escape = !s->zero && pl_sum_needs_escape(name);

    for (size_t i = 0; i < PL_SUM_BYTES; i++) {
        hex[2 * i] = digits[digest[i] >> 4];
        hex[2 * i + 1] = digits[digest[i] & 15];
    }
    hex[2 * PL_SUM_BYTES] = '\0';
    if (escape)
        (void)putchar('\\');
    if (s->tag) {
        (void)fputs("SHA256 (", stdout);
        pl_sum_put_name(stdout, name, escape);
        (void)printf(") = %s", hex);
    } else {
        (void)printf("%s %c", hex, s->binary == 1 ? '*' : ' ');
        pl_sum_put_name(stdout, name, escape);
    }
    (void)putchar(s->zero ? '\0' : '\n');
}

/* EXIT_FAILURE when one of them could not be read. */
static int sum_files(pl_summer *summer, const pl_sum_settings *s, const char *const *names, size_t n)
{
    int status = EXIT_SUCCESS;
    size_t batch = PL_SUM_FIRST_BATCH;

    for (size_t at = 0; at < n; at += batch, batch = pl_sum_next_batch(batch)) {
        size_t here = n - at < batch ? n - at : batch;
        int rc = pl_summer_batch(summer, names + at, here);
        for (size_t i = 0; rc == 0 && i < here; i++) {
            pl_sum_answer answer;
            rc = pl_summer_answer(summer, i, &answer);
            if (rc == 0 && answer.error != 0) {
                pl_sum_complain(names[at + i], answer.error);
                status = EXIT_FAILURE;
            } else if (rc == 0) {
                put_line(s, names[at + i], answer.digest);
            }
        }
        if (rc < 0) {
            pl_cli_say("%s", *pl_error_message() ? pl_error_message() : pl_strerror(rc));
            return EXIT_FAILURE;
        }
    }
    return status;
}

static void put_stats(pl_summer *summer, int64_t started_ns)
{
    const pl_clock *clock = pl_clock_system();
    double seconds = (double)(pl_clock_boottime_ns(clock) - started_ns) / (double)PL_NS_PER_S;

    (void)fflush(stdout);
    (void)fprintf(stderr,
                  "%" PRIu64 " files, %" PRIu64 " hot, %" PRIu64 " from the ledger, %" PRIu64 " read, %" PRIu64
                  " bytes read in %.3f s\n",
                  summer->files, summer->hot, summer->known, summer->read, pl_summer_bytes(summer), seconds);
}

/* A ledger that was named must serve; only the default one may be missed. */
static bool is_named(const pl_cli *cli)
{
    const char *named = secure_getenv("PROCLEDGER_DB");

    return cli->db || (named && *named);
}

static int sum(const pl_cli *cli, const pl_sum_settings *s, const char *const *names, size_t n)
{
    int64_t started_ns = pl_clock_boottime_ns(pl_clock_system());
    int status = EXIT_SUCCESS, reversed = -1;
    pl_summer summer;

    pl_summer_init(&summer, cli->db);
    int rc = is_named(cli) ? pl_summer_open(&summer) : 0;
    if (rc < 0) {
        pl_summer_deinit(&summer);
        return pl_cli_fail(rc);
    }
    /* Whole lines, each at once: others may write to the same place. */
    (void)setvbuf(stdout, NULL, _IOLBF, 0);
    if (s->check) {
        for (size_t i = 0; i < n; i++)
            if (!pl_sum_check(&summer, s, names[i], &reversed))
                status = EXIT_FAILURE;
    } else {
        status = sum_files(&summer, s, names, n);
    }
    summer.progress = pl_progress_stop(summer.progress);
    if (summer.stdin_closed) {
        (void)fflush(stdout);
        (void)fprintf(stderr, "procledger: standard input: %s\n", strerror(EBADF));
        status = EXIT_FAILURE;
    }
    if (s->stats)
        put_stats(&summer, started_ns);
    pl_summer_deinit(&summer);
    return status;
}

/* As coreutils' close_stdout. */
static int finish_output(int status)
{
    bool failed = ferror(stdout) != 0;

    errno = 0;
    if (fflush(stdout) == 0 && !failed)
        return status;
    int mode = fcntl(STDOUT_FILENO, F_GETFL);
    if (errno == 0 && mode >= 0 && (mode & O_ACCMODE) == O_RDONLY)
        errno = EBADF; /* it came closed: see keep_standard_descriptors in cli.c */
    (void)fprintf(stderr, "procledger: write error%s%s\n", errno ? ": " : "", errno ? strerror(errno) : "");
    return EXIT_FAILURE;
}

static int run_raw(pl_cli *cli, int argc, char **argv)
{
    static const char *const stdin_alone[] = {"-"};
    pl_sum_settings s = {.binary = -1};
    char program[] = "procledger", *command = argv[0];

    argc = take_ours(cli, &s, argc, argv);
    if (argc == 0)
        return EXIT_FAILURE;
    argv[0] = program;
    int status = parse(cli, &s, argc, argv);
    argv[0] = command;
    if (status != 0)
        return status;
    if (cli->help) {
        pl_help_command(stdout, cli->command);
        return EXIT_SUCCESS;
    }
    if (cli->version) {
        (void)printf("procledger %s\n", PROCLEDGER_VERSION);
        return EXIT_SUCCESS;
    }
    const char *wrong = contradiction(&s);
    if (wrong)
        return usage(wrong);
    if (cli->socket && setenv("PROCLEDGER_SOCKET", cli->socket, 1) != 0)
        return pl_cli_fail(pl_error_nomem());
    size_t n = optind < argc ? (size_t)(argc - optind) : 1;
    return finish_output(sum(cli, &s, optind < argc ? (const char *const *)argv + optind : stdin_alone, n));
}

const pl_command pl_command_sum = {
    .name = "sum",
    .operands = "[FILE]...",
    .summary = "Checksums as sha256sum prints them, without reading what is known",
    .help =
        "Output, messages and exit status are those of sha256sum. What the ledger proves to be unchanged is not\n"
        "read; the rest is hashed on all cores and remembered. - or no FILE is standard input. A ledger that was\n"
        "named and cannot be used is an error (4: damaged or newer, else 2); without the default one all is read.\n\n"
        "Example: procledger sum --stats /usr/bin/*\n\n"
        "Options:\n"
        "  -b, --binary  -t, --text  --tag  -z, --zero\n"
        "  -c, --check [--ignore-missing] [--quiet] [--status] [--strict] [-w, --warn]\n"
        "      --stats         one line on stderr at the end: files, hits, bytes read, time\n"
        "      --db=FILE       the ledger; default: $PROCLEDGER_DB, else that of this user\n"
        "      --socket=FILE   the recorder's socket (not served in this version)\n"
        "      --help          this text\n",
    .run_raw = run_raw,
};

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * One run from argv to exit status: find the command, parse its flags, run it; and what every command needs on the
 * way: messages, the open ledger, the output, the look at the gaps. Owns the pl_cli and all that is open in it.
 */
#include "tools/procledger/cli.h"

#include <errno.h>
#include <fcntl.h>
#include <locale.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "src/base/cleanup.h"
#include "src/base/clock.h"
#include "src/base/error.h"
#include "src/base/text.h"

#define LINE_SIZE 1024

void pl_cli_say(const char *format, ...)
{
    char line[LINE_SIZE], safe[LINE_SIZE * 6];
    va_list args;

    va_start(args, format);
    int n = vsnprintf(line, sizeof(line), format, args);
    va_end(args);
    if (n < 0)
        return;
    (void)pl_text_escape_into(line, strlen(line), safe, sizeof(safe));
    (void)fprintf(stderr, "procledger: %s\n", safe);
}

static int status_of(int code)
{
    return code == PL_ERR_DAMAGED || code == PL_ERR_NEWER ? PL_EXIT_DAMAGED : PL_EXIT_FAILED;
}

int pl_cli_fail(int code)
{
    pl_cli_say("%s", *pl_error_message() ? pl_error_message() : pl_strerror(code));
    return status_of(code);
}

int pl_cli_open(pl_cli *cli)
{
    const pl_store_options options = {.mode = PL_STORE_READ};
    pl_auto_free char *chosen = NULL;

    if (cli->store)
        return 0;
    if (!cli->db) {
        int rc = pl_store_default_path(&chosen);
        if (rc < 0)
            return rc;
    }
    return pl_store_open(cli->db ? cli->db : chosen, &options, &cli->store);
}

static bool wants_color(const pl_cli *cli)
{
    const char *no_color = getenv("NO_COLOR"), *term = getenv("TERM");

    if (cli->color != PL_COLOR_AUTO)
        return cli->color == PL_COLOR_ALWAYS;
    if ((no_color && *no_color) || !term || strcmp(term, "dumb") == 0)
        return false;
    return isatty(STDOUT_FILENO);
}

int pl_cli_begin(pl_cli *cli, const pl_layout *layout, const pl_record *names)
{
    bool color = wants_color(cli); /* asked before the pager stands between us and the terminal */

    if (cli->format == &pl_output_table && !cli->no_pager && !cli->follow && isatty(STDOUT_FILENO)) {
        int rc = pl_pager_start(cli);
        if (rc < 0)
            return rc;
    }
    pl_output_init(&cli->output, cli->format, layout, STDOUT_FILENO);
    cli->output.utc = cli->utc;
    cli->output.color = color;
    pl_output_begin(&cli->output, names);
    return 0;
}

int pl_cli_end_failed(pl_cli *cli, int code)
{
    bool left = cli->pager > 0 && cli->output.buffer.reader_gone;
    pl_auto_free char *message = strdup(*pl_error_message() ? pl_error_message() : pl_strerror(code));
    int rc = pl_pager_stop(cli); /* what is said stands below the rows */

    if (left)
        return rc < 0 ? pl_cli_fail(rc) : PL_EXIT_FINE;
    pl_cli_say("%s", message ? message : pl_strerror(code));
    return status_of(code);
}

int pl_cli_end(pl_cli *cli)
{
    uint64_t rows = cli->output.rows;
    int rc = pl_output_end(&cli->output);

    if (rc < 0)
        return pl_cli_end_failed(cli, rc);
    rc = pl_pager_stop(cli);
    if (rc < 0)
        return pl_cli_fail(rc);
    if (rows > 0)
        return PL_EXIT_FINE;
    if (cli->format == &pl_output_table)
        pl_cli_say("no match");
    return PL_EXIT_NO_MATCH;
}

/* 0, or negative; *gaps: how many overlap. */
static int count_gaps(pl_cli *cli, int64_t since_s, int64_t until_s, int64_t *gaps)
{
    pl_auto_query pl_query *query = NULL;
    int rc = pl_query_new(cli->store, PL_SQL_GAPS_OVERLAP, &query);

    if (rc == 0)
        rc = pl_query_bind_integer(query, ":since", since_s);
    if (rc == 0)
        rc = pl_query_bind_integer(query, ":until", until_s);
    if (rc == 0)
        rc = pl_query_step(query);
    if (rc < 0)
        return rc;
    *gaps = rc == 1 ? pl_query_integer(query, 0) : 0;
    return 0;
}

int pl_cli_end_window(pl_cli *cli, int64_t since_s, int64_t until_s)
{
    int64_t gaps = 0;
    int rc = count_gaps(cli, since_s, until_s, &gaps);
    int status = pl_cli_end(cli);

    if (rc < 0)
        return pl_cli_fail(rc);
    if (gaps == 0 || status == PL_EXIT_FAILED)
        return status;
    pl_cli_say("the answer may be partial: %lld gap%s in its time; see 'procledger gaps'", (long long)gaps,
               gaps == 1 ? "" : "s");
    return cli->strict && status == PL_EXIT_FINE ? PL_EXIT_PARTIAL : status;
}

static void deinit(pl_cli *cli)
{
    (void)pl_pager_stop(cli);
    if (cli->output.class)
        pl_output_deinit(&cli->output);
    cli->store = pl_store_close(cli->store);
}

static int check_operands(const pl_cli *cli)
{
    const pl_command *command = cli->command;

    if (cli->operand_count < command->least)
        return pl_error_set(PL_ERR_INVALID, "'%s' needs %s; see 'procledger help %s'", command->name, command->operands,
                            command->name);
    if (cli->operand_count > command->most)
        return pl_error_set(PL_ERR_INVALID, "'%s' takes no operand '%s'; see 'procledger help %s'", command->name,
                            cli->operands[command->most], command->name);
    return 0;
}

static int run_command(pl_cli *cli, int argc, char **argv)
{
    const pl_command *command = cli->command;
    int operands = 0;
    int rc = pl_options_check(cli, command);

    if (rc == 0 && command->run_raw && !cli->help)
        return command->run_raw(cli, argc, argv);
    /* A parent that ignores SIGPIPE would have us write on into a closed pipe. */
    (void)signal(SIGPIPE, SIG_DFL);
    if (rc == 0 && !cli->help)
        rc = pl_options_parse(cli, argc, argv, false, &operands);
    if (rc == 0)
        rc = pl_options_check(cli, command);
    if (rc == 0 && cli->help) {
        pl_help_command(stdout, command);
        return PL_EXIT_FINE;
    }
    if (rc == 0 && cli->version) {
        (void)printf("procledger %s\n", PROCLEDGER_VERSION);
        return PL_EXIT_FINE;
    }
    cli->operands = argv + operands;
    cli->operand_count = argc - operands;
    if (rc == 0)
        rc = pl_options_finish(cli);
    if (rc == 0)
        rc = check_operands(cli);
    return rc < 0 ? pl_cli_fail(rc) : command->run(cli);
}

static int run(pl_cli *cli, int argc, char **argv)
{
    int first = 0;
    int rc = pl_options_parse(cli, argc, argv, true, &first);

    if (rc < 0)
        return pl_cli_fail(rc);
    if (first >= argc && cli->version) {
        (void)printf("procledger %s\n", PROCLEDGER_VERSION);
        return PL_EXIT_FINE;
    }
    if (first >= argc) {
        pl_help_all(cli->help ? stdout : stderr);
        return cli->help ? PL_EXIT_FINE : PL_EXIT_FAILED;
    }
    cli->command = pl_command_find(argv[first]);
    if (!cli->command) {
        pl_cli_say("unknown command '%s'; see 'procledger help'", argv[first]);
        return PL_EXIT_FAILED;
    }
    return run_command(cli, argc - first, argv + first);
}

/* A standard descriptor that is closed would be taken by the next file that is opened, be it the ledger. What stands
 * in for it fails as the closed one would. */
static void keep_standard_descriptors(void)
{
    for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++)
        if (fcntl(fd, F_GETFD) < 0 && errno == EBADF)
            (void)open("/dev/null", fd == STDIN_FILENO ? O_WRONLY : O_RDONLY);
}

int pl_cli_main(int argc, char **argv)
{
    const pl_clock *clock = pl_clock_system();
    pl_cli cli = {
        .until_ns = INT64_MAX,
        .limit = -1,
        .max_eid = INT64_MAX,
        .format = &pl_output_table,
        .now_ns = pl_clock_realtime_ns(clock),
        .saved_stdout = -1,
    };

    keep_standard_descriptors();
    (void)setlocale(LC_CTYPE, "");
    int status = run(&cli, argc, argv);
    deinit(&cli);
    if ((fflush(stdout) != 0 || ferror(stdout)) && status == PL_EXIT_FINE) {
        pl_cli_say("write error");
        status = PL_EXIT_FAILED;
    }
    return status;
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The table of commands, and the help that is made from it. A new command is a file cmd_NAME.c, a line here and one
 * in cli.h.
 */
#include "tools/procledger/cli.h"

#include <string.h>

const pl_command *const pl_commands[] = {
    &pl_command_ps,    &pl_command_log,
    &pl_command_show,  &pl_command_tree,
    &pl_command_who,   &pl_command_history,
    &pl_command_files, &pl_command_gaps,
    &pl_command_runs,  &pl_command_stats,
    &pl_command_sum,   &pl_command_doctor,
    &pl_command_help,  NULL,
};

const pl_command *pl_command_find(const char *name)
{
    for (size_t i = 0; pl_commands[i]; i++)
        if (strcmp(pl_commands[i]->name, name) == 0)
            return pl_commands[i];
    return NULL;
}

void pl_help_all(FILE *out)
{
    (void)fputs("Usage: procledger [--db FILE] COMMAND [OPTION]... [OPERAND]...\n"
                "   or: procledger --help | --version\n"
                "What ran on this machine, and exactly which bytes ran.\n\n",
                out);
    for (size_t i = 0; pl_commands[i]; i++) {
        char left[40];
        (void)snprintf(left, sizeof(left), "%s %s", pl_commands[i]->name, pl_commands[i]->operands);
        (void)fprintf(out, "  %-24s %s\n", left, pl_commands[i]->summary);
    }
    (void)fputs("\n'procledger help COMMAND' shows its options and an example. Manual: procledger(1).\n", out);
}

static void help_flags(FILE *out, uint32_t takes)
{
    if (takes & PL_TAKES_WINDOW)
        (void)fputs("  -S, --since=TIME    from this time on\n"
                    "  -U, --until=TIME    up to this time; TIME is -2h, \"2h ago\", yesterday, today, now,\n"
                    "                      \"2026-01-01 12:00\", 2026-01-01T12:00:00Z, @1767268800\n",
                    out);
    if (takes & PL_TAKES_AT)
        (void)fputs("      --at=TIME       what was alive then\n", out);
    if (takes & PL_TAKES_LIMIT)
        (void)fputs("  -n, --lines=N       at most N rows: the newest, or of ps and files the first\n"
                    "  -r, --reverse       the same rows, the other way round\n",
                    out);
    if (takes & PL_TAKES_FOLLOW)
        (void)fputs("  -f, --follow        go on as executions are recorded\n", out);
    if (takes & PL_TAKES_ID)
        (void)fputs("      --eid, --pid    the number is an execution's, or a process's\n", out);
    if (takes & PL_TAKES_ROWS)
        (void)fputs("      --json, --ndjson, --csv\n"
                    "                      all columns: one array, an object a line, RFC 4180\n"
                    "      --utc           times in UTC, also those that you give\n"
                    "      --no-pager      write to the terminal directly\n"
                    "      --color=WHEN    auto, always, never\n"
                    "      --strict        exit with 3 when a gap makes the answer partial\n"
                    "      --db=FILE       the ledger; default: $PROCLEDGER_DB, else that of this user\n"
                    "      --socket=FILE   the recorder's socket (not served in this version)\n",
                    out);
    (void)fputs("  -h, --help          this text\n", out);
}

void pl_help_command(FILE *out, const pl_command *command)
{
    (void)fprintf(out, "Usage: procledger %s [OPTION]...%s%s\n%s.\n\n%s", command->name, *command->operands ? " " : "",
                  command->operands, command->summary, command->help);
    if (!command->run_raw) {
        (void)fputs("\nOptions:\n", out);
        help_flags(out, command->takes);
    }
}

static int run_help(pl_cli *cli)
{
    if (cli->operand_count == 0) {
        pl_help_all(stdout);
        return PL_EXIT_FINE;
    }
    const pl_command *command = pl_command_find(cli->operands[0]);
    if (!command) {
        pl_cli_say("unknown command '%s'; see 'procledger help'", cli->operands[0]);
        return PL_EXIT_FAILED;
    }
    pl_help_command(stdout, command);
    return PL_EXIT_FINE;
}

const pl_command pl_command_help = {
    .name = "help",
    .operands = "[COMMAND]",
    .summary = "Show this list, or the help of one command",
    .help = "Example: procledger help log\n",
    .most = 1,
    .run = run_help,
};

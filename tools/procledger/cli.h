/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * One run of procledger: what was asked, the open ledger, the way out. A subcommand is one file cmd_NAME.c and one row
 * in the table of commands.c; it gets a pl_cli and returns the exit status.
 */
#ifndef PL_CLI_CLI_H
#define PL_CLI_CLI_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "ledger/store/query.h"
#include "tools/procledger/output.h"

/* Exit status, as ARCHITECTURE.md fixes it. */
enum pl_exit {
    PL_EXIT_FINE = 0,
    PL_EXIT_NO_MATCH = 1,
    PL_EXIT_FAILED = 2,  /* usage, input, output */
    PL_EXIT_PARTIAL = 3, /* with --strict: a gap overlaps the window */
    PL_EXIT_DAMAGED = 4, /* damaged, or newer than this program */
};

/* Flags that not every command takes, bits of pl_command.takes. */
enum pl_takes {
    PL_TAKES_WINDOW = 1, /* -S, -U */
    PL_TAKES_LIMIT = 2,  /* -n, -r */
    PL_TAKES_FOLLOW = 4, /* -f */
    PL_TAKES_AT = 8,     /* --at */
    PL_TAKES_ID = 16,    /* --eid, --pid */
    PL_TAKES_ROWS = 32,  /* formats, --utc, --no-pager, --color, --strict */
};

typedef struct pl_cli pl_cli;

typedef struct pl_command {
    const char *name;
    const char *operands; /* as the synopsis shows them */
    const char *summary;  /* one line */
    const char *help;     /* paragraphs, with an example */
    uint32_t takes;
    int least, most; /* operands */
    int (*run)(pl_cli *cli);
    /* Parses its own arguments (argv[0] is the command) in place of the common ones. */
    int (*run_raw)(pl_cli *cli, int argc, char **argv);
} pl_command;

typedef enum pl_color_mode { PL_COLOR_AUTO, PL_COLOR_ALWAYS, PL_COLOR_NEVER } pl_color_mode;
typedef enum pl_id_kind { PL_ID_ANY, PL_ID_EID, PL_ID_PID } pl_id_kind;

struct pl_cli {
    const pl_command *command;
    const char *db, *socket;        /* NULL: the default; borrowed from argv */
    const char *since, *until, *at; /* as given */
    int64_t now_ns, since_ns, until_ns, at_ns;
    uint32_t given;  /* flags, by their place in the table of options.c */
    int64_t limit;   /* -1: none */
    int64_t max_eid; /* of a log that is then followed; else INT64_MAX */
    bool reverse, utc, no_pager, strict, follow, help, version;
    pl_color_mode color;
    const pl_output_class *format;
    pl_id_kind id_kind;
    int operand_count;
    char **operands; /* borrowed */
    pl_store *store; /* owned; opened by pl_cli_open */
    pl_output output;
    pid_t pager; /* 0: none */
    int saved_stdout;
};

extern const pl_command *const pl_commands[]; /* NULL-ended, in the order of the help */
const pl_command *pl_command_find(const char *name);

/* The whole program; argv as main gets it. */
int pl_cli_main(int argc, char **argv);

/* "procledger: text" on stderr, escaped, one line. */
void pl_cli_say(const char *format, ...) __attribute__((format(printf, 1, 2)));
/* Says pl_error_message() and returns the exit status that belongs to a negative code. */
int pl_cli_fail(int code);

/* options.c: flags out of argv[1..]; stops at the first operand when stop is set. 0 and *operands the index of the
 * first one (argv is permuted), or PL_ERR_INVALID. */
int pl_options_parse(pl_cli *cli, int argc, char **argv, bool stop, int *operands);
/* 0, or PL_ERR_INVALID when one was given, before or behind the command's name, that means nothing to the command. */
int pl_options_check(const pl_cli *cli, const pl_command *command);
/* Resolves what needs each other: times with --utc, -f with formats. */
int pl_options_finish(pl_cli *cli);
/* A whole number, least (0 or 1) or more. */
int pl_options_number(const char *text, int64_t least, int64_t *out);

void pl_help_all(FILE *out);
void pl_help_command(FILE *out, const pl_command *command);

/* Opens the ledger for reading. 0 or negative. */
int pl_cli_open(pl_cli *cli);
/* Starts the pager where one is wanted, and the output in the format that was asked for. */
int pl_cli_begin(pl_cli *cli, const pl_layout *layout, const pl_record *names);
/* Ends the output and waits for the pager. The exit status: PL_EXIT_NO_MATCH without any row. */
int pl_cli_end(pl_cli *cli);
/* The same, with a look at the gaps between the two times (seconds); 1 wins over 3. */
int pl_cli_end_window(pl_cli *cli, int64_t since_s, int64_t until_s);
/* In place of both when rows could not be had or written. Fine when all that failed is that the pager was left early:
 * somebody has seen enough. */
int pl_cli_end_failed(pl_cli *cli, int code);

/* pager.c. stop: 0, or PL_ERR_SYSTEM when no pager ran, so that nobody saw the output. */
int pl_pager_start(pl_cli *cli);
int pl_pager_stop(pl_cli *cli);

/* holder.c: the process that records into the ledger at path; 0: nobody, as far as this user can see. */
pid_t pl_holder_of(const char *path);

/* rows.c: queries to records. */
#define PL_FIELDS_MAX 80
typedef struct pl_row {
    pl_field fields[PL_FIELDS_MAX];
    pl_record record;
} pl_row;

/* Names only: for pl_cli_begin before the first step. */
void pl_row_names(pl_row *row, const pl_query *query);
/* The row that the query stands on; json when the format wants it. 0 or PL_ERR_NOMEM. */
int pl_row_read(pl_row *row, pl_query *query, bool json);
bool pl_cli_wants_json(const pl_cli *cli);

static inline void pl_cleanup_query(pl_query **query)
{
    *query = pl_query_free(*query);
}
#define pl_auto_query pl_cleanup(pl_cleanup_query)

/* Binds what the query has of :since :since_ns :until :until_ns :limit :reverse :max_eid. */
int pl_bind_window(pl_query *query, const pl_cli *cli);

/*
 * A list, from query to exit status. Without `backward` one statement serves, with :limit (of the newest) and :reverse.
 * With it the list may be huge: it is read in pages, each a short transaction, forward from (:after_time, :after_eid)
 * or backward from there; `start` gives the key before the last :limit rows.
 */
typedef struct pl_listing {
    enum pl_sql forward, backward, start;
    bool paged;
    const pl_layout *layout;
    int (*bind)(void *context, pl_query *query); /* what is particular to the command; may be NULL */
    void *context;
    bool windowed; /* gaps inside the window make the answer partial */
} pl_listing;
int pl_list_run(pl_cli *cli, const pl_listing *listing);
/* The rows alone: 0 or negative; the caller ends the output, see pl_cli_end_failed. The ledger is open. */
int pl_list_print(pl_cli *cli, const pl_listing *listing);
/* pl_list_run with a PATH|SHA256 bound to the listing. */
int pl_list_run_target(pl_cli *cli, const pl_listing *listing, const char *word);

/* target.c: PATH|SHA256 */
typedef struct pl_target {
    char sha256[65]; /* "": a path was given */
    char *path;      /* as given, made absolute, exact bytes; owned */
    char *real;      /* links resolved; NULL: not there, or the same; owned */
} pl_target;
/* 0, PL_PENDING (no content with that prefix), or negative: ambiguous, ... */
int pl_target_init(pl_target *target, pl_cli *cli, const char *word);
void pl_target_deinit(pl_target *target);
/* :sha256, :path, :path_bytes, :real, :real_bytes; context is the pl_target. */
int pl_target_bind(void *context, pl_query *query);

extern const pl_command pl_command_ps, pl_command_log, pl_command_show, pl_command_tree, pl_command_who,
    pl_command_history, pl_command_files, pl_command_gaps, pl_command_runs, pl_command_stats, pl_command_sum,
    pl_command_doctor, pl_command_help;

#endif

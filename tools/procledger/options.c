/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The common flags, through getopt_long with permutation. One table for all commands; which of them a command takes is
 * a mask, and a flag that means nothing to a command is refused rather than ignored, also one before the command. Owns nothing: values stay in argv.
 * Every refusal names the word.
 */
#include "tools/procledger/cli.h"

#include <errno.h>
#include <getopt.h>
#include <stdlib.h>
#include <string.h>

#include "src/base/clock.h"
#include "src/base/error.h"
#include "tools/procledger/when.h"

enum {
    OPT_JSON = 256,
    OPT_NDJSON,
    OPT_CSV,
    OPT_UTC,
    OPT_NO_PAGER,
    OPT_COLOR,
    OPT_DB,
    OPT_SOCKET,
    OPT_STRICT,
    OPT_VERSION,
    OPT_AT,
    OPT_EID,
    OPT_PID,
};

static const struct option flags[] = {
    {"since", required_argument, NULL, 'S'},
    {"until", required_argument, NULL, 'U'},
    {"lines", required_argument, NULL, 'n'},
    {"reverse", no_argument, NULL, 'r'},
    {"follow", no_argument, NULL, 'f'},
    {"help", no_argument, NULL, 'h'},
    {"json", no_argument, NULL, OPT_JSON},
    {"ndjson", no_argument, NULL, OPT_NDJSON},
    {"csv", no_argument, NULL, OPT_CSV},
    {"utc", no_argument, NULL, OPT_UTC},
    {"no-pager", no_argument, NULL, OPT_NO_PAGER},
    {"color", optional_argument, NULL, OPT_COLOR},
    {"db", required_argument, NULL, OPT_DB},
    {"socket", required_argument, NULL, OPT_SOCKET},
    {"strict", no_argument, NULL, OPT_STRICT},
    {"version", no_argument, NULL, OPT_VERSION},
    {"at", required_argument, NULL, OPT_AT},
    {"eid", no_argument, NULL, OPT_EID},
    {"pid", no_argument, NULL, OPT_PID},
    {NULL, 0, NULL, 0},
};

/* The bit of pl_takes that a flag needs; 0: every command takes it. */
static uint32_t needs(int flag)
{
    switch (flag) {
    case 'S':
    case 'U':
        return PL_TAKES_WINDOW;
    case 'n':
    case 'r':
        return PL_TAKES_LIMIT;
    case 'f':
        return PL_TAKES_FOLLOW;
    case OPT_AT:
        return PL_TAKES_AT;
    case OPT_EID:
    case OPT_PID:
        return PL_TAKES_ID;
    case OPT_JSON:
    case OPT_NDJSON:
    case OPT_CSV:
    case OPT_UTC:
    case OPT_NO_PAGER:
    case OPT_COLOR:
    case OPT_STRICT:
        return PL_TAKES_ROWS;
    default:
        return 0;
    }
}

/* Its place in the table; -1: it is none of ours. */
static int place_of(int flag)
{
    for (int i = 0; flags[i].name; i++)
        if (flags[i].val == flag)
            return i;
    return -1;
}

static const char *long_name(int flag)
{
    int place = place_of(flag);

    return place < 0 ? "?" : flags[place].name;
}

/* What getopt_long did not like. word: the argument before optind, which is the one only where it was a long option:
 * inside a cluster of short ones getopt has not moved on. */
static int refuse(int answer, const char *word)
{
    bool known = place_of(optopt) >= 0;

    if (answer == ':' && optopt < 256 && strncmp(word, "--", 2) != 0)
        return pl_error_set(PL_ERR_INVALID, "option '-%c' needs a value", optopt);
    if (answer == ':')
        return pl_error_set(PL_ERR_INVALID, "option '--%s' needs a value", long_name(optopt));
    if (optopt == 0)
        return pl_error_set(PL_ERR_INVALID, "unknown option '%s'", word);
    if (known)
        return pl_error_set(PL_ERR_INVALID, "option '--%s' takes no value: '%s'", long_name(optopt), word);
    return pl_error_set(PL_ERR_INVALID, "unknown option '-%c'", optopt);
}

int pl_options_number(const char *text, int64_t least, int64_t *out)
{
    char *end = NULL;

    errno = 0;
    long long value = text[0] >= '0' && text[0] <= '9' ? strtoll(text, &end, 10) : -1;
    if (value < least || errno != 0 || *end)
        return pl_error_set(PL_ERR_INVALID, "'%s' is not a whole number%s", text, least > 0 ? " above 0" : "");
    *out = value;
    return 0;
}

static int take_color(pl_cli *cli, const char *word)
{
    static const struct {
        const char *word;
        pl_color_mode mode;
    } modes[] = {{"auto", PL_COLOR_AUTO}, {"always", PL_COLOR_ALWAYS}, {"never", PL_COLOR_NEVER}};

    for (size_t i = 0; i < sizeof(modes) / sizeof(modes[0]); i++) {
        if (!word || strcmp(word, modes[i].word) == 0) {
            cli->color = word ? modes[i].mode : PL_COLOR_ALWAYS;
            return 0;
        }
    }
    return pl_error_set(PL_ERR_INVALID, "unknown color mode '%s': auto, always, never", word);
}

static int take_path(const char **out, const char *flag, const char *value)
{
    if (!*value)
        return pl_error_set(PL_ERR_INVALID, "option '--%s' needs a file name, not ''", flag);
    *out = value;
    return 0;
}

static int take(pl_cli *cli, int flag, const char *value)
{
    switch (flag) {
    case 'S':
        cli->since = value;
        break;
    case 'U':
        cli->until = value;
        break;
    case 'n':
        return pl_options_number(value, 0, &cli->limit);
    case 'r':
        cli->reverse = true;
        break;
    case 'f':
        cli->follow = true;
        break;
    case 'h':
        cli->help = true;
        break;
    case OPT_JSON:
        cli->format = &pl_output_json;
        break;
    case OPT_NDJSON:
        cli->format = &pl_output_ndjson;
        break;
    case OPT_CSV:
        cli->format = &pl_output_csv;
        break;
    case OPT_UTC:
        cli->utc = true;
        break;
    case OPT_NO_PAGER:
        cli->no_pager = true;
        break;
    case OPT_COLOR:
        return take_color(cli, value);
    case OPT_DB:
        return take_path(&cli->db, "db", value);
    case OPT_SOCKET:
        return take_path(&cli->socket, "socket", value);
    case OPT_STRICT:
        cli->strict = true;
        break;
    case OPT_VERSION:
        cli->version = true;
        break;
    case OPT_AT:
        cli->at = value;
        break;
    case OPT_EID:
        cli->id_kind = PL_ID_EID;
        break;
    case OPT_PID:
        cli->id_kind = PL_ID_PID;
        break;
    }
    return 0;
}

int pl_options_parse(pl_cli *cli, int argc, char **argv, bool stop, int *operands)
{
    const char *shorts = stop ? "+:S:U:n:rfh" : ":S:U:n:rfh";

    opterr = 0;
    optind = 0; /* glibc: forget the state of an earlier parse */
    for (;;) {
        int flag = getopt_long(argc, argv, shorts, flags, NULL);
        if (flag == -1)
            break;
        if (flag == '?' || flag == ':')
            return refuse(flag, argv[optind - 1]);
        cli->given |= UINT32_C(1) << place_of(flag);
        int rc = take(cli, flag, optarg);
        if (rc < 0)
            return rc;
    }
    *operands = optind;
    return 0;
}

int pl_options_check(const pl_cli *cli, const pl_command *command)
{
    for (int i = 0; flags[i].name; i++)
        if (cli->given >> i & 1 && needs(flags[i].val) & ~command->takes)
            return pl_error_set(PL_ERR_INVALID, "option '--%s' means nothing to '%s'", flags[i].name, command->name);
    return 0;
}

int pl_options_finish(pl_cli *cli)
{
    int rc = cli->since ? pl_when_parse(cli->since, cli->now_ns, cli->utc, &cli->since_ns) : 0;

    if (rc == 0 && cli->until)
        rc = pl_when_parse(cli->until, cli->now_ns, cli->utc, &cli->until_ns);
    if (rc == 0 && cli->at)
        rc = pl_when_parse(cli->at, cli->now_ns, cli->utc, &cli->at_ns);
    if (rc < 0)
        return rc;
    if (cli->since && cli->until && cli->since_ns > cli->until_ns)
        return pl_error_set(PL_ERR_INVALID, "--since '%s' lies after --until '%s'", cli->since, cli->until);
    if (cli->follow && (cli->reverse || cli->until))
        return pl_error_set(PL_ERR_INVALID,
                            "option '--follow' has no end: it goes neither with '--reverse' nor '--until'");
    if (cli->follow && cli->format == &pl_output_json)
        return pl_error_set(PL_ERR_INVALID, "option '--follow' has no end and '--json' is one array: use '--ndjson'");
    return 0;
}

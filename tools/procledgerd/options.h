/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What procledgerd was asked to do: flags, then a configuration file of the same names. Owned by main; the
 * strings of argv are borrowed, those of the file are owned.
 */
#ifndef PL_PROCLEDGERD_OPTIONS_H
#define PL_PROCLEDGERD_OPTIONS_H

#include "ledger/recorder.h"

#define PL_DAEMON_LIST_MAX 64

typedef struct pl_daemon_options {
    char *db, *socket, *source;
    int64_t path_ttl_ns, pid_ttl_ns, retain_ns;
    uint64_t max_db_size;
    uint32_t algorithms;
    bool hashing; /* --algorithms none: false */
    pl_argv_mode argv_mode;
    char *ignore[PL_DAEMON_LIST_MAX + 1]; /* NULL-ended */
    char *watch[PL_DAEMON_LIST_MAX + 1];  /* NULL-ended; empty: those of the system's PATH */
    bool no_watch;                        /* --watch none */
    bool reuse_across_reboot, live, probe, verbose;
} pl_daemon_options;

typedef enum pl_daemon_parse {
    PL_DAEMON_RUN = 0,
    PL_DAEMON_DONE = 1 /* help or version was printed */
} pl_daemon_parse;

/* PL_DAEMON_RUN, PL_DAEMON_DONE, or PL_ERR_INVALID with a message that names the word. deinit in every case. */
int pl_daemon_options_parse(int argc, char **argv, pl_daemon_options *out);
void pl_daemon_options_deinit(pl_daemon_options *options);

#endif

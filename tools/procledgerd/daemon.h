/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The recorder as a process: one event loop thread that owns source, recorder and timers. Signals arrive as
 * descriptors.
 */
#ifndef PL_PROCLEDGERD_DAEMON_H
#define PL_PROCLEDGERD_DAEMON_H

#include "tools/procledgerd/options.h"

typedef struct pl_daemon pl_daemon;

/* Opens ledger and source, records what lives already. SIGTERM, SIGINT, SIGHUP and SIGPIPE must be
 * blocked in every thread. */
int pl_daemon_new(const pl_daemon_options *options, const pl_log *log, pl_daemon **out);
/* Prints the ready line and records until SIGTERM, SIGINT or SIGHUP: 0; negative: the source died. */
int pl_daemon_run(pl_daemon *daemon);
/* Drains, commits, ends the run as clean if it was asked to stop. */
pl_daemon *pl_daemon_free(pl_daemon *daemon);

#endif

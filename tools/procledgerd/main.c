/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * procledgerd: parse, set up, run, tear down.
 */
#include "src/base/error.h"
#include "tools/procledgerd/daemon.h"
#include "tools/procledgerd/probe.h"

#include <locale.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>

/* A flag that does nothing must say so. */
static void warn_of_the_future(const pl_daemon_options *options, const pl_log *log)
{
    if (options->socket)
        pl_log_write(log, PL_LOG_WARNING, "--socket: this version serves no clients");
}

static int run(const pl_daemon_options *options, const pl_log *log)
{
    pl_daemon *daemon = NULL;
    warn_of_the_future(options, log);
    int r = pl_daemon_new(options, log, &daemon);

    if (r == 0)
        r = pl_daemon_run(daemon);
    if (r < 0)
        pl_log_write(log, PL_LOG_ERROR, "%s", pl_error_message());
    (void)pl_daemon_free(daemon);
    if (r == PL_ERR_DAMAGED || r == PL_ERR_NEWER)
        return 4;
    return r < 0 ? 2 : EXIT_SUCCESS;
}

int main(int argc, char **argv)
{
    pl_daemon_options options;
    pl_log log;
    sigset_t signals;
    int status = EXIT_SUCCESS;

    (void)setlocale(LC_ALL, "");
    pl_store_own_process();
    (void)sigemptyset(&signals);
    (void)sigaddset(&signals, SIGTERM);
    (void)sigaddset(&signals, SIGINT);
    (void)sigaddset(&signals, SIGHUP);  /* the terminal of --live was closed: an end like any other */
    (void)sigaddset(&signals, SIGXFSZ); /* a limit on the size of files is a full disk, not an end */
    (void)sigaddset(&signals, SIGPIPE); /* a reader of --live that goes away must not end the recording */
    (void)sigprocmask(SIG_BLOCK, &signals, NULL);
    pl_log_init_stderr(&log, "procledgerd", PL_LOG_INFO);

    int r = pl_daemon_options_parse(argc, argv, &options);
    if (options.verbose)
        log.level = PL_LOG_DEBUG;
    if (r < 0) {
        pl_log_write(&log, PL_LOG_ERROR, "%s", pl_error_message());
        status = 2;
    } else if (r == PL_DAEMON_RUN) {
        status = options.probe ? pl_probe_print() : run(&options, &log);
    }
    pl_daemon_options_deinit(&options);
    return status;
}

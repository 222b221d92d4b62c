/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The line per execution of procledgerd --live. The event loop's thread. */
#ifndef PL_PROCLEDGERD_LIVE_H
#define PL_PROCLEDGERD_LIVE_H

#include "ledger/recorder.h"

typedef struct pl_live {
    uint64_t left_out; /* lines that standard output had no room for, and that were not told yet */
} pl_live;             /* all zero at first */

/* For pl_recorder_options.live; context: a pl_live. Never waits: a reader that pauses (Ctrl-S, a full pipe) misses lines
 * and is told how many; one that went away ends the lines. Neither touches the recording. */
void pl_live_print(void *context, const pl_live_execution *execution);

#endif

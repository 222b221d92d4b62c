/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The line per execution of procledgerd --live. The event loop's thread. */
#ifndef PL_PROCLEDGERD_LIVE_H
#define PL_PROCLEDGERD_LIVE_H

#include "ledger/recorder.h"

/* For pl_recorder_options.live; no context. A reader that went away ends the lines, not the recording. */
void pl_live_print(void *context, const pl_live_execution *execution);

#endif

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Opens each source for a moment and says what came of it. Records nothing, touches no ledger.
 */
#include "tools/procledgerd/probe.h"

#include "src/process/source.h"

#include "src/base/error.h"

#include <stdio.h>

static void no_event(void *context, pl_event *event)
{
    (void)context;
    (void)event;
}

int pl_probe_print(void)
{
    pl_source_options options = {.procfs = {.root = "/proc"}, .clock = pl_clock_system(), .event = no_event};
    int result = 1;

    for (const pl_source_class *const *class = pl_source_classes(); *class; class ++) {
        pl_source *source = NULL;
        if ((*class)->open(&options, &source) == 0) {
            (*class)->close(source);
            (void)printf("source %s yes: lacks %s\n", (*class)->name, (*class)->lacks);
            result = 0;
        } else {
            (void)printf("source %s no: %s\n", (*class)->name, pl_error_message());
        }
    }
    return result;
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What a run prints: its figures, and the history of a file whose answer was stale.
 */
#ifndef PL_STALE_FUZZ_REPORT_H
#define PL_STALE_FUZZ_REPORT_H

#include <procledger/procledger.h>

#include "tests/stale/fuzz/shared.h"

void fuzz_report(const fuzz_shared *s, int64_t took_ns);
/* Called once a run, by whoever got the answer, at once: the rings go on being written. */
void fuzz_report_stale(const fuzz_shared *s, unsigned slot, const pl_checksum *answer, const uint8_t digest[static 32],
                       unsigned who, const char *when);

#endif

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Frozen rounds: the mutators stand at the barrier, the files are digested independently, and both handles are asked
 * before and after.
 */
#ifndef PL_STALE_FUZZ_ORACLE_H
#define PL_STALE_FUZZ_ORACLE_H

#include "tests/stale/fuzz/look.h"

/* Rounds until the run ends; the first handle's process, a thread of its own. */
void fuzz_oracle(fuzz_looker *l);
/* The second handle's part of each round, until the run ends. */
void fuzz_oracle_second(fuzz_looker *l);

#endif

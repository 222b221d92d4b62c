/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The processes that change files.
 */
#ifndef PL_STALE_FUZZ_MUTATE_H
#define PL_STALE_FUZZ_MUTATE_H

#include "tests/stale/fuzz/shared.h"

/* LOOKS_PER_MUTATION: the mix. Two handles share the look-ups, and for each of them nine look-ups of ten shall find a
 * file as they left it. */
#define FUZZ_LOOKS_PER_MUTATION 16

/* Makes what is missing of the files, with the bytes of the seed. 0 or an errno. */
int fuzz_populate(const fuzz_shared *s);
/* Mutator number `id`, until the run ends; a process of its own with one thread. Returns its exit status. */
int fuzz_mutate(fuzz_shared *s, unsigned id);
const char *fuzz_kind_name(unsigned kind);

#endif

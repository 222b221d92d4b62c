/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Quantities as people write them in flags and configuration files. Any thread; nothing is kept.
 */
#ifndef PL_BASE_UNITS_H
#define PL_BASE_UNITS_H

#include <stdint.h>

/* "90d", "1h30m", "250ms", "45" (seconds): units ns us ms s m h d w; at most about 292 years. 0 or
 * PL_ERR_INVALID with the offending word; out in nanoseconds. */
int pl_duration_parse(const char *text, int64_t *out_ns);
/* "2G", "512M", "4096": powers of 1,024, units B K M G T, with or without a trailing iB. */
int pl_size_parse(const char *text, uint64_t *out_bytes);

#endif

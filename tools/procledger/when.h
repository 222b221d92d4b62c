/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Points in time as people write them, after systemd.time(7), and as we write them. Formatting: any thread. Parsing: the
 * thread that reads the flags, before there are others, since a named zone turns the process's own (TZ) for a moment.
 *
 *   now, today, yesterday, tomorrow (midnight)      @1767268800, @1767268800.25
 *   -2h, +2h, 2h ago, 2h left, 1d 2h30m ago, 1.5h   a bare span lies in the past, as with "ago"; -5 is 5 seconds
 *   2026-01-01, 26-1-1, 12:00, 2026-01-01 12:00[:SS[.frac]], the same with T, and with a weekday in front
 *   behind them a zone: Z, UTC, +02:00, -0330, +02, Europe/Berlin, or the short name of the local one
 *   units: us ms s m h d w M y, and their long names (M is a month of 30.44 days, y a year of 365.25)
 */
#ifndef PL_CLI_WHEN_H
#define PL_CLI_WHEN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define PL_WHEN_SIZE 40

/* utc: what has no zone is UTC, not local. 0 with nanoseconds since the epoch (never negative: what lies before 1970
 * is 0), or PL_ERR_INVALID with a message that names the word. */
int pl_when_parse(const char *text, int64_t now_ns, bool utc, int64_t *out_ns);
/* "2026-01-01 12:00:00", local, or with Z behind; milliseconds when wanted. Returns its length. */
size_t pl_when_format(int64_t seconds, int64_t ns, bool with_ms, bool utc, char out[PL_WHEN_SIZE]);
/* "12us", "3.4ms", "1.234s", "5min 6s", "2h 3min", "4d 5h": at most two units. Returns its length. */
size_t pl_duration_format(int64_t ns, char out[PL_WHEN_SIZE]);

#endif

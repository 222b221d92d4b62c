/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What every benchmark prints: one row a figure, tab-separated, on stdout, for tools/bench to make its table
 * and JSON of. number: the row of the target table; target: the bound in `unit` (NaN: none); lower: smaller
 * is better.
 */
#ifndef PL_TESTS_BENCH_H
#define PL_TESTS_BENCH_H

#include <math.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <time.h>

static inline void bench_row(int number, const char *what, double figure, const char *unit, double target, bool lower)
{
    printf("%d\t%s\t%.6g\t%s\t", number, what, figure, unit);
    if (isnan(target))
        printf("\t\t\n");
    else
        printf("%s %.6g\t%.3f\t%s\n", lower ? "<=" : ">=", target, figure / target,
               (lower ? figure <= target : figure >= target) ? "met" : "missed");
    fflush(stdout);
}

static inline int64_t bench_now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

#endif

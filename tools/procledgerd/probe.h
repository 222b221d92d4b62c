/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* procledgerd --probe: what this machine and user can capture, for people and for `procledger doctor`. */
#ifndef PL_PROCLEDGERD_PROBE_H
#define PL_PROCLEDGERD_PROBE_H

/* One line per source on stdout: "source NAME yes|no: reason". 0: at least one works; 1: none. */
int pl_probe_print(void);

#endif

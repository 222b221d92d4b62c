/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The ready message of sd_notify(3): one datagram, so no library is needed for it.
 */
#ifndef PL_BASE_NOTIFY_H
#define PL_BASE_NOTIFY_H

/* READY=1 to $NOTIFY_SOCKET; nothing when it is not set. Failure is silent: whoever started us times out and
 * says so. */
void pl_notify_ready(void);

#endif

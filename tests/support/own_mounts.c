/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Privacy of mounts. As a rule all of "/" is made private; in a chroot "/" is no mount, so the folder is bound to itself
 * and made private instead.
 */
#include "tests/support/own_mounts.h"

#include <errno.h>
#include <sched.h>
#include <stddef.h>
#include <sys/mount.h>

static enum { UNKNOWN, ALL, FOLDERS, NONE } privacy; /* of this process */

bool pl_own_mounts(const char *folder)
{
    if (privacy == UNKNOWN) {
        if (unshare(CLONE_NEWNS) != 0)
            privacy = NONE;
        else
            privacy = mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0 ? ALL : FOLDERS;
    }
    if (privacy == FOLDERS)
        return mount(folder, folder, NULL, MS_BIND, NULL) == 0 && mount(NULL, folder, NULL, MS_PRIVATE, NULL) == 0;
    if (privacy == NONE)
        errno = EPERM;
    return privacy == ALL;
}

void pl_own_mounts_end(const char *folder)
{
    if (privacy == FOLDERS)
        (void)umount2(folder, MNT_DETACH);
}

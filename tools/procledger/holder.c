/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Who records into a ledger: the holder of the flock on FILE.lock, read from /proc/locks, so that asking takes no lock
 * that a recorder may want just now. A recorder outside of our pid namespace is not in that list.
 */
#include "tools/procledger/cli.h"

#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include "src/base/cleanup.h"

/* /proc/locks names the device of the file system, stat that of the subvolume, where there are any (btrfs): both are
 * then numbers without a driver. */
static bool same_device(unsigned major_number, unsigned minor_number, dev_t device)
{
    return makedev(major_number, minor_number) == device || (major_number == 0 && major(device) == 0);
}

/* Whoever sweeps or migrates holds the lock for a moment too, but a recorder writes its number into it. */
static bool is_signed(const char *name)
{
    char byte = 0;
    pl_auto_close int fd = open(name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);

    return fd < 0 || read(fd, &byte, 1) == 1;
}

pid_t pl_holder_of(const char *path)
{
    char name[PATH_MAX], line[256];
    struct stat lock;

    if ((size_t)snprintf(name, sizeof(name), "%s.lock", path) >= sizeof(name) || stat(name, &lock) < 0)
        return 0;
    pl_auto_fclose FILE *locks = fopen("/proc/locks", "re");
    while (locks && fgets(line, sizeof(line), locks)) {
        char kind[16];
        unsigned major_number = 0, minor_number = 0;
        unsigned long inode = 0;
        int pid = 0;
        if (sscanf(line, "%*d: %15s %*s %*s %d %x:%x:%lu", kind, &pid, &major_number, &minor_number, &inode) == 5 &&
            strcmp(kind, "FLOCK") == 0 && inode == lock.st_ino && same_device(major_number, minor_number, lock.st_dev))
            return is_signed(name) ? pid : 0;
    }
    return 0;
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The system's clocks behind pl_clock, and the name of the boot they belong to. Owns nothing.
 */
#include "src/base/clock.h"

#include "src/base/cleanup.h"
#include "src/base/error.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <time.h>

static int64_t read_clock(clockid_t id)
{
    struct timespec now = {0};

    (void)clock_gettime(id, &now);
    return (int64_t)now.tv_sec * PL_NS_PER_S + now.tv_nsec;
}

static int64_t system_realtime(void *context)
{
    (void)context;
    return read_clock(CLOCK_REALTIME);
}

static int64_t system_boottime(void *context)
{
    (void)context;
    return read_clock(CLOCK_BOOTTIME);
}

const pl_clock *pl_clock_system(void)
{
    static const pl_clock system = {.realtime_ns = system_realtime, .boottime_ns = system_boottime};

    return &system;
}

int pl_boot_id_read(const char *proc_root, char out[PL_BOOT_ID_SIZE])
{
    char path[PATH_MAX], text[64];

    (void)snprintf(path, sizeof(path), "%s/sys/kernel/random/boot_id", proc_root);
    pl_auto_close int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return pl_error_errno(PL_ERR_SYSTEM, errno, "cannot open %s", path);
    ssize_t n = read(fd, text, sizeof(text));
    if (n < PL_BOOT_ID_SIZE - 1)
        return pl_error_set(PL_ERR_SYSTEM, "%s holds no boot id", path);
    memcpy(out, text, PL_BOOT_ID_SIZE - 1);
    out[PL_BOOT_ID_SIZE - 1] = '\0';
    return 0;
}

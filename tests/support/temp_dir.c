/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Folders of tests. Failures here are failures of the machine, not of the code under test: a line on stderr
 * and abort. Must be called with no fault armed, since its own calls go through the same wrappers.
 */
#include "tests/support/temp_dir.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static void check(int fine, const char *what, const char *path)
{
    if (fine)
        return;
    (void)fprintf(stderr, "temp_dir: %s %s: %s\n", what, path, strerror(errno));
    abort();
}

char *pl_temp_dir_new(void)
{
    const char *base = getenv("TMPDIR");
    char *dir = NULL;

    if (!base || !*base)
        base = "/var/tmp";
    check(asprintf(&dir, "%s/pl-test-XXXXXX", base) > 0, "name in", base);
    check(mkdtemp(dir) != NULL, "mkdtemp", dir);
    return dir;
}

static int remove_one(const char *path, const struct stat *status, int type, struct FTW *where)
{
    (void)status;
    (void)type;
    (void)where;
    check(remove(path) == 0 || errno == ENOENT, "remove", path);
    return 0;
}

char *pl_temp_dir_free(char *dir)
{
    if (!dir)
        return NULL;
    check(nftw(dir, remove_one, 16, FTW_DEPTH | FTW_PHYS | FTW_MOUNT) == 0 || errno == ENOENT, "nftw", dir);
    free(dir);
    return NULL;
}

char *pl_temp_path(const char *dir, const char *name)
{
    char *path = NULL;

    check(asprintf(&path, "%s/%s", dir, name) > 0, "name in", dir);
    return path;
}

void pl_temp_write(const char *path, const void *bytes, size_t length, unsigned mode)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, (mode_t)mode);

    check(fd >= 0, "open", path);
    for (size_t at = 0; at < length;) {
        ssize_t n = write(fd, (const char *)bytes + at, length - at);
        check(n > 0, "write", path);
        at += (size_t)n;
    }
    /* The umask must not decide what a test sees. */
    check(fchmod(fd, (mode_t)mode) == 0, "chmod", path);
    check(close(fd) == 0, "close", path);
}

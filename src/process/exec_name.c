/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * AT_EXECFN and scripts. Owns nothing between calls; must not decide what a script's bytes are worth.
 *
 * When is an image a script's? The kernel starts the interpreter with the script's name among its first arguments
 * (binfmt_script, binfmt_misc), so: the name given to execve is an argument after the first, and it names another
 * regular file than the one that runs. A program that replaced its own file and calls itself with its own name as an
 * argument, all within the time of one look, is taken for a script; its own hash is not touched by that.
 *
 * Paths are walked in what the kernel remembers: the script was opened a moment ago, and a walk that had to ask a disk
 * or a server is not made.
 */
#include "src/process/exec_name.h"

#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "src/base/cleanup.h"
#include "src/base/error.h"
#include "src/base/fd.h"
#include "src/file/identity.h"
#include "src/file/probe.h"
#include "src/process/procfs.h"

#define AUXV_SIZE 1024    /* some 20 pairs of 16 bytes */
#define ARGS_LOOKED_AT 12 /* scripts may be interpreted by scripts, five deep, with an option each */

/* The value of AT_EXECFN among pairs of `size` bytes a word; 0: not there. */
static uint64_t find_execfn(const unsigned char *auxv, size_t length, size_t size)
{
    for (size_t at = 0; at + 2 * size <= length; at += 2 * size) {
        uint64_t key = 0, value = 0;
        if (size == sizeof(uint32_t)) {
            uint32_t words[2];
            memcpy(words, auxv + at, sizeof(words));
            key = words[0];
            value = words[1];
        } else {
            memcpy(&key, auxv + at, sizeof(key));
            memcpy(&value, auxv + at + sizeof(key), sizeof(value));
        }
        if (key == AT_EXECFN)
            return value;
        if (key == AT_NULL)
            break;
    }
    return 0;
}

static ssize_t read_at(int dir_fd, const char *name, uint64_t offset, void *out, size_t size)
{
    pl_auto_close int fd = openat(dir_fd, name, O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
    ssize_t n;

    if (fd < 0)
        return -1;
    do {
        n = pread(fd, out, size, (off_t)offset);
    } while (n < 0 && errno == EINTR);
    return n;
}

int pl_exec_name_read(int dir_fd, pl_image *image)
{
    unsigned char auxv[AUXV_SIZE];
    char name[PATH_MAX];

    ssize_t n = read_at(dir_fd, "auxv", 0, auxv, sizeof(auxv));
    if (n <= 0)
        return 0;
    uint64_t address = find_execfn(auxv, (size_t)n, sizeof(uint64_t));
    if (address == 0) /* a 32-bit process on a 64-bit kernel */
        address = find_execfn(auxv, (size_t)n, sizeof(uint32_t));
    if (address == 0 || address > INT64_MAX)
        return 0;
    n = read_at(dir_fd, "mem", address, name, sizeof(name));
    if (n <= 1 || name[0] == '\0' || !memchr(name, '\0', (size_t)n))
        return 0;
    image->filename = strdup(name);
    return image->filename ? 0 : pl_error_nomem();
}

/* execve's name stands among the arguments behind the first. */
static bool is_argument(const pl_image *image)
{
    const char *at = image->argv, *end = image->argv + image->argv_length;

    for (int i = 0; at && at < end && i < ARGS_LOOKED_AT; i++) {
        if (i > 0 && strcmp(at, image->filename) == 0)
            return true;
        at += strlen(at) + 1;
    }
    return false;
}

/* The file that the name meant to the process: a descriptor of its own, below its root, or beside its folder. */
static int open_named(int dir_fd, const pl_image *image)
{
    static const char descriptors[] = "/dev/fd/";
    const char *name = image->filename;
    char path[2 * PATH_MAX];

    if (strncmp(name, descriptors, sizeof(descriptors) - 1) == 0) { /* fexecve(3) */
        (void)snprintf(path, sizeof(path), "fd/%ld", strtol(name + sizeof(descriptors) - 1, NULL, 10));
        return openat(dir_fd, path, O_PATH | O_CLOEXEC);
    }
    if (name[0] != '/' && !image->cwd)
        return -1;
    int n = name[0] == '/' ? snprintf(path, sizeof(path), "%s", name)
                           : snprintf(path, sizeof(path), "%s/%s", image->cwd, name);
    if (n < 0 || n >= (int)sizeof(path))
        return -1;
    pl_auto_close int root = openat(dir_fd, "root", O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (root < 0)
        return -1;
    int fd = pl_pin_walk(root, path, 0, RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS);
    if (fd >= 0 || name[0] == '/')
        return fd;
    /* In a chroot the link of the folder shows the way from our root. */
    pl_auto_close int cwd = openat(dir_fd, "cwd", O_PATH | O_DIRECTORY | O_CLOEXEC);
    return cwd < 0 ? -1 : pl_pin_walk(cwd, name, 0, RESOLVE_NO_SYMLINKS);
}

/* The name under which the kernel knows an open file. *out NULL: none. */
static int path_of(int fd, const pl_identity *identity, char **out)
{
    int r = pl_fd_name(fd, out);

    if (r == 0 && *out && identity->nlink == 0)
        (void)pl_procfs_strip_deleted(*out, identity);
    return r;
}

int pl_exec_name_find_script(int dir_fd, bool pin, pl_image *image)
{
    pl_identity found;

    if (!image->filename || !image->has_identity || !image->exe || strcmp(image->filename, image->exe) == 0 ||
        !is_argument(image))
        return 0;
    pl_auto_close int fd = open_named(dir_fd, image);
    if (fd < 0 || pl_identity_of_pinned(fd, "", &found) != 0 || !S_ISREG(found.mode))
        return 0;
    if (found.inode == image->identity.inode && found.dev_major == image->identity.dev_major &&
        found.dev_minor == image->identity.dev_minor)
        return 0;
    int rc = path_of(fd, &found, &image->script_path);
    if (rc == 0 && pin && image->script_path) {
        image->script_identity = found;
        image->script_fd = pl_steal_fd(&fd);
    }
    return rc;
}

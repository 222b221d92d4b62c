/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Birth, move and death of a pl_image, and what follows from what was captured, whichever source did it. The struct owns
 * its strings and its descriptors, nothing else.
 */
#include "src/process/image.h"

#include "src/base/cleanup.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/xattr.h>

void pl_image_init(pl_image *image)
{
    *image = (pl_image)PL_IMAGE_NULL;
}

void pl_image_deinit(pl_image *image)
{
    free(image->exe);
    free(image->filename);
    free(image->name);
    free(image->argv);
    free(image->cwd);
    free(image->tty);
    free(image->cgroup);
    free(image->container);
    free(image->script_path);
    pl_cleanup_close(&image->exe_fd);
    pl_cleanup_close(&image->script_fd);
    pl_image_init(image);
}

void pl_image_move(pl_image *to, pl_image *from)
{
    *to = *from;
    pl_image_init(from);
}

void pl_tty_name(uint32_t number, char out[PL_TTY_NAME_SIZE])
{
    unsigned major = (number >> 8) & 0xfff, minor = (number & 0xff) | ((number >> 12) & 0xfff00);

    if (major >= 136 && major <= 143)
        (void)snprintf(out, PL_TTY_NAME_SIZE, "pts/%u", (major - 136) * 256 + minor);
    else if (major == 4 && minor < 64)
        (void)snprintf(out, PL_TTY_NAME_SIZE, "tty%u", minor);
    else if (major == 4)
        (void)snprintf(out, PL_TTY_NAME_SIZE, "ttyS%u", minor - 64);
    else if (major == 5 && minor == 1)
        (void)snprintf(out, PL_TTY_NAME_SIZE, "console");
    else if (major == 166)
        (void)snprintf(out, PL_TTY_NAME_SIZE, "ttyACM%u", minor);
    else if (major == 188)
        (void)snprintf(out, PL_TTY_NAME_SIZE, "ttyUSB%u", minor);
    else if (major == 204 && minor >= 64)
        (void)snprintf(out, PL_TTY_NAME_SIZE, "ttyAMA%u", minor - 64);
    else if (major == 229)
        (void)snprintf(out, PL_TTY_NAME_SIZE, "hvc%u", minor);
    else
        (void)snprintf(out, PL_TTY_NAME_SIZE, "%u:%u", major, minor);
}

/* The set-id bits count when the process has got an id by them that is not its real one, the capabilities of the file
 * when it has any at all (gained). */
void pl_image_flag_privileges(pl_image *image, bool gained)
{
    const pl_identity *file = &image->identity;

    if (image->has_identity && (file->mode & S_ISUID) && file->uid != image->uid &&
        (image->euid == file->uid || image->suid == file->uid))
        image->flags |= PL_IMAGE_SETUID;
    if (image->has_identity && (file->mode & S_ISGID) && (file->mode & S_IXGRP) && file->gid != image->gid &&
        image->egid == file->gid)
        image->flags |= PL_IMAGE_SETGID;
    /* A file system without birth times may have to ask a server. */
    if (gained && image->exe_fd >= 0 && file->btime_ns != 0) {
        char link[32];
        (void)snprintf(link, sizeof(link), "/proc/self/fd/%d", image->exe_fd); /* fgetxattr refuses O_PATH */
        if (getxattr(link, "security.capability", NULL, 0) > 0)
            image->flags |= PL_IMAGE_FILECAPS;
    }
}

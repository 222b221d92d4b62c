/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Birth, move and death of a pl_image. The struct owns its strings and its descriptors, nothing else.
 */
#include "src/process/image.h"

#include "src/base/cleanup.h"

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

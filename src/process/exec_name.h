/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What execve was given, and the script behind an interpreter. The kernel leaves the name in the memory of the process
 * (AT_EXECFN, getauxval(3)); for a script that is the script's name while the executable is the interpreter. The name
 * is the process's own to overwrite: it tells where to look, never what ran.
 *
 * Any thread; nothing is kept. Never waits for a file system that has to ask somebody.
 */
#ifndef PL_PROCESS_EXEC_NAME_H
#define PL_PROCESS_EXEC_NAME_H

#include "src/process/image.h"

/* Fills image->filename from the pinned /proc/PID directory. 0 (also when it cannot be read: it stays NULL), or
 * negative. */
int pl_exec_name_read(int dir_fd, pl_image *image);
/* Finds the script of an image whose exe, argv, cwd and filename are there: script_path and (pin) script_fd, O_PATH. An
 * image that is no script's, or whose script cannot be found any more, stays as it is. 0 or negative. */
int pl_exec_name_find_script(int dir_fd, bool pin, pl_image *image);

#endif

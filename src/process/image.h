/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The image of a process: what one exec put into it, as a source captured it. Owned by whoever holds the
 * struct; every pointer is heap memory of its own or NULL, NULL meaning "not known" and never "empty".
 */
#ifndef PL_PROCESS_IMAGE_H
#define PL_PROCESS_IMAGE_H

#include "src/file/kernel_key.h"

#include <procledger/procledger.h>

#include <stdbool.h>

/* Bits of process_events.flags; the names are those of the view, see schema/views.sql. */
enum pl_image_flag {
    PL_IMAGE_MEMFD = 1 << 0,
    PL_IMAGE_DELETED = 1 << 1,
    PL_IMAGE_OVERLAY_UPPER = 1 << 2,
    PL_IMAGE_SETUID = 1 << 3,
    PL_IMAGE_SETGID = 1 << 4,
    PL_IMAGE_FILECAPS = 1 << 5,
    PL_IMAGE_ARGV_CUT = 1 << 6,
    PL_IMAGE_KERNEL = 1 << 7, /* a kernel thread: never hashed, never a row; not shown */
};

#define PL_NO_ID UINT32_MAX /* uid, gid, auid, session that nobody knows, as the kernel writes (uid_t)-1 */

typedef struct pl_image {
    pid_t pid; /* thread group id, in the initial pid namespace */
    pid_t ppid;
    uint64_t start_ticks;     /* start of the process since boot in USER_HZ ticks: (pid, start_ticks) names it */
    int64_t exec_boottime_ns; /* when this image started, CLOCK_BOOTTIME; 0: not known (snapshot) */
    char *exe;                /* absolute path of the image, in the process's own root; " (deleted)" resolved */
    char *filename;           /* what execve was given */
    char *name;               /* comm */
    char *argv;               /* arguments, each ended by NUL */
    size_t argv_length;
    char *cwd;
    char *tty;         /* "pts/0", "tty1"; NULL: none */
    char *cgroup;      /* path in the unified hierarchy, else of the first one that has more than "/" */
    char *container;   /* id found in the cgroup path, see container.h */
    char *script_path; /* the script that the interpreter `exe` was started for, as the kernel knows the file */
    uint32_t uid, euid, suid, gid, egid, auid;
    uint32_t session; /* audit session id */
    uint64_t mnt_ns;  /* inode number of the mount namespace, 0: not known */
    uint32_t flags;   /* pl_image_flag */
    bool has_identity;
    pl_identity identity; /* of the executed inode */
    bool has_key;         /* the kernel's key of that inode, for what is not remembered under it yet */
    pl_kernel_key key;
    int exe_fd; /* O_PATH, or readable and our own: pins the executed inode, whatever becomes of its name; -1: none */
    int exe_errno;               /* why exe_fd is -1: ENOENT/ESRCH (vanished), EACCES, ... */
    int script_fd;               /* as exe_fd: pins the script; -1: none */
    pl_identity script_identity; /* with script_fd */
} pl_image;

#define PL_IMAGE_NULL                                                                                                  \
    {                                                                                                                  \
        .exe_fd = -1, .script_fd = -1, .uid = PL_NO_ID, .euid = PL_NO_ID, .suid = PL_NO_ID, .gid = PL_NO_ID,           \
        .egid = PL_NO_ID, .auid = PL_NO_ID, .session = PL_NO_ID                                                        \
    }

void pl_image_init(pl_image *image);
/* Frees and closes; the struct is the null value afterwards. */
void pl_image_deinit(pl_image *image);
/* Moves everything from *from to *to (which must be null); *from is the null value afterwards. */
void pl_image_move(pl_image *to, pl_image *from);

#define PL_TTY_NAME_SIZE 32
/* "pts/3" from the number in stat; names as in the kernel's admin-guide/devices.txt. */
void pl_tty_name(uint32_t number, char out[PL_TTY_NAME_SIZE]);
/* Sets the flags of set-id bits that gave the process an id which is not its real one, and of the file's capabilities
 * where the process has gained any. Looks at the file behind exe_fd, if there is one. */
void pl_image_flag_privileges(pl_image *image, bool gained);

#endif

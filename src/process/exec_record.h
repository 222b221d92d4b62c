/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What exec.bpf.c writes into the ring buffer and source_bpf.c reads out of it: the bytes between the kernel and us. One
 * build has both ends, so there is no version. Plain C types of the two compilers alone; no pointers, no padding that
 * anybody looks at. Included by BPF code, so nothing but this file's own declarations may be needed.
 */
#ifndef PL_PROCESS_EXEC_RECORD_H
#define PL_PROCESS_EXEC_RECORD_H

enum pl_record_kind {
    PL_RECORD_EXEC = 1,
    PL_RECORD_EXIT,
    PL_RECORD_FORK,
};

/* Sizes in bytes. */
#define PL_RECORD_ARGV_MAX 65536u
#define PL_RECORD_NAME_MAX 256u  /* of one component, its NUL included */
#define PL_RECORD_PATH_MAX 4096u /* of what execve was given, NUL included */
#define PL_RECORD_COMM 16u
#define PL_RECORD_DEPTH 128u /* components of a path, and mounts on its way */

enum pl_record_flag {
    PL_RECORD_ARGV_CUT = 1 << 0, /* longer than the maximum, not in memory, or no room in the ring */
    PL_RECORD_EXE_CUT = 1 << 1,  /* more components than are walked, or the file's folder is not mounted anywhere */
    PL_RECORD_CWD_CUT = 1 << 2,
    PL_RECORD_UNLINKED = 1 << 3, /* the executable has no name any more */
    PL_RECORD_CAPS = 1 << 4,     /* the new credentials have capabilities that their user would not have */
    PL_RECORD_KTHREAD = 1 << 5,
};

struct pl_record_head {
    unsigned int kind;  /* pl_record_kind */
    unsigned int flags; /* pl_record_flag */
    int pid, ppid;      /* thread groups, in the initial pid namespace */
    unsigned long long boottime_ns;
    unsigned long long start_ns; /* boottime at which the process began */
};

/* FORK is a head and nothing else. */
struct pl_record_exit {
    struct pl_record_head head;
    int status; /* as wait(2) gives it */
    int reserved;
};

/* The executed inode as the kernel has it: the key K of the never-stale protocol, and a few attributes. */
struct pl_record_inode {
    unsigned long long inode, size, mtime_s, ctime_s;
    unsigned int mtime_ns, ctime_ns;
    unsigned int dev; /* major << 20 | minor, which is not how st_dev looks */
    unsigned int generation, nlink, mode, uid, gid;
    unsigned long long magic, mount_id; /* mount_id 0: a kernel that numbers no mounts */
    unsigned char uuid[16];
};

/* Strings follow, one after the other, none of them ended by more than it says. A path comes as its components from the
 * last to the first, each ended by NUL: whoever walks up meets them in this order. */
struct pl_record_exec {
    struct pl_record_head head;
    struct pl_record_inode inode;
    unsigned int uid, euid, suid, gid, egid, auid, session;
    unsigned int tty; /* as in tty_nr of /proc/PID/stat; 0: none */
    unsigned int mnt_ns;
    unsigned int argv_length, filename_length, interp_length, exe_length, cwd_length, cgroup_length;
    char comm[PL_RECORD_COMM];
};

#endif

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What a checksum is bound to: pl_identity (public header) is the part that one statx shows and that is compared on
 * every hit; pl_file_system is what is asked once for each hash: where the file lives and how far that can be trusted.
 * A path is never part of either. Any thread; nothing is kept.
 */
#ifndef PL_FILE_IDENTITY_H
#define PL_FILE_IDENTITY_H

#include <procledger/procledger.h>

#include <stdbool.h>

/* How far a file system can be trusted to move ctime on every write. */
typedef enum pl_tier {
    PL_TIER_C = 0, /* tmpfs, ramfs, FUSE, NFS, 9p and all unknown: hashed every time, never cached */
    PL_TIER_A = 1, /* ext4, xfs, btrfs, f2fs, read-only ones: cached */
    PL_TIER_B = 2, /* overlayfs: cached after writing back to the disk below, between S1 and the first read */
} pl_tier;

typedef struct pl_file_system {
    uint64_t magic;      /* f_type of statfs(2) */
    uint64_t fsid;       /* f_fsid of statfs(2) */
    uint8_t uuid[16];    /* FS_IOC_GETFSUUID (kernel 6.9), else zero */
    uint64_t generation; /* FS_IOC_GETVERSION, else 0 */
    pl_tier tier;
    bool read_only;
    bool fine_grained; /* kernel >= 6.13 and ext4, xfs or btrfs: ctime moves on each write that somebody looked at */
} pl_file_system;

/* statx with AT_EMPTY_PATH on fd; asks for CTIME, which arms the fine-grained timestamps. 0 or an errno (positive). */
int pl_identity_of_fd(int fd, pl_identity *out);
/* The same for a descriptor that pins a file (O_PATH will do; path "") or a link of /proc/PID in dir_fd, and for threads
 * that must not wait: a file system that has to ask somebody (FUSE, NFS) answers with what it remembers, and without a
 * birth time. 0 or an errno. */
int pl_identity_of_pinned(int dir_fd, const char *path, pl_identity *out);
/* The file system behind fd (O_PATH will do) is a disk's or the memory's: no call on it waits for anybody. Asks no file
 * system; false also when nobody can tell. */
bool pl_identity_is_local(int fd);
/* statx of a path relative to dir_fd (AT_FDCWD); follow: a symbolic link in the last component. 0 or an errno. */
int pl_identity_of_path(int dir_fd, const char *path, bool follow, pl_identity *out);
/* Device, inode, size, mtime, ctime, btime equal, field by field. nlink, mode and owner are attributes, not proof. */
bool pl_identity_equal(const pl_identity *a, const pl_identity *b);
/* Well mixed 64 bits over the compared fields. */
uint64_t pl_identity_hash(const pl_identity *identity);

/* fstatfs and two ioctls on fd. May hang on a dead FUSE or NFS: worker threads only. 0 or an errno. */
int pl_file_system_of_fd(int fd, pl_file_system *out);
/* Tier by f_type alone. */
pl_tier pl_tier_of_magic(uint64_t magic, bool read_only);
/* The running kernel has multigrain timestamps (uname >= 6.13). Asked once by owners and passed on. */
bool pl_kernel_has_fine_grained_times(void);

/* Racy window W of NEVER-STALE step 7: 20 ms or 2 s. */
int64_t pl_racy_window_ns(const pl_identity *identity, const pl_file_system *fs);

#endif

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What a checksum is bound to, and how far the file system below it can be trusted. Owns nothing and keeps nothing;
 * must not read contents and must not decide what is cached (probe.c does).
 *
 * Invariants: one statx an identity, and it asks for CTIME, which makes kernels from 6.13 on give the next change a
 * ctime of its own. A file system that is not on the list is tier C: a wrong C costs a re-read, a wrong A a wrong answer.
 */
#include "src/file/identity.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/statvfs.h>
#include <sys/utsname.h>

#include "src/base/cleanup.h"
#include "src/base/clock.h"
#include "src/base/mix.h"

#ifndef STATX_MNT_ID_UNIQUE
#define STATX_MNT_ID_UNIQUE 0x00004000U /* Linux 6.8 */
#endif
#define WANTED (STATX_BASIC_STATS | STATX_BTIME | STATX_MNT_ID_UNIQUE)
#define WINDOW_FINE_NS (20 * PL_NS_PER_MS)
#define WINDOW_COARSE_NS (2 * PL_NS_PER_S)

/* f_type of statfs(2); linux/magic.h has not all of them. */
enum {
    MAGIC_EXT = 0xEF53, /* ext2, ext3, ext4 */
    MAGIC_XFS = 0x58465342,
    MAGIC_SQUASHFS = 0x73717368,
    MAGIC_ISOFS = 0x9660,
    MAGIC_CRAMFS = 0x28cd3d45,
    MAGIC_ROMFS = 0x7275,
    MAGIC_OVERLAY = 0x794c7630,
};
#define MAGIC_BTRFS 0x9123683Eu
#define MAGIC_F2FS 0xF2F52010u
#define MAGIC_EROFS 0xE0F5E1E2u

/* Kernel 6.9's FS_IOC_GETFSUUID, spelled out for older headers. */
struct fs_uuid {
    uint8_t length;
    uint8_t uuid[16];
};
#define GET_FS_UUID _IOR(0x15, 0, struct fs_uuid)

/* Anybody may give his file an mtime of the year 2300, which 64 bits of nanoseconds do not reach: it stays at their
 * end, in the future, where nothing is cached. */
static int64_t timestamp_ns(const struct statx_timestamp *t)
{
    int64_t ns;

    if (__builtin_mul_overflow(t->tv_sec, PL_NS_PER_S, &ns) || __builtin_add_overflow(ns, (int64_t)t->tv_nsec, &ns))
        return t->tv_sec < 0 ? INT64_MIN : INT64_MAX;
    return ns;
}

static void take(const struct statx *s, pl_identity *out)
{
    *out = (pl_identity){
        .inode = s->stx_ino,
        .size = s->stx_size,
        .mtime_ns = timestamp_ns(&s->stx_mtime),
        .ctime_ns = timestamp_ns(&s->stx_ctime),
        .btime_ns = s->stx_mask & STATX_BTIME ? timestamp_ns(&s->stx_btime) : 0,
        .dev_major = s->stx_dev_major,
        .dev_minor = s->stx_dev_minor,
        .mode = s->stx_mode,
        .nlink = s->stx_nlink,
        .uid = s->stx_uid,
        .gid = s->stx_gid,
        .mount_id = s->stx_mask & STATX_MNT_ID_UNIQUE ? s->stx_mnt_id : 0,
    };
}

static int identity_of(int dir_fd, const char *path, int flags, pl_identity *out)
{
    struct statx s;

    if (statx(dir_fd, path, flags, WANTED, &s) != 0)
        return errno;
    take(&s, out);
    return 0;
}

int pl_identity_of_fd(int fd, pl_identity *out)
{
    return identity_of(fd, "", AT_EMPTY_PATH, out);
}

int pl_identity_of_pinned(int dir_fd, const char *path, pl_identity *out)
{
    struct statx s;

    if (statx(dir_fd, path, AT_EMPTY_PATH | AT_STATX_DONT_SYNC, STATX_BASIC_STATS | STATX_MNT_ID_UNIQUE, &s) != 0)
        return errno;
    /* Only local file systems know of immutable files; FUSE may ask its server for a birth time whatever the flag says. */
    if (s.stx_attributes_mask & STATX_ATTR_IMMUTABLE)
        return identity_of(dir_fd, path, AT_EMPTY_PATH, out);
    s.stx_mask &= ~(uint32_t)STATX_BTIME;
    take(&s, out);
    return 0;
}

static bool is_one_of(const char *type, const char *const *types)
{
    for (; *types; types++)
        if (strncmp(type, *types, strlen(*types)) == 0)
            return true;
    return false;
}

/*
 * "36 35 98:0 / /mnt rw,noatime shared:1 - ext3 /dev/root rw": the word behind the dash of the line of that mount. An
 * overlay is as local as its layers, and asks for names in the lower ones at each walk; they cannot be seen from here, so
 * it is believed where nothing with a server is mounted at all.
 */
static bool is_local_mount(uint64_t mount)
{
    static const char *const local[] = {"btrfs",   "tmpfs",   "ramfs", "squashfs", "erofs", "ext",
                                        "xfs",     "vfat",    "msdos", "exfat",    "ntfs3", "udf",
                                        "cramfs",  "iso9660", "f2fs",  "bcachefs", "jfs",   "nilfs2",
                                        "hfsplus", "zfs",     "minix", "reiserfs", "ubifs", NULL};
    static const char *const asking[] = {"fuse.", "fuseblk", "nfs",      "9p",  "ceph",
                                         "cifs",  "smb3",    "virtiofs", "afs", NULL};
    pl_auto_fclose FILE *file = fopen("/proc/self/mountinfo", "re");
    pl_auto_free char *line = NULL;
    size_t size = 0;
    char type[32], found[32] = "";
    bool servers = false;

    while (file && getline(&line, &size, file) > 0) {
        const char *dash = strstr(line, " - ");
        if (!dash || sscanf(dash, " - %31s", type) != 1)
            continue;
        servers = servers || strcmp(type, "fuse") == 0 || is_one_of(type, asking);
        if (strtoull(line, NULL, 10) == mount)
            memcpy(found, type, sizeof(found));
    }
    return strcmp(found, "overlay") == 0 ? !servers : is_one_of(found, local);
}

bool pl_identity_is_local(int fd)
{
    struct statx s;

    if (statx(fd, "", AT_EMPTY_PATH | AT_STATX_DONT_SYNC, STATX_TYPE | STATX_MNT_ID, &s) != 0)
        return false;
    /* On a device of its own, and it knows of immutable files: a disk's, and no FUSE that has one. Of the others the table
     * of mounts knows the type. */
    return ((s.stx_attributes_mask & STATX_ATTR_IMMUTABLE) && s.stx_dev_major != 0) ||
           ((s.stx_mask & STATX_MNT_ID) && is_local_mount(s.stx_mnt_id));
}

int pl_identity_of_path(int dir_fd, const char *path, bool follow, pl_identity *out)
{
    return identity_of(dir_fd, path, AT_NO_AUTOMOUNT | (follow ? 0 : AT_SYMLINK_NOFOLLOW), out);
}

bool pl_identity_equal(const pl_identity *a, const pl_identity *b)
{
    return a->inode == b->inode && a->ctime_ns == b->ctime_ns && a->mtime_ns == b->mtime_ns && a->size == b->size &&
           a->btime_ns == b->btime_ns && a->dev_major == b->dev_major && a->dev_minor == b->dev_minor;
}

uint64_t pl_identity_hash(const pl_identity *identity)
{
    uint64_t device = (uint64_t)identity->dev_major << 32 | identity->dev_minor;
    uint64_t a = pl_mix(identity->inode ^ UINT64_C(0xa0761d6478bd642f), device ^ UINT64_C(0xe7037ed1a0b428db));
    uint64_t b = pl_mix(identity->size ^ UINT64_C(0x8ebc6af09c88c6e3),
                        (uint64_t)identity->mtime_ns ^ UINT64_C(0x589965cc75374cc3));
    uint64_t c = pl_mix((uint64_t)identity->ctime_ns ^ UINT64_C(0x1d8e4e27c47d124f),
                        (uint64_t)identity->btime_ns ^ UINT64_C(0xeb44accab455d165));

    return pl_mix(a ^ c ^ UINT64_C(0x9e3779b97f4a7c15), b ^ UINT64_C(0xd6e8feb86659fd93));
}

pl_tier pl_tier_of_magic(uint64_t magic, bool read_only)
{
    switch (magic) {
    case MAGIC_EXT:
    case MAGIC_XFS:
    case MAGIC_BTRFS:
    case MAGIC_F2FS:
        return PL_TIER_A;
    case MAGIC_SQUASHFS:
    case MAGIC_EROFS:
    case MAGIC_ISOFS:
    case MAGIC_CRAMFS:
    case MAGIC_ROMFS:
        /* Trusted because nothing can write there; one that says otherwise is not what we know. */
        return read_only ? PL_TIER_A : PL_TIER_C;
    case MAGIC_OVERLAY:
        return PL_TIER_B;
    default:
        /* Also when mounted read-only: a read-only view of a FUSE or NFS tree changes under its reader. */
        return PL_TIER_C;
    }
}

bool pl_kernel_has_fine_grained_times(void)
{
    struct utsname name;
    unsigned major = 0, minor = 0;

    if (uname(&name) != 0 || sscanf(name.release, "%u.%u", &major, &minor) != 2)
        return false;
    return major > 6 || (major == 6 && minor >= 13);
}

int pl_file_system_of_fd(int fd, pl_file_system *out)
{
    struct statfs s;
    pl_file_system fs = {0};

    if (fstatfs(fd, &s) != 0)
        return errno;
    /* f_type is signed and may be sign-extended from 32 bits. */
    fs.magic = (uint64_t)s.f_type & UINT32_MAX;
    memcpy(&fs.fsid, &s.f_fsid, sizeof(fs.fsid) < sizeof(s.f_fsid) ? sizeof(fs.fsid) : sizeof(s.f_fsid));
    fs.read_only = (s.f_flags & ST_RDONLY) != 0;
    fs.tier = pl_tier_of_magic(fs.magic, fs.read_only);
    fs.fine_grained = (fs.magic == MAGIC_EXT || fs.magic == MAGIC_XFS || fs.magic == MAGIC_BTRFS) &&
                      pl_kernel_has_fine_grained_times();
    /* Nothing of tier C is kept, so nothing there needs a name; and a FUSE server need not be asked. */
    if (fs.tier != PL_TIER_C) {
        struct fs_uuid uuid = {0};
        long generation = 0; /* the kernel writes an int, whatever the macro says */
        if (ioctl(fd, GET_FS_UUID, &uuid) == 0 && uuid.length == sizeof(fs.uuid))
            memcpy(fs.uuid, uuid.uuid, sizeof(fs.uuid));
        if (ioctl(fd, FS_IOC_GETVERSION, &generation) == 0)
            fs.generation = (uint64_t)generation & UINT32_MAX;
    }
    *out = fs;
    return 0;
}

int64_t pl_racy_window_ns(const pl_identity *identity, const pl_file_system *fs)
{
    bool whole_seconds = identity->mtime_ns % PL_NS_PER_S == 0 && identity->ctime_ns % PL_NS_PER_S == 0;

    return fs->fine_grained && !whole_seconds && identity->btime_ns != 0 ? WINDOW_FINE_NS : WINDOW_COARSE_NS;
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Images and loop devices by the kernel's own calls; only mkfs is somebody else's program. The device's descriptor is
 * kept open for the life of the object: its number, and with it st_dev, survives an unmount, and LO_FLAGS_AUTOCLEAR
 * detaches it when that descriptor and the mount are gone, also when the test is killed. Images are sparse.
 */
#include "tests/support/loop_fs.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/loop.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define FLUSH_DEVICE _IO(0x12, 97) /* BLKFLSBUF; its header and sys/mount.h do not go together */
#define PATCH_BLOCK ((size_t)1 << 20)
#define LOOP_TRIES 64 /* others take numbers too */

extern char **environ;

struct pl_loop_fs {
    pl_loop_fs_options options;
    char *folder, *image, *top;
    int device, backing; /* -1: none */
    char name[64];       /* of the device */
    bool mounted;
    pl_loop_fs *base; /* below an overlay */
};

static char reason[256];

static const char *because(const char *what)
{
    (void)snprintf(reason, sizeof(reason), "%s: %s", what, strerror(errno));
    return reason;
}

static char *path_in(const char *folder, const char *name)
{
    char *path = NULL;

    if (asprintf(&path, "%s/%s", folder, name) < 0)
        abort();
    return path;
}

static bool find_tool(const char *name, char path[64])
{
    static const char *const folders[] = {"/usr/sbin", "/sbin",           "/usr/bin",
                                          "/bin",      "/usr/local/sbin", "/usr/local/bin"};

    for (size_t i = 0; i < sizeof(folders) / sizeof(*folders); i++) {
        (void)snprintf(path, 64, "%s/%s", folders[i], name);
        if (access(path, X_OK) == 0)
            return true;
    }
    return false;
}

/* Quiet, and 0 when it says so. */
static bool run(char *const argv[])
{
    posix_spawn_file_actions_t actions;
    pid_t pid;
    int status = -1;

    (void)posix_spawn_file_actions_init(&actions);
    (void)posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDWR, 0);
    (void)posix_spawn_file_actions_adddup2(&actions, 0, 1);
    (void)posix_spawn_file_actions_adddup2(&actions, 0, 2);
    int error = posix_spawn(&pid, argv[0], &actions, NULL, argv, environ);
    (void)posix_spawn_file_actions_destroy(&actions);
    if (error != 0)
        return false;
    while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
        ;
    return status == 0;
}

static const char *make_image(pl_loop_fs *fs)
{
    static const struct {
        const char *type, *tool, *more[3];
        off_t size;
    } kinds[] = {
        {"ext4", "mkfs.ext4", {"-F", "-q", NULL}, 64 << 20},
        {"ext3", "mkfs.ext4", {"-Fq", "-I", "128"}, 64 << 20},
        {"xfs", "mkfs.xfs", {"-q", NULL}, 320 << 20},
        {"btrfs", "mkfs.btrfs", {"-q", NULL}, 128 << 20},
        {"squashfs", "mksquashfs", {NULL}, 0},
    };
    char tool[64];
    char *argv[10] = {tool};
    size_t k = 0, n = 1;

    while (k < sizeof(kinds) / sizeof(*kinds) && strcmp(kinds[k].type, fs->options.type) != 0)
        k++;
    if (k == sizeof(kinds) / sizeof(*kinds))
        return "no such type";
    if (!find_tool(kinds[k].tool, tool)) {
        (void)snprintf(reason, sizeof(reason), "there is no %s", kinds[k].tool);
        return reason;
    }
    if (kinds[k].size == 0) {
        argv[n++] = (char *)(uintptr_t)fs->options.from;
    } else {
        int fd = open(fs->image, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
        if (fd < 0 || ftruncate(fd, kinds[k].size) != 0 || close(fd) != 0)
            return because(fs->image);
        for (size_t i = 0; i < 3 && kinds[k].more[i]; i++)
            argv[n++] = (char *)(uintptr_t)kinds[k].more[i];
        if (fs->options.from) {
            argv[n++] = (char *)(uintptr_t) "-d";
            argv[n++] = (char *)(uintptr_t)fs->options.from;
        }
    }
    argv[n] = fs->image;
    if (!run(argv)) {
        (void)snprintf(reason, sizeof(reason), "%s failed", kinds[k].tool);
        return reason;
    }
    return NULL;
}

static const char *attach(pl_loop_fs *fs)
{
    int control = open("/dev/loop-control", O_RDWR | O_CLOEXEC);

    if (control < 0)
        return because("/dev/loop-control");
    fs->backing = open(fs->image, (fs->options.read_only ? O_RDONLY : O_RDWR) | O_CLOEXEC);
    struct loop_config config = {
        .fd = (unsigned)fs->backing,
        .info = {.lo_flags = LO_FLAGS_AUTOCLEAR | (fs->options.read_only ? LO_FLAGS_READ_ONLY : 0u)}};
    for (int tries = 0; tries < LOOP_TRIES && fs->device < 0; tries++) {
        int number = ioctl(control, LOOP_CTL_GET_FREE);
        if (number < 0)
            break;
        (void)snprintf(fs->name, sizeof(fs->name), "/dev/loop%d", number);
        fs->device = open(fs->name, (fs->options.read_only ? O_RDONLY : O_RDWR) | O_CLOEXEC);
        if (fs->device < 0)
            break;
        if (ioctl(fs->device, LOOP_CONFIGURE, &config) == 0)
            continue;
        int error = errno;
        (void)close(fs->device);
        fs->device = -1;
        errno = error;
        if (error != EBUSY)
            break;
    }
    const char *why = fs->device < 0 ? because(fs->name) : NULL;
    (void)close(control);
    return why;
}

bool pl_loop_fs_mount(pl_loop_fs *fs)
{
    const char *type = fs->options.type;
    unsigned long flags = fs->options.read_only ? MS_RDONLY : 0;

    if (!strcmp(type, "overlay"))
        fs->mounted = pl_overlay_mount(fs->folder, NULL, true, fs->options.data);
    else
        fs->mounted = mount(fs->device >= 0 ? fs->name : type, fs->top, !strcmp(type, "ext3") ? "ext4" : type, flags,
                            fs->options.data) == 0;
    return fs->mounted;
}

bool pl_loop_fs_unmount(pl_loop_fs *fs)
{
    fs->mounted = fs->mounted && umount2(fs->top, 0) != 0;
    return !fs->mounted;
}

/* The image below an overlay is mounted over the folder in which its layers lie. */
static const char *make_base(pl_loop_fs *fs)
{
    pl_loop_fs_options below = {.type = "ext4"};
    char *base = path_in(fs->folder, "base");
    const char *why = mkdir(base, 0755) == 0 ? pl_loop_fs_new(base, &below, &fs->base) : because(base);

    free(base);
    if (why)
        return why;
    free(fs->folder);
    fs->folder = strdup(pl_loop_fs_top(fs->base));
    free(fs->top);
    fs->top = path_in(fs->folder, "merged");
    return NULL;
}

const char *pl_loop_fs_new(const char *folder, const pl_loop_fs_options *options, pl_loop_fs **out)
{
    pl_loop_fs *fs = calloc(1, sizeof(*fs));
    const char *why = NULL;

    if (!fs)
        abort();
    *fs = (pl_loop_fs){.options = *options, .device = -1, .backing = -1};
    fs->folder = strdup(folder);
    fs->image = path_in(folder, "image");
    fs->top = path_in(folder, "mnt");
    if (mkdir(fs->top, 0755) != 0)
        why = because(fs->top);
    else if (!strcmp(options->type, "overlay"))
        why = make_base(fs);
    else if (strcmp(options->type, "tmpfs") != 0 && !(why = make_image(fs)))
        why = attach(fs);
    if (!why && !pl_loop_fs_mount(fs))
        why = because(options->type);
    if (why)
        (void)pl_loop_fs_free(fs);
    else
        *out = fs;
    return why;
}

pl_loop_fs *pl_loop_fs_free(pl_loop_fs *fs)
{
    if (!fs)
        return NULL;
    if (fs->mounted && umount2(fs->top, 0) != 0)
        (void)umount2(fs->top, MNT_DETACH);
    (void)pl_loop_fs_free(fs->base);
    if (fs->device >= 0)
        (void)close(fs->device);
    if (fs->backing >= 0)
        (void)close(fs->backing);
    free(fs->folder);
    free(fs->image);
    free(fs->top);
    free(fs);
    return NULL;
}

const char *pl_loop_fs_top(const pl_loop_fs *fs)
{
    return fs->top;
}

bool pl_loop_fs_exchange(pl_loop_fs *fs, const pl_loop_fs *other)
{
    return ioctl(fs->device, LOOP_CHANGE_FD, other->backing) == 0 && ioctl(fs->device, FLUSH_DEVICE) == 0;
}

size_t pl_loop_fs_patch(pl_loop_fs *fs, const void *from, const void *to, size_t length)
{
    char *bytes = malloc(PATCH_BLOCK + length);
    size_t found = 0;
    ssize_t n;

    if (!bytes || ioctl(fs->device, FLUSH_DEVICE) != 0)
        abort();
    for (off_t at = 0; (n = pread(fs->device, bytes, PATCH_BLOCK + length - 1, at)) > 0; at += (off_t)PATCH_BLOCK) {
        char *hit = bytes;
        while ((hit = memmem(hit, (size_t)(bytes + n - hit), from, length)) && hit - bytes < (ssize_t)PATCH_BLOCK) {
            if (pwrite(fs->device, to, length, at + (hit - bytes)) != (ssize_t)length)
                abort();
            hit += length;
            found++;
        }
    }
    free(bytes);
    if (fsync(fs->device) != 0 || ioctl(fs->device, FLUSH_DEVICE) != 0)
        abort();
    return found;
}

bool pl_overlay_mount(const char *folder, const char *lower, bool upper, const char *data)
{
    static const char *const names[] = {"lower", "upper", "work", "merged"};
    char options[4096];
    char *path[4];
    int n;

    for (size_t i = 0; i < 4; i++) {
        path[i] = path_in(folder, names[i]);
        (void)mkdir(path[i], 0755);
    }
    n = upper ? snprintf(options, sizeof(options), "lowerdir=%s,upperdir=%s,workdir=%s", lower ? lower : path[0],
                         path[1], path[2])
              : snprintf(options, sizeof(options), "lowerdir=%s", lower ? lower : path[0]);
    if (data)
        (void)snprintf(options + n, sizeof(options) - (size_t)n, ",%s", data);
    bool mounted = mount("overlay", path[3], "overlay", 0, options) == 0;
    int error = errno;
    for (size_t i = 0; i < 4; i++)
        free(path[i]);
    errno = error;
    return mounted;
}

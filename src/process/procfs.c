/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * One process out of /proc. Everything is read through one descriptor of /proc/PID, which stays that
 * process's even when the number is given to another one (the kernel then answers ENOENT or ESRCH): two
 * processes never mix.
 *
 * The order is that in which things vanish: the link and the file of the executable and the command line are
 * gone as soon as the process is a zombie; the rest stays until it is reaped. The executable is opened at
 * once, so that its bytes can still be hashed when the process is long dead. Kernel threads have no
 * executable: their link reads ENOENT, nothing is opened.
 *
 * A process can execute something else while it is read. The executable is looked at again at the end; when
 * it is another file by then, all is read once more (three times at most). An exec of the very same file in
 * between is not seen: then the arguments may be those of the later one. start_ticks never change by an exec.
 *
 * exe is the path in the mount namespace of the process, as the kernel's link tells it: for a chroot it
 * holds the folder of the chroot, because (path, mount namespace) has to name one file.
 *
 * Owns no state. ENOENT of an optional file (loginuid without audit, cgroup, ns) is "not known"; of stat and
 * status it is death. What cannot be read for lack of rights or descriptors is "not known" too, except stat,
 * without which there is no name for the process.
 */
#include "src/process/procfs.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/openat2.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "src/base/cleanup.h"
#include "src/base/error.h"
#include "src/base/mix.h"
#include "src/file/identity.h"
#include "src/file/probe.h"
#include "src/process/container.h"
#include "src/process/exec_name.h"

#define PROC_KTHREAD 0x00200000u /* PF_KTHREAD of the kernel's include/linux/sched.h */
#define ARGV_DEFAULT 65536u
#define ARGV_FIRST_READ 4096u
#define LINK_SIZE (PATH_MAX + 1) /* the kernel prints a link into one page */
#define TEXT_SIZE 8192           /* stat, status and cgroup of any kernel so far are well below */
#define TRIES 3
#define DELETED " (deleted)"

static void image_cleanup(pl_image *image)
{
    pl_image_deinit(image);
}

static bool is_gone(int errnum)
{
    return errnum == ENOENT || errnum == ESRCH;
}

static int open_process(const pl_procfs *procfs, pid_t pid, int *out)
{
    char path[PATH_MAX];

    (void)snprintf(path, sizeof(path), "%s/%d", procfs->root, (int)pid);
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0) {
        if (is_gone(errno) || errno == ENOTDIR)
            return PL_VANISHED;
        return pl_error_errno(pl_error_code(errno), errno, "cannot open %s", path);
    }
    *out = fd;
    return 0;
}

/* Reads a whole small file, NUL-ended, cut at size - 1. 0 or an errno. */
static int read_text(int dir_fd, const char *name, char *out, size_t size, size_t *length)
{
    pl_auto_close int fd = openat(dir_fd, name, O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
    size_t used = 0;

    if (fd < 0)
        return errno;
    while (used < size - 1) {
        ssize_t n = read(fd, out + used, size - 1 - used);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return errno;
        if (n == 0)
            break;
        used += (size_t)n;
    }
    out[used] = '\0';
    *length = used;
    return 0;
}

/* The text of a link as a string of its own. 0, an errno, or negative. */
static int read_link(int dir_fd, const char *name, char **out)
{
    char text[LINK_SIZE];

    ssize_t n = readlinkat(dir_fd, name, text, sizeof(text) - 1);
    if (n < 0)
        return errno;
    char *copy = strndup(text, (size_t)n);
    if (!copy)
        return pl_error_nomem();
    *out = copy;
    return 0;
}

/* "pid (comm) state ppid ...": comm may hold ')' , spaces and newlines, so its end is the last ')'. */
static bool parse_stat(char *text, pl_proc_stat *out)
{
    pl_proc_stat stat = {0};
    char *open = strchr(text, '('), *close = strrchr(text, ')');

    if (!open || !close || close < open)
        return false;
    long pid = strtol(text, NULL, 10);
    size_t n = (size_t)(close - open - 1);
    if (n >= sizeof(stat.name))
        n = sizeof(stat.name) - 1;
    memcpy(stat.name, open + 1, n);

    char *save = NULL;
    unsigned field = 3;
    for (char *word = strtok_r(close + 1, " \n", &save); word && field <= 28;
         word = strtok_r(NULL, " \n", &save), field++) {
        switch (field) {
        case 3:
            stat.state = word[0];
            break;
        case 4:
            stat.ppid = (pid_t)strtol(word, NULL, 10);
            break;
        case 7: /* printed as a signed number */
            stat.tty_nr = (uint32_t)strtol(word, NULL, 10);
            break;
        case 9:
            stat.flags = (uint32_t)strtoul(word, NULL, 10);
            break;
        case 22:
            stat.start_ticks = strtoull(word, NULL, 10);
            break;
        case 28:
            stat.start_stack = strtoull(word, NULL, 10);
            break;
        default:
            break;
        }
    }
    if (field <= 22)
        return false;
    stat.pid = (pid_t)pid;
    *out = stat;
    return true;
}

static int read_stat_at(int dir_fd, pid_t pid, pl_proc_stat *out)
{
    char text[TEXT_SIZE];
    size_t length;

    int errnum = read_text(dir_fd, "stat", text, sizeof(text), &length);
    if (is_gone(errnum))
        return PL_VANISHED;
    if (errnum)
        return pl_error_errno(pl_error_code(errnum), errnum, "cannot read stat of process %d", (int)pid);
    if (!parse_stat(text, out))
        return pl_error_set(PL_ERR_SYSTEM, "stat of process %d is not understood", (int)pid);
    return 0;
}

static bool is_dead_state(char state)
{
    return state == 'Z' || state == 'X' || state == 'x';
}

/* Whole arguments, or the part of one that fits without its last, broken UTF-8 character. */
static void end_arguments(char *argv, size_t *length, bool cut)
{
    size_t n = *length;

    if (cut) {
        while (n > 1 && ((unsigned char)argv[n - 1] & 0xc0) == 0x80)
            n--;
        argv[n - 1] = '\0';
    } else if (n > 0 && argv[n - 1] != '\0') {
        argv[n++] = '\0'; /* the process wrote over its arguments; the buffer has one byte to spare */
    }
    *length = n;
}

/* The command line up to `limit` bytes. 0, an errno, or negative. */
static int read_arguments(int dir_fd, size_t limit, pl_image *image)
{
    pl_auto_close int fd = openat(dir_fd, "cmdline", O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
    pl_auto_free char *argv = NULL;
    size_t size = 0, used = 0;

    if (fd < 0)
        return errno;
    for (;;) {
        if (used + 1 >= size) {
            size = size ? size * 2 : ARGV_FIRST_READ;
            char *bigger = realloc(argv, size);
            if (!bigger)
                return pl_error_nomem();
            argv = bigger;
        }
        ssize_t n = read(fd, argv + used, size - 1 - used);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return errno;
        used += (size_t)n;
        if (n == 0 || used > limit)
            break;
    }
    bool cut = used > limit;
    if (cut) {
        used = limit;
        image->flags |= PL_IMAGE_ARGV_CUT;
    }
    end_arguments(argv, &used, cut);
    if (used > 0) {
        image->argv = pl_steal(&argv);
        image->argv_length = used;
    }
    return 0;
}

/* The inode that path names below root (AT_FDCWD: ours) is the executed one. */
static bool names(int root, const char *path, const pl_identity *executed)
{
    pl_auto_close int fd = pl_pin_walk(root, path, O_NOFOLLOW, root == AT_FDCWD ? 0 : RESOLVE_IN_ROOT);
    pl_identity named;

    return fd >= 0 && pl_identity_of_pinned(fd, "", &named) == 0 && named.dev_major == executed->dev_major &&
           named.dev_minor == executed->dev_minor && named.inode == executed->inode;
}

static bool ends_in_deleted(const char *path)
{
    size_t length = strlen(path), suffix = strlen(DELETED);

    return length > suffix && strcmp(path + length - suffix, DELETED) == 0;
}

bool pl_procfs_strip_deleted(char *path, const pl_identity *executed)
{
    if (!ends_in_deleted(path) || (executed && names(AT_FDCWD, path, executed)))
        return false;
    path[strlen(path) - strlen(DELETED)] = '\0';
    return true;
}

/* The same in the process's own root, then (a chroot: the link shows the way from our root) in ours. */
static void strip_deleted_of(int dir_fd, pl_image *image)
{
    const pl_identity *executed = image->has_identity ? &image->identity : NULL;

    if (!ends_in_deleted(image->exe))
        return;
    pl_auto_close int root = openat(dir_fd, "root", O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (root < 0 || !executed || !names(root, image->exe, executed))
        (void)pl_procfs_strip_deleted(image->exe, executed);
}

/* Link, descriptor and identity of the executable. 0, PL_VANISHED (no executable to be seen), or negative. */
static int read_executable(const pl_procfs *procfs, int dir_fd, pl_image *image)
{
    int rc = read_link(dir_fd, "exe", &image->exe);
    if (rc < 0)
        return rc;
    if (is_gone(rc)) {
        image->exe_errno = rc;
        return PL_VANISHED;
    }
    /* O_PATH asks no file system anything: a FUSE server cannot hold the reader up, and a hash worker opens it. */
    pl_auto_close int fd = openat(dir_fd, "exe", O_PATH | O_CLOEXEC);
    image->exe_errno = fd < 0 ? errno : 0;
    image->has_identity = (fd >= 0 ? pl_identity_of_pinned(fd, "", &image->identity)
                                   : pl_identity_of_pinned(dir_fd, "exe", &image->identity)) == 0;
    if (procfs->pin)
        image->exe_fd = pl_steal_fd(&fd);
    if (!image->exe)
        return 0;
    if (strncmp(image->exe, "/memfd:", strlen("/memfd:")) == 0 && image->has_identity && image->identity.nlink == 0)
        image->flags |= PL_IMAGE_MEMFD;
    if (image->has_identity && image->identity.nlink == 0)
        image->flags |= PL_IMAGE_DELETED;
    strip_deleted_of(dir_fd, image);
    return 0;
}

static int take_stat(const pl_proc_stat *stat, pl_image *image)
{
    char name[PL_TTY_NAME_SIZE];

    image->ppid = stat->ppid;
    image->start_ticks = stat->start_ticks;
    image->name = strdup(stat->name);
    if (!image->name)
        return pl_error_nomem();
    if (stat->flags & PROC_KTHREAD)
        image->flags |= PL_IMAGE_KERNEL;
    if (stat->tty_nr) {
        pl_tty_name(stat->tty_nr, name);
        image->tty = strdup(name);
        if (!image->tty)
            return pl_error_nomem();
    }
    return 0;
}

/* Numbers after "\nUid:" of status. The name line above them cannot fake one: its newlines are escaped. */
static bool parse_ids(const char *status, const char *key, uint32_t *ids, unsigned n)
{
    const char *at = strstr(status, key);

    if (!at)
        return false;
    at += strlen(key);
    for (unsigned i = 0; i < n; i++) {
        char *end;
        unsigned long value = strtoul(at, &end, 10);
        if (end == at)
            return false;
        ids[i] = (uint32_t)value;
        at = end;
    }
    return true;
}

/* 0 or an errno. */
static int read_credentials(int dir_fd, pl_image *image, bool *gained)
{
    char text[TEXT_SIZE];
    size_t length;
    uint32_t uids[3], gids[2];

    int errnum = read_text(dir_fd, "status", text, sizeof(text), &length);
    if (errnum)
        return errnum;
    if (parse_ids(text, "\nUid:", uids, 3)) {
        image->uid = uids[0];
        image->euid = uids[1];
        image->suid = uids[2];
    }
    if (parse_ids(text, "\nGid:", gids, 2)) {
        image->gid = gids[0];
        image->egid = gids[1];
    }
    const char *permitted = strstr(text, "\nCapPrm:");
    *gained = permitted && strtoull(permitted + strlen("\nCapPrm:"), NULL, 16) != 0;
    return 0;
}

static int read_cwd(int dir_fd, pl_image *image)
{
    int rc = read_link(dir_fd, "cwd", &image->cwd);

    return rc < 0 ? rc : 0;
}

static int read_mount_namespace(int dir_fd, pl_image *image)
{
    char text[64];

    ssize_t n = readlinkat(dir_fd, "ns/mnt", text, sizeof(text) - 1);
    if (n > 0) {
        text[n] = '\0';
        if (strncmp(text, "mnt:[", 5) == 0)
            image->mnt_ns = strtoull(text + 5, NULL, 10);
    }
    return 0;
}

/* Lines "number:controllers:path": the unified one ("0::") unless it says only "/", then the first that says
 * more. */
static int read_cgroup(int dir_fd, pl_image *image)
{
    char text[TEXT_SIZE];
    size_t length;
    const char *best = NULL, *other = NULL;

    if (read_text(dir_fd, "cgroup", text, sizeof(text), &length) != 0)
        return 0;
    char *save = NULL;
    for (char *line = strtok_r(text, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
        char *path = strchr(line, ':');
        path = path ? strchr(path + 1, ':') : NULL;
        if (!path)
            continue;
        path++;
        if (strncmp(line, "0::", 3) == 0)
            best = path;
        else if (!other && strcmp(path, "/") != 0)
            other = path;
    }
    if ((!best || strcmp(best, "/") == 0) && other)
        best = other;
    if (!best)
        return 0;
    image->cgroup = strdup(best);
    if (!image->cgroup)
        return pl_error_nomem();
    return pl_container_of_cgroup(image->cgroup, &image->container);
}

static uint32_t read_id(int dir_fd, const char *name)
{
    char text[32];
    size_t length;

    if (read_text(dir_fd, name, text, sizeof(text), &length) != 0 || !isdigit((unsigned char)text[0]))
        return PL_NO_ID;
    return (uint32_t)strtoul(text, NULL, 10);
}

static int read_rest(int dir_fd, pl_image *image)
{
    int rc = read_mount_namespace(dir_fd, image);

    if (rc == 0)
        rc = read_cgroup(dir_fd, image);
    if (rc != 0)
        return rc;
    image->auid = read_id(dir_fd, "loginuid");
    image->session = read_id(dir_fd, "sessionid");
    return 0;
}

/* Another file is executed by now. A process that is gone by now was read while it was there: that is no
 * change. */
static bool was_replaced(int dir_fd, const pl_image *image)
{
    pl_identity now;

    return image->has_identity && pl_identity_of_pinned(dir_fd, "exe", &now) == 0 &&
           (now.inode != image->identity.inode || now.dev_major != image->identity.dev_major ||
            now.dev_minor != image->identity.dev_minor);
}

static int read_once(const pl_procfs *procfs, int dir_fd, pl_image *image)
{
    pl_proc_stat stat;

    int seen = read_executable(procfs, dir_fd, image);
    if (seen < 0)
        return seen;
    int rc = read_arguments(dir_fd, procfs->argv_limit ? procfs->argv_limit : ARGV_DEFAULT, image);
    if (rc < 0)
        return rc;
    rc = pl_exec_name_read(dir_fd, image);
    if (rc < 0)
        return rc;
    rc = read_cwd(dir_fd, image);
    if (rc < 0)
        return rc;
    rc = pl_exec_name_find_script(dir_fd, procfs->pin, image);
    if (rc < 0)
        return rc;
    rc = read_stat_at(dir_fd, image->pid, &stat);
    if (rc != 0)
        return rc;
    rc = take_stat(&stat, image);
    if (rc != 0)
        return rc;
    bool kernel = stat.flags & PROC_KTHREAD;
    if (is_dead_state(stat.state) && !image->has_identity)
        seen = PL_VANISHED;
    bool gained = false;
    rc = read_credentials(dir_fd, image, &gained);
    if (is_gone(rc))
        return PL_VANISHED;
    pl_image_flag_privileges(image, gained);
    rc = read_rest(dir_fd, image);
    if (rc < 0)
        return rc;
    return kernel ? 0 : seen;
}

int pl_procfs_read_image(const pl_procfs *procfs, pid_t pid, pl_image *out)
{
    pl_cleanup(image_cleanup) pl_image image = PL_IMAGE_NULL;
    pl_auto_close int dir_fd = -1;

    image.pid = pid;
    int rc = open_process(procfs, pid, &dir_fd);
    if (rc == PL_VANISHED)
        image.exe_errno = ENOENT;
    for (int tries = 0; rc == 0; tries++) {
        rc = read_once(procfs, dir_fd, &image);
        if (rc < 0 || tries + 1 == TRIES || !was_replaced(dir_fd, &image))
            break;
        pl_image_deinit(&image);
        image.pid = pid;
        rc = 0;
    }
    if (rc < 0)
        return rc;
    pl_image_move(out, &image);
    return rc;
}

int pl_procfs_read_stat(const pl_procfs *procfs, pid_t pid, pl_proc_stat *out)
{
    pl_auto_close int dir_fd = -1;

    int rc = open_process(procfs, pid, &dir_fd);
    return rc != 0 ? rc : read_stat_at(dir_fd, pid, out);
}

/* Over what of the command line fits one page: enough to see it change. */
static uint64_t hash_arguments(int dir_fd)
{
    char text[4096];
    size_t length;

    return read_text(dir_fd, "cmdline", text, sizeof(text), &length) == 0 ? pl_mix_bytes(text, length, 1) : 0;
}

int pl_procfs_glance(const pl_procfs *procfs, pid_t pid, pl_proc_glance *out)
{
    pl_auto_close int dir_fd = -1;
    pl_proc_glance glance = {0};

    int rc = open_process(procfs, pid, &dir_fd);
    if (rc == 0)
        rc = read_stat_at(dir_fd, pid, &glance.stat);
    if (rc != 0)
        return rc;
    if (!(glance.stat.flags & PROC_KTHREAD)) {
        glance.has_identity = pl_identity_of_path(dir_fd, "exe", true, &glance.identity) == 0;
        if (glance.stat.start_stack == 0)
            glance.argv_hash = hash_arguments(dir_fd);
    }
    *out = glance;
    return 0;
}

bool pl_procfs_is_alive(const pl_procfs *procfs, pid_t pid, uint64_t start_ticks)
{
    pl_proc_stat stat;

    int rc = pl_procfs_read_stat(procfs, pid, &stat);
    if (rc < 0)
        return true; /* no descriptor, no memory: nobody is declared dead for that */
    return rc == 0 && !is_dead_state(stat.state) && (start_ticks == 0 || stat.start_ticks == start_ticks);
}

static pid_t parse_pid(const char *name)
{
    long pid = 0;

    for (; isdigit((unsigned char)*name) && pid < INT_MAX / 10; name++)
        pid = pid * 10 + (*name - '0');
    return *name ? 0 : (pid_t)pid;
}

int pl_procfs_each_pid(const pl_procfs *procfs, int (*each)(void *context, pid_t pid), void *context)
{
    pl_auto_closedir DIR *dir = NULL;
    int fd = open(procfs->root, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

    if (fd < 0)
        return pl_error_errno(pl_error_code(errno), errno, "cannot open %s", procfs->root);
    dir = fdopendir(fd);
    if (!dir) {
        int errnum = errno;
        (void)close(fd);
        return pl_error_errno(pl_error_code(errnum), errnum, "cannot list %s", procfs->root);
    }
    for (;;) {
        errno = 0;
        const struct dirent *entry = readdir(dir);
        if (!entry)
            break;
        pid_t pid = parse_pid(entry->d_name);
        int rc = pid > 0 ? each(context, pid) : 0;
        if (rc != 0)
            return rc;
    }
    return errno ? pl_error_errno(pl_error_code(errno), errno, "cannot list %s", procfs->root) : 0;
}

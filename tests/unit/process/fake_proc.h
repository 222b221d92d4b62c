/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A /proc of a test's own: folders with the files that procfs reads. Written before a fault is armed. */
#ifndef PL_TESTS_FAKE_PROC_H
#define PL_TESTS_FAKE_PROC_H

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/support/temp_dir.h"

typedef struct fake_process {
    int pid, ppid;
    const char *comm; /* NULL: "name" */
    char state;       /* 0: 'S' */
    unsigned flags, tty_nr;
    unsigned long long start_ticks, start_stack;
    const char *exe;       /* target of the link; NULL: none, as for a kernel thread */
    const char *cmdline;   /* NULL: empty */
    size_t cmdline_length; /* 0: strlen + 1 */
    const char *cgroup;    /* NULL: "0::/\n" */
} fake_process;

static inline char *fake_path(const char *root, int pid, const char *name)
{
    char *path = NULL;
    int n = asprintf(&path, "%s/%d%s%s", root, pid, name[0] ? "/" : "", name);

    assert(n > 0);
    return path;
}

static inline void fake_write(const char *root, int pid, const char *name, const void *bytes, size_t length)
{
    char *path = fake_path(root, pid, name);

    pl_temp_write(path, bytes, length, 0600);
    free(path);
}

static inline void fake_remove(const char *root, int pid, const char *name)
{
    char *path = fake_path(root, pid, name);
    int rc = remove(path);

    assert(rc == 0);
    free(path);
}

static inline void fake_link(const char *root, int pid, const char *name, const char *target)
{
    char *path = fake_path(root, pid, name);

    (void)unlink(path);
    int rc = symlink(target, path);
    assert(rc == 0);
    free(path);
}

static inline void fake_mkdir(const char *root, int pid, const char *name)
{
    char *path = fake_path(root, pid, name);

    (void)mkdir(path, 0700);
    free(path);
}

/* Adds the process, or rewrites all of it. */
static inline void fake_add(const char *root, const fake_process *p)
{
    char text[1024];
    const char *cmdline = p->cmdline ? p->cmdline : "";

    fake_mkdir(root, p->pid, "");
    fake_mkdir(root, p->pid, "ns");
    int n = snprintf(text, sizeof(text),
                     "%d (%s) %c %d 1 1 %d -1 %u 0 0 0 0 0 0 0 0 20 0 1 0 %llu 1000 10 18446744073709551615 1 1 %llu "
                     "0 0 0 0 0 0 0 0 0 17 0\n",
                     p->pid, p->comm ? p->comm : "name", p->state ? p->state : 'S', p->ppid, (int)p->tty_nr, p->flags,
                     p->start_ticks, p->start_stack);
    fake_write(root, p->pid, "stat", text, (size_t)n);
    n = snprintf(text, sizeof(text),
                 "Name:\tname\\nUid:\t9\nPid:\t%d\nUid:\t1000\t1001\t1002\t1003\n"
                 "Gid:\t2000\t2001\t2002\t2003\n",
                 p->pid);
    fake_write(root, p->pid, "status", text, (size_t)n);
    fake_write(root, p->pid, "cmdline", cmdline,
               p->cmdline_length ? p->cmdline_length : (p->cmdline ? strlen(cmdline) + 1 : 0));
    const char *cgroup = p->cgroup ? p->cgroup : "0::/\n";
    fake_write(root, p->pid, "cgroup", cgroup, strlen(cgroup));
    fake_write(root, p->pid, "loginuid", "1000", 4);
    fake_write(root, p->pid, "sessionid", "7", 1);
    fake_link(root, p->pid, "cwd", "/home/somebody");
    fake_link(root, p->pid, "root", "/");
    fake_link(root, p->pid, "ns/mnt", "mnt:[4026531841]");
    if (p->exe)
        fake_link(root, p->pid, "exe", p->exe);
}

/* The name that execve was given, where the kernel leaves it: the vector says where in the memory it lies. */
static inline void fake_exec_name(const char *root, int pid, const char *name)
{
    const unsigned long vector[] = {6, 4096, 31 /* AT_EXECFN */, 512, 0, 0};
    char memory[512 + 4200] = {0};

    (void)snprintf(memory + 512, sizeof(memory) - 512, "%s", name);
    fake_write(root, pid, "auxv", vector, sizeof(vector));
    fake_write(root, pid, "mem", memory, 512 + strlen(name) + 2);
}

/* Takes the process out, as the kernel does. */
static inline void fake_kill(const char *root, int pid)
{
    static const char *const names[] = {"stat", "status", "cmdline", "cgroup", "loginuid", "sessionid",
                                        "cwd",  "root",   "ns/mnt",  "exe",    "auxv",     "mem"};

    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        char *path = fake_path(root, pid, names[i]);
        (void)unlink(path);
        free(path);
    }
    fake_remove(root, pid, "ns");
    fake_remove(root, pid, "");
}

#endif

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The kernel's end of source bpf: one record for each fork, exec and exit of a process.
 *
 * Reads kernel structures by their BTF names (CO-RE): only the fields that are used are declared below, so neither the
 * build nor the object depends on one kernel. Where a field has had several names, each has a flavour (a suffix after
 * three underscores, which the loader ignores) and the one that the running kernel has is read.
 *
 * Invariants: a record is written whole or counted in `lost`; what is cut says so in its flags. Nobody is woken for a
 * record but a reader that said that it sleeps, or one that would be too late: a wake-up for each record costs the
 * workload more than all the rest.
 */
#include <linux/bpf.h>

#include <bpf/bpf_core_read.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

#include "src/process/exec_record.h"

typedef unsigned char u8;
typedef unsigned int u32;
typedef unsigned long long u64;
typedef long long s64;
typedef _Bool bool;
#define true 1
#define false 0

#define KERNEL_TYPE __attribute__((preserve_access_index))
#define PF_KTHREAD 0x00200000
#define SIGNAL_GROUP_EXIT 4
#define SCRATCH 131072 /* a power of two above all that a record can hold */
#define DATA_MAX (SCRATCH - 4096)

/* ---- the kernel's, as far as it is looked at ---- */

struct qstr {
    u32 len;
    const unsigned char *name;
} KERNEL_TYPE;

struct hlist_bl_node {
    struct hlist_bl_node **pprev;
} KERNEL_TYPE;

struct dentry {
    struct hlist_bl_node d_hash;
    struct dentry *d_parent;
    struct qstr d_name;
} KERNEL_TYPE;

struct vfsmount {
    struct dentry *mnt_root;
} KERNEL_TYPE;

struct mount {
    struct mount *mnt_parent;
    struct dentry *mnt_mountpoint;
    struct vfsmount mnt;
} KERNEL_TYPE;

/* Linux 6.8 and later. */
struct mount___numbered {
    u64 mnt_id_unique;
} KERNEL_TYPE;

struct path {
    struct vfsmount *mnt;
    struct dentry *dentry;
} KERNEL_TYPE;

typedef struct {
    u8 b[16];
} uuid_t;

struct super_block {
    u32 s_dev;
    unsigned long s_magic;
    uuid_t s_uuid;
} KERNEL_TYPE;

typedef struct {
    u32 val;
} kuid_t;
typedef struct {
    u32 val;
} kgid_t;

struct inode {
    unsigned short i_mode;
    kuid_t i_uid;
    kgid_t i_gid;
    struct super_block *i_sb;
    unsigned long i_ino;
    u32 i_nlink;
    s64 i_size;
    u32 i_generation;
} KERNEL_TYPE;

struct timespec64 {
    s64 tv_sec;
    long tv_nsec;
} KERNEL_TYPE;

/* Linux 6.11 and later. */
struct inode___split {
    s64 i_mtime_sec, i_ctime_sec;
    u32 i_mtime_nsec, i_ctime_nsec;
} KERNEL_TYPE;

/* Linux 6.7 to 6.10. */
struct inode___hidden {
    struct timespec64 __i_mtime, __i_ctime;
} KERNEL_TYPE;

/* Linux 6.6: __i_ctime beside i_mtime. Earlier: both without underscores. */
struct inode___plain {
    struct timespec64 i_mtime, i_ctime;
} KERNEL_TYPE;

struct file {
    struct path f_path;
    struct inode *f_inode;
} KERNEL_TYPE;

struct linux_binprm {
    struct file *file;
    const char *filename, *interp;
} KERNEL_TYPE;

struct tty_driver {
    int major, minor_start;
} KERNEL_TYPE;

struct tty_struct {
    int index;
    struct tty_driver *driver;
} KERNEL_TYPE;

typedef struct {
    int counter;
} atomic_t;

struct signal_struct {
    atomic_t live;
    int group_exit_code;
    u32 flags;
    struct tty_struct *tty;
} KERNEL_TYPE;

typedef struct {
    u64 val;
} kernel_cap_t___whole; /* Linux 6.3 and later; two words of 32 bits before: the same bytes */

struct cred {
    kuid_t uid, suid, euid;
    kgid_t gid, egid;
    kernel_cap_t___whole cap_permitted, cap_ambient;
} KERNEL_TYPE;

struct fs_struct {
    struct path pwd;
} KERNEL_TYPE;

struct ns_common {
    u32 inum;
} KERNEL_TYPE;

struct mnt_namespace {
    struct ns_common ns;
} KERNEL_TYPE;

struct nsproxy {
    struct mnt_namespace *mnt_ns;
} KERNEL_TYPE;

struct kernfs_node {
    const char *name;
} KERNEL_TYPE;

/* Before Linux 6.15, and since. */
struct kernfs_node___old {
    struct kernfs_node *parent;
} KERNEL_TYPE;

struct kernfs_node___new {
    struct kernfs_node *__parent;
} KERNEL_TYPE;

struct cgroup {
    struct kernfs_node *kn;
} KERNEL_TYPE;

struct css_set {
    struct cgroup *dfl_cgrp;
} KERNEL_TYPE;

struct mm_struct {
    unsigned long arg_start, arg_end;
} KERNEL_TYPE;

struct task_struct {
    u32 flags;
    struct mm_struct *mm;
    int exit_code;
    int pid, tgid;
    struct task_struct *real_parent, *group_leader;
    u64 start_boottime;
    const struct cred *cred;
    char comm[PL_RECORD_COMM];
    struct fs_struct *fs;
    struct nsproxy *nsproxy;
    struct signal_struct *signal;
    kuid_t loginuid;
    u32 sessionid;
    struct css_set *cgroups;
} KERNEL_TYPE;

/* Linux before 5.5 called it otherwise; such kernels have no BTF tracing either. */

/* ---- ours ---- */

struct {
    __uint(type, BPF_MAP_TYPE_RINGBUF);
    __uint(max_entries, 8 << 20); /* the loader may set another */
} ring SEC(".maps");

struct scratch {
    u32 end; /* of the data. Here and not in a register, or the verifier follows each of its values through each loop */
    u32 reserved;
    struct pl_record_exec exec;
    char data[SCRATCH];
};

/* One a processor: the program is not preempted. The loader sets how many. */
struct {
    __uint(type, BPF_MAP_TYPE_ARRAY);
    __uint(max_entries, 1);
    __type(key, u32);
    __type(value, struct scratch);
} scratches SEC(".maps");

/* Shared with the reader through memory. */
unsigned int reader_sleeps = 0;          /* it wants to be woken once */
unsigned long long lost = 0;             /* records that found no room, ever */
unsigned long long wake_above = 2 << 20; /* bytes that wait: the reader is late, whatever it said */

static __always_inline u64 wake_flag(void)
{
    if (reader_sleeps) {
        reader_sleeps = 0;
        return BPF_RB_FORCE_WAKEUP;
    }
    return bpf_ringbuf_query(&ring, BPF_RB_AVAIL_DATA) > wake_above ? BPF_RB_FORCE_WAKEUP : BPF_RB_NO_WAKEUP;
}

static __always_inline void fill_head(struct pl_record_head *head, u32 kind, struct task_struct *task)
{
    head->kind = kind;
    head->flags = BPF_CORE_READ(task, flags) & PF_KTHREAD ? PL_RECORD_KTHREAD : 0;
    head->pid = BPF_CORE_READ(task, tgid);
    head->ppid = BPF_CORE_READ(task, real_parent, tgid);
    head->boottime_ns = bpf_ktime_get_boot_ns();
    head->start_ns = BPF_CORE_READ(task, group_leader, start_boottime);
}

/* Appends one string of at most `most` bytes. False: nothing was appended. */
static __always_inline bool append(struct scratch *s, u32 most, const void *from)
{
    u32 end = s->end;

    if (end > DATA_MAX)
        return false;
    long n = bpf_probe_read_kernel_str(&s->data[end], most, from);
    if (n <= 0)
        return false;
    s->end = end + n;
    return true;
}

/* Appends the components of a path, last one first. Returns `cut` if they are not all there, else 0. */
static __always_inline u32 append_path(struct scratch *s, struct dentry *dentry, struct vfsmount *vfsmount, u32 cut)
{
    struct mount *mount = (void *)vfsmount - bpf_core_field_offset(struct mount, mnt);

    for (u32 i = 0; i < PL_RECORD_DEPTH; i++) {
        struct dentry *parent = BPF_CORE_READ(dentry, d_parent);
        if (dentry == BPF_CORE_READ(mount, mnt.mnt_root)) {
            struct mount *up = BPF_CORE_READ(mount, mnt_parent);
            if (up == mount)
                return 0; /* the root of all */
            dentry = BPF_CORE_READ(mount, mnt_mountpoint);
            mount = up;
            continue;
        }
        /* Its own parent: not below the root of its mount, as a memfd, or a folder that was unmounted. */
        if (!append(s, PL_RECORD_NAME_MAX, BPF_CORE_READ(dentry, d_name.name)) || dentry == parent)
            return cut;
        dentry = parent;
    }
    return cut;
}

static __always_inline struct kernfs_node *parent_of(struct kernfs_node *node)
{
    struct kernfs_node___new *new = (void *)node;
    struct kernfs_node___old *old = (void *)node;

    return bpf_core_field_exists(new->__parent) ? BPF_CORE_READ(new, __parent) : BPF_CORE_READ(old, parent);
}

static __always_inline void append_cgroup(struct scratch *s, struct kernfs_node *node)
{
    for (u32 i = 0; i < 24 && node; i++) {
        struct kernfs_node *parent = parent_of(node);
        if (!parent || !append(s, PL_RECORD_NAME_MAX, BPF_CORE_READ(node, name)))
            return; /* the root has no name */
        node = parent;
    }
}

static __always_inline void fill_times(struct pl_record_inode *out, struct inode *inode)
{
    struct inode___split *split = (void *)inode;
    struct inode___hidden *hidden = (void *)inode;
    struct inode___plain *plain = (void *)inode;

    if (bpf_core_field_exists(split->i_ctime_sec)) {
        out->ctime_s = BPF_CORE_READ(split, i_ctime_sec);
        out->ctime_ns = BPF_CORE_READ(split, i_ctime_nsec);
    } else if (bpf_core_field_exists(hidden->__i_ctime)) {
        out->ctime_s = BPF_CORE_READ(hidden, __i_ctime.tv_sec);
        out->ctime_ns = BPF_CORE_READ(hidden, __i_ctime.tv_nsec);
    } else {
        out->ctime_s = BPF_CORE_READ(plain, i_ctime.tv_sec);
        out->ctime_ns = BPF_CORE_READ(plain, i_ctime.tv_nsec);
    }
    if (bpf_core_field_exists(split->i_mtime_sec)) {
        out->mtime_s = BPF_CORE_READ(split, i_mtime_sec);
        out->mtime_ns = BPF_CORE_READ(split, i_mtime_nsec);
    } else if (bpf_core_field_exists(hidden->__i_mtime)) {
        out->mtime_s = BPF_CORE_READ(hidden, __i_mtime.tv_sec);
        out->mtime_ns = BPF_CORE_READ(hidden, __i_mtime.tv_nsec);
    } else {
        out->mtime_s = BPF_CORE_READ(plain, i_mtime.tv_sec);
        out->mtime_ns = BPF_CORE_READ(plain, i_mtime.tv_nsec);
    }
    out->ctime_ns &= ~(1u << 31); /* a mark of the kernel's: somebody looked at this time */
    out->mtime_ns &= ~(1u << 31);
}

static __always_inline void fill_inode(struct pl_record_inode *out, struct inode *inode)
{
    struct super_block *sb = BPF_CORE_READ(inode, i_sb);

    out->inode = BPF_CORE_READ(inode, i_ino);
    out->size = BPF_CORE_READ(inode, i_size);
    out->generation = BPF_CORE_READ(inode, i_generation);
    out->nlink = BPF_CORE_READ(inode, i_nlink);
    out->mode = BPF_CORE_READ(inode, i_mode);
    out->uid = BPF_CORE_READ(inode, i_uid.val);
    out->gid = BPF_CORE_READ(inode, i_gid.val);
    out->dev = BPF_CORE_READ(sb, s_dev);
    out->magic = BPF_CORE_READ(sb, s_magic);
    BPF_CORE_READ_INTO(&out->uuid, sb, s_uuid);
    fill_times(out, inode);
}

static __always_inline u64 number_of(struct vfsmount *vfsmount)
{
    struct mount___numbered *mount = (void *)vfsmount - bpf_core_field_offset(struct mount, mnt);

    return bpf_core_field_exists(mount->mnt_id_unique) ? BPF_CORE_READ(mount, mnt_id_unique) : 0;
}

static __always_inline void fill_credentials(struct pl_record_exec *out, struct task_struct *task)
{
    const struct cred *cred = BPF_CORE_READ(task, cred);
    u64 permitted = 0, ambient = 0;

    out->uid = BPF_CORE_READ(cred, uid.val);
    out->euid = BPF_CORE_READ(cred, euid.val);
    out->suid = BPF_CORE_READ(cred, suid.val);
    out->gid = BPF_CORE_READ(cred, gid.val);
    out->egid = BPF_CORE_READ(cred, egid.val);
    out->auid = bpf_core_field_exists(task->loginuid) ? BPF_CORE_READ(task, loginuid.val) : ~0u;
    out->session = bpf_core_field_exists(task->sessionid) ? BPF_CORE_READ(task, sessionid) : ~0u;
    BPF_CORE_READ_INTO(&permitted, cred, cap_permitted);
    BPF_CORE_READ_INTO(&ambient, cred, cap_ambient);
    if (out->euid != 0 && (permitted & ~ambient))
        out->head.flags |= PL_RECORD_CAPS;
}

static __always_inline void append_argv(struct scratch *s, struct task_struct *task)
{
    u64 start = BPF_CORE_READ(task, mm, arg_start), length = BPF_CORE_READ(task, mm, arg_end) - start;
    u32 end = s->end;

    if (length > PL_RECORD_ARGV_MAX) {
        length = PL_RECORD_ARGV_MAX;
        s->exec.head.flags |= PL_RECORD_ARGV_CUT;
    }
    if (end <= SCRATCH - PL_RECORD_ARGV_MAX && bpf_probe_read_user(&s->data[end], length, (const void *)start) == 0)
        s->end = end + length;
    else
        s->exec.head.flags |= PL_RECORD_ARGV_CUT;
}

static __always_inline int put(const void *record, u64 size)
{
    if (bpf_ringbuf_output(&ring, (void *)record, size, wake_flag()) == 0)
        return 0;
    return -1;
}

SEC("tp_btf/sched_process_exec")
int BPF_PROG(on_exec, struct task_struct *task, int old_pid, struct linux_binprm *bprm)
{
    u32 processor = bpf_get_smp_processor_id(), begin, end;
    struct scratch *s = bpf_map_lookup_elem(&scratches, &processor);
    struct file *file = BPF_CORE_READ(bprm, file);
    struct dentry *dentry = BPF_CORE_READ(file, f_path.dentry);
    struct tty_struct *tty = BPF_CORE_READ(task, signal, tty);

    if (!s) {
        __sync_fetch_and_add(&lost, 1);
        return 0;
    }
    fill_head(&s->exec.head, PL_RECORD_EXEC, task);
    fill_inode(&s->exec.inode, BPF_CORE_READ(file, f_inode));
    s->exec.inode.mount_id = number_of(BPF_CORE_READ(file, f_path.mnt));
    fill_credentials(&s->exec, task);
    s->exec.tty = 0;
    if (tty) {
        u32 minor = BPF_CORE_READ(tty, driver, minor_start) + BPF_CORE_READ(tty, index);
        s->exec.tty = (minor & 0xff) | BPF_CORE_READ(tty, driver, major) << 8 | (minor & ~0xffu) << 12;
    }
    s->exec.mnt_ns = BPF_CORE_READ(task, nsproxy, mnt_ns, ns.inum);
    BPF_CORE_READ_STR_INTO(&s->exec.comm, task, comm);
    if (!BPF_CORE_READ(dentry, d_hash.pprev))
        s->exec.head.flags |= PL_RECORD_UNLINKED;

    s->end = 0;
    (void)append(s, PL_RECORD_PATH_MAX, BPF_CORE_READ(bprm, filename));
    s->exec.filename_length = begin = s->end;
    (void)append(s, PL_RECORD_PATH_MAX, BPF_CORE_READ(bprm, interp));
    s->exec.interp_length = s->end - begin;
    begin = s->end;
    s->exec.head.flags |= append_path(s, dentry, BPF_CORE_READ(file, f_path.mnt), PL_RECORD_EXE_CUT);
    s->exec.exe_length = s->end - begin;
    begin = s->end;
    s->exec.head.flags |=
        append_path(s, BPF_CORE_READ(task, fs, pwd.dentry), BPF_CORE_READ(task, fs, pwd.mnt), PL_RECORD_CWD_CUT);
    s->exec.cwd_length = s->end - begin;
    begin = s->end;
    append_cgroup(s, BPF_CORE_READ(task, cgroups, dfl_cgrp, kn));
    s->exec.cgroup_length = s->end - begin;
    begin = s->end;
    append_argv(s, task);
    end = s->end;
    s->exec.argv_length = end - begin;

    if (end <= SCRATCH && put(&s->exec, sizeof(s->exec) + end) == 0)
        return 0;
    /* No room for all of it: at least what happened, and that something is missing. */
    s->exec.argv_length = 0;
    s->exec.head.flags |= PL_RECORD_ARGV_CUT;
    if (begin <= SCRATCH && put(&s->exec, sizeof(s->exec) + begin) == 0)
        return 0;
    __sync_fetch_and_add(&lost, 1);
    return 0;
}

SEC("tp_btf/sched_process_exit")
int BPF_PROG(on_exit, struct task_struct *task)
{
    struct pl_record_exit record = {0};
    struct signal_struct *signal = BPF_CORE_READ(task, signal);

    /* The last thread of the process ends it, whichever that is; the leader's status is that of the process. */
    if (BPF_CORE_READ(signal, live.counter) != 0)
        return 0;
    fill_head(&record.head, PL_RECORD_EXIT, task);
    record.status = BPF_CORE_READ(signal, flags) & SIGNAL_GROUP_EXIT ? BPF_CORE_READ(signal, group_exit_code)
                                                                     : BPF_CORE_READ(task, group_leader, exit_code);
    if (put(&record, sizeof(record)) != 0)
        __sync_fetch_and_add(&lost, 1);
    return 0;
}

SEC("tp_btf/sched_process_fork")
int BPF_PROG(on_fork, struct task_struct *parent, struct task_struct *child)
{
    struct pl_record_head record;

    if (BPF_CORE_READ(child, pid) != BPF_CORE_READ(child, tgid))
        return 0; /* a thread */
    __builtin_memset(&record, 0, sizeof(record));
    fill_head(&record, PL_RECORD_FORK, child);
    record.start_ns = BPF_CORE_READ(child, start_boottime);
    if (put(&record, sizeof(record)) != 0)
        __sync_fetch_and_add(&lost, 1);
    return 0;
}

/* The kernel asks before it lends its helpers; the LGPL lets its code be taken under the GPL. */
char license_of_this[] SEC("license") = "GPL";

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * procledger: a trusted checksum of an executable, and what ran with it.
 *
 * Every int-returning call answers 0 (served), a positive PL_* outcome (a state of the file, to be handled:
 * the output holds what is known) or a negative PL_ERR_* code (the call failed: outputs are untouched and
 * pl_error_message() says why). Sizes are bytes, times are nanoseconds unless the name says otherwise.
 * Strings are NUL-terminated; paths are bytes, not text.
 */
#ifndef PROCLEDGER_PROCLEDGER_H
#define PROCLEDGER_PROCLEDGER_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#ifdef __cplusplus
extern "C" {
#endif

#define PL_API __attribute__((visibility("default")))

/* One table for codes, names and texts. */
#define PL_CODES(X)                                                                                                    \
    X(PL_OK, 0, "ok")                                                                                                  \
    X(PL_PENDING, 1, "not known yet")                                                                                  \
    X(PL_VANISHED, 2, "the file is gone")                                                                              \
    X(PL_UNREADABLE, 3, "the file cannot be read")                                                                     \
    X(PL_TOO_BIG, 4, "the file is larger than the limit")                                                              \
    X(PL_UNSTABLE, 5, "the file kept changing while it was read")                                                      \
    X(PL_NOT_REGULAR, 6, "not a regular file")                                                                         \
    X(PL_ERR_NOMEM, -1, "out of memory")                                                                               \
    X(PL_ERR_INVALID, -2, "invalid argument")                                                                          \
    X(PL_ERR_IO, -3, "input/output error")                                                                             \
    X(PL_ERR_SYSTEM, -4, "a system call failed")                                                                       \
    X(PL_ERR_PERMISSION, -5, "permission denied")                                                                      \
    X(PL_ERR_NOT_FOUND, -6, "no such ledger")                                                                          \
    X(PL_ERR_UNSAFE, -7, "the ledger or its folder can be written by others")                                          \
    X(PL_ERR_LOCKED, -8, "another recorder has this ledger")                                                           \
    X(PL_ERR_BUSY, -9, "the ledger is busy")                                                                           \
    X(PL_ERR_FULL, -10, "no space left")                                                                               \
    X(PL_ERR_DAMAGED, -11, "the ledger is damaged, or not a ledger")                                                   \
    X(PL_ERR_NEWER, -12, "the ledger was made by a newer program")                                                     \
    X(PL_ERR_READ_ONLY, -13, "the ledger is on a read-only file system")                                               \
    X(PL_ERR_QUEUE_FULL, -14, "the queue is full")                                                                     \
    X(PL_ERR_UNSUPPORTED, -15, "not supported here")                                                                   \
    X(PL_ERR_CLOSED, -16, "closed while waiting")

enum pl_code {
#define PL_CODE_ENUM(name, value, text) name = value,
    PL_CODES(PL_CODE_ENUM)
#undef PL_CODE_ENUM
};

/* Digest algorithms; values are bits so that sets are masks. sha256 is always computed. */
typedef enum pl_algorithm {
    PL_SHA256 = 1,
    PL_MD5 = 2,
    PL_SHA1 = 4,
    PL_SHA512 = 8,
} pl_algorithm;
#define PL_ALGORITHM_COUNT 4
#define PL_DIGEST_MAX 64

typedef struct pl_digest {
    uint32_t algorithm; /* pl_algorithm; 0: this slot is empty */
    uint32_t length;    /* bytes used */
    uint8_t bytes[PL_DIGEST_MAX];
} pl_digest;

/* Where an answer came from. */
typedef enum pl_answer_source {
    PL_SOURCE_NONE = 0,
    PL_SOURCE_HOT = 1,
    PL_SOURCE_LEDGER = 2,
    PL_SOURCE_COMPUTED = 3,
} pl_answer_source;

/* What stands behind an answer: a writer probe saw that nobody could write, or only stat before and after. */
typedef enum pl_assurance {
    PL_ASSURANCE_NONE = 0,
    PL_ASSURANCE_STAT = 1,
    PL_ASSURANCE_PROBED = 2,
} pl_assurance;

/* What a checksum is bound to, as statx(2) shows it. */
typedef struct pl_identity {
    uint64_t inode;
    uint64_t size;
    int64_t mtime_ns; /* since the epoch */
    int64_t ctime_ns;
    int64_t btime_ns; /* 0: the file system has none */
    uint32_t dev_major, dev_minor;
    uint32_t mode; /* st_mode, type included */
    uint32_t nlink;
    uint32_t uid, gid;
    uint64_t mount_id; /* of the mount that it was seen through, never used again in a boot; 0: not known */
} pl_identity;

typedef struct pl_checksum {
    size_t struct_size; /* set by the caller: sizeof(pl_checksum) */
    uint32_t source;    /* pl_answer_source */
    uint32_t assurance; /* pl_assurance */
    pl_identity identity;
    pl_digest digests[PL_ALGORITHM_COUNT]; /* [0] is sha256 when the call returned 0; others follow in no order */
} pl_checksum;

/* Flags of the checksum calls. */
#define PL_NOREAD 1u   /* answer from memory or the ledger, else PL_PENDING */
#define PL_NOFOLLOW 2u /* do not follow a symbolic link in the last component */

typedef struct pl_options {
    size_t struct_size;     /* set by the caller: sizeof(pl_options) */
    uint32_t algorithms;    /* mask of pl_algorithm; sha256 is added */
    uint32_t min_assurance; /* least pl_assurance that may be cached; 0 means PL_ASSURANCE_PROBED */
    uint32_t workers;       /* hash threads; 0: one a core */
    uint32_t reserved;
    uint64_t max_file_size; /* bytes; larger files are PL_TOO_BIG; 0: no limit */
} pl_options;

/* Counters since pl_open. */
typedef struct pl_stats {
    size_t struct_size; /* set by the caller: sizeof(pl_stats) */
    uint64_t hits_hot, hits_ledger, files_hashed, bytes_hashed, failures, evictions, entries, watches;
} pl_stats;

typedef struct pl_ledger pl_ledger;

/*
 * Opens a ledger for reading and writing, creating the file (0640) where there is none. Blocks on the file's locks for
 * at most 5 s. Starts the hash threads, their monitor and one writer thread, all signals blocked in them; a large file
 * gets one more for as long as it is read. A forked child may only call pl_close, which
 * does nothing there: threads and locks are the parent's.
 *   path     NULL: $PROCLEDGER_DB, else /var/lib/procledger/ledger.db for root, else
 *            $XDG_STATE_HOME/procledger/ledger.db or ~/.local/state/procledger/ledger.db
 *   options  NULL: the defaults
 * Returns 0, or a negative code. *out is freed with pl_close.
 */
PL_API int pl_open(const char *path, const pl_options *options, pl_ledger **out);
/* Waits for what is queued to be committed. NULL is fine; returns NULL. */
PL_API pl_ledger *pl_close(pl_ledger *ledger);

/*
 * The checksum of the bytes that `path` names now. Blocks while the file is read, unless PL_NOREAD. Any
 * thread.
 */
PL_API int pl_checksum_path(pl_ledger *ledger, const char *path, uint32_t flags, pl_checksum *out);
/*
 * The same for n paths, read in parallel. codes[i] is what pl_checksum_path would have returned for paths[i];
 * the call itself fails only for what concerns all of them.
 */
PL_API int pl_checksum_paths(pl_ledger *ledger, const char *const *paths, size_t n, uint32_t flags, pl_checksum *out,
                             int *codes);
/* The same for an open descriptor, which is neither moved nor closed. */
PL_API int pl_checksum_fd(pl_ledger *ledger, int fd, uint32_t flags, pl_checksum *out);
PL_API int pl_stats_get(pl_ledger *ledger, pl_stats *out);

/* A constant, never NULL, also for unknown codes. */
PL_API const char *pl_strerror(int code);
/* This thread's last failure, at most 511 bytes, "" if there was none. Valid until this thread's next call. */
PL_API const char *pl_error_message(void);
/* Lower-case hex and a NUL; returns the number of hex digits. */
PL_API int pl_hex(const pl_digest *digest, char out[129]);

#ifdef __cplusplus
}
#endif
#endif

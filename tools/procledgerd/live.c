/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * One line per execution: local time, pid, uid, first 16 digits of the sha256 (or why there is none), command
 * line. Everything that a process chose is escaped. Owns nothing; each line is one write, so that a pipe sees
 * each at once.
 */
#include "tools/procledgerd/live.h"

#include "src/base/text.h"

#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define LINE_ARGV_MAX 512
#define LINE_MAX_BYTES 2048

static const char *state_text(pl_hash_state state)
{
    static const char *const texts[] = {
        [PL_HASH_PENDING] = "-",
        [PL_HASH_OK] = "ok",
        [PL_HASH_UNREADABLE] = "unreadable",
        [PL_HASH_VANISHED] = "vanished",
        [PL_HASH_TOO_BIG] = "too-big",
        [PL_HASH_UNSTABLE] = "unstable",
        [PL_HASH_NONE] = "-",
    };

    return texts[state];
}

/* One line in one write, or none. A pipe with room takes LINE_MAX_BYTES without waiting (PIPE_BUF), a terminal that is
 * stopped says that it has none. */
__attribute__((format(printf, 2, 3))) static void put_line(pl_live *live, const char *format, ...)
{
    struct pollfd out = {.fd = STDOUT_FILENO, .events = POLLOUT};
    char line[LINE_MAX_BYTES], told[64];
    va_list args;

    if (poll(&out, 1, 0) != 1 || !(out.revents & POLLOUT)) {
        live->left_out++;
        return;
    }
    if (live->left_out) {
        int n = snprintf(told, sizeof(told), "... %llu executions not shown\n", (unsigned long long)live->left_out);
        live->left_out = 0;
        (void)!write(STDOUT_FILENO, told, (size_t)n);
    }
    va_start(args, format);
    int n = vsnprintf(line, sizeof(line), format, args);
    va_end(args);
    if (n > 0)
        (void)!write(STDOUT_FILENO, line, (size_t)n < sizeof(line) ? (size_t)n : sizeof(line) - 1);
}

void pl_live_print(void *context, const pl_live_execution *e)
{
    pl_live *live = context;
    char clock[16], uid[12] = "-", hash[129], path[512], words[LINE_ARGV_MAX], argv[2 * LINE_ARGV_MAX];
    time_t seconds = (time_t)(e->time_ns / PL_NS_PER_S);
    struct tm tm;

    (void)strftime(clock, sizeof(clock), "%H:%M:%S", localtime_r(&seconds, &tm));
    if (e->uid != PL_NO_ID)
        (void)snprintf(uid, sizeof(uid), "%u", e->uid);
    if (e->hash_state == PL_HASH_OK) {
        (void)pl_hex(&e->digests.digests[0], hash);
        hash[16] = '\0';
    } else {
        (void)snprintf(hash, sizeof(hash), "%s", state_text(e->hash_state));
    }
    (void)pl_text_escape_into(e->path ? e->path : "?", e->path ? strlen(e->path) : 1, path, sizeof(path));
    size_t n = e->argv_length < sizeof(words) ? e->argv_length : sizeof(words);
    /* argv[0] repeats the path: only what follows it is shown. */
    size_t skip = n ? strnlen(e->argv, n) : 0;
    if (n)
        memcpy(words, e->argv, n);
    for (size_t i = 0; i + 1 < n; i++)
        if (words[i] == '\0')
            words[i] = ' ';
    if (n && words[n - 1] == '\0')
        n--;
    (void)pl_text_escape_into(words + skip, n > skip ? n - skip : 0, argv, sizeof(argv));
    put_line(live, "%s.%03d %7d %5s  %-16s  %s%s%s\n", clock, (int)(e->time_ns % PL_NS_PER_S / PL_NS_PER_MS),
             (int)e->pid, uid, hash, path, argv, e->argv_length > sizeof(words) ? " ..." : "");
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Protocol: sd_notify(3), "standalone implementations". Owns nothing.
 */
#include "src/base/notify.h"

#include "src/base/cleanup.h"

#include <stddef.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>

void pl_notify_ready(void)
{
    static const char message[] = "READY=1";
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    const char *path = secure_getenv("NOTIFY_SOCKET");

    if (!path || (path[0] != '/' && path[0] != '@') || strlen(path) >= sizeof(address.sun_path))
        return;
    memcpy(address.sun_path, path, strlen(path));
    if (path[0] == '@') /* the abstract name space */
        address.sun_path[0] = '\0';
    pl_auto_close int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return;
    (void)sendto(fd, message, sizeof(message) - 1, MSG_NOSIGNAL, (struct sockaddr *)&address,
                 (socklen_t)(offsetof(struct sockaddr_un, sun_path) + strlen(path)));
}

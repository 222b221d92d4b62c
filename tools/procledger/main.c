/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The program; everything is in the library beside it, where tests can call it. */
#include "tools/procledger/cli.h"

#include <signal.h>

int main(int argc, char **argv)
{
    (void)signal(SIGXFSZ, SIG_IGN); /* a limit on the size of files is a full disk, not an end */
    return pl_cli_main(argc, argv);
}

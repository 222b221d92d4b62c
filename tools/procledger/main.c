/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The program; everything is in the library beside it, where tests can call it. */
#include "tools/procledger/cli.h"

int main(int argc, char **argv)
{
    return pl_cli_main(argc, argv);
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Source bpf in a build without clang, bpftool or libbpf: it says so, and the next best one is taken.
 */
#include "src/process/source.h"

#include "src/base/error.h"

static int none_open(const pl_source_options *options, pl_source **out)
{
    (void)options, (void)out;
    return pl_error_set(PL_ERR_UNSUPPORTED, "source bpf is not in this build (clang, bpftool and libbpf were missing)");
}

static int none_fd(const pl_source *source)
{
    (void)source;
    return -1;
}

static int none_dispatch(pl_source *source)
{
    (void)source;
    return pl_error_set(PL_ERR_UNSUPPORTED, "source bpf is not in this build");
}

static pl_source *none_close(pl_source *source)
{
    (void)source;
    return NULL;
}

const pl_source_class pl_source_bpf = {
    .name = "bpf",
    .lacks = "everything: it is not in this build",
    .open = none_open,
    .fd = none_fd,
    .dispatch = none_dispatch,
    .close = none_close,
};

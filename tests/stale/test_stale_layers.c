/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Cases 24 to 26 and 43: file systems on file systems. Layers that are edited below an overlay, which hears nothing of it;
 * a writable mapping of what is executed, which an overlay allows; an image that changes through its mount.
 */
#include "tests/stale/stale.h"

#include "src/base/cleanup.h"
#include "tests/support/temp_dir.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* --- 24, 25, 26: an overlay and its layers ------------------------------------------------------------------------ */

/* A file that the lower layer has, asked for through the overlay. */
static const char *lower_file(stale *s, const char *layers, const char *name)
{
    char below[512];

    (void)snprintf(below, sizeof(below), "%s/lower/%s", layers + strlen(s->folder) + 1, name);
    (void)stale_file(s, below, 1);
    (void)snprintf(below, sizeof(below), "merged/%s", name);
    return stale_path(s, layers, below);
}

static void copy_up_then_write(stale *s)
{
    const char *layers = stale_overlay(s, "layers"), *path = lower_file(s, layers, "f");
    struct stat before, after;

    stale_cached(s, path);
    assert_return_code(stat(path, &before), errno);
    stale_poke_hidden(path, 0, 10, 2);
    assert_return_code(stat(path, &after), errno);
    assert_int_equal(after.st_size, before.st_size);
    stale_changed(s, path);
    (void)stale_ask(s, path);
    stale_poke_hidden(path, 0, 10, 3);
    stale_changed(s, path);
    stale_cached(s, path);
}

static void test_case_24_overlay_copy_up_then_write(void **state)
{
    stale_each(state, STALE_EXT4 | STALE_XFS, copy_up_then_write);
}

/* Through an overlay a program can be executed although somebody can write to it. */
static void mapping_held_over_exec(stale *s)
{
    const char *layers = stale_overlay(s, "layers"), *program = stale_program(s, "program", 1),
               *path = stale_path(s, layers, "merged/program"), *upper = stale_path(s, layers, "upper/program");

    assert_return_code(rename(program, upper), errno);
    int touch = stale_open(path, O_RDWR);
    (void)close(touch);
    char *map = stale_map(s, path);
    char *last = map + s->map_length - 1;
    *last ^= 1;
    pid_t pid = stale_start(s, path, NULL);
    const char *exe = stale_exe(s, pid);
    stale_settle(path);
    (void)stale_ask(s, exe);
    (void)stale_ask(s, exe);
    for (int i = 0; i < 4; i++) {
        *last ^= (char)(2 << i);
        stale_right(s, exe);
        (void)stale_ask(s, path);
    }
    stale_settle(path);
    (void)stale_ask(s, exe);
    *last ^= 1;
    stale_right(s, exe);
}

static void test_case_25_overlay_writable_mapping_held_over_exec(void **state)
{
    stale_each(state, STALE_EXT4, mapping_held_over_exec);
}

static void lower_layer_edited(stale *s)
{
    const char *layers = stale_overlay(s, "layers"), *path = lower_file(s, layers, "f"),
               *below = stale_path(s, layers, "lower/f");

    stale_cached(s, path);
    stale_poke_hidden(below, 0, 10, 2);
    stale_changed(s, path);
    /* And through a mapping of it that is dirty while it is hashed through the overlay. */
    char *map = stale_map(s, below);
    map[0] ^= 1;
    stale_settle(path);
    (void)stale_ask(s, path);
    (void)stale_ask(s, path);
    for (int i = 1; i < 4; i++) {
        map[i] ^= 1;
        stale_right(s, path);
    }
}

static void test_case_26_overlay_lower_layer_edited_directly(void **state)
{
    stale_each(state, STALE_EXT4 | STALE_XFS, lower_layer_edited);
}

/* --- 43: an image, written through its mount ---------------------------------------------------------------------- */

static void image_written_through_its_mount(stale *s)
{
    pl_loop_fs_options options = {.type = "ext4"};
    pl_loop_fs *fs = stale_own_fs(s, &options);
    const char *top = pl_loop_fs_top(fs), *inside = stale_path(s, top, "f");
    pl_auto_free char *folder = strndup(top, (size_t)(strrchr(top, '/') - top));
    const char *image = stale_path(s, folder, "image");
    struct stat before, after;

    stale_settle(image);
    stale_uncached(s, image); /* the loop device has it open for writing */
    for (int i = 0; i < 2; i++) {
        unsigned char bytes[STALE_SIZE];
        stale_fill(bytes, sizeof(bytes), (unsigned)i);
        pl_temp_write(inside, bytes, sizeof(bytes), 0644);
        int fd = stale_open(inside, O_RDWR);
        assert_return_code(syncfs(fd), errno);
        (void)close(fd);
        stale_right(s, image);
        stale_right(s, inside);
    }
    /* Detached, it is a file as any other; attached again and written to, it is not. */
    assert_return_code(stat(image, &before), errno);
    assert_true(pl_loop_fs_unmount(fs));
    s->n_own--;
    (void)pl_loop_fs_free(fs);
    stale_cached(s, image);
    assert_return_code(stat(image, &after), errno);
    assert_int_equal(after.st_size, before.st_size);
}

static void test_case_43_loop_image_written_through_its_mount(void **state)
{
    stale_each(state, STALE_DISK, image_written_through_its_mount);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        STALE_CASE(test_case_24_overlay_copy_up_then_write),
        STALE_CASE(test_case_25_overlay_writable_mapping_held_over_exec),
        STALE_CASE(test_case_26_overlay_lower_layer_edited_directly),
        STALE_CASE(test_case_43_loop_image_written_through_its_mount),
    };

    return cmocka_run_group_tests_name("stale layers", tests, stale_group_setup, stale_group_teardown);
}

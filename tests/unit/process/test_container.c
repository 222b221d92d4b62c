/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "src/process/container.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>
#include <procledger/procledger.h>

#include "tests/support/fault.h"

#define ID "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
#define ID2 "ffff456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

static void check(const char *cgroup, const char *expected)
{
    char *id = (char *)-1;

    assert_int_equal(pl_container_of_cgroup(cgroup, &id), 0);
    if (expected) {
        assert_non_null(id);
        assert_string_equal(id, expected);
    } else {
        assert_null(id);
    }
    free(id);
}

static void test_engines(void **state)
{
    (void)state;
    check("/system.slice/docker-" ID ".scope", ID);
    check("/docker/" ID, ID);
    check("/kubepods.slice/kubepods-pod1.slice/cri-containerd-" ID ".scope", ID);
    check("/kubepods-burstable-pod1.slice:cri-containerd:" ID, ID);
    check("/kubepods/burstable/pod4711/" ID, ID);
    check("/kubepods.slice/crio-" ID ".scope/container", ID);
    check("/machine.slice/libpod-" ID ".scope", ID);
}

static void test_monitors_are_outside(void **state)
{
    (void)state;
    check("/machine.slice/libpod-conmon-" ID ".scope", NULL);
    check("/lxc.monitor.web", NULL);
}

static void test_lxc(void **state)
{
    (void)state;
    check("/lxc/web", "web");
    check("/lxc.payload/web/system.slice", "web");
    check("/lxc.payload.web/init.scope", "web");
}

static void test_nspawn(void **state)
{
    (void)state;
    check("/machine.slice/machine-debian.scope", "debian");
    check("/machine.slice/machine-my\\x2dbox.scope/payload", "my-box");
    check("/machine.slice/systemd-nspawn@box.service/payload", "box");
    check("/machine.slice/machine-qemu\\x2d1\\x2dvm.scope", NULL);
    check("/machine.slice/machine-a\\x00b\\xzz.scope", "a\\x00b\\xzz");
}

static void test_innermost_wins(void **state)
{
    (void)state;
    check("/docker/" ID "/docker/" ID2 "/user.slice", ID2);
}

static void test_none(void **state)
{
    (void)state;
    check(NULL, NULL);
    check("", NULL);
    check("/", NULL);
    check("/user.slice/user-1000.slice/session-3.scope", NULL);
    check("/lxc/", NULL);
    check("/machine-.scope", NULL);
    check("/x0" ID, NULL); /* a longer number */
    check("/docker-" ID "0.scope/abc", NULL);
    check("/0123456789ABCDEF0123456789abcdef0123456789abcdef0123456789abcdef", NULL);
}

static void test_no_memory(void **state)
{
    char *id = (char *)-1;

    (void)state;
    pl_fault_arm(PL_FAULT_ALLOC, 1, ENOMEM);
    int rc = pl_container_of_cgroup("/docker/" ID, &id);
    pl_fault_disarm();
    assert_int_equal(rc, PL_ERR_NOMEM);
    assert_ptr_equal(id, (char *)-1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_engines),   cmocka_unit_test(test_monitors_are_outside), cmocka_unit_test(test_lxc),
        cmocka_unit_test(test_nspawn),    cmocka_unit_test(test_innermost_wins),       cmocka_unit_test(test_none),
        cmocka_unit_test(test_no_memory),
    };

    return cmocka_run_group_tests_name("container", tests, NULL, NULL);
}

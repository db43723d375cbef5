# SPDX-License-Identifier: GPL-2.0-or-later
noinst_LIBRARIES += libhost.a
libhost_a_CPPFLAGS = $(AM_CPPFLAGS) $(JANSSON_CFLAGS) $(SYSTEMD_CFLAGS) $(UDEV_CFLAGS) $(LIBPCI_CFLAGS)
libhost_a_SOURCES = \
	daemon/host/debugfs-text.c daemon/host/debugfs-text.h \
	daemon/host/gpu-read.c daemon/host/gpu-read.h \
	daemon/host/helper-channel.c daemon/host/helper-channel.h \
	daemon/host/helper-internal.h daemon/host/helper-main.c daemon/host/helper-scan.c \
	daemon/host/helper-spawn.c daemon/host/helper-spawn.h \
	daemon/host/helper.c \
	daemon/host/holders.c daemon/host/holders.h \
	daemon/host/host-message.c daemon/host/host-ops.h \
	daemon/host/kernel-words.c daemon/host/kernel-words.h \
	daemon/host/pci-scan.c daemon/host/pci-scan.h \
	daemon/host/sleep-lock.c daemon/host/sleep-lock.h \
	daemon/host/sriov.c daemon/host/sriov.h \
	daemon/host/sysfs.c daemon/host/sysfs.h \
	daemon/host/udev-monitor.c daemon/host/udev-monitor.h \
	daemon/host/vf-control-generic.c daemon/host/vf-control-i915.c \
	daemon/host/vf-control-xe-debugfs.c daemon/host/vf-control-xe.c \
	daemon/host/vf-control.c daemon/host/vf-control.h \
	daemon/host/vf-tree.c daemon/host/vf-tree.h \
	daemon/host/vfio-alias.c daemon/host/vfio-alias.h \
	daemon/host/vfio.c daemon/host/vfio.h

if HAVE_CMOCKA
HOST_TEST_LIBS = libhost.a libcore.a liblog.a libgpuvf.a $(TEST_LIBS) $(LIBPCI_LIBS) $(UDEV_LIBS) \
	$(SYSTEMD_LIBS) $(JANSSON_LIBS)
FAKE_GPU = tests/support/fake-gpu.c tests/support/fake-gpu.h
HOST_TESTS = tests/unit/test-gpu-read tests/unit/test-helper tests/unit/test-holders \
	tests/unit/test-host-message tests/unit/test-kernel-words tests/unit/test-sysfs \
	tests/unit/test-vf-control tests/unit/test-vf-ways tests/unit/test-vfio tests/unit/test-vfio-alias
check_PROGRAMS += $(HOST_TESTS)
TESTS += $(HOST_TESTS)
tests_unit_test_gpu_read_SOURCES = tests/unit/test-gpu-read.c $(FAKE_GPU)
tests_unit_test_gpu_read_LDADD = $(HOST_TEST_LIBS)
tests_unit_test_helper_SOURCES = tests/unit/test-helper.c $(FAKE_GPU)
tests_unit_test_helper_LDADD = $(HOST_TEST_LIBS)
tests_unit_test_holders_SOURCES = tests/unit/test-holders.c $(FAKE_GPU)
tests_unit_test_holders_LDADD = $(HOST_TEST_LIBS)
tests_unit_test_host_message_SOURCES = tests/unit/test-host-message.c $(FAKE_GPU)
tests_unit_test_host_message_LDADD = $(HOST_TEST_LIBS)
tests_unit_test_kernel_words_SOURCES = tests/unit/test-kernel-words.c
tests_unit_test_kernel_words_LDADD = $(HOST_TEST_LIBS)
tests_unit_test_sysfs_SOURCES = tests/unit/test-sysfs.c $(FAKE_GPU)
tests_unit_test_sysfs_LDADD = $(HOST_TEST_LIBS)
tests_unit_test_vf_control_SOURCES = tests/unit/test-vf-control.c $(FAKE_GPU)
tests_unit_test_vf_control_LDFLAGS = $(AM_LDFLAGS) -Wl,--wrap=sysfs_try_write
tests_unit_test_vf_control_LDADD = $(HOST_TEST_LIBS)
tests_unit_test_vf_ways_SOURCES = tests/unit/test-vf-ways.c $(FAKE_GPU)
tests_unit_test_vf_ways_LDADD = $(HOST_TEST_LIBS)
tests_unit_test_vfio_SOURCES = tests/unit/test-vfio.c $(FAKE_GPU)
tests_unit_test_vfio_LDADD = $(HOST_TEST_LIBS)
tests_unit_test_vfio_alias_SOURCES = tests/unit/test-vfio-alias.c
tests_unit_test_vfio_alias_LDADD = $(HOST_TEST_LIBS)

if HAVE_UMOCKDEV
check_PROGRAMS += tests/unit/test-udev-monitor
TESTS += tests/unit/test-udev-monitor
tests_unit_test_udev_monitor_CPPFLAGS = $(AM_CPPFLAGS) $(UMOCKDEV_CFLAGS)
tests_unit_test_udev_monitor_SOURCES = tests/unit/test-udev-monitor.c
tests_unit_test_udev_monitor_LDFLAGS = $(AM_LDFLAGS) -Wl,--wrap=udev_monitor_receive_device
tests_unit_test_udev_monitor_LDADD = $(HOST_TEST_LIBS) $(UMOCKDEV_LIBS)
endif
endif

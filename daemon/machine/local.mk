# SPDX-License-Identifier: GPL-2.0-or-later
# machine-*: the daemon's side.  sim-*: the made-up machine, a program of its own.
noinst_LIBRARIES += libmachine.a libsim.a
libmachine_a_CPPFLAGS = $(AM_CPPFLAGS) $(JANSSON_CFLAGS) $(SYSTEMD_CFLAGS)
libmachine_a_SOURCES = \
	daemon/machine/machine-client-host.c \
	daemon/machine/machine-client-hypervisor.c \
	daemon/machine/machine-client-spawn.c \
	daemon/machine/machine-client.c daemon/machine/machine-client.h \
	daemon/machine/machine-message.c daemon/machine/machine-message.h \
	daemon/machine/machine-ops.h \
	daemon/machine/sim-wire.c daemon/machine/sim-wire.h

libsim_a_CPPFLAGS = $(AM_CPPFLAGS) $(JANSSON_CFLAGS) $(SYSTEMD_CFLAGS)
libsim_a_SOURCES = \
	daemon/machine/sim-agent-file.c \
	daemon/machine/sim-agent-internal.h \
	daemon/machine/sim-agent.c daemon/machine/sim-agent.h \
	daemon/machine/sim-control-host.c daemon/machine/sim-control-internal.h \
	daemon/machine/sim-control.c \
	daemon/machine/sim-document-gpu.c daemon/machine/sim-document-internal.h \
	daemon/machine/sim-document.c daemon/machine/sim-document.h \
	daemon/machine/sim-domain.c \
	daemon/machine/sim-facts.c \
	daemon/machine/sim-fault.c daemon/machine/sim-fault.h \
	daemon/machine/sim-guest-tree.c daemon/machine/sim-guest-tree.h \
	daemon/machine/sim-guest.c daemon/machine/sim-guest.h \
	daemon/machine/sim-host.c \
	daemon/machine/sim-hypervisor.c daemon/machine/sim-hypervisor.h \
	daemon/machine/sim-kernel.c daemon/machine/sim-kernel.h \
	daemon/machine/sim-machine-internal.h \
	daemon/machine/sim-machine.c daemon/machine/sim-machine.h \
	daemon/machine/sim-opener.c daemon/machine/sim-opener.h \
	daemon/machine/sim-process.c daemon/machine/sim-process.h \
	daemon/machine/sim-provision.c daemon/machine/sim-provision.h \
	daemon/machine/sim-reserved.c daemon/machine/sim-reserved.h \
	daemon/machine/sim-server.c daemon/machine/sim-server.h \
	daemon/machine/sim-stock.c daemon/machine/sim-turn.c \
	daemon/machine/sim-way.c daemon/machine/sim-way.h

SIM_LIBS = libsim.a libmachine.a libhypervisor.a libhost.a libcore.a libgpuvf.a
SIM_LIBADD = $(SYSTEMD_LIBS) $(JANSSON_LIBS)

bin_PROGRAMS += gpuvf-machine
gpuvf_machine_CPPFLAGS = $(AM_CPPFLAGS) $(JANSSON_CFLAGS) $(SYSTEMD_CFLAGS)
gpuvf_machine_SOURCES = daemon/machine/sim-main.c
gpuvf_machine_LDADD = $(SIM_LIBS) $(SIM_LIBADD)

EXTRA_DIST += docs/SIMULATION.md tests/data/simulations examples/simulation.json

if HAVE_CMOCKA
MACHINE_TESTS = \
	tests/unit/test-machine-client \
	tests/unit/test-sim-agent \
	tests/unit/test-sim-document \
	tests/unit/test-sim-hypervisor \
	tests/unit/test-sim-kernel \
	tests/unit/test-sim-reserved \
	tests/unit/test-sim-way
check_PROGRAMS += $(MACHINE_TESTS)
TESTS += $(MACHINE_TESTS)
endif
MACHINE_TEST_CPPFLAGS = $(AM_CPPFLAGS) $(JANSSON_CFLAGS) $(SYSTEMD_CFLAGS) $(CMOCKA_CFLAGS)
MACHINE_TEST_LDADD = $(SIM_LIBS) $(SIM_LIBADD) $(TEST_LIBS)

tests_unit_test_sim_document_SOURCES = tests/unit/test-sim-document.c
tests_unit_test_sim_document_CPPFLAGS = $(MACHINE_TEST_CPPFLAGS)
tests_unit_test_sim_document_LDADD = $(MACHINE_TEST_LDADD)

tests_unit_test_sim_kernel_SOURCES = tests/unit/test-sim-kernel.c
tests_unit_test_sim_kernel_CPPFLAGS = $(MACHINE_TEST_CPPFLAGS)
tests_unit_test_sim_kernel_LDADD = $(MACHINE_TEST_LDADD)

tests_unit_test_sim_reserved_SOURCES = tests/unit/test-sim-reserved.c
tests_unit_test_sim_reserved_CPPFLAGS = $(MACHINE_TEST_CPPFLAGS)
tests_unit_test_sim_reserved_LDADD = $(MACHINE_TEST_LDADD)

tests_unit_test_sim_way_SOURCES = tests/unit/test-sim-way.c
tests_unit_test_sim_way_CPPFLAGS = $(MACHINE_TEST_CPPFLAGS)
tests_unit_test_sim_way_LDADD = $(MACHINE_TEST_LDADD)

tests_unit_test_machine_client_SOURCES = tests/unit/test-machine-client.c
tests_unit_test_machine_client_CPPFLAGS = $(MACHINE_TEST_CPPFLAGS)
tests_unit_test_machine_client_LDADD = $(MACHINE_TEST_LDADD)

tests_unit_test_sim_agent_SOURCES = tests/unit/test-sim-agent.c
tests_unit_test_sim_agent_CPPFLAGS = $(MACHINE_TEST_CPPFLAGS)
tests_unit_test_sim_agent_LDADD = $(MACHINE_TEST_LDADD)

tests_unit_test_sim_hypervisor_SOURCES = tests/unit/test-sim-hypervisor.c
tests_unit_test_sim_hypervisor_CPPFLAGS = $(MACHINE_TEST_CPPFLAGS)
tests_unit_test_sim_hypervisor_LDADD = $(MACHINE_TEST_LDADD)

# SPDX-License-Identifier: GPL-2.0-or-later
noinst_LIBRARIES += libhypervisor.a
libhypervisor_a_CPPFLAGS = $(AM_CPPFLAGS) $(JANSSON_CFLAGS) $(SYSTEMD_CFLAGS) $(LIBVIRT_CFLAGS) $(LIBXML_CFLAGS)
libhypervisor_a_SOURCES = \
	daemon/hypervisor/agent-answer.c daemon/hypervisor/agent-answer.h \
	daemon/hypervisor/domain-survey.c daemon/hypervisor/domain-survey.h \
	daemon/hypervisor/domain-xml.c daemon/hypervisor/domain-xml.h \
	daemon/hypervisor/hypervisor-message.c daemon/hypervisor/hypervisor-ops.h \
	daemon/hypervisor/libvirt.c \
	daemon/hypervisor/libvirt-calls.c daemon/hypervisor/libvirt-calls.h \
	daemon/hypervisor/libvirt-error.c \
	daemon/hypervisor/libvirt-events.c daemon/hypervisor/libvirt-events.h \
	daemon/hypervisor/libvirt-facts.c \
	daemon/hypervisor/libvirt-internal.h \
	daemon/hypervisor/libvirt-library.c daemon/hypervisor/libvirt-library.h \
	daemon/hypervisor/libvirt-link.c \
	daemon/hypervisor/libvirt-memory.c daemon/hypervisor/libvirt-memory.h \
	daemon/hypervisor/libvirt-ops.c daemon/hypervisor/libvirt-ops.h \
	daemon/hypervisor/libvirt-survey.c daemon/hypervisor/libvirt-survey.h \
	daemon/hypervisor/outbox.c daemon/hypervisor/outbox.h \
	daemon/hypervisor/pin-memory.c daemon/hypervisor/pin-memory.h \
	daemon/hypervisor/xml.c daemon/hypervisor/xml.h

EXTRA_DIST += \
	tests/data/domain-xml/config-q35.xml tests/data/domain-xml/entities.xml \
	tests/data/domain-xml/hostile-name.xml tests/data/domain-xml/i440fx.xml \
	tests/data/domain-xml/running-q35.xml

if HAVE_CMOCKA
HYPERVISOR_TEST_CPPFLAGS = $(AM_CPPFLAGS) $(JANSSON_CFLAGS) $(SYSTEMD_CFLAGS) $(LIBVIRT_CFLAGS) $(LIBXML_CFLAGS)
HYPERVISOR_TEST_LIBS = libhypervisor.a libcore.a liblog.a libgpuvf.a $(TEST_LIBS) \
	$(LIBXML_LIBS) $(SYSTEMD_LIBS) $(JANSSON_LIBS)
HYPERVISOR_TESTS = tests/unit/test-agent-answer tests/unit/test-domain-survey tests/unit/test-domain-xml \
	tests/unit/test-hypervisor-message tests/unit/test-libvirt tests/unit/test-libvirt-calls tests/unit/test-libvirt-library \
	tests/unit/test-libvirt-reconnect tests/unit/test-outbox tests/unit/test-pin-memory
check_PROGRAMS += $(HYPERVISOR_TESTS)
TESTS += $(HYPERVISOR_TESTS)
tests_unit_test_agent_answer_SOURCES = tests/unit/test-agent-answer.c
tests_unit_test_agent_answer_CPPFLAGS = $(HYPERVISOR_TEST_CPPFLAGS)
tests_unit_test_agent_answer_LDADD = $(HYPERVISOR_TEST_LIBS)
tests_unit_test_domain_survey_SOURCES = tests/unit/test-domain-survey.c
tests_unit_test_domain_survey_CPPFLAGS = $(HYPERVISOR_TEST_CPPFLAGS)
tests_unit_test_domain_survey_LDADD = $(HYPERVISOR_TEST_LIBS)
tests_unit_test_domain_xml_SOURCES = tests/unit/test-domain-xml.c
tests_unit_test_domain_xml_CPPFLAGS = $(HYPERVISOR_TEST_CPPFLAGS)
tests_unit_test_domain_xml_LDADD = $(HYPERVISOR_TEST_LIBS)
tests_unit_test_hypervisor_message_SOURCES = tests/unit/test-hypervisor-message.c
tests_unit_test_hypervisor_message_CPPFLAGS = $(HYPERVISOR_TEST_CPPFLAGS)
tests_unit_test_hypervisor_message_LDADD = $(HYPERVISOR_TEST_LIBS)
tests_unit_test_libvirt_SOURCES = tests/unit/test-libvirt.c
tests_unit_test_libvirt_CPPFLAGS = $(HYPERVISOR_TEST_CPPFLAGS)
tests_unit_test_libvirt_LDADD = $(HYPERVISOR_TEST_LIBS) $(LIBVIRT_LIBS)
tests_unit_test_libvirt_calls_SOURCES = tests/unit/test-libvirt-calls.c
tests_unit_test_libvirt_calls_CPPFLAGS = $(HYPERVISOR_TEST_CPPFLAGS)
tests_unit_test_libvirt_calls_LDADD = $(HYPERVISOR_TEST_LIBS)
tests_unit_test_libvirt_library_SOURCES = tests/unit/test-libvirt-library.c
tests_unit_test_libvirt_library_CPPFLAGS = $(HYPERVISOR_TEST_CPPFLAGS)
tests_unit_test_libvirt_library_LDADD = $(HYPERVISOR_TEST_LIBS)
tests_unit_test_libvirt_reconnect_SOURCES = tests/unit/test-libvirt-reconnect.c
tests_unit_test_libvirt_reconnect_CPPFLAGS = $(HYPERVISOR_TEST_CPPFLAGS)
tests_unit_test_libvirt_reconnect_LDADD = $(HYPERVISOR_TEST_LIBS) $(SANITIZER_LIBS)
tests_unit_test_outbox_SOURCES = tests/unit/test-outbox.c
tests_unit_test_outbox_LDADD = $(HYPERVISOR_TEST_LIBS)
tests_unit_test_pin_memory_SOURCES = tests/unit/test-pin-memory.c
tests_unit_test_pin_memory_CPPFLAGS = $(HYPERVISOR_TEST_CPPFLAGS)
tests_unit_test_pin_memory_LDADD = $(HYPERVISOR_TEST_LIBS)
endif

# SPDX-License-Identifier: GPL-2.0-or-later
# Fuzz targets: three lines each (README.md here).  With --enable-fuzzers they are libFuzzer programs
# for `make fuzz`; otherwise fuzz-main.c runs them over their seeds in `make check`.
FUZZ_TARGETS =
FUZZ_LIBS = libgpuvf.a $(JANSSON_LIBS) $(FUZZ_ENGINE)
if FUZZERS
FUZZ_MAIN =
else
FUZZ_MAIN = tests/fuzz/fuzz-main.c
TESTS += $(FUZZ_TARGETS)
endif
check_PROGRAMS += $(FUZZ_TARGETS)
EXTRA_DIST += tests/fuzz/README.md tests/fuzz/fuzz.h tests/fuzz/seeds
MOSTLYCLEANFILES += crash-fuzz-* fuzz-*-crash-* fuzz-*-timeout-* fuzz-*-oom-*

FUZZ_TARGETS += tests/fuzz/fuzz-base64
tests_fuzz_fuzz_base64_SOURCES = tests/fuzz/fuzz-base64.c $(FUZZ_MAIN)
tests_fuzz_fuzz_base64_LDADD = $(FUZZ_LIBS)

FUZZ_TARGETS += tests/fuzz/fuzz-debugfs-text
tests_fuzz_fuzz_debugfs_text_SOURCES = tests/fuzz/fuzz-debugfs-text.c $(FUZZ_MAIN)
tests_fuzz_fuzz_debugfs_text_LDADD = libhost.a libcore.a $(FUZZ_LIBS)

FUZZ_TARGETS += tests/fuzz/fuzz-escape
tests_fuzz_fuzz_escape_SOURCES = tests/fuzz/fuzz-escape.c $(FUZZ_MAIN)
tests_fuzz_fuzz_escape_LDADD = $(FUZZ_LIBS)

FUZZ_TARGETS += tests/fuzz/fuzz-host-message
tests_fuzz_fuzz_host_message_SOURCES = tests/fuzz/fuzz-host-message.c $(FUZZ_MAIN)
tests_fuzz_fuzz_host_message_LDADD = libhost.a libcore.a $(FUZZ_LIBS)

FUZZ_TARGETS += tests/fuzz/fuzz-json-position
tests_fuzz_fuzz_json_position_SOURCES = tests/fuzz/fuzz-json-position.c $(FUZZ_MAIN)
tests_fuzz_fuzz_json_position_LDADD = $(FUZZ_LIBS)

FUZZ_TARGETS += tests/fuzz/fuzz-jsonrpc
tests_fuzz_fuzz_jsonrpc_SOURCES = tests/fuzz/fuzz-jsonrpc.c $(FUZZ_MAIN)
tests_fuzz_fuzz_jsonrpc_LDADD = $(FUZZ_LIBS)

FUZZ_TARGETS += tests/fuzz/fuzz-line-buffer
tests_fuzz_fuzz_line_buffer_SOURCES = tests/fuzz/fuzz-line-buffer.c $(FUZZ_MAIN)
tests_fuzz_fuzz_line_buffer_LDADD = $(FUZZ_LIBS)

FUZZ_TARGETS += tests/fuzz/fuzz-pci-address
tests_fuzz_fuzz_pci_address_SOURCES = tests/fuzz/fuzz-pci-address.c $(FUZZ_MAIN)
tests_fuzz_fuzz_pci_address_LDADD = $(FUZZ_LIBS)

FUZZ_TARGETS += tests/fuzz/fuzz-rpc-connection
tests_fuzz_fuzz_rpc_connection_SOURCES = tests/fuzz/fuzz-rpc-connection.c $(FUZZ_MAIN) \
	tests/support/fake-manager.c tests/support/fake-manager.h
tests_fuzz_fuzz_rpc_connection_LDADD = librpc.a libpolicy.a libcore.a liblog.a $(FUZZ_LIBS) \
	$(SYSTEMD_LIBS)

FUZZ_TARGETS += tests/fuzz/fuzz-units
tests_fuzz_fuzz_units_SOURCES = tests/fuzz/fuzz-units.c $(FUZZ_MAIN)
tests_fuzz_fuzz_units_LDADD = $(FUZZ_LIBS)

FUZZ_TARGETS += tests/fuzz/fuzz-agent-answer
tests_fuzz_fuzz_agent_answer_SOURCES = tests/fuzz/fuzz-agent-answer.c $(FUZZ_MAIN)
tests_fuzz_fuzz_agent_answer_LDADD = libhypervisor.a libcore.a liblog.a $(FUZZ_LIBS) \
	$(LIBXML_LIBS) $(SYSTEMD_LIBS)

FUZZ_TARGETS += tests/fuzz/fuzz-domain-xml
tests_fuzz_fuzz_domain_xml_SOURCES = tests/fuzz/fuzz-domain-xml.c $(FUZZ_MAIN)
tests_fuzz_fuzz_domain_xml_LDADD = libhypervisor.a libcore.a liblog.a $(FUZZ_LIBS) \
	$(LIBXML_LIBS) $(SYSTEMD_LIBS)

FUZZ_TARGETS += tests/fuzz/fuzz-simulation
tests_fuzz_fuzz_simulation_SOURCES = tests/fuzz/fuzz-simulation.c $(FUZZ_MAIN)
tests_fuzz_fuzz_simulation_LDADD = libsim.a libhypervisor.a libcore.a $(FUZZ_LIBS) $(SYSTEMD_LIBS)

FUZZ_TARGETS += tests/fuzz/fuzz-glob
tests_fuzz_fuzz_glob_SOURCES = tests/fuzz/fuzz-glob.c $(FUZZ_MAIN)
tests_fuzz_fuzz_glob_LDADD = libpolicy.a libcore.a $(FUZZ_LIBS)

FUZZ_TARGETS += tests/fuzz/fuzz-job-document
tests_fuzz_fuzz_job_document_SOURCES = tests/fuzz/fuzz-job-document.c $(FUZZ_MAIN)
tests_fuzz_fuzz_job_document_LDADD = libpolicy.a libcore.a $(FUZZ_LIBS)

FUZZ_TARGETS += tests/fuzz/fuzz-layout
tests_fuzz_fuzz_layout_SOURCES = tests/fuzz/fuzz-layout.c $(FUZZ_MAIN)
tests_fuzz_fuzz_layout_LDADD = libpartition.a libpolicy.a libcore.a $(FUZZ_LIBS)

FUZZ_TARGETS += tests/fuzz/fuzz-policy
tests_fuzz_fuzz_policy_SOURCES = tests/fuzz/fuzz-policy.c $(FUZZ_MAIN)
tests_fuzz_fuzz_policy_LDADD = libpolicy.a libcore.a $(FUZZ_LIBS)

FUZZ_TARGETS += tests/fuzz/fuzz-guest-answer
tests_fuzz_fuzz_guest_answer_SOURCES = tests/fuzz/fuzz-guest-answer.c $(FUZZ_MAIN)
tests_fuzz_fuzz_guest_answer_LDADD = librunner.a libhypervisor.a libcore.a liblog.a $(FUZZ_LIBS) \
	$(LIBXML_LIBS) $(SYSTEMD_LIBS)

FUZZ_TARGETS += tests/fuzz/fuzz-outputs
tests_fuzz_fuzz_outputs_SOURCES = tests/fuzz/fuzz-outputs.c $(FUZZ_MAIN)
tests_fuzz_fuzz_outputs_LDADD = librunner.a libhypervisor.a libcore.a liblog.a $(FUZZ_LIBS) \
	$(LIBXML_LIBS) $(SYSTEMD_LIBS)

FUZZ_TARGETS += tests/fuzz/fuzz-known-bad
tests_fuzz_fuzz_known_bad_SOURCES = tests/fuzz/fuzz-known-bad.c $(FUZZ_MAIN)
tests_fuzz_fuzz_known_bad_LDADD = libdoctor.a libhypervisor.a libhost.a libpolicy.a libcore.a liblog.a \
	$(FUZZ_LIBS) $(LIBXML_LIBS) $(LIBPCI_LIBS) $(UDEV_LIBS) $(SYSTEMD_LIBS)

FUZZ_TARGETS += tests/fuzz/fuzz-redact
tests_fuzz_fuzz_redact_SOURCES = tests/fuzz/fuzz-redact.c $(FUZZ_MAIN)
tests_fuzz_fuzz_redact_LDADD = libdoctor.a libhypervisor.a libcore.a liblog.a $(FUZZ_LIBS) \
	$(LIBXML_LIBS) $(SYSTEMD_LIBS)

FUZZ_TARGETS += tests/fuzz/fuzz-vfio-alias
tests_fuzz_fuzz_vfio_alias_SOURCES = tests/fuzz/fuzz-vfio-alias.c $(FUZZ_MAIN)
tests_fuzz_fuzz_vfio_alias_LDADD = libhost.a libcore.a $(FUZZ_LIBS)

# Each target for FUZZ_SECONDS.  New inputs go to a corpus in the build folder, not to the seeds.
FUZZ_SECONDS = 60
fuzz: $(FUZZ_TARGETS)
if FUZZERS
	$(AM_V_at)set -e; for t in $(FUZZ_TARGETS); do \
		name=$${t##*/}; $(MKDIR_P) corpus/$$name; echo "  FUZZ     $$name"; \
		./$$t -max_total_time=$(FUZZ_SECONDS) -max_len=4096 -timeout=10 -print_final_stats=1 \
			-verbosity=0 -artifact_prefix=$$name- corpus/$$name \
			$(top_srcdir)/tests/fuzz/seeds/$$name; \
	done
else
	@echo "configure with CC=clang --enable-fuzzers first" >&2; exit 1
endif
.PHONY: fuzz

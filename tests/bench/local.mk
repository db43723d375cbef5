# SPDX-License-Identifier: GPL-2.0-or-later
# `make bench`: programs and scripts that print times and their ratio to a floor taken in the same run, and
# fail where a promise is broken.  `make check` builds them and runs none: a busy machine says nothing of us.
BENCHES =
check_PROGRAMS += $(BENCHES)

if HAVE_CMOCKA
BENCHES += tests/bench/bench-scan
tests_bench_bench_scan_SOURCES = tests/bench/bench-scan.c $(FAKE_GPU)
tests_bench_bench_scan_LDADD = $(HOST_TEST_LIBS)
BENCHES += tests/bench/bench-event
tests_bench_bench_event_SOURCES = tests/bench/bench-event.c $(FAKE_GPU) $(MANAGER_TEST_SUPPORT)
tests_bench_bench_event_CPPFLAGS = $(MANAGER_TEST_CPPFLAGS)
tests_bench_bench_event_LDADD = $(MANAGER_TEST_LIBS)
endif

bench: $(BENCHES)
	$(AM_V_at)set -e; for b in $(BENCHES); do CMOCKA_MESSAGE_OUTPUT=TAP ./$$b; done
	$(AM_V_at)$(MAKE) bench-load LOAD='--operations 100000 --limit 120'
.PHONY: bench

# Assign and release as fast as it goes, and memory over a million operations, twenty minutes at most.
bench-load: all
	$(AM_V_at)abs_top_srcdir=$(abs_top_srcdir) abs_top_builddir=$(abs_top_builddir) \
		$(PYTHON3) $(top_srcdir)/tests/bench/load.py $(LOAD)
.PHONY: bench-load
EXTRA_DIST += tests/bench/load.py

# In the testbed, because it writes to sysfs.
bench-testbed: all
	$(top_srcdir)/tests/testbed/run --build $(abs_top_builddir) $(top_srcdir)/tests/bench/apply-against-shell.sh
	$(top_srcdir)/tests/testbed/run --build $(abs_top_builddir) $(top_srcdir)/tests/bench/assign-against-virsh.sh
.PHONY: bench-testbed
dist_noinst_SCRIPTS += tests/bench/apply-against-shell.sh tests/bench/assign-against-virsh.sh

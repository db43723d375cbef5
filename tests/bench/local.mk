# SPDX-License-Identifier: GPL-2.0-or-later
# `make bench`: programs and scripts that print times and their ratio to a floor taken in the same run, and
# fail where a promise is broken.  Not part of `make check`: a busy machine says nothing of us.
BENCHES =
EXTRA_PROGRAMS += $(BENCHES)

if HAVE_CMOCKA
BENCHES += tests/bench/bench-scan
tests_bench_bench_scan_SOURCES = tests/bench/bench-scan.c $(FAKE_GPU)
tests_bench_bench_scan_LDADD = $(HOST_TEST_LIBS)
endif

bench: $(BENCHES)
	$(AM_V_at)set -e; for b in $(BENCHES); do CMOCKA_MESSAGE_OUTPUT=TAP ./$$b; done
.PHONY: bench
CLEANFILES += $(BENCHES)

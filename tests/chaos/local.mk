# SPDX-License-Identifier: GPL-2.0-or-later
# kill -9 at every named step, and an independent checker (HACKING.md, "Chaos").  `make check`
# tests the checker, and lives through some rounds (tests/integration/test-chaos.py).
CHAOS = \
	tests/chaos/chaos.py \
	tests/chaos/checker.py \
	tests/chaos/choices.py \
	tests/chaos/life.py
EXTRA_DIST += $(CHAOS) tests/chaos/kill-at.c

# Loaded into the daemon by chaos; by hand, because automake has no plain shared objects without libtool.
check_DATA = tests/chaos/kill-at.so
tests/chaos/kill-at.so: tests/chaos/kill-at.c
	$(AM_V_CC)mkdir -p tests/chaos && $(CC) -std=gnu11 -O2 -Wall -Wextra -shared -fPIC -o $@ $(srcdir)/tests/chaos/kill-at.c
CLEANFILES += tests/chaos/kill-at.so

ROUNDS = 1000
chaos: all tests/chaos/kill-at.so
	$(AM_V_at)abs_top_srcdir=$(abs_top_srcdir) abs_top_builddir=$(abs_top_builddir) \
		$(PYTHON3) $(top_srcdir)/tests/chaos/chaos.py --rounds $(ROUNDS) $(if $(SEED),--seed $(SEED)) $(if $(WORLD),--world $(WORLD)) \
			$(if $(AIM),--aim '$(AIM)')
.PHONY: chaos

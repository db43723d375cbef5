# SPDX-License-Identifier: GPL-2.0-or-later
# examples/tiny-lora: a real fine-tuning job, small enough for any guest.
#
# job/ in the build tree is the folder that `gpuvf submit job.json` is called
# in; it is installed as it is.  `make tiny-lora-static` makes it with a program
# that needs no C library in the guest.
TINYLORA_SOURCES = \
	examples/tiny-lora/blob.c examples/tiny-lora/blob.h \
	examples/tiny-lora/data.c examples/tiny-lora/data.h \
	examples/tiny-lora/main.c \
	examples/tiny-lora/model.c examples/tiny-lora/model.h \
	examples/tiny-lora/options.c examples/tiny-lora/options.h \
	examples/tiny-lora/report.c examples/tiny-lora/report.h \
	examples/tiny-lora/rng.c examples/tiny-lora/rng.h \
	examples/tiny-lora/train.c examples/tiny-lora/train.h

# No fused multiply-add: the same bits on every processor.  No errno from
# sqrtf: then it is one instruction, and libm is not needed in the guest.
TINYLORA_CFLAGS = -ffp-contract=off -fno-math-errno

noinst_PROGRAMS += examples/tiny-lora/tiny-lora
examples_tiny_lora_tiny_lora_SOURCES = $(TINYLORA_SOURCES)
examples_tiny_lora_tiny_lora_CFLAGS = $(AM_CFLAGS) $(TINYLORA_CFLAGS)
examples_tiny_lora_tiny_lora_LDFLAGS = $(AM_LDFLAGS) -Wl,-z,noseparate-code
examples_tiny_lora_tiny_lora_LDADD = -lm

EXTRA_PROGRAMS += examples/tiny-lora/tiny-lora-static
examples_tiny_lora_tiny_lora_static_SOURCES = $(TINYLORA_SOURCES)
examples_tiny_lora_tiny_lora_static_CPPFLAGS = -I$(builddir)
examples_tiny_lora_tiny_lora_static_CFLAGS = -std=gnu11 -ffunction-sections $(TINYLORA_CFLAGS)
examples_tiny_lora_tiny_lora_static_LDFLAGS = -static -s -Wl,--gc-sections
examples_tiny_lora_tiny_lora_static_LDADD = -lm

TINYLORA_JOB_FILES = \
	examples/tiny-lora/job/base.bin \
	examples/tiny-lora/job/job.json \
	examples/tiny-lora/job/sideways.txt
tinyloradir = $(pkglibexecdir)/examples/tiny-lora
tinylora_DATA = $(TINYLORA_JOB_FILES)
tinylora_SCRIPTS = examples/tiny-lora/job/tiny-lora
CLEANFILES += $(tinylora_DATA) $(tinylora_SCRIPTS)
EXTRA_DIST += \
	examples/tiny-lora/README.md \
	examples/tiny-lora/base.bin \
	examples/tiny-lora/job.json \
	examples/tiny-lora/prepare-data.py \
	examples/tiny-lora/data/sideways.txt \
	examples/tiny-lora/data/upright.txt

# Stripped, because each job carries a copy into its guest.
examples/tiny-lora/job/tiny-lora: examples/tiny-lora/tiny-lora$(EXEEXT)
	$(AM_V_GEN)$(MKDIR_P) $(@D) && strip -o $@ examples/tiny-lora/tiny-lora$(EXEEXT)
examples/tiny-lora/job/base.bin: examples/tiny-lora/base.bin
	$(AM_V_GEN)$(MKDIR_P) $(@D) && cp $(srcdir)/examples/tiny-lora/base.bin $@
examples/tiny-lora/job/job.json: examples/tiny-lora/job.json
	$(AM_V_GEN)$(MKDIR_P) $(@D) && cp $(srcdir)/examples/tiny-lora/job.json $@
examples/tiny-lora/job/sideways.txt: examples/tiny-lora/data/sideways.txt
	$(AM_V_GEN)$(MKDIR_P) $(@D) && cp $(srcdir)/examples/tiny-lora/data/sideways.txt $@

tiny-lora-static: examples/tiny-lora/tiny-lora-static$(EXEEXT) $(TINYLORA_JOB_FILES)
	$(AM_V_GEN)cp examples/tiny-lora/tiny-lora-static$(EXEEXT) examples/tiny-lora/job/tiny-lora
.PHONY: tiny-lora-static

TESTS += examples/tiny-lora/test-tiny-lora.py
EXTRA_DIST += examples/tiny-lora/test-tiny-lora.py
CLEANFILES += examples/tiny-lora/tiny-lora-static

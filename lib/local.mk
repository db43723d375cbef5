# SPDX-License-Identifier: GPL-2.0-or-later
# lib/: silent code that daemon, command line and tests share.
noinst_LIBRARIES += libgpuvf.a
libgpuvf_a_CPPFLAGS = $(AM_CPPFLAGS) $(JANSSON_CFLAGS)
libgpuvf_a_SOURCES = \
	lib/base64.c lib/base64.h \
	lib/clock.c lib/clock.h \
	lib/edit-distance.c lib/edit-distance.h \
	lib/enum-table.c lib/enum-table.h \
	lib/escape.c lib/escape.h \
	lib/io.c lib/io.h \
	lib/json.c lib/json.h \
	lib/json-field.c lib/json-field-schema.c lib/json-field.h \
	lib/json-position.c lib/json-position.h \
	lib/jsonrpc.c lib/jsonrpc.h \
	lib/line-buffer.c lib/line-buffer.h \
	lib/macros.h lib/macros.c \
	lib/mailbox.c lib/mailbox.h \
	lib/pci-address.c lib/pci-address.h \
	lib/rpc-client.c lib/rpc-client.h \
	lib/units.c lib/units.h

# Unit tests, one per module.  LIB_TESTS share flags and libraries.
LIB_TESTS =
if HAVE_CMOCKA
check_PROGRAMS += $(LIB_TESTS)
TESTS += $(LIB_TESTS)
endif

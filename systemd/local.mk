# SPDX-License-Identifier: GPL-2.0-or-later
# systemd/: units, group and folders of the daemon.
GPUVF_SUBSTITUTE = $(AM_V_GEN)$(MKDIR_P) $(@D) && $(SED) \
	-e 's|@bindir[@]|$(bindir)|g' \
	-e 's|@sbindir[@]|$(sbindir)|g' \
	-e 's|@sysusersdir[@]|$(sysusersdir)|g'

UNITS = systemd/gpuvfd.service systemd/gpuvfd.socket
nodist_systemdsystemunit_DATA = $(UNITS)
CLEANFILES += $(UNITS)
EXTRA_DIST += $(UNITS:=.in) systemd/gpuvf.sysusers systemd/gpuvf.tmpfiles

# Made again when configure gave other folders.
systemd/gpuvfd.service: systemd/gpuvfd.service.in config.status
	$(GPUVF_SUBSTITUTE) $(srcdir)/systemd/gpuvfd.service.in >$@
systemd/gpuvfd.socket: systemd/gpuvfd.socket.in config.status
	$(GPUVF_SUBSTITUTE) $(srcdir)/systemd/gpuvfd.socket.in >$@

# Installed under the package's name: the folder says what they are.
install-data-hook: install-systemd-conf
uninstall-hook: uninstall-systemd-conf
install-systemd-conf:
	$(MKDIR_P) '$(DESTDIR)$(sysusersdir)' '$(DESTDIR)$(tmpfilesdir)'
	$(INSTALL_DATA) $(srcdir)/systemd/gpuvf.sysusers '$(DESTDIR)$(sysusersdir)/gpuvf.conf'
	$(INSTALL_DATA) $(srcdir)/systemd/gpuvf.tmpfiles '$(DESTDIR)$(tmpfilesdir)/gpuvf.conf'
uninstall-systemd-conf:
	rm -f '$(DESTDIR)$(sysusersdir)/gpuvf.conf' '$(DESTDIR)$(tmpfilesdir)/gpuvf.conf'
.PHONY: install-systemd-conf uninstall-systemd-conf

TESTS += systemd/test-systemd.sh
EXTRA_DIST += systemd/test-systemd.sh

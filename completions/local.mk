# SPDX-License-Identifier: GPL-2.0-or-later
# completions/: for bash.  The file is installed under the command's name,
# where bash-completion looks for it.
bashcompletiondir = $(datadir)/bash-completion/completions
EXTRA_DIST += completions/gpuvf.bash completions/test-completions.sh

install-data-hook: install-completions
uninstall-hook: uninstall-completions
install-completions:
	$(MKDIR_P) '$(DESTDIR)$(bashcompletiondir)'
	$(INSTALL_DATA) $(srcdir)/completions/gpuvf.bash '$(DESTDIR)$(bashcompletiondir)/gpuvf'
uninstall-completions:
	rm -f '$(DESTDIR)$(bashcompletiondir)/gpuvf'
.PHONY: install-completions uninstall-completions

TESTS += completions/test-completions.sh

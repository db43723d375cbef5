/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Ctrl-C during a long action: the action goes on in the daemon, and the user is told how to find
 * it again.  The line is written by the handler itself, so that no moment is missed. */
#include <signal.h>
#include <stdio.h>

#include "cli/cli.h"

static char line[256];
static volatile sig_atomic_t length;

static void on_interrupt(int number)
{
	ssize_t n = write(STDERR_FILENO, line, (size_t)length);

	(void)n; /* nobody is left to be told */
	_exit(EXIT_INTERRUPTED);
}

/* Whoever started us with SIGINT ignored (nohup, a shell's background job) wants it so. */
static bool is_ignored(void)
{
	struct sigaction now;

	return sigaction(SIGINT, NULL, &now) == 0 && now.sa_handler == SIG_IGN;
}

void interrupt_say(const char *text)
{
	struct sigaction action = { .sa_handler = text ? on_interrupt : SIG_DFL };

	if (is_ignored() || (!text && length == 0))
		return;
	sigemptyset(&action.sa_mask);
	/* The handler must not see half a line. */
	signal(SIGINT, SIG_DFL);
	length = 0;
	if (text) {
		snprintf(line, sizeof(line), "\n%s\n", text);
		length = (sig_atomic_t)strlen(line);
	}
	(void)sigaction(SIGINT, &action, NULL);
}

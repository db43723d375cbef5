/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The program `gpuvf`. */
#include <locale.h>
#include <signal.h>

#include "cli/cli.h"

int main(int argc, char **argv)
{
	/* A reader that has had enough (`gpuvf jobs | head`) ends us quietly. */
	signal(SIGPIPE, SIG_DFL);
	setlocale(LC_CTYPE, "");
	return cli_run(argc, argv, stdin, stdout, stderr);
}

/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Made from launcher.sh at build time. */
#include "runner/launcher-text.h"

const char launcher_text[] =
#include "runner/launcher-text.inc"
	;

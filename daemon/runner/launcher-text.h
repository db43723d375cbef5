/* SPDX-License-Identifier: GPL-2.0-or-later */
/* launcher.sh, as it is written into guests. */
#pragma once

extern const char launcher_text[];

# SPDX-License-Identifier: GPL-2.0-or-later
"""The part of the testbed that runs outside of the emulated machine."""

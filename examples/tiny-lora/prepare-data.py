#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Makes data/upright.txt and data/sideways.txt from the digits of the UCI repository.

usage: prepare-data.py DIGITS.csv[.gz] DIRECTORY

The input has 1797 lines of 64 pixels (0 to 16) and the digit, as in
optdigits.tes of the repository and in digits.csv.gz of scikit-learn.  Even
lines become the upright set, odd lines the sideways set (turned by a quarter,
as from a scanner that was fed the wrong way); no image is in both.
"""
import gzip
import sys

LEVELS = "0123456789abcdefg"
SIDE = 8
SOURCE = (
    "# Optical Recognition of Handwritten Digits, E. Alpaydin and C. Kaynak, 1998.",
    "# UCI Machine Learning Repository, https://doi.org/10.24432/C50P49, CC BY 4.0.",
)


def read_rows(path):
    opener = gzip.open if path.endswith(".gz") else open
    with opener(path, "rt", encoding="ascii") as text:
        rows = [[int(float(field)) for field in line.split(",")] for line in text if line.strip()]
    for number, row in enumerate(rows, 1):
        if len(row) != 65 or not all(0 <= p <= 16 for p in row[:64]) or not 0 <= row[64] <= 9:
            sys.exit(f"{path}:{number}: not 64 pixels of 0 to 16 and a digit")
    return rows


def turned(pixels):
    """A quarter turn clockwise."""
    return [pixels[(SIDE - 1 - x) * SIDE + y] for y in range(SIDE) for x in range(SIDE)]


def write(path, change, rows, train, shape):
    with open(path, "w", encoding="ascii") as out:
        out.write(f"digits rows {len(rows)} train {train}\n")
        out.write("\n".join((*SOURCE, f"# Changed: {change}")) + "\n")
        for row in rows:
            pixels = "".join(LEVELS[p] for p in shape(row[:64]))
            out.write(f"{pixels} {row[64]}\n")


def main():
    if len(sys.argv) != 3:
        sys.exit(__doc__.strip())
    rows = read_rows(sys.argv[1])
    write(f"{sys.argv[2]}/upright.txt", "every second image, as a line of text",
          rows[0::2], 699, list)
    write(f"{sys.argv[2]}/sideways.txt",
          "800 of the other images, each turned by a quarter, as a line of text",
          rows[1::2][:800], 600, turned)


main()

#!/usr/bin/env python3
"""growing.py FILE FIRST LAST: appends the pages FIRST to LAST - 1 with tifffile, one at a time; each is 1024 × 1024 of 16
bits, of noise that does not compress. Runs in the environment of scripts/setup."""

import sys

import numpy as np
import tifffile

EDGE = 1024


def page(number):
    return np.random.default_rng(number).integers(0, 1 << 16, (EDGE, EDGE), np.uint16)


def grow(path, first, last):
    for number in range(first, last):
        with tifffile.TiffWriter(path, append=number > 0) as file:
            file.write(page(number), photometric="minisblack", metadata=None)


grow(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))

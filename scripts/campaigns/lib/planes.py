#!/usr/bin/env python3
"""Planes of a plate, 1080 × 1080 of 16 bits with the noise of a camera, that can be made again from their names. Runs in
an environment with numpy and tifffile (`stored`: with numcodecs instead of it).

    planes.py write FOLDER FIRST LAST     the images FIRST to LAST - 1, under ImageXpress names
    planes.py verify FOLDER FIRST LAST    that they are there, byte for byte; a line for each that is not
    planes.py stored FIRST LAST STEP      bytes that every STEP-th of them takes as Blosc lz4: byte shuffle, bit shuffle"""

import functools
import io
import os
import sys

import numpy as np

EDGE, CHANNELS, COLUMNS = 1080, 2, 24
SITES = int(os.environ.get("PLANES_SITES", "2"))
MARGIN = 400


def name(number):
    rest, channel = divmod(number, CHANNELS)
    well, site = divmod(rest, SITES)
    row, column = divmod(well, COLUMNS)
    return f"Screen_{chr(65 + row)}{column + 1:02}_s{site + 1}_w{channel + 1}.tif"


@functools.cache
def ground():
    """A large field: nuclei on a dim background, with shot noise."""
    dice = np.random.default_rng(7)
    edge = EDGE + MARGIN
    field = np.full((edge, edge), 110.0, np.float32)
    y, x = np.mgrid[-20:21, -20:21].astype(np.float32)
    blob = np.exp(-(y * y + x * x) / 130)
    for _ in range(160):
        at = dice.integers(0, edge - 41, 2)
        field[at[0] : at[0] + 41, at[1] : at[1] + 41] += blob * dice.uniform(200, 2500)
    return dice.poisson(field).astype(np.uint16)


def plane(number):
    """A window of the field, of which no two are alike."""
    y, x = number * 37 % MARGIN, number * 101 % MARGIN
    out = ground()[y : y + EDGE, x : x + EDGE].copy()
    out[0, 0] = number
    return out


def tiff(number):
    import tifffile

    out = io.BytesIO()
    tifffile.imwrite(out, plane(number), photometric="minisblack")
    return out.getvalue()


def write(folder, first, last):
    import tifffile

    for number in range(int(first), int(last)):
        tifffile.imwrite(os.path.join(folder, name(number)), plane(number), photometric="minisblack")


def verify(folder, first, last):
    for number in range(int(first), int(last)):
        path = os.path.join(folder, name(number))
        try:
            with open(path, "rb", buffering=0) as file:
                if file.readall() != tiff(number):
                    print(f"{name(number)}: other bytes")
        except OSError as error:
            print(error)


def stored(first, last, step):
    from numcodecs import Blosc

    for shuffle in (Blosc.SHUFFLE, Blosc.BITSHUFFLE):
        codec = Blosc(cname="lz4", clevel=5, shuffle=shuffle)
        print(sum(len(codec.encode(plane(number))) for number in range(int(first), int(last), int(step))))


{"write": write, "verify": verify, "stored": stored}[sys.argv[1]](*sys.argv[2:])

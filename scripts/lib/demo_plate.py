#!/usr/bin/env python3
"""Lays real microscope images out as a plate, under the names that an ImageXpress writes.

    demo_plate.py IMAGES DESTINATION [--wells 96]

IMAGES holds img2d.tif and img3d.tif (16-bit fluorescence of nuclei, from the PyPI wheel of stardist); the second
channel is cut from the cell image that scikit-image carries. Each well has two sites of two channels, 512 × 512 × 16
bit: site 1 is img2d turned and shifted, site 2 a mosaic of the planes of img3d. Everything follows from the well's
number, so two runs make the same bytes.
"""

import argparse
import pathlib
import sys

import numpy as np
import skimage.data
import tifffile

SIDE = 512
ROWS, COLUMNS = 8, 12


def wells(count):
    """A01, A02 … H12, the first `count` of them."""
    return [f"{chr(ord('A') + row)}{column + 1:02d}" for row in range(ROWS) for column in range(COLUMNS)][:count]


def turned(image, number):
    """One of many views of an image: a turn, a mirror and a shift, chosen by the number."""
    view = np.rot90(image, number % 4)
    view = view[:, ::-1] if (number // 4) % 2 else view
    return np.roll(view, ((number * 37) % SIDE, (number * 101) % SIDE), axis=(0, 1))


def mosaic(stack, number):
    """A field of 512 × 512 tiled from the planes of a stack, beginning at another plane in each well."""
    planes, height, width = stack.shape
    down, across = -(-SIDE // height), -(-SIDE // width)
    rows = [np.hstack([stack[(number + y * across + x) % planes] for x in range(across)]) for y in range(down)]
    return np.vstack(rows)[:SIDE, :SIDE]


def second_channel(cell, number):
    """A window of the cell image, twelve bits deep as from a camera."""
    y, x = (number * 13) % (cell.shape[0] - SIDE), (number * 7) % (cell.shape[1] - SIDE)
    return cell[y : y + SIDE, x : x + SIDE].astype(np.uint16) << 4


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("images", type=pathlib.Path)
    parser.add_argument("destination", type=pathlib.Path)
    parser.add_argument("--wells", type=int, default=ROWS * COLUMNS)
    options = parser.parse_args()

    nuclei = tifffile.imread(options.images / "img2d.tif")
    stack = tifffile.imread(options.images / "img3d.tif")
    cell = skimage.data.cell()
    options.destination.mkdir(parents=True, exist_ok=True)
    total = 0
    for number, well in enumerate(wells(options.wells)):
        for site, field in ((1, turned(nuclei, number)), (2, mosaic(stack, number))):
            for channel, plane in ((1, field), (2, second_channel(cell, number + site))):
                path = options.destination / f"Nuclei_{well}_s{site}_w{channel}.tif"
                tifffile.imwrite(path, np.ascontiguousarray(plane, dtype=np.uint16), photometric="minisblack")
                total += path.stat().st_size
    print(f"{options.wells} wells × 2 sites × 2 channels = {options.wells * 4} images, {total / 1e6:.0f} MB")


if __name__ == "__main__":
    sys.exit(main())

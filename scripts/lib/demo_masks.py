#!/usr/bin/env python3
"""Segments the nuclei of a plate's first channel, as demo_pipeline.py does, and writes the masks beside the names of
their images: NAME_mask.tif, labels of 16 bit, and of each well's first site also NAME_distance.tif, 32-bit floats.

    demo_masks.py PLATE DESTINATION
"""

import argparse
import pathlib

import numpy as np
import tifffile
from scipy import ndimage
from skimage.filters import threshold_otsu
from skimage.segmentation import watershed


def labels_of(pixels):
    """(labels, distances to the border)"""
    inside = ndimage.binary_opening(pixels > threshold_otsu(pixels), iterations=2)
    distance = ndimage.distance_transform_edt(inside).astype(np.float32)
    markers, _ = ndimage.label(distance > 0.5 * distance.max())
    return watershed(-distance, markers, mask=inside).astype(np.uint16), distance


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("plate", type=pathlib.Path)
    parser.add_argument("destination", type=pathlib.Path)
    options = parser.parse_args()
    options.destination.mkdir(parents=True, exist_ok=True)
    for image in sorted(options.plate.glob("*_w1.tif")):
        labels, distance = labels_of(tifffile.imread(image))
        tifffile.imwrite(options.destination / f"{image.stem}_mask.tif", labels, photometric="minisblack")
        if "_s1_" in image.name:
            tifffile.imwrite(options.destination / f"{image.stem}_distance.tif", distance, photometric="minisblack")


if __name__ == "__main__":
    main()

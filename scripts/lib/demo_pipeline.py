#!/usr/bin/env python3
"""A small screening pipeline that knows plain paths and nothing else.

    demo_pipeline.py ROOT [--step correct|segment|measure] [--processes 2]

    correct   plate/*.tif                      → intermediates/corrected/*.tif   background taken off (uint16)
    segment   intermediates/corrected/*_w1.tif → intermediates/labels/*.tif      Otsu, distance, watershed (uint16)
    measure   labels and both channels         → results/wells/*.csv and results/measurements.csv
"""

import os

# Two processes are two processes: no threads of the numeric libraries beside them.
for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ[variable] = "1"

import argparse
import collections
import csv
import functools
import multiprocessing
import pathlib
import sys
import time

import numpy as np
import tifffile
from scipy import ndimage
from skimage.feature import peak_local_max
from skimage.filters import threshold_otsu
from skimage.measure import regionprops_table
from skimage.segmentation import watershed

CORRECTED, LABELS, RESULTS = "intermediates/corrected", "intermediates/labels", "results"
PROPERTIES = ("label", "area", "centroid", "eccentricity", "intensity_mean", "intensity_max")


def correct(root, name):
    """Takes the slowly varying background off one image and smooths the camera's noise."""
    image = tifffile.imread(root / "plate" / name).astype(np.float32)
    background = ndimage.gaussian_filter(ndimage.minimum_filter(image, size=15), sigma=25)
    corrected = ndimage.gaussian_filter(image, sigma=1) - background
    scaled = np.clip(np.rint(corrected * 64), 0, 65535).astype(np.uint16)
    tifffile.imwrite(root / CORRECTED / name, scaled, photometric="minisblack")


def segment(root, name):
    """Nuclei as labels: Otsu's threshold, then a watershed from the peaks of the distance to the border."""
    image = tifffile.imread(root / CORRECTED / name)
    inside = ndimage.binary_fill_holes(image > threshold_otsu(image))
    distance = ndimage.gaussian_filter(ndimage.distance_transform_edt(inside), sigma=1)
    peaks = peak_local_max(distance, min_distance=7, labels=ndimage.label(inside)[0])
    markers = np.zeros(image.shape, dtype=np.int32)
    markers[tuple(peaks.T)] = np.arange(1, len(peaks) + 1)
    labels = watershed(-distance, markers, mask=inside).astype(np.uint16)
    tifffile.imwrite(root / LABELS / labels_of(name), labels, photometric="minisblack")


def measure(root, name):
    """One row for every nucleus of one site, with the intensity of both channels."""
    labels = tifffile.imread(root / LABELS / labels_of(name))
    channels = [tifffile.imread(root / CORRECTED / name.replace("_w1", f"_w{channel}")) for channel in (1, 2)]
    table = regionprops_table(labels, np.stack(channels, axis=-1), properties=PROPERTIES)
    path = root / RESULTS / "wells" / name.replace("_w1.tif", ".csv")
    with open(path, "w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(table)
        rows.writerows([f"{value:.6g}" for value in row] for row in zip(*table.values()))


def collect(root):
    """All sites in one table, written as many programs do: beside it, made durable, then renamed into place."""
    target = root / RESULTS / "measurements.csv"
    partial = target.with_suffix(".csv.partial")
    nuclei = 0
    with open(partial, "w", newline="") as file:
        rows = csv.writer(file)
        for number, path in enumerate(sorted((root / RESULTS / "wells").iterdir())):
            header, *lines = csv.reader(path.read_text().splitlines())
            if number == 0:
                rows.writerow(["image", *header])
            rows.writerows([path.stem, *line] for line in lines)
            nuclei += len(lines)
        file.flush()
        os.fsync(file.fileno())
    partial.rename(target)
    return nuclei


def labels_of(name):
    return name.replace("_w1.tif", "_labels.tif")


STEPS = {
    "correct": (correct, CORRECTED, lambda root: (root / "plate").glob("*.tif")),
    "segment": (segment, LABELS, lambda root: (root / CORRECTED).glob("*_w1.tif")),
    "measure": (measure, RESULTS + "/wells", lambda root: (root / CORRECTED).glob("*_w1.tif")),
}


def run(step, root, processes):
    work, folder, inputs = STEPS[step]
    (root / folder).mkdir(parents=True, exist_ok=True)
    names = sorted(path.name for path in inputs(root))
    if not names:
        sys.exit(f"{step}: nothing to do in {root}")
    began = time.monotonic()
    with multiprocessing.Pool(processes) as pool:
        collections.deque(pool.imap_unordered(functools.partial(work, root), names, chunksize=4), maxlen=0)
    said = f", {collect(root)} nuclei" if step == "measure" else ""
    print(f"  {step:8} {len(names):4} images in {time.monotonic() - began:5.1f} s{said}", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("root", type=pathlib.Path)
    parser.add_argument("--step", choices=STEPS, action="append")
    parser.add_argument("--processes", type=int, default=2)
    options = parser.parse_args()
    for step in options.step or STEPS:
        run(step, options.root, options.processes)


if __name__ == "__main__":
    sys.exit(main())

#!/usr/bin/env python3
"""Writes every variant of an image file that scopefs must hold byte for byte, or leave alone, with the programs that
really write such files. Runs in the environment `writers` (scripts/lib/readers-env --only writers).

    generate.py DESTINATION [--only TEXT] [--need WRITER,…] [--large]

DESTINATION/files gets the files, DESTINATION/manifest.json what is true of each: `verdict` (sealed: must be; left: must
not be; either), `why`, `writer`, `size`, `sha256`, and `planes`, the digests of its pixels at full resolution. A writer
that is not installed is skipped aloud, unless --need names it (`all`: every one).
"""

import argparse
import hashlib
import itertools
import json
import pathlib
import sys
import warnings

import by_java
import by_libraries
import by_numpy
import by_tifffile
import numpy as np
import odd
import tifffile
from case import LEFT, SEALED, Missing

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "readers"))
import found  # noqa: E402 (lies beside this folder)

GROUPS = {
    "tifffile": by_tifffile.cases,
    "numpy": by_numpy.cases,
    **by_libraries.GROUPS,
    **by_java.GROUPS,
    "by hand": odd.cases,
}


def planes(path, reader):
    """Digests of the planes at full resolution, samples apart, in the order of the file."""
    if reader == "numpy":
        array = np.load(path)
        return (
            [found.digest(plane) for plane in array.reshape(-1, *array.shape[-2:])]
            if array.ndim > 1 and array.size
            else []
        )
    digests = []
    if reader == "pages":
        with tifffile.TiffFile(path) as file:
            return [found.digest(page.asarray()) for page in file.pages]
    with tifffile.TiffFile(path) as file:
        for series in file.series:
            array = series.asarray()
            if "S" in series.axes:
                array = np.moveaxis(array, series.axes.index("S"), 0)
            digests += [found.digest(plane) for plane in array.reshape(-1, *array.shape[-2:])]
    return digests


def entry(case, path):
    with open(path, "rb") as file:
        sha256 = hashlib.file_digest(file, "sha256").hexdigest()
    said = {"name": case.name, "writer": case.writer, "verdict": case.verdict, "why": case.why, "read": case.read}
    said |= {"size": path.stat().st_size, "sha256": sha256}
    said["planes"] = [] if case.read == "nothing" or case.verdict == LEFT else planes(path, case.read)
    if case.verdict == SEALED and not said["planes"]:
        raise ValueError(f"{case.name} has no pixels to compare")
    return said


def sound(case, path):
    """That the writer did what the case says: a file that must be sealed is uncompressed, one compressed is not."""
    if case.read != "tifffile":
        return
    with tifffile.TiffFile(path) as file:
        packed = {page.compression.name for page in file.pages if page.compression != 1}
    if case.verdict == SEALED and packed:
        raise ValueError(f"{case.writer} wrote {case.name} with compression {packed}")
    if "compressed" in case.why and "uncompressed" not in case.why and not packed:
        raise ValueError(f"{case.writer} wrote {case.name} without compression")


def generate(folder, only="", needed=()):
    """(entries, {writer: why it is missing}, [what went wrong])"""
    entries, missing, wrong = [], {}, []
    for writer, cases in GROUPS.items():
        try:
            for case in cases():
                if only in case.name:
                    path = folder / case.name
                    try:
                        case.write(path)
                        sound(case, path)
                        entries.append(entry(case, path))
                    except Missing:
                        raise
                    except Exception as error:  # a writer may fail in any way; the others go on
                        path.unlink(missing_ok=True)
                        wrong.append(f"{case.name}: {type(error).__name__}: {error}")
        except (Missing, ImportError) as why:
            missing[writer] = str(why)
            if writer in needed or "all" in needed:
                wrong.append(f"{writer}: {why}")
    return entries, missing, wrong


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("destination", type=pathlib.Path)
    parser.add_argument("--only", default="", help="only variants whose name contains this")
    parser.add_argument("--need", default="", help="writers that must be there")
    parser.add_argument("--large", action="store_true", help="an OME-TIFF of 2 GiB as well")
    options = parser.parse_args()
    if options.large:
        GROUPS["tifffile, large"] = by_tifffile.large
    warnings.simplefilter("ignore")
    folder = options.destination / "files"
    folder.mkdir(parents=True)
    entries, missing, wrong = generate(folder, options.only, options.need.split(","))
    manifest = {"files": entries, "missing": missing}
    (options.destination / "manifest.json").write_text(json.dumps(manifest, indent=1))
    for writer, group in itertools.groupby(entries, lambda each: each["writer"]):
        verdicts = [each["verdict"] for each in group]
        counts = f"{verdicts.count(SEALED)} to be sealed, {verdicts.count(LEFT)} left"
        print(f"  {writer:12} {len(verdicts):4} variants, {counts}")
    for writer, why in missing.items():
        print(f"  skipped: {writer}: {why}")
    for line in wrong:
        print(f"  wrong: {line}")
    print(f"{len(entries)} variants, {sum(each['size'] for each in entries) / 1e6:.1f} MB")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())

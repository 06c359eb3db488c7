#!/usr/bin/env python3
"""grow_plate.py FOLDER JOURNAL SEED PREFIX: writes images of a plate with tifffile until it is killed or a call fails;
runs in the environment of scripts/setup. Before each file a line `["I", name]`, after it
`["A", name, [size, sha256, mtime]]`, where it fails `["X", name, error]`."""

import hashlib
import json
import os
import random
import sys

import numpy as np
import tifffile

EDGE = 128


def plane(dice):
    noise = np.frombuffer(dice.randbytes(EDGE * EDGE), np.uint8).reshape(EDGE, EDGE)
    return noise.astype(np.uint16) + 100 * (np.arange(EDGE, dtype=np.uint16) // 8)


def anew(path, dice):
    tifffile.imwrite(path, plane(dice), photometric="minisblack")


def by_rename(path, dice):
    tifffile.imwrite(f"{path}.part", plane(dice), photometric="minisblack")
    os.rename(f"{path}.part", path)


def further_page(path, dice):
    tifffile.imwrite(path, plane(dice), photometric="minisblack", append=os.path.exists(path))


def in_place(path, dice):
    if not os.path.exists(path):
        return anew(path, dice)
    with tifffile.TiffFile(path) as file:
        at = file.pages[0].dataoffsets[0]
    with open(path, "r+b") as file:
        file.seek(at)
        file.write(plane(dice).tobytes())
    return None


def said_of(path):
    with open(path, "rb") as file:
        data = file.read()
    return [len(data), hashlib.sha256(data).hexdigest(), os.stat(path).st_mtime_ns]


def main():
    folder, journal, seed, prefix = sys.argv[1:]
    dice = random.Random(int(seed))
    ways = {anew: 6, by_rename: 2, further_page: 2, in_place: 4}
    with open(journal, "ab", buffering=0) as lines:
        while True:
            well = f"{dice.choice('ABCDEFGH')}{dice.randint(1, 12):02}"
            name = f"{prefix}_{well}_s{dice.randint(1, 2)}_w{dice.randint(1, 2)}.tif"
            lines.write(json.dumps(["I", name]).encode() + b"\n")
            path = os.path.join(folder, name)
            try:
                dice.choices(list(ways), ways.values())[0](path, dice)
                lines.write(json.dumps(["A", name, said_of(path)]).encode() + b"\n")
            except Exception as error:
                lines.write(json.dumps(["X", name, f"{type(error).__name__}: {error}"]).encode() + b"\n")
                return


main()

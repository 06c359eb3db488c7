#!/usr/bin/env python3
"""Blosc frames as numcodecs (the C library) writes and reads them. Runs in the environment `writers`.

    codec.py write DIRECTORY    NAME.blosc and NAME.raw: each a frame of LZ4 with no, byte or bit shuffle, and its bytes
    codec.py check DIRECTORY    that numcodecs decodes each NAME.blosc there to the bytes of NAME.raw
    codec.py sizes DIRECTORY    for each NAME.raw, the bytes that numcodecs needs with each shuffle (JSON)

A name says the size of an element, the shuffle and the block size: `u2-slope-bit-65536`. `check` fails where there is
nothing to check, and on a frame that is cut, changed or lies.
"""

import argparse
import json
import pathlib
import re
import struct
import sys

import numpy as np
from numcodecs import Blosc

SHUFFLES = {"none": Blosc.NOSHUFFLE, "byte": Blosc.SHUFFLE, "bit": Blosc.BITSHUFFLE}
# version, version of lz4, flags, size of an element, bytes, bytes of a block, bytes of the frame
HEADER = struct.Struct("<BBBBIII")


def contents():
    """{name: array}: what compresses well, badly and not at all, in lengths that leave odd ends."""
    dice = np.random.default_rng(7)
    for size, dtype in ((1, "u1"), (2, "u2"), (4, "f4"), (8, "f8")):
        ramp = np.arange(150_001) % 4096
        yield f"u{size}-slope", ramp.astype(dtype)
        yield f"u{size}-noise", np.frombuffer(dice.bytes(100_000 * size), f"u{size}")
        yield f"u{size}-camera", (dice.poisson(300, 200 * 301) % 250).astype(dtype)
        yield f"u{size}-zeros", np.zeros(70_000, dtype)
        for count in (1, 7, 8, 15, 127, 129):
            yield f"u{size}-short{count}", (np.arange(count) * 3).astype(dtype)


def write(folder):
    folder.mkdir(parents=True, exist_ok=True)
    count = 0
    for name, array in contents():
        for word, shuffle in SHUFFLES.items():
            for block in (0, 4096, 262144):
                codec = Blosc(cname="lz4", clevel=5, shuffle=shuffle, blocksize=block)
                stem = folder / f"{name}-{word}-{block}"
                stem.with_suffix(".blosc").write_bytes(codec.encode(array))
                stem.with_suffix(".raw").write_bytes(array.tobytes())
                count += 1
    print(f"{count} frames written")
    return 0


def problem(frame, raw):
    """What is wrong with a frame, in words; empty when nothing is."""
    if len(frame) < HEADER.size:
        return "shorter than a header"
    _, _, flags, _, size, _, stored = HEADER.unpack_from(frame)
    if stored != len(frame) or size != len(raw):
        return f"says {size} bytes in {stored}, and is {len(raw)} in {len(frame)}"
    if flags >> 5 != 1:
        return f"its compressor is {flags >> 5}, not LZ4 (1)"
    try:
        decoded = bytes(Blosc().decode(frame))
    except (RuntimeError, ValueError) as error:
        return f"numcodecs cannot decode it: {error}"
    return "" if decoded == raw else "decodes to other bytes"


def check(folder):
    frames = sorted(folder.glob("*.blosc"))
    wrong = 0
    for frame in frames:
        said = problem(frame.read_bytes(), frame.with_suffix(".raw").read_bytes())
        if said:
            wrong += 1
            print(f"  FAILED  {frame.name}: {said}")
    print(f"{len(frames) - wrong} passed, {wrong} failed, 0 skipped")
    return 1 if wrong or not frames else 0


def sizes(folder):
    said = {}
    for raw in sorted(folder.glob("*.raw")):
        width = int(re.match(r"u(\d)", raw.name)[1])
        array = np.frombuffer(raw.read_bytes(), f"u{width}")
        said[raw.stem] = {
            word: len(Blosc(cname="lz4", clevel=5, shuffle=shuffle).encode(array)) for word, shuffle in SHUFFLES.items()
        }
    print(json.dumps(said, indent=1))
    return 0 if said else 1


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("verb", choices=["write", "check", "sizes"])
    parser.add_argument("directory", type=pathlib.Path)
    options = parser.parse_args()
    return {"write": write, "check": check, "sizes": sizes}[options.verb](options.directory)


if __name__ == "__main__":
    sys.exit(main())

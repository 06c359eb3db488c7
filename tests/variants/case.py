"""A variant of an image file: who writes it, what must become of it, and why."""

import functools
import shutil
import subprocess
from dataclasses import dataclass
from typing import Callable

import numpy as np

SEALED, LEFT, EITHER = "sealed", "left", "either"
PLAIN = "uncompressed, of a type that arrays hold"


class Missing(Exception):
    """A writer that is not installed here."""


@dataclass
class Case:
    name: str
    writer: str
    write: Callable  # of the path
    verdict: str = SEALED  # SEALED: must be; LEFT: must not be; EITHER: may be, byte for byte
    why: str = PLAIN
    read: str = "tifffile"  # what reads its pixels: tifffile, pages (tifffile, one at a time), numpy, or nothing


def case(name, writer, verdict=SEALED, why=PLAIN, read=None):
    """A decorator-free way to say a case: `case(…)(function of the path)`."""
    read = read if read is not None else "numpy" if name.endswith(".npy") else "tifffile"
    return lambda write: Case(name, writer, write, verdict, why, read)


@functools.cache
def pixels(shape, dtype="uint16", seed=1):
    """Something like a camera's picture: a slope, blobs and noise, over the whole range that a type can use."""
    dice = np.random.default_rng([seed, *shape])
    height, width = shape[-2:] if len(shape) > 1 else (1, shape[-1])
    y, x = np.mgrid[:height, :width]
    slope = (np.sin(y / 9) + np.cos(x / 13) + 2.0).reshape(shape[-2:])
    picture = slope + dice.normal(0, 0.2, shape)
    dtype = np.dtype(dtype)
    if dtype.kind in "fc":
        return picture.astype(dtype)
    if dtype.kind == "b":
        return picture > 2
    low, high = np.iinfo(dtype).min, np.iinfo(dtype).max
    high = min(high, 60000) if dtype.itemsize > 1 else high
    return np.clip(picture / 5 * (high - max(low, -30000)) + max(low, -30000), max(low, -30000), high).astype(dtype)


def colour(height, width, samples=3, dtype="uint8"):
    """Interleaved, as colour cameras give it."""
    return np.moveaxis(pixels((samples, height, width), dtype), 0, -1)


def program(*names):
    """The path of the first of these programs that is there."""
    for name in names:
        found = shutil.which(name)
        if found:
            return found
    raise Missing(f"{names[0]} is not installed")


def run(*command):
    done = subprocess.run([str(word) for word in command], capture_output=True, text=True, errors="replace")
    if done.returncode:
        raise OSError(f"{' '.join(map(str, command))} ended with {done.returncode}: {done.stdout}{done.stderr}")
    return done.stdout

"""npy files: versions, types, orders, dimensions."""

import functools

import numpy as np
from case import EITHER, LEFT, SEALED, case, pixels

TYPES = ["uint8", "uint16", "uint32", "uint64", "int8", "int16", "int32", "int64", "float32", "float64"]


def npy(name, array, verdict=SEALED, why="C order, of a type that arrays hold", version=None):
    return case(f"numpy-{name}.npy", "numpy", verdict, why)(functools.partial(_write, array=array, version=version))


def _write(path, array, version):
    with open(path, "wb") as file:
        np.lib.format.write_array(file, array, version=version)


def cases():
    for dtype in TYPES:
        yield npy(dtype, pixels((5, 60, 83), dtype))
    for dtype in ("uint16", "int32", "float64"):
        yield npy(f"big-endian-{dtype}", pixels((60, 83), dtype).astype(np.dtype(dtype).newbyteorder(">")))
    for version in ((1, 0), (2, 0), (3, 0)):
        yield npy(f"version-{version[0]}", pixels((60, 83)), version=version)
    yield npy("five-dimensions", pixels((2, 3, 2, 30, 40)))
    yield npy("a-megapixel", pixels((1080, 1080)))
    yield npy("one-dimension", pixels((5000,)), EITHER, "one dimension is no image")
    yield npy("no-dimension", np.uint16(7)[()].reshape(()), EITHER, "no dimension is no image")
    yield npy("empty", np.zeros((0, 60), np.uint16), EITHER, "it holds nothing")
    yield npy("fortran", np.asfortranarray(pixels((60, 83))), LEFT, "Fortran order")
    yield npy("fortran-stack", np.asfortranarray(pixels((5, 60, 83))), LEFT, "Fortran order")
    yield npy("float16", pixels((60, 83), "float16"), LEFT, "float16 is a type that not all readers of stores know")
    yield npy("complex64", pixels((60, 83), "complex64"), LEFT, "complex numbers")
    yield npy("bool", pixels((60, 83), "bool"), LEFT, "truth values")
    yield npy("structured", np.zeros((40, 50), [("a", "<u2"), ("b", "<f4")]), LEFT, "a structured type")
    yield npy("text", np.array([["a", "bc"], ["def", ""]]), LEFT, "text")
    yield npy("dates", np.zeros((40, 50), "datetime64[s]"), LEFT, "dates")
    yield case("numpy-object.npy", "numpy", LEFT, "Python objects", read="nothing")(
        lambda path: np.save(path, np.array([{"a": 1}, None], dtype=object), allow_pickle=True)
    )
    yield case("numpy-compressed.npz", "numpy", LEFT, "neither TIFF nor npy", read="nothing")(
        lambda path: np.savez_compressed(path, a=pixels((60, 83)))
    )

#!/usr/bin/env python3
"""tensorstore: each array by its path; it knows no groups, so the metadata are read from their files."""

import importlib.metadata

import found
import numpy as np
import tensorstore


class Opened:
    """A tensorstore array that numpy's way of asking works on."""

    def __init__(self, folder):
        driver = "zarr3" if (folder / "zarr.json").exists() else "zarr"
        spec = {"driver": driver, "kvstore": {"driver": "file", "path": str(folder)}}
        self.array = tensorstore.open(spec, read=True, open=True).result()
        self.shape, self.dtype = self.array.shape, self.array.dtype.numpy_dtype

    def __getitem__(self, index):
        return np.asarray(self.array[index].read().result())


def read(store):
    attributes = found.attributes_from_files(store)
    images = {
        path: found.image(axes, [Opened(store / name) for name in levels])
        for path, axes, levels in found.walk(attributes)
    }
    return {"version": importlib.metadata.version("tensorstore"), "images": images}


found.run("tensorstore", read)

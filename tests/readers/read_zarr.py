#!/usr/bin/env python3
"""zarr-python, 2 or 3: from the root group down, as a script would."""

import found
import zarr


def read(store):
    root = zarr.open_group(str(store), mode="r")

    def attributes(path):
        try:
            node = root[path] if path else root
        except KeyError:
            return None
        return node.attrs.asdict()

    images = {path: found.image(axes, [root[name] for name in levels]) for path, axes, levels in found.walk(attributes)}
    return {"version": zarr.__version__, "images": images}


found.run("zarr-python", read)

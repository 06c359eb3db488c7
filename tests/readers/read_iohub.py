#!/usr/bin/env python3
"""iohub: plates and single images (positions, in its words)."""

import importlib.metadata

import found
from iohub.ngff import open_ome_zarr


def said(position):
    axes = [axis.name for axis in position.axes]
    levels = [scale.path for scale in position.metadata.multiscales[0].datasets]
    return found.image(axes, [position[name] for name in levels])


def read(store):
    attributes = found.attributes_from_files(store)
    version = "0.5" if (store / "zarr.json").exists() else "0.4"
    images = {}
    if "plate" in (found.ngff(attributes("")) or {}):
        with open_ome_zarr(store, layout="hcs", mode="r", version=version) as plate:
            images = {path: said(position) for path, position in plate.positions()}
    else:
        for path, _, _ in found.walk(attributes):
            with open_ome_zarr(store / path, layout="fov", mode="r", version=version) as position:
                images[path] = said(position)
    return {"version": importlib.metadata.version("iohub"), "images": images}


found.run("iohub", read)

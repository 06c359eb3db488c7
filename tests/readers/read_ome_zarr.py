#!/usr/bin/env python3
"""ome-zarr's reader, 0.11 or 0.18: each image by itself, and the stitched view of a plate that viewers show."""

import importlib.metadata
import pathlib

import found
from ome_zarr.io import parse_url
from ome_zarr.reader import Plate, Reader


def nodes(path):
    location = parse_url(str(path))
    if location is None:
        raise FileNotFoundError(f"ome-zarr finds no store at {path}")
    return list(Reader(location)())


def axes_of(node):
    return found.axes_of({"axes": node.metadata["axes"]})


def is_at(node, path):
    return pathlib.Path(node.zarr.path).resolve() == path


def read(store):
    report = {"version": importlib.metadata.version("ome-zarr"), "images": {}, "views": {}}
    for path, axes, _ in found.walk(found.attributes_from_files(store)):
        # An image's node comes before those of the labels in it, but a label's behind that of its image.
        node = next(node for node in nodes(store / path) if node.data and is_at(node, store / path))
        report["images"][path] = found.image(axes_of(node), node.data)
    for node in nodes(store):
        for spec in node.specs:
            if isinstance(spec, Plate):
                report["views"] = found.views(spec.plate_data, axes_of(node), node.data, spec.first_field_path)
    return report


found.run("ome-zarr", read)

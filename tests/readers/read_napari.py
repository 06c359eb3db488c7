#!/usr/bin/env python3
"""napari-ome-zarr's reader as napari calls it, with no window: each image, and the stitched view of a plate."""

import contextlib
import importlib.metadata
import sys

import found
from napari_ome_zarr._reader import napari_get_reader


def layers(path, kind="image"):
    """The layers of this kind that napari would show."""
    # The plugin prints.
    with contextlib.redirect_stdout(sys.stderr):
        reader = napari_get_reader(str(path))
        if reader is None:
            raise TypeError(f"napari-ome-zarr does not take {path}")
        shown = reader(str(path)) if callable(reader) else reader
        return [(data, meta) for data, meta, of_kind in shown if of_kind == kind]


def pyramid(data):
    return list(data) if isinstance(data, (list, tuple)) else [data]


def joined(axes, data, meta):
    """Arrays in the store's own axes: napari takes the channel axis out and shows a layer for each channel."""
    arrays = pyramid(data)
    if len(arrays[0].shape) != len(axes):
        raise ValueError(f"a layer of shape {arrays[0].shape} for axes {axes}; {meta}")
    return arrays


def read(store):
    attributes = found.attributes_from_files(store)
    report = {"version": importlib.metadata.version("napari-ome-zarr"), "images": {}, "views": {}}
    axes = []
    for path, axes, _ in found.walk(attributes):
        data, meta = next(iter(layers(store / path, "labels" if "labels/" in path else "image")))
        report["images"][path] = found.image(axes, joined(axes, data, meta))
    plate = (found.ngff(attributes("")) or {}).get("plate")
    if plate:
        axes = next(axes for path, axes, _ in found.walk(attributes) if "labels/" not in path)
        first = min(well["path"] for well in plate["wells"])
        field = found.ngff(attributes(first))["well"]["images"][0]["path"]
        data, meta = next(iter(layers(store)))
        report["views"] = found.views(plate, axes, joined(axes, data, meta), field)
    return report


found.run("napari-ome-zarr", read)

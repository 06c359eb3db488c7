#!/usr/bin/env python3
"""ome-zarr-models validates the store and, one by one, each well and image in it, as NGFF 0.4 or 0.5."""

import importlib.metadata

import found
import zarr
from ome_zarr_models import open_ome_zarr


def read(store):
    root = zarr.open_group(str(store), mode="r")
    attributes = found.attributes_from_files(store)
    version = "0.5" if root.metadata.zarr_format == 3 else "0.4"
    groups = [path for path, _, _ in found.walk(attributes)]
    plate = (found.ngff(attributes("")) or {}).get("plate")
    if plate:
        groups += [well["path"] for well in plate["wells"]]
    # 0.5 has no model for a collection.
    if version == "0.4" or "bioformats2raw.layout" not in (found.ngff(attributes("")) or {}):
        groups.append("")
    for path in sorted(set(groups)):
        model = open_ome_zarr(root[path] if path else root, version=version)
        kind = type(model).__name__
        wanted = {"": "HCS" if plate else kind}.get(path, kind)
        if kind != wanted:
            raise TypeError(f"{path or 'the store'} was taken for {kind}, not {wanted}")
    return {"version": importlib.metadata.version("ome-zarr-models"), "validated": sorted(set(groups))}


found.run("ome-zarr-models", read)

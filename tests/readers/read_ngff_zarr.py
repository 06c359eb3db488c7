#!/usr/bin/env python3
"""ngff-zarr: a plate through its HCS interface, anything else as multiscales."""

import importlib.metadata

import found
from ngff_zarr import from_hcs_zarr, from_ngff_zarr


def said(multiscales):
    return found.image(multiscales.images[0].dims, [image.data for image in multiscales.images])


def read(store):
    attributes = found.attributes_from_files(store)
    plate = (found.ngff(attributes("")) or {}).get("plate")
    images = {}
    if plate:
        opened = from_hcs_zarr(str(store))
        for well in opened.wells:
            row, column = well.path.split("/")
            fields = opened.get_well(row, column)
            for number, field in enumerate(fields.images):
                images[f"{well.path}/{field.path}"] = said(fields.get_image(number))
    else:
        for path, _, _ in found.walk(attributes):
            images[path] = said(from_ngff_zarr(str(store / path)))
    return {"version": importlib.metadata.version("ngff-zarr"), "images": images}


found.run("ngff-zarr", read)

#!/usr/bin/env python3
"""`ome_zarr info`, through its own command line: on the store, and on every image in it."""

import contextlib
import importlib.metadata
import io
import logging

import found
from ome_zarr import cli


def info(path):
    """What it prints; anything but a clean description is an error. Called in this process: it starts slowly."""
    said, log = io.StringIO(), io.StringIO()
    handler = logging.StreamHandler(log)
    logging.getLogger().addHandler(handler)
    try:
        with contextlib.redirect_stdout(said):
            cli.main(["info", str(path)])
    finally:
        logging.getLogger().removeHandler(handler)
    if "- data" not in said.getvalue() or "Traceback" in log.getvalue() or "not a zarr" in log.getvalue().lower():
        raise RuntimeError(f"ome_zarr info {path}:\n{said.getvalue()}{log.getvalue()}")


def read(store):
    attributes = found.attributes_from_files(store)
    accepted = []
    root = found.ngff(attributes("")) or {}
    # A collection's root is known to it by its images only.
    if "bioformats2raw.layout" not in root:
        info(store)
        accepted.append("")
    # A plate has hundreds of images: three of them stand for all.
    images = [path for path, _, _ in found.walk(attributes)]
    for path in {*images[:1], *images[len(images) // 2 :][:1], *images[-1:]} - {""}:
        info(store / path)
        accepted.append(path)
    return {"version": importlib.metadata.version("ome-zarr"), "validated": accepted}


found.run("ome_zarr info", read)

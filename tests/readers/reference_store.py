#!/usr/bin/env python3
"""Writes a plate of TIFFs as an OME-Zarr store with zarr-python, by the conventions that scopefs keeps: a store that
the readers and their comparison are proven on. Runs in the environment zarr3.

    reference_store.py ORIGINALS STORE [--ngff 0.4|0.5]      a plate, from TIFFs under ImageXpress names
    reference_store.py MANIFEST STORE [--ngff 0.4|0.5]       a collection, from the npy files of tests/variants

Every well lists every field that the plate has: ome-zarr 0.11 and napari-ome-zarr look for the first well's first field
in each well, and the former gives up where it is not. All fields declare the same extents, absent planes are missing
chunks with fill value 0, chunks are whole planes, there are two levels, and an ordinary group `scopefs/` lies beside the
wells.
"""

import argparse
import pathlib
import string

import expected
import numpy as np
import tifffile
import zarr
from numcodecs import Blosc
from zarr.codecs import BloscCodec

LEVEL = 256


class Writer:
    """Groups and arrays in either format of Zarr."""

    def __init__(self, store, ngff):
        self.version = ngff
        self.root = zarr.open_group(str(store), mode="w-", zarr_format=2 if ngff == "0.4" else 3)

    def group(self, path, said):
        """Creates it, or changes what it says."""
        group = self.root.require_group(path) if path else self.root
        group.attrs.update(said if self.version == "0.4" else {"ome": {"version": "0.5", **said}})
        return group

    def array(self, path, shape, dtype, axes):
        chunks = (1,) * (len(shape) - 2) + tuple(shape[-2:])
        common = {"shape": shape, "chunks": chunks, "dtype": dtype, "fill_value": 0}
        if self.version == "0.4":
            blosc = Blosc(cname="lz4", clevel=5, shuffle=Blosc.SHUFFLE)
            return self.root.create_array(
                path, compressors=blosc, filters=None, chunk_key_encoding={"name": "v2", "separator": "/"}, **common
            )
        blosc = BloscCodec(cname="lz4", clevel=5, shuffle="shuffle")
        return self.root.create_array(path, compressors=blosc, dimension_names=list(axes), **common)


def versioned(writer, said):
    """0.4 says its version inside each object, 0.5 once beside them."""
    return {"version": "0.4", **said} if writer.version == "0.4" else said


def reduced(plane):
    """Means over squares, to about 256 pixels."""
    factor = max(1, max(plane.shape) // LEVEL)
    height, width = (extent // factor for extent in plane.shape)
    blocks = plane[: height * factor, : width * factor].reshape(height, factor, width, factor)
    return np.round(blocks.mean(axis=(1, 3))).astype(plane.dtype), factor


def multiscales(writer, factor):
    axes = [{"name": "c", "type": "channel"}] + [
        {"name": name, "type": "space", "unit": "micrometer"} for name in "zyx"
    ]
    datasets = [
        {"path": str(number), "coordinateTransformations": [{"type": "scale", "scale": [1.0, 1.0, step, step]}]}
        for number, step in enumerate((0.65, 0.65 * factor))
    ]
    return [versioned(writer, {"name": "field", "axes": axes, "datasets": datasets})]


def omero(channels):
    window = {"start": 0, "end": 4095, "min": 0, "max": 65535}
    return {"channels": [{"label": f"w{n}", "color": "00FF00", "active": True, "window": window} for n in channels]}


def write_field(writer, path, planes, channels, shape, dtype):
    """`planes` is {channel index: pixels}."""
    small, factor = reduced(np.zeros(shape, dtype))
    writer.group(path, {"multiscales": multiscales(writer, factor), "omero": omero(channels)})
    full = writer.array(f"{path}/0", (len(channels), 1, *shape), dtype, "czyx")
    level = writer.array(f"{path}/1", (len(channels), 1, *small.shape), dtype, "czyx")
    for channel, pixels in planes.items():
        full[channel, 0] = pixels
        level[channel, 0] = reduced(pixels)[0]


def write_plate(files, store, ngff="0.4"):
    """Wells that have no file are left out; fields and channels are named by their rank in the plate."""
    files = {expected.position(file.name): file for file in files}
    first = tifffile.imread(next(iter(files.values())))
    writer = Writer(store, ngff)
    channels = sorted({at.channel for at in files})
    sites = sorted({at.site for at in files})
    wells = sorted({(at.row, at.column) for at in files})
    for row, column in wells:
        well = well_path(row, column)
        for site in sites:
            planes = {
                channels.index(at.channel): tifffile.imread(file)
                for at, file in files.items()
                if (at.row, at.column, at.site) == (row, column, site)
            }
            write_field(writer, f"{well}/{sites.index(site)}", planes, channels, first.shape, first.dtype)
        images = [{"path": str(sites.index(site))} for site in sites]
        writer.group(well, {"well": versioned(writer, {"images": images})})
    _write_root(writer, wells, len(sites))


def well_path(row, column):
    return f"{string.ascii_uppercase[row]}/{column + 1:02d}"


def _write_root(writer, wells, fields):
    rows, columns = (sorted({well[n] for well in wells}) for n in (0, 1))
    plate = {
        "name": "reference",
        "field_count": fields,
        "rows": [{"name": string.ascii_uppercase[n]} for n in range(rows[-1] + 1)],
        "columns": [{"name": f"{n + 1:02d}"} for n in range(columns[-1] + 1)],
        "wells": [{"path": well_path(r, c), "rowIndex": r, "columnIndex": c} for r, c in wells],
    }
    writer.group("", {"plate": versioned(writer, plate)})
    ours = writer.root.require_group("scopefs")
    ours.attrs.update({"scopefs": {"version": 1, "kind": "plate"}})
    table = writer.array("scopefs/tables", (4096,), "uint8", ["byte"])
    table[:16] = np.arange(16, dtype="uint8")


def write_collection(manifest, store, ngff):
    """Each array an image of one level."""
    writer = Writer(store, ngff)
    names = [name for name in expected.load(manifest) if name.endswith(".npy")]
    for number, name in enumerate(names):
        array = np.load(manifest.parent / "files" / name)
        axes = "tczyx"[-array.ndim :]
        channels = range(array.shape[axes.index("c")] if "c" in axes else 1)
        # iohub 0.2 cannot open an image without `omero`.
        writer.group(str(number), {"multiscales": _one_level(writer, name, axes), "omero": omero(channels)})
        little = array.dtype.newbyteorder("<")
        writer.array(f"{number}/0", array.shape, little, axes)[...] = array.astype(little)
    writer.group("", {"bioformats2raw.layout": 3})


def _one_level(writer, name, axes):
    kinds = {"t": "time", "c": "channel"}
    scale = [{"type": "scale", "scale": [1.0] * len(axes)}]
    return [versioned(writer, {
        "name": name, "axes": [{"name": axis, "type": kinds.get(axis, "space")} for axis in axes],
        "datasets": [{"path": "0", "coordinateTransformations": scale}],
    })]  # fmt: skip


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("originals", type=pathlib.Path)
    parser.add_argument("store", type=pathlib.Path)
    parser.add_argument("--ngff", choices=["0.4", "0.5"], default="0.4")
    options = parser.parse_args()
    if options.originals.is_file():
        write_collection(options.originals, options.store, options.ngff)
        return
    files = [file for file in sorted(options.originals.iterdir()) if expected.position(file.name)]
    write_plate(files, options.store, options.ngff)
    (options.store / "README.txt").write_text("A reference store for tests.\n")


if __name__ == "__main__":
    main()

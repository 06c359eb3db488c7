"""What every reader says about a store, in one form, so that one program can compare them all.

A reader is a program `read_X.py STORE [--json]` that imports this module, runs in an environment of its own and prints

    {"reader": "zarr-python", "version": "3.1.6",
     "images": {"B/03/0": {"axes": "czyx", "levels": [{"shape": [2, 1, 512, 512], "dtype": "uint16",
                           "planes": {"t0c0z0": {"sha256": "…", "mean": 812.5}, …}}, …]}},
     "views": {"B/03": {…as an image, "field": "0"}},      what a viewer shows of a whole plate, well by well
     "validated": ["", "B/03", "B/03/0"]}                  groups that a validator accepted

A plane's bytes are little-endian and in C order. Python's standard library and numpy are all that this needs.
"""

import argparse
import hashlib
import itertools
import json
import pathlib
import sys
import traceback

import numpy as np

LEADING = "tcz"


def canonical(plane):
    """The bytes that are hashed."""
    plane = np.asarray(plane)
    return np.ascontiguousarray(plane.astype(plane.dtype.newbyteorder("<"), copy=False)).tobytes()


def digest(plane):
    return hashlib.sha256(canonical(plane)).hexdigest()


def describe(plane):
    plane = np.asarray(plane)
    return {"sha256": digest(plane), "mean": float(plane.mean(dtype=np.float64)) if plane.size else 0.0}


def plane_name(axes, index):
    """`t0c1z0`: an axis that the image does not have is 0."""
    at = dict(zip(axes, index))
    return "".join(f"{axis}{at.get(axis, 0)}" for axis in LEADING)


def level(axes, array):
    """Everything about one array; `array` is anything with shape, dtype and basic indexing."""
    planes = {}
    for index in itertools.product(*(range(extent) for extent in array.shape[:-2])):
        planes[plane_name(axes, index)] = describe(np.asarray(array[index]) if index else np.asarray(array[...]))
    return {"shape": [int(extent) for extent in array.shape], "dtype": np.dtype(array.dtype).name, "planes": planes}


def image(axes, arrays):
    axes = "".join(axes).lower()
    return {"axes": axes, "levels": [level(axes, array) for array in arrays]}


# ---- finding one's way in a store; `attributes(path)` gives a group's attributes, or None where there is no group


def ngff(attributes):
    """0.5 keeps its metadata under `ome`."""
    return None if attributes is None else attributes.get("ome", attributes)


def attributes_from_files(store):
    """Reads the metadata files themselves, for libraries that know arrays only."""
    store = pathlib.Path(store)

    def attributes(path):
        folder = store / path
        if (folder / "zarr.json").exists():
            return json.loads((folder / "zarr.json").read_text()).get("attributes", {})
        if not (folder / ".zgroup").exists():
            return None
        file = folder / ".zattrs"
        return json.loads(file.read_text()) if file.exists() else {}

    return attributes


def axes_of(multiscales):
    return [axis if isinstance(axis, str) else axis["name"] for axis in multiscales["axes"]]


def walk(attributes, under=""):
    """(path, axes, [paths of its levels]) of every image below a group, labels included."""
    said = ngff(attributes(under)) or {}
    if "plate" in said:
        for well in said["plate"]["wells"]:
            path = join(under, well["path"])
            for field in ngff(attributes(path))["well"]["images"]:
                yield from _listed(attributes, join(path, field["path"]))
    elif "bioformats2raw.layout" in said:
        for name in _series(attributes, under):
            yield from _listed(attributes, join(under, name))
    elif "multiscales" in said:
        scales = said["multiscales"][0]
        yield under, axes_of(scales), [join(under, scale["path"]) for scale in scales["datasets"]]
        for name in (ngff(attributes(join(under, "labels"))) or {}).get("labels", []):
            yield from walk(attributes, join(under, f"labels/{name}"))


def _listed(attributes, path):
    """An image that the metadata above it name."""
    if "multiscales" not in (ngff(attributes(path)) or {}):
        raise LookupError(f"{path} is listed, and is no image")
    yield from walk(attributes, path)


def _series(attributes, under):
    """A collection's images: those that OME says, else 0, 1, 2 … as far as they go."""
    listed = (ngff(attributes(join(under, "OME"))) or {}).get("series")
    if listed is not None:
        return listed
    return itertools.takewhile(lambda name: attributes(join(under, name)) is not None, map(str, itertools.count()))


def join(*parts):
    return "/".join(part for part in parts if part)


# ---- cutting a whole plate's picture into its wells


def views(plate, axes, arrays, field):
    """{well: image} from the stitched picture that viewers make of a plate: rows by columns of one field each."""
    rows, columns = ([entry["name"] for entry in plate[key]] for key in ("rows", "columns"))
    found = {}
    for y, row in enumerate(rows):
        for x, column in enumerate(columns):
            tiles = [_tile(array, y, x, len(rows), len(columns)) for array in arrays]
            found[f"{row}/{column}"] = {**image(axes, tiles), "field": field}
    return found


def _tile(array, y, x, rows, columns):
    height, width = array.shape[-2] // rows, array.shape[-1] // columns
    return array[..., y * height : (y + 1) * height, x * width : (x + 1) * width]


# ---- the program around a reader


def run(name, read):
    """`read(store)` gives the report's `images`, `views` and `validated`, as far as it has any, and its `version`."""
    parser = argparse.ArgumentParser(description=sys.modules["__main__"].__doc__)
    parser.add_argument("store", type=pathlib.Path)
    parser.add_argument("--json", action="store_true", help="the whole report; without it a summary")
    options = parser.parse_args()
    try:
        report = {"reader": name, "images": {}, "views": {}, "validated": [], **read(options.store.resolve())}
    except Exception:
        # A reader may fail in any way that its library can; the message is the finding.
        print(json.dumps({"reader": name, "error": traceback.format_exc(limit=-6)}))
        sys.exit(1)
    if options.json:
        print(json.dumps(report))
        return
    print(f"{name} {report['version']}: {len(report['images'])} images, {len(report['views'])} wells in view,"
          f" {len(report['validated'])} groups validated")  # fmt: skip
    for path, said in sorted(report["images"].items()):
        print(f"  {path or '.'} {said['axes']}", *(f"{each['shape']} {each['dtype']}" for each in said["levels"]))

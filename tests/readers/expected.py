"""What must be found in a store, told from the original files alone, and how a reader's report differs from it."""

import hashlib
import itertools
import json
import pathlib
import re
from dataclasses import dataclass

import found
import tifffile

# ImageXpress: PLATE_B03_s1_w2.tif
NAME = re.compile(r"(?:.*?_)?([A-Z]{1,2})(\d{1,2})_s(\d+)_w(\d)\.tiff?$", re.IGNORECASE)
# Labels of such an image: PLATE_B03_s1_w2_mask.tif.
LABELS = re.compile(r"(?:.*?_)?([A-Z]{1,2})(\d{1,2})_s(\d+)_w1_(mask)\.tiff?$", re.IGNORECASE)
# A reduced level is a mean or a choice of pixels: its mean is that of the plane, but for what falls off at the edges.
LEVEL_MEAN = 0.05, 2.0


@dataclass(frozen=True, order=True)
class Position:
    """As the names count: row and column from 0, site and channel as written."""

    row: int
    column: int
    site: int
    channel: int


def position(name):
    """Of an ImageXpress name; None for another."""
    match = NAME.match(name)
    if not match:
        return None
    row = 0
    for letter in match[1].upper():
        row = row * 26 + ord(letter) - 64
    return Position(row - 1, int(match[2]) - 1, int(match[3]), int(match[4]))


@dataclass(frozen=True)
class Plane:
    sha256: str
    mean: float
    # A plane that may be on its way into the store may be there or not.
    required: bool = True


def plate(files, maybe=()):
    """{Position: Plane} from original files; those also in `maybe` need not be there yet."""
    maybe = set(map(pathlib.Path, maybe))
    planes = {}
    for file in map(pathlib.Path, files):
        pixels = tifffile.imread(file)
        planes[position(file.name)] = Plane(found.digest(pixels), float(pixels.mean()), file not in maybe)
    return planes


def labels(files):
    """{path of the label image: digest of its plane} from original files: fields are counted by number."""
    matches = ((LABELS.match(pathlib.Path(file).name), file) for file in files)
    return {
        f"{match[1].upper()}/{int(match[2]):02}/{int(match[3]) - 1}/labels/{match[4]}": found.digest(tifffile.imread(file))
        for match, file in matches
        if match
    }


# ---- where the store says that a position is. What counts: the plane is where the metadata put it. Whether site 3 of a
# plate without sites 1 and 2 is field "2" or "0" is the store's choice, made once for the whole store.

FIELDS = {
    "by number": lambda site, sites, _: site - 1,
    "by rank in the plate": lambda site, sites, _: sites.index(site),
    "by rank in the well": lambda site, _, own: own.index(site),
}
CHANNELS = {
    "by number": lambda channel, channels: channel - 1,
    "by rank": lambda channel, channels: channels.index(channel),
}


def layouts(planes):
    """Each way of naming: {image path without the well: …} as ((row, column), field, channel) by position."""
    sites = sorted({at.site for at in planes})
    channels = sorted({at.channel for at in planes})
    for by_field, by_channel in itertools.product(FIELDS.values(), CHANNELS.values()):
        layout = {}
        for at, plane in planes.items():
            own = sorted({p.site for p in planes if (p.row, p.column) == (at.row, at.column)})
            field, channel = by_field(at.site, sites, own), by_channel(at.channel, channels)
            layout[(at.row, at.column, str(field), channel)] = plane
        yield layout


# ---- judging


def plate_problems(store, report, planes, labelled=None):
    """What is wrong with a reader's report on a plate; empty when all is as it must be."""
    if "error" in report:
        return [f"it failed: {report['error']}"]
    if not report["images"]:
        return [] if report["validated"] else ["it found nothing"]
    # Some readers do not look for labels.
    below = {path: image for path, image in report["images"].items() if "/labels/" in path}
    report = {**report, "images": {path: image for path, image in report["images"].items() if path not in below}}
    problems = _labels(below, labelled or {}, report["images"]) if below else []
    wells = {
        well["path"]: (well["rowIndex"], well["columnIndex"])
        for well in found.ngff(found.attributes_from_files(store)(""))["plate"]["wells"]
    }
    problems += _extents(report["images"]) + _views(report)
    with_labels = {path.rpartition("/labels/")[0].rpartition("/")[0] for path in labelled or {}}
    return problems + min((_placed(report, wells, layout, with_labels) for layout in layouts(planes)), key=len)


def _labels(found_labels, wanted, images):
    """Each label image has the pixels of its file, and as many levels as its image, as large."""
    problems = [f"{path} is not there" for path in wanted.keys() - found_labels.keys()]
    problems += [f"{path} is there, and no original is" for path in found_labels.keys() - wanted.keys()]
    for path in wanted.keys() & found_labels.keys():
        levels, image = found_labels[path]["levels"], images[path.rpartition("/labels/")[0]]
        if levels[0]["planes"]["t0c0z0"]["sha256"] != wanted[path] or len(levels[0]["planes"]) != 1:
            problems.append(f"{path} has other pixels than the original")
        sizes = [[level["shape"][-2:] for level in each] for each in (levels, image["levels"])]
        if sizes[0] != sizes[1]:
            problems.append(f"{path} has levels of {sizes[0]}, its image of {sizes[1]}")
    return problems


def _extents(images):
    """All fields declare the same."""
    shapes = {path: [(level["shape"], level["dtype"]) for level in image["levels"]] for path, image in images.items()}
    first = next(iter(shapes))
    return [
        f"{path} has {said}, but {first} has {shapes[first]}" for path, said in shapes.items() if said != shapes[first]
    ]


def _placed(report, wells, layout, labelled):
    problems, seen = [], set()
    for path, image in report["images"].items():
        well, _, field = path.rpartition("/")
        if well not in wells:
            problems.append(f"{path}: its well is not in the plate's list")
            continue
        own = (*wells[well], field)
        planes = {where[3]: plane for where, plane in layout.items() if where[:3] == own}
        seen |= {(*wells[well], field, channel) for channel in planes}
        # A field without a file may be there, empty, so that all wells have the same fields; a well may not, but for
        # the labels of its images.
        if not any(where[:2] == wells[well] for where in layout) and well not in labelled:
            problems.append(f"{path}: no original belongs to its well")
        problems += [f"{path}: {problem}" for problem in _image(image, planes)]
    for where, plane in layout.items():
        if where not in seen and plane.required:
            problems.append(
                f"row {where[0]}, column {where[1]}, field {where[2]}, channel {where[3]}: no image holds it"
            )
    return problems


def _image(image, planes):
    """Every plane of every level of one field."""
    problems = []
    full = image["levels"][0]
    nothing = zeros(full)
    for name, said in full["planes"].items():
        channel = int(re.fullmatch(r"t0c(\d+)z0", name)[1]) if name.startswith("t0") else None
        plane = planes.get(channel)
        if plane is None:
            if said["sha256"] != nothing:
                problems.append(f"plane {name} has pixels, and no original has")
        elif said["sha256"] != plane.sha256 and (plane.required or said["sha256"] != nothing):
            problems.append(
                f"plane {name} differs from the original" + (" (it is empty)" if said["sha256"] == nothing else "")
            )
        for number, level in enumerate(image["levels"][1:], 1):
            problems += _level(name, number, level, plane)
    problems += [
        f"channel {channel} is not there"
        for channel in planes
        if f"t0c{channel}z0" not in full["planes"] and planes[channel].required
    ]
    return problems


def _level(name, number, level, plane):
    said = level["planes"].get(name)
    if said is None:
        return [f"level {number} has no plane {name}"]
    share, least = LEVEL_MEAN
    if plane is None:
        return (
            []
            if said["sha256"] == zeros(level)
            else [f"level {number} of plane {name} has pixels, and no original has"]
        )
    if plane.required and abs(said["mean"] - plane.mean) > max(least, share * plane.mean):
        return [f"level {number} of plane {name} has mean {said['mean']:.1f}, the original {plane.mean:.1f}"]
    return []


def _views(report):
    """A viewer's picture of the plate: each well's tile is its field, or empty."""
    problems = []
    for well, view in report["views"].items():
        image = report["images"].get(f"{well}/{view['field']}")
        for number, level in enumerate(view["levels"]):
            wanted = image["levels"][number]["planes"] if image else {}
            for name, said in level["planes"].items():
                if said["sha256"] != wanted.get(name, {"sha256": zeros(level)})["sha256"]:
                    problems.append(
                        f"the view of the plate shows something else for {well}, level {number}, plane {name}"
                    )
    return problems


_ZEROS = {}


def zeros(level):
    """The hash of an empty plane of a level."""
    height, width = level["shape"][-2:]
    key = height * width * int(re.search(r"\d+$", level["dtype"])[0]) // 8
    if key not in _ZEROS:
        _ZEROS[key] = hashlib.sha256(bytes(key)).hexdigest()
    return _ZEROS[key]


def set_problems(report, digests):
    """For stores that are no plates: each of these planes must be in some image's full resolution."""
    if "error" in report:
        return [f"it failed: {report['error']}"]
    if not report["images"]:
        return [] if report["validated"] else ["it found nothing"]
    there = {said["sha256"] for image in report["images"].values() for said in image["levels"][0]["planes"].values()}
    return [f"{name}: plane {number} is in no image" for name, planes in digests.items()
            for number, plane in enumerate(planes) if plane not in there]  # fmt: skip


def load(manifest):
    """{file name: [digests of its planes]} of a manifest of tests/variants, plain ones only."""
    entries = json.loads(pathlib.Path(manifest).read_text())["files"]
    return {entry["name"]: entry["planes"] for entry in entries if entry["verdict"] == "sealed"}

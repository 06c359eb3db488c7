"""Whether a store is one that a reader could open, looked at without any library: documents are whole, what is listed is
there, fields agree, chunks are whole Blosc frames. And what its tables say: which file has which names."""

import importlib.util
import json
import math
import os
import re
import struct

from .campaign import REPOSITORY

BLOSC_HEADER = 16
RESTORE = REPOSITORY / "src/backend/zarr/restore.py"
INSIDE = {"README.txt", "restore.py"}


def restore_module():
    """The reader of tables that lies in every store, which is written apart from the daemon's."""
    spec = importlib.util.spec_from_file_location("restore", RESTORE)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


# ---- NGFF 0.4


class Looker:
    def __init__(self, store, at_rest):
        self.store, self.at_rest, self.problems = store, at_rest, []

    def wrong(self, path, what):
        self.problems.append(f"{self.store.name}/{path}: {what}")

    def document(self, path):
        """What a JSON file says; a problem if it is not whole, None if it is not there."""
        try:
            return json.loads((self.store / path).read_bytes())
        except FileNotFoundError:
            return None
        except ValueError as error:
            self.wrong(path, f"is not whole: {error}")
            return None

    def group(self, path):
        """The attributes of a group that must be there."""
        prefix = f"{path}/" if path else ""
        if self.document(f"{prefix}.zgroup") is None:
            self.wrong(path, "is listed and no group is there")
            return {}
        return self.document(f"{prefix}.zattrs") or {}

    def look(self):
        for folder, _, names in os.walk(self.store):
            inside = os.path.relpath(folder, self.store)
            for name in names:
                self.file(os.path.normpath(os.path.join(inside, name)), name)
        said = self.group("")
        if "plate" in said:
            self.plate(said["plate"])
        elif "bioformats2raw.layout" in said:
            self.collection()
        elif "multiscales" in said:
            self.image("", said)
        elif self.at_rest:
            # What is being made says last what it is, and what is being removed says it no more.
            self.wrong("", "is neither plate nor collection nor image")
        return self.problems

    def file(self, path, name):
        if name in (".zattrs", ".zgroup", ".zarray"):
            self.document(path)
        elif not re.fullmatch(r"\d+", name) and name not in INSIDE:
            self.wrong(path, "should not be in a store")

    def plate(self, plate):
        rows = [row["name"] for row in plate["rows"]]
        columns = [column["name"] for column in plate["columns"]]
        shapes = set()
        for well in plate["wells"]:
            path = well["path"]
            if path != f"{rows[well['rowIndex']]}/{columns[well['columnIndex']]}":
                self.wrong(path, "is not where its indices say")
            self.group(path.split("/")[0])
            images = self.group(path).get("well", {}).get("images")
            if not images:
                self.wrong(path, "is listed and has no fields")
                continue
            for image in images:
                where = f"{path}/{image['path']}"
                shapes.add(tuple(self.image(where, self.group(where))))
        # Whoever dies while the extents grow has declared the new ones for some fields; the next mount goes on with it.
        grows = not self.at_rest and len(shapes) == 2 and len({tuple(level[-2:] for level in each) for each in shapes}) == 1
        if len(shapes) > 1 and not grows:
            self.wrong("", f"fields of {len(shapes)} shapes: {sorted(shapes)[:3]}")

    def collection(self):
        for entry in sorted(os.listdir(self.store)):
            if re.fullmatch(r"\d+", entry) and (self.store / entry / ".zattrs").exists():
                self.image(entry, self.group(entry))

    def image(self, path, said):
        """The shapes of its levels."""
        shapes = []
        if "multiscales" not in said:
            self.wrong(path, "is no image")
            return shapes
        for dataset in said["multiscales"][0]["datasets"]:
            where = f"{path}/{dataset['path']}" if path else dataset["path"]
            array = self.document(f"{where}/.zarray")
            if array is None:
                self.wrong(where, "is listed as a level and no array is there")
                continue
            shapes.append(tuple(array["shape"]))
            self.chunks(where, array)
        return shapes

    def chunks(self, where, array):
        width = int(array["dtype"][2:])
        size = math.prod(array["chunks"]) * width
        grid = [-(-extent // chunk) for extent, chunk in zip(array["shape"], array["chunks"])]
        for folder, _, names in os.walk(self.store / where):
            for name in names:
                inside = os.path.relpath(os.path.join(folder, name), self.store / where)
                if name.startswith("."):
                    continue
                index = [int(part) for part in re.split(r"[/.]", inside) if part.isdigit()]
                if len(index) != len(grid) or any(at >= extent for at, extent in zip(index, grid)):
                    self.wrong(f"{where}/{inside}", f"lies outside of its array {array['shape']}")
                self.frame(f"{where}/{inside}", size)

    def frame(self, path, size):
        try:
            with open(self.store / path, "rb") as file:
                header, length = file.read(BLOSC_HEADER), os.fstat(file.fileno()).st_size
        except FileNotFoundError:
            return
        whole = len(header) == BLOSC_HEADER and struct.unpack_from("<I", header, 12)[0] == length
        if not whole or struct.unpack_from("<I", header, 4)[0] != size:
            self.wrong(path, "is not a whole chunk")


def invalid(store, at_rest=True):
    """What would trouble a reader of a store of NGFF 0.4, a line each; not `at_rest`: it may be being made or removed."""
    return Looker(store, at_rest).look()


# ---- tables


def claims(store):
    """([(name relative to the store's directory, the record's id)], flaws): all that any record claims, also twice."""
    restore = restore_module()
    tables, found, flaws = restore.Store(os.fspath(store)).array("scopefs/tables"), [], []
    for number in tables.present():
        try:
            page = bytes(tables.chunk([number]))
        except restore.Damaged as error:
            flaws.append(f"page {number}: {error}")
            continue
        for kind, value, body in restore.frames(page):
            if kind is None:
                flaws.append(f"page {number} is damaged at byte {value}")
            elif kind == b"sfRC":
                found += [(os.fsdecode(name), value) for name in restore.Record(value, body).names]
    return found, [f"{store.name}: {flaw}" for flaw in flaws]


def doubled(workspace, stores):
    """Names that two records claim, or a record and a plain file."""
    found, owners = [], {}
    for store in stores:
        claimed, flaws = claims(store)
        found += flaws
        for name, record in claimed:
            path = os.path.normpath(os.path.join(os.path.relpath(store.parent, workspace), name))
            owners.setdefault(path, []).append(f"record {record} of {store.name}")
    for path, who in sorted(owners.items()):
        if os.path.lexists(os.path.join(workspace, path)):
            who.append("a plain file")
        if len(who) > 1:
            found.append(f"{path} is there {len(who)} times: {', '.join(who)}")
    return found

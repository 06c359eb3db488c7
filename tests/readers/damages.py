"""What can be wrong with a plate, done on purpose to a store of NGFF 0.4: each must be noticed by the comparison."""

import json
import shutil


def _chunks(store, level="0"):
    """Chunk files of a level, of every field."""
    return sorted(path for path in store.glob(f"[A-Z]*/*/*/{level}/**/*") if path.is_file() and path.name != ".zarray"
                  and path.name != ".zattrs")  # fmt: skip


def _edit(path, change):
    said = json.loads(path.read_text())
    change(said)
    path.write_text(json.dumps(said))


def _flip(store):
    path = _chunks(store)[0]
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 0x10
    path.write_bytes(data)


def _lose(store):
    _chunks(store)[0].unlink()


def _truncate(store):
    path = _chunks(store)[0]
    path.write_bytes(path.read_bytes()[:1000])


def _swap(store):
    first, last = _chunks(store)[0], _chunks(store)[-1]
    one, other = first.read_bytes(), last.read_bytes()
    first.write_bytes(other)
    last.write_bytes(one)


def _lose_level(store):
    _chunks(store, "1")[0].unlink()


def _swap_levels(store):
    """The reduced level of another channel."""
    first, second = _chunks(store, "1")[:2]
    second.write_bytes(first.read_bytes())


def _other_extents(store):
    """One field has a channel more than the others."""
    for level in ("0", "1"):
        _edit(next(iter(sorted(store.glob(f"[A-Z]*/*/0/{level}/.zarray")))), _one_more)


def _one_more(said):
    said["shape"][0] += 1


def _other_fill(store):
    for path in store.glob("[A-Z]*/*/*/0/.zarray"):
        _edit(path, lambda said: said.update(fill_value=7))


def _well_without_group(store):
    def add(said):
        wells = said["plate"]["wells"]
        said["plate"]["rows"].append({"name": "Q"})
        wells.append(
            {"path": f"Q/{wells[0]['path'].split('/')[1]}", "rowIndex": 16, "columnIndex": wells[0]["columnIndex"]}
        )

    _edit(store / ".zattrs", add)


def _well_forgotten(store):
    _edit(store / ".zattrs", lambda said: said["plate"]["wells"].pop())


def _well_elsewhere(store):
    """Row and column say another place of the physical plate."""
    _edit(store / ".zattrs", lambda said: said["plate"]["wells"][0].update(rowIndex=5))


def _field_removed(store):
    """A field that its well still lists."""
    shutil.rmtree(sorted(store.glob("[A-Z]*/*/0"))[-1])


def _level_not_in_one_field(store):
    path = sorted(store.glob("[A-Z]*/*/0/.zattrs"))[-1]
    _edit(path, lambda said: said["multiscales"][0]["datasets"].pop())


def _big_endian(store):
    for path in store.glob("[A-Z]*/*/*/0/.zarray"):
        _edit(path, lambda said: said.update(dtype=">u2"))


DAMAGES = {
    "one bit wrong in a chunk": _flip,
    "a chunk lost": _lose,
    "a chunk cut short": _truncate,
    "two chunks in each other's place": _swap,
    "a chunk of a reduced level lost": _lose_level,
    "the reduced level of another channel": _swap_levels,
    "one field with more channels than the others": _other_extents,
    "a fill value other than 0": _other_fill,
    "a well listed before its group is there": _well_without_group,
    "a well not listed": _well_forgotten,
    "a well at another place of the plate": _well_elsewhere,
    "a field listed and not there": _field_removed,
    "a level that one field lacks": _level_not_in_one_field,
    "the wrong byte order": _big_endian,
}

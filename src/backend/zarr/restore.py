#!/usr/bin/env python3
"""Gives the original files back out of this store, byte for byte.

    python3 restore.py [STORE] [DEST] [--list] [--verify] [NAME ...]

STORE   the store, a directory NAME.ome.zarr; left out: the one that this program lies in
DEST    directory that the files are written below, under their own names; left out: ./restored
NAME    only files of these names (or below these directories)
--list    print names and sizes, write nothing
--verify  rebuild every file and compare it with its SHA-256, write nothing

Needs Python 3.8 or later and nothing else. A file that exists in DEST is
replaced. Exit code: 0 all well, 1 some file could not be restored, 2 nothing could be done.

The formats that it reads are described at the functions that read them. Numbers are little-endian; a varint is
LEB128; a zigzag is a varint that counts 0, -1, 1, -2, ...
"""

import argparse
import binascii
import hashlib
import json
import os
import struct
import sys

PAGE = 1 << 20
STEP = 4 << 20
KEPT = 8


class Damaged(Exception):
    """Bytes are not what they should be."""


# ---------------------------------------------------------------- Blosc 1 frames around LZ4


def lz4_block(src, size):
    """Decodes an LZ4 block of `size` decoded bytes."""
    out = bytearray()
    at, end = 0, len(src)
    try:
        while True:
            token = src[at]
            at += 1
            run = token >> 4
            if run == 15:
                more = 255
                while more == 255:
                    more = src[at]
                    at += 1
                    run += more
            if run:
                out += src[at:at + run]
                at += run
            if at >= end:
                break
            back = src[at] | src[at + 1] << 8
            at += 2
            run = (token & 15) + 4
            if run == 19:
                more = 255
                while more == 255:
                    more = src[at]
                    at += 1
                    run += more
            start = len(out) - back
            if start < 0 or back == 0 or len(out) + run > size:
                raise Damaged("an LZ4 block is damaged")
            if back >= run:
                out += out[start:start + run]
            else:
                piece = bytes(out[start:])
                out += (piece * (run // back + 1))[:run]
    except IndexError:
        raise Damaged("an LZ4 block is cut short")
    if len(out) != size:
        raise Damaged("an LZ4 block is of another length")
    return out


def unshuffle(block, width):
    """First bytes of all elements, then second bytes, ...: back in order."""
    count = len(block) // width
    whole = count * width
    out = bytearray(len(block))
    for byte in range(width):
        out[byte:whole:width] = block[byte * count:(byte + 1) * count]
    out[whole:] = block[whole:]
    return out


# For each bit, the table that translates a byte to that bit of it.
BITS = [bytes(value >> bit & 1 for value in range(256)) for bit in range(8)]


def unbitshuffle(block, width):
    """First bits of all elements, then second bits, ...: back in order. Needs elements in multiples of 8."""
    count = len(block) // width
    if count % 8 or not count:
        return block
    whole = count * width
    out = bytearray(len(block))
    row = count // 8
    for byte in range(width):
        plane = 0
        for bit in range(8):
            packed = bytes(block[(byte * 8 + bit) * row:(byte * 8 + bit + 1) * row])
            bits = bytearray(count)
            for place in range(8):
                bits[place::8] = packed.translate(BITS[place])
            # One byte for each element, 0 or 1: as one long number all are moved to their bit at once.
            plane |= int.from_bytes(bits, "little") << bit
        out[byte:whole:width] = plane.to_bytes(count, "little")
    out[whole:] = block[whole:]
    return out


def blosc(frame, expected):
    """Decodes a Blosc 1 frame: version, LZ4 version, flags, element bytes; u32 decoded bytes, block bytes, frame
    bytes; then, unless all is stored as it is, the u32 place of each block."""
    if len(frame) < 16:
        raise Damaged("a chunk is cut short")
    version, _, flags, width, size, step, length = struct.unpack_from("<BBBBIII", frame)
    if version != 2 or size != expected or length > len(frame) or not width or (size and not 0 < step <= size):
        raise Damaged("a chunk is no Blosc frame of the right size")
    if flags & 2:
        if 16 + size > len(frame):
            raise Damaged("a chunk is cut short")
        return bytes(frame[16:16 + size])
    if flags >> 5 != 1:
        raise Damaged("a chunk is not compressed by LZ4")
    count = -(-size // step) if size else 0
    if 16 + 4 * count > len(frame):
        raise Damaged("a chunk is cut short")
    out = bytearray()
    view = memoryview(frame)
    for number, at in enumerate(struct.unpack_from("<%dI" % count, frame, 16)):
        block_size = min(step, size - number * step)
        whole = block_size == step and not flags & 16
        splits = width if whole and width <= 16 and step // width >= 128 else 1
        block = bytearray()
        for split in range(splits):
            if at + 4 > len(frame):
                raise Damaged("a chunk is cut short")
            (packed,) = struct.unpack_from("<I", frame, at)
            part = view[at + 4:at + 4 + packed]
            want = block_size // splits
            block += part if packed == want else lz4_block(bytes(part), want)
            at += 4 + packed
        if len(block) != block_size:
            raise Damaged("a block of a chunk is cut short")
        if flags & 1 and width > 1:
            block = unshuffle(block, width)
        elif flags & 4:
            block = unbitshuffle(block, width)
        out += block
    return out


# ---------------------------------------------------------------- arrays


class Array:
    """An array of the store, in Zarr v2 (.zarray) or v3 (zarr.json), also sharded."""

    def __init__(self, store, path):
        self.dir = os.path.join(store, *path.split("/")) if path else store
        self.path, self.inner = path, None
        v3 = os.path.join(self.dir, "zarr.json")
        if os.path.exists(v3):
            with open(v3, encoding="utf-8") as file:
                meta = json.load(file)
            shape = meta["chunk_grid"]["configuration"]["chunk_shape"]
            codecs = meta["codecs"]
            # A codec without configuration may stand as its name alone.
            if isinstance(codecs[0], dict) and codecs[0]["name"] == "sharding_indexed":
                self.inner = codecs[0]["configuration"]["chunk_shape"]
                self.slots = [outer // inner for outer, inner in zip(shape, self.inner)]
                shape = self.inner
            encoding = meta.get("chunk_key_encoding")
            settings = encoding.get("configuration", {}) if isinstance(encoding, dict) else {}
            self.separator = settings.get("separator", "/")
            self.prefix = "c" + self.separator
            width = {"8": 1, "6": 2, "2": 4, "4": 8}[meta["data_type"][-1]]
        else:
            with open(os.path.join(self.dir, ".zarray"), encoding="utf-8") as file:
                meta = json.load(file)
            shape, self.prefix = meta["chunks"], ""
            self.separator = meta.get("dimension_separator", ".")
            width = int(meta["dtype"][2:])
        self.size = width
        for extent in shape:
            self.size *= extent

    def file(self, coords):
        name = self.prefix + self.separator.join(str(at) for at in coords)
        return os.path.join(self.dir, *name.split("/"))

    def chunk(self, coords):
        """A decoded chunk. A shard ends with u64 offset and length of each of its chunks, and a CRC-32C of those."""
        try:
            if self.inner is None:
                with open(self.file(coords), "rb") as file:
                    return blosc(file.read(), self.size)
            slot, count = 0, 1
            for at, per in zip(coords, self.slots):
                slot, count = slot * per + at % per, count * per
            with open(self.file([at // per for at, per in zip(coords, self.slots)]), "rb") as file:
                file.seek(-(16 * count + 4) + 16 * slot, os.SEEK_END)
                offset, length = struct.unpack("<QQ", file.read(16))
                if offset == length == (1 << 64) - 1:
                    raise Damaged("a chunk is missing")
                file.seek(offset)
                return blosc(file.read(length), self.size)
        except FileNotFoundError:
            raise Damaged("a chunk is missing")
        except (struct.error, OSError) as error:
            raise Damaged("a chunk cannot be read: %s" % error)
        except Damaged as error:
            raise Damaged("%s %s: %s" % (self.path, tuple(coords), error))

    def present(self):
        """Indices of the chunks of an array of one dimension."""
        folder = os.path.dirname(self.file([0]))
        names = os.listdir(folder) if os.path.isdir(folder) else []
        return sorted(int(name) for name in names if name.isdigit())


class Store:
    """Arrays by path, and the chunks that were last used."""

    def __init__(self, root):
        self.root, self.arrays, self.kept = root, {}, {}

    def array(self, path):
        if path not in self.arrays:
            try:
                self.arrays[path] = Array(self.root, path)
            except (OSError, ValueError, KeyError, TypeError, IndexError) as error:
                raise Damaged("the array %s cannot be read: %s" % (path, error))
        return self.arrays[path]

    def chunk(self, path, coords):
        key = (path, tuple(coords))
        if key not in self.kept:
            while len(self.kept) >= KEPT:
                del self.kept[next(iter(self.kept))]
            self.kept[key] = self.array(path).chunk(coords)
        return self.kept[key]

    def literals(self, ids, length):
        return b"".join(bytes(self.chunk("scopefs/literals", [at])) for at in ids)[:length]


# ---------------------------------------------------------------- pages, records, recipes


class Reader:
    """Reads numbers and strings one behind the other."""

    def __init__(self, data):
        self.data, self.at = data, 0

    def take(self, count):
        if self.at + count > len(self.data):
            raise Damaged("a record is cut short")
        self.at += count
        return bytes(self.data[self.at - count:self.at])

    def unpack(self, form):
        return struct.unpack(form, self.take(struct.calcsize(form)))

    def varint(self):
        value = shift = 0
        while True:
            byte = self.take(1)[0]
            value |= (byte & 127) << shift
            shift += 7
            if byte < 128:
                return value
            if shift > 63:
                raise Damaged("a number in a record is damaged")

    def zigzag(self):
        value = self.varint()
        return value >> 1 ^ -(value & 1)

    def text(self):
        return self.take(self.varint())

    def column(self, count):
        """Tokens: 2n+1 and a number that stands n times, or 2n and n numbers."""
        out = []
        while len(out) < count:
            token = self.varint()
            run = token >> 1
            if run == 0 or run > count - len(out):
                raise Damaged("a column of a record is damaged")
            out += [self.varint()] * run if token & 1 else [self.varint() for _ in range(run)]
        return out


def frames(page):
    """Frames of a page, at multiples of 8: kind, u32 length, u64 number, u32 CRC-32 of kind, length, number and body,
    u32 0, body. Yields (kind, number, body); kind None for bytes that are no frame."""
    at, damaged = 0, False
    while at + 24 <= len(page):
        kind = page[at:at + 4]
        if kind in (b"sfPG", b"sfDU", b"sfRC"):
            length, number, crc, zero = struct.unpack_from("<IQII", page, at + 4)
            body = page[at + 24:at + 24 + length]
            sound = len(body) == length and zero == 0
            if sound and binascii.crc32(body, binascii.crc32(page[at:at + 16])) == crc:
                yield kind, number, body
                at += 24 + (length + 7) // 8 * 8
                damaged = False
                continue
        if not damaged and any(page[at:at + 8]):
            damaged = True
            yield None, at, b""
        if not damaged:
            # Nothing but zeros: on to the next byte that is none.
            rest = page[at:].lstrip(b"\0")
            at = (len(page) - len(rest)) // 8 * 8 if rest else len(page)
            continue
        at += 8


def inside(path):
    parts = path.split(b"/")
    return bool(path) and b"\0" not in path and not any(part in (b"", b".", b"..") for part in parts)


def chunk_refs(reader, count):
    """Chunks of `scopefs/literals`: index, stored length, number of checks, checks of 8 bytes. Yields the indices."""
    out = []
    for _ in range(count):
        out.append(reader.varint())
        reader.varint()
        reader.take(8 * reader.varint())
    return out


class Record:
    """One file: attributes, names, and the recipe that puts it together."""

    def __init__(self, number, body):
        self.id, reader = number, Reader(body)
        version, flags, _ = reader.unpack("<BBH")
        if version != 1:
            raise Damaged("a record is of a later version (%d) than this program knows" % version)
        self.mode, self.uid, self.gid, self.size = reader.unpack("<IIIQ")
        atime, mtime = reader.unpack("<qI"), reader.unpack("<qI")
        self.times = tuple(sec * 10 ** 9 + nano for sec, nano in (atime, mtime))
        self.sha256 = reader.take(32)
        if flags & 1:
            reader.take(48)
        self.names = [reader.text() for _ in range(reader.varint())]
        if not self.names or not all(inside(name) for name in self.names):
            raise Damaged("a name leads out of the directory")
        self.xattrs = [(reader.text(), reader.text()) for _ in range(reader.varint())]
        self.arrays = [self.read_array(reader) for _ in range(reader.varint())]
        self.spill = None
        if flags & 2:
            length, (crc,) = reader.varint(), reader.unpack("<I")
            self.spill = (length, crc, chunk_refs(reader, reader.varint()))
        self.recipe = reader.data[reader.at:]

    @staticmethod
    def read_array(reader):
        _, _, width = reader.take(3)
        path = reader.text()
        shape = [reader.varint() for _ in range(reader.varint())]
        if path and not inside(path):
            raise Damaged("an array lies outside of the store")
        return path.decode("utf-8", "replace"), width, len(shape)

    def pieces(self, store):
        """Yields the bytes of the file, piece by piece."""
        data = self.recipe
        if self.spill:
            length, crc, ids = self.spill
            data = store.literals(ids, length)
            if binascii.crc32(data) != crc:
                raise Damaged("the recipe is damaged")
        recipe = Recipe(data, self.arrays)
        return recipe.pieces(store)


class Recipe:
    """Chunks, and the segments over them."""

    def __init__(self, data, arrays):
        self.arrays, reader = arrays, Reader(data)
        if reader.take(1) != b"\1":
            raise Damaged("the recipe is of a later version than this program knows")
        self.chunks = self.read_chunks(reader)
        self.modes = []
        for _ in range(reader.varint()):
            flags = reader.take(1)[0]
            layout = (reader.varint(), reader.varint()) if flags & 2 else None
            self.modes.append((flags & 1, layout))
        self.before = 0
        self.stretches = [self.read_stretch(reader) for _ in range(reader.varint())]
        if reader.take(1) == b"\0":
            self.inline, self.spilled = reader.text(), None
        else:
            length = reader.varint()
            self.inline, self.spilled = None, (length, chunk_refs(reader, reader.varint()))

    def read_chunks(self, reader):
        """Columns: array, each coordinate as the difference to the chunk before, number of checks; then stored
        lengths, and checks of 8 bytes."""
        count = reader.varint()
        which = reader.column(count) if count else []
        if any(array >= len(self.arrays) for array in which):
            raise Damaged("a chunk is of no array")
        coords = [[] for _ in which]
        for dimension in range(max((self.arrays[array][2] for array in which), default=0)):
            having = [n for n, array in enumerate(which) if self.arrays[array][2] > dimension]
            at = 0
            for n, step in zip(having, reader.column(len(having))):
                at += step >> 1 ^ -(step & 1)
                coords[n].append(at & (1 << 64) - 1)
        blocks = reader.column(count) if count else []
        for _ in range(count):
            reader.varint()
        reader.take(8 * sum(blocks))
        return list(zip(which, coords))

    def read_stretch(self, reader):
        """Repetitions, steps; each step: 2 * length (+ 1 for a chunk: difference to the chunk before, place, mode,
        and if it is repeated the changes of chunk and place from one repetition to the next)."""
        repeat, steps = reader.varint(), []
        for _ in range(reader.varint()):
            head = reader.varint()
            if not head & 1:
                steps.append((head >> 1, None))
                continue
            self.before += reader.zigzag()
            at, mode = reader.varint(), reader.varint()
            change = (reader.zigzag(), reader.zigzag()) if repeat > 1 else (0, 0)
            steps.append((head >> 1, (self.before, at, mode) + change))
        return repeat, steps

    def pieces(self, store):
        literal = 0
        for repeat, steps in self.stretches:
            for turn in range(repeat):
                for length, run in steps:
                    if run is None:
                        yield self.literal(store, literal, length)
                        literal += length
                    else:
                        yield from self.run(store, length, turn, run)

    def literal(self, store, at, length):
        if self.inline is not None:
            return self.inline[at:at + length]
        total, ids = self.spilled
        first, last = at // PAGE, (at + length - 1) // PAGE
        data = store.literals(ids[first:last + 1], min(total, (last + 1) * PAGE) - first * PAGE)
        return data[at - first * PAGE:at - first * PAGE + length]

    def run(self, store, length, turn, run):
        number, at, mode, chunk_step, at_step = run
        number, at = number + turn * chunk_step, at + turn * at_step
        if not 0 <= number < len(self.chunks) or mode >= len(self.modes) or at < 0:
            raise Damaged("a segment lies in no chunk")
        array, coords = self.chunks[number]
        path, width, _ = self.arrays[array]
        swap, layout = self.modes[mode]
        data = memoryview(store.chunk(path, coords))
        if layout is None:
            for start in range(0, length, STEP):
                part = data[at + start:at + min(start + STEP, length)]
                yield swapped(part, width) if swap else part
            return
        samples, stride = layout
        out, pixels = bytearray(length), length // (samples * width)
        for sample in range(samples):
            first = at + sample * stride
            values = data[first:first + pixels * width]
            if swap:
                values = swapped(values, width)
            for byte in range(width):
                out[sample * width + byte::samples * width] = values[byte::width]
        yield out


def swapped(data, width):
    """The bytes of each element in reverse order."""
    out = bytearray(len(data))
    for byte in range(width):
        out[byte::width] = data[width - 1 - byte::width]
    return out


def read_table(store):
    """All records, newest first where two claim one name, and what is wrong."""
    tables, records, flaws = store.array("scopefs/tables"), {}, []
    for number in tables.present():
        try:
            page = bytes(tables.chunk([number]))
        except Damaged as error:
            flaws.append("page %d of the table: %s" % (number, error))
            continue
        expected = found = 0
        for kind, value, body in frames(page):
            if kind is None:
                flaws.append("page %d of the table is damaged at byte %d" % (number, value))
            elif kind == b"sfPG":
                if struct.unpack_from("<H", body)[0] != 1:
                    flaws.append("page %d of the table is of a later version" % number)
                    break
                expected = struct.unpack_from("<I", body, 4)[0]
            elif kind == b"sfRC":
                found += 1
                try:
                    records[value] = Record(value, body)
                except Damaged as error:
                    flaws.append("record %d: %s" % (value, error))
        if found < expected:
            flaws.append("page %d of the table has lost %d of %d files" % (number, expected - found, expected))
    owner = {name: number for number in sorted(records) for name in records[number].names}
    chosen = {}
    for name in sorted(owner):
        chosen.setdefault(owner[name], []).append(name)
    return [(records[number], names) for number, names in chosen.items()], flaws


# ---------------------------------------------------------------- writing


def write(store, record, path):
    """Writes the file under a temporary name, compares its hash, and only then gives it its own."""
    os.makedirs(os.path.dirname(path) or b".", exist_ok=True)
    temporary = path + b".restoring-%d" % os.getpid()
    try:
        with open(temporary, "wb") as file:
            check(record, record.pieces(store), file.write)
        os.chmod(temporary, record.mode)
        try:
            os.chown(temporary, record.uid, record.gid)
            os.chmod(temporary, record.mode)
        except OSError:
            pass
        for name, value in record.xattrs:
            try:
                os.setxattr(temporary, name, value)
            except (OSError, AttributeError):
                pass
        os.utime(temporary, ns=record.times)
        os.replace(temporary, path)
    finally:
        if os.path.lexists(temporary):
            os.unlink(temporary)


def check(record, pieces, take):
    digest, size = hashlib.sha256(), 0
    for piece in pieces:
        digest.update(piece)
        size += len(piece)
        if size > record.size:
            break
        take(piece)
    if size != record.size or digest.digest() != record.sha256:
        raise Damaged("its contents are not those of the original (SHA-256 differs)")


def link(first, path):
    os.makedirs(os.path.dirname(path) or b".", exist_ok=True)
    if os.path.lexists(path):
        os.unlink(path)
    try:
        os.link(first, path)
    except OSError:
        import shutil
        shutil.copy2(first, path)


def wanted(name, only):
    return not only or any(name == part or name.startswith(part.rstrip(b"/") + b"/") for part in only)


def is_store(path):
    return os.path.isdir(os.path.join(path, "scopefs", "tables"))


def main():
    parser = argparse.ArgumentParser(description="Gives the original files back out of an image store.")
    parser.add_argument("words", nargs="*", metavar="STORE DEST NAME")
    parser.add_argument("--list", action="store_true", help="print names and sizes, write nothing")
    parser.add_argument("--verify", action="store_true", help="compare every file with its hash, write nothing")
    options = parser.parse_args()
    words = options.words
    here = os.path.dirname(os.path.abspath(__file__))
    if words and is_store(words[0]):
        root = words.pop(0)
    else:
        # It lies beside the pages, in scopefs/tables; or wherever in the store somebody has moved it.
        above = [here]
        for _ in range(3):
            above.append(os.path.dirname(above[-1]))
        root = next((path for path in above if is_store(path)), None)
    if root is None:
        print("restore.py: there is no store here; say which: restore.py STORE DEST", file=sys.stderr)
        return 2
    reads_only = options.list or options.verify
    dest = os.fsencode(words.pop(0) if words and not reads_only else "restored")
    only = [os.fsencode(word) for word in words]
    store = Store(root)
    try:
        files, flaws = read_table(store)
    except Damaged as error:
        print("restore.py: %s" % error, file=sys.stderr)
        return 2
    for flaw in flaws:
        print("FAILED %s" % flaw, file=sys.stderr)
    failed, done = len(flaws), 0
    for record, names in files:
        names = [name for name in names if wanted(name, only)]
        if not names:
            continue
        try:
            if options.list:
                for name in names:
                    print("%12d %s" % (record.size, os.fsdecode(name).encode("utf-8", "replace").decode()))
            elif options.verify:
                check(record, record.pieces(store), len)
            else:
                first = os.path.join(dest, names[0])
                write(store, record, first)
                for name in names[1:]:
                    link(first, os.path.join(dest, name))
            done += len(names)
        except (Damaged, OSError) as error:
            failed += 1
            print("FAILED %r: %s" % (os.fsdecode(names[0]), error), file=sys.stderr)
    if not options.list:
        what = "verified" if options.verify else "restored"
        print("%d files %s, %d failures" % (done, what, failed))
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())

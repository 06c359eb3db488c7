"""TIFF files that can be made again from a few words: little-endian, uncompressed, one strip of 16-bit grey values a page.

    image SEED EDGE            a file of one page
    page SEED EDGE OFFSET      a further page, to be appended to a file of OFFSET bytes
    pointer OFFSET             the four bytes that make an appended page the next one of its file
    table SEED EDGE            an npy file"""

import functools
import random
import struct

# Type codes of TIFF 6.0.
SHORT, LONG = 3, 4
ENTRY = 12
HEADER = 8


@functools.lru_cache(maxsize=8)
def pixels(seed, edge):
    """Dim noise with a bright ramp: it compresses, as an image does."""
    dice = random.Random(seed)
    low = dice.randbytes(edge * edge)
    row = bytes(index * 7 % 16 for index in range(edge))
    out = bytearray(2 * edge * edge)
    out[0::2], out[1::2] = low, row * edge
    return bytes(out)


def _directory(offset, edge, strip):
    """An IFD for a strip that lies at `strip`; the offset of the next one is 0."""
    tags = [(256, LONG, edge), (257, LONG, edge), (258, SHORT, 16), (259, SHORT, 1), (262, SHORT, 1),
            (273, LONG, strip), (277, SHORT, 1), (278, LONG, edge), (279, LONG, 2 * edge * edge)]  # fmt: skip
    entries = b"".join(struct.pack("<HHII", tag, kind, 1, value) for tag, kind, value in tags)
    return struct.pack("<H", len(tags)) + entries + bytes(4)


DIRECTORY = len(_directory(0, 1, 0))


def image(seed, edge):
    return struct.pack("<2sHI", b"II", 42, HEADER) + page(seed, edge, HEADER)


def page(seed, edge, offset):
    """The directory and its strip, as they stand at `offset`."""
    return _directory(offset, edge, offset + DIRECTORY) + pixels(seed, edge)


def table(seed, edge):
    said = f"{{'descr': '<u2', 'fortran_order': False, 'shape': ({edge}, {edge}), }}".encode()
    said = said.ljust(117) + b"\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(said)) + said + pixels(seed, edge)


@functools.lru_cache(maxsize=8)
def told(words):
    """The bytes that `words` name."""
    kind, *numbers = words.split()
    numbers = [int(number) for number in numbers]
    if kind == "pointer":
        return struct.pack("<I", numbers[0])
    return {"image": image, "page": page, "table": table}[kind](*numbers)


def strips(data):
    """[(where its pixels lie, how many bytes)] for each page, and where the offset of a next page would stand; None
    for what is not a whole file of ours."""
    if len(data) < HEADER or bytes(data[:4]) != b"II*\x00":
        return None
    found, at = [], 4
    while (directory := struct.unpack_from("<I", data, at)[0]) and len(found) < 100:
        if directory + DIRECTORY > len(data) or data[directory : directory + 2] != b"\x09\x00":
            return None
        strip = struct.unpack_from("<I", data, directory + 2 + 5 * ENTRY + 8)[0]
        length = struct.unpack_from("<I", data, directory + 2 + 8 * ENTRY + 8)[0]
        if strip + length > len(data):
            return None
        found.append((strip, length))
        at = directory + 2 + 9 * ENTRY
    return found, at

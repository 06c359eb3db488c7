"""Files that are wrong, lie, or want too much: each must be left alone, or be held byte for byte; none may harm."""

import io
import struct

import numpy as np
import tifffile
from case import EITHER, LEFT, case, pixels

SHORT, LONG = 3, 4
GREY = (60, 83)


def odd(name, why, verdict=LEFT):
    """A decorator: the function gives the file's bytes."""
    return lambda make: CASES.append(
        case(name, "by hand", verdict, why, read="nothing")(lambda path: path.write_bytes(make()))
    )


CASES = []


def whole(data=None, **how):
    """A sound TIFF, to be spoilt."""
    file = io.BytesIO()
    how.setdefault("photometric", "minisblack")
    tifffile.imwrite(file, pixels(GREY) if data is None else data, **how)
    return file.getvalue()


def tiff(tags, behind=b"", following=0, at=8):
    """A little-endian classic TIFF of one directory at byte 8; `tags` are (tag, type, count, value)."""
    entries = b"".join(struct.pack("<HHII", *tag) for tag in sorted(tags))
    return struct.pack("<2sHIH", b"II", 42, at, len(tags)) + entries + struct.pack("<I", following) + behind


def grey(width, height, strips, counts, rows, bits=16):
    """Its tags; `strips` and `counts` are (number, value or offset)."""
    return [(256, LONG, 1, width), (257, LONG, 1, height), (258, SHORT, 1, bits), (259, SHORT, 1, 1),
            (262, SHORT, 1, 1), (273, LONG, *strips), (277, SHORT, 1, 1), (278, LONG, 1, rows), (279, LONG, *counts)]  # fmt: skip


DATA_AT = 8 + 2 + 9 * 12 + 4


@odd("odd-empty.tif", "a file of no bytes")
def _():
    return b""


@odd("odd-empty.npy", "a file of no bytes")
def _():
    return b""


@odd("odd-text-named.tif", "text under a TIFF's name")
def _():
    return b"This is no image.\n" * 100


@odd("odd-header-only.tif", "eight bytes and no directory")
def _():
    return whole()[:8]


@odd("odd-truncated-half.tif", "cut in the middle of the pixels")
def _():
    return whole(pixels((512, 512)))[: 1 << 18]


@odd("odd-truncated-one-byte.tif", "its last byte is missing")
def _():
    return whole()[:-1]


@odd("odd-truncated-directory.tif", "cut in the middle of its directory")
def _():
    return whole()[:60]


@odd("odd-truncated.npy", "cut in the middle of the pixels")
def _():
    file = io.BytesIO()
    np.save(file, pixels(GREY))
    return file.getvalue()[:5000]


@odd("odd-trailing-bytes.npy", "bytes behind the pixels", EITHER)
def _():
    file = io.BytesIO()
    np.save(file, pixels(GREY))
    return file.getvalue() + b"behind" * 50


@odd("odd-trailing-bytes.tif", "bytes behind the pixels", EITHER)
def _():
    return whole() + b"behind" * 50


@odd("odd-lying-strip-count.tif", "says 2^31 strips")
def _():
    return tiff(grey(83, 60, (1 << 31, DATA_AT), (1 << 31, DATA_AT), 1), bytes(83 * 60 * 2))


@odd("odd-lying-byte-count.tif", "a strip that says fewer bytes than its pixels take")
def _():
    return tiff(grey(83, 60, (1, DATA_AT), (1, 100), 60), bytes(83 * 60 * 2))


@odd("odd-byte-count-too-large.tif", "a strip that says more bytes than its pixels take, all of them there", EITHER)
def _():
    return tiff(grey(83, 60, (1, DATA_AT), (1, 83 * 60 * 2 + 500), 60), bytes(83 * 60 * 2 + 500))


@odd("odd-strip-beyond-the-end.tif", "a strip that begins behind the file's end")
def _():
    return tiff(grey(83, 60, (1, 1 << 30), (1, 83 * 60 * 2), 60), bytes(100))


@odd("odd-strip-offset-wraps.tif", "offset and length overflow 32 bits")
def _():
    return tiff(grey(83, 60, (1, 0xFFFFFF00), (1, 83 * 60 * 2), 60), bytes(83 * 60 * 2))


@odd("odd-overlapping-strips.tif", "two strips share bytes", EITHER)
def _():
    half = 83 * 30 * 2
    arrays = struct.pack("<4I", DATA_AT + 16, DATA_AT + 16 + half // 2, half, half)
    return tiff(grey(83, 60, (2, DATA_AT), (2, DATA_AT + 8), 30), arrays + whole()[:half] * 2)


@odd("odd-one-strip-for-all.tif", "every strip is the same bytes", EITHER)
def _():
    row = 83 * 2
    offsets = struct.pack("<60I", *([DATA_AT + 480] * 60)) + struct.pack("<60I", *([row] * 60))
    return tiff(grey(83, 60, (60, DATA_AT), (60, DATA_AT + 240), 1), offsets + bytes(range(166)))


@odd("odd-strip-over-the-directory.tif", "its pixels lie over its directory", EITHER)
def _():
    return tiff(grey(83, 60, (1, 0), (1, 83 * 60 * 2), 60), bytes(83 * 60 * 2))


@odd("odd-directory-loop.tif", "its directory is followed by itself", EITHER)
def _():
    return tiff(grey(83, 60, (1, DATA_AT), (1, 83 * 60 * 2), 60), bytes(83 * 60 * 2), following=8)


@odd("odd-directories-in-a-ring.tif", "two directories that follow each other", EITHER)
def _():
    data = whole(np.stack([pixels(GREY)] * 2), metadata=None)
    with tifffile.TiffFile(io.BytesIO(data)) as file:
        first, second = file.pages[0].offset, file.pages[1].offset
    at = second + 2 + struct.unpack_from("<H", data, second)[0] * 12
    return data[:at] + struct.pack("<I", first) + data[at + 4 :]


@odd("odd-directory-loop-in-subifds.tif", "a reduced level that is the image itself", EITHER)
def _():
    tags = grey(83, 60, (1, DATA_AT + 12), (1, 83 * 60 * 2), 60) + [(330, LONG, 1, 8)]
    return tiff(tags, bytes(83 * 60 * 2))


@odd("odd-endless-directories.tif", "a chain of 2^18 directories in a file of 5 MB, as the head of 2^32", EITHER)
def _():
    """Each has one tag; the last points to the first."""
    count = 1 << 18
    one = np.zeros(
        count, [("n", "<u2"), ("tag", "<u2"), ("type", "<u2"), ("count", "<u4"), ("value", "<u4"), ("next", "<u4")]
    )
    one["n"], one["tag"], one["type"], one["count"], one["value"] = 1, 256, LONG, 1, 83
    one["next"] = 8 + one.dtype.itemsize * ((np.arange(count) + 1) % count)
    return struct.pack("<2sHI", b"II", 42, 8) + one.tobytes()


@odd("odd-endless-subifds.tif", "a directory that says 2^32 - 1 reduced levels")
def _():
    tags = grey(83, 60, (1, DATA_AT + 12), (1, 83 * 60 * 2), 60) + [(330, LONG, 0xFFFFFFFF, DATA_AT)]
    return tiff(tags, bytes(83 * 60 * 2))


@odd("odd-too-many-tags.tif", "a directory of 65,535 tags that are not there")
def _():
    return struct.pack("<2sHIH", b"II", 42, 8, 0xFFFF) + bytes(500)


@odd("odd-huge.tif", "2^31 × 2^31 pixels in 200 bytes")
def _():
    return tiff(grey(1 << 31, 1 << 31, (1, DATA_AT), (1, 100), 1 << 31), bytes(100))


@odd("odd-no-pixels.tif", "width 0")
def _():
    return tiff(grey(0, 60, (1, DATA_AT), (1, 0), 60))


@odd("odd-rows-per-strip-zero.tif", "strips of no rows")
def _():
    return tiff(grey(83, 60, (1, DATA_AT), (1, 83 * 60 * 2), 0), bytes(83 * 60 * 2))


@odd("odd-tile-size-zero.tif", "tiles of no size")
def _():
    tags = [t for t in grey(83, 60, (1, 0), (1, 0), 60) if t[0] not in (273, 278, 279)]
    tags += [(322, LONG, 1, 0), (323, LONG, 1, 0), (324, LONG, 1, 200), (325, LONG, 1, 83 * 60 * 2)]
    return tiff(tags, bytes(83 * 60 * 2 + 200))


@odd("odd-twelve-bits.tif", "12 bits a pixel, packed")
def _():
    return tiff(grey(84, 60, (1, DATA_AT), (1, 84 * 60 * 3 // 2), 60, bits=12), bytes(84 * 60 * 3 // 2))


@odd("odd-unknown-compression.tif", "a compression that nobody knows")
def _():
    tags = [t if t[0] != 259 else (259, SHORT, 1, 54321) for t in grey(83, 60, (1, DATA_AT), (1, 500), 60)]
    return tiff(tags, bytes(500))


@odd("odd-bomb.tif", "a deflate bomb: 1 GiB of zeros in 1 MiB")
def _():
    import zlib

    packer, side = zlib.compressobj(9), 1 << 15
    data = b"".join(packer.compress(bytes(1 << 24)) for _ in range(side * side >> 24)) + packer.flush()
    tags = [
        t if t[0] != 259 else (259, SHORT, 1, 8) for t in grey(side, side, (1, DATA_AT), (1, len(data)), side, bits=8)
    ]
    return tiff(tags, data)


@odd("odd-description-beyond-the-end.tif", "a description that lies behind the file's end", EITHER)
def _():
    tags = grey(83, 60, (1, DATA_AT + 12), (1, 83 * 60 * 2), 60) + [(270, 2, 1 << 20, 1 << 24)]
    return tiff(tags, bytes(83 * 60 * 2))


@odd("odd-ome-xml-bomb.ome.tif", "OME-XML whose entities would grow to 10^9 characters", EITHER)
def _():
    entities = "".join(f'<!ENTITY a{n} "{f"&a{n - 1};" * 10}">' for n in range(1, 10))
    xml = f'<?xml version="1.0"?><!DOCTYPE OME [<!ENTITY a0 "x">{entities}]><OME>&a9;</OME>'
    return whole(description=xml, metadata=None)


@odd("odd-ome-xml-lies.ome.tif", "OME-XML of 10,000 planes over one", EITHER)
def _():
    xml = ('<OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06"><Image ID="Image:0"><Pixels ID="Pixels:0" '
           'DimensionOrder="XYZCT" Type="uint16" SizeX="83" SizeY="60" SizeZ="100" SizeC="10" SizeT="10"><TiffData/>'
           "</Pixels></Image></OME>")  # fmt: skip
    return whole(description=xml, metadata=None)


@odd("odd-imagej-lies.tif", "an ImageJ description of 2^31 planes over one", EITHER)
def _():
    return whole(description="ImageJ=1.54f\nimages=2147483648\nslices=2147483648\nhyperstack=true\n", metadata=None)


@odd("odd-huge-header.npy", "a header that says it has 4 GiB")
def _():
    return b"\x93NUMPY\x02\x00" + struct.pack("<I", 0xFFFFFFF0) + b"{'descr': '<u2'" + bytes(1000)


@odd("odd-huge.npy", "(2^31, 2^31, 2^31) pixels in 200 bytes")
def _():
    text = b"{'descr': '<u2', 'fortran_order': False, 'shape': (2147483648, 2147483648, 2147483648), }"
    text += b" " * (117 - len(text)) + b"\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text + bytes(200)


@odd("odd-header-is-no-dictionary.npy", "a header that is an expression")
def _():
    text = b"__import__('os').system('true')".ljust(117) + b"\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text + bytes(200)


@odd("odd-version-9.npy", "a version that does not exist")
def _():
    return b"\x93NUMPY\x09\x00" + bytes(200)


def cases():
    yield from CASES

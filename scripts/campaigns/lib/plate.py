"""A tree as it is found in a laboratory: a plate of TIFFs under ImageXpress names, and whatever people leave beside."""

import os
import random
import struct
import uuid

EDGE = 128
# Type codes of TIFF 6.0.
SHORT, LONG = 3, 4


def tiff(seed):
    """A valid little-endian TIFF: one strip of 16-bit grey values, dim noise with some bright spots."""
    dice = random.Random(seed)
    row = bytearray(dice.randbytes(EDGE * 2))
    row[1::2] = bytes(EDGE)
    pixels = bytearray(bytes(row) * EDGE)
    for _ in range(20):
        at = 2 * dice.randrange(EDGE * EDGE - 8)
        pixels[at : at + 16] = struct.pack("<8H", *(dice.randrange(2000, 60000) for _ in range(8)))
    tags = [(256, LONG, EDGE), (257, LONG, EDGE), (258, SHORT, 16), (259, SHORT, 1), (262, SHORT, 1), (273, LONG, 8),
            (277, SHORT, 1), (278, LONG, EDGE), (279, LONG, len(pixels))]  # fmt: skip
    directory = struct.pack("<H", len(tags)) + b"".join(
        struct.pack("<HHII", tag, kind, 1, value) for tag, kind, value in tags
    )
    return struct.pack("<2sHI", b"II", 42, 8 + len(pixels)) + bytes(pixels) + directory + bytes(4)


def make(root, images, owners):
    """The whole tree; `owners` says whether files may be given to other users (needs root)."""
    root = os.fsencode(root)
    _images(os.path.join(root, b"Plate 7/TimePoint_1"), images)
    _links(root)
    _names(os.path.join(root, b"names"))
    _oddities(os.path.join(root, b"odd"), unreadable=owners)
    if owners:
        _owners(os.path.join(root, b"owned"))
    _age(root)
    os.sync()


def _images(folder, count):
    os.makedirs(folder)
    for number in range(count):
        well, rest = divmod(number, 8)
        site, channel = divmod(rest, 2)
        guid = str(uuid.UUID(int=random.Random(number).getrandbits(128))).upper()
        name = f"Plate7_{chr(65 + well // 12 % 16)}{well % 12 + 1:02}_s{site + 1}_w{channel + 1}{guid}.tif"
        with open(os.path.join(folder, name.encode()), "wb") as file:
            file.write(tiff(number))
    with open(os.path.join(folder, b"Plate7.HTD"), "w") as file:
        file.write('"HTSInfoFile", Version 1.0\r\n"XWells", 12\r\n"YWells", 8\r\n')


def _links(root):
    folder = os.path.join(root, b"links")
    os.makedirs(folder)
    image = os.path.join(root, b"Plate 7/TimePoint_1/Plate7.HTD")
    for name in (b"one", b"two"):
        os.link(image, os.path.join(folder, name))
    with open(os.path.join(folder, b"a"), "wb") as file:
        file.write(b"two names, one folder")
    os.link(os.path.join(folder, b"a"), os.path.join(folder, b"b"))
    os.symlink(b"../Plate 7/TimePoint_1", os.path.join(folder, b"to-folder"))
    os.symlink(b"one", os.path.join(folder, b"to-file"))
    os.symlink(b"nowhere/at all", os.path.join(folder, b"dangling"))
    os.symlink(b"/etc/hostname", os.path.join(folder, b"absolute"))


def _names(folder):
    os.makedirs(folder)
    names = [
        b"with\nnewline",
        b"not utf-8 \xff\xfe",
        b" leading and trailing ",
        b"-rf",
        b"*?[a]",
        b"quo'te\"s",
        b"back\\slash",
        "Zellkern-Färbung µm².tif".encode(),
        "細胞.tif".encode(),
        b"x" * 255,
        b"...",
        b".hidden",
        b"tab\there",
        b"\x01\x7f",
        b"name.scopefs-conflict-1",
        b"data.ome.zarr",
    ]
    for name in names:
        with open(os.path.join(folder, name), "wb") as file:
            file.write(b"named " + name)
    os.makedirs(os.path.join(folder, b"folder\nwith \xff", b"d" * 200, b"e" * 200))


def _oddities(folder, unreadable):
    os.makedirs(os.path.join(folder, b"empty", b"emptier"))
    os.mkfifo(os.path.join(folder, b"fifo"), 0o622)
    with open(os.path.join(folder, b"sparse"), "wb") as file:
        file.truncate(64 << 20)
        for at in (0, 20 << 20, (64 << 20) - 10):
            file.seek(at)
            file.write(b"an island")
    open(os.path.join(folder, b"nothing"), "wb").close()
    for mode in (*([0o000] if unreadable else []), 0o400, 0o444, 0o777, 0o4755, 0o2755, 0o1644):
        path = os.path.join(folder, b"mode-%o" % mode)
        with open(path, "wb") as file:
            file.write(b"mode %o" % mode)
        os.chmod(path, mode)
    os.chmod(os.path.join(folder, b"empty"), 0o1777)
    for path in (os.path.join(folder, b"nothing"), os.path.join(folder, b"empty")):
        os.setxattr(path, "user.instrument", b"ImageXpress \x00\xff")
        os.setxattr(path, "user.empty", b"")


def _owners(folder):
    os.makedirs(folder)
    for uid, gid in ((0, 0), (1000, 1000), (65534, 65534), (12345, 54321)):
        path = os.path.join(folder, b"%d-%d" % (uid, gid))
        with open(path, "wb") as file:
            file.write(b"owned")
        os.chown(path, uid, gid)
    os.mkdir(os.path.join(folder, b"setgid"))
    os.chown(os.path.join(folder, b"setgid"), 1000, 1000)
    os.chmod(os.path.join(folder, b"setgid"), 0o2775)


def _age(root):
    """Times of other years, with nanoseconds; directories last, from the bottom up."""
    for folder, folders, files in os.walk(root, topdown=False):
        for name in files + folders:
            path = os.path.join(folder, name)
            moment = 1_500_000_000_123_456_789 + len(path) * 86_400_000_000_017
            os.utime(path, ns=(moment, moment), follow_symlinks=False)

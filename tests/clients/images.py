"""What imaging programs do to files: header patched after the data, maps, appended pages, versions renamed over."""

import os
import shutil

import numpy as np
import tifffile

from place import Skipped, check, finish, run, worker

SHAPE = (12, 200, 300)


def _pattern(seed, shape=SHAPE):
    return np.random.default_rng(seed).integers(0, 4096, shape, dtype=np.uint16)


@check
def tifffile_memmap_is_written_and_read_through_the_map(place):
    folder = place.fresh("tifffile-memmap")
    path, planes = folder / "stack.tif", _pattern(1)
    array = tifffile.memmap(path, shape=planes.shape, dtype=planes.dtype)
    place.expect(path)
    array[:6] = planes[:6]
    place.disturb(path, still_open=True)
    array[6:] = planes[6:]
    array.flush()
    del array
    place.disturb(path)
    assert (tifffile.imread(path) == planes).all()
    array = tifffile.memmap(path, mode="r+")
    array[5] = 42
    array.flush()
    del array
    place.disturb(path)
    planes[5] = 42
    assert (tifffile.imread(path) == planes).all()
    assert (tifffile.memmap(path, mode="r") == planes).all()


@check
def tifffile_appends_pages_to_a_file_that_was_moved(place):
    folder = place.fresh("tifffile-append")
    path, planes = folder / "pages.tif", _pattern(2)
    for number, plane in enumerate(planes):
        tifffile.imwrite(path, plane, append=True, photometric="minisblack", metadata=None)
        if number % 4 == 3:
            place.disturb(path)
    assert (tifffile.imread(path, key=range(len(planes))) == planes).all()


@check
def a_thousand_small_appends_and_a_header_patch_give_one_whole_file(place):
    # libtiff, OpenCV and Pillow: O_RDWR, small appends, their own file read back, the header patched at the end.
    folder = place.fresh("libtiff-like")
    path, wanted = folder / "image", bytearray(16)
    with open(path, "w+b", buffering=0) as file:
        file.write(bytes(16))
        for number in range(1000):
            strip = number.to_bytes(4, "little") * (1 + number % 300)
            file.write(strip)
            wanted += strip
            if number % 100 == 0:
                assert os.pread(file.fileno(), len(wanted), 0) == wanted
                place.disturb(path, still_open=True)
        file.seek(0)
        file.write(b"II*\0 and an index")
        wanted[:17] = b"II*\0 and an index"
    place.expect(path, "memory", "disk")
    place.disturb(path)
    assert path.read_bytes() == wanted


@check
def versions_renamed_over_a_name_are_never_missing_or_torn(place):
    # zarr-python. A name that vanishes for a moment under load is a fault that other file systems have.
    folder = place.fresh("zarr-like")
    path, size, versions = folder / "0.0", 70_000, 1500
    path.write_bytes(bytes(size))
    with place.moving(path):
        writer = worker("publish", path, versions, size)
        reads = 0
        while writer.poll() is None:
            data = path.read_bytes()
            assert len(data) == size and data == data[:1] * size, f"a torn version of {len(data)} bytes"
            reads += 1
        finish(writer)
    assert reads > 0
    data = path.read_bytes()
    assert data == bytes([(versions - 1) % 251]) * size, "the last version is not the one that was renamed last"
    assert os.listdir(folder) == ["0.0"], f"something was left behind: {os.listdir(folder)}"


@check
def files_renamed_while_open_locked_and_synced_arrive_whole(place):
    # tensorstore, from two processes.
    folder = place.fresh("tensorstore-like")
    path, times = folder / "chunk", 100
    with place.moving(path):
        for writer in [worker("tensorstore_publish", path, first, times) for first in (0, 1000)]:
            finish(writer)
    data = path.read_bytes()
    assert len(data) == 8 * 512 and data == data[:8] * 512
    assert int(data[:8]) in (times - 1, 1000 + times - 1)
    assert os.listdir(folder) == ["chunk"], f"something was left behind: {os.listdir(folder)}"


@check
def a_file_that_is_written_slowly_can_be_moved_meanwhile(place):
    folder = place.fresh("slow-writer")
    path, size = folder / "growing", 2 << 20
    with place.moving(path):
        finish(worker("write_slowly", path, size))
    data = np.fromfile(path, dtype="<u8").reshape(-1, 512)
    assert data.nbytes == size
    assert (data == np.arange(0, size, 4096, dtype="<u8")[:, None]).all(), "a block is not what was written there"


@check
def scikit_image_saves_and_loads_png_and_tiff(place):
    from skimage import io

    folder = place.fresh("skimage")
    image = _pattern(3, (128, 128))
    for name in ("field.png", "field.tif"):
        io.imsave(folder / name, image, check_contrast=False)
        place.expect(folder / name)
        place.disturb(folder / name)
        assert (io.imread(folder / name) == image).all(), name


@check
def imagemagick_converts_an_image_there_and_back(place):
    program = next(
        (found for found in map(shutil.which, ("magick", "convert")) if found and _is_imagemagick(found)), None
    )
    if not program:
        raise Skipped("ImageMagick is not installed")
    folder = place.fresh("imagemagick")
    image = _pattern(4, (200, 300)) * 16
    tifffile.imwrite(folder / "in.tif", image, photometric="minisblack")
    place.disturb(folder / "in.tif")
    run(program, folder / "in.tif", "-depth", "16", folder / "middle.png")
    place.disturb(folder / "middle.png")
    run(program, folder / "middle.png", "-depth", "16", "-compress", "none", folder / "out.tif")
    place.disturb(folder / "out.tif")
    assert (tifffile.imread(folder / "out.tif") == image).all()


def _is_imagemagick(program):
    try:
        return "ImageMagick 7" in (said := run(program, "-version")) or "ImageMagick 6" in said
    except AssertionError:
        return False

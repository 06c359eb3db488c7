"""What OpenCV, Pillow, libvips and ImageMagick write."""

import functools

import numpy as np
from case import EITHER, LEFT, SEALED, Missing, case, colour, pixels, program, run

GREY = (60, 83)
COMPRESSED = "compressed: {}"


def opencv():
    import cv2

    none = [cv2.IMWRITE_TIFF_COMPRESSION, 1]
    for dtype in ("uint8", "uint16", "float32", "float64"):
        yield _cv(f"{dtype}", pixels(GREY, dtype), none)
    yield _cv("rgb", colour(60, 83), none)
    yield _cv("rgba-uint16", colour(60, 83, 4, "uint16"), none)
    yield _cv("large", pixels((700, 900)), none)
    yield _cv("default", pixels(GREY), [], LEFT, COMPRESSED.format("lzw"))
    yield case("opencv-pages.tif", "OpenCV", EITHER, "its compression is OpenCV's choice")(
        lambda path: cv2.imwritemulti(str(path), [pixels(GREY, "uint8", seed) for seed in range(3)], none)
    )


def _cv(name, data, how, verdict=SEALED, why="uncompressed"):
    def write(path):
        import cv2

        if not cv2.imwrite(str(path), data, how):
            raise OSError(f"OpenCV did not write {path}")

    return case(f"opencv-{name}.tif", "OpenCV", verdict, why)(write)


def pillow():
    from PIL import Image

    def pil(name, image, verdict=SEALED, why="uncompressed", **how):
        return case(f"pillow-{name}.tif", "Pillow", verdict, why)(lambda path: image.save(path, **how))

    grey = Image.fromarray(pixels(GREY, "uint8"))
    yield pil("l", grey)
    yield pil("i16", Image.fromarray(pixels(GREY)))
    yield pil("i32", Image.fromarray(pixels(GREY, "int32")))
    yield pil("f32", Image.fromarray(pixels(GREY, "float32")))
    yield pil("rgb", Image.fromarray(colour(60, 83)))
    yield pil("rgba", Image.fromarray(colour(60, 83, 4)))
    yield pil("cmyk", Image.fromarray(colour(60, 83)).convert("CMYK"))
    yield pil("bigtiff", grey, big_tiff=True)
    yield pil("dpi", grey, dpi=(300, 300), description="µ")
    yield pil("frames", grey, save_all=True, append_images=[Image.fromarray(pixels(GREY, "uint8", n)) for n in (2, 3)])
    yield pil("palette", Image.fromarray(colour(60, 83)).quantize(64), EITHER, "indices into a palette")
    yield pil("bilevel", grey.convert("1"), LEFT, "one bit a pixel")
    yield pil("lzw", grey, LEFT, COMPRESSED.format("lzw"), compression="tiff_lzw")
    yield pil("deflate", grey, LEFT, COMPRESSED.format("deflate"), compression="tiff_adobe_deflate")
    yield pil("group4", grey.convert("1"), LEFT, COMPRESSED.format("group 4"), compression="group4")
    yield case("pillow-png-named-tif.tif", "Pillow", LEFT, "a PNG under a TIFF's name", read="nothing")(
        lambda path: grey.save(path, format="PNG")
    )


def vips():
    try:
        import pyvips
    except (ImportError, OSError) as error:
        raise Missing(f"libvips: {error}") from error

    def vip(name, data, verdict=SEALED, why="uncompressed", **how):
        image = pyvips.Image.new_from_array(np.ascontiguousarray(data))
        return case(f"vips-{name}.tif", "libvips", verdict, why)(lambda path: image.tiffsave(str(path), **how))

    tiles = {"tile": True, "tile_width": 128, "tile_height": 128}
    for dtype in ("uint8", "uint16", "int16", "uint32", "float32", "float64"):
        yield vip(f"strips-{dtype}", pixels((200, 301), dtype))
    yield vip("tiles", pixels((200, 301)), **tiles)
    yield vip("rgb-tiles", colour(200, 301), **tiles)
    yield vip("bigtiff", pixels((200, 301)), bigtiff=True)
    yield vip("pyramid", pixels((600, 700), "uint8"), pyramid=True, **tiles)
    yield vip("pyramid-subifd", pixels((600, 700)), pyramid=True, subifd=True, bigtiff=True, **tiles)
    yield vip("deflate", pixels((200, 301)), LEFT, COMPRESSED.format("deflate"), compression="deflate")
    yield vip("jpeg", colour(200, 301), LEFT, COMPRESSED.format("jpeg"), compression="jpeg", **tiles)
    yield vip("two-bits", pixels((60, 84), "uint8"), LEFT, "two bits a pixel", bitdepth=2)


def magick():
    """From files of numpy's own making, so that the pixels are known."""
    tool = _magick()

    def mag(name, data, *how, verdict=SEALED, why="uncompressed"):
        return case(f"imagemagick-{name}.tif", "ImageMagick", verdict, why)(
            functools.partial(_convert, tool=tool, data=data, how=how)
        )

    none = ("-compress", "None")
    yield mag("grey8", pixels(GREY, "uint8"), *none)
    yield mag("grey16", pixels(GREY), *none)
    yield mag("grey16-big-endian", pixels(GREY), *none, "-endian", "MSB")
    yield mag("rgb8", colour(60, 83), *none, "-type", "TrueColor")
    yield mag("rgb16", colour(60, 83, 3, "uint16"), *none, "-type", "TrueColor")
    yield mag("rgba8", colour(60, 83), *none, "-alpha", "set", "-type", "TrueColorAlpha")
    yield mag("rows-per-strip", pixels(GREY), *none, "-define", "tiff:rows-per-strip=3")
    yield mag("tiles", pixels((200, 301)), *none, "-define", "tiff:tile-geometry=64x64")
    yield mag("planar", colour(60, 83), *none, "-interlace", "Plane", "-type", "TrueColor")
    yield mag("pages", pixels(GREY), *none, "(", "+clone", "-flip", ")", "(", "+clone", "-flop", ")")
    yield mag("fill-order", pixels(GREY, "uint8"), *none, "-define", "tiff:fill-order=lsb",
              verdict=EITHER, why="bits of a byte in reverse order")  # fmt: skip
    yield mag("lzw", pixels(GREY), "-compress", "LZW", verdict=LEFT, why=COMPRESSED.format("lzw"))
    yield mag("zip", pixels(GREY), "-compress", "Zip", verdict=LEFT, why=COMPRESSED.format("deflate"))
    yield mag(
        "bilevel",
        pixels(GREY, "uint8"),
        *none,
        "-threshold",
        "50%",
        "-type",
        "Bilevel",
        verdict=EITHER,
        why="one bit a pixel or, in some versions, eight",
    )


def _magick():
    """The program under the name that is surely its own: others are called `convert` too."""
    tool = program("magick", "convert-im7.q16", "convert-im6.q16", "convert-im7", "convert-im6")
    if "ImageMagick" not in run(tool, "-version"):
        raise Missing("ImageMagick is not installed")
    return tool


def _convert(path, tool, data, how):
    source = path.with_suffix(".pnm")
    height, width = data.shape[:2]
    high = np.iinfo(data.dtype).max
    kind = b"P6" if data.ndim == 3 else b"P5"
    source.write_bytes(
        kind + b"\n%d %d\n%d\n" % (width, height, high) + data.astype(data.dtype.newbyteorder(">")).tobytes()
    )
    try:
        run(tool, source, *how, path)
    finally:
        source.unlink()


GROUPS = {"OpenCV": opencv, "Pillow": pillow, "libvips": vips, "ImageMagick": magick}

"""What tifffile writes: types, byte orders, strips and tiles, samples, pages, ImageJ, OME, private tags, packed ones."""

import functools

import numpy as np
import tifffile
from case import EITHER, LEFT, SEALED, case, colour, pixels

GREY = (60, 83)
TYPES = ["uint8", "uint16", "uint32", "uint64", "int8", "int16", "int32", "int64", "float32", "float64"]
METADATA = (
    """<MetaData><PlateInfo><prop id="spatial-calibration-x" type="float" value="0.65"/></PlateInfo></MetaData>"""
)


def writing(data, **how):
    return functools.partial(_write, data=data, how=how)


def _write(path, data, how):
    how.setdefault("photometric", "minisblack")
    tifffile.imwrite(path, data() if callable(data) else data, **how)


def tif(name, data, verdict=SEALED, why=None, **how):
    words = (verdict,) if why is None else (verdict, why)
    return case(f"tifffile-{name}.tif", "tifffile", *words)(writing(data, **how))


def types():
    for dtype in TYPES:
        for order, word in (("<", "little"), (">", "big")):
            yield tif(f"{dtype}-{word}", pixels(GREY, dtype), byteorder=order)
    for dtype in ("uint8", "uint16", "float32"):
        for order, word in (("<", "little"), (">", "big")):
            yield tif(f"bigtiff-{dtype}-{word}", pixels(GREY, dtype), byteorder=order, bigtiff=True)
            yield tif(f"tiles-{dtype}-{word}", pixels((200, 301), dtype), byteorder=order, tile=(64, 48))
    yield tif("tiles-bigtiff", pixels((256, 256)), tile=(128, 128), bigtiff=True)
    for dtype in ("float16", "complex64", "complex128"):
        yield tif(f"{dtype}", pixels(GREY, dtype), LEFT, f"{dtype} is a type that not all readers of stores know")
    yield tif("bilevel", pixels(GREY, "bool"), LEFT, "one bit a pixel", photometric="minisblack")


def strips():
    for rows in (1, 7, 16, 59, 60, 1000):
        yield tif(f"rows-per-strip-{rows}", pixels(GREY), rowsperstrip=rows)
    yield tif("one-column", pixels((60, 1)))
    yield tif("one-row", pixels((1, 83)))
    yield tif("one-pixel", pixels((1, 1)), EITHER, "a single pixel")
    yield tif("miniswhite", pixels(GREY, "uint8"), photometric="miniswhite")
    yield tif("a-megapixel", pixels((1080, 1080)))
    palette = np.arange(768, dtype=np.uint16).reshape(3, 256)
    yield tif(
        "palette", pixels(GREY, "uint8"), EITHER, "indices into a palette", photometric="palette", colormap=palette
    )


def samples():
    for dtype in ("uint8", "uint16", "float32"):
        yield tif(f"rgb-{dtype}", colour(60, 83, 3, dtype), photometric="rgb")
    yield tif("rgb-big-endian", colour(60, 83, 3, "uint16"), photometric="rgb", byteorder=">")
    yield tif("rgb-tiles", colour(200, 301, 3), photometric="rgb", tile=(64, 64))
    yield tif("rgb-strips-of-5", colour(60, 83, 3, "uint16"), photometric="rgb", rowsperstrip=5)
    yield tif("rgba", colour(60, 83, 4), photometric="rgb", extrasamples=["unassalpha"])
    yield tif("rgb-planar", pixels((3, 60, 83), "uint8"), photometric="rgb", planarconfig="separate")
    yield tif("rgb-planar-uint16", pixels((3, 60, 83)), photometric="rgb", planarconfig="separate", byteorder=">")
    yield tif(
        "rgb-planar-tiles", pixels((3, 200, 301), "uint8"), photometric="rgb", planarconfig="separate", tile=(64, 64)
    )
    yield tif("five-samples", colour(60, 83, 5, "uint16"), planarconfig="contig", extrasamples=["unspecified"] * 4)
    yield tif("five-samples-planar", pixels((5, 60, 83)), planarconfig="separate", extrasamples=["unspecified"] * 4)
    yield tif("cmyk", colour(60, 83, 4), photometric="separated")


def pages():
    yield tif("pages", pixels((7, *GREY)))
    yield tif("pages-big-endian", pixels((7, *GREY)), byteorder=">")
    yield tif("pages-no-metadata", pixels((7, *GREY)), metadata=None)
    yield tif("pages-axes-zyx", pixels((7, *GREY)), metadata={"axes": "ZYX"})
    yield tif("pages-axes-tcyx", pixels((3, 2, *GREY)), metadata={"axes": "TCYX"})
    yield tif("pages-tiles", pixels((5, 100, 130)), tile=(32, 32))
    yield tif("pages-rgb", np.stack([colour(60, 83)] * 3), photometric="rgb")
    yield tif(
        "pages-contiguous-description", pixels((7, *GREY)), description="seven of them", metadata=None, software="x"
    )
    yield tif("pages-resolution", pixels((3, *GREY)), resolution=(15384.6, 15384.6), resolutionunit="CENTIMETER")
    yield case("tifffile-pages-of-other-sizes.tif", "tifffile")(_other_sizes)
    yield case("tifffile-pages-of-other-types.tif", "tifffile")(_other_types)
    yield case("tifffile-appended.tif", "tifffile")(_appended)
    yield case("tifffile-appended-bigtiff.tif", "tifffile")(functools.partial(_appended, bigtiff=True))
    yield case("tifffile-contiguous.tif", "tifffile")(_contiguous)
    yield case("tifffile-memmap.tif", "tifffile")(_memmap)
    yield case("tifffile-volume-tiles.tif", "tifffile", EITHER, "tiles with a depth")(
        writing(pixels((16, 64, 64)), tile=(16, 32, 32), volumetric=True)
    )


def _other_sizes(path):
    with tifffile.TiffWriter(path) as file:
        for number, size in enumerate([(60, 83), (30, 40), (60, 83), (17, 19)]):
            file.write(pixels(size, seed=number), photometric="minisblack")


def _other_types(path):
    with tifffile.TiffWriter(path) as file:
        for dtype in ("uint8", "uint16", "float32", "uint8"):
            file.write(pixels(GREY, dtype), photometric="minisblack")


def _appended(path, bigtiff=False):
    for number in range(4):
        tifffile.imwrite(path, pixels(GREY, seed=number), append=number > 0, metadata=None, photometric="minisblack",
                         bigtiff=bigtiff)  # fmt: skip


def _contiguous(path):
    with tifffile.TiffWriter(path) as file:
        for number in range(6):
            file.write(pixels(GREY, seed=number), contiguous=True, photometric="minisblack")


def _memmap(path):
    array = tifffile.memmap(path, shape=(4, *GREY), dtype="uint16", photometric="minisblack")
    array[:] = pixels((4, *GREY))
    array.flush()


def imagej():
    about = {"unit": "um", "spacing": 2.0, "min": 10.0, "max": 4000.0, "Labels": ["a", "b", "c", "d", "e", "f"]}
    lut = np.stack([np.arange(256, dtype=np.uint8)] * 3)
    yield _hyperstack("tzcyx", pixels((2, 3, 2, *GREY)), {"axes": "TZCYX", **about})
    yield _hyperstack("luts", pixels((2, *GREY)), {"axes": "CYX", "mode": "composite", "LUTs": [lut, lut]})
    yield _hyperstack("float32", pixels((5, *GREY), "float32"), {"axes": "ZYX", **about})
    yield _hyperstack("uint8", pixels((5, *GREY), "uint8"), {"axes": "TYX", "fps": 7.0, "finterval": 0.14})
    yield _hyperstack("rgb", np.stack([colour(60, 83)] * 2), {"axes": "ZYXS"}, photometric="rgb")
    yield _hyperstack("overlays", pixels(GREY), {"axes": "YX", "Overlays": [b"Iout" + bytes(60)], "Info": "µm " * 400})
    yield tif("imagej-little-endian", pixels((5, *GREY)), imagej=True, byteorder="<", metadata={"axes": "ZYX"})


def _hyperstack(name, data, metadata, **how):
    return tif(f"imagej-{name}", data, imagej=True, metadata=metadata, resolution=(1.54, 1.54), **how)


def ome():
    yield _ome("yx", pixels(GREY), {"axes": "YX", "PhysicalSizeX": 0.65, "PhysicalSizeXUnit": "µm"})
    channels = {"Channel": {"Name": ["DAPI", "GFP"]}}
    yield _ome("tczyx", pixels((2, 2, 3, *GREY)), {"axes": "TCZYX", **channels})
    yield _ome("big-endian", pixels((2, 3, *GREY)), {"axes": "CZYX", **channels}, byteorder=">")
    yield _ome("bigtiff-float", pixels((3, *GREY), "float32"), {"axes": "ZYX"}, bigtiff=True)
    yield _ome("rgb", colour(60, 83), {"axes": "YXS"}, photometric="rgb")
    yield _ome("tiles", pixels((2, 200, 301)), {"axes": "CYX"}, tile=(64, 64))
    for name, writer in (("several-series", _series), ("pyramid", _pyramid), ("pyramid-big-endian", _pyramid_big),
                         ("pyramid-planes-in-strips", _pyramid_strips)):  # fmt: skip
        yield case(f"tifffile-{name}.ome.tif", "tifffile")(writer)


def _ome(name, data, metadata, **how):
    how.setdefault("photometric", "minisblack")
    return case(f"tifffile-{name}.ome.tif", "tifffile")(writing(data, ome=True, metadata=metadata, **how))


def _series(path):
    with tifffile.TiffWriter(path, ome=True) as file:
        file.write(pixels((2, *GREY)), metadata={"axes": "CYX"}, photometric="minisblack")
        file.write(pixels((40, 50), "uint8"), metadata={"axes": "YX"}, photometric="minisblack")
        file.write(pixels((3, 70, 30), "float32"), metadata={"axes": "ZYX"}, photometric="minisblack")


def _pyramid(path, byteorder="<", **how):
    data = pixels((2, 512, 600))
    how = how or {"tile": (128, 128)}
    with tifffile.TiffWriter(path, ome=True, byteorder=byteorder, bigtiff=True) as file:
        file.write(data, subifds=2, metadata={"axes": "CYX"}, photometric="minisblack", **how)
        for step in (2, 4):
            file.write(data[:, ::step, ::step], subfiletype=1, photometric="minisblack", **how)


def _pyramid_big(path):
    _pyramid(path, byteorder=">")


def _pyramid_strips(path):
    _pyramid(path, rowsperstrip=50)


def private_tags():
    """As MetaXpress and MetaMorph write them: XML in the description, tags of their own, rationals, dates."""
    tags = [(65100, 4, 6, (0, 1, 2, 3, 4, 5), True), (65101, 5, 1, (2, 1), True), (65102, 2, None, "{}" * 90, True)]
    yield tif("metaxpress", pixels(GREY), extratags=tags, description=METADATA, metadata=None, software="MetaSeries")
    yield tif("private-bytes", pixels(GREY), extratags=[(65000, 7, 5000, bytes(range(250)) * 20, True)])
    yield tif("private-text", pixels((3, *GREY)), extratags=[(65001, 2, None, "x" * 300, False)], metadata=None)
    yield tif("icc-and-date", colour(60, 83), photometric="rgb", iccprofile=bytes(500), datetime=True)


def compressed():
    names = [
        ("deflate", {}),
        ("deflate", {"predictor": True}),
        ("lzw", {}),
        ("zstd", {}),
        ("packbits", {}),
        ("lzma", {}),
    ]
    for name, more in names:
        word = f"{name}-predictor" if more else name
        yield tif(f"{word}", pixels(GREY), LEFT, f"compressed: {name}", compression=name, **more)
    yield tif("deflate-tiles", pixels((200, 301)), LEFT, "compressed: deflate", compression="deflate", tile=(64, 64))
    yield tif("jpeg", pixels((64, 96), "uint8"), LEFT, "compressed: jpeg", compression="jpeg")
    yield case("tifffile-one-page-compressed.tif", "tifffile", EITHER, "one of its pages is compressed")(_mixed)


def _mixed(path):
    with tifffile.TiffWriter(path) as file:
        for compression in (None, "deflate", None):
            file.write(pixels(GREY), photometric="minisblack", compression=compression)


LARGE_PLANES, LARGE_SIDE = 256, 2048


def large():
    """A 2 GiB OME-TIFF, written plane by plane."""
    how = {"shape": (LARGE_PLANES, LARGE_SIDE, LARGE_SIDE), "dtype": "uint16", "bigtiff": True, "ome": True}

    def planes():
        picture = pixels((LARGE_SIDE, LARGE_SIDE))
        return (np.roll(picture, number * 31, axis=1) + np.uint16(number) for number in range(LARGE_PLANES))

    yield case("tifffile-large.ome.tif", "tifffile", read="pages")(writing(planes, metadata={"axes": "TYX"}, **how))


def cases():
    for group in (types, strips, samples, pages, imagej, ome, private_tags, compressed):
        yield from group()

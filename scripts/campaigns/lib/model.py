"""A small tree as it must be: the same rules for the worker that acts and for the judge that looks afterwards.

An operation is a tuple (verb, arguments…), one system call each, so that the one in flight when the daemon died is
either before or after it; only a write may be there in part (a signal may end it between two pages)."""

import copy
import os
import stat

from .content import content

ROOT = ""


class Inode:
    """A file or directory; names are kept apart, so that hard links share one."""

    def __init__(self, kind, mode, data=b"", target=""):
        self.kind, self.mode, self.target = kind, mode, target
        self.data, self.xattrs = bytearray(data), {}
        # None: not known (the operation that set it was not acknowledged).
        self.mtime = None


class Tree:
    """Names (relative, "/" between the parts) to inodes."""

    def __init__(self):
        self.names = {ROOT: Inode("directory", 0o755)}

    def files(self):
        return [name for name, inode in self.names.items() if inode.kind == "file"]

    def directories(self):
        return [name for name, inode in self.names.items() if inode.kind == "directory"]

    def is_empty(self, folder):
        return not any(name.startswith(folder + "/") for name in self.names)

    def links(self, inode):
        return [name for name, other in self.names.items() if other is inode]

    def apply(self, operation, mtime=None):
        """Does what the system call does. `mtime` is what the mount showed after it."""
        verb, name, *arguments = operation
        getattr(self, f"_{verb}")(name, *arguments)
        if mtime is not None and name in self.names:
            self.names[name].mtime = mtime
        elif verb in MAKES_TIME and name in self.names:
            self.names[name].mtime = None

    def _create(self, name, mode):
        self.names[name] = Inode("file", mode)

    def _write(self, name, offset, seed, length):
        data = self.names[name].data
        if offset > len(data):
            data.extend(bytes(offset - len(data)))
        data[offset : offset + length] = content(seed, length)

    def _append(self, name, seed, length):
        self.names[name].data.extend(content(seed, length))

    def _truncate(self, name, length):
        data = self.names[name].data
        del data[length:]
        data.extend(bytes(length - len(data)))

    def _rename(self, old, new):
        moved = {name: inode for name, inode in self.names.items() if name == old or name.startswith(old + "/")}
        if new in self.names and self.names[new] is self.names[old]:
            return  # two names of one inode: rename(2) does nothing
        for name in moved:
            del self.names[name]
        for name, inode in moved.items():
            self.names[new + name[len(old) :]] = inode

    def _exchange(self, old, new):
        self.names[old], self.names[new] = self.names[new], self.names[old]

    def _unlink(self, name):
        del self.names[name]

    _rmdir = _unlink

    def _link(self, old, new):
        self.names[new] = self.names[old]

    def _mkdir(self, name, mode):
        self.names[name] = Inode("directory", mode)

    def _symlink(self, name, target):
        self.names[name] = Inode("symlink", 0o777, target=target)

    def _chmod(self, name, mode):
        self.names[name].mode = mode

    def _setxattr(self, name, key, value):
        self.names[name].xattrs[key] = value.encode()

    def _utime(self, name, mtime):
        self.names[name].mtime = mtime

    def _fsync(self, name):
        pass

    _fdatasync = _fsync

    def remember(self, root):
        """Takes over what stands there for the things that nobody acknowledged: mtimes that are not known."""
        for name, inode in self.names.items():
            if inode.kind == "file" and inode.mtime is None:
                inode.mtime = os.stat(os.path.join(root, name)).st_mtime_ns


MAKES_TIME = {"create", "write", "append", "truncate"}


def differences(tree, root):
    """One sentence for each way in which a real tree is not the model's; names, bytes, kind, mode, mtime, xattrs,
    hard links."""
    real = _names_below(root)
    for name in sorted(real - tree.names.keys()):
        yield f"{name}: should not be there"
    for name in sorted(tree.names.keys() - real):
        yield f"{name}: is gone"
    first_name = {}
    for name in sorted(real & tree.names.keys()):
        inode, path = tree.names[name], os.path.join(root, name)
        yield from (f"{name}: {problem}" for problem in _compare(inode, path))
        number = os.lstat(path).st_ino
        other, other_number = first_name.setdefault(id(inode), (name, number))
        if other_number != number:
            yield f"{name}: is no longer the same file as {other}"


def _names_below(root):
    found = {ROOT}
    for folder, folders, files in os.walk(root, onerror=_stop):
        inside = os.path.relpath(folder, root)
        found.update(os.path.normpath(os.path.join(inside, name)) for name in folders + files)
    return found


def _stop(error):
    raise error


def _compare(inode, path):
    info = os.lstat(path)
    kind = {stat.S_IFREG: "file", stat.S_IFDIR: "directory", stat.S_IFLNK: "symlink"}.get(stat.S_IFMT(info.st_mode))
    if kind != inode.kind:
        yield f"is a {kind}, not a {inode.kind}"
        return
    if kind == "symlink":
        if os.readlink(path) != inode.target:
            yield f"points to {os.readlink(path)}, not to {inode.target}"
        return
    if stat.S_IMODE(info.st_mode) != inode.mode:
        yield f"mode {stat.S_IMODE(info.st_mode):o}, not {inode.mode:o}"
    if kind == "file":
        yield from _compare_file(inode, path, info)


def _compare_file(inode, path, info):
    with open(path, "rb") as file:
        data = file.read()
    if data != inode.data:
        yield _how_different(data, bytes(inode.data))
    if inode.mtime is not None and info.st_mtime_ns != inode.mtime:
        yield f"mtime {info.st_mtime_ns}, not {inode.mtime} ({(info.st_mtime_ns - inode.mtime) / 1e9:+.6f} s)"
    there = {key: os.getxattr(path, key) for key in os.listxattr(path) if key.startswith("user.")}
    if there != inode.xattrs:
        yield f"xattrs {there}, not {inode.xattrs}"


def _how_different(data, expected):
    if len(data) != len(expected):
        return f"{len(data)} bytes, not {len(expected)}"
    at = next(i for i, (a, b) in enumerate(zip(data, expected)) if a != b)
    wrong = sum(a != b for a, b in zip(data, expected))
    return f"{wrong} of {len(data)} bytes differ, the first at {at}"


def possible(tree, operation, root):
    """The trees that may stand there when `operation` was begun and never acknowledged: before, after, and for a write
    what of it may have arrived."""
    yield tree
    after = copy.deepcopy(tree)
    after.apply(operation)
    yield after
    verb, name = operation[:2]
    before = tree.names.get(name)
    if verb in ("write", "append") and os.path.isfile(os.path.join(root, name)):
        offset = operation[2] if verb == "write" else len(before.data)
        new = content(operation[-2], operation[-1])
        with open(os.path.join(root, name), "rb") as file:
            there = file.read()
        partial = partly_written(bytes(before.data), offset, new, there)
        if partial is not None:
            halfway = copy.deepcopy(tree)
            halfway.names[name].data = bytearray(partial)
            halfway.names[name].mtime = None
            yield halfway
    if verb in MAKES_TIME and before:
        # The time may have changed before the bytes came.
        timeless = copy.deepcopy(tree)
        timeless.names[name].mtime = None
        yield timeless


def partly_written(before, offset, new, there):
    """`there`, if it is `before` with only a first part of `new` at `offset`; else None."""
    arrived = len(os.path.commonprefix([new, there[offset:]]))
    base = before + bytes(max(0, offset - len(before))) if arrived else before
    expected = base[:offset] + new[:arrived] + base[offset + arrived :]
    return there if there == expected else None

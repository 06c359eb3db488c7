#!/usr/bin/env python3
"""Says what stands in a directory tree, and how two trees differ.

    manifest.py list DIR          one line a name: kind, mode, size, mtime in ns, SHA-256 or link target, path
    manifest.py compare A B       every difference; exit 1 when there is one
    options: --ignore-times       leave mtimes out;  --skip NAME  leave out a top-level name (again for more)

The daemon's own folder `.scopefs` at the top is always left out.
"""

import argparse
import hashlib
import os
import stat
import sys

KINDS = {stat.S_IFREG: "file", stat.S_IFDIR: "directory", stat.S_IFLNK: "symlink", stat.S_IFIFO: "fifo"}
SHOWN = 20


def digest(path):
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def entry(path, times):
    """What is promised to be the same: kind, mode, size, mtime and content. A directory has none of the last three:
    its size and times belong to the file system that it stands on."""
    info = os.lstat(path)
    kind = KINDS.get(stat.S_IFMT(info.st_mode), "special")
    mode = f"{stat.S_IMODE(info.st_mode):04o}"
    if kind == "file":
        return kind, mode, info.st_size, info.st_mtime_ns if times else "-", digest(path)
    return kind, mode, "-", "-", os.readlink(path) if kind == "symlink" else "-"


def tree(root, times=True, skip=()):
    """{relative path: entry} for everything below root."""
    found, left_out = {}, {".scopefs", *skip}
    for folder, folders, files in os.walk(root, onerror=_stop):
        if folder == root:
            folders[:] = [name for name in folders if name not in left_out]
            files = [name for name in files if name not in left_out]
        for name in sorted(folders + files):
            path = os.path.join(folder, name)
            found[os.path.relpath(path, root)] = entry(path, times)
    return found


def _stop(error):
    raise error


def differences(first, second):
    """One sentence for every path at which the two trees differ."""
    words = ("kind", "mode", "size", "mtime", "content")
    for path in sorted(first.keys() | second.keys()):
        a, b = first.get(path), second.get(path)
        if a is None or b is None:
            yield f"{path}: only in the {'second' if a is None else 'first'}"
        elif a != b:
            yield f"{path}: " + ", ".join(f"{w} {x} / {y}" for w, x, y in zip(words, a, b) if x != y)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("verb", choices=["list", "compare"])
    parser.add_argument("directories", nargs="+")
    parser.add_argument("--ignore-times", action="store_true")
    parser.add_argument("--skip", action="append", default=[])
    options = parser.parse_args()
    trees = [tree(root, not options.ignore_times, options.skip) for root in options.directories]
    if options.verb == "list":
        for path, said in sorted(trees[0].items()):
            print(*said, path)
        return 0
    found = list(differences(*trees))
    for line in found[:SHOWN]:
        print(f"  differs: {line}")
    if len(found) > SHOWN:
        print(f"  … and {len(found) - SHOWN} more")
    files = [said for said in trees[0].values() if said[0] == "file"]
    print(f"{len(files)} files, {sum(said[2] for said in files) / 1e6:.1f} MB compared: {len(found)} differences")
    return 1 if found or not files else 0


if __name__ == "__main__":
    sys.exit(main())

"""What stands in a directory tree, name by name, in bytes: names need not be UTF-8."""

import hashlib
import os
import stat

NANOSECONDS = ("mtime", "ctime")


def snapshot(root, skip_top=()):
    """{relative name: {property: value}}, the root itself as b"."; without atime, which looking may change."""
    root = os.fsencode(root)
    found = {b".": entry(root)}
    left_out = {os.fsencode(name) for name in skip_top}
    for folder, folders, files in os.walk(root, onerror=_stop):
        if folder == root:
            folders[:] = [name for name in folders if name not in left_out]
            files = [name for name in files if name not in left_out]
        for name in folders + files:
            path = os.path.join(folder, name)
            found[os.path.relpath(path, root)] = entry(path)
    return found


def entry(path):
    info = os.lstat(path)
    said = {
        "kind": stat.S_IFMT(info.st_mode),
        "mode": oct(stat.S_IMODE(info.st_mode)),
        "owner": (info.st_uid, info.st_gid),
        "xattrs": xattrs(path),
    }
    for name in NANOSECONDS:
        said[name] = getattr(info, f"st_{name}_ns")
    if stat.S_ISREG(info.st_mode):
        said["size"], said["links"], said["blocks"] = info.st_size, info.st_nlink, info.st_blocks
        said["content"] = digest(path)
    elif stat.S_ISLNK(info.st_mode):
        said["target"] = os.readlink(path)
    elif stat.S_ISCHR(info.st_mode) or stat.S_ISBLK(info.st_mode):
        said["device"] = info.st_rdev
    return said


def digest(path):
    with open(os.open(path, os.O_RDONLY | os.O_NOFOLLOW), "rb", buffering=0) as file:
        return hashlib.file_digest(file, "blake2b").hexdigest()[:32]


def xattrs(path):
    try:
        names = os.listxattr(path, follow_symlinks=False)
        return {name: os.getxattr(path, name, follow_symlinks=False) for name in names}
    except OSError as error:
        return {"error": error.errno}


def differences(before, after):
    """One sentence for every name and property in which two snapshots differ."""
    for name in sorted(before.keys() | after.keys()):
        shown = ascii(name)[1:]
        if name not in after:
            yield f"{shown}: is gone"
        elif name not in before:
            yield f"{shown}: was not there before"
        else:
            a, b = before[name], after[name]
            for key in sorted(a.keys() | b.keys()):
                if a.get(key) != b.get(key):
                    yield f"{shown}: {key} was {a.get(key)}, is {b.get(key)}"


def _stop(error):
    raise error

"""A load that asks for durability in every way there is, and a ledger of what the disk may show after a power cut."""

import mmap
import os
import pickle
import random

from .content import PAGE, content

ABSENT = None


class Version:
    """What a file held at one time: its bytes can be made again."""

    def __init__(self, seed, length):
        self.seed, self.length = seed, length

    def data(self):
        return content(self.seed, self.length)


class Ledger:
    """For each name the versions that may be found; one alone once it is durable."""

    def __init__(self):
        self.allowed, self.torn = {}, set()

    def may(self, name, *versions):
        """From now on one of these, or of those before."""
        self.allowed.setdefault(name, [ABSENT]).extend(versions)

    def must(self, name, version):
        """Durable: nothing older may be found."""
        self.allowed[name] = [version]
        self.torn.discard(name)

    def may_tear(self, name):
        """Written in place on a disk and not synced: page by page old or new, as the disk's file system does it."""
        self.torn.add(name)


def problems(ledger, root):
    """What is wrong with a tree after the power came back."""
    found = []
    for name, versions in sorted(ledger.allowed.items()):
        path = os.path.join(root, name)
        there = None
        if os.path.lexists(path):
            with open(path, "rb") as file:
                there = file.read()
        problem = _judge(there, versions, name in ledger.torn)
        if problem:
            found.append(f"{name}: {problem}")
    return found + list(_strangers(ledger, root))


def _judge(there, versions, torn):
    if there is None:
        return "" if ABSENT in versions else "is gone, although it was durable"
    datas = [b"" if version is ABSENT else version.data() for version in versions]
    held = [data for data, version in zip(datas, versions) if version is not ABSENT]
    if there in held:
        return ""
    if torn and _made_of_pages(there, datas):
        return ""
    # One that was never durable may have been brought home between its creation and its first byte.
    if ABSENT in versions and not there:
        return ""
    lengths = [len(data) for data in held]
    return f"{len(there)} bytes that it never held durably (versions of {lengths} bytes may be there)"


def _made_of_pages(there, datas):
    """Each page is that of some version, or never arrived (zeros, or the end of the file)."""
    for at in range(0, len(there), PAGE):
        page = there[at : at + PAGE]
        choices = [data[at : at + len(page)].ljust(len(page), b"\0") for data in datas]
        if page not in choices and any(page):
            return False
    return True


def _strangers(ledger, root):
    for folder, folders, names in os.walk(root):
        if folder == os.fspath(root) and ".scopefs" in folders:
            folders.remove(".scopefs")
        for name in names:
            inside = os.path.relpath(os.path.join(folder, name), root)
            if inside not in ledger.allowed:
                yield f"{inside}: nobody made this name"


class Writer:
    """Works until the power goes; `sync` False forgets every call for durability (the control)."""

    def __init__(self, root, seed, sync=True):
        self.root, self.random, self.sync = os.fspath(root), random.Random(seed), sync
        self.ledger, self.count = Ledger(), 0

    def path(self, name):
        return os.path.join(self.root, name)

    def fresh(self, kind):
        self.count += 1
        return f"{kind}-{self.count}"

    def version(self, length=None):
        return Version(self.random.randrange(1 << 30), length or self.random.choice((300, PAGE, 50_000, 200_000)))

    def fsync(self, handle):
        if self.sync:
            os.fsync(handle)

    def fsync_folder(self, name):
        handle = os.open(os.path.dirname(self.path(name)), os.O_RDONLY | os.O_DIRECTORY)
        try:
            self.fsync(handle)
        finally:
            os.close(handle)

    def put(self, name, version, flags=os.O_CREAT, sync=False):
        self.ledger.may(name, version)
        handle = os.open(self.path(name), os.O_WRONLY | flags, 0o644)
        try:
            if self._served_by_disk(handle):
                self.ledger.may_tear(name)
            _write(handle, version.data())
            if sync:
                self.fsync(handle)
                self.ledger.must(name, version)
        finally:
            os.close(handle)
        return version

    def _served_by_disk(self, handle):
        try:
            return os.getxattr(handle, "user.scopefs.tier") != b"memory"
        except OSError:
            return True  # no scopefs here

    # ---- the ways to ask for durability

    def created_and_synced(self):
        self.put(self.fresh("synced"), self.version(), sync=True)

    def in_new_folders(self):
        name = f"{self.fresh('folder')}/a/b/leaf"
        os.makedirs(os.path.dirname(self.path(name)))
        self.put(name, self.version(), sync=True)

    def synced_then_overwritten(self):
        name = self.fresh("overwritten")
        first = self.put(name, self.version(), sync=True)
        self.put(name, self.version(first.length), flags=0)

    def synced_again_and_again(self):
        name = self.fresh("again")
        first = self.put(name, self.version(), sync=True)
        for _ in range(3):
            self.put(name, self.version(first.length), flags=0, sync=True)

    def never_synced(self):
        self.put(self.fresh("unsynced"), self.version())

    def replaced_by_rename(self):
        name = self.fresh("replaced")
        self.put(name, self.version(), sync=True)
        partial = f"{name}.partial"
        second = self.put(partial, self.version(), sync=True)
        self.ledger.may(name, second)
        self.ledger.may(partial, ABSENT)
        os.rename(self.path(partial), self.path(name))
        self.fsync_folder(name)
        self.ledger.must(name, second)
        self.ledger.must(partial, ABSENT)

    def deleted(self):
        name = self.fresh("deleted")
        self.put(name, self.version(), sync=True)
        self.ledger.may(name, ABSENT)
        os.unlink(self.path(name))
        self.fsync_folder(name)
        self.ledger.must(name, ABSENT)

    def renamed_folder(self):
        old, new = self.fresh("before"), self.fresh("after")
        os.mkdir(self.path(old))
        version = self.put(f"{old}/leaf", self.version(), sync=True)
        self.ledger.may(f"{old}/leaf", ABSENT)
        self.ledger.may(f"{new}/leaf", version)
        os.rename(self.path(old), self.path(new))
        self.fsync_folder(new)
        self.ledger.must(f"{old}/leaf", ABSENT)
        self.ledger.must(f"{new}/leaf", version)

    def appended_and_synced(self):
        """A log: each record is durable when fdatasync has returned."""
        name, seed, length = self.fresh("log"), self.random.randrange(1 << 30), 0
        whole = content(seed, 20 * 500)
        self.ledger.may(name)
        handle = os.open(self.path(name), os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
        try:
            for _ in range(20):
                self.ledger.may(name, Prefix(whole, length + 500))
                _write(handle, whole[length : length + 500])
                if self.sync:
                    os.fdatasync(handle)
                length += 500
                self.ledger.must(name, Prefix(whole, length))
        finally:
            os.close(handle)

    def opened_with_o_sync(self):
        name, version = self.fresh("o_sync"), self.version()
        self.ledger.may(name, version)
        self.ledger.may_tear(name)
        handle = os.open(self.path(name), os.O_WRONLY | os.O_CREAT | (os.O_SYNC if self.sync else 0), 0o644)
        try:
            _write(handle, version.data())
            self.ledger.must(name, version)
        finally:
            os.close(handle)

    def mapped_and_synced(self):
        name = self.fresh("mapped")
        first = self.put(name, self.version(200_000), sync=True)
        second = self.version(first.length)
        self.ledger.may(name, second)
        self.ledger.may_tear(name)
        handle = os.open(self.path(name), os.O_RDWR)
        try:
            with mmap.mmap(handle, second.length) as mapped:
                mapped[:] = second.data()
                if self.sync:
                    mapped.flush()
            self.ledger.must(name, second)
        finally:
            os.close(handle)

    WAYS = (
        created_and_synced,
        in_new_folders,
        synced_then_overwritten,
        synced_again_and_again,
        never_synced,
        replaced_by_rename,
        deleted,
        renamed_folder,
        appended_and_synced,
        opened_with_o_sync,
        mapped_and_synced,
    )

    def work(self, began, doomed, book):
        """A process: every way once, then at random until the file system fails; the ledger goes to the file `book`."""
        said = ""
        try:
            for way in self.WAYS:
                way(self)
            began.set()
            while True:
                self.random.choice(self.WAYS)(self)
        except OSError as error:
            if not doomed.is_set():
                said = f"failed while the power was on: {error}"
        began.set()
        with open(book, "wb") as file:
            pickle.dump((self.ledger, self.count, said), file)


class Prefix:
    """A version given by its bytes."""

    def __init__(self, whole, length):
        self.whole, self.length = whole, length

    def data(self):
        return self.whole[: self.length]


def _write(handle, data):
    view = memoryview(data)
    while view:
        view = view[os.write(handle, view) :]

"""What the second process of a check does. Run as `workers.py FUNCTION ARGUMENT…`; a line read from a worker means
that what it names has happened."""

import fcntl
import os
import pathlib
import sqlite3
import struct
import sys
import time


def sqlite_insert(path, journal, first, count):
    """Commits `count` rows one by one and says each number after its commit returned."""
    database = sqlite3.connect(path, timeout=60, isolation_level=None)
    database.execute(f"PRAGMA journal_mode={journal}")
    for number in range(int(first), int(first) + int(count)):
        database.execute("BEGIN IMMEDIATE")
        database.execute("INSERT INTO well VALUES (?, ?)", (number, f"well {number} " * 20))
        database.execute("COMMIT")
        print(number)


def hold_lock(path, kind):
    """Takes an exclusive lock, says so, and keeps it until its standard input ends."""
    with open(path, "r+b") as file:
        {"flock": fcntl.flock, "fcntl": fcntl.lockf}[kind](file, fcntl.LOCK_EX)
        print("locked")
        sys.stdin.read()


def count_up(path, kind, times):
    """Read, add one, write, under a lock: lost updates show that the lock did not hold."""
    lock = {"flock": fcntl.flock, "fcntl": fcntl.lockf}[kind]
    for _ in range(int(times)):
        with open(path, "r+b") as file:
            lock(file, fcntl.LOCK_EX)
            number = int(file.read())
            file.seek(0)
            file.write(b"%d" % (number + 1))
            file.flush()
            lock(file, fcntl.LOCK_UN)


def publish(path, times, size):
    """zarr-python: write X.<n>.partial, rename over X. Every version is one byte value, `size` times."""
    target = pathlib.Path(path)
    for number in range(int(times)):
        partial = target.with_name(f"{target.name}.{number:08x}.partial")
        partial.write_bytes(bytes([number % 251]) * int(size))
        os.replace(partial, target)


def tensorstore_publish(path, first, times):
    """tensorstore: lock X.__lock, write it, fsync it, rename it over X while it is open, fsync the directory."""
    target = pathlib.Path(path)
    lock = target.with_name(target.name + ".__lock")
    exclusive = struct.pack("hhqqi4x", fcntl.F_WRLCK, os.SEEK_SET, 0, 0, 0)
    for number in range(int(first), int(first) + int(times)):
        while True:
            file = os.open(lock, os.O_RDWR | os.O_CREAT, 0o644)
            fcntl.fcntl(file, fcntl.F_OFD_SETLKW, exclusive)
            if _is_still(lock, file):
                break
            os.close(file)
        os.ftruncate(file, 0)
        os.pwrite(file, b"%08d" % number * 512, 0)
        os.fsync(file)
        os.rename(lock, target)
        folder = os.open(target.parent, os.O_RDONLY | os.O_DIRECTORY)
        os.fsync(folder)
        os.close(folder)
        os.close(file)


def _is_still(path, file):
    """The one before us may have renamed the file that we waited for."""
    try:
        return os.path.samestat(os.stat(path), os.fstat(file))
    except FileNotFoundError:
        return False


def read_back(path, offset, count):
    """What another process sees there now, as hexadecimal digits."""
    with open(path, "rb") as file:
        print(os.pread(file.fileno(), int(count), int(offset)).hex())


def open_h5(path):
    """Says whether HDF5's own lock lets a second process open the file for writing."""
    import h5py

    try:
        h5py.File(path, "r+").close()
        print("opened")
    except OSError:
        print("refused")


def write_slowly(path, size):
    """Keeps one file open and writes it in small pieces; the pattern follows from the offset."""
    with open(path, "wb", buffering=0) as file:
        for offset in range(0, int(size), 4096):
            file.write(struct.pack("<Q", offset) * 512)
            if offset % (1 << 16) == 0:
                time.sleep(0.001)


if __name__ == "__main__":
    globals()[sys.argv[1]](*sys.argv[2:])

"""Where a check works, what it may expect there, and how its files are disturbed in the middle of it.

On a mount, *disturbing* a file means moving its bytes to the other tier, through `user.scopefs.tier`: no program may
notice. On a plain directory it does nothing (the reference: the check itself must pass), and with `damage` it puts a
copy with one bit wrong in the file's place (the control: the check must fail).
"""

import contextlib
import errno
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
import threading

TIER = "user.scopefs.tier"
OTHER = {"memory": "disk", "disk": "memory", "zarr": "memory"}
WORKERS = str(pathlib.Path(__file__).with_name("workers.py"))
CHECKS = []


class Skipped(Exception):
    """What this machine lacks for a check, in words."""


def check(function):
    """Registers a check; its name, with spaces, is the sentence that it proves."""
    CHECKS.append(function)
    return function


class Place:
    def __init__(self, root, elsewhere, tier=None, damage=False):
        self.root = pathlib.Path(root)
        # A directory that is not on the mount.
        self.elsewhere = pathlib.Path(elsewhere)
        self.tier, self.damage = tier, damage
        self.moves = 0

    def fresh(self, name, scratch=False):
        """An empty directory. `scratch`: under the rule whose fsync returns at once, so that files stay in memory."""
        folder = self.root / ("scratch" if scratch else "kept") / name
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        return folder

    def outside(self, name):
        """An empty directory that is not on the mount."""
        folder = self.elsewhere / name
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        return folder

    def tier_of(self, path):
        return os.getxattr(path, TIER).decode() if self.tier else None

    def expect(self, path, *tiers):
        """The file's bytes are in one of these tiers (default: the one that this run is about)."""
        if self.tier:
            found = self.tier_of(path)
            if self.tier == "zarr" and not tiers:
                tiers = ("memory", "disk", "zarr")
            assert found in (tiers or (self.tier,)), f"{path} is in {found}, expected {' or '.join(tiers) or self.tier}"

    def disturb(self, *paths, still_open=False):
        """Moves every regular file at or below the paths to the other tier. A file that is `still_open` may refuse
        with EBUSY, and stays where it is; a closed one may not."""
        for path in _files(paths):
            if self.damage:
                _replace_by_damaged_copy(path)
            elif self.tier:
                self._move(path, still_open)

    def _move(self, path, still_open):
        target = OTHER[self.tier_of(path)]
        # Where files are to be sealed, images go into a store and back; what is no image moves as ever.
        if self.tier == "zarr" and self.tier_of(path) != "zarr" and self._seal(path):
            return
        # On disk an inode with more than one name never leaves it.
        if target == "memory" and os.stat(path).st_nlink > 1:
            return
        try:
            os.setxattr(path, TIER, target.encode())
        except OSError as error:
            if still_open and error.errno == errno.EBUSY:
                return
            raise
        self.moves += 1
        # A file in use may have gone on by itself (an fsync takes it to disk); a closed one stays where it was put.
        if not still_open:
            self.expect(path, target)

    def _seal(self, path):
        """Whether the file is in a store now; `False` if it cannot be held byte-exactly, or is open for writing."""
        try:
            os.setxattr(path, TIER, b"zarr")
        except OSError as error:
            if error.errno in (errno.EOPNOTSUPP, errno.EBUSY):
                return False
            raise
        self.moves += 1
        return True

    @contextlib.contextmanager
    def moving(self, *paths):
        """Moves the files to and fro, without a pause, for as long as the block runs."""
        stop = threading.Event()
        failures = []
        thread = threading.Thread(target=self._move_until, args=(stop, paths, failures), name="mover")
        if self.tier:
            thread.start()
        try:
            yield
            if self.damage:
                self.disturb(*paths)
        finally:
            stop.set()
            if self.tier:
                thread.join()
        assert not failures, f"a move failed: {failures[0]}"

    def _move_until(self, stop, paths, failures):
        while not stop.wait(0.005):
            for path in _files(paths):
                try:
                    self._move(path, still_open=True)
                except FileNotFoundError:
                    continue  # renamed or removed by the program under test
                except OSError as error:
                    failures.append(error)
                    return


def _files(paths):
    for path in map(pathlib.Path, paths):
        if path.is_dir() and not path.is_symlink():
            for folder, _, names in os.walk(path):
                inside = (pathlib.Path(folder, name) for name in sorted(names))
                yield from (file for file in inside if file.is_file() and not file.is_symlink())
        elif path.is_file():
            yield path


def _replace_by_damaged_copy(path):
    """What the worst move would do: another inode, another time, one bit wrong in the middle."""
    data = bytearray(path.read_bytes())
    if data:
        data[len(data) // 2] ^= 1
    with tempfile.NamedTemporaryFile(dir=path.parent, delete=False) as file:
        file.write(data)
    shutil.copymode(path, file.name)
    os.replace(file.name, path)


def run(*command, cwd=None, **environment):
    """Runs a program to its end and returns what it printed; a failure carries its output."""
    done = subprocess.run(
        [os.fspath(word) for word in command],
        cwd=cwd,
        env={**os.environ, **environment},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        timeout=180,
    )
    said = done.stdout.decode(errors="replace")
    assert done.returncode == 0, f"{' '.join(map(str, command))} ended with {done.returncode}:\n{said[-2000:]}"
    return said


def worker(name, *arguments):
    """Another process, running one function of workers.py; its lines, errors too, can be read from `stdout`."""
    command = [sys.executable, "-u", WORKERS, name, *map(str, arguments)]
    return subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )


def finish(process):
    """Waits for a worker; returns the rest of what it said."""
    said, _ = process.communicate(timeout=120)
    assert process.returncode == 0, f"{process.args[3]} ended with {process.returncode}: {said[-1000:]}"
    return said


def need(program):
    """The path of a program, or the check is skipped."""
    found = shutil.which(program)
    if not found:
        raise Skipped(f"{program} is not installed")
    return found

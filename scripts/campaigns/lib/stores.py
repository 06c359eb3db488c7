"""OME-Zarr stores as a campaign meets them: the environments that write images and read stores, where stores stand, how
a file tells that it is sealed, and how a store is copied in the middle of its growth."""

import contextlib
import functools
import hashlib
import json
import os
import pathlib
import shutil
import signal
import subprocess
import time

from . import mount, system
from .campaign import REPOSITORY, TOOLS, Skip

READERS, VARIANTS = REPOSITORY / "tests/readers", REPOSITORY / "tests/variants"
PYTHON = REPOSITORY / ".venv/bin/python"
STATE, REASON, STORE = "user.scopefs.state", "reason", "user.scopefs.store"
CONFIG = """
[zarr]
ngff = "{ngff}"
shards = "{shards}"
settle = "{settle}"

[[rule]]
match = "**"
backend = "zarr"
"""


def config(ngff="0.4", shards="none", settle="1s"):
    return CONFIG.format(ngff=ngff, shards=shards, settle=settle)


# ---- environments


@functools.cache
def environments(short):
    """Makes what is missing of them: some minutes the first time."""
    script = REPOSITORY / "scripts/lib/readers-env"
    done = subprocess.run([script, *(["--short"] if short else [])], capture_output=True, text=True)
    if done.returncode:
        raise Skip(f"the environments of readers and writers cannot be made: {done.stderr.strip()[-300:]}")


def interpreter(name):
    path = TOOLS / f"readers/{name}/bin/python"
    if not path.exists():
        raise Skip(f"the environment {name} is not there (scripts/lib/readers-env makes it)")
    return path


def run(*command, **keywords):
    return subprocess.run(
        [os.fspath(word) for word in command], capture_output=True, text=True, errors="replace", **keywords
    )


def need_sealing():
    """Skips what a scopefs cannot do that seals nothing."""
    if run(mount.binary(), "export", "--help").returncode:
        raise Skip("this scopefs seals nothing: it has no verb `export`")


def need_images():
    folder = TOOLS / "images"
    if not (folder / "img2d.tif").exists() or not PYTHON.exists():
        raise Skip("the real images are not there (scripts/setup fetches them)")
    return folder


def real_plate(campaign, wells, name="originals"):
    """A plate of real nuclei as an ImageXpress names it: 2 sites × 2 channels a well, 512 × 512, 16 bit."""
    folder = campaign.scratch / name
    done = run(PYTHON, REPOSITORY / "scripts/lib/demo_plate.py", need_images(), folder, "--wells", str(wells))
    if done.returncode:
        raise Skip(f"the plate could not be made: {done.stderr[-300:]}")
    return folder


# ---- what the daemon says of a file


def xattr(path, name):
    try:
        return os.getxattr(path, name, follow_symlinks=False).decode()
    except OSError:
        return ""


def is_sealed(path):
    return xattr(path, mount.TIER) == "zarr"


def explained(here, path):
    """`scopefs explain PATH --json`, of one path."""
    done = here.scopefs("explain", path, "--json")
    if done.returncode:
        raise OSError(f"scopefs explain {path} ended with {done.returncode}: {done.stderr}")
    said = json.loads(done.stdout)
    return said[0] if isinstance(said, list) else said


def sync(here, *paths):
    """Seals what can be sealed; what is left then is left for a reason."""
    done = here.scopefs("sync", *(paths or [here.mountpoint]), timeout=3600)
    if done.returncode:
        raise OSError(f"scopefs sync ended with {done.returncode}: {done.stderr}{done.stdout}")


def migrate(here, tier, *paths):
    done = here.scopefs("migrate", *paths, "--to", tier, timeout=3600)
    if done.returncode:
        raise OSError(f"scopefs migrate --to {tier} ended with {done.returncode}: {done.stderr}{done.stdout}")


# ---- stores on the disk, beneath the mount


def marked(folder):
    """A directory that is one of our stores."""
    return any((folder / name).exists() for name in ("scopefs/.zattrs", "scopefs/zarr.json"))


def below(workspace):
    """Every store of a workspace, as it stands on the disk."""
    found = []
    for folder, folders, _ in os.walk(workspace):
        here = pathlib.Path(folder)
        folders[:] = [name for name in folders if name != ".scopefs"]
        mine = [here / name for name in folders if marked(here / name)]
        found += mine
        folders[:] = [name for name in folders if here / name not in mine]
    return sorted(found)


@contextlib.contextmanager
def frozen(here):
    """The daemon stands still: what is on the disk is what a reader could meet at this moment."""
    if here.plain:
        yield
        return
    pid = here.daemon()
    os.kill(pid, signal.SIGSTOP)
    try:
        # Threads that are in the kernel stop when they leave it.
        system.wait_until(lambda: all(_stopped(pid, thread) for thread in os.listdir(f"/proc/{pid}/task")), 5)
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


def _stopped(pid, thread):
    try:
        return pathlib.Path(f"/proc/{pid}/task/{thread}/stat").read_text().rpartition(")")[2].split()[0] in "tT"
    except OSError:
        return True


def copy(store, destination):
    """A copy with its times, as one would take to another machine."""
    if destination.exists():
        shutil.rmtree(destination)
    system.quietly("cp", "-a", "--reflink=auto", store, destination)
    return destination


# ---- readers


def compared(stores, *words, short=False, only=""):
    """[{reader, version, problems, why}] of tests/readers/compare.py."""
    more = [*(["--short"] if short else []), *(["--only", only] if only else [])]
    done = run(PYTHON, READERS / "compare.py", *stores, *words, *more, "--json", timeout=3600)
    try:
        return json.loads(done.stdout)
    except ValueError as error:
        raise OSError(f"compare.py ended with {done.returncode}: {done.stdout}{done.stderr}") from error


def problems(verdicts):
    """All that readers found, a line each."""
    return [f"{each['reader']}: {problem}" for each in verdicts for problem in each["problems"] or []]


def reference_store(files, store, ngff="0.4"):
    """A store of these files that zarr-python writes: the stand-in for one of ours."""
    folder = store.parent / f"{store.name}.files"
    folder.mkdir()
    for file in files:
        os.link(file, folder / file.name)
    try:
        system.quietly(interpreter("zarr3"), READERS / "reference_store.py", folder, store, "--ngff", ngff)
    finally:
        shutil.rmtree(folder)
    return store


def reference_collection(manifest, store, ngff):
    """One of the npy files of a manifest of tests/variants that must be sealed."""
    system.quietly(interpreter("zarr3"), READERS / "reference_store.py", manifest, store, "--ngff", ngff)


# ---- bytes


def sha256(path):
    with open(path, "rb", buffering=0) as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def settled(condition, seconds, step=0.1):
    """Waits for something that the daemon does in the background; whether it came about."""
    end = time.monotonic() + seconds
    while not (held := condition()) and time.monotonic() < end:
        time.sleep(step)
    return held

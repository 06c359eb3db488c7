"""The readers: which programs they are, in which environments they run, what they can open. Adding one is a program
`read_X.py` (see found.py) and a line here."""

import concurrent.futures
import json
import os
import pathlib
import subprocess
from dataclasses import dataclass

HERE = pathlib.Path(__file__).resolve().parent
ENVIRONMENTS = HERE.parents[1] / ".tools/readers"
SECONDS = 600
BOTH = ("0.4", "0.5")


@dataclass(frozen=True)
class Reader:
    name: str
    environment: str
    program: str
    ngff: tuple
    short: bool = False

    def missing(self):
        """Why it cannot run here; empty when it can."""
        if not (ENVIRONMENTS / self.environment / ".installed").exists():
            return f"the environment {self.environment} is not there (scripts/lib/readers-env makes it)"
        return ""

    def command(self, store):
        folder, program = ENVIRONMENTS / self.environment, HERE / self.program
        interpreter = "node" if program.suffix == ".mjs" else folder / "bin/python"
        return [os.fspath(word) for word in (interpreter, program, store, "--json")]

    def read(self, store):
        """Its report on a store; a reader that fails says so in `error`."""
        around = {**os.environ, "READERS_NODE": os.fspath(ENVIRONMENTS / "node"), "PYTHONDONTWRITEBYTECODE": "1"}
        try:
            done = subprocess.run(
                self.command(store), capture_output=True, text=True, errors="replace", timeout=SECONDS, env=around
            )
            report = json.loads(done.stdout.strip().splitlines()[-1])
        except subprocess.TimeoutExpired:
            return {"reader": self.name, "error": f"no answer in {SECONDS} s"}
        except (ValueError, IndexError):
            return {"reader": self.name, "error": f"ended with {done.returncode}: {done.stdout}{done.stderr}"}
        return {**report, "reader": self.name}


READERS = [
    Reader("zarr-python 2", "zarr2", "read_zarr.py", ("0.4",), short=True),
    Reader("zarr-python 3", "zarr3", "read_zarr.py", BOTH, short=True),
    Reader("tensorstore", "zarr3", "read_tensorstore.py", BOTH, short=True),
    Reader("ome-zarr 0.11", "zarr2", "read_ome_zarr.py", ("0.4",), short=True),
    Reader("ome-zarr 0.18", "zarr3", "read_ome_zarr.py", BOTH, short=True),
    Reader("ome_zarr info 0.11", "zarr2", "read_ome_zarr_info.py", ("0.4",), short=True),
    Reader("ome_zarr info 0.18", "zarr3", "read_ome_zarr_info.py", BOTH, short=True),
    Reader("ome-zarr-models", "zarr3", "read_ome_zarr_models.py", BOTH, short=True),
    Reader("napari-ome-zarr 0.6", "viewers2", "read_napari.py", ("0.4",)),
    Reader("napari-ome-zarr 0.10", "viewers", "read_napari.py", BOTH),
    Reader("ngff-zarr", "viewers", "read_ngff_zarr.py", BOTH),
    Reader("iohub 0.2", "viewers2", "read_iohub.py", ("0.4",)),
    Reader("iohub 0.3", "viewers", "read_iohub.py", BOTH),
    Reader("zarrita", "node", "read_zarrita.mjs", BOTH),
]


def version_of(store):
    """NGFF version of a store on disk."""
    return "0.5" if (pathlib.Path(store) / "zarr.json").exists() else "0.4"


def readers_for(store, short=False, only=""):
    version = version_of(store)
    return [each for each in READERS if version in each.ngff and (each.short or not short) and only in each.name]


def read_all(store, readers):
    """[(reader, report)], as many at a time as there are processors."""
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        return list(zip(readers, pool.map(lambda reader: reader.read(store), readers)))

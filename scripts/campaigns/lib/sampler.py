"""How much memory a daemon and its tmpfs hold, watched while something goes on."""

import os
import pathlib
import re
import threading
import time

MIB = 1 << 20
SAMPLE = 0.05


class Sampler:
    """Looks every 50 ms at what the daemon and its tmpfs hold, and keeps the most. A context."""

    def __init__(self, daemon, memory):
        self.status, self.memory = pathlib.Path(f"/proc/{daemon}/status"), memory
        self.most = self.most_tmpfs = self.most_resident = self.samples = self.longest_gap = 0
        self.at_most, self.trouble = "", ""
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def sample(self):
        tmpfs = 0
        if self.memory:
            info = os.statvfs(self.memory)
            tmpfs = (info.f_blocks - info.f_bfree) * info.f_frsize
        text = self.status.read_text()
        resident = int(re.search(r"VmRSS:\s+(\d+)", text)[1]) << 10
        return tmpfs, resident, " ".join(re.findall(r"Rss\w+:\s+\d+ kB", text))

    def _watch(self):
        last = time.monotonic()
        while not self._stop.wait(SAMPLE):
            try:
                tmpfs, resident, parts = self.sample()
            except (OSError, TypeError) as error:
                self.trouble = f"sampling failed: {error}"
                return
            now = time.monotonic()
            self.longest_gap, last = max(self.longest_gap, now - last), now
            self.samples += 1
            self.most_tmpfs, self.most_resident = max(self.most_tmpfs, tmpfs), max(self.most_resident, resident)
            if tmpfs + resident > self.most:
                self.most, self.at_most = (
                    tmpfs + resident,
                    f"tmpfs {tmpfs / MIB:.1f}, daemon {resident / MIB:.1f} ({parts})",
                )

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._stop.set()
        self._thread.join()

    def problems(self, limit):
        found = [self.trouble] if self.trouble else []
        if self.samples < 5:
            found.append(f"only {self.samples} samples")
        if self.most > limit:
            found.append(f"{self.most / MIB:.1f} MiB of {limit / MIB:.0f}: {self.at_most}")
        return found

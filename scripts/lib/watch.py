#!/usr/bin/env python3
"""Runs a command and meanwhile tells what the mount says of itself.

    watch.py MOUNTPOINT SUMMARY.json -- COMMAND…

Reads MOUNTPOINT/.scopefs/status.json every fifth of a second, prints a line whenever the picture has moved on, and
leaves the highest figures seen in SUMMARY.json. Ends with the command's own exit code.
"""

import json
import pathlib
import subprocess
import sys

INTERVAL, PRINT_EVERY = 0.2, 4.0
MIB = 1 << 20


def line(seconds, status):
    memory, tiers, moved = status["memory"], status["tiers"], status["materialized"]
    return (
        f"    {seconds:4.0f} s   memory {memory['used_bytes'] / MIB:5.1f} of {memory['limit_bytes'] / MIB:.0f} MiB"
        f" (pressure {memory['pressure']:.2f})   in memory {tiers['memory']['files']} files"
        f"   materialized {moved['files']} files, {moved['bytes'] / MIB:.0f} MiB   failed {moved['failed']}"
    )


def main():
    mountpoint, summary, dashes, *command = sys.argv[1:]
    if dashes != "--" or not command:
        sys.exit(__doc__)
    source = pathlib.Path(mountpoint, ".scopefs", "status.json")
    seen = {"samples": 0, "peak_used_bytes": 0, "peak_pressure": 0.0, "peak_dirty_bytes": 0}
    ticks, status = 0, None
    with subprocess.Popen(command) as child:
        while True:
            try:
                code = child.wait(INTERVAL)
            except subprocess.TimeoutExpired:
                code = None
            ticks += 1
            status = json.loads(source.read_text())
            seen["samples"] += 1
            seen["peak_used_bytes"] = max(seen["peak_used_bytes"], status["memory"]["used_bytes"])
            seen["peak_pressure"] = max(seen["peak_pressure"], status["memory"]["pressure"])
            seen["peak_dirty_bytes"] = max(seen["peak_dirty_bytes"], status["dirty"]["bytes"])
            if code is not None:
                break
            if ticks % round(PRINT_EVERY / INTERVAL) == 0:
                print(line(ticks * INTERVAL, status), flush=True)
    seen["limit_bytes"] = status["memory"]["limit_bytes"]
    seen["materialized"] = status["materialized"]
    pathlib.Path(summary).write_text(json.dumps(seen))
    return code


if __name__ == "__main__":
    sys.exit(main())

#!/usr/bin/env python3
"""Opens an OME-Zarr plate with every real reader and compares its pixels with those of the original TIFFs.

    compare.py STORE ORIGINALS [--short] [--only TEXT]

ORIGINALS is a directory of single-plane TIFFs under ImageXpress names. A line for each reader; exit 1 if one differs.
"""

import argparse
import pathlib
import sys
import time

import expected
import table

SHOWN = 12


def judge(store, planes, short=False, only=""):
    """[(reader, its version, problems or None when it could not run, why not)]"""
    readers = table.readers_for(store, short, only)
    ready = [reader for reader in readers if not reader.missing()]
    verdicts = [(reader, "", None, reader.missing()) for reader in readers if reader.missing()]
    for reader, report in table.read_all(store, ready):
        verdicts.append((reader, report.get("version", ""), expected.plate_problems(store, report, planes), ""))
    return verdicts


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("store", type=pathlib.Path)
    parser.add_argument("originals", type=pathlib.Path)
    parser.add_argument("--short", action="store_true", help="only the readers of CI")
    parser.add_argument("--only", default="", help="only readers whose name contains this")
    options = parser.parse_args()
    began = time.monotonic()
    planes = expected.plate(file for file in options.originals.iterdir() if expected.position(file.name))
    counts = {"ok": 0, "FAILED": 0, "skipped": 0}
    for reader, version, problems, why in judge(options.store, planes, options.short, options.only):
        verdict = "skipped" if problems is None else "FAILED" if problems else "ok"
        counts[verdict] += 1
        print(f"  {verdict:7} {reader.name} ({version})" if not why else f"  skipped: {reader.name}: {why}")
        for problem in (problems or [])[:SHOWN]:
            print("\n".join(f"            {line}" for line in problem.splitlines()))
    print(f"{len(planes)} planes, {time.monotonic() - began:.0f} s")
    print(f"{counts['ok']} passed, {counts['FAILED']} failed, {counts['skipped']} skipped")
    return 1 if counts["FAILED"] or not counts["ok"] else 0


if __name__ == "__main__":
    sys.exit(main())

#!/usr/bin/env python3
"""Opens OME-Zarr stores with every real reader and compares their pixels with those of the original files.

    compare.py STORE --originals DIRECTORY [--maybe FILE]     a plate, from single-plane TIFFs under ImageXpress
                                                            names, and their masks
    compare.py STORE… --manifest FILE                         other stores, from the files of tests/variants

`--maybe` names a file with names (a line each) whose planes may be there or not: a store that was copied while it grew.
A line for each reader, or with --json a list of {reader, version, problems or null, why}; exit 1 if one found anything
wrong. Needs numpy and tifffile.
"""

import argparse
import json
import pathlib
import sys
import time

import expected
import table

SHOWN = 12


def judge(stores, problems_of, readers):
    """[{reader, version, problems (None: it could not run), why}]; `problems_of(report)` compares a merged report."""
    ready = [reader for reader in readers if not reader.missing()]
    verdicts = [_verdict(reader, "", None, reader.missing()) for reader in readers if reader.missing()]
    reports = [table.read_all(store, ready) for store in stores]
    for number, reader in enumerate(ready):
        report = _merged(stores, [of_store[number][1] for of_store in reports])
        verdicts.append(_verdict(reader, report.get("version", ""), problems_of(report), ""))
    return verdicts


def _verdict(reader, version, problems, why):
    return {"reader": reader.name, "version": version, "problems": problems, "why": why}


def _merged(stores, reports):
    """What one reader says of several stores, as one report."""
    if len(reports) == 1:
        return reports[0]
    failed = [f"{store}: {report['error']}" for store, report in zip(stores, reports) if "error" in report]
    if failed:
        return {**reports[0], "error": "\n".join(failed)}
    images = {f"{store.name}/{path}": image for store, report in zip(stores, reports)
              for path, image in report["images"].items()}  # fmt: skip
    return {**reports[0], "images": images, "validated": [name for report in reports for name in report["validated"]]}


def comparison(options):
    """The function that compares a report, and how many planes it knows."""
    if options.manifest:
        digests = expected.load(options.manifest)
        return lambda report: expected.set_problems(report, digests), sum(map(len, digests.values()))
    maybe = options.maybe.read_text().splitlines() if options.maybe else []
    files = [file for file in options.originals.iterdir() if expected.position(file.name)]
    planes = expected.plate(files, [options.originals / name for name in maybe])
    labels = expected.labels(options.originals.iterdir())
    return lambda report: expected.plate_problems(options.stores[0], report, planes, labels), len(planes) + len(labels)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("stores", type=pathlib.Path, nargs="+", metavar="STORE")
    parser.add_argument("--originals", type=pathlib.Path)
    parser.add_argument("--maybe", type=pathlib.Path)
    parser.add_argument("--manifest", type=pathlib.Path)
    parser.add_argument("--short", action="store_true", help="only the readers of CI")
    parser.add_argument("--only", default="", help="only readers whose name contains this")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    if bool(options.originals) == bool(options.manifest):
        parser.error("either --originals or --manifest says what must be found")
    began = time.monotonic()
    problems_of, count = comparison(options)
    readers = table.readers_for(options.stores[0], options.short, options.only)
    verdicts = judge(options.stores, problems_of, readers)
    if options.json:
        print(json.dumps(verdicts))
    else:
        _show(verdicts)
        print(f"{count} planes, {time.monotonic() - began:.0f} s")
    return 1 if any(each["problems"] for each in verdicts) or all(each["problems"] is None for each in verdicts) else 0


def _show(verdicts):
    for each in verdicts:
        if each["problems"] is None:
            print(f"  skipped: {each['reader']}: {each['why']}")
            continue
        print(f"  {'FAILED' if each['problems'] else 'ok':7} {each['reader']} ({each['version']})")
        for problem in each["problems"][:SHOWN]:
            print("\n".join(f"            {line}" for line in problem.splitlines()))


if __name__ == "__main__":
    sys.exit(main())

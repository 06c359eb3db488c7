#!/usr/bin/env python3
"""Runs the client checks in one directory and says which sentences hold. Called by scripts/clients.

    run.py ROOT ELSEWHERE [--tier memory|disk|zarr] [--damage] [--only TEXT] [--list]

With --damage every check must fail, and one that passes counts as failed.
"""

import argparse
import sys
import time
import traceback

import arrays  # noqa: F401 (importing a module registers its checks)
import building  # noqa: F401
import copying  # noqa: F401
import databases  # noqa: F401
import images  # noqa: F401
import locking  # noqa: F401
import versioning  # noqa: F401
from place import CHECKS, Place, Skipped


def prove(check, place):
    """("ok" | "FAILED" | "skipped", what there is to say about it)"""
    try:
        check(place)
    except Skipped as reason:
        return "skipped", str(reason)
    except Exception as error:  # a check may fail in any way that its client can
        if place.damage:
            return "ok", f"it noticed: {str(error).splitlines()[0][:90] if str(error) else type(error).__name__}"
        return "FAILED", "".join(traceback.format_exception(error))
    if place.damage:
        return "FAILED", "it passed although its files were damaged: the check cannot fail\n"
    return "ok", ""


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("root")
    parser.add_argument("elsewhere")
    parser.add_argument("--tier", choices=["memory", "disk", "zarr"])
    parser.add_argument("--damage", action="store_true")
    parser.add_argument("--only", default="", help="only the checks whose sentence contains this")
    parser.add_argument("--list", action="store_true")
    options = parser.parse_args()
    sys.stdout.reconfigure(errors="backslashreplace", line_buffering=True)

    chosen = [check for check in CHECKS if options.only.replace(" ", "_") in check.__name__]
    counts = {"ok": 0, "FAILED": 0, "skipped": 0}
    for check in chosen:
        sentence = check.__name__.replace("_", " ")
        if options.list:
            print(sentence)
            continue
        place = Place(options.root, options.elsewhere, options.tier, options.damage)
        began = time.monotonic()
        verdict, said = prove(check, place)
        counts[verdict] += 1
        moves = f", {place.moves} moves" if place.moves else ""
        print(f"  {verdict:7} {time.monotonic() - began:5.1f} s  {sentence}{moves}")
        if said:
            print("\n".join(f"            {line}" for line in said.rstrip().splitlines()))
    if options.list:
        return 0
    print(f"{counts['ok']} passed, {counts['FAILED']} failed, {counts['skipped']} skipped")
    return 1 if counts["FAILED"] or not counts["ok"] else 0


if __name__ == "__main__":
    sys.exit(main())

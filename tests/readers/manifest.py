#!/usr/bin/env python3
"""A manifest as compare.py reads it, of single-plane TIFFs: FILE=NAME …, the file and the name that it is sealed under."""

import json
import sys

import found
import tifffile


def entry(word):
    file, _, name = word.rpartition("=")
    return {"name": name, "verdict": "sealed", "planes": [found.digest(tifffile.imread(file))]}


print(json.dumps({"files": [entry(word) for word in sys.argv[1:]]}))

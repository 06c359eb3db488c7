"""Bytes that can be made again from a seed: nothing has to be kept to know what a file must hold.

Every page of 4 KiB carries its seed and its number, so that a page in the wrong place or of the wrong file is seen."""

import functools
import random

from . import tiffs

PAGE = 4096
_BASE = 4 << 20


@functools.lru_cache(maxsize=1)
def _base():
    return random.Random("scopefs").randbytes(_BASE + PAGE)


def content(seed, length, first_page=0):
    """`length` bytes; `first_page` numbers the pages of a piece of a longer file. A seed in words is one of `tiffs`."""
    if isinstance(seed, str):
        return tiffs.told(seed)[:length]
    base, start = _base(), seed * 2654435761 % PAGE
    whole = base[start : start + _BASE]
    out = bytearray()
    while len(out) < length:
        out += whole[: length - len(out)]
    if length < 8:
        return bytes(out)
    pages = (length + PAGE - 1) // PAGE
    # Eight bytes at the start of each page: four of the seed, four of the page's number.
    for shift in range(4):
        out[shift::PAGE] = bytes([seed >> 8 * shift & 255]) * len(range(shift, length, PAGE))
        numbers = bytes(number >> 8 * shift & 255 for number in range(first_page, first_page + pages))
        at = 4 + shift
        out[at::PAGE] = numbers[: len(range(at, length, PAGE))]
    return bytes(out)


def first_difference(found, expected):
    """Where two byte strings part, in words; empty when they do not."""
    if found == expected:
        return ""
    if len(found) != len(expected):
        return f"{len(found)} bytes instead of {len(expected)}"
    at = next(i for i in range(len(found)) if found[i] != expected[i])
    return f"differs at byte {at}: {found[at : at + 8].hex()} instead of {expected[at : at + 8].hex()}"

"""bytes of an HDF5 file -> whether its texts can be read: their heaps hold together, references lead into them.

The HDF5 library can take minutes over a heap with a wrong size, or a reference with a wrong length. Source: HDF5 File
Format Specification 3.0, III.E, Global Heap.
"""

from __future__ import annotations

import mmap

SIGNATURE = b"GCOL\x01\x00\x00\x00"
"""With the version and three bytes that are 0."""
HEADER = 16
REFERENCE = 16
"""Length (4 bytes), place of the heap (8), index in it (4)."""
TEXT_MOST = 1 << 24
"""Bytes of one text."""


def heaps_hold(file: mmap.mmap) -> bool:
    """Whether every global heap is filled by its objects, to the end."""
    at = file.find(SIGNATURE)
    while at >= 0:
        size = int.from_bytes(file[at + 8 : at + HEADER], "little")
        if at + size > len(file) or not _filled(file[at + HEADER : at + size]):
            return False
        at = file.find(SIGNATURE, at + max(size, HEADER))
    return True


def texts_lead_into_heaps(file: mmap.mmap, offset: int, count: int) -> bool:
    """Whether so many references to texts, one after the other, have a length that can be and a heap."""
    for at in range(offset, offset + count * REFERENCE, REFERENCE):
        length, heap = int.from_bytes(file[at : at + 4], "little"), int.from_bytes(file[at + 4 : at + 12], "little")
        if length > TEXT_MOST or (length and file[heap : heap + len(SIGNATURE)] != SIGNATURE):
            return False
    return True


def _filled(objects: bytes) -> bool:
    """Objects: index (2 bytes), uses (2), 0 (4), size (8), bytes up to a multiple of 8; index 0 is what is free."""
    at, seen = 0, set()
    while at + HEADER <= len(objects):
        index = int.from_bytes(objects[at : at + 2], "little")
        size = int.from_bytes(objects[at + 8 : at + HEADER], "little")
        if index == 0:
            return at + size == len(objects)
        if index in seen or size > len(objects):
            return False
        seen.add(index)
        at += HEADER + -(-size // 8) * 8
    return at <= len(objects)

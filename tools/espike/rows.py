"""synapses of one projection -> row bytes and row index. `docs/image.md` specifies the codecs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

D8, D8_UNIFORM, WIDE, WIDE_UNIFORM, U16, U16_UNIFORM = range(6)
CODEC_NAMES = ("d8", "d8-uniform", "wide", "wide-uniform", "u16", "u16-uniform")
_UNIFORM = (D8_UNIFORM, WIDE_UNIFORM, U16_UNIFORM)
_WIDE = (WIDE, WIDE_UNIFORM)
_U16 = (U16, U16_UNIFORM)
ESCAPE = 255
WIDE_COST = 17 / 16
"""Wide rows take more instructions per synapse: they must save more than a 17th of the bytes."""
_MOST_BLOCK_LOG2 = 5

I64 = NDArray[np.int64]
U8 = NDArray[np.uint8]


@dataclass(frozen=True)
class Rows:
    """The encoded rows of the source neurons source_first .. source_first + rows - 1 of an area."""

    codec: int
    escapes: bool
    source_first: int
    block_log2: int
    bases: NDArray[np.uint32]  # (rows >> block_log2) + 1
    offsets: NDArray[np.uint16]  # rows + 1: where each row begins, from its block's base; the last: where rows end
    data: bytes


def encode(source: I64, target: I64, weight: NDArray[Any], target_count: int, precision: str) -> Rows:
    """Encode synapses sorted by (source, target), ids relative to their areas, with the codec of the fewest bytes
    (wide ones at WIDE_COST).

    weight: int16 codes (mixed rows within int8) or float32, (synapses,).
    """
    if not len(source):
        empty = np.zeros(1, np.uint32), np.zeros(1, np.uint16)
        return Rows(D8, False, 0, _MOST_BLOCK_LOG2, *empty, b"")
    begins = np.concatenate(([True], source[1:] != source[:-1]))
    gap = np.where(begins, target, np.diff(target, prepend=0))
    row_of = np.cumsum(begins) - 1
    first_weight = weight[np.flatnonzero(begins)]
    codecs = []
    if bool(np.all(weight == first_weight[row_of])):
        codecs += [D8_UNIFORM, WIDE_UNIFORM, U16_UNIFORM]
    if precision != "int8" or int(np.abs(weight.astype(np.int32)).max()) <= 127:
        codecs += [D8, WIDE, U16]
    if target_count > 1 << 16:
        codecs = [codec for codec in codecs if codec in _WIDE]
    sizes = {codec: _sizes(codec, gap, begins, precision) for codec in codecs}
    codec = min(codecs, key=lambda c: int(sizes[c].sum()) * (WIDE_COST if c in _WIDE else 1))
    data = _bytes(codec, target if codec in _U16 else gap, begins, weight, sizes[codec], precision)
    escapes = codec in (D8, D8_UNIFORM) and bool(np.any(gap[~begins] >= ESCAPE))
    source_first = int(source[0])
    ends = np.concatenate(([0], np.cumsum(np.bincount(source - source_first, weights=sizes[codec])).astype(np.int64)))
    return Rows(codec, escapes, source_first, *_index(ends), data.tobytes())


def _weight_bytes(codec: int, precision: str) -> int:
    return 4 if precision == "fp32" else 2 if codec in _UNIFORM else 1


def _varint_bytes(gap: I64) -> I64:
    return np.searchsorted([1 << shift for shift in (7, 14, 21, 28)], gap, side="right").astype(np.int64) + 1


def _gap_bytes(codec: int, gap: I64, begins: NDArray[np.bool_]) -> I64:
    if codec in _WIDE:
        return _varint_bytes(gap)
    if codec in _U16:
        return np.full(len(gap), 2, np.int64)
    return np.where(begins, 2, gap // ESCAPE + 1)


def _sizes(codec: int, gap: I64, begins: NDArray[np.bool_], precision: str) -> I64:
    """int64 (synapses,): bytes of each synapse; a row's own weight counts with its first."""
    weight = _weight_bytes(codec, precision)
    if codec in _UNIFORM:
        return _gap_bytes(codec, gap, begins) + weight * begins
    return _gap_bytes(codec, gap, begins) + weight


def _bytes(codec: int, gap: I64, begins: NDArray[np.bool_], weight: NDArray[Any], sizes: I64, precision: str) -> U8:
    uniform, width = codec in _UNIFORM, _weight_bytes(codec, precision)
    data = np.zeros(int(sizes.sum()), np.uint8)
    at = np.cumsum(sizes) - sizes
    stored = weight.astype({1: "<i1", 2: "<i2", 4: "<f4"}[width]).reshape(-1, 1).view(np.uint8)
    gap_at = at + width * begins if uniform else at
    if uniform:
        data[at[begins][:, None] + np.arange(width)] = stored[begins]
    else:
        data[(at + sizes - width)[:, None] + np.arange(width)] = stored
    if codec in _WIDE:
        length = _varint_bytes(gap)
        for byte in range(int(length.max())):
            here = length > byte
            more = (length[here] > byte + 1).astype(np.int64) << 7
            data[gap_at[here] + byte] = (gap[here] >> (7 * byte) & 127) | more
        return data
    whole = np.ones(len(gap), np.bool_) if codec in _U16 else begins
    data[gap_at[whole]] = gap[whole] & 255
    data[gap_at[whole] + 1] = gap[whole] >> 8
    if codec in _U16:
        return data
    rest, rest_at = gap[~begins], gap_at[~begins]
    escapes = rest // ESCAPE
    for number in range(int(escapes.max()) if len(rest) else 0):
        data[rest_at[escapes > number] + number] = ESCAPE
    data[rest_at + escapes] = rest % ESCAPE
    return data


def _index(ends: I64) -> tuple[int, NDArray[np.uint32], NDArray[np.uint16]]:
    """Byte offsets of row begins (and the last end) -> (block_log2, bases, offsets), blocks as long as they fit."""
    for block_log2 in range(_MOST_BLOCK_LOG2, -1, -1):
        bases = ends[:: 1 << block_log2]
        offsets = ends - np.repeat(bases, 1 << block_log2)[: len(ends)]
        if block_log2 == 0 or int(offsets.max()) <= 0xFFFF:
            break
    return block_log2, bases.astype("<u4"), offsets.astype("<u2")

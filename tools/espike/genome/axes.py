"""two areas' sizes -> which coordinates meet, one axis at a time.

Every rule of FEAGI is a product of three axes, and on each axis a source coordinate meets one range of target
coordinates with at most one hole in it. So a rule of any size is a few small arrays until its synapses are listed.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .model import Element, Voxel

I64 = NDArray[np.int64]
U32 = NDArray[np.uint32]
NO_HOLE = np.iinfo(np.int64).max
CHUNK = 1 << 20
"""Synapses listed at a time: bounds the temporary memory."""


@dataclass(frozen=True)
class Axis:
    """The sources that meet a target: coordinate `at` meets `first`, `first` + 1, ... (`count` of them).

    The hole is counted from `first`: targets from there on lie one further.
    """

    at: I64  # (sources,) ascending
    first: I64  # (sources,)
    count: I64  # (sources,) > 0
    hole: I64  # (sources,) NO_HOLE = none


def axis(at: I64, first: I64, count: I64, hole: I64 | None = None) -> Axis:
    """An Axis of those sources whose count is above 0."""
    kept = count > 0
    holes = np.full(len(at), NO_HOLE, np.int64) if hole is None else hole
    return Axis(at[kept], first[kept], count[kept], holes[kept])


def single(at: I64, target: I64, target_size: int) -> Axis:
    """Each source meets one target, dropped where it is out of bounds."""
    inside = (target >= 0) & (target < target_size)
    return axis(at, target, inside.astype(np.int64))


def same(source_size: int, target_size: int) -> Axis:
    """The same coordinate, dropped where the target is smaller."""
    at = np.arange(source_size, dtype=np.int64)
    return single(at, at, target_size)


def clamped(source_size: int, target_size: int) -> Axis:
    """block_to_block: the same coordinate, the last one where the target is smaller."""
    at = np.arange(source_size, dtype=np.int64)
    return single(at, np.minimum(at, target_size - 1), target_size)


def projected(source_size: int, target_size: int) -> Axis:
    """projector: down by floor(p / (S/D)), up to all q with floor(q / (D/S)) = p, divided in float32."""
    at = np.arange(source_size, dtype=np.int64)
    if source_size == target_size:
        return single(at, at, target_size)
    if source_size > target_size:
        ratio = np.float32(source_size) / np.float32(target_size)
        return single(at, np.floor(at.astype(np.float32) / ratio).astype(np.int64), target_size)
    ratio = np.float32(target_size) / np.float32(source_size)
    met = np.floor(np.arange(target_size).astype(np.float32) / ratio).astype(np.int64)
    first = np.searchsorted(met, at, "left").astype(np.int64)
    return axis(at, first, np.searchsorted(met, at, "right") - first)


def scaled(source_size: int, target_size: int) -> Axis:
    """expander: target = floor(p * D / S)."""
    at = np.arange(source_size, dtype=np.int64)
    return single(at, at * target_size // source_size, target_size)


def paired(source_size: int, target_size: int) -> Axis:
    """lateral pairs: an even coordinate meets the next one, an odd one the one before."""
    at = np.arange(source_size, dtype=np.int64)
    return single(at, at ^ 1, target_size)


def matched(source: Element, target: Element, source_size: int, target_size: int) -> Axis:
    """patterns: the source element says which coordinates take part, the target element whom they meet."""
    at = np.arange(source_size, dtype=np.int64)
    if not isinstance(source, str):
        at = at[source : source + 1]
    whole = np.full(len(at), target_size, np.int64)
    if not isinstance(target, str):
        return single(at, np.full(len(at), target, np.int64), target_size)
    if target == "?":
        return single(at, at, target_size)
    if target == "*":
        return axis(at, np.zeros_like(at), whole)
    return axis(at, np.zeros_like(at), np.where(at < target_size, whole - 1, whole), at)


def synapse_count(axes: tuple[Axis, Axis, Axis]) -> int:
    """Pairs of voxels that three axes list."""
    return int(np.prod([float(a.count.sum()) for a in axes])) if all(len(a.at) for a in axes) else 0


def list_pairs(axes: tuple[Axis, Axis, Axis], source_size: Voxel, target_size: Voxel) -> tuple[I64, I64]:
    """int64 (pairs,) twice: source and target voxel of each pair, ascending by source, then target."""
    x, y, z = np.meshgrid(*(np.arange(len(a.at)) for a in axes), indexing="ij")
    index = tuple(i.ravel() for i in (x, y, z))
    voxel = np.ravel_multi_index(tuple(a.at[i] for a, i in zip(axes, index, strict=True)), source_size)
    counts = np.ones(len(voxel), np.int64)
    for a, i in zip(axes, index, strict=True):
        counts *= a.count[i]
    ends = np.cumsum(counts)
    total = int(ends[-1]) if len(ends) else 0
    source, target = np.empty(total, np.int64), np.empty(total, np.int64)
    begin = 0
    while begin < len(voxel):
        done = int(ends[begin - 1]) if begin else 0
        end = max(begin + 1, int(np.searchsorted(ends, done + CHUNK)))
        rows = np.repeat(np.arange(begin, end), counts[begin:end])
        local = np.arange(len(rows)) - (ends - counts)[rows] + done
        part = slice(done, done + len(rows))
        source[part] = voxel[rows]
        target[part] = _targets(axes, [i[rows] for i in index], local, target_size)
        begin = end
    return source, target


def _targets(axes: tuple[Axis, Axis, Axis], index: list[I64], local: I64, size: Voxel) -> I64:
    """The target voxel of the `local`-th pair of each row; `index` says which source of each axis."""
    target = np.zeros(len(local), np.int64)
    stride = 1
    for a, i, length in reversed(list(zip(axes, index, size, strict=True))):
        count = a.count[i]
        local, step = np.divmod(local, count)
        target += (a.first[i] + step + (step >= a.hole[i])) * stride
        stride *= length
    return target

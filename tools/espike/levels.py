"""quantized connectome -> quantized connectome with few distinct weights, so that its rows take fewer bits.

The lossy choice of `pack --weights`: the weights of each int8 projection become at most 16, 8 or 4 levels, or +w and
-w per row, or, of dense rows, at most 256 vectors of 4 or 8 weights. What rounding a weight does to its target is
carried to the target's next synapse, so that the sum of a target's weights hardly moves.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from espike_sim.errors import EspikeError
from espike_sim.quantized import QuantizedConnectome

from . import row_codecs as codecs
from . import vectors

CHOICES = ("8", "4", "3", "2", "ternary", "vq4", "vq8")
"""What `pack --weights` takes; 8 changes nothing."""
COUNTS = {"4": 16, "3": 8, "2": 4}
"""Levels of a projection."""
WIDTHS = {"vq4": 4, "vq8": 8}
"""Weights of a vector."""
SCALAR = {"2": codecs.DENSE2, "3": codecs.DENSE3, "4": codecs.DENSE4}
"""Dense rows that vectors are held against, the smallest first."""
NO_VECTORS = "4"
"""What rows that are not dense take instead of vectors."""
ROUNDS_MOST = 100
WEIGHT_MOST = 127

F64 = NDArray[np.float64]
I64 = NDArray[np.int64]
Rounding = Callable[[F64, I64], I64]
"""(wanted weights, which synapses they are of) -> weights"""


def reduce(q: QuantizedConnectome, weights: str) -> QuantizedConnectome:
    """The network with the weights that `weights`, one of CHOICES, allows, and what that cost in its report.

    Projections that need no change are left: rows of one weight each, and those with few enough levels; so are those
    with weights beyond int8, which no codebook holds. Ternary: a
    row's w is the mean magnitude of its weights, and a weight of 0 becomes +w or -w, whichever its target needs.
    Vectors: only where they save; else the projection gets the levels that it is held against, and the report says so.
    Raises: EspikeError where the network is not int8.
    """
    if weights == "8":
        return q
    if weights not in CHOICES:
        raise EspikeError(f"--weights {weights} is unknown", do="use " + ", ".join(CHOICES))
    if q.precision != "int8":
        raise EspikeError("only int8 weights have levels", where=f"--weights {weights}", do="add --precision int8")
    made = q.weight.astype(np.int64)
    plain = made.copy()
    chosen: list[dict[str, Any]] = []
    for p, projection in enumerate(q.projections):
        part = slice(int(q.projection_start[p]), int(q.projection_start[p + 1]))
        source, target, weight = q.source[part], q.target[part], q.weight[part].astype(np.int64)
        if not len(weight) or _is_uniform(source, weight):
            continue
        rounding: Rounding | None = None
        if weights == "ternary":
            rounding = _to_signs(source, weight)
        elif int(np.abs(weight).max()) <= WEIGHT_MOST:
            bits = weights
            if weights in WIDTHS:
                area = q.areas[projection.target]
                is_read = not projection.psp_factor and projection.learning is None
                rows = codecs.Synapses(source, target.astype(np.int64) - area.first, weight, area.count, q.precision)
                rounding, entry = _to_vectors(rows, codecs.columns(rows) if is_read else 0, WIDTHS[weights])
                chosen.append({"source": q.areas[projection.source].id, "target": area.id, **entry})
                bits = entry["scalar"]
            rounding = rounding or _to_bits(weight, bits)
        if rounding is None:
            continue
        plain[part] = rounding(weight.astype(np.float64), np.arange(len(weight)))
        made[part] = _diffuse(weight, target.astype(np.int64), rounding)
    levels = {"weights": weights, "areas": _report(q, plain, made), **({"vectors": chosen} if chosen else {})}
    report = {**q.report, "levels": levels}
    return replace(q, weight=made.astype(q.weight.dtype), report=report)


def _is_uniform(source: NDArray[Any], weight: I64) -> bool:
    return bool(np.all((source[1:] != source[:-1]) | (weight[1:] == weight[:-1])))


def nearest_levels(weight: I64, count: int) -> I64:
    """int64 (at most count,): int8 levels, ascending, that are near the weights: Lloyd's algorithm on their histogram.

    It begins with levels between which the weights are shared out equally, and ends where no level moves.
    """
    values, counts = np.unique(weight, return_counts=True)
    if len(values) <= count:
        return values
    shares = (np.cumsum(counts) - counts / 2) / counts.sum()
    levels = values[np.searchsorted(shares, (np.arange(count) + 0.5) / count).clip(0, len(values) - 1)].astype(float)
    levels = np.unique(levels)
    for _ in range(ROUNDS_MOST):
        owner = np.searchsorted((levels[1:] + levels[:-1]) / 2, values)
        held = np.bincount(owner, weights=counts, minlength=len(levels))
        sums = np.bincount(owner, weights=counts * values, minlength=len(levels))
        moved = np.where(held > 0, sums / np.maximum(held, 1), levels)
        if np.array_equal(moved, levels):
            break
        levels = moved
    return np.unique(np.clip(np.floor(levels + 0.5), -WEIGHT_MOST, WEIGHT_MOST).astype(np.int64))


def _to_bits(weight: I64, bits: str) -> Rounding | None:
    """To the levels that so many bits name; None where they name all that there are."""
    if bits not in COUNTS:
        return None
    levels = nearest_levels(weight, COUNTS[bits])
    return None if len(levels) == len(np.unique(weight)) else _to_levels(levels)


def _to_vectors(rows: codecs.Synapses, columns: int, width: int) -> tuple[Rounding | None, dict[str, Any]]:
    """To the finest codebook that takes fewer bytes than levels of as good a ratio of signal to noise; and what it is.

    columns: targets of every row, 0 where rows are not dense. None: there is no such codebook; `scalar` has the bits
    to take instead.
    """
    if columns < width:
        return None, {"vectors": 0, "scalar": NO_VECTORS}
    weight = rows.weight.astype(np.int64).reshape(rows.rows, columns)
    held_against = [*_scalars(weight), ("8", float("inf"), weight.size)]
    books = vectors.codebooks(weight, width)
    entry: dict[str, Any] = {"vectors": 0, "scalar": "8"}
    for size in sorted(books, reverse=True):
        book = books[size]
        ratio = vectors.sqnr_db(weight, vectors.rounded(weight, book))
        bits, scalar_ratio, scalar_bytes = next(each for each in held_against if each[1] >= ratio)
        found: dict[str, Any] = {
            "vectors": len(book), "bytes": rows.rows * -(-columns // width) + book.size, "sqnr_db": _finite(ratio),
            "scalar": bits, "scalar_bytes": scalar_bytes, "scalar_sqnr_db": _finite(scalar_ratio),
        }  # fmt: skip
        if found["bytes"] < scalar_bytes:
            return _to_book(book, columns), found
        entry = entry if entry.get("bytes") else {**found, "vectors": 0, "refused": len(book)}
    return None, entry


def _to_book(book: I64, columns: int) -> Rounding:
    return lambda wanted, at: vectors.rounded(wanted.reshape(-1, columns), book).reshape(-1)


def _scalars(weight: I64) -> list[tuple[str, float, int]]:
    """Bits of levels, their ratio of signal to noise in dB, and the bytes of dense rows of them."""
    found = []
    for bits, codec in SCALAR.items():
        made = _to_levels(nearest_levels(weight.reshape(-1), COUNTS[bits]))(weight.astype(np.float64), weight)
        size = len(weight) * codecs.dense_bytes(codec, weight.shape[1], "int8") + COUNTS[bits]
        found.append((bits, vectors.sqnr_db(weight, made), size))
    return found


def _finite(ratio: float) -> float | None:
    """JSON has no infinity."""
    return round(ratio, 2) if np.isfinite(ratio) else None


def _to_levels(levels: I64) -> Rounding:
    middles = (levels[1:] + levels[:-1]) / 2
    return lambda wanted, at: levels[np.searchsorted(middles, wanted)]


def _to_signs(source: NDArray[Any], weight: I64) -> Rounding:
    begins = np.concatenate(([True], source[1:] != source[:-1]))
    starts = np.flatnonzero(begins)
    counts = np.diff(np.append(starts, len(weight)))
    sums = np.add.reduceat(np.abs(weight), starts)
    size = np.repeat(np.maximum(np.floor(sums / counts + 0.5).astype(np.int64), sums > 0), counts)
    return lambda wanted, at: np.where(wanted >= 0, size[at], -size[at])


def _diffuse(weight: I64, target: I64, rounding: Rounding) -> I64:
    """Round the synapses of each target in order, each with what the one before left; many targets at a time."""
    order = np.argsort(target, kind="stable")
    begins = np.flatnonzero(np.concatenate(([True], np.diff(target[order]) != 0)))
    counts = np.diff(np.append(begins, len(order)))
    by_fan_in = np.argsort(-counts, kind="stable")
    begins, counts = begins[by_fan_in], counts[by_fan_in]
    made = np.empty_like(weight)
    carried = np.zeros(len(begins))
    for k in range(int(counts[0])):
        left = int(np.searchsorted(-counts, -k))  # targets with more than k synapses
        at = order[begins[:left] + k]
        wanted = weight[at] + carried[:left]
        made[at] = rounding(wanted, at)
        carried[:left] = wanted - made[at]
    return made


def _report(q: QuantizedConnectome, plain: I64, made: I64) -> list[dict[str, Any]]:
    """Per target area whose weights changed: errors over its largest weight, and of whole sums, before and after."""
    shift = np.repeat(np.array([p.shift for p in q.projections], np.int64), np.diff(q.projection_start))
    into = np.repeat(np.array([p.target for p in q.projections], np.int64), np.diff(q.projection_start))
    old, rounded, new = (values.astype(np.int64) << shift for values in (q.weight, plain, made))
    found = []
    for index in np.unique(into[old != new]).tolist():
        here, area = into == index, q.areas[index]
        largest = float(np.abs(old[here]).max()) or 1.0
        error = np.abs(new - old)[here] / largest
        place = q.target[here].astype(np.int64) - area.first
        before, after = (
            float(np.abs(np.bincount(place, weights=(values - old)[here], minlength=area.count)).max()) / largest
            for values in (rounded, new)
        )
        found.append({
            "area": area.id, "weight_error_mean": round(float(error.mean()), 6),
            "weight_error_max": round(float(error.max()), 6), "sum_error_rounded": round(before, 6),
            "sum_error": round(after, 6),
        })  # fmt: skip
    return found

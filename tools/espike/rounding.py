"""weights in codes -> int8 codes: bands of a mapping that share a shift, and sums that rounding leaves as they are.

Synapses of one mapping may lie in several projections, each with its own shift: a few heavy weights then take nothing
from the resolution of the many light ones.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np
from numpy.typing import NDArray

WEIGHT_MOST = 127
BANDS_MOST = 4
"""Projections that a mapping is split into at most: each costs an index and a visit per spike."""

F64 = NDArray[np.float64]
I64 = NDArray[np.int64]


@dataclass(frozen=True)
class Rounded:
    """A mapping's weights as codes: weight = code << shift."""

    code: NDArray[np.int16]  # (synapses,) -127..127; uniform rows: 16 bits
    shift: NDArray[np.uint8]  # (synapses,)

    def part(self, part: slice) -> Rounded:
        """Some of the synapses."""
        return Rounded(self.code[part], self.shift[part])

    @property
    def shifts(self) -> tuple[int, ...]:
        """The shifts that occur, ascending."""
        return tuple(shift for shift in range(8) if np.any(self.shift == shift))

    @property
    def value(self) -> I64:
        """int64 (synapses,): codes << shift."""
        return self.code.astype(np.int64) << self.shift


def to_nearest(weight: NDArray[Any]) -> I64:
    """int64: the nearest whole numbers, halves up."""
    return np.floor(weight + 0.5).astype(np.int64)


def choose_shifts(weight: F64, shift_most: int, noise_most: float, threshold: float) -> tuple[int, ...]:
    """The shifts of a mapping's bands, ascending, the last one `shift_most`.

    weight: float64 (synapses,) in codes, none beyond 127.5 * 2^shift_most; threshold: in codes. Takes the fewest
    bands whose root mean square error is `noise_most` codes at most, of those the best; where no BANDS_MOST do, the
    best of them. A weight beyond the threshold decides by itself, so there its relative error counts.
    """
    if not shift_most or not weight.size:
        return (shift_most,)
    size = np.abs(weight)
    needs = np.searchsorted((WEIGHT_MOST + 0.5) * 2.0 ** np.arange(shift_most), size, side="right")
    matters = 1 / (1 + (size / max(threshold, 1.0)) ** 2)
    error = np.zeros((shift_most + 1, shift_most + 1))  # by need, by shift: summed squares
    for shift in range(shift_most + 1):
        off = matters * (size - np.floor(size / 2**shift + 0.5) * 2**shift) ** 2
        error[:, shift] = np.bincount(needs, weights=off, minlength=shift_most + 1)
    best: tuple[float, tuple[int, ...]] = (np.inf, (shift_most,))
    for count in range(1, min(BANDS_MOST, shift_most + 1) + 1):
        for lower in combinations(range(shift_most), count - 1):
            shifts = (*lower, shift_most)
            taken = np.searchsorted(shifts, np.arange(shift_most + 1))
            total = sum(error[need, shifts[taken[need]]] for need in range(shift_most + 1))
            best = min(best, (float(total), shifts))
        if best[0] <= noise_most**2 * len(weight):
            break
    return best[1]


def round_weights(weight: F64, target: I64, shifts: tuple[int, ...]) -> Rounded:
    """Weights as codes in bands: each in the lowest band that holds it, to nearest, so that sums are kept.

    What rounding adds to the sum over a target's synapses is taken back, in steps of the lowest band, from those of
    its codes that are nearest to their other neighbour. weight: float64 (synapses,) in codes; target: int64.
    """
    steps = np.array(shifts, np.int64)
    fits = (WEIGHT_MOST + 0.5) * 2.0 ** steps[:-1]
    shift = steps[np.searchsorted(fits, np.abs(weight), side="right")]
    exact = weight / 2.0**shift
    code = np.clip(to_nearest(exact), -WEIGHT_MOST, WEIGHT_MOST)
    left = (exact - code) * 2.0 ** (shift - steps[0])  # in steps of the lowest band
    owed = to_nearest(np.bincount(target, weights=left)) if len(weight) else np.zeros(0, np.int64)
    if np.any(owed):
        _settle(code, left, target, owed, shift == steps[0])
    return Rounded(code.astype(np.int16), shift.astype(np.uint8))


def _settle(code: I64, left: F64, target: I64, owed: I64, movable: NDArray[np.bool_]) -> None:
    """Move codes by one towards their weights' other side: as many of each target's as it is owed."""
    sign = np.sign(owed)[target]
    may = movable & (sign * left > 1e-9) & (np.abs(code + sign) <= WEIGHT_MOST)
    found = np.flatnonzero(may)
    order = found[np.lexsort((-(sign * left)[found], target[found]))]
    sorted_target = target[order]
    begin = np.searchsorted(sorted_target, sorted_target)  # where each target's codes begin
    chosen = order[np.arange(len(order)) - begin < np.abs(owed)[sorted_target]]
    code[chosen] += sign[chosen]

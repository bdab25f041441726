"""answers -> what they say about a network: intervals, paired differences, calibrated confidence, plateaus."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

F64 = NDArray[np.float64]
I64 = NDArray[np.int64]

Z95 = 1.959963984540054
"""Quantile of the normal distribution that leaves 2.5 % on each side."""
RESAMPLES = 2000


@dataclass(frozen=True)
class Interval:
    """An estimate and the bounds that hold it with some confidence."""

    value: float
    low: float
    high: float


def wilson(right: int, count: int, z: float = Z95) -> Interval:
    """A share of `count` trials and its score interval (Wilson, 1927). No trials: 0..1."""
    if not count:
        return Interval(0.0, 0.0, 1.0)
    share, square = right / count, z * z
    middle = (share + square / (2 * count)) / (1 + square / count)
    half = z / (1 + square / count) * float(np.sqrt(share * (1 - share) / count + square / (4 * count * count)))
    return Interval(share, max(0.0, middle - half), min(1.0, middle + half))


def paired(before: NDArray[np.bool_] | F64, after: NDArray[np.bool_] | F64, seed: int, level: float = 0.90) -> Interval:
    """Mean of after - before over the same items, bounds by the bootstrap over items (Efron, 1979).

    before, after: (items,) right or not, or scores 0..1. `level` lies between the bounds. Raises: ValueError where
    they differ in length, or are empty.
    """
    if len(before) != len(after) or not len(before):
        raise ValueError(f"{len(before)} and {len(after)} items are not pairs")
    change = np.asarray(after, np.float64) - np.asarray(before, np.float64)
    if not np.any(change):
        return Interval(0.0, 0.0, 0.0)
    drawn = np.random.default_rng(seed).integers(0, len(change), (RESAMPLES, len(change)))
    means = np.sort(change[drawn].mean(axis=1))
    low, high = np.quantile(means, [(1 - level) / 2, (1 + level) / 2])
    return Interval(float(change.mean()), float(low), float(high))


def retention(before: NDArray[np.bool_] | F64, after: NDArray[np.bool_] | F64, seed: int) -> Interval:
    """The share of a baseline's score that is kept, mean of after over mean of before, bounds as of `paired`.

    A baseline of 0 is kept by anything: 1.
    """
    base = float(np.mean(before))
    if not base:
        return Interval(1.0, 1.0, 1.0)
    change = paired(before, after, seed)
    return Interval(1 + change.value / base, 1 + change.low / base, 1 + change.high / base)


def pick_level(scores: Sequence[Interval], target: float = 0.75) -> int:
    """The index of the score nearest to the target, of those whose interval holds it; else of all."""
    holding = [i for i, score in enumerate(scores) if score.low <= target <= score.high]
    return min(holding or range(len(scores)), key=lambda i: (abs(scores[i].value - target), i))


@dataclass
class Plateau:
    """Does a value still get better? Of one kind of measurement; each has its own.

    The best of the last `window` values is compared with the best before them: a value that falls is a plateau, too.
    """

    window: int = 3
    threshold: float = 0.01
    values: list[float] | None = None
    gain: float = 0.0
    """Of the last `window` values over the best before them."""

    def add(self, value: float) -> bool:
        """Take a value; True where the last `window` of them have not bettered the best before by `threshold`."""
        self.values = [*(self.values or []), value]
        if len(self.values) <= self.window:
            return False
        before, last = self.values[: -self.window], self.values[-self.window :]
        self.gain = max(last) - max(before)
        return self.gain < self.threshold


GROKKED = 0.2
FULL, FULL_FOR = 0.99, 10


def grokking(learned: Sequence[float], validated: Sequence[float]) -> int | None:
    """The epoch, from 0, at which validation accuracy has jumped after training accuracy was full.

    Full: at least 0.99 for 10 epochs; a jump: 0.2 above the best of those epochs. None: there was none.
    """
    full = 0
    best = 0.0
    for epoch, (a, b) in enumerate(zip(learned, validated, strict=True)):
        if full >= FULL_FOR and b > best + GROKKED:
            return epoch
        full = full + 1 if a >= FULL else 0
        best = b if full <= FULL_FOR else best
    return None


@dataclass(frozen=True)
class Confidence:
    """margin -> how likely an answer is right: isotonic steps (pool adjacent violators; Barlow et al., 1972)."""

    edge: F64  # (steps,) ascending; a margin belongs to the last edge that is not above it
    chance: F64  # (steps,) ascending, 0..1

    def of(self, margin: NDArray[np.floating] | I64) -> F64:
        """float64, as margin: the chance of being right."""
        place = np.searchsorted(self.edge, np.asarray(margin, np.float64), side="right") - 1
        return np.asarray(self.chance[np.clip(place, 0, None)])


def calibrate(margin: NDArray[np.floating] | I64, right: NDArray[np.bool_]) -> Confidence:
    """Fit `Confidence` to answers; margin: (answers,) what the answer is ahead of the next."""
    values, place = np.unique(np.asarray(margin, np.float64), return_inverse=True)
    if not len(values):
        return Confidence(np.zeros(1), np.zeros(1))
    count = np.bincount(place).astype(np.float64)
    total = np.bincount(place, weights=right.astype(np.float64))
    pools: list[tuple[float, float, float]] = []  # edge, sum, answers
    for edge, some, many in zip(values, total, count, strict=True):
        pools.append((float(edge), float(some), float(many)))
        while len(pools) > 1 and pools[-2][1] / pools[-2][2] >= pools[-1][1] / pools[-1][2]:
            last = pools.pop()
            first = pools.pop()
            pools.append((first[0], first[1] + last[1], first[2] + last[2]))
    return Confidence(np.array([p[0] for p in pools]), np.array([p[1] / p[2] for p in pools]))


def calibration_error(chance: F64, right: NDArray[np.bool_], bins: int = 10) -> float:
    """Expected calibration error: |share right - mean chance| over equal bins of chance, weighted by answers."""
    if not len(chance):
        return 0.0
    place = np.minimum((chance * bins).astype(np.int64), bins - 1)
    off = np.abs(
        np.bincount(place, weights=right.astype(np.float64), minlength=bins)
        - np.bincount(place, weights=chance, minlength=bins)
    )
    return float(off.sum() / len(chance))


def coverage_accuracy(chance: F64, right: NDArray[np.bool_], coverage: float = 0.8) -> float:
    """Share right among the `coverage` of the answers with the highest chance."""
    count = max(1, round(coverage * len(chance)))
    order = np.argsort(-chance, kind="stable")[:count]
    return float(np.mean(right[order]))


def hypervolume(points: NDArray[np.floating], reference: Sequence[float]) -> float:
    """What a front of two objectives, both to be small, dominates below a reference point.

    points: float (points, 2); those beyond the reference count nothing.
    """
    inside = np.asarray([p for p in np.asarray(points, np.float64) if np.all(p < np.asarray(reference))])
    if not len(inside):
        return 0.0
    volume, ceiling = 0.0, float(reference[1])
    for x, y in inside[np.lexsort((inside[:, 1], inside[:, 0]))]:
        if y < ceiling:
            volume += (float(reference[0]) - x) * (ceiling - y)
            ceiling = float(y)
    return volume

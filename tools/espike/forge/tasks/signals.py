"""class -> raw samples: events, patterns and a chaotic series, 20 samples of 8 channels, 0..255."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache

import numpy as np

from espike.train import Examples

from .draws import Draws
from .tasks import I64, Draw

CHANNELS, SAMPLES, TOP = 8, 20, 255
QUIET = 48
"""Noise where nothing happens is below this."""
LOUD = 176
"""Events are from here to the top."""

PATTERNS = ((0, 1, 2, 3, 4, 5, 6, 7), (7, 6, 5, 4, 3, 2, 1, 0), (0, 2, 4, 6, 1, 3, 5, 7), (3, 4, 2, 5, 1, 6, 0, 7))
"""The channel of each event of a pattern, one in two samples."""
ORDERS = ((0, 1), (1, 0), (0, 0), (1, 1))
"""Which event is first, and which is second."""
EVENT_CHANNELS = ((1, 2), (5, 6))
INTERVALS = ((2, 4), (6, 8), (10, 12), (14, 16))
"""Samples from the first pulse to the second, least and most."""
PROTOTYPES = 8

Make = Callable[[Draws, int], I64]
"""(draws, class) -> int64 (samples, channels)."""


def generated(task: str, make: Make, classes: int | Sequence[int]) -> Draw:
    """Examples that are drawn one by one, each from a stream of its own (task, part, seed, index), cut to 0..255.

    classes: how many, which are the first labels of the suite, or the indices of their labels; `make` gets 0, 1 ...
    """
    labels = np.arange(classes) if isinstance(classes, int) else np.array(classes)

    def draw(part: str, count: int, seed: int) -> Examples:
        turn = np.arange(count, dtype=np.int64) % len(labels)
        raw = np.stack([make(Draws(task, part, seed, i), int(k)) for i, k in enumerate(turn)])
        return Examples(np.clip(raw, 0, TOP).astype(np.int32), labels[turn].astype(np.int64))

    return draw


def _quiet(draws: Draws) -> I64:
    return draws.below(QUIET, SAMPLES, CHANNELS)


def _strayed(draws: Draws, of_100: int) -> I64:
    """Quiet but for so many values of 100, which are events."""
    raw = _quiet(draws)
    strays = draws.below(100, SAMPLES, CHANNELS) < of_100
    raw[strays] = _loud(draws, int(strays.sum()))
    return raw


def _loud(draws: Draws, *shape: int) -> I64:
    return LOUD + draws.below(TOP + 1 - LOUD, *shape)


def pattern(draws: Draws, kind: int) -> I64:
    """One of PATTERNS, begun within five samples, amid a few events that belong to none."""
    raw, begin = _strayed(draws, 3), draws.one(SAMPLES - 2 * CHANNELS + 1)
    raw[begin + np.arange(2 * CHANNELS), np.repeat(PATTERNS[kind], 2)] = _loud(draws, 2 * CHANNELS)
    return raw


def sequence(draws: Draws, kind: int) -> I64:
    """Two events of two samples, each on one of two pairs of channels, 4 to 12 samples apart."""
    raw, apart = _quiet(draws), 4 + draws.one(9)
    begin = draws.one(SAMPLES - 1 - apart)
    for at, event in zip((begin, begin + apart), ORDERS[kind], strict=True):
        raw[at : at + 2, EVENT_CHANNELS[event]] = _loud(draws, 2, 2)
    return raw


def timing(draws: Draws, kind: int) -> I64:
    """Two pulses of two samples on the channels of the upper half, INTERVALS apart."""
    raw, (least, most) = _quiet(draws), INTERVALS[kind]
    apart = least + draws.one(most - least + 1)
    begin = draws.one(SAMPLES - 1 - apart)
    for at in (begin, begin + apart):
        raw[at : at + 2, 4:] = _loud(draws, 2, 4)
    return raw


def match(draws: Draws, kind: int) -> I64:
    """A cue of three samples, on channels 0..3 or 4..7; a pause of 2 to 8; a probe, the same (0) or the other one (1).

    A few events belong to neither.
    """
    raw, cue = _strayed(draws, 1), draws.one(2)
    begin, pause = draws.one(4), 2 + draws.one(7)
    for at, first in ((begin, 4 * cue), (begin + 3 + pause, 4 * (cue ^ kind))):
        raw[at : at + 3, first : first + 4] = _loud(draws, 3, 4)
    return raw


@lru_cache(maxsize=1)
def _prototypes() -> I64:
    """(prototypes, samples, channels): five blocks of four samples, in each of which a channel is low or high."""
    high = Draws("prototypes").below(2, PROTOTYPES, SAMPLES // 4, CHANNELS)
    blocks: I64 = np.repeat(64 + 128 * high, 4, axis=1)
    return blocks


def noisy(draws: Draws, kind: int) -> I64:
    """A prototype, one value of four lost (0), with noise up to +-160."""
    raw: I64 = _prototypes()[kind] + draws.near(160, SAMPLES, CHANNELS)
    raw[draws.below(4, SAMPLES, CHANNELS) == 0] = 0
    return raw


# ---- Mackey-Glass: dx/dt = 0.2 x(t - 17) / (1 + x(t - 17)^10) - 0.1 x (Mackey and Glass, Science 197, 1977)

DELAY, STEPS_PER_UNIT, WARM_UP = 17, 10, 200
"""Time units; Euler steps of a tenth."""
LAGS = (0, 6, 12, 18)
"""Time units by which channels 0..3 lag; channels 4..7 are quiet."""
AHEAD = 6
"""Time units from the last sample to the value that is asked for."""
BINS = 8
X_MOST = 1.5
"""What becomes the top of a channel."""


def _series(units: int, *key: str | int) -> I64:
    """int64 (units,): x in 1/1000 at whole time units, from a history drawn by the key.

    Only sums, products and quotients of doubles, which every machine rounds alike.
    """
    history = DELAY * STEPS_PER_UNIT
    x = [0.6 + value / 1000 for value in Draws(*key).below(600, history + 1).tolist()]
    for at in range(history, history + (WARM_UP + units) * STEPS_PER_UNIT):
        late = x[at - history]
        fifth = late * late * late * late * late
        x.append(x[at] + (0.2 * late / (1 + fifth * fifth) - 0.1 * x[at]) / STEPS_PER_UNIT)
    kept = x[history + WARM_UP * STEPS_PER_UNIT :: STEPS_PER_UNIT][:units]
    return np.array([int(1000 * value) for value in kept], np.int64)


@lru_cache(maxsize=1)
def _bins() -> tuple[I64, tuple[float, ...]]:
    """Edges (BINS - 1,) in 1/1000 that part a long series evenly, and the middle of what is in each bin."""
    ordered = np.sort(_series(4000, "mackey-glass", "bins"))
    middles = ordered[(2 * np.arange(BINS) + 1) * len(ordered) // (2 * BINS)]
    return ordered[np.arange(1, BINS) * len(ordered) // BINS], tuple((middles / 1000).tolist())


def bin_centres() -> tuple[float, ...]:
    """x that each class of Mackey-Glass stands for."""
    return _bins()[1]


def mackey_glass(part: str, count: int, seed: int) -> Examples:
    """Windows of a series of the part and seed: x and what it was, scaled; the bin of x AHEAD units after the last."""
    span = SAMPLES + LAGS[-1]
    series = _series(3 * count + span + AHEAD + 800, "mackey-glass", part, seed)
    starts = np.arange(len(series) - span - AHEAD + 1)
    label = np.searchsorted(_bins()[0], series[starts + span - 1 + AHEAD], side="right").astype(np.int64)
    draws = Draws("mackey-glass", part, seed, "windows")
    order = np.argsort(draws.below(1 << 31, len(starts)), kind="stable")
    own = [order[label[order] == k] for k in range(BINS)]
    chosen = np.array([own[i % BINS][i // BINS] for i in range(count)])
    at = chosen[:, None, None] + LAGS[-1] + np.arange(SAMPLES)[:, None] - np.array(LAGS)
    scaled = series[at] * TOP // int(1000 * X_MOST) + draws.near(2, *at.shape)
    raw = np.concatenate((scaled, np.zeros_like(scaled)), axis=2)
    return Examples(np.clip(raw, 0, TOP).astype(np.int32), label[chosen])

"""uint32 -> uint32 hash: the one source of randomness, the same on every machine.

The permutation and the argument of the draw are those of FEAGI; `docs/numbers.md` states them.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from .quantized import ALWAYS

U32 = NDArray[np.uint32]

ALWAYS_FROM = np.float32(0.999)
"""Excitability from which a neuron fires without a draw."""


def pcg(x: U32) -> U32:
    """The PCG-RXS-M-XS hash of each number: uint32 (n,) -> uint32 (n,), a permutation of the 2^32 numbers."""
    state = x * np.uint32(747796405) + np.uint32(2891336453)
    word = ((state >> ((state >> np.uint32(28)) + np.uint32(4))) ^ state) * np.uint32(277803737)
    result: U32 = (word >> np.uint32(22)) ^ word
    return result


def pcg_one(x: int) -> int:
    """`pcg` of one number, of which the low 32 bits count."""
    return int(pcg(np.array([x & 0xFFFFFFFF], np.uint32))[0])


def draw(neuron_ids: U32, burst: int) -> U32:
    """uint32 (n,): the draw of each neuron in a burst; it fires when this is below its `fire_draw`."""
    return pcg(neuron_ids * np.uint32(2654435761) + np.uint32(burst * 1597334677 & 0xFFFFFFFF))


def fire_draw(excitability: NDArray[np.float32]) -> U32:
    """uint32 (neurons,): how many of the 2^32 draws let a neuron of this excitability (float32) fire.

    The number of uint32 h with float32(h) / 2^32 < excitability; ALWAYS from 0.999 on, 0 at 0 and below.
    """
    values, index = np.unique(np.asarray(excitability, np.float32), return_inverse=True)
    bound = np.clip(values, np.float32(0), ALWAYS_FROM)
    low, high = np.zeros(len(values), np.uint64), np.full(len(values), 1 << 32, np.uint64)
    while np.any(low < high):  # numbers below `low` fire, numbers from `high` on do not
        middle = (low + high) >> np.uint64(1)
        fires = middle.astype(np.uint32).astype(np.float32) / np.float32(2**32) < bound
        low, high = np.where(fires, middle + np.uint64(1), low), np.where(fires, high, middle)
    count = low.astype(np.uint32)
    count[values >= ALWAYS_FROM] = ALWAYS
    result: U32 = count[index]
    return result

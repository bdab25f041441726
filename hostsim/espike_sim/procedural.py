"""seed -> synapses: a wiring that takes no bytes, because the engine draws it anew for every spike.

For the source neuron i of its area, all in 32 bits:

    x_0 = next(pcg(seed + i * 2654435761))        next(x) = x * 747796405 + 2891336453
    synapse k < fan_out: x_k = next(x_(k-1)), target = x_k * target_count >> 32, weight = levels[x_k >> 12 & 15]

Targets come as they are drawn and may repeat; a connectome holds them sorted, which changes no sum of integers.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from .generator import LEVELS, Generator, check
from .pcg import pcg

__all__ = ["Generator", "synapses"]

LEVEL_SHIFT = 12
SOURCE_FACTOR = 2654435761
MULTIPLIER, INCREMENT = 747796405, 2891336453

I64 = NDArray[np.int64]


def synapses(
    seed: int, sources: int, fan_out: int, target_count: int, levels: Sequence[int]
) -> tuple[I64, I64, NDArray[np.int16]]:
    """All synapses of `sources` neurons, sorted by (source, target), then by weight.

    -> source and target int64 (synapses,), from their areas' first neurons; weight int16 (synapses,).
    Raises: EspikeError where an argument is out of range.
    """
    check(seed, fan_out, levels)
    start = np.arange(sources, dtype=np.uint32) * np.uint32(SOURCE_FACTOR) + np.uint32(seed)
    x = pcg(start)
    drawn = np.empty((sources, fan_out), np.uint32)
    for k in range(fan_out):
        x = x * np.uint32(MULTIPLIER) + np.uint32(INCREMENT)
        drawn[:, k] = x
    flat = drawn.reshape(-1)
    target = (flat.astype(np.uint64) * np.uint64(target_count) >> np.uint64(32)).astype(np.int64)
    weight = np.array(levels, np.int16)[flat >> np.uint32(LEVEL_SHIFT) & np.uint32(LEVELS - 1)]
    source = np.repeat(np.arange(sources, dtype=np.int64), fan_out)
    order = np.lexsort((weight, target, source))
    return source, target[order], weight[order]

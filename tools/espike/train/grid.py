"""weights -> weights of few bits: the grid that a fine-tuned network lies on.

All weights into one neuron share a step: the largest of them over Q = 2^(bits - 1) - 1. A weight is q * step,
q = -Q..Q.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from espike_sim.errors import EspikeError

from .lif import Floats, Net, Weights

BITS = (2, 8)
"""Least and most bits of a weight."""
TERNARY_FROM = 0.7
"""Of the mean size: what becomes more than 0 in 2 bits."""


def parse_bits(text: str, areas: Sequence[str]) -> dict[str, int]:
    """`4`, or `hidden=4,out=8` -> area id: bits of the weights into it; `areas` are those that have any.

    Raises: EspikeError naming an area that is not there, or bits out of range.
    """
    given = dict.fromkeys(areas, text) if "=" not in text else {}
    for part in text.split(",") if "=" in text else ():
        name, _, value = part.partition("=")
        if name not in areas:
            raise EspikeError(f"no weights lead to area {name!r}", where="--bits", do="use one of " + ", ".join(areas))
        given[name] = value
    for value in given.values():
        if not value.isdecimal() or not BITS[0] <= int(value) <= BITS[1]:
            raise EspikeError(f"{value!r} is no number of {BITS[0]}..{BITS[1]}", where="--bits")
    return {name: int(value) for name, value in given.items()}


def on_grid(net: Net, weights: Weights, bits: Mapping[int, int]) -> list[Floats]:
    """The weights, those into layer i rounded to `bits[i]`; layers without an entry keep theirs.

    What is on the grid stays as it is.
    """
    made = list(weights)
    for layer, width in bits.items():
        into = [i for i, link in enumerate(net.links) if link.target == layer]
        together = np.concatenate([weights[i] for i in into])
        rounded = _ternary(together) if width == 2 else _rounded(together, (1 << (width - 1)) - 1)
        ends = np.cumsum([0, *(len(weights[i]) for i in into)])
        for i, begin, end in zip(into, ends, ends[1:], strict=False):
            made[i] = rounded[begin:end]
    return made


def _rounded(weight: Floats, most: int) -> Floats:
    """(fan-in, neurons) to the nearest of -most..most steps; the largest of a neuron stays."""
    step = np.abs(weight).max(axis=0) / np.asarray(most, weight.dtype)
    step[step == 0] = 1
    rounded: Floats = np.clip(np.round(weight / step), -most, most) * step
    return rounded


def _ternary(weight: Floats) -> Floats:
    """(fan-in, neurons) to -step, 0, step: 0 below 0.7 of the mean size, step is the mean of the others.

    Their largest for a step would leave most at 0. Source: Li and Liu, Ternary Weight Networks, 2016.
    """
    size = np.abs(weight)
    kept = size > TERNARY_FROM * size.mean(axis=0)
    step = (size * kept).sum(axis=0) / np.maximum(1, kept.sum(axis=0))
    rounded: Floats = np.sign(weight) * kept * step.astype(weight.dtype)
    return rounded

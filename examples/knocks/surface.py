"""What was knocked on: how long a knock rings tells a cushion from wood, and wood from glass."""

import numpy as np
from numpy.typing import NDArray

from espike.forge.tasks import Draws, Task, generated

RINGS = (1, 4, 12)
"""Samples in which a knock falls to half, on cushion, wood and glass."""


def series(draws: Draws, answer: int) -> NDArray[np.int64]:
    """int64 (samples, channels): noise, and a knock in the first half."""
    raw = draws.below(24, 40, 1)
    at, strength = 2 + draws.one(14), 160 + draws.one(60)
    for sample in range(at, 40):
        raw[sample, 0] += strength * RINGS[answer] // (RINGS[answer] + (sample - at))
    return raw


def task() -> Task:
    """Labels 0 to 2 of the suite."""
    return Task("surface", 1, "what was knocked on", (0, 1, 2), generated("surface", series, 3))

"""Four knocks: evenly spaced, or faster and faster."""

import numpy as np
from numpy.typing import NDArray

from espike.forge.tasks import Draws, Task, generated

GAPS = ((9, 9, 9), (14, 8, 4))


def series(draws: Draws, answer: int) -> NDArray[np.int64]:
    """int64 (samples, channels): noise, and four knocks."""
    raw = draws.below(24, 40, 1)
    places = draws.one(6) + np.cumsum((0, *GAPS[answer])) + np.array([0, *draws.below(2, 3)])
    for at in places.tolist():
        raw[at : at + 3, 0] += (160 + draws.one(80)) // np.array([1, 2, 4])
    return raw


def task() -> Task:
    """Labels 3 and 4 of the suite."""
    return Task("rhythm", 2, "the rhythm of four knocks", (3, 4), generated("rhythm", series, (3, 4)))

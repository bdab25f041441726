"""How many knocks: one, two or three."""

import numpy as np
from numpy.typing import NDArray

from espike.forge.tasks import Draws, Task, generated

SAMPLES, GAP = 40, 6


def knock(raw: NDArray[np.int64], at: int, draws: Draws) -> None:
    """A knock that fades within three samples."""
    strength = 160 + draws.one(80)
    raw[at : at + 3, 0] += np.array([strength, strength // 2, strength // 4])


def series(draws: Draws, answer: int) -> NDArray[np.int64]:
    """int64 (samples, channels): noise, and answer + 1 knocks that are at least GAP samples apart."""
    raw = draws.below(24, SAMPLES, 1)
    room = SAMPLES - 3 - GAP * answer
    for number, at in enumerate(np.sort(draws.below(room, answer + 1)).tolist()):
        knock(raw, at + number * GAP, draws)
    return raw


def task() -> Task:
    """Labels are indices into the suite's."""
    return Task("count", 1, "how many knocks", (0, 1, 2), generated("count", series, 3))

"""plant + answers -> episodes: a device in a closed loop, and how it went; plant + teacher -> examples."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from espike.classify import Present
from espike.train import Examples
from espike_sim.errors import EspikeError

from .draws import Draws, digest
from .tasks import I32, Draw, Plant, Task

DECISIONS = 40
"""Of a plant that examples are taken from; what it did then is forgotten, so that beginnings are seen as well."""
STRAY = 3
"""One answer of so many is a random one there, so that states are seen that a good answer does not lead to."""
PLANTS_MOST = 64
"""Plants of an example, at most, until all classes are there."""


@dataclass(frozen=True)
class Episodes:
    """What came of a task's episodes, in their order."""

    scores: NDArray[np.float64]  # (episodes,) 0..1
    solved: NDArray[np.bool_]  # (episodes,)
    calls_ok: int
    """Calls of the driver that did what they should; with `calls_failed` all of them."""
    calls_failed: int
    violations: int
    """Failed calls outside the register map, or with a value out of range."""
    presentations: int
    stopped: tuple[str, ...]
    """Why devices ended before their episodes did, which are not solved then: limits, or a busy machine."""
    seconds: float

    def __len__(self) -> int:
        return len(self.scores)


def run_episodes(present: Present, task: Task, count: int, seed: int) -> Episodes:
    """Episodes of the task's plant, answered by a network.

    present: `classify.present_on` of any engine. The same seed gives the same plants, which are none of those that
    examples are taken from. Raises: EspikeError where the task has no plant.
    """
    return answered_episodes(lambda raw: present(raw).answer, task, count, seed)


def answered_episodes(answer: Callable[[I32], int], task: Task, count: int, seed: int) -> Episodes:
    """The same with anything that answers raw samples, int32 (samples, channels): a teacher, say."""
    make = task.plant
    if make is None:
        raise EspikeError("has no plant", where=task.name, do="score its examples")
    if count < 1:
        raise EspikeError(f"{count} episodes are none", where=task.name, do="ask for one or more")
    scores, solved, stopped, calls, presentations = [], [], [], np.zeros(3, np.int64), 0
    began = time.monotonic()
    for number in range(count):
        with closing(make(digest(task.name, "episodes", seed, number))) as plant:
            while not plant.done:
                plant.act(answer(plant.sense()))
                presentations += 1
            scores.append(plant.score())
            solved.append(plant.solved)
            stopped += [plant.stopped] if plant.stopped else []
            calls += plant.calls_ok, plant.calls_failed, plant.violations
    ok, failed, violations = calls.tolist()
    seconds = time.monotonic() - began
    return Episodes(
        np.array(scores), np.array(solved), ok, failed, violations, presentations, tuple(stopped), seconds
    )  # fmt: skip


def taught(task: str, make: Callable[[int], Plant], teacher: Callable[[I32], int], classes: Sequence[int]) -> Draw:
    """Examples of what plants sense, and what the teacher answers: as many of each class, which take turns."""

    def draw(part: str, count: int, seed: int) -> Examples:
        wanted = [-(-(count - i) // len(classes)) for i in range(len(classes))]
        found: list[list[I32]] = [[] for _ in classes]
        for raw, answer in _sensed(task, make, teacher, classes, (part, count, seed)):
            own = found[classes.index(answer)]
            if len(own) < wanted[classes.index(answer)]:
                own.append(raw)
                if sum(map(len, found)) == count:
                    break
        else:
            raise EspikeError("its plants do not lead to all classes", where=task)
        at = [divmod(i, len(classes)) for i in range(count)]
        raws = np.stack([found[k][turn] for turn, k in at])
        return Examples(raws, np.array([classes[k] for _, k in at], np.int64))

    return draw


def _sensed(
    task: str,
    make: Callable[[int], Plant],
    teacher: Callable[[I32], int],
    classes: Sequence[int],
    of: tuple[str, int, int],
) -> Iterator[tuple[I32, int]]:
    part, count, seed = of
    for number in range(PLANTS_MOST * (1 + count // DECISIONS)):
        draws = Draws(task, part, seed, number, "answers")
        with closing(make(digest(task, part, seed, number))) as plant:
            for _ in range(DECISIONS):
                raw = plant.sense()
                answer = teacher(raw)
                yield raw, answer
                plant.act(answer if draws.one(STRAY) else classes[draws.one(len(classes))])
                if plant.done:
                    break

"""task -> examples, suite -> data: what one network can be given, and what is measured of it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from espike.train import Data, Examples
from espike_sim.errors import EspikeError

PARTS = ("train", "val", "test")
I32 = NDArray[np.int32]
I64 = NDArray[np.int64]

Draw = Callable[[str, int, int], Examples]
"""(part, count, seed) -> examples."""


class Plant(Protocol):
    """A simulated device in one episode: it senses, is acted on by answers, and says how it went."""

    @property
    def done(self) -> bool:
        """Is the episode over?"""

    @property
    def solved(self) -> bool:
        """Did the episode reach its goal?"""

    @property
    def stopped(self) -> str:
        """Why its device ended before the episode did; empty where it did not."""

    @property
    def calls_ok(self) -> int:
        """Calls of its driver that did what they should."""

    @property
    def calls_failed(self) -> int:
        """Those that did not, violations among them."""

    @property
    def violations(self) -> int:
        """Calls outside the register map, or with a value out of range."""

    def sense(self) -> I32:
        """int32 (samples, channels): what its sensors read while it goes on under the last answer."""

    def act(self, answer: int) -> None:
        """Take an answer, an index into the suite's labels; -1, none, is the safe action."""

    def score(self) -> float:
        """0..1: how well it went so far."""

    def close(self) -> None:
        """End what it started."""


@dataclass(frozen=True)
class Task:
    """Labelled presentations, and perhaps a device that answers act on."""

    name: str
    level: int
    """From 1: how hard it is among those of its suite."""
    about: str
    classes: tuple[int, ...]
    """Indices into the suite's labels that are answers of this task."""
    draw: Draw
    plant: Callable[[int], Plant] | None = None
    """seed -> a fresh device; None: there is none."""
    teacher: Callable[[I32], int] | None = None
    """raw (samples, channels) -> the right answer: who labels what plants sense."""
    held_out: bool = False
    """Never trained on."""
    numbers: tuple[float, ...] | None = None
    """What each class stands for, where it is a number."""

    def examples(self, part: str, count: int, seed: int) -> Examples:
        """At most `count` examples of a part; labels are indices into the suite's labels.

        raw int32 (count, samples, channels), label int64 (count,); classes take turns. Parts have no example in common.
        Where they come from a file, `count` is cut to what the part has, and `seed` only orders. Raises: EspikeError
        where the part is unknown, the count below 1, or training examples of a task are asked for that is held out.
        """
        if part not in PARTS:
            raise EspikeError(f"part {part!r} is unknown", where=self.name, do="use " + ", ".join(PARTS))
        if count < 1:
            raise EspikeError(f"{count} examples are none", where=self.name, do="ask for one or more")
        if self.held_out and part == "train":
            raise EspikeError("is held out: nothing is trained on it", where=self.name, do="ask for val or test")
        return self.draw(part, count, seed)


@dataclass(frozen=True)
class Suite:
    """Tasks that one network can be given: all have its channels, samples and labels."""

    name: str
    about: str
    channels: int
    samples: int
    unit: float
    """What a raw step is."""
    labels: tuple[str, ...]
    """Answers of all tasks: one neuron each."""
    encoders: tuple[str, ...]
    """Specs, as `espike train --encoder` takes them."""
    bursts: int
    """Of a sample."""
    settle: int
    """Bursts after the last sample."""
    tasks: tuple[Task, ...]
    """By level, ascending."""

    def task(self, name: str) -> Task:
        """A task by its name or level. Raises: EspikeError where there is none."""
        for task in self.tasks:
            if name in (task.name, str(task.level)):
                return task
        do = "use " + ", ".join(task.name for task in self.tasks)
        raise EspikeError(f"task {name!r} is unknown", where=f"suite {self.name}", do=do)

    def data(self, names: Sequence[str] | None = None, *, train: int, val: int, seed: int) -> Data:
        """The tasks' training and validation sets, joined; the latter is the test set of what is returned.

        names: tasks, None: all that are not held out; train, val: examples of each task. Raises: as Task.examples.
        """
        tasks = [t for t in self.tasks if not t.held_out] if names is None else [self.task(name) for name in names]
        sets = [join([t.examples(part, n, seed) for t in tasks]) for part, n in (("train", train), ("val", val))]
        return Data(sets[0], sets[1], self.labels, self.unit)


def join(sets: Sequence[Examples]) -> Examples:
    """Examples behind each other. Raises: EspikeError where there are none."""
    if not sets:
        raise EspikeError("no task is named", do="name one or more")
    return Examples(np.concatenate([s.raw for s in sets]), np.concatenate([s.label for s in sets]))


@dataclass(frozen=True)
class Quality:
    """What examples are worth as a set."""

    duplicate_rate: float
    """Share of examples that are there a second time."""
    label_balance: float
    """Examples of the rarest class over those of the most frequent: 1 is even."""


def quality(examples: Examples, classes: Sequence[int] | None = None) -> Quality:
    """Duplicates among raw series, and how even the classes are; classes: None for those that occur."""
    distinct = len({series.tobytes() for series in np.ascontiguousarray(examples.raw)})
    wanted = np.unique(examples.label).tolist() if classes is None else classes
    counts = [int(np.count_nonzero(examples.label == k)) for k in wanted]
    return Quality(1 - distinct / len(examples), min(counts) / max(counts))

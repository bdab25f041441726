"""Of several networks, of records that steps wrote, and of numbers that phases counted."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .. import merge, statistics, tasks
from ..contracts import Value
from .answering import accuracy
from .base import answers, examples_of, master_of, measure


@measure
def forgetting(now: bytes, *of_levels: bytes) -> float:
    """Mean over earlier levels of the accuracy when a level was done less that of now.

    of_levels: the image when a level was done, and its test examples, level by level.
    """
    lost = [
        accuracy(then, data) - accuracy(now, data) for then, data in zip(of_levels[::2], of_levels[1::2], strict=True)
    ]
    return float(np.mean(lost)) if lost else 0.0


@measure
def fitness(data: bytes, *images: bytes, price: float, take: str) -> float:
    """Accuracy less `price` per 1,024 bytes: the best, avg, min, max or std of some images."""
    found = np.array([accuracy(image, data) - price * len(image) / 1024 for image in images])
    taken = {"best": found.max(), "avg": found.mean(), "min": found.min(), "max": found.max(), "std": found.std()}
    return float(taken[take])


@measure
def fitness_change(data: bytes, after: bytes, before: bytes, price: float) -> float:
    """The fitness of one image above that of another."""
    return fitness(data, after, price=price, take="best") - fitness(data, before, price=price, take="best")


@measure
def fitness_percent(data: bytes, after: bytes, before: bytes, price: float) -> float:
    """That as a share of the other's, in percent; of none: 0."""
    base = fitness(data, before, price=price, take="best")
    return 100 * fitness_change(data, after, before, price) / abs(base) if base else 0.0


@measure
def diversity(*masters: bytes) -> float:
    """Mean distance of networks' parameters (`merge.diversity`)."""
    return merge.diversity([master_of(master) for master in masters])


@measure
def answers_differ(data: bytes, *images: bytes) -> float:
    """Mean share of items in which two of the images answer differently."""
    found = [answers(image, data).answer for image in images]
    pairs = [np.mean(a != b) for i, a in enumerate(found) for b in found[:i]]
    return float(np.mean(pairs)) if pairs else 0.0


@measure
def norm_change(after: bytes, before: bytes) -> float:
    """Mean change of the norm of a neuron's incoming weights, as a share of it."""
    norms = []
    for c in map(master_of, (before, after)):
        norms.append(np.sqrt(np.bincount(c.target, weights=c.weight.astype(np.float64) ** 2, minlength=c.neurons)))
    fed = norms[0] > 0
    return float(np.mean(np.abs(norms[1][fed] / norms[0][fed] - 1))) if np.any(fed) else 0.0


@measure
def recorded(record: bytes, path: Sequence[str | int]) -> Value:
    """A value of a JSON object that a step wrote: losses of epochs, choices."""
    value: Any = json.loads(record)
    for key in path:
        value = value[key]
    found: Value = value
    return found


@measure
def recorded_by_all(*records: bytes, path: Sequence[str | int], take: str) -> float:
    """The avg, min or max of such values of several objects."""
    found = [float(recorded(record, path)) for record in records]
    return {"avg": float(np.mean(found)), "min": min(found), "max": max(found)}[take]


@measure
def recorded_sum(*records: bytes, path: Sequence[str | int]) -> int:
    """The sum of such values of several objects."""
    return sum(int(recorded(record, path)) for record in records)


@measure
def count_of(count: int) -> int:
    """A number of things."""
    return count


@measure
def real(value: float) -> float:
    """A number of the configuration."""
    return value


@measure
def named(choice: str) -> str:
    """A choice."""
    return choice


@measure
def share(count: int, of: int) -> float:
    """A share; of nothing: 0."""
    return count / of if of else 0.0


def _curves(histories: Sequence[bytes]) -> tuple[list[float], list[float]]:
    """Accuracy on training items and on validation items, over the epochs of some trainings in a row."""
    found = [json.loads(history) for history in histories]
    return [a for one in found for a in one["accuracies"]], [a for one in found for a in one["validation"]]


@measure
def grokked(*histories: bytes) -> bool:
    """Did validation accuracy jump after training accuracy was full, over the epochs of some trainings in a row?"""
    return statistics.grokking(*_curves(histories)) is not None


@measure
def grok_epoch(*histories: bytes) -> int:
    """The epoch of that jump, from 0; -1: there was none."""
    found = statistics.grokking(*_curves(histories))
    return -1 if found is None else found


@measure
def largest_gain(*histories: bytes) -> float:
    """The largest gain of validation accuracy from one epoch to the next; of one epoch: 0."""
    validated = _curves(histories)[1]
    return float(np.max(np.diff(validated))) if len(validated) > 1 else 0.0


@measure
def stacked(strength: float, updates: int) -> float:
    """What remains of an update that is applied in part again and again: 1 - (1 - strength)^updates."""
    return float(1 - (1 - strength) ** updates)


# ---- of examples


@measure
def item_count(data: bytes) -> int:
    """Examples."""
    return len(examples_of(data))


@measure
def duplicate_rate(*data: bytes) -> float:
    """Share of all examples of some sets whose raw samples are there before."""
    return tasks.quality(tasks.join([examples_of(one) for one in data])).duplicate_rate


@measure
def label_balance(data: bytes) -> float:
    """Examples of the rarest label that is there, divided by those of the most frequent."""
    return tasks.quality(examples_of(data)).label_balance


def raw_bytes(raw: NDArray[np.int32]) -> int:
    """Bytes of raw samples, a value taking one where their range allows it, else 4."""
    narrow = raw.size == 0 or (raw.min() >= -128 and raw.max() <= 255 and np.ptp(raw) <= 255)
    return raw.size * (1 if narrow else 4)


@measure
def raw_bytes_of_all(*data: bytes) -> int:
    """Those of the examples of several sets."""
    return sum(raw_bytes(examples_of(one).raw) for one in data)

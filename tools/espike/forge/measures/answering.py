"""How well a network answers: accuracy and its intervals, what is kept of a baseline, closed loops, confidence."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import numpy as np

from espike_sim.errors import EspikeError

from ... import train
from .. import statistics, tasks
from ..subject import Subject
from .base import answers, examples_of, master_of, measure, right


@measure
def accuracy(image: bytes, data: bytes, of: Sequence[int] = ()) -> float:
    """Share of right answers."""
    return float(np.mean(right(image, data, of)))


@measure
def error(image: bytes, data: bytes) -> float:
    """Share of wrong answers."""
    return 1 - accuracy(image, data)


@measure
def dominated(data: bytes, *images: bytes, limit: float) -> float:
    """The share of (error 0..1) x (bytes 0..limit) that images dominate."""
    points = np.array([[error(image, data), len(image) / limit] for image in images]).reshape(-1, 2)
    return statistics.hypervolume(points, (1.0, 1.0))


@measure
def accuracy_of_all(image: bytes, *data: bytes) -> float:
    """Share of right answers over several sets of examples."""
    return float(np.mean(np.concatenate([right(image, one) for one in data])))


@measure
def accuracy_change(after: bytes, before: bytes, *data: bytes) -> float:
    """What an image's accuracy is above another's."""
    return accuracy_of_all(after, *data) - accuracy_of_all(before, *data)


@measure
def low(image: bytes, data: bytes) -> float:
    """Lower bound of the accuracy (Wilson, 95 %)."""
    return _wilson(image, data).low


@measure
def high(image: bytes, data: bytes) -> float:
    """Upper bound of the accuracy (Wilson, 95 %)."""
    return _wilson(image, data).high


def _wilson(image: bytes, data: bytes) -> statistics.Interval:
    found = right(image, data)
    return statistics.wilson(int(found.sum()), len(found))


@measure
def reached(image: bytes, data: bytes, least: float) -> bool:
    """Does the lower bound of the accuracy reach `least`?"""
    return _wilson(image, data).low >= least


@measure
def not_above(value: float, most: float) -> bool:
    """Is a value within its limit?"""
    return value <= most


@measure
def agreement(a: bytes, b: bytes, data: bytes) -> float:
    """Share of items that two images answer alike."""
    return float(np.mean(answers(a, data).answer == answers(b, data).answer))


@measure
def retention(after: bytes, before: bytes, *data: bytes) -> float:
    """Accuracy of an image over that of another."""
    return _retention(after, before, data, 0).value


@measure
def retention_low(after: bytes, before: bytes, *data: bytes, seed: int = 0) -> float:
    """The lower bound of that, by the paired bootstrap over items (5 % lie below)."""
    return _retention(after, before, data, seed).low


def _retention(after: bytes, before: bytes, data: Sequence[bytes], seed: int) -> statistics.Interval:
    pair = [np.concatenate([right(image, one) for one in data]) for image in (before, after)]
    return statistics.retention(pair[0], pair[1], seed)


@measure
def gain_low(after: bytes, before: bytes, *data: bytes, seed: int = 0) -> float:
    """The lower bound of what accuracy gained, by the paired bootstrap (5 % lie below)."""
    pair = [np.concatenate([right(image, one) for one in data]) for image in (before, after)]
    return statistics.paired(pair[0], pair[1], seed).low


@measure
def bursts_mean(image: bytes, data: bytes) -> float:
    """Bursts that a presentation takes."""
    return float(answers(image, data).bursts.mean())


@measure
def bursts_saved(image: bytes, data: bytes) -> float:
    """Share of a presentation's bursts that an early exit saves."""
    with Subject(image) as subject:
        whole = subject.senses.bursts
    return 1 - bursts_mean(image, data) / whole


def episodes(image: bytes, suite: str, task: str, count: int, seed: int) -> tasks.Episodes:
    """What came of a task's episodes, answered by an image. Raises: EspikeError where a device was stopped early."""
    key = hashlib.sha256(image).hexdigest(), suite, task, count, seed
    if key not in _played:
        with Subject(image) as subject:
            found = tasks.run_episodes(subject.present, tasks.suite(suite).task(task), count, seed)
        if found.stopped:
            raise EspikeError(f"its device was stopped: {found.stopped[0]}", where=f"task {task}")
        _played[key] = found
    return _played[key]


_played: dict[tuple[str, str, str, int, int], tasks.Episodes] = {}


@measure
def solved(image: bytes, suite: str, task: str, count: int, seed: int) -> float:
    """Share of a task's episodes that reach their goal."""
    return float(np.mean(episodes(image, suite, task, count, seed).solved))


@measure
def solved_ratio(after: bytes, before: bytes, suite: str, task: str, count: int, seed: int) -> float:
    """Episodes that an image solves, over those that another does; 1 where that solves none."""
    base = solved(before, suite, task, count, seed)
    return solved(after, suite, task, count, seed) / base if base else 1.0


@measure
def episode_score(image: bytes, suite: str, task: str, count: int, seed: int) -> float:
    """Mean score, 0..1, of a task's episodes."""
    return float(np.mean(episodes(image, suite, task, count, seed).scores))


@measure
def calls(image: bytes, suite: str, task: str, count: int, seed: int, kind: str) -> int:
    """Calls of the device's registers in a task's episodes: ok, failed, violations, or total."""
    found = episodes(image, suite, task, count, seed)
    return {
        "ok": found.calls_ok, "failed": found.calls_failed, "violations": found.violations,
        "total": found.calls_ok + found.calls_failed,
    }[kind]  # fmt: skip


def confidence(image: bytes, data: bytes) -> statistics.Confidence:
    """How likely an answer is right by its margin, fitted to examples."""
    return statistics.calibrate(answers(image, data).margin, right(image, data))


@measure
def calibration_error(image: bytes, fitted: bytes, data: bytes) -> float:
    """Expected calibration error on `data` of the confidence fitted to other examples."""
    chance = confidence(image, fitted).of(answers(image, data).margin)
    return statistics.calibration_error(chance, right(image, data))


@measure
def self_knowledge(image: bytes, fitted: bytes, data: bytes) -> float:
    """One less that error."""
    return 1 - calibration_error(image, fitted, data)


@measure
def brier(image: bytes, fitted: bytes, data: bytes) -> float:
    """Brier score of that confidence."""
    chance = confidence(image, fitted).of(answers(image, data).margin)
    return float(np.mean((chance - right(image, data)) ** 2))


@measure
def accuracy_covered(image: bytes, fitted: bytes, data: bytes, coverage: float = 0.8) -> float:
    """Accuracy among the share of items that is answered with the highest confidence."""
    chance = confidence(image, fitted).of(answers(image, data).margin)
    return statistics.coverage_accuracy(chance, right(image, data), coverage)


@measure
def abstained(image: bytes, fitted: bytes, data: bytes, least: float = 0.5) -> float:
    """Share of items whose confidence is below `least`."""
    return float(np.mean(confidence(image, fitted).of(answers(image, data).margin) < least))


@measure
def solved_of_all(image: bytes, suite: str, names: Sequence[str], count: int, seed: int) -> float:
    """Share of several tasks' episodes that reach their goal."""
    return float(np.mean([solved(image, suite, name, count, seed) for name in names]))


@measure
def smape(image: bytes, data: bytes, numbers: Sequence[float]) -> float:
    """Symmetric mean absolute percentage error, 0..2, of answers that stand for numbers; no answer: 2."""
    found, label = answers(image, data).answer, examples_of(data).label
    value = np.array(numbers, np.float64)
    of = np.abs(value[found]) + np.abs(value[label])
    error = np.divide(2 * np.abs(value[found] - value[label]), of, out=np.zeros(len(label)), where=of > 0)
    return float(np.mean(np.where(found < 0, 2.0, error)))


@measure
def loss(master: bytes, data: bytes) -> float:
    """Mean cross-entropy of a master's counts, in nats, as the trainer has it."""
    found = train.test(train.of(master_of(master), "master"), examples_of(data))
    return found.loss


@measure
def loss_reduction(after: bytes, before: bytes, data: bytes) -> float:
    """Share of a master's loss that another has not any more; of no loss: 0."""
    base = loss(before, data)
    return 1 - loss(after, data) / base if base else 0.0

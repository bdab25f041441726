"""objects -> metrics: every number that the forge logs is one of these functions, of (objects, parameters) alone.

`forge validate --recompute` calls them again with what a metric's row names. Objects are bytes: images, masters
(connectomes), examples (npz with `raw` int32 (items, samples, channels), `label` int64 (items,)) and JSON.
"""

from __future__ import annotations

import hashlib
import io
import json
from collections import OrderedDict
from collections.abc import Callable, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from espike_sim import connectome, npzfile
from espike_sim.connectome import Connectome
from espike_sim.errors import EspikeError
from espike_sim.host import ImageView

from .. import costs, loads, train, transfer, work
from ..boards import Board, boards
from . import behaviour, merge, shrink, statistics, tasks
from .contracts import Value
from .subject import Answers, Subject

I32 = NDArray[np.int32]
Bool = NDArray[np.bool_]
MEASURES: dict[str, Callable[..., Value]] = {}
"""By the name that a metric's row has."""


F = TypeVar("F", bound=Callable[..., Value])


def measure(function: F) -> F:
    """A function that metrics may name."""
    MEASURES[function.__name__] = function
    return function


# ---- objects


def examples_bytes(examples: train.Examples) -> bytes:
    """Examples as an object; the same examples, the same bytes."""
    made = io.BytesIO()
    np.savez_compressed(made, raw=examples.raw.astype("<i4"), label=examples.label.astype("<i8"))
    return made.getvalue()


def examples_of(data: bytes) -> train.Examples:
    """Raises: EspikeError where the bytes are no examples."""
    try:
        with np.load(io.BytesIO(data), allow_pickle=False) as file:
            return train.Examples(file["raw"].astype(np.int32), file["label"].astype(np.int64))
    except (KeyError, *npzfile.UNREADABLE):
        raise EspikeError("is no object of examples") from None


def master_bytes(c: Connectome) -> bytes:
    """A connectome as an object."""
    with TemporaryDirectory() as folder:
        path = Path(folder) / "master.npz"
        connectome.save(c, path)
        return path.read_bytes()


def master_of(data: bytes) -> Connectome:
    """Raises: EspikeError where the bytes are no connectome."""
    with TemporaryDirectory() as folder:
        path = Path(folder) / "master.npz"
        path.write_bytes(data)
        return connectome.load(path)


_known: OrderedDict[tuple[str, str, tuple[int, ...]], Answers] = OrderedDict()
_KNOWN_MOST = 64


def answers(image: bytes, data: bytes, of: Sequence[int] = ()) -> Answers:
    """What an image answers to examples; `of`: the answers that count, none: all."""
    key = hashlib.sha256(image).hexdigest(), hashlib.sha256(data).hexdigest(), tuple(of)
    found = _known.get(key)
    if found is None:
        with Subject(image) as subject:
            found = subject.answers(examples_of(data).raw, of or None)
        _known[key] = found
        while len(_known) > _KNOWN_MOST:
            _known.popitem(last=False)
    _known.move_to_end(key)
    return found


def right(image: bytes, data: bytes, of: Sequence[int] = ()) -> Bool:
    """bool (items,): is the answer the label?"""
    found: Bool = answers(image, data, of).answer == examples_of(data).label
    return found


# ---- how well it answers


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


# ---- in a closed loop


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


# ---- confidence


def confidence(image: bytes, data: bytes) -> statistics.Confidence:
    """How likely an answer is right by its margin, fitted to examples."""
    return statistics.calibrate(answers(image, data).margin, right(image, data))


@measure
def calibration_error(image: bytes, fitted: bytes, data: bytes) -> float:
    """Expected calibration error on `data` of the confidence fitted to other examples."""
    chance = confidence(image, fitted).of(answers(image, data).margin)
    return statistics.calibration_error(chance, right(image, data))


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


# ---- what it takes


@measure
def byte_count(data: bytes) -> int:
    """Bytes of an object."""
    return len(data)


@measure
def bytes_per_synapse(image: bytes) -> float:
    """Bytes of an image per synapse."""
    return len(image) / max(1, ImageView(image).synapses)


@measure
def ratio_to_rows(image: bytes, master: bytes, each: int = 12) -> float:
    """`each` bytes for every synapse of a master, divided by the bytes of an image."""
    return each * master_of(master).synapses / len(image)


@measure
def row_bytes(master: bytes, each: int) -> int:
    """Bytes of a master's synapses at so many each."""
    return each * master_of(master).synapses


@measure
def transfer_ratio(image: bytes) -> float:
    """Bytes of an image, divided by those of its transfer container."""
    return len(image) / len(transfer.encode(image))


@measure
def size_ratio(before: bytes, after: bytes) -> float:
    """Bytes of one object, divided by those of another."""
    return len(before) / len(after)


@measure
def synapse_count(master: bytes) -> int:
    """Synapses of a master."""
    return master_of(master).synapses


@measure
def neuron_count(master: bytes) -> int:
    """Neurons of a master."""
    return master_of(master).neurons


@measure
def neurons_removed(after: bytes, before: bytes) -> int:
    """Neurons that a master has not any more."""
    return master_of(before).neurons - master_of(after).neurons


@measure
def synapses_removed(after: bytes, before: bytes) -> int:
    """Synapses that a master has not any more."""
    return master_of(before).synapses - master_of(after).synapses


@measure
def share_removed(after: bytes, before: bytes) -> float:
    """Share of neurons that a master has not any more, of those that senses do not name."""
    a, b = master_of(after), master_of(before)
    inner = b.neurons - int(np.count_nonzero(shrink.held(b)))
    return (b.neurons - a.neurons) / inner if inner else 0.0


@measure
def opens(image: bytes) -> bool:
    """Is an image whole, and its network one that can be presented samples?"""
    try:
        with Subject(image):
            return True
    except EspikeError:
        return False


@measure
def parameter_count(master: bytes) -> int:
    """Weights, and biases that are not 0, of a master."""
    c = master_of(master)
    return c.synapses + int(np.count_nonzero(c.bias))


@measure
def sparsity(master: bytes) -> float:
    """Share of a master's weights that are 0."""
    c = master_of(master)
    return float(np.mean(c.weight == 0)) if c.synapses else 0.0


@measure
def ram_bytes(image: bytes) -> int:
    """RAM that the engine needs."""
    return ImageView(image).ram_bytes


@measure
def instructions(image: bytes, data: bytes, table: str = "rv32imc") -> float:
    """Mean instructions of a burst, as planned, at the rate at which the network fires on examples."""
    view = ImageView(image)
    shape = work.read(view)
    return float(costs.load(table).price(work.counts(shape, loads.expected(shape, firing_rate(image, data)))))


@measure
def speedup(image: bytes, other: bytes, data: bytes, table: str = "rv32imc") -> float:
    """Instructions of a burst of another image, divided by those of this, each at its own rate."""
    return instructions(other, data, table) / instructions(image, data, table)


@measure
def burst_us(image: bytes, data: bytes, board: str) -> float:
    """Microseconds of a burst on a board, as planned, at that rate; 0 where its pace is not known."""
    known = board_of(board)
    cycles, table = known.data.get("cycles_per_instruction"), known.data.get("costs")
    if cycles is None or table is None:
        return 0.0
    return float(instructions(image, data, table) * cycles * 1e6 / known.data["clock_hz"])


def board_of(name: str) -> Board:
    """Raises: EspikeError where there is no such board."""
    known = boards()
    if name not in known:
        raise EspikeError(f"there is no board {name!r}", do="use " + ", ".join(sorted(known)))
    return known[name]


@measure
def fits(image: bytes, board: str, spare: int = 0, flash: int | None = None, ram: int | None = None) -> bool:
    """Does the image fit a board's slot, and its network the RAM, with some to spare? flash, ram: other limits."""
    known = board_of(board)
    slot, arena = known.slot_bytes if flash is None else flash, known.ram_bytes if ram is None else ram
    room = arena is None or ImageView(image).ram_bytes + spare <= arena
    return room and (slot is None or len(image) <= slot)


# ---- what it does

RATE_ITEMS = 100


@measure
def firing_rate(image: bytes, data: bytes, items: int = RATE_ITEMS) -> float:
    """Spikes per neuron and burst over the first items."""
    raw = examples_of(data).raw[:items]
    with Subject(image) as subject:
        spikes = sum(subject.live([one]).spikes for one in raw)
        return spikes / max(1, subject.network.neurons * subject.senses.bursts * len(raw))


@measure
def rate_drift(after: bytes, before: bytes, data: bytes) -> float:
    """How far the rate of an image is from another's, as a share of it."""
    base = firing_rate(before, data)
    return abs(firing_rate(after, data) - base) / base if base else 0.0


@measure
def branching(image: bytes, data: bytes, trials: int = 200, seed: int = 0) -> float:
    """Branching ratio by twin runs."""
    with Subject(image) as subject:
        return behaviour.twins(subject, list(examples_of(data).raw[:RATE_ITEMS]), trials, seed)


@measure
def branching_drift(after: bytes, before: bytes, data: bytes, trials: int = 200, seed: int = 0) -> float:
    """How far the branching ratio of an image is from another's."""
    return abs(branching(after, data, trials, seed) - branching(before, data, trials, seed))


@measure
def state_hash(image: bytes, data: bytes, bursts: int) -> str:
    """The hash of the state after so many bursts of examples in a row, in hexadecimal."""
    raw = examples_of(data).raw
    with Subject(image) as subject:
        subject.live([raw[i % len(raw)] for i in range(-(-bursts // subject.senses.bursts))])
        first, second = subject.host.state_hash
    return f"{first:08x}{second:08x}"


@measure
def multistep(image: bytes, data: bytes, bursts: int = 20_000) -> float:
    """Branching parameter by multistep regression over so many bursts of examples in a row."""
    raw = examples_of(data).raw
    with Subject(image) as subject:
        count = -(-bursts // subject.senses.bursts)
        ledger = subject.live([raw[i % len(raw)] for i in range(count)])
    return behaviour.multistep(ledger.counts())


@measure
def violations(image: bytes, invariant: str, trials: int, seed: int, limits: dict[str, float] | None = None) -> int:
    """How often an invariant was violated."""
    return _invariant(image, invariant, trials, seed, limits).violations


@measure
def invariant_margin(
    image: bytes, invariant: str, trials: int, seed: int, limits: dict[str, float] | None = None
) -> float:
    """How far the worst trial is from the limit, as a share of it."""
    return _invariant(image, invariant, trials, seed, limits).margin


def _invariant(image: bytes, name: str, trials: int, seed: int, limits: dict[str, float] | None) -> behaviour.Invariant:
    key = hashlib.sha256(image).hexdigest(), trials, seed, json.dumps(limits, sort_keys=True)
    if key not in _judged:
        with Subject(image) as subject:
            some = behaviour.Limits(**(limits or {}))  # type: ignore[arg-type]
            _judged[key] = {i.name: i for i in behaviour.invariants(subject, some, trials, seed)}
    return _judged[key][name]


_judged: dict[tuple[str, int, int, str], dict[str, behaviour.Invariant]] = {}
INVARIANTS = ("bounded_output", "quiet_when_idle", "recovers", "fails_safe")


@measure
def consistency(image: bytes, seeds: int = 10) -> float:
    """Least similarity of a network's fingerprint to that on other probes."""
    with Subject(image) as subject:
        prints = [behaviour.fingerprint(subject, seed) for seed in range(seeds)]
    return min(behaviour.similarity(prints[0], other) for other in prints[1:])


@measure
def likeness(a: bytes, b: bytes, seed: int = 0) -> float:
    """Similarity of two networks' fingerprints on the same probes."""
    with Subject(a) as one, Subject(b) as other:
        return behaviour.similarity(behaviour.fingerprint(one, seed), behaviour.fingerprint(other, seed))


# ---- of several


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


@measure
def grokked(*histories: bytes) -> bool:
    """Did validation accuracy jump after training accuracy was full, over the epochs of some trainings in a row?"""
    found = [json.loads(history) for history in histories]
    learned, validated = ([a for one in found for a in one[name]] for name in ("accuracies", "validation"))
    return statistics.grokking(learned, validated) is not None


@measure
def stacked(strength: float, updates: int) -> float:
    """What remains of an update that is applied in part again and again: 1 - (1 - strength)^updates."""
    return float(1 - (1 - strength) ** updates)

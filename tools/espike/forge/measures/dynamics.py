"""What a network does: rates, branching, invariants, its fingerprint."""

from __future__ import annotations

import hashlib
import json

import numpy as np
from numpy.typing import NDArray

from .. import behaviour
from ..subject import Subject
from .base import examples_of, measure

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
def spike_count(image: bytes, data: bytes, bursts: int) -> int:
    """Spikes in so many bursts of examples in a row."""
    raw = examples_of(data).raw
    with Subject(image) as subject:
        count = -(-bursts // subject.senses.bursts)
        return int(subject.live([raw[i % len(raw)] for i in range(count)]).spikes)


@measure
def rates_off(image: bytes, data: bytes, most: float) -> float:
    """Share of the neurons behind the encoders that are silent on examples, or fire in more than `most` of bursts."""
    with Subject(image) as subject:
        found = rates(subject, examples_of(data).raw[:RATE_ITEMS])[subject.inner]
    return float(np.mean((found == 0) | (found > most))) if len(found) else 0.0


def rates(subject: Subject, raw: NDArray[np.int32]) -> NDArray[np.float64]:
    """float64 (neurons,): spikes per burst of each neuron over examples."""
    ids = np.concatenate([subject.live([one]).ids for one in raw])
    return np.bincount(ids, minlength=subject.network.neurons) / (subject.senses.bursts * len(raw))


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
def critical_gain(image: bytes, data: bytes, bursts: int = 20_000) -> float:
    """The factor for weights by which that parameter would be near 1, 0.5..2."""
    m = multistep(image, data, bursts)
    return float(np.clip(1 / m, 0.5, 2.0)) if m > 0 else 2.0


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
    """Least similarity of a network's fingerprint to that on probes with other noise."""
    with Subject(image) as subject:
        prints = [behaviour.fingerprint(subject, seed) for seed in range(seeds)]
    return min(behaviour.similarity(prints[0], other) for other in prints[1:])


@measure
def likeness(a: bytes, b: bytes, seed: int = 0) -> float:
    """Similarity of two networks' fingerprints on the same probes."""
    with Subject(a) as one, Subject(b) as other:
        return behaviour.similarity(behaviour.fingerprint(one, seed), behaviour.fingerprint(other, seed))

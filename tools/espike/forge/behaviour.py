"""image -> how its network behaves: invariants that hold for any input, and how far one more spike gets.

The branching ratio is measured twice. By twins: the same run with one spike more, and how many firing decisions differ
a burst later, per decision that differed before. From the outside: the multistep regression of Wilting and Priesemann
(2018), which sees only how many neurons fire: r_k, the slope of A(t + k) over A(t), is b m^k.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from espike_sim.engine import CodedStimulus
from espike_sim.ledger import Ledger
from espike_sim.sensing import ends, idle

from .subject import I32, Subject

F64 = NDArray[np.float64]


@dataclass(frozen=True)
class Limits:
    """What a network may do."""

    duty_most: float = 1.0
    """Share of bursts in which an answering neuron fires, over a presentation."""
    rate_most: float = 0.6
    """Spikes per neuron and burst, over a presentation, of neurons that no encoder stimulates."""
    idle_rate_most: float = 0.02
    """The same while nothing is sensed."""
    recovery_bursts: int = 50
    """After everything was at its highest, until the idle rate is kept again."""


@dataclass(frozen=True)
class Invariant:
    """One of four, and how often it was violated."""

    name: str
    violations: int
    trials: int
    margin: float
    """How far the worst trial is from the limit, as a share of the limit; below 0: violated."""


def invariants(subject: Subject, limits: Limits, trials: int, seed: int) -> tuple[Invariant, ...]:
    """Bounded output, quiet when idle, recovers, fails safe: on `trials` random inputs of all kinds."""
    rng = np.random.default_rng([seed, 0x1A])
    raws = random_inputs(subject, trials, rng)
    return (
        _bounded(subject, limits, raws),
        _quiet(subject, limits),
        _recovers(subject, limits, raws[: max(1, trials // 10)]),
        _fails_safe(subject, limits, raws[: max(1, trials // 10)], rng),
    )


def random_inputs(subject: Subject, count: int, rng: np.random.Generator) -> list[I32]:
    """int32 (samples, channels) each: noise, steps, ramps, everything at an end, between the encoders' ends."""
    senses = subject.senses
    low, high = (end.astype(np.float64) for end in ends(senses))
    shape = (senses.samples, senses.channels)
    made = []
    for number in range(count):
        kind = number % 5
        share = rng.random(shape)
        if kind == 1:
            share = np.round(share)
        elif kind == 2:
            share = np.broadcast_to(rng.random((1, senses.channels)), shape)
        elif kind == 3:
            share = np.abs(np.linspace(0, 1, senses.samples)[:, None] - np.round(rng.random((1, senses.channels))))
        elif kind == 4:
            share = np.full(shape, float(number // 5 % 2))
        made.append(np.floor(low + share * (high - low)).astype(np.int32))
    return made


def noisy(subject: Subject, raws: I32, share: float, rng: np.random.Generator) -> I32:
    """int32, as raws (inputs, samples, channels): each value moved, by at most that share of the encoders' span."""
    low, high = (end.astype(np.int64) for end in ends(subject.senses))
    reach = np.maximum(1, np.rint(share * (high - low))).astype(np.int64)
    made = raws + rng.integers(-reach, reach + 1, raws.shape)
    found: I32 = np.clip(made, np.iinfo(np.int32).min, np.iinfo(np.int32).max).astype(np.int32)
    return found


def _bounded(subject: Subject, limits: Limits, raws: Sequence[I32]) -> Invariant:
    part, bursts = subject.answering, subject.senses.bursts
    worst = []
    for raw in raws:
        ledger = subject.live([raw])
        count = np.bincount(ledger.ids, minlength=ledger.neurons)
        duty, rate = float(count[part].max()) / bursts, float(count[subject.inner].mean()) / bursts
        worst.append(max(duty / limits.duty_most, rate / limits.rate_most))
    return _judged("bounded_output", worst)


def _quiet(subject: Subject, limits: Limits) -> Invariant:
    rates = _rates(subject, [_still(subject)] * 4)
    return _judged("quiet_when_idle", [rate / limits.idle_rate_most for rate in rates])


RECOVERED = 1.2
"""Times the rate at rest, at which a network counts as back there."""


def _recovers(subject: Subject, limits: Limits, raws: Sequence[I32]) -> Invariant:
    """From each input, and from everything at its highest, back in time to the idle rate, or near to what it was."""
    bursts, still = subject.senses.bursts, _still(subject)
    waits = -(-limits.recovery_bursts // bursts)
    most = max(limits.idle_rate_most, RECOVERED * _rates(subject, [still] * (waits + 2))[-1])
    full = np.broadcast_to(ends(subject.senses)[1], still.shape).astype(np.int32)
    worst = []
    for raw in [full, *raws]:
        rates = _rates(subject, [raw, *[still] * (waits + 1)])
        worst.append(rates[-1] / most)
    return _judged("recovers", worst)


def _fails_safe(subject: Subject, limits: Limits, raws: Sequence[I32], rng: np.random.Generator) -> Invariant:
    """With sensors that hang at an end, or are gone, answering neurons keep to their duty; all gone: to idle rates."""
    part, bursts, senses = subject.answering, subject.senses.bursts, subject.senses
    worst = []
    for number, raw in enumerate(raws):
        stuck = rng.random(senses.channels) < 0.5
        value = ends(senses)[number % 2] if number % 3 else idle(senses)
        count = _answer_counts(subject, np.where(stuck, value, raw).astype(np.int32))
        worst.append(float(count.max()) / bursts / limits.duty_most)
    gone = _answer_counts(subject, _still(subject))
    worst.append(float(gone.max()) / bursts / limits.idle_rate_most)
    assert part.stop > part.start
    return _judged("fails_safe", worst)


def _answer_counts(subject: Subject, raw: I32) -> NDArray[np.int64]:
    ledger = subject.live([raw])
    return np.bincount(ledger.ids, minlength=ledger.neurons)[subject.answering].astype(np.int64)


def _still(subject: Subject) -> I32:
    shape = (subject.senses.samples, subject.senses.channels)
    return np.broadcast_to(idle(subject.senses), shape).astype(np.int32)


def _rates(subject: Subject, raws: Sequence[I32]) -> list[float]:
    """Spikes per neuron and burst of each of presentations in a row, of neurons that no encoder stimulates."""
    ledger, bursts, inner = subject.live(raws), subject.senses.bursts, subject.inner
    number = (ledger.burst_of_spike() - ledger.first_burst) // bursts
    spikes = np.bincount(number[inner[ledger.ids]], minlength=len(raws))
    decisions = max(1, int(np.count_nonzero(inner))) * bursts
    return [float(n) / decisions for n in spikes]


def _judged(name: str, worst: Sequence[float]) -> Invariant:
    """`worst`: per trial what it reached, as a share of the limit."""
    return Invariant(name, int(sum(value > 1 for value in worst)), len(worst), 1 - max(worst))


# ---- how far a spike gets


def twins(subject: Subject, raws: Sequence[I32], trials: int, seed: int) -> float:
    """The branching ratio by twin runs: one neuron fires that would not, in a burst of a presentation.

    Over trials, the firing decisions that differ a burst later over those that differ in the burst itself.
    """
    rng = np.random.default_rng([seed, 0x7E])
    now = later = 0
    bursts = subject.senses.bursts
    for _ in range(trials):
        raw = raws[int(rng.integers(len(raws)))]
        neuron, burst = int(rng.integers(subject.network.neurons)), int(rng.integers(1, max(2, bursts)))
        given = subject.given(raw)
        a, b = _run(subject, given), _run(subject, _with_spike(subject, given, burst, neuron))
        here = np.setxor1d(a.fired(burst), b.fired(burst))
        if burst < bursts and len(here):
            now += len(here)
            later += len(np.setxor1d(a.fired(burst + 1), b.fired(burst + 1)))
    return later / now if now else 0.0


def _run(subject: Subject, given: CodedStimulus) -> Ledger:
    subject.host.reset(track_potentials=False)
    return subject.host.run(subject.senses.bursts, given)


def _with_spike(subject: Subject, given: CodedStimulus, burst: int, neuron: int) -> CodedStimulus:
    """The same stimulus, in which a neuron is given the most that its area takes."""
    most = subject.network.stimulus_limit[subject.network.area_of_neuron[neuron]]
    kept = ~((given.burst == burst) & (given.neuron == neuron))
    bursts, neurons = np.append(given.burst[kept], burst), np.append(given.neuron[kept], np.uint32(neuron))
    values = np.append(given.value[kept], most).astype(given.value.dtype)
    order = np.lexsort((neurons, bursts))
    return CodedStimulus(bursts[order], neurons[order].astype(np.uint32), values[order])


def multistep(activity: NDArray[np.integer] | F64, steps: int = 40) -> float:
    """m of r_k = b m^k, fitted to the slopes of activity k bursts later; activity: (bursts,), long.

    k goes from 1 to `steps`, or until slopes are no more than chance makes them (3 standard errors), but to 3 at least;
    m is 0..1.2 by least squares, b free. A constant activity: 0.
    """
    a = np.asarray(activity, np.float64)
    if len(a) <= steps + 1 or not np.ptp(a):
        return 0.0
    ks = np.arange(1, steps + 1)
    r = np.array([_slope(a[:-k], a[k:]) for k in ks])
    chance = np.flatnonzero(np.abs(r) < 3 / np.sqrt(len(a)))
    ks = ks[: max(3, int(chance[0]) if len(chance) else steps)]
    r = r[: len(ks)]
    found = 0.6
    for width in (0.6, 0.03, 0.0015):
        grid = np.clip(np.linspace(found - width, found + width, 61), 0, 1.2)
        powers = grid[:, None] ** ks
        b = (powers @ r) / np.maximum((powers**2).sum(axis=1), 1e-300)
        found = float(grid[np.argmin(((r - b[:, None] * powers) ** 2).sum(axis=1))])
    return found


def _slope(x: F64, y: F64) -> float:
    x = x - x.mean()
    square = float(x @ x)
    return float(x @ (y - y.mean())) / square if square else 0.0


# ---- a fingerprint


WEIGHTS = {"neurons": 3.0, "distances": 2.0, "rates": 1.0, "gaps": 0.5, "latency": 0.25}
"""Of a fingerprint's parts in the similarity: gaps and latency are few numbers, which noise moves most."""
PROBE_NOISE = 1 / 16
"""Of the span between the encoders' ends, to either side."""


def fingerprint(subject: Subject, seed: int, probes: int = 16) -> F64:
    """float64: rates, gaps between spikes, how soon it answers, and how unlike its responses to probes are.

    Of neurons behind the encoders, as far as rates and responses go: what encoders give is the same for any network.
    Probes are the same for every seed, but for noise that is drawn from it.
    """
    same = np.array(random_inputs(subject, probes, np.random.default_rng(0xF1)))
    shown = noisy(subject, same, PROBE_NOISE, np.random.default_rng([seed, 0xF1]))
    ledgers = [subject.live([raw]) for raw in shown]
    bursts, neurons = subject.senses.bursts, subject.network.neurons
    counts = np.array([np.bincount(ledger.ids, minlength=neurons)[subject.inner] for ledger in ledgers]) / bursts
    rates = np.histogram(counts.mean(axis=0), bins=10, range=(0, 1))[0] / neurons
    gaps = np.array([_gap_variation(ledger) for ledger in ledgers])
    latency = np.array([_latency(ledger, subject.answering, bursts) for ledger in ledgers])
    norm = np.linalg.norm(counts, axis=1)
    distance = np.linalg.norm(counts[:, None] - counts[None], axis=2) / np.maximum(norm[:, None] + norm[None], 1e-9)
    parts = {
        "neurons": counts.mean(axis=0), "distances": distance[np.triu_indices(probes, 1)], "rates": rates,
        "gaps": gaps, "latency": latency,
    }  # fmt: skip
    return np.concatenate([np.sqrt(WEIGHTS[name]) * _unit(part) for name, part in parts.items()])


def similarity(a: F64, b: F64) -> float:
    """Cosine of two fingerprints, each part's mean taken out: 1 the same, 0 unrelated."""
    if len(a) != len(b) or not np.any(a) or not np.any(b):
        return float(len(a) == len(b) and np.array_equal(a, b))
    return float(a @ b / (np.linalg.norm(a) * np.linalg.norm(b)))


def _unit(part: F64) -> F64:
    centred = np.asarray(part, np.float64) - np.mean(part)
    length = np.linalg.norm(centred)
    return centred / length if length else centred


def _gap_variation(ledger: Ledger) -> float:
    """Mean over neurons of the coefficient of variation of the bursts between spikes; 0 where none fires thrice."""
    burst = ledger.burst_of_spike()
    order = np.lexsort((burst, ledger.ids))
    ids, at = ledger.ids[order], burst[order]
    inside = np.diff(ids) == 0
    gaps, of = np.diff(at)[inside].astype(np.float64), ids[1:][inside]
    if not len(gaps):
        return 0.0
    count = np.bincount(of)
    mean = np.bincount(of, weights=gaps) / np.maximum(count, 1)
    square = np.bincount(of, weights=gaps**2) / np.maximum(count, 1)
    enough = count >= 2
    deviation = np.sqrt(np.maximum(square - mean**2, 0))
    return float(np.mean(deviation[enough] / mean[enough])) if np.any(enough) else 0.0


def _latency(ledger: Ledger, answering: slice, bursts: int) -> float:
    """The share of a presentation before an answering neuron fires; 1: none does."""
    fires = (ledger.ids >= answering.start) & (ledger.ids < answering.stop)
    at = ledger.burst_of_spike()[fires]
    return float(at.min() - ledger.first_burst) / bursts if len(at) else 1.0

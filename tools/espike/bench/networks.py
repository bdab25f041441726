"""recipe -> quantized connectome: the networks that the bench measures on, the same on every machine."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from espike_sim import procedural
from espike_sim.connectome import Area
from espike_sim.engine import CodedStimulus
from espike_sim.generator import Generator
from espike_sim.quantized import ALWAYS, NO_LIMIT, NUMBER_TYPES, Projection, QuantizedConnectome

I64 = NDArray[np.int64]
Synapses = tuple[I64, I64, I64]
"""source, target, weight code; sorted by source, then target"""


@dataclass(frozen=True)
class Neurons:
    """Parameters that all neurons of a network share, in weight codes and bursts."""

    threshold: int = 1016
    leak: float = 1 / 16
    refractory: int = 0
    fire_limit: int = 0
    snooze: int = 0
    stimulus_limit: int = 2047


def network(
    count: int,
    synapses: Synapses,
    neurons: Neurons,
    *,
    precision: str = "int8",
    candidates_only: bool = False,
    drive: I64 | None = None,
) -> QuantizedConnectome:
    """One area of `count` equal neurons; drive: int64 (count,), power of each neuron in codes, 0 = none."""
    types, whole = NUMBER_TYPES[precision], precision == "int8"
    source, target, weight = synapses
    power = np.zeros(count, np.int64) if drive is None else drive
    powered = np.flatnonzero(power)

    def each(value: float, dtype: str) -> NDArray[Any]:
        return np.full(count, value, dtype)

    return QuantizedConnectome(
        precision=precision,
        candidates_only=candidates_only,
        areas=(Area("net", "net", "custom", (count, 1, 1), 1, 0, True),),
        projections=(Projection(0, 0, "random"),),
        guard_bits=np.zeros(1, np.uint8),
        scale=np.ones(1),
        stimulus_limit=np.array([neurons.stimulus_limit], types.input),
        threshold=each(neurons.threshold, types.potential),
        limit=each(NO_LIMIT if whole else np.inf, types.potential),
        retained=each((1 - neurons.leak) * (32768 if whole else 1), types.retained),
        refractory=each(neurons.refractory, "<u2"),
        fire_limit=each(neurons.fire_limit, "<u2"),
        snooze=each(neurons.snooze, "<u2"),
        fire_draw=each(ALWAYS, "<u4"),
        projection_start=np.array([0, len(source)], np.int64),
        source=source.astype(np.uint32),
        target=target.astype(np.uint32),
        weight=weight.astype(types.weight),
        power_neuron=powered.astype(np.uint32),
        power_value=power[powered].astype(types.input),
    )


NO_SYNAPSES: Synapses = (np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros(0, np.int64))


def random_rows(count: int, fan_out: int, weights: tuple[int, int], seed: int) -> Synapses:
    """`fan_out` random targets for each of `count` neurons, weights uniform in weights[0]..weights[1]."""
    rng = np.random.default_rng(seed)
    target = np.sort(rng.integers(0, count, (count, fan_out)), axis=1).reshape(-1)
    weight = rng.integers(weights[0], weights[1] + 1, count * fan_out)
    return np.repeat(np.arange(count, dtype=np.int64), fan_out), target, weight


def normal_rows_network(changed: float = 0) -> QuantizedConnectome:
    """1,000 neurons with 64 random targets each and weights from a normal distribution over all codes.

    changed: the share of weights that are drawn anew.
    """
    source, target, _ = random_rows(1000, 64, (0, 0), seed=1)
    return network(1000, (source, target, _normal_weights(len(source), changed)), Neurons())


def layered_network(changed: float = 0) -> QuantizedConnectome:
    """Layers of 64, 32 and 10 neurons, all to all: the shape of a small classifier of digits; weights as above."""
    first, second = np.mgrid[0:64, 64:96].reshape(2, -1), np.mgrid[64:96, 96:106].reshape(2, -1)
    source, target = np.concatenate([first, second], axis=1)
    return network(106, (source, target, _normal_weights(len(source), changed)), Neurons())


def _normal_weights(count: int, changed: float) -> I64:
    drawn = np.random.default_rng(2).normal(0, 32, count)
    again = np.random.default_rng(3)
    drawn = np.where(again.random(count) < changed, again.normal(0, 32, count), drawn)
    return np.clip(np.round(drawn), -127, 127).astype(np.int64)


def rows_network(
    kind: str, count: int, fan_out: int, neurons: Neurons, *, candidates_only: bool = False
) -> QuantizedConnectome:
    """The network of a row codec: `fan_out` random targets for each of `count` neurons; dense: all pairs of `fan_out`.

    kind: d8w8, uniform (one weight per row), d8w4 and b53 (16 and 8 distinct weights), dense8 or procedural.
    """
    if kind == "dense8":
        ids = np.arange(fan_out, dtype=np.int64)
        weight = np.random.default_rng(1).integers(-100, 101, fan_out * fan_out)
        synapses = np.repeat(ids, fan_out), np.tile(ids, fan_out), weight
        return network(fan_out, synapses, neurons, candidates_only=candidates_only)
    if kind == "procedural":
        rule = Generator(1, fan_out, tuple(range(-75, 85, 10)))
        source, target, drawn = procedural.synapses(rule.seed, count, fan_out, count, rule.levels)
        q = network(count, (source, target, drawn.astype(np.int64)), neurons, candidates_only=candidates_only)
        return replace(q, projections=(replace(q.projections[0], generator=rule),))
    weights = {"d8w8": (-100, 100), "uniform": (5, 40), "d8w4": (-8, 7), "b53": (-4, 3)}[kind]
    source, target, weight = random_rows(count, fan_out, weights, seed=1)
    weight = np.repeat(weight[::fan_out], fan_out) if kind == "uniform" else weight
    return network(count, (source, target, weight), neurons, candidates_only=candidates_only)


@dataclass(frozen=True)
class PeerNetwork:
    """A self-driven network of 80 % excitatory (10..30) and 20 % inhibitory (-40..-120) neurons, threshold 1016."""

    count: int
    synapses: int
    fan_out: int
    """Of every neuron; 0: sources are drawn, so that fan-outs differ."""
    drive: tuple[int, int]
    """Lowest and highest power of a neuron; from 64 on it fires without input."""

    @property
    def about(self) -> str:
        """Its size in words."""
        return f"{self.count:,} neurons, {self.synapses:,} synapses"


PEERS = {
    "1k_50k": PeerNetwork(1_000, 50_000, 50, (48, 76)),
    "10k_1m": PeerNetwork(10_000, 1_000_000, 100, (57, 68)),
    "22590_500k": PeerNetwork(22_590, 500_000, 0, (56, 66)),
    "22590_500k_busy": PeerNetwork(22_590, 500_000, 0, (74, 95)),
    "100k_10m": PeerNetwork(100_000, 10_000_000, 100, (57, 68)),
    "1200k_12m": PeerNetwork(1_200_000, 12_000_000, 10, (58, 66)),
}
PEER_NEURONS = Neurons(threshold=1016, leak=1 / 16, refractory=2)


def peer_synapses(p: PeerNetwork, rng: np.random.Generator) -> Synapses:
    """The synapses of a peer network; a pair may have several."""
    if p.fan_out:
        source = np.repeat(np.arange(p.count, dtype=np.int64), p.fan_out)
    else:
        source = np.sort(rng.integers(0, p.count, p.synapses))
    order = np.sort(source << 32 | rng.integers(0, p.count, p.synapses))
    excites = rng.random(p.count) < 0.8
    weight = np.where(excites[source], rng.integers(10, 31, p.synapses), -rng.integers(40, 121, p.synapses))
    return order >> 32, order & 0xFFFFFFFF, weight


def peer_network(name: str, precision: str = "int8") -> QuantizedConnectome:
    """One of PEERS, in every-neuron mode, with its drive as power."""
    p = PEERS[name]
    rng = np.random.default_rng(p.count)
    synapses = peer_synapses(p, rng)
    drive = rng.integers(p.drive[0], p.drive[1] + 1, p.count)
    return network(p.count, synapses, PEER_NEURONS, precision=precision, drive=drive)


def start_stimulus(q: QuantizedConnectome) -> CodedStimulus:
    """Start potentials of a peer network: one entry per neuron in burst 1, spread from 0 to below the threshold."""
    value = np.random.default_rng(q.neurons + 1).integers(0, 900, q.neurons)
    ids = np.arange(q.neurons, dtype=np.uint32)
    return CodedStimulus(np.ones(q.neurons, np.int64), ids, value.astype(q.types.input))

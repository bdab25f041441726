"""random networks at fp32 and int8 -> how much of what they do survives quantization.

A recurrent network lets every rounding grow, so there single decisions are compared one burst ahead from equal states,
and rates over a long run; a layered network runs freely.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cache
from typing import Any

import numpy as np

from espike_sim import stimulus
from espike_sim.connectome import Area, Connectome, Mapping
from espike_sim.host import Host, ImageView
from espike_sim.quantized import QuantizedConnectome
from espike_sim.similarity import Similarity, one_burst_ahead, similarity

from ..image import pack
from ..quantize import quantize

AHEAD_BURSTS, RATE_BURSTS = 200, 1500


@dataclass(frozen=True)
class Recipe:
    """A random network with lognormal weights, 20 % of its neurons inhibitory, under a Poisson stimulus."""

    layers: tuple[int, ...]
    """Neurons of each layer; one: a recurrent network."""
    fan_out: int
    sigma: float = 1.0
    """Of the logarithm of a weight."""
    gain: float = 1.0
    """Excitation that a neuron has if all its sources fire at once in a share of `rate` of them, in thresholds."""
    inhibition: float = 4.0
    """Strength of an inhibitory synapse in excitatory ones."""
    leak: float = 0.1
    refractory: int = 2
    rate: float = 0.08
    """Of the stimulus, per neuron and burst; layered: on the first layer."""
    amount: float = 0.6
    """Of the stimulus, in thresholds."""
    one_area: bool = False
    """Recurrent: all neurons in one area, so that weights of both signs share a mapping."""
    spread: float = 0.0
    """Of thresholds: uniform in 1 +- spread."""
    seed: int = 1


NETWORKS = {
    "layered": Recipe((64, 128, 128, 32), 40, gain=0.55, inhibition=2.0, refractory=0, amount=1.0, rate=0.1),
    "100": Recipe((100,), 20, spread=0.4, seed=2),
    "1000": Recipe((1000,), 100, spread=0.4, seed=3),
    "10000": Recipe((10_000,), 100, spread=0.4, seed=4),
}


def connectome(r: Recipe) -> Connectome:
    """The network of a recipe: an area per layer, or excitatory and inhibitory ones; updated in every burst."""
    rng = np.random.default_rng(r.seed)
    recurrent = len(r.layers) == 1
    if recurrent:
        inhibitory = r.layers[0] // 5
        sizes = {"net": r.layers[0]} if r.one_area else {"excite": r.layers[0] - inhibitory, "inhibit": inhibitory}
    else:
        sizes = {f"layer {i}": n for i, n in enumerate(r.layers)}
    first = np.cumsum([0, *sizes.values()])
    areas = tuple(
        Area(name, name, "IPU" if recurrent or not i else "CUSTOM", (n, 1, 1), 1, int(first[i]), True)
        for i, (name, n) in enumerate(sizes.items())
    )
    count = int(first[-1])
    if recurrent:
        inhibits = np.arange(count) >= count - count // 5
        links = [(0, count, 0, count)]
    else:
        inhibits = rng.random(count) < 0.2
        links = [
            (int(first[i]), int(first[i + 1]), int(first[i + 1]), int(first[i + 2])) for i in range(len(areas) - 1)
        ]
    parts = []
    for begin, end, to, stop in links:
        source = np.repeat(np.arange(begin, end), r.fan_out)
        parts.append((source, rng.integers(to, stop, len(source))))
    source, target = (np.concatenate([part[i] for part in parts]) for i in range(2))
    fan_in = (
        r.fan_out if recurrent else r.fan_out * np.mean([a / b for a, b in zip(r.layers, r.layers[1:], strict=False)])
    )
    mean = r.gain / (fan_in * 0.05)
    weight = rng.lognormal(np.log(mean) - r.sigma**2 / 2, r.sigma, len(source)) * 0.25
    weight = np.where(inhibits[source], -r.inhibition, 1.0) * weight
    area_of = np.repeat(np.arange(len(areas)), [area.count for area in areas])
    pair = area_of[source] * len(areas) + area_of[target]
    order = np.lexsort((target, source, pair))
    pairs, starts = np.unique(pair[order], return_index=True)

    def each(value: float, dtype: Any) -> Any:
        return np.full(count, value, dtype)

    return Connectome(
        areas=areas,
        mappings=tuple(Mapping(int(p) // len(areas), int(p) % len(areas), "random") for p in pairs),
        threshold=(1 + r.spread * rng.uniform(-1, 1, count)).astype(np.float32),
        limit=each(np.inf, np.float32),
        leak=each(r.leak, np.float64),
        refractory=each(r.refractory, np.uint16),
        fire_limit=each(0, np.uint16),
        snooze=each(0, np.uint16),
        excitability=each(1, np.float32),
        mapping_start=np.append(starts, len(source)).astype(np.int64),
        source=source[order].astype(np.uint32),
        target=target[order].astype(np.uint32),
        weight=weight[order].astype(np.float32),
        power_neuron=np.zeros(0, np.uint32),
        power_amount=np.zeros(0, np.float32),
        candidates_only=False,
        precision="int8",
    )


@dataclass(frozen=True)
class Fidelity:
    """int8 beside fp32 on one network."""

    ahead: Similarity
    """One burst ahead from equal states."""
    free: Similarity
    """Free running, as many bursts."""
    rate_correlation: float
    """Of neurons, free running over RATE_BURSTS bursts."""
    firing: float
    """Spikes per neuron and burst of fp32."""
    saturations: int


def given(r: Recipe, c: Connectome, bursts: int) -> stimulus.Stimulus:
    """The Poisson stimulus of a recipe."""
    inputs = [area for area in c.areas if area.group == "IPU"]
    return stimulus.merge([stimulus.poisson(area, r.rate, r.amount, bursts, seed=r.seed) for area in inputs])


def measure(r: Recipe, *, ahead_bursts: int = AHEAD_BURSTS, rate_bursts: int = RATE_BURSTS) -> Fidelity:
    """Both precisions of a network under its stimulus."""
    c = connectome(r)
    exact, coded = quantize(c, "fp32"), quantize(c, "int8")
    short = given(r, c, ahead_bursts)
    a, b, saturations = one_burst_ahead(exact, coded, ahead_bursts, short)
    runs = [_run(q, short, ahead_bursts) for q in (exact, coded)]
    rates = [_run(q, given(r, c, rate_bursts), rate_bursts) for q in (exact, coded)]
    long = similarity(*rates).total
    return Fidelity(
        similarity(a, b).total,
        similarity(*runs).total,
        long.rate_correlation or 0.0,
        rates[0].spikes / (c.neurons * rate_bursts),
        saturations,
    )


def _run(q: QuantizedConnectome, entries: stimulus.Stimulus, bursts: int) -> Any:
    engine = Host(ImageView(pack(q).data))
    engine.reset(track_potentials=False)
    return engine.run(bursts, stimulus.code(entries, q))


@cache
def of_network(name: str) -> Fidelity:
    """The figures of one of NETWORKS."""
    return measure(replace(NETWORKS[name]))

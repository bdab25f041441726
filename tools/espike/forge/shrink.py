"""network -> a smaller one: synapses and neurons taken out, what cannot matter folded, channels nobody reads left out.

`fold` and `unread_channels` lose nothing: what is left fires as before. Pruning does, and is made up for by training.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from espike_sim.connectome import Connectome
from espike_sim.senses import Encoder, Senses

F64 = NDArray[np.float64]
I64 = NDArray[np.int64]
Bool = NDArray[np.bool_]


def without_synapses(c: Connectome, gone: Bool) -> Connectome:
    """The network less some synapses; gone: bool (synapses,)."""
    starts = np.concatenate([[0], np.cumsum(~gone)])[c.mapping_start].astype(np.int64)
    kept = ~gone
    return replace(c, mapping_start=starts, source=c.source[kept], target=c.target[kept], weight=c.weight[kept])


def without_neurons(c: Connectome, gone: Bool) -> Connectome:
    """The network less some neurons and all of their synapses, ids and areas renumbered; gone: bool (neurons,).

    Areas become rows of neurons. An area keeps at least one neuron; neurons of encoders and the decoder stay.
    """
    gone = gone & ~held(c)
    for area in c.areas:
        own = slice(area.first, area.first + area.count)
        if np.all(gone[own]):
            gone[area.first] = False
    if not np.any(gone):
        return c
    c = without_synapses(c, gone[c.source] | gone[c.target])
    kept = ~gone
    number = (np.cumsum(kept) - 1).astype(np.uint32)
    areas, first = [], 0
    for area in c.areas:
        count = int(np.count_nonzero(kept[area.first : area.first + area.count]))
        areas.append(area if count == area.count and first == area.first else
                     replace(area, dimensions=(count, 1, 1), neurons_per_voxel=1, first=first)
                     if count != area.count else replace(area, first=first))  # fmt: skip
        first += count
    powered = kept[c.power_neuron]
    return replace(
        c, areas=tuple(areas), source=number[c.source], target=number[c.target],
        threshold=c.threshold[kept], limit=c.limit[kept], leak=c.leak[kept], refractory=c.refractory[kept],
        fire_limit=c.fire_limit[kept], snooze=c.snooze[kept], excitability=c.excitability[kept], reset=c.reset[kept],
        bias=c.bias[kept], current_leak=c.current_leak[kept],
        power_neuron=number[c.power_neuron[powered]], power_amount=c.power_amount[powered],
    )  # fmt: skip


def held(c: Connectome) -> Bool:
    """Neurons that senses name."""
    held = np.zeros(c.neurons, np.bool_)
    if c.senses is None:
        return held
    area = {area.id: area for area in c.areas}
    for encoder in c.senses.encoders:
        held[area[encoder.area].first : area[encoder.area].first + area[encoder.area].count] = True
    held[area[c.senses.decoder.area].first : area[c.senses.decoder.area].first + area[c.senses.decoder.area].count] = (
        True
    )
    return held


def prune_synapses(c: Connectome, ratio: float) -> Connectome:
    """The network less the `ratio` of its synapses with the least |weight|, in thresholds of their targets."""
    size = np.abs(c.weight) / np.maximum(np.abs(c.threshold[c.target]), np.finfo(np.float32).tiny)
    count = round(ratio * c.synapses)
    if not count:
        return c
    gone = np.zeros(c.synapses, np.bool_)
    gone[np.argsort(size, kind="stable")[:count]] = True
    return without_synapses(c, gone)


def prune_neurons(c: Connectome, ratio: float, rate: F64) -> Connectome:
    """The network less the `ratio` of its inner neurons that say least: rate times the length of what leaves them.

    rate: float64 (neurons,) spikes per burst on samples.
    """
    length = np.sqrt(np.bincount(c.source, weights=c.weight.astype(np.float64) ** 2, minlength=c.neurons))
    inner = np.flatnonzero(~held(c))
    count = round(ratio * len(inner))
    gone = np.zeros(c.neurons, np.bool_)
    gone[inner[np.argsort((rate * length)[inner], kind="stable")[:count]]] = True
    return without_neurons(c, gone)


def fold(c: Connectome) -> Connectome:
    """The network less what cannot change any answer: weights of 0, synapses that are there twice (added up), neurons
    that nothing reaches and that do not fire by themselves, and neurons from which nothing is read.

    Only of networks whose areas have neuron models and whose weights are fixed; others come back as they are.
    """
    if any(area.dynamics is None for area in c.areas) or any(m.learning or m.plastic or m.wiring for m in c.mappings):
        return c
    c = _merged(c)
    c = without_synapses(c, c.weight == 0)
    while True:
        smaller = without_neurons(c, _silent(c) | _unread(c))
        if smaller is c:
            return c
        c = smaller


def _merged(c: Connectome) -> Connectome:
    """Synapses of one mapping between the same two neurons as one; driven ones alike."""
    mapping = np.repeat(np.arange(len(c.mappings)), np.diff(c.mapping_start))
    first = np.ones(c.synapses, np.bool_)
    first[1:] = (np.diff(mapping) != 0) | (np.diff(c.source.astype(np.int64)) != 0)
    first[1:] |= np.diff(c.target.astype(np.int64)) != 0
    if np.all(first):
        return c
    group = np.cumsum(first) - 1
    total = np.bincount(group, weights=c.weight.astype(np.float64)).astype(np.float32)
    weight = np.where(first, total[group], np.float32(0))
    return without_synapses(replace(c, weight=weight), ~first)


def _silent(c: Connectome) -> Bool:
    """Neurons that no synapse, stimulus or power reaches, and whose bias cannot bring them to their threshold."""
    reached = np.zeros(c.neurons, np.bool_)
    reached[c.target] = True
    reached[c.power_neuron] = True
    silent: Bool = ~reached & (c.bias == 0) & (c.threshold > 0)
    return silent & ~held(c)


def _unread(c: Connectome) -> Bool:
    sends = np.zeros(c.neurons, np.bool_)
    sends[c.source] = True
    return ~sends & ~held(c)


def renumbered(c: Connectome, rounds: int = 8) -> Connectome:
    """The network with inner neurons in another order, in which those with near sources and targets lie near.

    Each round puts an area's neurons in the order of the mean places of what they are connected with; gaps between a
    row's targets shrink where wiring is local or modular. Lossless: the same neurons fire, under other ids.
    """
    order = np.arange(c.neurons)
    place = order.astype(np.float64)
    free = ~held(c)
    ends = np.concatenate([c.source, c.target]).astype(np.int64), np.concatenate([c.target, c.source]).astype(np.int64)
    count = np.bincount(ends[0], minlength=c.neurons)
    for _ in range(rounds):
        mean = np.bincount(ends[0], weights=_relative(c, place)[ends[1]], minlength=c.neurons) / np.maximum(1, count)
        for area in c.areas:
            own = np.arange(area.first, area.first + area.count)
            if np.all(free[own]):
                place[own[np.argsort(mean[own], kind="stable")]] = own
    number = place.astype(np.uint32)
    return c if np.array_equal(number, order) else _permuted(c, number)


def _relative(c: Connectome, place: F64) -> F64:
    """Places within areas, 0..1."""
    made = np.zeros(c.neurons)
    for area in c.areas:
        own = slice(area.first, area.first + area.count)
        made[own] = (place[own] - area.first) / max(1, area.count)
    return made


def _permuted(c: Connectome, number: NDArray[np.uint32]) -> Connectome:
    """The network whose neuron i is called number[i]; areas keep their neurons, without coordinates."""
    source, target = number[c.source], number[c.target]
    mapping = np.repeat(np.arange(len(c.mappings)), np.diff(c.mapping_start))
    order = np.lexsort((target, source, mapping))
    back = np.argsort(number)
    names = ("threshold", "limit", "leak", "refractory", "fire_limit", "snooze", "excitability", "reset", "bias",
             "current_leak")  # fmt: skip
    power = np.argsort(number[c.power_neuron], kind="stable")
    return replace(
        c, source=source[order], target=target[order], weight=c.weight[order],
        power_neuron=number[c.power_neuron][power], power_amount=c.power_amount[power],
        **{name: getattr(c, name)[back] for name in names},
    )  # fmt: skip


def unread_channels(c: Connectome, raw: Sequence[NDArray[np.int32]] | NDArray[np.int32] | None = None) -> Connectome:
    """The network whose encoders leave out channels from which no synapse leads, or which never change in `raw`.

    raw: int32 (presentations, samples, channels). The sample keeps its channels: the encoders' table skips some. Of
    encoders with one neuron per channel (rate, latency, value); the neurons of channels left out go, too.
    """
    senses = c.senses
    if senses is None:
        return c
    area = {area.id: area for area in c.areas}
    sends = np.zeros(c.neurons, np.bool_)
    sends[c.source[c.weight != 0]] = True
    constant = np.zeros(senses.channels, np.bool_)
    if raw is not None:
        values = np.asarray(raw).reshape(-1, senses.channels)
        constant = np.all(values == values[:1], axis=0)
    gone = np.zeros(c.neurons, np.bool_)
    kept: list[tuple[Encoder, I64]] = []
    for e in senses.encoders:
        first = area[e.area].first + e.first
        channels = np.arange(e.channels)
        if e.kind not in ("rate", "latency", "value") or e.channels == 1:
            kept.append((e, channels))
            continue
        still = constant[e.channel + channels] & _gives_nothing(e, raw)
        off = ~sends[first + channels] | still
        off[0] &= not np.all(off)
        gone[first + np.flatnonzero(off)] = True
        kept.append((e, np.flatnonzero(~off)))
    if not np.any(gone):
        return c
    c = without_synapses(c, gone[c.source] | gone[c.target])
    encoders = _renumbered(kept, gone, {name: a.first for name, a in area.items()})
    bare = replace(c, senses=None)
    smaller = without_neurons(bare, gone)
    return replace(smaller, senses=replace(senses, encoders=encoders))


def _gives_nothing(e: Encoder, raw: NDArray[np.int32] | Sequence[NDArray[np.int32]] | None) -> Bool:
    """Channels of an encoder that stay where it gives nothing: at its low end, or at zero."""
    if raw is None:
        return np.zeros(e.channels, np.bool_)
    values = np.asarray(raw)[..., e.channel : e.channel + e.channels].reshape(-1, e.channels)
    nothing = values == e.zero if e.kind == "value" else values <= e.low
    return np.asarray(np.all(nothing, axis=0), np.bool_)


def _renumbered(kept: Sequence[tuple[Encoder, I64]], gone: Bool, firsts: dict[str, int]) -> tuple[Encoder, ...]:
    """Encoders of runs of channels; their neurons close up."""
    before = np.concatenate([[0], np.cumsum(gone)])
    made: list[Encoder] = []
    for e, channels in kept:
        runs = np.split(channels, np.flatnonzero(np.diff(channels) != 1) + 1)
        for run in runs:
            first = firsts[e.area] + e.first + (int(run[0]) if len(runs) > 1 or len(run) < e.channels else 0)
            moved = e.first + (first - firsts[e.area] - e.first)
            moved -= int(before[first] - before[firsts[e.area]])
            channel, count = (e.channel + int(run[0]), len(run)) if len(run) < e.channels else (e.channel, e.channels)
            made.append(replace(e, first=moved, channel=channel, channels=count))
    return tuple(made)


def senses_channels(senses: Senses) -> int:
    """Channels that encoders read."""
    read = np.zeros(senses.channels, np.bool_)
    for e in senses.encoders:
        read[e.channel : e.channel + e.channels] = True
    return int(np.count_nonzero(read))

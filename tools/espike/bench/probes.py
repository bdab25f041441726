"""nothing -> small networks and stimuli, each made so that one kind of work stands out: what `costs` measures on."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from espike_sim import procedural
from espike_sim.connectome import Area
from espike_sim.dynamics import Dynamics
from espike_sim.generator import Generator
from espike_sim.learning import Learning
from espike_sim.quantized import Projection, QuantizedConnectome

from .. import row_codecs as codecs
from .networks import NO_SYNAPSES, Neurons, Synapses, network

Stimuli = list[list[tuple[int, float]]]
"""Per burst: (neuron, value), neurons ascending."""
Weights = NDArray[np.int64]

FIRES = 2047.0
"""A stimulus that makes any neuron of a probe fire."""
CHARGES = 100.0
SOURCES, SENT = 40, 24
"""Rows of a probe, and how many of them are read."""
FEW, MANY = 8, 40
"""Synapses of a row."""
WIDE_SUMS = 40_000
"""A stimulus limit that takes accumulators of 32 bits."""


def _plain(
    counts: Sequence[int], *, sums: str = "i16", marked: bool = False, synapses: Synapses = NO_SYNAPSES, **neurons: Any
) -> QuantizedConnectome:
    """Areas of equal neurons; sums: i16, i32 or f32; marked: only candidates are updated."""
    limit = WIDE_SUMS if sums == "i32" else 2047
    chosen = Neurons(**{"threshold": 2000, "leak": 1 / 16, "stimulus_limit": limit} | neurons)
    q = network(sum(counts), synapses, chosen, precision="fp32" if sums == "f32" else "int8", candidates_only=marked)
    firsts = np.cumsum([0, *counts]).tolist()
    areas = tuple(
        Area(f"a{i}", f"a{i}", "custom", (count, 1, 1), 1, first, True)
        for i, (count, first) in enumerate(zip(counts, firsts, strict=False))
    )
    each = len(areas)
    return replace(
        q, areas=areas, scale=np.ones(each),
        guard_bits=np.zeros(each, np.uint8), current_shift=np.zeros(each, np.uint8),
        stimulus_limit=np.full(each, limit, q.types.input),
        projections=q.projections if len(synapses[0]) else (),
        projection_start=q.projection_start if len(synapses[0]) else np.zeros(1, np.int64),
    )  # fmt: skip


def _life(q: QuantizedConnectome) -> Stimuli:
    """Bursts in which nothing, little and everything happens."""
    every = range(q.neurons)
    return [
        [], [],
        [(i, CHARGES + i % 50) for i in every],
        [], [(area.first, CHARGES) for area in q.areas],
        [(i, FIRES) for i in range(q.areas[0].count) if i % 7 == 3],
        [(i, CHARGES) for i in every if i % 3 == 0], [],
        [(0, FIRES)], [], [(i, FIRES) for i in every if i % 16 == 15], [(q.neurons - 1, CHARGES)], [],
        [(i, FIRES) for i in every], [(i, CHARGES) for i in every], [],
    ]  # fmt: skip


def _columns(q: QuantizedConnectome, *names: str) -> QuantizedConnectome:
    """Parameters that differ a little between neurons."""
    changed = {name: getattr(q, name).copy() for name in names}
    for values in changed.values():
        values[::3] = np.minimum(values[::3], 32000) * 0.99
    return replace(q, **changed)


def _powered(q: QuantizedConnectome, neurons: Sequence[int]) -> QuantizedConnectome:
    return replace(
        q, power_neuron=np.array(neurons, np.uint32), power_value=np.full(len(neurons), 3).astype(q.types.input)
    )


def without_synapses() -> Iterator[tuple[QuantizedConnectome, Stimuli]]:
    """Every kind of neuron and accumulator, in areas of several sizes."""
    yield from ((q, _life(q)) for q in _neurons())


def _neurons() -> Iterator[QuantizedConnectome]:
    for sums in ("i16", "i32", "f32"):
        for marked in (False, True):
            how: dict[str, Any] = {"sums": sums, "marked": marked}
            for counts in ([1024], [256], [100], [64] * 10, [20] * 16, [3, 400, 31]):
                yield _plain(counts, **how)
            yield _plain([640], leak=0, **how)
            yield _plain([640], refractory=3, **how)
            yield _plain([640], fire_limit=2, snooze=3, **how)
            yield _plain([640], refractory=2, fire_limit=2, **how)
            yield _columns(_plain([640], **how), "threshold")
            yield _columns(_plain([640], **how), "threshold", "limit", "retained")
            draws = _plain([640], **how)
            yield replace(draws, fire_draw=np.full(640, 0xFFFFFFFE, np.uint32))
            yield _powered(_plain([640], **how), range(200, 500))
            yield _powered(_plain([640], **how), range(0, 640, 3))
            yield _powered(_plain([64] * 10, **how), range(0, 640, 9))


def models() -> Iterator[tuple[QuantizedConnectome, Stimuli]]:
    """Every kind of neuron model, on each kind of accumulator; FEAGI's neurons are known."""
    yield from ((q, _life(q)) for q in _models())


def _models() -> Iterator[QuantizedConnectome]:
    for sums in ("i16", "i32", "f32"):
        for counts in ([640], [64] * 10, [3, 400, 31]):
            yield _trained(_plain(counts, sums=sums), Dynamics())
        one = _plain([640], sums=sums)
        yield _trained(one, Dynamics(reset="subtract"), reset=2000)
        yield _trained(one, Dynamics(late=True))
        yield _trained(one, Dynamics(reset="subtract", late=True), reset=2000)
        yield _trained(one, Dynamics(reset="none", graded=True))
        for current in ("new", "old"):
            yield _trained(one, Dynamics(current=current))
        yield _columns(_trained(one, Dynamics()), "threshold", "retained")
        yield _columns(_trained(one, Dynamics(), reset=100, bias=20), "reset", "bias")
        yield _columns(
            _trained(one, Dynamics(reset="subtract", current="new"), reset=2000, bias=20),
            "threshold",
            "current_retained",
        )
        yield _trained(_plain([640], sums=sums, refractory=3), Dynamics())


def _trained(q: QuantizedConnectome, model: Dynamics, reset: float = 0, bias: float = 0) -> QuantizedConnectome:
    """The same areas with a neuron model; a current keeps seven eighths."""
    types, whole = q.types, q.precision == "int8"
    kept = (7 / 8) * (32768 if whole else 1) if model.current else 0
    return replace(
        q, areas=tuple(replace(area, dynamics=model) for area in q.areas),
        reset=np.full(q.neurons, reset, types.potential), bias=np.full(q.neurons, bias, types.input),
        current_retained=np.full(q.neurons, kept, types.retained),
        current_shift=np.full(len(q.areas), 1 if whole and model.current else 0, np.uint8),
    )  # fmt: skip


@dataclass(frozen=True)
class RowsProbe:
    """One loop over rows."""

    codec: int
    sums: str
    marked: bool = False
    escapes: bool = False
    driven: bool = False

    def networks(self) -> Iterator[tuple[QuantizedConnectome, Sequence[int]]]:
        """Networks whose rows and synapses differ in number, and the neurons that fire there."""
        varies = self.codec == codecs.DENSE_VECTORS or (self.codec in codecs.WIDES and not self.driven)
        shares = (0.1, 0.4) if self.escapes else (0.0, 0.4) if varies else (0.0,)
        for share in shares:
            few, many = self._network(FEW, share), self._network(MANY, share)
            yield from ((few, range(3, 3 + SENT)), (many, range(3, 3 + SENT)), (few, range(3, 7)))

    def _network(self, fan_out: int, share: float) -> QuantizedConnectome:
        rng = np.random.default_rng(fan_out)
        count, synapses = self._synapses(rng, fan_out, share)
        q = _plain([max(count, 64)], sums=self.sums, marked=self.marked, synapses=synapses)
        p = q.projections[0]
        if self.codec == codecs.PROCEDURAL:
            p = replace(p, generator=Generator(1, fan_out, LEVELS))
        if self.codec == codecs.PLASTIC:
            p = replace(p, learning=Learning(1, 0, 0, -100, 100))
        if self.driven:
            p = replace(p, psp_factor=1 if self.sums == "f32" else 32)  # a potential of 2047 counts once, or 255 times
            q = replace(q, weight=q.weight / 256) if self.sums == "f32" else q
        return replace(q, projections=(p,))

    def _synapses(self, rng: np.random.Generator, fan_out: int, share: float) -> tuple[int, Synapses]:
        """(neurons, synapses): rows of `fan_out`; a share of the gaps is too wide for one byte or slot.

        Dense vectors: with a share they have 8 weights, without 4.
        """
        size = SOURCES * fan_out
        source = np.repeat(np.arange(SOURCES, dtype=np.int64), fan_out)
        weight = _weights(rng, self.codec, size, driven=self.driven and self.sums != "f32")
        if self.codec in codecs.UNIFORM or self.codec == codecs.SHARED:
            weight = np.repeat(weight[::fan_out], fan_out)
        if self.codec in codecs.DENSES:
            columns = 8 * fan_out
            ids = np.repeat(np.arange(SOURCES, dtype=np.int64), columns)
            dense = _weights(rng, self.codec, len(ids), driven=False)
            if self.codec == codecs.DENSE_VECTORS:
                book = dense[:800].reshape(-1, 8 if share else 4)
                dense = book[rng.integers(0, 100, len(ids) // book.shape[1])].reshape(-1)
            return columns, (ids, np.tile(np.arange(columns, dtype=np.int64), SOURCES), dense)
        if self.codec == codecs.PROCEDURAL:
            found = procedural.synapses(1, 64, fan_out, 64, LEVELS)
            return 64, (found[0], found[1], found[2].astype(np.int64))
        escape = 255 >> codecs.CODE_BITS[self.codec] if self.codec in (codecs.B53, codecs.B62) else 255
        gap = rng.integers(1, min(escape, 12), size)
        wide = rng.random(size) < share
        gap[wide] = escape + rng.integers(0, min(escape, 40), int(wide.sum()))
        if self.driven:
            gap = {codecs.U16: 520, codecs.U16_UNIFORM: 520}.get(self.codec, 0) + gap
        gap[::fan_out] = rng.integers(0, 20, SOURCES) + (
            130 if self.driven and self.codec not in codecs.WIDES else 0
        )  # else wide rows are shorter
        target = np.cumsum(gap.reshape(SOURCES, fan_out), axis=1).reshape(-1)
        count = 66_000 if self.driven and self.codec in codecs.WIDES else int(target.max()) + 1
        return count, (source, target, weight)


LEVELS = tuple(range(-40, 40, 5))


def _weights(rng: np.random.Generator, codec: int, size: int, *, driven: bool) -> Weights:
    """Weight codes that a codec can hold."""
    if driven:
        return rng.choice([-1, 1], size)
    if codec == codecs.TERNARY:
        return 7 * rng.choice([-1, 1], size)
    most = 1 << codecs.CODE_BITS[codec] - 1 if codec in codecs.CODE_BITS else 40
    return np.asarray(rng.integers(-most, most, size))


def row_probes() -> Iterator[RowsProbe]:
    """Every loop over rows that an image can ask for."""
    for sums in ("i16", "i32"):
        for marked in (False, True):
            for codec in (*range(codecs.PLASTIC), codecs.DENSE_VECTORS):
                yield RowsProbe(codec, sums, marked)
                if codec in ESCAPING:
                    yield RowsProbe(codec, sums, marked, escapes=True)
        for codec in codecs.STEPWISE:
            yield RowsProbe(codec, sums, driven=True)
        yield RowsProbe(codecs.PLASTIC, sums)
    for codec in (*codecs.STEPWISE, codecs.DENSE, codecs.SHARED):
        yield RowsProbe(codec, "f32")
        if codec in ESCAPING:
            yield RowsProbe(codec, "f32", escapes=True)
    for codec in codecs.STEPWISE:
        yield RowsProbe(codec, "f32", driven=True)
    yield RowsProbe(codecs.PLASTIC, "f32")


ESCAPING = (codecs.D8, codecs.D8_UNIFORM, codecs.D8W4, codecs.B53, codecs.B62, codecs.TERNARY, codecs.SHARED)


def fire(q: QuantizedConnectome, sources: Sequence[int]) -> Stimuli:
    """Sources fire, then their rows are read."""
    return [[(neuron, FIRES) for neuron in sources], []]


def sums(q: QuantizedConnectome, sources: Sequence[int]) -> list[tuple[int, float]]:
    """What the rows of `sources` add up to: (neuron, sum) of every neuron that they reach."""
    read = np.isin(q.source, list(sources))
    factor = 255 if q.precision == "fp32" and q.projections[0].psp_factor else 1
    total = np.bincount(q.target[read], weights=factor * q.weight[read].astype(np.float64), minlength=q.neurons)
    return [(neuron, float(total[neuron])) for neuron in np.unique(q.target[read]).tolist()]


def _chained(counts: Sequence[int], sums: str, links: Sequence[Projection], fan_out: int = 4) -> QuantizedConnectome:
    """Areas with a projection for each of `links`, of `fan_out` random targets per neuron."""
    rng = np.random.default_rng(len(links))
    q = _plain(counts, sums=sums)
    parts = []
    for p in links:
        a, b = q.areas[p.source], q.areas[p.target]
        target = np.sort(rng.integers(0, b.count, (a.count, fan_out)), axis=1).reshape(-1) + b.first
        source = np.repeat(np.arange(a.count), fan_out) + a.first
        parts.append((source, target, rng.integers(-20, 21, len(source))))
    source, target, weight = (np.concatenate([part[i] for part in parts]) for i in range(3))
    return replace(
        q, projections=tuple(links), source=source.astype(np.uint32), target=target.astype(np.uint32),
        weight=weight.astype(q.types.weight), projection_start=np.cumsum([0, *(len(part[0]) for part in parts)]),
    )  # fmt: skip


def delayed() -> Iterator[tuple[QuantizedConnectome, Stimuli]]:
    """Delays, and several projections of an area."""
    for kind in ("i16", "i32", "f32"):
        for delays in ([1], [1, 1, 1, 1, 1, 1], [1, 1, 3], [1, 3, 3, 3], [2, 5], [0, 1], [7]):
            links = [Projection(0, 1, "r", delay=delay) for delay in delays]
            for counts in ([256, 256], [1000, 40, 33]):
                q = _chained(counts, kind, links)
                some = [(i, FIRES) for i in range(0, counts[0], 5)]
                yield q, [[], some, [], [], some, some, [], [], [], []]


def driven() -> Iterator[tuple[QuantizedConnectome, Stimuli]]:
    """Potentials that are kept for the rows that they drive."""
    for kind in ("i16", "i32", "f32"):
        for q, sources in RowsProbe(codecs.D8, kind, driven=True).networks():
            yield q, fire(q, sources)


def learning() -> Iterator[tuple[QuantizedConnectome, Stimuli]]:
    """Weights that learn, with windows of several lengths."""
    for kind in ("i16", "f32"):
        for window, fan_out, counts, links in (
            (1, 4, (100, 100), 1), (1, 30, (100, 60), 3), (4, 4, (300, 64), 1), (8, 30, (64, 300), 1),
            (4, 2, (20, 2000), 1), (1, 2, (20, 2000), 2),
        ):  # fmt: skip
            link = Projection(0, 1, "r", learning=Learning(window, 1, -1, -100, 100))
            q = _chained(counts, kind, [link] * links, fan_out)
            one, some = [(2, FIRES)], [(i, FIRES) for i in range(0, q.neurons, 5)]
            yield q, [[], one, [], some, [], [], [], [], [], [], [], []]

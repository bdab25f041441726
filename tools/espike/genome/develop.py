"""genome -> connectome: every neuron and synapse, grown as FEAGI grows them, the same on every run."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from espike_sim import connectome as c
from espike_sim.connectome import Connectome
from espike_sim.errors import EspikeError
from espike_sim.learning import Learning

from .axes import I64, U32
from .growth import FUNCTIONS, Draws, grow, why_not
from .model import CORE_AREAS, CORE_IDS, NEURONS_MAX, Area, Genome, Morphology, Rule, core_kind

Progress = Callable[[int, int, str], None]
"""Called with rules done, rules in all, and the rule that grows next."""
BYTES_PER_NEURON, BYTES_PER_SYNAPSE = 64, 72
"""Memory at the peak of development, checks included."""


@dataclass(frozen=True)
class _Growth:
    """The arguments of `develop`, which says what they mean."""

    seed: int
    extended: bool
    strict: bool
    candidates_only: bool
    power_amount: float
    memory_bytes: int


@dataclass(frozen=True)
class _Grown:
    """One rule's synapses, by connectome neuron ids, sorted by source, then target."""

    mapping: c.Mapping
    rule: Rule
    source: U32
    target: U32
    draws: Draws


def develop(
    genome: Genome,
    *,
    seed: int = 0,
    extended: bool = False,
    strict: bool = False,
    candidates_only: bool = True,
    power_amount: float = 1.0,
    memory_bytes: int = 8 << 30,
    progress: Progress | None = None,
) -> Connectome:
    """Grow a genome. The same genome and arguments give the same Connectome.hash.

    extended: grow the functions that FEAGI describes and does not grow.
    strict: a mapping to an area that does not exist is an error, not a note.
    candidates_only: neurons are updated only in bursts in which input reached them, as by FEAGI's host.
    power_amount: potential that the power area's first neuron receives every burst.
    memory_bytes: refuse what would need more.

    Raises: EspikeError where the seed is no uint32, the connectome would not fit `memory_bytes`, a threshold leaves
    float32, or, with `strict`, a mapping names an area that does not exist.
    """
    if not 0 <= seed < 2**32:
        raise EspikeError(f"seed {seed} is out of range", do="use 0..4294967295")
    growth = _Growth(seed, extended, strict, candidates_only, power_amount, memory_bytes)
    areas, notes = _order_areas(genome)
    where = genome.file or "genome"
    total = sum(area.count for area in areas)
    if total > NEURONS_MAX or total * BYTES_PER_NEURON > growth.memory_bytes:
        raise _too_large(f"{total} neurons", where)
    try:
        first = np.cumsum([0, *(area.count for area in areas)])
        neurons = _neuron_arrays(areas, where)
        grown = _grow_rules(genome, areas, first, growth, notes, progress)
        return _assemble(genome, areas, first, neurons, grown, growth, notes)
    except MemoryError:
        raise _too_large(f"{total} neurons and their synapses", where) from None


def _too_large(what: str, where: str) -> EspikeError:
    return EspikeError(f"{what} do not fit in memory", where=where, do="shrink the areas or raise memory_bytes")


def _order_areas(genome: Genome) -> tuple[list[Area], list[str]]:
    """Core areas in their order, those that are missing added, then the others in file order; and the notes."""
    notes = [str(note) for note in genome.notes]
    core: dict[str, Area] = {}
    others: list[Area] = []
    for area in genome.areas:
        kind = core_kind(area.id)
        if kind and kind not in core:
            core[kind] = area
        else:
            others.append(area)
            if kind:
                notes.append(f"area {area.id}: {core[kind].id} is the {kind} area already, grown as any other")
        if area.memory:
            notes.append(f"area {area.id}: memory is not developed, its neurons are grown as any others")
    for kind in CORE_AREAS:
        if kind not in core:
            core[kind] = Area(CORE_IDS[kind], f"Brain_{kind.title()}", "CORE", (1, 1, 1))
    return [core[kind] for kind in CORE_AREAS] + others, notes


def _neuron_arrays(areas: list[Area], where: str) -> dict[str, Any]:
    """The arrays of a Connectome with one entry per neuron."""
    counts = [area.count for area in areas]

    def each(values: list[float], dtype: type) -> NDArray[Any]:
        return np.repeat(np.array(values, np.float64).astype(dtype), counts)

    with np.errstate(over="ignore"):
        threshold = np.concatenate([_thresholds(area) for area in areas])
    if not np.all(np.isfinite(threshold)):
        area = areas[int(np.searchsorted(np.cumsum(counts), np.flatnonzero(~np.isfinite(threshold))[0], "right"))]
        raise EspikeError(f"area {area.id} has a threshold beyond float32", where=where, do="lower its increments")
    return {
        "threshold": threshold,
        "limit": each([area.limit if area.limit else np.inf for area in areas], np.float32),
        "leak": each([area.leak for area in areas], np.float64),
        "refractory": each([area.refractory for area in areas], np.uint16),
        "fire_limit": each([area.fire_limit for area in areas], np.uint16),
        "snooze": each([area.snooze for area in areas], np.uint16),
        "excitability": each([area.excitability for area in areas], np.float32),
    }


def _thresholds(area: Area) -> NDArray[np.float32]:
    """float32 (neurons of the area,): threshold + x*ix + y*iy + z*iz, in float64, rounded once."""
    if not any(area.threshold_increment):
        return np.full(area.count, area.threshold, np.float32)
    x, y, z = (np.arange(n) * step for n, step in zip(area.dimensions, area.threshold_increment, strict=True))
    voxels: NDArray[np.float64] = area.threshold + x[:, None, None] + y[None, :, None] + z[None, None, :]
    return np.repeat(voxels.ravel().astype(np.float32), area.neurons_per_voxel)


@dataclass(frozen=True)
class Planned:
    """One rule before it grows: its number in the file, the area it meets, and why it is not grown, if so."""

    number: int
    rule: Rule
    target: str
    morphology: Morphology
    reason: str

    @property
    def what(self) -> str:
        """The rule in words, for a note."""
        return f"mapping {self.rule.source} -> {self.rule.target}, rule {self.rule.morphology}:"


def plan(genome: Genome, extended: bool = False) -> list[Planned]:
    """Every rule of a genome in the order in which they grow: by source area as in the connectome."""
    order = {area.id: i for i, area in enumerate(_order_areas(genome)[0])}
    planned = []
    for number, rule in sorted(enumerate(genome.rules), key=lambda pair: order[pair[1].source]):
        found = genome.morphologies.get(rule.morphology)
        if found is None and rule.morphology in FUNCTIONS:  # FEAGI's functions need no definition
            found = Morphology(rule.morphology, "function")
        target = genome.resolve(rule.target)
        reason = f"there is no area {rule.target}" if target is None else why_not(found, rule.morphology, extended)
        planned.append(Planned(number, rule, target or "", found or Morphology(rule.morphology, "undefined"), reason))
    return planned


def _grow_rules(
    genome: Genome, areas: list[Area], first: I64, growth: _Growth, notes: list[str], progress: Progress | None
) -> list[_Grown]:
    index = {area.id: i for i, area in enumerate(areas)}
    rules = plan(genome, growth.extended)
    grown: list[_Grown] = []
    held = int(first[-1]) * BYTES_PER_NEURON
    for done, planned in enumerate(rules):
        rule, what, number, target_id = planned.rule, planned.what, planned.number, planned.target
        if progress is not None:
            progress(done, len(rules), f"{rule.source} -> {rule.target} {rule.morphology}")
        if growth.strict and not target_id:
            raise EspikeError(planned.reason, where=f"{genome.file}: {rule.path}", do="correct the mapping")
        if planned.reason:
            notes.append(f"{what} not grown, {planned.reason}")
            continue
        source, target = areas[index[rule.source]], areas[index[target_id]]

        def check_size(count: int, held: int = held, what: str = what) -> None:
            if held + count * BYTES_PER_SYNAPSE > growth.memory_bytes:
                raise _too_large(f"{what} {count} synapses", genome.file or "genome")

        draws = Draws(growth.seed if rule.seed is None else rule.seed, number)
        voxels = grow(planned.morphology, source, target, draws, check_size)
        s: U32 = voxels[0].astype(np.uint32) + np.uint32(first[index[rule.source]])
        t: U32 = voxels[1].astype(np.uint32) + np.uint32(first[index[target_id]])
        del voxels
        if rule.attractivity < 100:
            kept = draws.of_pairs(s, t) < np.uint64(rule.attractivity * 2**32 / 100)
            s, t = s[kept], t[kept]
        if not len(s):
            notes.append(f"{what} grows no synapse")
        held += len(s) * BYTES_PER_SYNAPSE
        ends = index[rule.source], index[target_id]
        plastic, driven = rule.plastic is not None, source.psp_driven
        mapping = c.Mapping(*ends, rule.morphology, plastic, delay=rule.delay, driven=driven)
        grown.append(_Grown(mapping, rule, s, t, draws))
    if progress is not None:
        progress(len(rules), len(rules), "")
    return grown


def _assemble(
    genome: Genome,
    areas: list[Area],
    first: I64,
    neurons: dict[str, Any],
    grown: list[_Grown],
    growth: _Growth,
    notes: list[str],
) -> Connectome:
    fan_out = np.zeros(int(first[-1]), np.uint32)
    for g in grown:
        np.add.at(fan_out, g.source, np.uint32(1))
    lengths = np.cumsum([0, *(len(g.source) for g in grown)])
    source, target = np.empty(lengths[-1], np.uint32), np.empty(lengths[-1], np.uint32)
    weight = np.empty(lengths[-1], np.float32)
    mappings = tuple(g.mapping for g in grown)
    for number, begin in enumerate(lengths[:-1]):
        g, part = grown[number], slice(begin, lengths[number + 1])
        source[part], target[part] = g.source, g.target
        area = areas[g.mapping.source]
        amount = g.rule.multiplier * (1 if area.psp_driven else g.rule.psp)
        if g.rule.weights is not None:
            low, high = g.rule.weights
            weight[part] = low + (high - low) * g.draws.weights(g.source, g.target)
        else:
            weight[part] = amount if area.psp_uniform else amount / fan_out[g.source]
        if g.rule.plastic is not None:
            shares = np.bincount([1] if area.psp_uniform else fan_out[g.source], minlength=2)
            if np.count_nonzero(shares) > 1:
                what = f"mapping {g.rule.source} -> {g.rule.target}, rule {g.rule.morphology}:"
                notes.append(f"{what} fan-outs differ, its weights learn in the steps of {shares.argmax()} synapses")
            unit = amount / (g.rule.multiplier or 1) / (1 if area.psp_uniform else max(1, int(shares.argmax())))
            learned = _learns(mappings[number], g.rule, unit, weight[part])
            mappings = (*mappings[:number], learned, *mappings[number + 1 :])
        grown[number] = replace(g, source=g.source[:0], target=g.target[:0])
    return Connectome(
        areas=tuple(
            c.Area(a.id, a.name, a.group, a.dimensions, a.neurons_per_voxel, int(begin), a.accumulate)
            for a, begin in zip(areas, first[:-1], strict=True)
        ),
        mappings=mappings,
        mapping_start=lengths.astype(np.int64),
        source=source,
        target=target,
        weight=weight,
        power_neuron=first[1:2].astype(np.uint32),
        power_amount=np.array([growth.power_amount], np.float32),
        candidates_only=growth.candidates_only,
        precision=genome.quantization.precision,
        quantization=c.Quantization(
            dict(genome.quantization.ranges),
            genome.quantization.strict_bounds,
            genome.quantization.log_quantization_loss,
        ),
        timestep_s=genome.timestep_s,
        seed=growth.seed,
        genome_hash=genome.hash,
        notes=tuple(notes),
        **neurons,
    )


def _learns(mapping: c.Mapping, rule: Rule, unit: float, weight: NDArray[np.float32]) -> c.Mapping:
    """A mapping with the windowed rule in potential units, one of its weight units being worth `unit`.

    Its weights lie in 0..255, and so do its steps; the sign of the multiplier stays (docs/numbers.md, Learning).
    """
    assert rule.plastic is not None
    sign = -1 if rule.multiplier < 0 else 1
    ltp, ltd = (
        sign * unit * min(max(rule.plastic.constant * times, 0), 255)
        for times in (rule.plastic.ltp_multiplier, rule.plastic.ltd_multiplier)
    )
    ends = sorted((0.0, sign * 255 * unit))
    low, high = min(ends[0], float(weight.min(initial=0))), max(ends[1], float(weight.max(initial=0)))
    return replace(mapping, learning=Learning(rule.plastic.window, ltp, -ltd, low, high))


def summary(connectome: Connectome) -> dict[str, Any]:
    """What grew, as JSON values: counts, areas, mappings and notes. `neurons` counts all areas."""
    counts = np.diff(connectome.mapping_start).tolist()
    areas = connectome.areas
    return {
        "neurons": connectome.neurons,
        "core_neurons": sum(area.count for area in areas if core_kind(area.id)),
        "synapses": connectome.synapses,
        "precision": connectome.precision,
        "timestep_s": connectome.timestep_s,
        "seed": connectome.seed,
        "hash": connectome.hash,
        "areas": [{"id": area.id, "name": area.name, "neurons": area.count} for area in areas],
        "mappings": [
            {"source": areas[m.source].id, "destination": areas[m.target].id, "rule": m.rule, "synapses": count}
            for m, count in zip(connectome.mappings, counts, strict=True)
        ],
        "notes": list(connectome.notes),
    }

"""genome -> findings: what would not grow, would not run, or is not what its author meant."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from espike_sim.connectome import Connectome
from espike_sim.errors import EspikeError

from .develop import Planned, develop, plan
from .flat import stray_keys
from .model import Area, Genome, core_kind
from .node import Node, load_bytes, parse_json
from .read import parse

ERROR, WARNING = "error", "warning"


@dataclass(frozen=True)
class Finding:
    """One thing that is wrong: where (JSON path), what, and what to do about it."""

    severity: str
    """`error`: growth or a run would not do what the genome says. `warning`: probably not what was meant."""
    path: str
    text: str
    advice: str

    def __str__(self) -> str:
        where = f"{self.path}: " if self.path else ""
        return f"{self.severity}: {where}{self.text}; {self.advice}"


def check(genome: Genome | Path | str, *, extended: bool = False) -> list[Finding]:
    """What is wrong with a genome or genome file, errors first; an empty list where nothing is.

    A file that cannot be read as a genome is one error. `extended`: as in `develop`.
    Raises: EspikeError where the file itself cannot be opened.
    """
    found: list[Finding] = []
    if not isinstance(genome, Genome):
        data, file = load_bytes(Path(genome)), str(genome)
        try:
            genome = parse(data, file)
        except EspikeError as error:
            where = error.where.removeprefix(file).removeprefix(": ")
            return [Finding(ERROR, where, error.what, error.do or "correct the file")]
        if genome.shape == "flat":
            blueprint = Node(parse_json(data, file)[0], "", file).child("blueprint")
            found += [Finding(WARNING, *stray, "remove it or correct its spelling") for stray in stray_keys(blueprint)]
    found += [Finding(WARNING, note.path, note.text, "write what is meant") for note in genome.notes]
    for area in genome.areas:
        found += _check_area(area)
    found += _check_names(genome)
    planned = plan(genome, extended)
    for rule in planned:
        found += _check_rule(rule)
    try:
        grown = develop(genome, extended=extended)
        found += _check_growth(genome, planned, grown)
    except EspikeError as error:
        found.append(Finding(ERROR, "", error.what, error.do or "shrink the genome"))
    return sorted(found, key=lambda finding: finding.severity != ERROR)


def _check_area(area: Area) -> Iterator[Finding]:
    """An area by itself: a neuron of it must be able to fire, and not by itself."""
    steps = zip(area.dimensions, area.threshold_increment, strict=True)
    corners = [(n - 1) * step for n, step in steps]
    lowest = area.threshold + sum(min(0.0, step) for step in corners)
    highest = area.threshold + sum(max(0.0, step) for step in corners)
    if lowest <= 0:
        text = f"area {area.id}: threshold {lowest:g} is met at rest"
        yield Finding(WARNING, area.path, text, "give a threshold above 0")
    if area.limit < 0 or 0 < area.limit < highest:
        text = f"area {area.id}: the limit {area.limit:g} lies below the threshold {highest:g}, so neurons never fire"
        yield Finding(ERROR, area.path, text, "raise the limit, or write 0 for none")
    if area.excitability <= 0:
        yield Finding(WARNING, area.path, f"area {area.id}: excitability 0, so it never fires", "write 0..1, or 100")
    if area.snooze and not area.fire_limit:
        text = f"area {area.id}: snooze {area.snooze} without a consecutive fire limit does nothing"
        yield Finding(WARNING, area.path, text, "give a fire limit or remove snooze")
    if area.leak and not area.accumulate and not core_kind(area.id):
        text = f"area {area.id}: leak {area.leak:g} does nothing, its charge does not accumulate"
        yield Finding(WARNING, area.path, text, "turn mp_charge_accumulation on or remove the leak")
    if area.memory:
        text = f"area {area.id}: memory is not developed, its neurons are grown as any others"
        yield Finding(WARNING, area.path, text, "expect no memory from it")


def _check_names(genome: Genome) -> Iterator[Finding]:
    names = Counter(area.name for area in genome.areas)
    kinds = Counter(core_kind(area.id) for area in genome.areas)
    for area in genome.areas:
        if names[area.name] > 1:
            ids = ", ".join(a.id for a in genome.areas if a.name == area.name)
            yield Finding(WARNING, area.path, f"area {area.id}: the name {area.name} is shared by {ids}", "rename one")
        if core_kind(area.id) and kinds[core_kind(area.id)] > 1:
            text = f"area {area.id}: there are two {core_kind(area.id)} areas, the first one counts"
            yield Finding(ERROR, area.path, text, "remove one")


def _check_rule(planned: Planned) -> Iterator[Finding]:
    rule, what = planned.rule, planned.what
    if planned.reason:
        missing = not planned.target or planned.morphology.kind == "undefined"
        advice = "correct the name" if missing else "use vectors, patterns, projector or block_to_block"
        yield Finding(ERROR if missing else WARNING, rule.path, f"{what} not grown, {planned.reason}", advice)
        return
    if rule.multiplier * rule.psp == 0:
        yield Finding(WARNING, rule.path, f"{what} its weights are 0", "give psp and multiplier other than 0")


def _check_growth(genome: Genome, planned: list[Planned], grown: Connectome) -> Iterator[Finding]:
    """What only shows after growth: rules without synapses, areas on no path."""
    counts = np.diff(grown.mapping_start).tolist()
    sends: set[int] = set()
    receives: set[int] = set()
    for p, mapping, count in zip((p for p in planned if not p.reason), grown.mappings, counts, strict=True):
        if count:
            sends.add(mapping.source)
            receives.add(mapping.target)
        else:
            advice = "compare the morphology with the sizes of both areas"
            yield Finding(WARNING, p.rule.path, f"{p.what} grows no synapse", advice)
    index = {area.id: i for i, area in enumerate(grown.areas)}
    for area in genome.areas:
        if core_kind(area.id):
            continue
        reached, reaches = index[area.id] in receives, index[area.id] in sends
        if not reached and not reaches:
            yield Finding(WARNING, area.path, f"area {area.id}: no synapse touches it", "map it or remove it")
        elif not reached and area.group != "IPU":
            yield Finding(WARNING, area.path, f"area {area.id}: nothing reaches it", "map an area to it")
        elif not reaches and area.group != "OPU":
            yield Finding(WARNING, area.path, f"area {area.id}: it reaches nothing", "map it to an area")

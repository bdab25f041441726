"""stations and paths -> connectome: areas in the order of their update, mappings by delay, input gains folded in.

Everything is float64 until here; docs/nir.md says what becomes what.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from espike_sim.connectome import Area, Connectome, Mapping
from espike_sim.errors import EspikeError

from .file import VALUES_MOST
from .flat import Flat
from .flow import NEURONS, Flows, fold
from .neurons import GRADED, Model, input_model, model, output_model
from .operators import DELAY_MOST, Paths
from .order import by_distance, ordered, ways_back
from .own import Own
from .semantics import Semantics
from .shapes import NEURONS_MOST, Shape

F64 = NDArray[np.float64]


@dataclass(frozen=True)
class Made:
    """A connectome, and what became what."""

    connectome: Connectome
    area_of: dict[str, int]
    """Area of each station: of each Input, neuron node, and Output that has one of its own."""
    outputs: dict[str, str]
    """Of each Output the station that it shows."""
    thresholds: dict[str, str]
    """Integrators that fire by a Threshold of their own, and that Threshold."""
    rest: F64
    """(neurons,) what a potential of 0 stands for."""
    shapes: tuple[Shape, ...]
    """Of each area, in NIR's order of axes."""
    via: tuple[tuple[str, ...], ...]
    """Of each mapping the linear nodes that are folded into it."""
    zeros: int
    """Weights of exactly 0 that are left out."""
    notes: tuple[str, ...]


@dataclass(frozen=True)
class _Link:
    """Paths between two stations, of one delay."""

    source: str
    target: str
    delay: int
    paths: Paths


def convert(flat: Flat, semantics: Semantics, graded_inputs: Collection[str], own: Own | None = None) -> Made:
    """The connectome of a graph; `own`: with what espike kept of it.

    Raises: EspikeError naming the node that cannot be."""
    notes = list(flat.notes)
    flows = fold(flat, semantics.dt)
    own = own or Own()
    models = {
        name: _model(flat, flows, name, own.semantics(name, semantics), graded_inputs, notes) for name in flows.stations
    }
    for name in {a for into in flows.inflow.values() for a in into.paths} & set(models):
        if not models[name].dynamics.fires:
            models[name] = replace(models[name], dynamics=replace(models[name].dynamics, fires=True, graded=True))
    given = own.sorted(_near(flows, flat))
    links, back = _links(flat, flows, semantics)
    for a, b in sorted(back):
        notes.append(f"{a} -> {b} closes a loop: it takes a burst")
    links, models, relayed = _relay(links, models)
    names = ordered([*given, *relayed], [(link.source, link.target) for link in links if not link.delay])
    shapes = {name: flat.shapes[name] if name in flat.shapes else (len(models[name].gain),) for name in names}
    count = sum(len(models[name].gain) for name in names)
    if count > NEURONS_MOST or sum(len(link.paths.source) for link in links) > VALUES_MOST:
        what = f"it makes {count:,} neurons, {sum(len(x.paths.source) for x in links):,} synapses"
        raise EspikeError(what, where=flat.where, do=f"{NEURONS_MOST:,} and {VALUES_MOST:,} are taken")
    bias = {name: _bias(flows, models, name) for name in names}
    connectome, via = _assemble(flat, flows, names, models, shapes, links, bias, semantics.dt)
    return Made(
        connectome=connectome,
        area_of={name: i for i, name in enumerate(names)},
        outputs=flows.outputs,
        thresholds=flows.thresholds,
        rest=np.concatenate([models[name].rest for name in names]),
        shapes=tuple(shapes[name] for name in names),
        via=via,
        zeros=sum(paths.zeros for into in flows.inflow.values() for paths in into.paths.values()),
        notes=tuple(notes),
    )


def _model(
    flat: Flat, flows: Flows, name: str, semantics: Semantics, graded_inputs: Collection[str], notes: list[str]
) -> Model:
    node, shape = flat.nodes[name], flat.shapes[name]
    if node.kind == "Input":
        return input_model(prod(shape), name in graded_inputs)
    if node.kind not in NEURONS:  # an Output, or the Delay of a loop
        return output_model(prod(shape))
    made = model(node, shape, semantics, notes)
    if name in flows.thresholds:
        tested = model(flat.nodes[flows.thresholds[name]], shape, semantics, notes)
        dynamics = replace(made.dynamics, fires=True, strict=tested.dynamics.strict)
        return replace(made, dynamics=dynamics, threshold=tested.threshold - made.rest)
    return made


def _near(flows: Flows, flat: Flat) -> list[str]:
    """Stations by how far they lie from an Input; Outputs last."""
    inputs = [name for name in flows.stations if flat.nodes[name].kind == "Input"]
    edges = [(a, b) for b, into in flows.inflow.items() for a in into.paths]
    found = by_distance(flows.stations, inputs, edges)
    return sorted(found, key=lambda name: flat.nodes[name].kind == "Output")


def _links(flat: Flat, flows: Flows, semantics: Semantics) -> tuple[list[_Link], set[tuple[str, str]]]:
    """Paths by delay; those that would close a loop within a burst wait for the next one."""
    wait = {"Input": semantics.input_delay, "Delay": 0}
    between = [
        (a, b, paths, paths.delay + wait.get(flat.nodes[a].kind, semantics.layer_delay))
        for b, into in flows.inflow.items()
        for a, paths in into.paths.items()
    ]
    at_once = [(a, b) for a, b, _, delay in between if np.any(delay == 0)]
    back = ways_back(_near(flows, flat), at_once)
    links = []
    for a, b, paths, delay in between:
        late = np.maximum(delay, 1) if (a, b) in back else delay
        if late.size and late.max() > DELAY_MOST:
            what = f"paths from {a} wait {late.max()} bursts, {DELAY_MOST} are possible"
            raise EspikeError(what, where=flat.nodes[b].where)
        for bursts in np.unique(late):
            part = late == bursts
            chosen = Paths(paths.source[part], paths.target[part], paths.weight[part], late[part], via=paths.via)
            links.append(_Link(a, b, int(bursts), chosen))
    return links, back


def _relay(links: list[_Link], models: dict[str, Model]) -> tuple[list[_Link], dict[str, Model], list[str]]:
    """Potentials travel one burst at most: longer delays of graded areas lead through areas that hand them on."""
    made, models, names = [], dict(models), []
    total = sum(len(m.gain) for m in models.values())
    for link in links:
        if link.delay <= 1 or not models[link.source].dynamics.graded:
            made.append(link)
            continue
        n = len(models[link.source].gain)
        source = link.source
        for step in range(1, link.delay):
            name = f"{link.source} {step} late"
            if name not in models:
                total += n
                if total > NEURONS_MOST:
                    raise EspikeError(f"delays of {link.source} make more than {NEURONS_MOST:,} neurons")
                models[name] = replace(output_model(n), dynamics=GRADED)
                names.append(name)
                every = np.arange(n, dtype=np.int64)
                made.append(_Link(source, name, 1, Paths(every, every, np.ones(n), np.ones(n, np.int64))))
            source = name
        made.append(_Link(source, link.target, 1, link.paths))
    return made, models, names


def _bias(flows: Flows, models: dict[str, Model], name: str) -> F64:
    """float64: what is added in every burst; potentials that are sent count from their rest, which is added here."""
    held = models[name]
    if name not in flows.inflow:
        return np.zeros(len(held.gain))
    total = flows.inflow[name].bias.copy()
    for origin, paths in flows.inflow[name].paths.items():
        source = models[origin]
        if source.dynamics.graded and np.any(source.rest):
            np.add.at(total, paths.target, paths.weight * source.rest[paths.source])
    made: F64 = held.gain * total + held.constant
    return made


def _assemble(
    flat: Flat, flows: Flows, names: list[str], models: dict[str, Model], shapes: dict[str, Shape],
    links: list[_Link], bias: dict[str, F64], dt: float,
) -> tuple[Connectome, tuple[tuple[str, ...], ...]]:  # fmt: skip
    place = {name: i for i, name in enumerate(names)}
    counts = [len(models[name].gain) for name in names]
    first = {name: sum(counts[: place[name]]) for name in names}
    ids = _plain(names)
    shown = set(flows.outputs.values())
    areas = tuple(
        Area(
            id=ids[name], name=name, group=_group(flat, name, shown), dimensions=_dimensions(shapes[name]),
            neurons_per_voxel=1, first=first[name], accumulate=models[name].accumulate, dynamics=models[name].dynamics,
        )
        for name in names
    )  # fmt: skip
    links = sorted(links, key=lambda link: (place[link.target], place[link.source], link.delay))
    weights = [_float32(flat, x.target, models[x.target].gain[x.paths.target] * x.paths.weight) for x in links]
    mappings = tuple(
        Mapping(
            place[x.source], place[x.target], "nir:" + ("+".join(sorted(x.paths.via)) or "identity"), delay=x.delay,
            driven=models[x.source].dynamics.graded,
        )
        for x in links
    )  # fmt: skip

    def column(take: Callable[[str], F64], dtype: Any) -> NDArray[Any]:
        return np.concatenate([_float32(flat, n, take(n)) if dtype is np.float32 else take(n) for n in names]).astype(
            dtype
        )

    n = sum(counts)
    connectome = Connectome(
        areas=areas,
        mappings=mappings,
        threshold=column(lambda name: models[name].threshold, np.float32),
        limit=np.full(n, np.inf, np.float32),
        leak=column(lambda name: models[name].leak, np.float64),
        refractory=np.zeros(n, np.uint16),
        fire_limit=np.zeros(n, np.uint16),
        snooze=np.zeros(n, np.uint16),
        excitability=np.ones(n, np.float32),
        mapping_start=np.cumsum([0, *(len(x.paths.source) for x in links)], dtype=np.int64),
        source=_concatenated([x.paths.source + first[x.source] for x in links], np.uint32),
        target=_concatenated([x.paths.target + first[x.target] for x in links], np.uint32),
        weight=_concatenated(weights, np.float32),
        power_neuron=np.zeros(0, np.uint32),
        power_amount=np.zeros(0, np.float32),
        candidates_only=False,
        precision="fp32",
        timestep_s=dt,
        reset=column(lambda name: models[name].reset, np.float32),
        bias=column(lambda name: bias[name], np.float32),
        current_leak=column(lambda name: models[name].current_leak, np.float64),
    )
    return connectome, tuple(tuple(sorted(x.paths.via)) for x in links)


def _float32(flat: Flat, name: str, values: F64) -> NDArray[np.float32]:
    with np.errstate(over="ignore"):
        narrow: NDArray[np.float32] = values.astype(np.float32) + np.float32(0)
    if not np.all(np.isfinite(narrow)) or np.any(np.abs(narrow) > 3e38):
        raise EspikeError(f"{np.abs(values).max():g} is beyond binary32", where=flat.nodes[name].where)
    return narrow


def _concatenated(parts: list[NDArray[Any]], dtype: Any) -> NDArray[Any]:
    return np.concatenate([np.zeros(0, dtype), *(part.astype(dtype) for part in parts)])


def _group(flat: Flat, name: str, shown: set[str]) -> str:
    if name in flat.nodes and flat.nodes[name].kind == "Input":
        return "input"
    return "output" if name in shown else "custom"


def _dimensions(shape: Shape) -> tuple[int, int, int]:
    """x, y, z: x is outermost in an area, as the first axis is in C order; axes before the last two are one."""
    axes = [n for n in shape if n != 1] or [1]
    x, y, z = [*axes, 1, 1][:3] if len(axes) <= 3 else (prod(axes[:-2]), *axes[-2:])
    return x, y, z


def _plain(names: Sequence[str]) -> dict[str, str]:
    """Area ids: letters, digits, - and _; each once."""
    made: dict[str, str] = {}
    taken: set[str] = set()
    for name in names:
        word = re.sub(r"[^A-Za-z0-9_-]+", "_", name) or "node"
        unique, k = word, 2
        while unique in taken:
            unique, k = f"{word}_{k}", k + 1
        taken.add(unique)
        made[name] = unique
    return made

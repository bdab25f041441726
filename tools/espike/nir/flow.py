"""flat graph -> stations and the paths between them: every chain of linear nodes folded into one list of weights.

Stations become areas: Inputs, neurons, Outputs behind linear nodes, and Delays in a loop of linear nodes.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, replace
from math import prod

import numpy as np
from numpy.typing import NDArray

from espike_sim.errors import EspikeError

from .flat import Flat
from .operators import Operator, Paths, compose, identity, joined, operator

F64 = NDArray[np.float64]

NEURONS = ("I", "IF", "LI", "LIF", "CubaLI", "CubaLIF", "Threshold")
INTEGRATORS = ("I", "LI", "CubaLI")


@dataclass(frozen=True)
class Inflow:
    """What reaches a node: paths from stations, and a bias per element."""

    paths: dict[str, Paths]
    bias: F64


@dataclass(frozen=True)
class Flows:
    """The stations of a graph, and what reaches each."""

    stations: tuple[str, ...]
    inflow: dict[str, Inflow]
    thresholds: dict[str, str]
    """Integrators whose potential a Threshold tests at once: they fire, without a reset."""
    outputs: dict[str, str]
    """Of each Output the station that it shows."""
    tested: frozenset[str]
    """Outputs that show the spikes of a Threshold's integrator, not its potential."""


def fold(flat: Flat, dt: float) -> Flows:
    """Fold the linear nodes. Raises: EspikeError naming a loop without a neuron, or a node with too many weights."""
    before: dict[str, list[str]] = {name: [] for name in flat.nodes}
    after: dict[str, list[str]] = {name: [] for name in flat.nodes}
    for a, b in flat.edges:
        before[b].append(a)
        after[a].append(b)
    thresholds = _thresholds(flat, before, after)
    holder = {threshold: integrator for integrator, threshold in thresholds.items()}
    linear = [n for n, node in flat.nodes.items() if node.kind not in (*NEURONS, "Input")]
    order, delays = _linear_order(flat, linear, before, after, dt)
    outflow: dict[str, Inflow] = {}
    for name in flat.nodes:
        if name in delays:
            outflow[name] = Inflow({name: delays[name].paths}, delays[name].bias)
        elif name not in order:
            origin = holder.get(name, name)
            elements = prod(flat.shapes[name])
            outflow[name] = Inflow({origin: identity(elements)}, np.zeros(elements))
    inflow: dict[str, Inflow] = {}
    for name in order:
        into = _sum(outflow[a] for a in before[name]) if before[name] else None
        if into is None:
            into = Inflow({}, np.zeros(0))
        inflow[name] = into
        outflow[name] = _through(flat, name, into, dt)
    stations = [n for n in flat.nodes if n not in order and n not in holder]
    for name in stations:
        arriving = [outflow[a] for a in before[name]]
        inflow[name] = _sum(arriving) if arriving else Inflow({}, np.zeros(prod(flat.shapes[name])))
    outputs: dict[str, str] = {}
    for name in order:
        if flat.nodes[name].kind == "Output":
            into = outflow[name]
            shown = _shown(into)
            outputs[name] = name if shown is None else shown
            if shown is None:
                stations.append(name)
                inflow[name] = into
    tested = frozenset(name for name, shown in outputs.items() if shown in thresholds and _via(name, before, holder))
    return Flows(tuple(stations), {n: inflow[n] for n in stations}, thresholds, outputs, tested)


def _via(output: str, before: dict[str, list[str]], holder: dict[str, str]) -> bool:
    """Whether a Threshold, and not its integrator, leads to an Output that shows a station unchanged."""
    name = output
    while name not in holder and len(before[name]) == 1:
        name = before[name][0]
        if name in holder.values():
            return False
    return name in holder


def _thresholds(flat: Flat, before: dict[str, list[str]], after: dict[str, list[str]]) -> dict[str, str]:
    """Integrators that lead to nothing but one Threshold, and to Outputs."""
    found = {}
    for name, node in flat.nodes.items():
        if node.kind in INTEGRATORS:
            others = [b for b in after[name] if flat.nodes[b].kind != "Output" or len(before[b]) > 1]
            if len(others) == 1 and flat.nodes[others[0]].kind == "Threshold" and before[others[0]] == [name]:
                found[name] = others[0]
    return found


def _linear_order(
    flat: Flat, linear: list[str], before: dict[str, list[str]], after: dict[str, list[str]], dt: float
) -> tuple[dict[str, None], dict[str, Operator]]:
    """Linear nodes, each after those that lead to it; and the Delays that loops of them are cut at."""
    inside = set(linear)
    delays: dict[str, Operator] = {}
    order: dict[str, None] = {}
    waiting = {n: sum(a in inside for a in before[n]) for n in linear}
    ready = deque(n for n in linear if not waiting[n])
    while len(order) + len(delays) < len(linear):
        while ready:
            name = ready.popleft()
            if name not in delays:
                order[name] = None
            for follower in after[name]:
                if follower in waiting and follower not in order and follower not in delays:
                    waiting[follower] -= 1
                    if not waiting[follower]:
                        ready.append(follower)
        left = [n for n in linear if n not in order and n not in delays]
        if left:
            cut = next((n for n in left if flat.nodes[n].kind == "Delay" and n in _loop(left, before, n)), None)
            if cut is None:
                loop = _loop(left, before)
                what = f"a loop without a neuron: {' -> '.join(loop)}"
                raise EspikeError(what, where=flat.nodes[loop[0]].where, do="put a neuron or a Delay into it")
            delays[cut] = operator(flat.nodes[cut], flat.shapes[cut], flat.shapes[cut], dt)
            if np.any(delays[cut].paths.delay == 0):
                what = "is below half a burst, in a loop without a neuron"
                raise EspikeError(what, where=f"{flat.nodes[cut].where}/delay")
            ready.append(cut)
    return order, delays


def _loop(left: list[str], before: dict[str, list[str]], start: str | None = None) -> list[str]:
    """A loop among nodes that each have a predecessor among them; `start`: the one that it is in, if any."""
    among = set(left)
    if start is not None:
        reached, queue = set(), deque([start])
        while queue:
            for a in before[queue.popleft()]:
                if a == start:
                    return [start]
                if a in among and a not in reached:
                    reached.add(a)
                    queue.append(a)
        return []
    name, walk = left[0], []
    while name not in walk:
        walk.append(name)
        name = next(a for a in before[name] if a in among)
    return [*walk[walk.index(name) :], name][::-1]


def _through(flat: Flat, name: str, into: Inflow, dt: float) -> Inflow:
    """What leaves a linear node."""
    node, made = flat.nodes[name], flat.shapes[name]
    given = next((flat.shapes[a] for a, b in flat.edges if b == name), made)
    op = operator(node, given, made, dt)
    if not into.paths and not into.bias.size:
        return Inflow({}, op.bias)
    then = replace(op.paths, via=frozenset([name]) if node.kind not in ("Output", "Pass", "Flatten") else frozenset())
    paths = {}
    for origin, first in into.paths.items():
        paths[origin] = compose(first, then, node.where)
    bias = op.bias.copy()
    np.add.at(bias, then.target, then.weight * into.bias[then.source])
    return Inflow(paths, bias)


def _sum(flows: Iterable[Inflow]) -> Inflow:
    """Several edges into a node are summed."""
    flows = list(flows)
    parts: dict[str, list[Paths]] = {}
    for flow in flows:
        for origin, paths in flow.paths.items():
            parts.setdefault(origin, []).append(paths)
    bias = np.sum([flow.bias for flow in flows], axis=0)
    return Inflow({origin: joined(several) for origin, several in parts.items()}, bias)


def _shown(into: Inflow) -> str | None:
    """The station that reaches an Output unchanged and alone."""
    if len(into.paths) == 1 and not np.any(into.bias):
        origin, paths = next(iter(into.paths.items()))
        if paths.is_identity(len(into.bias)):
            return origin
    return None

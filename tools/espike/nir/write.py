"""connectome -> NIR file: areas with neuron models as NIR's neurons, mappings as dense matrices and delays.

NIR has no words for some of it. What changes the spikes and cannot be said is refused; how a reset or a comparison is
meant is kept in the graph's metadata for espike itself, and said in words.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from espike_sim.connectome import Area, Connectome
from espike_sim.dynamics import Dynamics
from espike_sim.errors import EspikeError
from espike_sim.npzfile import write_atomic
from espike_sim.pcg import ALWAYS_FROM
from espike_sim.stimulus import INPUT_GROUPS

from .file import VALUES_MOST, h5py_module
from .order import by_distance, ways_back
from .own import KEY, Own, as_text
from .semantics import USUAL_DT

NIR_VERSION = "1.0.8"
"""Whose layout is written."""
NO_LEAK = 2.0**60
"""Bursts of a time constant that stands for none: 1 - 2^-60 is 1 in binary64."""
OUTPUT_GROUPS = ("output", "opu")
F64 = NDArray[np.float64]
Nodes = dict[str, dict[str, Any]]


@dataclass(frozen=True)
class Written:
    """What went into a NIR file."""

    nodes: int
    edges: int
    notes: tuple[str, ...]
    """What NIR does not say, in words."""


def write(c: Connectome, path: Path) -> Written:
    """Write a connectome as a NIR file, whole or not at all.

    Raises: EspikeError naming the area or mapping that NIR cannot say, and why.
    """
    if path.suffix != ".nir":
        raise EspikeError("a NIR file ends in .nir", where=str(path))
    _refuse(c)
    dt, notes = c.timestep_s, []
    if not dt:
        dt = USUAL_DT
        notes.append(f"the network names no burst period: time constants are written for {dt:g} s")
    if c.senses is not None:
        notes.append("its encoders and decoder are not written: NIR begins with spikes, or with values")
    names = _names(c.areas)
    nodes: Nodes = {}
    edges: list[tuple[str, str]] = []
    exits = [_area(c, i, names[i], dt, nodes, edges, notes) for i in range(len(c.areas))]
    waits = _waits(c, names)
    for i, area in enumerate(c.areas):
        _mappings(c, i, names, exits, dt, waits, nodes, edges, notes)
        if area.group.lower() in OUTPUT_GROUPS or not any(m.source == i for m in c.mappings):
            _output(area, names[i], exits[i], nodes, edges)
    if not any(node["type"] == "Input" for node in nodes.values()):
        raise EspikeError("no area is an input", do="an area without mappings to it is one, or one of the group input")
    own = Own({name: _meant(area).as_json() for name, area in zip(names, c.areas, strict=True)})
    _save(path, nodes, edges, own)
    return Written(len(nodes), len(edges), tuple(notes))


def _refuse(c: Connectome) -> None:
    """What NIR has no words for, and what changes who fires."""
    for area in c.areas:
        part, where = slice(area.first, area.first + area.count), f"area {area.id}"
        if area.dynamics is None:
            what = "FEAGI's neurons test their threshold before they leak, which NIR cannot say"
            raise EspikeError(what, where=where, do="only areas with a neuron model are written")
        for name, bad in (
            ("a refractory period", c.refractory[part] > 0),
            ("a fire limit", c.fire_limit[part] > 0),
            ("a firing window", np.isfinite(c.limit[part])),
            ("an excitability below 1", c.excitability[part] < ALWAYS_FROM),
        ):
            if np.any(bad) and _tests(area.dynamics):
                raise EspikeError(f"has {name}, which NIR cannot say", where=where)
        if area.dynamics.late and not area.accumulate:
            raise EspikeError("forgets its potential and resets late, which NIR cannot say", where=where)
    if len(c.power_neuron):
        raise EspikeError("powered neurons cannot be said in NIR", do="give them a bias")
    for i, m in enumerate(c.mappings):
        where = f"mapping {c.areas[m.source].id} -> {c.areas[m.target].id}"
        if m.learning is not None or m.plastic:
            raise EspikeError("it learns, which NIR cannot say", where=where)
        cells = c.areas[m.source].count * c.areas[m.target].count
        if cells > VALUES_MOST:
            what = (
                f"NIR has dense matrices alone: {cells:,} weights for {c.mapping_start[i + 1] - c.mapping_start[i]:,}"
            )
            raise EspikeError(what, where=where, do=f"{VALUES_MOST:,} are written at most")


def _names(areas: Sequence[Area]) -> list[str]:
    """Names of nodes: area ids without / and . which have a meaning in NIR files."""
    made: list[str] = []
    for area in areas:
        word = area.id.replace("/", "_").replace(".", "_") or "area"
        made.append(word if word not in made else f"{word}_{area.first}")
    return made


def _area(
    c: Connectome, index: int, name: str, dt: float, nodes: Nodes, edges: list[tuple[str, str]], notes: list[str]
) -> str:
    """Add the nodes of an area -> the one whose output is the area's."""
    area = c.areas[index]
    dynamics, n = area.dynamics, area.count
    assert dynamics is not None
    part = slice(area.first, area.first + n)
    fed = any(m.target == index for m in c.mappings) or np.any(c.bias[part])
    passes = not area.accumulate and (dynamics.graded or (dynamics.fires and _tests_a_spike(c, part)))
    if not fed and passes:
        nodes[name] = {"type": "Input", "shape": _shape(area)}
        return name
    threshold = c.threshold[part]
    if not dynamics.strict and _tests(dynamics):
        if _meant(area).strict:
            threshold = np.nextafter(threshold, np.float32(-np.inf))
            notes.append(f"area {area.id}: potential >= threshold is written as > the next smaller number")
        else:
            notes.append(f"area {area.id}: it fires at the threshold, too; NIR says above it")
    if not area.accumulate:
        kind: dict[str, Any] = {"type": "Threshold", "threshold": threshold}
        if not _tests(dynamics):
            kind = {"type": "Scale", "scale": np.ones(n, np.float32)}
        nodes[name] = kind
        out = name
    else:
        out = _neurons(c, area, name, dt, threshold, nodes, edges)
    if dynamics.reset == "subtract":
        notes.append(f"area {area.id}: its reset subtracts the threshold; NIR reads it as a reset to 0")
    if dynamics.late:
        notes.append(f"area {area.id}: its reset acts a burst late; NIR cannot say so")
    if dynamics.current == "old":
        notes.append(f"area {area.id}: its potential takes the current of the burst before; NIR cannot say so")
    if not fed or area.group.lower() in INPUT_GROUPS:
        into = f"{name}_input"
        nodes[into] = {"type": "Input", "shape": _shape(area)}
        edges.append((into, name))
        notes.append(f"area {area.id}: its stimulus comes from the Input {into}")
    return out


def _meant(area: Area) -> Dynamics:
    """The neuron model that goes with what is written: >= becomes > by another threshold, which nothing is reset by."""
    assert area.dynamics is not None
    return area.dynamics if area.dynamics.reset == "subtract" else replace(area.dynamics, strict=True)


def _tests(dynamics: Dynamics) -> bool:
    """Whether neurons fire by a threshold."""
    return dynamics.fires and not dynamics.graded


def _tests_a_spike(c: Connectome, part: slice) -> bool:
    return bool(np.all((c.threshold[part] > 0) & (c.threshold[part] < 1)))


def _neurons(
    c: Connectome, area: Area, name: str, dt: float, threshold: NDArray[np.float32], nodes: Nodes,
    edges: list[tuple[str, str]],
) -> str:  # fmt: skip
    """Neurons whose input counts once: r = tau / dt, w_in = tau_syn / dt, as snnTorch writes them."""
    dynamics, part = area.dynamics, slice(area.first, area.first + area.count)
    assert dynamics is not None
    tests = _tests(dynamics)
    resets = tests and dynamics.reset != "none"
    tau = _tau(c.leak[part], dt)
    lift = np.zeros(area.count)
    if resets and dynamics.reset == "subtract":  # potentials count from where the threshold is what is subtracted
        lift = c.reset[part].astype(np.float64) - threshold
    values: dict[str, Any] = {"r": tau / dt, "v_leak": lift}
    if dynamics.current:
        tau_syn = _tau(c.current_leak[part], dt)
        values |= {"tau_mem": tau, "tau_syn": tau_syn, "w_in": tau_syn / dt}
    elif np.any(c.leak[part]) or np.any(lift):
        values["tau"] = tau
    else:
        values = {"r": np.full(area.count, 1 / dt)}
    kind = {"tau_mem": "CubaLI", "tau": "LI"}.get(next((k for k in values if k.startswith("tau")), ""), "I")
    if resets:
        to = np.zeros(area.count) if dynamics.reset == "subtract" else c.reset[part].astype(np.float64)
        values |= {"v_threshold": threshold + lift, "v_reset": to}
        kind += "F"
    nodes[name] = {"type": kind, **values}
    if tests and not resets:
        nodes[f"{name}_threshold"] = {"type": "Threshold", "threshold": threshold}
        edges.append((name, f"{name}_threshold"))
        return f"{name}_threshold"
    return name


def _tau(leak: F64, dt: float) -> F64:
    """Time constants of which Euler's decay is the leak; retained fractions stay what they are in binary32."""
    tau = dt / np.where(leak > 0, leak, 1 / NO_LEAK)
    wanted = (1.0 - leak).astype(np.float32)
    for _ in range(4):
        made = (1.0 - dt / tau).astype(np.float32)
        tau = np.where(made < wanted, np.nextafter(tau, np.inf), np.where(made > wanted, np.nextafter(tau, 0), tau))
    made_tau: F64 = np.maximum(tau, dt)
    return made_tau


def _shape(area: Area) -> NDArray[np.int64]:
    axes = [n for n in (*area.dimensions, area.neurons_per_voxel) if n > 1]
    return np.array(axes or [1], np.int64)


def _waits(c: Connectome, names: Sequence[str]) -> set[int]:
    """Mappings of one burst that need no Delay, because whoever reads the graph cuts a loop there."""
    at_once = {i for i, m in enumerate(c.mappings) if m.delay == 0}
    loops = {i for i, m in enumerate(c.mappings) if m.delay == 1 and m.target <= m.source}
    pairs = {i: (names[m.source], names[m.target]) for i, m in enumerate(c.mappings)}
    inputs = [names[i] for i in range(len(names)) if not any(m.target == i for m in c.mappings)]
    near = by_distance(names, inputs, list(pairs.values()))
    back = ways_back(near, [pairs[i] for i in sorted(at_once | loops)])
    folded = [a for a in c.areas if not a.accumulate and a.dynamics is not None and not _tests(a.dynamics)]
    if back == {pairs[i] for i in loops} and not folded:
        return loops
    return {i for i in loops if len(set(pairs[i])) == 1}


def _mappings(
    c: Connectome, target: int, names: Sequence[str], exits: Sequence[str], dt: float, waits: set[int], nodes: Nodes,
    edges: list[tuple[str, str]], notes: list[str],
) -> None:  # fmt: skip
    """Add a matrix per mapping to an area, and a Delay where it waits; the area's bias goes with the first."""
    area = c.areas[target]
    part = slice(area.first, area.first + area.count)
    bias: F64 | None = c.bias[part].astype(np.float64) if np.any(c.bias[part]) else None
    for i, m in enumerate(c.mappings):
        if m.target != target:
            continue
        source, name = c.areas[m.source], f"{names[m.source]}_to_{names[target]}"
        name = name if name not in nodes else f"{name}_{i}"
        rows = slice(int(c.mapping_start[i]), int(c.mapping_start[i + 1]))
        matrix = np.zeros((area.count, source.count))
        at = (c.target[rows].astype(np.int64) - area.first, c.source[rows].astype(np.int64) - source.first)
        np.add.at(matrix, at, c.weight[rows].astype(np.float64))
        if len(np.unique(at[0] * source.count + at[1])) < len(at[0]):
            notes.append(f"mapping {source.id} -> {area.id}: several synapses of a pair are written as their sum")
        nodes[name] = {"type": "Linear", "weight": matrix.astype(np.float32)}
        if bias is not None:
            nodes[name] |= {"type": "Affine", "bias": bias}
            bias = None
        last = exits[m.source]
        if m.delay > 0 and i not in waits:
            nodes[f"{name}_delay"] = {"type": "Delay", "delay": np.full(source.count, m.delay * dt)}
            edges.append((last, f"{name}_delay"))
            last = f"{name}_delay"
        edges += [(last, name), (name, names[target])]
    if bias is not None:
        raise EspikeError("has a bias and no mapping to it, which NIR cannot say", where=f"area {area.id}")


def _output(area: Area, name: str, last: str, nodes: Nodes, edges: list[tuple[str, str]]) -> None:
    out = "output" if "output" not in nodes else f"{name}_output"
    dynamics = area.dynamics
    assert dynamics is not None
    if nodes[name]["type"] == "Scale" and not dynamics.graded:  # a read-out without memory is an Output
        nodes[name] = {"type": "Output", "shape": _shape(area)}
        return
    nodes[out] = {"type": "Output", "shape": _shape(area)}
    edges.append((last, out))


def _save(path: Path, nodes: Nodes, edges: list[tuple[str, str]], own: Own) -> None:
    h5py, kept = h5py_module(), io.BytesIO()
    text = h5py.string_dtype()
    with h5py.File(kept, "w") as file:
        file.create_dataset("version", data=NIR_VERSION, dtype=text)
        top = file.create_group("node")
        top.create_dataset("type", data="NIRGraph", dtype=text)
        top.create_dataset("edges", data=np.array(edges, object).reshape(-1, 2), dtype=text)
        top.create_group("metadata").create_dataset(KEY, data=as_text(own), dtype=text)
        for name, values in nodes.items():
            group = top.create_group(f"nodes/{name}")
            for key, value in values.items():
                if isinstance(value, str):
                    group.create_dataset(key, data=value, dtype=text)
                else:
                    group.create_dataset(key, data=value, compression="gzip")
    write_atomic(path, kept.getvalue())

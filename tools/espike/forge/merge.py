"""two or more networks -> one: operators on their weights and biases, and how different networks are.

Linear interpolation and SLERP (Shoemake, 1985) take two networks of one topology; TIES (Yadav et al., 2023) and DARE
(Yu et al., 2023) several, and the ancestor that they come from. Area swap and projection insertion also take networks
of other topologies, whose areas have the same ids and sizes.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from espike_sim.connectome import Connectome, Mapping, area_meta
from espike_sim.errors import EspikeError

F64 = NDArray[np.float64]


def topology(c: Connectome) -> str:
    """SHA-256 (hex) of all but weights and biases: networks of one topology differ in nothing else."""
    known = {
        "areas": [area_meta(area) for area in c.areas],
        "mappings": [_ends(c, m) for m in c.mappings],
        "senses": None if c.senses is None else c.senses.as_json(),
    }
    made = hashlib.sha256(json.dumps(known, sort_keys=True, default=str).encode())
    for array in (c.source, c.target, c.mapping_start, c.threshold, c.leak, c.reset, c.limit, c.refractory):
        made.update(np.ascontiguousarray(array).tobytes())
    return made.hexdigest()


def parameters(c: Connectome) -> F64:
    """float64 (synapses + neurons,): weights, then biases."""
    return np.concatenate([c.weight, c.bias]).astype(np.float64)


def with_parameters(c: Connectome, values: F64) -> Connectome:
    """The network with other weights and biases, as `parameters` lays them out."""
    weight, bias = values[: c.synapses].astype(np.float32), values[c.synapses :].astype(np.float32)
    return replace(c, weight=weight, bias=bias)


def linear(a: Connectome, b: Connectome, t: float = 0.5) -> Connectome:
    """a + t (b - a). Raises: EspikeError where the topologies differ."""
    same(a, b)
    left, right = parameters(a), parameters(b)
    return with_parameters(a, left + t * (right - left))


def slerp(a: Connectome, b: Connectome, t: float = 0.5) -> Connectome:
    """Along the arc between the directions of each mapping's weights and each area's biases, lengths interpolated.

    Parts that are parallel, or 0, are interpolated linearly. Raises: EspikeError where the topologies differ.
    """
    same(a, b)
    left, right = parameters(a), parameters(b)
    made = left + t * (right - left)
    for part in _parts(a):
        x, y = left[part], right[part]
        lengths = float(np.linalg.norm(x)), float(np.linalg.norm(y))
        if not min(lengths):
            continue
        x, y = x / lengths[0], y / lengths[1]
        angle = float(np.arccos(np.clip(x @ y, -1, 1)))
        if 1e-6 < angle < np.pi - 1e-6:
            direction = (np.sin((1 - t) * angle) * x + np.sin(t * angle) * y) / np.sin(angle)
            made[part] = direction * (lengths[0] + t * (lengths[1] - lengths[0]))
    return with_parameters(a, made)


def ties(ancestor: Connectome, networks: Sequence[Connectome], density: float = 0.5, scale: float = 1.0) -> Connectome:
    """The ancestor and `scale` times what its descendants agree on.

    Of each descendant's changes the largest `density` are kept, in each mapping; per weight the sign with the larger
    sum is taken, and the mean of the changes that have it. Raises: EspikeError where the topologies differ.
    """
    base = parameters(ancestor)
    changes = np.array([_trimmed(ancestor, parameters(same(ancestor, c)) - base, density) for c in networks])
    sign = np.sign(changes.sum(axis=0))
    agreeing = (np.sign(changes) == sign) & (changes != 0)
    mean = np.where(agreeing, changes, 0).sum(axis=0) / np.maximum(1, agreeing.sum(axis=0))
    return with_parameters(ancestor, base + scale * mean)


def dare(
    ancestor: Connectome, networks: Sequence[Connectome], rng: np.random.Generator, drop: float = 0.5
) -> Connectome:
    """The ancestor and the mean of its descendants' changes, of each of which a share is dropped and the rest grown to
    make up for it: in the mean of many draws what was dropped is back. Raises: EspikeError where topologies differ."""
    if not 0 <= drop < 1:
        raise EspikeError(f"a share of {drop:g} cannot be dropped", do="give one from 0 to below 1")
    base = parameters(ancestor)
    total = np.zeros_like(base)
    for c in networks:
        change = parameters(same(ancestor, c)) - base
        total += np.where(rng.random(len(base)) < drop, 0, change / (1 - drop))
    return with_parameters(ancestor, base + total / len(networks))


def area_swap(a: Connectome, b: Connectome, areas: Sequence[str]) -> Connectome:
    """a, with all that leads into some areas, and their biases, from b. Raises: EspikeError where the areas differ."""
    _same_areas(a, b)
    chosen = {i for i, area in enumerate(a.areas) if area.id in areas}
    if len(chosen) != len(set(areas)):
        raise EspikeError("no such area: " + ", ".join(sorted(set(areas) - {area.id for area in a.areas})))
    parts = [(a, i) for i, m in enumerate(a.mappings) if m.target not in chosen]
    parts += [(b, i) for i, m in enumerate(b.mappings) if m.target in chosen]
    made = _of_parts(a, parts)
    bias = made.bias.copy()
    for i in chosen:
        own = slice(a.areas[i].first, a.areas[i].first + a.areas[i].count)
        bias[own] = b.bias[own]
    return replace(made, bias=bias)


def projection_insertion(a: Connectome, b: Connectome, strength: float = 0.5) -> Connectome:
    """a, with those mappings of b that it has not, their weights times `strength`; nothing new: a itself.

    Raises: EspikeError where the areas differ.
    """
    _same_areas(a, b)
    known = {(m.source, m.target, m.delay) for m in a.mappings}
    new = [i for i, m in enumerate(b.mappings) if (m.source, m.target, m.delay) not in known]
    if not new:
        return a
    parts = [(a, i) for i in range(len(a.mappings))]
    softer = replace(b, weight=(b.weight * np.float32(strength)).astype(np.float32))
    return _of_parts(a, parts + [(softer, i) for i in new])


def diversity(networks: Sequence[Connectome]) -> float:
    """Mean distance between two networks' parameters, over the mean length; 0 where there are fewer than two.

    Networks of other topologies have a distance of 1.
    """
    found: list[float] = []
    for i, a in enumerate(networks):
        for b in networks[:i]:
            if topology(a) != topology(b):
                found.append(1.0)
                continue
            x, y = parameters(a), parameters(b)
            length = (np.linalg.norm(x) + np.linalg.norm(y)) / 2
            found.append(float(np.linalg.norm(x - y) / length) if length else 0.0)
    return float(np.mean(found)) if found else 0.0


def same(a: Connectome, b: Connectome) -> Connectome:
    """b. Raises: EspikeError where its topology is not a's."""
    if topology(a) != topology(b):
        raise EspikeError("networks of different topologies cannot be merged weight by weight")
    return b


def _parts(c: Connectome) -> list[slice]:
    """Of `parameters`: each mapping's weights, each area's biases."""
    starts = c.mapping_start
    mapped = [slice(int(starts[i]), int(starts[i + 1])) for i in range(len(c.mappings))]
    return mapped + [slice(c.synapses + area.first, c.synapses + area.first + area.count) for area in c.areas]


def _trimmed(c: Connectome, change: F64, density: float) -> F64:
    """The largest changes of each part, the others 0."""
    made = np.zeros_like(change)
    for part in _parts(c):
        size = np.abs(change[part])
        kept = max(1, round(density * len(size)))
        least = np.partition(size, len(size) - kept)[len(size) - kept] if len(size) else 0.0
        made[part] = np.where(size >= least, change[part], 0)
    return made


def _ends(c: Connectome, m: Mapping) -> list[object]:
    return [c.areas[m.source].id, c.areas[m.target].id, m.rule, m.delay, m.driven, m.plastic]


def _same_areas(a: Connectome, b: Connectome) -> None:
    if [area_meta(area) for area in a.areas] != [area_meta(area) for area in b.areas]:
        raise EspikeError("networks whose areas differ cannot share mappings")


def _of_parts(a: Connectome, parts: Sequence[tuple[Connectome, int]]) -> Connectome:
    """a's neurons with the mappings of several networks, ordered by source and target area."""
    ordered = sorted(parts, key=lambda part: _order(part[0].mappings[part[1]]))
    cuts = [slice(int(c.mapping_start[i]), int(c.mapping_start[i + 1])) for c, i in ordered]
    source, target, weight = (
        np.concatenate([getattr(c, name)[cut] for (c, _), cut in zip(ordered, cuts, strict=True)])
        for name in ("source", "target", "weight")
    )
    starts = np.cumsum([0, *(cut.stop - cut.start for cut in cuts)], dtype=np.int64)
    mappings = tuple(c.mappings[i] for c, i in ordered)
    return replace(a, mappings=mappings, mapping_start=starts, source=source, target=target, weight=weight)


def _order(m: Mapping) -> tuple[int, int, int]:
    return m.target, m.source, m.delay

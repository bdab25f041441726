"""flat genome -> neurons and synapses, one at a time: growth written a second time, to compare with.

Plain loops over plain dictionaries; nothing is shared with the developer under test.
"""

from __future__ import annotations

from itertools import product
from typing import Any

import numpy as np

JSON = dict[str, Any]
Synapse = tuple[int, int]


def genes_of(genome: JSON) -> dict[str, dict[str, Any]]:
    """Genes by area of a flat genome whose areas have 6 characters."""
    areas: dict[str, dict[str, Any]] = {}
    for key, value in genome["blueprint"].items():
        areas.setdefault(key[9:15], {})[key[19:25]] = value
    return areas


def in_order(areas: dict[str, dict[str, Any]]) -> list[str]:
    """Core areas first, the missing ones added, then by first appearance."""
    core = []
    for spellings in (("_death", "___dth"), ("_power", "___pwr"), ("_fatigue", "_fatig")):
        there = [a for a in areas if a in spellings]
        if not there:
            areas[spellings[0]] = {"___bbx": 1, "___bby": 1, "___bbz": 1}
        core.append(there[0] if there else spellings[0])
    return core + [a for a in areas if a not in core]


def size(genes: dict[str, Any]) -> tuple[int, int, int]:
    """Voxels along x, y, z."""
    return genes["___bbx"], genes["___bby"], genes["___bbz"]


def voxels(genes: dict[str, Any]) -> list[tuple[int, int, int]]:
    """Voxels with x outermost."""
    x, y, z = size(genes)
    return [(i, j, k) for i in range(x) for j in range(y) for k in range(z)]


def project(p: int, s: int, d: int) -> list[int]:
    """projector on one axis."""
    if s > d:
        return [int(np.floor(np.float32(p) / (np.float32(s) / np.float32(d))))]
    if s == d:
        return [p]
    return [q for q in range(d) if int(np.floor(np.float32(q) / (np.float32(d) / np.float32(s)))) == p]


def target_voxels(
    morphology: JSON, name: str, v: tuple[int, int, int], s: tuple[int, int, int], d: tuple[int, int, int]
) -> set[tuple[int, int, int]]:
    """The target voxels of one source voxel."""
    found: set[tuple[int, int, int]] = set()
    if morphology["type"] == "vectors":
        for a, b, c in morphology["parameters"]["vectors"]:
            found.add((v[0] + a, v[1] + b, v[2] + c))
    elif morphology["type"] == "patterns":
        for source, destination in morphology["parameters"]["patterns"]:
            if not all(isinstance(e, str) or e == v[i] for i, e in enumerate(source)):
                continue
            axes = []
            for i, e in enumerate(destination):
                if e == "*":
                    axes.append(list(range(d[i])))
                elif e == "!":
                    axes.append([q for q in range(d[i]) if q != v[i]])
                else:
                    axes.append([v[i] if e == "?" else e])
            found |= set(product(*axes))
    elif name == "projector":
        found = set(product(*(project(v[i], s[i], d[i]) for i in range(3))))
    elif name == "block_to_block":
        found = {(min(v[0], d[0] - 1), min(v[1], d[1] - 1), min(v[2], d[2] - 1))}
    elif name == "expander_x":
        found = {(v[0] * d[0] // s[0], v[1] * d[1] // s[1], v[2] * d[2] // s[2])}
    elif name == "lateral_pairs_x":
        found = {(v[0] + 1 if v[0] % 2 == 0 else v[0] - 1, v[1], v[2])}
    elif name == "reducer_x":
        found = {(bit, v[1], v[2]) for bit in range(32) if v[0] >> bit & 1}
    elif name == "last_to_first" and v == (s[0] - 1, s[1] - 1, s[2] - 1):
        found = {(0, 0, 0)}
    return {t for t in found if all(0 <= t[i] < d[i] for i in range(3))}


def develop(genome: JSON) -> tuple[int, list[float], list[list[tuple[int, int, float]]]]:
    """(neurons, threshold of each, per rule a list of (source, target, weight)), extended rules included."""
    areas = genes_of(genome)
    order = in_order(areas)
    first, thresholds, neuron_of = 0, [], {}
    members: dict[str, list[tuple[int, tuple[int, int, int]]]] = {}
    for area in order:
        genes = areas[area]
        members[area] = []
        for v in voxels(genes):
            for _ in range(genes.get("_n_cnt", 1)):
                steps = (genes.get("ftincx", 0), genes.get("ftincy", 0), genes.get("ftincz", 0))
                thresholds.append(genes.get("fire_t", 1) + sum(p * i for p, i in zip(v, steps, strict=True)))
                neuron_of[area, v] = first  # the last one created stays
                members[area].append((first, v))
                first += 1
    grown: list[tuple[str, list[Any], list[Synapse]]] = []
    for area in order:
        for destination, rules in areas[area].get("dstmap", {}).items():
            for rule in rules:
                morphology = genome["neuron_morphologies"][rule[0]]
                pairs = []
                for neuron, v in members[area]:
                    met = target_voxels(morphology, rule[0], v, size(areas[area]), size(areas[destination]))
                    pairs += sorted((neuron, neuron_of[destination, t]) for t in met)
                grown.append((area, rule, pairs))
    fan_out = [0] * first
    for _, _, pairs in grown:
        for source, _ in pairs:
            fan_out[source] += 1
    synapses = []
    for area, rule, pairs in grown:
        amount = rule[2] * areas[area].get("pstcr_", 1)
        uniform = areas[area].get("pspuni", False)
        synapses.append([(s, t, float(np.float32(amount / (1 if uniform else fan_out[s])))) for s, t in pairs])
    return first, thresholds, synapses

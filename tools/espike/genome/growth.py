"""rule and its two areas -> source and target neurons: FEAGI's morphologies."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from espike_sim.pcg import pcg

from . import axes
from .axes import I64, U32
from .model import Area, Morphology, Voxel

Axes = tuple[axes.Axis, axes.Axis, axes.Axis]
Pairs = tuple[I64, I64]
CheckSize = Callable[[int], None]
"""Called with the synapses that a rule is about to list; raises EspikeError where they are too many."""

PER_AXIS: dict[str, Callable[[int, int], axes.Axis]] = {
    "projector": axes.projected,
    "block_to_block": axes.clamped,
    "expander_x": axes.scaled,
}
"""Functions that treat each axis alike."""
FUNCTIONS = ("projector", "block_to_block")
"""Functions that FEAGI grows."""
EXTENDED_FUNCTIONS = ("expander_x", "reducer_x", "lateral_pairs_x", "randomizer", "last_to_first")
"""Functions that FEAGI describes and does not grow; they grow with `extended`."""
_NEVER_PASSED = "FEAGI has this variant of projector and never uses it"
_MEMORY = "memory areas are not developed"
NOT_GROWN = {
    "projector_xy": _NEVER_PASSED, "projector_xz": _NEVER_PASSED, "projector_yz": _NEVER_PASSED,
    "project_from_end_x": _NEVER_PASSED, "project_from_end_y": _NEVER_PASSED, "project_from_end_z": _NEVER_PASSED,
    "memory": _MEMORY, "episodic_memory": _MEMORY, "memory_replay": _MEMORY, "associative_memory": _MEMORY,
}  # fmt: skip
"""Functions known by name that grow nothing, each with its reason."""


@dataclass(frozen=True)
class Draws:
    """The random numbers of one rule: a hash of seed, rule, source neuron and target neuron, with no hidden state."""

    seed: int
    rule: int

    def of_sources(self, source: U32) -> U32:
        """uint32 (n,): one number per source neuron."""
        start = pcg(np.array([self.seed & 0xFFFFFFFF], np.uint32))
        return pcg(pcg(start + np.uint32(self.rule * 0x9E3779B1 & 0xFFFFFFFF)) + source)

    def weights(self, source: U32, target: U32) -> NDArray[np.float64]:
        """float64 (n,) in 0..1: one number per pair of neurons, apart from `of_pairs`."""
        return pcg(self.of_pairs(source, target) ^ np.uint32(0x9E3779B1)) / 4294967295.0

    def of_pairs(self, source: U32, target: U32) -> U32:
        """uint32 (n,): one number per pair of neurons."""
        return pcg(self.of_sources(source) + target)


def why_not(morphology: Morphology | None, name: str, extended: bool) -> str:
    """Why a rule with this morphology grows nothing, or an empty string where it grows."""
    if morphology is None:
        return f"morphology {name} is not defined"
    if morphology.kind in ("vectors", "patterns", "fully_connected", "random"):
        return ""
    if morphology.kind != "function":
        return f"its kind, {morphology.kind}, is not grown"
    if name in FUNCTIONS or (extended and name in EXTENDED_FUNCTIONS):
        return ""
    if name in EXTENDED_FUNCTIONS:
        return "FEAGI grows nothing for it (its described rule grows with extended)"
    return NOT_GROWN.get(name, f"there is no function {name}")


def grow(morphology: Morphology, source: Area, target: Area, draws: Draws, check_size: CheckSize) -> Pairs:
    """int64 (synapses,) twice: source and target neuron, counted within their areas, sorted, each pair once.

    A voxel is reached through its last neuron; every neuron of a source voxel sends. `morphology` is one for
    which `why_not` is empty.
    """
    s, t = source.dimensions, target.dimensions
    if morphology.kind == "fully_connected":
        s, t = (source.count, 1, 1), (target.count, 1, 1)
        check_size(source.count * target.count)
        every = (axes.matched("*", "*", s[0], t[0]), axes.clamped(1, 1), axes.clamped(1, 1))
        return axes.list_pairs(every, s, t)
    if morphology.kind == "random":
        fan_out = min(morphology.fan_out, target.count)
        check_size(source.count * fan_out)
        return _random_targets(source.count, target.count, fan_out, draws)
    if morphology.kind == "function" and morphology.name == "randomizer":
        check_size(source.count)
        return _random_voxels(source, target, draws)
    pairs = _voxel_pairs(morphology, s, t, lambda count: check_size(count * source.neurons_per_voxel))
    return _neurons_of(pairs, source.neurons_per_voxel, target.neurons_per_voxel)


def _voxel_pairs(morphology: Morphology, s: Voxel, t: Voxel, check_size: CheckSize) -> Pairs:
    lists: list[Pairs] = []
    described: list[Axes] = []
    if morphology.kind == "vectors":
        check_size(int(np.prod(s)) * len(morphology.vectors))
        return _shifted(np.array(morphology.vectors, np.int64).reshape(-1, 3), s, t)
    if morphology.kind == "patterns":
        points = [pair for pair in morphology.patterns if not any(isinstance(e, str) for side in pair for e in side)]
        ranges = [pair for pair in morphology.patterns if any(isinstance(e, str) for side in pair for e in side)]
        if points:
            lists.append(_points(np.array(points, np.int64), s, t))
        for a, b in ranges:
            x, y, z = (axes.matched(*element) for element in zip(a, b, s, t, strict=True))
            described.append((x, y, z))
    elif morphology.name == "reducer_x":
        check_size(int(np.prod(s)) * 32)
        lists.append(_bits(s, t))
    elif morphology.name == "last_to_first":
        lists.append(_points(np.array([[[n - 1 for n in s], [0, 0, 0]]], np.int64), s, t))
    elif morphology.name == "lateral_pairs_x":
        x, y, z = axes.paired(s[0], t[0]), axes.same(s[1], t[1]), axes.same(s[2], t[2])
        described.append((x, y, z))
    else:
        described.append(_per_axis(PER_AXIS[morphology.name], s, t))
    check_size(sum(map(axes.synapse_count, described)) + sum(len(pairs[0]) for pairs in lists))
    lists += [axes.list_pairs(a, s, t) for a in described]
    return lists[0] if len(lists) == 1 else _union(lists)


def _per_axis(make: Callable[[int, int], axes.Axis], s: Voxel, t: Voxel) -> Axes:
    x, y, z = (make(*sizes) for sizes in zip(s, t, strict=True))
    return x, y, z


def _points(points: I64, s: Voxel, t: Voxel) -> Pairs:
    """Pairs of voxels from coordinates: int64 (points, 2, 3), those out of bounds dropped."""
    inside = np.all(points < np.array([s, t]), axis=(1, 2))
    a, b = points[inside, 0], points[inside, 1]
    return _union([(np.ravel_multi_index(tuple(a.T), s), np.ravel_multi_index(tuple(b.T), t))])


def _bits(s: Voxel, t: Voxel) -> Pairs:
    """reducer: voxel x meets one voxel per set bit of x, at the same y and z."""
    x, bit = np.nonzero(np.arange(s[0])[:, None] >> np.arange(min(32, t[0]))[None, :] & 1)
    lists = []
    for y in range(min(s[1], t[1])):
        for z in range(min(s[2], t[2])):
            lists.append(((x * s[1] + y) * s[2] + z, (bit * t[1] + y) * t[2] + z))
    return _union(lists)


def _union(lists: list[Pairs]) -> Pairs:
    """All pairs, sorted, each once."""
    if not lists:
        return np.empty(0, np.int64), np.empty(0, np.int64)
    key = np.concatenate([source << 32 | target for source, target in lists])
    lists.clear()
    key.sort()
    key = key[np.concatenate([[True], key[1:] != key[:-1]])] if len(key) else key
    return key >> 32, key & 0xFFFFFFFF


def _shifted(vectors: I64, s: Voxel, t: Voxel) -> Pairs:
    """vectors: target voxel = source voxel + each of int64 (vectors, 3), dropped where out of bounds.

    Vectors in ascending order meet targets in ascending order, so nothing is left to sort.
    """
    vectors = np.unique(vectors, axis=0)
    size, strides = np.array(t, np.int64), np.array([t[1] * t[2], t[2], 1], np.int64)
    voxels, step = int(np.prod(s)), max(1, axes.CHUNK // max(1, len(vectors)))
    lists: list[Pairs] = [(np.empty(0, np.int64), np.empty(0, np.int64))]
    for begin in range(0, voxels if len(vectors) else 0, step):
        source = np.arange(begin, min(begin + step, voxels))
        met = np.stack(np.unravel_index(source, s), axis=1)[:, None, :] + vectors
        inside = np.all((met >= 0) & (met < size), axis=2)
        lists.append((source[np.nonzero(inside)[0]], met[inside] @ strides))
    return np.concatenate([pair[0] for pair in lists]), np.concatenate([pair[1] for pair in lists])


def _neurons_of(pairs: Pairs, of_source: int, of_target: int) -> Pairs:
    """Pairs of voxels -> pairs of neurons."""
    voxel, target = pairs
    target = target * of_target + (of_target - 1) if of_target > 1 else target
    if of_source == 1 or not len(voxel):
        return voxel, target
    rows, first, count = np.unique(voxel, return_index=True, return_counts=True)
    neurons = (rows[:, None] * of_source + np.arange(of_source)).ravel()
    counts, firsts = np.repeat(count, of_source), np.repeat(first, of_source)
    local = np.arange(int(counts.sum())) - np.repeat(np.cumsum(counts) - counts, counts)
    return np.repeat(neurons, counts), target[np.repeat(firsts, counts) + local]


def _random_targets(sources: int, targets: int, fan_out: int, draws: Draws) -> Pairs:
    """random: each source neuron meets `fan_out` different neurons, drawn by the hash.

    Where that is more than half of them, those left out are drawn. What a row holds twice is drawn again.
    """
    drawn = fan_out if 2 * fan_out <= targets else targets - fan_out
    hashes = draws.of_sources(np.arange(sources, dtype=np.uint32))
    chosen = np.full((sources, drawn), -1, np.int64)
    again = np.nonzero(chosen < 0)
    attempt = 0
    while again[0].size:
        number = np.asarray(again[1] + attempt * drawn).astype(np.uint32)
        chosen[again] = pcg(pcg(number) ^ hashes[again[0]]).astype(np.int64) * targets >> 32
        chosen.sort(axis=1)
        attempt += 1
        again = np.nonzero(np.diff(chosen, axis=1, prepend=-1) == 0)
    if drawn != fan_out:
        kept = np.ones((sources, targets), np.bool_)
        np.put_along_axis(kept, chosen, False, axis=1)
        rows, columns = np.nonzero(kept)
        return rows, columns
    return np.repeat(np.arange(sources, dtype=np.int64), fan_out), chosen.ravel()


def _random_voxels(source: Area, target: Area, draws: Draws) -> Pairs:
    """randomizer: each source neuron meets one voxel, drawn by the hash."""
    neurons = np.arange(source.count, dtype=np.int64)
    drawn = draws.of_sources(neurons.astype(np.uint32)).astype(np.int64)
    voxel = drawn * (target.count // target.neurons_per_voxel) >> 32
    return neurons, voxel * target.neurons_per_voxel + (target.neurons_per_voxel - 1)

"""shape + activity -> load: the mean burst in which a share of all neurons fires, and the worst burst there is."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from .work import BLOCK, AreaLoad, AreaShape, Load, Shape


def _chance(activity: float, neurons: float) -> float:
    """That any of some neurons is active."""
    return 1.0 if activity >= 1 else float(-np.expm1(neurons * np.log1p(-activity)))


def _delays(shape: Shape) -> Iterable[int]:
    return range(0 if shape.has_delay_zero else 1, shape.delay_most + 1)


def expected(shape: Shape, activity: float) -> Load:
    """The mean burst in which each neuron fires with a chance of `activity`, on its own (0..1).

    Input reaches a neuron as if every synapse had a random target in its area; every neuron of an area that updates
    all of its neurons is in motion, where input reaches the area at all.
    """
    inputs = np.zeros(len(shape.areas))
    for p in shape.projections:
        inputs[p.target] += activity * p.synapses
    areas = []
    for i, area in enumerate(shape.areas):
        own = activity * area.count  # input areas fire because a stimulus reaches them
        powered = area.powered / area.count
        silent = np.exp(-max(float(inputs[i]), own) / area.count) if area.count else 1.0
        reached = 1 - (1 - powered) * silent
        areas.append(_area_load(area, shape.candidates_only, activity, reached, bool(inputs[i] or area.powered)))
    return _propagated(shape, activity, areas)


def _area_load(area: AreaShape, candidates_only: bool, activity: float, reached: float, moves: bool) -> AreaLoad:
    """Mean work in an area whose neurons input reaches with a chance of `reached`."""
    block, blocks, rest = _chance(reached, BLOCK), area.whole_blocks, area.count % BLOCK
    fired = activity * area.count
    if candidates_only:
        updated = _chance(reached, area.count)
        spanned = block * blocks * BLOCK + updated * rest
        processed = reached * area.count
        resting = processed * min(0.9, activity / max(reached, activity) * area.refractory)
        return AreaLoad(updated, updated * blocks, 0, block * blocks + updated * (rest > 0), spanned - processed,
                        processed - resting, resting, fired, 0)  # fmt: skip
    busy = block if area.keeps else 1.0 if moves else _chance(activity * (2 + area.refractory), BLOCK)
    updated = 1.0 if moves else _chance(activity * (2 + area.refractory), area.count)
    plain = busy * blocks if area.plain else 0.0
    neurons = (0 if area.plain else busy * blocks * BLOCK) + updated * rest
    resting = neurons * min(0.9, activity * area.refractory)
    checked = updated * blocks if area.keeps else max(0.0, updated - busy) * blocks
    share = plain * BLOCK / area.count if area.count else 0.0
    return AreaLoad(updated, checked, plain, updated * (rest > 0) + (0 if area.plain else busy * blocks), 0,
                    neurons - resting, resting, fired, fired * min(1.0, share / max(busy, 1e-9)))  # fmt: skip


def worst(shape: Shape) -> Load:
    """The burst in which every neuron fires, every row is read and every neuron is updated."""
    areas = []
    for area in shape.areas:
        plain = area.whole_blocks if area.plain else 0
        spans = area.whole_blocks - plain + (area.count % BLOCK > 0)
        one_by_one = area.count - plain * BLOCK
        checked = area.whole_blocks if shape.candidates_only or area.keeps or not area.plain else 0
        areas.append(AreaLoad(1, checked, plain, spans, 0, one_by_one, 0, area.count, plain * BLOCK))
    return _propagated(shape, 1.0, areas)


def _propagated(shape: Shape, activity: float, areas: list[AreaLoad]) -> Load:
    """The load of a burst whose neurons, and those of the bursts before, fired with a chance of `activity`."""
    rows = np.array([activity * p.rows for p in shape.projections])
    events = np.array([activity * p.synapses for p in shape.projections])
    visited = np.array([
        p.synapses * _chance(activity, p.window * shape.areas[p.target].count) if p.window else 0.0
        for p in shape.projections
    ])  # fmt: skip
    moved = np.array([p.synapses * _chance(activity, 2 * p.window) if p.window else 0.0 for p in shape.projections])
    any_fired = _chance(activity, shape.neurons)
    sent = {delay: [activity * area.count for area in shape.areas] for delay in _delays(shape)}
    sends = {delay: [_chance(activity, area.count) for area in shape.areas] for delay in _delays(shape)}
    return Load(areas, sent, rows, events, any_fired, any_fired, moved, visited, sends)

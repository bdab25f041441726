"""seed -> random quantized connectomes with every feature on, and stimuli that keep them alive.

For agreement: engines that differ anywhere should differ here. Deterministic for a seed and a numpy version.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from .connectome import Area
from .engine import CodedStimulus
from .learning import Learning
from .pcg import fire_draw
from .quantized import NO_LIMIT, NUMBER_TYPES, Projection, QuantizedConnectome
from .random_models import parameters, with_models

UNIT = np.float32(1 / 37)
"""fp32: potential units per code; not a power of two, so that sums round."""

Synapses = tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]
"""source, target, weight code"""


@dataclass(frozen=True)
class Shape:
    """What a random network looks like; the default is small and holds everything."""

    areas: int = 6
    largest_area: int = 60
    wide_area: bool = True
    """One area of over 600 neurons, reached through gaps over 255."""
    fan_out: float = 6.0
    """Mean synapses of a row."""
    density: float = 0.5
    """Share of the pairs of areas that have a projection."""
    inhibitory: float = 0.35
    """Share of negative weights."""
    features: bool = True
    """False: every neuron alike, without leak, refractory, limits, draws or power."""
    timing: bool = False
    """Delays of 0 to 7 bursts, weights that the potential drives, weights that learn."""
    models: bool = False
    """Neuron models of trained networks in most areas; every neuron is updated."""


def random_network(
    seed: int | Generator, precision: str = "int8", candidates_only: bool = True, **shape: Any
) -> QuantizedConnectome:
    """A random quantized connectome; `shape` holds fields of `Shape`."""
    rng = np.random.default_rng(seed)
    s = Shape(**shape)
    whole, types = precision == "int8", NUMBER_TYPES[precision]
    areas = _areas(rng, s)
    neurons = sum(area.count for area in areas)
    area_of = np.repeat(np.arange(len(areas)), [area.count for area in areas])
    threshold: NDArray[Any]
    limit: NDArray[Any]
    weight: NDArray[Any]
    power_value: NDArray[Any]
    stimulus_limit: NDArray[Any]
    guard_bits = rng.integers(0, 5, len(areas)).astype(np.uint8)
    projections, groups = _projections(rng, s, areas, whole)
    if s.timing:
        projections, groups = _timing(rng, projections, groups, np.dtype(types.weight).type)
    if s.models:
        areas, projections, groups = with_models(rng, areas, projections, groups)
    source, target, code = (
        np.concatenate([np.zeros(0, np.int64), *(group[i] for group in groups)]).astype(np.int64) for i in range(3)
    )
    powered = np.flatnonzero(rng.random(neurons) < (0.02 if s.features else 0))
    power = rng.integers(-5, 40, len(powered))
    codes = _neuron_codes(rng, s, areas)
    if whole:
        factor = (1 << guard_bits.astype(np.int64))[area_of]
        threshold = np.clip(codes["threshold"] * factor + rng.integers(0, factor), -32767, 32767)
        limit = np.where(codes["limit"] == NO_LIMIT, NO_LIMIT, np.minimum(codes["limit"] * factor, NO_LIMIT))
        retained, weight, power_value, stimulus_limit = codes["retained"], code, power, np.full(len(areas), 300)
    else:
        guard_bits[:] = 0
        threshold = codes["threshold"].astype(np.float32) * UNIT
        limit = np.where(codes["limit"] == NO_LIMIT, np.inf, codes["limit"].astype(np.float32) * UNIT)
        retained = (codes["retained"] / 32768).astype(np.float32)
        weight, power_value = code.astype(np.float32) * UNIT, power.astype(np.float32) * UNIT
        stimulus_limit = np.full(len(areas), 300, np.float32) * UNIT
    trained: dict[str, Any] = {}
    if s.models:
        never_pauses = np.array([a.dynamics is not None and (a.dynamics.late or a.dynamics.graded) for a in areas])
        codes["refractory"][never_pauses[area_of]] = codes["fire_limit"][never_pauses[area_of]] = 0
        dtypes = {"reset": types.potential, "bias": types.input, "current_retained": types.retained}
        trained = parameters(rng, areas, whole, UNIT)
        trained |= {name: trained[name].astype(dtype) for name, dtype in dtypes.items()}
        powered_alone = np.array([a.dynamics is None or not a.dynamics.graded for a in areas])[area_of[powered]]
        powered, power_value = powered[powered_alone], power_value[powered_alone]
    return QuantizedConnectome(
        precision=precision,
        candidates_only=candidates_only and not s.models,
        areas=areas,
        projections=projections,
        guard_bits=guard_bits,
        scale=np.full(len(areas), float(UNIT) if whole else 1.0),
        stimulus_limit=stimulus_limit.astype(types.input),
        threshold=threshold.astype(types.potential),
        limit=limit.astype(types.potential),
        retained=retained.astype(types.retained),
        refractory=codes["refractory"].astype(np.uint16),
        fire_limit=codes["fire_limit"].astype(np.uint16),
        snooze=codes["snooze"].astype(np.uint16),
        fire_draw=fire_draw(codes["excitability"].astype(np.float32)),
        projection_start=np.cumsum([0, *(len(group[0]) for group in groups)], dtype=np.int64),
        source=source.astype(np.uint32),
        target=target.astype(np.uint32),
        weight=weight.astype(types.weight),
        power_neuron=powered.astype(np.uint32),
        power_value=power_value.astype(types.input),
        **trained,
    )


def random_stimulus(q: QuantizedConnectome, seed: int | Generator, bursts: int, rate: float = 0.08) -> CodedStimulus:
    """Entries for a share `rate` of all (burst, neuron) pairs, from zero to the areas' limits."""
    rng = np.random.default_rng(seed)
    burst, neuron = np.nonzero(rng.random((bursts, q.neurons)) < rate)
    limit = q.stimulus_limit[q.area_of_neuron[neuron]].astype(np.float64)
    value = limit * rng.choice(
        [1.0, 0.4, 0.2, 0.1, 0.0, -0.1, -1.0], len(neuron), p=[0.02, 0.3, 0.3, 0.2, 0.05, 0.12, 0.01]
    )
    value = np.round(value) if q.precision == "int8" else value.astype(np.float32)
    value = np.clip(value, -limit, limit)
    return CodedStimulus(burst.astype(np.int64) + 1, neuron.astype(np.uint32), value.astype(q.types.input))


def _areas(rng: Generator, s: Shape) -> tuple[Area, ...]:
    areas: list[Area] = []
    first = 0
    for i in range(s.areas):
        if s.wide_area and i == s.areas // 2:
            dimensions, per_voxel = (int(rng.integers(610, 900)), 1, 1), 1
        elif i == 0 or rng.random() < 0.2:
            dimensions, per_voxel = (1, 1, 1), 1
        else:
            per_voxel = int(rng.integers(1, 3))
            dimensions = (int(rng.integers(1, max(2, s.largest_area // (2 * per_voxel)))), int(rng.integers(1, 3)), 1)
        accumulate = bool(rng.random() < 0.75) or not s.features
        areas.append(
            Area(f"area{i}", f"area {i}", "input" if i < 2 else "custom", dimensions, per_voxel, first, accumulate)
        )
        first += areas[-1].count
    return tuple(areas)


def _projections(
    rng: Generator, s: Shape, areas: tuple[Area, ...], whole: bool
) -> tuple[tuple[Projection, ...], list[Synapses]]:
    """Projections in random order, some twice (two rules), some empty, some of one row; each with its synapses."""
    pairs = [(a, b) for a in range(len(areas)) for b in range(len(areas)) if rng.random() < s.density]
    pairs += [pairs[i] for i in rng.integers(0, len(pairs), 2)] if pairs else []
    rng.shuffle(pairs)
    projections, groups = [], []
    for a, b in pairs:
        shift = int(rng.choice([0, 0, 0, 1, 2, 3, 7])) if whole else 0
        kind = str(rng.choice(["mixed", "mixed", "uniform", "uniform", "one row", "all to all", "empty"]))
        projections.append(Projection(int(a), int(b), kind, shift))
        groups.append(_synapses(rng, s, areas[a], areas[b], kind, shift))
    return tuple(projections), groups


def _timing(
    rng: Generator, projections: tuple[Projection, ...], groups: list[Synapses], number: Callable[[Any], Any]
) -> tuple[tuple[Projection, ...], list[Synapses]]:
    """Some projections early or late, some driven by the potential of their source, some that learn.

    number: the type of a weight.
    """
    whole = number is np.int16
    driven = {p.source: int(rng.integers(1, 20_000)) if whole else 1 for p in projections if rng.random() < 0.15}
    made, moved = [], []
    for p, (source, target, weight) in zip(projections, groups, strict=True):
        delay = int(rng.choice([0, 1, 1, 1, 2, 3, 7]))
        delay = 1 if delay == 0 and p.target <= p.source else delay
        if p.source in driven and rng.random() < 0.7:
            weight = np.clip(weight, -20, 20)
            p = replace(p, shift=0, delay=min(delay, 1), psp_factor=driven[p.source])
        else:
            p = replace(p, delay=delay)
        if rng.random() < 0.4:
            weight = np.clip(weight, -300, 300)
            low, high = min(-60, int(weight.min(initial=0))), max(90, int(weight.max(initial=0)))
            steps = [int(rng.integers(0, 30)), int(rng.integers(-30, 1)), low, high]
            numbers = [step if whole else float(number(np.float32(step) * UNIT)) for step in steps]
            p = replace(p, learning=Learning(int(rng.choice([1, 2, 3, 5])), *numbers))
        made.append(p)
        moved.append((source, target, weight))
    return tuple(made), moved


def _synapses(rng: Generator, s: Shape, a: Area, b: Area, kind: str, shift: int) -> Synapses:
    rows = np.arange(a.count)
    fan_out = rng.poisson(s.fan_out, a.count)
    if kind == "empty":
        fan_out[:] = 0
    if kind == "one row":
        fan_out[rows != rng.integers(a.count)] = 0
    source = np.repeat(rows, np.minimum(fan_out, 4 * b.count))
    target = rng.integers(0, b.count, len(source))  # duplicates and self loops occur
    clustered = (rng.random(a.count) < 0.3)[source]
    target[clustered] = np.minimum(target[clustered] % 8 + b.count // 2, b.count - 1)
    if kind == "all to all" and a.count * b.count <= 3000:
        source, target = np.repeat(rows, b.count), np.tile(np.arange(b.count), a.count)
    order = np.lexsort((target, source))
    source, target = source[order], target[order]
    sign = np.where(rng.random(len(source)) < s.inhibitory, -1, 1)
    size = 127 >> shift
    weight = sign * rng.integers(0, size + 1, len(source))
    weight[rng.random(len(source)) < 0.03] = rng.choice([-127, 127]) if shift < 4 else 0
    if kind == "uniform":
        top = rng.choice([20, 90, 600]) >> min(shift, 4)
        row_weight = rng.integers(1, top + 2, a.count) * np.where(rng.random(a.count) < s.inhibitory, -1, 1)
        row_weight[rng.random(a.count) < 0.02] = rng.choice([-32767, 32767, 0]) if shift == 0 else 0
        weight = row_weight[source]
    return source + a.first, target + b.first, weight


def _neuron_codes(rng: Generator, s: Shape, areas: tuple[Area, ...]) -> dict[str, NDArray[Any]]:
    """Per-neuron parameters, in codes; in about half of the areas all neurons share each of them."""
    columns: dict[str, list[NDArray[Any]]] = {name: [] for name in _CHOICES}
    for area in areas:
        for name, choices in _CHOICES.items():
            n = area.count
            values = rng.choice(choices, n)
            if name == "threshold":
                values = values + rng.integers(0, 20, n)
            if rng.random() < 0.5:
                values[:] = rng.choice(choices[: _AREA_CHOICES[name]])
            columns[name].append(values if s.features else np.full(n, choices[0]))
    codes = {name: np.concatenate(parts) for name, parts in columns.items()}
    codes["limit"] = np.where(codes["limit"] == NO_LIMIT, NO_LIMIT, codes["threshold"] + codes["limit"])
    codes["snooze"] = np.minimum(codes["snooze"], 65535 - codes["refractory"].astype(np.int64))
    return codes


_AREA_CHOICES = {
    "threshold": 5,
    "limit": 1,
    "retained": 6,
    "refractory": 6,
    "fire_limit": 8,
    "snooze": 5,
    "excitability": 6,
}
"""How many of the choices a whole area may share: none that silences it for good."""

_CHOICES: dict[str, list[float]] = {  # the first is the plain one
    "threshold": [100, 60, 80, 150, 400],
    "limit": [NO_LIMIT, NO_LIMIT, NO_LIMIT, 0, 60, 200],  # above the threshold
    "retained": [32768, 32768, 32767, 32000, 24576, 16384, 3000, 0],
    "refractory": [0, 0, 0, 1, 2, 3, 300],
    "fire_limit": [0, 0, 0, 1, 2, 3, 255, 65534],
    "snooze": [0, 0, 1, 2, 5, 300, 65534],
    "excitability": [1.0, 1.0, 1.0, 0.999, 0.9, 0.5, 0.1, 0.0, 100.0],
}

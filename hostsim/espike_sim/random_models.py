"""areas and projections at random -> the same with neuron models of trained networks."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from .connectome import Area
from .dynamics import CURRENTS, RESETS, Dynamics
from .quantized import Projection

Synapses = tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]


def with_models(
    rng: Generator, areas: tuple[Area, ...], projections: tuple[Projection, ...], groups: list[Synapses]
) -> tuple[tuple[Area, ...], tuple[Projection, ...], list[Synapses]]:
    """Models for most areas; graded ones take nothing but stimulus, so that what they send is bounded."""
    made = tuple(replace(area, dynamics=_model(rng)) if rng.random() < 0.8 else area for area in areas)
    graded = {i for i, area in enumerate(made) if area.dynamics is not None and area.dynamics.graded}
    made = tuple(replace(area, accumulate=area.accumulate and i not in graded) for i, area in enumerate(made))
    kept, moved = [], []
    for p, (source, target, weight) in zip(projections, groups, strict=True):
        if p.target in graded:
            continue
        if p.source in graded:
            weight = np.clip(weight, -5, 5)
            p = replace(p, shift=0, delay=min(p.delay, 1), psp_factor=1, learning=None)
        elif made[p.source].dynamics is not None:
            p = replace(p, psp_factor=0)
        kept.append(p)
        moved.append((source, target, weight))
    return made, tuple(kept), moved


def _model(rng: Generator) -> Dynamics:
    if rng.random() < 0.2:
        return Dynamics(reset="none", graded=True)
    return Dynamics(
        reset=str(rng.choice(RESETS, p=[0.45, 0.45, 0.1])),
        late=bool(rng.random() < 0.3),
        current=str(rng.choice(CURRENTS, p=[0.5, 0.25, 0.25])),
    )


def parameters(rng: Generator, areas: tuple[Area, ...], whole: bool, unit: np.float32) -> dict[str, NDArray[Any]]:
    """Arrays of neuron models by name: shared by an area, or a column; int8: codes, else floats of `unit` each."""
    neurons = sum(area.count for area in areas)
    reset, bias, retained = np.zeros((3, neurons))
    shift = np.zeros(len(areas), np.uint8)
    for index, area in enumerate(areas):
        if area.dynamics is None:
            continue
        part, size = slice(area.first, area.first + area.count), area.count if rng.random() < 0.5 else 1
        reset[part] = rng.choice([0, 0, 50, 300, -20, 7], size)
        if not area.dynamics.graded and rng.random() < 0.4:
            bias[part] = rng.integers(-40, 60, size) * rng.choice([1, 4])
        if area.dynamics.current:
            retained[part] = rng.choice([29491, 16384, 32768, 0, 32000], size)
        if not area.dynamics.graded:
            shift[index] = rng.choice([0, 0, 1, 3, 7])
    if not whole:
        reset, bias, retained, shift = reset * unit, bias * unit, retained / 32768, shift * np.uint8(0)
    return {"reset": reset, "bias": bias, "current_retained": retained, "current_shift": shift}

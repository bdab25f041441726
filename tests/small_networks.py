"""areas and synapses, written out -> quantized connectome: networks of a shape that a test needs exactly."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from espike_sim.connectome import Area
from espike_sim.engine import CodedStimulus
from espike_sim.quantized import ALWAYS, NO_LIMIT, NUMBER_TYPES, Projection, QuantizedConnectome


@dataclass(frozen=True)
class Synapses:
    """The synapses from one area to another; ids count from the area's first neuron and need not be sorted."""

    source_area: int
    target_area: int
    source: Sequence[int] | NDArray[Any]
    target: Sequence[int] | NDArray[Any]
    weight: Sequence[float] | NDArray[Any]
    shift: int = 0


def network(
    precision: str,
    counts: Sequence[int],
    synapses: Sequence[Synapses] = (),
    *,
    candidates_only: bool = True,
    threshold: float = 100,
    retained: float | None = None,
    stimulus_limit: float = 1000,
    guard_bits: int = 0,
    accumulate: bool = True,
    **fields: Any,
) -> QuantizedConnectome:
    """A network of areas with `counts` neurons, all alike; `fields` replace fields of the quantized connectome."""
    whole, types, neurons = precision == "int8", NUMBER_TYPES[precision], sum(counts)
    first = np.concatenate(([0], np.cumsum(counts)))
    areas = tuple(
        Area(f"a{i}", f"area {i}", "input" if i == 0 else "custom", (n, 1, 1), 1, int(first[i]), accumulate)
        for i, n in enumerate(counts)
    )
    parts: list[NDArray[Any]] = [np.zeros((0, 3))]
    for group in synapses:
        part = np.column_stack([group.source, group.target, group.weight]).astype(np.float64).reshape(-1, 3)
        part = part[np.lexsort((part[:, 1], part[:, 0]))]
        parts.append(part + np.array([first[group.source_area], first[group.target_area], 0]))
    rows = np.concatenate(parts)
    none: float = 32768 if whole else 1.0
    q = QuantizedConnectome(
        precision=precision,
        candidates_only=candidates_only,
        areas=areas,
        projections=tuple(Projection(g.source_area, g.target_area, "test", g.shift) for g in synapses),
        guard_bits=np.full(len(counts), guard_bits, np.uint8),
        scale=np.ones(len(counts)),
        stimulus_limit=np.full(len(counts), stimulus_limit, types.input),
        threshold=np.full(neurons, threshold, types.potential),
        limit=np.full(neurons, NO_LIMIT if whole else np.inf, types.potential),
        retained=np.full(neurons, none if retained is None else retained, types.retained),
        refractory=np.zeros(neurons, np.uint16),
        fire_limit=np.zeros(neurons, np.uint16),
        snooze=np.zeros(neurons, np.uint16),
        fire_draw=np.full(neurons, ALWAYS, np.uint32),
        projection_start=np.cumsum([0, *(len(part) for part in parts[1:])], dtype=np.int64),
        source=rows[:, 0].astype(np.uint32),
        target=rows[:, 1].astype(np.uint32),
        weight=rows[:, 2].astype(types.weight),
        power_neuron=np.zeros(0, np.uint32),
        power_value=np.zeros(0, types.input),
    )
    return replace(q, **fields) if fields else q


def stimulus(q: QuantizedConnectome, entries: Sequence[tuple[int, int, float]]) -> CodedStimulus:
    """(burst, neuron, value) entries in any order, values in the network's own numbers."""
    ordered = sorted(entries)
    return CodedStimulus(
        np.array([entry[0] for entry in ordered], np.int64),
        np.array([entry[1] for entry in ordered], np.uint32),
        np.array([entry[2] for entry in ordered], q.types.input),
    )

"""nothing -> a recurrent network of published size, and what the planner says of it on an ESP32-S3.

The size, 96-1024-10 with recurrent hidden neurons that have currents, is that of a neural decoder whose float version
was timed on the chip: github.com/morenzoe/snntorch-esp32s3 (2025). Its weights and data are not used: these are drawn.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from espike_sim.connectome import Area, Connectome, Mapping
from espike_sim.dynamics import Dynamics
from espike_sim.pcg import pcg

from .. import plan
from ..boards import boards
from ..network import packed_view
from ..quantize import quantize

BOARD = "esp32s3"
ACTIVITY = 0.1
"""Assumed: the published log has times, and no spikes."""
PUBLISHED_MS = 81.2
"""Mean of 100 steps of the float version, 160 MHz, -Og, one core; 1.2 to 153.5."""
SIZES = {"input": 96, "hidden": 1024, "out": 10}
LINKS = (("input", "hidden", 0), ("hidden", "hidden", 1), ("hidden", "out", 0))
"""Source, target, delay; all to all."""
GAIN = 0.1
"""Standard deviation of what a neuron is given where a hundredth of its sources fire, in thresholds."""


def connectome() -> Connectome:
    """1,130 neurons, 1,157,120 synapses; weights are uniform, by the hash of their place."""
    names = list(SIZES)
    firsts = dict(zip(names, np.cumsum([0, *SIZES.values()]).tolist(), strict=False))
    models = {"input": Dynamics(), "hidden": Dynamics(current="new"), "out": Dynamics(current="new", fires=False)}
    groups = {"input": "IPU", "hidden": "CUSTOM", "out": "OPU"}
    areas = tuple(Area(n, n, groups[n], (SIZES[n], 1, 1), 1, firsts[n], True, models[n]) for n in names)
    source: list[NDArray[Any]] = []
    target: list[NDArray[Any]] = []
    weight: list[NDArray[Any]] = []
    for a, b, _ in LINKS:
        pairs = np.mgrid[: SIZES[a], : SIZES[b]].reshape(2, -1)
        source.append(pairs[0] + firsts[a])
        target.append(pairs[1] + firsts[b])
        weight.append(_uniform(len(pairs[0]), len(weight)) * GAIN * np.sqrt(3 / (0.01 * SIZES[a])))
    starts = np.cumsum([0, *map(len, weight)])
    neurons = sum(SIZES.values())

    def each(value: float, dtype: str) -> NDArray[Any]:
        return np.full(neurons, value, dtype)

    return Connectome(
        areas=areas,
        mappings=tuple(Mapping(names.index(a), names.index(b), "drawn", delay=delay) for a, b, delay in LINKS),
        threshold=each(1, "f4"), limit=each(np.inf, "f4"), leak=each(0.1, "f8"), refractory=each(0, "u2"),
        fire_limit=each(0, "u2"), snooze=each(0, "u2"), excitability=each(1, "f4"),
        mapping_start=starts.astype(np.int64),
        source=np.concatenate(source).astype(np.uint32), target=np.concatenate(target).astype(np.uint32),
        weight=np.concatenate(weight).astype(np.float32),
        power_neuron=np.zeros(0, np.uint32), power_amount=np.zeros(0, np.float32),
        candidates_only=False, precision="int8",
        reset=each(0, "f4"), bias=each(0, "f4"), current_leak=each(0.2, "f8"),
    )  # fmt: skip


def _uniform(count: int, seed: int) -> NDArray[np.float64]:
    """float64 (count,) in -1..1."""
    hashed = pcg(np.arange(count, dtype=np.uint32) ^ pcg(np.array([seed], np.uint32)))
    return np.asarray(hashed / 2.0**31 - 1)


@cache
def planned(activity: float = ACTIVITY) -> plan.Plan:
    """The network in int8 on BOARD, every neuron firing with that chance."""
    packed, view = packed_view(quantize(connectome(), "int8"))
    return plan.plan(packed, view, [boards()[BOARD]], activity=activity)


def speed() -> plan.Speed:
    """What a burst takes there."""
    found = planned().fits[0].speed
    assert found is not None
    assert found.us is not None
    return found

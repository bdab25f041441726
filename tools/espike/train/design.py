"""data and wishes -> an untrained connectome: input, hidden areas, output, with senses."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from espike_sim.connectome import Area, Connectome, Mapping
from espike_sim.dynamics import Dynamics
from espike_sim.errors import EspikeError
from espike_sim.senses import Decoder, Senses

from . import encoders
from .data import Data

STATIC_BURSTS = 25
"""Bursts of a vector, where none are asked for; a sample of a series has one."""
STATIC_LEAK, SERIES_LEAK = 0.1, 0.05
INPUT_THRESHOLD = 0.5
"""An encoder gives 1."""
THRESHOLD = 1.0
RULE = "trained"


@dataclass(frozen=True)
class Design:
    """What a network looks like."""

    encoders: tuple[str, ...] = ()
    """Specs (`encoders`); none: by the data."""
    hidden: tuple[int, ...] = (32,)
    """Neurons of the hidden areas, from input to output."""
    recurrent: bool = False
    """Hidden areas have synapses to themselves."""
    bursts: int | None = None
    """Of a sample; None: STATIC_BURSTS of a vector, 1 of a sample of a series."""
    settle: int = 0
    """Bursts after the last sample."""
    leak: float | None = None
    """Fraction lost per burst; None: STATIC_LEAK, SERIES_LEAK."""
    reset: str = "zero"
    """After a spike: `zero`, or `subtract` the threshold."""


def build(design: Design, data: Data, seed: int) -> Connectome:
    """The network with random weights, drawn from N(0, 1 / fan-in). Raises: EspikeError naming what cannot be."""
    static = data.samples == 1
    leak = design.leak if design.leak is not None else STATIC_LEAK if static else SERIES_LEAK
    if not 0 <= leak <= 1:
        raise EspikeError(f"leak {leak} leaves 0..1", where="--leak")
    if any(count < 1 for count in design.hidden):
        raise EspikeError("a hidden area has at least one neuron", where="--hidden")
    senses = senses_of(design, data, encoders.AREA, "out")
    areas = _areas(design, senses, len(data.labels))
    mappings = _mappings(design, areas)
    fan_in = np.zeros(len(areas))
    for m in mappings:
        fan_in[m.target] += areas[m.source].count
    rng = np.random.default_rng(seed)
    sources, targets, weights = [], [], []
    for m in mappings:
        source, target = (
            np.arange(a.first, a.first + a.count, dtype=np.uint32) for a in (areas[m.source], areas[m.target])
        )
        sources.append(np.repeat(source, len(target)))
        targets.append(np.tile(target, len(source)))
        weights.append(rng.standard_normal(len(sources[-1])) / np.sqrt(fan_in[m.target]))
    neurons, inputs = sum(area.count for area in areas), areas[0].count
    is_input = np.arange(neurons) < inputs
    subtracts = design.reset == "subtract"
    return Connectome(
        areas=areas,
        mappings=mappings,
        threshold=np.where(is_input, INPUT_THRESHOLD, THRESHOLD).astype(np.float32),
        limit=np.full(neurons, np.inf, np.float32),
        leak=np.where(is_input, 0.0, leak),
        refractory=np.zeros(neurons, np.uint16),
        fire_limit=np.zeros(neurons, np.uint16),
        snooze=np.zeros(neurons, np.uint16),
        excitability=np.ones(neurons, np.float32),
        mapping_start=np.cumsum([0, *map(len, sources)], dtype=np.int64),
        source=np.concatenate(sources),
        target=np.concatenate(targets),
        weight=np.concatenate(weights).astype(np.float32),
        power_neuron=np.zeros(0, np.uint32),
        power_amount=np.zeros(0, np.float32),
        candidates_only=False,
        precision="int8",
        seed=seed,
        reset=np.where(is_input | ~np.bool_(subtracts), 0.0, THRESHOLD).astype(np.float32),
        senses=senses,
    )


def senses_of(design: Design, data: Data, first: str, last: str) -> Senses:
    """Senses that stimulate area `first` and count the spikes of area `last`."""
    return Senses(
        channels=data.channels,
        encoders=encoders.make(design.encoders, data, first),
        decoder=Decoder("count", last, labels=data.labels),
        unit=data.unit,
        samples=data.samples,
        bursts_per_sample=design.bursts or (STATIC_BURSTS if data.samples == 1 else 1),
        settle=design.settle,
    )


def _areas(design: Design, senses: Senses, classes: int) -> tuple[Area, ...]:
    graded = any(encoder.kind == "value" for encoder in senses.encoders)
    given = Dynamics(reset="none", graded=True) if graded else Dynamics()
    neurons = Dynamics(reset="subtract" if design.reset == "subtract" else "value")
    names = ["hidden"] if len(design.hidden) == 1 else [f"hidden{i + 1}" for i in range(len(design.hidden))]
    counts = [sum(encoder.neurons for encoder in senses.encoders), *design.hidden, classes]
    made: list[Area] = []
    for name, count in zip([encoders.AREA, *names, "out"], counts, strict=True):
        group = {encoders.AREA: "IPU", "out": "OPU"}.get(name, "CUSTOM")
        first, own = sum(area.count for area in made), not made
        made.append(Area(name, name, group, (count, 1, 1), 1, first, not own, given if own else neurons))
    return tuple(made)


def _mappings(design: Design, areas: Sequence[Area]) -> tuple[Mapping, ...]:
    """From each area to the next in the same burst; within hidden areas one burst later."""
    made: list[Mapping] = []
    for index in range(1, len(areas)):
        source = areas[index - 1].dynamics
        made.append(Mapping(index - 1, index, RULE, delay=0, driven=source is not None and source.graded))
        if design.recurrent and index < len(areas) - 1:
            made.append(Mapping(index, index, RULE))
    return tuple(made)

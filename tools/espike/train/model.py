"""connectome <-> what is trained: a network of layers, its weights as matrices, its biases.

A network can be trained whose areas have neuron models that reset at once and have no current, and whose mappings
have a delay of 0 or 1 and fixed weights. What is no synapse stays none.
"""

from __future__ import annotations

from collections.abc import Mapping as Table
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from espike_sim.connectome import Area, Connectome, Mapping
from espike_sim.errors import EspikeError
from espike_sim.pcg import ALWAYS_FROM
from espike_sim.senses import Senses

from .lif import Floats, Layer, Link, Net

WEIGHTS_MOST = 1 << 25
"""Cells of a mapping as a matrix."""


@dataclass(frozen=True)
class Model:
    """A connectome as layers and matrices; `weights` and `biases` are what training moves."""

    connectome: Connectome
    net: Net
    weights: tuple[Floats, ...]  # float32 (source neurons, target neurons) per mapping
    biases: tuple[Floats, ...]  # float32 (neurons,) per area
    masks: tuple[NDArray[np.bool_], ...]  # as weights: where there is a synapse

    @property
    def senses(self) -> Senses:
        """How the network is presented samples."""
        if self.connectome.senses is None:
            raise EspikeError("the network has no senses")
        return self.connectome.senses

    def area(self, name: str) -> int:
        """The index of an area."""
        return [area.id for area in self.connectome.areas].index(name)


def of(c: Connectome, where: str) -> Model:
    """The model that a connectome holds. Raises: EspikeError naming what cannot be trained, and why."""
    _check(c, where)
    layers = tuple(_layer(c, area) for area in c.areas)
    links = tuple(Link(m.source, m.target, m.delay) for m in c.mappings)
    weights, masks = [], []
    for index, m in enumerate(c.mappings):
        source, target = c.areas[m.source], c.areas[m.target]
        part = slice(int(c.mapping_start[index]), int(c.mapping_start[index + 1]))
        cells = c.source[part] - source.first, c.target[part] - target.first
        mask = np.zeros((source.count, target.count), np.bool_)
        mask[cells] = True
        if np.count_nonzero(mask) != part.stop - part.start:
            raise EspikeError(_mapping(c, m, "has several synapses between two neurons"), where=where)
        weight = np.zeros(mask.shape, np.float32)
        weight[cells] = c.weight[part]
        weights.append(weight)
        masks.append(mask)
    biases = tuple(c.bias[area.first : area.first + area.count].copy() for area in c.areas)
    return Model(c, Net(layers, links), tuple(weights), biases, tuple(masks))


def _layer(c: Connectome, area: Area) -> Layer:
    part, dynamics = slice(area.first, area.first + area.count), area.dynamics
    if dynamics is None:
        raise EspikeError(f"area {area.id} has no neuron model")
    retained = (1.0 - c.leak[part]).astype(np.float32) * np.float32(area.accumulate)
    threshold, reset = c.threshold[part], c.reset[part]
    return Layer(retained, threshold, reset, dynamics.reset == "subtract", dynamics.strict, dynamics.graded)


def _check(c: Connectome, where: str) -> None:
    for area in c.areas:
        if found := _untrainable(c, area):
            raise EspikeError(f"area {area.id} {found}, which is not trained", where=where)
    for m in c.mappings:
        if m.learning is not None or m.plastic:
            raise EspikeError(_mapping(c, m, "learns by itself"), where=where)
        if m.delay > 1:
            raise EspikeError(_mapping(c, m, f"has a delay of {m.delay}, 0 and 1 are trained"), where=where)
        if c.areas[m.source].count * c.areas[m.target].count > WEIGHTS_MOST:
            raise EspikeError(_mapping(c, m, f"is too large, {WEIGHTS_MOST} pairs are trained"), where=where)
    if not c.mappings:
        raise EspikeError("has no mapping to train", where=where)
    if len(c.power_neuron):
        raise EspikeError("has power neurons, which are not trained", where=where)


def _untrainable(c: Connectome, area: Area) -> str:
    """Why an area is not trained; empty: it is."""
    part, dynamics = slice(area.first, area.first + area.count), area.dynamics
    if dynamics is None:
        return "has FEAGI's neurons"
    resets = dynamics.reset != "none" or dynamics.graded
    reasons = {
        "has a current": bool(dynamics.current),
        "resets late": dynamics.late,
        "does not reset": not resets,
        "never fires": not dynamics.fires and not dynamics.graded,
        "has refractory periods": bool(np.any(c.refractory[part])),
        "has fire limits": bool(np.any(c.fire_limit[part])),
        "has limits above thresholds": not dynamics.graded and bool(np.any(np.isfinite(c.limit[part]))),
        "fires at random": bool(np.any(c.excitability[part] < ALWAYS_FROM)),
    }
    return next((reason for reason, found in reasons.items() if found), "")


def _mapping(c: Connectome, m: Mapping, what: str) -> str:
    return f"mapping {c.areas[m.source].id} -> {c.areas[m.target].id} {what}"


def connectome(model: Model, weights: Sequence[Floats], biases: Sequence[Floats], bits: Table[str, int]) -> Connectome:
    """The model's connectome with other weights and biases; `bits` per area id, of the weights into it."""
    c = model.connectome
    flat = [weight[mask] for weight, mask in zip(weights, model.masks, strict=True)]  # in (source, target) order
    return replace(
        c,
        weight=np.concatenate(flat).astype(np.float32),
        bias=np.concatenate(list(biases)).astype(np.float32),
        quantization=replace(c.quantization, bits=dict(bits)),
    )

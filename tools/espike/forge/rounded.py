"""quantized connectome -> the floats that its integers stand for."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from espike_sim.connectome import Connectome
from espike_sim.quantized import QuantizedConnectome

I64 = NDArray[np.int64]


def dequantized(c: Connectome, q: QuantizedConnectome) -> Connectome:
    """`c` with the weights that `q`, its int8 network, has: code * 2^shift * scale of the target.

    Synapses that became 0 are 0. Potentials, thresholds and biases stay as they are.
    """
    shift = np.repeat([p.shift for p in q.projections], np.diff(q.projection_start))
    value = q.weight.astype(np.float64) * 2.0**shift * q.scale_of_neuron[q.target]
    weight = np.zeros(c.synapses)
    mapping = np.repeat(np.arange(len(c.mappings)), np.diff(c.mapping_start))
    own = _keys(mapping, c.source, c.target, c.neurons)
    known = {(p.source, p.target, p.delay): i for i, p in enumerate(c.mappings)}
    of = np.repeat([known[(p.source, p.target, p.delay)] for p in q.projections], np.diff(q.projection_start))
    theirs = _keys(of, q.source, q.target, c.neurons)
    order = np.argsort(own, kind="stable")
    place = np.searchsorted(own[order], theirs)
    place = np.minimum(place, len(own) - 1)
    hit = own[order][place] == theirs
    weight[order[place[hit]]] = value[hit]
    return replace(c, weight=weight.astype(np.float32))


def _keys(mapping: NDArray[np.integer], source: NDArray[np.uint32], target: NDArray[np.uint32], neurons: int) -> I64:
    """A number per (mapping, source, target)."""
    keys: I64 = (mapping.astype(np.int64) * neurons + source) * neurons + target
    return np.ascontiguousarray(keys)

"""connectome -> fewer bits, and codes fitted to samples; quantized connectome -> the floats that it stands for."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from espike_sim.connectome import Connectome
from espike_sim.quantized import QuantizedConnectome

from .. import calibration, levels, presentations
from ..quantize import quantize

I64 = NDArray[np.int64]


def bits_of(c: Connectome, bits: int) -> dict[str, int]:
    """Area id -> bits of the weights into it, of all areas that weights lead into."""
    fed = {m.target for i, m in enumerate(c.mappings) if c.mapping_start[i + 1] > c.mapping_start[i]}
    return {area.id: bits for i, area in enumerate(c.areas) if i in fed}


def with_bits(c: Connectome, bits: int) -> Connectome:
    """The connectome, quantized to so many bits at most from now on; 8: to those that it has."""
    before = c.quantization.bits
    asked = {area: min(width, before.get(area, 8)) for area, width in bits_of(c, bits).items()}
    return replace(c, quantization=replace(c.quantization, bits={a: w for a, w in asked.items() if w < 8}))


def as_integers(
    c: Connectome, precision: str, bits: int | None, raw: NDArray[np.int32] | None, share: float, weights: str = "8"
) -> QuantizedConnectome:
    """A network quantized as phases ask for: bits of all weights (None: its own), codes fitted to a share of samples.

    raw: int32 (presentations, samples, channels), or None; weights: as of `pack --weights`.
    """
    c = with_bits(c, bits) if bits is not None else c
    fitted = calibrated(c, raw, share) if raw is not None and precision == "int8" else None
    return levels.reduce(quantize(c, precision, fitted), weights)


def calibrated(c: Connectome, raw: NDArray[np.int32], share: float) -> calibration.Calibration:
    """What a share of raw samples, int32 (presentations, samples, channels), shows of a network with senses."""
    assert c.senses is not None
    shown = presentations.Presentations(raw, c.senses, c.areas, None, ()).part(share)
    return calibration.calibrate(c, shown.stimuli(), shown.bursts, len(shown))


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

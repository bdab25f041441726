"""quantized connectome -> image with its own test: a stimulus and the state hash that every engine must reach."""

from __future__ import annotations

import hashlib
import struct

import numpy as np

from espike_sim.engine import CodedStimulus
from espike_sim.host import Host, ImageView
from espike_sim.quantized import QuantizedConnectome

from . import image
from .entries import encoded
from .image import Packed

BURSTS, NEURONS = 16, 4
"""Bursts of a test, and neurons that each injects into, at most: its entries fit a board's buffer at any size."""
_SHARES = (1.0, 0.5, 0.25, -0.25)


def pack(q: QuantizedConnectome, *, optimize: str = "size") -> Packed:
    """`image.pack` with a test, whose result the host engine computes: the same input gives the same bytes."""
    packed = image.pack(q, optimize=optimize)
    stimulus = _stimulus(q)
    engine = Host(ImageView(packed.data), expand=False)
    ledger = engine.run(BURSTS, stimulus)
    assert ledger.potential_hashes is not None
    hashes = [*ledger.hashes[-1].tolist(), *ledger.potential_hashes[-1].tolist()]
    entries = encoded(stimulus, q.precision)
    record = b"TEST" + struct.pack("<2I4I", len(entries), BURSTS, *hashes) + entries
    return image.with_test(packed, record)


def _stimulus(q: QuantizedConnectome) -> CodedStimulus:
    """A few neurons in every burst, anywhere, with shares of what their areas take; drawn from the hash."""
    burst, neuron, share = [], [], []
    for at in range(1, BURSTS + 1):
        drawn = hashlib.sha256(f"{q.hash} {at}".encode()).digest()
        words = np.frombuffer(drawn, "<u4")[:NEURONS].astype(np.int64)
        chosen = np.unique(words % q.neurons) if q.neurons else np.zeros(0, np.int64)
        burst += [at] * len(chosen)
        neuron += chosen.tolist()
        share += [_SHARES[drawn[-1 - i] % len(_SHARES)] for i in range(len(chosen))]
    value = q.stimulus_limit[q.area_of_neuron[neuron]].astype(np.float64) * share
    coded = (np.trunc(value) if q.precision == "int8" else value).astype(q.types.input)
    return CodedStimulus(np.array(burst, np.int64), np.array(neuron, np.uint32), coded)

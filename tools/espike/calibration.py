"""connectome + samples -> how far potentials go, and what inputs do together: what the quantizer can fit codes to."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from espike_sim.connectome import Connectome
from espike_sim.host import Host, ImageView
from espike_sim.stimulus import Stimulus, code

F64 = NDArray[np.float64]

PERCENTILE = 99.9
"""Of the magnitudes of a neuron's potentials: what lies beyond may saturate."""
SOURCES_MOST = 4096
"""Sources of a mapping whose second moments are kept: beyond, they would take more than 128 MB."""


@dataclass(frozen=True)
class Calibration:
    """What a float run of samples showed."""

    reach: F64  # (neurons,) how far potentials go from rest, potential units
    moments: dict[int, F64] = field(default_factory=dict)
    """By mapping: float64 (sources, sources), mean product of the inputs as the target's leak sums them."""


def calibrate(c: Connectome, samples: Sequence[Stimulus], bursts: int) -> Calibration:
    """Run each sample for some bursts from a reset, in fp32 on the host engine."""
    from .image import pack
    from .quantize import quantize  # which takes what this makes

    q = quantize(c, "fp32")
    engine = Host(ImageView(pack(q).data), expand=False)
    potential = np.zeros((len(samples), bursts, c.neurons), np.float32)
    fired = np.zeros((len(samples), bursts, c.neurons), np.bool_)
    for k, sample in enumerate(samples):
        coded = code(sample, q)
        engine.reset(track_potentials=False)
        for t in range(1, bursts + 1):
            ledger = engine.run(1, coded)
            fired[k, t - 1, ledger.fired(t)] = True
            potential[k, t - 1] = engine.potentials()
    reach = np.percentile(np.abs(potential), PERCENTILE, axis=(0, 1)) if samples else np.zeros(c.neurons)
    return Calibration(reach, _moments(c, fired, potential))


def _moments(c: Connectome, fired: NDArray[np.bool_], potential: NDArray[np.float32]) -> dict[int, F64]:
    found = {}
    for index, m in enumerate(c.mappings):
        source, target = c.areas[m.source], c.areas[m.target]
        if target.dynamics is None or source.count > SOURCES_MOST:
            continue
        part = slice(source.first, source.first + source.count)
        sent = (potential if m.driven else fired)[..., part].astype(np.float32)
        kept = float(1 - c.leak[target.first : target.first + target.count].mean()) if target.accumulate else 0.0
        current = float(1 - c.current_leak[target.first : target.first + target.count].mean())
        for retained in [current, kept] if target.dynamics.current else [kept]:
            for t in range(1, sent.shape[1]):
                sent[:, t] += np.float32(retained) * sent[:, t - 1]
        flat = sent.reshape(-1, source.count).astype(np.float64)
        moment = flat.T @ flat / max(1, len(flat))
        found[index] = moment + np.eye(source.count) * (1e-3 * np.trace(moment) / source.count + 1e-9)
    return found

"""connectome + samples -> how far potentials go, and what inputs do together: what the quantizer can fit codes to."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from itertools import islice

import numpy as np
from numpy.typing import NDArray

from espike_sim.connectome import Connectome
from espike_sim.errors import EspikeError
from espike_sim.host import Host, ImageView
from espike_sim.quantized import QuantizedConnectome
from espike_sim.stimulus import Stimulus, code

F32 = NDArray[np.float32]
F64 = NDArray[np.float64]
Mask = NDArray[np.bool_]
Progress = Callable[[int], None]

PERCENTILE = 99.9
"""Of the magnitudes of a neuron's potentials: what lies beyond may saturate."""
SOURCES_MOST = 4096
"""Sources of a mapping whose second moments are kept: beyond, they would take more than 128 MB."""
HELD_MOST = 1 << 22
"""Potentials of a run that are looked at together: samples are put together up to that."""


@dataclass(frozen=True)
class Calibration:
    """What a float run of samples showed."""

    reach: F64  # (neurons,) how far potentials go from rest, potential units
    moments: dict[int, F64] = field(default_factory=dict)
    """By mapping: float64 (sources, sources), mean product of the inputs as the target's leak sums them."""


def calibrate(
    c: Connectome, samples: Iterable[Stimulus], bursts: int, count: int, progress: Progress | None = None
) -> Calibration:
    """Run `count` samples for some bursts each from a reset, in fp32 on the host engine.

    progress: called with how many samples are done. Memory: HELD_MOST potentials, a thousandth of all, and the moments.
    Raises: EspikeError where there is no sample.
    """
    from .image import pack
    from .quantize import quantize  # which takes what this makes

    q = quantize(c, "fp32")
    engine = Host(ImageView(pack(q).data))
    reach, moments = _Reach(count * bursts, c.neurons), _Moments(c)
    together, waiting, done = max(1, HELD_MOST // max(1, bursts * c.neurons)), iter(samples), 0
    while chunk := list(islice(waiting, together)):
        fired = np.zeros((len(chunk), bursts, c.neurons), np.bool_)
        potential = np.zeros(fired.shape, np.float32)
        for k, sample in enumerate(chunk):
            _run(engine, q, sample, fired[k], potential[k])
            done += 1
            if progress is not None:
                progress(done)
        reach.add(np.abs(potential).reshape(-1, c.neurons))
        moments.add(fired, potential)
    if done != count or not count:
        raise EspikeError(f"{done} samples to calibrate with, {count} were announced", where="calibration")
    return Calibration(reach.percentile(), moments.means())


def _run(engine: Host, q: QuantizedConnectome, sample: Stimulus, fired: Mask, potential: F32) -> None:
    """One sample from a reset into `fired` and `potential`, (bursts, neurons) both."""
    coded = code(sample, q)
    engine.reset(track_potentials=False)
    for t in range(1, len(fired) + 1):
        ledger = engine.run(1, coded.between(t, t))
        fired[t - 1, ledger.ids] = True
        potential[t - 1] = engine.potentials()


class _Reach:
    """np.percentile(..., PERCENTILE) of values that come in parts: the largest of each neuron are kept."""

    def __init__(self, count: int, neurons: int) -> None:
        self._at = (count - 1) * PERCENTILE / 100
        self._kept = np.zeros((max(1, count - int(self._at)), neurons), np.float32)
        self._seen = 0

    def add(self, values: F32) -> None:
        """values: (any, neurons), none below 0."""
        self._kept = np.concatenate((self._kept, values))
        most = len(self._kept) - len(values)
        self._kept = np.partition(self._kept, len(values), axis=0)[len(values) :] if most else self._kept

    def percentile(self) -> F64:
        """float64 (neurons,), between the two that lie nearest."""
        rising = np.sort(self._kept, axis=0).astype(np.float64)
        share = self._at - int(self._at)
        return np.asarray(rising[0] + share * (rising[min(1, len(rising) - 1)] - rising[0]))


class _Moments:
    """Second moments of the inputs of every mapping into an area with a neuron model, as its leaks sum them."""

    def __init__(self, c: Connectome) -> None:
        self._c, self._rows = c, 0
        self._sums = {
            index: np.zeros((c.areas[m.source].count,) * 2)
            for index, m in enumerate(c.mappings)
            if c.areas[m.target].dynamics is not None and c.areas[m.source].count <= SOURCES_MOST
        }

    def add(self, fired: Mask, potential: F32) -> None:
        """Both (samples, bursts, neurons)."""
        c = self._c
        self._rows += fired.shape[0] * fired.shape[1]
        for index, total in self._sums.items():
            m = c.mappings[index]
            source, target = c.areas[m.source], c.areas[m.target]
            assert target.dynamics is not None
            part = slice(source.first, source.first + source.count)
            sent = (potential if m.driven else fired)[..., part].astype(np.float32)
            kept = float(1 - c.leak[target.first : target.first + target.count].mean()) if target.accumulate else 0.0
            current = float(1 - c.current_leak[target.first : target.first + target.count].mean())
            for retained in [current, kept] if target.dynamics.current else [kept]:
                for t in range(1, sent.shape[1]):
                    sent[:, t] += np.float32(retained) * sent[:, t - 1]
            flat = sent.reshape(-1, source.count).astype(np.float64)
            total += flat.T @ flat

    def means(self) -> dict[int, F64]:
        """By mapping; with a little of the mean on the diagonal, for inputs that were never seen."""
        found = {}
        for index, total in self._sums.items():
            moment, count = total / max(1, self._rows), len(total)
            found[index] = moment + np.eye(count) * (1e-3 * np.trace(moment) / max(1, count) + 1e-9)
        return found

"""series -> series like them: shifted in time, louder or softer, with noise."""

from __future__ import annotations

import numpy as np

from espike_sim.senses import RAW

from .data import I32

SHIFT = 0.1
"""Largest shift, as a share of the samples; the first or the last sample fills the gap."""
GAIN = 0.2
"""Largest change of size, as a natural logarithm."""
NOISE = 0.02
"""Standard deviation of the noise, as a share of that of the channel."""
SERIES = 200
"""Series of an epoch that are aimed at: fewer are shown in several copies."""
COPIES_MOST = 5


def copies(series: int, samples: int) -> int:
    """How often an epoch shows each series, changed anew; 0: once, as it is. Vectors have no time to shift."""
    return 0 if samples == 1 else min(COPIES_MOST, max(1, SERIES // series))


def changed(raw: I32, rng: np.random.Generator) -> I32:
    """int32 (series, samples, channels): each series changed in its own way."""
    series, samples, _ = raw.shape
    most = round(SHIFT * samples)
    at = np.arange(samples)[None, :] + rng.integers(-most, most + 1, (series, 1))
    shifted = raw[np.arange(series)[:, None], np.clip(at, 0, samples - 1)]
    louder = shifted * np.exp(rng.uniform(-GAIN, GAIN, (series, 1, 1)))
    noisy = louder + NOISE * raw.std(axis=(0, 1)) * rng.standard_normal(raw.shape)
    made: I32 = np.clip(np.floor(noisy + 0.5), *RAW).astype(np.int32)
    return made

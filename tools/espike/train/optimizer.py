"""gradients -> smaller loss: cross-entropy of spike counts, and Adam with a cosine schedule."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from .lif import Floats

DECAY = (0.9, 0.999)
"""Of the mean of gradients, of the mean of their squares (Kingma and Ba, Adam, 2015)."""
EPSILON = 1e-8


def loss_of_counts(counts: Floats, label: NDArray[np.int64], sharpness: float) -> tuple[float, Floats]:
    """Mean cross-entropy of softmax(sharpness * counts (batch, classes)), and its gradient by the counts."""
    logits = sharpness * (counts - counts.max(axis=1, keepdims=True))
    share = np.exp(logits)
    share /= share.sum(axis=1, keepdims=True)
    rows = np.arange(len(label))
    loss = -np.log(np.maximum(share[rows, label], 1e-30)).mean()
    share[rows, label] -= 1
    return float(loss), share * (sharpness / len(label))


def cosine(step: int, steps: int, rate: float, warmup: int = 0) -> float:
    """The learning rate of a step: from `rate` down to 0, after a rise to it over `warmup` steps."""
    return rate * min(1.0, (step + 1) / (warmup + 1)) * (1 + math.cos(math.pi * step / steps)) / 2


def clipped(gradients: Sequence[Floats], most: float) -> list[Floats]:
    """Gradients whose common norm is at most `most`; 0: as they are."""
    norm = math.sqrt(sum(float(np.sum(np.square(g, dtype=np.float64))) for g in gradients))
    factor = most / norm if most and norm > most else 1.0
    return [g * g.dtype.type(factor) for g in gradients]


class Grokfast:
    """Adds `strength` times the moving average of gradients to them: what changes slowly counts for more.

    Lee et al., Grokfast (arXiv:2405.20233), the EMA filter.
    """

    def __init__(self, alpha: float, strength: float) -> None:
        self.alpha, self.strength = alpha, strength
        self.mean: list[Floats] = []

    def filtered(self, gradients: Sequence[Floats]) -> list[Floats]:
        """The gradients of a step, filtered."""
        before = self.mean or [np.zeros_like(g) for g in gradients]
        self.mean = [
            (self.alpha * m + (1 - self.alpha) * g).astype(g.dtype) for m, g in zip(before, gradients, strict=True)
        ]
        return [(g + self.strength * m).astype(g.dtype) for m, g in zip(self.mean, gradients, strict=True)]


class Adam:
    """Moves parameters in place."""

    def __init__(self, parameters: Sequence[Floats], decay: float = 0.0) -> None:
        """decay: the share of a parameter that a step of rate 1 takes off (Loshchilov and Hutter, AdamW, 2019)."""
        self.parameters, self.decay = parameters, decay
        self.mean = [np.zeros_like(p) for p in parameters]
        self.square = [np.zeros_like(p) for p in parameters]
        self.steps = 0

    def step(self, gradients: Sequence[Floats], rate: float) -> None:
        """One step against the gradients; a gradient of 0 throughout never moves a parameter."""
        self.steps += 1
        kept = 1 - rate * self.decay
        rate *= math.sqrt(1 - DECAY[1] ** self.steps) / (1 - DECAY[0] ** self.steps)
        for p, g, mean, square in zip(self.parameters, gradients, self.mean, self.square, strict=True):
            mean += (1 - DECAY[0]) * (g - mean)
            square += (1 - DECAY[1]) * (g * g - square)
            if self.decay:
                p *= p.dtype.type(kept)
            p -= (rate * mean / (np.sqrt(square) + EPSILON)).astype(p.dtype)

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


def cosine(step: int, steps: int, rate: float) -> float:
    """The learning rate of a step: from `rate` down to 0."""
    return rate * (1 + math.cos(math.pi * step / steps)) / 2


class Adam:
    """Moves parameters in place."""

    def __init__(self, parameters: Sequence[Floats]) -> None:
        self.parameters = parameters
        self.mean = [np.zeros_like(p) for p in parameters]
        self.square = [np.zeros_like(p) for p in parameters]
        self.steps = 0

    def step(self, gradients: Sequence[Floats], rate: float) -> None:
        """One step against the gradients; a gradient of 0 throughout never moves a parameter."""
        self.steps += 1
        rate *= math.sqrt(1 - DECAY[1] ** self.steps) / (1 - DECAY[0] ** self.steps)
        for p, g, mean, square in zip(self.parameters, gradients, self.mean, self.square, strict=True):
            mean += (1 - DECAY[0]) * (g - mean)
            square += (1 - DECAY[1]) * (g * g - square)
            p -= (rate * mean / (np.sqrt(square) + EPSILON)).astype(p.dtype)
